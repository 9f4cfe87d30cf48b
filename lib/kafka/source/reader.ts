import type { BatchSpec, Delivery, Failure } from "../../delivery/types";
import { TicklakeError } from "../../errors";
import type { RecordSet, TopicPartition } from "../types";
import { isTopicReplaced, TakingApart, type ApartHost } from "./apart";
import { RecordBuffer, type BatchLimits, type RecordBatchSlice } from "./buffer";
import type { BatchContext, DeadLetter, HeldBatch, OutgoingBatch, SourceClock } from "./contract";
import type { ReaderHost } from "./reader-host";
import { letterOf, placeOf, specOf } from "./describe";
import { LogGuard } from "./log-guard";
import { offsetsLost } from "./lost";
import { decodeBatch } from "./decode";
import { Evidence, hasPassedElsewhere, isOutageSince, newestOf } from "./suspicion";
import { Timer } from "./timer";

/**
 * `starting`: where to begin is being found out. `backing-off`: a delivery failed, it is read again soon. `isolating`: looking for the record that fails.
 * `stopped`: given up until somebody resumes or seeks. `damaged`: the log cannot be decoded here; tried again.
 */
export type ReaderState = "starting" | "reading" | "backing-off" | "isolating" | "stopped" | "damaged";

type Hold = "user" | "buffer" | "total" | "backoff" | "stopped" | "moving" | "rewinding";

/** How many records may fail alone before the first look is called an outage; doubled from look to look. */
const FIRST_PATIENCE = 8;
/** The most that is taken apart together. */
const MAX_WINDOW_BYTES = 8_388_608;
const DAMAGED_RETRY_MS = 30_000;

/** One assigned partition: what was fetched of it, where it stands, and what happens when its deliveries fail. */
export class PartitionReader implements TopicPartition, ApartHost {
  readonly topic: string;
  readonly partition: number;
  /** As partitions are called in the ledger. */
  readonly key: string;
  readonly buffer = new RecordBuffer();
  state: ReaderState = "starting";
  /** Counts seeks: what comes of an older one is not ours any more. */
  session = 0;
  /** Where the next batch begins; everything below was sent. */
  position = 0n;
  /** Everything below was delivered. */
  delivered = 0n;
  /** What the group has committed; undefined while nobody knows. */
  committed: bigint | undefined;
  /** What is to be committed; undefined when nothing is. */
  toCommit: bigint | undefined;
  /** End of the log, as far as known. */
  end: bigint | undefined;
  /** Deliveries under way. */
  open = 0;
  /** A commit is under way that must not be overtaken. */
  commitHold = false;
  error: TicklakeError | undefined;
  /** Attempts of what fails now; 0 when nothing does. */
  attempts = 0;
  failingSince: number | undefined;
  lastDeliveredAt = -Infinity;
  readonly evidence = new Evidence();
  userPaused = false;
  private lastSentAt = -Infinity;
  private bufferedSince = 0;
  private readonly holds = new Set<Hold>();
  private readonly timer: Timer;
  /** A sink has everything below already: the next batch ends here. */
  private cutAt: bigint | undefined;
  /** The batch up to here is to be taken apart. */
  private isolateUntil: bigint | undefined;
  private apart: TakingApart | undefined;
  private apartAttempts = 0;
  /** What fails ends here: when it is delivered, attempts count from 0 again. */
  private failedUntil: bigint | undefined;
  private damages = 0;
  private damagedMeanwhile = false;
  private readonly high: number;
  private readonly guard: LogGuard;
  /** The partition is not ours any more. */
  private gone = false;

  constructor(private readonly host: ReaderHost, at: TopicPartition) {
    this.topic = at.topic;
    this.partition = at.partition;
    this.key = `${at.topic}/${at.partition}`;
    this.guard = new LogGuard({ key: this.key, clock: host.clock, log: host.logOf(this.at), earliest: () => host.earliest(this.at) });
    this.timer = new Timer(host.clock);
    this.high = Math.max(2 * host.config.maxBytes, 1_048_576);
  }

  get at(): TopicPartition { return { topic: this.topic, partition: this.partition }; }

  // ---- where it reads ------------------------------------------------------------------------------------------

  /** Begins at an offset that is committed. */
  begin(offset: bigint): void {
    this.committed = offset;
    this.delivered = offset;
    this.state = "reading";
    // What an earlier assignment of the partition left behind is over.
    if (this.holds.size === 0) this.host.consumer.resume([this.at]);
    this.readFrom(offset);
  }

  /** Somebody seeks, or a target went back: what is open is given up, and reading goes on there. */
  moveTo(offset: bigint): void {
    this.giveUp();
    this.guard.forget();
    this.host.policy.reset(this.key);
    this.failedUntil = this.failingSince = undefined;
    this.attempts = 0;
    this.resetTo(offset);
  }

  /** The partition is not ours any more. */
  leave(): void {
    this.gone = true;
    this.giveUp();
  }

  /** The partition is about to be read elsewhere: what is open is aborted. */
  giveUp(): void {
    this.session++;
    this.open = 0;
    this.evidence.clear();
    this.clearWork(undefined);
    this.host.port.abort(this.key);
  }

  private resetTo(offset: bigint): void {
    this.state = "reading";
    this.error = undefined;
    this.release("stopped");
    this.release("backoff");
    this.delivered = offset;
    this.setCommit(offset);
    this.readFrom(offset);
  }

  /**
   * A target went back: what it lacks is read again, but not before the group's position has gone back as well (`rewound`). Else a crash would leave a gap:
   * the target's position moves with what it gets, and the group would go on ahead of it.
   */
  rewind(offset: bigint): void {
    this.suspend("rewinding");
    this.moveTo(offset);
  }

  /** The group's position is where reading goes on. */
  rewound(): void { this.release("rewinding"); }

  private readFrom(offset: bigint): void {
    this.buffer.clear();
    this.position = offset;
    this.release("buffer");
    this.release("total");
    // While the log is looked at nothing is fetched; it goes on here after that.
    if (!this.guard.checking) this.host.consumer.seek({ ...this.at, offset });
    this.host.wake();
  }

  /** `aborted`: what is open no more; undefined: nothing is. */
  private clearWork(aborted: readonly Delivery<BatchContext>[] | undefined): void {
    this.timer.cancel();
    if (aborted) this.apart?.end(aborted);
    else this.apart?.forget();
    this.apart = undefined;
    this.isolateUntil = undefined;
    this.cutAt = undefined;
    this.damages = 0;
    this.buffer.clear();
  }

  suspend(reason: Hold): void {
    this.holds.add(reason);
    if (this.holds.size === 1) this.host.consumer.pause([this.at]);
  }

  release(reason: Hold): void {
    if (!this.holds.delete(reason)) return;
    if (this.holds.size === 0) this.host.consumer.resume([this.at]);
    this.host.wake();
  }

  pause(paused: boolean): void {
    this.userPaused = paused;
    if (!paused) { this.release("user"); return; }
    this.suspend("user");
    // It may stay so for long: memory that waits for nothing would be taken from the other partitions. It is fetched again.
    if (this.buffer.records > 0 && (this.state === "reading" || this.state === "isolating")) this.readFrom(this.position);
  }

  /** Goes on after `stopped`, or tries what is damaged at once. */
  resume(): void {
    if (this.state === "damaged") { this.retryDamaged(); return; }
    if (this.state !== "stopped") return;
    this.host.policy.reset(this.key);
    this.attempts = 0;
    this.state = "reading";
    this.error = undefined;
    this.readFrom(this.position);
    this.release("stopped");
  }

  // ---- what the consumer brings --------------------------------------------------------------------------------

  records(set: RecordSet): void {
    if (this.state === "starting") return;
    this.recovered();
    this.guard.saw(set);
    if (this.buffer.records === 0) this.bufferedSince = this.host.clock.now();
    this.buffer.push(set);
    if (this.buffer.bytes >= (this.state === "isolating" ? Math.max(this.high, this.windowLimits().maxBytes) : this.high)) this.suspend("buffer");
    this.host.wake();
  }

  /** Reading went on over control records and gaps. */
  advanced(offset: bigint): void {
    if (this.state === "starting") return;
    this.recovered();
    this.buffer.advance(offset);
    this.passGap();
    this.host.wake();
  }

  ended(offset: bigint): void {
    this.end = offset;
    this.host.wake();
  }

  /** The position is not in the log. */
  outOfRange(at: bigint, log: { readonly earliest: bigint; readonly end: bigint }): void {
    this.end = log.end;
    this.host.news.error(offsetsLost(this, this.host.config.groupId, at, log));
    if (at >= log.earliest) { this.moveTo(log.earliest); return; }
    this.buffer.advance(log.earliest);
    this.host.consumer.seek({ ...this.at, offset: log.earliest });
    if (this.buffer.records === 0) this.position = log.earliest;
    this.passGap();
  }

  /** Reading was interrupted: it goes on when it is certain that it is the same log. */
  interrupted(): void {
    if (this.guard.checking) return;
    const { session } = this;
    const isMine = (): boolean => !this.gone && this.session === session;
    void this.guard.check(isMine).then((replaced) => {
      if (this.gone) return;
      if (replaced && isMine()) {
        this.host.news.error(replaced.error);
        this.moveTo(replaced.earliest);
      } else this.host.consumer.seek({ ...this.at, offset: this.buffer.end ?? this.position });
    });
  }

  /** A batch of the log cannot be decoded. It is tried again: a damage on the way heals, one on disk does not. */
  damaged(at: bigint, error: Error): void {
    if (this.state === "stopped" || this.state === "starting") return;
    if (this.state === "backing-off") {
      this.damagedMeanwhile = true;
      return;
    }
    this.state = "damaged";
    this.error = error instanceof TicklakeError ? error : new TicklakeError("KAFKA_RECORD_DAMAGED", error.message, { cause: error });
    if (this.damages === 0) {
      this.host.news.error(new TicklakeError(this.error.code, `${this.key}: ${this.error.message} The partition stands at offset ${at} and is tried again; seek beyond it to go on without these records.`, { cause: error }));
    }
    const wait = Math.min(DAMAGED_RETRY_MS, 1000 * 2 ** this.damages++);
    this.timer.after(wait, () => this.retryDamaged());
    this.host.news.changed();
  }

  private retryDamaged(): void {
    this.damagedMeanwhile = false;
    this.timer.cancel();
    if (this.guard.checking) return;
    this.host.consumer.seek({ ...this.at, offset: this.buffer.end ?? this.position });
  }

  private recovered(): void {
    if (this.state !== "damaged") return;
    this.timer.cancel();
    this.damages = 0;
    this.error = undefined;
    this.state = "reading";
  }

  // ---- sending -------------------------------------------------------------------------------------------------

  /** In how many ms something is to be sent: 0 = now, Infinity = not by time alone. */
  dueIn(now: number): number {
    if (this.commitHold || this.holds.has("user") || this.holds.has("moving") || this.holds.has("rewinding") || this.holds.has("backoff")) return Infinity;
    if (this.apart) return this.apart.waits ? Infinity : 0;
    if (this.buffer.records === 0 || (this.state !== "reading" && this.state !== "isolating" && this.state !== "damaged")) return Infinity;
    const { maxWaitMs } = this.host.config;
    if (this.state === "isolating") {
      if (this.buffer.isFull(this.windowLimits()) || (this.looks === 0 && this.buffer.end! >= this.isolateUntil!)) return 0;
      return Math.max(0, this.bufferedSince + Math.max(maxWaitMs, 500) - now);
    }
    if (this.buffer.isFull(this.limits())) return 0;
    const atEnd = this.end !== undefined && this.buffer.end! >= this.end;
    // More is on its way, so it is waited for. At the end of the log a slow feed is not held back as long as nothing is under
    // way; else there is one message per maxWaitMs, however slow the sinks are.
    if (!atEnd) return Math.max(0, this.bufferedSince + maxWaitMs - now);
    return this.open === 0 ? 0 : Math.max(0, this.lastSentAt + maxWaitMs - now);
  }

  /** Sends the next batch, or the next part of one that is taken apart. */
  sendNext(): void {
    if (this.apart) { this.step(this.apart); return; }
    const batch = this.take(this.state === "isolating" ? this.windowLimits() : this.limits());
    if (!batch) return;
    if (this.state !== "isolating") {
      this.cutAt = undefined;
      this.deliver(batch);
      return;
    }
    this.apartAttempts = this.attempts;
    this.apart = new TakingApart(this, batch, this.limits(), FIRST_PATIENCE * 2 ** this.looks);
    this.step(this.apart);
  }

  private take(limits: BatchLimits): RecordBatchSlice | undefined {
    const batch = this.buffer.take(limits);
    if (!batch) return undefined;
    this.position = batch.nextOffset;
    if (this.buffer.bytes < this.high / 2) this.release("buffer");
    this.bufferedSince = this.host.clock.now();
    return batch;
  }

  private step(apart: TakingApart): void {
    if (!apart.step()) return;
    this.apart = undefined;
    this.isolateUntil = undefined;
    this.state = "reading";
    this.error = undefined;
    this.host.news.changed();
    this.host.wake();
  }

  /** How far to look: one step for every two times that the batch was taken apart in vain, for in an outage each look is load on what is down. */
  private get looks(): number { return Math.min(20, Math.max(0, this.attempts - this.host.maxAttempts) >> 1); }

  /** What is looked at together: the batch, and from look to look more of what is behind it, in which something may pass. */
  private windowLimits(): BatchLimits {
    const { maxRecords, maxBytes } = this.host.config;
    return { maxRecords: maxRecords * 2 ** this.looks, maxBytes: Math.max(maxBytes, Math.min(maxBytes * 2 ** this.looks, MAX_WINDOW_BYTES)) };
  }

  private limits(): BatchLimits { return { maxRecords: this.host.config.maxRecords, maxBytes: this.host.config.maxBytes, cutAt: this.cutAt }; }

  deliver(batch: RecordBatchSlice): Delivery<BatchContext> {
    const { records, rejects } = decodeBatch(batch.sets, this.host.config.format);
    const wired = this.host.port.deadLettersWired;
    if (!wired) for (const reject of rejects) this.host.undecodable(this, reject);
    const outgoing: OutgoingBatch = {
      ...(records.length > 0 && { records }), place: placeOf(batch, this, this.host.config.groupId),
      deadLetters: wired ? rejects.map((reject) => this.letter(reject.set, reject.index, reject.reason, 0)) : [],
    };
    this.open++;
    this.lastSentAt = this.host.clock.now();
    this.host.sent(batch.count);
    if (outgoing.deadLetters.length > 0) this.host.deadLettered(outgoing.deadLetters.length);
    const delivery = this.host.port.send(this.spec(batch), outgoing);
    this.evidence.sent(delivery, outgoing.records !== undefined);
    return delivery;
  }

  private spec(batch: RecordBatchSlice): BatchSpec<BatchContext> {
    return specOf(batch, this, this.host, { reader: this, session: this.session, firstOffset: batch.firstOffset, nextOffset: batch.nextOffset });
  }

  private letter(set: RecordSet, index: number, reason: string, attempts: number, node?: string): DeadLetter {
    return letterOf(this, this.host.config.format, { set, index, reason }, attempts, node);
  }

  // ---- outcomes ------------------------------------------------------------------------------------------------

  deliveredOne(delivery: Delivery<BatchContext>): void {
    const { session, nextOffset } = delivery.context;
    if (session !== this.session) return;
    this.open--;
    this.delivered = nextOffset;
    this.lastDeliveredAt = this.host.clock.now();
    this.evidence.delivered(delivery);
    this.evidence.forgetBelow(nextOffset);
    if (this.failedUntil !== undefined && nextOffset >= this.failedUntil) {
      this.host.policy.reset(this.key);
      this.failedUntil = this.failingSince = undefined;
      this.attempts = 0;
      if (this.state === "reading") this.error = undefined;
    }
    this.setCommit(nextOffset);
    this.passGap();
    this.apart?.delivered(delivery);
    this.host.wake();
  }

  /** With nothing under way, gaps behind the last record are delivered as well. */
  private passGap(): void {
    const { end } = this.buffer;
    if (this.open > 0 || this.buffer.records > 0 || this.apart || end === undefined || end <= this.delivered || this.state !== "reading") return;
    this.position = this.delivered = end;
    this.setCommit(end);
  }

  /** A commit is over. One that was under way while somebody sought has left the group elsewhere than reading goes on: that is put right. */
  landed(offset: bigint | undefined): void {
    this.committed = offset;
    this.setCommit(this.delivered);
  }

  private setCommit(offset: bigint): void {
    this.toCommit = offset === this.committed ? undefined : offset;
    if (this.toCommit !== undefined) this.host.commit();
  }

  failed(failure: Failure<BatchContext>): void {
    const first = failure.aborted[0]!;
    if (first.context.session !== this.session) return;
    this.open -= failure.aborted.length;
    if (!this.apart?.failed(failure)) this.retreat(failure);
    this.host.news.changed();
  }

  /** Goes back to the first record that is not under way any more, after a pause; or stops. */
  private retreat(failure: Failure<BatchContext>): void {
    const { error, cutAt } = failure;
    const first = failure.aborted[0]!.context;
    if (this.state === "stopped") {
      if (first.firstOffset < this.position) this.position = first.firstOffset;
      return;
    }
    const decision = this.host.policy.failed(failure);
    const counts = decision.attempts > this.attempts;
    this.clearWork(failure.aborted);
    this.attempts = decision.attempts;
    if (counts) {
      this.failedUntil = failure.failed.context.nextOffset;
      this.failingSince ??= this.host.clock.now();
    }
    if (isTopicReplaced(error)) { this.halt(first.firstOffset, error, error.message); return; }
    if (decision.action === "stop") {
      this.halt(first.firstOffset, error, `Stopped ${this.key} at offset ${first.firstOffset} after ${decision.attempts} failed deliveries: ${error.message} Send "resume" to go on.`);
      return;
    }
    this.cutAt = cutAt;
    const isolate = decision.isolate && cutAt === undefined;
    if (isolate) this.isolateUntil = first.nextOffset;
    this.error = counts ? asFailure(error) : this.error;
    if (counts && Number.isInteger(Math.log2(decision.attempts))) {
      const where = failure.node === undefined ? "" : ` in ${this.host.nodeName(failure.node)}`;
      this.host.news.warn(`${this.key}: the delivery of offset ${first.firstOffset} on failed${where} (attempt ${decision.attempts}): ${error.message} ${isolate ? "It is taken apart to find the records that fail" : "It is read again"} in ${(decision.delayMs / 1000).toFixed(1)} s.`);
    }
    const goOn = (): void => {
      this.state = isolate ? "isolating" : "reading";
      if (this.damagedMeanwhile) this.retryDamaged();
      this.release("backoff");
      this.host.wake();
    };
    this.state = "backing-off";
    if (decision.delayMs > 0) this.suspend("backoff");
    this.readFrom(first.firstOffset);
    if (decision.delayMs > 0) this.timer.after(decision.delayMs, goOn);
    else goOn();
  }

  private halt(position: bigint, error: Error, message: string): void {
    this.state = "stopped";
    this.position = position;
    this.buffer.clear();
    this.error = new TicklakeError(error instanceof TicklakeError ? error.code : "DELIVERY_FAILED", message, { cause: error });
    this.suspend("stopped");
    this.host.news.error(this.error);
  }

  // ---- taking a batch apart ------------------------------------------------------------------------------------

  /** When reading goes on (Unix ms). */
  get retryAt(): number | undefined { return this.timer.at; }
  get clock(): SourceClock { return this.host.clock; }
  get sending(): boolean { return this.host.port.sending; }
  /** For status and panel. */
  get isolating(): boolean { return this.apart !== undefined; }

  hold(record: RecordBatchSlice): HeldBatch {
    this.open++;
    return this.host.port.hold(this.spec(record));
  }

  deadLetter(held: HeldBatch, record: RecordBatchSlice, reason: Error, node: string | undefined): void {
    this.evidence.proven(record.firstOffset);
    held.send({ place: placeOf(record, this, this.host.config.groupId), deadLetters: [this.letter(record.sets[0]!, 0, reason.message, this.apartAttempts, node)] });
    this.host.deadLettered(1);
  }

  mark(): number { return newestOf(this.host.partitions()); }
  passedElsewhere(mark: number): boolean { return hasPassedElsewhere(this.host.partitions(), this, mark); }
  get hasMore(): boolean { return this.buffer.records > 0; }
  more(): RecordBatchSlice | undefined { return this.take(this.limits()); }

  /** Others pass: a lone suspect is tried again at once, as nobody knows for how long they do. */
  othersPassed(): void {
    const mark = this.state === "backing-off" ? this.evidence.lone : undefined;
    if (mark === undefined || !this.passedElsewhere(mark)) return;
    this.timer.hurry();
  }

  press(): void { this.host.port.press(); }
  wake(): void { this.host.wake(); }
  isOutage(): boolean { return isOutageSince(this.host.partitions(), this, this.failingSince ?? 0); }
}

function asFailure(error: Error): TicklakeError { return error instanceof TicklakeError ? error : new TicklakeError("DELIVERY_FAILED", error.message, { cause: error }); }
