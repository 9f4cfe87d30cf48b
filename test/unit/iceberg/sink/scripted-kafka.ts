import type { Delivery, Failure, Lineage, LogPosition, LogView, Rewind, TargetPosition } from "../../../../lib/delivery/types";
import type { Ledger, LedgerSource } from "../../../../lib/delivery/ledger";
import { TicklakeError } from "../../../../lib/errors";
import { trade, type Row, type TestSink } from "./harness";

export interface Record { readonly id: number; readonly timestamp: number }

/** A topic: per partition, records with ids of their own; what retention removed stays counted. */
export class Topic {
  private partitions: Record[][];
  private readonly first: number[];
  private static made = 0;
  /** No two records are of one time. */
  private clock = 1_700_000_000_000 + 1_000_000 * Topic.made++;

  constructor(readonly cluster = "c1", readonly name = "iex_data", partitions = 1) {
    this.partitions = Array.from({ length: partitions }, () => []);
    this.first = this.partitions.map(() => 0);
  }

  /** Appends trades with ids [from, to). */
  append(from: number, to: number, partition = 0): this {
    for (let id = from; id < to; id++) this.partitions[partition]!.push({ id, timestamp: this.clock++ });
    return this;
  }

  /** Deleted and created again: it counts from 0. */
  recreate(): this {
    this.partitions = this.partitions.map(() => []);
    this.first.fill(0);
    return this;
  }

  /** The same records behind another cluster id. */
  movedTo(cluster: string): Topic {
    const moved = new Topic(cluster, this.name, this.partitions.length);
    moved.partitions = this.partitions.map((records) => [...records]);
    return moved;
  }

  /** Retention removes what is below an offset. */
  retain(from: number, partition = 0): this { this.first[partition] = from; return this; }

  get size(): number { return this.partitions.length; }
  start(partition: number): number { return this.first[partition]!; }
  end(partition: number): number { return this.partitions[partition]!.length; }
  records(partition: number, from: number, to: number): Record[] { return this.partitions[partition]!.slice(from, to); }
  timestampAt(partition: number, offset: bigint): number | undefined {
    return Number(offset) < this.first[partition]! ? undefined : this.partitions[partition]![Number(offset)]?.timestamp;
  }
}

/** A consumer group's offsets: outlives processes. */
export class Group {
  readonly offsets = new Map<number, number>();
  constructor(readonly id = "g1") {}
}

export interface ReaderOptions {
  /** Records a batch. */
  readonly batch?: number;
  /** Which of the topic's partitions are ours. */
  readonly partitions?: readonly number[];
  /** What a flow makes of a record for each sink; undefined filters it. */
  readonly map?: (record: Record, sink: TestSink) => Row | undefined;
  /** Whether it says which partitions it begins to read. */
  readonly announce?: boolean;
  /** Whether sinks can look at the log. */
  readonly view?: boolean;
}

/**
 * A reader of a topic as kafka-in is one: places itself by the group's offsets, sends batches to every sink, commits what is delivered, reads again what
 * failed (cut where it is told), goes back when a table did, and stops a partition whose topic was made anew.
 */
export class Reader {
  readonly delivered: Delivery<number>[] = [];
  readonly failures: Failure<number>[] = [];
  readonly rewinds: Rewind[] = [];
  readonly stopped = new Map<number, TicklakeError>();
  /** Times that sinks looked at the log, and a broker that is down. */
  looks = 0;
  down = false;
  private readonly next = new Map<number, number>();
  private readonly cuts = new Map<number, number>();
  private readonly handle: LedgerSource<number>;
  readonly partitions: readonly number[];

  constructor(ledger: Ledger, readonly topic: Topic, readonly group: Group, private readonly sinks: readonly TestSink[], private readonly options: ReaderOptions = {}) {
    this.partitions = options.partitions ?? Array.from({ length: topic.size }, (_, p) => p);
    this.handle = ledger.openSource<number>(`reader-${topic.cluster}-${group.id}`, { maxInFlight: 1_000_000, maxInFlightBytes: 1e9, deliveryTimeoutMs: 0, caughtIsDone: false }, {
      delivered: (delivery) => {
        this.delivered.push(delivery);
        this.group.offsets.set(Number(delivery.partition), Number(delivery.lineage!.nextOffset));
      },
      failed: (failure) => { this.failed(failure); },
      rewind: (rewind) => {
        this.rewinds.push(rewind);
        const p = Number(rewind.partition), to = Math.min(Number(rewind.to), this.group.offsets.get(p) ?? 0);
        this.group.offsets.set(p, to);
        this.place(p, to);
      },
    });
    for (const p of this.partitions) {
      this.place(p, group.offsets.get(p) ?? 0);
      if (options.announce !== false) this.handle.assigned(String(p), this.at(p));
    }
  }

  at(partition = 0): LogPosition { return { cluster: this.topic.cluster, group: this.group.id, topic: this.topic.name, partition }; }
  positions(partition = 0): Promise<TargetPosition[]> { return this.handle.positions(this.at(partition)); }
  close(): void { this.handle.close(); }

  /** What a seek does: aborts what is open, forgets where asked to, and goes there. */
  async seek(partition: number, offset: number, forget = false): Promise<string[]> {
    this.handle.abort(String(partition));
    const forgot = forget ? await this.handle.forget(this.at(partition)) : [];
    this.group.offsets.set(partition, offset);
    this.stopped.delete(partition);
    this.place(partition, offset);
    return forgot;
  }

  /** A rebalance takes the partition. */
  revoke(partition: number): void { this.handle.abort(String(partition)); this.next.delete(partition); }

  /** Reads all that is there, up to `to`. */
  read(to = Infinity): void {
    for (const p of this.partitions) while (this.next.has(p) && !this.stopped.has(p) && this.next.get(p)! < Math.min(to, this.topic.end(p))) this.send(p, Math.min(to, this.topic.end(p)));
  }

  /** Reads and has everything committed until every partition is read to its end or stopped. */
  async run(): Promise<void> {
    const until = Date.now() + 15_000;
    while (!this.partitions.every((p) => this.stopped.has(p) || (this.group.offsets.get(p) ?? 0) >= this.topic.end(p))) {
      if (Date.now() > until) throw new Error(`stuck: ${JSON.stringify([...this.group.offsets])} of ${this.partitions.map((p) => this.topic.end(p)).join()}, ${this.failures.map(({ error }) => error.message).join("; ")}`);
      this.read();
      await Promise.all(this.sinks.map((sink) => sink.sink.flush()));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  private place(partition: number, offset: number): void { this.next.set(partition, Math.max(offset, this.topic.start(partition))); }

  private send(p: number, limit: number): void {
    const from = this.next.get(p)!;
    let to = Math.min(from + (this.options.batch ?? 10), limit);
    const cut = this.cuts.get(p);
    if (cut !== undefined && cut > from) to = Math.min(to, cut);
    this.next.set(p, to);
    const records = this.topic.records(p, from, to);
    const lineage: Lineage = {
      ...this.at(p), firstOffset: BigInt(from), lastOffset: BigInt(to - 1), lastTimestamp: records.at(-1)!.timestamp, nextOffset: BigInt(to),
      ...(this.options.view === false ? {} : { log: this.view(p) }),
    };
    const delivery = this.handle.open({ partition: String(p), records: to - from, bytes: 100 * (to - from), lineage, context: from });
    for (const sink of this.sinks) {
      const rows = records.map((record) => (this.options.map ?? ((one) => trade(one.id)))(record, sink)).filter((row) => row !== undefined);
      if (rows.length > 0) sink.receive(rows, delivery.token);
    }
    this.handle.release(delivery);
  }

  private failed(failure: Failure<number>): void {
    this.failures.push(failure);
    const p = Number(failure.partition);
    if (failure.error instanceof TicklakeError && failure.error.code === "TOPIC_REPLACED") { this.stopped.set(p, failure.error); return; }
    this.place(p, failure.aborted[0]!.context);
    if (failure.cutAt !== undefined) this.cuts.set(p, Number(failure.cutAt));
  }

  private view(partition: number): LogView {
    const ask = async <T>(answer: () => T): Promise<T> => {
      await Promise.resolve();
      this.looks++;
      if (this.down) throw new TicklakeError("KAFKA_UNREACHABLE", "No broker answers.");
      return answer();
    };
    return {
      end: () => ask(() => BigInt(this.topic.end(partition))),
      timestampAt: (offset) => ask(() => this.topic.timestampAt(partition, offset)),
    };
  }
}
