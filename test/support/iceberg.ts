import assert from "node:assert/strict";
import type { Table } from "../../lib/iceberg/catalog/types";
import { readManifest, readManifestList } from "../../lib/iceberg/manifests";
import { ancestors, currentSnapshot } from "../../lib/iceberg/metadata";
import { DELETED, type DataFile, type ManifestEntry, type PartitionSpec, type Schema } from "../../lib/iceberg/types";

/** `id` and `ts`, by days of 100 units. */
export const SCHEMA: Schema = {
  type: "struct", "schema-id": 0,
  fields: [{ id: 1, name: "id", required: false, type: "long" }, { id: 2, name: "ts", required: false, type: "long" }],
};
export const SPEC: PartitionSpec = { "spec-id": 0, fields: [{ "source-id": 2, "field-id": 1000, name: "ts_trunc", transform: "truncate[100]" }] };

function long(value: bigint): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(value);
  return bytes;
}

/** A data file that only exists in manifests: one row per `ts`. */
export function dataFile(filePath: string, ts: readonly bigint[] = [0n], more: Partial<DataFile> = {}): DataFile {
  const least = ts.reduce((a, b) => (a < b ? a : b));
  const most = ts.reduce((a, b) => (a > b ? a : b));
  return {
    content: 0, filePath, fileFormat: "PARQUET", specId: 0, partition: [(least / 100n) * 100n], recordCount: ts.length, fileSizeInBytes: 1000,
    columnSizes: new Map([[1, 40], [2, 41]]), valueCounts: new Map([[1, ts.length], [2, ts.length]]), nullValueCounts: new Map([[1, 0], [2, 0]]), nanValueCounts: new Map(),
    lowerBounds: new Map([[2, long(least)]]), upperBounds: new Map([[2, long(most)]]), splitOffsets: [4], ...more,
  };
}

/** Every live entry of the current snapshot. */
export async function liveEntries(table: Table): Promise<ManifestEntry[]> {
  const { metadata } = await table.refresh();
  const snapshot = currentSnapshot(metadata);
  if (!snapshot) return [];
  const entries: ManifestEntry[] = [];
  for (const manifest of await readManifestList(table.io, snapshot)) {
    for (const entry of await readManifest(table.io, manifest, metadata)) if (entry.status !== DELETED) entries.push(entry);
  }
  return entries;
}

/**
 * Holds for every table that only had appends: each of these files is in it exactly once, history is one line with sequence numbers without gaps, the totals are right,
 * and the hint names the current version.
 */
export async function assertSound(table: Table, files: readonly string[]): Promise<void> {
  const entries = await liveEntries(table);
  assert.deepEqual(entries.map((entry) => entry.file.filePath).sort(), [...files].sort(), "every file is in the table exactly once");
  const { metadata, version, metadataLocation } = table.state;
  const line = [...ancestors(metadata)];
  assert.equal(line.length, metadata.snapshots.length, "no snapshot lies beside the line");
  assert.deepEqual(line.map((snapshot) => snapshot["sequence-number"]), line.map((_, i) => line.length - i), "sequence numbers count the commits");
  assert.equal(metadata["last-sequence-number"], line.length);
  const added = new Map(metadata.snapshots.map((snapshot) => [snapshot["snapshot-id"], snapshot["sequence-number"]]));
  for (const entry of entries) assert.equal(entry.sequenceNumber, added.get(entry.snapshotId), "an entry has the sequence number of the snapshot that added it");
  if (line[0]) {
    assert.equal(line[0].summary["total-data-files"], String(entries.length));
    assert.equal(line[0].summary["total-records"], String(entries.reduce((sum, entry) => sum + entry.file.recordCount, 0)));
  }
  // `v7.metadata.json` in a folder; a server adds something of its own: `00007-<uuid>.metadata.json`.
  assert.match(metadataLocation, new RegExp(`/(v${version}|0*${version}-[^/]+)\\.metadata\\.json$`));
}

/** What the version hint says. */
export async function hintOf(table: Table): Promise<string> {
  return Buffer.from(await table.io.read(`${table.location}/metadata/version-hint.text`)).toString();
}
