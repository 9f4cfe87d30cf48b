import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCatalog } from "../../lib/iceberg/catalog/open";
import type { Table } from "../../lib/iceberg/catalog/types";
import { ancestors } from "../../lib/iceberg/metadata";
import { readWatermarks, WATERMARKS } from "../../lib/iceberg/watermarks";
import { Team, type Flattener, type Point } from "../support/flatteners";
import { committedOffsets, consumeAll, createTopic, readCommitted, startKafka, uniqueTopic, untilCommitted, type RunningKafka } from "../support/kafka";
import { TradeWriter } from "../support/kafka-trades";
import { API } from "../support/proxy";
import { randomOf, shuffled } from "../support/random";
import { readRows } from "../support/read-table";
import { startS3, type RunningS3 } from "../support/s3";
import { until } from "../support/start";

/** A longer run: npm run faults -- --suite scale-out --minutes 30 --seed 7 */
const MINUTES = Number(process.env["TICKLAKE_FAULT_MINUTES"] ?? 0);
/** TICKLAKE_FAULT_SEED repeats a run that was printed. */
const SEED = Number(process.env["TICKLAKE_FAULT_SEED"] ?? Math.floor(Math.random() * 1_000_000));
const PARTITIONS = 6, MEMBERS = 3, MOST_MEMBERS = 4;
const SESSION_MS = 4000;

const at = (where: Point["where"], what: string | number): Point => ({ where, what: String(what) });
/** Steps of a commit to the table, and of a transaction with the offsets in it. */
const POINTS: readonly Point[] = [
  at("commit", "after-data"), at("commit", "after-manifest-list"), at("commit", "before-metadata"), at("commit", "after-link"),
  at("after", API.produce), at("before", API.txnOffsetCommit), at("after", API.txnOffsetCommit), at("before", API.endTxn), at("after", API.endTxn), at("before", API.produce),
];

type Blow = "kill" | "stop" | "stand" | "join" | "leave";

/** A team, what it reads, and what it is to have written. */
class Trial {
  readonly topic = uniqueTopic("trades");
  readonly folder = mkdtempSync(join(tmpdir(), "ticklake-scale-"));
  readonly writer: TradeWriter;
  readonly team: Team;
  readonly #catalog: ReturnType<typeof openCatalog>;
  #enough = false;
  #writing: Promise<void> | undefined;

  constructor(private readonly kafka: RunningKafka, s3: RunningS3 | undefined, private readonly random: () => number, seed: number) {
    const warehouse = s3 ? `s3://${s3.bucket(this.topic)}/wh` : join(this.folder, "warehouse");
    this.writer = new TradeWriter(kafka.brokers, this.topic, PARTITIONS, String(seed), 40);
    this.team = new Team({
      brokers: kafka.brokers, source: this.topic, destination: `${this.topic}-flat`, group: `${this.topic}-group`, warehouse, sessionMs: SESSION_MS,
      args: ["--processing-time", "500 ms", "--partitions", "3"], env: s3 ? { S3_ENDPOINT: s3.endpoint, AWS_ACCESS_KEY_ID: s3.accessKey, AWS_SECRET_ACCESS_KEY: s3.secretKey } : {},
    });
    this.#catalog = openCatalog({ warehouse, ...(s3 ? { s3Endpoint: s3.endpoint } : {}) }, this.folder, s3 ? { credentials: { accessKeyId: s3.accessKey, secretAccessKey: s3.secretKey } } : {});
  }

  async start(): Promise<void> {
    await createTopic(this.kafka.brokers, this.topic, { partitions: PARTITIONS });
    this.#writing = this.writer.run(() => this.#enough, () => 5 + this.random() * 15);
    this.#writing.catch(() => undefined);
    for (let n = 0; n < MEMBERS; n++) this.team.start();
    await this.together("the start");
  }

  table(): Promise<Table> { return this.#catalog.loadTable({ namespace: ["db"], name: "flattened_stocks" }); }

  /** How far each partition has come: into the table, and with its transactions into the topic. */
  async #progress(): Promise<number[]> {
    const marks = await this.table().then((table) => readWatermarks(table.state.metadata).watermarks, () => []);
    const committed = await committedOffsets(this.kafka.brokers, `${this.topic}-group`, this.topic);
    const of = (partition: number): number[] => [Number(marks.find((mark) => mark.partition === partition)?.nextOffset ?? 0), Math.max(0, committed[partition] ?? 0)];
    return Array.from({ length: PARTITIONS }, (_, partition) => of(partition)).flat();
  }

  /** Waits until those that run share the partitions, and all partitions get on in the table and in the topic: nobody starves. */
  async together(what: string): Promise<void> {
    await this.team.shared(PARTITIONS);
    await this.#getsOn(what);
  }

  async #getsOn(what: string): Promise<void> {
    const before = await this.#progress();
    await until(`every partition to get on after ${what}`, () => this.#progress(), (now) => now.every((offset, k) => offset > before[k]!), 90_000)
      .catch((error: Error) => { throw new Error(`${error.message}\nbefore ${JSON.stringify(before)}\n${this.team.story()}`); });
  }

  #any(): Flattener { return shuffled(this.team.running, this.random)[0]!; }
  #point(): Point { return shuffled(POINTS, this.random)[0]!; }

  async inflict(blow: Blow): Promise<string> {
    const { team } = this;
    switch (blow) {
      case "join":
        team.start();
        await this.together("a member joined");
        return "a member joined";
      case "kill": {
        const victim = this.#any(), point = this.#point();
        await team.strike(victim, point, "SIGKILL", 1 + Math.floor(this.random() * 3));
        await this.together("a member was killed");
        return `${victim.name} killed ${point.where} ${point.what}`;
      }
      // Without any notice, wherever it is.
      case "stop": {
        const victim = this.#any();
        await team.end(victim, "SIGKILL");
        await this.together("a member was killed anywhere");
        return `${victim.name} killed`;
      }
      case "leave": {
        const member = this.#any();
        const { code, stderr } = await team.end(member);
        assert.equal(code, 0, `${member.name} leaves cleanly:\n${stderr}`);
        await this.together("a member left");
        return `${member.name} left`;
      }
      case "stand": {
        const zombie = this.#any(), point = this.#point();
        await team.strike(zombie, point, "SIGSTOP", 1 + Math.floor(this.random() * 3));
        await this.together("a member stood still and the others took over");
        team.resume(zombie);
        await this.together("the member that stood still went on");
        return `${zombie.name} stood still ${point.where} ${point.what}, and came back`;
      }
    }
  }

  /** Ends the writing, lets the team come to the end, ends it, and looks what there is. */
  async assertWhole(): Promise<string> {
    const { team, writer, topic, kafka } = this;
    this.#enough = true;
    await this.#writing;
    await writer.close();
    await untilCommitted(kafka.brokers, topic, [`${topic}-group`], 90_000, () => team.story());
    const last = team.running;
    const said = await Promise.all(last.map((member) => team.end(member)));
    assert.deepEqual(said.map(({ code }) => code), last.map(() => 0), `all end cleanly:\n${team.story()}`);
    for (const [k, { stderr }] of said.entries()) {
      assert.match(stderr, /Rows into the table +[1-9]/, `${last[k]!.name} wrote to the table`);
      assert.match(stderr, /Trades into the topic +[1-9]/, `${last[k]!.name} wrote to the topic`);
      assert.doesNotMatch(stderr, /Set aside/, "an outage is never taken for poison");
    }
    const table = await this.table();
    assertEachOnce("the table", (await readRows(table)).map((row) => Number(row["i"])), writer.trades);
    const flattened: number[] = [];
    await readCommitted(kafka.brokers, `${topic}-flat`, ({ value }) => flattened.push((JSON.parse(value) as { i: number }).i));
    assertEachOnce("the topic", flattened, writer.trades);
    const commits = await this.#assertWatermarks(table);
    const conflicts = said.reduce((sum, { stderr }) => sum + Number(/\((\d+) lost to other writers/.exec(stderr)?.[1] ?? 0), 0);
    return `${writer.trades} trades, ${commits} commits; the last ${last.length} processes had ${conflicts} conflicts`;
  }

  /** Every commit of every process says exactly which records its rows are of, none goes back, and they end where the topic ends. */
  async #assertWatermarks({ state: { metadata } }: Table): Promise<number> {
    const trades = Array.from({ length: PARTITIONS }, (): number[] => []);
    for (const { partition, offset, value } of await consumeAll(this.kafka.brokers, this.topic)) trades[partition]![offset] = (JSON.parse(value!) as unknown[]).length;
    const reached = new Array<number>(PARTITIONS).fill(0);
    const line = [...ancestors(metadata)].reverse();
    assert.equal(line.length, metadata.snapshots.length, "no commit lies beside the line");
    for (const { summary, "sequence-number": sequence } of line) {
      const { watermarks } = readWatermarks({ ...metadata, properties: {}, "current-snapshot-id": line[sequence - 1]!["snapshot-id"] });
      assert.ok(summary[WATERMARKS], "every commit carries watermarks");
      assert.equal(new Set(watermarks.map(({ writer, group }) => `${writer} ${group}`)).size, 1, "the processes of one flow are one writer");
      let rows = 0;
      for (const { partition, nextOffset } of watermarks) {
        assert.ok(Number(nextOffset) >= reached[partition]!, `commit ${sequence} takes partition ${partition} back from ${reached[partition]} to ${nextOffset}`);
        for (; reached[partition]! < Number(nextOffset); reached[partition]!++) rows += trades[partition]![reached[partition]!]!;
      }
      assert.equal(Number(summary["added-records"] ?? 0), rows, `commit ${sequence} holds the rows that its watermarks say`);
    }
    assert.deepEqual(reached, trades.map(({ length }) => length), "the watermarks end where the topic ends");
    return line.length;
  }

  async remove(): Promise<void> {
    this.#enough = true;
    await this.#writing?.catch(() => undefined);
    await this.writer.close();
    await this.team.remove();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Fails unless these are the ids from 0 to end - 1, each once. */
function assertEachOnce(where: string, ids: readonly number[], end: number): void {
  const seen = new Map<number, number>();
  for (const id of ids) seen.set(id, (seen.get(id) ?? 0) + 1);
  const missing = Array.from({ length: end }, (_, id) => id).filter((id) => !seen.has(id)), doubled = [...seen].filter(([, times]) => times > 1).map(([id]) => id);
  assert.deepEqual({ rows: ids.length, missing: missing.length, doubled: doubled.length }, { rows: end, missing: 0, doubled: 0 },
    `each trade once in ${where}; missing ${missing.slice(0, 10).join(", ")}, doubled ${doubled.slice(0, 10).join(", ")}`);
}

describe("a pipeline of several processes in one consumer group, on one table and one topic", function () {
  this.timeout(400_000 + MINUTES * 60_000);
  let kafka: RunningKafka, s3: RunningS3;
  before(async () => { [kafka, s3] = await Promise.all([startKafka({ properties: { "group.min.session.timeout.ms": 1000 } }), startS3()]); });
  after(() => Promise.all([kafka?.stop(), s3?.stop()]));

  it("members join, leave, are killed and stand still while trades flow: each trade is in the table once and in the topic once", async () => {
    const end = Date.now() + MINUTES * 60_000;
    for (let round = 0; round === 0 || Date.now() < end; round++) {
      const seed = SEED + round, random = randomOf(seed);
      // The long run also has its table on a folder.
      const store = round % 2 === 0 ? s3 : undefined;
      console.log(`      seed ${seed}, table ${store ? "in S3" : "on the disk"}`);
      const trial = new Trial(kafka, store, random, seed);
      try {
        await trial.start();
        for (const blow of MINUTES > 0 ? endless(random, trial) : (["kill", "join", "stand", "leave"] as const)) {
          const began = Date.now();
          const what = await trial.inflict(blow);
          if (process.env["TICKLAKE_VERBOSE"]) console.log(`        ${what}: ${((Date.now() - began) / 1000).toFixed(1)} s`);
        }
        console.log(`      ${await trial.assertWhole()}`);
      } catch (error) {
        console.log(`      failed with seed ${seed}: TICKLAKE_FAULT_SEED=${seed} npm test -- faults --grep "several processes"`);
        throw error;
      } finally { await trial.remove(); }
    }
  });
});

/** Twelve blows, chosen as the team stands: never fewer than two members, never more than four. */
function* endless(random: () => number, { team }: Trial): Generator<Blow> {
  for (let n = 0; n < 12; n++) {
    const { length } = team.running;
    const possible: Blow[] = [...(length < MOST_MEMBERS ? ["join"] as const : []), ...(length > 2 ? ["kill", "stop", "leave"] as const : []), ...(length > 1 ? ["stand"] as const : [])];
    yield shuffled(possible, random)[0]!;
  }
}
