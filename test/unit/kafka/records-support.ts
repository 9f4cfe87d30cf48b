/** Record batches for tests: a second, slow encoder written from the protocol guide, and batches made from others. */
import { MAGIC } from "../../../lib/kafka/records/batch";
import { decodeRecords, type AbortedTransaction, type Decoded } from "../../../lib/kafka/records/decode";

/** CRC-32C bit by bit. */
export function slowCrc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

/** Zigzag varint of any size. */
export function varint(value: number | bigint): Buffer {
  let rest = BigInt(value) >= 0n ? BigInt(value) << 1n : (-BigInt(value) << 1n) - 1n;
  const bytes: number[] = [];
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Buffer.from([...bytes, Number(rest)]);
}

export interface PlainRecord {
  readonly offset: number;
  readonly timestamp?: number;
  readonly key?: string | null;
  readonly value?: string | null;
  readonly headers?: readonly (readonly [string, string | null])[];
}

const sized = (text: string | null | undefined): Buffer => (text == null ? varint(-1) : Buffer.concat([varint(Buffer.byteLength(text)), Buffer.from(text)]));

export function recordBytes(record: PlainRecord, baseOffset: number, baseTimestamp: number): Buffer {
  const body = Buffer.concat([
    Buffer.of(0), varint((record.timestamp ?? baseTimestamp) - baseTimestamp), varint(record.offset - baseOffset), sized(record.key), sized(record.value),
    varint(record.headers?.length ?? 0), ...(record.headers ?? []).flatMap(([name, value]) => [sized(name), sized(value)]),
  ]);
  return Buffer.concat([varint(body.length), body]);
}

export interface BatchFields {
  readonly base?: number;
  /** Of the batch; by default that of the last record. Compaction leaves a larger one. */
  readonly last?: number;
  readonly count?: number;
  readonly attributes?: number;
  readonly baseTimestamp?: number;
  readonly maxTimestamp?: number;
  readonly producerId?: number;
  readonly magic?: number;
  /** Instead of the records: compressed, or broken. */
  readonly body?: Buffer;
}

/** A batch with any header and a right checksum. */
export function batchOf(records: readonly PlainRecord[], fields: BatchFields = {}): Buffer {
  const base = fields.base ?? records[0]?.offset ?? 0;
  const baseTimestamp = fields.baseTimestamp ?? records[0]?.timestamp ?? 1_700_000_000_000;
  const body = fields.body ?? Buffer.concat(records.map((record) => recordBytes(record, base, baseTimestamp)));
  const covered = Buffer.alloc(40);
  covered.writeInt16BE(fields.attributes ?? 0, 0);
  covered.writeInt32BE((fields.last ?? records.at(-1)?.offset ?? base) - base, 2);
  covered.writeBigInt64BE(BigInt(baseTimestamp), 6);
  covered.writeBigInt64BE(BigInt(fields.maxTimestamp ?? baseTimestamp), 14);
  covered.writeBigInt64BE(BigInt(fields.producerId ?? -1), 22);
  covered.writeInt16BE(fields.producerId === undefined ? -1 : 0, 30);
  covered.writeInt32BE(fields.producerId === undefined ? -1 : 0, 32);
  covered.writeInt32BE(fields.count ?? records.length, 36);
  const front = Buffer.alloc(21);
  front.writeBigInt64BE(BigInt(base), 0);
  front.writeInt32BE(9 + covered.length + body.length, 8);
  front.writeInt32BE(3, 12);
  front[16] = fields.magic ?? MAGIC;
  front.writeUInt32BE(slowCrc32c(Buffer.concat([covered, body])), 17);
  return Buffer.concat([front, covered, body]);
}

/** Values "v<offset>" from `from` up to `to`. */
export const span = (from: number, to: number): PlainRecord[] => Array.from({ length: to - from }, (_, k) => ({ offset: from + k, key: `k${from + k}`, value: `v${from + k}` }));

export const TRANSACTIONAL = 0x10;
export const CONTROL = 0x20;

/** The marker that ends a transaction. */
export function marker(kind: "abort" | "commit", offset: number, producerId: number): Buffer {
  return batchOf([{ offset, key: kind === "abort" ? "\0\0\0\0" : "\0\0\0\u0001", value: "\0\0\0\0\0\0" }], { attributes: TRANSACTIONAL | CONTROL, producerId });
}

export function decode(records: Buffer, position: number | bigint = 0, abortedTransactions: readonly AbortedTransaction[] = [], limits = {}): Promise<Decoded> {
  return decodeRecords(records, { topic: "trades", partition: 3, position: BigInt(position), abortedTransactions }, limits);
}

export const offsets = ({ set }: Decoded): number[] => (set ? Array.from({ length: set.count }, (_, k) => Number(set.offset(k))) : []);
export const values = ({ set }: Decoded): (string | undefined)[] => (set ? Array.from({ length: set.count }, (_, k) => set.value(k)?.toString()) : []);

/** Bytes as trades have them, always the same: about 110 bytes a line. */
export function sampleLines(count: number): Buffer {
  let state = 20241101;
  const random = (n: number): number => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) % n;
  const lines: string[] = [];
  for (let k = 0; k < count; k++) {
    lines.push(`{"T":"t","S":"${["AAPL", "GOOGL", "MSFT", "AMZN", "TSLA"][random(5)]}","i":${52983525000000 + random(1e9)},"x":"${"VKQPN"[random(5)]}","p":${(100 + random(10000) / 100).toFixed(2)},"s":${1 + random(500)},"t":${1730467800000 + k},"c":["@","I"],"z":"C"}\n`);
  }
  return Buffer.from(lines.join(""));
}
