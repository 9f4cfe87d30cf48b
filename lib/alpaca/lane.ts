import type { SourcePolicy } from "../delivery/policy";
import type { BatchSpec, Delivery, Failure } from "../delivery/types";
import type { AlpacaClock } from "./types";

export const OVERFLOWS = ["drop-oldest", "drop-newest"] as const;
export type Overflow = (typeof OVERFLOWS)[number];

/** What travels in one delivery. */
export interface LaneBatch {
  readonly count: number;
  /** Memory of what is kept for a repetition. */
  readonly bytes: number;
  /** Not to be dropped, however full the buffer is: gap records, and trades of the history, which waits for room. */
  readonly keep?: boolean;
}

/** Where batches go: a source of the delivery ledger. */
export interface LanePort<B> {
  /** Flows run, and there is room for another delivery. `underWay`: what this lane has sent and is not delivered. */
  ready(underWay: number): boolean;
  /** Opens a delivery and sends. */
  send(spec: BatchSpec<B>, batch: B): Delivery<B>;
}

export interface LaneOptions {
  /** Partition of the ledger. */
  readonly partition: string;
  /** Trades or messages that are buffered at the most, under way or waiting. */
  readonly max: number;
  readonly overflow: Overflow;
}

export interface LaneEvents<B> {
  /** The buffer was full: this batch is lost. */
  dropped(batch: B): void;
  /** Something changed that a status shows. */
  changed(): void;
  /** `onFailure: stop` gave up. */
  gaveUp(error: Error): void;
}

/** Deliveries that are opened in one turn of the event loop. */
const SENDS_PER_TURN = 16;

/**
 * The bounded buffer between a feed that cannot wait and a flow that may be slow. Batches wait in order, are sent while the ledger has room, and are kept until
 * they are delivered, so that they can be sent again. When the buffer is full, the oldest that wait or the newest are dropped, and said.
 */
export class Lane<B extends LaneBatch> {
  private waiting: B[] = [];
  private head = 0;
  private waitingCount = 0;
  private readonly underWay = new Map<number, B>();
  private underWayCount = 0;
  private notBefore = 0;
  private cancelTimer: (() => void) | undefined;
  private turnWanted = false;
  private closed = false;
  private waiters: { left: number; callback: () => void }[] = [];
  sent = 0;
  deliveredCount = 0;
  droppedCount = 0;
  failures = 0;
  /** `stop` gave up: nothing is sent before `resume`. */
  stopped = false;

  constructor(
    private readonly options: LaneOptions,
    private readonly port: LanePort<B>,
    private readonly policy: SourcePolicy<B>,
    private readonly events: LaneEvents<B>,
    private readonly clock: AlpacaClock,
  ) {}

  /** Trades or messages that are not delivered yet. */
  get buffered(): number { return this.waitingCount + this.underWayCount; }
  get unsent(): number { return this.waitingCount; }
  get backingOff(): boolean { return this.notBefore > this.clock.now(); }
  /** So full that whoever can wait should. */
  get halfFull(): boolean { return this.buffered * 2 >= this.options.max; }

  push(batch: B): void {
    if (batch.count === 0 || this.closed) return;
    if (!batch.keep && this.buffered + batch.count > this.options.max && !this.makeRoom(batch.count)) {
      this.drop(batch);
      return;
    }
    this.waiting.push(batch);
    this.waitingCount += batch.count;
    this.pump();
  }

  /** There is room again, flows run again, or a pause is over. */
  pump(): void {
    for (let sent = 0; this.head < this.waiting.length && !this.closed; sent++) {
      if (this.stopped || !this.port.ready(this.underWayCount)) return;
      const wait = this.notBefore - this.clock.now();
      if (wait > 0) { this.sleep(wait); return; }
      if (sent === SENDS_PER_TURN) { this.later(); return; }
      this.sendNext();
    }
  }

  delivered(delivery: Delivery<B>): void {
    const batch = this.underWay.get(delivery.batch);
    if (!batch) return;
    this.underWay.delete(delivery.batch);
    this.underWayCount -= batch.count;
    this.deliveredCount += batch.count;
    this.policy.reset();
    this.countDown(batch.count);
    this.pump();
  }

  /** What was aborted waits again, before all else. */
  failed(failure: Failure<B>): void {
    const again: B[] = [];
    for (const { batch } of failure.aborted) {
      const found = this.underWay.get(batch);
      if (!found) continue;
      this.underWay.delete(batch);
      this.underWayCount -= found.count;
      again.push(found);
    }
    this.failures++;
    this.waiting = [...again, ...this.waiting.slice(this.head)];
    this.head = 0;
    for (const batch of again) this.waitingCount += batch.count;
    const decision = this.policy.failed(failure);
    if (decision.action === "stop") {
      this.stopped = true;
      this.events.gaveUp(failure.error);
    } else {
      this.notBefore = this.clock.now() + decision.delayMs;
    }
    this.events.changed();
    this.pump();
  }

  /** Calls back when all that is buffered now has been delivered. */
  afterAll(callback: () => void): void {
    if (this.buffered === 0) callback();
    else this.waiters.push({ left: this.buffered, callback });
  }

  resume(): void {
    if (this.stopped) this.policy.reset();
    this.stopped = false;
    this.notBefore = 0;
    this.pump();
  }

  /** Ends, and gives what is not delivered, oldest first. */
  close(): B[] {
    this.closed = true;
    this.cancelTimer?.();
    for (const { callback } of this.waiters.splice(0)) callback();
    const left = [...this.underWay.values(), ...this.waiting.slice(this.head)];
    this.underWay.clear();
    this.waiting = [];
    this.head = 0;
    return left;
  }

  private sendNext(): void {
    const batch = this.waiting[this.head]!;
    this.waiting[this.head++] = undefined as never;
    if (this.head > 1024 && this.head * 2 > this.waiting.length) {
      this.waiting = this.waiting.slice(this.head);
      this.head = 0;
    }
    this.waitingCount -= batch.count;
    this.underWayCount += batch.count;
    this.sent += batch.count;
    // Nothing is said of a delivery before a later turn, so it is early enough to remember it now.
    const delivery = this.port.send({ partition: this.options.partition, records: batch.count, bytes: batch.bytes, context: batch }, batch);
    this.underWay.set(delivery.batch, batch);
  }

  /** Drops what waits, oldest first, until `count` more fit. False: the newest has to go. */
  private makeRoom(count: number): boolean {
    if (this.options.overflow === "drop-newest") return false;
    const kept: B[] = [];
    while (this.head < this.waiting.length && this.buffered + count > this.options.max) {
      const oldest = this.waiting[this.head++]!;
      if (oldest.keep) { kept.push(oldest); continue; }
      this.waitingCount -= oldest.count;
      this.drop(oldest);
      this.countDown(oldest.count);
    }
    if (kept.length > 0) {
      this.waiting = [...kept, ...this.waiting.slice(this.head)];
      this.head = 0;
    }
    return this.buffered + count <= this.options.max;
  }

  /** Batches are delivered and dropped in order, so that whoever waits is done when as much as was buffered then has gone. */
  private countDown(count: number): void {
    for (const waiter of this.waiters) waiter.left -= count;
    if (!this.waiters.some(({ left }) => left <= 0)) return;
    const over = this.waiters.filter(({ left }) => left <= 0);
    this.waiters = this.waiters.filter(({ left }) => left > 0);
    for (const { callback } of over) callback();
  }

  private drop(batch: B): void {
    this.droppedCount += batch.count;
    this.events.dropped(batch);
  }

  private sleep(ms: number): void {
    this.cancelTimer?.();
    this.cancelTimer = this.clock.after(ms, () => { this.cancelTimer = undefined; this.pump(); });
  }

  private later(): void {
    if (this.turnWanted) return;
    this.turnWanted = true;
    this.clock.later(() => { this.turnWanted = false; this.pump(); });
  }
}
