/** What a table is: for people and flows. Reads metadata alone. */
import type { Table } from "../catalog/types";
import { currentSchema, currentSnapshot, defaultSpec } from "../metadata";
import { fieldById, typeText } from "../schema";
import type { PartitionSpec, Schema } from "../types";
import { WATERMARKS } from "../watermarks";
import { isoTime } from "./context";

export interface TableDescription {
  readonly name: string;
  readonly location: string;
  readonly uuid: string;
  readonly formatVersion: number;
  readonly metadataLocation: string;
  readonly columns: readonly { readonly id: number; readonly name: string; readonly type: string; readonly required: boolean; readonly doc?: string }[];
  /** `truncate[86400000](timestamp), S`; empty = not partitioned. */
  readonly partitionBy: string;
  /** `timestamp asc nulls first`; empty = not sorted. */
  readonly sortOrder: string;
  readonly properties: Readonly<Record<string, string>>;
  readonly snapshots: number;
  readonly refs: Readonly<Record<string, { readonly type: string; readonly snapshotId: string }>>;
  readonly currentSnapshot?: { readonly snapshotId: string; readonly committedAt: string; readonly operation: string; readonly summary: Readonly<Record<string, string>> };
  /** Totals of the current snapshot, as its writer counted them; absent where it did not. */
  readonly rows?: number;
  readonly dataFiles?: number;
  readonly deleteFiles?: number;
  readonly bytes?: number;
  readonly lastUpdated: string;
}

export async function describeTable(table: Table): Promise<TableDescription> {
  const { metadata, metadataLocation, formatVersion } = await table.refresh();
  const schema = currentSchema(metadata), snapshot = currentSnapshot(metadata);
  const order = metadata["sort-orders"].find((one) => one["order-id"] === metadata["default-sort-order-id"]);
  const total = (key: string): number | undefined => (snapshot && /^\d+$/.test(snapshot.summary[key] ?? "") ? Number(snapshot.summary[key]) : snapshot ? undefined : 0);
  return {
    name: table.fullName, location: metadata.location, uuid: metadata["table-uuid"], formatVersion, metadataLocation,
    columns: schema.fields.map(({ id, name, type, required, doc }) => ({ id, name, type: typeText(type), required, ...(doc ? { doc } : {}) })),
    partitionBy: partitionText(defaultSpec(metadata), schema),
    sortOrder: (order?.fields ?? []).map((field) => `${term(field.transform, field["source-id"], schema)} ${field.direction} ${field["null-order"].replace("-", " ")}`).join(", "),
    properties: withoutBookkeeping(metadata.properties),
    snapshots: metadata.snapshots.length,
    refs: Object.fromEntries(Object.entries(metadata.refs).map(([name, ref]) => [name, { type: ref.type, snapshotId: String(ref["snapshot-id"]) }])),
    ...(snapshot ? {
      currentSnapshot: {
        snapshotId: String(snapshot["snapshot-id"]), committedAt: isoTime(snapshot["timestamp-ms"]), operation: snapshot.summary["operation"] ?? "", summary: withoutBookkeeping(snapshot.summary),
      },
    } : {}),
    ...known("rows", total("total-records")), ...known("dataFiles", total("total-data-files")), ...known("deleteFiles", total("total-delete-files")), ...known("bytes", total("total-files-size")),
    lastUpdated: isoTime(metadata["last-updated-ms"]),
  };
}

function known(name: string, value: number | undefined): Record<string, number> {
  return value === undefined ? {} : { [name]: value };
}

function withoutBookkeeping(entries: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(entries).filter(([name]) => name !== WATERMARKS));
}

/** A spec as parsePartitionBy reads it. */
export function partitionText(spec: PartitionSpec, schema: Schema): string {
  return spec.fields.map((field) => term(field.transform, field["source-id"], schema)).join(", ");
}

function term(transform: string, source: number, schema: Schema): string {
  const name = fieldById(schema, source)?.name ?? `field ${source}`;
  return transform === "identity" ? name : `${transform}(${name})`;
}
