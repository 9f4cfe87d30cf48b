/** Parquet's PLAIN encoding. */
import type { ColumnData } from "../columns/batch";
import type { Output } from "./output";

/** Bytes that the values `from` up to `to` take. */
export function plainLength(column: ColumnData, from: number, to: number): number {
  const { values } = column;
  switch (values.kind) {
    case "boolean": return (to - from + 7) >>> 3;
    case "int32":
    case "float": return (to - from) * 4;
    case "int64":
    case "double": return (to - from) * 8;
    case "fixed": return (to - from) * values.width;
    case "bytes": return (to - from) * 4 + values.offsets[to]! - values.offsets[from]!;
    case "codes": {
      const { data, dictionary: { offsets } } = values;
      let bytes = (to - from) * 4;
      for (let k = from; k < to; k++) bytes += offsets[data[k]! + 1]! - offsets[data[k]!]!;
      return bytes;
    }
  }
}

/** Memory of a typed array as bytes. Files are little-endian, and so is every machine that Node runs on. */
const asBytes = (array: Int32Array | Float32Array | Float64Array, from: number, to: number): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset + from * array.BYTES_PER_ELEMENT, (to - from) * array.BYTES_PER_ELEMENT);

/** Appends the values `from` up to `to`. */
export function plainValues(out: Output, column: ColumnData, from: number, to: number): void {
  const { values } = column;
  switch (values.kind) {
    case "boolean": return bits(out, values.data, from, to);
    case "int32":
    case "float":
    case "double": return out.write(asBytes(values.data, from, to));
    case "int64": return out.write(asBytes(values.data, from * 2, to * 2));
    case "fixed": return out.write(values.data.subarray(from * values.width, to * values.width));
    case "bytes":
      out.reserve(plainLength(column, from, to));
      for (let k = from; k < to; k++) byteString(out, values.data, values.offsets[k]!, values.offsets[k + 1]!);
      return;
    case "codes": {
      const { data, offsets } = values.dictionary;
      for (let k = from; k < to; k++) byteString(out, data, offsets[values.data[k]!]!, offsets[values.data[k]! + 1]!);
      return;
    }
  }
}

function byteString(out: Output, data: Uint8Array, from: number, to: number): void {
  out.uint32(to - from);
  if (to - from > 32) return out.write(data.subarray(from, to));
  out.reserve(to - from);
  const { bytes } = out;
  let at = out.length;
  for (let i = from; i < to; i++) bytes[at++] = data[i]!;
  out.length = at;
}

function bits(out: Output, data: Uint8Array, from: number, to: number): void {
  for (let k = from; k < to; k += 8) {
    let byte = 0;
    for (let bit = 0; bit < 8 && k + bit < to; bit++) byte |= data[k + bit]! << bit;
    out.byte(byte);
  }
}
