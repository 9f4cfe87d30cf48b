import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import fc from "fast-check";
import { type ByteRange, bytesOf, merge, missing, pieces } from "../../../lib/sql/copies/ranges";
import { CopyStore } from "../../../lib/sql/copies/store";
import { makeWorkspace, removeWorkspace } from "../../../lib/sql/copies/workspace";
import { MemoryIO } from "../../support/memory-io";

const MB = 1024 * 1024;

/** A store that counts what travels, and can hold its answers back. */
class Storage extends MemoryIO {
  asked: string[] = [];
  hold: Promise<void> | undefined;

  override async readRange(location: string, offset: number, length: number): Promise<Uint8Array> {
    this.asked.push(`${offset}+${length}`);
    await this.hold;
    return super.readRange(location, offset, length);
  }

  /** A file that ends as a Parquet file does, with a footer of this size; every other byte tells its place. */
  async file(location: string, size: number, footer = 1000): Promise<Uint8Array> {
    const bytes = Buffer.alloc(size);
    for (let i = 0; i < size; i++) bytes[i] = (i * 7 + (i >> 8)) & 0xff;
    bytes.writeUInt32LE(footer, size - 8);
    bytes.write("PAR1", size - 4, "latin1");
    await this.write(location, bytes);
    return bytes;
  }
}

describe("Copies of files on storage", () => {
  let folder: string;
  let storage: Storage;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "ticklake-test-"));
    storage = new Storage();
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const store = (maxBytes = 100 * MB): CopyStore => new CopyStore(() => Promise.resolve(folder), { maxBytes });
  const file = (location: string, size: number) => ({ io: storage, location, size });
  const holds = async (path: string, original: Uint8Array, { start, end }: ByteRange): Promise<boolean> => (await readFile(path)).subarray(start, end).equals(original.subarray(start, end));

  it("hold the footer and the ranges that were asked for, at their places, and nothing travels twice", async () => {
    const original = await storage.file("s3://lake/a", 8 * MB);
    const lease = store().lease();
    const [path] = await lease.footers([file("s3://lake/a", 8 * MB)], "t");
    assert.equal((await stat(path!)).size, 8 * MB);
    assert.ok(await holds(path!, original, { start: 8 * MB - 1008, end: 8 * MB }));
    assert.ok(lease.fetched < 20_000, `${lease.fetched} bytes for the footer`);
    const range = { start: MB, end: MB + 5000 };
    await lease.ranges(new Map([[path!, [range]]]));
    assert.ok(await holds(path!, original, range));
    const before = lease.fetched;
    await lease.ranges(new Map([[path!, [{ start: MB + 100, end: MB + 4000 }, range]]]));
    assert.equal(lease.fetched, before);
    await lease.ranges(new Map([[path!, [{ start: MB, end: MB + 6000 }]]]));
    assert.equal(lease.fetched, before + 1000);
    lease.release();
  });

  it("take a footer that is longer than the first look, small files in one request, near ranges together and large ones in pieces", async () => {
    const long = await storage.file("s3://lake/long", 2 * MB, 300_000);
    const small = await storage.file("s3://lake/small", 40_000);
    const lease = store().lease();
    const [first, second] = await lease.footers([file("s3://lake/long", 2 * MB), file("s3://lake/small", 40_000)], "t");
    assert.ok(await holds(first!, long, { start: 2 * MB - 300_008, end: 2 * MB }));
    assert.ok(await holds(second!, small, { start: 0, end: 40_000 }));
    storage.asked = [];
    await lease.ranges(new Map([[first!, [{ start: 0, end: 1000 }, { start: 20_000, end: 21_000 }, { start: 500_000, end: 501_000 }]], [second!, [{ start: 0, end: 9000 }]]]));
    assert.deepEqual(storage.asked.sort(), ["0+21000", "500000+1000"]);
    const large = await storage.file("s3://lake/large", 10 * MB);
    const [third] = await lease.whole([file("s3://lake/large", 10 * MB)], "t");
    assert.ok((await readFile(third!)).equals(large));
    lease.release();
  });

  it("are shared by queries that overlap: the same bytes travel once", async () => {
    await storage.file("s3://lake/a", 4 * MB);
    const copies = store();
    const [one, two] = [copies.lease(), copies.lease()];
    const [[a], [b]] = await Promise.all([one.footers([file("s3://lake/a", 4 * MB)], "t"), two.footers([file("s3://lake/a", 4 * MB)], "t")]);
    assert.equal(a, b);
    await Promise.all([one, two].map((lease) => lease.ranges(new Map([[a!, [{ start: 0, end: MB }]]]))));
    assert.equal(storage.asked.length, 2);
    one.release();
    two.release();
  });

  it("are read a dozen at a time under one signal, without Node's warning of a leak", async () => {
    const names = Array.from({ length: 12 }, (_, k) => `s3://lake/${k}`);
    for (const name of names) await storage.file(name, 4 * MB);
    const warnings: string[] = [];
    const warned = (warning: Error): void => { warnings.push(warning.name); };
    process.on("warning", warned);
    try {
      const lease = store().lease(new AbortController().signal);
      await lease.footers(names.map((name) => file(name, 4 * MB)), "t");
      lease.release();
      // Warnings come in a turn of their own.
      await new Promise((resolve) => setImmediate(resolve));
    } finally { process.off("warning", warned); }
    assert.deepEqual([storage.asked.length, warnings], [12, []]);
  });

  it("make room, least lately used first, and never by one that is in use", async () => {
    for (const name of ["a", "b", "c"]) await storage.file(`s3://lake/${name}`, 4 * MB);
    const copies = store(9 * MB);
    const use = async (name: string): Promise<[string, () => void]> => {
      const lease = copies.lease();
      const [path] = await lease.whole([file(`s3://lake/${name}`, 4 * MB)], "t");
      return [path!, () => lease.release()];
    };
    const [a, releaseA] = await use("a");
    const [b, releaseB] = await use("b");
    await assert.rejects(use("c"), { code: "SQL_TOO_LARGE", message: /more than 9 MB/ });
    releaseB();
    const [c, releaseC] = await use("c");
    assert.ok(existsSync(a) && existsSync(c) && copies.bytes <= 9 * MB);
    await waitGone(b);
    releaseA();
    releaseC();
  });

  it("of a file that was replaced are thrown away, and of one that is gone or cut off are an error that says so", async () => {
    await storage.file("s3://lake/a", 4 * MB);
    let now = 0;
    const copies = new CopyStore(() => Promise.resolve(folder), { now: () => now });
    const lease = copies.lease();
    const [path] = await lease.footers([file("s3://lake/a", 4 * MB)], "t");
    await storage.delete("s3://lake/a");
    await storage.file("s3://lake/a", 4 * MB);
    now = 3_600_000;
    await assert.rejects(lease.ranges(new Map([[path!, [{ start: 0, end: 1000 }]]])), { code: "FILE_NOT_FOUND", message: /replaced by another file/ });
    lease.release();
    await assert.rejects(store().lease().footers([file("s3://lake/none", 4 * MB)], "t"), { code: "FILE_NOT_FOUND" });
    await assert.rejects(store().lease().footers([file("s3://lake/a", 5 * MB)], "t"), { code: "TABLE_CORRUPT", message: /has 4194304 bytes, and the table says 5242880/ });
    await storage.write("s3://lake/text", Buffer.alloc(1000));
    await assert.rejects(store().lease().footers([file("s3://lake/text", 1000)], "t"), { code: "TABLE_CORRUPT", message: /no Parquet file/ });
  });

  it("stop being fetched when the query is stopped", async () => {
    await storage.file("s3://lake/a", 4 * MB);
    storage.hold = new Promise(() => undefined);
    const stop = new AbortController();
    const work = store().lease(stop.signal).footers([file("s3://lake/a", 4 * MB)], "t");
    stop.abort();
    await assert.rejects(work, { code: "STOPPED" });
  });

  it("of a process that crashed are removed by the next one, those of a living process are not", async () => {
    const mine = await makeWorkspace(folder);
    const pid = spawnSync(process.execPath, ["-e", ""]).pid;
    const orphan = join(folder, basename(mine).replace(String(process.pid), String(pid)));
    const foreign = join(folder, "ticklake-sql-0123abcd-1-xyz");
    for (const path of [orphan, foreign]) await mkdir(path);
    const second = await makeWorkspace(folder);
    assert.deepEqual((await readdir(folder)).sort(), [basename(mine), basename(second), basename(foreign)].sort());
    await removeWorkspace(mine);
    assert.ok(!existsSync(mine));
  });
});

describe("Byte ranges", () => {
  const range = fc.tuple(fc.nat(200), fc.nat(30)).map(([start, length]) => ({ start, end: start + length }));
  const ranges = fc.array(range, { maxLength: 12 });
  const set = (list: readonly ByteRange[]): Set<number> => new Set(list.flatMap(({ start, end }) => Array.from({ length: end - start }, (_, i) => start + i)));

  it("that are missing are exactly what is wanted and not held", () => {
    fc.assert(fc.property(ranges, ranges, (wanted, held) => {
      const found = missing(wanted, held);
      const there = set(held);
      assert.deepEqual([...set(found)].sort(), [...set(wanted)].filter((byte) => !there.has(byte)).sort());
      assert.equal(bytesOf(found), set(found).size, "none twice");
    }));
  });

  it("merge to ranges apart, and cut to pieces without a byte lost", () => {
    fc.assert(fc.property(ranges, fc.nat(10), fc.integer({ min: 1, max: 20 }), (list, gap, size) => {
      const merged = merge(list, gap);
      merged.slice(1).forEach(({ start }, index) => assert.ok(start > merged[index]!.end + gap));
      const all = set(merged);
      assert.ok([...set(list)].every((byte) => all.has(byte)));
      const cut = pieces(merged, size);
      assert.ok(cut.every(({ start, end }) => end - start <= size && end > start));
      assert.deepEqual(set(cut), all);
    }));
  });
});

async function waitGone(path: string): Promise<void> {
  while (existsSync(path)) await new Promise((turn) => setImmediate(turn));
}
