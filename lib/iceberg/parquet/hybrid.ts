/**
 * Parquet's hybrid of run lengths and bit packing, for levels and dictionary codes
 * (https://parquet.apache.org/docs/file-format/data-pages/encodings/#RLE).
 */
import type { Output } from "./output";

/** Bits that hold every value from 0 to `max`. */
export const bitWidth = (max: number): number => 32 - Math.clz32(max);

/** Appends `values[from .. to)`, each of at most `width` (1 to 16) bits. */
export function encodeHybrid(out: Output, values: Uint8Array | Uint16Array, from: number, to: number, width: number): void {
  let literals = from;
  let at = from;
  while (at < to) {
    const value = values[at]!;
    let end = at + 1;
    while (end < to && values[end] === value) end++;
    // Packed values come in groups of 8: a run first fills up the group that is open.
    const fill = -(at - literals) & 7;
    if (end - at - fill >= 8) {
      if (at + fill > literals) packed(out, values, literals, at + fill, width);
      repeated(out, value, end - at - fill, width);
      literals = end;
    }
    at = end;
  }
  if (to > literals) packed(out, values, literals, to, width);
}

/** One run of a single value: what the levels of a column without nulls are. */
export function encodeRun(out: Output, value: number, count: number, width: number): void {
  repeated(out, value, count, width);
}

function repeated(out: Output, value: number, count: number, width: number): void {
  out.varint(count * 2);
  out.byte(value & 255);
  if (width > 8) out.byte(value >>> 8);
}

/** Groups of 8 values; the last one is filled up with zeros. */
function packed(out: Output, values: Uint8Array | Uint16Array, from: number, to: number, width: number): void {
  const groups = (to - from + 7) >>> 3;
  out.varint(groups * 2 + 1);
  out.reserve(groups * width);
  const { bytes } = out;
  let position = out.length;
  const end = position + groups * width;
  let [buffer, bits] = [0, 0];
  for (let i = from; i < to; i++) {
    buffer |= values[i]! << bits;
    bits += width;
    while (bits >= 8) {
      bytes[position++] = buffer;
      buffer >>>= 8;
      bits -= 8;
    }
  }
  if (bits > 0) bytes[position++] = buffer;
  if (position < end) bytes.fill(0, position, end);
  out.length = end;
}
