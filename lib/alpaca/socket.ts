import WebSocket from "ws";

/** One connection, opened at once. */
export interface StreamSocket {
  send(data: string | Uint8Array): void;
  ping(): void;
  /** Says goodbye; `closed` follows when the other side has answered. */
  close(): void;
  /** Ends it without waiting: a dead connection never answers. */
  terminate(): void;
}

export interface SocketEvents {
  opened(): void;
  message(data: Buffer, binary: boolean): void;
  pong(): void;
  /** It is over, once, for whatever reason. `status`: the server answered the upgrade with this HTTP status; `retryAfterMs`: and asked to wait. */
  closed(reason: string, status?: number, retryAfterMs?: number): void;
}

export interface SocketOptions {
  readonly headers: Readonly<Record<string, string>>;
  /** Offer permessage-deflate (RFC 7692). */
  readonly compression: boolean;
  readonly handshakeTimeoutMs: number;
}

export type OpenSocket = (url: string, options: SocketOptions, events: SocketEvents) => StreamSocket;

/** Largest message that is taken; a frame of 100,000 trades has about 14 MB. */
const MAX_PAYLOAD = 128 * 1024 * 1024;

/** Opens a WebSocket. Redirects are not followed: key and secret belong to the address that was set. */
export const openWebSocket: OpenSocket = (url, { headers, compression, handshakeTimeoutMs }, events) => {
  const socket = new WebSocket(url, {
    headers: { ...headers }, handshakeTimeout: handshakeTimeoutMs, perMessageDeflate: compression, maxPayload: MAX_PAYLOAD, followRedirects: false,
    // Symbols are ASCII, and what is not UTF-8 is found out when it is read.
    skipUTF8Validation: true,
    // Frames are handled as they arrive, without a turn of the event loop between.
    allowSynchronousEvents: true,
  });
  socket.binaryType = "nodebuffer";
  let over = false;
  let problem = "";
  const end = (reason: string, status?: number, retryAfterMs?: number): void => {
    if (over) return;
    over = true;
    events.closed(reason, status, retryAfterMs);
  };
  socket.on("open", () => events.opened());
  socket.on("message", (data, binary) => events.message(data as Buffer, binary));
  socket.on("pong", () => events.pong());
  socket.on("unexpected-response", (request, response) => {
    const after = Number(response.headers["retry-after"]);
    end(`HTTP ${response.statusCode}`, response.statusCode, after > 0 ? after * 1000 : undefined);
    response.resume();
    request.destroy();
  });
  socket.on("error", (error) => { problem = error.message; });
  socket.on("close", (code, reason) => end(problem || `closed by the server (${code}${reason.length > 0 ? `, ${reason.toString().slice(0, 80)}` : ""})`));
  const open = (): boolean => socket.readyState === WebSocket.OPEN;
  return {
    send: (data) => { if (open()) socket.send(data); },
    ping: () => { if (open()) socket.ping(); },
    close: () => socket.close(1000),
    terminate: () => socket.terminate(),
  };
};
