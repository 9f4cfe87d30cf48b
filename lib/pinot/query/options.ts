/**
 * Settings of a query on Pinot, from a dialog or a message, checked. Pure; no I/O.
 */
import { TicklakeError } from "../../errors";
import { parseMaxRows, parseSqlText } from "../../sql/options";
import { parseDuration } from "../../units";

/** What a dialog or message gives, unchecked. */
export interface PinotQueryInput { sql: unknown; params?: unknown; defaults?: Readonly<Record<string, unknown>>; timeoutMs?: unknown; maxRows?: unknown; addLimit?: unknown; allowPartial?: unknown }

export interface PinotQuery {
  sql: string;
  /** Values of `:name` and names of `:"name"`. */
  params: unknown;
  /** How long Pinot may take. */
  timeoutMs: number;
  /** Rows at most. */
  maxRows: number;
  /** Writes a LIMIT where there is none. */
  addLimit: boolean;
  /** Takes the rows of those servers that answered where others did not. */
  allowPartial: boolean;
}

/** Longest time-out: what a timer of Node can hold. */
const MAX_TIMEOUT = 2 ** 31 - 1;

/**
 * @throws TicklakeError SQL_INVALID without SQL, CONFIG_INVALID naming the property that is wrong
 */
export function parsePinotQuery(input: PinotQueryInput): PinotQuery {
  return {
    sql: parseSqlText(input.sql, "SELECT S, COUNT(*) FROM flattened_stocks GROUP BY S LIMIT 100"), params: withDefaults(input.params, input.defaults), timeoutMs: parseTimeout(input.timeoutMs), maxRows: parseMaxRows(input.maxRows),
    addLimit: input.addLimit === true, allowPartial: input.allowPartial === true,
  };
}

/** Values of parameters that no message gives. Where `msg.params` is no object, binding says so. */
function withDefaults(params: unknown, defaults: Readonly<Record<string, unknown>> = {}): unknown {
  if (params === undefined || params === null) return defaults;
  return typeof params === "object" && !Array.isArray(params) ? { ...defaults, ...params } : params;
}

/**
 * Values of parameters from a dialog: an object, also as JSON text; nothing where it is empty.
 *
 * @throws TicklakeError CONFIG_INVALID
 */
export function parseDefaults(value: unknown): Record<string, unknown> {
  if (value === undefined || value === null || value === "") return {};
  let object: unknown = value;
  if (typeof value === "string") try { object = JSON.parse(value); } catch { object = undefined; }
  if (typeof object === "object" && object !== null && !Array.isArray(object)) return object as Record<string, unknown>;
  throw new TicklakeError("CONFIG_INVALID", 'params: values of parameters are an object of JSON, such as {"symbol": "AAPL"}.');
}

/** Milliseconds, or a duration in words ("10 seconds"). */
function parseTimeout(value: unknown): number {
  if (value === undefined || value === null || value === "") return 10_000;
  const number = Number(value);
  const ms = Number.isNaN(number) ? parseDuration(value, "timeoutMs") : number;
  if (!Number.isInteger(ms) || ms < 1 || ms > MAX_TIMEOUT) throw new TicklakeError("CONFIG_INVALID", `timeoutMs: "${String(value)}" is no time-out. Enter whole milliseconds from 1 on, or words such as "10 seconds".`);
  return ms;
}
