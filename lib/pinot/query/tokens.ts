/**
 * Pinot's SQL as a row of tokens, so that parameters and LIMIT are looked for in code only, never in texts, quoted names or comments.
 *
 * Pinot parses with Apache Calcite, lexical policy MYSQL_ANSI: texts stand in single quotes and names in double quotes, each doubled within itself; a
 * backslash is a letter like any other. Pure; no I/O.
 */
import { TicklakeError } from "../../errors";

export interface Token { kind: "space" | "name" | "string" | "number" | "word" | "symbol"; text: string }

// A comment that ends at a carriage return for Calcite goes on for the step of Pinot that removes comments: the longer reading is the safe one.
const PATTERN = /((?:--|\/\/)[^\n]*|\/\*[\s\S]*?\*\/|\s+)|("(?:[^"]|"")*")|('(?:[^']|'')*')|(\d[\w.]*(?:(?<=[eE])[+-]\d+)?)|([A-Za-z_$\u0080-\uffff][\w$\u0080-\uffff]*)|(::|\/\*|[\s\S])/g;

const UNCLOSED: Readonly<Record<string, string>> = { "'": "A text is not closed: a ' lacks its other end. Within a text, write it twice ('it''s').", '"': "A name in double quotes is not closed.", "/*": "A comment is not closed: */ is missing." };

/**
 * Every character of the SQL is in exactly one token. Comments count as space.
 *
 * @throws TicklakeError SQL_INVALID where a text, a quoted name or a comment does not end
 */
export function tokenize(sql: string): Token[] {
  const tokens: Token[] = [];
  for (const match of sql.matchAll(PATTERN)) {
    const [text, space, name, string, number, word] = match;
    if (space ?? name ?? string ?? number ?? word) {
      tokens.push({ kind: space ? "space" : name ? "name" : string ? "string" : number ? "number" : "word", text });
      continue;
    }
    const unclosed = UNCLOSED[text];
    if (unclosed) throw new TicklakeError("SQL_INVALID", `${unclosed} It begins at: ${sql.slice(match.index, match.index + 40)}`);
    tokens.push({ kind: "symbol", text });
  }
  return tokens;
}

/** Where the statements of a text lie: `SET key = value; SELECT ...;` has two. Empty ones are left out. `end` is that of the last token that is no space. */
export function statements(tokens: readonly Token[]): { start: number; end: number }[] {
  const found: { start: number; end: number }[] = [];
  let start = -1, end = -1;
  const close = (): void => {
    if (start >= 0) found.push({ start, end });
    start = -1;
  };
  tokens.forEach((token, at) => {
    if (token.text === ";" && token.kind === "symbol") { close(); return; }
    if (token.kind === "space") return;
    if (start < 0) start = at;
    end = at + 1;
  });
  close();
  return found;
}
