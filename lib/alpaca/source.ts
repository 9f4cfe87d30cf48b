import type { SourcePolicy } from "../delivery/policy";
import type { Delivery, Failure } from "../delivery/types";
import { asTicklakeError, TicklakeError } from "../errors";
import { TradeColumns, TradeDictionary } from "../trades/columnar/columns";
import type { RawTrade } from "../trades/types";
import type { Account } from "./account";
import { Backfill, type BackfillJob, type BackfillResult } from "./backfill";
import { ColumnBatch, MessageBatch, ObjectBatch, TradeBatch } from "./batches";
import { MarketClock } from "./calendar";
import { Collector } from "./collector";
import type { AlpacaInConfig } from "./config";
import { Gaps, Overflows, type CarriedGap, type GapRecord } from "./gaps";
import { History, sleep, type RateLimit } from "./history";
import { Lane, type LanePort } from "./lane";
import { SeenTrades } from "./seen";
import { Session } from "./session";
import type { OpenSocket } from "./socket";
import { describeSource, TradeRate, type SourceStatistics } from "./status";
import { subscriptionsOf } from "./subscriptions";
import { CHANNEL_OF, UNKNOWN_TOPIC, type AlpacaClock, type Subscriptions } from "./types";

export type Batch = TradeBatch | MessageBatch;

export interface SourceNews {
  /** Something changed that a status shows. */
  changed(): void;
  error(error: TicklakeError): void;
  warn(text: string): void;
}

export interface SourceDeps {
  readonly account: Account;
  readonly open: OpenSocket;
  readonly clock: AlpacaClock;
  /** Where batches go: both lanes are partitions of one source of the ledger. */
  readonly port: {
    /** Flows run. */
    sending(): boolean;
    hasRoom(): boolean;
    /** Sinks write at once what they hold of this source. */
    press(): void;
    send: LanePort<Batch>["send"];
  };
  readonly policy: SourcePolicy<Batch>;
  readonly news: SourceNews;
  /** Shared by all nodes of the account. */
  readonly rateLimit: RateLimit;
  readonly fetch?: typeof fetch;
}

/** What a redeployed node takes over from the one before it: what it could not deliver, and what it knows. */
export interface CarriedOver {
  /** Address of the stream: what is remembered of one feed says nothing about another. */
  readonly url: string;
  readonly trades: readonly TradeBatch[];
  readonly messages: readonly MessageBatch[];
  readonly seen: SeenTrades;
  readonly gap?: CarriedGap;
  /** Gaps that were told and are not filled yet. */
  readonly backfills: readonly BackfillJob[];
}

/** After a reconnect: how long a first trade is waited for, and how far the history may be behind the stream, ms. */
const SETTLE_MS = 2000;
/** The history is asked for this much more on both sides of a gap: reports come late. */
const OVERLAP_MS = 2000;
/** At the end of the process: how often sinks are asked to write, ms. */
const PRESS_EVERY_MS = 100;
/** Broken frames are told at most so often, ms. */
const TELL_EVERY_MS = 60_000;

/** The live source: a session, what it brings in batches, a bounded buffer, gaps and their backfill. */
export class AlpacaSource {
  readonly session: Session;
  private readonly market: MarketClock;
  private readonly seen: SeenTrades;
  private readonly collector: Collector;
  private readonly trades: Lane<Batch>;
  private readonly messages: Lane<Batch>;
  private readonly gaps: Gaps;
  private readonly overflows: Overflows;
  private readonly backfill: Backfill;
  private readonly rate = new TradeRate();
  private received = 0;
  private backfilled = 0;
  private toldAt = -Infinity;
  private closed = false;
  private readonly carriedGap: CarriedGap | undefined;
  private resumed = false;
  private tookOver = false;
  private wasRunning = false;
  private ending = false;

  constructor(private readonly config: AlpacaInConfig, private readonly deps: SourceDeps, private readonly carried?: CarriedOver) {
    const { account, clock, news } = deps;
    const { timings } = config;
    this.market = new MarketClock(account.hours, account.delayMs);
    const same = carried?.url === account.url;
    this.seen = (same ? carried?.seen : undefined) ?? new SeenTrades();
    this.carriedGap = same ? carried?.gap : undefined;
    this.collector = new Collector(config.batchSize, config.batchMaxWaitMs, config.keepNanos, this.seen, ({ T }) => ({ topic: CHANNEL_OF[T] ?? UNKNOWN_TOPIC, known: T in CHANNEL_OF }), {
      trades: (batch) => this.trades.push(batch),
      messages: (batch) => this.messages.push(batch),
      arrived: (count, first, latest) => { this.received += count; this.gaps.arrived(first, latest); },
      malformed: (reason) => this.tell(reason),
    }, clock);
    const { port } = deps;
    this.trades = this.lane("trades", () => port.sending() && port.hasRoom(), (batch) => this.tradesDropped(batch as TradeBatch));
    // A record of what is lost must come through while trades fill their bound, so this lane has one of its own.
    this.messages = this.lane("other", (underWay) => port.sending() && underWay * 2 < config.maxBuffered, (batch) => this.overflows.messagesDropped(batch.count));
    this.gaps = new Gaps(clock, SETTLE_MS, account.delayMs, (gap) => this.gap(gap));
    this.overflows = new Overflows(clock, SETTLE_MS, (gap) => this.record("gaps", { kind: "overflow", ...gap, reason: "the flow is slower than the feed: the buffer was full", backfill: "off" } satisfies GapRecord));
    const history = new History(account, deps.rateLimit, clock, (text) => news.warn(text), deps.fetch);
    this.backfill = new Backfill(history, {
      take: (trades) => this.takeHistory(trades),
      flagged: (list) => this.messages.push(new MessageBatch("corrections", list as never, true)),
      room: (signal) => this.room(signal),
    }, clock, config.keepNanos);
    this.session = new Session({
      url: account.url, key: account.key, secret: account.secret, label: account.label, encoding: config.encoding, compression: config.compression, timings,
    }, {
      open: deps.open, clock, market: this.market,
      read: (data, binary) => {
        const control = this.collector.reader.read(data, binary);
        this.collector.settle();
        return control;
      },
      events: {
        changed: () => news.changed(),
        live: () => this.gaps.live(),
        lost: (reason) => this.gaps.lost(reason, this.session.wanted.trades ?? []),
        error: (error) => news.error(error),
        warn: (text) => news.warn(text),
      },
    });
  }

  // ---- from the outside ------------------------------------------------------------------------------------------

  /**
   * Subscribes to these symbols in the channels of the node.
   *
   * @throws TicklakeError ALPACA_DENIED after an error that only a deploy can mend
   */
  start(symbols: readonly string[]): void {
    if (this.session.running) return;
    if (this.ending) throw new TicklakeError("STOPPED", "Node-RED is ending: the feed is not opened again.");
    if (this.session.state === "fatal") throw new TicklakeError("ALPACA_DENIED", `${this.session.reason} Nothing is tried before the next deploy.`);
    if (this.carriedGap && !this.resumed) this.gaps.resume(this.carriedGap, symbols);
    this.resumed = true;
    this.session.start(subscriptionsOf(this.config.channels, symbols));
  }

  /** Disconnects; what is buffered goes on being sent. */
  async stop(): Promise<void> {
    await this.session.stop();
    this.collector.flush();
  }

  change(add: Subscriptions, remove: Subscriptions): Promise<void> { return this.session.change(add, remove); }

  /** Fetches trades of the past. Resolves when the last of them is delivered. */
  async fetch(job: BackfillJob, delayMs = 0): Promise<BackfillResult> {
    const result = await this.backfill.add(job, delayMs);
    this.record("backfills", { ...result });
    await this.delivered();
    return result;
  }

  resume(): void {
    this.trades.resume();
    this.messages.resume();
  }

  /** Flows run again, or there is room. */
  pump(): void {
    if (this.carried && !this.tookOver) {
      this.tookOver = true;
      for (const batch of this.carried.trades) this.trades.push(batch);
      for (const batch of this.carried.messages) this.messages.push(batch);
      if (this.carried.url === this.deps.account.url) for (const job of this.carried.backfills) this.fill(job);
    }
    this.messages.pump();
    this.trades.pump();
  }

  delivered(delivery?: Delivery<Batch>): Promise<void> {
    if (delivery) {
      (delivery.partition === "trades" ? this.trades : this.messages).delivered(delivery);
      return Promise.resolve();
    }
    return new Promise((resolve) => { this.trades.afterAll(resolve); });
  }

  failed(failure: Failure<Batch>): void { (failure.partition === "trades" ? this.trades : this.messages).failed(failure); }

  /** Says goodbye to the server. What is not delivered is handed over to a successor in `finish`. */
  async disconnect(): Promise<void> {
    this.backfill.stop();
    this.wasRunning ||= this.session.running;
    await this.stop();
    this.gaps.end();
    this.overflows.flush();
  }

  /**
   * The process ends: says goodbye to the server and gives the flow what is buffered. Resolves when all of it is delivered, when it cannot be
   * (flows do not run, `stop` gave up), or when aborted.
   */
  async drain(aborted: AbortSignal): Promise<void> {
    this.ending = true;
    await this.disconnect();
    this.gaps.tell();
    for (const { from, to, symbols } of this.backfill.unfinished()) this.record("gaps", { kind: "connection", from, to, symbols, reason: "Node-RED ended before the gap was filled", backfill: "off" } satisfies GapRecord);
    const { clock, port } = this.deps;
    const lanes = [this.trades, this.messages];
    const left = (lane: Lane<Batch>): boolean => lane.buffered > 0 && !lane.stopped;
    while (port.sending() && lanes.some(left) && !aborted.aborted) {
      // While more waits, a source at its bound presses by itself; in the end sinks would wait for their interval.
      if (lanes.every(({ unsent }) => unsent === 0)) port.press();
      await sleep(clock, PRESS_EVERY_MS, aborted);
    }
  }

  /** Ends for good, after the last delivery. */
  finish(): CarriedOver {
    this.closed = true;
    // A session that has been refused had a gap before, perhaps.
    const gap = this.wasRunning || this.gaps.pending ? this.gaps.carry("the node was deployed anew") : undefined;
    return { url: this.deps.account.url, trades: this.trades.close() as TradeBatch[], messages: this.messages.close() as MessageBatch[], seen: this.seen, backfills: this.backfill.unfinished(), ...(gap ? { gap } : {}) };
  }

  statistics(): SourceStatistics {
    const { session, collector, trades, messages } = this;
    return {
      state: session.state, feed: this.deps.account.label, market: this.market.always ? "always" : this.market.isOpen(this.deps.clock.now()) ? "open" : "closed",
      attempt: session.attempt, reconnects: session.reconnects, slowClient: session.slowClient, reason: session.reason,
      ...(session.retryInMs === undefined ? {} : { retryInMs: session.retryInMs }),
      subscriptions: session.force,
      tradesPerSecond: this.rate.at(this.deps.clock.now(), this.received), received: this.received, sent: trades.sent, delivered: trades.deliveredCount,
      buffered: trades.buffered + collector.collected, unsent: trades.unsent + collector.collected, dropped: trades.droppedCount, duplicates: collector.duplicates, malformed: collector.malformed, unknown: collector.unknown,
      otherSent: messages.sent, otherDropped: messages.droppedCount, gaps: this.gaps.count, backfilled: this.backfilled, backfills: this.backfill.pending, backfillProgress: this.backfill.progress,
      failedDeliveries: trades.failures + messages.failures, backingOff: trades.backingOff || messages.backingOff, stopped: trades.stopped || messages.stopped,
    };
  }

  describe(): ReturnType<typeof describeSource> { return describeSource(this.statistics()); }

  // ---- within ----------------------------------------------------------------------------------------------------

  private lane(partition: string, ready: LanePort<Batch>["ready"], dropped: (batch: Batch) => void): Lane<Batch> {
    const { port, policy, news, clock } = this.deps;
    return new Lane<Batch>({ partition, max: this.config.maxBuffered, overflow: this.config.overflow }, { ready, send: (spec, batch) => port.send(spec, batch) }, policy, {
      dropped, changed: () => news.changed(),
      gaveUp: (error) => news.error(new TicklakeError("DELIVERY_FAILED", `Stopped sending after repeated failures: ${error.message} Send "resume" to go on; meanwhile the buffer fills.`, { cause: error })),
    }, clock);
  }

  private tradesDropped(batch: TradeBatch): void {
    const { from, to } = batch.span();
    // The history may bring them.
    batch.forget(this.seen);
    this.overflows.tradesDropped(batch.count, from, to, (symbols) => batch.addSymbols(symbols));
  }

  private gap(gap: Omit<GapRecord, "kind" | "backfill">): void {
    if (this.closed) return;
    const { symbols } = gap;
    const possible = this.deps.account.hasHistory && symbols.length > 0 && !symbols.includes("*");
    const wanted = this.config.backfill && !this.ending;
    this.record("gaps", { kind: "connection", ...gap, backfill: !possible ? "impossible" : wanted ? "scheduled" : "off" } satisfies GapRecord);
    if (possible && wanted) this.fill({ symbols, from: gap.from - OVERLAP_MS, to: gap.to + OVERLAP_MS, cause: "gap" });
  }

  private fill(job: BackfillJob): void {
    this.fetch(job, SETTLE_MS).catch((caught: unknown) => {
      const error = asTicklakeError(caught);
      if (error.code !== "STOPPED") this.deps.news.error(new TicklakeError(error.code, `The gap from ${iso(job.from)} to ${iso(job.to)} could not be filled: ${error.message}`, { cause: error }));
    });
  }

  private record(topic: string, payload: object): void { this.messages.push(new MessageBatch(topic, payload, true)); }

  private takeHistory(trades: readonly RawTrade[]): number {
    const { batchSize } = this.config;
    let columns = new TradeColumns(new TradeDictionary(), Math.min(batchSize, 4096));
    let objects: RawTrade[] = [];
    let fresh = 0;
    const flush = (): void => {
      if (columns.count > 0) this.trades.push(new ColumnBatch(columns.seal(), "backfill", true));
      columns.count = 0;
      if (objects.length > 0) this.trades.push(new ObjectBatch(objects, "backfill", true));
      objects = [];
    };
    for (const trade of trades) {
      if (!this.seen.addTrade(trade)) continue;
      fresh++;
      const fits = trade.tns === undefined && Number.isSafeInteger(trade.s);
      if (!fits) {
        if (columns.count > 0) flush();
        objects.push(trade);
      } else {
        if (objects.length > 0) flush();
        if (!columns.push({ ...trade, timestamp: trade.t })) {
          flush();
          columns = new TradeColumns(new TradeDictionary(), Math.min(batchSize, 4096));
          columns.push({ ...trade, timestamp: trade.t });
        }
      }
      if (columns.count + objects.length >= batchSize) flush();
    }
    flush();
    this.backfilled += fresh;
    return fresh;
  }

  /** The history can wait, the stream cannot: half of the buffer is left to it. */
  private async room(signal: AbortSignal): Promise<void> {
    while (this.trades.halfFull && !signal.aborted) await sleep(this.deps.clock, 100, signal);
  }

  private tell(reason: string): void {
    const now = this.deps.clock.now();
    if (now - this.toldAt < TELL_EVERY_MS) return;
    this.toldAt = now;
    this.deps.news.warn(`${reason} It is left out and counted (malformed in the statistics); the rest goes on.`);
  }
}

const iso = (ms: number): string => new Date(ms).toISOString();
