import type { Work } from "./order";
import type { Chain } from "./sort";
import type { SpillFile } from "./spill";
import { HEADER } from "./spilled";

/** Memory of all chains together while merging. */
const MERGE_BYTES = 64 * 1024 * 1024;
const MIN_BUFFER = 4096, MAX_BUFFER = 1024 * 1024;
const OUT_BYTES = 1024 * 1024;
/** Rows between two looks at the clock. */
const SLICE = 1024;

/** Merges sorted chains of `from` into `to`: by time, then by line. */
export async function mergeChains(from: SpillFile, chains: readonly Chain[], to: SpillFile, work: Work): Promise<void> {
  const size = Math.max(MIN_BUFFER, Math.min(MAX_BUFFER, Math.floor(MERGE_BYTES / chains.length)));
  const heap: ChainReader[] = [];
  for (const chain of chains) {
    const reader = new ChainReader(from, chain.extents, size);
    if (await reader.fill()) heap.push(reader);
  }
  for (let i = (heap.length >> 1) - 1; i >= 0; i--) siftDown(heap, i);

  let out = Buffer.allocUnsafeSlow(OUT_BYTES), used = 0, rows = 0;
  while (heap.length > 0) {
    const top = heap[0]!;
    const length = top.length;
    if (used + length > out.length) {
      await to.append(out.subarray(0, used));
      used = 0;
      if (length > out.length) out = Buffer.allocUnsafeSlow(length);
      work.progress?.(0.5 + to.size / from.size / 2);
    }
    used += top.buf.copy(out, used, top.pos, top.pos + length);
    if (!top.advance() && !(await top.fill())) {
      const last = heap.pop()!;
      if (heap.length === 0) break;
      if (last !== top) heap[0] = last;
    }
    siftDown(heap, 0);
    if (++rows % SLICE === 0) {
      work.signal.throwIfAborted();
      await work.breathe();
    }
  }
  await to.append(out.subarray(0, used));
}

/** Reads one chain; its current row lies at `pos` in `buf`. */
class ChainReader {
  buf = Buffer.alloc(0);
  pos = 0;
  /** Bytes of the current row, header included. */
  length = 0;
  ms = 0;
  ns = 0;
  line = 0;
  private extent = 0;
  private done = 0;

  constructor(private readonly file: SpillFile, private readonly extents: Chain["extents"], private readonly size: number) {}

  /** Goes to the next row; false when it is not in memory (then call fill). */
  advance(): boolean {
    this.pos += this.length;
    this.length = 0;
    return this.look();
  }

  /** Reads on until the current row is whole; false at the end of the chain. */
  async fill(): Promise<boolean> {
    while (!this.look()) {
      const left = this.buf.length - this.pos;
      const [position, length] = this.extents[this.extent] ?? [0, 0];
      const want = Math.min(length - this.done, Math.max(this.size, left));
      if (want <= 0) return false;
      const next = Buffer.allocUnsafe(left + want);
      this.buf.copy(next, 0, this.pos);
      await this.file.read(next, left, want, position + this.done);
      this.done += want;
      if (this.done >= length) { this.extent++; this.done = 0; }
      this.buf = next;
      this.pos = 0;
    }
    return true;
  }

  private look(): boolean {
    const { buf, pos } = this;
    if (buf.length - pos < HEADER) return false;
    const length = HEADER + buf.readUInt32LE(pos);
    if (buf.length - pos < length) return false;
    this.length = length;
    this.ns = buf.readUInt32LE(pos + 8);
    this.ms = buf.readDoubleLE(pos + 16);
    this.line = buf.readDoubleLE(pos + 24);
    return true;
  }
}

function before(a: ChainReader, b: ChainReader): boolean {
  if (a.ms !== b.ms) return a.ms < b.ms;
  if (a.ns !== b.ns) return a.ns < b.ns;
  return a.line < b.line;
}

function siftDown(heap: ChainReader[], i: number): void {
  const item = heap[i]!;
  for (;;) {
    let child = 2 * i + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
    if (!before(heap[child]!, item)) break;
    heap[i] = heap[child]!;
    i = child;
  }
  heap[i] = item;
}
