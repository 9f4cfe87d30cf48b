import type { Entry, SourceRecord } from "./model";
import type { Reading } from "../metrics/reading";
import type { OpenPartition, SourceStats } from "./types";

/** What a source has under way, for statuses and the panel "where is my data". Pure looks at the ledger's records. */

export function statsOf(source: SourceRecord): SourceStats {
  let oldest: number | undefined;
  for (const queue of source.queues.values()) {
    const at = queue.at(0)?.openedAt;
    if (at !== undefined && (oldest === undefined || at < oldest)) oldest = at;
  }
  return {
    open: source.open, records: source.records, bytes: source.bytes, opened: source.opened, openedRecords: source.openedRecords, delivered: source.delivered,
    deliveredRecords: source.deliveredRecords, failed: source.failed, ...(oldest === undefined ? {} : { oldestOpenedAt: oldest }),
  };
}

/** The same as metrics. A source sends what it reads: one that keeps a buffer in between says itself what it has read. */
export function readingOf({ openedRecords, deliveredRecords, records, failed }: SourceStats): Reading {
  return { recordsIn: openedRecords, recordsOut: openedRecords, delivered: deliveredRecords, inFlight: records, failedDeliveries: failed };
}

/** Per partition with open deliveries: how many, and who holds the oldest one. */
export function openPartitions(source: SourceRecord): OpenPartition[] {
  const found: OpenPartition[] = [];
  for (const queue of source.queues.values()) {
    const oldest = queue.at(0);
    if (!oldest) continue;
    let records = 0;
    for (let index = 0; index < queue.length; index++) records += queue.at(index)!.records;
    found.push({
      partition: queue.partition, deliveries: queue.length, records, openedAt: oldest.openedAt, holders: holdersOf(oldest),
      ...(oldest.lineage ? { lineage: oldest.lineage } : {}),
    });
  }
  return found;
}

/** Nodes with open parts, parked ones apart; the source itself while it sends. */
function holdersOf(entry: Entry): OpenPartition["holders"] {
  const holders = new Map<string, { node: string; parts: number; since: number; parked: boolean }>();
  const count = (node: string, since: number, parked: boolean): void => {
    const key = `${node}${parked}`;
    const holder = holders.get(key);
    if (!holder) holders.set(key, { node, parts: 1, since, parked });
    else {
      holder.parts++;
      holder.since = Math.min(holder.since, since);
    }
  };
  if (entry.sending) count(entry.source, entry.openedAt, false);
  for (const group of entry.groups()) for (const part of group.parts) count(part.node, part.since, part.state === "parked" || part.state === "taken");
  return [...holders.values()].sort((a, b) => a.since - b.since);
}
