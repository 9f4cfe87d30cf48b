/**
 * Turns a query on Iceberg tables into one that DuckDB runs: tables become the views that stand for them, every
 * identifier its internal, case-sensitive name (names.ts), and expressions keep the names that a reader expects. Pure.
 */
import { type BaseTable, type Expression, isBaseTable, isColumnRef, isConstant, isFunction, isSelect, type Statement, type Tree, walk } from "./ast";
import { qualifier } from "./filters";
import { internalName } from "./names";

/** A use of a table, with the view that stands for it. */
export interface ViewUse { ref: BaseTable; parts: readonly string[]; view: string }

/** Names that DuckDB itself gives a value (`CURRENT_DATE`): typed in upper case they are no columns. */
const VALUE_KEYWORDS: ReadonlySet<string> = new Set([
  "current_catalog", "current_date", "current_role", "current_schema", "current_time", "current_timestamp", "current_user",
  "localtime", "localtimestamp", "session_user", "user",
]);

/** Properties that hold an identifier, or a list of them, wherever they occur. */
const IDENTIFIERS = ["alias", "relation_name", "cte_name", "table", "column", "table_name"] as const;
const IDENTIFIER_LISTS = ["column_name_alias", "using_columns", "exclude_list", "aliases", "expected_names"] as const;

/** Expressions of select lists that have no name yet, in the order of `nameSelectLists`. */
export function unnamedExpressions(statement: Statement): Expression[] {
  const found: Expression[] = [];
  walk(statement, (tree) => {
    if (!isSelect(tree)) return;
    for (const expression of tree.select_list) {
      if (expression.alias === "" && !isColumnRef(expression) && expression.class !== "STAR" && !expandsToColumns(expression)) found.push(expression);
    }
  });
  return found;
}

/** `unnest(struct)` gives one column per field, each with the field's name. */
function expandsToColumns(expression: Expression): boolean {
  return isFunction(expression) && expression.function_name === "unnest";
}

/** Rewrites the statement in place. */
export function rewrite(statement: Statement, uses: readonly ViewUse[]): void {
  const byRef = new Map(uses.map((use) => [use.ref, { ...use, name: visibleName(use, uses) }]));
  // `db.t.S` names a table that has no alias; one that has is known by it alone.
  const columns = [...byRef.values()].filter((use) => use.ref.alias === "").map((use) => ({ ...use, ref: { ...use.ref } }));
  walk(statement, (tree) => {
    // The span of a node is only for messages, and its "unknown" does not survive as a number.
    delete tree.query_location;
    if (isColumnRef(tree)) renameColumn(tree, columns);
    if (isBaseTable(tree)) {
      const use = byRef.get(tree);
      if (use) {
        tree.catalog_name = "";
        tree.schema_name = "";
        tree.table_name = use.view;
        tree.alias = use.name;
        tree.at_clause = null;
      }
    }
    renameProperties(tree, byRef);
  });
}

/**
 * What the rest of the query calls a table: its alias, else its own name; two tables of one name (of two databases)
 * keep their full names apart.
 */
function visibleName(use: ViewUse, uses: readonly ViewUse[]): string {
  if (use.ref.alias !== "") return use.ref.alias;
  const name = use.parts.at(-1)!;
  const full = use.parts.join(".");
  return uses.some((other) => other.ref.alias === "" && other.parts.at(-1) === name && other.parts.join(".") !== full) ? full : name;
}

function renameColumn(tree: Tree & { column_names: string[] }, uses: readonly (ViewUse & { name: string })[]): void {
  const names = tree.column_names;
  if (names.length === 1 && VALUE_KEYWORDS.has(names[0]!.toLowerCase())) return;
  for (const use of uses) {
    const prefix = qualifier(use, names);
    if (prefix > 1) {
      tree.column_names = [use.name, ...names.slice(prefix)].map(internalName);
      return;
    }
  }
  tree.column_names = names.map(internalName);
}

function renameProperties(tree: Tree, byRef: ReadonlyMap<BaseTable, ViewUse>): void {
  for (const key of IDENTIFIERS) {
    const value = tree[key];
    if (typeof value !== "string" || value === "") continue;
    if (key === "table_name" && byRef.has(tree as BaseTable)) continue;
    tree[key] = internalName(value);
  }
  for (const key of IDENTIFIER_LISTS) {
    const value = tree[key];
    if (Array.isArray(value) && value.every((item) => typeof item === "string")) tree[key] = value.map((item) => internalName(item as string));
  }
  // Maps with names as keys: WITH, REPLACE (expr AS name), RENAME (a AS b).
  if ("key" in tree && "value" in tree) {
    if (typeof tree.key === "string") tree.key = internalName(tree.key);
    if (typeof tree.value === "string") tree.value = internalName(tree.value);
  }
  // Fields of STRUCT types in casts.
  if (typeof tree.first === "string" && "second" in tree) tree.first = internalName(tree.first);
  const children = tree.children as Expression[] | undefined;
  const isExtract = tree.type === "STRUCT_EXTRACT" || (isFunction(tree) && tree.function_name === "struct_extract");
  const field = isExtract ? children?.[1] : undefined;
  if (isConstant(field) && typeof field.value.value === "string") field.value.value = internalName(field.value.value);
}
