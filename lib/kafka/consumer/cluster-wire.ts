import { TicklakeError } from "../../errors";
import type { KafkaCluster } from "../cluster";
import { KafkaCode, kafkaError } from "../errors";
import { kafkajs, type Broker, type ProtocolCall } from "../kafkajs";
import { fetchRequest, fetchVersion, type FetchedPartition } from "../protocol/fetch";
import { byTopic } from "../protocol/wire";
import { decodeRecords, type Decoded } from "../records/decode";
import type { PartitionOffset, TopicPartition } from "../types";
import { partitionKey } from "./assignment";
import { within, type Clock } from "./clock";
import { offsetsCall, STABLE_VERSION } from "./offset-fetch";
import type { ConsumerWire, FetchRequest, JoinRequest, Joined, Member, TopicState } from "./wire";

const OFFSET_FETCH = 9;
/** ListOffsets: the first retained offset, and the end. */
const EARLIEST = -2;
const LATEST = -1;
const MINUTE_MS = 60_000;

type Protocol = Pick<Broker, "joinGroup" | "syncGroup">;
type SyncAnswer = Awaited<ReturnType<Protocol["syncGroup"]>>;

/**
 * A consumer's requests on real brokers.
 *
 * @param makeCluster for connections of its own: one set for the group and the long poll, another one when the second lane of fetching is first needed
 * @param answerMs a heartbeat that is not answered for so long shows that its connection is dead
 */
export function clusterWire(makeCluster: () => KafkaCluster, groupId: string, clock: Clock, answerMs: number): ConsumerWire {
  const cluster = makeCluster();
  const others: KafkaCluster[] = [];
  const lane = (number: number): KafkaCluster => (number === 0 ? cluster : (others[number - 1] ??= makeCluster()));
  const group = `group "${groupId}"`;
  const coordinator = (): Promise<Broker> => cluster.coordinator("group", groupId);

  return {
    async metadata(topics) {
      if (topics.length === 0) return new Map<string, TopicState>();
      const found = await cluster.metadata(topics);
      return new Map(found.topics.map((topic) => [topic.name, {
        leaders: topic.error === KafkaCode.none ? leadersOf(topic.partitions) : [],
        ...(topic.error !== KafkaCode.none && { error: topicError(topic.name, topic.error, cluster.addresses) }),
      }]));
    },

    async join(request: JoinRequest) {
      try {
        const answer = await cluster.request<Awaited<ReturnType<Protocol["joinGroup"]>>>(await coordinator(), "JoinGroup", {
          groupId, sessionTimeout: request.sessionTimeoutMs, rebalanceTimeout: request.rebalanceTimeoutMs, memberId: request.memberId, protocolType: "consumer",
          groupProtocols: request.protocols.map(({ name, metadata }) => ({ name, metadata })),
        }, `Joining ${group}`);
        return {
          generation: answer.generationId, protocol: answer.groupProtocol, memberId: answer.memberId, leaderId: answer.leaderId,
          members: answer.members.map(({ memberId, memberMetadata }) => ({ memberId, metadata: memberMetadata })),
        } satisfies Joined;
      } catch (error) {
        const assignedMemberId = ((error as TicklakeError).cause as { memberId?: unknown } | undefined)?.memberId;
        if (typeof assignedMemberId === "string" && assignedMemberId !== "") return { assignedMemberId };
        throw error;
      }
    },

    async sync(member: Member, assignments) {
      const answer = await cluster.request<SyncAnswer>(await coordinator(), "SyncGroup", {
        groupId, generationId: member.generation, memberId: member.memberId,
        groupAssignment: assignments.map(({ memberId, assignment }) => ({ memberId, memberAssignment: assignment })),
      }, `Being assigned partitions of ${group}`);
      return answer.memberAssignment;
    },

    async heartbeat(member: Member) {
      const broker = await coordinator();
      const beat = cluster.request<unknown>(broker, "Heartbeat", { groupId, groupGenerationId: member.generation, memberId: member.memberId }, `The heartbeat of ${group}`);
      if ((await within(clock, answerMs, beat.then(() => true))) === true) return;
      // Half open: what hangs on this connection will never be answered.
      await broker.connectionPool.destroy();
      throw new TicklakeError("KAFKA_UNREACHABLE", `The heartbeat of ${group} failed: ${broker.brokerAddress} does not answer; the connection is made anew.`, { details: { connection: true, broker: broker.brokerAddress } });
    },

    async leave(memberId: string) {
      await cluster.request(await coordinator(), "LeaveGroup", { groupId, memberId }, `Leaving ${group}`);
    },

    async commit(member: Member, offsets: readonly PartitionOffset[]) {
      const topics = [...byTopic(offsets)].map(([topic, list]) => ({ topic, partitions: list.map((at) => ({ partition: at.partition, offset: at.offset.toString() })) }));
      const answer = await cluster.run(await coordinator(), (broker) => {
        const { apiKeys, requests } = kafkajs();
        const call = broker.lookupRequest(apiKeys.OffsetCommit as number, requests.OffsetCommit as never)({ groupId, groupGenerationId: member.generation, memberId: member.memberId, topics });
        return broker.connectionPool.send<CommitAnswer>(unjudged(call));
      }, `Committing offsets of ${group}`);
      const codes = new Map(answer.responses.flatMap(({ topic, partitions }) => partitions.map((at) => [partitionKey({ topic, partition: at.partition }), at.errorCode] as const)));
      return offsets.map((at) => codes.get(partitionKey(at)) ?? KafkaCode.unknownServerError);
    },

    async committed(partitions: readonly TopicPartition[], stable: boolean) {
      const broker = await coordinator();
      if (cluster.version(broker, OFFSET_FETCH) < STABLE_VERSION) {
        throw new TicklakeError("KAFKA_UNSUPPORTED", `${broker.brokerAddress} cannot tell stable offsets. Kafka 2.5 or newer is needed.`, { details: { broker: broker.brokerAddress } });
      }
      return cluster.send(broker, offsetsCall(groupId, partitions, stable), `Reading the committed offsets of ${group}`);
    },

    forgetCoordinator() {
      cluster.forgetCoordinator("group", groupId);
    },

    async fetch(node: number, laneNumber: number, request: FetchRequest) {
      const own = lane(laneNumber);
      const broker = await own.node(node);
      const call = fetchRequest({
        version: fetchVersion(broker.versions), maxWaitMs: request.maxWaitMs, minBytes: 1, maxBytes: request.maxBytes, isolation: "committed", partitions: request.positions, timeoutMs: MINUTE_MS,
      });
      const answer = await own.send(broker, call, "Reading");
      if (answer.errorCode !== KafkaCode.none) throw kafkaError(answer.errorCode, { doing: `Reading from ${broker.brokerAddress}` });
      return answer.partitions;
    },

    decode(fetched: FetchedPartition, position: bigint): Promise<Decoded> {
      return decodeRecords(fetched.records, { topic: fetched.topic, partition: fetched.partition, position, abortedTransactions: fetched.abortedTransactions });
    },

    async bounds(at: TopicPartition) {
      const broker = await cluster.node(await cluster.leader(at));
      const [earliest, end] = await Promise.all([EARLIEST, LATEST].map((timestamp) => listOffset(cluster, broker, at, timestamp)));
      return { earliest: earliest as bigint, end: end as bigint };
    },

    async close() {
      await Promise.all([cluster, ...others].map((one) => one?.close()));
    },
  };
}

interface CommitAnswer { readonly responses: readonly { readonly topic: string; readonly partitions: readonly { readonly partition: number; readonly errorCode: number }[] }[] }
interface OffsetsAnswer { readonly responses: readonly { readonly partitions: readonly { readonly offset: string }[] }[] }

/** kafkajs throws for the first partition that has an error; we look at each. */
function unjudged<T>(call: ProtocolCall<unknown>): ProtocolCall<T> {
  return { ...call, response: { decode: (payload) => call.response.decode(payload), parse: (decoded) => Promise.resolve(decoded as T) } };
}

async function listOffset(cluster: KafkaCluster, broker: Broker, at: TopicPartition, timestamp: number): Promise<bigint> {
  const answer = await cluster.request<OffsetsAnswer>(broker, "ListOffsets",
    { replicaId: -1, isolationLevel: 1, topics: [{ topic: at.topic, partitions: [{ partition: at.partition, timestamp }] }] }, `Looking up offsets of ${partitionKey(at)}`);
  return BigInt(answer.responses[0]?.partitions[0]?.offset ?? -1);
}

function leadersOf(partitions: readonly { readonly partition: number; readonly leader: number }[]): number[] {
  const leaders: number[] = [];
  for (const { partition, leader } of partitions) leaders[partition] = leader;
  return Array.from(leaders, (leader) => leader ?? -1);
}

function topicError(topic: string, code: number, addresses: string): TicklakeError {
  if (code === KafkaCode.unknownTopicOrPartition) {
    return new TicklakeError("KAFKA_TOPIC_UNKNOWN", `There is no topic "${topic}" at ${addresses}. Create it, or correct its name; reading begins when it is there.`, { details: { topic, kafkaCode: code } });
  }
  return kafkaError(code, { doing: `Looking up topic "${topic}"`, details: { topic } });
}
