import { parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { currentSnapshot } from "../../lib/iceberg/metadata";
import { readManifest, readManifestList } from "../../lib/iceberg/manifests";
import type { Table } from "../../lib/iceberg/catalog/types";
import type { DataFile } from "../../lib/iceberg/types";

/** The live data files of the current snapshot. */
export async function dataFiles(table: Table): Promise<DataFile[]> {
  const state = await table.refresh();
  const snapshot = currentSnapshot(state.metadata);
  if (!snapshot) return [];
  const files: DataFile[] = [];
  for (const manifest of await readManifestList(table.io, snapshot)) {
    for (const entry of await readManifest(table.io, manifest, state.metadata)) if (entry.status !== 2) files.push(entry.file);
  }
  return files;
}

/** Every row of the current snapshot of a table, read by a Parquet reader that is not ours. Order is not defined. */
export async function readRows(table: Table): Promise<Record<string, unknown>[]> {
  const rows: Record<string, unknown>[] = [];
  for (const { filePath, fileSizeInBytes } of await dataFiles(table)) {
    const slice = async (start: number, end = fileSizeInBytes): Promise<ArrayBuffer> => Uint8Array.from(await table.io.readRange(filePath, start, end - start)).buffer;
    for (const row of await parquetReadObjects({ file: { byteLength: fileSizeInBytes, slice }, compressors })) rows.push(row);
  }
  return rows;
}
