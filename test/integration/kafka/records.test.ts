import { strict as assert } from "node:assert";
import { connect, type Socket } from "node:net";
import { CompressionTypes } from "kafkajs";
import { fetchRequest } from "../../../lib/kafka/protocol/fetch";
import { produceRequest } from "../../../lib/kafka/protocol/produce";
import type { Call } from "../../../lib/kafka/protocol/wire";
import { RecordBatchBuilder } from "../../../lib/kafka/records/builder";
import { supportedCompressions } from "../../../lib/kafka/records/codecs";
import { decodeRecords, type Decoded } from "../../../lib/kafka/records/decode";
import type { Compression } from "../../../lib/kafka/types";
import { consoleConsumer, consoleProducer, consumeAll, createTopic, deleteTopics, plainClient, produce, sharedKafka, uniqueTopic } from "../../support/kafka";

const CODECS: readonly Compression[] = ["none", "gzip", "snappy", "lz4", "zstd"];

/** The protocol and nothing else: one connection, one request at a time. */
class Wire {
  private constructor(private readonly socket: Socket) {}

  static async open(address: string): Promise<Wire> {
    const [host, port] = address.split(",")[0]!.split(":") as [string, string];
    const socket = connect(Number(port), host);
    await new Promise<void>((done, fail) => socket.once("connect", done).once("error", fail));
    return new Wire(socket);
  }

  async call<T>({ request, response }: Call<T>): Promise<T> {
    const { buffer } = await request.encode();
    const head = Buffer.alloc(14);
    head.writeInt32BE(10 + buffer.length, 0);
    head.writeInt16BE(request.apiKey, 4);
    head.writeInt16BE(request.apiVersion, 6);
    head.writeInt32BE(7, 8);
    head.writeInt16BE(-1, 12);
    this.socket.write(Buffer.concat([head, buffer]));
    return response.parse(await response.decode(await this.answer()));
  }

  private answer(): Promise<Buffer> {
    return new Promise((done, fail) => {
      const chunks: Buffer[] = [];
      let length = 0;
      const data = (chunk: Buffer): void => {
        chunks.push(chunk);
        length += chunk.length;
        const whole = Buffer.concat(chunks);
        if (length < 4 || length < 4 + whole.readInt32BE(0)) return;
        this.socket.off("data", data);
        done(whole.subarray(8));
      };
      this.socket.on("data", data).once("close", () => fail(new Error("the broker closed the connection")));
    });
  }

  close(): void {
    this.socket.removeAllListeners("close");
    this.socket.destroy();
  }
}

/** What a reader sees from `position` to the end. */
interface Seen { offset: number; key: string | null; value: string | null; timestamp: number; headers: Record<string, unknown> | undefined }

describe("record batches and a real broker", () => {
  let brokers: string;
  let wire: Wire;
  const topics: string[] = [];
  const topicWith = async (config: Readonly<Record<string, string>> = {}): Promise<string> => {
    const topic = await createTopic(brokers, uniqueTopic("A-records"), { config });
    topics.push(topic);
    return topic;
  };

  before(async function () {
    this.timeout(60_000);
    ({ brokers } = await sharedKafka());
    wire = await Wire.open(brokers);
  });
  after(async () => {
    wire?.close();
    if (topics.length > 0) await deleteTopics(brokers, ...topics);
  });

  async function send(topic: string, batch: Buffer): Promise<bigint> {
    const { partitions: [produced] } = await wire.call(produceRequest({ acks: -1, timeoutMs: 10_000, partitions: [{ topic, partition: 0, batch }] }));
    assert.equal(produced!.errorCode, 0);
    return produced!.baseOffset;
  }

  async function* fetchAll(topic: string, isolation: "committed" | "uncommitted", position = 0n, maxBytes = 1 << 20): AsyncGenerator<Decoded> {
    for (let offset = position; ;) {
      const { partitions: [fetched] } = await wire.call(fetchRequest({ version: 11, maxWaitMs: 1, minBytes: 1, maxBytes, isolation, partitions: [{ topic, partition: 0, offset, maxBytes }] }));
      assert.equal(fetched!.errorCode, 0);
      if (fetched!.records.length === 0) return assert.equal(offset, isolation === "committed" ? fetched!.lastStableOffset : fetched!.highWatermark);
      const decoded = await decodeRecords(fetched!.records, { topic, partition: 0, position: offset, abortedTransactions: fetched!.abortedTransactions });
      assert.equal(decoded.damaged?.error.message, undefined);
      assert.ok(decoded.nextOffset > offset, "the fetch moved on");
      offset = decoded.nextOffset;
      yield decoded;
    }
  }

  async function readAll(topic: string, isolation: "committed" | "uncommitted" = "committed", position = 0n, maxBytes = 1 << 20): Promise<Seen[]> {
    const seen: Seen[] = [];
    for await (const { set } of fetchAll(topic, isolation, position, maxBytes)) {
      for (let k = 0; k < (set?.count ?? 0); k++) seen.push({ offset: Number(set!.offset(k)), key: set!.key(k)?.toString() ?? null, value: set!.value(k)?.toString() ?? null, timestamp: set!.timestamps[k]!, headers: set!.headers(k) });
    }
    return seen;
  }

  const trade = (k: number): string => `{"T":"t","S":"AAPL","i":${52983525029461 + k * 7919},"x":"V","p":${(100 + (k % 997) / 10).toFixed(2)},"s":${1 + (k % 300)},"t":${1730467800000 + k},"c":["@","I"],"z":"C"}`;

  for (const codec of CODECS) {
    it(`${codec}: what Kafka's console producer wrote is read, headers and long values too`, async function () {
      this.timeout(60_000);
      const topic = await topicWith();
      // One value of several blocks of every codec, in which blocks can refer to those before.
      const long = Array.from({ length: 3000 }, (_, k) => trade(k)).join("");
      const lines = [...Array.from({ length: 50 }, (_, k) => `source:java,n:${k}\tkey ${k}\t${trade(k)}`), `source:java\tlong\t${long}`, "a:1,a:2\té\tß"];
      await consoleProducer(brokers, topic, lines, { compression: codec, properties: { "batch.size": "900000", "linger.ms": "300", "max.request.size": "2000000" }, reader: { "parse.key": "true", "parse.headers": "true" } });
      const seen = await readAll(topic);
      assert.deepEqual(seen.map((one) => [one.offset, one.key, one.value]), [...Array.from({ length: 50 }, (_, k) => [k, `key ${k}`, trade(k)]), [50, "long", long], [51, "é", "ß"]]);
      assert.deepEqual(seen[3]!.headers, { source: Buffer.from("java"), n: Buffer.from("3") });
      assert.deepEqual(seen[51]!.headers, { a: [Buffer.from("1"), Buffer.from("2")] });
      assert.ok(Math.abs(seen[0]!.timestamp - Date.now()) < 60_000);
    });

    it(`${codec}: batches of thousands that the broker itself compressed are read, from any offset, in fetches of any size`, async function () {
      this.timeout(60_000);
      const topic = await topicWith({ "compression.type": codec === "none" ? "uncompressed" : codec });
      for (let base = 0; base < 9000; base += 3000) {
        const builder = new RecordBatchBuilder();
        for (let k = base; k < base + 3000; k++) builder.addText(k % 2 ? "AAPL" : null, trade(k), 1_730_467_800_000 + k);
        assert.equal(await send(topic, await builder.encode({ compression: "none" })), BigInt(base));
      }
      const all = Array.from({ length: 9000 }, (_, k) => [k, k % 2 ? "AAPL" : null, trade(k), 1_730_467_800_000 + k]);
      const plain = (seen: Seen[]): unknown[] => seen.map((one) => [one.offset, one.key, one.value, one.timestamp]);
      assert.deepEqual(plain(await readAll(topic)), all);
      // A first batch that is larger than the fetch comes whole; a second one is cut off.
      assert.deepEqual(plain(await readAll(topic, "committed", 4321n, 1000)), all.slice(4321));
    });
  }

  for (const codec of supportedCompressions()) {
    it(`${codec}: what we write is read by the broker, by kafkajs${codec === "none" || codec === "gzip" ? "" : " (once the broker unpacked it)"} and by Kafka's console consumer`, async function () {
      this.timeout(60_000);
      // Unpacked by the broker's own libraries, and kept as it came.
      const unpacked = await topicWith({ "compression.type": "uncompressed" });
      const kept = await topicWith();
      const builder = new RecordBatchBuilder();
      for (let k = 0; k < 5000; k++) builder.add({ key: Buffer.from(`k${k % 7}`), value: k % 50 === 49 ? null : Buffer.from(trade(k)), timestamp: 1_730_467_800_000 + ((k * 13) % 100), headers: k % 9 ? [] : [{ name: "n", value: Buffer.from(String(k)) }] });
      const batch = await builder.encode({ compression: codec });
      await send(unpacked, batch);
      await send(kept, batch);
      const foreign = await consumeAll(brokers, codec === "gzip" ? kept : unpacked);
      assert.equal(foreign.length, 5000);
      foreign.forEach((one, k) => {
        assert.deepEqual([one.offset, one.key, one.value, one.timestamp], [k, `k${k % 7}`, k % 50 === 49 ? null : trade(k), 1_730_467_800_000 + ((k * 13) % 100)]);
        assert.deepEqual(one.headers, k % 9 ? {} : { n: Buffer.from(String(k)) });
      });
      const lines = await consoleConsumer(brokers, kept, 5000);
      assert.deepEqual(lines, Array.from({ length: 5000 }, (_, k) => (k % 50 === 49 ? "null" : trade(k))));
      assert.deepEqual((await readAll(kept)).map((one) => one.value), foreign.map((one) => one.value));
    });
  }

  it("batches of kafkajs are read, plain and gzip", async () => {
    const topic = await topicWith();
    await produce(brokers, topic, Array.from({ length: 300 }, (_, k) => ({ key: k % 3 ? `k${k}` : null, value: k % 5 ? trade(k) : null, timestamp: String(1_730_467_800_000 - k), headers: k % 4 ? {} : { h: ["1", "2"], "": "empty name" } })));
    const producer = plainClient(brokers).producer();
    await producer.connect();
    try {
      await producer.send({ topic, compression: CompressionTypes.GZIP, messages: [{ value: "zipped" }] });
    } finally {
      await producer.disconnect();
    }
    const seen = await readAll(topic);
    const wanted = await consumeAll(brokers, topic);
    assert.deepEqual(seen.map((one) => [one.offset, one.key, one.value, one.timestamp, one.headers ?? {}]), wanted.map((one) => [one.offset, one.key, one.value, one.timestamp, one.headers]));
    assert.equal(seen.length, 301);
  });

  it("transactions: committed readers see what kafkajs and Kafka's consumer see, from every offset", async function () {
    this.timeout(60_000);
    const topic = await topicWith();
    const begin = async (name: string): Promise<{ send(...values: string[]): Promise<void>; end(how: "commit" | "abort"): Promise<void>; close(): Promise<void> }> => {
      const producer = plainClient(brokers).producer({ transactionalId: uniqueTopic(`A-${name}`), maxInFlightRequests: 1, idempotent: true });
      await producer.connect();
      let transaction: Awaited<ReturnType<typeof producer.transaction>> | undefined;
      return {
        async send(...sent) {
          transaction ??= await producer.transaction();
          await transaction.send({ topic, messages: sent.map((value) => ({ value })) });
        },
        async end(how) {
          await transaction![how]();
          transaction = undefined;
        },
        close: () => producer.disconnect(),
      };
    };
    const first = await begin("first");
    const second = await begin("second");
    try {
      await first.send("a1", "a2");
      await second.send("b1");
      await produce(brokers, topic, ["plain 1"]);
      await first.send("a3");
      await first.end("abort");
      await second.send("b2", "b3");
      await first.send("a4");
      await second.end("commit");
      await first.end("commit");
      await first.send("a5");
      await second.send("b4");
      await second.end("abort");
      await produce(brokers, topic, ["plain 2"]);
      await first.end("abort");
      const committed = ["b1", "plain 1", "b2", "b3", "a4", "plain 2"];
      const seen = await readAll(topic);
      assert.deepEqual(seen.map((one) => one.value), committed);
      assert.deepEqual(await consoleConsumer(brokers, topic, committed.length), committed);
      assert.deepEqual((await readAll(topic, "uncommitted")).map((one) => one.value), ["a1", "a2", "b1", "plain 1", "a3", "b2", "b3", "a4", "a5", "b4", "plain 2"]);
      const end = (await readAll(topic, "uncommitted")).at(-1)!.offset;
      for (let from = 0; from <= end; from++) {
        for (const maxBytes of [1, 1 << 20]) assert.deepEqual(await readAll(topic, "committed", BigInt(from), maxBytes), seen.filter((one) => one.offset >= from), `from ${from} in fetches of ${maxBytes}`);
      }
      // An open transaction holds readers back at its beginning.
      await first.send("open");
      await produce(brokers, topic, ["behind it"]);
      assert.deepEqual((await readAll(topic)).map((one) => one.value), committed);
      await first.end("commit");
      assert.deepEqual((await readAll(topic)).map((one) => one.value), [...committed, "open", "behind it"]);
    } finally {
      await first.close();
      await second.close();
    }
  });

  it("the broker's time is taken where the topic says so", async () => {
    const topic = await topicWith({ "message.timestamp.type": "LogAppendTime" });
    const builder = new RecordBatchBuilder();
    builder.addText(null, "old", 1000);
    await send(topic, await builder.encode({ compression: "lz4" }));
    const [one] = await readAll(topic);
    assert.ok(Math.abs(one!.timestamp - Date.now()) < 60_000);
  });

  it("the broker refuses a damaged batch and two records too many: what we write is checked over there", async () => {
    const topic = await topicWith();
    const builder = new RecordBatchBuilder();
    builder.addText(null, "x", 1_730_467_800_000);
    const batch = Buffer.from(await builder.encode({ compression: "none" }));
    batch[batch.length - 2]! ^= 1;
    const { partitions: [produced] } = await wire.call(produceRequest({ acks: -1, timeoutMs: 10_000, partitions: [{ topic, partition: 0, batch }] }));
    assert.deepEqual([produced!.errorCode, produced!.baseOffset], [2, -1n]);
    const { partitions } = await wire.call(produceRequest({ acks: -1, timeoutMs: 10_000, partitions: [
      { topic, partition: 0, batch: Buffer.from(await builder.encode({ compression: "none" })) }, { topic, partition: 5, batch: Buffer.from(await builder.encode({ compression: "none" })) },
    ] }));
    assert.deepEqual(partitions.map((p) => [p.partition, p.errorCode]).sort(), [[0, 0], [5, 3]]);
  });
});
