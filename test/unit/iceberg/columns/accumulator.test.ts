import assert from "node:assert/strict";
import fc from "fast-check";
import { ColumnAccumulator, type RowRange } from "../../../../lib/iceberg/columns";
import { encodeBatch } from "../../../../lib/iceberg/parquet";
import { assignFreshIds, parseSchema, TRADES_SCHEMA } from "../../../../lib/iceberg/schema";
import type { PrimitiveType, Schema } from "../../../../lib/iceberg/types";
import { canonicalRows, comparable } from "../../../support/parquet-read";
import { tables } from "../../../support/parquet-samples";

const trade = (over: Record<string, unknown> = {}): Record<string, unknown> => ({ T: "t", S: "AAPL", i: 1, x: "V", p: 150.25, s: 100, timestamp: 1_699_564_800_000, c: ["@"], z: "C", ...over });

function rejects(schema: Schema, rows: readonly unknown[]): string[] {
  const reasons: string[] = [];
  new ColumnAccumulator(schema).append(rows, (_row, index, reason) => reasons.push(`${index} ${reason}`));
  return reasons;
}

const one = (type: unknown, required = false): Schema => parseSchema({ fields: [{ name: "v", type, required }] });
const refuses = (type: unknown, value: unknown, reason: RegExp): void => {
  const reasons = rejects(one(type), [{ v: value }]);
  assert.equal(reasons.length, 1, `${String(type)} took ${String(value)}`);
  assert.match(reasons[0]!, reason);
};

describe("rows that do not fit", () => {
  it("are told apart one by one, with the column and the reason, and cost their neighbours nothing", async () => {
    const columns = new ColumnAccumulator(TRADES_SCHEMA);
    const reasons: string[] = [];
    const rows = [trade({ i: 1 }), trade({ s: 1.5 }), trade({ z: 3 }), "text", null, [trade()], trade({ c: ["@", 5] }), trade({ i: 2 ** 53 }), trade({ p: "150" }), trade({ i: 2 })];
    const taken = columns.append(rows, (row, index, reason) => reasons.push(`${rows.indexOf(row as never) === index} ${index} ${reason}`));
    assert.deepEqual(taken, { from: 0, to: 2 });
    assert.deepEqual(reasons, [
      "true 1 s: expected a whole number, got 1.5",
      "true 2 z: expected text, got 3",
      'true 3 expected an object with the fields of the table, got "text"',
      "true 4 expected an object with the fields of the table, got null",
      `true 5 expected an object with the fields of the table, got ${JSON.stringify([trade()]).slice(0, 57)}...`,
      "true 6 c.element: expected text, got 5",
      "true 7 i: expected an exact whole number (beyond 2^53 send it as text), got 9007199254740992",
      'true 8 p: expected a number, got "150"',
    ]);
    const [file] = encodeBatch({ batch: columns.take([[0, 2]]), schema: TRADES_SCHEMA, spec: { "spec-id": 0, fields: [] }, codec: "snappy" });
    const read = await canonicalRows(TRADES_SCHEMA, file!.bytes) as Record<string, unknown>[];
    assert.deepEqual(read.map((r) => [r["i"], r["c"], r["z"]]), [["1", ["@"], "C"], ["2", ["@"], "C"]]);
  });

  it("say what was expected, for every type", () => {
    refuses("boolean", 1, /v: expected true or false, got 1/);
    refuses("int", 2 ** 31, /a whole number of 32 bits, got 2147483648/);
    refuses("int", "12.5", /a whole number, got "12.5"/);
    refuses("long", "9223372036854775808", /a whole number, got "9223372036854775808"/);
    refuses("long", 1n << 63n, /of 64 bits/);
    refuses("long", Number.NaN, /a whole number, got NaN/);
    refuses("long", true, /a whole number, got true/);
    refuses("float", 1e39, /range of a 32-bit float/);
    refuses("double", "1.5", /a number, got "1.5"/);
    refuses("date", "2013-02-30", /a date/);
    refuses("date", 1.5, /a date/);
    refuses("time", "24:00", /a time of day/);
    refuses("time", -1, /a time of day/);
    refuses("timestamp", "yesterday", /a time \(ISO text/);
    refuses("timestamp", new Date(Number.NaN), /got an invalid date/);
    refuses("timestamptz", "2013-10-07T08:00:00", /with an offset or Z/);
    refuses("timestamptz", "2013-10-07T25:00:00Z", /with an offset or Z/);
    refuses("string", { a: 1 }, /text, got \{"a":1\}/);
    refuses("uuid", "f79c3e09", /a UUID/);
    refuses("fixed[4]", Buffer.alloc(5), /4 bytes \(a Buffer or base64 text\), got 5 bytes/);
    refuses("binary", "not base64!", /bytes \(a Buffer or base64 text\)/);
    refuses("decimal(5, 2)", "1000", /at most 5 digits, 2 of them after the point, got "1000"/);
    refuses("decimal(5, 2)", 1.005, /at most 5 digits/);
    refuses("decimal(15, 2)", "x", /at most 15 digits/);
    refuses("decimal(30, 2)", "0.001", /at most 30 digits/);
    refuses({ type: "list", element: "int" }, "a", /v: expected a list, got "a"/);
    refuses({ type: "list", element: "int", "element-required": true }, [1, null], /v\.element: expected a value \(it is required\), got null/);
    refuses({ type: "struct", fields: [{ name: "a", type: "int", required: true }] }, {}, /v\.a: expected a value/);
    refuses({ type: "struct", fields: [{ name: "a", type: "int" }] }, [1], /v: expected an object/);
    refuses({ type: "map", key: "string", value: "int" }, [1], /v: expected a map/);
    refuses({ type: "map", key: "string", value: "int" }, new Map([[null, 1]]), /v\.key: expected a value/);
    assert.match(rejects(one("string", true), [{}])[0]!, /v: expected a value \(the column is required\), got null/);
  });

  it("are not invented by names that every object has", () => {
    const schema = assignFreshIds({ type: "struct", "schema-id": 0, fields: ["constructor", "toString", "__proto__", 'a"b'].map((name) => ({ id: 0, name, required: false, type: "string" as PrimitiveType })) });
    assert.deepEqual(rejects(schema, [{}, { constructor: "x", toString: "y", 'a"b': "z" }]), []);
  });

  it("take nothing with them however their columns are nested", async () => {
    await fc.assert(fc.asyncProperty(tables(12), fc.array(fc.nat({ max: 11 })), async ({ schema, rows }, spoilt) => {
      const spoiled = spoilt.filter((k) => k < rows.length);
      const table: Schema = { ...schema, fields: [...schema.fields, { id: 900, name: "last", required: true, type: "int" }] };
      const inputs = rows.map((r, k) => ({ ...(r.input as object), last: spoiled.includes(k) ? "spoiled" : k }));
      const columns = new ColumnAccumulator(table);
      let refused = 0;
      columns.append(inputs, () => refused++);
      const good = rows.flatMap((r, k) => (spoiled.includes(k) ? [] : [{ ...(r.canonical as object), last: String(k) }]));
      assert.equal(refused, rows.length - good.length);
      await expectRows(columns, table, [[0, good.length]], good);
    }), { numRuns: 60, endOnFailure: true });
  });
});

async function expectRows(columns: ColumnAccumulator, schema: Schema, ranges: readonly RowRange[], expected: readonly object[]): Promise<void> {
  const batch = columns.take(ranges);
  assert.equal(batch.rows, expected.length);
  const files = encodeBatch({ batch, schema, spec: { "spec-id": 0, fields: [] }, codec: "none" });
  if (expected.length === 0) return assert.equal(files.length, 0);
  const visible = { ...schema, fields: schema.fields.filter((f) => comparable(f.type)) };
  const names = visible.fields.map((f) => f.name);
  assert.deepEqual(await canonicalRows(visible, files[0]!.bytes), expected.map((row) => Object.fromEntries(names.map((n) => [n, (row as Record<string, unknown>)[n]]))));
}

describe("rows held as columns", () => {
  it("can be taken and dropped in any order, the others staying as they are", async () => {
    const ranges = fc.array(fc.tuple(fc.nat({ max: 60 }), fc.nat({ max: 12 })), { maxLength: 3 });
    const steps = fc.array(fc.oneof(fc.record({ append: fc.nat({ max: 9 }) }), fc.record({ take: ranges }), fc.record({ drop: ranges })), { minLength: 2, maxLength: 12 });
    await fc.assert(fc.asyncProperty(tables(80), steps, async ({ schema, rows }, list) => {
      const columns = new ColumnAccumulator(schema);
      const model = new Map<number, object>();
      let next = 0;
      const choose = (wanted: [number, number][]): [RowRange[], object[]] => {
        const numbers = [...model.keys()].filter((n) => wanted.some(([from, length]) => n >= from && n < from + length)).sort((a, b) => a - b);
        const chosen = numbers.map((n) => model.get(n)!);
        for (const n of numbers) model.delete(n);
        return [numbers.map((n): RowRange => [n, n + 1]), chosen];
      };
      for (const step of list) {
        if ("append" in step) {
          const some = Array.from({ length: step.append }, (_, k) => rows[(next + k) % rows.length]!);
          assert.deepEqual(columns.append(some.map((r) => r.input), (_r, _i, reason) => assert.fail(reason)), { from: next, to: next + some.length });
          for (const row of some) model.set(next++, row.canonical as object);
        } else if ("take" in step) {
          const [chosen, expected] = choose(step.take);
          await expectRows(columns, schema, chosen, expected);
        } else {
          choose(step.drop);
          columns.drop(step.drop.map(([from, length]): RowRange => [from, from + length]));
        }
        assert.equal(columns.rows, model.size);
      }
      const [chosen, expected] = choose([[0, 1e6]]);
      await expectRows(columns, schema, chosen, expected);
      assert.equal(columns.bytes, 0);
    }), { numRuns: 80, endOnFailure: true });
  });

  it("cannot be taken twice", () => {
    const columns = new ColumnAccumulator(TRADES_SCHEMA);
    columns.append([trade(), trade(), trade()], () => assert.fail());
    columns.take([[0, 2]]);
    assert.throws(() => columns.take([[1, 3]]), /1 of the rows to be taken are not held/);
    assert.equal(columns.rows, 1);
  });

  it("do not let endless new texts fill the memory: the dictionary is given up", () => {
    const columns = new ColumnAccumulator(one("string"));
    const rows = Array.from({ length: 20_000 }, (_, i) => ({ v: i % 7 === 0 ? null : `order ${i} ü` }));
    columns.append(rows, () => assert.fail());
    const batch = columns.take([[0, rows.length]]);
    assert.equal(batch.columns[0]!.values.kind, "bytes");
    assert.ok(batch.bytes < 20_000 * 24, String(batch.bytes));
  });
});
