import type { Entry, PartRecord, SourceRecord } from "./model";
import type { HoldUp } from "./types";

/** How often time-outs and hold-ups are looked for. */
export const WATCH_INTERVAL_MS = 1000;
/** A node is in the way only when it has been for so long: every node is for a moment. */
const IN_THE_WAY_MS = 2000;

/**
 * Parts that a foreign node has held for longer than the source's deliveryTimeout, one per partition. Parked parts never
 * time out; one that waits in a link-call node does once nothing but such waiting is left of its delivery.
 */
export function* overdueParts(source: SourceRecord, now: number): Generator<{ entry: Entry; part: PartRecord }> {
  const limit = source.limits.deliveryTimeoutMs;
  if (limit <= 0) return;
  for (const queue of source.queues.values()) {
    for (let index = 0; index < queue.length; index++) {
      const entry = queue.at(index)!;
      if (now - entry.openedAt < limit) break;
      const part = oldestForeign(entry);
      if (!part || now - part.since < limit) continue;
      yield { entry, part };
      break;
    }
  }
}

/** At the bound with nothing that a sink could commit: the node in the way of the oldest delivery. */
export function heldUpBy(source: SourceRecord, now: number): HoldUp | undefined {
  let oldest: PartRecord | undefined;
  for (const queue of source.queues.values()) {
    const head = queue.at(0);
    if (!head) continue;
    const part = oldestForeign(head);
    if (!part) return undefined;
    if (!oldest || part.since < oldest.since) oldest = part;
  }
  if (!oldest || now - oldest.since < IN_THE_WAY_MS) return undefined;
  let parts = 0;
  for (const queue of source.queues.values()) {
    for (let index = 0; index < queue.length; index++) {
      for (const group of queue.at(index)!.groups()) for (const part of group.parts) if (part.node === oldest.node && part.busy) parts++;
    }
  }
  return { node: oldest.node, parts, since: oldest.since };
}

/** The foreign part that has kept a delivery the longest. */
function oldestForeign(entry: Entry): PartRecord | undefined {
  let oldest: PartRecord | undefined, waits = true;
  for (const group of entry.groups()) {
    for (const part of group.parts) {
      if (part.sink) { waits = false; continue; }
      if (part.busy) waits = false;
    }
  }
  for (const group of entry.groups()) {
    for (const part of group.parts) {
      if (part.sink || (!part.busy && !(waits && part.waiting))) continue;
      if (!oldest || part.since < oldest.since) oldest = part;
    }
  }
  return oldest;
}
