/**
 * Which version of a table on the hadoop layout is current, and the hint that says so to other engines.
 *
 * `metadata/vN.metadata.json` are contiguous from the oldest kept; `version-hint.text` holds a number that may lag. Spark, PyIceberg and DuckDB
 * read the hint; PyIceberg and DuckDB trust it, so one that lags makes them read old data, and one that is ahead, torn or followed by a
 * newline breaks them.
 */
import { TicklakeError } from "../../errors";
import { isS3Location } from "../io/s3-location";
import { type FileInfo, type FileIO, joinLocation } from "../io/types";

const NAME = /^v(\d+)(\.gz)?\.metadata\.json(\.gz)?$/;

/** A version and the file that holds it. */
export interface VersionFile { readonly version: number; readonly location: string; readonly info: FileInfo }

/** The versions of one table. `gzip`: an engine may have written gzipped ones (we never do). */
export class HadoopVersions {
  readonly #folder: string;
  readonly #hint: string;

  constructor(private readonly io: FileIO, tableLocation: string) {
    this.#folder = joinLocation(tableLocation, "metadata");
    this.#hint = joinLocation(this.#folder, "version-hint.text");
  }

  /** Where version N is written: always plain. */
  locationOf(version: number): string {
    return joinLocation(this.#folder, `v${version}.metadata.json`);
  }

  /**
   * The current version: the greater of hint and `known`, and from there on as far as files follow. Where that names no file (a hint that is
   * torn, absent or ahead), the listing decides. When nothing has changed since `known`, it costs three requests, all at once.
   */
  async current(known = 0, gzip = false): Promise<VersionFile | undefined> {
    const [hint = 0, at, next] = await Promise.all([this.hint(), known > 0 ? this.find(known, true) : undefined, known > 0 ? this.find(known + 1, gzip) : undefined]);
    if (!at || hint > known) return this.#from(Math.max(hint, known), gzip);
    return next ? this.#follow(next, gzip) : at;
  }

  async #from(start: number, gzip: boolean): Promise<VersionFile | undefined> {
    const [at, next] = start > 0 ? await Promise.all([this.find(start, true), this.find(start + 1, gzip)]) : [];
    if (at) return next ? this.#follow(next, gzip) : at;
    const listed = await this.#newestListed();
    return listed && this.#follow(listed, gzip);
  }

  async #follow(at: VersionFile, gzip: boolean): Promise<VersionFile> {
    for (;;) {
      const next = await this.find(at.version + 1, gzip);
      if (!next) return at;
      at = next;
    }
  }

  async find(version: number, gzip = false): Promise<VersionFile | undefined> {
    for (const name of [`v${version}.metadata.json`, ...(gzip ? [`v${version}.gz.metadata.json`, `v${version}.metadata.json.gz`] : [])]) {
      const location = joinLocation(this.#folder, name);
      const info = await this.io.stat(location);
      if (info) return { version, location, info };
    }
    return undefined;
  }

  async #newestListed(): Promise<VersionFile | undefined> {
    const { files } = await this.io.listFolder(this.#folder);
    let newest = 0;
    for (const { location } of files) {
      const match = NAME.exec(location.slice(location.lastIndexOf("/") + 1));
      newest = Math.max(newest, Number(match?.[1] ?? 0));
    }
    return newest > 0 ? this.find(newest, true) : undefined;
  }

  /** Metadata files of other catalogs in the folder: `00003-<uuid>.metadata.json`. */
  async foreignMetadata(): Promise<string | undefined> {
    const { files } = await this.io.listFolder(this.#folder);
    return files.map((file) => file.location).filter((location) => /\/\d+-[^/]*\.metadata\.json$/.test(location)).sort().at(-1);
  }

  /** The number in the hint; undefined when it is absent or no number. */
  async hint(): Promise<number | undefined> {
    try {
      return parseHint(await this.io.read(this.#hint));
    } catch (error) {
      if (error instanceof TicklakeError && error.code === "FILE_NOT_FOUND") return undefined;
      throw error;
    }
  }

  /**
   * Brings the hint to `version`: whole, digits only, never lower. Another writer may be further by now: then it goes with that one.
   *
   * @returns what the hint says afterwards
   */
  async writeHint(version: number): Promise<number> {
    let target = version;
    // A hint ahead of every version breaks all readers: that one is lowered, unless somebody else mends it first.
    let broken: number | undefined;
    for (;;) {
      let seen: number | undefined;
      // Hadoop's checksum of the old hint would make Spark refuse the new one.
      await this.#dropChecksum(this.#hint);
      const written = await this.io.replace(this.#hint, Buffer.from(String(target)), {
        unless: (current) => {
          seen = parseHint(current);
          return seen !== undefined && seen >= target && seen !== broken;
        },
      });
      await this.#dropChecksum(this.#hint);
      if (!written) {
        if (seen === undefined || seen === target || broken !== undefined || await this.find(seen, true)) return seen ?? target;
        broken = seen;
        continue;
      }
      // A slower writer may just have overwritten a faster one's hint: whoever writes last looks ahead, so it ends at the newest.
      const newest = (await this.#from(target, false))?.version ?? target;
      if (newest <= target) return target;
      target = newest;
    }
  }

  /** Checksum files stand beside files on Hadoop's local file systems; in object stores it keeps none. */
  async #dropChecksum(location: string): Promise<void> {
    if (isS3Location(location)) return;
    const slash = location.lastIndexOf("/");
    await this.io.delete(`${location.slice(0, slash)}/.${location.slice(slash + 1)}.crc`);
  }

  /**
   * Deletes all versions, oldest first: with the last of them the table is gone, in one step, and a writer that commits meanwhile finds its base gone. The hint
   * goes last.
   */
  async removeAll(): Promise<void> {
    for (let at = await this.current(); at; at = await this.current()) {
      await this.trim(at.version - 1);
      await this.#remove(at.location);
    }
    await this.#remove(this.#hint);
  }

  /** With Hadoop's checksum of it. */
  async #remove(location: string): Promise<void> {
    await this.io.delete(location);
    await this.#dropChecksum(location);
  }

  /**
   * Deletes versions up to `newestToDelete`, oldest first: while a version exists, all later ones do, and a stalled writer can tell by its base that
   * its slot was trimmed.
   */
  async trim(newestToDelete: number): Promise<void> {
    const found: VersionFile[] = [];
    for (let version = newestToDelete; version > 0; version--) {
      const file = await this.find(version, true);
      if (!file) break;
      found.push(file);
    }
    for (const { location } of found.reverse()) await this.#remove(location);
  }
}

function parseHint(bytes: Uint8Array | undefined): number | undefined {
  const text = bytes ? Buffer.from(bytes).toString("latin1").trim() : "";
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
