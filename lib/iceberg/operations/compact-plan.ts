/**
 * Which data files are rewritten together: those whose size is wrong or that have many deletes, packed by partition up to a size (Iceberg's BinPackRewriteFilePlanner). Pure.
 */
import { type DeleteIndex, onlyFile, partitionKey } from "../scan/deletes";
import type { DataFile, PartitionValue } from "../types";
import type { CompactPlanOptions } from "./compact-options";

/** What planning keeps of a file: a table of 50,000 small files must not fill the memory with their metrics. */
export interface PlannedFile extends Pick<DataFile, "filePath" | "fileSizeInBytes" | "recordCount" | "specId" | "partition"> {
  /** Data sequence number. */
  readonly sequenceNumber: number;
}

export interface RewriteGroup {
  readonly specId: number;
  /** Undefined: files of older specs, divided anew by the current one. */
  readonly partition: readonly PartitionValue[] | undefined;
  /** In the order of their sequence numbers: rows keep the order in which they came. */
  readonly files: readonly PlannedFile[];
  /** Position delete files that may name rows of them, each once. */
  readonly deletes: readonly DataFile[];
  readonly bytes: number;
  readonly rows: number;
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}

/** Whether a file is to be looked at by itself. */
export function isCandidate(file: PlannedFile, deletes: readonly DataFile[], options: CompactPlanOptions): boolean {
  if (options.rewriteAll || file.fileSizeInBytes < options.minBytes || file.fileSizeInBytes > options.maxBytes) return true;
  return isWorn(file, deletes, options);
}

/** So many deletes that reading the file costs too much. */
function isWorn(file: PlannedFile, deletes: readonly DataFile[], options: CompactPlanOptions): boolean {
  if (deletes.length >= options.deleteFileThreshold) return true;
  // Only of files that name one data file is it known how many of its rows they take.
  const gone = deletes.reduce((sum, del) => sum + (onlyFile(del) === undefined ? 0 : del.recordCount), 0);
  return gone > 0 && gone / Math.max(1, file.recordCount) >= options.deleteRatioThreshold;
}

/** Groups of candidates that are worth rewriting, in the order in which they are rewritten. */
export function planGroups(candidates: readonly PlannedFile[], deletes: DeleteIndex, currentSpecId: number, options: CompactPlanOptions): RewriteGroup[] {
  const partitions = new Map<string, PlannedFile[]>();
  // Files of older specs are divided anew: all of them belong together.
  for (const file of candidates) push(partitions, file.specId === currentSpecId ? partitionKey(file) : "", file);
  const groups: RewriteGroup[] = [];
  for (const [key, files] of partitions) {
    for (const packed of pack(files.sort(byAge), options.maxGroupBytes)) {
      const group = groupOf(packed, deletes, key === "" ? undefined : packed[0]!.partition, currentSpecId);
      if (isWorthIt(group, deletes, options)) groups.push(group);
    }
  }
  return inOrder(groups, options.jobOrder);
}

function byAge(a: PlannedFile, b: PlannedFile): number {
  return a.sequenceNumber - b.sequenceNumber || (a.filePath < b.filePath ? -1 : a.filePath > b.filePath ? 1 : 0);
}

/** Neighbours together, up to a size. */
function pack(files: readonly PlannedFile[], maxBytes: number): PlannedFile[][] {
  const packed: PlannedFile[][] = [];
  let bytes = Infinity;
  for (const file of files) {
    if (bytes + file.fileSizeInBytes > maxBytes) {
      packed.push([]);
      bytes = 0;
    }
    packed.at(-1)!.push(file);
    bytes += file.fileSizeInBytes;
  }
  return packed;
}

function groupOf(files: readonly PlannedFile[], deletes: DeleteIndex, partition: readonly PartitionValue[] | undefined, specId: number): RewriteGroup {
  const applying = new Set(files.flatMap((file) => deletes.positions(file, file.sequenceNumber)));
  const sum = (of: (file: PlannedFile) => number): number => files.reduce((total, file) => total + of(file), 0);
  return { specId, partition, files, deletes: [...applying], bytes: sum((file) => file.fileSizeInBytes), rows: sum((file) => file.recordCount) };
}

function isWorthIt({ files, bytes }: RewriteGroup, deletes: DeleteIndex, options: CompactPlanOptions): boolean {
  if (options.rewriteAll) return true;
  if (files.length > 1 && (files.length >= options.minInputFiles || bytes > options.targetBytes)) return true;
  return bytes > options.maxBytes || files.some((file) => isWorn(file, deletes.positions(file, file.sequenceNumber), options));
}

function inOrder(groups: RewriteGroup[], order: CompactPlanOptions["jobOrder"]): RewriteGroup[] {
  if (order === "none") return groups;
  const sign = order.endsWith("asc") ? 1 : -1;
  const size = (group: RewriteGroup): number => (order.startsWith("bytes") ? group.bytes : group.files.length);
  return groups.sort((a, b) => sign * (size(a) - size(b)));
}
