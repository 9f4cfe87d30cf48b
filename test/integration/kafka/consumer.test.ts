import assert from "node:assert/strict";
import { committedOffsets, createTopic, deleteTopics, describeGroup, produce, sharedKafka, uniqueTopic } from "../../support/kafka";
import { Recorder, keyOf, until, type RecorderOptions } from "../../support/kafka-consumer";

describe("kafka consumer on a broker", function () {
  this.timeout(60_000);
  let brokers: string;
  const recorders: Recorder[] = [];
  const topics: string[] = [];

  before(async function () {
    this.timeout(120_000);
    ({ brokers } = await sharedKafka());
  });

  afterEach(async () => {
    await Promise.all(recorders.splice(0).map((recorder) => recorder.consumer.stop()));
    if (topics.length > 0) await deleteTopics(brokers, ...topics.splice(0));
  });

  const topicOf = async (partitions = 1, config: Record<string, string> = {}): Promise<string> => {
    const topic = await createTopic(brokers, uniqueTopic("C-consumer"), { partitions, config });
    topics.push(topic);
    return topic;
  };
  const start = (options: RecorderOptions): Recorder => {
    const recorder = new Recorder(brokers, options);
    recorders.push(recorder);
    return recorder;
  };
  const numbered = (count: number, partitions = 1, first = 0): { value: string; partition: number }[] =>
    Array.from({ length: count }, (_, k) => ({ value: `v${first + k}`, partition: k % partitions }));

  it("joins, is assigned, reads, commits, leaves; the next member goes on where it committed", async () => {
    const topic = await topicOf(3);
    const groupId = uniqueTopic("C-group");
    await produce(brokers, topic, numbered(300, 3));
    const first = start({ topics: [topic], groupId });
    await first.reads(300);
    assert.equal(first.consumer.assignment.length, 3);
    assert.equal(new Set(first.values()).size, 300);
    assert.deepEqual([...first.ends.values()], [100n, 100n, 100n]);
    await first.consumer.commit([0, 1, 2].map((partition) => ({ topic, partition, offset: 90n })));
    assert.deepEqual(await committedOffsets(brokers, groupId, topic), [90, 90, 90]);
    assert.deepEqual(await first.consumer.committed([{ topic, partition: 1 }]), [90n]);
    await first.consumer.stop();
    assert.equal(first.last?.state, "stopped");
    assert.equal((await describeGroup(brokers, groupId)).members, 0);

    const second = start({ topics: [topic], groupId });
    await second.reads(30);
    assert.equal(second.records.every((record) => record.offset >= 90n), true);
    assert.equal(keyOf(second.records[0]!).startsWith(topic), true);
    await until(() => second.last?.state === "running", () => second.log.join(" | "));
  });
});
