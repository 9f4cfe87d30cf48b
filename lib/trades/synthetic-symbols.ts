import { KNOWN_LISTINGS, tapeOfListing, type Tape } from "./codes";
import { hash32 } from "./synthetic-random";

/** What the realistic model knows of a symbol. */
export interface SymbolProfile {
  readonly symbol: string;
  /** Exchange code of the listing venue, and the tape that carries its trades. */
  readonly listing: string;
  readonly tape: Tape;
  /** US dollars at the start of a run. */
  readonly startPrice: number;
  /** Per year, 0.05 = 5 %. */
  readonly drift: number;
  /** Per square root of a year, 0.3 = 30 %. */
  readonly volatility: number;
  /** Relative number of trades. */
  readonly weight: number;
}

/** Start price, volatility and weight of symbols that everybody knows: the right order of magnitude, not a quotation. */
const KNOWN: Readonly<Record<string, readonly [price: number, volatility: number, weight: number]>> = {
  AAPL: [190, 0.25, 3], MSFT: [410, 0.23, 2.5], GOOGL: [150, 0.28, 2], GOOG: [151, 0.28, 1.5], AMZN: [175, 0.3, 2.5], TSLA: [200, 0.55, 4],
  META: [480, 0.35, 2], NVDA: [120, 0.5, 4], NFLX: [600, 0.35, 1], AMD: [160, 0.45, 2.5], INTC: [35, 0.4, 2], QQQ: [440, 0.19, 3],
  SPY: [510, 0.15, 4], IWM: [205, 0.2, 2], DIA: [390, 0.14, 1], GLD: [215, 0.15, 1], IBM: [185, 0.2, 0.8], BAC: [37, 0.25, 1.5],
  AIG: [78, 0.25, 0.6], JPM: [195, 0.22, 1.2], XOM: [112, 0.24, 1.2], KO: [60, 0.14, 1], WMT: [60, 0.18, 1], F: [12, 0.38, 1.5],
  T: [17, 0.22, 1.3], GE: [155, 0.28, 0.8], DIS: [105, 0.28, 1], BA: [185, 0.35, 1],
};

/** The profile of a symbol: of a known one from the tables, of any other by its hash, always the same. */
export function profileOf(symbol: string): SymbolProfile {
  const fraction = (salt: number) => hash32(symbol, salt) / 4294967296;
  const pick = fraction(11);
  const listing = (Object.hasOwn(KNOWN_LISTINGS, symbol) ? KNOWN_LISTINGS[symbol] : undefined)
    ?? (pick < 0.45 ? "Q" : pick < 0.8 ? "N" : pick < 0.95 ? "P" : "A");
  const known = Object.hasOwn(KNOWN, symbol) ? KNOWN[symbol] : undefined;
  const spread = fraction(12);
  return {
    symbol,
    listing,
    tape: tapeOfListing(listing) ?? "C",
    // Squared, so that cheap stocks outnumber dear ones: $5 to $505, half of them below $130.
    startPrice: known?.[0] ?? Math.round(500 + 50_000 * spread * spread) / 100,
    drift: 0.02 + 0.08 * fraction(13),
    volatility: known?.[1] ?? 0.15 + 0.45 * fraction(14),
    weight: known?.[2] ?? 0.2 + 0.8 * fraction(15),
  };
}
