import type { Entry, Group, PartitionQueue, PartRecord, SinkPosition, SinkRecord } from "./model";
import type { Lineage, Part, Run } from "./types";

/** A stretch of one partition that may be committed: entries from `start` up to `end` (indexes in the queue, end exclusive). */
interface Stretch {
  readonly queue: PartitionQueue;
  readonly start: number;
  end: number;
}

/**
 * The runs that a sink may commit now: per partition the longest run of settled deliveries of one epoch from the oldest
 * that the sink has not committed, with tied parts only where all their deliveries are in. Deliveries of two epochs of a
 * partition go together only when a message ties them and nothing else could be committed.
 */
export function selectRuns(sink: SinkRecord): Run[] {
  const one = stretches(sink, true);
  untie(sink, one);
  const runs = runsOf(sink, one);
  if (runs.length > 0 || ![...sink.parts].some((part) => part.group?.isTie)) return runs;
  const all = stretches(sink, false);
  untie(sink, all);
  return runsOf(sink, all);
}

/**
 * The runs that a sink may commit that goes last: from the oldest delivery of a partition that is not delivered, as long as nothing of it is open but
 * this sink's own parked parts, and no part is tied beyond the partition and epoch.
 */
export function selectLastRuns(sink: SinkRecord): Run[] {
  const found = new Map<PartitionQueue, Stretch>();
  for (const [queue, position] of sink.positions) {
    if (position.parked === 0 || position.taken !== undefined) continue;
    const stretch = lastStretch(sink, queue, position, true);
    if (stretch) found.set(queue, stretch);
  }
  untie(sink, found);
  return runsOf(sink, found);
}

/** The longest such stretch of one partition; its first delivery alone tells whether there is one. */
export function lastStretch(sink: SinkRecord, queue: PartitionQueue, position: SinkPosition, whole = false): Stretch | undefined {
  let start = 0;
  // What this sink has committed is over as soon as that is judged; if anything else of it is open, this sink would not be the last one.
  for (let entry = queue.at(start); entry && entry.batch <= position.committed; entry = queue.at(++start)) if (!entry.isComplete) return undefined;
  const epoch = queue.at(start)?.epoch;
  let end = start;
  for (let entry = queue.at(end); entry && entry.epoch === epoch && isOurs(entry, sink); entry = queue.at(end)) {
    end++;
    if (!whole) break;
  }
  return end > start ? { queue, start, end } : undefined;
}

/** Nothing is open of it but parked parts of this sink that belong to one partition and epoch. */
function isOurs(entry: Entry, sink: SinkRecord): boolean {
  if (entry.sending || entry.failing) return false;
  for (const group of entry.groups()) {
    for (const part of group.parts) if (part.sink !== sink || part.state !== "parked") return false;
    if (group.parts.size > 0 && isTied(group.entries)) return false;
  }
  return true;
}

/** Whether a part belongs to deliveries of more than one partition or epoch, so that no transaction of one partition covers it. */
export function isTiedAcross(part: Part): boolean { return isTied(part.deliveries); }

function isTied(deliveries: Part["deliveries"]): boolean {
  const first = deliveries[0];
  return deliveries.some((one) => one.source !== first!.source || one.partition !== first!.partition || one.epoch !== first!.epoch);
}

function stretches(sink: SinkRecord, oneEpoch: boolean): Map<PartitionQueue, Stretch> {
  const found = new Map<PartitionQueue, Stretch>();
  for (const [queue, position] of sink.positions) {
    if (position.parked === 0 || position.taken !== undefined) continue;
    const start = queue.indexOf(position.committed + 1);
    const epoch = queue.at(start)?.epoch;
    let end = start;
    for (let entry = queue.at(end); entry?.isSettled && (!oneEpoch || entry.epoch === epoch); entry = queue.at(end)) end++;
    if (end > start) found.set(queue, { queue, start, end });
  }
  return found;
}

/** Shortens stretches until every tied part in them has all its deliveries in them. Each entry leaves once: linear. */
function untie(sink: SinkRecord, found: Map<PartitionQueue, Stretch>): void {
  const isIn = (entry: Entry): boolean => {
    const stretch = found.get(entry.queue);
    if (!stretch) return false;
    const index = entry.queue.indexOf(entry.batch);
    return index >= stretch.start && index < stretch.end;
  };
  const judged = new Set<Group>();
  const work: Entry[] = [];
  // A tie with one delivery missing takes all its others out of the run too, and with each all that follow it.
  const judge = (tie: Group): void => {
    if (judged.has(tie) || !hasPartAt(tie.parts, sink)) return;
    if (tie.entries.every((entry) => !entry.isOpen || isIn(entry))) return;
    judged.add(tie);
    for (const entry of tie.entries) if (isIn(entry)) work.push(entry);
  };
  const seen = new Set<Group>();
  for (const stretch of found.values()) {
    for (let i = stretch.start; i < stretch.end; i++) {
      for (const tie of stretch.queue.at(i)!.ties) {
        if (seen.has(tie)) continue;
        seen.add(tie);
        judge(tie);
      }
    }
  }
  for (let entry = work.pop(); entry; entry = work.pop()) {
    const stretch = found.get(entry.queue)!;
    const index = entry.queue.indexOf(entry.batch), end = stretch.end;
    if (index >= end) continue;
    stretch.end = index;
    for (let i = index; i < end; i++) for (const tie of stretch.queue.at(i)!.ties) judge(tie);
  }
}

function runsOf(sink: SinkRecord, found: Map<PartitionQueue, Stretch>): Run[] {
  const runs: Run[] = [];
  for (const { queue, start, end } of found.values()) {
    let deliveries: Entry[] = [];
    const flush = (): void => {
      const parts = partsOf(deliveries, sink);
      // Deliveries of which nothing came here are no reason for a commit.
      if (parts.length > 0) runs.push(runOf(queue, deliveries, parts));
      deliveries = [];
    };
    for (let i = start; i < end; i++) {
      const entry = queue.at(i)!;
      if (deliveries.length > 0 && deliveries[0]!.epoch !== entry.epoch) flush();
      deliveries.push(entry);
    }
    flush();
  }
  return runs;
}

function partsOf(entries: readonly Entry[], sink: SinkRecord): PartRecord[] {
  const parts = new Set<PartRecord>();
  for (const entry of entries) {
    for (const group of entry.groups()) for (const part of group.parts) if (part.sink === sink && part.state === "parked") parts.add(part);
  }
  return [...parts];
}

function runOf(queue: PartitionQueue, deliveries: Entry[], parts: PartRecord[]): Run {
  const first = deliveries[0]!, last = deliveries.at(-1)!;
  const lineage = covering(first.lineage, last.lineage);
  return { source: queue.source.id, partition: queue.partition, epoch: first.epoch, deliveries, parts, ...(lineage ? { lineage } : {}) };
}

function covering(first: Lineage | undefined, last: Lineage | undefined): Lineage | undefined {
  return first && last ? { ...last, firstOffset: first.firstOffset } : undefined;
}

function hasPartAt(parts: Set<PartRecord>, sink: SinkRecord): boolean {
  for (const part of parts) if (part.sink === sink) return true;
  return false;
}
