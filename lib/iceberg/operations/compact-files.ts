/** The files of a snapshot as planning wants them, manifest by manifest. */
import { TicklakeError } from "../../errors";
import type { FileIO } from "../io/types";
import { readManifest, readManifestList } from "../manifests";
import { currentSchema, currentSnapshot } from "../metadata";
import { DeleteIndex } from "../scan/deletes";
import { mayMatch } from "../scan/plan";
import { DELETED, type ManifestEntry, type TableMetadata } from "../types";
import type { CompactPlanOptions } from "./compact-options";
import { isCandidate, type PlannedFile } from "./compact-plan";

export function plannedFile({ file, sequenceNumber }: ManifestEntry): PlannedFile {
  const { filePath, fileSizeInBytes, recordCount, specId, partition } = file;
  return { filePath, fileSizeInBytes, recordCount, specId, partition, sequenceNumber: sequenceNumber! };
}

/** Candidates for rewriting, and the deletes of the snapshot. */
export interface SnapshotFiles { readonly candidates: PlannedFile[]; readonly deletes: DeleteIndex }

/**
 * Reads the current snapshot.
 *
 * @throws TicklakeError TABLE_UNSUPPORTED for equality deletes, deletion vectors, and files that are no Parquet: what cannot be read right is not rewritten
 */
export async function snapshotFiles(io: FileIO, metadata: TableMetadata, name: string, options: CompactPlanOptions): Promise<SnapshotFiles> {
  const snapshot = currentSnapshot(metadata);
  const candidates: PlannedFile[] = [], deletes = new DeleteIndex();
  if (!snapshot) return { candidates, deletes };
  const manifests = await readManifestList(io, snapshot);
  // Deletes first: they decide which data files are looked at.
  for (const manifest of manifests.filter(({ content }) => content === 1)) {
    for (const entry of await readManifest(io, manifest, metadata)) {
      if (entry.status === DELETED) continue;
      checkDelete(entry, name);
      deletes.add(entry);
    }
  }
  const matches = options.where ? mayMatch(metadata, currentSchema(metadata), options.where) : (): boolean => true;
  for (const manifest of manifests.filter(({ content }) => content === 0)) {
    for (const entry of await readManifest(io, manifest, metadata)) {
      if (entry.status === DELETED || !matches(entry.file)) continue;
      const file = plannedFile(entry);
      if (!isCandidate(file, deletes.positions(file, file.sequenceNumber), options)) continue;
      if (entry.file.fileFormat.toUpperCase() !== "PARQUET") {
        throw new TicklakeError("TABLE_UNSUPPORTED", `Table ${name} has data files in ${entry.file.fileFormat} (${file.filePath}); only Parquet can be rewritten. Compact it with Spark and write.format.default=parquet.`);
      }
      candidates.push(file);
    }
  }
  return { candidates, deletes };
}

function checkDelete({ file }: ManifestEntry, name: string): void {
  if (file.content === 2) throw new TicklakeError("TABLE_UNSUPPORTED", `Table ${name} has equality delete files (${file.filePath}), which cannot be applied yet. Compact it with the engine that wrote them (Spark: CALL system.rewrite_data_files).`);
  const format = file.fileFormat.toUpperCase();
  if (format !== "PARQUET") throw new TicklakeError("TABLE_UNSUPPORTED", `Table ${name} has position deletes in ${file.fileFormat} (${file.filePath})${format === "PUFFIN" ? ", deletion vectors of format version 3" : ""}; only Parquet can be applied. Compact it with Spark.`);
}
