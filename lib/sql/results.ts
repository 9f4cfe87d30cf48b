/**
 * Values of the engine as plain values that survive JSON and that users of Node-RED expect. Pure.
 */
import {
  type DuckDBType, DuckDBArrayValue, DuckDBBlobValue, DuckDBDateValue, DuckDBDecimalValue, DuckDBIntervalValue, DuckDBListValue, DuckDBMapValue, DuckDBStructValue,
  DuckDBTimestampTZValue, DuckDBTimestampValue, DuckDBUnionValue, type DuckDBValue,
} from "@duckdb/node-api";
import { originalName, restoreNames } from "./names";

/** A column of a result. */
export interface ResultColumn {
  /** Unique within the result. */
  name: string;
  /** SQL type: VARCHAR, BIGINT, DOUBLE, TIMESTAMP, VARCHAR[], ... */
  type: string;
}

/** The type's name as SQL writes it. */
export function typeName(type: DuckDBType): string {
  return restoreNames(type.toString());
}

/**
 * - whole numbers: a number up to 2^53, a decimal string beyond
 * - DECIMAL: a string with all its digits
 * - DATE: `2024-11-01`; TIMESTAMP: `2024-11-01T10:00:00.123`, up to microseconds; with time zone: the same in UTC with `Z`; TIME, INTERVAL, UUID as text
 * - BLOB: base64
 * - lists: arrays; structs: objects; maps: objects, or arrays of `{key, value}` where keys are lists or structs
 * - NaN and infinities: the strings "NaN", "Infinity", "-Infinity" (JSON has none)
 */
export function plainValue(value: DuckDBValue): unknown {
  switch (typeof value) {
    case "bigint":
      return value >= -9007199254740991n && value <= 9007199254740991n ? Number(value) : value.toString();
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "object":
      return value === null ? null : plainObject(value);
    default:
      return value ?? null;
  }
}

function plainObject(value: Exclude<DuckDBValue, null | bigint | number | string | boolean | undefined>): unknown {
  if (value instanceof DuckDBListValue || value instanceof DuckDBArrayValue) return value.items.map(plainValue);
  if (value instanceof DuckDBStructValue) return Object.fromEntries(Object.entries(value.entries).map(([name, item]) => [originalName(name), plainValue(item)]));
  if (value instanceof DuckDBMapValue) return plainMap(value);
  if (value instanceof DuckDBUnionValue) return plainValue(value.value);
  if (value instanceof DuckDBDecimalValue || value instanceof DuckDBDateValue || value instanceof DuckDBIntervalValue) return value.toString();
  if (value instanceof DuckDBTimestampTZValue) return value.isFinite ? `${isoText(value.micros)}Z` : String(value);
  if (value instanceof DuckDBTimestampValue) return value.isFinite ? isoText(value.micros) : String(value);
  if (value instanceof DuckDBBlobValue) return Buffer.from(value.bytes).toString("base64");
  return String(value);
}

function plainMap(map: DuckDBMapValue): unknown {
  const entries = map.entries.map(({ key, value }) => ({ key: plainValue(key), value: plainValue(value) }));
  return entries.every(({ key }) => typeof key !== "object") ? Object.fromEntries(entries.map(({ key, value }) => [String(key), value])) : entries;
}

/** ISO 8601 of microseconds since 1970: milliseconds, and the microseconds only where there are any. */
export function isoText(micros: bigint): string {
  const ms = micros / 1000n - (micros % 1000n < 0n ? 1n : 0n);
  const rest = Number(micros - ms * 1000n);
  const date = new Date(Number(ms));
  if (Number.isNaN(date.getTime())) return `${micros} us`;
  const text = date.toISOString().slice(0, -1);
  return rest === 0 ? text : text + String(rest).padStart(3, "0");
}
