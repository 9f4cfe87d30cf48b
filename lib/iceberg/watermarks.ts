/**
 * How far each Kafka partition has gone into a table: written with the rows in one commit, so the two can never differ. Pure; no I/O.
 *
 * Two places hold the same entry:
 * - summary key `ticklake.watermarks` of the snapshot that moved them,
 * - table property `ticklake.watermarks`, with the id and sequence number of that snapshot.
 *
 * Reading back: the newest ancestor of the current snapshot whose summary has them (snapshots of other engines lack them). The property counts
 * - instead, when the snapshot that it names is that ancestor or a later one (offsets that were set without a snapshot),
 * - when no listed ancestor has them (expired), unless its snapshot lies off the current line: the table was rolled back, and the rows that
 *   they speak of are gone. Then they are void.
 *
 * What a rollback took is not forgotten until it is written again (`reversed`): found by a property off the line, and carried on in the property
 * by commits of other partitions. What somebody reset on purpose (`reset`) is no reversal: it stands in the property until it is written again.
 */
import { TicklakeError } from "../errors";
import { parseJson, stringifyJson } from "./json";
import { ancestors, snapshotById } from "./metadata";
import type { TableMetadata } from "./types";
import type { MetadataUpdate } from "./updates";

/** Key of the snapshot summary and of the table property. */
export const WATERMARKS = "ticklake.watermarks";

/** Everything of a partition below `nextOffset` is in the table. */
export interface Watermark {
  /** Node id or writerId: who writes. */
  readonly writer: string;
  /** Kafka's cluster id, the consumer group, topic and partition. */
  readonly cluster: string;
  readonly group: string;
  readonly topic: string;
  readonly partition: number;
  readonly nextOffset: bigint;
  /** The last record covered, and its timestamp (Unix ms): to notice a topic that was created anew. */
  readonly lastOffset: bigint;
  readonly lastTimestamp: number;
  /** Where this writer began with the partition: whither to go back when nothing of it is left. Absent in tables of early versions. */
  readonly firstOffset?: bigint;
}

export interface ReadWatermarks {
  readonly watermarks: readonly Watermark[];
  /** Where they were found; `void`: the property's belong to a snapshot that was rolled back. */
  readonly from: "snapshot" | "properties" | "void" | "none";
  /** The snapshot that they belong to. */
  readonly snapshotId?: bigint;
  /** Where partitions stood whose rows a rollback took, and that have not been written again. */
  readonly reversed: readonly Watermark[];
  /** Where partitions stood that were reset on purpose, and that have not been written again. */
  readonly reset: readonly Watermark[];
}

/** The watermarks that hold for a version of the table. */
export function readWatermarks(metadata: TableMetadata): ReadWatermarks {
  const property = decodeProperty(metadata.properties[WATERMARKS]);
  const line: bigint[] = [];
  for (const snapshot of ancestors(metadata)) {
    line.push(snapshot["snapshot-id"]);
    const text = snapshot.summary[WATERMARKS];
    if (text === undefined) continue;
    if (property && line.includes(property.snapshotId)) return ofProperty(property);
    const watermarks = decode(text);
    return { watermarks, from: "snapshot", snapshotId: snapshot["snapshot-id"], ...besides(metadata, property, watermarks) };
  }
  if (!property) return { watermarks: [], from: "none", reversed: [], reset: [] };
  if (line.includes(property.snapshotId) || !isOffTheLine(metadata, property)) return ofProperty(property);
  return { watermarks: [], from: "void", snapshotId: property.snapshotId, ...besides(metadata, property, []) };
}

function ofProperty({ watermarks, snapshotId, reversed, reset }: Property): ReadWatermarks {
  return { watermarks, from: "properties", snapshotId, reversed: watermarksAhead(reversed, watermarks), reset };
}

/** What a property tells whose own watermarks do not hold. */
function besides(metadata: TableMetadata, property: Property | undefined, holding: readonly Watermark[]): Pick<ReadWatermarks, "reversed" | "reset"> {
  if (!property) return { reversed: [], reset: [] };
  if (!isOffTheLine(metadata, property)) return { reversed: watermarksAhead(property.reversed, holding), reset: property.reset };
  // What was still owed then was ahead of what stood then.
  return { reversed: watermarksAhead(mergeWatermarks(property.watermarks, property.reversed), holding), reset: [] };
}

/** The property's snapshot is no ancestor of the current one: the table was rolled back behind it. Where expiry has cut the line, nobody can tell: then it counts. */
function isOffTheLine(metadata: TableMetadata, property: Property): boolean {
  let oldest: number | undefined;
  for (const snapshot of ancestors(metadata)) {
    if (snapshot["snapshot-id"] === property.snapshotId) return false;
    oldest = snapshot["sequence-number"];
  }
  // It is listed elsewhere; or the unbroken line passes the place where it would stand.
  return snapshotById(metadata, property.snapshotId) !== undefined || oldest === undefined || property.sequenceNumber > oldest;
}

/** The same partition of the same reader and writer. */
export function watermarkKey(mark: Pick<Watermark, "writer" | "cluster" | "group" | "topic" | "partition">): string {
  return JSON.stringify([mark.writer, mark.cluster, mark.group, mark.topic, mark.partition]);
}

/** `base` with `moved` laid over it. Where a partition began is told by the base. */
export function mergeWatermarks(base: readonly Watermark[], moved: readonly Watermark[]): Watermark[] {
  const merged = new Map(base.map((mark) => [watermarkKey(mark), mark]));
  for (const mark of moved) {
    const key = watermarkKey(mark);
    const before = merged.get(key);
    const { firstOffset: _begin, ...rest } = mark;
    merged.set(key, !before ? mark : { ...rest, ...(before.firstOffset === undefined ? {} : { firstOffset: before.firstOffset }) });
  }
  return [...merged.values()];
}

/** Those of `list` that are ahead of where `holding` stands. */
export function watermarksAhead(list: readonly Watermark[], holding: readonly Watermark[]): Watermark[] {
  const now = new Map(holding.map((mark) => [watermarkKey(mark), mark.nextOffset]));
  return list.filter((mark) => mark.nextOffset > (now.get(watermarkKey(mark)) ?? -1n));
}

/** `list` without the partitions of `those`. */
export function withoutWatermarks(list: readonly Watermark[], those: readonly Watermark[]): Watermark[] {
  const keys = new Set(those.map(watermarkKey));
  return list.filter((mark) => !keys.has(watermarkKey(mark)));
}

/**
 * The commit that makes writers forget how far they are: what is read again is written again. It adds no snapshot.
 *
 * @param matches which watermarks to forget
 * @returns the updates and what they forget; undefined when there is nothing to forget
 */
export function resetWatermarks(metadata: TableMetadata, matches: (mark: Watermark) => boolean): { updates: MetadataUpdate[]; forgotten: Watermark[] } | undefined {
  const { watermarks, reversed, reset } = readWatermarks(metadata);
  const forgotten = mergeWatermarks(watermarks.filter(matches), reversed.filter(matches));
  if (forgotten.length === 0) return undefined;
  const rest = watermarks.filter((mark) => !matches(mark));
  return { updates: [property(metadata, rest, metadata["current-snapshot-id"], { reversed: reversed.filter((mark) => !matches(mark)), reset: mergeWatermarks(reset, forgotten) })], forgotten };
}

/**
 * For the commit that rolls a table back and keeps the offsets: what was read stays read, although its rows go. Also for one that expires snapshots: afterwards
 * the property alone tells what held before, whichever snapshots are left.
 *
 * @param target the snapshot that becomes (or stays) the current one
 * @param seen what held when the rollback was decided: partitions that got further since then are read again from there
 */
export function keepWatermarks(metadata: TableMetadata, target: bigint, seen: ReadWatermarks = readWatermarks(metadata)): MetadataUpdate[] {
  const now = readWatermarks(metadata);
  const reversed = mergeWatermarks(now.reversed, watermarksAhead(now.watermarks, seen.watermarks));
  return seen.watermarks.length + reversed.length + now.reset.length === 0 ? [] : [property(metadata, seen.watermarks, target, { reversed, reset: now.reset })];
}

/**
 * For the commit that rolls a table back and takes the offsets with it: what is read again is written again. The property says so by itself, so that the snapshots
 * that were taken back may be expired.
 */
export function rewindWatermarks(metadata: TableMetadata, target: bigint): MetadataUpdate[] {
  return keepWatermarks({ ...metadata, "current-snapshot-id": target }, target);
}

/** For a commit that adds a snapshot with the same rows (rewritten manifests, compaction): the watermarks of its base hold on, and outlive the snapshots that told them. */
export function carryWatermarks(metadata: TableMetadata, snapshotId: bigint, sequenceNumber: number): { summary: Record<string, string>; updates: MetadataUpdate[] } {
  const { watermarks, from, reversed, reset } = readWatermarks(metadata);
  if (from === "none") return { summary: {}, updates: [] };
  return {
    summary: { [WATERMARKS]: encodeWatermarks(watermarks) },
    updates: [{ action: "set-properties", updates: { [WATERMARKS]: encodeWatermarksProperty(watermarks, snapshotId, sequenceNumber, { reversed, reset }) } }],
  };
}

function property(metadata: TableMetadata, watermarks: readonly Watermark[], snapshotId: bigint | undefined, more: Besides): MetadataUpdate {
  // A table without a snapshot has nothing that a watermark could speak of: the property then names one that never was.
  const sequence = snapshotById(metadata, snapshotId)?.["sequence-number"] ?? 0;
  return { action: "set-properties", updates: { [WATERMARKS]: encodeWatermarksProperty(watermarks, snapshotId ?? 0n, sequence, more) } };
}

/** The first of `moved` that would take a partition back behind the base. A commit never may: its rows are in the table already. */
export function findReversal(base: readonly Watermark[], moved: readonly Watermark[]): { base: Watermark; moved: Watermark } | undefined {
  const known = new Map(base.map((mark) => [watermarkKey(mark), mark]));
  for (const mark of moved) {
    const before = known.get(watermarkKey(mark));
    if (before && before.nextOffset > mark.nextOffset) return { base: before, moved: mark };
  }
  return undefined;
}

/** Grouped so that what many partitions share stands once: `[writer, cluster, group, topic, {partition: [next, last, timestamp, first]}]`. */
type Group = [writer: string, cluster: string, group: string, topic: string, partitions: Record<string, [bigint, bigint, number, bigint?]>];

function group(watermarks: readonly Watermark[]): Group[] {
  const groups = new Map<string, Group>();
  for (const mark of [...watermarks].sort((a, b) => (watermarkKey({ ...a, partition: 0 }) < watermarkKey({ ...b, partition: 0 }) ? -1 : 1))) {
    const key = watermarkKey({ ...mark, partition: 0 });
    let entry = groups.get(key);
    if (!entry) groups.set(key, (entry = [mark.writer, mark.cluster, mark.group, mark.topic, {}]));
    entry[4][String(mark.partition)] = [mark.nextOffset, mark.lastOffset, mark.lastTimestamp, ...(mark.firstOffset === undefined ? [] as const : [mark.firstOffset] as const)];
  }
  return [...groups.values()];
}

/** Text of the snapshot summary. */
export function encodeWatermarks(watermarks: readonly Watermark[]): string {
  return stringifyJson({ v: 1, w: group(watermarks) });
}

/** What the property tells besides the watermarks that hold (see ReadWatermarks). */
export type Besides = Partial<Pick<ReadWatermarks, "reversed" | "reset">>;

/** Text of the table property. */
export function encodeWatermarksProperty(watermarks: readonly Watermark[], snapshotId: bigint, sequenceNumber: number, { reversed = [], reset = [] }: Besides = {}): string {
  return stringifyJson({
    v: 1, snapshot: snapshotId, sequence: sequenceNumber, w: group(watermarks),
    ...(reversed.length > 0 ? { r: group(reversed) } : {}), ...(reset.length > 0 ? { x: group(reset) } : {}),
  });
}

function ungroup(groups: unknown): Watermark[] {
  return (groups as Group[]).flatMap(([writer, cluster, name, topic, partitions]) =>
    Object.entries(partitions).map(([partition, [next, last, timestamp, first]]): Watermark => ({
      writer, cluster, group: name, topic, partition: Number(partition), nextOffset: BigInt(next), lastOffset: BigInt(last), lastTimestamp: Number(timestamp),
      ...(first === undefined ? {} : { firstOffset: BigInt(first) }),
    })));
}

function decode(text: string): Watermark[] {
  return read(text, (json) => ungroup(json["w"]));
}

interface Property extends Required<Besides> { readonly snapshotId: bigint; readonly sequenceNumber: number; readonly watermarks: Watermark[] }

function decodeProperty(text: string | undefined): Property | undefined {
  if (text === undefined) return undefined;
  return read(text, (json) => ({ snapshotId: BigInt(json["snapshot"] as bigint), sequenceNumber: Number(json["sequence"] ?? 0), watermarks: ungroup(json["w"]), reversed: ungroup(json["r"] ?? []), reset: ungroup(json["x"] ?? []) }));
}

/** Text that we cannot read must stop the writer: taking it for "none" would write everything a second time. */
function read<T>(text: string, convert: (json: Record<string, unknown>) => T): T {
  try {
    const json = parseJson(text) as Record<string, unknown>;
    if (json["v"] === 1) return convert(json);
  } catch (error) {
    throw unreadable(text, error);
  }
  throw unreadable(text);
}

function unreadable(text: string, cause?: unknown): TicklakeError {
  return new TicklakeError("TABLE_CORRUPT", `The table's ${WATERMARKS} cannot be read ("${text.slice(0, 60)}"). Was it edited, or written by a newer version? Upgrade, or reset the offsets of the table.`, { cause });
}
