import { findFile, Outcome, prepareSource, type FileRules } from "./csv";
import { systemClock } from "./pace";
import type { ReplayConfig } from "./replay-config";
import { marketTime } from "./replay-status";
import type { RawTrade } from "./types";

/** What a look at the beginning of a file says. */
export interface FileSummary {
  readonly dialect: string;
  readonly compression: "none" | "gzip" | "zstd";
  /** On disk. */
  readonly bytes: number;
  /** The first trade that passes the filters, among the first rows. */
  readonly first?: RawTrade;
  /** Why the first bad row is bad, among the same. */
  readonly rejected?: { readonly line: number; readonly reason: string };
}

/** How long a look for a file's symbols may take, ms. */
const LOOK_MS = 1_500;

/**
 * The symbols of the trades at the beginning of a file, and how many trades of each were seen, most first: those that `config` lets through, of as
 * much of the file as can be read in a moment.
 *
 * @throws TicklakeError as findFile and prepareSource
 */
export async function fileSymbols(name: string, rules: FileRules, config: ReplayConfig): Promise<Map<string, number>> {
  const file = await findFile(name, rules);
  const source = await prepareSource(file, { ...config, order: "file", tempDir: "", signal: new AbortController().signal, breathe: () => systemClock.yield() });
  const cursor = await source.open(source.start);
  const seen = new Map<string, number>();
  try {
    for (const until = Date.now() + LOOK_MS; ;) {
      const outcome = cursor.next();
      if (outcome === Outcome.Trade) seen.set(cursor.trade.S, (seen.get(cursor.trade.S) ?? 0) + 1);
      else if (outcome === Outcome.End) break;
      else if (outcome !== Outcome.Reject) {
        if (Date.now() > until) break;
        await cursor.fill();
      }
    }
  } finally {
    await cursor.close();
    await source.dispose();
  }
  return new Map([...seen].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1)));
}

/** Pieces of the file to look at. */
const PIECES = 4;

/**
 * Looks at the beginning of a file with the settings of a replay.
 *
 * @throws TicklakeError as findFile and prepareSource
 */
export async function inspectFile(name: string, rules: FileRules, config: ReplayConfig): Promise<FileSummary> {
  const file = await findFile(name, rules);
  const source = await prepareSource(file, { ...config, order: "file", tempDir: "", signal: new AbortController().signal, breathe: () => systemClock.yield() });
  const cursor = await source.open(source.start);
  let first: RawTrade | undefined, rejected: FileSummary["rejected"];
  try {
    for (let pieces = 0; !first;) {
      const outcome = cursor.next();
      if (outcome === Outcome.Trade) first = cursor.trade;
      else if (outcome === Outcome.Reject) rejected ??= { line: cursor.reject.line, reason: cursor.reject.reason };
      else if (outcome === Outcome.End || ++pieces > PIECES) break;
      else await cursor.fill();
    }
  } finally {
    await cursor.close();
    await source.dispose();
  }
  return { dialect: source.dialect ?? "", compression: file.compression, bytes: file.size, ...(first && { first }), ...(rejected && { rejected }) };
}

/** The same in a sentence. */
export function describeFile({ dialect, compression, bytes, first, rejected }: FileSummary): string {
  if (dialect === "") return "The file is empty.";
  const size = bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  const what = `${dialect}, ${size}${compression === "none" ? "" : ` (${compression})`}`;
  const bad = rejected ? ` Line ${rejected.line} is rejected: ${rejected.reason}.` : "";
  return first ? `${what}. First trade: ${first.S}, ${first.s} at ${first.p}, ${marketTime(first.t)}.${bad}` : `${what}. No trade among the first rows passes.${bad}`;
}
