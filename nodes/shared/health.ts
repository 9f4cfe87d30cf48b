import type { IncomingMessage, RequestListener, Server, ServerResponse } from "node:http";
import { readiness, withoutNames, type Readiness } from "../../lib/metrics/health";

export interface HealthSource {
  /** Whether names and reasons are told. */
  readonly details: boolean;
  look(): Parameters<typeof readiness>;
}

const began = Date.now();

/**
 * Answers GET and HEAD of /healthz (the process lives and its event loop turns) and /readyz (it can do its work) ahead of everything else that listens on this
 * server: whatever root, password or middleware Node-RED has been given, a probe gets its answer, also without an editor. All other requests go where they went
 * before. (Sockets attach to a server in the same way.)
 */
export function answerHealth(server: Server, source: HealthSource): void {
  const others = server.listeners("request") as RequestListener[];
  server.removeAllListeners("request");
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    const path = request.url?.split("?", 1)[0];
    const probed = request.method === "GET" || request.method === "HEAD";
    if (probed && path === "/healthz") answer(request, response, 200, { status: "ok", uptimeSeconds: Math.round((Date.now() - began) / 1000) });
    else if (probed && path === "/readyz") {
      const found: Readiness = readiness(...source.look());
      answer(request, response, found.status === "ready" ? 200 : 503, source.details ? found : withoutNames(found));
    } else for (const other of others) other.call(server, request as never, response as never);
  });
}

function answer(request: IncomingMessage, response: ServerResponse, status: number, body: object): void {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, { "content-type": "application/json; charset=utf-8", "content-length": Buffer.byteLength(text), "cache-control": "no-store" });
  response.end(request.method === "HEAD" ? undefined : text);
}
