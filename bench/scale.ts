/**
 * One, two and three `ticklake flatten` processes in one consumer group, on one Iceberg table and one topic: how fast, and what commits of several writers cost.
 *
 *   npm run bench -- scale [--trades 1000000] [--rounds 3] [--seconds 15] [--store folder|s3]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { openCatalog } from "../lib/iceberg/catalog/open";
import { currentSnapshot } from "../lib/iceberg/metadata";
import { openKafka } from "../lib/kafka/client";
import { RecordBatchBuilder } from "../lib/kafka/records/builder";
import { Team } from "../test/support/flatteners";
import { committedOffsets, createTopic, endOffsets, startKafka, uniqueTopic, type RunningKafka } from "../test/support/kafka";
import { startS3, type RunningS3 } from "../test/support/s3";
import { eventually, sleep, usage } from "./lib/processes";
import { benchTrades, median, table } from "./lib/support";

const option = (name: string, otherwise: string): string => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : process.argv[at + 1] ?? otherwise;
};
const TRADES = Number(option("trades", "1000000")), ROUNDS = Number(option("rounds", "3")), SECONDS = Number(option("seconds", "15"));
const STORE = option("store", "folder");
const MEMBERS = [1, 2, 3], PARTITIONS = 6;
/** Arrays of trades in a batch of records, as a producer sends them. */
const ARRAY = 100, BATCH_BYTES = 800_000;
const n = (value: number): string => Math.round(value).toLocaleString("en-US");

/** What one team did. */
interface Run { readonly seconds: number; readonly trades: number; readonly commits: number; readonly conflicts: number; readonly cpuSeconds: number; readonly brokerCpuSeconds: number; readonly peakRssMb: number }

class Trial {
  readonly topic = uniqueTopic("scale");
  readonly folder = mkdtempSync(join(tmpdir(), "ticklake-bench-scale-"));
  readonly team: Team;
  readonly #catalog: ReturnType<typeof openCatalog>;
  #messages = 0;

  constructor(readonly kafka: RunningKafka, s3: RunningS3 | undefined, interval: string) {
    const warehouse = s3 ? `s3://${s3.bucket(this.topic)}/wh` : join(this.folder, "warehouse");
    this.team = new Team({
      brokers: kafka.brokers, source: this.topic, destination: `${this.topic}-flat`, group: this.topic, warehouse, args: ["--processing-time", interval],
      env: s3 ? { S3_ENDPOINT: s3.endpoint, AWS_ACCESS_KEY_ID: s3.accessKey, AWS_SECRET_ACCESS_KEY: s3.secretKey } : {},
    });
    this.#catalog = openCatalog({ warehouse, ...(s3 ? { s3Endpoint: s3.endpoint } : {}) }, this.folder, s3 ? { credentials: { accessKeyId: s3.accessKey, secretAccessKey: s3.secretKey } } : {});
  }

  /** Starts so many processes and waits until they share the partitions. */
  async gather(members: number): Promise<void> {
    await createTopic(this.kafka.brokers, this.topic, { partitions: PARTITIONS });
    for (let k = 0; k < members; k++) this.team.start();
    await this.team.shared(PARTITIONS);
  }

  /** Writes values, evenly over the partitions, as fast as the broker takes them. */
  async produce(values: readonly Buffer[]): Promise<void> {
    const client = openKafka({ brokers: this.kafka.brokers.split(","), clientId: "bench" });
    const producer = client.producer({ idempotent: true, compression: "none" });
    await Promise.all(Array.from({ length: PARTITIONS }, async (_, partition) => {
      for (let k = partition; k < values.length;) {
        const batch = new RecordBatchBuilder();
        for (; k < values.length && batch.bytes < BATCH_BYTES; k += PARTITIONS) batch.add({ key: null, value: values[k]!, timestamp: Date.now() });
        await producer.send({ topic: this.topic, partition }, batch);
      }
    }));
    this.#messages += values.length;
    await producer.close();
    await client.close();
  }

  /** Waits until all of it is in the table and, with the group's offsets, in the topic. */
  async done(trades: number): Promise<void> {
    await eventually("the topic to have all", async () => (await committedOffsets(this.kafka.brokers, this.topic, this.topic)).reduce((sum, offset) => sum + Math.max(0, offset), 0) >= this.#messages, 300_000);
    await eventually("the table to have all", async () => {
      const { state: { metadata } } = await this.#catalog.loadTable({ namespace: ["db"], name: "flattened_stocks" });
      return Number(currentSnapshot(metadata)?.summary["total-records"]) === trades;
    }, 60_000);
  }

  cpu(): { cpuSeconds: number; brokerCpuSeconds: number; peakRssMb: number } {
    const used = this.team.all.map(({ command }) => usage(command.pid));
    return { cpuSeconds: used.reduce((sum, one) => sum + one.cpuSeconds, 0), brokerCpuSeconds: usage(this.kafka.pid!).cpuSeconds, peakRssMb: Math.max(...used.map((one) => one.peakRssMb)) };
  }

  /** Ends the processes and adds up what they say. */
  async end(): Promise<{ commits: number; conflicts: number }> {
    const said = await Promise.all(this.team.all.map((member) => this.team.end(member)));
    const sum = (pattern: RegExp): number => said.reduce((total, { stderr }) => total + Number(pattern.exec(stderr)?.[1]?.replaceAll(",", "") ?? 0), 0);
    return { commits: sum(/Rows into the table .* in ([\d,]+) commit/), conflicts: sum(/\(([\d,]+) lost to other writers/) };
  }

  async remove(): Promise<void> {
    await this.team.remove();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** A team's run: `work` writes trades and returns how many. */
async function measure(kafka: RunningKafka, s3: RunningS3 | undefined, members: number, interval: string, work: (trial: Trial) => Promise<number>): Promise<Run> {
  const trial = new Trial(kafka, s3, interval);
  try {
    await trial.gather(members);
    const before = trial.cpu(), began = performance.now();
    const trades = await work(trial);
    await trial.done(trades);
    const seconds = (performance.now() - began) / 1000, after = trial.cpu();
    const flattened = (await endOffsets(kafka.brokers, `${trial.topic}-flat`)).reduce((sum, end) => sum + end, 0);
    if (flattened < trades) throw new Error(`${flattened} messages for ${trades} trades`);
    return { seconds, trades, ...await trial.end(), cpuSeconds: after.cpuSeconds - before.cpuSeconds, brokerCpuSeconds: after.brokerCpuSeconds - before.brokerCpuSeconds, peakRssMb: after.peakRssMb };
  } finally {
    await trial.remove();
  }
}

async function arrays(trades: number): Promise<Buffer[]> {
  const values: Buffer[] = [];
  for await (const batch of benchTrades(trades)) {
    for (let at = 0; at < batch.length; at += ARRAY) values.push(Buffer.from(JSON.stringify(batch.slice(at, at + ARRAY).map(({ timestamp: t, c, z, ...rest }) => ({ ...rest, t, c, z })))));
  }
  return values;
}

async function main(): Promise<void> {
  const kafka = await startKafka({ fast: true, heapMb: 1024 });
  const s3 = STORE === "s3" ? await startS3() : undefined;
  try {
    const values = await arrays(TRADES);
    console.log(`\n${n(TRADES)} trades in arrays of ${ARRAY}, ${PARTITIONS} partitions, into a table (${s3 ? "S3" : "folder"}) and a topic in transactions; a commit every 250 ms; ${cpus().length} cores for processes, broker and all; medians of ${ROUNDS} rounds, in turns\n`);
    const runs = new Map<number, Run[]>(MEMBERS.map((members) => [members, []]));
    for (let round = 0; round < ROUNDS; round++) {
      for (const members of MEMBERS) {
        const run = await measure(kafka, s3, members, "250 ms", async (trial) => { await trial.produce(values); return TRADES; });
        runs.get(members)!.push(run);
        console.error(`  ${members}: ${n(run.trades / run.seconds)} trades/s, ${run.cpuSeconds.toFixed(1)} CPU s, ${run.commits} commits, ${run.conflicts} conflicts`);
      }
    }
    const of = (members: number, pick: (run: Run) => number): number => median(runs.get(members)!.map(pick));
    const rate = (run: Run): number => run.trades / run.seconds;
    console.log(table(["processes", "", "trades/s", "ratio", "CPU s of the processes", "CPU s of the broker", "cores busy", "commits", "conflicts", "peak MB of one"], MEMBERS.map((members) => [
      String(members), "", n(of(members, rate)), (of(members, rate) / of(1, rate)).toFixed(2), of(members, (r) => r.cpuSeconds).toFixed(1), of(members, (r) => r.brokerCpuSeconds).toFixed(1),
      of(members, (r) => (r.cpuSeconds + r.brokerCpuSeconds) / r.seconds).toFixed(2), n(of(members, (r) => r.commits)), n(of(members, (r) => r.conflicts)), n(of(members, (r) => r.peakRssMb)),
    ])));

    console.log(`\nCommits of several writers: an array in every partition every 50 ms for ${SECONDS} s\n`);
    const rows: string[][] = [];
    for (const interval of ["100 ms", "1 second"]) {
      for (const members of MEMBERS) {
        const run = await measure(kafka, s3, members, interval, async (trial) => {
          let at = 0;
          for (const end = performance.now() + SECONDS * 1000; performance.now() < end; at += PARTITIONS) {
            await trial.produce(values.slice(at, at + PARTITIONS));
            await sleep(50);
          }
          return at * ARRAY;
        });
        rows.push([String(members), interval, (run.commits / run.seconds).toFixed(1), n(run.conflicts), (run.conflicts / run.commits).toFixed(2), (1000 * run.cpuSeconds / run.commits).toFixed(0), (run.cpuSeconds / run.seconds).toFixed(2)]);
        console.error(`  ${rows.at(-1)!.join("  ")}`);
      }
    }
    console.log(table(["processes", "interval", "commits/s", "conflicts", "conflicts a commit", "CPU ms a commit", "cores busy"], rows));
  } finally {
    await s3?.stop();
    await kafka.stop();
  }
}

void main();
