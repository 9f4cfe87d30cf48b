/**
 * The local copy of one data file on storage: a sparse file of the same size that holds only the bytes that a query
 * needed. Offsets are those of the original, so the engine reads it as if it were whole.
 */
import { open, rm } from "node:fs/promises";
import { TicklakeError } from "../../errors";
import { storageError } from "../../iceberg/io/errors";
import type { FileIO } from "../../iceberg/io/types";
import type { Requests } from "./requests";
import { type ByteRange, merge, missing, pieces } from "./ranges";

/** A file on storage. */
export interface StoredFile { io: FileIO; location: string; /** As the manifest has it. */ size: number }

/** What a fetch is done by and counted for. */
export interface Fetching { requests: Requests; signal?: AbortSignal; fetched(bytes: number): void; /** Makes room before bytes are written. */ reserve(bytes: number): void }

/** Files up to this size come whole, in one request. */
const WHOLE_BYTES = 64 * 1024;
/** What is read of a file's end in the hope that the footer is in it. */
const TAIL_BYTES = 16 * 1024;
/** Ranges that are nearer than this come in one request: bytes are cheaper than round trips. */
const GAP_BYTES = 64 * 1024;
/** Bytes of a request at the most. */
const REQUEST_BYTES = 4 * 1024 * 1024;
/** A file's identity is not asked for again within this time. */
const TRUST_MS = 60_000;

const MAGIC = "PAR1";

export class Copy {
  private held: ByteRange[] = [];
  private busy: Promise<unknown> = Promise.resolve();
  private made = false;
  private version: { text: string; seenAt: number } | undefined;
  /** Uses under way; a copy without any may be removed. */
  pins = 0;
  /** Bytes that were reserved for the copy on the disk. */
  bytes = 0;

  constructor(readonly path: string, private readonly location: string, private readonly size: number, private readonly now: () => number = Date.now) {}

  /** Makes the footer (and all of a small file) present. */
  footer(io: FileIO, fetching: Fetching): Promise<void> {
    return this.exclusive(async () => {
      if (this.held.some(({ end }) => end === this.size)) return;
      const tail = await this.tail(io, fetching);
      const length = tail.length >= 8 ? Buffer.from(tail.buffer, tail.byteOffset + tail.length - 8, 4).readUInt32LE() + 8 : 0;
      if (length > this.size) throw this.corrupt("its footer is longer than the file");
      await this.keep(this.size - tail.length, tail, fetching);
      await this.fetch(io, [{ start: this.size - length, end: this.size }], fetching);
    });
  }

  /** Makes ranges present. Only what is missing travels. */
  ranges(io: FileIO, wanted: readonly ByteRange[], fetching: Fetching): Promise<void> {
    return this.exclusive(async () => {
      if (missing(wanted, this.held).length === 0) return;
      if (this.version && this.now() - this.version.seenAt > TRUST_MS) await this.identify(io, fetching);
      await this.fetch(io, wanted, fetching);
    });
  }

  async remove(): Promise<void> {
    await rm(this.path, { force: true }).catch(() => undefined);
  }

  /** One at a time per file: queries that want the same bytes fetch them once. */
  private exclusive(work: () => Promise<void>): Promise<void> {
    this.pins++;
    const turn = this.busy.then(work).finally(() => { this.pins--; });
    this.busy = turn.catch(() => undefined);
    return turn;
  }

  private async tail(io: FileIO, fetching: Fetching): Promise<Uint8Array> {
    const length = this.size <= WHOLE_BYTES ? this.size : TAIL_BYTES;
    // A file that comes whole has one identity; others are asked for theirs, as more of them may be fetched later.
    const [bytes] = await Promise.all([this.read(io, { start: this.size - length, end: this.size }, fetching), length < this.size ? this.identify(io, fetching) : undefined]);
    if (bytes.length === length && Buffer.from(bytes.buffer, bytes.byteOffset + length - 4, 4).toString("latin1") === MAGIC) return bytes;
    const size = (await io.stat(this.location))?.size;
    throw this.corrupt(size === this.size ? "it is no Parquet file, or it is encrypted" : `it has ${size ?? "no"} bytes, and the table says ${this.size}`);
  }

  /** Notes which file this is, and that it is still the one whose bytes are here. */
  private async identify(io: FileIO, { requests, signal }: Fetching): Promise<void> {
    const found = await requests.run(() => io.stat(this.location), signal);
    if (!found) throw new TicklakeError("FILE_NOT_FOUND", `${this.location} is gone. Its snapshot was expired meanwhile; query again.`);
    if (this.version && this.version.text !== found.version) {
      this.held = [];
      throw new TicklakeError("FILE_NOT_FOUND", `${this.location} was replaced by another file. Data files of a table never change; query again.`);
    }
    this.version = { text: found.version, seenAt: this.now() };
  }

  private async fetch(io: FileIO, wanted: readonly ByteRange[], fetching: Fetching): Promise<void> {
    const lacking = merge(missing(wanted, this.held), GAP_BYTES);
    const results = await Promise.allSettled(pieces(lacking, REQUEST_BYTES).map(async (piece) => {
      const bytes = await this.read(io, piece, fetching);
      if (bytes.length !== piece.end - piece.start) throw this.corrupt(`it ends before byte ${piece.end}`);
      await this.keep(piece.start, bytes, fetching);
    }));
    const failed = results.find((result) => result.status === "rejected");
    if (failed) throw failed.reason;
  }

  private async read(io: FileIO, { start, end }: ByteRange, { requests, signal, fetched }: Fetching): Promise<Uint8Array> {
    const bytes = await requests.run(() => (start === 0 && end === this.size && this.size <= WHOLE_BYTES ? io.read(this.location) : io.readRange(this.location, start, end - start)), signal);
    fetched(bytes.length);
    return bytes;
  }

  private async keep(start: number, bytes: Uint8Array, { reserve }: Fetching): Promise<void> {
    reserve(bytes.length);
    this.bytes += bytes.length;
    try {
      const file = await open(this.path, this.made ? "r+" : "w", 0o600);
      try {
        if (!this.made) await file.truncate(this.size);
        this.made = true;
        await file.write(bytes, 0, bytes.length, start);
      } finally {
        await file.close();
      }
    } catch (error) {
      throw storageError(error, "keep a copy in", this.path);
    }
    this.held = merge([...this.held, { start, end: start + bytes.length }]);
  }

  private corrupt(reason: string): TicklakeError {
    return new TicklakeError("TABLE_CORRUPT", `The data file ${this.location} cannot be read: ${reason}. Restore the file, or roll the table back to a snapshot that does not use it.`);
  }
}
