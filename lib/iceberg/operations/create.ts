/** Creating and dropping tables. */
import { TicklakeError } from "../../errors";
import { identifierText } from "../catalog/identifier";
import type { Catalog, Table } from "../catalog/types";
import { booleanProperty } from "../metadata";
import { parseSchema, presetSchema, TRADES_PARTITION_BY } from "../schema";
import { ownFiles } from "../table-files";
import { parsePartitionBy, UNPARTITIONED } from "../transforms";
import { parseColumnsText } from "../type-text";
import type { TableIdentifier } from "../types";
import { describeTable, type TableDescription } from "./describe";
import { LISTED, type OperationContext } from "./context";

export interface CreateOptions {
  /** `trades`, `trades-readable`, columns as in Spark's CREATE TABLE (`id bigint, S string`), or a schema as Iceberg's JSON (text or object). */
  readonly schema?: unknown;
  /** `truncate[86400000](timestamp), S`; empty = not partitioned. By default that of the preset, else none. */
  readonly partitionBy?: string;
  readonly properties?: Readonly<Record<string, string>>;
  /** A table that is there already is no error; it stays as it is. */
  readonly ifNotExists?: boolean;
}

export interface CreateResult extends TableDescription { readonly created: boolean }

/** @throws TicklakeError TABLE_EXISTS, SCHEMA_INVALID, PARTITION_SPEC_INVALID, TABLE_NAME_INVALID, STORAGE_* */
export async function createTableOperation(catalog: Catalog, identifier: TableIdentifier, options: CreateOptions, context: OperationContext = {}): Promise<CreateResult | { created: false; location: string }> {
  const wanted = options.schema ?? "trades";
  const preset = typeof wanted === "string" ? presetSchema(wanted.trim()) : undefined;
  const schema = preset ?? parseSchema(typeof wanted === "string" && /^[^\s{["]+\s*:?\s+\S/.test(wanted.trim()) ? { type: "struct", fields: parseColumnsText(wanted) } : wanted);
  const partitionBy = options.partitionBy ?? (preset ? TRADES_PARTITION_BY : "");
  const spec = partitionBy.trim() === "" ? UNPARTITIONED : parsePartitionBy(partitionBy, schema);
  const existing = async (): Promise<CreateResult> => ({ created: false, ...(await describeTable(await catalog.loadTable(identifier))) });
  if (context.dryRun) {
    if (!(await catalog.tableExists(identifier))) return { created: false, location: catalog.tableLocation(identifier) };
    if (options.ifNotExists) return existing();
    throw new TicklakeError("TABLE_EXISTS", `The table ${catalog.name}.${identifierText(identifier)} exists already. Choose another name, or let what is there stay (ifNotExists).`);
  }
  try {
    const table = await catalog.createTable(identifier, { schema, spec, ...(options.properties ? { properties: options.properties } : {}) });
    return { created: true, ...(await describeTable(table)) };
  } catch (error) {
    if (options.ifNotExists && error instanceof TicklakeError && error.code === "TABLE_EXISTS") return existing();
    throw error;
  }
}

export interface DropResult {
  readonly dropped: boolean;
  readonly purge: boolean;
  readonly location: string;
  readonly snapshots: number;
  /** Of files in the table's folder, where they were counted: those that purge deletes (in a dry run: would delete). */
  readonly files_count?: number;
  readonly bytes?: number;
  /** The first of them (dry run). */
  readonly files?: readonly string[];
}

/**
 * Drops a table. Without `purge` its data files stay where they are; with it every file in its folder goes, but never one outside of it, nor those of another table
 * that lies inside.
 *
 * @throws TicklakeError TABLE_NOT_FOUND, TABLE_REPLACED, TABLE_UNSUPPORTED (gc.enabled = false), STORAGE_*
 */
export async function dropTableOperation(catalog: Catalog, table: Table, { purge = false }: { purge?: boolean }, context: OperationContext = {}): Promise<DropResult> {
  const { metadata } = await table.refresh();
  if (purge) checkGarbageCollection(table, "dropped with purge");
  const facts = { purge, location: table.location, snapshots: metadata.snapshots.length };
  const found = purge ? await countFiles(table) : undefined;
  if (context.dryRun) return { dropped: false, ...facts, ...found };
  await catalog.dropTable(table.identifier, { purge, uuid: metadata["table-uuid"] });
  return { dropped: true, ...facts, ...(found ? { files_count: found.files_count, bytes: found.bytes } : {}) };
}

async function countFiles(table: Table): Promise<{ files_count: number; bytes: number; files: string[] }> {
  const files: string[] = [];
  let count = 0, bytes = 0;
  for await (const file of ownFiles(table.io, table.location)) {
    count++;
    bytes += file.size;
    if (files.length < LISTED) files.push(file.location);
  }
  return { files_count: count, bytes, files };
}

/** Iceberg's `gc.enabled`: data files of the table belong to somebody else too (a migrated table's), so nothing may delete them. */
export function checkGarbageCollection(table: Table, what: string): void {
  if (booleanProperty(table.state.metadata, "gc.enabled", true)) return;
  throw new TicklakeError("TABLE_UNSUPPORTED", `${table.fullName} has gc.enabled = false: its files may belong to another table too. It cannot be ${what} until the property is removed.`);
}
