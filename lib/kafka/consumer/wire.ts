/**
 * What a consumer asks of brokers, each a single request that works or throws a TicklakeError (`details.kafkaCode` holds Kafka's
 * number): no repetition, no policy. Tests script it; `clusterWire` (cluster-wire.ts) speaks to real brokers.
 */
import type { FetchedPartition } from "../protocol/fetch";
import type { Decoded } from "../records/decode";
import type { PartitionOffset, TopicPartition } from "../types";

export interface TopicState {
  /** Why the topic cannot be read (it does not exist, or we may not). */
  readonly error?: Error;
  /** Node id of the leader per partition, -1 while there is none. */
  readonly leaders: readonly number[];
}

export interface JoinRequest {
  readonly memberId: string;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  /** By preference. */
  readonly protocols: readonly { readonly name: string; readonly metadata: Buffer }[];
}

export interface Joined {
  readonly generation: number;
  readonly protocol: string;
  readonly memberId: string;
  readonly leaderId: string;
  /** Only the leader is told. */
  readonly members: readonly { readonly memberId: string; readonly metadata: Buffer }[];
}

/** Who speaks to the coordinator. */
export interface Member { readonly memberId: string; readonly generation: number }

export interface FetchPosition extends PartitionOffset { readonly maxBytes: number }

export interface FetchRequest {
  readonly maxWaitMs: number;
  readonly maxBytes: number;
  /** The broker fills its answer in this order. */
  readonly positions: readonly FetchPosition[];
}

export interface ConsumerWire {
  metadata(topics: readonly string[]): Promise<ReadonlyMap<string, TopicState>>;

  // To the group's coordinator, which is looked up when it is not known.
  /** A member id instead of a result: the broker wants it in a second request. */
  join(request: JoinRequest): Promise<Joined | { readonly assignedMemberId: string }>;
  sync(member: Member, assignments: readonly { readonly memberId: string; readonly assignment: Buffer }[]): Promise<Buffer>;
  heartbeat(member: Member): Promise<void>;
  /** Goes on a connection that no waiting join can hold up. */
  leave(memberId: string): Promise<void>;
  /** Kafka's error number per partition, in order. */
  commit(member: Member, offsets: readonly PartitionOffset[]): Promise<number[]>;
  /** Offsets, -1 for none. `stable`: throws UNSTABLE_OFFSET_COMMIT while a transaction is pending; otherwise such a one is left out. */
  committed(partitions: readonly TopicPartition[], stable: boolean): Promise<bigint[]>;
  /** The coordinator is somebody else now, or does not answer: connect anew and look it up again. */
  forgetCoordinator(): void;

  /** `lane`: fetches of different lanes do not wait for each other. */
  fetch(node: number, lane: number, request: FetchRequest): Promise<readonly FetchedPartition[]>;
  decode(fetched: FetchedPartition, position: bigint): Promise<Decoded>;
  /** Earliest retained offset and last stable offset. */
  bounds(at: TopicPartition): Promise<{ readonly earliest: bigint; readonly end: bigint }>;
  close(): Promise<void>;
}
