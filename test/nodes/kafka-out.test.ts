import assert from "node:assert/strict";
import type { NodeAPI } from "node-red";
import { TicklakeError } from "../../lib/errors";
import { SharedBroker, type BrokerNode } from "../../nodes/kafka-broker/brokers";
import kafkaOut from "../../nodes/kafka-out/kafka-out";
import syntheticGen from "../../nodes/synthetic-gen/synthetic-gen";
import { load as loadNode, unload, until, useHelper, type Message, type NodeModule } from "../support/helper";
import { request } from "../support/helper-request";
import { MemoryKafka } from "../unit/kafka/sink-world";

const errorOf = (msg: Message): { message: string; code?: string } => msg.error as { message: string; code?: string };

describe("node kafka-out", () => {
  useHelper();
  let kafka: MemoryKafka;
  let closed: number;
  beforeEach(() => { kafka = new MemoryKafka(); closed = 0; });

  /** A broker whose cluster is in memory. */
  const broker = ((RED: NodeAPI) => {
    RED.nodes.registerType("kafka-broker", function (this: BrokerNode, config: never) {
      RED.nodes.createNode(this, config);
      this.broker = new SharedBroker("memory", () => ({ ...kafka.client(), close: () => { closed++; return Promise.resolve(); } }));
    } as never);
  }) as unknown as NodeModule;
  const load = (config: object = {}, options: Parameters<typeof loadNode>[3] = {}) => loadNode(kafkaOut as unknown as NodeModule, "kafka-out", { broker: "broker0", topic: "out", partitions: 1, ...config }, {
    outputs: 1, ...options, configs: [{ id: "broker0", type: "kafka-broker" }], modules: [broker, ...(options.modules ?? [])],
  });

  it("writes, tells the result with the message's other properties, and then is done", async () => {
    const { send, outputs, completed } = await load();
    await send({ _msgid: "a", payload: [{ a: 1 }, { a: 2 }], mine: "kept" });
    await until(() => completed.length === 1);
    const [{ payload, ...rest }] = outputs[0] as [Message];
    assert.deepEqual(rest, { _msgid: "a", topic: "out", mine: "kept" });
    const { ms, bytes, ...result } = payload as Record<string, unknown>;
    assert.deepEqual(result, { topic: "out", count: 2, partitions: { 0: 1 } });
    assert.ok(Number(ms) >= 0 && Number(bytes) > 0);
    assert.deepEqual(kafka.values("out"), ['{"a":1}', '{"a":2}']);
    assert.equal((completed[0]!.payload as unknown[]).length, 2, "what a Complete node sees is whole");
  });

  it("creates the topic at the deploy", async () => {
    await load({ partitions: 4 });
    await until(() => kafka.topics.get("out")?.log.length === 4);
  });

  it("takes the topic from the message, the environment or a property", async () => {
    process.env["TICKLAKE_TEST_TOPIC"] = "from-env";
    for (const [config, msg, topic] of [
      [{ topic: "" }, { topic: "from-msg" }, "from-msg"], [{ topic: "TICKLAKE_TEST_TOPIC", topicType: "env" }, {}, "from-env"],
      [{ topic: "where", topicType: "msg" }, { where: "from-where", topic: "not this" }, "from-where"], [{ topic: "where", topicType: "msg" }, { topic: "then-this" }, "then-this"],
      [{ topic: "fixed" }, { topic: "not this" }, "fixed"],
    ] as const) {
      const { send, completed } = await load(config);
      await send({ payload: "x", ...msg });
      await until(() => completed.length === 1);
      assert.deepEqual(kafka.values(topic), ["x"]);
      await unload();
    }
  });

  it("fails what cannot be written with an error that a Catch node gets, and goes on", async () => {
    const { send, caught, completed, statuses } = await load({ topic: "" });
    const circle: Record<string, unknown> = {};
    circle["self"] = circle;
    await send({ payload: "x" }, { topic: "a b", payload: "x" }, { topic: "t", payload: circle }, { topic: "t" }, { topic: "t", payload: "good" });
    await until(() => completed.length === 1 && caught.length === 4);
    assert.deepEqual(caught.map((msg) => errorOf(msg).code), ["CONFIG_INVALID", "CONFIG_INVALID", "RECORD_INVALID", "RECORD_INVALID"]);
    assert.match(errorOf(caught[0]!).message, /No topic/);
    assert.deepEqual(kafka.values("t"), ["good"]);
    await until(() => statuses().some(({ fill }) => fill === "red"), "the status");
  });

  it("shows a wrong setting and answers every message with it", async () => {
    for (const [config, message] of [
      [{ partitions: "none" }, /partitions: expected a whole number/], [{ topic: "a/b" }, /"a\/b" cannot be a topic/], [{ topic: "${TOPIC}" }, /not set/], [{ compression: "rar" }, /compression/],
      [{ send: "some" }, /send/], [{ broker: "" }, /No Kafka broker is chosen/], [{ broker: "gone" }, /missing or disabled/],
    ] as const) {
      const { statuses, caught, send } = await load(config);
      assert.equal(statuses()[0]!.fill, "red", JSON.stringify(config));
      await send({ payload: "x" });
      assert.match(errorOf(caught.at(-1)!).message, message);
      await unload();
    }
  });

  it("says that the broker is down, how much waits, and that it is over", async () => {
    let down = true;
    kafka.before = () => { if (down) throw new TicklakeError("KAFKA_UNREACHABLE", "Nobody answers at 127.0.0.1:1."); };
    const { send, completed, statuses, warnings } = await load();
    await send({ payload: ["a", "b"] });
    await until(() => statuses().some(({ fill, text }) => fill === "yellow" && /^broker down, 2 waiting, next try in \d+ s$/.test(text!)), "the status");
    assert.equal(warnings().length, 1);
    assert.match(warnings()[0]!, /Nobody answers at 127\.0\.0\.1:1\. It is tried again until it works; nothing is lost/);
    down = false;
    await until(() => completed.length === 1);
    await until(() => statuses().at(-1)!.fill === "green");
  });

  it("gives a link call a result of its own, also when nothing had to be written", async () => {
    const { send, outputs, completed } = await load();
    await send({ payload: [], _linkSource: [{ id: "1" }] }, { payload: [] }, { payload: "x", _linkSource: [{ id: "2" }] });
    await until(() => completed.length === 3);
    assert.deepEqual(outputs[0]!.map((msg) => [(msg.payload as { count: number }).count, msg["_linkSource"]]), [[0, [{ id: "1" }]], [1, [{ id: "2" }]]]);
  });

  it("warns when it would write into the topic that it reads", async () => {
    const { send, completed, warnings } = await load({ topic: "" });
    await send({ topic: "loop", payload: "x", kafka: { topic: "loop" } }, { topic: "loop", payload: "y", kafka: { topic: "loop" } });
    await until(() => completed.length === 2);
    assert.equal(warnings().filter((text) => /read from topic loop are written to it again/.test(text)).length, 1);
  });

  it("writes what a source of the package sends, results without token, and lets go of payloads", async () => {
    const { outputs } = await load({ send: "batch", batchSize: 20 }, {
      modules: [syntheticGen as unknown as NodeModule],
      nodes: [{ id: "gen", type: "synthetic-gen", symbols: "AAPL MSFT", batchSize: 50, interval: 0, batchCount: 10, seed: "1", autoStart: true, wires: [["under-test"]] }],
    });
    await until(() => outputs[0]!.length === 10);
    assert.ok(outputs[0]!.every((msg) => !("delivery" in msg) && (msg.payload as { count: number }).count === 3));
    const lengths = kafka.values("out").map((value) => (JSON.parse(value!) as unknown[]).length);
    assert.deepEqual(lengths, Array.from({ length: 10 }, () => [20, 20, 10]).flat());
  });

  it("writes the same in transactions", async () => {
    const { outputs } = await load({ transactional: true }, {
      modules: [syntheticGen as unknown as NodeModule],
      nodes: [{ id: "gen", type: "synthetic-gen", symbols: "AAPL", batchSize: 50, interval: 0, batchCount: 10, seed: "1", autoStart: true, wires: [["under-test"]] }],
    });
    await until(() => outputs[0]!.length === 10);
    assert.equal(kafka.values("out").length, 500);
    assert.ok(kafka.calls.some((call) => call.startsWith("commit ticklake-under-test")));
  });

  it("waits for acknowledgements when it is closed, and then closes the client", async () => {
    let open!: () => void;
    const away = new Promise<void>((resolve) => { open = resolve; });
    kafka.topic("out").before = (operation) => (operation === "send" ? away : undefined);
    const { send, node } = await load();
    await send({ payload: "x" });
    const closing = node.close();
    setTimeout(open, 30);
    await closing;
    assert.deepEqual(kafka.values("out"), ["x"]);
    assert.equal(closed, 1);
  });

  it("tells the dialog what this runtime can compress with", async () => {
    await load();
    const { status, body } = await request("get", "/ticklake/kafka-out/compressions");
    assert.equal(status, 200);
    assert.deepEqual((body as { compressions: string[] }).compressions.slice(0, 4), ["none", "gzip", "snappy", "lz4"]);
  });
});
