import type { ProtocolCall } from "../kafkajs";
import type { TopicPartition } from "../types";
import { byTopic, noTags, protocolCall, readList, skipTags, writeList } from "./fields";

/** Where a log begins and ends, as ListOffsets knows them instead of a timestamp. */
export const EARLIEST = -2n;
export const LATEST = -1n;

export interface ListedOffset extends TopicPartition {
  /** Kafka's error number, 0 for none. */
  readonly error: number;
  /** -1 for none. */
  readonly timestamp: bigint;
  /** -1 when no record is at or after the timestamp that was asked for. */
  readonly offset: bigint;
}

/** ListOffsets, version 3, of one leader. `committed`: the end is the last stable offset. */
export function listOffsetsCall(at: readonly TopicPartition[], timestamp: bigint, committed = true): ProtocolCall<ListedOffset[]> {
  return protocolCall({ apiKey: 2, apiVersion: 3, apiName: "ListOffsets" }, (encoder) => {
    encoder.writeInt32(-1).writeInt8(committed ? 1 : 0);
    writeList(encoder, byTopic(at), ([topic, partitions]) => {
      encoder.writeString(topic);
      writeList(encoder, partitions, ({ partition }) => encoder.writeInt32(partition).writeInt64(timestamp));
    });
  }, (decoder) => {
    decoder.readInt32();
    return readList(decoder, () => {
      const topic = decoder.readString() ?? "";
      return readList(decoder, (): ListedOffset => ({ topic, partition: decoder.readInt32(), error: decoder.readInt16(), timestamp: decoder.readInt64(), offset: decoder.readInt64() }));
    }).flat();
  });
}

export interface FetchedOffset extends TopicPartition {
  readonly error: number;
  /** Undefined where the group has committed nothing. */
  readonly offset: bigint | undefined;
}

/** OffsetFetch that waits for open transactions is version 7 (Kafka 2.5). */
export const OFFSET_FETCH_STABLE = 7;

/**
 * What a group has committed: version 7 asks for stable offsets only (UNSTABLE_OFFSET_COMMIT while a transaction that commits them is
 * open) unless told otherwise, version 5 for older brokers cannot.
 *
 * @param maxVersion the broker's
 */
export function offsetFetchCall(groupId: string, at: readonly TopicPartition[], maxVersion: number, requireStable = true): ProtocolCall<{ error: number; offsets: FetchedOffset[] }> {
  const stable = maxVersion >= OFFSET_FETCH_STABLE;
  return protocolCall({ apiKey: 9, apiVersion: stable ? OFFSET_FETCH_STABLE : 5, apiName: "OffsetFetch", flexible: stable }, (encoder) => {
    const text = (value: string) => stable ? encoder.writeUVarIntString(value) : encoder.writeString(value);
    text(groupId);
    writeList(encoder, byTopic(at), ([topic, partitions]) => {
      text(topic);
      writeList(encoder, partitions, ({ partition }) => encoder.writeInt32(partition), stable);
      if (stable) noTags(encoder);
    }, stable);
    if (stable) {
      encoder.writeBoolean(requireStable);
      noTags(encoder);
    }
  }, (decoder) => {
    const text = () => stable ? decoder.readUVarIntString() : decoder.readString();
    decoder.readInt32();
    const offsets = readList(decoder, () => {
      const topic = text() ?? "";
      const partitions = readList(decoder, (): FetchedOffset => {
        const partition = decoder.readInt32();
        const offset = decoder.readInt64();
        decoder.readInt32();
        text();
        const error = decoder.readInt16();
        if (stable) skipTags(decoder);
        return { topic, partition, error, offset: offset < 0n ? undefined : offset };
      }, stable);
      if (stable) skipTags(decoder);
      return partitions;
    }, stable).flat();
    return { error: decoder.readInt16(), offsets };
  });
}
