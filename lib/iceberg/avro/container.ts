import { randomBytes } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import * as avro from "avsc";
import { TicklakeError } from "../../errors";
import { type AvroCodec, compressBlock, decompressBlock } from "./codecs";

/**
 * Avro object container files (https://avro.apache.org/docs/1.12.0/specification/#object-container-files).
 *
 * The container is written here, because avsc's own streams drop what Iceberg needs: the header's schema must keep
 * `field-id` and `logicalType`, so it is the raw schema object, not avsc's copy of it. avsc encodes the records.
 */

/** A schema as it stands in the header, with Iceberg's attributes. */
export type AvroSchema = string | AvroSchema[] | AvroObject;
export interface AvroObject { type: AvroSchema; [attribute: string]: unknown }

const MAGIC = Buffer.from([0x4f, 0x62, 0x6a, 0x01]);
/** Plain bytes of a block. Between blocks other work gets its turn. */
const BLOCK_BYTES = 64 * 1024;

/** Longs as bigint: avsc's own refuse what lies beyond 2^53, and snapshot ids do. */
const LONG = avro.types.LongType.__with({
  fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
  toBuffer: (value: bigint) => {
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeBigInt64LE(value);
    return bytes;
  },
  fromJSON: BigInt,
  toJSON: Number,
  isValid: (value: unknown) => typeof value === "bigint",
  compare: (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0),
});

const META = avro.Type.forSchema({ type: "map", values: "bytes" });

/** A schema with its type: files of one table have the same few schemas, and building a type costs more than reading a small file with it. */
interface Typed { readonly schema: AvroSchema; readonly type: avro.Type }
const KNOWN_TYPES = 64;
/** By the schema's text, the least lately used first. */
const known = new Map<string, Typed>();

function typed(text: string): Typed {
  const found = known.get(text) ?? build(text);
  known.delete(text);
  known.set(text, found);
  if (known.size > KNOWN_TYPES) known.delete(known.keys().next().value!);
  return found;
}

function build(text: string): Typed {
  const schema = JSON.parse(text) as AvroSchema;
  const type = avro.Type.forSchema(schema as avro.Schema, {
    wrapUnions: "never",
    // A hook, not the registry: that one is not asked for longs with a logical type.
    typeHook: (part: unknown) => (part === "long" || (part as { type?: unknown } | null)?.type === "long" ? (LONG as unknown as avro.Type) : undefined),
  });
  return { schema, type };
}

/** The record type of a raw schema. Longs are bigint, unions plain values (null or the value). */
export function recordType(schema: AvroSchema): avro.Type {
  return typed(JSON.stringify(schema)).type;
}

/**
 * A whole container file.
 *
 * @param type `recordType(schema)`, kept by the caller: building it costs more than writing a few records
 * @param metadata more header entries (Iceberg's `schema`, `partition-spec`, ...)
 */
export async function writeContainer(
  schema: AvroSchema, type: avro.Type, records: Iterable<unknown>, metadata: Readonly<Record<string, string>>, codec: AvroCodec = "deflate",
): Promise<Uint8Array> {
  const sync = randomBytes(16);
  const header: Record<string, Buffer> = { "avro.schema": Buffer.from(JSON.stringify(schema)), "avro.codec": Buffer.from(codec) };
  for (const [key, value] of Object.entries(metadata)) header[key] = Buffer.from(value);
  const parts: Uint8Array[] = [MAGIC, META.toBuffer(header), sync];

  let block: Uint8Array[] = [];
  let bytes = 0;
  const flush = async (): Promise<void> => {
    const data = await compressBlock(codec, Buffer.concat(block));
    parts.push(long(block.length), long(data.length), data, sync);
    block = [];
    bytes = 0;
  };
  for (const record of records) {
    const encoded = type.toBuffer(record);
    block.push(encoded);
    bytes += encoded.length;
    if (bytes >= BLOCK_BYTES) await flush();
  }
  if (block.length > 0) await flush();
  return Buffer.concat(parts);
}

/** What a container holds: its header and its records, decoded by the schema that they were written with (shared with other files: never changed). */
export interface Container {
  readonly schema: AvroSchema;
  readonly metadata: ReadonlyMap<string, string>;
  readonly records: Record<string, unknown>[];
}

/**
 * Reads a container file of any engine.
 *
 * @param name for errors: its location
 * @throws TicklakeError TABLE_CORRUPT when it is damaged or cut off, TABLE_UNSUPPORTED for an unknown codec
 */
export async function readContainer(bytes: Uint8Array, name: string): Promise<Container> {
  try {
    return await decode(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch (error) {
    if (error instanceof TicklakeError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new TicklakeError("TABLE_CORRUPT", `${name} is damaged or no Avro file (${reason}). Roll the table back to a snapshot that does not use it, or restore the file.`, { cause: error });
  }
}

async function decode(file: Buffer): Promise<Container> {
  if (!file.subarray(0, 4).equals(MAGIC)) throw new Error("the magic bytes are missing");
  const header = META.decode(file, 4) as { value: Record<string, Buffer>; offset: number };
  if (header.offset < 0 || header.offset + 16 > file.length) throw new Error("the header is cut off");
  const metadata = new Map(Object.entries(header.value).map(([key, value]) => [key, value.toString("utf8")]));
  const { schema, type } = typed(metadata.get("avro.schema") ?? "null");
  const codec = metadata.get("avro.codec") ?? "null";
  const sync = file.subarray(header.offset, header.offset + 16);
  const records: Record<string, unknown>[] = [];
  let at = header.offset + 16;
  while (at < file.length) {
    const count = readLong(file, at);
    const size = readLong(file, count.next);
    const end = size.next + size.value;
    if (count.value < 0 || size.value < 0 || end + 16 > file.length) throw new Error("a block is cut off");
    if (!file.subarray(end, end + 16).equals(sync)) throw new Error("a sync marker is wrong");
    await decodeBlock(type, Buffer.from(await decompressBlock(codec, file.subarray(size.next, end))), count.value, records);
    at = end + 16;
  }
  return { schema, metadata, records };
}

async function decodeBlock(type: avro.Type, block: Buffer, count: number, into: Record<string, unknown>[]): Promise<void> {
  let at = 0;
  for (let i = 0; i < count; i++) {
    const { value, offset } = type.decode(block, at) as { value: Record<string, unknown>; offset: number };
    if (offset < 0) throw new Error("a record is cut off");
    into.push(value);
    at = offset;
    // Engines write blocks of thousands of entries: the event loop gets its turn in between.
    if (i % 500 === 499) await nextTurn();
  }
}

/** A zig-zag varint of a small number. */
function long(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value * 2;
  while (rest >= 128) {
    bytes.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

function readLong(bytes: Uint8Array, at: number): { value: number; next: number } {
  let value = 0;
  for (let next = at, scale = 1; ; next++, scale *= 128) {
    const byte = bytes[next];
    if (byte === undefined || scale > 2 ** 49) throw new Error("a block is cut off");
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return { value: value % 2 === 0 ? value / 2 : -(value + 1) / 2, next: next + 1 };
  }
}
