/**
 * A proxy before a real REST catalog, for what that one cannot do: tokens, keys for the storage, a prefix, ETags, and every kind of trouble.
 */
import { randomBytes } from "node:crypto";
import { createServer, request as forward, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { parseJson, stringifyJson } from "../../lib/iceberg/json";

export interface ProxiedCall {
  readonly method: string;
  /** As the catalog sees it, without prefix and query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** An answer instead of the catalog's. */
export interface Canned { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string }

/**
 * What becomes of a call:
 * - pass
 * - an answer of our own: the catalog never sees the call
 * - `{ after }`: the catalog does it, the client gets this answer
 * - cut: the connection ends before the catalog sees it; cut-after: it ends after the catalog has done it
 * - hang: nobody answers; hang-after: the catalog has done it, and nobody answers
 */
export type Verdict = "pass" | "cut" | "cut-after" | "hang" | "hang-after" | Canned | { readonly after: Canned };

export interface RestProxy {
  readonly uri: string;
  readonly calls: readonly ProxiedCall[];
  /** Asked for every call that may pass. May wait. */
  judge: (call: ProxiedCall) => Verdict | Promise<Verdict>;
  /** Changes the JSON of an answer. */
  edit: (call: ProxiedCall, json: Record<string, unknown>) => void;
  /** Answers of tables get an ETag, and If-None-Match is obeyed. */
  etags: boolean;
  /** OAuth2: who may have tokens, and how long they live. Without it nobody is asked. */
  oauth: { credential: string; lifeSeconds: number } | undefined;
  /** Tokens given so far. */
  readonly tokens: readonly string[];
  /** Tokens that are not taken (any more), with this status. */
  revoke(status?: 401 | 419): void;
  /** Calls of a kind: `POST /v1/namespaces/db/tables/t`. */
  count(method: string, path: RegExp): number;
  stop(): Promise<void>;
}

/**
 * @param target address of the catalog
 * @param prefix told by the configuration, and demanded from then on
 */
export async function restProxy(target: string, { prefix }: { prefix?: string } = {}): Promise<RestProxy> {
  const proxy = new Proxy(target, prefix);
  await proxy.listen();
  return proxy;
}

const error = (status: number, type: string, message: string): Canned => ({ status, body: JSON.stringify({ error: { message, type, code: status } }) });

class Proxy implements RestProxy {
  readonly calls: ProxiedCall[] = [];
  judge: RestProxy["judge"] = () => "pass";
  edit: RestProxy["edit"] = () => undefined;
  etags = false;
  oauth: RestProxy["oauth"];
  readonly tokens: string[] = [];
  readonly #valid = new Map<string, number>();
  #refusal: 401 | 419 = 401;
  readonly #server = createServer((incoming, response) => { void this.#serve(incoming, response).catch((failure: unknown) => { response.destroy(failure as Error); }); });

  constructor(private readonly target: string, private readonly prefix: string | undefined) {}

  get uri(): string { return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`; }

  listen(): Promise<void> { return new Promise((done) => this.#server.listen(0, "127.0.0.1", done)); }

  revoke(status: 401 | 419 = 401): void {
    this.#valid.clear();
    this.#refusal = status;
  }

  count(method: string, path: RegExp): number { return this.calls.filter((call) => call.method === method && path.test(call.path)).length; }

  async stop(): Promise<void> {
    const closed = new Promise((done) => this.#server.close(done));
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(incoming.url!, "http://proxy");
    const body = await textOf(incoming);
    const headers = Object.fromEntries(Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]));
    const prefixed = this.prefix === undefined || !url.pathname.startsWith(`/v1/${this.prefix}/`) ? url.pathname : `/v1/${url.pathname.slice(this.prefix.length + 5)}`;
    const call: ProxiedCall = { method: incoming.method!, path: prefixed, query: url.searchParams, headers, body };
    this.calls.push(call);
    if (this.oauth && call.path === "/v1/oauth/tokens") return this.#answer(response, this.#token(new URLSearchParams(body)));
    if (this.oauth && !this.#admits(headers["authorization"])) return this.#answer(response, error(this.#refusal, "NotAuthorizedException", "The token is not valid"));
    if (this.prefix !== undefined && prefixed === url.pathname && url.pathname !== "/v1/config") return this.#answer(response, error(404, "NoSuchPrefix", "Where is the prefix?"));
    const verdict = await this.judge(call);
    if (verdict === "hang") return;
    if (verdict === "cut") { incoming.socket.destroy(); return; }
    if (typeof verdict === "object" && "status" in verdict) return this.#answer(response, verdict);
    const answer = await this.#forward(call);
    if (verdict === "hang-after") return;
    if (verdict === "cut-after") { incoming.socket.destroy(); return; }
    this.#answer(response, typeof verdict === "object" ? verdict.after : this.#edited(call, answer));
  }

  #edited(call: ProxiedCall, answer: Canned): Canned {
    if (answer.status !== 200 || !answer.body) return answer;
    const json = parseJson(answer.body) as Record<string, unknown>;
    if (call.path === "/v1/config" && this.prefix !== undefined) json["overrides"] = { ...json["overrides"] as object, prefix: this.prefix };
    this.edit(call, json);
    const location = json["metadata-location"];
    const etag = this.etags && call.method === "GET" && location !== undefined ? `"${String(location)}"` : undefined;
    if (etag && call.headers["if-none-match"] === etag) return { status: 304, headers: { etag } };
    const body = stringifyJson(json);
    return { status: 200, body, ...(etag ? { headers: { etag } } : {}) };
  }

  #token(form: URLSearchParams): Canned {
    if (`${form.get("client_id") ?? ""}:${form.get("client_secret") ?? ""}` !== this.oauth!.credential) return { status: 401, body: JSON.stringify({ error: "invalid_client", error_description: "Unknown client" }) };
    const token = randomBytes(12).toString("hex");
    this.tokens.push(token);
    this.#valid.set(token, Date.now() + this.oauth!.lifeSeconds * 1000);
    return { status: 200, body: JSON.stringify({ access_token: token, token_type: "bearer", expires_in: this.oauth!.lifeSeconds, issued_token_type: "urn:ietf:params:oauth:token-type:access_token" }) };
  }

  #admits(authorization: string | undefined): boolean {
    return (this.#valid.get(authorization?.replace(/^Bearer /, "") ?? "") ?? 0) > Date.now();
  }

  #answer(response: ServerResponse, { status, headers, body }: Canned): void {
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(body ?? "");
  }

  #forward({ method, path, query, body, headers }: ProxiedCall): Promise<Canned> {
    return new Promise((done, fail) => {
      const text = query.toString();
      const outgoing = forward(`${this.target}${path}${text === "" ? "" : `?${text}`}`, { method, headers: { ...(headers["content-type"] ? { "content-type": headers["content-type"] } : {}), "content-length": String(Buffer.byteLength(body)) } }, (answer) => {
        textOf(answer).then((received) => done({ status: answer.statusCode!, body: received }), fail);
      });
      outgoing.on("error", fail).end(body);
    });
  }
}

async function textOf(stream: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}
