import { executionAsyncId } from "node:async_hooks";
import { randomBytes } from "node:crypto";
import { EventEmitter } from "node:events";
import type { Node, NodeAPI, NodeMessage } from "node-red";
import { Ledger } from "../../../lib/delivery/ledger";
import type { FlowsPhase } from "../../../lib/metrics/health";
import type { Message, NodeRef, Unprotected } from "../../../lib/delivery/ledger";
import { shareUnread, type RouteEvent } from "../lazy-wires";

/** A node of Node-RED with the count (of handlers that take `done`) that tells whether it will ever complete a message. */
interface RuntimeNode extends NodeRef { _expectedDoneCount?: number }
interface SendEvent { msg: Message; source: { node: RuntimeNode }; destination: { node: RuntimeNode } }
interface ReceiveEvent { msg: Message; destination: { node: RuntimeNode } }
interface CompleteEvent { msg: Message; error?: unknown; node: { node: RuntimeNode } }
interface Hooks {
  add(hook: string, callback: (event: never) => void): void;
  remove(hook: string): void;
}

/** What the runtime tells a source: flows run, flows are being stopped. */
export interface PhaseListener {
  readonly node: Node;
  start(): void;
  suspend(): void;
}

const UNPROTECTED: Readonly<Record<Unprotected["reason"], string>> = {
  late: "it sends after it has finished with a batch. Such messages are written as they come and may be lost or doubled by a crash. Call done (node.done() in a function node) after the last send.",
  committed: "a message of it reached a sink that had written its batch already. It is written as it comes and may be lost by a crash.",
  mixed: "it keeps messages of batches that failed and joins them with those that were read again, so some rows are written twice. Give the join a time-out or a count that always fills.",
};
/** Node-RED's log levels. */
const FATAL = 10, ERROR = 20;
const LABEL = "ticklake";

/** What `@types/node-red` leaves out. */
type Red = NodeAPI & {
  hooks: Hooks;
  log: { addHandler(handler: EventEmitter): void; removeHandler?(handler: EventEmitter): void };
  settings: { runtimeSyncDelivery?: boolean };
};

/**
 * The ledger of this Node-RED process, fed by its hooks and events. The hooks are there only while a source of ours is
 * open: a process without one pays nothing.
 */
export class DeliveryRuntime {
  readonly ledger: Ledger;
  /** Between flows:started and flows:stopping. */
  running = false;
  /** The same, for people who ask whether this process can work. */
  phase: FlowsPhase = { phase: "starting" };
  private readonly listeners = new Set<PhaseListener>();
  private readonly logHandler = new EventEmitter();
  private hooked = false;
  private readonly warned = new Set<string>();
  private readonly RED: Red;

  constructor(RED: NodeAPI) {
    this.RED = RED as Red;
    this.ledger = new Ledger({
      processId: randomBytes(6).toString("hex"),
      time: {
        now: () => performance.now(),
        after: (ms, callback) => {
          const timer = setTimeout(callback, ms);
          timer.unref();
          return () => { clearTimeout(timer); };
        },
        later: (callback) => { setImmediate(callback); },
      },
      turn: turnCounter(),
      nodeName: (id) => this.nameOf(id),
      unprotected: (what) => { this.warnUnprotected(what); },
      onError: (error) => { this.RED.log.error(`ticklake delivery: ${error instanceof Error ? error.stack ?? error.message : String(error)}`); },
    });
    this.logHandler.on("log", (entry: { level: number; id?: string; msg: unknown }) => {
      if ((entry.level === ERROR || entry.level === FATAL) && entry.id !== undefined) this.ledger.errorLogged(entry.id, plainText(entry.msg));
    });
    const { events } = this.RED;
    events.on("flows:stopping", () => { this.stopping(); });
    events.on("flows:stopped", () => { this.ledger.stopped((id) => this.RED.nodes.getNode(id) != null); });
    events.on("flows:started", () => { this.started(); });
    events.on("runtime-event", (event: { id?: string; payload?: { error?: string } }) => { if (event.id === "runtime-state" && event.payload?.error) this.notStarted(event.payload.error); });
  }

  /** A source begins: it is told now (in a later turn) or at flows:started that it may send. */
  add(listener: PhaseListener): void {
    this.listeners.add(listener);
    this.hook();
    if (this.running) setImmediate(() => { if (this.running && this.listeners.has(listener)) listener.start(); });
  }

  remove(listener: PhaseListener): void {
    this.listeners.delete(listener);
    if (this.listeners.size === 0) this.unhook();
  }

  private stopping(): void {
    this.running = false;
    this.phase = { phase: "stopped" };
    this.ledger.stopping();
    for (const listener of this.listeners) listener.suspend();
  }

  private started(): void {
    this.running = true;
    this.phase = { phase: "running" };
    this.warned.clear();
    this.ledger.started();
    for (const listener of this.listeners) listener.start();
  }

  /** The start stopped half-way (a node type or module is missing): flows:started will not come. */
  private notStarted(reason: string): void {
    if (this.running) return;
    this.phase = { phase: "waiting", reason };
    for (const { node } of this.listeners) node.status({ fill: "yellow", shape: "ring", text: `waiting: flows did not start (${reason})` });
  }

  private hook(): void {
    if (this.hooked) return;
    this.hooked = true;
    const { log, settings } = this.RED;
    const hooks = hooksOf(this.RED);
    if (settings.runtimeSyncDelivery === true) {
      this.RED.log.warn("ticklake: runtimeSyncDelivery is on. Delivery across join, batch and split in stream mode is not protected.");
    }
    const on = <E>(hook: string, handle: (event: E) => void): void => {
      hooks.add(`${hook}.${LABEL}`, (event: never) => {
        // A fault of ours must not cost the user his message.
        try { handle(event); } catch (error) { this.RED.log.error(`ticklake delivery: ${error instanceof Error ? error.stack ?? error.message : String(error)}`); }
      });
    };
    const { ledger } = this;
    on<RouteEvent>("preRoute", (event) => { shareUnread(event, (msg) => this.RED.util.cloneMessage(msg as NodeMessage)); });
    on<SendEvent>("preDeliver", ({ msg, source, destination }) => { ledger.sent(msg, source.node, destination.node); });
    on<ReceiveEvent>("onReceive", ({ msg, destination }) => { ledger.received(msg, destination.node); });
    on<ReceiveEvent>("postReceive", ({ msg, destination }) => { ledger.returned(msg, destination.node, destination.node._expectedDoneCount !== 0); });
    on<CompleteEvent>("onComplete", ({ msg, node, error }) => { ledger.completed(msg, node.node, error); });
    log.addHandler(this.logHandler);
  }

  private unhook(): void {
    if (!this.hooked) return;
    this.hooked = false;
    hooksOf(this.RED).remove(`*.${LABEL}`);
    this.RED.log.removeHandler?.(this.logHandler);
  }

  /** A node as people know it. */
  nameOf(id: string): string {
    const node = this.RED.nodes.getNode(id) as (Node & { name?: string }) | null;
    if (!node) return `node ${id}`;
    return node.name ? `node "${node.name}" (${node.type})` : `node ${id} (${node.type})`;
  }

  private warnUnprotected({ node, reason }: Unprotected): void {
    if (this.warned.has(node)) return;
    this.warned.add(node);
    const text = `Delivery across ${this.nameOf(node)} is not protected: ${UNPROTECTED[reason]}`;
    const sender = this.RED.nodes.getNode(node);
    if (sender) sender.warn(text);
    else this.RED.log.warn(text);
  }
}

/**
 * A number that differs between callbacks of the event loop. Each timer, immediate and I/O callback has its own async id;
 * promise continuations have none (0) and belong to the callback they follow.
 */
function turnCounter(): () => number {
  let last = 0, turn = 1;
  return () => {
    const id = executionAsyncId();
    if (id !== 0 && id !== last) {
      last = id;
      turn++;
    }
    return turn;
  };
}

/** node-red-node-test-helper hands nodes an API without `hooks`; the runtime under it runs those of @node-red/util all the same. */
function hooksOf(RED: Red): Hooks {
  return (RED.hooks as Hooks | undefined) ?? (require("@node-red/util") as { hooks: Hooks }).hooks;
}

/** The text of a logged error. The debug sidebar's log handler may have replaced the error by its encoding for the editor. */
function plainText(logged: unknown): string {
  if (logged instanceof Error) return logged.message;
  const text = String(logged);
  if (!text.startsWith("{")) return text;
  try {
    const { __enc__, data } = JSON.parse(text) as { __enc__?: boolean; data?: { message?: unknown } };
    return __enc__ && typeof data?.message === "string" ? data.message : text;
  } catch { return text; }
}

const KEY = Symbol.for("ticklake.delivery.1");

/** The one runtime of this Node-RED process, however often this module is loaded. */
export function deliveryRuntime(RED: NodeAPI): DeliveryRuntime {
  const shared = globalThis as { [KEY]?: WeakMap<object, DeliveryRuntime> };
  const runtimes = shared[KEY] ??= new WeakMap();
  let runtime = runtimes.get(RED.events);
  if (!runtime) runtimes.set(RED.events, runtime = new DeliveryRuntime(RED));
  return runtime;
}
