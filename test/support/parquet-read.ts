/** Reads Parquet with hyparquet into the canonical form of parquet-samples.ts. */
import { decimalOf, isList, isPrimitive, isStruct } from "../../lib/iceberg/schema";
import type { Schema, Type } from "../../lib/iceberg/types";
import { canonicalFloat, type Canonical } from "./parquet-samples";

type Hyparquet = typeof import("hyparquet", { with: { "resolution-mode": "import" } });

/** Dates and times as raw numbers. Decimals come as floating-point numbers, uuids as text. */
export async function readWithHyparquet(bytes: Uint8Array): Promise<Record<string, unknown>[]> {
  const { parquetReadObjects }: Hyparquet = await import("hyparquet");
  const { compressors } = await import("hyparquet-compressors");
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
  const raw = (value: unknown): unknown => value;
  return await parquetReadObjects({
    file, compressors, utf8: false,
    parsers: {
      timestampFromMilliseconds: raw, timestampFromMicroseconds: raw, timestampFromNanoseconds: raw, dateFromDays: raw, stringFromBytes: (b?: Uint8Array) => b && Buffer.from(b).toString("utf8"),
    } as never,
  });
}

/** A value of hyparquet in canonical form. */
export function canonicalOf(type: Type, value: unknown): Canonical {
  if (value === null || value === undefined) return null;
  if (isStruct(type)) return Object.fromEntries(type.fields.map((f) => [f.name, canonicalOf(f.type, (value as Record<string, unknown>)[f.name])]));
  if (isList(type)) return (value as unknown[]).map((item) => canonicalOf(type.element, item));
  if (!isPrimitive(type)) {
    // hyparquet turns maps with text keys into objects, others into lists of {key, value}.
    const entries = Array.isArray(value) ? (value as { key: unknown; value: unknown }[]).map((e) => [e.key, e.value]) : Object.entries(value);
    return entries.map(([k, v]) => [canonicalOf(type.key, k), canonicalOf(type.value, v)]);
  }
  const decimal = decimalOf(type);
  if (decimal) return String(BigInt(Math.round((value as number) * 10 ** decimal.scale)));
  if (type === "float" || type === "double") return canonicalFloat(value as number);
  if (type === "boolean") return value as boolean;
  if (typeof value === "string") return type === "uuid" ? value.replaceAll("-", "") : value;
  return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : String(value);
}

/** Whether hyparquet's value can be compared exactly: decimals beyond 15 digits and maps whose keys it folds cannot. */
export function comparable(type: Type): boolean {
  if (isPrimitive(type)) return (decimalOf(type)?.precision ?? 0) <= 9;
  if (isStruct(type)) return type.fields.every((f) => comparable(f.type));
  return isList(type) ? comparable(type.element) : false;
}

export async function canonicalRows(schema: Schema, bytes: Uint8Array): Promise<Canonical[]> {
  return (await readWithHyparquet(bytes)).map((row) => canonicalOf({ type: "struct", fields: schema.fields }, row));
}
