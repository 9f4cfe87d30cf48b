import type { TradeColumns, TradeDictionary } from "./columns";
import { LazyRawTrades, type LazyTrades } from "./lazy-trades";

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

const POWERS = [1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
/** The two digits of the numbers below 100. */
const PAIRS = Uint8Array.from({ length: 200 }, (_, k) => 0x30 + (k % 2 === 0 ? Math.floor(k / 20) : (k >> 1) % 10));
const ascii = (text: string): Uint8Array => Buffer.from(text, "latin1");
const DOCUMENTED = ["T", "S", "i", "x", "p", "s", "timestamp", "c", "z"] as const;
const RAW = ["T", "S", "i", "x", "p", "s", "t", "c", "z"] as const;
const READABLE = ["type", "symbol", "id", "exchange", "price", "size", "timestamp", "conditions", "tape"] as const;
type Names = typeof DOCUMENTED | typeof READABLE | typeof RAW;
/** Whole numbers of up to 19 digits (three) and a price of up to 25 characters. */
const NUMBERS = 3 * 19 + 25;
/** Pairs of conditions and tape for which the text is kept. */
const MAX_TAILS = 10_000;

/** The JSON of trades that are columns. */
export function tradeJsonWriter(trades: LazyTrades | LazyRawTrades): ElementBytes {
  return new TradeJson(trades);
}

/** What stands between the numbers of trades, made once per code of a dictionary. */
class Templates {
  readonly size: Uint8Array;
  readonly timestamp: Uint8Array;
  /** Per symbol: up to the id. */
  readonly heads: (Uint8Array | undefined)[] = [];
  /** Per exchange: from the id to the price. */
  readonly middles: (Uint8Array | undefined)[] = [];
  /** Per list of conditions, per tape: from the time to the end. */
  readonly tails: (Uint8Array | undefined)[][] = [];
  private made = 0;

  constructor(private readonly dictionary: TradeDictionary, private readonly names: Names) {
    this.size = ascii(`,"${names[5]}":`);
    this.timestamp = ascii(`,"${names[6]}":`);
  }

  head(symbol: number): Uint8Array {
    const [T, S, i] = this.names;
    return (this.heads[symbol] = Buffer.concat([ascii(`{"${T}":"t","${S}":`), this.dictionary.symbols.json[symbol]!, ascii(`,"${i}":`)]));
  }

  middle(exchange: number): Uint8Array {
    return (this.middles[exchange] = Buffer.concat([ascii(`,"${this.names[3]}":`), this.dictionary.exchanges.json[exchange]!, ascii(`,"${this.names[4]}":`)]));
  }

  tail(conditions: number, tape: number): Uint8Array {
    const { conditions: lists, tapes } = this.dictionary;
    const [, , , , , , , c, z] = this.names;
    if (++this.made > MAX_TAILS) {
      this.tails.length = 0;
      this.made = 1;
    }
    return ((this.tails[conditions] ??= [])[tape] = Buffer.concat([ascii(`,"${c}":`), lists.json[conditions]!, ascii(`,"${z}":`), tapes.json[tape]!, ascii("}")]));
  }
}

const templates = new WeakMap<TradeDictionary, Map<Names, Templates>>();

function templatesOf(dictionary: TradeDictionary, names: Names): Templates {
  let known = templates.get(dictionary);
  if (!known) templates.set(dictionary, known = new Map());
  let made = known.get(names);
  if (!made) known.set(names, made = new Templates(dictionary, names));
  return made;
}

function namesOf(trades: LazyTrades | LazyRawTrades): Names {
  return trades instanceof LazyRawTrades ? RAW : trades.names === "readable" ? READABLE : DOCUMENTED;
}

class TradeJson implements ElementBytes {
  readonly length: number;
  private readonly columns: TradeColumns;
  private readonly templates: Templates;

  constructor(private readonly trades: LazyTrades | LazyRawTrades) {
    this.length = trades.length;
    this.columns = trades.columns;
    this.templates = templatesOf(trades.columns.dictionary, namesOf(trades));
  }

  keysBy(property: string): { codes: Uint16Array; keys: readonly (Uint8Array | null)[] } | undefined {
    const { columns } = this;
    const { symbols, exchanges, tapes } = columns.dictionary;
    const keys = (values: readonly (string | null)[]): (Uint8Array | null)[] => values.map((value) => (value === null ? null : Buffer.from(value)));
    const [T, S, i, x, p, s, t, c, z] = namesOf(this.trades);
    switch (property) {
      case S: return { codes: columns.symbol, keys: keys(symbols.values) };
      case x: return { codes: columns.exchange, keys: keys(exchanges.values) };
      case z: return { codes: columns.tape, keys: keys(tapes.values) };
      case T: return { codes: new Uint16Array(this.length), keys: [ascii("t")] };
      case i: case p: case s: case t: case c: return undefined;
      default: return { codes: new Uint16Array(this.length), keys: [null] };
    }
  }

  maxBytes(k: number): number {
    const { columns } = this;
    return this.headOf(columns.symbol[k]!).length + this.middleOf(columns.exchange[k]!).length + this.tailOf(columns.conditions[k]!, columns.tape[k]!).length
      + this.templates.size.length + this.templates.timestamp.length + NUMBERS;
  }

  write(k: number, into: Uint8Array, at: number): number {
    const { columns, templates: { size, timestamp } } = this;
    let end = put(this.headOf(columns.symbol[k]!), into, at);
    end = long(columns.id, k, into, end);
    end = put(this.middleOf(columns.exchange[k]!), into, end);
    end = price(columns.price[k]!, columns.scale[k]!, into, end);
    end = put(size, into, end);
    end = long(columns.size, k, into, end);
    end = put(timestamp, into, end);
    end = long(columns.time, k, into, end);
    return put(this.tailOf(columns.conditions[k]!, columns.tape[k]!), into, end);
  }

  private headOf(symbol: number): Uint8Array { return this.templates.heads[symbol] ?? this.templates.head(symbol); }
  private middleOf(exchange: number): Uint8Array { return this.templates.middles[exchange] ?? this.templates.middle(exchange); }
  private tailOf(conditions: number, tape: number): Uint8Array { return this.templates.tails[conditions]?.[tape] ?? this.templates.tail(conditions, tape); }
}

function put(bytes: Uint8Array, into: Uint8Array, at: number): number {
  const { length } = bytes;
  for (let k = 0; k < length; k++) into[at + k] = bytes[k]!;
  return at + length;
}

/** A whole number of two words (not negative). */
function long(words: Int32Array, k: number, into: Uint8Array, at: number): number {
  const low = words[k * 2]!, high = words[k * 2 + 1]!;
  if (high === 0 && low >= 0) return small(low, into, at);
  if (high < 0x200000) return whole(high * 4_294_967_296 + (low >>> 0), into, at);
  const text = String((BigInt(high) << 32n) | BigInt(low >>> 0));
  for (let d = 0; d < text.length; d++) into[at++] = text.charCodeAt(d);
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
  const n = value | 0;
  const width = n < 1e5 ? (n < 100 ? (n < 10 ? 1 : 2) : n < 1000 ? 3 : n < 1e4 ? 4 : 5) : n < 1e7 ? (n < 1e6 ? 6 : 7) : n < 1e8 ? 8 : n < 1e9 ? 9 : 10;
  return padded(n, width, into, at);
}

/** Exactly `width` (up to 10) digits of a number below 2^31 that has no more. */
function padded(value: number, width: number, into: Uint8Array, at: number): number {
  let rest = value | 0;
  let k = at + width;
  while (k - at >= 2) {
    const next = (rest / 100) | 0;
    const pair = (rest - next * 100) << 1;
    into[--k] = PAIRS[pair + 1]!;
    into[--k] = PAIRS[pair]!;
    rest = next;
  }
  if (k > at) into[at] = 0x30 + rest;
  return at + width;
}

/**
 * A price as JSON.stringify has it. Up to 15 digits in all, the shortest text that stands for the double is the one with these
 * digits and no zero at the end: two different texts of at most 15 digits are never the same double (IEEE 754).
 */
function price(value: number, scale: number, into: Uint8Array, at: number): number {
  if (scale <= 15 && (value >= 1e-6 || scale === 0)) {
    if (scale === 0) return whole(value, into, at);
    const power = POWERS[scale]!;
    const mantissa = Math.round(value * power);
    if (mantissa < 0x7fffffff) {
      const ahead = (mantissa / power) | 0;
      const end = small(ahead, into, at);
      into[end] = 0x2e;
      return padded(mantissa - ahead * power, scale, into, end + 1);
    }
    const ahead = Math.floor(mantissa / power);
    at = whole(ahead, into, at);
    into[at++] = 0x2e;
    const fraction = mantissa - ahead * power;
    if (scale <= 9) return padded(fraction, scale, into, at);
    const high = Math.floor(fraction / 1e9);
    return padded(fraction - high * 1e9, 9, into, padded(high, scale - 9, into, at));
  }
  const text = JSON.stringify(value);
  for (let k = 0; k < text.length; k++) into[at++] = text.charCodeAt(k);
  return at;
}
