import { FailurePolicy } from "../../delivery/policy";
import type { Delivery, Failure, HoldUp, LogPosition, LogView, Rewind } from "../../delivery/types";
import { asTicklakeError, TicklakeError } from "../../errors";
import type { Reading } from "../../metrics/reading";
import { backoffMs } from "../../retry";
import { RateMeter } from "../../trades/generator-rate";
import type { ConsumerState, KafkaClient, KafkaConsumer, PartitionOffset, TopicPartition } from "../types";
import { Commits } from "./commits";
import type { KafkaInConfig } from "./config";
import type { BatchContext, SourceClock, SourceNews, SourcePort } from "./contract";
import type { Control, SeekTarget, Selection } from "./control";
import type { Undecodable } from "./decode";
import { Outage } from "./outage";
import { PartitionReader } from "./reader";
import type { ReaderHost } from "./reader-host";
import { startOffsets, surveyBeginnings, withoutTopics, type TopicBeginnings } from "./starts";
import { describeSource, lagFigures, notReadyOf, type SourceStatus, type StatusFacts } from "./status";
import { Undecodables } from "./undecodables";
import { partitionPanel, type PartitionPanel } from "./panel";

export interface KafkaSourceDeps {
  readonly client: KafkaClient;
  readonly port: SourcePort;
  readonly clock: SourceClock;
  readonly news: SourceNews;
  readonly onFailure: "retry" | "stop" | "dead-letter";
  readonly maxAttempts: number;
  /** How people know a node. */
  readonly nodeName: (id: string) => string;
  /** In [0, 1). */
  readonly random?: () => number;
}

/** Fetched and not yet sent, of all partitions together: beyond this nothing more is fetched. */
const TOTAL_BYTES = 16_777_216;
/** Sending goes on for so long in one turn of the event loop. */
const SLICE_MS = 10;
/** A cluster that has not answered after this time is called down in the status. */
const SLOW_MS = 3000;
/** Pause after a commit that was refused and has to succeed. */
const COMMIT_AGAIN_MS = 500;
/** A rebalance waits so long for what is settled. */
const REBALANCE_MS = 1500;

/**
 * Reads topics as a member of a consumer group and sends what it reads as deliveries. Offsets are committed when everything up to them is
 * delivered; where it begins, what it does about failures and how it is told to go elsewhere: see PartitionReader.
 */
export class KafkaSource implements ReaderHost {
  readonly clock: SourceClock;
  readonly port: SourcePort;
  readonly news: SourceNews;
  readonly policy: FailurePolicy;
  readonly maxAttempts: number;
  readonly consumer: KafkaConsumer;
  cluster = "";
  private readonly readers = new Map<string, PartitionReader>();
  readonly commits: Commits;
  private readonly undecodables: Undecodables;
  private readonly meter = new RateMeter();
  private readonly logs = new Map<string, LogView>();
  private readonly life = new AbortController();
  /** Latest word on pausing, by "*", topic, or topic/partition. */
  private readonly pauses = new Map<string, boolean>();
  private beginnings: TopicBeginnings | undefined;
  /** Partitions that this node has read, if only for a while. */
  private readonly placed = new Set<string>();
  private begun = false;
  private scheduled = false;
  private cancelDue: (() => void) | undefined;
  private turn = 0;
  private recordsSent = 0;
  private letters = 0;
  private state: ConsumerState = "connecting";
  private trouble: Error | undefined;
  private holdUp: HoldUp | undefined;
  private readonly starting = new Set<Promise<void>>();
  private readonly outage: Outage;

  constructor(readonly config: KafkaInConfig, private readonly deps: KafkaSourceDeps) {
    this.clock = deps.clock;
    this.port = deps.port;
    this.news = deps.news;
    this.maxAttempts = deps.maxAttempts;
    this.policy = new FailurePolicy({ onFailure: deps.onFailure, maxAttempts: deps.maxAttempts, ...(deps.random && { random: deps.random }) });
    this.outage = new Outage(this.clock, { warn: (text) => this.news.warn(text), changed: () => this.news.changed() });
    this.undecodables = new Undecodables(this.clock, (error) => this.news.error(error));
    this.consumer = deps.client.consumer({ groupId: config.groupId, topics: config.topics, maxWaitMs: 500 }, {
      assigned: (partitions) => this.assigned(partitions),
      rebalancing: () => this.rebalancing(),
      revoked: (partitions) => this.revoked(partitions),
      records: (set) => {
        this.readers.get(`${set.topic}/${set.partition}`)?.records(set);
        this.bound();
      },
      advanced: (at) => this.reader(at)?.advanced(at.offset),
      end: (at) => this.reader(at)?.ended(at.offset),
      outOfRange: (at, log) => this.reader(at)?.outOfRange(at.offset, log),
      interrupted: (at) => this.reader(at)?.interrupted(),
      damaged: (at, error) => this.reader(at)?.damaged(at.offset, error),
      state: (state, error) => this.consumerState(state, error),
    });
    this.commits = new Commits({
      clock: this.clock, consumer: this.consumer, readers: () => this.readers.values(), bySink: (key) => this.port.offsetsCommittedBySink(key),
      failed: (error) => this.news.warn(`Offsets could not be committed: ${error.message} It is tried again; nothing is lost.`), wake: () => this.wake(),
    });
  }

  // ---- life ----------------------------------------------------------------------------------------------------

  /** Flows run: begin, or go on. */
  start(): void {
    if (!this.begun) {
      this.begun = true;
      void this.begin();
    }
    this.wake();
  }

  /** Finds out what the group began with, then joins it. */
  private async begin(): Promise<void> {
    // A request gives up after ten seconds: nobody should look at "connecting" for so long.
    const cancel = this.clock.after(SLOW_MS, () => {
      this.trouble ??= new TicklakeError("KAFKA_UNREACHABLE", "no answer yet, trying again");
      this.news.changed();
    });
    await this.persist(async () => {
      this.cluster = await this.deps.client.admin.clusterId();
      this.beginnings = this.config.starting === "earliest" ? new Map() : await surveyBeginnings(this.deps.client.admin, this.config.groupId, this.config.topics);
    }, this.life.signal);
    cancel();
    if (!this.life.signal.aborted) this.consumer.start();
  }

  /** Within `timeoutMs`: waits for what is settled, commits, leaves the group. The ledger's source is closed by its owner, after this. */
  async close(timeoutMs: number): Promise<void> {
    this.life.abort();
    this.cancelDue?.();
    const until = this.clock.now() + timeoutMs;
    this.port.press();
    await this.port.drain(Math.max(0, timeoutMs - 5000));
    await this.within(Math.min(2000, until - this.clock.now()), this.commits.close());
    for (const reader of this.readers.values()) reader.leave();
    this.readers.clear();
    this.undecodables.end();
    this.outage.end();
    await this.within(Math.max(500, until - this.clock.now()), this.consumer.stop());
  }

  private get closed(): boolean { return this.life.signal.aborted; }

  private within(ms: number, work: Promise<void>): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.clock.after(ms, resolve);
      work.catch((error: unknown) => this.news.warn(asTicklakeError(error).message)).finally(() => { cancel(); resolve(); }).catch(() => undefined);
    });
  }

  /** Repeats without end what fails, with a status, until the signal. */
  private async persist(work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        await work();
        this.trouble = undefined;
        return;
      } catch (caught) {
        if (signal.aborted) return;
        this.trouble = asTicklakeError(caught, "KAFKA_FAILED");
        if (attempt === 1 && this.trouble instanceof TicklakeError && this.trouble.code !== "KAFKA_NOT_ASSIGNED") this.news.warn(`${this.trouble.message} It is tried again until it works.`);
        this.news.changed();
        await new Promise<void>((resolve) => {
          const cancel = this.clock.after(backoffMs(attempt, { maxMs: 10_000, ...(this.deps.random && { random: this.deps.random }) }), resolve);
          signal.addEventListener("abort", () => { cancel(); resolve(); }, { once: true });
        });
      }
    }
  }

  // ---- the group -----------------------------------------------------------------------------------------------

  private isOurs(reader: PartitionReader): boolean { return this.readers.get(reader.key) === reader; }

  private reader(at: TopicPartition): PartitionReader | undefined { return this.readers.get(`${at.topic}/${at.partition}`); }

  private assigned(partitions: readonly TopicPartition[]): void {
    if (this.closed) return;
    const readers = partitions.map((at) => new PartitionReader(this, at));
    for (const reader of readers) {
      this.readers.set(reader.key, reader);
      if (this.isPaused(reader)) reader.pause(true);
    }
    const started = this.place(readers).finally(() => { this.starting.delete(started); });
    this.starting.add(started);
    this.news.changed();
  }

  /** Resolves where they begin, commits that where nothing was committed, and only then reads. */
  private async place(readers: readonly PartitionReader[]): Promise<void> {
    await this.persist(async () => {
      const ours = readers.filter((reader) => this.isOurs(reader) && reader.state === "starting");
      if (ours.length === 0) return;
      const offsets = await this.consumer.committed(ours.map(({ at }) => at));
      const fresh = ours.filter((_, k) => offsets[k] === undefined);
      if (fresh.length > 0) {
        const starts = await this.startsOf(fresh);
        await this.consumer.commit(fresh.map((reader, k): PartitionOffset => ({ ...reader.at, offset: starts[k]! })), this.life.signal);
        fresh.forEach((reader, k) => { offsets[ours.indexOf(reader)] = starts[k]; });
      }
      ours.forEach((reader, k) => {
        // Somebody may have sought meanwhile.
        if (!this.isOurs(reader) || reader.state !== "starting") return;
        this.placed.add(reader.key);
        this.port.assigned(reader.key, this.logPosition(reader));
        reader.begin(offsets[k]!);
      });
    }, this.life.signal);
    this.news.changed();
  }

  /**
   * Where partitions begin of which the group has committed nothing. That may be because its offsets have expired or were deleted: a table that has records of the
   * partition knows better, and what came since would be left out of it. (From the earliest record on it gets them anyway.)
   */
  private async startsOf(fresh: readonly PartitionReader[]): Promise<bigint[]> {
    const { starting, groupId } = this.config;
    const starts = await startOffsets(this.deps.client.admin, fresh.map(({ at }) => at), starting, this.beginnings!);
    return Promise.all(fresh.map(async (reader, k) => {
      if (this.placed.has(reader.key)) {
        // Brokers forget a group's offsets with the topic. What is in the new one came after the group had begun.
        const earliest = await this.earliest(reader.at);
        this.news.error(new TicklakeError("KAFKA_OFFSETS_LOST", `${reader.key}: group ${groupId} has no offset any more, although this node has read the partition: the topic was made anew. Nothing is left out: it is read from its earliest record, ${earliest}.`, { details: { topic: reader.topic, partition: reader.partition } }));
        return earliest;
      }
      if (starting === "earliest") return starts[k]!;
      const behind = (await this.port.positions(this.logPosition(reader))).filter(({ nextOffset }) => nextOffset < starts[k]!).sort((a, b) => (a.nextOffset < b.nextOffset ? -1 : 1))[0];
      if (!behind) return starts[k]!;
      this.news.warn(`${reader.key}: group ${groupId} has no offset any more (expired, or deleted), but ${behind.target} has this partition up to offset ${behind.nextOffset - 1n}. Reading goes on at offset ${behind.nextOffset}, not at ${starts[k]}.`);
      return behind.nextOffset;
    }));
  }

  /** The group is about to be rebalanced: what is settled is committed before others read on from there. */
  private async rebalancing(): Promise<void> {
    this.port.press();
    await this.within(REBALANCE_MS, Promise.all([this.port.drain(1000), ...this.starting]).then(() => undefined));
    await this.within(REBALANCE_MS, this.commits.flush());
  }

  private revoked(partitions: readonly TopicPartition[]): void {
    for (const at of partitions) {
      const reader = this.reader(at);
      if (!reader) continue;
      this.readers.delete(reader.key);
      this.policy.reset(reader.key);
      reader.leave();
    }
    this.news.changed();
  }

  private consumerState(state: ConsumerState, error?: Error): void {
    this.state = state;
    const unknown = error instanceof TicklakeError && error.code === "KAFKA_TOPIC_UNKNOWN" ? error : undefined;
    // A topic that is not there begins when it comes: nothing in it is older than the group.
    if (unknown && this.beginnings) this.beginnings = withoutTopics(this.beginnings, unknown);
    this.trouble = undefined;
    this.outage.state(state, error);
    this.news.changed();
  }

  // ---- the ledger ----------------------------------------------------------------------------------------------

  delivered(delivery: Delivery<BatchContext>): void {
    this.live(delivery)?.deliveredOne(delivery);
    for (const reader of this.readers.values()) reader.othersPassed();
  }

  failed(failure: Failure<BatchContext>): void { this.live(failure.aborted[0]!)?.failed(failure); }

  /** Of a partition that is still ours. */
  private live(delivery: Delivery<BatchContext>): PartitionReader | undefined {
    const reader = this.readers.get(delivery.partition);
    return reader === delivery.context.reader ? reader : undefined;
  }

  room(): void { this.wake(); }

  heldUp(holdUp: HoldUp | undefined): void {
    this.holdUp = holdUp;
    this.news.changed();
  }

  /** A sink's target went back behind what was delivered: what it lacks is read again. */
  rewind(rewind: Rewind): void {
    const reader = this.readers.get(rewind.partition);
    if (!reader || rewind.to >= reader.position) return;
    this.news.warn(`${rewind.partition}: ${rewind.reason} Offsets ${rewind.to} to ${rewind.from - 1n} are read again.`);
    reader.rewind(rewind.to);
    void this.goBack(reader);
  }

  /** Lets a reader read when the group's position is where it goes on, and not ahead of that. */
  private async goBack(reader: PartitionReader): Promise<void> {
    for (;;) {
      await this.commits.flush();
      if (this.closed || !this.isOurs(reader)) return;
      if (reader.toCommit === undefined) { reader.rewound(); return; }
      await new Promise<void>((resolve) => { this.clock.after(COMMIT_AGAIN_MS, resolve); });
    }
  }

  // ---- sending -------------------------------------------------------------------------------------------------

  wake(): void {
    if (this.scheduled || this.closed) return;
    this.scheduled = true;
    this.clock.later(() => {
      this.scheduled = false;
      this.pump();
    });
  }

  /** Sends what is due, a partition after the other, for one slice of time. */
  private pump(): void {
    this.cancelDue?.();
    this.cancelDue = undefined;
    if (this.closed || !this.port.sending) return;
    const readers = [...this.readers.values()];
    const begin = this.clock.now();
    let next = Infinity;
    for (let k = 0, idle = 0; idle < readers.length; k++) {
      const reader = readers[(this.turn + k) % readers.length]!;
      const wait = reader.dueIn(this.clock.now());
      if (wait > 0) {
        next = Math.min(next, wait);
        idle++;
        continue;
      }
      // `room` wakes.
      if (!this.port.hasRoom()) return;
      idle = 0;
      reader.sendNext();
      if (this.closed || !this.port.sending) return;
      if (this.clock.now() - begin >= SLICE_MS) {
        this.turn = (this.turn + k + 1) % readers.length;
        this.bound();
        this.wake();
        return;
      }
      next = Infinity;
    }
    this.turn++;
    this.bound();
    if (next < Infinity) this.cancelDue = this.clock.after(next, () => this.wake());
  }

  /** Fetching stops while too much waits to be sent. */
  private bound(): void {
    let bytes = 0;
    for (const { buffer } of this.readers.values()) bytes += buffer.bytes;
    if (bytes >= TOTAL_BYTES) {
      for (const reader of this.readers.values()) reader.suspend("total");
    } else if (bytes <= TOTAL_BYTES / 2) {
      for (const reader of this.readers.values()) reader.release("total");
    }
  }

  commit(): void { this.commits.schedule(); }

  sent(records: number): void { this.recordsSent += records; }

  deadLettered(count: number): void { this.letters += count; }

  undecodable(at: TopicPartition, reject: Undecodable): void { this.undecodables.add(at, reject); }

  partitions(): Iterable<PartitionReader> { return this.readers.values(); }

  nodeName(id: string): string { return this.deps.nodeName(id); }

  logOf(at: TopicPartition): LogView {
    const key = `${at.topic}/${at.partition}`;
    let log = this.logs.get(key);
    if (!log) {
      const { admin } = this.deps.client;
      const { topic, partition } = at;
      this.logs.set(key, log = {
        end: async () => (await admin.end([{ topic, partition }]))[0]!,
        timestampAt: (offset) => admin.timestampAt({ topic, partition, offset }),
      });
    }
    return log;
  }

  async earliest({ topic, partition }: TopicPartition): Promise<bigint> { return (await this.deps.client.admin.earliest([{ topic, partition }]))[0]!; }

  // ---- control -------------------------------------------------------------------------------------------------

  /** Does what a control message says. Resolves when it is done (a seek is committed). @throws TicklakeError CONTROL_INVALID, or why Kafka refused */
  async control(control: Control): Promise<void> {
    if (control.command === "seek") { await this.seek(control); return; }
    const paused = control.command === "pause";
    this.setPaused(control, paused);
    for (const reader of this.select(control)) {
      reader.pause(paused);
      if (!paused) reader.resume();
    }
    this.news.changed();
  }

  private setPaused({ topic, partition }: Selection, paused: boolean): void {
    const key = topic === undefined ? "*" : partition === undefined ? topic : `${topic}/${partition}`;
    // A wider word replaces the narrower ones.
    for (const known of [...this.pauses.keys()]) if (key === "*" || known === key || known.startsWith(`${key}/`)) this.pauses.delete(known);
    this.pauses.set(key, paused);
  }

  private isPaused({ key, topic }: PartitionReader): boolean { return this.pauses.get(key) ?? this.pauses.get(topic) ?? this.pauses.get("*") ?? false; }

  private select({ topic, partition }: Selection): PartitionReader[] {
    return [...this.readers.values()].filter((reader) => (topic === undefined || reader.topic === topic) && (partition === undefined || reader.partition === partition));
  }

  private async seek(control: Extract<Control, { command: "seek" }>): Promise<void> {
    await Promise.all(this.starting);
    const readers = this.select(control);
    if (readers.length === 0) {
      const mine = [...this.readers.keys()].join(", ");
      throw new TicklakeError("CONTROL_INVALID", `No partition to seek in: ${mine === "" ? "this node has none assigned now. Repeat it when it has joined the group." : `this node reads ${mine}. Other members of the group may read the others.`}`);
    }
    const targets = await this.resolve(readers.map(({ at }) => at), control.to);
    if (!control.forget) await this.warnOfWatermarks(readers, targets);
    // Where each goes on, also when forgetting fails: what is given up is read again from where it was delivered up to.
    const goOn = new Map(readers.map((reader) => [reader, reader.delivered]));
    for (const reader of readers) {
      reader.suspend("moving");
      reader.giveUp();
    }
    try {
      if (control.forget) for (const reader of readers) await this.port.forget(this.logPosition(reader));
      readers.forEach((reader, k) => goOn.set(reader, targets[k]!));
    } finally {
      for (const [reader, offset] of goOn) if (this.isOurs(reader)) reader.moveTo(offset);
      // Not read before it is committed: after a crash the group would go on where it was, and leave out what nobody has got yet.
      await this.commits.flush();
      for (const reader of readers) if (this.isOurs(reader)) reader.release("moving");
    }
    this.news.changed();
  }

  private async resolve(at: readonly TopicPartition[], to: SeekTarget): Promise<bigint[]> {
    const { admin } = this.deps.client;
    if (to === "earliest") return admin.earliest(at);
    if (to === "latest") return admin.end(at);
    if ("timestamp" in to) return admin.offsetsAt(at, to.timestamp);
    const [earliest, end] = await Promise.all([admin.earliest(at), admin.end(at)]);
    at.forEach(({ topic, partition }, k) => {
      if (to.offset < earliest[k]! || to.offset > end[k]!) {
        throw new TicklakeError("CONTROL_INVALID", `${topic}/${partition} has no offset ${to.offset}: it holds ${earliest[k]} to ${end[k]! - 1n}, and ${end[k]} is what comes next.`);
      }
    });
    return at.map(() => to.offset);
  }

  /** What is below a table's watermark is in the table and is not written again: that is seldom what somebody who seeks back has in mind. */
  private async warnOfWatermarks(readers: readonly PartitionReader[], targets: readonly bigint[]): Promise<void> {
    await Promise.all(readers.map(async (reader, k) => {
      for (const { target, nextOffset } of await this.port.positions(this.logPosition(reader))) {
        if (nextOffset <= targets[k]!) continue;
        this.news.warn(`${target} has ${reader.key} up to offset ${nextOffset - 1n}: what is read again from ${targets[k]} counts as duplicate there and is not written. To write it again, seek with forget: true: the table forgets first how far it is.`);
      }
    }));
  }

  private logPosition({ topic, partition }: TopicPartition): LogPosition { return { cluster: this.cluster, group: this.config.groupId, topic, partition }; }

  // ---- what people see -----------------------------------------------------------------------------------------

  status(): SourceStatus { return describeSource(this.facts()); }

  /** Why it cannot read what is there; undefined while it can. */
  notReady(): string | undefined { return notReadyOf(this.facts()); }

  /** What it counts, besides what its deliveries tell. */
  figures(): Reading { return { rejected: this.letters + this.undecodables.count, ...lagFigures([...this.readers.values()]) }; }

  private facts(): StatusFacts {
    const { holdUp } = this;
    return {
      state: this.begun ? this.state : "idle", trouble: this.trouble ?? this.outage.trouble, unknownTopics: this.outage.unknownTopics, groupId: this.config.groupId,
      partitions: [...this.readers.values()], rate: this.meter.sample(this.clock.now(), this.recordsSent), inFlight: this.port.stats().records,
      full: !this.port.hasRoom(), heldUpBy: holdUp && this.nodeName(holdUp.node), deadLetters: this.letters, undecodable: this.undecodables.count,
      now: this.clock.now(), paused: this.pauses.get("*") ?? false,
    };
  }

  /** Where every partition stands: committed, delivered, read, end, the tables that it feeds, and who holds the oldest batch. */
  async panel(): Promise<PartitionPanel[]> {
    const open = new Map(this.port.openPartitions().map((one) => [one.partition, one]));
    const readers = [...this.readers.values()].sort((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1));
    return Promise.all(readers.map(async (reader) => partitionPanel(reader, open.get(reader.key), await this.port.positions(this.logPosition(reader)), (id) => this.nodeName(id))));
  }
}
