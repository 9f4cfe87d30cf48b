import assert from "node:assert/strict";
import { CatalogTables } from "../../lib/sql/catalog-tables";
import { type QueryResult, SqlEngine } from "../../lib/sql/engine";
import type { Table } from "../../lib/iceberg/catalog/types";
import { parseIdentifier } from "../../lib/iceberg/catalog/identifier";
import type { Schema } from "../../lib/iceberg/types";
import { CODECS, EVERY_TYPE, EVERY_TYPE_PLAIN, EVERY_TYPE_ROWS } from "../support/every-type";
import { EncoderPool } from "../../lib/iceberg/parquet/pool";
import { sharedSpark, type Spark } from "../support/spark";
import { appendRows, createTable, DAY_MS, dayOfTrades, FIRST_DAY, temporaryCatalog, type TestCatalog } from "../support/tables";
import { range, World } from "../unit/iceberg/sink/harness";
import { Group, Reader, Topic } from "../unit/iceberg/sink/scripted-kafka";

const AGGREGATE = `SELECT
  S as symbol,
  COUNT(*) as trade_count,
  AVG(p) as avg_price,
  SUM(s) as total_volume
FROM local.db.flattened_stocks
GROUP BY S
ORDER BY trade_count DESC;`;

/** Rows of either engine without regard to their order. */
const sorted = (rows: unknown[]): unknown[] => [...rows].sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)));

describe("Spark 3.5 with Iceberg", function () {
  this.timeout(300_000);
  let spark: Spark;
  let catalog: TestCatalog;
  let remove: () => Promise<void>;
  let trades: Table;
  const engine = new SqlEngine();
  const tables = new CatalogTables();
  const query = (sql: string, more: object = {}): Promise<QueryResult> => engine.query({ sql, tables: tables.resolver(catalog, [catalog]), ...more });
  const ours = async (sql: string): Promise<unknown[][]> => (await query(sql)).rows.map((row) => Object.values(row));
  const theirs = async (sql: string): Promise<unknown[][]> => (await spark.sql(sql.replace(/;$/, ""))).rows;
  /** Both engines answer the same. */
  const agree = async (sql: string): Promise<unknown[][]> => {
    const [a, b] = [await ours(sql), await theirs(sql)];
    assert.deepEqual(sorted(a), sorted(b));
    return a;
  };

  before(async () => {
    ({ catalog, remove } = await temporaryCatalog("local"));
    spark = await sharedSpark();
    await spark.catalog("local", catalog.root);
    trades = await createTable(catalog, "db.flattened_stocks");
    for (let day = 0; day < 3; day++) await appendRows(trades, dayOfTrades(day));
  });
  after(async () => {
    await engine.close();
    await remove?.();
  });

  describe("reads what we wrote:", () => {
    it("every row: types, nulls, unicode, ids beyond 2^53", async () => {
      const rows = await agree("SELECT * FROM local.db.flattened_stocks");
      assert.equal(rows.length, 30);
      const first = await theirs("SELECT i, S, c FROM local.db.flattened_stocks WHERE i = 9007199254740995");
      assert.deepEqual(first, [["9007199254740995", "Ünïcödé ✓ 😀", null]]);
      const types = await spark.sql("DESCRIBE local.db.flattened_stocks");
      assert.deepEqual(types.rows.slice(0, 9).map((row) => `${String(row[0])} ${String(row[1])}`),
        ["T string", "S string", "i bigint", "x string", "p double", "s bigint", "timestamp bigint", "c array<string>", "z string"]);
    });

    it("the documented queries, with the same answers", async () => {
      await agree(AGGREGATE);
      await agree("SELECT * FROM local.db.flattened_stocks\nORDER BY timestamp DESC\nLIMIT 10;");
      assert.deepEqual((await theirs("SELECT snapshot_id FROM local.db.flattened_stocks.history")), (await ours("SELECT snapshot_id FROM local.db.flattened_stocks.history")));
      const snapshots = "SELECT snapshot_id, parent_id, operation FROM local.db.flattened_stocks.snapshots;";
      await agree(snapshots);
      await agree("SELECT file_path, record_count, file_size_in_bytes FROM local.db.flattened_stocks.files");
      await agree("SELECT path, length, added_data_files_count FROM local.db.flattened_stocks.manifests");
      await agree("SELECT record_count, file_count FROM local.db.flattened_stocks.partitions");
      await agree("SELECT name, type, snapshot_id FROM local.db.flattened_stocks.refs");
    });

    it("skips files by our hidden daily partitions and by our statistics", async () => {
      const day = await spark.sql(`SELECT count(*) FROM local.db.flattened_stocks WHERE timestamp >= ${FIRST_DAY + 2 * DAY_MS}`, true);
      assert.deepEqual(day.rows, [[10]]);
      assert.equal(day.scan!["resultDataFiles"], 1);
      const price = await spark.sql("SELECT count(*) FROM local.db.flattened_stocks WHERE p < 105", true);
      assert.deepEqual([price.rows, price.scan!["resultDataFiles"]], [[[5]], 1]);
      const symbol = await spark.sql("SELECT count(*) FROM local.db.flattened_stocks WHERE S < 'A'", true);
      assert.deepEqual([symbol.rows, symbol.scan!["resultDataFiles"] ?? 0], [[[0]], 0]);
    });

    it("travels in time over our snapshots", async () => {
      const ids = trades.state.metadata.snapshots.map((snapshot) => String(snapshot["snapshot-id"]));
      assert.deepEqual(await agree(`SELECT count(*) FROM local.db.flattened_stocks VERSION AS OF ${ids[0]}`), [[10]]);
      const at = new Date(trades.state.metadata.snapshots[1]!["timestamp-ms"]).toISOString().replace("T", " ").replace("Z", "");
      assert.deepEqual(await agree(`SELECT count(*) FROM local.db.flattened_stocks TIMESTAMP AS OF '${at}'`), [[20]]);
    });

    it("every type and codec", async () => {
      // Spark has no time of day and refuses tables with one.
      const schema: Schema = { ...EVERY_TYPE, fields: EVERY_TYPE.fields.filter((field) => field.name !== "time") };
      const { time: _none, ...plain } = EVERY_TYPE_PLAIN;
      const rows = EVERY_TYPE_ROWS.map(({ time: _time, ...row }) => row);
      for (const codec of CODECS) {
        await appendRows(await createTable(catalog, `db.types_${codec}`, { schema }), rows, codec);
        const result = await spark.sql(`SELECT * FROM local.db.types_${codec} ORDER BY int DESC NULLS LAST`);
        const row = Object.fromEntries(result.columns.map((name, i) => [name, result.rows[0]![i]]));
        assert.deepEqual(row, { ...plain, tz: "2024-11-01T10:00:00.001000" });
        assert.ok(result.rows[1]!.every((value) => value === null));
      }
    });

    it("every partition transform, with rows and partition values as its own", async () => {
      const schema: Schema = { type: "struct", "schema-id": 0, fields: [{ id: 1, name: "ts", required: false, type: "timestamptz" }, { id: 2, name: "symbol", required: false, type: "string" }, { id: 3, name: "n", required: false, type: "long" }] };
      const rows = Array.from({ length: 40 }, (_, n) => ({ ts: new Date(Date.UTC(2023, 11, 30) + n * 13 * 3_600_000).toISOString(), symbol: n % 7 ? `SYM${n % 5}` : null, n: n * 1_000_000_007 }));
      for (const [name, partitionBy, clause] of [
        ["days", "day(ts), bucket[4](symbol)", "days(ts), bucket(4, symbol)"], ["hours", "hour(ts)", "hours(ts)"], ["months", "month(ts), truncate[4](symbol)", "months(ts), truncate(4, symbol)"],
        ["years", "year(ts), bucket[8](n)", "years(ts), bucket(8, n)"], ["identity", "symbol, truncate[1000000000](n)", "symbol, truncate(1000000000, n)"],
      ] as const) {
        await appendRows(await createTable(catalog, `db.${name}_ours`, { schema, partitionBy }), rows);
        await spark.sql(`CREATE TABLE local.db.${name}_theirs (ts timestamp, symbol string, n bigint) USING iceberg PARTITIONED BY (${clause})`);
        await spark.sql(`INSERT INTO local.db.${name}_theirs SELECT * FROM local.db.${name}_ours`);
        const partitions = (table: string): string => `SELECT partition, record_count FROM local.db.${name}_${table}.partitions`;
        assert.deepEqual(sorted(await theirs(partitions("ours"))), sorted(await theirs(partitions("theirs"))), name);
        assert.deepEqual(sorted(await ours(partitions("ours"))), sorted(await ours(partitions("theirs"))), name);
        assert.deepEqual(sorted(await ours(`SELECT * FROM db.${name}_theirs`)), sorted(await ours(`SELECT * FROM db.${name}_ours`)), name);
        const filtered = await query(`SELECT count(*) FROM db.${name}_theirs WHERE ts < TIMESTAMPTZ '2024-01-01 00:00:00+00' AND symbol = 'SYM3' AND n < 2000000000`);
        assert.deepEqual(filtered.rows, (await query(`SELECT count(*) FROM db.${name}_ours WHERE ts < TIMESTAMPTZ '2024-01-01 00:00:00+00' AND symbol = 'SYM3' AND n < 2000000000`)).rows);
        assert.ok(filtered.filesSkipped > 0, `${name}: files of Spark are skipped`);
      }
    });
  });

  describe("and we read what it wrote:", () => {
    it("all types, compressed by gzip and zstd", async () => {
      for (const codec of ["gzip", "zstd", "snappy"]) {
        const name = `local.db.spark_${codec}`;
        await spark.sql(`CREATE TABLE ${name} (b boolean, i int, l bigint, f float, d double, dec decimal(20,4), day date, ts timestamp_ntz, tz timestamp, str string, bin binary,
          st struct<Bid: double, inner: struct<x: int>>, li array<struct<Side: string>>, m map<string, bigint>) USING iceberg
          TBLPROPERTIES ('write.parquet.compression-codec'='${codec}', 'write.metadata.compression-codec'='${codec === "gzip" ? "gzip" : "none"}')`);
        await spark.sql(`INSERT INTO ${name} VALUES (true, -5, 9223372036854775807, 0.5, 1e300, 1234567890123456.7891, DATE '2024-02-29', TIMESTAMP_NTZ '2024-11-01 10:00:00.123456',
          TIMESTAMP '2024-11-01 10:00:00.001', 'a"b ✓😀', X'ff00', named_struct('Bid', 1.5D, 'inner', named_struct('x', 7)), array(named_struct('Side', 'buy'), null), map('k', 1L)),
          (null, null, null, null, null, null, null, null, null, null, null, null, null, null)`);
        const [row, none] = (await query(`SELECT * FROM ${name} ORDER BY i NULLS LAST`)).rows;
        assert.deepEqual(row, {
          b: true, i: -5, l: "9223372036854775807", f: 0.5, d: 1e300, dec: "1234567890123456.7891", day: "2024-02-29", ts: "2024-11-01T10:00:00.123456", tz: "2024-11-01T10:00:00.001Z",
          str: 'a"b ✓😀', bin: "/wA=", st: { Bid: 1.5, inner: { x: 7 } }, li: [{ Side: "buy" }, null], m: { k: 1 },
        });
        assert.ok(Object.values(none!).every((value) => value === null));
        assert.deepEqual((await query(`SELECT st.Bid, st.inner.x, li[1].Side FROM ${name} WHERE i = -5`)).rows, [{ Bid: 1.5, x: 7, "(li[1]).Side": "buy" }]);
      }
    });

    it("after renames, added, dropped, widened and reordered columns, and another partitioning", async () => {
      const name = "local.db.evolved";
      for (const sql of [
        `CREATE TABLE ${name} (id int, old string, gone string, q struct<bid: double, venue: string>) USING iceberg`,
        `INSERT INTO ${name} VALUES (1, 'first', 'lost', named_struct('bid', 1.0D, 'venue', 'V'))`,
        `ALTER TABLE ${name} RENAME COLUMN old TO New`, `ALTER TABLE ${name} DROP COLUMN gone`, `ALTER TABLE ${name} ALTER COLUMN id TYPE bigint`,
        `ALTER TABLE ${name} ADD COLUMN gone bigint`, `ALTER TABLE ${name} RENAME COLUMN q.bid TO Bid`, `ALTER TABLE ${name} ADD COLUMN q.ask double`, `ALTER TABLE ${name} ALTER COLUMN New FIRST`,
        `ALTER TABLE ${name} ADD PARTITION FIELD bucket(2, id)`,
        `INSERT INTO ${name} VALUES ('second', 9007199254740993, named_struct('Bid', 2.0D, 'venue', 'N', 'ask', 3.0D), 7)`,
      ]) await spark.sql(sql);
      const result = await query(`SELECT * FROM ${name} ORDER BY id`);
      assert.deepEqual(result.rows, [
        { New: "first", id: 1, q: { Bid: 1, venue: "V", ask: null }, gone: null },
        { New: "second", id: "9007199254740993", q: { Bid: 2, venue: "N", ask: 3 }, gone: 7 },
      ]);
      assert.deepEqual((await query(`SELECT count(*) AS n FROM ${name} WHERE id = 1`)).rows, [{ n: 1 }]);
      const [first] = (await query(`SELECT snapshot_id FROM ${name}.snapshots`)).rows;
      const then = await query(`SELECT * FROM ${name}`, { snapshotId: BigInt(String(first!["snapshot_id"])) });
      assert.deepEqual(then.rows, [{ id: 1, old: "first", gone: "lost", q: { bid: 1, venue: "V" } }], "a snapshot has the columns of its time");
    });

    it("overwritten and deleted rows are gone (copy on write)", async () => {
      await spark.sql("CREATE TABLE local.db.cow (id bigint, S string) USING iceberg TBLPROPERTIES ('write.delete.mode'='copy-on-write')");
      await spark.sql("INSERT INTO local.db.cow SELECT id, CASE WHEN id % 2 = 0 THEN 'a' ELSE 'b' END FROM range(100)");
      await spark.sql("DELETE FROM local.db.cow WHERE id % 3 = 0");
      await agree("SELECT S, count(*), sum(id) FROM local.db.cow GROUP BY S");
    });

    it("a table of format version 3 is refused by name, never read wrong", async () => {
      await spark.sql("CREATE TABLE local.db.v3 (id bigint) USING iceberg TBLPROPERTIES ('format-version'='3')");
      await assert.rejects(query("SELECT count(*) FROM db.v3"), { code: "TABLE_UNSUPPORTED", message: /version 3/ });
    });

    it("a table of format version 1", async () => {
      await spark.sql("CREATE TABLE local.db.v1 (id bigint, day date) USING iceberg PARTITIONED BY (days(day)) TBLPROPERTIES ('format-version'='1')");
      await spark.sql("INSERT INTO local.db.v1 SELECT id, date_add(DATE '2024-01-01', CAST(id % 3 AS int)) FROM range(30)");
      assert.deepEqual(await agree("SELECT day, count(*), sum(id) FROM local.db.v1 GROUP BY day ORDER BY day"), await ours("SELECT day, count(*), sum(id) FROM local.db.v1 GROUP BY day ORDER BY day"));
      const result = await query("SELECT count(*) AS n FROM db.v1 WHERE day = DATE '2024-01-02'");
      assert.deepEqual([result.rows, result.filesSkipped > 0], [[{ n: 10 }], true]);
    });

    it("branches and tags", async () => {
      await spark.sql("ALTER TABLE local.db.cow CREATE TAG before_more");
      await spark.sql("INSERT INTO local.db.cow VALUES (1000, 'z')");
      assert.deepEqual(await ours("SELECT count(*) FROM db.cow VERSION AS OF 'before_more'"), [[66]]);
      assert.deepEqual(await ours("SELECT count(*) FROM db.cow"), [[67]]);
    });
  });

  describe("and together:", () => {
    it("both append to one table, in turn, and both see all of it", async () => {
      const table = await catalog.loadTable(parseIdentifier("db.flattened_stocks", "local"));
      for (let turn = 0; turn < 3; turn++) {
        await spark.sql(`INSERT INTO local.db.flattened_stocks SELECT * FROM local.db.flattened_stocks WHERE i = 9007199254740993 LIMIT 1`);
        await appendRows(table, dayOfTrades(3 + turn));
        assert.deepEqual(await agree("SELECT count(*), sum(s) FROM local.db.flattened_stocks"), [[30 + 11 * (turn + 1), 16_500 + (5_500 + 100) * (turn + 1)]]);
      }
      assert.deepEqual(await agree("SELECT max(timestamp) FROM local.db.flattened_stocks"), [[FIRST_DAY + 5 * DAY_MS + 9000]]);
    });

    it("runs its maintenance on our table, and we go on", async () => {
      await spark.sql("CALL local.system.rewrite_data_files(table => 'db.flattened_stocks', options => map('min-input-files', '2'))");
      await spark.sql("CALL local.system.rewrite_manifests('db.flattened_stocks')");
      const table = await catalog.loadTable(parseIdentifier("db.flattened_stocks", "local"));
      await appendRows(table, dayOfTrades(9));
      assert.deepEqual(await agree("SELECT count(*), sum(s) FROM local.db.flattened_stocks"), [[73, 38_800]]);
      await spark.sql("CALL local.system.expire_snapshots(table => 'db.flattened_stocks', older_than => TIMESTAMP '2999-01-01 00:00:00', retain_last => 1)");
      assert.deepEqual(await agree("SELECT count(*), sum(s) FROM local.db.flattened_stocks"), [[73, 38_800]]);
      assert.deepEqual(await ours("SELECT count(*) FROM local.db.flattened_stocks.snapshots"), [[1]]);
    });

    it("its commits, its rollback and its expiry leave every record of Kafka in the table once", async () => {
      const encoder = new EncoderPool();
      const world = await World.create(encoder);
      const topic = new Topic(), group = new Group();
      const insert = (id: number): Promise<unknown> => spark.sql(`INSERT INTO kafka.db.trades VALUES ('t', 'SPARK', ${id}, 'V', 1.0, 1, 1381132800000, array('@'), 'C')`);
      try {
        await spark.catalog("kafka", world.warehouse);
        const sink = world.sink("w"), reader = new Reader(world.ledger, topic, group, [sink]);
        for (const to of [10, 20, 30]) {
          topic.append(to - 10, to);
          await reader.run();
          await insert(1000 + to);
        }
        const [, second] = (await world.table()).state.metadata.snapshots;
        await spark.sql(`CALL kafka.system.rollback_to_snapshot('db.trades', ${second!["snapshot-id"]})`);
        topic.append(30, 40);
        await reader.run();
        assert.deepEqual(reader.rewinds.map(({ to, from }) => [to, from]), [[10n, 30n]]);
        await insert(2000);
        await spark.sql("CALL kafka.system.expire_snapshots(table => 'db.trades', older_than => TIMESTAMP '2999-01-01 00:00:00', retain_last => 1)");
        await sink.close();
        world.restart();
        group.offsets.clear();
        await new Reader(world.ledger, topic, group, [world.sink("w")], { batch: 7 }).run();
        const rows = (await spark.sql("SELECT i FROM kafka.db.trades ORDER BY i")).rows.map(([i]) => Number(i));
        assert.deepEqual(rows, [...range(0, 40), 1010, 2000]);
      } finally {
        await world.end();
        await encoder.close();
      }
    });
  });
});
