import assert from "node:assert/strict";
import { HadoopCatalog } from "../../../lib/iceberg/catalog/hadoop";
import { append } from "../../../lib/iceberg/commit";
import { openFileIO, type OpenFileIOOptions } from "../../../lib/iceberg/io/open";
import type { FileIO } from "../../../lib/iceberg/io/types";
import { assertSound, dataFile, SCHEMA, SPEC } from "../../support/iceberg";
import { type Fault, type S3Request, ScriptedS3 } from "../../support/scripted-s3";

const bytes = (text: string): Uint8Array => Buffer.from(text);
const text = (read: Uint8Array): string => Buffer.from(read).toString();
const MIB = 1024 * 1024;

describe("storage in S3", () => {
  let store: ScriptedS3;
  let io: FileIO;
  const pauses: number[] = [];
  const open = (more: Record<string, string> = {}, options: OpenFileIOOptions = {}): FileIO => openFileIO(
    { "s3.endpoint": store.endpoint, "s3.access-key-id": "key", "s3.secret-access-key": "hush", "s3.request-timeout": "0.3", ...more },
    { pause: (ms) => { pauses.push(ms); return Promise.resolve(); }, ...options },
  );
  /** The first `times` requests of that kind fail so. */
  const failing = (match: (request: S3Request) => boolean, fault: Fault, times = Infinity): void => {
    let left = times;
    store.plan = (request) => (match(request) && left-- > 0 ? fault : undefined);
  };
  const putOf = (key: string) => ({ method, key: asked }: S3Request): boolean => method === "PUT" && asked === key;
  const stored = (key: string): string | undefined => store.objects.get(`b/${key}`)?.bytes.toString();
  /** What is asked of the store meanwhile. */
  const asked = async (work: () => Promise<unknown>): Promise<string[]> => {
    const before = store.log.length;
    await work();
    return store.log.slice(before);
  };

  beforeEach(async () => { store = await ScriptedS3.start(); io = open(); pauses.length = 0; });
  afterEach(() => store.stop());

  it("serves local paths and three spellings of S3 side by side", async () => {
    for (const location of ["s3://b/x", "s3a://b/x", "s3n://b/x", "S3A://b/x"]) {
      await io.replace(location, bytes(location));
      assert.equal(text(await io.read(location)), location);
    }
    assert.deepEqual([...store.objects.keys()], ["b/x"]);
    assert.equal(await io.exists("/nowhere/at/all"), false);
    await assert.rejects(io.read("s3://"), { code: "CATALOG_INVALID" });
  });

  it("takes keys literally", async () => {
    for (const key of ["a b", "a%20b", "a+b", "day=2026-01-02/ü€", "a&b<c>\"'", "q?x#y", "a//b", "~!*()"]) {
      await io.write(`s3://b/k/${key}/f`, bytes(key));
      assert.equal(stored(`k/${key}/f`), key);
      assert.equal(text(await io.read(`s3://b/k/${key}/f`)), key);
      assert.deepEqual((await io.listFolder(`s3://b/k/${key}/`)).files.map((file) => file.location), [`s3://b/k/${key}/f`]);
      await io.delete(`s3://b/k/${key}/f`);
      assert.equal(stored(`k/${key}/f`), undefined);
    }
  });

  it("lists over pages, folders apart, and not the folders that other tools draw", async () => {
    store.pageSize = 3;
    for (let i = 0; i < 8; i++) await io.write(`s3a://b/t/f${i}`, bytes(String(i)));
    for (const key of ["t/sub/one", "t/sub/two", "t/other/x", "tt/elsewhere", "t/", "t/sub/"]) store.objects.set(`b/${key}`, { bytes: Buffer.from(key.endsWith("/") ? "" : "x"), etag: '"e"' });
    const { files, folders } = await io.listFolder("s3a://b/t/");
    assert.deepEqual(files.map((file) => file.location), Array.from({ length: 8 }, (_, i) => `s3a://b/t/f${i}`));
    assert.deepEqual([...folders].sort(), ["other", "sub"]);
    assert.deepEqual([files[0]!.size, files[0]!.modifiedMs], [1, Date.UTC(2026, 0, 2, 3, 4, 5)]);
    const all: string[] = [];
    for await (const file of io.listAll("s3a://b/t")) all.push(file.location);
    assert.deepEqual(all.length, 11);
    assert.deepEqual(await io.listFolder("s3://b/nothing"), { files: [], folders: [] });
    assert.deepEqual([...(await io.listFolder("s3://b")).folders].sort(), ["t", "tt"]);
  });

  it("reads ranges, also over the end, and knows size, time and version without reading", async () => {
    await io.write("s3://b/f", bytes("0123456789"));
    assert.equal(text(await io.readRange("s3://b/f", 2, 3)), "234");
    assert.equal(text(await io.readRange("s3://b/f", 8, 10)), "89");
    assert.equal(text(await io.readRange("s3://b/f", 10, 1)), "");
    assert.equal(text(await io.readRange("s3://b/f", 0, 0)), "");
    const info = await io.stat("s3://b/f");
    assert.deepEqual([info!.size, info!.modifiedMs], [10, Date.UTC(2026, 0, 2, 3, 4, 5)]);
    await io.replace("s3://b/f", bytes("other"));
    assert.notEqual((await io.stat("s3://b/f"))!.version, info!.version);
    for (const location of ["s3://b/none", "s3://b/f/", "s3://b"]) assert.equal(await io.stat(location), undefined);
    await assert.rejects(io.read("s3://b/none"), { code: "FILE_NOT_FOUND" });
    await io.delete("s3://b/none");
  });

  describe("a store that is busy or away", () => {
    const cases: [string, Fault, number][] = [
      ["503 SlowDown", { status: 503, code: "SlowDown" }, 3], ["500", { status: 500 }, 2], ["429", { status: 429, code: "TooManyRequests" }, 2],
      ["408", { status: 408, code: "RequestTimeout" }, 1], ["a connection that is cut", { cut: true }, 2], ["a time-out", { silent: true }, 1],
    ];
    for (const [what, fault, times] of cases) {
      it(`${what}: reads, writes, lists and deletes are repeated, with growing pauses`, async () => {
        store.objects.set("b/f", { bytes: Buffer.from("there"), etag: '"e"' });
        for (const work of [() => io.read("s3://b/f"), () => io.stat("s3://b/f"), () => io.listFolder("s3://b/"), () => io.write("s3://b/new", bytes("x")), () => io.replace("s3://b/f", bytes("y")), () => io.delete("s3://b/f")]) {
          pauses.length = 0;
          failing(() => true, fault, times);
          await work();
          assert.equal(pauses.length, times);
        }
        assert.deepEqual([stored("f"), stored("new")], [undefined, "x"]);
      });
    }

    it("pauses are jittered and grow; after six attempts it is said, to be tried again by the caller", async () => {
      failing(() => true, { status: 503, code: "SlowDown" });
      await assert.rejects(io.read("s3://b/f"), { code: "STORAGE_FAILED", retryable: true, message: /overloaded or in trouble \(SlowDown, status 503\)/ });
      assert.equal(store.requests.length, 6);
      for (const [i, ms] of pauses.entries()) assert.ok(ms >= 20 * 2 ** i && ms <= 200 * 2 ** i, `${ms} at ${i}`);
    });

    it("a write whose answer was lost finds its own file, and a name that is somebody else's is said", async () => {
      failing(putOf("f"), { cut: true, landed: true }, 1);
      await io.write("s3://b/f", bytes("mine"));
      assert.equal(stored("f"), "mine");
      store.plan = () => undefined;
      await assert.rejects(io.write("s3://b/f", bytes("again")), { code: "FILE_EXISTS" });
      assert.equal(stored("f"), "mine");
    });

    it("a body that breaks off is read again", async () => {
      store.objects.set("b/f", { bytes: Buffer.from("whole"), etag: '"e"' });
      failing(({ method }) => method === "GET", { cut: true }, 1);
      assert.equal(text(await io.read("s3://b/f")), "whole");
    });
  });

  describe("the commit's own request", () => {
    const create = () => io.create("s3://b/t/v2", bytes("mine"));
    // The probe is made once per store.
    beforeEach(async () => { await io.create("s3://b/t/v1", bytes("first")); store.requests.length = 0; });

    it("creates once, answers the version that a look finds later, and refuses a name that is taken", async () => {
      const version = await create();
      assert.equal((await io.stat("s3://b/t/v2"))!.version, version);
      await assert.rejects(io.create("s3://b/t/v2", bytes("theirs")), { code: "FILE_EXISTS" });
      assert.equal(stored("t/v2"), "mine");
      assert.deepEqual(store.log, ["PUT b/t/v2", "HEAD b/t/v2", "PUT b/t/v2"]);
      assert.equal(store.requests[0]!.headers["if-none-match"], "*");
    });

    for (const [what, fault, code] of [
      ["412", { status: 412, code: "PreconditionFailed" }, "FILE_EXISTS"], ["409", { status: 409, code: "ConditionalRequestConflict" }, "FILE_EXISTS"],
      ["500", { status: 500 }, "COMMIT_UNKNOWN"], ["502", { status: 502, code: "BadGateway" }, "COMMIT_UNKNOWN"], ["503", { status: 503, code: "SlowDown" }, "COMMIT_UNKNOWN"], ["504 after landing", { status: 504, code: "GatewayTimeout", landed: true }, "COMMIT_UNKNOWN"],
      ["a time-out before landing", { silent: true }, "COMMIT_UNKNOWN"], ["a time-out after landing", { silent: true, landed: true }, "COMMIT_UNKNOWN"],
      ["a connection that is cut after the body", { cut: true }, "COMMIT_UNKNOWN"], ["one cut after landing", { cut: true, landed: true }, "COMMIT_UNKNOWN"], ["400 RequestTimeout", { status: 400, code: "RequestTimeout" }, "COMMIT_UNKNOWN"],
      ["429", { status: 429, code: "TooManyRequests" }, "STORAGE_FAILED"], ["403", { status: 403, code: "AccessDenied" }, "STORAGE_DENIED"], ["a full store", { status: 507, code: "XMinioStorageFull" }, "STORAGE_FULL"],
      ["no bucket", { status: 404, code: "NoSuchBucket" }, "CATALOG_INVALID"],
    ] as [string, Fault, string][]) {
      it(`${what} is ${code}, after one request`, async () => {
        failing(putOf("t/v2"), fault);
        await assert.rejects(create(), { code });
        assert.deepEqual(store.log, ["PUT b/t/v2"]);
        assert.equal(stored("t/v2"), fault.landed ? "mine" : undefined);
      });
    }

    it("nobody listens: certainly not written", async () => {
      const gone = open({ "s3.endpoint": "http://127.0.0.1:1" });
      await assert.rejects(gone.create("s3://b/t/v2", bytes("mine")), { code: "STORAGE_FAILED", message: /Nothing listens at http:\/\/127\.0\.0\.1:1/ });
    });
  });

  it("of many that create one name at once one wins", async () => {
    const ends = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => io.create("s3://b/t/v1", bytes(String(i)))));
    assert.equal(ends.filter((end) => end.status === "fulfilled").length, 1);
    for (const end of ends) if (end.status === "rejected") assert.equal(end.reason.code, "FILE_EXISTS");
  });

  describe("a replacement", () => {
    const hint = "s3://b/hint";
    const now = async (): Promise<number> => Number(text(await io.read(hint)));
    const raise = (to: number): Promise<boolean> => io.replace(hint, bytes(String(to)), { unless: (current) => current !== undefined && Number(text(current)) >= to });

    it("never goes lower, however many replace at once", async () => {
      await Promise.all([3, 1, 4, 2, 5].map(raise));
      assert.equal(await now(), 5);
      assert.equal(await raise(4), false);
    });

    it("that another came before looks again", async () => {
      await raise(1);
      let rival = true;
      store.plan = (request) => {
        if (putOf("hint")(request) && rival) { rival = false; store.objects.set("b/hint", { bytes: Buffer.from("9"), etag: '"theirs"' }); }
        return undefined;
      };
      assert.equal(await raise(2), false);
      assert.equal(await now(), 9);
    });

    it("works on a store without conditions", async () => {
      store.conditional = "unsupported";
      assert.deepEqual([await raise(1), await raise(2), await now()], [true, true, 2]);
    });
  });

  describe("a store that does not keep conditions", () => {
    const TAKES = /does not keep conditional writes.*"ticklake\.single-writer": "true"/;

    for (const conditional of ["ignored", "unsupported"] as const) {
      it(`(${conditional}) is refused at the first commit, which writes nothing; files are written`, async () => {
        store.conditional = conditional;
        await io.write("s3://b/data", bytes("x"));
        for (let i = 0; i < 2; i++) await assert.rejects(io.create("s3://b/t/v1", bytes("mine")), { code: "STORAGE_DENIED", message: TAKES });
        assert.deepEqual([...store.objects.keys()], ["b/data"]);
      });

      it(`(${conditional}) serves a single writer that is declared: one winner in this process, taken names are seen`, async () => {
        store.conditional = conditional;
        const single = open({ "ticklake.single-writer": "true" });
        const ends = await Promise.allSettled(Array.from({ length: 5 }, (_, i) => single.create("s3://b/t/v1", bytes(String(i)))));
        assert.equal(ends.filter((end) => end.status === "fulfilled").length, 1);
        await assert.rejects(single.create("s3://b/t/v1", bytes("late")), { code: "FILE_EXISTS" });
        failing(putOf("t/v2"), { cut: true, landed: true });
        await assert.rejects(single.create("s3://b/t/v2", bytes("mine")), { code: "COMMIT_UNKNOWN" });
        assert.deepEqual([...store.objects.keys()], ["b/t/v1", "b/t/v2"]);
      });
    }

    it("a single writer on a store that keeps conditions has them all the same", async () => {
      await open({ "ticklake.single-writer": "true" }).create("s3://b/t/v1", bytes("mine"));
      assert.equal(store.requests.at(-1)!.headers["if-none-match"], "*");
    });

    it("a probe whose answer was lost is no proof against the store; one that may not be written is no answer", async () => {
      failing(({ key }) => key.includes("probe"), { cut: true, landed: true }, 1);
      await io.create("s3://b/t/v1", bytes("mine"));
      assert.deepEqual([...store.objects.keys()], ["b/t/v1"]);
      const other = open();
      failing(({ key }) => key.includes("probe"), { status: 403, code: "AccessDenied" });
      await assert.rejects(other.create("s3://c/t/v1", bytes("mine")), { code: "STORAGE_DENIED", message: /Access denied/ });
    });

    it("the probe is made once per bucket, beside the file, and leaves nothing", async () => {
      await Promise.all(["v1", "v2"].map((name) => io.create(`s3://b/t/${name}`, bytes("x"))));
      await open().create("s3://b/u/v1", bytes("x"));
      const probes = store.requests.filter(({ key }) => key.includes("probe"));
      assert.deepEqual(probes.map(({ method }) => method), ["PUT", "PUT", "DELETE"]);
      assert.ok(probes[0]!.key.startsWith("t/.ticklake-probe-"));
      assert.deepEqual([...store.objects.keys()].sort(), ["b/t/v1", "b/t/v2", "b/u/v1"]);
    });
  });

  describe("a large file", () => {
    const large = Buffer.alloc(23 * MIB, "abcdefg");
    const inParts = (): FileIO => open({ "s3.multipart.part-size-bytes": String(5 * MIB), "s3.multipart.threshold": "1" });

    it("goes up in parts, of which busy ones are repeated", async () => {
      failing(({ query }) => query.get("partNumber") === "2", { status: 503, code: "SlowDown" }, 2);
      await inParts().write("s3://b/big", large);
      assert.ok(store.objects.get("b/big")!.bytes.equals(large));
      assert.deepEqual([store.uploads.size, store.log.filter((line) => line.startsWith("PART")).length], [0, 7]);
    });

    it("that fails for good is aborted and leaves nothing", async () => {
      failing(({ query }) => query.get("partNumber") === "3", { status: 403, code: "AccessDenied" });
      await assert.rejects(inParts().write("s3://b/big", large), { code: "STORAGE_DENIED" });
      assert.equal(store.log.at(-1), "ABORT b/big");
      assert.deepEqual([store.uploads.size, store.objects.size], [0, 0]);
    });

    it("whose last answer was lost is there, and one whose name is taken is not written", async () => {
      failing(({ method }) => method === "POST", { cut: true, landed: true }, 2);
      store.plan = ((plan) => (request) => (request.query.has("uploads") ? undefined : plan(request)))(store.plan);
      await inParts().write("s3://b/big", large);
      assert.ok(store.objects.get("b/big")!.bytes.equals(large));
      store.plan = () => undefined;
      await assert.rejects(inParts().write("s3://b/big", Buffer.alloc(6 * MIB)), { code: "FILE_EXISTS" });
      assert.deepEqual([store.objects.get("b/big")!.bytes.length, store.uploads.size], [large.length, 0]);
    });
  });

  describe("a table", () => {
    const ID = { namespace: ["db"], name: "t" };
    const catalog = (): HadoopCatalog => new HadoopCatalog({ warehouse: "s3a://b/wh", io });

    it("costs few requests: a refresh three at once, a commit six behind its own", async () => {
      const table = await catalog().createTable(ID, { schema: SCHEMA, spec: SPEC });
      await append(table, { files: [dataFile("s3a://b/d/1")] });
      assert.deepEqual((await asked(() => table.refresh())).sort(), ["GET b/wh/db/t/metadata/version-hint.text", "HEAD b/wh/db/t/metadata/v2.metadata.json", "HEAD b/wh/db/t/metadata/v3.metadata.json"]);
      const log = (await asked(() => append(table, { files: [dataFile("s3a://b/d/2")] }))).map((line) => line.replace(/b\/wh\/db\/t\/metadata\//, "").replace(/[0-9a-f]{8}-[0-9a-f-]+/g, "*"));
      const commit = log.indexOf("PUT v3.metadata.json");
      assert.deepEqual(log.slice(commit + 1).sort(), ["GET version-hint.text", "HEAD v2.metadata.json", "HEAD v3.metadata.json", "HEAD v3.metadata.json", "HEAD v4.metadata.json", "PUT version-hint.text"]);
      assert.ok(commit <= 6, `before the commit: ${log.slice(0, commit).join(", ")}`);
      assert.ok(!log.some((line) => line.startsWith("LIST")), log.join(", "));
      await assertSound(await catalog().loadTable(ID), ["s3a://b/d/1", "s3a://b/d/2"]);
    });

    for (const [what, fault] of [
      ["a time-out before landing", { silent: true }], ["a time-out after landing", { silent: true, landed: true }], ["500", { status: 500 }], ["503 after landing", { status: 503, landed: true }], ["a cut after landing", { cut: true, landed: true }],
      // A client or proxy that repeated by itself, and so ran into its own work.
      ["412 after landing", { status: 412, code: "PreconditionFailed", landed: true }], ["409", { status: 409, code: "ConditionalRequestConflict" }],
    ] as [string, Fault][]) {
      it(`${what} of a commit: its rows are there once`, async () => {
        const table = await catalog().createTable(ID, { schema: SCHEMA, spec: SPEC });
        failing(putOf("wh/db/t/metadata/v2.metadata.json"), fault, 1);
        await append(table, { files: [dataFile("s3a://b/d/1")] });
        store.plan = () => undefined;
        await append(table, { files: [dataFile("s3a://b/d/2")] });
        const found = await catalog().loadTable(ID);
        await assertSound(found, ["s3a://b/d/1", "s3a://b/d/2"]);
        assert.equal(found.state.metadata.snapshots.length, 2);
      });
    }
  });
});
