import type { TopicPartition } from "../types";
import { BodyReader, BodyWriter, byTopic, chooseVersion, makeCall, stringSize, type BrokerVersions, type Call } from "./wire";

/** Produce (API 0). Version 7 is the first that may carry zstd (KIP-110), version 8 names the records that were refused (KIP-467); both are not flexible. */
const API_KEY = 0;
const API_NAME = "Produce";
const VERSIONS = [8, 7] as const;

/** @throws TicklakeError KAFKA_UNSUPPORTED (a broker before Kafka 2.3) */
export const produceVersion = (broker: BrokerVersions | null | undefined): number => chooseVersion(broker, API_KEY, API_NAME, VERSIONS);

export interface ProduceOptions {
  /** As `produceVersion` chose it (7). */
  readonly version?: number;
  /** Set = the batches are part of its transaction (and were encoded so). */
  readonly transactionalId?: string;
  /** -1 = all in-sync replicas. */
  readonly acks: -1 | 1;
  /** How long the broker waits for the replicas (ms). */
  readonly timeoutMs: number;
  /** Encoded batches, at most one a partition: a broker refuses two. */
  readonly partitions: readonly (TopicPartition & { readonly batch: Buffer })[];
}

/** What became of a batch. */
export interface ProducedPartition extends TopicPartition {
  /** Kafka's error code; 0 = it was written. */
  readonly errorCode: number;
  /** Offset of its first record; -1 after an error. */
  readonly baseOffset: bigint;
  /** Unix ms where the broker's clock counts, else -1. */
  readonly logAppendTime: number;
  readonly logStartOffset: bigint;
  /** Version 8, with codes 32 and 87: which records of the batch were refused, and why; the whole batch was. */
  readonly refused?: readonly RefusedRecord[];
  /** Version 8: the broker's words. */
  readonly message?: string;
}

/** A record that a broker does not take: `index` counts from 0 in its batch. */
export interface RefusedRecord { readonly index: number; readonly message: string }

export interface ProduceResponse {
  /** What the connection reads: it holds further requests back for so long (ms). */
  readonly clientSideThrottleTime: number;
  readonly partitions: readonly ProducedPartition[];
}

/** One request for all partitions of a broker. The batches are copied into it when it is sent. */
export function produceRequest(options: ProduceOptions): Call<ProduceResponse> {
  const { version = 7 } = options;
  // The broker answers after its own time-out at the latest; the rest is for the way.
  return makeCall({ key: API_KEY, version, name: API_NAME }, () => encode(options), (payload) => decode(payload, version), options.timeoutMs + 15_000);
}

function encode(options: ProduceOptions): BodyWriter {
  const { transactionalId = null, partitions } = options;
  const topics = byTopic(partitions);
  let size = stringSize(transactionalId) + 2 + 4 + 4;
  for (const topic of topics.keys()) size += stringSize(topic) + 4;
  for (const { batch } of partitions) size += 4 + 4 + batch.length;
  const body = new BodyWriter(size);
  body.string(transactionalId).int16(options.acks).int32(options.timeoutMs).int32(topics.size);
  for (const [topic, list] of topics) {
    body.string(topic).int32(list.length);
    for (const { partition, batch } of list) body.int32(partition).bytes(batch);
  }
  return body;
}

function decode(payload: Buffer, version: number): ProduceResponse {
  const body = new BodyReader(payload, API_NAME);
  const topics = body.array(6, () => {
    const topic = body.string();
    return body.array(30, (): ProducedPartition => ({
      topic, partition: body.int32(), errorCode: body.int16(), baseOffset: body.int64(), logAppendTime: Number(body.int64()), logStartOffset: body.int64(),
      ...(version >= 8 && { refused: body.array(6, () => ({ index: body.int32(), message: body.string() })), message: body.string() }),
    }));
  });
  return { clientSideThrottleTime: body.int32(), partitions: topics.flat() };
}
