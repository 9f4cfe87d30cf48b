import { formatCount, RateMeter } from "../trades/generator-rate";
import { formatWait } from "../trades/pace";
import type { Reading } from "../metrics/reading";
import type { SessionState, Subscriptions } from "./types";

/** What alpaca-in counts, as it answers `status`. Totals are since the deploy. */
export interface SourceStatistics {
  readonly state: SessionState;
  readonly feed: string;
  /** Whether trades are to be expected: regular hours of the New York exchanges; `always` for feeds that never rest. */
  readonly market: "open" | "closed" | "always";
  readonly attempt: number;
  readonly reconnects: number;
  /** How often Alpaca ended the connection because it was read too slowly (407). */
  readonly slowClient: number;
  /** Why it is not live. */
  readonly reason: string;
  readonly retryInMs?: number;
  /** What the server has confirmed. */
  readonly subscriptions: Subscriptions;
  readonly tradesPerSecond: number;
  /** Trades that came by the stream, without duplicates. */
  readonly received: number;
  /** Trades sent on output 1 (repetitions included) and delivered. */
  readonly sent: number;
  readonly delivered: number;
  readonly buffered: number;
  /** Of those that are buffered: not sent yet, or waiting to be sent again. */
  readonly unsent: number;
  readonly dropped: number;
  readonly duplicates: number;
  readonly malformed: number;
  readonly unknown: number;
  readonly otherSent: number;
  readonly otherDropped: number;
  readonly gaps: number;
  readonly backfilled: number;
  /** Backfills that wait or run, and how far the present one is (0 to 1). */
  readonly backfills: number;
  readonly backfillProgress: number;
  readonly failedDeliveries: number;
  readonly backingOff: boolean;
  readonly stopped: boolean;
}

/** Trades a second, of a counter that is asked now and then. */
export class TradeRate {
  private readonly meter = new RateMeter();
  at(now: number, count: number): number { return this.meter.sample(now, count); }
}

const WORDS: Record<SessionState, string> = {
  idle: "stopped", connecting: "connecting", welcomed: "connected", authenticating: "logging in", subscribing: "subscribing", live: "live", "backing-off": "waiting", fatal: "refused",
};

/** What to show under the node. */
export function describeSource(s: SourceStatistics): { kind: "ok" | "idle" | "warn" | "fail"; text: string } {
  const totals = `${formatCount(s.received)} in, ${formatCount(s.sent)} out`;
  const dropped = s.dropped + s.otherDropped > 0 ? `, ${formatCount(s.dropped + s.otherDropped)} dropped` : "";
  switch (s.state) {
    case "fatal": return { kind: "fail", text: s.reason };
    case "idle": return { kind: "idle", text: `stopped: ${totals}${dropped}` };
    case "backing-off": return { kind: "warn", text: `attempt ${s.attempt + 1} in ${formatWait(s.retryInMs ?? 0)}: ${s.reason}` };
    case "live": break;
    default: return { kind: s.attempt > 1 ? "warn" : "ok", text: `${WORDS[s.state]}${s.attempt > 1 ? `, attempt ${s.attempt}` : ""}${s.reason === "" ? "" : `: ${s.reason}`}` };
  }
  if (s.stopped) return { kind: "fail", text: `stopped after failures; send resume. ${formatCount(s.buffered)} buffered${dropped}` };
  if (Object.keys(s.subscriptions).length === 0) return { kind: "warn", text: "live, nothing is subscribed" };
  const market = s.market === "always" ? "" : `, market ${s.market}`;
  const text = `live, ${formatCount(s.tradesPerSecond)}/s, ${totals}${dropped}${s.backfills > 0 ? ", backfilling" : ""}${market}`;
  if (s.backingOff) return { kind: "warn", text: `delivery failed, sending again: ${totals}${dropped}` };
  return { kind: dropped === "" ? "ok" : "warn", text };
}

/** Why the feed does not come through; undefined while it does, and while nobody has started it. */
export function notReadyOf(s: SourceStatistics): string | undefined {
  const fine = s.state === "live" ? !s.stopped : s.state === "idle";
  return fine ? undefined : describeSource(s).text;
}

/** As metrics. What came and was not sent yet is lag; a feed cannot wait, so what does not fit is dropped. */
export function figuresOf(s: SourceStatistics): Reading {
  return {
    recordsIn: s.received + s.backfilled, lag: s.unsent, dropped: s.dropped + s.otherDropped, duplicates: s.duplicates, rejected: s.malformed, gaps: s.gaps,
  };
}
