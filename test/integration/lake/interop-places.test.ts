import assert from "node:assert/strict";
import { openCatalog } from "../../../lib/iceberg/catalog/open";
import { openRestCatalog } from "../../../lib/iceberg/catalog/rest/open";
import { parseIdentifier } from "../../../lib/iceberg/catalog/identifier";
import type { Table } from "../../../lib/iceberg/catalog/types";
import { runOperation } from "../../../lib/iceberg/operations";
import { compactTable } from "../../../lib/iceberg/operations/compact";
import { CatalogTables } from "../../../lib/sql/catalog-tables";
import { SqlEngine } from "../../../lib/sql/engine";
import { duckdbSecret, pyicebergProperties } from "../../support/foreign";
import { runPython } from "../../support/python";
import { emptyCatalog, sharedRest } from "../../support/rest";
import { freshBucket, type SharedS3, sharedS3 } from "../../support/s3";
import { sharedSpark, type Spark } from "../../support/spark";
import { appendRows, createTable, dayOfTrades, FIRST_DAY, DAY_MS, type TestCatalog } from "../../support/tables";

/** A kind of catalog that foreign engines open, too. */
interface Place {
  readonly name: string;
  /** Opens it here and in Spark as `spark`. */
  open(spark: string): Promise<TestCatalog>;
  /** Where its files lie; without it on this disk. */
  readonly s3?: () => Promise<SharedS3>;
}

const PLACES: readonly Place[] = [{
  name: "hadoop in S3",
  async open(name) {
    const s3 = await sharedS3();
    const warehouse = `s3a://${await freshBucket()}/lake house`;
    await (await sharedSpark()).catalog(name, warehouse, s3);
    return openCatalog({ catalogName: name, warehouse, s3Endpoint: s3.endpoint }, process.cwd(), { credentials: { accessKeyId: s3.accessKey, secretAccessKey: s3.secretKey } });
  },
  s3: sharedS3,
}, {
  name: "a REST catalog",
  async open(name) {
    const { uri } = await sharedRest();
    await (await sharedSpark()).restCatalog(name, uri);
    await emptyCatalog(openRestCatalog({ uri }));
    return openCatalog({ catalogName: name, catalogType: "rest", uri }, process.cwd());
  },
}];

const sorted = (rows: readonly unknown[]): unknown[] => [...rows].sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)));

for (const place of PLACES) {
  describe(`${place.name}, shared with Spark, PyIceberg and DuckDB`, function () {
    this.timeout(300_000);
    const name = `lake_${PLACES.indexOf(place)}`;
    let catalog: TestCatalog, spark: Spark, s3: SharedS3 | undefined;
    const engine = new SqlEngine();
    const tables = new CatalogTables();
    const ours = async (sql: string): Promise<unknown[][]> => (await engine.query({ sql, tables: tables.resolver(catalog, [catalog]) })).rows.map((row) => Object.values(row));
    /** We and Spark answer the same. */
    const agree = async (sql: string): Promise<unknown[][]> => {
      const [a, b] = [await ours(sql), (await spark.sql(sql)).rows];
      assert.deepEqual(sorted(a), sorted(b), sql);
      return a;
    };
    /** Every engine reads these rows, value by value. */
    const everybodyReads = async (table: Table, count: number): Promise<void> => {
      const { metadataLocation } = await table.refresh();
      const fullName = `${name}.db.${table.identifier.name}`;
      const rows = sorted(await agree(`SELECT * FROM ${fullName}`));
      assert.equal(rows.length, count);
      const python = JSON.parse(await runPython("read_pyiceberg.py", [metadataLocation], { stdin: JSON.stringify(s3 ? pyicebergProperties(s3) : {}) })) as { rows: object[] };
      assert.deepEqual(sorted(python.rows.map((row) => Object.values(row))), rows, "PyIceberg");
      const [duckdb] = JSON.parse(await runPython("read_duckdb.py", [...(s3 ? [duckdbSecret(s3)] : []), `SELECT * FROM iceberg_scan('${metadataLocation}')`])) as { rows: unknown[][] }[];
      assert.deepEqual(sorted(duckdb!.rows), rows, "DuckDB");
    };

    before(async () => {
      [spark, s3] = [await sharedSpark(), await place.s3?.()];
      catalog = await place.open(name);
    });
    after(() => engine.close());

    it("all of them read what we wrote and appended, and Spark skips files", async () => {
      const table = await createTable(catalog, "db.trades");
      for (let day = 0; day < 2; day++) await appendRows(table, dayOfTrades(day));
      await everybodyReads(table, 20);
      await appendRows(table, dayOfTrades(2));
      await everybodyReads(table, 30);
      const day = await spark.sql(`SELECT count(*) FROM ${name}.db.trades WHERE timestamp >= ${FIRST_DAY + 2 * DAY_MS}`, true);
      assert.deepEqual([day.rows, day.scan!["resultDataFiles"]], [[[10]], 1]);
    });

    it("and what we compacted", async () => {
      const table = await createTable(catalog, "db.small");
      for (let n = 0; n < 6; n++) await appendRows(table, dayOfTrades(n % 2, 5));
      const before = await ours("SELECT count(*) FROM db.small.files");
      await compactTable(table, { options: { "min-input-files": 2 } });
      assert.deepEqual([before, await ours("SELECT count(*) FROM db.small.files")], [[[6]], [[2]]]);
      await everybodyReads(table, 30);
    });

    it("and what our operations left: columns evolved, a snapshot taken back, manifests rewritten, compacted, expired", async function () {
      this.timeout(600_000);
      const table = await createTable(catalog, "db.operated", { properties: { "commit.manifest.min-count-to-merge": "1000" } });
      const operate = (operation: string, options: object = {}): Promise<unknown> => runOperation({ catalog, table: "db.operated", operation, options });
      const all = `SELECT * FROM ${name}.db.operated`;
      for (let n = 0; n < 4; n++) await appendRows(table, dayOfTrades(n % 2, 5));
      await operate("rename-column", { column: "x", name: "venue" });
      await operate("add-column", { column: "note", type: "list<string>", after: "S" });
      const late = { S: "late", venue: "N", note: ["a", null], s: 1, timestamp: FIRST_DAY };
      await appendRows(table, [late]);
      assert.equal((await agree(all)).length, 21);
      const [, before] = (await table.refresh()).metadata.snapshots.toReversed();
      await operate("rollback", { snapshotId: String(before!["snapshot-id"]) });
      await operate("rewrite-manifests");
      assert.equal((await agree(all)).length, 20);
      await appendRows(table, [late, late]);
      await operate("compact", { options: { "min-input-files": 2 } });
      await operate("expire-snapshots", { olderThan: new Date(Date.now() + 60_000), retainLast: 1 });
      await everybodyReads(table, 22);
      assert.deepEqual([table.state.metadata.snapshots.length, await agree(`SELECT count(*) FROM ${name}.db.operated.snapshots`)], [1, [[1]]]);
    });

    it("we read what Spark wrote: rows deleted by merge-on-read, renamed columns, another partitioning, gzipped metadata, other codecs of manifests", async () => {
      const full = `${name}.db.theirs`;
      for (const sql of [
        `CREATE TABLE ${full} (id bigint, old string, n int) USING iceberg PARTITIONED BY (bucket(2, id)) TBLPROPERTIES ('write.delete.mode'='merge-on-read', 'write.update.mode'='merge-on-read',
          'write.metadata.compression-codec'='gzip', 'write.avro.compression-codec'='snappy')`,
        `INSERT INTO ${full} SELECT id, concat('v', id), CAST(id AS int) FROM range(40)`,
        `DELETE FROM ${full} WHERE id % 5 = 0`,
        `ALTER TABLE ${full} RENAME COLUMN old TO New`, `ALTER TABLE ${full} ALTER COLUMN n TYPE bigint`, `ALTER TABLE ${full} ADD COLUMN extra double`,
        `ALTER TABLE ${full} REPLACE PARTITION FIELD bucket(2, id) WITH truncate(10, id)`,
        `ALTER TABLE ${full} SET TBLPROPERTIES ('write.avro.compression-codec'='uncompressed')`,
        `INSERT INTO ${full} SELECT id, 'late', id * 4000000000, id / 2 FROM range(40, 50)`,
        `UPDATE ${full} SET New = 'changed' WHERE id IN (11, 42)`,
      ]) await spark.sql(sql);
      const rows = await agree(`SELECT id, New, n, extra FROM ${full}`);
      assert.deepEqual([rows.length, rows.filter(([, text]) => text === "changed").length], [42, 2]);
      await agree(`SELECT count(*), sum(n) FROM ${full} WHERE id BETWEEN 10 AND 19`);
    });

    it("each appends to the other's table in turn", async () => {
      await spark.sql(`CREATE TABLE ${name}.db.shared (id bigint, S string) USING iceberg PARTITIONED BY (truncate(10, id))`);
      const table = await catalog.loadTable(parseIdentifier("db.shared", name));
      for (let turn = 0; turn < 3; turn++) {
        await appendRows(table, [{ id: turn * 2, S: "ours" }]);
        await spark.sql(`INSERT INTO ${name}.db.shared VALUES (${turn * 2 + 1}, 'theirs')`);
      }
      assert.deepEqual(await agree(`SELECT id, S FROM ${name}.db.shared ORDER BY id`), [0, 1, 2, 3, 4, 5].map((id) => [id, id % 2 ? "theirs" : "ours"]));
    });
  });
}
