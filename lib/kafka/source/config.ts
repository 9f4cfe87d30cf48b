import { z } from "zod";
import { TicklakeError } from "../../errors";
import { parseRfc3339Ms } from "../../trades/time";
import { parseDuration } from "../../units";
import type { ValueFormat } from "./decode";

/** Where a partition is read from when the group has committed nothing. */
export type StartingOffsets = "latest" | "earliest" | { readonly timestamp: number };

/** The settings of kafka-in, checked. */
export interface KafkaInConfig {
  readonly topics: readonly string[];
  readonly groupId: string;
  readonly starting: StartingOffsets;
  readonly format: ValueFormat;
  /** Of one message, whichever comes first; one record is always allowed. */
  readonly maxRecords: number;
  readonly maxBytes: number;
  /** The longest that an incomplete batch waits. */
  readonly maxWaitMs: number;
}

const TOPIC = /^[A-Za-z0-9._-]{1,249}$/;

const blank = (value: unknown): boolean => value === undefined || value === null || (typeof value === "string" && value.trim() === "");
const choice = <const T extends readonly string[]>(name: string, values: T, fallback: T[number]) =>
  z.preprocess((v) => (blank(v) ? fallback : v), z.enum(values, `${name}: choose one of ${values.join(", ")}.`));
const count = (name: string, fallback: number) => z.preprocess((v) => (blank(v) ? fallback : Number(v)),
  z.number(`${name}: enter a number.`).int(`${name}: enter a whole number.`).min(1, `${name}: the least is 1.`).max(2_147_483_647, `${name}: the most is 2147483647.`));

const schema = z.object({
  startingOffsets: choice("startingOffsets", ["latest", "earliest", "timestamp"], "latest"),
  format: choice("format", ["json", "string", "buffer"], "json"),
  maxRecords: count("maxRecords", 1000),
  maxBytes: count("maxBytes", 262_144),
});

/**
 * Reads the settings of kafka-in with their defaults (NODES: topics, groupId, startingOffsets, startingTimestamp, format, maxRecords, maxBytes, maxWaitMs).
 *
 * @throws TicklakeError CONFIG_INVALID naming the setting
 */
export function parseKafkaInConfig(raw: Readonly<Record<string, unknown>>): KafkaInConfig {
  const result = schema.safeParse(raw);
  if (!result.success) throw invalid(result.error.issues[0]!.message);
  const { startingOffsets, ...limits } = result.data;
  return {
    ...limits,
    topics: parseTopics(raw["topics"]),
    groupId: parseGroup(raw["groupId"]),
    starting: startingOffsets === "timestamp" ? { timestamp: parseTime(raw["startingTimestamp"], "startingTimestamp") } : startingOffsets,
    maxWaitMs: parseWait(raw["maxWaitMs"]),
  };
}

/** Names of topics from text (separated by spaces, commas or lines) or a list. */
export function parseTopics(value: unknown): string[] {
  const names = (Array.isArray(value) ? value.map(String) : String(value ?? "").split(/[\s,;]+/)).map((name) => name.trim()).filter((name) => name !== "");
  if (names.length === 0) throw invalid("topics: name at least one topic.");
  for (const name of names) {
    if (name.includes("${")) throw invalid(`topics: "${name}" holds a variable that is not set.`);
    if (!TOPIC.test(name) || name === "." || name === "..") throw invalid(`topics: "${name}" is no name of a topic. Letters, digits, dot, _ and - are allowed, up to 249.`);
  }
  return [...new Set(names)];
}

/**
 * A point in time: Unix ms, RFC 3339, or a date with or without time of day (then UTC).
 *
 * @throws TicklakeError CONFIG_INVALID naming the setting
 */
export function parseTime(value: unknown, name: string): number {
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value.getTime();
  const text = typeof value === "string" || typeof value === "number" ? String(value).trim() : "";
  const iso = text.replace(" ", "T");
  const ms = /^\d{1,15}$/.test(text) ? Number(text)
    : parseRfc3339Ms(iso) ?? parseRfc3339Ms(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : `${iso}${/T\d\d:\d\d$/.test(iso) ? ":00" : ""}Z`);
  if (ms !== undefined) return ms;
  throw invalid(`${name}: ${text === "" ? "enter a time" : `"${text}" is no time`}. Use 2024-11-01T13:30:00Z, 2024-11-01 (midnight UTC), or Unix milliseconds.`);
}

function parseGroup(value: unknown): string {
  const group = typeof value === "string" ? value.trim() : "";
  if (group === "") throw invalid("groupId: name a consumer group. Under this name Kafka remembers how far was read; it must not change from deploy to deploy.");
  if (group.includes("${")) throw invalid(`groupId: "${group}" holds a variable that is not set.`);
  if (group.length > 249) throw invalid("groupId: at most 249 characters.");
  return group;
}

/** Milliseconds as a number; also Spark's words. */
function parseWait(value: unknown): number {
  if (blank(value)) return 500;
  const number = Number(value);
  if (Number.isFinite(number)) {
    if (number < 0 || number > 600_000) throw invalid("maxWaitMs: enter 0 to 600000 milliseconds.");
    return number;
  }
  return parseDuration(value, "maxWaitMs");
}

function invalid(message: string): TicklakeError { return new TicklakeError("CONFIG_INVALID", message); }
