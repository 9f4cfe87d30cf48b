/** How far a replay is, kept in Kafka: as the offset of a consumer group that nobody joins, committed in the transactions of the trades. */
import type { LogPosition } from "../delivery/types";
import type { TicklakeError } from "../errors";
import { retrying } from "../retry";
import type { KafkaClient } from "./types";

/** Begins the name of every such group. */
export const REPLAY_GROUP = "ticklake-replay-";

/** Where a replay stands. */
export interface ReplayBegin {
  /** What its batches are of, as a partition of a log: a transactional kafka-out commits their offsets as those of a topic. */
  readonly at: LogPosition;
  /** Rows (trades and rejected ones) of which the topic has everything. */
  readonly next: number;
}

/**
 * Asks how far a replay came before. The answer may be behind: what a transaction still open or just committed has is found out by kafka-out,
 * which ends that transaction first, and leaves out what is in the topic.
 *
 * @param topic the one that is written to: its first partition carries the offset, which Kafka forgets together with the topic
 * @throws TicklakeError KAFKA_DENIED and others that no repetition mends; STOPPED by the signal
 */
export async function replayBegin(client: Pick<KafkaClient, "admin">, topic: string, identity: string, signal: AbortSignal, onRetry?: (error: TicklakeError) => void): Promise<ReplayBegin> {
  const ask = <T>(question: () => Promise<T>): Promise<T> => retrying(question, { signal, ...(onRetry ? { onRetry } : {}) });
  const group = `${REPLAY_GROUP}${identity}`;
  const cluster = await ask(() => client.admin.clusterId());
  const [committed] = await ask(() => client.admin.committed(group, [{ topic, partition: 0 }], { stable: false }));
  return { at: { cluster, group, topic, partition: 0 }, next: Number(committed ?? 0n) };
}
