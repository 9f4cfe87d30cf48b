import assert from "node:assert/strict";
import { parseTable } from "../../../../lib/iceberg/catalog/rest/answers";
import { TableReader } from "../../../../lib/iceberg/catalog/rest/table-reader";
import type { TableState } from "../../../../lib/iceberg/catalog/types";
import { stringifyJson } from "../../../../lib/iceberg/json";
import { encodeMetadata } from "../../../../lib/iceberg/metadata-json";
import { newTableMetadata } from "../../../../lib/iceberg/metadata";
import type { Snapshot, TableMetadata } from "../../../../lib/iceberg/types";
import { SCHEMA, SPEC } from "../../../support/iceberg";

const BIG = 8744736658442914487n;
const snapshot = (n: number, summary: Record<string, string> = { operation: "append" }): Snapshot => ({ "snapshot-id": BIG + BigInt(n), "sequence-number": n, "timestamp-ms": n, "manifest-list": `/l/${n}`, summary });
const table = (count: number, more: Partial<TableMetadata> = {}): TableMetadata => {
  const snapshots = Array.from({ length: count }, (_, n) => snapshot(n + 1));
  const log = snapshots.map((one) => ({ "snapshot-id": one["snapshot-id"], "timestamp-ms": one["timestamp-ms"] }));
  return { ...newTableMetadata({ schema: SCHEMA, spec: SPEC, location: "/t", uuid: "u", nowMs: 0 }), snapshots, "snapshot-log": log, ...(count > 0 ? { "current-snapshot-id": BIG + BigInt(count) } : {}), ...more };
};
const answer = (location: string, metadata: TableMetadata, more: object = {}): string =>
  `{"metadata-location":${JSON.stringify(location)},"metadata":${Buffer.from(encodeMetadata(metadata)).toString()}${Object.entries(more).map(([key, value]) => `,"${key}":${stringifyJson(value)}`).join("")}}`;
const stateOf = (text: string): TableState => ({ ...parseTable(text, "db.t", null), version: 1 });

describe("what a REST catalog answers about a table that is known", () => {
  it("the same metadata file is not read again, and new keys to the storage are", () => {
    const state = stateOf(answer("/m/1.json", table(3))), keys = [{ prefix: "s3://b", config: { "s3.access-key-id": "NEW" } }];
    const same = new TableReader().read(answer("/m/1.json", table(3), { config: { token: "T" }, "storage-credentials": keys }), "db.t", "e2", state);
    assert.equal(same.metadata, state.metadata, "the very same object");
    assert.deepEqual([same.metadataLocation, same.config, same.credentials, same.etag], ["/m/1.json", { token: "T" }, keys, "e2"]);
  });

  it("only the answer itself says which file it is, not what is inside of it", () => {
    const state = stateOf(answer("/m/1.json", table(1)));
    const properties = { "metadata-location": "/m/1.json", note: '"metadata-location":"/m/1.json"' };
    const text = answer("/m/2.json", table(2, { properties }), { config: { "metadata-location": "/m/1.json" } });
    assert.equal(new TableReader().read(text, "db.t", null, state).metadata.snapshots.length, 2);
    const inside = text.replace('"metadata-location":"/m/2.json",', "");
    assert.equal(new TableReader().read(inside, "db.t", null, state).metadata.snapshots.length, 2, "nor where the answer names none");
  });

  it("a new version is exactly what reading all of it gives, and keeps what it has in common with the last", () => {
    const reader = new TableReader();
    let state = stateOf(answer("/m/0.json", table(0)));
    for (const count of [1, 2, 5, 50]) {
      const text = answer(`/m/${count}.json`, table(count, { properties: { n: String(count) }, refs: { main: { "snapshot-id": BIG + BigInt(count), type: "branch" } } }));
      const before = state, read = reader.read(text, "db.t", null, state);
      assert.deepEqual(read, parseTable(text, "db.t", null));
      assert.equal(read.metadata["current-snapshot-id"], BIG + BigInt(count), "every digit");
      before.metadata.snapshots.forEach((one, n) => assert.equal(read.metadata.snapshots[n], one));
      state = { ...read, version: count };
    }
  });

  it("sees what others changed: snapshots that went, were rolled back, or say something else", () => {
    const reader = new TableReader();
    const state = stateOf(answer("/m/1.json", table(4)));
    const first = reader.read(answer("/m/2.json", table(5)), "db.t", null, state);
    const others = table(5, { "current-snapshot-id": BIG + 2n });
    others.snapshots = [snapshot(2), { ...snapshot(3), "manifest-list": "/other" }, snapshot(9)];
    const text = answer("/m/3.json", others);
    assert.deepEqual(reader.read(text, "db.t", null, { ...first, version: 2 }), parseTable(text, "db.t", null));
  });

  it("a list that goes on as no list does is refused", () => {
    const reader = new TableReader(), state = stateOf(answer("/m/1.json", table(2)));
    reader.read(answer("/m/2.json", table(3)), "db.t", null, state);
    const next = answer("/m/3.json", table(4)), items = Array.from(next.matchAll(/\{"sequence-number"|\{"snapshot-id":\d+,"sequence-number"/g));
    const last = items.at(-1)!.index;
    for (const damaged of [`${next.slice(0, last - 1)} ${next.slice(last)}`, `${next.slice(0, last)}],"x":[${next.slice(last)}`.replace('}}],"x"', '}},],"x"'), next.replace(/\}\}\],/, "}},],")]) {
      assert.throws(() => reader.read(damaged, "db.t", null, state), { code: "CATALOG_INVALID" }, damaged);
    }
  });

  it("a large answer whose history is known costs a part of reading it", () => {
    const reader = new TableReader(), long = (count: number): TableMetadata => ({ ...table(count), snapshots: Array.from({ length: count }, (_, n) => snapshot(n + 1, { operation: "append", note: "x".repeat(600) })) });
    const state = stateOf(answer("/m/1.json", long(1500)));
    const text = answer("/m/2.json", long(1501)), next = answer("/m/3.json", long(1502));
    reader.read(text, "db.t", null, state);
    const cpu = (work: () => void): number => {
      const used = process.cpuUsage();
      work();
      const { user, system } = process.cpuUsage(used);
      return user + system;
    };
    const least = (work: () => void): number => Math.min(...Array.from({ length: 5 }, () => cpu(work)));
    const [whole, known] = [least(() => { parseTable(next, "db.t", null); }), least(() => { reader.read(next, "db.t", null, state); })];
    assert.ok(known < whole * 0.75, `${known} of ${whole} µs`);
  });

  it("what is damaged is refused as ever", () => {
    const state = stateOf(answer("/m/1.json", table(2))), whole = answer("/m/2.json", table(3));
    for (const text of ["", "<html>", whole.slice(0, -1), whole.slice(0, whole.length / 2), `${whole}}`, whole.replace('"sequence-number"', "sequence-number"), "[]", '{"metadata-location":"/m/2.json"}', whole.replace(/"metadata-location":"[^"]*"/, '"metadata-location":7')]) {
      const outcome = (read: () => unknown): unknown => { try { return read(); } catch (error) { return [(error as { code: string }).code, (error as Error).message]; } };
      assert.deepEqual(outcome(() => new TableReader().read(text, "db.t", null, state)), outcome(() => parseTable(text, "db.t", null)), text.slice(0, 60));
      assert.throws(() => new TableReader().read(text, "db.t", null, state), text.slice(0, 60));
    }
  });
});
