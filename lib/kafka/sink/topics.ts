import { asTicklakeError, TicklakeError } from "../../errors";
import { retrying, type pause } from "../../retry";
import { RecordBatchBuilder } from "../records/builder";
import type { Compression, KafkaAdmin, TopicDescription } from "../types";
import type { Elements } from "./elements";
import type { KafkaSinkOptions } from "./options";
import { Partitioner } from "./partitioner";

/** A topic as a sink needs to know it. */
export interface TopicInfo {
  readonly name: string;
  readonly partitioner: Partitioner;
  /** Largest record batch that it takes; undefined where its settings may not be seen. */
  readonly maxMessageBytes: number | undefined;
  /** When this was learnt, Unix ms. */
  readonly at: number;
}

export interface TopicsDeps {
  readonly admin: KafkaAdmin;
  readonly options: KafkaSinkOptions;
  readonly signal: AbortSignal;
  readonly retrying: (error: TicklakeError, waitMs: number) => void;
  readonly warn: (text: string) => void;
  readonly now: () => number;
  readonly pause: typeof pause;
}

/** Partitions may be added to a topic: it is looked at again after this. */
const FRESH_MS = 5 * 60_000;
/** A look-up that takes longer is told. */
const SLOW_MS = 3000;
/** Other brokers hear of a new topic a moment later. */
const APPEARS_WITHIN_MS = 10_000;

/** The topics of one sink: looked up once, created where they are missing and that is allowed. */
export class Topics {
  private readonly known = new Map<string, TopicInfo>();
  private readonly opening = new Map<string, Promise<TopicInfo>>();
  /** Topics whose other settings were reported. */
  private readonly reported = new Set<string>();

  constructor(private readonly deps: TopicsDeps) {}

  /** What is known of a topic; undefined before `open`. */
  get(name: string): TopicInfo | undefined {
    const info = this.known.get(name);
    if (info && this.deps.now() - info.at > FRESH_MS && !this.opening.has(name)) void this.refresh(info);
    return info;
  }

  /**
   * Finds or creates a topic. What a repetition can mend is repeated without end.
   *
   * @throws TicklakeError KAFKA_TOPIC_UNKNOWN when it is not there and may not be created, KAFKA_DENIED, CONFIG_INVALID; STOPPED
   */
  open(name: string): Promise<TopicInfo> {
    const info = this.known.get(name);
    if (info) return Promise.resolve(info);
    let opening = this.opening.get(name);
    if (!opening) {
      opening = this.find(name).then((found) => { this.known.set(name, found); return found; }).finally(() => { this.opening.delete(name); });
      this.opening.set(name, opening);
    }
    return opening;
  }

  /** Opens it ahead of the first message; `failed` is told when that cannot be. */
  warm(name: string, failed: (error: TicklakeError) => void): void {
    this.open(name).catch((caught: unknown) => { if (!this.deps.signal.aborted) failed(asTicklakeError(caught)); });
  }

  /**
   * A message has failed with this error. Where that says that the topic is not as it was (deleted, perhaps made anew with fewer partitions), or it may be
   * different soon (its limit is raised, as the error advises), it is looked at again before the next message.
   */
  doubt(name: string, error: TicklakeError): void {
    if (error.code === "KAFKA_TOPIC_UNKNOWN" || error.code === "KAFKA_RECORD_TOO_LARGE") this.known.delete(name);
  }

  private async find(name: string): Promise<TopicInfo> {
    const { admin, options, signal, now, pause } = this.deps;
    const onRetry = this.deps.retrying;
    let created = false;
    const since = now();
    // A call of the admin tries for longer than somebody who looks at a status likes to wait.
    const slow = setTimeout(() => { onRetry(new TicklakeError("KAFKA_UNREACHABLE", `Looking up topic ${name}: the cluster has not answered for ${SLOW_MS / 1000} s.`), SLOW_MS); }, SLOW_MS).unref();
    const topic = await retrying(async () => {
      const found = await admin.describeTopic(name);
      if (found) return found;
      if (!options.createTopic) throw new TicklakeError("KAFKA_TOPIC_UNKNOWN", `There is no topic ${name}. Create it, correct the name, or allow kafka-out to create it.`, { details: { topic: name } });
      if (created && now() - since < APPEARS_WITHIN_MS) throw new TicklakeError("KAFKA_FAILED", `Topic ${name} was created and does not show yet.`);
      created = await admin.createTopic({ name, partitions: options.partitions, replicationFactor: options.replicationFactor });
      const made = await admin.describeTopic(name);
      if (!made) throw new TicklakeError("KAFKA_FAILED", `Topic ${name} was created and does not show yet.`);
      return made;
    }, { signal, onRetry, pause }).finally(() => { clearTimeout(slow); });
    if (!created) this.report(topic);
    return this.info(topic, await this.limit(name));
  }

  private limit(name: string): Promise<number | undefined> {
    const { admin, signal, pause } = this.deps;
    return retrying(() => admin.maxMessageBytes(name), { signal, onRetry: this.deps.retrying, pause })
      // Who may write to a topic may not always see its settings: then the broker says what is too large.
      .catch((caught: unknown) => { if (asTicklakeError(caught).code === "STOPPED") throw caught; return undefined; });
  }

  private info({ name, partitions }: TopicDescription, maxMessageBytes: number | undefined): TopicInfo {
    return { name, partitioner: new Partitioner(partitions), maxMessageBytes, at: this.deps.now() };
  }

  private async refresh(info: TopicInfo): Promise<void> {
    const { admin, now } = this.deps;
    this.known.set(info.name, { ...info, at: now() });
    try {
      const found = await admin.describeTopic(info.name);
      if (found && found.partitions !== info.partitioner.count) this.known.set(info.name, this.info(found, info.maxMessageBytes));
    } catch { /* whoever writes to it will say what is wrong */ }
  }

  private report({ name, partitions, replicationFactor }: TopicDescription): void {
    const { options } = this.deps;
    if (!options.createTopic || this.reported.has(name)) return;
    this.reported.add(name);
    const counts = (p: number, r: number): string => `${p === -1 ? "the broker's number of" : p} partition${p === 1 ? "" : "s"} and replication factor ${r === -1 ? "of the broker" : r}`;
    const same = (options.partitions === -1 || options.partitions === partitions) && (options.replicationFactor === -1 || options.replicationFactor === replicationFactor);
    if (!same) this.deps.warn(`Topic ${name} was there already, with ${counts(partitions, replicationFactor)}, not ${counts(options.partitions, options.replicationFactor)} as set here. It is left as it is.`);
  }
}

/**
 * Where the topic's limit may not be seen: a broker closes the connection on a larger request (socket.request.max.bytes), without a word about the record. It would
 * pass for an outage, and be sent again and again.
 */
const REQUEST_BYTES = 100 * 1024 * 1024;
/** What a batch of one small record may have more than its key, value and headers. */
const FRAME_BYTES = 128;

/**
 * Checks that every record fits into its topic, before anything of a message is sent.
 *
 * @returns undefined when nothing comes near the limit, else a promise, which rejects with KAFKA_RECORD_TOO_LARGE naming element and size
 */
export function checkSizes(elements: Elements, info: TopicInfo, compression: Compression, now: number): Promise<void> | undefined {
  const limit = info.maxMessageBytes ?? REQUEST_BYTES;
  const near: number[] = [];
  for (let k = 0; k < elements.count; k++) if (elements.mostBytes(k) + FRAME_BYTES > limit) near.push(k);
  return near.length === 0 ? undefined : measure(near, elements, info, limit, compression, now);
}

async function measure(near: readonly number[], elements: Elements, { name: topic, maxMessageBytes }: TopicInfo, limit: number, compression: Compression, now: number): Promise<void> {
  const batch = new RecordBatchBuilder();
  for (const k of near) {
    batch.reset();
    elements.write(k, batch, now);
    const { length } = await batch.encode({ compression });
    if (length <= limit) continue;
    const size = (bytes: number): string => bytes.toLocaleString("en-US");
    throw new TicklakeError("KAFKA_RECORD_TOO_LARGE", `${elements.count > 1 ? `Element ${k}` : "The message"} makes ${size(length)} bytes${compression === "none" ? "" : ` (${compression})`}, and topic ${topic} takes at most ${size(limit)} (${maxMessageBytes === undefined ? "socket.request.max.bytes of the broker; the topic's own limit may not be seen" : "max.message.bytes"}). Send smaller ones, ${compression === "none" ? "compress, " : ""}or raise the topic's limit.`, {
      details: { topic, index: k, bytes: length, limit },
    });
  }
}
