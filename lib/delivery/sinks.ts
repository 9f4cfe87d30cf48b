import { asTicklakeError, TicklakeError } from "../errors";
import { PartRecord } from "./model";
import type { Entry, PartitionQueue, SinkRecord } from "./model";
import { selectLastRuns, selectRuns } from "./runs";
import type { Settlement } from "./settlement";
import type { Message, Traffic } from "./traffic";
import type { Blocker, LogPosition, Part, Run, SinkHandle, TargetPosition } from "./types";

/** A sink's side of the ledger, with the door through which its messages come. */
export interface LedgerSink extends SinkHandle {
  /**
   * Takes a message in. The part is `dropped` when its delivery was aborted or flows are being stopped: the sink forgets
   * the message and does not call done. `ended` is called when the part is done or has failed for a reason that concerns
   * the user; a batch that is only read again (stopped, cut, aborted) ends without it.
   */
  accept(message: Message, ended?: (error?: Error) => void): Part;
}

/** The sinks of the ledger: accept, park, take, done. */
export class SinkSide {
  constructor(private readonly settlement: Settlement, private readonly traffic: Traffic) {}

  open(sink: SinkRecord): LedgerSink {
    const { settlement } = this;
    settlement.openSink(sink);
    return {
      id: sink.id,
      accept: (message, ended) => this.accept(sink, message, ended),
      take: (options) => this.take(sink, options?.last ?? false),
      blockers: (delivery) => blockersOf(delivery as Entry, sink),
      pressOthers: () => this.pressOthers(sink),
      rewind: (at, to, from, reason) => {
        this.traffic.enter();
        return settlement.rewind(at, { to, from, reason, node: sink.node });
      },
      offsetsAtRest: (delivery) => (delivery as Entry).queue.source.events.offsetsAtRest?.() ?? Promise.resolve(),
      giveBack: (runs) => this.settle(sink, runs, false),
      committed: (runs) => this.settle(sink, runs, true),
      close: () => this.close(sink),
    };
  }

  private accept(sink: SinkRecord, message: Message, ended?: (error?: Error) => void): Part {
    const { settlement, traffic } = this;
    let part = traffic.claim(message, sink.node);
    if (!part) {
      const found = settlement.find(message.delivery);
      part = new PartRecord(traffic.owner, undefined, undefined, sink.node, undefined, settlement.now());
      part.travelling = false;
      if (found === "aborted") part.state = "dropped";
    }
    if (part.state === "dropped") {
      part.closedTurn = 0;
      return part;
    }
    if (part.group) {
      if (!settlement.running || sink.closed) {
        part.fail(new TicklakeError("STOPPED", `${this.settlement.nameOf(sink.node)} was being stopped when a batch arrived. It is read again.`));
        part.state = "dropped";
        return part;
      }
      this.leaveCommitted(sink, part);
    }
    part.sink = sink;
    part.ended = ended;
    if (part.group) sink.parts.add(part);
    return part;
  }

  /** A part that comes after its delivery went into a commit here is protected no longer by that one. */
  private leaveCommitted(sink: SinkRecord, part: PartRecord): void {
    const entries = part.group!.entries;
    const covered = (entry: Entry): boolean => {
      const position = sink.positions.get(entry.queue);
      return position !== undefined && entry.batch <= Math.max(position.committed, position.taken ?? -1);
    };
    if (!entries.some(covered)) return;
    this.traffic.regroup(part, entries.filter((entry) => !covered(entry)));
    this.traffic.report(part.from, "committed");
  }

  park(part: PartRecord): void {
    if (part.state !== "held") return;
    part.state = "parked";
    const { group, sink } = part;
    if (!group || !sink) return;
    this.traffic.enter();
    group.setBusy(part, false);
    sink.countParked(part, 1);
    this.settlement.touchGroup(group);
  }

  done(part: PartRecord): void {
    if (!part.isOpen) return;
    this.leave(part);
    part.state = "done";
    part.closedTurn = 0;
    if (part.group) {
      this.traffic.enter();
      part.group.remove(part);
      this.settlement.touchGroup(part.group);
    }
    this.end(part);
  }

  fail(part: PartRecord, error: Error, cutAt?: bigint): void {
    if (!part.isOpen) return;
    this.leave(part);
    part.state = "failed";
    part.closedTurn = 0;
    if (part.group) {
      this.traffic.enter();
      part.group.setBusy(part, true);
      this.settlement.failLater(part, part.group.entries, error, { node: part.node, ...(cutAt === undefined ? {} : { cutAt }) });
    }
    if (cutAt === undefined && !(error instanceof TicklakeError && error.code === "STOPPED")) this.end(part, error);
  }

  /** Completes the message. What a user's node throws there is no concern of the sink that is at work. */
  private end(part: PartRecord, error?: Error): void {
    try {
      part.ended?.(error);
    } catch (thrown) {
      this.settlement.report(thrown);
    }
  }

  private leave(part: PartRecord): void {
    if (part.state === "parked" && part.group) part.sink?.countParked(part, -1);
    part.sink?.parts.delete(part);
  }

  private take(sink: SinkRecord, last: boolean): Run[] {
    this.traffic.enter();
    if (sink.closed) return [];
    sink.last = last;
    const runs = last ? selectLastRuns(sink) : selectRuns(sink);
    for (const run of runs) {
      sink.outstanding.add(run);
      const entries = run.deliveries as Entry[];
      const position = sink.position(entries[0]!.queue);
      position.taken = Math.max(position.taken ?? -1, entries.at(-1)!.batch);
      for (const part of run.parts as PartRecord[]) {
        if (part.state !== "parked") continue;
        sink.countParked(part, -1);
        part.state = "taken";
      }
    }
    return runs;
  }

  private pressOthers(sink: SinkRecord): boolean {
    this.traffic.enter();
    const queues = [...sink.positions].filter(([queue, { parked }]) => parked > 0 && waitsForSinks(queue, sink)).map(([queue]) => queue);
    for (const source of new Set(queues.map((queue) => queue.source))) this.settlement.press(source);
    return queues.length > 0;
  }

  /** What every sink knows of a partition. One that cannot be asked now is reported and left out. */
  async positions(at: LogPosition): Promise<TargetPosition[]> {
    const found = await Promise.all([...this.settlement.sinks.values()].map(async ({ events }) => {
      try {
        return await events.positions?.(at) ?? [];
      } catch (error) {
        this.settlement.report(error);
        return [];
      }
    }));
    return found.flat();
  }

  /** Makes every sink forget a partition. All are asked before the first failure is thrown. */
  async forget(at: LogPosition): Promise<string[]> {
    const outcomes = await Promise.allSettled([...this.settlement.sinks.values()].map(async ({ events }) => await events.forget?.(at) ?? []));
    const forgot = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? outcome.value : []));
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (!failed) return forgot;
    const error = asTicklakeError(failed.reason);
    const rest = forgot.length > 0 ? ` These did forget: ${forgot.join(", ")}.` : "";
    throw new TicklakeError(error.code, `How far a target is with ${at.topic}/${at.partition} could not be forgotten: ${error.message}${rest} Repeat it.`, { cause: error, details: { forgot } });
  }

  private settle(sink: SinkRecord, runs: readonly Run[], committed: boolean): void {
    this.traffic.enter();
    for (const run of runs) {
      if (!sink.outstanding.delete(run)) continue;
      const entries = run.deliveries as Entry[];
      const queue = entries[0]!.queue;
      const position = sink.positions.get(queue);
      if (position) {
        position.taken = undefined;
        if (committed) position.committed = Math.max(position.committed, entries.at(-1)!.batch);
      }
      if (!committed) {
        for (const part of run.parts as PartRecord[]) {
          if (part.state !== "taken") continue;
          part.state = "parked";
          sink.countParked(part, 1);
        }
      }
      this.settlement.lookAt(queue);
    }
  }

  private close(sink: SinkRecord): void {
    if (sink.closed) return;
    sink.closed = true;
    for (const part of [...sink.parts]) part.fail(new TicklakeError("STOPPED", `${this.settlement.nameOf(sink.node)} was stopped before a batch was written. It is read again.`));
    this.settlement.closeSink(sink);
  }
}

/** Whether the oldest delivery that is not complete has settled, and what is open of it at other nodes lies in sinks. */
function waitsForSinks(queue: PartitionQueue, sink: SinkRecord): boolean {
  let index = 0;
  while (queue.at(index)?.isComplete) index++;
  const oldest = queue.at(index);
  if (!oldest?.isSettled) return false;
  return [...oldest.groups()].some((group) => [...group.parts].some((part) => part.sink !== sink));
}

function blockersOf(delivery: Entry, sink: SinkRecord): Blocker[] {
  const found = new Map<string, { node: string; parts: number; parked: boolean; last: boolean }>();
  if (delivery.sending) found.set(delivery.source, { node: delivery.source, parts: 1, parked: false, last: false });
  for (const group of delivery.groups()) {
    for (const part of group.parts) {
      if (part.sink === sink) continue;
      const parked = part.state === "parked" || part.state === "taken";
      const last = part.sink?.last ?? false;
      const before = found.get(part.node);
      if (!before) found.set(part.node, { node: part.node, parts: 1, parked, last });
      else {
        before.parts++;
        before.parked &&= parked;
        before.last ||= last;
      }
    }
  }
  return [...found.values()];
}
