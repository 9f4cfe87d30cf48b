/**
 * Partition transforms (https://iceberg.apache.org/spec/#partition-transforms): parsing what a user writes, applying them to single
 * values, naming the folders. Pure. Over whole columns: parquet/partition.ts.
 */
import { TicklakeError } from "../errors";
import { allFields, decimalOf, fieldById, isPrimitive, show, typeText } from "./schema";
import type { PartitionField, PartitionSpec, PartitionValue, PrimitiveType, Schema, StructType, TransformText } from "./types";
import { bigintToBytes, bytesToBigint, serializeValue, truncateString, type Literal } from "./values";

export type Transform =
  | { readonly kind: "identity" | "void" | "year" | "month" | "day" | "hour" }
  | { readonly kind: "bucket"; readonly buckets: number }
  | { readonly kind: "truncate"; readonly width: number };

/** The first partition field id (the specification reserves lower ones). */
export const FIRST_PARTITION_FIELD_ID = 1000;

export const UNPARTITIONED: PartitionSpec = { "spec-id": 0, fields: [] };

const invalid = (message: string): TicklakeError => new TicklakeError("PARTITION_SPEC_INVALID", `Partitioning: ${message}`);

const TIME_UNITS: Readonly<Record<string, "year" | "month" | "day" | "hour">> = {
  year: "year", years: "year", month: "month", months: "month", day: "day", days: "day", date: "day", hour: "hour", hours: "hour", date_hour: "hour",
};

/** A transform from its text in table metadata (`bucket[16]`). @throws TicklakeError PARTITION_SPEC_INVALID */
export function parseTransform(text: TransformText): Transform {
  const plain = text.trim().toLowerCase();
  if (plain === "identity" || plain === "void" || plain === "year" || plain === "month" || plain === "day" || plain === "hour") return { kind: plain };
  const match = /^(bucket|truncate)\s*\[\s*(\d+)\s*\]$/.exec(plain);
  if (match) return parametrised(match[1] as "bucket" | "truncate", match[2]!);
  throw invalid(`unknown transform "${text}". Use identity, bucket[N], truncate[W], year, month, day, hour or void.`);
}

function parametrised(kind: "bucket" | "truncate", digits: string): Transform {
  const number = Number(digits);
  if (number < 1 || number > 0x7fffffff) throw invalid(`${kind} needs a number from 1 to 2147483647, got ${digits}.`);
  return kind === "bucket" ? { kind, buckets: number } : { kind, width: number };
}

/** A transform as table metadata has it. */
export function transformText(transform: Transform): TransformText {
  if (transform.kind === "bucket") return `bucket[${transform.buckets}]`;
  return transform.kind === "truncate" ? `truncate[${transform.width}]` : transform.kind;
}

/**
 * A partition spec from what a user writes: `truncate[86400000](timestamp), bucket[16](S), day(ts), x`. Spark's forms
 * (`days(ts)`, `bucket(16, S)`) work too, as do quoted names. Field names are those of Spark and Java: `x`, `S_bucket`, `timestamp_trunc`, `ts_day`.
 *
 * @throws TicklakeError PARTITION_SPEC_INVALID saying which part is wrong and why
 */
export function parsePartitionBy(text: string, schema: StructType, specId = 0): PartitionSpec {
  const fields: PartitionField[] = [];
  for (const item of splitTopLevel(text)) {
    const { transform, column } = parseItem(item);
    const source = allFields(schema).find((f) => f.name === column);
    if (!source) {
      const near = allFields(schema).find((f) => f.name.toLowerCase() === column.toLowerCase());
      throw invalid(`there is no column "${column}"${near ? `; there is "${near.name}" (upper and lower case differ)` : `. The columns are ${schema.fields.map((f) => f.name).join(", ")}`}.`);
    }
    if (source.repeated) throw invalid(`"${column}" lies inside a list or map; only single values can partition a table.`);
    resultType(transform, source.field.type as PrimitiveType, column);
    const name = column + suffix(transform);
    const taken = fields.find((f) => f.name === name || (f["source-id"] === source.field.id && (f.transform === transformText(transform) || (isTime(transform) && isTime(parseTransform(f.transform))))));
    if (taken) throw invalid(`"${item.trim()}" says again what "${taken.name}" says already. Leave one of them out.`);
    if (transform.kind !== "identity" && schema.fields.some((f) => f.name === name)) {
      throw invalid(`"${item.trim()}" would be named "${name}", which is a column of the table. Rename that column.`);
    }
    fields.push({ "source-id": source.field.id, "field-id": FIRST_PARTITION_FIELD_ID + fields.length, name, transform: transformText(transform) });
  }
  return { "spec-id": specId, fields };
}

const isTime = (t: Transform): boolean => t.kind === "year" || t.kind === "month" || t.kind === "day" || t.kind === "hour";

function suffix(transform: Transform): string {
  switch (transform.kind) {
    case "identity": return "";
    case "truncate": return "_trunc";
    case "void": return "_null";
    default: return `_${transform.kind}`;
  }
}

/** Parts between commas that are outside of brackets and quotes; empty text has none. */
function splitTopLevel(text: string): string[] {
  const parts: string[] = [];
  let [depth, start, quote] = [0, 0, ""];
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (quote) {
      if (c === quote) quote = "";
    } else if (c === "`" || c === '"') quote = c;
    else if (c === "(" || c === "[") depth++;
    else if (c === ")" || c === "]") depth--;
    else if (c === "," && depth === 0) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
    if (depth < 0) throw invalid(`"${text}" has a closing bracket too many.`);
  }
  if (depth > 0 || quote) throw invalid(`"${text}" ends inside ${quote ? "quotes" : "brackets"}.`);
  parts.push(text.slice(start));
  if (parts.length === 1 && parts[0]!.trim() === "") return [];
  if (parts.some((p) => p.trim() === "")) throw invalid(`"${text}" has nothing between two commas.`);
  return parts;
}

const unquote = (name: string): string => {
  const trimmed = name.trim();
  return /^(`.+`|".+")$/.test(trimmed) ? trimmed.slice(1, -1) : trimmed;
};

function parseItem(item: string): { transform: Transform; column: string } {
  const text = item.trim();
  if (/^(`[^`]+`|"[^"]+")$/.test(text)) return { transform: { kind: "identity" }, column: unquote(text) };
  const call = /^([a-z_]+)\s*(?:\[\s*(\d+)\s*\])?\s*\((.*)\)$/is.exec(text);
  if (!call) {
    const words = /^identity\s+(.+)$/i.exec(text);
    if (/[()[\]]/.test(text)) throw invalid(`"${text}" is no transform. Write for example bucket[16](symbol), day(ts), truncate[10](name), or just a column name.`);
    return { transform: { kind: "identity" }, column: unquote(words ? words[1]! : text) };
  }
  const kind = call[1]!.toLowerCase();
  const [parameter, argument] = [call[2], call[3]!];
  if (kind === "bucket" || kind === "truncate") {
    if (parameter !== undefined) return { transform: parametrised(kind, parameter), column: unquote(argument) };
    const spark = /^\s*(\d+)\s*,(.+)$/s.exec(argument) ?? /^(.+),\s*(\d+)\s*$/s.exec(argument);
    if (!spark) throw invalid(`"${text}" needs a number: ${kind}[16](${argument.trim()}).`);
    return /^\d+$/.test(spark[1]!.trim()) ? { transform: parametrised(kind, spark[1]!.trim()), column: unquote(spark[2]!) } : { transform: parametrised(kind, spark[2]!), column: unquote(spark[1]!) };
  }
  if (parameter !== undefined) throw invalid(`"${text}": only bucket and truncate take a number.`);
  const unit = TIME_UNITS[kind];
  if (unit) return { transform: { kind: unit }, column: unquote(argument) };
  if (kind === "identity" || kind === "void") return { transform: { kind }, column: unquote(argument) };
  throw invalid(`unknown transform "${call[1]}" in "${text}". Use identity, bucket[N], truncate[W], year, month, day, hour or void.`);
}

/** The type of a transform's results. @throws TicklakeError PARTITION_SPEC_INVALID where it does not apply to the source type */
export function resultType(transform: Transform, source: PrimitiveType, name = "the column"): PrimitiveType {
  const refuse = (good: string): TicklakeError => invalid(`${transformText(transform)} does not apply to ${name} (${typeText(source)}); it takes ${good}.`);
  if (!isPrimitive(source)) throw refuse("a single value, no struct, list or map");
  const time = source === "timestamp" || source === "timestamptz";
  switch (transform.kind) {
    case "identity":
    case "void":
      return source;
    case "bucket":
      if (source === "boolean" || source === "float" || source === "double") throw refuse("whole numbers, decimals, dates, times, text, uuid, fixed or binary");
      return "int";
    case "truncate":
      if (source !== "int" && source !== "long" && source !== "string" && source !== "binary" && !decimalOf(source)) throw refuse("int, long, decimal, string or binary");
      return source;
    case "hour":
      if (!time) throw refuse(`timestamps${source === "long" ? " (for a long in ms use truncate[3600000])" : ""}`);
      return "int";
    default:
      if (!time && source !== "date") throw refuse(`dates and timestamps${source === "long" ? " (for a long in ms use truncate[86400000])" : ""}`);
      return transform.kind === "day" ? "date" : "int";
  }
}

/** Source and result type of every field of a spec. @throws TicklakeError PARTITION_SPEC_INVALID when a source column is gone */
export function partitionFieldTypes(spec: PartitionSpec, schema: Schema): { field: PartitionField; transform: Transform; source: PrimitiveType; result: PrimitiveType; sourceName: string }[] {
  return spec.fields.map((field) => {
    const named = fieldById(schema, field["source-id"]);
    const transform = parseTransform(field.transform);
    if (!named && transform.kind === "void") return { field, transform, source: "int", result: "int", sourceName: field.name };
    if (!named) throw invalid(`the field "${field.name}" is derived from the column with id ${field["source-id"]}, which the schema does not have.`);
    const source = named.field.type as PrimitiveType;
    return { field, transform, source, result: resultType(transform, source, named.name), sourceName: named.name };
  });
}

/** A transform applied to one value of the source type; null stays null. Results have the form of PartitionValue. */
export function applyTransform(transform: Transform, source: PrimitiveType, value: Literal | null): PartitionValue {
  if (value === null || transform.kind === "void") return null;
  switch (transform.kind) {
    case "identity":
      return typeof value === "bigint" && decimalOf(source) ? bigintToBytes(value) : value;
    case "bucket":
      return bucketOf(source, value, transform.buckets);
    case "truncate":
      return truncateValue(source, value, transform.width);
    case "year":
    case "month":
    case "day":
      return fromDays(transform.kind, source === "date" ? Number(value) : Number(floorDiv(BigInt(value as bigint), 86_400_000_000n)));
    case "hour":
      return Number(floorDiv(BigInt(value as bigint), 3_600_000_000n));
  }
}

const floorDiv = (a: bigint, b: bigint): bigint => (a - (((a % b) + b) % b)) / b;

/** Years or months since 1970, or the days themselves, of a day since 1970-01-01. */
export function fromDays(kind: "year" | "month" | "day", days: number): number {
  if (kind === "day") return days;
  const date = new Date(days * 86_400_000);
  const years = date.getUTCFullYear() - 1970;
  return kind === "year" ? years : years * 12 + date.getUTCMonth();
}

function truncateValue(source: PrimitiveType, value: Literal, width: number): PartitionValue {
  if (typeof value === "string") return truncateString(value, width);
  if (source === "binary") return (value as Uint8Array).slice(0, width);
  if (typeof value === "number") return value - (((value % width) + width) % width);
  const w = BigInt(width);
  const v = value instanceof Uint8Array ? bytesToBigint(value) : BigInt(value as bigint);
  const truncated = v - (((v % w) + w) % w);
  return decimalOf(source) ? bigintToBytes(truncated) : truncated;
}

/** `(murmur3_x86_32(bytes) & Integer.MAX_VALUE) % N`, the bytes by type as in Appendix B of the specification. */
export function bucketOf(source: PrimitiveType, value: Literal, buckets: number): number {
  return (bucketHash(source, value) & 0x7fffffff) % buckets;
}

/** The 32-bit hash of Appendix B, signed. */
export function bucketHash(source: PrimitiveType, value: Literal): number {
  if (source === "int" || source === "date") return murmur3(serializeValue("long", BigInt(value as number)));
  return murmur3(serializeValue(source, value));
}

/** Murmur3, x86 variant, 32 bit, seed 0. Signed result, like Java's. */
export function murmur3(bytes: Uint8Array, from = 0, to = bytes.length): number {
  let hash = 0;
  const end = from + ((to - from) & ~3);
  for (let i = from; i < end; i += 4) {
    hash ^= scramble(bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24));
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0;
  }
  let tail = 0;
  for (let i = to - 1; i >= end; i--) tail = (tail << 8) | bytes[i]!;
  hash ^= scramble(tail) ^ (to - from);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

function scramble(k: number): number {
  const mixed = Math.imul(k, 0xcc9e2d51);
  return Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593);
}

/** The Hive-like folder of a partition as Iceberg's Java library names it: `timestamp_trunc=1381104000000/S_bucket=3`; "" when unpartitioned. */
export function partitionPath(spec: PartitionSpec, schema: Schema, partition: readonly PartitionValue[]): string {
  return partitionFieldTypes(spec, schema)
    .map(({ field, transform, result }, i) => `${urlEncode(field.name)}=${urlEncode(humanValue(transform, result, partition[i] ?? null))}`)
    .join("/");
}

/** Java's URLEncoder: letters, digits and `.-*_` stay, a space is `+`, the rest is percent-encoded UTF-8. */
function urlEncode(text: string): string {
  return encodeURIComponent(Buffer.from(text).toString()).replace(/[!'()~]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`).replace(/%20/g, "+");
}

const pad = (n: number, width = 2): string => String(Math.abs(n)).padStart(width, "0");
const isoDay = (days: number): string => {
  const date = new Date(days * 86_400_000);
  const year = date.getUTCFullYear();
  return `${year < 0 ? "-" : ""}${pad(year, 4)}-${pad(date.getUTCMonth() + 1)}-${pad(date.getUTCDate())}`;
};

/** A partition value for people (and folder names): `2013-10-07`, `2013-10-07-14`, `null`. */
export function humanValue(transform: Transform, type: PrimitiveType, value: PartitionValue): string {
  if (value === null) return "null";
  const number = Number(value);
  switch (transform.kind) {
    case "year":
      return `${1970 + number < 0 ? "-" : ""}${pad(1970 + number, 4)}`;
    case "month":
      return `${pad(1970 + Math.floor(number / 12), 4)}-${pad(((number % 12) + 12) % 12 + 1)}`;
    case "day":
      return isoDay(number);
    case "hour":
      return `${isoDay(Math.floor(number / 24))}-${pad(((number % 24) + 24) % 24)}`;
    default:
      return humanLiteral(type, value);
  }
}

function humanLiteral(type: PrimitiveType, value: NonNullable<PartitionValue>): string {
  if (type === "date") return isoDay(Number(value));
  if (type === "time" || type === "timestamp" || type === "timestamptz") {
    const micros = BigInt(value as bigint);
    const days = floorDiv(micros, 86_400_000_000n);
    const clock = isoTime(Number(micros - days * 86_400_000_000n));
    return type === "time" ? clock : `${isoDay(Number(days))}T${clock}${type === "timestamptz" ? "+00:00" : ""}`;
  }
  const decimal = decimalOf(type);
  if (decimal) return decimalText(value instanceof Uint8Array ? bytesToBigint(value) : BigInt(value as bigint), decimal.scale);
  if (value instanceof Uint8Array) {
    if (type !== "uuid") return Buffer.from(value).toString("base64");
    return Buffer.from(value).toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  }
  if (typeof value === "object") throw invalid(`a value of type ${type} cannot be ${show(value)}.`);
  return String(value);
}

/** `14:30:05.123456`; seconds and fraction only where they are not zero, as Java prints a LocalTime. */
function isoTime(micros: number): string {
  const [seconds, fraction] = [Math.floor(micros / 1e6), micros % 1e6];
  const hm = `${pad(Math.floor(seconds / 3600))}:${pad(Math.floor(seconds / 60) % 60)}`;
  if (fraction === 0) return seconds % 60 === 0 ? hm : `${hm}:${pad(seconds % 60)}`;
  return `${hm}:${pad(seconds % 60)}.${fraction % 1000 === 0 ? pad(fraction / 1000, 3) : pad(fraction, 6)}`;
}

/** `-12.50` from the unscaled value and the scale. */
export function decimalText(unscaled: bigint, scale: number): string {
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, "0");
  const point = digits.length - scale;
  return `${unscaled < 0n ? "-" : ""}${digits.slice(0, point)}${scale > 0 ? `.${digits.slice(point)}` : ""}`;
}

/** `applyTransform` with the transform as table metadata has it. */
export function transformValue(transform: TransformText, source: PrimitiveType, value: Literal | null): PartitionValue {
  return applyTransform(parseTransform(transform), source, value);
}
