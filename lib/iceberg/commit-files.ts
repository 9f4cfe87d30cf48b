import { randomUUID } from "node:crypto";
import type { CommitProbe, Table, TableState } from "./catalog/types";
import { type FileIO, joinLocation } from "./io/types";
import { mergeManifests, planMerge } from "./manifest-merge";
import { addedEntry, readManifestList, withSequence, writeManifest, writeManifestList } from "./manifests";
import { currentSnapshot, specById } from "./metadata";
import type { DataFile, ManifestFile, Schema, Snapshot } from "./types";

/** Manifests of snapshots that this process wrote or read: its next commit needs them again. */
const knownLists = new WeakMap<Snapshot, readonly ManifestFile[]>();

/** What a manifest list is written for. */
export interface ListCommit { readonly snapshotId: bigint; readonly sequenceNumber: number; readonly attempt: number }

/** The manifests and manifest lists that the attempts of one commit write. Knows what to delete when it ends. */
export class CommitFiles {
  readonly #table: Table;
  readonly #uuid = randomUUID();
  /** Manifests by the list that uses them. */
  readonly #lists = new Map<string, { used: Set<string>; manifests: readonly ManifestFile[] }>();
  readonly #written = new Set<string>();
  #count = 0;

  constructor(table: Table) {
    this.#table = table;
  }

  /** The manifests of the base's current snapshot. */
  async inherited({ metadata }: TableState): Promise<readonly ManifestFile[]> {
    const parent = currentSnapshot(metadata);
    if (!parent) return [];
    const manifests = knownLists.get(parent) ?? (await readManifestList(this.#table.io, parent));
    knownLists.set(parent, manifests);
    return manifests;
  }

  /** A name for a manifest, deleted with the attempts unless the list that wins uses it. */
  newManifest(base: TableState): string {
    const path = this.#path(base, `${this.#uuid}-m${this.#count++}.avro`);
    this.#written.add(path);
    return path;
  }

  /** Writes the manifest list of one attempt; manifests of this commit get its sequence number. Returns its location. */
  async writeList(base: TableState, commit: ListCommit, manifests: readonly ManifestFile[]): Promise<string> {
    const { metadata } = base;
    const parent = currentSnapshot(metadata);
    const lines = manifests.map((manifest) => (manifest.addedSnapshotId === commit.snapshotId ? withSequence(manifest, commit.sequenceNumber) : manifest));
    const path = this.#path(base, `snap-${commit.snapshotId}-${commit.attempt}-${this.#uuid}.avro`);
    const header = { snapshotId: commit.snapshotId, sequenceNumber: commit.sequenceNumber, ...(parent ? { parentSnapshotId: parent["snapshot-id"] } : {}) };
    this.#written.add(path);
    await writeManifestList(this.#table.io, path, lines, header, metadata);
    this.#lists.set(path, { used: new Set(lines.map((manifest) => manifest.path)), manifests: lines });
    return path;
  }

  #path(base: TableState, name: string): string {
    return joinLocation(base.metadata.location, "metadata", name);
  }

  /** The attempt that wrote this snapshot is in the table: what only others used goes. Its manifests are remembered for the next commit. */
  async won(snapshot: Snapshot): Promise<void> {
    const list = snapshot["manifest-list"];
    const won = this.#lists.get(list);
    // A list that we do not know cannot tell what it uses.
    if (!won) return;
    knownLists.set(snapshot, won.manifests);
    await this.#delete([...this.#written].filter((path) => path !== list && !won.used.has(path)));
  }

  /** None of the attempts is in the table. */
  async lost(): Promise<void> {
    await this.#delete([...this.#written]);
  }

  /** Leftovers harm nobody, so a failure here is none of the commit's. */
  async #delete(paths: readonly string[]): Promise<void> {
    await Promise.allSettled(paths.map((path) => this.#table.io.delete(path)));
    for (const path of paths) this.#written.delete(path);
  }
}

/**
 * The files of an append: the manifest of its own files is written once (for a schema of the table), lists once per attempt; merged manifests are kept for the next attempt while
 * their parts are still in the table.
 */
export class AppendFiles extends CommitFiles {
  readonly #io: FileIO;
  readonly #files: readonly DataFile[];
  #own: { readonly schemaId: number; readonly manifests: readonly ManifestFile[] } | undefined;
  /** By the paths of their parts. */
  readonly #merged = new Map<string, ManifestFile | undefined>();

  constructor(table: Table, files: readonly DataFile[]) {
    super(table);
    this.#io = table.io;
    this.#files = files;
  }

  /**
   * Writes the manifest list of one attempt, and before it whatever it needs. Returns its location.
   *
   * @param schema the table's once it has landed
   */
  async write(base: TableState, commit: ListCommit, schema: Schema, at: CommitProbe | undefined): Promise<string> {
    if (this.#own?.schemaId !== schema["schema-id"]) this.#own = { schemaId: schema["schema-id"], manifests: await this.#writeOwn(base, schema, commit.snapshotId) };
    await at?.("after-manifest");
    const kept = await this.#merge(await this.inherited(base), base, commit.snapshotId);
    const path = await this.writeList(base, commit, [...this.#own.manifests, ...kept]);
    await at?.("after-manifest-list");
    return path;
  }

  /** One manifest per partition spec. */
  async #writeOwn(base: TableState, schema: Schema, snapshotId: bigint): Promise<ManifestFile[]> {
    const { metadata } = base;
    const own: ManifestFile[] = [];
    for (const specId of new Set(this.#files.map((file) => file.specId))) {
      const entries = this.#files.filter((file) => file.specId === specId).map((file) => addedEntry(file, snapshotId));
      own.push(await writeManifest(this.#io, this.newManifest(base), entries, { metadata, schema, spec: specById(metadata, specId)! }, snapshotId));
    }
    return own;
  }

  /** The base's manifests, small ones merged where it is time. Merging may fail without failing the append: the next one tries again. */
  async #merge(inherited: readonly ManifestFile[], base: TableState, snapshotId: bigint): Promise<ManifestFile[]> {
    let kept = [...inherited];
    for (const group of planMerge(inherited, base.metadata)) {
      const key = group.map((manifest) => manifest.path).join("\n");
      try {
        if (!this.#merged.has(key)) this.#merged.set(key, await mergeManifests(this.#io, this.newManifest(base), group, base.metadata, snapshotId));
      } catch {
        continue;
      }
      const merged = this.#merged.get(key);
      const first = kept.indexOf(group[0]!);
      kept = kept.flatMap((manifest, i) => (i === first ? (merged ? [merged] : []) : group.includes(manifest) ? [] : [manifest]));
    }
    return kept;
  }
}
