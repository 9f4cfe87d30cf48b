/** Counts the trades of a Pinot table by one query. */
import { TicklakeError } from "../errors";
import type { PinotHttp } from "../pinot/http";
import { askBroker } from "../pinot/query/ask";
import { parsePinotQuery } from "../pinot/query/options";
import { runPinotQuery } from "../pinot/query/run";
import { tableColumns } from "../pinot/query/tables";
import { tradeColumns } from "./columns";
import type { Counted } from "./compare";
import { Tally, type TimeRange } from "./tally";

/** Pinot keeps no more groups of one query than this unless its servers are told otherwise. */
const MAX_GROUPS = 100_000;
const TIMEOUT_MS = 60_000;

/** A row of the query. Pinot sums whole numbers as DOUBLE: exact up to 2^53. */
interface Row { symbol: string; hour: number; n: number; size: number; price_sum: number; min_price: number; max_price: number }

/**
 * @throws TicklakeError TABLE_NOT_FOUND, SCHEMA_MISMATCH, SQL_TOO_LARGE (more symbol-hours than Pinot groups), PINOT_FAILED (not all servers answered), PINOT_UNREACHABLE, ...
 */
export async function countPinot(http: Pick<PinotHttp, "send">, table: string, range: TimeRange, signal?: AbortSignal): Promise<Counted> {
  const { symbol, price, size, time } = tradeColumns(`Pinot's table ${table}`, (await tableColumns(http, table, signal)).map(({ name }) => name), (name) => `"${name}"`);
  const hour = `DATETIMECONVERT(${time}, '1:MILLISECONDS:EPOCH', '1:HOURS:EPOCH', '1:HOURS')`;
  const { rows, statistics } = await runPinotQuery(askBroker(http), parsePinotQuery({
    sql: `SELECT ${symbol} AS symbol, ${hour} AS "hour", COUNT(*) AS n, SUM(${size}) AS size, SUM(${price}) AS price_sum, MIN(${price}) AS min_price, MAX(${price}) AS max_price
      FROM :"table" WHERE ${time} >= :from AND ${time} < :to GROUP BY ${symbol}, ${hour} LIMIT ${MAX_GROUPS}`,
    params: { table, from: range.from, to: range.to }, timeoutMs: TIMEOUT_MS, maxRows: MAX_GROUPS,
  }), signal ? { signal } : {});
  if (rows.length >= MAX_GROUPS) throw new TicklakeError("SQL_TOO_LARGE", `Pinot's table ${table} has ${MAX_GROUPS} symbol-hours or more in this range, which is what one query of Pinot can group. Compare a shorter range.`);
  if (statistics.partial) throw new TicklakeError("PINOT_FAILED", `Pinot's answer for ${table} is not whole: ${statistics.warnings.join("; ")}`);
  const tally = new Tally();
  for (const row of rows as unknown as Row[]) {
    tally.add(row.symbol, Number(row.hour), { count: Number(row.n), size: BigInt(Math.round(row.size)), priceSum: row.price_sum, minPrice: row.min_price, maxPrice: row.max_price });
  }
  return { name: `Pinot ${table}`, tally };
}
