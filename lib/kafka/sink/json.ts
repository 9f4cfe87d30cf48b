/**
 * Values as JSON for Kafka. As JSON.stringify makes it, but whole numbers keep all their digits: bigints are bare numbers, and so are the ids of
 * trades, which stand in messages as text beyond 2^53. Pure.
 */
import { TicklakeError } from "../../errors";

const LONG_ID = /^(?:[1-9]\d{15,19}|-[1-9]\d{15,19})$/;

/**
 * One value as JSON.
 *
 * @throws TicklakeError RECORD_INVALID for what no JSON can hold (circular, nested too deep)
 */
export function jsonOf(value: unknown): string {
  try {
    const id = longTradeId(value);
    // `"i":"<digits>"` cannot stand within a text: quotes are escaped there.
    if (id !== undefined) return bareId(JSON.stringify(value), id) ?? exactly(value);
    if (Array.isArray(value) && value.some((item) => longTradeId(item) !== undefined)) return `[${value.map(jsonOf).join(",")}]`;
    return (JSON.stringify(value) as string | undefined) ?? "null";
  } catch (caught) {
    if (caught instanceof TypeError && /BigInt/i.test(caught.message)) return exactly(value);
    throw unwritable(caught);
  }
}

interface Id { readonly name: "i" | "id"; readonly digits: string }

/** The id of a trade (documented or readable names) that is text of digits which a number cannot hold. */
function longTradeId(value: unknown): Id | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { T, S, i, type, symbol, id } = value as Record<string, unknown>;
  if (T === "t") return typeof i === "string" && typeof S === "string" && LONG_ID.test(i) ? { name: "i", digits: i } : undefined;
  return type === "t" && typeof id === "string" && typeof symbol === "string" && LONG_ID.test(id) ? { name: "id", digits: id } : undefined;
}

/** Takes the quotes off the id; undefined where it is not found exactly once. */
function bareId(json: string, { name, digits }: Id): string | undefined {
  const quoted = `"${name}":"${digits}"`;
  const at = json.indexOf(quoted);
  if (at < 0 || json.includes(quoted, at + 1)) return undefined;
  return `${json.slice(0, at)}"${name}":${digits}${json.slice(at + quoted.length)}`;
}

/** JSON.stringify by hand, for values with bigints. */
function exactly(value: unknown): string {
  const above = new Set<object>();
  const write = (holder: Record<string, unknown>, key: string): string | undefined => {
    let item = holder[key];
    if (typeof item === "bigint") return String(item);
    if (typeof item === "object" && item !== null && typeof (item as { toJSON?: unknown }).toJSON === "function") item = (item as { toJSON(key: string): unknown }).toJSON(key);
    if (typeof item === "bigint") return String(item);
    if (typeof item !== "object" || item === null || item instanceof Number || item instanceof String || item instanceof Boolean) return JSON.stringify(item) as string | undefined;
    if (above.has(item)) throw new TypeError("it refers to itself (circular structure)");
    above.add(item);
    const fields = item as Record<string, unknown>;
    let text: string;
    if (Array.isArray(item)) {
      text = `[${Array.from(item, (_, k) => write(fields, String(k)) ?? "null").join(",")}]`;
    } else {
      const id = longTradeId(item);
      const parts: string[] = [];
      for (const name of Object.keys(fields)) {
        const part = id?.name === name ? id.digits : write(fields, name);
        if (part !== undefined) parts.push(`${JSON.stringify(name)}:${part}`);
      }
      text = `{${parts.join(",")}}`;
    }
    above.delete(item);
    return text;
  };
  try {
    return write({ "": value }, "") ?? "null";
  } catch (caught) {
    throw unwritable(caught);
  }
}

function unwritable(caught: unknown): TicklakeError {
  if (caught instanceof TicklakeError) return caught;
  const text = caught instanceof Error ? caught.message.split("\n")[0]! : String(caught);
  const why = caught instanceof RangeError ? "it is nested too deep or too long" : text;
  return new TicklakeError("RECORD_INVALID", `cannot be written as JSON: ${why}`, { cause: caught });
}

/**
 * The elements of a JSON array as the text in which they stand, so that no digit is lost.
 *
 * @param text a whole, valid JSON document
 * @returns undefined when it is no array
 */
export function splitJsonArray(text: string): string[] | undefined {
  let at = skipSpace(text, text.charCodeAt(0) === 0xfeff ? 1 : 0);
  if (text.charCodeAt(at) !== 0x5b) return undefined;
  const elements: string[] = [];
  let begin = skipSpace(text, at + 1);
  if (text.charCodeAt(begin) === 0x5d) return elements;
  let depth = 0;
  for (at = begin; at < text.length; at++) {
    const c = text.charCodeAt(at);
    if (c === 0x22) at = endOfString(text, at);
    else if (c === 0x5b || c === 0x7b) depth++;
    else if ((c === 0x5d || c === 0x7d) && depth > 0) depth--;
    else if (depth === 0 && (c === 0x2c || c === 0x5d)) {
      elements.push(text.slice(begin, at).trimEnd());
      if (c === 0x5d) break;
      begin = skipSpace(text, at + 1);
      at = begin - 1;
    }
  }
  return elements;
}

function skipSpace(text: string, at: number): number {
  for (;;) {
    const c = text.charCodeAt(at);
    if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return at;
    at++;
  }
}

/** Index of the quote that ends the string that begins at `begin`. */
function endOfString(text: string, begin: number): number {
  for (let at = begin + 1; at < text.length; at++) {
    const c = text.charCodeAt(at);
    if (c === 0x5c) at++;
    else if (c === 0x22) return at;
  }
  return text.length;
}
