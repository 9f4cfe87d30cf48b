/** Compaction beside Spark: it reads what was compacted, and deletes of its own are applied. */
import assert from "node:assert/strict";
import { compactTable } from "../../../lib/iceberg/operations/compact";
import { currentSnapshot } from "../../../lib/iceberg/metadata";
import { sharedSpark } from "../../support/spark";
import type { Spark } from "../../support/spark";
import { appendRows, dayOfTrades, createTable, temporaryCatalog } from "../../support/tables";

describe("compaction and Spark", function () {
  this.timeout(240_000);
  let spark: Spark, catalog: Awaited<ReturnType<typeof temporaryCatalog>>;
  before(async () => {
    spark = await sharedSpark();
    catalog = await temporaryCatalog("compacted");
    await spark.catalog("compacted", catalog.folder);
  });
  after(() => catalog.remove());

  it("applies Spark's position deletes, drops them, and Spark reads the same rows; Spark compacts no further", async () => {
    const table = await createTable(catalog.catalog, "db.deleted");
    for (let n = 0; n < 6; n++) await appendRows(table, [...dayOfTrades(0, 10), ...dayOfTrades(1, 10)]);
    await spark.sql("ALTER TABLE compacted.db.deleted SET TBLPROPERTIES ('write.delete.mode'='merge-on-read', 'write.update.mode'='merge-on-read', 'format-version'='2')");
    await spark.sql("DELETE FROM compacted.db.deleted WHERE s = 300 OR (s = 500 AND timestamp < 1730505600000)");
    await spark.sql("UPDATE compacted.db.deleted SET p = 1.5 WHERE s = 700");
    const before = await spark.sql("SELECT * FROM compacted.db.deleted ORDER BY timestamp, s, p");
    assert.equal(before.rows.length, 12 * 10 - 12 - 6);
    await table.refresh();
    assert.ok(Number(currentSnapshot(table.state.metadata)!.summary["total-delete-files"]) > 0, "Spark wrote position deletes");
    const result = await compactTable(table);
    assert.deepEqual(result.failures, []);
    assert.ok(result.removed_delete_files_count > 0 && result.added_data_files_count === 2, JSON.stringify(result, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value)));
    const { summary } = currentSnapshot(table.state.metadata)!;
    assert.deepEqual([summary["total-delete-files"], summary["total-position-deletes"], summary["total-records"], summary["total-data-files"]], ["0", "0", "102", "2"]);
    const after = await spark.sql("SELECT * FROM compacted.db.deleted ORDER BY timestamp, s, p");
    assert.deepEqual(after.rows, before.rows);
    assert.deepEqual((await spark.sql("SELECT content, count(*) FROM compacted.db.deleted.files GROUP BY content")).rows, [[0, 2]]);
    const again = await spark.sql("CALL compacted.system.rewrite_data_files(table => 'db.deleted')");
    assert.equal(again.rows[0]![0], 0);
    // Deletes that come later apply to the new files.
    await spark.sql("DELETE FROM compacted.db.deleted WHERE s = 100");
    assert.equal((await spark.sql("SELECT count(*) FROM compacted.db.deleted")).rows[0]![0], 90);
    await compactTable(table, { options: { "delete-file-threshold": 1 } });
    assert.equal((await spark.sql("SELECT count(*) FROM compacted.db.deleted")).rows[0]![0], 90);
  });

  it("gives the counts of Spark's own procedure on a twin table, sorted too", async () => {
    const counts: unknown[][] = [];
    for (const name of ["ours", "theirs"]) {
      const table = await createTable(catalog.catalog, `db.${name}`);
      for (let n = 0; n < 7; n++) await appendRows(table, [...dayOfTrades(0, 10), ...(n < 3 ? dayOfTrades(1, 10) : [])]);
      if (name === "ours") {
        const result = await compactTable(table, { sortOrder: "s DESC NULLS LAST, i" });
        counts.push([result.rewritten_data_files_count, result.added_data_files_count, result.failed_data_files_count, result.removed_delete_files_count]);
      } else counts.push((await spark.sql("CALL compacted.system.rewrite_data_files(table => 'db.theirs', strategy => 'sort', sort_order => 's DESC NULLS LAST, i')")).rows[0]!.filter((_, i) => i !== 2).slice(0, 4));
    }
    assert.deepEqual(counts[0], [7, 1, 0, 0]);
    assert.deepEqual([counts[1]![0], counts[1]![1]], [7, 1]);
    const sql = (name: string): string => `SELECT * FROM compacted.db.${name} ORDER BY timestamp, s, i`;
    assert.deepEqual((await spark.sql(sql("ours"))).rows, (await spark.sql(sql("theirs"))).rows);
    const order = (await spark.sql("SELECT s FROM compacted.db.ours WHERE timestamp < 1730505600000")).rows.map(([s]) => Number(s));
    assert.deepEqual(order, [...order].sort((a, b) => b - a), "in the file's order, larger ones first");
  });
});
