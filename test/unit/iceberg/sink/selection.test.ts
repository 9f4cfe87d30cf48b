import assert from "node:assert/strict";
import fc from "fast-check";
import type { Delivery, Lineage, Part, PartState, Run } from "../../../../lib/delivery/types";
import { TicklakeError } from "../../../../lib/errors";
import { markKey, type Marks } from "../../../../lib/iceberg/sink/marks";
import { Selection, type Entry } from "../../../../lib/iceberg/sink/selection";

/** A batch [from, to) of a partition: `here` says whether rows of it came to this sink; `rows` how many fitted. */
interface BatchPlan { readonly length: number; readonly here: boolean; readonly rows: number }

interface Plan { readonly partitions: readonly (readonly BatchPlan[])[]; readonly marks: readonly number[]; readonly aborted: readonly number[]; readonly tied: boolean; readonly alone: number }

const plans: fc.Arbitrary<Plan> = fc.record({
  partitions: fc.array(fc.array(fc.record({ length: fc.integer({ min: 1, max: 9 }), here: fc.boolean(), rows: fc.integer({ min: 0, max: 4 }) }), { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 3 }),
  // Where the table stands: perhaps within a batch. Below 0: no mark.
  marks: fc.array(fc.integer({ min: -5, max: 45 }), { minLength: 3, maxLength: 3 }),
  /** Index of the first delivery that fails elsewhere meanwhile; beyond the end: none does. */
  aborted: fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 3, maxLength: 3 }),
  /** The first batches of the first two partitions are joined in one message. */
  tied: fc.boolean(),
  alone: fc.integer({ min: 0, max: 2 }),
});

class FakePart implements Part {
  state: PartState = "taken";
  cutAt: bigint | undefined;
  constructor(readonly deliveries: readonly Delivery[]) {}
  park(): void { this.state = "parked"; }
  done(): void { this.state = "done"; }
  fail(_error: Error, options: { cutAt?: bigint } = {}): void { this.state = "failed"; this.cutAt = options.cutAt; }
}

interface FakeDelivery extends Delivery { state: "settled" | "aborted" }

/** What the ledger would give, and what it does when deliveries fail: they and all later ones of the partition are aborted, with all that is tied to them. */
class Scene {
  readonly queues: FakeDelivery[][] = [];
  readonly parts: FakePart[] = [];
  readonly entries: Entry[] = [];
  readonly runs: Run[] = [];
  readonly marks: Marks;

  constructor(plan: Plan) {
    let row = 0;
    const add = (part: FakePart, rows: number): void => {
      this.parts.push(part);
      this.entries.push({ part, from: row, to: row += rows, arrivedAt: 0 });
    };
    const tied: FakeDelivery[] = [];
    plan.partitions.forEach((batches, partition) => {
      let offset = 0;
      const queue = batches.map(({ length, here, rows }, batch): FakeDelivery => {
        const lineage: Lineage = {
          cluster: "c", group: "g", topic: "t", partition, firstOffset: BigInt(offset), lastOffset: BigInt(offset + length - 1), lastTimestamp: offset, nextOffset: BigInt(offset + length),
        };
        offset += length;
        const delivery: FakeDelivery = { partition: String(partition), records: length, bytes: length, lineage, context: undefined, token: `${partition}/${batch}`, source: "s", epoch: 0, batch, state: "settled", openedAt: 0 };
        if (plan.tied && batch === 0 && partition < 2 && plan.partitions.length > 1) tied.push(delivery);
        else if (here) add(new FakePart([delivery]), rows);
        return delivery;
      });
      this.queues.push(queue);
    });
    if (tied.length > 0) add(new FakePart(tied), 3);
    for (let k = 0; k < plan.alone; k++) {
      const part = new FakePart([]);
      part.state = "parked";
      add(part, 2);
    }
    for (const [partition, deliveries] of this.queues.entries()) {
      const parts = this.parts.filter((part) => part.deliveries.some((d) => deliveries.includes(d as FakeDelivery)));
      const lineage = { ...deliveries.at(-1)!.lineage!, firstOffset: deliveries[0]!.lineage!.firstOffset };
      if (parts.length > 0) this.runs.push({ source: "s", partition: String(partition), epoch: 0, deliveries, parts, lineage });
    }
    this.marks = new Map(plan.marks.flatMap((mark, partition) => (mark < 0 ? [] : [[markKey({ cluster: "c", group: "g", topic: "t", partition }), BigInt(mark)] as const])));
  }

  abort(partition: number, index: number): void {
    for (const delivery of this.queues[partition]!.slice(index)) {
      if (delivery.state === "aborted") continue;
      delivery.state = "aborted";
      for (const part of this.parts) {
        if (!part.deliveries.includes(delivery)) continue;
        if (part.state === "taken") part.state = "dropped";
        for (const other of part.deliveries) this.abort(Number(other.partition), this.queues[Number(other.partition)]!.indexOf(other as FakeDelivery));
      }
    }
  }

  /** The verdicts that are due. */
  judge(): void {
    for (const part of this.parts) {
      if (part.state === "failed") for (const d of part.deliveries) this.abort(Number(d.partition), this.queues[Number(d.partition)]!.indexOf(d as FakeDelivery));
    }
  }
}

const refusal = (selection: Selection, marks: Marks): string | undefined => {
  try {
    selection.check(marks);
    return undefined;
  } catch (error) {
    return (error as TicklakeError).code;
  }
};

describe("what a commit takes", () => {
  it("is checked against every base; what is left after aborts, doubles and cuts may be committed at once, and loses nothing", () => {
    fc.assert(fc.property(plans, (plan) => {
      const scene = new Scene(plan);
      const { marks } = scene;
      let left = Selection.of(scene.runs, scene.entries);
      plan.aborted.forEach((index, partition) => { if (scene.queues[partition]?.[index]) scene.abort(partition, index); });
      const duplicates = new Set<Part>();
      let rounds = 0;
      while (refusal(left, marks) !== undefined) {
        assert.ok(++rounds < 3, "it comes to an end");
        left.cut(marks);
        if (left.pending) assert.equal(refusal(left, marks), "DELIVERY_ABORTED", "nothing is committed before the ledger has judged");
        scene.judge();
        assert.equal(left.pending, false);
        left = left.reduce(marks, ({ part }) => { duplicates.add(part); part.done(); });
      }
      const mark = (partition: number): number => Math.max(plan.marks[partition]!, 0);
      const written = new Set(left.parts);
      for (const { part } of scene.entries) {
        const { state } = part;
        const [first, ...more] = part.deliveries;
        if (!first) assert.ok(written.has(part), "what has no delivery is always written");
        else if (state === "dropped") assert.ok(!written.has(part));
        else {
          const places = part.deliveries.map(({ lineage }) => ({ from: Number(lineage!.firstOffset), next: Number(lineage!.nextOffset), at: mark(lineage!.partition) }));
          if (places.every(({ next, at }) => next <= at)) assert.ok(duplicates.has(part) && !written.has(part), "below the mark: done, not written");
          else if (more.length === 0 && places[0]!.from < places[0]!.at) assert.equal((part as FakePart).cutAt, BigInt(places[0]!.at), "across the mark: cut there");
          else assert.ok(written.has(part), "new: written");
        }
      }
      for (const moved of left.watermarks("w")) {
        assert.ok(Number(moved.nextOffset) > mark(moved.partition) || plan.marks[moved.partition]! < 0, "a watermark never goes back");
        for (const delivery of scene.queues[moved.partition]!) {
          if (Number(delivery.lineage!.nextOffset) > Number(moved.nextOffset)) continue;
          assert.equal(delivery.state, "settled", "nothing aborted is covered");
          for (const part of scene.parts) if (part.deliveries.includes(delivery)) assert.ok(written.has(part) || duplicates.has(part), "all that it covers is written or was");
        }
      }
      const numbers = left.ranges.flatMap(([from, to]) => Array.from({ length: to - from }, (_, k) => from + k));
      const expected = left.entries.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, k) => from + k)).sort((a, b) => a - b);
      assert.deepEqual(numbers, expected);
      assert.equal(left.rows, numbers.length);
    }), { numRuns: 3000 });
  });

  it("waits for the verdict on a batch that was cut before it judges those behind it", () => {
    const scene = new Scene({ partitions: [[{ length: 10, here: true, rows: 1 }, { length: 5, here: true, rows: 1 }]], marks: [4, -1, -1], aborted: [9, 9, 9], tied: false, alone: 0 });
    const selection = Selection.of(scene.runs, scene.entries);
    selection.cut(scene.marks);
    assert.equal(selection.pending, true);
    assert.equal(refusal(selection.reduce(scene.marks, () => assert.fail()), scene.marks), "DELIVERY_ABORTED", "10-15 alone would move the watermark over 4-10");
  });
});
