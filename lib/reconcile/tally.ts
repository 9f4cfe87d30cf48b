/**
 * What a place holds of a time range, per symbol and hour, in figures that two places can be compared by whatever order their trades are in.
 */
import type { TradeColumns } from "../trades/columnar/columns";

export const HOUR_MS = 3_600_000;

/** Trades of one symbol within one hour (UTC). */
export interface Figures {
  count: number;
  /** Sum of the sizes, shares. Exact. */
  size: bigint;
  /** Sum of the prices: in floating point, so its last digits depend on the order of the trades. */
  priceSum: number;
  minPrice: number;
  maxPrice: number;
}

/** A closed range of trade times, Unix ms: from `from` up to and without `to`. */
export interface TimeRange { readonly from: number; readonly to: number }

/** Symbol and hour as one key, and back. An hour is counted from 1970; symbols have no bounds, so they come last. */
export function keyOf(symbol: string, hour: number): string { return `${hour} ${symbol}`; }
export function splitKey(key: string): { symbol: string; hour: number } {
  const at = key.indexOf(" ");
  return { symbol: key.slice(at + 1), hour: Number(key.slice(0, at)) };
}

/** Figures by key. */
export class Tally {
  readonly figures = new Map<string, Figures>();

  get trades(): number {
    let sum = 0;
    for (const { count } of this.figures.values()) sum += count;
    return sum;
  }

  /** Takes away what is not of these symbols. */
  keepOnly(symbols: ReadonlySet<string>): void {
    for (const key of this.figures.keys()) if (!symbols.has(splitKey(key).symbol)) this.figures.delete(key);
  }

  /** Adds figures of several trades at once. */
  add(symbol: string, hour: number, added: Figures): void {
    const key = keyOf(symbol, hour);
    const there = this.figures.get(key);
    if (!there) { this.figures.set(key, { ...added }); return; }
    there.count += added.count;
    there.size += added.size;
    there.priceSum += added.priceSum;
    there.minPrice = Math.min(there.minPrice, added.minPrice);
    there.maxPrice = Math.max(there.maxPrice, added.maxPrice);
  }

  /** Adds the trades of columns that lie in the range; `from` and `to` choose rows. */
  addColumns(columns: TradeColumns, range: TimeRange, from = 0, to = columns.count): void {
    const { dictionary, symbol, price } = columns;
    const open = new Map<number, Figures>();
    for (let k = from; k < to; k++) {
      const time = columns.timeAt(k);
      if (time < range.from || time >= range.to) continue;
      // Numbers as keys: a text for each trade would be most of the work. A code has 16 bits.
      const key = Math.floor(time / HOUR_MS) * 65_536 + symbol[k]!;
      const p = price[k]!;
      const there = open.get(key);
      if (there) {
        there.count++;
        there.size += BigInt(columns.sizeAt(k));
        there.priceSum += p;
        if (p < there.minPrice) there.minPrice = p;
        if (p > there.maxPrice) there.maxPrice = p;
      } else open.set(key, { count: 1, size: BigInt(columns.sizeAt(k)), priceSum: p, minPrice: p, maxPrice: p });
    }
    for (const [key, figures] of open) this.add(dictionary.symbols.values[key % 65_536]!, Math.floor(key / 65_536), figures);
  }
}
