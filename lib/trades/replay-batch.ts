import type { ReadPosition, RejectedRow } from "./csv";
import { BATCH_SPAN_MS, Schedule, type Pace } from "./pace";
import type { RawTrade } from "./types";

/** Estimated memory of a trade and of a rejected row besides its text. */
const TRADE_BYTES = 208, REJECT_BYTES = 100;

/** One reading of the file from end to end; `loop` makes several. */
export class Pass {
  readonly schedule: Schedule;
  /** Added to every time (`timeShift: now`), ms. */
  shift = 0;
  trades = 0;
  /** Trades that were there already when the pass began: they are not paced. */
  skipped = 0;
  /** @param owner the replay that it belongs to */
  constructor(readonly number: number, pace: Pace, readonly owner: object) { this.schedule = new Schedule(pace); }
}

/** Where a batch begins: enough to make it, and all after it, again. */
export interface ReplayPosition extends ReadPosition {
  readonly pass: Pass;
  /** Trades of the pass before it. */
  readonly index: number;
  /** Trades and rejected rows of the pass before it: the same in every replay of the same file with the same filters. */
  readonly seq: number;
}

/** What is sent at once. */
export interface ReplayBatch {
  readonly trades: readonly RawTrade[];
  /** Rows that could not be read, found before the last trade of the batch. */
  readonly rejects: readonly RejectedRow[];
  /** The last batch of the pass. */
  readonly complete: boolean;
  readonly pass: number;
  /** Name of the file. */
  readonly file: string;
  /** Rows that the target had already when this replay began; 0 for one that began anew. */
  readonly resumedAfter: number;
}

/** A batch in the making. */
export class BatchBuilder {
  trades: RawTrade[] = [];
  rejects: RejectedRow[] = [];
  bytes = 0;
  /** When its first and last trade are due, ms after the beginning of the pass. */
  firstDue = 0;
  lastDue = 0;
  at: ReplayPosition;

  constructor(at: ReplayPosition, private readonly size: number) { this.at = at; }

  get count(): number { return this.trades.length + this.rejects.length; }
  get full(): boolean { return this.count >= this.size; }

  /** Whether a trade due then may join: there is room, and nothing in the batch is held back for it. */
  takes(due: number): boolean {
    return !this.full && (this.trades.length === 0 || due - this.firstDue <= BATCH_SPAN_MS);
  }

  add(trade: RawTrade, due: number): void {
    if (this.trades.length === 0) this.firstDue = due;
    this.lastDue = this.trades.length === 0 ? due : Math.max(this.lastDue, due);
    this.trades.push(trade);
    this.bytes += TRADE_BYTES;
  }

  reject(row: RejectedRow): void {
    this.rejects.push(row);
    this.bytes += REJECT_BYTES + 2 * (row.text.length + row.reason.length);
  }
}
