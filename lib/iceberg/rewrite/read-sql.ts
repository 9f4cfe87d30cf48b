/** The SQL by which the rows of old data files are read and put in order. Pure. */
import { DELETE_FILE_PATH_ID } from "../scan/deletes";
import { literal, quote } from "../../sql/names";
import type { Schema, SortField } from "../types";

/** Rows (path of a position delete file, location of a data file that it names). */
export function referencedSql(paths: readonly string[]): string {
  return `SELECT DISTINCT d.filename, d.path FROM read_parquet([${paths.map(literal).join(", ")}], schema = MAP {${DELETE_FILE_PATH_ID}: {name: 'path', type: 'VARCHAR', default_value: NULL}}) AS d`;
}

/** The rows of a view in the order that is wanted; its columns are those of the schema, in their order. */
export function sortedSql(view: string, schema: Schema, sort: readonly SortField[]): string {
  if (sort.length === 0) return view;
  const columns = schema.fields.map((_, i) => quote(`c${i}`));
  const terms = sort.map((field) => {
    const column = columns[schema.fields.findIndex((candidate) => candidate.id === field["source-id"])]!;
    return `${column} ${field.direction === "asc" ? "ASC" : "DESC"} ${field["null-order"] === "nulls-first" ? "NULLS FIRST" : "NULLS LAST"}`;
  });
  return `SELECT * FROM (${view}) AS t(${columns.join(", ")}) ORDER BY ${terms.join(", ")}`;
}
