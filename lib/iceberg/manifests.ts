/**
 * Manifests and manifest lists on storage: reading those of any engine, writing our own.
 */
import { TicklakeError } from "../errors";
import { decodeManifest, ManifestWriter } from "./avro/manifest";
import { decodeManifestList, encodeManifestList, type ManifestListHeader } from "./avro/manifest-list";
import type { FileIO } from "./io/types";
import { currentSnapshot, specById } from "./metadata";
import { partitionTypes } from "./partition-type";
import {
  ADDED, DELETED, type ManifestEntry, type ManifestFile, type PartitionFieldSummary, type PartitionSpec, type PartitionValue, type PrimitiveType, type Schema, type Snapshot,
  type TableMetadata,
} from "./types";
import { BOUND_LENGTH, compareValues, deserializeValue, type Literal, serializeValue, truncateLower, truncateUpper } from "./values";

/** The manifests of a snapshot. */
export async function readManifestList(io: FileIO, snapshot: Snapshot): Promise<ManifestFile[]> {
  const location = snapshot["manifest-list"];
  if (location) return decodeManifestList(await readPart(io, location), location);
  // Version 1 allows naming the manifests in the snapshot itself.
  const paths = (snapshot as unknown as { manifests?: string[] }).manifests ?? [];
  return Promise.all(paths.map(async (path): Promise<ManifestFile> => {
    const stat = await io.stat(path);
    return { path, length: stat?.size ?? 0, specId: 0, content: 0, sequenceNumber: 0, minSequenceNumber: 0, addedSnapshotId: snapshot["snapshot-id"] };
  }));
}

/** Every entry of a manifest, deleted ones included (their status says so), with what it inherits filled in. */
export async function readManifest(io: FileIO, manifest: ManifestFile, metadata: TableMetadata): Promise<ManifestEntry[]> {
  return decodeManifest(await readPart(io, manifest.path), manifest, specById(metadata, manifest.specId));
}

/** Whether the current snapshot holds files that a given snapshot added, be that snapshot still listed or not. */
export async function hasFilesOf(io: FileIO, metadata: TableMetadata, snapshotId: bigint): Promise<boolean> {
  const current = currentSnapshot(metadata);
  const manifests = current ? await readManifestList(io, current) : [];
  if (manifests.some((manifest) => manifest.addedSnapshotId === snapshotId && manifest.addedFiles !== 0)) return true;
  for (const manifest of manifests) {
    if ((await readManifest(io, manifest, metadata)).some((entry) => entry.status !== DELETED && entry.snapshotId === snapshotId)) return true;
  }
  return false;
}

async function readPart(io: FileIO, location: string): Promise<Uint8Array> {
  try {
    return await io.read(location);
  } catch (error) {
    if (!(error instanceof TicklakeError) || error.code !== "FILE_NOT_FOUND") throw error;
    throw new TicklakeError("TABLE_CORRUPT", `${location} belongs to the table and is gone. If its snapshot was expired meanwhile, query again; else restore the file or roll the table back to an older snapshot.`, { cause: error });
  }
}

/** Who writes a manifest, and how its values are typed. */
export interface ManifestContext {
  readonly metadata: TableMetadata;
  readonly schema: Schema;
  readonly spec: PartitionSpec;
  /** 0 data files (unless said otherwise), 1 delete files. */
  readonly content?: 0 | 1;
}

/**
 * Writes a manifest and returns its line for the manifest list.
 *
 * @param sequenceNumber of the line: known when all entries are explicit, else the commit fills it in (withSequence)
 */
export async function writeManifest(io: FileIO, path: string, entries: readonly ManifestEntry[], context: ManifestContext, snapshotId: bigint): Promise<ManifestFile> {
  const types = knownTypes(context);
  const content = context.content ?? 0;
  const bytes = await writerFor(context.schema, context.spec, types, content).encode(entries);
  await io.write(path, bytes);
  return { path, length: bytes.length, specId: context.spec["spec-id"], content, addedSnapshotId: snapshotId, ...counts(entries), partitions: summarize(entries, types) };
}

/** Building an encoder costs more than writing a manifest with it, and a table's schema object lives from commit to commit. */
const writers = new WeakMap<Schema, Map<string, ManifestWriter>>();

function writerFor(schema: Schema, spec: PartitionSpec, types: readonly PrimitiveType[], content: 0 | 1): ManifestWriter {
  let bySpec = writers.get(schema);
  if (!bySpec) writers.set(schema, (bySpec = new Map()));
  const key = JSON.stringify([spec, types, content]);
  let writer = bySpec.get(key);
  if (!writer) bySpec.set(key, (writer = new ManifestWriter(schema, spec, types, content)));
  return writer;
}

function knownTypes({ metadata, schema, spec }: ManifestContext): PrimitiveType[] {
  const types = partitionTypes(spec, [schema, ...metadata.schemas.toReversed()]);
  const missing = types.indexOf(undefined);
  if (missing >= 0) throw new TicklakeError("TABLE_UNSUPPORTED", `The partition field "${spec.fields[missing]!.name}" comes from a column that no schema of the table has.`);
  return types as PrimitiveType[];
}

/** Sequence numbers are 0 until the commit knows them. */
function counts(entries: readonly ManifestEntry[]): Pick<ManifestFile, "sequenceNumber" | "minSequenceNumber" | "addedFiles" | "existingFiles" | "deletedFiles" | "addedRows" | "existingRows" | "deletedRows"> {
  const files = [0, 0, 0];
  const rows = [0, 0, 0];
  let least = Infinity;
  for (const entry of entries) {
    files[entry.status]!++;
    rows[entry.status]! += entry.file.recordCount;
    if (entry.status !== DELETED && entry.sequenceNumber !== null) least = Math.min(least, entry.sequenceNumber);
  }
  return {
    sequenceNumber: 0, minSequenceNumber: Number.isFinite(least) ? least : 0,
    existingFiles: files[0]!, addedFiles: files[1]!, deletedFiles: files[2]!, existingRows: rows[0]!, addedRows: rows[1]!, deletedRows: rows[2]!,
  };
}

/** A manifest's line in the list of the snapshot that writes it: ADDED entries have the snapshot's sequence number. */
export function withSequence(manifest: ManifestFile, sequenceNumber: number): ManifestFile {
  const least = manifest.addedFiles! > 0 && manifest.minSequenceNumber === 0 && !manifest.existingFiles ? sequenceNumber : manifest.minSequenceNumber;
  return { ...manifest, sequenceNumber, minSequenceNumber: Math.min(least, sequenceNumber) };
}

/** An entry for a file that this snapshot adds. */
export function addedEntry(file: ManifestEntry["file"], snapshotId: bigint): ManifestEntry {
  return { status: ADDED, snapshotId, sequenceNumber: null, fileSequenceNumber: null, file };
}

/** Writes a manifest list; counts that an old writer left out are read from the manifest. */
export async function writeManifestList(io: FileIO, path: string, manifests: readonly ManifestFile[], header: ManifestListHeader, metadata: TableMetadata): Promise<void> {
  const complete: ManifestFile[] = [];
  for (const manifest of manifests) complete.push(await completed(io, manifest, metadata));
  await io.write(path, await encodeManifestList(complete, header));
}

/** A reader takes a missing count for "may have", a count of 0 for "has none": so they cannot be made up. */
async function completed(io: FileIO, manifest: ManifestFile, metadata: TableMetadata): Promise<ManifestFile> {
  const known = [manifest.addedFiles, manifest.existingFiles, manifest.deletedFiles, manifest.addedRows, manifest.existingRows, manifest.deletedRows];
  if (known.every((count) => count !== undefined)) return manifest;
  const found = counts(await readManifest(io, manifest, metadata));
  return { ...manifest, ...found, sequenceNumber: manifest.sequenceNumber, minSequenceNumber: manifest.minSequenceNumber };
}

/** Lowest and highest value of every partition field over the live entries, by which readers skip the manifest. */
export function summarize(entries: readonly ManifestEntry[], types: readonly PrimitiveType[]): PartitionFieldSummary[] {
  return types.map((type, i) => {
    const summary: PartitionFieldSummary = { containsNull: false, ...(type === "float" || type === "double" ? { containsNan: false } : {}) };
    let lower: Literal | undefined;
    let upper: Literal | undefined;
    for (const { file } of entries) {
      const value = comparable(type, file.partition[i] ?? null);
      if (value === null) summary.containsNull = true;
      else if (Number.isNaN(value)) summary.containsNan = true;
      else {
        if (lower === undefined || compareValues(type, value, lower) < 0) lower = value;
        if (upper === undefined || compareValues(type, value, upper) > 0) upper = value;
      }
    }
    if (lower !== undefined && upper !== undefined) setBounds(summary, type, lower, upper);
    return summary;
  });
}

/** Decimals stand as bytes in a tuple and compare as numbers. */
function comparable(type: PrimitiveType, value: PartitionValue): Literal | null {
  return value instanceof Uint8Array && type.startsWith("decimal") ? deserializeValue(type, value) : value;
}

function setBounds(summary: PartitionFieldSummary, type: PrimitiveType, lower: Literal, upper: Literal): void {
  summary.lowerBound = serializeValue(type, truncateLower(type, lower, BOUND_LENGTH));
  const short = truncateUpper(type, upper, BOUND_LENGTH);
  // A summary's upper bound may not be left out while there is a lower one: then it stays as long as it is.
  summary.upperBound = serializeValue(type, short ?? upper);
}
