/** Compares tallies of several places and names what differs. */
import { HOUR_MS, splitKey, type Figures, type Tally } from "./tally";

/** What a place had, ready to be compared. */
export interface Counted {
  /** As people call it: `Kafka iex_data`, `Iceberg db.flattened_stocks`. */
  readonly name: string;
  readonly tally: Tally;
  /** Records of the place that are no trades: they are in no figure, and are told. */
  readonly unreadable?: number;
}

/** The figures that are compared. */
export type FigureName = "trades" | "size" | "priceSum" | "minPrice" | "maxPrice";

/** One symbol and hour in which the places differ. */
export interface Difference {
  readonly symbol: string;
  /** Start of the hour, ISO 8601 (UTC). */
  readonly hour: string;
  /** What differs. */
  readonly figures: readonly FigureName[];
  /** Trades of each place, by its name. */
  readonly trades: Readonly<Record<string, number>>;
  /** In words: which place has how many more or fewer than the first. */
  readonly text: string;
}

export interface Comparison {
  readonly equal: boolean;
  /** Per place: all its trades in the range, and how many records could not be read as trades. */
  readonly places: readonly { readonly name: string; readonly trades: number; readonly size: string; readonly unreadable: number }[];
  /** Symbol-hours that were compared. */
  readonly compared: number;
  /** Symbol-hours that differ, by time and symbol: all of them are counted, the first are listed. */
  readonly different: number;
  readonly differences: readonly Difference[];
}

/** Sums of prices in another order differ in their last digits only. */
const SUM_TOLERANCE = 1e-9;
/** Prices themselves are the same doubles everywhere. */
const NONE: Figures = { count: 0, size: 0n, priceSum: 0, minPrice: NaN, maxPrice: NaN };

/**
 * @param places at least two; the first is what the others are measured by
 * @param most differences listed at the most (100)
 */
export function compare(places: readonly Counted[], most = 100): Comparison {
  const keys = new Set(places.flatMap(({ tally }) => [...tally.figures.keys()]));
  const found = [...keys].map((key) => difference(key, places)).filter((one) => one !== undefined);
  found.sort((a, b) => (a.hour === b.hour ? (a.symbol < b.symbol ? -1 : 1) : a.hour < b.hour ? -1 : 1));
  return {
    equal: found.length === 0,
    places: places.map(({ name, tally, unreadable = 0 }) => ({ name, trades: tally.trades, size: String([...tally.figures.values()].reduce((sum, { size }) => sum + size, 0n)), unreadable })),
    compared: keys.size, different: found.length, differences: found.slice(0, most),
  };
}

function difference(key: string, places: readonly Counted[]): Difference | undefined {
  const all = places.map(({ name, tally }) => ({ name, figures: tally.figures.get(key) ?? NONE }));
  const [first, ...others] = all as [(typeof all)[0], ...typeof all];
  const figures = new Set(others.flatMap((other) => differing(first.figures, other.figures)));
  if (figures.size === 0) return undefined;
  const { symbol, hour } = splitKey(key);
  const start = new Date(hour * HOUR_MS).toISOString();
  const words = others.flatMap((other) => wordsFor(first, other));
  return {
    symbol, hour: start, figures: [...figures], trades: Object.fromEntries(all.map(({ name, figures: { count } }) => [name, count])),
    text: `${symbol}, ${start.slice(0, 13)}h: ${words.join("; ")}`,
  };
}

function differing(a: Figures, b: Figures): FigureName[] {
  const names: FigureName[] = [];
  if (a.count !== b.count) names.push("trades");
  if (a.size !== b.size) names.push("size");
  if (Math.abs(a.priceSum - b.priceSum) > SUM_TOLERANCE * Math.max(Math.abs(a.priceSum), Math.abs(b.priceSum))) names.push("priceSum");
  // NaN stands for no trade at all, which the count has told already.
  if (a.count > 0 && b.count > 0) {
    if (a.minPrice !== b.minPrice) names.push("minPrice");
    if (a.maxPrice !== b.maxPrice) names.push("maxPrice");
  }
  return names;
}

function wordsFor(first: { name: string; figures: Figures }, other: { name: string; figures: Figures }): string[] {
  const names = differing(first.figures, other.figures);
  if (names.length === 0) return [];
  const more = other.figures.count - first.figures.count;
  if (more !== 0) return [`${other.name} has ${Math.abs(more)} ${more > 0 ? "more" : "fewer"} than ${first.name} (${other.figures.count} against ${first.figures.count})`];
  return [`${other.name} has as many trades as ${first.name}, but differs in ${names.join(", ")}`];
}
