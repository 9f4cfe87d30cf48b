/** The records of one batch as an index into its bytes. This is the innermost loop of reading: no object, no bigint a record. */
import type { RecordSet } from "../types";

/** Filled in place; one for all batches of a response. */
export interface GrowingIndex extends Pick<RecordSet, "offsetDelta" | "timestamps" | "keyStart" | "keyEnd" | "valueStart" | "valueEnd" | "headersStart"> {
  /** Records so far. */
  count: number;
}

export function newIndex(capacity: number): GrowingIndex {
  return {
    offsetDelta: new Float64Array(capacity), timestamps: new Float64Array(capacity),
    keyStart: new Int32Array(capacity), keyEnd: new Int32Array(capacity), valueStart: new Int32Array(capacity),
    valueEnd: new Int32Array(capacity), headersStart: new Int32Array(capacity), count: 0,
  };
}

/** Where the records of a batch lie and how their deltas are meant. */
export interface BatchSpan {
  readonly from: number;
  readonly to: number;
  readonly count: number;
  readonly baseTimestamp: number;
  /** The broker's clock counts for all of them (LogAppendTime). */
  readonly appendTimestamp?: number;
  readonly lastOffsetDelta: number;
  /** Added to the offset deltas of the batch, which makes them those of the set. */
  readonly shift: number;
  /** Records with a smaller delta are below the position asked for. */
  readonly minDelta: number;
}

/** Where the last number read ended. A number that runs past the bytes reads zeros; the caller compares with the end it knows. */
let next = 0;

function varint(data: Uint8Array, from: number): number {
  let at = from;
  let value = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = data[at++]!;
    value |= (byte & 0x7f) << shift;
    if (!(byte > 0x7f)) break;
  }
  next = at;
  return (value >>> 1) ^ -(value & 1);
}

function varlong(data: Uint8Array, from: number): number {
  let at = from;
  let low = 0;
  let high = 0;
  let scale = 1;
  for (let n = 0; n < 10; n++) {
    const byte = data[at++]!;
    if (n < 4) low |= (byte & 0x7f) << (n * 7);
    else {
      high += (byte & 0x7f) * scale;
      scale *= 128;
    }
    if (!(byte > 0x7f)) break;
  }
  next = at;
  const half = high * 0x8000000 + (low >>> 1);
  return low & 1 ? -half - 1 : half;
}

/** Where the headers end that begin at `from`, or -1 when they run past `stop`. */
function passHeaders(data: Uint8Array, from: number, stop: number): number {
  const count = varint(data, from);
  let at = next;
  if (count < 0) return -1;
  // Each takes two bytes at least, so that a count which is a lie ends here and not after 2^31 rounds.
  if (count * 2 > stop - at) return -1;
  for (let k = 0; k < count; k++) {
    const name = varint(data, at);
    if (name < 0 || name > stop - next) return -1;
    const value = varint(data, next + name);
    if (value > stop - next) return -1;
    at = value > 0 ? next + value : next;
  }
  return at > stop ? -1 : at;
}

/**
 * Adds the records of a batch to `index`. Key and value lengths below zero are null, as the Java client has it.
 *
 * @returns undefined, or why the batch cannot be as its header says; `index.count` is then what it was before
 */
export function scanRecords(data: Uint8Array, batch: BatchSpan, index: GrowingIndex): string | undefined {
  const { to, baseTimestamp, appendTimestamp, shift, minDelta, lastOffsetDelta } = batch;
  const { offsetDelta, timestamps, keyStart, keyEnd, valueStart, valueEnd, headersStart } = index;
  let at = batch.from;
  let k = index.count;
  let previous = -1;
  for (let left = batch.count; left > 0; left--) {
    if (at >= to) return `it says that it holds ${batch.count} records and holds ${batch.count - left}`;
    let byte = data[at]!;
    let length: number;
    if (byte < 0x80) {
      length = (byte >>> 1) ^ -(byte & 1);
      at++;
    } else {
      length = varint(data, at);
      at = next;
    }
    if (length < 6 || length > to - at) return `record ${batch.count - left + 1} is longer than the batch`;
    const stop = at + length;
    at++; // attributes of the record: none are defined
    byte = data[at]!;
    let timestampDelta: number;
    if (byte < 0x80) {
      timestampDelta = (byte >>> 1) ^ -(byte & 1);
      at++;
    } else {
      timestampDelta = varlong(data, at);
      at = next;
    }
    byte = data[at]!;
    let delta: number;
    if (byte < 0x80) {
      delta = (byte >>> 1) ^ -(byte & 1);
      at++;
    } else {
      delta = varint(data, at);
      at = next;
    }
    if (delta <= previous || delta > lastOffsetDelta) return `the offset of record ${batch.count - left + 1} is out of order`;
    previous = delta;
    byte = data[at]!;
    let size: number;
    if (byte < 0x80) {
      size = (byte >>> 1) ^ -(byte & 1);
      at++;
    } else {
      size = varint(data, at);
      at = next;
    }
    if (size > stop - at) return `the key of record ${batch.count - left + 1} is longer than the record`;
    if (size < 0) keyStart[k] = keyEnd[k] = -1;
    else {
      keyStart[k] = at;
      keyEnd[k] = at += size;
    }
    byte = data[at]!;
    if (byte < 0x80) {
      size = (byte >>> 1) ^ -(byte & 1);
      at++;
    } else {
      size = varint(data, at);
      at = next;
    }
    if (size > stop - at) return `the value of record ${batch.count - left + 1} is longer than the record`;
    if (size < 0) valueStart[k] = valueEnd[k] = -1;
    else {
      valueStart[k] = at;
      valueEnd[k] = at += size;
    }
    headersStart[k] = at;
    if (data[at] === 0) at++;
    else at = passHeaders(data, at, stop);
    if (at !== stop) return `record ${batch.count - left + 1} does not end where it says`;
    if (delta < minDelta) continue;
    offsetDelta[k] = shift + delta;
    timestamps[k] = appendTimestamp ?? baseTimestamp + timestampDelta;
    k++;
  }
  if (at !== to) return `bytes follow its last record`;
  index.count = k;
  return undefined;
}
