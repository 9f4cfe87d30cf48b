import type { ProtocolCall } from "../kafkajs";
import { protocolCall, readList, writeList } from "./fields";

export interface TopicToCreate {
  readonly name: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly config?: Readonly<Record<string, string>>;
}

export interface CreatedTopic {
  readonly name: string;
  /** Kafka's error number, 0 for none. */
  readonly error: number;
  /** The broker's explanation. */
  readonly message: string | null;
}

/** CreateTopics, version 4 (Kafka 2.4; before, 2): with the broker's explanation, which kafkajs leaves out. */
export function createTopicsCall(topics: readonly TopicToCreate[], timeoutMs: number, maxVersion: number): ProtocolCall<CreatedTopic[]> {
  return protocolCall({ apiKey: 19, apiVersion: Math.min(maxVersion, 4), apiName: "CreateTopics" }, (encoder) => {
    writeList(encoder, topics, ({ name, partitions, replicationFactor, config = {} }) => {
      encoder.writeString(name).writeInt32(partitions).writeInt16(replicationFactor).writeInt32(0);
      writeList(encoder, Object.entries(config), ([key, value]) => encoder.writeString(key).writeString(value));
    });
    encoder.writeInt32(timeoutMs).writeBoolean(false);
  }, (decoder) => {
    decoder.readInt32();
    return readList(decoder, () => ({ name: decoder.readString() ?? "", error: decoder.readInt16(), message: decoder.readString() }));
  });
}
