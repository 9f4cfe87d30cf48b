// Every step of the way of a trade alone: ns of CPU time a trade. Plain JavaScript on the built package, so that nothing but the product is measured.
// trade-path.cjs <file of raw arrays> <file of flattened trades>, one value a line; prints JSON: [step, ns][]
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { setImmediate: turn } = require("node:timers/promises");

const lib = (path) => require(join(__dirname, "../../dist/lib", path));
const { ColumnAccumulator, releaseBatch } = lib("iceberg/columns");
const { encodeBatch } = lib("iceberg/parquet");
const { TRADES_PARTITION_BY, TRADES_SCHEMA } = lib("iceberg/schema");
const { lazyRowsOf } = lib("iceberg/sink/lazy-rows");
const { parsePartitionBy } = lib("iceberg/transforms");
const { decodeRecords } = lib("kafka/records/decode");
const { RecordBatchBuilder } = lib("kafka/records/builder");
const { decodeBatch } = lib("kafka/source/decode");
const { tradeJsonWriter } = lib("trades/columnar/json");
const { explode } = lib("trades/explode");
const { explodeRecords } = lib("trades/explode-records");

const ROUNDS = 9;
const options = { names: "documented", other: "reject" };
const TIME = 1_700_000_000_000;

/** Batches as Kafka stores them, `per` values each. */
async function encodedBatches(file, per) {
  const values = readFileSync(file, "utf8").split("\n").filter(Boolean).map((line) => Buffer.from(line));
  const batches = [];
  for (let at = 0; at < values.length; at += per) {
    const builder = new RecordBatchBuilder();
    for (const value of values.slice(at, at + per)) builder.add({ key: null, value, timestamp: TIME });
    batches.push(Buffer.from(await builder.encode({ compression: "none" })));
  }
  return batches;
}
const decoded = async (batch) => (await decodeRecords(batch, { topic: "t", partition: 0, position: 0n, abortedTransactions: [] })).set;

/** Median of the rounds after one to warm up. */
async function measure(step) {
  const times = [];
  for (let round = 0; round <= ROUNDS; round++) {
    // No forced collection: it throws optimised code away, and warming up again would be what is measured.
    await turn();
    const before = process.cpuUsage();
    const trades = await step();
    const { user, system } = process.cpuUsage(before);
    if (round > 0) times.push(((user + system) * 1000) / trades);
  }
  return times.sort((a, b) => a - b)[ROUNDS >> 1];
}

async function main() {
  const [arraysFile, flatFile, only] = process.argv.slice(2);
  const arrays = await encodedBatches(arraysFile, 27), flat = await encodedBatches(flatFile, 1000);
  const ofArrays = await Promise.all(arrays.map(decoded)), ofFlat = await Promise.all(flat.map(decoded));
  const lazy = ofArrays.map((set) => decodeBatch([set], "json").records);
  const trades = lazy.map((records) => explodeRecords(records, options).trades);
  const count = trades.reduce((sum, batch) => sum + batch.length, 0);
  const objects = trades.map((batch) => batch.materialise());
  const spec = parsePartitionBy(TRADES_PARTITION_BY, TRADES_SCHEMA);
  const columns = new ColumnAccumulator(TRADES_SCHEMA);
  const append = (take) => {
    take(columns);
    const to = columns.next;
    releaseBatch(columns.take([[to - count, to]]));
    return count;
  };
  const full = new ColumnAccumulator(TRADES_SCHEMA);
  for (const batch of trades) full.appendColumns(lazyRowsOf(batch).columns);
  const batch = full.take([[0, count]]);
  const intoBatches = async (write) => {
    const builder = new RecordBatchBuilder();
    for (let k = 0; k < trades.length; k++) {
      write(builder, k);
      await builder.encode({ compression: "none" });
      builder.reset();
    }
    return count;
  };
  const text = (k) => objects[k].map((trade) => JSON.stringify(trade));

  const steps = {
    "record batches of arrays of 100, decoded": async () => { for (const bytes of arrays) await decoded(bytes); return count; },
    "arrays of 100: bytes to columns": () => { for (const set of ofArrays) decodeBatch([set], "json"); return count; },
    "arrays of 100: JSON.parse": () => { for (const set of ofArrays) for (let k = 0; k < set.count; k++) JSON.parse(set.value(k).toString()); return count; },
    "record batches of one trade a message, decoded": async () => { for (const bytes of flat) await decoded(bytes); return count; },
    "one trade a message: bytes to columns": () => { for (const set of ofFlat) decodeBatch([set], "json"); return count; },
    "one trade a message: JSON.parse": () => { for (const set of ofFlat) for (let k = 0; k < set.count; k++) JSON.parse(set.value(k).toString()); return count; },
    "explode-trades, unread": () => { for (const records of lazy) explodeRecords(records, options); return count; },
    "explode-trades, records as objects": () => { for (const records of lazy) explode(records.materialise(), options); return count; },
    "into a table's columns, unread": () => append((to) => { for (const unread of trades) to.appendColumns(lazyRowsOf(unread).columns); }),
    "into a table's columns, objects": () => append((to) => { for (const rows of objects) to.append(rows, () => undefined); }),
    "Parquet (in the worker)": () => { encodeBatch({ batch, schema: TRADES_SCHEMA, spec, codec: "snappy" }); return count; },
    "objects made of columns": () => { for (const unread of trades) unread.materialise(); return count; },
    "JSON alone, unread": () => {
      const into = Buffer.alloc(1 << 20);
      for (const unread of trades) {
        const json = tradeJsonWriter(unread);
        let at = 0;
        for (let k = 0; k < json.length; k++) at = json.write(k, into, at);
      }
      return count;
    },
    "JSON.stringify alone": () => { for (let k = 0; k < trades.length; k++) text(k); return count; },
    "JSON into record batches, unread": () => intoBatches((builder, k) => {
      const json = tradeJsonWriter(trades[k]);
      for (let n = 0; n < json.length; n++) {
        const at = builder.open(null, json.maxBytes(n), TIME);
        builder.close(json.write(n, builder.buffer, at));
      }
    }),
    "JSON.stringify into record batches": () => intoBatches((builder, k) => { for (const value of text(k)) builder.addText(null, value, TIME); }),
  };
  const out = [];
  for (const [name, step] of Object.entries(steps)) if (!only || name.includes(only)) out.push([name, await measure(step)]);
  console.log(JSON.stringify(out));
}

main().catch((error) => { console.error(error); process.exit(1); });
