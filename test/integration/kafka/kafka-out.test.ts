import assert from "node:assert/strict";
import { openKafka } from "../../../lib/kafka/client";
import type { KafkaClient } from "../../../lib/kafka/types";
import { consoleConsumer, consoleProducer, consumeAll, createTopic, deleteTopics, endOffsets, readCommitted, sharedKafka, startKafka, uniqueTopic, valuesOf } from "../../support/kafka";
import { KafkaFlow, Watch, Workplace } from "../../support/kafka-flow";
import { Process, Reader, until, type TestSink } from "../../unit/kafka/sink-world";

const numbers = (n: number): { n: number; text: string }[] => Array.from({ length: n }, (_, k) => ({ n: k, text: "x".repeat(k % 50) }));
const ordered = (values: readonly (string | null)[]): number[] => values.map((value) => (JSON.parse(value!) as { n: number }).n).sort((a, b) => a - b);
const range = (n: number): number[] => Array.from({ length: n }, (_, k) => k);
const codeOf = (error: Error | undefined): string | undefined => (error as { code?: string } | undefined)?.code;

describe("kafka-out on real Kafka", function () {
  this.timeout(60_000);
  let brokers = "";
  const topics: string[] = [];
  const clients = new Set<KafkaClient>();
  let cluster = "";
  before(async () => {
    ({ brokers } = await sharedKafka());
    const client = openKafka({ brokers: brokers.split(","), clientId: "test" });
    cluster = await client.admin.clusterId();
    await client.close();
  });
  after(async () => { if (topics.length > 0) await deleteTopics(brokers, ...topics); });
  afterEach(async () => { await Promise.all([...clients].map((client) => client.close())); clients.clear(); });

  /** Stands for a process: what it opens is closed after the test, or when it is killed. */
  const open = (address = brokers): Process<{ client(): KafkaClient }> => new Process({
    client: () => {
      const client = openKafka({ brokers: address.split(","), clientId: "test" });
      clients.add(client);
      return client;
    },
  });
  const newTopic = (): string => { const name = uniqueTopic("f-out"); topics.push(name); return name; };

  for (const compression of ["none", "gzip", "snappy", "lz4"]) {
    it(`writes what Kafka's own consumer reads (${compression})`, async () => {
      const topic = newTopic();
      const sink = open().sink("s", { partitions: 1, compression });
      const values = Array.from({ length: 500 }, (_, k) => `value ${k} ${"ä✓😀".repeat(k % 20)}`);
      for (let from = 0; from < 500; from += 100) assert.equal((await sink.send(values.slice(from, from + 100), topic)).error, undefined);
      assert.deepEqual(await consoleConsumer(brokers, topic, 500), values);
      assert.deepEqual(sink.results.map(({ count, partitions }) => [count, partitions["0"]]), [[100, 99], [100, 199], [100, 299], [100, 399], [100, 499]]);
    });
  }

  it("puts keys where Kafka's own producer puts them", async () => {
    const ours = newTopic(), theirs = newTopic();
    const keys = Array.from({ length: 60 }, (_, k) => `${"K".repeat(k % 7)}${k}é`);
    await createTopic(brokers, theirs, { partitions: 7 });
    await consoleProducer(brokers, theirs, keys.map((key) => `${key}\t${key}`), { reader: { "parse.key": "true" } });
    await open().sink("s", { partitions: 7, key: "k" }).send(keys.map((k) => ({ k })), ours);
    const places = async (topic: string): Promise<Record<string, number>> => Object.fromEntries((await consumeAll(brokers, topic)).map(({ key, partition }) => [key, partition]));
    assert.deepEqual(await places(ours), await places(theirs));
    assert.equal(Object.keys(await places(ours)).length, 60);
  });

  it("keeps key, value, headers and time of records, tombstones too", async () => {
    const topic = newTopic();
    await open().sink("s", { partitions: 1 }).send([
      { key: "k", value: { a: 1 }, headers: { h: "x" }, offset: 3, timestamp: 1_600_000_000_000 }, { key: "gone", value: null, offset: 4 },
      { key: null, value: "raw", offset: 5, deadLetter: { reason: "bad", topic: "in", partition: 1, offset: 5, attempts: 2 } },
    ], topic);
    const records = await consumeAll(brokers, topic);
    assert.deepEqual(records.map(({ key, value }) => [key, value]), [["k", '{"a":1}'], ["gone", null], [null, "raw"]]);
    assert.equal(records[0]!.timestamp, 1_600_000_000_000);
    const headers = (k: number): Record<string, string> => Object.fromEntries(Object.entries(records[k]!.headers).map(([name, value]) => [name, String(value)]));
    assert.deepEqual(headers(0), { h: "x" });
    assert.deepEqual(headers(2), { "ticklake.reason": "bad", "ticklake.topic": "in", "ticklake.partition": "1", "ticklake.offset": "5", "ticklake.attempts": "2" });
  });

  it("creates a topic once, whoever is first, and leaves one with other settings as it is", async () => {
    const topic = newTopic();
    const sinks = Array.from({ length: 4 }, (_, k) => open().sink(`s${k}`, { partitions: 5 }));
    const ended = await Promise.all(sinks.map((sink) => sink.send("x", topic)));
    assert.deepEqual(ended.map(({ error }) => error), [undefined, undefined, undefined, undefined]);
    assert.equal((await endOffsets(brokers, topic)).length, 5);
    const other = open().sink("other", { partitions: 2 });
    await other.send("y", topic);
    assert.match(other.warnings[0]!, /was there already, with 5 partitions and replication factor 1, not 2 partitions/);
    assert.equal((await endOffsets(brokers, topic)).length, 5);
    const refusing = open().sink("refusing", { createTopic: false });
    assert.equal(codeOf((await refusing.send("x", uniqueTopic("f-out-missing"))).error), "KAFKA_TOPIC_UNKNOWN");
  });

  it("refuses an element beyond the topic's limit before anything of its message is sent", async () => {
    const topic = newTopic();
    await createTopic(brokers, topic, { config: { "max.message.bytes": "10000" } });
    const sink = open().sink("s", { partitions: 1 });
    const all = await Promise.all([sink.send(["a", "b"], topic), sink.send(["c", "x".repeat(12_000), "d"], topic), sink.send("y".repeat(9_900), topic), sink.send(["e"], topic)]);
    assert.deepEqual(all.map(({ error }) => codeOf(error)), [undefined, "KAFKA_RECORD_TOO_LARGE", undefined, undefined]);
    assert.deepEqual((await valuesOf(brokers, topic)).map((value) => value!.slice(0, 1)), ["a", "b", "y", "e"]);
    // The limit is that of what goes out: compressed.
    assert.equal((await open().sink("z", { partitions: 1, compression: "gzip" }).send("z".repeat(100_000), topic)).error, undefined);
  });

  it("fails only the message that the broker refuses", async () => {
    const topic = newTopic();
    // A compacted topic takes no record without a key.
    await createTopic(brokers, topic, { config: { "cleanup.policy": "compact" } });
    const sink = open().sink("s", { partitions: 1 });
    await sink.send({ key: "w", value: "warm" }, topic);
    const all = await Promise.all([{ key: "a", value: "1" }, "no key", [{ key: "b", value: "2" }, { key: "c", value: "3" }]].map((payload) => sink.send(payload, topic)));
    assert.deepEqual(all.map(({ error }) => codeOf(error)), [undefined, "KAFKA_RECORD_REFUSED", undefined]);
    assert.deepEqual((await consumeAll(brokers, topic)).map(({ key }) => key), ["w", "a", "b", "c"]);
  });

  it("waits through a broker that is killed, loses nothing and doubles nothing", async () => {
    const kafka = await startKafka();
    try {
      const topic = uniqueTopic("f-out");
      const sink = open(kafka.brokers).sink("s", { partitions: 3 });
      await sink.send({ n: 0, text: "" }, topic);
      const ended: Promise<{ error?: Error | undefined }>[] = [];
      let n = 1;
      const feed = setInterval(() => { for (let k = 0; k < 20 && sink.sink.waiting < 5000; k++) ended.push(sink.send({ n: n++, text: "same length" }, topic)); }, 5);
      await until(() => sink.results.length > 200, "the first acknowledgements", 10_000);
      await kafka.kill("SIGKILL");
      await until(() => sink.retries.length > 0, "the outage to show", 20_000);
      const before = sink.results.length;
      await kafka.restart();
      await until(() => sink.results.length > before + 200, "acknowledgements after the outage", 40_000);
      clearInterval(feed);
      assert.deepEqual((await Promise.all(ended)).filter(({ error }) => error), []);
      assert.deepEqual(ordered(await valuesOf(kafka.brokers, topic)), range(n));
      await sink.sink.close(5000);
    } finally { await kafka.stop(); }
  });

  describe("in transactions", () => {
    /** A process that reads `values` of a log and writes them in transactions. */
    function reading(input: { topic: string; group: string }, n: number, out: string, properties: object = {}): { process: Process<{ client(): KafkaClient }>; sink: TestSink; reader: Reader; client: KafkaClient; kill(): Promise<void> } {
      const process = open();
      const client = process.kafka.client();
      const sink = process.sink("s", { transactional: true, partitions: 3, transactionalIdPrefix: `p-${input.group}`, ...properties });
      const reader = new Reader(process, { ...input, cluster, partition: 0, values: numbers(n), batch: 17 }, (message) => sink.receive(message, out), [sink.node]);
      return { process, sink, reader, client, kill: async () => { process.dead = true; reader.stop(); await sink.sink.close(0); } };
    }
    const committed = async (client: KafkaClient, input: { topic: string; group: string }): Promise<number> => Number((await client.admin.committed(input.group, [{ topic: input.topic, partition: 0 }]))[0] ?? 0n);

    it("writes each record exactly once, killed and taken over again and again, zombies included", async () => {
      const input = { topic: newTopic(), group: uniqueTopic("f-group") }, out = newTopic();
      await createTopic(brokers, input.topic);
      const n = 4000;
      let state = 20_241_101;
      const random = (): number => { state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0; return state / 2 ** 32; };
      let alive = reading(input, n, out);
      alive.reader.startAt(0);
      const zombies: ReturnType<typeof reading>[] = [];
      for (let kill = 0; kill < 6; kill++) {
        await new Promise((resolve) => setTimeout(resolve, 30 + random() * 150));
        const stale = await committed(alive.client, input);
        const former = alive;
        if (kill % 2 === 0) await former.kill();
        else zombies.push(former);
        alive = reading(input, n, out);
        alive.reader.startAt(random() < 0.5 ? stale : await committed(alive.client, input));
        // The other learns late that the partition is not his any more.
        for (const zombie of zombies.splice(0)) { await new Promise((resolve) => setTimeout(resolve, random() * 50)); await zombie.kill(); }
      }
      let last = 0;
      const watch = setInterval(() => { void committed(alive.client, input).then((at) => { last = at; }); }, 50);
      await until(() => last === n, "the end of the log", 30_000);
      clearInterval(watch);
      const found: string[] = [];
      await readCommitted(brokers, out, ({ value }) => { found.push(value); });
      assert.deepEqual(ordered(found), range(n));
      await alive.kill();
    });

    it("shuts the former owner out, whose transaction is not seen", async () => {
      const input = { topic: newTopic(), group: uniqueTopic("f-group") }, out = newTopic();
      await createTopic(brokers, input.topic);
      const zombie = reading(input, 50, out);
      zombie.reader.startAt(0);
      await until(() => zombie.reader.delivered.length === 3, "the first batches", 15_000);
      assert.equal(await committed(zombie.client, input), 50);
      const owner = reading(input, 100, out);
      owner.reader.startAt(0);
      await until(() => owner.reader.delivered.length >= 6, "the owner's batches", 15_000);
      // The zombie has not heard that the partition is somebody else's, and goes on in its epoch.
      zombie.reader.repeats = false;
      zombie.reader.more(numbers(100).slice(50));
      await until(() => zombie.reader.failed.length > 0, "the end of the zombie", 15_000);
      assert.equal(codeOf(zombie.reader.failed[0]!.error), "KAFKA_FENCED");
      assert.equal(await committed(owner.client, input), 100);
      const found: string[] = [];
      await readCommitted(brokers, out, ({ value }) => { found.push(value); });
      assert.deepEqual(ordered(found), range(100));
      await Promise.all([zombie.kill(), owner.kill()]);
    });
  });

  it("carries trades from topic to topic exactly once in real Node-RED, which is killed in between", async function () {
    this.timeout(120_000);
    const place = new Workplace();
    try {
      const input = newTopic(), out = newTopic();
      await createTopic(brokers, input, { partitions: 3 });
      const sink = open().sink("s", { send: "batch", batchSize: 50 });
      const trades = Array.from({ length: 20_000 }, (_, k) => ({ T: "t", S: ["AAPL", "MSFT", "GOOGL"][k % 3], i: k, x: "V", p: 100 + (k % 100) / 100, s: 100, t: 1_700_000_000_000 + k, c: ["@"], z: "C" }));
      for (let from = 0; from < trades.length; from += 500) assert.equal((await sink.send(trades.slice(from, from + 500), input)).error, undefined);
      const flow = new KafkaFlow()
        .kafkaIn("in", ["explode", ""], { topics: input, groupId: `${input}-g`, maxRecords: 5 })
        .explode("explode", ["out", ""])
        .kafkaOut("out", "sent", { topic: out, send: "each", key: "S", transactional: true, partitions: 3 })
        .tell("sent", "sent", "count: msg.payload.count");
      const killed = await place.start(flow, brokers);
      await new Watch(killed).reach("sent", "count", 3000);
      await killed.stop("SIGKILL");
      const red = await place.start(flow, brokers);
      const client = open().kafka.client();
      let left = 1;
      const look = async (): Promise<void> => {
        const at = [0, 1, 2].map((partition) => ({ topic: input, partition }));
        const [ends, done] = await Promise.all([client.admin.end(at), client.admin.committed(`${input}-g`, at)]);
        left = Number(ends.reduce((sum, end, k) => sum + end - (done[k] ?? 0n), 0n));
      };
      const timer = setInterval(() => { look().catch(() => { /* again */ }); }, 200);
      await until(() => left === 0, `the end of ${input}; ${new Watch(red).statuses("out").slice(-3).join(" | ")}`, 60_000);
      clearInterval(timer);
      const ids: number[] = [];
      await readCommitted(brokers, out, ({ value, key }) => {
        const trade = JSON.parse(value) as { i: number; S: string };
        assert.equal(key, trade.S);
        ids.push(trade.i);
      });
      assert.deepEqual(ids.sort((a, b) => a - b), range(20_000));
    } finally { await place.remove(); }
  });
});
