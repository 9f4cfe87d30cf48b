import { decimalBytes, decimalOf, fixedLengthOf } from "../schema";
import type { PartitionSpec, PrimitiveType } from "../types";
import type { AvroObject, AvroSchema } from "./container";

/**
 * The Avro schemas of manifests and manifest lists, format version 2 (specification, "Manifests" and "Manifest Lists"). Names, ids and order
 * are those of Iceberg's own Java writer.
 */

function required(id: number, name: string, type: AvroSchema): object {
  return { name, type, "field-id": id };
}

function optional(id: number, name: string, type: AvroSchema): object {
  return { name, type: ["null", type], default: null, "field-id": id };
}

/** A map with int keys: Avro maps have string keys, so Iceberg writes an array of key-value records with a logical type. */
function intMap(id: number, name: string, key: number, value: number, valueType: string): object {
  const items = { type: "record", name: `k${key}_v${value}`, fields: [required(key, "key", "int"), required(value, "value", valueType)] };
  return optional(id, name, { type: "array", items, logicalType: "map" });
}

function list(id: number, name: string, element: number, type: string): object {
  return optional(id, name, { type: "array", items: type, "element-id": element });
}

/** Avro's form of a partition value. Named types carry the field's id: Avro allows each name once. */
function partitionValue(type: PrimitiveType, fieldId: number): AvroSchema {
  switch (type) {
    case "boolean": case "int": case "long": case "float": case "double": case "string":
      return type;
    case "binary":
      return "bytes";
    case "date":
      return { type: "int", logicalType: "date" };
    case "time":
      return { type: "long", logicalType: "time-micros" };
    case "timestamp":
      return { type: "long", logicalType: "timestamp-micros", "adjust-to-utc": false };
    case "timestamptz":
      return { type: "long", logicalType: "timestamp-micros", "adjust-to-utc": true };
    case "uuid":
      return { type: "fixed", name: `uuid_${fieldId}`, size: 16, logicalType: "uuid" };
    default: {
      const decimal = decimalOf(type);
      if (decimal) return { type: "fixed", name: `decimal_${fieldId}`, size: decimalBytes(decimal.precision), logicalType: "decimal", ...decimal };
      return { type: "fixed", name: `fixed_${fieldId}`, size: fixedLengthOf(type) ?? 16 };
    }
  }
}

/** A name that Avro allows: letters, digits and _ (as Iceberg's Java makes it compatible). */
export function avroName(name: string): string {
  const safe = name.replace(/[^A-Za-z0-9_]/g, (c) => `_x${c.codePointAt(0)!.toString(16).toUpperCase()}`);
  return /^[0-9]/.test(safe) ? `_${safe}` : safe || "_";
}

/** Record `manifest_entry` for the partition tuple of a spec. `types` are those of its values (partitionTypes). */
export function manifestEntrySchema(spec: PartitionSpec, types: readonly PrimitiveType[]): AvroObject {
  const partition = spec.fields.map((field, i) => optional(field["field-id"], avroName(field.name), partitionValue(types[i]!, field["field-id"])));
  const dataFile = [
    required(134, "content", "int"),
    required(100, "file_path", "string"),
    required(101, "file_format", "string"),
    required(102, "partition", { type: "record", name: "r102", fields: partition }),
    required(103, "record_count", "long"),
    required(104, "file_size_in_bytes", "long"),
    intMap(108, "column_sizes", 117, 118, "long"),
    intMap(109, "value_counts", 119, 120, "long"),
    intMap(110, "null_value_counts", 121, 122, "long"),
    intMap(137, "nan_value_counts", 138, 139, "long"),
    intMap(125, "lower_bounds", 126, 127, "bytes"),
    intMap(128, "upper_bounds", 129, 130, "bytes"),
    optional(131, "key_metadata", "bytes"),
    list(132, "split_offsets", 133, "long"),
    list(135, "equality_ids", 136, "int"),
    optional(140, "sort_order_id", "int"),
    optional(143, "referenced_data_file", "string"),
  ];
  return {
    type: "record",
    name: "manifest_entry",
    fields: [
      required(0, "status", "int"),
      optional(1, "snapshot_id", "long"),
      optional(3, "sequence_number", "long"),
      optional(4, "file_sequence_number", "long"),
      required(2, "data_file", { type: "record", name: "r2", fields: dataFile }),
    ],
  };
}

const FIELD_SUMMARY = {
  type: "record",
  name: "r508",
  fields: [required(509, "contains_null", "boolean"), optional(518, "contains_nan", "boolean"), optional(510, "lower_bound", "bytes"), optional(511, "upper_bound", "bytes")],
};

/** Record `manifest_file`: one line of a manifest list. */
export const MANIFEST_FILE_SCHEMA: AvroObject = {
  type: "record",
  name: "manifest_file",
  fields: [
    required(500, "manifest_path", "string"),
    required(501, "manifest_length", "long"),
    required(502, "partition_spec_id", "int"),
    required(517, "content", "int"),
    required(515, "sequence_number", "long"),
    required(516, "min_sequence_number", "long"),
    required(503, "added_snapshot_id", "long"),
    required(504, "added_files_count", "int"),
    required(505, "existing_files_count", "int"),
    required(506, "deleted_files_count", "int"),
    required(512, "added_rows_count", "long"),
    required(513, "existing_rows_count", "long"),
    required(514, "deleted_rows_count", "long"),
    optional(507, "partitions", { type: "array", items: FIELD_SUMMARY, "element-id": 508 }),
    optional(519, "key_metadata", "bytes"),
  ],
};

/** Ids of fields whose writer left `field-id` out, by the names of both format versions. */
export const IDS_BY_NAME: Readonly<Record<string, number>> = {
  status: 0, snapshot_id: 1, data_file: 2, sequence_number: 3, file_sequence_number: 4,
  content: 134, file_path: 100, file_format: 101, partition: 102, record_count: 103, file_size_in_bytes: 104, column_sizes: 108, value_counts: 109,
  null_value_counts: 110, nan_value_counts: 137, lower_bounds: 125, upper_bounds: 128, key_metadata: 131, split_offsets: 132, equality_ids: 135, sort_order_id: 140,
  referenced_data_file: 143,
};
