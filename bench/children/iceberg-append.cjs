// One measured run: N trades as JavaScript objects into a fresh Iceberg table, through the sink that iceberg-out uses.
// Repeated in one process (the first commit of a process, then warm ones). Prints one line of JSON, an array of runs. Plain JavaScript on the built package, so that nothing but the product is measured.
const { createReadStream, mkdtempSync, rmSync } = require("node:fs");
const { createInterface } = require("node:readline");
const { monitorEventLoopDelay, performance } = require("node:perf_hooks");
const { tmpdir } = require("node:os");
const { join } = require("node:path");

const lib = (path) => require(join(__dirname, "../../dist/lib", path));
const { HadoopCatalog } = lib("iceberg/catalog/hadoop");
const { LocalFileIO } = lib("iceberg/io/local");
const { EncoderPool } = lib("iceberg/parquet/pool");
const { TableSink } = lib("iceberg/sink/table-sink");
const { parseSinkOptions } = lib("iceberg/sink/options");
const { ColumnAccumulator } = lib("iceberg/columns");
const { TRADES_SCHEMA, TRADES_PARTITION_BY } = lib("iceberg/schema");
const { parsePartitionBy } = lib("iceberg/transforms");
const { Ledger } = lib("delivery/ledger");

async function readRows(file, n) {
  const rows = [];
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    rows.push(JSON.parse(line));
    if (rows.length === n) break;
  }
  return rows;
}

/** Peak resident memory of this process, MB. */
const peakMb = () => process.resourceUsage().maxRSS / 1024;

async function main() {
  const [file, count, repeat, streamed] = process.argv.slice(2);
  const n = Number(count);
  const warehouse = mkdtempSync(join(tmpdir(), "ticklake-bench-"));
  // Streamed: rows come in batches as from a source and are not held by the benchmark; else all are objects before the clock starts.
  const rows = streamed ? undefined : await readRows(file, n);
  const batches = [];
  if (rows) for (let i = 0; i < rows.length; i += 1000) batches.push(rows.slice(i, i + 1000));

  const time = { now: () => performance.now(), after: (ms, f) => { const t = setTimeout(f, ms); t.unref(); return () => clearTimeout(t); }, later: (f) => { setImmediate(f); } };
  const ledger = new Ledger({ processId: "bench", time, turn: () => 0 }).openSink("bench", {});
  const encoder = new EncoderPool();
  const options = parseSinkOptions({ table: "db.trades", commitInterval: 3600, maxRows: 250_000 }, "bench");
  const totals = { rows: 0, commits: 0, files: 0 };
  const nothing = () => undefined;
  const catalog = new HadoopCatalog({ name: "local", warehouse, io: new LocalFileIO() });
  const identifier = { namespace: ["db"], name: "trades" };
  // As on the other side: table and threads are there before the clock starts.
  await catalog.createTable(identifier, { schema: TRADES_SCHEMA, spec: parsePartitionBy(TRADES_PARTITION_BY, TRADES_SCHEMA) });
  await encoder.encode({ batch: new ColumnAccumulator(TRADES_SCHEMA).take([]), schema: TRADES_SCHEMA, spec: parsePartitionBy("", TRADES_SCHEMA), codec: "snappy" });
  const sink = new TableSink({
    catalog, identifier, name: "db.trades", options, encoder, ledger,
    events: { committed: (r) => { totals.rows += r.rows; totals.commits++; totals.files += r.files; }, unwritten: nothing, changed: nothing, warn: console.error,
      rejected: (row, reason) => { throw new Error(reason); }, retrying: (e) => console.error(e), failed: (e) => { throw e; } },
  });

  const next = () => new Promise((resolve) => setImmediate(resolve));
  const add = async (batch) => {
    sink.add(batch, ledger.accept({ payload: batch }));
    await next();
    // What a source under pressure does: wait instead of piling up.
    while (sink.waiting > 300_000) await next();
  };
  async function once() {
    if (global.gc) global.gc();
    const rssBeforeMb = process.memoryUsage.rss() / 1048576;
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const cpu = process.cpuUsage();
    const began = performance.now();
    if (rows) for (const batch of batches) await add(batch);
    else {
      let batch = [], seen = 0;
      for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
        batch.push(JSON.parse(line));
        if (batch.length === 1000) { await add(batch); batch = []; }
        if (++seen === n) break;
      }
      if (batch.length > 0) await add(batch);
    }
    await sink.flush();
    const used = process.cpuUsage(cpu);
    const ms = performance.now() - began;
    delay.disable();
    return { ms, cpuMs: (used.user + used.system) / 1000, peakRssMb: peakMb(), rssBeforeMb, delayP99Ms: delay.percentile(99) / 1e6, delayMaxMs: delay.max / 1e6 };
  }
  const runs = [];
  for (let k = 0; k < Number(repeat); k++) runs.push(await once());
  await sink.close(1000);
  await encoder.close();
  rmSync(warehouse, { recursive: true, force: true });
  if (totals.rows !== n * runs.length) throw new Error(`${totals.rows} rows committed, expected ${n * runs.length}`);
  console.log(JSON.stringify(runs));
}

main().catch((error) => { console.error(error); process.exit(1); });
