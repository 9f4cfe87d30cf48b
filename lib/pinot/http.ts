/**
 * HTTP as Pinot's controller and broker speak it: one request, its answer as values, and every failure in words with a code.
 */
import { TicklakeError } from "../errors";
import { BodyTooLarge, bodyText } from "../http-body";
import { parseJson } from "../trades/explode-json";
import type { PinotOptions } from "./settings";

/** Which of the two is asked. */
export type PinotSide = "controller" | "broker";

export interface PinotRequest {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** After the address: `/tables`. Parts of it that a user chose are encoded by the caller. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** How long an answer may take, ms (10 s). */
  readonly timeoutMs?: number;
  /** More that must not stand in an error's text: what the body holds of the kind. */
  readonly secrets?: readonly string[];
  /** Gives the request up: STOPPED. */
  readonly signal?: AbortSignal;
}

export interface PinotAnswer {
  readonly status: number;
  /** JSON as values, whole numbers beyond 2^53 as text of their digits; other text as it is. */
  readonly body: unknown;
}

/** What an error's `details` say of a request that was answered. */
export interface PinotErrorDetails { readonly side: PinotSide; readonly status: number; readonly reason: string }

const TIMEOUT_MS = 10_000;
/** Far beyond any number of rows that a flow can use. */
const MAX_ANSWER_BYTES = 256 * 1_048_576;
/** Gateways say so when nobody stands behind them. */
const AWAY: ReadonlySet<number> = new Set([502, 503, 504]);

/** Both addresses of a cluster. Keeps no state but what fetch pools itself. */
export class PinotHttp {
  constructor(readonly options: PinotOptions, private readonly fetching: typeof fetch = fetch) {}

  /** Where a side is. */
  url(side: PinotSide): string { return side === "controller" ? this.options.controllerUrl : this.options.brokerUrl; }

  /**
   * @returns the answer of a request that succeeded (2xx)
   * @throws TicklakeError PINOT_UNREACHABLE (nobody answers, or not in time), PINOT_DENIED (401, 403), PINOT_REFUSED (any other 4xx, 3xx; an answer beyond 256 MB), PINOT_FAILED
   *   (5xx), the last three with PinotErrorDetails; STOPPED when the signal aborts. No message holds a secret.
   */
  async send(side: PinotSide, request: PinotRequest): Promise<PinotAnswer> {
    const { status, text } = await this.#exchange(side, request);
    if (status < 200 || status > 299) throw this.#failure(side, request, status, text);
    return { status, body: valueOf(text) };
  }

  async #exchange(side: PinotSide, request: PinotRequest): Promise<{ status: number; text: string }> {
    const url = new URL(this.url(side) + request.path);
    for (const [name, value] of Object.entries(request.query ?? {})) if (value !== undefined) url.searchParams.set(name, String(value));
    const timeoutMs = request.timeoutMs ?? TIMEOUT_MS;
    const timeout = AbortSignal.timeout(timeoutMs);
    try {
      const response = await this.fetching(url, {
        method: request.method, redirect: "manual", signal: request.signal ? AbortSignal.any([request.signal, timeout]) : timeout,
        headers: {
          accept: "application/json, text/plain;q=0.9", ...(request.body === undefined ? {} : { "content-type": "application/json" }),
          ...(this.options.authorization === undefined ? {} : { authorization: this.options.authorization }), ...request.headers,
        },
        ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
      });
      return { status: response.status, text: await bodyText(response, MAX_ANSWER_BYTES) };
    } catch (caught) {
      if (request.signal?.aborted) throw new TicklakeError("STOPPED", `The request to Pinot's ${side} was given up.`, { cause: caught });
      if (caught instanceof BodyTooLarge) throw new TicklakeError("PINOT_REFUSED", `From Pinot's ${side} ${caught.message}. Ask for fewer rows or columns.`, { cause: caught, details: { side } });
      if (timeout.aborted) throw new TicklakeError("PINOT_UNREACHABLE", `Pinot's ${side} at ${this.url(side)} did not answer within ${timeoutMs / 1000} s.`, { cause: caught, details: { side, timedOut: true } });
      throw new TicklakeError("PINOT_UNREACHABLE", `No Pinot ${side} answers at ${this.url(side)}: ${networkReason(caught)}. Check that it runs, and the address in pinot-cluster.`, { cause: caught, details: { side } });
    }
  }

  #failure(side: PinotSide, request: PinotRequest, status: number, text: string): TicklakeError {
    const reason = this.#hide(reasonOf(text), request.secrets ?? []);
    const details: PinotErrorDetails = { side, status, reason };
    const asked = `${request.method} ${request.path}`;
    const said = `${status}${reason === "" ? "" : `: ${reason}`}`;
    const fail = (code: "PINOT_UNREACHABLE" | "PINOT_DENIED" | "PINOT_REFUSED" | "PINOT_FAILED", message: string): TicklakeError => new TicklakeError(code, message, { details: { ...details } });
    if (status === 401 || status === 403) return fail("PINOT_DENIED", `Pinot's ${side} does not let this user do that (${said}). Check user name and password or token in pinot-cluster, and the user's rights.`);
    if (AWAY.has(status)) return fail("PINOT_UNREACHABLE", `Pinot's ${side} at ${this.url(side)} is not there at present (${said}).`);
    if (status >= 500) return fail("PINOT_FAILED", `Pinot's ${side} failed at ${asked} (${said}).`);
    if (status < 400) return fail("PINOT_REFUSED", `${this.url(side)} refers to another address (${status}). Enter that of Pinot's ${side} itself in pinot-cluster.`);
    return fail("PINOT_REFUSED", `Pinot's ${side} refuses ${asked} (${said}).`);
  }

  #hide(text: string, more: readonly string[]): string {
    const secrets = [...this.options.secrets, ...more];
    return [...secrets, ...secrets.map(encodeURIComponent)].filter((secret) => secret.length > 3).reduce((left, secret) => left.replaceAll(secret, "***"), text);
  }
}

/** JSON where it is JSON; Pinot answers some requests in plain words. */
function valueOf(text: string): unknown {
  try { return parseJson(text); } catch { return text; }
}

/** `{"code", "error"}` of a controller, or plain words. Pages of other servers say nothing. */
function reasonOf(text: string): string {
  if (/^\s*</.test(text)) return "";
  const value = valueOf(text);
  const { error, message } = (typeof value === "object" && value !== null ? value : {}) as { error?: unknown; message?: unknown };
  const said = [error, message, value].find((part) => typeof part === "string") as string | undefined;
  return (said ?? "").replace(/\s+/g, " ").trim().slice(0, 800);
}

/** fetch says "fetch failed"; why stands in its cause, and for a name with several addresses in the causes of that. */
function networkReason(caught: unknown): string {
  const { message, cause } = caught as Error & { cause?: Error & { code?: string; errors?: Error[] } };
  return cause?.errors?.[0]?.message || cause?.message || cause?.code || message;
}

/** The HTTP status that an error of a request came with; undefined for others. */
export function statusOf(error: unknown): number | undefined {
  const status = error instanceof TicklakeError ? error.details?.["status"] : undefined;
  return typeof status === "number" ? status : undefined;
}

/** What Pinot itself said in an error of a request. */
export function reasonIn(error: unknown): string {
  const reason = error instanceof TicklakeError ? error.details?.["reason"] : undefined;
  return typeof reason === "string" ? reason : "";
}
