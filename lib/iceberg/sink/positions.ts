import { setTimeout as sleep } from "node:timers/promises";
import type { LogPosition, TargetPosition } from "../../delivery/types";
import { TicklakeError } from "../../errors";
import { growingBound } from "../../retry";
import type { Table, TableState } from "../catalog/types";
import { readWatermarks, resetWatermarks, type Watermark } from "../watermarks";
import type { TableSinkDeps } from "./contract";

const isAt = (mark: Watermark, at: LogPosition): boolean => mark.cluster === at.cluster && isSameLog(mark, at);
const isSameLog = (mark: Watermark, at: LogPosition): boolean => mark.group === at.group && mark.topic === at.topic && mark.partition === at.partition;

/** The table of a sink: as it is open, or only looked at; undefined when there is none, or it keeps no watermarks. */
export async function tableOf({ options, catalog, identifier }: TableSinkDeps, open: Table | undefined): Promise<Table | undefined> {
  if (!options.exactlyOnce) return undefined;
  try {
    if (!open) return await catalog.loadTable(identifier);
    await open.refresh();
    return open;
  } catch (error) {
    if (error instanceof TicklakeError && error.code === "TABLE_NOT_FOUND") return undefined;
    throw error;
  }
}

/** How far the table of a sink is with a partition. */
export function positionsIn({ state }: Table, { options, name, node, ledger }: TableSinkDeps, at: LogPosition): TargetPosition[] {
  const { cluster, group, topic, partition } = at;
  return readWatermarks(state.metadata).watermarks.filter((mark) => mark.writer === options.writerId && isAt(mark, at))
    .map(({ nextOffset }) => ({ cluster, group, topic, partition, target: name, node: node ?? ledger.id, nextOffset }));
}

const ATTEMPTS = 20;

/**
 * Makes a table forget how far a writer is with a partition, in a commit of its own that adds no snapshot. What it knows of the same group, topic and
 * partition under the id of a cluster that nobody reads now is forgotten with it: that would pass for the same log.
 *
 * @param isRead whether a cluster is read now
 * @returns the table after it; undefined when there was nothing to forget
 * @throws TicklakeError COMMIT_CONFLICT when other writers are always first; COMMIT_UNKNOWN; STORAGE_*
 */
export async function forgetPosition(table: Table, at: LogPosition, writer: string, isRead: (cluster: string) => boolean): Promise<TableState | undefined> {
  const concerns = (mark: Watermark): boolean => mark.writer === writer && isSameLog(mark, at) && (mark.cluster === at.cluster || !isRead(mark.cluster));
  for (let attempt = 1, forgot = false; ; attempt++) {
    const base = await table.refresh();
    const reset = resetWatermarks(base.metadata, concerns);
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
