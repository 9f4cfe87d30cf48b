/** A schema from sample rows. */
import { TicklakeError } from "../errors";
import { assignFreshIds, typeText } from "./schema";
import type { PrimitiveType, Schema, StructType, Type } from "./types";

const WHOLE = /^-?\d{1,19}$/;

/** What values of a field were like. `undefined`: nothing but nulls seen. `digits`: text that is a whole number (a 63-bit id beyond 2^53 travels as text). */
export type Seen = undefined | PrimitiveType | { kind: "digits" } | { kind: "list"; element: Seen } | { kind: "struct"; fields: Map<string, Seen> };

/** Values nested deeper than this have no schema: an object that holds itself would have no end. */
const MAX_DEPTH = 32;

/**
 * A schema for rows like these. The rules: true/false = boolean; whole numbers up to 2^53 and bigint = long (whole
 * numbers and text of digits mixed too: ids); other numbers = double, also mixed with whole ones; text = string; Date = timestamptz;
 * Buffer = binary; arrays = list; objects = struct; null in every row = string. All optional, columns in order of appearance.
 *
 * @param onlyNulls what becomes of a field without any value (nulls, empty lists, empty objects): `string`, or no column
 * @throws TicklakeError SCHEMA_MISMATCH when a field has values of types that do not go together; SCHEMA_INVALID without any field
 */
export function inferSchema(rows: readonly unknown[], onlyNulls: "string" | "leave-out" = "string"): Schema {
  const fields = new Map<string, Seen>();
  try {
    for (const row of rows) {
      if (typeof row !== "object" || row === null || Array.isArray(row)) continue; // rejected later, one by one
      mergeObject(fields, row as Record<string, unknown>, "", 0);
    }
  } catch (cause) {
    if (!(cause instanceof TicklakeError)) throw cause;
    throw new TicklakeError(cause.code, `No schema can be inferred: ${cause.message} Set a schema, or make the rows agree.`, { cause });
  }
  const seen: Seen = { kind: "struct", fields };
  const decided = onlyNulls === "string" ? seen : withoutUndecided(seen);
  if (typeof decided !== "object" || decided.kind !== "struct" || decided.fields.size === 0) {
    throw new TicklakeError("SCHEMA_INVALID", `No schema can be inferred: the first batch has no row with a field${fields.size > 0 ? " that has a value" : ""}. Send objects, or set a schema.`);
  }
  return assignFreshIds({ "schema-id": 0, ...(typeOfSeen(decided) as StructType) });
}

/**
 * Whether there are objects among the rows, and none of them says what a column could be: nothing but nulls, empty lists and empty objects.
 *
 * @param onlyNulls `string`: a field without any value says enough, and only objects without fields say nothing
 */
export function isUndecided(rows: readonly unknown[], onlyNulls: "string" | "leave-out" = "leave-out"): boolean {
  let objects = false;
  for (const row of rows) {
    if (typeof row !== "object" || row === null || Array.isArray(row)) continue;
    objects = true;
    for (const key in row) {
      if (onlyNulls === "string") return false;
      const value = (row as Record<string, unknown>)[key];
      try {
        if (value !== undefined && withoutUndecided(seenIn(value, key)) !== undefined) return false;
      } catch {
        return false; // no value of any type: told where the schema is drawn
      }
    }
  }
  return objects;
}

/** What is certain of it: without fields of nulls alone, empty lists and empty objects. Undefined where nothing is. */
export function withoutUndecided(seen: Seen): Seen {
  if (typeof seen !== "object" || seen.kind === "digits") return seen;
  if (seen.kind === "list") {
    const element = withoutUndecided(seen.element);
    return element === undefined ? undefined : { kind: "list", element };
  }
  const fields = new Map([...seen.fields].map(([name, field]) => [name, withoutUndecided(field)] as const).filter(([, field]) => field !== undefined));
  return fields.size === 0 ? undefined : { kind: "struct", fields };
}

function mergeObject(fields: Map<string, Seen>, row: Record<string, unknown>, path: string, depth: number): void {
  for (const key in row) {
    if (key === "") throw new TicklakeError("SCHEMA_INVALID", `${path || "a row"} has a field with an empty name.`);
    const name = path + key;
    const value = row[key];
    fields.set(key, value == null ? fields.get(key) : mergeSeen(fields.get(key), seenIn(value, name, depth), name));
  }
}

/**
 * What a value is like.
 *
 * @param path of the field, for messages
 * @throws TicklakeError SCHEMA_MISMATCH where it cannot be a value of any type; SCHEMA_INVALID for a field without a name
 */
export function seenIn(value: unknown, path: string, depth = 0): Seen {
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
  if (depth === MAX_DEPTH) throw new TicklakeError("SCHEMA_MISMATCH", `${path}: nested deeper than ${MAX_DEPTH} levels.`);
  if (Array.isArray(value)) {
    let element: Seen;
    for (const item of value as unknown[]) if (item != null) element = mergeSeen(element, seenIn(item, `${path}.element`, depth + 1), `${path}.element`);
    return { kind: "list", element };
  }
  const fields = new Map<string, Seen>();
  mergeObject(fields, value as Record<string, unknown>, `${path}.`, depth + 1);
  return fields.size === 0 ? undefined : { kind: "struct", fields };
}

/** What holds for both. @throws TicklakeError SCHEMA_MISMATCH where they do not go together */
export function mergeSeen(a: Seen, b: Seen, path: string): Seen {
  if (a === undefined || a === b) return b;
  if (b === undefined) return a;
  if (typeof a === "object" && typeof b === "object") {
    if (a.kind === "digits" && b.kind === "digits") return a;
    if (a.kind === "list" && b.kind === "list") return { kind: "list", element: mergeSeen(a.element, b.element, `${path}.element`) };
    if (a.kind === "struct" && b.kind === "struct") {
      const fields = new Map(a.fields);
      for (const [name, type] of b.fields) fields.set(name, mergeSeen(fields.get(name), type, `${path}.${name}`));
      return { kind: "struct", fields };
    }
  }
  const digits = (x: Seen): boolean => typeof x === "object" && x.kind === "digits";
  const other = digits(a) ? b : digits(b) ? a : undefined;
  if (other === "string" || other === "long") return other;
  if ((a === "long" && b === "double") || (a === "double" && b === "long")) return "double";
  throw new TicklakeError("SCHEMA_MISMATCH", `${path} is ${typeText(typeOfSeen(a))} in one row and ${typeText(typeOfSeen(b))} in another.`);
}

/** The type of a column for it, without ids (0). */
export function typeOfSeen(seen: Seen): Type {
  if (seen === undefined) return "string";
  if (typeof seen === "string") return seen;
  if (seen.kind === "digits") return "string";
  if (seen.kind === "list") return { type: "list", "element-id": 0, element: typeOfSeen(seen.element), "element-required": false };
  return { type: "struct", fields: [...seen.fields].map(([name, type]) => ({ id: 0, name, required: false, type: typeOfSeen(type) })) };
}
