/**
 * Decides from ranges whether any row behind them may match a predicate. One evaluator serves partition summaries of
 * manifests, partition values and column metrics of files: each is a source of ranges. Pure; no I/O.
 */
import { literalBucket } from "./projection";
import { type BoundLeaf, type BoundPredicate, compareScalars, type Literal } from "./predicate";

/** What is known of a column's values in some set of rows. Absent bounds are unknown. */
export interface ColumnRange {
  lower?: Literal;
  upper?: Literal;
  /** Whether the bounds are values that occur (not truncated, not widened). Only then may `!=` skip. */
  exact: boolean;
  mayHaveNull: boolean;
  mayHaveValue: boolean;
  /** Floating-point bounds leave NaN out, and NaN is greater than every number in SQL engines. */
  mayHaveNaN: boolean;
  /** The range is one of hash buckets (`bucket[N]`): only equality can use it. */
  buckets?: number;
}

/** Ranges known of a field id, possibly from several sources; all of them hold. */
export type Ranges = (field: number) => readonly ColumnRange[];

/** False only if no row within the ranges can match. */
export function mightMatch(predicate: BoundPredicate, ranges: Ranges): boolean {
  switch (predicate.op) {
    case "true": return true;
    case "false": return false;
    case "and": return predicate.args.every((arg) => mightMatch(arg, ranges));
    case "or": return predicate.args.some((arg) => mightMatch(arg, ranges));
    default: return ranges(predicate.field).every((range) => leafMightMatch(predicate, range));
  }
}

function leafMightMatch(leaf: BoundLeaf, range: ColumnRange): boolean {
  if (leaf.op === "is-null") return range.mayHaveNull;
  if (!range.mayHaveValue) return false;
  if (leaf.op === "not-null") return true;
  if (range.buckets !== undefined) return bucketMightMatch(leaf, range, range.buckets);
  switch (leaf.op) {
    case "=": return mayEqual(leaf.value, range);
    case "in": return leaf.values.some((value) => mayEqual(value, range));
    case "!=": return !isOnly(leaf.value, range);
    case "not-in": return !leaf.values.some((value) => isOnly(value, range));
    case "<": return isNaNValue(leaf.value) || range.lower === undefined || compareScalars(range.lower, leaf.value) < 0;
    case "<=": return isNaNValue(leaf.value) || range.lower === undefined || compareScalars(range.lower, leaf.value) <= 0;
    case ">": return range.mayHaveNaN || range.upper === undefined || compareScalars(range.upper, leaf.value) > 0;
    case ">=": return range.mayHaveNaN || range.upper === undefined || compareScalars(range.upper, leaf.value) >= 0;
    case "starts-with": return mayStartWith(leaf.value, range);
    case "not-starts-with": return true;
  }
}

function mayEqual(value: Literal, range: ColumnRange): boolean {
  if (isNaNValue(value)) return range.mayHaveNaN;
  if (range.lower !== undefined && compareScalars(range.lower, value) > 0) return false;
  return range.upper === undefined || compareScalars(range.upper, value) >= 0;
}

/** Whether every value in the range is this one. */
function isOnly(value: Literal, range: ColumnRange): boolean {
  return range.exact && !range.mayHaveNaN && !isNaNValue(value) && range.lower !== undefined && range.upper !== undefined
    && compareScalars(range.lower, value) === 0 && compareScalars(range.upper, value) === 0;
}

function mayStartWith(prefix: string, range: ColumnRange): boolean {
  if (range.upper !== undefined && compareScalars(range.upper, prefix) < 0) return false;
  if (typeof range.lower !== "string") return true;
  return compareScalars(range.lower, prefix) <= 0 || range.lower.startsWith(prefix);
}

function bucketMightMatch(leaf: BoundLeaf, range: ColumnRange, buckets: number): boolean {
  const hit = (value: Literal): boolean => {
    const bucket = literalBucket(value, leaf.type, buckets);
    if (bucket === undefined) return true;
    return (range.lower === undefined || compareScalars(range.lower, bucket) <= 0) && (range.upper === undefined || compareScalars(range.upper, bucket) >= 0);
  };
  if (leaf.op === "=") return hit(leaf.value);
  if (leaf.op === "in") return leaf.values.some(hit);
  return true;
}

function isNaNValue(value: Literal): boolean {
  return typeof value === "number" && Number.isNaN(value);
}
