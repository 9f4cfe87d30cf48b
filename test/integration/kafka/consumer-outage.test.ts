import assert from "node:assert/strict";
import { createTopic, describeGroup, produce, startKafka, uniqueTopic, type RunningKafka } from "../../support/kafka";
import { Recorder, until, type RecorderOptions } from "../../support/kafka-consumer";
import { API, startProxy, type Proxy } from "../../support/proxy";

const numbered = (count: number, partitions = 1, first = 0): { value: string; partition: number }[] =>
  Array.from({ length: count }, (_, k) => ({ value: `v${first + k}`, partition: k % partitions }));

describe("kafka consumer in an outage", function () {
  this.timeout(90_000);
  const recorders: Recorder[] = [];
  const start = (brokers: string, options: RecorderOptions): Recorder => {
    const recorder = new Recorder(brokers, { sessionTimeoutMs: 30_000, ...options });
    recorders.push(recorder);
    return recorder;
  };
  const stopAll = async (): Promise<void> => { await Promise.all(recorders.splice(0).map((recorder) => recorder.consumer.stop())); };
  const complete = async (recorder: Recorder, count: number): Promise<void> => {
    const wanted = new Set(Array.from({ length: count }, (_, k) => `v${k}`));
    await until(() => {
      for (const value of recorder.values()) wanted.delete(value);
      return wanted.size === 0;
    }, () => `${wanted.size} of ${count} records are missing. ${recorder.log.join(" | ")}`, 40_000);
    assert.deepEqual(recorder.jumps, []);
  };

  describe("of the only broker", () => {
    let kafka: RunningKafka;
    let proxy: Proxy;
    before(async function () {
      this.timeout(120_000);
      proxy = await startProxy();
      kafka = await startKafka({ proxyPort: proxy.port, properties: { "group.min.session.timeout.ms": 2000 } });
      proxy.target(kafka.addresses.proxied);
    });
    afterEach(async () => {
      proxy.mode("pass");
      proxy.judge = () => "pass";
      await stopAll();
    });
    after(async () => {
      await proxy.stop();
      await kafka.stop();
    });

    it("killed and started again: it goes on where it was; the state says when it is down and when it is over", async () => {
      const topic = await createTopic(kafka.brokers, uniqueTopic("C-kill"), { partitions: 3 });
      await produce(kafka.brokers, topic, numbered(300, 3));
      const reader = start(kafka.brokers, { topics: [topic], groupId: uniqueTopic("C-group") });
      await complete(reader, 300);
      await reader.commitRead();
      await kafka.kill();
      await until(() => reader.last?.state === "down", () => reader.log.join(" | "));
      assert.match(reader.last!.error!.message, /127\.0\.0\.1/);
      await kafka.restart();
      await produce(kafka.brokers, topic, numbered(300, 3, 300));
      await complete(reader, 600);
      await until(() => reader.last?.state === "running" && reader.last.error === undefined, () => reader.log.join(" | "));
      assert.equal(reader.log.filter((line) => line.startsWith("assigned")).length, 1, "the group outlived its broker");
      assert.deepEqual(reader.lost, []);
      assert.equal(reader.records.length, 600, "nothing was read twice");
    });

    it("an outage that is longer than the session: given up, and all of it back afterwards", async () => {
      const topic = await createTopic(kafka.brokers, uniqueTopic("C-kill"), { partitions: 2 });
      await produce(kafka.brokers, topic, numbered(100, 2));
      const reader = start(proxy.address, { topics: [topic], groupId: uniqueTopic("C-group"), sessionTimeoutMs: 3000 });
      await complete(reader, 100);
      await reader.commitRead();
      proxy.mode("refuse");
      await until(() => reader.lost.length === 2, () => reader.log.join(" | "), 6000);
      assert.equal(reader.consumer.assignment.length, 0);
      await assert.rejects(reader.consumer.commit([{ topic, partition: 0, offset: 50n }]), { code: "KAFKA_NOT_ASSIGNED" });
      await produce(kafka.brokers, topic, numbered(100, 2, 100));
      proxy.mode("pass");
      await complete(reader, 200);
      assert.equal(reader.records.length, 200, "from what was committed on");
    });

    it("down at the start: waits, and reads when it is there", async () => {
      const topic = await createTopic(kafka.brokers, uniqueTopic("C-kill"));
      await produce(kafka.brokers, topic, numbered(10));
      proxy.mode("refuse");
      const reader = start(proxy.address, { topics: [topic], groupId: uniqueTopic("C-group") });
      await until(() => reader.last?.state === "down", () => reader.log.join(" | "));
      assert.equal((reader.last!.error as { code?: string }).code, "KAFKA_UNREACHABLE");
      await new Promise((resolve) => setTimeout(resolve, 1000));
      proxy.mode("pass");
      await complete(reader, 10);
    });

    it("a connection that is alive and silent is left, and the group is kept", async function () {
      const topic = await createTopic(kafka.brokers, uniqueTopic("C-kill"));
      const reader = start(proxy.address, { topics: [topic], groupId: uniqueTopic("C-group"), sessionTimeoutMs: 9000 });
      await reader.holds(1);
      await produce(kafka.brokers, topic, numbered(10));
      await complete(reader, 10);
      let lose = true;
      proxy.judge = ({ apiKey }) => (lose && apiKey === API.heartbeat ? "lose-answer" : "pass");
      await until(() => reader.last?.state === "down", () => reader.log.join(" | "), 8000);
      lose = false;
      await until(() => reader.last?.state === "running", () => reader.log.join(" | "), 8000);
      await produce(kafka.brokers, topic, numbered(10, 1, 10));
      await complete(reader, 20);
      assert.deepEqual(reader.lost, []);
      assert.equal(reader.records.length, 20);
    });

    it("connections cut at random: nothing is left out, nothing comes twice, the place is kept", async () => {
      const topic = await createTopic(kafka.brokers, uniqueTopic("C-kill"), { partitions: 3 });
      const reader = start(proxy.address, { topics: [topic], groupId: uniqueTopic("C-group") });
      await reader.holds(3);
      let seed = 11;
      let cuts = 0;
      proxy.judge = ({ apiKey }) => {
        seed = (seed * 48271) % 2147483647;
        if (apiKey !== API.fetch && apiKey !== API.heartbeat && apiKey !== API.metadata) return "pass";
        const verdict = seed % 7 === 0 ? "cut" : seed % 11 === 0 ? "half-answer" : seed % 13 === 0 ? "swallow-answer" : "pass";
        if (verdict !== "pass") cuts++;
        return verdict;
      };
      for (let step = 0; step < 15 || (cuts < 10 && step < 100); step++) {
        if (step < 15) await produce(kafka.brokers, topic, numbered(60, 3, step * 60));
        await reader.commitRead();
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      assert.ok(cuts >= 10, `${cuts} cuts`);
      await complete(reader, 900);
      assert.equal(reader.records.length, 900);
      assert.deepEqual(reader.lost, []);
    });

    it("stops within three seconds though nobody answers", async () => {
      const topic = await createTopic(kafka.brokers, uniqueTopic("C-kill"));
      const reader = start(proxy.address, { topics: [topic], groupId: uniqueTopic("C-group") });
      await reader.holds(1);
      proxy.mode("silent");
      const began = performance.now();
      await reader.consumer.stop();
      assert.ok(performance.now() - began < 3000, `${performance.now() - began} ms`);
    });

    it("leaves while the others are still joining, so that nobody waits for it", async () => {
      const topic = await createTopic(kafka.brokers, uniqueTopic("C-kill"), { partitions: 2 });
      const groupId = uniqueTopic("C-group");
      // It settles for long: the second member's join has to wait for it.
      const first = start(kafka.brokers, { topics: [topic], groupId, rebalanceTimeoutMs: 20_000, onRebalancing: () => new Promise((resolve) => { setTimeout(resolve, 4000); }) });
      await first.holds(2);
      const second = start(kafka.brokers, { topics: [topic], groupId, rebalanceTimeoutMs: 20_000 });
      await until(() => second.last?.state === "joining", () => second.log.join(" | "));
      await new Promise((resolve) => setTimeout(resolve, 500));
      await second.consumer.stop();
      // The coordinator has only the first one to wait for: it is through as soon as that one has settled.
      await until(() => first.log.filter((line) => line === "joining").length === 2 && first.last?.state === "running", () => first.log.join(" | "), 6000);
      assert.equal(first.consumer.assignment.length, 2);
      assert.equal((await describeGroup(kafka.brokers, groupId)).members, 1);
      assert.deepEqual(first.log.filter((line) => /^(revoked|lost)/.test(line)), []);
    });
  });

  describe("of one broker of two", () => {
    let kafka: RunningKafka;
    before(async function () {
      this.timeout(120_000);
      kafka = await startKafka({ nodes: 2 });
    });
    afterEach(stopAll);
    after(async () => { await kafka.stop(); });

    it("what the other one leads is read on, leaders and coordinators that move are followed, the rest waits for its broker", async () => {
      const safe = await createTopic(kafka.brokers, uniqueTopic("C-safe"), { replicaAssignment: [{ partition: 0, replicas: [2, 1] }, { partition: 1, replicas: [1, 2] }] });
      const lives = await createTopic(kafka.brokers, uniqueTopic("C-lives"), { replicaAssignment: [{ partition: 0, replicas: [1] }] });
      const dies = await createTopic(kafka.brokers, uniqueTopic("C-dies"), { replicaAssignment: [{ partition: 0, replicas: [2] }] });
      // Several groups: the coordinator of some of them is the broker that dies.
      const readers = [1, 2, 3, 4].map(() => start(kafka.brokers, { topics: [safe, lives, dies], groupId: uniqueTopic("C-group") }));
      await Promise.all(readers.map((reader) => reader.holds(4)));
      await produce(kafka.brokers, safe, numbered(40, 2));
      await produce(kafka.brokers, lives, numbered(20, 1, 40));
      await produce(kafka.brokers, dies, numbered(20, 1, 60));
      await Promise.all(readers.map((reader) => complete(reader, 80)));
      await kafka.nodes[1]!.kill();
      await produce(kafka.brokers, lives, numbered(20, 1, 80));
      await until(() => readers.every((reader) => reader.records.length === 100), () => readers.map((reader) => reader.records.length).join(), 10_000);
      await produce(kafka.brokers, safe, numbered(40, 2, 100));
      await Promise.all(readers.map((reader) => complete(reader, 140)));
      await kafka.nodes[1]!.start();
      await produce(kafka.brokers, dies, numbered(10, 1, 140));
      await Promise.all(readers.map((reader) => complete(reader, 150)));
      for (const reader of readers) {
        assert.deepEqual(reader.lost, []);
        assert.equal(reader.records.length, 150);
        await until(() => reader.last?.state === "running" && reader.last.error === undefined, () => reader.log.join(" | "));
      }
    });
  });
});
