import { asTicklakeError, TicklakeError } from "../../errors";
import type { CommitProbe } from "../catalog/types";
import { append } from "../commit";
import { carryColumns, releaseBatch, type ColumnBatch } from "../columns";
import { rowIndex, sliceColumn } from "../columns/batch";
import { deleteDataFiles, writeDataFiles } from "../data-files";
import type { EncoderPool } from "../parquet/pool";
import { specById } from "../metadata";
import { sameColumns, type Placement } from "../placement";
import { leafColumns, typeText } from "../schema";
import type { DataFile, PartitionSpec, Schema, TableMetadata } from "../types";
import type { OpenTable } from "./open-table";
import type { SinkOptions } from "./options";
import { retrying } from "../../retry";
import type { Entry, Range, Selection } from "./selection";

/** One commit as it is told to the user (the contract's result message). */
export interface CommitResult {
  readonly table: string;
  /** Text: snapshot ids pass 2^53. */
  readonly snapshotId: string;
  readonly sequenceNumber: number;
  readonly rows: number;
  readonly files: number;
  readonly bytes: number;
  /** From taking the rows to the landed commit. */
  readonly ms: number;
  /** How often another writer was first. */
  readonly conflicts: number;
  /** Rows recognised as being in the table already since the last commit. */
  readonly duplicates: number;
  /** Columns that the table got with it; absent when it got none. */
  readonly columns?: readonly { readonly name: string; readonly type: string; /** What it was, where it was widened. */ readonly from?: string }[];
}

export interface CommitterDeps {
  readonly open: OpenTable;
  readonly options: SinkOptions;
  readonly encoder: EncoderPool;
  readonly signal: AbortSignal;
  readonly now: () => number;
  readonly onRetry: (error: TicklakeError, waitMs: number) => void;
  /** The table was read anew: it may have gone back. Deliveries that it sends back are aborted when this returns. */
  readonly followed: () => void;
  /** A message of the selection that turned out to be in the table already. */
  readonly duplicate: (entry: Entry) => void;
  /** Named steps of every commit, for tests that crash or fail there. */
  readonly at?: CommitProbe;
}

/** Columns that were detached, with the row numbers that they hold and the schema for which they were laid out. */
interface Taken { readonly batch: ColumnBatch; readonly ranges: readonly Range[]; readonly layout: Schema }

/** Rows as one commit writes them. */
interface Placed { readonly batch: ColumnBatch; readonly placement: Placement; readonly spec: PartitionSpec; readonly place: (metadata: TableMetadata) => Placement }

/** Another writer gave the columns other ids, or other types, than those that the files have. */
class PlacementMoved extends TicklakeError {
  constructor(table: string) { super("SCHEMA_MISMATCH", `The columns of ${table} changed while rows were written; they are written anew.`); }
}

/**
 * Takes one selection into the table: encode, write the data files, append. What a repetition can mend is repeated
 * without end; deliveries that were aborted or committed elsewhere meanwhile leave it, and the rest is written anew.
 */
export class Committer {
  constructor(private readonly deps: CommitterDeps) {}

  /**
   * @returns what landed (perhaps less than was selected); `result` is undefined when no rows were left to write
   * @throws TicklakeError when no repetition can mend it. Nothing was committed then, unless the code is COMMIT_UNKNOWN
   */
  async commit(selection: Selection): Promise<{ result?: Omit<CommitResult, "duplicates">; landed: Selection }> {
    const { open, now } = this.deps;
    const began = now();
    if (selection.rows === 0) return { landed: selection };
    const taken: Taken = { batch: open.columns.take(selection.ranges), ranges: selection.ranges, layout: open.rows.schema };
    open.rows.fix(taken.batch.columns.map(({ count }) => count));
    for (let left = selection; ;) {
      if (left.rows === 0) return { landed: left };
      const placed = this.#place(taken, left);
      const files = await this.#write(placed);
      try {
        const { state, snapshotId, sequenceNumber, conflicts, evolution } = await this.#append(left, files, placed);
        open.follow(state);
        this.deps.followed();
        releaseBatch(taken.batch);
        return {
          landed: left,
          result: {
            table: open.name, snapshotId: String(snapshotId), sequenceNumber, rows: left.rows, files: files.length,
            bytes: files.reduce((sum, file) => sum + file.fileSizeInBytes, 0), ms: Math.round(now() - began), conflicts,
            ...(evolution && evolution.changes.length > 0 ? { columns: evolution.changes.map(({ name, type, from }) => ({ name, type: typeText(type), ...(from ? { from } : {}) })) } : {}),
          },
        };
      } catch (caught) {
        const error = asTicklakeError(caught);
        // Only where it is certain that no snapshot names them: files of an unknown commit are never deleted.
        if (error.kind !== "unknown-outcome") await deleteDataFiles(open.table, files);
        if (error.code === "DELIVERY_ABORTED" || error.code === "WATERMARK_MOVED") left = await this.#reduce(left);
        else if (!(error instanceof PlacementMoved) && !this.#lostSpec(error, placed.spec)) throw error;
      }
    }
  }

  /** Whether it failed only because the partition spec was removed meanwhile: another one holds now. */
  #lostSpec(error: TicklakeError, spec: PartitionSpec): boolean {
    const { open } = this.deps;
    if (error.code !== "PARTITION_SPEC_INVALID") return false;
    open.follow(open.table.state);
    return specById(open.metadata, spec["spec-id"]) === undefined;
  }

  /** What is left of the rows, under the ids and types of the table as it is known. @throws TicklakeError SCHEMA_MISMATCH */
  #place(taken: Taken, selection: Selection): Placed {
    const { open } = this.deps;
    const { layout } = taken, { spec } = open;
    const batch = pickRows(taken, selection.ranges);
    const counts = batch.columns.map(({ count }) => count);
    const place = (metadata: TableMetadata): Placement => open.place(layout, counts, metadata, spec);
    const placement = place(open.metadata);
    if (placement.schema === layout) return { batch, placement, spec, place };
    const columns = carryColumns(batch.columns, layout, placement.schema, placement.origins, batch.rows);
    if (!columns) throw new TicklakeError("SCHEMA_MISMATCH", `Another writer changed columns of ${open.name} while rows waited, and some of their values do not fit any more. None of them was written; they are judged anew.`);
    return { batch: { ...batch, columns }, placement, spec, place };
  }

  async #reduce(selection: Selection): Promise<Selection> {
    const { open, options, signal } = this.deps;
    const marks = options.exactlyOnce ? open.marks : new Map<string, bigint>();
    selection.cut(marks);
    // What fails takes all that follows it along, which the ledger says in a later turn. What it leaves may be committed.
    do await new Promise((resolve) => setImmediate(resolve)); while (selection.pending && !signal.aborted);
    return selection.reduce(marks, this.deps.duplicate);
  }

  async #write({ batch, placement: { schema }, spec }: Placed): Promise<DataFile[]> {
    const { open, options, encoder, signal, onRetry } = this.deps;
    const encoded = await retrying(() => encoder.encode({ batch, schema, spec, codec: options.codec }), { signal, onRetry });
    return retrying(() => writeDataFiles(open.table, encoded, spec["spec-id"], this.deps.at), { signal, onRetry });
  }

  #append(selection: Selection, files: DataFile[], { placement, place }: Placed): ReturnType<typeof append> {
    const { open, options, signal, onRetry } = this.deps;
    return retrying(() => append(open.table, {
      files, signal, ...(this.deps.at ? { at: this.deps.at } : {}),
      ...(options.exactlyOnce ? { watermarks: selection.watermarks(options.writerId) } : {}),
      checkBase: (base) => {
        open.follow(base);
        this.deps.followed();
        selection.check(options.exactlyOnce ? open.marks : new Map());
      },
      evolve: ({ metadata }) => {
        const now = place(metadata);
        if (!sameColumns(now, placement)) throw new PlacementMoved(open.name);
        return { schema: now.table, updates: now.updates, changes: now.changes };
      },
    }), { signal, onRetry });
  }
}

/** The rows of a batch that have these numbers; the batch itself when that is all of it. */
function pickRows(taken: Taken, wanted: readonly Range[]): ColumnBatch {
  const runs: number[] = [];
  let position = 0, next = 0, rows = 0;
  for (const [from, to] of taken.ranges) {
    for (; next < wanted.length && wanted[next]![0] < to; next++) {
      const [first, end] = wanted[next]!;
      runs.push(position + first - from, position + end - from);
      rows += end - first;
    }
    position += to - from;
  }
  if (rows === taken.batch.rows) return taken.batch;
  const leaves = leafColumns(taken.layout);
  const columns = taken.batch.columns.map((column, i) => sliceColumn(column, rowIndex(column, leaves[i]!, taken.batch.rows), runs));
  return { rows, columns, bytes: Math.ceil((taken.batch.bytes * rows) / Math.max(1, taken.batch.rows)) };
}
