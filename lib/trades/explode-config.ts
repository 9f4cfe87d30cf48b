import { z } from "zod";
import { TicklakeError } from "../errors";
import { parseDuration } from "../units";
import type { TradeNames } from "./types";

/** explode-trades' settings, checked. */
export interface ExplodeConfig {
  readonly names: TradeNames;
  readonly other: "reject" | "pass";
  /** 0 = off. */
  readonly dedupeMs: number;
}

const blank = (value: unknown): boolean => value === undefined || value === null || value === "";
const schema = z.object({
  names: z.preprocess((value) => (blank(value) ? "documented" : value), z.enum(["documented", "readable"], "names: choose documented or readable.")),
  other: z.preprocess((value) => (blank(value) ? "reject" : value), z.enum(["reject", "pass"], "other: choose reject or pass.")),
});

/**
 * Reads explode-trades' settings with their defaults (NODES: names, dedupe in seconds or words, other).
 *
 * @throws TicklakeError CONFIG_INVALID naming the setting
 */
export function parseExplodeConfig(raw: Readonly<Record<string, unknown>>): ExplodeConfig {
  const result = schema.safeParse(raw);
  if (!result.success) throw new TicklakeError("CONFIG_INVALID", result.error.issues[0]!.message);
  return { ...result.data, dedupeMs: parseDuration(blank(raw.dedupe) ? 0 : raw.dedupe, "dedupe") };
}
