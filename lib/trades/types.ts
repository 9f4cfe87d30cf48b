/**
 * What a trade looks like on the way through the pipeline. Field names, types and units are those of Alpaca's trade
 * message, with `t` in Unix milliseconds.
 */

/**
 * A trade id: a number up to 2^53 - 1, a string of decimal digits beyond (a JavaScript number would round it).
 * In JSON to Kafka it is always a bare number with all its digits.
 */
export type TradeId = number | string;

/** A trade as the sources emit it (topic `iex_data`). */
export interface RawTrade {
  /** Message type, always `t`. */
  T: "t";
  /** Symbol, as the venue writes it. */
  S: string;
  /** Trade id, unique per symbol and day. */
  i: TradeId;
  /** Exchange code (codes.ts); null where the source has none. */
  x: string | null;
  /** Price in US dollars, not negative. */
  p: number;
  /** Size in whole shares, not negative. */
  s: number;
  /** When it was executed: Unix milliseconds, whole. */
  t: number;
  /** Sale conditions (codes.ts), in the order of the tape; null where the source has none. */
  c: string[] | null;
  /** Tape: A (NYSE), B (NYSE Arca, American and the other listing venues), C (Nasdaq); null where the source has none. */
  z: string | null;
  /** The original time as text with all its digits; only where a source was told to keep it. */
  tns?: string;
}

/** A flattened trade under the documented names (topic and table `flattened_stocks`): `t` has become `timestamp`. */
export interface Trade {
  T: "t";
  S: string;
  i: TradeId;
  x: string | null;
  p: number;
  s: number;
  /** Unix milliseconds. */
  timestamp: number;
  c: string[] | null;
  z: string | null;
}

/** A flattened trade under readable names, for engines that fold case and so cannot tell `S` from `s`. */
export interface ReadableTrade {
  type: "t";
  symbol: string;
  id: TradeId;
  exchange: string | null;
  price: number;
  size: number;
  /** Unix milliseconds. */
  timestamp: number;
  conditions: string[] | null;
  tape: string | null;
}

/** How the columns of flattened trades are called. */
export type TradeNames = "documented" | "readable";

/** A record as kafka-in emits it. `value` is what its format made of the bytes: parsed JSON, text or a Buffer; null in a tombstone. */
export interface KafkaRecord {
  key?: unknown;
  value: unknown;
  headers?: Record<string, unknown>;
  /** 63-bit, so a decimal string where it may be large. */
  offset?: string | number | bigint;
  timestamp?: string | number;
}
