/** What a replay needs and what it tells. */
import type { SourcePolicy } from "../delivery/policy";
import type { BatchSpec, LogPosition } from "../delivery/types";
import type { PaceClock } from "./pace";
import type { ReplayBatch, ReplayPosition } from "./replay-batch";

/** Where batches go: a source of the delivery ledger. */
export interface ReplayPort {
  /** A batch may be sent now: flows run and there is room. */
  ready(): boolean;
  /** Resolves when that is so; rejects when aborted or closed. */
  whenReady(signal: AbortSignal): Promise<void>;
  /** Opens a delivery and sends. */
  send(spec: BatchSpec<ReplayPosition>, batch: ReplayBatch): void;
}

/** Where the position of a replay is kept, and how far it is: rows below `next` are in the target. */
export interface KeptPosition { readonly at: LogPosition; readonly next: number }

export interface ReplayDeps {
  port: ReplayPort;
  policy: SourcePolicy<ReplayPosition>;
  clock: PaceClock;
  /** Folder of the sorted copies of files that are not in time order, and the most that one may take. */
  tempDir: string;
  maxSortBytes?: number;
  /** Says where a replay (see replayIdentity) goes on; without it each begins anew. */
  position?(identity: string, signal: AbortSignal): Promise<KeptPosition>;
  /** Something changed that a status should show at once. */
  changed?(): void;
  /** onFailure `stop` gave up; the replay waits for `resume`. */
  gaveUp?(error: Error): void;
}

/**
 * `preparing`: header, order, sorting. `ending`: everything is sent, not everything delivered. `backing-off`: a
 * delivery failed, reading again soon. `stopped`: given up until `resume`. `over`: done, stopped or failed for good.
 */
export type ReplayState = "preparing" | "running" | "paused" | "ending" | "backing-off" | "stopped" | "over";

/** Counts of a replay. `trades` and `rejects` are of rows sent for the first time. */
export interface ReplayStatistics {
  readonly file: string;
  readonly dialect?: string;
  readonly state: ReplayState;
  readonly outcome: "running" | "complete" | "stopped" | "failed";
  readonly trades: number;
  readonly rejects: number;
  readonly batches: number;
  /** Trades and rejects whose delivery is over. */
  readonly deliveredRows: number;
  readonly failedBatches: number;
  readonly passes: number;
  /** Share of the pass that was read, 0 to 1; while preparing, share of that. */
  readonly progress: number;
  readonly phase?: "checking" | "sorting" | "resuming";
  /** Rows that were in the target before this replay began. */
  readonly resumedAfter: number;
  /** Market time of the last trade sent, Unix ms as in the file. */
  readonly marketTime?: number;
  /** Ms until the next batch is due. */
  readonly nextInMs?: number;
  /** Waiting for room: the bound of undelivered records is reached. */
  readonly blocked: boolean;
}
