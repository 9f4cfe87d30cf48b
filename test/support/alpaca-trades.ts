import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { SyntheticTrades } from "../../lib/trades/synthetic";
import type { RawTrade } from "../../lib/trades/types";
import type { ServerTrade } from "./alpaca-server";
import { root } from "./start";

const DAY = "../shared/data/trades/2013-10-07.csv.gz";

/** A day as the stream would have brought it: the real 2013-10-07 where it lies beside the repository, a generated one else. */
export function dayOfTrades(): { trades: ServerTrade[]; real: boolean } {
  const file = join(root, DAY);
  if (existsSync(file)) {
    const lines = gunzipSync(readFileSync(file)).toString().trimEnd().split("\n").slice(1);
    return { real: true, trades: lines.map((line) => {
      const [, S, t, x, p, s, i, c, z] = /^([^,]*),([^,]*),([^,]*),([^,]*),([^,]*),([^,]*),"?(\[.*\])"?,([^,]*)$/.exec(line) as unknown as string[];
      return { T: "t", S: S!, i: Number(i), x: x!, p: Number(p), s: Number(s), t: t!, c: [...c!.matchAll(/'([^']*)'/g)].map((m) => m[1]!), z: z! };
    }) };
  }
  return { real: false, trades: someTrades(388_417) };
}

/** Generated trades with the times of `at` onwards. */
export function someTrades(count: number, options: { symbols?: string[]; at?: number; span?: number; seed?: string } = {}): ServerTrade[] {
  const { symbols = ["SPY", "BAC", "AIG", "IBM"], at = Date.UTC(2024, 0, 2, 14, 30), span = 6.5 * 3_600_000, seed = "alpaca" } = options;
  return new SyntheticTrades({ symbols, seed, priceModel: "gbm" }).fill([], count, { at, span })
    .map((trade) => ({ ...trade, t: new Date(trade.t).toISOString() }) as ServerTrade);
}

/** What a trade is known by. */
export const keyOf = ({ S, x, i, t }: Pick<RawTrade, "S" | "x" | "i" | "t"> | ServerTrade): string => `${S}|${x}|${i}|${typeof t === "number" ? t : Date.parse(t)}`;
