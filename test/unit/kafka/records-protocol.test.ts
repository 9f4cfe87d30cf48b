import { strict as assert } from "node:assert";
import { createRequire } from "node:module";
import { fetchRequest, fetchVersion } from "../../../lib/kafka/protocol/fetch";
import { produceRequest, produceVersion } from "../../../lib/kafka/protocol/produce";
import { batchOf, span } from "./records-support";

const load = createRequire(__filename);
type Encode = (options: Record<string, unknown>) => { encode(): Promise<{ buffer: Buffer }> };
const Encoder = load("kafkajs/src/protocol/encoder") as new () => ForeignEncoder;
interface ForeignEncoder {
  buffer: Buffer;
  writeInt8(n: number): this; writeInt16(n: number): this; writeInt32(n: number): this; writeInt64(n: number | string): this;
  writeString(s: string): this; writeBytes(b: Buffer): this; writeEncoder(e: unknown): this;
}

const partitions = [
  { topic: "trades", partition: 0, offset: 5n, maxBytes: 1000 }, { topic: "quotes", partition: 2, offset: 9_007_199_254_740_993n, maxBytes: 2000 }, { topic: "trades", partition: 7, offset: 0n, maxBytes: 1000 },
];
const options = { maxWaitMs: 500, minBytes: 1, maxBytes: 1 << 20, isolation: "committed", partitions } as const;

describe("Fetch", () => {
  for (const version of [10, 11]) {
    it(`version ${version} is the request that kafkajs makes`, async () => {
      const theirs = load(`kafkajs/src/protocol/requests/fetch/v${version}/request`) as Encode;
      const wanted = await theirs({
        replicaId: -1, maxWaitTime: 500, minBytes: 1, maxBytes: 1 << 20, isolationLevel: 1,
        topics: [
          { topic: "trades", partitions: [{ partition: 0, fetchOffset: "5", maxBytes: 1000 }, { partition: 7, fetchOffset: "0", maxBytes: 1000 }] },
          { topic: "quotes", partitions: [{ partition: 2, fetchOffset: "9007199254740993", maxBytes: 2000 }] },
        ],
      }).encode();
      const call = fetchRequest({ ...options, version });
      assert.deepEqual((await call.request.encode()).buffer, wanted.buffer);
      assert.deepEqual([call.request.apiKey, call.request.apiVersion, call.requestTimeout], [1, version, 30_500]);
    });

    it(`version ${version}: the answer is told per partition, with its bytes as they came`, async () => {
      const records = batchOf(span(0, 3));
      const partition = (number: number, code: number, bytes: Buffer | null): ForeignEncoder => {
        const out = new Encoder().writeInt32(number).writeInt16(code).writeInt64("9007199254740993").writeInt64(90).writeInt64(3)
          .writeInt32(number === 7 ? 1 : -1);
        if (number === 7) out.writeInt64(42).writeInt64(2);
        if (version >= 11) out.writeInt32(-1);
        return bytes ? out.writeBytes(bytes) : out.writeInt32(-1);
      };
      const body = new Encoder().writeInt32(17).writeInt16(0).writeInt32(0).writeInt32(2)
        .writeString("trades").writeInt32(2).writeEncoder(partition(0, 1, null)).writeEncoder(partition(7, 0, records))
        .writeString("quotes").writeInt32(1).writeEncoder(partition(2, 0, Buffer.alloc(0)));
      const call = fetchRequest({ ...options, version });
      const fetched = await call.response.parse(await call.response.decode(body.buffer));
      assert.deepEqual([fetched.clientSideThrottleTime, fetched.errorCode], [17, 0]);
      assert.deepEqual(fetched.partitions.map((p) => [p.topic, p.partition, p.errorCode, p.highWatermark, p.lastStableOffset, p.logStartOffset, p.preferredReadReplica, p.records.length]), [
        ["trades", 0, 1, 9_007_199_254_740_993n, 90n, 3n, -1, 0], ["trades", 7, 0, 9_007_199_254_740_993n, 90n, 3n, -1, records.length], ["quotes", 2, 0, 9_007_199_254_740_993n, 90n, 3n, -1, 0],
      ]);
      assert.deepEqual(fetched.partitions[1]!.abortedTransactions, [{ producerId: 42n, firstOffset: 2n }]);
      assert.deepEqual(fetched.partitions[1]!.records, records);
      assert.equal(fetched.partitions[1]!.records.buffer, body.buffer.buffer);
      // An answer that was cut off anywhere is an error, never half a truth.
      for (let cut = 0; cut < body.buffer.length; cut++) await assert.rejects(call.response.decode(body.buffer.subarray(0, cut)), { code: "KAFKA_FAILED", message: /answer to Fetch is not what the protocol says/ });
    });
  }

  it("an answer that claims a billion partitions is refused at once", async () => {
    const body = new Encoder().writeInt32(0).writeInt16(0).writeInt32(0).writeInt32(0x7fffffff).writeString("t");
    await assert.rejects(fetchRequest({ ...options, version: 11 }).response.decode(body.buffer), { code: "KAFKA_FAILED" });
  });
});

describe("Produce", () => {
  const first = batchOf(span(0, 3));
  const second = batchOf(span(0, 2), { producerId: 9 });

  it("carries encoded batches of several partitions", async () => {
    const call = produceRequest({ transactionalId: "tx-é", acks: -1, timeoutMs: 30_000, partitions: [{ topic: "a", partition: 1, batch: first }, { topic: "b", partition: 0, batch: second }, { topic: "a", partition: 2, batch: second }] });
    const wanted = new Encoder().writeString("tx-é").writeInt16(-1).writeInt32(30_000).writeInt32(2)
      .writeString("a").writeInt32(2).writeInt32(1).writeBytes(first).writeInt32(2).writeBytes(second)
      .writeString("b").writeInt32(1).writeInt32(0).writeBytes(second);
    const body = await call.request.encode();
    assert.deepEqual(body.buffer, wanted.buffer);
    assert.deepEqual([call.request.apiKey, call.request.apiVersion, call.requestTimeout, body.size()], [0, 7, 45_000, wanted.buffer.length]);
    const plain = await produceRequest({ acks: 1, timeoutMs: 1, partitions: [] }).request.encode();
    assert.deepEqual(plain.buffer, Buffer.from([0xff, 0xff, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]));
  });

  it("tells what became of each", async () => {
    const call = produceRequest({ acks: -1, timeoutMs: 1000, partitions: [] });
    const body = new Encoder().writeInt32(1).writeString("a").writeInt32(2)
      .writeInt32(1).writeInt16(0).writeInt64("9007199254740993").writeInt64(-1).writeInt64(4)
      .writeInt32(2).writeInt16(45).writeInt64(-1).writeInt64(-1).writeInt64(-1).writeInt32(250);
    const produced = await call.response.parse(await call.response.decode(body.buffer));
    assert.deepEqual(produced, {
      clientSideThrottleTime: 250,
      partitions: [
        { topic: "a", partition: 1, errorCode: 0, baseOffset: 9_007_199_254_740_993n, logAppendTime: -1, logStartOffset: 4n },
        { topic: "a", partition: 2, errorCode: 45, baseOffset: -1n, logAppendTime: -1, logStartOffset: -1n },
      ],
    });
    for (let cut = 0; cut < body.buffer.length; cut++) await assert.rejects(call.response.decode(body.buffer.subarray(0, cut)), { code: "KAFKA_FAILED" });
  });
});

describe("Produce, version 8", () => {
  it("names the records that were refused, in the broker's words", async () => {
    const call = produceRequest({ version: 8, acks: -1, timeoutMs: 1000, partitions: [] });
    assert.equal(call.request.apiVersion, 8);
    const body = new Encoder().writeInt32(1).writeString("a").writeInt32(2)
      .writeInt32(1).writeInt16(87).writeInt64(-1).writeInt64(-1).writeInt64(-1).writeInt32(2).writeInt32(3).writeString("no key").writeInt32(7).writeString(null as unknown as string).writeString("2 records are invalid")
      .writeInt32(2).writeInt16(0).writeInt64(5).writeInt64(-1).writeInt64(0).writeInt32(0).writeString(null as unknown as string).writeInt32(0);
    const { partitions } = await call.response.parse(await call.response.decode(body.buffer));
    assert.deepEqual(partitions.map(({ errorCode, refused, message }) => ({ errorCode, refused, message })), [
      { errorCode: 87, refused: [{ index: 3, message: "no key" }, { index: 7, message: "" }], message: "2 records are invalid" },
      { errorCode: 0, refused: [], message: "" },
    ]);
    for (let cut = 0; cut < body.buffer.length; cut++) await assert.rejects(call.response.decode(body.buffer.subarray(0, cut)), { code: "KAFKA_FAILED" });
  });
});

describe("which versions a broker speaks", () => {
  it("takes the newest that both know; a broker that is too old is an error that says what is needed", () => {
    assert.equal(fetchVersion({ 1: { minVersion: 4, maxVersion: 17 } }), 11);
    assert.equal(fetchVersion({ 1: { minVersion: 0, maxVersion: 10 } }), 10);
    assert.equal(produceVersion({ 0: { minVersion: 3, maxVersion: 12 } }), 8);
    assert.equal(produceVersion({ 0: { minVersion: 3, maxVersion: 7 } }), 7);
    assert.throws(() => fetchVersion({ 1: { minVersion: 0, maxVersion: 8 } }), { code: "KAFKA_UNSUPPORTED", message: /does not speak Fetch version 11 or 10 \(it speaks versions 0 to 8\)\. Use Kafka 2\.3 or later/ });
    assert.throws(() => produceVersion({ 0: { minVersion: 9, maxVersion: 12 } }), { code: "KAFKA_UNSUPPORTED" });
    assert.throws(() => produceVersion(null), { code: "KAFKA_UNSUPPORTED", message: /it speaks none/ });
  });
});
