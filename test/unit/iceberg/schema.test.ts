import assert from "node:assert/strict";
import { TicklakeError } from "../../../lib/errors";
import { checkCompatible, fieldByName, inferSchema, lastColumnId, leafColumns, parseSchema, sameSchema, TRADES_READABLE_SCHEMA, TRADES_SCHEMA, typeText } from "../../../lib/iceberg/schema";

const refused = (input: unknown, reason: RegExp): void => {
  assert.throws(() => parseSchema(input), (error: unknown) => error instanceof TicklakeError && error.code === "SCHEMA_INVALID" && reason.test(error.message), String(reason));
};
const fields = (...list: unknown[]): unknown => ({ type: "struct", fields: list });

describe("an Iceberg schema", () => {
  it("has the documented columns for trades, the list element counted", () => {
    assert.deepEqual(TRADES_SCHEMA.fields.map((f) => `${f.name} ${typeText(f.type)}`), ["T string", "S string", "i long", "x string", "p double", "s long", "timestamp long", "c list<string>", "z string"]);
    assert.equal(lastColumnId(TRADES_SCHEMA), 10);
    assert.equal(fieldByName(TRADES_SCHEMA, "S")!.field.id, 2);
    assert.equal(fieldByName(TRADES_SCHEMA, "s")!.field.id, 6);
    assert.equal(lastColumnId(TRADES_READABLE_SCHEMA), 10);
  });

  it("reads its own JSON unchanged", () => assert.ok(sameSchema(parseSchema(JSON.stringify(TRADES_SCHEMA)), TRADES_SCHEMA)));

  it("gets fresh ids, outer fields first, when typed without any", () => {
    const schema = parseSchema(fields(
      { name: "a", type: { type: "list", element: { type: "struct", fields: [{ name: "b", type: "int" }] } } },
      { name: "m", type: { type: "map", key: "string", value: "decimal(9,2)" } }, { name: "z", type: "long", required: true },
    ));
    assert.deepEqual([lastColumnId(schema), fieldByName(schema, "z")!.field.id, fieldByName(schema, "a.element")!.field.id, fieldByName(schema, "a.element.b")!.field.id, fieldByName(schema, "m.value")!.field.id], [7, 3, 4, 5, 7]);
    assert.deepEqual(leafColumns(schema).map((c) => [c.path.join("."), c.maxDefinition, c.maxRepetition]), [
      ["a.list.element.b", 4, 1], ["m.key_value.key", 2, 1], ["m.key_value.value", 3, 1], ["z", 0, 0],
    ]);
  });

  it("says what is wrong with a bad one", () => {
    refused("{", /not valid JSON/);
    refused([], /expected an object/);
    refused(fields(), /at least one field/);
    refused(fields({ name: "a", type: "bigint" }), /a: unknown type "bigint"\. Use boolean, int, long/);
    refused(fields({ name: "a", type: "timestamp_ns" }), /format version 3/);
    refused(fields({ name: "a", type: "decimal(40,2)" }), /precision from 1 to 38/);
    refused(fields({ name: "a", type: "decimal(4,5)" }), /scale 5 is larger/);
    refused(fields({ name: "a", type: "int" }, { name: "a", type: "int" }), /"a" occurs twice/);
    refused(fields({ name: "", type: "int" }), /needs a "name"/);
    refused(fields({ id: 1, name: "a", type: "int" }, { id: 1, name: "b", type: "int" }), /a and b have the same id 1/);
    refused(fields({ id: 1, name: "a", type: "int" }, { name: "b", type: "int" }), /some fields have an id/);
    refused(fields({ name: "a", type: { type: "set" } }), /unknown type "set"/);
    refused(fields({ name: "a", type: "int", required: "yes" }), /"required" must be true or false/);
    refused({ ...(fields({ id: 1, name: "a", type: "int" }) as object), "identifier-field-ids": [7] }, /field id 7/);
  });
});

describe("a schema inferred from rows", () => {
  const inferred = (...rows: unknown[]): string[] => inferSchema(rows).fields.map((f) => `${f.name} ${typeText(f.type)}`);

  it("follows the documented rules", () => {
    assert.deepEqual(inferred({ n: 1, d: 1.5, s: "x", b: true, t: new Date(0), y: Buffer.from("a"), none: null }, { n: 2, extra: [1, null, 2.5], o: { k: "v" } }),
      ["n long", "d double", "s string", "b boolean", "t timestamptz", "y binary", "none string", "extra list<double>", "o struct<k: string>"]);
    assert.deepEqual(inferred({ i: 5 }, { i: "9007199254740993" }, { i: 7n }), ["i long"]);
    assert.deepEqual(inferred({ zip: "01234" }), ["zip string"]);
    assert.deepEqual(inferred({ p: 1 }, { p: 1.25 }), ["p double"]);
  });

  it("refuses types that do not go together, and rows without fields", () => {
    assert.throws(() => inferSchema([{ a: 1 }, { a: "x" }]), /a is long in one row and string in another/);
    assert.throws(() => inferSchema([{ o: { a: 1 } }, { o: { a: true } }]), /o\.a is long in one row and boolean/);
    assert.throws(() => inferSchema([{}, 3, null]), /no row with a field/);
  });

  it("leaves out what nulls, empty lists and empty objects do not decide, where that is asked for", () => {
    const schema = inferSchema([{ a: 1, b: null, c: [], d: {}, e: [{ f: null }, { g: 2.5 }] }], "leave-out");
    assert.deepEqual(schema.fields.map((f) => `${f.name} ${typeText(f.type)}`), ["a long", "e list<struct<g: double>>"]);
    assert.throws(() => inferSchema([{ a: null }], "leave-out"), /no row with a field that has a value/);
  });

  it("says of an object that holds itself that it has no schema", () => {
    const own: Record<string, unknown> = {};
    own["self"] = own;
    assert.throws(() => inferSchema([own]), /nested deeper than 32 levels/);
  });
});

describe("rows for an existing table", () => {
  const table = parseSchema(fields({ name: "id", type: "long", required: true }, { name: "p", type: "double" }, { name: "d", type: "decimal(10, 2)" }, { name: "o", type: { type: "struct", fields: [{ name: "a", type: "string" }] } }));

  it("match by name, with the promotions of the specification", () => {
    const rows = parseSchema(fields({ name: "p", type: "float" }, { name: "d", type: "decimal(8, 2)" }, { name: "id", type: "int", required: true }));
    assert.deepEqual(checkCompatible(rows, table), { problems: [], missing: [] });
  });

  it("say field by field why not", () => {
    const rows = parseSchema(fields({ name: "id", type: "string" }, { name: "P", type: "double" }, { name: "d", type: "decimal(10, 3)" }, { name: "o", type: { type: "struct", fields: [{ name: "b", type: "string" }] } }));
    const { problems, missing } = checkCompatible(rows, table);
    assert.deepEqual(missing.map((f) => f.name), ["P"]);
    assert.match(problems.join("\n"), /id: the table requires a value[^]*id: rows have string, the table long[^]*d: rows have decimal\(10, 3\), the table decimal\(10, 2\)[^]*o\.b: the table has no such field/);
  });
});
