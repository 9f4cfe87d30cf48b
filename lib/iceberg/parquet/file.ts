/** A whole Parquet file from columns, with the metrics that Iceberg keeps of it. Pure; no I/O. https://parquet.apache.org/docs/file-format/ */
import { rowIndex, sliceColumn, type ColumnData } from "../columns/batch";
import { leafColumns, type LeafColumn } from "../schema";
import type { Codec, DataFile, Schema } from "../types";
import { ENCODING, PageBuffers, writeChunk, writeStatistics, type ChunkMetadata } from "./chunk";
import { CODEC_IDS } from "./codec";
import { Output } from "./output";
import { physicalType, writeSchema } from "./schema-elements";
import { icebergBounds, mergeStatistics } from "./statistics";
import { CompactWriter } from "./thrift";

/** Rows of a row group at the most, unless told otherwise: some 10 MB of trades. */
export const ROW_GROUP_ROWS = 1_000_000;
/** Bytes (before encoding) of a row group at the most, Iceberg's `write.parquet.row-group-size-bytes`. */
const ROW_GROUP_BYTES = 128 * 1024 * 1024;
/** In the pattern that readers parse: application, "version", number. */
export const CREATED_BY = "ticklake version 0.1.0";

const MAGIC = Uint8Array.of(0x50, 0x41, 0x52, 0x31);

/** The part of a DataFile that the encoder knows. */
export type FileMetrics = Pick<DataFile, "recordCount" | "fileSizeInBytes" | "columnSizes" | "valueCounts" | "nullValueCounts" | "nanValueCounts" | "lowerBounds" | "upperBounds" | "splitOffsets">;

interface RowGroup { readonly rows: number; readonly offset: number; readonly chunks: ChunkMetadata[] }

/** One file, row group by row group: only what is encoded is kept, and the columns of a group may be used again when it is added. */
export class FileEncoder {
  readonly #leaves: readonly LeafColumn[];
  readonly #file: Output;
  readonly #buffers = new PageBuffers();
  readonly #groups: RowGroup[] = [];
  #rows = 0;

  /** @param capacity bytes to begin with */
  constructor(private readonly schema: Schema, private readonly codec: Codec, capacity = 65_536) {
    this.#leaves = leafColumns(schema);
    this.#file = new Output(capacity);
    this.#file.write(MAGIC);
  }

  get rows(): number { return this.#rows; }

  /** Bytes so far. */
  get length(): number { return this.#file.length; }

  /** Columns in the order of `leafColumns(schema)`. */
  addGroup(columns: readonly ColumnData[], rows: number): void {
    const offset = this.#file.length;
    const chunks = this.#leaves.map((leaf, i) => writeChunk(this.#file, leaf, columns[i]!, this.codec, this.#buffers));
    this.#groups.push({ rows, offset, chunks });
    this.#rows += rows;
  }

  /** Writes the footer. Nothing can be added afterwards. */
  finish(): FileMetrics & { bytes: Uint8Array } {
    const file = this.#file, footer = file.length;
    writeFooter(new CompactWriter(file), this.schema, this.#leaves, this.#groups, this.#rows, this.codec);
    file.uint32(file.length - footer);
    file.write(MAGIC);
    return { bytes: file.bytes.length > file.length * 1.5 ? file.view().slice() : file.view(), ...metrics(this.#leaves, this.#groups), recordCount: this.#rows, fileSizeInBytes: file.length };
  }
}

/** Encodes rows (columns in the order of `leafColumns(schema)`) as one file. */
export function encodeFile(schema: Schema, columns: readonly ColumnData[], rows: number, codec: Codec, rowGroupRows = ROW_GROUP_ROWS): FileMetrics & { bytes: Uint8Array } {
  const leaves = leafColumns(schema);
  const memory = columns.reduce((sum, c) => sum + c.values.data.byteLength, 0);
  const file = new FileEncoder(schema, codec, Math.max(65_536, memory >>> 2));
  const size = Math.max(1, Math.min(rowGroupRows, Math.floor(rows / Math.ceil(memory / ROW_GROUP_BYTES || 1)) || 1));
  const indexes = rows > size ? columns.map((column, i) => rowIndex(column, leaves[i]!, rows)) : [];
  for (let from = 0; from < rows; from += size) {
    const to = Math.min(rows, from + size);
    file.addGroup(rows > size ? columns.map((column, i) => sliceColumn(column, indexes[i]!, [from, to])) : columns, to - from);
  }
  return file.finish();
}

function writeFooter(w: CompactWriter, schema: Schema, leaves: readonly LeafColumn[], groups: readonly RowGroup[], rows: number, codec: Codec): void {
  w.body(() => {
    w.i32(1, 1);
    writeSchema(w, 2, schema);
    w.i64(3, rows);
    w.structs(4, groups, (g, group) => {
      const ordinal = groups.indexOf(group);
      g.structs(1, group.chunks, (c, chunk) => {
        c.i64(2, chunk.dictionaryOffset ?? chunk.dataOffset).struct(3, (m) => writeChunkMetadata(m, chunk, codec));
      });
      const sum = (of: (chunk: ChunkMetadata) => number): number => group.chunks.reduce((total, chunk) => total + of(chunk), 0);
      g.i64(2, sum((c) => c.uncompressedBytes)).i64(3, group.rows).i64(5, group.offset).i64(6, sum((c) => c.compressedBytes)).i16(7, ordinal < 32_768 ? ordinal : undefined);
    });
    // As Iceberg's Java writer does: the schema with ids, for readers of the bare file.
    w.structs(5, [["iceberg.schema", JSON.stringify(schema)]], (kv, [key, value]) => kv.binary(1, key).binary(2, value));
    w.binary(6, CREATED_BY);
    // Without an order readers ignore min_value and max_value.
    w.structs(7, leaves, (o) => o.struct(1, () => undefined));
  });
}

function writeChunkMetadata(m: CompactWriter, chunk: ChunkMetadata, codec: Codec): void {
  const { leaf, dictionaryOffset } = chunk;
  const encoding = dictionaryOffset === undefined ? ENCODING.PLAIN : ENCODING.PLAIN_DICTIONARY;
  m.i32(1, physicalType(leaf.type))
    .i32s(2, [encoding, ENCODING.RLE])
    .strings(3, leaf.path)
    .i32(4, CODEC_IDS[codec])
    .i64(5, chunk.slots)
    .i64(6, chunk.uncompressedBytes)
    .i64(7, chunk.compressedBytes)
    .i64(9, chunk.dataOffset)
    .i64(11, dictionaryOffset)
    .struct(12, (s) => writeStatistics(s, leaf, chunk.statistics))
    .structs(13, [...(dictionaryOffset === undefined ? [] : [[2, encoding, 1]]), [0, encoding, chunk.dataPages]], (e, [type, how, pages]) => e.i32(1, type).i32(2, how).i32(3, pages));
}

/** Iceberg's metrics by field id. Columns inside lists and maps have counts but no bounds. */
function metrics(leaves: readonly LeafColumn[], groups: readonly RowGroup[]): Omit<FileMetrics, "recordCount" | "fileSizeInBytes"> {
  const out = {
    columnSizes: new Map<number, number>(), valueCounts: new Map<number, number>(), nullValueCounts: new Map<number, number>(), nanValueCounts: new Map<number, number>(),
    lowerBounds: new Map<number, Uint8Array>(), upperBounds: new Map<number, Uint8Array>(), splitOffsets: groups.map((g) => g.offset),
  };
  if (groups.length === 0) return out;
  leaves.forEach((leaf, i) => {
    const chunks = groups.map((g) => g.chunks[i]!);
    const statistics = chunks.map((c) => c.statistics).reduce((a, b) => mergeStatistics(leaf, a, b));
    out.columnSizes.set(leaf.id, chunks.reduce((sum, c) => sum + c.compressedBytes, 0));
    out.valueCounts.set(leaf.id, chunks.reduce((sum, c) => sum + c.slots, 0));
    out.nullValueCounts.set(leaf.id, statistics.nulls);
    if (leaf.type === "float" || leaf.type === "double") out.nanValueCounts.set(leaf.id, statistics.nans);
    if (leaf.maxRepetition > 0) return;
    const { lower, upper } = icebergBounds(leaf, statistics);
    if (lower) out.lowerBounds.set(leaf.id, lower);
    if (upper) out.upperBounds.set(leaf.id, upper);
  });
  return out;
}
