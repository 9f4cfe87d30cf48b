/**
 * The broker's answer as rows. Pure; no I/O.
 */
import { TicklakeError } from "../../errors";
import { uniqueNames } from "../../sql/names";
import type { ResultColumn } from "../../sql/results";

/**
 * Numbers of the answer under Pinot's own names (numDocsScanned, totalDocs, numServersQueried, numServersResponded, timeUsedMs, ...), and ours.
 * 64-bit numbers beyond 2^53 are text.
 */
export interface PinotStatistics extends Record<string, unknown> {
  /** From asking to the last row, by our clock. */
  ms: number;
  /** There were more rows than `maxRows`. */
  truncated: boolean;
  /** Rows may be missing or sums too low: not every server or segment answered, or groups were left out. `warnings` says why. */
  partial: boolean;
  /** The query has no LIMIT where it could need one: Pinot cuts at ten rows. */
  limitMissing: boolean;
  /** What a user should know of these rows, in words. */
  warnings: string[];
}

export interface PinotResult { rows: Record<string, unknown>[]; columns: ResultColumn[]; statistics: PinotStatistics }

/** What of an answer is read here; everything else that is a plain value goes on as statistics. */
export interface BrokerAnswer extends Record<string, unknown> {
  resultTable?: { dataSchema?: { columnNames?: unknown; columnDataTypes?: unknown }; rows?: unknown };
  exceptions?: unknown;
}

/**
 * Rows as objects, types as Pinot names them. Values:
 * - LONG: a number up to 2^53, a decimal string beyond
 * - DOUBLE, FLOAT: a number; NaN and infinities as text ("NaN", "Infinity")
 * - BIG_DECIMAL, TIMESTAMP, JSON, BYTES (hex): text, as Pinot writes it
 * - multi-value columns (`*_ARRAY`): arrays
 *
 * @throws TicklakeError INTERNAL for an answer of another form
 */
export function readTable(answer: BrokerAnswer, maxRows: number): { rows: Record<string, unknown>[]; columns: ResultColumn[]; truncated: boolean } {
  const table = answer.resultTable;
  // Of a query that cannot match anything, old brokers send no table.
  if (table === undefined || table === null) return { rows: [], columns: [], truncated: false };
  const names = table.dataSchema?.columnNames, types = table.dataSchema?.columnDataTypes, rows = table.rows;
  if (!isTexts(names) || !isTexts(types) || names.length !== types.length || !Array.isArray(rows) || !rows.every((row) => Array.isArray(row) && row.length === names.length)) {
    throw new TicklakeError("INTERNAL", "Pinot's answer is not the table that its brokers send. Does the broker's address lead to another service?");
  }
  const columns = uniqueNames(names).map((name, n) => ({ name, type: types[n]! }));
  return {
    rows: (rows as unknown[][]).slice(0, maxRows).map((row) => Object.fromEntries(columns.map(({ name, type }, n) => [name, plain(row[n], type)]))),
    columns, truncated: rows.length > maxRows,
  };
}

/** Everything of an answer that is a plain value. */
export function readStatistics(answer: BrokerAnswer): Record<string, unknown> {
  const scalars = Object.entries(answer).filter(([, value]) => value !== null && (typeof value !== "object"));
  return Object.fromEntries(scalars);
}

/** Why the rows of this answer may not be all that there is, in words. */
export function partialReasons(answer: BrokerAnswer): string[] {
  const reasons: string[] = [];
  const queried = Number(answer["numServersQueried"] ?? 0), responded = Number(answer["numServersResponded"] ?? queried);
  if (responded < queried) reasons.push(`Only ${responded} of ${queried} servers answered: rows are missing and sums are too low.`);
  if (answer["numGroupsLimitReached"] === true) reasons.push("There were more groups than Pinot keeps (numGroupsLimit, by default 100000 per server): some are missing. Filter more, or raise it with SET numGroupsLimit = 1000000; before the query.");
  if (answer["maxRowsInJoinReached"] === true || answer["maxRowsInWindowReached"] === true) reasons.push("A join or window had more rows than Pinot keeps: some are missing.");
  if (reasons.length === 0 && answer["partialResult"] === true) reasons.push("Pinot says that its answer is partial.");
  return reasons;
}

const isTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every((item) => typeof item === "string");

/** A value of the JSON (whole numbers beyond 2^53 come as text of their digits) as it goes into a message. */
function plain(value: unknown, type: string): unknown {
  if (Array.isArray(value)) return value.map((item) => plain(item, type));
  if (typeof value === "string" && /^(DOUBLE|FLOAT)/.test(type) && /^-?\d+$/.test(value)) return Number(value);
  return value ?? null;
}
