/**
 * Where tables lie. Everything that reads or writes a table goes through a FileIO, so the same code works on a folder,
 * on an object store, and on a scripted store in the tests.
 *
 * A *location* is the text that stands in table metadata: an absolute path, a `file:` URI, later `s3://` and `s3a://`.
 */

/** What is known of a file without reading it. */
export interface FileInfo {
  readonly location: string;
  /** Bytes. */
  readonly size: number;
  /** Unix ms. */
  readonly modifiedMs: number;
  /** Changes whenever another file takes the name (inode and time on a disk, ETag on an object store). */
  readonly version: string;
}

/** One level of a folder. */
export interface FolderListing {
  readonly files: readonly FileInfo[];
  /** Names of the folders in it, without separators. */
  readonly folders: readonly string[];
}

export interface CreateOptions {
  /** Called when the bytes are staged and only the atomic step is left (for tests that stop there). */
  readonly staged?: () => void | Promise<void>;
}

export interface ReplaceOptions {
  /** Looks at what is there now, in one step with the replacement: true = leave it alone. */
  readonly unless?: (current: Uint8Array | undefined) => boolean;
}

/**
 * Durable storage of whole, immutable files. A write that has returned survives a crash of the machine.
 *
 * Errors are TicklakeErrors: FILE_NOT_FOUND, FILE_EXISTS, STORAGE_DENIED, STORAGE_FULL, STORAGE_FAILED (nothing was
 * written), COMMIT_UNKNOWN (it may or may not have been written: look before doing anything).
 */
export interface FileIO {
  /** Throws FILE_NOT_ALLOWED for a location that this process may not touch: for what opens a local file by its path, past this interface. */
  admit?(location: string): Promise<void>;
  /** The whole file. FILE_NOT_FOUND when it is not there. */
  read(location: string): Promise<Uint8Array>;
  /** `length` bytes from `offset`; fewer at the end of the file. */
  readRange(location: string, offset: number, length: number): Promise<Uint8Array>;
  /** Undefined when it is not there. */
  stat(location: string): Promise<FileInfo | undefined>;
  exists(location: string): Promise<boolean>;
  /** Writes under a name that nobody else uses (data files, manifests). FILE_EXISTS when somebody does. Readers must not look before it has returned. */
  write(location: string, bytes: Uint8Array): Promise<void>;
  /**
   * Appears whole or not at all; of several that create one name at once exactly one wins, the others get FILE_EXISTS.
   *
   * @returns the version (FileInfo) of what was created: by it a later look tells whether it is still that file
   */
  create(location: string, bytes: Uint8Array, options?: CreateOptions): Promise<string>;
  /** Replaces a file whole: readers see the old or the new one, never a part. False when `unless` held it back. */
  replace(location: string, bytes: Uint8Array, options?: ReplaceOptions): Promise<boolean>;
  /** Deletes; a file that is not there is fine. */
  delete(location: string): Promise<void>;
  /** One level of a folder; empty when it does not exist. */
  listFolder(location: string): Promise<FolderListing>;
  /** All files below a folder. */
  listAll(location: string): AsyncIterable<FileInfo>;
}

/** A location below another. */
export function joinLocation(base: string, ...parts: string[]): string {
  return [base.replace(/\/+$/, ""), ...parts].join("/");
}
