/** Finding the records of a batch that cannot be delivered. Pure: what is sent and when is the caller's business. */

/** A record that failed alone. */
export interface BadRecord {
  /** In the batch, from 0. */
  readonly index: number;
  readonly error: Error;
  /** The node in which it failed, where known. */
  readonly node?: string;
}

export type IsolationStep =
  /** Send these records (`to` exclusive) as a delivery of their own; then `passed`, `failed` or `cut`. */
  | { readonly kind: "send"; readonly from: number; readonly to: number }
  /** Nothing is left to be sent, and others passed: these are the dead letters; then `deadLettered`. */
  | { readonly kind: "dead-letters"; readonly records: readonly BadRecord[] }
  /** So many failed alone, and none passed: whatever it is, it is not the records. Nothing may be thrown out; try all of it later. */
  | { readonly kind: "outage" }
  | { readonly kind: "done" };

/**
 * Halving: the batch is sent whole once more, then in halves of halves in order, until the records that fail stand alone. A record that failed alone is
 * *suspected* and waits; it is proven bad when a record after it passes, or at the end of the batch when any record of it passed. When every record of a batch of two
 * or more fails alone, that is an outage. A batch of one has nothing to compare with: it is taken at its word.
 *
 * In an outage every attempt costs two deliveries per record. So it is also called one when `patience` records failed alone and none passed. The
 * caller raises that from attempt to attempt, and takes more records together: so a run of bad records comes through in the end, however long it is.
 */
export class Isolation {
  private readonly todo: { from: number; to: number }[];
  private suspects: BadRecord[] = [];
  private anyPassed = false;

  /** @param parts where messages end that hold as much as one may, ascending up to `count`: nothing larger is sent. By default all is one message. */
  constructor(readonly count: number, private readonly patience = Infinity, parts: readonly number[] = [count]) {
    this.todo = parts.map((to, k) => ({ from: parts[k - 1] ?? 0, to })).reverse();
  }

  /** Records that failed alone and are not proven bad yet, in order: what is sent next must not overtake them. */
  get suspected(): readonly BadRecord[] { return this.suspects; }

  next(): IsolationStep {
    const range = this.todo.at(-1);
    if (!this.anyPassed && this.suspects.length >= 2 && (!range || this.suspects.length >= this.patience)) return { kind: "outage" };
    if (range) return { kind: "send", ...range };
    return this.suspects.length > 0 ? { kind: "dead-letters", records: this.suspects } : { kind: "done" };
  }

  /** The range passed, so what failed before it is proven bad: returns those. */
  passed(): readonly BadRecord[] {
    this.todo.pop();
    this.anyPassed = true;
    return this.deadLettered();
  }

  /**
   * The range failed: it is halved, or suspected when it is one record. `certain`: the error itself says that it is the record (too large, for one).
   * Returns what is proven bad by that.
   */
  failed(error: Error, node?: string, certain = false): readonly BadRecord[] {
    const { from, to } = this.todo.pop()!;
    if (to - from > 1) {
      const middle = from + Math.ceil((to - from) / 2);
      this.todo.push({ from: middle, to }, { from, to: middle });
      return [];
    }
    const record = { index: from, error, ...(node !== undefined && { node }) };
    if (certain && this.suspects.length === 0) return [record];
    this.suspects.push(record);
    return [];
  }

  /** A sink has everything of the range below this record already: send it in two. False when it does not lie within the range. */
  cut(at: number): boolean {
    const range = this.todo.at(-1);
    if (!range || at <= range.from || at >= range.to) return false;
    this.todo.pop();
    this.todo.push({ from: at, to: range.to }, { from: range.from, to: at });
    return true;
  }

  /** The suspects are on their way as dead letters. */
  deadLettered(): readonly BadRecord[] {
    const proven = this.suspects;
    this.suspects = [];
    return proven;
  }
}
