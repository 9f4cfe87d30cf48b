/** Partition transforms over whole columns, and the rows of each partition. Pure. */
import { rowIndex, sliceColumn, type ColumnBatch, type ColumnData, type RowIndex, type Runs } from "../columns/batch";
import { decimalOf, leafColumns } from "../schema";
import { applyTransform, partitionFieldTypes, type Transform } from "../transforms";
import type { PartitionSpec, PartitionValue, PrimitiveType, Schema } from "../types";
import { bytesToBigint, type Literal } from "../values";
import { joinLong } from "./statistics";

const DAY_MICROS = 86_400_000_000;
const HOUR_MICROS = 3_600_000_000;

/** A transform over a column: `ids[row]` points into `values`, the distinct results in order of appearance. */
export interface PartitionVector { readonly ids: Uint32Array; readonly values: PartitionValue[] }

/** The rows of one partition, in their order. */
export interface PartitionRows { readonly partition: PartitionValue[]; readonly rows: number; readonly runs: Runs }

/** Ids for results of a transform: equal results, equal ids. */
class Results {
  readonly values: PartitionValue[] = [];
  private readonly known = new Map<string, number>();

  id(value: PartitionValue): number {
    const key = value === null ? "" : value instanceof Uint8Array ? `x${Buffer.from(value).toString("hex")}` : Object.is(value, -0) ? "-0" : `${typeof value}${String(value)}`;
    let id = this.known.get(key);
    if (id === undefined) {
      id = this.values.length;
      this.values.push(value);
      this.known.set(key, id);
    }
    return id;
  }
}

/** Applies a transform to every row of a column that is not repeated. */
export function transformColumn(transform: Transform, source: PrimitiveType, column: ColumnData, maxDefinition: number): PartitionVector {
  const results = new Results();
  const ids = new Uint32Array(column.slots);
  const { def } = column;
  const ofValue = transform.kind === "void" ? (): number => results.id(null) : idReader(transform, source, column, results);
  let value = 0;
  for (let row = 0; row < column.slots; row++) ids[row] = def && def[row] !== maxDefinition ? results.id(null) : ofValue(value++);
  return { ids, values: results.values };
}

/** The id of the k-th value's result. Values come in order, so the last one's neighbourhood is remembered. */
function idReader(transform: Transform, source: PrimitiveType, column: ColumnData, results: Results): (k: number) => number {
  const { values } = column;
  const apply = (value: Literal): number => results.id(applyTransform(transform, source, value));
  if (values.kind === "codes") {
    const { data, dictionary } = values;
    const known = new Int32Array(dictionary.count).fill(-1);
    return (k) => {
      const code = data[k]!;
      if (known[code]! < 0) known[code] = apply(Buffer.from(dictionary.data.subarray(dictionary.offsets[code]!, dictionary.offsets[code + 1]!)).toString("utf8"));
      return known[code]!;
    };
  }
  if (values.kind === "int64") {
    const { data } = values;
    let [from, to, id] = [0, 0, 0];
    return (k) => {
      const high = data[k * 2 + 1]!;
      const number = high * 4_294_967_296 + (data[k * 2]! >>> 0);
      if (number >= from && number < to) return id;
      id = apply(joinLong(data[k * 2]!, high));
      [from, to] = neighbourhood(transform, source, number);
      return id;
    };
  }
  return (k) => apply(literalAt(source, column, k));
}

/** Numbers around `value` for which a transform gives the same result; empty where doubles are not exact. */
function neighbourhood(transform: Transform, source: PrimitiveType, value: number): [number, number] {
  if (!Number.isSafeInteger(value)) return [0, 0];
  let width = 1;
  if (transform.kind === "truncate") width = transform.width;
  else if (transform.kind === "hour") width = HOUR_MICROS;
  else if ((transform.kind === "day" || transform.kind === "month" || transform.kind === "year") && source !== "date") width = DAY_MICROS;
  const from = Math.floor(value / width) * width;
  return Number.isSafeInteger(from) && Number.isSafeInteger(from + width) ? [from, from + width] : [0, 0];
}

function literalAt(source: PrimitiveType, { values }: ColumnData, k: number): Literal {
  const decimal = decimalOf(source) !== undefined;
  switch (values.kind) {
    case "boolean": return values.data[k] === 1;
    case "int32": return decimal ? BigInt(values.data[k]!) : values.data[k]!;
    case "int64": return joinLong(values.data[k * 2]!, values.data[k * 2 + 1]!);
    case "float":
    case "double": return values.data[k]!;
    case "fixed": {
      const bytes = values.data.slice(k * values.width, (k + 1) * values.width);
      return decimal ? bytesToBigint(bytes) : bytes;
    }
    case "codes": {
      const { data, offsets } = values.dictionary;
      return Buffer.from(data.subarray(offsets[values.data[k]!]!, offsets[values.data[k]! + 1]!)).toString("utf8");
    }
    case "bytes": {
      const bytes = values.data.slice(values.offsets[k]!, values.offsets[k + 1]!);
      return source === "string" ? Buffer.from(bytes).toString("utf8") : bytes;
    }
  }
}

/** Groups the rows of a batch by their partition tuple, groups in order of appearance. */
export function partitionRows(batch: ColumnBatch, schema: Schema, spec: PartitionSpec): PartitionRows[] {
  const leaves = leafColumns(schema);
  const vectors = partitionFieldTypes(spec, schema).map(({ field, transform, source }): PartitionVector => {
    const at = leaves.findIndex((leaf) => leaf.id === field["source-id"]);
    if (at < 0) return { ids: new Uint32Array(batch.rows), values: [null] };
    return transformColumn(transform, source, batch.columns[at]!, leaves[at]!.maxDefinition);
  });
  const varying = vectors.filter((v) => v.values.length > 1);
  const tuple = (row: number): PartitionValue[] => vectors.map((v) => v.values[v.ids[row]!]!);
  if (batch.rows === 0) return [];
  if (varying.length === 0) return [{ partition: tuple(0), rows: batch.rows, runs: [0, batch.rows] }];

  const ids = varying.map((v) => v.ids).reduce(combineIds);
  const groups = new Map<number, { first: number; rows: number; runs: number[] }>();
  let current: { first: number; rows: number; runs: number[] } | undefined;
  let currentId = -1;
  for (let row = 0; row < batch.rows; row++) {
    const id = ids[row]!;
    if (id !== currentId) {
      current = groups.get(id);
      if (!current) groups.set(id, (current = { first: row, rows: 0, runs: [] }));
      current.runs.push(row, row);
      currentId = id;
    }
    current!.runs[current!.runs.length - 1] = row + 1;
    current!.rows++;
  }
  return [...groups.values()].map(({ first, rows, runs }) => ({ partition: tuple(first), rows, runs }));
}

/** One id per pair of ids, dense again, so that any number of fields fits. */
function combineIds(a: Uint32Array, b: Uint32Array): Uint32Array {
  const known = new Map<number, number>();
  const out = new Uint32Array(a.length);
  let [lastKey, lastId] = [-1, -1];
  for (let row = 0; row < a.length; row++) {
    const key = a[row]! * a.length + b[row]!; // an id is less than the number of rows
    if (key !== lastKey) {
      let id = known.get(key);
      if (id === undefined) known.set(key, (id = known.size));
      [lastKey, lastId] = [key, id];
    }
    out[row] = lastId;
  }
  return out;
}

/** The columns of one partition's rows. `indexes` are those of the whole batch (`batchIndexes`). */
export function partitionColumns(batch: ColumnBatch, indexes: readonly RowIndex[], { runs }: PartitionRows): ColumnData[] {
  return batch.columns.map((column, i) => sliceColumn(column, indexes[i]!, runs));
}

export function batchIndexes(batch: ColumnBatch, schema: Schema): RowIndex[] {
  const leaves = leafColumns(schema);
  return batch.columns.map((column, i) => rowIndex(column, leaves[i]!, batch.rows));
}
