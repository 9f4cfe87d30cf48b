import type { FileIO } from "../io/types";
import type { MetadataUpdate } from "../updates";
import type { PartitionSpec, Schema, TableIdentifier, TableMetadata } from "../types";

/** One version of a table, as read. Never changed in place. */
export interface TableState {
  readonly metadata: TableMetadata;
  readonly metadataLocation: string;
  /** Number of the version: N of `vN.metadata.json`; for other catalogs the number in the file's name, or 0. */
  readonly version: number;
  /** What the file says; `metadata` itself is always in the form of version 2. Version 1 is read, not written. */
  readonly formatVersion: 1 | 2;
}

/** The named steps of a commit, in their order. Tests stop or fail there. */
export type CommitPoint =
  | "before-data" | "after-data" | "after-manifest" | "after-manifest-list" | "before-metadata" | "after-temp-metadata" | "after-link" | "before-hint" | "after-hint"
  | "after-trim";

/** Called at every step of a commit. What it throws passes for a failure of that step. */
export type CommitProbe = (point: CommitPoint) => void | Promise<void>;

/** A table of a catalog. `state` is the version last read; `refresh` reads anew. */
export interface Table {
  readonly identifier: TableIdentifier;
  /** For people: `local.db.trades`. */
  readonly fullName: string;
  readonly io: FileIO;
  readonly location: string;
  readonly state: TableState;
  /** Reads the current version (cheap when nothing has changed). TABLE_NOT_FOUND when the table is gone. */
  refresh(): Promise<TableState>;
  /**
   * Makes `updates` of `base` the next version, in one atomic step, and only if `base` is still the current one.
   *
   * @throws TicklakeError COMMIT_CONFLICT (somebody was first: refresh and try again), COMMIT_UNKNOWN (it may have happened: refresh and
   *   look), any other: it has not happened
   */
  commit(base: TableState, updates: readonly MetadataUpdate[], probe?: CommitProbe): Promise<TableState>;
  /**
   * Whether a commit on `base` that had no answer may still get through, now that the table is at `now`. Without it: as long as that is the same version. A server that
   * compares only parts of a version may take it on a later one, too.
   */
  mayStillLand?(base: TableState, now: TableState): boolean;
}

export interface CreateTable {
  readonly schema: Schema;
  readonly spec: PartitionSpec;
  readonly properties?: Readonly<Record<string, string>>;
}

export interface DropTable {
  readonly purge?: boolean;
  /** The table that is meant. */
  readonly uuid?: string;
}

/** Where tables are found by name. */
export interface Catalog {
  readonly name: string;
  readonly io: FileIO;
  /** Finds a table. TABLE_NOT_FOUND when there is none. */
  loadTable(identifier: TableIdentifier): Promise<Table>;
  /** Creates a table. TABLE_EXISTS when there is one already. */
  createTable(identifier: TableIdentifier, table: CreateTable): Promise<Table>;
  /**
   * Drops a table: its name is free afterwards. Its data files stay, unless `purge` deletes them; files outside of the table's location always stay.
   *
   * @throws TicklakeError TABLE_NOT_FOUND; TABLE_REPLACED when it is not the table with this uuid
   */
  dropTable(identifier: TableIdentifier, options?: DropTable): Promise<void>;
  tableExists(identifier: TableIdentifier): Promise<boolean>;
  /** Tables directly in a namespace, sorted. */
  listTables(namespace: readonly string[]): Promise<TableIdentifier[]>;
  /** Namespaces directly in a namespace (by default the topmost), sorted. */
  listNamespaces(parent?: readonly string[]): Promise<string[][]>;
  /** Where a table of this name lies or would lie. */
  tableLocation(identifier: TableIdentifier): string;
}
