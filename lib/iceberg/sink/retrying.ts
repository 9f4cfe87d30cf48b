import { asTicklakeError, TicklakeError } from "../../errors";
import { backoffMs, pause } from "../../retry";

export interface RetryOptions {
  readonly signal: AbortSignal;
  readonly onRetry?: (error: TicklakeError, waitMs: number) => void;
}

/**
 * Repeats what a repetition can mend, without end, with back-off: an outage is never taken for poison. Other
 * errors, and the stop of the sink, end it.
 */
export async function retrying<T>(work: (signal: AbortSignal) => Promise<T>, { signal, onRetry }: RetryOptions): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    if (signal.aborted) throw new TicklakeError("STOPPED", "The node stopped before this was written.");
    try {
      return await work(signal);
    } catch (caught) {
      const error = asTicklakeError(caught);
      if (error.kind !== "retry" || error.code === "STOPPED" || error.code === "DELIVERY_ABORTED" || signal.aborted) throw error;
      const wait = backoffMs(attempt);
      onRetry?.(error, wait);
      await pause(wait, signal);
    }
  }
}
