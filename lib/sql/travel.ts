/**
 * Which snapshot of a table a query reads. Pure; no I/O.
 */
import { TicklakeError } from "../errors";
import { currentSchema, currentSnapshot, snapshotById } from "../iceberg/metadata";
import type { Schema, Snapshot, TableMetadata } from "../iceberg/types";
import { timeText } from "./times";

/** A snapshot by its id or the name of a branch or tag, or what was current at a time (Unix ms). */
export type Travel = { kind: "version"; version: bigint | string } | { kind: "time"; ms: number };

/** What a query sees of a table. */
export interface SnapshotView { snapshot: Snapshot | undefined; schema: Schema }

/**
 * The snapshot and its columns: the current ones for the newest snapshot and for a branch, else those of then.
 *
 * @throws TicklakeError SNAPSHOT_NOT_FOUND saying which there are
 */
export function snapshotView(table: string, metadata: TableMetadata, travel: Travel | undefined): SnapshotView {
  if (!travel) return { snapshot: currentSnapshot(metadata), schema: currentSchema(metadata) };
  const snapshot = travel.kind === "version" ? byVersion(table, metadata, travel.version) : byTime(table, metadata, travel.ms);
  // A branch is a line that goes on, so it has the table's columns of today; a snapshot and a tag have those of then (as in Spark).
  const branch = travel.kind === "version" && typeof travel.version === "string" && metadata.refs[travel.version]?.type === "branch";
  const schema = branch ? undefined : metadata.schemas.find((candidate) => candidate["schema-id"] === snapshot["schema-id"]);
  return { snapshot, schema: schema ?? currentSchema(metadata) };
}

/** What the last part of `db.t.branch_audit`, `db.t.tag_v1`, `db.t.snapshot_id_123` and `db.t.at_timestamp_1730455200000` (Unix ms) asks for. */
export function travelByName(name: string): Travel | undefined {
  const match = /^(?:branch_(.+)|tag_(.+)|snapshot_id_(\d+)|at_timestamp_(\d+))$/s.exec(name);
  if (!match) return undefined;
  if (match[4] !== undefined) return { kind: "time", ms: Number(match[4]) };
  return { kind: "version", version: match[3] === undefined ? match[1] ?? match[2]! : BigInt(match[3]) };
}

function byVersion(table: string, metadata: TableMetadata, version: bigint | string): Snapshot {
  const named = typeof version === "string" ? metadata.refs[version]?.["snapshot-id"] : undefined;
  const id = named ?? (typeof version === "bigint" ? version : /^\d+$/.test(version) ? BigInt(version) : undefined);
  const snapshot = snapshotById(metadata, id);
  if (snapshot) return snapshot;
  const refs = Object.keys(metadata.refs);
  const latest = metadata.snapshots.slice(-5).map((s) => String(s["snapshot-id"])).join(", ");
  throw new TicklakeError("SNAPSHOT_NOT_FOUND", `Table ${table} has no snapshot ${version}${typeof version === "string" && refs.length > 0 ? ` (branches and tags: ${refs.join(", ")})` : ""}. `
    + (latest ? `It has ${metadata.snapshots.length}, the latest: ${latest}. It may have been expired.` : "It has no snapshot yet."));
}

function byTime(table: string, metadata: TableMetadata, ms: number): Snapshot {
  // The log, not the snapshots themselves: it says what was current when, rollbacks included.
  const entry = metadata["snapshot-log"].filter((logged) => logged["timestamp-ms"] <= ms).at(-1);
  const snapshot = entry && snapshotById(metadata, entry["snapshot-id"]);
  if (snapshot) return snapshot;
  const first = metadata["snapshot-log"][0];
  throw new TicklakeError("SNAPSHOT_NOT_FOUND", `Table ${table} has no snapshot as old as ${isoTime(ms)}. `
    + (first ? `Its history begins at ${isoTime(first["timestamp-ms"])}.` : "It has no snapshot yet."));
}

/** A time for a message; one that no date can hold as it is. */
function isoTime(ms: number): string {
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : `${ms} ms`;
}

/**
 * A snapshot id from a setting or message: decimal digits (a number only up to 2^53, which is exact).
 *
 * @returns undefined for empty
 * @throws TicklakeError CONFIG_INVALID
 */
export function parseSnapshotId(value: unknown): bigint | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value === "bigint") return value;
  if (typeof value === "number" && Number.isSafeInteger(value) && value > 0) return BigInt(value);
  if (typeof value === "string" && /^\s*\d{1,19}\s*$/.test(value)) return BigInt(value.trim());
  throw new TicklakeError("CONFIG_INVALID", `snapshotId: "${String(value)}" is no snapshot id. Give its digits as text (a JavaScript number beyond 2^53 has lost some).`);
}

/**
 * A time in Unix ms from ISO text (without zone: UTC), a Date, or a number of ms.
 *
 * @returns undefined for empty
 * @throws TicklakeError CONFIG_INVALID
 */
export function parseTime(value: unknown, name = "asOf"): number | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value.getTime();
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (typeof value === "string") {
    const ms = timeText(value);
    if (ms !== undefined) return ms;
  }
  throw new TicklakeError("CONFIG_INVALID", `${name}: "${String(value)}" is no time. Use ISO 8601 such as 2024-11-01T10:00:00Z (UTC unless it has a zone).`);
}
