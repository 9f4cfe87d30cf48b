/**
 * Pinot: how long after kafka-out got a trade pinot-query sees it, and queries on real trades with and without the star-tree index.
 *
 *   npm run bench -- pinot [--trades 2000000] [--probes 200] [--rounds 30]
 */
import { openKafka } from "../lib/kafka/client";
import { askBroker } from "../lib/pinot/query/ask";
import { parsePinotQuery } from "../lib/pinot/query/options";
import { runPinotQuery } from "../lib/pinot/query/run";
import { parseTable, runTableOperation } from "../lib/pinot/table";
import { kafkaLag } from "../lib/pinot/table/kafka-lag";
import { createTopic, plainClient, startKafka } from "../test/support/kafka";
import { clusterFor, startPinot } from "../test/support/pinot";
import { Process } from "../test/unit/kafka/sink-world";
import { eventually, sleep } from "./lib/processes";
import { benchTrades, median, quantile, table } from "./lib/support";

const option = (name: string, otherwise: number): number => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : Number(process.argv[at + 1]);
};
const TRADES = option("trades", 2_000_000), PROBES = option("probes", 200), ROUNDS = option("rounds", 30);
const PARTITIONS = 3, LOAD_MINUTES = 15;
/** Real trades are old, and Pinot drops what is older than a table keeps. */
const RETENTION_DAYS = 36_500;

/** What the documentation asks that the star-tree can answer, and one that it cannot (the median). */
const QUERIES: Record<string, string> = {
  "count per symbol": "SELECT S, COUNT(*) FROM {table} GROUP BY S ORDER BY COUNT(*) DESC LIMIT 20",
  "price statistics per symbol": "SELECT S, AVG(p), MIN(p), MAX(p) FROM {table} GROUP BY S LIMIT 1000",
  "volume per exchange": "SELECT x, SUM(s), COUNT(*) FROM {table} GROUP BY x ORDER BY SUM(s) DESC LIMIT 20",
  "one symbol": "SELECT COUNT(*), SUM(s), AVG(p) FROM {table} WHERE S = 'AAPL' LIMIT 1",
  "median per symbol (no star-tree)": "SELECT S, PERCENTILE50(p) FROM {table} GROUP BY S LIMIT 1000",
};

const ms = (value: number): string => value.toFixed(1);

async function main(): Promise<void> {
  const kafka = await startKafka({ fast: true, heapMb: 1024 });
  const pinot = await startPinot({ fast: true, heapMb: 2048 });
  try {
    const cluster = clusterFor(pinot);
    const create = (name: string, topic: string, starTree: boolean): Promise<unknown> =>
      runTableOperation({ cluster, operation: "create", settings: parseTable({ table: name, topic, kafkaBrokers: kafka.brokers, retentionDays: RETENTION_DAYS, starTree }), confirm: true }, { kafka: kafkaLag, warn: (text) => console.log(text) });
    const ask = async (sql: string): Promise<Record<string, unknown>[]> => (await runPinotQuery(askBroker(cluster.http), parsePinotQuery({ sql, maxRows: 10_000 }))).rows;
    const count = async (name: string): Promise<number> => Number((await ask(`SELECT COUNT(*) AS n FROM ${name} LIMIT 1`))[0]!["n"]);

    console.log(`\nProduced to visible: one trade at a time through kafka-out's sink, then asked for every millisecond (${PROBES} trades)\n`);
    await createTopic(kafka.brokers, "probe", { partitions: PARTITIONS });
    await create("probe", "probe", true);
    console.log(await produceToVisible(kafka.brokers, (id) => ask(`SELECT COUNT(*) AS n FROM probe WHERE i = ${id} LIMIT 1`).then(([row]) => Number(row!["n"]) > 0)));

    console.log(`\nQueries on ${TRADES.toLocaleString("en-US")} trades, median of ${ROUNDS} each, in turns (ms)\n`);
    await createTopic(kafka.brokers, "trades", { partitions: PARTITIONS });
    await create("with_tree", "trades", true);
    await create("without_tree", "trades", false);
    await fill(kafka.brokers);
    for (const name of ["with_tree", "without_tree"]) await eventually(`${name} to have all trades`, async () => (await count(name)) >= TRADES, LOAD_MINUTES * 60_000);
    // Segments are sealed in the background; the index serves sealed ones.
    await sleep(15_000);
    const rows: string[][] = [];
    for (const [what, sql] of Object.entries(QUERIES)) {
      const times: Record<string, number[]> = { with_tree: [], without_tree: [] };
      for (let round = 0; round < ROUNDS + 5; round++) {
        for (const name of Object.keys(times)) {
          const begun = performance.now();
          await ask(sql.replace("{table}", name));
          if (round >= 5) times[name]!.push(performance.now() - begun);
        }
      }
      const [tree, none] = [median(times["with_tree"]!), median(times["without_tree"]!)];
      rows.push([what, ms(tree), ms(none), (none / tree).toFixed(2)]);
    }
    console.log(table(["query", "star-tree", "without", "ratio"], rows));
  } finally {
    await pinot.stop();
    await kafka.stop();
  }
}

async function produceToVisible(brokers: string, visible: (id: number) => Promise<boolean>): Promise<string> {
  const client = openKafka({ brokers: brokers.split(","), clientId: "bench" });
  const sink = new Process({ client: () => client }).sink("bench", { partitions: PARTITIONS, key: "S" });
  const acknowledged: number[] = [], seen: number[] = [];
  try {
    for (let id = 1; id <= PROBES + 20; id++) {
      const begun = performance.now();
      const { error } = await sink.send([{ T: "t", S: `S${id % 7}`, i: id, x: "V", p: 100, s: 1, timestamp: Date.now(), c: ["@"], z: "C" }], "probe");
      if (error) throw error;
      const written = performance.now() - begun;
      while (!(await visible(id))) {
        if (performance.now() - begun > 60_000) throw new Error(`Trade ${id} was not seen within a minute.`);
        await sleep(1);
      }
      // The first ones warm both JVMs up.
      if (id > 20) { acknowledged.push(written); seen.push(performance.now() - begun); }
    }
  } finally {
    await client.close();
  }
  const row = (what: string, values: readonly number[]): string[] => [what, ...[0.5, 0.99, 1].map((q) => ms(quantile(values, q)))];
  return table(["ms from sending", "p50", "p99", "most"], [row("acknowledged by Kafka", acknowledged), row("seen by a query", seen)]);
}

async function fill(brokers: string): Promise<void> {
  const producer = plainClient(brokers).producer({ createPartitioner: () => ({ message }) => message.partition ?? 0 });
  await producer.connect();
  let n = 0;
  for await (const batch of benchTrades(TRADES)) await producer.send({ topic: "trades", messages: batch.map((trade) => ({ value: JSON.stringify(trade), partition: n++ % PARTITIONS })) });
  await producer.disconnect();
}

void main().catch((error: unknown) => { console.error(error); process.exitCode = 1; });
