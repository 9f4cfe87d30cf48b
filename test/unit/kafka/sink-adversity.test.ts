import assert from "node:assert/strict";
import { TicklakeError } from "../../../lib/errors";
import { MemoryKafka, Process, Reader, until } from "./sink-world";

const numbers = (n: number): { n: number }[] => Array.from({ length: n }, (_, k) => ({ n: k }));
const seen = (kafka: MemoryKafka, topic = "out"): number[] => kafka.visible(topic).map((record) => (JSON.parse(record.value!) as { n: number }).n);
const input = (n: number, batch = 10) => ({ group: "g", topic: "in", partition: 0, values: numbers(n), batch });
const code = (error: Error | undefined): string | undefined => (error as TicklakeError | undefined)?.code;

function gate(): { wait: Promise<void>; open: () => void } {
  let open!: () => void;
  const wait = new Promise<void>((resolve) => { open = resolve; });
  return { wait, open };
}

describe("kafka-out that stops", () => {
  it("commits what settled while a transaction was under way, not only that transaction", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    const process = new Process(kafka);
    const sink = process.sink("s", { transactional: true });
    const first = gate();
    kafka.before = (operation) => (operation === "commit" ? first.wait : undefined);
    const reader = new Reader(process, input(40), (message) => { sink.receive(message); }, [sink.node]);
    reader.start();
    await until(() => kafka.calls.some((call) => call.startsWith("commit ")), "a transaction");
    await until(() => sink.sink.waiting === 40, "all batches at the sink");
    const closed = sink.sink.close(5000);
    first.open();
    await closed;
    assert.deepEqual(seen(kafka), numbers(40).map(({ n }) => n));
    assert.equal(kafka.offsets.get("g/in/0"), 40n);
  });

  it("commits what has settled in the same turn", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    const process = new Process(kafka);
    const sink = process.sink("s", { transactional: true });
    const reader = new Reader(process, input(10), (message) => { sink.receive(message); }, [sink.node]);
    reader.start();
    await until(() => sink.sink.waiting === 10 || sink.results.length > 0, "the batch at the sink");
    await sink.sink.close(5000);
    assert.deepEqual([seen(kafka).length, kafka.offsets.get("g/in/0")], [10, 10n]);
  });

  for (const operation of ["committed", "describe", "limit"] as const) {
    it(`does not wait for a broker that is silent (transactional, ${operation})`, async () => {
      const kafka = new MemoryKafka().topic("out", 1);
      const process = new Process(kafka);
      const sink = process.sink("s", { transactional: true });
      kafka.before = (what) => (what === operation ? new Promise<void>(() => { /* no answer */ }) : undefined);
      const reader = new Reader(process, input(10), (message) => { sink.receive(message); }, [sink.node]);
      reader.start();
      await until(() => kafka.calls.some((call) => call.startsWith(operation)), operation);
      const began = Date.now();
      await Promise.race([sink.sink.close(50), new Promise((_, reject) => { setTimeout(() => { reject(new Error("close did not end")); }, 2000); })]);
      assert.ok(Date.now() - began < 1500);
      await until(() => reader.failed.length > 0, "the batch to be given back");
      assert.equal(code(reader.failed[0]!.error), "STOPPED");
      reader.stop();
    });
  }
});

describe("kafka-out in transactions, and its source's own commits", () => {
  it("begins only when a commit is over that its source began before: it would land behind and take the offset back", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    const process = new Process(kafka);
    const sink = process.sink("s", { transactional: true });
    const reader = new Reader(process, input(40), (message) => { sink.receive(message); }, [sink.node]);
    // Batches up to 10 went nowhere, and committing that takes its time: the connection was lost, and it is tried again.
    const late = gate();
    reader.committing = late.wait.then(() => { kafka.offsets.set("g/in/0", 10n); });
    reader.startAt(10);
    await until(() => sink.sink.waiting === 30, "the batches at the sink");
    await new Promise((resolve) => { setTimeout(resolve, 30); });
    late.open();
    await until(() => reader.delivered.length === 3, "delivery");
    assert.equal(kafka.offsets.get("g/in/0"), 40n);
    assert.deepEqual(seen(kafka), numbers(40).slice(10).map(({ n }) => n));
  });

  it("does not wait for it when it stops", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    const process = new Process(kafka);
    const sink = process.sink("s", { transactional: true });
    const reader = new Reader(process, input(10), (message) => { sink.receive(message); }, [sink.node]);
    reader.committing = gate().wait;
    reader.start();
    await until(() => sink.sink.waiting === 10, "the batch at the sink");
    await sink.sink.close(20);
    assert.deepEqual(seen(kafka), []);
  });
});

describe("kafka-out at its start", () => {
  it("says within seconds that the cluster does not answer, however long a look-up tries", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    const away = gate();
    kafka.before = (operation) => (operation === "describe" ? away.wait : undefined);
    const sink = new Process(kafka).sink("s", {});
    const sent = sink.send("x");
    await until(() => sink.retries.length > 0, "a word", 4000);
    assert.match(sink.retries[0]!.message, /Looking up topic out: the cluster has not answered for 3 s/);
    away.open();
    assert.equal((await sent).error, undefined);
  });
});

describe("kafka-out and a topic whose settings it may not see", () => {
  it("refuses what no broker takes, instead of sending it for ever", async () => {
    const kafka = new MemoryKafka().topic("out", 1, undefined);
    kafka.topics.get("out")!.maxMessageBytes = undefined;
    // As a broker does it: the connection is closed.
    const append = kafka.append.bind(kafka);
    kafka.append = (to, batch, state) => (batch.bytes > 100 * 1024 * 1024 ? Promise.reject(new TicklakeError("KAFKA_UNREACHABLE", "closed the connection")) : append(to, batch, state));
    const sink = new Process(kafka).sink("s", {});
    const all = [await sink.send("a"), await sink.send(Buffer.alloc(101 * 1024 * 1024)), await sink.send("b")];
    assert.deepEqual(all.map(({ error }) => code(error)), [undefined, "KAFKA_RECORD_TOO_LARGE", undefined]);
    assert.match(all[1]!.error!.message, /takes at most 104,857,600 \(socket\.request\.max\.bytes of the broker/);
    assert.deepEqual(kafka.values("out"), ["a", "b"]);
  });
});

describe("kafka-out and a topic that changes", () => {
  for (const transactional of [false, true]) {
    it(`takes what it refused as too large as soon as the topic's limit was raised (transactional: ${transactional})`, async () => {
      const kafka = new MemoryKafka().topic("out", 1, 1000);
      const sink = new Process(kafka).sink("s", { transactional });
      assert.equal(code((await sink.send("x".repeat(2000))).error), "KAFKA_RECORD_TOO_LARGE");
      kafka.topics.get("out")!.maxMessageBytes = 10_000;
      assert.equal((await sink.send("x".repeat(2000))).error, undefined);
      assert.equal(kafka.values("out").length, 1);
    });
  }
});

describe("kafka-out in transactions between clusters", () => {
  it("says that no transaction spans two clusters, before anything is written", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    kafka.clusterId = "there";
    const process = new Process(kafka);
    const sink = process.sink("s", { transactional: true });
    const reader = new Reader(process, input(10), (message) => { sink.receive(message); }, [sink.node]);
    reader.start();
    await until(() => reader.failed.length > 0, "a failure");
    reader.stop();
    const { error } = reader.failed[0]!;
    assert.equal(code(error), "CONFIG_INVALID");
    assert.match(error.message, /in\/0 is read from cluster c, and node s writes to cluster there: no transaction spans two clusters.*Switch "transactional" off/);
    assert.deepEqual(kafka.topics.get("out")!.log[0], []);
  });
});

describe("results of kafka-out", () => {
  it("name no offset that nobody knows", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    const sink = new Process(kafka).sink("s", {});
    await sink.send("a");
    const append = kafka.append.bind(kafka);
    // As when the broker has the batch already and does not say where.
    kafka.append = async (...args) => { const { produced, stored } = await append(...args); return { produced: { ...produced, baseOffset: -1n }, stored }; };
    await sink.send(["b", "c"]);
    assert.deepEqual(sink.results.map(({ count, partitions }) => [count, partitions]), [[1, { 0: 0 }], [2, {}]]);
  });
});

describe("keys of JSON text", () => {
  const keys = async (payload: unknown): Promise<(string | null)[]> => {
    const kafka = new MemoryKafka().topic("out", 1);
    const sink = new Process(kafka).sink("s", { key: "S" });
    assert.equal((await sink.send(payload)).error, undefined);
    return kafka.visible("out").map(({ key }) => key);
  };

  it("are those of the object that the text stands for", async () => {
    assert.deepEqual(await keys('{"T":"t","S":"AAPL","i":90071992547409931}'), ["AAPL"]);
    assert.deepEqual(await keys(Buffer.from(' {"S":"MSFT"}')), ["MSFT"]);
    assert.deepEqual(await keys(['{"S":"AAPL"}', Buffer.from('{"S":"MSFT"}'), "no JSON", '{"broken', '{"x":1}']), ["AAPL", "MSFT", null, null, null]);
    assert.deepEqual(await keys([{ key: "old", value: '{"S":"AAPL"}', headers: {} }, { key: "old", value: Buffer.from("{}"), headers: {} }]), ["AAPL", "old"]);
  });

  it("leave the text as it is", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    const text = '{"S":"AAPL", "i":90071992547409931, "p":1.50}';
    await new Process(kafka).sink("s", { key: "S" }).send(text);
    assert.deepEqual(kafka.values("out"), [text]);
  });
});
