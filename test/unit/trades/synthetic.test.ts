import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { CTA_CONDITIONS, EXCHANGES, UTP_CONDITIONS, tapeOfListing } from "../../../lib/trades/codes";
import { rawTradeSchema } from "../../../lib/trades/schema";
import { SyntheticTrades, TRADE_BYTES, type PriceModel } from "../../../lib/trades/synthetic";
import { exp, Random } from "../../../lib/trades/synthetic-random";
import { newYorkOffset } from "../../../lib/trades/synthetic-session";
import { profileOf } from "../../../lib/trades/synthetic-symbols";
import type { RawTrade } from "../../../lib/trades/types";

const SYMBOLS = ["AAPL", "SPY", "IBM", "ZZTOP"];
/** 2024-03-06 (a Wednesday), 14:30 UTC = 9:30 in New York. */
const OPEN = Date.UTC(2024, 2, 6, 14, 30);

function generate(priceModel: PriceModel, options: { seed?: string; batches?: number; size?: number; at?: number; step?: number; symbols?: string[] } = {}): RawTrade[] {
  const { seed = "seed", batches = 100, size = 100, at = OPEN, step = 1000, symbols = SYMBOLS } = options;
  const source = new SyntheticTrades({ symbols, seed, priceModel });
  const out: RawTrade[] = [];
  for (let k = 0; k < batches; k++) source.fill(out, size, { at: at + k * step, span: step });
  return out;
}

const digest = (trades: RawTrade[]) => createHash("sha256").update(JSON.stringify(trades)).digest("hex").slice(0, 16);

describe("synthetic trades: uniform (the documented generator)", () => {
  const trades = generate("uniform");

  it("has the documented values: price 100 to 200 with two decimals, size 1 to 1000, V, @, C", () => {
    for (const trade of trades) {
      assert.deepEqual(Object.keys(trade), ["T", "S", "i", "x", "p", "s", "t", "c", "z"]);
      assert.ok(trade.p >= 100 && trade.p <= 200 && Math.round(trade.p * 100) / 100 === trade.p, `price ${trade.p}`);
      assert.ok(Number.isInteger(trade.s) && trade.s >= 1 && trade.s <= 1000, `size ${trade.s}`);
      assert.deepEqual([trade.T, trade.x, trade.c, trade.z], ["t", "V", ["@"], "C"]);
      assert.match(String(trade.i), /^\d{11}$/);
    }
    assert.equal(new Set(trades.map((trade) => trade.i)).size, trades.length, "ids are unique");
    assert.deepEqual([...new Set(trades.map((trade) => trade.S))].sort(), [...SYMBOLS].sort());
  });

  it("covers its ranges evenly", () => {
    const many = generate("uniform", { batches: 100, size: 1000 });
    const mean = (pick: (trade: RawTrade) => number) => many.reduce((sum, trade) => sum + pick(trade), 0) / many.length;
    assert.ok(Math.abs(mean((trade) => trade.p) - 150) < 0.5);
    assert.ok(Math.abs(mean((trade) => trade.s) - 500.5) < 5);
    assert.ok(many.some((trade) => trade.s === 1) && many.some((trade) => trade.s === 1000));
    for (const symbol of SYMBOLS) assert.ok(Math.abs(many.filter((trade) => trade.S === symbol).length / many.length - 0.25) < 0.01);
  });

  it("stamps a batch with its time", () => assert.deepEqual([...new Set(trades.slice(100, 200).map((trade) => trade.t))], [OPEN + 1000]));
});

describe("synthetic trades: the same seed", () => {
  it("gives the same trades byte for byte, on every platform", () => {
    // Recorded once: another machine, engine or version of this code must come to the same bytes.
    assert.equal(digest(generate("uniform")), "791276bcb4e61377");
    assert.equal(digest(generate("gbm")), "d1c3b216796c5186");
  });

  it("gives other trades for another seed", () => assert.notEqual(digest(generate("gbm", { seed: "another" })), digest(generate("gbm"))));

  for (const priceModel of ["uniform", "gbm"] as const) {
    it(`can be set back to a saved state (${priceModel})`, () => {
      const source = new SyntheticTrades({ symbols: SYMBOLS, seed: "x", priceModel });
      source.fill([], 500, { at: OPEN, span: 1000 });
      const saved = source.save();
      const once = source.fill([], 500, { at: OPEN + 1000, span: 1000 });
      source.fill([], 77, { at: OPEN + 2000, span: 1000 });
      source.restore(saved);
      assert.deepEqual(source.fill([], 500, { at: OPEN + 1000, span: 1000 }), once);
    });
  }
});

describe("synthetic trades: gbm (realistic)", () => {
  const trades = generate("gbm", { batches: 200, size: 200 });

  it("passes the schema, in order of time within the window", () => {
    for (let k = 0; k < trades.length; k++) {
      assert.ok(rawTradeSchema.safeParse(trades[k]).success);
      assert.ok(k === 0 || trades[k]!.t >= trades[k - 1]!.t);
    }
    assert.ok(trades[0]!.t >= OPEN && trades.at(-1)!.t < OPEN + 200_000);
  });

  it("knows exchange and tape of a symbol, and the codes it uses exist", () => {
    for (const trade of trades) {
      assert.equal(trade.z, { AAPL: "C", SPY: "B", IBM: "A", ZZTOP: profileOf("ZZTOP").tape }[trade.S]);
      assert.ok(trade.x! in EXCHANGES, trade.x!);
      for (const code of trade.c!) assert.ok(code in (trade.z === "C" ? UTP_CONDITIONS : CTA_CONDITIONS), `${code} on tape ${trade.z}`);
    }
    for (const symbol of SYMBOLS) {
      const { listing, tape } = profileOf(symbol);
      assert.equal(tapeOfListing(listing), tape);
      const of = trades.filter((trade) => trade.S === symbol);
      const venues = new Map<string, number>();
      for (const { x } of of) venues.set(x!, (venues.get(x!) ?? 0) + 1);
      assert.ok(venues.get(listing)! > of.length * 0.2, "the listing venue has a good share");
      assert.ok(venues.size >= 6, "and trades happen elsewhere too");
    }
  });

  it("marks odd lots, and only them, with I", () => {
    for (const trade of trades) assert.equal(trade.c!.includes("I"), trade.s < 100, JSON.stringify(trade));
    assert.ok(trades.some((trade) => trade.s >= 10_000 && trade.s % 100 === 0), "there are blocks");
    assert.ok(trades.filter((trade) => trade.s === 100).length > trades.length * 0.2, "100 shares are common");
  });

  it("keeps to whole ticks: cents, below a dollar hundredths of a cent", () => {
    for (const trade of trades) assert.equal(Math.round(trade.p * 100) / 100, trade.p);
    const source = new SyntheticTrades({ symbols: ["PENY"], seed: "a", priceModel: "gbm" });
    const state = source.save();
    state.model[0] = 0.4321; // its price
    source.restore(state);
    for (const trade of source.fill([], 1000, { at: OPEN, span: 60_000 })) {
      assert.ok(trade.p < 1 && Math.round(trade.p * 10_000) / 10_000 === trade.p, String(trade.p));
    }
  });

  it("counts ids up per symbol", () => {
    const last = new Map<string, number>();
    for (const { S, i } of trades) {
      assert.ok((i as number) > (last.get(S) ?? 0));
      last.set(S, i as number);
    }
  });

  it("moves prices as its volatility says", () => {
    const day = generate("gbm", { symbols: ["AAPL"], batches: 390 * 4, size: 10, step: 15_000 });
    let sum = 0;
    for (let k = 10; k < day.length; k += 10) sum += ((day[k]!.p - day[k - 10]!.p) / day[k - 10]!.p) ** 2;
    const perYear = Math.sqrt(sum * 252);
    assert.ok(perYear > 0.2 && perYear < 0.32, `25 % a year expected, ${(perYear * 100).toFixed(1)} % seen`);
  });

  it("opens and closes with a print of the listing venue, and trades under Form T outside of hours", () => {
    // 9:25 to 16:05 New York, one batch a minute.
    const day = generate("gbm", { at: OPEN - 5 * 60_000, batches: 400, size: 60, step: 60_000 });
    for (const symbol of SYMBOLS) {
      const of = day.filter((trade) => trade.S === symbol);
      const opening = of.filter((trade) => trade.c!.includes("O")), closing = of.filter((trade) => trade.c!.includes("6"));
      assert.deepEqual([opening.length, closing.length], [1, 1], symbol);
      assert.equal(of.find((trade) => trade.t >= OPEN), opening[0]);
      assert.deepEqual([opening[0]!.x, closing[0]!.x], [profileOf(symbol).listing, profileOf(symbol).listing]);
      assert.ok(closing[0]!.t >= OPEN + 6.5 * 3_600_000);
      for (const trade of of) {
        const regular = trade.t >= OPEN && trade.t < OPEN + 6.5 * 3_600_000;
        if (trade !== closing[0]) assert.equal(trade.c!.includes("T"), !regular, JSON.stringify(trade));
      }
    }
  });

  it("trades more at the open and the close than at noon", () => {
    const volume = (hour: number) => generate("gbm", { at: OPEN + hour * 3_600_000, batches: 50, size: 1000 }).reduce((sum, trade) => sum + trade.s, 0);
    const noon = volume(3);
    assert.ok(volume(0.01) > 1.2 * noon && volume(6.4) > 1.2 * noon);
  });

  it("takes thousands of symbols", () => {
    const symbols = Array.from({ length: 5000 }, (_, k) => `S${k}`);
    const many = generate("gbm", { symbols, batches: 10, size: 5000 });
    assert.ok(new Set(many.map((trade) => trade.S)).size > 4500);
    assert.deepEqual([...new Set(many.map((trade) => trade.z))].sort(), ["A", "B", "C"]);
  });
});

describe("synthetic trades: numbers", () => {
  it("draws normal numbers of mean 0 and variance 1", () => {
    const random = new Random("n");
    let sum = 0, squares = 0, beyond = 0;
    for (let k = 0; k < 100_000; k++) {
      const n = random.normal();
      sum += n; squares += n * n;
      if (Math.abs(n) > 1.96) beyond++;
    }
    assert.ok(Math.abs(sum / 100_000) < 0.015 && Math.abs(squares / 100_000 - 1) < 0.02 && Math.abs(beyond / 100_000 - 0.05) < 0.005);
  });

  it("knows e^x without the engine's", () => {
    for (const x of [-2, -0.5, -1e-6, 0, 1e-9, 0.03, 1, 2]) assert.ok(Math.abs(exp(x) / Math.exp(x) - 1) < 1e-9, String(x));
  });

  it("knows New York's clock, also on the days when it changes", () => {
    const formatter = new Intl.DateTimeFormat("en-US", { timeZone: "America/New_York", hourCycle: "h23", hour: "2-digit" });
    for (const start of [Date.UTC(2024, 2, 9), Date.UTC(2024, 10, 2), Date.UTC(2025, 2, 8), Date.UTC(2025, 11, 31), Date.UTC(2026, 6, 1), Date.UTC(2026, 10, 1)]) {
      for (let hour = 0; hour < 48; hour++) {
        const ms = start + hour * 3_600_000;
        assert.equal(new Date(ms + newYorkOffset(ms)).getUTCHours(), Number(formatter.format(ms)), new Date(ms).toISOString());
      }
    }
  });

  it("generates a million uniform trades a CPU second, and knows what they weigh", () => {
    const source = new SyntheticTrades({ symbols: SYMBOLS, seed: "fast", priceModel: "uniform" });
    let best = 0;
    for (let run = 0; run < 8; run++) {
      const begun = process.cpuUsage();
      for (let k = 0; k < 50; k++) source.fill([], 1000, { at: k, span: 0 });
      const { user, system } = process.cpuUsage(begun);
      best = Math.max(best, 50_000 / ((user + system) / 1e6));
    }
    assert.ok(best >= 1e6, `${Math.round(best)} trades/s`);
    const before = process.memoryUsage().heapUsed;
    const held = source.fill([], 200_000, { at: 0, span: 0 });
    const bytes = (process.memoryUsage().heapUsed - before) / held.length;
    assert.ok(bytes < TRADE_BYTES * 1.6, `${bytes.toFixed(0)} bytes a trade`);
  });
});
