import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFileSync, chmodSync, existsSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as zlib from "node:zlib";
import { findFile, prepareSource } from "../../../../lib/trades/csv";
import { ALPACA, alpacaFile, folder, gz, options, read } from "./support";

const files = folder();
after(() => files.clean());
const find = (name: string, allowedDirs?: string[]) => findFile(name, { baseDir: files.dir, ...(allowedDirs && { allowedDirs }) });
const fails = (work: Promise<unknown>, code: string, message: RegExp) => assert.rejects(work, { code, message });

describe("a file to be replayed", () => {
  it("is relative to the base folder, or absolute; links are followed", async () => {
    const path = files.write("plain.csv", alpacaFile(3));
    symlinkSync(path, join(files.dir, "link.csv"));
    assert.equal((await find("plain.csv")).size, (await find(path)).size);
    assert.equal((await find("link.csv")).path, (await find(path)).path);
    assert.equal((await find("link.csv")).name, "link.csv");
  });

  it("must exist", async () => {
    await fails(find("nowhere.csv"), "FILE_NOT_FOUND", /no file nowhere.csv.*relative to/);
    await fails(find("plain.csv/x"), "FILE_NOT_FOUND", /no file/);
    await fails(find("a\0b"), "FILE_NOT_FOUND", /NUL/);
    await fails(find(""), "CONFIG_INVALID", /No file is set/);
    symlinkSync("loop.csv", join(files.dir, "loop.csv"));
    await fails(find("loop.csv"), "FILE_NOT_FOUND", /link/);
  });

  it("must be a regular file: no folder, device or pipe, not even by link", async () => {
    await fails(find("."), "FILE_NOT_ALLOWED", /folder/);
    symlinkSync("/dev/zero", join(files.dir, "zero.csv"));
    await fails(find("zero.csv"), "FILE_NOT_ALLOWED", /device/);
    await fails(find("/dev/stdin"), "FILE_NOT_ALLOWED", /regular|device/);
    execFileSync("mkfifo", [join(files.dir, "pipe.csv")]);
    await fails(find("pipe.csv"), "FILE_NOT_ALLOWED", /pipe/);
  });

  it("must be readable", async function () {
    if (process.getuid?.() === 0) {
      // The superuser may read everything; the other way to be unreadable is to be gone in between.
      const file = await find(files.write("gone.csv", alpacaFile(1)));
      execFileSync("rm", [file.path]);
      await fails(prepareSource(file, options()), "FILE_NOT_FOUND", /no file/);
      return;
    }
    chmodSync(files.write("secret.csv", alpacaFile(1)), 0);
    await fails(find("secret.csv"), "FILE_UNREADABLE", /permission/);
  });

  it("lies within the allowed folders, by name and after following links", async () => {
    mkdirSync(join(files.dir, "data"));
    mkdirSync(join(files.dir, "data2"));
    files.write("data/in.csv", alpacaFile(1));
    files.write("data2/out.csv", alpacaFile(1));
    symlinkSync(join(files.dir, "data2/out.csv"), join(files.dir, "data/escape.csv"));
    assert.equal((await find("data/in.csv", ["data"])).name, "in.csv");
    for (const name of ["data2/out.csv", "data/../data2/out.csv", "data/escape.csv", "/etc/passwd", "/does/not/exist", ".."]) await fails(find(name, ["data"]), "FILE_NOT_ALLOWED", /dataDirs/);
    symlinkSync(join(files.dir, "data2"), join(files.dir, "linked"));
    assert.equal((await find("linked/out.csv", ["linked"])).name, "out.csv");
  });

  it("says what it is when it is something else", async () => {
    for (const [bytes, what] of [["PK\x03\x04rest", /zip/], ["PAR1....", /Parquet/], ["BZh91AY", /bzip2/], ["\xfd7zXZ\0", /xz/], ["\xff\xfes\0y\0", /UTF-16/]] as const) {
      files.write("other.csv", Buffer.from(bytes, "latin1"));
      await fails(find("other.csv"), "FILE_UNREADABLE", what);
    }
  });

  it("must not change while it is replayed", async () => {
    const path = files.write("change.csv", alpacaFile(1000));
    const source = await prepareSource(await find("change.csv"), options());
    appendFileSync(path, "x");
    await fails(source.open(source.start), "FILE_UNREADABLE", /changed while/);
  });

  it("of another time is another file", async () => {
    const path = files.write("touch.csv", alpacaFile(10));
    const source = await prepareSource(await find("touch.csv"), options());
    utimesSync(path, 1, 1);
    await fails(source.open(source.start), "FILE_UNREADABLE", /changed while/);
  });
});

describe("compressed files", () => {
  const text = alpacaFile(20_000, ["AAPL", "MSFT"]);

  it("are told by their first bytes, whatever their name", async () => {
    const plain = await read(files.write("a.csv", text));
    assert.equal(plain.trades.length, 20_000);
    for (const name of ["a.csv.gz", "b.csv", "c.data"]) assert.deepEqual((await read(files.write(name, gz(text)))).trades, plain.trades);
    assert.equal((await read(files.write("not.csv.gz", text))).trades.length, 20_000);
  });

  it("may have several members, and junk behind the last", async () => {
    const cut = text.indexOf("\n", 1000) - 7;
    const members = Buffer.concat([gz(text.slice(0, cut)), gz(text.slice(cut)), Buffer.alloc(512)]);
    const { trades, rejects } = await read(files.write("members.csv.gz", members));
    assert.deepEqual([trades.length, rejects.length], [20_000, 0]);
  });

  it("that are truncated give all whole rows and one reject that says so", async () => {
    const packed = gz(text);
    for (const share of [0.1, 0.5, 0.999]) {
      const { trades, rejects } = await read(files.write("cut.csv.gz", packed.subarray(0, Math.floor(packed.length * share))));
      const whole = zlib.gunzipSync(packed.subarray(0, Math.floor(packed.length * share)), { finishFlush: zlib.constants.Z_SYNC_FLUSH }).toString().split("\n");
      assert.equal(trades.length, whole.length - 2, String(share));
      assert.equal(rejects.length, 1);
      assert.match(rejects[0]!.reason, /ends early: the file is truncated/);
      assert.equal(rejects[0]!.line, whole.length);
      assert.equal(rejects[0]!.text, whole.at(-1));
    }
  });

  it("without their last bytes (the checksum) give every row and the reject", async () => {
    const packed = gz(text);
    const { trades, rejects } = await read(files.write("tail.csv.gz", packed.subarray(0, packed.length - 4)));
    assert.deepEqual([trades.length, rejects.length], [20_000, 1]);
  });

  it("that are damaged in the middle give the rows before and one reject", async () => {
    const packed = Buffer.from(gz(text));
    packed.fill(0xff, packed.length / 2, packed.length / 2 + 64);
    const { trades, rejects } = await read(files.write("damaged.csv.gz", packed));
    assert.ok(trades.length > 1000 && trades.length < 20_000);
    assert.equal(rejects.at(-1)!.reason.includes("damaged"), true);
  });

  it("that are damaged from the start are refused", async () => {
    await fails(read(files.write("junk.csv.gz", Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xff, 0xff, 0xff, 0xff]))), "FILE_UNREADABLE", /cannot be unpacked/);
  });

  it("with zstd are read where the runtime can, and refused with what to do where not", async () => {
    const z = zlib as { zstdCompressSync?: (text: string) => Buffer };
    if (z.zstdCompressSync) assert.equal((await read(files.write("z.csv.zst", z.zstdCompressSync(text)))).trades.length, 20_000);
    else await fails(read(files.write("z.csv.zst", Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0]))), "FILE_UNREADABLE", /22.15/);
  });

  it("unpack in constant memory, even where a little unpacks to much", async function () {
    this.timeout(30_000);
    // 200 MB of lines that are too long between two rows pack to 200 kB.
    const gzip = zlib.createGzip();
    const pieces: Buffer[] = [];
    gzip.on("data", (piece: Buffer) => pieces.push(piece));
    const row = (id: number) => `A,2024-01-02T14:30:00Z,V,1,1,${id},[],C\n`;
    gzip.write(`${ALPACA}\n${row(1)}`);
    const long = Buffer.alloc(1024 * 1024, "x");
    long[long.length - 1] = 10;
    for (let i = 0; i < 200; i++) await new Promise((resolve) => { gzip.write(long, resolve); });
    await new Promise((resolve) => { gzip.on("end", resolve); gzip.end(row(2)); });
    const path = files.write("bomb.csv.gz", Buffer.concat(pieces));
    const before = process.memoryUsage().rss;
    const { trades, rejects } = await read(path);
    assert.deepEqual(trades.map((t) => t.i), [1, 2]);
    assert.deepEqual([rejects.length, rejects.at(-1)!.line], [200, 202]);
    assert.ok(process.memoryUsage().rss - before < 150e6, "memory grew with the file");
  });
});

describe("reading from a position", () => {
  it("goes on exactly there, in plain and compressed files", async () => {
    const text = alpacaFile(9_000, ["AAPL", "MSFT"]).replace("MSFT,", '"MSFT",').replaceAll("\n", "\r\n");
    for (const path of [files.write("pos.csv", text), files.write("pos.csv.gz", gz(text))]) {
      const all = await read(path);
      for (const n of [0, 1, 4_321, 8_999]) {
        const rest = await read(path, {}, all.positions[n]);
        assert.deepEqual(rest.trades, all.trades.slice(n));
        assert.deepEqual(rest.positions[0], all.positions[n]);
      }
    }
  });
});

describe("temporary files", () => {
  it("leave nothing behind", async () => {
    const dir = join(files.dir, "spill");
    mkdirSync(dir);
    const [header, ...rows] = alpacaFile(5_000).trim().split("\n");
    writeFileSync(join(files.dir, "reverse.csv"), [header, ...rows.reverse()].join("\n"));
    const { sorted, trades } = await read(join(files.dir, "reverse.csv"), { order: "time", tempDir: dir });
    assert.deepEqual([sorted, trades.length], [true, 5_000]);
    assert.deepEqual(existsSync(dir) && (await import("node:fs")).readdirSync(dir), []);
  });
});
