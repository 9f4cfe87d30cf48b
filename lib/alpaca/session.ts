import { TicklakeError } from "../errors";
import { withoutSecrets } from "../redact";
import { backoffMs } from "../retry";
import type { MarketClock } from "./calendar";
import { encodeMsgpack } from "./msgpack";
import { meaningOf, streamError, upgradeAction, upgradeError } from "./protocol-errors";
import type { OpenSocket, StreamSocket } from "./socket";
import { inForce, isEmpty, named, symbolsIn, union, without } from "./subscriptions";
import type { AlpacaClock, ControlMessage, SessionState, Subscriptions } from "./types";
import { Watch } from "./watch";

/** How long things may take and when they are tried again, ms. */
export interface Timings {
  /** Handshake, greeting, login, and the answer to a subscription, each. */
  readonly timeoutMs: number;
  readonly pingMs: number;
  readonly pongMs: number;
  /** Nothing has come for so long while the market is open: the feed is asked whether it lives. 0 = never. */
  readonly silenceMs: number;
  readonly backoffFirstMs: number;
  readonly backoffMaxMs: number;
  /** Live for so long: attempts count from 1 again. */
  readonly stableMs: number;
  /** A first and a last wait after too many connections (406, HTTP 429). */
  readonly patientMs: number;
  /** How often a login is repeated on the same socket after 406, and the step and cap of the waits between. */
  readonly zombieTries: number;
  readonly zombieStepMs: number;
  readonly zombieMaxMs: number;
}

export const TIMINGS: Timings = {
  timeoutMs: 10_000, pingMs: 10_000, pongMs: 5000, silenceMs: 60_000, backoffFirstMs: 500, backoffMaxMs: 30_000, stableMs: 60_000, patientMs: 60_000,
  zombieTries: 15, zombieStepMs: 500, zombieMaxMs: 5000,
};

export interface SessionOptions {
  readonly url: string;
  readonly key: string;
  readonly secret: string;
  /** The feed in messages. */
  readonly label: string;
  readonly encoding: "json" | "msgpack";
  readonly compression: boolean;
  readonly timings: Timings;
}

export interface SessionEvents {
  /** State, attempt or subscriptions changed. */
  changed(): void;
  /** Subscribed, for the first time or again. */
  live(): void;
  /** It was live, and is no longer. */
  lost(reason: string): void;
  /** Somebody has to do something. */
  error(error: TicklakeError): void;
  /** It mends itself. */
  warn(text: string): void;
}

export interface SessionDeps {
  readonly open: OpenSocket;
  readonly clock: AlpacaClock;
  readonly market: MarketClock;
  /** Takes a frame in; gives back the messages about the session. */
  read(data: Buffer, binary: boolean): ControlMessage[];
  readonly events: SessionEvents;
}

/** A subscribe or unsubscribe that the server is to answer. They go out one after the other, so each answer belongs to the first. */
interface Request {
  readonly action: "subscribe" | "unsubscribe";
  readonly what: Subscriptions;
  /** `first`: of a new session. `probe`: repeats what is in force, to see whether the server answers. */
  readonly kind: "first" | "change" | "probe";
  readonly done: (error?: TicklakeError) => void;
}

/** Goodbye: how long the answers to unsubscribe and to the closing may take, ms. */
const UNSUBSCRIBED_MS = 1000, CLOSED_MS = 2000;

/**
 * One stream session that is kept alive: connects, logs in, subscribes, notices a dead or mute connection, and comes back after a back-off with full jitter. Time,
 * chance and sockets are injected.
 */
export class Session {
  state: SessionState = "idle";
  /** Attempts since it was last live for `stableMs`. */
  attempt = 0;
  reconnects = 0;
  slowClient = 0;
  /** What the server has confirmed last. */
  force: Subscriptions = {};
  /** Why it is not live, in words. */
  reason = "";
  private desired: Subscriptions = {};
  /** What some server has accepted before: a refusal later is about something else. */
  private accepted: Subscriptions = {};
  private socket: StreamSocket | undefined;
  /** Counts connections: events of an earlier one are not of this. */
  private generation = 0;
  private requests: Request[] = [];
  private everLive = false;
  private liveSince = 0;
  private zombieTry = 0;
  private retryAt: number | undefined;
  private cancelTimer: (() => void) | undefined;
  /** Counts timers that were set or ended. */
  private timers = 0;
  private readonly watch: Watch;
  private closing: { reason: "stop"; unsubscribed: () => void; closed: () => void } | undefined;

  constructor(private readonly options: SessionOptions, private readonly deps: SessionDeps) {
    this.watch = new Watch(options.timings, deps.clock, deps.market, {
      ping: () => this.socket?.ping(),
      probe: () => this.request({ action: "subscribe", what: this.force, kind: "probe", done: () => undefined }),
      dead: (reason) => this.drop(reason),
    });
  }

  get running(): boolean { return this.state !== "idle" && this.state !== "fatal"; }
  get wanted(): Subscriptions { return this.desired; }
  /** Ms until the next attempt. */
  get retryInMs(): number | undefined { return this.retryAt === undefined ? undefined : Math.max(0, this.retryAt - this.deps.clock.now()); }

  start(what: Subscriptions): void {
    if (this.running || this.state === "fatal") return;
    this.desired = what;
    this.attempt = 0;
    this.connect();
  }

  /**
   * Changes what is subscribed. Resolves when the server has confirmed it, or at once while there is no connection: then the next one asks for it.
   *
   * @throws TicklakeError ALPACA_REFUSED, ALPACA_LIMIT: the server refused, and what was subscribed before still is
   */
  change(add: Subscriptions, remove: Subscriptions): Promise<void> {
    const before = this.desired;
    this.desired = without(union(before, add), remove);
    if (this.state !== "live") return Promise.resolve();
    const steps = ([["subscribe", without(add, this.force)], ["unsubscribe", remove]] as const).filter(([, what]) => !isEmpty(what));
    return Promise.all(steps.map(([action, what]) => new Promise<void>((resolve, reject) => {
      this.request({ action, what, kind: "change", done: (error) => { if (error) reject(error); else resolve(); } });
    }))).then(() => undefined);
  }

  /** Unsubscribes, says goodbye and resolves when the connection is gone, so that the server knows it too. */
  async stop(): Promise<void> {
    const { clock } = this.deps;
    this.clearTimer();
    this.watch.end();
    const socket = this.socket;
    if (socket) {
      const gone = new Promise<void>((resolve) => {
        this.closing = { reason: "stop", unsubscribed: () => undefined, closed: resolve };
      });
      if (this.state === "live" && !isEmpty(this.force)) {
        const answered = new Promise<void>((resolve) => { this.closing!.unsubscribed = resolve; });
        this.say({ action: "unsubscribe", ...this.force });
        await Promise.race([answered, gone, wait(clock, UNSUBSCRIBED_MS)]);
      }
      // A handshake that is not over has nobody to say goodbye to.
      if (this.state === "connecting") socket.terminate();
      else socket.close();
      await Promise.race([gone, wait(clock, CLOSED_MS)]);
      socket.terminate();
    }
    this.generation++;
    this.socket = undefined;
    this.closing = undefined;
    this.force = {};
    this.settleRequests(new TicklakeError("STOPPED", "The stream was stopped."));
    if (this.state !== "fatal") this.enter("idle");
  }

  // ---- connecting ------------------------------------------------------------------------------------------------

  private connect(): void {
    const { url, encoding, compression, timings } = this.options;
    const generation = ++this.generation;
    this.attempt++;
    this.retryAt = undefined;
    this.zombieTry = 0;
    this.enter("connecting");
    const current = (): boolean => generation === this.generation;
    this.socket = this.deps.open(url, {
      headers: encoding === "msgpack" ? { "Content-Type": "application/msgpack" } : {}, compression, handshakeTimeoutMs: timings.timeoutMs,
    }, {
      opened: () => { if (current()) this.expect("a greeting"); },
      message: (data, binary) => { if (current()) this.message(data, binary); },
      pong: () => { if (current()) this.watch.pong(); },
      closed: (reason, status, retryAfterMs) => { if (current()) this.closed(reason, status, retryAfterMs); },
    });
    this.expect("the connection");
  }

  /** The next step has to be done in time. */
  private expect(what: string): void {
    const { timeoutMs } = this.options.timings;
    this.timer(timeoutMs, () => {
      // If the event loop was late, the answer may have arrived and be read in this turn.
      const { generation, timers } = this;
      this.deps.clock.later(() => {
        if (generation === this.generation && timers === this.timers) this.drop(`${what} did not come within ${Math.round(timeoutMs / 100) / 10} s`);
      });
    });
  }

  private message(data: Buffer, binary: boolean): void {
    let control: ControlMessage[];
    try {
      control = this.deps.read(data, binary);
    } catch (error) {
      this.deps.events.error(new TicklakeError("INTERNAL", `A frame of the stream could not be taken in: ${(error as Error).message}`, { cause: error }));
      return;
    }
    if (control.length === 0) this.watch.data();
    const { generation } = this;
    for (const message of control) {
      if (generation !== this.generation) return;
      if (message.T === "success") this.success(message.msg);
      else if (message.T === "subscription") this.subscribed(inForce(message));
      else this.refused(message.code, message.msg);
    }
  }

  private success(msg: unknown): void {
    if (msg === "connected" && this.state === "connecting") {
      this.enter("welcomed");
      this.authenticate();
    } else if (msg === "authenticated" && (this.state === "authenticating" || this.state === "connecting")) {
      this.enter("subscribing");
      if (isEmpty(this.desired)) this.becomeLive();
      else this.request({ action: "subscribe", what: this.desired, kind: "first", done: () => undefined });
    }
  }

  private authenticate(): void {
    const { key, secret } = this.options;
    this.enter("authenticating");
    this.expect("the answer to the login");
    this.say({ action: "auth", key, secret });
  }

  private becomeLive(): void {
    this.clearTimer();
    this.everLive = true;
    this.liveSince = this.deps.clock.now();
    this.reason = "";
    this.enter("live");
    this.watch.begin(() => this.force);
    this.deps.events.live();
    // What was changed while the first subscription was under way.
    for (const [action, what] of [["subscribe", without(this.desired, this.force)], ["unsubscribe", without(this.force, this.desired)]] as const) {
      if (!isEmpty(what)) this.requests.push({ action, what, kind: "change", done: (error) => { if (error) this.deps.events.error(error); } });
    }
    this.nextRequest();
  }

  // ---- subscriptions ---------------------------------------------------------------------------------------------

  private request(request: Request): void {
    this.requests.push(request);
    if (this.requests.length === 1) this.nextRequest();
  }

  private nextRequest(): void {
    const request = this.requests[0];
    if (!request) return;
    this.expect("the answer to a subscription");
    this.say({ action: request.action, ...request.what });
  }

  private subscribed(force: Subscriptions): void {
    this.force = force;
    this.accepted = union(this.accepted, force);
    if (this.closing) { this.closing.unsubscribed(); return; }
    this.answered();
  }

  private answered(error?: TicklakeError): void {
    const request = this.requests.shift();
    this.clearTimer();
    request?.done(error);
    if (this.state === "subscribing") this.becomeLive();
    else this.nextRequest();
    this.deps.events.changed();
  }

  // ---- trouble ---------------------------------------------------------------------------------------------------

  private refused(code: unknown, told: unknown): void {
    const { events } = this.deps;
    const msg = typeof told === "string" ? withoutSecrets(told, [this.options.secret, this.options.key]) : told;
    const { action } = meaningOf(code);
    const request = this.requests[0];
    const starting = request?.kind === "first" && !this.everLive;
    if (action === "ignore") return;
    if (Number(code) === 407) {
      this.slowClient++;
      events.warn("Alpaca ended the connection because messages were not read fast enough (407): Node-RED is busy, or the network is slow. Trades of the gap come by backfill, if it is on.");
    }
    if (action === "fatal" || (action === "start-fatal" && starting)) {
      this.fail(streamError(code, msg, action === "fatal" ? this.options.label : named(Object.keys(request!.what))));
    } else if (action === "reauthenticate") {
      this.zombie(code, msg);
    } else if (action === "reconnect") {
      this.drop(streamError(code, msg).message);
    } else if (request) {
      this.requestRefused(request, code, msg);
    } else {
      events.error(streamError(code, msg));
    }
  }

  private requestRefused(request: Request, code: unknown, msg: unknown): void {
    // What was accepted before is not at fault: the server had a bad moment.
    const refused = without(request.what, this.accepted);
    if (request.kind === "first" && isEmpty(refused) && request.action === "subscribe") { this.drop(streamError(code, msg).message); return; }
    const symbols = symbolsIn(isEmpty(refused) ? request.what : refused);
    const channels = Object.keys(request.what);
    const error = streamError(code, msg, Number(code) === 410 ? `channels ${named(channels)}` : `refused: ${named(symbols)}`);
    if (request.action === "subscribe") this.desired = without(this.desired, refused);
    // A change has somebody who is told by `done`.
    if (request.kind === "first") this.deps.events.error(error);
    this.answered(error);
  }

  /** Another connection of the account is open: usually our own, dead one that the server still counts. It is gone soon. */
  private zombie(code: unknown, msg: unknown): void {
    const { zombieTries, zombieStepMs, zombieMaxMs } = this.options.timings;
    this.reason = "another connection of the account is open";
    if (this.zombieTry < zombieTries && this.state === "authenticating") {
      this.zombieTry++;
      this.timer(Math.min(zombieMaxMs, zombieStepMs * this.zombieTry), () => this.authenticate());
      this.deps.events.changed();
      return;
    }
    this.deps.events.warn(`${streamError(code, msg).message} Close the other connection, or use another account; it is tried again.`);
    this.drop(this.reason, "patient");
  }

  private fail(error: TicklakeError): void {
    const wasLive = this.state === "live";
    this.reason = error.message;
    this.disconnect();
    this.enter("fatal");
    this.settleRequests(error);
    if (wasLive) this.deps.events.lost(error.message);
    this.deps.events.error(error);
  }

  private closed(said: string, status?: number, retryAfterMs?: number): void {
    const reason = withoutSecrets(said, [this.options.secret, this.options.key]);
    if (this.closing) { this.socket = undefined; this.closing.closed(); return; }
    if (status === undefined) { this.drop(reason); return; }
    const action = upgradeAction(status);
    const error = upgradeError(status, this.options.url);
    if (action === "fatal") this.fail(error);
    else this.drop(error.message, action, retryAfterMs);
  }

  /** Ends the connection, whatever state it is in, and comes back later. */
  private drop(reason: string, how: "retry" | "patient" = "retry", atLeastMs = 0): void {
    const { clock, events } = this.deps;
    const { stableMs, patientMs, backoffFirstMs, backoffMaxMs } = this.options.timings;
    const wasLive = this.state === "live";
    this.disconnect();
    if (wasLive && clock.now() - this.liveSince >= stableMs) this.attempt = 0;
    this.reconnects++;
    this.reason = reason;
    const random = (): number => clock.random();
    const ms = how === "patient" ? patientMs * (0.5 + 0.5 * random()) : backoffMs(Math.max(1, this.attempt), { firstMs: backoffFirstMs, maxMs: backoffMaxMs, random });
    const waitMs = Math.max(atLeastMs, ms);
    this.retryAt = clock.now() + waitMs;
    this.enter("backing-off");
    this.settleRequests(new TicklakeError("ALPACA_UNREACHABLE", `The connection was lost before the answer: ${reason}. The next one asks for it again.`));
    if (wasLive) events.lost(reason);
    this.timer(waitMs, () => this.connect());
  }

  private disconnect(): void {
    this.generation++;
    this.clearTimer();
    this.watch.end();
    this.socket?.terminate();
    this.socket = undefined;
    this.force = {};
  }

  private settleRequests(error: TicklakeError): void {
    for (const request of this.requests.splice(0)) request.done(error);
  }

  private say(message: object): void {
    this.socket?.send(this.options.encoding === "msgpack" ? encodeMsgpack(message) : JSON.stringify(message));
  }

  private enter(state: SessionState): void {
    this.state = state;
    this.deps.events.changed();
  }

  private timer(ms: number, callback: () => void): void {
    this.clearTimer();
    this.cancelTimer = this.deps.clock.after(ms, callback);
  }

  private clearTimer(): void {
    this.timers++;
    this.cancelTimer?.();
    this.cancelTimer = undefined;
  }
}

function wait(clock: AlpacaClock, ms: number): Promise<void> { return new Promise((resolve) => { clock.after(ms, resolve); }); }
