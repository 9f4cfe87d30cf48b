import type { Delivery, Failure } from "../../delivery/types";
import { isNoAttempt } from "../../delivery/policy";
import { TicklakeError } from "../../errors";
import { indexOfOffset, partsOf, subBatch, type BatchLimits, type RecordBatchSlice } from "./buffer";
import type { BatchContext, HeldBatch, SourceClock } from "./contract";
import { Isolation, type BadRecord } from "./isolate";

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
}

const POLL_MS = [2, 5, 10, 20, 50, 100, 200];

/**
 * One run of `Isolation` over a batch, with deliveries: each part that is tested is a delivery of its own, in order. A record that failed
 * alone gets its delivery at once, but no message: so it keeps its place, and no sink can commit what comes after it before its fate is decided.
 */
export class TakingApart {
  private readonly machine: Isolation;
  /** The deliveries of the suspects. */
  private readonly held: HeldBatch[] = [];
  /** Under test. */
  private current: Delivery<BatchContext> | undefined;
  /** Given up: its failure is on its way. */
  private over = false;
  private cancelPoll: (() => void) | undefined;

  constructor(private readonly host: ApartHost, private readonly window: RecordBatchSlice, limits: BatchLimits, patience: number) {
    this.machine = new Isolation(window.count, patience, partsOf(window, limits));
  }

  /** Nothing can be sent now: it waits for an outcome. */
  get waits(): boolean { return this.over || this.current !== undefined; }

  /** Sends what is next. True when the batch is through. */
  step(): boolean {
    const step = this.machine.next();
    switch (step.kind) {
      case "send":
        this.current = this.host.deliver(subBatch(this.window, step.from, step.to));
        this.poll(0);
        return false;
      case "dead-letters":
        if (this.window.count === 1 && (isAccess(step.records[0]!.error) || this.host.isOutage())) {
          this.outage(isAccess(step.records[0]!.error) ? "A server refuses this process, not the record" : "Other partitions fail, too", step.records);
          return false;
        }
        this.send(this.machine.deadLettered());
        return this.step();
      case "outage":
        this.outage(`${this.machine.suspected.length} records failed one by one and none passed`, this.machine.suspected);
        return false;
      case "done":
        return true;
    }
  }

  /** Told of every delivery of the partition. */
  delivered(delivery: Delivery<BatchContext>): void { if (delivery === this.current) this.passed(); }

  /** Whether the failure is the outcome of the test; if not, the batch is read again from what was aborted first. */
  failed(failure: Failure<BatchContext>): boolean {
    const { error, node, cutAt, failed, aborted } = failure;
    if (this.over || failed !== this.current || aborted[0] !== failed || !this.host.sending || isTopicReplaced(error)) return false;
    if (cutAt !== undefined) {
      if (!this.machine.cut(indexOfOffset(this.window, cutAt))) return false;
    } else if (!isNoAttempt(error)) {
      const certain = error instanceof TicklakeError && error.kind === "bad-record";
      const proven = this.machine.failed(error, node, certain);
      const known = this.held.length;
      for (const record of [...this.machine.suspected.slice(known), ...proven]) this.held.push(this.host.hold(this.record(record.index)));
      this.send(proven);
    }
    this.goOn();
    return true;
  }

  /** The run is over; `aborted`: what is open no more. Deliveries of suspects that are still open must not stay behind: they fail, and are read again. */
  end(aborted: readonly Delivery<BatchContext>[]): void {
    this.cancelPoll?.();
    if (this.over) return;
    this.over = true;
    this.held.find(({ delivery }) => !aborted.includes(delivery))?.fail(new TicklakeError("DELIVERY_ABORTED", "Taking the batch apart was interrupted. It is read again."));
  }

  /** All of the partition was aborted. */
  forget(): void {
    this.cancelPoll?.();
    this.over = true;
  }

  private record(index: number): RecordBatchSlice { return subBatch(this.window, index, index + 1); }

  private goOn(): void {
    this.cancelPoll?.();
    this.current = undefined;
    this.host.wake();
  }

  private passed(): void {
    this.send(this.machine.passed());
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

  /** Whatever fails, it is not the records: all of it is tried again later. */
  private outage(text: string, suspects: readonly BadRecord[]): void {
    const { error } = suspects.at(-1)!;
    this.over = true;
    this.held[0]!.fail(new TicklakeError("DELIVERY_FAILED", `${text}: that looks like an outage, and nothing is thrown out. ${error.message}`, { cause: error }));
  }
}

export function isTopicReplaced(error: Error): boolean { return error instanceof TicklakeError && error.code === "TOPIC_REPLACED"; }

/** User, password, certificate: what a server refused before it had seen any record. */
function isAccess(error: Error): boolean { return error instanceof TicklakeError && error.details?.["access"] === true; }
