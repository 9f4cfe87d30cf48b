/**
 * The tables behind the names of a query: resolved, each read once, with the snapshot that the query sees.
 */
import { TicklakeError } from "../errors";
import type { FileIO } from "../iceberg/io/types";
import type { TableMetadata } from "../iceberg/types";
import { type BaseTable, type Expression, isConstant } from "./ast";
import { isMetadataTable, type MetadataTable, metadataColumns } from "./metadata";
import type { TableUse } from "./tables";
import { parseTime, type SnapshotView, snapshotView, type Travel, travelByName } from "./travel";

/** A table as a query sees it: its metadata at one moment. */
export interface QueryTable {
  /** For people: `local.db.flattened_stocks`. */
  name: string;
  io: FileIO;
  metadata: TableMetadata;
  /** Location of the metadata file, where known (for `.metadata_log_entries`). */
  metadataLocation?: string;
  /** Folder that holds the tables of its catalog, where known: the engine may read below it. */
  root?: string;
}

/** Finds the table that a name means. Throws TABLE_NOT_FOUND, TABLE_NAME_INVALID. */
export type TableResolver = (parts: readonly string[]) => Promise<QueryTable>;

/** A place of a query that reads a table, with what it reads. */
export interface PlannedUse extends TableUse { table: QueryTable; view: SnapshotView; name: string; metadataTable?: MetadataTable }

/** Which snapshot the request itself asks for. */
export interface RequestTravel { snapshotId?: bigint; asOf?: number }

/** Finds what each use of a table reads. */
export async function resolveUses(uses: readonly (TableUse & { travel?: Travel })[], request: RequestTravel & { tables: TableResolver }): Promise<PlannedUse[]> {
  // Each table is read once, so that all its places in the query see the same snapshot.
  const loaded = new Map<string, Promise<QueryTable>>();
  const load: TableResolver = (parts) => {
    const key = JSON.stringify(parts);
    const known = loaded.get(key) ?? request.tables(parts);
    loaded.set(key, known);
    return known;
  };
  const found = await Promise.all(uses.map(async (use) => ({ use, ...(await resolveName(use.parts, load)) })));
  const names = new Set(found.map(({ table }) => table.name));
  if (request.snapshotId !== undefined && names.size > 1) {
    throw new TicklakeError("SQL_INVALID", `snapshotId says which snapshot to read, but the query names ${names.size} tables (${[...names].join(", ")}). Write VERSION AS OF behind the table that is meant.`);
  }
  return found.map(({ use, table, metadataTable, travel: named }) => {
    const written = use.travel ?? atClause(use.ref);
    if (written && named) throw new TicklakeError("SQL_INVALID", `${use.parts.join(".")} names a snapshot already. Leave VERSION AS OF or TIMESTAMP AS OF out, or write the table's name alone.`);
    const view = snapshotView(table.name, table.metadata, written ?? named ?? requestTravel(request));
    return { ...use, table, view, name: metadataTable ? `${table.name}.${metadataTable}` : table.name, ...(metadataTable ? { metadataTable } : {}) };
  });
}

export interface Resolved { table: QueryTable; metadataTable?: MetadataTable; travel?: Travel }

/** `db.t.history` is the history of `db.t` and `db.t.branch_audit` its branch `audit`, unless there is a table of that very name. */
export async function resolveName(parts: readonly string[], load: TableResolver): Promise<Resolved> {
  const last = parts.at(-1)!;
  const metadataTable = isMetadataTable(last) ? last : undefined;
  const travel = travelByName(last);
  if (parts.length < 3 || !(metadataTable || travel)) return { table: await load(parts) };
  try {
    return { table: await load(parts.slice(0, -1)), ...(metadataTable ? { metadataTable } : {}), ...(travel ? { travel } : {}) };
  } catch (error) {
    const table = await load(parts).catch(() => undefined);
    if (table) return { table };
    throw error;
  }
}

/** The columns that a use of a table may name. */
export function columnsOf(use: PlannedUse): string[] {
  return use.metadataTable ? metadataColumns(use.metadataTable, use.table.metadata) : use.view.schema.fields.map((field) => field.name);
}

function requestTravel(request: RequestTravel): Travel | undefined {
  if (request.snapshotId !== undefined) return { kind: "version", version: request.snapshotId };
  return request.asOf === undefined ? undefined : { kind: "time", ms: request.asOf };
}

/** DuckDB's own `AT (VERSION => n)` and `AT (TIMESTAMP => '...')`. */
function atClause(ref: BaseTable): Travel | undefined {
  const clause = ref.at_clause;
  if (!clause) return undefined;
  const inner = clause.expr.class === "CAST" ? (clause.expr.child as Expression) : clause.expr;
  const value = isConstant(inner) ? inner.value.value : undefined;
  if (clause.unit.toUpperCase() === "VERSION") {
    if (typeof value === "string") return { kind: "version", version: value };
    if (typeof value === "bigint" || typeof value === "number") return { kind: "version", version: BigInt(value) };
  } else if (typeof value === "string") {
    const ms = parseTime(value, "AT (TIMESTAMP)");
    if (ms !== undefined) return { kind: "time", ms };
  }
  throw new TicklakeError("SQL_INVALID", "AT takes (VERSION => snapshot id) or (TIMESTAMP => '2024-11-01 10:00:00').");
}
