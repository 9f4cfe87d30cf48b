import type { SessionDeps, SessionOptions, Timings } from "../../../lib/alpaca/session";
import { TIMINGS } from "../../../lib/alpaca/session";
import { MarketClock } from "../../../lib/alpaca/calendar";
import type { OpenSocket, SocketEvents, SocketOptions } from "../../../lib/alpaca/socket";
import type { AlpacaClock, ControlMessage } from "../../../lib/alpaca/types";
import { Session } from "../../../lib/alpaca/session";

/** Time that a test moves. */
export class FakeClock implements AlpacaClock {
  private time: number;
  private timers: { at: number; callback: () => void; order: number }[] = [];
  private order = 0;
  chance = 0.5;

  constructor(start = Date.UTC(2024, 0, 3, 15)) { this.time = start; }

  now(): number { return this.time; }
  random(): number { return this.chance; }
  later(callback: () => void): void { this.after(0, callback); }
  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.time + ms, callback, order: this.order++ };
    this.timers.push(timer);
    return () => { this.timers = this.timers.filter((other) => other !== timer); };
  }

  /** Lets time pass, timer by timer, and what is promised happen in between. */
  async pass(ms: number): Promise<void> {
    const end = this.time + ms;
    await flush();
    for (;;) {
      const next = this.timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at || a.order - b.order)[0];
      if (!next) break;
      this.timers = this.timers.filter((other) => other !== next);
      this.time = Math.max(this.time, next.at);
      next.callback();
      await flush();
    }
    this.time = end;
  }
}

export async function flush(): Promise<void> { for (let k = 0; k < 5; k++) await new Promise((resolve) => setImmediate(resolve)); }

/** A connection whose other side is the test. */
export class FakeSocket {
  readonly said: Record<string, unknown>[] = [];
  pings = 0;
  closes = 0;
  over = false;

  constructor(readonly url: string, readonly options: SocketOptions, readonly events: SocketEvents) {}

  send(data: string | Uint8Array): void { this.said.push(JSON.parse(data.toString()) as Record<string, unknown>); }
  ping(): void { this.pings++; }
  close(): void { this.closes++; if (this.closes === 1) setImmediate(() => this.end("goodbye")); }
  terminate(): void { this.over = true; }
  end(reason: string, status?: number, retryAfterMs?: number): void {
    if (this.over) return;
    this.over = true;
    this.events.closed(reason, status, retryAfterMs);
  }
  /** The server says something. */
  says(...messages: object[]): void { this.events.message(Buffer.from(JSON.stringify(messages)), false); }
  get last(): Record<string, unknown> { return this.said.at(-1)!; }
}

export class World {
  readonly clock = new FakeClock();
  readonly sockets: FakeSocket[] = [];
  readonly log: string[] = [];
  readonly errors: { code: string; message: string }[] = [];
  readonly session: Session;

  constructor(timings: Partial<Timings> = {}, options: Partial<SessionOptions> = {}, hours: "exchange" | "always" = "always") {
    const open: OpenSocket = (url, opts, events) => {
      const socket = new FakeSocket(url, opts, events);
      this.sockets.push(socket);
      return socket;
    };
    const deps: SessionDeps = {
      open, clock: this.clock, market: new MarketClock(hours),
      read: (data) => (JSON.parse(data.toString()) as ControlMessage[]).filter(({ T }) => T === "success" || T === "error" || T === "subscription"),
      events: {
        changed: () => undefined, live: () => { this.log.push("live"); }, lost: (reason) => { this.log.push(`lost: ${reason}`); },
        error: (error) => { this.errors.push(error); }, warn: (text) => { this.log.push(`warn: ${text}`); },
      },
    };
    this.session = new Session({ url: "wss://feed", key: "K", secret: "S", label: "iex", encoding: "json", compression: false, timings: { ...TIMINGS, ...timings }, ...options }, deps);
  }

  get socket(): FakeSocket { return this.sockets.at(-1)!; }

  /** From connecting to logged in. */
  login(): void {
    this.socket.events.opened();
    this.socket.says({ T: "success", msg: "connected" });
    this.socket.says({ T: "success", msg: "authenticated" });
  }

  /** All the way. */
  goLive(trades: string[] = ["AAPL", "MSFT"]): void {
    if (this.session.state === "idle") this.session.start({ trades });
    this.login();
    this.socket.says({ T: "subscription", trades, quotes: [] });
  }
}
