import { Ledger, type LedgerSink, type LedgerSource, type Message, type NodeRef, type Unprotected } from "../../../lib/delivery/ledger";
import { isTiedAcross } from "../../../lib/delivery/runs";
import type { Delivery, Failure, Part, Run } from "../../../lib/delivery/types";

/** Small seeded generator (mulberry32): the same seed gives the same world. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** An event loop with a virtual clock: one task is one turn. */
export class Loop {
  now = 0;
  turn = 1;
  private seq = 0;
  private tasks: { at: number; seq: number; run: () => void; }[] = [];

  at(ms: number, run: () => void): () => void {
    const task = { at: this.now + ms, seq: this.seq++, run };
    let low = 0, high = this.tasks.length;
    while (low < high) {
      const middle = (low + high) >>> 1, other = this.tasks[middle]!;
      if (other.at < task.at || (other.at === task.at && other.seq < task.seq)) low = middle + 1;
      else high = middle;
    }
    this.tasks.splice(low, 0, task);
    return () => { task.run = () => {}; };
  }

  clear(): void { this.tasks = []; }

  /** Runs tasks until `until` holds, nothing is left, or the clock passes `limit`. */
  run(until: () => boolean, limit: number): void {
    for (;;) {
      if (until()) return;
      const task = this.tasks[0];
      if (!task || task.at > limit) return;
      this.tasks.shift();
      this.now = Math.max(this.now, task.at);
      this.turn++;
      task.run();
    }
  }
}

export interface Row { readonly id: string; readonly n: number }
type Rows = Message & { payload: Row[] };
type Handler = (message: Rows, send: (message: Rows | Rows[]) => void, done: (error?: Error) => void) => void;

/** A node of the simulated Node-RED. */
export interface SimNode extends NodeRef {
  wires: SimNode[];
  handler: Handler;
  completes: boolean;
  /** Complete and Catch nodes that watch this one. */
  complete?: SimNode[];
  catches?: SimNode[];
  close?: () => void;
}

/** A Node-RED with its routing rules (see Node.js and Flow.js of its runtime), a ledger on its hooks, and no time of its own. */
export class World {
  readonly loop = new Loop();
  ledger!: Ledger;
  readonly unprotected: Unprotected[] = [];
  readonly errors: unknown[] = [];
  private messages = 0;
  private processes = 0;
  readonly nodes: SimNode[] = [];

  constructor(readonly random: () => number = generator(1)) { this.boot(); }

  /** A new process: nothing of the old ledger is left. */
  boot(): void {
    this.ledger = new Ledger({
      processId: `p${++this.processes}`,
      time: {
        now: () => this.loop.now,
        after: (ms, callback) => this.loop.at(ms, callback),
        later: (callback) => { this.loop.at(0, callback); },
      },
      turn: () => this.loop.turn,
      unprotected: (what) => this.unprotected.push(what),
      onError: (error) => this.errors.push(error),
    });
  }

  node(id: string, handler: Handler, options: Partial<SimNode> = {}): SimNode {
    const node: SimNode = { id, type: "function", wires: [], handler, completes: true, ...options };
    this.nodes.push(node);
    return node;
  }

  message(payload: Row[], more: object = {}): Rows { return { _msgid: `m${++this.messages}`, payload, ...more }; }
  clone(message: Rows): Rows { return { ...message, payload: message.payload.slice() }; }

  /** node.send: the first wire gets the object, every further one a clone; delivery is in a later turn. */
  send(from: SimNode, messages: Rows | Rows[]): void {
    const events: { message: Rows; to: SimNode; clone: boolean }[] = [];
    for (const to of from.wires) for (const message of [messages].flat()) events.push({ message, to, clone: events.length > 0 });
    for (const { message, to, clone } of events) {
      message._msgid ??= `m${++this.messages}`;
      const sent = clone ? this.clone(message) : message;
      this.ledger.sent(sent, from, to);
      this.loop.at(0, () => { this.receive(to, sent); });
    }
  }

  receive(node: SimNode, message: Rows): void {
    if (!this.nodes.includes(node)) return;
    this.ledger.received(message, node);
    try {
      node.handler(message, (sent) => { this.send(node, sent); }, (error) => { this.complete(node, message, error); });
    } catch (error) {
      if (!this.raise(node, error as Error, message)) this.ledger.errorLogged(node.id, error);
    }
    this.ledger.returned(message, node, node.completes);
  }

  complete(node: SimNode, message: Rows, error?: Error): void {
    this.ledger.completed(message, node, error);
    if (error) { this.raise(node, error, message); return; }
    for (const complete of node.complete ?? []) this.receive(complete, Object.assign(this.clone(message), { complete: { source: { id: node.id } } }));
  }

  private raise(node: SimNode, error: Error, message: Rows): boolean {
    for (const one of node.catches ?? []) this.receive(one, Object.assign(this.clone(message), { error: { message: error.message, source: { id: node.id } } }));
    return (node.catches ?? []).length > 0;
  }

  integer(from: number, to: number): number { return from + Math.floor(this.random() * (to - from + 1)); }
  chance(probability: number): boolean { return this.random() < probability; }
}

/** A replayable log of `rows` rows in each of `partitions` partitions; what is delivered is remembered as a group offset is. */
export class SimSource {
  readonly committed: number[];
  readonly failures: Failure<number>[] = [];
  readonly heldUp: (string | undefined)[] = [];
  readonly problems: string[] = [];
  rewinds = 0;
  private next: number[];
  private readonly cuts = new Map<number, number>();
  private readonly waiting = new Set<number>();
  private handle!: LedgerSource<number>;
  private running = false;
  readonly node: SimNode;

  constructor(
    private readonly world: World,
    readonly id: string,
    private readonly options: { partitions: number; rows: number; maxBatch: number; maxInFlight: number; caughtIsDone?: boolean; deliveryTimeoutMs?: number },
  ) {
    this.committed = new Array<number>(options.partitions).fill(0);
    this.next = [];
    this.node = world.node(id, () => {}, { type: "source" });
    this.open();
  }

  /** A new process or a new deployment: goes on after what was delivered. */
  open(): void {
    this.next = [...this.committed];
    this.waiting.clear();
    this.cuts.clear();
    this.handle = this.world.ledger.openSource<number>(this.id, {
      maxInFlight: this.options.maxInFlight, maxInFlightBytes: 1e9, deliveryTimeoutMs: this.options.deliveryTimeoutMs ?? 10_000, caughtIsDone: this.options.caughtIsDone ?? false,
    }, {
      delivered: (delivery) => { this.delivered(delivery); },
      failed: (failure) => { this.failed(failure); },
      room: () => { this.pump(); },
      heldUp: (holdUp) => { this.heldUp.push(holdUp?.node); },
      rewind: ({ partition, to }) => {
        this.rewinds++;
        // Never forward: another sink may have sent it further back.
        if (Number(to) < this.next[Number(partition)]!) this.goBack(Number(partition), Number(to));
      },
    });
    for (let partition = 0; partition < this.options.partitions; partition++) {
      this.handle.assigned(String(partition), { cluster: "c", group: "g", topic: this.id, partition });
    }
  }

  /** A rebalance took the partition and gave it back: what is open of it is over, reading goes on after what was delivered. */
  revoke(partition: number): void {
    this.handle.abort(String(partition));
    this.goBack(partition, this.committed[partition]!);
  }

  private goBack(partition: number, to: number): void {
    this.committed[partition] = to;
    this.next[partition] = to;
    this.cuts.delete(partition);
    this.pump();
  }

  close(): void { this.running = false; this.handle.close(); }
  start(): void { this.running = true; this.pump(); }
  suspend(): void { this.running = false; }
  get done(): boolean { return this.committed.every((offset) => offset === this.options.rows); }
  get stats() { return this.handle.stats(); }

  private delivered(delivery: Delivery<number>): void {
    const partition = Number(delivery.partition);
    if (this.committed[partition] !== delivery.context) this.problems.push(`delivered ${delivery.context} of partition ${partition} after ${this.committed[partition]}`);
    this.committed[partition] = Number(delivery.lineage!.nextOffset);
    this.pump();
  }

  private failed(failure: Failure<number>): void {
    this.failures.push(failure);
    const partition = Number(failure.partition);
    this.next[partition] = failure.aborted[0]!.context;
    if (failure.cutAt !== undefined) this.cuts.set(partition, Number(failure.cutAt));
    this.waiting.add(partition);
    this.world.loop.at(100, () => { this.waiting.delete(partition); this.pump(); });
  }

  private pump(): void {
    for (let more = true; more && this.running;) {
      more = false;
      for (let partition = 0; partition < this.options.partitions; partition++) {
        const first = this.next[partition]!;
        if (this.waiting.has(partition) || first >= this.options.rows || !this.handle.hasRoom()) continue;
        let end = Math.min(first + this.world.integer(1, this.options.maxBatch), this.options.rows);
        const cut = this.cuts.get(partition);
        if (cut !== undefined && first < cut) end = Math.min(end, cut);
        this.next[partition] = end;
        const payload: Row[] = [];
        for (let n = first; n < end; n++) payload.push({ id: `${this.id}/${partition}:${n}`, n });
        const delivery = this.handle.open({
          partition: String(partition), records: payload.length, bytes: payload.length, context: first,
          lineage: { cluster: "c", group: "g", topic: this.id, partition, firstOffset: BigInt(first), lastOffset: BigInt(end - 1), lastTimestamp: 0, nextOffset: BigInt(end) },
        });
        this.world.send(this.node, this.world.message(payload, { delivery: delivery.token }));
        this.handle.release(delivery);
        more = true;
      }
    }
  }
}

/** A table with watermarks that survives everything, and the sink that writes it. */
export class SimSink {
  rows: string[] = [];
  watermarks = new Map<string, number>();
  /** The table after each commit, for a rollback. */
  private versions: { rows: string[]; watermarks: Map<string, number> }[] = [{ rows: [], watermarks: new Map() }];
  /** Kept by the table: where it stands since a rollback, until those rows are written again. */
  readonly lost = new Map<string, { to: number; from: number }>();
  /** Of this process: reversals that the source was told of. */
  private rollbacks = 0;
  private readonly asked = new Map<string, number>();
  readonly node: SimNode;
  readonly parked = new Map<Part, Row[]>();
  unprotectedRows = 0;
  duplicates = 0;
  pressures = 0;
  private handle!: LedgerSink;
  private committing = false;
  private loose: Part[] = [];
  private generation = 0;

  constructor(private readonly world: World, readonly id: string, private readonly options: { intervalMs: number; commitMs: number; giveBack?: number; poison?: () => boolean; onPressure?: boolean; results?: boolean; last?: boolean }) {
    this.node = world.node(id, (message, _send, done) => { this.input(message, done); }, { type: "sink" });
    this.open();
  }

  open(): void {
    const generation = ++this.generation;
    this.committing = false;
    this.loose = [];
    this.parked.clear();
    this.asked.clear();
    this.handle = this.world.ledger.openSink(this.id, {
      aborted: (parts) => { for (const part of parts) this.parked.delete(part); },
      pressure: () => { this.pressures++; if (this.options.onPressure !== false) this.commit(); },
      settled: () => { if (this.options.last) this.commit(); },
      assigned: () => { this.asked.clear(); this.sendBack(); },
    });
    const tick = (): void => { if (generation !== this.generation) return; this.sendBack(); this.commit(); this.world.loop.at(this.options.intervalMs, tick); };
    if (this.options.intervalMs > 0) this.world.loop.at(this.options.intervalMs, tick);
  }

  /** A deploy or stop: what is settled is committed, the rest fails. */
  close(): void {
    this.generation++;
    this.sendBack();
    this.finish(this.handle, this.takeCurrent(this.handle), this.loose);
    this.handle.close();
  }

  private input(message: Rows, done: (error?: Error) => void): void {
    const part = this.handle.accept(message, done);
    if (part.state === "dropped") return;
    this.sendBack();
    if (part.state !== "held") return;
    if (this.options.last && isTiedAcross(part)) { part.fail(new Error("tied across partitions")); return; }
    const below = part.deliveries.map((d) => Number(d.lineage!.nextOffset) <= this.watermark(d));
    if (part.deliveries.length > 0 && below.every(Boolean)) { this.duplicates += message.payload.length; part.park(); part.done(); return; }
    if (this.straddles(part.deliveries)) { part.fail(new Error("straddles"), { cutAt: BigInt(this.watermark(part.deliveries[0]!)) }); return; }
    if (this.options.poison?.()) { part.fail(new Error("poison")); return; }
    this.parked.set(part, message.payload);
    if (part.deliveries.length === 0) { this.unprotectedRows += message.payload.length; this.loose.push(part); }
    part.park();
  }

  private watermark(delivery: Delivery): number { return this.watermarks.get(keyOf(delivery)) ?? 0; }

  /** Somebody rolls the table back by some versions. */
  rollBack(): void {
    this.rollbacks++;
    const version = this.versions[this.world.integer(0, this.versions.length - 1)]!;
    for (const [key, from] of this.watermarks) {
      const to = version.watermarks.get(key) ?? 0;
      if (to < from) this.lost.set(key, { to: Math.min(to, this.lost.get(key)?.to ?? Infinity), from });
    }
    this.rows = [...version.rows];
    this.watermarks = new Map(version.watermarks);
    this.versions = this.versions.slice(0, this.versions.indexOf(version) + 1);
  }

  /** Asks the sources for what a rollback took away: once per reversal and process. */
  private sendBack(): void {
    for (const [key, { to, from }] of this.lost) {
      if (this.asked.get(key) === to) continue;
      const [topic, partition] = key.split("/") as [string, string];
      const at = { cluster: "c", group: "g", topic, partition: Number(partition) };
      if (this.handle.rewind(at, BigInt(to), BigInt(from), "rolled back")) this.asked.set(key, to);
    }
  }

  commit(): void {
    if (this.committing) return;
    const handle = this.handle, generation = this.generation, rollbacks = this.rollbacks;
    this.sendBack();
    const runs = this.takeCurrent(handle);
    if (this.options.last) {
      for (const delivery of runs.flatMap((run) => run.deliveries)) {
        for (const { node } of handle.blockers(delivery)) this.world.errors.push(`${this.id} goes last with ${delivery.token}, but ${node} has parts of it`);
      }
    }
    if (runs.length === 0 && this.loose.length === 0) return;
    this.committing = true;
    const loose = this.loose;
    this.loose = [];
    // The commit is composed now and takes effect later, whatever becomes of its deliveries meanwhile.
    const content = new Map([...new Set(runs.flatMap((run) => run.parts)), ...loose].map((part) => [part, this.parked.get(part) ?? []]));
    this.world.loop.at(this.world.integer(0, this.options.commitMs), () => {
      if (generation !== this.generation) return;
      this.committing = false;
      // Somebody was first: the next attempt looks at the table as it is now.
      if (rollbacks !== this.rollbacks) { handle.giveBack(runs); this.loose.push(...loose); this.commit(); return; }
      if (this.world.chance(this.options.giveBack ?? 0)) { handle.giveBack(runs); this.loose.push(...loose); return; }
      this.finish(handle, runs, loose, content);
      this.commit();
    });
  }

  /**
   * What may be committed onto the table as it is now: a commit may have landed since a part was parked, so its watermark is
   * looked at again. What is wholly below it is done; a batch that straddles it is read again from the cut.
   */
  private takeCurrent(handle: LedgerSink): Run[] {
    const runs = handle.take(this.options.last ? { last: true } : {});
    const straddling = [...new Set(runs.flatMap((run) => run.parts))].filter((part) => this.straddles(part.deliveries));
    if (straddling.length > 0) {
      handle.giveBack(runs);
      for (const part of straddling) { this.parked.delete(part); part.fail(new Error("straddles"), { cutAt: BigInt(this.watermark(part.deliveries[0]!)) }); }
      return [];
    }
    for (const part of runs.flatMap((run) => run.parts)) {
      if (part.deliveries.every((d) => Number(d.lineage!.nextOffset) <= this.watermark(d))) this.parked.set(part, []);
    }
    return runs;
  }

  private straddles(deliveries: readonly Delivery[]): boolean {
    return deliveries.length === 1 && deliveries.some((d) => Number(d.lineage!.firstOffset) < this.watermark(d) && Number(d.lineage!.nextOffset) > this.watermark(d));
  }

  private finish(handle: LedgerSink, runs: Run[], loose: Part[], content = new Map([...new Set(runs.flatMap((run) => run.parts)), ...loose].map((part) => [part, this.parked.get(part) ?? []]))): void {
    for (const rows of content.values()) this.rows.push(...rows.map((row) => row.id));
    for (const run of runs) {
      const key = keyOf(run);
      this.watermarks.set(key, Math.max(this.watermarks.get(key) ?? 0, Number(run.lineage!.nextOffset)));
      this.lost.delete(key);
      this.asked.delete(key);
    }
    this.versions.push({ rows: [...this.rows], watermarks: new Map(this.watermarks) });
    handle.committed(runs);
    for (const part of content.keys()) { this.parked.delete(part); part.done(); }
  }

  counts(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const row of this.rows) counts.set(row, (counts.get(row) ?? 0) + 1);
    return counts;
  }
}

const keyOf = ({ source, partition }: { source: string; partition: string }): string => `${source}/${partition}`;
