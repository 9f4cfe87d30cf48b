import { TicklakeError } from "../errors";

/** Time-outs of a cluster's connections. */
export interface ConnectionTimes {
  /** From the first SYN to a connection that is ready, and for the first request (ms). */
  readonly connectionTimeoutMs: number;
  /** A request without an answer for so long ends its connection: a half-open one looks just like this (ms). */
  readonly requestTimeoutMs: number;
}

/** Connections are up within 10 s or tried elsewhere; the broker may take 30 s to answer (waiting for replicas included). */
export const CONNECTION_TIMES: ConnectionTimes = { connectionTimeoutMs: 10_000, requestTimeoutMs: 30_000 };

export interface Address { readonly host: string; readonly port: number }

/**
 * One broker address: `host:port`, `[v6]:port`; the port may be left out (9092); a listener's scheme (`PLAINTEXT://`) is ignored.
 *
 * @throws TicklakeError CONFIG_INVALID
 */
export function parseAddress(text: string): Address {
  const bare = text.trim().replace(/^[A-Za-z_]+:\/\//, "");
  const match = /^(?:\[([0-9a-fA-F:.%\w]+)\]|([^\s:/[\]]+))(?::(\d{1,5}))?$/.exec(bare);
  const port = Number(match?.[3] ?? 9092);
  if (!match || port < 1 || port > 65535) {
    throw new TicklakeError("CONFIG_INVALID", `"${text.trim()}" is no broker address. Write host:port, for example localhost:9092; several with commas between them.`);
  }
  return { host: (match[1] ?? match[2]) as string, port };
}

/**
 * The broker list of a dialog or of an environment variable: addresses with commas, blanks or lines between them.
 *
 * @returns host:port each
 * @throws TicklakeError CONFIG_INVALID when there is none or one of them is no address
 */
export function parseBrokers(text: string): string[] {
  const list = text.split(/[\s,;]+/).filter((part) => part !== "").map((part) => addressText(parseAddress(part)));
  if (list.length === 0) throw new TicklakeError("CONFIG_INVALID", "No broker is given. Write at least one address, for example localhost:9092.");
  return [...new Set(list)];
}

/** host:port, a v6 host in brackets. */
export function addressText({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
