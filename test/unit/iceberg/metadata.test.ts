import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { encodeMetadata, parseMetadata } from "../../../lib/iceberg/metadata-json";
import { ancestors, appendSummary, applyUpdates, currentSnapshot, logPreviousMetadata, newTableMetadata } from "../../../lib/iceberg/metadata";
import type { Snapshot, TableMetadata } from "../../../lib/iceberg/types";
import { SCHEMA, SPEC } from "../../support/iceberg";

const table = (): TableMetadata => newTableMetadata({ schema: SCHEMA, spec: SPEC, location: "/w/db/t", uuid: "5f1c2a5e-0000-4000-8000-000000000000", nowMs: 1000, properties: { owner: "me" } });

const snapshot = (id: bigint, sequence: number, parent?: bigint): Snapshot => ({
  "snapshot-id": id, "sequence-number": sequence, "timestamp-ms": 1000 + sequence, "manifest-list": `/l${id}`, summary: { operation: "append" }, "schema-id": 0,
  ...(parent === undefined ? {} : { "parent-snapshot-id": parent }),
});

const append = (metadata: TableMetadata, id: bigint): TableMetadata => applyUpdates(metadata, [
  { action: "add-snapshot", snapshot: snapshot(id, metadata["last-sequence-number"] + 1, metadata["current-snapshot-id"]) },
  { action: "set-snapshot-ref", "ref-name": "main", type: "branch", "snapshot-id": id },
], 2000);

const text = (value: unknown): Uint8Array => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));

describe("table metadata", () => {
  it("of a new table has every field that readers require, and no current snapshot", () => {
    const json = JSON.parse(Buffer.from(encodeMetadata(table())).toString()) as Record<string, unknown>;
    assert.deepEqual(json, {
      "format-version": 2, "table-uuid": "5f1c2a5e-0000-4000-8000-000000000000", location: "/w/db/t", "last-sequence-number": 0, "last-updated-ms": 1000, "last-column-id": 2,
      "current-schema-id": 0, schemas: [SCHEMA], "default-spec-id": 0, "partition-specs": [SPEC], "last-partition-id": 1000, "default-sort-order-id": 0,
      "sort-orders": [{ "order-id": 0, fields: [] }],
      properties: { "write.metadata.delete-after-commit.enabled": "true", "write.metadata.previous-versions-max": "20", "write.parquet.compression-codec": "snappy", owner: "me" },
      refs: {}, snapshots: [], "snapshot-log": [], "metadata-log": [],
    });
    assert.equal(newTableMetadata({ schema: SCHEMA, spec: { "spec-id": 0, fields: [] }, location: "/", uuid: "", nowMs: 0 })["last-partition-id"], 999);
  });

  it("survives being written and read, with ids of 63 bits and fields that we do not know", () => {
    const metadata = append(append(table(), 8744736658442914487n), 3n) as TableMetadata & Record<string, unknown>;
    metadata["statistics"] = [{ "snapshot-id": 8744736658442914487n, "statistics-path": "/s" }];
    metadata["a-new-field"] = { deep: [9223372036854775807n, null, "x"] };
    const { metadata: back, formatVersion } = parseMetadata(encodeMetadata(metadata), "m");
    assert.deepEqual(back, metadata);
    assert.equal(formatVersion, 2);
    assert.match(Buffer.from(encodeMetadata(back)).toString(), /"parent-snapshot-id":8744736658442914487}/);
  });

  it("is read when gzipped, with a byte order mark, with -1 or null for no snapshot, and with small ids", () => {
    assert.deepEqual(parseMetadata(gzipSync(encodeMetadata(table())), "m").metadata, table());
    for (const none of [-1, null]) assert.equal("current-snapshot-id" in parseMetadata(text({ ...table(), "current-snapshot-id": none }), "m").metadata, false);
    const small = parseMetadata(encodeMetadata(append(table(), 5n)), "m").metadata;
    assert.equal(small["current-snapshot-id"], 5n);
    assert.equal(small.snapshots[0]!["snapshot-id"], 5n);
    assert.equal(small.refs["main"]!["snapshot-id"], 5n);
    assert.equal(small["snapshot-log"][0]!["snapshot-id"], 5n);
  });

  it("of format version 1 is read in the form of version 2", () => {
    const v1 = {
      "format-version": 1, "table-uuid": "u", location: "/w/t", "last-updated-ms": 5, "last-column-id": 2, schema: { type: "struct", fields: SCHEMA.fields },
      "partition-spec": [{ name: "ts_trunc", "source-id": 2, transform: "truncate[100]" }], properties: {}, "current-snapshot-id": 7,
      snapshots: [{ "snapshot-id": 7, "timestamp-ms": 5, "manifest-list": "/l" }],
    };
    const { metadata, formatVersion } = parseMetadata(text(v1), "m");
    assert.equal(formatVersion, 1);
    assert.deepEqual(metadata.schemas, [{ ...SCHEMA }]);
    assert.deepEqual(metadata["partition-specs"], [SPEC]);
    assert.equal(metadata["last-partition-id"], 1000);
    assert.deepEqual(metadata.refs, { main: { "snapshot-id": 7n, type: "branch" } });
    assert.deepEqual([currentSnapshot(metadata)!["sequence-number"], currentSnapshot(metadata)!.summary], [0, {}]);
  });

  for (const [what, bytes, code, message] of [
    ["no JSON", text("{"), "TABLE_CORRUPT", /ends too early/], ["another JSON", text("[]"), "TABLE_CORRUPT", /no JSON object/], ["no version", text({}), "TABLE_CORRUPT", /format-version/],
    ["version 3", text({ ...table(), "format-version": 3 }), "TABLE_UNSUPPORTED", /version 3.*format-version 2/], ["no schemas", text({ ...table(), schemas: undefined }), "TABLE_CORRUPT", /schemas/],
    ["a schema id that names nothing", text({ ...table(), "current-schema-id": 9 }), "TABLE_CORRUPT", /current-schema-id/], ["no text", Buffer.from([0xff, 0xfe]), "TABLE_CORRUPT", /m is no readable/],
  ] as const) {
    it(`with ${what} is an error that says so`, () => {
      assert.throws(() => parseMetadata(bytes, "m"), (error: { code: string; message: string }) => error.code === code && message.test(error.message));
    });
  }

  it("of 5,000 snapshots is read and written in reasonable time", function () {
    let metadata = table();
    for (let i = 1; i <= 5000; i++) {
      const one = { ...snapshot(BigInt(i) * 1_000_000_007n ** 2n, i), summary: { operation: "append", note: "x".repeat(600) } };
      metadata.snapshots.push(one);
      metadata["snapshot-log"].push({ "timestamp-ms": i, "snapshot-id": one["snapshot-id"] });
    }
    const bytes = encodeMetadata(metadata);
    // CPU time: on a busy machine the clock says nothing.
    const cpuMs = (work: () => void): number => {
      const used = process.cpuUsage();
      work();
      const { user, system } = process.cpuUsage(used);
      return (user + system) / 1000;
    };
    const read = cpuMs(() => { metadata = parseMetadata(bytes, "m").metadata; });
    const again = encodeMetadata(metadata);
    const rewritten = cpuMs(() => { encodeMetadata({ ...metadata, properties: {} }); });
    assert.ok(Buffer.from(again).equals(Buffer.from(bytes)));
    assert.ok(read < 1500, `${bytes.length} bytes read in ${read.toFixed(0)} ms`);
    assert.ok(rewritten < 500, `written again in ${rewritten.toFixed(0)} ms`);
  });
});

describe("changes of table metadata", () => {
  it("leave the base as it is", () => {
    const base = append(table(), 1n);
    const copy = structuredClone(base);
    append(base, 2n);
    assert.deepEqual(base, copy);
  });

  it("an append moves main, the log and the sequence number", () => {
    const metadata = append(append(table(), 1n), 2n);
    assert.deepEqual([...ancestors(metadata)].map((one) => one["snapshot-id"]), [2n, 1n]);
    assert.deepEqual(metadata["snapshot-log"], [{ "timestamp-ms": 1001, "snapshot-id": 1n }, { "timestamp-ms": 1002, "snapshot-id": 2n }]);
    assert.deepEqual([metadata["last-sequence-number"], metadata["last-updated-ms"], metadata.refs], [2, 2000, { main: { "snapshot-id": 2n, type: "branch" } }]);
  });

  it("times never run backwards", () => {
    assert.equal(applyUpdates({ ...table(), "last-updated-ms": 9000 }, [], 5)["last-updated-ms"], 9000);
  });

  it("a rollback is logged, expired snapshots leave refs and log", () => {
    const metadata = append(append(append(table(), 1n), 2n), 3n);
    const back = applyUpdates(metadata, [{ action: "set-snapshot-ref", "ref-name": "main", type: "branch", "snapshot-id": 2n }, { action: "remove-snapshots", "snapshot-ids": [1n] }], 7000);
    assert.deepEqual(back.snapshots.map((one) => one["snapshot-id"]), [2n, 3n]);
    assert.deepEqual(back["snapshot-log"].map((one) => one["snapshot-id"]), [2n, 3n, 2n]);
    assert.equal(back["snapshot-log"][2]!["timestamp-ms"], 7000);
    assert.throws(() => applyUpdates(back, [{ action: "remove-snapshots", "snapshot-ids": [2n] }], 1), /current snapshot/);
  });

  it("properties, schemas, specs and sort orders", () => {
    const next = applyUpdates(table(), [
      { action: "set-properties", updates: { a: "1", owner: "you" } }, { action: "remove-properties", removals: ["write.parquet.compression-codec"] },
      { action: "add-schema", schema: { type: "struct", "schema-id": 1, fields: [...SCHEMA.fields, { id: 7, name: "new", required: false, type: "string" }] } },
      { action: "set-current-schema", "schema-id": -1 },
      { action: "add-spec", spec: { "spec-id": 1, fields: [{ "source-id": 7, "field-id": 1001, name: "new", transform: "identity" }] } }, { action: "set-default-spec", "spec-id": -1 },
      { action: "add-sort-order", "sort-order": { "order-id": 1, fields: [] } }, { action: "set-default-sort-order", "sort-order-id": 1 },
      { action: "assign-uuid", uuid: "v" },
    ], 1);
    assert.deepEqual([next.properties["a"], next.properties["owner"], "write.parquet.compression-codec" in next.properties], ["1", "you", false]);
    assert.deepEqual([next["current-schema-id"], next["last-column-id"], next["default-spec-id"], next["last-partition-id"], next["default-sort-order-id"], next["table-uuid"]], [1, 7, 1, 1001, 1, "v"]);
    assert.throws(() => applyUpdates(table(), [{ action: "set-current-schema", "schema-id": 5 }], 1), /schema 5/);
    assert.throws(() => applyUpdates(table(), [{ action: "set-snapshot-ref", "ref-name": "main", type: "branch", "snapshot-id": 5n }], 1), /snapshot 5/);
  });

  it("the metadata log is cut to the property, but never below what the catalog needs", () => {
    let metadata = { ...table(), properties: { "write.metadata.previous-versions-max": "3" } };
    const base = { ...metadata };
    for (let i = 1; i <= 30; i++) metadata = logPreviousMetadata(metadata, { metadata: { ...base, "metadata-log": metadata["metadata-log"] }, metadataLocation: `/v${i}` }) as never;
    assert.deepEqual(metadata["metadata-log"].map((one) => one["metadata-file"]), ["/v28", "/v29", "/v30"]);
    for (let i = 31; i <= 60; i++) metadata = logPreviousMetadata(metadata, { metadata: { ...base, "metadata-log": metadata["metadata-log"] }, metadataLocation: `/v${i}` }, 20) as never;
    assert.equal(metadata["metadata-log"].length, 20);
  });

  it("a summary adds to the parent's totals; a total that the parent lacks stays unknown", () => {
    const delta = { files: 2, rows: 30, bytes: 400, partitions: 1 };
    const first = appendSummary(undefined, delta, { "engine-name": "x" });
    assert.deepEqual(first, {
      "engine-name": "x", operation: "append", "added-data-files": "2", "added-records": "30", "added-files-size": "400", "changed-partition-count": "1", "total-data-files": "2",
      "total-records": "30", "total-files-size": "400", "total-delete-files": "0", "total-position-deletes": "0", "total-equality-deletes": "0",
    });
    const parent = { ...snapshot(1n, 1), summary: { ...first, "total-delete-files": "3" } };
    delete (parent.summary as Record<string, string>)["total-files-size"];
    const second = appendSummary(parent, delta, {});
    assert.deepEqual([second["total-data-files"], second["total-records"], second["total-files-size"], second["total-delete-files"]], ["4", "60", undefined, "3"]);
  });
});
