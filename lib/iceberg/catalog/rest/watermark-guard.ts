/**
 * Watermarks on a catalog that cannot guard properties.
 *
 * They stand in a property, and a REST server compares snapshots, columns and partitioning with those of a commit's base, but never properties. A reset of
 * offsets that changes nothing else would not be noticed by an append whose base was read before it: the append would land and bring the old
 * watermarks back, and what was to be read again would not be. So a commit that changes what the watermarks say, and does not move the table to another
 * snapshot anyway, takes an empty snapshot along: then one of the two is a conflict and is built anew on the other.
 */
import { CommitFiles } from "../../commit-files";
import { randomSnapshotId } from "../../commit-change";
import { applyUpdates, appendSummary, currentSnapshot, ENGINE, snapshotUpdates } from "../../metadata";
import type { Snapshot, TableMetadata } from "../../types";
import type { MetadataUpdate } from "../../updates";
import { encodeWatermarksProperty, readWatermarks } from "../../watermarks";
import type { Table, TableState } from "../types";

/** A commit that a server can guard. */
export interface GuardedCommit {
  readonly updates: readonly MetadataUpdate[];
  /** The empty snapshot's, where there is one. */
  readonly snapshotId?: bigint;
  /** It has not happened: what was written for it goes. */
  undo(): Promise<void>;
}

/** The updates, and where they need it an empty snapshot before them. */
export async function guardWatermarks(table: Table, base: TableState, updates: readonly MetadataUpdate[], now: number): Promise<GuardedCommit> {
  if (movesMain(updates) || !movesWatermarks(base.metadata, updates, now)) return { updates, undo: () => Promise.resolve() };
  const { metadata } = base;
  const parent = currentSnapshot(metadata);
  const files = new CommitFiles(table);
  const snapshotId = randomSnapshotId();
  const sequenceNumber = metadata["last-sequence-number"] + 1;
  const snapshot: Snapshot = {
    "sequence-number": sequenceNumber,
    "snapshot-id": snapshotId,
    ...(parent ? { "parent-snapshot-id": parent["snapshot-id"] } : {}),
    "timestamp-ms": Math.max(now, metadata["last-updated-ms"]),
    summary: appendSummary(parent, { files: 0, rows: 0, bytes: 0, partitions: 0 }, ENGINE),
    "manifest-list": await files.writeList(base, { snapshotId, sequenceNumber, attempt: 1 }, await files.inherited(base)),
    "schema-id": metadata["current-schema-id"],
  };
  return { updates: [...snapshotUpdates(metadata, snapshot), ...updates], snapshotId, undo: () => files.lost() };
}

function movesMain(updates: readonly MetadataUpdate[]): boolean {
  return updates.some((update) => (update.action === "set-snapshot-ref" || update.action === "remove-snapshot-ref") && update["ref-name"] === "main");
}

function movesWatermarks(base: TableMetadata, updates: readonly MetadataUpdate[], now: number): boolean {
  if (!updates.some((update) => update.action === "set-properties" || update.action === "remove-properties")) return false;
  return heldBy(base) !== heldBy(applyUpdates(base, updates, now));
}

/** All that a version of the table tells of watermarks, as one text. */
function heldBy(metadata: TableMetadata): string {
  const { watermarks, reversed, reset } = readWatermarks(metadata);
  return encodeWatermarksProperty(watermarks, 0n, 0, { reversed, reset });
}
