import { TicklakeError } from "../../errors";
import { Row } from "./decoder";
import type { CsvFile } from "./file";
import type { Layout } from "./layout";
import type { Work } from "./order";
import { Found, RecordReader } from "./reader";
import { HEADER, Kind, writeHeader } from "./spilled";
import { mergeChains } from "./merge";
import { SpillFile } from "./spill";

/**
 * External sort by time, in constant memory. Rows are taken in blocks that are sorted in memory; a block that begins no
 * earlier than the end of an earlier one is chained to it. So a file that is sorted by symbol gives about one chain per
 * symbol (or per block, whichever is fewer), and one with late reports only a few. Then the chains are merged.
 * What is sorted is the text of the rows: they are decoded when they are replayed, and rows that cannot be read
 * stay beside the row before them.
 */

/** Rows and bytes of a block: sorting one takes a few ms. */
const BLOCK_ROWS = 16_384;
const BLOCK_BYTES = 2 * 1024 * 1024;
const MAX_CHAINS = 16_384;

/** Bytes of one temporary file at the most, unless set otherwise. Two of them exist while merging. */
export const MAX_SORT_BYTES = 32 * 1024 ** 3;

export interface SortOptions extends Work {
  /** Folder of the temporary files. */
  tempDir: string;
  maxSortBytes?: number;
}

/** Blocks that follow each other in time: [position, length] of each in the spill file. */
export interface Chain {
  extents: [position: number, length: number][];
  lastMs: number;
  lastNs: number;
}

/**
 * Sorts the rows that pass the filters; equal times keep the order of the file.
 *
 * @throws TicklakeError CSV_MERGE_TOO_LARGE, STORAGE_FULL, STORAGE_FAILED
 */
export async function sortByTime(file: CsvFile, layout: Layout, options: SortOptions): Promise<SpillFile> {
  const spill = await SpillFile.create(options.tempDir);
  try {
    const chains = await writeChains(file, layout, spill, options);
    // One chain of adjoining blocks: it is sorted as it stands.
    if (chains.length === 0 || (chains.length === 1 && chains[0]!.extents.length === 1)) return spill;
    const sorted = await SpillFile.create(options.tempDir);
    try {
      await mergeChains(spill, chains, sorted, options);
    } catch (error) {
      await sorted.dispose();
      throw error;
    }
    await spill.dispose();
    return sorted;
  } catch (error) {
    await spill.dispose();
    throw error;
  }
}

async function writeChains(file: CsvFile, layout: Layout, spill: SpillFile, options: SortOptions): Promise<Chain[]> {
  const reader = await RecordReader.open(file, layout);
  const decoder = layout.decoder();
  const chains: Chain[] = [];
  const block = new Block();
  const max = options.maxSortBytes ?? MAX_SORT_BYTES;
  const flush = async () => {
    if (block.rows === 0) return;
    block.sort();
    const chain = chainFor(chains, block);
    if (chains.length > MAX_CHAINS || spill.size + block.bytes > max) throw tooLarge(file, max);
    const position = spill.size;
    await spill.append(block.take());
    const last = chain.extents.at(-1);
    if (last && last[0] + last[1] === position) last[1] += spill.size - position;
    else chain.extents.push([position, spill.size - position]);
    await options.breathe();
  };
  // Rows that cannot be ordered inherit the time before them.
  let ms = -1, ns = 0;
  try {
    for (;;) {
      const found = reader.next();
      if (found === Found.Row) {
        const scanner = reader.scanner;
        const row = decoder.key(scanner);
        if (row === Row.Filtered) continue;
        if (row === Row.Trade) { ms = decoder.ms; ns = decoder.ns; }
        if (!block.fits(scanner.recordEnd - scanner.recordStart)) await flush();
        if (row === Row.Trade) block.add(Kind.Row, ms, ns, scanner.line, scanner.buf, scanner.recordStart, scanner.recordEnd);
        else block.addReject(ms, ns, scanner.line, scanner.recordText(), decoder.reason);
      } else if (found === Found.Reject) {
        if (!block.fits(0)) await flush();
        block.addReject(ms, ns, reader.reject.line, reader.reject.text, reader.reject.reason);
      } else if (found === Found.Need) {
        options.signal.throwIfAborted();
        await reader.fill();
        options.progress?.(reader.progress / 2);
        await options.breathe();
      } else break;
    }
    await flush();
    return chains;
  } finally {
    await reader.close();
  }
}

/** The chain that the block continues: of those that end before it, the one that ends last (patience sorting). */
function chainFor(chains: Chain[], block: Block): Chain {
  let best: Chain | undefined;
  for (const chain of chains) {
    const fits = chain.lastMs < block.firstMs || (chain.lastMs === block.firstMs && chain.lastNs <= block.firstNs);
    if (fits && (!best || chain.lastMs > best.lastMs || (chain.lastMs === best.lastMs && chain.lastNs > best.lastNs))) best = chain;
  }
  if (!best) {
    best = { extents: [], lastMs: 0, lastNs: 0 };
    chains.push(best);
  }
  best.lastMs = block.lastMs;
  best.lastNs = block.lastNs;
  return best;
}

function tooLarge(file: CsvFile, max: number): TicklakeError {
  return new TicklakeError("CSV_MERGE_TOO_LARGE",
    `${file.name} is not in time order and too large to be sorted here (limit ${Math.round(max / 1024 ** 2)} MB of temporary files). Sort it by time beforehand, filter it by symbols, set the order to "as in the file", or raise ticklake.maxSortBytes in settings.js.`);
}

/** Rows in memory, sorted by an index. */
class Block {
  rows = 0;
  private used = 0;
  private source = Buffer.allocUnsafeSlow(BLOCK_BYTES + 512 * 1024);
  private target = Buffer.allocUnsafeSlow(BLOCK_BYTES + 512 * 1024);
  private readonly ms = new Float64Array(BLOCK_ROWS);
  private readonly ns = new Uint32Array(BLOCK_ROWS);
  private readonly at = new Uint32Array(BLOCK_ROWS + 1);
  private order = new Uint32Array(0);
  private sorted = true;

  get bytes(): number { return this.used; }
  get firstMs(): number { return this.ms[this.order[0]!]!; }
  get firstNs(): number { return this.ns[this.order[0]!]!; }
  get lastMs(): number { return this.ms[this.order[this.rows - 1]!]!; }
  get lastNs(): number { return this.ns[this.order[this.rows - 1]!]!; }

  fits(length: number): boolean { return this.rows < BLOCK_ROWS && this.used + HEADER + length <= BLOCK_BYTES; }

  add(kind: Kind, ms: number, ns: number, line: number, buf: Buffer, start: number, end: number): void {
    const n = this.rows;
    if (n > 0 && (ms < this.ms[n - 1]! || (ms === this.ms[n - 1]! && ns < this.ns[n - 1]!))) this.sorted = false;
    this.ms[n] = ms;
    this.ns[n] = ns;
    this.at[n] = this.used;
    writeHeader(this.source, this.used, { length: end - start, kind, ns, ms, line });
    buf.copy(this.source, this.used + HEADER, start, end);
    this.used += HEADER + end - start;
    this.at[++this.rows] = this.used;
  }

  addReject(ms: number, ns: number, line: number, text: string, reason: string): void {
    const bytes = Buffer.from(JSON.stringify({ text, reason }));
    this.add(Kind.Reject, ms, ns, line, bytes, 0, bytes.length);
  }

  /** Stable: equal times keep the order of the file. */
  sort(): void {
    this.order = Uint32Array.from({ length: this.rows }, (_, i) => i);
    const { ms, ns } = this;
    if (!this.sorted) this.order.sort((a, b) => ms[a]! - ms[b]! || ns[a]! - ns[b]! || a - b);
  }

  /** The rows in order; valid until the next `add`. Empties the block. */
  take(): Buffer {
    const bytes = this.used;
    if (!this.sorted) {
      let to = 0;
      for (const i of this.order) to += this.source.copy(this.target, to, this.at[i], this.at[i + 1]);
      [this.source, this.target] = [this.target, this.source];
    }
    this.rows = this.used = 0;
    this.sorted = true;
    return this.source.subarray(0, bytes);
  }
}
