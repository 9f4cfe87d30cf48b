import assert from "node:assert/strict";
import fc from "fast-check";
import { prepareText } from "../../../lib/sql/text";

const references = (sql: string) => [...prepareText(sql).references.values()];

describe("SQL text before parsing", () => {
  it("leaves what DuckDB parses as it is", () => {
    for (const sql of [
      "SELECT 1", "select * from a.b x where c = 'FROM a.b.c.d VERSION AS OF 1' -- VERSION AS OF 2\n and \"version as of\" = 1", "SELECT a.b.c.d.e FROM t", "SELECT version FROM t AS version",
      "SELECT $$ it's FROM a.b.c.d $$, /* FROM a.b.c.d */ 1e5, x::DECIMAL(10,2), EXTRACT(day FROM a.b.c)", "SELECT timestamp AS of FROM t", "",
    ]) assert.deepEqual([prepareText(sql).sql, references(sql)], [sql, []]);
  });

  it("any text at all", () => {
    fc.assert(fc.property(fc.string(), (text) => {
      const literal = `SELECT '${text.replaceAll("'", "''")}'`;
      assert.equal(prepareText(literal).sql, literal);
    }));
  });

  it("takes time travel out, wherever the alias stands", () => {
    const { sql, references: found } = prepareText("SELECT * FROM local.db.t VERSION AS OF 9007199254740993 AS a JOIN db.u FOR TIMESTAMP AS OF '2024-11-01 10:00:00' b ON true");
    assert.match(sql, /^SELECT \* FROM "\ue0f10" AS a JOIN "\ue0f11" b ON true$/);
    assert.deepEqual([...found.values()], [
      { parts: ["local", "db", "t"], travel: { kind: "version", version: 9007199254740993n } },
      { parts: ["db", "u"], travel: { kind: "time", ms: Date.UTC(2024, 10, 1, 10) } },
    ]);
  });

  it("knows all ways to say it", () => {
    const travel = (text: string) => references(`SELECT * FROM db.t ${text}`)[0]?.travel;
    assert.deepEqual(travel("FOR SYSTEM_VERSION AS OF 'audit'"), { kind: "version", version: "audit" });
    assert.deepEqual(travel("version as of 'it''s'"), { kind: "version", version: "it's" });
    assert.deepEqual(travel("FOR SYSTEM_TIME AS OF TIMESTAMP '2024-11-01'"), { kind: "time", ms: Date.UTC(2024, 10, 1) });
    assert.deepEqual(travel("TIMESTAMP AS OF 1730419200"), { kind: "time", ms: 1_730_419_200_000 }, "seconds, as in Spark");
    assert.throws(() => travel("TIMESTAMP AS OF 'yesterday'"), { code: "SQL_INVALID", message: /takes a time in quotes/ });
    assert.throws(() => travel("VERSION AS OF"), { code: "SQL_INVALID", message: /not nothing/ });
  });

  it("takes long table names where tables stand, and backquotes anywhere", () => {
    assert.deepEqual(references("SELECT a.b.c.d FROM local.db.t.snapshots s, local.`a b`.\"c\"\"d\".files WHERE x.y.z.w = 1"), [
      { parts: ["local", "db", "t", "snapshots"] }, { parts: ["local", "a b", 'c"d', "files"] },
    ]);
    assert.deepEqual(references("SELECT (SELECT count(*) FROM a.b.c.d) FROM (a.b.c.e JOIN f.g.h.i USING (k)), j.k.l.m").map(({ parts }) => parts.join(".")), ["a.b.c.d", "a.b.c.e", "f.g.h.i", "j.k.l.m"]);
    assert.equal(prepareText("SELECT `a`` b` FROM `db`.t").sql, 'SELECT "a` b" FROM "db".t');
  });
});
