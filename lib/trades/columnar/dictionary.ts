import { MAX_CONDITIONS, MAX_TEXT } from "../schema";

const QUOTE = 0x22, OPEN_LIST = 0x5b, BACKSLASH = 0x5c, CLOSE_LIST = 0x5d;
/** Codes have 16 bits, and 0 stands for null. */
const MAX_CODES = 65_535;
/** Most bytes of a text (a character has up to 3 per UTF-16 unit), and of a list as it is written. */
const MAX_TEXT_BYTES = MAX_TEXT * 3, MAX_LIST_BYTES = 1024;
/** All bytes of one dictionary. */
const MAX_BYTES = 1 << 20;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Values by code, found by the bytes that stand for them in JSON text, so that a value that was seen before costs neither a string nor a
 * list. Code 0 is null; `values[0]` and `json[0]` are null and its text. Values never change their code, and are never
 * changed: whoever hands a list out to others copies it.
 */
export abstract class ByteDictionary<V> {
  readonly values: (V | null)[] = [null];
  /** JSON of every value. */
  readonly json: Buffer[] = [Buffer.from("null")];
  /** Behind the value that `code` or `codeOf` has found. */
  end = 0;
  private bytes = new Uint8Array(4096);
  private readonly from: number[] = [0];
  private readonly to: number[] = [0];
  private used = 0;
  private slots = new Uint16Array(256);
  private mask = 255;
  private last = 0;

  get size(): number { return this.values.length; }

  /** So full that the next batch had better begin with another one. */
  get crowded(): boolean { return this.values.length > MAX_CODES / 2 || this.used > MAX_BYTES / 2; }

  /** The code of the JSON value that begins at `at`; -1 where it is not taken (an escape, not UTF-8, too long, another type). */
  abstract code(data: Uint8Array, at: number): number;

  /** Whether the bytes from `at` begin with those of the value that was found last. */
  protected again(data: Uint8Array, at: number): number {
    const { last, bytes } = this;
    if (last === 0) return 0;
    const from = this.from[last]!;
    const length = this.to[last]! - from;
    // The closing character first: it differs soonest where one value is longer.
    if (data[at + length - 1] !== bytes[from + length - 1]) return 0;
    for (let k = 0; k < length - 1; k++) if (data[at + k] !== bytes[from + k]) return 0;
    this.end = at + length;
    return last;
  }

  /** The code of the value written as `data[at .. to)`, whose hash is `hash`; `make` decodes a new one. */
  protected find(data: Uint8Array, at: number, to: number, hash: number): number {
    let slot = (hash ^ (hash >>> 15)) & this.mask;
    for (;;) {
      const code = this.slots[slot]!;
      if (code === 0) break;
      if (this.equals(code, data, at, to)) {
        this.end = to;
        return (this.last = code);
      }
      slot = (slot + 1) & this.mask;
    }
    return this.add(data, at, to, hash);
  }

  private equals(code: number, data: Uint8Array, at: number, to: number): boolean {
    const from = this.from[code]!;
    if (this.to[code]! - from !== to - at) return false;
    const { bytes } = this;
    for (let k = at, b = from; k < to; k++, b++) if (data[k] !== bytes[b]) return false;
    return true;
  }

  private add(data: Uint8Array, at: number, to: number, hash: number): number {
    if (to > data.length || this.full || this.used + to - at > MAX_BYTES) return -1;
    const value = this.decode(data, at, to);
    if (value === undefined) return -1;
    if (this.used + to - at > this.bytes.length) {
      const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.used + to - at));
      grown.set(this.bytes);
      this.bytes = grown;
    }
    this.bytes.set(data.subarray(at, to), this.used);
    this.used += to - at;
    const code = this.append(value, to - at);
    this.remember(code, hash);
    if (code * 2 > this.slots.length) this.rehash();
    this.end = to;
    return (this.last = code);
  }

  /** A new code for a value; its bytes are the last `length` ones. Without bytes it cannot be found by them. */
  protected append(value: V, length: number): number {
    this.from.push(this.used - length);
    this.to.push(this.used);
    this.json.push(Buffer.from(JSON.stringify(value)));
    return this.values.push(value) - 1;
  }

  protected get full(): boolean { return this.values.length > MAX_CODES; }

  private remember(code: number, hash: number): void {
    let slot = (hash ^ (hash >>> 15)) & this.mask;
    while (this.slots[slot] !== 0) slot = (slot + 1) & this.mask;
    this.slots[slot] = code;
  }

  private rehash(): void {
    this.slots = new Uint16Array(this.slots.length * 4);
    this.mask = this.slots.length - 1;
    for (let code = 1; code < this.values.length; code++) if (this.to[code]! > this.from[code]!) this.remember(code, this.hash(this.bytes, this.from[code]!, this.to[code]!));
  }

  /** FNV-1a of bytes, as the subclasses compute it on the way to the end of a value. */
  private hash(data: Uint8Array, from: number, to: number): number {
    let hash = 0x811c9dc5;
    for (let k = from; k < to; k++) hash = Math.imul(hash ^ data[k]!, 0x01000193);
    return hash;
  }

  /** The value of bytes that were not seen before; undefined for one that is not taken. */
  protected abstract decode(data: Uint8Array, from: number, to: number): V | undefined;
}

/** Texts of up to MAX_TEXT characters without escapes. A text is found by its bytes with the quotes. */
export class TextDictionary extends ByteDictionary<string> {
  /** Codes of texts of one ASCII character. */
  private readonly single = new Uint16Array(128);
  private readonly codes = new Map<string, number>();

  code(data: Uint8Array, at: number): number {
    if (data[at] !== QUOTE) return -1;
    if (data[at + 2] === QUOTE) {
      const code = data[at + 1]! < 128 ? this.single[data[at + 1]!]! : 0;
      if (code !== 0) {
        this.end = at + 3;
        return code;
      }
    }
    const again = this.again(data, at);
    if (again !== 0) return again;
    let hash = Math.imul(0x811c9dc5 ^ QUOTE, 0x01000193);
    const limit = at + 1 + MAX_TEXT_BYTES;
    for (let to = at + 1; to <= limit; to++) {
      const byte = data[to]!;
      // Undefined (the end of the data) fails the comparison too.
      if (!(byte >= 0x20) || byte === BACKSLASH) return -1;
      hash = Math.imul(hash ^ byte, 0x01000193);
      if (byte === QUOTE) {
        const code = this.find(data, at, to + 1, hash);
        if (code > 0 && to - at === 2 && data[at + 1]! < 128) this.single[data[at + 1]!] = code;
        return code;
      }
    }
    return -1;
  }

  protected decode(data: Uint8Array, from: number, to: number): string | undefined {
    let text: string;
    try {
      text = utf8.decode(data.subarray(from + 1, to - 1));
    } catch {
      return undefined;
    }
    return text.length <= MAX_TEXT ? text : undefined;
  }

  /** The code of a text that is valid already; -1 where the dictionary is full. */
  codeOf(text: string | null): number {
    if (text === null) return 0;
    const known = this.codes.get(text);
    if (known !== undefined) return known;
    const bytes = Buffer.from(JSON.stringify(text));
    const scanned = this.code(bytes, 0);
    // Where JSON writes it with escapes it has a code, but no bytes by which it could be found.
    const code = scanned > 0 && this.end === bytes.length ? scanned : this.full ? -1 : this.append(text, 0);
    if (code > 0) this.codes.set(text, code);
    return code;
  }
}

/** Lists of up to MAX_CONDITIONS texts. A list is found by its bytes with the brackets, spaces included. */
export class ListDictionary extends ByteDictionary<readonly string[]> {
  private readonly codes = new Map<string, number>();

  code(data: Uint8Array, at: number): number {
    if (data[at] !== OPEN_LIST) return -1;
    const again = this.again(data, at);
    if (again !== 0) return again;
    let hash = 0x811c9dc5;
    const limit = at + MAX_LIST_BYTES;
    let quoted = false;
    for (let to = at; to < limit; to++) {
      const byte = data[to]!;
      if (!(byte >= 0x20 || (!quoted && (byte === 0x09 || byte === 0x0a || byte === 0x0d))) || byte === BACKSLASH) return -1;
      hash = Math.imul(hash ^ byte, 0x01000193);
      if (byte === QUOTE) quoted = !quoted;
      else if (byte === CLOSE_LIST && !quoted) return this.find(data, at, to + 1, hash);
    }
    return -1;
  }

  protected decode(data: Uint8Array, from: number, to: number): readonly string[] | undefined {
    const list = parseTexts(data, from, to);
    return list && Object.freeze(list);
  }

  /** The code of a list that is valid already; -1 where the dictionary is full. */
  codeOf(list: readonly string[] | null): number {
    if (list === null) return 0;
    const text = JSON.stringify(list);
    const known = this.codes.get(text);
    if (known !== undefined) return known;
    const bytes = Buffer.from(text);
    const scanned = this.code(bytes, 0);
    const code = scanned > 0 && this.end === bytes.length ? scanned : this.full ? -1 : this.append(Object.freeze([...list]), 0);
    if (code > 0) this.codes.set(text, code);
    return code;
  }
}

function parseTexts(data: Uint8Array, from: number, to: number): string[] | undefined {
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(data.subarray(from, to)));
  } catch {
    return undefined;
  }
  if (!Array.isArray(value) || value.length > MAX_CONDITIONS) return undefined;
  return value.every((item): item is string => typeof item === "string" && item.length <= MAX_TEXT) ? value : undefined;
}

