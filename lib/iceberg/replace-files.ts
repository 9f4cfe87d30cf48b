/**
 * The commit that puts new data files in the place of old ones that hold the same rows: a snapshot with operation `replace`.
 *
 * Every attempt looks anew whether the old files are still live and whether exactly the deletes that were applied to them apply to them now. What is not so any more (another
 * engine was first, the table was rolled back, rows were deleted meanwhile) leaves the commit; the rest lands.
 */
import type { Table, TableState } from "./catalog/types";
import type { Attempt, Proposal, TableChange } from "./commit-change";
import { CommitFiles } from "./commit-files";
import { addedEntry, type ManifestContext, readManifest, writeManifest } from "./manifests";
import { currentSchema, currentSnapshot, ENGINE, snapshotUpdates, specById } from "./metadata";
import type { PlannedFile } from "./operations/compact-plan";
import { DeleteIndex } from "./scan/deletes";
import { ManifestCache } from "./scan/plan";
import { DELETED, type DataFile, EXISTING, type ManifestEntry, type ManifestFile, type Snapshot, type TableMetadata } from "./types";
import { carryWatermarks } from "./watermarks";

/** Old files and the new ones that hold their rows. */
export interface Replacement {
  readonly inputs: readonly PlannedFile[];
  readonly outputs: readonly DataFile[];
  /** Position delete files that were applied to the inputs. */
  readonly deletes: readonly DataFile[];
}

export interface ReplaceRequest {
  readonly replacements: readonly Replacement[];
  /** Data sequence number of the new files: that of the snapshot which was read, so that deletes that come later still apply to them. Undefined: that of this commit. */
  readonly dataSequenceNumber?: number;
  /** Data files that a position delete file names, as far as it was read. One that names no live file is dropped. */
  readonly referenced: ReadonlyMap<string, readonly string[]>;
  /** More entries of the snapshot summary. */
  readonly summary?: Readonly<Record<string, string>>;
}

/** What one attempt does. */
export interface Replaced {
  readonly landed: readonly Replacement[];
  /** Replacements that had to be left out. */
  readonly left: readonly { readonly replacement: Replacement; readonly reason: string }[];
  readonly removedDeleteFiles: number;
}

/** What the base holds, as far as it matters here. */
interface Seen {
  readonly manifests: readonly ManifestFile[];
  readonly liveInputs: ReadonlySet<string>;
  /** Data files that deletes name and that stay. */
  readonly liveReferenced: ReadonlySet<string>;
  readonly deletes: DeleteIndex;
  readonly deleteFiles: readonly string[];
}

/** Entries of manifests that are kept between the passes of an attempt, and attempts. */
const CACHED_ENTRIES = 20_000;

export class ReplaceFiles implements TableChange<Replaced> {
  readonly what = "the snapshot of the compaction is in";
  readonly #files: CommitFiles;
  readonly #cache = new ManifestCache(CACHED_ENTRIES);
  /** Manifests that an attempt wrote, by what they hold: the next attempt mostly needs the same. */
  readonly #written = new Map<string, ManifestFile>();
  readonly #inputs: ReadonlySet<string>;
  readonly #referenced: ReadonlySet<string>;

  constructor(private readonly table: Table, private readonly request: ReplaceRequest, private readonly now: () => number = Date.now) {
    this.#files = new CommitFiles(table);
    this.#inputs = new Set(request.replacements.flatMap(({ inputs }) => inputs.map((file) => file.filePath)));
    this.#referenced = new Set([...request.referenced.values()].flat());
  }

  async build(base: TableState, { number, snapshotId }: Attempt): Promise<Proposal<Replaced> | undefined> {
    const { metadata } = base;
    const parent = currentSnapshot(metadata);
    if (!parent) return undefined;
    const seen = await this.#look(base);
    const left: { replacement: Replacement; reason: string }[] = [];
    const landed = this.request.replacements.filter((replacement) => {
      const reason = obstacle(replacement, seen, metadata);
      if (reason !== undefined) left.push({ replacement, reason });
      return reason === undefined;
    });
    if (landed.length === 0) return undefined;
    const removed = new Set(landed.flatMap(({ inputs }) => inputs.map((file) => file.filePath)));
    const dangling = new Set(seen.deleteFiles.filter((path) => this.#dangles(path, removed, seen)));
    const { manifests, changes } = await this.#manifests(base, seen.manifests, landed, new Set([...removed, ...dangling]), snapshotId);
    const sequenceNumber = metadata["last-sequence-number"] + 1;
    const list = await this.#files.writeList(base, { snapshotId, sequenceNumber, attempt: number }, manifests);
    const carried = carryWatermarks(metadata, snapshotId, sequenceNumber);
    const snapshot: Snapshot = {
      "sequence-number": sequenceNumber, "snapshot-id": snapshotId, "parent-snapshot-id": parent["snapshot-id"], "timestamp-ms": Math.max(this.now(), metadata["last-updated-ms"]),
      summary: replaceSummary(parent, changes, { ...ENGINE, ...this.request.summary, ...carried.summary }), "manifest-list": list, "schema-id": metadata["current-schema-id"],
    };
    return { updates: [...snapshotUpdates(metadata, snapshot), ...carried.updates], snapshot, value: { landed, left, removedDeleteFiles: dangling.size } };
  }

  won(_proposal: Proposal<Replaced>, snapshot: Snapshot | undefined): Promise<void> {
    return this.#files.won(snapshot!);
  }

  lost(): Promise<void> {
    return this.#files.lost();
  }

  async #look(base: TableState): Promise<Seen> {
    const { metadata } = base, manifests = await this.#files.inherited(base);
    const liveInputs = new Set<string>(), liveReferenced = new Set<string>(), deletes = new DeleteIndex(), deleteFiles: string[] = [];
    for (const manifest of manifests) {
      for (const entry of await this.#entries(manifest, metadata)) {
        if (entry.status === DELETED) continue;
        const { content, filePath } = entry.file;
        if (content !== 0) {
          deletes.add(entry);
          deleteFiles.push(filePath);
        } else if (this.#inputs.has(filePath)) liveInputs.add(filePath);
        else if (this.#referenced.has(filePath)) liveReferenced.add(filePath);
      }
    }
    return { manifests, liveInputs, liveReferenced, deletes, deleteFiles };
  }

  #entries(manifest: ManifestFile, metadata: TableMetadata): Promise<ManifestEntry[]> {
    return this.#cache.manifest(manifest.path, () => readManifest(this.table.io, manifest, metadata));
  }

  #dangles(path: string, removed: ReadonlySet<string>, { liveInputs, liveReferenced }: Seen): boolean {
    const names = this.request.referenced.get(path);
    return names !== undefined && names.every((name) => removed.has(name) || !(liveInputs.has(name) || liveReferenced.has(name)));
  }

  /** The manifests of the new snapshot: those of the base, rewritten where files leave them, and one for the new files. */
  async #manifests(base: TableState, inherited: readonly ManifestFile[], landed: readonly Replacement[], leaving: ReadonlySet<string>, snapshotId: bigint): Promise<{ manifests: ManifestFile[]; changes: Changes }> {
    const { metadata } = base, { dataSequenceNumber } = this.request;
    const schema = currentSchema(metadata);
    const manifests: ManifestFile[] = [], removed: ManifestEntry[] = [];
    const outputs = landed.flatMap((replacement) => replacement.outputs);
    for (const specId of new Set(outputs.map((file) => file.specId))) {
      const entries = outputs.filter((file) => file.specId === specId).map((file) => ({ ...addedEntry(file, snapshotId), ...(dataSequenceNumber === undefined ? {} : { sequenceNumber: dataSequenceNumber }) }));
      manifests.push(await this.#manifest(base, entries, { metadata, schema, spec: specById(metadata, specId)! }, snapshotId, `new ${specId}`));
    }
    for (const manifest of inherited) {
      const entries = await this.#entries(manifest, metadata);
      const goes = (entry: ManifestEntry): boolean => entry.status !== DELETED && leaving.has(entry.file.filePath);
      if (!entries.some(goes)) { manifests.push(manifest); continue; }
      const rest = entries.filter((entry) => entry.status !== DELETED).map((entry): ManifestEntry => (goes(entry) ? { ...entry, status: DELETED, snapshotId } : { ...entry, status: EXISTING }));
      removed.push(...rest.filter((entry) => entry.status === DELETED));
      manifests.push(await this.#manifest(base, rest, { metadata, schema, spec: specById(metadata, manifest.specId)!, content: manifest.content }, snapshotId, manifest.path));
    }
    return { manifests, changes: { added: outputs, removed: removed.map((entry) => entry.file) } };
  }

  /** @param from what its entries are taken from */
  async #manifest(base: TableState, entries: readonly ManifestEntry[], context: ManifestContext, snapshotId: bigint, from: string): Promise<ManifestFile> {
    const key = [from, context.schema["schema-id"], ...entries.map(({ status, file }) => `${status} ${file.filePath}`)].join("\n");
    const known = this.#written.get(key);
    if (known) return known;
    const manifest = await writeManifest(this.table.io, this.#files.newManifest(base), entries, context, snapshotId);
    this.#written.set(key, manifest);
    return manifest;
  }
}

/** Why a replacement must not go onto this base. */
function obstacle({ inputs, outputs, deletes }: Replacement, { liveInputs, deletes: live }: Seen, metadata: TableMetadata): string | undefined {
  const gone = inputs.find((file) => !liveInputs.has(file.filePath));
  if (gone) return `${gone.filePath} is not in the table any more: it was rewritten, deleted or rolled back meanwhile`;
  if (outputs.some((file) => !specById(metadata, file.specId))) return "the partition spec by which the files were written was removed meanwhile";
  const applied = new Set(deletes.map((file) => file.filePath));
  const now = new Set(inputs.flatMap((file) => live.positions(file, file.sequenceNumber)).map((file) => file.filePath));
  if ([...now].some((path) => !applied.has(path)) || inputs.some((file) => live.equalityOf(file, file.sequenceNumber))) return "rows of these files were deleted meanwhile";
  if ([...applied].some((path) => !now.has(path))) return "deletes of these files were taken back meanwhile";
  return undefined;
}

interface Changes { readonly added: readonly DataFile[]; readonly removed: readonly DataFile[] }

/** What a replace says of itself, in the words of Iceberg's SnapshotSummary, and the parent's totals with it. A total that the parent lacks stays unknown rather than wrong. */
function replaceSummary(parent: Snapshot, { added, removed }: Changes, more: Readonly<Record<string, string>>): Record<string, string> {
  const data = removed.filter((file) => file.content === 0), deletes = removed.filter((file) => file.content !== 0);
  const rows = (files: readonly DataFile[]): number => files.reduce((sum, file) => sum + file.recordCount, 0);
  const bytes = (files: readonly DataFile[]): number => files.reduce((sum, file) => sum + file.fileSizeInBytes, 0);
  const summary: Record<string, string> = {
    ...more, operation: "replace",
    "added-data-files": String(added.length), "deleted-data-files": String(data.length), "added-records": String(rows(added)), "deleted-records": String(rows(data)),
    "added-files-size": String(bytes(added)), "removed-files-size": String(bytes(removed)),
    "changed-partition-count": String(new Set([...added, ...removed].map((file) => JSON.stringify([file.specId, file.partition.map(String)]))).size),
    ...(deletes.length > 0 ? { "removed-delete-files": String(deletes.length), "removed-position-delete-files": String(deletes.length), "removed-position-deletes": String(rows(deletes)) } : {}),
  };
  const change: Record<string, number> = {
    "total-data-files": added.length - data.length, "total-records": rows(added) - rows(data), "total-files-size": bytes(added) - bytes(removed),
    "total-delete-files": -deletes.length, "total-position-deletes": -rows(deletes), "total-equality-deletes": 0,
  };
  for (const [total, delta] of Object.entries(change)) {
    const before = parent.summary[total];
    if (before !== undefined && /^\d+$/.test(before)) summary[total] = String(Number(before) + delta);
  }
  return summary;
}
