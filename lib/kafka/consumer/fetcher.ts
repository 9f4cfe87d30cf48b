import { asTicklakeError } from "../../errors";
import { backoffMs } from "../../retry";
import { KafkaCode, kafkaError } from "../errors";
import type { ConsumerEvents, TopicPartition } from "../types";
import type { Clock } from "./clock";
import { ReadPartition, type Item } from "./partition";
import type { FetchedPartition } from "../protocol/fetch";
import type { ConsumerWire, FetchRequest } from "./wire";

/** A second connection per broker: what was just resumed need not wait until the long poll of the idle ones ends. */
const LANES = 2;
/** Longest poll of the second lane: it must be free again soon. */
const SHORT_POLL_MS = 50;
/** Longest pause between attempts: a broker that is back is read from again within this time. */
const MAX_PAUSE_MS = 2000;
/** An answer without anything comes no faster than this: a broker that does not wait must not keep us busy. */
const EMPTY_MS = 10;
/** Failures in a row before they are told. */
const PATIENCE = 3;
/** Within a pause of so long a topic can be deleted and made anew without any fetch that fails. */
const LONG_PAUSE_MS = 1000;
/** Kept for paused partitions at the most, in fetches; beyond that it is fetched again when it is wanted. */
const KEPT_FETCHES = 4;

export interface FetcherOptions {
  readonly maxWaitMs: number;
  readonly maxFetchBytes: number;
  readonly maxPartitionBytes: number;
}

export interface FetcherDeps {
  readonly wire: ConsumerWire;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: (level: "warn" | "info" | "debug", text: string) => void;
  /** Node id of the leader, as far as known. */
  readonly leader: (at: TopicPartition) => number | undefined;
  readonly refreshLeaders: () => void;
  /** Asked before each delivery: false while nothing may be shown (a rebalance, an expired session). */
  readonly mayDeliver: () => boolean;
  /** Why something cannot be fetched at the moment; undefined when everything can. */
  readonly trouble: (error: Error | undefined) => void;
}

interface LaneState { busy: boolean }

interface BrokerState {
  readonly lanes: LaneState[];
  failures: number;
  notBefore: number;
}

type Events = Pick<ConsumerEvents, "records" | "advanced" | "end" | "outOfRange" | "damaged" | "interrupted">;

/**
 * Fetches from all partitions that are assigned, positioned and not paused: one long poll per broker, and a short one beside it.
 * The next fetch is on its way while the user works on the last; what arrives for a partition that was paused meanwhile is kept,
 * what arrives for one that was sought or lost is dropped.
 */
export class Fetcher {
  private readonly partitions = new Map<string, ReadPartition>();
  private readonly brokers = new Map<number, BrokerState>();
  /** Reasons by partition key or broker, the oldest is told. */
  private readonly troubles = new Map<string, Error>();
  private told: Error | undefined;
  private services = 0;
  private fetches = 0;
  private deliverQueued = false;
  private stopped = false;
  private cancelPump: (() => void) | undefined;
  private pumpQueued = false;

  constructor(private readonly options: FetcherOptions, private readonly deps: FetcherDeps, private readonly events: Events) {}

  // ---- what is read --------------------------------------------------------------------------------------------

  get list(): ReadPartition[] {
    return [...this.partitions.values()];
  }

  get(key: string): ReadPartition | undefined {
    return this.partitions.get(key);
  }

  add(at: TopicPartition, tenure: number): void {
    const partition = new ReadPartition(at, tenure, this.options.maxPartitionBytes);
    this.partitions.set(partition.key, partition);
  }

  remove(key: string): void {
    const partition = this.partitions.get(key);
    if (!partition) return;
    this.partitions.delete(key);
    partition.version++;
    partition.queue = [];
    this.settle(key);
  }

  seek(key: string, offset: bigint): void {
    this.partitions.get(key)?.seek(offset);
    this.settle(key);
    this.wake();
  }

  pause(key: string): void {
    const partition = this.partitions.get(key);
    if (!partition || partition.paused) return;
    partition.paused = true;
    partition.pausedAt = this.deps.clock.now();
  }

  resume(key: string): void {
    const partition = this.partitions.get(key);
    if (!partition?.paused) return;
    partition.paused = false;
    partition.idle = false;
    if (this.deps.clock.now() - partition.pausedAt >= LONG_PAUSE_MS) partition.suspect = true;
    this.wake();
  }

  /** Something changed: leaders, what may be shown, what is wanted. */
  wake(): void {
    if (this.stopped || this.pumpQueued) return;
    this.pumpQueued = true;
    queueMicrotask(() => {
      this.pumpQueued = false;
      this.pump();
    });
    this.deliverSoon();
  }

  stop(): void {
    this.stopped = true;
    this.cancelPump?.();
    this.partitions.clear();
  }

  // ---- fetching ------------------------------------------------------------------------------------------------

  private pump(): void {
    this.cancelPump?.();
    if (this.stopped || !this.deps.mayDeliver()) return;
    this.boundMemory();
    this.forgetOldTroubles();
    const now = this.deps.clock.now();
    let next = Infinity;
    const ready = new Map<number, ReadPartition[]>();
    for (const partition of this.partitions.values()) {
      if (partition.position === undefined || partition.paused || partition.blocked || partition.busy) continue;
      const node = this.deps.leader(partition);
      if (node !== partition.leader) { partition.leader = node; partition.notBefore = 0; }
      if (partition.notBefore > now) { next = Math.min(next, partition.notBefore); continue; }
      if (node === undefined) { this.later(partition, undefined); next = Math.min(next, partition.notBefore); continue; }
      const broker = this.broker(node);
      if (broker.notBefore > now) { next = Math.min(next, broker.notBefore); continue; }
      if (partition.suspect && this.events.interrupted) {
        partition.blocked = true;
        partition.queue.push({ fetch: this.fetches, kind: "interrupted", offset: partition.position });
        this.deliverSoon();
        continue;
      }
      const list = ready.get(node);
      if (list) list.push(partition); else ready.set(node, [partition]);
    }
    // Of each broker one fetch ahead of the user, no more.
    const unshown = this.unshown();
    for (const [node, list] of ready) if ((unshown.get(node)?.size ?? 0) <= 1) this.dispatch(node, list);
    if (next < Infinity) this.cancelPump = this.deps.clock.after(Math.max(1, next - now), () => this.wake());
  }

  /** The first lane waits for whatever comes; the second serves what waits beside it. Idle partitions come together in the first. */
  private dispatch(node: number, ready: ReadPartition[]): void {
    const [long, short] = this.broker(node).lanes as [LaneState, LaneState];
    const allIdle = ready.every((partition) => partition.idle);
    if (!long.busy) {
      if (allIdle && short.busy) return;
      void this.fetch(node, 0, ready, short.busy ? Math.min(SHORT_POLL_MS, this.options.maxWaitMs) : this.options.maxWaitMs);
    } else if (!short.busy) {
      void this.fetch(node, 1, ready, Math.min(SHORT_POLL_MS, this.options.maxWaitMs));
    }
  }

  private async fetch(node: number, lane: number, partitions: ReadPartition[], maxWaitMs: number): Promise<void> {
    const broker = this.broker(node);
    const number = ++this.fetches;
    broker.lanes[lane]!.busy = true;
    partitions.sort((a, b) => a.served - b.served);
    const asked = new Map(partitions.map((partition) => [partition.key, { partition, version: partition.version, position: partition.position as bigint }]));
    const request: FetchRequest = {
      maxWaitMs, maxBytes: Math.max(this.options.maxFetchBytes, partitions[0]!.maxBytes),
      positions: partitions.map((partition) => ({ ...partition.at(partition.position as bigint), maxBytes: partition.maxBytes })),
    };
    for (const partition of partitions) partition.busy = true;
    const sent = this.deps.clock.now();
    try {
      const answers = await this.deps.wire.fetch(node, lane, request);
      broker.failures = 0;
      this.settle(`broker ${node}`);
      // In turn: what is decoded first is shown first, and the memory of the answer is used once.
      for (const answer of answers) {
        const of = asked.get(`${answer.topic}/${answer.partition}`);
        if (of && of.version === of.partition.version && !this.stopped) await this.take(answer, of.partition, of.position, number);
      }
    } catch (error) {
      for (const { partition } of asked.values()) partition.suspect = true;
      this.brokerFailed(node, broker, error);
    }
    const still = [...asked.values()].filter(({ partition, version }) => partition.version === version);
    const early = sent + EMPTY_MS;
    const wait = this.deps.clock.now() < early && still.every(({ partition, position }) => partition.position === position);
    for (const { partition } of still) {
      partition.busy = false;
      if (wait) partition.notBefore = Math.max(partition.notBefore, early);
    }
    broker.lanes[lane]!.busy = false;
    if (this.stopped) return;
    // First the next request goes out, then the user gets what came: the broker works meanwhile.
    this.pump();
    this.deliverSoon();
  }

  private async take(answer: FetchedPartition, partition: ReadPartition, position: bigint, fetch: number): Promise<void> {
    const { version } = partition;
    if (answer.errorCode !== KafkaCode.none) return this.refused(answer, partition, position, fetch);
    partition.failures = 0;
    this.settle(partition.key);
    const decoded = answer.records.length === 0 ? { nextOffset: position } : await this.deps.wire.decode(answer, position);
    if (partition.version !== version || this.stopped) return;
    if (answer.lastStableOffset >= 0n) this.guard(() => this.events.end(partition.at(answer.lastStableOffset)));
    const moved = decoded.nextOffset > position;
    partition.position = decoded.nextOffset;
    // Behind others in the request a large batch is left out of the answer: then it is not idle, its turn comes.
    partition.idle = !moved && !decoded.damaged && answer.lastStableOffset <= position;
    if (moved) partition.served = ++this.services;
    if (decoded.set) partition.queue.push({ fetch, kind: "records", set: decoded.set });
    else if (moved) partition.queue.push({ fetch, kind: "advanced", offset: decoded.nextOffset });
    if (decoded.damaged) {
      partition.blocked = true;
      partition.queue.push({ fetch, kind: "damaged", offset: decoded.damaged.offset, error: decoded.damaged.error });
    }
    partition.maxBytes = decoded.batchBytes === undefined ? this.options.maxPartitionBytes : Math.max(decoded.batchBytes, this.options.maxPartitionBytes);
  }

  // ---- what goes wrong -------------------------------------------------------------------------------------------

  private async refused(answer: FetchedPartition, partition: ReadPartition, position: bigint, fetch: number): Promise<void> {
    if (answer.errorCode === KafkaCode.offsetOutOfRange) return this.checkRange(partition, position, fetch);
    const error = kafkaError(answer.errorCode, { doing: `Reading ${partition.topic}, partition ${partition.partition}`, details: { topic: partition.topic, partition: partition.partition } });
    // A leader that moves is daily business, and a broker may hear late of a topic; whatever else is wrong, and what lasts, is told.
    const daily = error.kind === "retry" || answer.errorCode === KafkaCode.unknownTopicOrPartition;
    this.deps.refreshLeaders();
    this.later(partition, daily && partition.failures < PATIENCE ? undefined : error);
  }

  /** The broker has no such offset: where does its log begin and end? */
  private async checkRange(partition: ReadPartition, position: bigint, fetch: number): Promise<void> {
    const { version } = partition;
    try {
      const log = await this.deps.wire.bounds(partition);
      if (partition.version !== version || this.stopped) return;
      // A new leader may not have known the end yet.
      if (position >= log.earliest && position <= log.end) { this.later(partition, undefined); return; }
      partition.blocked = true;
      partition.queue.push({ fetch, kind: "outOfRange", offset: position, log });
    } catch (error) {
      if (partition.version !== version || this.stopped) return;
      this.deps.refreshLeaders();
      this.later(partition, asTicklakeError(error, "KAFKA_FAILED"));
    }
  }

  private later(partition: ReadPartition, trouble: Error | undefined): void {
    partition.failures++;
    partition.suspect = true;
    partition.notBefore = this.deps.clock.now() + backoffMs(partition.failures, { firstMs: 100, maxMs: MAX_PAUSE_MS, random: this.deps.random });
    if (this.deps.leader(partition) === undefined) this.deps.refreshLeaders();
    if (trouble) this.complain(partition.key, trouble);
  }

  private brokerFailed(node: number, broker: BrokerState, error: unknown): void {
    if (this.stopped) return;
    const trouble = asTicklakeError(error, "KAFKA_FAILED", "Reading failed: ");
    broker.failures++;
    broker.notBefore = this.deps.clock.now() + backoffMs(broker.failures, { firstMs: 100, maxMs: MAX_PAUSE_MS, random: this.deps.random });
    this.deps.log("debug", trouble.message);
    if (broker.failures >= PATIENCE || trouble.kind !== "retry") this.complain(`broker ${node}`, trouble);
    this.deps.refreshLeaders();
  }

  private complain(key: string, error: Error): void {
    this.troubles.set(key, error);
    this.tell();
  }

  private settle(key: string): void {
    if (this.troubles.delete(key)) this.tell();
  }

  private tell(): void {
    const [first] = this.troubles.values();
    if (first?.message === this.told?.message) return;
    this.told = first;
    this.deps.trouble(first);
  }

  // ---- showing it ---------------------------------------------------------------------------------------------

  private deliverSoon(): void {
    if (this.deliverQueued) return;
    this.deliverQueued = true;
    setImmediate(() => {
      this.deliverQueued = false;
      this.deliver();
    });
  }

  /** One item per turn of the event loop: whatever else waits is not held up by a large fetch. */
  private deliver(): void {
    if (this.stopped || !this.deps.mayDeliver()) return;
    const partition = this.list.find((candidate) => !candidate.paused && candidate.queue.length > 0);
    if (!partition) return;
    // To the end of the row: the one that was shown longest ago comes first.
    this.partitions.delete(partition.key);
    this.partitions.set(partition.key, partition);
    const item = partition.queue.shift() as Item;
    const { version } = partition;
    if (!this.guard(() => this.show(partition, item)) && item.kind === "records" && partition.version === version) {
      // Nobody has these records now: they are read again, not left out.
      partition.seek(item.set.offset(0));
      this.later(partition, undefined);
    }
    this.wake();
  }

  private show(partition: ReadPartition, item: Item): void {
    switch (item.kind) {
      case "records": this.events.records(item.set); break;
      case "advanced": this.events.advanced?.(partition.at(item.offset)); break;
      case "interrupted":
        partition.suspect = false;
        this.events.interrupted?.(partition.at(item.offset));
        break;
      case "damaged": this.events.damaged(partition.at(item.offset), item.error); break;
      case "outOfRange": this.events.outOfRange(partition.at(item.offset), item.log); break;
    }
  }

  /** A user whose handler throws must not end the reading. */
  private guard(call: () => void): boolean {
    try {
      call();
      return true;
    } catch (error) {
      this.deps.log("warn", `A handler of what was read failed: ${error instanceof Error ? error.message : String(error)}`);
      return false;
    }
  }

  /** Per broker the fetches of which something waits to be shown. */
  private unshown(): Map<number | undefined, Set<number>> {
    const fetches = new Map<number | undefined, Set<number>>();
    for (const partition of this.partitions.values()) {
      if (partition.paused || partition.queue.length === 0) continue;
      const known = fetches.get(partition.leader) ?? new Set();
      fetches.set(partition.leader, known);
      for (const item of partition.queue) known.add(item.fetch);
    }
    return fetches;
  }

  private boundMemory(): void {
    const paused = this.list.filter((partition) => partition.paused && partition.queue.length > 0);
    let pinned = bytesOf(paused);
    while (pinned > KEPT_FETCHES * this.options.maxFetchBytes && paused.length > 1) {
      paused.shift()?.unread();
      pinned = bytesOf(paused);
    }
  }

  /** A broker that leads none of our partitions any more is none of our troubles. */
  private forgetOldTroubles(): void {
    if (this.troubles.size === 0) return;
    const needed = new Set(this.list.map((partition) => `broker ${this.deps.leader(partition)}`));
    for (const key of [...this.troubles.keys()]) if (key.startsWith("broker ") && !needed.has(key)) this.settle(key);
  }

  private broker(node: number): BrokerState {
    let broker = this.brokers.get(node);
    if (!broker) {
      broker = { lanes: Array.from({ length: LANES }, () => ({ busy: false })), failures: 0, notBefore: 0 };
      this.brokers.set(node, broker);
    }
    return broker;
  }
}

function bytesOf(partitions: readonly ReadPartition[]): number {
  const buffers = new Set(partitions.flatMap((partition) => partition.pinned));
  return [...buffers].reduce((sum, buffer) => sum + buffer.byteLength, 0);
}
