/**
 * Looks after a table while rows are written to it: advice when its history grows long and, where that is wanted, compaction and expiry by itself.
 *
 * It never stands in the way of commits: one run at a time in the whole process, on a thread of its own, with a table of its own; what fails is told and tried again later.
 */
import { asTicklakeError, TicklakeError } from "../../errors";
import { growingBound, pause } from "../../retry";
import type { Catalog, Table } from "../catalog/types";
import { numberProperty, PROPERTY } from "../metadata";
import { compactTable, type CompactResult, type CompactRun } from "../operations/compact";
import { expireSnapshots } from "../operations/expire-snapshots";
import { RewriteThread } from "../rewrite/thread";
import type { TableIdentifier, TableMetadata } from "../types";
import { expiryAdvice } from "./advice";
import { COMPACTION, type CompactionKind, type Due, expiryBound, type LastRuns, MIN_NEW_FILES, nextExpiry, policyOf, SMALL_PART, whatIsDue } from "./policy";

/** What expiry did. */
export interface ExpiryResult { readonly snapshots: number; readonly files: number }

export type Expire = (table: Table, options: { readonly olderThanMs: number; readonly retainLast: number; readonly signal: AbortSignal }) => Promise<ExpiryResult>;

export interface CareEvents {
  /** Something was done: for the log. `short` fits a status. */
  did(text: string, short: string): void;
  warn(text: string): void;
  /** The history is too long; undefined: no longer. */
  advice(short: string | undefined): void;
}

export interface CareDeps {
  readonly catalog: Catalog;
  readonly identifier: TableIdentifier;
  /** For messages. */
  readonly name: string;
  /** Compaction and expiry by itself. */
  readonly maintenance: boolean;
  readonly events: CareEvents;
  readonly expire?: Expire;
  readonly compact?: (table: Table, run: CompactRun) => Promise<CompactResult>;
  readonly now?: () => number;
  readonly random?: () => number;
}

/** How often the length of the history is looked at, and how often the log repeats the advice. */
const LOOK_MS = 10 * 60_000;
const ADVISE_MS = 3_600_000;
/** After an error: at least, and at the most, this long until the next try. */
const RETRY_MS = 60_000, MAX_RETRY_MS = 3_600_000;
/** Processes begin at random moments within this. */
const START_MS = 3000;
/** How long `close` waits for a run to let go. */
const CLOSE_MS = 2000;
/** The longest that a timer waits: then it is looked at again. */
const MAX_TIMER_MS = 24 * 3_600_000;
const TARGET_BYTES = 128 * 1024 * 1024;

/** Runs of all tables of this process, one after the other. */
let queue: Promise<unknown> = Promise.resolve();
/** Tables (by location) that are being looked after now, whichever node asked for it. */
const busy = new Set<string>();

/** The thread of all runs: started with the first one, ended with the last table. */
let thread: RewriteThread | undefined;
let users = 0;

export class TableCare {
  readonly #deps: CareDeps;
  readonly #now: () => number;
  readonly #stop = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Infinity;
  #running: Promise<void> | undefined;
  /** Committed since the last run that merged any. */
  #newFiles = 0;
  /** Runs in a row that found too few to merge, and how many of the new files the last of them saw. What it saw counts on: the next few may make them enough. */
  #idle = 0;
  #tried = 0;
  /** What `LastRuns` says of it. */
  #owed = false;
  /** When snapshots go by their age although no more commits come. */
  #expiresAt: number | undefined;
  /** Of this process; what others and earlier ones did the table tells. */
  #last: LastRuns = { small: -Infinity, all: -Infinity };
  #notBefore: number;
  #failures = 0;
  #lookedAt = -Infinity;
  #advisedAt = -Infinity;
  #warned = "";

  constructor(deps: CareDeps) {
    this.#deps = deps;
    this.#now = deps.now ?? Date.now;
    users++;
    // Processes of one flow start together, and one of them is enough: whoever comes first leaves its mark in the table.
    this.#notBefore = this.#now() + this.#random() * START_MS;
  }

  /** A commit landed. Returns at once. */
  committed(files: number): void {
    this.#newFiles += files;
    this.#arm();
  }

  /** Ends a run under way. What it has committed stays. */
  async close(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    clearTimeout(this.#timer);
    const ended = (this.#running ?? Promise.resolve()).then(async () => {
      if (--users > 0) return;
      const last = thread;
      thread = undefined;
      await last?.close();
    });
    await Promise.race([ended, pause(CLOSE_MS)]);
  }

  #random(): number { return (this.#deps.random ?? Math.random)(); }

  /** Looks at the table at that time, or sooner if it was going to. */
  #arm(at = this.#notBefore): void {
    if (this.#running || this.#stop.signal.aborted || at >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => {
      this.#timerAt = Infinity;
      this.#running = this.#turn().finally(() => {
        this.#running = undefined;
        this.#armAgain();
      });
    }, Math.min(MAX_TIMER_MS, Math.max(0, at - this.#now())));
    this.#timer.unref();
  }

  /** What came meanwhile, or was too little, or is too young yet: it is looked at again although nothing more may come. */
  #armAgain(): void {
    if (!this.#deps.maintenance) return;
    if (this.#newFiles > this.#tried || this.#owed || this.#failures > 0) this.#arm();
    else if (this.#expiresAt !== undefined) this.#arm(Math.max(this.#notBefore, this.#expiresAt));
  }

  async #turn(): Promise<void> {
    let next = LOOK_MS;
    try {
      // Of its own, and let go of afterwards: messages may name thousands of tables.
      const table = await this.#deps.catalog.loadTable(this.#deps.identifier);
      const { metadata, metadataLocation } = table.state;
      if (this.#now() - this.#lookedAt >= LOOK_MS) await this.#look(table, metadata, metadataLocation);
      if (this.#deps.maintenance) {
        await this.#maintain(table);
        const { intervalMs } = policyOf(table.state.metadata);
        // Too few to merge, just after the start say, tells little of what comes: it is looked at again soon, and less and less often.
        next = this.#idle > 0 ? growingBound(this.#idle, Math.min(START_MS, intervalMs), Math.max(START_MS, intervalMs)) : Math.min(LOOK_MS, intervalMs / 4);
        this.#expiresAt = nextExpiry(table.state.metadata, this.#now());
      }
      this.#failures = 0;
    } catch (caught) {
      next = this.#failed(asTicklakeError(caught));
    }
    this.#notBefore = this.#now() + next * (1 + 0.2 * this.#random());
  }

  async #look(table: Table, metadata: TableMetadata, location: string): Promise<void> {
    const { name, maintenance, events } = this.#deps;
    const size = await table.io.stat(location);
    this.#lookedAt = this.#now();
    const advice = expiryAdvice(name, { snapshots: metadata.snapshots.length, metadataBytes: size?.size ?? 0 }, maintenance);
    events.advice(advice?.status);
    if (!advice || this.#now() - this.#advisedAt < ADVISE_MS) return;
    this.#advisedAt = this.#now();
    events.warn(advice.log);
  }

  async #maintain(table: Table): Promise<void> {
    const due = this.#due(table);
    if ((!due.compact && due.expireBefore === undefined) || busy.has(table.location)) return;
    busy.add(table.location);
    const mine = queue.then(async () => {
      let failed: unknown;
      // What cannot be compacted (a table with equality deletes) may have old snapshots all the same, and the other way round.
      const step = async (work: () => Promise<void>): Promise<void> => {
        if (!this.#stop.signal.aborted) await work().catch((error: unknown) => { failed ??= error; });
      };
      const { compact } = due;
      // A short history makes merging faster; while that goes on so do commits, and snapshots are counted anew.
      await step(() => this.#expire(table));
      if (compact) {
        await step(() => this.#compact(table, compact));
        await step(() => this.#expire(table));
      }
      if (failed !== undefined) throw failed;
    });
    queue = mine.catch(() => undefined);
    try {
      await mine;
    } finally {
      busy.delete(table.location);
    }
  }

  #due({ state: { metadata } }: Table): Due {
    const due = whatIsDue(metadata, this.#newFiles, { ...this.#last, owed: this.#owed }, this.#now());
    const { compact, ...rest } = due;
    // A run has seen all of it, and it was too little.
    return this.#newFiles === this.#tried && !(compact === "all" && this.#owed) ? rest : due;
  }

  async #compact(table: Table, kind: CompactionKind): Promise<void> {
    const { compact = compactTable, events, name } = this.#deps;
    const files = this.#newFiles, began = this.#now();
    const target = numberProperty(table.state.metadata, PROPERTY.targetFileBytes, TARGET_BYTES);
    const result = await compact(table, {
      rewriter: thread ??= new RewriteThread(), signal: this.#stop.signal, threads: 1, summary: { [COMPACTION]: kind },
      // Each group is committed by itself: a conflict, or the end of the process, costs one of them.
      options: { "partial-progress.enabled": true, "partial-progress.max-commits": 1000, "min-input-files": MIN_NEW_FILES, ...(kind === "small" ? { "min-file-size-bytes": Math.floor(target * SMALL_PART) } : {}) },
    });
    this.#took(kind, files, began, result);
    if (result.rewritten_data_files_count > 0) {
      const [from, to] = [result.rewritten_data_files_count, result.added_data_files_count];
      events.did(`${name}: compacted ${from} files (${megabytes(result.rewritten_bytes_count)}) into ${to} (${megabytes(result.added_bytes_count)}) in ${(result.ms / 1000).toFixed(1)} s.`, `compacted ${from} files into ${to}`);
    }
    if (result.failures.length > 0) this.#warn(`${name}: ${result.failed_data_files_count} files were not compacted (${result.failures[0]!.reason}). They are looked at again with the next run.`);
  }

  /** Counts a run. One that found too little to merge does not take the place of the next: its files wait for more. */
  #took(kind: CompactionKind, files: number, began: number, { rewritten_data_files_count: merged, failures }: CompactResult): void {
    const idle = merged === 0 && failures.length === 0;
    this.#idle = idle ? this.#idle + 1 : 0;
    this.#tried = idle ? files : 0;
    if (kind === "all") this.#owed = false;
    if (idle) return;
    this.#newFiles -= files;
    this.#owed = kind === "small" || failures.length > 0;
    this.#last = { small: began, all: kind === "all" ? began : this.#last.all };
  }

  async #expire(table: Table): Promise<void> {
    const { expire = expireByAge, events, name } = this.#deps;
    const { metadata } = await table.refresh();
    const olderThanMs = expiryBound(metadata, this.#now());
    if (olderThanMs === undefined) return;
    const { snapshots, files } = await expire(table, { olderThanMs, retainLast: policyOf(metadata).minKeep, signal: this.#stop.signal });
    if (snapshots > 0) events.did(`${name}: expired ${snapshots} snapshots and deleted ${files} files that only they needed.`, `expired ${snapshots} snapshots`);
  }

  /** How long until the next try. */
  #failed(error: TicklakeError): number {
    // Nothing was written yet, or it is over.
    if (this.#stop.signal.aborted || error.code === "TABLE_NOT_FOUND") return LOOK_MS;
    const wait = error.retryable ? growingBound(++this.#failures, RETRY_MS, MAX_RETRY_MS) : MAX_RETRY_MS;
    this.#warn(`${this.#deps.name}: maintenance failed and is tried again in ${Math.round(wait / 60_000)} minutes; rows are written as before. ${error.message}`);
    return wait;
  }

  /** The same trouble, run after run, is told once. */
  #warn(text: string): void {
    const what = text.replace(/\d+/g, "#");
    if (what === this.#warned) return;
    this.#warned = what;
    this.#deps.events.warn(text);
  }
}

const expireByAge: Expire = async (table, { olderThanMs, retainLast, signal }) => {
  const result = await expireSnapshots(table, { olderThanMs, retainLast }, { signal });
  const files = result.deleted_data_files_count + result.deleted_position_delete_files_count + result.deleted_equality_delete_files_count + result.deleted_manifest_files_count + result.deleted_manifest_lists_count + result.deleted_statistics_files_count;
  return { snapshots: result.expired_snapshots_count, files };
};

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
