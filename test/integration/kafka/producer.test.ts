import assert from "node:assert/strict";
import { TicklakeError } from "../../../lib/errors";
import { openKafka } from "../../../lib/kafka/client";
import { KafkaCluster } from "../../../lib/kafka/cluster";
import { IdempotentProducer } from "../../../lib/kafka/producer/producer";
import { RecordBatchBuilder } from "../../../lib/kafka/records/builder";
import type { Compression, KafkaClient, KafkaProducer, TransactionalProducer } from "../../../lib/kafka/types";
import { committedOffsets, consumeAll, createTopic, deleteRecords, deleteTopics, endOffsets, sharedKafka, startKafka, uniqueTopic, valuesOf, type RunningKafka } from "../../support/kafka";
import { API, startProxy, type Proxy, type Verdict } from "../../support/proxy";
import { randomOf } from "../../support/random";

/** What is older than a topic's retention is deleted by the broker in the middle of a test. */
const NOW = Date.now();

function batch(values: readonly string[], key: string | null = null): RecordBatchBuilder {
  const builder = new RecordBatchBuilder();
  for (const value of values) builder.addText(key, value, NOW);
  return builder;
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, k) => from + k);
/** Always as many bytes: batches of equal size are told apart by their number alone. */
const named = (k: number): string => String(k).padStart(8, "0");
/** What a reader of committed records sees. A commit is answered before its markers are in the partitions: those are waited for. */
async function committedValues(client: KafkaClient, brokers: string, topic: string): Promise<(string | null)[]> {
  for (let tries = 0; tries < 100; tries++) {
    const ends = await endOffsets(brokers, topic);
    const stable = await client.admin.end(ends.map((_, partition) => ({ topic, partition })));
    if (stable.every((offset, partition) => offset === BigInt(ends[partition]!))) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return valuesOf(brokers, topic);
}

const SEED = Number(process.env["TICKLAKE_SEED"] ?? Math.floor(Math.random() * 1e9));

describe("writing to real Kafka", function () {
  this.timeout(60_000);
  let brokers: string;
  let client: KafkaClient;
  const topics: string[] = [];
  const topic = async (options: Parameters<typeof createTopic>[2] = {}): Promise<string> => {
    const name = await createTopic(brokers, uniqueTopic("b-producer"), options);
    topics.push(name);
    return name;
  };

  before(async () => {
    ({ brokers } = await sharedKafka());
    client = openKafka({ brokers: brokers.split(","), clientId: "ticklake" });
  });
  after(async () => {
    await client.close();
    if (topics.length > 0) await deleteTopics(brokers, ...topics);
  });

  for (const compression of ["none", "gzip"] as Compression[]) {
    it(`keeps order and content over three partitions (${compression})`, async () => {
      const name = await topic({ partitions: 3 });
      const producer = client.producer({ idempotent: true, compression });
      const sent = await Promise.all(range(0, 30).map((k) => producer.send({ topic: name, partition: k % 3 }, batch(range(0, 50).map((n) => named(k * 50 + n)), "AAPL"))));
      await producer.close();
      assert.deepEqual(sent.slice(0, 6).map(({ partition, baseOffset, count }) => [partition, baseOffset, count]), [[0, 0n, 50], [1, 0n, 50], [2, 0n, 50], [0, 50n, 50], [1, 50n, 50], [2, 50n, 50]]);
      const found = await consumeAll(brokers, name);
      for (const partition of [0, 1, 2]) {
        const expected = range(0, 30).filter((k) => k % 3 === partition).flatMap((k) => range(0, 50).map((n) => named(k * 50 + n)));
        assert.deepEqual(found.filter((record) => record.partition === partition).map(({ value }) => value), expected);
      }
      assert.ok(found.every((record) => record.key === "AAPL" && record.timestamp === NOW));
    });
  }

  it("splits a batch that is too large for the topic; only a record that is too large alone is refused", async () => {
    const name = await topic({ config: { "max.message.bytes": "2000" } });
    assert.equal(await client.admin.maxMessageBytes(name), 2000);
    const producer = client.producer({ idempotent: true, compression: "none" });
    const values = [...range(0, 400).map(named), "x".repeat(3000), ...range(400, 450).map(named)];
    await assert.rejects(producer.send({ topic: name, partition: 0 }, batch(values)), (error: TicklakeError) => {
      assert.deepEqual([error.code, error.details?.["refused"], error.details?.["written"]], ["KAFKA_RECORD_TOO_LARGE", [400], 450]);
      return true;
    });
    await producer.close();
    assert.deepEqual(await valuesOf(brokers, name), range(0, 450).map(named));
  });

  it("refuses only the records that a compacted topic does not take", async () => {
    const name = await topic({ config: { "cleanup.policy": "compact" } });
    const producer = client.producer({ idempotent: true, compression: "none" });
    const builder = new RecordBatchBuilder();
    range(0, 20).forEach((k) => builder.addText(k % 7 === 3 ? null : `k${k}`, named(k), NOW));
    await assert.rejects(producer.send({ topic: name, partition: 0 }, builder), (error: TicklakeError) => {
      assert.deepEqual([error.code, error.details?.["refused"]], ["KAFKA_RECORD_REFUSED", [3, 10, 17]]);
      assert.match(error.message, /needs a key/);
      return true;
    });
    await producer.close();
    assert.deepEqual(await valuesOf(brokers, name), range(0, 20).filter((k) => k % 7 !== 3).map(named));
  });

  it("goes on numbering after retention has deleted everything that it wrote", async () => {
    const name = await topic();
    const producer = client.producer({ idempotent: true, compression: "none" });
    await producer.send({ topic: name, partition: 0 }, batch(range(0, 10).map(named)));
    await deleteRecords(brokers, name, 0, "10");
    await producer.send({ topic: name, partition: 0 }, batch(range(10, 20).map(named)));
    await producer.close();
    assert.deepEqual(await valuesOf(brokers, name), range(10, 20).map(named));
  });

  it("writes on when a topic was deleted and created again", async () => {
    const name = await topic({ partitions: 2 });
    const producer = client.producer({ idempotent: true, compression: "none" });
    for (const partition of [0, 1]) await producer.send({ topic: name, partition }, batch(["before"]));
    await deleteTopics(brokers, name);
    const waiting = [0, 1].map((partition) => producer.send({ topic: name, partition }, batch([`after ${partition}`])));
    await createTopic(brokers, name, { partitions: 2 });
    await Promise.all(waiting);
    for (const partition of [0, 1]) await producer.send({ topic: name, partition }, batch([`later ${partition}`]));
    await producer.close();
    assert.deepEqual(await valuesOf(brokers, name), ["after 0", "later 0", "after 1", "later 1"]);
  });

  it("says that a partition does not exist after having waited for it", async () => {
    const name = await topic();
    let now = 0;
    const producer = new IdempotentProducer({
      cluster: new KafkaCluster({ brokers: brokers.split(","), clientId: "ticklake" }),
      clock: { now: () => now, random: () => 1, pause: async (ms) => { now += ms; await new Promise(setImmediate); } },
    }, { idempotent: true, compression: "none" });
    await assert.rejects(producer.send({ topic: name, partition: 7 }, batch(["a"])), { code: "KAFKA_TOPIC_UNKNOWN", message: /has no partition 7/ });
    await assert.rejects(producer.send({ topic: `${name}-none`, partition: 0 }, batch(["a"])), { code: "KAFKA_TOPIC_UNKNOWN" });
    assert.ok(now >= 60_000);
    await producer.close();
    assert.equal(await client.admin.describeTopic(`${name}-none`), undefined, "asking did not create it");
  });
});

describe("transactions on real Kafka", function () {
  this.timeout(60_000);
  let brokers: string;
  let client: KafkaClient;
  let name: string;
  const open: TransactionalProducer[] = [];
  const producer = (transactionalId: string, timeoutMs?: number): TransactionalProducer => {
    const made = client.transactional({ transactionalId, compression: "none", ...(timeoutMs === undefined ? {} : { timeoutMs }) });
    open.push(made);
    return made;
  };

  before(async () => { ({ brokers } = await sharedKafka()); client = openKafka({ brokers: brokers.split(","), clientId: "ticklake" }); });
  beforeEach(async () => { name = await createTopic(brokers, uniqueTopic("b-txn"), { partitions: 2 }); });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((one) => one.close()));
    await deleteTopics(brokers, name);
  });
  after(() => client.close());

  it("show what was committed, with the group's offsets, and nothing of what was aborted", async () => {
    const writer = producer(name);
    await writer.init();
    for (let k = 0; k < 6; k++) {
      writer.begin();
      await Promise.all([0, 1].map((partition) => writer.send({ topic: name, partition }, batch([`${k}-${partition}`]))));
      await writer.sendOffsets({ groupId: name }, [{ topic: name, partition: 0, offset: BigInt(k + 1) }]);
      if (k % 3 === 1) await writer.abort();
      else await writer.commit();
      const expected = k % 3 === 1 ? BigInt(k) : BigInt(k + 1);
      assert.deepEqual(await client.admin.committed(name, [{ topic: name, partition: 0 }, { topic: name, partition: 1 }]), [expected, undefined]);
    }
    assert.deepEqual(await committedValues(client, brokers, name), ["0-0", "2-0", "3-0", "5-0", "0-1", "2-1", "3-1", "5-1"]);
    const all = await consumeAll(brokers, name, { isolation: "uncommitted" });
    assert.equal(all.length, 12, "aborted records are in the log, and only readers of uncommitted ones see them");
  });

  it("that wrote nothing end without a word to the broker", async () => {
    const writer = producer(name);
    await writer.init();
    writer.begin();
    await writer.commit();
    writer.begin();
    await writer.abort();
    writer.begin();
    await writer.send({ topic: name, partition: 0 }, batch(["a"]));
    await writer.commit();
    assert.deepEqual(await committedValues(client, brokers, name), ["a"]);
  });

  it("of a zombie are fenced: its open transaction is aborted, and it can neither write nor commit nor come back by aborting", async () => {
    const [zombie, owner] = [producer(name), producer(name)];
    await zombie.init();
    zombie.begin();
    await zombie.send({ topic: name, partition: 0 }, batch(["zombie 1"]));
    await owner.init();
    owner.begin();
    await owner.send({ topic: name, partition: 0 }, batch(["owner"]));
    await assert.rejects(zombie.commit(), { code: "KAFKA_FENCED" });
    await assert.rejects(async () => zombie.abort(), { code: "KAFKA_FENCED" });
    await assert.rejects(zombie.init(), { code: "KAFKA_FENCED" });
    await owner.commit();
    assert.deepEqual(await committedValues(client, brokers, name), ["owner"]);
  });

  it("of a zombie that still writes are refused, and aborting tells it that it was replaced", async () => {
    const [zombie, owner] = [producer(name), producer(name)];
    await zombie.init();
    zombie.begin();
    await zombie.send({ topic: name, partition: 0 }, batch(["zombie 1"]));
    await owner.init();
    await assert.rejects(zombie.send({ topic: name, partition: 0 }, batch(["zombie 2"])), (error: TicklakeError) => error.code === "KAFKA_FAILED" || error.code === "KAFKA_FENCED");
    await assert.rejects(zombie.abort(), { code: "KAFKA_FENCED" });
    assert.deepEqual(await committedValues(client, brokers, name), []);
  });

  it("commit offsets only for the generation that owns the partitions", async () => {
    const writer = producer(name);
    await writer.init();
    writer.begin();
    await writer.send({ topic: name, partition: 0 }, batch(["a"]));
    await assert.rejects(writer.sendOffsets({ groupId: name, generation: 3, memberId: "gone" }, [{ topic: name, partition: 0, offset: 1n }]), { code: "KAFKA_NOT_ASSIGNED" });
    await assert.rejects(writer.commit(), { code: "KAFKA_NOT_ASSIGNED" });
    await writer.abort();
    assert.deepEqual([await committedOffsets(brokers, name, name), await committedValues(client, brokers, name)], [[-1, -1], []]);
    writer.begin();
    await writer.send({ topic: name, partition: 0 }, batch(["b"]));
    await writer.commit();
    assert.deepEqual(await committedValues(client, brokers, name), ["b"]);
  });

  it("hold what the group has committed back from whoever asks, until they end", async () => {
    const writer = producer(name);
    await writer.init();
    writer.begin();
    await writer.sendOffsets({ groupId: name }, [{ topic: name, partition: 0, offset: 9n }]);
    const asked = client.admin.committed(name, [{ topic: name, partition: 0 }]);
    let answered = false;
    void asked.then(() => { answered = true; });
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(answered, false);
    await writer.commit();
    assert.deepEqual(await asked, [9n]);
  });

  it("go on after a record that the topic does not take", async () => {
    const small = await createTopic(brokers, uniqueTopic("b-txn"), { config: { "max.message.bytes": "1000" } });
    const writer = producer(name);
    await writer.init();
    writer.begin();
    await assert.rejects(writer.send({ topic: small, partition: 0 }, batch(["a", "x".repeat(2000), "b"])), { code: "KAFKA_RECORD_TOO_LARGE" });
    await writer.send({ topic: small, partition: 0 }, batch(["c"]));
    await writer.commit();
    assert.deepEqual(await committedValues(client, brokers, small), ["a", "b", "c"]);
    await deleteTopics(brokers, small);
  });
});

describe("writing through cuts and kills", function () {
  this.timeout(120_000);
  let kafka: RunningKafka;
  let proxy: Proxy;
  let client: KafkaClient;
  let producer: KafkaProducer | undefined;
  const retries: string[] = [];

  before(async function () {
    this.timeout(60_000);
    proxy = await startProxy();
    kafka = await startKafka({ proxyPort: proxy.port, properties: { "transaction.abort.timed.out.transaction.cleanup.interval.ms": 200 } });
    proxy.target(kafka.addresses.proxied);
    client = openKafka({ brokers: [proxy.address], clientId: "ticklake" });
    console.log(`      seed ${SEED} (TICKLAKE_SEED)`);
  });
  beforeEach(() => { retries.length = 0; proxy.mode("pass"); proxy.judge = () => "pass"; });
  afterEach(async () => { await producer?.close(); producer = undefined; });
  after(async function () {
    this.timeout(30_000);
    await client?.close();
    await proxy?.stop();
    await kafka?.stop();
  });

  it("fifty times: the connection is cut around the broker's append with five batches of equal size queued; none lost, none doubled", async () => {
    const random = randomOf(SEED);
    const verdicts: Verdict[] = ["swallow-answer", "half-answer", "cut", "cut-half"];
    const topic = await createTopic(kafka.brokers, uniqueTopic("cuts"), { partitions: 50 });
    producer = client.producer({ idempotent: true, compression: "none", retrying: (error) => retries.push((error as TicklakeError).code) });
    let appended = 0;
    for (let round = 0; round < 50; round++) {
      const first = proxy.counts.get(API.produce) ?? 0;
      const at = 1 + Math.floor(random() * 5);
      const again = random() < 0.3;
      const verdict = verdicts[round % 2 === 0 ? 0 : Math.floor(random() * 4)]!;
      if (verdict === "swallow-answer" || verdict === "half-answer") appended++;
      proxy.judge = ({ apiKey, count }) => (apiKey === API.produce && (count - first === at || (again && count - first === at + 1)) ? verdict : "pass");
      await Promise.all(range(0, 5).map((k) => producer!.send({ topic, partition: round }, batch([named(round * 5 + k)]))));
    }
    assert.ok(appended >= 25 && retries.length >= 50, `${appended} cuts behind the append, ${retries.length} repetitions`);
    const found = await consumeAll(kafka.brokers, topic);
    assert.deepEqual(found.map(({ partition, value }) => [partition, value]), range(0, 250).map((n) => [Math.floor(n / 5), named(n)]));
  });

  it("one request in eight of any kind is cut, over three partitions at once: none lost, none doubled", async () => {
    const random = randomOf(SEED + 1);
    const topic = await createTopic(kafka.brokers, uniqueTopic("storm"), { partitions: 3 });
    proxy.judge = () => (random() < 0.125 ? (["swallow-answer", "cut", "cut-half", "half-answer"] as const)[Math.floor(random() * 4)]! : "pass");
    producer = client.producer({ idempotent: true, compression: "gzip" });
    await Promise.all(range(0, 300).map((k) => producer!.send({ topic, partition: k % 3 }, batch(range(0, 4).map((n) => named(k * 4 + n))))));
    proxy.judge = () => "pass";
    const found = await consumeAll(kafka.brokers, topic);
    for (const partition of [0, 1, 2]) {
      assert.deepEqual(found.filter((record) => record.partition === partition).map(({ value }) => value), range(0, 300).filter((k) => k % 3 === partition).flatMap((k) => range(0, 4).map((n) => named(k * 4 + n))));
    }
  });

  it("transactions through the same storm: each record of a committed one once, none of an aborted one, offsets in step", async () => {
    const random = randomOf(SEED + 2);
    const topic = await createTopic(kafka.brokers, uniqueTopic("storm"), { partitions: 2 });
    proxy.judge = () => (random() < 0.1 ? (["swallow-answer", "cut", "half-answer"] as const)[Math.floor(random() * 3)]! : "pass");
    const writer = client.transactional({ transactionalId: topic, compression: "none" });
    const committed: string[] = [];
    try {
      await writer.init();
      for (let k = 0; k < 25; k++) {
        writer.begin();
        const values = [0, 1].map((partition) => range(0, 3).map((n) => `${named(k)}-${partition}-${n}`));
        await Promise.all(values.flatMap((list, partition) => list.map((value) => writer.send({ topic, partition }, batch([value])))));
        await writer.sendOffsets({ groupId: topic }, [{ topic, partition: 0, offset: BigInt(k + 1) }]);
        if (random() < 0.3) { await writer.abort(); continue; }
        await writer.commit();
        committed.push(...values.flat());
        assert.deepEqual(await committedOffsets(kafka.brokers, topic, topic), [k + 1, -1]);
      }
    } finally { await writer.close(); }
    proxy.judge = () => "pass";
    assert.deepEqual((await committedValues(client, kafka.brokers, topic)).sort(), committed.sort());
  });

  it("nothing is rejected while no broker can be reached, and all of it is written when one can", async () => {
    const topic = await createTopic(kafka.brokers, uniqueTopic("outage"));
    proxy.mode("refuse");
    let told = 0;
    let back: () => void = () => {};
    const many = new Promise<void>((resolve) => { back = resolve; });
    producer = client.producer({ idempotent: true, compression: "none", retrying: (error) => { retries.push(error.message); if (++told === 5) back(); } });
    const sends = range(0, 20).map((k) => producer!.send({ topic, partition: 0 }, batch([named(k)])));
    await many;
    proxy.mode("pass");
    await Promise.all(sends);
    assert.match(retries[0]!, new RegExp(`${proxy.address} closed the connection|nothing listens at`));
    assert.deepEqual(await valuesOf(kafka.brokers, topic), range(0, 20).map(named));
  });

  it("a transaction that lasts longer than its time-out is gone, and said; the next one works", async () => {
    const topic = await createTopic(kafka.brokers, uniqueTopic("late"));
    const first = client.transactional({ transactionalId: topic, compression: "none", timeoutMs: 500 });
    await first.init();
    first.begin();
    await first.send({ topic, partition: 0 }, batch(["late"]));
    // The log's stable end moves when the broker has aborted it.
    for (let k = 0; k < 100 && (await client.admin.end([{ topic, partition: 0 }]))[0] === 0n; k++) await new Promise((resolve) => setTimeout(resolve, 50));
    await assert.rejects(first.commit(), (error: TicklakeError) => error.code === "KAFKA_FENCED" || error.code === "KAFKA_FAILED");
    await first.close();
    const second = client.transactional({ transactionalId: topic, compression: "none" });
    await second.init();
    second.begin();
    await second.send({ topic, partition: 0 }, batch(["in time"]));
    await second.commit();
    await second.close();
    assert.deepEqual(await committedValues(client, kafka.brokers, topic), ["in time"]);
  });

  it("the broker is killed and started again in the middle, twice: none lost, none doubled, order kept", async () => {
    const topic = await createTopic(kafka.brokers, uniqueTopic("kill"), { partitions: 3 });
    producer = client.producer({ idempotent: true, compression: "none" });
    let done = 0;
    const total = 900;
    const sends = (async () => {
      for (let k = 0; k < total; k += 30) {
        await Promise.all(range(k, k + 30).map(async (n) => { await producer!.send({ topic, partition: n % 3 }, batch([named(n)])); done++; }));
        if (k < 600) await new Promise((resolve) => setTimeout(resolve, 10));
      }
    })();
    for (const mark of [200, 500]) {
      while (done < mark) await new Promise((resolve) => setTimeout(resolve, 5));
      await kafka.restart("SIGKILL");
    }
    await sends;
    const found = await consumeAll(kafka.brokers, topic);
    for (const partition of [0, 1, 2]) assert.deepEqual(found.filter((record) => record.partition === partition).map(({ value }) => value), range(0, total).filter((n) => n % 3 === partition).map(named));
    assert.deepEqual(await endOffsets(kafka.brokers, topic), [300, 300, 300]);
  });

  it("closing does not wait for a broker that is silent", async () => {
    const topic = await createTopic(kafka.brokers, uniqueTopic("silent"));
    producer = client.producer({ idempotent: true, compression: "none" });
    await producer.send({ topic, partition: 0 }, batch(["a"]));
    proxy.mode("silent");
    const waiting = producer.send({ topic, partition: 0 }, batch(["b"]));
    const rejected = assert.rejects(waiting, { code: "STOPPED" });
    await new Promise((resolve) => setTimeout(resolve, 100));
    const begun = Date.now();
    await producer.close();
    await rejected;
    assert.ok(Date.now() - begun < 1_000);
  });
});

describe("writing to three brokers", function () {
  this.timeout(120_000);
  it("follows leaders that are killed and come back, and waits while too few replicas are in sync; none lost, none doubled", async () => {
    // Dead brokers lose their partitions after two seconds instead of nine.
    const kafka = await startKafka({ nodes: 3, properties: { "broker.session.timeout.ms": 2_000, "broker.heartbeat.interval.ms": 400 } });
    const client = openKafka({ brokers: kafka.brokers.split(","), clientId: "ticklake" });
    const retries = new Set<string>();
    const producer = client.producer({ idempotent: true, compression: "none", retrying: (error) => { retries.add(String((error as TicklakeError).details?.["kafka"] ?? "connection")); } });
    try {
      const topic = uniqueTopic("three");
      await client.admin.createTopic({ name: topic, partitions: 6, replicationFactor: 3, config: { "min.insync.replicas": "2" } });
      let sent = 0;
      let stop = false;
      const writing = (async () => {
        for (; !stop; sent += 60) await Promise.all(range(sent, sent + 60).map((k) => producer.send({ topic, partition: k % 6 }, batch([named(k)]))));
      })();
      const more = async (count: number): Promise<void> => { for (const goal = sent + count; sent < goal;) await new Promise((resolve) => setTimeout(resolve, 5)); };
      // The first one is the controller, without which nobody elects leaders.
      const [, second, third] = kafka.nodes;
      await more(120);
      await second!.kill();
      await more(120);
      await third!.kill();
      const before = sent;
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      assert.ok(sent - before <= 120, "one replica of two that are wanted: nothing is acknowledged");
      await Promise.all([second!.start(), third!.start()]);
      await more(240);
      stop = true;
      await writing;
      const found = await consumeAll(kafka.brokers, topic);
      for (const partition of range(0, 6)) assert.deepEqual(found.filter((record) => record.partition === partition).map(({ value }) => value), range(0, sent).filter((k) => k % 6 === partition).map(named));
      assert.ok(retries.has("connection"), [...retries].join());
    } finally {
      await producer.close();
      await client.close();
      await kafka.stop();
    }
  });
});
