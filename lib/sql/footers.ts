/**
 * What data files call their fields, from their Parquet footers. Iceberg finds columns by field id; the engine finds
 * top-level columns so, but fields of structs by name, and takes a file without ids for one without columns. Every
 * file is therefore looked at once (files never change) before it is read.
 */
import type { DuckDBConnection } from "@duckdb/node-api";
import { TicklakeError } from "../errors";
import { literal } from "./names";
import type { FileField, FileGroup, FileSchema } from "./views";

const FILES_PER_LOOK = 500;

/** Schemas of data files by path. Files with the same fields share one. */
export class FooterCache {
  private readonly files = new Map<string, FileSchema>();
  private readonly schemas = new Map<string, FileSchema>();

  /** @param maxFiles paths kept at the most */
  constructor(private readonly maxFiles = 100_000) {}

  /**
   * The files grouped by what they call their fields.
   *
   * @throws TicklakeError TABLE_UNSUPPORTED for files without field ids
   */
  async groups(connection: DuckDBConnection, paths: readonly string[], table: string): Promise<FileGroup[]> {
    const unknown = paths.filter((path) => !this.files.has(path));
    for (let i = 0; i < unknown.length; i += FILES_PER_LOOK) await this.look(connection, unknown.slice(i, i + FILES_PER_LOOK), table);
    const groups = new Map<FileSchema, string[]>();
    for (const path of paths) {
      const schema = this.files.get(path)!;
      const group = groups.get(schema);
      if (group) group.push(path);
      else groups.set(schema, [path]);
    }
    while (this.files.size > this.maxFiles) this.files.delete(this.files.keys().next().value!);
    return [...groups].map(([schema, group]) => ({ schema, paths: group }));
  }

  private async look(connection: DuckDBConnection, paths: readonly string[], table: string): Promise<void> {
    const sql = `SELECT file_name, name, field_id, num_children FROM parquet_schema([${paths.map(literal).join(", ")}])`;
    const rows = (await connection.runAndReadAll(sql)).getRows() as [string, string, bigint | null, bigint | null][];
    const elements = new Map<string, Element[]>();
    for (const [file, name, id, children] of rows) {
      const list = elements.get(file);
      const element = { name, id: id === null ? undefined : Number(id), children: Number(children ?? 0) };
      if (list) list.push(element);
      else elements.set(file, [element]);
    }
    for (const path of paths) {
      const list = elements.get(path);
      if (!list) throw new TicklakeError("TABLE_CORRUPT", `Table ${table}: the data file ${path} has no Parquet footer.`);
      const schema = fileSchema(list);
      if (schema.size === 0 && list.length > 1) {
        throw new TicklakeError("TABLE_UNSUPPORTED", `Table ${table}: the data file ${path} has no field ids (it was added by add_files or migrate), so its columns cannot be told apart safely. Rewrite the table's data files with the engine that added them.`);
      }
      const key = JSON.stringify(list);
      const known = this.schemas.get(key) ?? schema;
      this.schemas.set(key, known);
      this.files.set(path, known);
    }
  }
}

interface Element { name: string; id: number | undefined; children: number }

/** A footer lists its schema depth first; groups without an id (`list`, `key_value`) are levels of the encoding, no fields. */
function fileSchema(elements: readonly Element[]): FileSchema {
  let at = 0;
  const read = (into: FileSchema): void => {
    const element = elements[at++]!;
    const field: FileField | undefined = element.id === undefined ? undefined : { name: element.name, children: new Map() };
    if (field) into.set(element.id!, field);
    for (let i = 0; i < element.children; i++) read(field ? field.children : into);
  };
  const root = elements[at++]!;
  const schema: FileSchema = new Map();
  for (let i = 0; i < root.children; i++) read(schema);
  return schema;
}
