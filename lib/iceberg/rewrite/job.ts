/**
 * Old data files into new ones: one group, one partition, any number of output files. Runs in the worker; memory is bounded by a row group, an output file and what the engine is
 * given, whatever the group holds.
 */
import { type DuckDBConnection, DuckDBInstance } from "@duckdb/node-api";
import { TicklakeError } from "../../errors";
import { type LocalScan, ScanViews } from "../../sql/scan-view";
import { batchIndexes, partitionColumns, partitionRows } from "../parquet/partition";
import { checkCodec } from "../parquet/codec";
import type { EncodedFile } from "../parquet/encode";
import { FileEncoder } from "../parquet/file";
import { partitionPath } from "../transforms";
import type { Codec, DataFile, PartitionSpec, PartitionValue, Schema, SortField } from "../types";
import { referencedSql, sortedSql } from "./read-sql";
import { Shredder } from "./shred";

/** A data file or delete file that is read. */
export type InputFile = Pick<DataFile, "filePath" | "fileSizeInBytes" | "recordCount" | "specId" | "partition"> & { /** Where it is on this machine. */ readonly path: string };

export interface RewriteJob {
  /** Name of the table, for messages. */
  readonly table: string;
  readonly metadata: LocalScan["metadata"];
  readonly schema: Schema;
  /** The spec that the new files are written by. */
  readonly spec: PartitionSpec;
  /** The partition of all rows where the old files have that spec; undefined: rows are divided anew. */
  readonly partition?: readonly PartitionValue[];
  /** In the order in which their rows are written. */
  readonly files: readonly InputFile[];
  /** Position deletes that may name rows of these files, and of which of them: locations of delete files by that of the data file. */
  readonly deletes: readonly InputFile[];
  readonly applied: ReadonlyMap<string, readonly string[]>;
  readonly sort: readonly SortField[];
  readonly codec: Codec;
  /** Bytes of an output file. */
  readonly targetBytes: number;
  /** Rows of a row group at the most. */
  readonly rowGroupRows: number;
  readonly threads: number;
  /** As DuckDB writes it: "512MB". Beyond it a sort goes to the temporary folder, up to maxTempBytes. */
  readonly memoryLimit: string;
  readonly tempFolder: string;
  readonly maxTempBytes: number;
}

export interface RewriteResult {
  readonly rows: number;
  /** For each delete file (location) the data files (locations) that it names. */
  readonly referenced: readonly (readonly [deleteFile: string, dataFiles: readonly string[]])[];
}

/** Takes a finished file; the next rows are read when it has resolved. */
export type Emit = (file: EncodedFile) => Promise<void>;

/** Columns in memory at the most before they are encoded. */
const GROUP_BYTES = 64 * 1024 * 1024;
/** A rest smaller than this part of the target goes into the file before it. */
const SMALL_REST = 0.25;

/**
 * Rewrites one group.
 *
 * @throws TicklakeError TABLE_UNSUPPORTED (files that cannot be read by field id), TABLE_CORRUPT, STOPPED, STORAGE_FULL (the sort needs more temporary space), STORAGE_FAILED
 */
export async function rewriteGroup(job: RewriteJob, emit: Emit, signal?: AbortSignal): Promise<RewriteResult> {
  checkCodec(job.codec);
  const instance = await DuckDBInstance.create(":memory:", {
    threads: String(job.threads), memory_limit: job.memoryLimit, temp_directory: job.tempFolder, max_temp_directory_size: `${Math.ceil(job.maxTempBytes / 1_000_000)}MB`,
    autoinstall_known_extensions: "false", autoload_known_extensions: "false",
  });
  let connection: DuckDBConnection | undefined;
  let again: NodeJS.Timeout | undefined;
  // An interrupt is lost between two statements: it is repeated until the work ends.
  const interrupt = (): void => {
    connection?.interrupt();
    again ??= setInterval(interrupt, 20);
  };
  signal?.addEventListener("abort", interrupt, { once: true });
  try {
    connection = await instance.connect();
    await connection.run("SET TimeZone = 'UTC'");
    return await new Rewriting(job, emit, connection, signal).run();
  } catch (error) {
    throw signal?.aborted ? stopped() : engineError(error, job.table);
  } finally {
    signal?.removeEventListener("abort", interrupt);
    clearInterval(again);
    connection?.disconnectSync();
    instance.closeSync();
  }
}

class Rewriting {
  /** Files that are being written, by partition. */
  private readonly open = new Map<string, { encoder: FileEncoder; partition: PartitionValue[]; path: string }>();
  private readonly shredder: Shredder;
  private readonly groupRows: number;
  private readonly inputRows: number;
  private read = 0;
  private written = 0;

  constructor(private readonly job: RewriteJob, private readonly emit: Emit, private readonly connection: DuckDBConnection, private readonly signal: AbortSignal | undefined) {
    this.shredder = new Shredder(job.schema);
    const bytes = job.files.reduce((sum, file) => sum + file.fileSizeInBytes, 0);
    this.inputRows = job.files.reduce((sum, file) => sum + file.recordCount, 0);
    const bytesPerRow = Math.max(1, bytes / Math.max(1, this.inputRows));
    this.groupRows = Math.max(1, Math.min(job.rowGroupRows, Math.ceil(job.targetBytes / bytesPerRow)));
  }

  async run(): Promise<RewriteResult> {
    const { job, connection } = this;
    const referenced = job.deletes.length > 0 ? await this.referenced() : [];
    const view = await new ScanViews().sql(connection, scanOf(job, this.inputRows));
    const result = await connection.stream(sortedSql(view, job.schema, job.sort));
    let next = result.fetchChunk();
    for (;;) {
      const chunk = await next;
      if (this.signal?.aborted) throw stopped();
      if (!chunk || chunk.rowCount === 0) break;
      // The engine prepares the next chunk while this one is taken over.
      next = result.fetchChunk();
      next.catch(() => undefined);
      this.shredder.append(chunk.chunk, chunk.rowCount);
      if (this.shredder.rows >= this.groupRows || this.shredder.bytes >= GROUP_BYTES) await this.flush();
    }
    await this.flush();
    for (const key of [...this.open.keys()]) await this.finish(key);
    return { rows: this.written, referenced };
  }

  private async referenced(): Promise<RewriteResult["referenced"]> {
    const { deletes } = this.job;
    const locations = new Map(deletes.map((file) => [file.path, file.filePath]));
    const named = new Map<string, string[]>(deletes.map((file) => [file.filePath, []]));
    const rows = (await this.connection.runAndReadAll(referencedSql([...locations.keys()]))).getRows() as [string, string][];
    for (const [path, location] of rows) named.get(locations.get(path)!)!.push(location);
    return [...named];
  }

  /** Encodes what was taken over as a row group, or as one of each partition. */
  private async flush(): Promise<void> {
    const { job, shredder } = this;
    if (shredder.rows === 0) return;
    const batch = shredder.batch();
    this.read += batch.rows;
    if (job.partition) await this.add([...job.partition], batch.columns, batch.rows);
    else {
      const parts = partitionRows(batch, job.schema, job.spec);
      const indexes = parts.length > 1 ? batchIndexes(batch, job.schema) : [];
      for (const part of parts) await this.add(part.partition, parts.length > 1 ? partitionColumns(batch, indexes, part) : batch.columns, part.rows);
      await this.bound();
    }
    this.written += batch.rows;
    shredder.clear();
  }

  private async add(partition: PartitionValue[], columns: Parameters<FileEncoder["addGroup"]>[0], rows: number): Promise<void> {
    const { job } = this;
    const path = partitionPath(job.spec, job.schema, partition);
    let file = this.open.get(path);
    if (!file) this.open.set(path, file = { encoder: new FileEncoder(job.schema, job.codec), partition, path });
    file.encoder.addGroup(columns, rows);
    const { length } = file.encoder;
    const rest = job.partition ? Math.max(0, this.inputRows - this.read) * (length / file.encoder.rows) : Infinity;
    if (length >= job.targetBytes && rest >= job.targetBytes * SMALL_REST) await this.finish(path);
  }

  /** Rows that are divided anew may keep many files open at once: together they hold what one may. */
  private async bound(): Promise<void> {
    for (;;) {
      let total = 0, largest = "";
      for (const [path, { encoder }] of this.open) {
        total += encoder.length;
        if (encoder.length > (this.open.get(largest)?.encoder.length ?? 0)) largest = path;
      }
      if (total < this.job.targetBytes || this.open.size < 2) return;
      await this.finish(largest);
    }
  }

  private async finish(key: string): Promise<void> {
    const { encoder, partition, path } = this.open.get(key)!;
    this.open.delete(key);
    await this.emit({ content: 0, fileFormat: "PARQUET", partition, partitionPath: path, ...encoder.finish() });
    if (this.signal?.aborted) throw stopped();
  }
}

function scanOf({ metadata, table, schema, files, deletes, applied }: RewriteJob, rows: number): LocalScan {
  // Of a file that is only read, its metrics do not matter.
  const known = new Map([...files, ...deletes].map((file) => [file.filePath, file as unknown as DataFile]));
  return {
    metadata, name: table, schema, needed: "all", label: "compact", paths: new Map([...files, ...deletes].map((file) => [file.filePath, file.path])),
    plan: { rows, files: files.map((file) => known.get(file.filePath)!), deletes: new Map([...applied].map(([path, names]) => [path, names.map((name) => known.get(name)!)])) },
  };
}

const stopped = (): TicklakeError => new TicklakeError("STOPPED", "The compaction was stopped.");

function engineError(error: unknown, table: string): TicklakeError {
  if (error instanceof TicklakeError) return error;
  const text = error instanceof Error ? error.message : String(error);
  if (/max_temp_directory_size|No space left|failed to offload/i.test(text)) {
    return new TicklakeError("STORAGE_FULL", `Compacting ${table} needs more temporary space than there is (${text}). Make room in the temporary folder (TMPDIR), or make groups smaller (max-file-group-size-bytes).`, { cause: error });
  }
  if (/Out of Memory/i.test(text)) return new TicklakeError("STORAGE_FAILED", `Compacting ${table} needs more memory than it was given (${text}). Make groups smaller (max-file-group-size-bytes).`, { cause: error });
  return new TicklakeError("STORAGE_FAILED", `Data files of ${table} could not be read: ${text}`, { cause: error });
}
