import { createReadStream, existsSync, readdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { createGunzip } from "node:zlib";
import { SyntheticTrades } from "../../lib/trades/synthetic";

/** A trade as it lands in the table. */
export interface BenchTrade { T: string; S: string; i: number; x: string; p: number; s: number; timestamp: number; c: string[]; z: string }

const data = join(__dirname, "../../../shared/data/trades");

/**
 * `n` trades in batches of 1,000: real ones where the data folder beside the repository has them, generated ones else.
 */
export async function* benchTrades(n: number): AsyncGenerator<BenchTrade[]> {
  let batch: BenchTrade[] = [], seen = 0;
  for await (const trade of existsSync(data) ? realTrades() : generatedTrades()) {
    batch.push(trade);
    seen++;
    if (batch.length === 1000 || seen === n) { yield batch; batch = []; }
    if (seen === n) return;
  }
}

async function* realTrades(): AsyncGenerator<BenchTrade> {
  for (;;) {
    for (const file of readdirSync(data).filter((f) => f.endsWith(".csv.gz")).sort()) {
      let first = true;
      for await (const line of createInterface({ input: createReadStream(join(data, file)).pipe(createGunzip()), crlfDelay: Infinity })) {
        if (first) { first = false; continue; }
        const match = /^([^,]*),([^,]*),([^,]*),([^,]*),([^,]*),([^,]*),"?(\[.*\])"?,([^,]*)$/.exec(line);
        if (!match) continue;
        const [, S, t, x, p, s, i, c, z] = match as unknown as string[];
        yield { T: "t", S: S!, i: Number(i), x: x!, p: Number(p), s: Number(s), timestamp: Date.parse(t!), c: [...c!.matchAll(/'([^']*)'/g)].map((m) => m[1]!), z: z! };
      }
    }
  }
}

async function* generatedTrades(): AsyncGenerator<BenchTrade> {
  const source = new SyntheticTrades({ symbols: ["AAPL", "GOOGL", "MSFT", "AMZN", "TSLA"], seed: "bench", priceModel: "gbm" });
  for (let k = 0; ; k++) {
    for (const { t, ...rest } of source.fill([], 1000, { at: Date.UTC(2024, 0, 2, 15) + k * 1000, span: 1000 })) yield { ...rest, timestamp: t } as BenchTrade;
  }
}

/** NaN where there are no values. */
export function quantile(values: readonly number[], q: number): number {
  return [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))] ?? NaN;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length === 0 ? NaN : sorted.length % 2 ? sorted[(sorted.length - 1) / 2]! : (sorted[sorted.length / 2 - 1]! + sorted[sorted.length / 2]!) / 2;
}

/** A Markdown table, numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((h, i) => Math.max(h.length, ...rows.map((r) => r[i]?.length ?? 0)));
  const line = (cells: readonly string[]): string => `| ${cells.map((c, i) => (i < 2 ? c.padEnd(widths[i]!) : c.padStart(widths[i]!))).join(" | ")} |`;
  return [line(head), `|${widths.map((w, i) => (i < 2 ? `${"-".repeat(w + 2)}` : `${"-".repeat(w + 1)}:`)).join("|")}|`, ...rows.map(line)].join("\n");
}
