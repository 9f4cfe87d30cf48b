import type { Delivery } from "../../delivery/types";
import type { BatchContext } from "./contract";
import { PROOF } from "./isolate";

/** What is remembered of a record that failed alone, from one attempt to the next. */
export interface Suspicion {
  /** How often others passed after it had failed. */
  readonly rounds: number;
  /** Unix ms of its first failure alone. */
  readonly since: number;
  /** The newest delivery that was under way when it failed last: what was sent after it and passes tells something. */
  readonly mark: number;
}

/** At the head of a quiet topic nothing else can ever tell: a record that failed alone for so long, with nothing after it and no other partition in trouble, is set aside. */
export const ALONE_MS = 600_000;
/** So long a suspect waits for others to pass before it is tried again from the beginning. */
export const EVIDENCE_MS = 500;

/** What a partition knows of records that fail, and tells the others of its topic: that it passes. */
export class Evidence {
  /** Newest delivery (Delivery.batch). */
  newest = -1;
  /** Newest delivery with records on output 1 that was delivered. */
  passed = -1;
  private readonly suspicions = new Map<bigint, Suspicion>();
  private readonly carriers = new WeakSet<Delivery<BatchContext>>();

  sent(delivery: Delivery<BatchContext>, withRecords: boolean): void {
    this.newest = delivery.batch;
    if (withRecords) this.carriers.add(delivery);
  }

  delivered(delivery: Delivery<BatchContext>): void { if (this.carries(delivery)) this.passed = delivery.batch; }

  /** Whether records went out on output 1 with it: else its success says nothing about what is behind that. */
  carries(delivery: Delivery<BatchContext>): boolean { return this.carriers.has(delivery); }

  /** What is known of the record at an offset. */
  of(offset: bigint): Suspicion | undefined { return this.suspicions.get(offset); }

  /** The suspects of this attempt, in place of those of the one before; what is proven stays so. */
  remember(suspects: readonly (readonly [bigint, Suspicion])[]): void {
    for (const [offset, { rounds }] of this.suspicions) if (rounds < PROOF) this.suspicions.delete(offset);
    for (const [offset, suspicion] of suspects) this.suspicions.set(offset, suspicion);
  }

  /** The record goes to the dead letters. Should its delivery fail, it need not be proven again. */
  proven(offset: bigint): void { this.suspicions.set(offset, { rounds: PROOF, since: 0, mark: 0 }); }

  /** All below is delivered. */
  forgetBelow(offset: bigint): void { for (const known of this.suspicions.keys()) if (known < offset) this.suspicions.delete(known); }

  clear(): void { this.suspicions.clear(); }

  /** The mark of the only suspect; undefined when there is none, or more than one. */
  get lone(): number | undefined {
    const suspects = [...this.suspicions.values()].filter(({ rounds }) => rounds < PROOF);
    return suspects.length === 1 ? suspects[0]!.mark : undefined;
  }
}

/** A partition as the others see it. */
export interface Neighbour {
  readonly topic: string;
  readonly evidence: Pick<Evidence, "newest" | "passed">;
  readonly lastDeliveredAt: number;
  readonly failingSince: number | undefined;
}

/** The newest delivery of all partitions. */
export function newestOf(all: Iterable<Neighbour>): number {
  let newest = -1;
  for (const { evidence } of all) newest = Math.max(newest, evidence.newest);
  return newest;
}

/** Whether records of another partition of the topic that were sent after `mark` have passed. Other topics may have other ways through the flow. */
export function hasPassedElsewhere(all: Iterable<Neighbour>, self: Neighbour, mark: number): boolean {
  for (const other of all) if (other !== self && other.topic === self.topic && other.evidence.passed > mark) return true;
  return false;
}

/** Whether other partitions fail too while nothing at all gets through since then. */
export function isOutageSince(all: Iterable<Neighbour>, self: Neighbour, time: number): boolean {
  let othersFail = false;
  for (const other of all) {
    if (other.lastDeliveredAt >= time) return false;
    if (other !== self && other.failingSince !== undefined) othersFail = true;
  }
  return othersFail;
}
