import type { LogPosition } from "../../delivery/types";
import type { ReadWatermarks, Watermark } from "../watermarks";
import { markKey, type Marks } from "./marks";

/** Rows that were in the table are gone: records [to, from) are to be read once more. */
export interface Reversal {
  readonly at: LogPosition;
  readonly to: bigint;
  readonly from: bigint;
  /** `rolled-back`: the table is the same. `replaced`: another one has its name, which holds less. */
  readonly cause: "rolled-back" | "replaced";
}

interface Pending extends Reversal {
  /** The table's watermark when it was found: once that moves, somebody has begun to write them again. */
  readonly stands: bigint | undefined;
}

/** Where a table stands for one writer, followed from version to version. Pure; no I/O. */
export class Standing {
  /** The next offset of each partition; those of another cluster that were found to be the same log included. */
  marks: Marks = new Map();
  #known = new Map<string, Watermark>();
  readonly #adopted = new Map<string, Watermark>();
  /** Found and not asked for yet. */
  #pending = new Map<string, Pending>();
  /** The source was asked for these already. */
  readonly #asked = new Map<string, Pending>();
  #before: Standing | undefined;

  /**
   * @param uuid of the table
   * @param before of the table that had this name before, as far as this process knows (perhaps the same one)
   */
  constructor(private readonly writer: string, readonly uuid: string, before?: Standing) {
    this.#before = before;
  }

  /** Takes over what a newer version of the table tells. */
  follow({ watermarks, reversed, reset }: ReadWatermarks): void {
    const now = this.#mine(watermarks), taken = this.#mine(reversed), onPurpose = this.#mine(reset);
    const found = new Map<string, Pending>();
    const lost = (before: Watermark, cause: Reversal["cause"]): void => {
      const key = markKey(before), mark = now.get(key);
      if ((found.get(key)?.from ?? -1n) >= before.nextOffset || (mark && mark.nextOffset >= before.nextOffset)) return;
      found.set(key, { at: before, to: mark?.nextOffset ?? before.firstOffset ?? 0n, from: before.nextOffset, cause, stands: mark?.nextOffset });
    };
    const before = this.#before;
    this.#before = undefined;
    // A new table without watermarks has begun anew on purpose; one that has some holds what is below them.
    if (before && before.uuid !== this.uuid) for (const [key, mark] of before.#known) if (now.has(key)) lost(mark, "replaced");
    const known = before?.uuid === this.uuid ? before.#known : this.#known;
    for (const [key, mark] of known) if (!onPurpose.has(key)) lost(mark, "rolled-back");
    for (const mark of taken.values()) lost(mark, "rolled-back");
    for (const [key, pending] of this.#pending) if (!found.has(key) && !onPurpose.has(key) && now.get(key)?.nextOffset === pending.stands) found.set(key, pending);
    for (const [key, asked] of [...this.#asked]) {
      const stands = now.get(key)?.nextOffset, again = found.get(key);
      this.#asked.delete(key);
      // It goes on as long as the table gets on from where it stood. Written up to where it was: it is over.
      if (again?.from !== asked.from || (stands ?? -1n) < (asked.stands ?? -1n)) continue;
      found.delete(key);
      this.#asked.set(key, again);
    }
    this.#pending = found;
    this.#known = now;
    this.#updateMarks();
  }

  /** Reversals that nobody was asked for yet. */
  get reversals(): readonly Reversal[] { return [...this.#pending.values()]; }

  /** The source was asked: once is enough. */
  asked(reversal: Reversal): void {
    const key = markKey(reversal.at), pending = this.#pending.get(key);
    if (!pending) return;
    this.#pending.delete(key);
    this.#asked.set(key, pending);
  }

  /** A source begins to read a partition: it may know nothing of what an earlier one was asked for. */
  askAgain(at: LogPosition): void {
    const key = markKey(at), pending = this.#asked.get(key);
    if (!pending) return;
    this.#asked.delete(key);
    this.#pending.set(key, pending);
  }

  /** The watermark of a partition. */
  mark(at: LogPosition): Watermark | undefined { return this.#known.get(markKey(at)) ?? this.#adopted.get(markKey(at)); }

  /** The watermarks of the same group, topic and partition under other cluster ids. */
  foreign({ cluster, group, topic, partition }: LogPosition): Watermark[] {
    return [...this.#known.values()].filter((mark) => mark.cluster !== cluster && mark.group === group && mark.topic === topic && mark.partition === partition);
  }

  /** The log is the one that the table knows under another cluster id. */
  adopt(at: LogPosition, mark: Watermark): void {
    this.#adopted.set(markKey(at), { ...mark, cluster: at.cluster });
    this.#updateMarks();
  }

  /** Adopted watermarks of a partition are forgotten with its own. */
  forget(at: LogPosition): void {
    this.#adopted.delete(markKey(at));
    this.#updateMarks();
  }

  #updateMarks(): void {
    this.marks = new Map([...this.#adopted, ...this.#known].map(([key, mark]) => [key, mark.nextOffset]));
  }

  #mine(watermarks: readonly Watermark[]): Map<string, Watermark> {
    return new Map(watermarks.filter((mark) => mark.writer === this.writer).map((mark) => [markKey(mark), mark]));
  }
}

/** What happened, for the user: names table and range. */
export function describeReversal(table: string, { at, to, from, cause }: Reversal): string {
  const what = cause === "replaced" ? `Table ${table} was replaced by one that holds less` : `Table ${table} was rolled back behind what this node has written`;
  return `${what}: ${at.topic}/${at.partition} (group ${at.group}) is back at offset ${to}, it was at ${from}. Records ${to} to ${from - 1n} are read again and written once.`;
}
