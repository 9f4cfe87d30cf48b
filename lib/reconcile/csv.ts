/** Counts the trades of a recorded file: what a replay of it should have brought everywhere. */
import { Outcome, prepareSource, type CsvFile } from "../trades/csv";
import { systemClock } from "../trades/pace";
import type { ReplayConfig } from "../trades/replay-config";
import type { Counted } from "./compare";
import { HOUR_MS, Tally, type TimeRange } from "./tally";

/** Rows between two turns for others. */
const SLICE_ROWS = 20_000;

/** What a file holds; without any trade there is no time. */
export interface CountedFile extends Counted {
  /** Unix ms of its first and its last trade in the range. */
  readonly first: number | undefined;
  readonly last: number | undefined;
}

/**
 * @param config as the replay has it: dialect, symbols, from, to and what else decides which rows are trades
 * @throws TicklakeError as prepareSource; STOPPED
 */
export async function countFile(file: CsvFile, config: ReplayConfig, range: TimeRange, signal: AbortSignal = new AbortController().signal): Promise<CountedFile> {
  const source = await prepareSource(file, { ...config, order: "file", tempDir: "", signal, breathe: () => systemClock.yield() });
  const cursor = await source.open(source.start);
  const tally = new Tally();
  let unreadable = 0, first = Infinity, last = -Infinity;
  try {
    for (let rows = 0; ; rows++) {
      const outcome = cursor.next();
      if (outcome === Outcome.End) break;
      if (outcome === Outcome.Need) await cursor.fill();
      else if (outcome === Outcome.Reject) unreadable++;
      else {
        const { S, t, p, s } = cursor.trade;
        if (t >= range.from && t < range.to) {
          tally.add(S, Math.floor(t / HOUR_MS), { count: 1, size: BigInt(s), priceSum: p, minPrice: p, maxPrice: p });
          first = Math.min(first, t);
          last = Math.max(last, t);
        }
      }
      if (rows % SLICE_ROWS === 0) { await systemClock.yield(); signal.throwIfAborted(); }
    }
  } finally {
    await cursor.close();
    await source.dispose();
  }
  const found = last >= first;
  return { name: `file ${file.name}`, tally, unreadable, first: found ? first : undefined, last: found ? last : undefined };
}
