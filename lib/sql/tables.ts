/**
 * Finds the tables that a query names, and refuses what a query may not use. Pure; no I/O.
 */
import { TicklakeError } from "../errors";
import { type BaseTable, isBaseTable, type Tree, walk } from "./ast";

/** One place in a query that reads a table. */
export interface TableUse {
  ref: BaseTable;
  /** The name as typed: `["local", "db", "flattened_stocks"]`. */
  parts: string[];
}

/** Table functions that read nothing but their arguments. */
const ALLOWED_TABLE_FUNCTIONS: ReadonlySet<string> = new Set(["range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree"]);

/** Scalar functions that tell of the process or the engine, run SQL, or have side effects. */
const REFUSED_FUNCTIONS: ReadonlySet<string> = new Set(["getenv", "current_setting", "nextval", "currval", "write_log", "sql_auto_complete", "sleep_ms", "current_query", "setseed", "json_execute_serialized_sql", "getvariable"]);

const refuse = (message: string): TicklakeError => new TicklakeError("SQL_INVALID", message);

/**
 * All uses of tables, in the order of the text. A name of one part that a WITH clause around it defines is no table.
 *
 * @throws TicklakeError SQL_INVALID for what is not a query on tables (functions that read files, parameters, DESCRIBE)
 */
export function findTables(statement: Tree): TableUse[] {
  const uses: TableUse[] = [];
  visit(statement, new Set(), uses);
  return uses;
}

function visit(value: unknown, ctes: ReadonlySet<string>, uses: TableUse[]): void {
  if (Array.isArray(value)) {
    for (const item of value) visit(item, ctes, uses);
    return;
  }
  if (typeof value !== "object" || value === null) return;
  const tree = value as Tree;
  check(tree);
  const map = (tree.cte_map as { map?: { key: string }[] } | undefined)?.map ?? [];
  const names = [...map.map((entry) => entry.key), ...(typeof tree.cte_name === "string" ? [tree.cte_name] : [])];
  const scope = names.length === 0 ? ctes : new Set([...ctes, ...names]);
  if (isBaseTable(tree)) {
    const parts = [tree.catalog_name, tree.schema_name, tree.table_name].filter((part) => part !== "");
    if (parts.length > 1 || !ctes.has(parts[0] ?? "")) uses.push({ ref: tree, parts });
    return;
  }
  for (const key in tree) visit(tree[key], scope, uses);
}

function check(tree: Tree): void {
  switch (tree.type) {
    case "TABLE_FUNCTION": {
      const name = String((tree.function as Tree | undefined)?.function_name ?? "").toLowerCase();
      if (!ALLOWED_TABLE_FUNCTIONS.has(name)) throw refuse(`${name}(...) cannot be used here: a query reads Iceberg tables only, named db.table or catalog.db.table.`);
      return;
    }
    case "SHOW_REF":
      throw refuse("DESCRIBE, SHOW and SUMMARIZE cannot be used here. SELECT * FROM db.table LIMIT 0 gives a table's columns in msg.columns.");
    case "PIVOT":
      throw refuse("PIVOT and UNPIVOT cannot be used here. Write one aggregate with FILTER (WHERE ...) per column instead.");
    case "VALUE_PARAMETER":
      throw refuse("The SQL has a parameter (?, $1 or $name), and nothing gives it a value. Build the SQL in the message, or set it by a typed input.");
    case "FUNCTION":
      if (REFUSED_FUNCTIONS.has(String(tree.function_name).toLowerCase())) throw refuse(`The function ${String(tree.function_name)} cannot be used here.`);
      return;
    case "STAR":
      if (tree.columns === true && tree.expr) throw refuse("COLUMNS(...) with a pattern or a function cannot be used here. Name the columns.");
      return;
    default:
  }
}

/** Whether a tree holds anything whose value depends on rows, on a subquery or on more than its own constants. */
export function isConstantExpression(tree: unknown, volatile: ReadonlySet<string>): boolean {
  let constant = true;
  walk(tree, (object) => {
    const kind = object.class;
    if (kind === undefined) return constant;
    if (kind === "FUNCTION") constant &&= !volatile.has(String(object.function_name).toLowerCase());
    else constant &&= kind === "CONSTANT" || kind === "CAST" || kind === "OPERATOR" || kind === "COMPARISON" || kind === "CONJUNCTION" || kind === "CASE";
    return constant;
  });
  return constant;
}
