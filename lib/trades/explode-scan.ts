import { MAX_CONDITIONS, MAX_ID, MAX_TEXT, MAX_TIME_MS } from "./schema";
import { parseRfc3339Ms } from "./time";
import type { Trade, TradeId } from "./types";

const QUOTE = 0x22, COMMA = 0x2c, DOT = 0x2e, ZERO = 0x30, NINE = 0x39, COLON = 0x3a, OPEN_LIST = 0x5b, BACKSLASH = 0x5c, CLOSE_LIST = 0x5d, OPEN = 0x7b, CLOSE = 0x7d;
/** Powers of ten that a double holds exactly; 10^15 is more than is ever needed here. */
const POWERS = [1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
const LARGEST_ID = String(MAX_ID);
/** Bits of the fields: those that a trade needs come first. */
const T = 1, S = 2, I = 4, P = 8, SIZE = 16, TIME = 32, X = 64, C = 128, Z = 256, NEEDED = 63;

/**
 * Reads JSON text that holds one trade or a list of trades, all of them good, in one pass and without the objects that
 * JSON.parse would make: parsing and flattening together cost less than JSON.parse alone. Ids keep all their digits.
 * Gives up (undefined) at anything else: another field, an escape, an exponent, a value that the schema refuses. Then the
 * general way takes over, so this decides about speed only and never about the result (tested with random input).
 */
export function scanTrades(text: string): Trade[] | undefined {
  return new Scanner(text).all();
}

class Scanner {
  private at = 0;
  /** Digits read by the last `digits`. */
  private count = 0;

  constructor(private readonly text: string) {}

  all(): Trade[] | undefined {
    const out: Trade[] = [];
    if (this.next() === OPEN_LIST) {
      this.at++;
      if (this.next() === CLOSE_LIST) this.at++;
      else {
        for (;;) {
          const trade = this.trade();
          if (!trade) return undefined;
          out.push(trade);
          const char = this.next();
          this.at++;
          if (char === CLOSE_LIST) break;
          if (char !== COMMA) return undefined;
        }
      }
    } else {
      const trade = this.trade();
      if (!trade) return undefined;
      out.push(trade);
    }
    return Number.isNaN(this.next()) ? out : undefined;
  }

  /** The next character that is no white space; NaN at the end. */
  private next(): number {
    let char = this.text.charCodeAt(this.at);
    while (char === 0x20 || char === 0x0a || char === 0x0d || char === 0x09) char = this.text.charCodeAt(++this.at);
    return char;
  }

  private trade(): Trade | undefined {
    const { text } = this;
    if (this.next() !== OPEN) return undefined;
    this.at++;
    let seen = 0;
    let symbol = "", x: string | null = null, z: string | null = null, p = 0, s = 0, timestamp = 0;
    let i: TradeId = 0;
    let c: string[] | null = null;
    for (;;) {
      // All names of fields are single letters: anything longer is not ours.
      if (this.next() !== QUOTE || text.charCodeAt(this.at + 2) !== QUOTE) return undefined;
      const name = text.charCodeAt(this.at + 1);
      this.at += 3;
      if (this.next() !== COLON) return undefined;
      this.at++;
      this.next();
      let field: number;
      switch (name) {
        case 0x54 /* T */: {
          field = T;
          if (this.string() !== "t") return undefined;
          break;
        }
        case 0x53 /* S */: {
          field = S;
          const value = this.string();
          if (value === undefined || value === "") return undefined;
          symbol = value;
          break;
        }
        case 0x69 /* i */: {
          field = I;
          const from = this.at;
          i = this.digits();
          // 2^53 has 16 digits: up to 15 the number is exact, beyond that the text says more.
          if (this.count === 0 || this.count > 19) return undefined;
          if (this.count > 15) {
            const digits = text.slice(from, this.at);
            if (this.count === 19 && digits > LARGEST_ID) return undefined;
            i = Number.isSafeInteger(Number(digits)) ? Number(digits) : digits;
          }
          break;
        }
        case 0x70 /* p */: {
          field = P;
          p = this.decimal();
          if (p < 0) return undefined;
          break;
        }
        case 0x73 /* s */: {
          field = SIZE;
          s = this.digits();
          if (this.count === 0 || this.count > 15) return undefined;
          break;
        }
        case 0x74 /* t */: {
          field = TIME;
          if (text.charCodeAt(this.at) === QUOTE) {
            const value = this.string();
            const ms = value === undefined ? undefined : parseRfc3339Ms(value);
            if (ms === undefined) return undefined;
            timestamp = ms;
          } else {
            timestamp = this.digits();
            if (this.count === 0 || this.count > 15 || timestamp > MAX_TIME_MS) return undefined;
          }
          break;
        }
        case 0x78 /* x */: {
          field = X;
          const value = this.string();
          if (value === undefined) return undefined;
          x = value;
          break;
        }
        case 0x63 /* c */: {
          field = C;
          const value = this.strings();
          if (value === undefined) return undefined;
          c = value;
          break;
        }
        case 0x7a /* z */: {
          field = Z;
          const value = this.string();
          if (value === undefined) return undefined;
          z = value;
          break;
        }
        default: return undefined;
      }
      if ((seen & field) !== 0) return undefined;
      seen |= field;
      const char = this.next();
      this.at++;
      if (char === CLOSE) break;
      if (char !== COMMA) return undefined;
    }
    if ((seen & NEEDED) !== NEEDED) return undefined;
    return { T: "t", S: symbol, i, x, p, s, timestamp, c, z };
  }

  /** Text without escapes. */
  private string(): string | undefined {
    const { text } = this;
    if (text.charCodeAt(this.at) !== QUOTE) return undefined;
    const from = this.at + 1;
    let to = from;
    for (;;) {
      const char = text.charCodeAt(to);
      if (char === QUOTE) break;
      // NaN (the end of the text) fails the comparison too.
      if (!(char >= 0x20) || char === BACKSLASH || to - from >= MAX_TEXT) return undefined;
      to++;
    }
    this.at = to + 1;
    return to - from === 1 ? text[from]! : text.slice(from, to);
  }

  private strings(): string[] | undefined {
    if (this.text.charCodeAt(this.at) !== OPEN_LIST) return undefined;
    this.at++;
    const out: string[] = [];
    if (this.next() === CLOSE_LIST) {
      this.at++;
      return out;
    }
    for (;;) {
      this.next();
      const value = this.string();
      if (value === undefined || out.length === MAX_CONDITIONS) return undefined;
      out.push(value);
      const char = this.next();
      this.at++;
      if (char === CLOSE_LIST) return out;
      if (char !== COMMA) return undefined;
    }
  }

  /** A whole number without sign, and in `count` how many digits it had: 0 for none, or for a needless leading zero. */
  private digits(): number {
    const { text } = this;
    const from = this.at;
    let value = 0;
    let char = text.charCodeAt(this.at);
    while (char >= ZERO && char <= NINE) {
      value = value * 10 + (char - ZERO);
      char = text.charCodeAt(++this.at);
    }
    this.count = this.at - from;
    if (this.count > 1 && text.charCodeAt(from) === ZERO) this.count = 0;
    return value;
  }

  /**
   * A decimal number without sign and exponent, -1 for anything else. With at most 15 digits both the digits and the power
   * of ten are exact doubles, so that their quotient is the double nearest to the text (IEEE 754), as JSON.parse gives it.
   */
  private decimal(): number {
    const { text } = this;
    let value = this.digits();
    const whole = this.count;
    if (whole === 0 || whole > 15) return -1;
    if (text.charCodeAt(this.at) !== DOT) return value;
    const from = ++this.at;
    let char = text.charCodeAt(this.at);
    while (char >= ZERO && char <= NINE) {
      value = value * 10 + (char - ZERO);
      char = text.charCodeAt(++this.at);
    }
    const fraction = this.at - from;
    if (fraction === 0 || whole + fraction > 15) return -1;
    return value / POWERS[fraction]!;
  }
}
