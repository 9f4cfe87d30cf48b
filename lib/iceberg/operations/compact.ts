/**
 * Compaction (Spark's rewrite_data_files): small and worn data files become files of the right size, which hold the same rows in the table's current columns and partitioning.
 *
 * Safe beside everything else that commits: appends that land meanwhile stay, files that somebody else rewrote, deleted or rolled back meanwhile leave the commit with their group.
 */
import { availableParallelism } from "node:os";
import { asTicklakeError, TicklakeError } from "../../errors";
import type { CommitProbe, Table, TableState } from "../catalog/types";
import { commitChange, type CommitTools } from "../commit-change";
import { deleteDataFiles, writeDataFiles } from "../data-files";
import { currentSchema, currentSnapshot, defaultSpec } from "../metadata";
import { ROW_GROUP_ROWS } from "../parquet/file";
import { partitionPath } from "../transforms";
import { ReplaceFiles, type Replacement } from "../replace-files";
import type { InputFile, RewriteJob } from "../rewrite/job";
import { Stage } from "../rewrite/stage";
import { type Rewriter, RewriteThread } from "../rewrite/thread";
import type { DeleteIndex } from "../scan/deletes";
import type { DataFile } from "../types";
import { snapshotFiles } from "./compact-files";
import { compactOptions, type CompactPlanOptions, type CompactSettings } from "./compact-options";
import { planGroups, type RewriteGroup } from "./compact-plan";

export type { CompactSettings } from "./compact-options";

export interface CompactRun extends CompactSettings {
  /** Only says which groups would be rewritten. */
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal;
  /** Threads of the engine that reads (by default what the machine has, at most 4). */
  readonly threads?: number;
  /** Memory of the engine, bytes (512 MB); sorts beyond it go to disk. */
  readonly memoryBytes?: number;
  /** More entries of the snapshots' summaries. */
  readonly summary?: Readonly<Record<string, string>>;
  /** Told after every group. */
  readonly progress?: (done: CompactProgress) => void;
  /** Named steps of the commits, for tests that crash or fail there. */
  readonly at?: CommitProbe;
  /** What tests replace. */
  readonly tools?: CommitTools;
  /** Kept open by the caller; by default a thread of its own. */
  readonly rewriter?: Rewriter;
}

export interface CompactProgress { readonly groups: number; readonly of: number; readonly bytes: number }

/** A group as it is shown. */
export interface CompactGroup {
  /** `timestamp_trunc=1730419200000`; empty where the table is not partitioned, or files of older specs are divided anew. */
  readonly partition: string;
  readonly specId: number;
  readonly files: number;
  readonly bytes: number;
  readonly rows: number;
  readonly deleteFiles: number;
}

/** The first five are the result columns of Spark's procedure. Times are milliseconds. */
export interface CompactResult {
  readonly rewritten_data_files_count: number;
  readonly added_data_files_count: number;
  readonly rewritten_bytes_count: number;
  readonly failed_data_files_count: number;
  readonly removed_delete_files_count: number;
  readonly added_bytes_count: number;
  readonly rows: number;
  readonly ms: number;
  /** Of the commits, in their order. */
  readonly snapshotIds: readonly bigint[];
  readonly conflicts: number;
  /** Groups that were (dry run: would be) rewritten. */
  readonly groups: readonly CompactGroup[];
  /** Groups that could not be rewritten, and why. Nothing of them was changed. */
  readonly failures: readonly (CompactGroup & { readonly reason: string })[];
}

/** What costs its group only: what the group reads was changed by others, or cannot be read. */
const GROUP_ERRORS: ReadonlySet<string> = new Set(["FILE_NOT_FOUND", "TABLE_CORRUPT", "STORAGE_FAILED", "STORAGE_FULL", "WORKER_FAILED", "COMMIT_CONFLICT"]);
const MEMORY_BYTES = 512 * 1024 * 1024;

/**
 * Compacts a table.
 *
 * @throws TicklakeError CONFIG_INVALID (options), TABLE_UNSUPPORTED (deletes or files that cannot be read right; format version 1), TABLE_REPLACED, TABLE_NOT_FOUND, STOPPED (what was
 *   committed before stays), COMMIT_UNKNOWN (whether the last commit landed is not known; no file was deleted), STORAGE_*. Groups that failed are in the result.
 */
export async function compactTable(table: Table, run: CompactRun = {}): Promise<CompactResult> {
  const began = performance.now();
  const state = await table.refresh();
  const options = compactOptions(run, state.metadata);
  if (state.formatVersion === 1 && !run.dryRun) throw new TicklakeError("TABLE_UNSUPPORTED", `${table.fullName} has format version 1, which is read and not written. Upgrade it (Spark: ALTER TABLE ... SET TBLPROPERTIES ('format-version' = '2')).`);
  const { candidates, deletes } = await snapshotFiles(table.io, state.metadata, table.fullName, options);
  const groups = planGroups(candidates, deletes, state.metadata["default-spec-id"], options);
  const compaction = new Compaction(table, state, options, run, deletes);
  if (!run.dryRun && groups.length > 0) await compaction.run(groups);
  return { ...compaction.result(), ...(run.dryRun ? { groups: groups.map((group) => compaction.describe(group)) } : {}), ms: Math.round(performance.now() - began) };
}

/** A group whose files are written and not yet committed. */
interface Written extends Replacement { readonly group: RewriteGroup }

class Compaction {
  readonly #referenced = new Map<string, readonly string[]>();
  readonly #done: Written[] = [];
  readonly #failures: { group: RewriteGroup; reason: string }[] = [];
  readonly #snapshotIds: bigint[] = [];
  #removedDeletes = 0;
  #conflicts = 0;

  constructor(private readonly table: Table, private readonly state: TableState, private readonly options: CompactPlanOptions, private readonly run_: CompactRun, private readonly deletes: DeleteIndex) {}

  async run(groups: readonly RewriteGroup[]): Promise<void> {
    const { options, run_: { signal, progress } } = this;
    const rewriter = this.run_.rewriter ?? new RewriteThread();
    const perCommit = options.partialProgress ? Math.ceil(groups.length / options.maxCommits) : groups.length;
    let waiting: Written[] = [];
    let bytes = 0;
    try {
      for (const [i, group] of groups.entries()) {
        if (signal?.aborted) throw stopped(this.table);
        const written = await this.#rewrite(group, rewriter);
        if (written) waiting.push(written);
        progress?.({ groups: i + 1, of: groups.length, bytes: bytes += group.bytes });
        if (waiting.length >= perCommit) await this.#commit(waiting.splice(0));
      }
      if (waiting.length > 0) await this.#commit(waiting.splice(0));
    } catch (error) {
      // No commit has these.
      await deleteDataFiles(this.table, waiting.flatMap(({ outputs }) => outputs));
      throw error;
    } finally {
      if (!this.run_.rewriter) await rewriter.close();
      waiting = [];
    }
  }

  /** Writes a group's new files. Undefined when the group failed: nothing of it is left. */
  async #rewrite(group: RewriteGroup, rewriter: Rewriter): Promise<Written | undefined> {
    const { table, run_: { signal } } = this;
    const spec = defaultSpec(this.state.metadata);
    const outputs: DataFile[] = [];
    let stage: Stage | undefined;
    try {
      stage = await Stage.open(table.io);
      const job = await this.#job(group, stage);
      const { rows, referenced } = await rewriter.rewrite(job, async (file) => {
        const sorted = this.options.sortOrderId === undefined ? file : { ...file, sortOrderId: this.options.sortOrderId };
        outputs.push(...await writeDataFiles(table, [sorted], spec["spec-id"], this.run_.at));
      }, signal);
      // Whatever the reason: rows that are not there again must not be replaced.
      if (rows > group.rows || (rows < group.rows && group.deletes.length === 0)) throw new TicklakeError("TABLE_CORRUPT", `the table's manifests count ${group.rows} rows in these files, which hold ${rows}`);
      for (const [path, names] of referenced) this.#referenced.set(path, names);
      return { group, inputs: group.files, outputs, deletes: group.deletes };
    } catch (caught) {
      await deleteDataFiles(table, outputs);
      if (signal?.aborted) throw stopped(table);
      const error = asTicklakeError(caught, "STORAGE_FAILED");
      if (!GROUP_ERRORS.has(error.code)) throw error;
      this.#failures.push({ group, reason: error.message });
      return undefined;
    } finally {
      await stage?.clear();
    }
  }

  async #job(group: RewriteGroup, stage: Stage): Promise<RewriteJob> {
    const { table, options, run_ } = this, { metadata } = this.state;
    const paths = await stage.take([...group.files, ...group.deletes], run_.signal);
    const input = ({ filePath, fileSizeInBytes, recordCount, specId, partition }: RewriteGroup["files"][number] | DataFile, i: number): InputFile => ({ filePath, fileSizeInBytes, recordCount, specId, partition, path: paths[i]! });
    const applied = group.files.map((file) => [file.filePath, this.deletes.positions(file, file.sequenceNumber).map((del) => del.filePath)] as const).filter(([, names]) => names.length > 0);
    const { "table-uuid": uuid, "partition-specs": specs, properties } = metadata;
    return {
      table: table.fullName, metadata: { "table-uuid": uuid, "partition-specs": specs, properties }, schema: currentSchema(metadata), spec: defaultSpec(metadata),
      ...(group.partition ? { partition: group.partition } : {}),
      files: group.files.map(input), deletes: group.deletes.map((file, i) => input(file, group.files.length + i)), applied: new Map(applied),
      sort: options.sort, codec: options.codec, targetBytes: options.targetBytes, rowGroupRows: ROW_GROUP_ROWS,
      threads: run_.threads ?? Math.max(1, Math.min(4, availableParallelism())), memoryLimit: `${Math.ceil((run_.memoryBytes ?? MEMORY_BYTES) / 1_000_000)}MB`,
      tempFolder: stage.folder, maxTempBytes: Math.max(options.maxGroupBytes * 4, MEMORY_BYTES),
    };
  }

  async #commit(written: readonly Written[]): Promise<void> {
    const { table, run_: { signal, at, tools } } = this;
    const all = written.flatMap(({ outputs }) => outputs);
    const change = new ReplaceFiles(table, {
      replacements: written, referenced: this.#referenced, ...(this.run_.summary ? { summary: this.run_.summary } : {}),
      ...(this.options.useStartingSequenceNumber ? { dataSequenceNumber: currentSnapshot(this.state.metadata)!["sequence-number"] } : {}),
    }, tools?.now);
    let landed: ReadonlySet<Replacement>, left: readonly { replacement: Replacement; reason: string }[];
    try {
      const outcome = await commitChange(table, change, { ...(signal ? { signal } : {}), ...(at ? { at } : {}) }, tools);
      landed = new Set(outcome?.value.landed);
      left = outcome?.value.left ?? written.map((replacement) => ({ replacement, reason: "its files are not in the table any more" }));
      if (outcome?.snapshot) this.#snapshotIds.push(outcome.snapshot["snapshot-id"]);
      this.#removedDeletes += outcome?.value.removedDeleteFiles ?? 0;
      this.#conflicts += outcome?.conflicts ?? 0;
    } catch (caught) {
      const error = asTicklakeError(caught);
      if (error.kind !== "unknown-outcome") await deleteDataFiles(table, all);
      throw error;
    }
    this.#done.push(...written.filter((one) => landed.has(one)));
    for (const { replacement, reason } of left) this.#failures.push({ group: (replacement as Written).group, reason });
    await deleteDataFiles(table, left.flatMap(({ replacement }) => replacement.outputs));
  }

  result(): Omit<CompactResult, "ms"> {
    const outputs = this.#done.flatMap((one) => one.outputs);
    const sum = (of: (group: RewriteGroup) => number): number => this.#done.reduce((total, { group }) => total + of(group), 0);
    return {
      rewritten_data_files_count: sum((group) => group.files.length), added_data_files_count: outputs.length, rewritten_bytes_count: sum((group) => group.bytes),
      failed_data_files_count: this.#failures.reduce((total, { group }) => total + group.files.length, 0), removed_delete_files_count: this.#removedDeletes,
      added_bytes_count: outputs.reduce((total, file) => total + file.fileSizeInBytes, 0), rows: outputs.reduce((total, file) => total + file.recordCount, 0),
      snapshotIds: this.#snapshotIds, conflicts: this.#conflicts,
      groups: this.#done.map(({ group }) => this.describe(group)), failures: this.#failures.map(({ group, reason }) => ({ ...this.describe(group), reason })),
    };
  }

  describe({ specId, partition, files, bytes, rows, deletes }: RewriteGroup): CompactGroup {
    const { metadata } = this.state;
    const path = partition ? partitionPath(defaultSpec(metadata), currentSchema(metadata), partition) : "";
    return { partition: path, specId, files: files.length, bytes, rows, deleteFiles: deletes.length };
  }
}

const stopped = (table: Table): TicklakeError => new TicklakeError("STOPPED", `The compaction of ${table.fullName} was stopped. What it had committed stays.`);
