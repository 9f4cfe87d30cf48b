import type { TicklakeError } from "../../errors";
import type { KafkaAdmin, TopicPartition } from "../types";
import type { StartingOffsets } from "./config";

/**
 * Which partitions of a topic began with the group, as seen before this process joined it. Partitions from `initial` on were added later: whatever is in them came
 * after the group had begun, so they are read from the earliest record.
 *
 * It must be found out before joining: members that begin together resolve their partitions at the same time, and one that looks only
 * then takes a partition that the other has not committed yet for one that was added.
 */
export type TopicBeginnings = ReadonlyMap<string, number>;

/** Asks which partitions there are and what the group has committed. @throws as KafkaAdmin */
export async function surveyBeginnings(admin: KafkaAdmin, groupId: string, topics: readonly string[]): Promise<TopicBeginnings> {
  const beginnings = new Map<string, number>();
  for (const topic of topics) {
    const partitions = partitionsOf(topic, (await admin.describeTopic(topic))?.partitions ?? 0);
    const committed = partitions.length === 0 ? [] : await admin.committed(groupId, partitions, { stable: false });
    const highest = committed.findLastIndex((offset) => offset !== undefined);
    beginnings.set(topic, highest < 0 ? partitions.length : highest + 1);
  }
  return beginnings;
}

/** Where partitions without a committed offset are read from, in their order. @throws as KafkaAdmin */
export async function startOffsets(admin: KafkaAdmin, at: readonly TopicPartition[], starting: StartingOffsets, beginnings: TopicBeginnings): Promise<bigint[]> {
  const later = (one: TopicPartition): boolean => one.partition >= (beginnings.get(one.topic) ?? 0);
  const fromEarliest = at.filter((one) => starting === "earliest" || later(one));
  const others = at.filter((one) => !fromEarliest.includes(one));
  const found = new Map<TopicPartition, bigint>();
  const put = (list: readonly TopicPartition[], offsets: readonly bigint[]): void => { list.forEach((one, k) => found.set(one, offsets[k]!)); };
  if (fromEarliest.length > 0) put(fromEarliest, await admin.earliest(fromEarliest));
  if (others.length > 0) put(others, starting === "latest" ? await admin.end(others) : await admin.offsetsAt(others, (starting as { timestamp: number }).timestamp));
  return at.map((one) => found.get(one)!);
}

const partitionsOf = (topic: string, count: number): TopicPartition[] => Array.from({ length: count }, (_, partition) => ({ topic, partition }));

/** What an error says is not there will have begun after the group. */
export function withoutTopics(beginnings: TopicBeginnings, { details }: TicklakeError): TopicBeginnings {
  const topics = details?.["topics"];
  const missing = new Set<unknown>(Array.isArray(topics) ? topics : [details?.["topic"]]);
  return new Map([...beginnings].map(([topic, count]) => [topic, missing.has(topic) ? 0 : count]));
}
