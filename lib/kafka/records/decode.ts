import { setImmediate as nextTurn } from "node:timers/promises";
import { TicklakeError, asTicklakeError } from "../../errors";
import { AT, ATTRIBUTES, HEADER, MAGIC, PREFIX, SMALLEST_RECORD } from "./batch";
import { decompress } from "./codecs";
import { crc32c } from "./crc32c";
import { IndexedRecordSet } from "./record-set";
import { newIndex, scanRecords } from "./scan";
import { VarintReader } from "./varint";

/** A transaction that was aborted, as a fetch of committed records tells it. */
export interface AbortedTransaction { readonly producerId: bigint; readonly firstOffset: bigint }

/** Where and how bytes were fetched. */
export interface DecodeAt {
  readonly topic: string;
  readonly partition: number;
  /** The offset asked for: records below it, which share a batch with it, are left out. */
  readonly position: bigint;
  /** Of the same response; none when uncommitted records are wanted too. */
  readonly abortedTransactions: readonly AbortedTransaction[];
}

/** Bounds of one call. */
export interface DecodeLimits {
  /** Bytes of a batch, also decompressed; 256 MiB. A larger one counts as damaged. */
  readonly maxBatchBytes?: number;
  /** Once this much was decompressed (16 MiB), decoding ends with the batch; the rest is fetched again from `nextOffset`. */
  readonly maxDecodedBytes?: number;
}

/** A batch that cannot be read. */
export interface DamagedBatch {
  /** Where reading stands still: behind what was read before it. */
  readonly offset: bigint;
  /** Where reading can go on behind it. After a wrong checksum this is what the next batch, or else the damaged header, tells. */
  readonly nextOffset: bigint;
  /** KAFKA_RECORD_DAMAGED or KAFKA_UNSUPPORTED; `details` has topic, partition, offset and nextOffset (decimal text). */
  readonly error: TicklakeError;
}

/** What came out of a partition's bytes. */
export interface Decoded {
  /** Records to show; never empty, missing when there are none. */
  readonly set?: IndexedRecordSet;
  /** Where the next fetch begins: behind the last whole batch, at a damaged one, or `position` when there was none. */
  readonly nextOffset: bigint;
  /** Present when reading cannot go on at `nextOffset`; the records before it are in `set`. */
  readonly damaged?: DamagedBatch;
  /** The first batch has this many bytes and fewer were fetched: ask for more. (Brokers send a first batch whole, so this is rare.) */
  readonly batchBytes?: number;
}

/** Snappy and LZ4 are read on this thread: after so many bytes (10 ms) others get their turn. */
const BYTES_OF_A_TURN = 1 << 22;

/** A batch with records to show. */
interface Kept {
  readonly base: bigint;
  readonly lastOffsetDelta: number;
  readonly count: number;
  readonly baseTimestamp: number;
  readonly appendTimestamp?: number;
  /** Uncompressed: in the response. Else the decompressed records. */
  readonly bytes: Buffer;
  readonly from: number;
  readonly to: number;
}

/**
 * Reads the record batches of a fetched partition (message format v2). Committed records are told apart exactly as the Java client
 * does it: an aborted producer's batches are left out from the first offset that the list names until its abort marker; control
 * batches are never shown. A last batch that was cut off by the size of the fetch is left for the next one.
 *
 * Never throws for what the bytes hold: what cannot be read is `damaged`.
 *
 * @param records as fetched; without compression the result refers to them, nothing is copied
 */
export async function decodeRecords(records: Buffer, at: DecodeAt, limits: DecodeLimits = {}): Promise<Decoded> {
  const maxBatchBytes = limits.maxBatchBytes ?? 1 << 28;
  const maxDecodedBytes = limits.maxDecodedBytes ?? 1 << 24;
  const aborted = new AbortedProducers(at.abortedTransactions);
  const kept: Kept[] = [];
  let nextOffset = at.position;
  let damaged: DamagedBatch | undefined;
  let batchBytes: number | undefined;
  let decodedBytes = 0;
  let turnBytes = 0;
  let last: bigint | undefined;
  let from = 0;
  while (records.length - from >= PREFIX && decodedBytes < maxDecodedBytes) {
    const length = records.readInt32BE(from + AT.length);
    const to = from + PREFIX + length;
    const base = records.readBigInt64BE(from + AT.baseOffset);
    const refused = refuse(records, from, to, last, maxBatchBytes);
    if (refused) {
      // Neither its offset nor where it ends can be believed.
      damaged = describe(refused, at, nextOffset, nextOffset + 1n);
      break;
    }
    const failed = (error: TicklakeError): void => {
      damaged = describe(error, at, nextOffset, behindDamaged(records, from, to, base));
    };
    if (to > records.length) {
      if (from === 0) batchBytes = to;
      break;
    }
    const wrong = judge(records, from, to);
    if (wrong) {
      failed(new TicklakeError("KAFKA_RECORD_DAMAGED", wrong));
      break;
    }
    const attributes = records.readInt16BE(from + AT.attributes);
    const lastOffsetDelta = records.readInt32BE(from + AT.lastOffsetDelta);
    last = base + BigInt(lastOffsetDelta);
    const isControl = (attributes & ATTRIBUTES.control) !== 0;
    const leaveOut = aborted.leavesOut(records, from, last, attributes);
    const count = records.readInt32BE(from + AT.count);
    // Compaction leaves batches without records: they still say how far they reach.
    if (!leaveOut && !isControl && last >= at.position && count > 0) {
      const codec = attributes & ATTRIBUTES.codec;
      const batch = {
        base, lastOffsetDelta, count, baseTimestamp: int64(records, from + AT.baseTimestamp),
        ...((attributes & ATTRIBUTES.logAppendTime) !== 0 && { appendTimestamp: int64(records, from + AT.maxTimestamp) }),
      };
      if (codec === 0) kept.push({ ...batch, bytes: records, from: from + HEADER, to });
      else {
        try {
          const bytes = await decompress(codec, records.subarray(from + HEADER, to), maxBatchBytes);
          decodedBytes += bytes.length;
          turnBytes += bytes.length;
          if (turnBytes > BYTES_OF_A_TURN) {
            turnBytes = 0;
            await nextTurn();
          }
          if (count > bytes.length / SMALLEST_RECORD) throw new TicklakeError("KAFKA_RECORD_DAMAGED", `It says that it holds ${count} records and has ${bytes.length} bytes.`);
          kept.push({ ...batch, bytes, from: 0, to: bytes.length });
        } catch (error) {
          failed(asTicklakeError(error, "KAFKA_RECORD_DAMAGED"));
          break;
        }
      }
    }
    if (last >= nextOffset) nextOffset = last + 1n;
    from = to;
  }
  const { set, bad } = gather(kept, at, nextOffset, records);
  if (bad) {
    const { batch, before, reason } = bad;
    damaged = describe(new TicklakeError("KAFKA_RECORD_DAMAGED", `${reason[0]!.toUpperCase()}${reason.slice(1)}.`), at, before, batch.base + BigInt(batch.lastOffsetDelta) + 1n);
  }
  return { ...(set && { set }), nextOffset: damaged ? damaged.offset : nextOffset, ...(damaged && { damaged }), ...(batchBytes !== undefined && { batchBytes }) };
}

/** What can be said of a batch of which perhaps not all bytes are here. */
function refuse(records: Buffer, from: number, to: number, last: bigint | undefined, maxBatchBytes: number): TicklakeError | undefined {
  const magic = records[from + AT.magic];
  if (magic !== undefined && magic < MAGIC) {
    return new TicklakeError("KAFKA_UNSUPPORTED", `It is in message format v${magic}, as producers before Kafka 0.11 wrote it. Write the topic anew with a current producer, or go on behind it.`);
  }
  const length = to - from;
  if (length < HEADER || length > maxBatchBytes) return new TicklakeError("KAFKA_RECORD_DAMAGED", `It says that it has ${length} bytes.`);
  if (magic !== undefined && magic > MAGIC) {
    return new TicklakeError("KAFKA_RECORD_DAMAGED", `It is in message format v${magic}, which no Kafka up to 4.4 has.`);
  }
  if (last !== undefined && records.readBigInt64BE(from + AT.baseOffset) <= last) {
    return new TicklakeError("KAFKA_RECORD_DAMAGED", `It begins at offset ${records.readBigInt64BE(from + AT.baseOffset)} although the batch before it ended at ${last}.`);
  }
  return undefined;
}

/** Why a whole batch cannot be right, by checksum and header. */
function judge(records: Buffer, from: number, to: number): string | undefined {
  const stored = records.readUInt32BE(from + AT.crc);
  const computed = crc32c(records, from + AT.attributes, to);
  if (stored !== computed) return `Its checksum is ${hex(computed)} and should be ${hex(stored)}.`;
  const count = records.readInt32BE(from + AT.count);
  const lastOffsetDelta = records.readInt32BE(from + AT.lastOffsetDelta);
  const compressed = (records.readInt16BE(from + AT.attributes) & ATTRIBUTES.codec) !== 0;
  if (lastOffsetDelta < 0 || count < 0 || count > lastOffsetDelta + 1 || (!compressed && count > (to - from - HEADER) / SMALLEST_RECORD)) {
    return `It says that it holds ${count} records in ${to - from} bytes, the last one at +${lastOffsetDelta}.`;
  }
  return undefined;
}

const hex = (value: number): string => value.toString(16).padStart(8, "0");

/** Where reading can go on: at the next batch when one follows, else behind what the header says. */
function behindDamaged(records: Buffer, from: number, to: number, base: bigint): bigint {
  if (to + PREFIX <= records.length) {
    const following = records.readBigInt64BE(to + AT.baseOffset);
    if (following > base) return following;
  }
  return base + BigInt(Math.max(0, records.readInt32BE(from + AT.lastOffsetDelta))) + 1n;
}

function describe(error: TicklakeError, at: DecodeAt, offset: bigint, behind: bigint): DamagedBatch {
  const nextOffset = behind > offset ? behind : offset + 1n;
  return {
    offset, nextOffset,
    error: new TicklakeError(error.code, `The records at offset ${offset} of partition ${at.partition} of topic "${at.topic}" cannot be read. ${error.message}`, {
      cause: error.cause, details: { topic: at.topic, partition: at.partition, offset: String(offset), nextOffset: String(nextOffset) },
    }),
  };
}

/** A batch whose records are not what its header says, and where reading stands before it. */
interface Contradiction { readonly batch: Kept; readonly before: bigint; readonly reason: string }

/** Indexes the batches; what comes before one that is damaged is kept. */
function gather(kept: readonly Kept[], at: DecodeAt, nextOffset: bigint, records: Buffer): { set?: IndexedRecordSet; bad?: Contradiction } {
  const first = kept[0];
  if (!first) return {};
  const index = newIndex(kept.reduce((sum, batch) => sum + batch.count, 0));
  // Without compression everything stays where it was received; otherwise the parts are brought together, once.
  const compressed = kept.some((batch) => batch.bytes !== records);
  const data = !compressed ? records : kept.length === 1 ? first.bytes : Buffer.concat(kept.map((batch) => batch.bytes.subarray(batch.from, batch.to)));
  let from = 0;
  let end = nextOffset;
  let before = at.position;
  let bad: Contradiction | undefined;
  for (const batch of kept) {
    const start = compressed ? from : batch.from;
    const to = start + batch.to - batch.from;
    const reason = scanRecords(data, {
      from: start, to, count: batch.count, baseTimestamp: batch.baseTimestamp, lastOffsetDelta: batch.lastOffsetDelta,
      ...(batch.appendTimestamp !== undefined && { appendTimestamp: batch.appendTimestamp }),
      shift: Number(batch.base - first.base), minDelta: Number(at.position - batch.base),
    }, index);
    if (reason !== undefined) {
      bad = { batch, before, reason };
      end = before;
      break;
    }
    before = batch.base + BigInt(batch.lastOffsetDelta) + 1n;
    from = to;
  }
  const { count } = index;
  if (count === 0) return { ...(bad && { bad }) };
  const cut = <T extends Float64Array | Int32Array>(array: T): T => (array.length === count ? array : (array.subarray(0, count) as T));
  const set = new IndexedRecordSet({
    topic: at.topic, partition: at.partition, data, count, baseOffset: first.base, nextOffset: end,
    offsetDelta: cut(index.offsetDelta), timestamps: cut(index.timestamps), keyStart: cut(index.keyStart), keyEnd: cut(index.keyEnd),
    valueStart: cut(index.valueStart), valueEnd: cut(index.valueEnd), headersStart: cut(index.headersStart),
  });
  return { set, ...(bad && { bad }) };
}

/** An int64 as a double: exact up to 2^53, which times in milliseconds never reach. */
function int64(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 0x100000000 + bytes.readUInt32BE(at + 4);
}

/** Which producers' batches are left out at the moment (Java: CompletedFetch.isBatchAborted, containsAbortMarker). */
class AbortedProducers {
  private readonly waiting: readonly AbortedTransaction[];
  private readonly active = new Set<bigint>();
  private passed = 0;

  constructor(transactions: readonly AbortedTransaction[]) {
    this.waiting = [...transactions].sort((a, b) => (a.firstOffset < b.firstOffset ? -1 : a.firstOffset > b.firstOffset ? 1 : 0));
  }

  /** Whether the batch that ends at `last` belongs to an aborted transaction. To be asked of every batch in order. */
  leavesOut(records: Buffer, from: number, last: bigint, attributes: number): boolean {
    if (this.waiting.length === 0) return false;
    while (this.passed < this.waiting.length && this.waiting[this.passed]!.firstOffset <= last) this.active.add(this.waiting[this.passed++]!.producerId);
    if (this.active.size === 0) return false;
    const producerId = records.readBigInt64BE(from + AT.producerId);
    if ((attributes & ATTRIBUTES.control) !== 0) {
      if (isAbortMarker(records, from + HEADER)) this.active.delete(producerId);
      return false;
    }
    return (attributes & ATTRIBUTES.transactional) !== 0 && this.active.has(producerId);
  }
}

/** Whether the record of a control batch ends an aborted transaction: its key is a version (int16) and a type (int16, 0 = abort). */
function isAbortMarker(records: Buffer, at: number): boolean {
  const reader = new VarintReader(records, at);
  reader.int();
  reader.at++;
  reader.long();
  reader.int();
  const length = reader.int();
  return length >= 4 && reader.at + 4 <= records.length && records.readInt16BE(reader.at + 2) === 0;
}
