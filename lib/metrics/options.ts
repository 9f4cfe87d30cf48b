import { TicklakeError } from "../errors";
import { parseDuration } from "../units";

/** The shortest and longest interval, ms: figures are for people and their tools, and a timer takes 31 bits. */
const LEAST_MS = 100, MOST_MS = 86_400_000;

/**
 * How often figures are told, in ms; a second by default.
 *
 * @throws TicklakeError CONFIG_INVALID
 */
export function parseMetricsInterval(value: unknown): number {
  const ms = parseDuration(value === undefined || value === null || value === "" ? 1 : value, "interval");
  if (ms < LEAST_MS || ms > MOST_MS) throw new TicklakeError("CONFIG_INVALID", `interval: ${String(value)} is out of range. Use 0.1 seconds to 1 day.`);
  return ms;
}
