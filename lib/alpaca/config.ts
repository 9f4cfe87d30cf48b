import { z } from "zod";
import { TicklakeError } from "../errors";
import { parseDuration } from "../units";
import { OVERFLOWS, type Overflow } from "./lane";
import { TIMINGS, type Timings } from "./session";
import { parseChannels } from "./subscriptions";
import type { Channel } from "./types";

/** The settings of alpaca-in, checked; symbols may be set per start and are read apart. */
export interface AlpacaInConfig {
  readonly channels: readonly Channel[];
  readonly batchSize: number;
  readonly batchMaxWaitMs: number;
  readonly maxBuffered: number;
  readonly overflow: Overflow;
  readonly autoStart: boolean;
  readonly keepNanos: boolean;
  readonly encoding: "json" | "msgpack";
  readonly compression: boolean;
  readonly backfill: boolean;
  readonly timings: Timings;
}

const blank = (value: unknown): boolean => value === undefined || value === null || (typeof value === "string" && value.trim() === "");
const choice = <const T extends readonly string[]>(name: string, values: T, fallback: T[number]) =>
  z.preprocess((v) => (blank(v) ? fallback : v), z.enum(values, `${name}: choose one of ${values.join(", ")}.`));
const whole = (name: string, fallback: number, min: number, max: number) =>
  z.preprocess((v) => (blank(v) ? fallback : Number(v)), z.number(`${name}: enter a number.`).int(`${name}: enter a whole number.`).min(min, `${name}: the least is ${min}.`).max(max, `${name}: the most is ${max}.`));
const yes = (name: string, fallback: boolean) => z.preprocess((v) => (blank(v) ? fallback : v === "true" ? true : v === "false" ? false : v), z.boolean(`${name}: choose true or false.`));

const schema = z.object({
  batchSize: whole("batchSize", 100, 1, 1_000_000),
  batchMaxWaitMs: whole("batchMaxWaitMs", 250, 0, 3_600_000),
  maxBuffered: whole("maxBuffered", 500_000, 1, 100_000_000),
  overflow: choice("overflow", OVERFLOWS, "drop-oldest"),
  autoStart: yes("autoStart", true),
  keepNanos: yes("keepNanos", false),
  encoding: choice("encoding", ["json", "msgpack"], "json"),
  compression: yes("compression", false),
  backfill: yes("backfill", true),
});

/**
 * Reads the settings with their defaults (NODES: channels, batchSize, batchMaxWaitMs, maxBuffered, overflow, autoStart; and keepNanos, encoding, compression,
 * backfill, silenceTimeout, timeout).
 *
 * @param timings what an administrator has set otherwise (settings.js)
 * @throws TicklakeError CONFIG_INVALID naming the setting
 */
export function parseAlpacaInConfig(raw: Readonly<Record<string, unknown>>, timings: Partial<Timings> = {}): AlpacaInConfig {
  const result = schema.safeParse(raw);
  if (!result.success) throw new TicklakeError("CONFIG_INVALID", result.error.issues[0]!.message);
  const channels = parseChannels(blank(raw["channels"]) ? "trades" : raw["channels"]);
  const timeoutMs = blank(raw["timeout"]) ? TIMINGS.timeoutMs : parseDuration(raw["timeout"], "timeout");
  if (timeoutMs < 100) throw new TicklakeError("CONFIG_INVALID", "timeout: the least is 100 ms.");
  const silenceMs = blank(raw["silenceTimeout"]) ? TIMINGS.silenceMs : parseDuration(raw["silenceTimeout"], "silenceTimeout");
  return {
    ...result.data, channels,
    timings: { ...TIMINGS, timeoutMs, silenceMs, ...timings },
  };
}
