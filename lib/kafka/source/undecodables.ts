import { TicklakeError } from "../../errors";
import type { TopicPartition } from "../types";
import type { SourceClock } from "./contract";
import { plainOffset, type Undecodable } from "./decode";

/** Errors told at once; of more within the interval there is one for all. */
const AT_ONCE = 5;
const INTERVAL_MS = 10_000;

/**
 * Records that cannot be decoded while output 2 is not wired. They must not vanish silently, and must not cost their neighbours: each is
 * counted and told by an error that names it, a flood of them by one error per ten seconds.
 */
export class Undecodables {
  count = 0;
  private told = 0;
  private begin = -Infinity;
  private untold: { first: string; count: number; reason: string } | undefined;
  private cancel: (() => void) | undefined;

  constructor(private readonly clock: SourceClock, private readonly tell: (error: TicklakeError) => void) {}

  add({ topic, partition }: TopicPartition, { set, index, reason }: Undecodable): void {
    this.count++;
    const now = this.clock.now();
    if (now - this.begin >= INTERVAL_MS) {
      this.begin = now;
      this.told = 0;
    }
    const offset = plainOffset(set.offset(index));
    if (this.told < AT_ONCE) {
      this.told++;
      this.tell(new TicklakeError("RECORD_INVALID", `${topic}/${partition} offset ${offset} cannot be decoded and was passed over: ${reason} Wire output 2 to keep such records.`, { details: { topic, partition, offset } }));
      return;
    }
    if (this.untold) this.untold.count++;
    else {
      this.untold = { first: `${topic}/${partition} offset ${offset}`, count: 1, reason };
      this.cancel = this.clock.after(Math.max(0, this.begin + INTERVAL_MS - now), () => this.summarise());
    }
  }

  /** What is not told yet. */
  end(): void {
    this.cancel?.();
    if (this.untold) this.summarise();
  }

  private summarise(): void {
    const { first, count, reason } = this.untold!;
    this.untold = undefined;
    this.tell(new TicklakeError("RECORD_INVALID", `${count} more records cannot be decoded and were passed over, from ${first} on: ${reason} Wire output 2 to keep such records.`, { details: { count } }));
  }
}
