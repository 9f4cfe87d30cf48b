import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { inspect } from "node:util";
import { openFileIO, type OpenFileIOOptions } from "../../../lib/iceberg/io/open";
import { S3Failure, s3Error } from "../../../lib/iceberg/io/s3-failure";
import { s3Settings } from "../../../lib/iceberg/io/s3-settings";
import type { FileIO } from "../../../lib/iceberg/io/types";
import { type Fault, ScriptedS3 } from "../../support/scripted-s3";

const SECRETS = ["hush-secret", "hush-token"];
const ENVIRONMENT = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_EC2_METADATA_DISABLED"] as const;

describe("errors of S3 in words", () => {
  let store: ScriptedS3;
  const open = (more: Record<string, string> = {}, options: OpenFileIOOptions = {}): FileIO => openFileIO(
    { "s3.endpoint": store.endpoint, "s3.access-key-id": "key", "s3.secret-access-key": "hush-secret", "s3.session-token": "hush-token", ...more },
    { pause: () => Promise.resolve(), ...options },
  );
  const failure = async (work: Promise<unknown>): Promise<{ code: string; message: string; kind: string }> => {
    const error = await work.then(() => assert.fail("it went through"), (caught: { code: string; message: string; kind: string }) => caught);
    const shown = inspect(error, { depth: 10, showHidden: true });
    for (const secret of SECRETS) assert.ok(!shown.includes(secret), shown);
    return error;
  };

  beforeEach(async () => { store = await ScriptedS3.start(); });
  afterEach(() => store.stop());

  const cases: [string, Fault, string, RegExp][] = [
    ["no such bucket", { status: 404, code: "NoSuchBucket" }, "CATALOG_INVALID", /There is no bucket b at http:\/\/127.*Create it, or correct the warehouse/],
    ["access denied", { status: 403, code: "AccessDenied" }, "STORAGE_DENIED", /s3:PutObject.*s3:ListBucket on the bucket/],
    ["an unknown access key", { status: 403, code: "InvalidAccessKeyId" }, "STORAGE_DENIED", /does not know the access key/],
    ["a wrong secret key", { status: 403, code: "SignatureDoesNotMatch" }, "STORAGE_DENIED", /secret key does not belong to the access key/],
    ["an ended session", { status: 400, code: "ExpiredToken" }, "STORAGE_DENIED", /session of the access key has expired/],
    ["a token of another key", { status: 400, code: "InvalidToken" }, "STORAGE_DENIED", /session token is not valid for the access key/],
    ["a bucket elsewhere", { status: 301, code: "PermanentRedirect", headers: { "x-amz-bucket-region": "eu-central-1" } }, "CATALOG_INVALID", /not in the region us-east-1\. Set the catalog's region to eu-central-1/],
    ["a wrong region", { status: 400, code: "AuthorizationHeaderMalformed", message: "the region 'us-east-1' is wrong; expecting 'eu-west-1'" }, "CATALOG_INVALID", /Set the catalog's region to eu-west-1/],
    ["a full store", { status: 507, code: "XMinioStorageFull" }, "STORAGE_FULL", /is full/],
    ["something else", { status: 418, code: "Teapot" }, "STORAGE_FAILED", /answered Teapot \(status 418\): said by the script/],
  ];
  for (const [what, fault, code, message] of cases) {
    it(`${what}: ${code}, whatever was asked, and no secret`, async () => {
      store.plan = () => fault;
      const io = open();
      for (const work of [() => io.read("s3://b/f"), () => io.write("s3://b/f", Buffer.from("x")), () => io.listFolder("s3://b/"), () => io.create("s3://b/f", Buffer.from("x"))]) {
        const error = await failure(work());
        assert.equal(error.code, code);
        assert.match(error.message, message);
        assert.match(error.message, /^Cannot (read|write|list) s3:\/\/b\//);
      }
      // HEAD's answers have no body: the reason is asked for.
      if (fault.code !== "NoSuchBucket" && fault.status! < 404) assert.match((await failure(io.stat("s3://b/f"))).message, message);
    });
  }

  it("a clock that is off is put right by the store's; where that does not help, it is said by how much", async () => {
    const store2 = store;
    let skewed = 1;
    const date = (minutes: number): Record<string, string> => ({ date: new Date(Date.now() + minutes * 60_000).toUTCString() });
    store.plan = () => (skewed-- > 0 ? { status: 403, code: "RequestTimeTooSkewed", headers: date(45) } : undefined);
    await open().create("s3://b/f", Buffer.from("x"));
    const signed = (n: number): number => Date.parse(String(store2.requests[n]!.headers["x-amz-date"]).replace(/(....)(..)(..)T(..)(..)(..)Z/, "$1-$2-$3T$4:$5:$6Z")) - Date.now();
    assert.ok(Math.abs(signed(0)) < 60_000, "first by this machine's clock");
    assert.ok(Math.abs(signed(1) - 45 * 60_000) < 60_000, "then by the store's");
    for (const [minutes, words] of [[20, /clock of this machine is 20 minutes behind the store's/], [-300, /is 300 minutes ahead of the store's/]] as const) {
      store.plan = () => ({ status: 403, code: "RequestTimeTooSkewed", headers: date(minutes) });
      const error = await failure(open().read("s3://b/f"));
      assert.deepEqual([error.code, words.test(error.message)], ["STORAGE_DENIED", true], error.message);
    }
  });

  it("nobody listens, no such host, no TLS, silence: each is named", async () => {
    const at = async (properties: Record<string, string>): Promise<{ code: string; message: string }> => failure(open(properties, { attempts: 1 }).read("s3://b/f"));
    assert.match((await at({ "s3.endpoint": "http://127.0.0.1:1" })).message, /Nothing listens at http:\/\/127\.0\.0\.1:1\. Start the store or correct the endpoint/);
    const unknown = await at({ "s3.endpoint": "http://store.invalid:9000" });
    assert.match(unknown.message, /host name of http:\/\/store\.invalid:9000 (is not known|could not be looked up)/);
    assert.deepEqual([unknown.code, (await at({ "s3.endpoint": store.endpoint.replace("http:", "https:") })).code], ["STORAGE_FAILED", "CATALOG_INVALID"]);
    store.plan = () => ({ silent: true });
    assert.match((await at({ "s3.request-timeout": "0.2" })).message, /gave no answer for 0\.2 s/);
    const settings = s3Settings({ "s3.path-style-access": "false", "s3.endpoint": "http://store:9000" });
    const words = (code: string, message = ""): string => s3Error(new S3Failure(code, message, undefined), "read", "s3://b/f", { bucket: "b", settings, now: 0 }).message;
    assert.match(words("ENOTFOUND", "b.store"), /b\.store\).*or switch on path style/);
    assert.match(words("ConnectTimeout"), /did not answer within 5 s/);
    assert.match(words("DEPTH_ZERO_SELF_SIGNED_CERT", "self-signed certificate"), /certificate of http:\/\/store:9000 is not trusted.*NODE_EXTRA_CA_CERTS/);
  });

  describe("keys", () => {
    const saved = new Map<string, string | undefined>();
    beforeEach(() => { for (const name of ENVIRONMENT) { saved.set(name, process.env[name]); delete process.env[name]; } process.env["AWS_EC2_METADATA_DISABLED"] = "true"; process.env["AWS_CONFIG_FILE"] = process.env["AWS_SHARED_CREDENTIALS_FILE"] = "/nowhere"; });
    afterEach(() => { for (const [name, value] of saved) if (value === undefined) delete process.env[name]; else process.env[name] = value; });
    const keyless = (options: OpenFileIOOptions = {}): FileIO => openFileIO({ "s3.endpoint": store.endpoint }, { pause: () => Promise.resolve(), ...options });
    const keyUsed = (): string => /Credential=([^/]*)/.exec(String(store.requests.at(-1)!.headers.authorization))![1]!;

    it("come from the environment where none are set, and are said to be missing where there are none", async () => {
      const error = await failure(keyless().read("s3://b/f"));
      assert.deepEqual([error.code, store.requests.length], ["STORAGE_DENIED", 0]);
      assert.match(error.message, /no credentials for the store.*AWS_ACCESS_KEY_ID/);
      Object.assign(process.env, { AWS_ACCESS_KEY_ID: "env-key", AWS_SECRET_ACCESS_KEY: "hush-secret", AWS_SESSION_TOKEN: "hush-token" });
      await keyless().exists("s3://b/f");
      assert.equal(keyUsed(), "env-key");
      await open().exists("s3://b/f");
      assert.equal(keyUsed(), "key");
    });

    it("that a catalog vends are asked for once, anew before they end, and anew when the store says that they have", async () => {
      let count = 0;
      const vend = (lifeMs: number) => () => Promise.resolve({ accessKeyId: `vended-${++count}`, secretAccessKey: "hush-secret", sessionToken: "hush-token", expiration: new Date(Date.now() + lifeMs) });
      const lasting = keyless({ credentials: vend(3_600_000) });
      await Promise.all([1, 2, 3].map(() => lasting.exists("s3://b/f")));
      assert.deepEqual([count, keyUsed()], [1, "vended-1"]);
      store.plan = ({ headers }) => (String(headers.authorization).includes("vended-1") ? { status: 400, code: "ExpiredToken" } : undefined);
      // Also for the commit's own request: a refusal leaves nothing open.
      await lasting.create("s3://b/f", Buffer.from("x"));
      assert.equal(keyUsed(), "vended-2");
      const ending = keyless({ credentials: vend(1000) });
      await ending.exists("s3://b/f");
      const before = count;
      await ending.exists("s3://b/f");
      assert.ok(count > before, "keys that are about to end are not used twice");
      const error = await failure(keyless({ credentials: () => Promise.reject(new Error("the catalog is away")) }).read("s3://b/f"));
      assert.match(error.message, /the catalog is away/);
    });
  });

  it("costs nothing before it is used: the SDK is not loaded for local tables, nor when a catalog in S3 is opened", () => {
    const script = `require("tsx/cjs"); const { openCatalog } = require("./lib/iceberg/catalog/open"); openCatalog({ warehouse: "./x" }, "/tmp"); openCatalog({ warehouse: "s3://b/x" }, "/tmp");
      console.log(Object.keys(require.cache).filter((file) => /aws-sdk|smithy/.test(file)).length)`;
    assert.equal(execFileSync(process.execPath, ["-e", script], { encoding: "utf8" }).trim(), "0");
  });
});
