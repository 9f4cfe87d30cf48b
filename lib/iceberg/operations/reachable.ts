/**
 * What snapshots refer to. Manifests are read one after the other and let go of, so that a table of any size passes through.
 */
import { decodeManifestList } from "../avro/manifest-list";
import { TicklakeError } from "../../errors";
import type { FileIO } from "../io/types";
import { readManifest, readManifestList } from "../manifests";
import { DELETED, type ManifestEntry, type ManifestFile, type Snapshot, type TableMetadata } from "../types";

/** The manifests of snapshots, each once, and the manifest lists with their sizes. */
export interface SnapshotParts { readonly manifests: ReadonlyMap<string, ManifestFile>; readonly lists: ReadonlyMap<string, number> }

/** How many manifest lists are read at once. */
const READS = 8;

/**
 * @param lenient lists that are gone (another process deleted them already) are passed over
 */
export async function partsOf(io: FileIO, snapshots: readonly Snapshot[], lenient = false, signal?: AbortSignal): Promise<SnapshotParts> {
  const manifests = new Map<string, ManifestFile>(), lists = new Map<string, number>();
  for (let i = 0; i < snapshots.length; i += READS) {
    checkStopped(signal);
    for (const { list, size, lines } of await Promise.all(snapshots.slice(i, i + READS).map((snapshot) => readList(io, snapshot, lenient)))) {
      if (list) lists.set(list, size);
      for (const manifest of lines) if (!manifests.has(manifest.path)) manifests.set(manifest.path, manifest);
    }
  }
  return { manifests, lists };
}

async function readList(io: FileIO, snapshot: Snapshot, lenient: boolean): Promise<{ list: string; size: number; lines: ManifestFile[] }> {
  const list = snapshot["manifest-list"] ?? "";
  try {
    if (!list) return { list, size: 0, lines: await readManifestList(io, snapshot) };
    const bytes = await io.read(list);
    return { list, size: bytes.length, lines: await decodeManifestList(bytes, list) };
  } catch (error) {
    if (lenient && isGone(error)) return { list, size: 0, lines: [] };
    throw error;
  }
}

/** The live entries of manifests, one manifest after the other. */
export async function* liveEntriesOf(io: FileIO, manifests: Iterable<ManifestFile>, metadata: TableMetadata, options: { lenient?: boolean; signal?: AbortSignal } = {}): AsyncIterable<{ manifest: ManifestFile; entries: ManifestEntry[] }> {
  for (const manifest of manifests) {
    checkStopped(options.signal);
    let entries: ManifestEntry[];
    try {
      entries = await readManifest(io, manifest, metadata);
    } catch (error) {
      if (options.lenient && isGone(error)) continue;
      throw error;
    }
    yield { manifest, entries: entries.filter((entry) => entry.status !== DELETED) };
  }
}

function isGone(error: unknown): boolean {
  return error instanceof TicklakeError && (error.code === "FILE_NOT_FOUND" || (error.cause instanceof TicklakeError && error.cause.code === "FILE_NOT_FOUND"));
}

export function checkStopped(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new TicklakeError("STOPPED", "The operation was stopped before it was done. What it had committed stays; run it again to finish.");
}
