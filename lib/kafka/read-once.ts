/**
 * Reads what a topic holds, once: from the first record that is retained up to the end as it was at the start, without a consumer
 * group, so that nothing is left behind on the cluster.
 */
import { asTicklakeError, TicklakeError } from "../errors";
import { backoffMs, pause } from "../retry";
import type { ConsumerWire } from "./consumer/wire";
import { KafkaCode, kafkaError } from "./errors";
import type { Decoded } from "./records/decode";
import type { RecordSet, TopicPartition, TopicRead } from "./types";

const MAX_WAIT_MS = 500;
const PARTITION_BYTES = 4 << 20;
/** What repetition may mend is repeated for so long, counted from the last answer. */
const PATIENCE_MS = 30_000;

/** One reading of one topic; see KafkaClient.readOnce. */
export class TopicReading {
  private leaders: readonly number[] | undefined;

  constructor(private readonly wire: ConsumerWire, private readonly topic: string, private readonly signal?: AbortSignal) {}

  async run(records: (set: RecordSet) => void): Promise<TopicRead[]> {
    const { length } = await this.repeat(() => this.findLeaders());
    const reads: TopicRead[] = [];
    for (let partition = 0; partition < length; partition++) reads.push(await this.partition({ topic: this.topic, partition }, records));
    return reads;
  }

  private async partition(at: TopicPartition, records: (set: RecordSet) => void): Promise<TopicRead> {
    const { earliest, end } = await this.repeat(() => this.wire.bounds(at));
    let position = earliest;
    let count = 0;
    let maxBytes = PARTITION_BYTES;
    while (position < end) {
      const from = position, bytes = maxBytes;
      const { set, damaged, nextOffset, batchBytes } = await this.repeat(() => this.fetch(at, from, bytes));
      if (set) {
        const upTo = countBelow(set, end);
        if (upTo > 0) records(upTo === set.count ? set : set.slice(0, upTo));
        count += upTo;
      }
      if (damaged) throw damaged.error;
      position = nextOffset;
      maxBytes = Math.max(maxBytes, batchBytes ?? 0);
    }
    return { ...at, earliest, end, count };
  }

  private async fetch(at: TopicPartition, offset: bigint, maxBytes: number): Promise<Decoded> {
    const node = (this.leaders ?? await this.findLeaders())[at.partition];
    const doing = `Reading ${at.topic}, partition ${at.partition}`;
    try {
      if (node === undefined || node < 0) throw new TicklakeError("KAFKA_UNREACHABLE", `${doing} failed: the partition has no leader at the moment.`);
      const [answer] = await this.wire.fetch(node, 0, { maxWaitMs: MAX_WAIT_MS, maxBytes, positions: [{ ...at, offset, maxBytes }] });
      if (!answer) throw new TicklakeError("KAFKA_FAILED", `${doing} failed: the broker answered without it.`);
      if (answer.errorCode !== KafkaCode.none) throw kafkaError(answer.errorCode, { doing, details: { ...at } });
      return answer.records.length === 0 ? { nextOffset: offset } : await this.wire.decode(answer, offset);
    } catch (error) {
      // Somebody else may lead it by now.
      this.leaders = undefined;
      throw error;
    }
  }

  private async findLeaders(): Promise<readonly number[]> {
    const state = (await this.wire.metadata([this.topic])).get(this.topic);
    if (state?.error) throw state.error;
    return this.leaders = state?.leaders ?? [];
  }

  private async repeat<T>(attempt: () => Promise<T>): Promise<T> {
    const since = performance.now();
    for (let failures = 1; ; failures++) {
      if (this.signal?.aborted) throw new TicklakeError("STOPPED", `Reading ${this.topic} was stopped.`);
      try {
        return await attempt();
      } catch (caught) {
        const error = asTicklakeError(caught, "KAFKA_FAILED");
        if (error.kind !== "retry" || performance.now() - since > PATIENCE_MS) throw error;
        await pause(backoffMs(failures, { firstMs: 100, maxMs: 2000 }), this.signal);
      }
    }
  }
}

/** What came behind the end of then is left out. */
function countBelow(set: RecordSet, end: bigint): number {
  let count = set.count;
  while (count > 0 && set.offset(count - 1) >= end) count--;
  return count;
}
