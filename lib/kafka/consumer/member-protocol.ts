/**
 * What members of a consumer group tell each other through the broker (Kafka's ConsumerProtocol.avsc: subscription and
 * assignment, version 1). Tools such as kafka-consumer-groups read it; foreign members must be readable too, so decoding
 * bears older and newer versions, and what cannot be read counts as "owns nothing".
 */
import type { TopicPartition } from "../types";
import { partitionKey } from "./assignment";

export interface Subscription {
  readonly topics: readonly string[];
  readonly owned: readonly TopicPartition[];
  /** Generation in which `owned` was assigned; -1 when unknown. */
  readonly generation: number;
}

const VERSION = 1;
/** Our user data: this mark, then the generation. Others' user data is left alone. */
const MARK = 0x744c6b31;

/** @see https://kafka.apache.org/protocol (ConsumerProtocolSubscription v1) */
export function encodeSubscription({ topics, owned, generation }: Subscription): Buffer {
  const out = new Writer();
  out.int16(VERSION);
  out.int32(topics.length);
  for (const topic of topics) out.string(topic);
  const userData = Buffer.alloc(8);
  userData.writeUInt32BE(MARK, 0);
  userData.writeInt32BE(generation, 4);
  out.bytes(userData);
  out.partitions(owned);
  return out.buffer();
}

/** @throws RangeError for bytes that are no subscription at all (topics cannot be read) */
export function decodeSubscription(bytes: Buffer): Subscription {
  const input = new Reader(bytes);
  const version = input.int16();
  const topics = input.list(() => input.string());
  let owned: TopicPartition[] = [];
  let generation = -1;
  try {
    const userData = input.bytes();
    if (version >= 1 && input.left > 0) owned = input.partitions();
    if (userData?.length === 8 && userData.readUInt32BE(0) === MARK) generation = userData.readInt32BE(4);
    else if (version >= 2 && input.left >= 4) generation = input.int32();
  } catch { /* another client's idea of user data: it owns nothing as far as we can tell */ }
  return { topics, owned, generation };
}

/** @see https://kafka.apache.org/protocol (ConsumerProtocolAssignment v1) */
export function encodeAssignment(partitions: readonly TopicPartition[]): Buffer {
  const out = new Writer();
  out.int16(VERSION);
  out.partitions(partitions);
  out.int32(-1);
  return out.buffer();
}

/** An empty buffer (the leader gave nothing) is an empty assignment. @throws RangeError for bytes that are no assignment */
export function decodeAssignment(bytes: Buffer | null): TopicPartition[] {
  if (!bytes || bytes.length === 0) return [];
  const input = new Reader(bytes);
  input.int16();
  const unique = new Map(input.partitions().map((at) => [partitionKey(at), at]));
  return [...unique.values()];
}

class Writer {
  private readonly parts: Buffer[] = [];

  int16(value: number): void {
    const bytes = Buffer.alloc(2);
    bytes.writeInt16BE(value);
    this.parts.push(bytes);
  }

  int32(value: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32BE(value);
    this.parts.push(bytes);
  }

  string(value: string): void {
    const bytes = Buffer.from(value);
    this.int16(bytes.length);
    this.parts.push(bytes);
  }

  bytes(value: Buffer): void {
    this.int32(value.length);
    this.parts.push(value);
  }

  partitions(list: readonly TopicPartition[]): void {
    const topics = new Map<string, number[]>();
    for (const { topic, partition } of list) {
      const known = topics.get(topic);
      if (known) known.push(partition); else topics.set(topic, [partition]);
    }
    this.int32(topics.size);
    for (const [topic, numbers] of topics) {
      this.string(topic);
      this.int32(numbers.length);
      for (const number of numbers) this.int32(number);
    }
  }

  buffer(): Buffer {
    return Buffer.concat(this.parts);
  }
}

/** Every read is checked by Buffer (RangeError past the end); counts are bounded by what is left. */
class Reader {
  private at = 0;

  constructor(private readonly data: Buffer) {}

  get left(): number {
    return this.data.length - this.at;
  }

  int16(): number {
    this.at += 2;
    return this.data.readInt16BE(this.at - 2);
  }

  int32(): number {
    this.at += 4;
    return this.data.readInt32BE(this.at - 4);
  }

  string(): string {
    return this.take(this.int16()).toString("utf8");
  }

  bytes(): Buffer | undefined {
    const length = this.int32();
    return length < 0 ? undefined : this.take(length);
  }

  list<T>(item: () => T): T[] {
    const count = this.int32();
    if (count > this.left) throw new RangeError(`A list of ${count} in ${this.left} bytes.`);
    return Array.from({ length: Math.max(0, count) }, item);
  }

  partitions(): TopicPartition[] {
    return this.list(() => {
      const topic = this.string();
      return this.list(() => this.int32()).map((partition) => ({ topic, partition }));
    }).flat();
  }

  private take(length: number): Buffer {
    if (length < 0 || length > this.left) throw new RangeError(`A field of ${length} bytes in ${this.left}.`);
    this.at += length;
    return this.data.subarray(this.at - length, this.at);
  }
}
