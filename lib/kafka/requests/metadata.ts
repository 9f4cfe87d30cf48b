import type { ClusterBroker, ClusterMetadata, PartitionMetadata, TopicMetadata } from "../cluster";
import type { Decoder, ProtocolCall } from "../kafkajs";
import { protocolCall, readList, writeList } from "./fields";

/**
 * Metadata, version 6, never with topic creation. kafkajs' own throws for the first topic that has an error and cannot ask for no topic.
 *
 * @param topics none: all of them; empty: brokers only
 */
export function metadataCall(topics?: readonly string[]): ProtocolCall<ClusterMetadata> {
  return protocolCall({ apiKey: 3, apiVersion: 6, apiName: "Metadata" }, (encoder) => {
    if (topics) writeList(encoder, topics, (topic) => encoder.writeString(topic));
    else encoder.writeInt32(-1);
    encoder.writeBoolean(false);
  }, (decoder) => {
    decoder.readInt32();
    const brokers = readList(decoder, (): ClusterBroker => ({ id: decoder.readInt32(), host: decoder.readString() ?? "", port: decoder.readInt32(), rack: decoder.readString() }));
    const clusterId = decoder.readString() ?? "";
    const controllerId = decoder.readInt32();
    return { brokers, clusterId, controllerId, topics: readList(decoder, () => readTopic(decoder)) };
  });
}

function readTopic(decoder: Decoder): TopicMetadata {
  const error = decoder.readInt16();
  const name = decoder.readString() ?? "";
  const internal = decoder.readBoolean();
  const partitions = readList(decoder, () => readPartition(decoder)).sort((a, b) => a.partition - b.partition);
  return { name, internal, error, partitions };
}

function readPartition(decoder: Decoder): PartitionMetadata {
  const error = decoder.readInt16();
  const partition = decoder.readInt32();
  const leader = decoder.readInt32();
  const replicas = readList(decoder, () => decoder.readInt32());
  const isr = readList(decoder, () => decoder.readInt32());
  readList(decoder, () => decoder.readInt32());
  return { partition, leader, replicas, isr, error };
}
