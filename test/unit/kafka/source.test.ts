import assert from "node:assert/strict";
import fc from "fast-check";
import { TicklakeError } from "../../../lib/errors";
import type { KafkaRecord } from "../../../lib/kafka/source/decode";
import { generator, SimSink, World } from "../delivery/world";
import { numberOf, ScriptedCluster, SourceWorld } from "./source-world";

const upTo = (n: number): number[] => Array.from({ length: n }, (_, k) => k);
const numbers = (lists: readonly (readonly KafkaRecord[])[]): number[] => lists.flat().map(numberOf);

function setUp(config: Record<string, unknown> = {}, options: { records?: number; partitions?: number; seed?: number } = {}): SourceWorld {
  const cluster = new ScriptedCluster();
  const partitions = options.partitions ?? 1;
  cluster.topic("t", partitions);
  for (let n = 0; n < (options.records ?? 0); n++) cluster.append(`t/${n % partitions}`, JSON.stringify({ n }));
  return new SourceWorld(new World(generator(options.seed ?? 1)), cluster, config);
}

describe("kafka source", () => {
  it("reads everything in order and commits what is delivered", async () => {
    const w = setUp({ maxRecords: 10 }, { records: 95 }).start(0);
    assert.ok(await w.run(() => w.committed() === 95));
    assert.deepEqual(numbers(w.taken), upTo(95));
    assert.ok(w.taken.every((list) => list.length <= 10));
  });

  it("commits no more than once a second, and the start position before the first record", async () => {
    const w = setUp({ maxRecords: 1, maxWaitMs: 0 }, { records: 500 });
    w.take = (_records, _send, done) => { assert.ok(w.cluster.commits.length >= 1, "the start position"); w.world.loop.at(5, done); };
    w.start(0);
    assert.ok(await w.run(() => w.committed() === 500));
    assert.deepEqual(w.cluster.commits[0], { key: "t/0", offset: 0n });
    assert.ok(w.cluster.commits.length <= 3 + w.world.loop.now / 1000, `${w.cluster.commits.length} commits in ${w.world.loop.now} ms`);
  });

  it("commits in order only: a batch that is done before an earlier one waits for it", async () => {
    const w = setUp({ maxRecords: 1, maxWaitMs: 0 }, { records: 3 });
    let first: (() => void) | undefined;
    w.take = ([record], _send, done) => { if (numberOf(record!) === 0) first = done; else done(); };
    w.start(0);
    await w.pass(5000);
    assert.equal(w.committed(), 0);
    first!();
    assert.ok(await w.run(() => w.committed() === 3));
  });

  it("keeps within its bounds, stops fetching, and goes on when there is room", async () => {
    const w = setUp({ maxRecords: 10, maxInFlight: 30 }, { records: 500 });
    const waiting: (() => void)[] = [];
    w.take = (_records, _send, done) => waiting.push(done);
    w.start(0);
    await w.pass(5000);
    assert.equal(w.taken.flat().length, 30);
    assert.equal(w.source.status().text.includes("at its bound, waiting for node out"), true, w.source.status().text);
    w.take = (_records, _send, done) => done();
    for (const done of waiting) done();
    assert.ok(await w.run(() => w.committed() === 500));
  });

  it("bytes bound it, too, and a record larger than the limit of a message travels alone", async () => {
    const w = setUp({ maxBytes: 100, maxInFlightBytes: 250 });
    for (let n = 0; n < 40; n++) w.cluster.append("t/0", JSON.stringify({ n, fill: "x".repeat(n === 20 ? 500 : 20) }));
    const waiting: (() => void)[] = [];
    w.take = (_records, _send, done) => waiting.push(done);
    w.start(0);
    await w.pass(3000);
    assert.ok(w.taken.flat().length <= 9);
    w.take = (_records, _send, done) => done();
    for (const done of waiting) done();
    assert.ok(await w.run(() => w.committed() === 40));
    assert.deepEqual(numbers(w.taken), upTo(40));
    assert.equal(w.taken.find((list) => list.some((record) => numberOf(record) === 20))!.length, 1);
  });

  it("stops fetching a partition of which much waits", async () => {
    const w = setUp({ maxInFlight: 1, maxRecords: 1, maxBytes: 1 });
    for (let n = 0; n < 60; n++) w.cluster.append("t/0", JSON.stringify({ n, fill: "x".repeat(100_000) }));
    w.take = () => undefined;
    w.start(0);
    await w.pass(5000);
    assert.ok(w.consumer.isPaused("t/0"));
    assert.ok(w.consumer.position("t/0")! < 30, `${w.consumer.position("t/0")} fetched`);
  });

  describe("waiting for a batch to fill", () => {
    it("a record is sent at once when nothing is under way", async () => {
      const w = setUp({ maxWaitMs: 500 }).start(0);
      await w.pass(2000);
      const before = w.world.loop.now;
      w.cluster.append("t/0", '{"n":1}');
      assert.ok(await w.run(() => w.taken.length === 1));
      assert.ok(w.world.loop.now - before < 10, `${w.world.loop.now - before} ms`);
    });

    it("while a sink holds batches there is one message per maxWaitMs", async () => {
      const w = setUp({ maxWaitMs: 500 });
      w.take = () => undefined;
      w.start(0);
      await w.pass(1000);
      for (let n = 0; n < 50; n++) { w.cluster.append("t/0", JSON.stringify({ n })); await w.pass(50); }
      await w.pass(600);
      assert.deepEqual(numbers(w.taken), upTo(50));
      assert.ok(w.taken.length >= 5 && w.taken.length <= 7, `${w.taken.length} messages in 2.5 s`);
    });

    it("0 waits for nothing", async () => {
      const w = setUp({ maxWaitMs: 0 });
      w.take = () => undefined;
      w.start(0);
      await w.pass(1000);
      for (let n = 0; n < 20; n++) { w.cluster.append("t/0", JSON.stringify({ n })); await w.pass(20); }
      assert.equal(w.taken.length, 20);
    });

    it("a backlog goes in full batches, however small fetches are", async () => {
      const w = setUp({ maxRecords: 50 }, { records: 500 }).start(0);
      assert.ok(await w.run(() => w.committed() === 500));
      assert.equal(w.taken.length, 10);
    });
  });

  it("gaps at the end of the log are committed when nothing is under way, and a batch covers the gap behind it", async () => {
    const w = setUp({}, { records: 5 });
    w.cluster.gap("t/0", 2);
    w.start(0);
    assert.ok(await w.run(() => w.committed() === 7));
    w.cluster.append("t/0", '{"n":9}');
    w.cluster.gap("t/0", 1);
    assert.ok(await w.run(() => w.committed() === 9));
    assert.match(w.source.status().text, /lag 0/);
  });

  describe("failures", () => {
    const failing = (w: SourceWorld, fails: (list: number[]) => Error | undefined): void => { w.take = (records, _send, done) => done(fails(records.map(numberOf))); };

    it("reads the failed batch and all after it again, in order, after growing pauses, without end", async () => {
      const w = setUp({ maxRecords: 5 }, { records: 20 });
      let left = 6;
      const at: number[] = [];
      failing(w, (list) => {
        if (!list.includes(7) || left === 0) return undefined;
        left--;
        at.push(w.world.loop.now);
        return new Error("away");
      });
      w.start(0);
      assert.ok(await w.run(() => w.committed() === 20, 200_000));
      const pauses = at.slice(1).map((time, k) => time - at[k]!);
      for (const [k, pause] of pauses.entries()) assert.ok(pause >= 250 * 2 ** k && pause <= 510 * 2 ** k + 100, pauses.join());
      assert.deepEqual(w.taken.at(-3)!.map(numberOf), [5, 6, 7, 8, 9]);
      assert.match(w.warnings[0]!, /t\/0: the delivery of offset 5 on failed in node out \(attempt 1\): away/);
    });

    it("an earlier batch that is still under way is not read again", async () => {
      const w = setUp({ maxRecords: 5 }, { records: 10 });
      let first: (() => void) | undefined;
      let failed = false;
      w.take = (records, _send, done) => {
        if (numberOf(records[0]!) === 0) first = done;
        else if (!failed) { failed = true; done(new Error("once")); } else done();
      };
      w.start(0);
      assert.ok(await w.run(() => w.taken.length === 3));
      first!();
      assert.ok(await w.run(() => w.committed() === 10));
      assert.deepEqual(w.taken.map((list) => numberOf(list[0]!)), [0, 5, 5]);
    });

    it("another partition goes on meanwhile", async () => {
      const w = setUp({}, { records: 20, partitions: 2 });
      failing(w, (list) => (list[0]! % 2 === 0 ? new Error("away") : undefined));
      w.start(0, 1);
      assert.ok(await w.run(() => w.committed(1) === 10));
      assert.equal(w.committed(0), 0);
    });

    it("stop gives up after the attempts, says how to go on, and resume does", async () => {
      const w = setUp({ onFailure: "stop", maxAttempts: 3 }, { records: 5 });
      failing(w, () => new Error("never"));
      w.start(0);
      assert.ok(await w.run(() => w.errors.length === 1));
      assert.match(w.errors[0]!.message, /Stopped t\/0 at offset 0 after 3 failed deliveries: never Send "resume"/);
      assert.deepEqual(w.source.status().kind, "fail");
      await w.pass(100_000);
      assert.equal(w.taken.length, 3);
      failing(w, () => undefined);
      await w.source.control({ command: "resume" });
      assert.ok(await w.run(() => w.committed() === 5));
      assert.equal(w.source.status().kind, "ok");
    });

    it("a topic that was made anew under a table's feet stops the partition, whatever onFailure says", async () => {
      const w = setUp({ onFailure: "retry" }, { records: 5 });
      failing(w, () => new TicklakeError("TOPIC_REPLACED", "Topic t is not the one ... reset-offsets."));
      w.start(0);
      assert.ok(await w.run(() => w.errors.length === 1));
      await w.pass(60_000);
      assert.equal(w.taken.length, 1);
      assert.equal(w.errors[0]!.code, "TOPIC_REPLACED");
      assert.match(w.source.status().text, /^stopped: t\/0: Topic t is not the one/);
    });

    it("flows that are stopped and started again cost no attempt", async () => {
      const w = setUp({ onFailure: "stop", maxAttempts: 1 }, { records: 5 });
      let held = true;
      w.take = (_records, _send, done) => { if (!held) done(); };
      w.start(0);
      assert.ok(await w.run(() => w.taken.length === 1));
      w.stopFlows();
      await w.pass(3000);
      assert.equal(w.taken.length, 1, "nothing is sent meanwhile");
      held = false;
      w.startFlows();
      assert.ok(await w.run(() => w.committed() === 5));
      assert.deepEqual(w.errors, []);
    });

    it("a batch that straddles a watermark is read again and cut there, at once and without an attempt", async () => {
      const w = setUp({ onFailure: "stop", maxAttempts: 1, maxRecords: 10 }, { records: 10 });
      const sink = w.world.ledger.openSink("table", {});
      const node = w.world.node("table", (message, _send, done) => {
        const part = sink.accept(message, done), { lineage } = part.deliveries[0]!;
        if (lineage!.firstOffset < 4n && lineage!.nextOffset > 4n) { part.fail(new TicklakeError("DELIVERY_CUT", "straddles"), { cutAt: 4n }); return; }
        part.park();
        part.done();
      }, { type: "sink" });
      w.out.wires = [node];
      w.take = (records, send, done) => { send(records); done(); };
      w.start(0);
      assert.ok(await w.run(() => w.committed() === 10));
      assert.deepEqual(w.taken.map((list) => list.length), [10, 4, 6]);
      assert.deepEqual(w.errors, []);
    });
  });

  describe("dead letters", () => {
    const deadLetter = { onFailure: "dead-letter", maxAttempts: 2 };
    const poison = (w: SourceWorld, bad: ReadonlySet<number>, good: number[]): void => {
      w.take = (records, _send, done) => {
        const list = records.map(numberOf);
        if (list.some((n) => bad.has(n))) { done(new Error("bad")); return; }
        good.push(...list);
        done();
      };
    };

    it("any set of bad records ends exactly with these on output 2, their neighbours delivered once, in order", async () => {
      await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 60 }), fc.uniqueArray(fc.nat(59), { maxLength: 12 }), fc.integer({ min: 1, max: 20 }), fc.nat(1000), async (count, list, maxRecords, seed) => {
        const bad = new Set(list.filter((n) => n < count));
        const w = setUp({ ...deadLetter, maxRecords }, { records: count, seed });
        const good: number[] = [];
        poison(w, bad, good);
        w.start(0);
        // A batch of nothing but bad records looks like an outage until others come behind it.
        await w.pass(20_000);
        for (let n = 1000; w.committed() < count; n++) { w.cluster.append("t/0", JSON.stringify({ n })); await w.pass(60_000); if (n > 1200) break; }
        assert.ok(w.committed() >= count, `${w.committed()} of ${count}`);
        assert.deepEqual(w.letters.map(({ offset }) => offset), [...bad].sort((a, b) => a - b));
        // What a foreign node has done behind a batch that failed, it gets again; in one batch nothing comes twice but the last one that passes behind a bad one: of that nobody can tell yet.
        const first = good.filter((n) => n < 1000), wanted = upTo(count).filter((n) => !bad.has(n));
        if (count <= maxRecords) {
          assert.deepEqual([...new Set(first)], wanted);
          assert.deepEqual(first.filter((n, k) => first.indexOf(n) !== k && !(n === wanted.at(-1) && bad.has(n - 1))), []);
        } else assert.deepEqual([...new Set(first)].sort((a, b) => a - b), wanted);
      }), { numRuns: 60 });
    }).timeout(120_000);

    it("into a table: dead letters apart, each other record once, never beyond a record whose fate is open", async () => {
      await fc.assert(fc.asyncProperty(fc.integer({ min: 2, max: 50 }), fc.uniqueArray(fc.nat(49), { maxLength: 8 }), fc.nat(1000), fc.nat(60), async (count, list, seed, crashAt) => {
        const bad = new Set(list.filter((n) => n < count - 1));
        const w = setUp({ ...deadLetter, maxRecords: 12 }, { records: count, seed });
        let sink = new SimSink(w.world, "table", { intervalMs: 1000, commitMs: 50 });
        w.out.wires = [sink.node];
        w.take = (records, send, done) => {
          if (records.some((record) => bad.has(numberOf(record)))) { done(new Error("bad")); return; }
          send(records.map((record) => ({ id: String(numberOf(record)), n: numberOf(record) })) as never);
          done();
        };
        w.start(0);
        await w.pass(crashAt * 200);
        // The process dies anywhere; the table and the group's offsets are what is left.
        w.world.loop.clear();
        w.world.boot();
        sink.open();
        w.open();
        w.start(0);
        assert.ok(await w.run(() => w.committed() === count, 400_000), `${w.committed()} of ${count}`);
        const letters = new Set(w.letters.map(({ offset }) => offset as number));
        assert.deepEqual([...letters].sort((a, b) => a - b), [...bad].sort((a, b) => a - b));
        assert.deepEqual([...sink.counts()].filter(([, times]) => times !== 1), []);
        assert.deepEqual([...sink.counts().keys()].map(Number).sort((a, b) => a - b), upTo(count).filter((n) => !bad.has(n)));
        sink = undefined as never;
      }), { numRuns: 60 });
    }).timeout(120_000);

    it("an outage of five minutes sends nothing there, and afterwards everything is delivered", async () => {
      const w = setUp({ ...deadLetter, maxRecords: 10 }, { records: 100 });
      const good: number[] = [];
      let away = true;
      w.take = (records, _send, done) => { if (away) done(new Error("away")); else { good.push(...records.map(numberOf)); done(); } };
      w.start(0);
      await w.pass(300_000);
      assert.deepEqual(w.letters, []);
      assert.ok(w.warnings.some((text) => /looks like an outage/.test(text)));
      assert.ok(w.taken.length < 2500, `${w.taken.length} deliveries in five minutes`);
      away = false;
      assert.ok(await w.run(() => w.committed() === 100));
      assert.deepEqual(good, upTo(100));
      assert.deepEqual(w.letters, []);
    });

    /** Outages of up to five minutes, as times of beginning and end, at least a second apart. */
    const outagesOf = (list: readonly { gap: number; length: number }[]): { from: number; to: number }[] => {
      let time = 0;
      return list.map(({ gap, length }) => { const from = time + gap; time = from + length; return { from, to: time }; });
    };
    const anyOutages = fc.array(fc.record({ gap: fc.oneof(fc.integer({ min: 1000, max: 5000 }), fc.integer({ min: 1000, max: 60_000 })), length: fc.oneof(fc.integer({ min: 1000, max: 30_000 }), fc.integer({ min: 1000, max: 300_000 })) }), { maxLength: 3 })
      .filter((list) => list.reduce((sum, { length }) => sum + length, 0) < 450_000);

    it("through outages that begin and end at any moment, also while a batch is taken apart or a dead letter is under way, exactly the bad records go there", async () => {
      let midway = 0;
      await fc.assert(fc.asyncProperty(
        fc.integer({ min: 1, max: 40 }), fc.uniqueArray(fc.nat(39), { maxLength: 6 }), fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 20 }), anyOutages, fc.constantFrom(3, 40, 200), fc.constantFrom(0, 50, 2000), fc.boolean(), fc.nat(1000),
        async (count, list, partitions, maxRecords, outageList, slowness, trickle, both, seed) => {
          const bad = new Set(list.filter((n) => n < count));
          const outages = outagesOf(outageList);
          const w = setUp({ ...deadLetter, maxRecords }, { records: trickle ? 0 : count, partitions, seed });
          const isAway = (): boolean => outages.some(({ from, to }) => w.world.loop.now >= from && w.world.loop.now < to);
          if (trickle) for (let n = 0; n < count; n++) w.world.loop.at(n * trickle, () => w.cluster.append(`t/${n % partitions}`, JSON.stringify({ n })));
          const good: number[] = [];
          let free = 0;
          // One after the other.
          w.take = (records, _send, done) => {
            const list = records.map(numberOf);
            free = Math.max(free, w.world.loop.now) + w.world.integer(0, slowness);
            w.world.loop.at(free - w.world.loop.now, () => {
              if (isAway()) {
                if (w.source.status().text.includes("looking for")) midway++;
                done(new Error("away"));
              } else if (list.some((n) => bad.has(n))) done(new Error("bad"));
              else { good.push(...list); done(); }
            });
          };
          w.letterNode = (done) => { w.world.loop.at(w.world.integer(0, slowness), () => done(both && isAway() ? new Error("away") : undefined)); };
          w.consumer.fetchMs = 20;
          w.start(...upTo(partitions));
          await w.pass((outages.at(-1)?.to ?? 0) + 60_000 + count * trickle);
          // Others come behind them, so that there is something to tell by.
          let n = 1000;
          const ends = upTo(partitions).map((p) => Math.ceil((count - p) / partitions));
          for (; ends.some((end, p) => w.committed(p) < end) && n < 1200; n++) { for (const p of upTo(partitions)) w.cluster.append(`t/${p}`, JSON.stringify({ n })); await w.pass(40_000); }
          assert.ok(ends.every((end, p) => w.committed(p) >= end), `committed ${upTo(partitions).map((p) => w.committed(p)).join()} of ${ends.join()}`);
          const letters = new Set(w.letters.map(({ value }) => (JSON.parse(value as string) as { n: number }).n));
          assert.deepEqual([...letters].sort((a, b) => a - b), [...bad].sort((a, b) => a - b));
          for (const p of upTo(partitions)) {
            // In order: what is taken out of turn while an outage ends is taken once more.
            const last = [...new Set(good.reverse())].reverse().filter((k) => k < 1000 && k % partitions === p);
            good.reverse();
            assert.deepEqual(last, upTo(count).filter((k) => k % partitions === p && !bad.has(k)));
          }
        }), { numRuns: 100 });
      assert.ok(midway > 0, "outages hit batches that were being taken apart");
    }).timeout(240_000);

    it("a slow topic of single records: an outage of minutes sends nothing there, whenever it begins", async () => {
      await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 1000, max: 300_000 }), fc.integer({ min: 100, max: 90_000 }), fc.integer({ min: 1, max: 3 }), fc.nat(1000), async (from, length, every, partitions, seed) => {
        const w = setUp(deadLetter, { partitions, seed });
        for (let n = 0; n < 5; n++) w.world.loop.at(n * every, () => w.cluster.append(`t/${n % partitions}`, JSON.stringify({ n })));
        w.take = (_records, _send, done) => { w.world.loop.at(5, () => { const { now } = w.world.loop; done(now >= from && now < from + length ? new Error("away") : undefined); }); };
        w.consumer.fetchMs = 50;
        w.start(...upTo(partitions));
        await w.pass(Math.max(5 * every, from + length) + 40_000);
        assert.deepEqual(w.letters, []);
        assert.deepEqual(upTo(partitions).map((p) => w.committed(p)), upTo(partitions).map((p) => Math.ceil((5 - p) / partitions)));
      }), { numRuns: 60 });
    }).timeout(120_000);

    it("an outage while records trickle in one by one on several partitions sends nothing there", async () => {
      const w = setUp({ ...deadLetter, maxRecords: 10 }, { records: 3, partitions: 3 });
      w.take = (_records, _send, done) => done(new Error("away"));
      w.start(0, 1, 2);
      await w.pass(300_000);
      assert.deepEqual(w.letters, []);
      w.take = (_records, _send, done) => done();
      assert.ok(await w.run(() => [0, 1, 2].every((p) => w.committed(p) === 1)));
    });

    it("a single record at the head of a quiet topic goes there when it has failed alone for ten minutes, with the reason", async () => {
      const w = setUp(deadLetter, { records: 1 });
      w.take = (_records, _send, done) => done(new Error("cannot"));
      let refused = 0;
      // Output 2 refuses it at first: it need not fail for ten minutes more.
      w.letterNode = (done) => done(refused++ < 2 ? new Error("full") : undefined);
      w.start(0);
      await w.pass(590_000);
      assert.deepEqual([w.letters, w.committed()], [[], 0]);
      assert.ok(w.warnings.some((text) => /nothing has passed since: that may be an outage.*cannot/.test(text)), w.warnings.join("\n"));
      assert.ok(w.taken.length < 100, `${w.taken.length} deliveries in ten minutes`);
      assert.ok(await w.run(() => w.committed() === 1, 150_000));
      assert.deepEqual(w.letters.map(({ value, reason, offset }) => ({ value, reason, offset })), [{ value: '{"n":0}', reason: "cannot", offset: 0 }]);
    });

    it("a single record that fails goes there soon when others of the topic pass: records behind it, or another partition", async () => {
      const behind = setUp(deadLetter, { records: 1 });
      poison(behind, new Set([0]), []);
      behind.start(0);
      await behind.pass(60_000);
      assert.deepEqual(behind.letters, []);
      for (const n of [1, 2, 3]) behind.cluster.append("t/0", JSON.stringify({ n }));
      assert.ok(await behind.run(() => behind.committed() === 4, 60_000));
      assert.deepEqual(behind.letters.map(({ offset }) => offset), [0]);

      const beside = setUp({ ...deadLetter, maxRecords: 10 }, { records: 2, partitions: 2 });
      poison(beside, new Set([0]), []);
      beside.start(0, 1);
      await beside.pass(60_000);
      assert.deepEqual(beside.letters, [], "what passed before it failed tells nothing");
      for (const n of [3, 5]) { beside.cluster.append("t/1", JSON.stringify({ n })); await beside.pass(2000); }
      assert.equal(beside.committed(), 1);
      assert.deepEqual(beside.letters.map(({ value }) => value), ['{"n":0}']);
    });

    it("what is sent elsewhere proves nothing: records that cannot be decoded, another topic's", async () => {
      const w = setUp({ ...deadLetter, topics: "t u", maxRecords: 5 }, { records: 1 });
      w.cluster.topic("u", 1);
      w.take = ([record], _send, done) => done(numberOf(record!) < 100 ? new Error("away") : undefined);
      w.start(0);
      w.world.loop.at(1, () => w.consumer.assign({ topic: "u", partition: 0 }));
      for (let k = 0; k < 30; k++) {
        if (k % 3 === 0) w.cluster.append("t/0", "{oops");
        w.cluster.append("u/0", '{"n":100}');
        await w.pass(10_000);
      }
      assert.deepEqual([w.letters.filter(({ attempts }) => attempts > 0), w.committed()], [[], 0]);
      w.take = (_records, _send, done) => done();
      assert.ok(await w.run(() => w.committed() === 11));
      assert.deepEqual(w.letters.filter(({ attempts }) => attempts > 0), []);
    });

    it("a single record whose sink is not let in stays: a changed password is an outage, however slow the feed", async () => {
      const w = setUp(deadLetter, { records: 1 });
      const denied = new TicklakeError("KAFKA_DENIED", "broker:9092 refused user \"ada\"", { details: { access: true } });
      w.take = (_records, _send, done) => done(denied);
      w.start(0);
      await w.pass(300_000);
      assert.deepEqual([w.letters, w.committed()], [[], 0]);
      w.take = (_records, _send, done) => done();
      assert.ok(await w.run(() => w.committed() === 1));
      assert.deepEqual(w.letters, []);
    });

    it("nothing goes there because its sink was fenced, also while a batch is taken apart", async () => {
      const w = setUp(deadLetter, { records: 12 });
      let fencings = 0;
      w.take = (records, _send, done) => {
        const list = records.map(numberOf);
        // The tenth is bad; whoever tries the third alone is fenced, now and then.
        if (list.length === 1 && list[0] === 2 && fencings++ < 5) { done(new TicklakeError("KAFKA_FENCED", "somebody else")); return; }
        done(list.includes(9) || (list.includes(2) && list.length > 1) ? new Error("bad") : undefined);
      };
      w.start(0);
      assert.ok(await w.run(() => w.committed() === 12, 300_000));
      assert.deepEqual(w.letters.map(({ offset }) => offset), [9]);
    });

    it("two records that are too large go there, although both of two fail", async () => {
      const w = setUp(deadLetter, { records: 2 });
      w.take = (_records, _send, done) => done(new TicklakeError("KAFKA_RECORD_TOO_LARGE", "too large"));
      w.start(0);
      assert.ok(await w.run(() => w.committed() === 2));
      assert.deepEqual(w.letters.map(({ offset }) => offset), [0, 1]);
    });

    it("the offset passes them only when they are delivered there", async () => {
      const w = setUp(deadLetter, { records: 3 });
      poison(w, new Set([1]), []);
      let refusals = 4;
      w.letterNode = (done) => (refusals-- > 0 ? done(new Error("full")) : done());
      w.start(0);
      await w.pass(2500);
      assert.equal(w.committed(), 1);
      assert.ok(await w.run(() => w.committed() === 3, 300_000));
      assert.deepEqual(w.letters.map(({ offset }) => offset), [1]);
    });

    it("flows stopped, a rebalance or a seek in the middle: taking apart begins again and ends the same", async () => {
      await fc.assert(fc.asyncProperty(fc.uniqueArray(fc.nat(28), { minLength: 1, maxLength: 6 }), fc.array(fc.record({ at: fc.integer({ min: 1, max: 400 }), what: fc.constantFrom("stop", "rebalance", "lose") }), { maxLength: 4 }), fc.nat(1000), async (list, events, seed) => {
        const bad = new Set(list);
        const w = setUp({ ...deadLetter, maxAttempts: 1, maxRecords: 30 }, { records: 30, seed });
        const good = new Set<number>();
        w.take = (records, _send, done) => {
          w.world.loop.at(w.world.integer(0, 5), () => {
            if (records.some((record) => bad.has(numberOf(record)))) { done(new Error("bad")); return; }
            for (const record of records) good.add(numberOf(record));
            done();
          });
        };
        w.start(0);
        for (const { at, what } of events) {
          await w.pass(at);
          if (what === "stop") { w.stopFlows(); await w.pass(100); w.startFlows(); }
          else if (what === "lose") { w.consumer.lose({ topic: "t", partition: 0 }); await w.pass(10); w.consumer.assign({ topic: "t", partition: 0 }); }
          else {
            let over = false;
            void w.consumer.rebalance([]).then(() => w.consumer.rebalance([{ topic: "t", partition: 0 }])).then(() => { over = true; });
            await w.run(() => over);
          }
        }
        assert.ok(await w.run(() => w.committed() === 30, 300_000), `${w.committed()}`);
        assert.deepEqual([...new Set(w.letters.map(({ offset }) => offset as number))].sort((a, b) => a - b), [...bad].sort((a, b) => a - b));
        assert.deepEqual([...good].sort((a, b) => a - b), upTo(30).filter((n) => !bad.has(n)));
      }), { numRuns: 60 });
    }).timeout(120_000);
  });
});

describe("kafka source in its group", () => {
  const t = (partition: number) => ({ topic: "t", partition });

  it("begins at the end, at a time, or where the group was", async () => {
    for (const [config, committed, first] of [
      [{ startingOffsets: "latest" }, undefined, 20], [{ startingOffsets: "timestamp", startingTimestamp: 1_700_000_000_012 }, undefined, 12], [{ startingOffsets: "earliest" }, 5n, 5],
    ] as const) {
      const w = setUp(config);
      for (let n = 0; n < 20; n++) w.cluster.append("t/0", JSON.stringify({ n }), 1_700_000_000_000 + n);
      if (committed !== undefined) w.cluster.committed.set("t/0", committed);
      w.start(0);
      await w.pass(500);
      w.cluster.append("t/0", '{"n":20}');
      assert.ok(await w.run(() => w.committed() === 21));
      assert.equal(numbers(w.taken)[0], first);
      if (committed === undefined) assert.equal(w.cluster.commits[0]!.offset, BigInt(first));
    }
  });

  it("partitions and topics that are added later are read from their first record, whatever startingOffsets says", async () => {
    const w = setUp({ startingOffsets: "latest" }, { records: 3 }).start(0);
    await w.pass(100);
    w.cluster.topic("t", 2);
    w.cluster.append("t/1", '{"n":7}');
    w.consumer.assign(t(1));
    assert.ok(await w.run(() => w.committed(1) === 1));
    assert.deepEqual(numbers(w.taken), [7]);
  });

  it("a partition that was added while the group was away is read from its first record, too", async () => {
    const w = setUp({ startingOffsets: "latest" }, { records: 4, partitions: 2 });
    w.cluster.committed.set("t/0", 2n);
    w.start(0, 1);
    assert.ok(await w.run(() => w.committed(1) === 2));
    assert.deepEqual(numbers(w.taken), [1, 3]);
  });

  it("a member that begins beside another does not take the other's partitions for added ones", async () => {
    // The other one has committed its start between our look at the group and our assignment.
    const w = setUp({ startingOffsets: "latest" }, { records: 4, partitions: 2 });
    w.start();
    await w.pass(50);
    w.cluster.committed.set("t/0", 2n);
    w.consumer.assign(t(1));
    await w.pass(3000);
    assert.deepEqual(w.taken, []);
    assert.equal(w.committed(1), 2);
  });

  it("waits for a cluster that is down at the start, says so, and begins when it is there", async () => {
    const w = setUp({ startingOffsets: "latest" }, { records: 1 });
    w.cluster.down = new TicklakeError("KAFKA_UNREACHABLE", "No broker answers at localhost:9092.");
    w.sending = true;
    w.world.ledger.started();
    w.source.start();
    await w.pass(30_000);
    assert.equal(w.consumer.started, false);
    assert.match(w.source.status().text, /^broker down: No broker answers/);
    assert.equal(w.warnings.length, 1, "told once");
    w.cluster.down = undefined;
    assert.ok(await w.run(() => w.consumer.started));
  });

  it("what is settled is committed before a rebalance; lost partitions are aborted; those that stay go on", async () => {
    const w = setUp({ maxRecords: 5 }, { records: 40, partitions: 2 });
    const waiting: { list: KafkaRecord[]; done: () => void }[] = [];
    w.take = (records, _send, done) => { if (numberOf(records[0]!) >= 20) waiting.push({ list: [...records], done }); else done(); };
    w.start(0, 1);
    assert.ok(await w.run(() => waiting.length === 4));
    let over = false;
    void w.consumer.rebalance([t(0)]).then(() => { over = true; });
    assert.ok(await w.run(() => over, 5000));
    assert.deepEqual([w.committed(0), w.committed(1)], [10, 10]);
    const sent = w.taken.length;
    for (const { done } of waiting) done();
    assert.ok(await w.run(() => w.committed(0) === 20));
    await w.pass(5000);
    assert.equal(w.committed(1), 10, "nothing is committed for a partition that is not ours");
    assert.equal(w.taken.length, sent, "what stays is not read again");
  });

  it("a partition that comes back goes on after what was committed", async () => {
    const w = setUp({ maxRecords: 5 }, { records: 10 });
    w.take = () => undefined;
    w.start(0);
    assert.ok(await w.run(() => w.taken.length === 2));
    w.consumer.lose(t(0));
    w.take = (_records, _send, done) => done();
    w.consumer.assign(t(0));
    assert.ok(await w.run(() => w.committed() === 10));
    assert.deepEqual(numbers(w.taken), [...upTo(10), ...upTo(10)]);
  });

  it("through any rebalances, stops, failures and crashes a table holds every record exactly once", async () => {
    const event = fc.record({ after: fc.integer({ min: 1, max: 3000 }), what: fc.constantFrom("rebalance", "lose", "stop", "crash", "seek", "refuse") });
    await fc.assert(fc.asyncProperty(fc.array(event, { maxLength: 8 }), fc.nat(10_000), async (events, seed) => {
      const w = setUp({ maxRecords: 7, maxInFlight: 60 }, { records: 200, partitions: 2, seed });
      const sink = new SimSink(w.world, "table", { intervalMs: 700, commitMs: 100, giveBack: 0.2 });
      w.out.wires = [sink.node];
      w.take = (records, send, done) => {
        w.world.loop.at(w.world.integer(0, 30), () => {
          if (w.world.chance(0.03)) { done(new Error("now and then")); return; }
          send(records.map((record) => ({ id: String(numberOf(record)), n: numberOf(record) })) as never);
          done();
        });
      };
      w.start(0, 1);
      for (const { after, what } of events) {
        await w.pass(after);
        if (w.consumer.assignment.length < 2) continue;
        if (what === "crash") {
          w.world.loop.clear();
          w.world.boot();
          sink.open();
          w.open();
          w.start(0, 1);
          await w.pass(2);
        } else if (what === "stop") {
          w.stopFlows();
          await w.pass(50);
          w.startFlows();
        } else if (what === "lose") {
          w.consumer.lose(t(0));
          await w.pass(20);
          w.consumer.assign(t(0));
        } else if (what === "seek") {
          let over = false;
          w.source.control({ command: "seek", topic: "t", partition: 1, to: "earliest", forget: false }).then(() => { over = true; }, () => { over = true; });
          await w.run(() => over, 10_000);
        } else if (what === "refuse") {
          w.consumer.refuse = new TicklakeError("KAFKA_FAILED", "coordinator is loading");
          await w.pass(1500);
          w.consumer.refuse = undefined;
        } else {
          let over = false;
          void w.consumer.rebalance([t(1)]).then(() => w.consumer.rebalance([t(0), t(1)])).then(() => { over = true; });
          await w.run(() => over, 10_000);
        }
      }
      assert.ok(await w.run(() => w.committed(0) === 100 && w.committed(1) === 100, 400_000), `${w.committed(0)} ${w.committed(1)}`);
      await w.pass(3000);
      assert.deepEqual([...sink.counts()].filter(([, times]) => times !== 1), []);
      assert.equal(sink.rows.length, 200);
      assert.deepEqual(w.world.errors, []);
    }), { numRuns: 40 });
  }).timeout(120_000);

  it("the group's offset never goes back, and never beyond what is delivered", async () => {
    await fc.assert(fc.asyncProperty(fc.nat(10_000), async (seed) => {
      const w = setUp({ maxRecords: 5 }, { records: 150, partitions: 2, seed });
      const done = [new Set<number>(), new Set<number>()];
      const check = (): void => {
        for (const p of [0, 1]) for (let n = p; n < 2 * w.committed(p); n += 2) assert.ok(done[p]!.has(n), `${n} is committed and was not done`);
      };
      w.take = (records, _send, end) => {
        w.world.loop.at(w.world.integer(0, 900), () => {
          check();
          if (w.world.chance(0.1)) { end(new Error("now and then")); return; }
          for (const record of records) done[numberOf(record) % 2]!.add(numberOf(record));
          end();
        });
      };
      w.start(0, 1);
      assert.ok(await w.run(() => w.committed(0) === 75 && w.committed(1) === 75, 400_000));
      for (const p of [0, 1]) {
        const offsets = w.cluster.commits.filter(({ key }) => key === `t/${p}`).map(({ offset }) => Number(offset));
        assert.deepEqual(offsets, [...offsets].sort((a, b) => a - b));
      }
    }), { numRuns: 30 });
  }).timeout(120_000);

  it("records that retention took: an error names the range once, and reading goes on at the earliest", async () => {
    const w = setUp({}, { records: 20 });
    w.cluster.committed.set("t/0", 3n);
    w.cluster.logs.get("t/0")!.earliest = 12;
    w.start(0);
    assert.ok(await w.run(() => w.committed() === 20));
    assert.equal(w.errors.length, 1);
    assert.equal(w.errors[0]!.code, "KAFKA_OFFSETS_LOST");
    assert.match(w.errors[0]!.message, /t\/0: offsets 3 to 11 \(9\) are no longer retained/);
    assert.deepEqual(numbers(w.taken), upTo(20).slice(12));
  });

  it("a log that ends before the group's offset was made anew: an error says so, and it is read from its beginning", async () => {
    const w = setUp({}, { records: 4 });
    w.cluster.committed.set("t/0", 900n);
    w.start(0);
    assert.ok(await w.run(() => w.committed() === 4));
    assert.match(w.errors[0]!.message, /stands at offset 900, but the log ends at 4: the topic was made anew/);
  });

  it("a batch of the log that cannot be decoded is told once and tried again; a seek beyond it goes on", async () => {
    const w = setUp({}, { records: 3 }).start(0);
    assert.ok(await w.run(() => w.committed() === 3));
    w.consumer.events.damaged({ ...t(0), offset: 3n }, new TicklakeError("KAFKA_RECORD_DAMAGED", "The checksum is wrong."));
    await w.pass(40_000);
    assert.equal(w.errors.length, 1);
    assert.match(w.errors[0]!.message, /The checksum is wrong. The partition stands at offset 3/);
    w.cluster.append("t/0", '{"n":3}');
    assert.ok(await w.run(() => w.committed() === 4), "it healed");
    assert.equal(w.source.status().kind, "ok");
  });

  it("a table that went back sends the source back, once, with a warning; what it lacks is written again", async () => {
    const w = setUp({ maxRecords: 5 }, { records: 20 });
    const sink = w.world.ledger.openSink("table", {});
    let rolledBack = false;
    const node = w.world.node("table", (message, _send, done) => {
      const part = sink.accept(message, done);
      if (part.state !== "held") return;
      part.park();
      part.done();
      if (!rolledBack && Number(part.deliveries[0]?.lineage?.firstOffset ?? 0) >= 10) {
        rolledBack = true;
        sink.rewind({ cluster: "cluster", group: "g", topic: "t", partition: 0 }, 2n, 10n, "Table db.t was rolled back.");
      }
    }, { type: "sink" });
    w.out.wires = [node];
    w.take = (records, send, done) => { send(records); done(); };
    w.start(0);
    assert.ok(await w.run(() => rolledBack));
    assert.ok(await w.run(() => w.committed() === 20));
    assert.deepEqual(w.warnings.filter((text) => /rolled back/.test(text)).length, 1);
    assert.match(w.warnings[0]!, /t\/0: Table db.t was rolled back. Offsets 2 to 9 are read again/);
    assert.deepEqual([...new Set(numbers(w.taken))], upTo(20));
    assert.ok(numbers(w.taken).filter((n) => n === 2).length === 2);
  });

  it("offsets that a transaction commits are not overtaken by an older commit of ours", async () => {
    const w = setUp({ maxRecords: 2, maxWaitMs: 0 }, { records: 60 });
    const sink = w.world.ledger.openSink("transactions", { commitsOffsets: true });
    let last = 0;
    const node = w.world.node("transactions", (message, _send, done) => {
      const part = sink.accept(message, done);
      part.park();
      // The transaction takes a while, and carries the offset.
      w.world.loop.at(300, () => {
        for (const { nextOffset } of part.deliveries.map((delivery) => delivery.lineage!)) {
          w.cluster.committed.set("t/0", nextOffset);
          last = Math.max(last, Number(nextOffset));
        }
        part.done();
      });
    }, { type: "sink" });
    w.out.wires = [node];
    w.take = (records, send, done) => { send(records); done(); };
    w.start(0);
    for (let k = 0; k < 200; k++) {
      await w.pass(50);
      assert.ok(w.committed() >= last || last === 0, `${w.committed()} after ${last}`);
      if (k % 3 === 0) w.cluster.append("t/0", JSON.stringify({ n: 60 + k }));
    }
    assert.ok(await w.run(() => w.committed() === w.cluster.logs.get("t/0")!.end));
  });

  it("close commits what is delivered, leaves, and sends nothing more", async () => {
    const w = setUp({ maxRecords: 5 }, { records: 20 });
    const waiting: (() => void)[] = [];
    w.take = (records, _send, done) => { if (numberOf(records[0]!) >= 10) waiting.push(done); else done(); };
    w.start(0);
    assert.ok(await w.run(() => waiting.length === 2));
    let over = false;
    void w.source.close(12_000).then(() => { over = true; });
    assert.ok(await w.run(() => over, 12_000));
    assert.equal(w.committed(), 10);
    assert.ok(w.consumer.stopped);
  });

  it("close does not hang on a cluster that does not answer", async () => {
    const w = setUp({}, { records: 5 }).start(0);
    assert.ok(await w.run(() => w.taken.length > 0));
    w.consumer.commitMs = 1e9;
    w.consumer.stop = () => new Promise(() => undefined);
    const begin = w.world.loop.now;
    let over = false;
    void w.source.close(12_000).then(() => { over = true; });
    assert.ok(await w.run(() => over, 20_000));
    assert.ok(w.world.loop.now - begin <= 12_500);
  });
});

describe("kafka source, told what to do", () => {
  it("pauses and resumes all, a topic, or a partition; the latest word counts, also for partitions that come later", async () => {
    const w = setUp({}, { records: 4, partitions: 3 });
    w.start(0, 1);
    assert.ok(await w.run(() => w.taken.flat().length === 3));
    await w.source.control({ command: "pause" });
    await w.source.control({ command: "resume", topic: "t", partition: 1 });
    for (const p of [0, 1, 2]) w.cluster.append(`t/${p}`, JSON.stringify({ n: 10 + p }));
    w.consumer.assign({ topic: "t", partition: 2 });
    await w.pass(3000);
    assert.deepEqual(numbers(w.taken).filter((n) => n >= 10), [11]);
    await w.source.control({ command: "resume" });
    assert.ok(await w.run(() => numbers(w.taken).filter((n) => n >= 10).length === 3));
  });

  it("seeks: what is under way is given up, the new position is committed, and reading goes on there", async () => {
    const w = setUp({ maxRecords: 5 }, { records: 20 });
    w.take = () => undefined;
    w.start(0);
    assert.ok(await w.run(() => w.taken.length === 4));
    w.take = (_records, _send, done) => done();
    let over = false;
    void w.source.control({ command: "seek", to: { offset: 17n }, forget: false }).then(() => { over = true; });
    assert.ok(await w.run(() => over));
    assert.ok(w.committed() >= 17);
    assert.ok(await w.run(() => w.committed() === 20));
    assert.deepEqual(w.taken.slice(4).map((list) => list.map(numberOf)), [[17, 18, 19]]);
  });

  it("warns when a table has what is read again already, names it and the way; forget makes it forget first", async () => {
    const w = setUp({}, { records: 10 });
    const forgotten: string[] = [];
    w.world.ledger.openSink("sink1", {
      positions: (at) => [{ ...at, target: "db.trades", node: "sink1", nextOffset: 8n }],
      forget: async (at) => { forgotten.push(at.topic); return ["db.trades"]; },
    });
    w.start(0);
    assert.ok(await w.run(() => w.committed() === 10));
    const seek = async (to: bigint, forget: boolean): Promise<void> => {
      let over = false;
      void w.source.control({ command: "seek", to: { offset: to }, forget }).then(() => { over = true; });
      assert.ok(await w.run(() => over));
    };
    await seek(9n, false);
    assert.deepEqual(w.warnings, []);
    await seek(2n, false);
    assert.match(w.warnings[0]!, /db.trades has t\/0 up to offset 7: what is read again from 2 counts as duplicate.*forget: true: the table forgets/);
    await seek(2n, true);
    assert.deepEqual([forgotten, w.warnings.length], [["t"], 1]);
  });

  it("a table that cannot forget leaves the position as it was, and says why", async () => {
    const w = setUp({}, { records: 10 });
    w.world.ledger.openSink("sink1", { forget: () => Promise.reject(new TicklakeError("STORAGE_FAILED", "The disk is gone.")) });
    w.start(0);
    assert.ok(await w.run(() => w.committed() === 10));
    let error: Error | undefined;
    w.source.control({ command: "seek", to: "earliest", forget: true }).catch((caught: Error) => { error = caught; });
    assert.ok(await w.run(() => error !== undefined));
    assert.match(error!.message, /The disk is gone/);
    w.cluster.append("t/0", '{"n":10}');
    assert.ok(await w.run(() => w.committed() === 11));
    assert.deepEqual(numbers(w.taken), upTo(11));
  });

  it("records that cannot be decoded: on output 2 with their batch; without a wire told, not each of a flood, and passed", async () => {
    const w = setUp({}, { records: 2 });
    w.cluster.append("t/0", "{oops");
    w.cluster.append("t/0", '{"n":3}');
    w.start(0);
    assert.ok(await w.run(() => w.committed() === 4));
    assert.deepEqual(w.letters.map(({ value, attempts, offset }) => [value, attempts, offset]), [["{oops", 0, 2]]);
    const flood = setUp();
    flood.wired = false;
    for (let n = 0; n < 500; n++) flood.cluster.append("t/0", "{oops");
    flood.start(0);
    assert.ok(await flood.run(() => flood.committed() === 500));
    await flood.pass(20_000);
    assert.ok(flood.errors.length <= 8, `${flood.errors.length} errors`);
    assert.match(flood.errors[0]!.message, /t\/0 offset 0 cannot be decoded and was passed over/);
    assert.match(flood.errors.at(-1)!.message, /495 more records cannot be decoded/);
    assert.match(flood.source.status().text, /500 undecodable/);
  });

  it("shows where the data is", async () => {
    const w = setUp({ maxRecords: 5 }, { records: 20 });
    let first: (() => void) | undefined;
    w.take = (_records, _send, done) => { first ??= done; };
    w.world.ledger.openSink("sink1", { positions: (at) => [{ ...at, target: "db.trades", node: "sink1", nextOffset: 3n }] });
    w.start(0);
    assert.ok(await w.run(() => w.taken.length === 4));
    const [panel] = await w.source.panel();
    assert.deepEqual({ ...panel, oldest: undefined }, {
      topic: "t", partition: 0, state: "reading", committed: 0, delivered: 0, read: 20, end: 20, lag: 0, targets: [{ target: "db.trades", node: "node sink1", next: 3 }],
      inFlight: { batches: 4, records: 20 }, oldest: undefined,
    });
    assert.deepEqual([panel!.oldest!.firstOffset, panel!.oldest!.lastOffset, panel!.oldest!.holders.map(({ name, messages, parked }) => [name, messages, parked])], [0, 4, [["node out", 1, false]]]);
  });
});
