import { TicklakeError } from "../errors";

/**
 * JSON text to values without rounding a whole number: where one is beyond 2^53 it becomes a string of its digits.
 * Everything else is as JSON.parse has it.
 */

const LONG_DIGITS = /\d{16}/;
/** A whole number of 16 digits or more that stands alone: no part of a fraction, no exponent. */
const LONG_INTEGER = /(?<![\d.eE+-])-?[1-9]\d{15,}(?![\d.eE])/g;

/** @throws SyntaxError as JSON.parse does */
export function parseJson(text: string): unknown {
  const start = text.charCodeAt(0) === 0xfeff ? 1 : 0; // a byte order mark
  const json = start === 0 ? text : text.slice(start);
  return JSON.parse(LONG_DIGITS.test(json) ? quoteLongIntegers(json) : json);
}

/** Puts quotes around whole numbers that a JavaScript number cannot hold, outside of strings. */
function quoteLongIntegers(json: string): string {
  let out = "";
  let at = 0;
  for (;;) {
    const begin = json.indexOf('"', at);
    const end = begin < 0 ? json.length : begin;
    const between = end - at > 15 ? json.slice(at, end).replace(LONG_INTEGER, quoteUnsafe) : json.slice(at, end);
    if (begin < 0) return out + between;
    const close = endOfString(json, begin);
    if (close < 0) return json; // not terminated: JSON.parse says so, with the right position
    out += between + json.slice(begin, close + 1);
    at = close + 1;
  }
}

function quoteUnsafe(digits: string): string {
  return Number.isSafeInteger(Number(digits)) ? digits : `"${digits}"`;
}

/** Index of the quote that ends the string that begins at `begin`; -1 without one. */
function endOfString(json: string, begin: number): number {
  for (let at = json.indexOf('"', begin + 1); at >= 0; at = json.indexOf('"', at + 1)) {
    let backslashes = 0;
    while (json.charCodeAt(at - 1 - backslashes) === 0x5c) backslashes++;
    if (backslashes % 2 === 0) return at;
  }
  return -1;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Bytes to text. @throws TicklakeError RECORD_INVALID when they are not UTF-8 (nothing is replaced silently) */
export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new TicklakeError("RECORD_INVALID", "the bytes are not UTF-8 text. Send JSON in UTF-8.", { cause });
  }
}

/** Whether a value is nested deeper than `limit` lists or objects (a circular one is); looks at no more than needed. */
export function isDeeper(value: unknown, limit: number): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    const next: unknown[] = [];
    for (const item of level) {
      if (typeof item !== "object" || item === null || ArrayBuffer.isView(item)) continue;
      if (depth >= limit) return true;
      for (const child of Object.values(item)) if (typeof child === "object" && child !== null) next.push(child);
    }
    level = next;
  }
  return false;
}
