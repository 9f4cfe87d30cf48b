/**
 * Parameters of a query: `:name` stands for a value, `:"name"` for the name of a column or table. Pinot's broker takes no parameters, so they are
 * written into the SQL, escaped as its parser wants it. Pure; no I/O.
 */
import { TicklakeError } from "../../errors";
import { type Token, tokenize } from "./tokens";

const invalid = (message: string): TicklakeError => new TicklakeError("SQL_INVALID", message);

/**
 * The SQL with every parameter in its place.
 *
 * | value | becomes |
 * |---|---|
 * | text | `'it''s'` |
 * | number, bigint | its digits; whole numbers must be exact |
 * | boolean, null | `TRUE`, `FALSE`, `NULL` |
 * | Date | milliseconds since 1970, as the time column holds them |
 * | array | a list for `IN (:name)` or `IN :name` |
 * | text for `:"name"` | a name in double quotes |
 *
 * @param params `msg.params`; only its own properties count
 * @throws TicklakeError SQL_INVALID naming the parameter that is missing, of a type that SQL lacks, or in a place where it cannot stand
 */
export function bindParameters(sql: string, params: unknown): string {
  const tokens = tokenize(sql);
  const out: string[] = [];
  // The last token that is no space: it decides what may stand here.
  let before: Token | undefined;
  let depth = 0;
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at]!;
    const next = tokens[at + 1];
    const named = token.kind === "symbol" && token.text === ":" && (next?.kind === "word" || next?.kind === "name");
    if (!named) {
      out.push(token.text);
      if (token.kind === "symbol") depth += token.text === "(" ? 1 : token.text === ")" ? -1 : 0;
      if (token.kind !== "space") before = token;
      continue;
    }
    at++;
    const bound = next.kind === "name" ? identifier(parameterName(next), params) : value(next.text, params, before, depth);
    // Nothing may grow together: `x -:n` with -1 would begin a comment, `'a':n` would become one text.
    if (/[^\s(,=<>[]$/.test(out.at(-1) ?? "")) out.push(" ");
    out.push(bound);
    if (/^[^\s),;\]]/.test(tokens[at + 1]?.text ?? "")) out.push(" ");
    before = next;
  }
  return out.join("");
}

/** Names of the parameters in a query, in order, each once (for hints in a dialog). */
export function parameterNames(sql: string): string[] {
  const tokens = tokenize(sql);
  const names = tokens.flatMap((token, at) => {
    const next = tokens[at + 1];
    if (token.kind !== "symbol" || token.text !== ":" || (next?.kind !== "word" && next?.kind !== "name")) return [];
    return [next.kind === "name" ? parameterName(next) : next.text];
  });
  return [...new Set(names)];
}

function parameterName(token: Token): string {
  return token.text.slice(1, -1).replaceAll('""', '"');
}

function look(name: string, params: unknown): unknown {
  const given = typeof params === "object" && params !== null && !Array.isArray(params) ? params : undefined;
  if (given && Object.hasOwn(given, name)) {
    const found = (given as Record<string, unknown>)[name];
    if (found !== undefined) return found;
  }
  const there = given ? Object.keys(given) : [];
  throw invalid(`The query has the parameter :${name}, but msg.params has no ${name}${there.length > 0 ? ` (it has ${there.slice(0, 10).join(", ")})` : ""}. Set it, such as msg.params = {"${name}": "AAPL"}.`);
}

/** Words after which a name stands: a text in quotes there would be a constant, and the answer silently wrong. (Within parentheses FROM may belong to EXTRACT or TRIM.) */
const BEFORE_NAMES: ReadonlySet<string> = new Set(["from", "join", "by"]);

function value(name: string, params: unknown, before: Token | undefined, depth: number): string {
  const found = look(name, params);
  const word = before?.kind === "word" ? before.text.toLowerCase() : "";
  if (depth === 0 && BEFORE_NAMES.has(word)) throw invalid(`:${name} stands after ${word.toUpperCase()}, where Pinot wants the name of a ${word === "by" ? "column" : "table"}. Write :"${name}" to insert a name; :${name} inserts a value.`);
  if (!Array.isArray(found)) return literal(found, name);
  if (found.length === 0) throw invalid(`:${name} is an empty list, and IN () is no SQL. Leave the query out when there is nothing to look for.`);
  const list = found.map((item) => {
    if (item === null || Array.isArray(item)) throw invalid(`:${name} is a list with ${item === null ? "null" : "a list"} in it; a list for IN holds texts, numbers, booleans or dates.`);
    return literal(item, name);
  }).join(", ");
  if (before?.kind === "symbol" && (before.text === "(" || before.text === "," || before.text === "[")) return list;
  if (word === "in") return `(${list})`;
  throw invalid(`:${name} is a list, which stands only behind IN: S IN (:${name}).`);
}

function literal(item: unknown, name: string): string {
  switch (typeof item) {
    case "string": return text(item, name);
    case "number": return number(item, name);
    case "bigint": return long(item, name);
    case "boolean": return item ? "TRUE" : "FALSE";
    case "object":
      if (item === null) return "NULL";
      if (item instanceof Date && !Number.isNaN(item.getTime())) return String(item.getTime());
      if (item instanceof Date) throw invalid(`:${name} is a date that is none (Invalid Date).`);
      break;
    default:
  }
  throw invalid(`:${name} is ${typeof item === "object" ? "an object" : `of type ${typeof item}`}, which SQL lacks. Give text, a number, a boolean, a date, null, or an array of these.`);
}

function text(item: string, name: string): string {
  if (item.includes("\0")) throw invalid(`:${name} holds the character NUL, which Pinot cannot take in a text.`);
  return joined(item.split(/(?<=')(?=')/));
}

/**
 * Of two quotes side by side Pinot drops one, after its parser has read the text right (RequestUtils.getLiteral, in every version so far). Cut between
 * them, and put together again by a function that Pinot folds before it runs the query, the text stays what it was.
 */
function joined(parts: readonly string[]): string {
  if (parts.length < 2) return `'${(parts[0] ?? "").replaceAll("'", "''")}'`;
  // Halves, so that many quotes do not nest deeply.
  const half = Math.ceil(parts.length / 2);
  return `CONCAT(${joined(parts.slice(0, half))}, ${joined(parts.slice(half))}, '')`;
}

/** Bounds of Pinot's LONG. */
const LONG_MIN = -(2n ** 63n), LONG_MAX = 2n ** 63n - 1n;

function long(item: bigint, name: string): string {
  if (item < LONG_MIN || item > LONG_MAX) throw invalid(`:${name} is ${item}, beyond Pinot's LONG (64 bits).`);
  return item.toString();
}

function number(item: number, name: string): string {
  if (!Number.isFinite(item)) throw invalid(`:${name} is ${item}, which SQL cannot write.`);
  // Where doubles no longer tell whole numbers apart, it would silently be another row's id.
  if (Number.isInteger(item) && !Number.isSafeInteger(item) && Math.abs(item) < 2 ** 63) {
    throw invalid(`:${name} is ${item}: a number beyond 2^53 has lost digits. Give its digits as text ("9007199254740993"), or a BigInt.`);
  }
  return String(item);
}

/** Also of a table with its type (`trades_REALTIME`) or database (`db.trades`), and of columns of nested records (`a.b`). */
const IDENTIFIER = /^[A-Za-z_$][\w$-]*(?:\.[A-Za-z_$][\w$-]*)*$/;

function identifier(name: string, params: unknown): string {
  const found = look(name, params);
  if (typeof found === "string" && IDENTIFIER.test(found)) return `"${found}"`;
  throw invalid(`:"${name}" stands for a name of a column or table, and ${typeof found === "string" ? JSON.stringify(found.slice(0, 60)) : `a value of type ${typeof found}`} is none: letters, digits, _, $, - and dots, not beginning with a digit.`);
}
