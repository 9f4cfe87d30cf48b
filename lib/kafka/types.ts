/**
 * The contract of Kafka access: what sources, sinks and editor ask of a client. One client implements it
 * (client.ts, on the connections of kafkajs); another one could. Offsets are 63-bit: bigint throughout.
 */

export interface TopicPartition { readonly topic: string; readonly partition: number }
export interface PartitionOffset extends TopicPartition { readonly offset: bigint }

/** What was read of a partition: `count` records from `earliest` up to and without `end`. */
export interface TopicRead extends TopicPartition { readonly earliest: bigint; readonly end: bigint; readonly count: number }

export type SaslMechanism = "none" | "plain" | "scram-sha-256" | "scram-sha-512" | "oauthbearer";

/** How to reach a cluster. Secrets are in here: never log it. */
export interface KafkaOptions {
  /** host:port, at least one. */
  readonly brokers: readonly string[];
  readonly clientId: string;
  /** What node:tls takes (ca, cert, key, rejectUnauthorized, servername); true = the defaults. */
  readonly tls?: boolean | Record<string, unknown>;
  readonly sasl?: {
    readonly mechanism: Exclude<SaslMechanism, "none">;
    readonly username?: string;
    readonly password?: string;
    /** For oauthbearer: asked whenever a connection authenticates. */
    readonly token?: () => Promise<string>;
  };
  /** Lines of the client, at most one per second and text; none of them holds a secret. */
  readonly log?: (level: "error" | "warn" | "info" | "debug", text: string) => void;
}

/** A cluster as nodes use it: connections are made when first needed and made again without end. */
export interface KafkaClient {
  readonly admin: KafkaAdmin;
  consumer(options: ConsumerOptions, events: ConsumerEvents): KafkaConsumer;
  producer(options: ProducerOptions): KafkaProducer;
  transactional(options: TransactionalOptions): TransactionalProducer;
  /**
   * Shows every committed record that a topic holds, partition by partition, from the first that is retained up to the end as it was when the
   * partition's turn came. No consumer group has a part in it. What repetition mends is repeated for 30 s.
   *
   * @throws TicklakeError KAFKA_TOPIC_UNKNOWN, KAFKA_DENIED, KAFKA_RECORD_DAMAGED, KAFKA_UNREACHABLE, STOPPED (by `signal`), what `records` throws
   */
  readOnce(topic: string, records: (set: RecordSet) => void, signal?: AbortSignal): Promise<TopicRead[]>;
  /** Closes every connection. Consumers and producers were closed before. */
  close(): Promise<void>;
}

// ---- records ---------------------------------------------------------------------------------------------------

/**
 * Records of one partition, in order, as bytes with an index into them. Nothing is decoded until asked for; `data` is
 * not copied out of the response unless it was compressed. Control batches, aborted transactions and records below the
 * position asked for are left out already; checksums are verified. Positions are into `data`; a null key or value has start -1.
 */
export interface RecordSet {
  readonly topic: string;
  readonly partition: number;
  readonly data: Buffer;
  readonly count: number;
  readonly baseOffset: bigint;
  /** Offset of record k is baseOffset + offsetDelta[k]. */
  readonly offsetDelta: Float64Array;
  /** Unix ms. */
  readonly timestamps: Float64Array;
  readonly keyStart: Int32Array;
  readonly keyEnd: Int32Array;
  readonly valueStart: Int32Array;
  readonly valueEnd: Int32Array;
  /** Where the headers of a record begin (their count, a varint); see `headers`. */
  readonly headersStart: Int32Array;
  /** Where reading goes on after the last record (gaps of compaction and control records are passed). */
  readonly nextOffset: bigint;
  offset(index: number): bigint;
  /** A view, or null. Copy it to keep it: it pins all of `data`. */
  key(index: number): Buffer | null;
  value(index: number): Buffer | null;
  /** Decoded now; several headers of one name become a list. Undefined without headers. Values are Buffers or null. */
  headers(index: number): Record<string, Buffer | null | (Buffer | null)[]> | undefined;
  /** The records from `from` up to `to`, sharing the bytes. The last slice of a set has its `nextOffset`, the others the offset behind their last record. */
  slice(from: number, to: number): RecordSet;
}

// ---- consumer --------------------------------------------------------------------------------------------------

export interface ConsumerOptions {
  readonly groupId: string;
  readonly topics: readonly string[];
  /** A fetch waits this long for data (ms, 500). */
  readonly maxWaitMs?: number;
  /** Bytes of one fetch from a broker (4 MiB), and of each partition in it (1 MiB). A batch that is larger is fetched all the same, whole. */
  readonly maxFetchBytes?: number;
  readonly maxPartitionBytes?: number;
  readonly sessionTimeoutMs?: number;
  readonly rebalanceTimeoutMs?: number;
}

/** `joining`: waiting for the group; `down`: no broker answers, trying without end. */
export type ConsumerState = "connecting" | "joining" | "running" | "down" | "stopped";

/**
 * What a consumer tells. It never decides where to read: an assigned partition is fetched from only after `seek`.
 */
export interface ConsumerEvents {
  /** Partitions that this member did not hold before; those that it kept go on where they were. */
  assigned(partitions: readonly TopicPartition[]): void;
  /**
   * The group is going to be assigned anew; which partitions stay is known only afterwards. Commit what is settled now: the broker still
   * takes it, heartbeats go on, and joining waits for the promise (at the most 60 % of the rebalance time-out). From this call until
   * `assigned` and `revoked` no records are shown. Partitions that stay go on where they were, with position and pause, without `assigned`.
   */
  rebalancing?(): Promise<void>;
  /**
   * Partitions were taken away, and somebody else may read them already: nothing of them can be committed any more. `lost`: without
   * `rebalancing` before (session expired, fenced, a generation was missed), so what was read may be older than what the others do.
   * A partition that was lost may come back at once with `assigned`; it is to be positioned anew then.
   */
  revoked(partitions: readonly TopicPartition[], lost: boolean): Promise<void> | void;
  /** Records of a partition that is assigned, positioned and not paused; in order. Never empty. */
  records(set: RecordSet): void;
  /** Reading went on without records to show (control records, aborted transactions, compacted away): the position moved. */
  advanced?(at: PartitionOffset): void;
  /** End of the log as of this fetch (last stable offset), for the lag. */
  end(at: PartitionOffset): void;
  /** The position is not in the log any more. Nothing is fetched from it until the next `seek`. */
  outOfRange(at: PartitionOffset, log: { readonly earliest: bigint; readonly end: bigint }): void;
  /**
   * Reading was interrupted (the topic or its leader was away, or a pause lasted a second or more): the topic may have been deleted and made anew
   * meanwhile, so that another log answers to its name. Nothing is fetched until the next `seek`. Without this handler reading just goes on.
   */
  interrupted?(at: PartitionOffset): void;
  /** A batch that cannot be decoded (checksum, unknown codec): the partition stands still until `seek`. */
  damaged(at: PartitionOffset, error: Error): void;
  /**
   * For the status, whenever state or error change; `error` why it is down. An error beside another state says what cannot be read while the rest goes
   * on: topics that do not exist (KAFKA_TOPIC_UNKNOWN; they are waited for), that we may not read, brokers that do not answer.
   */
  state(state: ConsumerState, error?: Error): void;
}

export interface KafkaConsumer {
  /** Begins; returns at once. Connection, joining and fetching are repeated without end. */
  start(): void;
  /** Sets where a partition is read next; what is under way from elsewhere is discarded. Ignored for a partition that is not assigned. */
  seek(at: PartitionOffset): void;
  pause(partitions: readonly TopicPartition[]): void;
  resume(partitions: readonly TopicPartition[]): void;
  readonly assignment: readonly TopicPartition[];
  /** Generation and member, for transactions that commit offsets for this consumer. */
  readonly membership: { readonly groupId: string; readonly generation: number; readonly memberId: string } | undefined;
  /**
   * Commits with member and generation. Repeats what repetition mends until `signal`.
   * @throws TicklakeError KAFKA_NOT_ASSIGNED for a partition that is not ours now (nothing of it was committed)
   */
  commit(offsets: readonly PartitionOffset[], signal?: AbortSignal): Promise<void>;
  /**
   * What the group has committed; undefined for none. Pending transactions are waited for, but not long: one that a dead process left open is ended only by
   * the next owner of its transactional id, who needs records for that, and asks again then.
   */
  committed(partitions: readonly TopicPartition[]): Promise<(bigint | undefined)[]>;
  /** Leaves the group and stops. */
  stop(): Promise<void>;
}

// ---- producer --------------------------------------------------------------------------------------------------

export type Compression = "none" | "gzip" | "snappy" | "lz4" | "zstd";

export interface Header { readonly name: string; readonly value: Uint8Array | null }

/** A record to be written. */
export interface OutgoingRecord {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers?: readonly Header[];
  /** Unix ms. */
  readonly timestamp: number;
}

/**
 * Collects records of one partition in wire format as they come; nothing is encoded twice. `RecordBatchBuilder`
 * (records/builder.ts) is the only implementation.
 */
export interface RecordBatch {
  readonly count: number;
  /** Bytes of the records so far, uncompressed. */
  readonly bytes: number;
  add(record: OutgoingRecord): void;
  /** The batch with its header, ready to send. `producer` none: not idempotent. May be called again with another producer (a new epoch). */
  encode(options: { readonly compression: Compression; readonly producer?: { readonly id: bigint; readonly epoch: number; readonly sequence: number }; readonly transactional?: boolean }): Promise<Buffer>;
}

export interface ProducerOptions {
  readonly idempotent: boolean;
  readonly compression: Compression;
  /** Told of what is being repeated, for the status. */
  readonly retrying?: (error: Error, waitMs: number) => void;
}

export interface Produced extends TopicPartition {
  /** Of the first record; -1 where nobody knows: a batch that went out in pieces, or of which the broker only said that it has it. */
  readonly baseOffset: bigint;
  readonly count: number;
}

export interface KafkaProducer {
  /**
   * Sends one batch to one partition and resolves when all in-sync replicas have it. Batches of one partition are written in
   * the order of the calls. Everything that repetition can mend is repeated without end: with idempotence exactly the same bytes
   * under the same sequence number, so that a connection that was cut after the broker had appended doubles nothing.
   *
   * A batch that is too large for the topic, or holds a record that the broker refuses, is split until only such records are left
   * over: KAFKA_RECORD_TOO_LARGE or KAFKA_RECORD_REFUSED then name them in `details.refused` (indexes into this batch, ascending),
   * and every other record of it was written (`details.written` of them). Sending those again would double them.
   *
   * @throws TicklakeError KAFKA_RECORD_TOO_LARGE, KAFKA_RECORD_REFUSED: the records of `details.refused` were not written, all others were;
   *   KAFKA_TOPIC_UNKNOWN (30 s after it was last known), KAFKA_DENIED, CONFIG_INVALID, KAFKA_UNSUPPORTED: nothing of the batch was written
   *   (`details.written` says so where a part of it was); STOPPED when `signal` or `close` ended it (outcome unknown)
   */
  send(to: TopicPartition, batch: RecordBatch, signal?: AbortSignal): Promise<Produced>;
  close(): Promise<void>;
}

export interface TransactionalOptions extends Omit<ProducerOptions, "idempotent"> {
  readonly transactionalId: string;
  readonly timeoutMs?: number;
}

/** One transaction at a time. */
export interface TransactionalProducer {
  /** Fences every earlier producer of this transactional id and ends its open transaction. Must be called before the first transaction, and after an error of kind "fenced" it must not be used again. */
  init(signal?: AbortSignal): Promise<void>;
  begin(): void;
  /** As KafkaProducer.send. @throws also KAFKA_FENCED: another process owns this transactional id now */
  send(to: TopicPartition, batch: RecordBatch, signal?: AbortSignal): Promise<Produced>;
  /** Commits offsets of a consumer group with the transaction (with member and generation where given). */
  sendOffsets(group: { readonly groupId: string; readonly generation?: number; readonly memberId?: string }, offsets: readonly PartitionOffset[], signal?: AbortSignal): Promise<void>;
  /** Repeated until the outcome is known. */
  commit(signal?: AbortSignal): Promise<void>;
  abort(signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

// ---- admin -----------------------------------------------------------------------------------------------------

export interface TopicDescription {
  readonly name: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly internal: boolean;
}

/** Every call is tried for `timeoutMs` (10,000) and then fails with KAFKA_UNREACHABLE; errors name broker and topic. */
export interface KafkaAdmin {
  clusterId(): Promise<string>;
  /** Brokers and controller, for "test connection". */
  describeCluster(): Promise<{ readonly clusterId: string; readonly brokers: readonly { readonly id: number; readonly address: string }[]; readonly topics: number }>;
  topics(): Promise<TopicDescription[]>;
  /** Undefined when there is none. Never creates it. */
  describeTopic(name: string): Promise<TopicDescription | undefined>;
  /** @returns false when it was there already (somebody else may have been first) */
  createTopic(topic: { readonly name: string; readonly partitions: number; readonly replicationFactor: number; readonly config?: Readonly<Record<string, string>> }): Promise<boolean>;
  /** The consumer groups of the cluster, sorted, as far as they may be seen. */
  groups(): Promise<string[]>;
  earliest(at: readonly TopicPartition[]): Promise<bigint[]>;
  /** Last stable offset: where a reader of committed records would wait. */
  end(at: readonly TopicPartition[]): Promise<bigint[]>;
  /** The first offset whose timestamp is at or after `timestamp`; the end when there is none. */
  offsetsAt(at: readonly TopicPartition[], timestamp: number): Promise<bigint[]>;
  /** Timestamp of the record at an offset; undefined when it is not retained or there is none (gap). */
  timestampAt(at: PartitionOffset): Promise<number | undefined>;
  /** `stable` (true): fails while a transaction that commits them is pending; false: leaves that one out. */
  committed(groupId: string, at: readonly TopicPartition[], options?: { readonly stable?: boolean }): Promise<(bigint | undefined)[]>;
  /** The largest batch that a topic takes (its max.message.bytes); undefined when its settings may not be seen. */
  maxMessageBytes(topic: string): Promise<number | undefined>;
}
