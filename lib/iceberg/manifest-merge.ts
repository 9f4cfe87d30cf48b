/**
 * Keeps manifest lists short: small manifests of one partition spec become one (Iceberg's MergeAppend). Entries keep their sequence numbers, explicitly.
 */
import type { FileIO } from "./io/types";
import { booleanProperty, numberProperty, PROPERTY, specById } from "./metadata";
import { readManifest, writeManifest } from "./manifests";
import { DELETED, EXISTING, type ManifestEntry, type ManifestFile, type TableMetadata } from "./types";

/** Iceberg's defaults. */
const MIN_COUNT = 100;
const TARGET_BYTES = 8 * 1024 * 1024;

/**
 * Groups of manifests to merge, youngest first in each, for a list in its order (youngest first). Pure.
 *
 * Neighbours are packed from the oldest on up to the target size. A full group is merged at once; the youngest, which still grows, only when
 * with the one to be added it has `commit.manifest.min-count-to-merge` manifests.
 */
export function planMerge(manifests: readonly ManifestFile[], metadata: TableMetadata): ManifestFile[][] {
  if (!booleanProperty(metadata, PROPERTY.mergeEnabled, true)) return [];
  const target = numberProperty(metadata, PROPERTY.mergeTargetBytes, TARGET_BYTES);
  const minCount = numberProperty(metadata, PROPERTY.mergeMinCount, MIN_COUNT);
  const groups: ManifestFile[][] = [];
  for (const specId of new Set(manifests.map((manifest) => manifest.specId))) {
    // Encrypted manifests and those of deletes stay as they are.
    const packed = pack(manifests.filter((m) => m.specId === specId && m.content === 0 && !m.keyMetadata), target);
    packed.forEach((group, i) => {
      const growing = i === packed.length - 1;
      if (group.length > 1 && (!growing || group.length + 1 >= minCount)) groups.push(group);
    });
  }
  return groups;
}

/** Packs from the oldest (the last) on; the last group is the youngest. */
function pack(manifests: readonly ManifestFile[], target: number): ManifestFile[][] {
  const groups: ManifestFile[][] = [];
  let group: ManifestFile[] = [];
  let bytes = 0;
  for (const manifest of manifests.toReversed()) {
    if (group.length > 0 && bytes + manifest.length > target) {
      groups.push(group);
      group = [];
      bytes = 0;
    }
    group.unshift(manifest);
    bytes += manifest.length;
  }
  if (group.length > 0) groups.push(group);
  return groups;
}

/** How many manifests are read at once. */
const READS = 8;

/**
 * Merges one group into a new manifest. Entries of deleted files are dropped: they told the readers of their own snapshot only.
 *
 * @returns its line for the manifest list (sequence number filled in by the commit), or undefined when nothing in it is alive
 */
export async function mergeManifests(io: FileIO, path: string, group: readonly ManifestFile[], metadata: TableMetadata, snapshotId: bigint): Promise<ManifestFile | undefined> {
  const entries: ManifestEntry[] = [];
  for (let i = 0; i < group.length; i += READS) {
    const read = await Promise.all(group.slice(i, i + READS).map((manifest) => readManifest(io, manifest, metadata)));
    for (const entry of read.flat()) if (entry.status !== DELETED) entries.push({ ...entry, status: EXISTING });
  }
  if (entries.length === 0) return undefined;
  const spec = specById(metadata, group[0]!.specId)!;
  const schema = metadata.schemas.find((candidate) => candidate["schema-id"] === metadata["current-schema-id"])!;
  return writeManifest(io, path, entries, { metadata, schema, spec }, snapshotId);
}
