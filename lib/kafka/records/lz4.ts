/**
 * LZ4 in its frame format, as Kafka carries it since message format v2
 * (https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md, lz4_Block_format.md). Checksums inside are passed over: the CRC of the
 * batch covers the same bytes.
 */
import { SLACK, copyBack, copyIn, viewOf } from "./copy";

const MAGIC = 0x184d2204;
const SKIPPABLE = 0x184d2a50;
/** Independent blocks of at most 64 KiB without checksums, as the Java client writes and wants them; the last byte is the checksum of these two. */
const FRAME_HEADER = Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]);
const BLOCK = 1 << 16;
const UNCOMPRESSED = 0x80000000;

/** @throws Error saying what is wrong; also when there would be more than `limit` bytes */
export function lz4Decompress(input: Buffer, limit: number): Buffer {
  const source = viewOf(input);
  let capacity = Math.min(limit, Math.max(BLOCK, input.length * 4));
  let output = Buffer.allocUnsafeSlow(capacity + SLACK);
  let view = viewOf(output);
  let length = 0;
  let at = 0;
  const need = (bytes: number, what: string): void => {
    if (bytes > input.length - at) throw new Error(`${what} is cut off`);
  };
  const room = (bytes: number): void => {
    if (length + bytes <= capacity) return;
    capacity = Math.min(limit, Math.max(length + bytes, capacity * 2));
    const grown = Buffer.allocUnsafeSlow(capacity + SLACK);
    output.copy(grown, 0, 0, length);
    output = grown;
    view = viewOf(grown);
  };
  while (at < input.length) {
    need(8, "the frame");
    const magic = input.readUInt32LE(at);
    if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE) {
      const skipped = 8 + input.readUInt32LE(at + 4);
      need(skipped, "a frame to skip");
      at += skipped;
      continue;
    }
    if (magic !== MAGIC) throw new Error("this is not LZ4's frame format");
    const flags = input[at + 4]!;
    if (flags >>> 6 !== 1) throw new Error(`version ${flags >>> 6} of LZ4's frame format is unknown`);
    const size = (input[at + 5]! >>> 4) & 7;
    if (size < 4) throw new Error("the size of its blocks is unknown");
    const mostOfBlock = 1 << (8 + 2 * size);
    const independent = (flags & 0x20) !== 0;
    // Content size and dictionary id, then the header's checksum.
    at += 6 + (flags & 0x08 ? 8 : 0) + (flags & 0x01 ? 4 : 0) + 1;
    const frameStart = length;
    for (;;) {
      need(4, "a block");
      const word = input.readUInt32LE(at);
      at += 4;
      if (word === 0) break;
      const bytes = word & ~UNCOMPRESSED;
      need(bytes, "a block");
      if (bytes > mostOfBlock) throw new Error("a block is larger than its frame allows");
      if (word >= UNCOMPRESSED) {
        if (bytes > limit - length) throw new RangeError(`more than ${limit} bytes`);
        room(bytes);
        input.copy(output, length, at, at + bytes);
        length += bytes;
      } else {
        room(Math.min(mostOfBlock, limit - length));
        const most = Math.min(length + mostOfBlock, capacity);
        const end = block(input, source, at, at + bytes, output, view, length, most, independent ? length : frameStart);
        if (end < 0) throw most - length < mostOfBlock ? new RangeError(`more than ${limit} bytes`) : new Error("a block holds more than its frame allows");
        length = end;
      }
      at += bytes + (flags & 0x10 ? 4 : 0);
    }
    if (flags & 0x04) at += 4;
  }
  return output.subarray(0, length);
}

/** Reads one block; matches reach back to `floor` at most. Returns the end in `output`, or -1 when that would lie behind `most`. */
function block(input: Buffer, source: DataView, start: number, end: number, output: Buffer, view: DataView, begin: number, most: number, floor: number): number {
  let from = start;
  let at = begin;
  while (from < end) {
    const token = input[from++]!;
    let length = token >>> 4;
    if (length === 15) {
      let more: number;
      do {
        if (from >= end) throw new Error("a literal's length is cut off");
        more = input[from++]!;
        length += more;
      } while (more === 255);
    }
    if (length > 0) {
      if (length > end - from) throw new Error("a literal is longer than the block");
      if (length > most - at) return -1;
      copyIn(input, source, from, output, view, at, length);
      from += length;
      at += length;
    }
    // The last sequence has literals only.
    if (from === end) break;
    if (end - from < 2) throw new Error("a match is cut off");
    const offset = input[from]! | (input[from + 1]! << 8);
    from += 2;
    length = token & 15;
    if (length === 15) {
      let more: number;
      do {
        if (from >= end) throw new Error("a match's length is cut off");
        more = input[from++]!;
        length += more;
      } while (more === 255);
    }
    length += 4;
    if (offset === 0 || offset > at - floor) throw new Error("a match reaches back too far");
    if (length > most - at) return -1;
    copyBack(output, view, at, offset, length);
    at += length;
  }
  return at;
}

const HASH_BITS = 14;
/** Positions within a block, plus one; of 64 KiB, so that the last one needs 17 bits. */
const table = new Int32Array(1 << HASH_BITS);
/** The last match begins 12 bytes before the end of a block, and the last 5 bytes are literals. */
const LAST_MATCH = 12;
const LAST_LITERALS = 5;

/** One frame, behind `headroom` free bytes. */
export function lz4Compress(input: Uint8Array, headroom: number): Buffer {
  const blocks = Math.ceil(input.length / BLOCK);
  const output = Buffer.allocUnsafe(headroom + FRAME_HEADER.length + input.length + blocks * (4 + Math.ceil(Math.min(BLOCK, input.length) / 255) + 16) + 4);
  FRAME_HEADER.copy(output, headroom);
  let at = headroom + FRAME_HEADER.length;
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  for (let from = 0; from < input.length; from += BLOCK) {
    const to = Math.min(from + BLOCK, input.length);
    const end = compressBlock(input, view, from, to, output, at + 4);
    if (end - at - 4 < to - from) {
      output.writeUInt32LE(end - at - 4, at);
      at = end;
    } else {
      output.writeUInt32LE(((to - from) | UNCOMPRESSED) >>> 0, at);
      output.set(input.subarray(from, to), at + 4);
      at += 4 + to - from;
    }
  }
  return output.subarray(0, output.writeUInt32LE(0, at));
}

function compressBlock(input: Uint8Array, view: DataView, start: number, end: number, output: Buffer, begin: number): number {
  let out = begin;
  let at = start;
  let literal = start;
  const limit = end - LAST_MATCH;
  const mostMatch = end - LAST_LITERALS;
  if (at < limit) {
    table.fill(0);
    let skip = 64;
    while (at < limit) {
      const word = view.getUint32(at, true);
      const slot = Math.imul(word, 0x9e3779b1) >>> (32 - HASH_BITS);
      const candidate = start + table[slot]! - 1;
      table[slot] = at - start + 1;
      if (candidate < start || view.getUint32(candidate, true) !== word) {
        // The longer nothing matches, the larger the steps: data that cannot be compressed costs little.
        at += skip++ >>> 6;
        continue;
      }
      let length = 4;
      while (at + length + 4 <= mostMatch && view.getUint32(candidate + length, true) === view.getUint32(at + length, true)) length += 4;
      while (at + length < mostMatch && input[candidate + length] === input[at + length]) length++;
      out = sequence(input, literal, at, output, out, at - candidate, length - 4);
      at += length;
      literal = at;
      skip = 64;
      if (at < limit) table[Math.imul(view.getUint32(at - 2, true), 0x9e3779b1) >>> (32 - HASH_BITS)] = at - 2 - start + 1;
    }
  }
  const rest = end - literal;
  output[out++] = rest < 15 ? rest << 4 : 0xf0;
  if (rest >= 15) out = more(output, out, rest - 15);
  output.set(input.subarray(literal, end), out);
  return out + rest;
}

function sequence(input: Uint8Array, from: number, to: number, output: Buffer, at: number, offset: number, matchLength: number): number {
  const literals = to - from;
  output[at++] = ((literals < 15 ? literals : 15) << 4) | (matchLength < 15 ? matchLength : 15);
  if (literals >= 15) at = more(output, at, literals - 15);
  if (literals <= 32) for (let k = from; k < to; k++) output[at++] = input[k]!;
  else {
    output.set(input.subarray(from, to), at);
    at += literals;
  }
  output[at++] = offset;
  output[at++] = offset >>> 8;
  return matchLength >= 15 ? more(output, at, matchLength - 15) : at;
}

function more(output: Buffer, at: number, length: number): number {
  let rest = length;
  while (rest >= 255) {
    output[at++] = 255;
    rest -= 255;
  }
  output[at++] = rest;
  return at;
}
