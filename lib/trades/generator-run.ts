import { randomBytes } from "node:crypto";
import { TicklakeError } from "../errors";
import type { SourcePolicy } from "../delivery/policy";
import type { Delivery, Failure } from "../delivery/types";
import { SyntheticTrades, TRADE_BYTES, type Window } from "./synthetic";
import type { GeneratorConfig } from "./generator-config";
import type { Checkpoint, GeneratorStatistics, Position, RunClock, RunEvents, RunPort, RunState } from "./generator-contract";
import { formatCount, RateMeter } from "./generator-rate";
import type { RawTrade } from "./types";

/** Trades generated in one turn of the event loop at the most (about 2 ms). */
const SLICE = 5000;
/** setTimeout takes 31 bits. */
const LONGEST_TIMER = 2_147_483_647;
/** How late a batch may be and still count as due at its time; what is later shifts the schedule instead of making a burst. */
const CATCH_UP_MS = 1000;

/**
 * The generator as a process: makes a batch when it is due and there is room for it, and again when its delivery
 * failed. One batch per turn of the event loop. Call `allow(true)` when messages may be sent.
 */
export class GeneratorRun {
  state: RunState = "idle";
  /** Undelivered batches fill the bound: waiting for room. */
  blocked = false;

  private trades!: SyntheticTrades;
  private seed = "";
  private allowed = false;
  private restart = false;
  private outcome: GeneratorStatistics["outcome"] = "running";
  /** Index of the next batch, how many there will be, and how many were ever sent. */
  private index = 0;
  private limit = Infinity;
  private sent = 0;
  private deliveredBatches = 0;
  private failedBatches = 0;
  private checkpoint!: Checkpoint;
  /** Windows of aborted batches that are to be made again, oldest first. */
  private redo: Window[] = [];
  private partial: { trades: RawTrade[]; position: Position } | undefined;
  /** The schedule: fresh batch `index` is due at anchor + (index - anchorIndex) * interval. */
  private anchor = 0;
  private anchorIndex = 0;
  private lastWindowEnd = 0;
  private begunAt = 0;
  private endedAt: number | undefined;
  private readonly meter = new RateMeter();
  private timer: unknown;
  private turnWanted = false;

  constructor(
    private readonly config: GeneratorConfig,
    private readonly port: RunPort,
    private readonly policy: SourcePolicy<Position>,
    private readonly events: RunEvents,
    private readonly clock: RunClock,
    private readonly randomSeed: () => string = () => randomBytes(6).toString("hex"),
  ) {}

  /** Whether messages may be sent now (between flows:started and flows:stopping). */
  allow(allowed: boolean): void {
    this.allowed = allowed;
    if (!allowed) this.sleep();
    else if (this.state === "backing-off") this.proceedAgain();
    else this.wake();
  }

  /** A control word. Words that change nothing (start while running ...) are fine. @throws TicklakeError CONTROL_INVALID */
  control(word: unknown): void {
    switch (typeof word === "string" ? word.trim().toLowerCase() : word) {
      case "start": this.start(); break;
      case "stop": this.stop(); break;
      case "pause": if (this.state === "running" || this.state === "backing-off") this.enter("paused"); break;
      case "resume": if (this.state !== "idle") this.resume(); break;
      default:
        throw new TicklakeError("CONTROL_INVALID", `"${String(word).slice(0, 40)}" is no control word. Send start, stop, pause or resume as msg.payload.`);
    }
  }

  /** Begins a run; resumes one that pauses or was stopped by failures. */
  start(): void {
    if (this.state === "ending") { this.restart = true; return; }
    if (this.state !== "idle") { this.resume(); return; }
    const { config, clock } = this;
    this.seed = config.seed || this.randomSeed();
    this.trades = new SyntheticTrades({ symbols: config.symbols, seed: this.seed, priceModel: config.priceModel });
    this.index = this.sent = this.deliveredBatches = this.failedBatches = 0;
    this.limit = config.batchCount || Infinity;
    this.redo = [];
    this.partial = undefined;
    this.outcome = "running";
    this.restart = false;
    this.begunAt = clock.monotonic();
    this.endedAt = undefined;
    this.lastWindowEnd = 0;
    this.meter.clear();
    this.policy.reset();
    this.saveCheckpoint();
    this.resume();
  }

  /** Ends the run: no further batch is made; what is under way is still delivered, again if need be. */
  stop(): void {
    if (this.state === "idle") return;
    this.restart = false;
    if (this.outcome === "running") this.outcome = "stopped";
    if (this.state === "stopped") { // it cannot be delivered: given up from the first that failed
      this.redo = [];
      this.partial = undefined;
      this.limit = this.index;
    } else {
      this.limit = Math.min(this.limit, this.sent);
      if (this.partial && this.partial.position.index >= this.limit) this.partial = undefined;
    }
    this.enter("ending");
    this.endIfDone();
  }

  private resume(): void {
    if (this.state !== "stopped" && this.state !== "idle" && this.state !== "paused") return;
    this.policy.reset();
    this.anchor = this.clock.monotonic();
    this.anchorIndex = Math.max(this.index, this.sent);
    this.proceedAgain();
  }

  private proceedAgain(): void {
    this.enter(this.sent >= this.limit ? "ending" : "running");
  }

  /** Ends without waiting (close). */
  end(): void {
    this.allowed = false;
    this.sleep();
    this.partial = undefined;
    this.state = "idle";
  }

  /** There is room again. */
  room(): void { this.wake(); }

  delivered(_delivery: Delivery<Position>): void {
    this.deliveredBatches++;
    this.policy.reset();
    this.endIfDone();
  }

  /** Deliveries were aborted: they are made again, from the first. */
  failed(failure: Failure<Position>): void {
    const first = failure.aborted[0]?.context;
    this.failedBatches += failure.aborted.length;
    if (first) this.rewind(first, failure.aborted.map((delivery) => delivery.context.window));
    if (this.state === "idle" || this.state === "stopped") return;
    const decision = this.policy.failed(failure);
    if (decision.action === "stop") {
      this.enter("stopped");
      this.events.gaveUp(failure.error);
      return;
    }
    if (this.state === "paused") return;
    this.enter("backing-off");
    this.sleepFor(decision.delayMs, () => this.proceedAgain());
  }

  private rewind(to: Position, windows: readonly Window[]): void {
    const ahead = this.partial && this.index < this.sent ? [this.partial.position.window] : [];
    this.partial = undefined;
    this.redo = [...windows, ...ahead, ...this.redo];
    this.trades.restore(to.checkpoint.state);
    for (let k = to.checkpoint.index; k < to.index; k++) this.trades.fill([], this.config.batchSize, to.checkpoint.windows[k - to.checkpoint.index]!);
    this.index = to.index;
    this.saveCheckpoint();
  }

  /** What to show under the node. */
  describe(): { kind: "ok" | "idle" | "warn" | "fail"; text: string } {
    const { trades, successRate } = this.statistics();
    const rate = this.meter.sample(this.clock.monotonic(), this.deliveredBatches * this.config.batchSize);
    const counts = `${formatCount(trades)} trades${successRate === null ? "" : `, ${percent(successRate)} acked`}`;
    switch (this.state) {
      case "idle": return { kind: "idle", text: this.outcome === "running" ? "not started" : `${this.outcome}: ${counts}, ${formatCount(this.statistics().tradesPerSecond)}/s` };
      case "paused": return { kind: "idle", text: `paused: ${counts}` };
      case "stopped": return { kind: "fail", text: `stopped after failures: ${counts}` };
      case "backing-off": return { kind: "warn", text: `delivery failed, trying again: ${counts}` };
      case "ending": return { kind: "ok", text: `finishing: ${counts}` };
      case "running": return { kind: "ok", text: `${formatCount(rate)}/s, ${counts}` };
    }
  }

  statistics(): GeneratorStatistics {
    const { batchSize } = this.config;
    const seconds = (this.endedAt ?? this.clock.monotonic()) - this.begunAt;
    const over = this.deliveredBatches + this.failedBatches;
    return {
      outcome: this.outcome,
      trades: this.sent * batchSize,
      batches: this.sent,
      deliveredTrades: this.deliveredBatches * batchSize,
      deliveredBatches: this.deliveredBatches,
      failedBatches: this.failedBatches,
      successRate: over === 0 ? null : (100 * this.deliveredBatches) / over,
      tradesPerSecond: seconds > 0 ? (this.deliveredBatches * batchSize * 1000) / seconds : 0,
      seconds: seconds / 1000,
      seed: this.seed,
    };
  }

  private enter(state: RunState): void {
    if (state !== this.state) {
      this.sleep();
      this.state = state;
      this.events.changed();
    }
    this.wake();
  }

  private wake(): void {
    if (this.turnWanted || !this.allowed || (this.state !== "running" && this.state !== "ending")) return;
    this.turnWanted = true;
    this.clock.setImmediate(() => {
      this.turnWanted = false;
      this.turn();
    });
  }

  private sleep(): void {
    this.clock.clearTimeout(this.timer);
    this.timer = undefined;
  }

  private sleepFor(ms: number, then: () => void): void {
    this.sleep();
    const part = Math.min(ms, LONGEST_TIMER);
    this.timer = this.clock.setTimeout(() => {
      this.timer = undefined;
      if (part < ms) this.sleepFor(ms - part, then); else then();
    }, part);
  }

  /** One turn: at most one batch, or a slice of a large one. */
  private turn(): void {
    if (!this.allowed || (this.state !== "running" && this.state !== "ending") || this.timer !== undefined) return;
    if (this.partial) { this.proceed(this.partial); return; }
    if (this.redo.length === 0) {
      if (this.sent >= this.limit) { this.enter("ending"); this.endIfDone(); return; }
      const wait = this.due();
      if (wait > 0) { this.sleepFor(wait, () => this.wake()); return; }
    }
    this.blocked = !this.port.hasRoom();
    if (this.blocked) return; // room() wakes
    if ((this.index - this.checkpoint.index) * this.config.batchSize >= 2 * this.checkpoint.state.model.length) this.saveCheckpoint();
    const window = this.redo.shift() ?? this.nextWindow();
    this.checkpoint.windows.push(window);
    this.partial = { trades: [], position: { index: this.index, window, checkpoint: this.checkpoint } };
    this.proceed(this.partial);
  }

  private proceed(partial: { trades: RawTrade[]; position: Position }): void {
    const { config } = this;
    const { trades, position } = partial;
    // The realistic model sorts the times of a batch, so it makes each in one piece.
    const count = config.priceModel === "uniform" ? Math.min(SLICE, config.batchSize - trades.length) : config.batchSize;
    this.trades.fill(trades, count, position.window);
    if (trades.length < config.batchSize) { this.wake(); return; }
    this.partial = undefined;
    this.index++;
    this.sent = Math.max(this.sent, this.index);
    try {
      this.port.send(
        { partition: "0", records: trades.length, bytes: trades.length * TRADE_BYTES, context: position },
        trades, config.batchCount > 0 && position.index === config.batchCount - 1,
      );
    } catch (error) {
      this.rewind(position, [position.window]);
      this.enter("stopped");
      this.events.gaveUp(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    this.wake();
  }

  /** Ms until the next fresh batch is due. */
  private due(): number {
    const { intervalMs } = this.config;
    if (intervalMs === 0) return 0;
    const now = this.clock.monotonic();
    const late = now - (this.anchor + (this.index - this.anchorIndex) * intervalMs);
    if (late > Math.max(CATCH_UP_MS, intervalMs)) {
      this.anchor = now;
      this.anchorIndex = this.index;
      return 0;
    }
    return -late;
  }

  /**
   * The stretch of time of the next fresh batch: of the simulated clock, which advances by the interval (by one
   * second where that is 0), or the real time that passed since the last one.
   */
  private nextWindow(): Window {
    const { startTime, intervalMs, priceModel } = this.config;
    const step = intervalMs || 1000;
    if (startTime !== undefined) return { at: Math.floor(startTime + this.index * step), span: Math.floor(step) };
    const now = this.clock.now();
    if (priceModel === "uniform") return { at: now, span: 0 };
    const at = Math.min(now, Math.max(this.lastWindowEnd, Math.floor(now - intervalMs)));
    this.lastWindowEnd = now;
    return { at, span: now - at };
  }

  private saveCheckpoint(): void {
    this.checkpoint = { index: this.index, state: this.trades.save(), windows: [] };
  }

  private endIfDone(): void {
    if (this.state !== "ending" || this.redo.length > 0 || this.partial || this.deliveredBatches < this.limit) return;
    this.sleep();
    this.state = "idle";
    if (this.outcome === "running") this.outcome = "complete";
    this.endedAt = this.clock.monotonic();
    this.events.changed();
    this.events.finished(this.statistics());
    if (this.restart) this.start();
  }
}

function percent(rate: number): string {
  return rate === 100 ? "100 %" : `${rate.toFixed(1)} %`;
}
