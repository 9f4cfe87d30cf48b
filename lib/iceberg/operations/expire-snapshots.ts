/**
 * Expiring snapshots: first the commit that forgets them, then the files that no snapshot needs any more. What is left undeleted by a crash in between is orphaned, never missed.
 */
import type { Table, TableState } from "../catalog/types";
import { commitChange, type Proposal } from "../commit-change";
import { stringifyJson } from "../json";
import { applyUpdates } from "../metadata";
import { deleteFiles } from "../table-files";
import type { ManifestFile, TableMetadata } from "../types";
import type { MetadataUpdate } from "../updates";
import { keepWatermarks, readWatermarks } from "../watermarks";
import { checkGarbageCollection } from "./create";
import { isoTime, LISTED, nowOf, type OperationContext } from "./context";
import { type ExpirePlan, type ExpireRules, planExpiry } from "./expire-plan";
import { checkStopped, liveEntriesOf, partsOf } from "./reachable";

/** Named as the result columns of Spark's procedure; in a dry run, what would be deleted. */
export interface ExpireResult {
  readonly deleted_data_files_count: number;
  readonly deleted_position_delete_files_count: number;
  readonly deleted_equality_delete_files_count: number;
  readonly deleted_manifest_files_count: number;
  readonly deleted_manifest_lists_count: number;
  readonly deleted_statistics_files_count: number;
  /** Of all of them. */
  readonly bytes: number;
  readonly expired_snapshots_count: number;
  readonly snapshots: readonly { readonly snapshotId: string; readonly committedAt: string; readonly operation: string }[];
  /** Branches and tags that were past their own age. */
  readonly refs: readonly string[];
  /** The first of the files (dry run). */
  readonly files?: readonly string[];
  /** Files that could not be deleted; nothing refers to them any more (remove-orphan-files). */
  readonly failed_files_count: number;
  readonly conflicts: number;
}

type Kind = "data" | "positionDeletes" | "equalityDeletes" | "manifest" | "list" | "statistics";
interface Doomed { readonly kind: Kind; readonly location: string; readonly size: number }
const CONTENT: readonly Kind[] = ["data", "positionDeletes", "equalityDeletes"];

/** How many paths of files are held at once while it is found out whether anybody still needs them. */
const CANDIDATES = 100_000;

/** @throws TicklakeError SNAPSHOT_NOT_FOUND, CONFIG_INVALID, TABLE_UNSUPPORTED (gc.enabled = false), STOPPED, and what commitChange throws */
export async function expireSnapshots(table: Table, rules: ExpireRules, context: OperationContext = {}): Promise<ExpireResult> {
  const first = await table.refresh();
  checkGarbageCollection(table, "cleaned of old snapshots");
  const now = nowOf(context);
  if (context.dryRun) {
    const plan = planExpiry(first.metadata, rules, now, table.fullName);
    const tally = new Tally();
    for await (const file of unneeded(table, first.metadata, applyUpdates(first.metadata, plan.updates, now), context)) tally.add(file);
    return { ...tally.result(), ...facts(first.metadata, plan), files: tally.files, failed_files_count: 0, conflicts: 0 };
  }
  const done = await commitChange(table, {
    what: "the expiry is in",
    build: async ({ metadata }: TableState): Promise<Proposal<ExpirePlan> | undefined> => {
      const plan = planExpiry(metadata, rules, now, table.fullName);
      if (plan.updates.length === 0) return undefined;
      return { updates: [...watermarksKept(metadata, plan, now), ...plan.updates], value: plan };
    },
    landed: ({ metadata }, { value }) => !metadata.snapshots.some((snapshot) => value.snapshotIds.includes(snapshot["snapshot-id"])) && !value.refs.some((name) => Object.hasOwn(metadata.refs, name)),
  }, context, context.tools);
  const tally = new Tally();
  if (!done) return { ...tally.result(), expired_snapshots_count: 0, snapshots: [], refs: [], failed_files_count: 0, conflicts: 0 };
  // Compared with what the table is now: nobody can have made an expired snapshot the current one since.
  const before = snapshotsBefore(first.metadata, done.base.metadata);
  const { failed } = await deleteFiles(table.io, unneeded(table, before, done.state.metadata, context), { ...(context.signal ? { signal: context.signal } : {}), done: (file) => { tally.add(file); if (tally.count % LISTED === 0) context.progress?.(`${tally.count} files deleted`); } });
  checkStopped(context.signal);
  return { ...tally.result(), ...facts(before, done.value), failed_files_count: failed.length, conflicts: done.conflicts };
}

/** Where the snapshots that told how far Kafka was read (or was taken back) go, the property tells it alone. */
function watermarksKept(metadata: TableMetadata, plan: ExpirePlan, now: number): MetadataUpdate[] {
  const current = metadata["current-snapshot-id"];
  if (current === undefined) return [];
  const text = (state: TableMetadata): string => {
    const { watermarks, reversed, reset } = readWatermarks(state);
    return stringifyJson([watermarks, reversed, reset]);
  };
  return text(applyUpdates(metadata, plan.updates, now)) === text(metadata) ? [] : keepWatermarks(metadata, current);
}

/** The base; where the outcome had to be looked up it is the table after the commit, and the first look still knows what expired. */
function snapshotsBefore(first: TableMetadata, base: TableMetadata): TableMetadata {
  const known = new Set(base.snapshots.map((snapshot) => snapshot["snapshot-id"]));
  return { ...base, snapshots: [...base.snapshots, ...first.snapshots.filter((snapshot) => !known.has(snapshot["snapshot-id"]))] };
}

/**
 * The files that `before` refers to and `after` does not: data files first, then what refers to them.
 *
 * Only manifests that no kept snapshot has can hold such data files. Their paths are taken in portions, and each portion is held against all kept manifests that may name them.
 */
async function* unneeded(table: Table, before: TableMetadata, after: TableMetadata, context: OperationContext): AsyncIterable<Doomed> {
  const { io } = table, { signal } = context;
  const options = signal ? { signal } : {};
  const staying = new Set(after.snapshots.map((snapshot) => snapshot["snapshot-id"]));
  const leaving = before.snapshots.filter((snapshot) => !staying.has(snapshot["snapshot-id"]));
  if (leaving.length === 0 && before.statistics === undefined && before["partition-statistics"] === undefined) return;
  context.progress?.(`${leaving.length} snapshots expire; looking for files that nobody needs any more`);
  const kept = await partsOf(io, after.snapshots, false, signal);
  const gone = await partsOf(io, leaving, true, signal);
  const manifests = [...gone.manifests.values()].filter((manifest) => !kept.manifests.has(manifest.path));
  for await (const portion of portions(liveEntriesOf(io, manifests, before, { lenient: true, ...options }))) {
    await withdraw(portion, table, [...kept.manifests.values()], after, options);
    for (const [location, { kind, size }] of portion) yield { kind, location, size };
  }
  for (const manifest of manifests) yield { kind: "manifest", location: manifest.path, size: manifest.length };
  for (const [location, size] of gone.lists) if (!kept.lists.has(location)) yield { kind: "list", location, size };
  const used = new Set(statisticsOf(after).map((file) => file["statistics-path"]));
  for (const file of statisticsOf(before)) if (!used.has(file["statistics-path"]) && !staying.has(file["snapshot-id"])) yield { kind: "statistics", location: file["statistics-path"], size: file["file-size-in-bytes"] ?? 0 };
}

function statisticsOf(metadata: TableMetadata): NonNullable<TableMetadata["statistics"]> {
  return [...(metadata.statistics ?? []), ...(metadata["partition-statistics"] ?? [])];
}

interface Candidate { readonly kind: Kind; readonly size: number; readonly sequenceNumber: number }

async function* portions(manifests: ReturnType<typeof liveEntriesOf>): AsyncIterable<Map<string, Candidate>> {
  let portion = new Map<string, Candidate>();
  for await (const { entries } of manifests) {
    for (const { file, sequenceNumber } of entries) portion.set(file.filePath, { kind: CONTENT[file.content]!, size: file.fileSizeInBytes, sequenceNumber: sequenceNumber ?? 0 });
    if (portion.size < CANDIDATES) continue;
    yield portion;
    portion = new Map();
  }
  if (portion.size > 0) yield portion;
}

/** Takes out what a kept manifest names. One that holds only younger files, or was written before any of these, cannot. */
async function withdraw(portion: Map<string, Candidate>, table: Table, kept: readonly ManifestFile[], metadata: TableMetadata, options: { signal?: AbortSignal }): Promise<void> {
  let least = Infinity, most = 0;
  for (const { sequenceNumber } of portion.values()) {
    least = Math.min(least, sequenceNumber);
    most = Math.max(most, sequenceNumber);
  }
  const may = kept.filter((manifest) => manifest.minSequenceNumber <= most && manifest.sequenceNumber >= least);
  for await (const { entries } of liveEntriesOf(table.io, may, metadata, options)) {
    for (const { file } of entries) portion.delete(file.filePath);
    if (portion.size === 0) return;
  }
}

class Tally {
  readonly #counts: Record<Kind, number> = { data: 0, positionDeletes: 0, equalityDeletes: 0, manifest: 0, list: 0, statistics: 0 };
  readonly files: string[] = [];
  #bytes = 0;
  count = 0;

  add({ kind, location, size }: Doomed): void {
    this.#counts[kind]++;
    this.#bytes += size;
    this.count++;
    if (this.files.length < LISTED) this.files.push(location);
  }

  result(): Pick<ExpireResult, "deleted_data_files_count" | "deleted_position_delete_files_count" | "deleted_equality_delete_files_count" | "deleted_manifest_files_count" | "deleted_manifest_lists_count" | "deleted_statistics_files_count" | "bytes"> {
    const { data, positionDeletes, equalityDeletes, manifest, list, statistics } = this.#counts;
    return {
      deleted_data_files_count: data, deleted_position_delete_files_count: positionDeletes, deleted_equality_delete_files_count: equalityDeletes,
      deleted_manifest_files_count: manifest, deleted_manifest_lists_count: list, deleted_statistics_files_count: statistics, bytes: this.#bytes,
    };
  }
}

function facts(metadata: TableMetadata, plan: ExpirePlan): Pick<ExpireResult, "expired_snapshots_count" | "snapshots" | "refs"> {
  const ids = new Set(plan.snapshotIds);
  return {
    expired_snapshots_count: plan.snapshotIds.length, refs: plan.refs,
    snapshots: metadata.snapshots.filter((snapshot) => ids.has(snapshot["snapshot-id"])).slice(0, LISTED)
      .map((snapshot) => ({ snapshotId: String(snapshot["snapshot-id"]), committedAt: isoTime(snapshot["timestamp-ms"]), operation: snapshot.summary["operation"] ?? "" })),
  };
}
