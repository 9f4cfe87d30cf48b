import assert from "node:assert/strict";
import kafkaBroker from "../../../nodes/kafka-broker/kafka-broker";
import kafkaIn from "../../../nodes/kafka-in/kafka-in";
import { load as loadNode, useHelper, type NodeModule, type Rig } from "../../support/helper";
import { committedOffsets, createTopic, deleteTopics, produce, sharedKafka, uniqueTopic } from "../../support/kafka";

const json = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, k) => JSON.stringify({ n: from + k }));

async function until(condition: () => boolean | Promise<boolean>, what: string, ms = 20_000): Promise<void> {
  const end = Date.now() + ms;
  while (!await condition()) {
    if (Date.now() > end) throw new Error(`${what} did not come true within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("a topic that is deleted and made anew, without a table that could tell", function () {
  this.timeout(60_000);
  useHelper();
  let brokers = "";
  before(async function () { this.timeout(120_000); brokers = (await sharedKafka()).brokers; });

  async function load(topic: string, groupId: string, startingOffsets: string): Promise<Rig & { numbers: () => number[]; errors: () => string[] }> {
    const rig = await loadNode(kafkaIn as unknown as NodeModule, "kafka-in", { broker: "broker0", topics: topic, groupId, startingOffsets, maxWaitMs: 50 }, {
      configs: [{ id: "broker0", type: "kafka-broker", brokers, clientId: "test" }], modules: [kafkaBroker as unknown as NodeModule],
    });
    const numbers = (): number[] => rig.outputs[0]!.flatMap((msg) => (msg.payload as { value: { n: number } }[]).map(({ value }) => value.n));
    return { ...rig, numbers, errors: () => rig.node.error.args.map(String) };
  }

  /** The same name, another log, which is longer than the old one from its first moment on. */
  async function makeAnew(topic: string, values: readonly string[], awayMs: number): Promise<void> {
    await deleteTopics(brokers, topic);
    if (awayMs > 0) await new Promise((resolve) => setTimeout(resolve, awayMs));
    await until(async () => {
      try { await createTopic(brokers, topic); return true; } catch { return false; }
    }, "the new topic");
    await produce(brokers, topic, values);
  }

  async function prepared(startingOffsets: string): Promise<{ topic: string; group: string; rig: Awaited<ReturnType<typeof load>> }> {
    const topic = await createTopic(brokers, uniqueTopic("R1-anew")), group = uniqueTopic("R1-group");
    const rig = await load(topic, group, startingOffsets);
    await until(async () => (await committedOffsets(brokers, group, topic))[0] === 0, "it has begun");
    await produce(brokers, topic, json(0, 50));
    await until(async () => rig.numbers().length === 50 && (await committedOffsets(brokers, group, topic))[0] === 50, "the old topic is read");
    return { topic, group, rig };
  }

  for (const [starting, paused, away] of [["earliest", false, 0], ["earliest", true, 0], ["latest", false, 0], ["latest", true, 0], ["latest", false, 4000]] as const) {
    it(`while it is being read from ${starting} on${paused ? ", and paused" : ""}${away ? ", and away for a while" : ""}: an error says so, and the new one is read from its beginning`, async () => {
      const { topic, group, rig } = await prepared(starting);
      if (paused) await rig.send({ payload: "pause" });
      await makeAnew(topic, json(1000, 1100), away);
      if (paused) await rig.send({ payload: "resume" });
      await until(() => rig.numbers().length >= 150, "all of the new topic");
      assert.deepEqual(rig.numbers(), [...json(0, 50), ...json(1000, 1100)].map((text) => (JSON.parse(text) as { n: number }).n));
      assert.ok(rig.errors().some((text) => /the topic was made anew.*earliest record, 0/.test(text)), rig.errors().join("\n"));
      await until(() => rig.caught.some(({ error }) => (error as { code?: string }).code === "KAFKA_OFFSETS_LOST"), "the Catch node");
      await until(async () => (await committedOffsets(brokers, group, topic))[0] === 100, "the commit");
      await rig.node.close();
      await deleteTopics(brokers, topic);
    });
  }

  it("that stays as it is loses and doubles nothing by a long pause", async () => {
    const { topic, rig } = await prepared("latest");
    await rig.send({ payload: "pause" });
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await produce(brokers, topic, json(50, 60));
    await rig.send({ payload: "resume" });
    await until(() => rig.numbers().length >= 60, "the rest");
    assert.deepEqual([rig.numbers(), rig.errors()], [json(0, 60).map((text) => (JSON.parse(text) as { n: number }).n), []]);
    await rig.node.close();
    await deleteTopics(brokers, topic);
  });
});
