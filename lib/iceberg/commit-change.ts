/**
 * The attempt loop of every commit: it survives other writers, failing storage and unknown outcomes.
 *
 * A change is built anew on every base, so a conflict costs a rebuild and nothing else. What became of an attempt without an answer is looked up: by
 * its snapshot id where it adds a snapshot, else by what it changes.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { asTicklakeError, TicklakeError } from "../errors";
import { growingBound } from "../retry";
import type { CommitProbe, Table, TableState } from "./catalog/types";
import { inTurn } from "./commit-turn";
import { hasFilesOf } from "./manifests";
import { snapshotById } from "./metadata";
import type { Snapshot, TableMetadata } from "./types";
import type { MetadataUpdate } from "./updates";

/** What one attempt puts into the table. */
export interface Proposal<T> {
  readonly updates: readonly MetadataUpdate[];
  /** The snapshot that `updates` add. Its id is that of the attempt: by it the commit is found again. */
  readonly snapshot?: Snapshot;
  /** What the caller gets when this attempt is the one that lands. */
  readonly value: T;
}

/** One attempt at a commit. */
export interface Attempt {
  /** From 1; for names of files that every attempt writes anew. */
  readonly number: number;
  /** For the snapshot of the change: unused in the base, and the same in all attempts. */
  readonly snapshotId: bigint;
}

/** A change of a table that can be built on any base. */
export interface TableChange<T> {
  /** For messages: `snapshot 12 is in`, `the new column is in` ... by default the former with the snapshot's id. */
  readonly what?: string;
  /**
   * Builds the change on a base. Called once per attempt; may write files, which nobody reads until the commit.
   *
   * @returns undefined when nothing is left to do on this base
   * @throws what must end the commit: nothing was committed then
   */
  build(base: TableState, attempt: Attempt): Promise<Proposal<T> | undefined>;
  /**
   * Whether an attempt of unknown outcome is in the table although no snapshot tells. True also when somebody else has made the very same change: there is
   * nothing left to do. Must be there for changes without a snapshot.
   */
  landed?(state: TableState, proposal: Proposal<T>): boolean;
  /** This attempt is in the table: what only others wrote may be deleted. Never throws. */
  won?(proposal: Proposal<T>, snapshot: Snapshot | undefined): Promise<void>;
  /** No attempt is in the table or can get there: all that was written may be deleted. Never throws. */
  lost?(): Promise<void>;
}

/** When a commit gives up, and where tests look in. */
export interface CommitLimits {
  readonly signal?: AbortSignal;
  /** How long conflicts and unknown outcomes are gone after. Without it: without end. */
  readonly maxWaitMs?: number;
  /** Named steps, for tests that crash or fail there. */
  readonly at?: CommitProbe;
}

/** What tests replace. */
export interface CommitTools {
  readonly now?: () => number;
  readonly random?: () => number;
  readonly sleep?: (ms: number, signal?: AbortSignal) => Promise<unknown>;
  readonly snapshotId?: () => bigint;
}

/** A change that is in the table. */
export interface CommittedChange<T> {
  /** Of the attempt that landed. */
  readonly value: T;
  readonly snapshot?: Snapshot;
  /** Attempts that lost to another writer. */
  readonly conflicts: number;
  /** The version on which it was built. */
  readonly base: TableState;
  /** The table after it. When the outcome had to be looked up, others may have committed on top. */
  readonly state: TableState;
}

/**
 * Commits a change of a table.
 *
 * @returns undefined when there was nothing (left) to do
 * @throws TicklakeError
 * - COMMIT_UNKNOWN: stopped (signal, maxWaitMs) while the outcome was unknown. Files of the change must not be deleted; a PendingChange can be run again to find out.
 * - any other: nothing was committed, and `lost` was called. COMMIT_CONFLICT and STOPPED when maxWaitMs or signal ended it, TABLE_REPLACED when the name holds another
 *   table now, TABLE_NOT_FOUND, STORAGE_*, whatever `build` threw.
 */
export async function commitChange<T>(table: Table, change: TableChange<T>, limits: CommitLimits = {}, tools?: CommitTools): Promise<CommittedChange<T> | undefined> {
  return new PendingChange(table, change, tools).run(limits);
}

/** One change with all its attempts. */
export class PendingChange<T> {
  readonly #table: Table;
  readonly #change: TableChange<T>;
  readonly #tools: Required<CommitTools>;
  readonly #uuid: string;
  #attempts = 0;
  #conflicts = 0;
  #snapshotId: bigint | undefined;
  /** Attempts without an answer: those may still turn up in the table. */
  #unknown: { base: TableState; proposal: Proposal<T> }[] = [];
  /** Asking again would tell no more. */
  #undecidable = false;
  /** Of all attempts so far. */
  readonly #proposals: Proposal<T>[] = [];

  constructor(table: Table, change: TableChange<T>, tools: CommitTools = {}) {
    this.#table = table;
    this.#change = change;
    this.#tools = {
      now: tools.now ?? Date.now,
      random: tools.random ?? Math.random,
      sleep: tools.sleep ?? ((ms, signal) => sleep(ms, undefined, signal ? { signal } : {}).catch(() => undefined)),
      snapshotId: tools.snapshotId ?? randomSnapshotId,
    };
    this.#uuid = table.state.metadata["table-uuid"];
  }

  /** True while an attempt may be in the table, or may still get there. */
  get unknown(): boolean {
    return this.#unknown.length > 0;
  }

  /** Commits. After COMMIT_UNKNOWN, and only then, it may be called again: it finds out and goes on. */
  async run(limits: CommitLimits = {}): Promise<CommittedChange<T> | undefined> {
    const deadline = limits.maxWaitMs === undefined ? Infinity : this.#tools.now() + limits.maxWaitMs;
    for (let failures = 0; ; failures++) {
      try {
        return await inTurn(this.#uuid, this.#conflicts, limits.signal, () => this.#once(limits));
      } catch (caught) {
        const error = asTicklakeError(caught, "STORAGE_FAILED");
        if (!this.#goesOn(error, deadline, limits.signal)) throw await this.#ended(error);
      }
      await this.#tools.sleep(this.#backOff(failures), limits.signal);
    }
  }

  async #once({ signal, at }: CommitLimits): Promise<CommittedChange<T> | undefined> {
    if (!this.unknown) this.#checkStopped(signal);
    const base = await this.#table.refresh();
    const landed = await this.#findLanded(base);
    if (landed) return landed;
    const expired = await this.#findExpired(base);
    if (expired) return expired;
    this.#forgetSettled(base);
    this.#checkStopped(signal);
    return this.#attempt(base, at);
  }

  /** Conflicts and unknown outcomes are gone after; while one is unknown, so is storage that fails. */
  #goesOn(error: TicklakeError, deadline: number, signal: AbortSignal | undefined): boolean {
    if (error.code === "COMMIT_CONFLICT") this.#conflicts++;
    if (this.#undecidable) return false;
    const again = error.code === "COMMIT_CONFLICT" || error.code === "COMMIT_UNKNOWN" || (this.unknown && (error.code === "STORAGE_FAILED" || error.code === "STORAGE_FULL"));
    // Stopped: one more look at what became of the last attempt, but no waiting for a store that does not answer.
    if (signal?.aborted && error.kind === "retry") return false;
    return again && this.#tools.now() < deadline;
  }

  async #ended(error: TicklakeError): Promise<TicklakeError> {
    if (!this.unknown) {
      await this.#change.lost?.();
      return error;
    }
    if (error.code === "COMMIT_UNKNOWN") return error;
    const what = this.#change.what ?? `snapshot ${this.#snapshotId} is in`;
    return new TicklakeError("COMMIT_UNKNOWN", `Whether ${what} ${this.#table.fullName} is not known yet (${error.message}). Its files are kept; it is looked up again.`, {
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
  async #findLanded(state: TableState): Promise<CommittedChange<T> | undefined> {
    const last = this.#proposals.at(-1);
    if (!last || state.metadata["table-uuid"] !== this.#uuid) return undefined;
    const snapshot = last.snapshot && snapshotById(state.metadata, this.#snapshotId);
    if (!snapshot && !this.#change.landed?.(state, last)) return undefined;
    const proposal = this.#proposals.find((other) => snapshot && other.snapshot?.["manifest-list"] === snapshot["manifest-list"]) ?? last;
    const base = this.#unknown.find((attempt) => attempt.proposal === proposal)?.base ?? state;
    return this.#won(proposal, base, state);
  }

  /**
   * An attempt without an answer whose snapshot may have been expired since: sequence numbers are given once, so a listed snapshot with the attempt's number is
   * another's, and none with it was expired. Then the files tell, by the snapshot that added them. Where they do not (rewritten meanwhile, or never there), nothing can:
   * that is said, and no file is touched.
   */
  async #findExpired(state: TableState): Promise<CommittedChange<T> | undefined> {
    const { metadata } = state;
    if (metadata["table-uuid"] !== this.#uuid) return undefined;
    for (const { base, proposal } of this.#unknown) {
      const number = proposal.snapshot?.["sequence-number"];
      if (number === undefined || number > metadata["last-sequence-number"] || metadata.snapshots.some((snapshot) => snapshot["sequence-number"] === number)) continue;
      if (await hasFilesOf(this.#table.io, metadata, this.#snapshotId!)) return this.#won(proposal, base, state);
      this.#undecidable = true;
      throw new TicklakeError("COMMIT_UNKNOWN", `Whether snapshot ${this.#snapshotId} was in ${this.#table.fullName} cannot be told any more: snapshots of that time were expired while the outcome was not known. Its files are kept; expire only what is older than the longest outage (older_than).`);
    }
    return undefined;
  }

  /** Attempts whose version another commit has taken can no longer get through: a version is taken once. */
  #forgetSettled(state: TableState): void {
    const table = this.#table;
    this.#unknown = this.#unknown.filter(({ base }) => (table.mayStillLand ? table.mayStillLand(base, state) : base.metadataLocation === state.metadataLocation));
  }

  async #attempt(base: TableState, at: CommitProbe | undefined): Promise<CommittedChange<T> | undefined> {
    const { metadata } = base;
    if (metadata["table-uuid"] !== this.#uuid) {
      throw new TicklakeError("TABLE_REPLACED", `${this.#table.fullName} is another table now (it was dropped and created anew). Nothing was written; what is read or asked for again goes to the new table.`, {
        details: { expected: this.#uuid, found: metadata["table-uuid"] },
      });
    }
    this.#snapshotId ??= unusedSnapshotId(metadata, this.#tools.snapshotId);
    const proposal = await this.#change.build(base, { number: ++this.#attempts, snapshotId: this.#snapshotId });
    if (!proposal) return this.#nothingLeft();
    this.#proposals.push(proposal);
    const attempt = { base, proposal };
    this.#unknown.push(attempt);
    try {
      return await this.#won(proposal, base, await this.#table.commit(base, proposal.updates, at));
    } catch (error) {
      if (!(error instanceof TicklakeError && error.code === "COMMIT_UNKNOWN")) this.#unknown = this.#unknown.filter((other) => other !== attempt);
      throw error;
    }
  }

  async #nothingLeft(): Promise<undefined> {
    if (this.unknown) throw new TicklakeError("COMMIT_UNKNOWN", `What became of the last commit to ${this.#table.fullName} is not known yet. The table is read again.`);
    await this.#change.lost?.();
    return undefined;
  }

  async #won(proposal: Proposal<T>, base: TableState, state: TableState): Promise<CommittedChange<T>> {
    this.#unknown = [];
    // As the catalog gives it: the next commit asks for its manifests by this very object.
    const snapshot = proposal.snapshot && (snapshotById(state.metadata, this.#snapshotId) ?? proposal.snapshot);
    await this.#change.won?.(proposal, snapshot);
    return { value: proposal.value, ...(snapshot ? { snapshot } : {}), conflicts: this.#conflicts, base, state };
  }
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
