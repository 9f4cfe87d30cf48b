/** Compression of pages. */
import * as zlib from "node:zlib";
import { TicklakeError } from "../../errors";
import type { Codec } from "../types";
import type { Output } from "./output";
import { snappyCompress } from "./snappy";

/** The codec's number in Parquet's CompressionCodec. */
export const CODEC_IDS: Readonly<Record<Codec, number>> = { none: 0, snappy: 1, gzip: 2, zstd: 6 };

type ZstdCompress = (input: Uint8Array) => Uint8Array;
const zstd = (zlib as { zstdCompressSync?: ZstdCompress }).zstdCompressSync;

/** Whether this Node can write a codec (zstd came with 22.15 and 23.8). */
export const codecAvailable = (codec: Codec): boolean => codec in CODEC_IDS && (codec !== "zstd" || zstd !== undefined);

/** @throws TicklakeError CONFIG_INVALID when this Node cannot write the codec */
export function checkCodec(codec: Codec): void {
  if (!(codec in CODEC_IDS)) throw new TicklakeError("CONFIG_INVALID", `codec: "${String(codec)}" is unknown. Use snappy, gzip, zstd or none.`);
  if (!codecAvailable(codec)) throw new TicklakeError("CONFIG_INVALID", `codec: zstd needs Node 22.15 or later; this is ${process.version}. Use snappy or gzip.`);
}

/** Appends the compressed form of a page. */
export function compress(codec: Codec, out: Output, page: Uint8Array): void {
  switch (codec) {
    case "none": return out.write(page);
    case "snappy": return snappyCompress(out, page);
    case "gzip": return out.write(zlib.gzipSync(page));
    case "zstd": return out.write(zstd!(page));
  }
}
