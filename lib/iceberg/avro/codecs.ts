import { promisify } from "node:util";
import * as zlib from "node:zlib";
import { TicklakeError } from "../../errors";
import { zstdDecompress, ZstdUnavailable } from "../../zstd";

const deflateRaw = promisify(zlib.deflateRaw);
const inflateRaw = promisify(zlib.inflateRaw);

/** The codecs of Avro files that we write: Iceberg's default is deflate (it calls it gzip). */
export type AvroCodec = "null" | "deflate";

/** Compresses a block. Runs on a thread of zlib's pool: manifests grow to megabytes. */
export async function compressBlock(codec: AvroCodec, block: Uint8Array): Promise<Uint8Array> {
  return codec === "deflate" ? deflateRaw(block) : block;
}

/**
 * Decompresses a block of a file that any engine wrote.
 *
 * @throws TicklakeError TABLE_UNSUPPORTED for codecs that we have not
 */
export async function decompressBlock(codec: string, block: Uint8Array): Promise<Uint8Array> {
  switch (codec) {
    case "null":
      return block;
    case "deflate":
      return inflateRaw(block);
    case "snappy":
      return snappy(block);
    case "zstandard":
      return zstandard(block);
    default:
      throw new TicklakeError("TABLE_UNSUPPORTED", `The manifest is compressed with "${codec}". Readable are null, deflate, snappy and zstandard: rewrite the manifests with one of these.`);
  }
}

/** Avro's snappy blocks end with the CRC-32 (big-endian) of the plain bytes. */
function snappy(block: Uint8Array): Uint8Array {
  const plain = decompressSnappy(block.subarray(0, block.length - 4));
  const expected = Buffer.from(block.buffer, block.byteOffset + block.length - 4, 4).readUInt32BE();
  if (crc32(plain) !== expected) throw new TicklakeError("TABLE_CORRUPT", "A snappy block of the manifest has a wrong checksum: the file is damaged.");
  return plain;
}

/** No manifest is larger. */
const MAX_BLOCK_BYTES = 2 ** 30;

async function zstandard(block: Uint8Array): Promise<Uint8Array> {
  try {
    return await zstdDecompress(Buffer.from(block.buffer, block.byteOffset, block.byteLength), MAX_BLOCK_BYTES);
  } catch (error) {
    if (!(error instanceof ZstdUnavailable)) throw error;
    throw new TicklakeError("TABLE_UNSUPPORTED", "The manifest is compressed with zstandard, which this Node cannot read by itself, and the optional package fzstd is not installed. Use Node 22.15 or later, install without --omit=optional, or rewrite the manifests with deflate (write.avro.compression-codec).", { cause: error });
  }
}

/**
 * Raw snappy (https://github.com/google/snappy/blob/main/format_description.txt): the length as a varint, then literals and
 * copies from what was written before. Manifests are small, so simple is fast enough.
 */
export function decompressSnappy(input: Uint8Array): Uint8Array {
  let at = 0;
  let length = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = input[at++] ?? corrupt();
    length += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) break;
  }
  if (length > 2 ** 31 - 1) corrupt();
  const output = new Uint8Array(length);
  let end = 0;
  while (at < input.length) {
    const tag = input[at++]!;
    const kind = tag & 3;
    if (kind === 0) {
      let size = (tag >> 2) + 1;
      if (size > 60) {
        const bytes = size - 60;
        size = littleEndian(input, at, bytes) + 1;
        at += bytes;
      }
      if (at + size > input.length || end + size > length) corrupt();
      output.set(input.subarray(at, at + size), end);
      at += size;
      end += size;
      continue;
    }
    const size = kind === 1 ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1;
    const offset = kind === 1 ? ((tag >> 5) << 8) | (input[at++] ?? corrupt()) : littleEndian(input, at, kind === 2 ? 2 : 4);
    if (kind > 1) at += kind === 2 ? 2 : 4;
    if (offset === 0 || offset > end || end + size > length) corrupt();
    // Byte by byte: a copy may overlap what it writes (a run of one byte is a copy from offset 1).
    for (let i = 0; i < size; i++, end++) output[end] = output[end - offset]!;
  }
  if (end !== length) corrupt();
  return output;
}

function littleEndian(input: Uint8Array, at: number, bytes: number): number {
  if (at + bytes > input.length) corrupt();
  let value = 0;
  for (let i = 0; i < bytes; i++) value += input[at + i]! * 2 ** (8 * i);
  return value;
}

function corrupt(): never {
  throw new TicklakeError("TABLE_CORRUPT", "A snappy block of the manifest is damaged.");
}

let table: Uint32Array | undefined;

/** CRC-32 as zlib has it (`zlib.crc32` itself came with Node 22). */
export function crc32(bytes: Uint8Array): number {
  table ??= Uint32Array.from({ length: 256 }, (_, n) => {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
    return c >>> 0;
  });
  let crc = 0xffffffff;
  for (const byte of bytes) crc = table[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
