import { strict as assert } from "node:assert";
import fc from "fast-check";
import { RecordBatchBuilder } from "../../../lib/kafka/records/builder";
import { codecNumber, compress, supportedCompressions } from "../../../lib/kafka/records/codecs";
import { CONTROL, TRANSACTIONAL, batchOf, decode, marker, offsets, recordBytes, sampleLines, span, values } from "./records-support";

const LOG_APPEND_TIME = 0x08;

describe("reading record batches", () => {
  it("gives offsets, times, keys, values and headers of every batch, without a copy", async () => {
    const first = batchOf([
      { offset: 10, timestamp: 1_700_000_000_000, key: "AAPL", value: "{}", headers: [["source", "test"], ["empty", null]] },
      { offset: 11, timestamp: 1_699_999_999_000, key: null, value: null },
      { offset: 12, timestamp: 1_700_000_000_500, key: "", value: "" },
    ]);
    const bytes = Buffer.concat([first, batchOf(span(13, 15))]);
    const { set, nextOffset, damaged } = await decode(bytes, 10);
    assert.ok(set && !damaged);
    assert.equal(set.data, bytes);
    assert.deepEqual([set.topic, set.partition, set.count, set.nextOffset, nextOffset], ["trades", 3, 5, 15n, 15n]);
    assert.deepEqual(offsets({ set, nextOffset }), [10, 11, 12, 13, 14]);
    assert.deepEqual([...set.timestamps.slice(0, 3)], [1_700_000_000_000, 1_699_999_999_000, 1_700_000_000_500]);
    assert.equal(set.key(0)?.toString(), "AAPL");
    assert.deepEqual([set.key(1), set.value(1)], [null, null]);
    assert.deepEqual([set.key(2)?.length, set.value(2)?.length], [0, 0]);
    assert.deepEqual(set.headers(0), { source: Buffer.from("test"), empty: null });
    assert.equal(set.headers(1), undefined);
  });

  it("headers of one name become a list; names that JavaScript has plans with are names like others", async () => {
    const { set } = await decode(batchOf([{ offset: 0, value: "x", headers: [["a", "1"], ["a", null], ["a", "3"], ["__proto__", "p"], ["constructor", "c"], ["toString", "t"], ["__proto__", "q"]] }]));
    const headers = set!.headers(0)!;
    assert.deepEqual(headers["a"], [Buffer.from("1"), null, Buffer.from("3")]);
    assert.equal(Object.getPrototypeOf(headers), Object.prototype);
    assert.deepEqual(Object.getOwnPropertyDescriptor(headers, "__proto__")!.value, [Buffer.from("p"), Buffer.from("q")]);
    assert.deepEqual([headers["constructor"], headers["toString"]], [Buffer.from("c"), Buffer.from("t")]);
    assert.equal(({} as { p?: unknown }).p, undefined);
  });

  it("leaves out what lies below the position, also within a batch", async () => {
    const bytes = Buffer.concat([batchOf(span(0, 10)), batchOf(span(10, 20))]);
    assert.deepEqual(offsets(await decode(bytes, 17)), [17, 18, 19]);
    assert.deepEqual(offsets(await decode(bytes, 7)), [7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    assert.deepEqual(await decode(bytes, 25), { nextOffset: 25n });
  });

  it("passes the gaps that compaction leaves: in a batch, at its end, and batches without records", async () => {
    const holes = batchOf([{ offset: 3, value: "a" }, { offset: 7, value: "b" }], { base: 0, last: 9 });
    const empty = batchOf([], { base: 10, last: 19 });
    const decoded = await decode(Buffer.concat([holes, empty, batchOf(span(25, 27)), batchOf([], { base: 27, last: 29 })]));
    assert.deepEqual(offsets(decoded), [3, 7, 25, 26]);
    assert.equal(decoded.nextOffset, 30n);
    assert.equal(decoded.set!.nextOffset, 30n);
    assert.deepEqual(await decode(empty, 12), { nextOffset: 20n });
    assert.deepEqual(await decode(holes, 8), { nextOffset: 10n });
  });

  it("takes the broker's time where the topic says so, and knows offsets and times of any size", async () => {
    const bytes = batchOf(span(0, 3), { attributes: LOG_APPEND_TIME, baseTimestamp: 1000, maxTimestamp: 1_800_000_000_000 });
    assert.deepEqual([...(await decode(bytes)).set!.timestamps], [1_800_000_000_000, 1_800_000_000_000, 1_800_000_000_000]);
    const none = batchOf([{ offset: 0, timestamp: -1, value: "x" }]);
    assert.deepEqual([...(await decode(none)).set!.timestamps], [-1]);
    const far = batchOf([{ offset: 0, timestamp: 5, value: "a" }, { offset: 1, timestamp: 9_000_000_000_000, value: "b" }, { offset: 2, timestamp: -9_000_000_000_000, value: "c" }]);
    far.writeBigInt64BE(9_000_000_000_000_000_000n, 0);
    const { set, nextOffset } = await decode(far, 9_000_000_000_000_000_001n);
    assert.deepEqual([set!.offset(0), set!.offset(1), nextOffset], [9_000_000_000_000_000_001n, 9_000_000_000_000_000_002n, 9_000_000_000_000_000_003n]);
    assert.deepEqual([...set!.timestamps], [9_000_000_000_000, -9_000_000_000_000]);
  });

  it("leaves a last batch that was cut off for the next fetch, wherever the cut is", async () => {
    const first = batchOf(span(0, 3));
    const whole = Buffer.concat([first, batchOf(span(3, 6))]);
    for (let cut = first.length; cut < whole.length; cut++) {
      const decoded = await decode(whole.subarray(0, cut));
      assert.deepEqual([offsets(decoded), decoded.nextOffset, decoded.damaged, decoded.batchBytes], [[0, 1, 2], 3n, undefined, undefined], `cut at ${cut}`);
    }
    assert.deepEqual(await decode(Buffer.alloc(0), 5), { nextOffset: 5n });
    assert.deepEqual(await decode(first.subarray(0, 11), 0), { nextOffset: 0n });
    assert.deepEqual(await decode(first.subarray(0, 50), 0), { nextOffset: 0n, batchBytes: first.length });
  });

  for (const name of supportedCompressions().filter((codec) => codec !== "none")) {
    it(`${name}: decompressed batches and plain ones are one set`, async () => {
      const packed = async (from: number, to: number): Promise<Buffer> => batchOf(span(from, to), {
        attributes: codecNumber(name), body: await compress(name, Buffer.concat(span(from, to).map((record) => recordBytes(record, from, 1_700_000_000_000))), 0),
      });
      const bytes = Buffer.concat([await packed(0, 40), batchOf(span(40, 45)), await packed(45, 90)]);
      const decoded = await decode(bytes, 2);
      assert.deepEqual(values(decoded), span(2, 90).map((record) => record.value));
      assert.deepEqual(offsets(decoded), span(2, 90).map((record) => record.offset));
      assert.deepEqual(values(await decode(await packed(0, 40))), span(0, 40).map((record) => record.value));
    });
  }

  it("stops at a batch's end once enough was decompressed; what is left is fetched again", async () => {
    const text = sampleLines(1000).toString();
    const batches: Buffer[] = [];
    for (let k = 0; k < 4; k++) batches.push(batchOf([], { base: k, last: k, count: 1, attributes: codecNumber("lz4"), body: await compress("lz4", recordBytes({ offset: k, value: text }, k, 1_700_000_000_000), 0) }));
    const decoded = await decode(Buffer.concat(batches), 0, [], { maxDecodedBytes: 150_000 });
    assert.deepEqual([offsets(decoded), decoded.nextOffset], [[0, 1], 2n]);
  });
});

describe("slices of a record set", () => {
  it("share bytes and index and say where reading goes on", async () => {
    const bytes = Buffer.concat([batchOf([{ offset: 5, key: "a", value: "1", headers: [["h", "x"]] }, { offset: 8, key: "b", value: "2" }], { base: 5 }), batchOf(span(20, 23), { last: 29 })]);
    const { set } = await decode(bytes, 5);
    const middle = set!.slice(1, 3);
    assert.equal(middle.data, set!.data);
    assert.equal(middle.timestamps.buffer, set!.timestamps.buffer);
    assert.deepEqual([middle.count, middle.offset(0), middle.offset(1), middle.nextOffset], [2, 8n, 20n, 21n]);
    assert.deepEqual([middle.key(0)?.toString(), middle.value(1)?.toString()], ["b", "v20"]);
    assert.equal(set!.slice(3, 5).nextOffset, 30n);
    assert.deepEqual(set!.slice(0, 1).headers(0), { h: Buffer.from("x") });
    assert.deepEqual(middle.slice(1, 2).offset(0), 20n);
    assert.equal(set!.slice(0, 5), set);
    for (const [from, to] of [[2, 2], [-1, 2], [0, 6], [NaN, 1]] as const) assert.throws(() => set!.slice(from, to), { code: "INTERNAL" });
  });
});

describe("reading committed records only", () => {
  const data = (producerId: number, from: number, to: number): Buffer => batchOf(span(from, to), { attributes: TRANSACTIONAL, producerId });

  it("leaves out an aborted producer's batches up to its marker, and nobody else's", async () => {
    const bytes = Buffer.concat([
      data(1, 0, 2), data(2, 2, 4), marker("abort", 4, 1), data(1, 5, 7), marker("commit", 7, 2), marker("commit", 8, 1),
      batchOf(span(9, 10)), data(1, 10, 12), data(2, 12, 13), marker("abort", 13, 1), marker("commit", 14, 2),
    ]);
    const aborted = [{ producerId: 1n, firstOffset: 10n }, { producerId: 1n, firstOffset: 0n }];
    const decoded = await decode(bytes, 0, aborted);
    assert.deepEqual(offsets(decoded), [2, 3, 5, 6, 9, 12]);
    assert.equal(decoded.nextOffset, 15n);
    // Without the list everything but the markers is shown: uncommitted reading.
    assert.deepEqual(offsets(await decode(bytes)), [0, 1, 2, 3, 5, 6, 9, 10, 11, 12]);
  });

  it("an idempotent producer's batches outside of transactions are never aborted", async () => {
    const bytes = Buffer.concat([batchOf(span(0, 2), { producerId: 1 }), data(1, 2, 3), marker("abort", 3, 1)]);
    assert.deepEqual(offsets(await decode(bytes, 0, [{ producerId: 1n, firstOffset: 0n }])), [0, 1]);
  });

  it("goes on within an aborted transaction that began before the position", async () => {
    const bytes = Buffer.concat([data(1, 100, 105), marker("abort", 105, 1), data(1, 106, 107)]);
    const decoded = await decode(bytes, 102, [{ producerId: 1n, firstOffset: 40n }]);
    assert.deepEqual([offsets(decoded), decoded.nextOffset], [[106], 107n]);
  });

  it("moves on when nothing is to be shown", async () => {
    assert.deepEqual(await decode(Buffer.concat([data(1, 0, 9), marker("abort", 9, 1)]), 0, [{ producerId: 1n, firstOffset: 0n }]), { nextOffset: 10n });
    assert.deepEqual(await decode(marker("commit", 4, 7), 4), { nextOffset: 5n });
  });
});

describe("batches that cannot be read", () => {
  const good = batchOf(span(0, 3));

  it("a wrong checksum costs that batch only: what comes before is given, and where to go on", async () => {
    const bad = batchOf(span(3, 6));
    bad[bad.length - 2]! ^= 1;
    const decoded = await decode(Buffer.concat([good, bad, batchOf(span(10, 12))]));
    assert.deepEqual([offsets(decoded), decoded.nextOffset, decoded.set!.nextOffset], [[0, 1, 2], 3n, 3n]);
    const { damaged } = decoded;
    assert.deepEqual([damaged!.offset, damaged!.nextOffset, damaged!.error.code, damaged!.error.kind], [3n, 10n, "KAFKA_RECORD_DAMAGED", "bad-record"]);
    assert.match(damaged!.error.message, /^The records at offset 3 of partition 3 of topic "trades" cannot be read\. Its checksum is [0-9a-f]{8} and should be [0-9a-f]{8}\.$/);
    assert.deepEqual(damaged!.error.details, { topic: "trades", partition: 3, offset: "3", nextOffset: "10" });
    const alone = await decode(bad, 4);
    assert.deepEqual([alone.set, alone.damaged!.offset, alone.damaged!.nextOffset, alone.nextOffset], [undefined, 4n, 6n, 4n]);
  });

  it("records that contradict their batch are damaged though the checksum is right", async () => {
    const records = span(3, 6).map((record) => recordBytes(record, 3, 1_700_000_000_000));
    const body = Buffer.concat(records);
    const changed = (at: number, value: number): Buffer => {
      const copy = Buffer.from(body);
      copy[at] = value;
      return copy;
    };
    const cases: [string, Buffer, Record<string, number>][] = [
      ["a record longer than the batch", changed(0, 0x7e), {}],
      ["a length below zero", changed(0, 0x01), {}],
      ["a length of five bytes", Buffer.concat([Buffer.from([0xff, 0xff, 0xff, 0xff, 0x7f]), body]), {}],
      ["a key longer than the record", changed(4, 0x70), {}],
      ["a value longer than the record", changed(7, 0x70), {}],
      ["headers that are not there", changed(10, 0x08), {}],
      ["a record too many", body, { count: 4, last: 6 }],
      ["a record too few", body, { count: 2 }],
      ["offsets in disorder", Buffer.concat([records[1]!, records[0]!, records[2]!]), {}],
      ["an offset beyond the last", body, { last: 4, count: 2 }],
      ["two billion records", body, { count: 0x7fffffff, last: 0x7ffffffe }],
      ["a count below zero", body, { count: -1 }],
      ["a last offset below the first", body, { last: 1, count: 0 }],
    ];
    for (const [name, bytes, fields] of cases) {
      const decoded = await decode(Buffer.concat([good, batchOf(span(3, 6), { body: bytes, ...fields })]));
      assert.deepEqual([offsets(decoded), decoded.nextOffset, decoded.damaged?.offset, decoded.damaged?.error.code], [[0, 1, 2], 3n, 3n, "KAFKA_RECORD_DAMAGED"], name);
      assert.ok(decoded.damaged!.nextOffset > 3n, name);
    }
    const headers = batchOf([], { base: 0, last: 0, count: 1, body: Buffer.concat([Buffer.from([26, 0, 0, 0, 1, 1]), Buffer.from([0xfe, 0xff, 0xff, 0xff, 0x0f]), Buffer.alloc(3)]) });
    assert.match((await decode(headers)).damaged!.error.message, /does not end where it says/);
  });

  it("a compressed batch that is not what it says is damaged, an unknown codec is unsupported", async () => {
    for (const [attributes, body, code, message] of [
      [1, Buffer.from("no gzip"), "KAFKA_RECORD_DAMAGED", /gzip data cannot be read: incorrect header check/],
      [2, Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f]), "KAFKA_RECORD_DAMAGED", /snappy data cannot be read: it promises more/],
      [3, Buffer.from("no lz4 at all"), "KAFKA_RECORD_DAMAGED", /lz4 data cannot be read: this is not LZ4/],
      [4, Buffer.from("no zstd at all"), "KAFKA_RECORD_DAMAGED", /zstd data cannot be read/],
      [6, Buffer.from("?"), "KAFKA_UNSUPPORTED", /compressed with codec 6/],
      [1, await compress("gzip", Buffer.from("too few bytes"), 0), "KAFKA_RECORD_DAMAGED", /3 records and has 13 bytes/],
    ] as const) {
      const decoded = await decode(Buffer.concat([good, batchOf(span(3, 6), { attributes, body })]));
      assert.deepEqual([offsets(decoded), decoded.damaged!.offset, decoded.damaged!.nextOffset, decoded.damaged!.error.code], [[0, 1, 2], 3n, 6n, code]);
      assert.match(decoded.damaged!.error.message, message);
    }
  });

  it("message formats before v2 are unsupported, with what to do", async () => {
    const old = Buffer.alloc(60);
    old.writeInt32BE(48, 8);
    old[16] = 1;
    const { damaged } = await decode(old, 0);
    assert.equal(damaged!.error.code, "KAFKA_UNSUPPORTED");
    assert.match(damaged!.error.message, /message format v1, as producers before Kafka 0\.11 wrote it\. Write the topic anew/);
    assert.match((await decode(batchOf(span(0, 2), { magic: 9 }))).damaged!.error.message, /v9, which no Kafka up to 4\.4 has/);
  });

  it("offsets that go back, and sizes that no batch has, are damaged", async () => {
    assert.match((await decode(Buffer.concat([good, batchOf(span(2, 4))]))).damaged!.error.message, /begins at offset 2 although the batch before it ended at 2/);
    const huge = Buffer.from(good);
    huge.writeInt32BE(0x7fffffff, 8);
    assert.match((await decode(huge)).damaged!.error.message, /says that it has 2147483659 bytes/);
    const negative = Buffer.from(good);
    negative.writeInt32BE(-20, 8);
    assert.match((await decode(negative)).damaged!.error.message, /says that it has -8 bytes/);
  });

  it("no change of a byte that the checksum covers is taken for data", async () => {
    const builder = new RecordBatchBuilder();
    for (let k = 0; k < 20; k++) builder.add({ key: Buffer.from(`k${k}`), value: Buffer.from(`value ${k}`), timestamp: 1_700_000_000_000 + k, headers: [{ name: "h", value: Buffer.from("x") }] });
    const whole = Buffer.from(await builder.encode({ compression: "none" }));
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.integer({ min: 17, max: whole.length - 1 }), fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 4 }), async (flips) => {
      const bytes = Buffer.from(whole);
      for (const [at, bits] of flips) bytes[at]! ^= bits;
      if (bytes.equals(whole)) return;
      const decoded = await decode(bytes);
      assert.equal(decoded.set, undefined);
      assert.equal(decoded.damaged!.error.code, "KAFKA_RECORD_DAMAGED");
    }), { numRuns: 500 });
  });

  it("any bytes whatever end in records, damage or nothing, soon", async () => {
    const batches = Buffer.concat([batchOf(span(0, 5)), batchOf(span(5, 9), { producerId: 4, attributes: TRANSACTIONAL }), marker("abort", 9, 4), batchOf(span(10, 12), { attributes: CONTROL })]);
    const anything = fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((b) => Buffer.from(b)),
      fc.array(fc.tuple(fc.nat(batches.length - 1), fc.nat(255)), { minLength: 1, maxLength: 10 }).map((changes) => {
        const copy = Buffer.from(batches);
        for (const [at, value] of changes) copy[at] = value;
        return copy;
      }),
      // Broken records under a right checksum: what the index must withstand.
      fc.tuple(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: -1, max: 40 }), fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 7 })).map(([body, count, last, codec]) => batchOf([], { base: 0, body: Buffer.from(body), count, last, attributes: codec })),
      fc.tuple(fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 })).map(([changes]) => {
        const body = Buffer.concat([{ offset: 0, key: "a", value: "b", headers: [["h", "v"], ["n", null]] as const }, { offset: 1, value: "c" }].map((record) => recordBytes(record, 0, 1_700_000_000_000)));
        for (const [at, value] of changes) body[at % body.length] = value;
        return batchOf([], { base: 0, last: 1, count: 2, body });
      }),
    );
    await fc.assert(fc.asyncProperty(anything, fc.bigInt({ min: 0n, max: 12n }), async (bytes, position) => {
      const begun = performance.now();
      const { set, nextOffset, damaged } = await decode(bytes, position, [{ producerId: 4n, firstOffset: 5n }], { maxBatchBytes: 1 << 20 });
      assert.ok(performance.now() - begun < 1000);
      assert.ok(nextOffset >= position);
      if (damaged) assert.ok(damaged.offset >= position && damaged.nextOffset > damaged.offset);
      if (!set) return;
      assert.ok(set.count > 0 && set.nextOffset === nextOffset);
      for (let k = 0; k < set.count; k++) {
        assert.ok(set.offset(k) >= position && set.offset(k) < nextOffset);
        const start = set.valueStart[k]!, end = set.valueEnd[k]!;
        assert.ok(end <= set.data.length && start <= end);
        set.key(k);
        set.headers(k);
      }
    }), { numRuns: 2000 });
  });
});
