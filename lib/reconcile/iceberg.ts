/** Counts the trades of an Iceberg table, in the newest snapshot, by one query. */
import { TicklakeError } from "../errors";
import { currentSchema } from "../iceberg/metadata";
import type { SqlEngine } from "../sql/engine";
import { quote } from "../sql/names";
import type { TableResolver } from "../sql/uses";
import { tradeColumns } from "./columns";
import type { Counted } from "./compare";
import { HOUR_MS, Tally, type TimeRange } from "./tally";

/** Symbol-hours of one table: as many symbols as there are, over a year of trading hours. */
const MAX_GROUPS = 5_000_000;

/** A row of the query. */
interface Row { symbol: string | null; hour: number; n: number; size: string; price_sum: number; min_price: number; max_price: number }

/**
 * @param table as SQL names it: `db.flattened_stocks`
 * @throws TicklakeError TABLE_NOT_FOUND, SCHEMA_MISMATCH (neither the documented names nor the readable ones), ...
 */
export async function countTable(engine: SqlEngine, tables: TableResolver, table: string, range: TimeRange, signal?: AbortSignal): Promise<Counted> {
  const { metadata, name } = await tables(table.split("."));
  const { symbol, price, size, time } = tradeColumns(name, currentSchema(metadata).fields.map((field) => field.name), quote);
  const { rows, truncated } = await engine.query({
    sql: `SELECT ${symbol} AS symbol, ${time} // ${HOUR_MS} AS hour, count(*) AS n, CAST(sum(${size}) AS VARCHAR) AS size, sum(${price}) AS price_sum, min(${price}) AS min_price, max(${price}) AS max_price
      FROM ${table} WHERE ${time} >= ${range.from} AND ${time} < ${range.to} GROUP BY 1, 2`,
    tables, maxRows: MAX_GROUPS, ...(signal ? { signal } : {}),
  });
  if (truncated) throw new TicklakeError("SQL_TOO_LARGE", `${table} has more than ${MAX_GROUPS} symbol-hours in this range. Compare a shorter one.`);
  const tally = new Tally();
  for (const row of rows as unknown as Row[]) {
    tally.add(row.symbol ?? "", row.hour, { count: row.n, size: BigInt(row.size), priceSum: row.price_sum, minPrice: row.min_price, maxPrice: row.max_price });
  }
  return { name: `Iceberg ${table}`, tally };
}
