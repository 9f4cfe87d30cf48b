import type { Part } from "../../delivery/types";
import { asTicklakeError, TicklakeError } from "../../errors";
import { guarded } from "../../guarded";
import { pause } from "../../retry";
import type { KafkaSinkDeps, KafkaSinkEvents, SinkMessage } from "./contract";
import { Entry } from "./entry";
import { elementsOf } from "./payload";
import { KeyCache } from "./partitioner";

/** What may wait of messages without delivery, which nothing upstream slows down. */
const UNPROTECTED_MESSAGES = 10_000;
const UNPROTECTED_BYTES = 64 * 1024 * 1024;

/** The way into a sink and out of it: what is there, how much of it waits, and who is told. */
export class Intake {
  readonly now: () => number;
  readonly pause: typeof pause;
  readonly events: KafkaSinkEvents;
  closing = false;
  /** Records that came, records that wait, records acknowledged. */
  received = 0;
  waiting = 0;
  written = 0;
  private readonly keys = new KeyCache();
  private unprotected = { messages: 0, bytes: 0 };
  private readonly entries = new Map<Part, Entry>();
  private drained: (() => void)[] = [];

  constructor(private readonly deps: KafkaSinkDeps) {
    this.now = deps.now ?? Date.now;
    this.pause = deps.pause ?? pause;
    this.events = guarded(deps.events, ["acked", "unwritten", "retrying", "failed", "warn", "changed"]);
  }

  /** The entry of a message; undefined when it was completed, failed or is none of ours any more. Never throws. */
  take(message: SinkMessage, topic: string, part: Part): Entry | undefined {
    if (part.state !== "held") return undefined;
    try {
      if (this.closing) throw new TicklakeError("STOPPED", "The node is stopping; this message was not written.");
      const elements = elementsOf(message, this.deps.options, this.keys);
      if (elements.count === 0) {
        this.events.unwritten(topic, part);
        part.done();
        return undefined;
      }
      const entry = new Entry(part, topic, elements, this.now());
      if (part.deliveries.length === 0) this.bound(entry);
      this.entries.set(part, entry);
      this.received += elements.count;
      this.waiting += elements.count;
      this.events.changed();
      return entry;
    } catch (caught) {
      const error = asTicklakeError(caught);
      this.events.failed(error);
      part.fail(error);
      return undefined;
    }
  }

  private bound(entry: Entry): void {
    const { messages, bytes } = this.unprotected;
    if (messages > 0 && (messages >= UNPROTECTED_MESSAGES || bytes + entry.elements.weight > UNPROTECTED_BYTES)) {
      throw new TicklakeError("KAFKA_FAILED", `${messages.toLocaleString("en-US")} messages without delivery wait for ${entry.topic} already and more are refused: Kafka does not keep up or is away (see the status).`);
    }
    this.unprotected.messages++;
    this.unprotected.bytes += entry.elements.weight;
  }

  entryOf(part: Part): Entry | undefined { return this.entries.get(part); }

  /** Kafka has it: tells the result and completes the message. */
  complete(entry: Entry): void {
    if (!this.leave(entry)) return;
    this.written += entry.elements.count;
    this.events.acked(entry.result(this.now()), entry.part);
    entry.part.done();
  }

  /** It needs no writing. */
  skip(entry: Entry): void {
    if (!this.leave(entry)) return;
    this.events.unwritten(entry.topic, entry.part);
    entry.part.done();
  }

  fail(entry: Entry, error: TicklakeError, options?: { cutAt?: bigint }): void {
    const { wanted } = entry;
    if (!this.leave(entry) || !wanted) return;
    if (error.code !== "STOPPED" && options === undefined) this.events.failed(error);
    entry.part.fail(error, options);
  }

  /** Its delivery was aborted: nobody wants it any more. */
  drop(part: Part): void {
    const entry = this.entries.get(part);
    if (entry) this.leave(entry);
  }

  private leave(entry: Entry): boolean {
    if (entry.over) return false;
    entry.over = true;
    this.entries.delete(entry.part);
    this.waiting -= entry.elements.count;
    if (entry.part.deliveries.length === 0) {
      this.unprotected.messages--;
      this.unprotected.bytes -= entry.elements.weight;
    }
    this.events.changed();
    if (this.entries.size === 0) for (const resolve of this.drained.splice(0)) resolve();
    return true;
  }

  /** Resolves when nothing waits. */
  empty(): Promise<void> {
    return this.entries.size === 0 ? Promise.resolve() : new Promise((resolve) => { this.drained.push(resolve); });
  }

  /** Fails what has no delivery (the ledger fails the rest). */
  failRest(error: TicklakeError): void {
    for (const entry of [...this.entries.values()]) if (entry.part.deliveries.length === 0) this.fail(entry, error);
  }
}
