import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { applyTransform, humanValue, parseTransform, resultType } from "../../lib/iceberg/transforms";
import { assignFreshIds, TRADES_SCHEMA } from "../../lib/iceberg/schema";
import type { PrimitiveType, Schema } from "../../lib/iceberg/types";
import { bytesToBigint, type Literal } from "../../lib/iceberg/values";
import type { EncodedFile } from "../../lib/iceberg/parquet";
import { encodeRows, flatSchema, tableOf, tables, type Canonical } from "../support/parquet-samples";
import { runPython } from "../support/python";

interface Read {
  ids: Record<string, number>;
  metrics: { record_count: number; split_offsets: number[] } & Record<"column_sizes" | "value_counts" | "null_value_counts" | "lower_bounds" | "upper_bounds", Record<string, unknown>>;
  arrow: Canonical[];
  duckdb: Canonical[];
  filtered?: { arrow: number; duckdb: number; ranges: [string, string, number][] };
}
interface Wanted { schema: Schema; file: EncodedFile; rows?: boolean; filter?: [string, string, unknown] }

interface Parquetjs { ParquetReader: { openBuffer(bytes: Buffer): Promise<{ getCursor(): { next(): Promise<Record<string, unknown> | null> }; close(): Promise<void> }> } }

const folder = mkdtempSync(join(tmpdir(), "ticklake-parquet-"));
after(() => rmSync(folder, { recursive: true, force: true }));

async function read(files: Wanted[], transforms: unknown[] = []): Promise<{ files: Read[]; transforms: [string, string][] }> {
  const list = files.map(({ schema, file, ...rest }, i) => {
    const path = join(folder, `${i}.parquet`);
    writeFileSync(path, file.bytes);
    return { path, schema, ...rest };
  });
  return JSON.parse(await runPython("read_parquet.py", [], { stdin: JSON.stringify({ files: list, transforms }) })) as { files: Read[]; transforms: [string, string][] };
}

const plain = (map: Map<number, number | Uint8Array>): Record<string, unknown> => Object.fromEntries([...map].map(([id, v]) => [String(id), typeof v === "number" ? v : Buffer.from(v).toString("hex")]));

const prices = (count: number): Record<string, unknown>[] => Array.from({ length: count }, (_, i) => ({
  T: "t", S: ["AAPL", "MSFT", "BRK.B", "Žluť"][i % 4], i: i % 10 === 0 ? "9223372036854775806" : 2 ** 40 + i, x: i % 7 === 0 ? null : "V", p: 100 + (i % 50) / 100, s: i, timestamp: 1_381_132_800_000 + i, c: i % 3 ? ["@", "T"] : i % 2 ? [] : null, z: "C",
}));

describe("Parquet files, read by pyarrow, DuckDB and PyIceberg", function () {
  this.timeout(120_000);

  it("hold every type and nesting with random rows", async () => {
    const samples = [...fc.sample(tableOf(flatSchema(), 40, 20), { seed: 11, numRuns: 3 }), ...fc.sample(tables(25), { seed: 12, numRuns: 60 })];
    const { files } = await read(samples.map(({ schema, rows }, k) => ({ schema, file: encodeRows(schema, rows.map((r) => r.input), { codec: (["snappy", "gzip", "none"] as const)[k % 3]!, ...(k % 4 === 0 ? { rowGroupRows: 6 } : {}) })[0]! })));
    samples.forEach(({ schema, rows }, k) => {
      const expected = rows.map((r) => r.canonical);
      assert.deepEqual(files[k]!.arrow, expected, `pyarrow, sample ${k}: ${JSON.stringify(schema)}`);
      assert.deepEqual(files[k]!.duckdb, expected, `DuckDB, sample ${k}: ${JSON.stringify(schema)}`);
      assert.deepEqual(files[k]!.ids, Object.fromEntries(schema.fields.map((f) => [f.name, f.id])));
    });
  });

  it("have the metrics that PyIceberg computes from their footers", async () => {
    const schema = assignFreshIds({ type: "struct", "schema-id": 0, fields: (["boolean", "int", "long", "float", "double", "date", "time", "timestamp", "timestamptz", "string", "binary", "decimal(7, 2)", "decimal(16, 3)"] as PrimitiveType[]).map((type, i) => ({ id: 0, name: `f${i}`, required: i % 2 === 0, type })) });
    const random = fc.sample(tableOf(schema, 40, 20), { seed: 5, numRuns: 4 }).map(({ rows }) => ({ schema, file: encodeRows(schema, rows.map((r) => r.input), { rowGroupRows: 15 })[0]! }));
    const trades = { schema: TRADES_SCHEMA, file: encodeRows(TRADES_SCHEMA, prices(5000), { rowGroupRows: 2000 })[0]!, rows: false };
    const wanted = [trades, ...random];
    const { files } = await read(wanted);
    wanted.forEach(({ file, schema: s }, k) => {
      const theirs = files[k]!.metrics;
      assert.equal(theirs.record_count, file.recordCount);
      assert.deepEqual(theirs.split_offsets, file.splitOffsets);
      assert.deepEqual(theirs.column_sizes, plain(file.columnSizes));
      assert.deepEqual(theirs.value_counts, plain(file.valueCounts));
      assert.deepEqual(theirs.null_value_counts, plain(file.nullValueCounts));
      const scalar = (bounds: Record<string, unknown>): Record<string, unknown> => Object.fromEntries(Object.entries(bounds).filter(([id]) => s.fields.some((f) => String(f.id) === id)));
      assert.deepEqual(scalar(theirs.lower_bounds), plain(file.lowerBounds));
      assert.deepEqual(scalar(theirs.upper_bounds), plain(file.upperBounds));
    });
  });

  it("let readers skip row groups by their statistics", async () => {
    const rows = prices(6000).sort((a, b) => Number(a["s"]) - Number(b["s"]));
    const { files: [file] } = await read([{ schema: TRADES_SCHEMA, file: encodeRows(TRADES_SCHEMA, rows, { rowGroupRows: 1000 })[0]!, rows: false, filter: ["timestamp", ">=", 1_381_132_805_500] }]);
    assert.deepEqual(file!.filtered!.ranges, [0, 1, 2, 3, 4, 5].map((g) => [String(1_381_132_800_000 + g * 1000), String(1_381_132_800_999 + g * 1000), 0]));
    assert.equal(file!.filtered!.arrow, 500);
    assert.equal(file!.filtered!.duckdb, 500);
  });

  it("are partitioned as PyIceberg's transforms would", async () => {
    const cases: [string, PrimitiveType, string, Literal][] = [];
    const add = (transform: string, type: PrimitiveType, shown: string, value: Literal): number => cases.push([transform, type, shown, value]);
    for (const v of [0n, -1n, 86_399_999n, 1_381_132_800_464n, -86_400_001n]) {
      add("truncate[86400000]", "long", String(v), v);
      add("bucket[16]", "long", String(v), v);
    }
    for (const v of [0n, -1n, 1_510_871_468_000_001n, -62_135_596_800_000_000n]) for (const t of ["year", "month", "day", "hour", "bucket[5]"]) add(t, "timestamptz", String(v), v);
    for (const v of [0, -1, 17486]) for (const t of ["year", "month", "day", "bucket[5]"]) add(t, "date", String(v), v);
    for (const v of ["iceberg", "", "ünïcödé😀x"]) for (const t of ["bucket[16]", "truncate[3]", "truncate[8]"]) add(t, "string", v, v);
    for (const v of ["14.20", "-0.05", "0.00"]) for (const t of ["bucket[16]", "truncate[50]"]) add(t, "decimal(9, 2)", v, BigInt(v.replace(".", "")));
    add("bucket[16]", "uuid", "f79c3e09-677c-4bbd-a479-3f349cb785e7", Uint8Array.from(Buffer.from("f79c3e09677c4bbda4793f349cb785e7", "hex")));
    add("bucket[16]", "binary", "00010203", Uint8Array.of(0, 1, 2, 3));
    const { transforms } = await read([], cases.map(([t, type, shown]) => [t, type, shown]));
    cases.forEach(([text, type, shown, value], k) => {
      const transform = parseTransform(text);
      const ours = applyTransform(transform, type, value);
      const [result, human] = transforms[k]!;
      const name = `${text}(${type} ${shown})`;
      if (ours instanceof Uint8Array) assert.equal(BigInt(result.replace(".", "")), bytesToBigint(ours), name);
      else assert.equal(String(ours), result, name);
      assert.equal(humanValue(transform, resultType(transform, type), ours), human, name);
    });
  });
});

describe("Parquet files, read by parquetjs-lite", () => {
  it("give flat rows back", async () => {
    const { ParquetReader } = createRequire(__filename)("parquetjs-lite") as Parquetjs;
    const schema = assignFreshIds({ type: "struct", "schema-id": 0, fields: (["boolean", "int", "float", "double", "string", "binary"] as PrimitiveType[]).map((type, i) => ({ id: 0, name: `f${i}`, required: i % 2 === 0, type })) });
    const rows = Array.from({ length: 500 }, (_, i) => ({ f0: i % 2 === 0, f1: i % 5 ? i : null, f2: i / 4, f3: i % 3 ? i / 10 : null, f4: `row ${i % 40} ü`, f5: i % 4 ? Buffer.from([i & 255]) : null }));
    const reader = await ParquetReader.openBuffer(Buffer.from(encodeRows(schema, rows)[0]!.bytes));
    const cursor = reader.getCursor();
    for (const row of rows) {
      const got = await cursor.next();
      assert.deepEqual({ ...got, f5: got!["f5"] ? Buffer.from(got!["f5"] as Uint8Array) : null, f1: got!["f1"] ?? null, f3: got!["f3"] ?? null }, row);
    }
    assert.equal(await cursor.next(), null);
    await reader.close();
  });
});
