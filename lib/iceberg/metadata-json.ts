import { gunzipSync } from "node:zlib";
import { TicklakeError } from "../errors";
import { parseJson, stringifyJson } from "./json";
import type { PartitionField, Schema, Snapshot, SnapshotRef, SortOrder, TableMetadata } from "./types";

/** Metadata as read: format version 1 is lifted into the form of version 2, and `formatVersion` says what the file was. */
export interface ParsedMetadata { readonly metadata: TableMetadata; readonly formatVersion: 1 | 2 }

type Json = Record<string, unknown>;

/**
 * Reads table metadata: plain or gzipped JSON, format version 1 or 2. Fields that we do not know are kept. Snapshot ids are bigint.
 *
 * @param name for errors: its location
 * @throws TicklakeError TABLE_CORRUPT when it is no table metadata, TABLE_UNSUPPORTED for format version 3 and later
 */
export function parseMetadata(bytes: Uint8Array, name: string): ParsedMetadata {
  let json: unknown;
  try {
    const plain = bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes;
    json = parseJson(new TextDecoder("utf-8", { fatal: true }).decode(plain));
  } catch (error) {
    throw corrupt(name, error instanceof Error ? error.message : String(error), error);
  }
  return metadataOf(json, name);
}

/**
 * Takes over table metadata that parseJson has read. The value becomes part of the result and is changed in place.
 *
 * @param name for errors: where it came from
 * @throws TicklakeError as parseMetadata
 */
export function metadataOf(value: unknown, name: string): ParsedMetadata {
  const json = value as Json;
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw corrupt(name, "it is no JSON object");
  const version = json["format-version"];
  if (typeof version !== "number") throw corrupt(name, "format-version is missing");
  if (version > 2 || version < 1) {
    throw new TicklakeError("TABLE_UNSUPPORTED", `${name} is of Iceberg format version ${version}; versions 1 (reading) and 2 are supported. Create the table with format-version 2.`, { details: { formatVersion: version } });
  }
  return { metadata: normalize(json, name, version), formatVersion: version === 1 ? 1 : 2 };
}

function normalize(json: Json, name: string, version: number): TableMetadata {
  for (const key of ["location", "last-column-id"]) {
    if (json[key] === undefined || json[key] === null) throw corrupt(name, `${key} is missing`);
  }
  if (version === 1) liftVersion1(json, name);
  for (const key of ["schemas", "partition-specs"]) {
    if (!Array.isArray(json[key])) throw corrupt(name, `${key} is missing`);
  }
  const metadata = json as unknown as TableMetadata & Json;
  metadata["format-version"] = 2;
  metadata["sort-orders"] ??= [{ "order-id": 0, fields: [] }];
  metadata["default-sort-order-id"] ??= 0;
  metadata["last-sequence-number"] ??= 0;
  metadata["last-updated-ms"] ??= 0;
  metadata["last-partition-id"] ??= Math.max(999, ...metadata["partition-specs"].flatMap((spec) => spec.fields.map((field) => field["field-id"])));
  metadata.properties ??= {};
  metadata["snapshot-log"] = (metadata["snapshot-log"] ?? []).map((entry) => ({ ...entry, "snapshot-id": id(entry["snapshot-id"]) }));
  metadata["metadata-log"] ??= [];
  metadata.snapshots = (metadata.snapshots ?? []).map((snapshot) => normalizeSnapshot(snapshot as never, name));
  const current = metadata["current-snapshot-id"] as unknown;
  // -1 and null both mean: none yet.
  if (current === undefined || current === null || Number(current) === -1) delete metadata["current-snapshot-id"];
  else metadata["current-snapshot-id"] = id(current);
  metadata.refs = Object.fromEntries(Object.entries(metadata.refs ?? {}).map(([ref, value]): [string, SnapshotRef] => [ref, { ...value, "snapshot-id": id(value["snapshot-id"]) }]));
  if (metadata["current-snapshot-id"] !== undefined) metadata.refs["main"] ??= { "snapshot-id": metadata["current-snapshot-id"], type: "branch" };
  for (const key of ["statistics", "partition-statistics"]) {
    const files = metadata[key];
    if (Array.isArray(files)) for (const file of files as Json[]) if (file["snapshot-id"] !== undefined) file["snapshot-id"] = id(file["snapshot-id"]);
  }
  if (!metadata.schemas.some((schema) => schema["schema-id"] === metadata["current-schema-id"])) throw corrupt(name, "current-schema-id names no schema");
  if (!metadata["partition-specs"].some((spec) => spec["spec-id"] === metadata["default-spec-id"])) throw corrupt(name, "default-spec-id names no partition spec");
  return metadata;
}

function normalizeSnapshot(snapshot: Snapshot & Json, name: string): Snapshot {
  if (snapshot["snapshot-id"] === undefined) throw corrupt(name, "a snapshot has no snapshot-id");
  snapshot["snapshot-id"] = id(snapshot["snapshot-id"]);
  const parent = snapshot["parent-snapshot-id"] as unknown;
  if (parent === undefined || parent === null || Number(parent) === -1) delete snapshot["parent-snapshot-id"];
  else snapshot["parent-snapshot-id"] = id(parent);
  snapshot["sequence-number"] ??= 0;
  snapshot.summary ??= {};
  return snapshot;
}

/** Version 1 has one schema and one spec beside (or instead of) the lists, and no sequence numbers. */
function liftVersion1(json: Json, name: string): void {
  const schema = json["schema"] as Schema | undefined;
  if (!Array.isArray(json["schemas"])) {
    if (!schema) throw corrupt(name, "schema is missing");
    json["schemas"] = [{ ...schema, "schema-id": schema["schema-id"] ?? 0 }];
  }
  json["current-schema-id"] ??= schema?.["schema-id"] ?? 0;
  if (!Array.isArray(json["partition-specs"])) {
    const fields = ((json["partition-spec"] as PartitionField[] | undefined) ?? []).map((field, i) => ({ ...field, "field-id": field["field-id"] ?? 1000 + i }));
    json["partition-specs"] = [{ "spec-id": 0, fields }];
  }
  json["default-spec-id"] ??= 0;
  json["sort-orders"] ??= [{ "order-id": 0, fields: [] }] satisfies SortOrder[];
  json["table-uuid"] ??= "";
}

/** A snapshot id as it came: a number when it was small, else a bigint. */
function id(value: unknown): bigint {
  return BigInt(value as number | bigint | string);
}

function corrupt(name: string, reason: string, cause?: unknown): TicklakeError {
  return new TicklakeError("TABLE_CORRUPT", `${name} is no readable table metadata: ${reason}. Restore the file, or go back to an older version of the table.`, { cause });
}

/** Snapshots never change, and a table has thousands: their bytes are kept from commit to commit. */
const knownBytes = new WeakMap<object, Uint8Array>();
const COMMA = Buffer.from(",");

/** Metadata as a JSON file. */
export function encodeMetadata(metadata: TableMetadata): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [key, value] of Object.entries(metadata)) {
    if (value === undefined) continue;
    const name = `${parts.length === 0 ? "{" : ","}${JSON.stringify(key)}:`;
    if (key !== "snapshots" && key !== "snapshot-log") {
      parts.push(Buffer.from(name + stringifyJson(value)));
      continue;
    }
    parts.push(Buffer.from(`${name}[`));
    (value as object[]).forEach((item, i) => {
      if (i > 0) parts.push(COMMA);
      parts.push(bytesOf(item));
    });
    parts.push(Buffer.from("]"));
  }
  parts.push(Buffer.from("}"));
  return Buffer.concat(parts);
}

function bytesOf(item: object): Uint8Array {
  const known = knownBytes.get(item);
  if (known) return known;
  const bytes = Buffer.from(stringifyJson(item));
  knownBytes.set(item, bytes);
  return bytes;
}
