import { asTicklakeError, TicklakeError } from "../errors";
import type { RawTrade } from "../trades/types";
import { toTrade } from "./frames";
import { sleep, stopped, type History } from "./history";
import type { AlpacaClock } from "./types";

/** Trades to fetch. */
export interface BackfillJob {
  readonly symbols: readonly string[];
  /** Unix ms: from inclusive, to exclusive. */
  readonly from: number;
  readonly to: number;
  /** `gap`: after a reconnect. `request`: somebody asked. */
  readonly cause: "gap" | "request";
}

/** What came of it, as output 2 has it (topic `backfills`). */
export interface BackfillResult extends BackfillJob {
  /** New trades, sent on output 1; those that had been sent before; those that Alpaca marks as cancelled, incorrect or corrected, sent on output 2. */
  readonly trades: number;
  readonly duplicates: number;
  readonly flagged: number;
  readonly malformed: number;
  readonly requests: number;
  readonly ms: number;
}

export interface BackfillPort {
  /** Takes trades in order of time; returns how many were new. */
  take(trades: readonly RawTrade[]): number;
  /** Trades that are no longer valid. */
  flagged(messages: Record<string, unknown>[]): void;
  /** Resolves when there is room for more. */
  room(signal: AbortSignal): Promise<void>;
}

/** Trades of one window that are held and sorted at the most; where there are more, the window is made smaller. */
const MOST = 250_000;
/** Below this a window grows. */
const FEW = 50_000;
const FIRST_WINDOW = 5 * 60_000, LEAST_WINDOW = 1000, LARGEST_WINDOW = 86_400_000;
/** Symbols of one request: an address has to fit. */
const SYMBOLS = 200;

/** Fetches what is missing, one job after the other: pages are grouped by symbol, so each window of time is collected, sorted by time and handed on. */
export class Backfill {
  private queue: Promise<unknown> = Promise.resolve();
  private readonly life = new AbortController();
  /** Jobs that wait or run, and from when on they are still to be done. */
  private readonly open = new Map<BackfillJob, number>();
  /** Jobs that wait or run. */
  pending = 0;
  /** Of the job that runs, from 0 to 1. */
  progress = 0;

  constructor(private readonly history: History, private readonly port: BackfillPort, private readonly clock: AlpacaClock, private readonly keepNanos: boolean) {}

  /**
   * @param delayMs first waits so long: the history is a little behind the stream
   * @throws TicklakeError ALPACA_DENIED, ALPACA_REFUSED; STOPPED after `stop`
   */
  add(job: BackfillJob, delayMs = 0): Promise<BackfillResult> {
    this.pending++;
    this.open.set(job, job.from);
    const notBefore = this.clock.now() + delayMs;
    const done = this.queue.then(async () => {
      await sleep(this.clock, Math.max(0, notBefore - this.clock.now()), this.life.signal);
      const result = await this.run(job);
      this.open.delete(job);
      return result;
    }).finally(() => { this.pending--; this.progress = 0; });
    done.catch((error: unknown) => { if ((error as { code?: string }).code !== "STOPPED") this.open.delete(job); });
    this.queue = done.catch(() => undefined);
    return done;
  }

  stop(): void { this.life.abort(); }

  /** What was stopped before it was done: the rest of gaps. (Who asked by a message has been told.) */
  unfinished(): BackfillJob[] {
    return [...this.open].filter(([{ cause }]) => cause === "gap").map(([job, from]) => ({ ...job, from }));
  }

  private async run(job: BackfillJob): Promise<BackfillResult> {
    const { signal } = this.life;
    const begun = this.clock.now(), requestsBefore = this.history.requests;
    const counts = { trades: 0, duplicates: 0, flagged: 0, malformed: 0 };
    let window = FIRST_WINDOW;
    for (let at = job.from; at < job.to;) {
      if (signal.aborted) throw stopped();
      await this.port.room(signal);
      const end = Math.min(job.to, at + window);
      const found = await this.fetch(job.symbols, at, end, end - at > LEAST_WINDOW);
      if (!found) {
        window = Math.max(LEAST_WINDOW, Math.ceil((end - at) / 4));
        continue;
      }
      const fresh = this.port.take(found.trades);
      counts.trades += fresh;
      counts.duplicates += found.trades.length - fresh;
      counts.malformed += found.malformed;
      if (found.flagged.length > 0) this.port.flagged(found.flagged);
      counts.flagged += found.flagged.length;
      at = end;
      this.open.set(job, at);
      this.progress = (at - job.from) / (job.to - job.from);
      if (found.trades.length < FEW) window = Math.min(LARGEST_WINDOW, window * 4);
    }
    return { ...job, ...counts, requests: this.history.requests - requestsBefore, ms: Math.round(this.clock.now() - begun) };
  }

  /** All trades of a window, sorted by time; undefined when there are too many and it can be made smaller. */
  private async fetch(symbols: readonly string[], from: number, to: number, divisible: boolean): Promise<{ trades: RawTrade[]; flagged: Record<string, unknown>[]; malformed: number } | undefined> {
    const trades: RawTrade[] = [], flagged: Record<string, unknown>[] = [];
    let malformed = 0;
    for (let first = 0; first < symbols.length; first += SYMBOLS) {
      let pageToken: string | undefined;
      do {
        const page = await this.history.page({ symbols: symbols.slice(first, first + SYMBOLS), from, to, pageToken }, this.life.signal);
        for (const [S, list] of Object.entries(page.trades)) {
          for (const item of list ?? []) {
            const trade = toTrade({ ...item, T: "t", S }, this.keepNanos);
            if (typeof trade === "string") malformed++;
            else if (typeof item["u"] === "string" && item["u"] !== "") flagged.push({ ...trade, u: item["u"] });
            else trades.push(trade);
          }
        }
        if (divisible && trades.length > MOST) return undefined;
        pageToken = page.next;
      } while (pageToken !== undefined);
    }
    return { trades: trades.sort((a, b) => a.t - b.t), flagged, malformed };
  }
}

/** The times and symbols that a message asks for: `{symbols, start, end}`, or a gap record as it came from output 2. */
export function parseBackfill(value: unknown, symbolsInForce: readonly string[], parseSymbols: (value: unknown) => string[], parseTime: (value: unknown, name: string) => number | undefined, now: number): BackfillJob {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new TicklakeError("CONTROL_INVALID", 'backfill takes {symbols, start, end}: {symbols: ["AAPL"], start: "2024-11-01T13:30:00Z", end: "2024-11-01T20:00:00Z"}.');
  const { symbols, start, end, from, to } = value as Record<string, unknown>;
  const names = symbols === undefined ? [...symbolsInForce] : parseSymbols(symbols);
  if (names.length === 0 || names.includes("*")) throw new TicklakeError("CONTROL_INVALID", 'backfill: name the symbols; the history does not take "*".');
  let range: [number | undefined, number];
  try {
    range = [parseTime(start ?? from, "start"), parseTime(end ?? to, "end") ?? now];
  } catch (error) {
    throw new TicklakeError("CONTROL_INVALID", `backfill: ${asTicklakeError(error).message}`);
  }
  if (range[0] === undefined) throw new TicklakeError("CONTROL_INVALID", "backfill: say from when (start).");
  if (range[1] <= range[0]) throw new TicklakeError("CONTROL_INVALID", "backfill: end must be later than start.");
  return { symbols: names, from: range[0], to: range[1], cause: "request" };
}
