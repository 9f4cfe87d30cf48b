import { activity, Session } from "./synthetic-session";
import { profileOf, type SymbolProfile } from "./synthetic-symbols";
import { exp, hash32, type Random } from "./synthetic-random";
import type { Model, Window } from "./synthetic";
import type { RawTrade } from "./types";

/** A trading year: 252 sessions of 6.5 hours, in ms. */
const YEAR_MS = 252 * 6.5 * 3_600_000;
/** However long a symbol rested (overnight, weekend), its price moves as over one session at the most. */
const LONGEST_STEP_MS = 6.5 * 3_600_000;
/** Where trades happen besides the listing venue: exchange code and share of the volume. D is the FINRA TRF (off exchange). */
const VENUES: readonly (readonly [string, number])[] = [["D", 0.42], ["Q", 0.16], ["P", 0.11], ["Z", 0.1], ["K", 0.08], ["N", 0.06], ["V", 0.04], ["U", 0.03]];
const LISTING_SHARE = 0.28;

const PRICE = 0, ID = 1, TIME = 2, FIELDS = 3;

/**
 * Geometric Brownian motion per symbol, with what a consumer of the tape relies on: whole ticks ($0.01, below $1
 * $0.0001: SEC rule 612), trades on either side of the spread, odd lots (condition I), round lots, mixed lots and
 * blocks, sweeps (F), opening and closing prints from the listing venue (O, 6), Form T outside of 9:30-16:00 New York,
 * sizes that follow the U shape of the day, ids ascending per symbol, times in order.
 */
export class GbmModel implements Model {
  private readonly profiles: SymbolProfile[];
  private readonly cumulative: Float64Array;
  /** price, last id, last time of every symbol. */
  private readonly state: Float64Array;
  private readonly session = new Session();
  private times = new Float64Array(0);

  constructor(private readonly random: Random, symbols: readonly string[]) {
    this.profiles = symbols.map(profileOf);
    this.state = new Float64Array(symbols.length * FIELDS);
    this.cumulative = new Float64Array(symbols.length);
    let total = 0;
    this.profiles.forEach((profile, k) => {
      total += profile.weight;
      this.cumulative[k] = total;
      this.state[k * FIELDS + PRICE] = profile.startPrice;
      this.state[k * FIELDS + ID] = 52_000_000_000 + (hash32(profile.symbol, 21) % 1_000_000) * 900;
    });
  }

  save(): Float64Array { return this.state.slice(); }
  restore(state: Float64Array): void { this.state.set(state); }

  fill(out: RawTrade[], count: number, window: Window): void {
    const times = this.arrivals(count, window);
    for (let k = 0; k < count; k++) out.push(this.trade(this.pick(), times[k]!));
  }

  /** Times of a Poisson process, given how many fall into the window: that many uniform ones, sorted. */
  private arrivals(count: number, { at, span }: Window): Float64Array {
    if (this.times.length !== count) this.times = new Float64Array(count);
    for (let k = 0; k < count; k++) this.times[k] = at + Math.floor(this.random.unit() * span);
    return this.times.sort();
  }

  private pick(): number {
    const { cumulative } = this;
    const target = this.random.unit() * cumulative[cumulative.length - 1]!;
    let low = 0, high = cumulative.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (cumulative[middle]! > target) high = middle; else low = middle + 1;
    }
    return low;
  }

  private trade(symbol: number, t: number): RawTrade {
    const { random, state } = this;
    const profile = this.profiles[symbol]!;
    const base = symbol * FIELDS;
    const last = state[base + TIME]!;
    const { open, close, weekday } = this.session.at(t);
    const regular = weekday && t >= open && t < close;
    const opening = regular && last > 0 && last < open;
    const closing = weekday && t >= close && last >= open && last < close;

    const mid = this.step(base, profile, t);
    // A trade hits the bid or lifts the offer: half a tick to either side of the true price.
    const p = toTick(mid, random.bits() & 1);
    const s = opening || closing ? 100 * (20 + random.below(480)) : this.size(regular ? activity((t - open) / (close - open)) : 0.4);
    const x = opening || closing ? profile.listing : this.venue(profile.listing);
    state[base + ID]! += 1 + random.below(4);
    return { T: "t", S: profile.symbol, i: state[base + ID]!, x, p, s, t, c: this.conditions(s, regular, opening, closing), z: profile.tape };
  }

  /** Moves the symbol's price on to time t: S exp((drift - volatility^2 / 2) dt + volatility sqrt(dt) N). */
  private step(base: number, profile: SymbolProfile, t: number): number {
    const { state } = this;
    const last = state[base + TIME]!;
    state[base + TIME] = t;
    let price = state[base + PRICE]!;
    if (last > 0 && t > last) {
      const dt = Math.min(t - last, LONGEST_STEP_MS) / YEAR_MS;
      const { drift, volatility } = profile;
      price *= exp((drift - (volatility * volatility) / 2) * dt + volatility * Math.sqrt(dt) * this.random.normal());
      state[base + PRICE] = price = Math.min(Math.max(price, 0.0002), 1e6);
    }
    return price;
  }

  private size(busy: number): number {
    const { random } = this;
    const kind = random.unit();
    if (kind < 0.46) return 1 + random.below(99);
    if (kind < 0.76) return 100;
    if (kind < 0.93) return 100 * (1 + Math.floor((1 + random.below(9)) * busy));
    if (kind < 0.992) return 101 + Math.floor(random.below(800) * busy);
    return 100 * (100 + Math.floor(random.below(400) * busy)); // a block: 10,000 shares or more
  }

  private venue(listing: string): string {
    let share = this.random.unit();
    if (share < LISTING_SHARE) return listing;
    share = (share - LISTING_SHARE) / (1 - LISTING_SHARE);
    for (const [code, part] of VENUES) {
      share -= part;
      if (share < 0) return code;
    }
    return "D";
  }

  /** In the order of the tape: settlement, exemption, extended hours or sequence, odd lot. */
  private conditions(size: number, regular: boolean, opening: boolean, closing: boolean): string[] {
    const draw = this.random.below(1000);
    if (opening) return ["@", "O"];
    if (closing) return ["@", "6"];
    const c = ["@"];
    if (draw < 300) c.push("F");
    else if (draw < 302) c.push("4");
    if (!regular) c.push("T");
    else if (draw >= 998) c.push("Z");
    if (size < 100) c.push("I");
    return c;
  }
}

/** On the bid or the offer around the price: whole cents, below $1 hundredths of a cent. */
function toTick(price: number, offer: number): number {
  const perDollar = price < 1 ? 10_000 : 100;
  const ticks = Math.floor(price * perDollar) + offer;
  return (ticks < 1 ? 1 : ticks) / perDollar;
}
