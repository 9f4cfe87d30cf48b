/**
 * Zstandard (RFC 8878). Node compresses and reads it itself since 22.15; before that it is read by fzstd. That decoder trusts what a
 * frame says about its window, so frames are taken apart and judged here first.
 */
import { createRequire } from "node:module";
import { promisify } from "node:util";
import zlib from "node:zlib";
import type * as Fzstd from "fzstd";

type Zstd = (input: Uint8Array, options: { maxOutputLength?: number }, done: (error: Error | null, output: Buffer) => void) => void;
const native = zlib as { zstdCompress?: Zstd; zstdDecompress?: Zstd };
const nativeCompress = native.zstdCompress && promisify(native.zstdCompress);
const nativeDecompress = native.zstdDecompress && promisify(native.zstdDecompress);

/** Whether this Node can write it. */
export const zstdWrites = nativeCompress !== undefined;

export async function zstdCompress(input: Uint8Array): Promise<Buffer> {
  if (!nativeCompress) throw new Error("this Node cannot write zstd");
  return nativeCompress(input, {});
}

const MAGIC = 0xfd2fb528;
const SKIPPABLE = 0x184d2a50;
/** What zstd's own decoders take unless told otherwise: the Java and C clients read no larger windows either. */
const MOST_WINDOW = 1 << 27;

/** @throws ZstdUnavailable, else an Error saying what is wrong; also when there would be more than `limit` bytes */
export async function zstdDecompress(input: Buffer, limit: number): Promise<Buffer> {
  if (!nativeDecompress) return zstdDecompressPortable(input, limit);
  const parts: Buffer[] = [];
  let total = 0;
  // One by one: given several frames, Node 22 reads the first and says nothing of the others; given half a frame, it reads nothing and says nothing.
  for (const frame of framesOf(input, limit)) {
    const part = await nativeDecompress(frame, { maxOutputLength: Math.max(1, limit - total) });
    total += part.length;
    if (total > limit) throw new RangeError(`more than ${limit} bytes`);
    parts.push(part);
  }
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts, total);
}

/** As `zstdDecompress`, on any Node. */
export function zstdDecompressPortable(input: Buffer, limit: number): Buffer {
  const parts: Uint8Array[] = [];
  let total = 0;
  const take = (part: Uint8Array): void => {
    total += part.length;
    if (total > limit) throw new RangeError(`more than ${limit} bytes`);
    parts.push(part);
  };
  const { Decompress } = portable();
  for (const frame of framesOf(input, limit)) new Decompress(take).push(frame, true);
  return Buffer.concat(parts, total);
}

/** This Node has no zstd and the decoder for such Nodes is not installed. The data may be right: callers say so in their own words. */
export class ZstdUnavailable extends Error {
  constructor(cause: unknown) {
    super("This Node cannot read zstd by itself, and the optional package fzstd is not installed. Use Node 22.15 or later, or install without --omit=optional.", { cause });
    this.name = "ZstdUnavailable";
  }
}

/** @throws ZstdUnavailable */
function portable(): typeof Fzstd {
  try {
    return createRequire(__filename)("fzstd") as typeof Fzstd;
  } catch (cause) {
    throw new ZstdUnavailable(cause);
  }
}

/** The whole frames of `input`. */
function framesOf(input: Buffer, limit: number): Buffer[] {
  const frames: Buffer[] = [];
  let at = 0;
  while (at < input.length) {
    const rest = input.subarray(at);
    if (rest.length < 8) throw new Error("a frame is cut off");
    const magic = rest.readUInt32LE(0);
    const skipped = (magic & 0xfffffff0) >>> 0 === SKIPPABLE;
    if (!skipped && magic !== MAGIC) throw new Error("this is not zstd");
    const length = skipped ? 8 + rest.readUInt32LE(4) : frameLength(rest, limit);
    if (length > rest.length) throw new Error("a frame is cut off");
    if (!skipped) frames.push(rest.subarray(0, length));
    at += length;
  }
  return frames;
}

/** Bytes of a frame, from its header and its blocks' headers. (Its checksum is passed over: the CRC of the batch covers the same bytes.) */
function frameLength(frame: Buffer, limit: number): number {
  const flags = frame[4]!;
  const single = (flags >>> 5) & 1;
  const dictionary = [0, 1, 2, 4][flags & 3]!;
  const contentBytes = [single, 2, 4, 8][flags >>> 6]!;
  if (dictionary > 0) throw new Error("it needs a dictionary");
  const contentAt = 6 - single;
  if (contentAt + contentBytes > frame.length) throw new Error("a frame is cut off");
  const content = contentBytes === 8 ? Number(frame.readBigUInt64LE(contentAt)) : contentBytes === 0 ? 0 : frame.readUIntLE(contentAt, contentBytes) + (contentBytes === 2 ? 256 : 0);
  if (content > limit) throw new RangeError(`more than ${limit} bytes`);
  if (!single) {
    const base = 2 ** (10 + (frame[5]! >>> 3));
    if (base + (base / 8) * (frame[5]! & 7) > MOST_WINDOW) throw new RangeError("its window is larger than 128 MiB");
  }
  let at = contentAt + contentBytes;
  for (;;) {
    if (frame.length - at < 3) throw new Error("a block is cut off");
    const header = frame.readUIntLE(at, 3);
    const type = (header >>> 1) & 3;
    if (type === 3) throw new Error("a block is of an unknown type");
    at += 3 + (type === 1 ? 1 : header >>> 3);
    if (at > frame.length) throw new Error("a block is cut off");
    if (header & 1) break;
  }
  return at + (flags & 0x04 ? 4 : 0);
}
