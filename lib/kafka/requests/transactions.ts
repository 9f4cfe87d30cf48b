import type { ProtocolCall } from "../kafkajs";
import type { PartitionOffset, TopicPartition } from "../types";
import { byTopic, noTags, protocolCall, readList, skipTags, writeList } from "./fields";

export interface ProducerIdentity { readonly id: bigint; readonly epoch: number }

/** From here on a producer can raise its own epoch (KIP-360, Kafka 2.5). */
export const INIT_PRODUCER_ID_BUMP = 3;

/**
 * A producer's id and epoch. `current` raises the epoch of that producer (version 3; answers PRODUCER_FENCED when somebody else has raised it since).
 *
 * @param maxVersion the broker's
 */
export function initProducerIdCall(
  options: { readonly transactionalId: string | null; readonly timeoutMs: number; readonly current?: ProducerIdentity | undefined },
  maxVersion: number,
): ProtocolCall<ProducerIdentity & { error: number }> {
  const bump = maxVersion >= INIT_PRODUCER_ID_BUMP;
  const apiVersion = bump ? Math.min(maxVersion, 4) : Math.min(maxVersion, 1);
  return protocolCall({ apiKey: 22, apiVersion, apiName: "InitProducerId", flexible: bump }, (encoder) => {
    if (!bump) {
      encoder.writeString(options.transactionalId).writeInt32(options.timeoutMs);
      return;
    }
    encoder.writeUVarIntString(options.transactionalId).writeInt32(options.timeoutMs);
    encoder.writeInt64(options.current?.id ?? -1n).writeInt16(options.current?.epoch ?? -1);
    noTags(encoder);
  }, (decoder) => {
    decoder.readInt32();
    return { error: decoder.readInt16(), id: decoder.readInt64(), epoch: decoder.readInt16() };
  });
}

/** Partitions become part of the transaction before they are written to. Answers with an error number each. */
export function addPartitionsCall(transactionalId: string, producer: ProducerIdentity, partitions: readonly TopicPartition[], maxVersion: number): ProtocolCall<(TopicPartition & { error: number })[]> {
  return protocolCall({ apiKey: 24, apiVersion: Math.min(maxVersion, 2), apiName: "AddPartitionsToTxn" }, (encoder) => {
    encoder.writeString(transactionalId).writeInt64(producer.id).writeInt16(producer.epoch);
    writeList(encoder, byTopic(partitions), ([topic, list]) => {
      encoder.writeString(topic);
      writeList(encoder, list, ({ partition }) => encoder.writeInt32(partition));
    });
  }, (decoder) => {
    decoder.readInt32();
    return readList(decoder, () => {
      const topic = decoder.readString() ?? "";
      return readList(decoder, () => ({ topic, partition: decoder.readInt32(), error: decoder.readInt16() }));
    }).flat();
  });
}

/** The group's offsets become part of the transaction. Answers with an error number. */
export function addOffsetsCall(transactionalId: string, producer: ProducerIdentity, groupId: string, maxVersion: number): ProtocolCall<number> {
  return protocolCall({ apiKey: 25, apiVersion: Math.min(maxVersion, 2), apiName: "AddOffsetsToTxn" }, (encoder) => {
    encoder.writeString(transactionalId).writeInt64(producer.id).writeInt16(producer.epoch).writeString(groupId);
  }, (decoder) => {
    decoder.readInt32();
    return decoder.readInt16();
  });
}

/** Commits or aborts. Answers with an error number. */
export function endTransactionCall(transactionalId: string, producer: ProducerIdentity, commit: boolean, maxVersion: number): ProtocolCall<number> {
  return protocolCall({ apiKey: 26, apiVersion: Math.min(maxVersion, 2), apiName: "EndTxn" }, (encoder) => {
    encoder.writeString(transactionalId).writeInt64(producer.id).writeInt16(producer.epoch).writeBoolean(commit);
  }, (decoder) => {
    decoder.readInt32();
    return decoder.readInt16();
  });
}

/** From here on offsets of a transaction carry member and generation (KIP-447, Kafka 2.5). */
export const TXN_OFFSET_COMMIT_MEMBER = 3;

export interface OffsetsOwner { readonly groupId: string; readonly generation?: number; readonly memberId?: string }

/** Offsets of a transaction, to the group's coordinator. Answers with an error number each. */
export function transactionOffsetsCall(
  transactionalId: string, producer: ProducerIdentity, group: OffsetsOwner, offsets: readonly PartitionOffset[], maxVersion: number,
): ProtocolCall<(TopicPartition & { error: number })[]> {
  const member = maxVersion >= TXN_OFFSET_COMMIT_MEMBER;
  const apiVersion = member ? TXN_OFFSET_COMMIT_MEMBER : Math.min(maxVersion, 2);
  return protocolCall({ apiKey: 28, apiVersion, apiName: "TxnOffsetCommit", flexible: member }, (encoder) => {
    const text = (value: string | null) => member ? encoder.writeUVarIntString(value) : encoder.writeString(value);
    text(transactionalId);
    text(group.groupId);
    encoder.writeInt64(producer.id).writeInt16(producer.epoch);
    if (member) {
      encoder.writeInt32(group.generation ?? -1);
      text(group.memberId ?? "");
      text(null);
    }
    writeList(encoder, byTopic(offsets), ([topic, list]) => {
      text(topic);
      writeList(encoder, list, ({ partition, offset }) => {
        encoder.writeInt32(partition).writeInt64(offset);
        if (apiVersion >= 2) encoder.writeInt32(-1);
        text("");
        if (member) noTags(encoder);
      }, member);
      if (member) noTags(encoder);
    }, member);
    if (member) noTags(encoder);
  }, (decoder) => {
    decoder.readInt32();
    return readList(decoder, () => {
      const topic = (member ? decoder.readUVarIntString() : decoder.readString()) ?? "";
      const list = readList(decoder, () => {
        const answer = { topic, partition: decoder.readInt32(), error: decoder.readInt16() };
        if (member) skipTags(decoder);
        return answer;
      }, member);
      if (member) skipTags(decoder);
      return list;
    }, member).flat();
  });
}
