import type { TradeColumns } from "../trades/columnar/columns";
import { TRADE_BYTES } from "../trades/columnar/columns";
import type { LazyPayload } from "../trades/lazy";
import { LazyRawTrades } from "../trades/columnar/lazy-trades";
import type { RawTrade } from "../trades/types";
import type { LaneBatch } from "./lane";
import type { SeenTrades } from "./seen";
import type { FeedMessage } from "./types";

/** Estimated memory of a trade and of another message as an object. */
const OBJECT_BYTES = 208, MESSAGE_BYTES = 300;

/** Trades on their way, in the compact form in which they are kept until they are delivered. */
export abstract class TradeBatch implements LaneBatch {
  abstract readonly count: number;
  abstract readonly bytes: number;
  /** What flows get: objects of their own, made when somebody reads them. */
  abstract readonly payload: LazyPayload;
  /** Unix ms of the earliest and the latest trade. */
  abstract span(): { from: number; to: number };
  abstract addSymbols(to: Set<string>): void;
  /** They did not pass after all. */
  abstract forget(seen: SeenTrades): void;

  /** @param origin `stream` or `backfill` */
  constructor(readonly origin: "stream" | "backfill", readonly keep: boolean) {}
}

export class ColumnBatch extends TradeBatch {
  readonly payload: LazyRawTrades;
  get count(): number { return this.columns.count; }
  get bytes(): number { return this.columns.count * TRADE_BYTES; }

  constructor(readonly columns: TradeColumns, origin: TradeBatch["origin"], keep = false) {
    super(origin, keep);
    this.payload = new LazyRawTrades(columns);
  }

  span(): { from: number; to: number } {
    let from = Infinity, to = -Infinity;
    for (let k = 0; k < this.columns.count; k++) {
      const t = this.columns.timeAt(k);
      if (t < from) from = t;
      if (t > to) to = t;
    }
    return { from, to };
  }

  addSymbols(to: Set<string>): void {
    const codes = new Set<number>();
    for (let k = 0; k < this.columns.count; k++) codes.add(this.columns.symbol[k]!);
    for (const code of codes) to.add(this.columns.dictionary.symbols.values[code]!);
  }

  forget(seen: SeenTrades): void { for (let k = 0; k < this.columns.count; k++) seen.forgetRow(this.columns, k); }
}

export class ObjectBatch extends TradeBatch {
  readonly payload: LazyPayload;
  get count(): number { return this.trades.length; }
  get bytes(): number { return this.trades.length * OBJECT_BYTES; }

  constructor(readonly trades: readonly RawTrade[], origin: TradeBatch["origin"], keep = false) {
    super(origin, keep);
    this.payload = copies(trades);
  }

  span(): { from: number; to: number } {
    let from = Infinity, to = -Infinity;
    for (const { t } of this.trades) {
      if (t < from) from = t;
      if (t > to) to = t;
    }
    return { from, to };
  }

  addSymbols(to: Set<string>): void { for (const { S } of this.trades) to.add(S); }
  forget(seen: SeenTrades): void { for (const trade of this.trades) seen.forgetTrade(trade); }
}

/** Messages of output 2 of one topic. A record (`single`) is sent by itself, other messages as a list. */
export class MessageBatch implements LaneBatch {
  readonly payload: LazyPayload | object;
  readonly count: number;
  readonly bytes: number;

  constructor(readonly topic: string, messages: readonly FeedMessage[] | object, readonly keep: boolean) {
    const list = Array.isArray(messages) ? messages as readonly FeedMessage[] : undefined;
    this.count = list?.length ?? 1;
    this.bytes = this.count * MESSAGE_BYTES;
    this.payload = list ? copies(list) : messages;
  }
}

/** Lists of objects of which everybody who reads gets copies: what a flow changes is not what would be sent again. */
function copies<T extends object>(items: readonly T[]): LazyPayload {
  return { length: items.length, materialise: () => items.map((item) => structuredClone(item)) };
}
