import assert from "node:assert/strict";
import { TicklakeError } from "../../../lib/errors";
import { Lane, type LaneOptions, type ProducerClock } from "../../../lib/kafka/producer/lane";
import type { BatchSender, Outcome } from "../../../lib/kafka/producer/sender";
import { RecordBatchBuilder } from "../../../lib/kafka/records/builder";
import { decodeRecords } from "../../../lib/kafka/records/decode";

const AT = { topic: "trades", partition: 2 };
const unreachable = () => new TicklakeError("KAFKA_UNREACHABLE", "nothing listens", { details: { connection: true } });
const answer = (errorCode: number, baseOffset = 0n): Outcome => ({ kind: "answer", errorCode, baseOffset });
const lost = (): Outcome => ({ kind: "unknown", error: unreachable() });
const unsent = (): Outcome => ({ kind: "unsent", error: unreachable() });

/** A partition's leader that remembers what it was sent; each answer is a step of the script, later ones are success. */
class ScriptedLeader implements BatchSender {
  readonly sent: { id: bigint; epoch: number; sequence: number; values: (string | undefined)[]; bytes: Buffer }[] = [];
  readonly steps: (Outcome | ((values: (string | undefined)[]) => Outcome) | Promise<Outcome>)[] = [];
  forgotten = 0;
  nextOffset = 0n;

  async send(_at: unknown, bytes: Buffer): Promise<Outcome> {
    const { set } = await decodeRecords(bytes, { topic: "", partition: 0, position: 0n, abortedTransactions: [] });
    const values = Array.from({ length: set!.count }, (_, k) => set!.value(k)?.toString());
    this.sent.push({ id: bytes.readBigInt64BE(43), epoch: bytes.readInt16BE(51), sequence: bytes.readInt32BE(53), values, bytes: Buffer.from(bytes) });
    const step = this.steps.shift();
    if (step !== undefined) return typeof step === "function" ? step(values) : step;
    return this.appended(values);
  }

  appended(values: (string | undefined)[]): Outcome {
    const baseOffset = this.nextOffset;
    this.nextOffset += BigInt(values.length);
    return answer(0, baseOffset);
  }

  forgetLeader(): void { this.forgotten++; }
  get numbers(): string[] { return this.sent.map(({ id, epoch, sequence, values }) => `${id}/${epoch}#${sequence} ${values.join(",")}`); }
}

/** Pauses end at once and are noted. */
class FakeClock implements ProducerClock {
  time = 0;
  readonly pauses: number[] = [];
  now(): number { return this.time; }
  random(): number { return 1; }
  async pause(ms: number): Promise<void> {
    this.pauses.push(ms);
    this.time += ms;
    await new Promise(setImmediate);
  }
}

function setup(options: Partial<LaneOptions> = {}) {
  const leader = new ScriptedLeader();
  const clock = new FakeClock();
  const retries: string[] = [];
  const warnings: string[] = [];
  let ids = 100n;
  const lane = new Lane(AT, {
    compression: "none", sender: leader, clock, transactional: false, identify: async () => ({ id: ids++, epoch: 0 }),
    retrying: (error) => retries.push((error as TicklakeError).code), log: (level, text) => warnings.push(`${level} ${text}`), ...options,
  });
  return { lane, leader, clock, retries, warnings };
}

function batch(...values: string[]): RecordBatchBuilder {
  const builder = new RecordBatchBuilder();
  for (const value of values) builder.add({ key: null, value: Buffer.from(value), timestamp: 1 });
  return builder;
}

describe("batches of one partition", () => {
  it("go out one after the other in the order of the calls, numbered without gaps", async () => {
    const { lane, leader } = setup();
    const results = await Promise.all([lane.send(batch("a", "b")), lane.send(batch("c")), lane.send(batch("d"))]);
    assert.deepEqual(leader.numbers, ["100/0#0 a,b", "100/0#2 c", "100/0#3 d"]);
    assert.deepEqual(results.map(({ baseOffset, count }) => [baseOffset, count]), [[0n, 2], [2n, 1], [3n, 1]]);
  });

  it("without idempotence carry no number", async () => {
    const { lane, leader } = setup({ identify: undefined });
    await lane.send(batch("a"));
    assert.deepEqual(leader.numbers, ["-1/-1#-1 a"]);
  });

  it("of which no answer came go first, the same bytes under the same number, whatever waits behind them", async () => {
    const { lane, leader } = setup();
    leader.steps.push(lost(), lost(), answer(7), answer(20), answer(-1));
    const all = Promise.all([lane.send(batch("a")), lane.send(batch("b")), lane.send(batch("c"))]);
    await all;
    assert.deepEqual(leader.numbers.map((text) => text.slice(-1)), ["a", "a", "a", "a", "a", "a", "b", "c"]);
    for (const { bytes } of leader.sent.slice(0, 6)) assert.deepEqual(bytes, leader.sent[0]!.bytes);
    assert.equal(leader.sent[6]!.sequence, 1);
  });

  for (const code of [6, 74]) {
    it(`whose leader was replaced while it waited for replicas (${code}) may be in the log: their number is given to no other batch`, async () => {
      const { lane, leader } = setup();
      await lane.send(batch("a"));
      // It is in the log; then we may not write any more, and later we may again.
      leader.steps.push(answer(code), answer(29));
      await assert.rejects(lane.send(batch("b")), { code: "KAFKA_DENIED" });
      await lane.send(batch("c"));
      assert.deepEqual(leader.numbers, ["100/0#0 a", "100/0#1 b", "100/0#1 b", "100/1#0 c"]);
    });
  }

  it("that the broker has already count as written", async () => {
    const { lane, leader } = setup();
    leader.steps.push(lost(), answer(46, -1n));
    assert.deepEqual(await lane.send(batch("a", "b")), { ...AT, baseOffset: -1n, count: 2 });
    await lane.send(batch("c"));
    assert.equal(leader.sent.at(-1)!.sequence, 2);
  });

  it("are repeated without end through an outage, with growing pauses of at most five seconds, and look up the leader each time", async () => {
    const { lane, leader, clock, retries } = setup();
    leader.steps.push(...Array.from({ length: 200 }, unsent), answer(6), answer(5), answer(19));
    await lane.send(batch("a"));
    assert.equal(leader.sent.length, 204);
    assert.deepEqual(clock.pauses.slice(0, 8), [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    assert.equal(leader.forgotten, 203);
    assert.equal(retries.length, 203);
  });

  it("wait for a producer id through an outage too", async () => {
    let attempts = 0;
    const { lane, leader } = setup({ identify: async () => { if (++attempts < 5) throw unreachable(); return { id: 7n, epoch: 0 }; } });
    await lane.send(batch("a"));
    assert.deepEqual(leader.numbers, ["7/0#0 a"]);
  });

  it("number on from 0 after 2^31 - 1", async () => {
    const { lane, leader } = setup();
    lane.renumber({ id: 1n, epoch: 0 });
    (lane as unknown as { sequence: number }).sequence = 2 ** 31 - 1;
    await Promise.all([lane.send(batch("a", "b")), lane.send(batch("c"))]);
    assert.deepEqual(leader.numbers, [`1/0#${2 ** 31 - 1} a,b`, "1/0#1 c"]);
  });
});

describe("a partition that lost track of the producer", () => {
  for (const [name, code] of [["UNKNOWN_PRODUCER_ID", 59], ["OUT_OF_ORDER_SEQUENCE_NUMBER", 45]] as const) {
    it(`${name}: a batch that was refused goes out again under the next epoch, from 0`, async () => {
      const { lane, leader, warnings } = setup();
      await lane.send(batch("a"));
      leader.steps.push(answer(code));
      await Promise.all([lane.send(batch("b")), lane.send(batch("c"))]);
      assert.deepEqual(leader.numbers, ["100/0#0 a", "100/0#1 b", "100/1#0 b", "100/1#1 c"]);
      assert.doesNotMatch(warnings.join(), /doubled/);
    });
  }

  it("INVALID_PRODUCER_EPOCH: a new producer id", async () => {
    const { lane, leader } = setup();
    leader.steps.push(answer(47));
    await lane.send(batch("a"));
    assert.deepEqual(leader.numbers, ["100/0#0 a", "101/0#0 a"]);
  });

  it("while a batch has no known outcome: it is written again, never lost, and said that it may be doubled", async () => {
    const { lane, leader, warnings, retries } = setup();
    await lane.send(batch("a"));
    leader.steps.push(lost(), answer(45));
    await lane.send(batch("b"));
    assert.deepEqual(leader.numbers, ["100/0#0 a", "100/0#1 b", "100/0#1 b", "100/1#0 b"]);
    assert.match(warnings.join(), /trades, partition 2 .*a batch of 1 records .* may be doubled/);
    assert.deepEqual(retries, ["KAFKA_UNREACHABLE", "KAFKA_FAILED"]);
  });

  it("takes a new id when the epochs are used up", async () => {
    const { lane, leader } = setup();
    lane.renumber({ id: 1n, epoch: 32_766 });
    leader.steps.push(answer(45));
    await lane.send(batch("a"));
    assert.deepEqual(leader.numbers, ["1/32766#0 a", "100/0#0 a"]);
  });
});

describe("a batch that the broker refuses", () => {
  /** Takes batches of which no value is "x" and that have at most `most` records. */
  const judge = (leader: ScriptedLeader, most: number, code: number) => {
    const step = (values: (string | undefined)[]): Outcome => {
      leader.steps.unshift(step);
      return values.length > most || values.some((value) => value?.startsWith("x")) ? answer(code) : leader.appended(values);
    };
    leader.steps.push(step);
  };

  it("is split until it fits, in order, under numbers without gaps", async () => {
    const { lane, leader } = setup();
    judge(leader, 2, 10);
    const [big] = await Promise.all([lane.send(batch("a", "b", "c", "d", "e")), lane.send(batch("f"))]);
    assert.deepEqual(big, { ...AT, baseOffset: -1n, count: 5 });
    assert.deepEqual(leader.numbers, ["100/0#0 a,b,c,d,e", "100/0#0 a,b,c", "100/0#0 a,b", "100/0#2 c", "100/0#3 d,e", "100/0#5 f"]);
  });

  for (const [code, name, ours] of [[10, "MESSAGE_TOO_LARGE", "KAFKA_RECORD_TOO_LARGE"], [18, "RECORD_LIST_TOO_LARGE", "KAFKA_RECORD_TOO_LARGE"], [87, "INVALID_RECORD", "KAFKA_RECORD_REFUSED"], [32, "INVALID_TIMESTAMP", "KAFKA_RECORD_REFUSED"]] as const) {
    it(`${name}: names the records, and costs neighbours nothing`, async () => {
      const { lane, leader } = setup();
      judge(leader, 100, code);
      const [bad, next] = await Promise.allSettled([lane.send(batch("a", "x1", "b", "c", "x2")), lane.send(batch("d"))]);
      assert.equal(bad.status, "rejected");
      const error = bad.reason as TicklakeError;
      assert.equal(error.code, ours);
      assert.deepEqual(error.details?.["refused"], [1, 4]);
      assert.equal(error.details?.["written"], 3);
      assert.match(error.message, /2 of 5 records of the batch; the others were written/);
      assert.equal(next.status, "fulfilled");
      assert.equal(leader.nextOffset, 4n);
    });
  }

  it("whose bad records are named goes out once more without them", async () => {
    const { lane, leader } = setup();
    leader.steps.push({ ...answer(87), refused: [{ index: 3, message: "no key" }, { index: 0, message: "no key" }], message: "a compacted topic needs keys" } as Outcome);
    await assert.rejects(lane.send(batch("x1", "a", "b", "x2", "c")), (error: TicklakeError) => {
      assert.deepEqual([error.code, error.details?.["refused"], error.details?.["written"]], ["KAFKA_RECORD_REFUSED", [0, 3], 3]);
      assert.match(error.message, /The broker says: a compacted topic needs keys\./);
      return true;
    });
    assert.deepEqual(leader.numbers, ["100/0#0 x1,a,b,x2,c", "100/0#0 a,b,c"]);
    leader.steps.push({ ...answer(87), refused: [{ index: 0, message: "" }, { index: 1, message: "" }] } as Outcome);
    await assert.rejects(lane.send(batch("x1", "x2")), (error: TicklakeError) => { assert.deepEqual(error.details?.["refused"], [0, 1]); return true; });
    await lane.send(batch("d"));
    assert.equal(leader.numbers.at(-1), "100/0#3 d");
  });

  it("keeps keys, headers with repetitions, nulls and timestamps of its records when it is split", async () => {
    const { lane, leader } = setup();
    judge(leader, 1, 10);
    const builder = new RecordBatchBuilder();
    const headers = [{ name: "b", value: Buffer.from("1") }, { name: "a", value: null }, { name: "b", value: Buffer.from("2") }];
    builder.add({ key: Buffer.from("k"), value: null, timestamp: 5, headers });
    builder.add({ key: null, value: Buffer.alloc(0), timestamp: 3 });
    await lane.send(builder);
    const [first, second] = await Promise.all(leader.sent.slice(1).map(({ bytes }) => decodeRecords(bytes, { topic: "", partition: 0, position: 0n, abortedTransactions: [] })));
    assert.deepEqual([first!.set!.key(0)?.toString(), first!.set!.value(0), first!.set!.timestamps[0]], ["k", null, 5]);
    assert.deepEqual(first!.set!.headers(0), { b: [Buffer.from("1"), Buffer.from("2")], a: null });
    assert.deepEqual([second!.set!.key(0), second!.set!.value(0)?.length, second!.set!.timestamps[0], second!.set!.headers(0)], [null, 0, 3, undefined]);
  });

  it("that has no permission or cannot ever be taken fails alone", async () => {
    const { lane, leader } = setup();
    leader.steps.push(answer(29), answer(76));
    const results = await Promise.allSettled([lane.send(batch("a")), lane.send(batch("b")), lane.send(batch("c"))]);
    assert.deepEqual(results.map((result) => result.status === "fulfilled" ? "written" : (result.reason as TicklakeError).code), ["KAFKA_DENIED", "KAFKA_UNSUPPORTED", "written"]);
    assert.equal(leader.sent[2]!.sequence, 0);
  });

  it("as damaged is sent again, and refused when that does not help", async () => {
    const { lane, leader } = setup();
    leader.steps.push(answer(2), answer(2));
    await lane.send(batch("a"));
    leader.steps.push(...Array.from({ length: 5 }, () => answer(2)));
    await assert.rejects(lane.send(batch("b")), { code: "KAFKA_RECORD_REFUSED" });
  });
});

describe("a topic that is not known", () => {
  it("is waited for while leaders are elected", async () => {
    const { lane, leader, clock } = setup();
    leader.steps.push(answer(3), answer(3), answer(3));
    await lane.send(batch("a"));
    assert.ok(clock.time < 30_000);
  });

  it("for 30 s fails what waits for it, and does not let later batches wait so long again; when it is back they are written", async () => {
    const { lane, leader, clock } = setup();
    await lane.send(batch("a"));
    const gone = (): Outcome => { leader.steps.unshift(gone); return answer(3); };
    leader.steps.push(gone);
    const before = clock.time;
    const results = await Promise.allSettled([lane.send(batch("b")), lane.send(batch("c"))]);
    assert.deepEqual(results.map((result) => result.status === "rejected" && (result.reason as TicklakeError).code), ["KAFKA_TOPIC_UNKNOWN", "KAFKA_TOPIC_UNKNOWN"]);
    assert.ok(clock.time - before >= 30_000 && clock.time - before < 40_000, `${clock.time - before}`);
    const later = clock.time;
    await assert.rejects(lane.send(batch("d")), { code: "KAFKA_TOPIC_UNKNOWN" });
    assert.equal(clock.time, later);
    leader.steps.length = 0;
    await lane.send(batch("e"));
    assert.equal(leader.numbers.at(-1), "100/0#1 e");
  });
});

describe("stopping", () => {
  it("by signal ends the wait at once, also in a pause", async () => {
    const stop = new AbortController();
    const pauses: AbortSignal[] = [];
    const { lane, leader } = setup({ clock: { now: () => 0, random: () => 1, pause: (_ms, signal) => new Promise((resolve) => { pauses.push(signal!); signal!.addEventListener("abort", () => resolve()); setImmediate(() => stop.abort()); }) } });
    leader.steps.push(unsent());
    await assert.rejects(lane.send(batch("a"), stop.signal), { code: "STOPPED" });
    await lane.drained();
    assert.ok(pauses[0]!.aborted);
    await lane.send(batch("b"));
    assert.deepEqual(leader.numbers, ["100/0#0 a", "100/0#0 b"]);
  });

  it("in the middle of a request: its number is used for nothing else, and the next batch is numbered by what became of it", async () => {
    for (const [outcome, expected] of [[answer(0), "100/0#1 b"], [answer(10), "100/0#0 b"], [lost(), "100/1#0 b"]] as const) {
      const { lane, leader } = setup();
      const stop = new AbortController();
      let tell: (outcome: Outcome) => void = () => {};
      leader.steps.push(new Promise<Outcome>((resolve) => { tell = resolve; }));
      const first = lane.send(batch("a"), stop.signal);
      while (leader.sent.length === 0) await new Promise(setImmediate);
      const second = lane.send(batch("b"));
      stop.abort();
      await assert.rejects(first, { code: "STOPPED" });
      assert.equal(leader.sent.length, 1, "the next batch waits for the answer");
      tell(outcome);
      await second;
      assert.equal(leader.numbers.at(-1), expected);
    }
  });

  it("skips batches that were stopped before they were sent", async () => {
    const { lane, leader } = setup();
    const stop = new AbortController();
    const results = [lane.send(batch("a")), lane.send(batch("b"), stop.signal), lane.send(batch("c"))];
    stop.abort();
    await Promise.allSettled(results);
    assert.deepEqual(leader.numbers, ["100/0#0 a", "100/0#1 c"]);
  });

  it("fails what waits and what comes", async () => {
    const { lane, leader } = setup();
    leader.steps.push(new Promise<Outcome>(() => {}));
    const waiting = lane.send(batch("a"));
    lane.fail(new TicklakeError("STOPPED", "stop"));
    await assert.rejects(waiting, { code: "STOPPED" });
    await assert.rejects(lane.send(batch("b")), { code: "STOPPED" });
  });

  it("leaves no listener on a signal that many sends share", async () => {
    const { lane } = setup();
    const stop = new AbortController();
    let warned = false;
    const listen = (warning: Error): void => { warned ||= warning.name === "MaxListenersExceededWarning"; };
    process.on("warning", listen);
    await Promise.all(Array.from({ length: 50 }, (_, k) => lane.send(batch(String(k)), stop.signal)));
    await new Promise(setImmediate);
    process.off("warning", listen);
    assert.equal(warned, false);
  });
});

describe("a batch of a transaction", () => {
  it("that meets another numbering is not renumbered: the transaction has to be aborted", async () => {
    for (const code of [45, 47, 48, 49, 59, 120]) {
      const { lane, leader } = setup({ transactional: true, identify: undefined });
      lane.renumber({ id: 5n, epoch: 3 });
      leader.steps.push(answer(code));
      await assert.rejects(lane.send(batch("a")), (error: TicklakeError) => error.details?.["kafkaCode"] === code);
      assert.deepEqual(leader.numbers, ["5/3#0 a"]);
      assert.equal(leader.sent[0]!.bytes.readInt16BE(21) & 0x10, 0x10, "marked as transactional");
    }
  });
});
