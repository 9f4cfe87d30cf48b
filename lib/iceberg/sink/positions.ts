import { setTimeout as sleep } from "node:timers/promises";
import type { LogPosition } from "../../delivery/types";
import { TicklakeError } from "../../errors";
import { growingBound } from "../../retry";
import type { Table, TableState } from "../catalog/types";
import { readWatermarks, resetWatermarks, type Watermark } from "../watermarks";

const isAt = (mark: Watermark, at: LogPosition): boolean => mark.cluster === at.cluster && isSameLog(mark, at);
const isSameLog = (mark: Watermark, at: LogPosition): boolean => mark.group === at.group && mark.topic === at.topic && mark.partition === at.partition;

/** How far a table is with a partition for a writer: the next offset. */
export function nextOffset({ metadata }: TableState, at: LogPosition, writer: string): bigint | undefined {
  return readWatermarks(metadata).watermarks.find((mark) => mark.writer === writer && isAt(mark, at))?.nextOffset;
}

const ATTEMPTS = 20;

/**
 * Makes a table forget how far a writer is with a partition, in a commit of its own that adds no snapshot. What it knows of the partition under the id of
 * another cluster is forgotten only where it knows nothing else: then that is what stands in the way.
 *
 * @returns the table after it; undefined when there was nothing to forget
 * @throws TicklakeError COMMIT_CONFLICT when other writers are always first; COMMIT_UNKNOWN; STORAGE_*
 */
export async function forgetPosition(table: Table, at: LogPosition, writer: string): Promise<TableState | undefined> {
  for (let attempt = 1, forgot = false; ; attempt++) {
    const base = await table.refresh();
    const mine = (mark: Watermark): boolean => mark.writer === writer && isAt(mark, at);
    const { watermarks, reversed } = readWatermarks(base.metadata);
    const own = [...watermarks, ...reversed].some(mine);
    const reset = resetWatermarks(base.metadata, own ? mine : (mark) => mark.writer === writer && isSameLog(mark, at));
    // An attempt of unknown outcome that got through leaves nothing to forget.
    if (!reset) return forgot ? base : undefined;
    try {
      return await table.commit(base, reset.updates);
    } catch (error) {
      const again = error instanceof TicklakeError && (error.code === "COMMIT_CONFLICT" || error.code === "COMMIT_UNKNOWN");
      if (!again || attempt === ATTEMPTS) throw error;
      forgot ||= error.code === "COMMIT_UNKNOWN";
    }
    await sleep(Math.random() * growingBound(attempt, 10, 1000));
  }
}
