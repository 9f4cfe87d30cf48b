import assert from "node:assert/strict";
import type { TicklakeError } from "../../../lib/errors";
import { TicklakeError as Ticklake } from "../../../lib/errors";
import { describeSink } from "../../../lib/kafka/sink/status";
import { murmur2 } from "../../../lib/kafka/sink/partitioner";
import { MemoryKafka, Process, until } from "./sink-world";

/** A gate that operations wait at until it is opened. */
function gate(): { wait: Promise<void>; open: () => void } {
  let open!: () => void;
  const wait = new Promise<void>((resolve) => { open = resolve; });
  return { wait, open };
}

const code = (error: Error | undefined): string | undefined => (error as TicklakeError | undefined)?.code;

describe("kafka-out's sink", () => {
  it("is done with a message when Kafka has it, and tells the result before", async () => {
    const kafka = new MemoryKafka().topic("out", 2);
    let now = 1000;
    const sink = new Process(kafka).sink("s", {}, { now: () => now });
    kafka.before = (operation) => { if (operation === "send") now = 1250; };
    assert.equal((await sink.send([{ a: 1 }, { a: 2 }])).error, undefined);
    assert.deepEqual(sink.log, ["result 2 (parked)", "done"]);
    const [{ bytes, ...result }] = sink.results as [typeof sink.results[0]];
    assert.deepEqual(result, { topic: "out", count: 2, ms: 250, partitions: { 0: 1 } });
    assert.ok(bytes > 14 && bytes < 60);
    assert.deepEqual(kafka.visible("out").map(({ value, timestamp }) => [value, timestamp]), [['{"a":1}', 1000], ['{"a":2}', 1000]]);
    assert.deepEqual([sink.sink.waiting, sink.sink.written], [0, 2]);
  });

  it("sends one batch per partition at a time, and together what came meanwhile", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    const sink = new Process(kafka).sink("s", {});
    await sink.send("warm");
    const first = gate();
    kafka.before = (operation) => (operation === "send" ? first.wait : undefined);
    const all = [sink.send("0")];
    await until(() => kafka.calls.filter((call) => call.startsWith("send")).length === 2);
    for (let k = 1; k < 100; k++) all.push(sink.send(String(k)));
    assert.equal(sink.sink.waiting, 100);
    first.open();
    await Promise.all(all);
    assert.equal(kafka.calls.filter((call) => call.startsWith("send")).length, 3);
    assert.deepEqual(kafka.values("out").slice(1), Array.from({ length: 100 }, (_, k) => String(k)));
  });

  it("puts keys where Java's producer puts them, in order, and messages without one into one partition each", async () => {
    const kafka = new MemoryKafka().topic("out", 4);
    const sink = new Process(kafka).sink("s", { key: "S" });
    for (let k = 0; k < 3; k++) await sink.send(["AAPL", "MSFT", "AAPL", "GOOGL"].map((S, n) => ({ S, n: k * 4 + n })));
    kafka.topics.get("out")!.log.forEach((log, partition) => {
      for (const { key } of log) assert.equal((murmur2(Buffer.from(key!)) & 0x7fffffff) % 4, partition);
    });
    const aapl = kafka.visible("out").filter((record) => record.key === "AAPL").map((record) => (JSON.parse(record.value!) as { n: number }).n);
    assert.deepEqual(aapl, [0, 2, 4, 6, 8, 10]);
    const plain = new Process(kafka.topic("plain", 3)).sink("p", {});
    for (let k = 0; k < 6; k++) await plain.send([`${k}a`, `${k}b`], "plain");
    assert.deepEqual(kafka.topics.get("plain")!.log.map((log) => log.map((record) => record.value)), [["0a", "0b", "3a", "3b"], ["1a", "1b", "4a", "4b"], ["2a", "2b", "5a", "5b"]]);
  });

  it("tells results in the order of the messages, whichever partition is slow", async () => {
    const kafka = new MemoryKafka().topic("out", 2);
    const sink = new Process(kafka).sink("s", {});
    await sink.send("warm");
    await sink.send("warm");
    const slow = gate();
    kafka.before = (operation, what) => (operation === "send" && what === "out/0" ? slow.wait : undefined);
    const all = ["0", "1", "2", "3"].map((value) => sink.send(value));
    await until(() => kafka.topics.get("out")!.log[1]!.length === 3);
    assert.equal(sink.results.length, 2);
    slow.open();
    await Promise.all(all);
    assert.deepEqual(sink.results.slice(2).map(({ partitions }) => Object.keys(partitions)[0]), ["0", "1", "0", "1"]);
  });

  it("creates a topic once, however many messages wait for it, and reports one that is there with other settings", async () => {
    const kafka = new MemoryKafka();
    const sink = new Process(kafka).sink("s", { partitions: 5 });
    await Promise.all([1, 2, 3].map((k) => sink.send(String(k), "new")));
    assert.equal(kafka.topics.get("new")!.log.length, 5);
    assert.deepEqual(kafka.calls.filter((call) => call.startsWith("create")), ["create new"]);
    assert.deepEqual(sink.warnings, []);
    kafka.topic("old", 2);
    await sink.send("x", "old");
    await sink.send("y", "old");
    assert.equal(sink.warnings.length, 1);
    assert.match(sink.warnings[0]!, /Topic old was there already, with 2 partitions and replication factor 1, not 5 partitions and replication factor 1/);
    assert.equal(kafka.topics.get("old")!.log.length, 2);
  });

  it("fails the message when the topic is not there and may not be created", async () => {
    const sink = new Process(new MemoryKafka()).sink("s", { createTopic: false });
    const { error } = await sink.send("x", "nowhere");
    assert.equal(code(error), "KAFKA_TOPIC_UNKNOWN");
    assert.match(error!.message, /Create it, correct the name, or allow kafka-out to create it/);
  });

  it("looks at a topic again that was deleted: the next message creates it", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    const sink = new Process(kafka).sink("s", { partitions: 1 });
    await sink.send("a");
    kafka.topics.delete("out");
    assert.equal(code((await sink.send("b")).error), "KAFKA_TOPIC_UNKNOWN");
    assert.equal((await sink.send("c")).error, undefined);
    assert.deepEqual(kafka.values("out"), ["c"]);
  });

  it("refuses an element that is too large before anything of its message is sent, and only that message", async () => {
    const kafka = new MemoryKafka().topic("out", 1, 1000);
    const sink = new Process(kafka).sink("s", {});
    const all = await Promise.all([sink.send(["a"]), sink.send(["b", "x".repeat(1000), "c"]), sink.send(["d"])]);
    assert.deepEqual(all.map(({ error }) => code(error)), [undefined, "KAFKA_RECORD_TOO_LARGE", undefined]);
    assert.match(all[1]!.error!.message, /Element 1 makes 1,07\d bytes, and topic out takes at most 1,000 \(max\.message\.bytes\)/);
    assert.deepEqual(kafka.values("out"), ["a", "d"]);
    assert.equal(code((await sink.send("y".repeat(920))).error), undefined);
  });

  it("judges the size of an element as it goes out: compressed", async () => {
    const kafka = new MemoryKafka().topic("out", 1, 1000);
    const sink = new Process(kafka).sink("s", { compression: "gzip" });
    assert.equal((await sink.send("x".repeat(5000))).error, undefined);
    const random = Array.from({ length: 5000 }, (_, k) => String.fromCharCode(33 + ((k * 7919 + ((k * k) % 89)) % 90))).join("");
    const noise = Buffer.from(Array.from({ length: 5000 }, (_, k) => (Math.imul(k, 2654435761) >>> 13) & 0xff));
    assert.equal(code((await sink.send(noise)).error), "KAFKA_RECORD_TOO_LARGE", random.slice(0, 1));
  });

  it("keeps batches below the limit of the topic", async () => {
    const kafka = new MemoryKafka().topic("out", 1, 2000);
    const sizes: number[] = [];
    const append = kafka.append.bind(kafka);
    kafka.append = async (to, batch, state) => { sizes.push((await batch.encode({ compression: "none" })).length); return append(to, batch, state); };
    const sink = new Process(kafka).sink("s", {});
    await Promise.all(Array.from({ length: 100 }, (_, k) => sink.send([`${k}-`.padEnd(100, "x"), "y"])));
    assert.equal(kafka.values("out").length, 200);
    assert.ok(Math.max(...sizes) <= 2000, String(Math.max(...sizes)));
  });

  it("fails only the messages whose records the broker refuses", async () => {
    const kafka = new MemoryKafka().topic("out", 1, undefined);
    const sink = new Process(kafka).sink("s", {});
    await sink.send("warm");
    const held = gate();
    let sends = 0;
    kafka.before = async (operation) => {
      if (operation !== "send") return;
      sends++;
      if (sends === 1) await held.wait;
      // The second batch: "b" (index 0), "bad" (1), "c" (2, 3).
      if (sends === 2) throw new Ticklake("KAFKA_RECORD_TOO_LARGE", "too large", { details: { refused: [1], written: 3 } });
    };
    const all = [sink.send("a")];
    await until(() => sends === 1);
    all.push(sink.send("b"), sink.send("bad"), sink.send(["c", "c"]));
    held.open();
    assert.deepEqual((await Promise.all(all)).map(({ error }) => code(error)), [undefined, undefined, "KAFKA_RECORD_TOO_LARGE", undefined]);
  });

  it("waits for a broker that is down at the start, and says so", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    let down = true;
    kafka.before = () => { if (down) throw new Ticklake("KAFKA_UNREACHABLE", "nobody answers"); };
    const sink = new Process(kafka).sink("s", {});
    sink.sink.warm("out");
    const sent = sink.send("x");
    await until(() => sink.retries.length > 0);
    down = false;
    assert.equal((await sent).error, undefined);
    assert.deepEqual(kafka.values("out"), ["x"]);
  });

  it("bounds what waits of messages that nobody can slow down", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    const away = gate();
    kafka.before = () => away.wait;
    const sink = new Process(kafka).sink("s", {});
    const all = Array.from({ length: 10_001 }, () => sink.send("x"));
    assert.equal(code((await all.at(-1)!).error), "KAFKA_FAILED");
    const wide = new Process(new MemoryKafka().topic("out", 1));
    wide.kafka.before = () => away.wait;
    const other = wide.sink("s", {});
    const large = Array.from({ length: 8 }, () => other.send("x".repeat(10_000_000)));
    assert.match((await large.at(-1)!).error!.message, /more are refused: Kafka does not keep up or is away/);
    assert.equal(other.sink.waiting, 6);
    away.open();
    assert.equal((await Promise.all(all)).filter(({ error }) => error === undefined).length, 10_000);
  });

  it("completes a message without elements at once", async () => {
    const sink = new Process(new MemoryKafka()).sink("s", {});
    assert.equal((await sink.send([])).error, undefined);
    assert.deepEqual([sink.unwritten, sink.results], [["out"], []]);
  });

  it("does not send what was aborted before its batch went out", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    const run = new Process(kafka);
    const sink = run.sink("s", {});
    await sink.send("warm");
    const held = gate();
    let sends = 0;
    kafka.before = (operation) => (operation === "send" && ++sends === 1 ? held.wait : undefined);
    const source = run.ledger.openSource("src", { maxInFlight: 100, maxInFlightBytes: 1e6, deliveryTimeoutMs: 0, caughtIsDone: false }, { delivered: () => { /* */ }, failed: () => { /* */ } });
    const bring = (value: string) => {
      const delivery = source.open({ partition: "0", records: 1, bytes: 1, context: undefined });
      const message = { _msgid: value, payload: value, delivery: delivery.token };
      run.ledger.sent(message, { id: "src", type: "x" }, sink.node);
      source.release(delivery);
      return sink.receive(message);
    };
    bring("under way");
    await until(() => sends === 1);
    const waiting = bring("waits");
    source.abort();
    await until(() => waiting.state === "dropped");
    const later = sink.send("later");
    held.open();
    await later;
    assert.deepEqual(kafka.values("out"), ["warm", "under way", "later"]);
    assert.equal(sink.sink.waiting, 0);
  });

  it("waits for acknowledgements when it closes, and fails what has none then", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    const sink = new Process(kafka).sink("s", {});
    const sent = sink.send("x");
    await sink.sink.close(1000);
    assert.equal((await sent).error, undefined);
    assert.equal(sink.part("y").state, "failed");

    const stuck = new Process(new MemoryKafka().topic("out", 1));
    stuck.kafka.before = (operation) => (operation === "send" ? gate().wait : undefined);
    const other = stuck.sink("s", {});
    const lost = other.part("x");
    await other.sink.close(20);
    assert.equal(lost.state, "failed");
    assert.deepEqual(stuck.kafka.values("out"), []);
  });

  it("keeps going when whoever listens throws", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    const sink = new Process(kafka).sink("s", {});
    sink.results.push = () => { throw new Error("bad listener"); };
    assert.equal((await sink.send("x")).error, undefined);
    assert.ok(sink.warnings.some((text) => text.includes("bad listener")));
  });
});

describe("kafka-out's status", () => {
  it("says what goes, what waits and what is in the way", () => {
    const facts = { written: 0, rate: 0, waiting: 0 };
    assert.deepEqual(describeSink(facts), { kind: "idle", text: "ready" });
    assert.deepEqual(describeSink({ ...facts, written: 1_234_567 }), { kind: "ok", text: "1.23 M sent" });
    assert.deepEqual(describeSink({ written: 5, rate: 12_345, waiting: 1200 }), { kind: "ok", text: "12 k/s, 1.2 k waiting" });
    assert.deepEqual(describeSink({ ...facts, waiting: 40, trouble: { error: new Ticklake("KAFKA_UNREACHABLE", "nobody at x"), nextTryS: 5 } }), { kind: "warn", text: "broker down, 40 waiting, next try in 5 s" });
    assert.deepEqual(describeSink({ ...facts, trouble: { error: new Ticklake("KAFKA_DENIED", "may not write to x") } }), { kind: "fail", text: "may not write to x" });
  });
});
