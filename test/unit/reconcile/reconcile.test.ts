import assert from "node:assert/strict";
import fc from "fast-check";
import { compare, type Counted } from "../../../lib/reconcile/compare";
import { parseRange, reconcile, type Place } from "../../../lib/reconcile/run";
import { HOUR_MS, Tally, type TimeRange } from "../../../lib/reconcile/tally";
import { TradeColumns, TradeDictionary } from "../../../lib/trades/columnar/columns";
import type { Trade } from "../../../lib/trades/types";

const HOUR = 400_000 * HOUR_MS;
const ALL: TimeRange = { from: 0, to: 8.64e15 };
const trade = (over: Partial<Trade> = {}): Trade => ({ T: "t", S: "AAPL", i: 1, x: "V", p: 150.25, s: 100, timestamp: HOUR, c: ["@"], z: "C", ...over });

function tallyOf(trades: readonly Trade[], range: TimeRange = ALL): Tally {
  const columns = new TradeColumns(new TradeDictionary(), trades.length);
  for (const one of trades) assert.ok(columns.push(one));
  const tally = new Tally();
  tally.addColumns(columns, range);
  return tally;
}
const counted = (name: string, trades: readonly Trade[]): Counted => ({ name, tally: tallyOf(trades) });
const place = (name: string, trades: readonly Trade[]): Place => ({ name, count: (range) => Promise.resolve({ name, tally: tallyOf(trades, range) }) });

describe("reconciliation", () => {
  it("is equal whatever the order of the trades, and however they are cut into batches", () => {
    fc.assert(fc.property(
      fc.array(fc.record({ S: fc.constantFrom("A", "B", "BRK A"), p: fc.double({ min: 0.01, max: 1e5, noNaN: true }), s: fc.integer({ min: 1, max: 1e9 }), timestamp: fc.integer({ min: HOUR, max: HOUR + 3 * HOUR_MS }) }), { minLength: 1, maxLength: 60 }),
      fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })), fc.nat(60), (parts, random, cut) => {
        const trades = parts.map((part) => trade(part));
        const shuffled = trades.map((one) => ({ one, at: random.next().value })).sort((a, b) => a.at - b.at).map(({ one }) => one);
        const pieces = tallyOf(shuffled.slice(0, cut));
        for (const { symbol, hour, figures } of entries(tallyOf(shuffled.slice(cut)))) pieces.add(symbol, hour, figures);
        const result = compare([counted("a", trades), { name: "b", tally: pieces }]);
        assert.deepEqual([result.equal, result.places.map((one) => one.trades)], [true, [trades.length, trades.length]]);
      }), { numRuns: 60 });
  });

  it("names symbol and hour of one trade that is missing, doubled or changed, and says how", () => {
    const day = [trade(), trade({ i: 2, S: "MSFT", p: 20 }), trade({ i: 3, timestamp: HOUR + HOUR_MS + 1, p: 151 })];
    const cases: { other: Trade[]; text: RegExp; figures: string[] }[] = [
      { other: day.slice(0, 2), text: /^AAPL, 2015-08-19T17h: lake has 1 fewer than source \(0 against 1\)$/, figures: ["trades", "size", "priceSum"] },
      { other: [...day, day[1]!], text: /^MSFT, 2015-08-19T16h: lake has 1 more than source \(2 against 1\)$/, figures: ["trades", "size", "priceSum"] },
      { other: [trade({ p: 150.26 }), ...day.slice(1)], text: /^AAPL, 2015-08-19T16h: lake has as many trades as source, but differs in priceSum, minPrice, maxPrice$/, figures: ["priceSum", "minPrice", "maxPrice"] },
      { other: [trade({ s: 101 }), ...day.slice(1)], text: /differs in size$/, figures: ["size"] },
    ];
    for (const { other, text, figures } of cases) {
      const { equal, different, compared, differences: [difference] } = compare([counted("source", day), counted("lake", other)]);
      assert.deepEqual([equal, different, compared], [false, 1, 3]);
      assert.match(difference!.text, text);
      assert.deepEqual(difference!.figures, figures);
    }
  });

  it("sizes are summed exactly beyond 2^53, and a swap of two symbols does not cancel out", () => {
    const large = Number.MAX_SAFE_INTEGER;
    const a = [trade({ s: large }), trade({ s: large }), trade({ s: 1 })];
    assert.equal(compare([counted("a", a), counted("b", a)]).places[0]!.size, String(2n * BigInt(large) + 1n));
    assert.equal(compare([counted("a", a), counted("b", [...a.slice(0, 2), trade({ s: 2 })])]).equal, false);
    const swapped = compare([counted("a", [trade({ S: "A" }), trade({ S: "B" })]), counted("b", [trade({ S: "A" }), trade({ S: "A" })])]);
    assert.deepEqual(swapped.differences.map(({ symbol }) => symbol), ["A", "B"]);
  });

  it("lists the first differences by time and counts them all", () => {
    const many = Array.from({ length: 30 }, (_, n) => trade({ timestamp: HOUR + (29 - n) * HOUR_MS }));
    const { different, differences } = compare([counted("a", many), counted("b", [])], 5);
    assert.deepEqual([different, differences.length], [30, 5]);
    assert.deepEqual(differences.map(({ hour }) => Date.parse(hour)), [0, 1, 2, 3, 4].map((n) => HOUR + n * HOUR_MS));
  });

  it("compares the range alone, up to and without its end", async () => {
    const inside = [trade(), trade({ timestamp: HOUR + 999 })];
    const range = { from: HOUR, to: HOUR + 1000 };
    const told: string[] = [];
    const result = await reconcile([place("a", inside), place("b", [...inside, trade({ timestamp: HOUR + 1000 }), trade({ timestamp: HOUR - 1 })])], range, { progress: (text) => told.push(text) });
    assert.deepEqual([result.equal, result.summary, told], [true, "2 trades equal in 2 places", ["counting a", "counting b"]]);
    assert.deepEqual([result.from, result.to], [new Date(HOUR).toISOString(), new Date(HOUR + 1000).toISOString()]);
  });

  it("equal emptiness is told as what it is", async () => {
    assert.equal((await reconcile([place("a", []), place("b", [])], ALL)).summary, "no trades in any of 2 places");
  });

  it("a place that fails is named; one place alone is nothing to compare", async () => {
    const broken: Place = { name: "Pinot t", count: () => Promise.reject(new Error("no answer")) };
    await assert.rejects(reconcile([place("a", []), broken], ALL), /Pinot t could not be counted: no answer/);
    await assert.rejects(reconcile([place("a", [])], ALL), { code: "CONFIG_INVALID" });
    await assert.rejects(reconcile([place("a", []), place("b", [])], ALL, { signal: AbortSignal.abort() }), { code: "STOPPED" });
  });

  it("reads ranges: days, times, milliseconds; without an end the hours that are over", () => {
    const now = Date.UTC(2024, 4, 6, 7, 8, 9);
    assert.deepEqual(parseRange("2013-10-07", "2013-10-08"), { from: Date.UTC(2013, 9, 7), to: Date.UTC(2013, 9, 8) });
    assert.deepEqual(parseRange("2013-10-07T09:30:00-04:00", 1381176000000), { from: Date.UTC(2013, 9, 7, 13, 30), to: 1381176000000 });
    assert.deepEqual(parseRange("", undefined, now), { from: 0, to: Date.UTC(2024, 4, 6, 7) });
    assert.throws(() => parseRange("yesterday", ""), { code: "CONFIG_INVALID", message: /^from: "yesterday" is no time/ });
    assert.throws(() => parseRange("2013-10-07", "2013-10-07"), { code: "CONFIG_INVALID", message: /range is empty/ });
  });
});

function* entries(tally: Tally): Iterable<{ symbol: string; hour: number; figures: Parameters<Tally["add"]>[2] }> {
  for (const [key, figures] of tally.figures) yield { symbol: key.slice(key.indexOf(" ") + 1), hour: Number(key.split(" ", 1)[0]), figures };
}
