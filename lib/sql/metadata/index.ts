/**
 * A table's metadata as tables, with the columns that Spark gives them: `db.t.history`, `.snapshots`, `.files`, ...
 * (https://iceberg.apache.org/docs/latest/spark-queries/#inspecting-tables).
 */
import type { DuckDBConnection } from "@duckdb/node-api";
import { stringifyJson } from "../../iceberg/json";
import { ManifestCache } from "../../iceberg/scan/plan";
import type { TableMetadata } from "../../iceberg/types";
import type { Needed } from "../needed";
import { literal, quote } from "../names";
import { entries, files } from "./files";
import type { MetadataSource } from "./source";
import { history, manifests, metadataLog, partitionTotals, refs, snapshots } from "./tables";
import type { Relation } from "./values";

export type { MetadataSource } from "./source";

const RELATIONS = {
  history,
  snapshots,
  refs,
  metadata_log_entries: metadataLog,
  files: (source: MetadataSource) => files(source, () => true),
  data_files: (source: MetadataSource) => files(source, (content) => content === 0),
  delete_files: (source: MetadataSource) => files(source, (content) => content !== 0),
  entries: (source: MetadataSource) => entries(source),
  manifests: (source: MetadataSource) => manifests(source),
  partitions: partitionTotals,
  all_files: (source: MetadataSource) => files(source, () => true, true),
  all_data_files: (source: MetadataSource) => files(source, (content) => content === 0, true),
  all_delete_files: (source: MetadataSource) => files(source, (content) => content !== 0, true),
  all_entries: (source: MetadataSource) => entries(source, true),
  all_manifests: (source: MetadataSource) => manifests(source, true),
} as const;

export type MetadataTable = keyof typeof RELATIONS;

export const METADATA_TABLES = Object.keys(RELATIONS) as readonly MetadataTable[];

export const isMetadataTable = (name: string | undefined): name is MetadataTable => name !== undefined && Object.hasOwn(RELATIONS, name);

/** Makes a temporary table of what a query needs of a metadata table. */
export async function createMetadataTable(connection: DuckDBConnection, name: string, table: MetadataTable, source: MetadataSource, needed: Needed): Promise<void> {
  const relation = RELATIONS[table](source) as Relation;
  const columns = relation.columns.filter((column) => needed === "all" || needed.has(column.name));
  const rows = (await relation.rows()).map((row) => Object.fromEntries(columns.map((column) => [column.name, column.value(row)])));
  if (columns.length === 0) {
    await connection.run(`CREATE TEMP TABLE ${quote(name)} AS SELECT NULL AS "none" FROM range(${rows.length})`);
    return;
  }
  const structure = stringifyJson([Object.fromEntries(columns.map((column) => [column.name, textual(column.type)]))]);
  // Every column is taken out by name: a list of structs unnests into one struct per row.
  const list = columns.map((column) => `CAST(r.${quote(column.name)} AS ${column.type}) AS ${quote(column.name)}`).join(", ");
  await connection.run(`CREATE TEMP TABLE ${quote(name)} AS SELECT ${list} FROM (SELECT unnest(from_json(${literal(stringifyJson(rows))}, ${literal(structure)})) AS r)`);
}

/** A type as JSON has it: of bytes and times the engine takes more forms from text than from JSON. */
function textual(type: string): string {
  return type.replace(/"(?:[^"]|"")*"|\b(?:BLOB|TIMESTAMP WITH TIME ZONE|TIMESTAMPTZ|TIMESTAMP|TIME|DATE|UUID|DECIMAL\(\d+, ?\d+\))(?![\w"])/g, (part) => (part.startsWith('"') ? part : "VARCHAR"));
}

/** The columns of a metadata table that a query may name. */
export function metadataColumns(table: MetadataTable, metadata: TableMetadata): string[] {
  const source: MetadataSource = { metadata, io: undefined as never, snapshot: undefined, cache: new ManifestCache() };
  return (RELATIONS[table](source) as Relation).columns.map(({ name }) => name);
}
