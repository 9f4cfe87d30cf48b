/**
 * The SQL of the view that stands for a table's snapshot: its files read by field id, its columns under internal
 * names. Files of any age give the current columns: renamed ones are found by id, added ones are null. Pure.
 */
import { TicklakeError } from "../errors";
import { decimalOf, isList, isMap, isStruct } from "../iceberg/schema";
import type { Schema, StructType, Type } from "../iceberg/types";
import { internalName, literal, quote } from "./names";

/** What a data file calls its fields: nested by field id, as its footer says. */
export interface FileField { name: string; children: Map<number, FileField> }
/** Top-level fields of a data file by field id. */
export type FileSchema = Map<number, FileField>;

/** Files that one read_parquet serves: they have the same names for their fields. */
export interface FileGroup {
  paths: readonly string[];
  schema: FileSchema;
  /** The files have no field ids: columns are read by the names that `schema` gives. */
  byName?: boolean;
  /** SQL of the values of columns that the files lack, by field id: those of their partition. */
  constants?: ReadonlyMap<number, string>;
  /** Table (quoted) of rows that are deleted: `file`, `pos`. */
  deletes?: string | undefined;
}

/** DuckDB's type of an Iceberg type. `fields` names the fields of structs: by default their internal names. */
export function duckType(type: Type, fieldName: (field: { id: number; name: string }) => string = (field) => internalName(field.name)): string {
  if (isStruct(type)) return `STRUCT(${type.fields.map((field) => `${quote(fieldName(field))} ${duckType(field.type, fieldName)}`).join(", ")})`;
  if (isList(type)) return `${duckType(type.element, fieldName)}[]`;
  if (isMap(type)) return `MAP(${duckType(type.key, fieldName)}, ${duckType(type.value, fieldName)})`;
  const decimal = decimalOf(type);
  if (decimal) return `DECIMAL(${decimal.precision}, ${decimal.scale})`;
  if (type.startsWith("fixed")) return "BLOB";
  const plain: Record<string, string> = {
    boolean: "BOOLEAN", int: "INTEGER", long: "BIGINT", float: "FLOAT", double: "DOUBLE", date: "DATE", time: "TIME",
    timestamp: "TIMESTAMP", timestamptz: "TIMESTAMP WITH TIME ZONE", string: "VARCHAR", uuid: "UUID", binary: "BLOB",
  };
  const name = plain[type];
  if (!name) throw new TicklakeError("TABLE_UNSUPPORTED", `Columns of type ${type} cannot be queried yet.`);
  return name;
}

/** A view needs a column. */
const NO_COLUMN = 'NULL AS "none"';

/** The SELECT behind a view. Without files it has the columns and no row. */
export function viewSql(schema: Schema, groups: readonly FileGroup[]): string {
  if (groups.length === 0) {
    const columns = schema.fields.map((field) => `CAST(NULL AS ${duckType(field.type)}) AS ${quote(internalName(field.name))}`);
    return `SELECT ${columns.join(", ") || NO_COLUMN} WHERE false`;
  }
  return groups.map((group) => groupSql(schema, group)).join(" UNION ALL ");
}

function groupSql(schema: Schema, group: FileGroup): string {
  const entries: string[] = [];
  const columns: string[] = [];
  for (const field of schema.fields) {
    const file = group.schema.get(field.id);
    const name = quote(internalName(field.name));
    const type = duckType(field.type);
    if (!file && (group.byName || hasStruct(field.type) || group.constants?.has(field.id))) {
      // Absent from the file: the partition's value, or none.
      columns.push(`CAST(${group.constants?.get(field.id) ?? "NULL"} AS ${type}) AS ${name}`);
      continue;
    }
    const direct = !hasStruct(field.type) || sameNames(field.type, file!);
    if (group.byName) {
      const value = quote(file!.name);
      columns.push(`CAST(${direct ? value : reshape(field.type, file!, value)} AS ${type}) AS ${name}`);
      continue;
    }
    entries.push(`${field.id}: {name: ${literal(internalName(field.name))}, type: ${literal(direct ? type : fileType(field.type, file!))}, default_value: NULL}`);
    columns.push(direct ? name : `CAST(${reshape(field.type, file!, name)} AS ${type}) AS ${name}`);
  }
  const paths = group.paths.map(literal).join(", ");
  // A file of which no column is wanted still has rows.
  const options = entries.length > 0 ? `schema = MAP {${entries.join(", ")}}` : "hive_partitioning = false";
  const rows = `SELECT ${columns.join(", ") || NO_COLUMN} FROM read_parquet([${paths}], ${options}) AS d`;
  return group.deletes ? `${rows} ANTI JOIN ${group.deletes} AS x ON x.file = d.filename AND x.pos = d.file_row_number` : rows;
}

/** Whether a type holds a struct anywhere: read_parquet finds top-level columns by id, but fields of structs by name. */
export function hasStruct(type: Type): boolean {
  if (isStruct(type)) return true;
  if (isList(type)) return hasStruct(type.element);
  return isMap(type) && (hasStruct(type.key) || hasStruct(type.value));
}

/** Whether the file's names for nested fields are the internal ones, and no other field of the file goes by one of them. */
function sameNames(type: Type, file: FileField): boolean {
  if (isStruct(type)) {
    return type.fields.every((field) => {
      const found = file.children.get(field.id);
      if (!found) return ![...file.children.values()].some((other) => other.name.toLowerCase() === field.name.toLowerCase());
      return found.name === internalName(field.name) && sameNames(field.type, found);
    });
  }
  return nested(type).every(([id, inner]) => {
    const found = file.children.get(id);
    return !found || sameNames(inner, found);
  });
}

function nested(type: Type): [id: number, type: Type][] {
  if (isList(type)) return [[type["element-id"], type.element]];
  if (isMap(type)) return [[type["key-id"], type.key], [type["value-id"], type.value]];
  return [];
}

/** The type as the file has it: its own names, only the fields that are wanted. */
function fileType(type: Type, file: FileField): string {
  const child = (id: number, inner: Type): string => {
    const found = file.children.get(id);
    return found ? fileType(inner, found) : duckType(inner);
  };
  if (isStruct(type)) {
    const fields = type.fields.filter((field) => file.children.has(field.id));
    return `STRUCT(${fields.map((field) => `${quote(file.children.get(field.id)!.name)} ${child(field.id, field.type)}`).join(", ")})`;
  }
  if (isList(type)) return `${child(type["element-id"], type.element)}[]`;
  if (isMap(type)) return `MAP(${child(type["key-id"], type.key)}, ${child(type["value-id"], type.value)})`;
  return duckType(type);
}

/** An expression that gives a value of the file the names of the table. */
function reshape(type: Type, file: FileField, value: string, depth = 0): string {
  const child = (id: number, inner: Type, text: string): string => {
    const found = file.children.get(id);
    return found && hasStruct(inner) ? reshape(inner, found, text, depth + 1) : text;
  };
  if (isStruct(type)) {
    const fields = type.fields.map((field: StructType["fields"][number]) => {
      const found = file.children.get(field.id);
      const inner = found ? child(field.id, field.type, `struct_extract(${value}, ${literal(found.name)})`) : `CAST(NULL AS ${duckType(field.type)})`;
      return `${quote(internalName(field.name))} := ${inner}`;
    });
    return `CASE WHEN ${value} IS NULL THEN NULL ELSE struct_pack(${fields.join(", ")}) END`;
  }
  const item = `"x${depth}"`;
  if (isList(type)) return `list_transform(${value}, lambda ${item}: ${child(type["element-id"], type.element, item)})`;
  if (isMap(type)) {
    const key = child(type["key-id"], type.key, `${item}.key`);
    const inner = child(type["value-id"], type.value, `${item}.value`);
    return `map_from_entries(list_transform(map_entries(${value}), lambda ${item}: struct_pack(key := ${key}, value := ${inner})))`;
  }
  return value;
}
