/** Data files where the engine can read them: local ones in place, others as copies in a temporary folder. */
import { open, mkdtemp, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FileIO } from "../io/types";
import { localPath } from "../io/local";
import type { DataFile } from "../types";

const READS = 4;
const PIECE = 8 * 1024 * 1024;
/** The engine takes a path with these for a pattern. */
const PATTERN = /[*?[\]{}]/;

/** A temporary folder of one compaction. */
export class Stage {
  #next = 0;
  private constructor(private readonly io: FileIO, readonly folder: string) {}

  static async open(io: FileIO): Promise<Stage> {
    return new Stage(io, await mkdtemp(join(tmpdir(), "ticklake-compact-")));
  }

  /** Paths of files, in their order. Copies are there until `clear`. */
  async take(files: readonly Pick<DataFile, "filePath" | "fileSizeInBytes">[], signal?: AbortSignal): Promise<string[]> {
    const paths: string[] = [];
    let next = 0;
    await Promise.all(Array.from({ length: READS }, async () => {
      for (let i = next++; i < files.length && !signal?.aborted; i = next++) paths[i] = await this.#path(files[i]!);
    }));
    signal?.throwIfAborted();
    return paths;
  }

  async clear(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }

  async #path({ filePath, fileSizeInBytes }: Pick<DataFile, "filePath" | "fileSizeInBytes">): Promise<string> {
    await this.io.admit?.(filePath);
    const local = await localFile(filePath);
    if (local !== undefined && !PATTERN.test(local)) return local;
    const path = join(this.folder, `${this.#next++}.parquet`);
    if (local !== undefined) await symlink(local, path);
    else await this.#copy(filePath, fileSizeInBytes, path);
    return path;
  }

  async #copy(location: string, size: number, path: string): Promise<void> {
    const file = await open(path, "wx");
    try {
      if (size <= PIECE) await file.writeFile(await this.io.read(location));
      else for (let at = 0; at < size; at += PIECE) await file.writeFile(await this.io.readRange(location, at, Math.min(PIECE, size - at)));
    } finally {
      await file.close();
    }
  }
}

async function localFile(location: string): Promise<string | undefined> {
  if (!/^(file:|\/|[a-z]:[\\/])/i.test(location)) return undefined;
  const path = localPath(location);
  return (await stat(path).catch(() => undefined))?.isFile() ? path : undefined;
}
