import type { Part } from "../../delivery/types";
import type { SinkOptions } from "./options";

/** Rows without delivery that may wait, as a multiple of a commit's bounds: nothing upstream slows them down. */
const UNPROTECTED_COMMITS = 4;

/** How many rows wait that belong to no delivery: nobody sends them again, and nobody holds them back. */
export class UnprotectedRows {
  #rows = 0;

  constructor(private readonly options: Pick<SinkOptions, "maxRows" | "maxBytes">) {}

  get rows(): number { return this.#rows; }

  /** These wait from now on; of a part with a delivery nothing is counted. */
  add({ deliveries }: Part, rows: number): void { if (deliveries.length === 0) this.#rows += rows; }

  /** These do not wait any more, whatever became of them. */
  remove({ deliveries }: Part, rows: number): void { if (deliveries.length === 0) this.#rows -= rows; }

  clear(): void { this.#rows = 0; }

  /** Whether so many more are too many, where columns hold `bytes`. The first message is always taken. */
  refuses(more: number, bytes: number): boolean {
    if (this.#rows === 0) return false;
    return this.#rows + more > UNPROTECTED_COMMITS * this.options.maxRows || bytes > UNPROTECTED_COMMITS * this.options.maxBytes;
  }
}
