/**
 * Rewriting manifests: entries sorted by partition into manifests of the target size, so that a query by partition reads few of them. Files stay as they are: entries become EXISTING with
 * their own sequence numbers (specification, "Manifest Entry Fields"), the snapshot's operation is `replace`.
 */
import type { Table, TableState } from "../catalog/types";
import { type Attempt, commitChange, type Proposal } from "../commit-change";
import { CommitFiles } from "../commit-files";
import { currentSchema, currentSnapshot, ENGINE, numberProperty, PROPERTY, snapshotUpdates, specById } from "../metadata";
import { writeManifest } from "../manifests";
import { EXISTING, type ManifestEntry, type ManifestFile, type Snapshot, type TableMetadata } from "../types";
import { carryWatermarks } from "../watermarks";
import { nowOf, type OperationContext } from "./context";
import { type Cluster, clusterManifests } from "./manifest-clusters";
import { liveEntriesOf } from "./reachable";

export interface RewriteManifestsOptions {
  /** Only manifests of this partition spec; by default of all. */
  readonly specId?: number;
  /** Bytes; by default `commit.manifest.target-size-bytes` (8 MB). */
  readonly targetSizeBytes?: number;
}

export interface RewriteManifestsResult {
  readonly rewritten_manifests_count: number;
  readonly added_manifests_count: number;
  readonly entries_count: number;
  /** Of the manifests before and after. */
  readonly rewritten_bytes: number;
  readonly added_bytes: number;
  readonly snapshotId?: bigint;
  readonly conflicts: number;
}

const TARGET_BYTES = 8 * 1024 * 1024;
const SUMMARY_TOTALS = ["total-data-files", "total-records", "total-files-size", "total-delete-files", "total-position-deletes", "total-equality-deletes"];

/** @throws TicklakeError what commitChange throws */
export async function rewriteManifests(table: Table, options: RewriteManifestsOptions = {}, context: OperationContext = {}): Promise<RewriteManifestsResult> {
  const state = await table.refresh();
  if (context.dryRun) return planned(table, state.metadata, options, context);
  const rewrite = new Rewrite(table, options, context);
  const done = await commitChange(table, rewrite, context, context.tools);
  if (!done) return { rewritten_manifests_count: 0, added_manifests_count: 0, entries_count: 0, rewritten_bytes: 0, added_bytes: 0, conflicts: 0 };
  return { ...done.value, snapshotId: done.snapshot!["snapshot-id"], conflicts: done.conflicts };
}

type Counts = Omit<RewriteManifestsResult, "snapshotId" | "conflicts">;

async function planned(table: Table, metadata: TableMetadata, options: RewriteManifestsOptions, context: OperationContext): Promise<RewriteManifestsResult> {
  const counts = { rewritten_manifests_count: 0, added_manifests_count: 0, entries_count: 0, rewritten_bytes: 0, added_bytes: 0, conflicts: 0 };
  for (const group of groupsOf(await new CommitFiles(table).inherited({ ...table.state, metadata }), options)) {
    const clusters = await clusterManifests(table.io, group, metadata, targetBytes(metadata, options), context);
    if (!clusters) continue;
    counts.rewritten_manifests_count += group.length;
    counts.rewritten_bytes += bytesOf(group);
    counts.added_manifests_count += clusters.reduce((sum, cluster) => sum + Math.ceil(cluster.entries / cluster.perManifest), 0);
    counts.entries_count += clusters.reduce((sum, cluster) => sum + cluster.entries, 0);
    counts.added_bytes += bytesOf(group);
  }
  return counts;
}

/** What was written for manifests that the next attempt finds unchanged is used again. */
interface Done { readonly group: readonly ManifestFile[]; readonly added: readonly ManifestFile[]; readonly entries: number }

class Rewrite {
  readonly #files: CommitFiles;
  readonly #done: Done[] = [];

  constructor(private readonly table: Table, private readonly options: RewriteManifestsOptions, private readonly context: OperationContext) {
    this.#files = new CommitFiles(table);
  }

  won(_proposal: unknown, snapshot: Snapshot | undefined): Promise<void> { return this.#files.won(snapshot!); }
  lost(): Promise<void> { return this.#files.lost(); }

  async build(base: TableState, { snapshotId, number }: Attempt): Promise<Proposal<Counts> | undefined> {
    const { metadata } = base;
    const parent = currentSnapshot(metadata);
    if (!parent) return undefined;
    const inherited = await this.#files.inherited(base);
    const done = await this.#rewriteAll(base, inherited, snapshotId);
    if (done.length === 0) return undefined;
    await this.context.at?.("after-manifest");
    const gone = new Set(done.flatMap(({ group }) => group.map((manifest) => manifest.path)));
    const added = done.flatMap((one) => one.added);
    const kept = inherited.filter((manifest) => !gone.has(manifest.path));
    const sequenceNumber = metadata["last-sequence-number"] + 1;
    const list = await this.#files.writeList(base, { snapshotId, sequenceNumber, attempt: number }, [...added, ...kept]);
    await this.context.at?.("after-manifest-list");
    const counts: Counts = {
      rewritten_manifests_count: gone.size, added_manifests_count: added.length, entries_count: done.reduce((sum, one) => sum + one.entries, 0),
      rewritten_bytes: bytesOf(done.flatMap((one) => one.group)), added_bytes: bytesOf(added),
    };
    const marks = carryWatermarks(metadata, snapshotId, sequenceNumber);
    const snapshot: Snapshot = {
      "sequence-number": sequenceNumber, "snapshot-id": snapshotId, "parent-snapshot-id": parent["snapshot-id"], "timestamp-ms": Math.max(nowOf(this.context), metadata["last-updated-ms"]),
      summary: summaryOf(parent, counts, kept.length, marks.summary), "manifest-list": list, "schema-id": metadata["current-schema-id"],
    };
    return { updates: [...snapshotUpdates(metadata, snapshot), ...marks.updates], snapshot, value: counts };
  }

  /** On a conflict only those groups are written again whose manifests somebody merged or rewrote meanwhile. */
  async #rewriteAll(base: TableState, inherited: readonly ManifestFile[], snapshotId: bigint): Promise<Done[]> {
    const live = new Set(inherited.map((manifest) => manifest.path));
    const valid = this.#done.filter(({ group }) => group.every((manifest) => live.has(manifest.path)));
    if (this.#done.length > 0 && valid.length === this.#done.length) return valid;
    this.#done.length = 0;
    for (const group of groupsOf(inherited, this.options)) {
      const done = await this.#rewrite(base, group, snapshotId);
      if (done) this.#done.push(done);
    }
    return [...this.#done];
  }

  async #rewrite(base: TableState, group: readonly ManifestFile[], snapshotId: bigint): Promise<Done | undefined> {
    const { metadata } = base, { io } = this.table;
    const clusters = await clusterManifests(io, group, metadata, targetBytes(metadata, this.options), this.context);
    if (!clusters) return undefined;
    const context = { metadata, schema: currentSchema(metadata), spec: specById(metadata, group[0]!.specId)!, content: group[0]!.content };
    const added: ManifestFile[] = [];
    let entries = 0;
    const write = async (portion: readonly ManifestEntry[]): Promise<void> => {
      entries += portion.length;
      added.push(await writeManifest(io, this.#files.newManifest(base), portion, context, snapshotId));
      this.context.progress?.(`${added.length} manifests written`);
    };
    for (const cluster of clusters) await this.#writeCluster(cluster, metadata, write);
    return { group, added, entries };
  }

  async #writeCluster(cluster: Cluster, metadata: TableMetadata, write: (portion: readonly ManifestEntry[]) => Promise<void>): Promise<void> {
    let waiting: { entry: ManifestEntry; rank: number }[] = [];
    const { signal } = this.context;
    for await (const { entries } of liveEntriesOf(this.table.io, cluster.manifests, metadata, signal ? { signal } : {})) {
      for (const entry of entries) {
        const rank = cluster.rank(entry.file);
        if (rank !== undefined) waiting.push({ entry: { ...entry, status: EXISTING }, rank });
      }
      // A single partition has no order of its own: full manifests go out at once, however large it is.
      while (cluster.single && waiting.length >= cluster.perManifest) await write(waiting.splice(0, cluster.perManifest).map((one) => one.entry));
    }
    waiting = waiting.sort((a, b) => a.rank - b.rank);
    for (let i = 0; i < waiting.length; i += cluster.perManifest) await write(waiting.slice(i, i + cluster.perManifest).map((one) => one.entry));
  }
}

/** Manifests that belong together: of one spec and one kind. Encrypted ones stay as they are. */
function groupsOf(manifests: readonly ManifestFile[], { specId }: RewriteManifestsOptions): ManifestFile[][] {
  const groups = new Map<string, ManifestFile[]>();
  for (const manifest of manifests) {
    if (manifest.keyMetadata || (specId !== undefined && manifest.specId !== specId)) continue;
    const key = `${manifest.specId}/${manifest.content}`;
    const group = groups.get(key);
    if (group) group.push(manifest); else groups.set(key, [manifest]);
  }
  return [...groups.values()];
}

function targetBytes(metadata: TableMetadata, { targetSizeBytes }: RewriteManifestsOptions): number {
  return targetSizeBytes ?? numberProperty(metadata, PROPERTY.mergeTargetBytes, TARGET_BYTES);
}

function bytesOf(manifests: readonly ManifestFile[]): number {
  return manifests.reduce((sum, manifest) => sum + manifest.length, 0);
}

/** In the words of Iceberg's RewriteManifests; the totals stay. */
function summaryOf(parent: Snapshot, counts: Counts, kept: number, more: Readonly<Record<string, string>>): Record<string, string> {
  return {
    ...ENGINE, ...more, operation: "replace",
    "manifests-created": String(counts.added_manifests_count), "manifests-kept": String(kept), "manifests-replaced": String(counts.rewritten_manifests_count),
    "entries-processed": String(counts.entries_count), "changed-partition-count": "0",
    ...Object.fromEntries(SUMMARY_TOTALS.flatMap((key) => (parent.summary[key] === undefined ? [] : [[key, parent.summary[key]]]))),
  };
}
