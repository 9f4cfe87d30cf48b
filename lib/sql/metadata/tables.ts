/**
 * The metadata tables about snapshots, manifests, partitions and references.
 */
import { ancestors, snapshotById } from "../../iceberg/metadata";
import { type DataFile, DELETED, type ManifestEntry, type ManifestFile, type Snapshot, type SnapshotRef } from "../../iceberg/types";
import { stringifyJson } from "../../iceberg/json";
import { Partitions } from "./partitions";
import { entriesOf, type MetadataSource, snapshotManifests } from "./source";
import { blob, type Column, isoTime, type Relation } from "./values";

export function history({ metadata }: MetadataSource): Relation<{ "timestamp-ms": number; "snapshot-id": bigint }> {
  const current = new Set([...ancestors(metadata)].map((snapshot) => snapshot["snapshot-id"]));
  return {
    columns: [
      { name: "made_current_at", type: "TIMESTAMPTZ", value: (entry) => isoTime(entry["timestamp-ms"]) },
      { name: "snapshot_id", type: "BIGINT", value: (entry) => entry["snapshot-id"] },
      { name: "parent_id", type: "BIGINT", value: (entry) => snapshotById(metadata, entry["snapshot-id"])?.["parent-snapshot-id"] ?? null },
      { name: "is_current_ancestor", type: "BOOLEAN", value: (entry) => current.has(entry["snapshot-id"]) },
    ],
    rows: () => metadata["snapshot-log"],
  };
}

export function snapshots({ metadata }: MetadataSource): Relation<Snapshot> {
  return {
    columns: [
      { name: "committed_at", type: "TIMESTAMPTZ", value: (snapshot) => isoTime(snapshot["timestamp-ms"]) },
      { name: "snapshot_id", type: "BIGINT", value: (snapshot) => snapshot["snapshot-id"] },
      { name: "parent_id", type: "BIGINT", value: (snapshot) => snapshot["parent-snapshot-id"] ?? null },
      { name: "operation", type: "VARCHAR", value: (snapshot) => snapshot.summary["operation"] ?? null },
      { name: "manifest_list", type: "VARCHAR", value: (snapshot) => snapshot["manifest-list"] ?? null },
      { name: "summary", type: "MAP(VARCHAR, VARCHAR)", value: ({ summary: { operation: _operation, ...summary } }) => summary },
    ],
    rows: () => metadata.snapshots,
  };
}

export function refs({ metadata }: MetadataSource): Relation<[string, SnapshotRef]> {
  return {
    columns: [
      { name: "name", type: "VARCHAR", value: ([name]) => name },
      { name: "type", type: "VARCHAR", value: ([, ref]) => ref.type.toUpperCase() },
      { name: "snapshot_id", type: "BIGINT", value: ([, ref]) => ref["snapshot-id"] },
      { name: "max_reference_age_in_ms", type: "BIGINT", value: ([, ref]) => ref["max-ref-age-ms"] ?? null },
      { name: "min_snapshots_to_keep", type: "INTEGER", value: ([, ref]) => ref["min-snapshots-to-keep"] ?? null },
      { name: "max_snapshot_age_in_ms", type: "BIGINT", value: ([, ref]) => ref["max-snapshot-age-ms"] ?? null },
    ],
    rows: () => Object.entries(metadata.refs),
  };
}

/** Versions of the metadata, the current one last, each with the snapshot that was current then. */
export function metadataLog({ metadata, metadataLocation }: MetadataSource): Relation<{ "timestamp-ms": number; "metadata-file": string }> {
  const then = (ms: number): Snapshot | undefined => snapshotById(metadata, metadata["snapshot-log"].findLast((entry) => entry["timestamp-ms"] <= ms)?.["snapshot-id"]);
  return {
    columns: [
      { name: "timestamp", type: "TIMESTAMPTZ", value: (entry) => isoTime(entry["timestamp-ms"]) },
      { name: "file", type: "VARCHAR", value: (entry) => entry["metadata-file"] },
      { name: "latest_snapshot_id", type: "BIGINT", value: (entry) => then(entry["timestamp-ms"])?.["snapshot-id"] ?? null },
      { name: "latest_schema_id", type: "INTEGER", value: (entry) => then(entry["timestamp-ms"])?.["schema-id"] ?? null },
      { name: "latest_sequence_number", type: "BIGINT", value: (entry) => then(entry["timestamp-ms"])?.["sequence-number"] ?? null },
    ],
    rows: () => [...metadata["metadata-log"], ...(metadataLocation ? [{ "timestamp-ms": metadata["last-updated-ms"], "metadata-file": metadataLocation }] : [])],
  };
}

export interface ListedManifest { manifest: ManifestFile; snapshotId: bigint | null }

/** Manifests of the snapshot, or with `all` those of every snapshot, once for each. */
export function manifests(source: MetadataSource, all = false): Relation<ListedManifest> {
  const partitions = new Partitions(source.metadata);
  const count = (content: 0 | 1, of: (manifest: ManifestFile) => number | undefined) => ({ manifest }: ListedManifest) => (manifest.content === content ? (of(manifest) ?? 0) : 0);
  const columns: Column<ListedManifest>[] = [
    { name: "content", type: "INTEGER", value: ({ manifest }) => manifest.content },
    { name: "path", type: "VARCHAR", value: ({ manifest }) => manifest.path },
    { name: "length", type: "BIGINT", value: ({ manifest }) => manifest.length },
    { name: "partition_spec_id", type: "INTEGER", value: ({ manifest }) => manifest.specId },
    { name: "added_snapshot_id", type: "BIGINT", value: ({ manifest }) => manifest.addedSnapshotId },
    { name: "added_data_files_count", type: "INTEGER", value: count(0, (manifest) => manifest.addedFiles) },
    { name: "existing_data_files_count", type: "INTEGER", value: count(0, (manifest) => manifest.existingFiles) },
    { name: "deleted_data_files_count", type: "INTEGER", value: count(0, (manifest) => manifest.deletedFiles) },
    { name: "added_delete_files_count", type: "INTEGER", value: count(1, (manifest) => manifest.addedFiles) },
    { name: "existing_delete_files_count", type: "INTEGER", value: count(1, (manifest) => manifest.existingFiles) },
    { name: "deleted_delete_files_count", type: "INTEGER", value: count(1, (manifest) => manifest.deletedFiles) },
    {
      name: "partition_summaries", type: "STRUCT(contains_null BOOLEAN, contains_nan BOOLEAN, lower_bound VARCHAR, upper_bound VARCHAR)[]",
      value: ({ manifest }) => (manifest.partitions ?? []).map((summary, index) => ({
        contains_null: summary.containsNull, contains_nan: summary.containsNan ?? null,
        lower_bound: partitions.bound(manifest.specId, index, summary.lowerBound), upper_bound: partitions.bound(manifest.specId, index, summary.upperBound),
      })),
    },
  ];
  if (all) {
    columns.push({ name: "reference_snapshot_id", type: "BIGINT", value: ({ snapshotId }) => snapshotId }, { name: "key_metadata", type: "BLOB", value: ({ manifest }) => blob(manifest.keyMetadata) });
  }
  const listed = async (snapshot: Snapshot | undefined): Promise<ListedManifest[]> => (await snapshotManifests({ ...source, snapshot })).map((manifest) => ({ manifest, snapshotId: snapshot!["snapshot-id"] }));
  return { columns, rows: async () => (all ? (await Promise.all(source.metadata.snapshots.map(listed))).flat() : listed(source.snapshot)) };
}

export interface Totals { file: DataFile; specId: number; data: number[]; positions: number[]; equality: number[]; updated?: Snapshot }

/** Rows and files of each partition. */
export function partitionTotals(source: MetadataSource): Relation<Totals> {
  const partitions = new Partitions(source.metadata);
  const updated = (totals: Totals): string | null => (totals.updated ? isoTime(totals.updated["timestamp-ms"]) : null);
  return {
    columns: [
      ...(partitions.type ? [
        { name: "partition", type: partitions.type, value: ({ file }: Totals) => partitions.value(file) },
        { name: "spec_id", type: "INTEGER", value: ({ specId }: Totals) => specId },
      ] : []),
      { name: "record_count", type: "BIGINT", value: ({ data }) => data[0] },
      { name: "file_count", type: "INTEGER", value: ({ data }) => data[1] },
      { name: "total_data_file_size_in_bytes", type: "BIGINT", value: ({ data }) => data[2] },
      { name: "position_delete_record_count", type: "BIGINT", value: ({ positions }) => positions[0] },
      { name: "position_delete_file_count", type: "INTEGER", value: ({ positions }) => positions[1] },
      { name: "equality_delete_record_count", type: "BIGINT", value: ({ equality }) => equality[0] },
      { name: "equality_delete_file_count", type: "INTEGER", value: ({ equality }) => equality[1] },
      { name: "last_updated_at", type: "TIMESTAMPTZ", value: updated },
      { name: "last_updated_snapshot_id", type: "BIGINT", value: (totals) => totals.updated?.["snapshot-id"] ?? null },
    ],
    rows: async () => totalsOf(source, await entriesOf(source, await snapshotManifests(source)), partitions),
  };
}

function totalsOf({ metadata }: MetadataSource, entries: readonly ManifestEntry[], partitions: Partitions): Totals[] {
  const found = new Map<string, Totals>();
  for (const { status, file, snapshotId } of entries) {
    if (status === DELETED) continue;
    const key = stringifyJson(partitions.value(file));
    const totals = found.get(key) ?? { file, specId: file.specId, data: [0, 0, 0], positions: [0, 0, 0], equality: [0, 0, 0] };
    found.set(key, totals);
    const counted = [totals.data, totals.positions, totals.equality][file.content]!;
    counted[0]! += file.recordCount;
    counted[1]!++;
    counted[2]! += file.fileSizeInBytes;
    const snapshot = snapshotById(metadata, snapshotId);
    if (snapshot && (!totals.updated || snapshot["timestamp-ms"] > totals.updated["timestamp-ms"])) Object.assign(totals, { updated: snapshot, specId: file.specId });
  }
  return [...found.values()];
}
