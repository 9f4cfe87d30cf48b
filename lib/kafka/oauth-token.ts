import { TicklakeError } from "../errors";

export interface ClientCredentials {
  /** Token endpoint (RFC 6749, section 3.2): https, or http on this machine. */
  readonly endpoint: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** Space-separated; empty for none. */
  readonly scope?: string;
  readonly fetch?: typeof fetch;
  readonly now?: () => number;
}

const TIMEOUT_MS = 10_000;
/** A token whose life the server does not tell is asked for again after this (RFC 6749 leaves it open). */
const UNKNOWN_LIFE_S = 60;

/**
 * Tokens by the client-credentials grant (RFC 6749, section 4.4), kept for four fifths of their life. Several connections that authenticate at
 * once share one request.
 *
 * @returns asks for a token; rejects with KAFKA_DENIED when the server refuses, KAFKA_UNREACHABLE when it does not answer. No error holds a secret.
 * @throws TicklakeError CONFIG_INVALID when the endpoint is no address to which a secret may be sent
 */
export function clientCredentials(options: ClientCredentials): () => Promise<string> {
  const { clientId, clientSecret, scope = "", now = Date.now } = options;
  const endpoint = parseEndpoint(options.endpoint);
  const request = options.fetch ?? fetch;
  let kept: { token: string; until: number } | undefined;
  let asking: Promise<string> | undefined;

  async function ask(): Promise<string> {
    const body = new URLSearchParams({ grant_type: "client_credentials", ...(scope === "" ? {} : { scope }) });
    // Section 2.3.1: both are form-encoded before they go into the header.
    const basic = Buffer.from(`${formEncode(clientId)}:${formEncode(clientSecret)}`).toString("base64");
    const response = await request(endpoint, {
      method: "POST", body, redirect: "error", signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: { authorization: `Basic ${basic}`, accept: "application/json" },
    }).catch((cause: unknown) => {
      const { message, cause: inner } = cause as Error & { cause?: Error };
      throw new TicklakeError("KAFKA_UNREACHABLE", `No token from ${endpoint.origin}: ${inner?.message ?? message}. Check the token address and the network.`, { cause });
    });
    const answer = await response.json().catch(() => ({})) as { access_token?: unknown; expires_in?: unknown; error?: unknown; error_description?: unknown };
    if (response.status >= 500 || response.status === 429) throw new TicklakeError("KAFKA_UNREACHABLE", `The token server ${endpoint.origin} answers ${response.status}.`);
    if (!response.ok) {
      const reason = [answer.error, answer.error_description].filter((part) => typeof part === "string").join(": ") || `status ${response.status}`;
      throw new TicklakeError("KAFKA_DENIED", `The token server ${endpoint.origin} refuses client ${clientId}: ${reason}. Check the client's id, secret and scope.`);
    }
    if (typeof answer.access_token !== "string" || answer.access_token === "") throw new TicklakeError("KAFKA_DENIED", `The answer of ${endpoint.origin} holds no access_token. Check that it is the token endpoint.`);
    const life = Number(answer.expires_in);
    kept = { token: answer.access_token, until: now() + (life > 0 ? life : UNKNOWN_LIFE_S) * 800 };
    return answer.access_token;
  }

  return () => {
    if (kept && now() < kept.until) return Promise.resolve(kept.token);
    asking ??= ask().finally(() => { asking = undefined; });
    return asking;
  };
}

function parseEndpoint(given: string): URL {
  let url: URL;
  try { url = new URL(given); } catch (cause) { throw new TicklakeError("CONFIG_INVALID", `The token address "${given}" is no URL. Enter the token endpoint of your identity provider: https://...`, { cause }); }
  const local = ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && local)) throw new TicklakeError("CONFIG_INVALID", `The token address ${url.origin} is not encrypted, and a secret is sent to it. Use https.`);
  if (url.username !== "" || url.password !== "") throw new TicklakeError("CONFIG_INVALID", "The token address holds a user name. Enter the client's id and secret as user name and password instead.");
  return url;
}

function formEncode(value: string): string {
  return new URLSearchParams({ v: value }).toString().slice(2);
}
