import assert from "node:assert/strict";
import type { CatalogNode } from "../../nodes/iceberg-catalog/catalogs";
import icebergCatalog from "../../nodes/iceberg-catalog/iceberg-catalog";
import { loadFlow, testNode, useHelper } from "../support/helper";
import { request } from "../support/helper-request";
import { ScriptedS3 } from "../support/scripted-s3";

describe("node iceberg-catalog", () => {
  useHelper();
  let store: ScriptedS3;
  beforeEach(async () => { store = await ScriptedS3.start(); });
  afterEach(() => store.stop());

  /** Deploys a catalog, and gives it. */
  const load = async (config: object = {}, credentials: object = {}): Promise<CatalogNode> => {
    const flow = [{ id: "cat", type: "iceberg-catalog", catalogName: "local", catalogType: "hadoop", warehouse: "s3a://b/", s3Endpoint: store.endpoint, s3PathStyle: true, ...config }];
    await loadFlow([icebergCatalog], flow, { cat: credentials });
    return testNode("cat") as unknown as CatalogNode;
  };
  const dialog = (more: object = {}) => ({ id: "cat", catalogName: "local", catalogType: "hadoop", warehouse: "s3a://b/", s3Endpoint: store.endpoint, s3Region: "", s3PathStyle: true, properties: "", ...more });
  const test = async (more: object = {}) => (await request("post", "/ticklake/iceberg-catalog/test", dialog(more))).body as { ok: boolean; message: string };
  const keyUsed = () => /Credential=([^/]*)/.exec(String(store.requests.at(-1)?.headers.authorization))?.[1];

  it("opens a catalog in S3 with the credentials of the store, and asks nothing before it is used", async () => {
    const { catalog } = await load({ properties: '{"s3.request-timeout": "3"}' }, { accessKeyId: "saved", secretAccessKey: "hush" });
    assert.equal(catalog!.root, "s3a://b");
    assert.equal(store.requests.length, 0);
    await catalog!.listNamespaces();
    assert.equal(keyUsed(), "saved");
  });

  it("tests what the dialog shows, with keys that are typed or saved", async () => {
    await load({}, { accessKeyId: "saved", secretAccessKey: "hush" });
    assert.deepEqual(await test({ accessKeyId: "typed", secretAccessKey: "new" }), { ok: true, message: "s3a://b: no table yet. Whether it may be written to shows with the first commit." });
    assert.equal(keyUsed(), "typed");
    assert.equal((await test({ accessKeyId: "saved", secretAccessKey: "__PWRD__" })).ok, true);
    assert.equal(keyUsed(), "saved");
    store.plan = () => ({ status: 403, code: "SignatureDoesNotMatch" });
    const refused = await test({ accessKeyId: "saved", secretAccessKey: "__PWRD__" });
    assert.equal(refused.ok, false);
    assert.match(refused.message, /secret key does not belong to the access key/);
    assert.doesNotMatch(refused.message, /hush/);
  });

  it("sends saved secrets to no other address than theirs", async () => {
    await load({}, { accessKeyId: "saved", secretAccessKey: "hush" });
    const other = await test({ s3Endpoint: "http://127.0.0.1:1", accessKeyId: "saved", secretAccessKey: "__PWRD__" });
    assert.equal(other.ok, false);
    assert.match(other.message, /saved secrets are not sent to other addresses/);
    assert.equal(store.requests.length, 0);
  });

  it("says what is wrong with settings in words, also of properties", async () => {
    await load();
    for (const [more, words] of [
      [{ properties: "{" }, /properties are no JSON/], [{ s3Endpoint: "localhost:9000" }, /Write it with http/], [{ warehouse: "s3://" }, /names no bucket/],
      [{ warehouse: "gs://b" }, /neither a folder nor in S3/], [{ accessKeyId: "half" , s3Endpoint: "https://s3.example.org" }, /Enter both, or neither/],
    ] as const) assert.match((await test(more)).message, words);
    assert.match((await test({ warehouse: "${LAKE}" })).message, /filled in at the deploy/);
  });
});
