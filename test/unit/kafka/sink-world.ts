import { executionAsyncId } from "node:async_hooks";
import type { Message } from "../../../lib/delivery/ledger";
import { Ledger } from "../../../lib/delivery/ledger";
import type { Delivery, Failure, Part, SinkEvents } from "../../../lib/delivery/types";
import { TicklakeError } from "../../../lib/errors";
import { decodeRecords } from "../../../lib/kafka/records/decode";
import { openKafkaSink } from "../../../lib/kafka/sink";
import type { KafkaSink, KafkaSinkResult } from "../../../lib/kafka/sink/contract";
import { parseKafkaSinkOptions } from "../../../lib/kafka/sink/options";
import { TransactionRegistry } from "../../../lib/kafka/sink/transactional-sink";
import { pause } from "../../../lib/retry";
import type { KafkaAdmin, KafkaClient, KafkaProducer, PartitionOffset, Produced, RecordBatch, TopicPartition, TransactionalProducer } from "../../../lib/kafka/types";

export interface Stored { readonly key: string | null; readonly value: string | null; readonly headers: Record<string, string>; readonly timestamp: number; state: "committed" | "pending" | "aborted" }

export type Operation = "describe" | "create" | "limit" | "send" | "init" | "begin" | "sendOffsets" | "commit" | "abort" | "committed";

/** A Kafka in memory, with transactions, fencing and committed offsets. `before` may delay an operation or make it fail. */
export class MemoryKafka {
  readonly topics = new Map<string, { log: Stored[][]; replicationFactor: number; maxMessageBytes: number | undefined }>();
  readonly offsets = new Map<string, bigint>();
  readonly calls: string[] = [];
  before: (operation: Operation, what: string) => Promise<void> | void = () => { /* goes through */ };
  /** After a send was written: an error here is an answer that was lost. */
  after: (operation: Operation, what: string) => Promise<void> | void = () => { /* answered */ };
  readonly epochs = new Map<string, number>();
  clusterId = "c";

  topic(name: string, partitions = 1, maxMessageBytes: number | undefined = 1_048_588): this {
    this.topics.set(name, { log: Array.from({ length: partitions }, () => []), replicationFactor: 1, maxMessageBytes });
    return this;
  }

  /** What a reader of committed records sees, all partitions. */
  visible(topic: string): Stored[] { return this.topics.get(topic)!.log.flat().filter((record) => record.state === "committed"); }
  values(topic: string): (string | null)[] { return this.visible(topic).map((record) => record.value); }

  async run(operation: Operation, what: string): Promise<void> {
    this.calls.push(`${operation} ${what}`);
    await this.before(operation, what);
  }

  async append(to: TopicPartition, batch: RecordBatch, state: Stored["state"]): Promise<{ produced: Produced; stored: Stored[] }> {
    const topic = this.topics.get(to.topic);
    const log = topic?.log[to.partition];
    if (!log) throw new TicklakeError("KAFKA_TOPIC_UNKNOWN", `no ${to.topic}/${to.partition}`);
    const bytes = await batch.encode({ compression: "none" });
    const { set } = await decodeRecords(Buffer.from(bytes), { ...to, position: 0n, abortedTransactions: [] });
    const baseOffset = BigInt(log.length);
    const stored: Stored[] = [];
    for (let k = 0; k < set!.count; k++) {
      const headers = set!.headers(k) ?? {};
      stored.push({
        key: set!.key(k)?.toString() ?? null, value: set!.value(k)?.toString() ?? null, timestamp: set!.timestamps[k]!, state,
        headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value as Buffer)])),
      });
    }
    log.push(...stored);
    return { produced: { ...to, baseOffset, count: batch.count }, stored };
  }

  client(): KafkaClient {
    const admin = {
      clusterId: () => Promise.resolve(this.clusterId),
      describeTopic: async (name: string) => {
        await this.run("describe", name);
        const topic = this.topics.get(name);
        return topic && { name, partitions: topic.log.length, replicationFactor: topic.replicationFactor, internal: false };
      },
      createTopic: async ({ name, partitions }: { name: string; partitions: number }) => {
        await this.run("create", name);
        if (this.topics.has(name)) return false;
        this.topic(name, partitions);
        return true;
      },
      maxMessageBytes: async (name: string) => {
        await this.run("limit", name);
        return this.topics.get(name)?.maxMessageBytes;
      },
      committed: async (group: string, at: readonly TopicPartition[]) => {
        await this.run("committed", group);
        return at.map(({ topic, partition }) => this.offsets.get(`${group}/${topic}/${partition}`));
      },
    } as unknown as KafkaAdmin;
    return {
      admin,
      producer: (): KafkaProducer => ({
        send: async (to, batch, signal) => {
          await this.run("send", `${to.topic}/${to.partition}`);
          if (signal?.aborted) throw new TicklakeError("STOPPED", "stopped");
          const { produced } = await this.append(to, batch, "committed");
          await this.after("send", `${to.topic}/${to.partition}`);
          return produced;
        },
        close: () => Promise.resolve(),
      }),
      transactional: ({ transactionalId }): TransactionalProducer => this.transactional(transactionalId),
      consumer: () => { throw new Error("none here"); },
      readOnce: () => { throw new Error("none here"); },
      close: () => Promise.resolve(),
    };
  }

  /** Open transactions: what a new owner ends. */
  private readonly open = new Map<string, Stored[]>();

  private transactional(id: string): TransactionalProducer {
    let epoch = -1;
    let offsets: [string, bigint][] = [];
    const check = (): void => { if (this.epochs.get(id) !== epoch) throw new TicklakeError("KAFKA_FENCED", `${id} is somebody else's`); };
    const end = (state: "committed" | "aborted"): void => {
      for (const record of this.open.get(id) ?? []) record.state = state;
      this.open.delete(id);
      if (state === "committed") for (const [key, offset] of offsets) this.offsets.set(key, offset);
      offsets = [];
    };
    return {
      init: async () => {
        await this.run("init", id);
        end("aborted");
        epoch = (this.epochs.get(id) ?? -1) + 1;
        this.epochs.set(id, epoch);
      },
      begin: () => { this.calls.push(`begin ${id}`); },
      send: async (to, batch) => {
        await this.run("send", `${to.topic}/${to.partition}`);
        check();
        const { produced, stored } = await this.append(to, batch, "pending");
        this.open.set(id, [...this.open.get(id) ?? [], ...stored]);
        return produced;
      },
      sendOffsets: async ({ groupId }, at: readonly PartitionOffset[]) => {
        await this.run("sendOffsets", id);
        check();
        offsets = at.map(({ topic, partition, offset }) => [`${groupId}/${topic}/${partition}`, offset]);
      },
      commit: async () => {
        await this.run("commit", id);
        check();
        end("committed");
        await this.after("commit", id);
      },
      abort: async () => {
        await this.run("abort", id);
        check();
        end("aborted");
      },
      close: () => Promise.resolve(),
    };
  }
}

/** As the adapter counts turns: promise continuations belong to the callback before them. */
function turns(): () => number {
  let last = 0, turn = 1;
  return () => {
    const id = executionAsyncId();
    if (id !== 0 && id !== last) { last = id; turn++; }
    return turn;
  };
}

/** One process: a ledger, sinks, and readers of a log, on a Kafka in memory or a real one. */
export class Process<K extends { client(): KafkaClient; readonly offsets?: ReadonlyMap<string, bigint> } = MemoryKafka> {
  readonly errors: unknown[] = [];
  readonly ledger = new Ledger({
    processId: Math.random().toString(36).slice(2), turn: turns(), unprotected: () => { /* not judged here */ }, onError: (error) => this.errors.push(error),
    time: { now: Date.now, after: (ms, run) => { const timer = setTimeout(run, ms); return () => clearTimeout(timer); }, later: (run) => setImmediate(run) },
  });
  readonly registry = new TransactionRegistry();
  /** Killed: nothing of it happens any more. */
  dead = false;

  constructor(readonly kafka: K) { this.ledger.started(); }

  sink(id: string, properties: Record<string, unknown>, more: { now?: () => number; pause?: typeof pause } = {}): TestSink { return new TestSink(this, id, properties, more); }
}

type AnyProcess = Process<{ client(): KafkaClient; readonly offsets?: ReadonlyMap<string, bigint> }>;

export interface Ended { readonly error?: Error | undefined }

export class TestSink {
  readonly node: { id: string; type: string };
  readonly results: KafkaSinkResult[] = [];
  readonly log: string[] = [];
  readonly failures: TicklakeError[] = [];
  readonly warnings: string[] = [];
  readonly retries: Error[] = [];
  readonly unwritten: string[] = [];
  readonly handle;
  readonly sink: KafkaSink;

  constructor(readonly process: AnyProcess, id: string, properties: Record<string, unknown>, more: { now?: () => number; pause?: typeof pause } = {}) {
    this.node = { id, type: "kafka-out" };
    const events: SinkEvents = { settled: () => { this.sink.settled(); }, aborted: (parts) => { this.sink.aborted(parts); }, ...(properties["transactional"] ? { commitsOffsets: true } : {}) };
    this.handle = process.ledger.openSink(id, events);
    this.sink = openKafkaSink({
      client: process.kafka.client(), options: parseKafkaSinkOptions(properties, id, ["none", "gzip", "snappy", "lz4"]), ledger: this.handle, name: `node ${id}`, random: () => 0, pause: (ms, signal) => pause(Math.min(ms, 3), signal), registry: process.registry, ...more,
      events: {
        acked: (result, part) => { this.results.push(result); this.log.push(`result ${result.count} (${part.state})`); },
        unwritten: (topic) => { this.unwritten.push(topic); },
        retrying: (error) => { this.retries.push(error); }, failed: (error) => { this.failures.push(error as TicklakeError); }, warn: (text) => { this.warnings.push(text); }, changed: () => { /* counted elsewhere */ },
      },
    });
  }

  /** A message as Node-RED hands it over; resolves when it is done. */
  send(payload: unknown, topic = "out", more: object = {}): Promise<Ended> {
    return new Promise((resolve) => {
      const message = { _msgid: "m", payload, ...more };
      const part = this.handle.accept(message as Message, (error?: Error) => { this.log.push(error ? `failed ${(error as TicklakeError).code}` : "done"); resolve({ error }); });
      this.sink.add(message, topic, part);
    });
  }

  /** A message of no delivery. */
  part(payload: unknown, topic = "out"): Part {
    const part = this.handle.accept({ _msgid: "m" });
    this.sink.add({ payload }, topic, part);
    return part;
  }

  /** A message of a delivery arrives. */
  receive(message: Message & { payload: unknown }, topic = "out"): Part {
    this.process.ledger.received(message, this.node);
    const part = this.handle.accept(message);
    if (part.state === "held") this.sink.add(message, topic, part);
    this.process.ledger.returned(message, this.node, true);
    return part;
  }
}

/** Reads a partition of an input log as kafka-in does: batches with lineage, read again after failures, from the group's committed offset at first. */
export class Reader {
  readonly delivered: Delivery[] = [];
  readonly failed: Failure[] = [];
  /** What failed is read again. */
  repeats = true;
  private position = 0;
  private cut: number | undefined;
  private stopped = false;
  private readonly source;
  /** A commit of its own that is under way. */
  committing: Promise<void> = Promise.resolve();

  constructor(private readonly process: AnyProcess, private readonly input: { cluster?: string; group: string; topic: string; partition: number; values: unknown[]; batch: number }, private readonly to: (message: Message & { payload: unknown }) => void,
    private readonly nodes: { id: string; type: string }[], id = "reader") {
    this.source = process.ledger.openSource(id, { maxInFlight: 1_000_000, maxInFlightBytes: 1e9, deliveryTimeoutMs: 0, caughtIsDone: false }, {
      delivered: (delivery) => { this.delivered.push(delivery); },
      offsetsAtRest: () => this.committing,
      failed: (failure) => {
        this.failed.push(failure);
        if (this.stopped || process.dead || !this.repeats) return;
        const first = failure.aborted[0]!;
        this.position = Number(first.lineage!.firstOffset);
        this.cut = failure.cutAt === undefined ? undefined : Number(failure.cutAt);
        setTimeout(() => { this.pump(); }, 1);
      },
    });
  }

  private get key(): string { return `${this.input.group}/${this.input.topic}/${this.input.partition}`; }

  start(): void {
    this.position = Number(this.process.kafka.offsets?.get(this.key) ?? 0n);
    this.pump();
  }

  /** As somebody who does not know of the committed offset (it was read before another process committed). */
  startAt(position: number): void { this.position = position; this.pump(); }

  /** More comes into the log. */
  more(values: readonly unknown[]): void { this.input.values.push(...values); this.pump(); }

  stop(): void { this.stopped = true; this.source.close(); }

  private pump(): void {
    const { cluster = "c", group, topic, partition, values, batch } = this.input;
    while (!this.stopped && !this.process.dead && this.position < values.length) {
      const from = this.position, to = Math.min(values.length, this.cut !== undefined && this.cut > from ? this.cut : from + batch);
      this.cut = undefined;
      this.position = to;
      const delivery = this.source.open({
        partition: `${topic}/${partition}`, records: to - from, bytes: 100, context: undefined,
        lineage: {
          cluster, group, topic, partition, firstOffset: BigInt(from), lastOffset: BigInt(to - 1), lastTimestamp: 1, nextOffset: BigInt(to),
          log: { end: () => Promise.resolve(BigInt(values.length)), timestampAt: () => Promise.resolve(undefined) },
        },
      });
      for (const node of this.nodes) {
        const message = { _msgid: `m${from}`, payload: values.slice(from, to), delivery: delivery.token, node: node.id };
        this.process.ledger.sent(message, { id: "reader", type: "kafka-in" }, node);
        setImmediate(() => { if (!this.process.dead) this.to(message); });
      }
      this.source.release(delivery);
    }
  }
}

/** Waits until a condition holds. */
export async function until(condition: () => boolean, what = "the condition", ms = 5000): Promise<void> {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`${what} did not come true within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
