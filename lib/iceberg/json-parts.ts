/**
 * JSON text taken apart one level deep, without reading what lies deeper: for large answers of which most is known already. Pure.
 *
 * Only brackets, commas and quotes are looked at. What is in the parts is for a parser to check.
 */

const QUOTE = 0x22, COMMA = 0x2c, COLON = 0x3a, OPEN_LIST = 0x5b, BACKSLASH = 0x5c, CLOSE_LIST = 0x5d, OPEN = 0x7b, CLOSE = 0x7d;

/**
 * The text of an object's members by their names; of one that is there twice the last, as everywhere. Undefined where the text is no object.
 *
 * @param known beginnings of lists, up to the closing bracket of an item, that were seen before: where one stands, it is passed over at once
 */
export function membersOf(text: string, known: readonly string[] = []): Map<string, string> | undefined {
  const members = new Map<string, string>();
  const ended = eachPart(text, OPEN, CLOSE, known, (from, to) => {
    const end = text.charCodeAt(from) === QUOTE ? afterText(text, from) : -1;
    const colon = end < 0 ? -1 : afterSpace(text, end);
    if (text.charCodeAt(colon) !== COLON) return false;
    const name: unknown = parsed(text.slice(from, end));
    if (typeof name !== "string") return false;
    const start = afterSpace(text, colon + 1);
    if (start >= to) return false;
    members.set(name, text.slice(start, to));
    return true;
  });
  return ended ? members : undefined;
}

/** The text of a list's items. Undefined where the text is no list. */
export function itemsOf(text: string): string[] | undefined {
  const items: string[] = [];
  return eachPart(text, OPEN_LIST, CLOSE_LIST, [], (from, to) => items.push(text.slice(from, to)) > 0) ? items : undefined;
}

/** Calls `part` with where each part begins and ends, space around it left out. False where the text is not wholly one value with these brackets. */
function eachPart(text: string, open: number, close: number, known: readonly string[], part: (from: number, to: number) => boolean): boolean {
  let at = afterSpace(text, 0);
  if (text.charCodeAt(at) !== open) return false;
  at = afterSpace(text, at + 1);
  if (text.charCodeAt(at) === close) return afterSpace(text, at + 1) === text.length;
  for (;;) {
    const end = partEnd(text, at, known);
    const to = beforeSpace(text, end);
    if (end < 0 || to <= at || !part(at, to)) return false;
    if (text.charCodeAt(end) === close) return afterSpace(text, end + 1) === text.length;
    if (text.charCodeAt(end) !== COMMA) return false;
    at = afterSpace(text, end + 1);
  }
}

/** Where a part that begins at `at` ends: its comma, or the bracket that closes what it is in. -1: never. */
function partEnd(text: string, at: number, known: readonly string[]): number {
  let depth = 0;
  while (at < text.length) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = afterText(text, at);
        if (at < 0) return -1;
        continue;
      case OPEN_LIST: {
        depth++;
        const start = at;
        const passed = known.find((beginning) => standsAt(text, beginning, start));
        at += passed?.length ?? 1;
        continue;
      }
      case OPEN:
        depth++;
        break;
      case CLOSE: case CLOSE_LIST:
        if (depth-- === 0) return at;
        break;
      case COMMA:
        if (depth === 0) return at;
        break;
    }
    at++;
  }
  return -1;
}

/** Behind the closing quote of the text that begins at `at`; -1 where there is none. */
function afterText(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let escapes = end;
    while (text.charCodeAt(escapes - 1) === BACKSLASH) escapes--;
    if ((end - escapes) % 2 === 0) return end + 1;
  }
  return -1;
}

/** `startsWith` looks at characters one by one; slices of a text are compared as memory, which takes a twentieth of the time. */
export function standsAt(text: string, part: string, at: number): boolean {
  return text.slice(at, at + part.length) === part;
}

const isSpace = (c: number): boolean => c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09;

function afterSpace(text: string, at: number): number {
  while (isSpace(text.charCodeAt(at))) at++;
  return at;
}

function beforeSpace(text: string, end: number): number {
  while (isSpace(text.charCodeAt(end - 1))) end--;
  return end;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
