import { createServer, connect, type AddressInfo, type Server, type Socket } from "node:net";

/** Request keys of the Kafka protocol that tests look for. */
export const API = { produce: 0, fetch: 1, listOffsets: 2, metadata: 3, offsetCommit: 8, offsetFetch: 9, findCoordinator: 10, joinGroup: 11, heartbeat: 12, leaveGroup: 13, syncGroup: 14, initProducerId: 22, addPartitions: 24, addOffsets: 25, endTxn: 26, txnOffsetCommit: 28 } as const;

/** A request of a client as it passes. */
export interface ProxiedRequest {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly correlationId: number;
  readonly bytes: number;
  /** Connections are counted from 1. */
  readonly connection: number;
  /** Requests of this key so far, this one included, over all connections. */
  readonly count: number;
}

/**
 * What to do with a request:
 * - pass
 * - cut: the connection ends, the broker never sees it
 * - cut-half: the broker gets the first half of its bytes, then the connection ends
 * - swallow-answer: the broker gets it and answers; instead of the answer the client sees the connection end
 * - half-answer: the client gets the first half of the answer, then the connection ends
 * - hold: neither it nor anything after it on this connection is passed until `release`
 * - lose-answer: the broker gets it, the client waits in vain (the connection lives)
 */
export type Verdict = "pass" | "cut" | "cut-half" | "swallow-answer" | "half-answer" | "hold" | "lose-answer";

/** `pass`; `refuse`: new connections are ended at once, open ones now; `silent`: connections are taken and open ones live, nothing is passed or answered. */
export type ProxyMode = "pass" | "refuse" | "silent";

export interface Proxy {
  readonly port: number;
  /** host:port for clients. */
  readonly address: string;
  /** Where the broker listens (the `proxied` listener that advertises `port`). */
  target(address: string): void;
  /** Asked for every request while in mode `pass`. */
  judge: (request: ProxiedRequest) => Verdict;
  mode(mode: ProxyMode): void;
  /** Added to every answer, ms. */
  latencyMs: number;
  /** Requests so far per key. */
  readonly counts: ReadonlyMap<number, number>;
  /** Open connections. */
  readonly connections: number;
  /** Lets go what `hold` keeps. */
  release(): void;
  /** Ends every open connection (reset), as a firewall does. */
  cutAll(): void;
  stop(): Promise<void>;
}

/** Takes frames of Kafka (a 32-bit length, then so many bytes) out of a stream. */
class Frames {
  #parts: Buffer = Buffer.alloc(0);
  constructor(private readonly each: (frame: Buffer) => void) {}

  push(data: Buffer): void {
    this.#parts = this.#parts.length === 0 ? data : Buffer.concat([this.#parts, data]);
    while (this.#parts.length >= 4) {
      const length = 4 + this.#parts.readInt32BE(0);
      if (this.#parts.length < length) return;
      const frame = this.#parts.subarray(0, length);
      this.#parts = this.#parts.subarray(length);
      this.each(frame);
    }
  }
}

/** One client and its connection to the broker. */
class Pair {
  readonly #broker: Socket;
  /** What to do with the answer, by correlation id. */
  readonly #answers = new Map<number, Verdict>();
  #held: Buffer[] | undefined;
  #silenced: (() => void)[] = [];

  constructor(readonly client: Socket, target: { host: string; port: number }, private readonly proxy: LoopbackProxy, readonly number: number) {
    this.#broker = connect(target.port, target.host);
    for (const socket of [client, this.#broker]) {
      socket.setNoDelay(true);
      socket.on("error", () => this.end()).on("close", () => this.end());
    }
    const requests = new Frames((frame) => this.#request(frame));
    const answers = new Frames((frame) => this.#answer(frame));
    client.on("data", (data: Buffer) => requests.push(data));
    this.#broker.on("data", (data: Buffer) => answers.push(data));
  }

  end(): void {
    this.proxy.pairs.delete(this);
    this.client.resetAndDestroy();
    this.#broker.destroy();
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const frame of held) this.#broker.write(frame);
  }

  speak(): void {
    for (const say of this.#silenced.splice(0)) say();
  }

  #request(frame: Buffer): void {
    if (this.proxy.silent) { this.#silenced.push(() => this.#request(frame)); return; }
    if (this.#held) { this.#held.push(frame); return; }
    const [apiKey, apiVersion, correlationId] = [frame.readInt16BE(4), frame.readInt16BE(6), frame.readInt32BE(8)];
    const verdict = this.proxy.judged({ apiKey, apiVersion, correlationId, bytes: frame.length, connection: this.number });
    if (verdict === "cut") { this.end(); return; }
    if (verdict === "cut-half") { this.#broker.write(frame.subarray(0, frame.length >> 1), () => this.end()); return; }
    if (verdict === "hold") { this.#held = [frame]; return; }
    if (verdict !== "pass") this.#answers.set(correlationId, verdict);
    this.#broker.write(frame);
  }

  #answer(frame: Buffer): void {
    if (this.proxy.silent) { this.#silenced.push(() => this.#answer(frame)); return; }
    const id = frame.readInt32BE(4);
    const verdict = this.#answers.get(id) ?? "pass";
    this.#answers.delete(id);
    if (verdict === "swallow-answer") this.end();
    else if (verdict === "half-answer") this.client.write(frame.subarray(0, frame.length >> 1), () => this.end());
    else if (verdict !== "lose-answer") this.#later(() => this.client.write(frame));
  }

  #later(work: () => void): void {
    if (this.proxy.latencyMs > 0) setTimeout(() => { if (!this.client.destroyed) work(); }, this.proxy.latencyMs);
    else work();
  }
}

class LoopbackProxy implements Proxy {
  readonly pairs = new Set<Pair>();
  readonly counts = new Map<number, number>();
  latencyMs = 0;
  silent = false;
  judge: (request: ProxiedRequest) => Verdict = () => "pass";
  #refuse = false;
  #target: { host: string; port: number } | undefined;
  #connections = 0;

  constructor(private readonly server: Server) {
    server.on("connection", (client) => {
      if (this.#refuse || !this.#target) { client.resetAndDestroy(); return; }
      this.pairs.add(new Pair(client, this.#target, this, ++this.#connections));
    });
  }

  get port(): number { return (this.server.address() as AddressInfo).port; }
  get address(): string { return `127.0.0.1:${this.port}`; }
  get connections(): number { return this.pairs.size; }

  target(address: string): void {
    const [host, port] = address.split(":");
    this.#target = { host: host!, port: Number(port) };
  }

  judged(request: Omit<ProxiedRequest, "count">): Verdict {
    const count = (this.counts.get(request.apiKey) ?? 0) + 1;
    this.counts.set(request.apiKey, count);
    return this.judge({ ...request, count });
  }

  mode(mode: ProxyMode): void {
    this.#refuse = mode === "refuse";
    this.silent = mode === "silent";
    if (this.#refuse) this.cutAll();
    if (mode === "pass") for (const pair of this.pairs) pair.speak();
  }

  release(): void { for (const pair of this.pairs) pair.release(); }
  cutAll(): void { for (const pair of [...this.pairs]) pair.end(); }

  stop(): Promise<void> {
    this.cutAll();
    return new Promise((done) => { this.server.close(() => done()); });
  }
}

/**
 * A TCP proxy that understands Kafka's frames, for a broker whose `proxied` listener advertises its port:
 *
 * @example
 * const proxy = await startProxy();
 * const kafka = await startKafka({ proxyPort: proxy.port });
 * proxy.target(kafka.addresses.proxied);
 * // our nodes: proxy.address; an independent client: kafka.brokers
 */
export async function startProxy(): Promise<Proxy> {
  const server = createServer();
  await new Promise<void>((done, fail) => { server.once("error", fail).listen(0, "127.0.0.1", () => done()); });
  return new LoopbackProxy(server);
}
