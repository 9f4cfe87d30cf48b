/**
 * What Alpaca's market-data stream calls things (https://docs.alpaca.markets/docs/streaming-market-data): channels, message types, and
 * what is subscribed.
 */

/** Channels that can be subscribed. Trades bring corrections and cancels (`cancelErrors`) along by themselves. */
export const CHANNELS = ["trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds", "imbalances", "orderbooks"] as const;
export type Channel = (typeof CHANNELS)[number];

/** The channel of a message type, which is the topic of what goes to output 2. The fields c, i, u and d mean something else in each: look at T first. */
export const CHANNEL_OF: Readonly<Record<string, string>> = {
  t: "trades", q: "quotes", b: "bars", u: "updatedBars", d: "dailyBars", s: "statuses", l: "lulds", i: "imbalances", o: "orderbooks", c: "corrections", x: "cancelErrors",
};
/** Topic of messages whose T nobody knows yet. */
export const UNKNOWN_TOPIC = "unknown";

/** Symbols per channel. A channel without symbols has no entry. */
export type Subscriptions = Partial<Record<Channel, readonly string[]>>;

/** A message about the session itself. */
export interface ControlMessage {
  readonly T: "success" | "error" | "subscription";
  readonly msg?: unknown;
  readonly code?: unknown;
  readonly [channel: string]: unknown;
}

/** Any other message that is no trade, with `t` in Unix ms where it has one. */
export type FeedMessage = Record<string, unknown> & { T: string };

/** Time and chance, so that tests need not wait. */
export interface AlpacaClock {
  /** Unix ms. */
  now(): number;
  /** Calls back after `ms`; gives what cancels it. */
  after(ms: number, callback: () => void): () => void;
  /** In a later turn of the event loop. */
  later(callback: () => void): void;
  /** From 0 to below 1. */
  random(): number;
}

/** `idle`: not started or stopped by a message. `welcomed`: connected, not logged in yet. `fatal`: until the settings change and are deployed. */
export type SessionState = "idle" | "connecting" | "welcomed" | "authenticating" | "subscribing" | "live" | "backing-off" | "fatal";

/** Something is missing between two times. */
export interface Gap {
  /** Unix ms: the last trade before it, and the first after it (or when the feed was subscribed again, if none came soon). Both ends may hold trades that did arrive. */
  readonly from: number;
  readonly to: number;
  readonly symbols: readonly string[];
  /** Why: in words. */
  readonly reason: string;
}
