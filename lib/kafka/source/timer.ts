import type { SourceClock } from "./contract";

/** One thing that is due later. */
export class Timer {
  /** When (Unix ms); undefined when nothing is. */
  at: number | undefined;
  private cancelTimer: (() => void) | undefined;
  private then: (() => void) | undefined;

  constructor(private readonly clock: SourceClock) {}

  /** In place of what was due before. */
  after(ms: number, then: () => void): void {
    this.cancel();
    this.at = this.clock.now() + ms;
    this.then = then;
    this.cancelTimer = this.clock.after(ms, () => this.hurry());
  }

  /** Does it now. */
  hurry(): void {
    const { then } = this;
    this.cancel();
    then?.();
  }

  cancel(): void {
    this.cancelTimer?.();
    this.cancelTimer = this.then = this.at = undefined;
  }
}
