/**
 * Types as people write them: Iceberg's names and those of Spark's DDL, `array<string>`, `struct<bid: double, venue: string>`. Pure; no I/O.
 */
import { TicklakeError } from "../errors";
import { LATER_TYPES } from "./schema";

/** Names of simple types, Iceberg's own and Spark's. Iceberg's `timestamp` has no zone, and that is what it means here; Spark calls it timestamp_ntz. */
const NAMES: Readonly<Record<string, string>> = {
  boolean: "boolean", int: "int", long: "long", float: "float", double: "double", date: "date", time: "time", timestamp: "timestamp", timestamptz: "timestamptz", string: "string", uuid: "uuid", binary: "binary",
  bool: "boolean", tinyint: "int", byte: "int", smallint: "int", short: "int", integer: "int", bigint: "long", real: "float", timestamp_ntz: "timestamp", timestamp_ltz: "timestamptz", varchar: "string", char: "string", text: "string",
};
const ALLOWED = "Iceberg's boolean, int, long, float, double, decimal(P, S), date, time, timestamp (without zone), timestamptz, string, uuid, binary, fixed[L], list<T>, map<K, V>, struct<name: T, ...>; and Spark's tinyint, smallint, bigint, real, varchar, timestamp_ntz, timestamp_ltz, array<T>";
const TOKEN = /\s+|([A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)|`((?:[^`]|``)*)`|'((?:[^'\\]|\\[\s\S]|'')*)'|(\d+)|([<>(),:[\]]|[\s\S])/g;

interface Token { readonly kind: "word" | "name" | "text" | "number" | "symbol" | "end"; readonly text: string; readonly at: number }

/** A field as Iceberg's JSON has it, without ids. */
export interface TextField { readonly name: string; readonly required: boolean; readonly type: unknown; readonly doc?: string }

/**
 * A type from text, as Iceberg's JSON has it, without ids. Nested fields may have `NOT NULL` and `COMMENT '...'`.
 *
 * @throws TicklakeError SCHEMA_INVALID saying where the text is no type, and which types there are
 */
export function parseTypeText(text: string): unknown {
  const reader = new TypeReader(text);
  const type = reader.type();
  reader.end();
  return type;
}

/**
 * Columns from text as in Spark's CREATE TABLE: `id bigint NOT NULL, S string COMMENT 'symbol'`.
 *
 * @throws TicklakeError SCHEMA_INVALID
 */
export function parseColumnsText(text: string): TextField[] {
  const reader = new TypeReader(text);
  const fields = reader.fields();
  reader.end();
  return fields;
}

class TypeReader {
  private readonly tokens: readonly Token[];
  private next = 0;

  constructor(private readonly text: string) {
    this.tokens = tokensOf(text);
  }

  type(): unknown {
    const token = this.tokens[this.next]!;
    if (token.kind !== "word") throw this.error("a type");
    this.next++;
    const name = token.text.toLowerCase();
    switch (name) {
      case "list": case "array": return { type: "list", element: this.inside(() => this.type()), "element-required": false };
      case "map": {
        const [key, value] = this.inside(() => [this.type(), this.expect(",") && this.type()]);
        return { type: "map", key, value, "value-required": false };
      }
      case "struct": return { type: "struct", fields: this.inside(() => this.fields()) };
      case "decimal": case "dec": case "numeric": return this.decimal();
      case "fixed": return `fixed[${this.take("(") ? this.number(")") : this.expect("[") && this.number("]")}]`;
      default:
    }
    if (LATER_TYPES.has(name)) return name; // the schema says why not
    if (!Object.hasOwn(NAMES, name)) {
      this.next--;
      throw this.error("a type");
    }
    if ((name === "varchar" || name === "char") && this.take("(")) this.number(")");
    return NAMES[name];
  }

  fields(): TextField[] {
    const fields: TextField[] = [];
    do {
      const token = this.tokens[this.next]!;
      if (token.kind !== "word" && token.kind !== "name") throw this.error("the name of a field");
      this.next++;
      this.take(":");
      const type = this.type();
      const required = this.word("not") && (this.word("null") || this.fail("NULL after NOT"));
      const doc = this.word("comment") ? this.comment() : undefined;
      fields.push({ name: token.text, type, required, ...(doc === undefined ? {} : { doc }) });
    } while (this.take(","));
    return fields;
  }

  end(): void {
    if (this.tokens[this.next]!.kind !== "end") throw this.error("the end of the type");
  }

  /** Spark's defaults: decimal is decimal(10, 0), decimal(P) is decimal(P, 0). */
  private decimal(): string {
    if (!this.take("(")) return "decimal(10, 0)";
    const precision = this.number();
    const scale = this.take(",") ? this.number() : 0;
    this.expect(")");
    return `decimal(${precision}, ${scale})`;
  }

  private comment(): string {
    const token = this.tokens[this.next]!;
    if (token.kind !== "text") throw this.error("a text in single quotes after COMMENT");
    this.next++;
    return token.text;
  }

  private inside<T>(read: () => T): T {
    this.expect("<");
    const found = read();
    this.expect(">");
    return found;
  }

  private number(closing?: string): number {
    const token = this.tokens[this.next]!;
    if (token.kind !== "number") throw this.error("a number");
    this.next++;
    if (closing) this.expect(closing);
    return Number(token.text);
  }

  private word(text: string): boolean {
    const token = this.tokens[this.next]!;
    const found = token.kind === "word" && token.text.toLowerCase() === text;
    if (found) this.next++;
    return found;
  }

  private take(symbol: string): boolean {
    const token = this.tokens[this.next]!;
    const found = token.kind === "symbol" && token.text === symbol;
    if (found) this.next++;
    return found;
  }

  private expect(symbol: string): true {
    if (!this.take(symbol)) throw this.error(`"${symbol}"`);
    return true;
  }

  private fail(expected: string): never {
    throw this.error(expected);
  }

  private error(expected: string): TicklakeError {
    const { kind, text, at } = this.tokens[this.next]!;
    const shown = this.text.length > 80 ? `${this.text.slice(0, 77)}...` : this.text;
    return new TicklakeError("SCHEMA_INVALID", `The type "${shown}" cannot be read: expected ${expected}, ${kind === "end" ? "but it ends there" : `not "${text.slice(0, 40)}" (character ${at + 1})`}. Types are ${ALLOWED}. Nested ones may also be Iceberg's JSON.`);
  }
}

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  for (const match of text.matchAll(TOKEN)) {
    const [, word, name, quoted, number, symbol] = match;
    if (word !== undefined) tokens.push({ kind: "word", text: word, at: match.index });
    else if (name !== undefined) tokens.push({ kind: "name", text: name.replaceAll("``", "`"), at: match.index });
    else if (quoted !== undefined) tokens.push({ kind: "text", text: quoted.replace(/\\(['\\])|''/g, (_, escaped: string | undefined) => escaped ?? "'"), at: match.index });
    else if (number !== undefined) tokens.push({ kind: "number", text: number, at: match.index });
    else if (symbol !== undefined) tokens.push({ kind: "symbol", text: symbol, at: match.index });
  }
  tokens.push({ kind: "end", text: "", at: text.length });
  return tokens;
}
