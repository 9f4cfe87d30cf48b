import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import type { CommitPoint } from "../../lib/iceberg/catalog/types";

/** What sink-child.ts is told: its folder (warehouse and offsets), its sinks, the end of every partition of its log, its chance, and the partitions that are its (by default all). */
export interface SinkJob { readonly folder: string; readonly sinks: readonly string[]; readonly end: number; readonly seed: number; readonly partitions?: readonly number[] }

export const PARTITIONS: readonly number[] = [0, 1, 2];
export const offsetsFile = ({ folder, partitions }: SinkJob): string => join(folder, `offsets${partitions ? `-${partitions.join("-")}` : ""}.json`);

/** What becomes of a record, by itself alone: batches are cut in other places every time. The last of a partition is good. */
export function kindOf(partition: number, offset: number, end: number): "good" | "bad" | "filtered" {
  if (offset === end - 1) return "good";
  // Long stretches that no batch outlives, and single ones.
  if (Math.floor(offset / 60) % 4 === partition || offset % 11 === 3) return "filtered";
  return offset % 17 === 5 ? "bad" : "good";
}

export const idOf = (partition: number, offset: number): number => partition * 1_000_000 + offset;

/** The trade of a record for one sink, over three days; a bad one has a fractional size. */
export function rowOf(partition: number, offset: number, sink: string, end: number): object {
  const bad = kindOf(partition, offset, end) === "bad";
  return { T: "t", S: sink, i: idOf(partition, offset), x: "V", p: 100 + offset / 100, s: bad ? 1.5 : 100, timestamp: 1_381_132_800_000 + (offset % 3) * 86_400_000 + offset, c: ["@"], z: "C" };
}

/** Ids of all records of a kind, ascending. */
export function idsOf(kind: "good" | "bad", end: number): number[] {
  return PARTITIONS.flatMap((p) => Array.from({ length: end }, (_, offset) => offset).filter((offset) => kindOf(p, offset, end) === kind).map((offset) => idOf(p, offset)));
}

export interface At { readonly point: CommitPoint; readonly count: number }
export interface SinkProcess {
  readonly child: ChildProcess;
  /** It has printed this line ("started", "stopped"), or is over. */
  until(line: string): Promise<void>;
  /** How it ended: its statistics, or "killed". @throws Error with its output when it failed */
  readonly ended: Promise<"killed" | Record<string, number>>;
}

const root = join(__dirname, "../..");
const text = (at: At | undefined): string => (at ? `${at.point}:${at.count}` : "");

/** Starts sink-child.ts. */
export function startSinks(job: SinkJob, at: { kill?: At; stop?: At } = {}): SinkProcess {
  const child = spawn(process.execPath, ["--require", "tsx/cjs", join(__dirname, "sink-child.ts"), JSON.stringify(job)], {
    cwd: root, stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, TICKLAKE_TEST_KILL_AT: text(at.kill), TICKLAKE_TEST_STOP_AT: text(at.stop) },
  });
  let output = "";
  const waiting = new Set<() => void>();
  const heard = (chunk: Buffer): void => { output += chunk.toString(); for (const look of [...waiting]) look(); };
  child.stdout.on("data", heard);
  child.stderr.on("data", heard);
  const ended = new Promise<"killed" | Record<string, number>>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      for (const look of [...waiting]) look();
      const done = /^done (.*)$/m.exec(output);
      if (signal === "SIGKILL") resolve("killed");
      else if (code === 0 && done) resolve(JSON.parse(done[1]!) as Record<string, number>);
      else reject(new Error(`the process ended with ${signal ?? code}: ${output}`));
    });
  });
  ended.catch(() => undefined);
  const until = (line: string): Promise<void> => new Promise((resolve) => {
    const look = (): void => {
      if (!output.includes(`${line}\n`) && child.exitCode === null && child.signalCode === null) return;
      waiting.delete(look);
      resolve();
    };
    waiting.add(look);
    look();
  });
  return { child, until, ended };
}
