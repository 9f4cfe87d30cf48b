/**
 * Reads from storage, a bounded number at a time, and stops asking when the query is stopped.
 */
import { stopped } from "../errors";

/** Runs at most `most` pieces of work at a time, in the order in which they came. */
export class Requests {
  private running = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(private readonly most: number) {}

  /** @throws TicklakeError STOPPED when the signal comes before the work is done; the work itself may go on for a moment, and its result is dropped */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.running >= this.most) await new Promise<void>((next) => this.waiting.push(next));
    this.running++;
    try {
      if (signal?.aborted) throw stopped();
      return await unlessStopped(work(), signal);
    } finally {
      this.running--;
      this.waiting.shift()?.();
    }
  }
}

async function unlessStopped<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  let abort: (() => void) | undefined;
  try {
    return await Promise.race([work, new Promise<never>((_, fail) => { signal.addEventListener("abort", abort = () => fail(stopped())); })]);
  } finally {
    if (abort) signal.removeEventListener("abort", abort);
  }
}
