/** Builders of string and binary columns. */
import type { LeafColumn } from "../schema";
import type { ByteStrings, ColumnValues } from "./batch";
import type { CodeDictionary } from "./bulk";
import { bytesFrom } from "./convert";
import { allocate, release } from "./memory";
import { growBytes, grownCapacity, INITIAL_CAPACITY, LeafBuilder, type Problem } from "./leaf";

/** Dictionary codes have 16 bits. */
const MAX_ENTRIES = 65_535;
/** A dictionary larger than this (bytes, about) does not pay in the file either. */
const MAX_DICTIONARY_BYTES = 1 << 20;
/** From this many entries on, more than half of the values being new means: no dictionary. */
const CARDINALITY_CHECK = 4096;

/** Codes of another dictionary of `size` values, with room for more. */
function grownCodes(old: Int32Array | undefined, size: number): Int32Array {
  const out = new Int32Array(Math.max(64, size * 2)).fill(-1);
  if (old) out.set(old);
  return out;
}

/** A growing sequence of byte strings. */
class ByteSequence {
  private data = growBytes(undefined, INITIAL_CAPACITY);
  private buffer = Buffer.from(this.data.buffer);
  private offsets = new Uint32Array(allocate((INITIAL_CAPACITY + 1) * 4));

  /** Bytes of the first `count` values. */
  end(count: number): number {
    return this.offsets[count]!;
  }

  private reserve(count: number, length: number): number {
    const position = this.offsets[count]!;
    if (position + length > this.data.length) {
      this.data = growBytes(this.data, position + length);
      this.buffer = Buffer.from(this.data.buffer);
    }
    if (count + 1 >= this.offsets.length) this.growOffsets(count + 2);
    return position;
  }

  private growOffsets(needed: number): void {
    const old = this.offsets;
    this.offsets = new Uint32Array(allocate(grownCapacity(old.length, needed) * 4));
    this.offsets.set(old);
    release(old.buffer);
  }

  /** Puts text (UTF-8; a lone surrogate becomes U+FFFD) behind the first `count` values. */
  pushText(count: number, value: string): void {
    const { length } = value;
    const position = this.reserve(count, length * 3);
    if (length <= 24) {
      const { data } = this;
      let i = 0;
      for (; i < length; i++) {
        const c = value.charCodeAt(i);
        if (c > 127) break;
        data[position + i] = c;
      }
      if (i === length) {
        this.offsets[count + 1] = position + length;
        return;
      }
    }
    this.offsets[count + 1] = position + this.buffer.write(value, position, "utf8");
  }

  pushBytes(count: number, value: Uint8Array): void {
    const position = this.reserve(count, value.length);
    this.data.set(value, position);
    this.offsets[count + 1] = position + value.length;
  }

  views(count: number): ByteStrings {
    return { data: this.data.subarray(0, this.offsets[count]!), offsets: this.offsets.subarray(0, count + 1), count };
  }

  load(data: Uint8Array, offsets: Uint32Array, count: number): void {
    const first = offsets[0] ?? 0;
    const length = (offsets[count] ?? 0) - first;
    this.data = growBytes(undefined, length);
    this.buffer = Buffer.from(this.data.buffer);
    this.data.set(data.subarray(first, first + length));
    this.offsets = new Uint32Array(allocate(grownCapacity(0, count + 1) * 4));
    for (let k = 0; k <= count; k++) this.offsets[k] = offsets[k]! - first;
  }
}

/** Binary columns: Buffer, typed array, or base64 text. */
export class BinaryBuilder extends LeafBuilder {
  private sequence = new ByteSequence();

  override add(value: unknown): boolean {
    const bytes = bytesFrom(value);
    if (bytes === undefined) return this.refuse("bytes (a Buffer or base64 text)", value);
    this.sequence.pushBytes(this.count++, bytes);
    return true;
  }
  override remove(count: number): void {
    this.count = count;
  }
  get values(): ColumnValues {
    const { data, offsets } = this.sequence.views(this.count);
    return { kind: "bytes", data, offsets };
  }
  get bytes(): number {
    return this.count * 4 + this.sequence.end(this.count);
  }
  protected override loadValues(values: ColumnValues, count: number): void {
    if (values.kind === "bytes") this.sequence.load(values.data, values.offsets, count);
  }
  protected override resetValues(): void {
    this.sequence = new ByteSequence();
  }
}

/**
 * String columns. Values become codes of a dictionary as they arrive: the last value and strings of one character are
 * found without hashing. When most values are new, or the dictionary grows too large, the column turns to plain bytes.
 */
export class TextBuilder extends LeafBuilder {
  private codes = new Uint16Array(allocate(INITIAL_CAPACITY * 2));
  private capacity = INITIAL_CAPACITY;
  private dictionary = new Map<string, number>();
  private entries: string[] = [];
  private entryBytes = 0;
  private readonly single = new Int32Array(128).fill(-1);
  private last = "";
  private lastCode = -1;
  /** Set once the dictionary was given up. */
  private plain: ByteSequence | undefined;
  /** Own codes of other dictionaries' codes, -1 where not known yet. */
  private known = new WeakMap<object, Int32Array>();
  /** Changes whenever codes that `codeOf` gave are no longer valid. */
  generation = 0;

  constructor(leaf: LeafColumn, problem: Problem) {
    super(leaf, problem);
  }

  override add(value: unknown): boolean {
    if (typeof value !== "string") return this.refuse("text", value);
    if (this.plain === undefined) {
      let code = this.lastCode;
      if (value !== this.last || code < 0) {
        code = this.find(value);
        if (code < 0) return this.addPlain(value);
        this.last = value;
        this.lastCode = code;
      }
      if (this.count === this.capacity) this.grow();
      this.codes[this.count++] = code;
      return true;
    }
    return this.addPlain(value);
  }

  private addPlain(value: string): boolean {
    this.plain!.pushText(this.count++, value);
    return true;
  }

  /** The first `count` of these codes of another dictionary; 0 is null. */
  addCodes(codes: Uint16Array, dictionary: CodeDictionary<string>, count: number): void {
    for (let k = this.plain ? 0 : this.mapCodes(codes, dictionary, count); k < count; k++) {
      const value = dictionary.values[codes[k]!]!;
      if (value === null) this.addNull();
      else this.addPlain(value);
    }
  }

  /** As long as there is a dictionary: returns the index of the first code that was not taken. */
  private mapCodes(codes: Uint16Array, dictionary: CodeDictionary<string>, count: number): number {
    if (this.count + count > this.capacity) this.grow(this.count + count);
    let known = this.known.get(dictionary);
    if (!known || known.length < dictionary.values.length) this.known.set(dictionary, known = grownCodes(known, dictionary.values.length));
    const own = this.codes;
    let at = this.count;
    for (let k = 0; k < count; k++) {
      const theirs = codes[k]!;
      let code = known[theirs]!;
      if (code < 0) {
        this.count = at;
        if (theirs === 0) {
          this.addNull();
          continue;
        }
        code = this.find(dictionary.values[theirs]!);
        if (code < 0) return k;
        known[theirs] = code;
      }
      own[at++] = code;
    }
    this.count = at;
    return count;
  }

  addRepeated(value: string, count: number): void {
    const code = count > 0 && this.plain === undefined ? this.find(value) : -1;
    if (code < 0) {
      for (let k = 0; k < count; k++) this.addPlain(value);
      return;
    }
    if (this.count + count > this.capacity) this.grow(this.count + count);
    this.codes.fill(code, this.count, this.count + count);
    this.count += count;
  }

  /** The own code of a value; -1 without a dictionary. Valid while `generation` stays the same. */
  codeOf(value: string): number {
    return this.plain === undefined ? this.find(value) : -1;
  }

  /** Appends the values of codes that `codeOf` gave. */
  addOwn(codes: readonly number[]): void {
    if (this.count + codes.length > this.capacity) this.grow(this.count + codes.length);
    for (let k = 0; k < codes.length; k++) this.codes[this.count++] = codes[k]!;
  }

  /** The code of a value, new or old; -1 after the dictionary was given up. */
  private find(value: string): number {
    const character = value.length === 1 ? value.charCodeAt(0) : 128;
    if (character < 128 && this.single[character]! >= 0) return this.single[character]!;
    const known = this.dictionary.get(value);
    if (known !== undefined) return known;
    const code = this.entries.length;
    this.entryBytes += value.length;
    if (code >= MAX_ENTRIES || this.entryBytes > MAX_DICTIONARY_BYTES || (code >= CARDINALITY_CHECK && code * 2 > this.count)) {
      this.giveUpDictionary();
      return -1;
    }
    this.dictionary.set(value, code);
    this.entries.push(value);
    if (character < 128) this.single[character] = code;
    return code;
  }

  private giveUpDictionary(): void {
    const plain = new ByteSequence();
    const entries = this.encodeEntries();
    for (let k = 0; k < this.count; k++) {
      const code = this.codes[k]!;
      plain.pushBytes(k, entries.data.subarray(entries.offsets[code]!, entries.offsets[code + 1]!));
    }
    this.plain = plain;
    this.forgetDictionary();
    this.capacity = 0;
    this.codes = new Uint16Array(allocate(0));
  }

  private forgetDictionary(): void {
    this.known = new WeakMap();
    this.generation++;
    this.dictionary = new Map();
    this.entries = [];
    this.entryBytes = 0;
    this.single.fill(-1);
    this.lastCode = -1;
    this.last = "";
  }

  private encodeEntries(): ByteStrings {
    const sequence = new ByteSequence();
    this.entries.forEach((entry, k) => sequence.pushText(k, entry));
    return sequence.views(this.entries.length);
  }

  private grow(needed = 0): void {
    const old = this.codes;
    this.capacity = grownCapacity(this.capacity, needed);
    this.codes = new Uint16Array(allocate(this.capacity * 2));
    this.codes.set(old);
    release(old.buffer);
  }

  override remove(count: number): void {
    this.count = count;
  }

  get values(): ColumnValues {
    if (this.plain) {
      const { data, offsets } = this.plain.views(this.count);
      return { kind: "bytes", data, offsets };
    }
    return { kind: "codes", data: this.codes.subarray(0, this.count), dictionary: this.encodeEntries() };
  }

  get bytes(): number {
    return this.plain ? this.count * 4 + this.plain.end(this.count) : this.count * 2 + this.entryBytes * 2;
  }

  protected override loadValues(values: ColumnValues, count: number): void {
    if (values.kind === "bytes") {
      this.plain = new ByteSequence();
      this.plain.load(values.data, values.offsets, count);
      return;
    }
    if (values.kind !== "codes") return;
    this.known = new WeakMap();
    this.generation++;
    // Only what the remaining rows use stays in the dictionary: it would grow with every partial take otherwise.
    const { data, offsets } = values.dictionary;
    const renamed = new Int32Array(values.dictionary.count).fill(-1);
    if (count > this.capacity) this.grow(count);
    for (let k = 0; k < count; k++) {
      const old = values.data[k]!;
      if (renamed[old]! < 0) {
        const entry = Buffer.from(data.subarray(offsets[old]!, offsets[old + 1]!)).toString("utf8");
        const known = this.dictionary.get(entry);
        renamed[old] = known ?? this.entries.length;
        if (known === undefined) {
          this.dictionary.set(entry, this.entries.length);
          this.entries.push(entry);
          this.entryBytes += entry.length;
        }
      }
      this.codes[k] = renamed[old]!;
    }
  }

  protected override resetValues(): void {
    this.plain = undefined;
    this.capacity = this.initialCapacity();
    this.codes = new Uint16Array(allocate(this.capacity * 2));
    this.forgetDictionary();
  }
}
