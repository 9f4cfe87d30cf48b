/**
 * When trades are due. Everything is computed from the start of a pass and never from the trade before, so nothing
 * adds up: after a day the last trade is as punctual as the first.
 */

export const PACES = ["original", "speed", "rate", "max"] as const;
/** `original`: as the market did. `speed`: so many times faster. `rate`: so many trades a second. `max`: as fast as it drains. */
export type PaceName = (typeof PACES)[number];

export interface Pace {
  readonly name: PaceName;
  /** For `speed`: factor, above 0. */
  readonly speed: number;
  /** For `rate`: trades a second, above 0. */
  readonly rate: number;
}

/** Trades that are due within this time of each other may share a batch: no symbol is held back longer (ms of real time). */
export const BATCH_SPAN_MS = 250;

/** A stalled `rate` makes up for this much; what is beyond is dropped from the schedule: a rate is also an upper bound. */
const RATE_CATCH_UP_MS = 1000;

/** Time and turns of the event loop, so that tests need not wait. */
export interface PaceClock {
  /** Unix ms that never jump. */
  now(): number;
  /** Resolves after `ms`, or at once when aborted; never rejects. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** Resolves in a later turn of the event loop. */
  yield(): Promise<void>;
}

/** setTimeout takes 31 bits (24.8 days). */
const LONGEST_TIMER = 2_147_483_647;

export const systemClock: PaceClock = {
  now: () => performance.timeOrigin + performance.now(),
  sleep: (ms, signal) => new Promise((resolve) => {
    if (signal.aborted) { resolve(); return; }
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    // Who sleeps looks at the clock again, so an overlong sleep may end early.
    const timer = setTimeout(end, Math.min(ms, LONGEST_TIMER));
    signal.addEventListener("abort", end);
  }),
  yield: () => new Promise((resolve) => { setImmediate(resolve); }),
};

/** The schedule of one pass over a file. */
export class Schedule {
  /** Clock at which the pass began, moved on by pauses. */
  private base: number | undefined;
  private firstTime = 0;

  constructor(private readonly pace: Pace) {}

  get timed(): boolean { return this.pace.name !== "max"; }
  get begun(): boolean { return this.base !== undefined; }

  /** The first trade goes out now. */
  begin(now: number, time: number): void {
    this.base = now;
    this.firstTime = time;
  }

  /** When a trade is due, ms after the beginning. `index` counts the trades of the pass from 0, `time` is its market time. */
  due(time: number, index: number): number {
    switch (this.pace.name) {
      case "original": return time - this.firstTime;
      case "speed": return (time - this.firstTime) / this.pace.speed;
      case "rate": return (index * 1000) / this.pace.rate;
      case "max": return 0;
    }
  }

  /** Ms until then; not above 0 when it is time. */
  wait(due: number, now: number): number { return this.base === undefined ? 0 : this.base + due - now; }

  /** The clock stood still for the market, too (pause). */
  postpone(ms: number): void { if (this.base !== undefined) this.base += ms; }

  /** A batch could not go out when it was due: a rate does not make up for a long stall. */
  stalled(due: number, now: number): void {
    if (this.pace.name !== "rate" || this.base === undefined) return;
    const late = now - (this.base + due);
    if (late > RATE_CATCH_UP_MS) this.base += late - RATE_CATCH_UP_MS;
  }
}

/** A waiting time in words that fit a status: `12 s`, `35 min`, `15 h`, `3 d`. */
export function formatWait(ms: number): string {
  const s = ms / 1000;
  if (s < 90) return `${Math.ceil(s)} s`;
  if (s < 90 * 60) return `${Math.round(s / 60)} min`;
  if (s < 36 * 3600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86_400)} d`;
}
