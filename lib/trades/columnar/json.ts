import type { LazyTrades } from "./lazy-trades";

/**
 * Elements of a batch as JSON bytes, written straight to where they are needed. What is written is what JSON.stringify makes of the
 * materialised elements (without spaces, properties in their order, null where there is no value), but for ids, which are bare numbers with all
 * their digits even beyond 2^53.
 */
export interface ElementBytes {
  readonly length: number;
  /**
   * A text property of all elements as keys: that of element k is `keys[codes[k]]`, the UTF-8 bytes of the text or null. Few keys stand for many
   * elements, so partitions can be kept per code. All are null for a property that the elements do not have. Undefined for one that is no text
   * (id, price, size, timestamp, conditions): make objects then.
   */
  keysBy(property: string): { readonly codes: Uint16Array; readonly keys: readonly (Uint8Array | null)[] } | undefined;
  /** At the most so many bytes does `write` put down for element k. */
  maxBytes(k: number): number;
  /** Writes element k to `into` from `at` on, where `maxBytes(k)` bytes have room. Returns the position behind it. Allocates nothing. */
  write(k: number, into: Uint8Array, at: number): number;
}

/** The elements of `[from, to)` as one JSON array. */
export function jsonArray(elements: ElementBytes, from = 0, to = elements.length): Buffer {
  let size = 2;
  for (let k = from; k < to; k++) size += elements.maxBytes(k) + 1;
  const out = Buffer.allocUnsafe(size);
  let at = 0;
  out[at++] = 0x5b;
  for (let k = from; k < to; k++) {
    if (k > from) out[at++] = 0x2c;
    at = elements.write(k, out, at);
  }
  out[at++] = 0x5d;
  return out.subarray(0, at);
}

const DIGITS = new Uint8Array(20);
const POWERS = [1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
const ascii = (text: string): Uint8Array => Buffer.from(text, "latin1");
const NONE: readonly (Uint8Array | null)[] = [null];

/** The JSON of trades that are columns. */
export function tradeJsonWriter(trades: LazyTrades): ElementBytes {
  return new TradeJson(trades);
}

class TradeJson implements ElementBytes {
  readonly length: number;
  private readonly parts: readonly Uint8Array[];
  private readonly fixed: number;
  /** Per symbol: everything up to the id. */
  private readonly heads: (Uint8Array | undefined)[] = [];

  constructor(private readonly trades: LazyTrades) {
    this.length = trades.length;
    const [T, S, i, x, p, s, t, c, z] = trades.names === "readable"
      ? ["type", "symbol", "id", "exchange", "price", "size", "timestamp", "conditions", "tape"] : ["T", "S", "i", "x", "p", "s", "timestamp", "c", "z"];
    this.parts = [`{"${T}":"t","${S}":`, `,"${i}":`, `,"${x}":`, `,"${p}":`, `,"${s}":`, `,"${t}":`, `,"${c}":`, `,"${z}":`].map(ascii);
    // Three whole numbers of up to 19 digits, a price of up to 25 characters, the closing brace.
    this.fixed = this.parts.reduce((sum, part) => sum + part.length, 0) + 3 * 19 + 25 + 1;
  }

  keysBy(property: string): { codes: Uint16Array; keys: readonly (Uint8Array | null)[] } | undefined {
    const { columns, names } = this.trades;
    const { symbols, exchanges, tapes } = columns.dictionary;
    const keys = (values: readonly (string | null)[]): (Uint8Array | null)[] => values.map((value) => (value === null ? null : Buffer.from(value)));
    const [T, S, i, x, p, s, t, c, z] = names === "readable"
      ? ["type", "symbol", "id", "exchange", "price", "size", "timestamp", "conditions", "tape"] : ["T", "S", "i", "x", "p", "s", "timestamp", "c", "z"];
    switch (property) {
      case S: return { codes: columns.symbol, keys: keys(symbols.values) };
      case x: return { codes: columns.exchange, keys: keys(exchanges.values) };
      case z: return { codes: columns.tape, keys: keys(tapes.values) };
      case T: return { codes: new Uint16Array(this.length), keys: [ascii("t")] };
      case i: case p: case s: case t: case c: return undefined;
      default: return { codes: new Uint16Array(this.length), keys: NONE };
    }
  }

  maxBytes(k: number): number {
    const { columns } = this.trades;
    const { symbols, exchanges, tapes, conditions } = columns.dictionary;
    return this.fixed + symbols.json[columns.symbol[k]!]!.length + exchanges.json[columns.exchange[k]!]!.length + tapes.json[columns.tape[k]!]!.length + conditions.json[columns.conditions[k]!]!.length;
  }

  write(k: number, into: Uint8Array, at: number): number {
    const { columns } = this.trades;
    const { parts } = this;
    const { exchanges, tapes, conditions } = columns.dictionary;
    at = put(this.headOf(columns.symbol[k]!), into, at);
    at = long(columns.id[k * 2]! >>> 0, columns.id[k * 2 + 1]!, into, at);
    at = put(parts[2]!, into, at);
    at = put(exchanges.json[columns.exchange[k]!]!, into, at);
    at = put(parts[3]!, into, at);
    at = price(columns.price[k]!, columns.scale[k]!, into, at);
    at = put(parts[4]!, into, at);
    at = long(columns.size[k * 2]! >>> 0, columns.size[k * 2 + 1]!, into, at);
    at = put(parts[5]!, into, at);
    at = long(columns.time[k * 2]! >>> 0, columns.time[k * 2 + 1]!, into, at);
    at = put(parts[6]!, into, at);
    at = put(conditions.json[columns.conditions[k]!]!, into, at);
    at = put(parts[7]!, into, at);
    at = put(tapes.json[columns.tape[k]!]!, into, at);
    into[at] = 0x7d;
    return at + 1;
  }

  private headOf(symbol: number): Uint8Array {
    return this.heads[symbol] ??= Buffer.concat([this.parts[0]!, this.trades.columns.dictionary.symbols.json[symbol]!, this.parts[1]!]);
  }
}

function put(bytes: Uint8Array, into: Uint8Array, at: number): number {
  for (let k = 0; k < bytes.length; k++) into[at + k] = bytes[k]!;
  return at + bytes.length;
}

/** A whole number of two words (not negative). */
function long(low: number, high: number, into: Uint8Array, at: number): number {
  if (high < 0x200000) return whole(high * 4_294_967_296 + low, into, at);
  const text = String((BigInt(high) << 32n) | BigInt(low));
  for (let k = 0; k < text.length; k++) into[at++] = text.charCodeAt(k);
  return at;
}

/** A whole number below 2^53. */
function whole(value: number, into: Uint8Array, at: number): number {
  if (value < 1e9) return small(value, into, at);
  const high = Math.floor(value / 1e9);
  return padded(value - high * 1e9, 9, into, small(high, into, at));
}

/** A whole number below 2^31. */
function small(value: number, into: Uint8Array, at: number): number {
  let rest = value | 0;
  let count = 0;
  do {
    const next = (rest / 10) | 0;
    DIGITS[count++] = 0x30 + rest - next * 10;
    rest = next;
  } while (rest > 0);
  while (count > 0) into[at++] = DIGITS[--count]!;
  return at;
}

/** Exactly `width` (up to 9) digits of a number that has no more. */
function padded(value: number, width: number, into: Uint8Array, at: number): number {
  let rest = value | 0;
  for (let k = at + width - 1; k >= at; k--) {
    const next = (rest / 10) | 0;
    into[k] = 0x30 + rest - next * 10;
    rest = next;
  }
  return at + width;
}

/**
 * A price as JSON.stringify has it. Up to 15 digits in all, the shortest text that stands for the double is the one with these
 * digits and no zero at the end: two different texts of at most 15 digits are never the same double (IEEE 754).
 */
function price(value: number, scale: number, into: Uint8Array, at: number): number {
  if (scale <= 15 && (value >= 1e-6 || scale === 0)) {
    if (scale === 0) return whole(value, into, at);
    const mantissa = Math.round(value * POWERS[scale]!);
    const ahead = Math.floor(mantissa / POWERS[scale]!);
    at = whole(ahead, into, at);
    into[at++] = 0x2e;
    const fraction = mantissa - ahead * POWERS[scale]!;
    if (scale <= 9) return padded(fraction, scale, into, at);
    const high = Math.floor(fraction / 1e9);
    return padded(fraction - high * 1e9, 9, into, padded(high, scale - 9, into, at));
  }
  const text = JSON.stringify(value);
  for (let k = 0; k < text.length; k++) into[at++] = text.charCodeAt(k);
  return at;
}
