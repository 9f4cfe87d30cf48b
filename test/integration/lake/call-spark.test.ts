/** CALL as Spark runs it and as we do, on twin tables: the same text, the same columns and counts, the same rows afterwards. */
import assert from "node:assert/strict";
import { mkdir, readdir, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parseIdentifier } from "../../../lib/iceberg/catalog/identifier";
import { openCatalog } from "../../../lib/iceberg/catalog/open";
import { localPath } from "../../../lib/iceberg/io/local";
import { type CallResult, runCall } from "../../../lib/sql/call";
import { CatalogTables } from "../../../lib/sql/catalog-tables";
import { SqlEngine } from "../../../lib/sql/engine";
import { comparable } from "../../support/compare-rows";
import { sharedSpark, type Spark } from "../../support/spark";
import { appendRows, createTable, dayOfTrades, temporaryCatalog, type TestCatalog } from "../../support/tables";

const TYPES: Readonly<Record<string, string>> = { BIGINT: "bigint", INTEGER: "int", VARCHAR: "string" };
const DAY = 86_400_000;

describe("CALL beside Spark", function () {
  this.timeout(300_000);
  let spark: Spark, catalog: TestCatalog, remove: () => Promise<void>;
  const engine = new SqlEngine();
  const tables = new CatalogTables();
  const run = (sql: string): Promise<CallResult> => runCall({ sql, own: catalog, others: [catalog], tables, engine });

  before(async () => {
    ({ catalog, remove } = await temporaryCatalog("call_lake"));
    spark = await sharedSpark();
    await spark.catalog("call_lake", catalog.root);
  });
  after(async () => {
    await engine.close();
    await remove?.();
  });

  const snapshotsOf = async (twin: string): Promise<bigint[]> => (await catalog.loadTable(parseIdentifier(twin, "call_lake"))).state.metadata.snapshots.map((one) => one["snapshot-id"]);

  /** Values of a row by their columns; ids of snapshots by their place in the table's history, paths by their place in its folder. */
  async function plain(twin: string, columns: readonly string[], rows: readonly unknown[][]): Promise<unknown[]> {
    const ids = (await snapshotsOf(twin)).map(String);
    const folder = localPath(catalog.tableLocation(parseIdentifier(twin, "call_lake")));
    return comparable(columns, rows.map((row) => row.map((value, i) => {
      if (columns[i]!.endsWith("snapshot_id")) return ids.indexOf(String(value));
      return columns[i] === "orphan_file_location" ? localPath(String(value)).slice(folder.length) : value;
    })));
  }

  /** Runs one CALL on both twins; the columns, their types and what they say are the same but for `but`. */
  async function same(text: (table: string) => string, but: Readonly<Record<string, [ours: number, theirs: number] | "other bytes">> = {}): Promise<Record<string, unknown>[]> {
    const sql = { theirs: text("db.theirs"), ours: text("db.ours") };
    const theirs = await spark.sql(sql.theirs), ours = await run(sql.ours);
    assert.deepEqual(ours.columns.map(({ name }) => name), theirs.columns, sql.ours);
    assert.deepEqual(ours.columns.map(({ type }) => TYPES[type]), theirs.types, sql.ours);
    const alike = (rows: readonly unknown[][], side: 0 | 1): unknown[][] => rows.map((row) => row.map((value, i) => {
      const known = but[theirs.columns[i]!];
      if (known === "other bytes") assert.ok(Number(value) > 0);
      else if (known) assert.equal(value, known[side], `${theirs.columns[i]} of ${side === 0 ? "ours" : "Spark's"}`);
      return known ? "-" : value;
    }));
    const mine = ours.rows.map((row) => theirs.columns.map((name) => row[name]));
    assert.deepEqual(await plain("db.ours", theirs.columns, alike(mine, 0)), await plain("db.theirs", theirs.columns, alike(theirs.rows, 1)), sql.ours);
    return ours.rows;
  }

  async function sameRows(): Promise<void> {
    const [theirs, ours] = [await spark.sql("SELECT * FROM call_lake.db.theirs"), await spark.sql("SELECT * FROM call_lake.db.ours")];
    assert.deepEqual(comparable(ours.columns, ours.rows), comparable(theirs.columns, theirs.rows));
    const mine = await engine.query({ sql: "SELECT * FROM call_lake.db.ours", tables: tables.resolver(catalog, [catalog]), maxRows: 100_000 });
    assert.deepEqual(comparable(ours.columns, mine.rows.map((row) => ours.columns.map((name) => row[name]))), comparable(ours.columns, ours.rows));
  }

  const forBoth = async (statement: (table: string) => string): Promise<void> => { for (const twin of ["theirs", "ours"]) await spark.sql(statement(`call_lake.db.${twin}`)); };
  const appendBoth = async (rows: readonly unknown[]): Promise<void> => { for (const twin of ["theirs", "ours"]) await appendRows(await catalog.loadTable(parseIdentifier(`db.${twin}`, "call_lake")), rows); };
  const timestamp = (ms: number): string => `TIMESTAMP '${new Date(ms).toISOString().replace("T", " ").slice(0, 23)}'`;

  it("each procedure on twins, by name and by order: the same columns, types and counts, the same rows afterwards", async () => {
    for (const twin of ["theirs", "ours"]) await createTable(catalog, `db.${twin}`, { properties: { "write.delete.mode": "merge-on-read", "write.delete.granularity": "file", "commit.manifest.min-count-to-merge": "1000" } });
    for (let n = 0; n < 6; n++) await appendBoth(dayOfTrades(n % 2, 10));
    await forBoth((table) => `DELETE FROM ${table} WHERE s = 300`);
    await forBoth((table) => `ALTER TABLE ${table} CREATE TAG deleted`);
    await appendBoth(dayOfTrades(2, 4));
    await sameRows();

    // Back and forth: by id, by time, by tag.
    const third = { theirs: (await snapshotsOf("db.theirs"))[2]!, ours: (await snapshotsOf("db.ours"))[2]! };
    const idOf = (table: string, ids = third): bigint => ids[table.slice(3) as keyof typeof ids];
    assert.equal((await same((table) => `CALL call_lake.system.rollback_to_snapshot('${table}', ${idOf(table)})`)).length, 1);
    await sameRows();
    await same((table) => `CALL call_lake.system.set_current_snapshot(table => '${table}', ref => 'deleted')`);
    const lastIds = { theirs: (await snapshotsOf("db.theirs")).at(-1)!, ours: (await snapshotsOf("db.ours")).at(-1)! };
    await same((table) => `CALL call_lake.system.set_current_snapshot('${table}', ${idOf(table, lastIds)})`);
    const times = Object.fromEntries(await Promise.all(["theirs", "ours"].map(async (twin) => [twin, (await catalog.loadTable(parseIdentifier(`db.${twin}`, "call_lake"))).state.metadata.snapshots.at(-1)!["timestamp-ms"]] as const)));
    await same((table) => `CALL call_lake.system.rollback_to_timestamp('${table}', ${timestamp(times[table.slice(3)]!)})`);
    await sameRows();

    await same((table) => `CALL call_lake.system.rewrite_manifests('${table}')`);
    await same((table) => `CALL call_lake.system.rewrite_manifests(table => '${table}', use_caching => false)`);

    // Spark counts only deletes that a commit of its own removes; those that its rewrite drops by itself are gone, too, and not counted.
    const first = await same((table) => `CALL call_lake.system.rewrite_data_files(table => '${table}', options => map('min-input-files', '2', 'delete-file-threshold', '1'), where => 'timestamp < 1730505600000')`, { removed_delete_files_count: [3, 0] });
    assert.ok(Number(first[0]!["rewritten_data_files_count"]) > 0);
    await sameRows();
    await same((table) => `CALL call_lake.system.rewrite_data_files('${table}', 'sort', 'p DESC NULLS LAST, i', map('rewrite-all', 'true'))`, { removed_delete_files_count: [3, 0], rewritten_bytes_count: "other bytes" });
    await same((table) => `CALL call_lake.system.rewrite_data_files(table => '${table}')`);

    const ids = { theirs: (await snapshotsOf("db.theirs"))[0]!, ours: (await snapshotsOf("db.ours"))[0]! };
    await same((table) => `CALL call_lake.system.expire_snapshots(table => '${table}', snapshot_ids => array(${idOf(table, ids)}))`);
    await same((table) => `CALL call_lake.system.expire_snapshots('${table}', TIMESTAMP '2024-11-01 00:00:00')`);
    // Spark's rewrite keeps a manifest of deletes that we have dropped.
    const expired = await same((table) => `CALL call_lake.system.expire_snapshots(table => '${table}', older_than => ${timestamp(Date.now() + 60_000)}, retain_last => 1, max_concurrent_deletes => 2, stream_results => true)`, { deleted_manifest_files_count: [5, 4] });
    assert.ok(Number(expired[0]!["deleted_data_files_count"]) > 0);

    for (const twin of ["theirs", "ours"]) await plant(`db.${twin}`);
    const old = timestamp(Date.now() - 2 * DAY);
    assert.equal((await same((table) => `CALL call_lake.system.remove_orphan_files(table => '${table}', older_than => ${old}, dry_run => true)`)).length, 2);
    assert.equal((await same((table) => `CALL call_lake.system.remove_orphan_files('${table}', ${old})`)).length, 2);
    assert.equal((await same((table) => `CALL call_lake.system.remove_orphan_files(table => '${table}')`)).length, 0);
    await sameRows();
  });

  /** Two files that nothing refers to; all of the table's count as old. */
  async function plant(name: string): Promise<void> {
    const folder = localPath(catalog.tableLocation(parseIdentifier(name, "call_lake")));
    for (const file of ["data/timestamp_trunc=0/left over.parquet", "metadata/lost-m0.avro"]) {
      await mkdir(dirname(join(folder, file)), { recursive: true });
      await writeFile(join(folder, file), "nothing");
    }
    const then = new Date(Date.now() - 4 * DAY);
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) if (entry.isFile()) await utimes(join(entry.parentPath, entry.name), then, then);
  }
  it("where one of the two is stricter: the list of the page on queries", async () => {
    await spark.catalog("call_other", catalog.root);
    for (const sql of ["CREATE TABLE call_lake.db.probe (id bigint, S string) USING iceberg", "INSERT INTO call_lake.db.probe VALUES (1, 'a')", "ALTER TABLE call_lake.db.probe CREATE BRANCH side"]) await spark.sql(sql);
    const [id] = await snapshotsOf("db.probe");
    type Answer = "runs" | RegExp;
    const cases: [arguments: string, ours: Answer, spark: Answer][] = [
      // Both.
      ["call_lake.SYSTEM.Rewrite_Manifests(TABLE => 'call_lake.db.probe')", "runs", "runs"],
      ["call_lake.system.expire_snapshots(table => 'db.probe', older_than => DATE '2024-11-01')", "runs", "runs"],
      ["call_lake.system.rewrite_manifests('db.probe', spec_id => 0)", /by name or by order, not both/, /cannot be mixed/],
      ["call_lake.system.rewrite_manifests(tabel => 'db.probe')", /no argument tabel/, /Unknown argument: tabel/],
      ["call_lake.system.expire_snapshots(table => 'db.probe', retain_last => 1 + 1)", /expected a comma/, /extraneous input/],
      ["call_lake.system.remove_orphan_files(table => 'db.probe', older_than => TIMESTAMP '2999-01-01 00:00:00')", /24 hours/, /24 hours/],
      ["call_lake.system.rewrite_data_files(table => 'db.probe', where => 'upper(S) = \"A\"')", /where: The condition upper/, /Cannot convert Spark filter/],
      ["call_lake.system.rollback_to_snapshot('db.probe', 42)", /no snapshot 42/, /unknown snapshot id: 42/],
      // Only here.
      ["spark_catalog.system.rewrite_manifests('call_lake.db.probe')", "runs", /spark_catalog: not a ProcedureCatalog/],
      ["system.rewrite_manifests('call_lake.db.probe')", "runs", /not a ProcedureCatalog/],
      ["call_lake.system.expire_snapshots(table => 'db.probe', older_than => '5 days')", "runs", /cannot cast StringType to TimestampType/],
      [`call_lake.system.rollback_to_snapshot('db.probe', '${id}')`, "runs", /cannot cast StringType to LongType/],
      ["call_lake.system.expire_snapshots(table => 'db.probe', dry_run => true)", "runs", /Unknown argument: dry_run/],
      // Only in Spark.
      ["call_lake.system.expire_snapshots(table => 'db.probe', older_than => 1730419200000)", /older_than must be a time/, "runs"],
      ["call_lake.system.expire_snapshots(table => 'db.probe', snapshot_ids => array(42))", /no snapshot 42/, "runs"],
      ["call_lake.system.expire_snapshots(table => 'db.probe', clean_expired_metadata => true)", /clean_expired_metadata is not supported/, "runs"],
      ["call_lake.system.remove_orphan_files(table => 'db.probe', equal_schemes => map('s3a', 's3'))", /equal_schemes is not supported/, "runs"],
      ["call_lake.system.rewrite_data_files(table => 'db.probe', branch => 'side')", /branch is not supported/, "runs"],
      ["call_lake.system.rewrite_data_files(table => 'db.probe', strategy => 'sort', sort_order => 'zorder(id,S)')", /zorder and transforms are not supported/, "runs"],
    ];
    const outcome = async (work: Promise<unknown>, expected: Answer, what: string): Promise<void> => {
      const message = await work.then(() => "runs", (error: Error) => error.message);
      if (expected === "runs") assert.equal(message, "runs", what); else assert.match(message, expected, what);
    };
    for (const [text, ours, theirs] of cases) {
      await outcome(run(`CALL ${text}`), ours, `ours: ${text}`);
      await outcome(spark.sql(`CALL ${text}`), theirs, `Spark: ${text}`);
    }
    // The catalog in front is the table's.
    await outcome(spark.sql("CALL call_other.system.rewrite_manifests('call_lake.db.probe')"), /is a table in catalog 'call_lake'/, "Spark");
    const other = openCatalog({ catalogName: "call_other", warehouse: catalog.root }, process.cwd());
    await outcome(runCall({ sql: "CALL call_other.system.rewrite_manifests('call_lake.db.probe')", own: catalog, others: [catalog, other], tables, engine }), /that table is in the catalog call_lake/, "ours");
  });
});
