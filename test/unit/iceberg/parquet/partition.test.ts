import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { ColumnAccumulator } from "../../../../lib/iceberg/columns";
import { CREATED_BY } from "../../../../lib/iceberg/parquet/file";
import { partitionRows, transformColumn } from "../../../../lib/iceberg/parquet/partition";
import { assignFreshIds, decimalOf, leafColumns } from "../../../../lib/iceberg/schema";
import { applyTransform, parseTransform, resultType } from "../../../../lib/iceberg/transforms";
import type { PrimitiveType, Schema } from "../../../../lib/iceberg/types";
import type { Literal } from "../../../../lib/iceberg/values";
import { ALL_PRIMITIVES, canonicalFloat, encodeRows, tableOf, type Canonical } from "../../../support/parquet-samples";
import { canonicalRows } from "../../../support/parquet-read";

const TRANSFORMS = ["identity", "void", "bucket[7]", "truncate[10]", "truncate[86400000]", "year", "month", "day", "hour"];

const applies = (text: string, type: PrimitiveType): boolean => {
  try {
    return resultType(parseTransform(text), type) !== undefined;
  } catch {
    return false;
  }
};

/** The value behind the canonical form. */
function literal(type: PrimitiveType, canonical: Canonical): Literal | null {
  if (canonical === null) return null;
  if (type === "boolean") return canonical as boolean;
  const text = canonical as string;
  if (type === "string") return text;
  if (type === "int" || type === "date") return Number(text);
  if (type === "float" || type === "double") return text === "nan" ? Number.NaN : Buffer.from(text, "hex").readDoubleLE();
  if (decimalOf(type) || type === "long" || type.startsWith("time")) return BigInt(text);
  return Uint8Array.from(Buffer.from(text, "hex"));
}

const column = (type: PrimitiveType): Schema => assignFreshIds({ type: "struct", "schema-id": 0, fields: [{ id: 0, name: "v", required: false, type }] });

describe("partition transforms over columns", () => {
  for (const type of ALL_PRIMITIVES) {
    it(`give for ${type} what they give value by value`, () => {
      const schema = column(type);
      fc.assert(fc.property(tableOf(schema, 40), ({ rows }) => {
        const columns = new ColumnAccumulator(schema);
        columns.append(rows.map((r) => r.input), (_r, _i, reason) => assert.fail(reason));
        const { columns: [data] } = columns.take([[0, rows.length]]);
        for (const text of TRANSFORMS.filter((t) => applies(t, type))) {
          const { ids, values } = transformColumn(parseTransform(text), type, data!, leafColumns(schema)[0]!.maxDefinition);
          const expected = rows.map((r) => applyTransform(parseTransform(text), type, literal(type, (r.canonical as Record<string, Canonical>)["v"]!)));
          assert.deepEqual(Array.from(ids, (id) => values[id]), expected, text);
        }
      }), { numRuns: 15, endOnFailure: true });
    });
  }

  it("split any rows into files without losing one, each in its partition, in order", async () => {
    const schema = assignFreshIds({ type: "struct", "schema-id": 0, fields: [{ id: 0, name: "n", required: true, type: "int" }, { id: 0, name: "a", required: false, type: "string" }, { id: 0, name: "b", required: false, type: "long" }, { id: 0, name: "l", required: false, type: { type: "list", "element-id": 0, element: "string", "element-required": false } }] });
    const row = fc.record({ a: fc.constantFrom("x", "y", "", null), b: fc.constantFrom(-1, 0, 9, 10, 25, null), l: fc.constantFrom(null, [], ["p"], ["q", null, "r"]) });
    await fc.assert(fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 60 }), async (list) => {
      const rows = list.map((r, n) => ({ n, ...r }));
      const files = encodeRows(schema, rows, { partitionBy: "a, truncate[10](b)", rowGroupRows: 9 });
      const seen: unknown[] = [];
      for (const file of files) {
        const read = await canonicalRows(schema, file.bytes) as { n: string; a: string | null; b: string | null }[];
        const numbers = read.map((r) => Number(r.n));
        assert.deepEqual(numbers, [...numbers].sort((x, y) => x - y));
        for (const r of read) {
          assert.deepEqual(file.partition, [r.a, r.b === null ? null : BigInt(Math.floor(Number(r.b) / 10) * 10)]);
          assert.deepEqual(r, { ...rows[Number(r.n)], n: r.n, b: r.b === null ? null : String(rows[Number(r.n)]!.b) });
        }
        seen.push(...numbers);
      }
      assert.equal(new Set(seen).size, rows.length);
      assert.equal(new Set(files.map((f) => f.partitionPath)).size, files.length);
    }), { numRuns: 40, endOnFailure: true });
  });

  it("keep partitions apart however many there are", () => {
    const schema = assignFreshIds({ type: "struct", "schema-id": 0, fields: ["a", "b", "c"].map((name) => ({ id: 0, name, required: false, type: "int" as PrimitiveType })) });
    const columns = new ColumnAccumulator(schema);
    const rows = Array.from({ length: 3000 }, (_, i) => ({ a: i, b: i * 7, c: -i }));
    columns.append([...rows, ...rows], () => assert.fail());
    const groups = partitionRows(columns.take([[0, 6000]]), schema, { "spec-id": 0, fields: [1, 2, 3].map((id) => ({ "source-id": id, "field-id": 999 + id, name: `p${id}`, transform: "identity" })) });
    assert.equal(groups.length, 3000);
    assert.ok(groups.every((g, i) => g.rows === 2 && g.partition[0] === i && g.partition[2] === -i));
  });
});

describe("metrics of a file", () => {
  it("count nulls and NaN, and bound values without them", () => {
    const schema = assignFreshIds({ type: "struct", "schema-id": 0, fields: [{ id: 0, name: "d", required: false, type: "double" }, { id: 0, name: "s", required: false, type: "string" }, { id: 0, name: "n", required: false, type: "long" }] });
    const [file] = encodeRows(schema, [{ d: Number.NaN, s: "b", n: "9007199254740993" }, { d: 0, s: "a".repeat(20) }, { d: null, s: null, n: -5 }, { d: -3.5, s: "ü", n: 4 }]);
    const hex = (map: Map<number, Uint8Array>, id: number): string => Buffer.from(map.get(id)!).toString("hex");
    assert.deepEqual([file!.valueCounts.get(1), file!.nullValueCounts.get(1), file!.nanValueCounts.get(1), file!.nanValueCounts.has(2)], [4, 1, 1, false]);
    assert.equal(Buffer.from(hex(file!.lowerBounds, 1), "hex").readDoubleLE(), -3.5);
    assert.equal(hex(file!.upperBounds, 1), canonicalFloat(0));
    assert.equal(Buffer.from(file!.lowerBounds.get(2)!).toString(), "a".repeat(16));
    assert.equal(Buffer.from(file!.upperBounds.get(2)!).toString(), "ü");
    assert.equal(Buffer.from(file!.upperBounds.get(3)!).readBigInt64LE(), 9007199254740993n);
    const [nothing] = encodeRows(schema, [{ d: Number.NaN }, { d: Number.NaN }]);
    assert.equal(nothing!.lowerBounds.size, 0);
  });

  it("name the version that is published", () => {
    const { version } = JSON.parse(readFileSync(join(__dirname, "../../../../package.json"), "utf8")) as { version: string };
    assert.equal(CREATED_BY, `ticklake version ${version}`);
  });
});
