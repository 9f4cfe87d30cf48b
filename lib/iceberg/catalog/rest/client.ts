/**
 * HTTP as a REST catalog speaks it: requests with their proof, repeated as far as that can do no harm.
 */
import { bodyText } from "../../../http-body";
import { backoffMs, pause } from "../../../retry";
import type { Authorizer } from "./auth";
import { RestFailure } from "./failure";

export interface RestClientOptions {
  /** Everything before `/v1`, without a slash at its end. */
  readonly uri: string;
  readonly auth: Authorizer;
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** How long an answer may take, ms (60 s). */
  readonly timeoutMs?: number;
  /** How often a request is sent at most (4). */
  readonly attempts?: number;
  readonly fetch?: typeof fetch;
  readonly pause?: (ms: number) => Promise<void>;
}

export interface RestRequest {
  readonly method: "GET" | "HEAD" | "POST" | "DELETE";
  /** After the address: `/v1/config`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  /** JSON text. */
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent once: a second attempt could meet the work of the first one. Repeated all the same is what the server has not looked at (401, 419, 429). */
  readonly once?: boolean;
  /** For this request instead of the catalog's: a table's own token. */
  readonly auth?: Authorizer;
}

export interface RestAnswer { readonly status: number; readonly headers: Headers; readonly text: string }

const TIMEOUT_MS = 60_000;
const ATTEMPTS = 4;
/** Metadata of tables with tens of thousands of snapshots stays below it. */
const MAX_ANSWER_BYTES = 256 * 1_048_576;
const LONGEST_WAIT_MS = 30_000;
const REDIRECTS = 5;

/** One server. */
export class RestClient {
  readonly #pause: (ms: number) => Promise<void>;

  constructor(private readonly options: RestClientOptions) {
    this.#pause = options.pause ?? pause;
  }

  get uri(): string { return this.options.uri; }

  /**
   * @returns the answer of a request that succeeded, or 304
   * @throws RestFailure
   */
  async send(request: RestRequest): Promise<RestAnswer> {
    let renewed = false;
    for (let attempt = 1; ; attempt++) {
      let proof: Record<string, string> | undefined;
      try {
        return await this.#attempt(request, (headers) => { proof = headers; });
      } catch (caught) {
        const failure = RestFailure.of(caught);
        const auth = request.auth ?? this.options.auth;
        if (!renewed && proof && (failure.status === 401 || failure.status === 419) && auth.refused(proof)) {
          renewed = true;
          continue;
        }
        if (attempt >= (this.options.attempts ?? ATTEMPTS) || !(request.once ? failure.status === 429 : failure.repeatable)) throw failure;
        await this.#pause(waitMs(failure.retryAfterMs, attempt));
      }
    }
  }

  async #attempt(request: RestRequest, proved: (headers: Record<string, string>) => void): Promise<RestAnswer> {
    let url = this.#url(request);
    const signal = AbortSignal.timeout(this.options.timeoutMs ?? TIMEOUT_MS);
    for (let redirects = 0; ; redirects++) {
      const plain = { accept: "application/json", ...(request.body === undefined ? {} : { "content-type": "application/json" }), ...this.options.headers, ...request.headers };
      const auth = request.auth ?? this.options.auth;
      const proof = await auth.headers({ method: request.method, url, headers: plain, ...(request.body === undefined ? {} : { body: request.body }) });
      proved(proof);
      const answer = await this.#exchange(request, url, { ...plain, ...proof }, signal);
      if (answer.status < 300 || answer.status === 304) return answer;
      const target = REDIRECT.has(answer.status) ? redirectTarget(url, answer.headers) : undefined;
      if (!target) throw RestFailure.answered(answer, this.#secrets(auth), proof);
      // Proofs are for one host: another one must be entered by somebody who trusts it.
      if (target.origin !== url.origin || redirects >= REDIRECTS) throw RestFailure.redirected(answer.status, url, target);
      url = target;
    }
  }

  async #exchange(request: RestRequest, url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<RestAnswer> {
    try {
      const response = await (this.options.fetch ?? fetch)(url, { method: request.method, headers, redirect: "manual", signal, ...(request.body === undefined ? {} : { body: request.body }) });
      return { status: response.status, headers: response.headers, text: await bodyText(response, MAX_ANSWER_BYTES) };
    } catch (error) {
      throw RestFailure.unanswered(error, url);
    }
  }

  #url({ path, query = {} }: RestRequest): URL {
    const url = new URL(this.options.uri + path);
    for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value);
    return url;
  }

  #secrets(auth: Authorizer): readonly string[] {
    return [...this.options.auth.secrets, ...auth.secrets];
  }
}

/** Those that keep method and body; after the others a POST would become a GET. */
const REDIRECT: ReadonlySet<number> = new Set([301, 302, 307, 308]);

function redirectTarget(from: URL, headers: Headers): URL | undefined {
  const location = headers.get("location");
  return location !== null && URL.canParse(location, from.href) ? new URL(location, from.href) : undefined;
}

/** What the server asks for, and a little more, so that those it turned away do not come back in one moment. */
function waitMs(asked: number | undefined, attempt: number): number {
  const own = backoffMs(attempt, { firstMs: 200, maxMs: 5_000 });
  return asked === undefined ? own : Math.min(LONGEST_WAIT_MS, asked) + own;
}
