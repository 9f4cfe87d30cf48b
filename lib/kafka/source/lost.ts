import { TicklakeError } from "../../errors";
import type { PartitionReader } from "./reader";

type Log = { readonly earliest: bigint; readonly end: bigint };

/** The position is not in the log any more: what that means, and that reading goes on at the earliest record. */
export function offsetsLost({ key, topic, partition }: Pick<PartitionReader, "key" | "topic" | "partition">, groupId: string, at: bigint, { earliest, end }: Log): TicklakeError {
  const text = at < earliest
    ? `offsets ${at} to ${earliest - 1n} (${earliest - at}) are no longer retained and were not read by group ${groupId}: they are lost. Reading goes on at ${earliest}. Keep records longer (retention.ms, retention.bytes), or read faster.`
    : `group ${groupId} stands at offset ${at}, but the log ends at ${end}: the topic was made anew, or the cluster has lost records. Reading goes on at the earliest record, ${earliest}.`;
  return new TicklakeError("KAFKA_OFFSETS_LOST", `${key}: ${text}`, { details: { topic, partition, from: String(at), to: String(earliest) } });
}
