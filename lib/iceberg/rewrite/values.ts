/** The values of one leaf column, taken over from DuckDB's memory. */
import type { ColumnValues } from "../columns/batch";
import { decimalBytes, decimalOf, fixedLengthOf, type LeafColumn } from "../schema";
import { TicklakeError } from "../../errors";
import { ByteValues, TextValues } from "./text-values";

/** Collects defined values. What `data` gave is overwritten after `clear`. */
export interface Values {
  readonly count: number;
  /** Memory that is used now. */
  readonly bytes: number;
  /** Bytes of a value in a vector. */
  readonly width: number;
  /** The values at these places of a vector's array, in this order; without `picks` the first `count`. */
  append(data: Uint8Array, count: number, picks?: Int32Array): void;
  data(): ColumnValues;
  clear(): void;
}

/** Values whose layout in a file is that of the vector: `words` 32-bit words each. */
class WordValues implements Values {
  count = 0;
  private array = new Int32Array(1024);

  constructor(private readonly words: 1 | 2, private readonly wrap: (data: Int32Array) => ColumnValues) {}

  get width(): number { return this.words * 4; }
  get bytes(): number { return this.count * this.width; }

  append(data: Uint8Array, count: number, picks?: Int32Array): void {
    const { words } = this;
    this.array = room(this.array, (this.count + count) * words);
    const source = new Int32Array(data.buffer, data.byteOffset, data.byteLength >>> 2), { array } = this;
    let at = this.count * words;
    if (!picks) array.set(source.subarray(0, count * words), at);
    else if (words === 1) for (let k = 0; k < count; k++) array[at++] = source[picks[k]!]!;
    else {
      for (let k = 0; k < count; k++) {
        const from = picks[k]! * 2;
        array[at++] = source[from]!;
        array[at++] = source[from + 1]!;
      }
    }
    this.count += count;
  }

  data(): ColumnValues { return this.wrap(this.array.subarray(0, this.count * this.words)); }
  clear(): void { this.count = 0; }
}

/** Values that are converted one by one into `width` bytes each. */
class ConvertedValues implements Values {
  count = 0;
  private array = new Uint8Array(1024);

  constructor(readonly width: number, private readonly size: number, private readonly convert: (from: DataView, at: number, to: Uint8Array, position: number) => void, private readonly wrap: (data: Uint8Array) => ColumnValues) {}

  get bytes(): number { return this.count * this.size; }

  append(data: Uint8Array, count: number, picks?: Int32Array): void {
    this.array = room(this.array, (this.count + count) * this.size);
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    for (let k = 0; k < count; k++) this.convert(view, (picks ? picks[k]! : k) * this.width, this.array, this.count++ * this.size);
  }

  data(): ColumnValues { return this.wrap(this.array.subarray(0, this.count * this.size)); }
  clear(): void { this.count = 0; }
}

/** An array that holds at least so many elements, with the same beginning. */
export function room<T extends Int32Array | Uint8Array | Uint16Array | Uint32Array>(array: T, needed: number): T {
  if (needed <= array.length) return array;
  const grown = new (array.constructor as new (length: number) => T)(Math.max(needed, array.length * 2));
  grown.set(array);
  return grown;
}

const fixed = (width: number) => (data: Uint8Array): ColumnValues => ({ kind: "fixed", data, width });
const int32 = (data: Int32Array): ColumnValues => ({ kind: "int32", data });
const int64 = (data: Int32Array): ColumnValues => ({ kind: "int64", data });

/** The place for a leaf column's values, by its type. */
export function valuesOf(leaf: LeafColumn): Values {
  switch (leaf.type) {
    case "boolean":
      return new ConvertedValues(1, 1, (from, at, to, position) => { to[position] = from.getUint8(at); }, (data) => ({ kind: "boolean", data }));
    case "int":
    case "date": return new WordValues(1, int32);
    case "long":
    case "time":
    case "timestamp":
    case "timestamptz": return new WordValues(2, int64);
    case "float": return new WordValues(1, (words) => ({ kind: "float", data: new Float32Array(words.buffer, words.byteOffset, words.length) }));
    case "double": return new WordValues(2, (words) => ({ kind: "double", data: new Float64Array(words.buffer, words.byteOffset, words.length >>> 1) }));
    case "uuid": return new ConvertedValues(16, 16, uuid, fixed(16));
    case "string": return new TextValues();
    case "binary": return new ByteValues();
    default: break;
  }
  const decimal = decimalOf(leaf.type);
  if (decimal) return decimals(decimal.precision);
  const length = fixedLengthOf(leaf.type);
  if (length !== undefined) return new ByteValues({ length, name: leaf.name });
  throw new TicklakeError("TABLE_UNSUPPORTED", `Columns of type ${leaf.type} (${leaf.name}) cannot be rewritten yet.`);
}

/** DuckDB keeps a decimal in 2, 4, 8 or 16 bytes by its precision; a file in 4, 8, or as many as it needs. */
function decimals(precision: number): Values {
  if (precision > 18) {
    const size = decimalBytes(precision);
    return new ConvertedValues(16, size, (from, at, to, position) => { for (let i = 0; i < size; i++) to[position + size - 1 - i] = from.getUint8(at + i); }, fixed(size));
  }
  if (precision > 9) return new WordValues(2, int64);
  if (precision > 4) return new WordValues(1, int32);
  return new ConvertedValues(2, 4, (from, at, to, position) => { new DataView(to.buffer).setInt32(position, from.getInt16(at, true), true); }, (data) => int32(new Int32Array(data.buffer, 0, data.length >>> 2)));
}

/** A 128-bit number with its sign flipped, so that it sorts like the text. */
function uuid(from: DataView, at: number, to: Uint8Array, position: number): void {
  for (let i = 0; i < 16; i++) to[position + 15 - i] = from.getUint8(at + i);
  to[position]! ^= 0x80;
}
