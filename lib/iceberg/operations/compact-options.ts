/** What `compact` takes: the words and defaults of Spark's rewrite_data_files (https://iceberg.apache.org/docs/latest/spark-procedures/#rewrite_data_files). */
import { TicklakeError } from "../../errors";
import { currentSchema, numberProperty, PROPERTY } from "../metadata";
import type { Predicate } from "../scan/predicate";
import { isPrimitive } from "../schema";
import type { Codec, SortField, TableMetadata } from "../types";
import { codecAvailable } from "../parquet/codec";

export interface CompactSettings {
  /** `binpack` keeps the order of rows; `sort` (the default with a sort order) sorts those of each group. */
  readonly strategy?: "binpack" | "sort";
  /** `S ASC NULLS LAST, timestamp DESC`; empty with strategy `sort`: the table's own sort order. */
  readonly sortOrder?: string;
  /** Only files that may hold matching rows. */
  readonly where?: Predicate;
  /** By Spark's names: `target-file-size-bytes`, `min-input-files`, ... Values may be text. */
  readonly options?: Readonly<Record<string, unknown>>;
}

/** Sizes are bytes. */
export interface CompactPlanOptions {
  readonly targetBytes: number;
  readonly minBytes: number;
  readonly maxBytes: number;
  readonly minInputFiles: number;
  readonly maxGroupBytes: number;
  readonly rewriteAll: boolean;
  /** Position delete files of a data file from which on it is rewritten whatever its size. */
  readonly deleteFileThreshold: number;
  /** Part of its rows deleted from which on it is rewritten. */
  readonly deleteRatioThreshold: number;
  readonly jobOrder: "none" | "bytes-asc" | "bytes-desc" | "files-asc" | "files-desc";
  readonly partialProgress: boolean;
  readonly maxCommits: number;
  readonly useStartingSequenceNumber: boolean;
  readonly sort: readonly SortField[];
  /** The table's sort order that `sort` is. */
  readonly sortOrderId?: number;
  readonly where?: Predicate;
  readonly codec: Codec;
}

/** Where the table does not say. Iceberg's own default is 512 MB; an output file is held in memory here, and readers gain little beyond this. */
const TARGET_BYTES = 128 * 1024 * 1024;
/** Spark's is 100 GB: it has a cluster. Files of object stores are copied to this machine, a group at a time. */
const GROUP_BYTES = 1024 * 1024 * 1024;
const NEVER = 2_147_483_647;

/** Names that mean something only to Spark's way of working: taken, and without effect. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
  "max-concurrent-file-group-rewrites", "partial-progress.max-failed-commits", "compression-factor", "shuffle-partitions-per-file", "remove-dangling-deletes", "output-spec-id", "max-files-to-rewrite",
]);

/**
 * Checks and completes settings.
 *
 * @throws TicklakeError CONFIG_INVALID naming an option that is unknown or cannot be
 */
export function compactOptions(settings: CompactSettings, metadata: TableMetadata): CompactPlanOptions {
  const given = new Map(Object.entries(settings.options ?? {}));
  const take = (name: string): unknown => {
    const value = given.get(name);
    given.delete(name);
    return value === "" || value === null ? undefined : value;
  };
  const number = (name: string, fallback: number, least = 1): number => {
    const value = take(name);
    if (value === undefined) return fallback;
    const n = typeof value === "number" || typeof value === "bigint" ? Number(value) : typeof value === "string" && value.trim() !== "" ? Number(value) : NaN;
    if (!Number.isFinite(n) || n < least) throw invalid(`${name} must be a number of at least ${least}, got "${String(value)}".`);
    return n;
  };
  const flag = (name: string, fallback: boolean): boolean => {
    const value = take(name);
    if (value === undefined) return fallback;
    if (value === true || value === false) return value;
    const text = String(value).toLowerCase();
    if (text !== "true" && text !== "false") throw invalid(`${name} must be true or false, got "${String(value)}".`);
    return text === "true";
  };
  const targetBytes = number("target-file-size-bytes", numberProperty(metadata, PROPERTY.targetFileBytes, TARGET_BYTES));
  const jobOrder = String(take("rewrite-job-order") ?? "none") as CompactPlanOptions["jobOrder"];
  if (!["none", "bytes-asc", "bytes-desc", "files-asc", "files-desc"].includes(jobOrder)) throw invalid(`rewrite-job-order must be none, bytes-asc, bytes-desc, files-asc or files-desc, got "${jobOrder}".`);
  const options = {
    targetBytes,
    minBytes: number("min-file-size-bytes", Math.floor(targetBytes * 0.75), 0),
    maxBytes: number("max-file-size-bytes", Math.floor(targetBytes * 1.8)),
    minInputFiles: number("min-input-files", 5),
    maxGroupBytes: number("max-file-group-size-bytes", Math.max(GROUP_BYTES, targetBytes)),
    rewriteAll: flag("rewrite-all", false),
    deleteFileThreshold: number("delete-file-threshold", NEVER),
    deleteRatioThreshold: number("delete-ratio-threshold", 0.3, 0),
    jobOrder,
    partialProgress: flag("partial-progress.enabled", false),
    maxCommits: number("partial-progress.max-commits", 10),
    useStartingSequenceNumber: flag("use-starting-sequence-number", true),
    codec: codecOf(metadata),
    ...sortOf(settings, metadata),
    ...(settings.where ? { where: settings.where } : {}),
  };
  const unknown = [...given.keys()].filter((name) => !WITHOUT_EFFECT.has(name));
  if (unknown.length > 0) throw invalid(`${unknown.join(", ")} ${unknown.length > 1 ? "are no options" : "is no option"} of compact.`);
  if (options.minBytes >= options.targetBytes) throw invalid(`min-file-size-bytes (${options.minBytes}) must be below target-file-size-bytes (${targetBytes}).`);
  if (options.maxBytes <= options.targetBytes) throw invalid(`max-file-size-bytes (${options.maxBytes}) must be above target-file-size-bytes (${targetBytes}).`);
  return options;
}

/** `write.parquet.compression-codec`, as far as this Node can write it. */
function codecOf(metadata: TableMetadata): Codec {
  const name = (metadata.properties["write.parquet.compression-codec"] ?? "snappy").toLowerCase();
  const codec = (name === "uncompressed" ? "none" : name) as Codec;
  return codecAvailable(codec) ? codec : "snappy";
}

function sortOf({ strategy, sortOrder = "" }: CompactSettings, metadata: TableMetadata): Pick<CompactPlanOptions, "sort" | "sortOrderId"> {
  if (strategy !== undefined && strategy !== "binpack" && strategy !== "sort") throw invalid(`strategy must be binpack or sort, got "${String(strategy)}".`);
  const text = sortOrder.trim();
  if (text !== "" && text.toLowerCase() !== "none") {
    if (strategy === "binpack") throw invalid("a sort order goes with strategy sort, not with binpack.");
    return { sort: parseSortOrder(text, metadata) };
  }
  if (strategy !== "sort") return { sort: [] };
  const own = metadata["sort-orders"].find((order) => order["order-id"] === metadata["default-sort-order-id"]);
  if (!own || own.fields.length === 0) throw invalid("the table has no sort order; name the columns in sort_order, such as \"S, timestamp\".");
  const schema = currentSchema(metadata);
  for (const field of own.fields) {
    if (field.transform !== "identity" || !schema.fields.some((column) => column.id === field["source-id"])) throw invalid("the table's sort order uses transforms or nested columns, which compact cannot sort by; name columns in sort_order.");
  }
  return { sort: own.fields, sortOrderId: own["order-id"] };
}

const TERM = /^(?:"([^"]+)"|`([^`]+)`|([^\s"`(),]+))(?:\s+(asc|desc))?(?:\s+nulls\s+(first|last))?$/i;

/** As in Spark: ascending and, then, nulls first unless said otherwise; descending with nulls last. */
function parseSortOrder(text: string, metadata: TableMetadata): SortField[] {
  const schema = currentSchema(metadata);
  return text.split(",").map((part): SortField => {
    const match = TERM.exec(part.trim());
    if (!match) throw invalid(`sort_order: "${part.trim()}" is no column with ASC or DESC and NULLS FIRST or LAST (zorder and transforms are not supported).`);
    const name = (match[1] ?? match[2] ?? match[3])!;
    const field = schema.fields.find((column) => column.name === name);
    if (!field || !isPrimitive(field.type)) throw invalid(`sort_order: the table has no plain column "${name}" (it has ${schema.fields.map((column) => column.name).join(", ")}; names are case-sensitive).`);
    const direction = (match[4]?.toLowerCase() ?? "asc") as "asc" | "desc";
    const nulls = match[5]?.toLowerCase() ?? (direction === "asc" ? "first" : "last");
    return { transform: "identity", "source-id": field.id, direction, "null-order": nulls === "first" ? "nulls-first" : "nulls-last" };
  });
}

function invalid(reason: string): TicklakeError {
  return new TicklakeError("CONFIG_INVALID", `compact: ${reason}`);
}
