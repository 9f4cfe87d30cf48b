import { TicklakeError } from "../../errors";
import { backoffMs } from "../../retry";
import { Waiter, type Clock } from "./clock";
import type { ConsumerWire, TopicState } from "./wire";
import type { TopicPartition } from "../types";

/** Read again as often as this, so that new partitions are noticed. */
export const REFRESH_MS = 30_000;
/** While a topic is missing it is looked for as often as this, so that creating it is felt at once. */
const MISSING_MS = 1000;
/** A burst of reasons to look again is one look. */
const BURST_MS = 100;

export interface TopicEvents {
  /** What is known of topics has been read anew. `error`: topics of ours that cannot be read. */
  refreshed(error: Error | undefined): void;
}

/** Watches the topics: which partitions there are and who leads them. */
export class TopicWatch {
  private readonly known = new Map<string, TopicState>();
  private readonly waiter: Waiter;
  private others: readonly string[] = [];
  private underWay: Promise<void> | undefined;
  private attempt = 0;
  private earliestNext = 0;

  constructor(
    private readonly topics: readonly string[], private readonly wire: Pick<ConsumerWire, "metadata">, private readonly clock: Clock,
    private readonly random: () => number, private readonly events: TopicEvents, private readonly signal: AbortSignal, private readonly refreshMs = REFRESH_MS,
  ) {
    this.waiter = new Waiter(clock);
  }

  /** Runs until the signal: reads metadata now and then, and whenever `refreshSoon` asks. */
  async run(): Promise<void> {
    while (!this.signal.aborted) {
      try {
        await this.read();
        this.attempt = 0;
      } catch {
        this.attempt++;
      }
      await this.waiter.wait(this.nextWait(), this.signal);
      const early = this.earliestNext - this.clock.now();
      if (early > 0) await new Waiter(this.clock).wait(early, this.signal);
    }
  }

  /** Something is wrong with a leader or a topic: look again. */
  refreshSoon(): void {
    this.waiter.wake();
  }

  leader(at: TopicPartition): number | undefined {
    const leader = this.known.get(at.topic)?.leaders[at.partition];
    return leader === undefined || leader < 0 ? undefined : leader;
  }

  /** Partitions of each topic that exists, read from the cluster now. Leaders of groups are asked for topics that they do not read themselves. */
  async counts(topics: readonly string[]): Promise<Map<string, number>> {
    this.others = topics;
    await this.read();
    return this.knownCounts(topics);
  }

  /** The same as of the last reading. */
  knownCounts(topics: readonly string[]): Map<string, number> {
    return new Map(topics.flatMap((topic) => {
      const count = this.known.get(topic)?.leaders.length ?? 0;
      return count > 0 ? [[topic, count] as const] : [];
    }));
  }

  /** This member does not lead its group any more. */
  watchOwnOnly(): void {
    this.others = [];
  }

  /** Reads once, however many ask at the same time. */
  private async read(): Promise<void> {
    // One that began before may not ask for all that is wanted now; those who wait for it share the next.
    const before = this.underWay;
    if (before) await before.catch(() => {});
    this.underWay ??= this.readNow().finally(() => { this.underWay = undefined; });
    return this.underWay;
  }

  private async readNow(): Promise<void> {
    const names = [...new Set([...this.topics, ...this.others])];
    const found = await this.wire.metadata(names);
    for (const name of names) this.known.set(name, found.get(name) ?? { leaders: [] });
    for (const name of [...this.known.keys()]) if (!names.includes(name)) this.known.delete(name);
    this.earliestNext = this.clock.now() + BURST_MS;
    if (!this.signal.aborted) this.events.refreshed(this.problem());
  }

  private problem(): Error | undefined {
    const bad = this.topics.filter((topic) => this.known.get(topic)?.error || !this.known.get(topic)?.leaders.length);
    const [first] = bad;
    if (first === undefined) return undefined;
    const error = this.known.get(first)?.error;
    if (bad.length === 1 && error instanceof TicklakeError) return error;
    const names = bad.map((topic) => `"${topic}"`).join(", ");
    return new TicklakeError(error instanceof TicklakeError ? error.code : "KAFKA_TOPIC_UNKNOWN",
      `Topics ${names} cannot be read${error ? ` (${error.message})` : ""}. Create them or correct their names; reading begins when they are there.`, { cause: error, details: { topics: bad } });
  }

  private nextWait(): number {
    if (this.attempt > 0) return backoffMs(this.attempt, { firstMs: 200, maxMs: 5000, random: this.random });
    return this.problem() || this.leaderless() ? Math.min(MISSING_MS, this.refreshMs) : this.refreshMs;
  }

  private leaderless(): boolean {
    return this.topics.some((topic) => this.known.get(topic)?.leaders.some((leader) => leader < 0));
  }
}
