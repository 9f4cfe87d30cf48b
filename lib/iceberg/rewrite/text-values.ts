/**
 * Strings and byte strings out of DuckDB's vectors. A vector holds 16 bytes for each: length, then up to 12 bytes of the value itself, or 4 bytes of it
 * and a pointer. Strings become dictionary codes; short ones without being decoded.
 */
import { TicklakeError } from "../../errors";
import type { ColumnValues } from "../columns/batch";
import { bindings } from "./native";
import { room, type Values } from "./values";

const HEADER = 16;
const INLINE = 12;
/** Dictionary codes have 16 bits. */
const MAX_ENTRIES = 65_535;
/** A larger dictionary does not pay in the file. */
const MAX_DICTIONARY_BYTES = 1 << 20;
/** From this many entries on, more than half of the values being new means: no dictionary. */
const CARDINALITY_CHECK = 4096;

/** Byte strings one behind the other. */
class Strings {
  count = 0;
  private data = new Uint8Array(1024);
  private offsets = new Uint32Array(1024);

  get length(): number { return this.offsets[this.count]!; }

  push(source: Uint8Array, from: number, length: number): void {
    const at = this.length, { count } = this;
    this.data = room(this.data, at + length);
    this.offsets = room(this.offsets, count + 2);
    if (length > 32) this.data.set(source.subarray(from, from + length), at);
    else for (let i = 0; i < length; i++) this.data[at + i] = source[from + i]!;
    this.offsets[count + 1] = at + length;
    this.count = count + 1;
  }

  /** Appends entry `k` of other strings. */
  pushOf(other: Strings, k: number): void { this.push(other.data, other.offsets[k]!, other.offsets[k + 1]! - other.offsets[k]!); }

  equals(k: number, bytes: Uint8Array): boolean {
    const from = this.offsets[k]!;
    if (this.offsets[k + 1]! - from !== bytes.length) return false;
    for (let i = 0; i < bytes.length; i++) if (this.data[from + i] !== bytes[i]) return false;
    return true;
  }

  views(): { data: Uint8Array; offsets: Uint32Array; count: number } {
    return { data: this.data.subarray(0, this.length), offsets: this.offsets.subarray(0, this.count + 1), count: this.count };
  }

  clear(): void { this.count = 0; }
}

/** The bytes of a string that does not stand in its header. */
const longBytes = (data: Uint8Array, at: number, length: number): Uint8Array => bindings().get_data_from_pointer(data.buffer, data.byteOffset + at + 8, length);

/** Plain byte strings; with a length, of exactly that length (fixed). */
export class ByteValues implements Values {
  readonly width = HEADER;
  private readonly strings = new Strings();

  constructor(private readonly fixed?: { readonly length: number; readonly name: string }) {}

  get count(): number { return this.strings.count; }
  get bytes(): number { return this.strings.length + this.count * 4; }

  append(data: Uint8Array, count: number, picks?: Int32Array): void {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    for (let k = 0; k < count; k++) {
      const at = (picks ? picks[k]! : k) * HEADER, length = view.getUint32(at, true);
      if (this.fixed && length !== this.fixed.length) throw new TicklakeError("TABLE_CORRUPT", `Column ${this.fixed.name} holds a value of ${length} bytes; its type is fixed[${this.fixed.length}].`);
      if (length <= INLINE) this.strings.push(data, at + 4, length);
      else this.strings.push(longBytes(data, at, length), 0, length);
    }
  }

  data(): ColumnValues {
    const { data, offsets } = this.strings.views();
    return this.fixed ? { kind: "fixed", data, width: this.fixed.length } : { kind: "bytes", data, offsets };
  }

  clear(): void { this.strings.clear(); }
}

/** Codes of a dictionary, as long as one pays; then plain strings. */
export class TextValues implements Values {
  readonly width = HEADER;
  count = 0;
  private codes = new Uint16Array(1024);
  private readonly dictionary = new Strings();
  /** The header of every entry: of a short string all there is to compare. */
  private headers = new Int32Array(4096);
  private hashes = new Int32Array(1024);
  private table = new Int32Array(2048).fill(-1);
  private plain: Strings | undefined;

  get bytes(): number { return this.plain ? this.plain.length + this.count * 4 : this.count * 2 + this.dictionary.length; }

  append(data: Uint8Array, count: number, picks?: Int32Array): void {
    const words = new Int32Array(data.buffer, data.byteOffset, data.byteLength >>> 2);
    if (!this.plain) this.codes = room(this.codes, this.count + count);
    let last = -1, lastCode = 0;
    for (let k = 0; k < count; k++) {
      const place = picks ? picks[k]! : k, at = place * 4;
      if (!this.plain) {
        const same = last >= 0 && words[last] === words[at] && words[at]! <= INLINE && words[last + 1] === words[at + 1] && words[last + 2] === words[at + 2] && words[last + 3] === words[at + 3];
        const code = same ? lastCode : this.find(data, words, at);
        if (code >= 0) {
          this.codes[this.count++] = lastCode = code;
          last = at;
          continue;
        }
        this.giveUp();
      }
      const length = words[at]!;
      if (length <= INLINE) this.plain!.push(data, at * 4 + 4, length);
      else this.plain!.push(longBytes(data, at * 4, length), 0, length);
      this.count++;
    }
  }

  /** The code of a string, new or old; -1 when a dictionary no longer pays. */
  private find(data: Uint8Array, words: Int32Array, at: number): number {
    const length = words[at]!, { headers } = this;
    const long = length > INLINE ? longBytes(data, at * 4, length) : undefined;
    let hash = Math.imul(length, 0x9e3779b1);
    if (long) for (let i = 0; i < length; i++) hash = Math.imul(hash ^ long[i]!, 0x01000193);
    else hash = Math.imul(Math.imul(Math.imul(hash ^ words[at + 1]!, 0x85ebca6b) ^ words[at + 2]!, 0xc2b2ae35) ^ words[at + 3]!, 0x27d4eb2f);
    const mask = this.table.length - 1;
    let slot = (hash ^ (hash >>> 15)) & mask;
    for (let code = this.table[slot]!; code >= 0; code = this.table[slot]!) {
      const own = code * 4;
      if (headers[own] === length && (long ? this.dictionary.equals(code, long) : headers[own + 1] === words[at + 1] && headers[own + 2] === words[at + 2] && headers[own + 3] === words[at + 3])) return code;
      slot = (slot + 1) & mask;
    }
    const code = this.dictionary.count;
    if (code >= MAX_ENTRIES || this.dictionary.length + length > MAX_DICTIONARY_BYTES || (code >= CARDINALITY_CHECK && code * 2 > this.count)) return -1;
    if (long) this.dictionary.push(long, 0, length);
    else this.dictionary.push(data, at * 4 + 4, length);
    this.headers = room(headers, (code + 1) * 4);
    this.headers.set([length, words[at + 1]!, words[at + 2]!, words[at + 3]!], code * 4);
    this.table[slot] = code;
    this.hashes = room(this.hashes, code + 1);
    this.hashes[code] = hash ^ (hash >>> 15);
    if (code * 2 > this.table.length) this.rehash();
    return code;
  }

  private rehash(): void {
    const table = new Int32Array(this.table.length * 4).fill(-1), mask = table.length - 1;
    for (let code = 0; code < this.dictionary.count; code++) {
      let slot = this.hashes[code]! & mask;
      while (table[slot]! >= 0) slot = (slot + 1) & mask;
      table[slot] = code;
    }
    this.table = table;
  }

  private giveUp(): void {
    const plain = new Strings();
    for (let k = 0; k < this.count; k++) plain.pushOf(this.dictionary, this.codes[k]!);
    this.plain = plain;
  }

  data(): ColumnValues {
    if (this.plain) {
      const { data, offsets } = this.plain.views();
      return { kind: "bytes", data, offsets };
    }
    return { kind: "codes", data: this.codes.subarray(0, this.count), dictionary: this.dictionary.views() };
  }

  clear(): void {
    this.count = 0;
    this.plain = undefined;
    this.dictionary.clear();
    this.table.fill(-1);
  }
}
