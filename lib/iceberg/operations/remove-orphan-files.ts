/**
 * Removing files in a table's folder that nothing of the table refers to: leftovers of writers that crashed.
 *
 * A file stays if any kept version of the metadata or any snapshot in one refers to it, if it is younger than the limit (a running commit may be about to refer to it), if its name is
 * hidden (`.` or `_`), or if it belongs to a table inside the folder.
 */
import { asTicklakeError, TicklakeError } from "../../errors";
import type { Table } from "../catalog/types";
import { joinLocation } from "../io/types";
import { parseMetadata } from "../metadata-json";
import { MIN_PREVIOUS_VERSIONS } from "../metadata";
import { deleteFiles, NestedTables } from "../table-files";
import type { Snapshot, TableMetadata } from "../types";
import { checkGarbageCollection } from "./create";
import { isoTime, LISTED, nowOf, type OperationContext } from "./context";
import { LocationSet, locationParts } from "./location-set";
import { checkStopped, liveEntriesOf, partsOf } from "./reachable";

export interface OrphanOptions {
  /** Only files that were written before, Unix ms. By default 3 days ago; less than 24 hours ago only with `force`. */
  readonly olderThanMs?: number;
  /** A folder inside the table's location; by default that. */
  readonly location?: string;
  /** Allows limits younger than 24 hours: only when nothing writes to the table. */
  readonly force?: boolean;
  /** What becomes of a file whose path the table knows under another scheme or bucket: `error` (nothing is deleted), `ignore` it, or `delete`. */
  readonly prefixMismatchMode?: "error" | "ignore" | "delete";
}

export interface OrphanResult {
  /** The first of the files that were (dry run: would be) deleted; Spark's result column has one row for each. */
  readonly orphan_file_location: readonly string[];
  readonly orphan_files_count: number;
  readonly bytes: number;
  /** Files that were looked at. */
  readonly listed_files_count: number;
  /** Unreferenced, and too young to be called orphans. */
  readonly young_files_count: number;
  readonly failed_files_count: number;
  /** Tables inside the folder, whose files stay. */
  readonly nested_tables: readonly string[];
}

const DAY_MS = 86_400_000;
const DEFAULT_AGE_MS = 3 * DAY_MS;

interface Orphan { readonly location: string; readonly size: number }

/** @throws TicklakeError CONFIG_INVALID, TABLE_UNSUPPORTED (gc.enabled = false), TABLE_CORRUPT (a manifest of the table is missing: then nothing is deleted), STOPPED, STORAGE_* */
export async function removeOrphanFiles(table: Table, options: OrphanOptions = {}, context: OperationContext = {}): Promise<OrphanResult> {
  const state = await table.refresh();
  checkGarbageCollection(table, "cleaned of orphan files");
  const limit = ageLimit(options.olderThanMs, options.force ?? false, nowOf(context));
  const location = folder(table, options.location);
  context.progress?.("reading what the table refers to");
  const known = await reachable(table, state.metadata, state.metadataLocation, context);
  const found = await list(table, location, known, limit, options.prefixMismatchMode ?? "error", context);
  const orphans = await withdrawNew(table, found.orphans, state.metadata, context);
  const facts = { listed_files_count: found.listed, young_files_count: found.young, nested_tables: found.nested };
  if (context.dryRun) return { ...counted(orphans), ...facts, failed_files_count: 0 };
  const deleted: Orphan[] = [];
  const { failed } = await deleteFiles(table.io, orphans, { ...(context.signal ? { signal: context.signal } : {}), done: (file) => { deleted.push(file); if (deleted.length % LISTED === 0) context.progress?.(`${deleted.length} of ${orphans.length} files deleted`); } });
  checkStopped(context.signal);
  return { ...counted(deleted), ...facts, failed_files_count: failed.length };
}

function counted(files: readonly Orphan[]): Pick<OrphanResult, "orphan_file_location" | "orphan_files_count" | "bytes"> {
  return { orphan_file_location: files.slice(0, LISTED).map((file) => file.location), orphan_files_count: files.length, bytes: files.reduce((sum, file) => sum + file.size, 0) };
}

function ageLimit(olderThanMs: number | undefined, force: boolean, now: number): number {
  const limit = olderThanMs ?? now - DEFAULT_AGE_MS;
  if (limit > now - DAY_MS && !force) {
    throw new TicklakeError("CONFIG_INVALID", `Orphan files younger than 24 hours are not removed (the limit is ${isoTime(limit)}): a commit that is running may be about to use them. Choose an older limit, or, when nothing writes to the table, set force.`);
  }
  return limit;
}

function folder(table: Table, location: string | undefined): string {
  const own = table.location.replace(/\/+$/, "");
  if (location === undefined || location.trim() === "") return own;
  const wanted = locationParts(location.replace(/\/+$/, "")), mine = locationParts(own);
  const inside = wanted.holder === mine.holder && (wanted.path === mine.path || wanted.path.startsWith(`${mine.path}/`)) && !wanted.path.split("/").includes("..");
  if (!inside) throw new TicklakeError("CONFIG_INVALID", `${location} does not lie in the table's folder ${own}. Only that can be cleaned: what lies elsewhere may belong to others.`);
  // As the table spells it, so that listing and table agree.
  return wanted.path === mine.path ? own : joinLocation(own, location.replace(/\/+$/, "").slice(-(wanted.path.length - mine.path.length - 1)));
}

/** Everything that the table refers to, in every version of its metadata that is kept. */
async function reachable(table: Table, metadata: TableMetadata, metadataLocation: string, context: OperationContext): Promise<LocationSet> {
  const known = new LocationSet();
  known.add(metadataLocation);
  known.add(joinLocation(table.location, "metadata", "version-hint.text"));
  await addSnapshots(table, known, metadata, metadata.snapshots, false, context);
  const seen = new Set(metadata.snapshots.map((snapshot) => snapshot["snapshot-id"]));
  for (const { "metadata-file": file } of metadata["metadata-log"]) {
    checkStopped(context.signal);
    known.add(file);
    const older = await olderVersion(table, file);
    if (!older) continue;
    // Expired since: their files may be gone already.
    await addSnapshots(table, known, older, older.snapshots.filter((snapshot) => !seen.has(snapshot["snapshot-id"])), true, context);
    for (const snapshot of older.snapshots) seen.add(snapshot["snapshot-id"]);
  }
  return known;
}

async function olderVersion(table: Table, file: string): Promise<TableMetadata | undefined> {
  try {
    return parseMetadata(await table.io.read(file), file).metadata;
  } catch (error) {
    if (asTicklakeError(error).code === "FILE_NOT_FOUND") return undefined;
    throw error;
  }
}

async function addSnapshots(table: Table, known: LocationSet, metadata: TableMetadata, snapshots: readonly Snapshot[], lenient: boolean, context: OperationContext): Promise<void> {
  const { signal } = context;
  const { manifests, lists } = await partsOf(table.io, snapshots, lenient, signal);
  for (const list of lists.keys()) known.add(list);
  const unread = [...manifests.values()].filter((manifest) => !known.has(manifest.path));
  for (const manifest of manifests.values()) known.add(manifest.path);
  let read = 0;
  for await (const { entries } of liveEntriesOf(table.io, unread, metadata, { lenient, ...(signal ? { signal } : {}) })) {
    for (const { file } of entries) known.add(file.filePath);
    if (++read % 100 === 0) context.progress?.(`${read} of ${unread.length} manifests read`);
  }
  for (const file of [...(metadata.statistics ?? []), ...(metadata["partition-statistics"] ?? [])]) known.add(file["statistics-path"]);
}

interface Found { readonly orphans: Orphan[]; readonly listed: number; readonly young: number; readonly nested: readonly string[] }

async function list(table: Table, location: string, known: LocationSet, limit: number, mode: "error" | "ignore" | "delete", context: OperationContext): Promise<Found> {
  const nested = new NestedTables(table.location);
  const orphans: Orphan[] = [];
  let listed = 0, young = 0;
  for await (const file of table.io.listAll(location)) {
    if (++listed % 10_000 === 0) { checkStopped(context.signal); context.progress?.(`${listed} files listed`); }
    nested.see(file);
    if (known.has(file.location) || isHidden(file.location, table.location) || isRecentVersion(table, file.location)) continue;
    if (file.modifiedMs >= limit) { young++; continue; }
    if (mode !== "delete" && known.hasPath(file.location)) {
      if (mode === "ignore") continue;
      throw new TicklakeError("CONFIG_INVALID", `${file.location} is known to ${table.fullName} under another scheme or bucket. If that names the same storage, the file is in use: nothing was deleted. Set prefixMismatchMode to ignore (such files stay) or, when it is other storage, to delete.`);
    }
    orphans.push({ location: file.location, size: file.size });
  }
  return { orphans: orphans.filter((file) => !nested.holds(file.location)), listed, young, nested: nested.roots };
}

/** Names with . or _ in front are not data: staged files, checksums, other engines' notes. Partitions may be called so. */
function isHidden(location: string, table: string): boolean {
  return location.slice(table.replace(/\/+$/, "").length).split("/").some((part) => part.startsWith(".") || (part.startsWith("_") && !part.includes("=")));
}

/** Versions of a file-based catalog that a stalled writer may still count on, or that were written since the table was read. */
function isRecentVersion(table: Table, location: string): boolean {
  const version = /\/metadata\/v(\d+)(?:\.gz)?\.metadata\.json(?:\.gz)?$/.exec(location)?.[1];
  return version !== undefined && Number(version) > table.state.version - MIN_PREVIOUS_VERSIONS - 1;
}

/** Files that a commit which landed meanwhile has taken in (an import of old files, a writer that was stalled for days). */
async function withdrawNew(table: Table, orphans: Orphan[], before: TableMetadata, context: OperationContext): Promise<Orphan[]> {
  if (orphans.length === 0) return orphans;
  const { metadata, metadataLocation } = await table.refresh();
  if (metadata["table-uuid"] !== before["table-uuid"]) throw new TicklakeError("TABLE_REPLACED", `${table.fullName} was dropped and created anew meanwhile. Nothing was deleted.`);
  const known = new Set(before.snapshots.map((snapshot) => snapshot["snapshot-id"]));
  const fresh = metadata.snapshots.filter((snapshot) => !known.has(snapshot["snapshot-id"]));
  const used = new LocationSet();
  used.add(metadataLocation);
  for (const entry of metadata["metadata-log"]) used.add(entry["metadata-file"]);
  await addSnapshots(table, used, metadata, fresh, false, context);
  return orphans.filter((file) => !used.has(file.location));
}
