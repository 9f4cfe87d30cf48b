import type { PartitionOffset, RecordSet, TopicPartition } from "../types";
import { partitionKey } from "./assignment";

/** What was fetched of a partition and not shown yet, in order. */
export type Item = {
  /** Number of the fetch that brought it. */
  readonly fetch: number;
} & (
  | { readonly kind: "records"; readonly set: RecordSet }
  | { readonly kind: "advanced"; readonly offset: bigint }
  | { readonly kind: "interrupted"; readonly offset: bigint }
  | { readonly kind: "damaged"; readonly offset: bigint; readonly error: Error }
  | { readonly kind: "outOfRange"; readonly offset: bigint; readonly log: { readonly earliest: bigint; readonly end: bigint } }
);

/** A partition that this member reads. */
export class ReadPartition implements TopicPartition {
  readonly topic: string;
  readonly partition: number;
  readonly key: string;
  /** Where the next fetch begins; undefined until the user has said where. */
  position: bigint | undefined;
  /** Counts seeks: what was asked for under an older number is of no interest. */
  version = 0;
  paused = false;
  /** Clock: since when it is paused. */
  pausedAt = 0;
  /** Reading was interrupted: the user is to look whether it is the same log before more is fetched. A seek does not change that. */
  suspect = false;
  /** Waits for a seek (out of range, damaged). */
  blocked = false;
  /** A fetch, or the work on its answer, is under way. */
  busy = false;
  /** The last fetch found nothing: it can wait for new records together with others. */
  idle = false;
  queue: Item[] = [];
  /** Clock: not fetched before. */
  notBefore = 0;
  failures = 0;
  /** Whom it was last to be fetched from. */
  leader: number | undefined;
  /** Order of service, for fairness. */
  served = 0;
  /** Grown when a batch is larger than the usual. */
  maxBytes: number;

  /** @param tenure number of the assignment with which it came: the same partition lost and given back is another tenure */
  constructor(at: TopicPartition, readonly tenure: number, maxBytes: number) {
    this.topic = at.topic;
    this.partition = at.partition;
    this.key = partitionKey(at);
    this.maxBytes = maxBytes;
  }

  seek(offset: bigint): void {
    this.position = offset;
    this.version++;
    this.blocked = false;
    this.busy = false;
    this.idle = false;
    this.queue = [];
    this.notBefore = 0;
    this.failures = 0;
  }

  /** Gives back the memory of what is queued: it is fetched again when it is wanted. */
  unread(): void {
    const first = this.queue[0];
    if (first?.kind === "records") this.seek(first.set.offset(0));
  }

  at(offset: bigint): PartitionOffset {
    return { topic: this.topic, partition: this.partition, offset };
  }

  /** What the queue keeps in memory: a set pins the whole answer it came with, perhaps together with others. */
  get pinned(): ArrayBufferLike[] {
    return this.queue.flatMap((item) => (item.kind === "records" ? [item.set.data.buffer] : []));
  }
}
