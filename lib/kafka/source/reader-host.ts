import type { FailurePolicy } from "../../delivery/policy";
import type { LogView } from "../../delivery/types";
import type { KafkaConsumer, TopicPartition } from "../types";
import type { KafkaInConfig } from "./config";
import type { SourceClock, SourceNews, SourcePort } from "./contract";
import type { Undecodable } from "./decode";
import type { Neighbour } from "./suspicion";

/** What a reader needs of its source. */
export interface ReaderHost {
  readonly config: KafkaInConfig;
  readonly clock: SourceClock;
  readonly port: SourcePort;
  readonly policy: FailurePolicy;
  readonly maxAttempts: number;
  readonly consumer: KafkaConsumer;
  readonly news: SourceNews;
  readonly cluster: string;
  logOf(at: TopicPartition): LogView;
  earliest(at: TopicPartition): Promise<bigint>;
  nodeName(id: string): string;
  /** Something can be sent, or will be in a while. */
  wake(): void;
  /** `toCommit` has changed. */
  commit(): void;
  /** A record cannot be decoded and nobody takes it on output 2. */
  undecodable(at: TopicPartition, reject: Undecodable): void;
  /** All partitions that this node has. */
  partitions(): Iterable<Neighbour>;
  sent(records: number): void;
  deadLettered(count: number): void;
}
