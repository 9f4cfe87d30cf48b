// Writes resources/sample-trades.csv, the recorded file that the shipped flows replay: ten minutes of two made-up tapes in the
// form of an Alpaca export. Made by the generator behind synthetic-gen, so it comes out the same every time and is nobody's data.
//   npx tsx scripts/make-sample.ts
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { SyntheticTrades } from "../lib/trades/synthetic";
import type { RawTrade } from "../lib/trades/types";

const START = Date.parse("2025-03-12T14:30:00Z");
const WINDOW_MS = 10_000;
const WINDOWS = 60;
const TRADES_PER_WINDOW = 30;

const generator = new SyntheticTrades({ symbols: ["IBM", "NVDA"], seed: "sample", priceModel: "gbm" });
const trades: RawTrade[] = [];
for (let n = 0; n < WINDOWS; n++) generator.fill(trades, TRADES_PER_WINDOW, { at: START + n * WINDOW_MS, span: WINDOW_MS });

const lines = trades.map((t) => {
  const conditions = `"[${(t.c ?? []).map((c) => `'${c}'`).join(",")}]"`;
  return [t.S, new Date(t.t).toISOString(), t.x, t.p, t.s, t.i, conditions, t.z].join(",");
});
writeFileSync(join(__dirname, "..", "resources", "sample-trades.csv"), `symbol,timestamp,exchange,price,size,id,conditions,tape\n${lines.join("\n")}\n`);
console.log(`${trades.length} trades`);
