import assert from "node:assert/strict";
import { unlink } from "node:fs/promises";
import { DuckDBInstance } from "@duckdb/node-api";
import { TicklakeError } from "../../../lib/errors";
import type { Table } from "../../../lib/iceberg/catalog/types";
import { append } from "../../../lib/iceberg/commit";
import type { Schema } from "../../../lib/iceberg/types";
import { CatalogTables } from "../../../lib/sql/catalog-tables";
import { type QueryRequest, type QueryResult, SqlEngine } from "../../../lib/sql/engine";
import { appendRows, createTable, DAY_MS, dayOfTrades, FIRST_DAY, temporaryCatalog, type TestCatalog } from "../../support/tables";

const AGGREGATE = `SELECT
  S as symbol,
  COUNT(*) as trade_count,
  AVG(p) as avg_price,
  SUM(s) as total_volume
FROM local.db.flattened_stocks
GROUP BY S
ORDER BY trade_count DESC;`;

describe("SQL over Iceberg tables", () => {
  let catalog: TestCatalog;
  let other: TestCatalog;
  let trades: Table;
  const engine = new SqlEngine();
  const tables = new CatalogTables();
  const removals: (() => Promise<void>)[] = [];

  const query = (sql: string, more: Partial<QueryRequest> = {}): Promise<QueryResult> => engine.query({ sql, tables: tables.resolver(catalog, [catalog, other]), ...more });
  const rows = async (sql: string, more: Partial<QueryRequest> = {}): Promise<Record<string, unknown>[]> => (await query(sql, more)).rows;
  const fails = (sql: string, code: string, message: RegExp, more: Partial<QueryRequest> = {}): Promise<void> =>
    assert.rejects(query(sql, more), (error: unknown) => {
      assert.ok(error instanceof TicklakeError, String(error));
      assert.match(error.message, message);
      assert.equal(error.code, code, error.message);
      return true;
    });

  before(async () => {
    const [a, b] = [await temporaryCatalog("local"), await temporaryCatalog("Lake")];
    catalog = a.catalog;
    other = b.catalog;
    removals.push(a.remove, b.remove);
    trades = await createTable(catalog, "db.flattened_stocks");
    for (let day = 0; day < 3; day++) await appendRows(trades, dayOfTrades(day));
    const names: Schema = { type: "struct", "schema-id": 0, fields: [{ id: 1, name: "S", required: false, type: "string" }, { id: 2, name: "Name", required: false, type: "string" }] };
    await appendRows(await createTable(other, "Ref.flattened_stocks", { schema: names }), [{ S: "AAPL", Name: "Apple" }, { S: "BRK.B", Name: "Berkshire" }]);
    await createTable(catalog, "db.empty");
  });
  after(async () => {
    await engine.close();
    for (const remove of removals) await remove();
  });

  it("runs the documented aggregate query verbatim", async () => {
    const got = await rows(AGGREGATE);
    assert.deepEqual(got.map((row) => row["trade_count"]), [9, 9, 6, 6]);
    assert.deepEqual(got.sort((a, b) => String(a["symbol"]).localeCompare(String(b["symbol"]))), [
      { symbol: "AAPL", trade_count: 9, avg_price: 114, total_volume: 4500 },
      { symbol: "BRK.B", trade_count: 9, avg_price: 115, total_volume: 5400 },
      { symbol: null, trade_count: 6, avg_price: 115, total_volume: 3600 },
      { symbol: "Ünïcödé ✓ 😀", trade_count: 6, avg_price: 114, total_volume: 3000 },
    ]);
  });

  it("gives every column of the latest trades under its own name, S and s apart, ids with all digits", async () => {
    const { rows: latest, columns } = await query("SELECT * FROM local.db.flattened_stocks ORDER BY timestamp DESC LIMIT 10;");
    assert.equal(latest.length, 10);
    assert.deepEqual(latest[0], { ...dayOfTrades(2)[9] });
    assert.deepEqual(columns.map(({ name, type }) => `${name} ${type}`), ["T VARCHAR", "S VARCHAR", "i BIGINT", "x VARCHAR", "p DOUBLE", "s BIGINT", "timestamp BIGINT", "c VARCHAR[]", "z VARCHAR"]);
  });

  it("compares ids beyond 2^53 exactly", async () => {
    assert.deepEqual(await rows("SELECT i FROM db.flattened_stocks WHERE i = 9007199254740995"), [{ i: "9007199254740995" }]);
    assert.deepEqual(await rows("SELECT max(i) - min(i) AS d FROM db.flattened_stocks"), [{ d: 209 }]);
  });

  describe("names", () => {
    it("tells an unknown column with what there is, and its twin of another case", async () => {
      await fails("SELECT symbol FROM db.flattened_stocks", "SQL_INVALID", /^No column `symbol`; the table has T, S, i, x, p, s, timestamp, c, z\./);
      await fails("SELECT P FROM db.flattened_stocks", "SQL_INVALID", /did you mean `p`\?/);
      await fails("SELECT t.P FROM db.flattened_stocks t", "SQL_INVALID", /did you mean `p`\?/);
      await fails("SELECT * EXCLUDE (P) FROM db.flattened_stocks", "SQL_INVALID", /No column `P`/);
      await fails("SELECT q.S FROM db.flattened_stocks t", "SQL_INVALID", /No table or alias `q`/);
    });

    it("tells an unknown table with what exists", async () => {
      await fails("SELECT * FROM db.trades", "TABLE_NOT_FOUND", /No table db\.trades\. The catalog local has .*db\.empty, db\.flattened_stocks/);
      await fails("SELECT * FROM Lake.db.trades", "TABLE_NOT_FOUND", /The catalog Lake has Ref\.flattened_stocks/);
      await fails("SELECT * FROM flattened_stocks", "TABLE_NAME_INVALID", /no namespace\. Write db\.flattened_stocks/);
      await fails('SELECT * FROM db."../../etc"', "TABLE_NAME_INVALID", /path separator|leads out/);
    });

    it("keeps aliases, expressions and duplicates of a result apart", async () => {
      const { columns } = await query("SELECT count(*), AVG(p), S, s, S AS s2, p * 2, 'x', a.S FROM db.flattened_stocks a GROUP BY ALL");
      assert.deepEqual(columns.map(({ name }) => name), ["count(*)", "avg(p)", "S", "s", "s2", "(p * 2)", "'x'", "S_1"]);
    });

    it("takes qualified names with and without database and catalog", async () => {
      const sql = "SELECT flattened_stocks.S, db.flattened_stocks.s, local.db.flattened_stocks.i FROM local.db.flattened_stocks WHERE db.flattened_stocks.S = 'AAPL' ORDER BY 3 LIMIT 1";
      assert.deepEqual(await rows(sql), [{ S: "AAPL", s: 100, i: "9007199254740993" }]);
      assert.equal((await rows("SELECT `S` FROM `local`.`db`.`flattened_stocks`")).length, 30);
      assert.equal((await rows("SELECT S FROM spark_catalog.db.flattened_stocks")).length, 30);
    });

    it("folds no case in aliases, CTEs, subqueries, lambdas, REPLACE and RENAME", async () => {
      const sql = `WITH A AS (SELECT S AS k, s AS K FROM db.flattened_stocks), B AS (SELECT k, K FROM A WHERE K > 900)
        SELECT x.k, x.K, (SELECT max(S) FROM db.flattened_stocks b WHERE b.s = x.K AND b.S = x.k) AS again FROM B X JOIN B x ON X.K = x.K AND X.k = x.k GROUP BY ALL`;
      assert.deepEqual(await rows(sql), [{ k: "BRK.B", K: 1000, again: "BRK.B" }]);
      const replaced = await rows("SELECT * EXCLUDE (T, i, x, c, z, timestamp) REPLACE (s * 2 AS s) RENAME (p AS P) FROM db.flattened_stocks WHERE S = 'AAPL' ORDER BY s, P LIMIT 1");
      assert.deepEqual(replaced, [{ S: "AAPL", P: 100, s: 200 }]);
      assert.deepEqual(await rows("SELECT list_transform(c, lambda C: lower(C)) AS c FROM db.flattened_stocks WHERE c IS NOT NULL LIMIT 1"), [{ c: ["@", null, "i"] }]);
    });

    it("takes twins of different case in one list, which the parser alone refuses", async () => {
      assert.deepEqual(Object.keys((await rows("SELECT * EXCLUDE (S, s) FROM db.flattened_stocks LIMIT 1"))[0]!), ["T", "i", "x", "p", "timestamp", "c", "z"]);
      const [row] = await rows("SELECT * EXCLUDE (T, i, x, c, z, timestamp) REPLACE (s * 2 AS s, lower(S) AS S) FROM db.flattened_stocks WHERE S = 'AAPL' AND s = CAST(100 AS BIGINT) ORDER BY p LIMIT 1");
      assert.deepEqual(row, { S: "aapl", p: 100, s: 200 });
      assert.deepEqual(await rows("WITH A AS (SELECT 1 AS x), a AS (SELECT x + 1 AS X FROM A) SELECT A.x, a.X, {'K': 1, 'k': 2} AS st, 'A a' AS \"T\" FROM A, a"), [{ x: 1, X: 2, st: { K: 1, k: 2 }, T: "A a" }]);
      await fails("WITH A AS (SELECT 1), A AS (SELECT 2) SELECT * FROM A", "SQL_INVALID", /Duplicate CTE name/);
      assert.deepEqual(await rows("SELECT count(*) AS n FROM db.flattened_stocks a JOIN db.flattened_stocks b USING (S, s, i)"), [{ n: 24 }]);
    });

    it("joins tables of several catalogs that have one name", async () => {
      const sql = `SELECT n.Name, count(*) AS n FROM local.db.flattened_stocks t JOIN Lake.Ref.flattened_stocks n USING (S) GROUP BY 1 ORDER BY 1`;
      assert.deepEqual(await rows(sql), [{ Name: "Apple", n: 9 }, { Name: "Berkshire", n: 9 }]);
      const unaliased = "SELECT count(*) AS n FROM db.flattened_stocks, Lake.Ref.flattened_stocks WHERE db.flattened_stocks.S = Lake.Ref.flattened_stocks.S";
      assert.deepEqual(await rows(unaliased), [{ n: 18 }]);
    });

    it("knows the engine's own names in any case", async () => {
      assert.equal((await rows("SELECT CURRENT_DATE AS d, Current_Timestamp AS t, count(*) AS n FROM db.flattened_stocks")).length, 1);
    });
  });

  describe("files", () => {
    const scanned = async (where: string): Promise<[number, number, unknown]> => {
      const result = await query(`SELECT count(*) AS n FROM db.flattened_stocks t WHERE ${where}`);
      return [result.filesScanned, result.filesSkipped, result.rows[0]!["n"]];
    };

    it("are skipped by partition, by statistics and by functions of constants", async () => {
      assert.deepEqual(await scanned(`timestamp >= ${FIRST_DAY + 2 * DAY_MS}`), [1, 2, 10]);
      assert.deepEqual(await scanned("timestamp >= epoch_ms(TIMESTAMP '2024-11-03')"), [1, 2, 10]);
      assert.deepEqual(await scanned("t.timestamp BETWEEN epoch_ms(TIMESTAMP '2024-11-02') AND epoch_ms(TIMESTAMP '2024-11-03') - 1"), [1, 2, 10]);
      assert.deepEqual(await scanned("p < 105 AND S = 'AAPL'"), [1, 2, 2]);
      assert.deepEqual(await scanned("p < 105 OR p > 125"), [2, 1, 9]);
      assert.deepEqual(await scanned("NOT (p >= 105)"), [1, 2, 5]);
      assert.deepEqual(await scanned("S > 'zzz'"), [3, 0, 6]);
      assert.deepEqual(await scanned("S LIKE '0%'"), [0, 3, 0]);
      assert.deepEqual(await scanned("i IN (9007199254741094, 9007199254741095)"), [1, 2, 2]);
      assert.deepEqual(await scanned("T IS NULL"), [0, 3, 0]);
      assert.deepEqual(await scanned("timestamp > epoch_ms(now())"), [0, 3, 0]);
    });

    it("are never skipped where the row of an outer join, a sample or a random value decides", async () => {
      const outer = await query("SELECT count(*) AS n FROM Lake.Ref.flattened_stocks r LEFT JOIN db.flattened_stocks t ON r.S = t.S WHERE t.timestamp IS NULL");
      assert.deepEqual([outer.filesSkipped, outer.rows[0]!["n"]], [0, 0]);
      assert.deepEqual((await scanned("p > random() * 0")).slice(0, 2), [3, 0]);
      const sample = await query("SELECT count(*) AS n FROM db.flattened_stocks USING SAMPLE 5 ROWS");
      assert.deepEqual(sample.rows, [{ n: 5 }]);
      const sampled = await query("SELECT count(*) AS n FROM db.flattened_stocks TABLESAMPLE reservoir(5 ROWS) WHERE p < 105");
      assert.equal(sampled.filesSkipped, 0);
    });

    it("are told by number and size", async () => {
      const result = await query("SELECT 1 FROM db.flattened_stocks");
      assert.equal(result.filesScanned, 3);
      assert.ok(result.bytes > 1000, String(result.bytes));
      assert.match(result.snapshotId ?? "", /^\d{10,19}$/);
    });
  });

  describe("time travel", () => {
    const ids = (): bigint[] => trades.state.metadata.snapshots.map((snapshot) => snapshot["snapshot-id"]);
    const times = (): number[] => trades.state.metadata.snapshots.map((snapshot) => snapshot["timestamp-ms"]);
    const count = "SELECT count(*) AS n FROM db.flattened_stocks";

    it("reads a snapshot by its id, for the whole query or behind the table", async () => {
      const [first, second] = ids() as [bigint, bigint];
      const result = await query(count, { snapshotId: first });
      assert.deepEqual([result.rows, result.snapshotId], [[{ n: 10 }], String(first)]);
      assert.deepEqual(await rows(`${count} VERSION AS OF ${second}`), [{ n: 20 }]);
      assert.deepEqual(await rows(`${count} AT (VERSION => ${second})`), [{ n: 20 }]);
      assert.deepEqual(await rows(`${count} VERSION AS OF 'main'`), [{ n: 30 }]);
      assert.deepEqual(await rows(`SELECT a.n + b.n AS n FROM (${count} VERSION AS OF ${first}) a, (${count} FOR VERSION AS OF ${second}) AS b`), [{ n: 30 }]);
    });

    it("reads what was current at a time", async () => {
      assert.deepEqual(await rows(count, { asOf: times()[1]! }), [{ n: 20 }]);
      assert.deepEqual(await rows(`${count} TIMESTAMP AS OF '${new Date(times()[0]!).toISOString()}'`), [{ n: 10 }]);
      assert.deepEqual(await rows(`${count} TIMESTAMP AS OF '2999-01-01 00:00:00'`), [{ n: 30 }]);
    });

    it("reads what a name asks for that stands behind the table's", async () => {
      const [first, second] = ids() as [bigint, bigint];
      assert.deepEqual(await rows(`SELECT count(*) AS n FROM local.db.flattened_stocks.snapshot_id_${first}`), [{ n: 10 }]);
      assert.deepEqual(await rows(`SELECT count(*) AS n FROM db.flattened_stocks.at_timestamp_${times()[1]!}`), [{ n: 20 }]);
      assert.deepEqual(await rows("SELECT count(*) AS n FROM local.db.flattened_stocks.branch_main AS b"), [{ n: 30 }]);
      assert.deepEqual(await rows(`SELECT count(*) AS n FROM db.flattened_stocks.files VERSION AS OF ${second}`), [{ n: 2 }]);
      await fails("SELECT * FROM db.flattened_stocks.tag_none", "SNAPSHOT_NOT_FOUND", /branches and tags: main/);
      await fails(`SELECT * FROM local.db.flattened_stocks.branch_main VERSION AS OF ${first}`, "SQL_INVALID", /names a snapshot already/);
    });

    it("says what there is when there is no such snapshot", async () => {
      await fails(count, "SNAPSHOT_NOT_FOUND", /has no snapshot 1\. It has 3, the latest: \d+, \d+, \d+/, { snapshotId: 1n });
      await fails(`${count} TIMESTAMP AS OF '2001-01-01'`, "SNAPSHOT_NOT_FOUND", /Its history begins at 20\d\d-/);
      await fails("SELECT * FROM db.flattened_stocks a, Lake.Ref.flattened_stocks b", "SQL_INVALID", /names 2 tables/, { snapshotId: ids()[0]! });
      await fails(`${count} VERSION AS OF now()`, "SQL_INVALID", /VERSION AS OF takes a snapshot id/);
    });
  });

  describe("metadata tables", () => {
    it("show history, snapshots, files, manifests, partitions and refs by the names of Spark", async () => {
      assert.deepEqual((await rows("SELECT is_current_ancestor, parent_id IS NULL AS first FROM local.db.flattened_stocks.history")), [
        { is_current_ancestor: true, first: true }, { is_current_ancestor: true, first: false }, { is_current_ancestor: true, first: false },
      ]);
      const snapshots = await rows("SELECT\n  snapshot_id,\n  parent_id,\n  committed_at,\n  operation,\n  summary\nFROM local.db.flattened_stocks.snapshots;");
      assert.equal(snapshots.length, 3);
      assert.equal((snapshots[2]!["summary"] as Record<string, string>)["total-records"], "30");
      const files = await rows("SELECT partition.timestamp_trunc AS day, record_count, lower_bounds FROM db.flattened_stocks.files ORDER BY day");
      assert.deepEqual(files.map((file) => [file["day"], file["record_count"]]), [0, 1, 2].map((day) => [FIRST_DAY + day * DAY_MS, 10]));
      assert.deepEqual((await rows("SELECT sum(added_data_files_count) AS n FROM db.flattened_stocks.manifests")), [{ n: 3 }]);
      assert.deepEqual((await rows("SELECT sum(record_count) AS n, count(*) AS partitions FROM db.flattened_stocks.partitions")), [{ n: 30, partitions: 3 }]);
      assert.deepEqual((await rows("SELECT name, type FROM db.flattened_stocks.refs")), [{ name: "main", type: "BRANCH" }]);
      await fails("SELECT when_made FROM db.flattened_stocks.history", "SQL_INVALID", /has made_current_at, snapshot_id/);
    });
  });

  it("a table without snapshots has columns and no rows", async () => {
    const result = await query("SELECT * FROM db.empty");
    assert.deepEqual([result.rows, result.columns.length, result.snapshotId], [[], 9, undefined]);
    assert.deepEqual(await rows("SELECT count(*) AS n, max(S) AS S, sum(s) AS s FROM db.empty WHERE S = 'AAPL'"), [{ n: 0, S: null, s: null }]);
  });

  it("a query without tables runs too", async () => {
    assert.deepEqual(await rows("SELECT 1 + 1 AS two"), [{ two: 2 }]);
    assert.deepEqual(await rows("SELECT * FROM range(3) r(N)"), [{ N: 0 }, { N: 1 }, { N: 2 }]);
  });

  it("gives no more than maxRows, and says when there was more", async () => {
    const some = await query("SELECT * FROM db.flattened_stocks", { maxRows: 7 });
    assert.deepEqual([some.rows.length, some.truncated], [7, true]);
    const all = await query("SELECT * FROM db.flattened_stocks", { maxRows: 30 });
    assert.deepEqual([all.rows.length, all.truncated], [30, false]);
    const huge = await query("SELECT * FROM range(1000000000000) a, db.flattened_stocks", { maxRows: 5 });
    assert.equal(huge.rows.length, 5, "the rest is never computed");
  });

  it("gives plain values that survive JSON", async () => {
    const [row] = await rows(`SELECT 9007199254740993 AS big, 12.50::DECIMAL(10,2) AS d, DATE '2024-02-29' AS day, TIMESTAMP '2024-11-01 10:00:00.123456' AS ts,
      TIMESTAMPTZ '2024-11-01 12:00:00+02' AS tz, TIME '23:59:59' AS t, {'a': [1, NULL], 'B': {'c': 'x'}} AS st, MAP {'k': 1} AS m, MAP {1: 'x'} AS n, 'NaN'::DOUBLE AS nan,
      '\\xFF\\x00'::BLOB AS b, uuid '00000000-0000-0000-0000-000000000001' AS u, true AS yes, NULL AS none, INTERVAL '1 day' AS iv, DATE '1969-12-31' + INTERVAL '23 hours' AS before`);
    assert.deepEqual(row, {
      big: "9007199254740993", d: "12.50", day: "2024-02-29", ts: "2024-11-01T10:00:00.123456", tz: "2024-11-01T10:00:00.000Z", t: "23:59:59", st: { a: [1, null], B: { c: "x" } }, m: { k: 1 },
      n: { 1: "x" }, nan: "NaN", b: "/wA=", u: "00000000-0000-0000-0000-000000000001", yes: true, none: null, iv: "1 day", before: "1969-12-31T23:00:00.000",
    });
    assert.deepEqual(JSON.parse(JSON.stringify(row)), row);
  });

  describe("refuses, saying why,", () => {
    for (const [sql, message] of [
      ["DELETE FROM db.flattened_stocks", /Only a query can run here/],
      ["COPY db.flattened_stocks TO '/tmp/x.csv'", /Only a query can run here/],
      ["ATTACH '/tmp/x.db'", /Only a query can run here/],
      ["INSTALL httpfs", /Only a query can run here/],
      ["PRAGMA database_list", /Only a query|cannot be used|No/],
      ["SET memory_limit = '1TB'", /Only a query can run here/],
      ["SELECT 1; SELECT 2", /One query at a time: this is 2/],
      ["", /There is no SQL to run/],
      ["SELECT * FORM db.t", /cannot be read: syntax error/],
      ["SELECT * FROM read_csv('/etc/passwd')", /read_csv\(\.\.\.\) cannot be used/],
      ["SELECT * FROM read_text('/etc/passwd')", /cannot be used here/],
      ["SELECT * FROM glob('/etc/*')", /cannot be used here/],
      ["SELECT * FROM duckdb_settings()", /cannot be used here/],
      ["SELECT * FROM query('SELECT 1')", /cannot be used here/],
      ["SELECT ? + 1", /has a parameter/],
      ["DESCRIBE db.flattened_stocks", /DESCRIBE, SHOW and SUMMARIZE/],
      ["SELECT current_setting('memory_limit')", /current_setting cannot be used/],
      ["SELECT COLUMNS('.*') FROM db.flattened_stocks", /COLUMNS/],
      ["SELECT sum(S) FROM db.flattened_stocks", /No function matches/],
      ["SELECT CAST('a' AS INT) AS n FROM db.flattened_stocks", /Could not convert/],
    ] as [string, RegExp][]) {
      it(sql || "empty SQL", () => fails(sql, "SQL_INVALID", message));
    }

    it("files by path", async () => {
      await assert.rejects(query("SELECT * FROM '/etc/passwd'"), { code: "TABLE_NAME_INVALID" });
      await assert.rejects(query("SELECT * FROM information_schema.tables"), { code: "TABLE_NOT_FOUND" });
    });
  });

  it("sees one snapshot while others commit", async () => {
    const table = await createTable(catalog, "db.growing");
    await appendRows(table, dayOfTrades(0));
    const sql = "SELECT (SELECT count(*) FROM db.growing) AS a, (SELECT count(*) FROM db.growing) AS b, (SELECT count(*) FROM db.growing.files) * 10 AS c";
    let done = false;
    const writer = (async () => {
      for (let n = 0; n < 15; n++) await appendRows(table, dayOfTrades(n % 3));
      done = true;
    })();
    const seen = new Set<unknown>();
    while (!done) {
      const [row] = await rows(sql);
      assert.equal(row!["a"], row!["b"]);
      assert.equal(row!["a"], row!["c"]);
      seen.add(row!["a"]);
    }
    await writer;
    assert.ok(seen.size > 1, "the table grew while it was queried");
    assert.deepEqual(await rows("SELECT count(*) AS n FROM db.growing"), [{ n: 160 }]);
  });

  it("plans again when files were deleted under it, and names a file that is gone for good", async () => {
    const table = await createTable(catalog, "db.compacted");
    await appendRows(table, dayOfTrades(0));
    const stale = table.state.metadata;
    const [file] = await rows("SELECT file_path FROM db.compacted.files");
    const moved = await createTable(catalog, "db.compacted2");
    await appendRows(moved, dayOfTrades(0));
    await unlink(String(file!["file_path"]));
    let asked = 0;
    const resolve: QueryRequest["tables"] = async () => ({ name: "local.db.compacted", io: catalog.io, metadata: asked++ === 0 ? stale : (await moved.refresh()).metadata, root: catalog.root });
    assert.deepEqual(await rows("SELECT count(*) AS n, sum(s) AS s FROM db.compacted", { tables: resolve }), [{ n: 10, s: 5500 }]);
    assert.equal(asked, 2);
    await fails("SELECT sum(s) FROM db.compacted", "STORAGE_FAILED", /A data file cannot be read: .*\.parquet/);
  });

  it("refuses data files without field ids: their columns could be any", async () => {
    const table = await createTable(catalog, "db.migrated");
    const path = `${table.location}/data.parquet`;
    const instance = await DuckDBInstance.create(":memory:");
    const connection = await instance.connect();
    await connection.run(`COPY (SELECT 't' AS "T", 'AAPL' AS "S") TO '${path}'`);
    connection.closeSync();
    instance.closeSync();
    await append(table, { files: [{
      content: 0, filePath: path, fileFormat: "PARQUET", specId: 0, partition: [0n], recordCount: 1, fileSizeInBytes: 300, columnSizes: new Map(), valueCounts: new Map(), nullValueCounts: new Map(),
      nanValueCounts: new Map(), lowerBounds: new Map(), upperBounds: new Map(), splitOffsets: [],
    }] });
    await fails("SELECT * FROM db.migrated", "TABLE_UNSUPPORTED", /has no field ids/);
  });

  it("a query that is stopped ends at once, others go on", async () => {
    const stop = new AbortController();
    const endless = query("SELECT count(*) FROM range(1000000000) a, range(1000000000) b", { signal: stop.signal });
    const expected = assert.rejects(endless, { code: "STOPPED" });
    const quick = rows("SELECT count(*) AS n FROM db.flattened_stocks");
    assert.deepEqual(await quick, [{ n: 30 }]);
    stop.abort();
    await expected;
    await assert.rejects(query("SELECT 1", { signal: stop.signal }), { code: "STOPPED" });
  });

  it("a query can be stopped at any moment of its life", async () => {
    for (let delay = 0; delay < 24; delay++) {
      const stop = new AbortController();
      const endless = query("SELECT count(*) FROM range(1000000000) a, range(1000000000) b, db.flattened_stocks WHERE p > 0", { signal: stop.signal });
      const expected = assert.rejects(endless, { code: "STOPPED" });
      // From parsing over planning to running: milliseconds apart, the query takes all the time there is.
      await new Promise((resolve) => setTimeout(resolve, delay));
      stop.abort();
      await expected;
    }
  });

  it("bounds how many queries wait", async () => {
    const stop = new AbortController();
    const blockers = Array.from({ length: 140 }, () => query("SELECT count(*) FROM range(1000000000) a, range(1000000000) b", { signal: stop.signal }).catch((error: TicklakeError) => error.code));
    await new Promise((resolve) => setTimeout(resolve, 100));
    stop.abort();
    const codes = await Promise.all(blockers);
    assert.ok(codes.includes("SQL_BUSY"));
    assert.ok(codes.includes("STOPPED"));
    assert.deepEqual(await rows("SELECT 1 AS one"), [{ one: 1 }]);
  });

  it("many queries leak neither memory nor engines", async function () {
    this.timeout(60_000);
    for (let n = 0; n < 30; n++) await query(AGGREGATE);
    const before = process.memoryUsage().rss;
    for (let n = 0; n < 300; n++) await query(AGGREGATE);
    const grown = (process.memoryUsage().rss - before) / 1024 / 1024;
    assert.ok(grown < 60, `RSS grew by ${grown.toFixed(0)} MB over 300 queries`);
  });
});
