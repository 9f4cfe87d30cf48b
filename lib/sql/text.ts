/**
 * What Spark's SQL allows and DuckDB's parser does not: `VERSION AS OF n`, `TIMESTAMP AS OF '...'`, names in backquotes, and table names of
 * more than three parts (`local.db.t.snapshots`). Such table references become placeholders before parsing. Pure; no I/O.
 */
import { TicklakeError } from "../errors";
import { literal, quote } from "./names";
import { timeText } from "./times";
import type { Travel } from "./travel";

/** A table reference behind a placeholder. */
export interface Reference { parts: string[]; travel?: Travel }

/** SQL that DuckDB can parse, and what its placeholders stand for. */
export interface PreparedText { sql: string; references: ReadonlyMap<string, Reference> }

interface Token { kind: "word" | "quoted" | "string" | "number" | "symbol" | "space"; text: string }

const PATTERN = /(--[^\n]*|\/\*[\s\S]*?\*\/|\s+)|("(?:[^"]|"")*"|`(?:[^`]|``)*`)|(\$([A-Za-z_]*)\$[\s\S]*?\$\4\$|[eE]?'(?:[^']|'')*')|(\d[\w.]*)|([A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)|([\s\S])/g;

/**
 * The parser refuses twins of different case in one list (`EXCLUDE (S, s)`, two CTEs `A` and `a`). Words with upper-case letters that are neither
 * keywords nor called as functions become placeholders; `restore` puts them back into the syntax tree.
 */
export function hideUpperCase(sql: string, keywords: ReadonlySet<string>): { sql: string; restore(tree: string): string } {
  const tokens = tokenize(sql);
  const words = new Map<string, string>();
  const out = tokens.map((token, at) => {
    const name = token.kind === "word" || token.kind === "quoted" ? identifier(token) : "";
    if (!/[A-Z]/.test(name) || (token.kind === "word" && (keywords.has(name.toLowerCase()) || tokens[skipSpace(tokens, at + 1)]?.text === "("))) return token.text;
    const placeholder = words.get(name) ?? `\ue0f3${words.size}\ue0f3`;
    words.set(name, placeholder);
    return quote(placeholder);
  });
  return {
    sql: out.join(""),
    restore: (tree) => [...words].reduce((text, [name, placeholder]) => text.replaceAll(placeholder, () => JSON.stringify(name).slice(1, -1)), tree),
  };
}

/** Words that end a FROM clause at its own level of parentheses. */
const AFTER_FROM: ReadonlySet<string> = new Set(["where", "group", "having", "order", "limit", "offset", "window", "qualify", "union", "intersect", "except", "select", "on", "using"]);

/** Replaces what DuckDB cannot parse. */
export function prepareText(sql: string): PreparedText {
  const tokens = tokenize(sql);
  const references = new Map<string, Reference>();
  const out: string[] = [];
  // One entry per level of parentheses: whether a table name may come next, and whether a comma leads to one.
  const levels = [{ table: false, from: false }];
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    const level = levels.at(-1)!;
    if (token.kind === "word" || token.kind === "quoted") {
      const word = token.kind === "word" ? token.text.toLowerCase() : "";
      const chain = readChain(tokens, i);
      const travel = level.table ? readTravel(tokens, chain.next, sql) : undefined;
      if (travel || (level.table && chain.parts.length > 3)) {
        const placeholder = `\ue0f1${references.size}`;
        references.set(placeholder, { parts: chain.parts, ...(travel ? { travel: travel.travel } : {}) });
        // Without an alias the table goes by its own name, as it would without the placeholder.
        out.push(quote(placeholder));
        i = (travel?.next ?? chain.next) - 1;
        level.table = false;
        continue;
      }
      out.push(...tokens.slice(i, chain.next).map(plainText));
      i = chain.next - 1;
      if (chain.parts.length === 1 && (word === "from" || word === "join")) Object.assign(level, { table: true, from: true });
      else if (chain.parts.length === 1 && AFTER_FROM.has(word)) Object.assign(level, { table: false, from: word === "on" || word === "using" ? level.from : false });
      else level.table = false;
      continue;
    }
    out.push(token.text);
    if (token.text === "(") levels.push({ table: level.table, from: level.table });
    else if (token.text === ")" && levels.length > 1) levels.pop();
    else if (token.text === ",") level.table = level.from;
    else if (token.kind !== "space") level.table = false;
  }
  return { sql: out.join(""), references };
}

/** SQL as Spark reads it by default: what stands in double quotes is text, names stand in backquotes. */
export function doubleQuotesAsText(sql: string): string {
  return tokenize(sql).map((token) => (token.kind === "quoted" && token.text.startsWith('"') ? literal(identifier(token)) : token.text)).join("");
}

function tokenize(sql: string): Token[] {
  const tokens: Token[] = [];
  for (const match of sql.matchAll(PATTERN)) {
    const kind = match[1] !== undefined ? "space" : match[2] !== undefined ? "quoted" : match[3] !== undefined ? "string" : match[5] !== undefined ? "number" : match[6] !== undefined ? "word" : "symbol";
    tokens.push({ kind, text: match[0] });
  }
  return tokens;
}

/** A name with dots from a token on. */
function readChain(tokens: readonly Token[], start: number): { parts: string[]; next: number } {
  const parts = [identifier(tokens[start]!)];
  let next = start + 1;
  for (;;) {
    const dot = skipSpace(tokens, next);
    if (tokens[dot]?.text !== ".") return { parts, next };
    const name = skipSpace(tokens, dot + 1);
    const token = tokens[name];
    if (token?.kind !== "word" && token?.kind !== "quoted") return { parts, next };
    parts.push(identifier(token));
    next = name + 1;
  }
}

/** `[FOR] VERSION | SYSTEM_VERSION | TIMESTAMP | SYSTEM_TIME AS OF <literal>` from a token on. */
function readTravel(tokens: readonly Token[], start: number, sql: string): { travel: Travel; next: number } | undefined {
  let at = start;
  const word = (): string => {
    at = skipSpace(tokens, at);
    return tokens[at]?.kind === "word" ? tokens[at++]!.text.toLowerCase() : "";
  };
  let kind = word();
  if (kind === "for") kind = word();
  const version = kind === "version" || kind === "system_version";
  if (!version && kind !== "timestamp" && kind !== "system_time") return undefined;
  if (word() !== "as" || word() !== "of") return undefined;
  at = skipSpace(tokens, at);
  // TIMESTAMP AS OF TIMESTAMP '...' and DATE '...' say the same as the text alone.
  if (!version && /^(timestamp|date)$/i.test(tokens[at]?.text ?? "")) at = skipSpace(tokens, at + 1);
  const value = tokens[at];
  const text = value?.kind === "string" ? value.text.replace(/^[eE]?'|'$/g, "").replaceAll("''", "'") : (value?.text ?? "");
  if (version && (value?.kind === "string" || (value?.kind === "number" && /^\d+$/.test(text)))) {
    return { travel: { kind: "version", version: value.kind === "number" ? BigInt(text) : text }, next: at + 1 };
  }
  const ms = value?.kind === "string" ? timeText(text) : undefined;
  if (!version && ms !== undefined) return { travel: { kind: "time", ms }, next: at + 1 };
  if (!version && value?.kind === "number" && /^\d+$/.test(text)) return { travel: { kind: "time", ms: Number(text) * 1000 }, next: at + 1 };
  throw new TicklakeError("SQL_INVALID", version
    ? `VERSION AS OF takes a snapshot id or the name of a branch or tag in quotes, not ${text || "nothing"} (in: ${sql.slice(0, 80)}).`
    : `TIMESTAMP AS OF takes a time in quotes such as '2024-11-01 10:00:00' (UTC unless it has a zone: '2024-11-01 10:00:00 Europe/Berlin'), not ${text || "nothing"} (in: ${sql.slice(0, 80)}).`);
}

function skipSpace(tokens: readonly Token[], at: number): number {
  while (tokens[at]?.kind === "space") at++;
  return at;
}

function identifier(token: Token): string {
  if (token.kind !== "quoted") return token.text;
  const mark = token.text[0]!;
  return token.text.slice(1, -1).replaceAll(mark + mark, mark);
}

/** Backquotes are Spark's; DuckDB has double quotes. */
function plainText(token: Token): string {
  return token.kind === "quoted" && token.text.startsWith("`") ? quote(identifier(token)) : token.text;
}
