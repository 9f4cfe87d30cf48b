import assert from "node:assert/strict";
import fc from "fast-check";
import { Isolation, type BadRecord } from "../../../lib/kafka/source/isolate";

interface Outcome { delivered: number[]; deadLetters: number[]; outage: boolean; sends: number }

/** Takes a batch apart: `fails` says what becomes of a range. Records are checked to leave in order: no dead letter after a later record was let through. */
function run(count: number, fails: (from: number, to: number, sends: number) => boolean | "certain", patience = Infinity): Outcome {
  const machine = new Isolation(count, patience);
  const delivered: number[] = [], deadLetters: number[] = [];
  const bury = (records: readonly BadRecord[]): void => { for (const { index } of records) deadLetters.push(index); };
  for (let sends = 0; ;) {
    const step = machine.next();
    switch (step.kind) {
      case "send": {
        assert.ok(++sends <= 2 * count, "at most two deliveries per record");
        const verdict = fails(step.from, step.to, sends);
        const below = new Set([...delivered, ...deadLetters, ...machine.suspected.map(({ index }) => index)]);
        for (let k = 0; k < step.from; k++) assert.ok(below.has(k), "in order");
        if (verdict) bury(machine.failed(new Error("bad"), "node", verdict === "certain"));
        else {
          bury(machine.passed());
          for (let k = step.from; k < step.to; k++) delivered.push(k);
        }
        break;
      }
      case "dead-letters":
        bury(machine.deadLettered());
        break;
      case "outage": return { delivered, deadLetters, outage: true, sends };
      case "done": return { delivered, deadLetters, outage: false, sends };
    }
  }
}

describe("taking a batch apart", () => {
  const upTo = (n: number): number[] => Array.from({ length: n }, (_, k) => k);

  it("ends with exactly the bad records as dead letters and every other one delivered, in order", () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 200 }), fc.array(fc.nat(199), { maxLength: 40 }), (count, list) => {
      const bad = new Set(list.filter((k) => k < count));
      fc.pre(bad.size < count || count === 1);
      const { delivered, deadLetters, outage } = run(count, (from, to) => [...bad].some((k) => k >= from && k < to));
      assert.equal(outage, false);
      assert.deepEqual(deadLetters, [...bad].sort((a, b) => a - b));
      assert.deepEqual(delivered, upTo(count).filter((k) => !bad.has(k)));
    }));
  });

  it("calls it an outage when every record of two or more fails alone: nothing is thrown out", () => {
    fc.assert(fc.property(fc.integer({ min: 2, max: 200 }), (count) => {
      assert.deepEqual(run(count, () => true), { delivered: [], deadLetters: [], outage: true, sends: 2 * count - 1 });
    }));
  });

  it("is patient for so many records only, and gets through a bad beginning when it is more patient", () => {
    const bad = (from: number, to: number): boolean => upTo(20).some((k) => k >= from && k < to);
    assert.deepEqual({ ...run(100, bad, 8), sends: 0 }, { delivered: [], deadLetters: [], outage: true, sends: 0 });
    assert.ok(run(1000, () => true, 8).sends < 40);
    assert.deepEqual(run(100, bad, 32).deadLetters, upTo(20));
  });

  it("takes a record alone at its word", () => { assert.deepEqual(run(1, () => true).deadLetters, [0]); });

  it("loses nothing when all passes after all", () => {
    assert.deepEqual(run(64, () => false), { delivered: upTo(64), deadLetters: [], outage: false, sends: 1 });
    assert.deepEqual(run(64, (_from, _to, sends) => sends < 4).delivered, upTo(64));
  });

  it("a record whose error says that it is the record is no sign of an outage", () => {
    assert.deepEqual(run(3, () => "certain"), { delivered: [], deadLetters: [0, 1, 2], outage: false, sends: 5 });
  });

  it("proves a record bad by one after it that passes, and only at the end of the batch by one before it", () => {
    const machine = new Isolation(4);
    const bad = [0, 1];
    const events: string[] = [];
    for (let step = machine.next(); step.kind === "send"; step = machine.next()) {
      const { from, to } = step;
      if (bad.some((k) => k >= from && k < to)) machine.failed(new Error("bad"));
      else events.push(`passed ${from}-${to}, proven ${machine.passed().map(({ index }) => index).join()}`);
      events.push(`suspected ${machine.suspected.map(({ index }) => index).join()}`);
    }
    assert.deepEqual(events, ["suspected ", "suspected ", "suspected 0", "suspected 0,1", "passed 2-4, proven 0,1", "suspected "]);
  });

  it("is cut where a sink says so, within the range only", () => {
    const machine = new Isolation(10);
    assert.equal(machine.cut(0), false);
    assert.equal(machine.cut(10), false);
    assert.equal(machine.cut(3), true);
    assert.deepEqual(machine.next(), { kind: "send", from: 0, to: 3 });
    machine.passed();
    assert.deepEqual(machine.next(), { kind: "send", from: 3, to: 10 });
  });
});
