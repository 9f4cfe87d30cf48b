import assert from "node:assert/strict";
import type { OpenFileIOOptions } from "../../../../lib/iceberg/io/open";
import type { FileIO } from "../../../../lib/iceberg/io/types";
import { layered, type StorageGrant, TableStorage } from "../../../../lib/iceberg/catalog/rest/storage";

const key = (id: string, more: Record<string, string> = {}) => ({ "s3.access-key-id": id, "s3.secret-access-key": `${id}-secret`, ...more });

/** Opened storage, by what it was opened with. */
function opener() {
  const opened: { properties: Readonly<Record<string, string>>; options: OpenFileIOOptions }[] = [];
  const open = (properties: Readonly<Record<string, string>>, options: OpenFileIOOptions = {}): FileIO => {
    opened.push({ properties, options });
    return { read: () => Promise.resolve(new Uint8Array()) } as unknown as FileIO;
  };
  return { opened, open };
}

describe("the storage of a REST catalog's table", () => {
  const never = (): Promise<StorageGrant> => Promise.reject(new Error("not asked for"));

  it("the table's properties come before the catalog's, those of its keys before both", async () => {
    const { opened, open } = opener();
    const grant: StorageGrant = { config: { "s3.endpoint": "http://table", "client.region": "eu-west-1" }, credentials: [{ prefix: "s3://b/", config: key("K", { "s3.session-token": "T" }) }] };
    const storage = new TableStorage({ properties: { "s3.endpoint": "http://catalog", "s3.region": "us-east-2", ...key("user") }, grant, renew: never, open });
    await storage.io.read("s3a://b/x");
    assert.deepEqual(opened[0]!.properties, { "s3.endpoint": "http://table", "client.region": "eu-west-1" });
    assert.deepEqual(await opened[0]!.options.credentials!(), { accessKeyId: "K", secretAccessKey: "K-secret", sessionToken: "T" });
  });

  it("every location has the keys of its longest prefix", async () => {
    const { opened, open } = opener();
    const storage = new TableStorage({ properties: {}, grant: { config: {}, credentials: [{ prefix: "s3", config: key("A") }, { prefix: "s3://b/deep", config: key("B") }] }, renew: never, open });
    for (const location of ["s3://b/x", "s3://b/deep/x", "s3a://b/deep/y", "s3://b/z"]) await storage.io.read(location);
    assert.deepEqual(await Promise.all(opened.map(async ({ options }) => (await options.credentials!()).accessKeyId)), ["A", "B"]);
  });

  it("keys are asked for anew when a client comes for others, once for all, and not when newer ones came with the table", async () => {
    const { opened, open } = opener();
    let renewed = 0;
    const grant = (id: string): StorageGrant => ({ config: key(id, { "s3.session-token-expires-at-ms": String(Date.now() + 600_000) }), credentials: [] });
    const storage = new TableStorage({ properties: {}, grant: grant("first"), renew: () => Promise.resolve(grant(`renewed${++renewed}`)), open });
    await storage.io.read("s3://b/x");
    const ask = async () => (await opened[0]!.options.credentials!()).accessKeyId;
    assert.equal(await ask(), "first");
    assert.deepEqual(await Promise.all([ask(), ask(), ask()]), ["renewed1", "renewed1", "renewed1"]);
    storage.granted(grant("loaded"));
    assert.equal(await ask(), "loaded");
    storage.granted({ config: {}, credentials: [] });
    assert.equal(await ask(), "renewed2");
  });

  it("keys that have ended are not handed out", async () => {
    const { opened, open } = opener();
    const storage = new TableStorage({ properties: {}, grant: { config: key("old", { "s3.session-token-expires-at-ms": "1000" }), credentials: [] }, renew: () => Promise.resolve({ config: key("new"), credentials: [] }), open });
    await storage.io.read("s3://b/x");
    assert.equal((await opened[0]!.options.credentials!()).accessKeyId, "new");
  });

  it("a catalog that wants to sign every request is refused by name", async () => {
    const storage = new TableStorage({ properties: {}, grant: { config: { "s3.remote-signing-enabled": "true" }, credentials: [] }, renew: never });
    await assert.rejects(storage.io.read("s3://b/x"), { code: "CATALOG_INVALID", message: /sign every request.*vend credentials/ });
  });

  it("of two names for one thing the later holds", () => {
    assert.deepEqual(layered([{ "s3.region": "a", x: "1" }, { "client.region": "b" }, { x: "2" }]), { "client.region": "b", x: "2" });
  });
});
