import { TicklakeError } from "../errors";
import { parseTime } from "../trades/replay-config";
import { parseSymbols } from "../units";
import { parseBackfill, type BackfillJob } from "./backfill";
import { parseChange } from "./subscriptions";
import type { Channel, Subscriptions } from "./types";

/** What a message asks of alpaca-in. */
export type Control =
  | { readonly word: "start" | "stop" | "resume" | "status" }
  | { readonly add: Subscriptions; readonly remove: Subscriptions }
  | { readonly backfill: BackfillJob };

const WORDS = ["start", "stop", "resume", "status"] as const;

/**
 * Reads `msg.payload`: a word, `{subscribe, unsubscribe}` or `{backfill}`.
 *
 * @param inForce symbols of trades that are subscribed: what a backfill without symbols means
 * @throws TicklakeError CONTROL_INVALID
 */
export function parseControl(payload: unknown, channels: readonly Channel[], inForce: readonly string[], now: number): Control {
  if (typeof payload === "string") {
    const word = WORDS.find((known) => known === payload.trim().toLowerCase());
    if (word) return { word };
  } else if (typeof payload === "object" && payload !== null && !Array.isArray(payload)) {
    const { subscribe, unsubscribe, backfill } = payload as Record<string, unknown>;
    if (backfill !== undefined) return { backfill: parseBackfill(backfill, inForce, parseSymbols, parseTime, now) };
    if (subscribe !== undefined || unsubscribe !== undefined) return { add: parseChange(subscribe, channels), remove: parseChange(unsubscribe, channels) };
  }
  throw new TicklakeError("CONTROL_INVALID", 'msg.payload is none of "start", "stop", "resume", "status", {subscribe: [...], unsubscribe: [...]}, {backfill: {symbols, start, end}}.');
}
