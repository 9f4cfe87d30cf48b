/**
 * Schema evolution by field id (https://iceberg.apache.org/spec/#schema-evolution): data files are not touched, for readers find columns by their ids. Pure; no I/O.
 */
import { TicklakeError } from "../errors";
import { currentSchema } from "./metadata";
import { allFields, assignFreshIds, canPromote, childFields, fieldByName, isList, isMap, isPrimitive, isStruct, parseSchema, type NamedField, typeText } from "./schema";
import { parseTransform } from "./transforms";
import { parseTypeText } from "./type-text";
import type { NestedField, Schema, TableMetadata, Type } from "./types";

/** Where a column stands among its neighbours. */
export type Position = "first" | "last" | { readonly after: string } | { readonly before: string };

/** A schema that was edited. */
export interface SchemaEdit {
  readonly schema: Schema;
  /** The field that was meant. */
  readonly fieldId: number;
  /** What other engines may stumble over. */
  readonly warnings: readonly string[];
}

export interface NewColumn {
  /** `price`, or with the names of the structs that it lies in: `quote.price`, `legs.element.price`. */
  readonly column: string;
  /** `double`, `decimal(10, 2)`, `list<string>` (as parseTypeText takes it), or a nested type as Iceberg's JSON. Ids are given anew. */
  readonly type: unknown;
  readonly doc?: string;
  readonly position?: Position;
}

const invalid = (message: string): TicklakeError => new TicklakeError("SCHEMA_INVALID", message);

/** Adds an optional column: rows that are there already have none. @throws TicklakeError SCHEMA_INVALID */
export function addColumn(metadata: TableMetadata, { column, type, doc, position = "last" }: NewColumn): SchemaEdit {
  const schema = currentSchema(metadata);
  const { parent, name } = splitPath(schema, column);
  checkName(name);
  const taken = fieldByName(schema, column);
  if (taken) throw invalid(`There is a column "${column}" already (${typeText(taken.field.type)}).`);
  const partition = metadata["partition-specs"].flatMap((spec) => spec.fields).find((field) => field.name === column);
  if (partition) throw invalid(`"${column}" is the name of a partition field; a column of that name cannot be told from it. Choose another name.`);
  const fresh = assignFreshIds(withoutIds({ name, type, ...(doc ? { doc } : {}) }), metadata["last-column-id"] + 1).fields[0]!;
  const warnings = foldWarnings(siblingsOf(schema, parent), name);
  const edited = editFields(schema, parent, (fields) => place([...fields, fresh], fresh, position, column));
  return { schema: edited, fieldId: fresh.id, warnings };
}

/** Gives a column another name in its place; `name` is the last part alone. */
export function renameColumn(metadata: TableMetadata, column: string, name: string): SchemaEdit {
  const schema = currentSchema(metadata);
  const { field, parent } = find(schema, column);
  checkName(name);
  const others = siblingsOf(schema, parent).filter((other) => other.id !== field.id);
  if (others.some((other) => other.name === name)) throw invalid(`"${column}" cannot be renamed to "${name}": there is a column of that name beside it.`);
  const path = parent ? `${parent}.${name}` : name;
  const partition = metadata["partition-specs"].flatMap((spec) => spec.fields).find((one) => one.name === path && one["source-id"] !== field.id);
  if (partition) throw invalid(`"${name}" is the name of a partition field; a column of that name cannot be told from it. Choose another name.`);
  return { schema: editFields(schema, parent, (fields) => fields.map((one) => (one.id === field.id ? { ...one, name } : one))), fieldId: field.id, warnings: foldWarnings(others, name) };
}

/** Moves a column among its neighbours. */
export function moveColumn(metadata: TableMetadata, column: string, position: Position): SchemaEdit {
  const schema = currentSchema(metadata);
  const { field, parent } = find(schema, column);
  return { schema: editFields(schema, parent, (fields) => place(fields, field, position, column)), fieldId: field.id, warnings: [] };
}

/** Takes a column away. Its id is never used again; older snapshots still show it. */
export function dropColumn(metadata: TableMetadata, column: string): SchemaEdit {
  const schema = currentSchema(metadata);
  const { field, parent } = find(schema, column);
  const going = new Map([[field.id, column], ...allFields({ type: "struct", fields: [field] }).map((one): [number, string] => [one.field.id, one.name])]);
  const identifier = schema["identifier-field-ids"]?.find((id) => going.has(id));
  if (identifier !== undefined) throw invalid(`"${going.get(identifier)}" identifies the rows of the table (identifier field) and cannot be dropped.`);
  for (const spec of metadata["partition-specs"]) {
    const source = spec.fields.find((one) => going.has(one["source-id"]) && parseTransform(one.transform).kind !== "void");
    if (source) throw invalid(`The table is ${spec["spec-id"] === metadata["default-spec-id"] ? "" : "or was "}partitioned by "${source.name}" (${source.transform}), which comes from "${going.get(source["source-id"])}". It cannot be dropped: files of that partitioning could not be read by other engines any more.`);
  }
  for (const order of metadata["sort-orders"]) {
    const source = order.fields.find((one) => going.has(one["source-id"]));
    if (source && order["order-id"] === metadata["default-sort-order-id"]) throw invalid(`The table is sorted by "${going.get(source["source-id"])}". Change its sort order first.`);
  }
  if (siblingsOf(schema, parent).length === 1) throw invalid(`"${column}" is the last column ${parent ? `of "${parent}"` : "of the table"} and cannot be dropped.`);
  return { schema: editFields(schema, parent, (fields) => fields.filter((one) => one.id !== field.id)), fieldId: field.id, warnings: [] };
}

/** Gives a column a wider type: int to long, float to double, a decimal more digits before the point. Old files are read as they are. */
export function widenColumn(metadata: TableMetadata, column: string, type: unknown): SchemaEdit {
  const schema = currentSchema(metadata);
  const named = fieldByName(schema, column);
  if (!named) throw noColumn(schema, column);
  const wanted = withoutIds({ name: "x", type }).fields[0]!.type;
  const from = named.field.type;
  if (!isPrimitive(from) || !isPrimitive(wanted) || !canPromote(from, wanted)) {
    throw invalid(`"${column}" is ${typeText(from)} and cannot become ${typeText(wanted)}. int can become long, float double, and decimal(P, S) may get more digits with the same scale.`);
  }
  if (inMapKey(schema, named.field.id)) throw invalid(`"${column}" is the key of a map, whose type cannot change.`);
  return { schema: { ...schema, fields: retype(schema.fields, named.field.id, wanted) }, fieldId: named.field.id, warnings: [] };
}

/** A type typed by hand; ids in it are given anew, for only the table knows which are free. */
function withoutIds(field: { name: string; type: unknown; doc?: string }): Schema {
  let { type } = field;
  if (typeof type === "string") {
    if (!/^\s*\{/.test(type)) type = parseTypeText(type);
    else try { type = JSON.parse(type); } catch (error) { throw new TicklakeError("SCHEMA_INVALID", `The type is not valid JSON (${(error as Error).message}).`, { cause: error }); }
  }
  const bare = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(bare);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).filter(([key]) => !/^(?:id|element-id|key-id|value-id)$/.test(key)).map(([key, inner]) => [key, bare(inner)]));
  };
  return parseSchema({ type: "struct", fields: [bare({ ...field, type })] });
}

function checkName(name: string): void {
  if (name.trim() === "" || name !== name.trim()) throw invalid(`"${name}" is no column name: it is empty, or begins or ends with a blank.`);
  if (name.includes(".")) throw invalid(`"${name}" is no column name: dots separate the parts of nested columns.`);
  if (/[\u0000-\u001f\u007f]/.test(name)) throw invalid("A column name cannot hold control characters.");
}

/** DuckDB always folds case, Spark unless told otherwise: twins are one column to them, or an error. */
function foldWarnings(siblings: readonly NestedField[], name: string): string[] {
  const twin = siblings.find((other) => other.name !== name && other.name.toLowerCase() === name.toLowerCase());
  return twin ? [`"${name}" and "${twin.name}" differ only by case: DuckDB cannot tell them apart, and Spark only with spark.sql.caseSensitive=true.`] : [];
}

function find(schema: Schema, column: string): NamedField & { parent: string } {
  const named = fieldByName(schema, column);
  if (!named) throw noColumn(schema, column);
  const parent = column.slice(0, column.length - named.field.name.length).replace(/\.$/, "");
  const holder = parent ? fieldByName(schema, parent)!.field.type : schema;
  if (!isStruct(holder)) throw invalid(`"${column}" is the ${named.field.name} of a ${isList(holder) ? "list" : "map"}: it cannot be renamed, moved or dropped by itself.`);
  return { ...named, parent };
}

/** The struct that a new column goes into, and the column's own name. */
function splitPath(schema: Schema, column: string): { parent: string; name: string } {
  const dot = column.lastIndexOf(".");
  if (dot < 0) return { parent: "", name: column };
  const parent = column.slice(0, dot);
  const holder = fieldByName(schema, parent);
  if (!holder) throw invalid(`"${column}": there is no column "${parent}" to add it to. The columns are ${names(schema)}.`);
  if (!isStruct(holder.field.type)) {
    const inner = isList(holder.field.type) ? `${parent}.element` : isMap(holder.field.type) ? `${parent}.value` : undefined;
    throw invalid(`"${parent}" is ${typeText(holder.field.type)}, no struct: nothing can be added to it${inner ? `. Columns of its ${inner.endsWith("element") ? "elements" : "values"} are added to "${inner}"` : ""}.`);
  }
  if (inMapKey(schema, holder.field.id)) throw invalid(`"${parent}" is the key of a map, which cannot change.`);
  return { parent, name: column.slice(dot + 1) };
}

function names(schema: Schema): string {
  return schema.fields.map((field) => field.name).join(", ");
}

function noColumn(schema: Schema, column: string): TicklakeError {
  const near = allFields(schema).find((field) => field.name.toLowerCase() === column.toLowerCase());
  return invalid(`There is no column "${column}"${near ? `; there is "${near.name}" (upper and lower case differ)` : `. The columns are ${names(schema)}`}.`);
}

function siblingsOf(schema: Schema, parent: string): readonly NestedField[] {
  return parent ? childFields(fieldByName(schema, parent)!.field.type) : schema.fields;
}

function inMapKey(schema: Schema, id: number): boolean {
  return allFields(schema).some(({ field }) => isMap(field.type) && (field.type["key-id"] === id || allFields({ type: "struct", fields: childFields(field.type).slice(0, 1) }).some((one) => one.field.id === id)));
}

/** The schema with the fields of one struct edited. */
function editFields(schema: Schema, parent: string, edit: (fields: NestedField[]) => NestedField[]): Schema {
  if (!parent) return { ...schema, fields: edit(schema.fields) };
  const id = fieldByName(schema, parent)!.field.id;
  return { ...schema, fields: mapType(schema.fields, id, (type) => (isStruct(type) ? { ...type, fields: edit(type.fields) } : type)) };
}

function retype(fields: NestedField[], id: number, type: Type): NestedField[] {
  return mapType(fields, id, () => type);
}

/** The fields with the type of one of them (or of what lies in them) replaced. */
function mapType(fields: readonly NestedField[], id: number, change: (type: Type) => Type): NestedField[] {
  const inside = (type: Type): Type => {
    if (isStruct(type)) return { ...type, fields: mapType(type.fields, id, change) };
    if (isList(type)) return { ...type, element: type["element-id"] === id ? change(type.element) : inside(type.element) };
    if (isMap(type)) return { ...type, value: type["value-id"] === id ? change(type.value) : inside(type.value) };
    return type;
  };
  return fields.map((field) => ({ ...field, type: field.id === id ? change(field.type) : inside(field.type) }));
}

/** `field` in its place among its neighbours. */
function place(fields: readonly NestedField[], field: NestedField, position: Position, column: string): NestedField[] {
  const others = fields.filter((other) => other.id !== field.id);
  const own = fields.find((other) => other.id === field.id)!;
  if (position === "first") return [own, ...others];
  if (position === "last") return [...others, own];
  const wanted = "after" in position ? position.after : position.before;
  // Neighbours may be named by their last part or by the whole path.
  const prefix = column.slice(0, column.lastIndexOf(".") + 1);
  const name = prefix && wanted.startsWith(prefix) ? wanted.slice(prefix.length) : wanted;
  const at = others.findIndex((other) => other.name === name);
  if (at < 0) throw invalid(`"${column}" cannot stand beside "${wanted}": ${wanted === own.name ? "that is itself" : "it is none of its neighbours"} (${others.map((other) => other.name).join(", ")}).`);
  return others.toSpliced("after" in position ? at + 1 : at, 0, own);
}
