import type { AlpacaClock } from "./types";

/** What is missing, and why. Payload of a gap record (topic `gaps`), which is also what `{backfill: ...}` takes. */
export interface GapRecord {
  /** `connection`: the stream was interrupted. `overflow`: the flow was slower than the feed, and the buffer was full. */
  readonly kind: "connection" | "overflow";
  /** Unix ms: time of the last trade before the gap and of the first after it (of its earliest and latest, for an overflow). */
  readonly from: number;
  readonly to: number;
  readonly symbols: readonly string[];
  readonly reason: string;
  /** Trades lost, where it is known. */
  readonly trades?: number;
  /** Other messages lost. */
  readonly messages?: number;
  /** `scheduled`: the trades are being fetched; `off`: somebody has to ask for them; `impossible`: all symbols ("*") are subscribed, or no trades, or the feed has no history. */
  readonly backfill: "scheduled" | "off" | "impossible";
}

/** An interruption as it is known so far. */
interface OpenGap { from: number; reasons: string[]; symbols: readonly string[]; live: boolean; to?: number }

/** What a redeployed node takes over. */
export interface CarriedGap { readonly from: number; readonly reason: string }

/**
 * Follows interruptions of the stream. A gap begins at the last trade that came, by its own time (the feed may be late, or be a replay). It ends
 * with the first trade after the stream is back, or with the present if none comes within `settleMs`; an interruption within that time prolongs it.
 */
export class Gaps {
  private open: OpenGap | undefined;
  private cancelTimer: (() => void) | undefined;
  /** Time of the latest trade; undefined before the first. */
  private latest: number | undefined;
  private liveAt: number | undefined;
  count = 0;

  /** @param delayMs how far the feed is behind the market */
  constructor(private readonly clock: AlpacaClock, private readonly settleMs: number, private readonly delayMs: number, private readonly report: (gap: Omit<GapRecord, "kind" | "backfill">) => void) {}

  /** The node ran before, and stopped then. */
  resume({ from, reason }: CarriedGap, symbols: readonly string[]): void {
    this.latest = from;
    this.open = { from, reasons: [reason], symbols, live: false };
  }

  /** What a successor has to know. */
  carry(reason: string): CarriedGap | undefined {
    const from = this.open?.from ?? this.latest;
    return from === undefined ? undefined : { from, reason: [...this.open?.reasons ?? [], reason].join("; ") };
  }

  arrived(first: number, latest: number): void {
    if (this.latest === undefined || latest > this.latest) this.latest = latest;
    if (this.open?.live && this.open.to === undefined) this.open.to = first;
  }

  lost(reason: string, symbols: readonly string[]): void {
    if (this.open?.live && this.open.to !== undefined) this.finish();
    if (this.open) {
      this.cancelTimer?.();
      this.open.live = false;
      this.open.reasons.push(reason);
      return;
    }
    const from = this.latest ?? this.liveAt;
    if (from !== undefined) this.open = { from, reasons: [reason], symbols, live: false };
  }

  live(): void {
    this.liveAt = this.clock.now() - this.delayMs;
    if (!this.open) return;
    this.open.live = true;
    this.cancelTimer?.();
    this.cancelTimer = this.clock.after(this.settleMs, () => { this.finish(); });
  }

  /** A gap has begun and is not told yet. */
  get pending(): boolean { return this.open !== undefined; }

  /** The node is being closed: its successor is told in `carry`. */
  end(): void { this.cancelTimer?.(); }

  /** There is no successor: what is open is told now. */
  tell(): void { this.finish(); }

  private finish(): void {
    this.cancelTimer?.();
    const gap = this.open;
    if (!gap) return;
    this.open = undefined;
    const to = gap.to ?? this.clock.now() - this.delayMs;
    this.count++;
    this.report({ from: Math.min(gap.from, to), to, symbols: gap.symbols, reason: gap.reasons.join("; ") });
  }
}

/** Gathers what an overflow drops, so that it is told in a few records and not one per batch. */
export class Overflows {
  private from = Infinity;
  private to = -Infinity;
  private trades = 0;
  private messages = 0;
  private readonly symbols = new Set<string>();
  private waiting = false;

  constructor(private readonly clock: AlpacaClock, private readonly everyMs: number, private readonly report: (record: Omit<GapRecord, "kind" | "backfill" | "reason">) => void) {}

  tradesDropped(count: number, from: number, to: number, addSymbols: (to: Set<string>) => void): void {
    this.trades += count;
    this.from = Math.min(this.from, from);
    this.to = Math.max(this.to, to);
    addSymbols(this.symbols);
    this.later();
  }

  messagesDropped(count: number): void {
    this.messages += count;
    const now = this.clock.now();
    this.from = Math.min(this.from, now);
    this.to = Math.max(this.to, now);
    this.later();
  }

  /** Tells what is known. */
  flush(): void {
    this.waiting = false;
    if (this.trades + this.messages === 0) return;
    this.report({ from: this.from, to: this.to, symbols: [...this.symbols], trades: this.trades, messages: this.messages });
    this.from = Infinity;
    this.to = -Infinity;
    this.trades = this.messages = 0;
    this.symbols.clear();
  }

  private later(): void {
    if (this.waiting) return;
    this.waiting = true;
    this.clock.after(this.everyMs, () => { if (this.waiting) this.flush(); });
  }
}
