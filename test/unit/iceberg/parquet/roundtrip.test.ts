import assert from "node:assert/strict";
import fc from "fast-check";
import { codecAvailable } from "../../../../lib/iceberg/parquet";
import type { Codec, Schema } from "../../../../lib/iceberg/types";
import { canonicalRows, comparable } from "../../../support/parquet-read";
import { encodeRows, flatSchema, tableOf, tables, type Table } from "../../../support/parquet-samples";

/** Fields that the reader cannot give back exactly are compared by other readers in the integration tests. */
const readable = (schema: Schema): Schema => ({ ...schema, fields: schema.fields.filter((f) => comparable(f.type)) });

async function check({ schema, rows }: Table, options: Parameters<typeof encodeRows>[2] = {}): Promise<void> {
  const [file] = encodeRows(schema, rows.map((r) => r.input), options);
  const visible = readable(schema);
  const expected = rows.map((r) => Object.fromEntries(visible.fields.map((f) => [f.name, (r.canonical as Record<string, unknown>)[f.name]])));
  assert.deepEqual(await canonicalRows(visible, file!.bytes), expected);
  assert.equal(file!.recordCount, rows.length);
  assert.equal(file!.fileSizeInBytes, file!.bytes.length);
}

describe("Parquet files, read by hyparquet", () => {
  it("give back every primitive type, optional and required", async () => {
    await fc.assert(fc.asyncProperty(tableOf(flatSchema(), 30), (table) => check(table)), { numRuns: 30, endOnFailure: true });
  });

  it("give back structs, lists and maps of any nesting", async () => {
    await fc.assert(fc.asyncProperty(tables(), (table) => check(table)), { numRuns: 120, endOnFailure: true });
  });

  for (const codec of ["none", "gzip", "zstd"] as Codec[]) {
    it(`are readable with ${codec}, or the reason is given`, async () => {
      const table = fc.sample(tableOf(flatSchema(), 50, 50), { seed: 7, numRuns: 1 })[0]!;
      if (codecAvailable(codec)) await check(table, { codec });
      else assert.throws(() => encodeRows(table.schema, table.rows.map((r) => r.input), { codec }), /zstd needs Node 22\.15 or later/);
    });
  }

  it("are split into row groups at the bound", async () => {
    const table = fc.sample(tables(60), { seed: 3, numRuns: 8 });
    for (const t of table) {
      const [file] = encodeRows(t.schema, t.rows.map((r) => r.input), { rowGroupRows: 7 });
      assert.equal(file!.splitOffsets.length, Math.ceil(t.rows.length / 7));
      await check(t, { rowGroupRows: 7 });
    }
  });

  it("hold pages of a megabyte, plain and with a dictionary, with and without nulls", async () => {
    const schema = { type: "struct" as const, "schema-id": 0, fields: ["long", "string", "double", { type: "list" as const, "element-id": 10, element: "long" as const, "element-required": false }].map((type, i) => ({ id: i + 1, name: `f${i}`, required: false, type: type as never })) };
    const rows = Array.from({ length: 200_000 }, (_, i) => ({ f0: i, f1: i % 3 === 0 ? null : `value ${i}`, f2: (i % 1000) / 100, f3: i % 5 === 0 ? [] : [i, null, i + 1] }));
    const [file] = encodeRows(schema, rows);
    const { parquetMetadata } = await import("hyparquet");
    const metadata = parquetMetadata(file!.bytes.buffer.slice(file!.bytes.byteOffset, file!.bytes.byteOffset + file!.bytes.length) as ArrayBuffer);
    const pages = metadata.row_groups[0]!.columns.map((c) => c.meta_data!.encoding_stats!.filter((s) => s.page_type === "DATA_PAGE").reduce((n, s) => n + s.count, 0));
    assert.ok(pages[0]! >= 2 && pages[1]! >= 2 && pages[3]! >= 3, pages.join());
    const read = await canonicalRows(schema, file!.bytes) as Record<string, unknown>[];
    for (const i of [0, 1, 99_999, 131_072, 199_999]) {
      assert.deepEqual({ ...read[i], f2: undefined }, { f0: String(i), f1: i % 3 === 0 ? null : `value ${i}`, f2: undefined, f3: i % 5 === 0 ? [] : [String(i), null, String(i + 1)] });
    }
    assert.equal(file!.nullValueCounts.get(2), 66_667);
    assert.equal(file!.valueCounts.get(10), 40_000 + 160_000 * 3);
  });
});
