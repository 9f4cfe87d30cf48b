import { TicklakeError } from "../../errors";
import { DamagedInput, openBytes } from "./bytes";
import type { DecoderOptions } from "./decoder";
import { RowDecoder } from "./decoder";
import type { Dialect, DialectName, DialectOptions } from "./dialects";
import { chooseDialect, hasHeader, headerOf } from "./dialects";
import type { CsvFile } from "./file";
import { RecordScanner, Scan } from "./scanner";

export interface LayoutOptions extends Omit<DialectOptions, "fileName">, DecoderOptions {
  dialect: DialectName | "auto";
}

/** What the beginning of a file says about the rest. */
export interface Layout {
  readonly dialect: Dialect;
  /** Byte of the separator. */
  readonly separator: number;
  /** Columns of every row. */
  readonly columns: number;
  /** Where the first row begins: byte of the (unpacked) content, and line. */
  readonly offset: number;
  readonly line: number;
  /** A new decoder for this file. */
  decoder(): RowDecoder;
}

/** A file without any line has no layout. */
export const EMPTY_FILE = Symbol("empty file");

const SEPARATORS = [",", "|", ";", "\t"].map((c) => c.charCodeAt(0));
const HEAD_BYTES = 65_536;

/**
 * Reads the header and chooses separator and dialect by it.
 *
 * @throws TicklakeError CSV_DIALECT_UNKNOWN, CONFIG_INVALID, FILE_UNREADABLE
 */
export async function readLayout(file: CsvFile, options: LayoutOptions): Promise<Layout | typeof EMPTY_FILE> {
  const head = await readHead(file);
  const bom = head[0] === 0xef && head[1] === 0xbb && head[2] === 0xbf ? 3 : 0;
  if (head.includes(0)) throw new TicklakeError("FILE_UNREADABLE", `${file.name} is no text: it begins with binary data. CSV files, plain or gzip-compressed, are read.`);
  let best: { fields: string[]; separator: number; offset: number; line: number; next: number; nextLine: number } | undefined;
  for (const separator of SEPARATORS) {
    const scanner = new RecordScanner({ separator, offset: bom });
    scanner.push(head.subarray(bom));
    if (head.length < HEAD_BYTES) scanner.finish();
    const found = scanner.next();
    if (found === Scan.End) return EMPTY_FILE;
    if (found !== Scan.Record) continue;
    if (best && best.fields.length >= scanner.count) continue;
    const fields = Array.from({ length: scanner.count }, (_, i) => scanner.field(i));
    best = { fields, separator, offset: bom + scanner.recordStart, line: scanner.line, next: scanner.offset, nextLine: scanner.lineAhead };
  }
  if (!best) throw new TicklakeError("CSV_DIALECT_UNKNOWN", `The first line of ${file.name} is no header: it has no end within ${HEAD_BYTES} bytes, or its quotes are broken. Check that the file is CSV: one record a line, with the names of the columns in the first.`);

  const header = headerOf(best.fields);
  const dialect = chooseDialect(options.dialect, header);
  const plan = dialect.plan(header, { ...options, fileName: file.name });
  const headless = dialect.name === "custom" && !hasHeader(options.mapping!);
  const columns = best.fields.length;
  return {
    dialect, columns, separator: best.separator,
    offset: headless ? best.offset : best.next,
    line: headless ? best.line : best.nextLine,
    decoder: () => new RowDecoder(dialect.name, plan, columns, options),
  };
}

async function readHead(file: CsvFile): Promise<Buffer> {
  const source = await openBytes(file);
  const pieces: Buffer[] = [];
  let length = 0;
  try {
    while (length < HEAD_BYTES) {
      const piece = await source.next();
      if (!piece) break;
      pieces.push(piece);
      length += piece.length;
    }
  } catch (error) {
    if (!(error instanceof DamagedInput)) throw error;
    if (length === 0) throw new TicklakeError("FILE_UNREADABLE", `${file.name} cannot be unpacked: ${error.message}.`, { cause: error });
  } finally {
    await source.close();
  }
  return Buffer.concat(pieces).subarray(0, HEAD_BYTES);
}
