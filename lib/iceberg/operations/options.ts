/** Options of the operations as a flow or a CALL gives them: names in camelCase or Spark's snake_case, numbers and times as text too. */
import { z } from "zod";
import { TicklakeError } from "../../errors";
import { parseDuration } from "../../units";

const blank = (value: unknown): unknown => (value === "" || value === null ? undefined : value);

export const flag = z.preprocess((value) => (typeof value === "string" ? ({ true: true, false: false } as Record<string, unknown>)[value.trim().toLowerCase()] ?? blank(value) : blank(value)), z.boolean({ error: "must be true or false" }).optional());
export const text = z.preprocess(blank, z.string({ error: "must be text" }).optional());
export const requiredText = z.preprocess(blank, z.string({ error: "is needed" }).refine((value) => value.trim() !== "", "is needed"));
export const count = z.preprocess(blank, z.coerce.number({ error: "must be a whole number" }).int("must be a whole number").min(1, "must be at least 1").optional());
export const index = z.preprocess(blank, z.coerce.number({ error: "must be a whole number" }).int("must be a whole number").min(0, "must be at least 0").optional());

/** A snapshot id: digits as text, or a number that has not lost any. */
export const snapshotId = z.preprocess(blank, z.unknown().transform((value, context) => {
  if (value === undefined) return undefined;
  if (typeof value === "bigint" && value > 0n) return value;
  if (typeof value === "number" && Number.isSafeInteger(value) && value > 0) return BigInt(value);
  if (typeof value === "string" && /^\s*\d{1,19}\s*$/.test(value)) return BigInt(value.trim());
  context.addIssue({ code: "custom", message: "must be a snapshot id: its digits as text (a JavaScript number beyond 2^53 has lost some)" });
  return z.NEVER;
}));

/** Several, as an array or as text with commas. */
export const snapshotIds = z.preprocess((value) => (typeof value === "string" ? value.split(/[\s,]+/).filter((part) => part !== "") : value === undefined || value === null ? undefined : Array.isArray(value) ? value : [value]), z.array(snapshotId).optional())
  .transform((ids) => (ids && ids.length > 0 ? ids.filter((id): id is bigint => id !== undefined) : undefined));

/** A time as Unix ms: a number of ms, ISO text (UTC without a zone), a Date, or a duration before now (`5 days`). */
export function time(now: () => number) {
  return z.preprocess(blank, z.unknown().transform((value, context) => {
    if (value === undefined) return undefined;
    if (value instanceof Date && !Number.isNaN(value.getTime())) return value.getTime();
    if (typeof value === "number" && Number.isFinite(value)) return value;
    if (typeof value === "bigint") return Number(value);
    if (typeof value === "string") {
      const written = value.trim();
      if (/^\d{12,}$/.test(written)) return Number(written);
      const ms = isoMs(written);
      if (ms !== undefined) return ms;
      try { if (/[a-z]$/i.test(written)) return now() - parseDuration(written.replace(/\s*ago$/i, ""), ""); } catch { /* said below */ }
    }
    context.addIssue({ code: "custom", message: "must be a time such as 2024-11-01T10:00:00Z (UTC unless it has a zone), Unix ms, or a duration before now such as \"5 days\"" });
    return z.NEVER;
  }));
}

function isoMs(text: string): number | undefined {
  if (!/^\d{4}-\d\d-\d\d/.test(text)) return undefined;
  const iso = text.replace(/^(\d{4}-\d\d-\d\d) (?=\d\d:)/, "$1T");
  const ms = Date.parse(!iso.includes("T") || /(?:Z|[+-]\d\d:?\d\d)$/.test(iso) ? iso : `${iso}Z`);
  return Number.isNaN(ms) ? undefined : ms;
}

/** Properties: an object of plain values, or text `key=value` by lines. */
export const properties = z.preprocess((value) => {
  if (typeof value !== "string") return blank(value);
  if (value.trim() === "") return undefined;
  if (value.trim().startsWith("{")) { try { return JSON.parse(value) as unknown; } catch { return value; } }
  const lines = value.split(/\r?\n/).map((line) => line.trim()).filter((line) => line !== "");
  return lines.every((line) => line.includes("=")) ? Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf("=")).trim(), line.slice(line.indexOf("=") + 1).trim()])) : value;
}, z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]), { error: "must be an object {\"name\": \"value\"}" }).optional())
  .transform((found) => found && Object.fromEntries(Object.entries(found).map(([name, value]) => [name, String(value)])));

/** Names: an array, or text with commas or lines. */
export const nameList = z.preprocess((value) => (typeof value === "string" ? value.split(/[,\n]/).map((part) => part.trim()).filter((part) => part !== "") : blank(value)), z.array(z.string(), { error: "must be a list of names" }).optional());

/**
 * Reads options. Unknown names are refused: a misspelt `dryRun` must not delete.
 *
 * @throws TicklakeError CONFIG_INVALID naming each that is wrong
 */
export function readOptions<T extends z.ZodRawShape>(operation: string, shape: T, given: unknown): z.infer<z.ZodObject<T>> {
  if (given !== undefined && given !== null && given !== "" && (typeof given !== "object" || Array.isArray(given))) {
    throw new TicklakeError("CONFIG_INVALID", `The options of ${operation} must be an object, such as {"dryRun": true}.`);
  }
  const named = Object.fromEntries(Object.entries((given || {}) as object).map(([name, value]) => [name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()), value as unknown]));
  const unknown = Object.keys(named).filter((name) => !Object.hasOwn(shape, name));
  if (unknown.length > 0) throw new TicklakeError("CONFIG_INVALID", `${operation} has no option ${unknown.join(", ")}. It takes ${Object.keys(shape).join(", ") || "none"}.`);
  const parsed = z.object(shape).safeParse(named);
  if (parsed.success) return parsed.data;
  throw new TicklakeError("CONFIG_INVALID", `${operation}: ${parsed.error.issues.map((issue) => `${issue.path.join(".")} ${issue.message}`).join("; ")}.`);
}
