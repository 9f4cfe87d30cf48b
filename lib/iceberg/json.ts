/**
 * JSON with whole numbers of any size: Iceberg's snapshot ids have 63 bits and stand in metadata as bare digits, which
 * `JSON.parse` rounds. (Its reviver's `context.source` would help, but Node 20 has none.)
 *
 * Reading: a whole number beyond +-(2^53 - 1) becomes a bigint, any other a number. Writing: a bigint becomes bare digits.
 */

const QUOTE = 0x22, BACKSLASH = 0x5c, MINUS = 0x2d, PLUS = 0x2b, DOT = 0x2e, ZERO = 0x30, NINE = 0x39;

const LONG_DIGITS = /\d{16}/;

/**
 * Parses JSON text (RFC 8259), keeping every digit of whole numbers.
 *
 * @throws SyntaxError with the position
 */
export function parseJson(text: string): unknown {
  // Fewer than 16 digits in a row cannot pass 2^53, and JSON.parse is many times as fast.
  if (!LONG_DIGITS.test(text)) {
    try {
      return JSON.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text);
    } catch { /* the parser below says what is wrong, the same on every version of Node */ }
  }
  const parser = new Parser(text);
  const value = parser.value();
  parser.end();
  return value;
}

class Parser {
  #at = 0;
  readonly #text: string;

  constructor(text: string) {
    // A byte order mark is no JSON, but editors leave it.
    this.#text = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
  }

  value(): unknown {
    this.#space();
    const c = this.#text.charCodeAt(this.#at);
    if (c === QUOTE) return this.#string();
    if (c === MINUS || (c >= ZERO && c <= NINE)) return this.#number();
    switch (this.#text[this.#at]) {
      case "{": return this.#object();
      case "[": return this.#array();
      case "t": return this.#word("true", true);
      case "f": return this.#word("false", false);
      case "n": return this.#word("null", null);
      default: throw this.#unexpected();
    }
  }

  end(): void {
    this.#space();
    if (this.#at < this.#text.length) throw this.#unexpected();
  }

  #object(): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    this.#at++;
    if (this.#closes("}")) return object;
    for (;;) {
      this.#space();
      if (this.#text.charCodeAt(this.#at) !== QUOTE) throw this.#unexpected();
      const key = this.#string();
      this.#space();
      if (this.#text[this.#at] !== ":") throw this.#unexpected();
      this.#at++;
      const value = this.value();
      if (key === "__proto__") Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
      else object[key] = value;
      if (this.#closes("}")) return object;
      this.#comma();
    }
  }

  #array(): unknown[] {
    const array: unknown[] = [];
    this.#at++;
    if (this.#closes("]")) return array;
    for (;;) {
      array.push(this.value());
      if (this.#closes("]")) return array;
      this.#comma();
    }
  }

  #closes(bracket: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== bracket) return false;
    this.#at++;
    return true;
  }

  #comma(): void {
    if (this.#text[this.#at] !== ",") throw this.#unexpected();
    this.#at++;
  }

  #string(): string {
    const text = this.#text;
    const start = this.#at + 1;
    for (let i = start; i < text.length; i++) {
      const c = text.charCodeAt(i);
      if (c === QUOTE) {
        this.#at = i + 1;
        return text.slice(start, i);
      }
      if (c === BACKSLASH) return this.#escapedString(start, i);
      if (c < 0x20) {
        this.#at = i;
        throw this.#unexpected();
      }
    }
    this.#at = text.length;
    throw this.#unexpected();
  }

  /** A string with escapes: its end is found here, the rest is left to JSON.parse. */
  #escapedString(start: number, backslash: number): string {
    const text = this.#text;
    let i = backslash;
    while (i < text.length && text.charCodeAt(i) !== QUOTE) i += text.charCodeAt(i) === BACKSLASH ? 2 : 1;
    if (i >= text.length) {
      this.#at = text.length;
      throw this.#unexpected();
    }
    this.#at = i + 1;
    return JSON.parse(text.slice(start - 1, i + 1)) as string;
  }

  #number(): number | bigint {
    const text = this.#text;
    const start = this.#at;
    if (text.charCodeAt(this.#at) === MINUS) this.#at++;
    if (text.charCodeAt(this.#at) === ZERO) this.#at++;
    else this.#digits();
    let whole = true;
    if (text.charCodeAt(this.#at) === DOT) {
      whole = false;
      this.#at++;
      this.#digits();
    }
    const e = text[this.#at];
    if (e === "e" || e === "E") {
      whole = false;
      this.#at++;
      const sign = text.charCodeAt(this.#at);
      if (sign === MINUS || sign === PLUS) this.#at++;
      this.#digits();
    }
    const digits = text.slice(start, this.#at);
    const value = Number(digits);
    return whole && !Number.isSafeInteger(value) ? BigInt(digits) : value;
  }

  #digits(): void {
    const start = this.#at;
    let c = this.#text.charCodeAt(this.#at);
    while (c >= ZERO && c <= NINE) c = this.#text.charCodeAt(++this.#at);
    if (this.#at === start) throw this.#unexpected();
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw this.#unexpected();
    this.#at += word.length;
    return value;
  }

  #space(): void {
    for (;;) {
      const c = this.#text.charCodeAt(this.#at);
      if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return;
      this.#at++;
    }
  }

  #unexpected(): SyntaxError {
    const found = this.#text[this.#at];
    return new SyntaxError(found === undefined ? "JSON ends too early" : `Unexpected ${JSON.stringify(found)} in JSON at position ${this.#at}`);
  }
}

/**
 * JSON text of a value made of plain objects, arrays, strings, numbers, booleans, null and bigints (as bare digits).
 * `undefined` members are left out, as JSON.stringify does.
 *
 * @throws TypeError for numbers that JSON cannot hold (NaN, infinities)
 */
export function stringifyJson(value: unknown): string {
  switch (typeof value) {
    case "string":
    case "boolean":
      return JSON.stringify(value);
    case "bigint":
      return value.toString();
    case "number":
      if (!Number.isFinite(value)) throw new TypeError(`JSON cannot hold ${value}`);
      return JSON.stringify(value);
    case "object":
      return value === null ? "null" : stringifyObject(value);
    default:
      return "null";
  }
}

function stringifyObject(value: object): string {
  if (Array.isArray(value)) return `[${value.map(stringifyJson).join(",")}]`;
  const members: string[] = [];
  for (const [key, member] of Object.entries(value)) {
    if (member !== undefined) members.push(`${JSON.stringify(key)}:${stringifyJson(member)}`);
  }
  return `{${members.join(",")}}`;
}
