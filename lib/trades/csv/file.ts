import { open, realpath, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { basename, isAbsolute, relative, resolve, sep } from "node:path";
import { TicklakeError } from "../../errors";

export type Compression = "none" | "gzip" | "zstd";

/** A file that may be replayed: regular, readable, within the allowed folders, text or compressed text. */
export interface CsvFile {
  /** Real path, symbolic links resolved. */
  readonly path: string;
  /** Name without folder, as it was asked for. */
  readonly name: string;
  readonly size: number;
  readonly mtimeMs: number;
  readonly ino: number;
  readonly compression: Compression;
}

export interface FileRules {
  /** What relative names are relative to. */
  readonly baseDir: string;
  /** When given, nothing outside these folders is read (relative ones are relative to baseDir). */
  readonly allowedDirs?: readonly string[];
  /** Folder of the files that come with this package, named `ticklake:<file>`; always allowed. */
  readonly bundledDir?: string;
}

/** What names of files of this package begin with. */
const BUNDLED = "ticklake:";

/** Compressed or other formats that look like nothing else; `undefined` in the last place = we read it. */
const MAGIC: readonly (readonly [number[], string])[] = [
  [[0x42, 0x5a, 0x68], "bzip2-compressed. Decompress it first (bunzip2), or compress it with gzip"],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], "xz-compressed. Decompress it first (unxz), or compress it with gzip"],
  [[0x50, 0x4b, 0x03, 0x04], "a zip archive. Unpack it first; .csv and .csv.gz are read"],
  [[0x50, 0x41, 0x52, 0x31], "a Parquet file. This node reads CSV; query Parquet with iceberg-query or convert it"],
  [[0xff, 0xfe], "UTF-16 text. Save it as UTF-8"],
  [[0xfe, 0xff], "UTF-16 text. Save it as UTF-8"],
];

/**
 * Finds a file and says how to read it.
 *
 * @throws TicklakeError FILE_NOT_FOUND, FILE_NOT_ALLOWED (outside the folders; device, pipe, folder), FILE_UNREADABLE
 */
export async function findFile(name: string, rules: FileRules): Promise<CsvFile> {
  if (name.trim() === "") throw new TicklakeError("CONFIG_INVALID", "No file is set. Set one in the node, or send its name as msg.payload.");
  if (name.includes("\0")) throw new TicklakeError("FILE_NOT_FOUND", "The file name holds a NUL character.");
  if (name.startsWith(BUNDLED) && rules.bundledDir !== undefined) {
    return findFile(name.slice(BUNDLED.length), { baseDir: rules.bundledDir, allowedDirs: [rules.bundledDir] });
  }
  const asked = resolve(rules.baseDir, name);
  const allowed = rules.allowedDirs?.map((dir) => resolve(rules.baseDir, dir));
  const real = allowed && await Promise.all(allowed.map((dir) => realpath(dir).catch(() => dir)));
  const outside = () => new TicklakeError("FILE_NOT_ALLOWED", `${name} lies outside the folders that this Node-RED may read (ticklake.dataDirs in settings.js). Move the file there, or add its folder.`);
  // Judged by name first, so that a stranger cannot learn from the answers what exists elsewhere.
  if (allowed && ![...allowed, ...real!].some((dir) => within(dir, asked))) throw outside();
  let path: string;
  try {
    path = await realpath(asked);
  } catch (error) {
    throw fileError(error, name, rules.baseDir);
  }
  if (real && !real.some((dir) => within(dir, path))) throw outside();
  try {
    // Opening a pipe would wait for a writer: look before.
    regular(await stat(path), name);
    const handle = await open(path, "r");
    try {
      const stats = await handle.stat();
      regular(stats, name);
      return { path, name: basename(asked), size: stats.size, mtimeMs: stats.mtimeMs, ino: stats.ino, compression: await compressionOf(handle, name) };
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileError(error, name, rules.baseDir);
  }
}

/**
 * Opens the file that `findFile` found, and no other.
 *
 * @throws TicklakeError FILE_UNREADABLE when it was replaced or changed since
 */
export async function openFile(file: CsvFile): Promise<FileHandle> {
  let handle: FileHandle;
  try {
    handle = await open(file.path, "r");
  } catch (error) {
    throw fileError(error, file.path, "");
  }
  const stats = await handle.stat();
  if (stats.ino === file.ino && stats.mtimeMs === file.mtimeMs && stats.size === file.size) return handle;
  await handle.close();
  throw new TicklakeError("FILE_UNREADABLE", `${file.name} was changed while it was being replayed. Start it again; let programs that write it finish first.`);
}

function regular(stats: { isFile(): boolean; isDirectory(): boolean }, name: string): void {
  if (stats.isFile()) return;
  throw new TicklakeError("FILE_NOT_ALLOWED", stats.isDirectory()
    ? `${name} is a folder. Name one file; send several names one after the other to replay a folder.`
    : `${name} is a device, pipe or socket; only regular files are replayed.`);
}

function within(dir: string, path: string): boolean {
  const rel = relative(dir, path);
  return rel === "" || (rel !== ".." && !rel.startsWith(`..${sep}`) && !isAbsolute(rel));
}

async function compressionOf(handle: FileHandle, name: string): Promise<Compression> {
  const head = Buffer.alloc(8);
  const { bytesRead } = await handle.read(head, 0, 8, 0);
  if (bytesRead >= 2 && head[0] === 0x1f && head[1] === 0x8b) return "gzip";
  if (bytesRead >= 4 && head.readUInt32LE(0) === 0xfd2fb528) return "zstd";
  for (const [magic, what] of MAGIC) {
    if (bytesRead >= magic.length && magic.every((byte, i) => head[i] === byte)) throw new TicklakeError("FILE_UNREADABLE", `${name} is ${what}.`);
  }
  return "none";
}

function fileError(error: unknown, name: string, baseDir: string): TicklakeError {
  if (error instanceof TicklakeError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new TicklakeError("FILE_NOT_FOUND", `There is no file ${name}.${baseDir === "" || isAbsolute(name) ? " Check the path." : ` Relative names are relative to ${baseDir}.`}`, { cause: error });
  }
  if (code === "EACCES" || code === "EPERM") return new TicklakeError("FILE_UNREADABLE", `${name} may not be read by the user that runs Node-RED. Give it read permission.`, { cause: error });
  if (code === "ELOOP") return new TicklakeError("FILE_NOT_FOUND", `${name} is a symbolic link that leads to itself.`, { cause: error });
  return new TicklakeError("FILE_UNREADABLE", `${name} cannot be read: ${message}`, { cause: error });
}
