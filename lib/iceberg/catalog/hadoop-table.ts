import { asTicklakeError, TicklakeError } from "../../errors";
import type { FileIO } from "../io/types";
import { encodeMetadata, parseMetadata } from "../metadata-json";
import { applyUpdates, booleanProperty, logPreviousMetadata, MIN_PREVIOUS_VERSIONS, numberProperty, PROPERTY, shareHistory } from "../metadata";
import type { TableIdentifier } from "../types";
import type { MetadataUpdate } from "../updates";
import { HadoopVersions } from "./hadoop-versions";
import type { CommitProbe, Table, TableState } from "./types";

export interface HadoopTableOptions {
  readonly identifier: TableIdentifier;
  readonly fullName: string;
  readonly location: string;
  readonly io: FileIO;
  readonly now: () => number;
  /** Told what went wrong after a commit was done: hint or trimming. The next commit mends it. */
  readonly onWarning?: (message: string, error: unknown) => void;
}

/** A table on the hadoop layout: versions are numbered files, and creating the next number is the commit. */
export class HadoopTable implements Table {
  readonly identifier: TableIdentifier;
  readonly fullName: string;
  readonly location: string;
  readonly io: FileIO;
  readonly #options: HadoopTableOptions;
  readonly #versions: HadoopVersions;
  #state: TableState;
  /** FileInfo.version of the current metadata file: tells a table that was dropped and created anew. */
  #fileVersion: string;

  private constructor(options: HadoopTableOptions, versions: HadoopVersions, loaded: Loaded) {
    this.identifier = options.identifier;
    this.fullName = options.fullName;
    this.location = options.location;
    this.io = options.io;
    this.#options = options;
    this.#versions = versions;
    this.#state = loaded.state;
    this.#fileVersion = loaded.fileVersion;
  }

  /** Undefined when there is no table. */
  static async load(options: HadoopTableOptions): Promise<HadoopTable | undefined> {
    const versions = new HadoopVersions(options.io, options.location);
    const loaded = await loadCurrent(options.io, versions);
    return loaded && new HadoopTable(options, versions, loaded);
  }

  get state(): TableState {
    return this.#state;
  }

  async refresh(): Promise<TableState> {
    const loaded = await loadCurrent(this.io, this.#versions, { state: this.#state, fileVersion: this.#fileVersion });
    if (!loaded) {
      throw new TicklakeError("TABLE_NOT_FOUND", `The table ${this.fullName} is gone: ${this.location} has no metadata any more. Restore it, or let it be created anew.`);
    }
    this.#state = loaded.state;
    this.#fileVersion = loaded.fileVersion;
    return loaded.state;
  }

  async commit(base: TableState, updates: readonly MetadataUpdate[], probe?: CommitProbe): Promise<TableState> {
    this.#checkWritable(base, updates);
    const applied = applyUpdates(base.metadata, updates, this.#options.now());
    const metadata = logPreviousMetadata(applied, base, MIN_PREVIOUS_VERSIONS);
    const version = base.version + 1;
    const state: TableState = { metadata, version, metadataLocation: this.#versions.locationOf(version), formatVersion: 2 };
    await probe?.("before-metadata");
    const fileVersion = await this.#createVersion(state, probe);
    try {
      await probe?.("after-link");
      await this.#checkNotStalled(base, state, updates);
    } catch (error) {
      if (error instanceof TicklakeError && SETTLED.has(error.code)) throw error;
      throw new TicklakeError("COMMIT_UNKNOWN", `Version ${version} of ${this.fullName} was written, but what followed failed. The table is read again to find out.`, { cause: error });
    }
    await this.#tidy(state, probe);
    await this.#checkNotOverwritten(state, fileVersion);
    this.#state = state;
    this.#fileVersion = fileVersion;
    return state;
  }

  /**
   * Spark looks whether a version exists and then renames onto it: in between, ours may appear and be overwritten. None of our own writers can
   * do that, and a look after the hint was written finds nearly all such cases, but not all: several engines on one table need a REST catalog.
   */
  async #checkNotOverwritten(state: TableState, fileVersion: string): Promise<void> {
    const now = await this.io.stat(state.metadataLocation).catch(() => undefined);
    // Gone: trimmed, by others who had built on it.
    if (now === undefined || now.version === fileVersion) return;
    throw new TicklakeError("COMMIT_UNKNOWN", `Another engine wrote over version ${state.version} of ${this.fullName}. The table is read again, and the commit repeated if it is lost.`);
  }

  #checkWritable(base: TableState, updates: readonly MetadataUpdate[]): void {
    if (base.formatVersion === 1) {
      throw new TicklakeError("TABLE_UNSUPPORTED", `${this.fullName} has Iceberg format version 1, which is read but not written. Upgrade it: ALTER TABLE ... SET TBLPROPERTIES ('format-version' = '2').`);
    }
    const codec = updates.reduce((found, update) => (update.action === "set-properties" ? (update.updates[METADATA_CODEC] ?? found) : found), base.metadata.properties[METADATA_CODEC]);
    if (codec !== undefined && codec.toLowerCase() !== "none") {
      // A gzipped version has another file name: creating the plain one would not collide with it, and two writers would both win.
      throw new TicklakeError("TABLE_UNSUPPORTED", `${this.fullName} keeps its metadata compressed (${METADATA_CODEC} = ${codec}), so commits of several writers cannot be told apart on this layout. Set the property to none.`);
    }
  }

  async #createVersion(state: TableState, probe: CommitProbe | undefined): Promise<string> {
    try {
      return await this.io.create(state.metadataLocation, encodeMetadata(state.metadata), { staged: () => probe?.("after-temp-metadata") });
    } catch (error) {
      if (error instanceof TicklakeError && error.code === "FILE_EXISTS") {
        throw new TicklakeError("COMMIT_CONFLICT", `Another writer was first with version ${state.version} of ${this.fullName}. The commit is repeated on top of it.`, { cause: error });
      }
      throw error;
    }
  }

  /**
   * A writer that stalled while others made more commits than versions are kept creates a file whose name was trimmed: nobody will ever read it. Since
   * the oldest is deleted first, its base is gone then. If it is gone, the sequence number says who won: each stands once in the table's line.
   */
  async #checkNotStalled(base: TableState, state: TableState, updates: readonly MetadataUpdate[]): Promise<void> {
    if (await this.io.exists(base.metadataLocation)) return;
    const current = await loadCurrent(this.io, this.#versions);
    const added = updates.find((update) => update.action === "add-snapshot")?.snapshot;
    if (current && current.state.version > state.version) {
      const winner = added && current.state.metadata.snapshots.find((snapshot) => snapshot["sequence-number"] === added["sequence-number"]);
      if (!added || !winner) throw new TicklakeError("COMMIT_UNKNOWN", `Version ${state.version} of ${this.fullName} was written so late that its outcome is not known.`);
      if (winner["snapshot-id"] === added["snapshot-id"]) return;
      await this.io.delete(state.metadataLocation);
      throw new TicklakeError("COMMIT_CONFLICT", `Other writers were more than ${MIN_PREVIOUS_VERSIONS} commits ahead on ${this.fullName}. The commit is repeated on top of them.`);
    }
    // Only our own file is left: the table was dropped while we wrote.
    await this.io.delete(state.metadataLocation);
    throw new TicklakeError("TABLE_NOT_FOUND", `The table ${this.fullName} was dropped during a commit.`);
  }

  /** What follows a commit that is done: nothing in here can undo it, so nothing in here fails it. */
  async #tidy(state: TableState, probe: CommitProbe | undefined): Promise<void> {
    try {
      await probe?.("before-hint");
      const hint = await this.#versions.writeHint(state.version);
      await probe?.("after-hint");
      if (hint >= state.version && booleanProperty(state.metadata, PROPERTY.deletePrevious, false)) {
        const keep = Math.max(MIN_PREVIOUS_VERSIONS, numberProperty(state.metadata, PROPERTY.previousVersions, 100));
        await this.#versions.trim(state.version - keep - 1);
      }
      await probe?.("after-trim");
    } catch (error) {
      this.#options.onWarning?.(`${this.fullName}: version ${state.version} is committed, but the hint or the trimming of old versions failed (${asTicklakeError(error).message}). The next commit mends it.`, error);
    }
  }
}

const METADATA_CODEC = "write.metadata.compression-codec";
/** Outcomes that are known. */
const SETTLED: ReadonlySet<string> = new Set(["COMMIT_CONFLICT", "COMMIT_UNKNOWN", "TABLE_NOT_FOUND"]);

interface Loaded { readonly state: TableState; readonly fileVersion: string }

/** How often a version may vanish (trimmed, replaced) between finding and reading it. */
const ATTEMPTS = 10;

/** The current version; the very same state object when nothing has changed. */
async function loadCurrent(io: FileIO, versions: HadoopVersions, known?: Loaded): Promise<Loaded | undefined> {
  for (let attempt = 1; ; attempt++) {
    const found = await versions.current(known?.state.version, known?.state.metadataLocation.includes(".gz"));
    if (!found) return undefined;
    if (known?.state.metadataLocation === found.location && known.fileVersion === found.info.version) return known;
    try {
      const { metadata, formatVersion } = parseMetadata(await io.read(found.location), found.location);
      if (known) shareHistory(metadata, known.state.metadata);
      return { state: { metadata, formatVersion, version: found.version, metadataLocation: found.location }, fileVersion: found.info.version };
    } catch (error) {
      if (!(error instanceof TicklakeError) || error.code !== "FILE_NOT_FOUND") throw error;
      if (attempt >= ATTEMPTS) throw new TicklakeError("STORAGE_FAILED", `${found.location} vanished ${attempt} times while it was read. Is the table being deleted?`, { cause: error });
    }
  }
}
