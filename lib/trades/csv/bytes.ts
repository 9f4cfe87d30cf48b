import type { FileHandle } from "node:fs/promises";
import type { Transform } from "node:stream";
import * as zlib from "node:zlib";
import { TicklakeError } from "../../errors";
import type { CsvFile } from "./file";
import { openFile } from "./file";

/** Bytes of a read from a plain file. */
const CHUNK = 256 * 1024;
/** Bytes of a read from a compressed file: what it may unpack to (1,032 times as much at the worst) stays bounded. */
const PACKED_CHUNK = 16 * 1024;

/** The (unpacked) bytes of a file, in pieces, one piece read ahead. */
export interface ByteSource {
  /** The next piece; undefined at the end. @throws DamagedInput once all that could be unpacked was handed out */
  next(): Promise<Buffer | undefined>;
  /** How far into the file on disk reading has come, in bytes. */
  readonly consumed: number;
  close(): Promise<void>;
}

/** A compressed file that ends early or is damaged. What came before is good. */
export class DamagedInput extends Error {}

/**
 * Opens a file at a byte of its (unpacked) content. Compressed files cannot be entered in the middle: they are unpacked
 * from the start, and what lies before `offset` is dropped.
 */
export async function openBytes(file: CsvFile, offset = 0): Promise<ByteSource> {
  const handle = await openFile(file);
  if (file.compression === "none") return new Ahead(new PlainBytes(handle, offset));
  try {
    return new Ahead(new UnpackedBytes(handle, unpacker(file), file.compression, offset));
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function unpacker(file: CsvFile): Transform {
  if (file.compression === "gzip") return zlib.createGunzip({ chunkSize: CHUNK });
  const create = (zlib as { createZstdDecompress?: (options: { chunkSize: number }) => Transform }).createZstdDecompress;
  if (create) return create({ chunkSize: CHUNK });
  throw new TicklakeError("FILE_UNREADABLE", `${file.name} is zstd-compressed, which Node.js ${process.version} cannot read. Use Node.js 22.15 or later, or decompress it (unzstd).`);
}

class PlainBytes implements ByteSource {
  consumed: number;
  constructor(private readonly handle: FileHandle, offset: number) { this.consumed = offset; }

  async next(): Promise<Buffer | undefined> {
    const buffer = Buffer.allocUnsafeSlow(CHUNK);
    const { bytesRead } = await this.handle.read(buffer, 0, CHUNK, this.consumed);
    if (bytesRead === 0) return undefined;
    this.consumed += bytesRead;
    return bytesRead === CHUNK ? buffer : buffer.subarray(0, bytesRead);
  }

  close(): Promise<void> { return this.handle.close(); }
}

/**
 * Unpacks piece by piece under our own control: the input ends only after all output was taken, so a file that is cut
 * off in the middle gives every byte that it still holds before the error.
 */
class UnpackedBytes implements ByteSource {
  consumed = 0;
  private readonly pieces: Buffer[] = [];
  private skip: number;
  private finished = false;
  private error: Error | undefined;
  private wake: (() => void) | undefined;

  constructor(private readonly handle: FileHandle, private readonly stream: Transform, private readonly kind: string, offset: number) {
    this.skip = offset;
    stream.on("data", (piece: Buffer) => this.take(piece));
    stream.on("error", (error) => { this.error = error; this.wake?.(); });
    stream.on("end", () => { this.finished = true; this.wake?.(); });
  }

  async next(): Promise<Buffer | undefined> {
    for (;;) {
      const piece = this.pieces.shift();
      if (piece) return piece;
      if (this.error) throw damaged(this.error, this.kind);
      if (this.finished) return undefined;
      await this.feed();
    }
  }

  /** Unpacks one read of the file, or ends the input. */
  private async feed(): Promise<void> {
    const buffer = Buffer.allocUnsafe(PACKED_CHUNK);
    const { bytesRead } = await this.handle.read(buffer, 0, PACKED_CHUNK, this.consumed);
    this.consumed += bytesRead;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      if (bytesRead > 0) this.stream.write(buffer.subarray(0, bytesRead), () => resolve());
      else this.stream.end();
    });
    this.wake = undefined;
    for (let piece: Buffer | null; !this.error && (piece = this.stream.read() as Buffer | null) !== null;) this.take(piece);
  }

  private take(piece: Buffer): void {
    if (this.skip >= piece.length) { this.skip -= piece.length; return; }
    this.pieces.push(this.skip > 0 ? piece.subarray(this.skip) : piece);
    this.skip = 0;
  }

  async close(): Promise<void> {
    this.stream.destroy();
    await this.handle.close();
  }
}

function damaged(error: Error, kind: string): DamagedInput {
  const early = /unexpected end of file|Premature|incomplete/i.test(error.message);
  return new DamagedInput(early
    ? `the ${kind} data ends early: the file is truncated, rows are missing from here on`
    : `the ${kind} data is damaged (${error.message}): rows are missing from here on`);
}

/** Reads the next piece while the last one is being worked on. */
class Ahead implements ByteSource {
  private pending: Promise<Buffer | undefined> | undefined;
  private closed: Promise<void> | undefined;
  /** Of the piece that was handed out, not of the one read ahead. */
  consumed = 0;

  constructor(private readonly source: ByteSource) { this.consumed = source.consumed; }

  async next(): Promise<Buffer | undefined> {
    const piece = await (this.pending ?? this.source.next());
    this.consumed = this.source.consumed;
    this.pending = undefined;
    if (piece !== undefined && !this.closed) {
      this.pending = this.source.next();
      this.pending.catch(() => { /* comes out of the next call */ });
    }
    return piece;
  }

  close(): Promise<void> {
    this.closed ??= (async () => {
      await this.pending?.catch(() => undefined);
      await this.source.close();
    })();
    return this.closed;
  }
}
