import assert from "node:assert/strict";
import { expiryAdvice } from "../../../../lib/iceberg/maintenance/advice";
import { COMPACTION, nextExpiry, whatIsDue } from "../../../../lib/iceberg/maintenance/policy";
import { newTableMetadata } from "../../../../lib/iceberg/metadata";
import type { Snapshot, TableMetadata } from "../../../../lib/iceberg/types";
import { SCHEMA, SPEC } from "../../../support/iceberg";

const MINUTE = 60_000, HOUR = 60 * MINUTE, DAY = 24 * HOUR, NOW = 100 * DAY;
const NEVER = { small: -Infinity, all: -Infinity };

/** A table with commits at these times; `kinds` says which were compactions. */
function tableOf(times: readonly number[], properties: Record<string, string> = {}, kinds: Record<number, string> = {}): TableMetadata {
  const snapshots = times.map((at, n): Snapshot => ({ "snapshot-id": BigInt(n + 1), "sequence-number": n + 1, "timestamp-ms": at, "manifest-list": `/l/${n}`, summary: { operation: kinds[n] ? "replace" : "append", ...(kinds[n] ? { [COMPACTION]: kinds[n] } : {}) } }));
  return { ...newTableMetadata({ schema: SCHEMA, spec: SPEC, location: "/t", uuid: "u", nowMs: 0, properties }), snapshots };
}
const every = (ms: number, count: number, until = NOW): number[] => Array.from({ length: count }, (_, n) => until - (count - n) * ms);

describe("what maintenance is due", () => {
  it("merges new small files every ten minutes, and all that are too small every hour", () => {
    const table = tableOf(every(10_000, 100));
    assert.deepEqual(whatIsDue(table, 60, NEVER, NOW), { compact: "all" }, "never done yet");
    assert.deepEqual(whatIsDue(table, 60, { small: NOW - 9 * MINUTE, all: NOW - 9 * MINUTE }, NOW), {});
    assert.deepEqual(whatIsDue(table, 60, { small: NOW - 10 * MINUTE, all: NOW - 10 * MINUTE }, NOW), { compact: "small" });
    assert.deepEqual(whatIsDue(table, 4, { small: NOW - 10 * MINUTE, all: NOW - 10 * MINUTE }, NOW), {}, "too few to be worth a commit");
    assert.deepEqual(whatIsDue(table, 1, { small: NOW - 10 * MINUTE, all: NOW - HOUR }, NOW), { compact: "all" });
    assert.deepEqual(whatIsDue(table, 0, NEVER, NOW), {}, "nothing new, nothing to do");
    const owed = { small: NOW - 10 * MINUTE, all: NOW - HOUR, owed: true };
    assert.deepEqual(whatIsDue(table, 0, owed, NOW), { compact: "all" }, "nothing new, but small runs have left files behind");
    assert.deepEqual(whatIsDue(table, 0, { ...owed, all: NOW - HOUR + 1 }, NOW), {});
  });

  it("sees what another process of the flow did, and leaves it at that", () => {
    const times = every(MINUTE, 30);
    assert.deepEqual(whatIsDue(tableOf(times, {}, { 25: "all" }), 60, NEVER, NOW), {}, "four minutes ago");
    assert.deepEqual(whatIsDue(tableOf(times, {}, { 15: "all" }), 60, NEVER, NOW), { compact: "small" }, "fifteen minutes ago");
    assert.deepEqual(whatIsDue(tableOf(times, { "ticklake.maintenance.interval-ms": "60000" }, { 25: "small" }), 60, NEVER, NOW), { compact: "all" });
  });

  it("expires by age as the table's properties say, five days without them, a run's worth at a time", () => {
    const table = (properties: Record<string, string> = {}): TableMetadata => tableOf([NOW - 5 * DAY - HOUR, ...every(MINUTE, 10)], properties);
    assert.deepEqual(whatIsDue(table(), 0, NEVER, NOW), { expireBefore: NOW - 5 * DAY });
    assert.deepEqual(whatIsDue(table({ "history.expire.max-snapshot-age-ms": String(6 * DAY) }), 0, NEVER, NOW), {});
    assert.deepEqual(whatIsDue(table({ "history.expire.min-snapshots-to-keep": "11" }), 0, NEVER, NOW), {}, "no more are there than must be kept");
    assert.deepEqual(whatIsDue(tableOf([NOW - 5 * DAY - MINUTE, NOW]), 0, NEVER, NOW), {}, "a minute over is not worth a commit");
  });

  it("knows when snapshots will be due by their age", () => {
    const times = [NOW - 2 * DAY, NOW - DAY], at = NOW + 3 * DAY + 10 * MINUTE + 1;
    assert.equal(nextExpiry(tableOf(times), NOW), at);
    assert.deepEqual(whatIsDue(tableOf(times), 0, NEVER, at - 1), {});
    assert.notDeepEqual(whatIsDue(tableOf(times), 0, NEVER, at), {});
    assert.equal(nextExpiry(tableOf(times), at), undefined, "one that is still there then is held by something");
    assert.equal(nextExpiry(tableOf([NOW]), NOW), undefined, "the last one stays");
  });

  it("keeps a thousand snapshots unless an age is set, or another number", () => {
    const times = every(1000, 1101);
    assert.deepEqual(whatIsDue(tableOf(times), 0, NEVER, NOW), { expireBefore: times[101] });
    assert.deepEqual(whatIsDue(tableOf(times.slice(1)), 0, NEVER, NOW), {}, "a tenth over is let be");
    assert.deepEqual(whatIsDue(tableOf(times, { "history.expire.max-snapshot-age-ms": String(DAY) }), 0, NEVER, NOW), {});
    assert.deepEqual(whatIsDue(tableOf(times, { "ticklake.maintenance.max-snapshots": "50" }), 0, NEVER, NOW), { expireBefore: times[1051] });
  });

  it("advises to expire above 5,000 snapshots or 8 MB of metadata, and names the operation", () => {
    assert.equal(expiryAdvice("db.t", { snapshots: 5000, metadataBytes: 8 * 1024 * 1024 }, false), undefined);
    for (const size of [{ snapshots: 5001, metadataBytes: 1 }, { snapshots: 10, metadataBytes: 8 * 1024 * 1024 + 1 }]) {
      assert.match(expiryAdvice("db.t", size, false)!.log, /^db\.t has .* expire-snapshots of an iceberg-table node, or CALL system\.expire_snapshots, or switch on maintenance/);
      assert.match(expiryAdvice("db.t", size, true)!.log, /lower history\.expire\.max-snapshot-age-ms/);
    }
    assert.equal(expiryAdvice("db.t", { snapshots: 12_345, metadataBytes: 9_400_000 }, false)!.status, "12,345 snapshots, 9.4 MB of metadata: expire old ones");
  });
});
