import assert from "node:assert/strict";
import Module from "node:module";
import { awsService, signer } from "../../../../lib/iceberg/catalog/rest/sigv4";

/**
 * AWS's published Signature Version 4 test suite: keys, time, and the signatures that it expects. Checked once against an implementation that shares nothing with
 * ours: `SigV4Auth` of botocore 1.44.8, at the same time and with the same keys, signs all four requests with these signatures.
 */
const KEYS = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" };
const sign = signer({ service: "service", region: "us-east-1", credentials: KEYS, now: () => Date.UTC(2015, 7, 30, 12, 36, 0), checksum: false });

const VECTORS: { name: string; method: string; path: string; headers?: Record<string, string>; body?: string; signed: string; signature: string }[] = [
  { name: "get-vanilla", method: "GET", path: "/", signed: "host;x-amz-date", signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
  { name: "get-vanilla-query-order-key-case", method: "GET", path: "/?Param2=value2&Param1=value1", signed: "host;x-amz-date", signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
  { name: "post-vanilla", method: "POST", path: "/", signed: "host;x-amz-date", signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
  {
    name: "post-x-www-form-urlencoded", method: "POST", path: "/", headers: { "content-type": "application/x-www-form-urlencoded" }, body: "Param1=value1", signed: "content-type;host;x-amz-date",
    signature: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
  },
];

describe("requests signed for AWS", () => {
  for (const { name, method, path, headers = {}, body, signed, signature } of VECTORS) {
    it(`AWS's test vector ${name}`, async () => {
      const result = await sign({ method, url: new URL(`https://example.amazonaws.com${path}`), headers, ...(body === undefined ? {} : { body }) });
      assert.equal(result["authorization"], `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=${signed}, Signature=${signature}`);
      assert.equal(result["x-amz-date"], "20150830T123600Z");
    });
  }

  it("keys that expire are asked for with each request, and their session token goes along", async () => {
    let asked = 0;
    const signing = signer({ service: "glue", region: "eu-west-1", credentials: () => Promise.resolve({ ...KEYS, sessionToken: `s${++asked}` }) });
    const request = { method: "POST", url: new URL("https://glue.eu-west-1.amazonaws.com/iceberg/v1/catalogs/1/namespaces"), headers: { "x-other": "1" }, body: "{}" };
    assert.equal((await signing(request))["x-amz-security-token"], "s1");
    const second = await signing(request);
    assert.match(second["authorization"]!, /Credential=AKIDEXAMPLE\/\d{8}\/eu-west-1\/glue\/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-other,/);
    assert.equal(second["x-amz-content-sha256"], "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    assert.deepEqual([second["x-amz-security-token"], second["host"]], ["s2", undefined]);
  });

  it("without the signer, an optional part, the error says what to install", async () => {
    const loader = Module as unknown as { _load: (name: string, ...more: unknown[]) => unknown };
    const load = loader._load;
    loader._load = (name, ...more) => {
      if (name === "@smithy/signature-v4") throw new Error("Cannot find module");
      return load.call(loader, name, ...more);
    };
    try {
      await assert.rejects(signer({ service: "glue", region: "eu-west-1", credentials: KEYS })({ method: "GET", url: new URL("https://example.amazonaws.com/"), headers: {} }),
        { code: "CATALOG_INVALID", message: /npm install @smithy\/signature-v4/ });
    } finally { loader._load = load; }
  });

  it("service and region stand in the names of AWS's hosts", () => {
    assert.deepEqual(awsService("glue.eu-west-1.amazonaws.com"), { service: "glue", region: "eu-west-1" });
    assert.deepEqual(awsService("s3tables.us-east-2.amazonaws.com"), { service: "s3tables", region: "us-east-2" });
    assert.deepEqual(awsService("glue.cn-north-1.amazonaws.com.cn"), { service: "glue", region: "cn-north-1" });
    for (const host of ["localhost", "glue.example.com", "s3.us-east-1.amazonaws.com"]) assert.equal(awsService(host), undefined);
  });
});
