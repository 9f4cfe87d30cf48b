import { asTicklakeError } from "../errors";
import type { Delivery, Failure, Lineage } from "../delivery/types";
import type { CsvFile, TradeSource } from "./csv";
import { Outcome, prepareSource } from "./csv";
import { BATCH_SPAN_MS } from "./pace";
import { BatchBuilder, Pass, type ReplayPosition } from "./replay-batch";
import type { ReplayConfig } from "./replay-config";
import { replayIdentity } from "./replay-identity";
import type { KeptPosition, ReplayDeps, ReplayState, ReplayStatistics } from "./replay-contract";
import type { RawTrade } from "./types";

/** Work in one go before others get a turn, ms and trades. */
const SLICE_MS = 6, SLICE_TRADES = 1000;
/** Rows between two looks at the clock. */
const LOOK_EVERY = 256;

/** Ends an attempt at reading: a delivery failed, or the replay was stopped or closed. */
class Interrupted extends Error {}

/** Replays one file: reads, paces, sends, reads again what was not delivered. One instance per file. */
export class Replay {
  state: ReplayState = "preparing";
  private outcome: ReplayStatistics["outcome"] = "running";
  private readonly life = new AbortController();
  /** Wakes whoever sleeps or waits, to look at the state again. */
  private nap = new AbortController();
  private attempt = 0;
  private redo: { at: ReplayPosition; notBefore: number } | undefined;
  private pausedAt: number | undefined;
  private stopAt: { pass: Pass; offset: number } | undefined;
  private stopping = false;
  private gaveUp = false;
  private outstanding = 0;
  private pass: Pass;
  /** How far trades were ever sent, to tell first sendings from repetitions. */
  private sentTo = { pass: 0, offset: -1 };
  private sentPosition: { pass: Pass; offset: number } | undefined;
  private sliceStart = 0;
  private sliceTrades = 0;
  private readonly counts = { trades: 0, rejects: 0, batches: 0, deliveredRows: 0, failedBatches: 0 };
  private dialect: string | undefined;
  private phase: ReplayStatistics["phase"];
  private kept: KeptPosition | undefined;
  /** Rows below it are in the target: they are read and not sent. */
  private skipTo = 0;
  private progress = 0;
  private marketTime: number | undefined;
  private waitingUntil: number | undefined;
  private blocked = false;

  constructor(private readonly file: CsvFile, private readonly config: ReplayConfig, private readonly deps: ReplayDeps) {
    this.pass = new Pass(1, config.pace, this);
    this.sliceStart = deps.clock.now();
  }

  /**
   * Replays until everything is delivered, or `stop`. Call it once.
   *
   * @throws TicklakeError FILE_*, CSV_*, CONFIG_INVALID, STORAGE_*; STOPPED after `close`
   */
  async run(): Promise<ReplayStatistics> {
    let source: TradeSource | undefined;
    try {
      source = await this.prepare();
      if (source) await this.replay(source);
      this.outcome = this.stopping ? "stopped" : "complete";
    } catch (error) {
      this.outcome = "failed";
      throw asTicklakeError(error, "FILE_UNREADABLE", `${this.file.name}: `);
    } finally {
      this.enter("over");
      await source?.dispose();
    }
    return this.statistics();
  }

  pause(): void {
    if (this.pausedAt !== undefined || this.stopping || this.state === "over" || this.state === "stopped") return;
    this.pausedAt = this.deps.clock.now();
    this.wake();
  }

  resume(): void {
    if (this.gaveUp) {
      this.gaveUp = false;
      this.deps.policy.reset();
    }
    if (this.pausedAt !== undefined) this.pass.schedule.postpone(this.deps.clock.now() - this.pausedAt);
    this.pausedAt = undefined;
    this.wake();
  }

  /** Ends the replay: nothing further is read; what is under way is still delivered, again if need be. */
  stop(): void {
    if (this.stopping) return;
    this.stopping = true;
    this.pausedAt = undefined;
    if (this.state === "preparing") this.life.abort(new Interrupted());
    // Given up already: what failed is not tried again.
    if (this.gaveUp) { this.gaveUp = false; this.redo = undefined; this.outstanding = 0; }
    this.stopAt = this.sentPosition;
    this.wake();
  }

  /** Ends without waiting (the node is being closed). `run` rejects or resolves soon after. */
  close(): void {
    this.stopping = true;
    this.pausedAt = undefined;
    this.gaveUp = false;
    this.outstanding = 0;
    this.stopAt = undefined;
    this.redo = undefined;
    this.life.abort(new Interrupted());
    this.wake();
  }

  delivered(delivery: Delivery<ReplayPosition>): void {
    // A replay that was given up leaves deliveries behind; they are not of this one.
    if (delivery.context.pass.owner !== this || this.state === "over") return;
    this.outstanding--;
    this.counts.deliveredRows += delivery.records;
    this.deps.policy.reset();
    if (this.outstanding === 0) this.wake();
  }

  /** Deliveries were aborted: they are read again, from the first. */
  failed(failure: Failure<ReplayPosition>): void {
    const first = failure.aborted.find((delivery) => delivery.context.pass.owner === this);
    if (!first || this.life.signal.aborted || this.state === "over") return;
    this.outstanding -= failure.aborted.length;
    this.counts.failedBatches += failure.aborted.length;
    const decision = this.deps.policy.failed(failure);
    // Another process came farther than was known when this one began.
    if (failure.cutAt !== undefined) this.skipTo = Math.max(this.skipTo, Number(failure.cutAt));
    this.redo = { at: first.context, notBefore: decision.action === "retry" ? this.deps.clock.now() + decision.delayMs : 0 };
    this.attempt++;
    if (decision.action === "stop") {
      this.gaveUp = true;
      this.deps.gaveUp?.(failure.error);
    }
    this.wake();
  }

  statistics(): ReplayStatistics {
    const wait = this.waitingUntil === undefined ? undefined : this.waitingUntil - this.deps.clock.now();
    return {
      file: this.file.name, ...(this.dialect !== undefined && { dialect: this.dialect }),
      state: this.pausedAt !== undefined && this.state !== "over" ? "paused" : this.state,
      outcome: this.outcome, resumedAfter: this.kept?.next ?? 0, ...this.counts, passes: this.pass.number, progress: this.progress,
      ...(this.phase && { phase: this.phase }),
      ...(this.marketTime !== undefined && { marketTime: this.marketTime }),
      ...(wait !== undefined && wait > 0 && { nextInMs: wait }),
      blocked: this.blocked,
    };
  }

  private async prepare(): Promise<TradeSource | undefined> {
    const { config, deps } = this;
    try {
      const source = await prepareSource(this.file, {
        ...config, order: config.order, tempDir: deps.tempDir, signal: this.life.signal,
        ...(deps.maxSortBytes !== undefined && { maxSortBytes: deps.maxSortBytes }),
        breathe: () => this.breathe(),
        progress: (phase, share) => { this.phase = phase; this.progress = share; },
      });
      this.dialect = source.dialect;
      if (deps.position) {
        this.phase = "resuming";
        this.kept = await deps.position(await replayIdentity(this.file, config, this.life.signal, (share) => { this.progress = share; }), this.life.signal);
        this.skipTo = this.kept.next;
      }
      return source;
    } catch (error) {
      if (this.stopping && this.life.signal.aborted) return undefined;
      throw error;
    } finally {
      this.phase = undefined;
      this.progress = 0;
    }
  }

  private async replay(source: TradeSource): Promise<void> {
    let at: ReplayPosition = { ...source.start, pass: this.pass, index: 0, seq: 0 };
    for (;;) {
      const attempt = this.attempt;
      try {
        for (;;) {
          this.pass = at.pass;
          await this.pump(source, at, attempt);
          if (!this.config.loop || this.stopping || this.pass.trades === 0) break;
          at = { ...source.start, pass: new Pass(this.pass.number + 1, this.config.pace, this), index: 0, seq: 0 };
        }
        this.enter("ending");
        while (this.outstanding > 0) await this.change(attempt);
        this.check(attempt);
        return;
      } catch (error) {
        if (!(error instanceof Interrupted)) throw error;
      }
      const redo = await this.backOff();
      if (!redo) return;
      at = redo;
    }
  }

  /** Waits until what failed may be read again; undefined when it is not to be. */
  private async backOff(): Promise<ReplayPosition | undefined> {
    while (this.redo && !this.life.signal.aborted) {
      const wait = this.redo.notBefore - this.deps.clock.now();
      if (!this.gaveUp && wait <= 0) {
        const at = this.redo.at;
        this.redo = undefined;
        return at;
      }
      this.enter(this.gaveUp ? "stopped" : "backing-off");
      if (this.gaveUp) await this.sleep(Infinity);
      else await this.sleep(wait);
    }
    return undefined;
  }

  /** Sends the rest of a pass from `at` on. */
  private async pump(source: TradeSource, at: ReplayPosition, attempt: number): Promise<void> {
    const { config } = this;
    const cursor = await source.open(at);
    const pass = at.pass;
    let index = at.index, seq = at.seq, batch = new BatchBuilder(at, config.batchSize), looks = 0;
    pass.trades = index;
    const flush = async (next: ReplayPosition, complete: boolean) => {
      const done = batch;
      batch = new BatchBuilder(next, config.batchSize);
      await this.flush(done, next, cursor.progress, complete, attempt);
    };
    try {
      this.enter("running");
      for (;;) {
        this.check(attempt);
        const stopAt = this.stopAt;
        const over = this.stopping && (!stopAt || stopAt.pass.number < pass.number || (stopAt.pass === pass && cursor.offset >= stopAt.offset));
        const { offset, line, rows } = cursor;
        const outcome = over ? Outcome.End : cursor.next();
        if (outcome !== Outcome.Need && outcome !== Outcome.End && seq < this.skipTo) {
          seq++;
          if (outcome === Outcome.Trade) pass.trades = ++index;
          if (!pass.schedule.begun) pass.skipped = index;
          batch.at = { offset: cursor.offset, line: cursor.line, rows: cursor.rows, pass, index, seq };
        } else if (outcome === Outcome.Trade) {
          const trade = cursor.trade;
          if (!pass.schedule.begun) this.begin(pass, trade);
          const due = pass.schedule.due(trade.t, index - pass.skipped);
          if (!batch.takes(due) || this.isFarOff(pass, batch, due)) await flush({ offset, line, rows, pass, index, seq }, false);
          if (pass.shift !== 0) trade.t += pass.shift;
          batch.add(trade, due);
          pass.trades = ++index;
          seq++;
        } else if (outcome === Outcome.Reject) {
          const row = cursor.reject;
          if (batch.full) await flush({ offset, line, rows, pass, index, seq }, false);
          batch.reject(row);
          seq++;
        } else if (outcome === Outcome.Need) {
          await cursor.fill();
          await this.breathe();
        } else {
          const end = { offset: cursor.offset, line: cursor.line, rows: cursor.rows, pass, index, seq };
          if (!over || batch.count > 0) await flush(end, !over);
          return;
        }
        if (++looks % LOOK_EVERY === 0) await this.breathe();
      }
    } finally {
      await cursor.close();
    }
  }

  private begin(pass: Pass, trade: RawTrade): void {
    const now = this.deps.clock.now();
    pass.schedule.begin(now, trade.t);
    if (this.config.timeShift === "now") pass.shift = Math.round(now) - trade.t;
  }

  /** Rejects need not wait for a trade that is due much later. */
  private isFarOff(pass: Pass, batch: BatchBuilder, due: number): boolean {
    return batch.rejects.length > 0 && batch.trades.length === 0 && pass.schedule.timed && pass.schedule.wait(due, this.deps.clock.now()) > BATCH_SPAN_MS;
  }

  /** Sends a batch when it is due and there is room. */
  private async flush(batch: BatchBuilder, next: ReplayPosition, progress: number, complete: boolean, attempt: number): Promise<void> {
    const { deps } = this;
    const { schedule } = batch.at.pass;
    const timed = schedule.timed && batch.trades.length > 0;
    for (;;) {
      this.check(attempt);
      if (this.pausedAt !== undefined) { await this.change(attempt); continue; }
      const wait = timed && !this.stopping ? schedule.wait(batch.lastDue, deps.clock.now()) : 0;
      if (wait > 0) {
        this.waitingUntil = deps.clock.now() + wait;
        await this.sleep(wait);
        this.waitingUntil = undefined;
        continue;
      }
      // Stopped before this batch was ever sent: it is not sent any more.
      if (this.stopping && !this.sentBefore(batch)) return;
      if (!deps.port.ready()) {
        this.blocked = true;
        await deps.port.whenReady(this.nap.signal).catch(() => undefined);
        this.blocked = false;
        this.check(attempt);
        if (!deps.port.ready()) await deps.clock.yield();
        continue;
      }
      if (timed) schedule.stalled(batch.lastDue, deps.clock.now());
      this.send(batch, next, complete);
      this.progress = complete ? 1 : progress;
      break;
    }
    this.sliceTrades += batch.count;
    if (this.sliceTrades >= SLICE_TRADES) await this.breathe(true);
  }

  private send(batch: BatchBuilder, next: ReplayPosition, complete: boolean): void {
    const { at, trades, rejects } = batch;
    // Counted before it is sent: whoever receives it may call `stop` at once.
    this.outstanding++;
    if (!this.sentBefore(batch)) {
      this.counts.batches++;
      this.counts.trades += trades.length;
      this.counts.rejects += rejects.length;
      this.sentTo = { pass: at.pass.number, offset: at.offset };
      this.sentPosition = { pass: at.pass, offset: next.offset };
    }
    const last = trades.at(-1);
    if (last) this.marketTime = last.t - at.pass.shift;
    const lineage = this.lineageOf(batch);
    this.deps.port.send(
      { partition: "0", records: batch.count, bytes: batch.bytes, context: at, ...(lineage ? { lineage } : {}) },
      { trades, rejects, complete, pass: at.pass.number, file: this.file.name, resumedAfter: this.kept?.next ?? 0 },
    );
  }

  /** A file is a log whose offsets are its rows: sinks that keep positions keep this one like any other. */
  private lineageOf({ at: { seq }, count }: BatchBuilder): Lineage | undefined {
    if (!this.kept) return undefined;
    return { ...this.kept.at, firstOffset: BigInt(seq), lastOffset: BigInt(seq + Math.max(0, count - 1)), nextOffset: BigInt(seq + count), lastTimestamp: 0 };
  }

  private sentBefore(batch: BatchBuilder): boolean {
    const { pass, offset } = batch.at;
    return pass.number < this.sentTo.pass || (pass.number === this.sentTo.pass && offset <= this.sentTo.offset);
  }

  /** Gives others a turn when this slice has lasted long enough. */
  private async breathe(now = false): Promise<void> {
    if (!now && this.deps.clock.now() - this.sliceStart < SLICE_MS) return;
    await this.deps.clock.yield();
    this.sliceStart = this.deps.clock.now();
    this.sliceTrades = 0;
  }

  private check(attempt: number): void {
    if (attempt !== this.attempt || this.life.signal.aborted) throw new Interrupted();
  }

  /** Waits for any change of state. */
  private async change(attempt: number): Promise<void> {
    await this.sleep(Infinity);
    this.check(attempt);
  }

  private sleep(ms: number): Promise<void> { return this.deps.clock.sleep(ms, this.nap.signal); }

  private wake(): void {
    const nap = this.nap;
    this.nap = new AbortController();
    nap.abort();
    this.deps.changed?.();
  }

  private enter(state: ReplayState): void {
    if (state === this.state) return;
    this.state = state;
    this.deps.changed?.();
  }
}
