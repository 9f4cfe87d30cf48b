import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { EncodedFile } from "../../../lib/iceberg/parquet";
import { rewriteGroup, type RewriteJob } from "../../../lib/iceberg/rewrite/job";
import { parsePartitionBy, UNPARTITIONED } from "../../../lib/iceberg/transforms";
import type { Schema } from "../../../lib/iceberg/types";
import { canonicalRows, comparable } from "../../support/parquet-read";
import { encodeRows, flatSchema, tableOf, tables, type Table } from "../../support/parquet-samples";

const metadata: RewriteJob["metadata"] = { "table-uuid": "u", "partition-specs": [UNPARTITIONED], properties: {} };
const input = (path: string, recordCount: number, fileSizeInBytes: number): RewriteJob["files"][number] => ({ filePath: path, path, recordCount, fileSizeInBytes, specId: 0, partition: [] });

describe("rewriting data files", function () {
  this.timeout(120_000);
  let folder: string, next = 0;
  before(async () => { folder = await mkdtemp(join(tmpdir(), "ticklake-rewrite-test-")); });
  after(() => rm(folder, { recursive: true, force: true }));

  async function rewrite(schema: Schema, files: readonly { bytes: Uint8Array; recordCount: number }[], more: Partial<RewriteJob> = {}): Promise<EncodedFile[]> {
    const inputs = await Promise.all(files.map(async ({ bytes, recordCount }) => {
      const path = join(folder, `${next++}.parquet`);
      await writeFile(path, bytes);
      return input(path, recordCount, bytes.length);
    }));
    const out: EncodedFile[] = [];
    await rewriteGroup({
      table: "t", metadata, schema, spec: UNPARTITIONED, partition: [], files: inputs, deletes: [], applied: new Map(), sort: [], codec: "snappy", targetBytes: 1e9, rowGroupRows: 1e6,
      threads: 1, memoryLimit: "256MB", tempFolder: join(folder, "temp"), maxTempBytes: 1e9, ...more,
    }, async (file) => { out.push(file); });
    return out;
  }

  /** Values and metrics are those of a file that was written from the rows themselves. */
  async function check({ schema, rows }: Table, rowGroupRows = 1e6): Promise<void> {
    const half = Math.ceil(rows.length / 2);
    const parts = [rows.slice(0, half), rows.slice(half)].filter((part) => part.length > 0).map((part) => encodeRows(schema, part.map((row) => row.input))[0]!);
    const [file] = await rewrite(schema, parts, { rowGroupRows });
    const [direct] = encodeRows(schema, rows.map((row) => row.input));
    const visible = { ...schema, fields: schema.fields.filter((field) => comparable(field.type)) };
    assert.deepEqual(await canonicalRows(visible, file!.bytes), await canonicalRows(visible, direct!.bytes));
    for (const metric of ["recordCount", "valueCounts", "nullValueCounts", "nanValueCounts", "lowerBounds", "upperBounds"] as const) assert.deepEqual(file![metric], direct![metric], metric);
  }

  it("keeps every primitive type, optional and required, with full metrics", async () => {
    await fc.assert(fc.asyncProperty(tableOf(flatSchema(), 30), (table) => check(table)), { numRuns: 12, endOnFailure: true });
  });

  it("keeps structs, lists and maps of any nesting", async () => {
    await fc.assert(fc.asyncProperty(tables(), fc.constantFrom(3, 1e6), (table, rows) => check(table, rows)), { numRuns: 60, endOnFailure: true });
  });

  it("keeps text of many and of few distinct values, short and long, over several row groups", async () => {
    const schema: Schema = { type: "struct", "schema-id": 0, fields: ["few", "many", "long"].map((name, i) => ({ id: i + 1, name, required: false, type: "string" as const })) };
    const rows = Array.from({ length: 30_000 }, (_, n) => ({ few: n % 7 === 0 ? null : `s${n % 50}`, many: `value ${n}`, long: n % 3 ? "x".repeat(20) + (n % 4) : `${n} ${"long ".repeat(5)}` }));
    const [file] = await rewrite(schema, encodeRows(schema, rows), { rowGroupRows: 9000 });
    assert.ok(file!.splitOffsets.length >= 3);
    assert.deepEqual(await canonicalRows(schema, file!.bytes), rows);
  });

  it("begins another file at the target size, and divides rows anew by the current partition spec", async () => {
    const schema: Schema = { type: "struct", "schema-id": 0, fields: [{ id: 1, name: "n", required: false, type: "long" }, { id: 2, name: "s", required: false, type: "string" }] };
    const rows = Array.from({ length: 20_000 }, (_, n) => ({ n: (n * 2_654_435_761) % 1_000_003, s: `row ${n}` }));
    const input = encodeRows(schema, rows);
    const files = await rewrite(schema, input, { targetBytes: Math.floor(input[0]!.bytes.length / 5), rowGroupRows: 1000 });
    assert.ok(files.length >= 4 && files.length <= 6, `${files.length} files`);
    assert.equal(files.reduce((sum, file) => sum + file.recordCount, 0), rows.length);
    const { partition: _old, ...anew } = { partition: [], spec: parsePartitionBy("bucket[4](n)", schema, 1) };
    const job: Partial<RewriteJob> & { partition?: never } = anew;
    const divided = await rewriteAnew(schema, input, job);
    assert.deepEqual(divided.map((file) => file.partitionPath).sort(), ["n_bucket=0", "n_bucket=1", "n_bucket=2", "n_bucket=3"]);
    const all = (await Promise.all(divided.map((file) => canonicalRows(schema, file.bytes)))).flat() as { s: string }[];
    assert.deepEqual(all.map((row) => row.s).sort(), rows.map((row) => row.s).sort());
  });

  async function rewriteAnew(schema: Schema, files: readonly EncodedFile[], more: Partial<RewriteJob>): Promise<EncodedFile[]> {
    return rewrite(schema, files, { ...more, partition: undefined as never });
  }

  it("sorts by columns, in both directions, nulls where they are wanted", async () => {
    const schema: Schema = { type: "struct", "schema-id": 0, fields: [{ id: 1, name: "a", required: false, type: "int" }, { id: 2, name: "A", required: false, type: "string" }] };
    const rows = Array.from({ length: 100 }, (_, n) => ({ a: n % 10 === 0 ? null : n % 4, A: `v${(n * 37) % 100}` }));
    const [file] = await rewrite(schema, encodeRows(schema, rows), { sort: [
      { transform: "identity", "source-id": 1, direction: "desc", "null-order": "nulls-last" }, { transform: "identity", "source-id": 2, direction: "asc", "null-order": "nulls-first" },
    ] });
    const found = await canonicalRows(schema, file!.bytes) as { a: string | null; A: string }[];
    const expected = rows.map(({ a, A }) => ({ a: a === null ? null : String(a), A })).sort((x, y) => Number(y.a ?? -1) - Number(x.a ?? -1) || (x.A < y.A ? -1 : 1));
    assert.deepEqual(found, expected);
  });

  it("stops when it is told to, and refuses files without field ids by name", async () => {
    const schema: Schema = { type: "struct", "schema-id": 0, fields: [{ id: 1, name: "n", required: false, type: "long" }] };
    const { parquetWriteBuffer } = await import("hyparquet-writer");
    const bytes = new Uint8Array(parquetWriteBuffer({ columnData: [{ name: "n", data: [1n, 2n] }] }));
    await assert.rejects(rewrite(schema, [{ bytes, recordCount: 2 }]), { code: "TABLE_UNSUPPORTED", message: /no field ids/ });
    const path = join(folder, "stop.parquet");
    await writeFile(path, encodeRows(schema, Array.from({ length: 50_000 }, (_, n) => ({ n })))[0]!.bytes);
    const stop = new AbortController();
    let files = 0;
    await assert.rejects(rewriteGroup({
      table: "t", metadata, schema, spec: UNPARTITIONED, partition: [], files: [input(path, 50_000, 50_000)], deletes: [], applied: new Map(), sort: [], codec: "snappy", targetBytes: 1000, rowGroupRows: 1000,
      threads: 1, memoryLimit: "256MB", tempFolder: folder, maxTempBytes: 1e9,
    }, async () => { if (++files === 2) stop.abort(); }, stop.signal), { code: "STOPPED" });
    assert.equal(files, 2);
  });
});
