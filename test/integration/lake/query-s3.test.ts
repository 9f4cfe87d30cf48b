import assert from "node:assert/strict";
import { HadoopCatalog } from "../../../lib/iceberg/catalog/hadoop";
import { openCatalog } from "../../../lib/iceberg/catalog/open";
import type { Table } from "../../../lib/iceberg/catalog/types";
import { openFileIO } from "../../../lib/iceberg/io/open";
import { CatalogTables, type QueryCatalog } from "../../../lib/sql/catalog-tables";
import { type QueryRequest, type QueryResult, SqlEngine } from "../../../lib/sql/engine";
import { freshBucket, s3Properties, sharedS3 } from "../../support/s3";
import { appendRows, createTable, DAY_MS, dayOfTrades, FIRST_DAY, temporaryCatalog, type TestCatalog } from "../../support/tables";

const DAYS = 4;
const ROWS = 50_000;

describe("Queries on S3 (versitygw)", function () {
  this.timeout(180_000);
  let lake: QueryCatalog;
  let local: TestCatalog;
  let remove: () => Promise<void>;
  let table: Table;
  let size = 0;
  let engine: SqlEngine;
  const tables = new CatalogTables();
  const query = (sql: string, more: Partial<QueryRequest> = {}): Promise<QueryResult> => engine.query({ sql, tables: tables.resolver(lake, [lake, local]), ...more });
  /** The same rows from S3 and from a disk. */
  const agree = async (sql: string): Promise<QueryResult> => {
    const result = await query(sql.replaceAll("TRADES", "lake.db.trades"));
    assert.deepEqual(result.rows, (await query(sql.replaceAll("TRADES", "local.db.trades"))).rows, sql);
    return result;
  };

  before(async () => {
    const s3 = await sharedS3();
    const warehouse = `s3a://${await freshBucket()}/ware house`;
    const io = openFileIO(s3Properties(s3));
    lake = Object.assign(new HadoopCatalog({ name: "lake", warehouse, io }), { root: warehouse });
    ({ catalog: local, remove } = await temporaryCatalog("local"));
    table = await createTable(lake as unknown as TestCatalog, "db.trades");
    const twin = await createTable(local, "db.trades");
    for (let day = 0; day < DAYS; day++) {
      const rows = dayOfTrades(day, ROWS).map((row, n) => ({ ...row, p: Math.round(Math.sin(n) * 1e6) / 1e3, s: (n * 7919) % 1_000_003, timestamp: FIRST_DAY + day * DAY_MS + n }));
      await appendRows(table, rows);
      await appendRows(twin, rows);
    }
    for await (const file of io.listAll(`${table.location}/data`)) size += file.size;
  });
  beforeEach(() => { engine = new SqlEngine(); });
  afterEach(() => engine.close());
  after(() => remove?.());

  it("the documented queries, with the answers of the same table on a disk", async () => {
    await agree("SELECT S as symbol, COUNT(*) as trade_count, MAX(p) as high, SUM(s) as total_volume FROM TRADES GROUP BY S ORDER BY trade_count DESC, symbol");
    await agree("SELECT * FROM TRADES ORDER BY timestamp DESC LIMIT 10");
    await agree("SELECT count(*) AS n, count(DISTINCT i) AS ids, list(DISTINCT x) AS x FROM TRADES WHERE c IS NOT NULL");
    await agree("SELECT partition.timestamp_trunc AS day, record_count FROM TRADES.files ORDER BY day");
    const [first] = (await query("SELECT snapshot_id FROM lake.db.trades.snapshots ORDER BY committed_at")).rows;
    const then = await query(`SELECT count(*) AS n, sum(s) AS s FROM lake.db.trades VERSION AS OF ${String(first!["snapshot_id"])}`);
    assert.deepEqual([then.rows[0]!["n"], then.filesScanned], [ROWS, 1]);
  });

  it("only what is needed travels, and nothing twice", async () => {
    const count = await query("SELECT count(*) AS n FROM lake.db.trades");
    assert.deepEqual([count.rows[0]!["n"], count.bytesFetched], [DAYS * ROWS, 0]);
    const day = await query(`SELECT max(p) AS p FROM lake.db.trades WHERE timestamp >= ${FIRST_DAY + 3 * DAY_MS}`);
    assert.equal(day.filesScanned, 1);
    assert.ok(day.bytesFetched < size / DAYS * 0.6, `${day.bytesFetched} of ${size}`);
    const one = await query("SELECT max(s) AS s FROM lake.db.trades");
    assert.ok(one.bytesFetched < size / 2, `${one.bytesFetched} of ${size}`);
    const again = await query(`SELECT max(s) AS s, max(p) AS p FROM lake.db.trades WHERE timestamp >= ${FIRST_DAY + 3 * DAY_MS}`);
    assert.equal(again.bytesFetched, 0);
    const all = await query("SELECT * FROM lake.db.trades ORDER BY s, p LIMIT 1");
    assert.ok(all.bytesFetched + one.bytesFetched <= size * 1.05);
  });

  it("joins a table on S3 with one on a disk, and queries that overlap agree", async () => {
    const joined = await query("SELECT count(*) AS n FROM lake.db.trades a JOIN local.db.trades b USING (i, timestamp)");
    assert.ok(Number(joined.rows[0]!["n"]) >= DAYS * ROWS / 2);
    const answers = await Promise.all(Array.from({ length: 5 }, () => query("SELECT S, sum(s) AS s FROM lake.db.trades GROUP BY S ORDER BY s")));
    for (const { rows } of answers) assert.deepEqual(rows, answers[0]!.rows);
  });

  it("sees one snapshot while others commit to S3", async () => {
    const growing = await createTable(lake as unknown as TestCatalog, "db.growing");
    await appendRows(growing, dayOfTrades(0));
    let done = false;
    const writer = (async () => {
      for (let n = 0; n < 8; n++) await appendRows(growing, dayOfTrades(n % 3));
      done = true;
    })();
    while (!done) {
      const [row] = (await query("SELECT (SELECT count(s) FROM lake.db.growing) AS a, (SELECT sum(record_count) FROM lake.db.growing.files) AS b")).rows;
      assert.equal(row!["a"], Number(row!["b"]));
    }
    await writer;
    assert.deepEqual((await query("SELECT count(i) AS n FROM lake.db.growing")).rows, [{ n: 90 }]);
  });

  it("says why when the keys are wrong", async () => {
    const s3 = await sharedS3();
    const denied = openCatalog({ catalogName: "lake", warehouse: lake.root!, s3Endpoint: s3.endpoint }, "/", { credentials: { accessKeyId: s3.accessKey, secretAccessKey: "wrong" } });
    await assert.rejects(engine.query({ sql: "SELECT count(*) FROM lake.db.trades", tables: tables.resolver(denied, [denied]) }), { code: "STORAGE_DENIED" });
  });
});
