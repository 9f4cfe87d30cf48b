import type { ByteSource } from "./bytes";
import { DamagedInput, openBytes } from "./bytes";
import type { CsvFile } from "./file";
import type { Layout } from "./layout";
import { RecordScanner, Scan } from "./scanner";

/** A row that is set aside: its line in the file (from 1), its text (long ones cut), and why. */
export interface RejectedRow {
  line: number;
  text: string;
  reason: string;
}

/** Where reading goes on: byte of the (unpacked) content, its line, and how many rows came before (for a footer's count). */
export interface ReadPosition {
  readonly offset: number;
  readonly line: number;
  readonly rows: number;
}

/** What `RecordReader.next` found. */
export const enum Found {
  /** `scanner` holds a record that should be a row. */
  Row = 1,
  /** `reject` holds a line that cannot be one. */
  Reject = 2,
  /** Call `fill` and go on. */
  Need = 3,
  End = 4,
}

/** The records of a file from some position on: line ends, blank lines, footers and damaged ends are dealt with here. */
export class RecordReader {
  reject: RejectedRow = { line: 0, text: "", reason: "" };
  /** Rows before the next record, good or bad. */
  rows: number;
  readonly scanner: RecordScanner;
  private damage: RejectedRow | undefined;
  private ended = false;

  private constructor(private readonly source: ByteSource, private readonly layout: Layout, private readonly file: CsvFile, at: ReadPosition) {
    this.rows = at.rows;
    this.scanner = new RecordScanner({ separator: layout.separator, expected: layout.columns, offset: at.offset, line: at.line });
  }

  static async open(file: CsvFile, layout: Layout, at: ReadPosition = start(layout)): Promise<RecordReader> {
    return new RecordReader(await openBytes(file, at.offset), layout, file, at);
  }

  get offset(): number { return this.scanner.offset; }
  get line(): number { return this.scanner.lineAhead; }
  /** Share of the file that was given out, 0 to 1; of a compressed file the share that was unpacked, a little ahead of it. */
  get progress(): number {
    const { size, compression } = this.file;
    if (this.ended || size === 0) return 1;
    return Math.min(1, (compression === "none" ? this.scanner.offset : this.source.consumed) / size);
  }

  next(): Found {
    for (;;) {
      const scan = this.scanner.next();
      if (scan === Scan.Record) {
        if (this.layout.dialect.footer !== undefined && this.isFooter()) {
          if (this.reject.reason === "") continue;
          return Found.Reject;
        }
        this.rows++;
        return Found.Row;
      }
      if (scan === Scan.Bad) {
        this.rows++;
        this.reject = { line: this.scanner.line, text: this.scanner.recordText(), reason: this.scanner.reason };
        return Found.Reject;
      }
      if (scan === Scan.Need) return Found.Need;
      this.ended = true;
      if (!this.damage) return Found.End;
      this.reject = this.damage;
      this.damage = undefined;
      return Found.Reject;
    }
  }

  /** Reads on. */
  async fill(): Promise<void> {
    try {
      const piece = await this.source.next();
      if (piece) this.scanner.push(piece);
      else this.scanner.finish();
    } catch (error) {
      if (!(error instanceof DamagedInput)) throw error;
      // The last row may be cut off in the middle of a number: it is not read, but shown.
      this.damage = { line: this.scanner.lineAhead, text: this.scanner.rest(), reason: error.message };
      this.scanner.drop();
    }
  }

  close(): Promise<void> { return this.source.close(); }

  /** A footer whose count is right is no row and no reject; a wrong one tells that rows are missing. */
  private isFooter(): boolean {
    const scanner = this.scanner;
    if (scanner.count < 3 || scanner.buf[scanner.starts[0]!] !== 69) return false;
    const claimed = this.layout.dialect.footer!([scanner.field(0), scanner.field(1), scanner.field(2)]);
    if (claimed === undefined) return false;
    const reason = claimed === this.rows ? "" : `the footer counts ${claimed} rows, the file has ${this.rows}: the file is incomplete or was changed`;
    this.reject = { line: scanner.line, text: scanner.recordText(), reason };
    return true;
  }
}

/** Where the first row of a file begins. */
export function start(layout: Layout): ReadPosition {
  return { offset: layout.offset, line: layout.line, rows: 0 };
}
