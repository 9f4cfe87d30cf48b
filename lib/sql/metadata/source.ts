/**
 * Where metadata tables take their rows from.
 */
import type { FileIO } from "../../iceberg/io/types";
import { readManifest, readManifestList } from "../../iceberg/manifests";
import type { ManifestCache } from "../../iceberg/scan/plan";
import type { ManifestEntry, ManifestFile, Snapshot, TableMetadata } from "../../iceberg/types";

/** A table as a query sees it. */
export interface MetadataSource {
  io: FileIO;
  metadata: TableMetadata;
  /** Location of the metadata itself, where known. */
  metadataLocation?: string;
  /** What is current, or what the query travels to. */
  snapshot: Snapshot | undefined;
  cache: ManifestCache;
}

/** The manifests of the snapshot. */
export async function snapshotManifests({ io, snapshot, metadata, cache }: MetadataSource): Promise<ManifestFile[]> {
  return snapshot ? cache.list(snapshot["manifest-list"] || `${metadata["table-uuid"]}/${snapshot["snapshot-id"]}`, () => readManifestList(io, snapshot)) : [];
}

/** The manifests of all snapshots, each once. */
export async function allManifests(source: MetadataSource): Promise<ManifestFile[]> {
  const found = new Map<string, ManifestFile>();
  for (const snapshot of source.metadata.snapshots) for (const manifest of await snapshotManifests({ ...source, snapshot })) found.set(manifest.path, manifest);
  return [...found.values()];
}

/** Every entry of manifests. */
export async function entriesOf({ io, metadata, cache }: MetadataSource, manifests: readonly ManifestFile[]): Promise<ManifestEntry[]> {
  const found: ManifestEntry[] = [];
  for (const manifest of manifests) for (const entry of await cache.manifest(manifest.path, () => readManifest(io, manifest, metadata))) found.push(entry);
  return found;
}
