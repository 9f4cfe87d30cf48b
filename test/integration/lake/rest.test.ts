import assert from "node:assert/strict";
import { TicklakeError } from "../../../lib/errors";
import { append } from "../../../lib/iceberg/commit";
import { openRestCatalog, type OpenRestOptions } from "../../../lib/iceberg/catalog/rest/open";
import type { RestCatalog } from "../../../lib/iceberg/catalog/rest/rest-catalog";
import type { Catalog, Table } from "../../../lib/iceberg/catalog/types";
import { openCatalog } from "../../../lib/iceberg/catalog/open";
import { testCatalog } from "../../../lib/iceberg/catalog/test-connection";
import icebergCatalog from "../../../nodes/iceberg-catalog/iceberg-catalog";
import icebergOut from "../../../nodes/iceberg-out/iceberg-out";
import { pause } from "../../../lib/retry";
import { catalogConformance } from "../../support/catalog-conformance";
import { load, type NodeModule, unload, until, useHelper } from "../../support/helper";
import { assertSound, dataFile, SCHEMA, SPEC } from "../../support/iceberg";
import { runPython } from "../../support/python";
import { readRows } from "../../support/read-table";
import { emptyCatalog, type RunningRest, sharedRest, startRest } from "../../support/rest";
import { type ProxiedCall, type RestProxy, restProxy, type Verdict } from "../../support/rest-proxy";
import { freshBucket, sharedS3 } from "../../support/s3";
import { appendRows, createTable, dayOfTrades } from "../../support/tables";

const ID = { namespace: ["db"], name: "trades" };
const NO_ENVIRONMENT = { variable: () => undefined };
const open = async (): Promise<RestCatalog> => openRestCatalog({ uri: (await sharedRest()).uri });
const isCommit = ({ method, path }: ProxiedCall): boolean => method === "POST" && /\/tables\/[^/]+$/.test(path);

catalogConformance("a REST catalog", {
  open: async (same?: Catalog) => {
    const catalog = await open();
    if (!same) await emptyCatalog(catalog);
    return catalog;
  },
  drop: (catalog) => catalog.dropTable(ID),
});

describe("a REST catalog behind a proxy", function () {
  this.timeout(60_000);
  let proxy: RestProxy;
  let direct: RestCatalog;
  const through = (options: OpenRestOptions = {}): RestCatalog => openRestCatalog({ uri: proxy.uri }, { ...NO_ENVIRONMENT, client: { timeoutMs: 1000 }, ...options });
  /** The table as its own client, through the proxy. */
  const table = async (options?: OpenRestOptions): Promise<Table> => {
    await direct.createTable(ID, { schema: SCHEMA, spec: SPEC });
    return through(options).loadTable(ID);
  };

  beforeEach(async () => {
    proxy = await restProxy((await sharedRest()).uri);
    await emptyCatalog(direct = await open());
  });
  afterEach(() => proxy.stop());

  const TROUBLE: [string, Verdict][] = [
    ["a connection that ends before", "cut"], ["a connection that ends after", "cut-after"], ["a time-out before", "hang"], ["a time-out after", "hang-after"],
    ["500 before", { status: 500 }], ["500 after", { after: { status: 500 } }], ["502 after", { after: { status: 502, body: "<html>" } }], ["503 before", { status: 503, headers: { "retry-after": "0" } }],
    ["503 after", { after: { status: 503 } }], ["504 after", { after: { status: 504 } }], ["a 409 of a request that was repeated on the way", { after: { status: 409 } }],
  ];
  for (const [name, verdict] of TROUBLE) {
    it(`${name} the commit landed: the rows are in the table once`, async () => {
      const mine = await table();
      let troubled = false;
      proxy.judge = (call) => (isCommit(call) && !troubled ? ((troubled = true), verdict) : "pass");
      const result = await append(mine, { files: [dataFile("/d/1")] });
      assert.ok(troubled);
      assert.equal(result.sequenceNumber, 1);
      await assertSound(mine, ["/d/1"]);
      await assertSound(await direct.loadTable(ID), ["/d/1"]);
    });
  }

  it("a commit that gets through long after it was given up does not count twice", async () => {
    const mine = await table();
    let go!: () => void;
    const gate = new Promise<void>((done) => { go = done; });
    let held: Promise<unknown> | undefined;
    proxy.judge = async (call) => {
      if (!isCommit(call) || held) return "pass";
      held = gate;
      await gate;
      return "hang-after";
    };
    await append(mine, { files: [dataFile("/d/1")] });
    go();
    await append(mine, { files: [dataFile("/d/2")] });
    await assertSound(mine, ["/d/1", "/d/2"]);
  });

  it("files of a commit that may still land are kept, although the table has moved on in what it does not require", async () => {
    const mine = await table();
    let go!: () => void;
    const gate = new Promise<void>((done) => { go = done; });
    proxy.judge = async (call) => {
      if (!isCommit(call)) return "pass";
      await gate;
      return "hang-after";
    };
    let bases = 0;
    const checkBase = (): void => { if (++bases === 2) throw new TicklakeError("DELIVERY_ABORTED", "no more"); };
    const rival = await direct.loadTable(ID);
    const appended = append(mine, { files: [dataFile("/d/1")], checkBase, at: async (point) => {
      if (point === "before-metadata") await rival.commit(await rival.refresh(), [{ action: "set-properties", updates: { a: "b" } }]);
    } });
    await assert.rejects(appended, { code: "COMMIT_UNKNOWN" });
    go();
    while ((await rival.refresh()).metadata.snapshots.length === 0) await pause(20);
    await assertSound(rival, ["/d/1"]);
  });

  it("eight writers at once: every conflict is rebased, none is lost", async () => {
    await table();
    const files: string[] = [];
    await Promise.all(Array.from({ length: 8 }, async (_, writer) => {
      const mine = await through({ client: { timeoutMs: 20_000 } }).loadTable(ID);
      for (let i = 0; i < 3; i++) {
        files.push(`/d/${writer}-${i}`);
        await append(mine, { files: [dataFile(`/d/${writer}-${i}`)] });
      }
    }));
    await assertSound(await direct.loadTable(ID), files);
  });

  it("OAuth2: tokens are renewed under load, before they end and when they are refused, once for all who wait", async () => {
    proxy.oauth = { credential: "me:s3cret:with:colons", lifeSeconds: 3600 };
    await direct.createTable(ID, { schema: SCHEMA, spec: SPEC });
    const catalog = through({ credentials: { clientCredential: "me:s3cret:with:colons" }, client: { timeoutMs: 20_000 } });
    const files: string[] = [];
    const writing = Promise.all(Array.from({ length: 4 }, async (_, writer) => {
      const mine = await catalog.loadTable(ID);
      for (let i = 0; i < 5; i++) {
        files.push(`/d/${writer}-${i}`);
        await append(mine, { files: [dataFile(`/d/${writer}-${i}`)] });
        if (writer === 0) proxy.revoke(i % 2 === 0 ? 401 : 419);
      }
    }));
    await writing;
    await assertSound(await direct.loadTable(ID), files);
    // A refused token costs one new token for all four; two of them may be refused the same one at different moments.
    assert.ok(proxy.tokens.length >= 5 && proxy.tokens.length <= 8, `${proxy.tokens.length} tokens`);
    assert.ok(proxy.calls.filter(({ path }) => path === "/v1/oauth/tokens").every(({ body }) => /grant_type=client_credentials/.test(body) && /scope=catalog/.test(body)));
    proxy.oauth = { credential: "other:secret", lifeSeconds: 1 };
    proxy.revoke();
    await assert.rejects(catalog.listNamespaces(), (error: Error & { code: string }) => error.code === "STORAGE_DENIED" && /refuses client me: invalid_client: Unknown client/.test(error.message) && !error.message.includes("s3cret"));
  });

  it("a table that has not changed is not sent again", async () => {
    proxy.etags = true;
    const mine = await table();
    const { state } = mine;
    assert.equal(await mine.refresh(), state);
    await append(await direct.loadTable(ID), { files: [dataFile("/d/1")] });
    assert.notEqual(await mine.refresh(), state);
    await append(mine, { files: [dataFile("/d/2")] });
    await assertSound(mine, ["/d/1", "/d/2"]);
  });

  it("a prefix stands in every path", async () => {
    await proxy.stop();
    proxy = await restProxy((await sharedRest()).uri, { prefix: "catalogs/7" });
    const mine = await through().createTable(ID, { schema: SCHEMA, spec: SPEC });
    await append(mine, { files: [dataFile("/d/1")] });
    assert.deepEqual(await through().listTables(["db"]), [ID]);
    await assertSound(await direct.loadTable(ID), ["/d/1"]);
  });

  it("a table whose creation had no answer exists afterwards", async () => {
    proxy.judge = ({ method, path }) => (method === "POST" && path.endsWith("/tables") ? "cut-after" : "pass");
    await assert.rejects(through().createTable(ID, { schema: SCHEMA, spec: SPEC }), { code: "TABLE_EXISTS" });
    assert.equal(await direct.tableExists(ID), true);
  });

  it("the test button tells which tables there are", async () => {
    await table();
    assert.deepEqual(await testCatalog(() => openCatalog({ catalogType: "rest", uri: proxy.uri, warehouse: "./warehouse" }, "/")), { ok: true, message: `${proxy.uri}: 1 table (db.trades). Whether tables may be written shows with the first commit.` });
  });
});

describe("a REST catalog with its warehouse in S3", function () {
  this.timeout(60_000);
  let server: RunningRest;
  let proxy: RestProxy;
  let bucket: string;
  before(async () => {
    const s3 = await sharedS3();
    bucket = await freshBucket(s3);
    server = await startRest({ s3, warehouse: `s3://${bucket}/lake` });
    proxy = await restProxy(server.uri);
  });
  after(async () => { await proxy.stop(); await server.stop(); });

  it("keys that the catalog vends are used, those of the longest prefix, and asked for anew when they end", async () => {
    const s3 = await sharedS3();
    const keys = (expires: number, secret: string) => ({ "s3.access-key-id": s3.accessKey, "s3.secret-access-key": secret, "s3.session-token-expires-at-ms": String(expires) });
    let loads = 0;
    proxy.edit = ({ method, path, headers }, json) => {
      if (path === "/v1/config") json["defaults"] = { "s3.endpoint": "http://127.0.0.1:1", "s3.region": "us-east-1" };
      if (!/\/tables/.test(path) || json["metadata"] === undefined || headers["x-iceberg-access-delegation"] !== "vended-credentials") return;
      if (method === "GET") loads++;
      json["config"] = { "s3.endpoint": s3.endpoint, "s3.path-style-access": "true" };
      // Those that come with the creation have ended already.
      const good = keys(Date.now() + 3_600_000, s3.secretKey), old = keys(Date.now() - 1000, "ended");
      json["storage-credentials"] = [{ prefix: "s3://", config: keys(Date.now() + 3_600_000, "for others") }, { prefix: `s3://${bucket}`, config: method === "GET" ? good : old }];
    };
    const catalog = openCatalog({ catalogType: "rest", uri: proxy.uri }, "/", NO_ENVIRONMENT);
    const table = await createTable(catalog, "db.flattened_stocks");
    assert.match(table.location, new RegExp(`^s3://${bucket}/lake/db/flattened_stocks`));
    await appendRows(table, dayOfTrades(0));
    await appendRows(await catalog.loadTable(table.identifier), dayOfTrades(1));
    assert.ok(loads >= 2);
    assert.equal((await readRows(table)).length, 20);
  });

  it("keys of the settings are used, and none are asked for", async () => {
    const s3 = await sharedS3();
    const asked = proxy.calls.length;
    proxy.edit = () => undefined;
    const catalog = openCatalog({ catalogType: "rest", uri: proxy.uri, s3Endpoint: s3.endpoint, s3PathStyle: true }, "/", { ...NO_ENVIRONMENT, credentials: { accessKeyId: s3.accessKey, secretAccessKey: s3.secretKey } });
    const table = await createTable(catalog, "db.own_keys");
    await appendRows(table, dayOfTrades(0));
    assert.equal((await readRows(table)).length, 10);
    assert.ok(proxy.calls.slice(asked).every(({ headers }) => headers["x-iceberg-access-delegation"] === undefined));
    await catalog.dropTable(table.identifier, { purge: true });
    assert.equal(await catalog.tableExists(table.identifier), false);
  });
});

describe("iceberg-out on a REST catalog", function () {
  this.timeout(120_000);
  useHelper();
  afterEach(() => unload());

  it("writes, PyIceberg reads and writes in between, and both have all rows", async () => {
    const { uri } = await sharedRest();
    await emptyCatalog(await open());
    const { send, completed } = await load(icebergOut as unknown as NodeModule, "iceberg-out", { catalog: "cat0", commitInterval: "3600", table: "db.flattened_stocks" }, {
      configs: [{ id: "cat0", type: "iceberg-catalog", catalogName: "local", catalogType: "rest", uri, warehouse: "./warehouse" }],
      modules: [icebergCatalog as unknown as NodeModule],
    });
    const write = async (from: number): Promise<void> => {
      const done = completed.length + 2;
      await send({ payload: dayOfTrades(0, 3).map((row, i) => ({ ...row, i: from + i })) });
      await send({ payload: "flush" });
      await until(() => completed.length >= done, "the commit");
    };
    await write(1);
    assert.deepEqual(JSON.parse(await runPython("rest_pyiceberg.py", [uri, "db.flattened_stocks", "100"])), { before: [1, 2, 3], after: [1, 2, 3, 100] });
    await write(11);
    assert.deepEqual((JSON.parse(await runPython("rest_pyiceberg.py", [uri, "db.flattened_stocks", "101"])) as { before: number[] }).before, [1, 2, 3, 11, 12, 13, 100]);
    const rows = await readRows(await (await open()).loadTable({ namespace: ["db"], name: "flattened_stocks" }));
    assert.deepEqual(rows.map((row) => Number(row["i"])).sort((a, b) => a - b), [1, 2, 3, 11, 12, 13, 100, 101]);
  });
});
