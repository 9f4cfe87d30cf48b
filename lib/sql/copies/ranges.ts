/**
 * Byte ranges of a file: which are there, which are missing, how to ask for them in few requests. Pure; no I/O.
 */

/** Bytes from `start` up to, not including, `end`. */
export interface ByteRange { readonly start: number; readonly end: number }

/** Sorted ranges that neither overlap nor touch; what lies at most `gap` bytes apart becomes one. */
export function merge(ranges: readonly ByteRange[], gap = 0): ByteRange[] {
  const merged: { start: number; end: number }[] = [];
  for (const range of [...ranges].filter(({ start, end }) => end > start).sort((a, b) => a.start - b.start)) {
    const last = merged.at(-1);
    if (last && range.start <= last.end + gap) last.end = Math.max(last.end, range.end);
    else merged.push({ ...range });
  }
  return merged;
}

/** The parts of `wanted` that `held` lacks. */
export function missing(wanted: readonly ByteRange[], held: readonly ByteRange[]): ByteRange[] {
  const there = merge(held);
  const out: ByteRange[] = [];
  for (const range of merge(wanted)) {
    let at = range.start;
    for (const { start, end } of there) {
      if (end <= at) continue;
      if (start >= range.end) break;
      if (start > at) out.push({ start: at, end: start });
      at = Math.max(at, end);
    }
    if (at < range.end) out.push({ start: at, end: range.end });
  }
  return out;
}

/** Cuts ranges into pieces of at most `size` bytes. */
export function pieces(ranges: readonly ByteRange[], size: number): ByteRange[] {
  const out: ByteRange[] = [];
  for (const { start, end } of ranges) {
    for (let at = start; at < end; at += size) out.push({ start: at, end: Math.min(end, at + size) });
  }
  return out;
}

export function bytesOf(ranges: readonly ByteRange[]): number {
  return ranges.reduce((total, { start, end }) => total + end - start, 0);
}
