/**
 * Runs `CALL catalog.system.procedure(...)` on Iceberg tables: the operations of iceberg-table, with Spark's arguments and result columns.
 */
import { asTicklakeError, TicklakeError } from "../errors";
import { splitName } from "../iceberg/catalog/identifier";
import { type OperationResult, runOperation } from "../iceberg/operations";
import type { OperationContext } from "../iceberg/operations/context";
import type { Predicate } from "../iceberg/scan/predicate";
import { type BoundCall, bindArguments, procedureOf } from "./call-arguments";
import { parseCall } from "./call-parser";
import { type CatalogTables, locateTable, type QueryCatalog } from "./catalog-tables";
import type { SqlEngine } from "./engine";
import { plainValue, type ResultColumn } from "./results";
import type { QueryTable } from "./uses";

export interface CallRequest {
  readonly sql: string;
  /** The catalog of names without one. */
  readonly own: QueryCatalog;
  /** All catalogs that may be named. */
  readonly others: readonly QueryCatalog[];
  readonly tables: CatalogTables;
  /** Reads the condition of `where`. */
  readonly engine: Pick<SqlEngine, "condition">;
  /** Rows returned at the most (10000): remove_orphan_files has one per file. */
  readonly maxRows?: number;
}

export interface CallResult {
  /** Spark's rows and columns; values as plainValue describes. */
  readonly rows: Record<string, unknown>[];
  readonly columns: ResultColumn[];
  /** More files were removed than rows tell. */
  readonly truncated: boolean;
  /** `local.system.expire_snapshots`. */
  readonly procedure: string;
  /** All that the operation tells. */
  readonly operation: OperationResult;
}

/**
 * Runs one CALL.
 *
 * @throws TicklakeError SQL_INVALID (text, procedure, arguments), CATALOG_INVALID, TABLE_NAME_INVALID, TABLE_NOT_FOUND, TABLE_BUSY, STOPPED, and what the operation throws
 */
export async function runCall(request: CallRequest, context: OperationContext = {}): Promise<CallResult> {
  const parsed = parseCall(request.sql);
  const { catalog: called, text } = catalogOf(parsed.name, request);
  const { name, procedure } = procedureOf(text);
  const bound = bindArguments(name, procedure, parsed.arguments);
  const { catalog, identifier } = locateTable(splitName(bound.table), called ?? request.own, request.others);
  if (called && catalog !== called) throw new TicklakeError("SQL_INVALID", `${called.name}.system.${name} cannot run on ${bound.table}: that table is in the catalog ${catalog.name}. CALL ${catalog.name}.system.${name}(...).`);
  // Read beforehand: what is not there is answered with the tables that are, and conditions and branches are those of this table.
  const table = await request.tables.read(catalog, identifier);
  const { where, options } = await settled(name, bound, table, request, context.signal);
  const result = await runOperation({ catalog, table: identifier, operation: procedure.operation, options, ...(where ? { where } : {}) }, context);
  return { ...rowsOf(procedure.columns, result, request.maxRows ?? 10_000), columns: [...procedure.columns], procedure: `${catalog.name}.system.${name}`, operation: result };
}

/** The catalog that a procedure's name says; `spark_catalog` and none leave it to the table's name. */
function catalogOf(name: readonly string[], { own, others }: CallRequest): { catalog?: QueryCatalog; text: string } {
  const text = name.at(-1)!;
  if (name.length > 3 || name.length < 2 || name.at(-2)!.toLowerCase() !== "system") {
    throw new TicklakeError("SQL_INVALID", `${name.join(".")} is no procedure. Write CALL ${own.name}.system.${name.length === 1 || /^\w+$/.test(text) ? text : "expire_snapshots"}(...).`);
  }
  if (name.length === 2) return { text };
  const catalog = [own, ...others].find((one) => one.name === name[0]);
  if (catalog) return { catalog, text };
  if (name[0] === "spark_catalog") return { text };
  throw new TicklakeError("CATALOG_INVALID", `No catalog ${name[0]} is deployed. There are ${[...new Set([own, ...others].map((one) => one.name))].join(", ")}. Names are case-sensitive.`);
}

/** Options with what only the table can say: the predicate of `where`, the snapshot of `ref`. */
async function settled(name: string, { options: { where, ref, ...options } }: BoundCall, table: QueryTable, { engine }: CallRequest, signal: AbortSignal | undefined): Promise<{ options: Record<string, unknown>; where?: Predicate }> {
  if (name === "set_current_snapshot") return { options: { ...options, snapshot_id: snapshotOf(options["snapshot_id"], ref, table) } };
  if (typeof where !== "string" || where.trim() === "") return { options };
  const predicate = await engine.condition({ where, table, ...(signal ? { signal } : {}) }).catch((caught: unknown) => {
    const error = asTicklakeError(caught);
    throw error.code === "SQL_INVALID" ? new TicklakeError("SQL_INVALID", `${name}: where: ${error.message}`, { cause: error }) : error;
  });
  return { options, where: predicate };
}

function snapshotOf(id: unknown, ref: unknown, { name, metadata }: QueryTable): unknown {
  if ((id === undefined) === (ref === undefined)) throw new TicklakeError("SQL_INVALID", "set_current_snapshot: give either snapshot_id or ref.");
  if (ref === undefined) return id;
  if (typeof ref === "string" && Object.hasOwn(metadata.refs, ref)) return metadata.refs[ref]!["snapshot-id"];
  throw new TicklakeError("SNAPSHOT_NOT_FOUND", `${name} has no branch or tag ${String(ref)}. It has ${Object.keys(metadata.refs).join(", ") || "none"}.`);
}

/** The result as Spark's rows: one, or one per orphan file. */
function rowsOf(columns: readonly ResultColumn[], result: OperationResult, maxRows: number): Pick<CallResult, "rows" | "truncated"> {
  const files = result["orphan_file_location"];
  if (result.operation !== "remove-orphan-files" || !Array.isArray(files)) {
    return { rows: [Object.fromEntries(columns.map(({ name }) => [name, plainValue((result[name] ?? null) as null | number | bigint)]))], truncated: false };
  }
  const rows = files.slice(0, maxRows).map((file: unknown) => ({ orphan_file_location: file }));
  return { rows, truncated: Number(result["orphan_files_count"]) > rows.length };
}
