import assert from "node:assert/strict";
import { TicklakeError } from "../../../lib/errors";
import type { KafkaRecord } from "../../../lib/kafka/source/decode";
import { generator, World } from "../delivery/world";
import { numberOf, ScriptedCluster, SourceWorld } from "./source-world";

const upTo = (n: number): number[] => Array.from({ length: n }, (_, k) => k);
const numbers = (lists: readonly (readonly KafkaRecord[])[]): number[] => lists.flat().map(numberOf);
const at = { cluster: "cluster", group: "g", topic: "t", partition: 0 };

function setUp(config: Record<string, unknown> = {}, options: { records?: number; partitions?: number } = {}): SourceWorld {
  const cluster = new ScriptedCluster();
  const partitions = options.partitions ?? 1;
  cluster.topic("t", partitions);
  for (let n = 0; n < (options.records ?? 0); n++) cluster.append(`t/${n % partitions}`, JSON.stringify({ n }));
  return new SourceWorld(new World(generator(1)), cluster, config);
}

async function over(w: SourceWorld, work: Promise<unknown>): Promise<void> {
  let done = false;
  void work.finally(() => { done = true; });
  assert.ok(await w.run(() => done));
}

describe("kafka source: the group's position is never ahead of what has to be read", () => {
  it("a seek back while a commit is under way: what that one leaves behind is put right, also when nothing is delivered any more", async () => {
    const w = setUp({}, { records: 20 });
    w.start(0);
    assert.ok(await w.run(() => w.taken.flat().length === 20));
    assert.equal(w.committed(), 0, "the start position");
    w.consumer.commitMs = 2000;
    await w.pass(1500);
    assert.equal(w.committed(), 0, "the commit of 20 is under way");
    w.take = () => undefined;
    await over(w, w.source.control({ command: "seek", to: { offset: 0n }, forget: false }));
    assert.equal(w.committed(), 0);
    await w.pass(20_000);
    assert.equal(w.committed(), 0, "a process that dies now reads everything that it was told to");
  });

  it("a commit of which nobody knows whether it took place does not count: a seek to where the group stood before is committed", async () => {
    const w = setUp({}, { records: 20 });
    w.start(0);
    assert.ok(await w.run(() => w.committed() === 0));
    const commit = w.consumer.commit.bind(w.consumer);
    w.consumer.commit = async (offsets, signal) => { await commit(offsets, signal); throw new Error("the answer was lost"); };
    assert.ok(await w.run(() => w.committed() === 20));
    w.consumer.commit = commit;
    w.take = () => undefined;
    await over(w, w.source.control({ command: "seek", to: { offset: 0n }, forget: false }));
    assert.equal(w.committed(), 0);
  });

  it("a table that went back: the group's position goes back before the first record is read again", async () => {
    const w = setUp({ maxRecords: 5, maxWaitMs: 0 }, { records: 20 });
    const sink = w.world.ledger.openSink("table", {});
    w.start(0);
    assert.ok(await w.run(() => w.committed() === 20));
    w.consumer.commitMs = 700;
    const seen: number[] = [];
    w.take = (_records, _send, done) => { seen.push(w.committed()); done(); };
    assert.ok(sink.rewind(at, 2n, 20n, "Table db.t was rolled back."));
    assert.ok(await w.run(() => numbers(w.taken).length === 38));
    assert.equal(Math.max(...seen), 2, "what a crash now leaves unread would be a gap in the table");
    assert.ok(await w.run(() => w.committed() === 20));
  });

  it("a table that goes back twice, while the first is being committed: it is read from the lower one", async () => {
    const w = setUp({ maxRecords: 5, maxWaitMs: 0 }, { records: 20 });
    const sink = w.world.ledger.openSink("table", {});
    w.start(0);
    assert.ok(await w.run(() => w.committed() === 20));
    w.consumer.commitMs = 700;
    sink.rewind(at, 12n, 20n, "Table db.t was rolled back.");
    await w.pass(300);
    sink.rewind(at, 4n, 12n, "Table db.t was rolled back.");
    assert.ok(await w.run(() => w.committed() === 20 && numbers(w.taken).length >= 36));
    assert.deepEqual([...new Set(numbers(w.taken).slice(20))].sort((a, b) => a - b), upTo(20).slice(4));
  });

  it("a table that went back while the partition goes elsewhere: nothing of it is read here", async () => {
    const w = setUp({ maxRecords: 5, maxWaitMs: 0 }, { records: 20 });
    const sink = w.world.ledger.openSink("table", {});
    w.start(0);
    assert.ok(await w.run(() => w.committed() === 20));
    w.consumer.commitMs = 700;
    sink.rewind(at, 2n, 20n, "Table db.t was rolled back.");
    await w.pass(100);
    w.consumer.lose({ topic: "t", partition: 0 });
    await w.pass(5000);
    assert.equal(numbers(w.taken).length, 20);
  });
});

describe("kafka source: a group whose offsets are gone (expired, or deleted)", () => {
  for (const startingOffsets of ["latest", "timestamp"]) {
    it(`goes on where the table is, not at ${startingOffsets}: what came meanwhile is not lost`, async () => {
      const w = setUp({ startingOffsets, startingTimestamp: "2030-01-01" }, { records: 20 });
      w.world.ledger.openSink("table", { positions: (one) => (one.partition === 0 ? [{ ...one, target: "db.trades", node: "table", nextOffset: 5n }] : []) });
      w.start(0);
      assert.ok(await w.run(() => w.committed() === 20));
      assert.deepEqual(numbers(w.taken), upTo(20).slice(5));
      assert.deepEqual(w.cluster.commits[0], { key: "t/0", offset: 5n });
      assert.match(w.warnings.join("\n"), /t\/0: group g has no offset any more.*db\.trades.*offset 5/);
    });
  }

  it("of several tables the one that is behind counts; one that is ahead of the start is no reason", async () => {
    const w = setUp({ startingOffsets: "latest" }, { records: 20, partitions: 2 });
    const tables = new Map([["db.one", [7n, 30n]], ["db.two", [4n, 30n]]]);
    for (const [target, next] of tables) w.world.ledger.openSink(target, { positions: (one) => [{ ...one, target, node: target, nextOffset: next[one.partition]! }] });
    w.start(0, 1);
    assert.ok(await w.run(() => w.committed(0) === 10));
    assert.deepEqual(numbers(w.taken), [8, 10, 12, 14, 16, 18]);
    assert.ok(await w.run(() => w.committed(1) === 10));
  });

  it("without any table it begins as the node is set", async () => {
    const w = setUp({ startingOffsets: "latest" }, { records: 20 });
    w.start(0);
    assert.ok(await w.run(() => w.committed() === 20));
    assert.deepEqual([numbers(w.taken), w.warnings], [[], []]);
  });
});

describe("kafka source: a topic that is deleted and made anew while it is read", () => {
  const t0 = { topic: "t", partition: 0 };
  function reading(records: number): SourceWorld {
    const w = setUp({}, { records });
    w.start(0);
    w.consumer.chunk = 1;
    return w;
  }
  const anew = (w: SourceWorld, count: number, timestamp: number): void => {
    w.cluster.logs.delete("t/0");
    w.cluster.topic("t", 1);
    for (let n = 0; n < count; n++) w.cluster.append("t/0", JSON.stringify({ n: 100 + n }), timestamp);
  };

  for (const [what, count] of [["longer than before", 9], ["shorter", 3]] as const) {
    it(`and is ${what} by now: told, and read from its beginning, beside what is still under way of the old one`, async () => {
      const w = reading(5);
      assert.ok(await w.run(() => w.committed() === 5));
      anew(w, count, 1_800_000_000_000);
      w.consumer.interrupt(t0);
      assert.ok(await w.run(() => w.taken.flat().length === 5 + count));
      assert.deepEqual(numbers(w.taken), [...upTo(5), ...upTo(count).map((n) => 100 + n)]);
      assert.match(w.errors[0]!.message, /t\/0: the topic was made anew, or the cluster has lost records: its .* Nothing is left out: reading goes on at the earliest record, 0/);
      assert.equal(w.errors[0]!.code, "KAFKA_OFFSETS_LOST");
      assert.ok(await w.run(() => w.committed() === count));
    });
  }

  it("the same log: it goes on where it was, silently; also while it cannot be asked for a while, and when a delivery fails meanwhile", async () => {
    const w = reading(5);
    let failing: ((error?: Error) => void) | undefined;
    w.take = (_records, _send, done) => { if (!failing) failing = done; else done(); };
    assert.ok(await w.run(() => failing !== undefined));
    w.cluster.down = new Error("nobody answers");
    w.consumer.interrupt(t0);
    failing!(new Error("once"));
    await w.pass(20_000);
    const before = w.taken.length;
    w.cluster.append("t/0", '{"n":5}');
    w.cluster.down = undefined;
    assert.ok(await w.run(() => w.committed() === 6));
    assert.deepEqual([numbers(w.taken.slice(before)), w.errors], [upTo(6), []]);
  });

  it("a leader that does not know the end of its log yet is no new topic", async () => {
    const w = reading(5);
    assert.ok(await w.run(() => w.committed() === 5));
    const log = w.cluster.logs.get("t/0")!;
    log.end = 3;
    w.consumer.interrupt(t0);
    await w.pass(500);
    log.end = 5;
    w.cluster.append("t/0", '{"n":5}');
    assert.ok(await w.run(() => w.committed() === 6));
    assert.deepEqual([numbers(w.taken), w.errors], [upTo(6), []]);
  });

  it("a partition that went elsewhere meanwhile is touched no more", async () => {
    const w = reading(5);
    assert.ok(await w.run(() => w.committed() === 5));
    w.cluster.down = new Error("nobody answers");
    w.consumer.interrupt(t0);
    w.consumer.lose(t0);
    w.cluster.down = undefined;
    const seeks: bigint[] = [];
    w.consumer.seek = ({ offset }) => { seeks.push(offset); };
    await w.pass(30_000);
    assert.deepEqual(seeks, []);
  });

  it("it was gone for so long that the group has forgotten its offset: nothing in it is older than the group, whatever the node is set to", async () => {
    const w = setUp({ startingOffsets: "latest" }, { records: 5 });
    w.start(0);
    assert.ok(await w.run(() => w.committed() === 5));
    w.consumer.lose(t0);
    w.cluster.committed.clear();
    anew(w, 3, 1_800_000_000_000);
    w.consumer.assign(t0);
    assert.ok(await w.run(() => w.taken.flat().length === 3));
    assert.match(w.errors[0]!.message, /the topic was made anew. Nothing is left out/);
  });

  it("the same on a member that had not read it itself", async () => {
    const w = setUp({ startingOffsets: "latest" }, { records: 5, partitions: 2 });
    w.start(0);
    assert.ok(await w.run(() => w.committed(0) === 3));
    w.consumer.events.state("running", new TicklakeError("KAFKA_TOPIC_UNKNOWN", "There is no topic t.", { details: { topic: "t" } }));
    w.consumer.assign({ topic: "t", partition: 1 });
    assert.ok(await w.run(() => w.committed(1) === 2));
    assert.deepEqual(numbers(w.taken), [1, 3]);
  });
});

describe("kafka source: what is paused costs the others nothing", () => {
  it("a partition that somebody paused with much fetched lets go of it; the others are read, and it comes in full when it is resumed", async () => {
    const w = setUp({ maxRecords: 1, maxInFlight: 1, maxWaitMs: 0 }, { partitions: 2 });
    const big = JSON.stringify({ n: 1, text: "x".repeat(17_000_000) });
    w.cluster.append("t/0", '{"n":0}');
    w.cluster.append("t/0", big);
    let first: (() => void) | undefined;
    w.take = (_records, _send, done) => { first ??= done; if (first !== done) done(); };
    w.start(0, 1);
    assert.ok(await w.run(() => first !== undefined));
    await w.pass(500);
    await over(w, w.source.control({ command: "pause", topic: "t", partition: 0 }));
    for (let n = 2; n < 12; n++) w.cluster.append("t/1", JSON.stringify({ n }));
    first!();
    assert.ok(await w.run(() => w.committed(1) === 10), w.source.status().text);
    assert.deepEqual(numbers(w.taken), [0, ...upTo(12).slice(2)]);
    await over(w, w.source.control({ command: "resume", topic: "t", partition: 0 }));
    assert.ok(await w.run(() => w.committed(0) === 2));
    assert.deepEqual(numbers(w.taken).at(-1), 1);
  });
});
