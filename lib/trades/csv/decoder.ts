import { MAX_CONDITIONS, MAX_TEXT } from "../schema";
import type { RawTrade, TradeId } from "../types";
import type { RecordScanner } from "./scanner";
import { Quoting } from "./scanner";
import type { TimeReader } from "./time";
import { dayOf } from "./time";
import { ByteCache, billionths, decimal, shortText, tradeId, trimEnd, trimStart } from "./values";

/** What a record turned out to be. */
export const enum Row {
  /** `trade` holds it. */
  Trade = 1,
  /** No trade; `reason` says why. */
  Bad = 2,
  /** A good row that the filters leave out. */
  Filtered = 3,
}

/** Reads one column of the current record; undefined = cannot, with the reason in `RowDecoder.reason`. */
export type Column<V> = (record: RecordScanner) => V | undefined;

export interface TimeColumn {
  index: number;
  reader: TimeReader;
  /** The source's text for "no time". */
  none?: string;
  /** Column of the date, where `index` holds the time of day only. */
  dateIndex?: number;
}

/** Which column is what: a dialect makes one from the header. */
export interface Plan {
  symbol: Column<string>;
  /** Candidates in order of preference: the next one is taken where a field is empty, 0 or the source's "none". */
  time: TimeColumn[];
  price: Column<number>;
  size: Column<number>;
  id: Column<TradeId>;
  exchange?: (record: RecordScanner) => string | null;
  tape?: (record: RecordScanner) => string | null;
  /** A list that the caller may keep and change. */
  conditions?: (record: RecordScanner) => string[] | null;
  /** Why a well-formed row is no trade (cancels, corrections, other actions); undefined when it is one. */
  notATrade?: (record: RecordScanner) => string | undefined;
}

export interface Filter {
  symbols?: ReadonlySet<string>;
  /** Unix ms, inclusive. */
  from?: number;
  /** Unix ms, exclusive. */
  to?: number;
}

export interface DecoderOptions extends Filter {
  /** Keep the original text of the time in `tns`. */
  keepNanos?: boolean;
  /** Let fractional sizes through (crypto, fractional shares); otherwise they are rejected: a trade has whole shares. */
  fractionalSizes?: boolean;
}

/** Turns records into trades by a plan. One instance per file; `trade`, `ms`, `ns`, `reason` describe the last record. */
export class RowDecoder {
  trade!: RawTrade;
  ms = 0;
  ns = 0;
  reason = "";
  private timeIndex = 0;
  private symbol = "";
  private readonly dates = new ByteCache((bytes) => dayOf(bytes.toString("latin1")));

  /** @param columns fields that every row must have */
  constructor(readonly dialect: string, private readonly plan: Plan, readonly columns: number, private readonly options: DecoderOptions = {}) {}

  /** Symbol and time only: enough to order rows by, and to leave out the filtered ones. */
  key(record: RecordScanner): Row {
    if (record.count !== this.columns && !this.columnsFit(record)) return Row.Bad;
    const { symbols, from, to } = this.options;
    const symbol = this.plan.symbol(record);
    if (symbol === undefined) return this.bad(fieldReason);
    if (symbols !== undefined && !symbols.has(symbol)) return Row.Filtered;
    this.symbol = symbol;
    if (!this.readTime(record)) return Row.Bad;
    if ((from !== undefined && this.ms < from) || (to !== undefined && this.ms >= to)) return Row.Filtered;
    return Row.Trade;
  }

  decode(record: RecordScanner): Row {
    const key = this.key(record);
    if (key !== Row.Trade) return key;
    const plan = this.plan;
    const other = plan.notATrade?.(record);
    if (other !== undefined) return this.bad(other);
    const p = plan.price(record);
    if (p === undefined) return this.bad(fieldReason);
    const s = plan.size(record);
    if (s === undefined) return this.bad(fieldReason);
    if (!Number.isInteger(s) && this.options.fractionalSizes !== true) {
      return this.bad(`size ${s} is not a whole number of shares; "Fractional sizes" in the node lets such rows through`);
    }
    const i = plan.id(record);
    if (i === undefined) return this.bad(fieldReason);
    const trade: RawTrade = {
      T: "t", S: this.symbol, i,
      x: plan.exchange === undefined ? null : plan.exchange(record), p, s, t: this.ms,
      c: plan.conditions === undefined ? null : plan.conditions(record),
      z: plan.tape === undefined ? null : plan.tape(record),
    };
    if (this.options.keepNanos === true) trade.tns = record.field(this.timeIndex).trim();
    this.trade = trade;
    return Row.Trade;
  }

  private readTime(record: RecordScanner): boolean {
    for (const { index, reader, none, dateIndex } of this.plan.time) {
      const start = record.starts[index]!, end = record.ends[index]!;
      if (end <= start || (end - start === 1 && record.buf[start] === 48)) continue;
      if (none !== undefined && record.buf.toString("latin1", start, end) === none) continue;
      if (dateIndex !== undefined) {
        reader.day = this.dates.get(record.buf, record.starts[dateIndex]!, record.ends[dateIndex]!);
        if (reader.day === undefined) {
          this.reason = `date ${quote(record.field(dateIndex))} cannot be read; write it as YYYY-MM-DD`;
          return false;
        }
      }
      if (!reader.read(record.buf, start, end)) {
        this.reason = `time ${quote(record.field(index))} cannot be read`;
        return false;
      }
      this.ms = reader.ms;
      this.ns = reader.ns;
      this.timeIndex = index;
      return true;
    }
    this.reason = "the time is empty";
    return false;
  }

  /** Empty fields behind the last column (trailing separators) do no harm. */
  private columnsFit(record: RecordScanner): boolean {
    let extra = record.count > this.columns && record.count <= record.starts.length;
    for (let i = this.columns; extra && i < record.count; i++) extra = record.ends[i]! <= record.starts[i]!;
    if (!extra) this.reason = `${record.count} columns instead of ${this.columns}`;
    return extra;
  }

  private bad(reason: string): Row.Bad {
    this.reason = reason;
    return Row.Bad;
  }
}

/** Why the last column read failed (columns are free functions; they run one at a time). */
let fieldReason = "";

function fail(reason: string): undefined {
  fieldReason = reason;
  return undefined;
}

/** A value as it stands in a reason: quoted, cut. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}

/** Symbol: any text up to 64 characters; `spaces` replaces blanks within (TAQ writes `BRK B`). */
export function symbolColumn(index: number, spaces?: string): Column<string> {
  const make = (doubled: boolean) => new ByteCache((bytes) => {
    const text = shortText(bytes, doubled);
    return spaces === undefined ? text : text?.replace(/ +/g, spaces);
  });
  const plain = make(false), doubled = make(true);
  return (r) => {
    const text = (r.flags[index] === Quoting.Doubled ? doubled : plain).get(r.buf, r.starts[index]!, r.ends[index]!);
    if (text === undefined) return fail(`the symbol has more than ${MAX_TEXT} characters`);
    return text === "" ? fail("the symbol is empty") : text;
  };
}

function number(r: RecordScanner, index: number, name: string, read: (buf: Buffer, start: number, end: number) => number): number | undefined {
  const start = r.starts[index]!, end = r.ends[index]!;
  const value = read(r.buf, start, end);
  if (value >= 0 && value < Infinity) return value;
  if (end <= start) return fail(`the ${name} is empty`);
  return fail(value < 0 ? `${name} ${quote(r.field(index))} is negative` : `${name} ${quote(r.field(index))} is not a number`);
}

/** A non-negative decimal number. */
export function numberColumn(index: number, name: string): Column<number> {
  return (r) => number(r, index, name, decimal);
}

/** A price as a decimal number or, without a point, in billionths; `none` is the source's "no price". */
export function fixedPointPrice(index: number, none: string): Column<number> {
  return (r) => {
    const start = r.starts[index]!, end = r.ends[index]!;
    if (r.buf.subarray(start, end).includes(46)) return number(r, index, "price", decimal);
    if (r.buf.toString("latin1", start, end) === none) return fail("the price is undefined");
    return number(r, index, "price", billionths);
  };
}

/** Trade id from the first of these columns that is filled. `other` makes an id from a text that is no whole number. */
export function idColumn(indexes: number[], other?: (text: string) => TradeId): Column<TradeId> {
  return (r) => {
    for (const index of indexes) {
      const start = trimStart(r.buf, r.starts[index]!, r.ends[index]!), end = trimEnd(r.buf, start, r.ends[index]!);
      if (end <= start) continue;
      const id = tradeId(r.buf, start, end);
      if (id !== undefined) return id;
      return other ? other(r.field(index)) : fail(`id ${quote(r.field(index))} is not a whole number below 2^63`);
    }
    return fail("the id is empty");
  };
}

/** The line number, where a file has no ids: unique within it and the same at every reading. */
export const lineAsId: Column<TradeId> = (r) => r.line;

/** A code (exchange, tape): null when empty, through `map` otherwise. */
export function codeColumn(index: number, map: (code: string) => string | null = (c) => c): (r: RecordScanner) => string | null {
  const cache = new ByteCache((bytes) => {
    const text = shortText(bytes, false);
    return text === undefined || text === "" ? null : map(text);
  });
  return (r) => cache.get(r.buf, r.starts[index]!, r.ends[index]!);
}

/** Sale conditions: `split` makes the list from the text, once per distinct text. */
export function conditionsColumn(index: number, split: (text: string) => string[]): (r: RecordScanner) => string[] {
  const make = (doubled: boolean) => new ByteCache((bytes) => {
    const text = bytes.toString("utf8");
    return split(doubled ? text.replaceAll('""', '"') : text).filter((c) => c.length <= MAX_TEXT).slice(0, MAX_CONDITIONS);
  });
  const plain = make(false), doubled = make(true);
  // A copy for each trade: what function nodes do to one list must not reach the others.
  return (r) => (r.flags[index] === Quoting.Doubled ? doubled : plain).get(r.buf, r.starts[index]!, r.ends[index]!).slice();
}

/**
 * Conditions as text: a Python, JSON or NumPy list (`['@', 'I']`, `["@"]`, `['@' 'I']`), otherwise codes between
 * commas, semicolons or bars; a blank is a code of its own only within quotes.
 */
export function listOfConditions(text: string): string[] {
  const t = text.trim();
  if (t === "" || t === "nan" || t === "None") return [];
  if (t.startsWith("[") || t.startsWith("(")) {
    const quoted = [...t.matchAll(/'([^']*)'|"([^"]*)"/g)].map((m) => m[1] ?? m[2]!);
    return quoted.length > 0 ? quoted : t.slice(1, -1).split(/[\s,]+/).filter((c) => c !== "");
  }
  return t.split(/[\s,;|]+/).filter((c) => c !== "");
}
