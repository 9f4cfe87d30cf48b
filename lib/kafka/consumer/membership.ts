import { TicklakeError, asTicklakeError } from "../../errors";
import { backoffMs } from "../../retry";
import { KafkaCode, isConnectionFailure, kafkaCodeOf } from "../errors";
import type { ConsumerState, TopicPartition } from "../types";
import { partitionKey, range, sticky, type Assignor, type GroupMember } from "./assignment";
import { Waiter, sleep, within, type Clock } from "./clock";
import { decodeAssignment, decodeSubscription, encodeAssignment, encodeSubscription } from "./member-protocol";
import type { ConsumerWire, Joined, Member } from "./wire";

/**
 * Assignors by the names under which members offer them, the preferred one first. The last two let members of this package share
 * a group with Java clients and librdkafka (range), and with plain kafkajs (whose only assignor has that name: any assignment serves it).
 */
const ASSIGNORS: readonly (readonly [string, Assignor])[] = [["ticklake-sticky", sticky], ["range", range], ["RoundRobinAssigner", sticky]];

/** Part of the rebalance time-out that the user of a partition has to settle before joining; the rest is for the others and the network. */
const SETTLE_SHARE = 0.6;
/** Also the time until a rebalance is heard of: a second costs nothing and makes the others wait little. */
const BEAT_MS = 1000;
const LEAVE_MS = 2000;
const NAMING_MS = 500;
/** A coordinator that moves or starts answers with errors for a moment: that is no outage yet. */
const PATIENCE = 3;

export interface MembershipOptions {
  readonly groupId: string;
  readonly topics: readonly string[];
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
}

export interface MembershipDeps {
  readonly wire: ConsumerWire;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: (level: "warn" | "info" | "debug", text: string) => void;
  /** Partitions of each of these topics that exists. */
  readonly partitions: (topics: readonly string[]) => Promise<Map<string, number>>;
}

export interface MembershipEvents {
  /** The group is going to be assigned anew: settle what can be settled; heartbeats go on meanwhile. */
  rebalancing(): Promise<void>;
  /** What this member reads from now on. */
  assigned(partitions: readonly TopicPartition[]): void;
  /** Somebody else may have all of it by now. */
  lost(): void;
  state(state: ConsumerState, error?: Error): void;
}

/** What a commit or a reader of committed offsets may use; undefined while there is none. */
export type Membership = Member & { readonly groupId: string };

/**
 * Membership of a consumer group (Kafka's classic protocol, eager): find the coordinator, join, sync, heartbeat, and all
 * over again whenever something asks for it, without end. Heartbeats have their own rhythm: nothing that a user of records does delays them.
 *
 * What a member holds is surely its own only while generations follow each other: when it missed one, somebody else may have read
 * its partitions meanwhile, so they are lost and assigned anew.
 */
export class GroupMembership {
  private memberId = "";
  private generation = -1;
  /** Assigned in `generation`. */
  private held: readonly TopicPartition[] = [];
  private heldGeneration = -1;
  private rejoinWanted = true;
  /** A join or sync is under way: the broker waits for us, there is nothing to beat for. */
  private joining = false;
  private entering: Promise<unknown> | undefined;
  /** When the last request that the coordinator answered was sent. */
  private lastContact = -Infinity;
  private leads: ReadonlyMap<string, number> | undefined;
  private shrunk = 0;
  private attempt = 0;
  private readonly stop = new AbortController();
  private readonly loop: Waiter;
  private readonly heart: Waiter;
  private readonly settled = new Set<() => void>();
  private cancelExpiry: (() => void) | undefined;

  constructor(private readonly options: MembershipOptions, private readonly deps: MembershipDeps, private readonly events: MembershipEvents) {
    this.loop = new Waiter(deps.clock);
    this.heart = new Waiter(deps.clock);
  }

  /** Joins, and stays a member until `leave`. */
  async run(): Promise<void> {
    this.events.state("connecting");
    const beating = this.beat();
    while (!this.stop.signal.aborted) {
      try {
        if (this.rejoinWanted) await this.join();
        else await this.loop.wait(undefined, this.stop.signal);
      } catch (error) {
        await this.recover(error);
      }
    }
    await beating;
  }

  /** Member and generation while this is a member and no join is under way. */
  get current(): Membership | undefined {
    return this.heldGeneration < 0 || this.joining ? undefined : { groupId: this.options.groupId, generation: this.generation, memberId: this.memberId };
  }

  /** True while the session cannot have ended: nothing that was read after that may be shown. */
  get alive(): boolean {
    return this.deps.clock.now() - this.lastContact < this.options.sessionTimeoutMs;
  }

  /** The group is to be assigned anew. */
  rejoin(): void {
    this.rejoinWanted = true;
    this.loop.wake();
  }

  /** Resolves when no join is under way (or the signal aborts). */
  async whenJoined(signal?: AbortSignal): Promise<void> {
    while (!this.current && !signal?.aborted && !this.stop.signal.aborted) {
      await new Promise<void>((resolve) => {
        const end = (): void => { this.settled.delete(end); signal?.removeEventListener("abort", end); resolve(); };
        this.settled.add(end);
        signal?.addEventListener("abort", end, { once: true });
      });
    }
  }

  /** Topics were read anew: the leader has the group assigned again when partitions came or went. */
  topicsChanged(counts: (topics: readonly string[]) => ReadonlyMap<string, number>): void {
    if (!this.leads || this.joining) return;
    const now = counts([...this.leads.keys()]);
    const grown = [...this.leads].some(([topic, count]) => (now.get(topic) ?? 0) > count);
    const less = [...this.leads].some(([topic, count]) => (now.get(topic) ?? 0) < count);
    // A broker that just started may not know a topic yet: only what is gone twice is gone.
    this.shrunk = less ? this.shrunk + 1 : 0;
    if (grown || this.shrunk >= 2) this.rejoin();
  }

  /** A request with `generation` was refused as not (or no longer) ours. */
  refused(error: unknown, generation: number): void {
    if (generation !== this.generation || this.joining) return;
    const code = kafkaCodeOf(error);
    if (code === KafkaCode.unknownMemberId || code === KafkaCode.fencedInstanceId) this.forgetMember();
    else if (code === KafkaCode.illegalGeneration) this.lose();
    this.rejoin();
  }

  /** Leaves the group (bounded) and ends everything. */
  async leave(): Promise<void> {
    if (this.stop.signal.aborted) return;
    this.stop.abort();
    this.cancelExpiry?.();
    for (const end of [...this.settled]) end();
    // The broker is just giving us an id: a member that nobody heard of again would hold up the others for its whole session.
    if (this.memberId === "" && this.entering) await within(this.deps.clock, NAMING_MS, this.entering.catch(() => undefined));
    if (this.memberId === "") return;
    const memberId = this.memberId;
    await within(this.deps.clock, LEAVE_MS, this.deps.wire.leave(memberId)).catch((error: unknown) => {
      this.deps.log("debug", `Leaving group "${this.options.groupId}": ${(error as Error).message}`);
    });
  }

  // ---- joining -----------------------------------------------------------------------------------------------

  private async join(): Promise<void> {
    if (this.held.length > 0) await this.settle();
    if (this.stop.signal.aborted) return;
    this.rejoinWanted = false;
    this.joining = true;
    this.events.state("joining");
    try {
      const joined = await this.enter();
      if (!joined || this.stop.signal.aborted) return;
      const partitions = await this.synchronize(joined);
      this.accept(joined, partitions);
    } catch (error) {
      this.rejoinWanted = true;
      throw error;
    } finally {
      this.joining = false;
    }
  }

  private async settle(): Promise<void> {
    const work = this.events.rebalancing().catch((error: unknown) => this.deps.log("warn", `Settling before a rebalance: ${(error as Error).message}`));
    await within(this.deps.clock, this.options.rebalanceTimeoutMs * SETTLE_SHARE, Promise.race([work, aborted(this.stop.signal)]));
  }

  /** JoinGroup; undefined when the broker only gave a member id (join again with it). */
  private async enter(): Promise<Joined | undefined> {
    const { sessionTimeoutMs, rebalanceTimeoutMs, topics } = this.options;
    const metadata = encodeSubscription({ topics, owned: this.held, generation: this.heldGeneration });
    const entering = this.deps.wire.join({ memberId: this.memberId, sessionTimeoutMs, rebalanceTimeoutMs, protocols: ASSIGNORS.map(([name]) => ({ name, metadata })) });
    this.entering = entering;
    const answer = await entering;
    if ("assignedMemberId" in answer) {
      this.memberId = answer.assignedMemberId;
      this.rejoinWanted = true;
      return undefined;
    }
    this.memberId = answer.memberId;
    // Not one later: others may have had our partitions in between.
    if (this.heldGeneration >= 0 && answer.generation !== this.heldGeneration + 1) this.lose();
    this.generation = answer.generation;
    return answer;
  }

  private async synchronize(joined: Joined): Promise<TopicPartition[]> {
    const leading = joined.leaderId === joined.memberId;
    const assignments = leading ? await this.assign(joined) : [];
    if (!leading) this.leads = undefined;
    const member = { memberId: joined.memberId, generation: joined.generation };
    const deadline = this.deps.clock.now() + this.options.sessionTimeoutMs;
    for (let attempt = 1; ; attempt++) {
      const sent = this.deps.clock.now();
      try {
        const assignment = await this.deps.wire.sync(member, assignments);
        this.contact(sent);
        return decodeAssignment(assignment);
      } catch (error) {
        // The leader's assignment was refused, so nobody had it: what we hold is still ours.
        if (leading && kafkaCodeOf(error) === KafkaCode.rebalanceInProgress && this.heldGeneration >= 0) this.heldGeneration = joined.generation;
        if (!this.isCoordinatorTrouble(error) || this.deps.clock.now() > deadline || this.stop.signal.aborted) throw error;
        // The assignment may be made already: asking again in this generation costs nobody a rebalance.
        this.deps.wire.forgetCoordinator();
        await sleep(this.deps.clock, backoffMs(attempt, { firstMs: 100, maxMs: 2000, random: this.deps.random }), this.stop.signal);
      }
    }
  }

  /** As the group's leader: who reads what. */
  private async assign(joined: Joined): Promise<{ memberId: string; assignment: Buffer }[]> {
    const members = joined.members.map(({ memberId, metadata }) => this.memberOf(memberId, metadata));
    const topics = [...new Set(members.flatMap((member) => member.topics))];
    const partitions = await this.deps.partitions(topics);
    this.leads = new Map(topics.map((topic) => [topic, partitions.get(topic) ?? 0]));
    this.shrunk = 0;
    const assignor = ASSIGNORS.find(([name]) => name === joined.protocol)?.[1] ?? sticky;
    return [...assignor(members, partitions)].map(([memberId, list]) => ({ memberId, assignment: encodeAssignment(list) }));
  }

  private memberOf(memberId: string, metadata: Buffer): GroupMember {
    try {
      return { memberId, ...decodeSubscription(metadata) };
    } catch {
      this.deps.log("warn", `Member ${memberId} of group "${this.options.groupId}" subscribes in a form that cannot be read; it is given nothing.`);
      return { memberId, topics: [], owned: [], generation: -1 };
    }
  }

  private accept(joined: Joined, partitions: TopicPartition[]): void {
    this.held = partitions;
    this.heldGeneration = joined.generation;
    this.joining = false;
    this.attempt = 0;
    this.armExpiry();
    this.deps.log("debug", `Group "${this.options.groupId}", generation ${joined.generation}: reads ${partitions.map(partitionKey).join(", ") || "nothing"}.`);
    this.events.state("running");
    this.events.assigned(partitions);
    for (const end of [...this.settled]) end();
    this.heart.wake();
  }

  // ---- staying ----------------------------------------------------------------------------------------------

  private async beat(): Promise<void> {
    const interval = Math.min(BEAT_MS, this.options.sessionTimeoutMs / 3);
    let failures = 0;
    while (!this.stop.signal.aborted) {
      const pause = failures === 0 ? interval : Math.min(interval, backoffMs(failures, { firstMs: 100, maxMs: interval, random: this.deps.random }));
      await this.heart.wait(pause, this.stop.signal);
      const member = this.current;
      if (!member) { failures = 0; continue; }
      const sent = this.deps.clock.now();
      try {
        await this.deps.wire.heartbeat(member);
        if (member.generation === this.generation && !this.stop.signal.aborted) {
          this.contact(sent);
          if (failures > 0 && this.current) this.events.state("running");
        }
        failures = 0;
      } catch (error) {
        if (this.stop.signal.aborted || member.generation !== this.generation || this.joining) continue;
        failures = this.beatFailed(error, member.generation, sent, failures);
      }
    }
  }

  /** @returns failures in a row that only waiting mends */
  private beatFailed(error: unknown, generation: number, sent: number, failures: number): number {
    const code = kafkaCodeOf(error);
    if (code === KafkaCode.rebalanceInProgress) {
      this.contact(sent);
      this.rejoin();
      return 0;
    }
    if (code === KafkaCode.unknownMemberId || code === KafkaCode.illegalGeneration || code === KafkaCode.fencedInstanceId) {
      this.refused(error, generation);
      return 0;
    }
    this.deps.wire.forgetCoordinator();
    if (isConnectionFailure(error) || !this.isCoordinatorTrouble(error) || failures + 1 >= PATIENCE) this.events.state("down", asTicklakeError(error, "KAFKA_FAILED"));
    return failures + 1;
  }

  private contact(sent: number): void {
    this.lastContact = Math.max(this.lastContact, sent);
  }

  /** Nobody heard us for the whole session: the broker has given our partitions to somebody else by now. */
  private armExpiry(): void {
    this.cancelExpiry?.();
    const left = this.lastContact + this.options.sessionTimeoutMs - this.deps.clock.now();
    this.cancelExpiry = this.deps.clock.after(Math.max(1, left), () => this.expireIfDue());
  }

  /** Called by time, and by whoever is about to show a record. @returns true when the session is over */
  expireIfDue(): boolean {
    if (this.heldGeneration < 0 || this.stop.signal.aborted) return false;
    // While the broker keeps our join waiting, it keeps us too; nothing is shown meanwhile.
    if (this.joining) { this.cancelExpiry?.(); this.cancelExpiry = this.deps.clock.after(1000, () => this.expireIfDue()); return false; }
    if (this.alive) { this.armExpiry(); return false; }
    this.deps.log("warn", `No heartbeat of group "${this.options.groupId}" was answered for ${this.options.sessionTimeoutMs} ms: its partitions are given up.`);
    this.lose();
    this.rejoin();
    return true;
  }

  // ---- losing -----------------------------------------------------------------------------------------------

  private lose(): void {
    this.cancelExpiry?.();
    const had = this.heldGeneration >= 0;
    this.held = [];
    this.heldGeneration = -1;
    if (had) this.events.lost();
  }

  private forgetMember(): void {
    this.memberId = "";
    this.generation = -1;
    this.lose();
  }

  private async recover(error: unknown): Promise<void> {
    if (this.stop.signal.aborted) return;
    const code = kafkaCodeOf(error);
    if (this.heldGeneration >= 0 && !this.alive) this.lose();
    this.attempt++;
    if (code === KafkaCode.unknownMemberId || code === KafkaCode.fencedInstanceId) this.forgetMember();
    else if (code === KafkaCode.illegalGeneration) this.lose();
    else if (code !== KafkaCode.rebalanceInProgress) {
      if (this.isCoordinatorTrouble(error)) this.deps.wire.forgetCoordinator();
      const trouble = asTicklakeError(error, "KAFKA_FAILED", "Joining the group failed: ");
      this.deps.log("debug", trouble.message);
      const patient = this.isCoordinatorTrouble(error) && !isConnectionFailure(error) && this.attempt < PATIENCE;
      if (!patient) this.events.state("down", this.explain(trouble));
    }
    if (code !== undefined && this.attempt === 1 && this.rejoinsAtOnce(code)) return;
    await sleep(this.deps.clock, backoffMs(this.attempt, { firstMs: 100, maxMs: 5000, random: this.deps.random }), this.stop.signal);
  }

  private rejoinsAtOnce(code: number): boolean {
    return code === KafkaCode.unknownMemberId || code === KafkaCode.illegalGeneration || code === KafkaCode.rebalanceInProgress;
  }

  private explain(error: TicklakeError): TicklakeError {
    if (error.message.includes(`"${this.options.groupId}"`)) return error;
    return new TicklakeError(error.code, `Group "${this.options.groupId}": ${error.message}`, { cause: error, details: { ...error.details, groupId: this.options.groupId } });
  }

  private isCoordinatorTrouble(error: unknown): boolean {
    const code = kafkaCodeOf(error);
    return isConnectionFailure(error) || code === KafkaCode.notCoordinator || code === KafkaCode.coordinatorNotAvailable || code === KafkaCode.coordinatorLoadInProgress
      || code === KafkaCode.requestTimedOut;
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
