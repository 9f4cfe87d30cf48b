/**
 * Access tokens by the client-credentials grant of OAuth 2 (RFC 6749, section 4.4).
 */
import { type ErrorCode, TicklakeError } from "./errors";
import { bodyText } from "./http-body";
import { withoutSecrets } from "./redact";

export interface ClientCredentials {
  /** Token endpoint (section 3.2): https, or http on this machine. */
  readonly endpoint: string;
  /** Empty: the server knows the client by its secret alone. */
  readonly clientId: string;
  readonly clientSecret: string;
  /** Space-separated; empty for none. */
  readonly scope?: string;
  readonly fetch?: typeof fetch;
  readonly now?: () => number;
}

export interface TokenOptions extends ClientCredentials {
  /** What errors are called: the server refuses the client, and it cannot be asked now. */
  readonly codes: { readonly denied: ErrorCode; readonly unreachable: ErrorCode };
  /** Id and secret go into the body (section 2.3.1 allows both); by default into the Authorization header. */
  readonly inBody?: boolean;
  /** More parameters of the request: `audience`, `resource`. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** Plain http to other machines is allowed: everything else that is secret goes over it, too. */
  readonly plain?: boolean;
}

/** Tokens as they are needed. */
export interface TokenSource {
  /** A token that holds for some time; asks for a new one when it must. Several callers share one request. */
  get(): Promise<string>;
  /** A server has refused this token: it is not given again. */
  refused(token: string): void;
}

const TIMEOUT_MS = 10_000;
/** A token has a few kilobytes. */
const MAX_ANSWER_BYTES = 1_048_576;
/** A token whose life the server does not tell is asked for again after this (RFC 6749 leaves it open). */
const UNKNOWN_LIFE_S = 60;

/**
 * Tokens are kept for four fifths of their life.
 *
 * @returns asks for tokens; rejects with `codes`. No error holds a secret.
 * @throws TicklakeError CONFIG_INVALID when the endpoint is no address to which a secret may be sent
 */
export function tokenSource(options: TokenOptions): TokenSource {
  const { now = Date.now } = options;
  const endpoint = parseEndpoint(options.endpoint, options.plain ?? false);
  let kept: { token: string; until: number } | undefined;
  let asking: Promise<string> | undefined;

  async function ask(): Promise<string> {
    const { token, lifeSeconds } = await requestToken(endpoint, options);
    kept = { token, until: now() + (lifeSeconds > 0 ? lifeSeconds : UNKNOWN_LIFE_S) * 800 };
    return token;
  }

  return {
    get() {
      if (kept && now() < kept.until) return Promise.resolve(kept.token);
      asking ??= ask().finally(() => { asking = undefined; });
      return asking;
    },
    refused(token) {
      if (kept?.token === token) kept = undefined;
    },
  };
}

async function requestToken(endpoint: URL, options: TokenOptions): Promise<{ token: string; lifeSeconds: number }> {
  const { clientId, clientSecret, codes } = options;
  const response = await (options.fetch ?? fetch)(endpoint, {
    method: "POST", redirect: "error", signal: AbortSignal.timeout(TIMEOUT_MS), body: new URLSearchParams(parameters(options)),
    headers: { ...(options.inBody ? {} : { authorization: basic(options) }), accept: "application/json" },
  }).catch((cause: unknown) => {
    const { message, cause: inner } = cause as Error & { cause?: Error };
    throw new TicklakeError(codes.unreachable, `No token from ${endpoint.origin}: ${inner?.message ?? message}. Check the token address and the network.`, { cause });
  });
  const answer = await bodyText(response, MAX_ANSWER_BYTES).then((text) => JSON.parse(text) as unknown).catch(() => ({})) as { access_token?: unknown; expires_in?: unknown; error?: unknown; error_description?: unknown };
  if (response.status >= 500 || response.status === 429) throw new TicklakeError(codes.unreachable, `The token server ${endpoint.origin} answers ${response.status}.`);
  if (!response.ok) {
    const reason = [answer.error, answer.error_description].filter((part) => typeof part === "string").join(": ") || `status ${response.status}`;
    throw new TicklakeError(codes.denied, `The token server ${endpoint.origin} refuses ${clientId === "" ? "the client" : `client ${clientId}`}: ${withoutSecrets(reason, [clientSecret, basic(options).slice("Basic ".length)]).slice(0, 500)}. Check the client's id, secret and scope.`);
  }
  if (typeof answer.access_token !== "string" || answer.access_token === "") throw new TicklakeError(codes.denied, `The answer of ${endpoint.origin} holds no access_token. Check that it is the token endpoint.`);
  return { token: answer.access_token, lifeSeconds: Number(answer.expires_in) };
}

function parameters({ clientId, clientSecret, scope = "", inBody, parameters: more }: TokenOptions): Record<string, string> {
  return {
    grant_type: "client_credentials",
    ...(inBody ? { ...(clientId === "" ? {} : { client_id: clientId }), client_secret: clientSecret } : {}),
    ...(scope === "" ? {} : { scope }),
    ...more,
  };
}

/** Section 2.3.1: both are form-encoded before they go into the header. */
function basic({ clientId, clientSecret }: TokenOptions): string {
  return `Basic ${Buffer.from(`${formEncode(clientId)}:${formEncode(clientSecret)}`).toString("base64")}`;
}

function parseEndpoint(given: string, plain: boolean): URL {
  let url: URL;
  try { url = new URL(given); } catch (cause) { throw new TicklakeError("CONFIG_INVALID", `The token address "${given}" is no URL. Enter the token endpoint of your identity provider: https://...`, { cause }); }
  const local = ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && (local || plain))) throw new TicklakeError("CONFIG_INVALID", `The token address ${url.origin} is not encrypted, and a secret is sent to it. Use https.`);
  if (url.username !== "" || url.password !== "") throw new TicklakeError("CONFIG_INVALID", "The token address holds a user name. Enter the client's id and secret as user name and password instead.");
  return url;
}

function formEncode(value: string): string {
  return new URLSearchParams({ v: value }).toString().slice(2);
}
