/**
 * The files below a table's folder. Tables may lie inside of others' folders (`db.t` and `db.t.sub` in a file-based catalog): theirs are not the outer table's.
 */
import type { FileInfo, FileIO } from "./io/types";

const METADATA = /^(.*)\/metadata\/(?:v\d+(?:\.gz)?\.metadata\.json(?:\.gz)?|\d+-[^/]+\.metadata\.json(?:\.gz)?|version-hint\.text)$/;

/** Finds the tables inside of a table's folder while its files go by. */
export class NestedTables {
  readonly #location: string;
  readonly #roots = new Set<string>();

  constructor(location: string) {
    this.#location = location.replace(/\/+$/, "");
  }

  /** Looks at the next file of the listing. */
  see(file: FileInfo): void {
    const root = METADATA.exec(file.location)?.[1];
    if (root !== undefined && root.length > this.#location.length && root.startsWith(`${this.#location}/`)) this.#roots.add(root);
  }

  /** Locations of the tables that were seen. */
  get roots(): readonly string[] { return [...this.#roots]; }

  /** Whether a file is of such a table. Only true when the whole listing has gone by. */
  holds(location: string): boolean {
    for (const root of this.#roots) if (location.startsWith(`${root}/`)) return true;
    return false;
  }
}

/** All files of a table's folder but those of tables inside it. Lists twice: an inner table shows itself only by its metadata. */
export async function* ownFiles(io: FileIO, location: string): AsyncIterable<FileInfo> {
  const nested = new NestedTables(location);
  for await (const file of io.listAll(location)) nested.see(file);
  for await (const file of io.listAll(location)) if (!nested.holds(file.location)) yield file;
}

/** How many files are deleted at once. */
const DELETES = 16;

export interface Deleted {
  readonly files: number;
  readonly bytes: number;
  /** What could not be deleted, and why. */
  readonly failed: readonly { readonly location: string; readonly reason: string }[];
}

/**
 * Deletes files, several at a time. One that fails does not keep the others; one that is gone already counts as deleted.
 *
 * @param done called after each file that was deleted
 */
export async function deleteFiles<T extends { readonly location: string; readonly size: number }>(
  io: FileIO, files: AsyncIterable<T> | Iterable<T>, options: { signal?: AbortSignal; done?: (file: T) => void } = {},
): Promise<Deleted> {
  const failed: { location: string; reason: string }[] = [];
  let count = 0, bytes = 0;
  const running = new Set<Promise<void>>();
  for await (const file of files) {
    if (options.signal?.aborted) break;
    const work: Promise<void> = io.delete(file.location).then(() => {
      count++;
      bytes += file.size;
      options.done?.(file);
    }, (error: unknown) => { failed.push({ location: file.location, reason: error instanceof Error ? error.message : String(error) }); }).finally(() => running.delete(work));
    running.add(work);
    if (running.size >= DELETES) await Promise.race(running);
  }
  await Promise.all(running);
  return { files: count, bytes, failed };
}
