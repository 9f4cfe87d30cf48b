/**
 * Which columns of its tables a query can possibly use: only these are read. Names are compared wherever they stand,
 * so a column that some other table has too is read too often, never too seldom. What is not known counts as all. Pure.
 */
import { type BaseTable, isBaseTable, isColumnRef, isSelect, type Join, type TableRef, type Tree, walk } from "./ast";
import type { TableUse } from "./tables";

/** Columns that a use of a table needs. */
export type Needed = "all" | ReadonlySet<string>;

/** Kinds of expressions that use columns only by the references inside them. */
const PLAIN: ReadonlySet<unknown> = new Set([
  undefined, "COLUMN_REF", "CONSTANT", "FUNCTION", "CAST", "OPERATOR", "COMPARISON", "CONJUNCTION", "CASE", "BETWEEN", "SUBQUERY", "STAR", "WINDOW", "COLLATE", "LAMBDA", "LAMBDA_REF",
]);

/** Finds what each use of a table needs. */
export function neededColumns(statement: Tree, uses: readonly TableUse[]): Map<BaseTable, Needed> {
  const names = new Set<string>();
  const whole = new Set<BaseTable>();
  const rows = new Set<string>();
  let unknown = false;
  walk(statement, (tree) => {
    unknown ||= !PLAIN.has(tree.class);
    if (isColumnRef(tree)) {
      tree.column_names.forEach((name) => names.add(name));
      // A table's name alone stands for its whole row.
      if (tree.column_names.length === 1) rows.add(tree.column_names[0]!);
    }
    if (tree.type === "JOIN") joinColumns(tree as unknown as Join, names, whole);
  });
  stars(statement, uses.map((use) => use.ref), uses, whole);
  return new Map(uses.map(({ ref, parts }): [BaseTable, Needed] => {
    const all = unknown || whole.has(ref) || ref.column_name_alias.length > 0 || rows.has(ref.alias) || rows.has(parts.at(-1)!);
    return [ref, all ? "all" : names];
  }));
}

function joinColumns(join: Join, names: Set<string>, whole: Set<BaseTable>): void {
  for (const name of join.using_columns) names.add(name);
  if (join.ref_type === "NATURAL") for (const table of tablesOf(join)) whole.add(table);
}

/** A star stands for the tables of its own FROM; those of a subquery in there are that one's own affair. */
function stars(value: unknown, scope: readonly BaseTable[], uses: readonly TableUse[], whole: Set<BaseTable>): void {
  if (Array.isArray(value)) {
    for (const item of value) stars(item, scope, uses, whole);
    return;
  }
  if (typeof value !== "object" || value === null) return;
  const tree = value as Tree;
  const inner = isSelect(tree) ? tablesOf(tree.from_table) : scope;
  if (tree.class === "STAR") {
    const named = inner.filter((ref) => tree.relation_name === (ref.alias || uses.find((use) => use.ref === ref)?.parts.at(-1)));
    for (const ref of named.length > 0 ? named : inner) whole.add(ref);
  }
  for (const key in tree) stars(tree[key], inner, uses, whole);
}

function tablesOf(table: TableRef): BaseTable[] {
  if (isBaseTable(table)) return [table];
  if (table.type !== "JOIN") return [];
  const { left, right } = table as unknown as Join;
  return [...tablesOf(left), ...tablesOf(right)];
}
