/**
 * Values of metadata as JSON that the engine casts to a column's type. Pure.
 */
import type { PartitionValue, PrimitiveType } from "../../iceberg/types";
import { valueText } from "../constants";

/** A column of a metadata table: its SQL type, and its value (as JSON) of one row. */
export interface Column<Row> { name: string; type: string; value(row: Row): unknown }

/** A metadata table: columns first, rows only when they are wanted. */
export interface Relation<Row = never> { columns: Column<Row>[]; rows(): Promise<Row[]> | Row[] }

/** A value of an Iceberg type. */
export function jsonValue(type: PrimitiveType, value: PartitionValue): unknown {
  if (value === null) return null;
  if (type === "string" || typeof value === "boolean") return value;
  if (type === "float" || type === "double") return Number.isFinite(value) ? value : String(value);
  if (type === "int" || type === "long") return value;
  if (value instanceof Uint8Array && !type.startsWith("decimal") && type !== "uuid") return blob(value);
  return valueText(type, value);
}

/** Bytes as the engine casts them from text. */
export function blob(bytes: Uint8Array | undefined): string | null {
  return bytes ? Buffer.from(bytes).toString("hex").replace(/../g, "\\x$&") : null;
}

export function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
