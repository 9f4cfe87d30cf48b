import type { LogView } from "../../delivery/types";
import { asTicklakeError, TicklakeError } from "../../errors";
import { backoffMs } from "../../retry";
import type { RecordSet } from "../types";
import type { SourceClock } from "./contract";

export interface LogGuardDeps {
  /** topic/partition, for messages. */
  readonly key: string;
  readonly clock: SourceClock;
  readonly log: LogView;
  readonly earliest: () => Promise<bigint>;
}

/** No jitter: partitions that ask together ask one cluster for two small answers, and the second look must not come too soon. */
const certainly = (): number => 1;

/** Another log has the name of the one that was read. */
export interface ReplacedLog {
  /** Where that one begins. */
  readonly earliest: bigint;
  /** It ends before the record that was read last. */
  readonly isShorter: boolean;
  readonly error: TicklakeError;
}

/**
 * Remembers the last record that was read of a partition, so that a topic that was deleted and made anew is not taken for the old one. Names, partitions and
 * offsets are the same, and when the new log has grown beyond the old position no request fails: what it holds below would never be read.
 */
export class LogGuard {
  private last: { readonly offset: bigint; readonly timestamp: number } | undefined;
  /** An answer is being waited for. */
  checking = false;

  constructor(private readonly deps: LogGuardDeps) {}

  saw(set: RecordSet): void {
    const k = set.count - 1;
    this.last = { offset: set.offset(k), timestamp: set.timestamps[k]! };
  }

  /** Whatever log there is now is to be read. */
  forget(): void { this.last = undefined; }

  /**
   * Looks whether it is the log that was read before, as long as `wanted`. A log that cannot be asked is asked again without end: that is no verdict.
   *
   * @returns the other log; undefined where it is the same one, or nothing can tell (nothing was read, or the record is no longer retained)
   */
  async check(wanted: () => boolean): Promise<ReplacedLog | undefined> {
    this.checking = true;
    try {
      for (let attempt = 1, short = 0; wanted() && this.last; attempt++) {
        try {
          const replaced = await this.ask(this.last);
          // A leader that has just begun may not know the end of its log: that is looked at once more.
          if (!replaced?.isShorter || ++short > 1) return replaced;
        } catch (caught) {
          if (asTicklakeError(caught, "KAFKA_FAILED").code === "STOPPED") return undefined;
        }
        await new Promise<void>((resolve) => { this.deps.clock.after(backoffMs(attempt, { firstMs: 1000, maxMs: 5000, random: certainly }), resolve); });
      }
      return undefined;
    } finally {
      this.checking = false;
    }
  }

  private async ask({ offset, timestamp }: { offset: bigint; timestamp: number }): Promise<ReplacedLog | undefined> {
    const { key, log } = this.deps;
    const end = await log.end();
    const found = end > offset ? await log.timestampAt(offset) : undefined;
    if (end > offset && (found === undefined || found === timestamp)) return undefined;
    const earliest = await this.deps.earliest();
    const seen = found === undefined ? `its log ends at ${end}, and offset ${offset} was read` : `its record ${offset} is of ${time(found)}, the one that was read was of ${time(timestamp)}`;
    return {
      earliest, isShorter: end <= offset,
      error: new TicklakeError("KAFKA_OFFSETS_LOST", `${key}: the topic was made anew, or the cluster has lost records: ${seen}. Nothing is left out: reading goes on at the earliest record, ${earliest}.`, { details: { partition: key, offset: String(offset) } }),
    };
  }
}

function time(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? String(ms) : date.toISOString();
}
