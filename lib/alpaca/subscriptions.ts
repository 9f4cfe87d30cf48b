import { TicklakeError } from "../errors";
import { parseSymbols } from "../units";
import { CHANNELS, type Channel, type Subscriptions } from "./types";

/** The same symbols in several channels. */
export function subscriptionsOf(channels: readonly Channel[], symbols: readonly string[]): Subscriptions {
  return symbols.length === 0 ? {} : Object.fromEntries(channels.map((channel) => [channel, symbols]));
}

/** `a` and what is in `b`. */
export function union(a: Subscriptions, b: Subscriptions): Subscriptions {
  return combine(a, b, (x, y) => [...new Set([...x, ...y])]);
}

/** What is in `a` and not in `b`. */
export function without(a: Subscriptions, b: Subscriptions): Subscriptions {
  return combine(a, b, (x, y) => x.filter((symbol) => !y.includes(symbol)));
}

function combine(a: Subscriptions, b: Subscriptions, make: (a: readonly string[], b: readonly string[]) => string[]): Subscriptions {
  const out: Subscriptions = {};
  for (const channel of CHANNELS) {
    const symbols = make(a[channel] ?? [], b[channel] ?? []);
    if (symbols.length > 0) out[channel] = symbols;
  }
  return out;
}

export function isEmpty(subscriptions: Subscriptions): boolean { return Object.keys(subscriptions).length === 0; }

/** All symbols, whatever their channel. */
export function symbolsIn(subscriptions: Subscriptions): string[] { return [...new Set(Object.values(subscriptions).flat())]; }

/** The list that a `subscription` message has: always all that is in force. */
export function inForce(message: Readonly<Record<string, unknown>>): Subscriptions {
  const out: Subscriptions = {};
  for (const channel of CHANNELS) {
    const list = message[channel];
    if (Array.isArray(list) && list.length > 0) out[channel] = list.filter((symbol): symbol is string => typeof symbol === "string");
  }
  return out;
}

/** Names symbols in messages: the first ones, and how many more. */
export function named(symbols: readonly string[], most = 10): string {
  return symbols.length <= most ? symbols.join(", ") : `${symbols.slice(0, most).join(", ")} and ${symbols.length - most} more`;
}

/**
 * Channels from a list or text.
 *
 * @throws TicklakeError with `code` naming the one that is not known
 */
export function parseChannels(value: unknown, code: "CONFIG_INVALID" | "CONTROL_INVALID" = "CONFIG_INVALID"): Channel[] {
  const names = parseSymbols(value);
  return names.map((name) => {
    const channel = CHANNELS.find((known) => known.toLowerCase() === name.toLowerCase());
    if (channel) return channel;
    const along = /^(corrections|cancelErrors)$/i.test(name) ? " Corrections and cancels come with trades by themselves." : "";
    throw new TicklakeError(code, `channels: "${name}" is no channel. Choose among ${CHANNELS.join(", ")}.${along}`);
  });
}

/**
 * What a message asks to subscribe or unsubscribe: symbols for the channels of the node, or `{trades: [...], quotes: [...]}`.
 *
 * @throws TicklakeError CONTROL_INVALID
 */
export function parseChange(value: unknown, channels: readonly Channel[]): Subscriptions {
  if (value === undefined || value === null) return {};
  if (typeof value === "string" || Array.isArray(value)) return subscriptionsOf(channels, parseSymbols(value));
  if (typeof value !== "object") throw new TicklakeError("CONTROL_INVALID", 'subscribe and unsubscribe take symbols: ["AAPL", "MSFT"], or symbols per channel: {trades: ["AAPL"], quotes: ["AAPL"]}.');
  let out: Subscriptions = {};
  for (const [name, symbols] of Object.entries(value)) out = union(out, subscriptionsOf(parseChannels(name, "CONTROL_INVALID"), parseSymbols(symbols)));
  return out;
}
