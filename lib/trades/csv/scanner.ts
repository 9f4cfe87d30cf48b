/**
 * Splits delimited text into records and fields, on bytes, without building strings: the fields of the current record
 * are ranges of `buf`. RFC 4180 quoting (embedded separators, line ends, doubled quotes), LF and CRLF.
 *
 * A quote that is never closed must not swallow the rows after it. So a record that spans lines and turns out to be
 * malformed costs its first line only, and scanning goes on with the second.
 */

/** What `next` found. */
export const enum Scan {
  /** A record: its fields are in starts, ends, flags. */
  Record = 1,
  /** The buffer ends within a record: push more, or finish. */
  Need = 2,
  /** Nothing is left. */
  End = 3,
  /** A line that cannot be split; `reason` says why. Scanning goes on behind it. */
  Bad = 4,
}

/** How a field was written. */
export const enum Quoting { Bare = 0, Quoted = 1, Doubled = 2 }

/** Bytes of one record at the most. A trade takes about 100; what is longer is no trade, and must not become memory. */
export const MAX_RECORD_BYTES = 65_536;
const MAX_FIELDS = 1024;
const LF = 10, CR = 13, QUOTE = 34;
const EMPTY = Buffer.alloc(0);

export interface ScannerOptions {
  /** Byte of the separator. */
  separator: number;
  /** Fields of a good record, 0 = unknown. Only used to judge records that span lines. */
  expected?: number;
  /** Where the first byte pushed stands in the file, and its line (from 1). */
  offset?: number;
  line?: number;
  maxRecordBytes?: number;
}

export class RecordScanner {
  buf: Buffer = EMPTY;
  /** Ranges of the fields in `buf`, without their quotes; `count` of them are valid (at most 1024 are kept). */
  readonly starts = new Int32Array(MAX_FIELDS);
  readonly ends = new Int32Array(MAX_FIELDS);
  readonly flags = new Uint8Array(MAX_FIELDS);
  count = 0;
  /** Range of the record in `buf`, without its line end. */
  recordStart = 0;
  recordEnd = 0;
  /** Line of the record's first byte, from 1. */
  line = 1;
  reason = "";
  expected: number;

  private pos = 0;
  private end = 0;
  private base: number;
  private nextLine: number;
  private finished = false;
  private skipping = false;
  private readonly separator: number;
  private readonly max: number;

  constructor(options: ScannerOptions) {
    this.separator = options.separator;
    this.expected = options.expected ?? 0;
    this.base = options.offset ?? 0;
    this.nextLine = options.line ?? 1;
    this.max = options.maxRecordBytes ?? MAX_RECORD_BYTES;
  }

  /** Byte of the input at which the next record begins. */
  get offset(): number { return this.base + this.pos; }
  /** Line of the next record. */
  get lineAhead(): number { return this.nextLine; }
  /** Bytes pushed and not yet consumed, as text (what a truncated input left behind). */
  rest(): string { return this.text(this.pos, this.end); }

  push(chunk: Buffer): void {
    const left = this.end - this.pos;
    this.base += this.pos;
    this.buf = left === 0 ? chunk : Buffer.concat([this.buf.subarray(this.pos, this.end), chunk], left + chunk.length);
    this.pos = 0;
    this.end = this.buf.length;
  }

  /** No more input: the last record needs no line end. */
  finish(): void { this.finished = true; }

  /** Ends the input here, without what is not consumed. */
  drop(): void { this.pos = this.end; this.finished = true; }

  /** Takes one whole record that lies in `buf` already (end of record without line end); `next` then splits it. */
  load(buf: Buffer, start: number, end: number, line: number): void {
    this.buf = buf;
    this.base = 0;
    this.pos = start;
    this.end = end;
    this.nextLine = line;
    this.finished = true;
    this.skipping = false;
  }

  /** A range of `buf` as text; long texts are cut. */
  text(start: number, end: number, max = 1000): string {
    const cut = end - start > max * 4 ? start + max * 4 : end;
    const text = this.buf.toString("utf8", start, cut);
    return text.length > max || cut < end ? `${text.slice(0, max)}…` : text;
  }

  /** The current record as it stands in the file. */
  recordText(): string { return this.text(this.recordStart, this.recordEnd); }

  /** A field as text, quotes resolved. */
  field(i: number): string {
    const text = this.buf.toString("utf8", this.starts[i], this.ends[i]);
    return this.flags[i] === Quoting.Doubled ? text.replaceAll('""', '"') : text;
  }

  next(): Scan {
    for (;;) {
      if (this.skipping && !this.skipLine()) return this.finished ? Scan.End : Scan.Need;
      const found = this.scan();
      if (found !== Scan.Record || !this.isBlank()) return found;
    }
  }

  private scan(): Scan {
    const { buf, end, separator, starts, ends, flags } = this;
    let p = this.pos;
    if (p >= end) return this.finished ? Scan.End : Scan.Need;
    this.recordStart = p;
    this.line = this.nextLine;
    // Most bytes are digits and letters, above every byte that means something: one comparison each.
    const highest = Math.max(separator, QUOTE);
    let n = 0, from = p, newlines = 0, quoted = false;
    for (;;) {
      if (p >= end) {
        if (!this.finished) return this.more();
        this.recordEnd = p;
        this.pos = end;
        break;
      }
      const c = buf[p]!;
      if (c > highest) { p++; continue; }
      if (c === separator) {
        if (!quoted && n < MAX_FIELDS) { starts[n] = from; ends[n] = p; flags[n] = Quoting.Bare; }
        n++;
        quoted = false;
        from = ++p;
      } else if (c === LF) {
        this.recordEnd = p > this.recordStart && buf[p - 1] === CR ? p - 1 : p;
        this.pos = p + 1;
        break;
      } else if (c === QUOTE && p === from) {
        let q = p + 1, doubled = false;
        for (;;) {
          if (q >= end) return this.finished ? this.bad("a quote is never closed") : this.more();
          const d = buf[q]!;
          if (d === QUOTE) {
            if (q + 1 >= end && !this.finished) return this.more();
            if (q + 1 >= end || buf[q + 1] !== QUOTE) break;
            doubled = true;
            q += 2;
          } else {
            if (d === LF) newlines++;
            q++;
          }
        }
        if (n < MAX_FIELDS) { starts[n] = p + 1; ends[n] = q; flags[n] = doubled ? Quoting.Doubled : Quoting.Quoted; }
        quoted = true;
        p = q + 1;
        if (p < end && buf[p] === CR) {
          if (p + 1 >= end && !this.finished) return this.more();
          if (p + 1 >= end || buf[p + 1] === LF) p++;
        }
        if (p < end && buf[p] !== separator && buf[p] !== LF) return this.bad("text stands behind a closing quote");
      } else {
        p++;
      }
    }
    if (!quoted && n < MAX_FIELDS) {
      const last = Math.max(from, this.recordEnd);
      starts[n] = from;
      // At the end of the input the line end may be a lone CR.
      ends[n] = last > from && p >= end && buf[last - 1] === CR ? --this.recordEnd : last;
      flags[n] = Quoting.Bare;
    }
    this.count = ++n;
    if (newlines > 0 && this.expected > 0 && n !== this.expected) return this.bad("a quote is not closed on this line");
    this.nextLine = this.line + newlines + 1;
    return Scan.Record;
  }

  /** The record does not end within the buffer. */
  private more(): Scan {
    if (this.end - this.recordStart <= this.max) return Scan.Need;
    return this.bad(`the line is longer than ${this.max} bytes`, "a quote is never closed");
  }

  /** Sets the first line of the record aside; the next record begins on the line after it. */
  private bad(reason: string, reasonIfShort = reason): Scan {
    const start = this.recordStart;
    const lf = this.buf.subarray(0, this.end).indexOf(LF, start);
    if (lf < 0 && !this.finished && this.end - start <= this.max) return Scan.Need;
    const stop = lf < 0 ? this.end : lf;
    this.reason = lf >= 0 && lf - start <= this.max ? reasonIfShort : reason;
    this.recordEnd = stop > start && this.buf[stop - 1] === CR ? stop - 1 : stop;
    this.count = 0;
    this.pos = lf < 0 ? this.end : lf + 1;
    this.skipping = lf < 0 && !this.finished;
    this.nextLine = this.line + (this.skipping ? 0 : 1);
    return Scan.Bad;
  }

  /** Goes on behind a line that was too long; false when its end is not in the buffer. */
  private skipLine(): boolean {
    const lf = this.buf.subarray(0, this.end).indexOf(LF, this.pos);
    if (lf < 0) { this.pos = this.end; return false; }
    this.pos = lf + 1;
    this.nextLine++;
    this.skipping = false;
    return true;
  }

  private isBlank(): boolean {
    if (this.count !== 1 || this.flags[0] !== Quoting.Bare) return false;
    for (let p = this.starts[0]!; p < this.ends[0]!; p++) if (this.buf[p]! > 32) return false;
    return true;
  }
}
