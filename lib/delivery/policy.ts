import { TicklakeError } from "../errors";
import { growingBound } from "../retry";
import type { Failure } from "./types";

export interface FailurePolicyOptions {
  readonly onFailure: "retry" | "stop" | "dead-letter";
  /** For stop and dead-letter: failures in a row of one partition. */
  readonly maxAttempts: number;
  /** First pause, ms (500); it doubles with every further failure in a row. */
  readonly baseDelayMs?: number;
  /** Longest pause, ms (30,000). */
  readonly maxDelayMs?: number;
  /** In [0, 1). Math.random by default. */
  readonly random?: () => number;
}

/** What a source does about a failure. */
export type FailureDecision =
  | {
    readonly action: "retry";
    /** Read again after this pause. */
    readonly delayMs: number;
    /** Failures in a row of this partition that count as attempts. */
    readonly attempts: number;
    /** onFailure is dead-letter and the attempts are used up: from now on find the failing records. */
    readonly isolate: boolean;
  }
  | { readonly action: "stop"; readonly attempts: number };

/**
 * What a failed delivery means for its source, the same for all sources. `retry` reads again without end; `stop` gives up
 * after `maxAttempts` failures in a row; `dead-letter` then looks for the records that fail. Pauses grow exponentially up to
 * a cap and are jittered between half and all of that ("equal jitter"), so that partitions that fail together do not come
 * back together. A stopped flow and a cut at a watermark are no attempts and cost no pause. A sink that was fenced (another process took over, or its
 * transaction outlasted an outage) is none either, but pauses: two that fence each other must not do so in a circle.
 */
export class FailurePolicy {
  private readonly attempts = new Map<string, number>();

  constructor(private readonly options: FailurePolicyOptions) {}

  failed(failure: Pick<Failure, "partition" | "error" | "cutAt">): FailureDecision {
    const { onFailure, maxAttempts } = this.options;
    const before = this.attempts.get(failure.partition) ?? 0;
    if (failure.cutAt !== undefined || isNoAttempt(failure.error)) {
      return { action: "retry", delayMs: isFenced(failure.error) ? this.pause(1) : 0, attempts: before, isolate: onFailure === "dead-letter" && before >= maxAttempts };
    }
    const attempts = before + 1;
    this.attempts.set(failure.partition, attempts);
    if (onFailure === "stop" && attempts >= maxAttempts) return { action: "stop", attempts };
    return { action: "retry", delayMs: this.pause(attempts), attempts, isolate: onFailure === "dead-letter" && attempts >= maxAttempts };
  }

  /** Something of this partition (of all, without a name) was delivered, or somebody resumed: attempts count from 0 again. */
  reset(partition?: string): void {
    if (partition === undefined) this.attempts.clear();
    else this.attempts.delete(partition);
  }

  private pause(attempts: number): number {
    const { baseDelayMs = 500, maxDelayMs = 30_000, random = Math.random } = this.options;
    const ceiling = growingBound(attempts, baseDelayMs, maxDelayMs);
    return Math.round(ceiling / 2 + random() * (ceiling / 2));
  }
}

/** Failures that say nothing about the data: flows were stopped, an earlier delivery failed, the batch was cut, somebody else writes this partition now. */
export function isNoAttempt(error: Error): boolean {
  return isFenced(error) || error instanceof TicklakeError && (error.code === "STOPPED" || error.code === "DELIVERY_CUT" || error.code === "DELIVERY_ABORTED");
}

function isFenced(error: Error): boolean { return error instanceof TicklakeError && error.code === "KAFKA_FENCED"; }

/** What a source asks when a delivery failed: again after a pause, or stop until somebody resumes. FailurePolicy behind an adapter, or a script in tests. */
export interface SourcePolicy<C> {
  failed(failure: Failure<C>): { readonly action: "retry"; readonly delayMs: number } | { readonly action: "stop" };
  /** A delivery succeeded, or somebody resumed. */
  reset(): void;
}
