import { TicklakeError } from "../errors";
import { GbmModel } from "./synthetic-gbm";
import { Random, type RandomState } from "./synthetic-random";
import type { RawTrade } from "./types";

/** `uniform`: the documented generator. `gbm`: geometric Brownian motion with the manners of a real tape. */
export type PriceModel = "uniform" | "gbm";
export const PRICE_MODELS: readonly PriceModel[] = ["uniform", "gbm"];

export interface SyntheticOptions {
  readonly symbols: readonly string[];
  /** The same seed (and the same windows of time) give the same trades, byte for byte. */
  readonly seed: string;
  readonly priceModel: PriceModel;
}

/** The stretch of time that a batch covers, Unix ms: from `at`, `span` long. */
export interface Window {
  readonly at: number;
  readonly span: number;
}

/** Everything that the next trade depends on: 128 bits, and with `gbm` 24 bytes a symbol. */
export interface SyntheticState {
  readonly random: RandomState;
  readonly model: Float64Array;
}

/** A price model in use: appends trades, and can be set back. */
export interface Model {
  fill(out: RawTrade[], count: number, window: Window): void;
  save(): Float64Array;
  restore(state: Float64Array): void;
}

/** Estimated size in memory of a generated trade, bytes (measured: heap growth for a million of them, test/unit/trades). */
export const TRADE_BYTES = 208;

const ID_MIN = 10_000_000_000;

/**
 * An endless, repeatable stream of trades. `uniform` gives exactly what the documented generator gave: symbol picked
 * at random, price 100 to 200 with two decimals, size 1 to 1000, `x` V, `c` ["@"], `z` C, time of the batch, and ids
 * such as 52849183745, here ascending so that none comes twice.
 */
export class SyntheticTrades {
  private readonly random: Random;
  private readonly model: Model;

  constructor(options: SyntheticOptions) {
    if (options.symbols.length === 0) throw new TicklakeError("CONFIG_INVALID", "symbols: name at least one symbol, such as AAPL.");
    this.random = new Random(`${options.priceModel}/${options.seed}`);
    this.model = options.priceModel === "gbm" ? new GbmModel(this.random, options.symbols) : new UniformModel(this.random, options.symbols);
  }

  /** The next `count` trades, in order of time, within the window; appended to `out`. */
  fill(out: RawTrade[], count: number, window: Window): RawTrade[] {
    this.model.fill(out, count, window);
    return out;
  }

  /** What `restore` needs to give the same trades again from here on. */
  save(): SyntheticState {
    return { random: this.random.save(), model: this.model.save() };
  }

  restore(state: SyntheticState): void {
    this.random.restore(state.random);
    this.model.restore(state.model);
  }
}

class UniformModel implements Model {
  private id: number;

  constructor(private readonly random: Random, private readonly symbols: readonly string[]) {
    this.id = ID_MIN + random.below(1 << 20) * 80_000;
  }

  fill(out: RawTrade[], count: number, window: Window): void {
    const { random, symbols } = this;
    const t = window.at;
    let id = this.id;
    for (let k = 0; k < count; k++) {
      const bits = random.bits();
      id += 1 + (bits & 15);
      out.push({
        T: "t",
        S: symbols[random.below(symbols.length)]!,
        i: id,
        x: "V",
        p: (10_000 + random.below(10_001)) / 100,
        s: 1 + random.below(1000),
        t,
        c: ["@"],
        z: "C",
      });
    }
    this.id = id;
  }

  save(): Float64Array { return Float64Array.of(this.id); }
  restore(state: Float64Array): void { this.id = state[0]!; }
}
