/** A consumer that remembers what it was told, for tests against a real broker. */
import { KafkaCluster } from "../../lib/kafka/cluster";
import { GroupConsumer } from "../../lib/kafka/consumer/consumer";
import type { ConsumerEvents, ConsumerOptions, ConsumerState, PartitionOffset, RecordSet, TopicPartition } from "../../lib/kafka/types";

export interface Read { readonly topic: string; readonly partition: number; readonly offset: bigint; readonly value: string }

export interface RecorderOptions extends Partial<ConsumerOptions> {
  readonly topics: readonly string[];
  readonly groupId: string;
  /** Where an assigned partition begins; by default what is committed, else 0. Undefined: it is left alone. */
  readonly from?: (at: TopicPartition) => bigint | undefined;
  readonly onRecords?: (set: RecordSet, recorder: Recorder) => void;
  readonly onRebalancing?: (recorder: Recorder) => Promise<void>;
  readonly refreshMs?: number;
}

export class Recorder {
  readonly records: Read[] = [];
  readonly log: string[] = [];
  readonly states: { state: ConsumerState; error: Error | undefined }[] = [];
  readonly lost: TopicPartition[] = [];
  readonly ends = new Map<string, bigint>();
  /** Where records are expected next, per partition: a jump is an error of the consumer unless it was assigned anew. */
  readonly next = new Map<string, bigint>();
  readonly jumps: string[] = [];
  readonly outOfRange: { at: PartitionOffset; earliest: bigint; end: bigint }[] = [];
  readonly damaged: { at: PartitionOffset; error: Error }[] = [];
  readonly advanced: PartitionOffset[] = [];
  readonly consumer: GroupConsumer;

  constructor(brokers: string, options: RecorderOptions) {
    const { from, onRecords, onRebalancing, refreshMs, ...rest } = options;
    const events: ConsumerEvents = {
      ...(onRebalancing && { rebalancing: () => onRebalancing(this) }),
      assigned: (partitions) => {
        this.note("assigned", partitions);
        for (const at of partitions) this.next.delete(keyOf(at));
        void this.place(partitions, from);
      },
      revoked: (partitions, lost) => {
        this.note(lost ? "lost" : "revoked", partitions);
        if (lost) this.lost.push(...partitions);
        for (const at of partitions) this.next.delete(keyOf(at));
      },
      records: (set) => {
        this.take(set);
        onRecords?.(set, this);
      },
      advanced: (at) => {
        this.advanced.push(at);
        this.next.set(keyOf(at), at.offset);
      },
      end: (at) => this.ends.set(keyOf(at), at.offset),
      outOfRange: (at, { earliest, end }) => this.outOfRange.push({ at, earliest, end }),
      damaged: (at, error) => this.damaged.push({ at, error }),
      state: (state, error) => {
        this.states.push({ state, error });
        this.log.push(`${state}${error ? `: ${error.message}` : ""}`);
      },
    };
    const log = (level: string, text: string): void => { this.log.push(`${level} ${text}`); };
    this.consumer = new GroupConsumer({ cluster: () => new KafkaCluster({ brokers: brokers.split(","), clientId: "recorder" }), log, ...(refreshMs !== undefined && { refreshMs }) }, { maxWaitMs: 500, ...rest }, events);
    this.consumer.start();
  }

  get last(): { state: ConsumerState; error: Error | undefined } | undefined {
    return this.states.at(-1);
  }

  /** Commits everything that was read of partitions that are ours. */
  async commitRead(): Promise<void> {
    const offsets = [...this.next].map(([key, offset]) => {
      const [topic, partition] = key.split("/") as [string, string];
      return { topic, partition: Number(partition), offset };
    });
    await this.consumer.commit(offsets).catch((error: Error) => this.log.push(`commit: ${error.message}`));
  }

  values(): string[] {
    return this.records.map((record) => record.value);
  }

  async reads(count: number, timeoutMs = 15_000): Promise<void> {
    await until(() => this.records.length >= count, () => `${count} records; there are ${this.records.length}. ${this.log.join(" | ")}`, timeoutMs);
  }

  async holds(count: number, timeoutMs = 15_000): Promise<void> {
    await until(() => this.consumer.assignment.length === count && this.last?.state === "running", () => `${count} partitions; there are ${this.consumer.assignment.length}. ${this.log.join(" | ")}`, timeoutMs);
  }

  private async place(partitions: readonly TopicPartition[], from: RecorderOptions["from"]): Promise<void> {
    try {
      const committed = from ? partitions.map(from) : (await this.consumer.committed(partitions)).map((offset) => offset ?? 0n);
      partitions.forEach((at, index) => {
        const offset = committed[index];
        if (offset !== undefined) this.consumer.seek({ ...at, offset });
      });
    } catch (error) {
      this.log.push(`place: ${(error as Error).message}`);
    }
  }

  private take(set: RecordSet): void {
    const key = keyOf(set);
    const expected = this.next.get(key);
    if (expected !== undefined && set.offset(0) !== expected) this.jumps.push(`${key}: ${set.offset(0)} instead of ${expected}`);
    for (let k = 0; k < set.count; k++) this.records.push({ topic: set.topic, partition: set.partition, offset: set.offset(k), value: set.value(k)?.toString() ?? "" });
    this.next.set(key, set.nextOffset);
  }

  private note(what: string, partitions: readonly TopicPartition[]): void {
    this.log.push(`${what} ${partitions.map(keyOf).join(",")}`);
  }
}

export function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}

/** Waits for a condition; `what` says what was missing. */
export async function until(condition: () => boolean | Promise<boolean>, what: () => string, timeoutMs = 15_000): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`Not within ${timeoutMs} ms: ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
