/**
 * The contract of end-to-end delivery. The ledger (ledger.ts) implements it, the hooks of Node-RED feed it
 * (nodes/shared/delivery), sources and sinks use it. Nothing here knows of Node-RED.
 *
 * A *source* opens a *delivery* per batch. Messages that carry its token are its *parts*. A sink *parks* a part until
 * the data is durable. A delivery is *settled* when every open part of it is parked, *delivered* when none is left.
 */

/** What a message carries in `msg.delivery`: opaque, survives cloning and JSON. An unknown token is no token. */
export type Token = string;

/** Where the records of a batch stand in a replayable log (Kafka). Offsets are 63-bit. */
export interface Lineage {
  readonly cluster: string;
  readonly group: string;
  readonly topic: string;
  readonly partition: number;
  readonly firstOffset: bigint;
  /** Offset of the last record of the batch, and its timestamp (Unix ms). */
  readonly lastOffset: bigint;
  readonly lastTimestamp: number;
  /** Where reading goes on after this batch (log compaction and transactions leave gaps, so not always last + 1). */
  readonly nextOffset: bigint;
  /** The log itself, where the source can still be asked: a sink must not take for a duplicate what a topic made anew brings. */
  readonly log?: LogView;
}

/** Questions about a partition's log, answered by its source. */
export interface LogView {
  /** The end of the log now (no record at or above it). */
  end(): Promise<bigint>;
  /** Timestamp (Unix ms) of the record at an offset; undefined when it is not retained or there is none. */
  timestampAt(offset: bigint): Promise<number | undefined>;
}

/** A partition of a replayable log as one reader sees it. */
export type LogPosition = Pick<Lineage, "cluster" | "group" | "topic" | "partition">;

/**
 * A sink's target stands before what was read: records from `to` on are to be read once more. The source goes back, never forward (another
 * sink may have sent it further back already), and makes its durable position go back as well before it reads: what is committed behind a
 * position that still stands ahead would leave a gap after a crash.
 */
export interface Rewind {
  readonly partition: string;
  /** Not ahead of anything that was open. */
  readonly to: bigint;
  /** Where the target stood before. */
  readonly from: bigint;
  /** What to tell the user: names table and range. */
  readonly reason: string;
  /** The node that asks. */
  readonly node: string;
}

/** How far a target of a sink is, for the panel "where is my data" and for questions before a seek. */
export interface TargetPosition extends LogPosition {
  /** Table or topic. */
  readonly target: string;
  readonly node: string;
  readonly nextOffset: bigint;
  /** It is the group's committed offset itself: a seek that commits another one takes it along, and what is read then is written again. */
  readonly followsGroup?: boolean;
}

/** A node that holds parts of a delivery beside a sink that wants to be the last one. */
export interface Blocker {
  readonly node: string;
  readonly parts: number;
  /** All of them wait to become durable. */
  readonly parked: boolean;
  /** Its sink commits last too: with parts parked at both, each waits for the other for ever. */
  readonly last: boolean;
}

/** The oldest open delivery of a partition, for the panel. */
export interface OpenPartition {
  readonly partition: string;
  readonly deliveries: number;
  readonly records: number;
  /** Of the oldest one. */
  readonly openedAt: number;
  readonly lineage?: Lineage;
  /** Who holds parts of the oldest one: `parked` = waits to become durable. */
  readonly holders: readonly { readonly node: string; readonly parts: number; readonly since: number; readonly parked: boolean }[];
}

/** What a source says of a batch that it opens. `context` is the source's own: its position, handed back untouched. */
export interface BatchSpec<C = unknown> {
  /** Order, abortion and epochs hold within a partition of the source. Sources without partitions say "0". */
  readonly partition: string;
  readonly records: number;
  /** Estimated size in memory, for maxInFlightBytes. */
  readonly bytes: number;
  readonly lineage?: Lineage;
  readonly context: C;
}

export type DeliveryState = "open" | "settled" | "delivered" | "aborted";

/** One batch under way. */
export interface Delivery<C = unknown> extends BatchSpec<C> {
  readonly token: Token;
  /** Id of the source (its node id). */
  readonly source: string;
  /** Counts the failures of the partition: what is read again after one has a new epoch. */
  readonly epoch: number;
  /** Ascending within the source. */
  readonly batch: number;
  readonly state: DeliveryState;
  /** Clock of the ledger at opening, ms. */
  readonly openedAt: number;
}

/** Why deliveries were aborted. */
export interface Failure<C = unknown> {
  readonly partition: string;
  readonly error: Error;
  /** The delivery in which the failure arose. */
  readonly failed: Delivery<C>;
  /** Aborted with it: itself and all later ones of the partition, oldest first. The source reads again from the first. */
  readonly aborted: readonly Delivery<C>[];
  /** The node in which it failed, where known. */
  readonly node?: string;
  /** A sink has everything below this offset already: end the first delivery there. Counts as no attempt. */
  readonly cutAt?: bigint;
}

/** A node that holds parts of deliveries that cannot settle. */
export interface HoldUp {
  readonly node: string;
  readonly parts: number;
  /** Since when the oldest of them has been there, ms of the ledger's clock. */
  readonly since: number;
}

export interface SourceLimits {
  /** Records undelivered at the most. One batch is always allowed, however large. */
  readonly maxInFlight: number;
  readonly maxInFlightBytes: number;
  /** A delivery that a foreign node holds up longer fails (ms, 0 = never). Parked parts never time out. */
  readonly deliveryTimeoutMs: number;
  /** An error that a Catch node handled counts as done. */
  readonly caughtIsDone: boolean;
}

export interface SourceEvents<C = unknown> {
  /** Delivered, in the order of its partition: everything before it in the partition is delivered too. */
  delivered(delivery: Delivery<C>): void;
  /** Deliveries were aborted. The source backs off and reads again; what it opens next has a new epoch. */
  failed(failure: Failure<C>): void;
  /** There is room again after `hasRoom()` was false. */
  room?(): void;
  /** At the bound with nothing settled: this node is in the way (undefined: no longer). */
  heldUp?(holdUp: HoldUp | undefined): void;
  /** A sink's target went back behind what was delivered. What is open of the partition was aborted just before (`failed` is not called). */
  rewind?(rewind: Rewind): void;
  /** Resolves when no commit of the source's own offsets is under way that began before this call. Never rejects. */
  offsetsAtRest?(): Promise<void>;
}

export interface SourceStats {
  /** Deliveries opened and not yet delivered or aborted. */
  readonly open: number;
  readonly records: number;
  readonly bytes: number;
  readonly opened: number;
  /** Records of the deliveries opened; what was opened again after a failure counts again. */
  readonly openedRecords: number;
  readonly delivered: number;
  readonly deliveredRecords: number;
  readonly failed: number;
  readonly oldestOpenedAt?: number;
}

/** A source's side of the ledger. */
export interface SourceHandle<C = unknown> {
  readonly id: string;
  hasRoom(): boolean;
  /** Opens a delivery. The source itself holds one part until `release`, so that it cannot end while it is being sent. */
  open(spec: BatchSpec<C>): Delivery<C>;
  /** `send` has returned. */
  release(delivery: Delivery<C>): void;
  stats(): SourceStats;
  /** Per partition with open deliveries: the oldest one and who holds it. */
  openPartitions(): OpenPartition[];
  /**
   * Begins to read a partition of a log, at a start or after a rebalance, before anything of it is opened: sinks look whether their targets have
   * lost something of it since (`rewind` follows). Without it they find out when the first batch comes, which a quiet partition may never send.
   */
  assigned(partition: string, at: LogPosition): void;
  /** How far the targets of all sinks of this process are with a partition (those that know it). A target that cannot be asked is left out, and reported. */
  positions(at: LogPosition): Promise<TargetPosition[]>;
  /** Makes all sinks that know the partition forget how far their targets are, durably. Resolves with the targets that did; rejects, after all were asked, when one could not. */
  forget(at: LogPosition): Promise<string[]>;
  /**
   * Aborts what is open of one partition (all, without a name) without calling `failed` for it: it was revoked, or somebody seeks. What is opened
   * next has a new epoch. Deliveries of other partitions that a join tied to it fail as usual.
   */
  abort(partition?: string): void;
  /**
   * Whether a sink that commits offsets itself has taken parts of the partition. The source then commits only while nothing of the partition is
   * open: its own commit could land behind that of a transaction, take the offset back, and a batch would come twice.
   */
  offsetsCommittedBySink(partition: string): boolean;
  /** A commit is wanted now (a rebalance is near): sinks that hold something settled of this source are pressed to commit it. */
  press(): void;
  /** Aborts what is open without calling `failed`, and forgets the source. */
  close(): void;
}

/** `held`: received, work not finished. `parked`: rows taken, waiting to become durable. `taken`: in a commit under way. `dropped`: its delivery was aborted. */
export type PartState = "held" | "parked" | "taken" | "done" | "failed" | "dropped";

/**
 * One message at one sink. A message without a known token gives a part too, with no deliveries: the sink treats
 * both alike, except that `take` never returns it (it may be committed at any time).
 */
export interface Part {
  /** Usually one; several when the message is tied to more (join, batch); none when unprotected. */
  readonly deliveries: readonly Delivery[];
  readonly state: PartState;
  /** The sink has the rows; nothing more of this part can arrive. */
  park(): void;
  /** The data is durable. Completes the part (and the message, through the adapter). */
  done(): void;
  /** Repetition cannot mend it. With `cutAt`, a batch that straddles the watermark (see Failure.cutAt). */
  fail(error: Error, options?: { cutAt?: bigint }): void;
}

/** The longest run of deliveries of one source partition and epoch that a sink may commit now. */
export interface Run {
  readonly source: string;
  readonly partition: string;
  readonly epoch: number;
  /** Ascending; those of which nothing came to this sink (filtered, routed elsewhere) included. */
  readonly deliveries: readonly Delivery[];
  /** This sink's parts of them. A tied part stands in several runs of the same `take`. */
  readonly parts: readonly Part[];
  /** For the watermark: the lineage of the last delivery of the run, `firstOffset` that of the first; undefined without lineage. */
  readonly lineage?: Lineage;
}

export interface SinkEvents {
  /** Something became committable (called once per turn at the most). */
  settled?(): void;
  /** Deliveries were aborted: forget these parts (already `dropped`, never completed by the sink). */
  aborted?(parts: readonly Part[]): void;
  /** A source is at its bound: commit what is settled at once. */
  pressure?(): void;
  /** A source begins to read this partition: if the target went back behind what it held of it, `rewind` finds that source now. */
  assigned?(at: LogPosition): void;
  /** How far the target is with a partition; empty when it knows nothing of it. */
  positions?(at: LogPosition): Promise<TargetPosition[]> | TargetPosition[];
  /** Forget, durably, how far the target is: what comes again is to be written again. Resolves with the targets that did. */
  forget?(at: LogPosition): Promise<string[]>;
  /** This sink commits the offsets of what it takes itself (a transaction carries them): the source must not commit older ones after it. */
  readonly commitsOffsets?: boolean;
}

/** A sink's side of the ledger. */
export interface SinkHandle {
  readonly id: string;
  /**
   * What may be committed now; those parts become `taken`. Empty when nothing is.
   *
   * With `last` (transactions that carry the source's offsets): per partition the longest run from the oldest delivery not yet delivered in which
   * nothing but parked parts of this sink is open. It ends before a part that is tied beyond its partition and epoch (`isTiedAcross`): no
   * transaction of one partition can cover that, so the sink fails such parts. `settled` also wakes a `last` sink when other nodes are done.
   */
  take(options?: { readonly last?: boolean }): Run[];
  /** The other nodes that hold open parts of a delivery: what a `last` sink waits for. */
  blockers(delivery: Delivery): Blocker[];
  /**
   * Whether a `last` sink has its turn as soon as other sinks have committed what they hold settled. They are told to do so at once. Asked before
   * this sink stops: what it holds would be read again otherwise, by them as well.
   */
  pressOthers(): boolean;
  /** The commit did not take place and will not in this form: parts are `parked` again and may be taken anew. */
  giveBack(runs: readonly Run[]): void;
  /**
   * The target stands before what was delivered to it: the source that reads this partition is asked to read again (see Rewind), once per
   * reversal. What is open of the partition is aborted before this returns. False: no open source reads it, or it cannot go
   * back; then nothing happens, and the sink asks again when a source begins to.
   */
  rewind(at: LogPosition, to: bigint, from: bigint, reason: string): boolean;
  /**
   * For a sink that commits offsets itself, after it parked the first part of a partition: resolves when the source of a delivery has no commit under way that it
   * began without knowing of this sink. It would land behind that of the sink and take the offset back.
   */
  offsetsAtRest(delivery: Delivery): Promise<void>;
  /** The commit is durable. Does not complete the parts: call `done` on each, after the results were sent. */
  committed(runs: readonly Run[]): void;
  /** Fails every part not yet done. */
  close(): void;
}
