/**
 * `.files`, `.data_files`, `.delete_files`, `.entries` and their `.all_` forms: every file of a snapshot, or of all
 * snapshots, with its metrics.
 */
import { allFields, isPrimitive } from "../../iceberg/schema";
import { currentSchema } from "../../iceberg/metadata";
import { DELETED, type DataFile, type ManifestEntry, type PrimitiveType, type TableMetadata } from "../../iceberg/types";
import { deserializeValue } from "../../iceberg/values";
import { internalName, quote } from "../names";
import { duckType } from "../views";
import { Partitions } from "./partitions";
import { allManifests, entriesOf, type MetadataSource, snapshotManifests } from "./source";
import { blob, type Column, jsonValue, type Relation } from "./values";

const COUNTS = "MAP(INTEGER, BIGINT)";
const BOUNDS = "MAP(INTEGER, BLOB)";

/** Files of the snapshot, or with `all` of every snapshot that the table lists. */
export function files(source: MetadataSource, content: (content: DataFile["content"]) => boolean, all = false): Relation<ManifestEntry> {
  const columns = [...fileColumns(source.metadata), readableMetrics(source.metadata)].map(({ name, type, value }) => ({ name, type, value: ({ file }: ManifestEntry) => value(file) }));
  return {
    columns,
    rows: async () => (await entriesOf(source, await (all ? allManifests(source) : snapshotManifests(source)))).filter(({ status, file }) => status !== DELETED && content(file.content)),
  };
}

/** Entries of manifests as they stand there, deleted ones included. */
export function entries(source: MetadataSource, all = false): Relation<ManifestEntry> {
  const data = fileColumns(source.metadata);
  const metrics = readableMetrics(source.metadata);
  return {
    columns: [
      { name: "status", type: "INTEGER", value: (entry) => entry.status },
      { name: "snapshot_id", type: "BIGINT", value: (entry) => entry.snapshotId },
      { name: "sequence_number", type: "BIGINT", value: (entry) => entry.sequenceNumber },
      { name: "file_sequence_number", type: "BIGINT", value: (entry) => entry.fileSequenceNumber },
      { name: "data_file", type: `STRUCT(${data.map(({ name, type }) => `${quote(name)} ${type}`).join(", ")})`, value: ({ file }) => Object.fromEntries(data.map(({ name, value }) => [name, value(file)])) },
      { name: metrics.name, type: metrics.type, value: ({ file }) => metrics.value(file) },
    ],
    rows: async () => entriesOf(source, await (all ? allManifests(source) : snapshotManifests(source))),
  };
}

function fileColumns(metadata: TableMetadata): Column<DataFile>[] {
  const partitions = new Partitions(metadata);
  return [
    { name: "content", type: "INTEGER", value: (file) => file.content },
    { name: "file_path", type: "VARCHAR", value: (file) => file.filePath },
    { name: "file_format", type: "VARCHAR", value: (file) => file.fileFormat.toUpperCase() },
    { name: "spec_id", type: "INTEGER", value: (file) => file.specId },
    ...(partitions.type ? [{ name: "partition", type: partitions.type, value: (file: DataFile) => partitions.value(file) }] : []),
    { name: "record_count", type: "BIGINT", value: (file) => file.recordCount },
    { name: "file_size_in_bytes", type: "BIGINT", value: (file) => file.fileSizeInBytes },
    { name: "column_sizes", type: COUNTS, value: (file) => counts(file.columnSizes) },
    { name: "value_counts", type: COUNTS, value: (file) => counts(file.valueCounts) },
    { name: "null_value_counts", type: COUNTS, value: (file) => counts(file.nullValueCounts) },
    { name: "nan_value_counts", type: COUNTS, value: (file) => counts(file.nanValueCounts) ?? none(file) },
    { name: "lower_bounds", type: BOUNDS, value: (file) => bounds(file.lowerBounds) ?? none(file) },
    { name: "upper_bounds", type: BOUNDS, value: (file) => bounds(file.upperBounds) ?? none(file) },
    { name: "key_metadata", type: "BLOB", value: (file) => blob(file.keyMetadata) },
    { name: "split_offsets", type: "BIGINT[]", value: (file) => (file.splitOffsets.length > 0 ? file.splitOffsets : null) },
    { name: "equality_ids", type: "INTEGER[]", value: (file) => file.equalityIds ?? null },
    { name: "sort_order_id", type: "INTEGER", value: (file) => file.sortOrderId ?? null },
    // Of format version 3, which is not read: always null.
    { name: "first_row_id", type: "BIGINT", value: () => null },
    { name: "referenced_data_file", type: "VARCHAR", value: (file) => file.referencedDataFile ?? null },
    { name: "content_offset", type: "BIGINT", value: () => null },
    { name: "content_size_in_bytes", type: "BIGINT", value: () => null },
  ];
}

/** Metrics by the names of columns, bounds as values. */
function readableMetrics(metadata: TableMetadata): Column<DataFile> {
  const columns = allFields(currentSchema(metadata)).filter(({ field }) => isPrimitive(field.type))
    .map(({ name, field }) => ({ name, id: field.id, type: field.type as PrimitiveType })).sort((a, b) => (a.name < b.name ? -1 : 1));
  const one = (type: PrimitiveType): string => `STRUCT(column_size BIGINT, value_count BIGINT, null_value_count BIGINT, nan_value_count BIGINT, lower_bound ${duckType(type)}, upper_bound ${duckType(type)})`;
  return {
    name: "readable_metrics",
    type: `STRUCT(${columns.map(({ name, type }) => `${quote(internalName(name))} ${one(type)}`).join(", ")})`,
    value: (file) => Object.fromEntries(columns.map(({ name, id, type }) => [internalName(name), {
      column_size: file.columnSizes.get(id) ?? null, value_count: file.valueCounts.get(id) ?? null, null_value_count: file.nullValueCounts.get(id) ?? null,
      nan_value_count: file.nanValueCounts.get(id) ?? null, lower_bound: bound(type, file.lowerBounds.get(id)), upper_bound: bound(type, file.upperBounds.get(id)),
    }])),
  };
}

function bound(type: PrimitiveType, bytes: Uint8Array | undefined): unknown {
  return bytes ? jsonValue(type, deserializeValue(type, bytes)) : null;
}

/** Of a file whose values are counted, no bounds and no NaN are known facts; else nothing is known. */
function none(file: DataFile): Record<string, never> | null {
  return file.valueCounts.size > 0 ? {} : null;
}

function counts(map: ReadonlyMap<number, number>): Record<string, number> | null {
  return map.size === 0 ? null : Object.fromEntries(map);
}

function bounds(map: ReadonlyMap<number, Uint8Array>): Record<string, unknown> | null {
  return map.size === 0 ? null : Object.fromEntries([...map].map(([id, bytes]) => [id, blob(bytes)]));
}
