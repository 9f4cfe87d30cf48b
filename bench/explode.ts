/**
 * explode-trades' core on one core, in batches of 1,000: trades/s from objects, from JSON text and with a dedupe
 * window, beside the two obvious ways to write it: a bare map, and zod per trade.
 *
 *   npx tsx bench/explode.ts [batches]
 */
import { DedupeWindow } from "../lib/trades/explode-dedupe";
import { explode } from "../lib/trades/explode";
import { rawTradeSchema } from "../lib/trades/schema";
import { SyntheticTrades } from "../lib/trades/synthetic";
import type { RawTrade, Trade } from "../lib/trades/types";

const batches = Number(process.argv[2] ?? 400);
const SIZE = 1000;
const source = new SyntheticTrades({ symbols: ["AAPL", "GOOGL", "MSFT", "AMZN", "TSLA"], seed: "bench", priceModel: "gbm" });
const input = Array.from({ length: 50 }, (_, k) => source.fill([], SIZE, { at: 1_700_000_000_000 + k * 1000, span: 1000 }));
const texts = input.map((batch) => JSON.stringify(batch));
/** A field more than the nine, so that the quick scanner leaves it to JSON.parse. */
const foreign = texts.map((text) => text.replace(/"T":"t"/g, '"T":"t","q":0'));
const longIds = texts.map((text) => text.replace(/"i":(\d+)/g, '"i":12345678$1'));
const documented = { names: "documented", other: "reject" } as const;

function flattenNaively(batch: RawTrade[]): Trade[] {
  return batch.map(({ T, S, i, x, p, s, t, c, z }) => ({ T, S, i, x, p, s, timestamp: t, c, z }));
}
function flattenWithZod(batch: RawTrade[]): Trade[] {
  return batch.map((trade) => {
    const { t, ...rest } = rawTradeSchema.parse(trade);
    return { ...rest, timestamp: t };
  });
}

/** CPU seconds that this process has used: other processes on the machine do not count. */
function cpu(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Trades per CPU second, median of five runs after one to warm up. */
function rate(count: number, step: (k: number) => unknown): number {
  const runs: number[] = [];
  for (let run = 0; run < 6; run++) {
    const begun = cpu();
    for (let k = 0; k < count; k++) step(k % input.length);
    runs.push((count * SIZE) / (cpu() - begun));
  }
  return runs.slice(1).sort((a, b) => a - b)[2]!;
}

let clock = 0;
const dedupe = new DedupeWindow(1, { now: () => clock }, 200_000);
const results: [string, number][] = [
  ["explode, objects", rate(batches, (k) => explode(input[k], documented))],
  ["bare map, objects (no checks)", rate(batches, (k) => flattenNaively(input[k]!))],
  ["zod per trade, objects", rate(Math.ceil(batches / 10), (k) => flattenWithZod(input[k]!))],
  ["explode, JSON text", rate(batches / 4, (k) => explode(texts[k], documented))],
  ["explode, JSON text, general way", rate(batches / 4, (k) => explode(foreign[k], documented))],
  ["JSON.parse alone", rate(batches / 4, (k) => JSON.parse(texts[k]!))],
  ["explode, JSON text, ids beyond 2^53", rate(batches / 8, (k) => explode(longIds[k], documented))],
  ["explode, objects, dedupe", rate(batches / 4, (k) => {
    if (k === 0) clock += 2; // the window has passed: the same trades are new again
    return explode(input[k], { ...documented, dedupe }, { origin: dedupe.open() });
  })],
];
const base = results[0]![1];
console.log(`batches of ${SIZE}, Node ${process.version}, CPU time of one core`);
for (const [name, perSecond] of results) console.log(`${name.padEnd(38)} ${(perSecond / 1e6).toFixed(2).padStart(7)} M trades/s   x ${(perSecond / base).toFixed(2)}`);
const uniform = new SyntheticTrades({ symbols: ["AAPL", "GOOGL", "MSFT"], seed: "bench", priceModel: "uniform" });
const generated: [string, number][] = [
  ["generate, uniform", rate(batches, (k) => uniform.fill([], SIZE, { at: k, span: 0 }))],
  ["generate, gbm", rate(batches / 4, (k) => source.fill([], SIZE, { at: 1_700_000_000_000 + k * 1000, span: 1000 }))],
];
for (const [name, perSecond] of generated) console.log(`${name.padEnd(38)} ${(perSecond / 1e6).toFixed(2).padStart(7)} M trades/s`);
