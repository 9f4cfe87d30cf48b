import { createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** The body of an answer, behind length and correlation id; nothing: no answer ever. */
export type FakeAnswer = Buffer | undefined;

export interface FakeRequest { readonly apiKey: number; readonly apiVersion: number; readonly clientId: string; readonly body: Buffer; readonly socket: Socket }

/** What fake brokers tell of each other. */
export interface FakeNode { readonly id: number; readonly host: string; readonly port: number }

/**
 * A broker that answers ApiVersions and Metadata by itself and everything else by `answer`: for what a real one cannot be made to do
 * (moving to another address, never answering).
 */
export class FakeBroker {
  nodes: FakeNode[] = [];
  /** Topic -> leader of each partition; others do not exist. */
  topics: Record<string, number[]> = {};
  answer: (request: FakeRequest) => FakeAnswer = () => undefined;
  /** Answers nothing, not even ApiVersions. */
  silent = false;
  readonly requests: { apiKey: number; socket: number }[] = [];
  connections = 0;
  private readonly sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {
    server.on("connection", (socket) => {
      const number = ++this.connections;
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket)).on("error", () => {});
      let received = Buffer.alloc(0);
      socket.on("data", (data) => {
        received = Buffer.concat([received, data]);
        while (received.length >= 4 && received.length >= 4 + received.readInt32BE(0)) {
          const frame = received.subarray(4, 4 + received.readInt32BE(0));
          received = received.subarray(4 + frame.length);
          this.handle(frame, socket, number);
        }
      });
    });
  }

  static async start(): Promise<FakeBroker> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => { server.once("error", reject).listen(0, "127.0.0.1", resolve); });
    return new FakeBroker(server);
  }

  get port(): number { return (this.server.address() as AddressInfo).port; }
  get address(): string { return `127.0.0.1:${this.port}`; }
  get open(): number { return this.sockets.size; }

  node(id: number): FakeNode { return { id, host: "127.0.0.1", port: this.port }; }

  /** Ends open connections; new ones are taken. */
  cut(): void { for (const socket of this.sockets) socket.destroy(); }

  async stop(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => { this.server.close(() => resolve()); });
  }

  private handle(frame: Buffer, socket: Socket, number: number): void {
    const apiKey = frame.readInt16BE(0);
    this.requests.push({ apiKey, socket: number });
    if (this.silent) return;
    const idLength = Math.max(0, frame.readInt16BE(8));
    const request = { apiKey, apiVersion: frame.readInt16BE(2), clientId: frame.toString("utf8", 10, 10 + idLength), body: frame.subarray(10 + idLength), socket };
    const body = apiKey === 18 ? apiVersions() : apiKey === 3 ? this.metadata(request.body) : this.answer(request);
    if (!body) return;
    const head = Buffer.alloc(8);
    head.writeInt32BE(4 + body.length, 0);
    head.writeInt32BE(frame.readInt32BE(4), 4);
    socket.write(Buffer.concat([head, body]));
  }

  private metadata(body: Buffer): Buffer {
    const wanted: string[] = [];
    const count = body.readInt32BE(0);
    for (let k = 0, at = 4; k < count; k++) {
      const length = body.readInt16BE(at);
      wanted.push(body.toString("utf8", at + 2, at + 2 + length));
      at += 2 + length;
    }
    const names = count < 0 ? Object.keys(this.topics) : wanted;
    const none = int32(0);
    return Buffer.concat([
      none, list(this.nodes.map(({ id, host, port }) => Buffer.concat([int32(id), text(host), int32(port), int16(-1)]))), text("fake"), int32(this.nodes[0]?.id ?? -1),
      list(names.map((name) => Buffer.concat([
        int16(this.topics[name] ? 0 : 3), text(name), Buffer.from([0]),
        list((this.topics[name] ?? []).map((leader, partition) => Buffer.concat([int16(leader < 0 ? 5 : 0), int32(partition), int32(leader), list([int32(leader)]), list([int32(leader)]), none]))),
      ]))),
    ]);
  }
}

export const int16 = (value: number): Buffer => { const buffer = Buffer.alloc(2); buffer.writeInt16BE(value); return buffer; };
export const int32 = (value: number): Buffer => { const buffer = Buffer.alloc(4); buffer.writeInt32BE(value); return buffer; };
export const text = (value: string): Buffer => Buffer.concat([int16(Buffer.byteLength(value)), Buffer.from(value)]);
export const list = (items: readonly Buffer[]): Buffer => Buffer.concat([int32(items.length), ...items]);

const apiVersions = (): Buffer => Buffer.concat([int16(0), list(Array.from({ length: 62 }, (_, key) => Buffer.concat([int16(key), int16(0), int16(12)]))), int32(0)]);

/** FindCoordinator, version 2. */
export const coordinatorAnswer = ({ id, host, port }: FakeNode, error = 0): Buffer => Buffer.concat([int32(0), int16(error), int16(-1), int32(id), text(host), int32(port)]);
