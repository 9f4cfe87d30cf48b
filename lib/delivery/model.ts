import type { TicklakeError } from "../errors";
import type {
  BatchSpec, Delivery, DeliveryState, Lineage, LogPosition, Part, PartState, Run, SinkEvents, SourceEvents, SourceLimits, Token,
} from "./types";

/**
 * The ledger's own records: source -> partition queue -> entry (delivery) -> group -> part. A *group* is what a token stands
 * for: the parts of one delivery or, for messages that a join made out of several, of a *tie* of deliveries. Entries count
 * groups, groups count parts, so a tie of 10,000 deliveries with 10,000 parts costs 20,000 steps and not their product.
 */

/** An open source. */
export class SourceRecord {
  readonly queues = new Map<string, PartitionQueue>();
  nextBatch = 0;
  open = 0;
  records = 0;
  bytes = 0;
  opened = 0;
  openedRecords = 0;
  delivered = 0;
  deliveredRecords = 0;
  failed = 0;
  /** `hasRoom()` has answered false and `room()` was not called since. */
  wantsRoom = false;
  closed = false;
  /** Node last named by `heldUp`. */
  heldUpBy: string | undefined;

  constructor(readonly id: string, readonly instance: number, readonly limits: SourceLimits, readonly events: SourceEvents) {}

  get full(): boolean {
    return this.open > 0 && (this.records >= this.limits.maxInFlight || this.bytes >= this.limits.maxInFlightBytes);
  }
}

/** How many abortions a partition remembers; a token older than these counts as aborted. */
const REMEMBERED_ABORTS = 1000;

/** The deliveries of one partition that are not over, oldest first (batch numbers ascend). */
export class PartitionQueue {
  private entries: Entry[] = [];
  private head = 0;
  epoch = 0;
  /** Failures in a row because a join mixed it with the remains of an earlier attempt. */
  mixes = 0;
  /** First batch aborted, by the epoch that ended with it. */
  private aborts: { epoch: number; from: number }[] = [];
  private forgotten = -1;
  /** Sinks with parts of it parked: whom a verdict may concern. */
  readonly waiting = new Set<SinkRecord>();
  /** Of the log that it is read from: as the source said, or by the last delivery with a lineage. */
  position: LogPosition | undefined;

  constructor(readonly source: SourceRecord, readonly partition: string) {}

  get length(): number { return this.entries.length - this.head; }
  at(index: number): Entry | undefined { return this.entries[this.head + index]; }
  push(entry: Entry): void { this.entries.push(entry); }

  shift(): Entry | undefined {
    const entry = this.entries[this.head];
    if (!entry) return undefined;
    this.head++;
    if (this.head > 1024 && this.head * 2 > this.entries.length) {
      this.entries = this.entries.slice(this.head);
      this.head = 0;
    }
    return entry;
  }

  /** Index of the first entry with a batch number of at least `batch`. */
  indexOf(batch: number): number {
    let low = this.head, high = this.entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.entries[middle]!.batch < batch) low = middle + 1;
      else high = middle;
    }
    return low - this.head;
  }

  /** Takes out the entry at `index` and all after it. */
  cut(index: number): Entry[] { return this.entries.splice(this.head + index); }

  /** A new epoch begins; deliveries of the old ones from batch `from` on are aborted. */
  endEpoch(from: number): void {
    this.aborts.push({ epoch: this.epoch++, from });
    if (this.aborts.length > REMEMBERED_ABORTS) this.forgotten = this.aborts.shift()!.epoch;
  }

  /** Whether a delivery that is over ended by abortion. */
  wasAborted(epoch: number, batch: number): boolean {
    if (epoch <= this.forgotten) return true;
    return this.aborts.some((abort) => abort.epoch >= epoch && abort.from <= batch);
  }
}

/** A delivery. Open until it is delivered or aborted. */
export class Entry<C = unknown> implements Delivery<C> {
  state: DeliveryState = "open";
  readonly records: number;
  readonly bytes: number;
  readonly lineage?: Lineage;
  readonly context: C;
  readonly partition: string;
  readonly source: string;
  /** The source is still sending it. */
  sending = true;
  /** It has failed, which is judged in a later turn: nobody may commit it until then. */
  failing = false;
  /** Groups with open parts, and those of them with a part that is not parked. */
  openGroups = 0;
  busyGroups = 0;
  readonly ties = new Set<Group>();
  readonly own: Group;

  constructor(
    readonly queue: PartitionQueue, readonly token: Token, readonly epoch: number, readonly batch: number, readonly openedAt: number,
    spec: BatchSpec<C>,
  ) {
    this.records = spec.records;
    this.bytes = spec.bytes;
    if (spec.lineage) this.lineage = spec.lineage;
    this.context = spec.context;
    this.partition = spec.partition;
    this.source = queue.source.id;
    this.own = new Group(token, [this]);
  }

  /** Neither delivered nor aborted. */
  get isOpen(): boolean { return this.state === "open" || this.state === "settled"; }
  /** Nothing more of it can arrive anywhere. */
  get isSettled(): boolean { return !this.sending && !this.failing && this.busyGroups === 0; }
  /** Every part is done: delivered as soon as all before it are. */
  get isComplete(): boolean { return !this.sending && !this.failing && this.openGroups === 0; }

  *groups(): Generator<Group> { yield this.own; yield* this.ties; }
}

/** What one token stands for. */
export class Group {
  /** Open parts. */
  readonly parts = new Set<PartRecord>();
  /** Those of them that are neither parked nor taken. */
  busy = 0;

  constructor(readonly token: Token, public entries: Entry[]) {}

  get isTie(): boolean { return this.entries.length > 1; }

  add(part: PartRecord): void {
    // A tie outlives those of its deliveries that are over; a part that comes later is one of the rest.
    if (this.parts.size === 0 && this.entries.some((entry) => !entry.isOpen)) this.entries = this.entries.filter((entry) => entry.isOpen);
    this.parts.add(part);
    if (this.parts.size === 1) for (const entry of this.entries) entry.openGroups++;
    if (part.busy) this.countBusy(1);
  }

  remove(part: PartRecord): void {
    if (!this.parts.delete(part)) return;
    if (part.busy) this.countBusy(-1);
    if (this.parts.size === 0) for (const entry of this.entries) entry.openGroups--;
  }

  setBusy(part: PartRecord, busy: boolean): void {
    if (part.busy === busy || !this.parts.has(part)) return;
    part.busy = busy;
    this.countBusy(busy ? 1 : -1);
  }

  private countBusy(by: 1 | -1): void {
    const before = this.busy;
    this.busy += by;
    if (before === 0) for (const entry of this.entries) entry.busyGroups++;
    else if (this.busy === 0) for (const entry of this.entries) entry.busyGroups--;
  }
}

/** What the ledger lets a part do. */
export interface PartOwner {
  park(part: PartRecord): void;
  done(part: PartRecord): void;
  fail(part: PartRecord, error: Error, cutAt?: bigint): void;
}

/** One message at one node. */
export class PartRecord implements Part {
  state: PartState = "held";
  /** Sent to the node and not yet received. */
  travelling = true;
  /** Keeps its delivery from settling. */
  busy = true;
  /** It waits in a link-call node for the return. */
  waiting = false;
  /** Set when a sink of ours has accepted it. */
  sink: SinkRecord | undefined;
  /** Completes the message (Node-RED's done); set by the sink's adapter. */
  ended: ((error?: Error) => void) | undefined;
  /** Turn in which it was completed. */
  closedTurn = -1;
  msgid: unknown;
  /** The handler threw or logged an error: failed when still open at the deadline. */
  suspect: { error: Error; caught: boolean } | undefined;

  constructor(
    private readonly owner: PartOwner,
    /** Undefined: unprotected (a message without token) or a message of an aborted delivery. */
    public group: Group | undefined,
    /** What a message takes over that is made from this one. */
    public token: Token | undefined,
    /** Id of the node that holds it. */
    readonly node: string,
    /** Id of the node that sent it. */
    readonly from: string | undefined,
    public since: number,
  ) {}

  get deliveries(): readonly Delivery[] { return this.group?.entries ?? []; }
  get isOpen(): boolean { return this.state === "held" || this.state === "parked" || this.state === "taken"; }
  park(): void { this.owner.park(this); }
  done(): void { this.owner.done(this); }
  fail(error: Error, options: { cutAt?: bigint } = {}): void { this.owner.fail(this, error, options.cutAt); }
}

/** A sink's place in one partition. */
export interface SinkPosition {
  /** Parts of it that are parked here. */
  parked: number;
  /** Last batch committed. */
  committed: number;
  /** Last batch in a commit under way. */
  taken: number | undefined;
}

/** An open sink. */
export class SinkRecord {
  readonly positions = new Map<PartitionQueue, SinkPosition>();
  readonly parts = new Set<PartRecord>();
  /** Runs in commits under way. */
  readonly outstanding = new Set<Run>();
  closed = false;
  /** Its commits carry the source's offsets (transactions): it takes what nobody else has anything open of. */
  last = false;

  /** `node`: the node that it belongs to. One that writes to several tables has a sink for each. */
  constructor(readonly id: string, readonly events: SinkEvents, readonly node: string = id) {}

  position(queue: PartitionQueue): SinkPosition {
    let position = this.positions.get(queue);
    if (!position) this.positions.set(queue, position = { parked: 0, committed: -1, taken: undefined });
    return position;
  }

  countParked(part: PartRecord, by: 1 | -1): void {
    for (const queue of queuesOf(part.group)) {
      const position = this.position(queue);
      position.parked += by;
      if (position.parked > 0) queue.waiting.add(this);
      else queue.waiting.delete(this);
    }
  }
}

/** The partitions that a group touches, each once. */
export function queuesOf(group: Group | undefined): Iterable<PartitionQueue> {
  if (!group) return [];
  if (group.entries.length === 1) return [group.entries[0]!.queue];
  return new Set(group.entries.map((entry) => entry.queue));
}

/** A failure that waits for its turn to be judged. */
export interface PendingFailure {
  readonly part: PartRecord | undefined;
  readonly entries: readonly Entry[];
  readonly error: Error | TicklakeError;
  readonly node: string | undefined;
  readonly cutAt: bigint | undefined;
  caught: boolean;
}
