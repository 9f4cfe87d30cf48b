import type { ManifestFile, PartitionFieldSummary } from "../types";
import { readContainer, recordType, writeContainer } from "./container";
import { FieldAccess } from "./fields";
import { MANIFEST_FILE_SCHEMA } from "./schemas";

const TYPE = recordType(MANIFEST_FILE_SCHEMA);

/** The snapshot that a manifest list belongs to. */
export interface ManifestListHeader { readonly snapshotId: bigint; readonly parentSnapshotId?: bigint; readonly sequenceNumber: number }

/** Encodes a manifest list. Every count must be known. */
export async function encodeManifestList(manifests: readonly ManifestFile[], header: ManifestListHeader): Promise<Uint8Array> {
  const records = manifests.map((m) => ({
    manifest_path: m.path,
    manifest_length: BigInt(m.length),
    partition_spec_id: m.specId,
    content: m.content,
    sequence_number: BigInt(m.sequenceNumber),
    min_sequence_number: BigInt(m.minSequenceNumber),
    added_snapshot_id: m.addedSnapshotId,
    added_files_count: m.addedFiles,
    existing_files_count: m.existingFiles,
    deleted_files_count: m.deletedFiles,
    added_rows_count: count(m.addedRows),
    existing_rows_count: count(m.existingRows),
    deleted_rows_count: count(m.deletedRows),
    partitions: m.partitions?.map(summaryRecord) ?? null,
    key_metadata: m.keyMetadata ? Buffer.from(m.keyMetadata) : null,
  }));
  return writeContainer(MANIFEST_FILE_SCHEMA, TYPE, records, {
    "snapshot-id": String(header.snapshotId),
    "parent-snapshot-id": header.parentSnapshotId === undefined ? "null" : String(header.parentSnapshotId),
    "sequence-number": String(header.sequenceNumber),
    "format-version": "2",
  });
}

/** The manifests of a list that any engine wrote, in format version 1 (no sequence numbers: 0) or 2. */
export async function decodeManifestList(bytes: Uint8Array, name: string): Promise<ManifestFile[]> {
  const { schema, records } = await readContainer(bytes, name);
  const line = new FieldAccess(schema, NAMES);
  const summary = new FieldAccess(itemsOf(line.type(507)), NAMES);
  return records.map((record): ManifestFile => {
    const partitions = line.get(record, 507) as Record<string, unknown>[] | undefined;
    const keyMetadata = line.get(record, 519) as Uint8Array | undefined;
    return {
      path: line.get(record, 500) as string,
      length: line.number(record, 501) ?? 0,
      specId: line.number(record, 502) ?? 0,
      content: (line.number(record, 517) ?? 0) as 0 | 1,
      sequenceNumber: line.number(record, 515) ?? 0,
      minSequenceNumber: line.number(record, 516) ?? 0,
      addedSnapshotId: (line.get(record, 503) as bigint | undefined) ?? 0n,
      addedFiles: line.number(record, 504),
      existingFiles: line.number(record, 505),
      deletedFiles: line.number(record, 506),
      addedRows: line.number(record, 512),
      existingRows: line.number(record, 513),
      deletedRows: line.number(record, 514),
      ...(partitions ? { partitions: partitions.map((part) => readSummary(summary, part)) } : {}),
      ...(keyMetadata ? { keyMetadata } : {}),
    };
  });
}

/** Version 1 calls the counts otherwise; both versions give them the same ids. */
const NAMES: Readonly<Record<string, number>> = {
  manifest_path: 500, manifest_length: 501, partition_spec_id: 502, content: 517, sequence_number: 515, min_sequence_number: 516, added_snapshot_id: 503,
  added_data_files_count: 504, existing_data_files_count: 505, deleted_data_files_count: 506, added_files_count: 504, existing_files_count: 505, deleted_files_count: 506,
  added_rows_count: 512, existing_rows_count: 513, deleted_rows_count: 514, partitions: 507, key_metadata: 519,
  contains_null: 509, contains_nan: 518, lower_bound: 510, upper_bound: 511,
};

function count(value: number | undefined): bigint | undefined {
  return value === undefined ? undefined : BigInt(value);
}

function summaryRecord(summary: PartitionFieldSummary): unknown {
  return {
    contains_null: summary.containsNull,
    contains_nan: summary.containsNan ?? null,
    lower_bound: summary.lowerBound ? Buffer.from(summary.lowerBound) : null,
    upper_bound: summary.upperBound ? Buffer.from(summary.upperBound) : null,
  };
}

function readSummary(access: FieldAccess, record: Record<string, unknown>): PartitionFieldSummary {
  const nan = access.get(record, 518) as boolean | undefined;
  const lower = access.get(record, 510) as Uint8Array | undefined;
  const upper = access.get(record, 511) as Uint8Array | undefined;
  return {
    containsNull: Boolean(access.get(record, 509)),
    ...(nan === undefined ? {} : { containsNan: nan }),
    ...(lower ? { lowerBound: lower } : {}),
    ...(upper ? { upperBound: upper } : {}),
  };
}

function itemsOf(type: unknown): never {
  return (typeof type === "object" && type !== null ? (type as { items?: unknown }).items : undefined) as never;
}
