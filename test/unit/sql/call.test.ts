import assert from "node:assert/strict";
import { access, readFile, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Table } from "../../../lib/iceberg/catalog/types";
import { append } from "../../../lib/iceberg/commit";
import { runOperation } from "../../../lib/iceberg/operations";
import { type CallResult, runCall } from "../../../lib/sql/call";
import { bindArguments, procedureOf } from "../../../lib/sql/call-arguments";
import { isCall, parseCall } from "../../../lib/sql/call-parser";
import { CatalogTables } from "../../../lib/sql/catalog-tables";
import { SqlEngine } from "../../../lib/sql/engine";
import { appendRows, createTable, dayOfTrades, temporaryCatalog, type TestCatalog } from "../../support/tables";

const bind = (sql: string): { table: string; options: Readonly<Record<string, unknown>> } => {
  const parsed = parseCall(sql);
  const { name, procedure } = procedureOf(parsed.name.at(-1)!);
  return bindArguments(name, procedure, parsed.arguments);
};

describe("CALL as text", () => {
  it("is told from queries, behind comments too", () => {
    for (const sql of ["CALL a.b()", "call x", "-- why\n/* and\nhow */ Call\n`a`.b()", "CALL"]) assert.equal(isCall(sql), true, sql);
    for (const sql of ["SELECT 1", "caller.x()", "call.x", "-- CALL x()\nSELECT 1", "", "WITH call AS (SELECT 1) SELECT * FROM call"]) assert.equal(isCall(sql), false, sql);
  });

  it("has names and literals as Spark writes them", () => {
    const parsed = parseCall("-- first\ncall `my-lake`.System.expire_snapshots /* here */ (\n  TABLE => 'it''s', b => \"say \\\"x\\\"\", c => 'a\\'b\\\\', d => 'C:\\wh', e => -9007199254740993, f => 5L, g => 1.5e3, h => TRUE, i => null,\n"
      + "  j => TIMESTAMP '2024-11-01 00:00:00', k => timestamp '2024-11-01T02:00:00+02:00', l => DATE '2024-11-01', m => map('a', '1', 'b', 2), n => array(1, 2), o => map(), p => 'a\"\"b'); ;  -- end");
    assert.deepEqual(parsed.name, ["my-lake", "System", "expire_snapshots"]);
    const day = Date.UTC(2024, 10, 1);
    const text = (value: string) => ({ kind: "text", value }), number = (value: bigint | number) => ({ kind: "number", value });
    assert.deepEqual(Object.fromEntries(parsed.arguments.map(({ name, value }) => [name, value])), {
      TABLE: text("it's"), b: text('say "x"'), c: text("a'b\\"), d: text("C:\\wh"), e: number(-9007199254740993n), f: number(5n), g: number(1500), h: { kind: "flag", value: true }, i: { kind: "null" },
      j: { kind: "time", value: day }, k: { kind: "time", value: day }, l: { kind: "time", value: day }, m: { kind: "map", value: [[text("a"), text("1")], [text("b"), number(2n)]] },
      n: { kind: "array", value: [number(1n), number(2n)] }, o: { kind: "map", value: [] }, p: text('a""b'),
    });
    assert.deepEqual(parseCall("CALL system.x()"), { name: ["system", "x"], arguments: [] });
  });

  for (const [sql, message] of [
    ["CALL", /expected the procedure's name, but it ends there/],
    ["CALL local.system.expire_snapshots", /expected \( and the arguments, but it ends there/],
    ["CALL local.system.", /expected a name after the dot/],
    ["CALL s.x('a'", /expected a comma or \), but it ends there/],
    ["CALL s.x('a' 5)", /expected a comma or \), not 5 \(character 14\)/],
    ["CALL s.x('a', )", /expected a value/],
    ["CALL s.x(table => )", /expected a value/],
    ["CALL s.x(table = 'a')", /not table \(character 10\)/],
    ["CALL s.x('a)", /the quote is not closed/],
    ["CALL s.x(older_than => TIMESTAMP 5)", /a time after TIMESTAMP/],
    ["CALL s.x(older_than => TIMESTAMP '2024-02-30 00:00:00')", /a time after TIMESTAMP/],
    ["CALL s.x(older_than => now())", /Other expressions are not evaluated/],
    ["CALL s.x(5 + 5)", /expected a comma or \)/],
    ["CALL s.x(12ab)", /expected a value/],
    ["CALL s.x(map('a'))", /One key has no value/],
    ["CALL s.x('a') SELECT 1", /expected the end of the CALL, not SELECT/],
    ["CALL s.x('a'); CALL s.x('b')", /One CALL at a time/],
  ] as [string, RegExp][]) {
    it(`refuses ${sql}`, () => assert.throws(() => parseCall(sql), { code: "SQL_INVALID", message }));
  }
});

describe("arguments of a CALL", () => {
  it("stand by name in any case or in Spark's order; null is not given, and what only tunes Spark is without effect", () => {
    const ms = Date.UTC(2024, 10, 1);
    const expected = { table: "db.t", options: { older_than: ms, retain_last: 3n, snapshot_ids: [7n, 9007199254740993n] } };
    assert.deepEqual(bind("CALL s.expire_snapshots('db.t', TIMESTAMP '2024-11-01 00:00:00', 3, 4, true, array(7, 9007199254740993), false)"), expected);
    assert.deepEqual(bind("CALL s.EXPIRE_SNAPSHOTS(Older_Than => '2024-11-01', TABLE => 'db.t', snapshot_ids => array(7, '9007199254740993'), retain_last => 3, stream_results => null)"), expected);
    assert.deepEqual(bind("CALL s.expire_snapshots(table => 'db.t', older_than => '5 days', dry_run => true)").options, { older_than: "5 days", dry_run: true });
    assert.deepEqual(bind("CALL s.rewrite_data_files('db.t', 'sort', 'S DESC', map('rewrite-all', 'true', 'min-input-files', 2), 'S = 1')").options,
      { strategy: "sort", sort_order: "S DESC", options: { "rewrite-all": "true", "min-input-files": "2" }, where: "S = 1" });
  });

  for (const [sql, message] of [
    ["CALL s.vacuum('db.t')", /no procedure vacuum\. CALL runs expire_snapshots, remove_orphan_files, rewrite_manifests, rewrite_data_files, rollback_to_snapshot, rollback_to_timestamp, set_current_snapshot/],
    ["CALL s.constructor('db.t')", /no procedure constructor/],
    ["CALL s.expire_snapshots()", /table is needed/],
    ["CALL s.expire_snapshots(table => null)", /table is needed/],
    ["CALL s.rollback_to_snapshot('db.t')", /snapshot_id is needed/],
    ["CALL s.expire_snapshots('db.t', older_than => '1 day')", /by name or by order, not both/],
    ["CALL s.expire_snapshots(table => 'db.t', dryrun => true)", /no argument dryrun\. It takes table, older_than, .*dry_run/],
    ["CALL s.rewrite_manifests('db.t', true, 0, null, true)", /takes 4 arguments by order, not 5/],
    ["CALL s.expire_snapshots(table => 'a.b', TABLE => 'a.c')", /table is given twice/],
    ["CALL s.expire_snapshots(table => 5)", /table must be a text in quotes/],
    ["CALL s.expire_snapshots('db.t', 1730419200000)", /older_than must be a time/],
    ["CALL s.expire_snapshots('db.t', '')", /older_than must be a time/],
    ["CALL s.expire_snapshots(table => 'db.t', retain_last => 1.5)", /retain_last must be a whole number/],
    ["CALL s.expire_snapshots(table => 'db.t', snapshot_ids => array())", /snapshot_ids must be an array/],
    ["CALL s.expire_snapshots(table => 'db.t', clean_expired_metadata => true)", /clean_expired_metadata is not supported/],
    ["CALL s.remove_orphan_files(table => 'db.t', dry_run => 'true')", /dry_run must be true or false/],
    ["CALL s.remove_orphan_files(table => 'db.t', file_list_view => 'v')", /file_list_view is not supported/],
    ["CALL s.rewrite_data_files(table => 'db.t', options => map(1, 2))", /options must be a map/],
    ["CALL s.rewrite_data_files(table => 'db.t', branch => 'audit')", /only the branch main/],
  ] as [string, RegExp][]) {
    it(`refuse ${sql}`, () => assert.throws(() => bind(sql), { code: "SQL_INVALID", message }));
  }
});

describe("CALL on tables", () => {
  const NAME = "local.db.flattened_stocks";
  const engine = new SqlEngine();
  after(() => engine.close());
  let local: Awaited<ReturnType<typeof temporaryCatalog>>, lake: Awaited<ReturnType<typeof temporaryCatalog>>;
  let catalog: TestCatalog;
  let table: Table;
  beforeEach(async () => {
    [local, lake] = [await temporaryCatalog("local"), await temporaryCatalog("lake")];
    ({ catalog } = local);
    table = await createTable(catalog, "db.flattened_stocks");
    for (const day of [0, 0, 1]) await appendRows(table, dayOfTrades(day));
  });
  afterEach(async () => { await local.remove(); await lake.remove(); });

  const call = (sql: string, more: { maxRows?: number; signal?: AbortSignal } = {}): Promise<CallResult> =>
    runCall({ sql, own: catalog, others: [catalog, lake.catalog], tables: new CatalogTables(), engine, ...(more.maxRows ? { maxRows: more.maxRows } : {}) }, more.signal ? { signal: more.signal } : {});
  const query = async (sql: string): Promise<Record<string, unknown>[]> => (await engine.query({ sql, tables: new CatalogTables().resolver(catalog, [catalog, lake.catalog]) })).rows;
  const count = async (what = NAME): Promise<unknown> => (await query(`SELECT count(*) AS n FROM ${what}`))[0]!["n"];
  const ids = async (): Promise<string[]> => (await query(`SELECT snapshot_id FROM ${NAME}.snapshots ORDER BY committed_at`)).map((row) => String(row["snapshot_id"]));
  const types = ({ columns }: CallResult): string[] => columns.map(({ name, type }) => `${name} ${type}`);

  it("the documented CALLs run as they stand", async () => {
    const expired = await call("-- Expire old snapshots (cleanup)\nCALL spark_catalog.system.expire_snapshots(\n  table => 'local.db.flattened_stocks',\n  older_than => TIMESTAMP '2024-11-01 00:00:00'\n);");
    assert.deepEqual(types(expired), ["data", "position_delete", "equality_delete"].map((kind) => `deleted_${kind}_files_count BIGINT`)
      .concat("deleted_manifest_files_count BIGINT", "deleted_manifest_lists_count BIGINT", "deleted_statistics_files_count BIGINT"));
    assert.deepEqual(expired.rows, [{ deleted_data_files_count: 0, deleted_position_delete_files_count: 0, deleted_equality_delete_files_count: 0, deleted_manifest_files_count: 0, deleted_manifest_lists_count: 0, deleted_statistics_files_count: 0 }]);
    assert.equal((await ids()).length, 3);
    const orphans = await call("-- Remove orphan files\nCALL spark_catalog.system.remove_orphan_files(\n  table => 'local.db.flattened_stocks'\n);");
    assert.deepEqual([types(orphans), orphans.rows, orphans.truncated], [["orphan_file_location VARCHAR"], [], false]);
    const manifests = await call("-- Rewrite manifests (optimize metadata)\nCALL spark_catalog.system.rewrite_manifests(\n  'local.db.flattened_stocks'\n);");
    assert.deepEqual([types(manifests), manifests.rows, manifests.procedure], [["rewritten_manifests_count INTEGER", "added_manifests_count INTEGER"], [{ rewritten_manifests_count: 3, added_manifests_count: 1 }], "local.system.rewrite_manifests"]);
    assert.equal(await count(), 30);
  });

  it("expire_snapshots deletes what nothing needs, and a dry run only says so", async () => {
    await call(`CALL local.system.rewrite_data_files(table => '${NAME}', options => map('rewrite-all', 'true'))`);
    const sql = (more: string): string => `CALL local.system.expire_snapshots(table => 'db.flattened_stocks', older_than => TIMESTAMP '2999-01-01 00:00:00', retain_last => 1${more})`;
    const planned = await call(sql(", dry_run => true"));
    assert.deepEqual([planned.rows[0]!["deleted_data_files_count"], (await ids()).length], [3, 4]);
    assert.deepEqual((await call(sql(""))).rows, planned.rows);
    assert.deepEqual([(await ids()).length, await count()], [1, 30]);
  });

  it("expire_snapshots by ids beyond 2^53", async () => {
    const [first] = await ids();
    await call(`CALL system.expire_snapshots(table => '${NAME}', snapshot_ids => array(${first!}))`);
    assert.equal((await ids()).includes(first!), false);
  });

  it("remove_orphan_files has a row per file, as many as are asked for", async () => {
    const old = ["a", "b"].map((name) => join(local.folder, "db/flattened_stocks/data", `${name}.parquet`));
    for (const file of old) { await writeFile(file, "x"); await utimes(file, 1, 1); }
    const dry = await call(`CALL local.system.remove_orphan_files(table => '${NAME}', older_than => '2 days', dry_run => true)`);
    assert.deepEqual(dry.rows.map((row) => String(row["orphan_file_location"])).sort().map((path) => path.slice(-9)), ["a.parquet", "b.parquet"]);
    for (const file of old) await access(file);
    const done = await call(`CALL local.system.remove_orphan_files(table => '${NAME}')`, { maxRows: 1 });
    assert.deepEqual([done.rows.length, done.truncated, done.operation["orphan_files_count"]], [1, true, 2]);
    for (const file of old) await assert.rejects(access(file), { code: "ENOENT" });
    await assert.rejects(call(`CALL local.system.remove_orphan_files(table => '${NAME}', older_than => '1 hour')`), { code: "CONFIG_INVALID", message: /younger than 24 hours/ });
    assert.equal(await count(), 30);
  });

  it("rewrite_data_files takes options, a sort order, and a condition with text in double quotes", async () => {
    const one = await call(`CALL local.system.rewrite_data_files(table => '${NAME}', where => 'timestamp >= 1730505600000 AND S = "AAPL"', options => map('rewrite-all', 'true'), sort_order => 's DESC NULLS LAST', strategy => 'sort')`);
    assert.deepEqual(types(one), ["rewritten_data_files_count INTEGER", "added_data_files_count INTEGER", "rewritten_bytes_count BIGINT", "failed_data_files_count INTEGER", "removed_delete_files_count INTEGER"]);
    assert.deepEqual([one.rows[0]!["rewritten_data_files_count"], one.rows[0]!["added_data_files_count"]], [1, 1]);
    const two = await call(`CALL local.system.rewrite_data_files(table => '${NAME}', options => map('min-input-files', '2'))`);
    assert.deepEqual([two.rows[0]!["rewritten_data_files_count"], two.rows[0]!["added_data_files_count"], await count()], [2, 1, 30]);
    const none = await call(`CALL local.system.rewrite_data_files(table => '${NAME}', where => 'S = ''A''', options => map('rewrite-all', 'true'))`);
    assert.equal(none.rows[0]!["rewritten_data_files_count"], 0);
    for (const where of ["length(S) > 2", "S = ''AAPL'' AND p + 1 > 2", "nope = 1", "S =", "S = (SELECT max(S) FROM db.flattened_stocks)", "S = 1) UNION (SELECT 1"]) {
      await assert.rejects(call(`CALL local.system.rewrite_data_files(table => '${NAME}', where => '${where}')`), { code: "SQL_INVALID", message: /rewrite_data_files: where: / }, where);
    }
    await assert.rejects(call(`CALL local.system.rewrite_data_files(table => '${NAME}', options => map('nope', '1'))`), { code: "CONFIG_INVALID", message: /nope is no option/ });
  });

  it("goes back to a snapshot, to a time, to a branch or tag", async () => {
    const [first, second, third] = await ids();
    const back = await call(`CALL local.system.rollback_to_snapshot('${NAME}', ${first!})`);
    assert.deepEqual([types(back), back.rows], [["previous_snapshot_id BIGINT", "current_snapshot_id BIGINT"], [{ previous_snapshot_id: third, current_snapshot_id: first }]]);
    assert.equal(await count(), 10);
    await assert.rejects(call(`CALL local.system.rollback_to_snapshot('${NAME}', ${third!})`), { code: "SNAPSHOT_NOT_FOUND", message: /no ancestor/ });
    await call(`CALL local.system.set_current_snapshot('${NAME}', ${third!})`);
    assert.equal(await count(), 30);
    const [row] = await query(`SELECT committed_at FROM ${NAME}.snapshots WHERE snapshot_id = ${third!}`);
    assert.deepEqual((await call(`CALL local.system.rollback_to_timestamp('${NAME}', TIMESTAMP '${String(row!["committed_at"])}')`)).rows, [{ previous_snapshot_id: third, current_snapshot_id: second }]);
    assert.equal((await call(`CALL local.system.set_current_snapshot(table => '${NAME}', ref => 'main')`)).rows[0]!["current_snapshot_id"], second);
    await assert.rejects(call(`CALL local.system.set_current_snapshot(table => '${NAME}', ref => 'audit')`), { code: "SNAPSHOT_NOT_FOUND", message: /no branch or tag audit\. It has main/ });
    await assert.rejects(call(`CALL local.system.set_current_snapshot('${NAME}')`), { code: "SQL_INVALID", message: /either snapshot_id or ref/ });
  });

  it("asks what becomes of Kafka offsets before it goes back", async () => {
    const watermark = { writer: "w", cluster: "c", group: "g", topic: "t", partition: 0, nextOffset: 5n, lastOffset: 4n, lastTimestamp: 0 };
    await append(table, { files: [], watermarks: [watermark] });
    const [first] = await ids();
    await assert.rejects(call(`CALL local.system.rollback_to_snapshot('${NAME}', ${first!})`), { code: "CONFIG_INVALID", message: /offsets "rewind"/ });
    await call(`CALL local.system.rollback_to_snapshot(table => '${NAME}', snapshot_id => ${first!}, offsets => 'rewind')`);
    assert.equal(await count(), 10);
  });

  it("names catalogs and tables as queries do", async () => {
    await appendRows(await createTable(lake.catalog, "db.t"), dayOfTrades(0));
    for (const sql of ["CALL lake.system.rewrite_manifests('db.t')", "CALL lake.SYSTEM.rewrite_manifests('lake.db.t')", "CALL spark_catalog.system.rewrite_manifests('lake.db.t')", "CALL system.rewrite_manifests('`lake`.`db`.`t`')", "CALL `lake`.system.`rewrite_manifests`(`table` => 'db.t')"]) {
      assert.equal((await call(sql)).operation.table, "lake.db.t", sql);
    }
    for (const [sql, code, message] of [
      ["CALL nowhere.system.rewrite_manifests('db.t')", "CATALOG_INVALID", /No catalog nowhere is deployed\. There are local, lake/],
      ["CALL local.system.rewrite_manifests('lake.db.t')", "SQL_INVALID", /is in the catalog lake\. CALL lake\.system\.rewrite_manifests/],
      ["CALL rewrite_manifests('db.t')", "SQL_INVALID", /Write CALL local\.system\.rewrite_manifests/],
      ["CALL local.sys.rewrite_manifests('db.t')", "SQL_INVALID", /is no procedure/],
      ["CALL a.local.system.rewrite_manifests('db.t')", "SQL_INVALID", /is no procedure/],
      ["CALL local.system.rewrite_manifests('db.nothing')", "TABLE_NOT_FOUND", /The catalog local has db\.flattened_stocks/],
      ["CALL local.system.rewrite_manifests('flattened_stocks')", "TABLE_NAME_INVALID", /no namespace/],
      ["CALL local.system.rewrite_manifests('`db.t')", "TABLE_NAME_INVALID", /not closed/],
      ["CALL local.system.rewrite_manifests('db.../x')", "TABLE_NAME_INVALID", /./],
    ] as [string, string, RegExp][]) await assert.rejects(call(sql), { code, message }, sql);
  });

  it("one destructive operation on a table at a time, whoever runs it; and none when it is stopped", async () => {
    const other = runOperation({ catalog, table: NAME, operation: "rewrite-manifests" });
    await assert.rejects(call(`CALL local.system.expire_snapshots('${NAME}')`), { code: "TABLE_BUSY" });
    await other;
    const hint = join(local.folder, "db/flattened_stocks/metadata/version-hint.text");
    const version = await readFile(hint, "utf8");
    await assert.rejects(call(`CALL local.system.rewrite_data_files(table => '${NAME}', options => map('rewrite-all', 'true'))`, { signal: AbortSignal.abort() }), { code: "STOPPED" });
    assert.equal(await readFile(hint, "utf8"), version);
  });
});
