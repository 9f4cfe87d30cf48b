/** The codecs of record batches: which number stands for which, and both directions of each. */
import { promisify } from "node:util";
import zlib from "node:zlib";
import { TicklakeError } from "../../errors";
import { zstdCompress, zstdDecompress, ZstdUnavailable, zstdWrites } from "../../zstd";
import type { Compression } from "../types";
import { lz4Compress, lz4Decompress } from "./lz4";
import { snappyDecompress, xerialCompress } from "./snappy";

/** By the lowest three bits of a batch's attributes. */
const CODECS: readonly Compression[] = ["none", "gzip", "snappy", "lz4", "zstd"];

/** The number of a codec in the attributes. */
export const codecNumber = (compression: Compression): number => CODECS.indexOf(compression);

/** What this Node can write; it reads all of them. */
export function supportedCompressions(): Compression[] {
  return CODECS.filter((name) => name !== "zstd" || zstdWrites);
}

/** @throws TicklakeError CONFIG_INVALID when this Node cannot write it */
export function checkCompression(compression: Compression): void {
  if (!CODECS.includes(compression)) throw new TicklakeError("CONFIG_INVALID", `compression: "${String(compression)}" is unknown. Use ${supportedCompressions().join(", ")}.`);
  if (!supportedCompressions().includes(compression)) throw new TicklakeError("CONFIG_INVALID", `compression: ${compression} needs Node 22.15 or later; this is ${process.version}. Use lz4, snappy, gzip or none.`);
}

const gzip = promisify<zlib.InputType, zlib.ZlibOptions, Buffer>(zlib.gzip);
const gunzip = promisify<zlib.InputType, zlib.ZlibOptions, Buffer>(zlib.gunzip);
/** Pieces in which zlib hands out what it read; its own 16 KiB make a call each. */
const CHUNK = 1 << 17;

/**
 * The records of a batch as `number` has them, behind `headroom` free bytes. gzip and zstd compress on another thread.
 *
 * @throws TicklakeError CONFIG_INVALID when this Node cannot write it
 */
export async function compress(compression: Compression, records: Buffer, headroom: number): Promise<Buffer> {
  checkCompression(compression);
  switch (compression) {
    case "none": return behind(headroom, records);
    case "gzip": return behind(headroom, await gzip(records, { chunkSize: CHUNK }));
    case "snappy": return xerialCompress(records, headroom);
    case "lz4": return lz4Compress(records, headroom);
    case "zstd": return behind(headroom, await zstdCompress(records));
  }
}

function behind(headroom: number, bytes: Buffer): Buffer {
  const whole = Buffer.allocUnsafe(headroom + bytes.length);
  bytes.copy(whole, headroom);
  return whole;
}

/**
 * The records of a batch, decompressed.
 *
 * @param limit bytes that come out at most: a few kilobytes can be made to become gigabytes
 * @throws TicklakeError KAFKA_UNSUPPORTED (a codec without a name, zstd where nothing here reads it), KAFKA_RECORD_DAMAGED (too large, or not what the codec writes)
 */
export async function decompress(number: number, bytes: Buffer, limit: number): Promise<Buffer> {
  const name = CODECS[number];
  if (name === undefined) {
    throw new TicklakeError("KAFKA_UNSUPPORTED", `It is compressed with codec ${number}, which no Kafka up to 4.4 has. Have the producer use ${CODECS.join(", ")}.`);
  }
  try {
    switch (name) {
      case "none": return bytes;
      case "gzip": return await gunzip(bytes, { maxOutputLength: limit, chunkSize: CHUNK });
      case "snappy": return snappyDecompress(bytes, limit);
      case "lz4": return lz4Decompress(bytes, limit);
      case "zstd": return await zstdDecompress(bytes, limit);
    }
  } catch (error) {
    // The records are as good as ever: another Node reads them.
    if (error instanceof ZstdUnavailable) throw new TicklakeError("KAFKA_UNSUPPORTED", error.message, { cause: error });
    const tooLarge = error instanceof RangeError || (error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE";
    const reason = tooLarge ? `it grows to more than ${limit} bytes` : error instanceof Error ? error.message : String(error);
    throw new TicklakeError("KAFKA_RECORD_DAMAGED", `Its ${name} data cannot be read: ${reason}.`, { cause: error });
  }
}
