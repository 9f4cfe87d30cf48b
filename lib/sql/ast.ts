/**
 * The syntax tree of a query as DuckDB's `json_serialize_sql` gives it and `json_deserialize_sql` takes it, as far as
 * this package looks at it. Everything else is passed through untouched. Whole numbers keep all their digits (bigint).
 */
import { TicklakeError } from "../errors";
import { parseJson } from "../iceberg/json";

/** Any object of the tree. */
export type Tree = Record<string, unknown>;

export interface Expression extends Tree { class: string; type: string; alias: string }
export interface ColumnRef extends Expression { class: "COLUMN_REF"; column_names: string[] }
export interface Constant extends Expression { class: "CONSTANT"; value: { type: { id: string; type_info: Tree | null }; is_null: boolean; value?: unknown } }
export interface FunctionCall extends Expression { class: "FUNCTION"; function_name: string; children: Expression[]; is_operator: boolean }

export interface TableRef extends Tree { type: string; alias: string }
export interface BaseTable extends TableRef {
  type: "BASE_TABLE";
  catalog_name: string;
  schema_name: string;
  table_name: string;
  column_name_alias: string[];
  at_clause: { unit: string; expr: Expression } | null;
}
export interface Join extends TableRef { type: "JOIN"; left: TableRef; right: TableRef; condition: Expression | null; join_type: string; ref_type: string; using_columns: string[] }

export interface SelectNode extends Tree {
  type: "SELECT_NODE";
  select_list: Expression[];
  from_table: TableRef;
  where_clause: Expression | null;
  cte_map: { map: { key: string; value: Tree }[] };
}
export interface Statement extends Tree { node: Tree }

export const isColumnRef = (e: unknown): e is ColumnRef => (e as Tree | null)?.class === "COLUMN_REF";
export const isConstant = (e: unknown): e is Constant => (e as Tree | null)?.class === "CONSTANT";
export const isFunction = (e: unknown): e is FunctionCall => (e as Tree | null)?.class === "FUNCTION";
export const isBaseTable = (t: unknown): t is BaseTable => (t as Tree | null)?.type === "BASE_TABLE" && "table_name" in (t as Tree);
export const isSelect = (n: unknown): n is SelectNode => (n as Tree | null)?.type === "SELECT_NODE";

/** Calls back for every object of the tree, parents first. Returning false leaves out what lies below. */
export function walk(value: unknown, visit: (object: Tree) => boolean | void): void {
  if (Array.isArray(value)) {
    for (const item of value) walk(item, visit);
  } else if (typeof value === "object" && value !== null) {
    if (visit(value as Tree) === false) return;
    for (const key in value) walk((value as Tree)[key], visit);
  }
}

/**
 * The one statement of a serialized query.
 *
 * @throws TicklakeError SQL_INVALID for a syntax error, several statements, none, or one that is no query
 */
export function parseStatement(json: string): Statement {
  const answer = parseJson(json) as { error: boolean; error_message?: string; position?: string; error_type?: string; statements?: Statement[] };
  if (answer.error) {
    if (answer.error_type === "not implemented") {
      throw new TicklakeError("SQL_INVALID", "Only a query can run here: SELECT, WITH ... SELECT, or VALUES. iceberg-out writes to tables.");
    }
    throw new TicklakeError("SQL_INVALID", `The SQL cannot be read: ${answer.error_message ?? "syntax error"}${answer.position ? ` (character ${Number(answer.position) + 1})` : ""}.`);
  }
  const statements = answer.statements ?? [];
  if (statements.length !== 1) {
    throw new TicklakeError("SQL_INVALID", statements.length === 0 ? "There is no SQL to run. Enter a query such as SELECT * FROM db.flattened_stocks LIMIT 10." : `One query at a time: this is ${statements.length} statements.`);
  }
  return statements[0]!;
}
