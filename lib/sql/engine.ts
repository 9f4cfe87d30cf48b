/**
 * SQL over snapshots of Iceberg tables. DuckDB parses and runs the query; table names, case-sensitive columns, time
 * travel and the choice of files are ours. Every table of a query is read once, at its start: the query sees one
 * snapshot of each, whatever others commit meanwhile.
 */
import type { DuckDBConnection, DuckDBValue } from "@duckdb/node-api";
import { TicklakeError } from "../errors";
import type { FileIO } from "../iceberg/io/types";
import { localPath } from "../iceberg/io/local";
import { parseJson, stringifyJson } from "../iceberg/json";
import { ManifestCache, planScan, type ScanPlan } from "../iceberg/scan/plan";
import type { Literal, Predicate } from "../iceberg/scan/predicate";
import type { PrimitiveType, TableMetadata } from "../iceberg/types";
import { type BaseTable, type Expression, isConstant, parseStatement, type Statement } from "./ast";
import { literalFor } from "./constants";
import { Database, type DatabaseOptions } from "./database";
import { isFileGone, type NamedTable, sqlError } from "./errors";
import { findFilters } from "./filters";
import { FooterCache } from "./footers";
import { isMetadataTable, type MetadataTable, metadataColumns, metadataViewSql } from "./metadata-tables";
import { originalName, quote, uniqueNames } from "./names";
import { plainValue, type ResultColumn, typeName } from "./results";
import { rewrite, unnamedExpressions } from "./rewrite";
import { findTables, isConstantExpression, type TableUse } from "./tables";
import { hideUpperCase, prepareText } from "./text";
import { parseTime, type SnapshotView, snapshotView, type Travel } from "./travel";
import { viewSql } from "./views";

/** A table as a query sees it: its metadata at one moment. */
export interface QueryTable {
  /** For people: `local.db.flattened_stocks`. */
  name: string;
  io: FileIO;
  metadata: TableMetadata;
  /** Folder that holds the tables of its catalog, where known: the engine may read below it. */
  root?: string;
}

/** Finds the table that a name means. Throws TABLE_NOT_FOUND, TABLE_NAME_INVALID. */
export type TableResolver = (parts: readonly string[]) => Promise<QueryTable>;

export interface QueryRequest {
  sql: string;
  tables: TableResolver;
  /** Reads this snapshot instead of the current one (queries of one table). */
  snapshotId?: bigint;
  /** Reads what was current at this time, Unix ms. */
  asOf?: number;
  /** Rows returned at the most (10000); `truncated` says that there were more. */
  maxRows?: number;
  /** Stops the query. */
  signal?: AbortSignal;
}

export interface QueryResult {
  /** One object per row; values as plainValue describes. */
  rows: Record<string, unknown>[];
  columns: ResultColumn[];
  truncated: boolean;
  /** Snapshot of the first table of the query; undefined for one without snapshots, and for queries without tables. */
  snapshotId?: string;
  filesScanned: number;
  filesSkipped: number;
  /** Size of the files that may be read. */
  bytes: number;
  ms: number;
}

interface PlannedUse extends TableUse { table: QueryTable; view: SnapshotView; name: string; metadataTable?: MetadataTable }

/** Runs queries. One per process is enough: it keeps the engine, decoded manifests and the footers of data files. */
export class SqlEngine {
  private readonly database: Database;
  private readonly manifests = new ManifestCache();
  private readonly footers = new FooterCache();

  constructor(options: DatabaseOptions = {}, private readonly now: () => number = () => performance.now()) {
    this.database = new Database(options);
  }

  /**
   * Runs one query.
   *
   * @throws TicklakeError SQL_INVALID, TABLE_NOT_FOUND, SNAPSHOT_NOT_FOUND, TABLE_UNSUPPORTED, SQL_TOO_LARGE, STOPPED, ...
   */
  async query(request: QueryRequest): Promise<QueryResult> {
    const started = this.now();
    try {
      return await this.attempt(request, started);
    } catch (error) {
      // Expiry and compaction delete files: what was planned on is gone, and the newest snapshot has others.
      if (!isFileGone(error)) throw error;
      return await this.attempt(request, started).catch((again: unknown) => { throw sqlError(again, []); });
    }
  }

  /** Ends the engine. Queries under way must be stopped by their signals. */
  close(): Promise<void> {
    return this.database.close();
  }

  private async attempt(request: QueryRequest, started: number): Promise<QueryResult> {
    const parsed = await this.parse(request);
    const known: NamedTable[] = [];
    try {
      const uses = await resolveUses(parsed.uses, request);
      for (const use of uses) if (!known.some(({ name }) => name === use.name)) known.push({ name: use.name, columns: columnsOf(use) });
      const folders = new Set(uses.flatMap(({ table }) => [table.root ?? table.metadata.location, table.metadata.location]).map(localPath));
      const result = await this.database.use([...folders], request.signal, (connection) => this.run(connection, parsed.statement, uses, request));
      return { ...result, ms: Math.round(this.now() - started) };
    } catch (error) {
      if (isFileGone(error)) throw error;
      throw sqlError(error, known);
    }
  }

  private async parse(request: QueryRequest): Promise<{ statement: Statement; uses: (TableUse & { travel?: Travel })[] }> {
    const text = prepareText(request.sql);
    const json = await this.database.use([], request.signal, async (connection) => {
      const json = await serialize(connection, text.sql);
      if (!/"error_message":"Duplicate/.test(json)) return json;
      const hidden = hideUpperCase(text.sql, await this.database.keywords(connection));
      return hidden.restore(await serialize(connection, hidden.sql));
    }).catch((error: unknown) => { throw sqlError(error, []); });
    const statement = parseStatement(json);
    const uses = findTables(statement).map((use) => {
      const reference = text.references.get(use.parts[0] ?? "");
      return reference ? { ...use, ...reference } : use;
    });
    return { statement, uses };
  }

  private async run(connection: DuckDBConnection, statement: Statement, uses: readonly PlannedUse[], request: QueryRequest): Promise<Omit<QueryResult, "ms">> {
    // One transaction: now() is the same for the constants that files are chosen by and for the query itself.
    await connection.run("BEGIN");
    const filters = await this.filters(connection, statement, uses);
    const plans: ScanPlan[] = [];
    for (const [index, use] of uses.entries()) {
      const view = quote(viewName(index));
      if (use.metadataTable) {
        const sql = await metadataViewSql(use.metadataTable, { io: use.table.io, metadata: use.table.metadata, snapshot: use.view.snapshot });
        await connection.run(`CREATE TEMP VIEW ${view} AS ${sql}`);
        continue;
      }
      const plan = await planScan({
        io: use.table.io, metadata: use.table.metadata, name: use.name, snapshot: use.view.snapshot, schema: use.view.schema, cache: this.manifests,
        predicate: filters.get(use.ref) ?? { op: "true" },
      });
      plans.push(plan);
      const groups = await this.footers.groups(connection, plan.files.map((file) => localPath(file.filePath)), use.name);
      await connection.run(`CREATE TEMP VIEW ${view} AS ${viewSql(use.view.schema, groups)}`);
    }
    const sql = await this.sqlOf(connection, statement, uses);
    const { rows, columns, truncated } = await readRows(connection, sql, request.maxRows ?? 10_000);
    const snapshot = uses[0]?.view.snapshot;
    return {
      rows, columns, truncated,
      ...(snapshot ? { snapshotId: String(snapshot["snapshot-id"]) } : {}),
      filesScanned: sum(plans, (plan) => plan.filesScanned), filesSkipped: sum(plans, (plan) => plan.filesSkipped), bytes: sum(plans, (plan) => plan.bytes),
    };
  }

  /** What each use of a table is filtered by. Constants are worked out by the engine itself, so that both agree. */
  private async filters(connection: DuckDBConnection, statement: Statement, uses: readonly PlannedUse[]): Promise<Map<BaseTable, Predicate>> {
    const sources = uses.filter((use) => !use.metadataTable).map((use) => ({ ref: use.ref, parts: use.parts, schema: use.view.schema }));
    const volatile = await this.database.volatileFunctions(connection);
    const expressions = new Set<Expression>();
    findFilters(statement, sources, (expression) => {
      if (isConstantExpression(expression, volatile)) expressions.add(expression);
      return undefined;
    });
    const values = await evaluate(connection, [...expressions]);
    return findFilters(statement, sources, (expression: Expression, type: PrimitiveType): Literal | undefined => literalFor(type, values.get(expression) ?? null));
  }

  /** The SQL that DuckDB runs. */
  private async sqlOf(connection: DuckDBConnection, statement: Statement, uses: readonly PlannedUse[]): Promise<string> {
    const unnamed = unnamedExpressions(statement);
    const names = await expressionTexts(connection, unnamed);
    unnamed.forEach((expression, index) => { expression.alias = names[index]!; });
    rewrite(statement, uses.map((use, index) => ({ ref: use.ref, parts: use.parts, view: viewName(index) })));
    return (await toText(connection, [statement]))[0]!;
  }
}

async function serialize(connection: DuckDBConnection, sql: string): Promise<string> {
  const reader = await connection.runAndReadAll("SELECT json_serialize_sql($1::VARCHAR)", [sql]);
  return String(reader.getRows()[0]![0]);
}

/** A name that no query can hold: the view's own marker. */
function viewName(index: number): string {
  return `\ue0f2${index}`;
}

async function resolveUses(uses: readonly (TableUse & { travel?: Travel })[], request: QueryRequest): Promise<PlannedUse[]> {
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
  return found.map(({ use, table, metadataTable }) => {
    const travel = use.travel ?? atClause(use.ref) ?? requestTravel(request);
    const view = snapshotView(table.name, table.metadata, travel);
    return { ...use, table, view, name: metadataTable ? `${table.name}.${metadataTable}` : table.name, ...(metadataTable ? { metadataTable } : {}) };
  });
}

/** `db.t.history` is the history of `db.t`, unless there is a table of that very name. */
async function resolveName(parts: readonly string[], load: TableResolver): Promise<{ table: QueryTable; metadataTable?: MetadataTable }> {
  const last = parts.at(-1);
  if (parts.length < 3 || !isMetadataTable(last)) return { table: await load(parts) };
  try {
    return { table: await load(parts.slice(0, -1)), metadataTable: last };
  } catch (error) {
    const table = await load(parts).catch(() => undefined);
    if (table) return { table };
    throw error;
  }
}

function columnsOf(use: PlannedUse): string[] {
  return use.metadataTable ? metadataColumns(use.metadataTable, use.table.metadata) : use.view.schema.fields.map((field) => field.name);
}

function requestTravel(request: QueryRequest): Travel | undefined {
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

/** Values of constant expressions. One that fails makes all of them unknown: the query itself will say what is wrong. */
async function evaluate(connection: DuckDBConnection, expressions: readonly Expression[]): Promise<Map<Expression, DuckDBValue>> {
  if (expressions.length === 0) return new Map();
  try {
    // The copy keeps every digit: constants may be beyond 2^53.
    const copies = expressions.map((expression, index) => ({ ...(parseJson(stringifyJson(expression)) as Expression), alias: `c${index}` }));
    const [sql] = await toText(connection, [selectOf(copies)]);
    const row = (await connection.runAndReadAll(sql!)).getRows()[0] ?? [];
    return new Map(expressions.map((expression, index) => [expression, row[index] ?? null]));
  } catch {
    // The failed statement has ended the transaction.
    await connection.run("ROLLBACK");
    await connection.run("BEGIN");
    return new Map();
  }
}

/** The text of expressions, as the names of their columns. */
async function expressionTexts(connection: DuckDBConnection, expressions: readonly Expression[]): Promise<string[]> {
  if (expressions.length === 0) return [];
  const texts = await toText(connection, expressions.map((expression) => selectOf([expression])));
  return texts.map((text) => text.replace(/^SELECT /, "").replaceAll("count_star()", "count(*)").replace(/\bmain\."?(\w+)"?\(/g, "$1("));
}

function selectOf(expressions: readonly Expression[]): Statement {
  return {
    node: {
      type: "SELECT_NODE", modifiers: [], cte_map: { map: [] }, select_list: expressions, from_table: { type: "EMPTY", alias: "", sample: null },
      where_clause: null, group_expressions: [], group_sets: [], aggregate_handling: "STANDARD_HANDLING", having: null, sample: null, qualify: null,
    },
    named_param_map: [],
  };
}

async function toText(connection: DuckDBConnection, statements: readonly Statement[]): Promise<string[]> {
  const calls = statements.map((_, index) => `json_deserialize_sql($${index + 1}::JSON)`);
  const values = statements.map((statement) => stringifyJson({ error: false, statements: [statement] }));
  const reader = await connection.runAndReadAll(`SELECT ${calls.join(", ")}`, values);
  return reader.getRows()[0]!.map(String);
}

/** Reads no more than is asked for: the result streams, and the rest is never computed. */
async function readRows(connection: DuckDBConnection, sql: string, maxRows: number): Promise<Pick<QueryResult, "rows" | "columns" | "truncated">> {
  const result = await connection.stream(sql);
  const names = uniqueNames(result.columnNames().map(originalName));
  const columns = result.columnTypes().map((type, index) => ({ name: names[index]!, type: typeName(type) }));
  const rows: Record<string, unknown>[] = [];
  for (;;) {
    const chunk = await result.fetchChunk();
    if (!chunk || chunk.rowCount === 0) return { rows, columns, truncated: false };
    for (const values of chunk.getRows()) {
      if (rows.length >= maxRows) return { rows, columns, truncated: true };
      const row: Record<string, unknown> = {};
      for (let i = 0; i < names.length; i++) row[names[i]!] = plainValue(values[i]!);
      rows.push(row);
    }
  }
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
