import { randomUUID } from "node:crypto";
import * as fs from "node:fs";
import * as fsp from "node:fs/promises";
import * as path from "node:path";
import { TicklakeError } from "../../errors";
import { errno, storageError } from "./errors";
import { type CreateOptions, type FileInfo, type FileIO, type FolderListing, type ReplaceOptions, joinLocation } from "./types";

/** The two steps of the disk that tests replace to play a failing one. */
export interface LocalFileIOOptions {
  readonly link?: (existing: string, created: string) => Promise<void>;
  readonly syncFolder?: (folder: string) => Promise<void>;
}

/**
 * The path of a location. `file:` URIs as Hadoop writes them (`file:/a`, `file:///a`) are taken literally: Hadoop
 * does not percent-encode, so a `%20` in a name is three characters.
 *
 * @throws TicklakeError CATALOG_INVALID for other schemes and relative paths
 */
export function localPath(location: string): string {
  let text = location;
  if (/^file:/i.test(text)) {
    text = text.slice(5);
    if (text.startsWith("//")) text = text.slice(2).replace(/^[^/]*/, "");
    if (/^\/[a-z]:/i.test(text)) text = text.slice(1);
  }
  if (!path.isAbsolute(text)) {
    throw new TicklakeError("CATALOG_INVALID", `"${location}" is no local path. A local warehouse takes an absolute path or a file: address.`);
  }
  return text;
}

/** What a local path is called in table metadata: itself, on Windows a `file:///C:/...` URI with forward slashes. */
export function localLocation(file: string): string {
  const absolute = path.resolve(file);
  return path.sep === "\\" ? `file:///${absolute.replaceAll("\\", "/")}` : absolute;
}

/** Makes the names in a folder durable. Windows cannot, and does so by itself. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await fsp.open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Tables in a folder of this machine. */
export class LocalFileIO implements FileIO {
  readonly #link: (existing: string, created: string) => Promise<void>;
  readonly #syncFolder: (folder: string) => Promise<void>;

  constructor(options: LocalFileIOOptions = {}) {
    this.#link = options.link ?? ((existing, created) => fsp.link(existing, created));
    this.#syncFolder = options.syncFolder ?? syncFolder;
  }

  async read(location: string): Promise<Uint8Array> {
    const file = localPath(location);
    return fsp.readFile(file).catch((error: unknown) => { throw storageError(error, "read", file); });
  }

  async readRange(location: string, offset: number, length: number): Promise<Uint8Array> {
    const file = localPath(location);
    try {
      const handle = await fsp.open(file, "r");
      try {
        const buffer = Buffer.allocUnsafe(length);
        let filled = 0;
        while (filled < length) {
          const { bytesRead } = await handle.read(buffer, filled, length - filled, offset + filled);
          if (bytesRead === 0) break;
          filled += bytesRead;
        }
        return buffer.subarray(0, filled);
      } finally {
        await handle.close();
      }
    } catch (error) {
      throw storageError(error, "read", file);
    }
  }

  async stat(location: string): Promise<FileInfo | undefined> {
    const file = localPath(location);
    try {
      const stat = await fsp.stat(file, { bigint: true });
      return stat.isFile() ? info(location, stat) : undefined;
    } catch (error) {
      // ENOTDIR: a file where a folder of the path would be. Then this one cannot be there either.
      if (errno(error) === "ENOENT" || errno(error) === "ENOTDIR") return undefined;
      throw storageError(error, "look at", file);
    }
  }

  async exists(location: string): Promise<boolean> {
    return (await this.stat(location)) !== undefined;
  }

  async write(location: string, bytes: Uint8Array): Promise<void> {
    const file = localPath(location);
    try {
      await this.#writeNew(file, bytes);
    } catch (error) {
      throw storageError(error, "write", file);
    }
    try {
      await this.#syncFolder(path.dirname(file));
    } catch (error) {
      await fsp.unlink(file).catch(() => undefined);
      throw storageError(error, "write", file);
    }
  }

  async create(location: string, bytes: Uint8Array, options: CreateOptions = {}): Promise<string> {
    const file = localPath(location);
    const staged = temporary(file);
    let version: string;
    try {
      await this.#writeNew(staged, bytes);
      version = info(location, await fsp.stat(staged, { bigint: true })).version;
    } catch (error) {
      throw storageError(error, "write", file);
    }
    let linked = false;
    try {
      await options.staged?.();
      await this.#linkOnce(staged, file);
      linked = true;
      await this.#syncFolder(path.dirname(file));
      return version;
    } catch (error) {
      if (linked) throw unknown(file, error);
      throw error instanceof TicklakeError ? error : storageError(error, "write", file);
    } finally {
      await fsp.unlink(staged).catch(() => undefined);
    }
  }

  async replace(location: string, bytes: Uint8Array, options: ReplaceOptions = {}): Promise<boolean> {
    const file = localPath(location);
    const staged = temporary(file);
    try {
      await this.#writeNew(staged, bytes);
      // Looking and renaming in one turn of the event loop: nothing of ours comes between, and another process has microseconds.
      if (options.unless?.(readNow(file))) {
        fs.unlinkSync(staged);
        return false;
      }
      fs.renameSync(staged, file);
      await this.#syncFolder(path.dirname(file));
      return true;
    } catch (error) {
      await fsp.unlink(staged).catch(() => undefined);
      throw storageError(error, "replace", file);
    }
  }

  async delete(location: string): Promise<void> {
    const file = localPath(location);
    await fsp.unlink(file).catch((error: unknown) => {
      if (errno(error) !== "ENOENT" && errno(error) !== "ENOTDIR") throw storageError(error, "delete", file);
    });
  }

  async listFolder(location: string): Promise<FolderListing> {
    const files: FileInfo[] = [];
    const folders: string[] = [];
    for (const entry of await entries(localPath(location))) {
      const child = joinLocation(location, entry.name);
      if (entry.isDirectory()) folders.push(entry.name);
      else {
        const found = await this.stat(child);
        if (found) files.push(found);
        else if (entry.isSymbolicLink()) folders.push(entry.name);
      }
    }
    return { files, folders };
  }

  async *listAll(location: string): AsyncIterable<FileInfo> {
    for (const entry of await entries(localPath(location))) {
      const child = joinLocation(location, entry.name);
      if (entry.isDirectory()) yield* this.listAll(child);
      else {
        const found = await this.stat(child);
        if (found) yield found;
      }
    }
  }

  /** A new file, synced, its folders made (durably) where they are missing. Nothing is left of one that could not be written whole. */
  async #writeNew(file: string, bytes: Uint8Array): Promise<void> {
    const handle = await fsp.open(file, "wx").catch(async (error: unknown) => {
      if (errno(error) !== "ENOENT") throw error;
      await this.#makeFolder(path.dirname(file));
      return fsp.open(file, "wx");
    });
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } catch (error) {
      await handle.close().catch(() => undefined);
      await fsp.unlink(file).catch(() => undefined);
      throw error;
    }
    await handle.close();
  }

  /**
   * Like `mkdir -p`, every new folder durable. Step by step, because Node's own (`recursive`) asks again without end, on a thread of the pool
   * that is then lost, where a file system answers ENOENT below a folder that is there (/proc; automounts whose server is away).
   */
  async #makeFolder(folder: string): Promise<void> {
    try {
      await fsp.mkdir(folder);
    } catch (error) {
      if (errno(error) === "EEXIST") return;
      const parent = path.dirname(folder);
      if (errno(error) !== "ENOENT" || parent === folder) throw error;
      await this.#makeFolder(parent);
      await fsp.mkdir(folder).catch((again: unknown) => {
        if (errno(again) === "ENOENT") throw new TicklakeError("STORAGE_DENIED", `Cannot make the folder ${folder}: the file system takes no folders there. Choose another warehouse folder, or mount what belongs there.`, { cause: again });
        if (errno(again) !== "EEXIST") throw again;
      });
    }
    await this.#syncFolder(path.dirname(folder));
  }

  /** `link()` is the only step of a disk that creates a whole file exactly once. */
  async #linkOnce(staged: string, file: string): Promise<void> {
    try {
      await this.#link(staged, file);
    } catch (error) {
      // A network file system may repeat a request whose answer was lost: the link count says what happened.
      const links = await fsp.stat(staged).then((stat) => stat.nlink, () => undefined);
      if (links !== undefined && links >= 2) return;
      const code = errno(error);
      if (code === "EPERM" || code === "ENOTSUP" || code === "EOPNOTSUPP" || code === "ENOSYS") {
        throw new TicklakeError("STORAGE_DENIED", `Cannot create ${file}: this file system has no hard links, so commits of several writers cannot be told apart. Put the warehouse on a disk that has them (ext4, xfs, APFS, NTFS), or use a REST catalog.`, { cause: error });
      }
      if (links === 1 || code in DEFINITE) throw storageError(error, "write", file);
      throw unknown(file, error);
    }
  }
}

/** Errors of link() after which it certainly has not happened. */
const DEFINITE: Record<string, true> = { EEXIST: true, ENOENT: true, ENOSPC: true, EDQUOT: true, EACCES: true, EROFS: true, EMLINK: true, ENOTDIR: true, ENAMETOOLONG: true };

function unknown(file: string, cause: unknown): TicklakeError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new TicklakeError("COMMIT_UNKNOWN", `Whether ${file} was written is not known (${reason}). The table is read again to find out.`, { cause });
}

function temporary(file: string): string {
  return path.join(path.dirname(file), `.${path.basename(file)}.${randomUUID()}.tmp`);
}

function readNow(file: string): Uint8Array | undefined {
  try {
    return fs.readFileSync(file);
  } catch (error) {
    if (errno(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function entries(folder: string): Promise<fs.Dirent[]> {
  try {
    return await fsp.readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (errno(error) === "ENOENT" || errno(error) === "ENOTDIR") return [];
    throw storageError(error, "list", folder);
  }
}

/** Not ctime: linking and unlinking other names of the file changes it. */
function info(location: string, stat: fs.BigIntStats): FileInfo {
  return { location, size: Number(stat.size), modifiedMs: Number(stat.mtimeMs), version: `${stat.ino}:${stat.mtimeNs}:${stat.size}` };
}
