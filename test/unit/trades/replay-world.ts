import { tmpdir } from "node:os";
import { basename, dirname } from "node:path";
import type { BatchSpec, Delivery, Failure } from "../../../lib/delivery/types";
import { findFile } from "../../../lib/trades/csv";
import type { PaceClock } from "../../../lib/trades/pace";
import type { SourcePolicy } from "../../../lib/delivery/policy";
import { Replay } from "../../../lib/trades/replay";
import type { ReplayDeps } from "../../../lib/trades/replay-contract";
import type { ReplayBatch, ReplayPosition } from "../../../lib/trades/replay-batch";
import { parseReplayConfig } from "../../../lib/trades/replay-config";

/** A clock that stands still until everybody sleeps, and then jumps to the next one to wake. */
export class FakeClock implements PaceClock {
  time = 1_700_000_000_000;
  /** Who sleeps, and until when. */
  readonly sleepers = new Set<{ until: number; wake: () => void }>();
  /** Real turns of the event loop without anybody waking: then nothing else is going on. */
  private timer: NodeJS.Immediate | undefined;
  private idle = 0;
  held = false;

  now(): number { return this.time; }
  yield(): Promise<void> { this.idle = 0; return new Promise((resolve) => { setImmediate(resolve); }); }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const end = () => {
        this.sleepers.delete(sleeper);
        signal.removeEventListener("abort", end);
        resolve();
      };
      const sleeper = { until: this.time + ms, wake: end };
      this.sleepers.add(sleeper);
      signal.addEventListener("abort", end);
      this.idle = 0;
      this.watch();
    });
  }

  /** Lets time pass to whoever wakes first (Infinity = nobody). */
  private watch(): void {
    this.timer ??= setImmediate(() => {
      this.timer = undefined;
      if (++this.idle < 3) { this.watch(); return; }
      this.idle = 0;
      const next = Math.min(...[...this.sleepers].map((s) => s.until));
      if (this.held || next === Infinity || this.sleepers.size === 0) return;
      this.time = Math.max(this.time, next);
      for (const sleeper of [...this.sleepers]) if (sleeper.until <= this.time) sleeper.wake();
      if (this.sleepers.size > 0) this.watch();
    });
  }

  /** Goes on after `held`. */
  release(): void { this.held = false; this.watch(); }
}

export interface Sent { at: number; batch: ReplayBatch; delivery: Delivery<ReplayPosition> }

/** What a replay sent, and when; deliveries succeed at once unless told otherwise. */
export class World {
  readonly clock = new FakeClock();
  readonly sent: Sent[] = [];
  readonly open: Delivery<ReplayPosition>[] = [];
  room = true;
  /** Called for each batch; return false to leave its delivery open. */
  onSend: (sent: Sent) => boolean = () => true;
  gaveUp: Error | undefined;
  decide: SourcePolicy<ReplayPosition>["failed"] = () => ({ action: "retry", delayMs: 1000 });
  resets = 0;
  private waiting: (() => void)[] = [];
  replay!: Replay;

  async start(path: string, config: Record<string, unknown> = {}, more: Partial<ReplayDeps> = {}): Promise<Replay> {
    const file = await findFile(basename(path), { baseDir: dirname(path) });
    this.replay = new Replay(file, parseReplayConfig(config), {
      clock: this.clock, tempDir: tmpdir(),
      policy: { failed: (f) => this.decide(f), reset: () => { this.resets++; } },
      gaveUp: (error) => { this.gaveUp = error; },
      port: {
        ready: () => this.room,
        whenReady: (signal) => new Promise((resolve, reject) => {
          if (this.room) { resolve(); return; }
          this.waiting.push(resolve);
          signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
        }),
        send: (spec, batch) => this.send(spec, batch),
      },
      ...more,
    });
    return this.replay;
  }

  private send(spec: BatchSpec<ReplayPosition>, batch: ReplayBatch): void {
    const delivery: Delivery<ReplayPosition> = { ...spec, token: "", source: "r", epoch: 0, batch: this.sent.length, state: "open", openedAt: this.clock.time };
    const sent = { at: this.clock.time, batch, delivery };
    this.sent.push(sent);
    this.open.push(delivery);
    if (this.onSend(sent)) setImmediate(() => this.deliver(delivery));
  }

  deliver(delivery: Delivery<ReplayPosition>): void {
    const at = this.open.indexOf(delivery);
    if (at < 0) return;
    this.open.splice(at, 1);
    this.replay.delivered(delivery);
  }

  /** Fails a delivery and all after it, as the ledger does. */
  fail(delivery: Delivery<ReplayPosition>, error = new Error("sink is gone")): void {
    const at = this.open.indexOf(delivery);
    if (at < 0) throw new Error("not open");
    const aborted = this.open.splice(at);
    this.replay.failed({ partition: "0", error, failed: delivery, aborted } satisfies Failure<ReplayPosition>);
  }

  makeRoom(): void {
    this.room = true;
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  /** Ids of the trades in the order in which they were sent. */
  get ids(): unknown[] { return this.sent.flatMap((s) => s.batch.trades.map((t) => t.i)); }
}

/** Turns of the event loop until something is so. */
export async function until(condition: () => boolean, turns = 5000): Promise<void> {
  for (let i = 0; i < turns; i++) {
    if (condition()) return;
    await new Promise((resolve) => { setTimeout(resolve, i < 100 ? 0 : 1); });
  }
  throw new Error("it never happened");
}
