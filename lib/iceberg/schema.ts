/**
 * Iceberg schemas: reading their JSON with reasons, field ids, lookup, the leaf columns that a file has, and whether
 * rows of one schema may be written to a table of another. Pure; no I/O. https://iceberg.apache.org/spec/#schemas-and-data-types
 */
import { TicklakeError } from "../errors";
import type { ListType, MapType, NestedField, PrimitiveType, Schema, StructType, Type } from "./types";

export { inferSchema } from "./schema-infer";
export { presetSchema, TRADES_SCHEMA, TRADES_READABLE_SCHEMA, TRADES_PARTITION_BY } from "./schema-presets";

const PLAIN_TYPES: ReadonlySet<string> = new Set([
  "boolean", "int", "long", "float", "double", "date", "time", "timestamp", "timestamptz", "string", "uuid", "binary",
]);
/** Of format version 3. */
export const LATER_TYPES: ReadonlySet<string> = new Set(["timestamp_ns", "timestamptz_ns", "unknown", "variant", "geometry", "geography"]);
const DECIMAL = /^decimal\(\s*(\d+)\s*,\s*(\d+)\s*\)$/;
const FIXED = /^fixed\[\s*(\d+)\s*\]$/;

/** A field of the schema with its full name (`a.b`, `list.element`, `map.key`, `map.value`). */
export interface NamedField { readonly name: string; readonly field: NestedField; /** Inside a list or map: has no bounds and cannot be a partition source. */ readonly repeated: boolean }

/** A column of the file: a primitive field with its place in the tree (Dremel levels). */
export interface LeafColumn {
  readonly id: number;
  /** Parquet path: `c.list.element`, `m.key_value.value`. */
  readonly path: readonly string[];
  /** Full Iceberg name: `c.element`. */
  readonly name: string;
  readonly type: PrimitiveType;
  readonly required: boolean;
  readonly maxDefinition: number;
  readonly maxRepetition: number;
}

export const isStruct = (type: Type): type is StructType => typeof type === "object" && type.type === "struct";
export const isList = (type: Type): type is ListType => typeof type === "object" && type.type === "list";
export const isMap = (type: Type): type is MapType => typeof type === "object" && type.type === "map";
export const isPrimitive = (type: Type): type is PrimitiveType => typeof type === "string";

/** Precision and scale of a decimal type, or undefined for any other type. */
export function decimalOf(type: Type): { precision: number; scale: number } | undefined {
  const match = typeof type === "string" ? DECIMAL.exec(type) : null;
  return match ? { precision: Number(match[1]), scale: Number(match[2]) } : undefined;
}

/** Bytes that hold any unscaled value of a decimal of this precision, in Parquet and in Avro (two's complement). */
export function decimalBytes(precision: number): number {
  let bytes = 1;
  while (2n ** BigInt(8 * bytes - 1) < 10n ** BigInt(precision)) bytes++;
  return bytes;
}

/** Length in bytes of a `fixed[n]` (16 for a uuid), or undefined for any other type. */
export function fixedLengthOf(type: Type): number | undefined {
  if (type === "uuid") return 16;
  const match = typeof type === "string" ? FIXED.exec(type) : null;
  return match ? Number(match[1]) : undefined;
}

const invalid = (message: string): TicklakeError => new TicklakeError("SCHEMA_INVALID", `Schema: ${message}`);

/**
 * An Iceberg schema from JSON text or a parsed object, checked throughout. A schema without any field ids (typed by
 * hand) gets fresh ones; `schema-id` is 0 unless given.
 *
 * @throws TicklakeError SCHEMA_INVALID naming the field and what is wrong with it
 */
export function parseSchema(input: unknown): Schema {
  let json = input;
  if (typeof input === "string") {
    try {
      json = JSON.parse(input);
    } catch (error) {
      throw new TicklakeError("SCHEMA_INVALID", `Schema: not valid JSON (${(error as Error).message}). Write {"type":"struct","fields":[{"name":"price","type":"double"}, ...]}.`, { cause: error });
    }
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw invalid(`expected an object {"type":"struct","fields":[...]}, got ${show(json)}.`);
  const source = json as Record<string, unknown>;
  const ids = { given: 0, missing: 0 };
  const struct = readStruct({ ...source, type: source["type"] ?? "struct" }, "", ids);
  if (ids.given > 0 && ids.missing > 0) throw invalid("some fields have an id and others have none. Give every field (and element-id, key-id, value-id) an id, or none at all.");
  const schemaId = source["schema-id"] ?? 0;
  if (!Number.isInteger(schemaId)) throw invalid(`"schema-id" must be a whole number, got ${show(schemaId)}.`);
  let schema: Schema = { type: "struct", "schema-id": schemaId as number, fields: struct.fields };
  const identifiers = source["identifier-field-ids"];
  if (Array.isArray(identifiers) && identifiers.length > 0) schema["identifier-field-ids"] = identifiers as number[];
  if (ids.given === 0) schema = assignFreshIds(schema);
  checkIds(schema);
  return schema;
}

function readStruct(source: Record<string, unknown>, path: string, ids: { given: number; missing: number }): StructType {
  const fields = source["fields"];
  if (!Array.isArray(fields) || fields.length === 0) throw invalid(`${path || "the top level"} needs "fields", a list with at least one field.`);
  const seen = new Set<string>();
  return {
    type: "struct",
    fields: fields.map((item: unknown, index): NestedField => {
      const where = path ? `${path}.` : "";
      if (typeof item !== "object" || item === null) throw invalid(`${where}fields[${index}] must be an object {"name", "type", "required"}, got ${show(item)}.`);
      const field = item as Record<string, unknown>;
      const name = field["name"];
      if (typeof name !== "string" || name === "") throw invalid(`${where}fields[${index}] needs a "name".`);
      if (seen.has(name)) throw invalid(`the name "${where}${name}" occurs twice.`);
      seen.add(name);
      const required = field["required"] ?? false;
      if (typeof required !== "boolean") throw invalid(`${where}${name}: "required" must be true or false, got ${show(required)}.`);
      const read: NestedField = { id: readId(field["id"], `${where}${name}: "id"`, ids), name, required, type: readType(field["type"], where + name, ids) };
      if (typeof field["doc"] === "string") read.doc = field["doc"];
      return read;
    }),
  };
}

function readId(value: unknown, what: string, ids: { given: number; missing: number }): number {
  if (value === undefined) {
    ids.missing++;
    return 0;
  }
  if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > 0x7fffffff) throw invalid(`${what} must be a whole number from 1, got ${show(value)}.`);
  ids.given++;
  return value as number;
}

function readType(value: unknown, path: string, ids: { given: number; missing: number }): Type {
  if (typeof value === "string") return readPrimitive(value.trim(), path);
  if (typeof value !== "object" || value === null) throw invalid(`${path}: needs a "type" such as "long" or {"type":"list", ...}, got ${show(value)}.`);
  const source = value as Record<string, unknown>;
  switch (source["type"]) {
    case "struct":
      return readStruct(source, path, ids);
    case "list":
      return {
        type: "list",
        "element-id": readId(source["element-id"], `${path}: "element-id"`, ids),
        element: readType(source["element"], `${path}.element`, ids),
        "element-required": readFlag(source["element-required"], `${path}: "element-required"`),
      };
    case "map":
      return {
        type: "map",
        "key-id": readId(source["key-id"], `${path}: "key-id"`, ids),
        key: readType(source["key"], `${path}.key`, ids),
        "value-id": readId(source["value-id"], `${path}: "value-id"`, ids),
        value: readType(source["value"], `${path}.value`, ids),
        "value-required": readFlag(source["value-required"], `${path}: "value-required"`),
      };
    default:
      throw invalid(`${path}: unknown type ${show(source["type"])}. Nested types are struct, list and map.`);
  }
}

function readFlag(value: unknown, what: string): boolean {
  if (value === undefined) return false;
  if (typeof value !== "boolean") throw invalid(`${what} must be true or false, got ${show(value)}.`);
  return value;
}

function readPrimitive(text: string, path: string): PrimitiveType {
  if (PLAIN_TYPES.has(text)) return text as PrimitiveType;
  if (LATER_TYPES.has(text)) throw invalid(`${path}: the type "${text}" needs format version 3; tables here are version 2.`);
  const decimal = DECIMAL.exec(text);
  if (decimal) {
    const [precision, scale] = [Number(decimal[1]), Number(decimal[2])];
    if (precision < 1 || precision > 38) throw invalid(`${path}: a decimal has a precision from 1 to 38, got ${precision}.`);
    if (scale > precision) throw invalid(`${path}: the scale ${scale} is larger than the precision ${precision}.`);
    return `decimal(${precision}, ${scale})`;
  }
  const fixed = FIXED.exec(text);
  if (fixed) {
    if (Number(fixed[1]) < 1) throw invalid(`${path}: a fixed needs a length of at least 1.`);
    return `fixed[${Number(fixed[1])}]`;
  }
  throw invalid(`${path}: unknown type "${text}". Use ${[...PLAIN_TYPES].join(", ")}, decimal(P, S), fixed[L], or a struct, list or map.`);
}

function checkIds(schema: Schema): void {
  const seen = new Map<number, string>();
  for (const { name, field } of allFields(schema)) {
    const other = seen.get(field.id);
    if (other !== undefined) throw invalid(`the fields ${other} and ${name} have the same id ${field.id}.`);
    seen.set(field.id, name);
  }
  for (const id of schema["identifier-field-ids"] ?? []) {
    if (!seen.has(id)) throw invalid(`"identifier-field-ids" names the field id ${show(id)}, which does not exist.`);
  }
}

/** Every field of the schema, parents before children, with full names; list elements and map keys and values count as fields. */
export function allFields(schema: StructType): NamedField[] {
  const out: NamedField[] = [];
  const add = (field: NestedField, name: string, repeated: boolean): void => {
    out.push({ name, field, repeated });
    visit(field.type, name, repeated);
  };
  const visit = (type: Type, path: string, repeated: boolean): void => {
    for (const child of childFields(type)) add(child, path ? `${path}.${child.name}` : child.name, repeated || !isStruct(type));
  };
  visit(schema, "", false);
  return out;
}

/** The fields directly below a type: of a struct its fields, of a list `element`, of a map `key` and `value`. */
export function childFields(type: Type): NestedField[] {
  if (isStruct(type)) return type.fields;
  if (isList(type)) return [{ id: type["element-id"], name: "element", required: type["element-required"], type: type.element }];
  if (isMap(type)) {
    return [
      { id: type["key-id"], name: "key", required: true, type: type.key },
      { id: type["value-id"], name: "value", required: type["value-required"], type: type.value },
    ];
  }
  return [];
}

export function fieldById(schema: StructType, id: number): NamedField | undefined {
  return allFields(schema).find((f) => f.field.id === id);
}

/** By full name (`a.b`), case-sensitive: `S` and `s` are two columns. */
export function fieldByName(schema: StructType, name: string): NamedField | undefined {
  return allFields(schema).find((f) => f.name === name);
}

/** The highest field id, list elements and map entries included: a table's `last-column-id`. */
export function lastColumnId(schema: StructType): number {
  return allFields(schema).reduce((max, f) => Math.max(max, f.field.id), 0);
}

/**
 * The same schema with new ids in the order of Iceberg's Java library: all fields of a struct first, then what lies
 * below them. Identifier fields follow.
 */
export function assignFreshIds(schema: Schema, firstId = 1): Schema {
  let next = firstId;
  const renamed = new Map<number, number>();
  const fresh = (old: number): number => {
    renamed.set(old, next);
    return next++;
  };
  const rewrite = (type: Type): Type => {
    if (isStruct(type)) return { type: "struct", fields: rewriteFields(type.fields) };
    if (isList(type)) {
      const id = fresh(type["element-id"]);
      return { type: "list", "element-id": id, element: rewrite(type.element), "element-required": type["element-required"] };
    }
    if (isMap(type)) {
      const [key, value] = [fresh(type["key-id"]), fresh(type["value-id"])];
      return { type: "map", "key-id": key, key: rewrite(type.key), "value-id": value, value: rewrite(type.value), "value-required": type["value-required"] };
    }
    return type;
  };
  const rewriteFields = (fields: NestedField[]): NestedField[] => {
    const ids = fields.map((f) => fresh(f.id));
    return fields.map((f, i) => ({ ...f, id: ids[i]!, type: rewrite(f.type) }));
  };
  const out: Schema = { type: "struct", "schema-id": schema["schema-id"], fields: rewriteFields(schema.fields) };
  const identifiers = schema["identifier-field-ids"];
  if (identifiers) out["identifier-field-ids"] = identifiers.map((id) => renamed.get(id) ?? id);
  return out;
}

/** The columns of a data file, in order, with their Parquet paths and Dremel levels. */
export function leafColumns(schema: StructType): LeafColumn[] {
  const out: LeafColumn[] = [];
  const visit = (field: NestedField, path: string[], name: string, def: number, rep: number): void => {
    const own = field.required ? def : def + 1;
    const { type } = field;
    if (isPrimitive(type)) {
      out.push({ id: field.id, path, name, type, required: field.required, maxDefinition: own, maxRepetition: rep });
      return;
    }
    const middle = isList(type) ? ["list"] : isMap(type) ? ["key_value"] : [];
    const deeper = isStruct(type) ? 0 : 1;
    for (const child of childFields(type)) visit(child, [...path, ...middle, child.name], `${name}.${child.name}`, own + deeper, rep + deeper);
  };
  for (const field of schema.fields) visit(field, [field.name], field.name, 0, 0);
  return out;
}

/** What keeps rows of one schema out of a table of another. */
export interface Compatibility {
  /** Reasons, ready to be shown. Empty = rows can be written (fields in `missing` aside). */
  readonly problems: string[];
  /** Top-level fields of the rows that the table lacks: lost unless the table is evolved. */
  readonly missing: NestedField[];
}

/** Whether rows of `rows` can be written to a table of schema `table`, fields matched by name (case-sensitive). */
export function checkCompatible(rows: StructType, table: StructType): Compatibility {
  const problems: string[] = [];
  const missing: NestedField[] = [];
  const compareFields = (from: NestedField[], to: NestedField[], path: string): void => {
    for (const target of to) {
      const name = path + target.name;
      const source = from.find((f) => f.name === target.name);
      if (!source) {
        if (target.required) problems.push(`${name}: the table requires it, the rows do not have it.`);
      } else {
        if (target.required && !source.required) problems.push(`${name}: the table requires a value, the rows may have none.`);
        compareTypes(source.type, target.type, name);
      }
    }
    for (const source of from) {
      if (to.some((f) => f.name === source.name)) continue;
      if (path === "") missing.push(source);
      else problems.push(`${path}${source.name}: the table has no such field.`);
    }
  };
  const compareTypes = (from: Type, to: Type, path: string): void => {
    if (isStruct(from) && isStruct(to)) return compareFields(from.fields, to.fields, `${path}.`);
    if ((isList(from) && isList(to)) || (isMap(from) && isMap(to))) return compareFields(childFields(from), childFields(to), `${path}.`);
    if (!canPromote(from, to)) problems.push(`${path}: rows have ${typeText(from)}, the table ${typeText(to)}.`);
  };
  compareFields(rows.fields, table.fields, "");
  return { problems, missing };
}

/** Whether values of primitive type `from` can be read as `to` (equal, or a promotion that the specification allows). */
export function canPromote(from: Type, to: Type): boolean {
  if (!isPrimitive(from) || !isPrimitive(to)) return false;
  if (from === to || (from === "int" && to === "long") || (from === "float" && to === "double")) return true;
  const [a, b] = [decimalOf(from), decimalOf(to)];
  return a !== undefined && b !== undefined && a.scale === b.scale && a.precision <= b.precision;
}

/** Whether two schemas have the same fields, ids, names, types and obligations (docs aside). */
export function sameSchema(a: StructType, b: StructType): boolean {
  const key = (s: StructType): string => JSON.stringify(allFields(s).map(({ name, field }) => [name, field.id, field.required, isPrimitive(field.type) ? typeText(field.type) : field.type.type]));
  return key(a) === key(b);
}

/** A type as people write it: `decimal(9, 2)`, `list<string>`, `struct<a: int>`. */
export function typeText(type: Type): string {
  if (isPrimitive(type)) {
    const decimal = decimalOf(type);
    return decimal ? `decimal(${decimal.precision}, ${decimal.scale})` : type;
  }
  if (isStruct(type)) return `struct<${type.fields.map((f) => `${f.name}: ${typeText(f.type)}`).join(", ")}>`;
  return isList(type) ? `list<${typeText(type.element)}>` : `map<${typeText(type.key)}, ${typeText(type.value)}>`;
}

/** A value in a message: short, one line. */
export function show(value: unknown): string {
  if (typeof value === "bigint") return `${value}`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "an invalid date" : value.toISOString();
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`;
  let text: string | undefined;
  try {
    text = typeof value === "number" ? String(value) : JSON.stringify(value);
  } catch {
    text = undefined;
  }
  text ??= typeof value === "function" ? "a function" : String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
