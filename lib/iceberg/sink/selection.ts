import type { Delivery, Lineage, Part, Run } from "../../delivery/types";
import type { Incoming } from "./lazy-rows";
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
  /** What arrived, where nobody could send it again: it may have to be laid out for other columns. */
  readonly rows?: Incoming;
}

export type Range = readonly [from: number, to: number];

/** A run as the ledger gave it, and those of its deliveries that are still to be committed. */
interface OpenRun { readonly run: Run; readonly deliveries: readonly Delivery[] }

/** What one commit takes: runs of settled deliveries with their messages, and messages without delivery. */
export class Selection {
  private constructor(private readonly open: readonly OpenRun[], readonly entries: readonly Entry[]) {}

  static of(runs: readonly Run[], entries: readonly Entry[]): Selection {
    return new Selection(runs.map((run) => ({ run, deliveries: run.deliveries })), entries);
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
    return this.open.flatMap(({ deliveries }) => {
      const lineage = deliveries[deliveries.length - 1]?.lineage;
      return lineage ? [watermarkOf(writer, lineage, deliveries[0]!.lineage?.firstOffset)] : [];
    });
  }

  /**
   * Checks against the base that a commit attempt builds on, before anything is written. Only batches of which something came here are judged:
   * where a filtered one lies does not matter.
   *
   * @throws TicklakeError DELIVERY_ABORTED when a delivery was aborted meanwhile, or has failed and is about to be; WATERMARK_MOVED when another
   *   process of this writer committed part of it. Either way `cut` and `reduce` tell what is left.
   */
  check(marks: Marks): void {
    if (this.entries.some(({ part }) => !isWanted(part)) || this.open.some(({ deliveries }) => deliveries.some((d) => d.state === "aborted")) || this.pending) {
      throw new TicklakeError("DELIVERY_ABORTED", "A delivery was aborted while its commit was being prepared.");
    }
    for (const { part } of this.entries) {
      if (isBelow(part, marks) || cutOf(part, marks) !== undefined) throw moved(part.deliveries[0]!.lineage!);
    }
    for (const { deliveries } of this.open) {
      const last = deliveries[deliveries.length - 1]?.lineage;
      if (last && compareWithMark(last, marks) === "below") throw moved(last);
    }
  }

  /** Something of it has failed, but the ledger has not aborted its deliveries yet: until then nobody can tell what is left. */
  get pending(): boolean {
    return this.open.some(({ run, deliveries }) => {
      const failed = run.parts.filter((part) => part.state === "failed");
      if (failed.length === 0) return false;
      const open = new Set(deliveries);
      return failed.some((part) => part.deliveries.some((d) => open.has(d) && d.state !== "aborted"));
    });
  }

  /** Fails batches that straddle the watermark, with `cutAt`. The ledger aborts them, and all that follow, in a later turn: see `pending`. */
  cut(marks: Marks): void {
    for (const { part } of this.entries) {
      const cutAt = isWanted(part) ? cutOf(part, marks) : undefined;
      if (cutAt !== undefined) part.fail(straddles(cutAt), { cutAt });
    }
  }

  /** What is left after deliveries were aborted or turned out to be in the table already: aborted ones go, those wholly below the watermark are handed to `duplicate`. */
  reduce(marks: Marks, duplicate: (entry: Entry) => void): Selection {
    const left: Entry[] = [];
    for (const entry of this.entries) {
      if (!isWanted(entry.part)) continue;
      if (isBelow(entry.part, marks)) duplicate(entry);
      else left.push(entry);
    }
    const open: OpenRun[] = [];
    for (const { run, deliveries: before } of this.open) {
      const deliveries = before.filter((d) => d.state !== "aborted" && !(d.lineage && compareWithMark(d.lineage, marks) === "below"));
      if (deliveries.length > 0) open.push({ run, deliveries });
    }
    return new Selection(open, left);
  }
}

function moved({ topic, partition, firstOffset }: Lineage): TicklakeError {
  return new TicklakeError("WATERMARK_MOVED", `Another process of this writer committed ${topic}/${partition} beyond offset ${firstOffset} meanwhile.`);
}

/** Neither over nor failed: its rows are to be written. */
function isWanted(part: Part): boolean { return part.state === "taken" || part.state === "parked"; }

/** Where a batch must be cut because the table holds its beginning. A message joined from several batches cannot be cut. */
export function cutOf(part: Part, marks: Marks): bigint | undefined {
  const lineage = part.deliveries.length === 1 ? part.deliveries[0]!.lineage : undefined;
  const place = lineage ? compareWithMark(lineage, marks) : "new";
  return typeof place === "bigint" ? place : undefined;
}

/** Whether everything that the message came from is in the table already. */
export function isBelow(part: Part, marks: Marks): boolean {
  return part.deliveries.length > 0 && part.deliveries.every((d) => d.lineage !== undefined && compareWithMark(d.lineage, marks) === "below");
}

/** The error that asks a source to read a batch again in two pieces. */
export function straddles(cutAt: bigint): TicklakeError {
  return new TicklakeError("DELIVERY_CUT", `The table holds this batch up to offset ${cutAt} already: it is read again and cut there.`);
}
