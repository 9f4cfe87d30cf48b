import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AssignerProtocol } from "kafkajs";
import { startCommand, type Ended, type RunningCommand } from "./command";
import { plainClient } from "./kafka";
import { until } from "./start";

/** A step at which a process dies or stands still: see fault-preload.cjs. */
export interface Point { readonly where: "commit" | "before" | "after"; readonly what: string }

/** Where the processes of a team write to, and what they read. */
export interface TeamOptions {
  readonly brokers: string;
  readonly source: string;
  readonly destination: string;
  readonly group: string;
  /** A folder or an s3:// address. */
  readonly warehouse: string;
  readonly env?: Readonly<Record<string, string>>;
  /** How soon the group misses a dead member. Without it the processes are as users run them, and `strike` does not work. */
  readonly sessionMs?: number;
  /** More of the command line. */
  readonly args?: readonly string[];
}

/** One `ticklake flatten`. */
export interface Flattener {
  readonly name: string;
  readonly command: RunningCommand;
  gone: boolean;
  standing: boolean;
}

/** `ticklake flatten` processes in one consumer group, on one topic and one table. */
export class Team {
  readonly all: Flattener[] = [];
  readonly folder = mkdtempSync(join(tmpdir(), "ticklake-team-"));

  constructor(private readonly options: TeamOptions) {}

  /** Those that run. */
  get running(): Flattener[] { return this.all.filter(({ gone, standing }) => !gone && !standing); }

  /** Starts a process; it joins the group when it is up. */
  start(): Flattener {
    const { brokers, source, destination, group, warehouse, env, sessionMs, args = [] } = this.options;
    const name = `p${this.all.length + 1}`, temporary = join(this.folder, name);
    mkdirSync(temporary);
    const command = startCommand([
      "flatten", "--quiet", "--group-id", group, "--source-topic", source, "--dest-topic", destination, "--starting-offsets", "earliest", "--iceberg-warehouse", warehouse, ...args,
    ], {
      KAFKA_BROKERS: brokers, TMPDIR: temporary, ...env,
      ...(sessionMs === undefined ? {} : { NODE_OPTIONS: `--require ${join(__dirname, "fault-preload.cjs")}`, TICKLAKE_TEST_FAULTS: join(this.folder, `${name}.fault`), TICKLAKE_TEST_SESSION_MS: String(sessionMs) }),
    });
    const member: Flattener = { name, command, gone: false, standing: false };
    void command.ended.then(() => { member.gone = true; });
    this.all.push(member);
    return member;
  }

  /** Tells a process at which of its next steps it dies (SIGKILL) or stands still (SIGSTOP), and waits until it has. */
  async strike(member: Flattener, point: Point, signal: "SIGKILL" | "SIGSTOP", count = 1): Promise<void> {
    const file = join(this.folder, `${member.name}.fault`);
    writeFileSync(`${file}.part`, JSON.stringify({ ...point, count, signal }));
    renameSync(`${file}.part`, file);
    const word = signal === "SIGKILL" ? '"ev":"dying"' : '"ev":"standing"';
    await this.#saying(`${member.name} to come to ${point.where} ${point.what}`, () => member.command.stdout().includes(word));
    if (signal === "SIGKILL") { await member.command.ended; return; }
    member.standing = true;
  }

  /** A process that stood still goes on. */
  resume(member: Flattener): void {
    member.command.signal("SIGCONT");
    member.standing = false;
  }

  /** Ends a process and resolves with what it said. */
  async end(member: Flattener, signal: NodeJS.Signals = "SIGTERM"): Promise<Ended> {
    if (member.standing) this.resume(member);
    member.command.signal(signal);
    const timer = setTimeout(() => member.command.signal("SIGKILL"), 40_000);
    const ended = await member.command.ended;
    clearTimeout(timer);
    return ended;
  }

  /** Partitions of each member of the group, as the broker has them; undefined while the group is being shared out. */
  async shares(): Promise<number[][] | undefined> {
    const admin = plainClient(this.options.brokers).admin();
    await admin.connect();
    try {
      const [group] = (await admin.describeGroups([this.options.group])).groups;
      if (group?.state !== "Stable") return undefined;
      return group.members.map(({ memberAssignment }) => AssignerProtocol.MemberAssignment.decode(memberAssignment)?.assignment[this.options.source] ?? []);
    } finally { await admin.disconnect(); }
  }

  /** Waits until those that run, and nobody else, share all partitions evenly. */
  async shared(partitions: number): Promise<void> {
    const least = Math.floor(partitions / this.running.length), most = Math.ceil(partitions / this.running.length);
    await this.#saying(`${this.running.length} members to share ${partitions} partitions`, async () => {
      const shares = await this.shares();
      return shares?.length === this.running.length && new Set(shares.flat()).size === partitions && shares.every(({ length }) => length >= least && length <= most);
    });
  }

  /** What every process has said. */
  story(): string {
    return this.all.map(({ name, gone, standing, command }) => `--- ${name}${gone ? " (gone)" : ""}${standing ? " (stands still)" : ""}\n${command.stderr().split("\n").slice(-25).join("\n")}`).join("\n");
  }

  async #saying(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
    await until(what, look, Boolean, 90_000).catch((error: Error) => { throw new Error(`${error.message}\n${this.story()}`); });
  }

  /** Ends everything and removes what it left. */
  async remove(): Promise<void> {
    await Promise.all(this.all.filter(({ gone }) => !gone).map((member) => this.end(member, "SIGKILL")));
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

