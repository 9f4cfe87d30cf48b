/** Going back to an older snapshot, and Kafka offsets with it or not. */
import { TicklakeError } from "../../errors";
import type { Table, TableState } from "../catalog/types";
import { commitChange, type Proposal } from "../commit-change";
import { ancestors, snapshotById } from "../metadata";
import type { Snapshot, TableMetadata } from "../types";
import type { MetadataUpdate } from "../updates";
import { keepWatermarks, readWatermarks, type ReadWatermarks, rewindWatermarks } from "../watermarks";
import { isoTime, type OperationContext } from "./context";

export interface RollbackOptions {
  readonly snapshotId?: bigint;
  /** To the newest snapshot of the table's line that is older (Unix ms), as Spark's rollback_to_timestamp. */
  readonly timestampMs?: number;
  /**
   * What becomes of Kafka offsets: `rewind` goes back with the rows, so that what was taken back is read and written again; `keep` leaves them, so that it stays away.
   * Must be said where the table has offsets.
   */
  readonly offsets?: "keep" | "rewind";
  /** Also to snapshots off the table's line (Spark's set_current_snapshot). */
  readonly anySnapshot?: boolean;
}

export interface RollbackResult {
  readonly previous_snapshot_id: bigint | undefined;
  readonly current_snapshot_id: bigint;
  /** Snapshots that are not in the table's line any more, newest first. */
  readonly snapshots: readonly { readonly snapshotId: string; readonly committedAt: string; readonly operation: string }[];
  /** By which the table's rows shrink, where both snapshots tell. */
  readonly rows?: number;
  readonly offsets?: "keep" | "rewind";
  readonly changed: boolean;
}

/** @throws TicklakeError SNAPSHOT_NOT_FOUND, CONFIG_INVALID (offsets not said), and what commitChange throws */
export async function rollback(table: Table, options: RollbackOptions, context: OperationContext = {}): Promise<RollbackResult> {
  const first = await table.refresh();
  const seen = readWatermarks(first.metadata);
  const target = findTarget(table, first.metadata, options);
  checkOffsets(table, seen, options);
  if (context.dryRun) return result(first.metadata, target, options, first.metadata["current-snapshot-id"] !== target["snapshot-id"]);
  const id = target["snapshot-id"];
  const done = await commitChange(table, {
    what: "the rollback is in",
    build: async ({ metadata }: TableState): Promise<Proposal<undefined> | undefined> => {
      if (metadata["current-snapshot-id"] === id) return undefined;
      // Looked up again: others may have expired it, or rolled back behind it.
      findTarget(table, metadata, { ...options, snapshotId: id });
      return { updates: rollbackUpdates(metadata, id, options.offsets ?? "rewind", seen), value: undefined };
    },
    landed: ({ metadata }, { updates }) => metadata["current-snapshot-id"] === id && !stillOn(metadata, updates),
  }, context, context.tools);
  return result(done?.base.metadata ?? first.metadata, target, options, done !== undefined);
}

/** Whether the table still is where the rollback began: the snapshot that it names is current then, but nothing was rolled back. */
function stillOn(metadata: TableMetadata, updates: readonly MetadataUpdate[]): boolean {
  const properties = updates.find((update) => update.action === "set-properties");
  return properties !== undefined && Object.entries(properties.updates).some(([name, value]) => metadata.properties[name] !== value);
}

function rollbackUpdates(metadata: TableMetadata, id: bigint, offsets: "keep" | "rewind", seen: ReadWatermarks): MetadataUpdate[] {
  return [
    { ...metadata.refs["main"], action: "set-snapshot-ref", "ref-name": "main", type: "branch", "snapshot-id": id },
    ...(offsets === "keep" ? keepWatermarks(metadata, id, seen) : rewindWatermarks(metadata, id)),
  ];
}

function findTarget(table: Table, metadata: TableMetadata, { snapshotId, timestampMs, anySnapshot }: RollbackOptions): Snapshot {
  if (snapshotId === undefined && timestampMs === undefined) throw new TicklakeError("CONFIG_INVALID", "A rollback needs a snapshotId or a timestamp to go back to.");
  if (snapshotId === undefined) {
    for (const snapshot of ancestors(metadata)) if (snapshot["timestamp-ms"] < timestampMs!) return snapshot;
    const oldest = [...ancestors(metadata)].at(-1);
    throw new TicklakeError("SNAPSHOT_NOT_FOUND", `${table.fullName} has no snapshot older than ${isoTime(timestampMs!)}. ${oldest ? `Its oldest is of ${isoTime(oldest["timestamp-ms"])}.` : "It has no snapshot yet."}`);
  }
  const snapshot = snapshotById(metadata, snapshotId);
  if (!snapshot) {
    const latest = metadata.snapshots.slice(-5).map((one) => String(one["snapshot-id"])).join(", ");
    throw new TicklakeError("SNAPSHOT_NOT_FOUND", `${table.fullName} has no snapshot ${snapshotId}. ${latest ? `The latest are ${latest}. It may have been expired.` : "It has no snapshot yet."}`);
  }
  if (anySnapshot || [...ancestors(metadata)].some((one) => one["snapshot-id"] === snapshotId)) return snapshot;
  throw new TicklakeError("SNAPSHOT_NOT_FOUND", `Snapshot ${snapshotId} is no ancestor of the current snapshot of ${table.fullName} (it was taken back, or is on a branch). To make it the current one all the same, set anySnapshot.`);
}

function checkOffsets(table: Table, { watermarks }: ReadWatermarks, { offsets }: RollbackOptions): void {
  if (offsets !== undefined || watermarks.length === 0) return;
  throw new TicklakeError("CONFIG_INVALID", `${table.fullName} knows how far Kafka was read (${watermarks.length} partition${watermarks.length === 1 ? "" : "s"}). Say what becomes of that: offsets "rewind" reads and writes again what is taken back, "keep" leaves it out for good.`);
}

function result(metadata: TableMetadata, target: Snapshot, { offsets }: RollbackOptions, changed: boolean): RollbackResult {
  const current = snapshotById(metadata, metadata["current-snapshot-id"]);
  const staying = new Set([...ancestors(metadata, target["snapshot-id"])].map((one) => one["snapshot-id"]));
  const rows = [current, target].map((one) => (one && /^\d+$/.test(one.summary["total-records"] ?? "") ? Number(one.summary["total-records"]) : undefined));
  return {
    previous_snapshot_id: current?.["snapshot-id"], current_snapshot_id: target["snapshot-id"], changed,
    snapshots: [...ancestors(metadata)].filter((one) => !staying.has(one["snapshot-id"])).map((one) => ({ snapshotId: String(one["snapshot-id"]), committedAt: isoTime(one["timestamp-ms"]), operation: one.summary["operation"] ?? "" })),
    ...(rows[0] !== undefined && rows[1] !== undefined ? { rows: rows[0] - rows[1] } : {}),
    ...(offsets ? { offsets } : {}),
  };
}
