import assert from "node:assert/strict";
import { newTableMetadata } from "../../../lib/iceberg/metadata";
import type { Schema, TableMetadata } from "../../../lib/iceberg/types";
import { parseQuery } from "../../../lib/sql/options";
import { parseSnapshotId, parseTime, snapshotView } from "../../../lib/sql/travel";
import { timeText } from "../../../lib/sql/times";

const schema = (id: number, name: string): Schema => ({ type: "struct", "schema-id": id, fields: [{ id: 1, name, required: false, type: "long" }] });
const snapshot = (id: bigint, ms: number, schemaId: number) => ({ "snapshot-id": id, "sequence-number": 1, "timestamp-ms": ms, "manifest-list": "l", summary: {}, "schema-id": schemaId });

const metadata: TableMetadata = {
  ...newTableMetadata({ schema: schema(0, "old"), spec: { "spec-id": 0, fields: [] }, location: "/t", uuid: "u", nowMs: 0 }),
  schemas: [schema(0, "old"), schema(1, "new")], "current-schema-id": 1, "current-snapshot-id": 1n,
  snapshots: [snapshot(1n, 1000, 0), snapshot(2n, 2000, 1)],
  // Rolled back to the first at 3000.
  "snapshot-log": [{ "snapshot-id": 1n, "timestamp-ms": 1000 }, { "snapshot-id": 2n, "timestamp-ms": 2000 }, { "snapshot-id": 1n, "timestamp-ms": 3000 }],
  refs: { main: { "snapshot-id": 1n, type: "branch" }, audit: { "snapshot-id": 2n, type: "tag" } },
};
const view = (travel: Parameters<typeof snapshotView>[2]) => {
  const found = snapshotView("db.t", metadata, travel);
  return [found.snapshot?.["snapshot-id"], found.schema.fields[0]!.name];
};

describe("time travel", () => {
  it("reads the current snapshot with the current columns", () => {
    assert.deepEqual(view(undefined), [1n, "new"]);
  });

  it("reads another one with the columns of its time", () => {
    assert.deepEqual(view({ kind: "version", version: 1n }), [1n, "old"]);
    assert.deepEqual(view({ kind: "version", version: "audit" }), [2n, "new"]);
    assert.deepEqual(view({ kind: "version", version: "2" }), [2n, "new"]);
  });

  it("knows what was current when, rollbacks included", () => {
    assert.deepEqual([1500, 2000, 2999, 3000, 9e15].map((ms) => view({ kind: "time", ms })[0]), [1n, 2n, 2n, 1n, 1n]);
    assert.throws(() => view({ kind: "time", ms: 999 }), { code: "SNAPSHOT_NOT_FOUND", message: /as old as 1970-01-01T00:00:00\.999Z\. Its history begins at 1970-01-01T00:00:01/ });
    assert.throws(() => view({ kind: "version", version: "nope" }), { code: "SNAPSHOT_NOT_FOUND", message: /branches and tags: main, audit/ });
  });

  it("takes ids and times as people write them, and nothing that lost digits", () => {
    assert.deepEqual(["", undefined, " 9007199254740993 ", 5, 7n].map(parseSnapshotId), [undefined, undefined, 9007199254740993n, 5n, 7n]);
    for (const wrong of [2 ** 60, "x", "-1", 1.5, {}]) assert.throws(() => parseSnapshotId(wrong), { code: "CONFIG_INVALID" });
    const at = Date.UTC(2024, 10, 1, 10);
    for (const text of ["2024-11-01T10:00:00Z", "2024-11-01 10:00:00", "2024-11-01T10:00", "2024-11-01T12:00:00+02:00", new Date(at), at]) assert.equal(parseTime(text), at, String(text));
    assert.equal(parseTime("2024-11-01"), Date.UTC(2024, 10, 1));
    for (const wrong of ["yesterday", "11/01/2024", NaN, new Date(NaN), {}]) assert.throws(() => parseTime(wrong), { code: "CONFIG_INVALID" });
  });

  it("takes times as Spark's SQL does, with zones, and no day that the calendar lacks", () => {
    const at = Date.UTC(2024, 10, 1, 10);
    for (const text of ["2024-11-01 10:00:00Z", "2024-11-01 10:00:00 UTC", "2024-11-01T11:00:00+01", "2024-11-01 05:30:00-04:30", "2024-11-01 11:00:00 Europe/Berlin", "2024-11-01 06:00:00 America/New_York", "2024-11-1 10:0:0"]) {
      assert.equal(timeText(text), at, text);
    }
    assert.equal(timeText("2024-07-01 12:00:00 Europe/Berlin"), Date.UTC(2024, 6, 1, 10));
    assert.equal(timeText("2024-03-31 01:59:59.9999 Europe/Berlin"), Date.UTC(2024, 2, 31, 0, 59, 59, 999));
    assert.equal(timeText("2024-11"), Date.UTC(2024, 10, 1));
    for (const wrong of ["2024-02-30", "2024-13-01", "2024-11-01 24:00:00", "2024-11-01 10:00:00 Mars/Base", "2024-11-01 10:00:00+19:00", "now", ""]) assert.equal(timeText(wrong), undefined, wrong);
  });

  it("is asked for once", () => {
    assert.throws(() => parseQuery({ sql: "SELECT 1", snapshotId: "1", asOf: "2024-11-01" }), { code: "CONFIG_INVALID", message: /Give one/ });
    assert.deepEqual(parseQuery({ sql: "SELECT 1", snapshotId: "", asOf: null, maxRows: "5" }), { sql: "SELECT 1", maxRows: 5 });
    for (const maxRows of [0, "x", 1.5]) assert.throws(() => parseQuery({ sql: "SELECT 1", maxRows }), { code: "CONFIG_INVALID" });
  });
});
