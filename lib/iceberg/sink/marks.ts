import type { Lineage } from "../../delivery/types";
import type { Watermark } from "../watermarks";

/** Where a table stands for one writer: the next offset per cluster, group, topic and partition. */
export type Marks = ReadonlyMap<string, bigint>;

const key = (at: { cluster: string; group: string; topic: string; partition: number }): string => JSON.stringify([at.cluster, at.group, at.topic, at.partition]);

/** A key of marks, for people. */
export function describeKey(text: string): string {
  const [, group, topic, partition] = JSON.parse(text) as [string, string, string, number];
  return `${topic}/${partition} (group ${group})`;
}

/** The marks of one writer out of a table's watermarks. */
export function marksOf(watermarks: readonly Watermark[], writer: string): Marks {
  return new Map(watermarks.filter((w) => w.writer === writer).map((w) => [key(w), w.nextOffset]));
}

/** Where a batch lies: `new` (nothing of it is in the table), `below` (all of it is), or the offset at which it must be cut. */
export function compareWithMark(lineage: Lineage, marks: Marks): "new" | "below" | bigint {
  const next = marks.get(key(lineage));
  if (next === undefined || next <= lineage.firstOffset) return "new";
  return next > lineage.lastOffset ? "below" : next;
}

/** The watermark that covers a run. */
export function watermarkOf(writer: string, lineage: Lineage): Watermark {
  const { cluster, group, topic, partition, nextOffset, lastOffset, lastTimestamp } = lineage;
  return { writer, cluster, group, topic, partition, nextOffset, lastOffset, lastTimestamp };
}
