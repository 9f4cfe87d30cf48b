/**
 * The `exceptions` of an answer: Pinot reports errors of a query with HTTP status 200. Pure; no I/O.
 */
import { type ErrorCode, TicklakeError } from "../../errors";
import { tokenize } from "./tokens";

/** An element of `exceptions`. */
export interface BrokerException { errorCode: number; message: string }

/** The table is there, but the broker does not know yet who serves it: so for up to a second after its creation. */
export const RESOURCE_MISSING = 410;

/** What Pinot's codes (QueryErrorCode, formerly QueryException) mean to the one who asked. */
interface Meaning { code: ErrorCode; text: (message: string, sql: string) => string }

const first = (message: string): string => message.split(/\n|Was expecting/)[0]!.replace(/[.\s]+$/, "");

const SERVERS = "The servers of this table are starting, stopping or gone. Ask again; if it stays, look at the cluster in Pinot's own console.";

const MEANINGS: ReadonlyMap<number, Meaning> = new Map<number, Meaning>([
  [150, { code: "SQL_INVALID", text: (message, sql) => `Pinot cannot read this SQL: ${first(withoutSql(message, sql))}${reservedHint(sql, message)}` }],
  [180, { code: "PINOT_DENIED", text: (message) => `Pinot refuses this query to the user that is set in the cluster: ${first(message)}. Give it the right to read the table, or enter another user.` }],
  [190, { code: "TABLE_NOT_FOUND", text: (_, sql) => `Pinot has no table ${tableOf(sql)}. Create it with pinot-table, or write its name as it is; names are case-sensitive where the cluster is.` }],
  [191, { code: "TABLE_NOT_FOUND", text: (_, sql) => `The table ${tableOf(sql)} is disabled in Pinot. Enable it there.` }],
  [240, { code: "PINOT_TIMEOUT", text: () => `The query waited too long for its turn on a server. ${SLOW}` }],
  [245, { code: "SQL_TOO_LARGE", text: (message) => `A server ran out of what it may use for this query: ${first(message)}. Filter more, or ask for fewer columns.` }],
  [250, { code: "PINOT_TIMEOUT", text: () => `The query took longer than its time-out. ${SLOW}` }],
  [305, { code: "PINOT_FAILED", text: (message) => `Segments of the table cannot be read at the moment: ${first(message)}. ${SERVERS}` }],
  [400, { code: "PINOT_TIMEOUT", text: () => `The broker got no answer in time. ${SLOW}` }],
  [410, { code: "PINOT_FAILED", text: (_, sql) => `Pinot has the table ${tableOf(sql)}, but none of its servers serves it yet, also after waiting. Look whether a server runs and the table is enabled.` }],
  [427, { code: "PINOT_TIMEOUT", text: (message) => `Pinot got no answer in time: ${first(message)}. ${SLOW}` }],
  [429, { code: "SQL_BUSY", text: () => "The table's quota of queries a second is used up. Ask less often, or raise the quota in the table's configuration." }],
  [503, { code: "STOPPED", text: () => "Somebody cancelled the query." }],
  [700, { code: "SQL_INVALID", text: (message) => `Pinot cannot run this query: ${first(message)}` }],
  [710, { code: "SQL_INVALID", text: (message) => `${unknownColumn(message)} Names of columns are case-sensitive (S is the symbol, s the size); texts stand in single quotes, names in double quotes.` }],
  [720, { code: "SQL_INVALID", text: (message) => `Pinot finds no plan for this query: ${first(message)}` }],
]);

const SLOW = "Raise the time-out (timeoutMs), filter by time or symbol, or ask for what the star-tree holds.";

/** 2xx are failures while a query runs on a server, 3xx and 4xx of brokers and servers, 6xx and 7xx of the query itself. */
function fallback(code: number): Meaning {
  if (code === 200 || (code >= 600 && code < 800)) return { code: "SQL_INVALID", text: (message) => `Pinot cannot run this query: ${first(message)}` };
  return { code: "PINOT_FAILED", text: (message) => `Pinot failed to answer: ${first(message)}. ${SERVERS}` };
}

/** The exceptions of an answer; codes that are no numbers count as 1000 (unknown), as in Pinot. */
export function readExceptions(exceptions: unknown): BrokerException[] {
  if (!Array.isArray(exceptions)) return [];
  return exceptions.map((item: unknown) => {
    const { errorCode, message } = (typeof item === "object" && item !== null ? item : {}) as Record<string, unknown>;
    return { errorCode: typeof errorCode === "number" ? errorCode : 1000, message: typeof message === "string" ? plainMessage(message) : "no reason given" };
  });
}

/** The error of a query with exceptions: that of the first one whose meaning is known. `details.pinot` has all codes. */
export function queryError(exceptions: readonly BrokerException[], sql: string): TicklakeError {
  const told = exceptions.find(({ errorCode }) => MEANINGS.has(errorCode)) ?? exceptions[0]!;
  const meaning = MEANINGS.get(told.errorCode) ?? fallback(told.errorCode);
  return new TicklakeError(meaning.code, `${meaning.text(told.message, sql)} (Pinot's error ${told.errorCode})`, { details: { pinot: exceptions.map(({ errorCode }) => errorCode) } });
}

/** Whether rows can have come all the same: servers that did not answer, not the query, are the reason. */
export function isPartial(exceptions: readonly BrokerException[]): boolean {
  return exceptions.every(({ errorCode }) => {
    const { code } = MEANINGS.get(errorCode) ?? fallback(errorCode);
    return code === "PINOT_TIMEOUT" || code === "PINOT_FAILED";
  });
}

/** The exception's class before its words, and the stack trace behind them, help nobody: `QueryExecutionError:\njava.lang.RuntimeException: why\n\tat ...`. */
function plainMessage(message: string): string {
  const lines = message.split("\n").filter((line) => !/^\s*(at |\.\.\. \d+ more)/.test(line));
  return lines.join("\n").replace(/^(\w+Error:\s*)+/, "").replace(/^((Caused by: )?[\w.$]+(Exception|Error):\s*)+/, "").trim() || message.trim();
}

/** Pinot repeats the SQL, often long, before it says where it stumbled (1.x), or says that only in a cause (0.11). */
function withoutSql(message: string, sql: string): string {
  const where = /(?:Encountered [\s\S]*? at line \d+, column \d+|From line \d+, column \d+[^\n]*|Lexical error[^\n]*)/.exec(message)?.[0];
  const cause = /^Caused by: (?:[\w.$]+:\s*)?(.+)$/m.exec(message)?.[1];
  return where ?? cause ?? message.replace(/^Caught exception while parsing query: /, "").replace(sql.trim().replace(/;$/, ""), "").replace(/^[:;\s]+/, "").replace(/^(?:[\w.$]+Exception:\s*)+/, "");
}

function unknownColumn(message: string): string {
  const name = /columnName ['"]?([^'"]+?)['"]? found/.exec(message)?.[1];
  return name === undefined ? `Pinot does not know a column of this query: ${first(message)}` : `The table has no column ${name}.`;
}

/** The first name after FROM, as it stands there. */
function tableOf(sql: string): string {
  const tokens = tokenize(sql).filter(({ kind }) => kind !== "space");
  const from = tokens.findIndex(({ kind, text }) => kind === "word" && text.toLowerCase() === "from");
  const parts: string[] = [];
  for (let at = from + 1; from >= 0 && at < tokens.length; at += 2) {
    parts.push(tokens[at]!.text.replace(/^"|"$/g, ""));
    if (tokens[at + 1]?.text !== ".") break;
  }
  return parts.length > 0 ? parts.join(".") : "of this query";
}

/** Words of Calcite's grammar that are likely names of columns. */
const RESERVED: ReadonlySet<string> = new Set(["timestamp", "date", "time", "year", "month", "day", "hour", "minute", "second", "order", "value", "language", "user", "position", "rank", "row", "rows", "start", "end", "interval", "system", "method", "result"]);

/** What Pinot says of a reserved word (`Encountered " "TIMESTAMP" "timestamp "" at line 1`) does not tell that quotes mend it. */
function reservedHint(sql: string, message: string): string {
  const encountered = /Encountered([\s\S]*?) at line/.exec(message)?.[1]?.toLowerCase().match(/\w+/g) ?? [];
  const tokens = tokenize(sql).filter(({ kind }) => kind !== "space");
  // TIMESTAMP '2024-11-01' is a constant.
  const words = tokens.filter(({ kind }, at) => kind === "word" && tokens[at + 1]?.kind !== "string").map(({ text }) => text.toLowerCase());
  const word = encountered.find((name) => RESERVED.has(name) && words.includes(name)) ?? (words.includes("timestamp") ? "timestamp" : undefined);
  return word === undefined ? "" : `. ${word} is a reserved word: as the name of a column it stands in double quotes, "${word}".`;
}
