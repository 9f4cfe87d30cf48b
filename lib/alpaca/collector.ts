import { type TradeColumns } from "../trades/columnar/columns";
import type { RawTrade } from "../trades/types";
import { ColumnBatch, MessageBatch, ObjectBatch, type TradeBatch } from "./batches";
import { FrameReader } from "./frames";
import type { SeenTrades } from "./seen";
import type { AlpacaClock, FeedMessage } from "./types";

export interface CollectorEvents {
  trades(batch: TradeBatch): void;
  messages(batch: MessageBatch): void;
  /** New trades were read; time of the first of them and of the latest (Unix ms). */
  arrived(count: number, firstMs: number, latestMs: number): void;
  malformed(reason: string, value: unknown): void;
}

/** Gathers what the frames bring into batches by size and time, and leaves out trades that have passed before. */
export class Collector {
  readonly reader: FrameReader;
  duplicates = 0;
  malformed = 0;
  /** Messages whose T nobody knows. */
  unknown = 0;
  private objects: RawTrade[] = [];
  private readonly others = new Map<string, FeedMessage[]>();
  private cancelTimer: (() => void) | undefined;

  constructor(
    private readonly batchSize: number, private readonly maxWaitMs: number, keepNanos: boolean,
    private readonly seen: SeenTrades, private readonly topicOf: (message: FeedMessage) => { topic: string; known: boolean },
    private readonly events: CollectorEvents, private readonly clock: AlpacaClock,
  ) {
    this.reader = new FrameReader({
      rows: (columns, from) => this.rows(columns, from),
      trade: (trade) => this.trade(trade),
      other: (message) => this.other(message),
      malformed: (reason, value) => { this.malformed++; events.malformed(reason, value); },
    }, keepNanos);
  }

  /** Trades and messages that wait for their batch to fill. */
  get collected(): number {
    let count = this.reader.columns.count + this.objects.length;
    for (const list of this.others.values()) count += list.length;
    return count;
  }

  /** After a frame: full batches go, the rest waits for its time. */
  settle(): void {
    const { columns } = this.reader;
    if (columns.count >= this.batchSize) {
      const full = columns.count - (columns.count % this.batchSize);
      for (let from = 0; from < full; from += this.batchSize) this.events.trades(new ColumnBatch(columns.seal(from, from + this.batchSize), "stream"));
      const rest = columns.count > full ? columns.seal(full) : undefined;
      this.reader.begin();
      if (rest) this.again(rest);
    }
    for (const [topic, list] of this.others) if (list.length >= this.batchSize) this.flushTopic(topic, list);
    if (this.collected === 0) { this.cancelTimer?.(); this.cancelTimer = undefined; return; }
    if (this.maxWaitMs === 0) this.flush();
    else this.cancelTimer ??= this.clock.after(this.maxWaitMs, () => { this.cancelTimer = undefined; this.flush(); });
  }

  /** Everything goes. */
  flush(): void {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    this.flushTrades();
    for (const [topic, list] of this.others) this.flushTopic(topic, list);
  }

  /** A dictionary that was crowded has been replaced: then the few trades left go by themselves. */
  private again(rest: TradeColumns): void {
    const { columns } = this.reader;
    if (columns.dictionary === rest.dictionary) columns.copy(rest, 0, rest.count);
    else this.events.trades(new ColumnBatch(rest, "stream"));
  }

  private flushTrades(): void {
    const { columns } = this.reader;
    if (columns.count > 0) {
      const sealed = columns.seal();
      this.reader.begin();
      this.events.trades(new ColumnBatch(sealed, "stream"));
    }
    if (this.objects.length > 0) this.events.trades(new ObjectBatch(this.objects.splice(0), "stream"));
  }

  private flushTopic(topic: string, list: FeedMessage[]): void {
    this.others.delete(topic);
    for (let from = 0; from < list.length; from += this.batchSize) this.events.messages(new MessageBatch(topic, list.slice(from, from + this.batchSize), false));
  }

  private rows(columns: TradeColumns, from: number): void {
    // Trades that travel as objects came before these.
    if (this.objects.length > 0) this.events.trades(new ObjectBatch(this.objects.splice(0), "stream"));
    let next = from, latest = 0, first = 0;
    for (let k = from; k < columns.count; k++) {
      if (!this.seen.addRow(columns, k)) { this.duplicates++; continue; }
      const t = columns.timeAt(k);
      if (first === 0) first = t;
      if (t > latest) latest = t;
      if (next !== k) columns.move(k, next);
      next++;
    }
    columns.count = next;
    if (next > from) this.events.arrived(next - from, first, latest);
  }

  private trade(trade: RawTrade): void {
    if (!this.seen.addTrade(trade)) { this.duplicates++; return; }
    const { columns } = this.reader;
    if (columns.count > 0) {
      // Order is kept; the reader is in the middle of a frame, so its columns are emptied, not replaced.
      this.events.trades(new ColumnBatch(columns.seal(), "stream"));
      columns.count = 0;
    }
    this.objects.push(trade);
    if (this.objects.length >= this.batchSize) this.events.trades(new ObjectBatch(this.objects.splice(0), "stream"));
    this.events.arrived(1, trade.t, trade.t);
  }

  private other(message: FeedMessage): void {
    const { topic, known } = this.topicOf(message);
    if (!known) this.unknown++;
    const list = this.others.get(topic);
    if (list) list.push(message);
    else this.others.set(topic, [message]);
  }
}
