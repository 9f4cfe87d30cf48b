/** A schema from sample rows. */
import { TicklakeError } from "../errors";
import { assignFreshIds, lastColumnId, typeText } from "./schema";
import type { NestedField, PrimitiveType, Schema, StructType, Type } from "./types";

const WHOLE = /^-?\d{1,19}$/;

/** `undefined`: nothing but nulls seen. `digits`: text that is a whole number (a 63-bit id beyond 2^53 travels as text). */
type Seen = undefined | PrimitiveType | { kind: "digits" } | { kind: "list"; element: Seen } | { kind: "struct"; fields: Map<string, Seen> };

/**
 * A schema for rows like these. The rules: true/false = boolean; whole numbers up to 2^53 and bigint = long (whole
 * numbers and text of digits mixed too: ids); other numbers = double, also mixed with whole ones; text = string; Date = timestamptz;
 * Buffer = binary; arrays = list; objects = struct; null in every row = string. All optional, columns in order of appearance.
 *
 * @throws TicklakeError SCHEMA_MISMATCH when a field has values of types that do not go together; SCHEMA_INVALID without any field
 */
export function inferSchema(rows: readonly unknown[]): Schema {
  const seen: Extract<Seen, { kind: "struct" }> = { kind: "struct", fields: new Map() };
  for (const row of rows) {
    if (typeof row !== "object" || row === null || Array.isArray(row)) continue; // rejected later, one by one
    mergeObject(seen.fields, row as Record<string, unknown>, "");
  }
  if (seen.fields.size === 0) throw new TicklakeError("SCHEMA_INVALID", "No schema can be inferred: the first batch has no row with a field. Send objects, or set a schema.");
  return assignFreshIds({ "schema-id": 0, ...(toType(seen) as StructType) });
}

/** The top-level fields that rows have and the schema lacks, with ids after the schema's last (for adding columns to a table). */
export function missingFields(schema: Schema, rows: readonly unknown[], lastId: number = lastColumnId(schema)): NestedField[] {
  const known = new Set(schema.fields.map((f) => f.name));
  const extra: Map<string, Seen> = new Map();
  for (const row of rows) {
    if (typeof row !== "object" || row === null || Array.isArray(row)) continue;
    for (const key in row) {
      if (known.has(key)) continue;
      const value = (row as Record<string, unknown>)[key];
      if (value != null) extra.set(key, merge(extra.get(key), look(value, key), key));
    }
  }
  if (extra.size === 0) return [];
  const struct = toType({ kind: "struct", fields: extra }) as StructType;
  return assignFreshIds({ "schema-id": 0, ...struct }, lastId + 1).fields;
}

function mergeObject(fields: Map<string, Seen>, row: Record<string, unknown>, path: string): void {
  for (const key in row) {
    if (key === "") throw new TicklakeError("SCHEMA_INVALID", `No schema can be inferred: ${path || "a row"} has a field with an empty name.`);
    const name = path + key;
    const value = row[key];
    fields.set(key, value == null ? fields.get(key) : merge(fields.get(key), look(value, name), name));
  }
}

function look(value: unknown, path: string): Seen {
  switch (typeof value) {
    case "boolean": return "boolean";
    case "bigint": return "long";
    case "number": return Number.isSafeInteger(value) ? "long" : "double";
    case "string": return WHOLE.test(value) ? { kind: "digits" } : "string";
    case "object": break;
    default: throw new TicklakeError("SCHEMA_MISMATCH", `${path}: a ${typeof value} cannot be stored.`);
  }
  if (value === null) return undefined;
  if (value instanceof Date) return "timestamptz";
  if (ArrayBuffer.isView(value)) return "binary";
  if (Array.isArray(value)) {
    let element: Seen;
    for (const item of value as unknown[]) if (item != null) element = merge(element, look(item, `${path}.element`), `${path}.element`);
    return { kind: "list", element };
  }
  const fields = new Map<string, Seen>();
  mergeObject(fields, value as Record<string, unknown>, `${path}.`);
  return fields.size === 0 ? undefined : { kind: "struct", fields };
}

function merge(a: Seen, b: Seen, path: string): Seen {
  if (a === undefined || a === b) return b;
  if (b === undefined) return a;
  if (typeof a === "object" && typeof b === "object") {
    if (a.kind === "digits" && b.kind === "digits") return a;
    if (a.kind === "list" && b.kind === "list") return { kind: "list", element: merge(a.element, b.element, `${path}.element`) };
    if (a.kind === "struct" && b.kind === "struct") {
      const fields = new Map(a.fields);
      for (const [name, type] of b.fields) fields.set(name, merge(fields.get(name), type, `${path}.${name}`));
      return { kind: "struct", fields };
    }
  }
  const digits = (x: Seen): boolean => typeof x === "object" && x.kind === "digits";
  const other = digits(a) ? b : digits(b) ? a : undefined;
  if (other === "string" || other === "long") return other;
  if ((a === "long" && b === "double") || (a === "double" && b === "long")) return "double";
  throw new TicklakeError("SCHEMA_MISMATCH", `No schema can be inferred: ${path} is ${typeText(toType(a))} in one row and ${typeText(toType(b))} in another. Set a schema, or make the rows agree.`);
}

function toType(seen: Seen): Type {
  if (seen === undefined) return "string";
  if (typeof seen === "string") return seen;
  if (seen.kind === "digits") return "string";
  if (seen.kind === "list") return { type: "list", "element-id": 0, element: toType(seen.element), "element-required": false };
  return { type: "struct", fields: [...seen.fields].map(([name, type]) => ({ id: 0, name, required: false, type: toType(type) })) };
}

