/**
 * Which snapshots expire: the rules of Iceberg's RemoveSnapshots (https://iceberg.apache.org/spec/#snapshot-retention-policy). Pure; no I/O.
 */
import { TicklakeError } from "../../errors";
import { ancestors, snapshotById } from "../metadata";
import type { SnapshotRef, TableMetadata } from "../types";
import type { MetadataUpdate } from "../updates";
import { isoTime } from "./context";

/** What a user sets. Where nothing is, the table's `history.expire.*` properties hold. */
export interface ExpireRules {
  /** Snapshots older than this expire, Unix ms. By default now - `history.expire.max-snapshot-age-ms` (5 days). */
  readonly olderThanMs?: number;
  /** Of every branch as many are kept, whatever their age. By default `history.expire.min-snapshots-to-keep` (1). */
  readonly retainLast?: number;
  /** These expire, whatever their age. Alone, nothing else does. */
  readonly snapshotIds?: readonly bigint[];
}

export interface ExpirePlan {
  readonly snapshotIds: readonly bigint[];
  /** Branches and tags past their own age. */
  readonly refs: readonly string[];
  readonly updates: readonly MetadataUpdate[];
}

const MAX_AGE_MS = 5 * 86_400_000;

/** @throws TicklakeError SNAPSHOT_NOT_FOUND for ids that are not there, CONFIG_INVALID for one that is the current one, or that a branch or tag names */
export function planExpiry(metadata: TableMetadata, rules: ExpireRules, nowMs: number, tableName: string): ExpirePlan {
  const idsAlone = rules.snapshotIds !== undefined && rules.olderThanMs === undefined && rules.retainLast === undefined;
  const defaults = {
    olderThan: rules.olderThanMs ?? nowMs - property(metadata, "history.expire.max-snapshot-age-ms", MAX_AGE_MS),
    keep: rules.retainLast ?? Math.max(1, property(metadata, "history.expire.min-snapshots-to-keep", 1)),
    refAge: property(metadata, "history.expire.max-ref-age-ms", Infinity),
  };
  const refs = new Map(Object.entries(metadata.refs).filter(([name, ref]) => name === "main" || idsAlone || isYoung(metadata, ref, nowMs, defaults.refAge)));
  checkIds(metadata, rules.snapshotIds ?? [], refs, tableName);
  const kept = idsAlone ? new Set(metadata.snapshots.map((snapshot) => snapshot["snapshot-id"])) : retained(metadata, refs, defaults, nowMs);
  for (const id of rules.snapshotIds ?? []) kept.delete(id);
  const snapshotIds = metadata.snapshots.map((snapshot) => snapshot["snapshot-id"]).filter((id) => !kept.has(id));
  const gone = Object.keys(metadata.refs).filter((name) => !refs.has(name));
  return {
    snapshotIds, refs: gone,
    updates: [
      ...gone.map((name): MetadataUpdate => ({ action: "remove-snapshot-ref", "ref-name": name })),
      ...(snapshotIds.length > 0 ? [{ action: "remove-snapshots", "snapshot-ids": snapshotIds } as const] : []),
    ],
  };
}

function isYoung(metadata: TableMetadata, ref: SnapshotRef, nowMs: number, defaultAge: number): boolean {
  const snapshot = snapshotById(metadata, ref["snapshot-id"]);
  return snapshot !== undefined && nowMs - snapshot["timestamp-ms"] <= (ref["max-ref-age-ms"] ?? defaultAge);
}

function retained(metadata: TableMetadata, refs: ReadonlyMap<string, SnapshotRef>, defaults: { olderThan: number; keep: number }, nowMs: number): Set<bigint> {
  const kept = new Set<bigint>();
  const referenced = new Set<bigint>();
  for (const ref of refs.values()) {
    kept.add(ref["snapshot-id"]);
    referenced.add(ref["snapshot-id"]);
    if (ref.type !== "branch") continue;
    const olderThan = ref["max-snapshot-age-ms"] === undefined ? defaults.olderThan : nowMs - ref["max-snapshot-age-ms"];
    const keep = ref["min-snapshots-to-keep"] ?? defaults.keep;
    let count = 0, open = true;
    for (const snapshot of ancestors(metadata, ref["snapshot-id"])) {
      referenced.add(snapshot["snapshot-id"]);
      // The line is kept from its head on, without gaps.
      open &&= count < keep || snapshot["timestamp-ms"] >= olderThan;
      if (!open) continue;
      kept.add(snapshot["snapshot-id"]);
      count++;
    }
  }
  // What no branch or tag leads to (taken back, staged) goes by its age alone.
  for (const snapshot of metadata.snapshots) {
    if (!referenced.has(snapshot["snapshot-id"]) && snapshot["timestamp-ms"] >= defaults.olderThan) kept.add(snapshot["snapshot-id"]);
  }
  return kept;
}

function checkIds(metadata: TableMetadata, ids: readonly bigint[], refs: ReadonlyMap<string, SnapshotRef>, tableName: string): void {
  for (const id of ids) {
    if (!snapshotById(metadata, id)) {
      const listed = metadata.snapshots.slice(-5).map((one) => `${one["snapshot-id"]} (${isoTime(one["timestamp-ms"])})`).join(", ");
      throw new TicklakeError("SNAPSHOT_NOT_FOUND", `${tableName} has no snapshot ${id}. ${listed ? `The latest are ${listed}.` : "It has no snapshot yet."}`);
    }
    const names = [...refs].filter(([, ref]) => ref["snapshot-id"] === id).map(([name]) => name);
    if (names.length > 0) throw new TicklakeError("CONFIG_INVALID", `Snapshot ${id} of ${tableName} cannot expire: ${names.includes("main") ? "it is the current one" : `${names.join(", ")} names it`}.`);
  }
}

function property(metadata: TableMetadata, key: string, fallback: number): number {
  const text = metadata.properties[key];
  const value = text === undefined ? NaN : Number(text);
  return Number.isFinite(value) && value >= 0 && text!.trim() !== "" ? value : fallback;
}
