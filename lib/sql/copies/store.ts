/**
 * Local copies of the parts of data files that queries read from storage. The engine reads local files only; what
 * travels are footers and the columns that a query names, each once: queries that overlap or follow share the copies.
 */
import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import { TicklakeError } from "../../errors";
import { Copy, type Fetching, type StoredFile } from "./copy";
import type { ByteRange } from "./ranges";
import { Requests } from "./requests";

export interface CopyOptions {
  /** Bytes of all copies at the most (10 GB, and never more than half of what the disk had free at first). */
  maxBytes?: number;
  /** Requests to storage at a time (12). */
  requests?: number;
  /** Unix ms. */
  now?: () => number;
}

const MAX_BYTES = 10e9;

/** The copies of an engine, least lately used first. */
export class CopyStore {
  private readonly copies = new Map<string, Copy>();
  private readonly requests: Requests;
  private limit: Promise<number> | undefined;

  constructor(private readonly folder: () => Promise<string>, private readonly options: CopyOptions = {}) {
    this.requests = new Requests(options.requests ?? 12);
  }

  /** Bytes that the copies take on the disk. */
  bytes = 0;

  /** What one query uses. Its copies stay until it is released. */
  lease(signal?: AbortSignal): CopyLease {
    // Each read under way listens to it, a dozen at a time: Node would take that for a leak.
    if (signal) setMaxListeners(0, signal);
    return new CopyLease(this, this.requests, signal);
  }

  /** The copy of a file; `key` says of which table it is. */
  async take(file: StoredFile, table: string): Promise<Copy> {
    const folder = await this.folder();
    const key = `${table}\n${file.size}\n${file.location}`;
    const copy = this.copies.get(key) ?? new Copy(join(folder, `${randomUUID()}.parquet`), file.location, file.size, this.options.now);
    this.copies.delete(key);
    this.copies.set(key, copy);
    copy.pins++;
    return copy;
  }

  /** Takes room for `bytes` more; copies that nobody uses are removed until they fit. */
  makeRoom(bytes: number, most: number): void {
    for (const [key, copy] of this.bytes + bytes > most ? this.copies : []) {
      if (copy.pins > 0) continue;
      this.copies.delete(key);
      this.bytes -= copy.bytes;
      void copy.remove();
      if (this.bytes + bytes <= most) break;
    }
    if (this.bytes + bytes > most) {
      throw new TicklakeError("SQL_TOO_LARGE", `The query needs more than ${Math.round(most / 1e6)} MB of data files from storage at a time, and there is no room for more on the disk of the temporary folder. Filter by a partition or time, or name fewer columns.`);
    }
    this.bytes += bytes;
  }

  /** Bytes that copies may take. */
  most(): Promise<number> {
    return this.limit ??= (async () => {
      const disk = await statfs(await this.folder()).catch(() => undefined);
      return Math.min(this.options.maxBytes ?? MAX_BYTES, disk ? disk.bavail * disk.bsize * 0.5 : Infinity);
    })();
  }
}

/** The copies that one query uses. */
export class CopyLease {
  private readonly taken = new Map<string, { copy: Copy; file: StoredFile }>();
  /** Bytes that travelled for this query. */
  fetched = 0;

  constructor(private readonly store: CopyStore, private readonly requests: Requests, private readonly signal: AbortSignal | undefined) {}

  /** Local paths of files, in their order, with their footers present. */
  async footers(files: readonly StoredFile[], table: string): Promise<string[]> {
    const fetching = await this.fetching();
    return settle(files.map(async (file) => {
      const copy = await this.store.take(file, table);
      if (this.taken.has(copy.path)) copy.pins--;
      this.taken.set(copy.path, { copy, file });
      await copy.footer(file.io, fetching);
      return copy.path;
    }));
  }

  /** Makes ranges of a file present, by the local path of its copy. */
  async ranges(wanted: ReadonlyMap<string, readonly ByteRange[]>): Promise<void> {
    const fetching = await this.fetching();
    await settle([...wanted].map(([path, ranges]) => {
      const { copy, file } = this.taken.get(path)!;
      return copy.ranges(file.io, ranges, fetching);
    }));
  }

  /** Makes files present whole. */
  async whole(files: readonly StoredFile[], table: string): Promise<string[]> {
    const paths = await this.footers(files, table);
    await this.ranges(new Map(paths.map((path, index) => [path, [{ start: 0, end: files[index]!.size }]])));
    return paths;
  }

  isCopy(path: string): boolean {
    return this.taken.has(path);
  }

  release(): void {
    for (const { copy } of this.taken.values()) copy.pins--;
    this.taken.clear();
  }

  private async fetching(): Promise<Fetching> {
    const most = await this.store.most();
    return {
      requests: this.requests, ...(this.signal ? { signal: this.signal } : {}),
      fetched: (bytes) => { this.fetched += bytes; },
      reserve: (bytes) => this.store.makeRoom(bytes, most),
    };
  }
}

/** Like Promise.all, but nothing of it goes on when it has failed: the copies are let go afterwards. */
async function settle<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
  return results.map((result) => (result as PromiseFulfilledResult<T>).value);
}
