/**
 * From the settings of an account to what its stream and its history are opened with. Pure.
 */
import { TicklakeError } from "../errors";

export const FEEDS = ["iex", "sip", "delayed_sip", "test", "custom"] as const;
export type FeedName = (typeof FEEDS)[number];

/** What a user sets of an account. */
export interface AccountSettings { readonly feed?: unknown; readonly url?: unknown; readonly restUrl?: unknown }
/** Secrets: never log them. */
export interface AccountCredentials { readonly key?: unknown; readonly secret?: unknown }

/** When a feed has trades: by the hours of the New York exchanges, or always. `delayMs`: how far it is behind them. */
export interface FeedHours { readonly hours: "exchange" | "always"; readonly delayMs: number }

/** An account, checked. Holds secrets: never log it whole. */
export interface Account extends FeedHours {
  readonly feed: FeedName;
  /** Of the stream. */
  readonly url: string;
  /** Of the history, without a slash at its end. */
  readonly restUrl: string;
  /** What the history calls the feed; undefined leaves the choice to Alpaca. */
  readonly restFeed?: string;
  /** Whether the history of stocks has what the feed brings: not that of crypto, nor the invented trades of the test feed. */
  readonly hasHistory: boolean;
  readonly key: string;
  readonly secret: string;
  /** How people call it. */
  readonly label: string;
}

export const REST_URL = "https://data.alpaca.markets";
/** Alpaca's streams of stocks; the feed's name follows. */
export const STREAM = "wss://stream.data.alpaca.markets/v2/";
const QUARTER_HOUR = 15 * 60_000;

const invalid = (message: string): TicklakeError => new TicklakeError("CONFIG_INVALID", message);
const text = (value: unknown): string => (typeof value === "string" ? value.trim() : "");

/**
 * Reads an account. Where key or secret is empty, APCA_API_KEY_ID and APCA_API_SECRET_KEY of the environment serve, or ALPACA_KEY and ALPACA_SECRET.
 *
 * @throws TicklakeError CONFIG_INVALID saying what is missing (then also in `details.missing`) or wrong; never with a secret
 */
export function parseAccount(settings: AccountSettings, credentials: AccountCredentials, variable: (name: string) => string | undefined): Account {
  const feed = (text(settings.feed) || "iex").toLowerCase() as FeedName;
  if (!FEEDS.includes(feed)) throw invalid(`Feed "${feed}" is not known. Choose one of ${FEEDS.join(", ")}.`);
  const url = feed === "custom" ? address(settings.url, "stream", "wss:", "ws:") : STREAM + feed;
  const restUrl = address(text(settings.restUrl) || REST_URL, "history", "https:", "http:").replace(/\/+$/, "");
  const key = given(credentials.key) || variable("APCA_API_KEY_ID") || variable("ALPACA_KEY") || "";
  const secret = given(credentials.secret) || variable("APCA_API_SECRET_KEY") || variable("ALPACA_SECRET") || "";
  if (key === "" || secret === "") {
    const missing = key === "" ? "key" : "secret";
    throw new TicklakeError("CONFIG_INVALID", `The account has no ${missing}. Enter it in alpaca-account, or set the environment variables APCA_API_KEY_ID and APCA_API_SECRET_KEY for Node-RED.`, { details: { missing } });
  }
  // They travel in HTTP headers, too.
  if (!/^[\x21-\x7e]+$/.test(key) || !/^[\x21-\x7e]+$/.test(secret)) throw invalid("Key or secret of the account holds a blank or a character that no key has. Copy them again.");
  const path = new URL(url).pathname.split("/").at(-1) ?? "";
  const restFeed = restFeedOf(feed === "custom" ? path : feed);
  return { feed, url, restUrl, key, secret, hasHistory: feed !== "test" && !/\/crypto(\/|$)/.test(new URL(url).pathname), label: feed === "custom" ? new URL(url).host : feed, ...(restFeed === undefined ? {} : { restFeed }), ...hoursOf(new URL(url).pathname) };
}

/** A variable of a shipped flow that is not set counts as empty. */
function given(value: unknown): string {
  const found = text(value);
  return /^\$\{[^}]+\}$/.test(found) ? "" : found;
}

/** An address with encryption, or without on this machine only: key and secret go there. */
function address(value: unknown, what: string, safe: string, plain: string): string {
  const given = text(value);
  let url: URL;
  try {
    url = new URL(given);
  } catch {
    throw invalid(`The address of the ${what} is ${given === "" ? "missing" : "no URL"}. Enter it in the form ${safe}//host/path.`);
  }
  if (url.username !== "" || url.password !== "") throw invalid(`The address of the ${what} must not hold a user name or password: enter key and secret in their fields.`);
  if (url.protocol === plain && !isLoopback(url.hostname)) throw invalid(`The address of the ${what} begins with ${plain}// (not encrypted), which is allowed for this machine only: key and secret are sent there. Use ${safe}//.`);
  if (url.protocol !== safe && url.protocol !== plain) throw invalid(`The address of the ${what} must begin with ${safe}//.`);
  return url.href;
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}

/** The history knows no delayed feed: its trades are those of sip. */
function restFeedOf(feed: string): string | undefined {
  if (feed === "delayed_sip") return "sip";
  return ["iex", "sip", "boats", "overnight", "otc"].includes(feed) ? feed : undefined;
}

/** Crypto and the test feed never rest. The overnight feeds have hours of their own, in which silence says nothing. */
function hoursOf(path: string): FeedHours {
  if (/\/(test|crypto)(\/|$)/.test(path)) return { hours: "always", delayMs: 0 };
  return { hours: "exchange", delayMs: path.endsWith("delayed_sip") ? QUARTER_HOUR : 0 };
}
