import assert from "node:assert/strict";
import type { TicklakeError } from "../../../lib/errors";
import { RecordBatchBuilder } from "../../../lib/kafka/records/builder";
import { decodeRecords } from "../../../lib/kafka/records/decode";
import { checkedTopic, parseKafkaSinkOptions } from "../../../lib/kafka/sink/options";
import { KeyCache, Partitioner } from "../../../lib/kafka/sink/partitioner";
import { elementsOf } from "../../../lib/kafka/sink/payload";
import { setLazyPayload } from "../../../lib/trades/lazy";
import { TradeColumns, TradeDictionary } from "../../../lib/trades/columnar/columns";
import { LazyTrades } from "../../../lib/trades/columnar/lazy-trades";
import type { Trade } from "../../../lib/trades/types";

const NOW = 1_700_000_000_000;

/** What a reader of the topic gets for a message. */
async function written(message: { payload?: unknown; deadLetter?: unknown }, properties: Record<string, unknown> = {}): Promise<{ key: string | null; value: string | null; headers?: Record<string, string>; timestamp: number }[]> {
  const options = parseKafkaSinkOptions(properties, "n", ["none"]);
  const elements = elementsOf(message, options, new KeyCache());
  if (elements.count === 0) return [];
  const batch = new RecordBatchBuilder();
  for (let k = 0; k < elements.count; k++) {
    const before = batch.bytes;
    elements.write(k, batch, NOW);
    assert.ok(batch.bytes - before <= elements.mostBytes(k) + 40, `record ${k} takes more room than it said`);
  }
  const { set } = await decodeRecords(Buffer.from(await batch.encode({ compression: "none" })), { topic: "t", partition: 0, position: 0n, abortedTransactions: [] });
  return Array.from({ length: set!.count }, (_, k) => {
    const headers = set!.headers(k);
    return {
      key: set!.key(k)?.toString() ?? null, value: set!.value(k)?.toString() ?? null, timestamp: set!.timestamps[k]!,
      ...(headers ? { headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.map(String).join("|") : String(value)])) } : {}),
    };
  });
}
const values = async (payload: unknown, properties?: Record<string, unknown>): Promise<(string | null)[]> => (await written({ payload }, properties)).map((record) => record.value);
const refusal = async (payload: unknown, properties?: Record<string, unknown>): Promise<TicklakeError> => {
  try { await written({ payload }, properties); } catch (error) { return error as TicklakeError; }
  throw new Error("it was written");
};

describe("records of a message", () => {
  it("are one per element, objects as JSON", async () => {
    assert.deepEqual(await values([{ a: 1 }, { b: "é✓" }]), ['{"a":1}', '{"b":"é✓"}']);
    assert.deepEqual(await values({ a: 1 }), ['{"a":1}']);
    assert.deepEqual(await values([]), []);
    assert.deepEqual(await values([1, true, null, [1, 2]]), ["1", "true", "null", "[1,2]"]);
    assert.equal((await written({ payload: [{ a: 1 }] }))[0]!.timestamp, NOW);
  });

  it("are texts and bytes as they are", async () => {
    assert.deepEqual(await values("plain"), ["plain"]);
    assert.deepEqual(await values('{"a": 1.0}'), ['{"a": 1.0}']);
    assert.deepEqual(await values(Buffer.from([0xff, 0x00]).toString("latin1")), ["ÿ\0"]);
    assert.deepEqual(await values(["a", Buffer.from("b"), new Uint8Array([0x63])]), ["a", "b", "c"]);
    assert.deepEqual(await values("[not json"), ["[not json"]);
    assert.deepEqual(await values("x".repeat(100_000)), ["x".repeat(100_000)]);
    assert.deepEqual(await values("✓".repeat(10_000)), ["✓".repeat(10_000)]);
  });

  it("are the elements of text that is a JSON array, with every digit", async () => {
    const text = '[{"i":12345678901234567890,"p":1.50},"x", 3]';
    for (const payload of [text, Buffer.from(text), `\n ${text}`]) assert.deepEqual(await values(payload), ['{"i":12345678901234567890,"p":1.50}', '"x"', "3"]);
    assert.deepEqual((await written({ payload: '[{"S":"A"},{"S":"B"},5]' }, { key: "S" })).map((record) => record.key), ["A", "B", null]);
  });

  it("have the key that a property names, none where it is missing", async () => {
    const records = await written({ payload: [{ S: "AAPL" }, { S: null }, {}, { S: 5 }, { S: { a: 1 } }, { S: 9007199254740993n }] }, { key: "S" });
    assert.deepEqual(records.map((record) => record.key), ["AAPL", null, null, "5", '{"a":1}', "9007199254740993"]);
  });

  it("of kafka-in keep key, value, headers and time", async () => {
    const records = await written({ payload: [
      { key: "k", value: { a: 1 }, headers: { h: "x", list: ["1", Buffer.from("2")], none: null }, offset: 5, timestamp: 1234 },
      { key: null, value: null, offset: 6, timestamp: "77" },
      { key: Buffer.from("kb"), value: Buffer.from("raw"), offset: 7, timestamp: -1 },
      { key: "old", value: { S: "new" }, offset: 8 },
    ] }, { key: "S" });
    assert.deepEqual(records, [
      { key: "k", value: '{"a":1}', timestamp: 1234, headers: { h: "x", list: "1|2", none: "null" } },
      { key: null, value: null, timestamp: 77 },
      { key: "kb", value: "raw", timestamp: NOW },
      { key: "new", value: '{"S":"new"}', timestamp: NOW },
    ]);
  });

  it("that only look like those of kafka-in are data", async () => {
    for (const value of [{ value: 5 }, { value: 5, unit: "m", key: "k" }]) assert.deepEqual(await values([value]), [JSON.stringify(value)]);
  });

  it("of a dead letter say in headers where they come from and why", async () => {
    const record = { key: "k", value: "{broken", headers: { mine: "1" }, offset: 7, timestamp: 5, reason: "r", attempts: 5 };
    const deadLetter = { reason: "no JSON", topic: "iex_data", partition: 2, offset: 7, attempts: 5, node: "explode" };
    const expected = { mine: "1", "ticklake.reason": "no JSON", "ticklake.topic": "iex_data", "ticklake.partition": "2", "ticklake.offset": "7", "ticklake.attempts": "5", "ticklake.node": "explode" };
    assert.deepEqual(await written({ payload: { ...record, deadLetter } }), [{ key: "k", value: "{broken", timestamp: 5, headers: expected }]);
    assert.deepEqual(await written({ payload: record, deadLetter }), [{ key: "k", value: "{broken", timestamp: 5, headers: expected }]);
  });

  it("are the payload as one array, or arrays of so many elements", async () => {
    const batch = { send: "batch" };
    assert.deepEqual(await values([{ a: 1 }, { a: 2 }, { a: 3 }], batch), ['[{"a":1},{"a":2},{"a":3}]']);
    assert.deepEqual(await values([{ a: 1 }, { a: 2 }, { a: 3 }], { ...batch, batchSize: 2 }), ['[{"a":1},{"a":2}]', '[{"a":3}]']);
    assert.deepEqual(await values({ a: 1 }, batch), ['[{"a":1}]']);
    assert.deepEqual(await values([], batch), []);
    assert.deepEqual(await values('[{"i":12345678901234567890}]', batch), ['[{"i":12345678901234567890}]']);
    assert.deepEqual(await values("[1,2,3]", { ...batch, batchSize: "2" }), ["[1,2]", "[3]"]);
    assert.deepEqual(await values('{"a":1}', batch), ['[{"a":1}]']);
    assert.deepEqual(await values([{ key: "k", value: { a: 1 }, offset: 1, timestamp: 2 }], batch), ['[{"a":1}]']);
    assert.deepEqual(await values([{ T: "t", S: "A", i: "9007199254740993" }, { T: "t", S: "A", i: 1 }], { ...batch, key: "S" }), ['[{"T":"t","S":"A","i":9007199254740993},{"T":"t","S":"A","i":1}]']);
  });

  it("of trades that nobody has read are those of the objects, and no object is made", async () => {
    const trades: Trade[] = Array.from({ length: 50 }, (_, k) => ({
      T: "t", S: ["AAPL", "MSFT", "BRK.B"][k % 3]!, i: k === 7 ? "9007199254740993" : k * 1000, x: k % 5 === 0 ? null : "V", p: 100 + k / 100, s: k, timestamp: 1_700_000_000_000 + k, c: k % 4 === 0 ? null : ["@", "T"], z: "C",
    }));
    const columns = new TradeColumns(new TradeDictionary(), 64);
    for (const trade of trades) assert.ok(columns.push(trade));
    for (const properties of [{}, { key: "S" }, { key: "x" }, { key: "nothing" }, { send: "batch" }, { send: "batch", batchSize: 20 }]) {
      const lazy = new LazyTrades(columns, "documented");
      const unread = setLazyPayload({} as { payload?: unknown }, Object.assign(lazy, { materialise: () => { throw new Error("made objects"); } }));
      assert.deepEqual(await written(unread, properties), await written({ payload: trades }, properties), JSON.stringify(properties));
    }
    // A key that is no text of the columns takes the way over objects.
    const byId = setLazyPayload({} as { payload?: unknown }, new LazyTrades(columns, "documented"));
    assert.deepEqual(await written(byId, { key: "i" }), await written({ payload: trades }, { key: "i" }));
  });

  it("go to the partitions of their keys, however they came", () => {
    const columns = new TradeColumns(new TradeDictionary(), 8);
    const trades = ["AAPL", "MSFT", "AAPL", "GOOGL"].map((S, k): Trade => ({ T: "t", S, i: k, x: "V", p: 1, s: 1, timestamp: 1, c: null, z: "C" }));
    for (const trade of trades) columns.push(trade);
    const options = parseKafkaSinkOptions({ key: "S" }, "n", ["none"]);
    const of = (message: object) => [...elementsOf(message, options, new KeyCache()).partitions(new Partitioner(5)) as Int32Array];
    assert.deepEqual(of(setLazyPayload({}, new LazyTrades(columns, "documented"))), of({ payload: trades }));
    assert.equal(of({ payload: [{ S: "A" }, {}] })[1], -1);
  });

  it("that cannot be are refused, naming the element and what to do", async () => {
    const circle: Record<string, unknown> = {};
    circle["self"] = circle;
    const cases: [unknown, Record<string, unknown>, RegExp][] = [
      [null, {}, /null.*tombstone/], [undefined, {}, /missing/], [[{ a: 1 }, circle], {}, /^Element 1 cannot be written as JSON/], [circle, {}, /^msg\.payload cannot/],
      [[1, circle], { send: "batch" }, /^Element 1 cannot/], ["no json", { send: "batch" }, /not JSON/], [[Buffer.from("x")], { send: "batch" }, /Element 0 is bytes/],
    ];
    for (const [payload, properties, message] of cases) {
      const error = await refusal(payload, properties);
      assert.equal(error.code, "RECORD_INVALID");
      assert.match(error.message, message);
    }
  });
});

describe("options of kafka-out", () => {
  const parse = (properties: Record<string, unknown>) => parseKafkaSinkOptions(properties, "n1", ["none", "gzip"]);

  it("have the defaults of the contract", () => {
    assert.deepEqual(parse({}), {
      topic: "", send: "each", batchSize: 0, key: "", createTopic: true, partitions: 3, replicationFactor: 1, compression: "none", idempotent: true, transactional: false, transactionalIdPrefix: "ticklake-n1",
    });
    assert.equal(parse({ partitions: "12", transactional: "true", transactionalIdPrefix: " p " }).transactionalIdPrefix, "p");
  });

  it("that are wrong are named", () => {
    assert.throws(() => parse({ partitions: "0", batchSize: "x" }), /batchSize: expected a whole number.*partitions: expected a whole number/);
    assert.throws(() => parse({ compression: "zstd" }), /zstd needs Node\.js 22\.15 or later.*Choose one of none, gzip/);
  });

  it("take a topic only by a name that Kafka takes", () => {
    assert.equal(checkedTopic(" iex_data.v1-x "), "iex_data.v1-x");
    for (const [name, message] of [["", /No topic/], [undefined, /No topic/], ["a b", /cannot be a topic/], ["..", /cannot be a topic/], ["x".repeat(250), /cannot be a topic/], ["${TOPIC}", /not set/]] as const) assert.throws(() => checkedTopic(name), message);
  });
});
