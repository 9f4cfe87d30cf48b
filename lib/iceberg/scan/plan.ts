/**
 * Scan planning: which data files of a snapshot may hold rows that match a filter. Manifests are skipped by their
 * partition summaries, files by their partition values and their column metrics. (Specification, "Scan Planning".)
 */
import { TicklakeError } from "../../errors";
import type { FileIO } from "../io/types";
import { readManifest, readManifestList } from "../manifests";
import { partitionTypes } from "../partition-type";
import { fieldById } from "../schema";
import { DELETED, type DataFile, type ManifestEntry, type ManifestFile, type PartitionSpec, type PartitionValue, type PrimitiveType, type Schema, type Snapshot, type TableMetadata } from "../types";
import { bytesToBigint, deserializeValue } from "../values";
import { DeleteIndex } from "./deletes";
import { type ColumnRange, mightMatch } from "./evaluate";
import { bindPredicate, type BoundPredicate, type Literal, type Predicate } from "./predicate";
import { metricsRange, type PartitionBounds, projectPartition } from "./projection";

export interface ScanRequest {
  io: FileIO;
  metadata: TableMetadata;
  /** Name of the table, for messages. */
  name: string;
  /** Undefined: the table has no snapshot yet, and the plan is empty. */
  snapshot: Snapshot | undefined;
  /** The schema whose columns the predicate names. */
  schema: Schema;
  predicate?: Predicate;
  /** Keeps decoded manifests between scans (they never change). */
  cache?: ManifestCache;
  /** The reader leaves out the rows that position delete files name (`deletes` of the plan). Without it such a table is refused. */
  appliesDeletes?: boolean;
}

/** What a scan has to read. */
export interface ScanPlan {
  files: DataFile[];
  /** Position delete files by the path of the data file that they may hold rows of. */
  deletes: Map<string, DataFile[]>;
  /** Rows of those data files, deleted ones included; bytes of the data files. */
  rows: number;
  bytes: number;
  filesScanned: number;
  /** Live files of the snapshot that cannot hold a matching row. */
  filesSkipped: number;
  manifestsScanned: number;
  manifestsSkipped: number;
}

/** Decoded manifests and manifest lists by location. Files of a table are immutable, so nothing in here goes stale. */
export class ManifestCache {
  private readonly lists = new Map<string, ManifestFile[]>();
  private readonly manifests = new Map<string, ManifestEntry[]>();
  private entries = 0;

  /** @param maxEntries manifest entries kept at the most (about 1 kB each) */
  constructor(private readonly maxEntries = 50_000) {}

  async list(location: string, load: () => Promise<ManifestFile[]>): Promise<ManifestFile[]> {
    const found = this.lists.get(location);
    if (found) return found;
    const list = await load();
    this.lists.set(location, list);
    if (this.lists.size > 20) this.lists.delete(this.lists.keys().next().value!);
    return list;
  }

  async manifest(location: string, load: () => Promise<ManifestEntry[]>): Promise<ManifestEntry[]> {
    const found = this.manifests.get(location);
    if (found) {
      // Put it last: the first ones of a Map are the ones least lately used.
      this.manifests.delete(location);
      this.manifests.set(location, found);
      return found;
    }
    const entries = await load();
    this.manifests.set(location, entries);
    this.entries += entries.length;
    for (const [oldest, dropped] of this.manifests) {
      if (this.entries <= this.maxEntries || oldest === location) break;
      this.manifests.delete(oldest);
      this.entries -= dropped.length;
    }
    return entries;
  }
}

/**
 * Plans a scan.
 *
 * @throws TicklakeError TABLE_UNSUPPORTED for delete files, file formats and encrypted files that cannot be read (a table is never read wrong),
 *   TABLE_CORRUPT for damaged manifests, SQL_INVALID for a predicate that does not fit the schema
 */
export async function planScan(request: ScanRequest): Promise<ScanPlan> {
  const plan: ScanPlan = { files: [], deletes: new Map(), rows: 0, bytes: 0, filesScanned: 0, filesSkipped: 0, manifestsScanned: 0, manifestsSkipped: 0 };
  const predicate = bindPredicate(request.schema, request.predicate ?? { op: "true" });
  const { snapshot, io, cache = new ManifestCache() } = request;
  if (!snapshot) return plan;
  const location = snapshot["manifest-list"] || `${request.metadata["table-uuid"]}/${snapshot["snapshot-id"]}`;
  const manifests = await cache.list(location, () => readManifestList(io, snapshot));
  const specs = new Map(request.metadata["partition-specs"].map((spec) => [spec["spec-id"], new SpecRanges(spec, request.metadata.schemas)]));

  const deletes = new DeleteIndex();
  const numbers = new Map<DataFile, number>();
  for (const manifest of manifests) {
    if ((manifest.addedFiles ?? 1) + (manifest.existingFiles ?? 1) === 0) continue;
    const spec = specs.get(manifest.specId);
    if (!spec) throw new TicklakeError("TABLE_CORRUPT", `Table ${request.name}: manifest ${manifest.path} uses partition spec ${manifest.specId}, which the table does not have.`);
    const counted = manifest.addedFiles !== undefined && manifest.existingFiles !== undefined;
    if (manifest.content === 0 && counted && !mightMatch(predicate, (field) => spec.ofManifest(manifest, field))) {
      plan.manifestsSkipped++;
      plan.filesSkipped += manifest.addedFiles! + manifest.existingFiles!;
      continue;
    }
    plan.manifestsScanned++;
    const entries = await cache.manifest(manifest.path, () => readManifest(io, manifest, request.metadata));
    for (const entry of entries) {
      if (entry.status === DELETED) continue;
      if (entry.file.content === 0) {
        numbers.set(entry.file, entry.sequenceNumber ?? 0);
        addFile(plan, entry.file, spec, predicate, request);
      } else if (request.appliesDeletes) deletes.add(entry);
      else throw hasDeletes(request.name, entry.file);
    }
  }
  if (request.appliesDeletes) for (const file of plan.files) applyDeletes(plan, file, numbers.get(file)!, deletes, request.name);
  return plan;
}

/** Finds the delete files of a data file. One that cannot be applied is an error only where it matters: old ones stay listed after a compaction. */
function applyDeletes(plan: ScanPlan, file: DataFile, sequenceNumber: number, deletes: DeleteIndex, table: string): void {
  const equality = deletes.equalityOf(file, sequenceNumber);
  if (equality) throw hasDeletes(table, equality);
  const found = deletes.positions(file, sequenceNumber);
  for (const each of found) checkReadable(each, table, "delete");
  if (found.length > 0) plan.deletes.set(file.filePath, found);
}

function hasDeletes(table: string, file: DataFile): TicklakeError {
  const kind = file.content === 1 ? "position" : "equality";
  return new TicklakeError("TABLE_UNSUPPORTED", `Table ${table} has ${kind} delete files (${file.filePath}), which cannot be read here: its rows would come out wrong. Compact it with the engine that deleted rows (Spark: CALL system.rewrite_data_files with delete-file-threshold 1), or write it copy-on-write.`);
}

function checkReadable(file: DataFile, table: string, kind: string): void {
  if (file.fileFormat.toUpperCase() !== "PARQUET") {
    throw new TicklakeError("TABLE_UNSUPPORTED", `Table ${table} has ${kind} files in ${file.fileFormat} (${file.filePath}); only Parquet can be read. Rewrite it with write.format.default=parquet.`);
  }
  if (file.keyMetadata && file.keyMetadata.length > 0) {
    throw new TicklakeError("TABLE_UNSUPPORTED", `Table ${table} has encrypted ${kind} files (${file.filePath}), which cannot be read here. Query it with the engine that encrypted it, or rewrite it without encryption.`);
  }
}

function addFile(plan: ScanPlan, file: DataFile, spec: SpecRanges, predicate: BoundPredicate, request: ScanRequest): void {
  checkReadable(file, request.name, "data");
  const might = file.recordCount > 0 && mightMatch(predicate, (field) => {
    const metrics = metricsRange(file, field, columnType(request.schema, field));
    const ranges = spec.ofFile(file, field);
    return metrics ? [...ranges, metrics] : ranges;
  });
  if (!might) {
    plan.filesSkipped++;
    return;
  }
  plan.files.push(file);
  plan.filesScanned++;
  plan.rows += file.recordCount;
  plan.bytes += file.fileSizeInBytes;
}

/**
 * A test of single files: whether one may hold a row that matches.
 *
 * @throws TicklakeError SQL_INVALID for a predicate that does not fit the schema
 */
export function mayMatch(metadata: TableMetadata, schema: Schema, predicate: Predicate): (file: DataFile) => boolean {
  const bound = bindPredicate(schema, predicate);
  const specs = new Map(metadata["partition-specs"].map((spec) => [spec["spec-id"], new SpecRanges(spec, metadata.schemas)]));
  return (file) => mightMatch(bound, (field) => {
    const metrics = metricsRange(file, field, columnType(schema, field));
    const ranges = specs.get(file.specId)?.ofFile(file, field) ?? [];
    return metrics ? [...ranges, metrics] : ranges;
  });
}

function columnType(schema: Schema, field: number): PrimitiveType {
  return fieldById(schema, field)!.field.type as PrimitiveType;
}

/** What partition values of one spec say of columns. */
class SpecRanges {
  /** Result type per partition field; undefined when its source column is gone from all schemas. */
  private readonly results: readonly (PrimitiveType | undefined)[];
  private readonly sources: readonly (PrimitiveType | undefined)[];

  constructor(readonly spec: PartitionSpec, schemas: readonly Schema[]) {
    // The newest schema has the widest type, and bounds of a narrower one read right by it.
    this.results = partitionTypes(spec, [...schemas].reverse());
    this.sources = spec.fields.map((field) => {
      const found = schemas.map((schema) => fieldById(schema, field["source-id"])).filter((named) => named !== undefined);
      const type = found.at(-1)?.field.type;
      return typeof type === "string" ? type : undefined;
    });
  }

  ofManifest(manifest: ManifestFile, field: number): ColumnRange[] {
    return this.ranges(field, (index, result) => {
      const summary = manifest.partitions?.[index];
      if (!summary) return undefined;
      return {
        ...(summary.lowerBound ? { lower: deserializeValue(result, summary.lowerBound) } : {}),
        ...(summary.upperBound ? { upper: deserializeValue(result, summary.upperBound) } : {}),
        containsNull: summary.containsNull,
        containsNaN: result === "float" || result === "double" ? (summary.containsNan ?? true) : false,
      };
    });
  }

  ofFile(file: DataFile, field: number): ColumnRange[] {
    return this.ranges(field, (index, result) => {
      const value = file.partition[index];
      if (value === undefined) return undefined;
      if (value === null) return { containsNull: true, containsNaN: false };
      const literal = scalarOf(value, result);
      if (typeof literal === "number" && Number.isNaN(literal)) return { containsNull: false, containsNaN: true };
      return { lower: literal, upper: literal, containsNull: false, containsNaN: false };
    });
  }

  private ranges(field: number, bounds: (index: number, result: PrimitiveType) => PartitionBounds | undefined): ColumnRange[] {
    const ranges: ColumnRange[] = [];
    this.spec.fields.forEach((partition, index) => {
      const source = this.sources[index];
      const result = this.results[index];
      // void is null for every row, whatever the column holds.
      if (partition["source-id"] !== field || !source || !result || source === "uuid" || partition.transform === "void") return;
      const found = bounds(index, result);
      if (found) ranges.push(projectPartition(partition, source, found));
    });
    return ranges;
  }
}

/** A partition value as the evaluator compares it: decimals stand in manifests as bytes. */
function scalarOf(value: Exclude<PartitionValue, null>, type: PrimitiveType): Literal {
  if (value instanceof Uint8Array && type.startsWith("decimal")) return bytesToBigint(value);
  return value;
}
