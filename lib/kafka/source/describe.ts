/** What is said of a batch to the ledger and to flows. Pure. */
import type { BatchSpec, LogView } from "../../delivery/types";
import type { TopicPartition } from "../types";
import type { RecordBatchSlice } from "./buffer";
import type { KafkaInConfig } from "./config";
import type { BatchContext, BatchPlace, DeadLetter } from "./contract";
import { plainOffset, rawRecord, type Undecodable, type ValueFormat } from "./decode";

interface Origin { readonly config: KafkaInConfig; readonly cluster: string; logOf(at: TopicPartition): LogView }

export function specOf(batch: RecordBatchSlice, { key, topic, partition }: TopicPartition & { readonly key: string }, origin: Origin, context: BatchContext): BatchSpec<BatchContext> {
  const { firstOffset, lastOffset, lastTimestamp, nextOffset } = batch;
  return {
    partition: key, records: batch.count, bytes: batch.bytes, context,
    lineage: { cluster: origin.cluster, group: origin.config.groupId, topic, partition, firstOffset, lastOffset, lastTimestamp, nextOffset, log: origin.logOf({ topic, partition }) },
  };
}

/** For `msg.kafka`. */
export function placeOf({ firstOffset, lastOffset }: RecordBatchSlice, { topic, partition }: TopicPartition, groupId: string): BatchPlace {
  return { groupId, topic, partition, firstOffset: plainOffset(firstOffset), lastOffset: plainOffset(lastOffset) };
}

export function letterOf({ topic, partition }: TopicPartition, format: ValueFormat, { set, index, reason }: Undecodable, attempts: number, node?: string): DeadLetter {
  return { record: rawRecord(set, index, format), topic, partition, reason, attempts, ...(node !== undefined && { node }) };
}
