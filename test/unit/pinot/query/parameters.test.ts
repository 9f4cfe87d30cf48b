import assert from "node:assert/strict";
import fc from "fast-check";
import { bindParameters, parameterNames } from "../../../../lib/pinot/query/parameters";
import { tokenize } from "../../../../lib/pinot/query/tokens";

const bound = (value: unknown): string => bindParameters("SELECT :v", { v: value }).replace("SELECT ", "");

describe("parameters of a query on Pinot", () => {
  it("writes every kind of value as Pinot's parser wants it", () => {
    assert.deepEqual(
      ["AAPL", "it's", "", "back\\slash", 'a "b"', 1.5, -3, 0, 1e21, 1e-7, 9007199254740993n, true, false, null, new Date(1_700_000_000_000)].map(bound),
      ["'AAPL'", "'it''s'", "''", "'back\\slash'", "'a \"b\"'", "1.5", "-3", "0", "1e+21", "1e-7", "9007199254740993", "TRUE", "FALSE", "NULL", "1700000000000"],
    );
  });

  it("writes lists for IN, with parentheses or without", () => {
    const params = { s: ["AAPL", "it's"], n: [1, 2n] };
    assert.equal(bindParameters("WHERE S IN (:s) AND i IN :n AND x NOT IN ('V', :s)", params), "WHERE S IN ('AAPL', 'it''s') AND i IN (1, 2) AND x NOT IN ('V', 'AAPL', 'it''s')");
  });

  it("writes names of columns and tables behind :\"...\", and nothing that is none", () => {
    assert.equal(bindParameters('SELECT :"column" FROM :"table" GROUP BY :"column"', { column: "timestamp", table: "flattened_stocks_REALTIME" }), 'SELECT "timestamp" FROM "flattened_stocks_REALTIME" GROUP BY "timestamp"');
    for (const name of ['x" FROM secrets --', "", "1a", "a b", "a;b", 5, null, ["a"]]) assert.throws(() => bindParameters('SELECT :"c"', { c: name }), { code: "SQL_INVALID", message: /stands for a name of a column or table/ });
  });

  it("leaves texts, quoted names, comments and casts alone", () => {
    for (const sql of ["SELECT ':a' , \":a\" -- :a\n", "SELECT /* :a\n:a */ 1 // :a", "SELECT x::INT, 'it'':a'", "SELECT '\\':1", "SELECT c[1 : 2]"]) assert.equal(bindParameters(sql, {}), sql);
    assert.deepEqual(parameterNames("SELECT ':a', :b, :\"c\" -- :d\n, :b"), ["b", "c"]);
  });

  it("says which parameter is missing, and never takes what an object inherits", () => {
    assert.throws(() => bindParameters("SELECT :symbol", { sym: 1 }), { code: "SQL_INVALID", message: /parameter :symbol, but msg\.params has no symbol \(it has sym\)/ });
    for (const params of [undefined, null, "AAPL", ["AAPL"], {}, { toString: undefined }]) assert.throws(() => bindParameters("SELECT :toString", params), { message: /msg\.params has no toString/ });
  });

  it("refuses what SQL cannot hold", () => {
    for (const [value, message] of [
      [Number.NaN, /NaN/], [Infinity, /Infinity/], [2 ** 53, /lost digits/], [-(2 ** 60), /lost digits/], [2n ** 63n, /beyond Pinot's LONG/], [{ a: 1 }, /an object/], [() => 1, /type function/], ["a\0b", /NUL/],
      [new Date("x"), /Invalid Date/], [Buffer.from("a"), /an object/],
    ] as [unknown, RegExp][]) assert.throws(() => bound(value), { code: "SQL_INVALID", message });
    for (const [value, message] of [[[], /empty list/], [[null], /with null in it/], [[[1]], /with a list in it/]] as [unknown, RegExp][]) assert.throws(() => bindParameters("x IN (:v)", { v: value }), { message });
    assert.throws(() => bindParameters("x = :v", { v: [1] }), { message: /only behind IN/ });
  });

  it("says how to insert a name where only a name can stand, and still takes values of functions", () => {
    for (const sql of ["SELECT * FROM :t", "SELECT 1 FROM a JOIN :t", "SELECT 1 FROM a GROUP BY :t", "SELECT 1 FROM a ORDER BY :t"]) assert.throws(() => bindParameters(sql, { t: "x" }), { message: /Write :"t" to insert a name/ });
    assert.equal(bindParameters("SELECT EXTRACT(HOUR FROM :t) FROM a", { t: 1 }), "SELECT EXTRACT(HOUR FROM 1) FROM a");
  });

  it("lets nothing grow together with its neighbours", () => {
    assert.equal(bindParameters("SELECT 5-:n, 'a':t, :t'a', U&:t, x:n", { n: -1, t: "it's" }), "SELECT 5- -1, 'a' 'it''s', 'it''s' 'a', U& 'it''s', x -1");
  });

  it("refuses SQL that does not end: what seems to be code could be text for Pinot", () => {
    for (const sql of ["SELECT 'a", "SELECT \"a", "SELECT /* a", "SELECT 'it''s"]) assert.throws(() => bindParameters(`${sql} :v`, { v: 1 }), { code: "SQL_INVALID", message: /is not closed/ });
  });

  it("keeps quotes side by side, of which Pinot would drop one", () => {
    assert.deepEqual(["6''", "''''"].map(bound), ["CONCAT('6''', '''', '')", "CONCAT(CONCAT('''', '''', ''), CONCAT('''', '''', ''), '')"]);
  });

  it("any text stays one text: what surrounds it is what it was", () => {
    const nasty = fc.oneof(fc.string({ unit: "binary" }), fc.string({ unit: fc.constantFrom("'", '"', "\\", "-", "/", "*", ":", ";", "\n", "\r", "a", " ", "(", ")", "U&") }));
    fc.assert(fc.property(nasty, nasty, (a, b) => {
      fc.pre(!/\0|''/.test(`${a} ${b}`));
      const sql = bindParameters("SELECT :a, x FROM t WHERE y = :b OR z=:a-- end\nLIMIT 1", { a, b });
      const tokens = tokenize(sql);
      assert.deepEqual(tokens.filter(({ kind }) => kind === "string").map(({ text }) => text.slice(1, -1).replaceAll("''", "'")), [a, b, a]);
      assert.deepEqual(tokens.filter(({ kind }) => kind !== "string" && kind !== "space").map(({ text }) => text).join(" "), "SELECT , x FROM t WHERE y = OR z = LIMIT 1");
    }), { numRuns: 400 });
  });

  it("any number reads back as itself, alone and behind a minus", () => {
    fc.assert(fc.property(fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.maxSafeInteger(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })), (n) => {
      fc.pre(typeof n === "bigint" || !Number.isInteger(n) || Number.isSafeInteger(n));
      const text = bound(n);
      assert.equal(typeof n === "bigint" ? BigInt(text) : Number(text), Object.is(n, -0) ? 0 : n);
      assert.doesNotMatch(bindParameters("SELECT 1-:n", { n }), /--/);
    }));
  });

  it("any SQL at all comes back as it is where it has no parameters", () => {
    fc.assert(fc.property(fc.string({ unit: fc.constantFrom("'", '"', "-", "/", "*", "\n", "a", " ", "1", ".", "e", "::") }), (sql) => {
      let tokens: string;
      try { tokens = tokenize(sql).map(({ text }) => text).join(""); } catch (error) { assert.match((error as Error).message, /is not closed/); return; }
      assert.equal(tokens, sql);
    }), { numRuns: 1000 });
  });
});
