import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LocalFileIO, localLocation, localPath } from "../../../lib/iceberg/io/local";

const utf8 = (text: string): Uint8Array => Buffer.from(text);
const fails = (code: string) => Object.assign(new Error(code), { code });

describe("local file IO", () => {
  let folder: string;
  const io = new LocalFileIO();
  beforeEach(async () => { folder = await fs.mkdtemp(join(tmpdir(), "ticklake-io-")); });
  afterEach(() => fs.rm(folder, { recursive: true, force: true }));

  it("takes paths and file: URIs as Hadoop writes them", () => {
    assert.equal(localPath("/a/b"), "/a/b");
    assert.equal(localPath("file:/a/b"), "/a/b");
    assert.equal(localPath("file:///a/b%20c d"), "/a/b%20c d");
    assert.equal(localPath("file://localhost/a"), "/a");
    assert.throws(() => localPath("s3://bucket/a"), { code: "CATALOG_INVALID" });
    assert.throws(() => localPath("a/b"), { code: "CATALOG_INVALID" });
    assert.equal(localLocation("/a/../b"), "/b");
  });

  it("writes a new file with its folders, and never over another", async () => {
    const file = join(folder, "a", "b", "c.bin");
    await io.write(file, utf8("one"));
    await assert.rejects(io.write(file, utf8("two")), { code: "FILE_EXISTS" });
    assert.equal(Buffer.from(await io.read(file)).toString(), "one");
    assert.equal(Buffer.from(await io.readRange(file, 1, 99)).toString(), "ne");
    assert.equal((await io.stat(file))?.size, 3);
  });

  it("of many that create one name at once, exactly one wins, and nothing else is left", async () => {
    for (let round = 0; round < 20; round++) {
      const file = join(folder, `round${round}`, "v1.metadata.json");
      const results = await Promise.allSettled(Array.from({ length: 10 }, (_, i) => io.create(file, utf8(`writer ${i} `.repeat(1000)))));
      const winners = results.flatMap((result, i) => (result.status === "fulfilled" ? [i] : []));
      assert.equal(winners.length, 1);
      for (const result of results) if (result.status === "rejected") assert.equal(result.reason.code, "FILE_EXISTS");
      assert.equal(Buffer.from(await io.read(file)).toString(), `writer ${winners[0]} `.repeat(1000));
      assert.deepEqual(await fs.readdir(join(folder, `round${round}`)), ["v1.metadata.json"]);
    }
  });

  it("shows nothing under the name before the atomic step", async () => {
    const file = join(folder, "v1.metadata.json");
    const version = await io.create(file, utf8("x"), { staged: async () => assert.equal(await io.exists(file), false) });
    assert.equal((await io.stat(file))?.version, version);
  });

  it("a failure before the atomic step leaves nothing", async () => {
    const file = join(folder, "v1.metadata.json");
    await assert.rejects(io.create(file, utf8("x"), { staged: () => { throw fails("EIO"); } }), { code: "STORAGE_FAILED" });
    assert.deepEqual(await fs.readdir(folder), []);
  });

  it("a link whose answer was lost has happened when the link count says so", async () => {
    const lossy = new LocalFileIO({ link: async (a, b) => { await fs.link(a, b); throw fails("EEXIST"); } });
    await lossy.create(join(folder, "v1"), utf8("x"));
    assert.equal(await io.exists(join(folder, "v1")), true);
  });

  it("a link that failed for sure is a failure, one that cannot be judged is unknown", async () => {
    const refused = new LocalFileIO({ link: () => Promise.reject(fails("EIO")) });
    await assert.rejects(refused.create(join(folder, "v1"), utf8("x")), { code: "STORAGE_FAILED" });
    const gone = new LocalFileIO({ link: async (staged) => { await fs.unlink(staged); throw fails("ETIMEDOUT"); } });
    await assert.rejects(gone.create(join(folder, "v2"), utf8("x")), { code: "COMMIT_UNKNOWN" });
    const unsynced = new LocalFileIO({ syncFolder: async () => { if (await io.exists(join(folder, "v3"))) throw fails("EIO"); } });
    await assert.rejects(unsynced.create(join(folder, "v3"), utf8("x")), { code: "COMMIT_UNKNOWN" });
  });

  it("says that a file system has no hard links", async () => {
    const exfat = new LocalFileIO({ link: () => Promise.reject(fails("EPERM")) });
    await assert.rejects(exfat.create(join(folder, "v1"), utf8("x")), { code: "STORAGE_DENIED", message: /hard links/ });
    assert.deepEqual(await fs.readdir(folder), []);
  });

  it("replaces whole: a reader sees the old or the new, never a part", async () => {
    const file = join(folder, "version-hint.text");
    await io.replace(file, utf8("0".repeat(5000)));
    let done = false;
    const reader = (async () => {
      while (!done) {
        const text = Buffer.from(await io.read(file)).toString();
        assert.match(text, /^(\d)\1{4999}$/);
      }
    })();
    for (let i = 1; i < 40; i++) await io.replace(file, utf8(String(i % 10).repeat(5000)));
    done = true;
    await reader;
    assert.deepEqual(await fs.readdir(folder), ["version-hint.text"]);
  });

  it("replaces only where the look at what is there allows it", async () => {
    const file = join(folder, "hint");
    assert.equal(await io.replace(file, utf8("7"), { unless: (current) => current !== undefined }), true);
    assert.equal(await io.replace(file, utf8("6"), { unless: (current) => Number(Buffer.from(current!).toString()) >= 6 }), false);
    assert.equal(Buffer.from(await io.read(file)).toString(), "7");
    assert.deepEqual(await fs.readdir(folder), ["hint"]);
  });

  it("lists one level and everything below; a folder that is not there is empty", async () => {
    for (const name of ["t/metadata/v1", "t/data/p=1/a", "t/data/p=2/b"]) await io.write(join(folder, name), utf8(name));
    const listing = await io.listFolder(join(folder, "t"));
    assert.deepEqual([listing.files, [...listing.folders].sort()], [[], ["data", "metadata"]]);
    const all: string[] = [];
    for await (const file of io.listAll(folder)) all.push(file.location.slice(folder.length + 1));
    assert.deepEqual(all.sort(), ["t/data/p=1/a", "t/data/p=2/b", "t/metadata/v1"]);
    assert.deepEqual(await io.listFolder(join(folder, "none")), { files: [], folders: [] });
  });

  it("deletes, and does not mind what is not there", async () => {
    await io.write(join(folder, "a"), utf8("x"));
    await io.delete(join(folder, "a"));
    await io.delete(join(folder, "a"));
    assert.equal(await io.stat(join(folder, "a")), undefined);
  });

  it("another file under the same name has another version, a link to it does not", async () => {
    const file = join(folder, "a");
    await io.write(file, utf8("x"));
    const first = (await io.stat(file))!.version;
    await fs.link(file, join(folder, "b"));
    assert.equal((await io.stat(file))!.version, first);
    await io.delete(file);
    await io.write(file, utf8("x"));
    assert.notEqual((await io.stat(file))!.version, first);
  });

  it("says what to do about a missing file, a file in the way and a name that is too long", async () => {
    await assert.rejects(io.read(join(folder, "none")), { code: "FILE_NOT_FOUND" });
    await io.write(join(folder, "file"), utf8("x"));
    await assert.rejects(io.write(join(folder, "file", "x"), utf8("x")), { code: "STORAGE_DENIED", message: /A file stands where a folder is needed/ });
    await assert.rejects(io.write(join(folder, "n".repeat(300)), utf8("x")), { code: "STORAGE_DENIED", message: /shorter/ });
  });

  // Node's recursive mkdir never comes back from there.
  for (const place of existsSync("/proc/self") ? ["/proc/ticklake"] : []) {
    it(`a folder that ${place} does not take is an error, not a wait without end`, async () => {
      await assert.rejects(io.write(join(place, "db", "t", "file"), utf8("x")), { code: "STORAGE_DENIED", message: /Choose another warehouse folder/ });
    });
  }

  for (const [errno, code, advice] of [["ENOSPC", "STORAGE_FULL", /Free space/], ["EDQUOT", "STORAGE_FULL", /quota/], ["EROFS", "STORAGE_DENIED", /read-only/], ["EACCES", "STORAGE_DENIED", /Permission/], ["EIO", "STORAGE_FAILED", /Check the disk/]] as const) {
    it(`${errno} is ${code}`, async () => {
      const broken = new LocalFileIO({ syncFolder: () => Promise.reject(fails(errno)) });
      await assert.rejects(broken.write(join(folder, "x", errno), utf8("x")), { code, message: advice });
    });
  }
});
