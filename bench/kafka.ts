/** Kafka into Iceberg and back into Kafka in real Node-RED, beside Spark, Kafka Connect, kafkajs and librdkafka on one broker. */
import { Kafka, logLevel } from "kafkajs";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCatalog } from "../lib/iceberg/catalog/open";
import { presetSchema } from "../lib/iceberg/schema";
import { parsePartitionBy } from "../lib/iceberg/transforms";
import { openKafka } from "../lib/kafka/client";
import { RecordBatchBuilder } from "../lib/kafka/records/builder";
import { startKafka } from "../test/support/kafka";
import { startNodeRed, type NodeRedVersion } from "../test/support/node-red";
import { connect, librdkafka, spark, type Run } from "./lib/kafka-peers";
import { usage } from "./lib/processes";
import { benchTrades, median, table, type BenchTrade } from "./lib/support";

const option = (name: string, fallback: string): string => {
  const at = process.argv.indexOf(`--${name}`);
  return at > 0 ? process.argv[at + 1] ?? fallback : fallback;
};
/** What to run. */
const PARTS = option("only", "iceberg,kafka,flat,function,latency,produce").split(",");
const rounds = Number(option("rounds", "3"));
const trades = Number(option("trades", "2345448"));
const red = option("node-red", "4") as NodeRedVersion;
const peers = !process.argv.includes("--no-peers");
const PARTITIONS = 3, SIZE = 104;
const RAW = "iex_data", FLAT = "flattened_input";

const root = join(__dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "ticklake-kafka-bench-"));
const n = (value: number): string => Math.round(value).toLocaleString("en-US");

const tab = { id: "b000000000000001", type: "tab", label: "bench" };
const broker = (brokers: string): object => ({ id: "b000000000000002", type: "kafka-broker", brokers, clientId: "bench" });
const catalog = (warehouse: string): object => ({ id: "b000000000000003", type: "iceberg-catalog", catalogName: "local", catalogType: "hadoop", warehouse });
const kafkaIn = (topics: string, to: string, more: object = {}): object => ({ id: "b000000000000004", type: "kafka-in", z: tab.id, broker: "b000000000000002", topics, groupId: `bench-${Date.now()}`, startingOffsets: "earliest", wires: [[to], []], x: 100, y: 100, ...more });
const explode = (to: string): object => ({ id: "b000000000000005", type: "explode-trades", z: tab.id, wires: [[to], []], x: 300, y: 100 });
const change = (func: string, to: string): object => ({ id: "b000000000000006", type: "function", z: tab.id, func, outputs: 1, wires: [[to]], x: 400, y: 100 });
const ICEBERG = "b000000000000007", KAFKA = "b000000000000008", TOLD = "b000000000000009";
/** Commits often: with the default of ten seconds, the run would end with a wait for the last one, which Spark's availableNow does not have. */
const icebergOut = (commitInterval = "250 ms"): object => ({ id: ICEBERG, type: "iceberg-out", z: tab.id, catalog: "b000000000000003", table: "db.flattened_stocks", commitInterval, wires: [[TOLD], []], x: 500, y: 100 });
const kafkaOut = (topic: string): object => ({ id: KAFKA, type: "kafka-out", z: tab.id, broker: "b000000000000002", topic, send: "each", createTopic: true, partitions: PARTITIONS, wires: [[TOLD]], x: 500, y: 200 });
const told = { id: TOLD, type: "function", z: tab.id, func: "console.log('@@' + JSON.stringify({ ev: 'result', at: Date.now(), ...msg.payload }));", outputs: 0, wires: [], x: 700, y: 100 };

/** Our flow until its results count all rows. */
async function ours(flow: object[], rows: number, count: "rows" | "count"): Promise<Run> {
  const began = performance.now();
  const running = await startNodeRed({ version: red, flow: [tab, told, ...flow], nodesDir: root });
  try {
    const started = performance.now(), before = usage(running.pid);
    const done = (): number => running.events.reduce((sum, event) => sum + Number(event[count] ?? 0), 0);
    await running.until(`${rows} rows`, () => done() >= rows, 180_000);
    const seconds = (performance.now() - started) / 1000, after = usage(running.pid);
    return { ...after, startSeconds: (started - began) / 1000, seconds, rows: done(), workCpuSeconds: after.cpuSeconds - before.cpuSeconds };
  } finally {
    await running.stop();
  }
}

/** Fills both topics with plain kafkajs: arrays of 100 raw trades, and single flattened trades. */
async function fill(brokers: string): Promise<{ rows: number; prices: number }> {
  const kafka = new Kafka({ brokers: [brokers], logLevel: logLevel.ERROR });
  const admin = kafka.admin(), producer = kafka.producer({ createPartitioner: () => () => 0 } as never);
  await admin.connect();
  await admin.createTopics({ topics: [RAW, FLAT, "control-iceberg", ...Array.from({ length: rounds }, (_, round) => `spark_out_${round}`)].map((topic) => ({ topic, numPartitions: topic.startsWith("control") ? 1 : PARTITIONS, replicationFactor: 1 })) });
  await admin.disconnect();
  await producer.connect();
  let rows = 0, prices = 0, arrays = 0, singles = 0;
  const raw = ({ timestamp, T, S, i, x, p, s, c, z }: BenchTrade): object => ({ T, S, i, x, p, s, t: timestamp, c, z });
  for await (const batch of benchTrades(trades)) {
    const messages = [];
    for (let at = 0; at < batch.length; at += 100) messages.push({ value: JSON.stringify(batch.slice(at, at + 100).map(raw)), partition: arrays++ % PARTITIONS });
    await producer.send({ topic: RAW, messages });
    if (PARTS.includes("flat")) await producer.send({ topic: FLAT, messages: batch.map((trade) => ({ value: JSON.stringify(trade), partition: singles++ % PARTITIONS })) });
    rows += batch.length;
    for (const { p } of batch) prices += p;
  }
  await producer.disconnect();
  return { rows, prices };
}

async function makeTable(warehouse: string): Promise<void> {
  const schema = presetSchema("trades")!;
  await openCatalog({ catalogName: "local", warehouse } as never, root).createTable({ namespace: ["db"], name: "flattened_stocks" }, { schema, spec: parsePartitionBy("truncate[86400000](timestamp)", schema) });
}

type Named = Record<string, Run[]>;

function report(title: string, runs: Named, reference?: string): void {
  const of = (name: string, pick: (run: Run) => number): number => median(runs[name]!.map(pick));
  const rate = (run: Run): number => run.rows / run.seconds;
  const rows = Object.keys(runs).map((name) => [
    name, "", n(of(name, rate)), of(name, (r) => r.workCpuSeconds).toFixed(1), of(name, (r) => r.cpuSeconds).toFixed(1), n(of(name, (r) => r.peakRssMb)), of(name, (r) => r.startSeconds).toFixed(1),
    reference && runs[reference]?.length ? (of(name, rate) / of(reference, rate)).toFixed(2) : "", reference && runs[reference]?.length ? (of(name, (r) => r.cpuSeconds) / of(reference, (r) => r.cpuSeconds)).toFixed(2) : "",
  ]);
  console.log(`\n${title}\n${table(["", "", "trades/s", "CPU s of the work", "CPU s in all", "peak RSS MB", "start-up s", "rate ratio", "CPU ratio"], rows)}`);
}

async function main(): Promise<void> {
  const kafka = await startKafka({ fast: true, heapMb: 1024 });
  const { brokers } = kafka;
  try {
    const { rows, prices } = await fill(brokers);
    console.log(`${n(rows)} trades, ${PARTITIONS} partitions, Node-RED ${red}, ${rounds} rounds, medians.`);
    const iceberg: Named = {}, toKafka: Named = {}, flat: Named = {};
    const put = (named: Named, name: string, run: Run): void => {
      (named[name] ??= []).push(run);
      console.log(`  ${name}: ${n(run.rows / run.seconds)} trades/s, ${run.workCpuSeconds.toFixed(1)} CPU s, ${n(run.peakRssMb)} MB`);
    };
    for (let round = 0; round < rounds; round++) {
      const warehouse = (name: string): string => join(folder, `${name}-${round}`);
      if (PARTS.includes("iceberg")) {
        put(iceberg, "ticklake", await ours([broker(brokers), catalog(warehouse("ours")), kafkaIn(RAW, "b000000000000005"), explode(ICEBERG), icebergOut()], rows, "rows"));
        if (peers) put(iceberg, "Spark local[2]", await spark({ brokers, source: RAW, target: "iceberg", destination: warehouse("spark"), checkpoint: warehouse("spark-checkpoint") }));
      }
      if (PARTS.includes("function")) {
        const target = warehouse("function");
        put(iceberg, "ticklake through a function node", await ours([broker(brokers), catalog(target), kafkaIn(RAW, "b000000000000005"), explode("b000000000000006"), change("for (const trade of msg.payload) trade.p += 1; return msg;", ICEBERG), icebergOut()], rows, "rows"));
        await checkChanged(target, prices + rows);
      }
      if (PARTS.includes("kafka")) {
        const run = await ours([broker(brokers), kafkaIn(RAW, "b000000000000005"), explode(KAFKA), kafkaOut(`flattened_stocks_${round}`)], rows, "count");
        put(toKafka, "ticklake", run);
        if (peers) put(toKafka, "Spark local[2]", { ...await spark({ brokers, source: RAW, target: "kafka", destination: `spark_out_${round}`, checkpoint: warehouse("spark-kafka-checkpoint") }), rows });
      }
      if (PARTS.includes("flat")) {
        put(flat, "ticklake", await ours([broker(brokers), catalog(warehouse("flat")), kafkaIn(FLAT, ICEBERG), icebergOut()], rows, "rows"));
        if (peers) {
          const target = warehouse("connect");
          await makeTable(target);
          put(flat, "Kafka Connect Iceberg sink, 3 tasks", await connect({ brokers, topic: FLAT, controlTopic: "control-iceberg", warehouse: target, rows, folder: join(folder, `connect-${round}`), tasks: 3 }));
        }
      }
      rmSync(folder, { recursive: true, force: true });
    }
    if (Object.keys(iceberg).length > 0) report(`Kafka (arrays of 100) -> Iceberg`, iceberg, "Spark local[2]");
    if (Object.keys(toKafka).length > 0) report("Kafka (arrays of 100) -> Kafka, one message a trade", toKafka, "Spark local[2]");
    if (Object.keys(flat).length > 0) report("Kafka (one message a trade) -> Iceberg", flat, "Kafka Connect Iceberg sink, 3 tasks");
    if (PARTS.includes("latency")) await latency(brokers);
    if (PARTS.includes("produce")) await produce(brokers);
  } finally {
    await kafka.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What the function node did to the trades must be in the table. */
async function checkChanged(warehouse: string, expected: number): Promise<void> {
  const { DuckDBInstance } = await import("@duckdb/node-api");
  const connection = await (await DuckDBInstance.create()).connect();
  const reader = await connection.runAndReadAll(`SELECT count(*)::DOUBLE, sum(p) FROM read_parquet('${warehouse}/db/flattened_stocks/data/**/*.parquet')`);
  const [count, sum] = reader.getRows()[0] as [number, number];
  if (Math.abs(sum - expected) > 1e-6 * expected) throw new Error(`The function node's change is not in the table: sum of p is ${sum} over ${count} rows, expected ${expected}.`);
  console.log(`  the function node's change is in all ${n(count)} rows`);
}

/** From the producer's clock to the commit's result, arrays of 100 trades every 50 ms, commits every second. */
async function latency(brokers: string): Promise<void> {
  const topic = "latency", seconds = 20;
  const kafka = new Kafka({ brokers: [brokers], logLevel: logLevel.ERROR });
  const admin = kafka.admin(), producer = kafka.producer({ createPartitioner: () => ({ partitionMetadata }: { partitionMetadata: unknown[] }) => Math.floor(Math.random() * partitionMetadata.length) } as never);
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS, replicationFactor: 1 }] });
  await admin.disconnect();
  await producer.connect();
  const running = await startNodeRed({ version: red, flow: [tab, told, broker(brokers), catalog(join(folder, "latency")), kafkaIn(topic, "b000000000000005"), explode(ICEBERG), icebergOut("1")], nodesDir: root });
  try {
    const sent: number[] = [];
    const end = Date.now() + seconds * 1000;
    const batches = benchTrades(1e9)[Symbol.asyncIterator]();
    while (Date.now() < end) {
      const { value } = await batches.next() as { value: BenchTrade[] };
      sent.push(Date.now());
      await producer.send({ topic, messages: [{ value: JSON.stringify(value.slice(0, 100).map(({ timestamp, ...rest }) => ({ ...rest, t: timestamp }))) }] });
      await new Promise((done) => setTimeout(done, 50));
    }
    const landed = (): number => running.events.reduce((sum, event) => sum + Number(event["rows"] ?? 0), 0);
    await running.until("all of it to land", () => landed() >= sent.length * 100, 30_000);
    const delays: number[] = [];
    let at = 0;
    for (const event of running.events) {
      for (let left = Number(event["rows"] ?? 0) / 100; left > 0 && at < sent.length; left--) delays.push(Number(event["at"]) - sent[at++]!);
    }
    const late = delays.slice(40).sort((a, b) => a - b);
    console.log(`\nFrom produce to commit, commits every 1 s: median ${n(median(late))} ms, p99 ${n(late[Math.floor(late.length * 0.99)] ?? NaN)} ms, ${n(sent.length)} messages`);
  } finally {
    await running.stop();
    await producer.disconnect();
  }
}

/** Messages a second of producers alone, acks=all, idempotent, values of 104 bytes. */
async function produce(brokers: string): Promise<void> {
  const count = 500_000;
  const kafka = new Kafka({ brokers: [brokers], logLevel: logLevel.ERROR });
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic: "produced", numPartitions: PARTITIONS, replicationFactor: 1 }] });
  await admin.disconnect();
  const value = Buffer.alloc(SIZE, "x");
  const rates: Record<string, number[]> = {};
  const put = (name: string, perSecond: number): void => { (rates[name] ??= []).push(perSecond); };
  for (let round = 0; round < rounds; round++) {
    put("ticklake", await produceOurs(brokers, value, count));
    put("kafkajs 2.2.4", await produceKafkajs(kafka, value, count));
    if (peers) put("librdkafka (from Python)", await librdkafka({ brokers, topic: "produced", count, size: SIZE }));
  }
  console.log(`\nProducing ${n(count)} messages of ${SIZE} bytes, acks=all, idempotent\n${table(["", "", "messages/s"], Object.entries(rates).map(([name, values]) => [name, "", n(median(values))]))}`);
}

async function produceOurs(brokers: string, value: Buffer, count: number): Promise<number> {
  const client = openKafka({ brokers: [brokers], clientId: "bench" });
  const producer = client.producer({ idempotent: true, compression: "none" });
  const send = async (partition: number, messages: number): Promise<void> => {
    for (let left = messages; left > 0;) {
      const batch = new RecordBatchBuilder();
      for (; left > 0 && batch.bytes < 900_000; left--) batch.add({ key: null, value, timestamp: Date.now() });
      await producer.send({ topic: "produced", partition }, batch);
    }
  };
  await send(0, 1);
  const began = performance.now();
  await Promise.all(Array.from({ length: PARTITIONS }, (_, partition) => send(partition, count / PARTITIONS)));
  const perSecond = count / ((performance.now() - began) / 1000);
  await producer.close();
  await client.close();
  return perSecond;
}

async function produceKafkajs(kafka: Kafka, value: Buffer, count: number): Promise<number> {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, createPartitioner: () => () => 0 } as never);
  await producer.connect();
  const messages = (k: number): { value: Buffer; partition: number }[] => Array.from({ length: 5000 }, () => ({ value, partition: k % PARTITIONS }));
  await producer.send({ topic: "produced", messages: messages(0).slice(0, 1) });
  const began = performance.now();
  for (let k = 0; k < count / 5000; k++) await producer.send({ topic: "produced", messages: messages(k) });
  const perSecond = count / ((performance.now() - began) / 1000);
  await producer.disconnect();
  return perSecond;
}

void main();
