import assert from "node:assert/strict";
import { runOperation } from "../../lib/iceberg/operations";
import icebergCatalog from "../../nodes/iceberg-catalog/iceberg-catalog";
import { catalogOf, deployedCatalogs } from "../../nodes/iceberg-catalog/catalogs";
import icebergQuery from "../../nodes/iceberg-query/iceberg-query";
import { load as loadNode, type Message, type NodeModule, type Rig, unload, until, useHelper } from "../support/helper";
import { request } from "../support/helper-request";
import { appendRows, createTable, dayOfTrades, temporaryCatalog, type TestCatalog } from "../support/tables";

const AGGREGATE = "SELECT\n  S as symbol,\n  COUNT(*) as trade_count,\n  AVG(p) as avg_price,\n  SUM(s) as total_volume\nFROM local.db.flattened_stocks\nGROUP BY S\nORDER BY trade_count DESC;";

describe("node iceberg-query", () => {
  let catalog: TestCatalog;
  let folder: string;
  let remove: () => Promise<void>;
  before(async () => {
    ({ catalog, folder, remove } = await temporaryCatalog());
    const table = await createTable(catalog, "db.flattened_stocks");
    for (let day = 0; day < 2; day++) await appendRows(table, dayOfTrades(day));
  });
  after(() => remove());
  useHelper();

  const load = (config: object = {}, warehouse = folder, more: object[] = []): Promise<Rig> => loadNode(icebergQuery as unknown as NodeModule, "iceberg-query",
    { catalog: "cat0", sql: AGGREGATE, sqlType: "str", snapshotId: "", asOf: "", maxRows: "10000", maxRowsType: "num", ...config }, {
      outputs: 1, modules: [icebergCatalog as unknown as NodeModule],
      configs: [{ id: "cat0", type: "iceberg-catalog", catalogName: "local", catalogType: "hadoop", warehouse }, ...more],
    });
  const one = async (rig: Rig, msg: object = {}): Promise<Message> => {
    const { length } = rig.outputs[0]!;
    await rig.send(msg);
    await until(() => rig.outputs[0]!.length > length || rig.caught.length > 0, "the answer");
    assert.deepEqual(rig.caught.map((caught) => (caught["error"] as { message: string }).message), []);
    return rig.outputs[0]!.at(-1)!;
  };
  const refused = async (rig: Rig, msg: object = {}): Promise<{ message: string; code?: string }> => {
    await rig.send(msg);
    await until(() => rig.caught.length > 0, "the error");
    return rig.caught[0]!["error"] as { message: string; code?: string };
  };

  it("answers the documented aggregate: rows, columns, facts, and the message's own properties", async () => {
    const rig = await load();
    const msg = await one(rig, { _msgid: "m", topic: "ask", req: { my: 1 } });
    assert.deepEqual([msg.topic, msg._msgid, msg["req"]], ["ask", "m", { my: 1 }]);
    assert.deepEqual((msg.payload as Record<string, unknown>[]).find((row) => row["symbol"] === "AAPL"), { symbol: "AAPL", trade_count: 6, avg_price: 109, total_volume: 3000 });
    assert.deepEqual((msg["columns"] as { name: string }[]).map(({ name }) => name), ["symbol", "trade_count", "avg_price", "total_volume"]);
    const facts = msg["iceberg"] as Record<string, unknown>;
    assert.deepEqual([facts["filesScanned"], facts["filesSkipped"], facts["truncated"]], [2, 0, false]);
    assert.equal(typeof facts["snapshotId"], "string");
    assert.equal(typeof facts["ms"], "number");
    await until(() => rig.completed.length === 1, "Complete");
    await until(() => /^4 rows, \d+ ms$/.test(rig.statuses().at(-1)?.text ?? ""), "the status");
  });

  it("takes SQL, snapshot, time and number of rows from the message", async () => {
    const rig = await load({ sql: "sql", sqlType: "msg", snapshotId: "snapshot", snapshotIdType: "msg", asOf: "asOf", asOfType: "msg", maxRows: "rows", maxRowsType: "msg" });
    const all = await one(rig, { sql: "SELECT count(*) AS n FROM db.flattened_stocks" });
    assert.deepEqual(all.payload, [{ n: 20 }]);
    const history = await one(rig, { sql: "SELECT snapshot_id, made_current_at FROM db.flattened_stocks.history" });
    const [first] = history.payload as { snapshot_id: string; made_current_at: string }[];
    assert.deepEqual((await one(rig, { sql: "SELECT count(*) AS n FROM db.flattened_stocks", snapshot: first!.snapshot_id })).payload, [{ n: 10 }]);
    assert.deepEqual((await one(rig, { sql: "SELECT count(*) AS n FROM db.flattened_stocks", asOf: first!.made_current_at })).payload, [{ n: 10 }]);
    const few = await one(rig, { sql: "SELECT * FROM db.flattened_stocks", rows: 3 });
    assert.deepEqual([(few.payload as unknown[]).length, (few["iceberg"] as { truncated: boolean }).truncated], [3, true]);
    await until(() => rig.statuses().some(({ text }) => /^3\+ rows/.test(text ?? "")), "the status says that there were more");
  });

  for (const [what, config, msg, code, message] of [
    ["an unknown column", { sql: "SELECT symbol FROM db.flattened_stocks" }, {}, "SQL_INVALID", /No column `symbol`; the table has T, S, i, x, p, s/],
    ["an unknown table", { sql: "SELECT * FROM db.nothing" }, {}, "TABLE_NOT_FOUND", /The catalog local has db\.flattened_stocks/],
    ["SQL that changes tables", { sql: "DROP TABLE db.flattened_stocks" }, {}, "SQL_INVALID", /Only a query can run here/],
    ["no SQL", { sql: "sql", sqlType: "msg" }, {}, "SQL_INVALID", /There is no SQL to run/],
    ["SQL that is no text", { sql: "payload", sqlType: "msg" }, { payload: [1] }, "SQL_INVALID", /must be text, but it is an array/],
    ["a snapshot that lost digits", { snapshotId: "id", snapshotIdType: "msg" }, { id: 2 ** 60 }, "CONFIG_INVALID", /Give its digits as text/],
    ["a snapshot that is not there", { snapshotId: "1" }, {}, "SNAPSHOT_NOT_FOUND", /It has 2, the latest/],
    ["a time that is none", { asOf: "yesterday" }, {}, "CONFIG_INVALID", /asOf: "yesterday" is no time/],
    ["a number of rows that is none", { maxRows: "-1" }, {}, "CONFIG_INVALID", /maxRows: "-1"/],
  ] as [string, object, object, string, RegExp][]) {
    it(`${what}: an error that says what to do, for Catch and in the status`, async () => {
      const rig = await load(config);
      const error = await refused(rig, msg);
      assert.match(error.message, message);
      assert.equal(error.code, code);
      await until(() => rig.statuses().some(({ fill, text }) => fill === "red" && text && error.message.replace(/\s+/g, " ").includes(text.replace(/…$/, ""))), "the status, in words");
      assert.equal(rig.outputs[0]!.length, 0);
    });
  }

  it("tells what is wrong with the catalog: none, missing, in storage that is not there yet, a server without an address", async () => {
    assert.match((await refused(await load({ catalog: "" }))).message, /No catalog is chosen/);
    await unload();
    assert.match((await refused(await load({ catalog: "nowhere" }))).message, /missing or disabled/);
    await unload();
    assert.match((await refused(await load({}, "gs://bucket/prefix"))).message, /neither a folder nor in S3/);
    await unload();
    const rig = await load({ catalog: "cat1" }, folder, [{ id: "cat1", type: "iceberg-catalog", catalogName: "lake", catalogType: "rest", warehouse: "x" }]);
    assert.match((await refused(rig)).message, /The catalog.s address is missing/);
  });

  it("names the tables of every deployed catalog, and forgets those that are gone", async () => {
    const second = await temporaryCatalog("lake");
    try {
      await appendRows(await createTable(second.catalog, "db.flattened_stocks"), dayOfTrades(0));
      const rig = await load({ sql: "SELECT (SELECT count(*) FROM lake.db.flattened_stocks) AS lake, (SELECT count(*) FROM local.db.flattened_stocks) AS here" }, folder,
        [{ id: "cat1", type: "iceberg-catalog", catalogName: "lake", catalogType: "hadoop", warehouse: second.folder }]);
      assert.deepEqual((await one(rig)).payload, [{ lake: 10, here: 20 }]);
      assert.equal(deployedCatalogs().length, 2);
      await unload();
      assert.equal(deployedCatalogs().length, 0);
    } finally {
      await second.remove();
    }
  });

  it("sees rows as soon as they are committed, and a table that was made after the deploy", async () => {
    const rig = await load({ sql: "SELECT count(*) AS n FROM db.later" });
    await rig.send({});
    await until(() => rig.caught.length === 1, "no table yet");
    const table = await createTable(catalog, "db.later");
    assert.deepEqual((await one({ ...rig, caught: [] })).payload, [{ n: 0 }]);
    await appendRows(table, dayOfTrades(0));
    assert.deepEqual((await one({ ...rig, caught: [] })).payload, [{ n: 10 }]);
  });

  describe("CALL", () => {
    const DOCUMENTED = "-- Rewrite manifests (optimize metadata)\nCALL spark_catalog.system.rewrite_manifests(\n  'local.db.maintained'\n);";
    beforeEach(async () => {
      const table = await createTable(catalog, "db.maintained");
      for (let day = 0; day < 2; day++) await appendRows(table, dayOfTrades(day));
    });
    afterEach(() => catalog.dropTable({ namespace: ["db"], name: "maintained" }, { purge: true }));
    const snapshots = async (): Promise<unknown> => (await catalog.loadTable({ namespace: ["db"], name: "maintained" })).state.metadata.snapshots.length;

    for (const [what, config] of [["by default", {}], ["unless it is ticked", { allowCalls: false }], ["unless it is true itself", { allowCalls: "true" }]] as [string, object][]) {
      it(`is refused ${what}`, async () => {
        const error = await refused(await load({ sql: DOCUMENTED, ...config }));
        assert.equal(error.code, "CONFIG_INVALID");
        assert.match(error.message, /CALL changes tables and deletes files, and this node only reads\. Tick "Allow CALL"/);
        assert.equal(await snapshots(), 2);
      });
    }

    it("runs where it is allowed: Spark's rows and columns, what was done, and the message's own properties", async () => {
      const rig = await load({ sql: DOCUMENTED, allowCalls: true });
      const msg = await one(rig, { topic: "night" });
      assert.deepEqual([msg.topic, msg.payload, msg["columns"]], ["night", [{ rewritten_manifests_count: 2, added_manifests_count: 1 }], [{ name: "rewritten_manifests_count", type: "INTEGER" }, { name: "added_manifests_count", type: "INTEGER" }]]);
      const { procedure, operation, table, dryRun, truncated, ms } = msg["iceberg"] as Record<string, unknown>;
      assert.deepEqual([procedure, operation, table, dryRun, truncated, typeof ms], ["local.system.rewrite_manifests", "rewrite-manifests", "local.db.maintained", false, false, "number"]);
      JSON.stringify(msg["iceberg"]);
      await until(() => /^rewrite-manifests: 2 into 1 manifest, \d+ ms$/.test(rig.statuses().at(-1)?.text ?? ""), "the status");
      assert.equal(await snapshots(), 3);
    });

    it("comes by message too, beside queries; with a snapshot or a time it makes no sense", async () => {
      const rig = await load({ sql: "sql", sqlType: "msg", snapshotId: "id", snapshotIdType: "msg", allowCalls: true });
      assert.deepEqual((await one(rig, { sql: "CALL local.system.expire_snapshots(table => 'db.maintained', older_than => '1 day', dry_run => true)" }))["columns"], ["data", "position_delete", "equality_delete"]
        .map((kind) => `${kind}_files`).concat("manifest_files", "manifest_lists", "statistics_files").map((name) => ({ name: `deleted_${name}_count`, type: "BIGINT" })));
      assert.deepEqual((await one(rig, { sql: "SELECT count(*) AS n FROM db.maintained" })).payload, [{ n: 20 }]);
      assert.match((await refused(rig, { sql: DOCUMENTED, id: "1" })).message, /leave Snapshot and As of empty/);
    });

    it("says what is wrong with it", async () => {
      const error = await refused(await load({ sql: "CALL local.system.vacuum('db.maintained')", allowCalls: true }));
      assert.deepEqual([error.code, /no procedure vacuum\. CALL runs expire_snapshots/.test(error.message)], ["SQL_INVALID", true]);
    });

    it("runs by the dialog's button only when the dialog allows it, whatever is deployed", async () => {
      await load({ sql: DOCUMENTED, allowCalls: true });
      const run = (body: object): Promise<{ status: number; body: unknown }> => request("post", "/ticklake/iceberg-query/run", { catalog: "cat0", sql: DOCUMENTED, maxRows: "10000", ...body });
      for (const allowCalls of [undefined, false, "true"]) {
        const { status, body } = await run({ allowCalls });
        assert.deepEqual([status, (body as { code: string }).code], [400, "CONFIG_INVALID"]);
      }
      assert.equal(await snapshots(), 2);
      const { status, body } = await run({ allowCalls: true });
      const { rows, operation, summary } = body as Record<string, unknown>;
      assert.deepEqual([status, rows, operation, summary], [200, [{ rewritten_manifests_count: 2, added_manifests_count: 1 }], "rewrite-manifests", "rewrite-manifests: 2 into 1 manifest"]);
    });

    it("ends with its node: nothing of it runs on afterwards, and the table is whole", async () => {
      const rig = await load({ sql: "CALL local.system.rewrite_data_files(table => 'db.maintained', options => map('rewrite-all', 'true'))", allowCalls: true });
      await rig.send({});
      await unload();
      await runOperation({ catalog, table: "db.maintained", operation: "rewrite-manifests" });
      assert.deepEqual((await one(await load({ sql: "SELECT count(*) AS n FROM db.maintained" }))).payload, [{ n: 20 }]);
    });
  });

  it("close stops a query that is under way", async () => {
    const rig = await load({ sql: "SELECT count(*) FROM range(1000000000) a, range(1000000000) b" });
    await rig.send({});
    const started = Date.now();
    await unload();
    assert.ok(Date.now() - started < 3000, `closing took ${Date.now() - started} ms`);
  });

  describe("endpoints for dialogs", () => {
    it("test a warehouse without changing anything", async () => {
      await load();
      const test = async (warehouse: string): Promise<unknown> => (await request("post", "/ticklake/iceberg-catalog/test", { catalogName: "local", catalogType: "hadoop", warehouse })).body;
      assert.deepEqual(await test(folder), { ok: true, message: `${folder}: 2 tables (db.flattened_stocks, db.later).` });
      assert.match(JSON.stringify(await test(`${folder}/new/one`)), /not there yet. It is made with the first table/);
      assert.match(JSON.stringify(await test(`${folder}/db/flattened_stocks/metadata/version-hint.text`)), /is a file/);
      assert.match(JSON.stringify(await test("s3://key:secret@bucket/x")), /"ok":false.*holds no keys/);
    });

    it("list tables and columns of a deployed catalog", async () => {
      await load();
      const choices = async (list: string): Promise<unknown> => ((await request("get", `/ticklake/iceberg-catalog/cat0/look-up/${list}`)).body as { choices: unknown }).choices;
      assert.deepEqual((await choices("tables") as { value: string }[])[0], { value: "db.flattened_stocks" });
      assert.deepEqual((await choices("columns?table=db.flattened_stocks") as object[])[1], { value: "S", about: "string" });
      // Of a table that is not there yet, by the columns that it is going to have.
      assert.deepEqual((await choices("partitions?table=db.new&schema=trades-readable") as { value: string }[]).map((c) => c.value).filter((v) => /symbol|day|864/.test(v)), ["symbol", "bucket[16](symbol)", "truncate[86400000](timestamp)"]);
      assert.match((await choices("snapshots?table=db.flattened_stocks") as { value: string; about: string }[])[0]!.value, /^\d{10,19}$/);
      const tables = await request("get", "/ticklake/iceberg-catalog/cat0/tables");
      assert.deepEqual(tables.body, { tables: ["db.flattened_stocks", "db.later"] });
      const columns = await request("get", "/ticklake/iceberg-catalog/cat0/columns?table=local.db.flattened_stocks");
      assert.deepEqual((columns.body as { columns: { name: string; type: string }[] }).columns.slice(1, 3).map(({ name, type }) => `${name} ${type}`), ["S string", "i long"]);
      assert.deepEqual([(await request("get", "/ticklake/iceberg-catalog/cat0/columns?table=db.none")).status, (await request("get", "/ticklake/iceberg-catalog/other/tables")).status], [404, 400]);
    });

    it("run the query of the dialog, first rows only", async () => {
      await load();
      const run = (body: object): Promise<{ status: number; body: unknown }> => request("post", "/ticklake/iceberg-query/run", { catalog: "cat0", ...body });
      const answer = await run({ sql: "SELECT * FROM range(1000) r(N)", maxRows: "10000" });
      assert.deepEqual([answer.status, (answer.body as { rows: unknown[]; truncated: boolean }).rows.length, (answer.body as { truncated: boolean }).truncated], [200, 200, true]);
      const wrong = await run({ sql: "SELECT nope FROM db.flattened_stocks" });
      assert.equal(wrong.status, 400);
      assert.match((wrong.body as { message: string; code: string }).message, /No column `nope`/);
    });

    it("list the snapshots of the query's table, newest first, whichever the query asks for", async () => {
      await load();
      const list = (sql: string): Promise<{ status: number; body: unknown }> => request("post", "/ticklake/iceberg-query/snapshots", { catalog: "cat0", sql });
      const { status, body } = await list("SELECT * FROM local.db.flattened_stocks.files VERSION AS OF 123456789");
      const { table, snapshots } = body as { table: string; snapshots: { id: string; operation: string; added: number; total: number; refs: string[]; current: boolean }[] };
      assert.deepEqual([status, table], [200, "local.db.flattened_stocks"]);
      assert.deepEqual(snapshots.map(({ operation, added, total, refs, current }) => [operation, added, total, refs, current]), [["append", 10, 20, ["main"], true], ["append", 10, 10, [], false]]);
      assert.match(snapshots[0]!.id, /^\d+$/);
      assert.equal((await list("SELECT 1")).status, 400);
      assert.equal((await list("SELECT * FROM db.nothing")).status, 404);
    });
  });

  it("catalogOf says what to do", () => {
    assert.throws(() => catalogOf({ nodes: { getNode: () => null } } as never, "x"), { code: "CATALOG_INVALID", message: /choose one, then deploy/ });
  });
});
