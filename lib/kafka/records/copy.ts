/** Copying for decompressors: four bytes at once, a little too far. What lies behind the end is written over by what follows. */

/** Bytes that the output has behind its end for that. */
export const SLACK = 8;

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Where a call out of JavaScript is quicker than a loop. */
const LONG = 96;

/** Literals: `length` bytes of `input` from `from` on. */
export function copyIn(input: Buffer, source: DataView, from: number, output: Buffer, view: DataView, at: number, length: number): void {
  if (length > LONG) input.copy(output, at, from, from + length);
  else if (from + length + SLACK <= input.length) for (let k = 0; k < length; k += 4) view.setUint32(at + k, source.getUint32(from + k, true), true);
  else for (let k = 0; k < length; k++) output[at + k] = input[from + k]!;
}

/** Repeats what lies `offset` bytes back; where that overlaps what is written, a pattern repeats. */
export function copyBack(output: Buffer, view: DataView, at: number, offset: number, length: number): void {
  const end = at + length;
  if (offset >= length && length > LONG) output.copyWithin(at, at - offset, end - offset);
  else if (offset >= 4) for (let k = at; k < end; k += 4) view.setUint32(k, view.getUint32(k - offset, true), true);
  else if (offset === 1 && length > 16) output.fill(output[at - 1]!, at, end);
  else for (let k = at; k < end; k++) output[k] = output[k - offset]!;
}
