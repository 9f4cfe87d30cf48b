/**
 * Columns of data files without field ids, by the table's name mapping (specification, "Column Projection" and "Name
 * Mapping Serialization"): such files come from Hive and Spark tables that were migrated or added. Pure; no I/O.
 */
import { TicklakeError } from "../errors";
import type { TableMetadata } from "../iceberg/types";
import type { Element } from "./footers";
import type { FileField, FileSchema } from "./views";

/** A field's id by the names that files may have for it. */
export interface FieldMapping { id: number | undefined; names: readonly string[]; fields: readonly FieldMapping[] }

const parsed = new Map<string, readonly FieldMapping[]>();

/** The table's mapping; undefined without one. @throws TicklakeError TABLE_CORRUPT */
export function nameMapping(metadata: Pick<TableMetadata, "properties">, table: string): readonly FieldMapping[] | undefined {
  const text = metadata.properties["schema.name-mapping.default"];
  if (text === undefined) return undefined;
  let mapping = parsed.get(text);
  if (!mapping) {
    try {
      mapping = readMapping(JSON.parse(text));
    } catch (error) {
      throw new TicklakeError("TABLE_CORRUPT", `Table ${table}: the property schema.name-mapping.default is no name mapping (${error instanceof Error ? error.message : String(error)}). Set it anew with the engine that migrated the table.`, { cause: error });
    }
    parsed.set(text, mapping);
    if (parsed.size > 100) parsed.delete(parsed.keys().next().value!);
  }
  return mapping;
}

function readMapping(json: unknown): FieldMapping[] {
  if (!Array.isArray(json)) throw new Error("it is no list");
  return (json as { "field-id"?: number; names?: string[]; fields?: unknown }[]).map((field) => ({
    id: field["field-id"], names: (field.names ?? []).map(String), fields: field.fields === undefined ? [] : readMapping(field.fields),
  }));
}

/**
 * A file's fields by id, as the mapping says.
 *
 * @param file for messages
 * @throws TicklakeError TABLE_UNSUPPORTED where the engine could not tell two of the file's columns apart
 */
export function mappedSchema(elements: readonly Element[], mapping: readonly FieldMapping[], file: string): FileSchema {
  let at = 1;
  const read = (into: FileSchema, fields: readonly FieldMapping[]): void => {
    const element = elements[at++]!;
    const found = fields.find(({ names }) => names.includes(element.name));
    const field: FileField | undefined = found?.id === undefined ? undefined : { name: element.name, children: new Map() };
    if (field) into.set(found!.id!, field);
    // Levels of lists and maps have names of their own: what lies below them is still the field's.
    for (let i = 0; i < element.children; i++) read(field ? field.children : into, field ? found!.fields : fields);
  };
  const schema: FileSchema = new Map();
  const columns: string[] = [];
  while (at < elements.length) {
    columns.push(elements[at]!.name);
    read(schema, mapping);
  }
  const folded = new Set(columns.map((name) => name.toLowerCase()));
  if (folded.size < columns.length) {
    throw new TicklakeError("TABLE_UNSUPPORTED", `${file} has no field ids and columns whose names differ only by case, which cannot be told apart. Rewrite the table's data files with the engine that added them.`);
  }
  return schema;
}
