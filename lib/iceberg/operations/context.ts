/** What the operations on tables share. */
import type { CommitLimits, CommitTools } from "../commit-change";

/** How an operation is run. */
export interface OperationContext extends CommitLimits {
  /** Only says what would happen. */
  readonly dryRun?: boolean;
  /** Told now and then how far a long operation is, in words. */
  readonly progress?: (text: string) => void;
  /** What tests replace. */
  readonly tools?: CommitTools;
}

/** The clock of an operation. */
export function nowOf({ tools }: OperationContext): number {
  return (tools?.now ?? Date.now)();
}

/** How many names a result lists; `files` and `snapshots` of results are cut off there, counts are not. */
export const LISTED = 1000;

/** Unix ms as ISO text; what no date can hold stays a number. */
export function isoTime(ms: number): string {
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : `${ms} ms`;
}
