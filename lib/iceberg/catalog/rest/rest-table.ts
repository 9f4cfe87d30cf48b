import { TicklakeError } from "../../../errors";
import type { FileIO } from "../../io/types";
import { stringifyJson } from "../../json";
import { snapshotById } from "../../metadata";
import type { TableIdentifier } from "../../types";
import type { MetadataUpdate } from "../../updates";
import type { CommitProbe, Table, TableState } from "../types";
import { type LoadedTable, type ReadTable, versionOf } from "./answers";
import { restError, RestFailure } from "./failure";
import { mayStillLand, requirementsOf } from "./requirements";
import type { RestSession } from "./session";
import type { TableStorage } from "./storage";
import { TableReader } from "./table-reader";
import { guardWatermarks } from "./watermark-guard";

export interface RestTableOptions {
  readonly identifier: TableIdentifier;
  readonly fullName: string;
  readonly session: RestSession;
  readonly storage: TableStorage;
  /** The table as it was loaded or created. */
  readonly loaded: LoadedTable;
  /** Loads it anew and has the answer read; undefined when it is what `etag` names. */
  readonly load: (etag: string | undefined, read: ReadTable) => Promise<LoadedTable | undefined>;
  readonly now: () => number;
}

/** A table of a REST catalog: the server holds the pointer to the current version, checks what a commit requires, and writes the metadata. */
export class RestTable implements Table {
  readonly identifier: TableIdentifier;
  readonly fullName: string;
  readonly io: FileIO;
  readonly #options: RestTableOptions;
  readonly #reader = new TableReader();
  #state: TableState;
  #etag: string | undefined;
  /** Counts requests and answers: an answer to a request from before the current state was known tells nothing new. */
  #clock = 0;
  #known = 0;

  constructor(options: RestTableOptions) {
    this.#options = options;
    this.identifier = options.identifier;
    this.fullName = options.fullName;
    this.io = options.storage.io;
    this.#state = stateOf(options.loaded);
    this.#etag = options.loaded.etag;
  }

  readonly #read: ReadTable = (text, name, etag) => this.#reader.read(text, name, etag, this.#state);

  get state(): TableState { return this.#state; }

  get location(): string { return this.#state.metadata.location; }

  async refresh(): Promise<TableState> {
    const sent = ++this.#clock;
    const loaded = await this.#options.load(this.#etag, this.#read);
    return loaded ? this.#adopt(loaded, sent) : this.#state;
  }

  mayStillLand(base: TableState, now: TableState): boolean {
    return mayStillLand(base.metadata, now.metadata);
  }

  async commit(base: TableState, updates: readonly MetadataUpdate[], probe?: CommitProbe): Promise<TableState> {
    if (base.formatVersion === 1) {
      throw new TicklakeError("TABLE_UNSUPPORTED", `${this.fullName} has Iceberg format version 1, which is read but not written. Upgrade it: ALTER TABLE ... SET TBLPROPERTIES ('format-version' = '2').`);
    }
    if (!(await this.#options.session.offers("commitTable"))) throw new TicklakeError("TABLE_UNSUPPORTED", `The catalog at ${this.#options.session.uri} offers no commits: its tables can only be read.`);
    const guarded = await guardWatermarks(this, base, updates, this.#options.now());
    try {
      await probe?.("before-metadata");
      return await this.#commit(base, guarded.updates, probe);
    } catch (error) {
      if (!(error instanceof TicklakeError && error.code === "COMMIT_UNKNOWN") && !(await this.#mayHold(guarded.snapshotId))) await guarded.undo();
      throw error;
    }
  }

  async #commit(base: TableState, updates: readonly MetadataUpdate[], probe: CommitProbe | undefined): Promise<TableState> {
    const { session } = this.#options;
    const { namespace, name } = this.identifier;
    const body = stringifyJson({ identifier: { namespace, name }, requirements: requirementsOf(base.metadata, updates), updates });
    let text: string;
    try {
      // One attempt: a second one would meet the work of the first, and pass for a conflict.
      ({ text } = await session.sendTo("commitTable", this.identifier, { body, once: true }));
    } catch (error) {
      throw await this.#refused(error, base);
    }
    try {
      await probe?.("after-link");
      // No ETag: that of an answer to a commit need not be that of the table as it is loaded.
      return this.#adopt(this.#read(text, this.fullName, null), ++this.#clock);
    } catch (error) {
      throw new TicklakeError("COMMIT_UNKNOWN", `The catalog took a commit to ${this.fullName}, but what followed failed. The table is read again to find out.`, { cause: error });
    }
  }

  /** What a commit that the server did not confirm has come to. */
  async #refused(error: unknown, base: TableState): Promise<TicklakeError> {
    const { session } = this.#options;
    if (!(error instanceof RestFailure)) return restError(error, session.uri, `take a commit to ${this.fullName}`);
    if (error.unknown) {
      return new TicklakeError("COMMIT_UNKNOWN", `Whether the commit to ${this.fullName} landed is not known (${error.message}${error.status === undefined ? "" : `, ${error.status}`}). The table is read again to find out.`, { cause: error });
    }
    // 412: of something between that repeated the request by itself.
    if (error.status === 409 || error.status === 412) return conflict(this.fullName, error);
    if (error.status === 404) return notFound(this.fullName, session.uri, error);
    // Servers that apply updates before they look at what is required refuse what does not fit a newer version.
    if ((error.status === 400 || error.status === 422) && await this.#hasMoved(base)) return conflict(this.fullName, error);
    return restError(error, session.uri, `take a commit to ${this.fullName}`);
  }

  /** A refusal may be that of a repetition by something between, after the first request had landed: then the snapshot is there, and its files stay. */
  async #mayHold(snapshotId: bigint | undefined): Promise<boolean> {
    if (snapshotId === undefined) return false;
    return this.refresh().then(({ metadata }) => snapshotById(metadata, snapshotId) !== undefined, () => true);
  }

  async #hasMoved(base: TableState): Promise<boolean> {
    return this.refresh().then((now) => now.metadataLocation !== base.metadataLocation, () => false);
  }

  #adopt(loaded: LoadedTable, sent: number): TableState {
    this.#options.storage.granted(loaded);
    const before = this.#state;
    const state = before.metadataLocation === loaded.metadataLocation ? before : stateOf(loaded);
    const late = sent < this.#known && !(state.version > before.version);
    if (late) return before;
    // The number goes back where a table was registered anew from an older file: numbers tell nothing then.
    this.#state = sent >= this.#known && state.version < before.version ? { ...state, version: 0 } : state;
    this.#etag = loaded.etag;
    this.#known = ++this.#clock;
    return this.#state;
  }
}

function stateOf({ metadata, metadataLocation, formatVersion }: LoadedTable): TableState {
  return { metadata, metadataLocation, formatVersion, version: versionOf(metadataLocation) };
}

function conflict(name: string, cause: unknown): TicklakeError {
  return new TicklakeError("COMMIT_CONFLICT", `Another writer was first at ${name}. The commit is repeated on top of it.`, { cause });
}

/** There is no such table (any more). */
export function notFound(name: string, uri: string, cause?: unknown): TicklakeError {
  return new TicklakeError("TABLE_NOT_FOUND", `No table ${name}: the catalog at ${uri} has none of that name. Check the name and the warehouse, or create the table.`, cause === undefined ? {} : { cause });
}
