/**
 * Columns as they travel from the main thread to the encoder. All memory is shared (SharedArrayBuffer): posting a
 * batch copies nothing, and the sender still has it when a worker dies, so that a failed job can simply run again.
 * Nobody writes to a batch once it has been taken.
 */
import { allocate } from "./memory";
import type { LeafColumn } from "../schema";

/** Byte strings one behind the other: value k is `data[offsets[k] .. offsets[k + 1])`. */
export interface ByteStrings { readonly data: Uint8Array; readonly offsets: Uint32Array; readonly count: number }

/** The defined (non-null) values of a column, dense. */
export type ColumnValues =
  | { readonly kind: "boolean"; readonly data: Uint8Array }
  | { readonly kind: "int32"; readonly data: Int32Array }
  /** Two words per value, the low one first: the little-endian layout of a file. */
  | { readonly kind: "int64"; readonly data: Int32Array }
  | { readonly kind: "float"; readonly data: Float32Array }
  | { readonly kind: "double"; readonly data: Float64Array }
  | { readonly kind: "fixed"; readonly data: Uint8Array; readonly width: number }
  | { readonly kind: "bytes"; readonly data: Uint8Array; readonly offsets: Uint32Array }
  | { readonly kind: "codes"; readonly data: Uint16Array; readonly dictionary: ByteStrings };

/** One leaf column of a batch. */
export interface ColumnData {
  /** Defined values. */
  readonly count: number;
  /** Defined values, nulls and empty lists: one per row in a column that is not repeated. */
  readonly slots: number;
  readonly values: ColumnValues;
  /** Definition levels, one per slot; absent when every slot has a value. */
  readonly def?: Uint8Array;
  /** Repetition levels, one per slot; present exactly in repeated columns. */
  readonly rep?: Uint8Array;
}

/** Rows as columns, in the order of `leafColumns(schema)`. */
export interface ColumnBatch { readonly rows: number; readonly columns: readonly ColumnData[]; /** Estimated memory. */ readonly bytes: number }

/** Rows (or slots, or values) as flat pairs: from, to, from, to ... ascending, `to` exclusive. */
export type Runs = Uint32Array | readonly number[];

/** Where each row of a column begins. Undefined arrays mean: slot (or value) k belongs to row k. */
export interface RowIndex { readonly slotStart?: Uint32Array; readonly valueStart?: Uint32Array }

/** Locates the rows of a column, in one pass over its levels. */
export function rowIndex(column: ColumnData, leaf: LeafColumn, rows: number): RowIndex {
  const { def, rep } = column;
  if (!def && !rep) return {};
  const valueStart = new Uint32Array(rows + 1);
  if (!rep) {
    let value = 0;
    for (let row = 0; row < rows; row++) {
      valueStart[row] = value;
      if (def![row] === leaf.maxDefinition) value++;
    }
    valueStart[rows] = value;
    return { valueStart };
  }
  const slotStart = new Uint32Array(rows + 1);
  let [row, value] = [-1, 0];
  for (let slot = 0; slot < column.slots; slot++) {
    if (rep[slot] === 0) {
      row++;
      slotStart[row] = slot;
      valueStart[row] = value;
    }
    if (!def || def[slot] === leaf.maxDefinition) value++;
  }
  slotStart[rows] = column.slots;
  valueStart[rows] = value;
  return { slotStart, valueStart };
}

const total = (runs: Runs): number => {
  let sum = 0;
  for (let i = 0; i < runs.length; i += 2) sum += runs[i + 1]! - runs[i]!;
  return sum;
};

function mapRuns(runs: Runs, starts: Uint32Array | undefined): Runs {
  if (!starts) return runs;
  const out = new Uint32Array(runs.length);
  for (let i = 0; i < runs.length; i++) out[i] = starts[runs[i]!]!;
  return out;
}

interface TypedArray<T> { readonly length: number; subarray(from: number, to: number): T; set(source: T, at: number): void; [index: number]: number }

/** Elements of the runs, `unit` array elements each; a view where one run is all. */
function gather<T extends TypedArray<T>>(source: T, runs: Runs, unit: number, make: (length: number) => T): T {
  if (runs.length === 0) return source.subarray(0, 0);
  if (runs.length === 2) return source.subarray(runs[0]! * unit, runs[1]! * unit);
  const out = make(total(runs) * unit);
  let at = 0;
  for (let i = 0; i < runs.length; i += 2) {
    const [from, to] = [runs[i]! * unit, runs[i + 1]! * unit];
    if (to - from < 32) for (let k = from; k < to; k++) out[at++] = source[k]!;
    else {
      out.set(source.subarray(from, to), at);
      at += to - from;
    }
  }
  return out;
}

function gatherBytes(data: Uint8Array, offsets: Uint32Array, runs: Runs): { data: Uint8Array; offsets: Uint32Array } {
  const count = total(runs);
  const outOffsets = new Uint32Array(allocate((count + 1) * 4), 0, count + 1);
  const byteRuns = new Uint32Array(runs.length);
  let [at, position] = [0, 0];
  for (let i = 0; i < runs.length; i += 2) {
    const [from, to] = [runs[i]!, runs[i + 1]!];
    byteRuns[i] = offsets[from]!;
    byteRuns[i + 1] = offsets[to]!;
    const shift = position - offsets[from]!;
    for (let k = from; k < to; k++) outOffsets[at++] = offsets[k]! + shift;
    position += offsets[to]! - offsets[from]!;
  }
  outOffsets[count] = position;
  return { data: gather(data, byteRuns, 1, (n) => new Uint8Array(allocate(n), 0, n)), offsets: outOffsets };
}

function gatherValues(values: ColumnValues, runs: Runs): ColumnValues {
  switch (values.kind) {
    case "boolean": return { kind: "boolean", data: gather(values.data, runs, 1, (n) => new Uint8Array(allocate(n), 0, n)) };
    case "int32": return { kind: "int32", data: gather(values.data, runs, 1, (n) => new Int32Array(allocate(n * 4), 0, n)) };
    case "int64": return { kind: "int64", data: gather(values.data, runs, 2, (n) => new Int32Array(allocate(n * 4), 0, n)) };
    case "float": return { kind: "float", data: gather(values.data, runs, 1, (n) => new Float32Array(allocate(n * 4), 0, n)) };
    case "double": return { kind: "double", data: gather(values.data, runs, 1, (n) => new Float64Array(allocate(n * 8), 0, n)) };
    case "fixed": return { kind: "fixed", width: values.width, data: gather(values.data, runs, values.width, (n) => new Uint8Array(allocate(n), 0, n)) };
    case "codes": return { kind: "codes", dictionary: values.dictionary, data: gather(values.data, runs, 1, (n) => new Uint16Array(allocate(n * 2), 0, n)) };
    case "bytes": return { kind: "bytes", ...gatherBytes(values.data, values.offsets, runs) };
  }
}

/** The given rows of a column, in their order. Views on the same memory where the rows are one run, else a copy. */
export function sliceColumn(column: ColumnData, index: RowIndex, rowRuns: Runs): ColumnData {
  const slotRuns = mapRuns(rowRuns, index.slotStart);
  const valueRuns = mapRuns(rowRuns, index.valueStart);
  const make = (n: number): Uint8Array => new Uint8Array(allocate(n), 0, n);
  return {
    count: total(valueRuns),
    slots: total(slotRuns),
    values: gatherValues(column.values, valueRuns),
    ...(column.def ? { def: gather(column.def, slotRuns, 1, make) } : {}),
    ...(column.rep ? { rep: gather(column.rep, slotRuns, 1, make) } : {}),
  };
}

/** Memory that a column holds, in bytes. */
export function columnBytes(column: ColumnData): number {
  const { values } = column;
  let bytes = (column.def?.length ?? 0) + (column.rep?.length ?? 0);
  if (values.kind === "bytes") bytes += values.offsets.byteLength + (values.offsets[column.count] ?? 0) - (values.offsets[0] ?? 0);
  else bytes += values.data.byteLength;
  if (values.kind === "codes") bytes += values.dictionary.data.byteLength + values.dictionary.offsets.byteLength;
  return bytes;
}
