import { asTicklakeError, type TicklakeError } from "../../errors";
import { RecordBatchBuilder } from "../records/builder";
import type { Produced, RecordBatch, TopicPartition } from "../types";
import type { Entry } from "./entry";
import type { TopicInfo } from "./topics";

/** Records of one message that go to one partition. `picks`: their numbers; undefined = all. */
interface Chunk {
  readonly entry: Entry;
  readonly picks: readonly number[] | undefined;
  /** Next to be written, and how many there are. */
  next: number;
  readonly count: number;
}

/** Records of one message in one batch. */
interface Slice { readonly entry: Entry; count: number; bytes: number; last: number }

/** A record batch beyond this brings no more throughput, only latency and memory. */
const BATCH_BYTES = 1 << 20;

export interface LaneDeps {
  readonly send: (to: TopicPartition, batch: RecordBatch) => Promise<Produced>;
  /** An entry has all its records acknowledged. */
  readonly acked: (entry: Entry) => void;
  readonly failed: (entry: Entry, error: TicklakeError) => void;
}

/**
 * The way to one partition. What comes goes at once; while a batch is under way the next ones wait together, so that a batch is as large as the
 * broker is slow. Records keep their order.
 */
export class Lane {
  private queue: Chunk[] = [];
  private head = 0;
  private running: Promise<void> | undefined;
  private batch: RecordBatchBuilder | undefined;
  private readonly maxBytes: number;

  constructor(private readonly to: TopicPartition, info: Pick<TopicInfo, "maxMessageBytes">, private readonly deps: LaneDeps) {
    this.maxBytes = Math.min(BATCH_BYTES, info.maxMessageBytes ?? BATCH_BYTES);
  }

  add(entry: Entry, picks?: readonly number[]): void {
    this.queue.push({ entry, picks, next: 0, count: picks?.length ?? entry.elements.count });
    // Later in the same turn more may come.
    this.running ??= new Promise((resolve) => { setImmediate(resolve); }).then(() => this.run());
  }

  /** Resolves when all that was added is sent. Never rejects. */
  async idle(): Promise<void> { while (this.running) await this.running; }

  private async run(): Promise<void> {
    for (;;) {
      const batch = this.batch ??= new RecordBatchBuilder({ maxBytes: this.maxBytes });
      batch.reset();
      const slices = this.fill(batch);
      if (batch.count === 0) break;
      try {
        const { baseOffset } = await this.deps.send(this.to, batch);
        for (const { entry, count, bytes, last } of slices) {
          entry.acked(this.to.partition, baseOffset < 0n ? undefined : baseOffset + BigInt(last), count, bytes);
          if (entry.left === 0) this.deps.acked(entry);
        }
      } catch (caught) {
        this.refused(slices, asTicklakeError(caught, "KAFKA_FAILED"));
        // Where sending was stopped, the batch may still be on its way out: its memory is not used again.
        this.batch = undefined;
      }
    }
    // Idle topics hold no memory.
    this.batch = undefined;
    this.running = undefined;
  }

  /** Where the broker named the records that it refuses, it took the others: one bad record never costs its neighbours. */
  private refused(slices: readonly Slice[], error: TicklakeError): void {
    const named = error.details?.["refused"] as readonly number[] | undefined;
    for (const { entry, count, bytes, last } of slices) {
      if (!named || named.some((k) => k <= last && k > last - count)) this.deps.failed(entry, error);
      else {
        entry.acked(this.to.partition, undefined, count, bytes);
        if (entry.left === 0) this.deps.acked(entry);
      }
    }
  }

  /** Moves what fits into a batch. Chunks of messages that nobody wants any more are passed over. */
  private fill(batch: RecordBatchBuilder): Slice[] {
    const slices: Slice[] = [];
    for (let chunk = this.queue[this.head]; chunk; chunk = this.queue[this.head]) {
      const { entry, picks } = chunk;
      const slice: Slice = { entry, count: 0, bytes: -batch.bytes, last: 0 };
      try {
        for (; chunk.next < chunk.count && entry.wanted; chunk.next++) {
          const k = picks ? picks[chunk.next]! : chunk.next;
          if (batch.wouldExceed(entry.elements.mostBytes(k))) break;
          entry.elements.write(k, batch, entry.arrivedAt);
          slice.count++;
        }
      } catch (caught) {
        batch.discard();
        this.deps.failed(entry, asTicklakeError(caught, "RECORD_INVALID"));
      }
      slice.bytes += batch.bytes;
      slice.last = batch.count - 1;
      if (slice.count > 0) slices.push(slice);
      if (chunk.next < chunk.count && entry.wanted) return slices;
      this.shift();
    }
    return slices;
  }

  private shift(): void {
    this.queue[this.head++] = undefined as never;
    if (this.head === this.queue.length || (this.head > 1024 && this.head * 2 > this.queue.length)) {
      this.queue = this.queue.slice(this.head);
      this.head = 0;
    }
  }
}

/** Gives the records of a message to the lanes of their partitions: by key, those without one all to `keyless`. */
export function dispatch(entry: Entry, info: TopicInfo, keyless: number, laneOf: (partition: number) => { add(entry: Entry, picks?: readonly number[]): void }): void {
  const partitions = entry.elements.partitions(info.partitioner);
  if (!partitions) { laneOf(keyless).add(entry); return; }
  const picks = new Map<number, number[]>();
  for (let k = 0; k < partitions.length; k++) {
    const partition = partitions[k]! < 0 ? keyless : partitions[k]!;
    const list = picks.get(partition);
    if (list) list.push(k);
    else picks.set(partition, [k]);
  }
  for (const [partition, list] of picks) laneOf(partition).add(entry, list);
}
