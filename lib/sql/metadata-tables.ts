/**
 * A table's metadata as tables: `db.t.history`, `.snapshots`, `.files`, `.manifests`, `.partitions`, `.refs`, with the
 * column names that Spark gives them. Bounds and partition values are readable text, where Spark has bytes.
 */
import type { FileIO } from "../iceberg/io/types";
import { stringifyJson } from "../iceberg/json";
import { readManifest, readManifestList } from "../iceberg/manifests";
import { ancestors } from "../iceberg/metadata";
import { partitionTypes } from "../iceberg/partition-type";
import { fieldById } from "../iceberg/schema";
import { humanValue, parseTransform } from "../iceberg/transforms";
import type { DataFile, ManifestFile, PartitionSpec, PartitionValue, PrimitiveType, Schema, Snapshot, TableMetadata } from "../iceberg/types";
import { deserializeValue } from "../iceberg/values";
import { internalName, literal, quote } from "./names";

export const METADATA_TABLES = ["history", "snapshots", "files", "manifests", "partitions", "refs"] as const;
export type MetadataTable = (typeof METADATA_TABLES)[number];

export const isMetadataTable = (name: string | undefined): name is MetadataTable => (METADATA_TABLES as readonly string[]).includes(name ?? "");

/** What the rows are made of. */
export interface MetadataSource { io: FileIO; metadata: TableMetadata; snapshot: Snapshot | undefined }

interface Rows { columns: Record<string, string>; rows: Record<string, unknown>[] }

/** The SELECT behind the view of a metadata table. */
export async function metadataViewSql(table: MetadataTable, source: MetadataSource): Promise<string> {
  const { columns, rows } = await READERS[table](source);
  const names = Object.keys(columns);
  const structure = stringifyJson([columns]);
  // Every column is taken out by name: a list of structs unnests into one struct per row.
  return `SELECT ${names.map((name) => `r.${quote(name)}`).join(", ")} FROM (SELECT unnest(from_json(${literal(stringifyJson(rows))}, ${literal(structure)})) AS r)`;
}

/** The columns of a metadata table that a query may name. */
export function metadataColumns(table: MetadataTable, metadata: TableMetadata): string[] {
  return Object.keys(COLUMNS[table](metadata));
}

const COUNTS = "MAP(INTEGER, BIGINT)";
const BOUNDS = "MAP(INTEGER, VARCHAR)";

const COLUMNS: Record<MetadataTable, (metadata: TableMetadata) => Record<string, string>> = {
  history: () => ({ made_current_at: "TIMESTAMPTZ", snapshot_id: "BIGINT", parent_id: "BIGINT", is_current_ancestor: "BOOLEAN" }),
  snapshots: () => ({ committed_at: "TIMESTAMPTZ", snapshot_id: "BIGINT", parent_id: "BIGINT", operation: "VARCHAR", manifest_list: "VARCHAR", summary: "MAP(VARCHAR, VARCHAR)" }),
  files: (metadata) => ({
    content: "INTEGER", file_path: "VARCHAR", file_format: "VARCHAR", spec_id: "INTEGER", ...partitionColumn(metadata), record_count: "BIGINT", file_size_in_bytes: "BIGINT",
    column_sizes: COUNTS, value_counts: COUNTS, null_value_counts: COUNTS, nan_value_counts: COUNTS, lower_bounds: BOUNDS, upper_bounds: BOUNDS, split_offsets: "BIGINT[]", sort_order_id: "INTEGER",
  }),
  manifests: () => ({
    content: "INTEGER", path: "VARCHAR", length: "BIGINT", partition_spec_id: "INTEGER", added_snapshot_id: "BIGINT",
    added_data_files_count: "INTEGER", existing_data_files_count: "INTEGER", deleted_data_files_count: "INTEGER",
    added_delete_files_count: "INTEGER", existing_delete_files_count: "INTEGER", deleted_delete_files_count: "INTEGER",
    partition_summaries: "STRUCT(contains_null BOOLEAN, contains_nan BOOLEAN, lower_bound VARCHAR, upper_bound VARCHAR)[]",
  }),
  partitions: (metadata) => ({ ...partitionColumn(metadata), spec_id: "INTEGER", record_count: "BIGINT", file_count: "INTEGER", total_data_file_size_in_bytes: "BIGINT" }),
  refs: () => ({ name: "VARCHAR", type: "VARCHAR", snapshot_id: "BIGINT", max_reference_age_in_ms: "BIGINT", min_snapshots_to_keep: "INTEGER", max_snapshot_age_in_ms: "BIGINT" }),
};

const READERS: Record<MetadataTable, (source: MetadataSource) => Promise<Rows> | Rows> = { history, snapshots, files, manifests, partitions, refs };

function history({ metadata }: MetadataSource): Rows {
  const current = new Set([...ancestors(metadata)].map((snapshot) => snapshot["snapshot-id"]));
  const parents = new Map(metadata.snapshots.map((snapshot) => [snapshot["snapshot-id"], snapshot["parent-snapshot-id"]]));
  const rows = metadata["snapshot-log"].map((entry) => ({
    made_current_at: isoTime(entry["timestamp-ms"]), snapshot_id: entry["snapshot-id"], parent_id: parents.get(entry["snapshot-id"]) ?? null,
    is_current_ancestor: current.has(entry["snapshot-id"]),
  }));
  return { columns: COLUMNS.history(metadata), rows };
}

function snapshots({ metadata }: MetadataSource): Rows {
  const rows = metadata.snapshots.map((snapshot) => {
    const { operation, ...summary } = snapshot.summary ?? {};
    return {
      committed_at: isoTime(snapshot["timestamp-ms"]), snapshot_id: snapshot["snapshot-id"], parent_id: snapshot["parent-snapshot-id"] ?? null,
      operation: operation ?? null, manifest_list: snapshot["manifest-list"] ?? null, summary,
    };
  });
  return { columns: COLUMNS.snapshots(metadata), rows };
}

function refs({ metadata }: MetadataSource): Rows {
  const rows = Object.entries(metadata.refs).map(([name, ref]) => ({
    name, type: ref.type.toUpperCase(), snapshot_id: ref["snapshot-id"], max_reference_age_in_ms: ref["max-ref-age-ms"] ?? null,
    min_snapshots_to_keep: ref["min-snapshots-to-keep"] ?? null, max_snapshot_age_in_ms: ref["max-snapshot-age-ms"] ?? null,
  }));
  return { columns: COLUMNS.refs(metadata), rows };
}

async function manifests(source: MetadataSource): Promise<Rows> {
  const rows = (await manifestList(source)).map((manifest) => {
    const texts = partitionTexts(source.metadata, manifest.specId);
    const [data, deletes] = manifest.content === 0 ? [manifest, undefined] : [undefined, manifest];
    return {
      content: manifest.content, path: manifest.path, length: manifest.length, partition_spec_id: manifest.specId, added_snapshot_id: manifest.addedSnapshotId,
      added_data_files_count: data?.addedFiles ?? 0, existing_data_files_count: data?.existingFiles ?? 0, deleted_data_files_count: data?.deletedFiles ?? 0,
      added_delete_files_count: deletes?.addedFiles ?? 0, existing_delete_files_count: deletes?.existingFiles ?? 0, deleted_delete_files_count: deletes?.deletedFiles ?? 0,
      partition_summaries: (manifest.partitions ?? []).map((summary, index) => ({
        contains_null: summary.containsNull, contains_nan: summary.containsNan ?? null,
        lower_bound: texts.bound(index, summary.lowerBound), upper_bound: texts.bound(index, summary.upperBound),
      })),
    };
  });
  return { columns: COLUMNS.manifests(source.metadata), rows };
}

async function files(source: MetadataSource): Promise<Rows> {
  const rows = (await liveFiles(source)).map((file) => ({
    content: file.content, file_path: file.filePath, file_format: file.fileFormat, spec_id: file.specId, ...partitionValue(source.metadata, file),
    record_count: file.recordCount, file_size_in_bytes: file.fileSizeInBytes,
    column_sizes: Object.fromEntries(file.columnSizes), value_counts: Object.fromEntries(file.valueCounts), null_value_counts: Object.fromEntries(file.nullValueCounts),
    nan_value_counts: Object.fromEntries(file.nanValueCounts), lower_bounds: boundTexts(source.metadata, file.lowerBounds), upper_bounds: boundTexts(source.metadata, file.upperBounds),
    split_offsets: file.splitOffsets, sort_order_id: file.sortOrderId ?? null,
  }));
  return { columns: COLUMNS.files(source.metadata), rows };
}

async function partitions(source: MetadataSource): Promise<Rows> {
  const found = new Map<string, { spec_id: number; record_count: number; file_count: number; total_data_file_size_in_bytes: number }>();
  for (const file of await liveFiles(source)) {
    if (file.content !== 0) continue;
    const partition = partitionValue(source.metadata, file);
    const key = stringifyJson([file.specId, partition]);
    const row = found.get(key) ?? { ...partition, spec_id: file.specId, record_count: 0, file_count: 0, total_data_file_size_in_bytes: 0 };
    row.record_count += file.recordCount;
    row.file_count++;
    row.total_data_file_size_in_bytes += file.fileSizeInBytes;
    found.set(key, row);
  }
  return { columns: COLUMNS.partitions(source.metadata), rows: [...found.values()] };
}

async function manifestList({ io, snapshot }: MetadataSource): Promise<ManifestFile[]> {
  return snapshot ? readManifestList(io, snapshot) : [];
}

async function liveFiles(source: MetadataSource): Promise<DataFile[]> {
  const out: DataFile[] = [];
  for (const manifest of await manifestList(source)) {
    for (const entry of await readManifest(source.io, manifest, source.metadata)) if (entry.status !== 2) out.push(entry.file);
  }
  return out;
}

/** The struct of all partition fields that the table has ever had, as text; no column when it was never partitioned. */
function partitionColumn(metadata: TableMetadata): Record<string, string> {
  const fields = partitionFields(metadata);
  return fields.length === 0 ? {} : { partition: `STRUCT(${fields.map((name) => `${quote(internalName(name))} VARCHAR`).join(", ")})` };
}

function partitionFields(metadata: TableMetadata): string[] {
  return [...new Set(metadata["partition-specs"].flatMap((spec) => spec.fields.map((field) => field.name)))];
}

function partitionValue(metadata: TableMetadata, file: DataFile): { partition?: Record<string, string | null> } {
  const fields = partitionFields(metadata);
  if (fields.length === 0) return {};
  const texts = partitionTexts(metadata, file.specId);
  const partition: Record<string, string | null> = Object.fromEntries(fields.map((name) => [internalName(name), null]));
  texts.spec?.fields.forEach((field, index) => { partition[internalName(field.name)] = texts.value(index, file.partition[index] ?? null); });
  return { partition };
}

/** Partition values of a spec as people read them: `2024-11-01` for a day. */
function partitionTexts(metadata: TableMetadata, specId: number): { spec: PartitionSpec | undefined; value(index: number, value: PartitionValue): string | null; bound(index: number, bytes: Uint8Array | undefined): string | null } {
  const spec = metadata["partition-specs"].find((candidate) => candidate["spec-id"] === specId);
  const types = spec ? partitionTypes(spec, metadata.schemas) : [];
  const value = (index: number, item: PartitionValue): string | null => {
    const type = types[index];
    const field = spec?.fields[index];
    return item === null || !type || !field ? null : humanValue(parseTransform(field.transform), type, item);
  };
  return { spec, value, bound: (index, bytes) => (bytes && types[index] ? value(index, deserializeValue(types[index], bytes)) : null) };
}

/** Bounds as text, by field id. */
function boundTexts(metadata: TableMetadata, bounds: ReadonlyMap<number, Uint8Array>): Record<string, string> {
  const identity = parseTransform("identity");
  const out: Record<string, string> = {};
  for (const [id, bytes] of bounds) {
    const type = columnType(metadata.schemas, id);
    if (type) out[id] = humanValue(identity, type, deserializeValue(type, bytes));
  }
  return out;
}

function columnType(schemas: readonly Schema[], id: number): PrimitiveType | undefined {
  for (const schema of [...schemas].reverse()) {
    const type = fieldById(schema, id)?.field.type;
    if (typeof type === "string") return type;
  }
  return undefined;
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
