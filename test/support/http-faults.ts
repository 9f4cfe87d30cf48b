import { Agent, createServer, request, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * What becomes of a request on its way to a server:
 * - `{ answer }`: it never arrives, the client gets this status
 * - `{ after }`: it arrives and is done, the client gets this status all the same
 * - `silent`, `silent-after`: the client waits in vain; the server never sees it, or has done it
 * - `cut`, `cut-after`: the connection ends instead of an answer, before or after the server has done it
 * - `half-answer`: the server has done it, the connection ends in the middle of the answer
 * - `twice`: what stands between repeats it by itself, and the client gets the second answer
 * - `late`: the connection ends; the server gets it when the client has asked for something else twice
 */
export type HttpFault = { readonly answer: number } | { readonly after: number } | "silent" | "silent-after" | "cut" | "cut-after" | "half-answer" | "twice" | "late";

export interface PassingRequest { readonly method: string; readonly url: string; readonly headers: IncomingMessage["headers"]; readonly body: Buffer }

interface Answer { status: number; headers: OutgoingHttpHeaders; body: Buffer }

/** A proxy on loopback that keeps the Host header, so that signed requests pass, and fails by a script. */
export class FaultyHttp {
  readonly #agent = new Agent({ keepAlive: true });
  readonly #server = createServer((incoming, response) => void this.#serve(incoming, response).catch(() => response.destroy()));
  readonly #late: (() => void)[] = [];
  readonly #silent: ServerResponse[] = [];

  private constructor(private readonly target: URL, private readonly plan: (request: PassingRequest) => HttpFault | undefined) {}

  /** @param plan asked for every request */
  static async start(target: string, plan: (request: PassingRequest) => HttpFault | undefined): Promise<FaultyHttp> {
    const proxy = new FaultyHttp(new URL(target), plan);
    await new Promise<void>((listening) => proxy.#server.listen(0, "127.0.0.1", listening));
    return proxy;
  }

  /** http://127.0.0.1:port */
  get address(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    for (const response of this.#silent) response.destroy();
    this.#server.closeAllConnections();
    await new Promise((closed) => this.#server.close(closed));
    this.#agent.destroy();
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const passing = { method: incoming.method!, url: incoming.url!, headers: incoming.headers, body: Buffer.concat(chunks) };
    const fault = this.plan(passing);
    if (fault !== "late") for (const look of this.#late.splice(0)) look();
    if (fault === "cut") return void response.destroy();
    if (fault === "silent") return void this.#silent.push(response);
    if (typeof fault === "object" && "answer" in fault) return refuse(response, fault.answer);
    if (fault === "late") {
      response.destroy();
      for (let asked = 0; asked < 2; asked++) await new Promise<void>((look) => this.#late.push(look));
      return void await this.#forward(passing);
    }
    const first = await this.#forward(passing);
    if (fault === "cut-after") return void response.destroy();
    if (fault === "silent-after") return void this.#silent.push(response);
    if (typeof fault === "object") return refuse(response, fault.after);
    const { status, headers, body } = fault === "twice" ? await this.#forward(passing) : first;
    response.writeHead(status, headers);
    if (fault !== "half-answer") return void response.end(body);
    response.flushHeaders();
    response.destroy();
  }

  #forward({ method, url, headers, body }: PassingRequest): Promise<Answer> {
    return new Promise((done, fail) => {
      const outgoing = request({ host: this.target.hostname, port: this.target.port, method, path: url, headers: { ...headers, connection: "keep-alive" }, agent: this.#agent }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.on("end", () => done({ status: answer.statusCode!, headers: plainHeaders(answer.headers), body: Buffer.concat(chunks) }));
        answer.on("error", fail);
      });
      outgoing.on("error", fail);
      outgoing.end(body);
    });
  }
}

/** Without what concerns only the connection that they came by. */
function plainHeaders(headers: IncomingMessage["headers"]): OutgoingHttpHeaders {
  const { connection: _connection, "keep-alive": _keepAlive, "transfer-encoding": _encoding, ...rest } = headers;
  return rest;
}

/** An answer as a gateway in front of the server gives it. */
function refuse(response: ServerResponse, status: number): void {
  response.writeHead(status, { "content-type": "text/plain", "content-length": "0", "retry-after": "0" }).end();
}
