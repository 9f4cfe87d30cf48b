import { randomUUID } from "node:crypto";
import type { CommitProbe, Table } from "./catalog/types";
import { joinLocation } from "./io/types";
import { PROPERTY } from "./metadata";
import type { DataFile, TableMetadata } from "./types";

/** A data file that is encoded and not yet written. */
export type UnwrittenFile = Omit<DataFile, "filePath" | "specId"> & {
  readonly bytes: Uint8Array;
  /** Folder of the partition below the data folder (`timestamp_trunc=19723`), empty when unpartitioned. */
  readonly partitionPath: string;
};

/** Where a table's data files lie: `write.data.path`, else `<location>/data`. */
export function dataLocation(metadata: TableMetadata): string {
  return (metadata.properties[PROPERTY.dataPath] ?? joinLocation(metadata.location, "data")).replace(/\/+$/, "");
}

/** How many files are written at once. */
const WRITES = 4;

/**
 * Writes data files durably, each under a name of its own, in the order given. When one fails, those already written are deleted again: nothing refers to them.
 *
 * @param specId partition spec by which they were split
 */
export async function writeDataFiles(table: Table, files: readonly UnwrittenFile[], specId: number, at?: CommitProbe): Promise<DataFile[]> {
  const base = dataLocation(table.state.metadata);
  const commit = randomUUID();
  await at?.("before-data");
  const written: DataFile[] = [];
  try {
    for (let i = 0; i < files.length; i += WRITES) {
      const results = await Promise.allSettled(files.slice(i, i + WRITES).map(async ({ bytes, partitionPath, ...file }, j): Promise<DataFile> => {
        const name = `${String(i + j).padStart(5, "0")}-${commit}.${file.fileFormat.toLowerCase()}`;
        const filePath = joinLocation(base, ...(partitionPath ? [partitionPath, name] : [name]));
        await table.io.write(filePath, bytes);
        return { ...file, filePath, specId };
      }));
      for (const result of results) if (result.status === "fulfilled") written.push(result.value);
      const failed = results.find((result) => result.status === "rejected");
      if (failed) throw failed.reason;
    }
    await at?.("after-data");
    return written;
  } catch (error) {
    await deleteDataFiles(table, written);
    throw error;
  }
}

/** Deletes data files that no commit refers to, as far as possible. Never call it for files of a commit whose outcome is unknown. */
export async function deleteDataFiles(table: Table, files: readonly DataFile[]): Promise<void> {
  await Promise.allSettled(files.map((file) => table.io.delete(file.filePath)));
}
