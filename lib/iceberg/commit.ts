/**
 * Appending to a table: a commit that survives other writers, failing storage and unknown outcomes.
 *
 * An append is always re-appliable: data files and their manifest are written once, every attempt writes a new manifest list and new metadata on top of the
 * newest version, with its sequence number, parent and totals.
 */
import { TicklakeError } from "../errors";
import type { Table, TableState } from "./catalog/types";
import { type Attempt, type CommitLimits, type CommitTools, PendingChange, type Proposal } from "./commit-change";
import { AppendFiles } from "./commit-files";
import { appendSummary, currentSchema, currentSnapshot, ENGINE, snapshotUpdates, specById } from "./metadata";
import type { ColumnChange } from "./placement";
import type { DataFile, Schema, Snapshot } from "./types";
import type { MetadataUpdate } from "./updates";
import { encodeWatermarks, encodeWatermarksProperty, findReversal, mergeWatermarks, readWatermarks, type ReadWatermarks, type Watermark, WATERMARKS, watermarksAhead, withoutWatermarks } from "./watermarks";

export type { CommitPoint, CommitProbe } from "./catalog/types";
export { randomSnapshotId } from "./commit-change";
export type { Watermark } from "./watermarks";

/** What to append. */
export interface AppendRequest extends CommitLimits {
  /** Written already. May be empty (watermarks alone move). */
  readonly files: readonly DataFile[];
  /** Written with the rows, merged over those of the base. */
  readonly watermarks?: readonly Watermark[];
  /** More entries of the snapshot summary. */
  readonly summary?: Readonly<Record<string, string>>;
  /** Called with the base of every attempt. What it throws (WATERMARK_MOVED, ...) ends the append; nothing was written then. */
  readonly checkBase?: (base: TableState) => void;
  /**
   * How the table's schema changes in the same commit, asked with the base of every attempt, after `checkBase`. The files must be written by the ids of that schema: where a base gives
   * others, it has to throw, which ends the append; nothing was written then.
   */
  readonly evolve?: (base: TableState) => Evolution;
}

/** A change of the schema. */
export interface Evolution {
  /** The table's schema with it. */
  readonly schema: Schema;
  /** What makes the base's schema that one; empty when it is. */
  readonly updates: readonly MetadataUpdate[];
  /** The same for people. */
  readonly changes: readonly ColumnChange[];
}

/** A commit that is in the table. */
export interface CommittedAppend {
  readonly snapshotId: bigint;
  readonly sequenceNumber: number;
  /** Attempts that lost to another writer. */
  readonly conflicts: number;
  /** Version of the table that holds it. */
  readonly version: number;
  /** The version on which it was built. */
  readonly base: TableState;
  /** The table after it. When the outcome had to be looked up, others may have committed on top. */
  readonly state: TableState;
  readonly snapshot: Snapshot;
  /** What the attempt that landed made of the schema. */
  readonly evolution?: Evolution;
}

/** What tests replace. */
export interface AppendTools extends CommitTools { readonly version?: string }

/**
 * Appends files to a table.
 *
 * @throws TicklakeError
 * - COMMIT_UNKNOWN: stopped (signal, maxWaitMs) while the outcome was unknown. The files must not be deleted, nor appended by another call:
 *   `beginAppend` gives an append that can be run again to find out.
 * - any other: nothing was committed, and what the append itself wrote is deleted (the data files are the caller's). COMMIT_CONFLICT and STOPPED when maxWaitMs or signal ended it,
 *   TABLE_REPLACED when the name holds another table now, TABLE_NOT_FOUND, WATERMARK_MOVED, STORAGE_*, whatever checkBase or evolve threw.
 */
export async function append(table: Table, request: AppendRequest, tools?: AppendTools): Promise<CommittedAppend> {
  return beginAppend(table, request, tools).run();
}

/** Prepares an append. Nothing is read or written before `run`. */
export function beginAppend(table: Table, request: AppendRequest, tools?: AppendTools): PendingAppend {
  return new PendingAppend(table, request, tools);
}

/** One append with all its attempts. */
export class PendingAppend {
  readonly #table: Table;
  readonly #request: AppendRequest;
  readonly #tools: { readonly now: () => number; readonly version: string };
  readonly #files: AppendFiles;
  readonly #pending: PendingChange<Evolution | undefined>;

  constructor(table: Table, request: AppendRequest, tools: AppendTools = {}) {
    this.#table = table;
    this.#request = request;
    this.#tools = { now: tools.now ?? Date.now, version: tools.version ?? ENGINE["engine-version"] };
    const files = new AppendFiles(table, request.files);
    this.#files = files;
    this.#pending = new PendingChange(table, {
      build: (base, attempt) => this.#build(base, attempt),
      won: (_proposal, snapshot) => files.won(snapshot!),
      lost: () => files.lost(),
    }, tools);
  }

  /** True while an attempt may be in the table, or may still get there. */
  get unknown(): boolean {
    return this.#pending.unknown;
  }

  /** Commits. After COMMIT_UNKNOWN, and only then, it may be called again: it finds out and goes on. */
  async run(limits: Pick<AppendRequest, "signal" | "maxWaitMs"> = this.#request): Promise<CommittedAppend> {
    const { at } = this.#request;
    const { base, state, conflicts, snapshot, value: evolution } = (await this.#pending.run({ ...limits, ...(at ? { at } : {}) }))!;
    const { "snapshot-id": snapshotId, "sequence-number": sequenceNumber } = snapshot!;
    return { snapshotId, sequenceNumber, conflicts, version: state.version, base, state, snapshot: snapshot!, ...(evolution ? { evolution } : {}) };
  }

  async #build(base: TableState, attempt: Attempt): Promise<Proposal<Evolution | undefined>> {
    const { metadata } = base;
    const { snapshotId } = attempt;
    const known = this.#checkBase(base);
    const evolution = this.#request.evolve?.(base);
    const schema = evolution?.schema ?? currentSchema(metadata);
    const sequenceNumber = metadata["last-sequence-number"] + 1;
    const parent = currentSnapshot(metadata);
    const list = await this.#files.write(base, { snapshotId, sequenceNumber, attempt: attempt.number }, schema, this.#request.at);
    const { watermarks } = this.#request;
    const marks = watermarks?.length ? mergeWatermarks(known.watermarks, watermarks) : undefined;
    const snapshot: Snapshot = {
      "sequence-number": sequenceNumber,
      "snapshot-id": snapshotId,
      ...(parent ? { "parent-snapshot-id": parent["snapshot-id"] } : {}),
      "timestamp-ms": Math.max(this.#tools.now(), metadata["last-updated-ms"]),
      summary: this.#summary(parent, marks),
      "manifest-list": list,
      "schema-id": schema["schema-id"],
    };
    const updates = [...evolution?.updates ?? [], ...snapshotUpdates(metadata, snapshot)];
    if (marks) updates.push({ action: "set-properties", updates: { [WATERMARKS]: encodeWatermarksProperty(marks, snapshotId, sequenceNumber, besides(known, watermarks!)) } });
    return { updates, snapshot, value: evolution };
  }

  /** Throws when the append must not go onto this base; else the watermarks of the base. */
  #checkBase(base: TableState): ReadWatermarks {
    const { metadata } = base;
    for (const file of this.#request.files) {
      if (specById(metadata, file.specId)) continue;
      throw new TicklakeError("PARTITION_SPEC_INVALID", `The partition spec ${file.specId} of ${this.#table.fullName} was removed while rows for it were written. They are written again by the current one.`);
    }
    this.#request.checkBase?.(base);
    if (!this.#request.watermarks?.length) return { watermarks: [], from: "none", reversed: [], reset: [] };
    const known = readWatermarks(metadata);
    const back = findReversal(known.watermarks, this.#request.watermarks);
    if (!back) return known;
    const { topic, partition } = back.moved;
    throw new TicklakeError("WATERMARK_MOVED", `Another writer has written ${topic}-${partition} up to offset ${back.base.nextOffset} into ${this.#table.fullName}; rows up to ${back.moved.nextOffset} are there already.`, {
      details: { topic, partition, nextOffset: String(back.base.nextOffset) },
    });
  }

  #summary(parent: Snapshot | undefined, watermarks: readonly Watermark[] | undefined): Record<string, string> {
    const { files, summary } = this.#request;
    const delta = {
      files: files.length,
      rows: files.reduce((sum, file) => sum + file.recordCount, 0),
      bytes: files.reduce((sum, file) => sum + file.fileSizeInBytes, 0),
      partitions: new Set(files.map((file) => `${file.specId}/${file.partition.map((value) => (value instanceof Uint8Array ? Buffer.from(value).toString("hex") : String(value))).join("/")}`)).size,
    };
    return appendSummary(parent, delta, {
      ...ENGINE, "engine-version": this.#tools.version, ...summary,
      ...(watermarks ? { [WATERMARKS]: encodeWatermarks(watermarks) } : {}),
    });
  }
}

/** What was taken back and is not (wholly) written again by this commit either, and what was reset. */
function besides({ reversed, reset }: ReadWatermarks, moved: readonly Watermark[]): { reversed: Watermark[]; reset: Watermark[] } {
  return { reversed: watermarksAhead(reversed, moved), reset: withoutWatermarks(reset, moved) };
}
