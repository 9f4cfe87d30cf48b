import { TicklakeError } from "../errors";
import { BodyTooLarge, bodyText } from "../http-body";
import { withoutSecrets } from "../redact";
import { backoffMs } from "../retry";
import { parseJson } from "../trades/explode-json";
import type { Account } from "./account";
import type { AlpacaClock } from "./types";

/** A page of historical trades, grouped by symbol as Alpaca sends them. */
export interface HistoryPage {
  readonly trades: Readonly<Record<string, readonly Record<string, unknown>[]>>;
  readonly next: string | undefined;
}

export interface HistoryRequest {
  readonly symbols: readonly string[];
  /** Unix ms: from inclusive, to exclusive. */
  readonly from: number;
  readonly to: number;
  readonly pageToken?: string | undefined;
}

/** Trades of a page; the most that Alpaca gives at once. */
const LIMIT = 10_000;
/** Beyond any page of LIMIT trades. */
const MAX_ANSWER_BYTES = 32 * 1_048_576;
const TIMEOUT_MS = 30_000;

/** Keeps requests below so many a minute: they are let through one by one, each at least its share of a minute after the one before, but for a small reserve. */
export class RateLimit {
  private next = 0;

  /** @param perMinute Alpaca's free plan allows 200 */
  constructor(private readonly perMinute: number, private readonly reserve = 10) {}

  /** Ms to wait before the next request; it counts as made. */
  take(now: number): number {
    const share = 60_000 / this.perMinute;
    this.next = Math.max(this.next, now - share * this.reserve) + share;
    return Math.max(0, this.next - now);
  }

  /** The server says that it was too much: nothing before so many ms have passed. */
  pause(now: number, ms: number): void { this.next = Math.max(this.next, now + ms); }
}

/**
 * Historical trades over REST (https://docs.alpaca.markets/reference/stocktrades-1): page by page, within the rate limit. An outage,
 * a 429 or a 5xx is tried again without end.
 */
export class History {
  /** Requests made. */
  requests = 0;

  constructor(
    private readonly account: Pick<Account, "restUrl" | "restFeed" | "key" | "secret">,
    private readonly limit: RateLimit,
    private readonly clock: AlpacaClock,
    private readonly warn: (text: string) => void,
    private readonly fetchImpl: typeof fetch = fetch,
  ) {}

  /** @throws TicklakeError ALPACA_DENIED, ALPACA_REFUSED; STOPPED when aborted */
  async page(request: HistoryRequest, signal: AbortSignal): Promise<HistoryPage> {
    for (let attempt = 1; ; attempt++) {
      await this.wait(this.limit.take(this.clock.now()), signal);
      let wait: number | undefined;
      let problem: string;
      try {
        const response = await this.get(request, signal);
        if (response.ok) return pageOf(await this.text(response));
        wait = this.judge(response, await this.text(response).catch(() => ""));
        problem = `HTTP ${response.status}`;
      } catch (error) {
        if (error instanceof TicklakeError) throw error;
        if (signal.aborted) throw stopped();
        problem = reasonOf(error);
      }
      const ms = wait ?? backoffMs(attempt, { random: () => this.clock.random() });
      if (attempt === 3) this.warn(`Historical trades cannot be fetched (${problem}). It is tried again.`);
      await this.wait(ms, signal);
    }
  }

  private get({ symbols, from, to, pageToken }: HistoryRequest, signal: AbortSignal): Promise<Response> {
    const { restUrl, restFeed, key, secret } = this.account;
    const query = new URLSearchParams({ symbols: symbols.join(","), start: iso(from, false), end: iso(to - 1, true), limit: String(LIMIT), sort: "asc" });
    if (restFeed !== undefined) query.set("feed", restFeed);
    if (pageToken !== undefined) query.set("page_token", pageToken);
    this.requests++;
    return this.fetchImpl(`${restUrl}/v2/stocks/trades?${query.toString()}`, {
      headers: { "APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret, accept: "application/json" },
      // Key and secret belong to this address only.
      redirect: "error", signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
  }

  private async text(response: Response): Promise<string> {
    try {
      return await bodyText(response, MAX_ANSWER_BYTES);
    } catch (error) {
      if (!(error instanceof BodyTooLarge)) throw error;
      throw new TicklakeError("ALPACA_REFUSED", `Historical trades cannot be fetched: ${error.message}. Check the account's address for them.`, { cause: error });
    }
  }

  /** Ms to wait when it may be tried again (undefined: the usual back-off). @throws when it is no use */
  private judge({ status, headers }: Response, body: string): number | undefined {
    if (status === 429) {
      const after = Number(headers.get("retry-after")) * 1000 || (Number(headers.get("x-ratelimit-reset")) * 1000 - this.clock.now());
      const ms = after > 0 ? Math.min(after, 120_000) : undefined;
      if (ms !== undefined) this.limit.pause(this.clock.now(), ms);
      return ms;
    }
    if (status >= 500 || status === 408) return undefined;
    const said = messageOf(withoutSecrets(body, [this.account.secret, this.account.key]));
    if (status === 401 || status === 403) throw new TicklakeError("ALPACA_DENIED", `Alpaca refuses historical trades (HTTP ${status}${said}). Check key and secret, and that the plan includes this feed and these times.`);
    throw new TicklakeError("ALPACA_REFUSED", `Alpaca refuses the request for historical trades (HTTP ${status}${said}). Check symbols, start and end.`);
  }

  private async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (ms > 0) await sleep(this.clock, ms, signal);
    if (signal.aborted) throw stopped();
  }
}

/** Resolves after `ms`, or at once when aborted. */
export function sleep(clock: AlpacaClock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) { resolve(); return; }
    const end = (): void => { cancel(); signal.removeEventListener("abort", end); resolve(); };
    const cancel = clock.after(ms, end);
    signal.addEventListener("abort", end, { once: true });
  });
}

export const stopped = (): TicklakeError => new TicklakeError("STOPPED", "The node stopped before all historical trades were fetched.");

/** Both ends of a request are inclusive, and times have nine digits. */
function iso(ms: number, last: boolean): string { return `${new Date(ms).toISOString().slice(0, -1)}${last ? "999999" : "000000"}Z`; }

function pageOf(text: string): HistoryPage {
  const body = parseJson(text) as { trades?: HistoryPage["trades"] | null; next_page_token?: unknown } | null;
  if (typeof body !== "object" || body === null || (body.trades != null && typeof body.trades !== "object")) throw new Error("the answer is no page of trades");
  const next = body.next_page_token;
  return { trades: body.trades ?? {}, next: typeof next === "string" && next !== "" ? next : undefined };
}

function messageOf(body: string): string {
  try {
    const { message } = JSON.parse(body) as { message?: unknown };
    return typeof message === "string" ? `: ${message.slice(0, 200)}` : "";
  } catch { return ""; }
}

/** What Node's fetch hides behind "fetch failed". */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error && cause.message !== "" ? cause.message : message;
}
