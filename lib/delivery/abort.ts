import { TicklakeError } from "../errors";
import type { Entry, Group, PartitionQueue, PartRecord, SinkRecord } from "./model";
import type { Failure } from "./types";

/** One abortion: the deliveries that failed, the later ones of their partitions, and all that is tied to any of them. */
export class Aborter {
  private readonly byQueue = new Map<PartitionQueue, { aborted: Entry[]; failed: Entry; error: Error }>();
  /** Groups whose tokens now stand for aborted deliveries. */
  readonly groups = new Set<Group>();
  /** Every delivery aborted. */
  readonly entries: Entry[] = [];
  /** Parts that sinks must forget. */
  readonly sinkParts = new Map<SinkRecord, PartRecord[]>();

  constructor(private readonly dropHeld: (part: PartRecord) => void) {}

  abort(entries: readonly Entry[], error: Error): void {
    const work = entries.map((entry) => ({ entry, error }));
    for (let next = work.pop(); next; next = work.pop()) {
      if (!next.entry.isOpen) continue;
      for (const entry of this.cut(next.entry, next.error)) {
        for (const group of entry.groups()) {
          // A tie whose messages are all done ties nothing any more.
          if (group !== entry.own && group.parts.size === 0) continue;
          this.drop(group);
          for (const other of group.entries) {
            if (other.isOpen) work.push({ entry: other, error: new TicklakeError("DELIVERY_FAILED", `A batch that was joined with this one failed: ${error.message}`, { cause: error }) });
          }
        }
      }
    }
  }

  /** Takes the delivery and all later ones out of their partition. */
  private cut(first: Entry, error: Error): Entry[] {
    const queue = first.queue;
    const aborted = queue.cut(queue.indexOf(first.batch));
    for (const entry of aborted) {
      entry.state = "aborted";
      queue.source.open--;
      queue.source.records -= entry.records;
      queue.source.bytes -= entry.bytes;
    }
    this.entries.push(...aborted);
    queue.endEpoch(first.batch);
    const before = this.byQueue.get(queue);
    if (before) before.aborted.unshift(...aborted);
    else this.byQueue.set(queue, { aborted, failed: first, error });
    return aborted;
  }

  private drop(group: Group): void {
    if (this.groups.has(group)) return;
    this.groups.add(group);
    for (const part of group.parts) {
      const sink = part.sink;
      if (sink) {
        if (part.state === "parked") sink.countParked(part, -1);
        sink.parts.delete(part);
        const parts = this.sinkParts.get(sink);
        if (part.isOpen) {
          if (parts) parts.push(part);
          else this.sinkParts.set(sink, [part]);
        }
      }
      if (part.isOpen) part.state = "dropped";
      if (!sink) {
        part.group = undefined;
        this.dropHeld(part);
      }
    }
    group.parts.clear();
  }

  /** What the sources are told, one failure per partition. */
  failures(roots: readonly Entry[], cause: { node: string | undefined; cutAt: bigint | undefined }): { queue: PartitionQueue; failure: Failure }[] {
    return [...this.byQueue].map(([queue, { aborted, failed, error }]) => {
      // The cut belongs to the delivery that asked for it, not to what was dragged along.
      const own = roots.includes(failed);
      return {
        queue,
        failure: {
          partition: queue.partition, error, failed, aborted,
          ...(cause.node === undefined ? {} : { node: cause.node }),
          ...(own && cause.cutAt !== undefined ? { cutAt: cause.cutAt } : {}),
        },
      };
    });
  }
}
