/** Waiting between attempts, with clock and randomness injected. */
import { asTicklakeError, TicklakeError } from "./errors";

export interface BackoffOptions {
  readonly firstMs?: number;
  readonly maxMs?: number;
  readonly random?: () => number;
}

/** How long attempt `attempt` (from 1) waits at the most: doubling from `firstMs`, capped. Callers jitter it as suits them. */
export function growingBound(attempt: number, firstMs: number, maxMs: number): number {
  return Math.min(maxMs, firstMs * 2 ** Math.min(attempt - 1, 30));
}

/** Full-jitter exponential back-off: attempt 1 waits up to `firstMs`, each further one up to twice as long, at most `maxMs`. At least a tenth of the bound, so that it never spins. */
export function backoffMs(attempt: number, options: BackoffOptions = {}): number {
  const { firstMs = 500, maxMs = 30_000, random = Math.random } = options;
  return Math.round(growingBound(attempt, firstMs, maxMs) * (0.1 + 0.9 * random()));
}

/** Resolves after `ms`, or at once when the signal aborts (never rejects: the caller looks at the signal). */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) { resolve(); return; }
    const end = () => { clearTimeout(timer); signal?.removeEventListener("abort", end); resolve(); };
    const timer = setTimeout(end, ms);
    signal?.addEventListener("abort", end, { once: true });
  });
}

export interface RetryOptions {
  readonly signal: AbortSignal;
  readonly onRetry?: (error: TicklakeError, waitMs: number) => void;
  readonly pause?: typeof pause;
}

/**
 * Repeats what a repetition can mend, without end, with back-off: an outage is never taken for poison. Other
 * errors, and the stop of the sink, end it.
 */
export async function retrying<T>(work: (signal: AbortSignal) => Promise<T>, { signal, onRetry, pause: wait = pause }: RetryOptions): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    if (signal.aborted) throw new TicklakeError("STOPPED", "The node stopped before this was written.");
    try {
      return await work(signal);
    } catch (caught) {
      const error = asTicklakeError(caught);
      if (error.kind !== "retry" || error.code === "STOPPED" || error.code === "DELIVERY_ABORTED" || signal.aborted) throw error;
      const ms = backoffMs(attempt);
      onRetry?.(error, ms);
      await wait(ms, signal);
    }
  }
}
