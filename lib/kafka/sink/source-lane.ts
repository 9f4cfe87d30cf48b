import { epochOf } from "../../delivery/token";
import type { Delivery, Lineage, LogPosition, Part, Run } from "../../delivery/types";
import { asTicklakeError, TicklakeError } from "../../errors";
import { backoffMs, retrying } from "../../retry";
import type { Compression, KafkaAdmin, TransactionalProducer } from "../types";
import type { Entry } from "./entry";
import type { Intake } from "./intake";
import { dispatch, Lane } from "./lane";
import { stoppable } from "./stoppable";
import { checkSizes, type TopicInfo, type Topics } from "./topics";

export interface SourceLaneDeps {
  /** The partition of the log that is read; undefined for sources that have none: then transactions carry no offset. */
  readonly position: Lineage | undefined;
  readonly transactionalId: string;
  readonly producer: TransactionalProducer;
  readonly admin: KafkaAdmin;
  readonly topics: Topics;
  readonly intake: Intake;
  readonly compression: Compression;
  readonly signal: AbortSignal;
  /** How people know this sink. */
  readonly name: string;
  /** The source of a delivery commits no offset any more that it began to commit before this sink was there. */
  readonly offsetsAtRest: (delivery: Delivery) => Promise<void>;
  /** The transaction of a run is durable. */
  readonly committed: (run: Run) => void;
}

/** Kinds of errors after which the same records may go through. */
const MENDS_ITSELF: ReadonlySet<string> = new Set(["KAFKA_UNREACHABLE", "KAFKA_FAILED"]);

/** What is left of a transaction in which something failed is not sent. */
const HALTED = new TicklakeError("DELIVERY_ABORTED", "The transaction is aborted.");

/** The transactions of one source partition, one after the other. */
export class SourceLane {
  /** What the group has committed: below it everything is in the topics. */
  watermark: bigint | undefined;
  /** Its producer is of no use any more (another process owns the transactional id, or aborting failed): the next message needs another lane. */
  dead = false;
  #epoch: string | undefined;
  #initialised = false;
  #attempts = 0;
  #chain: Promise<unknown> = Promise.resolve();
  /** What is in the chain. */
  #pending = 0;
  #oneCluster = false;
  /** Messages without delivery: they may go at any time. */
  #loose: Entry[] = [];
  #keyless = Math.floor(Math.random() * 1000);
  readonly #written = new Set<string>();

  constructor(private readonly deps: SourceLaneDeps) {}

  /** Topics that it wrote to, for people. */
  get targets(): string { return `topic ${[...this.#written].sort().join(", ") || "?"}`; }

  isOf(at: LogPosition): boolean {
    const { position } = this.deps;
    return position !== undefined && position.cluster === at.cluster && position.group === at.group && position.topic === at.topic && position.partition === at.partition;
  }

  forget(): void { this.#epoch = undefined; }

  /** A message was parked. The first of an epoch makes the lane ready; what is in the topics already is done at once. */
  arrived(entry: Entry): void {
    this.#written.add(entry.topic);
    const first = entry.part.deliveries[0];
    if (!first) {
      this.#loose.push(entry);
      if (this.#loose.length === 1) void this.#then(() => this.#commitLoose());
    } else if (epochOf(first.token) === this.#epoch) {
      this.#compare(entry);
    } else if (first.lineage) {
      const { lineage } = first;
      void this.#then(async () => {
        if (!entry.wanted) return;
        await this.#ready(first, lineage);
        this.#compare(entry);
      }).catch((caught: unknown) => { this.deps.intake.fail(entry, this.#refused(caught)); });
    }
  }

  /**
   * Writes a run and its offset in one transaction and completes its messages.
   *
   * @returns false when it was not committed: its messages have failed, or were aborted, or come again in another run. Never rejects.
   */
  commit(run: Run, entries: readonly Entry[]): Promise<boolean> {
    return this.#then(async () => {
      try {
        return await this.#commit(run, entries);
      } catch (caught) {
        const error = this.#refused(caught);
        for (const entry of entries) this.deps.intake.fail(entry, error);
        return false;
      }
    });
  }

  /** Something is under way. */
  get busy(): boolean { return this.#pending > 0; }

  /** Resolves when what is under way now is over. */
  idle(): Promise<unknown> { return this.#chain; }

  /** After its signal was aborted: nothing of it waits for a broker any more. */
  async close(): Promise<void> {
    await this.#chain.catch(() => undefined);
    await this.deps.producer.close();
  }

  /** One thing after the other. */
  #then<T>(work: () => Promise<T>): Promise<T> {
    this.#pending++;
    const result = this.#chain.then(work).finally(() => { this.#pending--; });
    this.#chain = result.catch(() => undefined);
    return result;
  }

  #refused(caught: unknown): TicklakeError {
    const error = asTicklakeError(caught, "KAFKA_FAILED");
    if (error.code === "KAFKA_FENCED" || error.code === "INTERNAL") this.dead = true;
    return error;
  }

  /** Initialises the producer for an epoch, which fences whoever wrote for this partition before, and reads how far he came. */
  async #ready(delivery: Delivery | undefined, lineage: Lineage | undefined): Promise<void> {
    const epoch = delivery ? epochOf(delivery.token) : "";
    if (this.#epoch === epoch) return;
    const { producer, admin, signal } = this.deps;
    if (delivery) await stoppable(signal, () => this.deps.offsetsAtRest(delivery));
    if (lineage) await this.#isOneCluster(lineage);
    await producer.init(signal);
    this.#initialised = true;
    if (lineage) {
      const { group, topic, partition, log } = lineage;
      const [committed] = await this.#ask(() => admin.committed(group, [{ topic, partition }]));
      const end = committed !== undefined && log ? await this.#ask(() => log.end()) : undefined;
      if (committed !== undefined && end !== undefined && committed > end) {
        throw new TicklakeError("TOPIC_REPLACED", `Group ${group} has committed offset ${committed} of ${topic}/${partition}, and that ends at ${end}: the topic was made anew. Nothing is written, for what it holds now would be taken for written. Seek kafka-in to "earliest" to read it from its beginning.`, {
          details: { group, topic, partition, committed: String(committed), end: String(end) },
        });
      }
      this.watermark = committed;
    }
    this.#epoch = epoch;
  }

  /** Asks until there is an answer, or the sink stops. */
  #ask<T>(question: () => Promise<T>): Promise<T> {
    const { signal, intake } = this.deps;
    return retrying(() => stoppable(signal, question), { signal, onRetry: intake.events.retrying, pause: intake.pause });
  }

  /** The offset of what is read is part of the transaction: the cluster that is written to has to hold the group. */
  async #isOneCluster({ cluster, topic, partition }: Lineage): Promise<void> {
    if (this.#oneCluster) return;
    const { admin, name } = this.deps;
    const written = await this.#ask(() => admin.clusterId());
    if (written !== cluster) {
      throw new TicklakeError("CONFIG_INVALID", `${topic}/${partition} is read from cluster ${cluster}, and ${name} writes to cluster ${written}: no transaction spans two clusters. Switch "transactional" off (at least once then), or write to the cluster that is read.`, {
        details: { topic, partition, read: cluster, written },
      });
    }
    this.#oneCluster = true;
  }

  /** Completes what is below the watermark, and has cut what lies across it. True: it is to be written. */
  #compare(entry: Entry): boolean {
    const { intake } = this.deps;
    if (!entry.wanted) return false;
    const place = placeOf(entry.part, this.watermark);
    if (place === "new") return true;
    if (place === "below") intake.skip(entry);
    else if (place === "partly") {
      intake.events.warn(`A message joined from several batches is in ${entry.topic} in part. It is written whole: joining across batches is at least once after a restart.`);
      return true;
    } else {
      intake.fail(entry, new TicklakeError("DELIVERY_CUT", `The group has committed this batch up to offset ${place} already: it is read again and cut there.`), { cutAt: place });
    }
    return false;
  }

  async #commit(run: Run, all: readonly Entry[]): Promise<boolean> {
    const first = run.deliveries[0]!;
    const { lineage } = run;
    await this.#ready(first, lineage);
    const entries = all.filter((entry) => this.#compare(entry));
    if (run.parts.some((part) => part.state === "failed" || part.state === "dropped")) return false;
    if (entries.length > 0) {
      const carry = lineage && { group: lineage.group, at: { topic: lineage.topic, partition: lineage.partition, offset: lineage.nextOffset } };
      if (!await this.#transact(entries, carry)) return false;
      if (lineage) this.watermark = lineage.nextOffset;
    }
    this.deps.committed(run);
    for (const entry of entries) this.deps.intake.complete(entry);
    return true;
  }

  async #commitLoose(): Promise<void> {
    const { intake } = this.deps;
    while (this.#loose.length > 0) {
      const entries = this.#loose.splice(0);
      try {
        if (!this.#initialised) await this.#ready(undefined, undefined);
        let left = entries;
        // One that cannot be written leaves, and the rest goes without it.
        while (left.length > 0 && !await this.#transact(left)) left = left.filter((entry) => entry.wanted);
        for (const entry of left) intake.complete(entry);
      } catch (caught) {
        const error = this.#refused(caught);
        for (const entry of entries) intake.fail(entry, error);
      }
    }
  }

  /**
   * One transaction.
   *
   * @returns false when nothing was committed: some of the messages failed or were aborted, or the same may go through later (after a pause)
   * @throws TicklakeError that concerns all of them (KAFKA_FENCED, KAFKA_DENIED, STOPPED)
   */
  async #transact(entries: readonly Entry[], carry?: { readonly group: string; readonly at: { readonly topic: string; readonly partition: number; readonly offset: bigint } }): Promise<boolean> {
    const { producer, signal } = this.deps;
    const whole = (): boolean => entries.every((entry) => entry.wanted);
    const infos = await this.#prepare(entries);
    if (!infos || !whole()) return false;
    for (const entry of entries) entry.unacked();
    try {
      producer.begin();
      let going = await this.#send(entries, infos) && whole();
      if (going && carry) await producer.sendOffsets({ groupId: carry.group }, [carry.at], signal);
      going &&= whole();
      if (going) await producer.commit(signal);
      else await producer.abort(signal);
      if (going) this.#attempts = 0;
      return going;
    } catch (caught) {
      const error = asTicklakeError(caught, "KAFKA_FAILED");
      if (error.code === "KAFKA_FENCED" || signal.aborted) throw error;
      // What the group has committed is read again before anything is repeated: nobody can say whether this transaction was.
      this.#epoch = undefined;
      await producer.abort(signal).catch((failure: unknown) => { this.dead = true; throw failure; });
      if (!MENDS_ITSELF.has(error.code)) throw error;
      await this.#backOff(error);
      return false;
    }
  }

  async #backOff(error: TicklakeError): Promise<void> {
    const wait = backoffMs(++this.#attempts);
    this.deps.intake.events.retrying(error, wait);
    await this.deps.intake.pause(wait, this.deps.signal);
  }

  /** Opens the topics and checks sizes before anything is sent. Undefined when a message failed at that. */
  async #prepare(entries: readonly Entry[]): Promise<ReadonlyMap<string, TopicInfo> | undefined> {
    const { topics, intake, compression, signal } = this.deps;
    const infos = new Map<string, TopicInfo>();
    let failed = false;
    for (const entry of entries) {
      try {
        const info = topics.get(entry.topic) ?? await stoppable(signal, () => topics.open(entry.topic));
        await checkSizes(entry.elements, info, compression, entry.arrivedAt);
        infos.set(entry.topic, info);
      } catch (caught) {
        failed = true;
        const error = asTicklakeError(caught);
        topics.doubt(entry.topic, error);
        intake.fail(entry, error);
      }
    }
    return failed ? undefined : infos;
  }

  /** Sends all records, the partitions side by side. False when a message failed at that; errors that concern all are thrown. */
  async #send(entries: readonly Entry[], infos: ReadonlyMap<string, TopicInfo>): Promise<boolean> {
    const { producer, signal, intake, topics } = this.deps;
    const lanes = new Map<string, Lane>();
    let failed: TicklakeError | undefined;
    const bad = new Map<Entry, TicklakeError>();
    const laneOf = (info: TopicInfo, partition: number): Lane => {
      const key = `${info.name}/${partition}`;
      let lane = lanes.get(key);
      if (!lane) {
        lanes.set(key, lane = new Lane({ topic: info.name, partition }, info, {
          send: (to, batch) => (failed ? Promise.reject(HALTED) : producer.send(to, batch, signal)),
          acked: () => { /* when it is committed */ },
          failed: (entry, error) => {
            if (error === HALTED) return;
            if (error.kind === "bad-record" || error.code === "KAFKA_TOPIC_UNKNOWN") bad.set(entry, error);
            failed ??= error;
          },
        }));
      }
      return lane;
    };
    for (const entry of entries) {
      const info = infos.get(entry.topic)!;
      const keyless = this.#keyless++ % info.partitioner.count;
      dispatch(entry, info, keyless, (partition) => laneOf(info, partition));
    }
    await Promise.all([...lanes.values()].map((lane) => lane.idle()));
    if (!failed) return true;
    if (bad.size === 0) throw failed;
    for (const [entry, error] of bad) {
      topics.doubt(entry.topic, error);
      intake.fail(entry, error);
    }
    return false;
  }
}

/** Where a message lies: to be written, all in the topics already, to be cut at an offset, or (joined from several batches) in part. */
function placeOf(part: Part, watermark: bigint | undefined): "new" | "below" | "partly" | bigint {
  if (watermark === undefined) return "new";
  let below = 0, above = 0;
  for (const { lineage } of part.deliveries) {
    if (!lineage || lineage.firstOffset >= watermark) above++;
    else if (lineage.lastOffset < watermark) below++;
    else if (part.deliveries.length === 1) return watermark;
    else return "partly";
  }
  return below === 0 ? "new" : above === 0 ? "below" : "partly";
}
