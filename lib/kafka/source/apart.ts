import type { Delivery, Failure } from "../../delivery/types";
import { isNoAttempt } from "../../delivery/policy";
import { TicklakeError } from "../../errors";
import { indexOfOffset, joinBatches, partsOf, subBatch, type BatchLimits, type RecordBatchSlice } from "./buffer";
import type { BatchContext, HeldBatch, SourceClock } from "./contract";
import { Isolation, type BadRecord } from "./isolate";
import { ALONE_MS, EVIDENCE_MS, type Evidence } from "./suspicion";

/** What taking a batch apart needs of its partition's reader. */
export interface ApartHost {
  readonly clock: SourceClock;
  /** Flows run. */
  readonly sending: boolean;
  deliver(batch: RecordBatchSlice): Delivery<BatchContext>;
  /** A delivery of one record with its place in the order, and no message yet. */
  hold(record: RecordBatchSlice): HeldBatch;
  /** Sends a record to output 2 as the message of a held delivery. */
  deadLetter(held: HeldBatch, record: RecordBatchSlice, reason: Error, node: string | undefined): void;
  press(): void;
  /** The next step can be taken. */
  wake(): void;
  /** Other partitions fail as well, and nothing at all gets through. */
  isOutage(): boolean;
  /** The newest delivery of this node. */
  mark(): number;
  /** Whether records of another partition of the topic that were sent after that have passed. */
  passedElsewhere(mark: number): boolean;
  /** Records that follow the batch have been fetched. */
  readonly hasMore: boolean;
  /** Takes some of them. */
  more(): RecordBatchSlice | undefined;
  readonly evidence: Evidence;
}

const POLL_MS = [2, 5, 10, 20, 50, 100, 200];

/**
 * One run of `Isolation` over a batch, with deliveries: each part that is tested is a delivery of its own, in order. A record that failed
 * alone gets its delivery at once, but no message: so it keeps its place, and no sink can commit what comes after it before its fate is decided.
 *
 * When a suspect is tried once more, that is a delivery behind those of its neighbours. It can never be committed: should it pass, the suspect's own one fails, and with it
 * all behind it, and everything from there on is read again in order.
 */
export class TakingApart {
  private readonly machine: Isolation;
  /** The deliveries of the suspects. */
  private readonly held: HeldBatch[] = [];
  /** Under test. */
  private current: Delivery<BatchContext> | undefined;
  /** Given up: its failure is on its way. */
  private over = false;
  /** `current` is a suspect that is tried once more. */
  private probing = false;
  private cancelPoll: (() => void) | undefined;
  /** Waiting for others to pass. */
  private cancelWait: (() => void) | undefined;
  private waited = false;
  /** Newest delivery when a record failed alone last. */
  private lastMark = 0;
  private readonly sinceWhen = new Map<number, number>();

  constructor(private readonly host: ApartHost, private window: RecordBatchSlice, private readonly limits: BatchLimits, patience: number) {
    this.machine = new Isolation(window.count, patience, partsOf(window, limits));
  }

  /** Nothing can be sent now: it waits for an outcome. */
  get waits(): boolean {
    return this.over || this.current !== undefined || (this.cancelWait !== undefined && !(this.machine.isPatient && this.host.hasMore) && !this.isEvidenceElsewhere);
  }

  /** Sends what is next. True when the batch is through. */
  step(): boolean {
    this.cancelWait?.();
    this.cancelWait = undefined;
    const step = this.machine.next();
    switch (step.kind) {
      case "send":
        this.test(step.from, step.to, false);
        return false;
      case "probe":
        this.test(step.index, step.index + 1, true);
        return false;
      case "evidence":
        return this.look();
      case "outage":
        this.host.evidence.remember([]);
        this.giveUp(`${this.machine.suspected.length} records failed one by one and none passed: that looks like an outage, and nothing is thrown out.`);
        return false;
      case "done":
        this.host.evidence.remember([]);
        return true;
    }
  }

  private test(from: number, to: number, probing: boolean): void {
    this.waited = false;
    this.probing = probing;
    this.current = this.host.deliver(subBatch(this.window, from, to));
    this.poll(0);
  }

  private get isEvidenceElsewhere(): boolean { return this.machine.open.length === 1 && this.host.passedElsewhere(this.lastMark); }

  /** Nothing is left to be sent, and nobody can tell whether the last ones failed by themselves: what others do decides. */
  private look(): boolean {
    const { open } = this.machine;
    if (this.isEvidenceElsewhere) {
      this.send(this.machine.othersPassed());
      return this.step();
    }
    const more = this.machine.isPatient ? this.host.more() : undefined;
    if (more) {
      this.window = joinBatches(this.window, more);
      for (const count of parts(more, this.limits)) this.machine.extend(count);
      return this.step();
    }
    if (!this.waited) {
      this.cancelWait = this.host.clock.after(EVIDENCE_MS, () => {
        this.waited = true;
        this.cancelWait = undefined;
        this.host.wake();
      });
      return false;
    }
    const { error } = open[0]!;
    if (this.window.count === 1 && this.host.clock.now() - this.sinceOf(0) >= ALONE_MS && !isAccess(error) && !this.host.isOutage()) {
      this.send(this.machine.convict());
      return this.step();
    }
    this.host.evidence.remember(open.map(({ index, rounds }) => [this.offset(index), { rounds, since: this.sinceOf(index), mark: this.lastMark }]));
    this.giveUp(isAccess(error) ? "A server refuses this process, not the record: nothing is thrown out."
      : `${open.length === 1 ? "A record" : `${open.length} records`} failed alone, and nothing has passed since: that may be an outage, and nothing is thrown out yet.`);
    return false;
  }

  /** Told of every delivery of the partition. */
  delivered(delivery: Delivery<BatchContext>): void { if (delivery === this.current) this.passed(); }

  /** Whether the failure is the outcome of the test; if not, the batch is read again from what was aborted first. */
  failed(failure: Failure<BatchContext>): boolean {
    const { error, node, cutAt, failed, aborted } = failure;
    if (this.over || failed !== this.current || aborted[0] !== failed || !this.host.sending || isTopicReplaced(error)) return false;
    if (cutAt !== undefined) {
      if (this.probing || !this.machine.cut(indexOfOffset(this.window, cutAt))) return false;
    } else if (!isNoAttempt(error)) this.failedTest(failed, error, node);
    this.goOn();
    return true;
  }

  private failedTest(failed: Delivery<BatchContext>, error: Error, node: string | undefined): void {
    const certain = error instanceof TicklakeError && error.kind === "bad-record";
    if (this.probing) {
      this.lastMark = this.host.mark();
      this.send(this.machine.probeFailed(certain));
      return;
    }
    if (failed.records > 1) {
      this.machine.failed(error, node);
      return;
    }
    const index = indexOfOffset(this.window, failed.context.firstOffset);
    const known = this.host.evidence.of(failed.context.firstOffset);
    const passed = known !== undefined && this.window.count === 1 && this.host.passedElsewhere(known.mark);
    this.sinceWhen.set(index, known?.since ?? this.host.clock.now());
    this.lastMark = this.host.mark();
    this.held.push(this.host.hold(this.record(index)));
    this.send(this.machine.failed(error, node, certain, (known?.rounds ?? 0) + (passed ? 1 : 0)));
  }

  /** The run is over; `aborted`: what is open no more. Deliveries of suspects that are still open must not stay behind: they fail, and are read again. */
  end(aborted: readonly Delivery<BatchContext>[]): void {
    this.cancelPoll?.();
    this.cancelWait?.();
    if (this.over) return;
    this.over = true;
    this.host.evidence.remember([]);
    this.held.find(({ delivery }) => !aborted.includes(delivery))?.fail(new TicklakeError("DELIVERY_ABORTED", "Taking the batch apart was interrupted. It is read again."));
  }

  /** All of the partition was aborted. */
  forget(): void {
    this.cancelPoll?.();
    this.cancelWait?.();
    this.over = true;
  }

  private sinceOf(index: number): number { return this.sinceWhen.get(index)!; }

  private offset(index: number): bigint { return this.record(index).firstOffset; }

  private record(index: number): RecordBatchSlice { return subBatch(this.window, index, index + 1); }

  private goOn(): void {
    this.cancelPoll?.();
    this.current = undefined;
    this.host.wake();
  }

  private passed(): void {
    if (this.probing) {
      this.host.evidence.remember([]);
      this.giveUp("A record that had failed alone passes now: an outage is over, and nothing is thrown out.");
      return;
    }
    this.send(this.machine.passed(this.host.evidence.carries(this.current!)));
    this.goOn();
  }

  private send(records: readonly BadRecord[]): void {
    for (const { index, error, node } of records) this.host.deadLetter(this.held.shift()!, this.record(index), error, node);
  }

  /** It has passed when it is delivered; behind a suspect, when every node has taken it (it cannot be committed before the suspect's fate is known). */
  private poll(count: number): void {
    const tested = this.current!;
    this.cancelPoll = this.host.clock.after(POLL_MS[Math.min(count, POLL_MS.length - 1)]!, () => {
      if (this.over || this.current !== tested) return;
      if (tested.state === "settled") {
        if (this.held.length > 0) { this.passed(); return; }
        // A sink would commit it by and by.
        if (count % 5 === 0) this.host.press();
      }
      this.poll(count + 1);
    });
  }

  /** All of it is tried again later, from the first suspect on. */
  private giveUp(text: string): void {
    const { error } = this.machine.suspected.at(-1)!;
    this.over = true;
    this.held[0]!.fail(new TicklakeError("DELIVERY_FAILED", `${text} ${error.message}`, { cause: error }));
  }
}

/** How many records each message holds. */
function parts(batch: RecordBatchSlice, limits: BatchLimits): number[] {
  return partsOf(batch, limits).map((to, k, all) => to - (all[k - 1] ?? 0));
}

export function isTopicReplaced(error: Error): boolean { return error instanceof TicklakeError && error.code === "TOPIC_REPLACED"; }

/** User, password, certificate: what a server refused before it had seen any record. */
function isAccess(error: Error): boolean { return error instanceof TicklakeError && error.details?.["access"] === true; }
