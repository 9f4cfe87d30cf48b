import { z } from "zod";
import { TicklakeError } from "../../errors";
import type { Compression } from "../types";

/** How a sink writes. */
export interface KafkaSinkOptions {
  /** Empty: every message names its topic in `msg.topic`. */
  readonly topic: string;
  /** `each`: a Kafka message per element; `batch`: the payload as one JSON array. */
  readonly send: "each" | "batch";
  /** Elements of one array at the most, for `batch`; 0 = as it comes. */
  readonly batchSize: number;
  /** Property of an element that becomes the key of its message; empty = none. Only for `each`. */
  readonly key: string;
  readonly createTopic: boolean;
  /** Of a topic that is created; -1 = the broker's default. */
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly compression: Compression;
  readonly idempotent: boolean;
  readonly transactional: boolean;
  /** Begins every transactional id; stable over restarts. */
  readonly transactionalIdPrefix: string;
}

const COMPRESSIONS = ["none", "gzip", "snappy", "lz4", "zstd"] as const;

const flag = (fallback: boolean) => z.union([z.boolean(), z.enum(["true", "false", ""])]).optional()
  .transform((v) => (v === undefined || v === "" ? fallback : v === true || v === "true"));
const count = (fallback: number, least: number, most: number, alsoDefault = false) => z.union([z.number(), z.string()]).optional().transform((v, ctx) => {
  if (v === undefined || v === "") return fallback;
  const n = Number(v);
  if (Number.isInteger(n) && n <= most && (n >= least || (alsoDefault && n === -1))) return n;
  ctx.addIssue({ code: "custom", message: `expected a whole number from ${least} to ${most.toLocaleString("en-US")}${alsoDefault ? " (or -1 for the broker's default)" : ""}, got "${v}"` });
  return z.NEVER;
});

const shape = z.object({
  topic: z.string().optional().transform((v) => (v ?? "").trim()),
  send: z.enum(["each", "batch", ""]).optional().transform((v) => (v || "each") as "each" | "batch"),
  batchSize: count(0, 0, 10_000_000),
  key: z.string().optional().transform((v) => (v ?? "").trim()),
  createTopic: flag(true),
  partitions: count(3, 1, 100_000, true),
  replicationFactor: count(1, 1, 32_767, true),
  compression: z.enum([...COMPRESSIONS, ""]).optional().transform((v) => (v || "none") as Compression),
  idempotent: flag(true),
  transactional: flag(false),
  transactionalIdPrefix: z.string().optional().transform((v) => (v ?? "").trim()),
});

/**
 * Checks a node's properties (names and defaults of the contract) and turns them into options.
 *
 * @param nodeId for the default of `transactionalIdPrefix`
 * @param supported what this runtime can compress with
 * @throws TicklakeError CONFIG_INVALID naming every property that is wrong
 */
export function parseKafkaSinkOptions(properties: Record<string, unknown>, nodeId: string, supported: readonly Compression[]): KafkaSinkOptions {
  const parsed = shape.safeParse(properties);
  if (!parsed.success) {
    const reasons = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; ");
    throw new TicklakeError("CONFIG_INVALID", `kafka-out: ${reasons}.`);
  }
  const options = parsed.data;
  if (!supported.includes(options.compression)) {
    const why = options.compression === "zstd" ? "needs Node.js 22.15 or later; this is " + process.version : "is not available here";
    throw new TicklakeError("CONFIG_INVALID", `kafka-out: compression ${options.compression} ${why}. Choose one of ${supported.join(", ")}.`);
  }
  return { ...options, transactionalIdPrefix: options.transactionalIdPrefix || `ticklake-${nodeId}` };
}

/**
 * A topic's name as Kafka takes it.
 *
 * @throws TicklakeError CONFIG_INVALID saying why it is none
 */
export function checkedTopic(value: unknown): string {
  const name = typeof value === "string" ? value.trim() : "";
  if (name === "") throw new TicklakeError("CONFIG_INVALID", "No topic: set one in the dialog, or in msg.topic where the dialog names none.");
  if (/\$\{[^}]*\}/.test(name)) throw new TicklakeError("CONFIG_INVALID", `The topic ${name} holds an environment variable that is not set. Set it for Node-RED, or enter a name.`);
  if (name === "." || name === ".." || name.length > 249 || !/^[A-Za-z0-9._-]+$/.test(name)) {
    const shown = name.length > 60 ? `${name.slice(0, 60)}…` : name;
    throw new TicklakeError("CONFIG_INVALID", `"${shown}" cannot be a topic: use up to 249 letters, digits, dots, _ and -, but not "." or ".." alone.`);
  }
  return name;
}
