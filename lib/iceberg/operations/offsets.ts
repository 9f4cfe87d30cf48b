/** How far Kafka was read into a table, and making writers forget it. */
import type { Table } from "../catalog/types";
import { commitChange, type Proposal } from "../commit-change";
import { readWatermarks, resetWatermarks, type Watermark } from "../watermarks";
import { isoTime, type OperationContext } from "./context";

/** Offsets as text: they pass 2^53. */
export interface OffsetRow {
  readonly writer: string;
  readonly cluster: string;
  readonly group: string;
  readonly topic: string;
  readonly partition: number;
  /** Everything below is in the table. */
  readonly nextOffset: string;
  readonly lastTimestamp: string;
}

export interface OffsetsResult {
  readonly offsets: readonly OffsetRow[];
  /** Where partitions stood whose rows a rollback took, and that have not been written again. */
  readonly rolledBack: readonly OffsetRow[];
}

export async function listOffsets(table: Table): Promise<OffsetsResult> {
  const { watermarks, reversed } = readWatermarks((await table.refresh()).metadata);
  return { offsets: rows(watermarks), rolledBack: rows(reversed) };
}

/** Which partitions: what is left out matches all. */
export interface OffsetFilter { readonly writer?: string; readonly cluster?: string; readonly group?: string; readonly topic?: string; readonly partition?: number }

export interface ResetResult { readonly forgotten: readonly OffsetRow[] }

/** Makes writers forget how far they are: what is read again is written again. Adds no snapshot, changes no row. */
export async function resetOffsets(table: Table, filter: OffsetFilter, context: OperationContext = {}): Promise<ResetResult> {
  const matches = (mark: Watermark): boolean => (["writer", "cluster", "group", "topic", "partition"] as const).every((key) => filter[key] === undefined || filter[key] === mark[key]);
  if (context.dryRun) return { forgotten: rows(resetWatermarks((await table.refresh()).metadata, matches)?.forgotten ?? []) };
  const done = await commitChange(table, {
    what: "the reset of offsets is in",
    build: async ({ metadata }): Promise<Proposal<Watermark[]> | undefined> => {
      const reset = resetWatermarks(metadata, matches);
      return reset && { updates: reset.updates, value: reset.forgotten };
    },
    // What a writer moved on since begins behind the reset.
    landed: ({ metadata }, { value }) => {
      const { watermarks, reset } = readWatermarks(metadata);
      return value.every((gone) => !watermarks.some((mark) => same(mark, gone) && mark.nextOffset === gone.nextOffset)) && (reset.some((mark) => value.some((gone) => same(mark, gone))) || !watermarks.some((mark) => value.some((gone) => same(mark, gone))));
    },
  }, context, context.tools);
  return { forgotten: rows(done?.value ?? []) };
}

function same(a: Watermark, b: Watermark): boolean {
  return a.writer === b.writer && a.cluster === b.cluster && a.group === b.group && a.topic === b.topic && a.partition === b.partition;
}

function rows(marks: readonly Watermark[]): OffsetRow[] {
  return marks.map(({ writer, cluster, group, topic, partition, nextOffset, lastTimestamp }) => ({ writer, cluster, group, topic, partition, nextOffset: String(nextOffset), lastTimestamp: isoTime(lastTimestamp) }))
    .sort((a, b) => a.topic.localeCompare(b.topic) || a.partition - b.partition || a.writer.localeCompare(b.writer));
}
