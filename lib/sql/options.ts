/**
 * Settings of a query, from a dialog or a message, checked. Pure; no I/O.
 */
import { TicklakeError } from "../errors";
import type { QueryRequest } from "./engine";
import { parseSnapshotId, parseTime } from "./travel";

/** What a dialog or message gives, unchecked. */
export interface QueryInput { sql: unknown; snapshotId?: unknown; asOf?: unknown; maxRows?: unknown }

/**
 * @throws TicklakeError SQL_INVALID without SQL, CONFIG_INVALID naming the property that is wrong
 */
export function parseQuery(input: QueryInput): Pick<QueryRequest, "sql" | "snapshotId" | "asOf" | "maxRows"> {
  const sql = parseSqlText(input.sql, "SELECT * FROM db.flattened_stocks LIMIT 10");
  const snapshotId = parseSnapshotId(input.snapshotId);
  const asOf = parseTime(input.asOf);
  if (snapshotId !== undefined && asOf !== undefined) throw new TicklakeError("CONFIG_INVALID", "Both snapshotId and asOf are set. Give one: which snapshot, or as of when.");
  return { sql, maxRows: parseMaxRows(input.maxRows), ...(snapshotId === undefined ? {} : { snapshotId }), ...(asOf === undefined ? {} : { asOf }) };
}

/**
 * SQL that is there.
 *
 * @param example for the error
 * @throws TicklakeError SQL_INVALID where it is empty or no text
 */
export function parseSqlText(sql: unknown, example: string): string {
  if (typeof sql === "string" && sql.trim() !== "") return sql;
  throw new TicklakeError("SQL_INVALID", sql === undefined || sql === "" || sql === null
    ? `There is no SQL to run. Enter a query such as ${example}.`
    : `The SQL must be text, but it is ${Array.isArray(sql) ? "an array" : `of type ${typeof sql}`}.`);
}

/** Rows at most (10000 where nothing is said). @throws TicklakeError CONFIG_INVALID */
export function parseMaxRows(value: unknown): number {
  if (value === undefined || value === null || value === "") return 10_000;
  const rows = Number(value);
  if (!Number.isInteger(rows) || rows < 1) throw new TicklakeError("CONFIG_INVALID", `maxRows: "${String(value)}" is no number of rows. Enter a whole number from 1 on.`);
  return rows;
}
