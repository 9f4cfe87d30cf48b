import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { decode, encode, encodeTimeSpecToTimestamp, ExtData } from "@msgpack/msgpack";
import { WebSocketServer, type WebSocket } from "ws";
import { CHANNELS } from "../../lib/alpaca/types";

/** A trade as Alpaca has it: `t` is RFC 3339 text. */
export interface ServerTrade { T: "t"; S: string; i: number | bigint; x: string; p: number; s: number; t: string; c: string[]; z: string }

export interface AlpacaServerOptions {
  key?: string;
  secret?: string;
  /** Symbols of one connection at the most (405), connections (406). */
  maxSymbols?: number;
  maxConnections?: number;
  authTimeoutMs?: number;
  /** REST: trades of a page at the most, requests a minute (429). */
  pageLimit?: number;
  restPerMinute?: number;
  /** Offer permessage-deflate. */
  deflate?: boolean;
  /** A client that leaves so many bytes unread is thrown out (407). */
  slowClientBytes?: number;
  /** Channels that this feed does not have (410). */
  missingChannels?: string[];
  /** How long a connection that was ended by its client is still counted. */
  zombieMs?: number;
}

export interface Client {
  readonly id: number;
  readonly path: string;
  readonly socket: WebSocket;
  readonly msgpack: boolean;
  readonly deflate: boolean;
  authenticated: boolean;
  /** Nothing goes out any more: no data, no answers (pings are answered). */
  mute: boolean;
  subscriptions: Record<string, Set<string>>;
  /** What it said. */
  readonly said: Record<string, unknown>[];
  /** Trades that were sent to it, in order. */
  readonly trades: ServerTrade[];
}

type Upgrade = { status: number; headers?: Record<string, string> } | "silent" | "refuse";

/**
 * Alpaca's market data on this machine: the stream (login by message and by headers, limits, every error code) and the historical trades, with every way to misbehave that is
 * documented. Checked with Alpaca's own SDK as its client (test/integration/alpaca/sdk.test.ts).
 */
export class AlpacaServer {
  readonly clients = new Set<Client>();
  /** Every connection ever, in order. */
  readonly history: Client[] = [];
  /** Next answers to upgrades: an HTTP status; `silent` accepts TCP and says nothing; `refuse` ends it. */
  readonly upgrades: Upgrade[] = [];
  /** Next answers to REST requests: an HTTP status, "hang" or "broken". */
  readonly restFaults: (number | "hang" | "broken")[] = [];
  /** Codes with which the next logins, and the next subscriptions, are answered. */
  readonly authErrors: number[] = [];
  readonly subscribeErrors: number[] = [];
  readonly restRequests: URL[] = [];
  /** What the REST side has: the trades that were published. */
  published: ServerTrade[] = [];
  greet = true;
  /** What it says of a login that fails and of a refused request for the history, instead of Alpaca's words. */
  words: string | undefined;
  /** `published` is in order of time. */
  private ordered = true;
  private zombies = 0;
  private readonly restTimes: number[] = [];
  private readonly sockets = new Set<Duplex>();
  private nextId = 1;
  private readonly websockets: WebSocketServer;
  private readonly times = new WeakMap<ServerTrade, number>();

  private constructor(private readonly server: Server, readonly options: Required<AlpacaServerOptions>) {
    this.websockets = new WebSocketServer({ noServer: true, perMessageDeflate: options.deflate, maxPayload: 16 * 1024 * 1024 });
    server.on("request", (request, response) => this.rest(request, response));
    server.on("upgrade", (request, socket, head) => this.upgrade(request, socket, head));
    server.on("connection", (socket) => { this.sockets.add(socket); socket.on("close", () => this.sockets.delete(socket)); });
  }

  static async start(options: AlpacaServerOptions = {}, port = 0): Promise<AlpacaServer> {
    const server = createServer();
    const alpaca = new AlpacaServer(server, {
      key: "test-key", secret: "test-secret", maxSymbols: 30, maxConnections: 1, authTimeoutMs: 10_000, pageLimit: 10_000, restPerMinute: 200, deflate: false, slowClientBytes: Infinity, missingChannels: [], zombieMs: 0, ...options,
    });
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    return alpaca;
  }

  get port(): number { return (this.server.address() as AddressInfo).port; }
  /** The test feed: always on. */
  get url(): string { return `ws://127.0.0.1:${this.port}/v2/test`; }
  get restUrl(): string { return `http://127.0.0.1:${this.port}`; }

  async stop(): Promise<void> {
    for (const { socket } of this.clients) socket.terminate();
    for (const socket of this.sockets) socket.destroy();
    this.websockets.close();
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  // ---- what the tests do -----------------------------------------------------------------------------------------

  /** Sends trades to whoever subscribed to them, in frames of `perFrame`, and puts them into the history. */
  publish(trades: readonly ServerTrade[], perFrame = 100): void {
    for (const trade of trades) {
      const last = this.published.at(-1);
      if (last && this.time(trade) < this.time(last)) this.ordered = false;
      this.published.push(trade);
    }
    for (const client of this.clients) {
      const all = client.subscriptions["trades"];
      if (!client.authenticated || client.mute || !all || all.size === 0) continue;
      const mine = all.has("*") ? trades : trades.filter(({ S }) => all.has(S));
      for (const trade of mine) client.trades.push(trade);
      for (let from = 0; from < mine.length; from += perFrame) this.send(client, mine.slice(from, from + perFrame));
    }
  }

  /** Sends messages as they are to all who are logged in. */
  broadcast(messages: readonly unknown[]): void { for (const client of this.clients) if (client.authenticated) this.send(client, messages); }
  /** Sends bytes or text as they are: broken JSON, fragments, huge frames. */
  raw(data: string | Buffer, options: { binary?: boolean; fragments?: number } = {}): void {
    const { binary = typeof data !== "string", fragments = 1 } = options;
    for (const { socket } of this.clients) {
      const size = Math.ceil(data.length / fragments);
      for (let k = 0; k < fragments; k++) socket.send(data.slice(k * size, (k + 1) * size), { binary, fin: k === fragments - 1 });
    }
  }

  error(code: number, msg = "scripted"): void { this.broadcast([{ T: "error", code, msg }]); }
  /** Every connection ends, without a goodbye. */
  disconnect(): void { for (const { socket } of this.clients) socket.terminate(); }
  /** TCP lives, nobody is there: nothing is read, no ping answered, nothing sent. */
  halfOpen(): void {
    for (const client of this.clients) {
      client.mute = true;
      (client.socket as unknown as { _socket: Duplex })._socket.pause();
      // To the server it is gone: it would not count against the limit.
      this.clients.delete(client);
    }
  }

  /** No data and no answers any more, but pings are answered. */
  mute(): void {
    for (const client of this.clients) {
      client.mute = true;
      this.clients.delete(client);
    }
  }

  // ---- the stream ------------------------------------------------------------------------------------------------

  private upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const fault = this.upgrades.shift();
    if (fault === "silent") return;
    if (fault === "refuse") { socket.destroy(); return; }
    if (fault) {
      socket.end(`HTTP/1.1 ${fault.status} Scripted\r\n${Object.entries(fault.headers ?? {}).map(([k, v]) => `${k}: ${v}\r\n`).join("")}Content-Length: 0\r\nConnection: close\r\n\r\n`);
      return;
    }
    this.websockets.handleUpgrade(request, socket, head, (ws) => this.connected(ws, request));
  }

  private connected(socket: WebSocket, { headers, url = "" }: IncomingMessage): void {
    const client: Client = {
      id: this.nextId++, path: url, socket, msgpack: headers["content-type"] === "application/msgpack", deflate: socket.extensions.includes("permessage-deflate"),
      authenticated: false, mute: false, subscriptions: {}, said: [], trades: [],
    };
    this.clients.add(client);
    this.history.push(client);
    socket.on("error", () => undefined);
    socket.on("close", () => {
      if (client.authenticated && this.clients.has(client) && this.options.zombieMs > 0) {
        this.zombies++;
        setTimeout(() => { this.zombies--; }, this.options.zombieMs).unref();
      }
      this.clients.delete(client);
      clearTimeout(late);
    });
    socket.on("message", (data, binary) => this.heard(client, data as Buffer, binary));
    const late = setTimeout(() => {
      if (client.authenticated) return;
      this.send(client, [{ T: "error", code: 404, msg: "auth timeout" }]);
      socket.close();
    }, this.options.authTimeoutMs);
    if (this.greet) this.send(client, [{ T: "success", msg: "connected" }]);
    const key = headers["apca-api-key-id"];
    if (key !== undefined) this.login(client, key, headers["apca-api-secret-key"]);
  }

  private heard(client: Client, data: Buffer, binary: boolean): void {
    if (client.mute) return;
    let message: Record<string, unknown>;
    try {
      message = (binary ? decode(data) : JSON.parse(data.toString())) as Record<string, unknown>;
    } catch {
      this.send(client, [{ T: "error", code: 400, msg: "invalid syntax" }]);
      return;
    }
    client.said.push(message);
    const { action } = message;
    if (action === "auth") {
      if (client.authenticated) this.send(client, [{ T: "error", code: 403, msg: "already authenticated" }]);
      else this.login(client, message["key"], message["secret"]);
    } else if (!client.authenticated) {
      this.send(client, [{ T: "error", code: 401, msg: "not authenticated" }]);
    } else if (action === "subscribe" || action === "unsubscribe") {
      this.subscribe(client, action, message);
    } else {
      this.send(client, [{ T: "error", code: 400, msg: "invalid syntax" }]);
    }
  }

  private login(client: Client, key: unknown, secret: unknown): void {
    const scripted = this.authErrors.shift();
    const others = [...this.clients].filter((other) => other !== client && other.authenticated && other.path === client.path).length + this.zombies;
    const code = scripted ?? (key !== this.options.key || secret !== this.options.secret ? 402 : others >= this.options.maxConnections ? 406 : 0);
    if (code !== 0) {
      this.send(client, [{ T: "error", code, msg: this.words ?? ({ 402: "auth failed", 406: "connection limit exceeded", 409: "insufficient subscription" } as Record<number, string>)[code] ?? "scripted" }]);
      return;
    }
    client.authenticated = true;
    this.send(client, [{ T: "success", msg: "authenticated" }]);
  }

  private subscribe(client: Client, action: "subscribe" | "unsubscribe", message: Record<string, unknown>): void {
    const scripted = this.subscribeErrors.shift();
    if (scripted !== undefined) { this.send(client, [{ T: "error", code: scripted, msg: "scripted" }]); return; }
    const next: Record<string, Set<string>> = Object.fromEntries(CHANNELS.map((channel) => [channel, new Set(client.subscriptions[channel])]));
    for (const [channel, symbols] of Object.entries(message)) {
      if (channel === "action") continue;
      if (!next[channel] || this.options.missingChannels.includes(channel)) { this.send(client, [{ T: "error", code: 410, msg: "invalid subscribe action for this feed" }]); return; }
      for (const symbol of symbols as string[]) {
        if (!/^[A-Z0-9./*]+$/.test(symbol)) { this.send(client, [{ T: "error", code: 400, msg: "invalid syntax" }]); return; }
        if (action === "subscribe") next[channel].add(symbol);
        else next[channel].delete(symbol);
      }
    }
    if (new Set(Object.values(next).flatMap((set) => [...set])).size > this.options.maxSymbols) { this.send(client, [{ T: "error", code: 405, msg: "symbol limit exceeded" }]); return; }
    client.subscriptions = next;
    const lists = Object.fromEntries(Object.entries(next).map(([channel, set]) => [channel, [...set]]));
    this.send(client, [{ T: "subscription", ...lists, corrections: lists["trades"], cancelErrors: lists["trades"] }]);
  }

  private send(client: Client, messages: readonly unknown[]): void {
    if (client.mute) return;
    if (client.msgpack) client.socket.send(packed(messages));
    else client.socket.send(jsonOf(messages));
    if (client.socket.bufferedAmount > this.options.slowClientBytes) {
      client.socket.send(client.msgpack ? packed([{ T: "error", code: 407, msg: "slow client" }]) : '[{"T":"error","code":407,"msg":"slow client"}]');
      client.socket.close();
    }
  }

  // ---- the history -----------------------------------------------------------------------------------------------

  private rest(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? "/", this.restUrl);
    this.restRequests.push(url);
    const answer = (status: number, body: unknown, headers: Record<string, string> = {}): void => { response.writeHead(status, { "content-type": "application/json", ...headers }).end(typeof body === "string" ? body : jsonOf(body)); };
    const fault = this.restFaults.shift();
    if (fault === "hang") { setTimeout(() => request.socket.destroy(), 200); return; }
    if (fault === "broken") { answer(200, '{"trades":{"AAPL":[{"t":'); return; }
    if (fault !== undefined) { answer(fault, { message: "scripted" }); return; }
    if (request.headers["apca-api-key-id"] !== this.options.key || request.headers["apca-api-secret-key"] !== this.options.secret) { answer(403, { message: this.words ?? "forbidden." }); return; }
    const now = Date.now();
    while (this.restTimes.length > 0 && this.restTimes[0]! < now - 60_000) this.restTimes.shift();
    if (this.restTimes.length >= this.options.restPerMinute) { answer(429, { message: "too many requests." }, { "x-ratelimit-reset": String(Math.ceil(now / 1000) + 1) }); return; }
    this.restTimes.push(now);
    if (url.pathname !== "/v2/stocks/trades") { answer(404, { message: "endpoint not found." }); return; }
    const query = Object.fromEntries(url.searchParams);
    const start = nanos(query["start"]!), end = nanos(query["end"]!);
    if (start === undefined || end === undefined) { answer(400, { message: "invalid start or end" }); return; }
    const limit = Math.min(Number(query["limit"] ?? 1000), this.options.pageLimit);
    const [from, skip] = query["page_token"] === undefined ? ["", 0] : Buffer.from(query["page_token"], "base64").toString().split("|") as [string, unknown] as [string, number];
    const window = this.window(start, end);
    const trades: Record<string, unknown[]> = {};
    let room = limit, next: string | null = null;
    for (const symbol of query["symbols"]!.split(",").sort()) {
      if (symbol < from || next !== null) continue;
      const done = symbol === from ? Number(skip) : 0;
      const list = window.filter(({ S }) => S === symbol);
      const page = list.slice(done, done + room);
      if (page.length > 0) trades[symbol] = page.map((trade) => { const { T: _t, S: _s, ...rest } = trade; return rest; });
      room -= page.length;
      if (done + page.length < list.length) next = Buffer.from(`${symbol}|${done + page.length}`).toString("base64");
    }
    answer(200, { trades, next_page_token: next, currency: "USD" });
  }

  /** The trades between two times, by time. */
  private window(start: bigint, end: bigint): ServerTrade[] {
    const { published } = this;
    if (!this.ordered) return published.filter((trade) => this.inRange(trade, start, end)).sort((a, b) => this.time(a) - this.time(b));
    const startMs = Number(start / 1_000_000n), endMs = Number(end / 1_000_000n);
    let low = 0, high = published.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.time(published[middle]!) < startMs) low = middle + 1;
      else high = middle;
    }
    const found: ServerTrade[] = [];
    for (let k = low; k < published.length && this.time(published[k]!) <= endMs; k++) if (this.inRange(published[k]!, start, end)) found.push(published[k]!);
    return found;
  }

  private time(trade: ServerTrade): number {
    let ms = this.times.get(trade);
    if (ms === undefined) this.times.set(trade, ms = Date.parse(trade.t));
    return ms;
  }

  private inRange(trade: ServerTrade, start: bigint, end: bigint): boolean {
    const ms = this.time(trade);
    // Nanoseconds only where they matter.
    if (ms < Number(start / 1_000_000n) || ms > Number(end / 1_000_000n)) return false;
    const at = nanos(trade.t)!;
    return at >= start && at <= end;
  }
}

function nanos(text: string): bigint | undefined {
  const match = /^(.*T\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text ?? "");
  return match ? BigInt(Date.parse(`${match[1]}${match[3]}`)) * 1_000_000n + BigInt((match[2] ?? "").padEnd(9, "0")) : undefined;
}

/** JSON with ids as bare numbers, however long. */
export function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch { /* a bigint is in it */ }
  return JSON.stringify(value, (_key, v: unknown) => (typeof v === "bigint" ? `\u0000${v}` : v)).replace(/"\\u0000(\d+)"/g, "$1");
}

/** MessagePack as Alpaca sends it: times as timestamps. */
export function packed(messages: readonly unknown[]): Buffer {
  const stamped = messages.map((message) => {
    const { t, ...rest } = message as { t?: unknown };
    if (typeof t !== "string") return message;
    const at = nanos(t)!;
    return { ...rest, t: new ExtData(-1, encodeTimeSpecToTimestamp({ sec: Number(at / 1_000_000_000n), nsec: Number(at % 1_000_000_000n) })) };
  });
  return Buffer.from(encode(stamped, { useBigInt64: true }));
}
