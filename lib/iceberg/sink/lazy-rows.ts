import { LazyRecords } from "../../trades/columnar/lazy-records";
import { LazyTrades } from "../../trades/columnar/lazy-trades";
import type { TradeColumns } from "../../trades/columnar/columns";
import type { LazyPayload } from "../../trades/lazy";
import type { TradeNames } from "../../trades/types";
import type { BulkColumn, BulkRows } from "../columns";
import { rowsOf, type Rows } from "./payload";

/** Rows that are columns, and become objects only where somebody has to look at each. */
export class LazyRows {
  #objects: Rows | undefined;

  constructor(readonly columns: BulkRows, private readonly make: () => Rows) {}

  get length(): number { return this.columns.count; }
  get objects(): Rows { return (this.#objects ??= this.make()); }
}

/** A message's rows: objects, or columns. */
export type Incoming = Rows | LazyRows;

/** Rows as objects. */
export const objectsOf = (rows: Incoming): Rows => (rows instanceof LazyRows ? rows.objects : rows);

/** The rows of a payload that nobody has read yet; undefined where they have to be read as objects. */
export function lazyRowsOf(payload: LazyPayload): LazyRows | undefined {
  if (payload instanceof LazyTrades) return new LazyRows(tradeRows(payload.columns, payload.names), () => payload.materialise());
  // Records whose trades need flattening are no rows yet: that is told of each.
  if (payload instanceof LazyRecords && payload.flat) return new LazyRows(tradeRows(payload.columns, "documented"), () => rowsOf(payload.materialise()));
  return undefined;
}

function tradeRows(trades: TradeColumns, names: TradeNames): BulkRows {
  const { symbols, exchanges, tapes, conditions } = trades.dictionary;
  const type: BulkColumn = { kind: "constant", value: "t" };
  const symbol: BulkColumn = { kind: "text", codes: trades.symbol, dictionary: symbols };
  const id: BulkColumn = { kind: "long", words: trades.id };
  const exchange: BulkColumn = { kind: "text", codes: trades.exchange, dictionary: exchanges };
  const price: BulkColumn = { kind: "double", data: trades.price };
  const size: BulkColumn = { kind: "long", words: trades.size };
  const timestamp: BulkColumn = { kind: "long", words: trades.time };
  const list: BulkColumn = { kind: "texts", codes: trades.conditions, dictionary: conditions };
  const tape: BulkColumn = { kind: "text", codes: trades.tape, dictionary: tapes };
  return {
    count: trades.count,
    columns: names === "readable" ? { type, symbol, id, exchange, price, size, timestamp, conditions: list, tape } : { T: type, S: symbol, i: id, x: exchange, p: price, s: size, timestamp, c: list, z: tape },
  };
}
