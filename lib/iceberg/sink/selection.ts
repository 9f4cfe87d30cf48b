import type { Lineage, Part, Run } from "../../delivery/types";
import type { Watermark } from "../watermarks";
import { TicklakeError } from "../../errors";
import { compareWithMark, watermarkOf, type Marks } from "./marks";

/** Rows of one message in the accumulator: numbers [from, to). */
export interface Entry {
  readonly part: Part;
  readonly from: number;
  readonly to: number;
  /** Clock at arrival, ms: the oldest entry decides when the next commit is due. */
  readonly arrivedAt: number;
}

export type Range = readonly [from: number, to: number];

/** A run as the ledger gave it, and what of its lineage is still to be committed. */
interface OpenRun { readonly run: Run; readonly lineage: Lineage | undefined }

/** What one commit takes: runs of settled deliveries with their messages, and messages without delivery. */
export class Selection {
  private constructor(private readonly open: readonly OpenRun[], readonly entries: readonly Entry[]) {}

  static of(runs: readonly Run[], entries: readonly Entry[]): Selection {
    return new Selection(runs.map((run) => ({ run, lineage: run.lineage })), entries);
  }

  /** The ledger's runs of which something is left. */
  get runs(): readonly Run[] { return this.open.map(({ run }) => run); }

  get parts(): readonly Part[] { return this.entries.map((entry) => entry.part); }

  get rows(): number { return this.entries.reduce((sum, { from, to }) => sum + to - from, 0); }

  /** The accumulator's row numbers, ascending, neighbours joined. */
  get ranges(): Range[] {
    const ranges: [number, number][] = [];
    for (const { from, to } of [...this.entries].sort((a, b) => a.from - b.from)) {
      if (from === to) continue;
      const last = ranges[ranges.length - 1];
      if (last && last[1] === from) last[1] = to;
      else ranges.push([from, to]);
    }
    return ranges;
  }

  /** The watermarks that are true once this is committed. */
  watermarks(writer: string): Watermark[] {
    return this.open.flatMap(({ lineage }) => (lineage ? [watermarkOf(writer, lineage)] : []));
  }

  /**
   * Checks against the base that a commit attempt builds on, before anything is written.
   *
   * @throws TicklakeError DELIVERY_ABORTED when a delivery was aborted meanwhile; WATERMARK_MOVED when another process
   *   of this writer committed part of it. Either way `reduce` tells what is left.
   */
  check(marks: Marks): void {
    if (this.entries.some(({ part }) => part.state === "dropped")) {
      throw new TicklakeError("DELIVERY_ABORTED", "A delivery was aborted while its commit was being prepared.");
    }
    for (const { lineage } of this.open) {
      if (lineage && compareWithMark(lineage, marks) !== "new") {
        throw new TicklakeError("WATERMARK_MOVED", `Another process of this writer committed ${lineage.topic}/${lineage.partition} beyond offset ${lineage.firstOffset} meanwhile.`);
      }
    }
  }

  /**
   * What is left after deliveries were aborted or turned out to be in the table already: aborted ones go; those wholly
   * below the watermark are handed to `duplicate`; one that straddles it is failed with `cutAt`, which aborts all that follow.
   */
  reduce(marks: Marks, duplicate: (entry: Entry) => void): Selection {
    for (const { part } of this.entries) {
      if (part.state === "dropped" || part.deliveries.length !== 1) continue;
      const place = part.deliveries[0]!.lineage ? compareWithMark(part.deliveries[0]!.lineage, marks) : "new";
      if (typeof place === "bigint") part.fail(straddles(place), { cutAt: place });
    }
    const left: Entry[] = [];
    for (const entry of this.entries) {
      if (entry.part.state === "dropped" || entry.part.state === "failed") continue;
      if (isBelow(entry.part, marks)) duplicate(entry);
      else left.push(entry);
    }
    const open: OpenRun[] = [];
    for (const { run } of this.open) {
      const deliveries = run.deliveries.filter((d) => d.state !== "aborted" && !(d.lineage && compareWithMark(d.lineage, marks) === "below"));
      if (deliveries.length === 0) continue;
      const first = deliveries[0]!.lineage, last = deliveries[deliveries.length - 1]!.lineage;
      open.push({ run, lineage: first && last && { ...last, firstOffset: first.firstOffset } });
    }
    return new Selection(open, left);
  }
}

/** Whether everything that the message came from is in the table already. */
export function isBelow(part: Part, marks: Marks): boolean {
  return part.deliveries.length > 0 && part.deliveries.every((d) => d.lineage !== undefined && compareWithMark(d.lineage, marks) === "below");
}

/** The error that asks a source to read a batch again in two pieces. */
export function straddles(cutAt: bigint): TicklakeError {
  return new TicklakeError("DELIVERY_CUT", `The table holds this batch up to offset ${cutAt} already: it is read again and cut there.`);
}
