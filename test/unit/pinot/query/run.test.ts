import assert from "node:assert/strict";
import { TicklakeError } from "../../../../lib/errors";
import { checkQuery } from "../../../../lib/pinot/query/check";
import { documentedQueries } from "../../../../lib/pinot/query/documented";
import { parsePinotQuery, type PinotQueryInput } from "../../../../lib/pinot/query/options";
import { type BrokerRequest, runPinotQuery } from "../../../../lib/pinot/query/run";
import type { PinotResult } from "../../../../lib/pinot/query/result";
import { recorded, recordings } from "../../../support/pinot/stand-in";

/** A broker that gives these answers, the last one for ever. */
function broker(...answers: unknown[]): { asked: BrokerRequest[]; waits: number[]; ask(request: BrokerRequest, wait: { timeoutMs: number }): Promise<unknown> } {
  const asked: BrokerRequest[] = [], waits: number[] = [];
  return {
    asked, waits,
    ask(request, { timeoutMs }) {
      asked.push(request);
      waits.push(timeoutMs);
      return Promise.resolve(answers[Math.min(asked.length, answers.length) - 1]);
    },
  };
}
const table = (names: string[], types: string[], rows: unknown[][], more: object = {}): object => ({ resultTable: { dataSchema: { columnNames: names, columnDataTypes: types }, rows }, exceptions: [], numServersQueried: 1, numServersResponded: 1, ...more });
const failed = (errorCode: number, message = "why", more: object = {}): object => ({ exceptions: [{ errorCode, message }], ...more });
const run = (answer: unknown, input: Partial<PinotQueryInput> = {}): Promise<PinotResult> => runPinotQuery(broker(answer).ask, parsePinotQuery({ sql: "SELECT a FROM t LIMIT 5", ...input }));
async function errorOf(work: Promise<unknown>): Promise<TicklakeError> {
  try { await work; } catch (error) { return error as TicklakeError; }
  throw new Error("no error");
}

describe("a query on Pinot", () => {
  it("sends SQL with its parameters and the time-out, and waits a little longer than Pinot itself", async () => {
    const { asked, waits, ask } = broker(table(["n"], ["LONG"], [[1]]));
    await runPinotQuery(ask, parsePinotQuery({ sql: "SELECT COUNT(*) AS n FROM t WHERE S = :s", params: { s: "it's" }, timeoutMs: "2 seconds" }));
    assert.deepEqual(asked, [{ sql: "SELECT COUNT(*) AS n FROM t WHERE S = 'it''s'", queryOptions: "timeoutMs=2000" }]);
    assert.deepEqual(waits, [5000]);
  });

  it("gives rows as objects, Pinot's types, and its statistics under their own names (recorded from 1.5.1)", async () => {
    const { rows, columns, statistics } = await run(recorded("all types", "case-sensitive").response);
    assert.deepEqual(rows[0], { T: "t", S: "SPY", i: 99997, x: "N", p: 149.97, timestamp: 1795411878315, c: ["@", "I"], z: "C" });
    assert.deepEqual(columns.map(({ name, type }) => `${name} ${type}`), ["T STRING", "S STRING", "i LONG", "x STRING", "p DOUBLE", "timestamp LONG", "c STRING_ARRAY", "z STRING"]);
    assert.deepEqual([statistics["numDocsScanned"], statistics["totalDocs"], statistics["requestId"], statistics.truncated, statistics.partial, statistics.warnings], [3, 200025, "1935316357000000021", false, false, []]);
    assert.ok(!("exceptions" in statistics) && !("resultTable" in statistics) && !("traceInfo" in statistics));
  });

  it("keeps every digit of a LONG, alone and in a list, and says NaN and infinities as text", async () => {
    const { rows } = await run(table(["l", "a", "d", "b", "s", "n"], ["LONG", "LONG_ARRAY", "DOUBLE", "BIG_DECIMAL", "STRING", "DOUBLE"], [["9007199254740993", [1, "9007199254740993"], "12345678901234567890", "1.10", "123", "NaN"], [1, [], 1.5, "0", "", null]]));
    assert.deepEqual(rows, [{ l: "9007199254740993", a: [1, "9007199254740993"], d: 12345678901234567000, b: "1.10", s: "123", n: "NaN" }, { l: 1, a: [], d: 1.5, b: "0", s: "", n: null }]);
  });

  it("names columns of one name apart, and a column called __proto__ is a column", async () => {
    const { rows } = await run(table(["a", "a", "__proto__"], ["INT", "INT", "INT"], [[1, 2, 3]]));
    assert.deepEqual(Object.entries(rows[0]!), [["a", 1], ["a_1", 2], ["__proto__", 3]]);
  });

  it("flags what is cut at maxRows, asking for one row more to know it", async () => {
    const { asked, ask } = broker(table(["a"], ["INT"], [[1], [2], [3]]));
    const { rows, statistics } = await runPinotQuery(ask, parsePinotQuery({ sql: "SELECT a FROM t", maxRows: 2, addLimit: true }));
    assert.equal(asked[0]!.sql, "SELECT a FROM t\nLIMIT 3");
    assert.deepEqual([rows, statistics.truncated, statistics.limitMissing], [[{ a: 1 }, { a: 2 }], true, false]);
  });

  it("tells that a LIMIT is missing, as a warning", async () => {
    const { statistics } = await run(table(["a"], ["INT"], [[1]]), { sql: "SELECT a FROM t" });
    assert.equal(statistics.limitMissing, true);
    assert.match(statistics.warnings.join(), /no LIMIT: Pinot returns 10 rows at the most/);
  });

  it("flags partial answers: servers that did not answer, groups that were left out", async () => {
    for (const [more, warning] of [[{ numServersResponded: 0 }, /Only 0 of 1 servers answered/], [{ numGroupsLimitReached: true }, /more groups than Pinot keeps/], [{ partialResult: true }, /partial/], [{ maxRowsInJoinReached: true }, /join or window/]] as [object, RegExp][]) {
      const { statistics } = await run(table(["a"], ["INT"], [], more));
      assert.equal(statistics.partial, true);
      assert.match(statistics.warnings.join(), warning);
    }
  });

  it("takes the rows of servers that answered only where that is allowed, and never for an error of the query", async () => {
    const some = table(["a"], ["INT"], [[1]], failed(427, "1 servers [x] not responded"));
    assert.equal((await errorOf(run(some))).code, "PINOT_TIMEOUT");
    const { rows, statistics } = await run(some, { allowPartial: true });
    assert.deepEqual([rows, statistics.partial], [[{ a: 1 }], true]);
    assert.match(statistics.warnings.join(), /not responded \(Pinot's error 427\)/);
    assert.equal((await errorOf(run(failed(427), { allowPartial: true }))).code, "PINOT_TIMEOUT");
    assert.equal((await errorOf(run(table(["a"], ["INT"], [[1]], failed(700)), { allowPartial: true }))).code, "SQL_INVALID");
  });

  for (const [name, phase, code, message] of [
    ["unknown table", "default", "TABLE_NOT_FOUND", /^Pinot has no table nope\. Create it with pinot-table.*\(Pinot's error 190\)$/],
    ["bad SQL", "default", "SQL_INVALID", /^Pinot cannot read this SQL: From line 1, column 1 to line 1, column 5: Non-query expression encountered in illegal context \(Pinot's error 150\)$/],
    ["last hour unquoted", "default", "SQL_INVALID", /^Pinot cannot read this SQL: Encountered " "TIMESTAMP" "timestamp "" at line 1, column 75\. timestamp is a reserved word: as the name of a column it stands in double quotes, "timestamp"\./],
    ["unknown column", "default", "SQL_INVALID", /^The table has no column nope\. Names of columns are case-sensitive/],
    ["unknown function", "default", "SQL_INVALID", /Unsupported function: nope \(Pinot's error 700\)/],
    ["sum of s", "default", "SQL_INVALID", /Cannot compute sum for non-numeric type: STRING/],
    ["percentiles multi-stage", "default", "SQL_INVALID", /No match found for function signature PERCENTILE50/],
    ["tiny timeout", "default", "PINOT_TIMEOUT", /no answer in time: 1 servers \[127\.0\.0\.1_R\] not responded\. Raise the time-out/],
  ] as const) {
    it(`says what to do about: ${name} (recorded from 1.5.1)`, async () => {
      const { request, response } = recorded(name, phase);
      const error = await errorOf(run(response, { sql: (request as { sql: string }).sql }));
      assert.match(error.message, message);
      assert.equal(error.code, code);
      assert.deepEqual(error.details?.["pinot"], [(response as { exceptions: { errorCode: number }[] }).exceptions[0]!.errorCode]);
    });
  }

  it("finds the reason of 0.11, which says it only in a cause", async () => {
    const stack = (cause: string): object => failed(150, `SQLParsingError:\norg.apache.pinot.sql.parsers.SqlCompilationException: Caught exception while parsing query: SELEC 1\n\tat org.apache.A.b(A.java:1)\n...\nCaused by: ${cause}\n\tat org.apache.C.d(C.java:1)`);
    assert.equal((await errorOf(run(stack("org.apache.calcite.runtime.CalciteContextException: From line 1, column 1 to line 1, column 5: Non-query expression encountered in illegal context")))).message,
      "Pinot cannot read this SQL: From line 1, column 1 to line 1, column 5: Non-query expression encountered in illegal context (Pinot's error 150)");
    assert.match((await errorOf(run(stack('x.ParseException: Encountered " "TIMESTAMP" "timestamp "" at line 1, column 23.\nWas expecting one of:\n    "EXISTS" ...'), { sql: "SELECT timestamp FROM t" }))).message, /column 23\. timestamp is a reserved word/);
    assert.equal((await errorOf(run(stack("java.lang.Odd: no idea")))).message, "Pinot cannot read this SQL: no idea (Pinot's error 150)");
  });

  it("gives every other code of Pinot one of ours, and leaves stack traces out", async () => {
    const codes: [number, string][] = [[180, "PINOT_DENIED"], [191, "TABLE_NOT_FOUND"], [200, "SQL_INVALID"], [210, "PINOT_FAILED"], [240, "PINOT_TIMEOUT"], [245, "SQL_TOO_LARGE"], [250, "PINOT_TIMEOUT"], [305, "PINOT_FAILED"], [400, "PINOT_TIMEOUT"], [425, "PINOT_FAILED"], [429, "SQL_BUSY"], [450, "PINOT_FAILED"], [503, "STOPPED"], [720, "SQL_INVALID"], [1000, "PINOT_FAILED"], [99999, "PINOT_FAILED"]];
    for (const [errorCode, code] of codes) assert.equal((await errorOf(run(failed(errorCode)))).code, code, String(errorCode));
    const { message } = await errorOf(run(failed(200, "QueryExecutionError:\njava.lang.RuntimeException: Caught it\n\tat org.apache.Pinot.run(Pinot.java:1)\n\t... 8 more")));
    assert.equal(message, "Pinot cannot run this query: Caught it (Pinot's error 200)");
    assert.equal((await errorOf(run({ exceptions: ["what"] }))).code, "PINOT_FAILED");
  });

  it("asks again for a short while where a new table is served by nobody yet, and not for ever", async () => {
    let clock = 0;
    const options = { now: () => clock, pause: (ms: number) => { clock += ms; return Promise.resolve(); } };
    const later = broker(failed(410, "BrokerResourceMissingError"), failed(410), table(["n"], ["LONG"], [[0]]));
    assert.deepEqual((await runPinotQuery(later.ask, parsePinotQuery({ sql: "SELECT COUNT(*) AS n FROM t" }), options)).rows, [{ n: 0 }]);
    assert.equal(later.asked.length, 3);
    const never = broker(failed(410));
    const error = await errorOf(runPinotQuery(never.ask, parsePinotQuery({ sql: "SELECT COUNT(*) AS n FROM db.t" }), options));
    assert.deepEqual([error.code, /has the table db\.t, but none of its servers serves it yet/.test(error.message)], ["PINOT_FAILED", true]);
    assert.ok(never.asked.length > 10 && never.asked.length < 40, String(never.asked.length));
  });

  it("stops when its node closes, also while it waits for a new table", async () => {
    const closing = new AbortController();
    const error = await errorOf(runPinotQuery(broker(failed(410)).ask, parsePinotQuery({ sql: "SELECT 1" }), { signal: closing.signal, pause: () => { closing.abort(); return Promise.resolve(); } }));
    assert.equal(error.code, "STOPPED");
  });

  it("takes no other service for a broker", async () => {
    for (const answer of ["<html>", [], null, { resultTable: { rows: 1 } }, table(["a"], ["INT"], [[1, 2]])]) assert.equal((await errorOf(run(answer))).code, "INTERNAL");
  });

  it("checks its settings, naming the one that is wrong", () => {
    for (const [input, message] of [[{ sql: "" }, /There is no SQL/], [{ sql: ["a"] }, /an array/], [{ sql: "a", timeoutMs: 0 }, /timeoutMs: "0"/], [{ sql: "a", timeoutMs: "soon" }, /timeoutMs/], [{ sql: "a", timeoutMs: 2 ** 31 }, /timeoutMs/], [{ sql: "a", maxRows: 1.5 }, /maxRows/]] as [PinotQueryInput, RegExp][]) {
      assert.throws(() => parsePinotQuery(input), { message });
    }
    const { timeoutMs, maxRows, params } = parsePinotQuery({ sql: "a", params: { b: 2 }, defaults: { a: 1, b: 1 } });
    assert.deepEqual([timeoutMs, maxRows, params], [10_000, 10_000, { a: 1, b: 2 }]);
  });

  it("is checked while it is written: LIMIT, parameters, what does not end", () => {
    assert.deepEqual(checkQuery({ sql: "SELECT S FROM t WHERE S = :s AND x = :x", params: '{"x": "V"}' }), { limitMissing: true, unset: ["s"], withLimit: "SELECT S FROM t WHERE S = :s AND x = :x\nLIMIT 1000" });
    assert.match(checkQuery({ sql: "SELECT 'a" }).problem!, /not closed/);
    assert.match(checkQuery({ sql: "SELECT 1", params: "{" }).problem!, /an object of JSON/);
    assert.deepEqual(checkQuery({ sql: undefined }), { limitMissing: false, unset: [] });
  });
});

describe("the documented queries", () => {
  it("are those that a real 1.5.1 answered, in both names of the columns", () => {
    const squeeze = (sql: string): string => sql.replace(/ +-- [^\n]*/g, "").replace(/;$/, "").replace(/\s+/g, " ");
    const names: Record<string, string> = { counts: "counts", prices: "prices", lastHour: "last hour quoted", exchanges: "exchanges", minutes: "one-minute buckets", percentiles: "percentiles" };
    for (const [key, name] of Object.entries(names)) {
      const sql = documentedQueries()[key as keyof ReturnType<typeof documentedQueries>];
      const found = recordings().find((one) => one.name === name && one.phase === "case-sensitive")!;
      assert.equal(squeeze(sql), (found.request as { sql: string }).sql);
    }
    assert.match(documentedQueries("readable", "trades").exchanges, /exchange as exchange,\s+SUM\(size\) as total_volume,[\s\S]*FROM trades\s+GROUP BY exchange/);
  });

  it("all have a LIMIT and quote timestamp", () => {
    for (const [key, sql] of Object.entries(documentedQueries())) assert.deepEqual([key, checkQuery({ sql }).limitMissing, /[^"]timestamp[^"]/.test(sql)], [key, false, false]);
  });
});
