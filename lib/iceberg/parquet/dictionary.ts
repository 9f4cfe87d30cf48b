/** Dictionaries of numeric columns and of text codes, for one column chunk. */
import type { ColumnData } from "../columns/batch";
import { plainLength } from "./plain";

/** Codes of 16 bits, as in text columns. */
const MAX_ENTRIES = 65_535;
const MAX_DICTIONARY_BYTES = 1 << 20;
/** First number of values after which half of them being distinct means: no dictionary. */
const FIRST_CHECK = 1024;

/** A column chunk's values as codes into a dictionary, which is a small column of its own. */
export interface Encoded { readonly codes: Uint16Array; readonly dictionary: ColumnData }

/** A dictionary for the values of a chunk, or undefined where plain values are as good. */
export function buildDictionary(column: ColumnData): Encoded | undefined {
  const { values, count } = column;
  if (count === 0) return undefined;
  let encoded: Encoded | undefined;
  switch (values.kind) {
    case "codes":
      encoded = compactCodes(values.data, values.dictionary, count);
      break;
    case "int32": {
      const found = hashWords(values.data, count, 1);
      encoded = found && { codes: found.codes, dictionary: numbers({ kind: "int32", data: found.words }, found.size) };
      break;
    }
    case "float": {
      const found = hashWords(new Int32Array(values.data.buffer, values.data.byteOffset, values.data.length), count, 1);
      encoded = found && { codes: found.codes, dictionary: numbers({ kind: "float", data: new Float32Array(found.words.buffer, 0, found.size) }, found.size) };
      break;
    }
    case "int64": {
      const found = hashWords(values.data, count, 2);
      encoded = found && { codes: found.codes, dictionary: numbers({ kind: "int64", data: found.words }, found.size) };
      break;
    }
    case "double": {
      const found = hashWords(new Int32Array(values.data.buffer, values.data.byteOffset, values.data.length * 2), count, 2);
      encoded = found && { codes: found.codes, dictionary: numbers({ kind: "double", data: new Float64Array(found.words.buffer, 0, found.size) }, found.size) };
      break;
    }
    default:
      return undefined;
  }
  return encoded && pays(column, encoded) ? encoded : undefined;
}

const numbers = (values: ColumnData["values"], count: number): ColumnData => ({ count, slots: count, values });

/** Dictionary and codes against plain values, before compression. */
function pays(column: ColumnData, { codes, dictionary }: Encoded): boolean {
  const dictionaryBytes = plainLength(dictionary, 0, dictionary.count);
  const bits = Math.max(1, 32 - Math.clz32(dictionary.count - 1));
  return dictionaryBytes <= MAX_DICTIONARY_BYTES && dictionaryBytes + (codes.length * bits) / 8 < plainLength(column, 0, column.count);
}

/** Only the entries that this chunk uses, in order of appearance. */
function compactCodes(data: Uint16Array, dictionary: { data: Uint8Array; offsets: Uint32Array; count: number }, count: number): Encoded {
  const renamed = new Int32Array(dictionary.count).fill(-1);
  const used: number[] = [];
  const codes = new Uint16Array(count);
  let bytes = 0;
  for (let k = 0; k < count; k++) {
    const old = data[k]!;
    let code = renamed[old]!;
    if (code < 0) {
      code = renamed[old] = used.length;
      used.push(old);
      bytes += dictionary.offsets[old + 1]! - dictionary.offsets[old]!;
    }
    codes[k] = code;
  }
  const [out, offsets] = [new Uint8Array(bytes), new Uint32Array(used.length + 1)];
  used.forEach((old, code) => {
    const entry = dictionary.data.subarray(dictionary.offsets[old]!, dictionary.offsets[old + 1]!);
    out.set(entry, offsets[code]!);
    offsets[code + 1] = offsets[code]! + entry.length;
  });
  return { codes, dictionary: { count: used.length, slots: used.length, values: { kind: "bytes", data: out, offsets } } };
}

/** Distinct values of one or two 32-bit words each, by open addressing; undefined once there are too many. */
function hashWords(data: Int32Array, count: number, unit: 1 | 2): { codes: Uint16Array; words: Int32Array; size: number } | undefined {
  let capacity = 1024;
  let mask = capacity - 1;
  let table = new Int32Array(capacity).fill(-1);
  let words = new Int32Array(512 * unit);
  const codes = new Uint16Array(count);
  let [size, nextCheck] = [0, FIRST_CHECK];
  let [lastLow, lastHigh, lastCode] = [0, 0, -1];
  for (let k = 0; k < count; k++) {
    const low = data[k * unit]!;
    const high = unit === 2 ? data[k * 2 + 1]! : 0;
    if (low === lastLow && high === lastHigh && lastCode >= 0) {
      codes[k] = lastCode;
      continue;
    }
    let slot = hash(low, high) & mask;
    let code = table[slot]!;
    while (code >= 0 && (words[code * unit] !== low || (unit === 2 && words[code * 2 + 1] !== high))) {
      slot = (slot + 1) & mask;
      code = table[slot]!;
    }
    if (code < 0) {
      if (k >= nextCheck) {
        if (size * 2 > k) return undefined;
        nextCheck = k * 2;
      }
      if (size === MAX_ENTRIES) return undefined;
      if (size * 2 === capacity) {
        capacity *= 2;
        mask = capacity - 1;
        const grown = new Int32Array(size * 2 * unit);
        grown.set(words);
        words = grown;
        table = new Int32Array(capacity).fill(-1);
        for (let c = 0; c < size; c++) {
          let s = hash(words[c * unit]!, unit === 2 ? words[c * 2 + 1]! : 0) & mask;
          while (table[s]! >= 0) s = (s + 1) & mask;
          table[s] = c;
        }
        slot = hash(low, high) & mask;
        while (table[slot]! >= 0) slot = (slot + 1) & mask;
      }
      code = size++;
      table[slot] = code;
      words[code * unit] = low;
      if (unit === 2) words[code * 2 + 1] = high;
    }
    codes[k] = code;
    [lastLow, lastHigh, lastCode] = [low, high, code];
  }
  return { codes, words: words.subarray(0, size * unit), size };
}

function hash(low: number, high: number): number {
  const mixed = Math.imul(low, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}

