/**
 * The header of a record batch, message format v2 (Kafka protocol guide, "Record Batch"). All numbers are big-endian.
 *
 * ```
 * base offset int64 · length int32 (of what follows) · leader epoch int32 · magic int8 · CRC-32C uint32 (of what follows) ·
 * attributes int16 · last offset delta int32 · base timestamp int64 · max timestamp int64 · producer id int64 ·
 * producer epoch int16 · base sequence int32 · count int32 · records, compressed as the attributes say
 * ```
 */
export const MAGIC = 2;
/** Base offset and length: what is needed to find the end of a batch. */
export const PREFIX = 12;
/** Bytes before the records. */
export const HEADER = 61;

export const AT = {
  baseOffset: 0, length: 8, leaderEpoch: 12, magic: 16, crc: 17, attributes: 21, lastOffsetDelta: 23, baseTimestamp: 27,
  maxTimestamp: 35, producerId: 43, producerEpoch: 51, baseSequence: 53, count: 57,
} as const;

/** Bits of the attributes; the lowest three are the codec. */
export const ATTRIBUTES = { codec: 0x07, logAppendTime: 0x08, transactional: 0x10, control: 0x20 } as const;

/** A record without key, value and headers takes no less: length, attributes, two deltas, two lengths, number of headers. */
export const SMALLEST_RECORD = 7;
