import type { RawTrade, ReadableTrade, Trade, TradeId, TradeNames } from "../types";
import { ListDictionary, TextDictionary } from "./dictionary";

const WORD = 4_294_967_296;
/** `scale` of a price whose digits are not known. */
export const NO_SCALE = 255;

/** The values behind the codes of columns. Shared by many batches, so that whoever takes them in maps each code once. */
export class TradeDictionary {
  readonly symbols = new TextDictionary();
  readonly exchanges = new TextDictionary();
  readonly tapes = new TextDictionary();
  readonly conditions = new ListDictionary();

  /** So full that the next batch had better begin with another one. */
  get crowded(): boolean { return this.symbols.crowded || this.exchanges.crowded || this.tapes.crowded || this.conditions.crowded; }
}

/** Bytes of one trade in `TradeColumns`. */
export const TRADE_BYTES = 41;

/**
 * Trades as columns. 64-bit numbers are two words each, the low one first (what a Parquet column holds); codes point into
 * the dictionary, 0 is null. Rows up to `count` are valid. Whoever holds sealed columns does not change them: several may.
 */
export class TradeColumns {
  count = 0;
  price!: Float64Array;
  id!: Int32Array;
  size!: Int32Array;
  time!: Int32Array;
  symbol!: Uint16Array;
  exchange!: Uint16Array;
  tape!: Uint16Array;
  conditions!: Uint16Array;
  /** Digits of the price after the point when it is written as JSON; NO_SCALE where that has to be found out. */
  scale!: Uint8Array;

  constructor(readonly dictionary: TradeDictionary, capacity: number) {
    this.allocate(capacity);
  }

  get capacity(): number { return this.scale.length; }

  /** One piece of memory for all columns, the wide ones first so that all are aligned. */
  private allocate(capacity: number): void {
    const memory = new ArrayBuffer(capacity * TRADE_BYTES);
    let at = 0;
    const next = (bytes: number): number => (at += bytes * capacity) - bytes * capacity;
    this.price = new Float64Array(memory, next(8), capacity);
    this.id = new Int32Array(memory, next(8), capacity * 2);
    this.size = new Int32Array(memory, next(8), capacity * 2);
    this.time = new Int32Array(memory, next(8), capacity * 2);
    this.symbol = new Uint16Array(memory, next(2), capacity);
    this.exchange = new Uint16Array(memory, next(2), capacity);
    this.tape = new Uint16Array(memory, next(2), capacity);
    this.conditions = new Uint16Array(memory, next(2), capacity);
    this.scale = new Uint8Array(memory, next(1), capacity);
  }

  /** Makes room for at least one more trade. */
  grow(): void {
    const { price, id, size, time, symbol, exchange, tape, conditions, scale } = this;
    this.allocate(Math.max(64, this.capacity * 2));
    this.price.set(price);
    this.id.set(id);
    this.size.set(size);
    this.time.set(time);
    this.symbol.set(symbol);
    this.exchange.set(exchange);
    this.tape.set(tape);
    this.conditions.set(conditions);
    this.scale.set(scale);
  }

  /** Appends trades `from` up to and without `to` of columns that have the same dictionary. */
  copy(other: TradeColumns, from: number, to: number): void {
    if (to <= from) return;
    while (this.count + to - from > this.capacity) this.grow();
    const at = this.count;
    this.price.set(other.price.subarray(from, to), at);
    this.id.set(other.id.subarray(from * 2, to * 2), at * 2);
    this.size.set(other.size.subarray(from * 2, to * 2), at * 2);
    this.time.set(other.time.subarray(from * 2, to * 2), at * 2);
    this.symbol.set(other.symbol.subarray(from, to), at);
    this.exchange.set(other.exchange.subarray(from, to), at);
    this.tape.set(other.tape.subarray(from, to), at);
    this.conditions.set(other.conditions.subarray(from, to), at);
    this.scale.set(other.scale.subarray(from, to), at);
    this.count += to - from;
  }

  /** Puts trade `from` in the place of trade `to`. */
  move(from: number, to: number): void {
    this.price[to] = this.price[from]!;
    for (const words of [this.id, this.size, this.time]) words.copyWithin(to * 2, from * 2, from * 2 + 2);
    for (const codes of [this.symbol, this.exchange, this.tape, this.conditions, this.scale]) codes[to] = codes[from]!;
  }

  /** A copy of trades `from` up to and without `to` that needs no more memory than they do. */
  seal(from = 0, to = this.count): TradeColumns {
    const sealed = new TradeColumns(this.dictionary, to - from);
    sealed.copy(this, from, to);
    return sealed;
  }

  /** Appends a trade that is valid by the schema. False, and nothing is appended, where the dictionary is full. */
  push(trade: Trade): boolean {
    const { dictionary } = this;
    const symbol = dictionary.symbols.codeOf(trade.S), exchange = dictionary.exchanges.codeOf(trade.x), tape = dictionary.tapes.codeOf(trade.z);
    const conditions = dictionary.conditions.codeOf(trade.c);
    if (symbol < 0 || exchange < 0 || tape < 0 || conditions < 0) return false;
    if (this.count === this.capacity) this.grow();
    const k = this.count++;
    this.symbol[k] = symbol;
    this.exchange[k] = exchange;
    this.tape[k] = tape;
    this.conditions[k] = conditions;
    this.price[k] = trade.p;
    this.scale[k] = NO_SCALE;
    putLong(this.size, k, trade.s);
    putLong(this.time, k, trade.timestamp);
    if (typeof trade.i === "number") putLong(this.id, k, trade.i);
    else {
      const id = BigInt(trade.i);
      this.id[k * 2] = Number(BigInt.asIntN(32, id));
      this.id[k * 2 + 1] = Number(id >> 32n);
    }
    return true;
  }

  sizeAt(k: number): number { return longAt(this.size, k); }
  timeAt(k: number): number { return longAt(this.time, k); }

  /** A number up to 2^53 - 1, decimal text beyond. */
  idAt(k: number): TradeId {
    const high = this.id[k * 2 + 1]!;
    if (high < 0x200000) return high * WORD + (this.id[k * 2]! >>> 0);
    return String((BigInt(high) << 32n) | BigInt(this.id[k * 2]! >>> 0));
  }

  conditionsAt(k: number): string[] | null {
    const list = this.dictionary.conditions.values[this.conditions[k]!]!;
    if (list === null) return null;
    // The slice of a frozen list is slow, and nearly all lists are this short.
    switch (list.length) {
      case 1: return [list[0]!];
      case 2: return [list[0]!, list[1]!];
      case 3: return [list[0]!, list[1]!, list[2]!];
      default: return [...list];
    }
  }

  /** Trade k as an object of its own. */
  trade(k: number): Trade {
    const { symbols, exchanges, tapes } = this.dictionary;
    return {
      T: "t", S: symbols.values[this.symbol[k]!]!, i: this.idAt(k), x: exchanges.values[this.exchange[k]!]!, p: this.price[k]!, s: this.sizeAt(k), timestamp: this.timeAt(k),
      c: this.conditionsAt(k), z: tapes.values[this.tape[k]!]!,
    };
  }

  /** Trade k as the sources emit it. */
  raw(k: number): RawTrade {
    const { symbols, exchanges, tapes } = this.dictionary;
    return {
      T: "t", S: symbols.values[this.symbol[k]!]!, i: this.idAt(k), x: exchanges.values[this.exchange[k]!]!, p: this.price[k]!, s: this.sizeAt(k), t: this.timeAt(k),
      c: this.conditionsAt(k), z: tapes.values[this.tape[k]!]!,
    };
  }

  readable(k: number): ReadableTrade {
    const { symbols, exchanges, tapes } = this.dictionary;
    return {
      type: "t", symbol: symbols.values[this.symbol[k]!]!, id: this.idAt(k), exchange: exchanges.values[this.exchange[k]!]!, price: this.price[k]!, size: this.sizeAt(k), timestamp: this.timeAt(k),
      conditions: this.conditionsAt(k), tape: tapes.values[this.tape[k]!]!,
    };
  }

  /** Raw trades as objects, made anew on every call. */
  rawObjects(): RawTrade[] {
    const out = new Array<RawTrade>(this.count);
    for (let k = 0; k < this.count; k++) out[k] = this.raw(k);
    return out;
  }

  /** Trades as objects, made anew on every call. */
  objects(names: TradeNames): (Trade | ReadableTrade)[] {
    const out = new Array<Trade | ReadableTrade>(this.count);
    if (names === "readable") for (let k = 0; k < this.count; k++) out[k] = this.readable(k);
    else for (let k = 0; k < this.count; k++) out[k] = this.trade(k);
    return out;
  }
}

/** A whole number that a double holds exactly as two words. */
export function putLong(words: Int32Array, k: number, value: number): void {
  words[k * 2] = value | 0;
  words[k * 2 + 1] = Math.floor(value / WORD);
}

export function longAt(words: Int32Array, k: number): number {
  return words[k * 2 + 1]! * WORD + (words[k * 2]! >>> 0);
}
