import type { Delivery, Failure, HoldUp, Part, Rewind, SinkEvents, SourceLimits } from "../../../lib/delivery/types";
import type { LedgerSource, Message, NodeRef } from "../../../lib/delivery/ledger";
import { Ledger, type Unprotected } from "../../../lib/delivery/ledger";
import { Loop } from "./world";

/** A ledger whose hooks the test calls by hand; `turn()` ends the turn and runs what is due. */
export class Bench {
  readonly loop = new Loop();
  readonly unprotected: Unprotected[] = [];
  readonly errors: unknown[] = [];
  readonly ledger: Ledger;
  readonly delivered: Delivery<string>[] = [];
  readonly failed: Failure<string>[] = [];
  readonly heldUp: (HoldUp | undefined)[] = [];
  readonly rewinds: Rewind[] = [];
  rooms = 0;
  private ids = 0;

  constructor(processId = "p") {
    this.ledger = new Ledger({
      processId, turn: () => this.loop.turn, unprotected: (what) => this.unprotected.push(what), onError: (error) => this.errors.push(error),
      time: { now: () => this.loop.now, after: (ms, run) => this.loop.at(ms, run), later: (run) => { this.loop.at(0, run); } },
    });
    this.ledger.started();
  }

  source(limits: Partial<SourceLimits> = {}, id = "src"): LedgerSource<string> {
    return this.ledger.openSource<string>(id, { maxInFlight: 1000, maxInFlightBytes: 1e6, deliveryTimeoutMs: 60_000, caughtIsDone: false, ...limits }, {
      delivered: (d) => this.delivered.push(d), failed: (f) => this.failed.push(f), room: () => this.rooms++, heldUp: (h) => this.heldUp.push(h),
      rewind: (r) => this.rewinds.push(r),
    });
  }

  sink(id = "sink", events: SinkEvents = {}) {
    const seen = { settled: 0, pressure: 0, aborted: [] as Part[] };
    const handle = this.ledger.openSink(id, { settled: () => seen.settled++, pressure: () => seen.pressure++, aborted: (parts) => seen.aborted.push(...parts), ...events });
    return Object.assign(handle, { seen, node: { id, type: "sink" } });
  }

  /** A batch on its way to the nodes given: opens, sends, releases. */
  send(source: LedgerSource<string>, to: NodeRef[], spec: { partition?: string; records?: number; context?: string; offset?: number } = {}): { delivery: Delivery<string>; messages: Message[] } {
    const delivery = source.open({ partition: spec.partition ?? "0", records: spec.records ?? 1, bytes: 1, context: spec.context ?? "",
      ...(spec.offset === undefined ? {} : { lineage: { cluster: "c", group: "g", topic: "t", partition: 0, firstOffset: BigInt(spec.offset), lastOffset: BigInt(spec.offset), lastTimestamp: 1, nextOffset: BigInt(spec.offset + 1) } }),
    });
    const messages = to.map(() => ({ _msgid: `m${++this.ids}`, delivery: delivery.token as unknown }));
    to.forEach((node, i) => this.ledger.sent(messages[i]!, { id: source.id, type: "source" }, node));
    source.release(delivery);
    return { delivery, messages };
  }

  /** The next turn: what was due happens. */
  turn(ms = 0): void {
    const end = this.loop.now + ms;
    this.loop.run(() => false, end);
    this.loop.now = end;
    this.loop.turn++;
  }

  receive(message: Message, node: NodeRef): void { this.loop.turn++; this.ledger.received(message, node); }

  /** A node that sends on and is done in one turn, as function nodes are. */
  pass(message: Message, node: NodeRef, out: Message, to: NodeRef): Message {
    this.receive(message, node);
    this.ledger.sent(out, node, to);
    this.ledger.completed(message, node);
    this.ledger.returned(message, node, true);
    return out;
  }
}

export const f: NodeRef = { id: "f", type: "function" };
export const g: NodeRef = { id: "g", type: "function" };
export const parkAt = (b: Bench, sink: ReturnType<Bench["sink"]>, message: Message, ended?: (error?: Error) => void): Part => {
  b.receive(message, sink.node);
  const part = sink.accept(message, ended);
  part.park();
  return part;
};
