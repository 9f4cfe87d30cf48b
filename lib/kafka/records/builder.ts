import { TicklakeError } from "../../errors";
import type { Compression, Header, OutgoingRecord, RecordBatch } from "../types";
import { AT, ATTRIBUTES, HEADER, MAGIC, PREFIX } from "./batch";
import { codecNumber, compress } from "./codecs";
import { crc32c } from "./crc32c";
import { sizeOfVarint, writeVarint, writeVarlong } from "./varint";

/** Of the record itself, without key, value and headers: three lengths, attributes, two deltas, number of headers. */
const FRAME = 5 + 1 + 10 + 5 + 5 + 5 + 5;
/** A key or header of up to this many characters has at most 63 bytes, whose length takes one byte. */
const SHORT_TEXT = 21;
/** Beyond this a record is refused here: no broker takes it, and the batch must stay a buffer. */
const MOST_BYTES = 1 << 30;

export interface BuilderOptions {
  /** Size of a batch, header included, that `wouldExceed` keeps to (1,048,576: what brokers take unless they are told otherwise). */
  readonly maxBytes?: number;
  /** Bytes to begin with; it grows by doubling. */
  readonly initialBytes?: number;
}

/**
 * A record batch in message format v2, written as the records come. Nothing is allocated a record.
 *
 * Whoever makes the bytes of a value itself writes them straight into the batch:
 * ```
 * let at = batch.open(symbol, mostBytes, timestamp);
 * at = writeTrade(batch.buffer, at, trade);            // take `buffer` after `open`, which may have made a larger one
 * batch.close(at);
 * ```
 * What `encode` returned lies in this builder's memory: it is good until the next `encode`, `add` or `reset`.
 */
export class RecordBatchBuilder implements RecordBatch {
  /** Where values are written between `open` and `close`. */
  buffer: Buffer;
  readonly maxBytes: number;
  private records = 0;
  private end = HEADER;
  private baseTimestamp = 0;
  private maxTimestamp = 0;
  /** Of the record that is open: where it begins (-1 = none), where its value begins, how wide the two lengths were guessed. */
  private frameAt = -1;
  private valueAt = 0;
  private frameWidth = 2;
  private valueWidth = 2;
  private timestamp = 0;
  private packed: { readonly compression: Compression; readonly bytes: Buffer } | undefined;

  constructor(options: BuilderOptions = {}) {
    this.maxBytes = options.maxBytes ?? 1 << 20;
    this.buffer = Buffer.allocUnsafe(Math.max(HEADER + 64, options.initialBytes ?? 1 << 14));
  }

  get count(): number {
    return this.records;
  }

  get bytes(): number {
    return this.end - HEADER;
  }

  /** Whether one more record of `bytes` (key, value, headers) could make the batch larger than `maxBytes`. Never true of an empty one. */
  wouldExceed(bytes: number): boolean {
    return this.records > 0 && this.end + bytes + FRAME > this.maxBytes;
  }

  /** Begins anew in the same memory. Only when what `encode` returned is not needed any more. */
  reset(): void {
    this.records = 0;
    this.end = HEADER;
    this.frameAt = -1;
    this.packed = undefined;
  }

  /**
   * Begins a record whose value the caller writes into `buffer`, from the position returned on, and ends it with `close`.
   *
   * @param mostValueBytes room that is made for it
   * @param timestamp Unix ms
   */
  open(key: string | Uint8Array | null, mostValueBytes: number, timestamp: number): number {
    const time = Math.floor(timestamp);
    if (!Number.isSafeInteger(time)) throw new TicklakeError("RECORD_INVALID", `A record's timestamp is ${String(timestamp)} and must be a number of milliseconds since 1970.`);
    const at = this.end;
    const needed = at + FRAME + mostValueBytes + (key === null ? 0 : key.length * 3);
    if (needed > this.buffer.length) this.grow(needed);
    const { buffer } = this;
    if (this.records === 0) this.baseTimestamp = this.maxTimestamp = time;
    this.timestamp = time;
    this.frameAt = at;
    let position = at + this.frameWidth;
    buffer[position++] = 0; // attributes: none are defined
    position = writeVarlong(buffer, position, time - this.baseTimestamp);
    position = writeVarint(buffer, position, this.records);
    position = key === null ? writeVarint(buffer, position, -1) : typeof key === "string" ? writeText(buffer, position, key) : writeBytes(buffer, position, key);
    this.valueAt = position + this.valueWidth;
    return this.valueAt;
  }

  /** Ends the record that `open` began. @param end where its value ends in `buffer` */
  close(end: number): void {
    this.finish(end, false, undefined);
  }

  /** Forgets the record that `open` began. */
  discard(): void {
    this.frameAt = -1;
  }

  /** Adds a record whose key and value are text. */
  addText(key: string | null, value: string, timestamp: number): void {
    const at = this.open(key, value.length * 3, timestamp);
    this.finish(at + this.buffer.write(value, at), false, undefined);
  }

  /** @throws TicklakeError RECORD_INVALID (timestamp), KAFKA_RECORD_TOO_LARGE (beyond 1 GiB) */
  add(record: OutgoingRecord): void {
    const { key, value, headers } = record;
    let room = value === null ? 0 : value.length;
    if (headers) for (const header of headers) room += header.name.length * 3 + (header.value?.length ?? 0) + 10;
    const at = this.open(key, room, record.timestamp);
    if (value === null) this.finish(at, true, headers);
    else {
      this.buffer.set(value, at);
      this.finish(at + value.length, false, headers);
    }
  }

  /** Lengths stand before what they measure and are known only now. They were guessed as wide as the last ones; where that was wrong the record is moved. */
  private finish(valueEnd: number, isNull: boolean, headers: readonly Header[] | undefined): void {
    const { buffer, frameAt, valueAt } = this;
    if (frameAt < 0) throw new TicklakeError("INTERNAL", "No record is open.");
    const valueLength = valueEnd - valueAt;
    if (!(valueLength >= 0 && valueEnd < buffer.length)) throw new TicklakeError("INTERNAL", `A value of ${valueLength} bytes does not fit into the room that was asked for.`);
    let end = valueEnd;
    const lengthAt = valueAt - this.valueWidth;
    if (isNull) end = writeVarint(buffer, lengthAt, -1);
    else {
      const width = sizeOfVarint(valueLength);
      if (width !== this.valueWidth) {
        buffer.copyWithin(lengthAt + width, valueAt, end);
        end += width - this.valueWidth;
        this.valueWidth = width;
      }
      writeVarint(buffer, lengthAt, valueLength);
    }
    if (headers === undefined || headers.length === 0) buffer[end++] = 0;
    else end = writeHeaders(buffer, end, headers);
    const bodyAt = frameAt + this.frameWidth;
    const width = sizeOfVarint(end - bodyAt);
    if (width !== this.frameWidth) {
      buffer.copyWithin(frameAt + width, bodyAt, end);
      end += width - this.frameWidth;
      this.frameWidth = width;
    }
    writeVarint(buffer, frameAt, end - frameAt - width);
    this.end = end;
    if (this.timestamp > this.maxTimestamp) this.maxTimestamp = this.timestamp;
    this.records++;
    this.frameAt = -1;
    this.packed = undefined;
  }

  private grow(needed: number): void {
    if (needed > MOST_BYTES) throw new TicklakeError("KAFKA_RECORD_TOO_LARGE", `A record of about ${needed - this.end} bytes is too large for a record batch (1 GiB).`);
    const grown = Buffer.allocUnsafe(Math.min(MOST_BYTES, Math.max(needed, this.buffer.length * 2)));
    this.buffer.copy(grown, 0, 0, this.end);
    this.buffer = grown;
  }

  async encode(options: Parameters<RecordBatch["encode"]>[0]): Promise<Buffer> {
    const { compression, producer, transactional = false } = options;
    if (this.records === 0) throw new TicklakeError("INTERNAL", "A record batch without records cannot be sent.");
    let batch: Buffer;
    if (compression === "none") batch = this.buffer.subarray(0, this.end);
    else {
      // Sent again under another producer id it is the same records: they are compressed once.
      if (this.packed?.compression !== compression) {
        this.packed = { compression, bytes: await compress(compression, this.buffer.subarray(HEADER, this.end), HEADER) };
      }
      batch = this.packed.bytes;
    }
    batch.writeBigInt64BE(0n, AT.baseOffset);
    batch.writeInt32BE(batch.length - PREFIX, AT.length);
    batch.writeInt32BE(-1, AT.leaderEpoch);
    batch[AT.magic] = MAGIC;
    batch.writeInt16BE(codecNumber(compression) | (transactional ? ATTRIBUTES.transactional : 0), AT.attributes);
    batch.writeInt32BE(this.records - 1, AT.lastOffsetDelta);
    batch.writeBigInt64BE(BigInt(this.baseTimestamp), AT.baseTimestamp);
    batch.writeBigInt64BE(BigInt(this.maxTimestamp), AT.maxTimestamp);
    batch.writeBigInt64BE(producer?.id ?? -1n, AT.producerId);
    batch.writeInt16BE(producer?.epoch ?? -1, AT.producerEpoch);
    batch.writeInt32BE(producer?.sequence ?? -1, AT.baseSequence);
    batch.writeInt32BE(this.records, AT.count);
    batch.writeUInt32BE(crc32c(batch, AT.attributes, batch.length), AT.crc);
    return batch;
  }
}

/** Length and bytes. */
function writeBytes(buffer: Buffer, at: number, bytes: Uint8Array): number {
  const position = writeVarint(buffer, at, bytes.length);
  buffer.set(bytes, position);
  return position + bytes.length;
}

/** Length and UTF-8. Symbols and header names are short and ASCII: for those no call leaves JavaScript. */
function writeText(buffer: Buffer, at: number, text: string): number {
  const { length } = text;
  if (length <= SHORT_TEXT) {
    let position = at + 1;
    let k = 0;
    for (; k < length; k++) {
      const code = text.charCodeAt(k);
      if (code > 0x7f) break;
      buffer[position++] = code;
    }
    const bytes = k === length ? length : buffer.write(text, at + 1);
    buffer[at] = bytes << 1;
    return at + 1 + bytes;
  }
  const bytes = Buffer.byteLength(text);
  const position = writeVarint(buffer, at, bytes);
  return position + buffer.write(text, position);
}

function writeHeaders(buffer: Buffer, at: number, headers: readonly Header[]): number {
  let position = writeVarint(buffer, at, headers.length);
  for (const { name, value } of headers) {
    position = writeText(buffer, position, name);
    position = value === null ? writeVarint(buffer, position, -1) : writeBytes(buffer, position, value);
  }
  return position;
}
