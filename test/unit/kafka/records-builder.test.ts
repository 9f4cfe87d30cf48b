import { strict as assert } from "node:assert";
import { createRequire } from "node:module";
import fc from "fast-check";
import { RecordBatchBuilder } from "../../../lib/kafka/records/builder";
import { supportedCompressions } from "../../../lib/kafka/records/codecs";
import type { Header, OutgoingRecord } from "../../../lib/kafka/types";
import { batchOf, decode, values } from "./records-support";

const load = createRequire(__filename);

/** What kafkajs, an independent implementation, reads in a batch. */
interface ForeignRecord { offset: string; timestamp: string; key: Buffer | null; value: Buffer | null; headers: Record<string, Buffer | null | (Buffer | null)[]> }
interface ForeignBatch { records: ForeignRecord[]; producerId: string; producerEpoch: number; firstSequence: number; inTransaction: boolean; maxTimestamp: string; lastOffsetDelta: number; partitionLeaderEpoch: number }

async function readByKafkajs(batch: Buffer): Promise<ForeignBatch> {
  const Decoder = load("kafkajs/src/protocol/decoder") as new (bytes: Buffer) => unknown;
  const read = load("kafkajs/src/protocol/recordBatch/v0/decoder") as (decoder: unknown) => Promise<ForeignBatch>;
  return read(new Decoder(batch));
}

const bytes = (maxLength: number): fc.Arbitrary<Buffer> => fc.uint8Array({ maxLength }).map((b) => Buffer.from(b));
const header: fc.Arbitrary<Header> = fc.record({ name: fc.string({ unit: "grapheme", maxLength: 40 }), value: fc.option(bytes(80)) });
const record: fc.Arbitrary<OutgoingRecord> = fc.record({
  key: fc.option(bytes(100)),
  // Around the sizes at which a length takes a byte more.
  value: fc.option(fc.oneof(bytes(40), fc.constantFrom(50, 55, 62, 63, 64, 65, 8170, 8190, 8191, 8192, 8193).chain((n) => fc.integer({ min: 0, max: 255 }).map((fill) => Buffer.alloc(n, fill))))),
  headers: fc.array(header, { maxLength: 4 }),
  timestamp: fc.oneof(fc.integer({ min: 1_730_000_000_000, max: 1_730_000_100_000 }), fc.integer({ min: -1, max: 9_000_000_000_000 })),
});

describe("writing record batches", () => {
  for (const compression of supportedCompressions()) {
    it(`${compression}: every record comes back, whatever it holds`, async () => {
      await fc.assert(fc.asyncProperty(fc.array(record, { minLength: 1, maxLength: 30 }), fc.integer({ min: 1, max: 2000 }), async (records, initialBytes) => {
        const builder = new RecordBatchBuilder({ initialBytes });
        for (const one of records) builder.add(one);
        assert.equal(builder.count, records.length);
        const { set, nextOffset, damaged } = await decode(await builder.encode({ compression }));
        assert.ok(set && !damaged);
        assert.equal(nextOffset, BigInt(records.length));
        records.forEach((one, k) => {
          assert.deepEqual(set.key(k), one.key);
          assert.deepEqual(set.value(k), one.value);
          assert.equal(set.timestamps[k], one.timestamp);
          const headers = set.headers(k) ?? {};
          for (const { name } of one.headers!) {
            const wanted = one.headers!.filter((h) => h.name === name).map((h) => h.value);
            assert.deepEqual(Object.getOwnPropertyDescriptor(headers, name)!.value, wanted.length === 1 ? wanted[0] : wanted);
          }
          assert.equal(Object.keys(headers).length, new Set(one.headers!.map((h) => h.name)).size);
        });
      }), { numRuns: 60 });
    });
  }

  it("writes byte for byte what the protocol guide says", async () => {
    const builder = new RecordBatchBuilder();
    builder.add({ key: Buffer.from("AAPL"), value: Buffer.from("{}"), timestamp: 1_700_000_000_000, headers: [{ name: "h", value: Buffer.from("x") }, { name: "n", value: null }] });
    builder.add({ key: null, value: null, timestamp: 1_699_999_999_000 });
    builder.addText("é".repeat(40), "z".repeat(9000), 1_700_000_000_700);
    const wanted = batchOf([
      { offset: 0, timestamp: 1_700_000_000_000, key: "AAPL", value: "{}", headers: [["h", "x"], ["n", null]] },
      { offset: 1, timestamp: 1_699_999_999_000 },
      { offset: 2, timestamp: 1_700_000_000_700, key: "é".repeat(40), value: "z".repeat(9000) },
    ], { maxTimestamp: 1_700_000_000_700 });
    wanted.writeInt32BE(-1, 12);
    assert.deepEqual(await builder.encode({ compression: "none" }), wanted);
  });

  for (const compression of ["none", "gzip"] as const) {
    it(`${compression}: kafkajs reads the same, with the producer's numbers`, async () => {
      const builder = new RecordBatchBuilder();
      for (let k = 0; k < 300; k++) builder.add({ key: k % 3 ? Buffer.from(`key ${k}`) : null, value: k % 5 ? Buffer.from("v".repeat(k)) : null, timestamp: 1_700_000_000_000 + ((k * 37) % 100), headers: k % 7 ? [] : [{ name: "a", value: Buffer.from("1") }, { name: "a", value: null }] });
      const foreign = await readByKafkajs(await builder.encode({ compression, producer: { id: 4242424242n, epoch: 7, sequence: 123456 }, transactional: true }));
      assert.deepEqual([foreign.producerId, foreign.producerEpoch, foreign.firstSequence, foreign.inTransaction, foreign.lastOffsetDelta, foreign.partitionLeaderEpoch], ["4242424242", 7, 123456, true, 299, -1]);
      assert.equal(foreign.maxTimestamp, "1700000000099");
      foreign.records.forEach((one, k) => {
        assert.equal(one.offset, String(k));
        assert.equal(one.timestamp, String(1_700_000_000_000 + ((k * 37) % 100)));
        assert.equal(one.key?.toString(), k % 3 ? `key ${k}` : undefined);
        assert.equal(one.value?.toString(), k % 5 ? "v".repeat(k) : undefined);
        assert.deepEqual(one.headers, k % 7 ? {} : { a: [Buffer.from("1"), null] });
      });
    });
  }

  it("can be encoded again for another producer: the same records under new numbers", async () => {
    for (const compression of supportedCompressions()) {
      const builder = new RecordBatchBuilder();
      builder.addText("AAPL", "first", 1_700_000_000_000);
      const before = Buffer.from(await builder.encode({ compression, producer: { id: 1n, epoch: 0, sequence: 5 } }));
      const after = await builder.encode({ compression, producer: { id: 1n, epoch: 1, sequence: 0 } });
      assert.deepEqual([before.readInt16BE(51), before.readInt32BE(53), after.readInt16BE(51), after.readInt32BE(53)], [0, 5, 1, 0]);
      assert.deepEqual(after.subarray(57), before.subarray(57));
      assert.deepEqual(values(await decode(after)), ["first"]);
      builder.addText("AAPL", "second", 1_700_000_000_000);
      assert.deepEqual(values(await decode(await builder.encode({ compression }))), ["first", "second"]);
    }
  });

  it("text is written as its UTF-8, keys of any length and script", async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.option(fc.string({ unit: "grapheme", maxLength: 60 })), fc.string({ unit: "grapheme", maxLength: 300 })), { minLength: 1, maxLength: 20 }), async (pairs) => {
      const builder = new RecordBatchBuilder({ initialBytes: 1 });
      for (const [key, value] of pairs) builder.addText(key, value, 1_700_000_000_000);
      const { set } = await decode(await builder.encode({ compression: "none" }));
      assert.deepEqual(pairs, pairs.map((_, k) => [set!.key(k)?.toString() ?? null, set!.value(k)!.toString()]));
    }));
  });

  it("values that are written into the batch may have any length up to what was asked for", async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.constantFrom(0, 1, 60, 63, 64, 200, 8191, 8192, 20_000), fc.nat(100), fc.boolean()), { minLength: 1, maxLength: 25 }), async (lengths) => {
      const builder = new RecordBatchBuilder({ initialBytes: 1 });
      const wanted: string[] = [];
      for (const [length, spare, keep] of lengths) {
        const at = builder.open("AAPL", length + spare, 1_700_000_000_000);
        const text = String.fromCharCode(97 + (wanted.length % 26)).repeat(length);
        builder.buffer.write(text, at, "latin1");
        if (keep) {
          builder.close(at + length);
          wanted.push(text);
        } else builder.discard();
      }
      assert.equal(builder.count, wanted.length);
      if (wanted.length > 0) assert.deepEqual(values(await decode(await builder.encode({ compression: "none" }))), wanted);
    }));
  });

  it("keeps to its size when asked, and takes one record of any size", async () => {
    const builder = new RecordBatchBuilder({ maxBytes: 1000 });
    assert.equal(builder.wouldExceed(5000), false);
    builder.addText(null, "x".repeat(5000), 0);
    assert.equal(builder.wouldExceed(1), true);
    builder.reset();
    assert.deepEqual([builder.count, builder.bytes], [0, 0]);
    const value = Buffer.alloc(100, 120);
    while (!builder.wouldExceed(value.length + 4)) builder.add({ key: Buffer.from("AAPL"), value, timestamp: 1_700_000_000_000 });
    const batch = await builder.encode({ compression: "none" });
    assert.ok(batch.length <= 1000 && batch.length > 800, String(batch.length));
    assert.equal(batch.length, 61 + builder.bytes);
  });

  it("a timestamp that is none is refused and costs no neighbour; so is an empty batch", async () => {
    const builder = new RecordBatchBuilder();
    builder.addText(null, "good", 5.9);
    for (const timestamp of [NaN, Infinity, 1e300]) assert.throws(() => builder.addText(null, "bad", timestamp), { code: "RECORD_INVALID", message: /timestamp is (NaN|Infinity|1e\+300) and must be a number of milliseconds/ });
    builder.addText(null, "also good", 6);
    const decoded = await decode(await builder.encode({ compression: "none" }));
    assert.deepEqual([values(decoded), [...decoded.set!.timestamps]], [["good", "also good"], [5, 6]]);
    await assert.rejects(new RecordBatchBuilder().encode({ compression: "none" }), { code: "INTERNAL" });
    assert.throws(() => builder.close(100), { code: "INTERNAL" });
  });
});
