/**
 * The way of a trade from Kafka's bytes to a table's columns and back to Kafka's bytes, each step alone, in ns a trade of CPU time on one core, beside
 * JSON.parse and objects. Real trades where the data folder is beside the repository.
 *
 *   npm run bench -- trade-path [trades]
 */
import { setImmediate as turn } from "node:timers/promises";
import { ColumnAccumulator, releaseBatch } from "../lib/iceberg/columns";
import { encodeBatch } from "../lib/iceberg/parquet";
import { TRADES_PARTITION_BY, TRADES_SCHEMA } from "../lib/iceberg/schema";
import { lazyRowsOf } from "../lib/iceberg/sink/lazy-rows";
import { parsePartitionBy } from "../lib/iceberg/transforms";
import { decodeRecords } from "../lib/kafka/records/decode";
import { RecordBatchBuilder } from "../lib/kafka/records/builder";
import type { RecordSet } from "../lib/kafka/types";
import { decodeBatch } from "../lib/kafka/source/decode";
import { tradeJsonWriter } from "../lib/trades/columnar/json";
import type { LazyRecords } from "../lib/trades/columnar/lazy-records";
import { LazyTrades } from "../lib/trades/columnar/lazy-trades";
import { explode } from "../lib/trades/explode";
import { explodeRecords } from "../lib/trades/explode-records";
import { benchTrades, median, table } from "./lib/support";

const count = Number(process.argv[2] ?? 200_000);
const ROUNDS = 5;
const options = { names: "documented", other: "reject" } as const;

async function recordSets(values: readonly Buffer[], perSet: number): Promise<RecordSet[]> {
  const sets: RecordSet[] = [];
  for (let at = 0; at < values.length; at += perSet) {
    const builder = new RecordBatchBuilder();
    for (const value of values.slice(at, at + perSet)) builder.add({ key: null, value, timestamp: 1_700_000_000_000 });
    const { set } = await decodeRecords(Buffer.from(await builder.encode({ compression: "none" })), { topic: "t", partition: 0, position: 0n, abortedTransactions: [] });
    sets.push(set!);
  }
  return sets;
}

/** ns of CPU a trade, median of the rounds after one to warm up. */
async function measure(step: () => number | Promise<number>): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    globalThis.gc?.();
    await turn();
    const before = process.cpuUsage();
    const trades = await step();
    const { user, system } = process.cpuUsage(before);
    if (round > 0) times.push(((user + system) * 1000) / trades);
  }
  return median(times);
}

async function main(): Promise<void> {
  const arrays: Buffer[] = [], flat: Buffer[] = [];
  for await (const batch of benchTrades(count)) {
    for (let at = 0; at < batch.length; at += 100) arrays.push(Buffer.from(JSON.stringify(batch.slice(at, at + 100).map(({ timestamp: t, c, z, ...rest }) => ({ ...rest, t, c, z })))));
    for (const { c, z, ...trade } of batch) flat.push(Buffer.from(JSON.stringify({ ...trade, c, z })));
  }
  const ofArrays = await recordSets(arrays, 27), ofFlat = await recordSets(flat, 1000);
  const lazy = ofArrays.map((set) => decodeBatch([set], "json").records as LazyRecords);
  const trades = lazy.map((records) => explodeRecords(records, options).trades as LazyTrades);
  const objects = trades.map((batch) => batch.materialise());
  const spec = parsePartitionBy(TRADES_PARTITION_BY, TRADES_SCHEMA);

  const append = (take: (columns: ColumnAccumulator) => void): number => {
    const columns = new ColumnAccumulator(TRADES_SCHEMA);
    take(columns);
    const { rows } = columns;
    releaseBatch(columns.take([[0, rows]]));
    return rows;
  };
  const full = new ColumnAccumulator(TRADES_SCHEMA);
  for (const batch of trades) full.appendColumns(lazyRowsOf(batch)!.columns);
  const encoded = full.take([[0, full.rows]]);

  const steps: [string, () => number | Promise<number>][] = [
    ["arrays of 100: bytes to columns", () => ofArrays.reduce((sum, set) => sum + (decodeBatch([set], "json").records as LazyRecords).columns.count, 0)],
    ["arrays of 100: JSON.parse", () => ofArrays.reduce((sum, set) => { for (let k = 0; k < set.count; k++) sum += (JSON.parse(set.value(k)!.toString()) as unknown[]).length; return sum; }, 0)],
    ["one trade a message: bytes to columns", () => ofFlat.reduce((sum, set) => sum + (decodeBatch([set], "json").records as LazyRecords).columns.count, 0)],
    ["one trade a message: JSON.parse", () => ofFlat.reduce((sum, set) => { for (let k = 0; k < set.count; k++) JSON.parse(set.value(k)!.toString()); return sum + set.count; }, 0)],
    ["explode-trades, unread", () => lazy.reduce((sum, records) => sum + explodeRecords(records, options).trades.length, 0)],
    ["explode-trades, records as objects", () => lazy.reduce((sum, records) => sum + explode(records.materialise(), options).trades.length, 0)],
    ["into a table's columns, unread", () => append((columns) => { for (const batch of trades) columns.appendColumns(lazyRowsOf(batch)!.columns); })],
    ["into a table's columns, objects", () => append((columns) => { for (const batch of objects) columns.append(batch, () => undefined); })],
    ["Parquet (worker)", () => (encodeBatch({ batch: encoded, schema: TRADES_SCHEMA, spec, codec: "snappy" }), encoded.rows)],
    ["objects made of columns", () => trades.reduce((sum, batch) => sum + batch.materialise().length, 0)],
    ["JSON into record batches, unread", async () => {
      let sum = 0;
      const builder = new RecordBatchBuilder();
      for (const batch of trades) {
        const json = tradeJsonWriter(batch);
        for (let k = 0; k < json.length; k++) {
          const at = builder.open(null, json.maxBytes(k), 1_700_000_000_000);
          builder.close(json.write(k, builder.buffer, at));
        }
        sum += json.length;
        await builder.encode({ compression: "none" });
        builder.reset();
      }
      return sum;
    }],
    ["JSON.stringify into record batches", async () => {
      let sum = 0;
      const builder = new RecordBatchBuilder();
      for (const batch of objects) {
        for (const trade of batch) builder.addText(null, JSON.stringify(trade), 1_700_000_000_000);
        sum += batch.length;
        await builder.encode({ compression: "none" });
        builder.reset();
      }
      return sum;
    }],
  ];
  const rows: string[][] = [];
  for (const [name, step] of steps) {
    const ns = await measure(step);
    rows.push([name, ns.toFixed(0), (1000 / ns).toFixed(1)]);
  }
  console.log(table(["step", "ns a trade", "M trades/s"], rows));
  console.log(`${count.toLocaleString("en-US")} trades, Node ${process.version}; CPU time of one core, median of ${ROUNDS}.`);
}

void main();
