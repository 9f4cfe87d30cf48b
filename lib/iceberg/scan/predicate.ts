/**
 * Row filters as scan planning sees them: enough to tell which files cannot hold a matching row. Pure; no I/O.
 */
import { TicklakeError } from "../../errors";
import type { NestedField, PrimitiveType, Schema, StructType } from "../types";

/**
 * A value that a column is compared with, in the column's own unit: int, date (days) and floating-point as number; long, time, timestamp
 * and timestamptz (microseconds) as bigint or whole number; decimal as its unscaled bigint; binary and fixed as bytes.
 */
export type Literal = boolean | number | bigint | string | Uint8Array;

export type Comparison = "=" | "!=" | "<" | "<=" | ">" | ">=";

/** A filter. `column` is a top-level column or a path through structs (`quote.bid`); names are case-sensitive. */
export type Predicate =
  | { op: "true" }
  | { op: "false" }
  | { op: "and" | "or"; args: readonly Predicate[] }
  | { op: "not"; arg: Predicate }
  | { op: Comparison; column: string; value: Literal }
  | { op: "in" | "not-in"; column: string; values: readonly Literal[] }
  | { op: "between"; column: string; lower: Literal; upper: Literal }
  | { op: "is-null" | "not-null"; column: string }
  | { op: "starts-with" | "not-starts-with"; column: string; value: string };

/** A leaf with its column found: what the evaluator works on. */
export type BoundLeaf =
  | { op: Comparison; field: number; type: PrimitiveType; value: Literal }
  | { op: "in" | "not-in"; field: number; type: PrimitiveType; values: readonly Literal[] }
  | { op: "is-null" | "not-null"; field: number; type: PrimitiveType }
  | { op: "starts-with" | "not-starts-with"; field: number; type: PrimitiveType; value: string };

/** A predicate without `not` and `between`, its columns as field ids. */
export type BoundPredicate = { op: "true" } | { op: "false" } | { op: "and" | "or"; args: readonly BoundPredicate[] } | BoundLeaf;

const NEGATED = {
  "=": "!=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">", in: "not-in", "not-in": "in",
  "is-null": "not-null", "not-null": "is-null", "starts-with": "not-starts-with", "not-starts-with": "starts-with",
} as const;

/**
 * Finds the columns of a predicate and pushes every `not` down to the leaves. Under SQL's three-valued logic that
 * keeps what is true: `not (a < 1)` and `a >= 1` are both unknown for null.
 *
 * @throws TicklakeError SQL_INVALID for a column that the schema lacks, or a value that cannot be compared with it
 */
export function bindPredicate(schema: Schema, predicate: Predicate, negate = false): BoundPredicate {
  switch (predicate.op) {
    case "true":
    case "false":
      return { op: (predicate.op === "true") !== negate ? "true" : "false" };
    case "and":
    case "or": {
      const args = predicate.args.map((arg) => bindPredicate(schema, arg, negate));
      return { op: (predicate.op === "and") !== negate ? "and" : "or", args };
    }
    case "not":
      return bindPredicate(schema, predicate.arg, !negate);
    case "between": {
      const { column, lower, upper } = predicate;
      return bindPredicate(schema, { op: "and", args: [{ op: ">=", column, value: lower }, { op: "<=", column, value: upper }] }, negate);
    }
    case "is-null":
    case "not-null": {
      const { id, type } = findPrimitive(schema, predicate.column);
      return { op: negate ? NEGATED[predicate.op] : predicate.op, field: id, type };
    }
    case "in":
    case "not-in": {
      const { id, type } = findPrimitive(schema, predicate.column);
      for (const value of predicate.values) checkComparable(predicate.column, type, value);
      return { op: negate ? NEGATED[predicate.op] : predicate.op, field: id, type, values: predicate.values };
    }
    case "starts-with":
    case "not-starts-with": {
      const { id, type } = findPrimitive(schema, predicate.column);
      checkComparable(predicate.column, type, predicate.value);
      return { op: negate ? NEGATED[predicate.op] : predicate.op, field: id, type, value: predicate.value };
    }
    default: {
      const { id, type } = findPrimitive(schema, predicate.column);
      checkComparable(predicate.column, type, predicate.value);
      return { op: negate ? NEGATED[predicate.op] : predicate.op, field: id, type, value: predicate.value };
    }
  }
}

/** The primitive column at a path through structs, or undefined. Exact names; a column whose name has a dot is found too. */
export function primitiveAt(struct: StructType, path: string): { id: number; type: PrimitiveType } | undefined {
  for (const field of struct.fields) {
    if (field.name === path && typeof field.type === "string") return { id: field.id, type: field.type };
    if (typeof field.type === "object" && field.type.type === "struct" && path.startsWith(`${field.name}.`)) {
      const found = primitiveAt(field.type, path.slice(field.name.length + 1));
      if (found) return found;
    }
  }
  return undefined;
}

function findPrimitive(schema: Schema, column: string): { id: number; type: PrimitiveType } {
  const found = primitiveAt(schema, column);
  if (!found) {
    throw new TicklakeError("SQL_INVALID", `No column \`${column}\` that values can be compared with. The table has ${columnNames(schema.fields)}; names are case-sensitive.`);
  }
  return found;
}

/** Column names for a message, at most 30. */
export function columnNames(fields: readonly NestedField[]): string {
  const names = fields.slice(0, 30).map((field) => field.name);
  return names.join(", ") + (fields.length > names.length ? `, ... (${fields.length} columns)` : "");
}

/** What kind of JavaScript value stands for a type in literals and bounds. */
export function scalarKind(type: PrimitiveType): "boolean" | "number" | "string" | "bytes" {
  if (type === "boolean") return "boolean";
  if (type === "string") return "string";
  if (type === "binary" || type === "uuid" || type.startsWith("fixed")) return "bytes";
  return "number";
}

function checkComparable(column: string, type: PrimitiveType, value: Literal): void {
  const kind = typeof value === "bigint" ? "number" : value instanceof Uint8Array ? "bytes" : typeof value;
  if (kind !== scalarKind(type)) {
    throw new TicklakeError("SQL_INVALID", `Column \`${column}\` is of type ${type} and cannot be compared with a ${kind}.`);
  }
}

/**
 * Orders two scalars of one kind as Iceberg does: numbers exactly across number and bigint, strings by their UTF-8
 * bytes, bytes unsigned, false before true. Negative, zero or positive.
 */
export function compareScalars(a: Literal, b: Literal): number {
  if (typeof a === "string" && typeof b === "string") return compareUtf8(a, b);
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b);
  return a < b ? -1 : a > b ? 1 : 0;
}

// UTF-8 orders by code point, JavaScript by UTF-16 unit: they differ where a surrogate meets U+E000..U+FFFF.
function compareUtf8(a: string, b: string): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}
