import type { TradeId } from "./types";

/** Where a message came from: shared by all the keys that it brought. */
export interface Origin {
  /** When it came, ms of the window's clock. */
  readonly at: number;
  /** Topic and partition, where known. */
  readonly log?: string;
  /** Whether its delivery failed: what it brought counts as never seen, because it will be read again. */
  readonly failed?: () => boolean;
}

interface Seen {
  origin: Origin;
  offset: string | undefined;
  /** Position within the record. */
  ordinal: number;
}

/**
 * Knows which trades passed within a window of time. The key is symbol, exchange, id and time of the trade. A record
 * that is read again (same topic, partition and offset) is never its own duplicate. Memory is bounded: beyond
 * `maxKeys` the oldest keys leave before their time, and `cut` counts them.
 */
export class DedupeWindow {
  /** In order of arrival, so that the oldest come first. */
  private readonly seen = new Map<string, Seen>();
  cut = 0;

  constructor(
    private readonly windowMs: number,
    private readonly clock: { now(): number },
    private readonly maxKeys = 1_000_000,
  ) {}

  get size(): number { return this.seen.size; }

  /**
   * Begins a message: what is older than the window is dropped, and what the message brings is remembered under the
   * result. `log` names topic and partition, `failed` tells whether the message's delivery has failed since.
   */
  open(log?: string, failed?: () => boolean): Origin {
    const at = this.clock.now();
    for (const [key, { origin }] of this.seen) {
      if (at - origin.at < this.windowMs) break;
      this.seen.delete(key);
    }
    return { at, ...(log === undefined ? {} : { log }), ...(failed ? { failed } : {}) };
  }

  /** Whether the trade passed before within the window. If not it is remembered now. */
  isDuplicate(origin: Origin, S: string, x: string | null, i: TradeId, t: number, offset: string | undefined, ordinal: number): boolean {
    const key = `${S}\n${x ?? "\t"}\n${i}\n${t}`;
    const before = this.seen.get(key);
    if (before && origin.at - before.origin.at < this.windowMs && !before.origin.failed?.()) {
      const same = offset !== undefined && before.offset === offset && before.ordinal === ordinal && before.origin.log === origin.log;
      if (!same) return true;
    }
    if (before) this.seen.delete(key); // so that it goes to the end: the order is that of arrival
    this.seen.set(key, { origin, offset, ordinal });
    if (this.seen.size > this.maxKeys) {
      this.seen.delete(this.seen.keys().next().value!);
      this.cut++;
    }
    return false;
  }

  clear(): void { this.seen.clear(); }
}
