import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { findFile, Outcome, prepareSource, type PrepareOptions, type ReadPosition, type RejectedRow } from "../../../../lib/trades/csv";
import type { RawTrade } from "../../../../lib/trades/types";

/** A folder for a suite's files; call `clean` after it. */
export function folder(): { dir: string; write(name: string, content: string | Buffer): string; clean(): void } {
  const dir = mkdtempSync(join(tmpdir(), "ticklake-csv-"));
  return {
    dir,
    write: (name, content) => {
      const path = join(dir, name);
      writeFileSync(path, content);
      return path;
    },
    clean: () => rmSync(dir, { recursive: true, force: true }),
  };
}

export const options = (overrides: Partial<PrepareOptions> = {}): PrepareOptions => ({
  dialect: "auto", order: "file", tempDir: tmpdir(), signal: new AbortController().signal, breathe: () => Promise.resolve(), ...overrides,
});

export interface ReadResult {
  dialect: string | undefined;
  sorted: boolean;
  trades: RawTrade[];
  rejects: RejectedRow[];
  /** Position before each trade. */
  positions: ReadPosition[];
}

/** Reads a whole file, from some position on. */
export async function read(path: string, overrides: Partial<PrepareOptions> = {}, at?: ReadPosition): Promise<ReadResult> {
  const source = await prepareSource(await findFile(basename(path), { baseDir: dirname(path) }), options(overrides));
  const cursor = await source.open(at ?? source.start);
  const result: ReadResult = { dialect: source.dialect, sorted: source.sorted, trades: [], rejects: [], positions: [] };
  for (;;) {
    const position = { offset: cursor.offset, line: cursor.line, rows: cursor.rows };
    const outcome = cursor.next();
    if (outcome === Outcome.Trade) {
      result.trades.push(cursor.trade);
      result.positions.push(position);
    } else if (outcome === Outcome.Reject) result.rejects.push({ ...cursor.reject });
    else if (outcome === Outcome.Need) await cursor.fill();
    else break;
  }
  await cursor.close();
  await source.dispose();
  return result;
}

export const ALPACA = "symbol,timestamp,exchange,price,size,id,conditions,tape";

/** An Alpaca file of `n` trades a millisecond apart, symbols taken in turns. */
export function alpacaFile(n: number, symbols = ["AAPL"], start = Date.UTC(2024, 0, 2, 14, 30)): string {
  const rows = Array.from({ length: n }, (_, i) => `${symbols[i % symbols.length]},${new Date(start + i).toISOString()},V,${(100 + (i % 100) / 100).toFixed(2)},${1 + (i % 500)},${i + 1},"['@', 'I']",C`);
  return `${[ALPACA, ...rows].join("\n")}\n`;
}

export const gz = (text: string): Buffer => gzipSync(text);
