import type { Lineage, LogPosition } from "../../delivery/types";
import type { Watermark } from "../watermarks";

/** Where a table stands for one writer: the next offset per cluster, group, topic and partition. */
export type Marks = ReadonlyMap<string, bigint>;

/** Names a partition as one reader sees it. */
export const markKey = (at: LogPosition): string => JSON.stringify([at.cluster, at.group, at.topic, at.partition]);

/** Where a batch lies: `new` (nothing of it is in the table), `below` (all of it is), or the offset at which it must be cut. */
export function compareWithMark(lineage: Lineage, marks: Marks): "new" | "below" | bigint {
  const next = marks.get(markKey(lineage));
  if (next === undefined || next <= lineage.firstOffset) return "new";
  return next > lineage.lastOffset ? "below" : next;
}

/** The watermark that covers a run of batches, by the lineage of its last one. */
export function watermarkOf(writer: string, lineage: Lineage, firstOffset = lineage.firstOffset): Watermark {
  const { cluster, group, topic, partition, nextOffset, lastOffset, lastTimestamp } = lineage;
  return { writer, cluster, group, topic, partition, nextOffset, lastOffset, lastTimestamp, firstOffset };
}
