/**
 * Takes from a query's WHERE and JOIN ... ON what lets scan planning skip files: comparisons of one table's columns
 * with constants. Whatever is not understood is left out, never guessed: the engine filters the rows in any case. Pure.
 */
import { type Comparison, type Literal, type Predicate, primitiveAt } from "../iceberg/scan/predicate";
import type { PrimitiveType, Schema } from "../iceberg/types";
import { type BaseTable, type Expression, isBaseTable, isColumnRef, isFunction, isSelect, type SelectNode, type TableRef, type Tree, walk } from "./ast";

/** A table of a FROM clause: where it stands, what it is called, and its columns. */
export interface Source { ref: BaseTable; parts: readonly string[]; schema: Schema }

/** Gives the value of a constant expression as a literal of a column's type; undefined when there is none. */
export type Constants = (expression: Expression, type: PrimitiveType) => Literal | undefined;

/** Tables of one SELECT, and whether a row that fails WHERE can be left out before the join. */
interface From { sources: { source: Source; prunable: boolean }[]; /** A subquery, CTE or function stands in FROM too. */ others: boolean; conditions: Expression[] }

const FLIPPED: Record<Comparison, Comparison> = { "=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<=" };
const COMPARISONS: Record<string, Comparison> = {
  COMPARE_EQUAL: "=", COMPARE_NOTEQUAL: "!=", COMPARE_LESSTHAN: "<", COMPARE_LESSTHANOREQUALTO: "<=", COMPARE_GREATERTHAN: ">", COMPARE_GREATERTHANOREQUALTO: ">=",
};
const PREFIX_FUNCTIONS: ReadonlySet<string> = new Set(["starts_with", "prefix", "^@"]);

/**
 * The predicate of every table use that has one.
 *
 * @param sources table uses with their schemas, as found by findTables
 * @param constants evaluates a constant; called once per constant that is compared with a column
 */
export function findFilters(statement: Tree, sources: readonly Source[], constants: Constants): Map<BaseTable, Predicate> {
  const byRef = new Map(sources.map((source) => [source.ref, source]));
  const found = new Map<BaseTable, Predicate>();
  walk(statement, (tree) => {
    if (isSelect(tree)) selectFilters(tree, byRef, constants, found);
  });
  return found;
}

/** The predicate that says the same as WHERE of a SELECT from one table; undefined where a part of it cannot be said by one. */
export function exactFilter(statement: Tree, source: Source, constants: Constants): Predicate | undefined {
  const select = statement.node;
  if (!isSelect(select) || !select.where_clause || select.from_table !== source.ref) return undefined;
  return new Translation(source, { sources: [{ source, prunable: true }], others: false, conditions: [] }, constants).translate(select.where_clause, true);
}

function selectFilters(select: SelectNode, byRef: Map<BaseTable, Source>, constants: Constants, found: Map<BaseTable, Predicate>): void {
  // A sample is drawn before WHERE: skipping files would change what it is drawn from.
  if (select.sample) return;
  const from: From = { sources: [], others: false, conditions: [] };
  collect(select.from_table, true, byRef, from);
  if (select.where_clause) from.conditions.push(select.where_clause);
  for (const { source, prunable } of from.sources) {
    if (!prunable || source.ref.sample) continue;
    const args: Predicate[] = [];
    for (const condition of from.conditions) {
      const predicate = new Translation(source, from, constants).translate(condition, false);
      if (predicate) args.push(predicate);
    }
    if (args.length > 0) found.set(source.ref, args.length === 1 ? args[0]! : { op: "and", args });
  }
}

function collect(table: TableRef, prunable: boolean, byRef: Map<BaseTable, Source>, from: From): void {
  if (isBaseTable(table)) {
    const source = byRef.get(table);
    if (source) from.sources.push({ source, prunable });
    else from.others = true;
    return;
  }
  if (table.type !== "JOIN") {
    if (table.type !== "EMPTY") from.others = true;
    return;
  }
  const join = table as unknown as { left: TableRef; right: TableRef; condition: Expression | null; join_type: string; ref_type: string };
  // In ASOF and positional joins every row counts for which other row is matched.
  const plain = join.ref_type === "REGULAR" || join.ref_type === "CROSS" || join.ref_type === "NATURAL";
  const inner = join.join_type === "INNER";
  collect(join.left, prunable && plain && (inner || join.join_type === "LEFT" || join.join_type === "SEMI" || join.join_type === "ANTI"), byRef, from);
  collect(join.right, prunable && plain && (inner || join.join_type === "RIGHT"), byRef, from);
  // ON of an inner join that no outer join stands around filters as WHERE does.
  if (plain && inner && prunable && join.condition) from.conditions.push(join.condition);
}

/** Conditions as predicates on one table. */
class Translation {
  constructor(private readonly source: Source, private readonly from: From, private readonly constants: Constants) {}

  /** A predicate that every row which meets the condition meets too; with `exact` also the other way round. Undefined: nothing is known. */
  translate(e: Expression, exact: boolean): Predicate | undefined {
    switch (e.class) {
      case "CONJUNCTION": return this.conjunction(e, exact);
      case "COMPARISON": return this.comparison(e);
      case "BETWEEN": return this.between(e);
      case "OPERATOR": return this.operator(e);
      case "FUNCTION": return this.like(e, exact);
      default: return undefined;
    }
  }

  private conjunction(e: Expression, exact: boolean): Predicate | undefined {
    const and = e.type === "CONJUNCTION_AND";
    const args = (e.children as Expression[]).map((child) => this.translate(child, exact));
    const known = args.filter((arg) => arg !== undefined);
    if (known.length === 0 || (known.length < args.length && (exact || !and))) return undefined;
    return { op: and ? "and" : "or", args: known };
  }

  private comparison(e: Expression): Predicate | undefined {
    const op = COMPARISONS[e.type];
    if (!op) return undefined;
    return this.compare(e.left as Expression, op, e.right as Expression) ?? this.compare(e.right as Expression, FLIPPED[op], e.left as Expression);
  }

  private compare(left: Expression, op: Comparison, right: Expression): Predicate | undefined {
    const column = this.column(left);
    const value = column && this.constants(right, column.type);
    return column && value !== undefined ? { op, column: column.path, value } : undefined;
  }

  private between(e: Expression): Predicate | undefined {
    const column = this.column(e.input as Expression);
    if (!column) return undefined;
    const lower = this.constants(e.lower as Expression, column.type);
    const upper = this.constants(e.upper as Expression, column.type);
    if (lower === undefined || upper === undefined) return undefined;
    const predicate: Predicate = { op: "between", column: column.path, lower, upper };
    return e.type === "COMPARE_NOT_BETWEEN" ? { op: "not", arg: predicate } : predicate;
  }

  private operator(e: Expression): Predicate | undefined {
    const [first, ...rest] = e.children as Expression[];
    if (!first) return undefined;
    if (e.type === "OPERATOR_NOT") {
      const arg = this.translate(first, true);
      return arg && { op: "not", arg };
    }
    const column = this.column(first);
    if (!column) return undefined;
    if (e.type === "OPERATOR_IS_NULL" || e.type === "OPERATOR_IS_NOT_NULL") return { op: e.type === "OPERATOR_IS_NULL" ? "is-null" : "not-null", column: column.path };
    if (e.type !== "COMPARE_IN" && e.type !== "COMPARE_NOT_IN") return undefined;
    const values = rest.map((value) => this.constants(value, column.type));
    if (values.some((value) => value === undefined)) return undefined;
    return { op: e.type === "COMPARE_IN" ? "in" : "not-in", column: column.path, values: values as Literal[] };
  }

  private like(e: Expression, exact: boolean): Predicate | undefined {
    if (!isFunction(e) || e.children.length !== 2) return undefined;
    const column = this.column(e.children[0]!);
    if (column?.type !== "string") return undefined;
    const pattern = this.constants(e.children[1]!, "string");
    if (typeof pattern !== "string") return undefined;
    if (PREFIX_FUNCTIONS.has(e.function_name)) return { op: "starts-with", column: column.path, value: pattern };
    if (e.function_name !== "~~" && e.function_name !== "!~~") return undefined;
    const prefix = /^[^%_\\]*/.exec(pattern)![0];
    const whole = pattern === `${prefix}%`;
    if (e.function_name === "!~~") return whole ? { op: "not-starts-with", column: column.path, value: prefix } : undefined;
    if (pattern === prefix) return { op: "=", column: column.path, value: prefix };
    return prefix === "" || (exact && !whole) ? undefined : { op: "starts-with", column: column.path, value: prefix };
  }

  /** The column of this table that an expression is, with its type; undefined for anything else or anything doubtful. */
  private column(e: Expression): { path: string; type: PrimitiveType } | undefined {
    if (!isColumnRef(e)) return undefined;
    const path = this.pathOf(e.column_names);
    const found = path && primitiveAt(this.source.schema, path);
    return path && found ? { path, type: found.type } : undefined;
  }

  private pathOf(names: readonly string[]): string | undefined {
    // Renamed columns (FROM t AS x(a, b)) are not followed.
    if (this.source.ref.column_name_alias.length > 0) return undefined;
    const prefix = qualifier(this.source, names);
    if (prefix > 0) return names.slice(prefix).join(".");
    const others = this.from.sources.filter(({ source }) => source !== this.source);
    if (this.from.others || others.some(({ source }) => qualifier(source, names) > 0 || owns(source, names[0]!))) return undefined;
    return owns(this.source, names[0]!) ? names.join(".") : undefined;
  }
}

function owns(source: Source, column: string): boolean {
  return source.ref.column_name_alias.length > 0 || source.schema.fields.some((field) => field.name === column);
}

/** How many leading parts of a column's name say which table it belongs to: `t.S`, `db.t.S`, `local.db.t.S`; 0 when none does. */
export function qualifier(source: { ref: BaseTable; parts: readonly string[] }, names: readonly string[]): number {
  if (source.ref.alias !== "") return names.length > 1 && names[0] === source.ref.alias ? 1 : 0;
  for (let length = Math.min(source.parts.length, names.length - 1); length > 0; length--) {
    const tail = source.parts.slice(source.parts.length - length);
    if (tail.every((part, i) => part === names[i])) return length;
  }
  return 0;
}
