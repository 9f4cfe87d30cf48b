/**
 * How the entries of manifests are divided anew: by partition, in portions that fit into memory. Reads every manifest once for the sizes of partitions; what is written is read again.
 */
import type { FileIO } from "../io/types";
import { partitionTypes } from "../partition-type";
import { specById } from "../metadata";
import type { DataFile, ManifestFile, PartitionValue, PrimitiveType, TableMetadata } from "../types";
import { compareBytes, compareValues, deserializeValue } from "../values";
import type { OperationContext } from "./context";
import { liveEntriesOf } from "./reachable";

/** Neighbouring partitions whose entries are sorted together. */
export interface Cluster {
  /** Those that hold entries of it. */
  readonly manifests: readonly ManifestFile[];
  readonly entries: number;
  readonly perManifest: number;
  /** It is one partition alone. */
  readonly single: boolean;
  /** Place of a file's partition in the order; undefined when the file is of another cluster. */
  rank(file: DataFile): number | undefined;
}

/** Entries that are held in memory at once (a few KB each). */
const HELD = 20_000;

interface Partition { readonly values: readonly PartitionValue[]; count: number; rank: number; readonly manifests: Set<number> }

/** @returns undefined where nothing would be won: as many manifests as there are, none of which share partitions */
export async function clusterManifests(io: FileIO, manifests: readonly ManifestFile[], metadata: TableMetadata, targetBytes: number, { signal, progress }: OperationContext): Promise<Cluster[] | undefined> {
  const spec = specById(metadata, manifests[0]!.specId)!;
  const types = partitionTypes(spec, metadata.schemas.toReversed());
  const partitions = new Map<string, Partition>();
  let entries = 0, at = 0;
  const ranges: Set<Partition>[] = [];
  for await (const { manifest, entries: live } of liveEntriesOf(io, manifests, metadata, signal ? { signal } : {})) {
    const own = new Set<Partition>();
    for (const { file } of live) {
      const partition = partitionOf(partitions, file.partition);
      partition.count++;
      partition.manifests.add(at);
      own.add(partition);
    }
    ranges[at] = own;
    entries += live.length;
    if (++at % 100 === 0) progress?.(`${at} of ${manifests.length} manifests read (${manifest.path.slice(manifest.path.lastIndexOf("/") + 1)})`);
  }
  const sorted = [...partitions.values()].sort((a, b) => compareTuples(types, a.values, b.values));
  sorted.forEach((partition, rank) => { partition.rank = rank; });
  // Files that are gone take their place in the old manifests, not in the new ones.
  const rows = manifests.reduce((sum, one) => sum + (one.addedFiles ?? 0) + (one.existingFiles ?? 0) + (one.deletedFiles ?? 0), 0) || entries;
  const bytes = manifests.reduce((sum, one) => sum + one.length, 0) * Math.min(1, entries / Math.max(1, rows));
  const outputs = Math.max(1, Math.ceil(bytes / targetBytes));
  const hasDeleted = manifests.some((manifest) => (manifest.deletedFiles ?? 0) > 0);
  const tooLarge = manifests.some((one) => one.length > 1.25 * targetBytes && (one.addedFiles ?? 0) + (one.existingFiles ?? 0) > 1);
  if (entries > 0 && manifests.length <= outputs && !hasDeleted && !tooLarge && apart(ranges)) return undefined;
  return clusters(sorted, manifests, Math.max(1, Math.ceil(entries / outputs)));
}

function clusters(sorted: readonly Partition[], manifests: readonly ManifestFile[], perManifest: number): Cluster[] {
  const out: Cluster[] = [];
  for (let from = 0; from < sorted.length;) {
    let to = from, count = 0;
    while (to < sorted.length && (to === from || count + sorted[to]!.count <= HELD)) count += sorted[to++]!.count;
    const ranks = new Map(sorted.slice(from, to).map((partition) => [keyOf(partition.values), partition.rank]));
    const used = new Set(sorted.slice(from, to).flatMap((partition) => [...partition.manifests]));
    out.push({ manifests: manifests.filter((_, i) => used.has(i)), entries: count, perManifest, single: to - from === 1, rank: (file) => ranks.get(keyOf(file.partition)) });
    from = to;
  }
  return out;
}

/** No two manifests overlap in the order of partitions (a shared border aside). */
function apart(ranges: readonly ReadonlySet<Partition>[]): boolean {
  const spans = ranges.filter((range) => range.size > 0).map((range) => [...range].map((partition) => partition.rank)).map((ranks) => [ranks.reduce((a, b) => Math.min(a, b)), ranks.reduce((a, b) => Math.max(a, b))] as const).sort((a, b) => a[0] - b[0]);
  return spans.every((span, i) => i === 0 || span[0] >= spans[i - 1]![1]);
}

function partitionOf(known: Map<string, Partition>, values: readonly PartitionValue[]): Partition {
  const key = keyOf(values);
  let partition = known.get(key);
  if (!partition) known.set(key, (partition = { values, count: 0, rank: 0, manifests: new Set() }));
  return partition;
}

function keyOf(values: readonly PartitionValue[]): string {
  return JSON.stringify(values.map((value) => (value instanceof Uint8Array ? `x${Buffer.from(value).toString("hex")}` : value === null ? null : `${typeof value}${String(value)}`)));
}

/** By the order of each field's type; nulls first. */
function compareTuples(types: readonly (PrimitiveType | undefined)[], a: readonly PartitionValue[], b: readonly PartitionValue[]): number {
  for (const [i, type] of types.entries()) {
    const order = compare(type, a[i] ?? null, b[i] ?? null);
    if (order !== 0) return order;
  }
  return 0;
}

function compare(type: PrimitiveType | undefined, a: PartitionValue, b: PartitionValue): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? -1 : 1;
  if (a instanceof Uint8Array && b instanceof Uint8Array) {
    return type?.startsWith("decimal") ? compareValues(type, deserializeValue(type, a), deserializeValue(type, b)) : compareBytes(a, b);
  }
  return type ? compareValues(type, a, b) : String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0;
}
