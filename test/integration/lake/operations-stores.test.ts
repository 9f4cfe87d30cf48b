import assert from "node:assert/strict";
import { mkdtemp, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CatalogCredentials, type CatalogSettings, openCatalog } from "../../../lib/iceberg/catalog/open";
import type { Table } from "../../../lib/iceberg/catalog/types";
import { localPath } from "../../../lib/iceberg/io/local";
import { currentSchema } from "../../../lib/iceberg/metadata";
import { type OperationResult, runOperation } from "../../../lib/iceberg/operations";
import { summaryText } from "../../../lib/iceberg/operations/summary";
import { CatalogTables } from "../../../lib/sql/catalog-tables";
import { SqlEngine } from "../../../lib/sql/engine";
import { runWriter } from "../../support/append-processes";
import { dataFiles, readRows } from "../../support/read-table";
import { sharedRest } from "../../support/rest";
import { freshBucket, sharedS3 } from "../../support/s3";
import { appendRows, createTable, dayOfTrades, type TestCatalog } from "../../support/tables";

interface Place { settings: CatalogSettings; credentials?: CatalogCredentials }

const SOON = (): Date => new Date(Date.now() + 60_000);
const folders: string[] = [];

const PLACES: Record<string, () => Promise<Place>> = {
  "a folder": async () => {
    const warehouse = await mkdtemp(join(tmpdir(), "ticklake-operations-"));
    folders.push(warehouse);
    return { settings: { warehouse } };
  },
  "S3": async () => {
    const { endpoint, accessKey, secretKey } = await sharedS3();
    return { settings: { warehouse: `s3a://${await freshBucket()}/lake`, s3Endpoint: endpoint }, credentials: { accessKeyId: accessKey, secretAccessKey: secretKey } };
  },
  "a REST catalog": async () => ({ settings: { catalogType: "rest", uri: (await sharedRest()).uri } }),
};

async function filesOf(table: Table): Promise<string[]> {
  const found: string[] = [];
  for await (const { location } of table.io.listAll(table.location)) found.push(location);
  return found.sort();
}

for (const [place, open] of Object.entries(PLACES)) {
  describe(`Operations on tables in ${place}`, function () {
    this.timeout(120_000);
    let at: Place;
    let catalog: TestCatalog;
    const operate = (table: string, operation: string, options: object = {}): Promise<OperationResult> => runOperation({ catalog, table, operation, options });

    before(async () => {
      at = await open();
      catalog = openCatalog(at.settings, process.cwd(), { credentials: at.credentials ?? {} });
      for (const name of ["t", "operated"]) await catalog.dropTable({ namespace: ["db"], name }, { purge: true }).catch(() => undefined);
    });
    after(async () => {
      for (const name of ["t", "operated"]) await catalog.dropTable({ namespace: ["db"], name }, { purge: true }).catch(() => undefined);
    });

    it("each once: what it says, which files go and which stay, and the rows", async () => {
      const engine = new SqlEngine(), tables = new CatalogTables();
      const name = "db.operated";
      const table = await createTable(catalog, name, { properties: { "commit.manifest.min-count-to-merge": "1000" } });
      const count = async (): Promise<unknown> => {
        const { rows } = await engine.query({ sql: `SELECT count(*) AS n, sum(s) AS s, count(venue) AS v FROM ${catalog.name}.${name}`, tables: tables.resolver(catalog, [catalog]) });
        return rows[0];
      };
      try {
        for (let i = 0; i < 6; i++) await appendRows(table, dayOfTrades(i % 2));
        const all = { n: 60, s: 33_000, v: 60 };
        await operate(name, "rename-column", { column: "x", name: "venue" });
        await operate(name, "add-column", { column: "seen", type: "timestamptz", position: "first" });
        await operate(name, "move-column", { column: "T", position: "last" });
        await operate(name, "drop-column", { column: "z" });
        await operate(name, "add-column", { column: "small", type: "int", after: "venue" });
        await operate(name, "widen-column", { column: "small", type: "long" });
        await operate(name, "set-properties", { set: { note: "Ü" } });
        assert.deepEqual(currentSchema((await table.refresh()).metadata).fields.map((field) => `${field.name} ${field.id}`), ["seen 11", "S 2", "i 3", "venue 4", "small 12", "p 5", "s 6", "timestamp 7", "c 8", "T 1"]);
        assert.equal(table.state.metadata.properties["note"], "Ü");
        assert.deepEqual(await count(), all);

        await appendRows(table, [{ small: "9007199254740993", venue: "N", s: 1, timestamp: dayOfTrades(0)[0]!["timestamp"] }]);
        const [last, before] = table.state.metadata.snapshots.toReversed();
        const back = await operate(name, "rollback", { snapshotId: String(before!["snapshot-id"]) });
        assert.deepEqual([back["rows"], String(back["previous_snapshot_id"])], [1, String(last!["snapshot-id"])]);
        assert.deepEqual(await count(), all);

        const rewritten = await operate(name, "rewrite-manifests");
        assert.deepEqual([rewritten["rewritten_manifests_count"], rewritten["added_manifests_count"]], [6, 1], summaryText(rewritten));
        const small = (await dataFiles(table)).map((file) => file.filePath);
        assert.equal(small.length, 6);
        const compacted = await operate(name, "compact", { options: { "min-input-files": 2 } });
        assert.deepEqual([compacted["rewritten_data_files_count"], compacted["added_data_files_count"], compacted["rows"]], [6, 2, 60]);
        assert.deepEqual(await count(), all);
        const kept = await filesOf(table);
        for (const file of small) assert.ok(kept.includes(file), "older snapshots still have their files");

        const dry = await operate(name, "expire-snapshots", { olderThan: SOON(), retainLast: 1, dryRun: true });
        assert.deepEqual(await filesOf(table), kept);
        const expired = await operate(name, "expire-snapshots", { olderThan: SOON(), retainLast: 1 });
        const facts = (result: OperationResult): unknown => ["deleted_data_files_count", "deleted_manifest_files_count", "deleted_manifest_lists_count", "expired_snapshots_count", "bytes"].map((key) => result[key]);
        assert.deepEqual(facts(expired), facts(dry));
        // Six appends, the one that was taken back, and the rewritten manifests.
        assert.deepEqual([expired["deleted_data_files_count"], expired["expired_snapshots_count"], expired["failed_files_count"]], [7, 8, 0]);
        const live = await filesOf(table);
        assert.deepEqual(live.filter((file) => file.endsWith(".parquet")), (await dataFiles(table)).map((file) => file.filePath).sort());
        assert.deepEqual(live.filter((file) => /\/snap-/.test(file)), [table.state.metadata.snapshots[0]!["manifest-list"]]);
        assert.deepEqual(await count(), all);

        const orphan = `${table.location}/data/left over%20.parquet`;
        await table.io.write(orphan, Buffer.from("nothing"));
        assert.equal((await operate(name, "remove-orphan-files"))["orphan_files_count"], 0, "it is too young");
        await assert.rejects(operate(name, "remove-orphan-files", { olderThan: SOON() }), { code: "CONFIG_INVALID", message: /24 hours/ });
        const removed = await operate(name, "remove-orphan-files", { olderThan: SOON(), force: true });
        assert.deepEqual(removed["orphan_file_location"], [orphan], summaryText(removed));
        assert.deepEqual(await filesOf(table), live);

        await appendRows(table, [{ small: 1, venue: "N", s: 1, timestamp: 0 }]);
        assert.deepEqual(await count(), { n: 61, s: 33_001, v: 61 });
      } finally {
        await engine.close();
      }
    });

    it("beside two processes that append: nothing is lost or doubled", async () => {
      const ROWS = 60;
      let writing = true;
      const writers = Promise.all([0, 1].map((partition) => runWriter({ catalog: at, writer: `w${partition}`, partition, end: ROWS, batch: 2 }))).finally(() => { writing = false; });
      const maintenance = async (): Promise<Record<string, number>> => {
        const done: Record<string, number> = {};
        while (writing && !(await catalog.tableExists({ namespace: ["db"], name: "t" }))) await new Promise(setImmediate);
        const table = await catalog.loadTable({ namespace: ["db"], name: "t" });
        for (let round = 0; writing || round < 2; round++) {
          const results = [
            await operate("db.t", "compact", { options: { "min-input-files": 2, "partial-progress.enabled": round % 2 === 0 } }),
            await operate("db.t", "rewrite-manifests"),
            await operate("db.t", "expire-snapshots", { olderThan: SOON(), retainLast: 1 + round % 3 }),
          ];
          // What is in the table counts as old: only that the table refers to it keeps it.
          if (place !== "S3") await makeOld(table);
          results.push(await operate("db.t", "remove-orphan-files", { olderThan: "25 hours" }));
          for (const result of results) done[result.operation] = (done[result.operation] ?? 0) + Number(result["rewritten_data_files_count"] ?? result["rewritten_manifests_count"] ?? result["expired_snapshots_count"] ?? result["orphan_files_count"]);
          assert.equal(results[3]!["orphan_files_count"], 0);
        }
        return done;
      };
      const [done] = await Promise.all([maintenance(), writers]);
      for (const operation of ["compact", "rewrite-manifests", "expire-snapshots"]) assert.ok(done[operation]! > 0, `${operation} had nothing to do: ${JSON.stringify(done)}`);
      const table = await catalog.loadTable({ namespace: ["db"], name: "t" });
      const ids = (await readRows(table)).map((row) => Number(row["id"])).sort((a, b) => a - b);
      assert.deepEqual(ids, [0, 1].flatMap((partition) => Array.from({ length: ROWS }, (_, i) => partition * 1_000_000 + i)));
      await operate("db.t", "expire-snapshots", { olderThan: SOON(), retainLast: 1 });
      const live = (await dataFiles(table)).map((file) => file.filePath).sort();
      assert.deepEqual((await filesOf(table)).filter((file) => file.endsWith(".parquet")), live, "no file is left that nothing refers to");
    });
  });
}

after(async () => { for (const folder of folders) await rm(folder, { recursive: true, force: true, maxRetries: 5 }); });

/** Makes the files of the current snapshot and its metadata two days old. */
async function makeOld(table: Table): Promise<void> {
  const then = new Date(Date.now() - 2 * 86_400_000);
  const files = (await dataFiles(table)).map((file) => file.filePath);
  for (const { "manifest-list": list } of table.state.metadata.snapshots) files.push(list!);
  for (const file of files) await utimes(localPath(file), then, then);
}
