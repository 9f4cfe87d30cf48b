import type { Node, NodeAPI, NodeMessage } from "node-red";
import { z } from "zod";
import type { Message } from "../../lib/delivery/ledger";
import type {
  BatchSpec, Delivery, OpenPartition, Part, SinkEvents, SinkHandle, SourceEvents, SourceHandle,
} from "../../lib/delivery/types";
import { looksLikeToken } from "../../lib/delivery/token";
import { TicklakeError } from "../../lib/errors";
import { parseDuration } from "../../lib/units";
import { deliveryRuntime } from "./delivery/runtime";
import { OpenSource } from "./delivery/source";

/** The delivery properties that every source shares. */
export interface NodeSourceOptions {
  /** Records undelivered at the most. */
  readonly maxInFlight: number;
  readonly maxInFlightBytes: number;
  readonly onFailure: "retry" | "stop" | "dead-letter";
  /** For stop and dead-letter. */
  readonly maxAttempts: number;
  /** 0 = never. */
  readonly deliveryTimeoutMs: number;
  readonly caughtIsDone: boolean;
}

/** What a source is told. All calls come in a turn of their own, never from within `send`. */
export interface NodeSourceEvents<C> extends SourceEvents<C> {
  /** Flows run: begin, or go on after a deploy. */
  start(): void;
  /** Flows are being stopped: send nothing until `start`. Deliveries fail meanwhile with code STOPPED, which is no attempt. */
  suspend(): void;
}

/** What a node sends: one message, or one entry (message, several, or null) per output. */
export type Outgoing = NodeMessage | (NodeMessage | NodeMessage[] | null)[];

/** A delivery that was opened before its messages are known. */
export interface HeldDelivery<C> {
  readonly delivery: Delivery<C>;
  /** Sends its messages, as NodeSource.send does, and lets go of it. Not for one that was aborted meanwhile. */
  send(messages: Outgoing): void;
  /** Gives it up: it and all later ones of its partition fail, and the source is told as of any failure. */
  fail(error: Error): void;
}

/** A source node's side of end-to-end delivery. */
export interface NodeSource<C> extends Pick<SourceHandle<C>, "hasRoom" | "stats" | "assigned" | "positions" | "forget" | "abort" | "offsetsCommittedBySink" | "press"> {
  /**
   * Opens a delivery, puts its token into each message and sends. With one message, on `output` (0 by default); with an
   * array, as `node.send` takes it: `[batch, [reject, reject]]` makes rejects part of the batch's delivery.
   *
   * @throws TicklakeError STOPPED while flows are not running (see `sending`)
   */
  send(spec: BatchSpec<C>, messages: Outgoing, output?: number): Delivery<C>;
  /** Resolves when a batch may be sent: there is room and flows run. Rejects when aborted or closed. */
  whenRoom(signal?: AbortSignal): Promise<void>;
  /** Per partition with open deliveries: the oldest one, and the ids of the nodes that hold it (`nodeName` gives their names). Times are Unix ms. */
  openPartitions(): OpenPartition[];
  /**
   * Opens a delivery whose messages come later: it has its place in the order of its partition, and nothing after it is committed before it is over.
   *
   * @throws TicklakeError STOPPED while flows are not running
   */
  hold(spec: BatchSpec<C>): HeldDelivery<C>;
  /** Flows run and the source is open: `send` will not throw. */
  readonly sending: boolean;
  /** For `close`: resolves when every settled delivery is delivered (or failed after all), at the latest after `timeoutMs`. */
  drain(timeoutMs: number): Promise<void>;
  /** Forgets what is open. Call it last in `close`. */
  close(): void;
}

/** A sink node's side of end-to-end delivery. */
export interface NodeSink {
  /**
   * Takes a message in; call it first thing in the input handler. `part.done()` and `part.fail(error)` complete the
   * message, so the handler itself never calls `done`. A part in state `dropped` (aborted delivery, flows being stopped):
   * forget the message.
   */
  accept(msg: NodeMessage, send: unknown, done: (error?: Error) => void): Part;
  /** `take`, `giveBack`, `committed`, `rewind`, `blockers`. */
  readonly handle: SinkHandle;
  /** Fails what is not done. Call it last in `close`, after the last commit. */
  close(): void;
}

const blank = (value: unknown): unknown => (value === "" || value === null ? undefined : value);
const count = (name: string, fallback: number) => z.preprocess(blank, z.coerce.number({ error: `${name} must be a number` }).int(`${name} must be a whole number`).min(1, `${name} must be at least 1`).default(fallback));

const Options = z.object({
  maxInFlight: count("maxInFlight", 500_000),
  maxInFlightBytes: count("maxInFlightBytes", 67_108_864),
  onFailure: z.preprocess(blank, z.enum(["retry", "stop", "dead-letter"], { error: "onFailure must be retry, stop or dead-letter" }).default("retry")),
  maxAttempts: count("maxAttempts", 5),
  deliveryTimeout: z.preprocess(blank, z.union([z.number(), z.string()]).default(300)),
  caughtIsDone: z.preprocess((value) => (value === "true" ? true : value === "false" ? false : blank(value)), z.boolean({ error: "caughtIsDone must be true or false" }).default(false)),
});

/**
 * Reads the delivery properties of a source from its configuration.
 *
 * @throws TicklakeError CONFIG_INVALID naming the property
 */
export function sourceOptions(config: Record<string, unknown>): NodeSourceOptions {
  const result = Options.safeParse(config);
  if (!result.success) throw new TicklakeError("CONFIG_INVALID", `${result.error.issues.map((issue) => issue.message).join("; ")}.`);
  const { deliveryTimeout, ...rest } = result.data;
  return { ...rest, deliveryTimeoutMs: parseDuration(deliveryTimeout, "deliveryTimeout") };
}

/** Begins to follow whether flows run. `defineNode` calls it when a node type is registered, before any flow starts. */
export function followFlows(RED: NodeAPI): void { deliveryRuntime(RED); }

/** Opens a source. Call it in the node's constructor; `events.start` says when sending may begin. */
export function openSource<C>(RED: NodeAPI, node: Node, options: NodeSourceOptions, events: NodeSourceEvents<C>): NodeSource<C> {
  return new OpenSource(deliveryRuntime(RED), node, options, events);
}

/** Opens a sink. Call it in the node's constructor. Results it sends must carry no token; rejects carry it (`withToken`).
 * A node that writes to several tables opens one more per table, named by `part`: what may be committed together is judged for each by itself. */
export function openSink(RED: NodeAPI, node: Node, events: SinkEvents, part?: string): NodeSink {
  const handle = deliveryRuntime(RED).ledger.openSink(part === undefined ? node.id : `${node.id}/${part}`, events, node.id);
  return {
    accept: (msg, _send, done) => handle.accept(msg as Message, done),
    handle,
    close: () => { handle.close(); },
  };
}

/** Makes a message part of the delivery of the one it was made from (rejects on output 2). Returns `msg`. */
export function withToken<M extends NodeMessage>(msg: M, from: NodeMessage): M {
  const token = (from as Message).delivery;
  if (looksLikeToken(token)) (msg as Message).delivery = token;
  if (msg._msgid === undefined && from._msgid !== undefined) msg._msgid = from._msgid;
  return msg;
}

/** A node as people know it, for its id: `node "name" (type)`. */
export function nodeName(RED: NodeAPI, id: string): string { return deliveryRuntime(RED).nameOf(id); }

/** Whether the delivery of a token (`msg.delivery`) has failed, so that what it brought comes again: for nodes that remember what they saw. */
export function deliveryFailed(RED: NodeAPI, token: unknown): boolean {
  return deliveryRuntime(RED).ledger.wasAborted(token);
}
