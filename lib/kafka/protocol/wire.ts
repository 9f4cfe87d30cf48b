/**
 * Requests and responses in the form that a kafkajs connection sends (`connection.send({request, response})`), and the primitive types
 * of the protocol (Kafka protocol guide, "Protocol Primitive Types").
 */
import { TicklakeError } from "../../errors";

/** What the connection takes for an encoder: it copies `buffer` behind the request's header. */
export interface EncodedBody {
  readonly buf: Buffer;
  readonly buffer: Buffer;
  size(): number;
}

/** One request with the way to read its answer. */
export interface Call<Response> {
  readonly request: {
    readonly apiKey: number;
    readonly apiVersion: number;
    readonly apiName: string;
    readonly expectResponse: () => boolean;
    readonly encode: () => Promise<EncodedBody>;
  };
  readonly response: {
    readonly decode: (payload: Buffer) => Promise<Response>;
    /** Codes of partitions are left to the caller: one partition's error must not cost the others. */
    readonly parse: (decoded: Response) => Promise<Response>;
  };
  /** The answer may take this long (ms). */
  readonly requestTimeout: number;
}

/** Ranges of versions that a broker speaks, by API key: `broker.versions` of kafkajs. */
export type BrokerVersions = Readonly<Record<number, { readonly minVersion: number; readonly maxVersion: number } | undefined>>;

/**
 * The newest of `versions` that a broker speaks.
 *
 * @throws TicklakeError KAFKA_UNSUPPORTED
 */
export function chooseVersion(broker: BrokerVersions | null | undefined, apiKey: number, apiName: string, versions: readonly number[]): number {
  const range = broker?.[apiKey];
  const version = [...versions].sort((a, b) => b - a).find((candidate) => range !== undefined && candidate >= range.minVersion && candidate <= range.maxVersion);
  if (version !== undefined) return version;
  const speaks = range ? `versions ${range.minVersion} to ${range.maxVersion}` : "none";
  throw new TicklakeError("KAFKA_UNSUPPORTED", `The broker does not speak ${apiName} version ${versions.join(" or ")} (it speaks ${speaks}). Use Kafka 2.3 or later, or a broker that is compatible with it.`);
}

/** Writes a request's body into memory that is large enough: the sizes are known before. */
export class BodyWriter implements EncodedBody {
  readonly buf: Buffer;
  private at = 0;

  constructor(size: number) {
    this.buf = Buffer.allocUnsafe(size);
  }

  get buffer(): Buffer {
    return this.at === this.buf.length ? this.buf : this.buf.subarray(0, this.at);
  }

  size(): number {
    return this.at;
  }

  int8(value: number): this {
    this.at = this.buf.writeInt8(value, this.at);
    return this;
  }

  int16(value: number): this {
    this.at = this.buf.writeInt16BE(value, this.at);
    return this;
  }

  int32(value: number): this {
    this.at = this.buf.writeInt32BE(value, this.at);
    return this;
  }

  int64(value: bigint): this {
    this.at = this.buf.writeBigInt64BE(value, this.at);
    return this;
  }

  string(value: string | null): this {
    if (value === null) return this.int16(-1);
    const written = this.buf.write(value, this.at + 2);
    this.int16(written);
    this.at += written;
    return this;
  }

  bytes(value: Uint8Array): this {
    this.int32(value.length);
    this.buf.set(value, this.at);
    this.at += value.length;
    return this;
  }
}

/** Bytes of a string with its length. */
export const stringSize = (value: string | null): number => 2 + (value === null ? 0 : Buffer.byteLength(value));

/** Reads a response's body. Whatever runs past its end is KAFKA_FAILED, never a wrong value. */
export class BodyReader {
  private at = 0;

  constructor(private readonly body: Buffer, private readonly apiName: string) {}

  private take(bytes: number): number {
    const { at } = this;
    if (bytes < 0 || bytes > this.body.length - at) throw new TicklakeError("KAFKA_FAILED", `The broker's answer to ${this.apiName} is not what the protocol says: it ends after ${this.body.length} bytes.`);
    this.at += bytes;
    return at;
  }

  int16(): number {
    return this.body.readInt16BE(this.take(2));
  }

  int32(): number {
    return this.body.readInt32BE(this.take(4));
  }

  int64(): bigint {
    return this.body.readBigInt64BE(this.take(8));
  }

  string(): string {
    const length = this.int16();
    if (length < 0) return "";
    const at = this.take(length);
    return this.body.toString("utf8", at, at + length);
  }

  /** A view; null is empty. */
  bytes(): Buffer {
    const length = this.int32();
    if (length < 0) return this.body.subarray(0, 0);
    const at = this.take(length);
    return this.body.subarray(at, at + length);
  }

  /** A null array is empty. */
  array<T>(smallest: number, read: () => T): T[] {
    const length = this.int32();
    if (length > (this.body.length - this.at) / smallest) this.take(Infinity);
    const items: T[] = [];
    for (let k = 0; k < length; k++) items.push(read());
    return items;
  }
}

/** Groups by topic, in order of first appearance. */
export function byTopic<T extends { readonly topic: string }>(items: readonly T[]): Map<string, T[]> {
  const topics = new Map<string, T[]>();
  for (const item of items) {
    const known = topics.get(item.topic);
    if (known) known.push(item);
    else topics.set(item.topic, [item]);
  }
  return topics;
}

/** A call in the form that kafkajs' connection sends: always answered, its body written and read by us. A body that cannot be read rejects. */
export function makeCall<T>(api: { readonly key: number; readonly version: number; readonly name: string }, encode: () => BodyWriter, decode: (payload: Buffer) => T, requestTimeout: number): Call<T> {
  return {
    request: { apiKey: api.key, apiVersion: api.version, apiName: api.name, expectResponse: () => true, encode: () => Promise.resolve(encode()) },
    response: { decode: (payload) => new Promise((resolve) => resolve(decode(payload))), parse: (answer) => Promise.resolve(answer) },
    requestTimeout,
  };
}
