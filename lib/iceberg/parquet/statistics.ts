/** Smallest and largest value of a column chunk, for Parquet's statistics and Iceberg's bounds. */
import type { ColumnData } from "../columns/batch";
import { decimalOf, type LeafColumn } from "../schema";
import { bytesToBigint, compareBytes, compareValues, serializeValue, truncateLower, truncateUpper, type Literal } from "../values";

export interface Statistics {
  readonly nulls: number;
  readonly nans: number;
  /** Absent without any value but NaN. Text and bytes as bytes, decimals unscaled. */
  readonly min?: Literal;
  readonly max?: Literal;
}

/** Longer text and bytes are cut in the file's statistics (readers then know that the bound is not exact). */
const PARQUET_LENGTH = 64;

/** Of the values of a chunk; `distinct` may hold just its dictionary, which has the same extremes. */
export function chunkStatistics(leaf: LeafColumn, column: ColumnData, distinct: ColumnData): Statistics {
  const nulls = column.slots - column.count;
  const nans = countNaN(column);
  const range = column.count - nans > 0 ? extremes(leaf, distinct) : undefined;
  return range ? { nulls, nans, min: range[0], max: range[1] } : { nulls, nans };
}

function countNaN({ values }: ColumnData): number {
  if (values.kind !== "double" && values.kind !== "float") return 0;
  let nans = 0;
  const { data } = values;
  for (let k = 0; k < data.length; k++) if (data[k] !== data[k]) nans++;
  return nans;
}

function extremes(leaf: LeafColumn, { values, count }: ColumnData): [Literal, Literal] | undefined {
  switch (values.kind) {
    case "boolean": {
      const [min, max] = ends(values.data);
      return [min === 1, max === 1];
    }
    case "int32": {
      const [min, max] = ends(values.data);
      return decimalOf(leaf.type) ? [BigInt(min), BigInt(max)] : [min, max];
    }
    case "float":
    case "double": {
      const [min, max] = ends(values.data);
      // Zeros: the smaller one below, the larger one above, as both formats prescribe.
      return [min === 0 ? -0 : min, max === 0 ? 0 : max];
    }
    case "int64": return longEnds(values.data, count);
    case "fixed": return byteEnds(leaf, count, (k) => values.data.subarray(k * values.width, (k + 1) * values.width));
    case "bytes": return byteEnds(leaf, count, (k) => values.data.subarray(values.offsets[k]!, values.offsets[k + 1]!));
    case "codes": {
      const { data, offsets } = values.dictionary;
      return byteEnds(leaf, count, (k) => data.subarray(offsets[values.data[k]!]!, offsets[values.data[k]! + 1]!));
    }
  }
}

/** NaN compares false with everything and so is passed over. */
function ends(data: Uint8Array | Int32Array | Float32Array | Float64Array): [number, number] {
  let k = 0;
  while (k < data.length && data[k] !== data[k]) k++;
  let [min, max] = [data[k]!, data[k]!];
  for (; k < data.length; k++) {
    const value = data[k]!;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return [min, max];
}

/** Of 64-bit values as two words, without a BigInt per value. */
function longEnds(words: Int32Array, count: number): [bigint, bigint] {
  let [minHigh, minLow, maxHigh, maxLow] = [words[1]!, words[0]! >>> 0, words[1]!, words[0]! >>> 0];
  for (let k = 1; k < count; k++) {
    const high = words[k * 2 + 1]!;
    const low = words[k * 2]! >>> 0;
    if (high < minHigh || (high === minHigh && low < minLow)) [minHigh, minLow] = [high, low];
    if (high > maxHigh || (high === maxHigh && low > maxLow)) [maxHigh, maxLow] = [high, low];
  }
  return [joinLong(minLow, minHigh), joinLong(maxLow, maxHigh)];
}

export const joinLong = (low: number, high: number): bigint => (BigInt(high) << 32n) | BigInt(low >>> 0);

function byteEnds(leaf: LeafColumn, count: number, at: (k: number) => Uint8Array): [Literal, Literal] {
  const decimal = decimalOf(leaf.type) !== undefined;
  const compare = decimal ? (a: Uint8Array, b: Uint8Array): number => compareValues(leaf.type, a, b) : compareBytes;
  let [min, max] = [at(0), at(0)];
  for (let k = 1; k < count; k++) {
    const value = at(k);
    if (compare(value, min) < 0) min = value;
    else if (compare(value, max) > 0) max = value;
  }
  return decimal ? [bytesToBigint(min), bytesToBigint(max)] : [min.slice(), max.slice()];
}

/** Statistics of two chunks of one column together. */
export function mergeStatistics(leaf: LeafColumn, a: Statistics, b: Statistics): Statistics {
  const nulls = a.nulls + b.nulls;
  const nans = a.nans + b.nans;
  if (a.min === undefined) return { ...b, nulls, nans };
  if (b.min === undefined) return { ...a, nulls, nans };
  return {
    nulls, nans,
    min: compareValues(leaf.type, a.min, b.min) <= 0 ? a.min : b.min,
    max: compareValues(leaf.type, a.max!, b.max!) >= 0 ? a.max! : b.max!,
  };
}

/** Iceberg's bounds: single-value serialized, text and binary cut to 16. */
export function icebergBounds(leaf: LeafColumn, { min, max }: Statistics): { lower?: Uint8Array; upper?: Uint8Array } {
  if (min === undefined || max === undefined) return {};
  const upper = truncateUpper(leaf.type, asText(leaf, max));
  return { lower: serializeValue(leaf.type, truncateLower(leaf.type, asText(leaf, min))), ...(upper === undefined ? {} : { upper: serializeValue(leaf.type, upper) }) };
}

const asText = (leaf: LeafColumn, value: Literal): Literal => (leaf.type === "string" && value instanceof Uint8Array ? Buffer.from(value).toString("utf8") : value);

/** A bound in the file's own statistics: the value PLAIN encoded. */
export interface FileBound { readonly bytes: Uint8Array; readonly exact: boolean }

/** Parquet's min_value and max_value. */
export function parquetBounds(leaf: LeafColumn, { min, max }: Statistics): { min?: FileBound; max?: FileBound } {
  if (min === undefined || max === undefined) return {};
  const [lower, upper] = [truncateLower(leaf.type, asText(leaf, min), PARQUET_LENGTH), truncateUpper(leaf.type, asText(leaf, max), PARQUET_LENGTH)];
  const bound = (cut: Literal, whole: Literal): FileBound => {
    const bytes = plainBytes(leaf, cut);
    return { bytes, exact: !(whole instanceof Uint8Array) || compareBytes(bytes, whole) === 0 };
  };
  return { min: bound(lower, min), ...(upper === undefined ? {} : { max: bound(upper, max) }) };
}

function plainBytes(leaf: LeafColumn, value: Literal): Uint8Array {
  const decimal = decimalOf(leaf.type);
  if (!decimal) return serializeValue(leaf.type, value);
  if (decimal.precision <= 9) return serializeValue("int", Number(value as bigint));
  if (decimal.precision <= 18) return serializeValue("long", value);
  return fixedDecimal(value as bigint, decimal.precision);
}

function fixedDecimal(value: bigint, precision: number): Uint8Array {
  let width = 1;
  while (2n ** BigInt(8 * width - 1) < 10n ** BigInt(precision)) width++;
  const out = new Uint8Array(width);
  for (let i = width - 1, rest = value; i >= 0; i--, rest >>= 8n) out[i] = Number(rest & 0xffn);
  return out;
}
