import type { LazyPayload } from "../lazy";
import type { RawTrade, TradeNames } from "../types";
import { TRADE_BYTES, type TradeColumns } from "./columns";

/** Flattened trades as columns (explode-trades makes them). Several messages may stand on the same one. */
export class LazyTrades implements LazyPayload {
  constructor(readonly columns: TradeColumns, readonly names: TradeNames) {}

  get length(): number { return this.columns.count; }
  /** Memory that it holds. */
  get bytes(): number { return this.columns.capacity * TRADE_BYTES; }

  materialise(): unknown[] { return this.columns.objects(this.names); }
}

/** Raw trades as columns (alpaca-in makes them). */
export class LazyRawTrades implements LazyPayload {
  constructor(readonly columns: TradeColumns) {}

  get length(): number { return this.columns.count; }
  /** Memory that it holds. */
  get bytes(): number { return this.columns.capacity * TRADE_BYTES; }

  materialise(): RawTrade[] { return this.columns.rawObjects(); }
}
