/** Columns of one schema as columns of another that has more fields, fewer, or wider types. Pure. */
import { childFields, decimalBytes, decimalOf, fixedLengthOf, isPrimitive, isStruct, leafColumns, type LeafColumn } from "../schema";
import type { NestedField, PrimitiveType, StructType, Type } from "../types";
import type { ColumnData, ColumnValues } from "./batch";
import { longFromText } from "./convert";
import { allocate } from "./memory";

/** Where the leaves of a schema come from: for each the position of the leaf that it was, or -1 for a new one. */
export type Origins = readonly number[];

/** A struct, list or map in a schema: its leaves, and the levels at which something stands in it. */
interface Group { readonly from: number; readonly to: number; readonly definition: number; readonly repetition: number }

/**
 * The columns of rows under another schema. New fields are null wherever what they stand in is there. Columns that stay as they are share their memory.
 *
 * @param origins one per leaf of `to`
 * @returns undefined where a value does not fit its new type, or a value is missing that the new schema requires
 */
export function carryColumns(columns: readonly ColumnData[], from: StructType, to: StructType, origins: Origins, rows: number): ColumnData[] | undefined {
  const before = leafColumns(from), after = leafColumns(to), groups = groupsOf(to);
  const out: ColumnData[] = [];
  for (const [i, leaf] of after.entries()) {
    const origin = origins[i]!;
    const column = origin < 0 ? absentColumn(leaf, i, groups, origins, columns, before, rows) : carried(columns[origin]!, before[origin]!, leaf);
    if (!column) return undefined;
    out.push(column);
  }
  return out;
}

/** Leaves matched by field id: how a schema goes on that only grew. */
export function originsById(from: StructType, to: StructType): Origins {
  const before = new Map(leafColumns(from).map((leaf, i) => [leaf.id, i]));
  return leafColumns(to).map((leaf) => before.get(leaf.id) ?? -1);
}

function carried(column: ColumnData, from: LeafColumn, to: LeafColumn): ColumnData | undefined {
  // Levels count what is optional: with all values there, none are written.
  if ((from.maxDefinition !== to.maxDefinition && column.def) || from.maxRepetition !== to.maxRepetition) return undefined;
  if (from.maxDefinition > to.maxDefinition && column.slots > column.count) return undefined;
  const values = convertValues(column.values, column.count, from.type, to.type);
  return values && { ...column, values };
}

/** A column of nulls, as long as the struct that it stands in. */
function absentColumn(leaf: LeafColumn, index: number, groups: readonly Group[], origins: Origins, columns: readonly ColumnData[], before: readonly LeafColumn[], rows: number): ColumnData | undefined {
  if (leaf.required && leaf.maxDefinition === 0) return rows === 0 ? { count: 0, slots: 0, values: emptyValues(leaf.type) } : undefined;
  const levels = (def: Uint8Array, rep: Uint8Array): ColumnData => ({ count: 0, slots: def.length, values: emptyValues(leaf.type), def, ...(leaf.maxRepetition > 0 ? { rep } : {}) });
  for (const group of groups) {
    if (index < group.from || index >= group.to) continue;
    const origin = origins.slice(group.from, group.to).find((at) => at >= 0);
    if (origin === undefined) continue;
    const { slots, def, rep } = columns[origin]!;
    const most = before[origin]!.maxDefinition;
    const newDef = bytes(slots), newRep = bytes(slots);
    let length = 0;
    for (let slot = 0; slot < slots; slot++) {
      const repetition = rep ? rep[slot]! : 0;
      // Deeper repetitions are values of a list inside the struct: the struct itself stands there once.
      if (repetition > group.repetition) continue;
      newDef[length] = Math.min(def ? def[slot]! : most, group.definition);
      newRep[length++] = repetition;
    }
    return levels(newDef.subarray(0, length), newRep.subarray(0, length));
  }
  return levels(bytes(rows), bytes(rows));
}

/** The groups of a schema, inner ones first. */
function groupsOf(schema: StructType): Group[] {
  const groups: Group[] = [];
  let leaf = 0;
  const visit = (field: NestedField, def: number, rep: number): void => {
    const own = field.required ? def : def + 1;
    if (isPrimitive(field.type)) { leaf++; return; }
    const deeper = isStruct(field.type) ? 0 : 1;
    const from = leaf;
    for (const child of childFields(field.type)) visit(child, own + deeper, rep + deeper);
    groups.push({ from, to: leaf, definition: own + deeper, repetition: rep + deeper });
  };
  for (const field of schema.fields) visit(field, 0, 0);
  return groups;
}

/** Values of one type as those of a wider one; undefined where one of them does not fit. */
export function convertValues(values: ColumnValues, count: number, from: Type, to: PrimitiveType): ColumnValues | undefined {
  if (from === to) return values;
  if (from === "int" && to === "long" && values.kind === "int32") return longs(values.data.subarray(0, count));
  if (from === "float" && to === "double" && values.kind === "float") {
    const data = new Float64Array(allocate(count * 8), 0, count);
    data.set(values.data.subarray(0, count));
    return { kind: "double", data };
  }
  if (from === "long" && to === "double" && values.kind === "int64") return exactDoubles(values.data, count);
  if (from === "string" && to === "long") return longsOfText(values, count);
  return convertDecimals(values, count, from, to);
}

function convertDecimals(values: ColumnValues, count: number, from: Type, to: PrimitiveType): ColumnValues | undefined {
  const [a, b] = [decimalOf(from), decimalOf(to)];
  if (!a || !b || a.scale !== b.scale || a.precision > b.precision) return undefined;
  if (values.kind === "int32") return b.precision <= 9 ? values : b.precision <= 18 ? longs(values.data.subarray(0, count)) : undefined;
  return values.kind === "int64" && b.precision <= 18 ? values : undefined;
}

function longs(ints: Int32Array): ColumnValues {
  const data = new Int32Array(allocate(ints.length * 8), 0, ints.length * 2);
  for (let k = 0; k < ints.length; k++) {
    data[k * 2] = ints[k]!;
    data[k * 2 + 1] = ints[k]! < 0 ? -1 : 0;
  }
  return { kind: "int64", data };
}

function exactDoubles(words: Int32Array, count: number): ColumnValues | undefined {
  const data = new Float64Array(allocate(count * 8), 0, count);
  for (let k = 0; k < count; k++) {
    const value = words[k * 2 + 1]! * 4_294_967_296 + (words[k * 2]! >>> 0);
    if (!Number.isSafeInteger(value)) return undefined;
    data[k] = value;
  }
  return { kind: "double", data };
}

function longsOfText(values: ColumnValues, count: number): ColumnValues | undefined {
  if (values.kind !== "codes" && values.kind !== "bytes") return undefined;
  const { data, offsets } = values.kind === "codes" ? values.dictionary : values;
  const known = new Map<number, bigint>();
  const words = new Int32Array(allocate(count * 8), 0, count * 2);
  for (let k = 0; k < count; k++) {
    const entry = values.kind === "codes" ? values.data[k]! : k;
    let value = known.get(entry);
    if (value === undefined) {
      value = longFromText(Buffer.from(data.subarray(offsets[entry]!, offsets[entry + 1]!)).toString("latin1"));
      if (value === undefined) return undefined;
      if (values.kind === "codes") known.set(entry, value);
    }
    words[k * 2] = Number(BigInt.asIntN(32, value));
    words[k * 2 + 1] = Number(value >> 32n);
  }
  return { kind: "int64", data: words };
}

const bytes = (length: number): Uint8Array => new Uint8Array(allocate(length), 0, length);

function emptyValues(type: PrimitiveType): ColumnValues {
  const none = new SharedArrayBuffer(0);
  const decimal = decimalOf(type);
  switch (type) {
    case "boolean": return { kind: "boolean", data: new Uint8Array(none) };
    case "int": case "date": return { kind: "int32", data: new Int32Array(none) };
    case "long": case "time": case "timestamp": case "timestamptz": return { kind: "int64", data: new Int32Array(none) };
    case "float": return { kind: "float", data: new Float32Array(none) };
    case "double": return { kind: "double", data: new Float64Array(none) };
    case "string": return { kind: "codes", data: new Uint16Array(none), dictionary: { data: new Uint8Array(none), offsets: new Uint32Array(new SharedArrayBuffer(4)), count: 0 } };
    case "binary": return { kind: "bytes", data: new Uint8Array(none), offsets: new Uint32Array(new SharedArrayBuffer(4)) };
    default: break;
  }
  if (decimal && decimal.precision <= 9) return { kind: "int32", data: new Int32Array(none) };
  if (decimal && decimal.precision <= 18) return { kind: "int64", data: new Int32Array(none) };
  return { kind: "fixed", data: new Uint8Array(none), width: decimal ? decimalBytes(decimal.precision) : fixedLengthOf(type)! };
}
