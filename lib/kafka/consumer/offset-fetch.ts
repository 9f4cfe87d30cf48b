import { TicklakeError } from "../../errors";
import { kafkaError } from "../errors";
import type { ProtocolCall } from "../kafkajs";
import { byTopic } from "../protocol/wire";
import type { TopicPartition } from "../types";
import { partitionKey } from "./assignment";

/**
 * OffsetFetch (API 9) version 7: the first that can ask for stable offsets only (KIP-447), so that a transaction that still commits
 * offsets is waited for. kafkajs ends at version 4. Flexible: lengths are unsigned varints of one more, tags follow each structure.
 */
const API_KEY = 9;
export const STABLE_VERSION = 7;

/** Offsets in the order asked for, -1 for none. Errors of a partition throw (with `stable` UNSTABLE_OFFSET_COMMIT while a transaction is pending: ask again). */
export function offsetsCall(groupId: string, partitions: readonly TopicPartition[], stable: boolean): ProtocolCall<bigint[]> {
  return {
    request: {
      apiKey: API_KEY, apiVersion: STABLE_VERSION, apiName: "OffsetFetch",
      encode: () => {
        const buffer = encode(groupId, partitions, stable);
        return Promise.resolve({ buf: buffer, buffer, size: () => buffer.length });
      },
    },
    response: {
      decode: async (payload) => ({ clientSideThrottleTime: payload.readInt32BE(1), payload }),
      parse: async ({ payload }: { payload: Buffer }) => decode(payload, groupId, partitions),
    },
  };
}

function encode(groupId: string, partitions: readonly TopicPartition[], stable: boolean): Buffer {
  const topics = byTopic(partitions);
  const parts: Buffer[] = [NO_TAGS, compactString(groupId), uvarint(topics.size + 1)];
  for (const [topic, list] of topics) {
    const numbers = Buffer.alloc(list.length * 4);
    list.forEach((at, index) => numbers.writeInt32BE(at.partition, index * 4));
    parts.push(compactString(topic), uvarint(list.length + 1), numbers, NO_TAGS);
  }
  parts.push(Buffer.from([stable ? 1 : 0]), NO_TAGS);
  return Buffer.concat(parts);
}

function decode(payload: Buffer, groupId: string, partitions: readonly TopicPartition[]): bigint[] {
  const input = new FlexibleReader(payload);
  input.tags();
  input.int32(); // throttle time
  const found = new Map<string, bigint>();
  const refuse = (error: number, details: Record<string, unknown>): void => {
    if (error !== 0) throw kafkaError(error, { doing: `Reading the committed offsets of group "${groupId}"`, details: { groupId, ...details } });
  };
  input.array(() => {
    const topic = input.string();
    input.array(() => {
      const at = { topic, partition: input.int32() };
      const offset = input.int64();
      input.int32(); // leader epoch
      input.string(); // metadata
      refuse(input.int16(), at);
      input.tags();
      found.set(partitionKey(at), offset);
    });
    input.tags();
  });
  refuse(input.int16(), {});
  return partitions.map((at) => found.get(partitionKey(at)) ?? -1n);
}

const NO_TAGS = Buffer.from([0]);

function uvarint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 127) {
    bytes.push((rest & 127) | 128);
    rest >>>= 7;
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}

function compactString(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([uvarint(bytes.length + 1), bytes]);
}

class FlexibleReader {
  private at = 0;

  constructor(private readonly data: Buffer) {}

  int16(): number { return this.data.readInt16BE(this.take(2)); }
  int32(): number { return this.data.readInt32BE(this.take(4)); }
  int64(): bigint { return this.data.readBigInt64BE(this.take(8)); }

  string(): string {
    const length = this.uvarint() - 1;
    if (length <= 0) return "";
    const at = this.take(length);
    return this.data.toString("utf8", at, at + length);
  }

  array(item: () => void): void {
    for (let left = this.uvarint() - 1; left > 0; left--) item();
  }

  tags(): void {
    for (let left = this.uvarint(); left > 0; left--) {
      this.uvarint();
      this.take(this.uvarint());
    }
  }

  private uvarint(): number {
    let value = 0;
    for (let shift = 0; shift < 32; shift += 7) {
      const byte = this.data[this.take(1)] as number;
      value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
    throw new TicklakeError("KAFKA_FAILED", "The broker's answer to OffsetFetch is not what the protocol says.");
  }

  private take(bytes: number): number {
    const { at } = this;
    if (bytes < 0 || bytes > this.data.length - at) throw new TicklakeError("KAFKA_FAILED", "The broker's answer to OffsetFetch is not what the protocol says: it ends too early.");
    this.at += bytes;
    return at;
  }
}
