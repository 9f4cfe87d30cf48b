import type { TopicPartition } from "../types";
import type { AbortedTransaction } from "../records/decode";
import { BodyReader, BodyWriter, byTopic, chooseVersion, makeCall, stringSize, type BrokerVersions, type Call } from "./wire";

/** Fetch (API 1). Version 10 carries zstd, version 11 names a nearer replica (KIP-392); both are not flexible. */
const API_KEY = 1;
const API_NAME = "Fetch";
const VERSIONS = [11, 10] as const;

/** @throws TicklakeError KAFKA_UNSUPPORTED (a broker before Kafka 2.3) */
export const fetchVersion = (broker: BrokerVersions | null | undefined): number => chooseVersion(broker, API_KEY, API_NAME, VERSIONS);

/** Where a partition is read next. */
export interface FetchPartition extends TopicPartition {
  readonly offset: bigint;
  /** Bytes of this partition at most; a first batch that is larger comes whole. */
  readonly maxBytes: number;
  /** Epoch of the leader as the caller knows it: a broker that knows another refuses (codes 74, 75). None: unchecked. */
  readonly leaderEpoch?: number;
}

export interface FetchOptions {
  readonly version: number;
  /** The broker waits this long (ms) for `minBytes`. */
  readonly maxWaitMs: number;
  readonly minBytes: number;
  /** Bytes of the whole answer. */
  readonly maxBytes: number;
  /** Committed: up to the last stable offset, and aborted transactions are named. */
  readonly isolation: "committed" | "uncommitted";
  readonly partitions: readonly FetchPartition[];
  /** Rack of this client, for reading from a near replica (version 11). */
  readonly rackId?: string;
  /** How long the answer may take beyond `maxWaitMs` (ms, 30,000). */
  readonly timeoutMs?: number;
}

/** What a broker has of a partition. */
export interface FetchedPartition extends TopicPartition {
  /** Kafka's error code; 0 = none. With another one offsets may be -1 and there are no records. */
  readonly errorCode: number;
  readonly highWatermark: bigint;
  readonly lastStableOffset: bigint;
  readonly logStartOffset: bigint;
  readonly abortedTransactions: readonly AbortedTransaction[];
  /** Broker to read this partition from; -1 = stay here. */
  readonly preferredReadReplica: number;
  /** Record batches, the last one perhaps cut off: a view into the response. For `decodeRecords`. */
  readonly records: Buffer;
}

export interface Fetched {
  /** What the connection reads: it holds further requests back for so long (ms). */
  readonly clientSideThrottleTime: number;
  /** Of the request as a whole. */
  readonly errorCode: number;
  readonly partitions: readonly FetchedPartition[];
}

/** A fetch without a session (KIP-227: epoch -1), for all partitions that a broker leads. */
export function fetchRequest(options: FetchOptions): Call<Fetched> {
  const { version } = options;
  return makeCall({ key: API_KEY, version, name: API_NAME }, () => encode(options), (payload) => decode(payload, version), options.maxWaitMs + (options.timeoutMs ?? 30_000));
}

const PER_PARTITION = 4 + 4 + 8 + 8 + 4;

function encode(options: FetchOptions): BodyWriter {
  const topics = byTopic(options.partitions);
  const rack = options.rackId ?? "";
  let size = 4 + 4 + 4 + 4 + 1 + 4 + 4 + 4 + 4 + stringSize(rack) + options.partitions.length * PER_PARTITION;
  for (const topic of topics.keys()) size += stringSize(topic) + 4;
  const body = new BodyWriter(size);
  body.int32(-1).int32(options.maxWaitMs).int32(options.minBytes).int32(options.maxBytes);
  body.int8(options.isolation === "committed" ? 1 : 0).int32(0).int32(-1);
  body.int32(topics.size);
  for (const [topic, partitions] of topics) {
    body.string(topic).int32(partitions.length);
    for (const { partition, offset, maxBytes, leaderEpoch = -1 } of partitions) body.int32(partition).int32(leaderEpoch).int64(offset).int64(-1n).int32(maxBytes);
  }
  body.int32(0);
  if (options.version >= 11) body.string(rack);
  return body;
}

function decode(payload: Buffer, version: number): Fetched {
  const body = new BodyReader(payload, API_NAME);
  const clientSideThrottleTime = body.int32();
  const errorCode = body.int16();
  body.int32(); // session
  const topics = body.array(6, () => {
    const topic = body.string();
    return body.array(38, (): FetchedPartition => ({
      topic, partition: body.int32(), errorCode: body.int16(), highWatermark: body.int64(), lastStableOffset: body.int64(), logStartOffset: body.int64(),
      abortedTransactions: body.array(16, () => ({ producerId: body.int64(), firstOffset: body.int64() })),
      preferredReadReplica: version >= 11 ? body.int32() : -1,
      records: body.bytes(),
    }));
  });
  return { clientSideThrottleTime, errorCode, partitions: topics.flat() };
}
