import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { CatalogTables } from "../../../lib/sql/catalog-tables";
import { type QueryResult, SqlEngine } from "../../../lib/sql/engine";
import { METADATA_TABLES } from "../../../lib/sql/metadata";
import { comparable } from "../../support/compare-rows";
import { sharedSpark, type Spark, type SparkResult } from "../../support/spark";
import { temporaryCatalog, type TestCatalog } from "../../support/tables";

const MERGE_ON_READ = "'write.delete.mode'='merge-on-read', 'write.update.mode'='merge-on-read', 'write.merge.mode'='merge-on-read'";

/** A table with everything in its history: deletes, updates and merges on read, widened, renamed, dropped and re-added columns, changed partitioning, a branch and a tag. */
const RICH = [
  `CREATE TABLE query_lake.db.rich (id int, S string, s bigint, ts timestamp, d decimal(10,2), b binary, q struct<bid: double, Ask: float>, c array<string>, day date, ok boolean)
    USING iceberg PARTITIONED BY (days(ts), bucket(3, S)) TBLPROPERTIES (${MERGE_ON_READ}, 'write.metadata.compression-codec'='gzip', 'write.avro.compression-codec'='snappy')`,
  `INSERT INTO query_lake.db.rich SELECT CAST(id AS int), concat('S', id % 5), id * 10, timestamp_millis(1730419200000 + id * 3600000), CAST(id AS decimal(10,2)) / 4, X'ff00',
    named_struct('bid', id / 2D, 'Ask', CAST(id AS float)), array('@', NULL), DATE '2024-01-01' + CAST(id AS int), id % 2 = 0 FROM range(60)`,
  "DELETE FROM query_lake.db.rich WHERE id % 7 = 3",
  "ALTER TABLE query_lake.db.rich ALTER COLUMN id TYPE bigint",
  "ALTER TABLE query_lake.db.rich RENAME COLUMN day TO Tag",
  "ALTER TABLE query_lake.db.rich SET TBLPROPERTIES ('write.avro.compression-codec'='zstd')",
  "UPDATE query_lake.db.rich SET s = s + 1 WHERE id % 11 = 5",
  "ALTER TABLE query_lake.db.rich ADD PARTITION FIELD truncate(10, id)",
  "ALTER TABLE query_lake.db.rich DROP PARTITION FIELD days(ts)",
  "ALTER TABLE query_lake.db.rich ADD PARTITION FIELD months(ts)",
  "INSERT INTO query_lake.db.rich SELECT * FROM query_lake.db.rich WHERE id < 5",
  "ALTER TABLE query_lake.db.rich CREATE TAG before_merge",
  `MERGE INTO query_lake.db.rich t USING (SELECT id AS k FROM range(55, 65)) u ON t.id = u.k WHEN MATCHED AND u.k = 57 THEN DELETE WHEN MATCHED THEN UPDATE SET S = 'merged'
    WHEN NOT MATCHED THEN INSERT (id, S, s, ts, d, b, q, c, Tag, ok) VALUES (u.k, 'new', NULL, TIMESTAMP '2024-12-01 00:00:00', NULL, NULL, NULL, NULL, NULL, NULL)`,
  "ALTER TABLE query_lake.db.rich DROP COLUMN ok",
  "ALTER TABLE query_lake.db.rich ADD COLUMN ok int",
  "ALTER TABLE query_lake.db.rich CREATE BRANCH side",
  "INSERT INTO query_lake.db.rich.branch_side SELECT 1000, 'side', s, ts, d, b, q, c, Tag, ok FROM query_lake.db.rich WHERE id = 20",
  "DELETE FROM query_lake.db.rich WHERE ts < TIMESTAMP '2024-11-01 03:00:00'",
];

describe("Queries beside Spark", function () {
  this.timeout(600_000);
  let spark: Spark;
  let catalog: TestCatalog;
  let remove: () => Promise<void>;
  const engine = new SqlEngine();
  const tables = new CatalogTables();
  const query = (sql: string): Promise<QueryResult> => engine.query({ sql, tables: tables.resolver(catalog, [catalog]), maxRows: 1_000_000 });
  const run = async (statements: readonly string[]): Promise<void> => { for (const sql of statements) await spark.sql(sql); };
  /** Both answer with the same columns and rows. */
  const agree = async (sql: string): Promise<SparkResult> => {
    const [ours, theirs] = [await query(sql), await spark.sql(sql)];
    const names = ours.columns.map(({ name }) => name);
    assert.deepEqual(names, theirs.columns, sql);
    assert.deepEqual(comparable(names, ours.rows.map((row) => names.map((name) => row[name]))), comparable(names, theirs.rows), sql);
    return theirs;
  };

  before(async () => {
    ({ catalog, remove } = await temporaryCatalog("query_lake"));
    spark = await sharedSpark();
    await spark.catalog("query_lake", catalog.root);
    await run(RICH);
  });
  after(async () => {
    await engine.close();
    await remove?.();
  });

  it("a table with deletes, updates and merges on read, evolved and partitioned anew: every row of every snapshot", async () => {
    assert.equal((await agree("SELECT * FROM query_lake.db.rich")).rows.length, 54);
    assert.deepEqual((await agree("SELECT count(*) AS n FROM query_lake.db.rich")).rows, [[54]]);
    await agree("SELECT S, count(*) AS n, sum(s) AS total FROM query_lake.db.rich WHERE id > 10 AND ts < TIMESTAMP '2024-11-03 00:00:00' GROUP BY S");
    const snapshots = (await spark.sql("SELECT snapshot_id FROM query_lake.db.rich.snapshots")).rows;
    assert.equal(snapshots.length, 7);
    for (const [id] of snapshots) await agree(`SELECT * FROM query_lake.db.rich VERSION AS OF ${String(id)}`);
    const filtered = await query("SELECT id FROM query_lake.db.rich WHERE ts >= TIMESTAMPTZ '2024-11-03 00:00:00+00' AND S = 'S1'");
    assert.ok(filtered.filesSkipped > 5, "files with deletes are skipped as others are");
  });

  it("its metadata tables, column for column and row for row, now and in each snapshot", async () => {
    for (const table of METADATA_TABLES) await agree(`SELECT * FROM query_lake.db.rich.${table}`);
    for (const [id] of (await spark.sql("SELECT snapshot_id FROM query_lake.db.rich.snapshots")).rows) {
      for (const table of ["files", "manifests", "entries"]) await agree(`SELECT * FROM query_lake.db.rich.${table} VERSION AS OF ${String(id)}`);
    }
    await run(["CREATE TABLE query_lake.db.plain (id bigint) USING iceberg", "INSERT INTO query_lake.db.plain VALUES (1), (2)", "INSERT INTO query_lake.db.plain VALUES (3)"]);
    for (const table of METADATA_TABLES) await agree(`SELECT * FROM query_lake.db.plain.${table}`);
  });

  it("branches and tags by name and by version, times with zones", async () => {
    await agree("SELECT * FROM query_lake.db.rich.branch_side");
    await agree("SELECT * FROM query_lake.db.rich.tag_before_merge");
    await agree("SELECT * FROM query_lake.db.rich VERSION AS OF 'side'");
    await agree("SELECT * FROM query_lake.db.rich VERSION AS OF 'before_merge'");
    const { rows } = await query("SELECT made_current_at FROM query_lake.db.rich.history ORDER BY made_current_at");
    const at = Date.parse(String(rows[2]!["made_current_at"]));
    const text = (ms: number): string => new Date(ms).toISOString().slice(0, -1).replace("T", " ");
    for (const time of [text(at), `${text(at)}Z`, `${text(at + 7_200_000)}+02:00`, `${text(at - 5 * 3_600_000)} America/Bogota`, `${text(at + 5.5 * 3_600_000)} Asia/Kolkata`]) {
      await agree(`SELECT count(*) AS n, sum(s) AS s FROM query_lake.db.rich TIMESTAMP AS OF '${time}'`);
      assert.equal((await query(`SELECT * FROM query_lake.db.rich TIMESTAMP AS OF '${time}'`)).snapshotId, String((await spark.sql("SELECT snapshot_id FROM query_lake.db.rich.history ORDER BY made_current_at")).rows[2]![0]), time);
    }
  });

  it("deletes of one file each and of whole partitions, many of them, also after a compaction left them behind", async () => {
    for (const granularity of ["file", "partition"]) {
      const name = `query_lake.db.deletes_${granularity}`;
      await run([
        `CREATE TABLE ${name} (id bigint, k string) USING iceberg PARTITIONED BY (k) TBLPROPERTIES (${MERGE_ON_READ}, 'write.delete.granularity'='${granularity}')`,
        ...[0, 1000, 2000].map((from) => `INSERT INTO ${name} SELECT id, concat('k', id % 3) FROM range(${from}, ${from + 1000})`),
        ...[2, 3, 5].map((n) => `DELETE FROM ${name} WHERE id % ${n * 7} = 1`),
        `INSERT INTO ${name} SELECT id, concat('k', id % 3) FROM range(500)`,
      ]);
      await agree(`SELECT k, count(*) AS n, sum(id) AS total FROM ${name} GROUP BY k`);
      assert.deepEqual((await agree(`SELECT count(*) AS n FROM ${name}`)).rows, (await query(`SELECT count(id) AS n FROM ${name}`)).rows.map((row) => [row["n"]]));
    }
    await spark.sql("CALL query_lake.system.rewrite_data_files(table => 'db.deletes_file', options => map('delete-file-threshold', '1', 'remove-dangling-deletes', 'false'))");
    await agree("SELECT k, count(*) AS n, sum(id) AS total FROM query_lake.db.deletes_file GROUP BY k");
    await run(["DELETE FROM query_lake.db.deletes_file WHERE k = 'k1' AND id < 10", "DELETE FROM query_lake.db.deletes_file WHERE id BETWEEN 20 AND 30"]);
    await agree("SELECT * FROM query_lake.db.deletes_file");
  });

  it("files that were added without field ids: columns by the name mapping, partitions from their folders", async () => {
    const folder = join(catalog.root, "db", "plain_parquet");
    await mkdir(join(catalog.root, "db"), { recursive: true });
    await run([
      `CREATE TABLE source_of_files (id int, Name string, q struct<Bid: double, venue: string>, day date, region string) USING parquet PARTITIONED BY (day, region) LOCATION '${folder}'`,
      "INSERT INTO source_of_files SELECT CAST(id AS int), concat('n', id), named_struct('Bid', id / 2D, 'venue', 'V'), DATE '2024-01-01' + CAST(id % 2 AS int), CASE WHEN id % 3 = 0 THEN 'a b/c' ELSE 'Ü' END FROM range(30)",
      "CREATE TABLE query_lake.db.added (id bigint, Name string, q struct<Bid: double, venue: string, more: int>, day date, region string) USING iceberg PARTITIONED BY (day, region)",
      `CALL query_lake.system.add_files(table => 'db.added', source_table => '\`parquet\`.\`${folder}\`')`,
      "ALTER TABLE query_lake.db.added RENAME COLUMN Name TO Title",
      "INSERT INTO query_lake.db.added VALUES (9007199254740993, 'own', named_struct('Bid', 1D, 'venue', 'N', 'more', 7), DATE '2024-01-01', 'Ü')",
    ]);
    assert.equal((await agree("SELECT * FROM query_lake.db.added")).rows.length, 31);
    await agree("SELECT region, day, count(*) AS n, min(Title) AS t, sum(q.Bid) AS b FROM query_lake.db.added WHERE region = 'Ü' GROUP BY region, day");
    await run(["DELETE FROM query_lake.db.added WHERE id = 4"]);
    await agree("SELECT * FROM query_lake.db.added");
  });
});
