import assert from "node:assert/strict";
import fc from "fast-check";
import { Isolation, type BadRecord } from "../../../lib/kafka/source/isolate";

interface Outcome {
  delivered: number[];
  deadLetters: number[];
  end: "done" | "outage" | "evidence" | "recovered";
  /** What is left for a later attempt. */
  open: number[];
  sends: number;
}

/** Takes a batch apart: `fails` says what becomes of a range. Records are checked to leave in order: no dead letter after a later record was let through. */
function run(count: number, fails: (from: number, to: number, sends: number) => boolean | "certain", patience = Infinity): Outcome {
  const machine = new Isolation(count, patience);
  const delivered: number[] = [], deadLetters: number[] = [];
  const bury = (records: readonly BadRecord[]): void => { for (const { index } of records) deadLetters.push(index); };
  for (let sends = 0; ;) {
    const step = machine.next();
    const outcome = (end: Outcome["end"]): Outcome => ({ delivered, deadLetters, end, open: machine.suspected.map(({ index }) => index), sends });
    switch (step.kind) {
      case "send": {
        assert.ok(++sends <= 3 * count, "at most three deliveries per record");
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
      case "probe": {
        const verdict = fails(step.index, step.index + 1, ++sends);
        if (!verdict) return outcome("recovered");
        bury(machine.probeFailed(verdict === "certain"));
        break;
      }
      default: return outcome(step.kind);
    }
  }
}

describe("taking a batch apart", () => {
  const upTo = (n: number): number[] => Array.from({ length: n }, (_, k) => k);

  it("ends with exactly the bad records as dead letters and every other one delivered, in order; only of those nobody can tell behind which two do not pass", () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 200 }), fc.array(fc.nat(199), { maxLength: 40 }), (count, list) => {
      const bad = new Set(list.filter((k) => k < count));
      fc.pre(bad.size < count);
      const { delivered, deadLetters, end, open } = run(count, (from, to) => [...bad].some((k) => k >= from && k < to));
      assert.deepEqual([...deadLetters, ...open], [...bad].sort((a, b) => a - b));
      assert.deepEqual(delivered, upTo(count).filter((k) => !bad.has(k)));
      assert.equal(end, open.length === 0 ? "done" : "evidence");
      // Two pieces that pass behind it are enough.
      for (const k of open) assert.ok(delivered.filter((d) => d > k).length < 2 || open.some((o) => o > k && delivered.filter((d) => d > o).length < 2), `${k}`);
    }));
  });

  it("through an outage that begins and ends at any moment, nothing but bad records goes to the dead letters", () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 100 }), fc.array(fc.nat(99), { maxLength: 8 }), fc.array(fc.record({ gap: fc.integer({ min: 0, max: 120 }), length: fc.integer({ min: 1, max: 120 }) }), { maxLength: 1 }), fc.constantFrom(8, 32, Infinity), (count, list, outages, patience) => {
      const bad = new Set(list);
      const isAway = (sends: number): boolean => outages.some(({ gap, length }) => sends > gap && sends <= gap + length);
      const { delivered, deadLetters } = run(count, (from, to, sends) => isAway(sends) || [...bad].some((k) => k >= from && k < to), patience);
      assert.deepEqual(deadLetters.filter((k) => !bad.has(k)), []);
      assert.deepEqual(delivered.filter((k) => bad.has(k)), []);
    }), { numRuns: 2000 });
  });

  it("calls it an outage when every record of two or more fails alone: nothing is thrown out", () => {
    fc.assert(fc.property(fc.integer({ min: 2, max: 200 }), (count) => {
      const { sends, ...outcome } = run(count, () => true);
      assert.deepEqual(outcome, { delivered: [], deadLetters: [], end: "outage", open: upTo(count) });
      assert.ok(sends < 2 * count, `${sends}`);
    }));
  });

  it("is patient for so many records only, and gets through a bad beginning when it is more patient", () => {
    const bad = (from: number, to: number): boolean => upTo(20).some((k) => k >= from && k < to);
    assert.deepEqual({ ...run(100, bad, 8), sends: 0 }, { delivered: [], deadLetters: [], end: "outage", open: upTo(8), sends: 0 });
    assert.ok(run(1000, () => true, 8).sends < 40);
    assert.deepEqual(run(100, bad, 32).deadLetters, upTo(20));
  });

  it("an outage that begins in the middle does not cost two deliveries for every record that is left", () => {
    const { sends, deadLetters, end } = run(10_000, (_from, to, n) => to === 10_000 || n > 5, 8);
    assert.deepEqual([deadLetters, end], [[], "outage"]);
    assert.ok(sends < 200, `${sends}`);
  });

  it("of a record alone nobody can tell", () => { assert.deepEqual(run(1, () => true), { delivered: [], deadLetters: [], end: "evidence", open: [0], sends: 1 }); });

  it("a record alone is proven bad by what follows it, by what passes elsewhere, or by what is known of it", () => {
    const machine = new Isolation(1);
    machine.failed(new Error("bad"));
    machine.extend(2);
    assert.deepEqual(machine.next(), { kind: "send", from: 1, to: 2 });
    assert.deepEqual(machine.passed(), []);
    assert.deepEqual(machine.next(), { kind: "probe", index: 0 });
    assert.deepEqual(machine.probeFailed(), []);
    assert.deepEqual(machine.next(), { kind: "send", from: 2, to: 3 });
    assert.deepEqual(machine.passed().map(({ index }) => index), [0]);
    const other = new Isolation(1);
    other.failed(new Error("bad"));
    assert.deepEqual(other.othersPassed(), []);
    assert.deepEqual(other.next(), { kind: "probe", index: 0 });
    assert.deepEqual(other.probeFailed(), []);
    assert.deepEqual(other.next(), { kind: "evidence" });
    assert.deepEqual(other.othersPassed().map(({ index }) => index), [0]);
    const known = new Isolation(2);
    known.failed(new Error("bad"));
    known.failed(new Error("bad"), undefined, false, 1);
    assert.deepEqual(known.passed().map(({ index }) => index), [0]);
  });

  it("what went nowhere is no evidence", () => {
    const machine = new Isolation(3);
    machine.failed(new Error("away"));
    machine.failed(new Error("away"));
    machine.failed(new Error("away"));
    assert.deepEqual(machine.passed(false), []);
    assert.deepEqual(machine.passed(false), []);
    assert.deepEqual(machine.next(), { kind: "evidence" });
  });

  it("loses nothing when all passes after all", () => {
    assert.deepEqual(run(64, () => false), { delivered: upTo(64), deadLetters: [], end: "done", open: [], sends: 1 });
    assert.deepEqual(run(64, (_from, _to, sends) => sends < 4).delivered, upTo(64));
  });

  it("a record whose error says that it is the record is no sign of an outage", () => {
    assert.deepEqual(run(3, () => "certain"), { delivered: [], deadLetters: [0, 1, 2], end: "done", open: [], sends: 5 });
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
