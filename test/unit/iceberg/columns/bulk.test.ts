import assert from "node:assert/strict";
import fc from "fast-check";
import { ColumnAccumulator, type BulkColumn, type BulkRows } from "../../../../lib/iceberg/columns";
import { parseSchema, TRADES_SCHEMA } from "../../../../lib/iceberg/schema";
import type { Schema } from "../../../../lib/iceberg/types";

/** Rows and the same rows as columns. */
interface Both { readonly rows: Record<string, unknown>[]; readonly bulk: BulkRows }

type Dictionary<V> = { values: (V | null)[] };
const codesOf = <V>(dictionary: Dictionary<V>, values: readonly (V | null)[]): Uint16Array => Uint16Array.from(values.map((value) => {
  const at = value === null ? 0 : dictionary.values.findIndex((known) => known !== null && JSON.stringify(known) === JSON.stringify(value));
  return at >= 0 ? at : dictionary.values.push(value) - 1;
}));
const words = (values: readonly bigint[]): Int32Array => Int32Array.from(values.flatMap((v) => [Number(BigInt.asIntN(32, v)), Number(v >> 32n)]));

function both(rows: Record<string, unknown>[], texts: Dictionary<string>, lists: Dictionary<string[]>): Both {
  const column = (name: string): unknown[] => rows.map((row) => row[name]);
  const columns: Record<string, BulkColumn> = {
    T: { kind: "constant", value: "t" },
    S: { kind: "text", codes: codesOf(texts, column("S") as (string | null)[]), dictionary: texts },
    i: { kind: "long", words: words(column("i").map((v) => BigInt(v as string))) },
    p: { kind: "double", data: Float64Array.from(column("p") as number[]) },
    c: { kind: "texts", codes: codesOf(lists, column("c") as (string[] | null)[]), dictionary: lists },
    more: { kind: "constant", value: "not in every table" },
  };
  return { rows, bulk: { count: rows.length, columns } };
}

const schemaOf = (fields: [string, unknown, boolean?][]): Schema => parseSchema({ fields: fields.map(([name, type, required]) => ({ name, type, required: required ?? false })) });
const list = (required = false) => ({ type: "list", element: "string", "element-required": required });
const tables: [string, Schema][] = [
  ["all columns", schemaOf([["T", "string"], ["S", "string"], ["i", "long"], ["p", "double"], ["c", list()]])],
  ["another order, columns that the rows lack", schemaOf([["c", list(true)], ["x", "string"], ["p", "double"], ["when", "timestamptz"], ["i", "long", true], ["tags", list()], ["S", "string"]])],
  ["trades", TRADES_SCHEMA],
];

const word = fc.oneof(fc.constantFrom("AAPL", "MSFT", "@", "ä"), fc.string({ maxLength: 4 }));
const row = fc.record({ T: fc.constant("t"), S: fc.option(word), i: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String), p: fc.double({ noNaN: true }), c: fc.option(fc.array(word, { maxLength: 3 })), more: fc.constant("not in every table") });
const batches = fc.array(fc.tuple(fc.array(row, { maxLength: 12 }), fc.boolean(), fc.constantFrom("keep", "keep", "take", "drop")), { maxLength: 6 });

/** Everything that the columns hold, as plain data. */
const contents = (columns: ColumnAccumulator, ranges: [number, number][]): unknown => JSON.parse(JSON.stringify(columns.take(ranges).columns, (_key, value: unknown) => {
  if (Object.is(value, -0)) return "-0";
  return ArrayBuffer.isView(value) ? [...(value as Uint8Array)].map(String) : value;
}));

describe("rows that are columns already", () => {
  for (const [name, schema] of tables) {
    it(`land exactly as the same rows as objects would, mixed with objects, takes and drops: ${name} (random)`, () => {
      fc.assert(fc.property(batches, (parts) => {
        const byColumn = new ColumnAccumulator(schema), byRow = new ColumnAccumulator(schema);
        const texts: Dictionary<string> = { values: [null] }, lists: Dictionary<string[]> = { values: [null] };
        let held: [number, number][] = [];
        for (const [rows, asObjects, then] of parts) {
          const { bulk } = both(rows, texts, lists);
          const expected = byRow.append(rows, () => assert.fail("refused"));
          const numbers = asObjects ? byColumn.append(rows, () => assert.fail("refused")) : byColumn.appendColumns(bulk);
          assert.deepEqual(numbers, expected);
          assert.equal(byColumn.rows, byRow.rows);
          assert.equal(byColumn.bytes, byRow.bytes);
          held.push([expected.from, expected.to]);
          if (then === "take") {
            assert.deepEqual(contents(byColumn, held.slice(0, 1)), contents(byRow, held.slice(0, 1)));
            held = held.slice(1);
          } else if (then === "drop") {
            const last = held.pop()!;
            byColumn.drop([last]);
            byRow.drop([last]);
          }
        }
        assert.deepEqual(contents(byColumn, held), contents(byRow, held));
      }), { numRuns: 200 });
    });
  }

  it("and so they do when nearly every text is new, so that a column gives its dictionary up in the middle", () => {
    const rows = Array.from({ length: 12_000 }, (_, k) => ({ T: "t", S: k % 5 === 0 ? null : k % 7 === 0 ? "AAPL" : `symbol ${k}`, i: String(k), p: k, c: k % 3 === 0 ? ["@", "I"] : [`c${k}`, `d${k}`], more: "" }));
    const texts: Dictionary<string> = { values: [null, ...rows.map((r) => r.S).filter((s, k) => s !== null && rows.findIndex((r) => r.S === s) === k)] };
    const at = new Map(texts.values.map((value, k) => [value, k]));
    const lists: Dictionary<string[]> = { values: [null, ["@", "I"], ...rows.filter((_, k) => k % 3 !== 0).map((r) => r.c)] };
    let next = 1;
    const bulk: BulkRows = { count: rows.length, columns: {
      T: { kind: "constant", value: "t" },
      S: { kind: "text", dictionary: texts, codes: Uint16Array.from(rows.map((r) => at.get(r.S)!)) },
      i: { kind: "long", words: words(rows.map((r) => BigInt(r.i))) },
      p: { kind: "double", data: Float64Array.from(rows.map((r) => r.p)) },
      c: { kind: "texts", dictionary: lists, codes: Uint16Array.from(rows.map((_, k) => (k % 3 === 0 ? 1 : ++next))) },
    } };
    const byColumn = new ColumnAccumulator(tables[0]![1]), byRow = new ColumnAccumulator(tables[0]![1]);
    for (let pass = 0; pass < 2; pass++) {
      byColumn.appendColumns(bulk);
      byRow.append(rows, () => assert.fail("refused"));
    }
    const [ours, theirs] = [byColumn, byRow].map((columns) => columns.take([[0, 24_000]]).columns);
    assert.deepEqual([ours![1]!.values.kind, ours![4]!.values.kind], ["bytes", "bytes"], "the case is the one that is meant");
    ours!.forEach((column, k) => {
      assert.deepEqual([column.count, column.slots, column.def, column.rep], [theirs![k]!.count, theirs![k]!.slots, theirs![k]!.def, theirs![k]!.rep]);
      assert.deepEqual(column.values.kind === "bytes" ? [column.values.data, column.values.offsets] : column.values, theirs![k]!.values.kind === "bytes" ? [theirs![k]!.values.data, theirs![k]!.values.offsets] : theirs![k]!.values);
    });
  });

  it("are not taken where a table asks for another type, or for a value that a row lacks: then nothing of them is there", () => {
    const rows = [{ T: "t", S: "AAPL", i: "1", p: 1, c: ["@"], more: "" }, { T: "t", S: null, i: "2", p: 2, c: null, more: "" }];
    const { bulk } = both(rows, { values: [null] }, { values: [null] });
    const refused: [string, unknown, boolean?][] = [["S", "string", true], ["c", list(), true], ["i", "int"], ["i", "string"], ["i", "timestamp"], ["i", "decimal(18,0)"], ["p", "float"], ["p", "long"], ["c", "string"], ["c", { type: "list", element: "long", "element-required": false }], ["S", "binary"], ["S", list()], ["new", "string", true], ["T", "boolean"]];
    for (const field of refused) {
      const columns = new ColumnAccumulator(schemaOf([["z", "string"], field]));
      assert.equal(columns.appendColumns(bulk), undefined, JSON.stringify(field));
      assert.equal(columns.rows, 0);
      assert.equal(columns.take([]).columns.every((column) => column.slots === 0), true);
    }
  });
});
