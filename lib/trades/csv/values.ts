import { MAX_TEXT } from "../schema";
import type { TradeId } from "../types";

/** Numbers and short texts straight from bytes. Nothing here allocates for a well-formed field of usual length. */

const POW10 = Array.from({ length: 23 }, (_, i) => Number(`1e${i}`));
const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?$/;
const WHOLE = /^(\d+)(?:\.0*)?$/;
const MAX_ID_TEXT = "9223372036854775807";

/**
 * A decimal number, correctly rounded; NaN for anything else (empty, `NaN`, hexadecimal, thousands separators).
 * Up to 15 digits mantissa and power of ten are exact doubles, so one division rounds once.
 */
export function decimal(buf: Buffer, start: number, end: number): number {
  let p = start, negative = false;
  if (p < end && buf[p] === 45) { negative = true; p++; }
  let mantissa = 0, digits = 0, scale = -1;
  for (; p < end; p++) {
    const c = buf[p]! - 48;
    if (c >= 0 && c <= 9) {
      mantissa = mantissa * 10 + c;
      digits++;
      if (scale >= 0) scale++;
    } else if (c === -2 && scale < 0) {
      scale = 0;
    } else return slowDecimal(buf, start, end);
  }
  if (digits === 0 || digits > 15) return slowDecimal(buf, start, end);
  const value = scale > 0 ? mantissa / POW10[scale]! : mantissa;
  return negative ? -value : value;
}

function slowDecimal(buf: Buffer, start: number, end: number): number {
  const text = buf.toString("latin1", start, end).trim();
  return DECIMAL.test(text) ? Number(text) : NaN;
}

/** A whole number of billionths (fixed-point price), correctly rounded; NaN for anything else. */
export function billionths(buf: Buffer, start: number, end: number): number {
  const text = buf.toString("latin1", start, end).trim();
  const m = /^(-?)(\d{1,20})$/.exec(text);
  if (!m) return NaN;
  const digits = m[2]!.padStart(10, "0");
  return Number(`${m[1]}${digits.slice(0, -9)}.${digits.slice(-9)}`);
}

/**
 * A trade id: a number up to 2^53 - 1, its decimal text beyond, never rounded; undefined for anything that is no whole
 * number in the 63-bit range. `123.0` is taken as 123: pandas writes so once a column has a gap.
 */
export function tradeId(buf: Buffer, start: number, end: number): TradeId | undefined {
  if (end - start <= 15 && end > start) {
    let value = 0, p = start;
    for (; p < end; p++) {
      const c = buf[p]! - 48;
      if (c < 0 || c > 9) break;
      value = value * 10 + c;
    }
    if (p === end) return value;
  }
  const m = WHOLE.exec(buf.toString("latin1", start, Math.min(end, start + 64)).trim());
  if (!m) return undefined;
  const digits = m[1]!.replace(/^0+(?=\d)/, "");
  const value = Number(digits);
  if (Number.isSafeInteger(value)) return value;
  return digits.length < 19 || (digits.length === 19 && digits <= MAX_ID_TEXT) ? digits : undefined;
}

/** First and last byte that are no blanks, as a range packed by the caller: trims in place. */
export function trimStart(buf: Buffer, start: number, end: number): number {
  while (start < end && buf[start]! <= 32) start++;
  return start;
}
export function trimEnd(buf: Buffer, start: number, end: number): number {
  while (end > start && buf[end - 1]! <= 32) end--;
  return end;
}

const SLOTS = 4096;

/**
 * Values by the bytes that they were made of: symbols, codes and lists of conditions repeat endlessly, so each is
 * decoded once. A direct-mapped table: a collision costs a decode, never memory.
 */
export class ByteCache<V> {
  private readonly keys: (Buffer | undefined)[] = new Array<Buffer | undefined>(SLOTS).fill(undefined);
  private readonly values: (V | undefined)[] = new Array<V | undefined>(SLOTS).fill(undefined);

  /** `make` decodes on a miss; its result is kept, so it must not be changed by anyone. */
  constructor(private readonly make: (bytes: Buffer) => V) {}

  get(buf: Buffer, start: number, end: number): V {
    const length = end - start;
    let hash = 0x811c9dc5 ^ length;
    for (let p = start; p < end; p++) hash = Math.imul(hash ^ buf[p]!, 0x01000193);
    const slot = (hash ^ (hash >>> 15)) & (SLOTS - 1);
    const key = this.keys[slot];
    if (key !== undefined && key.length === length) {
      let i = 0;
      while (i < length && key[i] === buf[start + i]) i++;
      if (i === length) return this.values[slot] as V;
    }
    const bytes = Buffer.from(buf.subarray(start, end));
    const value = this.make(bytes);
    if (length <= 256) {
      this.keys[slot] = bytes;
      this.values[slot] = value;
    }
    return value;
  }
}

/** Text of a field: quotes resolved, blanks around it dropped; undefined when longer than a symbol or code may be. */
export function shortText(bytes: Buffer, doubled: boolean): string | undefined {
  let text = bytes.toString("utf8");
  if (doubled) text = text.replaceAll('""', '"');
  text = text.trim();
  return text.length > MAX_TEXT ? undefined : text;
}
