import type { TradeCursor } from "./cursor";
import { FileCursor } from "./cursor";
import type { CsvFile } from "./file";
import type { LayoutOptions } from "./layout";
import { EMPTY_FILE, readLayout } from "./layout";
import { inTimeOrder } from "./order";
import type { ReadPosition } from "./reader";
import { start } from "./reader";
import type { SortOptions } from "./sort";
import { sortByTime } from "./sort";
import { SpilledCursor } from "./spilled";

/** `time`: market-time order, whatever the order of the file. `file`: as the rows stand. */
export type ReplayOrder = "time" | "file";

export interface PrepareOptions extends LayoutOptions, Omit<SortOptions, "progress"> {
  order: ReplayOrder;
  /** What is being done, and how much of it, 0 to 1. */
  progress?(phase: "checking" | "sorting", share: number): void;
}

/** A file made ready for replay: any number of cursors may be opened, one after the other or side by side. */
export interface TradeSource {
  /** Name of the dialect, undefined for a file without any line. */
  readonly dialect: string | undefined;
  /** Whether a sorted copy is replayed because the file is not in time order. */
  readonly sorted: boolean;
  readonly start: ReadPosition;
  open(at: ReadPosition): Promise<TradeCursor>;
  /** Deletes the sorted copy, if there is one. */
  dispose(): Promise<void>;
}

/**
 * Reads the header, checks the order of the rows, and sorts a file that is not in time order into a temporary file.
 *
 * @throws TicklakeError CSV_DIALECT_UNKNOWN, CSV_MERGE_TOO_LARGE, CONFIG_INVALID, FILE_UNREADABLE, STORAGE_FULL
 */
export async function prepareSource(file: CsvFile, options: PrepareOptions): Promise<TradeSource> {
  const layout = await readLayout(file, options);
  const nothing = () => Promise.resolve();
  if (layout === EMPTY_FILE) return { dialect: undefined, sorted: false, start: { offset: 0, line: 1, rows: 0 }, open: () => Promise.resolve(emptyCursor), dispose: nothing };
  const work = (phase: "checking" | "sorting"): SortOptions => ({ ...options, progress: (share) => options.progress?.(phase, share) });
  if (options.order === "file" || await inTimeOrder(file, layout, work("checking"))) {
    return { dialect: layout.dialect.name, sorted: false, start: start(layout), open: (at) => FileCursor.open(file, layout, at), dispose: nothing };
  }
  const spill = await sortByTime(file, layout, work("sorting"));
  return {
    dialect: layout.dialect.name, sorted: true, start: { offset: 0, line: layout.line, rows: 0 },
    open: (at) => Promise.resolve(new SpilledCursor(spill, layout, at)),
    dispose: () => spill.dispose(),
  };
}

const emptyCursor = {
  offset: 0, line: 1, rows: 0, progress: 1,
  next: () => 4, fill: () => Promise.resolve(), close: () => Promise.resolve(),
} as unknown as TradeCursor;
