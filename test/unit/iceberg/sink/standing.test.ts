import assert from "node:assert/strict";
import { Standing } from "../../../../lib/iceberg/sink/standing";
import type { ReadWatermarks, Watermark } from "../../../../lib/iceberg/watermarks";

const mark = (nextOffset: number, more: Partial<Watermark> = {}): Watermark => ({
  writer: "w", cluster: "c", group: "g", topic: "t", partition: 0, nextOffset: BigInt(nextOffset), lastOffset: BigInt(nextOffset - 1), lastTimestamp: 1, firstOffset: 2n, ...more,
});
const read = (watermarks: Watermark[], more: Partial<ReadWatermarks> = {}): ReadWatermarks => ({ watermarks, from: "snapshot", reversed: [], reset: [], ...more });
const reversals = (standing: Standing): string[] => standing.reversals.map(({ at, to, from, cause }) => `${at.partition}: ${to}-${from} ${cause}`);

describe("where a table stands for a writer", () => {
  it("knows its own watermarks only, and finds each that went back", () => {
    const standing = new Standing("w", "u");
    standing.follow(read([mark(30), mark(20, { partition: 1 }), mark(99, { writer: "other" })]));
    assert.deepEqual([[...standing.marks.values()], reversals(standing)], [[30n, 20n], []]);
    standing.follow(read([mark(10), mark(25, { partition: 1 }), mark(5, { writer: "other" })]));
    assert.deepEqual(reversals(standing), ["0: 10-30 rolled-back"]);
  });

  it("goes back to where the writer began when nothing is left, and to 0 where that was not written down", () => {
    for (const [firstOffset, to] of [[7n, 7], [undefined, 0]] as const) {
      const standing = new Standing("w", "u");
      const { firstOffset: _f, ...rest } = mark(30);
      standing.follow(read([firstOffset === undefined ? rest : { ...rest, firstOffset }]));
      standing.follow(read([]));
      assert.deepEqual(reversals(standing), [`0: ${to}-30 rolled-back`]);
    }
  });

  it("keeps a reversal for which there was nobody to ask, until somebody has written on from there", () => {
    const standing = new Standing("w", "u");
    standing.follow(read([mark(30)]));
    standing.follow(read([mark(10)]));
    standing.follow(read([mark(10)]));
    assert.deepEqual(reversals(standing), ["0: 10-30 rolled-back"]);
    standing.follow(read([mark(15)]));
    assert.deepEqual(reversals(standing), [], "another process writes them again");
  });

  it("asks once, however often the table tells it, and again when it goes back further or the partition gets another source", () => {
    const standing = new Standing("w", "u");
    const told = (at: number): ReadWatermarks => read([mark(at)], { reversed: [mark(30)] });
    standing.follow(told(20));
    standing.asked(standing.reversals[0]!);
    standing.follow(told(20));
    assert.deepEqual(reversals(standing), []);
    standing.follow(told(10));
    assert.deepEqual(reversals(standing), ["0: 10-30 rolled-back"]);
    standing.asked(standing.reversals[0]!);
    standing.askAgain(mark(0, { partition: 1 }));
    assert.deepEqual(reversals(standing), []);
    standing.askAgain(mark(0));
    assert.deepEqual(reversals(standing), ["0: 10-30 rolled-back"]);
    standing.follow(told(10));
    assert.deepEqual(reversals(standing), ["0: 10-30 rolled-back"]);
  });

  it("does not ask again while what it asked for is being written, bit by bit", () => {
    const standing = new Standing("w", "u");
    const told = (at: number): ReadWatermarks => read([mark(at)], { reversed: at < 30 ? [mark(30)] : [] });
    standing.follow(told(10));
    standing.asked(standing.reversals[0]!);
    for (const at of [15, 20, 30, 35]) {
      standing.follow(told(at));
      assert.deepEqual(reversals(standing), []);
    }
    const other = new Standing("w", "u");
    other.follow(told(15));
    assert.deepEqual(reversals(other), ["0: 15-30 rolled-back"], "a process that begins in between goes on from there");
  });

  it("asks again for the same range when it was written and taken back once more", () => {
    const standing = new Standing("w", "u");
    standing.follow(read([mark(30)]));
    for (let time = 0; time < 2; time++) {
      standing.follow(read([mark(10)], { reversed: [mark(30)] }));
      assert.deepEqual(reversals(standing), ["0: 10-30 rolled-back"]);
      standing.asked(standing.reversals[0]!);
      standing.follow(read([mark(30)]));
    }
  });

  it("takes what was reset on purpose for no reversal, found before or after", () => {
    const standing = new Standing("w", "u");
    standing.follow(read([mark(30)]));
    standing.follow(read([], { reset: [mark(30)] }));
    assert.deepEqual(reversals(standing), []);
    const other = new Standing("w", "u");
    other.follow(read([mark(10)], { reversed: [mark(30)] }));
    other.follow(read([], { reset: [mark(30)] }));
    assert.deepEqual(reversals(other), []);
  });

  it("of a table in the place of another: what it holds less of is read again, what it knows nothing of begins anew", () => {
    const before = new Standing("w", "u1");
    before.follow(read([mark(30), mark(30, { partition: 1 })]));
    const after = new Standing("w", "u2", before);
    after.follow(read([mark(10)]));
    assert.deepEqual(reversals(after), ["0: 10-30 replaced"]);
    const again = new Standing("w", "u1", before);
    again.follow(read([mark(30)]));
    assert.deepEqual(reversals(again), ["1: 2-30 rolled-back"], "the same table, opened again");
  });

  it("lends the watermark of another cluster id until it has one of its own", () => {
    const standing = new Standing("w", "u"), at = { cluster: "new", group: "g", topic: "t", partition: 0 };
    const elsewhere = mark(5, { group: "other" });
    standing.follow(read([mark(30), elsewhere]));
    assert.deepEqual(standing.foreign(at).map(({ nextOffset }) => nextOffset), [30n]);
    standing.adopt(at, standing.foreign(at)[0]!);
    standing.follow(read([mark(30), elsewhere]));
    assert.equal(standing.mark(at)!.nextOffset, 30n);
    standing.follow(read([mark(30), elsewhere, mark(40, { cluster: "new" })]));
    assert.equal(standing.mark(at)!.nextOffset, 40n);
    standing.forget(at);
    standing.follow(read([mark(30), elsewhere], { reset: [mark(40, { cluster: "new" })] }));
    assert.deepEqual([standing.mark(at), reversals(standing)], [undefined, []]);
  });
});
