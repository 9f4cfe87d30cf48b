import assert from "node:assert/strict";
import type { NodeAPI } from "node-red";
import kafkaBroker from "../../../nodes/kafka-broker/kafka-broker";
import kafkaIn from "../../../nodes/kafka-in/kafka-in";
import { load as loadNode, settle, unload, useHelper, type Message, type NodeModule, type Rig } from "../../support/helper";
import { committedOffsets, createTopic, deleteRecords, describeGroup, plainClient, produce, sharedKafka, uniqueTopic, type Value } from "../../support/kafka";

interface KafkaRecord { key: unknown; value: unknown; headers: Record<string, unknown>; offset: number; timestamp: number }

/** A foreign node whose completion the test decides. */
type Held = { msg: Message; done: (error?: Error) => void };
const held: Held[] = [];
let decide: (held: Held) => void = ({ done }) => done();
function holder(RED: NodeAPI): void {
  RED.nodes.registerType("test-holder", function (this: never, config: never) {
    const node = this as unknown as { on(event: string, callback: (msg: Message, send: unknown, done: (error?: Error) => void) => void): void };
    RED.nodes.createNode(this, config);
    node.on("input", (msg, _send, done) => { const one = { msg, done }; held.push(one); decide(one); });
  } as never);
}

const recordsOf = (messages: readonly Message[]): KafkaRecord[] => messages.flatMap((msg) => msg.payload as KafkaRecord[]);
const json = (...numbers: number[]): string[] => numbers.map((n) => JSON.stringify({ n }));
const values = (records: readonly KafkaRecord[]): number[] => records.map(({ value }) => (value as { n: number }).n);

async function until(condition: () => boolean | Promise<boolean>, what = "the condition", ms = 15_000): Promise<void> {
  const end = Date.now() + ms;
  while (!await condition()) {
    if (Date.now() > end) throw new Error(`${what} did not come true within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("kafka-in with a real broker", function () {
  this.timeout(60_000);
  useHelper();
  let brokers = "";
  before(async function () { this.timeout(120_000); brokers = (await sharedKafka()).brokers; });
  beforeEach(() => { held.length = 0; decide = ({ done }) => done(); });

  const group = (): string => uniqueTopic("D-group");
  const topic = (partitions = 1, config: Record<string, string> = {}): Promise<string> => createTopic(brokers, uniqueTopic("D-topic"), { partitions, config });
  const put = (name: string, ...list: Value[]): Promise<void> => produce(brokers, name, list);

  async function load(config: object, options: Parameters<typeof loadNode>[3] = {}): Promise<Rig & { records: () => KafkaRecord[]; errors: () => string[] }> {
    const rig = await loadNode(kafkaIn as unknown as NodeModule, "kafka-in", { broker: "broker0", ...config }, {
      ...options, configs: [{ id: "broker0", type: "kafka-broker", brokers, clientId: "test" }], modules: [kafkaBroker as unknown as NodeModule, holder],
    });
    return { ...rig, records: () => recordsOf(rig.outputs[0]!), errors: () => rig.node.error.args.map(String) };
  }
  const toHolder = { wires: [["hold"], ["out1"]], nodes: [{ id: "hold", type: "test-holder" }] };
  const heldRecords = (): KafkaRecord[] => recordsOf(held.map(({ msg }) => msg));

  it("reads JSON from the earliest record, in order, with offset, key, headers and time, and commits what is delivered", async () => {
    const t = await topic(), g = group();
    await put(t, { value: '{"n":1}', key: "a", headers: { h: "x", many: ["1", "2"] }, timestamp: "1700000000000" }, { value: '{"n":9007199254740993}' }, null);
    const { outputs, records, node } = await load({ topics: t, groupId: g, startingOffsets: "earliest" });
    await until(() => records().length === 3, "three records");
    assert.deepEqual(records()[0], { key: "a", value: { n: 1 }, headers: { h: "x", many: ["1", "2"] }, offset: 0, timestamp: 1700000000000 });
    assert.deepEqual(records().map(({ value, offset, key }) => [value, offset, key]), [[{ n: 1 }, 0, "a"], [{ n: "9007199254740993" }, 1, null], [null, 2, null]]);
    assert.equal(outputs[0]![0]!.topic, t);
    assert.deepEqual(outputs[0]![0]!["kafka"], { groupId: g, topic: t, partition: 0, firstOffset: 0, lastOffset: 2 });
    await until(async () => (await committedOffsets(brokers, g, t))[0] === 3, "the commit");
    await node.close();
    assert.equal((await describeGroup(brokers, g)).members, 0, "it has left the group");
  });

  it("begins at the end, commits that before the first record, and goes on where it was after a restart", async () => {
    const t = await topic(), g = group();
    await put(t, ...json(1, 2));
    const first = await load({ topics: t, groupId: g });
    await until(async () => (await committedOffsets(brokers, g, t))[0] === 2, "the start position");
    assert.equal(first.records().length, 0);
    await put(t, ...json(3));
    await until(() => first.records().length === 1);
    await first.node.close();
    await put(t, ...json(4));
    const { records } = await reload(t, g);
    await until(() => records().length === 1);
    assert.deepEqual([...values(first.records()), ...values(records())], [3, 4]);
  });

  async function reload(t: string, g: string, config: object = {}) {
    await unload();
    return load({ topics: t, groupId: g, ...config });
  }

  it("begins at a time", async () => {
    const t = await topic(), g = group();
    await put(t, { value: '{"n":1}', timestamp: "1700000000000" }, { value: '{"n":2}', timestamp: "1700000060000" }, { value: '{"n":3}', timestamp: "1700000120000" });
    const { records } = await load({ topics: t, groupId: g, startingOffsets: "timestamp", startingTimestamp: "2023-11-14T22:14:00Z" });
    await until(() => records().length === 2);
    assert.deepEqual(values(records()), [2, 3]);
  });

  it("sends batches of one partition, bounded in records", async () => {
    const t = await topic(2), g = group();
    await put(t, ...Array.from({ length: 250 }, (_, n) => ({ value: JSON.stringify({ n }), partition: n % 2 })));
    const { outputs, records } = await load({ topics: t, groupId: g, startingOffsets: "earliest", maxRecords: 50 });
    await until(() => records().length === 250);
    for (const msg of outputs[0]!) {
      const list = msg.payload as KafkaRecord[], { partition, firstOffset, lastOffset } = msg["kafka"] as { partition: number; firstOffset: number; lastOffset: number };
      assert.ok(list.length <= 50);
      assert.ok(values(list).every((n) => n % 2 === partition));
      assert.deepEqual([list[0]!.offset, list.at(-1)!.offset], [firstOffset, lastOffset]);
    }
    for (const p of [0, 1]) assert.deepEqual(values(records()).filter((n) => n % 2 === p), Array.from({ length: 125 }, (_, k) => 2 * k + p), "in order");
  });

  it("sends what cannot be decoded to output 2 alone, and its neighbours to output 1", async () => {
    const t = await topic(), g = group();
    const deep = "[".repeat(200) + "]".repeat(200);
    await put(t, '{"n":1}', "{oops", Buffer.from([0xff, 0xfe]), deep, "", { value: "nope", key: "k", headers: { h: "v" } }, '{"__proto__":{"polluted":true},"n":2}', '{"n":3}');
    const { records, outputs } = await load({ topics: t, groupId: g, startingOffsets: "earliest" });
    await until(() => records().length === 3 && outputs[1]!.length === 5);
    assert.deepEqual(values(records()), [1, 2, 3]);
    assert.equal((({} as Record<string, unknown>)["polluted"]), undefined);
    const letters = outputs[1]!.map((msg) => msg as Message & { payload: KafkaRecord & { deadLetter: Record<string, unknown> }; reason: string; attempts: number });
    assert.deepEqual(letters.map(({ payload, attempts }) => [payload.offset, attempts]), [[1, 0], [2, 0], [3, 0], [4, 0], [5, 0]]);
    for (const [k, pattern] of [/not JSON/, /not UTF-8/, /100 levels/, /empty/, /not JSON/].entries()) assert.match(letters[k]!.reason, pattern);
    assert.equal(letters[0]!.payload.value, "{oops");
    assert.deepEqual(letters[1]!.payload.value, Buffer.from([0xff, 0xfe]));
    assert.deepEqual([letters[4]!.payload.key, letters[4]!.payload.headers, letters[4]!.payload.deadLetter["offset"], letters[4]!.payload.deadLetter["topic"]], ["k", { h: "v" }, 5, t]);
    await until(async () => (await committedOffsets(brokers, g, t))[0] === 8);
  });

  it("tells of undecodable records when output 2 is not wired, and goes on", async () => {
    const t = await topic(), g = group();
    await put(t, "{oops", '{"n":1}');
    const { records, errors, statuses } = await load({ topics: t, groupId: g, startingOffsets: "earliest" }, { wires: [["out0"], []] });
    await until(() => records().length === 1);
    assert.ok(errors().some((text) => text.includes(`${t}/0 offset 0 cannot be decoded`)), errors().join());
    await until(() => statuses().some(({ fill, text }) => fill === "yellow" && /1 undecodable/.test(text!)), "the status");
  });

  it("reads a failed batch again, and commits nothing beyond it until it is delivered", async () => {
    const t = await topic(), g = group();
    await put(t, ...json(1, 2, 3));
    let failures = 2;
    decide = ({ done }) => (failures-- > 0 ? done(new Error("sink is away")) : done());
    const { warnings } = await load({ topics: t, groupId: g, startingOffsets: "earliest" }, toHolder);
    await until(() => held.length === 3);
    assert.deepEqual(held.map(({ msg }) => values(msg.payload as KafkaRecord[])), [[1, 2, 3], [1, 2, 3], [1, 2, 3]]);
    await until(async () => (await committedOffsets(brokers, g, t))[0] === 3);
    assert.ok(warnings().some((text) => /failed in test-holder hold \(attempt 1\): sink is away/.test(text)), warnings().join());
  });

  it("stops after the attempts, says so, and goes on when told to resume", async () => {
    const t = await topic(), g = group();
    await put(t, ...json(1));
    decide = ({ done }) => done(new Error("sink is gone"));
    const { statuses, caught, send } = await load({ topics: t, groupId: g, startingOffsets: "earliest", onFailure: "stop", maxAttempts: 2 }, toHolder);
    await until(() => statuses().some(({ fill, text }) => fill === "red" && /^stopped/.test(text!)), "the status");
    assert.equal(held.length, 2);
    assert.ok(caught.some((msg) => /Stopped .* after 2 failed deliveries: sink is gone Send "resume"/.test((msg.error as { message: string }).message)));
    assert.equal((await committedOffsets(brokers, g, t))[0], 0);
    decide = ({ done }) => done();
    await send({ payload: "resume" });
    await until(() => held.length === 3);
    await until(async () => (await committedOffsets(brokers, g, t))[0] === 1);
  });

  it("sets aside just the records that fail, with reason, node and headers, and delivers their neighbours once", async () => {
    const t = await topic(), g = group(), bad = [0, 1, 17, 40, 99];
    await put(t, ...Array.from({ length: 103 }, (_, n) => ({ value: JSON.stringify({ n }), headers: { h: String(n) } })));
    const good: number[] = [];
    decide = ({ msg, done }) => {
      const list = values(msg.payload as KafkaRecord[]);
      if (list.some((n) => bad.includes(n))) { done(new Error("cannot take it")); return; }
      good.push(...list);
      done();
    };
    const { outputs } = await load({ topics: t, groupId: g, startingOffsets: "earliest", onFailure: "dead-letter", maxAttempts: 1 }, toHolder);
    await until(async () => (await committedOffsets(brokers, g, t))[0] === 103, "all committed", 30_000);
    const letters = outputs[1]!.map((msg) => msg as Message & { payload: KafkaRecord & { deadLetter: Record<string, unknown> }; reason: string });
    assert.deepEqual(letters.map(({ payload }) => JSON.parse(payload.value as string).n), bad);
    assert.deepEqual(good, Array.from({ length: 103 }, (_, n) => n).filter((n) => !bad.includes(n)));
    assert.deepEqual([letters[2]!.reason, letters[2]!.payload.headers, letters[2]!.payload.deadLetter["node"]], ["cannot take it", { h: "17" }, "hold"]);
  });

  it("sends nothing to the dead letters in an outage", async () => {
    const t = await topic(), g = group();
    await put(t, ...json(1, 2, 3, 4));
    decide = ({ done }) => done(new Error("sink is away"));
    const { outputs, warnings } = await load({ topics: t, groupId: g, startingOffsets: "earliest", onFailure: "dead-letter", maxAttempts: 1 }, toHolder);
    await until(() => warnings().some((text) => /looks like an outage/.test(text)), "the warning");
    decide = ({ done }) => done();
    await until(async () => (await committedOffsets(brokers, g, t))[0] === 4, "all committed");
    assert.deepEqual(outputs[1], []);
  });

  it("pauses, resumes and seeks by message, and says when there is nothing to seek in", async () => {
    const t = await topic(), g = group();
    await put(t, ...json(1, 2));
    const { records, send, statuses, completed, caught } = await load({ topics: t, groupId: g, startingOffsets: "earliest" });
    await until(() => records().length === 2);
    await send({ payload: "pause" });
    await put(t, ...json(3));
    await until(() => statuses().some(({ text }) => /^paused, lag 1/.test(text!)), "the status");
    assert.equal(records().length, 2);
    await send({ payload: "resume" });
    await until(() => records().length === 3);
    await send({ payload: { command: "seek", offset: "earliest" } });
    await until(() => records().length === 6);
    assert.deepEqual(values(records()), [1, 2, 3, 1, 2, 3]);
    await send({ command: "seek", topic: t, partition: 0, offset: 2 });
    await until(() => records().length === 7);
    assert.equal(completed.length, 4);
    await send({ payload: { command: "seek", offset: 99 } });
    await until(() => caught.length === 1);
    assert.match((caught[0]!.error as { message: string }).message, /no offset 99: it holds 0 to 2/);
    await send({ payload: { command: "seek", topic: "other", offset: 0 } });
    await until(() => caught.length === 2);
    await send({ payload: "quickly" });
    await until(() => caught.length === 3);
    assert.match((caught[2]!.error as { message: string }).message, /no control message/);
  });

  it("names the range when records were deleted before they were read, and goes on at the earliest", async () => {
    const t = await topic(), g = group();
    await put(t, ...json(1, 2, 3));
    const first = await load({ topics: t, groupId: g, startingOffsets: "earliest" });
    await until(async () => (await committedOffsets(brokers, g, t))[0] === 3);
    await first.node.close();
    await put(t, ...json(4, 5, 6));
    await deleteRecords(brokers, t, 0, "5");
    const { records, errors, caught } = await reload(t, g);
    await until(() => records().length === 1);
    assert.deepEqual(values(records()), [6]);
    assert.ok(errors().some((text) => text.includes("offsets 3 to 4 (2) are no longer retained")), errors().join());
    await until(() => caught.length === 1);
    assert.equal((caught[0]!.error as { code?: string }).code, "KAFKA_OFFSETS_LOST");
    await until(async () => (await committedOffsets(brokers, g, t))[0] === 6);
  });

  it("keeps no more than maxInFlight undelivered and names the node in the way", async () => {
    const t = await topic(), g = group();
    await put(t, ...json(...Array.from({ length: 100 }, (_, n) => n)));
    decide = () => undefined;
    const { statuses } = await load({ topics: t, groupId: g, startingOffsets: "earliest", maxRecords: 10, maxInFlight: 30 }, toHolder);
    await until(() => statuses().some(({ text }) => /at its bound, waiting for test-holder/.test(text!)), "the status");
    assert.equal(held.length, 3);
    decide = ({ done }) => done();
    for (const { done } of held.slice()) done();
    await until(() => heldRecords().length === 100);
  });

  it("waits for a topic that does not exist yet, says so, and reads it from its first record", async () => {
    const t = uniqueTopic("D-late"), g = group();
    const { statuses, records } = await load({ topics: t, groupId: g });
    await until(() => statuses().some(({ text }) => new RegExp(`waiting for topic.*${t.slice(0, 8)}`).test(text!)), "the status");
    await createTopic(brokers, t);
    await put(t, ...json(1));
    await until(() => records().length === 1, "the record", 40_000);
  });

  it("shows where the data is: per partition, with the node that holds the oldest batch", async () => {
    const t = await topic(), g = group();
    await put(t, ...json(1, 2, 3));
    decide = () => undefined;
    const { node } = await load({ topics: t, groupId: g, startingOffsets: "earliest", maxRecords: 2, maxWaitMs: 0 }, toHolder);
    await until(() => held.length === 2);
    await settle();
    const panel = await (node as unknown as { source: { panel(): Promise<Record<string, unknown>[]> } }).source.panel();
    const [p] = panel as [Record<string, unknown> & { oldest: { firstOffset: number; holders: { name: string; parked: boolean }[] } }];
    assert.deepEqual([p["topic"], p["partition"], p["committed"], p["delivered"], p["read"], p["end"], p["lag"]], [t, 0, 0, 0, 3, 3, 0]);
    assert.deepEqual([p.oldest.firstOffset, p.oldest.holders.map(({ name, parked }) => [name, parked])], [0, [["test-holder hold", false]]]);
    assert.deepEqual(p["inFlight"], { batches: 2, records: 3 });
  });

  it("shares the partitions with another member, loses none and doubles none when it leaves", async () => {
    const t = await topic(4), g = group();
    const { records } = await load({ topics: t, groupId: g, startingOffsets: "earliest" });
    const other = plainClient(brokers).consumer({ groupId: g });
    const seen: number[] = [];
    await put(t, ...Array.from({ length: 40 }, (_, n) => ({ value: JSON.stringify({ n }), partition: n % 4 })));
    await until(() => records().length === 40);
    await other.connect();
    await other.subscribe({ topic: t });
    await other.run({ eachMessage: async ({ message }) => { seen.push((JSON.parse(message.value!.toString()) as { n: number }).n); } });
    await until(async () => (await describeGroup(brokers, g)).members === 2 && (await describeGroup(brokers, g)).state === "Stable", "two members");
    await put(t, ...Array.from({ length: 40 }, (_, n) => ({ value: JSON.stringify({ n: 40 + n }), partition: n % 4 })));
    await until(() => records().length + seen.length >= 80, "all records");
    assert.ok(seen.length > 0 && records().length > 40, "both read");
    await other.disconnect();
    await put(t, ...Array.from({ length: 40 }, (_, n) => ({ value: JSON.stringify({ n: 80 + n }), partition: n % 4 })));
    await until(() => records().length + seen.length >= 120, "all records", 30_000);
    assert.deepEqual([...values(records()), ...seen].sort((a, b) => a - b), Array.from({ length: 120 }, (_, n) => n));
  });
});
