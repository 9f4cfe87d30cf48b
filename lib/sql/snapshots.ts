/**
 * The snapshots of a table as a dialog offers them. Pure.
 */
import type { TableMetadata } from "../iceberg/types";

export interface SnapshotChoice {
  /** Decimal digits. */
  id: string;
  /** ISO 8601, UTC. */
  time: string;
  operation: string;
  /** Rows that the snapshot added, deleted, and the table had then; undefined where its writer did not say. */
  added?: number;
  deleted?: number;
  total?: number;
  /** Branches and tags that name it. */
  refs: string[];
  /** Whether the table is at this one. */
  current: boolean;
}

/** The newest snapshots first, at most `limit`. */
export function snapshotChoices(metadata: TableMetadata, limit = 200): SnapshotChoice[] {
  const names = Object.entries(metadata.refs);
  return metadata.snapshots.slice(-limit).reverse().map(({ "snapshot-id": id, "timestamp-ms": ms, summary }) => ({
    id: String(id), time: new Date(ms).toISOString(), operation: summary["operation"] ?? "",
    ...count("added", summary["added-records"]), ...count("deleted", summary["deleted-records"]), ...count("total", summary["total-records"]),
    refs: names.filter(([, ref]) => ref["snapshot-id"] === id).map(([name]) => name), current: id === metadata["current-snapshot-id"],
  }));
}

function count(name: "added" | "deleted" | "total", text: string | undefined): Partial<SnapshotChoice> {
  return text !== undefined && /^\d+$/.test(text) ? { [name]: Number(text) } : {};
}
