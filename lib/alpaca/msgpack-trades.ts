import { putLong, type TradeColumns } from "../trades/columnar/columns";
import { MAX_CONDITIONS, MAX_TEXT, MAX_TIME_MS } from "../trades/schema";
import { decodeMsgpack } from "./msgpack";

/** Bits of the fields: those that a trade needs come first. */
const T = 1, S = 2, I = 4, P = 8, SIZE = 16, TIME = 32, X = 64, C = 128, Z = 256, NEEDED = 63;
const WORD = 4_294_967_296;
/** Texts whose codes are kept; more are looked up the slow way. */
const MAX_KNOWN = 20_000;

/** Codes of short texts and lists by their bytes. */
class Known {
  private codes = new Map<number, number>();
  private size = 0;

  get(key: number): number | undefined { return this.codes.get(key); }

  set(key: number, code: number): void {
    if (++this.size > MAX_KNOWN) {
      this.codes = new Map();
      this.size = 1;
    }
    this.codes.set(key, code);
  }
}

/**
 * Reads the MessagePack of a list of trades, all of them good, straight into columns, as TradeScanner does with JSON: nothing is made of what
 * was seen before. Gives up at anything else, and the general way takes over: this decides about speed only and never about the result.
 */
export class MsgpackTrades {
  private data: Uint8Array = new Uint8Array(0);
  private view = new DataView(this.data.buffer);
  private at = 0;
  private dictionary: object | undefined;
  private symbols = new Known();
  private exchanges = new Known();
  private tapes = new Known();
  private conditions = new Known();

  /** Takes `data` in behind the trades that are there; false when it was not taken: nothing of it is in the columns then. */
  scan(data: Uint8Array, columns: TradeColumns): boolean {
    const before = columns.count;
    this.data = data;
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    this.at = 0;
    if (this.dictionary !== columns.dictionary) {
      this.dictionary = columns.dictionary;
      for (const known of ["symbols", "exchanges", "tapes", "conditions"] as const) this[known] = new Known();
    }
    try {
      if (this.all(columns) && this.at === data.length) return true;
    } catch { /* it ends too early, or is no text: the general way says what is wrong */ }
    columns.count = before;
    return false;
  }

  private all(columns: TradeColumns): boolean {
    const type = this.data[this.at++]!;
    let length: number;
    if (type >= 0x90 && type <= 0x9f) length = type & 0x0f;
    else if (type === 0xdc) { length = this.view.getUint16(this.at); this.at += 2; }
    else if (type === 0xdd) { length = this.view.getUint32(this.at); this.at += 4; }
    else return false;
    for (let k = 0; k < length; k++) if (!this.trade(columns)) return false;
    return true;
  }

  private trade(columns: TradeColumns): boolean {
    const { data, view } = this;
    const fields = data[this.at++]! ^ 0x80;
    if (fields > 15) return false;
    if (columns.count === columns.capacity) columns.grow();
    const k = columns.count;
    columns.exchange[k] = 0;
    columns.tape[k] = 0;
    columns.conditions[k] = 0;
    let seen = 0;
    for (let f = 0; f < fields; f++) {
      if (data[this.at] !== 0xa1) return false;
      const name = data[this.at + 1]!;
      this.at += 2;
      let field: number;
      switch (name) {
        case 0x54 /* T */:
          field = T;
          if (data[this.at] !== 0xa1 || data[this.at + 1] !== 0x74) return false;
          this.at += 2;
          break;
        case 0x53 /* S */: {
          field = S;
          const code = this.text(this.symbols, columns.dictionary.symbols);
          if (code <= 0) return false;
          columns.symbol[k] = code;
          break;
        }
        case 0x78 /* x */: {
          field = X;
          const code = this.text(this.exchanges, columns.dictionary.exchanges);
          if (code < 0) return false;
          columns.exchange[k] = code;
          break;
        }
        case 0x7a /* z */: {
          field = Z;
          const code = this.text(this.tapes, columns.dictionary.tapes);
          if (code < 0) return false;
          columns.tape[k] = code;
          break;
        }
        case 0x63 /* c */: {
          field = C;
          const code = this.list(columns);
          if (code < 0) return false;
          columns.conditions[k] = code;
          break;
        }
        case 0x69 /* i */:
          field = I;
          if (!this.whole(columns.id, k, true)) return false;
          break;
        case 0x73 /* s */:
          field = SIZE;
          if (!this.whole(columns.size, k, false)) return false;
          break;
        case 0x70 /* p */: {
          field = P;
          const price = this.number();
          if (!(price >= 0) || price === Infinity) return false;
          columns.price[k] = price;
          columns.scale[k] = 255;
          break;
        }
        case 0x74 /* t */: {
          field = TIME;
          // Extension -1 with 8 bytes: 30 bits of nanoseconds, 34 of seconds. With 4 bytes: whole seconds.
          let ms: number;
          if (data[this.at] === 0xd7 && data[this.at + 1] === 0xff) {
            const high = view.getUint32(this.at + 2), nanos = high >>> 2;
            if (nanos > 999_999_999) return false;
            ms = ((high & 3) * WORD + view.getUint32(this.at + 6)) * 1000 + Math.floor(nanos / 1e6);
            this.at += 10;
          } else if (data[this.at] === 0xd6 && data[this.at + 1] === 0xff) {
            ms = view.getUint32(this.at + 2) * 1000;
            this.at += 6;
          } else return false;
          if (ms > MAX_TIME_MS) return false;
          putLong(columns.time, k, ms);
          break;
        }
        default: return false;
      }
      if ((seen & field) !== 0) return false;
      seen |= field;
    }
    if ((seen & NEEDED) !== NEEDED) return false;
    columns.count = k + 1;
    return true;
  }

  /** The code of a text; 0 for nil, -1 for anything else. */
  private text(known: Known, dictionary: { codeOf(text: string | null): number }): number {
    const { data } = this;
    const from = this.at;
    const type = data[from]!;
    if (type === 0xc0) { this.at++; return 0; }
    const length = type ^ 0xa0;
    if (length > 31) return -1;
    const to = from + 1 + length;
    if (to > data.length) return -1;
    this.at = to;
    if (length > 6) return this.make(from, to, dictionary);
    let key = length;
    for (let at = from + 1; at < to; at++) key = key * 256 + data[at]!;
    const code = known.get(key);
    if (code !== undefined) return code;
    const made = this.make(from, to, dictionary);
    if (made >= 0) known.set(key, made);
    return made;
  }

  private make(from: number, to: number, dictionary: { codeOf(text: string | null): number }): number {
    const text = decodeMsgpack(this.data.subarray(from, to)) as string;
    return text === "" && dictionary === (this.dictionary as TradeColumns["dictionary"]).symbols ? -1 : text.length > MAX_TEXT ? -1 : dictionary.codeOf(text);
  }

  /** The code of a list of texts; 0 for nil, -1 for anything else. */
  private list(columns: TradeColumns): number {
    const { data } = this;
    const from = this.at;
    const type = data[from]!;
    if (type === 0xc0) { this.at++; return 0; }
    const length = type ^ 0x90;
    if (length > 15) return -1;
    let at = from + 1, key = length;
    // Up to three conditions of one character make a key; nearly all trades have no more.
    let short = length <= 3;
    for (let k = 0; k < length; k++) {
      const size = data[at]! ^ 0xa0;
      if (size > 31) return -1;
      if (size !== 1) short = false;
      else key = key * 256 + data[at + 1]!;
      at += 1 + size;
    }
    if (at > data.length) return -1;
    this.at = at;
    const code = short ? this.conditions.get(key) : undefined;
    if (code !== undefined) return code;
    const list = decodeMsgpack(data.subarray(from, at)) as string[];
    if (list.length > MAX_CONDITIONS) return -1;
    const made = columns.dictionary.conditions.codeOf(list);
    if (short && made >= 0) this.conditions.set(key, made);
    return made;
  }

  /** A whole number from 0; -1 (and nothing read) for anything else or beyond 2^53. */
  private unsigned(): number {
    const { data, view } = this;
    const type = data[this.at]!;
    if (type <= 0x7f) { this.at++; return type; }
    switch (type) {
      case 0xcc: this.at += 2; return data[this.at - 1]!;
      case 0xcd: this.at += 3; return view.getUint16(this.at - 2);
      case 0xce: this.at += 5; return view.getUint32(this.at - 4);
      case 0xcf: case 0xd3: {
        const high = view.getUint32(this.at + 1);
        if (high >= 0x200000) return -1;
        this.at += 9;
        return high * WORD + view.getUint32(this.at - 4);
      }
      default: return -1;
    }
  }

  private whole(words: Int32Array, k: number, long: boolean): boolean {
    const type = this.data[this.at]!;
    if (long && (type === 0xcf || type === 0xd3)) {
      const high = this.view.getUint32(this.at + 1);
      if (high > 0x7fffffff) return false;
      words[k * 2] = this.view.getInt32(this.at + 5);
      words[k * 2 + 1] = high;
      this.at += 9;
      return true;
    }
    const value = this.unsigned();
    if (value < 0) {
      // Sizes may come as floats that are whole.
      const { at } = this;
      const float = long ? NaN : this.number();
      if (!Number.isSafeInteger(float) || float < 0) { this.at = at; return false; }
      putLong(words, k, float);
      return true;
    }
    putLong(words, k, value);
    return true;
  }

  private number(): number {
    const type = this.data[this.at];
    if (type === 0xcb) { this.at += 9; return this.view.getFloat64(this.at - 8); }
    if (type === 0xca) { this.at += 5; return this.view.getFloat32(this.at - 4); }
    const value = this.unsigned();
    return value < 0 ? NaN : value;
  }
}
