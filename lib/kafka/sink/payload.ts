/**
 * From what stands in a message to records. Pure.
 */
import { asTicklakeError, TicklakeError } from "../../errors";
import { jsonArray, tradeJsonWriter } from "../../trades/columnar/json";
import { LazyRawTrades, LazyTrades } from "../../trades/columnar/lazy-trades";
import { parseJson } from "../../trades/explode-json";
import { lazyPayload } from "../../trades/lazy";
import type { Header } from "../types";
import { ListElements, WrittenElements, type Elements } from "./elements";
import { jsonOf, splitJsonArray } from "./json";
import type { KafkaSinkOptions } from "./options";
import type { KeyCache } from "./partitioner";

/** A record as kafka-in gives it (and function nodes make it). */
interface RecordLike { key?: unknown; value?: unknown; headers?: unknown; timestamp?: unknown; deadLetter?: unknown }

const RECORD_FIELDS: ReadonlySet<string> = new Set(["key", "value", "headers", "offset", "timestamp", "partition", "topic", "reason", "attempts", "deadLetter"]);

/**
 * The records of a message.
 *
 * @param message `payload`: a list, one object, text or bytes; `deadLetter`: facts that go along as headers
 * @throws TicklakeError RECORD_INVALID naming the element
 */
export function elementsOf(message: { payload?: unknown; deadLetter?: unknown }, options: Pick<KafkaSinkOptions, "send" | "batchSize" | "key">, keys: KeyCache): Elements {
  const lazy = lazyPayload(message);
  if (lazy instanceof LazyTrades || lazy instanceof LazyRawTrades) {
    const elements = lazyElements(lazy, options, keys);
    if (elements) return elements;
  }
  const { payload, deadLetter } = message;
  if (payload === null || payload === undefined) throw new TicklakeError("RECORD_INVALID", `msg.payload is ${payload === null ? "null" : "missing"}. Send a list, an object, or text. A tombstone is {key: ..., value: null}.`);
  return options.send === "batch" ? batches(payload, options.batchSize) : each(payload, options.key, keys, deadLetter);
}

function lazyElements(lazy: LazyTrades | LazyRawTrades, { send, batchSize, key }: Pick<KafkaSinkOptions, "send" | "batchSize" | "key">, keys: KeyCache): Elements | undefined {
  const writer = tradeJsonWriter(lazy);
  if (send === "batch") {
    const step = batchSize === 0 ? lazy.length : batchSize;
    const values: Uint8Array[] = [];
    for (let from = 0; from < lazy.length; from += step) values.push(jsonArray(writer, from, Math.min(lazy.length, from + step)));
    return new ListElements({ values });
  }
  if (key === "") return new WrittenElements(writer, undefined, keys, lazy.bytes);
  const by = writer.keysBy(key);
  return by && new WrittenElements(writer, by, keys, lazy.bytes);
}

// ---- each: one record per element ------------------------------------------------------------------------------

function each(payload: unknown, key: string, keys: KeyCache, deadLetter: unknown): Elements {
  const text = jsonText(payload);
  if (text !== undefined) {
    const parsed = parsedArray(text);
    if (parsed) return new ListElements({ values: splitJsonArray(text)!, ...(key === "" ? {} : { keys: parsed.map((element) => keyOf(property(element, key), keys)) }) });
  }
  const list: readonly unknown[] = Array.isArray(payload) ? payload : [payload];
  const lists = new Lists(list.length);
  for (let k = 0; k < list.length; k++) {
    try {
      addElement(lists, k, list[k], key, keys, deadLetter);
    } catch (caught) {
      const error = asTicklakeError(caught, "RECORD_INVALID");
      throw new TicklakeError(error.code, `${list.length > 1 ? `Element ${k}` : "msg.payload"} ${error.message}`, { cause: caught, details: { index: k } });
    }
  }
  return new ListElements(lists);
}

class Lists {
  readonly values: (string | Uint8Array | null)[];
  keys?: (Uint8Array | null)[];
  headers?: (readonly Header[] | undefined)[];
  times?: (number | undefined)[];
  constructor(count: number) { this.values = new Array<string | null>(count).fill(null); }
}

function addElement(lists: Lists, k: number, element: unknown, key: string, keys: KeyCache, deadLetter: unknown): void {
  if (!isRecord(element)) {
    lists.values[k] = valueOf(element);
    if (key !== "") setKey(lists, k, keyOf(property(element, key), keys));
    return;
  }
  const { value, timestamp } = element;
  lists.values[k] = value === null || value === undefined ? null : valueOf(value);
  const named = key === "" ? undefined : property(value, key);
  setKey(lists, k, keyOf(named ?? element.key, keys));
  const headers = [...headersOf(element.headers), ...deadLetterHeaders(element.deadLetter ?? deadLetter)];
  if (headers.length > 0) (lists.headers ??= new Array<undefined>(lists.values.length).fill(undefined))[k] = headers;
  const time = timestamp === null || timestamp === undefined || timestamp === "" ? NaN : Number(timestamp);
  if (time >= 0 && time <= 8.64e15) (lists.times ??= new Array<undefined>(lists.values.length).fill(undefined))[k] = time;
}

function setKey(lists: Lists, k: number, key: Uint8Array | null): void {
  if (key === null && !lists.keys) return;
  (lists.keys ??= new Array<null>(lists.values.length).fill(null))[k] = key;
}

/** Nothing but fields of a record, its value among them, and something besides the value. */
function isRecord(element: unknown): element is RecordLike {
  if (typeof element !== "object" || element === null || !Object.hasOwn(element, "value")) return false;
  if (!Object.hasOwn(element, "key") && !Object.hasOwn(element, "headers") && !Object.hasOwn(element, "offset")) return false;
  for (const field in element) if (!RECORD_FIELDS.has(field)) return false;
  return true;
}

function isBytes(value: unknown): value is Uint8Array { return value instanceof Uint8Array; }

function valueOf(value: unknown): string | Uint8Array {
  return typeof value === "string" || isBytes(value) ? value : jsonOf(value);
}

/** A property of an element, also of one that is an object's JSON. */
function property(element: unknown, name: string): unknown {
  if (typeof element === "string" || isBytes(element)) return property(parsedObject(element), name);
  return typeof element === "object" && element !== null && Object.hasOwn(element, name) ? (element as Record<string, unknown>)[name] : undefined;
}

function keyOf(value: unknown, keys: KeyCache): Uint8Array | null {
  if (value === null || value === undefined) return null;
  if (isBytes(value)) return value;
  return keys.bytesOf(typeof value === "object" ? jsonOf(value) : String(value as string | number));
}

function headersOf(headers: unknown): Header[] {
  if (typeof headers !== "object" || headers === null) return [];
  return Object.entries(headers).flatMap(([name, value]: [string, unknown]) => (Array.isArray(value) ? value : [value]).map((one: unknown) => ({ name, value: headerValue(one) })));
}

function headerValue(value: unknown): Uint8Array | null {
  if (value === null || value === undefined) return null;
  if (isBytes(value)) return value;
  return Buffer.from(typeof value === "string" ? value : jsonOf(value));
}

/** `{reason, topic, partition, offset, attempts}` of a dead letter, for whoever finds it in its topic. */
function deadLetterHeaders(facts: unknown): Header[] {
  if (typeof facts !== "object" || facts === null || Array.isArray(facts)) return [];
  return Object.entries(facts)
    .filter(([, value]) => value !== undefined && value !== null && typeof value !== "function")
    .map(([name, value]: [string, unknown]) => ({ name: `ticklake.${name}`, value: headerValue(value) }));
}

// ---- batch: JSON arrays ----------------------------------------------------------------------------------------

function batches(payload: unknown, batchSize: number): Elements {
  const text = jsonText(payload);
  if (typeof payload === "string" || isBytes(payload)) {
    const parsed = text === undefined ? undefined : parsedArray(text);
    if (text !== undefined && parsed) return arraysOf(() => splitJsonArray(text)!, parsed.length, batchSize, () => text);
    const one = typeof payload === "string" ? payload : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString();
    try {
      JSON.parse(one);
    } catch (cause) {
      throw new TicklakeError("RECORD_INVALID", `msg.payload is text, but not JSON: ${(cause as Error).message}. With "the payload as one array" it must be; "a message per element" sends any text.`, { cause });
    }
    return new ListElements({ values: [`[${one.trim()}]`] });
  }
  const list: readonly unknown[] = (Array.isArray(payload) ? payload : [payload]).map(plainValue);
  return arraysOf(() => list.map(indexed), list.length, batchSize, () => jsonArrayOf(list));
}

/** Lists of at most `batchSize` elements; `whole` where one list takes all. */
function arraysOf(texts: () => readonly string[], count: number, batchSize: number, whole: () => string): Elements {
  if (count === 0) return new ListElements({ values: [] });
  if (batchSize === 0 || count <= batchSize) return new ListElements({ values: [whole()] });
  const elements = texts();
  const values: string[] = [];
  for (let from = 0; from < elements.length; from += batchSize) values.push(`[${elements.slice(from, from + batchSize).join(",")}]`);
  return new ListElements({ values });
}

/** What stands in an array for an element: of a record its value. */
function plainValue(element: unknown, k: number): unknown {
  const value = isRecord(element) ? element.value : element;
  if (isBytes(value)) throw new TicklakeError("RECORD_INVALID", `Element ${k} is bytes, which cannot stand in a JSON array. Send a message per element.`, { details: { index: k } });
  return value;
}

function jsonArrayOf(list: readonly unknown[]): string {
  try {
    return jsonOf(list);
  } catch {
    // Again one by one, to say which.
    list.forEach(indexed);
    return jsonOf(list);
  }
}

function indexed(element: unknown, k: number): string {
  try {
    return jsonOf(element);
  } catch (caught) {
    throw new TicklakeError("RECORD_INVALID", `Element ${k} ${(caught as Error).message}`, { cause: caught, details: { index: k } });
  }
}

// ---- text ------------------------------------------------------------------------------------------------------

/** The first byte that is no white space. */
function firstByte(bytes: Uint8Array): number | undefined {
  let at = 0;
  while (at < bytes.length && (bytes[at] === 0x20 || (bytes[at]! >= 0x09 && bytes[at]! <= 0x0d))) at++;
  return bytes[at];
}

/** Text that could be a JSON array. */
function jsonText(payload: unknown): string | undefined {
  if (typeof payload === "string") return /^\uFEFF?\s*\[/.test(payload) ? payload : undefined;
  if (!isBytes(payload)) return undefined;
  return firstByte(payload) === 0x5b ? Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString() : undefined;
}

/** The object that a text stands for; undefined when it is none. */
function parsedObject(text: string | Uint8Array): object | undefined {
  if (typeof text === "string" ? !/^\uFEFF?\s*\{/.test(text) : firstByte(text) !== 0x7b) return undefined;
  try {
    return parseJson(typeof text === "string" ? text : Buffer.from(text.buffer, text.byteOffset, text.byteLength).toString()) as object;
  } catch {
    return undefined;
  }
}

function parsedArray(text: string): unknown[] | undefined {
  try {
    const value = parseJson(text);
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
