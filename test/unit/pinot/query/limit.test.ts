import assert from "node:assert/strict";
import { planLimit } from "../../../../lib/pinot/query/limit";

const missing = (sql: string): boolean => planLimit(sql, { maxRows: 100 }).missing;
const added = (sql: string): string => planLimit(sql, { maxRows: 100, addLimit: true }).sql;

describe("LIMIT of a query on Pinot", () => {
  it("is missed where Pinot would cut at ten rows, and nowhere else", () => {
    for (const sql of ["SELECT S FROM t", "SELECT S, COUNT(*) FROM t GROUP BY S;", "SELECT limit1 FROM t -- LIMIT 5", "SELECT 'LIMIT 5' FROM t", "SELECT S FROM (SELECT S FROM t LIMIT 5)", "SET a = 1; SELECT S FROM t", "WITH a AS (SELECT 1) SELECT * FROM a",
      "SELECT S FROM t OPTION(timeoutMs=5)", "SELECT MAX(p) OVER () FROM t", 'SELECT "limit" FROM t', "SELECT DISTINCT S FROM t", "(SELECT S FROM t)", "SELECT count FROM t"]) {
      assert.deepEqual([sql, planLimit(sql, { maxRows: 100 })], [sql, { sql, missing: true }]);
    }
    for (const sql of ["SELECT S FROM t LIMIT 5", "select s from t limit 5, 10;", "SELECT S FROM t ORDER BY S FETCH FIRST 5 ROWS ONLY", "SELECT COUNT(*) FROM t", "SELECT SUM(p) / COUNT(*) AS a FROM t WHERE x = 1", "SELECT PERCENTILE99(p), DISTINCTCOUNTHLL(S) FROM t",
      "EXPLAIN PLAN FOR SELECT S FROM t", "SELECT 1", "", ";", "SET a = 1", "INSERT INTO t FROM FILE 'x'"]) assert.equal(missing(sql), false, sql);
  });

  it("is added where it belongs: before OFFSET, OPTION, the semicolon and comments", () => {
    assert.deepEqual([
      "SELECT S FROM t", "SELECT S FROM t;\n", "SELECT S FROM t -- all", "SELECT S FROM t OFFSET 5", "SELECT S FROM t OPTION(timeoutMs=5)", "SET a=1; SELECT S FROM t GROUP BY S ;", "SELECT S FROM t -- all\n WHERE x",
    ].map(added), [
      "SELECT S FROM t\nLIMIT 101", "SELECT S FROM t\nLIMIT 101;\n", "SELECT S FROM t\nLIMIT 101 -- all", "SELECT S FROM t\nLIMIT 101 OFFSET 5", "SELECT S FROM t\nLIMIT 101 OPTION(timeoutMs=5)", "SET a=1; SELECT S FROM t GROUP BY S\nLIMIT 101 ;", "SELECT S FROM t -- all\n WHERE x\nLIMIT 101",
    ]);
    for (const sql of ["SELECT S FROM t LIMIT 5", "SELECT COUNT(*) FROM t", "EXPLAIN PLAN FOR SELECT S FROM t"]) assert.equal(added(sql), sql);
  });

  it("is lowered to one more than is taken, so that rows which nobody takes do not travel", () => {
    const plan = (sql: string): string => planLimit(sql, { maxRows: 100 }).sql;
    assert.deepEqual(["SELECT S FROM t LIMIT 100000 -- 100000", "SELECT S FROM t LIMIT 500, 100000;", "SELECT S FROM t LIMIT 100000 OFFSET 500", "SELECT S FROM t LIMIT 99", "SELECT S FROM t LIMIT 101", "SELECT S FROM (SELECT S FROM t LIMIT 100000) LIMIT 5"].map(plan),
      ["SELECT S FROM t LIMIT 101 -- 100000", "SELECT S FROM t LIMIT 500, 101;", "SELECT S FROM t LIMIT 101 OFFSET 500", "SELECT S FROM t LIMIT 99", "SELECT S FROM t LIMIT 101", "SELECT S FROM (SELECT S FROM t LIMIT 100000) LIMIT 5"]);
  });
});
