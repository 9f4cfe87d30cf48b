import { epochOf } from "../../delivery/token";
import type { Delivery, Lineage, LogPosition, LogView, Part } from "../../delivery/types";
import { asTicklakeError, TicklakeError } from "../../errors";
import { retrying } from "../../retry";
import type { Watermark } from "../watermarks";
import { markKey } from "./marks";
import type { Standing } from "./standing";

export interface LogCheckDeps {
  /** For messages. */
  readonly table: string;
  readonly signal: AbortSignal;
  readonly onRetry: (error: TicklakeError, waitMs: number) => void;
  readonly warn: (text: string) => void;
}

/** A log and what the table knows of it. */
interface Question { readonly delivery: Delivery; readonly lineage: Lineage & { readonly log: LogView }; readonly mark: Watermark }

interface Waiting<M> { readonly messages: M[]; readonly stop: AbortController }

/**
 * Makes sure that a watermark speaks of the log that is being read, before anything is judged by it: a topic that was deleted and made anew, or another
 * cluster behind the same address, counts its records from 0 again. Asked once per partition and epoch of its source; messages of that partition wait for
 * the answer, and of no other. A log that cannot be asked is asked again without end: that is no verdict.
 */
export class LogCheck<M extends { readonly part: Part }> {
  /** Logs that are known to be right, with the last batch seen. */
  readonly #passed = new Map<string, { epoch: string; batch: number; next: bigint }>();
  readonly #waiting = new Map<string, Waiting<M>>();
  /** Clusters that this process reads from now: two of them may feed one table. */
  readonly #clusters = new Set<string>();
  readonly #warned = new Set<string>();

  constructor(private readonly deps: LogCheckDeps) {}

  /** Whether this process has read something of a cluster. */
  reads(cluster: string): boolean { return this.#clusters.has(cluster); }

  /** Messages that wait. */
  get waiting(): M[] { return [...this.#waiting.values()].flatMap(({ messages }) => messages); }

  /**
   * Whether a message has to wait until it is known of which log it is. It is handed to `release` then; or `refuse` is told why nothing of it
   * may be judged by what the table knows, and gets all that waited.
   */
  holds(message: M, standing: Standing, release: (message: M) => void, refuse: (error: TicklakeError, messages: M[]) => void): boolean {
    for (const delivery of message.part.deliveries) {
      const epoch = epochOf(delivery.token);
      const before = this.#waiting.get(epoch);
      if (before) { before.messages.push(message); return true; }
      const question = this.#question(delivery, epoch, standing);
      if (!question) continue;
      const waiting: Waiting<M> = { messages: [message], stop: new AbortController() };
      this.#waiting.set(epoch, waiting);
      void this.#ask(question, epoch, waiting, standing).then((refusal) => {
        if (this.#waiting.get(epoch) !== waiting) return;
        this.#waiting.delete(epoch);
        if (refusal) refuse(refusal, waiting.messages);
        else for (const one of waiting.messages) release(one);
      });
      return true;
    }
    return false;
  }

  /** These were aborted: nobody waits for the answer any more. */
  drop(parts: ReadonlySet<Part>): void {
    for (const [epoch, { messages, stop }] of this.#waiting) {
      const left = messages.filter(({ part }) => !parts.has(part));
      messages.splice(0, messages.length, ...left);
      if (left.length > 0) continue;
      this.#waiting.delete(epoch);
      stop.abort();
    }
  }

  /** Takes out all that waits. */
  clear(): M[] {
    const all = this.waiting;
    for (const { stop } of this.#waiting.values()) stop.abort();
    this.#waiting.clear();
    return all;
  }

  /** What has to be asked before a delivery is judged; undefined: nothing (any more). */
  #question(delivery: Delivery, epoch: string, standing: Standing): Question | undefined {
    const { lineage, batch } = delivery;
    if (!lineage) return undefined;
    this.#clusters.add(lineage.cluster);
    const key = markKey(lineage), passed = this.#passed.get(key);
    // A source that goes back within an epoch reads a log that began anew under it.
    if (passed?.epoch === epoch && (batch <= passed.batch || lineage.firstOffset >= passed.next)) {
      if (batch > passed.batch) Object.assign(passed, { batch, next: lineage.nextOffset });
      return undefined;
    }
    const mark = standing.mark(lineage) ?? this.#foreign(standing, lineage);
    const { log } = lineage;
    if (mark && log) return { delivery, lineage: { ...lineage, log }, mark };
    if (mark && mark.cluster !== lineage.cluster) this.#warnOnce(key, `${this.deps.table} knows ${place(lineage)} from another Kafka cluster (${mark.cluster}, this one is ${lineage.cluster}). What it holds from there is not recognised: rows may be written twice.`);
    this.#pass(delivery, epoch);
    return undefined;
  }

  #pass({ lineage, batch }: Delivery, epoch: string): void {
    this.#passed.set(markKey(lineage!), { epoch, batch, next: lineage!.nextOffset });
  }

  /** What the table knows of this partition under the id of a cluster that nobody here reads from. */
  #foreign(standing: Standing, at: LogPosition): Watermark | undefined {
    return standing.foreign(at).filter((mark) => !this.#clusters.has(mark.cluster)).sort((a, b) => b.lastTimestamp - a.lastTimestamp)[0];
  }

  async #ask({ delivery, lineage, mark }: Question, epoch: string, { stop }: Waiting<M>, standing: Standing): Promise<TicklakeError | undefined> {
    const signal = AbortSignal.any([this.deps.signal, stop.signal]);
    try {
      const verdict = await retrying(() => asRetryable(() => compareLog(lineage.log, mark)), { signal, onRetry: this.deps.onRetry });
      const known = mark.cluster === lineage.cluster;
      if (verdict.same === false || (verdict.same === undefined && !known)) return replaced(this.deps.table, lineage, mark, verdict.found);
      if (!known) {
        standing.adopt(lineage, mark);
        this.#warnOnce(markKey(lineage), `${place(lineage)} has another cluster id than before (${lineage.cluster}, it was ${mark.cluster}), but its record ${mark.lastOffset} is the same: ${this.deps.table} goes on behind offset ${mark.nextOffset}.`);
      }
      this.#pass(delivery, epoch);
      return undefined;
    } catch (error) {
      // Stopped, or nobody waits any more.
      return asTicklakeError(error);
    }
  }

  #warnOnce(key: string, text: string): void {
    if (this.#warned.has(key)) return;
    this.#warned.add(key);
    this.deps.warn(text);
  }
}

/** Whether a log is the one of which a watermark tells; `undefined` when the record that could tell is no longer retained. */
export async function compareLog(log: LogView, mark: Watermark): Promise<{ same: boolean | undefined; found: string }> {
  const end = await log.end();
  if (end < mark.nextOffset) return { same: false, found: `its log ends at ${end}` };
  const timestamp = await log.timestampAt(mark.lastOffset);
  if (timestamp === undefined) return { same: undefined, found: `its record ${mark.lastOffset} is no longer there to compare` };
  return { same: timestamp === mark.lastTimestamp, found: `its record ${mark.lastOffset} is of ${time(timestamp)}, not of ${time(mark.lastTimestamp)}` };
}

/** A log that cannot be asked, for whatever reason, says nothing about its records. */
async function asRetryable<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (caught) {
    const error = asTicklakeError(caught, "KAFKA_FAILED");
    throw error.retryable && error.code !== "DELIVERY_ABORTED" && error.code !== "STOPPED" ? error : new TicklakeError("KAFKA_FAILED", `A partition's log could not be looked at: ${error.message}`, { cause: error });
  }
}

function replaced(table: string, at: LogPosition, mark: Watermark, found: string): TicklakeError {
  const what = mark.cluster === at.cluster ? `Topic ${at.topic} was made anew` : `Another Kafka cluster answers (${at.cluster}, it was ${mark.cluster})`;
  return new TicklakeError(
    "TOPIC_REPLACED",
    `${what}: ${table} holds ${place(at)} up to offset ${mark.nextOffset}, but ${found}. Nothing was written and nothing skipped. To go on, send kafka-in {command: "seek", topic: "${at.topic}", partition: ${at.partition}, offset: "earliest", forget: true}: the table then forgets what it knows of the old one, and all that the topic holds now is written.`,
    { details: { topic: at.topic, partition: at.partition, group: at.group, table, nextOffset: String(mark.nextOffset) } },
  );
}

const place = ({ topic, partition, group }: LogPosition): string => `${topic}/${partition} (group ${group})`;

function time(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? String(ms) : date.toISOString();
}
