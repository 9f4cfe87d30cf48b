import { TicklakeError } from "../../errors";
import { onAbort } from "../producer/signals";

/**
 * What `work` gives, or STOPPED as soon as `signal` aborts: whoever stops does not wait for the answer of a broker that is silent. The work itself goes on.
 *
 * @throws TicklakeError STOPPED
 */
export function stoppable<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const stopped = (): TicklakeError => new TicklakeError("STOPPED", "The node stopped before Kafka had answered.");
  if (signal.aborted) return Promise.reject(stopped());
  return new Promise((resolve, reject) => {
    const forget = onAbort(signal, () => { reject(stopped()); });
    work().then(resolve, reject).finally(forget);
  });
}
