import { TicklakeError } from "../errors";
import { saslOptions } from "./auth";
import { KAFKA_ERRORS } from "./error-codes";
import { KafkaCode, asKafkaError, isAccessFailure, isConnectionFailure, kafkaCodeOf, kafkaError } from "./errors";
import { kafkajs, type Broker, type ProtocolCall } from "./kafkajs";
import { openLink, type Link } from "./link";
import { kafkajsLogger, quietLog, type KafkaLog } from "./log";
import { CONNECTION_TIMES, addressText, parseAddress, type Address, type ConnectionTimes } from "./options";
import { metadataCall } from "./requests/metadata";
import type { KafkaOptions, TopicPartition } from "./types";

export interface ClusterBroker extends Address { readonly id: number; readonly rack: string | null }

export interface PartitionMetadata {
  readonly partition: number;
  /** Node id; -1 while there is none. */
  readonly leader: number;
  readonly replicas: readonly number[];
  readonly isr: readonly number[];
  /** Kafka's error number, 0 for none. */
  readonly error: number;
}

export interface TopicMetadata {
  readonly name: string;
  readonly internal: boolean;
  /** Kafka's error number, 0 for none (3: there is no such topic). */
  readonly error: number;
  /** By number, ascending. */
  readonly partitions: readonly PartitionMetadata[];
}

export interface ClusterMetadata {
  readonly clusterId: string;
  readonly controllerId: number;
  readonly brokers: readonly ClusterBroker[];
  readonly topics: readonly TopicMetadata[];
}

export type CoordinatorKind = "group" | "transaction";

/**
 * The brokers of a cluster: who is who, and a connection to each that is needed. It never repeats anything by itself: a call either works
 * or fails at once with a TicklakeError that says whether repeating may help; the next call looks at the world anew (moved brokers and new
 * leaders are followed). One instance has connections of its own: consumers and producers each get one, so that none of them waits for another.
 */
export class KafkaCluster {
  private readonly seeds: readonly Address[];
  private readonly nodes = new Map<number, Address>();
  /** By host:port. */
  private readonly links = new Map<string, Link>();
  private readonly leaders = new Map<string, readonly PartitionMetadata[]>();
  private readonly coordinators = new Map<string, number>();
  private readonly log: KafkaLog;
  private readonly ssl: Record<string, unknown> | null;
  private controllerId = -1;
  /** The list of nodes is to be read again before it is used. */
  private stale = false;
  private closed = false;
  private readonly asking = new Map<string, Promise<TopicMetadata>>();

  /**
   * @param onClose told when it closes
   * @throws TicklakeError CONFIG_INVALID for addresses or credentials that cannot work
   */
  constructor(readonly options: KafkaOptions, private readonly times: ConnectionTimes = CONNECTION_TIMES, private readonly onClose: () => void = () => {}) {
    if (options.brokers.length === 0) throw new TicklakeError("CONFIG_INVALID", "No broker is given. Write at least one address, for example localhost:9092.");
    this.seeds = options.brokers.map(parseAddress);
    saslOptions(options.sasl);
    this.log = quietLog(options.log);
    this.ssl = options.tls === true ? {} : options.tls || null;
  }

  /** The addresses that were configured, for messages. */
  get addresses(): string { return this.seeds.map(addressText).join(", "); }

  /**
   * Runs a call on any broker: on one that is connected, else on one that was heard of, else on the configured ones, each tried once.
   * Only calls that may be made twice: the next broker is asked when a connection is lost.
   *
   * @throws TicklakeError KAFKA_UNREACHABLE when no broker can be reached, or what the call threw
   */
  async any<T>(call: (broker: Broker) => Promise<T>, doing = "Asking the cluster"): Promise<T> {
    const failures: TicklakeError[] = [];
    for (const address of this.candidates()) {
      try {
        const broker = await this.connect(address, "Connecting to the cluster");
        return await this.run(broker, call, doing);
      } catch (error) {
        if (this.closed || isAccessFailure(error) || !isConnectionFailure(error)) throw error;
        failures.push(error as TicklakeError);
      }
    }
    throw this.unreachable(failures);
  }

  /** The broker with this node id, connected. @throws TicklakeError KAFKA_UNREACHABLE */
  async node(id: number): Promise<Broker> {
    if (this.stale || !this.nodes.has(id)) await this.metadata([]);
    const address = this.nodes.get(id);
    if (!address) {
      throw new TicklakeError("KAFKA_UNREACHABLE", `Broker ${id} is not part of the cluster at ${this.addresses} at the moment; it is tried again.`, { details: { node: id } });
    }
    return this.connect(address, `Connecting to broker ${id}`);
  }

  /** The controller, for changes to topics. */
  async controller(): Promise<Broker> {
    if (this.stale || this.controllerId < 0) await this.metadata([]);
    return this.node(this.controllerId);
  }

  /**
   * Who coordinates a group or a transactional id (remembered until `forgetCoordinator`, or until its connection is lost).
   *
   * @throws TicklakeError KAFKA_UNREACHABLE also while the cluster has not made its internal topics yet
   */
  async coordinator(kind: CoordinatorKind, id: string): Promise<Broker> {
    const key = `${kind} ${id}`;
    const known = this.coordinators.get(key);
    if (known !== undefined) return this.node(known);
    const doing = `Finding the coordinator of ${kind === "group" ? "group" : "transactional id"} "${id}"`;
    const { coordinator } = await this.any((broker) => broker.findGroupCoordinator({ groupId: id, coordinatorType: kind === "group" ? 0 : 1 }), doing);
    this.learn(coordinator.nodeId, coordinator);
    this.coordinators.set(key, coordinator.nodeId);
    return this.connect({ host: coordinator.host, port: coordinator.port }, `Connecting to broker ${coordinator.nodeId}`);
  }

  forgetCoordinator(kind: CoordinatorKind, id: string): void {
    this.coordinators.delete(`${kind} ${id}`);
  }

  /**
   * Node id of a partition's leader, from memory or asked for.
   *
   * @throws TicklakeError KAFKA_TOPIC_UNKNOWN, KAFKA_DENIED; KAFKA_UNREACHABLE while there is no leader
   */
  async leader(at: TopicPartition): Promise<number> {
    const known = this.leaders.get(at.topic)?.[at.partition];
    if (known && known.leader >= 0) return known.leader;
    const partition = (await this.topic(at.topic)).partitions[at.partition];
    if (!partition) throw unknownPartition(at, this.leaders.get(at.topic)?.length ?? 0);
    if (partition.leader < 0) throw kafkaError(KafkaCode.leaderNotAvailable, { doing: `Finding the leader of ${place(at)}`, details: { ...at } });
    return partition.leader;
  }

  /** Drops what is remembered of topics: their leaders are looked up again. */
  forgetLeaders(topics: Iterable<string>): void {
    for (const topic of topics) this.leaders.delete(topic);
  }

  /**
   * One topic. Partitions without a leader are in it. @throws TicklakeError KAFKA_TOPIC_UNKNOWN, KAFKA_DENIED, KAFKA_UNREACHABLE
   */
  topic(name: string): Promise<TopicMetadata> {
    // Many partitions ask at once when a broker is gone: one question serves them all.
    let asking = this.asking.get(name);
    if (!asking) {
      asking = this.lookUp(name).finally(() => this.asking.delete(name));
      this.asking.set(name, asking);
    }
    return asking;
  }

  private async lookUp(name: string): Promise<TopicMetadata> {
    const topic = (await this.metadata([name])).topics.find((candidate) => candidate.name === name);
    const error = topic ? topic.error : KafkaCode.unknownTopicOrPartition;
    if (error === KafkaCode.unknownTopicOrPartition) {
      throw new TicklakeError("KAFKA_TOPIC_UNKNOWN", `There is no topic "${name}" at ${this.addresses}. Create it, or correct its name.`,
        { details: { topic: name, kafka: KAFKA_ERRORS.get(error)?.name, kafkaCode: error } });
    }
    if (error !== KafkaCode.none) throw kafkaError(error, { doing: `Looking up topic "${name}"`, details: { topic: name } });
    return topic as TopicMetadata;
  }

  /**
   * Asks the cluster for its brokers and these topics: all of them without a list, none with an empty one. Never creates a topic. Topics
   * and partitions that have an error are in the answer with it. What it says is remembered.
   */
  async metadata(topics?: readonly string[]): Promise<ClusterMetadata> {
    const found = await this.any((broker) => broker.connectionPool.send(metadataCall(topics)), "Reading the cluster's metadata");
    this.controllerId = found.controllerId;
    const before = new Map(this.nodes);
    this.nodes.clear();
    for (const broker of found.brokers) this.learn(broker.id, broker, before.get(broker.id));
    for (const topic of found.topics) {
      if (topic.error === KafkaCode.none) this.leaders.set(topic.name, topic.partitions);
      else this.leaders.delete(topic.name);
    }
    this.stale = false;
    return found;
  }

  /** Looks up brokers and the leaders of these topics again. */
  async refresh(topics: readonly string[]): Promise<void> {
    await this.metadata(topics);
  }

  /** Sends one request as it stands. @throws TicklakeError */
  send<T>(broker: Broker, call: ProtocolCall<T>, doing = `${call.request.apiName} request`): Promise<T> {
    return this.run(broker, (to) => to.connectionPool.send(call), doing);
  }

  /** A request in the newest version that kafkajs and the broker share, by its name in kafkajs' table ("OffsetFetch", "ListOffsets" ...). @throws TicklakeError */
  request<T>(broker: Broker, name: string, body: Record<string, unknown>, doing = `${name} request`): Promise<T> {
    return this.run(broker, (to) => {
      const { apiKeys, requests } = kafkajs();
      return to.connectionPool.send(to.lookupRequest(apiKeys[name] as number, requests[name] as never)(body) as ProtocolCall<T>);
    }, doing);
  }

  /** The highest version of a request that a broker offers; -1 for none. */
  version(broker: Broker, apiKey: number): number {
    return broker.versions?.[apiKey]?.maxVersion ?? -1;
  }

  /** Runs a call on a broker and turns what it throws into errors of ours. */
  async run<T>(broker: Broker, call: (broker: Broker) => Promise<T>, doing: string): Promise<T> {
    try {
      return await call(broker);
    } catch (error) {
      if (this.closed) throw closedError();
      throw asKafkaError(error, { doing }, this.options, broker.brokerAddress);
    }
  }

  /** Ends every connection now; requests under way fail with STOPPED. Nothing can be called afterwards. */
  async close(): Promise<void> {
    this.closed = true;
    for (const link of [...this.links.values()]) link.end(closedError());
    this.links.clear();
    this.onClose();
  }

  private learn(id: number, { host, port }: Address, before = this.nodes.get(id)): void {
    this.nodes.set(id, { host, port });
    // A broker that moved: nothing is sent to the old address any more. (A seed of that address would be connected again when needed.)
    if (before && (before.host !== host || before.port !== port)) {
      this.links.get(addressText(before))?.end(Object.assign(new Error("Closed connection: the broker has moved"), { name: "KafkaJSConnectionClosedError" }));
    }
  }

  private candidates(): Address[] {
    const byText = new Map<string, Address>();
    const add = (address: Address) => byText.set(addressText(address), address);
    const known = [...this.nodes.values()];
    for (const address of [...known, ...this.seeds]) if (this.links.get(addressText(address))?.broker.isConnected()) add(address);
    for (const address of [...known, ...this.seeds]) add(address);
    return [...byText.values()];
  }

  private async connect(address: Address, doing: string): Promise<Broker> {
    if (this.closed) throw closedError();
    const text = addressText(address);
    let link = this.links.get(text);
    if (!link?.isUsable) {
      const opened: Link = openLink({
        ...this.times, address, ssl: this.ssl, sasl: saslOptions(this.options.sasl), clientId: this.options.clientId, logger: kafkajsLogger(this.log),
        broken: () => this.broken(text, opened),
      });
      link = opened;
      this.links.set(text, link);
    }
    try {
      return await link.ready;
    } catch (error) {
      if (this.closed) throw closedError();
      throw asKafkaError(error, { doing }, this.options, text);
    }
  }

  /** After a lost connection nothing about that broker is sure: its place in the cluster, what it leads and coordinates. */
  private broken(text: string, link: Link): void {
    if (this.links.get(text) === link) this.links.delete(text);
    this.stale = true;
    const gone = new Set([...this.nodes].filter(([, address]) => addressText(address) === text).map(([id]) => id));
    for (const [key, id] of this.coordinators) if (gone.has(id)) this.coordinators.delete(key);
    for (const [topic, partitions] of this.leaders) if (partitions.some(({ leader }) => gone.has(leader))) this.leaders.delete(topic);
  }

  private unreachable(failures: readonly TicklakeError[]): TicklakeError {
    if (failures.length === 1) return failures[0] as TicklakeError;
    return new TicklakeError("KAFKA_UNREACHABLE", `None of the brokers answers. ${failures.map((failure) => failure.message).join(" ")}`,
      { cause: failures[0], details: { connection: true, brokers: this.addresses } });
  }
}

/** "trades, partition 2" */
export function place(at: TopicPartition): string {
  return `${at.topic}, partition ${at.partition}`;
}

/** True where looking up leaders again is what mends it. */
export function isLeaderGone(error: unknown): boolean {
  const code = kafkaCodeOf(error);
  return isConnectionFailure(error) || code === KafkaCode.leaderNotAvailable || code === KafkaCode.notLeaderOrFollower || code === KafkaCode.unknownTopicOrPartition
    || code === 56 || code === 74 || code === 72;
}

/** True where looking up the coordinator again is what mends it. */
export function isCoordinatorGone(error: unknown): boolean {
  const code = kafkaCodeOf(error);
  return isConnectionFailure(error) || code === KafkaCode.notCoordinator || code === KafkaCode.coordinatorNotAvailable || code === 52;
}

function unknownPartition(at: TopicPartition, count: number): TicklakeError {
  return new TicklakeError("KAFKA_TOPIC_UNKNOWN", `Topic "${at.topic}" has no partition ${at.partition}${count ? `: it has ${count} (0 to ${count - 1})` : ""}.`,
    { details: { ...at, kafka: "UNKNOWN_TOPIC_OR_PARTITION", kafkaCode: KafkaCode.unknownTopicOrPartition } });
}

function closedError(): TicklakeError {
  return new TicklakeError("STOPPED", "The connection to Kafka was closed because the node that uses it stops.");
}
