import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { SyntheticTrades } from "../../lib/trades/synthetic";
import { root } from "./start";

const DAY = 86_400_000;

/** Four days of trades in the columns of Alpaca's SDK: the real ones beside the repository, or generated ones. */
export function days(folder: string): { files: string[]; real: boolean; trades: number } {
  const data = join(root, "../shared/data/trades");
  if (existsSync(data)) return { files: readdirSync(data).filter((f) => f.endsWith(".csv.gz")).sort().map((f) => join(data, f)), real: true, trades: 2_345_448 };
  const source = new SyntheticTrades({ symbols: ["SPY", "BAC", "AIG", "IBM"], seed: "days", priceModel: "gbm" });
  const files = Array.from({ length: 4 }, (_, day) => {
    const trades = source.fill([], 100_000, { at: Date.UTC(2024, 0, 2 + day, 14, 30), span: DAY / 4 });
    const lines = trades.map((t) => `${t.S},${new Date(t.t as number).toISOString()},${t.x},${t.p},${t.s},${t.i},"[${t.c!.map((c) => `'${c}'`).join(", ")}]",${t.z}`);
    const file = join(folder, `2024-01-0${2 + day}.csv.gz`);
    writeFileSync(file, gzipSync(`symbol,timestamp,exchange,price,size,id,conditions,tape\n${lines.join("\n")}\n`, { level: 1 }));
    return file;
  });
  return { files, real: false, trades: 400_000 };
}
