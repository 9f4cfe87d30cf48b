import type { RawTrade } from "../types";
import type { RowDecoder } from "./decoder";
import { Row } from "./decoder";
import type { CsvFile } from "./file";
import type { Layout } from "./layout";
import type { ReadPosition, RejectedRow } from "./reader";
import { Found, RecordReader } from "./reader";

/** What `TradeCursor.next` found. */
export const enum Outcome {
  /** `trade` is the next one that passes the filters. */
  Trade = 1,
  /** `reject` is a row that cannot be read. */
  Reject = 2,
  /** Call `fill` and go on. */
  Need = 3,
  End = 4,
}

/** Trades one by one: `next` never waits, `fill` does the reading. */
export interface TradeCursor {
  readonly trade: RawTrade;
  readonly reject: RejectedRow;
  /** Position of what comes next: a new cursor opened there goes on exactly here. */
  readonly offset: number;
  readonly line: number;
  readonly rows: number;
  /** Share of the input that was read, 0 to 1. */
  readonly progress: number;
  next(): Outcome;
  fill(): Promise<void>;
  close(): Promise<void>;
}

/** A file's trades in the order of the file. */
export class FileCursor implements TradeCursor {
  trade!: RawTrade;
  reject!: RejectedRow;

  private constructor(private readonly reader: RecordReader, private readonly decoder: RowDecoder) {}

  static async open(file: CsvFile, layout: Layout, at?: ReadPosition): Promise<FileCursor> {
    return new FileCursor(await RecordReader.open(file, layout, at), layout.decoder());
  }

  get offset(): number { return this.reader.offset; }
  get line(): number { return this.reader.line; }
  get rows(): number { return this.reader.rows; }
  get progress(): number { return this.reader.progress; }

  next(): Outcome {
    const { reader, decoder } = this;
    for (;;) {
      const found = reader.next();
      if (found === Found.Row) {
        const row = decoder.decode(reader.scanner);
        if (row === Row.Filtered) continue;
        if (row === Row.Trade) {
          this.trade = decoder.trade;
          return Outcome.Trade;
        }
        this.reject = { line: reader.scanner.line, text: reader.scanner.recordText(), reason: decoder.reason };
        return Outcome.Reject;
      }
      if (found === Found.Reject) {
        this.reject = reader.reject;
        return Outcome.Reject;
      }
      return found === Found.Need ? Outcome.Need : Outcome.End;
    }
  }

  fill(): Promise<void> { return this.reader.fill(); }
  close(): Promise<void> { return this.reader.close(); }
}
