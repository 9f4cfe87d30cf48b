import { performance } from "node:perf_hooks";

/** Time as the consumer sees it; tests bring their own. */
export interface Clock {
  /** Monotonic, ms. */
  now(): number;
  /** Calls once after `ms`; the result cancels. */
  after(ms: number, call: () => void): () => void;
}

/** The machine's monotonic clock: it goes on while the process is stopped, which is how a member notices that its session is over. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after: (ms, call) => {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
};

/** Waits that others can end: by `wake` (this wait or, when nobody waits, the next one), by time, or by a signal. */
export class Waiter {
  private woken = false;
  private end: (() => void) | undefined;

  constructor(private readonly clock: Clock) {}

  wake(): void {
    if (this.end) this.end(); else this.woken = true;
  }

  /** Resolves after `ms`, at `wake`, or when the signal aborts. Without `ms` it waits for the others. */
  wait(ms?: number, signal?: AbortSignal): Promise<void> {
    if (this.woken || signal?.aborted) { this.woken = false; return Promise.resolve(); }
    return new Promise((resolve) => {
      const cancel = ms === undefined ? undefined : this.clock.after(ms, () => this.end?.());
      this.end = () => {
        this.end = undefined;
        cancel?.();
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      const onAbort = (): void => this.end?.();
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }
}

/** Waits `ms` or until the signal aborts. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Waiter(clock).wait(ms, signal);
}

/** The promise's result, or `undefined` when it takes longer than `ms` (it goes on, unheeded). Its rejection is passed on. */
export function within<T>(clock: Clock, ms: number, promise: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(ms, () => resolve(undefined));
    promise.then((value) => { cancel(); resolve(value); }, (error: unknown) => { cancel(); reject(error as Error); });
  });
}
