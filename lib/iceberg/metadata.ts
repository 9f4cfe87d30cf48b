/**
 * Table metadata as values: a new table, and what a commit changes. Pure; no I/O.
 */
import { isDeepStrictEqual } from "node:util";
import { TicklakeError } from "../errors";
import { lastColumnId } from "./schema";
import type { PartitionSpec, Schema, Snapshot, SnapshotRef, TableMetadata } from "./types";
import type { MetadataUpdate } from "./updates";

/** Table properties of Iceberg that writing obeys (https://iceberg.apache.org/docs/latest/configuration/). */
export const PROPERTY = {
  previousVersions: "write.metadata.previous-versions-max",
  deletePrevious: "write.metadata.delete-after-commit.enabled",
  mergeEnabled: "commit.manifest-merge.enabled",
  mergeMinCount: "commit.manifest.min-count-to-merge",
  mergeTargetBytes: "commit.manifest.target-size-bytes",
  dataPath: "write.data.path",
  targetFileBytes: "write.target-file-size-bytes",
} as const;

/**
 * Fewest versions of the metadata that are kept. A writer that stalls for as many commits could take a deleted version's name for a free one,
 * and its commit would go nowhere.
 */
export const MIN_PREVIOUS_VERSIONS = 20;

/** Properties of tables that we create: 1,000 small commits without trimming would leave 391 MB of metadata. */
export const DEFAULT_PROPERTIES: Readonly<Record<string, string>> = {
  [PROPERTY.deletePrevious]: "true",
  [PROPERTY.previousVersions]: String(MIN_PREVIOUS_VERSIONS),
  "write.parquet.compression-codec": "snappy",
};

export interface NewTable {
  readonly schema: Schema;
  readonly spec: PartitionSpec;
  readonly location: string;
  /** On top of DEFAULT_PROPERTIES. */
  readonly properties?: Readonly<Record<string, string>>;
  readonly uuid: string;
  readonly nowMs: number;
}

/** Metadata of a table without snapshots. */
export function newTableMetadata(table: NewTable): TableMetadata {
  return {
    "format-version": 2,
    "table-uuid": table.uuid,
    location: table.location,
    "last-sequence-number": 0,
    "last-updated-ms": table.nowMs,
    "last-column-id": lastColumnId(table.schema),
    "current-schema-id": table.schema["schema-id"],
    schemas: [table.schema],
    "default-spec-id": table.spec["spec-id"],
    "partition-specs": [table.spec],
    "last-partition-id": lastPartitionId([table.spec]),
    "default-sort-order-id": 0,
    "sort-orders": [{ "order-id": 0, fields: [] }],
    properties: { ...DEFAULT_PROPERTIES, ...table.properties },
    refs: {},
    snapshots: [],
    "snapshot-log": [],
    "metadata-log": [],
  };
}

function lastPartitionId(specs: readonly PartitionSpec[]): number {
  return Math.max(999, ...specs.flatMap((spec) => spec.fields.map((field) => field["field-id"])));
}

/** A snapshot by its id. */
export function snapshotById(metadata: TableMetadata, id: bigint | undefined): Snapshot | undefined {
  return id === undefined ? undefined : metadata.snapshots.findLast((snapshot) => snapshot["snapshot-id"] === id);
}

export function currentSnapshot(metadata: TableMetadata): Snapshot | undefined {
  return snapshotById(metadata, metadata["current-snapshot-id"]);
}

export function currentSchema(metadata: TableMetadata): Schema {
  return metadata.schemas.find((schema) => schema["schema-id"] === metadata["current-schema-id"])!;
}

export function defaultSpec(metadata: TableMetadata): PartitionSpec {
  return specById(metadata, metadata["default-spec-id"])!;
}

export function specById(metadata: TableMetadata, id: number): PartitionSpec | undefined {
  return metadata["partition-specs"].find((spec) => spec["spec-id"] === id);
}

/**
 * What has happened never changes, and what is remembered of it (bytes, manifests) is remembered by object: a newer version of a table keeps the objects of the
 * older one. Changes `metadata`, which was just read, in place.
 */
export function shareHistory(metadata: TableMetadata, before: TableMetadata): void {
  if (metadata["table-uuid"] !== before["table-uuid"]) return;
  const known = new Map(before.snapshots.map((snapshot) => [snapshot["snapshot-id"], snapshot]));
  metadata.snapshots = metadata.snapshots.map((snapshot) => {
    const same = known.get(snapshot["snapshot-id"]);
    return same && same["manifest-list"] === snapshot["manifest-list"] ? same : snapshot;
  });
  const logged = new Map(before["snapshot-log"].map((entry) => [entry["snapshot-id"], entry]));
  metadata["snapshot-log"] = metadata["snapshot-log"].map((entry) => {
    const same = logged.get(entry["snapshot-id"]);
    return same && same["timestamp-ms"] === entry["timestamp-ms"] ? same : entry;
  });
  metadata.schemas = metadata.schemas.map((schema) => before.schemas.find((other) => other["schema-id"] === schema["schema-id"] && isDeepStrictEqual(other, schema)) ?? schema);
}

/** The listed ancestors of a snapshot, itself first; the line ends where a parent has been expired. */
export function* ancestors(metadata: TableMetadata, id: bigint | undefined = metadata["current-snapshot-id"]): Iterable<Snapshot> {
  if (id === undefined) return;
  const byId = new Map(metadata.snapshots.map((snapshot) => [snapshot["snapshot-id"], snapshot]));
  for (let snapshot = byId.get(id); snapshot; snapshot = snapshot["parent-snapshot-id"] === undefined ? undefined : byId.get(snapshot["parent-snapshot-id"])) yield snapshot;
}

/** The metadata after a commit. The base is left as it is. */
export function applyUpdates(base: TableMetadata, updates: readonly MetadataUpdate[], nowMs: number): TableMetadata {
  // Times of a table never run backwards, even where the clocks of its writers differ.
  const next: TableMetadata = { ...base, "last-updated-ms": Math.max(nowMs, base["last-updated-ms"]) };
  for (const update of updates) apply(next, update);
  return next;
}

/** Changes `next`, whose members are still those of the base: every member is replaced, none is changed in place. */
function apply(next: TableMetadata, update: MetadataUpdate): void {
  switch (update.action) {
    case "assign-uuid":
      next["table-uuid"] = update.uuid;
      return;
    case "add-schema":
      next.schemas = [...next.schemas.filter((schema) => schema["schema-id"] !== update.schema["schema-id"]), update.schema];
      next["last-column-id"] = Math.max(next["last-column-id"], update["last-column-id"] ?? lastColumnId(update.schema));
      return;
    case "set-current-schema":
      next["current-schema-id"] = update["schema-id"] === -1 ? next.schemas.at(-1)!["schema-id"] : update["schema-id"];
      if (!next.schemas.some((schema) => schema["schema-id"] === next["current-schema-id"])) throw invalid(`schema ${next["current-schema-id"]} does not exist`);
      return;
    case "add-spec":
      next["partition-specs"] = [...next["partition-specs"].filter((spec) => spec["spec-id"] !== update.spec["spec-id"]), update.spec];
      next["last-partition-id"] = Math.max(next["last-partition-id"], lastPartitionId([update.spec]));
      return;
    case "set-default-spec":
      next["default-spec-id"] = update["spec-id"] === -1 ? next["partition-specs"].at(-1)!["spec-id"] : update["spec-id"];
      if (!specById(next, next["default-spec-id"])) throw invalid(`partition spec ${next["default-spec-id"]} does not exist`);
      return;
    case "add-sort-order":
      next["sort-orders"] = [...next["sort-orders"].filter((order) => order["order-id"] !== update["sort-order"]["order-id"]), update["sort-order"]];
      return;
    case "set-default-sort-order":
      next["default-sort-order-id"] = update["sort-order-id"] === -1 ? next["sort-orders"].at(-1)!["order-id"] : update["sort-order-id"];
      return;
    case "add-snapshot":
      addSnapshot(next, update.snapshot);
      return;
    case "set-snapshot-ref": {
      const ref = Object.entries(update).filter(([key]) => key !== "action" && key !== "ref-name");
      setRef(next, update["ref-name"], Object.fromEntries(ref) as unknown as SnapshotRef);
      return;
    }
    case "remove-snapshot-ref": {
      next.refs = Object.fromEntries(Object.entries(next.refs).filter(([name]) => name !== update["ref-name"]));
      if (update["ref-name"] === "main") delete next["current-snapshot-id"];
      return;
    }
    case "remove-snapshots":
      removeSnapshots(next, new Set(update["snapshot-ids"]));
      return;
    case "set-properties":
      next.properties = { ...next.properties, ...update.updates };
      return;
    case "remove-properties": {
      const gone = new Set(update.removals);
      next.properties = Object.fromEntries(Object.entries(next.properties).filter(([key]) => !gone.has(key)));
      return;
    }
  }
}

function addSnapshot(next: TableMetadata, snapshot: Snapshot): void {
  if (snapshotById(next, snapshot["snapshot-id"])) throw invalid(`snapshot ${snapshot["snapshot-id"]} exists already`);
  if (snapshot["sequence-number"] <= next["last-sequence-number"] && snapshot["parent-snapshot-id"] !== undefined) {
    throw invalid(`sequence number ${snapshot["sequence-number"]} is not above ${next["last-sequence-number"]}`);
  }
  next.snapshots = [...next.snapshots, snapshot];
  next["last-sequence-number"] = Math.max(next["last-sequence-number"], snapshot["sequence-number"]);
  next["last-updated-ms"] = Math.max(next["last-updated-ms"], snapshot["timestamp-ms"]);
}

function setRef(next: TableMetadata, name: string, ref: SnapshotRef): void {
  const snapshot = snapshotById(next, ref["snapshot-id"]);
  if (!snapshot) throw invalid(`snapshot ${ref["snapshot-id"]} does not exist`);
  next.refs = { ...next.refs, [name]: ref };
  if (name !== "main") return;
  const moved = next["current-snapshot-id"] !== ref["snapshot-id"];
  next["current-snapshot-id"] = ref["snapshot-id"];
  // A rollback is logged with the time at which it was done, an append with that of its snapshot.
  const isNew = next.snapshots.at(-1) === snapshot;
  if (moved) next["snapshot-log"] = [...next["snapshot-log"], { "timestamp-ms": isNew ? snapshot["timestamp-ms"] : next["last-updated-ms"], "snapshot-id": ref["snapshot-id"] }];
}

function removeSnapshots(next: TableMetadata, ids: ReadonlySet<bigint>): void {
  next.snapshots = next.snapshots.filter((snapshot) => !ids.has(snapshot["snapshot-id"]));
  next.refs = Object.fromEntries(Object.entries(next.refs).filter(([, ref]) => !ids.has(ref["snapshot-id"])));
  if (next["current-snapshot-id"] !== undefined && ids.has(next["current-snapshot-id"])) throw invalid("the current snapshot cannot be removed");
  // Statistics go with their snapshots.
  for (const key of ["statistics", "partition-statistics"] as const) {
    const files = next[key];
    if (files?.some((file) => ids.has(file["snapshot-id"]))) next[key] = files.filter((file) => !ids.has(file["snapshot-id"]));
  }
  // History is only meaningful as far as it is unbroken: entries before a removed snapshot go with it (as Iceberg's Java does).
  const log = next["snapshot-log"];
  const last = log.findLastIndex((entry) => ids.has(entry["snapshot-id"]));
  next["snapshot-log"] = last < 0 ? log : log.slice(last + 1);
}

/**
 * Adds the base's file to the metadata log and cuts the log to `write.metadata.previous-versions-max`.
 *
 * @param fewest a lower bound that the catalog sets
 */
export function logPreviousMetadata(next: TableMetadata, base: { metadata: TableMetadata; metadataLocation: string }, fewest = 1): TableMetadata {
  const keep = Math.max(fewest, numberProperty(next, PROPERTY.previousVersions, 100));
  const log = [...base.metadata["metadata-log"], { "timestamp-ms": base.metadata["last-updated-ms"], "metadata-file": base.metadataLocation }];
  return { ...next, "metadata-log": log.slice(-keep) };
}

/** A whole number from the table's properties; the default where it is missing or no number. */
export function numberProperty(metadata: TableMetadata, key: string, fallback: number): number {
  const value = Number(metadata.properties[key] ?? fallback);
  return Number.isInteger(value) && value > 0 ? value : fallback;
}

export function booleanProperty(metadata: TableMetadata, key: string, fallback: boolean): boolean {
  const value = metadata.properties[key]?.trim().toLowerCase();
  return value === "true" ? true : value === "false" ? false : fallback;
}

/** What an append adds to the counts of its table. */
export interface AppendDelta { readonly files: number; readonly rows: number; readonly bytes: number; readonly partitions: number }

const TOTALS = ["total-data-files", "total-records", "total-files-size", "total-delete-files", "total-position-deletes", "total-equality-deletes"] as const;

/**
 * Summary of an append: what it added, and the parent's totals plus that. A total that the parent's summary lacks (another engine's) stays unknown
 * rather than wrong.
 */
export function appendSummary(parent: Snapshot | undefined, delta: AppendDelta, more: Readonly<Record<string, string>>): Record<string, string> {
  const added: Record<(typeof TOTALS)[number], number> = {
    "total-data-files": delta.files, "total-records": delta.rows, "total-files-size": delta.bytes,
    "total-delete-files": 0, "total-position-deletes": 0, "total-equality-deletes": 0,
  };
  const summary: Record<string, string> = {
    ...more,
    operation: "append",
    "added-data-files": String(delta.files),
    "added-records": String(delta.rows),
    "added-files-size": String(delta.bytes),
    "changed-partition-count": String(delta.partitions),
  };
  for (const total of TOTALS) {
    const before = parent ? parent.summary[total] : "0";
    if (before !== undefined && /^\d+$/.test(before)) summary[total] = String(Number(before) + added[total]);
  }
  return summary;
}

/** Who wrote a snapshot: entries of its summary. */
export const ENGINE = { "engine-name": "ticklake", "engine-version": "0.1.0" } as const;

/** The updates that make a new snapshot the current one. What `main` says of ages and counts stays. */
export function snapshotUpdates(base: TableMetadata, snapshot: Snapshot): MetadataUpdate[] {
  return [
    { action: "add-snapshot", snapshot },
    { ...base.refs["main"], action: "set-snapshot-ref", "ref-name": "main", type: "branch", "snapshot-id": snapshot["snapshot-id"] },
  ];
}

function invalid(reason: string): TicklakeError {
  return new TicklakeError("INTERNAL", `Inconsistent change of table metadata: ${reason}.`);
}
