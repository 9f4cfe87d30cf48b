import { TicklakeError, type ErrorCode } from "../errors";

/**
 * What the stream's errors mean and what a client does about each
 * (https://docs.alpaca.markets/docs/streaming-market-data#errors).
 *
 * - `ignore`
 * - `request`: the subscribe or unsubscribe under way was refused, the session goes on with what is subscribed
 * - `fatal`: nothing is tried again before the next deploy
 * - `start-fatal`: `fatal` for the first subscription of a node, `request` later
 * - `reconnect`: a new session after a back-off
 * - `reauthenticate`: log in again on the same socket: usually it is the dead connection of ours that the server has not noticed
 */
export type ErrorAction = "ignore" | "request" | "fatal" | "start-fatal" | "reconnect" | "reauthenticate";

interface Meaning { readonly action: ErrorAction; readonly code: ErrorCode; readonly text: string }

const MEANINGS: Readonly<Record<number, Meaning>> = {
  400: { action: "request", code: "ALPACA_REFUSED", text: "Alpaca does not understand the subscription: usually a symbol is wrong" },
  401: { action: "reconnect", code: "ALPACA_UNREACHABLE", text: "Alpaca says that the session is not logged in" },
  402: { action: "fatal", code: "ALPACA_DENIED", text: "Alpaca refuses the key. Enter key and secret of the account in alpaca-account, or set APCA_API_KEY_ID and APCA_API_SECRET_KEY, and deploy" },
  403: { action: "ignore", code: "ALPACA_UNREACHABLE", text: "already logged in" },
  404: { action: "reconnect", code: "ALPACA_UNREACHABLE", text: "Alpaca did not receive the login in time" },
  405: { action: "request", code: "ALPACA_LIMIT", text: "The plan of the account does not allow so many symbols" },
  406: { action: "reauthenticate", code: "ALPACA_LIMIT", text: "The account has another connection to this feed, and its plan allows no more" },
  407: { action: "reconnect", code: "ALPACA_UNREACHABLE", text: "Alpaca ended the connection because messages were not read fast enough" },
  408: { action: "fatal", code: "ALPACA_DENIED", text: "The account may not use version 2 of the stream. Enable it for the account" },
  409: { action: "fatal", code: "ALPACA_DENIED", text: "The plan of the account does not include this feed. Choose another one in alpaca-account (iex is free)" },
  410: { action: "start-fatal", code: "ALPACA_REFUSED", text: "This feed does not have one of the channels" },
  411: { action: "fatal", code: "ALPACA_DENIED", text: "The key lacks the right to read market data. Use another key" },
  500: { action: "reconnect", code: "ALPACA_UNREACHABLE", text: "Alpaca reports an internal error" },
};

/** What an error message of the stream asks for. Codes that nobody knows yet end the session, which begins anew. */
export function meaningOf(code: unknown): Meaning {
  return MEANINGS[Number(code)] ?? { action: "reconnect", code: "ALPACA_UNREACHABLE", text: "Alpaca reports an error" };
}

/**
 * An error message of the stream as an error of ours.
 *
 * @param about the feed, or the symbols that were refused
 */
export function streamError(code: unknown, msg: unknown, about = ""): TicklakeError {
  const { code: ours, text } = meaningOf(code);
  const said = typeof msg === "string" && msg !== "" ? `: "${msg.slice(0, 120)}"` : "";
  return new TicklakeError(ours, `${text}${about === "" ? "" : ` (${about})`}. Alpaca's error ${String(code)}${said}.`, { details: { alpacaCode: code } });
}

/** What a refused upgrade to a WebSocket (an HTTP status) asks for. `patient`: a long back-off, for we came too often. */
export function upgradeAction(status: number | undefined): "fatal" | "patient" | "retry" {
  if (status === undefined || status >= 500 || status === 408 || status === 425) return "retry";
  return status === 429 ? "patient" : "fatal";
}

/** A refused upgrade as an error. */
export function upgradeError(status: number, url: string): TicklakeError {
  if (status === 401 || status === 403) return new TicklakeError("ALPACA_DENIED", `${url} refuses the connection with HTTP ${status}. Check key and secret in alpaca-account, and that the plan includes this feed.`);
  if (status === 429) return new TicklakeError("ALPACA_UNREACHABLE", `${url} answers HTTP 429: too many connections were opened in a short time.`);
  if (upgradeAction(status) === "fatal") return new TicklakeError("ALPACA_REFUSED", `${url} answers HTTP ${status}: there is no such feed. Check feed and address in alpaca-account.`);
  return new TicklakeError("ALPACA_UNREACHABLE", `${url} answers HTTP ${status}.`);
}
