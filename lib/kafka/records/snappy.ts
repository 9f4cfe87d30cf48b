/**
 * Snappy as Kafka carries it: the Java client's stream (xerial: a header, then chunks with their lengths) or one raw block, as librdkafka
 * may write it. Formats: https://github.com/google/snappy/blob/main/format_description.txt, SnappyOutputStream of snappy-java.
 */
import { Output } from "../../iceberg/parquet/output";
import { maxCompressedLength, snappyCompress } from "../../iceberg/parquet/snappy";
import { SLACK, copyBack, copyIn, viewOf } from "./copy";

const XERIAL = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
/** Magic, version, lowest compatible version. */
const XERIAL_HEADER = 16;
const FIRST_OF_MAGIC = XERIAL.readInt32BE(0);
/** Bytes of a chunk before compression: matches do not reach further back than 64 KiB. */
const CHUNK = 1 << 16;
/** No block grows by more than this when it is read: a copy of 64 bytes takes three. A header that promises more is a lie. */
const MOST_EXPANSION = 24;

/** @throws Error saying what is wrong; also when there would be more than `limit` bytes */
export function snappyDecompress(input: Buffer, limit: number): Buffer {
  const chunks = chunksOf(input);
  let total = 0;
  for (const chunk of chunks) total += promisedLength(chunk);
  if (total > limit) throw new RangeError(`more than ${limit} bytes`);
  const output = Buffer.allocUnsafeSlow(total + SLACK);
  const view = viewOf(output);
  let at = 0;
  for (const chunk of chunks) at = block(chunk, output, view, at);
  return output.subarray(0, total);
}

function chunksOf(input: Buffer): Buffer[] {
  if (input.length < XERIAL_HEADER || input.compare(XERIAL, 0, XERIAL.length, 0, XERIAL.length) !== 0) return [input];
  const chunks: Buffer[] = [];
  let at = XERIAL_HEADER;
  while (at < input.length) {
    if (input.length - at < 4) throw new Error("a chunk is cut off");
    const length = input.readInt32BE(at);
    if (length === FIRST_OF_MAGIC) {
      // Streams may follow one another, each with its header.
      at += XERIAL_HEADER;
      continue;
    }
    at += 4;
    if (length < 0 || length > input.length - at) throw new Error("a chunk is longer than the data");
    if (length > 0) chunks.push(input.subarray(at, at + length));
    at += length;
  }
  return chunks;
}

function promisedLength(input: Buffer): number {
  let length = 0;
  let scale = 1;
  for (let at = 0; at < 5; at++) {
    const byte = input[at];
    if (byte === undefined) break;
    length += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      if (length > input.length * MOST_EXPANSION) throw new Error("it promises more than it can hold");
      return length;
    }
    scale *= 128;
  }
  throw new Error("its length cannot be read");
}

/** Appends one raw block at `start` of `output` and returns its end. */
function block(input: Buffer, output: Buffer, view: DataView, start: number): number {
  const end = start + promisedLength(input);
  const source = viewOf(input);
  let from = 0;
  while (input[from]! > 0x7f) from++;
  from++;
  let at = start;
  const last = input.length;
  while (from < last) {
    const tag = input[from++]!;
    let length: number;
    let offset: number;
    switch (tag & 3) {
      case 0: {
        length = tag >>> 2;
        if (length > 59) {
          const bytes = length - 59;
          if (bytes > last - from) throw new Error("a literal's length is cut off");
          length = input.readUIntLE(from, bytes);
          from += bytes;
        }
        length++;
        if (length > last - from || length > end - at) throw new Error("a literal is longer than the data");
        copyIn(input, source, from, output, view, at, length);
        from += length;
        at += length;
        continue;
      }
      case 1:
        length = ((tag >>> 2) & 7) + 4;
        offset = ((tag >>> 5) << 8) | (input[from] ?? 0);
        from++;
        break;
      case 2:
        length = (tag >>> 2) + 1;
        offset = (input[from] ?? 0) | ((input[from + 1] ?? 0) << 8);
        from += 2;
        break;
      default:
        length = (tag >>> 2) + 1;
        offset = ((input[from] ?? 0) | ((input[from + 1] ?? 0) << 8) | ((input[from + 2] ?? 0) << 16) | ((input[from + 3] ?? 0) << 24)) >>> 0;
        from += 4;
    }
    if (from > last) throw new Error("a copy is cut off");
    if (offset === 0 || offset > at - start) throw new Error("a copy reaches back too far");
    if (length > end - at) throw new Error("it holds more than it promised");
    copyBack(output, view, at, offset, length);
    at += length;
  }
  if (at !== end) throw new Error("it holds less than it promised");
  return end;
}

/** The Java client's stream, behind `headroom` free bytes. */
export function xerialCompress(input: Uint8Array, headroom: number): Buffer {
  const chunks = Math.ceil(input.length / CHUNK);
  const output = new Output(headroom + XERIAL_HEADER + chunks * (4 + maxCompressedLength(Math.min(CHUNK, input.length))));
  output.length = headroom;
  output.write(XERIAL);
  output.write(Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 1));
  for (let from = 0; from < input.length; from += CHUNK) {
    output.reserve(4);
    const at = output.length;
    output.length += 4;
    snappyCompress(output, input.subarray(from, Math.min(from + CHUNK, input.length)));
    new DataView(output.bytes.buffer).setInt32(at, output.length - at - 4);
  }
  return Buffer.from(output.bytes.buffer, 0, output.length);
}
