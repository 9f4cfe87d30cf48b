/** One column chunk: its dictionary page and data pages (format version 1), with the numbers that the footer wants. */
import type { ColumnData } from "../columns/batch";
import type { LeafColumn } from "../schema";
import type { Codec } from "../types";
import { compress } from "./codec";
import { buildDictionary, type Encoded } from "./dictionary";
import { bitWidth, encodeHybrid, encodeRun } from "./hybrid";
import { Output } from "./output";
import { plainLength, plainValues } from "./plain";
import { chunkStatistics, parquetBounds, type Statistics } from "./statistics";
import { CompactWriter } from "./thrift";

/** Data pages hold about this many bytes before compression. */
const PAGE_BYTES = 1 << 20;

/** In files of version 1 both kinds of page name their dictionary PLAIN_DICTIONARY, as Iceberg's Java writer does: old readers know no other. */
export const ENCODING = { PLAIN: 0, PLAIN_DICTIONARY: 2, RLE: 3 } as const;
const PAGE = { DATA: 0, DICTIONARY: 2 } as const;

export interface ChunkMetadata {
  readonly leaf: LeafColumn;
  /** Nulls and empty lists counted. */
  readonly slots: number;
  readonly uncompressedBytes: number;
  readonly compressedBytes: number;
  readonly dataOffset: number;
  readonly dictionaryOffset?: number;
  readonly dataPages: number;
  readonly statistics: Statistics;
}

interface Page { readonly slotFrom: number; readonly slotTo: number; readonly valueFrom: number; readonly valueTo: number }

/** Memory for one page before and after compression, used again for every page of a file. */
export class PageBuffers {
  readonly raw = new Output(PAGE_BYTES + 65_536);
  readonly compressed = new Output(PAGE_BYTES + 65_536);
}

/** Appends a column chunk to the file. */
export function writeChunk(file: Output, leaf: LeafColumn, column: ColumnData, codec: Codec, buffers: PageBuffers): ChunkMetadata {
  const start = file.length;
  let uncompressedBytes = 0;
  const writePage = (header: (w: CompactWriter) => void, type: number): void => {
    const { raw, compressed } = buffers;
    compressed.clear();
    compress(codec, compressed, raw.view());
    const before = file.length;
    new CompactWriter(file).body((w) => header(w.i32(1, type).i32(2, raw.length).i32(3, compressed.length)));
    uncompressedBytes += file.length - before + raw.length;
    file.write(compressed.view());
  };

  const encoded = buildDictionary(column);
  const statistics = chunkStatistics(leaf, column, encoded?.dictionary ?? column);
  if (encoded) {
    buffers.raw.clear();
    plainValues(buffers.raw, encoded.dictionary, 0, encoded.dictionary.count);
    writePage((w) => w.struct(7, (d) => d.i32(1, encoded.dictionary.count).i32(2, ENCODING.PLAIN_DICTIONARY)), PAGE.DICTIONARY);
  }
  const dataOffset = file.length;
  const pages = splitPages(leaf, column, encoded);
  for (const page of pages) {
    const { raw } = buffers;
    raw.clear();
    writeLevels(raw, leaf, column, page);
    if (encoded) writeCodes(raw, encoded, page);
    else plainValues(raw, column, page.valueFrom, page.valueTo);
    const encoding = encoded ? ENCODING.PLAIN_DICTIONARY : ENCODING.PLAIN;
    const alone = pages.length === 1;
    writePage((w) => w.struct(5, (d) => {
      d.i32(1, page.slotTo - page.slotFrom).i32(2, encoding).i32(3, ENCODING.RLE).i32(4, ENCODING.RLE);
      if (alone) d.struct(5, (s) => writeStatistics(s, leaf, statistics));
    }), PAGE.DATA);
  }
  return {
    leaf, slots: column.slots, uncompressedBytes, compressedBytes: file.length - start, dataOffset, statistics, dataPages: pages.length,
    ...(encoded ? { dictionaryOffset: start } : {}),
  };
}

/** The fields of Parquet's Statistics. */
export function writeStatistics(w: CompactWriter, leaf: LeafColumn, statistics: Statistics): void {
  const { min, max } = parquetBounds(leaf, statistics);
  w.i64(3, statistics.nulls).binary(5, max?.bytes).binary(6, min?.bytes).bool(7, max?.exact).bool(8, min?.exact);
}

/** Pages of about PAGE_BYTES; a row is never split across two. */
function splitPages(leaf: LeafColumn, column: ColumnData, encoded: Encoded | undefined): Page[] {
  const { slots, count, def, rep } = column;
  const valueBytes = encoded ? (count * codeWidth(encoded)) / 8 : plainLength(column, 0, count);
  const parts = Math.max(1, Math.ceil((valueBytes + (rep ? slots / 2 : slots / 8)) / PAGE_BYTES));
  if (parts === 1) return [{ slotFrom: 0, slotTo: slots, valueFrom: 0, valueTo: count }];
  const size = Math.ceil(slots / parts);
  const pages: Page[] = [];
  let [slotFrom, valueFrom] = [0, 0];
  while (slotFrom < slots) {
    let slotTo = Math.min(slots, slotFrom + size);
    while (rep && slotTo < slots && rep[slotTo] !== 0) slotTo++;
    let valueTo = valueFrom + slotTo - slotFrom;
    if (def) {
      valueTo = valueFrom;
      for (let k = slotFrom; k < slotTo; k++) if (def[k] === leaf.maxDefinition) valueTo++;
    }
    pages.push({ slotFrom, slotTo, valueFrom, valueTo });
    [slotFrom, valueFrom] = [slotTo, valueTo];
  }
  return pages;
}

/** Repetition and definition levels, each behind its length. */
function writeLevels(out: Output, leaf: LeafColumn, { def, rep }: ColumnData, { slotFrom, slotTo }: Page): void {
  const levels = (max: number, values: Uint8Array | undefined): void => {
    const lengthAt = out.length;
    out.uint32(0);
    if (values) encodeHybrid(out, values, slotFrom, slotTo, bitWidth(max));
    else if (slotTo > slotFrom) encodeRun(out, max, slotTo - slotFrom, bitWidth(max));
    new DataView(out.bytes.buffer).setUint32(lengthAt, out.length - lengthAt - 4, true);
  };
  if (leaf.maxRepetition > 0) levels(leaf.maxRepetition, rep);
  if (leaf.maxDefinition > 0) levels(leaf.maxDefinition, def);
}

const codeWidth = ({ dictionary }: Encoded): number => Math.max(1, bitWidth(dictionary.count - 1));

function writeCodes(out: Output, encoded: Encoded, { valueFrom, valueTo }: Page): void {
  const width = codeWidth(encoded);
  out.byte(width);
  encodeHybrid(out, encoded.codes, valueFrom, valueTo, width);
}
