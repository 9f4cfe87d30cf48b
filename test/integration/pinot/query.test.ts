import assert from "node:assert/strict";
import fc from "fast-check";
import type { TicklakeError } from "../../../lib/errors";
import type { PinotCluster } from "../../../lib/pinot/cluster";
import { documentedQueries } from "../../../lib/pinot/query/documented";
import { parsePinotQuery, type PinotQueryInput } from "../../../lib/pinot/query/options";
import type { PinotResult } from "../../../lib/pinot/query/result";
import { runPinotQuery } from "../../../lib/pinot/query/run";
import { tableColumns, tableNames } from "../../../lib/pinot/query/tables";
import { parseTable, runTableOperation } from "../../../lib/pinot/table";
import { createTopic, produce, sharedKafka } from "../../support/kafka";
import { clusterFor, sharedPinot, uniqueTable } from "../../support/pinot";

interface Trade { T: string; S: string; i: string; x: string; p: number; s: number; timestamp: number; c: string[]; z: string }

/** Twelve symbols, two of them hard to quote; an id beyond 2^53. */
const SYMBOLS = ["AAPL", "GOOGL", "MSFT", "AMZN", "TSLA", "NVDA", "META", "AMD", "SPY", "QQQ", "O'NEIL", "6''"];
const COUNT = 2400;
const NOW = Math.floor(Date.now() / 60_000) * 60_000;
const trades: readonly Trade[] = Array.from({ length: COUNT }, (_, k) => ({
  T: "t", S: SYMBOLS[k % 12]!, i: k === 0 ? "9007199254740993" : String(k), x: "VQNZ"[k % 4]!, p: 100 + (k % 97) / 4, s: 1 + (k % 50),
  // Half within the last hour, half two hours ago.
  timestamp: NOW - (k % 2 === 0 ? 10 * 60_000 : 120 * 60_000) + k, c: ["@", "I"].slice(0, 1 + (k % 2)), z: "C",
}));

/** On whatever Pinot there is: 0.11.0 of the stack, or that of PINOT_CONTROLLER_URL. */
describe("queries on a real Pinot", function () {
  this.timeout(180_000);
  let cluster: PinotCluster;
  let table: string;
  let brokers: string;
  const run = (sql: string, params: unknown = {}, input: Partial<PinotQueryInput> = {}): Promise<PinotResult> =>
    runPinotQuery(async (request, wait) => (await cluster.http.send("broker", { method: "POST", path: "/query/sql", body: request, ...wait })).body, parsePinotQuery({ sql: sql.replaceAll("{table}", table), params, ...input }));
  const rows = async (sql: string, params?: unknown, input?: Partial<PinotQueryInput>): Promise<Record<string, unknown>[]> => (await run(sql, params, input)).rows;
  const operate = (operation: "create" | "delete", name: string): Promise<unknown> => runTableOperation({ cluster, operation, settings: parseTable({ table: name, topic: name, kafkaBrokers: brokers }), confirm: true });

  before(async () => {
    const [pinot, kafka] = await Promise.all([sharedPinot(), sharedKafka()]);
    [cluster, brokers, table] = [clusterFor(pinot), kafka.brokers, uniqueTable("queried")];
    await createTopic(brokers, table, { partitions: 2 });
    // Ids as bare digits.
    await produce(brokers, table, trades.map((trade, k) => ({ value: JSON.stringify(trade).replace(/"i":"(\d+)"/, '"i":$1'), partition: k % 2 })));
    await operate("create", table);
    for (const end = Date.now() + 60_000; ;) {
      const [row] = await rows("SELECT COUNT(*) AS n FROM {table}");
      if (row?.["n"] === COUNT) break;
      assert.ok(Date.now() < end, `${String(row?.["n"])} of ${COUNT} trades`);
      await new Promise((done) => { setTimeout(done, 100); });
    }
  });
  after(async () => { for (const name of [table, `${table}_new`]) await operate("delete", name).catch(() => undefined); });

  const of = (symbol: unknown): Trade[] => trades.filter(({ S }) => S === symbol);
  const sum = (list: readonly Trade[], key: "p" | "s"): number => list.reduce((n, trade) => n + trade[key], 0);
  const near = (is: unknown, wanted: number): void => { assert.ok(Math.abs(Number(is) - wanted) < 1e-6, `${String(is)} instead of ${wanted}`); };

  describe("the documented ones, beside the same in plain JavaScript", () => {
    const documented = (key: keyof ReturnType<typeof documentedQueries>): Promise<Record<string, unknown>[]> => rows(documentedQueries("documented", table)[key]);

    it("trades per symbol, the ten with the most", async () => {
      const found = await documented("counts");
      assert.equal(found.length, 10);
      for (const row of found) assert.equal(row["trade_count"], of(row["symbol"]).length);
    });

    it("average, lowest and highest price per symbol, all of them", async () => {
      const found = await documented("prices");
      assert.deepEqual(found.map((row) => row["symbol"]).sort(), [...SYMBOLS].sort());
      for (const row of found) {
        const prices = of(row["symbol"]).map(({ p }) => p);
        near(row["avg_price"], prices.reduce((a, b) => a + b) / prices.length);
        assert.deepEqual([row["min_price"], row["max_price"]], [Math.min(...prices), Math.max(...prices)]);
      }
    });

    it("trades in the last hour", async () => {
      const recent = trades.filter(({ timestamp }) => timestamp > NOW - 3_600_000);
      const found = await documented("lastHour");
      assert.equal(found.reduce((n, row) => n + Number(row["recent_trades"]), 0), recent.length);
      for (const row of found) assert.equal(row["recent_trades"], recent.filter(({ S }) => S === row["symbol"]).length);
    });

    it("exchanges by volume; the sum of whole numbers is a DOUBLE", async () => {
      const result = await run(documentedQueries("documented", table).exchanges);
      assert.deepEqual(result.columns, [{ name: "exchange", type: "STRING" }, { name: "total_volume", type: "DOUBLE" }, { name: "trade_count", type: "LONG" }]);
      const wanted = [..."VQNZ"].map((x) => trades.filter((trade) => trade.x === x)).map((list) => ({ exchange: list[0]!.x, total_volume: sum(list, "s"), trade_count: list.length }));
      const byName = (list: readonly Record<string, unknown>[]) => [...list].sort((a, b) => String(a["exchange"]).localeCompare(String(b["exchange"])));
      assert.deepEqual(byName(result.rows), byName(wanted));
      assert.deepEqual(result.rows.map((row) => row["total_volume"]), wanted.map((row) => row.total_volume).sort((a, b) => b - a), "the largest first");
    });

    it("one-minute bars", async () => {
      const bars = new Map<number, Trade[]>();
      for (const trade of of("AAPL")) bars.set(Math.floor(trade.timestamp / 60_000), [...bars.get(Math.floor(trade.timestamp / 60_000)) ?? [], trade]);
      const found = await documented("minutes");
      assert.deepEqual(found.map((row) => row["time_bucket"]), [...bars.keys()].sort((a, b) => b - a));
      for (const row of found) {
        const list = bars.get(Number(row["time_bucket"]))!;
        near(row["avg_price"], sum(list, "p") / list.length);
        assert.equal(row["volume"], sum(list, "s"));
      }
    });

    it("percentiles lie where they must", async () => {
      for (const row of await documented("percentiles")) {
        const prices = of(row["symbol"]).map(({ p }) => p).sort((a, b) => a - b);
        for (const [key, share] of [["median_price", 0.5], ["p90_price", 0.9], ["p99_price", 0.99]] as const) {
          const at = Math.min(prices.length - 1, Math.floor(prices.length * share));
          assert.ok(prices.slice(Math.max(0, at - 1), at + 2).includes(Number(row[key])), `${key} ${String(row[key])} of ${String(row["symbol"])}`);
        }
      }
    });

    it("the latest trades, every column with its type", async () => {
      const { rows: found, columns } = await run(documentedQueries("documented", table).latest);
      assert.deepEqual(found.map((row) => row["timestamp"]), trades.map(({ timestamp }) => timestamp).sort((a, b) => b - a).slice(0, 10));
      const { i, ...rest } = trades.find(({ timestamp }) => timestamp === found[0]!["timestamp"])!;
      assert.deepEqual(found[0], { ...rest, i: Number(i) });
      assert.deepEqual(Object.fromEntries(columns.map(({ name, type }) => [name, type])), { T: "STRING", S: "STRING", i: "LONG", x: "STRING", p: "DOUBLE", s: "LONG", timestamp: "LONG", c: "STRING_ARRAY", z: "STRING" });
    });
  });

  describe("parameters", () => {
    it("arrive as they are, whatever they hold", async () => {
      const hostile = fc.sample(fc.string({ unit: fc.constantFrom("'", '"', "\\", "-", "/", "*", ":", ";", "\n", "\r", "a", " ", "(", ")", "U&", "option(timeoutMs=1)", "SET a=1;", "$", "é", "日", "😀"), maxLength: 14 }), { numRuns: 60, seed: 7 });
      for (const text of ["it's", "''", "'; DROP TABLE x; --", "a' OR '1'='1", "", ...hostile]) {
        assert.deepEqual(Object.values((await rows("SELECT :v, 'end' -- tail 'x\n", { v: text }))[0]!), [text, "end"], JSON.stringify(text));
      }
    });

    it("find rows: text with quotes, numbers, ids beyond 2^53 as BigInt and as text, dates, lists, names", async () => {
      const count = async (where: string, params: object): Promise<unknown> => (await rows(`SELECT COUNT(*) AS n FROM {table} WHERE ${where}`, params))[0]!["n"];
      for (const S of ["O'NEIL", "6''", "AAPL", "a' OR '1'='1"]) assert.equal(await count("S = :S", { S }), of(S).length, S);
      assert.equal(await count("S IN (:list) AND p >= :p", { list: ["O'NEIL", "6''"], p: 110.25 }), trades.filter(({ S, p }) => /'/.test(S) && p >= 110.25).length);
      assert.equal(await count("s NOT IN :list", { list: [1, 2] }), trades.filter(({ s }) => s > 2).length);
      assert.equal(await count('"timestamp" > :since', { since: new Date(NOW - 3_600_000) }), trades.filter(({ timestamp }) => timestamp > NOW - 3_600_000).length);
      for (const id of [9007199254740993n, "9007199254740993"]) {
        assert.deepEqual(await rows("SELECT i, S FROM {table} WHERE i = :id LIMIT 5", { id }), [{ i: "9007199254740993", S: "AAPL" }]);
      }
      const grouped = await rows('SELECT :"column" AS k, COUNT(*) AS n FROM :"table" GROUP BY :"column" ORDER BY :"column" LIMIT 9', { column: "x", table });
      assert.deepEqual(grouped, ["N", "Q", "V", "Z"].map((k) => ({ k, n: COUNT / 4 })));
      assert.equal(await count("p - :n > 0 AND p-:n > 0", { n: -1.5e-7 }), COUNT);
    });
  });

  describe("LIMIT", () => {
    const sql = "SELECT S, COUNT(*) AS n FROM {table} GROUP BY S";
    it("that is missing cuts at ten of twelve, and is told; added, all come", async () => {
      const cut = await run(sql);
      assert.deepEqual([cut.rows.length, cut.statistics.limitMissing], [10, true]);
      assert.equal((await rows(sql, {}, { addLimit: true })).length, 12);
      assert.equal((await rows(`${sql} -- all\n;`, {}, { addLimit: true })).length, 12);
      assert.equal((await rows(`${sql} OPTION(timeoutMs=5000)`, {}, { addLimit: true })).length, 12);
    });

    it("and maxRows: what is more is flagged, and does not travel", async () => {
      const few = await run("SELECT i FROM {table} LIMIT 2000", {}, { maxRows: 7 });
      assert.deepEqual([few.rows.length, few.statistics.truncated, few.statistics["numDocsScanned"]], [7, true, few.statistics["numDocsScanned"]]);
      assert.ok(Number(few.statistics["numDocsScanned"]) < 100, String(few.statistics["numDocsScanned"]));
      const exact = await run("SELECT i FROM {table} LIMIT 7", {}, { maxRows: 7 });
      assert.deepEqual([exact.rows.length, exact.statistics.truncated], [7, false]);
    });
  });

  describe("errors say what to do", () => {
    for (const [what, sql, code, pinot, message] of [
      ["a table that is not there", "SELECT * FROM nowhere_at_all LIMIT 1", "TABLE_NOT_FOUND", [190], /no table nowhere_at_all/],
      ["no SQL at all", "SELEC 1", "SQL_INVALID", [150], /cannot read this SQL: .*Non-query expression/],
      ["timestamp without quotes", 'SELECT S FROM {table} WHERE timestamp > now() - 3600000 LIMIT 5', "SQL_INVALID", [150], /timestamp is a reserved word.*"timestamp"/],
      ["an unknown column", "SELECT nope FROM {table} LIMIT 1", "SQL_INVALID", [710], /no column nope/],
      ["an unknown function", "SELECT NOPE(p) FROM {table} LIMIT 1", "SQL_INVALID", undefined, /cannot run this query/],
      ["a sum of texts", "SELECT SUM(S) FROM {table}", "SQL_INVALID", undefined, /cannot run this query/],
    ] as [string, string, string, number[] | undefined, RegExp][]) {
      it(what, async () => {
        await assert.rejects(run(sql), (error: TicklakeError) => {
          assert.match(error.message, message);
          assert.doesNotMatch(error.message, /\n|\bat org\.apache/);
          assert.equal(error.code, code);
          if (pinot) assert.deepEqual(error.details?.["pinot"], pinot);
          return true;
        });
      });
    }

    it("a broker that is not there", async () => {
      const away = clusterFor({ controllerUrl: "http://127.0.0.1:1", brokerUrl: "http://127.0.0.1:1" });
      await assert.rejects(runPinotQuery(async (request, wait) => (await away.http.send("broker", { method: "POST", path: "/query/sql", body: request, ...wait })).body, parsePinotQuery({ sql: "SELECT 1" })), { code: "PINOT_UNREACHABLE" });
    });
  });

  it("answers on a table that was created this moment", async () => {
    const fresh = `${table}_new`;
    await createTopic(brokers, fresh);
    await operate("create", fresh);
    // 0.11 has no rows at all of a table without segments.
    assert.equal((await rows(`SELECT COUNT(*) AS n FROM ${fresh}`))[0]?.["n"] ?? 0, 0);
  });

  it("lists tables and columns for dialogs", async () => {
    assert.ok((await tableNames(cluster.http)).includes(table));
    const columns = await tableColumns(cluster.http, table);
    assert.deepEqual(columns.filter(({ name }) => /^[csS]$|timestamp/.test(name)).map(({ name, type }) => `${name} ${type}`).sort(), ["S STRING", "c STRING_ARRAY", "s LONG", "timestamp LONG"]);
    await assert.rejects(tableColumns(cluster.http, "nowhere_at_all"), { code: "TABLE_NOT_FOUND" });
  });
});
