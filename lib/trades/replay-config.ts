import { z } from "zod";
import { TicklakeError } from "../errors";
import { parseSymbols } from "../units";
import type { ColumnMapping, DialectName } from "./csv";
import { DIALECTS, parseMapping } from "./csv";
import { ZoneClock, dayOf } from "./csv/time";
import type { Pace } from "./pace";
import { PACES } from "./pace";
import { MAX_TIME_MS } from "./schema";
import { parseRfc3339Ms } from "./time";

/** The settings of csv-replay, checked. */
export interface ReplayConfig {
  readonly dialect: DialectName | "auto";
  /** For `custom`. */
  readonly mapping?: ColumnMapping;
  readonly pace: Pace;
  readonly batchSize: number;
  readonly timeShift: "none" | "now";
  readonly symbols?: ReadonlySet<string>;
  /** Unix ms: from inclusive, to exclusive. */
  readonly from?: number;
  readonly to?: number;
  readonly loop: boolean;
  readonly autoStart: boolean;
  readonly order: "time" | "file";
  /** Of times without an offset; undefined = the dialect's own. */
  readonly timeZone?: string;
  /** Date of files that have times of day only: midnight as if UTC, ms. */
  readonly day?: number;
  readonly fractionalSizes: boolean;
  readonly keepNanos: boolean;
}

const blank = (value: unknown): boolean => value === undefined || value === null || (typeof value === "string" && value.trim() === "");
const choice = <const T extends readonly string[]>(name: string, values: T, fallback: T[number]) =>
  z.preprocess((v) => (blank(v) ? fallback : v), z.enum(values, `${name}: choose one of ${values.join(", ")}.`));
const positive = (name: string, fallback: number, integer = false) =>
  z.preprocess((v) => (blank(v) ? fallback : Number(v)), integer
    ? z.number(`${name}: enter a number.`).int(`${name}: enter a whole number.`).min(1, `${name}: the least is 1.`).max(1_000_000, `${name}: the most is 1000000.`)
    : z.number(`${name}: enter a number.`).positive(`${name}: enter a number above 0.`));
const yes = (name: string) => z.preprocess((v) => (blank(v) ? false : v === "true" ? true : v === "false" ? false : v), z.boolean(`${name}: choose true or false.`));

const schema = z.object({
  dialect: choice("dialect", ["auto", ...DIALECTS], "auto"),
  pace: choice("pace", PACES, "original"),
  speed: positive("speed", 1),
  rate: positive("rate", 1000),
  batchSize: positive("batchSize", 100, true),
  timeShift: choice("timeShift", ["none", "now"], "none"),
  order: choice("order", ["time", "file"], "time"),
  loop: yes("loop"),
  autoStart: yes("autoStart"),
  fractionalSizes: yes("fractionalSizes"),
  keepNanos: yes("keepNanos"),
});

/**
 * Reads the settings of a replay with their defaults (NODES: dialect, columns, pace, speed, rate, batchSize, timeShift,
 * symbols, from, to, loop, autoStart; and order, timeZone, date, fractionalSizes, keepNanos).
 *
 * @throws TicklakeError CONFIG_INVALID naming the setting
 */
export function parseReplayConfig(raw: Readonly<Record<string, unknown>>): ReplayConfig {
  const result = schema.safeParse(raw);
  if (!result.success) throw new TicklakeError("CONFIG_INVALID", result.error.issues[0]!.message);
  const { pace, speed, rate, ...rest } = result.data;
  const symbols = parseSymbols(raw.symbols);
  const from = parseTime(raw.from, "from"), to = parseTime(raw.to, "to");
  if (from !== undefined && to !== undefined && to <= from) throw new TicklakeError("CONFIG_INVALID", "to: must be later than from; trades from `from` up to, but not including, `to` are replayed.");
  const timeZone = parseZone(raw.timeZone), day = parseDay(raw.date);
  return {
    ...rest,
    pace: { name: pace, speed, rate },
    ...(rest.dialect === "custom" && { mapping: parseMapping(raw.columns) }),
    ...(symbols.length > 0 && { symbols: new Set(symbols) }),
    ...(from !== undefined && { from }),
    ...(to !== undefined && { to }),
    ...(timeZone !== undefined && { timeZone }),
    ...(day !== undefined && { day }),
  };
}

/** Unix ms, RFC 3339, or a date with or without a time of day (then UTC); empty = undefined. */
export function parseTime(value: unknown, name: string): number | undefined {
  if (blank(value)) return undefined;
  if (value instanceof Date) return value.getTime();
  const text = String(value).trim();
  const iso = text.replace(" ", "T");
  const ms = /^\d{1,15}$/.test(text) ? Number(text)
    : parseRfc3339Ms(text) ?? parseRfc3339Ms(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : `${iso}${/T\d\d:\d\d$/.test(iso) ? ":00" : ""}Z`);
  if (ms !== undefined && ms <= MAX_TIME_MS) return ms;
  throw new TicklakeError("CONFIG_INVALID", `${name}: "${text}" is no time. Use 2024-11-01T13:30:00Z, 2024-11-01 (midnight UTC), or Unix milliseconds.`);
}

function parseZone(value: unknown): string | undefined {
  if (blank(value)) return undefined;
  const zone = String(value).trim();
  try {
    new ZoneClock(zone);
    return zone;
  } catch {
    throw new TicklakeError("CONFIG_INVALID", `timeZone: "${zone}" is no time zone. Use a name such as America/New_York, or UTC.`);
  }
}

function parseDay(value: unknown): number | undefined {
  if (blank(value)) return undefined;
  const text = String(value).trim();
  const day = text.length <= 10 ? dayOf(text) : undefined;
  if (day === undefined) throw new TicklakeError("CONFIG_INVALID", `date: "${text}" is no date. Use YYYY-MM-DD.`);
  return day;
}
