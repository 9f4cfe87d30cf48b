import { TicklakeError } from "../../../lib/errors";
import type { LedgerSource } from "../../../lib/delivery/ledger";
import { parseKafkaInConfig } from "../../../lib/kafka/source/config";
import type { BatchContext, OutgoingBatch } from "../../../lib/kafka/source/contract";
import type { KafkaRecord } from "../../../lib/kafka/source/decode";
import { KafkaSource } from "../../../lib/kafka/source/source";
import type { ConsumerEvents, KafkaAdmin, KafkaClient, KafkaConsumer, PartitionOffset, TopicPartition } from "../../../lib/kafka/types";
import type { LazyPayload } from "../../../lib/trades/lazy";
import { recordSet, type SetRecord } from "../../support/record-sets";
import { World, type Row, type SimNode } from "../delivery/world";

export const keyOf = ({ topic, partition }: TopicPartition): string => `${topic}/${partition}`;

/** A cluster without brokers: logs, group offsets and everything that can be asked, told by the test. Group offsets outlive a process. */
export class ScriptedCluster {
  readonly logs = new Map<string, { earliest: number; records: { value: string | null; offset: number; timestamp: number }[]; end: number }>();
  readonly committed = new Map<string, bigint>();
  /** Every commit, in order, by group. */
  readonly commits: { key: string; offset: bigint }[] = [];
  /** Every call of the admin fails while set. */
  down: Error | undefined;

  topic(topic: string, partitions: number): void {
    for (let partition = 0; partition < partitions; partition++) if (!this.logs.has(`${topic}/${partition}`)) this.logs.set(`${topic}/${partition}`, { earliest: 0, records: [], end: 0 });
  }

  partitions(topic: string): number { return [...this.logs.keys()].filter((key) => key.startsWith(`${topic}/`)).length; }

  append(key: string, value: string | null, timestamp = 1_700_000_000_000): void {
    const log = this.logs.get(key)!;
    log.records.push({ value, offset: log.end++, timestamp });
  }

  /** Offsets that hold nothing to show (control records). */
  gap(key: string, count: number): void { this.logs.get(key)!.end += count; }

  readonly admin = {
    clusterId: () => this.ask(() => "cluster"),
    describeTopic: (name: string) => this.ask(() => (this.partitions(name) === 0 ? undefined : { name, partitions: this.partitions(name), replicationFactor: 1, internal: false })),
    committed: (_group: string, at: readonly TopicPartition[]) => this.ask(() => at.map((one) => this.committed.get(keyOf(one)))),
    earliest: (at: readonly TopicPartition[]) => this.ask(() => at.map((one) => BigInt(this.logs.get(keyOf(one))!.earliest))),
    end: (at: readonly TopicPartition[]) => this.ask(() => at.map((one) => BigInt(this.logs.get(keyOf(one))!.end))),
    offsetsAt: (at: readonly TopicPartition[], timestamp: number) => this.ask(() => at.map((one) => {
      const log = this.logs.get(keyOf(one))!;
      return BigInt(log.records.find((record) => record.timestamp >= timestamp)?.offset ?? log.end);
    })),
    timestampAt: (at: PartitionOffset) => this.ask(() => this.logs.get(keyOf(at))!.records.find((record) => BigInt(record.offset) === at.offset)?.timestamp),
  } as unknown as KafkaAdmin;

  private async ask<T>(answer: () => T): Promise<T> {
    if (this.down) throw this.down;
    return answer();
  }
}

/** A member of a group that does what the test says: it fetches what is positioned and not paused, a chunk per turn. */
export class ScriptedConsumer implements KafkaConsumer {
  assignment: TopicPartition[] = [];
  membership = undefined;
  started = false;
  stopped = false;
  private readonly positions = new Map<string, number>();
  private readonly paused = new Set<string>();
  private readonly stale = new Set<string>();
  /** How many records a fetch brings. */
  chunk = 7;
  /** And how often there is one, ms. */
  fetchMs = 3;
  /** Commits fail while set. */
  refuse: TicklakeError | undefined;
  /** A commit takes so long. */
  commitMs = 1;

  constructor(private readonly world: World, private readonly cluster: ScriptedCluster, readonly events: ConsumerEvents) {}

  start(): void {
    this.started = true;
    this.events.state("running");
    this.fetch();
  }

  assign(...partitions: TopicPartition[]): void {
    this.assignment.push(...partitions);
    this.events.assigned(partitions);
  }

  async rebalance(next: readonly TopicPartition[]): Promise<void> {
    await this.events.rebalancing?.();
    const keep = new Set(next.map(keyOf)), had = new Set(this.assignment.map(keyOf));
    const gone = this.assignment.filter((one) => !keep.has(keyOf(one))), fresh = next.filter((one) => !had.has(keyOf(one)));
    this.assignment = [...next];
    for (const one of gone) { this.positions.delete(keyOf(one)); this.paused.delete(keyOf(one)); }
    if (gone.length > 0) await this.events.revoked(gone, false);
    if (fresh.length > 0) this.events.assigned(fresh);
  }

  lose(...partitions: TopicPartition[]): void {
    const keys = new Set(partitions.map(keyOf));
    this.assignment = this.assignment.filter((one) => !keys.has(keyOf(one)));
    for (const key of keys) this.positions.delete(key);
    void this.events.revoked(partitions, true);
  }

  /** Reading was interrupted: nothing is fetched until somebody seeks. */
  interrupt(at: TopicPartition): void {
    this.stale.add(keyOf(at));
    this.events.interrupted?.({ ...at, offset: BigInt(this.positions.get(keyOf(at))!) });
  }

  seek(at: PartitionOffset): void {
    if (!this.assignment.some((one) => keyOf(one) === keyOf(at))) return;
    this.positions.set(keyOf(at), Number(at.offset));
    this.stale.delete(keyOf(at));
  }

  pause(partitions: readonly TopicPartition[]): void { for (const one of partitions) this.paused.add(keyOf(one)); }
  resume(partitions: readonly TopicPartition[]): void { for (const one of partitions) this.paused.delete(keyOf(one)); }
  isPaused(key: string): boolean { return this.paused.has(key); }
  position(key: string): number | undefined { return this.positions.get(key); }

  async commit(offsets: readonly PartitionOffset[], signal?: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => { this.world.loop.at(this.commitMs, resolve); });
    if (signal?.aborted) throw new TicklakeError("STOPPED", "stopped");
    if (this.refuse) throw this.refuse;
    const ours = new Set(this.assignment.map(keyOf));
    if (offsets.some((one) => !ours.has(keyOf(one)))) throw new TicklakeError("KAFKA_NOT_ASSIGNED", "not ours");
    for (const one of offsets) {
      this.cluster.committed.set(keyOf(one), one.offset);
      this.cluster.commits.push({ key: keyOf(one), offset: one.offset });
    }
  }

  async committed(partitions: readonly TopicPartition[]): Promise<(bigint | undefined)[]> {
    if (this.cluster.down) throw this.cluster.down;
    return partitions.map((one) => this.cluster.committed.get(keyOf(one)));
  }

  async stop(): Promise<void> { this.stopped = true; this.assignment = []; }

  private fetch(): void {
    if (this.stopped) return;
    this.world.loop.at(this.fetchMs, () => this.fetch());
    for (const one of [...this.assignment]) {
      const key = keyOf(one), position = this.positions.get(key), log = this.cluster.logs.get(key);
      if (position === undefined || this.paused.has(key) || !log || this.stale.has(key)) continue;
      if (position < log.earliest || position > log.end) {
        this.stale.add(key);
        this.events.outOfRange({ ...one, offset: BigInt(position) }, { earliest: BigInt(log.earliest), end: BigInt(log.end) });
        continue;
      }
      this.events.end({ ...one, offset: BigInt(log.end) });
      const found = log.records.filter((record) => record.offset >= position).slice(0, this.chunk);
      if (found.length === 0) {
        if (position < log.end) {
          this.positions.set(key, log.end);
          this.events.advanced?.({ ...one, offset: BigInt(log.end) });
        }
        continue;
      }
      const base = found[0]!.offset;
      const set = recordSet(found.map(({ value, offset }): SetRecord => ({ value, offset: offset - base })), { ...one, baseOffset: BigInt(base) });
      this.positions.set(key, Number(set.nextOffset));
      this.events.records(set);
    }
  }
}

export type Taker = (records: readonly KafkaRecord[], send: (records: readonly KafkaRecord[]) => void, done: (error?: Error) => void) => void;

/** kafka-in without Node-RED: a real ledger, scripted logs, and a flow of one node that the test plays (and what is wired behind it). */
export class SourceWorld {
  readonly errors: TicklakeError[] = [];
  readonly warnings: string[] = [];
  readonly letters: { value: unknown; reason: string; attempts: number; offset: number | string }[] = [];
  /** The node on output 2. */
  letterNode: (done: (error?: Error) => void) => void = (done) => done();
  /** The node on output 1; what it sends goes on to `behind`. */
  take: Taker = (_records, _send, done) => done();
  readonly taken: KafkaRecord[][] = [];
  readonly out: SimNode;
  source!: KafkaSource;
  consumer!: ScriptedConsumer;
  handle!: LedgerSource<BatchContext>;
  sending = false;
  wired = true;
  private readonly ports: [SimNode, SimNode];

  constructor(readonly world: World, readonly cluster: ScriptedCluster, private readonly config: Record<string, unknown> = {}, behind: SimNode[] = []) {
    this.out = world.node("out", (message, send, done) => {
      const list = message.payload as unknown as KafkaRecord[];
      this.taken.push(list);
      this.take(list, (records) => send({ ...message, payload: records as unknown as Row[] }), done);
    });
    this.out.wires = behind;
    const letters = world.node("letters", (message, _send, done) => {
      this.letterNode((error) => {
        if (!error) {
          const { payload, reason, attempts } = message as unknown as { payload: KafkaRecord; reason: string; attempts: number };
          this.letters.push({ value: payload.value, reason, attempts, offset: payload.offset });
        }
        done(error);
      });
    });
    const port = (wire: SimNode): SimNode => ({ id: "in", type: "kafka-in", wires: [wire], handler: () => {}, completes: true });
    this.ports = [port(this.out), port(letters)];
    this.open();
  }

  /** A new process (call world.boot() before) or a new deployment. */
  open(): void {
    const { world } = this;
    this.handle = world.ledger.openSource<BatchContext>("in", {
      maxInFlight: Number(this.config["maxInFlight"] ?? 500_000), maxInFlightBytes: Number(this.config["maxInFlightBytes"] ?? 1e9),
      deliveryTimeoutMs: Number(this.config["deliveryTimeoutMs"] ?? 0), caughtIsDone: false,
    }, {
      delivered: (delivery) => this.source.delivered(delivery),
      failed: (failure) => this.source.failed(failure),
      room: () => this.source.room(),
      heldUp: (holdUp) => this.source.heldUp(holdUp),
      rewind: (rewind) => this.source.rewind(rewind),
    });
    const { handle } = this;
    const out = (delivery: { readonly token: string }, batch: OutgoingBatch): void => {
      const [first, second] = this.ports;
      if (batch.records) {
        const payload = Array.isArray(batch.records) ? batch.records : (batch.records as LazyPayload).materialise();
        world.send(first, world.message(payload as Row[], { delivery: delivery.token, kafka: batch.place }));
      }
      for (const { record, reason, attempts } of batch.deadLetters) world.send(second, world.message(record as unknown as Row[], { delivery: delivery.token, reason, attempts }));
    };
    const state = () => this.sending;
    const wired = () => this.wired;
    this.source = new KafkaSource(parseKafkaInConfig({ topics: "t", groupId: "g", startingOffsets: "earliest", ...this.config }), {
      client: { admin: this.cluster.admin, consumer: (_options: unknown, events: ConsumerEvents) => this.consumer = new ScriptedConsumer(world, this.cluster, events) } as unknown as KafkaClient,
      port: {
        get sending() { return state(); },
        get deadLettersWired() { return wired(); },
        hasRoom: () => handle.hasRoom(),
        send: (spec, batch) => {
          const delivery = handle.open(spec);
          out(delivery, batch);
          handle.release(delivery);
          return delivery;
        },
        hold: (spec) => {
          const delivery = handle.open(spec);
          return {
            delivery,
            send: (batch) => { out(delivery, batch); handle.release(delivery); },
            fail: (error) => { handle.fail(delivery, error); handle.release(delivery); },
          };
        },
        abort: (partition) => handle.abort(partition),
        press: () => handle.press(),
        drain: () => new Promise((resolve) => { world.loop.at(20, resolve); }),
        offsetsCommittedBySink: (partition) => handle.offsetsCommittedBySink(partition),
        assigned: (partition, at) => handle.assigned(partition, at),
        openPartitions: () => handle.openPartitions(),
        positions: (at) => handle.positions(at),
        forget: (at) => handle.forget(at),
        stats: () => handle.stats(),
      },
      clock: { now: () => world.loop.now, after: (ms, callback) => world.loop.at(ms, callback), later: (callback) => { world.loop.at(0, callback); } },
      news: { error: (error) => this.errors.push(error), warn: (text) => this.warnings.push(text), changed: () => undefined },
      onFailure: (this.config["onFailure"] as "retry") ?? "retry", maxAttempts: Number(this.config["maxAttempts"] ?? 3),
      nodeName: (id) => `node ${id}`, random: world.random,
    });
  }

  start(...partitions: number[]): this {
    this.sending = true;
    this.world.ledger.started();
    this.source.start();
    this.world.loop.at(1, () => this.consumer.assign(...partitions.map((partition) => ({ topic: "t", partition }))));
    return this;
  }

  /** A full deploy stops the flows; the source lives on. */
  stopFlows(): void {
    this.sending = false;
    this.world.ledger.stopping();
    this.world.ledger.stopped();
  }

  startFlows(): void {
    this.sending = true;
    this.world.ledger.started();
    this.source.start();
  }

  /** Runs the event loop, promises included, until it holds or the clock has gone so far. */
  async run(until: () => boolean, ms = 60_000): Promise<boolean> {
    const limit = this.world.loop.now + ms;
    for (let idle = 0; idle < 3;) {
      if (until()) return true;
      let ran = 0;
      this.world.loop.run(() => ran++ > 0, limit);
      if (ran === 1) idle++;
      else idle = 0;
      await null; await null; await null;
      if (ran === 1) await new Promise((resolve) => { setImmediate(resolve); });
    }
    return until();
  }

  /** Lets so much time pass. */
  async pass(ms: number): Promise<void> {
    let over = false;
    this.world.loop.at(ms, () => { over = true; });
    await this.run(() => over, ms + 1);
  }

  committed(partition = 0): number { return Number(this.cluster.committed.get(`t/${partition}`) ?? -1); }
}

/** What test records hold: {"n": 1}. */
export const numberOf = (record: KafkaRecord): number => (record.value as { n: number }).n;
