/**
 * What partition values and column metrics say of a column's values. A partition value stands for a range of its
 * source column: `truncate[10]` = 120 means 120 to 129, `day` = 19000 means that day's first to last microsecond.
 * Pure; no I/O.
 */
import { bucketOf } from "../transforms";
import type { DataFile, PartitionField, PrimitiveType } from "../types";
import { deserializeValue, truncateUpper } from "../values";
import type { ColumnRange } from "./evaluate";
import type { Literal } from "./predicate";

const DAY_US = 86_400_000_000n;
const HOUR_US = 3_600_000_000n;

const UNKNOWN: ColumnRange = { exact: false, mayHaveNull: true, mayHaveValue: true, mayHaveNaN: true };

/** What a manifest's summary or one partition value says, in values of the transform's result. */
export interface PartitionBounds { lower?: Literal; upper?: Literal; containsNull: boolean; containsNaN: boolean }

/** The range of the source column that stands behind partition values from `lower` to `upper`. */
export function projectPartition(field: PartitionField, source: PrimitiveType, bounds: PartitionBounds): ColumnRange {
  const transform = field.transform;
  const known: ColumnRange = {
    exact: transform === "identity",
    mayHaveNull: bounds.containsNull,
    mayHaveValue: bounds.lower !== undefined || bounds.containsNaN,
    // A summary may leave contains_nan out; identity partitions by floating-point values are the only ones with NaN.
    mayHaveNaN: (source === "float" || source === "double") && bounds.containsNaN,
  };
  if (bounds.lower === undefined || bounds.upper === undefined) return known;
  const bucket = /^bucket\[(\d+)\]$/.exec(transform);
  if (bucket) return { ...known, lower: bounds.lower, upper: bounds.upper, buckets: Number(bucket[1]) };
  const from = sourceRange(transform, source, bounds.lower);
  const to = sourceRange(transform, source, bounds.upper);
  if (!from || !to) return { ...UNKNOWN, mayHaveNull: bounds.containsNull };
  return { ...known, lower: from[0], ...(to[1] === undefined ? {} : { upper: to[1] }) };
}

/** First and last source value of one partition value; undefined where the transform says nothing (void, unknown). */
function sourceRange(transform: string, source: PrimitiveType, value: Literal): [Literal, Literal | undefined] | undefined {
  if (transform === "identity") return typeof value === "number" && Number.isNaN(value) ? undefined : [value, value];
  const width = /^truncate\[(\d+)\]$/.exec(transform);
  if (width) return truncatedRange(value, Number(width[1]));
  const n = Number(value);
  switch (transform) {
    case "day": return timeRange(source, BigInt(n), BigInt(n) + 1n);
    case "month": return timeRange(source, monthStart(n), monthStart(n + 1));
    case "year": return timeRange(source, monthStart(n * 12), monthStart((n + 1) * 12));
    case "hour": return [BigInt(n) * HOUR_US, (BigInt(n) + 1n) * HOUR_US - 1n];
    default: return undefined;
  }
}

function truncatedRange(value: Literal, width: number): [Literal, Literal | undefined] | undefined {
  if (typeof value === "number") return [value, value + width - 1];
  if (typeof value === "bigint") return [value, value + BigInt(width) - 1n];
  if (typeof value !== "string") return undefined;
  // Shorter than the width = the whole string; else any continuation of it.
  const length = [...value].length;
  return length < width ? [value, value] : [value, truncateUpper("string", `${value} `, length)];
}

function timeRange(source: PrimitiveType, fromDay: bigint, toDay: bigint): [Literal, Literal] {
  return source === "date" ? [Number(fromDay), Number(toDay) - 1] : [fromDay * DAY_US, toDay * DAY_US - 1n];
}

/** Days since 1970-01-01 of the first of a month, counted in months since 1970-01. */
function monthStart(months: number): bigint {
  const year = 1970 + Math.floor(months / 12);
  const date = new Date(0);
  date.setUTCFullYear(year, ((months % 12) + 12) % 12, 1);
  return BigInt(Math.round(date.getTime() / 86_400_000));
}

/** The bucket of a literal, or undefined when it has none (not a value of that type, such as 1.5 for a long). */
export function literalBucket(value: Literal, type: PrimitiveType, buckets: number): number | undefined {
  const exact = exactValue(value, type);
  return exact === undefined ? undefined : bucketOf(type, exact, buckets);
}

/** A literal as the column's own kind of value, or undefined when it is none. */
function exactValue(value: Literal, type: PrimitiveType): Literal | undefined {
  switch (type) {
    case "long": case "time": case "timestamp": case "timestamptz":
      return typeof value === "bigint" ? value : Number.isSafeInteger(value) ? BigInt(value as number) : undefined;
    case "int": case "date":
      return Number.isSafeInteger(Number(value)) ? Number(value) : undefined;
    case "string":
      return typeof value === "string" ? value : undefined;
    default:
      return type.startsWith("decimal") && typeof value === "bigint" ? value : undefined;
  }
}

/** What a file's metrics say of a column; undefined when they say nothing. */
export function metricsRange(file: DataFile, field: number, type: PrimitiveType): ColumnRange | undefined {
  const values = file.valueCounts.get(field);
  const nulls = file.nullValueCounts.get(field);
  const lower = bound(file.lowerBounds.get(field), type);
  const upper = bound(file.upperBounds.get(field), type);
  if (nulls === undefined && lower === undefined && upper === undefined) return undefined;
  // uuid: Java compares its halves as signed numbers, others bytes; engines differ, so its bounds are left alone.
  const usable = type !== "uuid";
  const floating = type === "float" || type === "double";
  return {
    ...(usable && lower !== undefined ? { lower } : {}),
    ...(usable && upper !== undefined ? { upper } : {}),
    // Bounds of strings and bytes may be truncated; those of numbers never are.
    exact: type !== "string" && type !== "binary",
    mayHaveNull: nulls === undefined || nulls > 0,
    mayHaveValue: values === undefined || nulls === undefined || values > nulls,
    mayHaveNaN: floating && file.nanValueCounts.get(field) !== 0,
  };
}

function bound(bytes: Uint8Array | undefined, type: PrimitiveType): Literal | undefined {
  if (!bytes) return undefined;
  const value = deserializeValue(type, bytes);
  return typeof value === "number" && Number.isNaN(value) ? undefined : value;
}
