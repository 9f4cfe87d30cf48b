import assert from "node:assert/strict";
import type { Part } from "../../../lib/delivery/types";
import { TicklakeError } from "../../../lib/errors";
import { MemoryKafka, Process, Reader, TestSink, until } from "./sink-world";

const numbers = (n: number): { n: number }[] => Array.from({ length: n }, (_, k) => ({ n: k }));
const seen = (kafka: MemoryKafka, topic = "out"): number[] => kafka.visible(topic).map((record) => (JSON.parse(record.value!) as { n: number }).n);
const ordered = (list: readonly number[]): number[] => [...list].sort((a, b) => a - b);
const input = (n: number, batch = 10) => ({ group: "g", topic: "in", partition: 0, values: numbers(n), batch });

/** A process in which a reader of "in" feeds transactional sinks. */
function start(kafka: MemoryKafka, n: number, options: { batch?: number; sinks?: string[]; properties?: object } = {}) {
  const process = new Process(kafka);
  const sinks = (options.sinks ?? ["s"]).map((id) => process.sink(id, { transactional: true, partitions: 3, transactionalIdPrefix: (options.sinks?.length ?? 1) > 1 ? `p-${id}` : "p", ...options.properties }));
  const reader = new Reader(process, input(n, options.batch), (message) => {
    const sink = sinks.find((one) => one.node.id === (message as unknown as { node: string }).node)!;
    sink.receive(message);
  }, sinks.map((sink) => sink.node));
  return { process, sinks, sink: sinks[0] as TestSink, reader };
}

const committed = (kafka: MemoryKafka): bigint | undefined => kafka.offsets.get("g/in/0");

/** A transactional sink, and another one that gets the same messages and holds them until `commitOther`, or until what `pressed` makes of being told to commit. */
function beside(kafka: MemoryKafka, records: number, pressed: (commit: () => void) => void = () => undefined) {
  const process = new Process(kafka);
  const sink = process.sink("s", { transactional: true });
  const held: Part[] = [];
  let times = 0;
  const commitOther = (): void => {
    other.committed(other.take());
    for (const part of held.splice(0)) part.done();
  };
  const other = process.ledger.openSink("other", { pressure: () => { times++; pressed(commitOther); } });
  const reader = new Reader(process, input(records), (message) => {
    if ((message as unknown as { node: string }).node === "s") { sink.receive(message); return; }
    process.ledger.received(message, { id: "other", type: "iceberg-out" });
    const part = other.accept(message);
    part.park();
    held.push(part);
    process.ledger.returned(message, { id: "other", type: "iceberg-out" }, true);
  }, [sink.node, { id: "other", type: "iceberg-out" }]);
  return { sink, reader, held, commitOther, pressed: () => times };
}

describe("kafka-out in transactions", () => {
  it("commits records and offset together, in order, and tells results before it is done", async () => {
    const kafka = new MemoryKafka().topic("out", 3);
    const { reader, sink } = start(kafka, 100);
    reader.start();
    await until(() => reader.delivered.length === 10, "delivery of all batches");
    assert.deepEqual(ordered(seen(kafka)), numbers(100).map(({ n }) => n));
    assert.equal(committed(kafka), 100n);
    assert.equal(sink.results.reduce((sum, { count }) => sum + count, 0), 100);
    assert.equal(kafka.calls.filter((call) => call.startsWith("init")).length, 1, "initialised once per epoch");
    assert.equal(kafka.calls.find((call) => call.startsWith("init")), "init p-g-in-0");
    // Initialised first, then the committed offset is read again.
    assert.ok(kafka.calls.indexOf("init p-g-in-0") < kafka.calls.indexOf("committed g"));
    assert.deepEqual(sink.sink.positions({ cluster: "c", group: "g", topic: "in", partition: 0 }).map(({ target, nextOffset }) => [target, nextOffset]), [["topic out", 100n]]);
  });

  it("takes all that waits into the next transaction", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    let open!: () => void;
    const held = new Promise<void>((resolve) => { open = resolve; });
    kafka.before = (operation) => (operation === "commit" ? held : undefined);
    const { reader } = start(kafka, 1000);
    reader.start();
    await until(() => kafka.calls.some((call) => call.startsWith("commit p")));
    await new Promise((resolve) => setTimeout(resolve, 20));
    open();
    await until(() => reader.delivered.length === 100);
    assert.ok(kafka.calls.filter((call) => call.startsWith("commit p")).length <= 3, "a run is one transaction");
  });

  it("waits until nothing but its own parts is open: it goes last", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    const { reader, held, commitOther } = beside(kafka, 10);
    reader.start();
    await until(() => held.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual([seen(kafka), committed(kafka)], [[], undefined]);
    commitOther();
    await until(() => reader.delivered.length === 1);
    assert.deepEqual([seen(kafka).length, committed(kafka)], [10, 10n]);
  });

  describe("closed while another sink holds the same batches", () => {
    it("has it commit at once, and writes what was waited for", async () => {
      const kafka = new MemoryKafka().topic("out", 1);
      const { sink, reader, held } = beside(kafka, 30, (commit) => { setTimeout(commit, 20); });
      reader.start();
      await until(() => held.length === 3);
      assert.deepEqual(seen(kafka), []);
      await sink.sink.close(10_000);
      assert.deepEqual([seen(kafka), committed(kafka)], [numbers(30).map(({ n }) => n), 30n]);
      await until(() => reader.delivered.length === 3);
    });

    it("waits no longer than it may for one that does not commit; the batches are read again", async () => {
      const kafka = new MemoryKafka().topic("out", 1);
      const { sink, reader, held, pressed } = beside(kafka, 30);
      reader.start();
      await until(() => held.length === 3);
      await sink.sink.close(100);
      assert.deepEqual([seen(kafka), committed(kafka), pressed() > 0], [[], undefined, true]);
      await until(() => reader.failed.length > 0);
      assert.equal((reader.failed[0]!.error as TicklakeError).code, "STOPPED");
    });

    it("does not wait where a node in between still has a batch", async () => {
      const kafka = new MemoryKafka().topic("out", 1);
      const process = new Process(kafka);
      const sink = process.sink("s", { transactional: true });
      let there = 0;
      const reader = new Reader(process, input(10), (message) => {
        if ((message as unknown as { node: string }).node === "s") sink.receive(message);
        else { process.ledger.received(message, { id: "f", type: "function" }); process.ledger.returned(message, { id: "f", type: "function" }, true); there++; }
      }, [sink.node, { id: "f", type: "function" }]);
      reader.start();
      await until(() => there === 1);
      let over = false;
      const closed = sink.sink.close(60_000).then(() => { over = true; });
      await until(() => over);
      await closed;
      assert.deepEqual(seen(kafka), []);
    });
  });

  it("completes a batch that the group has committed already, and writes nothing of it", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    kafka.offsets.set("g/in/0", 30n);
    const { reader, sink } = start(kafka, 50);
    reader.startAt(0);
    await until(() => reader.delivered.length === 5);
    assert.deepEqual(seen(kafka), numbers(50).slice(30).map(({ n }) => n));
    assert.equal(sink.unwritten.length, 3);
  });

  it("has a batch cut that lies across the committed offset", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    kafka.offsets.set("g/in/0", 33n);
    const { reader } = start(kafka, 50);
    reader.startAt(0);
    await until(() => committed(kafka) === 50n && reader.delivered.length >= 5);
    assert.deepEqual(reader.failed.map(({ cutAt, error }) => [cutAt, (error as TicklakeError).code]), [[33n, "DELIVERY_CUT"]]);
    assert.deepEqual(seen(kafka), numbers(50).slice(33).map(({ n }) => n));
  });

  it("fences the process that had the partition before, and its batches fail", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    let open!: () => void;
    const held = new Promise<void>((resolve) => { open = resolve; });
    kafka.before = (operation) => (operation === "sendOffsets" ? held : undefined);
    const zombie = start(kafka, 100);
    zombie.reader.start();
    await until(() => kafka.calls.some((call) => call.startsWith("sendOffsets")));
    kafka.before = () => { /* goes through */ };
    // The partition has gone to another process, and the zombie does not know.
    const owner = start(kafka, 100);
    owner.reader.start();
    await until(() => owner.reader.delivered.length === 10);
    zombie.reader.stop();
    open();
    await until(() => zombie.sink.failures.length > 0 || zombie.sink.sink.waiting === 0);
    assert.deepEqual(ordered(seen(kafka)), numbers(100).map(({ n }) => n));
  });

  it("goes on after it was fenced itself, when its source reads again", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    const { reader, sink } = start(kafka, 100);
    reader.start();
    await until(() => reader.delivered.length > 0);
    kafka.epochs.set("p-g-in-0", 99);
    await until(() => reader.delivered.length >= 10 && committed(kafka) === 100n);
    assert.deepEqual(ordered(seen(kafka)), numbers(100).map(({ n }) => n));
    assert.ok(reader.failed.every(({ error }) => (error as TicklakeError).code === "KAFKA_FENCED"));
    assert.ok(sink.failures.every(({ code }) => code === "KAFKA_FENCED"));
  });

  it("aborts a transaction of which a batch was aborted meanwhile", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    const { reader, sink } = start(kafka, 10);
    kafka.before = (operation) => { if (operation === "sendOffsets") reader.stop(); };
    reader.start();
    await until(() => kafka.calls.some((call) => call.startsWith("abort")));
    await until(() => sink.sink.waiting === 0);
    assert.deepEqual([seen(kafka), committed(kafka)], [[], undefined]);
  });

  it("repeats what a repetition can mend, and asks first what was committed", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    let lost = 3;
    // The answer to the commit is lost after it took place: nothing may be written twice.
    kafka.after = (operation) => { if (operation === "commit" && lost-- > 0) throw new TicklakeError("KAFKA_FAILED", "no answer"); };
    const { reader } = start(kafka, 60);
    reader.start();
    await until(() => reader.delivered.length === 6);
    assert.deepEqual(seen(kafka), numbers(60).map(({ n }) => n));
    assert.equal(committed(kafka), 60n);
  });

  it("fails the batch with a record that cannot be written; those before it are committed", async () => {
    const kafka = new MemoryKafka().topic("out", 1, 2000);
    const process = new Process(kafka);
    const sink = process.sink("s", { transactional: true });
    const values: unknown[] = numbers(40);
    values[25] = { n: 25, text: "x".repeat(3000) };
    const reader = new Reader(process, { ...input(40), values }, (message) => { if (!process.dead) sink.receive(message); }, [sink.node]);
    reader.start();
    await until(() => reader.failed.length > 1 && committed(kafka) === 20n);
    reader.stop();
    assert.equal((reader.failed[0]!.error as TicklakeError).code, "KAFKA_RECORD_TOO_LARGE");
    assert.deepEqual(seen(kafka), numbers(20).map(({ n }) => n));
  });

  it("refuses to take a topic made anew for one that was written already", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    kafka.offsets.set("g/in/0", 500n);
    const { reader } = start(kafka, 20);
    reader.startAt(0);
    await until(() => reader.failed.length > 0);
    reader.stop();
    const error = reader.failed[0]!.error as TicklakeError;
    assert.equal(error.code, "TOPIC_REPLACED");
    assert.match(error.message, /committed offset 500 of in\/0, and that ends at 20: the topic was made anew.*Seek kafka-in/);
    assert.deepEqual(seen(kafka), []);
  });

  it("reads the committed offset again after a seek", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    const first = start(kafka, 30);
    first.reader.start();
    await until(() => first.reader.delivered.length === 3);
    first.reader.stop();
    kafka.offsets.set("g/in/0", 10n);
    const again = new Reader(first.process, input(30), (message) => first.sink.receive(message), [first.sink.node]);
    again.start();
    await until(() => again.delivered.length === 2);
    assert.deepEqual(seen(kafka), [...numbers(30), ...numbers(30).slice(10)].map(({ n }) => n));
  });

  it("refuses a second transactional sink on the same batches, naming both", async () => {
    const kafka = new MemoryKafka().topic("out", 1);
    const { reader, sinks } = start(kafka, 10, { sinks: ["a", "b"] });
    reader.start();
    await until(() => reader.failed.length > 0);
    reader.stop();
    const error = reader.failed[0]!.error as TicklakeError;
    assert.equal(error.code, "CONFIG_INVALID");
    assert.match(error.message, /node b and node a both write transactions for the same batches/);
    assert.equal(sinks[1]!.failures.length > 0, true);
  });

  it("refuses a second sink with the same transactional id", async () => {
    const kafka = new MemoryKafka().topic("out", 1).topic("other", 1);
    const process = new Process(kafka);
    const sinks = ["a", "b"].map((id) => process.sink(id, { transactional: true, transactionalIdPrefix: "same" }));
    const readers = sinks.map((sink, k) => new Reader(process, input(10), (message) => sink.receive(message, k === 0 ? "out" : "other"), [sink.node], `reader${k}`));
    readers[0]!.start();
    await until(() => readers[0]!.delivered.length === 1);
    readers[1]!.startAt(0);
    await until(() => readers[1]!.failed.length > 0);
    for (const reader of readers) reader.stop();
    assert.match(readers[1]!.failed[0]!.error.message, /have the same transactional id \(same-g-in-0\).*Give each its own prefix/);
  });

  it("writes what has no log in transactions without offsets, a bad message not costing the others", async () => {
    const kafka = new MemoryKafka().topic("out", 1, 1000);
    const sink = new Process(kafka).sink("s", { transactional: true });
    const all = await Promise.all([sink.send([{ n: 0 }]), sink.send("x".repeat(2000)), sink.send([{ n: 1 }, { n: 2 }])]);
    assert.deepEqual(all.map(({ error }) => (error as TicklakeError | undefined)?.code), [undefined, "KAFKA_RECORD_TOO_LARGE", undefined]);
    assert.deepEqual(seen(kafka), [0, 1, 2]);
    assert.deepEqual([...kafka.offsets], []);
    assert.ok(kafka.calls.some((call) => call.startsWith("commit")));
  });

  it("writes each record exactly once, whatever breaks and whoever is killed when (seeded)", async function () {
    this.timeout(60_000);
    for (let seed = 1; seed <= 30; seed++) {
      let state = seed * 7919;
      const random = (): number => { state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0; return state / 2 ** 32; };
      const kafka = new MemoryKafka().topic("out", 3);
      const n = 300;
      let troubles = 25;
      const trouble = (): void => {
        if (troubles > 0 && random() < 0.15) { troubles--; throw new TicklakeError(random() < 0.8 ? "KAFKA_FAILED" : "KAFKA_UNREACHABLE", "a bad day"); }
      };
      kafka.before = async (operation) => {
        if (random() < 0.2) await new Promise((resolve) => setTimeout(resolve, random() * 3));
        if (operation !== "abort" && operation !== "init") trouble();
      };
      kafka.after = (operation) => { if (operation === "commit") trouble(); };
      let alive = start(kafka, n, { batch: 7 });
      // The next owner may have looked at the committed offset before the former one committed last.
      alive.reader.start();
      for (let kill = 0; kill < 4; kill++) {
        await new Promise((resolve) => setTimeout(resolve, random() * 25));
        const stale = Number(committed(kafka) ?? 0n);
        const former = alive;
        if (random() < 0.5) { former.process.dead = true; former.reader.stop(); }
        await new Promise((resolve) => setTimeout(resolve, random() * 5));
        alive = start(kafka, n, { batch: 7 });
        if (random() < 0.5) alive.reader.startAt(stale); else alive.reader.start();
        // A zombie goes on beside it for a while, then it learns that it lost the partition.
        setTimeout(() => { former.process.dead = true; former.reader.stop(); }, random() * 10);
      }
      try {
        await until(() => committed(kafka) === BigInt(n), "the end of the log", 30_000);
        assert.deepEqual(ordered(seen(kafka)), numbers(n).map((one) => one.n));
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
      alive.process.dead = true;
      alive.reader.stop();
    }
  });
});
