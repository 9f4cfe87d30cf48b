/** What the operations on a table work with. */
import { TicklakeError } from "../../errors";
import { pause } from "../../retry";
import type { PinotCluster } from "../cluster";
import { TableApi } from "./api";
import type { LagSource } from "./lag";
import type { TableSettings } from "./settings";

export interface TableContext {
  readonly cluster: PinotCluster;
  readonly settings: TableSettings;
  readonly api: TableApi;
  readonly signal?: AbortSignal;
  /** What is being done, for the status. */
  readonly progress: (text: string) => void;
  /** What the user must know beside the result. */
  readonly warn: (text: string) => void;
  /** Asks Kafka where Pinot does not tell how far behind it is; undefined = never. */
  readonly kafka?: (brokers: string) => LagSource;
  /** Unix ms. */
  readonly now: () => number;
}

const EVERY_MS = 250;

/** Asks until it is so. @returns whether it came true in time @throws TicklakeError STOPPED */
export async function until(context: TableContext, timeoutMs: number, ask: () => Promise<boolean>): Promise<boolean> {
  const end = context.now() + timeoutMs;
  for (;;) {
    if (await ask()) return true;
    if (context.now() >= end) return false;
    await pause(EVERY_MS, context.signal);
    if (context.signal?.aborted) throw new TicklakeError("STOPPED", "The node stopped before this was done. What was asked of Pinot goes on there.");
  }
}
