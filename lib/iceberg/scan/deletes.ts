/**
 * Which delete files of a snapshot apply to which data files (specification, "Scan Planning" and "Delete Formats"):
 * a position delete file to the data files of its spec and partition that are not younger than it, and of these only
 * to those that its bounds of `file_path` or its `referenced_data_file` leave possible. Pure; no I/O.
 */
import type { DataFile, ManifestEntry, PartitionValue } from "../types";
import { compareScalars } from "./predicate";

/** Ids of the columns of a position delete file (specification, "Reserved Field IDs"). */
export const DELETE_FILE_PATH_ID = 2147483546, DELETE_POS_ID = 2147483545;

interface Delete { file: DataFile; sequenceNumber: number }
/** What has to be known of a data file. */
type Target = Pick<DataFile, "filePath" | "specId" | "partition">;

/** The live delete files of a snapshot, found by the data files that they may hold rows of. */
export class DeleteIndex {
  /** Position deletes of one data file each, by its path. */
  private readonly byPath = new Map<string, Delete[]>();
  /** Position deletes that may hold rows of several files, by spec and partition. */
  private readonly byPartition = new Map<string, Delete[]>();
  private readonly equality: Delete[] = [];

  /** Takes an entry of a delete manifest. */
  add(entry: ManifestEntry): void {
    const { file } = entry;
    const found: Delete = { file, sequenceNumber: entry.sequenceNumber ?? 0 };
    if (file.content === 2) {
      this.equality.push(found);
      return;
    }
    const only = onlyFile(file);
    const [map, key] = only === undefined ? [this.byPartition, partitionKey(file)] : [this.byPath, only];
    const list = map.get(key);
    if (list) list.push(found);
    else map.set(key, [found]);
  }

  /** Position delete files with rows of a data file of this data sequence number, as far as the manifests can tell. */
  positions(file: Target, sequenceNumber: number): DataFile[] {
    const own = this.byPath.get(file.filePath) ?? [];
    const shared = (this.byPartition.get(partitionKey(file)) ?? []).filter((found) => mayName(found.file, file.filePath));
    // In the commit that adds a row its delete has the same number; a file that was added later has rows of its own.
    return [...own, ...shared].filter((found) => found.sequenceNumber >= sequenceNumber).map((found) => found.file);
  }

  /** An equality delete file that may hold a row of a data file: of its partition or of no partition, and younger. */
  equalityOf(file: Target, sequenceNumber: number): DataFile | undefined {
    const key = partitionKey(file);
    return this.equality.find((found) => found.sequenceNumber > sequenceNumber && (found.file.partition.length === 0 || partitionKey(found.file) === key))?.file;
  }
}

/** The one data file that a delete file names, if it says so itself or its bounds leave no other. */
export function onlyFile(file: DataFile): string | undefined {
  if (file.referencedDataFile !== undefined) return file.referencedDataFile;
  const [lower, upper] = [file.lowerBounds.get(DELETE_FILE_PATH_ID), file.upperBounds.get(DELETE_FILE_PATH_ID)];
  // A truncated upper bound is incremented: equal bounds are whole paths.
  return lower && upper && Buffer.compare(lower, upper) === 0 ? Buffer.from(lower).toString() : undefined;
}

function mayName(file: DataFile, path: string): boolean {
  const bytes = Buffer.from(path);
  const [lower, upper] = [file.lowerBounds.get(DELETE_FILE_PATH_ID), file.upperBounds.get(DELETE_FILE_PATH_ID)];
  return !(lower && compareScalars(lower, bytes) > 0) && !(upper && compareScalars(upper, bytes) < 0);
}

/** Equal for files of one partition of one spec. */
export function partitionKey(file: Pick<DataFile, "specId" | "partition">): string {
  return `${file.specId}:${file.partition.map(valueKey).join("|")}`;
}

/** One text per value; those of different types never meet, as a spec has one type per field. */
function valueKey(value: PartitionValue): string {
  if (value === null) return "n";
  if (value instanceof Uint8Array) return `b${Buffer.from(value).toString("hex")}`;
  return typeof value === "string" ? JSON.stringify(value) : `v${String(value)}`;
}
