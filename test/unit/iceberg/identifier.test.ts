import assert from "node:assert/strict";
import { identifierText, parseIdentifier } from "../../../lib/iceberg/catalog/identifier";

describe("table names", () => {
  const cases: [text: string, catalog: string, parts: string[]][] = [
    ["db.trades", "local", ["db", "trades"]],
    ["local.db.trades", "local", ["db", "trades"]],
    ["lake.db.trades", "lake", ["db", "trades"]],
    ["local.db.trades", "lake", ["local", "db", "trades"]],
    ["spark_catalog.db.trades", "lake", ["db", "trades"]],
    ["spark_catalog.local.db.trades", "lake", ["local", "db", "trades"]],
    ["spark_catalog.trades", "lake", ["spark_catalog", "trades"]],
    ["a.b.c.d", "local", ["a", "b", "c", "d"]],
    [" db.`my.table` ", "local", ["db", "my.table"]],
    ['"local"."db"."T"', "local", ["db", "T"]],
    ["db.märkte-2024_11", "local", ["db", "märkte-2024_11"]],
  ];
  for (const [text, catalog, parts] of cases) {
    it(`${text} in catalog ${catalog} is ${parts.join(" / ")}`, () => {
      const identifier = parseIdentifier(text, catalog);
      assert.deepEqual([...identifier.namespace, identifier.name], parts);
    });
  }

  const bad: [text: string, reason: RegExp][] = [
    ["", /empty/], ["   ", /empty/], ["trades", /no namespace.*db\.trades/], ["local.trades", /no namespace/], ["db.", /empty/], [".trades", /empty/], ["db..trades", /empty/],
    ["db.`..`", /leads out of the warehouse/], ["`..`.`..`.etc", /leads out/], ["db.a/b", /path separator/], ["db.a\\b", /path separator/], ["db.c:x", /path separator/],
    ["db.a\u0000b", /control characters/], ["db.a\nb", /control characters/], ["db.`a ", /not closed/], ["db.`a`b", /follows a closing quote/], ["db. trades", /blank/],
    [`db.${"n".repeat(201)}`, /200 bytes/], ["db.`t.`", /dot/],
  ];
  for (const [text, reason] of bad) {
    it(`${JSON.stringify(text.slice(0, 30))} is refused`, () => {
      assert.throws(() => parseIdentifier(text, "local"), (error: { code: string; message: string }) => error.code === "TABLE_NAME_INVALID" && reason.test(error.message));
    });
  }

  it("are written back with quotes where they need them", () => {
    assert.equal(identifierText({ namespace: ["db"], name: "my.table" }), "db.`my.table`");
  });
});
