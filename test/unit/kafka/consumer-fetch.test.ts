import assert from "node:assert/strict";
import { TicklakeError } from "../../../lib/errors";
import { KafkaCode } from "../../../lib/kafka/errors";
import { decodeRecords } from "../../../lib/kafka/records/decode";
import type { RecordSet } from "../../../lib/kafka/types";
import { refusal, settle, unreachable } from "../../support/scripted-wire";
import { consumerOn, readingConsumer } from "./consumer-harness";

const at = (partition: number, topic = "t") => ({ topic, partition });
const reads = (told: readonly string[]): string[] => told.filter((line) => /^(records|advanced|damaged|outOfRange)/.test(line));

describe("kafka consumer: fetching", () => {
  it("reads nothing before it is told where from", async () => {
    const harness = await readingConsumer({ from: false });
    await harness.wire.append(at(0), "a", "b", "c");
    await harness.clock.advance(5000);
    assert.equal(harness.wire.fetches.length, 0);
    harness.consumer.seek({ ...at(0), offset: 1n });
    await settle();
    assert.deepEqual(harness.values, ["b", "c"]);
  });

  it("one long poll for all partitions of a broker; what is written while it waits arrives at once", async () => {
    const harness = await readingConsumer({ topics: { t: 3 }, options: { maxWaitMs: 60_000 } });
    await settle();
    assert.equal(harness.wire.fetches.length, 1);
    assert.equal(harness.wire.fetches[0]!.request.positions.length, 3);
    await harness.wire.append(at(1), "now");
    await settle();
    assert.deepEqual(harness.values, ["now"]);
  });

  it("a partition that is resumed need not wait for the long poll of the others, and they come together again", async () => {
    const harness = await readingConsumer({ topics: { t: 3 } });
    const { wire, clock, consumer } = harness;
    consumer.pause([at(0)]);
    await clock.advance(600);
    await wire.append(at(0), "a");
    await clock.advance(100);
    const before = wire.fetches.length;
    consumer.resume([at(0)]);
    await settle();
    assert.deepEqual(harness.values, ["a"]);
    assert.equal(wire.fetches[before]!.lane, 1, "beside the long poll");
    await clock.advance(1100);
    const last = wire.fetches.at(-1)!;
    assert.equal(last.lane, 0);
    assert.equal(last.request.positions.length, 3);
    wire.fetches.length = 0;
    await clock.advance(10_000);
    assert.ok(wire.fetches.length <= 21, `${wire.fetches.length} polls in 10 s while nothing happens`);
  });

  it("a seek drops what is under way and what waits, and reads from there at once", async () => {
    const harness = await readingConsumer({ options: { maxWaitMs: 500 }, events: (self) => ({
      records: (set: RecordSet) => { if (set.offset(0) === 0n && self().values.length === 2) self().consumer.seek({ ...at(0), offset: 1n }); },
    }) });
    const { wire, told } = harness;
    await wire.append(at(0), "a", "b");
    await settle();
    assert.deepEqual(reads(told), ["records t/0 0-1", "records t/0 1-1"]);
    // An answer that was asked for before the seek comes after it.
    await harness.clock.advance(1000);
    let answer = (): void => {};
    wire.onFetch = (_node, _lane, request) => new Promise((resolve) => {
      const [first] = request.positions;
      wire.onFetch = undefined;
      answer = () => resolve([wire.answer(at(0), first!.offset, 1e6, true)]);
    });
    harness.consumer.seek({ ...at(0), offset: 2n });
    await settle();
    await wire.append(at(0), "c");
    harness.consumer.seek({ ...at(0), offset: 0n });
    answer();
    await harness.clock.advance(1000);
    assert.deepEqual(reads(told).slice(2), ["records t/0 0-2"]);
  });

  it("paused: what arrives is kept, in order, and shown when it is resumed; nothing is fetched meanwhile", async () => {
    const harness = await readingConsumer({ topics: { t: 2 }, events: (self) => ({ records: (set: RecordSet) => { if (set.partition === 0) self().consumer.pause([at(0)]); } }) });
    const { wire, clock, consumer, told } = harness;
    await wire.append(at(0), "a");
    await settle();
    await wire.append(at(0), "b");
    await wire.append(at(1), "other");
    await clock.advance(5000);
    assert.deepEqual(reads(told), ["records t/0 0-0", "records t/1 0-0"]);
    consumer.resume([at(0)]);
    await settle();
    assert.deepEqual(reads(told).at(-1), "records t/0 1-1");
    const wanted = wire.fetches.length;
    await clock.advance(5000);
    assert.ok(wire.fetches.slice(wanted).every(({ request }) => request.positions.every(({ partition }) => partition !== 0)));
  });

  it("reads one fetch ahead of the user, not more", async () => {
    const harness = consumerOn({ options: { maxPartitionBytes: 200, maxFetchBytes: 200 } });
    let most = 0;
    let decoded = 0;
    harness.wire.onDecode = async (fetched, position) => {
      const shown = harness.told.filter((line) => line.startsWith("records")).length;
      most = Math.max(most, ++decoded - shown);
      return decodeRecords(fetched.records, { ...at(0), position, abortedTransactions: [] });
    };
    for (let k = 0; k < 50; k++) await harness.wire.append(at(0), `value ${k} ${"x".repeat(100)}`);
    for (let k = 0; k < 20; k++) await harness.clock.advance(100);
    assert.equal(harness.values.length, 50);
    assert.equal(most, 2, "one that is being shown, one behind it");
  });

  it("what paused partitions keep is bounded: the rest is fetched again when it is wanted, without a gap", async () => {
    const harness = await readingConsumer({ topics: { t: 30 }, from: false, options: { maxFetchBytes: 4000, maxPartitionBytes: 4000, maxWaitMs: 100 } });
    const { wire, clock, consumer, values } = harness;
    for (let p = 0; p < 30; p++) await wire.append(at(p), ..."abcd".split("").map((letter) => `${p}${letter}${"-".repeat(500)}`));
    // Each is paused while its fetch is under way.
    for (let p = 0; p < 30; p++) {
      consumer.seek({ ...at(p), offset: 0n });
      await Promise.resolve();
      consumer.pause([at(p)]);
      await clock.advance(200);
    }
    assert.equal(values.length, 0);
    const fetched = wire.fetches.length;
    consumer.resume(Array.from({ length: 30 }, (_, p) => at(p)));
    await clock.advance(2000);
    assert.equal(values.length, 120);
    assert.equal(new Set(values).size, 120);
    const again = new Set(wire.fetches.slice(fetched).flatMap(({ request }) => request.positions.filter(({ offset }) => offset === 0n).map(({ partition }) => partition)));
    assert.ok(again.size >= 15, `${again.size} were fetched again`);
    assert.ok(again.size < 30, "some were kept");
  });

  it("nobody starves: a partition whose batch does not fit beside the others gets its turn", async () => {
    const harness = await readingConsumer({ topics: { t: 3 }, from: false, options: { maxFetchBytes: 5000, maxPartitionBytes: 5000 } });
    const { wire, clock, consumer, values } = harness;
    for (let k = 0; k < 20; k++) for (const p of [0, 1]) await wire.append(at(p), `${p}-${k}${"-".repeat(4000)}`);
    await wire.append(at(2), `large${"-".repeat(20_000)}`);
    for (let p = 0; p < 3; p++) consumer.seek({ ...at(p), offset: 0n });
    await clock.advance(3000);
    assert.equal(values.length, 41);
    assert.ok(values.findIndex((value) => value.startsWith("large")) < 8, values.map((value) => value.slice(0, 5)).join(" "));
  });

  it("a batch of which only a part came is asked for with room enough", async () => {
    const harness = await readingConsumer({ from: false });
    const { wire, clock, consumer } = harness;
    await wire.append(at(0), "x".repeat(5000));
    wire.onFetch = (_node, _lane, request) => {
      const position = request.positions[0]!;
      const answer = wire.answer(at(0), position.offset, 1e9, true);
      return Promise.resolve([{ ...answer, records: answer.records.subarray(0, Math.min(position.maxBytes, position.maxBytes > 1 << 20 ? 1e9 : 1000)) }]);
    };
    wire.onDecode = async (fetched, position) => (fetched.records.length === 1000 ? { nextOffset: position, batchBytes: 2 << 20 } : (wire.onDecode = undefined, wire.decode(fetched, position)));
    consumer.seek({ ...at(0), offset: 0n });
    await clock.advance(1000);
    assert.equal(harness.values.length, 1);
  });

  it("control records and aborted transactions move the position and say so", async () => {
    const harness = await readingConsumer({ from: false });
    const { wire, clock, consumer, told } = harness;
    await wire.append(at(0), "aborted");
    wire.onDecode = (_fetched, position) => Promise.resolve({ nextOffset: position + 1n });
    consumer.seek({ ...at(0), offset: 0n });
    await clock.advance(600);
    assert.deepEqual(reads(told), ["advanced t/0 1"]);
  });

  it("the end that it tells is the last stable offset", async () => {
    const ends: bigint[] = [];
    const { wire, clock } = await readingConsumer({ events: () => ({ end: ({ offset }) => ends.push(offset) }) });
    await wire.append(at(0), "a", "b");
    await clock.advance(600);
    assert.equal(ends.at(-1), 2n);
  });

  it("records before a damaged batch are shown; it stands still there until somebody seeks past it", async () => {
    const harness = await readingConsumer({ from: false });
    const { wire, clock, consumer, told, errors } = harness;
    await wire.append(at(0), "good");
    await wire.append(at(0), "bad");
    await wire.append(at(0), "after");
    const { batches } = wire.log(at(0));
    batches[1]!.bytes[70]! ^= 0xff;
    consumer.seek({ ...at(0), offset: 0n });
    await clock.advance(5000);
    assert.deepEqual(reads(told), ["records t/0 0-0", "damaged t/0 1"]);
    assert.equal((errors.at(-1) as TicklakeError).code, "KAFKA_RECORD_DAMAGED");
    const fetched = wire.fetches.length;
    await clock.advance(5000);
    assert.equal(wire.fetches.length, fetched);
    consumer.seek({ ...at(0), offset: 2n });
    await clock.advance(600);
    assert.equal(told.at(-1), "records t/0 2-2");
  });

  it("out of range: tells the bounds of the log and stands still until a seek", async () => {
    const harness = await readingConsumer({ from: 5n });
    const { wire, clock, consumer, told } = harness;
    await wire.append(at(0), "a", "b", "c", "d");
    wire.log(at(0)).start = 2n;
    harness.consumer.seek({ ...at(0), offset: 1n });
    await clock.advance(3000);
    assert.deepEqual(reads(told).at(-1), "outOfRange t/0 1 of 2-4");
    const fetched = wire.fetches.length;
    await clock.advance(5000);
    assert.equal(wire.fetches.length, fetched);
    consumer.seek({ ...at(0), offset: 2n });
    await clock.advance(600);
    assert.deepEqual(harness.values, ["c", "d"]);
  });

  it("a new leader that does not know the end yet is not taken for lost offsets", async () => {
    const harness = await readingConsumer();
    const { wire, clock, told } = harness;
    await wire.append(at(0), "a");
    await clock.advance(100);
    wire.log(at(0)).error = KafkaCode.offsetOutOfRange;
    wire.wakePolls();
    await clock.advance(1000);
    wire.log(at(0)).error = 0;
    await wire.append(at(0), "b");
    await clock.advance(3000);
    assert.deepEqual(reads(told), ["records t/0 0-0", "records t/0 1-1"]);
  });

  it("an interruption: before anything more is fetched the user looks whether it is the same log, and seeks; what is queued is not lost by that", async () => {
    const told: string[] = [];
    const harness = await readingConsumer({ events: () => ({ interrupted: ({ offset }) => { told.push(`interrupted at ${offset}`); } }) });
    const { wire, clock, consumer, values } = harness;
    await wire.append(at(0), "a");
    await clock.advance(100);
    assert.deepEqual(told, []);
    wire.log(at(0)).error = KafkaCode.unknownTopicOrPartition;
    wire.wakePolls();
    await clock.advance(400);
    wire.log(at(0)).error = 0;
    await wire.append(at(0), "b", "c");
    await clock.advance(5000);
    assert.deepEqual([told, values], [["interrupted at 1"], ["a"]]);
    consumer.seek({ ...at(0), offset: 0n });
    await clock.advance(600);
    assert.deepEqual(values, ["a", "a", "b", "c"]);
    wire.onFetch = () => { wire.onFetch = undefined; return Promise.reject(unreachable()); };
    await clock.advance(1500);
    assert.deepEqual(told, ["interrupted at 1", "interrupted at 3"], "a broker that was away");
    consumer.seek({ ...at(0), offset: 3n });
    await clock.advance(100);
    consumer.pause([at(0)]);
    await clock.advance(900);
    consumer.resume([at(0)]);
    await clock.advance(600);
    assert.equal(told.length, 2, "a short pause is none");
    consumer.pause([at(0)]);
    await clock.advance(1100);
    consumer.resume([at(0)]);
    // A seek of somebody who does not know of it lifts nothing.
    consumer.seek({ ...at(0), offset: 2n });
    await clock.advance(600);
    assert.deepEqual([told.at(-1), values.length], ["interrupted at 2", 4]);
  });

  it("another leader: looked up at once, read on from there, without alarm", async () => {
    const harness = await readingConsumer();
    const { wire, clock, told } = harness;
    await wire.append(at(0), "a");
    await clock.advance(100);
    told.length = 0;
    wire.log(at(0)).error = KafkaCode.notLeaderOrFollower;
    wire.topics.set("t", { leaders: [2] });
    wire.wakePolls();
    await settle();
    wire.log(at(0)).error = 0;
    await wire.append(at(0), "b");
    await clock.advance(1000);
    assert.deepEqual(told, ["records t/0 1-1"]);
    assert.equal(wire.fetches.at(-1)!.node, 2);
  });

  it("one broker is down: the partitions of the others are read on; the state names it, and when it is over", async () => {
    const harness = await readingConsumer({ topics: { t: 2 }, node: (partition) => partition + 1 });
    const { wire, clock, told } = harness;
    const down = (node: number): Promise<never> | undefined => (node === 2 ? Promise.reject(unreachable()) : undefined);
    wire.onFetch = (node) => down(node);
    wire.wakePolls();
    await clock.advance(3000);
    await wire.append(at(0), "a");
    await wire.append(at(1), "b");
    await clock.advance(3000);
    assert.deepEqual(reads(told), ["records t/0 0-0"]);
    assert.equal(told.includes("state running KAFKA_UNREACHABLE"), true);
    wire.onFetch = undefined;
    await clock.advance(3000);
    assert.deepEqual(harness.values, ["a", "b"]);
    assert.equal(harness.lastError(), undefined);
  });

  it("a broker that left for good is no trouble any more when others lead its partitions", async () => {
    const harness = await readingConsumer({ topics: { t: 2 }, node: (partition) => partition + 1 });
    const { wire, clock } = harness;
    wire.onFetch = (node) => (node === 2 ? Promise.reject(unreachable()) : undefined);
    wire.wakePolls();
    await clock.advance(5000);
    assert.ok(harness.lastError());
    wire.topics.set("t", { leaders: [1, 1] });
    await clock.advance(5000);
    assert.equal(harness.lastError(), undefined);
    await wire.append(at(1), "b");
    await clock.advance(1000);
    assert.deepEqual(harness.values, ["b"]);
  });

  it("a topic that we may not read: told, tried again, read when it is granted", async () => {
    const harness = await readingConsumer();
    const { wire, clock, told } = harness;
    wire.log(at(0)).error = KafkaCode.topicAuthorizationFailed;
    wire.wakePolls();
    await clock.advance(10_000);
    assert.equal(told.at(-1), "state running KAFKA_DENIED");
    wire.log(at(0)).error = 0;
    await wire.append(at(0), "a");
    await clock.advance(3000);
    assert.deepEqual(harness.values, ["a"]);
    assert.equal(harness.lastError(), undefined);
  });

  it("a handler that throws gets the records again: they are not left out", async () => {
    let failures = 2;
    const harness = await readingConsumer({ events: () => ({ records: () => { if (failures-- > 0) throw new Error("not now"); } }) });
    const { wire, clock, told } = harness;
    await wire.append(at(0), "a");
    await wire.append(at(0), "b");
    await clock.advance(3000);
    assert.deepEqual(reads(told), ["records t/0 0-0", "records t/0 0-1", "records t/0 0-1"]);
  });

  it("a partition that left is not shown again, whatever is still under way", async () => {
    const harness = await readingConsumer();
    const { wire, clock, told } = harness;
    let answer = (): void => {};
    wire.onFetch = (_node, _lane, request) => new Promise((resolve) => { answer = () => resolve([wire.answer(at(0), request.positions[0]!.offset, 1e6, true)]); });
    wire.wakePolls();
    await clock.advance(500);
    await wire.append(at(0), "late");
    wire.leader = "other";
    wire.given = [];
    wire.next("heartbeat", refusal("rebalanceInProgress"));
    await clock.advance(3000);
    answer();
    await clock.advance(1000);
    assert.deepEqual(told.filter((line) => !line.startsWith("state")), ["assigned t/0", "revoked t/0"]);
  });
});

describe("kafka consumer: offsets", () => {
  const reason = (code: string) => (error: unknown): boolean => (error as TicklakeError).code === code;
  const one = [{ ...at(0), offset: 5n }];

  it("commits with member and generation, and reads back; nothing committed is undefined", async () => {
    const { consumer, wire } = await readingConsumer({ topics: { t: 2 } });
    await consumer.commit(one);
    assert.equal(wire.calls.at(-1), "commit 1");
    assert.deepEqual(await consumer.committed([at(0), at(1)]), [5n, undefined]);
    assert.deepEqual(consumer.membership, { groupId: "g", generation: 1, memberId: "member-1" });
  });

  it("nothing is committed when one of the partitions is not ours", async () => {
    const { consumer, wire } = await readingConsumer();
    await assert.rejects(consumer.commit([...one, { ...at(7), offset: 1n }]), reason("KAFKA_NOT_ASSIGNED"));
    assert.equal(wire.count("commit"), 0);
  });

  it("a rebalance meanwhile: waits for it, and commits what is still ours in the new generation", async () => {
    const { consumer, wire, clock } = await readingConsumer();
    wire.next("commit", refusal("rebalanceInProgress"));
    const committing = consumer.commit(one);
    await clock.advance(2000);
    await committing;
    assert.deepEqual(wire.calls.filter((call) => call.startsWith("commit")), ["commit 1", "commit 2"]);
    assert.equal(wire.offsets.get("t/0"), 5n);
  });

  it("what left in the rebalance is not committed, also when it has come back since", async () => {
    const { consumer, wire, clock } = await readingConsumer();
    wire.next("commit", refusal("unknownMemberId"));
    const committing = assert.rejects(consumer.commit(one), reason("KAFKA_NOT_ASSIGNED"));
    await clock.advance(5000);
    await committing;
    assert.equal(consumer.assignment.length, 1, "it came back");
    assert.equal(wire.offsets.size, 0);
  });

  it("a late refusal of an older generation takes nothing away", async () => {
    const { consumer, wire, clock, told } = await readingConsumer();
    let refuse = (): void => {};
    wire.next("commit", () => new Promise<void>((_resolve, reject) => { refuse = () => reject(refusal("illegalGeneration")); }));
    const committing = consumer.commit(one);
    wire.next("heartbeat", refusal("rebalanceInProgress"));
    await clock.advance(3000);
    refuse();
    await clock.advance(1000);
    await committing;
    assert.equal(told.some((line) => line.startsWith("lost")), false);
    assert.equal(wire.offsets.get("t/0"), 5n);
  });

  it("repeats what repetition mends, until the caller stops it", async () => {
    const { consumer, wire, clock } = await readingConsumer();
    wire.next("commit", unreachable(), refusal("notCoordinator"), refusal("coordinatorLoadInProgress"), refusal("requestTimedOut"));
    const committing = consumer.commit(one);
    await clock.advance(5000);
    await committing;
    assert.ok(wire.count("forgetCoordinator") >= 3);
    wire.always("commit", unreachable());
    const ending = new AbortController();
    const stopped = assert.rejects(consumer.commit(one, ending.signal), reason("STOPPED"));
    await clock.advance(60_000);
    ending.abort();
    await settle();
    await stopped;
  });

  it("of several partitions only those that failed are repeated; what cannot be mended is thrown", async () => {
    const { consumer, wire, clock } = await readingConsumer({ topics: { t: 2 } });
    wire.commitCodes = [0, KafkaCode.coordinatorLoadInProgress];
    const committing = consumer.commit([...one, { ...at(1), offset: 6n }]);
    await settle();
    wire.commitCodes = [];
    await clock.advance(3000);
    await committing;
    assert.equal(wire.offsets.get("t/1"), 6n);
    wire.commitCodes = [KafkaCode.topicAuthorizationFailed];
    await assert.rejects(consumer.commit(one), reason("KAFKA_DENIED"));
  });

  it("a transaction that a dead process left open is not waited for: what was committed before it counts", async () => {
    const { consumer, wire, clock } = await readingConsumer();
    wire.offsets.set("t/0", 9n);
    wire.pendingTransaction = true;
    let found: unknown;
    void consumer.committed([at(0)]).then((offsets) => { found = offsets; });
    await clock.advance(1000);
    assert.equal(found, undefined);
    await clock.advance(5000);
    assert.deepEqual(found, [9n]);
  });

  it("committed offsets of a pending transaction are waited for; a stopped consumer answers with STOPPED", async () => {
    const { consumer, wire, clock } = await readingConsumer();
    wire.offsets.set("t/0", 9n);
    wire.next("committed", refusal("unstableOffsetCommit"), unreachable());
    const reading = consumer.committed([at(0)]);
    await clock.advance(3000);
    assert.deepEqual(await reading, [9n]);
    await consumer.stop();
    await assert.rejects(consumer.committed([at(0)]), reason("STOPPED"));
    await assert.rejects(consumer.commit(one), reason("KAFKA_NOT_ASSIGNED"));
  });
});
