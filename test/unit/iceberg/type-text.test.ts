import assert from "node:assert/strict";
import fc from "fast-check";
import { runOperation } from "../../../lib/iceberg/operations";
import { HadoopCatalog } from "../../../lib/iceberg/catalog/hadoop";
import { parseSchema, typeText } from "../../../lib/iceberg/schema";
import { currentSchema } from "../../../lib/iceberg/metadata";
import { parseColumnsText, parseTypeText } from "../../../lib/iceberg/type-text";
import type { Type } from "../../../lib/iceberg/types";
import { MemoryIO } from "../../support/memory-io";

/** The type as the table has it, written by typeText. */
const typed = (text: string): string => typeText(parseSchema({ type: "struct", fields: [{ name: "x", type: parseTypeText(text) }] }).fields[0]!.type);

describe("a type as text", () => {
  it("has Iceberg's names and Spark's, in any case, nested as deep as one likes", () => {
    for (const [text, type] of [
      ["string", "string"], [" BIGINT ", "long"], ["Integer", "int"], ["smallint", "int"], ["tinyint", "int"], ["real", "float"], ["bool", "boolean"], ["varchar(20)", "string"], ["char(3)", "string"],
      ["timestamp", "timestamp"], ["timestamp_ntz", "timestamp"], ["timestamp_ltz", "timestamptz"], ["timestamptz", "timestamptz"], ["uuid", "uuid"],
      ["decimal(10,2)", "decimal(10, 2)"], ["DECIMAL ( 38 , 18 )", "decimal(38, 18)"], ["numeric(5)", "decimal(5, 0)"], ["dec", "decimal(10, 0)"], ["fixed[16]", "fixed[16]"], ["fixed(4)", "fixed[4]"],
      ["list<string>", "list<string>"], ["ARRAY<array<bigint>>", "list<list<long>>"], ["map<string,long>", "map<string, long>"], ["map<string, array<double>>", "map<string, list<double>>"],
      ["struct<a:int,b:string>", "struct<a: int, b: string>"], ["STRUCT<a int NOT NULL COMMENT 'it''s', `say: what` array<struct<c:date>>>", "struct<a: int, say: what: list<struct<c: date>>>"],
      ["struct<int:int,map:string>", "struct<int: int, map: string>"],
    ] as const) assert.equal(typed(text), type, text);
    const [field] = (parseTypeText("struct<a: int NOT NULL COMMENT 'it''s'>") as { fields: object[] }).fields;
    assert.deepEqual(field, { name: "a", type: "int", required: true, doc: "it's" });
  });

  it("reads back every type that is shown", () => {
    const name = fc.constantFrom("a", "Bid", "list", "struct_", "Ünicode", "x1");
    const { type } = fc.letrec<{ type: Type }>((tie) => ({
      type: fc.oneof({ maxDepth: 4 },
        fc.constantFrom<Type>("boolean", "int", "long", "float", "double", "date", "time", "timestamp", "timestamptz", "string", "uuid", "binary", "fixed[7]", "decimal(9, 2)"),
        tie("type").map((element): Type => ({ type: "list", "element-id": 0, element, "element-required": false })),
        fc.tuple(tie("type"), tie("type")).map(([key, value]): Type => ({ type: "map", "key-id": 0, key, "value-id": 0, value, "value-required": false })),
        fc.dictionary(name, tie("type"), { minKeys: 1, maxKeys: 3 }).map((fields): Type => ({ type: "struct", fields: Object.entries(fields).map(([one, inner]) => ({ id: 0, name: one, required: false, type: inner })) }))),
    }));
    fc.assert(fc.property(type, (one) => { assert.equal(typed(typeText(one)), typeText(one)); }), { numRuns: 200 });
  });

  it("says where it is none, and which there are", () => {
    for (const [text, reason] of [
      ["", /expected a type, but it ends there.*list<T>, map<K, V>.*array<T>/], ["strin", /expected a type, not "strin" \(character 1\)/], ["constructor", /not "constructor"/],
      ["list", /expected "<", but it ends there/], ["list<string", /expected ">", but it ends/], ["list<string>>", /the end of the type, not ">" \(character 13\)/], ["map<string>", /expected ",", not ">"/],
      ["struct<>", /the name of a field, not ">"/], ["struct<a>", /expected a type, not ">"/], ["struct<a:int,>", /the name of a field/], ["struct<a int NOT b>", /NULL after NOT/], ["struct<a int COMMENT b>", /single quotes/],
      ["decimal(x,2)", /a number, not "x"/], ["decimal(10", /"\)", but it ends/], ["fixed", /expected "\["/], ["interval", /not "interval"/], ["string; drop", /the end of the type, not ";"/],
    ] as const) assert.throws(() => parseTypeText(text), { code: "SCHEMA_INVALID", message: reason }, text);
    assert.throws(() => typed("decimal(40,2)"), /precision from 1 to 38/);
    assert.throws(() => typed("struct<a:int,a:int>"), /"x\.a" occurs twice/);
  });

  it("is taken by create, add-column and widen-column", async () => {
    const catalog = new HadoopCatalog({ warehouse: "mem:/wh", io: new MemoryIO() });
    const run = (operation: string, options: object): Promise<unknown> => runOperation({ catalog, table: "db.t", operation, options });
    await run("create", { schema: "id int NOT NULL COMMENT 'counts', `S` string, q: struct<bid: float>, d decimal(9,2)", partitionBy: "bucket[4](id)" });
    await run("add-column", { column: "tags", type: "array<string>" });
    await run("add-column", { column: "q.sizes", type: "map<string, struct<a:bigint, b:decimal(10,2)>>", position: "first" });
    await run("widen-column", { column: "id", type: "bigint" });
    await run("widen-column", { column: "d", type: "decimal(12,2)" });
    const { fields } = currentSchema((await catalog.loadTable({ namespace: ["db"], name: "t" })).state.metadata);
    assert.deepEqual(fields.map(({ id, name, type, required, doc }) => [id, name, typeText(type), required, doc]), [
      [1, "id", "long", true, "counts"], [2, "S", "string", false, undefined], [3, "q", "struct<sizes: map<string, struct<a: long, b: decimal(10, 2)>>, bid: float>", false, undefined], [4, "d", "decimal(12, 2)", false, undefined], [6, "tags", "list<string>", false, undefined],
    ]);
    await assert.rejects(run("add-column", { column: "x", type: "array<strin>" }), { code: "SCHEMA_INVALID", message: /expected a type, not "strin" \(character 7\)/ });
    await assert.rejects(run("create", { schema: "id bigint, S strin" }), { code: "SCHEMA_INVALID", message: /expected a type, not "strin"/ });
    assert.deepEqual(parseColumnsText("a int").map(({ name }) => name), ["a"]);
  });
});
