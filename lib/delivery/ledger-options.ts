/** What a ledger is given: time, turns, and whom to tell. */

/** Clock and event loop, injected. */
export interface LedgerTime {
  /** Milliseconds, monotonic enough for time-outs. */
  now(): number;
  /** Calls back once after `ms` (never keeps the process alive); the result cancels. */
  after(ms: number, callback: () => void): () => void;
  /** Calls back in a later turn of the event loop (setImmediate). */
  later(callback: () => void): void;
}

/** A message with rows of a delivery whose end this delivery can no longer wait for. */
export interface Unprotected {
  /** Id of the node that sent it. */
  readonly node: string;
  /**
   * `late`: its delivery was over. `committed`: the sink had committed its delivery already. `mixed`: it also holds rows of a
   * batch that failed and comes again.
   */
  readonly reason: "late" | "committed" | "mixed";
}

export interface LedgerOptions {
  /** Names this run of the process; tokens of another one are no tokens. */
  readonly processId: string;
  readonly time: LedgerTime;
  /** A number that differs between callbacks of the event loop: what happens in one of them happens in one turn. */
  readonly turn: () => number;
  /** How a node is named in messages to people; by default its id. */
  readonly nodeName?: (id: string) => string;
  /** Told of every message that is not protected. */
  readonly unprotected?: (what: Unprotected) => void;
  /** Told of an exception out of a source's or sink's event handler. */
  readonly onError?: (error: unknown) => void;
}
