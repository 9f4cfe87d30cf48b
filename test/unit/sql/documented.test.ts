import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CatalogTables } from "../../../lib/sql/catalog-tables";
import { runCall } from "../../../lib/sql/call";
import { SqlEngine } from "../../../lib/sql/engine";
import { documentedQueries } from "../../../lib/pinot/query/documented";
import { root } from "../../support/start";
import { appendRows, createTable, dayOfTrades, temporaryCatalog, type TestCatalog } from "../../support/tables";

const FROM = "FROM local.db.flattened_stocks";

/** The queries of the documentation of the pipeline that is reproduced, by the comment above each, as they stand there. */
const ICEBERG: Readonly<Record<string, string>> = {
  "View latest data": `SELECT * ${FROM}\nORDER BY timestamp DESC\nLIMIT 10;`,
  "Time-travel query (specific snapshot)": `SELECT * ${FROM}\nVERSION AS OF 123456789;`,
  "Time-travel query (specific timestamp)": `SELECT * ${FROM}\nTIMESTAMP AS OF '2024-11-01 10:00:00';`,
  "View table history": `SELECT * ${FROM}.history;`,
  "View snapshots": `SELECT\n  snapshot_id,\n  parent_id,\n  committed_at,\n  operation,\n  summary\n${FROM}.snapshots;`,
  "View manifest files": `SELECT * ${FROM}.files;`,
  "Aggregate queries": `SELECT\n  S as symbol,\n  COUNT(*) as trade_count,\n  AVG(p) as avg_price,\n  SUM(s) as total_volume\n${FROM}\nGROUP BY S\nORDER BY trade_count DESC;`,
};
const CALLS: Readonly<Record<string, string>> = {
  "Expire old snapshots (cleanup)": "CALL spark_catalog.system.expire_snapshots(\n  table => 'local.db.flattened_stocks',\n  older_than => TIMESTAMP '2024-11-01 00:00:00'\n);",
  "Remove orphan files": "CALL spark_catalog.system.remove_orphan_files(\n  table => 'local.db.flattened_stocks'\n);",
  "Rewrite manifests (optimize metadata)": "CALL spark_catalog.system.rewrite_manifests(\n  'local.db.flattened_stocks'\n);",
};
const PINOT = ["Count trades by symbol", "Average price by symbol", "Trades in last hour", "Top exchanges by volume", "Time-series aggregation (1-minute buckets)", "Price percentiles"];

describe("the documented queries", () => {
  const engine = new SqlEngine();
  const tables = new CatalogTables();
  let lake: Awaited<ReturnType<typeof temporaryCatalog>>;
  let catalog: TestCatalog;
  let snapshots: { id: string; at: string }[];
  before(async () => {
    lake = await temporaryCatalog("local");
    ({ catalog } = lake);
    const table = await createTable(catalog, "db.flattened_stocks");
    for (let day = 0; day < 3; day++) await appendRows(table, dayOfTrades(day));
    snapshots = (await rows("SELECT snapshot_id, committed_at FROM local.db.flattened_stocks.snapshots ORDER BY committed_at")).map((row) => ({ id: String(row["snapshot_id"]), at: String(row["committed_at"]) }));
  });
  after(async () => {
    await engine.close();
    await lake.remove();
  });
  const rows = async (sql: string): Promise<Record<string, unknown>[]> => (await engine.query({ sql, tables: tables.resolver(catalog, [catalog]) })).rows;

  it("View latest data", async () => {
    const latest = await rows(ICEBERG["View latest data"]!);
    assert.equal(latest.length, 10);
    const times = latest.map((row) => Number(row["timestamp"]));
    assert.deepEqual(times, [...times].sort((a, b) => b - a));
  });

  it("Time-travel query (specific snapshot): the id of the document is none of this table, one of it is read", async () => {
    await assert.rejects(rows(ICEBERG["Time-travel query (specific snapshot)"]!), { code: "SNAPSHOT_NOT_FOUND", message: /123456789/ });
    assert.equal((await rows(ICEBERG["Time-travel query (specific snapshot)"]!.replace("123456789", snapshots[0]!.id))).length, 10);
  });

  it("Time-travel query (specific timestamp): before the first snapshot there is nothing, at its time it is read", async () => {
    await assert.rejects(rows(ICEBERG["Time-travel query (specific timestamp)"]!), { code: "SNAPSHOT_NOT_FOUND", message: /no snapshot as old as 2024-11-01/ });
    assert.equal((await rows(ICEBERG["Time-travel query (specific timestamp)"]!.replace("2024-11-01 10:00:00", "2999-01-01 10:00:00"))).length, 30);
  });

  it("View table history, View snapshots, View manifest files", async () => {
    assert.deepEqual((await rows(ICEBERG["View table history"]!)).map((row) => String(row["snapshot_id"])).sort(), snapshots.map(({ id }) => id).sort());
    const found = await rows(ICEBERG["View snapshots"]!);
    assert.deepEqual(Object.keys(found[0]!), ["snapshot_id", "parent_id", "committed_at", "operation", "summary"]);
    assert.deepEqual(found.map((row) => row["operation"]), ["append", "append", "append"]);
    const files = await rows(ICEBERG["View manifest files"]!);
    assert.equal(files.reduce((sum, row) => sum + Number(row["record_count"]), 0), 30);
  });

  it("Aggregate queries", async () => {
    const found = await rows(ICEBERG["Aggregate queries"]!);
    assert.deepEqual(Object.keys(found[0]!), ["symbol", "trade_count", "avg_price", "total_volume"]);
    assert.equal(found.reduce((sum, row) => sum + Number(row["trade_count"]), 0), 30);
  });

  it("the CALLs, once they are allowed, leave every trade where it is", async () => {
    for (const sql of Object.values(CALLS)) await runCall({ sql, own: catalog, others: [catalog], tables, engine });
    assert.equal(Number((await rows(`SELECT COUNT(*) AS n ${FROM}`))[0]!["n"]), 30);
  });

  it("stand in docs/documented-pipeline.md, each with its place here; those of Pinot as docs/pinot.md has them", () => {
    const page = readFileSync(join(root, "docs", "documented-pipeline.md"), "utf8");
    for (const title of [...Object.keys(ICEBERG), ...Object.keys(CALLS), ...PINOT]) assert.ok(page.includes(`| ${title} |`), `docs/documented-pipeline.md has no row for "${title}"`);
    const pinot = readFileSync(join(root, "docs", "pinot.md"), "utf8");
    for (const [name, sql] of Object.entries(documentedQueries())) assert.ok(pinot.includes(sql.trim()), `docs/pinot.md does not show ${name} as it is run`);
  });
});
