/** Finding the records of a batch that cannot be delivered. Pure: what is sent and when is the caller's business. */

/** A record that failed alone. */
export interface BadRecord {
  /** In the batch, from 0. */
  readonly index: number;
  readonly error: Error;
  /** The node in which it failed, where known. */
  readonly node?: string;
}

/** A record that failed alone and is not proven bad yet, or waits behind one that is not. */
export interface Suspect extends BadRecord {
  /** How often others passed after it had failed. */
  readonly rounds: number;
  readonly proven: boolean;
}

export type IsolationStep =
  /** Send these records (`to` exclusive) as a delivery of their own; then `passed`, `failed` or `cut`. */
  | { readonly kind: "send"; readonly from: number; readonly to: number }
  /** Others pass now: try this suspect once more, alone; then `probeFailed`. If it passes, it was an outage that is over: read everything from the first suspect on again. */
  | { readonly kind: "probe"; readonly index: number }
  /** All is sent, and suspects are left of which nobody can tell yet: `extend`, `othersPassed`, `convict`, or give up and try them again later. */
  | { readonly kind: "evidence" }
  /** So many failed alone, and none passed: whatever it is, it is not the records. Nothing may be thrown out; try all of it later. */
  | { readonly kind: "outage" }
  | { readonly kind: "done" };

/** Failed, others passed, failed again, others passed: an outage would have had to end and to begin anew between neighbours, twice. */
export const PROOF = 2;
/** More may fail in a row where something has passed before: so an outage that begins there does not cost two deliveries for every record that is left. */
const PATIENCE_BEHIND = 4;

/**
 * Halving: the batch is sent whole once more, then in halves of halves in order, until the records that fail stand alone. A record that failed alone is
 * *suspected* and waits. An outage may begin and end at any moment, so one failure beside neighbours that pass proves nothing: when something passes after it, the
 * suspect is tried once more, and it is proven bad when it fails again and something passes after that as well. When every record of a batch of two or more
 * fails alone, that is an outage. An error may say itself that it is the record (`certain`): that needs no neighbours.
 *
 * In an outage every attempt costs two deliveries per record. So it is also called one when `patience` records failed alone and none passed. The
 * caller raises that from attempt to attempt, and takes more records together: so a run of bad records comes through in the end, however long it is.
 */
export class Isolation {
  private readonly todo: { from: number; to: number }[];
  private suspects: { index: number; error: Error; node?: string; rounds: number; proven: boolean; probe: boolean }[] = [];
  private anyPassed = false;
  /** Records that failed alone since something passed. */
  private failedInRow = 0;

  /** @param parts where messages end that hold as much as one may, ascending up to `count`: nothing larger is sent. By default all is one message. */
  constructor(private count: number, private readonly patience = Infinity, parts: readonly number[] = [count]) {
    this.todo = parts.map((to, k) => ({ from: parts[k - 1] ?? 0, to })).reverse();
  }

  /** Records that failed alone and are not on their way to the dead letters, in order: what is sent next must not overtake them. */
  get suspected(): readonly Suspect[] { return this.suspects; }
  /** Those of them that are not proven bad. */
  get open(): readonly Suspect[] { return this.suspects.filter(({ proven }) => !proven); }
  /** Whether looking further may tell something; else it is rather an outage. */
  get isPatient(): boolean { return this.failedInRow < this.patience; }

  next(): IsolationStep {
    const range = this.todo.at(-1);
    if (this.anyPassed ? this.failedInRow >= PATIENCE_BEHIND * this.patience : this.suspects.length >= 2 && (!range || !this.isPatient)) return { kind: "outage" };
    const probe = this.suspects.find((suspect) => suspect.probe);
    if (probe) return { kind: "probe", index: probe.index };
    if (!range) return { kind: this.suspects.length > 0 ? "evidence" : "done" };
    // The last ones are sent in two: one half for the suspects to be tried again, one to pass after that.
    if (this.todo.length === 1 && this.suspects.some(({ proven, rounds }) => !proven && rounds === 0)) this.halve();
    return { kind: "send", ...this.todo.at(-1)! };
  }

  /** The range passed. `evidence`: its records got somewhere (false when none of them was sent to where the suspects failed). Returns what is proven bad by that. */
  passed(evidence = true): readonly BadRecord[] {
    this.todo.pop();
    if (!evidence) return [];
    this.anyPassed = true;
    return this.othersPassed();
  }

  /** Records of elsewhere, sent after the suspects had failed, have passed. Returns what is proven bad by that. */
  othersPassed(): readonly BadRecord[] {
    this.failedInRow = 0;
    for (const suspect of this.suspects) {
      suspect.proven ||= ++suspect.rounds >= PROOF;
      suspect.probe = !suspect.proven;
    }
    return this.leave();
  }

  /**
   * The range failed: it is halved, or suspected when it is one record. `certain`: the error itself says that it is the record (too large, for one). `rounds`: what is known
   * of that record from an earlier attempt. Returns what is proven bad by that.
   */
  failed(error: Error, node?: string, certain = false, rounds = 0): readonly BadRecord[] {
    if (this.halve()) return [];
    const { from } = this.todo.pop()!;
    const proven = certain || rounds >= PROOF;
    if (!proven) this.failedInRow++;
    this.suspects.push({ index: from, error, ...(node !== undefined && { node }), rounds, proven, probe: false });
    return this.leave();
  }

  /** The suspect under test failed again. Returns what is proven bad by that. */
  probeFailed(certain = false): readonly BadRecord[] {
    const suspect = this.suspects.find(({ probe }) => probe)!;
    suspect.probe = false;
    suspect.proven ||= certain;
    return this.leave();
  }

  /** A sink has everything of the range below this record already: send it in two. False when it does not lie within the range. */
  cut(at: number): boolean {
    const range = this.todo.at(-1);
    if (!range || at <= range.from || at >= range.to) return false;
    this.todo.pop();
    this.todo.push({ from: at, to: range.to }, { from: range.from, to: at });
    return true;
  }

  /** So many records that follow are looked at as well. */
  extend(count: number): void {
    this.todo.unshift({ from: this.count, to: this.count += count });
  }

  /** Nothing else will ever tell: the suspects are taken for bad. */
  convict(): readonly BadRecord[] {
    for (const suspect of this.suspects) suspect.proven = true;
    return this.leave();
  }

  private halve(): boolean {
    const { from, to } = this.todo.at(-1)!;
    return this.cut(from + Math.ceil((to - from) / 2));
  }

  /** Those proven bad, up to the first one that is not: they leave in order. */
  private leave(): readonly BadRecord[] {
    const stays = this.suspects.findIndex(({ proven }) => !proven);
    return this.suspects.splice(0, stays < 0 ? this.suspects.length : stays).map(({ index, error, node }) => ({ index, error, ...(node !== undefined && { node }) }));
  }
}
