import assert from "node:assert/strict";
import { openRestCatalog, type OpenRestOptions } from "../../../../lib/iceberg/catalog/rest/open";
import { testCatalog } from "../../../../lib/iceberg/catalog/test-connection";
import { openCatalog } from "../../../../lib/iceberg/catalog/open";
import { stringifyJson } from "../../../../lib/iceberg/json";
import { append } from "../../../../lib/iceberg/commit";
import { newTableMetadata } from "../../../../lib/iceberg/metadata";
import { SCHEMA, SPEC } from "../../../support/iceberg";

interface Seen { readonly method: string; readonly url: URL; readonly headers: Record<string, string>; readonly body: string }
type Answer = { status?: number; headers?: Record<string, string>; body?: unknown } | Error;

/** A server by a function: what it answers to each request. */
function scripted(answer: (request: Seen, count: number) => Answer): { seen: Seen[]; waits: number[]; options: OpenRestOptions } {
  const seen: Seen[] = [], waits: number[] = [];
  const fetch = (url: URL, init: RequestInit): Promise<Response> => {
    const request = { method: init.method!, url, headers: init.headers as Record<string, string>, body: typeof init.body === "string" ? init.body : "" };
    seen.push(request);
    const given = answer(request, seen.length);
    if (given instanceof Error) return Promise.reject(given);
    const text = given.body === undefined ? "" : typeof given.body === "string" ? given.body : stringifyJson(given.body);
    const status = given.status ?? 200;
    return Promise.resolve(new Response(status === 304 ? null : text, { status, ...(given.headers ? { headers: given.headers } : {}) }));
  };
  return { seen, waits, options: { variable: () => undefined, client: { fetch: fetch as typeof globalThis.fetch, pause: (ms) => { waits.push(ms); return Promise.resolve(); } } } };
}

const config = (more: object = {}): Answer => ({ body: { defaults: {}, overrides: {}, ...more } });
const refusal = (status: number, message: string, headers: Record<string, string> = {}): Answer => ({ status, headers, body: { error: { message, type: "X", code: status } } });
const isConfig = ({ url }: Seen): boolean => url.pathname === "/v1/config";
const URI = "http://catalog:8181";
const TABLE = { namespace: ["a", "b c"], name: "t" };
const metadata = { ...newTableMetadata({ schema: SCHEMA, spec: SPEC, location: "/w/t", uuid: "u-1", nowMs: 5 }), "current-snapshot-id": -1 };
const loaded = (more: object = {}): Answer => ({ body: { "metadata-location": "/w/t/metadata/00007-x.metadata.json", metadata, ...more } });
const refused = (code: string) => Object.assign(new TypeError("fetch failed"), { cause: Object.assign(new Error(`connect ${code}`), { code }) });

describe("a REST catalog's requests", () => {
  it("asks for the configuration once, with the warehouse; overrides come before settings, settings before defaults", async () => {
    const { seen, options } = scripted((request) => (isConfig(request)
      ? config({ defaults: { prefix: "wrong", "rest-page-size": "3" }, overrides: { prefix: "p/1" } })
      : { body: { namespaces: [], "next-page-token": null } }));
    const catalog = openRestCatalog({ uri: `${URI}/v1/`, warehouse: "main lake", properties: { prefix: "mine", "rest-page-size": 2, "header.X-Tenant": "me" } }, options);
    await catalog.listNamespaces();
    await catalog.listNamespaces(["a", "b"]);
    assert.deepEqual(seen.map(({ url }) => url.pathname + url.search), ["/v1/config?warehouse=main+lake", "/v1/p/1/namespaces?pageToken=&pageSize=2", "/v1/p/1/namespaces?parent=a%1Fb&pageToken=&pageSize=2"]);
    assert.ok(seen.every(({ headers }) => headers["x-tenant"] === "me"));
  });

  it("a configuration that failed is asked for again", async () => {
    const { options } = scripted((request, count) => (count === 1 ? refusal(400, "Unknown warehouse") : isConfig(request) ? config() : { body: { namespaces: [["x"]] } }));
    const catalog = openRestCatalog({ uri: URI, warehouse: "w" }, options);
    await assert.rejects(catalog.listNamespaces(), { code: "CATALOG_INVALID", message: /configuration for warehouse "w": Unknown warehouse\./ });
    assert.deepEqual(await catalog.listNamespaces(), [["x"]]);
  });

  it("goes through all pages of a list", async () => {
    const { options } = scripted((request) => {
      if (isConfig(request)) return config();
      const page = Number(request.url.searchParams.get("pageToken") ?? 0);
      return { body: { identifiers: [{ namespace: ["a"], name: `t${9 - page}` }], ...(page < 2 ? { "next-page-token": String(page + 1) } : {}) } };
    });
    assert.deepEqual((await openRestCatalog({ uri: URI }, options).listTables(["a"])).map(({ name }) => name), ["t7", "t8", "t9"]);
  });

  it("names namespaces and tables in paths, and asks for keys to the storage unless some were entered", async () => {
    const { seen, options } = scripted((request) => (isConfig(request) ? config() : loaded()));
    await openRestCatalog({ uri: URI }, options).loadTable(TABLE);
    await openRestCatalog({ uri: URI }, { ...options, credentials: { accessKeyId: "k", secretAccessKey: "s" } }).loadTable(TABLE);
    const loads = seen.filter((request) => !isConfig(request));
    assert.equal(loads[0]!.url.pathname, "/v1/namespaces/a%1Fb%20c/tables/t");
    assert.deepEqual(loads.map(({ headers }) => headers["x-iceberg-access-delegation"]), ["vended-credentials", undefined]);
  });

  it("uses what the server offers: HEAD where it is listed", async () => {
    for (const [endpoints, method] of [[undefined, "GET"], [["HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}"], "HEAD"]] as const) {
      const { seen, options } = scripted((request) => (isConfig(request) ? config({ endpoints }) : loaded()));
      assert.equal(await openRestCatalog({ uri: URI }, options).tableExists(TABLE), true);
      assert.equal(seen[1]!.method, method);
    }
  });

  it("a table is loaded anew only when it has changed", async () => {
    const { seen, options } = scripted((request) => (isConfig(request) ? config() : request.headers["if-none-match"] === 'W/"1"' ? { status: 304 } : { ...loaded(), headers: { etag: 'W/"1"' } }));
    const table = await openRestCatalog({ uri: URI }, options).loadTable(TABLE);
    const { state } = table;
    assert.equal(state.version, 7);
    assert.equal(await table.refresh(), state);
    assert.equal(seen[2]!.headers["if-none-match"], 'W/"1"');
  });

  it("an answer that was on its way while a commit landed is not taken for newer", async () => {
    const at = (version: number): Answer => ({ body: { "metadata-location": `/w/t/metadata/0000${version}-x.metadata.json`, metadata: { ...metadata, properties: { version: String(version) } } } });
    let answerLate: (() => void) | undefined;
    const { options } = scripted((request) => (isConfig(request) ? config() : at(request.method === "POST" ? 2 : 1)));
    const { fetch } = options.client!;
    let slow = false;
    const table = await openRestCatalog({ uri: URI }, {
      ...options,
      client: { ...options.client, fetch: (async (url: URL, init: RequestInit) => {
        const answer = await fetch!(url, init);
        if (slow && init.method === "GET") await new Promise<void>((done) => { answerLate = done; });
        return answer;
      }) as typeof globalThis.fetch },
    }).loadTable(TABLE);
    slow = true;
    const late = table.refresh();
    const committed = await table.commit(table.state, [{ action: "set-properties", updates: { version: "2" } }]);
    answerLate!();
    assert.equal(await late, committed);
    assert.equal(table.state.metadata.properties["version"], "2");
  });

  it("repeats what a busy server turns away, no sooner than it asks", async () => {
    const { seen, waits, options } = scripted((request, count) => (isConfig(request) ? config() : count === 2 ? refusal(503, "busy", { "retry-after": "7" }) : count === 3 ? refusal(429, "slow down") : { body: { namespaces: [["x"]] } }));
    assert.deepEqual(await openRestCatalog({ uri: URI }, options).listNamespaces(), [["x"]]);
    assert.equal(seen.length, 4);
    assert.ok(waits[0]! >= 7000 && waits[1]! < 7000, String(waits));
  });

  it("a commit is sent once: without an answer its outcome is unknown; turned away before it was looked at, it is sent again", async () => {
    for (const [trouble, code, sent] of [
      [refusal(500, "oops"), "COMMIT_UNKNOWN", 1], [refusal(502, "bad gateway"), "COMMIT_UNKNOWN", 1], [refusal(503, "busy"), "COMMIT_UNKNOWN", 1], [refusal(504, "too slow"), "COMMIT_UNKNOWN", 1],
      [refused("ECONNRESET"), "COMMIT_UNKNOWN", 1], [Object.assign(new Error("late"), { name: "TimeoutError" }), "COMMIT_UNKNOWN", 1],
      [refused("ECONNREFUSED"), "STORAGE_FAILED", 1], [refusal(409, "Requirement failed"), "COMMIT_CONFLICT", 1], [refusal(404, "No such table"), "TABLE_NOT_FOUND", 1],
      [refusal(403, "No"), "STORAGE_DENIED", 1], [refusal(400, "Bad"), "CATALOG_INVALID", 1], [refusal(429, "slow down"), "STORAGE_FAILED", 4],
    ] as const) {
      const { seen, options } = scripted((request) => (isConfig(request) ? config() : request.method === "POST" ? trouble : loaded()));
      const table = await openRestCatalog({ uri: URI }, options).loadTable(TABLE);
      await assert.rejects(table.commit(table.state, [{ action: "set-properties", updates: { a: "b" } }]), { code });
      assert.equal(seen.filter(({ method }) => method === "POST").length, sent, code);
    }
  });

  it("what a server refuses because the table has moved on is a conflict", async () => {
    let moved = false;
    const { options } = scripted((request) => {
      if (isConfig(request)) return config();
      if (request.method === "GET") return loaded(moved ? { "metadata-location": "/w/t/metadata/00008-y.metadata.json" } : {});
      moved = true;
      return refusal(400, "Cannot add snapshot with sequence number 1 older than last sequence number 2");
    });
    const table = await openRestCatalog({ uri: URI }, options).loadTable(TABLE);
    await assert.rejects(table.commit(table.state, [{ action: "set-properties", updates: { a: "b" } }]), { code: "COMMIT_CONFLICT" });
  });

  it("ids of 63 bits keep all their digits, in both directions", async () => {
    const id = 9007199254740993123n;
    const full = { ...metadata, "current-snapshot-id": id, "last-sequence-number": 1, refs: { main: { type: "branch", "snapshot-id": id } }, snapshots: [{ "snapshot-id": id, "sequence-number": 1, "timestamp-ms": 5, "manifest-list": "/l", summary: { operation: "append" }, "schema-id": 0 }] };
    const { seen, options } = scripted((request) => (isConfig(request) ? config() : loaded({ metadata: full })));
    const table = await openRestCatalog({ uri: URI }, options).loadTable(TABLE);
    assert.equal(table.state.metadata["current-snapshot-id"], id);
    await table.commit(table.state, [{ action: "remove-snapshots", "snapshot-ids": [id - 2n] }]);
    assert.ok(seen.at(-1)!.body.includes('{"type":"assert-ref-snapshot-id","ref":"main","snapshot-id":9007199254740993123}'));
    assert.ok(seen.at(-1)!.body.includes('"snapshot-ids":[9007199254740993121]'));
  });

  it("an append needs all that its base was", async () => {
    const { seen, options } = scripted((request) => (isConfig(request) ? config() : request.method === "POST" ? refusal(404, "gone") : loaded()));
    const table = await openRestCatalog({ uri: URI }, options).loadTable({ namespace: ["a"], name: "t" });
    Object.defineProperty(table, "io", { value: { write: () => Promise.resolve(), delete: () => Promise.resolve() } });
    await assert.rejects(append(table, { files: [] }), { code: "TABLE_NOT_FOUND" });
    const { requirements, identifier } = JSON.parse(seen.at(-1)!.body) as { requirements: unknown; identifier: unknown };
    assert.deepEqual(identifier, { namespace: ["a"], name: "t" });
    assert.deepEqual(requirements, [
      { type: "assert-table-uuid", uuid: "u-1" }, { type: "assert-ref-snapshot-id", ref: "main", "snapshot-id": null }, { type: "assert-current-schema-id", "current-schema-id": 0 },
      { type: "assert-last-assigned-field-id", "last-assigned-field-id": 2 }, { type: "assert-default-spec-id", "default-spec-id": 0 },
      { type: "assert-last-assigned-partition-id", "last-assigned-partition-id": 1000 }, { type: "assert-default-sort-order-id", "default-sort-order-id": 0 },
    ]);
  });

  it("says in words what is wrong, and never a secret", async () => {
    const said = async (answer: Answer, credentials = { token: "hush-hush" }): Promise<string> => {
      const { options } = scripted((request) => (isConfig(request) ? config() : answer));
      return openRestCatalog({ uri: URI }, { ...options, credentials }).listNamespaces().then(() => "", (error: Error & { code: string }) => `${error.code} ${error.message}`);
    };
    assert.match(await said(refusal(401, "Bad token hush-hush")), /^STORAGE_DENIED .*Bad token \*\*\*\. It does not know who asks \(401\): check token/);
    assert.match(await said(refusal(403, "Forbidden")), /may not do that \(403\)/);
    assert.match(await said(refusal(419, "Expired")), /has expired \(419\): enter a new one/);
    assert.match(await said(refusal(500, "Boom")), /^STORAGE_FAILED .*Boom\. The server has a problem \(500\); it is tried again/);
    assert.match(await said(refused("ECONNREFUSED")), /^STORAGE_FAILED .*connect ECONNREFUSED\. Check the address and the network/);
    assert.match(await said({ body: "<html>Log in</html>" }), /^CATALOG_INVALID .*no JSON.*login page/);
    assert.match(await said({ body: { names: [] } }), /^CATALOG_INVALID .*not what the Iceberg REST specification says \(namespaces:/);
  });

  it("follows redirects on its own host only: another one never sees the token", async () => {
    const { seen, options } = scripted(({ url }) => (url.pathname === "/v1/config" ? { status: 307, headers: { location: "/moved/config" } } : url.pathname === "/moved/config" ? config() : { status: 308, headers: { location: "https://elsewhere/v1/namespaces" } }));
    await assert.rejects(openRestCatalog({ uri: URI }, { ...options, credentials: { token: "hush" } }).listNamespaces(), { message: /refers to https:\/\/elsewhere\. If you trust that one, enter it as the catalog's address/ });
    assert.deepEqual([...new Set(seen.map(({ url }) => url.host))], ["catalog:8181"]);
    assert.ok(seen.every(({ headers }) => headers["authorization"] === "Bearer hush"));
  });

  it("wrong settings are told before anything is sent", () => {
    for (const [settings, message] of [
      [{}, /address is missing/], [{ uri: "catalog:8181" }, /is no URL/], [{ uri: "http://u:p@catalog" }, /holds a user name/], [{ uri: "http://catalog?x=1" }, /ends with a query/],
    ] as const) assert.throws(() => openRestCatalog(settings), { code: "CATALOG_INVALID", message });
    assert.throws(() => openRestCatalog({ uri: URI }, { credentials: { token: "Bearer x" } }), { message: /without "Bearer"/ });
    assert.throws(() => openRestCatalog({ uri: "https://catalog" }, { credentials: { clientCredential: "a:b", oauth2ServerUri: "http://idp/token" } }), { message: /not encrypted/ });
  });

  it("the test button says what it found, and what is in the way", async () => {
    const result = await testCatalog(() => openCatalog({ catalogType: "rest", uri: "http://127.0.0.1:1" }, "/", { impatient: true }));
    assert.equal(result.ok, false);
    assert.match(result.message, /The catalog at http:\/\/127\.0\.0\.1:1 does not give its configuration: .*Check the address and the network/);
  });
});
