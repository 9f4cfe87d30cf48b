import { TicklakeError } from "../errors";
import { Aborter } from "./abort";
import type { Entry, Group, PartitionQueue, PartRecord, PendingFailure, SinkRecord, SourceRecord } from "./model";
import type { LedgerOptions } from "./ledger-options";
import { lastStretch } from "./runs";
import { looksLikeToken, Tokens } from "./token";
import type { Failure, LogPosition, Rewind, Token } from "./types";
import { heldUpBy, overdueParts, WATCH_INTERVAL_MS } from "./watch";

const MAX_CLOSED_SOURCES = 256;
const MAX_ABORTED_TIES = 10_000;

/** What is open, and the verdicts on it: settled, delivered, failed. Verdicts fall in a later turn than their causes. */
export class Settlement {
  readonly tokens: Tokens;
  readonly sources = new Map<number, SourceRecord>();
  private readonly closed = new Map<number, SourceRecord>();
  readonly sinks = new Map<string, SinkRecord>();
  /** How many sinks a node has open. */
  private readonly sinkNodes = new Map<string, number>();
  readonly groups = new Map<Token, Group>();
  private readonly abortedTies = new Set<Token>();
  /** False from flows:stopping to flows:started. */
  running = false;
  /** Set by the traffic: ties of the turn are resolved before a verdict, and held parts of aborted deliveries become ghosts. */
  beforeVerdict: () => void = () => {};
  dropHeld: (part: PartRecord) => void = () => {};

  private readonly dirty = new Set<Entry>();
  private readonly watched = new Set<PartitionQueue>();
  private failures: PendingFailure[] = [];
  private news: (() => void)[] = [];
  private scheduled = false;
  private watching = false;

  /** Tells of an exception that somebody else's code threw. */
  report(error: unknown): void { this.options.onError?.(error); }

  /** Whether a node is a sink of ours. */
  isSink(node: string): boolean { return this.sinkNodes.has(node); }

  openSink(sink: SinkRecord): void {
    this.sinks.set(sink.id, sink);
    this.sinkNodes.set(sink.node, (this.sinkNodes.get(sink.node) ?? 0) + 1);
  }

  closeSink(sink: SinkRecord): void {
    if (this.sinks.get(sink.id) === sink) this.sinks.delete(sink.id);
    const left = (this.sinkNodes.get(sink.node) ?? 1) - 1;
    if (left > 0) this.sinkNodes.set(sink.node, left);
    else this.sinkNodes.delete(sink.node);
  }

  constructor(readonly options: LedgerOptions) { this.tokens = new Tokens(options.processId); }

  nameOf(node: string): string { return this.options.nodeName?.(node) ?? `node ${node}`; }

  now(): number { return this.options.time.now(); }

  /** What a value in `msg.delivery` stands for; undefined: no token. */
  find(value: unknown): Group | "aborted" | "over" | undefined {
    if (!looksLikeToken(value)) return undefined;
    const group = this.groups.get(value);
    if (group) return group;
    if (!this.tokens.isOurs(value)) return undefined;
    if (this.abortedTies.has(value)) return "aborted";
    const parts = this.tokens.parse(value);
    if (!parts) return "over";
    const source = this.sources.get(parts.instance) ?? this.closed.get(parts.instance);
    return source?.queues.get(parts.partition)?.wasAborted(parts.epoch, parts.batch) ? "aborted" : "over";
  }

  /** Something about this delivery changed. */
  touch(entry: Entry): void {
    this.dirty.add(entry);
    this.schedule();
  }

  touchGroup(group: Group): void { for (const entry of group.entries) this.touch(entry); }

  /** Sinks may have something to commit of these partitions. */
  lookAt(queue: PartitionQueue): void {
    this.watched.add(queue);
    this.schedule();
  }

  look(source: SourceRecord): void { for (const queue of source.queues.values()) this.lookAt(queue); }

  /** Something failed; judged in a later turn, when it is known whether a Catch node took it. */
  failLater(part: PartRecord | undefined, entries: readonly Entry[], error: Error, options: { node?: string; cutAt?: bigint; caught?: boolean } = {}): PendingFailure {
    const failure: PendingFailure = { part, entries, error, node: options.node, cutAt: options.cutAt, caught: options.caught ?? false };
    for (const entry of entries) entry.failing = true;
    this.failures.push(failure);
    this.schedule();
    return failure;
  }

  /** A failure of this node that is not judged yet and belongs to this group. */
  pendingFailure(node: string, group: Group): PendingFailure | undefined {
    return this.failures.find((failure) => failure.node === node && failure.part?.group === group);
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    this.options.time.later(() => this.judge());
  }

  /** Passes every verdict that is due and says so. */
  judge(): void {
    this.scheduled = false;
    this.beforeVerdict();
    this.judgeFailures();
    const queues = new Set(this.watched);
    this.watched.clear();
    for (const entry of this.dirty) {
      if (!entry.isOpen) continue;
      entry.state = entry.isSettled ? "settled" : "open";
      if (entry.isSettled) queues.add(entry.queue);
    }
    this.dirty.clear();
    for (const queue of queues) this.deliver(queue);
    this.wakeSinks(queues);
    for (const source of new Set([...queues].map((queue) => queue.source))) this.announceRoom(source);
    const news = this.news;
    this.news = [];
    for (const say of news) {
      try { say(); } catch (error) { this.report(error); }
    }
  }

  private judgeFailures(): void {
    if (this.failures.length === 0) return;
    const failures = this.failures.sort((a, b) => (a.entries[0]?.batch ?? 0) - (b.entries[0]?.batch ?? 0));
    this.failures = [];
    for (const failure of failures) {
      const open = failure.entries.filter((entry) => entry.isOpen);
      if (open.length === 0) continue;
      if (failure.part && failure.caught && open.every((entry) => entry.queue.source.limits.caughtIsDone)) {
        failure.part.state = "done";
        failure.part.group?.remove(failure.part);
        for (const entry of open) {
          entry.failing = false;
          this.touch(entry);
        }
      } else {
        this.abort(open, failure.error, failure);
      }
    }
  }

  private deliver(queue: PartitionQueue): void {
    const source = queue.source;
    for (let entry = queue.at(0); entry?.isComplete; entry = queue.at(0)) {
      const delivered = entry;
      queue.shift();
      queue.mixes = 0;
      delivered.state = "delivered";
      this.over(delivered);
      source.open--;
      source.records -= delivered.records;
      source.bytes -= delivered.bytes;
      source.delivered++;
      source.deliveredRecords += delivered.records;
      this.news.push(() => { if (!source.closed) source.events.delivered(delivered); });
    }
  }

  /** Tokens of a delivery that is over stand for nothing any more. */
  private over(entry: Entry): void {
    this.groups.delete(entry.token);
    for (const tie of entry.ties) if (!tie.entries.some((other) => other.isOpen)) this.groups.delete(tie.token);
  }

  private wakeSinks(queues: Set<PartitionQueue>): void {
    const woken = new Map<SinkRecord, { pressed: boolean }>();
    for (const queue of queues) {
      for (const sink of queue.waiting) {
        if (!isCommittable(sink, queue)) continue;
        const before = woken.get(sink);
        if (!before) woken.set(sink, { pressed: queue.source.full });
        else if (queue.source.full) before.pressed = true;
      }
    }
    for (const [sink, { pressed }] of woken) {
      if (sink.events.settled) this.news.push(() => { if (!sink.closed) sink.events.settled?.(); });
      if (pressed && sink.events.pressure) this.news.push(() => { if (!sink.closed) sink.events.pressure?.(); });
    }
  }

  /** Whether a sink that commits offsets itself has taken parts of a partition. */
  offsetsCommittedBySink(source: SourceRecord, partition: string): boolean {
    const queue = source.queues.get(partition);
    if (!queue) return false;
    for (const sink of this.sinks.values()) if (sink.events.commitsOffsets && sink.positions.has(queue)) return true;
    return false;
  }

  /** Sinks that could commit something of this source are told to do so at once. */
  press(source: SourceRecord): void {
    const pressed = new Set<SinkRecord>();
    for (const queue of source.queues.values()) for (const sink of queue.waiting) if (isCommittable(sink, queue)) pressed.add(sink);
    if (pressed.size === 0) return;
    for (const sink of pressed) this.news.push(() => { if (!sink.closed) sink.events.pressure?.(); });
    this.schedule();
  }

  private announceRoom(source: SourceRecord): void {
    if (source.closed || source.full) return;
    if (source.heldUpBy !== undefined) {
      source.heldUpBy = undefined;
      this.news.push(() => { if (!source.closed) source.events.heldUp?.(undefined); });
    }
    if (!source.wantsRoom) return;
    source.wantsRoom = false;
    this.news.push(() => { if (!source.closed) source.events.room?.(); });
  }

  /** `silent`: partitions whose source knows already; others that are dragged along are told. */
  private abort(entries: readonly Entry[], error: Error, cause: { node: string | undefined; cutAt: bigint | undefined }, silent?: ReadonlySet<PartitionQueue>): void {
    const aborter = new Aborter(this.dropHeld);
    aborter.abort(entries, error);
    for (const group of aborter.groups) {
      this.groups.delete(group.token);
      if (!group.isTie) continue;
      this.abortedTies.add(group.token);
      if (this.abortedTies.size > MAX_ABORTED_TIES) this.abortedTies.delete(this.abortedTies.values().next().value!);
    }
    for (const entry of aborter.entries) this.over(entry);
    for (const [sink, parts] of aborter.sinkParts) this.news.push(() => { if (!sink.closed) sink.events.aborted?.(parts); });
    for (const { queue, failure } of aborter.failures(entries, cause)) {
      const source = queue.source;
      this.watched.add(queue);
      if (silent?.has(queue)) continue;
      source.failed++;
      this.news.push(() => { if (!source.closed) this.tell(queue, failure); });
    }
  }

  /** Where a source hears of it a turn later than it happened (abandon, rewind, close), what it has opened since goes with the rest: it would come out of order. */
  private tell(queue: PartitionQueue, failure: Failure): void {
    const since: Entry[] = [];
    for (let index = queue.indexOf(failure.aborted.at(-1)!.batch + 1); index < queue.length; index++) since.push(queue.at(index)!);
    if (since.length > 0) this.abort([since[0]!], failure.error, { node: failure.node, cutAt: undefined }, new Set([queue]));
    queue.source.events.failed(since.length > 0 ? { ...failure, aborted: [...failure.aborted, ...since] } : failure);
  }

  /** What is open of these partitions is over without a word to their source, and their epoch with it. */
  private end(queues: readonly PartitionQueue[], error: Error, node: string): void {
    const silent = new Set(queues);
    for (const queue of queues) {
      // Ties may have dragged it along with an earlier one.
      const first = queue.at(0);
      if (first) this.abort([first], error, { node, cutAt: undefined }, silent);
      else queue.endEpoch(queue.source.nextBatch);
      queue.mixes = 0;
    }
    this.schedule();
  }

  /** Its source gives a partition (all, without a name) up: it was revoked, or somebody seeks. */
  abandon(source: SourceRecord, partition?: string): void {
    const queues = partition === undefined ? [...source.queues.values()] : [source.queues.get(partition)].filter((queue) => queue !== undefined);
    this.end(queues, new TicklakeError("DELIVERY_ABORTED", "The source gave the partition up."), source.id);
  }

  /** A source begins to read a partition. */
  assigned(queue: PartitionQueue, at: LogPosition): void {
    queue.position = at;
    this.news.push(() => { for (const sink of this.sinks.values()) sink.events.assigned?.(at); });
    this.schedule();
  }

  /** Sends the source that reads a partition back. False: there is none, or it reads nothing twice. */
  rewind(at: LogPosition, rewind: Omit<Rewind, "partition">): boolean {
    let found = false;
    for (const source of this.sources.values()) {
      if (!source.events.rewind) continue;
      for (const queue of source.queues.values()) {
        if (!queue.position || !isSamePosition(queue.position, at)) continue;
        found = true;
        let { to } = rewind;
        const end = (): void => {
          // What is aborted by this has to be read again, too, however far the target got.
          const oldest = queue.at(0)?.lineage?.firstOffset;
          if (oldest !== undefined && oldest < to) to = oldest;
          this.end([queue], new TicklakeError("DELIVERY_ABORTED", rewind.reason), rewind.node);
        };
        end();
        this.news.push(() => {
          if (source.closed) return;
          // It may have opened more since, without knowing.
          if (queue.length > 0) end();
          source.events.rewind?.({ ...rewind, to, partition: queue.partition });
        });
      }
    }
    this.schedule();
    return found;
  }

  /** Everything that flows:stopped leaves unfinished fails. */
  failUnparked(isAlive: (node: string) => boolean): void {
    for (const source of this.sources.values()) {
      for (const queue of source.queues.values()) {
        for (let index = 0; index < queue.length; index++) {
          const entry = queue.at(index)!;
          const part = unfinished(entry, isAlive);
          if (!part && entry.isSettled) continue;
          const where = part ? ` in ${this.nameOf(part.node)}` : "";
          this.failLater(undefined, [entry], new TicklakeError("STOPPED", `Flows were stopped while a batch was${where}. It is read again.`), part ? { node: part.node } : {});
          break;
        }
      }
    }
    this.judge();
  }

  closeSource(source: SourceRecord): void {
    if (source.closed) return;
    const queues = [...source.queues.values()];
    this.end(queues, new TicklakeError("STOPPED", `The source was closed.`), source.id);
    for (const queue of queues) {
      queue.waiting.clear();
      for (const sink of this.sinks.values()) sink.positions.delete(queue);
    }
    source.closed = true;
    this.sources.delete(source.instance);
    this.closed.set(source.instance, source);
    if (this.closed.size > MAX_CLOSED_SOURCES) this.closed.delete(this.closed.keys().next().value!);
    this.schedule();
  }

  /** Begins to look after time-outs and hold-ups; ends with the last source. */
  watch(): void {
    if (this.watching) return;
    this.watching = true;
    this.options.time.after(WATCH_INTERVAL_MS, () => {
      this.watching = false;
      if (this.sources.size === 0) return;
      this.watch();
      if (this.running) for (const source of this.sources.values()) this.check(source);
    });
  }

  private check(source: SourceRecord): void {
    this.beforeVerdict();
    const now = this.now();
    for (const { entry, part } of overdueParts(source, now)) {
      const seconds = Math.round((now - part.since) / 1000);
      this.failLater(undefined, [entry], new TicklakeError(
        "DELIVERY_HELD_UP",
        `A batch has been in ${this.nameOf(part.node)} for ${seconds} s. A node must call done for every message; raise deliveryTimeout if it needs longer.`,
        { details: { node: part.node } },
      ), { node: part.node });
    }
    if (!source.full) return;
    const heldUp = heldUpBy(source, now);
    if (heldUp?.node === source.heldUpBy) return;
    source.heldUpBy = heldUp?.node;
    this.news.push(() => { if (!source.closed) source.events.heldUp?.(heldUp); });
    this.schedule();
  }
}

/** Whether the oldest delivery that the sink has not committed could be. A sink that has a commit of it under way waits. */
function isCommittable(sink: SinkRecord, queue: PartitionQueue): boolean {
  const position = sink.positions.get(queue);
  if (!position || position.parked === 0 || position.taken !== undefined) return false;
  if (sink.last) return lastStretch(sink, queue, position) !== undefined;
  return queue.at(queue.indexOf(position.committed + 1))?.isSettled ?? false;
}

function unfinished(entry: Entry, isAlive: (node: string) => boolean): PartRecord | undefined {
  for (const group of entry.groups()) {
    for (const part of group.parts) if (part.busy || (part.waiting && !isAlive(part.node))) return part;
  }
  return undefined;
}

function isSamePosition(one: LogPosition, other: LogPosition): boolean {
  return one.partition === other.partition && one.topic === other.topic && one.group === other.group && one.cluster === other.cluster;
}
