// One writer's runs: N trades as objects into snappy Parquet in memory, daily partitions aside. Prints one line of JSON, an array of runs.
// Plain JavaScript on the built package, so that nothing but the writers is measured.
const { createReadStream } = require("node:fs");
const { createInterface } = require("node:readline");
const { performance } = require("node:perf_hooks");
const { join } = require("node:path");
const { Writable } = require("node:stream");

const SLICE = 1000;
const FILE_ROWS = 250_000;

async function readRows(file, n) {
  const rows = [];
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    rows.push(JSON.parse(line));
    if (rows.length === n) break;
  }
  return rows;
}

const next = () => new Promise((resolve) => setImmediate(resolve));

/** Runs and notes the longest time that it kept the event loop. */
const blocks = { longest: 0, take: 0 };
const watched = (run, key = "longest") => {
  const began = performance.now();
  const result = run();
  const took = performance.now() - began;
  blocks[key] = Math.max(blocks[key], took);
  blocks.longest = Math.max(blocks.longest, took);
  return result;
};

function ticklake() {
  const lib = (path) => require(join(__dirname, "../../dist/lib", path));
  const { ColumnAccumulator } = lib("iceberg/columns");
  const { EncoderPool } = lib("iceberg/parquet");
  const { TRADES_SCHEMA: schema } = lib("iceberg/schema");
  const pool = new EncoderPool();
  const spec = { "spec-id": 0, fields: [] };
  const columns = new ColumnAccumulator(schema);
  const refuse = (_row, _index, reason) => { throw new Error(reason); };
  return {
    close: () => pool.close(),
    async write(rows) {
      const jobs = [];
      let number = columns.append([], refuse).to;
      for (let i = 0; i < rows.length; i += SLICE) {
        watched(() => columns.append(rows.slice(i, i + SLICE), refuse));
        if (columns.rows >= FILE_ROWS || i + SLICE >= rows.length) {
          jobs.push(watched(() => {
            const to = number + columns.rows;
            const batch = columns.take([[number, to]]);
            number = to;
            return pool.encode({ batch, schema, spec, codec: "snappy" });
          }, "take"));
        }
        await next();
      }
      const files = await Promise.all(jobs);
      return files.flat().reduce((sum, f) => sum + f.fileSizeInBytes, 0);
    },
  };
}

async function hyparquetWriter() {
  const { parquetWriteBuffer } = await import("hyparquet-writer");
  const types = { T: "STRING", S: "STRING", i: "INT64", x: "STRING", p: "DOUBLE", s: "INT64", timestamp: "INT64", z: "STRING" };
  const schema = [
    { name: "root", num_children: 9 },
    ...Object.keys({ T: 0, S: 0, i: 0, x: 0, p: 0, s: 0, timestamp: 0 }).map((name, k) => element(name, types[name], k + 1)),
    { name: "c", repetition_type: "OPTIONAL", converted_type: "LIST", logical_type: { type: "LIST" }, num_children: 1, field_id: 8 },
    { name: "list", repetition_type: "REPEATED", num_children: 1 }, element("element", "STRING", 10), element("z", "STRING", 9),
  ];
  function element(name, type, field_id) {
    return { name, repetition_type: "OPTIONAL", field_id, ...(type === "STRING" ? { type: "BYTE_ARRAY", converted_type: "UTF8", logical_type: { type: "STRING" } } : { type }) };
  }
  const long = (value) => BigInt(value);
  return {
    close: () => undefined,
    async write(rows) {
      let bytes = 0;
      for (let from = 0; from < rows.length; from += FILE_ROWS) {
        bytes += watched(() => {
          const part = rows.slice(from, from + FILE_ROWS);
          const columnData = ["T", "S", "i", "x", "p", "s", "timestamp", "c", "z"].map((name) => ({ name, data: part.map(types[name] === "INT64" ? (r) => long(r[name]) : (r) => r[name]) }));
          return parquetWriteBuffer({ schema, columnData }).byteLength;
        });
        await next();
      }
      return bytes;
    },
  };
}

function parquetjsLite() {
  const { ParquetSchema, ParquetWriter } = require("parquetjs-lite");
  const text = { type: "UTF8", compression: "SNAPPY", optional: true };
  const long = { type: "INT64", compression: "SNAPPY", optional: true };
  const schema = new ParquetSchema({ T: text, S: text, i: long, x: text, p: { type: "DOUBLE", compression: "SNAPPY", optional: true }, s: long, timestamp: long, c: { type: "UTF8", compression: "SNAPPY", repeated: true }, z: text });
  return {
    close: () => undefined,
    async write(rows) {
      let bytes = 0;
      const sink = new Writable({ write(chunk, _e, done) { bytes += chunk.length; done(); } });
      const writer = await ParquetWriter.openStream(schema, sink, { rowGroupSize: FILE_ROWS });
      // Its appends are promises that never leave the turn: what keeps the loop is seen from outside.
      let last = performance.now();
      const timer = setInterval(() => { const now = performance.now(); blocks.longest = Math.max(blocks.longest, now - last); last = now; }, 1);
      for (const row of rows) await writer.appendRow(row);
      await writer.close();
      await new Promise((resolve) => setTimeout(resolve, 5));
      clearInterval(timer);
      return bytes;
    },
  };
}

async function main() {
  const [name, file, count, repeat] = process.argv.slice(2);
  const rows = await readRows(file, Number(count));
  const runs = [];
  let writer;
  for (let k = 0; k < Number(repeat); k++) {
    if (global.gc) global.gc();
    blocks.longest = 0;
    blocks.take = 0;
    const cpu = process.cpuUsage();
    const began = performance.now();
    writer ??= await { ticklake, "hyparquet-writer": hyparquetWriter, "parquetjs-lite": parquetjsLite }[name]();
    const bytes = await writer.write(rows);
    const used = process.cpuUsage(cpu);
    runs.push({ ms: performance.now() - began, cpuMs: (used.user + used.system) / 1000, peakRssMb: process.resourceUsage().maxRSS / 1024, longestBlockMs: blocks.longest, ...(blocks.take ? { takeMs: blocks.take } : {}), bytes });
  }
  await writer.close();
  console.log(JSON.stringify(runs));
}

main().catch((error) => { console.error(error); process.exit(1); });
