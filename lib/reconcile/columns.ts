import { TicklakeError } from "../errors";

/** What symbol, price, size and time are called in a table, quoted. */
export interface TradeColumnNames { readonly symbol: string; readonly price: string; readonly size: string; readonly time: string }

/**
 * Finds them among the columns of a table, by the documented names or the readable ones.
 *
 * @throws TicklakeError SCHEMA_MISMATCH
 */
export function tradeColumns(table: string, columns: readonly string[], quote: (name: string) => string): TradeColumnNames {
  for (const [symbol, price, size] of [["S", "p", "s"], ["symbol", "price", "size"]] as const) {
    if ([symbol, price, size, "timestamp"].every((column) => columns.includes(column))) return { symbol: quote(symbol), price: quote(price), size: quote(size), time: quote("timestamp") };
  }
  throw new TicklakeError("SCHEMA_MISMATCH", `${table} has neither the columns S, p, s and timestamp nor symbol, price, size and timestamp, so its trades cannot be counted. It has ${columns.join(", ")}.`);
}
