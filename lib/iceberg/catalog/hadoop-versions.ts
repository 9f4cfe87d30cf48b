/**
 * Which version of a table on the hadoop layout is current, and the hint that says so to other engines.
 *
 * `metadata/vN.metadata.json` are contiguous from the oldest kept; `version-hint.text` holds a number that may lag. Spark, PyIceberg and DuckDB
 * read the hint; PyIceberg and DuckDB trust it, so one that lags makes them read old data, and one that is ahead, torn or followed by a
 * newline breaks them.
 */
import { TicklakeError } from "../../errors";
import { type FileIO, joinLocation } from "../io/types";

const NAME = /^v(\d+)(\.gz)?\.metadata\.json(\.gz)?$/;

/** A version and the file that holds it. */
export interface VersionFile { readonly version: number; readonly location: string }

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
   * torn, absent or ahead), the listing decides.
   */
  async current(known = 0, gzip = false): Promise<VersionFile | undefined> {
    const start = Math.max((await this.hint()) ?? 0, known);
    let at = start > 0 ? await this.find(start, true) : undefined;
    at ??= await this.#newestListed();
    while (at) {
      const next = await this.find(at.version + 1, gzip);
      if (!next) break;
      at = next;
    }
    return at;
  }

  async find(version: number, gzip = false): Promise<VersionFile | undefined> {
    const plain = this.locationOf(version);
    if (await this.io.exists(plain)) return { version, location: plain };
    if (!gzip) return undefined;
    for (const name of [`v${version}.gz.metadata.json`, `v${version}.metadata.json.gz`]) {
      const location = joinLocation(this.#folder, name);
      if (await this.io.exists(location)) return { version, location };
    }
    return undefined;
  }

  async #newestListed(): Promise<VersionFile | undefined> {
    const { files } = await this.io.listFolder(this.#folder);
    let newest: VersionFile | undefined;
    for (const { location } of files) {
      const match = NAME.exec(location.slice(location.lastIndexOf("/") + 1));
      if (match && Number(match[1]) > (newest?.version ?? 0)) newest = { version: Number(match[1]), location };
    }
    return newest;
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
    const before = await this.hint();
    // A hint ahead of every version breaks all readers: that one is lowered, unless somebody else mends it first.
    const broken = before !== undefined && before > version && !(await this.find(before, true)) ? before : undefined;
    let target = version;
    for (;;) {
      const bytes = Buffer.from(String(target));
      // Hadoop's checksum of the old hint would make Spark refuse the new one.
      await this.io.delete(joinLocation(this.#folder, ".version-hint.text.crc"));
      const written = await this.io.replace(this.#hint, bytes, {
        unless: (current) => {
          const found = parseHint(current);
          return found !== undefined && found >= target && found !== broken;
        },
      });
      await this.io.delete(joinLocation(this.#folder, ".version-hint.text.crc"));
      if (!written) return (await this.hint()) ?? target;
      // A slower writer may just have overwritten a faster one's hint: whoever writes last looks ahead, so it ends at the newest.
      const newest = (await this.current(target))?.version ?? target;
      if (newest <= target) return target;
      target = newest;
    }
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
    const slash = location.lastIndexOf("/");
    await this.io.delete(location);
    await this.io.delete(`${location.slice(0, slash)}/.${location.slice(slash + 1)}.crc`);
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
