/**
 * Bytes of Kafka records to what flows see. Undecodable records are told apart here and nowhere else, so that one of them
 * never costs its neighbours.
 */
import { isUtf8 } from "node:buffer";
import { isDeeper, parseJson } from "../../trades/explode-json";
import { LazyRecords } from "../../trades/columnar/lazy-records";
import { TradeScanner } from "../../trades/columnar/scanner";
import type { LazyPayload } from "../../trades/lazy";
import type { RecordSet } from "../types";

/** `json`: parsed, whole numbers beyond 2^53 as decimal text. `string`: UTF-8 text. `buffer`: the bytes. */
export type ValueFormat = "json" | "string" | "buffer";

export type HeaderValue = string | Buffer | null;

/** What travels in `msg.payload` of kafka-in, one per Kafka record. */
export interface KafkaRecord {
  /** Text; a Buffer in format `buffer`, and where a key is no UTF-8. */
  readonly key: string | Buffer | null;
  /** Null for a tombstone. */
  readonly value: unknown;
  /** Empty without headers. Several of one name are a list. Text; a Buffer in format `buffer`, and where a value is no UTF-8. */
  readonly headers: Record<string, HeaderValue | HeaderValue[]>;
  /** A number; decimal text beyond 2^53. */
  readonly offset: number | string;
  /** Unix ms. */
  readonly timestamp: number;
}

/** A record that cannot be decoded. */
export interface Undecodable {
  /** Where it stands: set and index in it. */
  readonly set: RecordSet;
  readonly index: number;
  readonly reason: string;
}

export interface DecodedBatch {
  /** Those that could be decoded, in order: objects, or what becomes objects when somebody reads the payload. */
  readonly records: KafkaRecord[] | LazyPayload;
  readonly rejects: readonly Undecodable[];
}

/** Deeper nesting is refused: what walks values by recursion (cloning, for one) would overflow. explode-trades has the same bound. */
export const MAX_DEPTH = 100;

/** One for the process, so that the texts of trades are the same ones in all batches. Nothing else of a batch stays in it. */
const scanner = new TradeScanner();

/**
 * Decodes the records of a batch: sets (or slices of sets) of one partition in order. Trades in JSON are read from their bytes into columns, and become
 * objects when somebody reads the payload; as long as nobody does, the bytes of the sets stay in memory.
 */
export function decodeBatch(sets: readonly RecordSet[], format: ValueFormat): DecodedBatch {
  return format === "json" ? decodeJson(sets) : decodeEagerly(sets, format);
}

function decodeJson(sets: readonly RecordSet[]): DecodedBatch {
  const total = sets.reduce((sum, set) => sum + set.count, 0);
  const starts = new Int32Array(total + 1), forms = new Uint8Array(total);
  /** Of every record that is kept: its number, counted through all sets. */
  const numbers = new Int32Array(total);
  const parsed = new Map<number, unknown>();
  const rejects: Undecodable[] = [];
  let k = 0, number = 0;
  scanner.begin();
  for (const set of sets) {
    const { data, valueStart, valueEnd } = set;
    for (let index = 0; index < set.count; index++, number++) {
      const form = valueStart[index]! < 0 ? -1 : scanner.scan(data, valueStart[index]!, valueEnd[index]!);
      if (form < 0) {
        const value = decodeValue(set, index, "json");
        if (value instanceof Refusal) {
          rejects.push({ set, index, reason: value.reason });
          continue;
        }
        parsed.set(k, value);
      } else forms[k] = form;
      numbers[k++] = number;
      starts[k] = scanner.columns.count;
    }
  }
  const place = (at: number): { set: RecordSet; index: number } => {
    let index = numbers[at]!, next = 0;
    while (index >= sets[next]!.count) index -= sets[next++]!.count;
    return { set: sets[next]!, index };
  };
  const record = (at: number): KafkaRecord => {
    const { set, index } = place(at);
    // What was parsed is given away once: two messages must not share an object.
    const value = parsed.has(at) ? parsed.get(at) : decodeValue(set, index, "json");
    parsed.delete(at);
    return recordOf(set, index, value, "json");
  };
  if (parsed.size === k) return { records: Array.from({ length: k }, (_, at) => record(at)), rejects };
  return {
    records: new LazyRecords(scanner.columns.seal(), starts.subarray(0, k + 1), forms.subarray(0, k), {
      record, offset: (at) => { const { set, index } = place(at); return String(set.offset(index)); },
    }),
    rejects,
  };
}

function decodeEagerly(sets: readonly RecordSet[], format: ValueFormat): DecodedBatch {
  const records: KafkaRecord[] = [];
  const rejects: Undecodable[] = [];
  for (const set of sets) {
    for (let index = 0; index < set.count; index++) {
      const value = decodeValue(set, index, format);
      if (value instanceof Refusal) rejects.push({ set, index, reason: value.reason });
      else records.push(recordOf(set, index, value, format));
    }
  }
  return { records, rejects };
}

/** Why a value is refused. */
export class Refusal { constructor(readonly reason: string) {} }

/** The value of one record: null for a tombstone, a Refusal when it cannot be decoded. */
export function decodeValue(set: RecordSet, index: number, format: ValueFormat): unknown {
  const start = set.valueStart[index]!, end = set.valueEnd[index]!;
  if (start < 0) return null;
  // A view would pin the whole response of the broker for as long as the flow keeps this record.
  if (format === "buffer") return Buffer.from(set.data.subarray(start, end));
  const bytes = set.data.subarray(start, end);
  if (!isUtf8(bytes)) return new Refusal("The value is not UTF-8 text.");
  const text = bytes.toString("utf8");
  if (format === "string") return text;
  try {
    const value = parseJson(text);
    if (mayBeDeeper(bytes) && isDeeper(value, MAX_DEPTH)) return new Refusal(`The value is nested more than ${MAX_DEPTH} levels deep.`);
    return value;
  } catch (error) {
    return new Refusal(text.length === 0 ? "The value is empty, which is not JSON." : `The value is not JSON: ${(error as Error).message}.`);
  }
}

/** A record as flows see it, with a decoded value. */
export function recordOf(set: RecordSet, index: number, value: unknown, format: ValueFormat): KafkaRecord {
  return {
    key: textOf(set.key(index), format), value, headers: headersOf(set, index, format), offset: plainOffset(set.offset(index)), timestamp: set.timestamps[index]!,
  };
}

/** A record that could not be delivered or decoded: its value as text where it is UTF-8, else its bytes. */
export function rawRecord(set: RecordSet, index: number, format: ValueFormat): KafkaRecord {
  return recordOf(set, index, textOf(set.value(index), format), format);
}

/** Bytes of key, value and headers of a record, as they stand in the log. */
export function recordBytes(set: RecordSet, index: number): number {
  const key = set.keyStart[index]! < 0 ? 0 : set.keyEnd[index]! - set.keyStart[index]!;
  const value = set.valueStart[index]! < 0 ? 0 : set.valueEnd[index]! - set.valueStart[index]!;
  return key + value;
}

/** Offsets in messages: a number where that is exact, else decimal text. */
export function plainOffset(offset: bigint): number | string {
  return offset <= Number.MAX_SAFE_INTEGER && offset >= Number.MIN_SAFE_INTEGER ? Number(offset) : String(offset);
}

function textOf(bytes: Buffer | null, format: ValueFormat): string | Buffer | null {
  if (bytes === null) return null;
  return format !== "buffer" && isUtf8(bytes) ? bytes.toString("utf8") : Buffer.from(bytes);
}

function headersOf(set: RecordSet, index: number, format: ValueFormat): KafkaRecord["headers"] {
  const raw = set.headers(index);
  const headers: KafkaRecord["headers"] = {};
  if (!raw) return headers;
  for (const [name, value] of Object.entries(raw)) {
    const text = Array.isArray(value) ? value.map((one) => textOf(one, format)) : textOf(value, format);
    // A header may be called __proto__: assigning to that would change what the object is.
    if (name === "__proto__") Object.defineProperty(headers, name, { value: text, enumerable: true, configurable: true, writable: true });
    else headers[name] = text;
  }
  return headers;
}

/** Counts brackets without regard to strings: an upper bound of the depth at a twelfth of the cost of parsing. */
function mayBeDeeper(bytes: Buffer): boolean {
  if (bytes.length <= 2 * MAX_DEPTH) return false;
  let depth = 0;
  for (const byte of bytes) {
    // { is 0x7b, [ is 0x5b; } and ] are two above: bit 5 apart.
    const folded = byte | 0x20;
    if (folded === 0x7b) { if (++depth > MAX_DEPTH) return true; } else if (folded === 0x7d) depth--;
  }
  return false;
}
