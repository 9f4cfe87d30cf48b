import assert from "node:assert/strict";
import fc from "fast-check";
import { applyUpdates, newTableMetadata } from "../../../lib/iceberg/metadata";
import type { TableMetadata } from "../../../lib/iceberg/types";
import { carryWatermarks, encodeWatermarks, encodeWatermarksProperty, findReversal, keepWatermarks, mergeWatermarks, readWatermarks, resetWatermarks, rewindWatermarks, type Watermark, WATERMARKS } from "../../../lib/iceberg/watermarks";
import { SCHEMA, SPEC } from "../../support/iceberg";

const mark = (nextOffset: bigint, more: Partial<Watermark> = {}): Watermark => ({
  writer: "node-1", cluster: "k1", group: "g", topic: "trades", partition: 0, nextOffset, lastOffset: nextOffset - 1n, lastTimestamp: 1_730_419_200_000, ...more,
});

/** A table to which snapshots are added by hand. */
class History {
  metadata: TableMetadata = newTableMetadata({ schema: SCHEMA, spec: SPEC, location: "/t", uuid: "u", nowMs: 0 });

  /** A snapshot of ours (with watermarks) or of another engine (without). */
  add(id: bigint, watermarks?: readonly Watermark[]): this {
    const sequence = this.metadata["last-sequence-number"] + 1;
    const parent = this.metadata["current-snapshot-id"];
    this.metadata = applyUpdates(this.metadata, [
      {
        action: "add-snapshot",
        snapshot: {
          "snapshot-id": id, "sequence-number": sequence, "timestamp-ms": sequence, "manifest-list": "", summary: watermarks ? { [WATERMARKS]: encodeWatermarks(watermarks) } : {},
          ...(parent === undefined ? {} : { "parent-snapshot-id": parent }),
        },
      },
      { action: "set-snapshot-ref", "ref-name": "main", type: "branch", "snapshot-id": id },
      ...(watermarks ? [{ action: "set-properties" as const, updates: { [WATERMARKS]: encodeWatermarksProperty(watermarks, id, sequence) } }] : []),
    ], sequence);
    return this;
  }

  /** A snapshot with the same rows, as compaction makes it. */
  replace(id: bigint): this {
    const sequence = this.metadata["last-sequence-number"] + 1;
    const { summary, updates } = carryWatermarks(this.metadata, id, sequence);
    const parent = this.metadata["current-snapshot-id"]!;
    this.metadata = applyUpdates(this.metadata, [
      { action: "add-snapshot", snapshot: { "snapshot-id": id, "sequence-number": sequence, "timestamp-ms": sequence, "manifest-list": "", summary, "parent-snapshot-id": parent } },
      { action: "set-snapshot-ref", "ref-name": "main", type: "branch", "snapshot-id": id },
      ...updates,
    ], sequence);
    return this;
  }

  /** A rollback that takes the offsets along, as the operation makes it. */
  rewind(id: bigint): this {
    const updates = rewindWatermarks(this.metadata, id);
    this.rollback(id);
    this.metadata = applyUpdates(this.metadata, updates, 0);
    return this;
  }

  rollback(id: bigint): this {
    this.metadata = applyUpdates(this.metadata, [{ action: "set-snapshot-ref", "ref-name": "main", type: "branch", "snapshot-id": id }], 0);
    return this;
  }

  expire(...ids: bigint[]): this {
    this.metadata = applyUpdates(this.metadata, [{ action: "remove-snapshots", "snapshot-ids": ids }], 0);
    return this;
  }

  set(watermarks: readonly Watermark[], id: bigint): this {
    const sequence = this.metadata.snapshots.find((snapshot) => snapshot["snapshot-id"] === id)?.["sequence-number"] ?? 0;
    this.metadata = applyUpdates(this.metadata, [{ action: "set-properties", updates: { [WATERMARKS]: encodeWatermarksProperty(watermarks, id, sequence) } }], 0);
    return this;
  }

  read(): { from: string; next: bigint | undefined; id: bigint | undefined } {
    const { from, watermarks, snapshotId } = readWatermarks(this.metadata);
    return { from, next: watermarks[0]?.nextOffset, id: snapshotId };
  }
}

describe("watermarks", () => {
  it("an empty table has none", () => {
    assert.deepEqual(new History().read(), { from: "none", next: undefined, id: undefined });
    assert.deepEqual(new History().add(1n).read(), { from: "none", next: undefined, id: undefined });
  });

  it("are those of the current snapshot", () => {
    const history = new History().add(1n, [mark(10n)]).add(2n, [mark(20n)]);
    assert.equal(history.read().next, 20n);
    assert.equal(history.read().id, 2n);
  });

  it("are those of the newest ancestor that has them: other engines' snapshots lack them", () => {
    const history = new History().add(1n, [mark(10n)]).add(2n).add(3n);
    assert.deepEqual([history.read().next, history.read().id], [10n, 1n]);
  });

  it("come from the properties when expiry removed the snapshots that had them", () => {
    const history = new History().add(1n, [mark(10n)]).add(2n).add(3n).expire(1n);
    assert.deepEqual(history.read(), { from: "properties", next: 10n, id: 1n });
  });

  it("go back with a rollback: the ancestor's own hold, the properties are off the line", () => {
    const history = new History().add(1n, [mark(10n)]).add(2n, [mark(20n)]).rollback(1n);
    assert.deepEqual(history.read(), { from: "snapshot", next: 10n, id: 1n });
  });

  it("are void when a rollback left them behind and no ancestor has any", () => {
    const history = new History().add(1n).add(2n, [mark(20n)]).rollback(1n);
    assert.deepEqual(history.read(), { from: "void", next: undefined, id: 2n });
  });

  it("stay void when the snapshot that was rolled back has been expired", () => {
    const history = new History().add(1n).add(2n, [mark(20n)]).rollback(1n).expire(2n);
    assert.deepEqual(history.read(), { from: "void", next: undefined, id: 2n });
  });

  it("hold again when the rollback is undone", () => {
    const history = new History().add(1n).add(2n, [mark(20n)]).rollback(1n).rollback(2n);
    assert.equal(history.read().next, 20n);
  });

  it("set by hand for the current snapshot (reset, rollback that keeps the offsets) go before those of the summaries", () => {
    assert.deepEqual(new History().add(1n, [mark(10n)]).add(2n).set([mark(5n)], 2n).read(), { from: "properties", next: 5n, id: 2n });
    assert.deepEqual(new History().add(1n, [mark(10n)]).add(2n, [mark(20n)]).rollback(1n).set([mark(20n)], 1n).read(), { from: "properties", next: 20n, id: 1n });
  });

  it("set by hand go out of date with the next snapshot that moves them", () => {
    const history = new History().add(1n, [mark(10n)]).set([mark(5n)], 1n).add(2n, [mark(30n)]);
    assert.equal(history.read().next, 30n);
  });

  describe("after a rollback", () => {
    const back = (history: History): (bigint | string)[] => readWatermarks(history.metadata).reversed.map((one) => `${one.partition}: ${one.nextOffset}`);

    it("tell how far the partitions were whose rows it took", () => {
      assert.deepEqual(back(new History().add(1n, [mark(10n)]).add(2n, [mark(20n)]).rollback(1n)), ["0: 20"]);
      assert.deepEqual(back(new History().add(1n).add(2n, [mark(20n)]).rollback(1n)), ["0: 20"], "nothing is left");
      const some = new History().add(1n, [mark(10n), mark(5n, { partition: 1 })]).add(2n, [mark(20n), mark(5n, { partition: 1 })]).rollback(1n);
      assert.deepEqual(back(some), ["0: 20"], "partition 1 lost nothing");
    });

    it("go on telling it when other engines commit on top, and when the snapshot that was taken back has expired", () => {
      assert.deepEqual(back(new History().add(1n, [mark(10n)]).add(2n, [mark(20n)]).rollback(1n).add(3n).add(4n)), ["0: 20"]);
      assert.deepEqual(back(new History().add(1n, [mark(10n)]).add(2n, [mark(20n)]).rollback(1n).add(3n).expire(2n)), ["0: 20"], "the unbroken line passes its place");
    });

    it("tell nothing when it was undone, kept the offsets, or when expiry alone removed a snapshot", () => {
      assert.deepEqual(back(new History().add(1n, [mark(10n)]).add(2n, [mark(20n)]).rollback(1n).rollback(2n)), []);
      const kept = new History().add(1n, [mark(10n)]).add(2n, [mark(20n)]);
      kept.metadata = applyUpdates(kept.metadata, keepWatermarks(kept.metadata, 1n), 0);
      kept.rollback(1n);
      assert.deepEqual([kept.read().next, back(kept)], [20n, []]);
      assert.deepEqual(back(new History().add(1n, [mark(10n)]).add(2n).add(3n).expire(1n)), []);
    });
  });

  describe("reset", () => {
    const reset = (history: History, partition: number): number => {
      const commit = resetWatermarks(history.metadata, (one) => one.partition === partition);
      if (commit) history.metadata = applyUpdates(history.metadata, commit.updates, 0);
      return commit?.forgotten.length ?? 0;
    };
    const read = (history: History): { next: string[]; reversed: number; reset: string[] } => {
      const { watermarks, reversed, reset } = readWatermarks(history.metadata);
      return { next: watermarks.map((one) => `${one.partition}: ${one.nextOffset}`), reversed: reversed.length, reset: reset.map((one) => `${one.partition}: ${one.nextOffset}`) };
    };

    it("forget one partition without a snapshot, and say that it was on purpose", () => {
      const history = new History().add(1n, [mark(10n), mark(5n, { partition: 1 })]);
      assert.equal(reset(history, 0), 1);
      assert.deepEqual(read(history), { next: ["1: 5"], reversed: 0, reset: ["0: 10"] });
      assert.equal(history.metadata.snapshots.length, 1);
      assert.equal(reset(history, 0), 0, "nothing is left to forget");
      assert.deepEqual(read(history.add(2n)), { next: ["1: 5"], reversed: 0, reset: ["0: 10"] }, "another engine's snapshot changes nothing");
    });

    it("hold where another engine's snapshot is the newest, and where expiry removed those that had them", () => {
      const history = new History().add(1n, [mark(10n)]).add(2n);
      reset(history, 0);
      assert.deepEqual(read(history).next, []);
      assert.deepEqual(read(history.add(3n).expire(1n, 2n)).next, []);
    });

    it("forget what a rollback took, too: it is not sent for any more", () => {
      const history = new History().add(1n, [mark(10n)]).add(2n, [mark(20n)]).rollback(1n);
      assert.equal(reset(history, 0), 1);
      assert.deepEqual(read(history), { next: [], reversed: 0, reset: ["0: 20"] });
    });
  });

  it("keep where a partition began, however far it goes", () => {
    const merged = mergeWatermarks([mark(10n, { firstOffset: 3n }), mark(7n, { partition: 1 })], [mark(20n, { firstOffset: 10n }), mark(9n, { partition: 1, firstOffset: 7n }), mark(2n, { partition: 2, firstOffset: 1n })]);
    assert.deepEqual(merged.map((one) => one.firstOffset), [3n, undefined, 1n], "partition 1 began before that was written down");
    assert.equal(readWatermarks(new History().add(1n, merged).metadata).watermarks[0]!.firstOffset, 3n);
  });

  it("that cannot be read stop the writer instead of passing for none", () => {
    const history = new History().add(1n, [mark(10n)]);
    history.metadata = applyUpdates(history.metadata, [{ action: "set-properties", updates: { [WATERMARKS]: '{"v":2}' } }], 0);
    assert.throws(() => history.read(), { code: "TABLE_CORRUPT", message: /newer version/ });
  });

  it("are merged by writer, cluster, group, topic and partition", () => {
    const base = [mark(10n), mark(7n, { partition: 1 }), mark(3n, { writer: "node-2" })];
    const merged = mergeWatermarks(base, [mark(12n), mark(1n, { topic: "other" }), mark(4n, { group: "h" }), mark(5n, { cluster: "k2" })]);
    assert.deepEqual(merged.map((one) => one.nextOffset), [12n, 7n, 3n, 1n, 4n, 5n]);
  });

  it("a commit that would take one back is found", () => {
    const base = [mark(10n), mark(7n, { partition: 1 })];
    assert.equal(findReversal(base, [mark(10n), mark(8n, { partition: 1 })]), undefined);
    assert.equal(findReversal(base, [mark(11n), mark(6n, { partition: 1 })])?.moved.partition, 1);
    assert.equal(findReversal(base, [mark(1n, { writer: "node-2" })]), undefined);
  });

  it("survive being written and read, with offsets of 63 bits and any names", () => {
    const offset = fc.bigInt(0n, 2n ** 63n - 1n);
    const name = fc.string({ unit: "grapheme", maxLength: 6 });
    const any = fc.record({ writer: name, cluster: name, group: name, topic: name, partition: fc.nat(5), nextOffset: offset, lastOffset: offset, lastTimestamp: fc.nat() });
    fc.assert(fc.property(fc.array(any, { maxLength: 12 }), (marks) => {
      const unique = mergeWatermarks([], marks);
      const read = readWatermarks(new History().add(1n, unique).metadata).watermarks;
      assert.deepEqual(sorted(read), sorted(unique));
    }), { numRuns: 100 });
  });

  it("of many partitions share what they have in common", () => {
    const text = encodeWatermarks(Array.from({ length: 100 }, (_, partition) => mark(1_000_000n, { partition })));
    assert.ok(text.length < 4500, `${text.length} characters`);
    assert.equal(text.split("trades").length, 2);
  });

  it("hold on through snapshots with the same rows, whatever is expired around them", () => {
    const history = () => new History().add(1n, [mark(10n)]).replace(2n).add(3n, [mark(20n)]);
    assert.equal(history().expire(1n).rollback(2n).read().next, 10n);
    assert.equal(history().expire(1n).read().next, 20n);
    assert.equal(history().replace(4n).expire(1n, 2n, 3n).read().next, 20n);
    assert.equal(history().replace(4n).add(5n).expire(1n, 2n, 3n, 4n).read().next, 20n);
  });

  it("that were reset stay so after a snapshot with the same rows and a rollback to it", () => {
    const history = new History().add(1n, [mark(10n)]);
    history.metadata = applyUpdates(history.metadata, resetWatermarks(history.metadata, () => true)!.updates, 0);
    history.replace(2n).add(3n, [mark(5n)]).rollback(2n);
    assert.deepEqual(readWatermarks(history.metadata).watermarks, []);
  });

  it("that a rollback took never come back, although the snapshots that told of it are expired", () => {
    const history = new History().add(1n, [mark(10n)]).add(2n, [mark(20n)]).rewind(1n);
    const { watermarks, reversed } = readWatermarks(history.metadata);
    assert.deepEqual([watermarks.map((one) => one.nextOffset), reversed.map((one) => one.nextOffset)], [[10n], [20n]]);
    // Another engine appends, and everything else is expired.
    history.expire(2n).add(3n).expire(1n);
    assert.equal(history.read().next, 10n);
  });

  it("kept by a rollback are those that were seen when it was decided: what was written since is read again", () => {
    const history = new History().add(1n, [mark(10n)]).add(2n, [mark(20n)]);
    const seen = readWatermarks(history.metadata);
    history.add(3n, [mark(30n)]);
    const updates = keepWatermarks(history.metadata, 1n, seen);
    history.rollback(1n);
    const { watermarks, reversed } = readWatermarks(applyUpdates(history.metadata, updates, 0));
    assert.deepEqual([watermarks.map((one) => one.nextOffset), reversed.map((one) => one.nextOffset)], [[20n], [30n]]);
  });
});

function sorted(list: readonly Watermark[]): unknown[] {
  return list.map((one) => [one.writer, one.cluster, one.group, one.topic, one.partition, String(one.nextOffset), String(one.lastOffset), one.lastTimestamp]).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}
