/**
 * SQL over snapshots of Iceberg tables. DuckDB parses and runs the query; table names, case-sensitive columns, time
 * travel and the choice of files are ours. Every table of a query is read once, at its start: the query sees one
 * snapshot of each, whatever others commit meanwhile.
 */
import type { DuckDBConnection, DuckDBValue } from "@duckdb/node-api";
import { TicklakeError } from "../errors";
import { localPath } from "../iceberg/io/local";
import { parseJson, stringifyJson } from "../iceberg/json";
import { currentSchema, PROPERTY } from "../iceberg/metadata";
import { ManifestCache, planScan, type ScanPlan } from "../iceberg/scan/plan";
import type { Literal, Predicate } from "../iceberg/scan/predicate";
import type { PrimitiveType } from "../iceberg/types";
import { type BaseTable, type Expression, parseStatement, type Statement } from "./ast";
import { literalFor } from "./constants";
import { type CopyLease, type CopyOptions, CopyStore } from "./copies/store";
import { Database, type DatabaseOptions } from "./database";
import { isFileGone, type NamedTable, sqlError } from "./errors";
import { type Constants, exactFilter, findFilters } from "./filters";
import { createMetadataTable } from "./metadata";
import { neededColumns } from "./needed";
import { originalName, quote, uniqueNames } from "./names";
import { plainValue, type ResultColumn, typeName } from "./results";
import { rewrite, unnamedExpressions } from "./rewrite";
import { isLocal, ScanViews } from "./scan-view";
import { findTables, isConstantExpression, type TableUse } from "./tables";
import { doubleQuotesAsText, hideUpperCase, prepareText } from "./text";
import type { Travel } from "./travel";
import { columnsOf, type PlannedUse, type QueryTable, resolveName, resolveUses, type TableResolver } from "./uses";

export type { QueryTable, TableResolver } from "./uses";

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
  /** Size of the data files that may be read. */
  bytes: number;
  /** Bytes of data files that travelled from storage for this query: footers and columns that were not here yet. Local files do not travel. */
  bytesFetched: number;
  ms: number;
}

/** Runs queries. One per process is enough: it keeps the engine, decoded manifests and the footers of data files. */
export class SqlEngine {
  private readonly database: Database;
  private readonly manifests = new ManifestCache();
  private readonly views = new ScanViews();
  private readonly copies: CopyStore;

  constructor(options: DatabaseOptions & CopyOptions = {}, private readonly now: () => number = () => performance.now()) {
    this.database = new Database(options);
    this.copies = new CopyStore(() => this.database.copies(), options);
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
      return await this.attempt(request, started).catch((again: unknown) => { throw goneTwice(again); });
    }
  }

  /** The first table that a query names, whichever snapshot it asks for; undefined for a query without tables. */
  async firstTable(request: Pick<QueryRequest, "sql" | "tables" | "signal">): Promise<QueryTable | undefined> {
    const { uses: [first] } = await this.parse(request);
    return first && (await resolveName(first.parts, request.tables)).table;
  }

  /**
   * A condition on one table as a predicate that whole files are chosen by (`where` of rewrite_data_files). Text may stand in double quotes, as in Spark.
   *
   * @throws TicklakeError SQL_INVALID for what cannot be told from the statistics of a file
   */
  async condition({ where, table, signal }: { where: string; table: QueryTable; signal?: AbortSignal }): Promise<Predicate> {
    const { statement, uses: [use] } = await this.parse({ sql: `SELECT * FROM t WHERE (\n${doubleQuotesAsText(where)}\n)`, ...(signal ? { signal } : {}) });
    const schema = currentSchema(table.metadata);
    const source = { ref: use!.ref, parts: use!.parts, schema };
    const predicate = await this.database.use([], signal, async (connection) => {
      await connection.run("BEGIN");
      return this.withConstants(connection, (constants) => exactFilter(statement, source, constants));
    }).catch((error: unknown) => { throw sqlError(error, []); });
    if (predicate) return predicate;
    throw new TicklakeError("SQL_INVALID", `The condition ${where} cannot be told from a file's statistics. Compare columns of ${table.name} (${schema.fields.map(({ name }) => name).join(", ")}; case-sensitive) with constants.`);
  }

  /** Ends the engine. Queries under way must be stopped by their signals. */
  close(): Promise<void> {
    return this.database.close();
  }

  private async attempt(request: QueryRequest, started: number): Promise<QueryResult> {
    const parsed = await this.parse(request);
    const known: NamedTable[] = [];
    const lease = this.copies.lease(request.signal);
    try {
      const uses = await resolveUses(parsed.uses, request);
      for (const use of uses) if (!known.some(({ name }) => name === use.name)) known.push({ name: use.name, columns: columnsOf(use) });
      const result = await this.database.use(foldersOf(uses), request.signal, (connection) => this.run(connection, parsed.statement, uses, request, lease));
      return { ...result, bytesFetched: lease.fetched, ms: Math.round(this.now() - started) };
    } catch (error) {
      if (isFileGone(error)) throw error;
      throw sqlError(error, known);
    } finally {
      lease.release();
    }
  }

  private async parse(request: Pick<QueryRequest, "sql" | "signal">): Promise<{ statement: Statement; uses: (TableUse & { travel?: Travel })[] }> {
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

  private async run(connection: DuckDBConnection, statement: Statement, uses: readonly PlannedUse[], request: QueryRequest, lease: CopyLease): Promise<Omit<QueryResult, "ms" | "bytesFetched">> {
    // One transaction: now() is the same for the constants that files are chosen by and for the query itself.
    await connection.run("BEGIN");
    const filters = await this.filters(connection, statement, uses);
    const needed = neededColumns(statement, uses);
    const plans: ScanPlan[] = [];
    for (const [index, use] of uses.entries()) {
      const view = quote(viewName(index));
      if (use.metadataTable) {
        await createMetadataTable(connection, viewName(index), use.metadataTable, { ...use.table, snapshot: use.view.snapshot, cache: this.manifests }, needed.get(use.ref)!);
        continue;
      }
      const plan = await planScan({
        io: use.table.io, metadata: use.table.metadata, name: use.name, snapshot: use.view.snapshot, schema: use.view.schema, cache: this.manifests,
        predicate: filters.get(use.ref) ?? { op: "true" }, appliesDeletes: true,
      });
      plans.push(plan);
      const sql = await this.views.sql(connection, { ...use.table, name: use.name, schema: use.view.schema, plan, needed: needed.get(use.ref)!, lease, label: viewName(index) });
      await connection.run(`CREATE TEMP VIEW ${view} AS ${sql}`);
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
    return this.withConstants(connection, (constants) => findFilters(statement, sources, constants));
  }

  /** What `find` finds when it knows the values of constant expressions: it is asked twice, first for the expressions that it needs. */
  private async withConstants<T>(connection: DuckDBConnection, find: (constants: Constants) => T): Promise<T> {
    const volatile = await this.database.volatileFunctions(connection);
    const expressions = new Set<Expression>();
    find((expression) => {
      if (isConstantExpression(expression, volatile)) expressions.add(expression);
      return undefined;
    });
    const values = await evaluate(connection, [...expressions]);
    return find((expression: Expression, type: PrimitiveType): Literal | undefined => literalFor(type, values.get(expression) ?? null));
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

/** A file that is missing again is missing from the table. */
function goneTwice(error: unknown): TicklakeError {
  const known = sqlError(error, []);
  return known.code === "FILE_NOT_FOUND" ? new TicklakeError("STORAGE_FAILED", `A data file cannot be read: ${known.message}`, { cause: known }) : known;
}

async function serialize(connection: DuckDBConnection, sql: string): Promise<string> {
  const reader = await connection.runAndReadAll("SELECT json_serialize_sql($1::VARCHAR)", [sql]);
  return String(reader.getRows()[0]![0]);
}

/** The folders of this machine that the tables of a query lie in. */
function foldersOf(uses: readonly PlannedUse[]): string[] {
  const locations = uses.flatMap(({ table: { root, metadata } }) => [root ?? metadata.location, metadata.location, metadata.properties[PROPERTY.dataPath] ?? metadata.location]);
  return [...new Set(locations.filter(isLocal).map(localPath))];
}

/** A name that no query can hold: the view's own marker. */
function viewName(index: number): string {
  return `\ue0f2${index}`;
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
