import type { Part } from "../../delivery/types";
import { asTicklakeError, TicklakeError } from "../../errors";
import { pause } from "../../retry";
import type { KafkaProducer } from "../types";
import type { KafkaSink, KafkaSinkDeps, SinkMessage } from "./contract";
import type { Entry } from "./entry";
import { Intake } from "./intake";
import { dispatch, Lane } from "./lane";
import { checkSizes, Topics, type TopicInfo } from "./topics";

/** Messages of one topic in the order of their arrival, those before it is known included. */
interface Gate { readonly name: string; queue: Entry[]; running: boolean; keyless: number }

/**
 * Writes to Kafka at least once: a message is done when all in-sync replicas have its records. Every partition has one batch under way; results
 * come in the order of the messages.
 */
export class PlainSink implements KafkaSink {
  readonly #intake: Intake;
  readonly #topics: Topics;
  readonly #producer: KafkaProducer;
  readonly #stop = new AbortController();
  readonly #gates = new Map<string, Gate>();
  readonly #lanes = new Map<string, Lane>();
  /** Messages in the order of their arrival. */
  #order: Entry[] = [];
  #first = 0;

  constructor(private readonly deps: KafkaSinkDeps) {
    const { client, options } = deps;
    this.#intake = new Intake(deps);
    const { events } = this.#intake;
    this.#producer = client.producer({ idempotent: options.idempotent, compression: options.compression, retrying: events.retrying });
    this.#topics = new Topics({ admin: client.admin, options, signal: this.#stop.signal, retrying: events.retrying, warn: events.warn, now: this.#intake.now, pause: this.#intake.pause });
  }

  get waiting(): number { return this.#intake.waiting; }
  get written(): number { return this.#intake.written; }
  get received(): number { return this.#intake.received; }

  add(message: SinkMessage, topic: string, part: Part): void {
    const entry = this.#intake.take(message, topic, part);
    if (!entry) return;
    part.park();
    this.#order.push(entry);
    let gate = this.#gates.get(topic);
    if (!gate) this.#gates.set(topic, gate = { name: topic, queue: [], running: false, keyless: Math.floor((this.deps.random ?? Math.random)() * 1000) });
    const info = this.#topics.get(topic);
    if (!gate.running && info) {
      const check = checkSizes(entry.elements, info, this.deps.options.compression, entry.arrivedAt);
      if (!check) { this.#dispatch(entry, info, gate); return; }
      check.catch(() => { /* measured again in its turn */ });
    }
    gate.queue.push(entry);
    if (!gate.running) void this.#drain(gate);
  }

  warm(topic: string): void { this.#topics.warm(topic, this.#intake.events.failed); }
  settled(): void { /* what comes goes at once */ }
  positions(): [] { return []; }
  forget(): [] { return []; }

  aborted(parts: readonly Part[]): void {
    for (const part of parts) this.#intake.drop(part);
    this.#flush();
  }

  async close(timeoutMs: number): Promise<void> {
    this.#intake.closing = true;
    const over = new AbortController();
    await Promise.race([this.#intake.empty().finally(() => { over.abort(); }), pause(timeoutMs, over.signal)]);
    over.abort();
    this.#stop.abort();
    this.#intake.failRest(new TicklakeError("STOPPED", "The node stopped before Kafka had acknowledged this message."));
    this.deps.ledger.close();
    await this.#producer.close();
  }

  /** Lets messages of a topic through one after the other, once it is known. Never rejects. */
  async #drain(gate: Gate): Promise<void> {
    gate.running = true;
    for (let entry = gate.queue.shift(); entry; entry = gate.queue.shift()) {
      if (!entry.wanted) continue;
      try {
        const info = this.#topics.get(gate.name) ?? await this.#topics.open(gate.name);
        await checkSizes(entry.elements, info, this.deps.options.compression, entry.arrivedAt);
        if (entry.wanted) this.#dispatch(entry, info, gate);
      } catch (caught) {
        this.#fail(entry, asTicklakeError(caught));
      }
    }
    gate.running = false;
  }

  #dispatch(entry: Entry, info: TopicInfo, gate: Gate): void {
    const keyless = gate.keyless++ % info.partitioner.count;
    dispatch(entry, info, keyless, (partition) => this.#lane(info, partition));
  }

  #lane(info: TopicInfo, partition: number): Lane {
    const key = `${info.name}/${partition}`;
    let lane = this.#lanes.get(key);
    if (!lane) {
      this.#lanes.set(key, lane = new Lane({ topic: info.name, partition }, info, {
        send: (to, batch) => this.#producer.send(to, batch, this.#stop.signal),
        acked: () => { this.#flush(); },
        failed: (entry, error) => { this.#fail(entry, error); },
      }));
    }
    return lane;
  }

  #fail(entry: Entry, error: TicklakeError): void {
    this.#topics.doubt(entry.topic, error);
    this.#intake.fail(entry, error);
    this.#flush();
  }

  /** Completes what is acknowledged, in the order of arrival. */
  #flush(): void {
    for (let entry = this.#order[this.#first]; entry; entry = this.#order[this.#first]) {
      if (!entry.over && entry.left > 0 && entry.wanted) break;
      this.#order[this.#first++] = undefined as never;
      if (entry.wanted) this.#intake.complete(entry);
      else this.#intake.drop(entry.part);
    }
    if (this.#first > 1024 && this.#first * 2 > this.#order.length) {
      this.#order = this.#order.slice(this.#first);
      this.#first = 0;
    }
  }
}
