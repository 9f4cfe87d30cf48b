/**
 * Values of constant expressions as literals of a column's type, so that scan planning compares what the engine would
 * compare. Where the engine would convert the column instead (a text column with a number), there is no literal. Pure.
 */
import {
  DuckDBBlobValue, DuckDBDateValue, DuckDBDecimalValue, DuckDBTimestampTZValue, DuckDBTimestampValue, DuckDBTimeValue, type DuckDBValue,
} from "@duckdb/node-api";
import { decimalOf } from "../iceberg/schema";
import type { Literal } from "../iceberg/scan/predicate";
import { humanValue } from "../iceberg/transforms";
import type { PartitionValue, PrimitiveType } from "../iceberg/types";
import { literal } from "./names";
import { isoText } from "./results";

const DAY_US = 86_400_000_000n;
const SAFE = BigInt(Number.MAX_SAFE_INTEGER);

/** The literal, or undefined where a comparison by it could differ from the engine's. The session's time zone is UTC. */
export function literalFor(type: PrimitiveType, value: DuckDBValue): Literal | undefined {
  if (value === null || value === undefined) return undefined;
  switch (type) {
    case "boolean": return typeof value === "boolean" ? value : undefined;
    case "string": return typeof value === "string" ? value : undefined;
    case "binary": return value instanceof DuckDBBlobValue ? value.bytes : undefined;
    case "int": case "long": return wholeColumn(value);
    case "double": return floatingColumn(value);
    case "float": {
      // The engine rounds the constant to 32 bits first.
      const number = floatingColumn(value);
      return number !== undefined && Math.fround(number) === number ? number : undefined;
    }
    case "date": return value instanceof DuckDBDateValue ? value.days : typeof value === "string" ? dateText(value) : undefined;
    case "time": return value instanceof DuckDBTimeValue ? value.micros : undefined;
    case "timestamp": case "timestamptz": return timestampColumn(value);
    default: {
      const decimal = decimalOf(type);
      return decimal ? decimalColumn(value, decimal.scale) : undefined;
    }
  }
}

/** SQL of a partition value, to be cast to the column's type. */
export function sqlLiteral(type: PrimitiveType, value: NonNullable<PartitionValue>): string {
  if (typeof value === "boolean") return String(value);
  if (value instanceof Uint8Array && (type === "binary" || type.startsWith("fixed"))) return `from_hex('${Buffer.from(value).toString("hex")}')`;
  return literal(valueText(type, value));
}

/** A value as text that the engine casts to its type. */
export function valueText(type: PrimitiveType, value: NonNullable<PartitionValue>): string {
  switch (type) {
    case "timestamp": return isoText(BigInt(value as bigint));
    case "timestamptz": return `${isoText(BigInt(value as bigint))}+00`;
    case "time": return isoText(BigInt(value as bigint)).slice("1970-01-01T".length);
    default: return humanValue({ kind: "identity" }, type, value);
  }
}

function wholeColumn(value: DuckDBValue): Literal | undefined {
  if (typeof value === "bigint") return value;
  // Beyond 2^53 the engine rounds the column's values to floating point, and they would no longer compare as here.
  if (typeof value === "number") return Math.abs(value) <= Number.MAX_SAFE_INTEGER ? value : undefined;
  if (value instanceof DuckDBDecimalValue) {
    if (value.scale === 0) return value.value;
    return magnitude(value.value) <= SAFE ? Number(value.value) / 10 ** value.scale : undefined;
  }
  return typeof value === "string" && /^\s*[+-]?\d+\s*$/.test(value) ? BigInt(value.trim().replace(/^\+/, "")) : undefined;
}

function floatingColumn(value: DuckDBValue): number | undefined {
  if (typeof value === "number") return value;
  if (typeof value === "bigint") return Number(value);
  return value instanceof DuckDBDecimalValue ? Number(value.toString()) : undefined;
}

function decimalColumn(value: DuckDBValue, scale: number): bigint | undefined {
  if (typeof value === "bigint") return value * 10n ** BigInt(scale);
  if (typeof value === "number" && Number.isSafeInteger(value)) return BigInt(value) * 10n ** BigInt(scale);
  if (value instanceof DuckDBDecimalValue && value.scale <= scale) return value.value * 10n ** BigInt(scale - value.scale);
  return undefined;
}

function timestampColumn(value: DuckDBValue): bigint | undefined {
  if (value instanceof DuckDBTimestampValue || value instanceof DuckDBTimestampTZValue) return value.isFinite ? value.micros : undefined;
  if (value instanceof DuckDBDateValue) return value.isFinite ? BigInt(value.days) * DAY_US : undefined;
  return typeof value === "string" ? timestampText(value) : undefined;
}

function dateText(text: string): number | undefined {
  const ms = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : NaN;
  return Number.isNaN(ms) ? undefined : ms / 86_400_000;
}

/** `2024-11-01`, `2024-11-01 10:00:00`, `2024-11-01T10:00:00.123456Z` in microseconds, UTC; other forms are left to the engine. */
export function timestampText(text: string): bigint | undefined {
  const match = /^(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,6}))?)?(?:Z|\+00(?::?00)?)?$/.exec(text.trim());
  if (!match) return undefined;
  const time = match[2] ?? "00:00";
  const ms = Date.parse(`${match[1]}T${time.length === 5 ? `${time}:00` : time}Z`);
  return Number.isNaN(ms) ? undefined : BigInt(ms) * 1000n + BigInt((match[3] ?? "").padEnd(6, "0") || "0");
}

function magnitude(value: bigint): bigint {
  return value < 0n ? -value : value;
}
