import { TicklakeError, asTicklakeError } from "../../errors";
import type { KafkaConsumer } from "../types";
import type { SourceClock } from "./contract";
import type { PartitionReader } from "./reader";

export interface CommitsDeps {
  readonly clock: SourceClock;
  readonly consumer: KafkaConsumer;
  readonly readers: () => Iterable<PartitionReader>;
  /** A sink commits this partition's offsets itself. */
  readonly bySink: (key: string) => boolean;
  readonly failed: (error: TicklakeError) => void;
  /** Partitions that waited for a commit go on. */
  readonly wake: () => void;
}

/** The offset is a cache (the truth is in the tables): once a second is enough. */
const INTERVAL_MS = 1000;

/** Commits what is delivered: in the background, coalesced, one request at a time, and never for a partition that is not ours. */
export class Commits {
  private cancel: (() => void) | undefined;
  private running: Promise<void> | undefined;
  private readonly life = new AbortController();
  private failing = false;

  constructor(private readonly deps: CommitsDeps) {}

  /** Something is to be committed by and by. */
  schedule(): void {
    if (this.cancel || this.life.signal.aborted) return;
    this.cancel = this.deps.clock.after(INTERVAL_MS, () => {
      this.cancel = undefined;
      void this.flush();
    });
  }

  /** Commits now. Resolves when what was delivered before the call is committed, or cannot be; never rejects. */
  async flush(): Promise<void> {
    this.cancel?.();
    this.cancel = undefined;
    while (this.running) await this.running;
    const round = this.round();
    this.running = round;
    try { await round; } finally { if (this.running === round) this.running = undefined; }
  }

  /** Resolves when no commit is under way that began before the call. */
  async atRest(): Promise<void> { await this.running; }

  /** The last commit. What cannot be committed within the time that the caller gives it is read again. */
  async close(): Promise<void> {
    await this.flush();
    this.cancel?.();
    this.life.abort();
  }

  private async round(): Promise<void> {
    const { consumer, bySink } = this.deps;
    const ours = new Set(consumer.assignment.map(({ topic, partition }) => `${topic}/${partition}`));
    const wanted: { reader: PartitionReader; offset: bigint }[] = [];
    let later = false;
    for (const reader of this.deps.readers()) {
      const offset = reader.toCommit;
      if (offset === undefined) continue;
      if (!ours.has(reader.key)) continue;
      // A transaction has committed this with its records already, and a later one may be doing so now: an older offset must not land behind it.
      if (bySink(reader.key)) {
        if (reader.open > 0) { later = true; continue; }
        reader.commitHold = true;
      }
      wanted.push({ reader, offset });
    }
    if (wanted.length === 0) {
      if (later) this.schedule();
      return;
    }
    try {
      await consumer.commit(wanted.map(({ reader, offset }) => ({ ...reader.at, offset })), this.life.signal);
      this.failing = false;
      for (const { reader, offset } of wanted) reader.landed(offset);
    } catch (caught) {
      // What of it took place, nobody knows.
      for (const { reader } of wanted) reader.landed(undefined);
      const error = asTicklakeError(caught, "KAFKA_FAILED");
      // A rebalance took some away: the rest is committed in the next round.
      if (error.code !== "KAFKA_NOT_ASSIGNED" && !this.life.signal.aborted) {
        if (!this.failing) this.deps.failed(error);
        this.failing = true;
      }
    } finally {
      for (const { reader } of wanted) reader.commitHold = false;
      this.deps.wake();
    }
    if (later || [...this.deps.readers()].some((reader) => reader.toCommit !== undefined)) this.schedule();
  }
}
