import { randomUUID } from "node:crypto";
import { TicklakeError } from "../../errors";
import { type FileIO, joinLocation } from "../io/types";
import { encodeMetadata } from "../metadata-json";
import { newTableMetadata } from "../metadata";
import type { TableIdentifier } from "../types";
import { checkSameTable, purgeDropped } from "./drop";
import { HadoopTable, type HadoopTableOptions } from "./hadoop-table";
import { HadoopVersions } from "./hadoop-versions";
import { checkIdentifier, identifierText } from "./identifier";
import type { Catalog, CreateTable, DropTable, Table } from "./types";

export interface HadoopCatalogOptions {
  /** First part of full table names, by default `local`. */
  readonly name?: string;
  /** Location of the warehouse: `<warehouse>/db/trades` holds the table `db.trades`. */
  readonly warehouse: string;
  readonly io: FileIO;
  readonly now?: () => number;
  readonly uuid?: () => string;
  readonly onWarning?: (message: string, error: unknown) => void;
}

/**
 * Iceberg's file-based catalog: a folder per namespace and table, nothing else. Spark opens it with `type = hadoop` and the same warehouse.
 *
 * Several of our own writers may commit to one table at once. Other engines that write to it at the same moment may overwrite a commit (Spark looks for
 * the next version and then renames onto it): for several writing engines use a REST catalog.
 */
export class HadoopCatalog implements Catalog {
  readonly name: string;
  readonly io: FileIO;
  readonly #options: HadoopCatalogOptions;
  readonly #now: () => number;
  readonly #uuid: () => string;

  constructor(options: HadoopCatalogOptions) {
    this.name = options.name ?? "local";
    this.io = options.io;
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#uuid = options.uuid ?? randomUUID;
  }

  tableLocation(identifier: TableIdentifier): string {
    const { namespace, name } = checkIdentifier(identifier);
    return joinLocation(this.#options.warehouse, ...namespace, name);
  }

  async loadTable(identifier: TableIdentifier): Promise<Table> {
    const options = this.#tableOptions(identifier);
    const table = await HadoopTable.load(options);
    if (table) return table;
    const foreign = await new HadoopVersions(this.io, options.location).foreignMetadata();
    const reason = foreign
      ? `${options.location} is a table of another kind of catalog (${foreign.slice(foreign.lastIndexOf("/") + 1)}), which this one cannot see. Open it through that catalog.`
      : `There is nothing at ${options.location}. Check the name and the warehouse, or create the table.`;
    throw new TicklakeError("TABLE_NOT_FOUND", `No table ${options.fullName}: ${reason}`);
  }

  async tableExists(identifier: TableIdentifier): Promise<boolean> {
    return (await new HadoopVersions(this.io, this.tableLocation(identifier)).current()) !== undefined;
  }

  async createTable(identifier: TableIdentifier, table: CreateTable): Promise<Table> {
    const options = this.#tableOptions(identifier);
    const versions = new HadoopVersions(this.io, options.location);
    if (await versions.current()) throw exists(options.fullName);
    const uuid = this.#uuid();
    const metadata = newTableMetadata({ ...table, location: options.location, uuid, nowMs: this.#now() });
    try {
      await this.io.create(versions.locationOf(1), encodeMetadata(metadata));
    } catch (error) {
      if (!(error instanceof TicklakeError)) throw error;
      if (error.code === "FILE_EXISTS") throw exists(options.fullName, error);
      if (error.code !== "COMMIT_UNKNOWN") throw error;
      // Reading tells below whether the table that is there is ours.
    }
    const created = await HadoopTable.load(options);
    if (!created) throw new TicklakeError("STORAGE_FAILED", `The table ${options.fullName} could not be created at ${options.location}. It is tried again.`);
    if (created.state.metadata["table-uuid"] !== uuid) {
      // Ours came so late that version 1 of another table had been trimmed already: nobody will read it.
      if (created.state.version > 1) await this.io.delete(versions.locationOf(1));
      throw exists(options.fullName);
    }
    await versions.writeHint(1).catch((error: unknown) => this.#options.onWarning?.(`${options.fullName}: the version hint could not be written; the next commit writes it.`, error));
    return created;
  }

  async dropTable(identifier: TableIdentifier, { purge = false, uuid }: DropTable = {}): Promise<void> {
    const table = await this.loadTable(identifier);
    checkSameTable(table, uuid);
    await new HadoopVersions(this.io, table.location).removeAll();
    if (purge) await purgeDropped(table);
  }

  async listTables(namespace: readonly string[]): Promise<TableIdentifier[]> {
    const found: TableIdentifier[] = [];
    for (const name of await this.#folders(namespace)) {
      const identifier = { namespace: [...namespace], name };
      if (await this.tableExists(identifier)) found.push(identifier);
    }
    return found;
  }

  async listNamespaces(parent: readonly string[] = []): Promise<string[][]> {
    const found: string[][] = [];
    for (const name of await this.#folders(parent)) {
      if (!(await this.tableExists({ namespace: [...parent], name }))) found.push([...parent, name]);
    }
    return found;
  }

  /** Folders whose names can be tables or namespaces, sorted. Other folders of the warehouse are none of ours. */
  async #folders(namespace: readonly string[]): Promise<string[]> {
    const { folders } = await this.io.listFolder(joinLocation(this.#options.warehouse, ...namespace));
    return folders.filter((name) => !/^[._]/.test(name) && isSafe(name)).sort();
  }

  #tableOptions(identifier: TableIdentifier): HadoopTableOptions {
    return {
      identifier, fullName: `${this.name}.${identifierText(identifier)}`, location: this.tableLocation(identifier), io: this.io, now: this.#now,
      ...(this.#options.onWarning ? { onWarning: this.#options.onWarning } : {}),
    };
  }
}

function isSafe(name: string): boolean {
  try {
    checkIdentifier({ namespace: [], name });
    return true;
  } catch {
    return false;
  }
}

function exists(name: string, cause?: unknown): TicklakeError {
  return new TicklakeError("TABLE_EXISTS", `The table ${name} exists already. Load it, or choose another name.`, { cause });
}
