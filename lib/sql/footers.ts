/**
 * What data files call their fields and where their columns lie, from their Parquet footers. Iceberg finds columns by
 * field id; the engine finds top-level columns so, but fields of structs by name, and takes a file without ids for one
 * without columns. Every file is therefore looked at once (files never change) before it is read.
 */
import type { DuckDBConnection } from "@duckdb/node-api";
import { TicklakeError } from "../errors";
import type { ByteRange } from "./copies/ranges";
import { type FieldMapping, mappedSchema } from "./name-mapping";
import { literal } from "./names";
import type { FileField, FileSchema } from "./views";

const FILES_PER_LOOK = 500;
/** Old writers of Parquet left the header of the dictionary page out of a column's size. */
const HEADER_BYTES = 128;
/** Where a footer does not say how long a Bloom filter is. */
const BLOOM_BYTES = 1024 * 1024;

/** An element of a file's schema, depth first; `children` of them follow. */
export interface Element { name: string; id: number | undefined; children: number; type: string | null }

/** Files whose columns are called alike. */
export interface FileShape { schema: FileSchema; /** The file has no field ids: its columns are known by name only. */ byName: boolean; /** Top-level column of every leaf. */ leaves: readonly string[] }

interface Look { elements: readonly Element[]; leaves: readonly string[]; schema: FileSchema; hasIds: boolean; mapped: WeakMap<readonly FieldMapping[], FileSchema> }
interface Chunk extends ByteRange { leaf: number }

/** Footers of data files by local path. Files with the same fields share one shape. */
export class FooterCache {
  private readonly files = new Map<string, Look>();
  private readonly looks = new Map<string, Look>();
  private readonly chunks = new Map<string, Chunk[]>();

  /** @param maxFiles paths kept at the most */
  constructor(private readonly maxFiles = 100_000) {}

  /**
   * The shape of every file, in their order.
   *
   * @param mapping names of columns for files without field ids (`schema.name-mapping.default`)
   * @throws TicklakeError TABLE_UNSUPPORTED for files without field ids where there is no mapping
   */
  async shapes(connection: DuckDBConnection, paths: readonly string[], table: string, mapping: readonly FieldMapping[] | undefined): Promise<FileShape[]> {
    const unknown = paths.filter((path) => !this.files.has(path));
    for (let i = 0; i < unknown.length; i += FILES_PER_LOOK) await this.look(connection, unknown.slice(i, i + FILES_PER_LOOK), table);
    const shapes = new Map<Look, FileShape>();
    const found = paths.map((path) => {
      const look = this.files.get(path)!;
      const shape = shapes.get(look) ?? shapeOf(look, path, table, mapping);
      shapes.set(look, shape);
      return shape;
    });
    while (this.files.size > this.maxFiles) this.files.delete(this.files.keys().next().value!);
    return found;
  }

  /** Where columns lie in files: byte ranges by path. `columns` says which top-level columns of a file are wanted. */
  async ranges(connection: DuckDBConnection, paths: readonly string[], columns: (index: number) => ReadonlySet<string>, shapes: readonly FileShape[]): Promise<Map<string, ByteRange[]>> {
    const unknown = paths.filter((path) => !this.chunks.has(path));
    for (let i = 0; i < unknown.length; i += FILES_PER_LOOK) await this.locate(connection, unknown.slice(i, i + FILES_PER_LOOK));
    const found = new Map(paths.map((path, index): [string, ByteRange[]] => {
      const wanted = columns(index);
      return [path, this.chunks.get(path)!.filter(({ leaf }) => wanted.has(shapes[index]!.leaves[leaf]!))];
    }));
    while (this.chunks.size > this.maxFiles / 10) this.chunks.delete(this.chunks.keys().next().value!);
    return found;
  }

  private async look(connection: DuckDBConnection, paths: readonly string[], table: string): Promise<void> {
    const sql = `SELECT file_name, name, field_id, num_children, type FROM parquet_schema([${paths.map(literal).join(", ")}])`;
    const rows = (await connection.runAndReadAll(sql)).getRows() as [string, string, bigint | null, bigint | null, string | null][];
    const elements = new Map<string, Element[]>();
    for (const [file, name, id, children, type] of rows) {
      const list = elements.get(file);
      const element = { name, id: id === null ? undefined : Number(id), children: Number(children ?? 0), type };
      if (list) list.push(element);
      else elements.set(file, [element]);
    }
    for (const path of paths) {
      const list = elements.get(path);
      if (!list) throw new TicklakeError("TABLE_CORRUPT", `Table ${table}: the data file ${path} has no Parquet footer.`);
      const key = JSON.stringify(list);
      const known = this.looks.get(key) ?? lookOf(list);
      this.looks.set(key, known);
      this.files.set(path, known);
    }
  }

  private async locate(connection: DuckDBConnection, paths: readonly string[]): Promise<void> {
    const sql = `SELECT file_name, column_id, data_page_offset, dictionary_page_offset, total_compressed_size, bloom_filter_offset, bloom_filter_length FROM parquet_metadata([${paths.map(literal).join(", ")}])`;
    const rows = (await connection.runAndReadAll(sql)).getRows() as [string, ...(bigint | null)[]][];
    for (const path of paths) this.chunks.set(path, []);
    for (const [file, ...numbers] of rows) {
      const [leaf, data, dictionary, size, bloom, bloomSize] = numbers.map((number) => (number === null || number === undefined ? undefined : Number(number)));
      // Files without rows have no column chunks; their one line has no column.
      if (leaf === undefined || data === undefined || size === undefined) continue;
      const start = dictionary ? Math.min(dictionary, data) : data;
      const list = this.chunks.get(file)!;
      list.push({ leaf, start, end: start + size + HEADER_BYTES });
      if (bloom) list.push({ leaf, start: bloom, end: bloom + (bloomSize ?? BLOOM_BYTES) });
    }
  }
}

function lookOf(elements: readonly Element[]): Look {
  const schema = schemaById(elements);
  return { elements, leaves: leavesOf(elements), schema, hasIds: schema.size > 0 || elements.length === 1, mapped: new WeakMap() };
}

function shapeOf(look: Look, path: string, table: string, mapping: readonly FieldMapping[] | undefined): FileShape {
  if (look.hasIds) return { schema: look.schema, byName: false, leaves: look.leaves };
  if (!mapping) {
    throw new TicklakeError("TABLE_UNSUPPORTED", `Table ${table}: the data file ${path} has no field ids (it was added by add_files or migrate), and the table has no schema.name-mapping.default, so its columns cannot be told apart safely. Rewrite the table's data files with the engine that added them.`);
  }
  const schema = look.mapped.get(mapping) ?? mappedSchema(look.elements, mapping, `Table ${table}: the data file ${path}`);
  look.mapped.set(mapping, schema);
  return { schema, byName: true, leaves: look.leaves };
}

/** A footer lists its schema depth first; groups without an id (`list`, `key_value`) are levels of the encoding, no fields. */
function schemaById(elements: readonly Element[]): FileSchema {
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

/** The top-level column of every leaf, in the order of the leaves. */
function leavesOf(elements: readonly Element[]): string[] {
  const leaves: string[] = [];
  let at = 1;
  const read = (column: string): void => {
    const element = elements[at++]!;
    if (element.children === 0) leaves.push(column);
    for (let i = 0; i < element.children; i++) read(column);
  };
  while (at < elements.length) read(elements[at]!.name);
  return leaves;
}
