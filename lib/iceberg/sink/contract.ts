/** What the sink of a table needs and what it tells. */
import type { Part, SinkHandle } from "../../delivery/types";
import type { TicklakeError } from "../../errors";
import type { CommitProbe } from "../catalog/types";
import type { EncoderPool } from "../parquet/pool";
import type { CommitResult } from "./committer";
import type { OpenOptions } from "./open-table";
import type { SinkOptions } from "./options";

/** What a table's sink tells its owner. */
export interface TableSinkEvents {
  /** A commit landed; `parts` are completed right after this returns. */
  committed(result: CommitResult, parts: readonly Part[]): void;
  /** A message of which nothing needed writing: in the table already (`duplicates` rows), empty, or all rejected. It is completed right after this returns. */
  unwritten(part: Part, duplicates: number): void;
  /** A row that does not fit. Called while its message is being taken, before that is parked. */
  rejected(row: unknown, reason: string, part: Part): void;
  /** Something that a repetition can mend: tried again after `waitMs`. */
  retrying(error: TicklakeError, waitMs: number): void;
  /** Messages were failed; nothing changes until somebody acts. */
  failed(error: TicklakeError): void;
  /** Something that the user should know, once. */
  warn(message: string): void;
  /** Counts or state changed (for the status). */
  changed(): void;
}

export interface TableSinkDeps extends Omit<OpenOptions, "before" | "events"> {
  /** Id of the node that the sink belongs to (by default the ledger's id of the sink). */
  readonly node?: string;
  readonly options: SinkOptions;
  readonly encoder: EncoderPool;
  readonly ledger: SinkHandle;
  readonly events: TableSinkEvents;
  readonly now?: () => number;
  /** Named steps of every commit, for tests that crash or fail there. */
  readonly at?: CommitProbe;
}
