import { z } from "zod";
import { TicklakeError } from "../errors";
import { parseDuration, parseSymbols } from "../units";
import { PRICE_MODELS, type PriceModel } from "./synthetic";
import { parseRfc3339Ms } from "./time";

/** A generator's settings, checked. */
export interface GeneratorConfig {
  readonly symbols: readonly string[];
  readonly batchSize: number;
  /** Between batches, ms; 0 = as fast as it drains. */
  readonly intervalMs: number;
  /** 0 = no end. */
  readonly batchCount: number;
  /** Empty = another one at every start. */
  readonly seed: string;
  readonly priceModel: PriceModel;
  /** Unix ms at which the simulated clock begins; undefined = the real time. */
  readonly startTime?: number;
  readonly autoStart: boolean;
}

const blank = (value: unknown): boolean => value === undefined || value === null || (typeof value === "string" && value.trim() === "");
const wholeNumber = (name: string, min: number, max: number, fallback: number) =>
  z.preprocess((value) => (blank(value) ? fallback : Number(value)), z.number(`${name}: enter a number.`).int(`${name}: enter a whole number.`).min(min, `${name}: the least is ${min}.`).max(max, `${name}: the most is ${max}.`));

const schema = z.object({
  batchSize: wholeNumber("batchSize", 1, 1_000_000, 50),
  batchCount: wholeNumber("batchCount", 0, Number.MAX_SAFE_INTEGER, 0),
  priceModel: z.preprocess((value) => (blank(value) ? "uniform" : value), z.enum(PRICE_MODELS, `priceModel: choose ${PRICE_MODELS.join(" or ")}.`)),
  autoStart: z.preprocess((value) => (blank(value) ? true : typeof value === "string" ? value !== "false" : value), z.boolean("autoStart: choose true or false.")),
});

/**
 * Reads a generator's settings with their defaults (NODES: symbols, batchSize, interval in seconds or words,
 * batchCount, seed, priceModel, startTime, autoStart).
 *
 * @throws TicklakeError CONFIG_INVALID naming the setting
 */
export function parseGeneratorConfig(raw: Readonly<Record<string, unknown>>): GeneratorConfig {
  const result = schema.safeParse(raw);
  if (!result.success) throw new TicklakeError("CONFIG_INVALID", result.error.issues[0]!.message);
  const symbols = raw.symbols === undefined ? ["AAPL", "GOOGL", "MSFT"] : parseSymbols(raw.symbols);
  if (symbols.length === 0) throw new TicklakeError("CONFIG_INVALID", "symbols: name at least one, for example AAPL GOOGL MSFT.");
  const long = symbols.find((symbol) => symbol.length > 64);
  if (long !== undefined) throw new TicklakeError("CONFIG_INVALID", `symbols: ${long.slice(0, 20)}... has more than 64 characters.`);
  const intervalText = typeof raw.interval === "string" ? raw.interval : blank(raw.interval) ? 1 : raw.interval;
  const startTime = parseStartTime(raw.startTime);
  return {
    ...result.data,
    symbols,
    intervalMs: parseDuration(blank(intervalText) ? 1 : intervalText, "interval"),
    seed: blank(raw.seed) ? "" : String(raw.seed).trim(),
    ...(startTime === undefined ? {} : { startTime }),
  };
}

/** Unix ms, RFC 3339, or a date with or without a time of day (then UTC); empty = undefined. */
function parseStartTime(value: unknown): number | undefined {
  if (blank(value)) return undefined;
  const text = String(value).trim();
  const ms = /^\d{1,15}$/.test(text) ? Number(text)
    : parseRfc3339Ms(text)
      ?? parseRfc3339Ms(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : `${text.replace(" ", "T")}${/T\d\d:\d\d$/.test(text.replace(" ", "T")) ? ":00" : ""}Z`);
  if (ms === undefined) {
    throw new TicklakeError("CONFIG_INVALID", `startTime: "${text}" is no time. Use 2024-11-01T13:30:00Z, 2024-11-01, or Unix milliseconds; empty means now.`);
  }
  return ms;
}
