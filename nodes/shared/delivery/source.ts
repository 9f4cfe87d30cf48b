import type { Node, NodeMessage } from "node-red";
import type { LedgerSource, Message } from "../../../lib/delivery/ledger";
import type { BatchSpec, Delivery, LogPosition, OpenPartition, Rewind, SourceStats, TargetPosition } from "../../../lib/delivery/types";
import { TicklakeError } from "../../../lib/errors";
import type { HeldDelivery, NodeSource, NodeSourceEvents, NodeSourceOptions, Outgoing } from "../delivery";
import type { DeliveryRuntime, PhaseListener } from "./runtime";

/** A source node's side of delivery; see NodeSource. */
export class OpenSource<C> implements NodeSource<C> {
  private readonly handle: LedgerSource<C>;
  private readonly listener: PhaseListener;
  private readonly waiting = new Set<() => void>();
  private started = false;
  private closed = false;

  constructor(private readonly runtime: DeliveryRuntime, private readonly node: Node, options: NodeSourceOptions, events: NodeSourceEvents<C>) {
    this.handle = runtime.ledger.openSource<C>(node.id, options, {
      delivered: (delivery) => { events.delivered(delivery); this.wake(); },
      failed: (failure) => { events.failed(failure); this.wake(); },
      room: () => { events.room?.(); this.wake(); },
      heldUp: (holdUp) => { events.heldUp?.(holdUp); },
      ...(events.offsetsAtRest ? { offsetsAtRest: () => events.offsetsAtRest!() } : {}),
      ...(events.rewind ? { rewind: (rewind: Rewind) => { events.rewind?.(rewind); this.wake(); } } : {}),
    });
    this.listener = {
      node,
      start: () => {
        if (this.started) return;
        this.started = true;
        events.start();
        this.wake();
      },
      suspend: () => {
        if (!this.started) return;
        this.started = false;
        events.suspend();
      },
    };
    runtime.add(this.listener);
  }

  get sending(): boolean { return this.started && !this.closed; }
  hasRoom(): boolean { return this.handle.hasRoom(); }
  stats(): SourceStats { return this.handle.stats(); }
  assigned(partition: string, at: LogPosition): void { this.handle.assigned(partition, at); }
  positions(at: LogPosition): Promise<TargetPosition[]> { return this.handle.positions(at); }
  forget(at: LogPosition): Promise<string[]> { return this.handle.forget(at); }

  openPartitions(): OpenPartition[] {
    // The ledger counts from the start of the process.
    const wall = (at: number): number => Math.round(performance.timeOrigin + at);
    return this.handle.openPartitions().map((open) => ({
      ...open, openedAt: wall(open.openedAt), holders: open.holders.map((holder) => ({ ...holder, since: wall(holder.since) })),
    }));
  }

  abort(partition?: string): void {
    this.handle.abort(partition);
    this.wake();
  }

  offsetsCommittedBySink(partition: string): boolean { return this.handle.offsetsCommittedBySink(partition); }
  press(): void { this.handle.press(); }

  hold(spec: BatchSpec<C>): HeldDelivery<C> {
    const delivery = this.open(spec);
    return {
      delivery,
      send: (messages) => { this.sendAs(delivery, messages, 0); },
      fail: (error) => {
        this.handle.fail(delivery, error);
        this.handle.release(delivery);
      },
    };
  }

  send(spec: BatchSpec<C>, messages: Outgoing, output = 0): Delivery<C> {
    const delivery = this.open(spec);
    this.sendAs(delivery, messages, output);
    return delivery;
  }

  private open(spec: BatchSpec<C>): Delivery<C> {
    if (!this.sending) throw new TicklakeError("STOPPED", "Flows are not running: nothing may be sent. Wait for start().");
    return this.handle.open(spec);
  }

  private sendAs(delivery: Delivery<C>, messages: Outgoing, output: number): void {
    const outputs = Array.isArray(messages) ? messages : [...new Array<null>(output).fill(null), messages];
    for (const message of outputs.flat()) if (message) (message as Message).delivery = delivery.token;
    try {
      this.node.send(outputs.length === 1 && !Array.isArray(outputs[0]) ? outputs[0] as NodeMessage : outputs as never);
    } catch (error) {
      this.handle.fail(delivery, error instanceof Error ? error : new TicklakeError("DELIVERY_FAILED", String(error)));
    } finally {
      this.handle.release(delivery);
    }
  }

  whenRoom(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        if (signal?.aborted) end(() => { reject(signal.reason as Error); });
        else if (this.closed) end(() => { reject(new TicklakeError("STOPPED", "The source was closed.")); });
        else if (this.sending && this.hasRoom()) end(resolve);
      };
      const end = (finish: () => void): void => {
        this.waiting.delete(check);
        signal?.removeEventListener("abort", check);
        finish();
      };
      this.waiting.add(check);
      signal?.addEventListener("abort", check);
      check();
    });
  }

  drain(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        this.waiting.delete(check);
        clearTimeout(timer);
        resolve();
      };
      const check = (): void => { if (this.closed || !this.handle.hasSettled()) end(); };
      const timer = setTimeout(end, timeoutMs);
      this.waiting.add(check);
      // What happens in this turn (a sink that parks its last part) counts.
      setImmediate(() => setImmediate(check));
    });
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.handle.close();
    this.runtime.remove(this.listener);
    this.wake();
  }

  /** Lets those who wait look again, in a turn of their own. */
  private wake(): void {
    if (this.waiting.size === 0) return;
    setImmediate(() => { for (const check of [...this.waiting]) check(); });
  }
}
