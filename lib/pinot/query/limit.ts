/**
 * LIMIT of a query. Without one Pinot returns ten rows and does not say that there were more. Pure; no I/O.
 */
import { type Token, statements, tokenize } from "./tokens";

/** What Pinot takes where a query has no LIMIT. */
export const PINOT_DEFAULT_LIMIT = 10;

export interface PlannedLimit {
  /** The SQL to send. */
  sql: string;
  /** It has no LIMIT and could return more rows than Pinot's ten. */
  missing: boolean;
}

export interface LimitOptions {
  /** Rows that the caller takes at the most. One more is asked for, so that it is known whether there are more. */
  maxRows: number;
  /** Writes a LIMIT where there is none. */
  addLimit?: boolean;
}

/**
 * Where a query lacks a LIMIT, it is reported, or added. A LIMIT beyond `maxRows` + 1 is lowered to that: rows that nobody takes need not travel.
 * Queries of one row (aggregates without GROUP BY), EXPLAIN and what is no query are left alone.
 *
 * @throws TicklakeError SQL_INVALID where a text, a quoted name or a comment does not end
 */
export function planLimit(sql: string, { maxRows, addLimit = false }: LimitOptions): PlannedLimit {
  const tokens = tokenize(sql);
  const last = statements(tokens).at(-1);
  if (!last) return { sql, missing: false };
  const top = topLevel(tokens, last);
  const limit = top.findIndex(({ word }) => word === "limit" || word === "fetch");
  if (limit >= 0) return { sql: top[limit]!.word === "limit" ? lowered(tokens, top.slice(limit + 1).map(({ at }) => at), maxRows + 1) : sql, missing: false };
  if (!/^(select|with|\()$/.test(top[0]?.word ?? "") || isOneRow(top, tokens)) return { sql, missing: false };
  if (!addLimit) return { sql, missing: true };
  const before = top.find(({ word, at }, n) => word === "offset" || (word === "option" && nextText(tokens, at) === "(" && n > 0))?.at ?? last.end;
  const head = tokens.slice(0, before).map(({ text }) => text).join("").trimEnd();
  const tail = tokens.slice(before).map(({ text }) => text).join("");
  return { sql: `${head}\nLIMIT ${maxRows + 1}${before < last.end ? " " : ""}${tail}`, missing: false };
}

interface Top { word: string; at: number }

/** Tokens of a statement that stand in no parentheses, spaces left out; words in lower case. */
function topLevel(tokens: readonly Token[], { start, end }: { start: number; end: number }): Top[] {
  const top: Top[] = [];
  let depth = 0;
  for (let at = start; at < end; at++) {
    const { kind, text } = tokens[at]!;
    if (kind === "symbol" && text === ")") depth--;
    if (depth === 0 && kind !== "space") top.push({ word: kind === "word" ? text.toLowerCase() : kind === "symbol" ? text : "", at });
    if (kind === "symbol" && text === "(") depth++;
  }
  return top;
}

/** `LIMIT n` and `LIMIT offset, n` with a smaller n. */
function lowered(tokens: readonly Token[], after: readonly number[], most: number): string {
  const [first, comma, second] = after.map((at) => tokens[at]);
  const at = comma?.text === "," && second?.kind === "number" ? after[2] : first?.kind === "number" ? after[0] : undefined;
  return tokens.map(({ text }, n) => (n === at && /^\d+$/.test(text) && Number(text) > most ? String(most) : text)).join("");
}

const AGGREGATE = /^(count|sum|min|max|avg|mode|minmaxrange|distinct(count|sum|avg)\w*|segmentpartitioneddistinctcount|percentile\w*|sum(int|long|precision|mv|0)|(count|min|max|avg|minmaxrange)mv|stddev\w*|var\w*|skewness|kurtosis|corr|covar\w*|bool_(and|or)|(first|last)withtime|histogram|funnel\w*|idset|frequent\w*|array_agg|listagg|st_union|any_value|expr(min|max))$/;

/** Aggregates without GROUP BY: one row, whatever the LIMIT. */
function isOneRow(top: readonly Top[], tokens: readonly Token[]): boolean {
  if (top[0]?.word !== "select" || top.some(({ word }) => word === "group" || /^(union|intersect|except|over)$/.test(word))) return false;
  const from = top.findIndex(({ word }) => word === "from");
  const end = from < 0 ? tokens.length : top[from]!.at;
  for (let at = top[0].at; at < end; at++) if (tokens[at]!.kind === "word" && AGGREGATE.test(tokens[at]!.text.toLowerCase()) && nextText(tokens, at) === "(") return true;
  // Nothing to read from: constants.
  return from < 0;
}

function nextText(tokens: readonly Token[], at: number): string | undefined {
  let next = at + 1;
  while (tokens[next]?.kind === "space") next++;
  return tokens[next]?.text;
}
