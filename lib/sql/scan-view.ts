/**
 * The view that stands for a planned scan: makes the bytes that it needs present where the engine can read them,
 * leaves deleted rows out, and takes from partition values what data files do not hold themselves.
 */
import type { DuckDBConnection } from "@duckdb/node-api";
import { TicklakeError } from "../errors";
import { localPath } from "../iceberg/io/local";
import type { FileIO } from "../iceberg/io/types";
import { DELETE_FILE_PATH_ID, DELETE_POS_ID } from "../iceberg/scan/deletes";
import type { ScanPlan } from "../iceberg/scan/plan";
import type { DataFile, Schema, TableMetadata } from "../iceberg/types";
import { sqlLiteral } from "./constants";
import type { CopyLease } from "./copies/store";
import { FooterCache, type FileShape } from "./footers";
import { nameMapping } from "./name-mapping";
import type { Needed } from "./needed";
import { literal, quote } from "./names";
import { type FileGroup, viewSql } from "./views";

/** A planned scan whose files are all on this machine. */
export interface LocalScan {
  metadata: Pick<TableMetadata, "table-uuid" | "partition-specs" | "properties">;
  /** For messages. */
  name: string;
  schema: Schema;
  plan: Pick<ScanPlan, "files" | "deletes" | "rows">;
  needed: Needed;
  /** Names the temporary table of the scan's deletes. */
  label: string;
  /** Paths of the plan's files by their locations. */
  paths: ReadonlyMap<string, string>;
}

/** A planned scan of one place of a query. */
export interface Scan extends Omit<LocalScan, "paths"> {
  io: FileIO;
  lease: CopyLease;
}

/** Whether a location is a path of this machine, which the engine can read by itself. */
export function isLocal(location: string): boolean {
  return /^file:/i.test(location) || !/^[a-z][a-z0-9+.-]+:/i.test(location);
}

/** Builds views; keeps the footers of data files. */
export class ScanViews {
  private readonly footers = new FooterCache();

  /** The SELECT of the view. */
  async sql(connection: DuckDBConnection, scan: Scan | LocalScan): Promise<string> {
    const { schema, plan, needed } = scan;
    const wanted = needed === "all" ? schema : { ...schema, fields: schema.fields.filter((field) => needed.has(field.name)) };
    // Rows alone can be counted without opening a file: manifests say how many a file has.
    if (wanted.fields.length === 0 && plan.deletes.size === 0) return `SELECT NULL AS "none" FROM range(${plan.rows})`;
    const paths = await this.present(scan, plan.files);
    const shapes = await this.footers.shapes(connection, paths, scan.name, nameMapping(scan.metadata, scan.name));
    await this.columns(connection, scan, paths, shapes, wanted);
    const deletes = await this.deletes(connection, scan, paths);
    return viewSql(wanted, groups(scan, paths, shapes, wanted, deletes));
  }

  /** Local paths of files; those on storage with their footers only. */
  private async present(scan: Scan | LocalScan, files: readonly DataFile[], whole = false): Promise<string[]> {
    if ("paths" in scan) return files.map((file) => scan.paths.get(file.filePath)!);
    const { io, metadata, lease } = scan;
    const stored = files.filter((file) => !isLocal(file.filePath)).map((file) => ({ io, location: file.filePath, size: file.fileSizeInBytes }));
    // The engine opens local files by itself, without asking the table's storage.
    for (const { filePath } of files) if (isLocal(filePath)) await io.admit?.(filePath);
    const copies = whole ? await lease.whole(stored, metadata["table-uuid"]) : await lease.footers(stored, metadata["table-uuid"]);
    let next = 0;
    return files.map((file) => (isLocal(file.filePath) ? localPath(file.filePath) : copies[next++]!));
  }

  /** Fetches the columns that are wanted. */
  private async columns(connection: DuckDBConnection, scan: Scan | LocalScan, paths: readonly string[], shapes: readonly FileShape[], wanted: Schema): Promise<void> {
    if ("paths" in scan) return;
    const { lease } = scan;
    const stored = paths.flatMap((path, index) => (lease.isCopy(path) ? [{ path, shape: shapes[index]! }] : []));
    if (stored.length === 0 || wanted.fields.length === 0) return;
    const names = new Map<FileShape, Set<string>>();
    for (const { shape } of stored) if (!names.has(shape)) names.set(shape, new Set(wanted.fields.flatMap((field) => shape.schema.get(field.id)?.name ?? [])));
    await lease.ranges(await this.footers.ranges(connection, stored.map(({ path }) => path), (index) => names.get(stored[index]!.shape)!, stored.map(({ shape }) => shape)));
  }

  /** Makes the table of deleted rows; undefined without any. */
  private async deletes(connection: DuckDBConnection, scan: Scan | LocalScan, paths: readonly string[]): Promise<string | undefined> {
    const { plan } = scan;
    if (plan.deletes.size === 0) return undefined;
    const files = [...new Set([...plan.deletes.values()].flat())];
    const local = await this.present(scan, files, true);
    const shapes = await this.footers.shapes(connection, local, scan.name, undefined);
    shapes.forEach((shape, index) => {
      if (shape.schema.has(DELETE_FILE_PATH_ID) && shape.schema.has(DELETE_POS_ID)) return;
      throw new TicklakeError("TABLE_UNSUPPORTED", `Table ${scan.name}: the delete file ${files[index]!.filePath} lacks the columns of position deletes, so deleted rows cannot be left out. Compact the table with the engine that deleted rows.`);
    });
    const pathOf = new Map(files.map((file, index) => [file, local[index]!]));
    const rows = plan.files.flatMap((file, index) => (plan.deletes.get(file.filePath) ?? []).map((found) => `(${[pathOf.get(found)!, file.filePath, paths[index]!].map(literal).join(", ")})`));
    const table = quote(`${scan.label}d`);
    const columns = `MAP {${DELETE_FILE_PATH_ID}: {name: 'path', type: 'VARCHAR', default_value: NULL}, ${DELETE_POS_ID}: {name: 'pos', type: 'BIGINT', default_value: NULL}}`;
    await connection.run(`CREATE TEMP TABLE ${table} AS SELECT a.data AS file, d.pos FROM read_parquet([${local.map(literal).join(", ")}], schema = ${columns}) AS d
      JOIN (VALUES ${rows.join(", ")}) AS a(deletes, path, data) ON a.deletes = d.filename AND a.path = d.path`);
    return table;
  }
}

/** Files that one read serves: of one shape, with the same values for columns that they lack, with or without deleted rows. */
function groups({ metadata, plan }: Scan | LocalScan, paths: readonly string[], shapes: readonly FileShape[], wanted: Schema, deletes: string | undefined): FileGroup[] {
  const found = new Map<FileShape, Map<string, FileGroup & { paths: string[] }>>();
  const specs = new Map(metadata["partition-specs"].map((spec) => [spec["spec-id"], spec]));
  plan.files.forEach((file, index) => {
    const shape = shapes[index]!;
    const constants = new Map<number, string>();
    specs.get(file.specId)?.fields.forEach((field, position) => {
      const column = wanted.fields.find(({ id }) => id === field["source-id"]);
      const value = file.partition[position];
      // Specification, "Column Projection": a column that the file lacks has the value of an identity partition.
      if (!column || shape.schema.has(column.id) || field.transform !== "identity" || typeof column.type !== "string" || value === undefined || value === null) return;
      constants.set(column.id, sqlLiteral(column.type, value));
    });
    const hasDeletes = plan.deletes.has(file.filePath);
    const key = JSON.stringify([hasDeletes, ...constants]);
    let byKey = found.get(shape);
    if (!byKey) found.set(shape, byKey = new Map());
    const group = byKey.get(key);
    if (group) group.paths.push(paths[index]!);
    else byKey.set(key, { paths: [paths[index]!], schema: shape.schema, byName: shape.byName, constants, ...(hasDeletes ? { deletes } : {}) });
  });
  return [...found.values()].flatMap((byKey) => [...byKey.values()]);
}
