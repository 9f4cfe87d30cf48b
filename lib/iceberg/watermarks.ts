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
 */
import { TicklakeError } from "../errors";
import { parseJson, stringifyJson } from "./json";
import { ancestors, snapshotById } from "./metadata";
import type { TableMetadata } from "./types";

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
}

export interface ReadWatermarks {
  readonly watermarks: readonly Watermark[];
  /** Where they were found; `void`: the property's belong to a snapshot that was rolled back. */
  readonly from: "snapshot" | "properties" | "void" | "none";
  /** The snapshot that they belong to. */
  readonly snapshotId?: bigint;
}

/** The watermarks that hold for a version of the table. */
export function readWatermarks(metadata: TableMetadata): ReadWatermarks {
  const property = decodeProperty(metadata.properties[WATERMARKS]);
  const line: bigint[] = [];
  for (const snapshot of ancestors(metadata)) {
    line.push(snapshot["snapshot-id"]);
    const text = snapshot.summary[WATERMARKS];
    if (text === undefined) continue;
    if (property && line.includes(property.snapshotId)) return { watermarks: property.watermarks, from: "properties", snapshotId: property.snapshotId };
    return { watermarks: decode(text), from: "snapshot", snapshotId: snapshot["snapshot-id"] };
  }
  if (!property) return { watermarks: [], from: "none" };
  if (!line.includes(property.snapshotId) && isOffTheLine(metadata, property)) return { watermarks: [], from: "void", snapshotId: property.snapshotId };
  return { watermarks: property.watermarks, from: "properties", snapshotId: property.snapshotId };
}

/** Still listed but no ancestor, or younger than the current snapshot: the table was rolled back behind it. */
function isOffTheLine(metadata: TableMetadata, property: Property): boolean {
  if (snapshotById(metadata, property.snapshotId)) return true;
  const current = snapshotById(metadata, metadata["current-snapshot-id"]);
  return !current || property.sequenceNumber > current["sequence-number"];
}

/** The same partition of the same reader and writer. */
export function watermarkKey(mark: Pick<Watermark, "writer" | "cluster" | "group" | "topic" | "partition">): string {
  return JSON.stringify([mark.writer, mark.cluster, mark.group, mark.topic, mark.partition]);
}

/** `base` with `moved` laid over it. */
export function mergeWatermarks(base: readonly Watermark[], moved: readonly Watermark[]): Watermark[] {
  const merged = new Map(base.map((mark) => [watermarkKey(mark), mark]));
  for (const mark of moved) merged.set(watermarkKey(mark), mark);
  return [...merged.values()];
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

/** Grouped so that what many partitions share stands once: `[writer, cluster, group, topic, {partition: [next, last, timestamp]}]`. */
type Group = [writer: string, cluster: string, group: string, topic: string, partitions: Record<string, [bigint, bigint, number]>];

function group(watermarks: readonly Watermark[]): Group[] {
  const groups = new Map<string, Group>();
  for (const mark of [...watermarks].sort((a, b) => (watermarkKey({ ...a, partition: 0 }) < watermarkKey({ ...b, partition: 0 }) ? -1 : 1))) {
    const key = watermarkKey({ ...mark, partition: 0 });
    let entry = groups.get(key);
    if (!entry) groups.set(key, (entry = [mark.writer, mark.cluster, mark.group, mark.topic, {}]));
    entry[4][String(mark.partition)] = [mark.nextOffset, mark.lastOffset, mark.lastTimestamp];
  }
  return [...groups.values()];
}

/** Text of the snapshot summary. */
export function encodeWatermarks(watermarks: readonly Watermark[]): string {
  return stringifyJson({ v: 1, w: group(watermarks) });
}

/** Text of the table property. */
export function encodeWatermarksProperty(watermarks: readonly Watermark[], snapshotId: bigint, sequenceNumber: number): string {
  return stringifyJson({ v: 1, snapshot: snapshotId, sequence: sequenceNumber, w: group(watermarks) });
}

function ungroup(groups: unknown): Watermark[] {
  return (groups as Group[]).flatMap(([writer, cluster, name, topic, partitions]) =>
    Object.entries(partitions).map(([partition, [next, last, timestamp]]): Watermark => ({
      writer, cluster, group: name, topic, partition: Number(partition), nextOffset: BigInt(next), lastOffset: BigInt(last), lastTimestamp: Number(timestamp),
    })));
}

function decode(text: string): Watermark[] {
  return read(text, (json) => ungroup(json["w"]));
}

interface Property { readonly snapshotId: bigint; readonly sequenceNumber: number; readonly watermarks: Watermark[] }

function decodeProperty(text: string | undefined): Property | undefined {
  if (text === undefined) return undefined;
  return read(text, (json) => ({ snapshotId: BigInt(json["snapshot"] as bigint), sequenceNumber: Number(json["sequence"] ?? 0), watermarks: ungroup(json["w"]) }));
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
