import assert from "node:assert/strict";
import { DuckDBInstance, type DuckDBConnection } from "@duckdb/node-api";
import { parseStatement } from "../../../lib/sql/ast";
import { neededColumns } from "../../../lib/sql/needed";
import { findTables } from "../../../lib/sql/tables";

describe("columns that a query needs", () => {
  let connection: DuckDBConnection;
  let instance: DuckDBInstance;
  before(async () => {
    instance = await DuckDBInstance.create(":memory:");
    connection = await instance.connect();
  });
  after(() => {
    connection.closeSync();
    instance.closeSync();
  });

  /** Per use of a table, in the order of the text: "all" or the names, sorted. */
  const needed = async (sql: string): Promise<unknown[]> => {
    const json = String((await connection.runAndReadAll("SELECT json_serialize_sql($1::VARCHAR)", [sql])).getRows()[0]![0]);
    const statement = parseStatement(json);
    const uses = findTables(statement);
    return [...neededColumns(statement, uses).values()].map((need) => (need === "all" ? "all" : [...need].sort().join(" ")));
  };

  for (const [sql, expected] of [
    ["SELECT count(*) FROM db.t", [""]],
    ["SELECT a, b + 1 FROM db.t WHERE c > 5 GROUP BY ALL HAVING max(d) > 1 ORDER BY e", ["a b c d e"]],
    ["SELECT t.a, t.q.bid FROM db.t", ["a bid q t"]],
    ["SELECT * FROM db.t", ["all"]],
    ["FROM db.t", ["all"]],
    ["SELECT * EXCLUDE (a) FROM db.t", ["all"]],
    ["SELECT count(t) FROM db.t", ["all"]],
    ["SELECT x FROM db.t AS x", ["all"]],
    ["SELECT #1 FROM db.t", ["all"]],
    ["SELECT x.a FROM db.t AS x(a, b)", ["all"]],
    ["SELECT k.a FROM db.t k NATURAL JOIN db.u", ["all", "all"]],
    ["SELECT v.a FROM db.t v JOIN db.u w USING (b)", ["a b v", "a b v"]],
    ["SELECT v.*, w.b FROM db.t v JOIN db.u w ON v.c = w.c", ["all", "b c v w"]],
    ["SELECT * FROM (SELECT a FROM db.t) x", ["a"]],
    ["SELECT * FROM (SELECT a FROM db.t) x, db.u", ["a", "all"]],
    ["WITH c AS (SELECT a, b FROM db.t) SELECT * FROM c", ["a b"]],
    ["SELECT a FROM db.t UNION ALL SELECT b FROM db.u", ["a b", "a b"]],
    ["SELECT a FROM db.t ORDER BY ALL", ["all"]],
    ["SELECT a FROM db.t WHERE EXISTS (SELECT * FROM db.u WHERE u.b = t.c)", ["a b c t u", "all"]],
    ["SELECT list_transform(c, lambda x: x || d), sum(a) OVER (PARTITION BY b) FROM db.t", ["a b c d x"]],
    ["SELECT x FROM db.t, unnest(t.c) AS y(x)", ["c t x"]],
  ] as const) {
    it(sql, async () => assert.deepEqual(await needed(sql), expected));
  }
});
