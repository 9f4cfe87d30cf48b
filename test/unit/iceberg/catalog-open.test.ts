import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { openCatalog } from "../../../lib/iceberg/catalog/open";
import { catalogProperties, secretProperties, warehouseLocation } from "../../../lib/iceberg/catalog/settings";
import { testCatalog } from "../../../lib/iceberg/catalog/test-connection";

describe("the settings of a catalog", () => {
  it("a warehouse is absolute, relative to the user directory, or below the home folder", () => {
    assert.equal(warehouseLocation({ warehouse: "/data/lake" }, "/user"), "/data/lake");
    assert.equal(warehouseLocation({ warehouse: "./warehouse" }, "/user"), "/user/warehouse");
    assert.equal(warehouseLocation({ warehouse: "" }, "/user"), "/user/warehouse");
    assert.equal(warehouseLocation({ warehouse: "~/lake" }, "/user"), join(homedir(), "lake"));
    assert.throws(() => warehouseLocation({ warehouse: "gs://bucket/lake" }, "/user"), { code: "CATALOG_INVALID", message: /neither a folder nor in S3/ });
  });

  it("a warehouse in S3 keeps its scheme and bucket", () => {
    for (const [warehouse, location] of [["s3a://warehouse/", "s3a://warehouse"], ["s3://bucket", "s3://bucket"], ["s3n://bucket/a b/c//", "s3n://bucket/a b/c"]] as const) {
      assert.equal(warehouseLocation({ warehouse }, "/user"), location);
      assert.equal(openCatalog({ warehouse }, "/user").tableLocation({ namespace: ["db"], name: "t" }), `${location}/db/t`);
    }
    for (const warehouse of ["s3://", "s3:///lake"]) assert.throws(() => warehouseLocation({ warehouse }, "/user"), { code: "CATALOG_INVALID", message: /names no bucket/ });
    assert.throws(() => warehouseLocation({ warehouse: "s3a://key:hush@bucket/x" }, "/user"), (error: { code: string; message: string }) => error.code === "CATALOG_INVALID" && !error.message.includes("hush"));
    assert.throws(() => warehouseLocation({ warehouse: "s3://b/x?y" }, "/user"), { code: "CATALOG_INVALID" });
  });

  it("a variable that was not filled in is an error, never a folder of that name", () => {
    for (const warehouse of ["${LAKE}", "${LAKE}/tables", "/data/${STAGE}/tables"]) {
      assert.throws(() => warehouseLocation({ warehouse }, "/user"), { code: "CATALOG_INVALID", message: /was not filled in.*the whole value/ });
    }
  });

  it("the test button says what it found, and what is in the way", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ticklake-open-"));
    try {
      writeFileSync(join(folder, "file"), "");
      const test = (warehouse: string) => testCatalog(() => openCatalog({ warehouse }, folder));
      assert.deepEqual(await test("."), { ok: true, message: `${folder}: no table yet.` });
      assert.deepEqual(await test("new"), { ok: true, message: `${join(folder, "new")} is not there yet. It is made with the first table.` });
      assert.deepEqual(await test("file"), { ok: false, message: `${join(folder, "file")} is a file. Choose a folder.` });
      assert.match((await test("${LAKE}/tables")).message, /not filled in/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("storage is opened by Iceberg's names; keys that are not set are left to the environment", () => {
    const none = (): undefined => undefined;
    assert.deepEqual(catalogProperties({ s3Region: "eu-west-1", s3PathStyle: false }, {}, none), { "s3.region": "eu-west-1", "s3.path-style-access": "false" });
    assert.deepEqual(catalogProperties({ s3Endpoint: " https://s3.example.org " }, { accessKeyId: "a", secretAccessKey: "b", sessionToken: "c" }, none),
      { "s3.endpoint": "https://s3.example.org", "s3.access-key-id": "a", "s3.secret-access-key": "b", "s3.session-token": "c" });
    // Each field has a fallback of its own; a session token belongs to its key.
    const variables: Record<string, string> = { AWS_ACCESS_KEY_ID: "ea", AWS_SECRET_ACCESS_KEY: "eb", AWS_SESSION_TOKEN: "ec" };
    assert.deepEqual(catalogProperties({}, { accessKeyId: "a" }, (name) => variables[name]), { "s3.access-key-id": "a", "s3.secret-access-key": "eb" });
    assert.deepEqual(catalogProperties({}, {}, (name) => variables[name]), {});
  });

  it("a store on this machine has the documented keys unless others are set", () => {
    const keys = (endpoint: string, variables: Record<string, string> = {}, properties: unknown = "") => catalogProperties({ s3Endpoint: endpoint, properties }, {}, (name) => variables[name])["s3.access-key-id"];
    for (const endpoint of ["http://localhost:9000", "http://127.0.0.1:9000", "http://[::1]:9000"]) assert.equal(keys(endpoint), "minioadmin");
    assert.equal(keys("https://s3.example.org"), undefined);
    assert.equal(keys("http://localhost.example.org"), undefined);
    assert.equal(keys("http://localhost:9000", { AWS_ACCESS_KEY_ID: "x" }), undefined);
    assert.equal(keys("http://localhost:9000", { AWS_PROFILE: "x" }), undefined);
    assert.equal(keys("http://localhost:9000", {}, '{"s3.profile-name": "x"}'), undefined);
  });

  it("properties are passed on, override the fields, and are told apart from secrets", () => {
    const none = (): undefined => undefined;
    assert.deepEqual(catalogProperties({ s3Region: "eu", properties: '{"s3.region": "us", "a": 1, "b": true, "c": null}' }, {}, none), { "s3.region": "us", a: "1", b: "true" });
    for (const properties of ["{", "[]", "1", '{"a": {}}']) assert.throws(() => catalogProperties({ properties }, {}, none), { code: "CATALOG_INVALID" });
    assert.throws(() => catalogProperties({ properties: '{"s3.secret-access-key": "hush' }, {}, none), (error: Error) => !error.message.includes("hush"));
    assert.deepEqual(secretProperties('{"s3.secret-access-key": "x", "token": "x", "s3.session-token": "x", "credential": "x", "s3.region": "x"}'), ["credential", "s3.secret-access-key", "s3.session-token", "token"]);
    for (const [name, value] of [["s3.path-style-access", "perhaps"], ["s3.connect-timeout", "-1"], ["s3.endpoint", "localhost:9000"], ["s3.endpoint", "http://me:hush@localhost"], ["s3.sse.type", "rot13"], ["s3.access-key-id", "only"]] as const) {
      assert.throws(() => openCatalog({ properties: { [name]: value } }, "/user"), (error: { code: string; message: string }) => error.code === "CATALOG_INVALID" && !error.message.includes("hush"));
    }
  });
});
