import type { RecordSet } from "../types";
import { recordBytes } from "./decode";

export interface BatchLimits {
  readonly maxRecords: number;
  readonly maxBytes: number;
  /** Ends the batch before this offset (unless it begins there). */
  readonly cutAt?: bigint | undefined;
}

/** Records of one partition that are sent together. */
export interface RecordBatchSlice {
  /** Slices of what was fetched, in order. */
  readonly sets: readonly RecordSet[];
  readonly count: number;
  /** Of keys and values. */
  readonly bytes: number;
  readonly firstOffset: bigint;
  readonly lastOffset: bigint;
  readonly lastTimestamp: number;
  /** Where reading goes on after it. */
  readonly nextOffset: bigint;
}

/** What was fetched of a partition and not yet sent. */
export class RecordBuffer {
  private sets: RecordSet[] = [];
  /** Records of the first set that are gone. */
  private head = 0;
  records = 0;
  bytes = 0;
  /** Where fetching goes on: behind the last record and the gap after it. */
  end: bigint | undefined;

  push(set: RecordSet): void {
    this.sets.push(set);
    this.records += set.count;
    for (let index = 0; index < set.count; index++) this.bytes += recordBytes(set, index);
    this.end = set.nextOffset;
  }

  /** Reading went on without records. */
  advance(to: bigint): void { if (this.end === undefined || to > this.end) this.end = to; }

  clear(): void {
    this.sets = [];
    this.head = this.records = this.bytes = 0;
    this.end = undefined;
  }

  get firstOffset(): bigint | undefined { return this.sets[0]?.offset(this.head); }

  /** Whether waiting for more would not make the next batch larger. */
  isFull({ maxRecords, maxBytes, cutAt }: BatchLimits): boolean {
    return this.records >= maxRecords || this.bytes >= maxBytes || (cutAt !== undefined && this.end !== undefined && this.end >= cutAt);
  }

  /** Takes the next batch: at least one record, as many as the limits allow. Undefined when there is none. */
  take({ maxRecords, maxBytes, cutAt }: BatchLimits): RecordBatchSlice | undefined {
    const first = this.firstOffset;
    if (first === undefined) return undefined;
    const cut = cutAt !== undefined && cutAt > first ? cutAt : undefined;
    const sets: RecordSet[] = [];
    let count = 0, bytes = 0, nextOffset = first;
    for (let set = this.sets[0], full = false; set && !full; set = this.sets[0]) {
      const begin = this.head;
      let index = begin;
      for (; index < set.count; index++) {
        const size = recordBytes(set, index);
        if (count > 0 && (count >= maxRecords || bytes + size > maxBytes || (cut !== undefined && set.offset(index) >= cut))) { full = true; break; }
        count++;
        bytes += size;
      }
      if (index > begin) sets.push(begin === 0 && index === set.count ? set : set.slice(begin, index));
      if (index < set.count) {
        if (index > begin) nextOffset = set.offset(index - 1) + 1n;
        this.head = index;
      } else {
        nextOffset = set.nextOffset;
        this.sets.shift();
        this.head = 0;
      }
    }
    this.records -= count;
    this.bytes -= bytes;
    // Everything is taken: the gap that was passed behind it belongs to this batch.
    if (this.sets.length === 0 && this.end !== undefined && this.end > nextOffset) nextOffset = this.end;
    const last = sets.at(-1)!;
    return { sets, count, bytes, firstOffset: first, lastOffset: last.offset(last.count - 1), lastTimestamp: last.timestamps[last.count - 1]!, nextOffset };
  }
}

/** The records `from` to `to` (exclusive) of a batch. */
export function subBatch(batch: RecordBatchSlice, from: number, to: number): RecordBatchSlice {
  if (from === 0 && to === batch.count) return batch;
  const sets: RecordSet[] = [];
  let start = 0, bytes = 0;
  for (const set of batch.sets) {
    const begin = Math.max(from - start, 0), end = Math.min(to - start, set.count);
    if (begin < end) {
      sets.push(begin === 0 && end === set.count ? set : set.slice(begin, end));
      for (let index = begin; index < end; index++) bytes += recordBytes(set, index);
    }
    start += set.count;
  }
  const first = sets[0]!, last = sets.at(-1)!;
  const lastOffset = last.offset(last.count - 1);
  return {
    sets, count: to - from, bytes, firstOffset: first.offset(0), lastOffset, lastTimestamp: last.timestamps[last.count - 1]!,
    nextOffset: to === batch.count ? batch.nextOffset : lastOffset + 1n,
  };
}

/** A batch and what follows it. */
export function joinBatches(a: RecordBatchSlice, b: RecordBatchSlice): RecordBatchSlice {
  return { ...b, sets: [...a.sets, ...b.sets], count: a.count + b.count, bytes: a.bytes + b.bytes, firstOffset: a.firstOffset };
}

/** Index in a batch of the first record at or above an offset. */
export function indexOfOffset(batch: RecordBatchSlice, offset: bigint): number {
  let index = 0;
  for (const set of batch.sets) for (let k = 0; k < set.count; k++, index++) if (set.offset(k) >= offset) return index;
  return index;
}

/** Where messages end when a batch is sent in as few as the limits allow: ascending, the last one is its count. */
export function partsOf(batch: RecordBatchSlice, { maxRecords, maxBytes }: BatchLimits): number[] {
  const parts: number[] = [];
  let total = 0, count = 0, bytes = 0;
  for (const set of batch.sets) {
    for (let index = 0; index < set.count; index++, total++) {
      const size = recordBytes(set, index);
      if (count > 0 && (count >= maxRecords || bytes + size > maxBytes)) {
        parts.push(total);
        count = bytes = 0;
      }
      count++;
      bytes += size;
    }
  }
  return [...parts, total];
}
