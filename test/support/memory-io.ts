import { TicklakeError } from "../../lib/errors";
import { type CreateOptions, type FileInfo, type FileIO, type FolderListing, joinLocation, type ReplaceOptions } from "../../lib/iceberg/io/types";

/** An object store on a Map: create is atomic, a replaced object has another version. Counts what is asked of it. */
export class MemoryIO implements FileIO {
  readonly files = new Map<string, { bytes: Uint8Array; version: string }>();
  readonly calls: string[] = [];
  #version = 0;

  /** A store with the same files that goes its own way. */
  clone(): MemoryIO {
    const copy = new MemoryIO();
    for (const [location, file] of this.files) copy.files.set(location, file);
    copy.#version = this.#version;
    return copy;
  }

  #get(operation: string, location: string): { bytes: Uint8Array; version: string } | undefined {
    this.calls.push(`${operation} ${location}`);
    return this.files.get(location);
  }

  async read(location: string): Promise<Uint8Array> {
    const file = this.#get("read", location);
    if (!file) throw new TicklakeError("FILE_NOT_FOUND", `no ${location}`);
    return file.bytes;
  }

  async readRange(location: string, offset: number, length: number): Promise<Uint8Array> {
    return (await this.read(location)).subarray(offset, offset + length);
  }

  async stat(location: string): Promise<FileInfo | undefined> {
    const file = this.#get("stat", location);
    return file && { location, size: file.bytes.length, modifiedMs: 0, version: file.version };
  }

  async exists(location: string): Promise<boolean> {
    return (await this.stat(location)) !== undefined;
  }

  #put(location: string, bytes: Uint8Array): void {
    this.files.set(location, { bytes: Uint8Array.from(bytes), version: String(++this.#version) });
  }

  async write(location: string, bytes: Uint8Array): Promise<void> {
    if (this.#get("write", location)) throw new TicklakeError("FILE_EXISTS", `${location} is there`);
    this.#put(location, bytes);
  }

  async create(location: string, bytes: Uint8Array, options: CreateOptions = {}): Promise<string> {
    await options.staged?.();
    if (this.#get("create", location)) throw new TicklakeError("FILE_EXISTS", `${location} is there`);
    this.#put(location, bytes);
    return this.files.get(location)!.version;
  }

  async replace(location: string, bytes: Uint8Array, options: ReplaceOptions = {}): Promise<boolean> {
    if (options.unless?.(this.#get("replace", location)?.bytes)) return false;
    this.#put(location, bytes);
    return true;
  }

  async delete(location: string): Promise<void> {
    this.#get("delete", location);
    this.files.delete(location);
  }

  async listFolder(location: string): Promise<FolderListing> {
    this.calls.push(`list ${location}`);
    const prefix = joinLocation(location, "");
    const files: FileInfo[] = [];
    const folders = new Set<string>();
    for (const [key, file] of this.files) {
      if (!key.startsWith(prefix)) continue;
      const rest = key.slice(prefix.length);
      const slash = rest.indexOf("/");
      if (slash >= 0) folders.add(rest.slice(0, slash));
      else files.push({ location: key, size: file.bytes.length, modifiedMs: 0, version: file.version });
    }
    return { files, folders: [...folders] };
  }

  async *listAll(location: string): AsyncIterable<FileInfo> {
    const prefix = joinLocation(location, "");
    for (const [key, file] of [...this.files]) {
      if (key.startsWith(prefix)) yield { location: key, size: file.bytes.length, modifiedMs: 0, version: file.version };
    }
  }
}
