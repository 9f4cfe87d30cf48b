import { MAX_TIME_MS } from "../schema";
import { parseRfc3339Ms } from "../time";
import { putLong, TradeColumns, TradeDictionary } from "./columns";
import { UtcReader } from "./utc";

const QUOTE = 0x22, COMMA = 0x2c, DOT = 0x2e, ZERO = 0x30, COLON = 0x3a, OPEN_LIST = 0x5b, CLOSE_LIST = 0x5d, LETTER_N = 0x6e, OPEN = 0x7b, CLOSE = 0x7d;
/** Powers of ten that a double holds exactly; 10^15 is more than is ever needed here. */
const POWERS = [1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
const WORD = 4_294_967_296;
/** Bits of the fields: those that a trade needs come first. */
const T = 1, S = 2, I = 4, P = 8, SIZE = 16, TIME = 32, X = 64, C = 128, Z = 256, NEEDED = 63;
const TIMESTAMP = Buffer.from('"timestamp"');
const LONGEST_TIME = 40;

/** Trades for which memory is kept from batch to batch. */
const MAX_CAPACITY = 65_536;

/** What a value was that was taken: `list` a list of trades (else one), `raw` with some `t`, `flat` with some `timestamp`. */
export const FORM = { list: 1, raw: 2, flat: 4 } as const;

/**
 * Reads JSON bytes that hold one trade or a list of trades, all of them good, straight into columns: no string, object or list is made of what was seen
 * before. Takes raw trades (`t`) and flattened ones (`timestamp`) of the documented names. Gives up at anything else: another field, an
 * escape, an exponent, a value that the schema refuses, bytes that are not UTF-8. Then the general way (JSON.parse) takes over, so this decides about speed
 * only and never about the result (tested with random input).
 */
export class TradeScanner {
  /** What was taken since `begin`. Its memory is used again: `seal` it to keep it. */
  columns = new TradeColumns(new TradeDictionary(), 4096);
  private at = 0;
  /** Digits read by the last `digits`. */
  private count = 0;
  /** Digits after the point of the last price, as JSON.stringify would write it. */
  private scale = 0;
  private form = 0;
  private readonly times = new UtcReader();

  /** Begins a batch. */
  begin(): void {
    const { dictionary, capacity } = this.columns;
    this.columns.count = 0;
    // One huge batch must not hold its memory for ever.
    if (dictionary.crowded || capacity > MAX_CAPACITY) this.columns = new TradeColumns(dictionary.crowded ? new TradeDictionary() : dictionary, Math.min(capacity, MAX_CAPACITY));
  }

  /** Takes the value `data[start .. end)`, trades behind those that are there. Returns its form (FORM bits), or -1 when it was not taken: nothing of it is in the columns then. */
  scan(data: Uint8Array, start: number, end: number): number {
    const before = this.columns.count;
    this.at = start;
    this.form = 0;
    if (this.all(data) && this.at <= end) {
      while (this.at < end && isSpace(data[this.at]!)) this.at++;
      if (this.at === end) return this.form;
    }
    this.columns.count = before;
    return -1;
  }

  private all(data: Uint8Array): boolean {
    if (this.next(data) !== OPEN_LIST) return this.trade(data);
    this.form = FORM.list;
    this.at++;
    if (this.next(data) === CLOSE_LIST) {
      this.at++;
      return true;
    }
    for (;;) {
      if (!this.trade(data)) return false;
      const char = this.next(data);
      this.at++;
      if (char === CLOSE_LIST) return true;
      if (char !== COMMA) return false;
    }
  }

  /** The next byte that is no white space; undefined at the end of the data (and beyond the value another's bytes: `scan` sees it). */
  private next(data: Uint8Array): number {
    let char = data[this.at]!;
    while (isSpace(char)) char = data[++this.at]!;
    return char;
  }

  private trade(data: Uint8Array): boolean {
    const { columns } = this;
    const { dictionary } = columns;
    if (this.next(data) !== OPEN) return false;
    this.at++;
    if (columns.count === columns.capacity) columns.grow();
    const k = columns.count;
    let seen = 0;
    // Fields that a trade may lack are null.
    columns.exchange[k] = 0;
    columns.tape[k] = 0;
    columns.conditions[k] = 0;
    for (;;) {
      if (this.next(data) !== QUOTE) return false;
      const name = data[this.at + 1]!;
      let long = false;
      if (data[this.at + 2] === QUOTE) this.at += 3;
      else {
        if (!this.isTimestamp(data)) return false;
        long = true;
        this.at += TIMESTAMP.length;
      }
      if (data[this.at] !== COLON && this.next(data) !== COLON) return false;
      this.at++;
      const first = this.next(data);
      let field: number;
      switch (name) {
        case 0x54 /* T */:
          field = T;
          if (first !== QUOTE || data[this.at + 1] !== 0x74 || data[this.at + 2] !== QUOTE) return false;
          this.at += 3;
          break;
        case 0x53 /* S */: {
          field = S;
          const code = dictionary.symbols.code(data, this.at);
          if (code < 0 || dictionary.symbols.values[code] === "") return false;
          columns.symbol[k] = code;
          this.at = dictionary.symbols.end;
          break;
        }
        case 0x69 /* i */:
          field = I;
          if (!this.id(data, columns.id, k)) return false;
          break;
        case 0x70 /* p */: {
          field = P;
          const value = this.decimal(data);
          if (value < 0) return false;
          columns.price[k] = value;
          columns.scale[k] = this.scale;
          break;
        }
        case 0x73 /* s */: {
          field = SIZE;
          const value = this.digits(data);
          if (this.count === 0 || this.count > 15) return false;
          putLong(columns.size, k, value);
          break;
        }
        case 0x74 /* t */: {
          field = TIME;
          // Text as time is taken of raw trades only: flattened ones go into tables as they are.
          const value = first === QUOTE && !long ? this.rfc3339(data) : this.digits(data);
          if (this.count === 0 || this.count > 15 || value > MAX_TIME_MS) return false;
          putLong(columns.time, k, value);
          this.form |= long ? FORM.flat : FORM.raw;
          break;
        }
        case 0x78 /* x */: {
          field = X;
          const code = first === LETTER_N ? this.null(data) : dictionary.exchanges.code(data, this.at);
          if (code < 0) return false;
          if (code > 0) this.at = dictionary.exchanges.end;
          columns.exchange[k] = code;
          break;
        }
        case 0x63 /* c */: {
          field = C;
          const code = first === LETTER_N ? this.null(data) : dictionary.conditions.code(data, this.at);
          if (code < 0) return false;
          if (code > 0) this.at = dictionary.conditions.end;
          columns.conditions[k] = code;
          break;
        }
        case 0x7a /* z */: {
          field = Z;
          const code = first === LETTER_N ? this.null(data) : dictionary.tapes.code(data, this.at);
          if (code < 0) return false;
          if (code > 0) this.at = dictionary.tapes.end;
          columns.tape[k] = code;
          break;
        }
        default: return false;
      }
      if ((seen & field) !== 0) return false;
      seen |= field;
      const char = this.next(data);
      this.at++;
      if (char === CLOSE) break;
      if (char !== COMMA) return false;
    }
    if ((seen & NEEDED) !== NEEDED) return false;
    columns.count = k + 1;
    return true;
  }

  private isTimestamp(data: Uint8Array): boolean {
    for (let k = 1; k < TIMESTAMP.length; k++) if (data[this.at + k] !== TIMESTAMP[k]) return false;
    return true;
  }

  /** Code 0 for `null`, else -1. */
  private null(data: Uint8Array): number {
    const { at } = this;
    if (data[at + 1] !== 0x75 || data[at + 2] !== 0x6c || data[at + 3] !== 0x6c) return -1;
    this.at = at + 4;
    return 0;
  }

  /** RFC 3339 text as Unix ms; sets `count` to 0 where it is none. */
  private rfc3339(data: Uint8Array): number {
    const from = this.at + 1;
    const end = this.times.read(data, from);
    if (end > 0 && data[end] === QUOTE) {
      this.at = end + 1;
      this.count = 1;
      return this.times.ms;
    }
    let to = from;
    let text = "";
    while (to - from <= LONGEST_TIME && data[to]! !== QUOTE && data[to]! < 0x80) text += String.fromCharCode(data[to++]!);
    const value = data[to] === QUOTE ? parseRfc3339Ms(text) : undefined;
    this.at = to + 1;
    this.count = value === undefined ? 0 : 1;
    return value ?? 0;
  }

  /** A whole number without sign, and in `count` how many digits it had: 0 for none, or for a needless leading zero. Exact up to 15 digits. */
  private digits(data: Uint8Array): number {
    const from = this.at;
    let at = from;
    let digit = data[at]! ^ ZERO;
    let head = 0;
    const nine = from + 9;
    while (digit <= 9 && at < nine) {
      head = (head * 10 + digit) | 0;
      digit = data[++at]! ^ ZERO;
    }
    let value = head;
    if (digit <= 9) {
      // 32-bit arithmetic for the rest too: two halves cost less than one long chain of doubles.
      let rest = 0;
      const limit = at + 7;
      while (digit <= 9 && at < limit) {
        rest = (rest * 10 + digit) | 0;
        digit = data[++at]! ^ ZERO;
      }
      value = head * POWERS[at - nine]! + rest;
      while (digit <= 9) digit = data[++at]! ^ ZERO;
    }
    this.at = at;
    this.count = at - from;
    if (this.count > 1 && data[from] === ZERO) this.count = 0;
    return value;
  }

  /** A trade id of up to 19 digits into two words. */
  private id(data: Uint8Array, words: Int32Array, k: number): boolean {
    const from = this.at;
    const value = this.digits(data);
    if (this.count === 0 || this.count > 19) return false;
    if (this.count <= 15) {
      putLong(words, k, value);
      return true;
    }
    // The first 15 digits as words, times a power of ten up to 10^4, plus the rest: no step exceeds 2^53.
    let head = 0, rest = 0, at = from;
    for (; at < from + 15; at++) head = head * 10 + (data[at]! ^ ZERO);
    for (; at < this.at; at++) rest = rest * 10 + (data[at]! ^ ZERO);
    const power = POWERS[this.count - 15]!;
    const low = (head % WORD) * power + rest;
    const high = Math.floor(head / WORD) * power + Math.floor(low / WORD);
    if (high > 0x7fffffff) return false;
    words[k * 2] = low % WORD;
    words[k * 2 + 1] = high;
    return true;
  }

  /**
   * A decimal number without sign and exponent, -1 for anything else. With at most 15 digits both the digits and the power
   * of ten are exact doubles, so that their quotient is the double nearest to the text (IEEE 754), as JSON.parse gives it.
   */
  private decimal(data: Uint8Array): number {
    const ahead = this.digits(data);
    const whole = this.count;
    this.scale = 0;
    if (whole === 0 || whole > 15) return -1;
    if (data[this.at] !== DOT) return ahead;
    const from = this.at + 1;
    let at = from;
    let mantissa = ahead;
    let digit = data[at]! ^ ZERO;
    while (digit <= 9) {
      mantissa = mantissa * 10 + digit;
      digit = data[++at]! ^ ZERO;
    }
    this.at = at;
    const fraction = at - from;
    if (fraction === 0 || whole + fraction > 15) return -1;
    const value = mantissa / POWERS[fraction]!;
    while (at > from && data[at - 1] === ZERO) at--;
    this.scale = at - from;
    return value;
  }
}

function isSpace(char: number): boolean {
  return char === 0x20 || char === 0x0a || char === 0x0d || char === 0x09;
}
