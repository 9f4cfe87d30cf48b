import { TicklakeError } from "../errors";
import { backoffMs, pause } from "../retry";
import { KafkaCluster, isCoordinatorGone, isLeaderGone, place } from "./cluster";
import { KafkaCode, kafkaCodeOf, kafkaError } from "./errors";
import { addressText } from "./options";
import { fetchRequest, fetchVersion } from "./protocol/fetch";
import { decodeRecords } from "./records/decode";
import { EARLIEST, LATEST, listOffsetsCall, offsetFetchCall, type ListedOffset } from "./requests/offsets";
import { createTopicsCall } from "./requests/topics";
import type { KafkaAdmin, PartitionOffset, TopicDescription, TopicPartition } from "./types";
import type { TopicMetadata } from "./cluster";

const TIMEOUT_MS = 10_000;
/** A fetch of one record: brokers send the first batch whole however large it is. */
const ONE_RECORD_BYTES = 64 * 1024;
const TOPIC_RESOURCE = 2;

export interface AdminOptions {
  /** A call is tried for so long. */
  readonly timeoutMs?: number;
  readonly random?: () => number;
}

/** Questions to a cluster, and topics made. Each call is repeated where that can mend it, until its time is up. */
export class ClusterAdmin implements KafkaAdmin {
  private readonly timeoutMs: number;

  constructor(private readonly cluster: KafkaCluster, private readonly options: AdminOptions = {}) {
    this.timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  }

  clusterId(): Promise<string> {
    return this.try("Reading the cluster's id", async () => (await this.cluster.metadata([])).clusterId);
  }

  /** For "test connection": says at once what is wrong instead of trying again. */
  async describeCluster(): ReturnType<KafkaAdmin["describeCluster"]> {
    const found = await this.try("Connecting to the cluster", () => this.cluster.metadata(), { attempts: 1 });
    return { clusterId: found.clusterId, brokers: found.brokers.map((broker) => ({ id: broker.id, address: addressText(broker) })), topics: found.topics.filter((topic) => !topic.internal).length };
  }

  topics(): Promise<TopicDescription[]> {
    return this.try("Listing topics", async () => (await this.cluster.metadata()).topics.filter((topic) => topic.error === KafkaCode.none).map(description));
  }

  describeTopic(name: string): Promise<TopicDescription | undefined> {
    return this.try(`Looking up topic "${name}"`, async () => {
      try {
        return description(await this.cluster.topic(name));
      } catch (error) {
        if (error instanceof TicklakeError && error.code === "KAFKA_TOPIC_UNKNOWN") return undefined;
        throw error;
      }
    });
  }

  async createTopic(topic: Parameters<KafkaAdmin["createTopic"]>[0]): Promise<boolean> {
    const doing = `Creating topic "${topic.name}"`;
    const isNew = await this.try(doing, async () => {
      const broker = await this.cluster.controller();
      const [made] = await this.cluster.send(broker, createTopicsCall([topic], this.timeoutMs, this.cluster.version(broker, 19)), doing);
      const error = made?.error ?? KafkaCode.unknownServerError;
      if (error === KafkaCode.topicAlreadyExists) return false;
      if (error !== KafkaCode.none) throw kafkaError(error, { doing, details: { topic: topic.name } }, { brokerMessage: made?.message });
      return true;
    });
    // Brokers hear of it one after the other: whoever writes to it next should find its leaders.
    await this.try(doing, async () => {
      const { partitions } = await this.cluster.topic(topic.name);
      if (partitions.some(({ leader }) => leader < 0)) throw kafkaError(KafkaCode.leaderNotAvailable, { doing, details: { topic: topic.name } });
    }, { untilKnown: true });
    return isNew;
  }

  groups(): Promise<string[]> {
    const doing = "Listing consumer groups";
    return this.try(doing, async () => {
      // Each broker knows those that it coordinates.
      const { brokers } = await this.cluster.metadata([]);
      const found = await Promise.all(brokers.map(async ({ id }) => (await this.cluster.run(await this.cluster.node(id), (broker) => broker.listGroups(), doing)).groups));
      return [...new Set(found.flat().filter(({ protocolType }) => protocolType === "consumer" || protocolType === "").map(({ groupId }) => groupId))].sort();
    });
  }

  earliest(at: readonly TopicPartition[]): Promise<bigint[]> {
    return this.offsets(at, EARLIEST);
  }

  end(at: readonly TopicPartition[]): Promise<bigint[]> {
    return this.offsets(at, LATEST);
  }

  async offsetsAt(at: readonly TopicPartition[], timestamp: number): Promise<bigint[]> {
    const found = await this.offsets(at, BigInt(Math.max(0, Math.ceil(timestamp))));
    const without = at.filter((_, k) => (found[k] as bigint) < 0n);
    if (without.length === 0) return found;
    const ends = await this.end(without);
    return found.map((offset) => (offset < 0n ? ends.shift() as bigint : offset));
  }

  timestampAt(at: PartitionOffset): Promise<number | undefined> {
    const doing = `Reading offset ${at.offset} of ${place(at)}`;
    return this.try(doing, async () => {
      const broker = await this.cluster.node(await this.cluster.leader(at));
      const { errorCode, partitions: [found] } = await this.cluster.send(broker, fetchRequest({
        version: fetchVersion(broker.versions), maxWaitMs: 0, minBytes: 0, maxBytes: ONE_RECORD_BYTES, isolation: "uncommitted",
        partitions: [{ ...at, maxBytes: ONE_RECORD_BYTES }], timeoutMs: this.timeoutMs,
      }), doing);
      const error = errorCode || (found?.errorCode ?? KafkaCode.unknownServerError);
      if (error === KafkaCode.offsetOutOfRange) return undefined;
      if (error !== KafkaCode.none || !found) throw kafkaError(error, { doing, details: { ...at } });
      const { set, damaged } = await decodeRecords(found.records, { ...at, position: at.offset, abortedTransactions: [] });
      if (!set && damaged) throw damaged.error;
      return set && set.offset(0) === at.offset ? set.timestamps[0] : undefined;
    });
  }

  committed(groupId: string, at: readonly TopicPartition[], { stable = true }: { readonly stable?: boolean } = {}): Promise<(bigint | undefined)[]> {
    const doing = `Reading what group "${groupId}" has committed`;
    return this.try(doing, async () => {
      if (at.length === 0) return [];
      try {
        const broker = await this.cluster.coordinator("group", groupId);
        const { error, offsets } = await this.cluster.send(broker, offsetFetchCall(groupId, at, this.cluster.version(broker, 9), stable), doing);
        if (error !== KafkaCode.none) throw kafkaError(error, { doing, details: { group: groupId } });
        return at.map((partition) => {
          const found = offsets.find((offset) => offset.topic === partition.topic && offset.partition === partition.partition);
          // Of a topic that does not exist nothing is committed.
          if (found && found.error !== KafkaCode.none && found.error !== KafkaCode.unknownTopicOrPartition) throw kafkaError(found.error, { doing, details: { group: groupId, ...partition } });
          return found?.offset;
        });
      } catch (error) {
        if (isCoordinatorGone(error)) this.cluster.forgetCoordinator("group", groupId);
        throw error;
      }
    });
  }

  /** The largest batch that a topic takes (bytes, its max.message.bytes); undefined when we may not see its settings. */
  maxMessageBytes(topic: string): Promise<number | undefined> {
    const doing = `Reading the settings of topic "${topic}"`;
    return this.try(doing, async () => {
      const { resources: [found] } = await this.cluster.any((broker) => broker.describeConfigs({ resources: [{ type: TOPIC_RESOURCE, name: topic, configNames: ["max.message.bytes"] }] }), doing)
        .catch((error: unknown) => {
          if (error instanceof TicklakeError && error.code === "KAFKA_DENIED") return { resources: [] };
          throw error;
        });
      const value = Number(found?.configEntries[0]?.configValue);
      return value > 0 ? value : undefined;
    });
  }

  private offsets(at: readonly TopicPartition[], timestamp: bigint): Promise<bigint[]> {
    const doing = "Looking up offsets";
    return this.try(doing, async () => {
      const byLeader = new Map<number, TopicPartition[]>();
      for (const partition of at) {
        const leader = await this.cluster.leader(partition);
        byLeader.set(leader, [...(byLeader.get(leader) ?? []), partition]);
      }
      const answers: ListedOffset[] = (await Promise.all([...byLeader].map(async ([leader, partitions]) =>
        this.cluster.send(await this.cluster.node(leader), listOffsetsCall(partitions, timestamp), doing)))).flat();
      return at.map((partition) => {
        const found = answers.find((answer) => answer.topic === partition.topic && answer.partition === partition.partition);
        const error = found?.error ?? KafkaCode.unknownServerError;
        if (error !== KafkaCode.none || !found) {
          this.cluster.forgetLeaders([partition.topic]);
          // The leader that we remembered does not know it: whether the topic is gone, the next look-up says.
          throw kafkaError(error === KafkaCode.unknownTopicOrPartition ? KafkaCode.notLeaderOrFollower : error, { doing: `Looking up offsets of ${place(partition)}`, details: { ...partition } });
        }
        return found.offset;
      });
    });
  }

  /** Repeats what repetition can mend until the time is up. `untilKnown`: a topic that is not known yet is waited for too. */
  private async try<T>(doing: string, call: () => Promise<T>, options: { readonly untilKnown?: boolean; readonly attempts?: number } = {}): Promise<T> {
    const clock = new AbortController();
    const timer = setTimeout(() => clock.abort(), this.timeoutMs);
    const late = (last?: TicklakeError) => new TicklakeError("KAFKA_UNREACHABLE",
      last ? last.message : `${doing} failed: ${this.cluster.addresses} did not answer within ${this.timeoutMs / 1000} s. Check brokers and network.`,
      { cause: last, details: { ...last?.details } });
    let last: TicklakeError | undefined;
    const outOfTime = new Promise<never>((_, reject) => {
      clock.signal.addEventListener("abort", () => reject(late(last)), { once: true });
    });
    try {
      for (let attempt = 1; ; attempt++) {
        try {
          return await Promise.race([call(), outOfTime]);
        } catch (error) {
          if (!(error instanceof TicklakeError)) throw error;
          last = error;
          if (isLeaderGone(error) && typeof error.details?.topic === "string") this.cluster.forgetLeaders([error.details.topic]);
          const mends = error.code === "KAFKA_UNREACHABLE" || (options.untilKnown === true && kafkaCodeOf(error) === KafkaCode.unknownTopicOrPartition);
          if (!mends || clock.signal.aborted || attempt >= (options.attempts ?? Infinity)) throw error;
          await pause(backoffMs(attempt, { firstMs: 100, maxMs: 1000, ...this.options }), clock.signal);
        }
      }
    } finally {
      clearTimeout(timer);
      outOfTime.catch(() => {});
    }
  }
}

function description(topic: TopicMetadata): TopicDescription {
  return { name: topic.name, partitions: topic.partitions.length, replicationFactor: topic.partitions[0]?.replicas.length ?? 0, internal: topic.internal };
}
