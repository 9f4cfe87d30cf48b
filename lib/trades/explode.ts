import { decodeUtf8, isDeeper, parseJson } from "./explode-json";
import { scanTrades } from "./explode-scan";
import type { DedupeWindow, Origin } from "./explode-dedupe";
import { MAX_CONDITIONS, MAX_ID, MAX_TEXT, MAX_TIME_MS, shown, tradeIssue } from "./schema";
import { parseRfc3339Ms } from "./time";
import type { ReadableTrade, Trade, TradeId, TradeNames } from "./types";

/** Where a rejected value stood. */
export interface RejectSource {
  /** Kafka topic, else `msg.topic`. */
  topic?: string;
  partition?: number;
  /** Of the Kafka record, as decimal text. */
  offset?: string;
  key?: unknown;
  /** Position in the payload, from 0. */
  index: number;
  /** Position in the record's own list, from 0. */
  element?: number;
}

/** A value that is no trade, with the reason in words. */
export interface Reject {
  reason: string;
  /** As it came; the text itself where it is no JSON. */
  value: unknown;
  source: RejectSource;
}

export interface ExplodeOptions {
  /** Names of the columns. */
  readonly names: TradeNames;
  /** What happens to messages of the feed that are no trades (quotes, bars, corrections ...). */
  readonly other: "reject" | "pass";
  readonly dedupe?: DedupeWindow;
}

/** What is known of a message besides its payload. */
export interface ExplodeContext {
  readonly topic?: string;
  /** Set for batches from Kafka. */
  readonly partition?: number;
  /** From `DedupeWindow.open`; needed when there is a window. */
  readonly origin?: Origin;
}

export interface Exploded {
  /** Flattened trades in the order of the input (and, with `other: "pass"`, the other messages among them). */
  readonly trades: (Trade | ReadableTrade | object)[];
  readonly rejects: Reject[];
  /** Trades left out because they passed before. */
  readonly duplicates: number;
}

/** Lists, records and texts may be packed into one another this deep. */
const MAX_PACKING = 8;
/** A rejected value deeper than this cannot be cloned safely on its way. */
const MAX_DEPTH = 100;
/** Session messages of Alpaca's stream: never data. */
const SESSION = new Set(["success", "error", "subscription"]);

/**
 * Flattens whatever a message may hold: batches of Kafka records, lists of trades, one trade, JSON text or bytes of
 * these. Never throws for bad input: what is no trade is rejected alone, with a reason. Pure but for the window.
 */
export function explode(payload: unknown, options: ExplodeOptions, context: ExplodeContext = {}): Exploded {
  const run = new ExplodeRun(options, context);
  if (Array.isArray(payload)) {
    for (let k = 0; k < payload.length; k++) run.top(payload[k], k);
  } else {
    run.top(payload, 0);
  }
  return run;
}

/** One message being flattened, element by element. */
export class ExplodeRun implements Exploded {
  readonly trades: (Trade | ReadableTrade | object)[] = [];
  readonly rejects: Reject[] = [];
  duplicates = 0;

  private readonly readable: boolean;
  private index = 0;
  private offset: string | undefined;
  private key: unknown;
  /** Position within the record (or the text, or the inner list) at `index`; -1 outside of one. */
  private ordinal = -1;

  constructor(private readonly options: ExplodeOptions, private readonly context: ExplodeContext) {
    this.readable = options.names === "readable";
  }

  /** One element of the payload. */
  top(value: unknown, index: number): void {
    this.index = index;
    this.offset = undefined;
    this.key = undefined;
    this.ordinal = -1;
    if (isObject(value) && (value as { T?: unknown }).T === "t") this.trade(value as Record<string, unknown>, undefined);
    else this.unpack(value, 0, undefined);
  }

  /** `text` is the JSON text that the value was read from, if any. */
  private unpack(value: unknown, depth: number, text: string | undefined): void {
    if (value === null || value === undefined) {
      this.reject(this.offset !== undefined && depth === 1 ? "the record has no value (a tombstone)" : `the value is ${value === null ? "null" : "missing"}`, value, text);
    } else if (depth > MAX_PACKING) {
      this.reject(`packed more than ${MAX_PACKING} levels deep`, value, text);
    } else if (typeof value === "string") {
      this.json(value, depth);
    } else if (value instanceof Uint8Array) {
      this.bytes(value, depth);
    } else if (Array.isArray(value)) {
      if (this.ordinal < 0) this.ordinal = 0;
      for (const item of value) this.unpack(item, depth + 1, text);
      return;
    } else if (typeof value === "object") {
      this.object(value as Record<string, unknown>, depth, text);
    } else {
      this.reject(`a ${typeof value} is no trade`, value, text);
    }
  }

  private object(value: Record<string, unknown>, depth: number, text: string | undefined): void {
    const type = value.T;
    if (type === "t") {
      this.trade(value, text);
    } else if (type === undefined && "value" in value) {
      if (this.offset === undefined && value.offset != null) this.offset = String(value.offset as string);
      if (value.key != null) this.key = value.key;
      this.unpack(value.value, depth + 1, text);
    } else if (typeof type !== "string") {
      this.reject(`T must be "t" (T is ${shown(type)})`, value, text);
    } else {
      this.otherMessage(value, type, text);
    }
  }

  private otherMessage(value: Record<string, unknown>, type: string, text: string | undefined): void {
    if (SESSION.has(type)) {
      const said = [value.code, value.msg].filter((v) => typeof v === "string" || typeof v === "number").join(" ");
      this.reject(`a session message, no trade: ${type}${said ? ` ${said}` : ""}`, value, text);
    } else if (this.options.other === "reject") {
      this.reject(`no trade: T is ${shown(type)}`, value, text);
    } else if (isDeeper(value, MAX_DEPTH)) {
      this.reject(`nested more than ${MAX_DEPTH} levels deep`, value, text);
    } else {
      this.trades.push(value);
      this.next();
    }
  }

  private json(json: string, depth: number): void {
    const quick = scanTrades(json);
    if (quick) {
      this.scanned(quick, json);
      return;
    }
    let value: unknown;
    try {
      value = parseJson(json);
    } catch (error) {
      this.reject(json.trim() === "" ? "the text is empty" : `not JSON: ${(error as Error).message}`, json, json);
      return;
    }
    this.unpack(value, depth + 1, json);
  }

  /** Trades that need no more checks. */
  private scanned(trades: Trade[], json: string): void {
    const { dedupe } = this.options;
    if (!dedupe && !this.readable) {
      for (const trade of trades) this.trades.push(trade);
      if (this.ordinal >= 0) this.ordinal += trades.length;
      return;
    }
    if (this.ordinal < 0 && json.trimStart()[0] === "[") this.ordinal = 0;
    for (const trade of trades) this.accept(trade.S, trade.i, trade.x, trade.p, trade.s, trade.timestamp, trade.c, trade.z);
  }

  private bytes(bytes: Uint8Array, depth: number): void {
    let text: string;
    try {
      text = decodeUtf8(bytes);
    } catch (error) {
      this.reject((error as Error).message, bytes, undefined);
      return;
    }
    this.json(text, depth);
  }

  private trade(raw: Record<string, unknown>, text: string | undefined): void {
    const i = tradeId(raw.i);
    // What was flattened before stays as it is.
    const time = raw.t === undefined ? raw.timestamp : raw.t;
    const timestamp = typeof time === "number" ? time : typeof time === "string" ? parseRfc3339Ms(time) ?? -1 : -1;
    const { S, p, s } = raw;
    const x = raw.x ?? null, c = raw.c ?? null, z = raw.z ?? null;
    if (
      i === undefined
      || typeof S !== "string" || S.length === 0 || S.length > MAX_TEXT
      || typeof p !== "number" || !(p >= 0 && p < Infinity)
      || !Number.isSafeInteger(s) || (s as number) < 0
      || !Number.isInteger(timestamp) || timestamp < 0 || timestamp > MAX_TIME_MS
      || !(x === null || (typeof x === "string" && x.length <= MAX_TEXT))
      || !(z === null || (typeof z === "string" && z.length <= MAX_TEXT))
      || !(c === null || isTextList(c))
    ) {
      this.reject(tradeIssue(raw) ?? "not a trade", raw, text);
      return;
    }
    this.accept(S, i, x, p, s as number, timestamp, c, z);
  }

  private accept(S: string, i: TradeId, x: string | null, p: number, s: number, timestamp: number, c: string[] | null, z: string | null): void {
    const { dedupe } = this.options;
    if (dedupe && dedupe.isDuplicate(this.context.origin!, S, x, i, timestamp, this.offset, this.ordinal)) {
      this.duplicates++;
    } else if (this.readable) {
      this.trades.push({ type: "t", symbol: S, id: i, exchange: x, price: p, size: s, timestamp, conditions: c, tape: z });
    } else {
      this.trades.push({ T: "t", S, i, x, p, s, timestamp, c, z });
    }
    this.next();
  }

  private reject(reason: string, value: unknown, text: string | undefined): void {
    const { topic, partition } = this.context;
    const source: RejectSource = { index: this.index };
    if (topic !== undefined) source.topic = topic;
    if (partition !== undefined) source.partition = partition;
    if (this.offset !== undefined) source.offset = this.offset;
    if (this.key !== undefined) source.key = this.key;
    if (this.ordinal >= 0) source.element = this.ordinal;
    // Cloning a very deep value would overflow the stack somewhere downstream; its text says the same.
    const safe = isDeeper(value, MAX_DEPTH) ? text ?? `(nested more than ${MAX_DEPTH} levels deep)` : value;
    this.rejects.push({ reason, value: safe, source });
    this.next();
  }

  private next(): void {
    if (this.ordinal >= 0) this.ordinal++;
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** The id in its canonical form: a number up to 2^53 - 1, decimal text beyond; undefined for what is no id. */
function tradeId(i: unknown): TradeId | undefined {
  if (typeof i === "number") return Number.isSafeInteger(i) && i >= 0 ? i : undefined;
  if (typeof i === "string") {
    if (i.length === 0 || i.length > 19) return undefined;
    for (let k = 0; k < i.length; k++) {
      const digit = i.charCodeAt(k);
      if (digit < 0x30 || digit > 0x39) return undefined;
    }
  } else if (typeof i !== "bigint") {
    return undefined;
  }
  const n = Number(i);
  if (Number.isSafeInteger(n)) return n >= 0 ? n : undefined;
  const big = BigInt(i);
  return big >= 0n && big <= MAX_ID ? String(big) : undefined;
}

function isTextList(value: unknown): value is string[] {
  if (!Array.isArray(value) || value.length > MAX_CONDITIONS) return false;
  for (let k = 0; k < value.length; k++) {
    const item: unknown = value[k];
    if (typeof item !== "string" || item.length > MAX_TEXT) return false;
  }
  return true;
}
