/**
 * Reads `CALL catalog.system.procedure(...)` as Spark with Iceberg's extensions writes it: named or positional arguments that are literals
 * (https://iceberg.apache.org/docs/latest/spark-procedures/#usage). Pure; no I/O.
 */
import { TicklakeError } from "../errors";
import { timeText } from "./times";

/** A literal of an argument. Whole numbers keep all their digits; times are Unix ms (UTC unless the text has a zone). */
export type CallValue =
  | { readonly kind: "null" }
  | { readonly kind: "text"; readonly value: string }
  | { readonly kind: "number"; readonly value: bigint | number }
  | { readonly kind: "flag"; readonly value: boolean }
  | { readonly kind: "time"; readonly value: number }
  | { readonly kind: "array"; readonly value: readonly CallValue[] }
  | { readonly kind: "map"; readonly value: readonly (readonly [key: CallValue, value: CallValue])[] };

export interface CallArgument { readonly name?: string; readonly value: CallValue }

/** A CALL as it is written: `name` has the parts of `local.system.expire_snapshots`. */
export interface ParsedCall { readonly name: readonly string[]; readonly arguments: readonly CallArgument[] }

interface Token { readonly kind: "word" | "quoted" | "string" | "number" | "symbol" | "end"; readonly text: string; readonly at: number }

const SPACE = /^(?:--[^\n]*|\/\*[\s\S]*?\*\/|\s+)+/;
const TOKENS = /(--[^\n]*|\/\*[\s\S]*?\*\/|\s+)|(`(?:[^`]|``)*`)|('(?:[^'\\]|\\[\s\S]|'')*'|"(?:[^"\\]|\\[\s\S]|"")*")|([+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?(?:BD|[LSYDF])?(?![\w.]))|([A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)|(=>|[\s\S])/gi;
const EXAMPLE = "CALL local.system.expire_snapshots(table => 'db.flattened_stocks', older_than => TIMESTAMP '2024-11-01 00:00:00')";

/** Whether a text is a CALL and no query: comments may stand before it. */
export function isCall(sql: string): boolean {
  return /^call(?![\w.\u0080-\uffff])/i.test(sql.replace(SPACE, ""));
}

/** @throws TicklakeError SQL_INVALID saying where the text is no CALL, and what was expected there */
export function parseCall(sql: string): ParsedCall {
  return new Parser(sql).call();
}

class Parser {
  private readonly tokens: readonly Token[];
  private next = 0;

  constructor(sql: string) {
    this.tokens = tokenize(sql);
  }

  call(): ParsedCall {
    if (this.peek().text.toLowerCase() !== "call") throw this.error("CALL");
    this.next++;
    const name = [this.identifier("the procedure's name")];
    while (this.take(".")) name.push(this.identifier("a name after the dot"));
    if (!this.take("(")) throw this.error("( and the arguments");
    const list = this.list(() => this.argument());
    while (this.take(";")) { /* any number of them ends a statement */ }
    if (this.peek().kind !== "end") {
      throw this.peek().text.toLowerCase() === "call" ? new TicklakeError("SQL_INVALID", "One CALL at a time: send the next one in a message of its own.") : this.error("the end of the CALL");
    }
    return { name, arguments: list };
  }

  private argument(): CallArgument {
    const [token, arrow] = [this.peek(), this.tokens[this.next + 1]];
    if ((token.kind !== "word" && token.kind !== "quoted") || arrow?.text !== "=>") return { value: this.value() };
    this.next += 2;
    return { name: nameOf(token), value: this.value() };
  }

  private value(): CallValue {
    const token = this.peek();
    if (token.kind === "string") { this.next++; return { kind: "text", value: stringOf(token.text) }; }
    if (token.kind === "number") { this.next++; return { kind: "number", value: numberOf(token.text) }; }
    if (token.kind !== "word") throw this.error("a value");
    const word = token.text.toLowerCase();
    if (word === "true" || word === "false") { this.next++; return { kind: "flag", value: word === "true" }; }
    if (word === "null") { this.next++; return { kind: "null" }; }
    if (/^(?:timestamp(?:_ntz|_ltz)?|date)$/.test(word)) return this.time(word.toUpperCase());
    if ((word === "array" || word === "map") && this.tokens[this.next + 1]?.text === "(") {
      this.next += 2;
      const values = this.list(() => this.value());
      return word === "array" ? { kind: "array", value: values } : { kind: "map", value: this.pairs(values) };
    }
    throw this.error("a value: text in quotes, a number, true, false, null, TIMESTAMP '...', array(...) or map(...). Other expressions are not evaluated");
  }

  private time(type: string): CallValue {
    this.next++;
    const token = this.peek();
    const ms = token.kind === "string" ? timeText(stringOf(token.text)) : undefined;
    if (ms === undefined) throw this.error(`a time after ${type}, such as '2024-11-01 00:00:00' (UTC unless it has a zone)`);
    this.next++;
    return { kind: "time", value: ms };
  }

  private pairs(values: readonly CallValue[]): (readonly [CallValue, CallValue])[] {
    if (values.length % 2 !== 0) throw new TicklakeError("SQL_INVALID", "map(...) takes keys and values in turn: map('min-input-files', '2'). One key has no value.");
    return Array.from({ length: values.length / 2 }, (_, n) => [values[2 * n]!, values[2 * n + 1]!] as const);
  }

  /** What stands up to the closing parenthesis, with commas between. */
  private list<T>(item: () => T): T[] {
    const items: T[] = [];
    if (this.take(")")) return items;
    do items.push(item()); while (this.take(","));
    if (!this.take(")")) throw this.error("a comma or )");
    return items;
  }

  private identifier(what: string): string {
    const token = this.peek();
    if (token.kind !== "word" && token.kind !== "quoted") throw this.error(what);
    this.next++;
    return nameOf(token);
  }

  private peek(): Token {
    return this.tokens[this.next]!;
  }

  private take(symbol: string): boolean {
    const found = this.peek().kind === "symbol" && this.peek().text === symbol;
    if (found) this.next++;
    return found;
  }

  private error(expected: string): TicklakeError {
    const { kind, text, at } = this.peek();
    const open = /^['"`]$/.test(text) ? " (the quote is not closed)" : "";
    return new TicklakeError("SQL_INVALID", `The CALL cannot be read: expected ${expected}, ${kind === "end" ? "but it ends there" : `not ${text.slice(0, 40)}${open} (character ${at + 1})`}. An example: ${EXAMPLE}.`);
  }
}

function tokenize(sql: string): Token[] {
  const tokens: Token[] = [];
  for (const match of sql.matchAll(TOKENS)) {
    if (match[1] !== undefined) continue;
    const kind = match[2] !== undefined ? "quoted" : match[3] !== undefined ? "string" : match[4] !== undefined ? "number" : match[5] !== undefined ? "word" : "symbol";
    tokens.push({ kind, text: match[0], at: match.index });
  }
  tokens.push({ kind: "end", text: "", at: sql.length });
  return tokens;
}

function nameOf({ kind, text }: Token): string {
  return kind === "quoted" ? text.slice(1, -1).replaceAll("``", "`") : text;
}

/** Doubled quotes and backslashes before quotes and backslashes; any other backslash stays, for paths of Windows. */
function stringOf(text: string): string {
  return text.slice(1, -1).replace(/\\(['"\\])|(['"])\2/g, (_, escaped: string | undefined, doubled: string | undefined) => {
    if (escaped !== undefined) return escaped;
    return doubled === text[0] ? doubled! : doubled! + doubled!;
  });
}

function numberOf(text: string): bigint | number {
  const digits = text.replace(/(?:BD|[LSYDF])$/i, "");
  return /^[+-]?\d+$/.test(digits) ? BigInt(digits.replace("+", "")) : Number(digits);
}
