import { kafkajs, type Decoder, type Encoder, type ProtocolCall } from "../kafkajs";

/** A call from how it is written and read. `flexible` requests (Kafka's "flexible versions") carry tagged fields, in their headers too. */
export function protocolCall<T>(
  request: { readonly apiKey: number; readonly apiVersion: number; readonly apiName: string; readonly flexible?: boolean; readonly requestTimeout?: number },
  write: (encoder: Encoder) => void,
  read: (decoder: Decoder) => T,
): ProtocolCall<T> {
  const { apiKey, apiVersion, apiName, flexible = false } = request;
  return {
    request: {
      apiKey, apiVersion, apiName,
      encode: async () => {
        const encoder = new (kafkajs().Encoder)();
        if (flexible) noTags(encoder);
        write(encoder);
        return encoder;
      },
    },
    response: {
      decode: async (payload) => {
        const decoder = new (kafkajs().Decoder)(payload);
        if (flexible) skipTags(decoder);
        // No clientSideThrottleTime: a quota delays the broker's answers as it is.
        return read(decoder);
      },
      parse: async (decoded) => decoded as T,
    },
    ...(request.requestTimeout === undefined ? {} : { requestTimeout: request.requestTimeout }),
    logResponseError: false,
  };
}

/** An empty tagged-field section. */
export function noTags(encoder: Encoder): void {
  encoder.writeUVarInt(0);
}

/** Passes a tagged-field section whatever is in it. */
export function skipTags(decoder: Decoder): void {
  for (let count = decoder.readUVarInt(); count > 0; count--) {
    decoder.readUVarInt();
    const length = decoder.readUVarInt();
    decoder.offset += length;
  }
}

export function writeList<T>(encoder: Encoder, items: readonly T[], write: (item: T) => void, compact = false): void {
  if (compact) encoder.writeUVarInt(items.length + 1);
  else encoder.writeInt32(items.length);
  for (const item of items) write(item);
}

/** A list; null counts as empty. */
export function readList<T>(decoder: Decoder, read: () => T, compact = false): T[] {
  const count = compact ? decoder.readUVarInt() - 1 : decoder.readInt32();
  const list: T[] = [];
  for (let k = 0; k < count; k++) list.push(read());
  return list;
}

/** Partitions by topic, in the order in which the topics come. */
export function byTopic<T extends { readonly topic: string }>(items: readonly T[]): [string, T[]][] {
  const topics = new Map<string, T[]>();
  for (const item of items) {
    const list = topics.get(item.topic);
    if (list) list.push(item);
    else topics.set(item.topic, [item]);
  }
  return [...topics];
}
