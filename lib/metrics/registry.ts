import { Histogram } from "./histogram";
import { COUNTERS, type Counter, type Reading } from "./reading";

/** Who counts. */
export interface NodeIdentity {
  readonly id: string;
  readonly type: string;
  /** As people call it; empty without a name. */
  readonly name: string;
  /** Name of the flow (tab) in which it stands. */
  readonly flow: string;
}

/** The last finished batch of a node. */
export interface LastBatch { readonly records: number; readonly ms: number; /** Unix ms. */ readonly startedAt: number }

/**
 * The figures of one node. Totals are asked of the node only when somebody looks (`read`), so that they cost nothing while records pass; batches and errors, which
 * are few, are told.
 */
export class NodeMeter {
  /** What the node says of itself; set by its adapter. */
  read: () => Reading = () => ({});
  /** Why the node cannot do its work now, in a few words; undefined while it can. */
  notReady: () => string | undefined = () => undefined;
  readonly durations = new Histogram();
  lastBatch: LastBatch | undefined;
  /** Time between the starts of the last two batches, ms. */
  triggerIntervalMs: number | undefined;
  errors = 0;
  /** It is listed among the nodes that count. */
  listed = true;
  /** The node was closed and nothing has taken its place yet. */
  closed = false;
  private base: Partial<Record<Counter, number>> = {};

  constructor(readonly identity: NodeIdentity) {}

  /** A batch (a commit, a message's acknowledgement, a query) ended at `now` (Unix ms) and took `ms`. */
  batch(records: number, ms: number, now: number): void {
    const startedAt = now - ms;
    if (this.lastBatch) this.triggerIntervalMs = Math.max(0, startedAt - this.lastBatch.startedAt);
    this.lastBatch = { records, ms, startedAt };
    this.durations.observe(ms / 1000);
  }

  /** Totals of this node and those that stood in its place before. A total that it does not know is left out. */
  totals(reading: Reading = this.read()): Partial<Record<Counter, number>> {
    const totals: Partial<Record<Counter, number>> = {};
    for (const counter of COUNTERS) {
      const now = counter === "errors" ? this.errors : reading[counter];
      const before = this.base[counter];
      if (now !== undefined || before !== undefined) totals[counter] = (now ?? 0) + (before ?? 0);
    }
    return totals;
  }

  /** Goes on where another one ended: what it counted, and its batches. */
  follow(other: NodeMeter): void {
    this.base = other.totals();
    this.lastBatch = other.lastBatch;
    this.triggerIntervalMs = other.triggerIntervalMs;
    this.durations.add(other.durations);
  }
}

/** A node that cannot do its work, and why. */
export interface NotReady { readonly id: string; readonly type: string; readonly name: string; readonly reason: string }

/** The figures of all nodes of a process. Whoever is deployed anew goes on counting where it was: a deploy is no loss of what was counted. */
export class MetricsRegistry {
  private readonly meters = new Map<string, NodeMeter>();

  /** A node begins. */
  open(identity: NodeIdentity): NodeMeter {
    const meter = new NodeMeter(identity);
    const before = this.meters.get(identity.id);
    if (before && before.identity.type === identity.type) meter.follow(before);
    this.meters.set(identity.id, meter);
    return meter;
  }

  /** A node ends; with `removed` for good. What it still counts while it closes is counted. */
  close(meter: NodeMeter, removed: boolean): void {
    meter.closed = true;
    if (removed && this.meters.get(meter.identity.id) === meter) this.meters.delete(meter.identity.id);
  }

  /** Flows run again: a node that was closed and that nothing has replaced (it was disabled, or its flow was) is no part of them any more. */
  started(): void {
    for (const [id, { closed }] of this.meters) if (closed) this.meters.delete(id);
  }

  /** Those that count, in the order in which they were first deployed. */
  nodes(): NodeMeter[] { return [...this.meters.values()].filter(({ listed }) => listed); }

  /** A node's figures. */
  node(id: string): NodeMeter | undefined { return this.meters.get(id); }

  /** The nodes that cannot do their work now. */
  notReady(): NotReady[] {
    const found: NotReady[] = [];
    for (const { identity: { id, type, name }, notReady, closed } of this.meters.values()) {
      const reason = closed ? undefined : notReady();
      if (reason !== undefined) found.push({ id, type, name, reason });
    }
    return found;
  }
}
