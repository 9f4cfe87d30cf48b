import type { RawTrade } from "../types";
import type { TradeCursor } from "./cursor";
import { Outcome } from "./cursor";
import type { RowDecoder } from "./decoder";
import { Row } from "./decoder";
import type { Layout } from "./layout";
import type { ReadPosition, RejectedRow } from "./reader";
import { RecordScanner } from "./scanner";
import type { SpillFile } from "./spill";

/** Rows in a temporary file: a header of 32 bytes (length, kind, ns, -, ms, line), then the text of the row as it was. */
export const HEADER = 32;
export const enum Kind { Row = 0, Reject = 1 }

export interface SpilledHeader {
  length: number;
  kind: Kind;
  /** Nanoseconds below `ms`. */
  ns: number;
  ms: number;
  line: number;
}

export function writeHeader(buf: Buffer, at: number, header: SpilledHeader): void {
  buf.writeUInt32LE(header.length, at);
  buf.writeUInt32LE(header.kind, at + 4);
  buf.writeUInt32LE(header.ns, at + 8);
  buf.writeDoubleLE(header.ms, at + 16);
  buf.writeDoubleLE(header.line, at + 24);
}

const CHUNK = 256 * 1024;

/** The trades of a sorted temporary file, in time order. */
export class SpilledCursor implements TradeCursor {
  trade!: RawTrade;
  reject!: RejectedRow;
  offset: number;
  line: number;
  rows: number;
  private buf = Buffer.alloc(0);
  private pos = 0;
  private base: number;
  private ended = false;
  private readonly scanner: RecordScanner;
  private readonly decoder: RowDecoder;

  constructor(private readonly file: SpillFile, layout: Layout, at: ReadPosition) {
    this.offset = this.base = at.offset;
    this.line = at.line;
    this.rows = at.rows;
    this.scanner = new RecordScanner({ separator: layout.separator });
    this.decoder = layout.decoder();
  }

  get progress(): number { return this.file.size === 0 ? 1 : this.offset / this.file.size; }

  next(): Outcome {
    for (;;) {
      const at = this.pos, left = this.buf.length - at;
      if (left < HEADER) return this.ended ? Outcome.End : Outcome.Need;
      const length = this.buf.readUInt32LE(at);
      if (left < HEADER + length) return Outcome.Need;
      const start = at + HEADER, end = start + length;
      this.line = this.buf.readDoubleLE(at + 24);
      this.pos = end;
      this.offset = this.base + end;
      this.rows++;
      if (this.buf.readUInt32LE(at + 4) === Kind.Reject) {
        const { text, reason } = JSON.parse(this.buf.toString("utf8", start, end)) as { text: string; reason: string };
        this.reject = { line: this.line, text, reason };
        return Outcome.Reject;
      }
      this.scanner.load(this.buf, start, end, this.line);
      this.scanner.next();
      const row = this.decoder.decode(this.scanner);
      if (row === Row.Trade) {
        this.trade = this.decoder.trade;
        return Outcome.Trade;
      }
      if (row === Row.Bad) {
        this.reject = { line: this.line, text: this.scanner.recordText(), reason: this.decoder.reason };
        return Outcome.Reject;
      }
    }
  }

  async fill(): Promise<void> {
    const left = this.buf.length - this.pos;
    // A row longer than what is there needs a larger buffer; usually nothing is left but the beginning of one.
    const next = Buffer.allocUnsafeSlow(left + CHUNK);
    this.buf.copy(next, 0, this.pos);
    const position = this.base + this.buf.length;
    const read = await this.file.read(next, left, CHUNK, position);
    this.base += this.pos;
    this.pos = 0;
    this.buf = next.subarray(0, left + read);
    this.ended = read < CHUNK;
  }

  close(): Promise<void> { return Promise.resolve(); }
}
