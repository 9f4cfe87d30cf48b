import { Row } from "./decoder";
import type { CsvFile } from "./file";
import type { Layout } from "./layout";
import { Found, RecordReader } from "./reader";

/** What long work on a file reports and obeys. */
export interface Work {
  signal: AbortSignal;
  /** Share done, 0 to 1. */
  progress?(share: number): void;
  /** Lets others run when this slice of work has been long enough. */
  breathe(): Promise<void>;
}

/**
 * Whether the rows that pass the filters stand in time order (to the millisecond). Reads symbols and times only, and
 * stops at the first row that goes back: a file sorted by symbol is recognised at its second symbol.
 */
export async function inTimeOrder(file: CsvFile, layout: Layout, work: Work): Promise<boolean> {
  const reader = await RecordReader.open(file, layout);
  const decoder = layout.decoder();
  let last = -Infinity;
  try {
    for (;;) {
      const found = reader.next();
      if (found === Found.Row) {
        if (decoder.key(reader.scanner) !== Row.Trade) continue;
        if (decoder.ms < last) return false;
        last = decoder.ms;
      } else if (found === Found.Need) {
        work.signal.throwIfAborted();
        await reader.fill();
        work.progress?.(reader.progress);
        await work.breathe();
      } else if (found === Found.End) return true;
    }
  } finally {
    await reader.close();
  }
}
