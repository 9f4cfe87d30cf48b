/** What a generator run needs and what it tells. */
import type { BatchSpec } from "../delivery/types";
import type { SyntheticState, Window } from "./synthetic";
import type { RawTrade } from "./types";

/** Time and turns of the event loop, so that tests need not wait. */
export interface RunClock {
  /** Unix ms. */
  now(): number;
  /** Ms that never jump. */
  monotonic(): number;
  setTimeout(callback: () => void, ms: number): unknown;
  clearTimeout(handle: unknown): void;
  /** In the next turn, after other work had its chance. */
  setImmediate(callback: () => void): void;
}

/** Where batches go: a source of the delivery ledger. */
export interface RunPort {
  hasRoom(): boolean;
  /** Opens a delivery and sends; `complete` marks the last batch of a run. */
  send(spec: BatchSpec<Position>, trades: RawTrade[], complete: boolean): void;
}

/** A batch's place in the stream of trades: enough to make the same batch again. */
export interface Position {
  readonly index: number;
  readonly window: Window;
  readonly checkpoint: Checkpoint;
}

/** A saved state, shared by the batches that follow it, so that thousands of symbols do not cost a copy per batch. */
export interface Checkpoint {
  readonly index: number;
  readonly state: SyntheticState;
  /** Of the batches from `index` on. */
  readonly windows: Window[];
}

/** `idle`: not begun or over. `ending`: all sent (or stopped), not all delivered. `stopped`: by onFailure; a control message resumes. */
export type RunState = "idle" | "running" | "paused" | "ending" | "backing-off" | "stopped";

export type Control = "start" | "stop" | "pause" | "resume";

/** Statistics of a run, as output 2 has them at its end. Counts are of the run; trades/s are of what was delivered. */
export interface GeneratorStatistics {
  /** Why it is told: `complete` (batchCount reached), `stopped` (control message); `running` before the end. */
  readonly outcome: "running" | "complete" | "stopped";
  readonly trades: number;
  readonly batches: number;
  readonly deliveredTrades: number;
  readonly deliveredBatches: number;
  /** Deliveries that failed and were sent again. */
  readonly failedBatches: number;
  /** Acknowledged of sent, percent of the deliveries that are over; null before the first. */
  readonly successRate: number | null;
  readonly tradesPerSecond: number;
  readonly seconds: number;
  /** Give this as `seed` to have the same trades again. */
  readonly seed: string;
}

export interface RunEvents {
  /** Something changed that a status should show. */
  changed(): void;
  /** The run is over: everything that was sent is delivered. */
  finished(statistics: GeneratorStatistics): void;
  /** `onFailure: stop` gave up. */
  gaveUp(error: Error): void;
}
