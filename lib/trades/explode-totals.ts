import { formatCount, RateMeter } from "./generator-rate";

/** After this long without messages a rate is no longer one. */
export const QUIET_MS = 3000;

/** What explode-trades has done since it was deployed, for its status. */
export class ExplodeTotals {
  /** Elements of the messages that came: records, trades, or one per message that is neither. */
  elements = 0;
  trades = 0;
  rejects = 0;
  duplicates = 0;
  private rate = 0;
  private rejectedAt = -Infinity;
  private readonly meter = new RateMeter();
  private sampledAt = -Infinity;

  /** Counts one message of so many elements; `at` in ms. */
  add(elements: number, trades: number, rejects: number, duplicates: number, at: number): void {
    this.elements += elements;
    this.trades += trades;
    this.rejects += rejects;
    this.duplicates += duplicates;
    if (rejects > 0) this.rejectedAt = at;
    if (at - this.sampledAt < 500) return;
    this.sampledAt = at;
    this.rate = this.meter.sample(at, this.trades);
  }

  /** What to show at time `at` (ms); yellow while records are being rejected. `cut`: keys that left the dedupe window early. */
  status(at: number, cut: number): { fill: "green" | "yellow"; shape: "dot" | "ring"; text: string } {
    const parts = [`${formatCount(this.trades)} trades`];
    if (this.rate > 0 && at - this.sampledAt < QUIET_MS) parts.push(`${formatCount(this.rate)}/s`);
    if (this.duplicates > 0) parts.push(`${formatCount(this.duplicates)} duplicates`);
    if (this.rejects > 0) parts.push(`${formatCount(this.rejects)} rejected`);
    if (cut > 0) parts.push("dedupe window full");
    const trouble = at - this.rejectedAt < QUIET_MS || cut > 0;
    return { fill: trouble ? "yellow" : "green", shape: trouble ? "ring" : "dot", text: parts.join(", ") };
  }
}
