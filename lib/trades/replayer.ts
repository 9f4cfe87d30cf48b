import { TicklakeError } from "../errors";
import type { Delivery, Failure } from "../delivery/types";
import type { FileRules } from "./csv";
import { findFile } from "./csv";
import { RateMeter } from "./generator-rate";
import { Replay } from "./replay";
import type { ReplayDeps, ReplayStatistics } from "./replay-contract";
import type { ReplayPosition } from "./replay-batch";
import type { ReplayConfig } from "./replay-config";
import { describeReplay } from "./replay-status";

/** Files that may wait; who sends more has a loop in the flow. */
const MAX_QUEUE = 10_000;

export const CONTROLS = ["start", "stop", "pause", "resume"] as const;
export type ReplayControl = (typeof CONTROLS)[number];

/** The control word that a payload is, if it is one. */
export function controlWord(payload: unknown): ReplayControl | undefined {
  const word = typeof payload === "string" ? payload.trim().toLowerCase() : payload;
  return CONTROLS.find((control) => control === word);
}

interface Request {
  name: string;
  config: ReplayConfig;
  resolve(statistics: ReplayStatistics | undefined): void;
  reject(error: Error): void;
}

/**
 * Replays one file after the other: a file that arrives while another is being replayed waits its turn. A file that
 * cannot be replayed costs itself only.
 */
export class Replayer {
  private readonly queue: Request[] = [];
  private current: Replay | undefined;
  private last: ReplayStatistics | undefined;
  private busy = false;
  private closed = false;
  /** Counts stops, so that one is not missed by a file that is just being looked for. */
  private stops = 0;
  /** A pause holds for a file that is just being looked for, too. */
  private pausing = false;
  private readonly meter = new RateMeter();

  constructor(private readonly rules: FileRules, private readonly deps: ReplayDeps) {}

  /** A file is being replayed or waits. */
  get active(): boolean { return this.busy; }
  get queued(): number { return this.queue.length; }

  /**
   * Replays a file when its turn comes. Resolves when all of it is delivered, or it was stopped (undefined if before its turn).
   *
   * @throws TicklakeError as Replay.run and findFile; CONTROL_INVALID when too many wait
   */
  submit(name: string, config: ReplayConfig): Promise<ReplayStatistics | undefined> {
    if (this.closed) return Promise.resolve(undefined);
    if (this.queue.length >= MAX_QUEUE) return Promise.reject(new TicklakeError("CONTROL_INVALID", `${MAX_QUEUE} files are waiting to be replayed already. Send "stop" to drop them.`));
    return new Promise((resolve, reject) => {
      this.queue.push({ name, config, resolve, reject });
      if (!this.busy) void this.work();
    });
  }

  pause(): void {
    this.pausing = this.busy;
    this.current?.pause();
  }

  resume(): void {
    this.pausing = false;
    this.current?.resume();
  }

  /** Ends the current replay and drops the files that wait. */
  stop(): void {
    this.stops++;
    this.pausing = false;
    for (const request of this.queue.splice(0)) request.resolve(undefined);
    this.current?.stop();
  }

  /** Ends at once (the node is being closed). */
  close(): void {
    this.closed = true;
    this.stops++;
    for (const request of this.queue.splice(0)) request.resolve(undefined);
    this.current?.close();
  }

  delivered(delivery: Delivery<ReplayPosition>): void { this.current?.delivered(delivery); }
  failed(failure: Failure<ReplayPosition>): void { this.current?.failed(failure); }

  statistics(): ReplayStatistics | undefined { return this.current?.statistics() ?? this.last; }

  /** What to show under the node; undefined before the first file. */
  describe(): { kind: "ok" | "idle" | "warn" | "fail"; text: string } | undefined {
    const statistics = this.statistics();
    return statistics && describeReplay(statistics, this.meter.sample(this.deps.clock.now(), statistics.trades), this.queue.length);
  }

  private async work(): Promise<void> {
    this.busy = true;
    for (let request = this.queue.shift(); request; request = this.queue.shift()) {
      this.meter.clear();
      const stops = this.stops;
      try {
        const file = await findFile(request.name, this.rules);
        if (this.stops !== stops) { request.resolve(undefined); continue; }
        const replay = new Replay(file, request.config, this.deps);
        this.current = replay;
        if (this.pausing) replay.pause();
        const end = () => {
          this.last = replay.statistics();
          this.current = undefined;
        };
        const statistics = await replay.run().finally(end);
        request.resolve(statistics);
      } catch (error) {
        request.reject(error as Error);
      }
    }
    this.busy = this.pausing = false;
    this.deps.changed?.();
  }
}
