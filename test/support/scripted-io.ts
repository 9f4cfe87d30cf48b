import { TicklakeError } from "../../lib/errors";
import type { CreateOptions, FileInfo, FileIO, FolderListing, ReplaceOptions } from "../../lib/iceberg/io/types";

export type Operation = "read" | "readRange" | "stat" | "write" | "create" | "replace" | "delete" | "listFolder";

/**
 * How a call fails.
 * - `before`: nothing happened, and that is certain (EIO).
 * - `after`: it happened, then the answer was an error.
 * - `lost`: the time ran out, nothing happened.
 * - `landed`: the time ran out, but it had happened.
 * - `late`: the time ran out, and it happens some turns of the event loop later.
 */
export type Fault = "before" | "after" | "lost" | "landed" | "late";

/** A store that fails by a script: `plan` sees every call with its number (from 0) and says how it fails. */
export class ScriptedIO implements FileIO {
  readonly log: { operation: Operation; location: string; fault?: Fault }[] = [];
  /** Resolves when every late call has happened. */
  readonly #late: Promise<unknown>[] = [];

  constructor(readonly inner: FileIO, public plan: (call: { operation: Operation; location: string; n: number }) => Fault | undefined = () => undefined) {}

  async settled(): Promise<void> {
    await Promise.allSettled(this.#late);
  }

  async #run<T>(operation: Operation, location: string, call: () => Promise<T>): Promise<T> {
    const fault = this.plan({ operation, location, n: this.log.length });
    this.log.push({ operation, location, ...(fault ? { fault } : {}) });
    if (fault === undefined) return call();
    const changes = operation === "write" || operation === "create" || operation === "replace" || operation === "delete";
    if (fault === "landed" || fault === "after") await call();
    if (fault === "late" && changes) this.#late.push(turns(5).then(call).catch(() => undefined));
    const unknown = operation === "create" && fault !== "before";
    throw new TicklakeError(unknown ? "COMMIT_UNKNOWN" : "STORAGE_FAILED", `scripted: ${operation} ${location} (${fault})`);
  }

  read(location: string): Promise<Uint8Array> {
    return this.#run("read", location, () => this.inner.read(location));
  }

  readRange(location: string, offset: number, length: number): Promise<Uint8Array> {
    return this.#run("readRange", location, () => this.inner.readRange(location, offset, length));
  }

  stat(location: string): Promise<FileInfo | undefined> {
    return this.#run("stat", location, () => this.inner.stat(location));
  }

  exists(location: string): Promise<boolean> {
    return this.#run("stat", location, () => this.inner.exists(location));
  }

  write(location: string, bytes: Uint8Array): Promise<void> {
    return this.#run("write", location, () => this.inner.write(location, bytes));
  }

  create(location: string, bytes: Uint8Array, options?: CreateOptions): Promise<string> {
    return this.#run("create", location, () => this.inner.create(location, bytes, options));
  }

  replace(location: string, bytes: Uint8Array, options?: ReplaceOptions): Promise<boolean> {
    return this.#run("replace", location, () => this.inner.replace(location, bytes, options));
  }

  delete(location: string): Promise<void> {
    return this.#run("delete", location, () => this.inner.delete(location));
  }

  listFolder(location: string): Promise<FolderListing> {
    return this.#run("listFolder", location, () => this.inner.listFolder(location));
  }

  listAll(location: string): AsyncIterable<FileInfo> {
    return this.inner.listAll(location);
  }
}

/** Lets other work go on for some turns of the event loop. */
export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((done) => setImmediate(done));
}
