import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { WebSocketServer } from "ws";

/** A server that refuses everything and repeats in its reason all that it was sent: the worst that may stand behind an address. */
export interface EchoServer {
  /** Without a scheme: `127.0.0.1:1234`. */
  readonly address: string;
  /** A port that takes connections and closes them. */
  readonly closing: string;
  /** Everything that it was sent so far: method, path, headers, body. */
  readonly received: readonly string[];
  close(): Promise<void>;
}

function refuse(request: IncomingMessage, response: ServerResponse, sent: string): void {
  if (/AWS4-HMAC/.test(request.headers.authorization ?? "") && !request.url!.startsWith("/v1/")) {
    const text = sent.replace(/[<>&]/g, " ");
    response.writeHead(403, { "content-type": "application/xml" }).end(`<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>${text}</Message></Error>`);
    return;
  }
  response.writeHead(403, { "content-type": "application/json" })
    .end(JSON.stringify({ error: { message: sent, type: "ForbiddenException", code: 403 }, error_description: sent, message: sent, code: 403 }));
}

export async function startEchoServer(): Promise<EchoServer> {
  const received: string[] = [];
  const http: Server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (data: string) => { body += data; }).on("end", () => {
      // Secrets first: reasons are cut off after some hundred characters.
      const secrets = [request.headers.authorization, request.headers["apca-api-secret-key"], request.headers["x-amz-security-token"]].filter(Boolean).join(" ");
      const sent = `${secrets} ${body} ${request.method} ${request.url} ${JSON.stringify(request.headers)}`;
      received.push(sent);
      refuse(request, response, sent);
    });
  });
  const sockets = new WebSocketServer({ server: http });
  sockets.on("connection", (socket) => {
    socket.on("error", () => undefined).on("message", (data) => {
      const sent = (data as Buffer).toString();
      received.push(sent);
      socket.send(JSON.stringify([{ T: "error", code: 402, msg: `auth failed: ${sent}` }]));
    });
    socket.send(JSON.stringify([{ T: "success", msg: "connected" }]));
  });
  const tcp = createTcpServer((socket) => socket.on("error", () => undefined).destroy());
  const port = (server: { address(): unknown }): number => (server.address() as AddressInfo).port;
  await Promise.all([http, tcp].map((server) => new Promise<void>((done) => { server.listen(0, "127.0.0.1", done); })));
  return {
    address: `127.0.0.1:${port(http)}`, closing: `127.0.0.1:${port(tcp)}`, received,
    async close() {
      for (const client of sockets.clients) client.terminate();
      http.closeAllConnections();
      await Promise.all([http, tcp].map((server) => new Promise((done) => { server.close(done); })));
    },
  };
}
