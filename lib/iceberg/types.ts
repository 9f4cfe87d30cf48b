/**
 * The nouns of the Iceberg table format, version 2, with the JSON names of the specification where they are JSON
 * (https://iceberg.apache.org/spec/). 63-bit ids and offsets are bigint.
 */

export type PrimitiveType =
  | "boolean" | "int" | "long" | "float" | "double" | "date" | "time" | "timestamp" | "timestamptz" | "string" | "uuid" | "binary"
  | `decimal(${number}, ${number})` | `decimal(${number},${number})` | `fixed[${number}]`;

export interface StructType { type: "struct"; fields: NestedField[] }
export interface ListType { type: "list"; "element-id": number; element: Type; "element-required": boolean }
export interface MapType { type: "map"; "key-id": number; key: Type; "value-id": number; value: Type; "value-required": boolean }
export type Type = PrimitiveType | StructType | ListType | MapType;

export interface NestedField { id: number; name: string; required: boolean; type: Type; doc?: string }
export interface Schema extends StructType { "schema-id": number; "identifier-field-ids"?: number[] }

/** `identity`, `bucket[16]`, `truncate[10]`, `year`, `month`, `day`, `hour`, `void`. */
export type TransformText = string;
export interface PartitionField { "source-id": number; "field-id": number; name: string; transform: TransformText }
export interface PartitionSpec { "spec-id": number; fields: PartitionField[] }

export interface SortField { transform: TransformText; "source-id": number; direction: "asc" | "desc"; "null-order": "nulls-first" | "nulls-last" }
export interface SortOrder { "order-id": number; fields: SortField[] }

export interface Snapshot {
  "snapshot-id": bigint;
  "parent-snapshot-id"?: bigint;
  "sequence-number": number;
  "timestamp-ms": number;
  "manifest-list": string;
  summary: Record<string, string>;
  "schema-id"?: number;
}

export interface SnapshotRef { "snapshot-id": bigint; type: "branch" | "tag"; "max-ref-age-ms"?: number; "max-snapshot-age-ms"?: number; "min-snapshots-to-keep"?: number }

/** Table metadata, format version 2. Fields that we do not know are kept as they were read. */
export interface TableMetadata {
  "format-version": 2;
  "table-uuid": string;
  location: string;
  "last-sequence-number": number;
  "last-updated-ms": number;
  "last-column-id": number;
  schemas: Schema[];
  "current-schema-id": number;
  "partition-specs": PartitionSpec[];
  "default-spec-id": number;
  "last-partition-id": number;
  "sort-orders": SortOrder[];
  "default-sort-order-id": number;
  properties: Record<string, string>;
  "current-snapshot-id"?: bigint;
  snapshots: Snapshot[];
  "snapshot-log": { "timestamp-ms": number; "snapshot-id": bigint }[];
  "metadata-log": { "timestamp-ms": number; "metadata-file": string }[];
  refs: Record<string, SnapshotRef>;
  /** Files that other engines wrote about snapshots (Puffin, partition statistics). */
  statistics?: StatisticsFile[];
  "partition-statistics"?: StatisticsFile[];
}

export interface StatisticsFile { "snapshot-id": bigint; "statistics-path": string; "file-size-in-bytes"?: number }

/**
 * A partition value as it stands in a manifest: the transform's result. long results are bigint, int results (bucket,
 * year, month, day as days, hour) number, strings string, binary/fixed/uuid/decimal as their single-value bytes.
 */
export type PartitionValue = boolean | number | bigint | string | Uint8Array | null;

/** A data file with its metrics. Maps are keyed by field id; bounds are single-value serialized (Appendix D of the specification). */
export interface DataFile {
  /** 0 data, 1 position deletes, 2 equality deletes. */
  content: 0 | 1 | 2;
  filePath: string;
  fileFormat: string;
  specId: number;
  /** One value per field of the partition spec, in its order. */
  partition: PartitionValue[];
  recordCount: number;
  fileSizeInBytes: number;
  columnSizes: Map<number, number>;
  valueCounts: Map<number, number>;
  nullValueCounts: Map<number, number>;
  nanValueCounts: Map<number, number>;
  lowerBounds: Map<number, Uint8Array>;
  upperBounds: Map<number, Uint8Array>;
  splitOffsets: number[];
  sortOrderId?: number;
  /** Only in what other engines wrote; kept when manifests are rewritten: encryption key, equality delete columns, the file of position deletes. */
  keyMetadata?: Uint8Array;
  equalityIds?: number[];
  referencedDataFile?: string;
}

/** Values of one partition field over a manifest, for skipping it (field_summary of the specification). */
export interface PartitionFieldSummary {
  containsNull: boolean;
  containsNan?: boolean;
  /** Single-value serialized by the type of the transform's result. */
  lowerBound?: Uint8Array;
  upperBound?: Uint8Array;
}

/** One line of a manifest list (manifest_file of the specification). */
export interface ManifestFile {
  path: string;
  /** Bytes. */
  length: number;
  specId: number;
  /** 0 data, 1 deletes. */
  content: 0 | 1;
  sequenceNumber: number;
  minSequenceNumber: number;
  addedSnapshotId: bigint;
  /** Undefined where an old version 1 writer left them out. */
  addedFiles?: number;
  existingFiles?: number;
  deletedFiles?: number;
  addedRows?: number;
  existingRows?: number;
  deletedRows?: number;
  /** One per field of the partition spec. */
  partitions?: PartitionFieldSummary[];
  keyMetadata?: Uint8Array;
}

export const EXISTING = 0, ADDED = 1, DELETED = 2;

/** One file in a manifest. Read back, nothing is null: what an ADDED entry inherits from its manifest is filled in. */
export interface ManifestEntry {
  status: 0 | 1 | 2;
  snapshotId: bigint;
  /** Data sequence number and file sequence number. Null only when written as ADDED: the commit decides. */
  sequenceNumber: number | null;
  fileSequenceNumber: number | null;
  file: DataFile;
}

/** `db.flattened_stocks`: namespace levels and name, without the catalog's name. */
export interface TableIdentifier { namespace: string[]; name: string }

export type Codec = "snappy" | "gzip" | "zstd" | "none";
