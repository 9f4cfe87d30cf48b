/**
 * Values of primitive types outside of rows: single-value serialization (Appendix D of the specification), comparison,
 * and the truncation of bounds. Pure.
 *
 * In memory: boolean; int, date, float, double as number; long, time, timestamp, timestamptz as bigint (µs); string;
 * decimal as its unscaled bigint; uuid, fixed, binary as bytes.
 */
import { TicklakeError } from "../errors";
import { decimalOf, show } from "./schema";
import type { PrimitiveType } from "./types";

export type Literal = boolean | number | bigint | string | Uint8Array;

const utf8 = new TextEncoder();
const text = new TextDecoder();

const wrong = (type: PrimitiveType, value: unknown): TicklakeError => new TicklakeError("INTERNAL", `A ${type} cannot be serialized from ${show(value)}.`);

/** Bytes of a value as bounds, manifests and partition summaries store it (Appendix D, binary single-value serialization). */
export function serializeValue(type: PrimitiveType, value: Literal): Uint8Array {
  switch (type) {
    case "boolean":
      return Uint8Array.of(value ? 1 : 0);
    case "int":
    case "date": {
      const out = new Uint8Array(4);
      new DataView(out.buffer).setInt32(0, Number(value), true);
      return out;
    }
    case "long":
    case "time":
    case "timestamp":
    case "timestamptz": {
      const out = new Uint8Array(8);
      new DataView(out.buffer).setBigInt64(0, BigInt(value as bigint | number), true);
      return out;
    }
    case "float": {
      const out = new Uint8Array(4);
      new DataView(out.buffer).setFloat32(0, Number(value), true);
      return out;
    }
    case "double": {
      const out = new Uint8Array(8);
      new DataView(out.buffer).setFloat64(0, Number(value), true);
      return out;
    }
    case "string":
      if (typeof value === "string") return utf8.encode(value);
      if (value instanceof Uint8Array) return value;
      throw wrong(type, value);
    default:
      if (decimalOf(type)) return value instanceof Uint8Array ? value : bigintToBytes(BigInt(value as bigint));
      if (value instanceof Uint8Array) return value;
      throw wrong(type, value);
  }
}

/** The value behind single-value serialized bytes. Accepts 4-byte bounds of a column that was widened from int to long or float to double. */
export function deserializeValue(type: PrimitiveType, bytes: Uint8Array): Literal {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    switch (type) {
      case "boolean":
        return view.getUint8(0) !== 0;
      case "int":
      case "date":
        return view.getInt32(0, true);
      case "long":
      case "time":
      case "timestamp":
      case "timestamptz":
        return bytes.byteLength === 4 ? BigInt(view.getInt32(0, true)) : view.getBigInt64(0, true);
      case "float":
        return view.getFloat32(0, true);
      case "double":
        return bytes.byteLength === 4 ? view.getFloat32(0, true) : view.getFloat64(0, true);
      case "string":
        return text.decode(bytes);
      default:
        return decimalOf(type) ? bytesToBigint(bytes) : bytes.slice();
    }
  } catch (error) {
    throw new TicklakeError("TABLE_CORRUPT", `${bytes.byteLength} bytes are no value of type ${type}.`, { cause: error });
  }
}

/** Two's complement, big-endian, as few bytes as hold the value (at least one). */
export function bigintToBytes(value: bigint): Uint8Array {
  let length = 1;
  while (BigInt.asIntN(length * 8, value) !== value) length++;
  const out = new Uint8Array(length);
  let rest = value;
  for (let i = length - 1; i >= 0; i--) {
    out[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return out;
}

/** The inverse of `bigintToBytes`, for any length. */
export function bytesToBigint(bytes: Uint8Array): bigint {
  let value = bytes.length > 0 && bytes[0]! > 127 ? -1n : 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}

/** Unsigned, byte by byte; a prefix is less. The order of binary, fixed, uuid and of strings in UTF-8. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}

/** Order of two values of one type. Strings by code point (JavaScript's own `<` goes by UTF-16 units); -0 before +0; NaN last. */
export function compareValues(type: PrimitiveType, a: Literal, b: Literal): number {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return decimalOf(type) ? compareValues(type, bytesToBigint(a), bytesToBigint(b)) : compareBytes(a, b);
  if (typeof a === "string" && typeof b === "string") return compareStrings(a, b);
  if (typeof a === "number" && typeof b === "number") {
    if (a === b) return a === 0 ? Number(Object.is(b, -0)) - Number(Object.is(a, -0)) : 0;
    if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  }
  return a < b ? -1 : a > b ? 1 : 0;
}

function compareStrings(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x === y) continue;
    // Surrogates (code points beyond 0xffff) come after every other unit, in UTF-16 they come before 0xe000.
    const [high, low] = [x >= 0xd800 && x <= 0xdfff, y >= 0xd800 && y <= 0xdfff];
    return high === low ? x - y : high ? 1 : -1;
  }
  return a.length - b.length;
}

/** Code points of a string, bytes of a binary, that a bound keeps (Iceberg's default metrics mode, truncate(16)). */
export const BOUND_LENGTH = 16;

/** A lower bound no longer than `length`: a prefix is never greater than the value. */
export function truncateLower<T extends Literal>(type: PrimitiveType, value: T, length = BOUND_LENGTH): T {
  if (typeof value === "string") return truncateString(value, length) as T;
  if (value instanceof Uint8Array && type === "binary" && value.length > length) return value.slice(0, length) as T;
  return value;
}

/** An upper bound no longer than `length`: the prefix, incremented; undefined when no such bound exists. */
export function truncateUpper<T extends Literal>(type: PrimitiveType, value: T, length = BOUND_LENGTH): T | undefined {
  if (typeof value === "string") {
    const prefix = truncateString(value, length);
    return prefix === value ? value : (incrementString(prefix) as T | undefined);
  }
  if (value instanceof Uint8Array && type === "binary" && value.length > length) return incrementBytes(value.slice(0, length)) as T | undefined;
  return value;
}

/** The first `length` code points. */
export function truncateString(value: string, length: number): string {
  if (value.length <= length) return value;
  let units = 0;
  for (let points = 0; points < length && units < value.length; points++) units += value.codePointAt(units)! > 0xffff ? 2 : 1;
  return value.slice(0, units);
}

function incrementString(prefix: string): string | undefined {
  const points = Array.from(prefix, (c) => c.codePointAt(0)!);
  for (let i = points.length - 1; i >= 0; i--) {
    let next = points[i]! + 1;
    if (next >= 0xd800 && next <= 0xdfff) next = 0xe000; // surrogates are no characters
    if (next <= 0x10ffff) return String.fromCodePoint(...points.slice(0, i), next);
  }
  return undefined;
}

function incrementBytes(bytes: Uint8Array): Uint8Array | undefined {
  for (let i = bytes.length - 1; i >= 0; i--) {
    if (bytes[i]! < 255) {
      const out = bytes.slice(0, i + 1);
      out[i]!++;
      return out;
    }
  }
  return undefined;
}
