import assert from "node:assert/strict";
import { mkdir, readdir, utimes, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { parseIdentifier } from "../../../lib/iceberg/catalog/identifier";
import { localPath } from "../../../lib/iceberg/io/local";
import type { Table } from "../../../lib/iceberg/catalog/types";
import { currentSnapshot } from "../../../lib/iceberg/metadata";
import { type OperationResult, runOperation } from "../../../lib/iceberg/operations";
import { summaryText } from "../../../lib/iceberg/operations/summary";
import type { Schema } from "../../../lib/iceberg/types";
import { CatalogTables } from "../../../lib/sql/catalog-tables";
import { SqlEngine } from "../../../lib/sql/engine";
import { comparable } from "../../support/compare-rows";
import { sharedSpark, type Spark } from "../../support/spark";
import { appendRows, createTable, temporaryCatalog, type TestCatalog } from "../../support/tables";

type Row = Record<string, unknown>;

const SCHEMA: Schema = {
  type: "struct", "schema-id": 0,
  fields: [
    { id: 1, name: "id", required: false, type: "int" }, { id: 2, name: "S", required: false, type: "string" }, { id: 3, name: "p", required: false, type: "float" },
    { id: 4, name: "q", required: false, type: { type: "struct", fields: [{ id: 5, name: "bid", required: false, type: "int" }, { id: 6, name: "venue", required: false, type: "string" }] } },
    { id: 7, name: "d", required: false, type: "decimal(9,2)" },
  ],
};

describe("Operations on tables beside Spark", function () {
  this.timeout(300_000);
  let spark: Spark;
  let catalog: TestCatalog;
  let remove: () => Promise<void>;
  const engine = new SqlEngine();
  const tables = new CatalogTables();
  const operate = (table: string, operation: string, options: object = {}): Promise<OperationResult> => runOperation({ catalog, table, operation, options });
  /** What both engines read of a table: the same columns and rows. */
  const read = async (table: string, sql = `SELECT * FROM oplake.${table}`): Promise<{ columns: string[]; rows: unknown[] }> => {
    const [ours, theirs] = [await engine.query({ sql, tables: tables.resolver(catalog, [catalog]), maxRows: 1_000_000 }), await spark.sql(sql)];
    const columns = ours.columns.map(({ name }) => name);
    assert.deepEqual(columns, theirs.columns, sql);
    const rows = comparable(columns, ours.rows.map((row) => columns.map((name) => row[name])));
    assert.deepEqual(rows, comparable(columns, theirs.rows), sql);
    return { columns, rows };
  };

  before(async () => {
    ({ catalog, remove } = await temporaryCatalog("oplake"));
    spark = await sharedSpark();
    await spark.catalog("oplake", catalog.root);
  });
  after(async () => {
    await engine.close();
    await remove?.();
  });

  describe("a table that lives through each of them:", () => {
    /** What has to be in the table, kept beside it. */
    let model: Row[] = [];
    let columns = ["id", "S", "p", "q", "d"];
    let table: Table;
    let next = 0;

    /** Both append a row, ours first, and both read the whole table as the model has it. */
    async function goOn(row: Row): Promise<void> {
      const id = next++;
      const mine = { ...Object.fromEntries(columns.map((name) => [name, null])), [columns.find((name) => /^(id|n)$/.test(name))!]: id, ...row };
      await appendRows(table, [mine]);
      await spark.sql(`INSERT INTO oplake.db.walk SELECT * FROM oplake.db.walk WHERE id = ${id}`);
      model.push(mine, { ...mine });
      await asModel();
    }

    async function asModel(): Promise<void> {
      const found = await read("db.walk");
      assert.deepEqual(found.columns, columns);
      assert.deepEqual(found.rows, comparable(columns, model.map((row) => columns.map((name) => row[name]))));
    }

    before(async () => {
      table = await createTable(catalog, "db.walk", { schema: SCHEMA, partitionBy: "S", properties: { "commit.manifest.min-count-to-merge": "1000" } });
      for (let i = 0; i < 4; i++) {
        const rows = Array.from({ length: 3 }, () => ({ id: next, S: `S${next % 2}`, p: next++ + 0.5, q: next % 3 ? { bid: next, venue: "V" } : null, d: "1.25" }));
        model.push(...rows);
        await appendRows(table, rows);
      }
      await goOn({ S: "S0", p: 2.5, q: { bid: 7, venue: "Ü ✓" }, d: "99.99" });
    });

    it("add-column: at the end, at the front, behind another, inside a struct", async () => {
      await operate("db.walk", "add-column", { column: "last", type: "timestamptz" });
      await operate("db.walk", "add-column", { column: "first", type: "long", position: "first" });
      await operate("db.walk", "add-column", { column: "list", type: { type: "list", element: "string", "element-required": false }, after: "S" });
      await operate("db.walk", "add-column", { column: "q.ask", type: "double", after: "q.bid", doc: "what is asked" });
      columns = ["first", "id", "S", "list", "p", "q", "d", "last"];
      model = model.map((row) => ({ first: null, list: null, last: null, ...row, q: row["q"] ? { bid: (row["q"] as Row)["bid"], ask: null, venue: (row["q"] as Row)["venue"] } : null }));
      await goOn({ first: "9007199254740993", S: "S1", list: ["a", null], q: { bid: 1, ask: 0.5, venue: "N" }, last: "2024-11-01T10:00:00.000Z" });
    });

    it("rename-column: also the one that the table is partitioned by, and inside a struct", async () => {
      await operate("db.walk", "rename-column", { column: "S", name: "symbol" });
      await operate("db.walk", "rename-column", { column: "q.venue", name: "Where it was" });
      columns = columns.map((name) => (name === "S" ? "symbol" : name));
      model = model.map(({ S, ...row }) => ({ ...row, symbol: S, q: row["q"] ? Object.fromEntries(Object.entries(row["q"] as Row).map(([name, value]) => [name === "venue" ? "Where it was" : name, value])) : null }));
      await goOn({ symbol: "S0", q: { bid: 2, ask: null, "Where it was": "here" } });
      const { rows } = await read("db.walk", "SELECT count(*) AS n FROM oplake.db.walk WHERE symbol = 'S0'");
      assert.deepEqual(rows, [[["n", model.filter((row) => row["symbol"] === "S0").length]]]);
    });

    it("move-column", async () => {
      await operate("db.walk", "move-column", { column: "last", position: "first" });
      await operate("db.walk", "move-column", { column: "first", after: "d" });
      await operate("db.walk", "move-column", { column: "q.Where it was", position: "first" });
      columns = ["last", "id", "symbol", "list", "p", "q", "d", "first"];
      model = model.map((row) => ({ ...row, q: row["q"] ? { "Where it was": null, ...Object.fromEntries(Object.entries(row["q"] as Row).sort(([a]) => (a === "Where it was" ? -1 : 0))) } : null }));
      await goOn({ symbol: "S1", first: 5, last: "2024-11-02T00:00:00.000Z", q: { "Where it was": "there", bid: 3, ask: 3.25 } });
    });

    it("widen-column: int, float, decimal, inside a struct", async () => {
      for (const [column, type] of [["id", "long"], ["p", "double"], ["d", "decimal(20,2)"], ["q.bid", "long"]]) await operate("db.walk", "widen-column", { column, type });
      await goOn({ symbol: "S1", p: 0.1, d: "123456789012345678.25", q: { "Where it was": null, bid: "9007199254740993", ask: null } });
      const { rows } = await read("db.walk", "SELECT max(id) AS n, max(q.bid) AS b FROM oplake.db.walk WHERE id >= 0 AND p > 0.05");
      assert.deepEqual(rows, [[["n", next - 1], ["b", "9007199254740993"]]]);
    });

    it("drop-column, and the name anew: nothing of the old one comes back", async () => {
      await operate("db.walk", "drop-column", { column: "d" });
      await operate("db.walk", "drop-column", { column: "q.bid" });
      const without = ({ d: _, ...row }: Row): Row => ({ ...row, q: row["q"] ? Object.fromEntries(Object.entries(row["q"] as Row).filter(([name]) => name !== "bid")) : null });
      columns = columns.filter((name) => name !== "d");
      model = model.map(without);
      await goOn({ symbol: "S0", q: { "Where it was": "x", ask: 1 } });
      await operate("db.walk", "add-column", { column: "d", type: "string", before: "p" });
      await operate("db.walk", "add-column", { column: "q.bid", type: "string" });
      columns.splice(columns.indexOf("p"), 0, "d");
      model = model.map((row) => ({ ...row, d: null, q: row["q"] ? { ...(row["q"] as Row), bid: null } : null }));
      await goOn({ symbol: "S1", d: "a text now", q: { "Where it was": null, ask: null, bid: "too" } });
    });

    it("set-properties: Spark sees them and keeps to them", async () => {
      await operate("db.walk", "set-properties", { set: { "write.parquet.compression-codec": "gzip", "a.note": "Ü" } });
      await operate("db.walk", "set-properties", { remove: ["a.note"] });
      const properties = Object.fromEntries((await spark.sql("SHOW TBLPROPERTIES oplake.db.walk")).rows) as Row;
      assert.deepEqual([properties["write.parquet.compression-codec"], properties["a.note"]], ["gzip", undefined]);
      await goOn({ symbol: "S0" });
    });

    it("rollback: what came after is gone for both", async () => {
      const [, before] = (await table.refresh()).metadata.snapshots.toReversed();
      const result = await operate("db.walk", "rollback", { snapshotId: String(before!["snapshot-id"]) });
      assert.deepEqual([(result["snapshots"] as unknown[]).length, result["rows"]], [1, 1]);
      model.pop();
      await asModel();
      await goOn({ symbol: "S1" });
    });

    it("rewrite-manifests", async () => {
      const result = await operate("db.walk", "rewrite-manifests");
      assert.ok(Number(result["rewritten_manifests_count"]) > Number(result["added_manifests_count"]), summaryText(result));
      await asModel();
      await goOn({ symbol: "S0" });
    });

    it("compact, sorted as asked: files of every column that ever was become files of today's", async () => {
      const result = await operate("db.walk", "compact", { strategy: "sort", sortOrder: "id DESC NULLS FIRST", options: { "rewrite-all": true } });
      assert.deepEqual([result["added_data_files_count"], result["rows"], result["failed_data_files_count"]], [2, model.length, 0]);
      await asModel();
      await goOn({ symbol: "S1" });
    });

    it("expire-snapshots: every file that is left is one that the table needs", async () => {
      const result = await operate("db.walk", "expire-snapshots", { olderThan: new Date(Date.now() + 60_000), retainLast: 2 });
      assert.ok(Number(result["expired_snapshots_count"]) > 20 && Number(result["deleted_data_files_count"]) > 20, summaryText(result));
      assert.equal((await read("db.walk", "SELECT snapshot_id FROM oplake.db.walk.snapshots")).rows.length, 2);
      await asModel();
      await goOn({ symbol: "S0" });
    });

    it("remove-orphan-files: leftovers go, what Spark and we refer to stays", async () => {
      const planted = await plant(table, ["data/symbol=S0/left over.parquet", "data/S=S0/a%20b.parquet", "metadata/lost-m0.avro"]);
      await plant(table, ["data/_temporary/part.parquet", "data/.staged.parquet"]);
      // Old enough to be orphans are all of them: only what refers to a file keeps it.
      await age(localPath(table.location));
      const result = await operate("db.walk", "remove-orphan-files", { olderThan: "2 days" });
      assert.deepEqual((result["orphan_file_location"] as string[]).map(localPath).sort(), planted.sort());
      await asModel();
      await goOn({ symbol: "S1" });
    });
  });

  describe("twins, one maintained by Spark and one by us:", () => {
    const TWINS = ["theirs", "ours"] as const;
    const columnsOf = (result: OperationResult, names: readonly string[]): Row => Object.fromEntries(names.map((name) => [name, result[name]]));
    /** Spark's procedure: its only row, by the names of its columns. */
    const call = async (sql: string): Promise<Row> => {
      const { columns, rows } = await spark.sql(`CALL oplake.system.${sql}`);
      return Object.fromEntries(columns.map((name, i) => [name, rows[0]![i]]));
    };
    const both = async (statement: (table: string) => string): Promise<void> => { for (const twin of TWINS) await spark.sql(statement(`oplake.twins.${twin}`)); };
    const folderOf = (twin: string): string => join(catalog.root, "twins", twin);
    /** Files of a table by their kind. */
    const kinds = async (twin: string): Promise<Row> => {
      const counts: Record<string, number> = {};
      for (const name of await filesIn(folderOf(twin))) {
        const kind = /^snap-.*\.avro$/.test(basename(name)) ? "lists" : name.endsWith(".avro") ? "manifests" : /-deletes\.parquet$/.test(name) ? "deletes" : name.endsWith(".parquet") ? "data" : "other";
        if (kind !== "other") counts[kind] = (counts[kind] ?? 0) + 1;
      }
      return counts;
    };
    const sameRows = async (): Promise<void> => {
      const [theirs, ours] = [await read("twins.theirs"), await read("twins.ours")];
      assert.deepEqual(theirs, ours);
    };

    before(async () => {
      for (const twin of TWINS) {
        const table = await createTable(catalog, `twins.${twin}`, { schema: SCHEMA, partitionBy: "S", properties: { "write.delete.mode": "merge-on-read", "write.delete.granularity": "file" } });
        for (let i = 0; i < 6; i++) await appendRows(table, Array.from({ length: 12 }, (_, n) => ({ id: i * 12 + n, S: ["a", "b", null][n % 3], p: n, q: { bid: n, venue: "V" }, d: "1.5" })));
      }
      await both((table) => `DELETE FROM ${table} WHERE id % 12 = 3`);
      await both((table) => `ALTER TABLE ${table} RENAME COLUMN p TO price`);
      await both((table) => `INSERT INTO ${table} VALUES (1000, 'b', 5, NULL, NULL)`);
    });

    const COMPACTED = ["rewritten_data_files_count", "added_data_files_count", "rewritten_bytes_count", "failed_data_files_count", "removed_delete_files_count"];

    it("rewrite_data_files and compact: the same files go and come", async () => {
      const theirs = await call("rewrite_data_files(table => 'twins.theirs', options => map('min-input-files', '3', 'remove-dangling-deletes', 'true'))");
      const ours = await operate("twins.ours", "compact", { options: { "min-input-files": 3, "remove-dangling-deletes": true } });
      // Its commit drops deletes that are older than all data, as ours does; it counts only those that a second commit would still find.
      assert.equal(ours["removed_delete_files_count"], 6);
      assert.deepEqual(columnsOf(ours, COMPACTED), { ...theirs, removed_delete_files_count: 6 });
      const [a, b] = await Promise.all(TWINS.map(async (twin) => currentSnapshot((await catalog.loadTable(parseIdentifier(`twins.${twin}`, "oplake"))).state.metadata)!.summary));
      for (const total of ["operation", "total-data-files", "total-records", "total-delete-files", "total-position-deletes"]) assert.equal(b![total], a![total], total);
      assert.equal(b!["total-delete-files"], "0");
      await sameRows();
    });

    it("rewrite_manifests", async () => {
      const theirs = await call("rewrite_manifests('twins.theirs')");
      const ours = await operate("twins.ours", "rewrite-manifests");
      // One manifest alone stays as it is with Spark, here that of the deletes, which names only files that are gone: ours has one less from here on.
      assert.deepEqual(columnsOf(ours, Object.keys(theirs)), { ...theirs, rewritten_manifests_count: Number(theirs["rewritten_manifests_count"]) + 1 });
      await sameRows();
    });

    it("remove_orphan_files finds the same ones", async () => {
      for (const twin of TWINS) {
        await plant(await catalog.loadTable(parseIdentifier(`twins.${twin}`, "oplake")), ["data/S=a/left.parquet", "data/S=a/with blank.parquet", "data/per%20cent.parquet", "metadata/lost-m0.avro", "data/S=b/_hidden", "data/.staged", "data/_temporary/x"]);
        await age(folderOf(twin));
      }
      const before = await filesIn(folderOf("theirs"));
      const old = new Date(Date.now() - 2 * 86_400_000).toISOString();
      const found = (await spark.sql(`CALL oplake.system.remove_orphan_files(table => 'twins.theirs', older_than => TIMESTAMP '${old}', dry_run => true)`)).rows.map(([path]) => localPath(String(path)));
      assert.deepEqual(await filesIn(folderOf("theirs")), before);
      const dry = await operate("twins.theirs", "remove-orphan-files", { olderThan: old, dryRun: true });
      assert.deepEqual((dry["orphan_file_location"] as string[]).map(localPath).sort(), found.sort());
      assert.deepEqual(found.map((path) => path.slice(folderOf("theirs").length + 1)).sort(), ["data/S=a/left.parquet", "data/S=a/with blank.parquet", "data/per%20cent.parquet", "metadata/lost-m0.avro"]);
      for (const twin of TWINS) assert.equal((await operate(`twins.${twin}`, "remove-orphan-files", { olderThan: old }))["orphan_files_count"], found.length);
      assert.deepEqual((await filesIn(folderOf("theirs"))), before.filter((name) => !found.includes(join(folderOf("theirs"), name))));
      await sameRows();
    });

    it("expire_snapshots: as many files of every kind", async () => {
      const soon = new Date(Date.now() + 60_000).toISOString();
      const theirs = await call(`expire_snapshots(table => 'twins.theirs', older_than => TIMESTAMP '${soon}', retain_last => 1)`);
      const ours = await operate("twins.ours", "expire-snapshots", { olderThan: soon, retainLast: 1 });
      assert.deepEqual(columnsOf(ours, Object.keys(theirs)), { ...theirs, deleted_manifest_files_count: Number(theirs["deleted_manifest_files_count"]) + 1 });
      assert.ok(Number(ours["deleted_data_files_count"]) > 0 && Number(ours["deleted_position_delete_files_count"]) > 0, summaryText(ours));
      const left = await kinds("theirs");
      assert.deepEqual(await kinds("ours"), { ...left, manifests: Number(left["manifests"]) - 1 });
      await sameRows();
    });

    it("ours where Spark's went before, and the other way round", async () => {
      for (const [mine, its] of [["theirs", "ours"], ["ours", "theirs"]] as const) {
        const table = await catalog.loadTable(parseIdentifier(`twins.${mine}`, "oplake"));
        for (let i = 0; i < 3; i++) {
          await appendRows(table, [{ id: 2000 + i, S: "a" }]);
          await spark.sql(`INSERT INTO oplake.twins.${mine} VALUES (${3000 + i}, 'a', 1, NULL, NULL)`);
        }
        const [, , before] = (await table.refresh()).metadata.snapshots.toReversed();
        if (its === "ours") {
          await call(`rollback_to_snapshot('twins.${mine}', ${before!["snapshot-id"]})`);
          await operate(`twins.${mine}`, "compact", { options: { "min-input-files": 2 } });
          await call(`rewrite_manifests('twins.${mine}')`);
          await operate(`twins.${mine}`, "expire-snapshots", { olderThan: new Date(Date.now() + 60_000), retainLast: 1 });
        } else {
          await operate(`twins.${mine}`, "rollback", { snapshotId: String(before!["snapshot-id"]) });
          await call(`rewrite_data_files(table => 'twins.${mine}', options => map('min-input-files', '2'))`);
          await operate(`twins.${mine}`, "rewrite-manifests");
          await call(`expire_snapshots(table => 'twins.${mine}', older_than => TIMESTAMP '${new Date(Date.now() + 60_000).toISOString()}', retain_last => 1)`);
        }
        await age(folderOf(mine));
        await plant(table, ["data/left.parquet"]);
        const { orphan_files_count: orphans } = await operate(`twins.${mine}`, "remove-orphan-files", { olderThan: "2 days" });
        assert.equal(orphans, 1, `${mine}: nothing was left lying`);
      }
      await sameRows();
      assert.deepEqual(await kinds("ours"), await kinds("theirs"));
    });
  });

  /** Makes files that nothing refers to, four days old. */
  async function plant({ location }: Table, names: readonly string[]): Promise<string[]> {
    const paths = names.map((name) => join(localPath(location), name));
    for (const path of paths) {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, "nothing");
    }
    await age(localPath(location), paths);
    return paths;
  }

  /** Makes files four days old: these, or all in a folder. */
  async function age(folder: string, paths?: readonly string[]): Promise<void> {
    const then = new Date(Date.now() - 4 * 86_400_000);
    for (const path of paths ?? (await filesIn(folder)).map((name) => join(folder, name))) await utimes(path, then, then);
  }

  async function filesIn(folder: string): Promise<string[]> {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1)).sort();
  }
});
