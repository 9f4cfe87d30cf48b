import { z } from "zod";
import { TicklakeError } from "../../errors";
import { parseDuration } from "../../units";
import type { Codec } from "../types";

/** The documented table: one partition per day, hidden behind the column `timestamp` (long, Unix ms). */
export const DAILY = "truncate[86400000](timestamp)";

/** How a sink writes. Counts are rows, sizes bytes, times milliseconds. */
export interface SinkOptions {
  /** `db.flattened_stocks`, with or without the catalog's name; empty = every message must name its table. */
  readonly table: string;
  readonly createTable: boolean;
  /** `trades`, `trades-readable`, `infer`, or Iceberg schema JSON: for creating; an existing table's own schema holds. */
  readonly schema: string;
  readonly partitionBy: string;
  readonly commitIntervalMs: number;
  readonly maxRows: number;
  readonly maxBytes: number;
  readonly codec: Codec;
  readonly exactlyOnce: boolean;
  /** Names this writer in the table's watermarks; stable over restarts. */
  readonly writerId: string;
  /** Compaction and expiry by itself. */
  readonly maintenance: boolean;
  /** What becomes of fields that the table has no column for: left away, or they get one. */
  readonly evolve: "no" | "add-columns";
}

const flag = (fallback: boolean) => z.union([z.boolean(), z.enum(["true", "false", ""])]).optional()
  .transform((v) => (v === undefined || v === "" ? fallback : v === true || v === "true"));
const count = (fallback: number) => z.union([z.number(), z.string()]).optional().transform((v, ctx) => {
  if (v === undefined || v === "") return fallback;
  const n = Number(v);
  if (Number.isInteger(n) && n > 0) return n;
  ctx.addIssue({ code: "custom", message: `expected a whole number above 0, got "${v}"` });
  return z.NEVER;
});

const shape = z.object({
  table: z.string().optional().transform((v) => (v ?? "db.flattened_stocks").trim()),
  createTable: flag(true),
  schema: z.string().optional().transform((v) => v?.trim() || "trades"),
  partitionBy: z.string().optional().transform((v) => (v === undefined ? DAILY : v.trim())),
  commitInterval: z.union([z.number(), z.string()]).optional(),
  maxRows: count(250_000),
  maxBytes: count(134_217_728),
  codec: z.enum(["snappy", "gzip", "zstd", "none", ""]).optional().transform((v) => (v || "snappy") as Codec),
  exactlyOnce: flag(true),
  writerId: z.string().optional(),
  evolve: z.enum(["no", "add-columns", ""]).optional().transform((v) => v || "no"),
  maintenance: flag(false),
});

/**
 * Checks a node's properties (names and defaults of the contract) and turns them into options.
 *
 * @param fallbackWriterId the node's id
 * @throws TicklakeError CONFIG_INVALID naming every property that is wrong
 */
export function parseSinkOptions(properties: Record<string, unknown>, fallbackWriterId: string): SinkOptions {
  const parsed = shape.safeParse(properties);
  if (!parsed.success) {
    const reasons = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; ");
    throw new TicklakeError("CONFIG_INVALID", `iceberg-out: ${reasons}.`);
  }
  const p = parsed.data;
  const interval = p.commitInterval === undefined || p.commitInterval === "" ? 10 : p.commitInterval;
  return {
    table: p.table,
    createTable: p.createTable,
    schema: p.schema,
    partitionBy: p.partitionBy,
    commitIntervalMs: Math.max(parseDuration(interval, "commitInterval"), 1),
    maxRows: p.maxRows,
    maxBytes: p.maxBytes,
    codec: p.codec,
    exactlyOnce: p.exactlyOnce,
    writerId: p.writerId?.trim() || fallbackWriterId,
    maintenance: p.maintenance,
    evolve: p.evolve,
  };
}
