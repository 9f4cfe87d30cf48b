import { TicklakeError, asTicklakeError } from "../../errors";
import { backoffMs } from "../../retry";
import type { KafkaCluster } from "../cluster";
import { KafkaCode, isConnectionFailure, kafkaCodeOf, kafkaError } from "../errors";
import type { ConsumerEvents, ConsumerOptions, ConsumerState, KafkaConsumer, PartitionOffset, TopicPartition } from "../types";
import { partitionKey } from "./assignment";
import { sleep, systemClock, within, type Clock } from "./clock";
import { clusterWire } from "./cluster-wire";
import { Fetcher } from "./fetcher";
import { GroupMembership, type Membership } from "./membership";
import { TopicWatch } from "./topics";
import type { ConsumerWire } from "./wire";

const DEFAULTS = { maxWaitMs: 500, maxFetchBytes: 4 << 20, maxPartitionBytes: 1 << 20, sessionTimeoutMs: 30_000, rebalanceTimeoutMs: 60_000 };
const CLOSE_MS = 500;
/** Longest pause between attempts of a commit or of reading what was committed. */
const MAX_PAUSE_MS = 2000;
/**
 * How long a pending transaction is waited for. One that is being committed ends within milliseconds. One of a process that died stays open for its time-out (a minute
 * by default), and is ended at once by whoever owns its transactional id next: that needs records to be read, so waiting on would be waiting for ourselves.
 */
const STABLE_WAIT_MS = 2000;

export interface ConsumerDeps {
  /** Connections of this consumer's own; it closes them. */
  readonly cluster: () => KafkaCluster;
  readonly log: (level: "error" | "warn" | "info" | "debug", text: string) => void;
  readonly random?: () => number;
  readonly clock?: Clock;
  /** How often topics are looked at for new partitions (ms, 30,000). */
  readonly refreshMs?: number;
  /** Instead of `cluster`, for tests. */
  readonly wire?: ConsumerWire;
}

/**
 * A member of a consumer group that reads what the group assigns to it. See `KafkaConsumer` and `ConsumerEvents` for what it promises.
 *
 * It is put together from the membership (who reads what), the watch on topics (who leads what) and the fetcher (reading it).
 */
export class GroupConsumer implements KafkaConsumer {
  private readonly wire: ConsumerWire;
  private readonly clock: Clock;
  private readonly random: () => number;
  private readonly log: ConsumerDeps["log"];
  private readonly members: GroupMembership;
  private readonly topics: TopicWatch;
  private readonly fetcher: Fetcher;
  private readonly stopping = new AbortController();
  private started = false;
  /** From the announcement of a rebalance until it is known what stays: nothing is shown. */
  private holding = false;
  private tenures = 0;
  private told: { readonly state: ConsumerState; readonly text: string | undefined } | undefined;
  private groupState: ConsumerState = "connecting";
  private groupError: Error | undefined;
  private topicError: Error | undefined;
  private readError: Error | undefined;

  constructor(deps: ConsumerDeps, private readonly options: ConsumerOptions, private readonly events: ConsumerEvents) {
    const all = { ...DEFAULTS, ...withoutUndefined(options) };
    this.clock = deps.clock ?? systemClock;
    this.random = deps.random ?? Math.random;
    this.log = deps.log;
    this.wire = deps.wire ?? clusterWire(deps.cluster, options.groupId, this.clock, Math.max(2000, all.sessionTimeoutMs / 3));
    const shared = { wire: this.wire, clock: this.clock, random: this.random, log: this.log };
    this.topics = new TopicWatch(all.topics, this.wire, this.clock, this.random, { refreshed: (error) => this.topicsRefreshed(error) }, this.stopping.signal, deps.refreshMs);
    this.members = new GroupMembership(all, { ...shared, partitions: (topics) => this.topics.counts(topics) }, {
      rebalancing: () => this.rebalancing(),
      assigned: (partitions) => this.assigned(partitions),
      lost: () => this.lost(),
      state: (state, error) => this.groupTold(state, error),
    });
    this.fetcher = new Fetcher(all, {
      ...shared,
      leader: (at) => this.topics.leader(at),
      refreshLeaders: () => this.topics.refreshSoon(),
      mayDeliver: () => !this.holding && !this.members.expireIfDue(),
      trouble: (error) => { this.readError = error; this.tell(); },
    }, events);
  }

  start(): void {
    if (this.started || this.stopping.signal.aborted) return;
    this.started = true;
    const failed = (error: unknown): void => this.log("error", `The consumer of group "${this.options.groupId}" ended: ${error instanceof Error ? error.stack ?? error.message : String(error)}`);
    void this.topics.run().catch(failed);
    void this.members.run().catch(failed);
  }

  seek(at: PartitionOffset): void {
    this.fetcher.seek(partitionKey(at), at.offset);
  }

  pause(partitions: readonly TopicPartition[]): void {
    for (const at of partitions) this.fetcher.pause(partitionKey(at));
  }

  resume(partitions: readonly TopicPartition[]): void {
    for (const at of partitions) this.fetcher.resume(partitionKey(at));
  }

  get assignment(): readonly TopicPartition[] {
    return this.fetcher.list.map(({ topic, partition }) => ({ topic, partition }));
  }

  get membership(): Membership | undefined {
    return this.members.current;
  }

  async commit(offsets: readonly PartitionOffset[], signal?: AbortSignal): Promise<void> {
    if (offsets.length === 0) return;
    const tenures = new Map(offsets.map((at) => [at, this.tenureOf(at)]));
    const ending = signal ? AbortSignal.any([signal, this.stopping.signal]) : this.stopping.signal;
    const assertOurs = (): void => {
      for (const at of left) if (this.tenureOf(at) !== tenures.get(at) || tenures.get(at) === undefined) throw this.notAssigned(at);
    };
    let left = offsets;
    for (let attempt = 1; left.length > 0; attempt++) {
      assertOurs();
      await this.members.whenJoined(ending);
      const member = this.members.current;
      if (ending.aborted || !member) throw new TicklakeError("STOPPED", `Committing offsets of group "${this.options.groupId}" was stopped.`);
      assertOurs();
      left = await this.commitOnce(member, left);
      if (left.length > 0) await sleep(this.clock, backoffMs(attempt, { firstMs: 50, maxMs: MAX_PAUSE_MS, random: this.random }), ending);
    }
  }

  async committed(partitions: readonly TopicPartition[]): Promise<(bigint | undefined)[]> {
    let stable = true;
    const patienceEnds = this.clock.now() + STABLE_WAIT_MS;
    for (let attempt = 1; ; attempt++) {
      if (this.stopping.signal.aborted) throw new TicklakeError("STOPPED", `Reading the committed offsets of group "${this.options.groupId}" was stopped.`);
      try {
        const found = await this.wire.committed(partitions, stable);
        return found.map((offset) => (offset < 0n ? undefined : offset));
      } catch (error) {
        if (!this.mayRepeat(error)) throw error;
        stable &&= kafkaCodeOf(error) !== KafkaCode.unstableOffsetCommit || this.clock.now() < patienceEnds;
      }
      await sleep(this.clock, backoffMs(attempt, { firstMs: 50, maxMs: MAX_PAUSE_MS, random: this.random }), this.stopping.signal);
    }
  }

  async stop(): Promise<void> {
    if (this.stopping.signal.aborted) return;
    this.stopping.abort();
    this.fetcher.stop();
    if (this.started) await this.members.leave();
    await within(this.clock, CLOSE_MS, this.wire.close()).catch(() => undefined);
    this.groupState = "stopped";
    this.tell();
  }

  // ---- the group ---------------------------------------------------------------------------------------------

  private async rebalancing(): Promise<void> {
    this.holding = true;
    await this.events.rebalancing?.();
  }

  private assigned(partitions: readonly TopicPartition[]): void {
    const now = new Map(partitions.map((at) => [partitionKey(at), at]));
    const left = this.fetcher.list.filter((partition) => !now.has(partition.key)).map(({ topic, partition }) => ({ topic, partition }));
    const added = [...now].filter(([key]) => !this.fetcher.get(key)).map(([, at]) => at);
    for (const at of left) this.fetcher.remove(partitionKey(at));
    const tenure = ++this.tenures;
    for (const at of added) this.fetcher.add(at, tenure);
    this.holding = false;
    if (left.length > 0) this.tellRevoked(left, false);
    if (added.length > 0) this.guard(() => this.events.assigned(added));
    this.fetcher.wake();
  }

  private lost(): void {
    const gone = this.assignment;
    for (const at of gone) this.fetcher.remove(partitionKey(at));
    if (gone.length > 0) this.tellRevoked(gone, true);
  }

  private tellRevoked(partitions: readonly TopicPartition[], lost: boolean): void {
    this.guard(() => {
      Promise.resolve(this.events.revoked(partitions, lost)).catch((error: unknown) => this.handlerFailed(error));
    });
  }

  private topicsRefreshed(error: Error | undefined): void {
    this.topicError = error;
    this.tell();
    this.members.topicsChanged((topics) => this.topics.knownCounts(topics));
    this.fetcher.wake();
  }

  // ---- offsets -----------------------------------------------------------------------------------------------

  /** @returns what is to be tried again */
  private async commitOnce(member: Membership, offsets: readonly PartitionOffset[]): Promise<readonly PartitionOffset[]> {
    let codes: number[];
    try {
      codes = await this.wire.commit(member, offsets);
    } catch (error) {
      if (this.groupMoved(error, member)) return offsets;
      if (!this.mayRepeat(error)) throw error;
      return offsets;
    }
    const again: PartitionOffset[] = [];
    for (const [index, at] of offsets.entries()) {
      const code = codes[index] as number;
      if (code === KafkaCode.none) continue;
      const error = kafkaError(code, { doing: `Committing offset ${at.offset} of ${partitionKey(at)}`, details: { ...at, offset: at.offset.toString(), groupId: this.options.groupId } });
      if (!this.groupMoved(error, member) && !this.mayRepeat(error)) throw error;
      again.push(at);
    }
    return again;
  }

  private groupMoved(error: unknown, member: Membership): boolean {
    const code = kafkaCodeOf(error);
    if (code !== KafkaCode.rebalanceInProgress && code !== KafkaCode.illegalGeneration && code !== KafkaCode.unknownMemberId) return false;
    this.members.refused(error, member.generation);
    return true;
  }

  /** Also makes sure that the next attempt does not meet the same coordinator when that is what is wrong. */
  private mayRepeat(error: unknown): boolean {
    const code = kafkaCodeOf(error);
    if (code === KafkaCode.unstableOffsetCommit) return true;
    const trouble = asTicklakeError(error, "KAFKA_FAILED");
    if (!isConnectionFailure(error) && trouble.kind !== "retry") return false;
    if (trouble.code === "STOPPED") return false;
    this.wire.forgetCoordinator();
    return true;
  }

  private tenureOf(at: TopicPartition): number | undefined {
    return this.fetcher.get(partitionKey(at))?.tenure;
  }

  private notAssigned(at: TopicPartition): TicklakeError {
    return new TicklakeError("KAFKA_NOT_ASSIGNED", `Partition ${at.partition} of topic "${at.topic}" is not assigned to this member of group "${this.options.groupId}" any more; its offset was not committed.`,
      { details: { topic: at.topic, partition: at.partition, groupId: this.options.groupId } });
  }

  // ---- what is told ------------------------------------------------------------------------------------------

  private groupTold(state: ConsumerState, error?: Error): void {
    this.groupState = state;
    this.groupError = error;
    this.tell();
  }

  /** States come when they change, not with every attempt. */
  private tell(): void {
    if (this.stopping.signal.aborted && this.groupState !== "stopped") return;
    const state = this.groupState;
    const error = state === "stopped" ? undefined : this.groupError ?? this.topicError ?? this.readError;
    if (this.told?.state === state && this.told.text === error?.message) return;
    this.told = { state, text: error?.message };
    this.guard(() => this.events.state(state, error));
  }

  private guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.handlerFailed(error);
    }
  }

  private handlerFailed(error: unknown): void {
    this.log("error", `A handler of the consumer of group "${this.options.groupId}" failed: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function withoutUndefined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}
