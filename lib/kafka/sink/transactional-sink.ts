import { randomBytes } from "node:crypto";
import { isTiedAcross } from "../../delivery/runs";
import type { Delivery, LogPosition, Part, Run, TargetPosition } from "../../delivery/types";
import { TicklakeError } from "../../errors";
import { pause } from "../../retry";
import type { KafkaSink, KafkaSinkDeps, SinkMessage } from "./contract";
import { Intake } from "./intake";
import { SourceLane } from "./source-lane";
import { Topics } from "./topics";

/** What the transactional sinks of one process must know of each other. */
export class TransactionRegistry {
  /** Which sink has taken parts of a delivery: a second one would wait for the first one, and the first for it. */
  readonly owners = new WeakMap<Delivery, TransactionalSink>();
  /** Transactional ids in use: two producers of one id fence each other for ever. */
  readonly ids = new Map<string, TransactionalSink>();
}

const ofThisProcess = new TransactionRegistry();

/**
 * Writes to Kafka exactly once: what a source partition brings and its offset become visible together, in one transaction. A transaction takes the
 * longest run of batches of which nothing is open anywhere but in this sink, so it comes last. Each source partition has a producer of its own,
 * whose transactional id names it: whoever takes the partition over fences whoever had it.
 */
export class TransactionalSink implements KafkaSink {
  readonly #registry: TransactionRegistry;
  readonly #intake: Intake;
  readonly #topics: Topics;
  readonly #stop = new AbortController();
  readonly #lanes = new Map<string, SourceLane>();
  /** For transactional ids of lanes without a log: nothing is to be found again under them. */
  readonly #process = randomBytes(6).toString("hex");
  #unnamed = 0;
  #pumping = false;
  #closed = false;
  /** Ends the wait for other sinks, while this one stops. */
  #wake: (() => void) | undefined;

  constructor(private readonly deps: KafkaSinkDeps) {
    this.#registry = deps.registry ?? ofThisProcess;
    this.#intake = new Intake(deps);
    const { events, now, pause: wait } = this.#intake;
    this.#topics = new Topics({ admin: deps.client.admin, options: deps.options, signal: this.#stop.signal, retrying: events.retrying, warn: events.warn, now, pause: wait });
    // Tells the ledger that this sink goes last.
    deps.ledger.take({ last: true });
  }

  get waiting(): number { return this.#intake.waiting; }
  get written(): number { return this.#intake.written; }
  get received(): number { return this.#intake.received; }

  add(message: SinkMessage, topic: string, part: Part): void {
    const refused = this.#refusal(part);
    if (refused) {
      this.#intake.events.failed(refused);
      part.fail(refused);
      return;
    }
    // A second sink must hear of it before anything can fail here.
    for (const delivery of part.deliveries) this.#registry.owners.set(delivery, this);
    const entry = this.#intake.take(message, topic, part);
    if (!entry) return;
    let lane: SourceLane;
    try {
      lane = this.#laneOf(part.deliveries[0]);
    } catch (caught) {
      this.#intake.fail(entry, caught as TicklakeError);
      return;
    }
    part.park();
    lane.arrived(entry);
  }

  #refusal(part: Part): TicklakeError | undefined {
    if (part.state !== "held") return undefined;
    if (isTiedAcross(part)) {
      return new TicklakeError("CONFIG_INVALID", `${this.deps.name} writes transactions, and this message was joined from several partitions: no transaction of one partition covers it. Join within one partition, or switch "transactional" off.`);
    }
    for (const delivery of part.deliveries) {
      const owner = this.#registry.owners.get(delivery);
      if (owner && owner !== this && !owner.#closed) {
        return new TicklakeError("CONFIG_INVALID", `${this.deps.name} and ${owner.deps.name} both write transactions for the same batches: each would have to be the last, and they would wait for each other. Let only one of them be transactional, or read the topic with a second kafka-in and another group.`);
      }
    }
    return undefined;
  }

  warm(topic: string): void { this.#topics.warm(topic, this.#intake.events.failed); }
  settled(): void {
    this.#pump();
    this.#wake?.();
  }

  /** Starts a transaction for every partition that has something to commit and none under way. */
  #pump(): void {
    if (this.#pumping || this.#stop.signal.aborted) return;
    this.#pumping = true;
    // Later in the same turn more may settle.
    setImmediate(() => {
      this.#pumping = false;
      if (this.#stop.signal.aborted) return;
      this.#commitAll();
    });
  }

  /** @returns whether there was anything */
  #commitAll(): boolean {
    const runs = this.deps.ledger.take({ last: true });
    for (const run of runs) this.#commit(run);
    return runs.length > 0;
  }

  #commit(run: Run): void {
    const { ledger } = this.deps;
    const lane = this.#lanes.get(keyOf(run.deliveries[0])) ?? this.#laneOf(run.deliveries[0]);
    const entries = run.parts.map((part) => this.#intake.entryOf(part)).filter((entry) => entry !== undefined);
    void lane.commit(run, entries).then((committed) => {
      if (!committed) ledger.giveBack([run]);
      this.#pump();
    });
  }

  aborted(parts: readonly Part[]): void {
    for (const part of parts) this.#intake.drop(part);
    this.#wake?.();
  }

  #laneOf(delivery: Delivery | undefined): SourceLane {
    const key = keyOf(delivery);
    let lane = this.#lanes.get(key);
    if (lane && !lane.dead) return lane;
    void lane?.close();
    const { client, options, ledger } = this.deps;
    const lineage = delivery?.lineage;
    const transactionalId = lineage ? `${options.transactionalIdPrefix}-${lineage.group}-${lineage.topic}-${lineage.partition}` : `${options.transactionalIdPrefix}-${this.#process}-${++this.#unnamed}`;
    const other = this.#registry.ids.get(transactionalId);
    if (other && other !== this && !other.#closed) {
      throw new TicklakeError("CONFIG_INVALID", `${this.deps.name} and ${other.deps.name} have the same transactional id (${transactionalId}) and would shut each other out. Give each its own prefix.`);
    }
    this.#registry.ids.set(transactionalId, this);
    lane = new SourceLane({
      position: lineage, transactionalId, topics: this.#topics, intake: this.#intake, signal: this.#stop.signal, compression: options.compression, admin: client.admin,
      name: this.deps.name, producer: client.transactional({ transactionalId, compression: options.compression, retrying: this.#intake.events.retrying }),
      offsetsAtRest: (of) => ledger.offsetsAtRest(of), committed: (run) => { ledger.committed([run]); },
    });
    this.#lanes.set(key, lane);
    return lane;
  }

  positions(at: LogPosition): TargetPosition[] {
    return [...this.#lanes.values()].flatMap((lane) => {
      if (!lane.isOf(at) || lane.watermark === undefined) return [];
      return [{ cluster: at.cluster, group: at.group, topic: at.topic, partition: at.partition, target: lane.targets, node: this.deps.ledger.id, nextOffset: lane.watermark, followsGroup: true }];
    });
  }

  /** The watermark is the group's committed offset: who seeks has moved that, and it is read again with the next batch. */
  forget(at: LogPosition): string[] {
    return [...this.#lanes.values()].filter((lane) => lane.isOf(at)).map((lane) => { lane.forget(); return lane.targets; });
  }

  /** Commits what has settled, and what settles while that is under way; what other sinks hold is committed by them first. */
  async #finish(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const woken = new Promise<void>((resolve) => { this.#wake = resolve; });
      const more = this.#commitAll();
      const lanes = [...this.#lanes.values()];
      if (!more && !lanes.some((lane) => lane.busy)) {
        if (!this.deps.ledger.pressOthers()) return;
        await woken;
      }
      await Promise.all(lanes.map((lane) => lane.idle()));
      // What was not committed is given back by then, and may be taken again.
      await new Promise((resolve) => { setImmediate(resolve); });
    }
  }

  async close(timeoutMs: number): Promise<void> {
    this.#intake.closing = true;
    const over = new AbortController();
    await Promise.race([this.#finish().finally(() => { over.abort(); }), pause(timeoutMs, over.signal)]);
    over.abort();
    this.#stop.abort();
    this.#wake?.();
    this.#closed = true;
    this.#intake.failRest(new TicklakeError("STOPPED", "The node stopped before Kafka had committed this message."));
    this.deps.ledger.close();
    await Promise.all([...this.#lanes.values()].map((lane) => lane.close()));
    for (const [id, sink] of this.#registry.ids) if (sink === this) this.#registry.ids.delete(id);
  }
}

/** What has a producer of its own: a partition of a log, or of a source without one; messages without delivery together. */
function keyOf(delivery: Delivery | undefined): string {
  if (!delivery) return "";
  const { lineage } = delivery;
  return JSON.stringify(lineage ? [lineage.cluster, lineage.group, lineage.topic, lineage.partition] : [delivery.source, delivery.partition]);
}
