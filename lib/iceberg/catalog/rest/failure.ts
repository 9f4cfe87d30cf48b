/**
 * Why a request to a REST catalog failed, and what that is called for a user.
 */
import { type ErrorCode, TicklakeError } from "../../../errors";
import { withoutProof, withoutSecrets } from "../../../redact";
import type { RestAnswer } from "./client";

/** Errors of connections that were never there: nothing has been sent. */
const NOT_SENT: ReadonlySet<string> = new Set([
  "ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "EADDRNOTAVAIL", "UND_ERR_CONNECT_TIMEOUT",
  "DEPTH_ZERO_SELF_SIGNED_CERT", "SELF_SIGNED_CERT_IN_CHAIN", "UNABLE_TO_VERIFY_LEAF_SIGNATURE", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "CERT_HAS_EXPIRED", "ERR_TLS_CERT_ALTNAME_INVALID",
  "EPROTO", "ERR_SSL_WRONG_VERSION_NUMBER",
]);

const TLS = /^(DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|CERT_|ERR_TLS|EPROTO|ERR_SSL)/;

interface Facts {
  readonly status?: number;
  readonly type?: string;
  readonly retryAfterMs?: number;
  /** False where the server cannot have seen the request. */
  readonly sent: boolean;
  /** An error that was none of the request: no token, no keys. */
  readonly own?: TicklakeError;
  readonly cause?: unknown;
}

/** A request that did not succeed. `message` is the server's or the network's reason, without secrets. */
export class RestFailure extends Error {
  readonly status: number | undefined;
  /** Java's name of the error: NoSuchTableException. */
  readonly type: string;
  readonly retryAfterMs: number | undefined;
  readonly sent: boolean;
  readonly own: TicklakeError | undefined;

  private constructor(message: string, facts: Facts) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = "RestFailure";
    this.status = facts.status;
    this.type = facts.type ?? "";
    this.retryAfterMs = facts.retryAfterMs;
    this.sent = facts.sent;
    this.own = facts.own;
  }

  /** What was thrown before a request went out is no failure of the server's. */
  static of(error: unknown): RestFailure {
    if (error instanceof RestFailure) return error;
    const own = error instanceof TicklakeError ? error : new TicklakeError("STORAGE_DENIED", `The request to the catalog could not be signed: ${error instanceof Error ? error.message : String(error)}. Check the keys.`, { cause: error });
    return new RestFailure(own.message, { sent: false, own, cause: error });
  }

  /** The server's own reason: `{"error": {"message", "type", "code"}}` of the specification, or OAuth's. */
  static answered({ status, headers, text }: RestAnswer, secrets: readonly string[], proof: Readonly<Record<string, string>> = {}): RestFailure {
    // Before it is cut off: half a secret would not be found.
    const { message, type } = reason(hide(withoutProof(text, proof), secrets));
    const after = headers.get("retry-after");
    return new RestFailure(message || `status ${status}`, { status, type, sent: true, ...(after === null ? {} : { retryAfterMs: delay(after) }) });
  }

  static unanswered(error: unknown, url: URL): RestFailure {
    const { name, message, cause } = error as Error & { cause?: Error & { code?: string } };
    const code = cause?.code ?? "";
    if (name === "TimeoutError") return new RestFailure(`${url.origin} did not answer in time`, { sent: true, cause: error });
    const tls = TLS.test(code) ? " (the certificate or the protocol is not accepted: check https, or have Node-RED trust the authority by NODE_EXTRA_CA_CERTS)" : "";
    return new RestFailure(`${url.origin}: ${cause?.message || code || message}${tls}`, { sent: !NOT_SENT.has(code), cause: error });
  }

  static redirected(status: number, from: URL, to: URL): RestFailure {
    return new RestFailure(`${from.origin} refers to ${to.origin}. If you trust that one, enter it as the catalog's address`, { status, sent: true });
  }

  /** Whether the same request may succeed later. */
  get repeatable(): boolean {
    if (this.own) return false;
    return this.status === undefined || this.status === 429 || this.status === 408 || this.status >= 500;
  }

  /** Whether it is unknown what became of a request that was to change something. */
  get unknown(): boolean {
    return this.sent && (this.status === undefined || this.status === 408 || this.status >= 500);
  }
}

function reason(text: string): { message: string; type: string } {
  let json: unknown;
  try { json = JSON.parse(text); } catch { return { message: /^\s*</.test(text) ? "" : text.trim().slice(0, 200), type: "" }; }
  const { error, error_description: description, message } = (json ?? {}) as { error?: unknown; error_description?: unknown; message?: unknown };
  if (typeof error === "object" && error !== null) {
    const { message: said, type } = error as { message?: unknown; type?: unknown };
    return { message: typeof said === "string" ? said.slice(0, 500) : "", type: typeof type === "string" ? type : "" };
  }
  return { message: [error, description, message].filter((part) => typeof part === "string").join(": ").slice(0, 500), type: "" };
}

function hide(message: string, secrets: readonly string[]): string {
  return withoutSecrets(message, secrets).replace(/Bearer\s+[^\s"\\]+/gi, "Bearer ***");
}

/** Seconds or a date (RFC 9110, section 10.2.3), in ms. */
function delay(text: string): number {
  const seconds = Number(text);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : 0;
}

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);

/**
 * A failure in words: what was attempted, the reason, what to do.
 *
 * @param what a phrase: `list the tables of db`
 */
export function restError(failure: unknown, uri: string, what: string): TicklakeError {
  if (failure instanceof TicklakeError) return failure;
  const { status, own, message } = RestFailure.of(failure);
  if (own) return own;
  const [code, advice] = meaning(status);
  return new TicklakeError(code, `The catalog at ${uri} does not ${what}: ${sentence(message)}${advice}`, { cause: failure, details: { uri, ...(status === undefined ? {} : { status }) } });
}

function meaning(status: number | undefined): [ErrorCode, string] {
  if (status === undefined) return ["STORAGE_FAILED", " Check the address and the network; it is tried again."];
  if (status === 401) return ["STORAGE_DENIED", " It does not know who asks (401): check token, client id and secret, or keys."];
  if (status === 403) return ["STORAGE_DENIED", " Whoever asks may not do that (403): have the rights granted in the catalog."];
  if (status === 419) return ["STORAGE_DENIED", " The token has expired (419): enter a new one, or a client id and secret, by which tokens are renewed."];
  if (status === 404) return ["CATALOG_INVALID", " Check the catalog's address and the warehouse (404)."];
  if (status === 429) return ["STORAGE_FAILED", " It gets too many requests (429); it is tried again."];
  if (status >= 500 || status === 408) return ["STORAGE_FAILED", ` The server has a problem (${status}); it is tried again.`];
  if (status === 406 || status === 405 || status === 501) return ["TABLE_UNSUPPORTED", ` The server does not offer that (${status}).`];
  return ["CATALOG_INVALID", ` Check the catalog's settings (${status}).`];
}
