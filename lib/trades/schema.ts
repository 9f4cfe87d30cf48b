import { z } from "zod";
import { parseRfc3339Ms } from "./time";

/**
 * What counts as a trade, as a zod schema. It is the reference: the hand-written hot path of explode.ts is tested
 * against it with random input. Every message says what is wrong, so that it can stand as the reason of a reject.
 */

/** Longest symbol, code or condition, in characters (an OCC option symbol has 21). */
export const MAX_TEXT = 64;
/** Most sale conditions of one trade. */
export const MAX_CONDITIONS = 64;
/** Last millisecond of the year 9999: what is later is in another unit. */
export const MAX_TIME_MS = 253_402_300_799_999;
/** Largest id that a signed 64-bit column holds. */
export const MAX_ID = 9_223_372_036_854_775_807n;

const DIGITS = /^\d{1,19}$/;

const text = (name: string) => z.string(`${name} must be text`).max(MAX_TEXT, `${name} has more than ${MAX_TEXT} characters`);

const NOT_AN_ID = "i must be a whole number from 0, as decimal text beyond 2^53";
const NOT_A_TIME = "t must be whole Unix milliseconds or RFC 3339 text";

/** A trade id in any of its forms; gives a number up to 2^53 - 1 and a decimal string beyond. */
export const tradeIdSchema = z.union([
  z.number().refine((n) => Number.isSafeInteger(n) && n >= 0, NOT_AN_ID),
  z.string().refine((s) => DIGITS.test(s) && BigInt(s) <= MAX_ID, NOT_AN_ID),
  z.bigint().refine((b) => b >= 0n && b <= MAX_ID, NOT_AN_ID),
], NOT_AN_ID).transform((id) => {
  const n = Number(id);
  return Number.isSafeInteger(n) ? n : String(BigInt(id));
});

const timeSchema = z.union([
  z.number().refine((t) => Number.isInteger(t) && t >= 0 && t <= MAX_TIME_MS, NOT_A_TIME),
  z.string().refine((t) => parseRfc3339Ms(t) !== undefined, NOT_A_TIME).transform((t) => parseRfc3339Ms(t)!),
], NOT_A_TIME);

/**
 * A trade as it may arrive: as RawTrade, but `t` may be RFC 3339 text and `i` decimal text. Gives a RawTrade, with
 * null for an exchange, tape or list of conditions that the source does not have. Other fields are left out.
 */
export const rawTradeSchema = z.object({
  T: z.literal("t", 'T must be "t"'),
  S: text("S").min(1, "S is empty"),
  i: tradeIdSchema,
  x: text("x").nullish().transform((v) => v ?? null),
  p: z.number("p must be a number").min(0, "p must not be negative"),
  s: z.number("s must be a number").min(0, "s must not be negative").refine(Number.isSafeInteger, "s must be a whole number of shares"),
  t: timeSchema,
  c: z.array(text("an element of c"), "c must be a list of texts").max(MAX_CONDITIONS, `c has more than ${MAX_CONDITIONS} elements`).nullish().transform((v) => v ?? null),
  z: text("z").nullish().transform((v) => v ?? null),
});

/** A flattened trade under the documented names. */
export const tradeSchema = rawTradeSchema.omit({ t: true }).extend({ timestamp: z.number().int().min(0).max(MAX_TIME_MS) });

/** A flattened trade under readable names. */
export const readableTradeSchema = z.object({
  type: rawTradeSchema.shape.T,
  symbol: rawTradeSchema.shape.S,
  id: rawTradeSchema.shape.i,
  exchange: rawTradeSchema.shape.x,
  price: rawTradeSchema.shape.p,
  size: rawTradeSchema.shape.s,
  timestamp: tradeSchema.shape.timestamp,
  conditions: rawTradeSchema.shape.c,
  tape: rawTradeSchema.shape.z,
});

/** Why a value is no trade, raw or flattened: the first issue that the schema finds, with the value at fault; undefined for a trade. */
export function tradeIssue(value: unknown): string | undefined {
  const fields = value as Record<string, unknown> | null | undefined;
  const flat = typeof fields === "object" && fields !== null && fields["t"] === undefined && fields["timestamp"] !== undefined;
  const result = rawTradeSchema.safeParse(flat ? { ...fields, t: fields["timestamp"] } : value);
  if (result.success) return undefined;
  const { message, path } = result.error.issues[0]!;
  if (path.length === 0) return "not an object";
  const field = flat && path[0] === "t" ? "timestamp" : String(path[0]);
  return `${flat ? message.replace(/^t /, "timestamp ") : message} (${field} is ${shown(fields![field])})`;
}

/** A value in a few characters, for messages. */
export function shown(value: unknown): string {
  if (value === undefined) return "missing";
  if (typeof value === "string") return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}...` : value);
  if (Array.isArray(value)) return `a list of ${value.length}`;
  return typeof value === "object" && value !== null ? "an object" : String(value);
}
