import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import Module from "node:module";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { compressors } from "hyparquet-compressors";
import { codecNumber, compress, decompress, supportedCompressions, checkCompression } from "../../../lib/kafka/records/codecs";
import { crc32c } from "../../../lib/kafka/records/crc32c";
import { VarintReader, sizeOfVarint, writeVarint, writeVarlong } from "../../../lib/kafka/records/varint";
import type { Compression } from "../../../lib/kafka/types";
import { ZstdUnavailable, zstdDecompressPortable, zstdWrites } from "../../../lib/zstd";
import { sampleLines, slowCrc32c, varint } from "./records-support";

const LIMIT = 1 << 28;
const sample = sampleLines(1300);
/** Written by the command line tools lz4 1.9.4 and zstd 1.5.4 from `sample`. */
const frame = (name: string): Buffer => readFileSync(join(__dirname, "frames", name));
const read = (name: Compression, bytes: Buffer, limit = LIMIT): Promise<Buffer> => decompress(codecNumber(name), bytes, limit);

/** Without the diff of a hundred thousand bytes, which takes minutes. */
function same(found: Buffer, wanted: Buffer, what: string): void {
  assert.equal(found.length, wanted.length, `${what}: length`);
  assert.ok(found.equals(wanted), `${what}: bytes`);
}

describe("Kafka's checksum", () => {
  it("gives the values of RFC 3720 and of the catalogue of CRCs", () => {
    const ascending = Uint8Array.from({ length: 32 }, (_, k) => k);
    assert.equal(crc32c(Buffer.from("123456789")), 0xe3069283);
    assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
    assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
    assert.equal(crc32c(ascending), 0x46dd794e);
    assert.equal(crc32c(Uint8Array.from(ascending).reverse()), 0x113fdb5c);
    assert.equal(crc32c(new Uint8Array(0)), 0);
  });

  it("is that of the definition for any range of any bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(20), fc.nat(20), (bytes, cut, end) => {
      const from = Math.min(cut, bytes.length);
      const to = Math.max(from, bytes.length - end);
      assert.equal(crc32c(bytes, from, to), slowCrc32c(bytes.subarray(from, to)));
    }));
  });
});

describe("Kafka's variable-length numbers", () => {
  it("come back, ints and longs, and take the bytes that were said", () => {
    const bytes = Buffer.alloc(20);
    fc.assert(fc.property(fc.integer(), fc.maxSafeInteger(), (int, long) => {
      const end = writeVarint(bytes, 0, int);
      assert.deepEqual(bytes.subarray(0, end), varint(int));
      assert.equal(end, sizeOfVarint(int));
      const longEnd = writeVarlong(bytes, end, long);
      assert.deepEqual(bytes.subarray(end, longEnd), varint(long));
      const reader = new VarintReader(bytes);
      assert.equal(reader.int(), int);
      assert.equal(reader.long(), long);
      assert.equal(reader.at, longEnd);
    }));
    for (const edge of [0, -1, 63, 64, -64, -65, 8191, 8192, 0x7fffffff, -0x80000000]) assert.equal(new VarintReader(varint(edge)).int(), edge);
  });

  it("end after their longest form, however the bytes go on", () => {
    const reader = new VarintReader(Buffer.alloc(30, 0xff));
    reader.int();
    assert.equal(reader.at, 5);
    reader.long();
    assert.equal(reader.at, 15);
  });
});

describe("codecs of record batches", () => {
  for (const name of supportedCompressions()) {
    it(`${name} reads what it wrote, whatever the bytes`, async () => {
      const repetitive = fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 60 }), fc.integer({ min: 1, max: 3000 })).map(([part, times]) => Buffer.concat(Array.from({ length: times }, () => part)));
      await fc.assert(fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 400 }).map((b) => Buffer.from(b)), repetitive, fc.integer({ min: 0, max: 70_000 }).map((n) => randomBytes(n))), fc.nat(80), async (bytes, headroom) => {
        const packed = await compress(name, bytes, headroom);
        same(await read(name, packed.subarray(headroom)), bytes, name);
      }), { numRuns: 60 });
      const packed = await compress(name, sample, 61);
      same(await read(name, packed.subarray(61)), sample, name);
      if (name !== "none") assert.ok(packed.length < sample.length * 0.5, `${name}: ${packed.length} of ${sample.length}`);
    });
  }

  it("reads lz4 frames with linked blocks, with content size and checksums, and with blocks of 4 MiB", async () => {
    for (const name of ["linked.lz4", "content-size.lz4", "one-block.lz4"]) same(await read("lz4", frame(name)), sample, name);
    same(await read("lz4", Buffer.concat([frame("linked.lz4"), frame("one-block.lz4")])), Buffer.concat([sample, sample]), "two frames");
  });

  it("reads zstd frames on every Node: with and without a size, with and without a checksum, several in a row", async () => {
    for (const name of ["sized.zst", "streamed.zst", "two-frames.zst"]) {
      same(await read("zstd", frame(name)), sample, name);
      same(zstdDecompressPortable(frame(name), LIMIT), sample, `${name} without Node's own`);
      // Half a frame is never half of the records.
      for (const cut of [5, 30, 20_000, frame(name).length - 1]) {
        await assert.rejects(read("zstd", frame(name).subarray(0, cut)), { code: "KAFKA_RECORD_DAMAGED" }, `${name} cut at ${cut}`);
        assert.throws(() => zstdDecompressPortable(frame(name).subarray(0, cut), LIMIT), `${name} cut at ${cut}`);
      }
    }
    assert.equal((await read("zstd", Buffer.alloc(0))).length, 0);
  });

  it("zstd without a decoder is told as what this Node lacks: the records are not damaged", async () => {
    const loader = Module as unknown as { _load: (name: string, ...more: unknown[]) => unknown };
    const load = loader._load;
    loader._load = (name, ...more) => {
      if (name === "fzstd") throw new Error("Cannot find module 'fzstd'");
      return load.call(loader, name, ...more);
    };
    try {
      assert.throws(() => zstdDecompressPortable(frame("sized.zst"), LIMIT), ZstdUnavailable);
      if (!zstdWrites) await assert.rejects(read("zstd", frame("sized.zst")), { code: "KAFKA_UNSUPPORTED", message: /fzstd is not installed/ });
    } finally { loader._load = load; }
  });

  it("reads snappy in the Java client's chunks, such streams one after another, and raw", async () => {
    const stream = await compress("snappy", sample, 0);
    assert.equal(stream.subarray(1, 7).toString(), "SNAPPY");
    same(await read("snappy", Buffer.concat([stream, stream])), Buffer.concat([sample, sample]), "two streams");
    const first = stream.subarray(20, 20 + stream.readInt32BE(16));
    const raw = await read("snappy", first);
    same(raw, sample.subarray(0, 65536), "raw");
    // An independent reader agrees on what a chunk holds.
    same(Buffer.from(compressors.SNAPPY!(first, 65536)), raw, "by another reader");
  });

  it("refuses what grows beyond the limit, without making it", async () => {
    const zeros = Buffer.alloc(1 << 22);
    for (const name of supportedCompressions().filter((codec) => codec !== "none")) {
      const bomb = await compress(name, zeros, 0);
      await assert.rejects(read(name, bomb, 1 << 20), { code: "KAFKA_RECORD_DAMAGED", message: /more than 1048576 bytes/ }, name);
      assert.equal((await read(name, bomb, zeros.length)).length, zeros.length, name);
    }
    for (const name of ["sized.zst", "streamed.zst"]) assert.throws(() => zstdDecompressPortable(frame(name), 100_000), /more than 100000 bytes/);
    for (const name of ["linked.lz4", "content-size.lz4", "one-block.lz4"]) await assert.rejects(read("lz4", frame(name), 100_000), /more than 100000 bytes/, name);
    // Blocks that repeat one byte: four bytes become two megabytes each.
    const rle = Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58]), ...Array.from({ length: 5000 }, () => Buffer.from([0xfa, 0xff, 0xff, 0x00])), Buffer.from([0x03, 0, 0, 0])]);
    assert.throws(() => zstdDecompressPortable(rle, 1 << 24), /more than 16777216 bytes/);
    // A window of 3.75 GiB is asked for, a length of 4 GiB promised.
    assert.throws(() => zstdDecompressPortable(Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xaf, 0x01, 0, 0, 0]), LIMIT), /window/);
    await assert.rejects(read("snappy", Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f, 0, 1])), /promises more/);
  });

  it("a frame of thousands of empty frames is read, not recursed into", () => {
    const empty = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x00, 0x01, 0x00, 0x00]);
    assert.equal(zstdDecompressPortable(Buffer.concat(Array.from({ length: 20_000 }, () => empty)), LIMIT).length, 0);
  });

  it("bytes that were changed or cut off are read or refused, and nothing else", async () => {
    const seeds: [Compression, Buffer][] = [["gzip", gzipSync(sample)], ["snappy", await compress("snappy", sample, 0)], ["lz4", frame("linked.lz4")], ["lz4", frame("one-block.lz4")], ["zstd", frame("streamed.zst")]];
    await fc.assert(fc.asyncProperty(fc.constantFrom(...seeds), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }), fc.option(fc.nat()), async ([name, bytes], changes, cut) => {
      const changed = Buffer.from(cut === null ? bytes : bytes.subarray(0, cut % bytes.length));
      // The beginning decides most: half of the changes go there.
      for (const [at, value] of changes) if (changed.length > 0) changed[at % (at % 2 ? changed.length : Math.min(40, changed.length))] = value;
      const begun = performance.now();
      try {
        assert.ok((await read(name, changed, 1 << 24)).length <= 1 << 24);
      } catch (error) {
        assert.equal((error as { code?: string }).code, "KAFKA_RECORD_DAMAGED");
      }
      if (name === "zstd") {
        try {
          zstdDecompressPortable(changed, 1 << 24);
        } catch (error) {
          assert.ok(error instanceof Error);
        }
      }
      assert.ok(performance.now() - begun < 5000);
    }), { numRuns: 300 });
  });

  it("a codec without a name and one that this Node cannot write are errors that say what to do", async () => {
    await assert.rejects(decompress(5, Buffer.alloc(3), LIMIT), { code: "KAFKA_UNSUPPORTED", message: /codec 5.*gzip, snappy, lz4, zstd/ });
    assert.throws(() => checkCompression("brotli" as Compression), { code: "CONFIG_INVALID", message: /"brotli" is unknown/ });
    if (supportedCompressions().includes("zstd")) checkCompression("zstd");
    else await assert.rejects(compress("zstd", sample, 0), { code: "CONFIG_INVALID", message: /Node 22\.15/ });
  });
});
