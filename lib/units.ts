import { TicklakeError } from "./errors";

const UNIT_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const DURATION = /^\s*(\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)?\s*$/i;

/**
 * A duration in milliseconds: a number of seconds, or Spark's words (`"10 seconds"`, `"500 ms"`, `"1 minute"`).
 *
 * @throws TicklakeError CONFIG_INVALID naming the property
 */
export function parseDuration(value: unknown, name: string): number {
  if (typeof value === "number" && Number.isFinite(value) && value >= 0) return value * 1000;
  const match = typeof value === "string" ? DURATION.exec(value) : null;
  if (!match) {
    throw new TicklakeError("CONFIG_INVALID", `${name}: "${String(value)}" is no duration. Use seconds, or words such as "10 seconds", "500 ms", "1 minute".`);
  }
  const unit = (match[2] ?? "s").toLowerCase();
  const key = unit.startsWith("ms") || unit.startsWith("milli") ? "ms" : unit[0]!;
  return Number(match[1]) * UNIT_MS[key]!;
}

/** Symbols from text (separated by spaces, commas or lines) or an array; upper and lower case are kept, duplicates dropped. */
export function parseSymbols(value: unknown): string[] {
  const parts = Array.isArray(value) ? value.map(String) : String(value ?? "").split(/[\s,;]+/);
  return [...new Set(parts.map((s) => s.trim()).filter((s) => s !== ""))];
}
