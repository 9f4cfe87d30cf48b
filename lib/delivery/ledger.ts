import { TicklakeError } from "../errors";
import { Settlement } from "./settlement";
import type { LedgerOptions } from "./ledger-options";
import { Entry, PartitionQueue, PartRecord, SinkRecord, SourceRecord } from "./model";
import type { PartOwner } from "./model";
import { openPartitions, statsOf } from "./panel";
import { SinkSide } from "./sinks";
import type { LedgerSink } from "./sinks";
import type { BatchSpec, Delivery, SinkEvents, SourceEvents, SourceHandle, SourceLimits } from "./types";
import { Traffic } from "./traffic";
import type { Message, NodeRef } from "./traffic";

export type { LedgerOptions, LedgerTime, Unprotected } from "./ledger-options";
export type { LedgerSink } from "./sinks";
export type { Message, NodeRef } from "./traffic";

/** A source's side of the ledger, with what only its adapter needs. */
export interface LedgerSource<C = unknown> extends SourceHandle<C> {
  /** It could not be sent: aborts it and all later ones of its partition. */
  fail(delivery: Delivery<C>, error: Error): void;
  /** Whether the oldest delivery of some partition is settled: a stopping source waits for these only. */
  hasSettled(): boolean;
}

/**
 * The ledger of one process: which deliveries are open, which parts of them are where. Pure: events come in by method
 * calls, time and turns are injected, and everything it has to say is said in a later turn of the event loop.
 *
 * @example
 * const ledger = new Ledger({ processId: "p1", time, turn });
 * const source = ledger.openSource("kafka-in-1", limits, events);
 * const delivery = source.open({ partition: "trades-0", records: 100, bytes: 12_000, context: position });
 * message.delivery = delivery.token;         // send it, then
 * source.release(delivery);
 */
export class Ledger implements PartOwner {
  private readonly settlement: Settlement;
  private readonly traffic: Traffic;
  private readonly sinkSide: SinkSide;
  private instances = 0;

  constructor(options: LedgerOptions) {
    this.settlement = new Settlement(options);
    this.traffic = new Traffic(this.settlement, this);
    this.sinkSide = new SinkSide(this.settlement, this.traffic);
  }

  // ---- sources -------------------------------------------------------------------------------------------------

  /** Opens a source. `id` is its node id; what an earlier source of this id had open counts as aborted. */
  openSource<C>(id: string, limits: SourceLimits, events: SourceEvents<C>): LedgerSource<C> {
    const source = new SourceRecord(id, ++this.instances, limits, events as SourceEvents);
    this.settlement.sources.set(source.instance, source);
    this.settlement.watch();
    return {
      id,
      hasRoom: () => {
        if (source.full) source.wantsRoom = true;
        return !source.full;
      },
      open: (spec) => this.open(source, spec as BatchSpec) as Delivery<C>,
      release: (delivery) => {
        const entry = delivery as unknown as Entry;
        if (!entry.sending) return;
        this.traffic.enter();
        entry.sending = false;
        this.settlement.touch(entry);
      },
      fail: (delivery, error) => {
        this.traffic.enter();
        this.settlement.failLater(undefined, [delivery as unknown as Entry], error, { node: id });
      },
      hasSettled: () => [...source.queues.values()].some((queue) => queue.at(0)?.isSettled ?? false),
      stats: () => statsOf(source),
      openPartitions: () => openPartitions(source),
      assigned: (partition, at) => { this.settlement.assigned(queueOf(source, partition), at); },
      positions: (at) => this.sinkSide.positions(at),
      forget: (at) => this.sinkSide.forget(at),
      abort: (partition) => {
        this.traffic.enter();
        this.settlement.abandon(source, partition);
      },
      offsetsCommittedBySink: (partition) => this.settlement.offsetsCommittedBySink(source, partition),
      press: () => { this.settlement.press(source); },
      close: () => {
        this.traffic.enter();
        this.settlement.closeSource(source);
      },
    };
  }

  /** Whether hooks are needed: some source is open. */
  get active(): boolean { return this.settlement.sources.size > 0; }

  private open(source: SourceRecord, spec: BatchSpec): Entry {
    if (source.closed) throw new TicklakeError("STOPPED", `The source ${source.id} is closed: it can open no delivery.`);
    this.traffic.enter();
    const queue = queueOf(source, spec.partition);
    const batch = source.nextBatch++;
    const token = this.settlement.tokens.delivery(source.id, { instance: source.instance, partition: spec.partition, epoch: queue.epoch, batch });
    const entry = new Entry(queue, token, queue.epoch, batch, this.settlement.now(), spec);
    queue.push(entry);
    if (spec.lineage) queue.position = spec.lineage;
    this.settlement.groups.set(token, entry.own);
    source.open++;
    source.opened++;
    source.openedRecords += spec.records;
    source.records += spec.records;
    source.bytes += spec.bytes;
    if (source.full) this.settlement.look(source);
    return entry;
  }

  /** Runs what is judged in a later turn now (before a decision that rests on it). */
  judge(): void { this.settlement.judge(); }

  /** Whether a token stands for a delivery that failed, so that what it brought is read again. False while it is open, when it was delivered, and for what is no token. */
  wasAborted(token: unknown): boolean { return this.settlement.find(token) === "aborted"; }

  // ---- sinks ---------------------------------------------------------------------------------------------------

  /** Opens a sink: a node that parks parts until their data is durable. `id` is its node id; a node with several sinks (one per table) gives each an id of its own, and `node`. */
  openSink(id: string, events: SinkEvents, node: string = id): LedgerSink { return this.sinkSide.open(new SinkRecord(id, events, node)); }

  park(part: PartRecord): void { this.sinkSide.park(part); }
  done(part: PartRecord): void { this.sinkSide.done(part); }
  fail(part: PartRecord, error: Error, cutAt?: bigint): void { this.sinkSide.fail(part, error, cutAt); }

  // ---- what the hooks see --------------------------------------------------------------------------------------

  /** A message leaves a node for another one (`preDeliver`). */
  sent(message: Message, from: NodeRef, to: NodeRef): void { this.traffic.sent(message, from, to); }
  /** A node is about to handle a message (`onReceive`). */
  received(message: Message, node: NodeRef): void { this.traffic.received(message, node); }
  /** The node's handler has returned (`postReceive`). `completes`: it will call done. */
  returned(message: Message, node: NodeRef, completes: boolean): void { this.traffic.returned(message, node, completes); }
  /** The node called done (`onComplete`). */
  completed(message: Message, node: NodeRef, error?: unknown): void { this.traffic.completed(message, node, error); }
  /** An error was logged in the name of a node. */
  errorLogged(node: string, error: unknown): void { this.traffic.errorLogged(node, error); }

  // ---- stopping ------------------------------------------------------------------------------------------------

  /** Flows begin to stop: from now on every completion by a foreign node counts as failure, sinks take nothing new. */
  stopping(): void {
    this.traffic.enter();
    this.settlement.running = false;
  }

  /** Flows have stopped: what is not parked has failed. `isAlive` tells which nodes live on (a link call may still wait). */
  stopped(isAlive: (node: string) => boolean = () => true): void {
    this.traffic.enter();
    this.settlement.running = false;
    this.settlement.failUnparked(isAlive);
  }

  /** Flows run (again). */
  started(): void {
    this.traffic.enter();
    this.settlement.running = true;
  }
}

function queueOf(source: SourceRecord, partition: string): PartitionQueue {
  let queue = source.queues.get(partition);
  if (!queue) source.queues.set(partition, queue = new PartitionQueue(source, partition));
  return queue;
}
