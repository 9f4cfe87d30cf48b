import type { CommitProbe, Table, TableState } from "./catalog/types";
import { joinLocation } from "./io/types";
import { mergeManifests, planMerge } from "./manifest-merge";
import { addedEntry, readManifestList, withSequence, writeManifest, writeManifestList } from "./manifests";
import { currentSchema, currentSnapshot, specById } from "./metadata";
import type { DataFile, ManifestFile, Snapshot } from "./types";

/** Manifests of snapshots that this process wrote or read: its next commit needs them again. */
const knownLists = new WeakMap<Snapshot, readonly ManifestFile[]>();

/**
 * The manifests and manifest lists of one append: the manifest of its own files is written once, lists once per attempt; merged manifests are kept
 * for the next attempt while their parts are still in the table. Knows what to delete when it ends.
 */
export class AppendFiles {
  readonly #table: Table;
  readonly #files: readonly DataFile[];
  readonly #uuid: string;
  #own: ManifestFile[] | undefined;
  /** By the paths of their parts. */
  readonly #merged = new Map<string, ManifestFile | undefined>();
  /** Merged manifests by the list that uses them. */
  readonly #lists = new Map<string, { used: Set<string>; manifests: readonly ManifestFile[] }>();
  readonly #written = new Set<string>();
  #count = 0;

  constructor(table: Table, files: readonly DataFile[], uuid: string) {
    this.#table = table;
    this.#files = files;
    this.#uuid = uuid;
  }

  /** Writes the manifest list of one attempt, and before it whatever it needs. Returns its location. */
  async writeList(base: TableState, commit: { snapshotId: bigint; sequenceNumber: number; attempt: number }, at: CommitProbe | undefined): Promise<string> {
    const { metadata } = base;
    this.#own ??= await this.#writeOwn(base, commit.snapshotId);
    await at?.("after-manifest");
    const parent = currentSnapshot(metadata);
    const inherited = parent ? (knownLists.get(parent) ?? (await readManifestList(this.#table.io, parent))) : [];
    if (parent) knownLists.set(parent, inherited);
    const kept = await this.#merge(inherited, base, commit.snapshotId);
    const manifests = [...this.#own, ...kept].map((manifest) => (manifest.addedSnapshotId === commit.snapshotId ? withSequence(manifest, commit.sequenceNumber) : manifest));
    const path = this.#path(base, `snap-${commit.snapshotId}-${commit.attempt}-${this.#uuid}.avro`);
    const header = { snapshotId: commit.snapshotId, sequenceNumber: commit.sequenceNumber, ...(parent ? { parentSnapshotId: parent["snapshot-id"] } : {}) };
    this.#written.add(path);
    await writeManifestList(this.#table.io, path, manifests, header, metadata);
    this.#lists.set(path, { used: new Set(manifests.map((manifest) => manifest.path)), manifests });
    await at?.("after-manifest-list");
    return path;
  }

  /** One manifest per partition spec. */
  async #writeOwn(base: TableState, snapshotId: bigint): Promise<ManifestFile[]> {
    const { metadata } = base;
    const own: ManifestFile[] = [];
    for (const specId of new Set(this.#files.map((file) => file.specId))) {
      const entries = this.#files.filter((file) => file.specId === specId).map((file) => addedEntry(file, snapshotId));
      const path = this.#newManifest(base);
      own.push(await writeManifest(this.#table.io, path, entries, { metadata, schema: currentSchema(metadata), spec: specById(metadata, specId)! }, snapshotId));
    }
    return own;
  }

  /** The base's manifests, small ones merged where it is time. Merging may fail without failing the append: the next one tries again. */
  async #merge(inherited: readonly ManifestFile[], base: TableState, snapshotId: bigint): Promise<ManifestFile[]> {
    let kept = [...inherited];
    for (const group of planMerge(inherited, base.metadata)) {
      const key = group.map((manifest) => manifest.path).join("\n");
      try {
        if (!this.#merged.has(key)) this.#merged.set(key, await mergeManifests(this.#table.io, this.#newManifest(base), group, base.metadata, snapshotId));
      } catch {
        continue;
      }
      const merged = this.#merged.get(key);
      const first = kept.indexOf(group[0]!);
      kept = kept.flatMap((manifest, i) => (i === first ? (merged ? [merged] : []) : group.includes(manifest) ? [] : [manifest]));
    }
    return kept;
  }

  #newManifest(base: TableState): string {
    const path = this.#path(base, `${this.#uuid}-m${this.#count++}.avro`);
    this.#written.add(path);
    return path;
  }

  #path(base: TableState, name: string): string {
    return joinLocation(base.metadata.location, "metadata", name);
  }

  /** The attempt with this list is in the table: what only others used goes. */
  async deleteAllBut(list: string): Promise<void> {
    const won = this.#lists.get(list);
    // A list that we do not know cannot tell what it uses.
    if (!won) return;
    await this.#delete([...this.#written].filter((path) => path !== list && !won.used.has(path)));
  }

  /** None of the attempts is in the table. */
  async deleteAll(): Promise<void> {
    await this.#delete([...this.#written]);
  }

  /** Remembers what a committed snapshot holds, for the next append. */
  remember(snapshot: Snapshot): void {
    const list = this.#lists.get(snapshot["manifest-list"]);
    if (list) knownLists.set(snapshot, list.manifests);
  }

  /** Leftovers harm nobody, so a failure here is none of the commit's. */
  async #delete(paths: readonly string[]): Promise<void> {
    await Promise.allSettled(paths.map((path) => this.#table.io.delete(path)));
    for (const path of paths) this.#written.delete(path);
  }
}
