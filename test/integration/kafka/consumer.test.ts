import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { committedOffsets, createTopic, deleteRecords, deleteTopics, describeGroup, plainClient, produce, sharedKafka, uniqueTopic } from "../../support/kafka";
import { Recorder, keyOf, until, type RecorderOptions } from "../../support/kafka-consumer";

const { kafkaTool } = createRequire(__filename)("../../../scripts/kafka-server.mjs") as { kafkaTool(mainClass: string, args: readonly string[]): Promise<string> };

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

  it("a record that is written while a long poll waits arrives at once", async () => {
    const topic = await topicOf(2);
    const reader = start({ topics: [topic], groupId: uniqueTopic("C-group"), maxWaitMs: 5000, from: () => 0n });
    await reader.holds(2);
    await produce(brokers, topic, ["first"]);
    await reader.reads(1);
    const producer = plainClient(brokers).producer();
    await producer.connect();
    try {
      await producer.send({ topic, acks: -1, messages: [{ value: "warm", partition: 1 }] });
      await reader.reads(2);
      await new Promise((resolve) => setTimeout(resolve, 200));
      const sent = performance.now();
      await producer.send({ topic, acks: -1, messages: [{ value: "now", partition: 1 }] });
      await reader.reads(3);
      assert.ok(performance.now() - sent < 1000, `${performance.now() - sent} ms`);
    } finally { await producer.disconnect(); }
  });

  it("a seek is followed at once although all else waits, and a paused partition stays where it is", async () => {
    const topic = await topicOf(2);
    await produce(brokers, topic, numbered(200, 2));
    const reader = start({ topics: [topic], groupId: uniqueTopic("C-group"), maxWaitMs: 5000, from: () => 0n });
    await reader.reads(200);
    const began = performance.now();
    reader.next.delete(`${topic}/0`);
    reader.consumer.seek({ topic, partition: 0, offset: 60n });
    await reader.reads(240);
    assert.ok(performance.now() - began < 2000);
    reader.consumer.pause([{ topic, partition: 1 }]);
    await produce(brokers, topic, numbered(20, 2, 200));
    await reader.reads(250);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(reader.records.length, 250);
    reader.consumer.resume([{ topic, partition: 1 }]);
    await reader.reads(260);
    assert.deepEqual(reader.jumps, []);
  });

  it("members come and go while records are written: every record is read, what stays goes on where it was, nobody commits what is not his", async function () {
    this.timeout(90_000);
    const partitions = 6;
    const topic = await topicOf(partitions);
    const groupId = uniqueTopic("C-group");
    const options: RecorderOptions = { topics: [topic], groupId, sessionTimeoutMs: 10_000, rebalanceTimeoutMs: 10_000, onRebalancing: (self) => self.commitRead() };
    const everybody: Recorder[] = [];
    const join = (): Recorder => {
      const member = start(options);
      everybody.push(member);
      return member;
    };
    let seed = 7;
    const random = (): number => (seed = (seed * 48271) % 2147483647) / 2147483647;
    const members = [join()];
    const producer = plainClient(brokers).producer({ createPartitioner: () => ({ message }) => message.partition ?? 0 });
    await producer.connect();
    let written = 0;
    const committing = setInterval(() => { for (const member of members) void member.commitRead(); }, 200);
    const committed: number[][] = [];
    try {
      for (let step = 0; step < 14; step++) {
        for (let k = 0; k < 10; k++) {
          await producer.send({ topic, messages: numbered(60, partitions, written) });
          written += 60;
          await new Promise((resolve) => setTimeout(resolve, 15));
        }
        if (members.length < 3 && (members.length === 1 || random() < 0.6)) members.push(join());
        else {
          const [leaving] = members.splice(Math.floor(random() * members.length), 1) as [Recorder];
          if (random() < 0.7) await leaving.commitRead();
          await leaving.consumer.stop();
        }
        if (random() < 0.5) await until(() => members.reduce((sum, member) => sum + member.consumer.assignment.length, 0) === partitions, () => "all assigned", 20_000);
        committed.push(await committedOffsets(brokers, groupId, topic));
      }
      const wanted = new Set(Array.from({ length: written }, (_, k) => `v${k}`));
      await until(() => {
        for (const member of everybody) for (const { value } of member.records.slice(-2000)) wanted.delete(value);
        for (const member of everybody) if (wanted.size > 0) for (const value of member.values()) wanted.delete(value);
        return wanted.size === 0;
      }, () => `all records; ${wanted.size} are missing: ${[...wanted].slice(0, 5)}`, 20_000);
      // Who left without a commit may have been the only one to have read the last records: those who stay read them again, and commit them.
      const end = written / partitions;
      await until(async () => {
        for (const member of members) await member.commitRead();
        return (await committedOffsets(brokers, groupId, topic)).join() === Array(partitions).fill(end).join();
      }, () => `everything committed. ${members.map((member) => member.log.slice(-5).join(" | ")).join(" || ")}`, 20_000);
    } finally {
      clearInterval(committing);
      await producer.disconnect();
    }
    assert.deepEqual(everybody.flatMap((member) => member.jumps), [], "positions of partitions that stay do not jump");
    committed.push(await committedOffsets(brokers, groupId, topic));
    for (let p = 0; p < partitions; p++) {
      const line = committed.map((offsets) => offsets[p]!);
      assert.deepEqual(line, [...line].sort((a, b) => a - b), `committed offsets of partition ${p} never go back`);
      assert.equal(line.at(-1), written / partitions);
    }
  });

  it("of six partitions only those move that balance asks for", async () => {
    const topic = await topicOf(6);
    const groupId = uniqueTopic("C-group");
    const first = start({ topics: [topic], groupId });
    await first.holds(6);
    const second = start({ topics: [topic], groupId });
    await second.holds(3);
    await first.holds(3);
    const third = start({ topics: [topic], groupId });
    await third.holds(2);
    await Promise.all([first.holds(2), second.holds(2)]);
    const moves = (member: Recorder): string[] => member.log.filter((line) => /^(assigned|revoked|lost)/.test(line)).map((line) => `${line.split(" ")[0]} ${line.split(",").length}`);
    assert.deepEqual([first, second, third].map(moves), [["assigned 6", "revoked 3", "revoked 1"], ["assigned 3", "revoked 1"], ["assigned 2"]]);
  });

  it("shares its group with a plain kafkajs consumer, whoever leads, and kafka-consumer-groups can read who has what", async function () {
    this.timeout(90_000);
    const topic = await topicOf(4);
    for (const oursFirst of [true, false]) {
      const groupId = uniqueTopic("C-group");
      const foreign = plainClient(brokers).consumer({ groupId, heartbeatInterval: 300, rebalanceTimeout: 5000, sessionTimeout: 6000 });
      const theirs: number[] = [];
      const startForeign = async (): Promise<void> => {
        await foreign.connect();
        await foreign.subscribe({ topic, fromBeginning: true });
        await foreign.run({ autoCommit: false, eachMessage: async ({ partition }) => { theirs.push(partition); } });
      };
      try {
        let ours: Recorder;
        if (oursFirst) {
          ours = start({ topics: [topic], groupId });
          await ours.holds(4);
          await startForeign();
        } else {
          await startForeign();
          await until(async () => (await describeGroup(brokers, groupId)).state === "Stable", () => "stable");
          ours = start({ topics: [topic], groupId });
        }
        await ours.holds(2, 30_000);
        await until(async () => (await describeGroup(brokers, groupId)).members === 2, () => "two members");
        const [before, had] = [ours.records.length, theirs.length];
        await produce(brokers, topic, numbered(40, 4));
        await ours.reads(before + 20);
        await until(() => new Set(theirs.slice(had)).size === 2, () => `the foreign member reads ${theirs.length}`);
        if (oursFirst) {
          const text = await kafkaTool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", ["--bootstrap-server", brokers, "--describe", "--group", groupId, "--members", "--verbose"]);
          const assigned = [...text.matchAll(new RegExp(`${topic}[(:]([0-9,]+)`, "g"))].flatMap(([, list]) => list!.split(",").map(Number)).sort();
          assert.deepEqual(assigned, [0, 1, 2, 3], text);
        }
      } finally { await foreign.disconnect(); }
    }
  });

  it("shares its group with Kafka's own consumer by range", async function () {
    this.timeout(90_000);
    const topic = await topicOf(4);
    const groupId = uniqueTopic("C-group");
    const ours = start({ topics: [topic], groupId, from: () => 0n });
    await ours.holds(4);
    const java = kafkaTool("org.apache.kafka.tools.consumer.ConsoleConsumer", ["--bootstrap-server", brokers, "--topic", topic, "--group", groupId, "--max-messages", "20", "--timeout-ms", "30000", "--command-property", "auto.offset.reset=earliest"]);
    await ours.holds(2, 30_000);
    await produce(brokers, topic, numbered(40, 4));
    assert.equal((await java).trim().split("\n").length, 20);
    await ours.reads(20);
    await ours.holds(4, 30_000);
    assert.deepEqual(ours.lost, [], "nothing was lost on the way");
  });

  it("a process that stood still for longer than its session shows and commits nothing more", async function () {
    this.timeout(90_000);
    const topic = await topicOf(1);
    const groupId = uniqueTopic("C-group");
    await produce(brokers, topic, numbered(10));
    const child = spawn(process.execPath, ["--require", "tsx/cjs", join(__dirname, "../../support/consumer-child.ts"), brokers, groupId, topic, "6000"], { stdio: ["ignore", "pipe", "inherit"] });
    const lines: string[] = [];
    child.stdout.on("data", (chunk: Buffer) => lines.push(...chunk.toString().split("\n").filter(Boolean)));
    try {
      await until(() => lines.some((line) => line.startsWith("committed") && line.endsWith(" 10")), () => lines.join(" | "), 30_000);
      child.kill("SIGSTOP");
      const stopped = lines.length;
      const other = start({ topics: [topic], groupId });
      await other.holds(1, 30_000);
      await produce(brokers, topic, numbered(10, 1, 10));
      await other.reads(10);
      await other.commitRead();
      child.kill("SIGCONT");
      await until(() => lines.slice(stopped).some((line) => line.startsWith("lost")), () => lines.slice(stopped).join(" | "), 15_000);
      const after = lines.slice(stopped);
      const lost = after.findIndex((line) => line.startsWith("lost"));
      assert.equal(after.slice(0, lost).some((line) => /^(records|committed)/.test(line)), false, after.join(" | "));
      assert.deepEqual(await committedOffsets(brokers, groupId, topic), [20]);
    } finally { child.kill("SIGKILL"); }
  });

  it("a missing topic is named and waited for while others are read; new partitions are read too", async () => {
    const topic = await topicOf(1);
    const later = uniqueTopic("C-later");
    await produce(brokers, topic, ["a"]);
    const reader = start({ topics: [topic, later], groupId: uniqueTopic("C-group"), refreshMs: 500 });
    await reader.reads(1);
    await until(() => (reader.last?.error as { code?: string } | undefined)?.code === "KAFKA_TOPIC_UNKNOWN", () => reader.log.join(" | "));
    assert.match(reader.last!.error!.message, new RegExp(later));
    await createTopic(brokers, later, { partitions: 2 });
    topics.push(later);
    await produce(brokers, later, numbered(10, 2));
    await reader.reads(11);
    await until(() => reader.last?.error === undefined, () => reader.log.join(" | "));
    const admin = plainClient(brokers).admin();
    await admin.connect();
    await admin.createPartitions({ topicPartitions: [{ topic: later, count: 4 }] });
    await admin.disconnect();
    await reader.holds(5);
    await produce(brokers, later, numbered(20, 4, 10));
    await reader.reads(31);
    assert.deepEqual(reader.jumps, []);
  });

  it("deleted records are out of range, with the bounds of what is left; it goes on after a seek", async () => {
    const topic = await topicOf(1);
    await produce(brokers, topic, numbered(50));
    await deleteRecords(brokers, topic, 0, "30");
    const reader = start({ topics: [topic], groupId: uniqueTopic("C-group"), from: () => 10n });
    await until(() => reader.outOfRange.length > 0, () => reader.log.join(" | "));
    assert.deepEqual(reader.outOfRange, [{ at: { topic, partition: 0, offset: 10n }, earliest: 30n, end: 50n }]);
    assert.equal(reader.records.length, 0);
    reader.consumer.seek({ topic, partition: 0, offset: 30n });
    await reader.reads(20);
  });

  it("a topic that is deleted and made anew: told, waited for, and out of range for the old position", async () => {
    const topic = await topicOf(1);
    await produce(brokers, topic, numbered(50));
    const groupId = uniqueTopic("C-group");
    const reader = start({ topics: [topic], groupId, refreshMs: 300 });
    await reader.reads(50);
    await reader.commitRead();
    await deleteTopics(brokers, topic);
    await until(() => (reader.last?.error as { code?: string } | undefined)?.code === "KAFKA_TOPIC_UNKNOWN", () => reader.log.join(" | "));
    await createTopic(brokers, topic);
    await produce(brokers, topic, numbered(5, 1, 100));
    await until(() => reader.outOfRange.length > 0 || reader.records.length > 50, () => reader.log.join(" | "), 20_000);
    if (reader.records.length === 50) reader.consumer.seek({ topic, partition: 0, offset: reader.outOfRange[0]!.earliest });
    await reader.reads(55);
    assert.deepEqual(reader.values().slice(50), ["v100", "v101", "v102", "v103", "v104"]);
    await until(() => reader.last?.error === undefined, () => reader.log.join(" | "));
  });

  it("a record of 20 MB arrives between small ones although a fetch asks for 1 MiB", async () => {
    const topic = await topicOf(2, { "max.message.bytes": "26000000" });
    const large = Buffer.alloc(20_000_000, "x");
    await produce(brokers, topic, [...numbered(20, 2), { value: large, partition: 1 }, ...numbered(20, 2, 20)]);
    const sizes: number[] = [];
    const reader = start({ topics: [topic], groupId: uniqueTopic("C-group"), onRecords: (set) => { for (let k = 0; k < set.count; k++) sizes.push(set.value(k)!.length); } });
    await reader.reads(41, 30_000);
    assert.equal(sizes.filter((size) => size === large.length).length, 1);
    assert.deepEqual(reader.jumps, []);
  });

  it("aborted transactions are passed and told; the end is the last stable offset", async () => {
    const topic = await topicOf(1);
    const producer = plainClient(brokers).producer({ transactionalId: uniqueTopic("C-txn"), idempotent: true, maxInFlightRequests: 1 });
    await producer.connect();
    try {
      const reader = start({ topics: [topic], groupId: uniqueTopic("C-group") });
      await reader.holds(1);
      const aborted = await producer.transaction();
      await aborted.send({ topic, messages: [{ value: "never" }] });
      await aborted.abort();
      await until(() => reader.advanced.at(-1)?.offset === 2n, () => reader.log.join(" | "));
      const open = await producer.transaction();
      await open.send({ topic, messages: [{ value: "later" }] });
      await new Promise((resolve) => setTimeout(resolve, 700));
      assert.equal(reader.records.length, 0);
      assert.equal(reader.ends.get(`${topic}/0`), 2n, "an open transaction is not the end that a reader waits for");
      await open.commit();
      await reader.reads(1);
      assert.deepEqual(reader.values(), ["later"]);
    } finally { await producer.disconnect(); }
  });

  it("committed offsets of a transaction that is not finished are waited for", async () => {
    const topic = await topicOf(1);
    const groupId = uniqueTopic("C-group");
    const reader = start({ topics: [topic], groupId, from: () => 0n });
    await reader.holds(1);
    await reader.consumer.commit([{ topic, partition: 0, offset: 3n }]);
    const producer = plainClient(brokers).producer({ transactionalId: uniqueTopic("C-txn"), idempotent: true, maxInFlightRequests: 1 });
    await producer.connect();
    try {
      const open = await producer.transaction();
      await open.sendOffsets({ consumerGroupId: groupId, topics: [{ topic, partitions: [{ partition: 0, offset: "8" }] }] });
      let answer: (bigint | undefined)[] | undefined;
      const reading = reader.consumer.committed([{ topic, partition: 0 }]).then((found) => { answer = found; });
      await new Promise((resolve) => setTimeout(resolve, 500));
      assert.equal(answer, undefined, "neither 3 nor 8 is true yet");
      await open.commit();
      await reading;
      assert.deepEqual(answer, [8n]);
    } finally { await producer.disconnect(); }
  });
});
