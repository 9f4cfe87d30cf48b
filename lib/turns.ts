/** Work that takes turns: so many at a time, so many that wait, no more. */
import { TicklakeError } from "./errors";

export class Turns {
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /**
   * @param atATime how many have their turn at once
   * @param mostWaiting how many wait at the most: who asks faster than it is answered must not fill the memory
   */
  constructor(private readonly atATime: number, private readonly mostWaiting: number) {}

  /**
   * Resolves when it is one's turn; `end` gives it to the next.
   *
   * @throws TicklakeError SQL_BUSY when too many wait already
   */
  async begin(): Promise<void> {
    if (this.#running < this.atATime) { this.#running++; return; }
    if (this.#waiting.length >= this.mostWaiting) {
      throw new TicklakeError("SQL_BUSY", `${this.mostWaiting} queries wait for their turn already. Send queries less often, or make them cheaper: fewer columns, a filter by time.`);
    }
    // Whoever ends hands the turn over, so that nobody slips in between.
    await new Promise<void>((next) => this.#waiting.push(next));
  }

  /** Once for each `begin` that resolved. */
  end(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#running--;
  }

  /** Wakes all that wait, so that they can see that it is over; each calls `end`. */
  wake(): void {
    const waiting = this.#waiting.splice(0);
    this.#running += waiting.length;
    for (const next of waiting) next();
  }
}
