/** Rows that are columns already: taken in without making a row of any. */
import { isList, isPrimitive } from "../schema";
import type { NestedField } from "../types";
import { DoubleBuilder, LongBuilder, type LeafBuilder } from "./leaf";
import type { NestedColumn } from "./nested";
import { TextBuilder } from "./text";

/** Values behind codes; `values[0]` is null, no other is. May grow, but what stands there never changes. */
export interface CodeDictionary<V> { readonly values: readonly (V | null)[] }

/** A column of rows that are columns already. */
export type BulkColumn =
  /** Two words per value, the low one first; no nulls. */
  | { readonly kind: "long"; readonly words: Int32Array }
  | { readonly kind: "double"; readonly data: Float64Array }
  | { readonly kind: "text"; readonly codes: Uint16Array; readonly dictionary: CodeDictionary<string> }
  /** Lists of texts without nulls in them. */
  | { readonly kind: "texts"; readonly codes: Uint16Array; readonly dictionary: CodeDictionary<readonly string[]> }
  /** The same text in every row. */
  | { readonly kind: "constant"; readonly value: string };

/** Rows as columns by name. Only the first `count` values of each array count. */
export interface BulkRows { readonly count: number; readonly columns: Readonly<Record<string, BulkColumn>> }

/** A column directly below the row: a builder of its own, or one of structs, lists and maps. */
export interface TopColumn { readonly field: NestedField; readonly flat?: LeafBuilder; readonly nested?: NestedColumn }

/**
 * How a column takes in all of these rows, or undefined where that cannot be told without looking at each row: another type, a null where a
 * value is required.
 */
export function bulkAppend({ field, flat, nested }: TopColumn, rows: BulkRows): (() => void) | undefined {
  const { count } = rows;
  const bulk = Object.hasOwn(rows.columns, field.name) ? rows.columns[field.name] : undefined;
  if (!bulk) {
    const column = flat ?? nested!;
    return field.required ? undefined : () => { for (let k = 0; k < count; k++) column.addNull(); };
  }
  if (field.required && (bulk.kind === "text" || bulk.kind === "texts") && bulk.codes.subarray(0, count).includes(0)) return undefined;
  switch (bulk.kind) {
    case "long": return flat instanceof LongBuilder && field.type === "long" ? () => { flat.addWords(bulk.words, count); } : undefined;
    case "double": return flat instanceof DoubleBuilder ? () => { flat.addDoubles(bulk.data, count); } : undefined;
    case "text": return flat instanceof TextBuilder ? () => { flat.addCodes(bulk.codes, bulk.dictionary, count); } : undefined;
    case "constant": return flat instanceof TextBuilder ? () => { flat.addRepeated(bulk.value, count); } : undefined;
    case "texts": return nested && isList(field.type) && isPrimitive(field.type.element) && field.type.element === "string" ? () => { nested.addTexts(bulk.codes, bulk.dictionary, count); } : undefined;
  }
}
