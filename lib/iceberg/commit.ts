/**
 * Appending to a table: a commit that survives other writers, failing storage and unknown outcomes.
 *
 * An append is always re-appliable: data files and their manifest are written once, every attempt writes a new manifest list and new metadata on top of the
 * newest version, with its sequence number, parent and totals.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { asTicklakeError, TicklakeError } from "../errors";
import { growingBound } from "../retry";
import type { CommitProbe, Table, TableState } from "./catalog/types";
import { AppendFiles } from "./commit-files";
import { appendSummary, currentSnapshot, snapshotById, specById } from "./metadata";
import type { DataFile, Snapshot, TableMetadata } from "./types";
import type { MetadataUpdate } from "./updates";
import { encodeWatermarks, encodeWatermarksProperty, findReversal, mergeWatermarks, readWatermarks, type ReadWatermarks, type Watermark, WATERMARKS, watermarksAhead, withoutWatermarks } from "./watermarks";

export type { CommitPoint, CommitProbe } from "./catalog/types";
export type { Watermark } from "./watermarks";

/** What to append. */
export interface AppendRequest {
  /** Written already. May be empty (watermarks alone move). */
  readonly files: readonly DataFile[];
  /** Written with the rows, merged over those of the base. */
  readonly watermarks?: readonly Watermark[];
  /** More entries of the snapshot summary. */
  readonly summary?: Readonly<Record<string, string>>;
  /** Called with the base of every attempt. What it throws (WATERMARK_MOVED, ...) ends the append; nothing was written then. */
  readonly checkBase?: (base: TableState) => void;
  /** Named steps, for tests that crash or fail there. */
  readonly at?: CommitProbe;
  readonly signal?: AbortSignal;
  /** How long conflicts and unknown outcomes are gone after. Without it: without end. */
  readonly maxWaitMs?: number;
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
}

/** What tests replace. */
export interface AppendTools {
  readonly now?: () => number;
  readonly random?: () => number;
  readonly sleep?: (ms: number, signal?: AbortSignal) => Promise<unknown>;
  readonly snapshotId?: () => bigint;
  readonly version?: string;
}

/**
 * Appends files to a table.
 *
 * @throws TicklakeError
 * - COMMIT_UNKNOWN: stopped (signal, maxWaitMs) while the outcome was unknown. The files must not be deleted, nor appended by another call:
 *   `beginAppend` gives an append that can be run again to find out.
 * - any other: nothing was committed, and what the append itself wrote is deleted (the data files are the caller's). COMMIT_CONFLICT and STOPPED when maxWaitMs or signal ended it,
 *   TABLE_REPLACED when the name holds another table now, TABLE_NOT_FOUND, WATERMARK_MOVED, STORAGE_*, whatever checkBase threw.
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
  readonly #tools: Required<Omit<AppendTools, "snapshotId">> & { snapshotId: () => bigint };
  readonly #uuid: string;
  readonly #files: AppendFiles;
  #attempts = 0;
  #conflicts = 0;
  #snapshotId: bigint | undefined;
  /** Versions that attempts of unknown outcome were to become: those may still turn up in the table. */
  #unknown: { base: TableState }[] = [];

  constructor(table: Table, request: AppendRequest, tools: AppendTools = {}) {
    this.#table = table;
    this.#request = request;
    this.#tools = {
      now: tools.now ?? Date.now,
      random: tools.random ?? Math.random,
      sleep: tools.sleep ?? ((ms, signal) => sleep(ms, undefined, signal ? { signal } : {}).catch(() => undefined)),
      snapshotId: tools.snapshotId ?? randomSnapshotId,
      version: tools.version ?? "0.1.0",
    };
    this.#uuid = table.state.metadata["table-uuid"];
    this.#files = new AppendFiles(table, request.files, randomUUID());
  }

  /** True while an attempt may be in the table, or may still get there. */
  get unknown(): boolean {
    return this.#unknown.length > 0;
  }

  /** Commits. After COMMIT_UNKNOWN, and only then, it may be called again: it finds out and goes on. */
  async run(limits: Pick<AppendRequest, "signal" | "maxWaitMs"> = this.#request): Promise<CommittedAppend> {
    const deadline = limits.maxWaitMs === undefined ? Infinity : this.#tools.now() + limits.maxWaitMs;
    for (let failures = 0; ; failures++) {
      try {
        if (!this.unknown) this.#checkStopped(limits.signal);
        const base = await this.#table.refresh();
        const landed = await this.#findLanded(base);
        if (landed) return landed;
        this.#forgetSettled(base);
        this.#checkStopped(limits.signal);
        return await this.#attempt(base);
      } catch (caught) {
        const error = asTicklakeError(caught, "STORAGE_FAILED");
        if (!this.#goesOn(error, deadline, limits.signal)) throw await this.#ended(error);
      }
      await this.#tools.sleep(this.#backOff(failures), limits.signal);
    }
  }

  /** Conflicts and unknown outcomes are gone after; while one is unknown, so is storage that fails. */
  #goesOn(error: TicklakeError, deadline: number, signal: AbortSignal | undefined): boolean {
    if (error.code === "COMMIT_CONFLICT") this.#conflicts++;
    const again = error.code === "COMMIT_CONFLICT" || error.code === "COMMIT_UNKNOWN" || (this.unknown && (error.code === "STORAGE_FAILED" || error.code === "STORAGE_FULL"));
    // Stopped: one more look at what became of the last attempt, but no waiting for a store that does not answer.
    if (signal?.aborted && error.kind === "retry") return false;
    return again && this.#tools.now() < deadline;
  }

  async #ended(error: TicklakeError): Promise<TicklakeError> {
    if (!this.unknown) {
      await this.#files.deleteAll();
      return error;
    }
    if (error.code === "COMMIT_UNKNOWN") return error;
    return new TicklakeError("COMMIT_UNKNOWN", `Whether snapshot ${this.#snapshotId} is in ${this.#table.fullName} is not known yet (${error.message}). Its files are kept; it is looked up again.`, {
      cause: error, details: { snapshotId: String(this.#snapshotId) },
    });
  }

  #checkStopped(signal: AbortSignal | undefined): void {
    if (signal?.aborted) throw new TicklakeError("STOPPED", `The commit to ${this.#table.fullName} was stopped before it was done.`);
  }

  /** Full jitter: writers that collided must not meet again. At most a second, for the queue moves on all the time. */
  #backOff(failures: number): number {
    return Math.round(this.#tools.random() * growingBound(failures + 1, 10, 1000));
  }

  /** An attempt that got through although it looked otherwise. */
  async #findLanded(state: TableState): Promise<CommittedAppend | undefined> {
    if (this.#snapshotId === undefined || this.#attempts === 0) return undefined;
    const snapshot = snapshotById(state.metadata, this.#snapshotId);
    if (!snapshot) return undefined;
    await this.#files.deleteAllBut(snapshot["manifest-list"]);
    const base = this.#unknown.find((attempt) => attempt.base.metadata["last-sequence-number"] + 1 === snapshot["sequence-number"])?.base ?? state;
    this.#unknown = [];
    return this.#result(snapshot, base, state);
  }

  /** Attempts whose version another commit has taken can no longer get through: a version is taken once. */
  #forgetSettled(state: TableState): void {
    this.#unknown = this.#unknown.filter(({ base }) => base.metadataLocation === state.metadataLocation);
  }

  async #attempt(base: TableState): Promise<CommittedAppend> {
    const { metadata } = base;
    const known = this.#checkBase(base);
    this.#snapshotId ??= unusedSnapshotId(metadata, this.#tools.snapshotId);
    const snapshotId = this.#snapshotId;
    const sequenceNumber = metadata["last-sequence-number"] + 1;
    const parent = currentSnapshot(metadata);
    const list = await this.#files.writeList(base, { snapshotId, sequenceNumber, attempt: ++this.#attempts }, this.#request.at);
    const { watermarks } = this.#request;
    const marks = watermarks?.length ? mergeWatermarks(known.watermarks, watermarks) : undefined;
    const snapshot: Snapshot = {
      "sequence-number": sequenceNumber,
      "snapshot-id": snapshotId,
      ...(parent ? { "parent-snapshot-id": parent["snapshot-id"] } : {}),
      "timestamp-ms": Math.max(this.#tools.now(), metadata["last-updated-ms"]),
      summary: this.#summary(parent, marks),
      "manifest-list": list,
      "schema-id": metadata["current-schema-id"],
    };
    const updates: MetadataUpdate[] = [
      { action: "add-snapshot", snapshot },
      { ...metadata.refs["main"], action: "set-snapshot-ref", "ref-name": "main", type: "branch", "snapshot-id": snapshotId },
    ];
    if (marks) updates.push({ action: "set-properties", updates: { [WATERMARKS]: encodeWatermarksProperty(marks, snapshotId, sequenceNumber, besides(known, watermarks!)) } });
    const attempt = { base };
    this.#unknown.push(attempt);
    try {
      const state = await this.#table.commit(base, updates, this.#request.at);
      this.#unknown = [];
      this.#files.remember(snapshot);
      await this.#files.deleteAllBut(list);
      return this.#result(snapshot, base, state);
    } catch (error) {
      if (!(error instanceof TicklakeError && error.code === "COMMIT_UNKNOWN")) this.#unknown = this.#unknown.filter((other) => other !== attempt);
      throw error;
    }
  }

  /** Throws when the append must not go onto this base; else the watermarks of the base. */
  #checkBase(base: TableState): ReadWatermarks {
    const { metadata } = base;
    if (metadata["table-uuid"] !== this.#uuid) {
      throw new TicklakeError("TABLE_REPLACED", `${this.#table.fullName} is another table now (it was dropped and created anew). Nothing was written; the rows go to the new table when they are read again.`, {
        details: { expected: this.#uuid, found: metadata["table-uuid"] },
      });
    }
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
      "engine-name": "ticklake", "engine-version": this.#tools.version, ...summary,
      ...(watermarks ? { [WATERMARKS]: encodeWatermarks(watermarks) } : {}),
    });
  }

  #result(snapshot: Snapshot, base: TableState, state: TableState): CommittedAppend {
    return {
      snapshotId: snapshot["snapshot-id"], sequenceNumber: snapshot["sequence-number"], conflicts: this.#conflicts, version: state.version, base, state, snapshot,
    };
  }
}

/** What was taken back and is not (wholly) written again by this commit either, and what was reset. */
function besides({ reversed, reset }: ReadWatermarks, moved: readonly Watermark[]): { reversed: Watermark[]; reset: Watermark[] } {
  return { reversed: watermarksAhead(reversed, moved), reset: withoutWatermarks(reset, moved) };
}

/** A random positive 63-bit number (the specification asks for no more than that it is unique in the table). */
export function randomSnapshotId(): bigint {
  return (randomBytes(8).readBigUInt64BE() >> 1n) || 1n;
}

function unusedSnapshotId(metadata: TableMetadata, draw: () => bigint): bigint {
  let id = draw();
  while (snapshotById(metadata, id)) id = draw();
  return id;
}
