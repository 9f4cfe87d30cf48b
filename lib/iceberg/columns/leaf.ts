/** Builders of leaf columns with values of fixed width. Text and byte strings: text.ts. */
import { decimalBytes, decimalOf, fixedLengthOf, show, type LeafColumn } from "../schema";
import { bytesFrom, daysFromText, decimalFromText, fitsLong, longFromText, microsFromMillis, microsFromText, timeFromText, uuidFromText } from "./convert";
import type { ColumnData, ColumnValues } from "./batch";
import { allocate, release } from "./memory";

/** Where a builder leaves the reason when it refuses a value. */
export interface Problem { reason: string }

export const INITIAL_CAPACITY = 1024;
/** A new batch begins with room for as many values as the last one held, up to this. */
const MAX_INITIAL_CAPACITY = 65_536;

/** A new length that is at least `needed`, doubling. */
export const grownCapacity = (capacity: number, needed: number): number => Math.max(capacity * 2, needed, INITIAL_CAPACITY);

/** A larger Uint8Array in shared memory with the same beginning, the rest filled with `fill`. The old one is given back. */
export function growBytes(old: Uint8Array | undefined, needed: number, fill = 0): Uint8Array {
  const out = new Uint8Array(allocate(grownCapacity(old?.length ?? 0, needed)));
  if (fill !== 0) out.fill(fill, old?.length ?? 0);
  if (old) {
    out.set(old);
    release(old.buffer);
  }
  return out;
}

/**
 * Builds one leaf column. In a column directly below the row, `add` and `addNull` make one slot each and `undo` takes the last one back;
 * columns inside structs, lists and maps keep their levels themselves (nested.ts) and use `add` and `remove`.
 */
export abstract class LeafBuilder {
  /** Values so far. */
  count = 0;
  /** Nulls so far (columns directly below the row only). */
  nulls = 0;
  /** 1 everywhere but at nulls, so that values need not write it. Undefined until the first null. */
  private def: Uint8Array | undefined;

  constructor(readonly leaf: LeafColumn, protected readonly problem: Problem) {}

  /** Appends a value (never null or undefined); false, with `problem.reason` set, when it does not fit the type. */
  abstract add(value: unknown): boolean;
  /** Takes back all values from `count` on. */
  abstract remove(count: number): void;
  abstract readonly values: ColumnValues;
  /** Takes over values (views are copied). */
  protected abstract loadValues(values: ColumnValues, count: number): void;
  /** Forgets everything, memory included. */
  protected abstract resetValues(): void;
  abstract readonly bytes: number;

  addNull(): boolean {
    if (this.leaf.required) return this.refuse("a value (the column is required)", null);
    const slot = this.count + this.nulls;
    if (this.def === undefined || slot >= this.def.length) this.def = growBytes(this.def, slot + 1, 1);
    this.def[slot] = 0;
    this.nulls++;
    return true;
  }

  /** Takes back the last slot of a column directly below the row. */
  undo(): void {
    const slot = this.count + this.nulls - 1;
    if (this.def !== undefined && slot < this.def.length && this.def[slot] === 0) {
      this.def[slot] = 1;
      this.nulls--;
    } else this.remove(this.count - 1);
  }

  /** The column so far, as views. */
  data(): ColumnData {
    const slots = this.count + this.nulls;
    if (this.nulls > 0 && this.def!.length < slots) this.def = growBytes(this.def, slots, 1);
    return { count: this.count, slots, values: this.values, ...(this.nulls > 0 ? { def: this.def!.subarray(0, slots) } : {}) };
  }

  load(data: ColumnData): void {
    this.reset();
    this.loadValues(data.values, data.count);
    this.count = data.count;
    this.nulls = data.slots - data.count;
    if (data.def) {
      this.def = growBytes(undefined, data.slots, 1);
      this.def.set(data.def);
    }
  }

  reset(): void {
    this.resetValues();
    this.count = 0;
    this.nulls = 0;
    this.def = undefined;
  }

  /**
   * Room for the next values, after as many as there are now. Columns get different sizes, 1 to 2 times as much, so that they do not all grow in the
   * same turn of the event loop.
   */
  protected initialCapacity(): number {
    const base = Math.max(INITIAL_CAPACITY, Math.min(this.count, MAX_INITIAL_CAPACITY));
    return Math.floor(base * (1 + ((this.leaf.id * 0.618034) % 1)));
  }

  protected refuse(expected: string, value: unknown): false {
    this.problem.reason = `${this.leaf.name}: expected ${expected}, got ${show(value)}`;
    return false;
  }
}

type NumberArray = Uint8Array | Int32Array | Float32Array | Float64Array;

/** Values in a typed array, `unit` elements each. */
abstract class ArrayBuilder<A extends NumberArray> extends LeafBuilder {
  protected array: A;
  protected capacity: number;

  constructor(leaf: LeafColumn, problem: Problem, private readonly make: (buffer: SharedArrayBuffer) => A, private readonly elementBytes: number, protected readonly unit = 1) {
    super(leaf, problem);
    this.capacity = this.initialCapacity();
    this.array = this.allocate(this.capacity);
  }

  private allocate(values: number): A {
    return this.make(allocate(values * this.unit * this.elementBytes));
  }

  protected grow(needed = 0): void {
    const old = this.array;
    this.capacity = grownCapacity(this.capacity, needed);
    this.array = this.allocate(this.capacity);
    this.array.set(old);
    release(old.buffer);
  }

  override remove(count: number): void {
    this.count = count;
  }

  protected get used(): A {
    return this.array.subarray(0, this.count * this.unit) as A;
  }

  get bytes(): number {
    return this.count * this.unit * this.elementBytes;
  }

  protected override loadValues(values: ColumnValues, count: number): void {
    if (count > this.capacity) this.grow(count);
    this.array.set(values.data);
  }

  protected override resetValues(): void {
    this.capacity = this.initialCapacity();
    this.array = this.allocate(this.capacity);
  }
}

class BooleanBuilder extends ArrayBuilder<Uint8Array> {
  constructor(leaf: LeafColumn, problem: Problem) {
    super(leaf, problem, (b) => new Uint8Array(b), 1);
  }
  override add(value: unknown): boolean {
    if (typeof value !== "boolean") return this.refuse("true or false", value);
    if (this.count === this.capacity) this.grow();
    this.array[this.count++] = value ? 1 : 0;
    return true;
  }
  get values(): ColumnValues {
    return { kind: "boolean", data: this.used };
  }
}

export class DoubleBuilder extends ArrayBuilder<Float64Array> {
  constructor(leaf: LeafColumn, problem: Problem) {
    super(leaf, problem, (b) => new Float64Array(b), 8);
  }
  override add(value: unknown): boolean {
    if (typeof value !== "number") return this.refuse("a number", value);
    if (this.count === this.capacity) this.grow();
    this.array[this.count++] = value;
    return true;
  }
  /** The first `count` of these values. */
  addDoubles(data: Float64Array, count: number): void {
    if (this.count + count > this.capacity) this.grow(this.count + count);
    this.array.set(data.length === count ? data : data.subarray(0, count), this.count);
    this.count += count;
  }
  get values(): ColumnValues {
    return { kind: "double", data: this.used };
  }
}

/** Numbers take the nearest 32-bit float; one beyond its range is refused. */
class FloatBuilder extends ArrayBuilder<Float32Array> {
  constructor(leaf: LeafColumn, problem: Problem) {
    super(leaf, problem, (b) => new Float32Array(b), 4);
  }
  override add(value: unknown): boolean {
    if (typeof value !== "number") return this.refuse("a number", value);
    if (Number.isFinite(value) && !Number.isFinite(Math.fround(value))) return this.refuse("a number in the range of a 32-bit float", value);
    if (this.count === this.capacity) this.grow();
    this.array[this.count++] = value;
    return true;
  }
  get values(): ColumnValues {
    return { kind: "float", data: this.used };
  }
}

class IntBuilder extends ArrayBuilder<Int32Array> {
  constructor(leaf: LeafColumn, problem: Problem) {
    super(leaf, problem, (b) => new Int32Array(b), 4);
  }
  override add(value: unknown): boolean {
    if (typeof value !== "number" || (value | 0) !== value) return this.addOther(value);
    return this.put(value);
  }
  protected put(value: number): boolean {
    if (this.count === this.capacity) this.grow();
    this.array[this.count++] = value;
    return true;
  }
  protected addOther(value: unknown): boolean {
    const long = typeof value === "bigint" ? value : typeof value === "string" ? longFromText(value) : undefined;
    if (long !== undefined && BigInt.asIntN(32, long) === long) return this.put(Number(long));
    return this.refuse(long !== undefined || Number.isInteger(value) ? "a whole number of 32 bits" : "a whole number", value);
  }
  get values(): ColumnValues {
    return { kind: "int32", data: this.used };
  }
}

/** Days since 1970-01-01 as a number; ISO text; a Date (its day in UTC). */
class DateBuilder extends IntBuilder {
  protected override addOther(value: unknown): boolean {
    const days = typeof value === "string" ? daysFromText(value) : value instanceof Date ? Math.floor(value.getTime() / 86_400_000) : undefined;
    return days !== undefined && Number.isInteger(days) ? this.put(days) : this.refuse("a date (2013-10-07, a Date, or days since 1970 as a whole number)", value);
  }
}

/** Safe integers as they are, beyond them bigint or text of decimal digits. */
export class LongBuilder extends ArrayBuilder<Int32Array> {
  constructor(leaf: LeafColumn, problem: Problem) {
    super(leaf, problem, (b) => new Int32Array(b), 4, 2);
  }
  override add(value: unknown): boolean {
    if (typeof value !== "number" || !Number.isSafeInteger(value)) return this.addOther(value);
    return this.put(value);
  }
  /** Two 32-bit halves of a safe integer, without BigInt. */
  protected put(value: number): boolean {
    if (this.count === this.capacity) this.grow();
    const at = this.count++ * 2;
    this.array[at] = value | 0;
    this.array[at + 1] = Math.floor(value / 4_294_967_296);
    return true;
  }
  /** The first `count` of these values, two words each. */
  addWords(words: Int32Array, count: number): void {
    if (this.count + count > this.capacity) this.grow(this.count + count);
    this.array.set(words.length === count * 2 ? words : words.subarray(0, count * 2), this.count * 2);
    this.count += count;
  }
  protected putBig(value: bigint): boolean {
    if (this.count === this.capacity) this.grow();
    const at = this.count++ * 2;
    this.array[at] = Number(BigInt.asIntN(32, value));
    this.array[at + 1] = Number(value >> 32n);
    return true;
  }
  protected addOther(value: unknown): boolean {
    if (typeof value === "string") {
      const long = longFromText(value);
      if (long !== undefined) return this.putBig(long);
    } else if (typeof value === "bigint") {
      return fitsLong(value) ? this.putBig(value) : this.refuse("a whole number of 64 bits", value);
    }
    if (Number.isInteger(value)) return this.refuse("an exact whole number (beyond 2^53 send it as text)", value);
    return this.refuse("a whole number", value);
  }
  get values(): ColumnValues {
    return { kind: "int64", data: this.used };
  }
}

/** µs since midnight inside; a number is ms since midnight, a bigint µs, text `14:30:05.123456`. */
class TimeBuilder extends LongBuilder {
  override add(value: unknown): boolean {
    const micros = typeof value === "string" ? timeFromText(value) : typeof value === "number" ? microsFromMillis(value) : typeof value === "bigint" ? Number(value) : undefined;
    if (typeof micros === "number" && micros >= 0 && micros < 86_400_000_000) return this.put(micros);
    return this.refuse("a time of day (14:30:05.123, or ms since midnight)", value);
  }
}

/** Unix µs inside; a number is Unix ms (a fraction counts to the µs), a bigint Unix µs, also ISO text and Date. */
class TimestampBuilder extends LongBuilder {
  override add(value: unknown): boolean {
    const zoned = this.leaf.type === "timestamptz";
    let micros: number | bigint | undefined;
    if (typeof value === "number") micros = microsFromMillis(value);
    else if (typeof value === "string") micros = microsFromText(value, zoned);
    else if (value instanceof Date) micros = microsFromMillis(value.getTime());
    else if (typeof value === "bigint" && fitsLong(value)) return this.putBig(value);
    if (micros === undefined) return this.refuse(zoned ? "a time (ISO text with an offset or Z, a Date, or Unix ms)" : "a time (ISO text, a Date, or Unix ms)", value);
    return typeof micros === "number" ? this.put(micros) : this.putBig(micros);
  }
}

/** The unscaled value of a decimal from a number, a bigint or text; digits beyond the scale are refused, not rounded. */
function decimalValue(value: unknown, scale: number): bigint | undefined {
  if (typeof value === "bigint") return value * 10n ** BigInt(scale);
  return typeof value === "number" || typeof value === "string" ? decimalFromText(String(value), scale) : undefined;
}

const decimalText = (leaf: LeafColumn): string => {
  const { precision, scale } = decimalOf(leaf.type)!;
  return `a decimal of at most ${precision} digits, ${scale} of them after the point`;
};

/** Decimals of up to 9 digits (the file's INT32). */
class SmallDecimalBuilder extends IntBuilder {
  private readonly limit: bigint;
  constructor(leaf: LeafColumn, problem: Problem, private readonly scale: number, precision: number) {
    super(leaf, problem);
    this.limit = 10n ** BigInt(precision);
  }
  override add(value: unknown): boolean {
    const unscaled = decimalValue(value, this.scale);
    return unscaled !== undefined && unscaled < this.limit && unscaled > -this.limit ? this.put(Number(unscaled)) : this.refuse(decimalText(this.leaf), value);
  }
}

/** Decimals of up to 18 digits (the file's INT64). */
class LongDecimalBuilder extends LongBuilder {
  private readonly limit: bigint;
  constructor(leaf: LeafColumn, problem: Problem, private readonly scale: number, precision: number) {
    super(leaf, problem);
    this.limit = 10n ** BigInt(precision);
  }
  override add(value: unknown): boolean {
    const unscaled = decimalValue(value, this.scale);
    return unscaled !== undefined && unscaled < this.limit && unscaled > -this.limit ? this.putBig(unscaled) : this.refuse(decimalText(this.leaf), value);
  }
}

/** Values of a fixed number of bytes: fixed[n], uuid, and decimals of more than 18 digits (two's complement, big-endian). */
class FixedBuilder extends ArrayBuilder<Uint8Array> {
  private readonly decimal = decimalOf(this.leaf.type);

  constructor(leaf: LeafColumn, problem: Problem, private readonly width: number) {
    super(leaf, problem, (b) => new Uint8Array(b), 1, width);
  }
  override add(value: unknown): boolean {
    if (this.decimal) return this.addDecimal(value, this.decimal);
    const bytes = this.leaf.type === "uuid" && typeof value === "string" ? uuidFromText(value) : bytesFrom(value);
    if (bytes?.length !== this.width) return this.refuse(this.leaf.type === "uuid" ? "a UUID (text or 16 bytes)" : `${this.width} bytes (a Buffer or base64 text)`, value);
    if (this.count === this.capacity) this.grow();
    this.array.set(bytes, this.count++ * this.width);
    return true;
  }
  private addDecimal(value: unknown, { precision, scale }: { precision: number; scale: number }): boolean {
    const unscaled = decimalValue(value, scale);
    const limit = 10n ** BigInt(precision);
    if (unscaled === undefined || unscaled >= limit || unscaled <= -limit) return this.refuse(decimalText(this.leaf), value);
    if (this.count === this.capacity) this.grow();
    const start = this.count++ * this.width;
    let rest = unscaled;
    for (let i = this.width - 1; i >= 0; i--) {
      this.array[start + i] = Number(rest & 0xffn);
      rest >>= 8n;
    }
    return true;
  }
  get values(): ColumnValues {
    return { kind: "fixed", data: this.used, width: this.width };
  }
}

/** The builder for a leaf column of any type but string and binary. */
export function fixedWidthBuilder(leaf: LeafColumn, problem: Problem): LeafBuilder {
  switch (leaf.type) {
    case "boolean": return new BooleanBuilder(leaf, problem);
    case "int": return new IntBuilder(leaf, problem);
    case "long": return new LongBuilder(leaf, problem);
    case "float": return new FloatBuilder(leaf, problem);
    case "double": return new DoubleBuilder(leaf, problem);
    case "date": return new DateBuilder(leaf, problem);
    case "time": return new TimeBuilder(leaf, problem);
    case "timestamp":
    case "timestamptz": return new TimestampBuilder(leaf, problem);
    default: break;
  }
  const decimal = decimalOf(leaf.type);
  if (!decimal) return new FixedBuilder(leaf, problem, fixedLengthOf(leaf.type)!);
  if (decimal.precision <= 9) return new SmallDecimalBuilder(leaf, problem, decimal.scale, decimal.precision);
  if (decimal.precision <= 18) return new LongDecimalBuilder(leaf, problem, decimal.scale, decimal.precision);
  return new FixedBuilder(leaf, problem, decimalBytes(decimal.precision));
}
