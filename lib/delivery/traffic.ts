import { TicklakeError } from "../errors";
import { HeldParts, liveGroups } from "./held";
import { Lingering } from "./lingering";
import { Group, PartRecord } from "./model";
import type { Entry, PartOwner, PendingFailure } from "./model";
import type { Unprotected } from "./ledger-options";
import type { Settlement } from "./settlement";
import { asError, errorText, sourceOf } from "./reported";
import { looksLikeToken } from "./token";
import type { Token } from "./types";

/** A message of Node-RED, as far as the ledger looks at it. */
export interface Message {
  delivery?: unknown;
  _msgid?: unknown;
  [key: string]: unknown;
}

/** A node, as far as the ledger looks at it. */
export interface NodeRef {
  readonly id: string;
  readonly type: string;
}

/** How long a handler that threw or logged an error may still call done. */
const SUSPECT_MS = 5000;

/** So many times in a row a partition is read again because a join mixed it with the remains of a failed attempt. */
const MAX_MIXES = 3;

/** What a node sent and completed within the current turn: tied together when the turn ends. */
interface NodeTurn {
  readonly sent: { part: PartRecord; message: Message }[];
  readonly completed: Set<Entry>;
  /** Parts closed: what is sent after `done` in the same turn was made from them. */
  readonly closed: PartRecord[];
  /** A part of an aborted delivery was completed. */
  aborted: boolean;
}

/** Who made a message: groups it belongs to, or the token of an aborted delivery. */
type Origin = { groups: readonly Group[] } | { aborted: Token | undefined };

/** Follows messages from node to node. A part is (message object, node that receives it). */
export class Traffic {
  private readonly parts = new WeakMap<object, PartRecord[]>();
  private readonly held = new Map<string, HeldParts>();
  private turn = 0;
  private ownTurn = 0;
  private readonly turns = new Map<string, NodeTurn>();
  /** Parts whose handlers are running, by node. */
  private readonly handling = new Map<string, PartRecord[]>();
  private readonly lingering: Lingering;

  constructor(private readonly settlement: Settlement, readonly owner: PartOwner) {
    settlement.beforeVerdict = () => { this.endTurn(); };
    settlement.dropHeld = (part) => { this.held.get(part.node)?.becameGhost(); };
    this.lingering = new Lingering(settlement.options.time.later, (part) => { this.endHandling(part); });
  }

  // ---- events --------------------------------------------------------------------------------------------------

  /** Called first by everything that happens: a new turn ties what the last one sent and completed. */
  enter(): void {
    const turn = this.settlement.options.turn();
    if (turn === this.turn) return;
    this.endTurn();
    this.turn = turn;
  }

  sent(message: Message, from: NodeRef, to: NodeRef): void {
    const token = message.delivery;
    if (!looksLikeToken(token) && !this.held.has(from.id) && !this.turns.has(from.id)) return;
    this.enter();
    const origin = this.originOf(message, from);
    if (!origin) return;
    const part = this.open(message, origin, to.id, from.id);
    this.mark(message, part);
    if (!this.settlement.isSink(from.id) && !this.isReceived(message, from.id)) {
      this.nodeTurn(from.id).sent.push({ part, message });
    }
  }

  received(message: Message, node: NodeRef): void {
    let part = this.parts.get(message)?.find((one) => one.node === node.id && one.travelling && one.state !== "done");
    if (part) this.enter();
    else {
      if (!looksLikeToken(message.delivery)) {
        if (node.type === "catch") this.caught(message, undefined);
        return;
      }
      this.enter();
      if (node.type === "complete" && this.settlement.isSink(sourceOf(message, "complete") ?? "")) {
        // What a sink has made durable is over: what happens after it is not part of the delivery.
        delete message.delivery;
        return;
      }
      const found = this.settlement.find(message.delivery);
      if (found instanceof Group) part = this.open(message, { groups: [found] }, node.id, undefined);
      else if (found === "aborted") part = this.open(message, { aborted: message.delivery }, node.id, undefined);
      else return;
    }
    part.travelling = false;
    part.since = this.settlement.now();
    if (node.type === "catch") this.caught(message, part.group);
    if (this.settlement.isSink(node.id)) return;
    this.heldBy(node.id).add(part, message._msgid);
    const running = this.handling.get(node.id);
    if (running) running.push(part);
    else this.handling.set(node.id, [part]);
  }

  returned(message: Message, node: NodeRef, completes: boolean): void {
    const parts = this.parts.get(message);
    if (!parts) return;
    const running = this.handling.get(node.id);
    const part = parts.find((one) => one.node === node.id && (running?.includes(one) ?? false))
      ?? this.openPart(message, node.id);
    if (running && part) {
      const index = running.indexOf(part);
      if (index >= 0) running.splice(index, 1);
      if (running.length === 0) this.handling.delete(node.id);
    }
    if (!part || part.sink) return;
    if (!completes) {
      if (this.lingering.isNode(node.type)) this.lingering.add(part);
      else this.endHandling(part);
      return;
    }
    if (part.state !== "held") return;
    this.enter();
    if (part.suspect) this.suspect(part);
    if (node.type === "link call" && part.group) {
      part.waiting = true;
      part.group.setBusy(part, false);
      this.settlement.touchGroup(part.group);
    }
  }

  /** A node that never says `done` has handled a message. */
  private endHandling(part: PartRecord): void {
    if (part.state === "held") {
      this.enter();
      this.complete(part, undefined);
    } else if (!part.group) this.close(part, "dropped");
  }

  completed(message: Message, node: NodeRef, error?: unknown): void {
    const part = this.openPart(message, node.id);
    if (!part) return;
    this.enter();
    this.complete(part, error ?? undefined);
  }

  errorLogged(node: string, error: unknown): void {
    const part = this.handling.get(node)?.at(-1);
    if (part) part.suspect ??= { error: asError(error), caught: false };
  }

  /** The part that a sink accepts: the one announced for this message, or undefined when it has none. */
  claim(message: Message, sink: string): PartRecord | undefined {
    this.enter();
    return this.openPart(message, sink) ?? this.parts.get(message)?.find((one) => one.node === sink && one.state === "dropped" && !one.sink);
  }

  /** Moves a part to other deliveries (all open); undefined: it is unprotected from now on. */
  regroup(part: PartRecord, entries: readonly Entry[]): void {
    const old = part.group;
    old?.remove(part);
    if (old) this.settlement.touchGroup(old);
    part.group = entries.length === 0 ? undefined : entries.length === 1 ? entries[0]!.own : this.tie(entries);
    part.group?.add(part);
    part.token = part.group?.token;
    if (part.group) this.settlement.touchGroup(part.group);
  }

  report(node: string | undefined, reason: Unprotected["reason"]): void {
    if (node !== undefined) this.settlement.options.unprotected?.({ node, reason });
  }

  // ---- whose is a message? -------------------------------------------------------------------------------------

  private originOf(message: Message, from: NodeRef): Origin | undefined {
    const token = message.delivery;
    const found = this.settlement.find(token);
    if (found instanceof Group) return { groups: [found] };
    if (this.settlement.isSink(from.id)) return found === "aborted" ? { aborted: token as Token } : undefined;
    const inherited = this.inherited(message, from.id, found === "aborted");
    if (inherited) return inherited;
    if (found === "aborted") return { aborted: token as Token };
    if (found === "over") this.report(from.id, "late");
    return undefined;
  }

  /** What a message without a live token takes over from the parts of the node that sends it. */
  private inherited(message: Message, node: string, aborted: boolean): Origin | undefined {
    const held = this.held.get(node);
    const closed = this.turns.get(node)?.closed ?? [];
    if (!held && closed.length === 0) return undefined;
    const same = [...(held?.withMsgid(message._msgid) ?? []), ...closed.filter((part) => part.msgid === message._msgid)];
    const groups = liveGroups(same);
    if (groups.length > 0) return { groups };
    if (same.length > 0) return { aborted: same[0]!.token };
    if (aborted) return undefined;
    const all = held?.groups() ?? [];
    if (all.length > 0) return { groups: all };
    const last = liveGroups(closed);
    if (last.length > 0) return { groups: last };
    const ghost = held?.ghost() ?? closed[0];
    return ghost ? { aborted: ghost.token } : undefined;
  }

  /** Whether the node has received this very object and not finished with it before this turn. */
  private isReceived(message: Message, node: string): boolean {
    return this.parts.get(message)?.some((part) => part.node === node && !part.travelling && (isUnfinished(part) || part.closedTurn === this.ownTurn)) ?? false;
  }

  /** A part that the node has received and not completed; one that a sink has accepted is the sink's own business. */
  private openPart(message: Message, node: string): PartRecord | undefined {
    return this.parts.get(message)?.find((part) => part.node === node && !part.travelling && !part.sink && isUnfinished(part));
  }

  private open(message: Message, origin: Origin, node: string, from: string | undefined): PartRecord {
    let group: Group | undefined, token: Token | undefined;
    if ("aborted" in origin) token = origin.aborted;
    else {
      group = origin.groups.length === 1 ? origin.groups[0]! : this.tie([...new Set(origin.groups.flatMap((one) => one.entries))]);
      token = group.token;
    }
    const part = new PartRecord(this.owner, group, token, node, from, this.settlement.now());
    if (group) {
      group.add(part);
      this.settlement.touchGroup(group);
    } else part.state = "dropped";
    const before = this.parts.get(message);
    if (!before) this.parts.set(message, [part]);
    else {
      const kept = before.filter((one) => isUnfinished(one) || one.closedTurn === this.ownTurn);
      kept.push(part);
      this.parts.set(message, kept);
    }
    return part;
  }

  /** Writes the part's token into the message, unless the user keeps something of his own there. */
  private mark(message: Message, part: PartRecord): void {
    if (part.token === undefined || message.delivery === part.token) return;
    if (message.delivery === undefined || looksLikeToken(message.delivery)) Reflect.set(message, "delivery", part.token);
  }

  // ---- completion ----------------------------------------------------------------------------------------------

  private complete(part: PartRecord, error: unknown): void {
    const group = part.group;
    if (!group) {
      this.nodeTurn(part.node).aborted = true;
      this.close(part, "dropped");
      return;
    }
    if (part.suspect && error === undefined) part.suspect = undefined;
    if (!this.settlement.running) {
      this.failPart(part, new TicklakeError("STOPPED", `Flows were being stopped while a batch was in ${this.settlement.nameOf(part.node)}. It is read again.`));
    } else if (error !== undefined) {
      this.failPart(part, asError(error));
    } else {
      const done = this.nodeTurn(part.node).completed;
      for (const entry of group.entries) done.add(entry);
      this.close(part, "done");
      group.remove(part);
      this.settlement.touchGroup(group);
    }
  }

  private failPart(part: PartRecord, error: Error, caught = false): PendingFailure {
    this.close(part, "failed");
    return this.settlement.failLater(part, part.group?.entries ?? [], error, { node: part.node, caught });
  }

  private close(part: PartRecord, state: "done" | "failed" | "dropped"): void {
    part.state = state;
    part.closedTurn = this.ownTurn;
    if (state !== "failed") this.nodeTurn(part.node).closed.push(part);
    const held = this.held.get(part.node);
    if (!held) return;
    held.delete(part);
    if (held.size === 0) this.held.delete(part.node);
  }

  /** A Catch node received a message: which failure did it take? */
  private caught(message: Message, group: Group | undefined): void {
    const source = sourceOf(message, "error");
    if (source === undefined) return;
    if (group) {
      const failure = this.settlement.pendingFailure(source, group);
      if (failure) failure.caught = true;
    }
    const part = this.handling.get(source)?.at(-1);
    if (!part) return;
    part.suspect ??= { error: new TicklakeError("DELIVERY_FAILED", errorText(message)), caught: true };
    part.suspect.caught = true;
  }

  /** The handler threw, or logged an error without a word to `done`: it has 5 s left to call it. */
  private suspect(part: PartRecord): void {
    this.settlement.options.time.after(SUSPECT_MS, () => {
      if (part.state !== "held" || !part.suspect) return;
      this.enter();
      const { error, caught } = part.suspect;
      this.failPart(part, new TicklakeError("DELIVERY_FAILED", `${this.settlement.nameOf(part.node)} reported an error and never called done: ${error.message}`, { cause: error }), caught);
    });
  }

  // ---- ties ----------------------------------------------------------------------------------------------------

  private nodeTurn(node: string): NodeTurn {
    let turn = this.turns.get(node);
    if (!turn) this.turns.set(node, turn = { sent: [], completed: new Set(), closed: [], aborted: false });
    return turn;
  }

  /** What a node sent is tied to every delivery of which it completed a part in the same turn. */
  private endTurn(): void {
    this.ownTurn++;
    if (this.turns.size === 0) return;
    for (const [node, turn] of this.turns) {
      if (turn.sent.length === 0 || (turn.completed.size === 0 && !turn.aborted)) continue;
      if (turn.aborted || turn.sent.some(({ part }) => !part.group)) this.mixed(node, turn);
      this.tieAll(turn);
    }
    this.turns.clear();
  }

  /**
   * A join took in a batch together with the remains of one that had failed. Its message is dropped, so all that went into it
   * is read again. A join without a time-out keeps remains of every attempt, and might mix for ever: then the message counts
   * as one of the live batches, and the rows of the failed one come twice.
   */
  private mixed(node: string, turn: NodeTurn): void {
    const entries = [...new Set([...turn.completed, ...turn.sent.flatMap(({ part }) => part.group?.entries ?? [])])].filter((entry) => entry.isOpen);
    if (entries.length === 0) return;
    const queues = new Set(entries.map((entry) => entry.queue));
    if ([...queues].some((queue) => queue.mixes < MAX_MIXES)) {
      for (const queue of queues) queue.mixes++;
      this.settlement.failLater(undefined, entries, new TicklakeError("DELIVERY_ABORTED", `${this.settlement.nameOf(node)} joined a batch with one that had failed. Both are read again.`), { node });
      return;
    }
    for (const { part, message } of turn.sent) {
      if (part.group) continue;
      part.state = "held";
      part.group = entries.length === 1 ? entries[0]!.own : this.tie(entries);
      part.group.add(part);
      part.token = part.group.token;
      this.mark(message, part);
      this.settlement.touchGroup(part.group);
    }
    this.report(node, "mixed");
  }

  private tieAll(turn: NodeTurn): void {
    const ties = new Map<Group, Group>();
    for (const { part, message } of turn.sent) {
      const group = part.group;
      if (!group) continue;
      let tie = ties.get(group);
      if (!tie) {
        const own = new Set(group.entries);
        const others = [...turn.completed].filter((entry) => entry.isOpen && !own.has(entry));
        ties.set(group, tie = others.length === 0 ? group : this.tie([...group.entries, ...others]));
      }
      if (tie === group) continue;
      tie.add(part);
      group.remove(part);
      part.group = tie;
      part.token = tie.token;
      this.mark(message, part);
      this.settlement.touchGroup(tie);
    }
  }

  private tie(entries: readonly Entry[]): Group {
    const open = entries.filter((entry) => entry.isOpen);
    if (open.length === 1) return open[0]!.own;
    const group = new Group(this.settlement.tokens.tie(), open);
    for (const entry of open) entry.ties.add(group);
    this.settlement.groups.set(group.token, group);
    return group;
  }

  private heldBy(node: string): HeldParts {
    let held = this.held.get(node);
    if (!held) this.held.set(node, held = new HeldParts());
    return held;
  }
}

/** Not completed by its node: live, or a ghost (dropped) that the node may still make something of. */
function isUnfinished(part: PartRecord): boolean { return part.isOpen || (part.state === "dropped" && part.closedTurn < 0); }
