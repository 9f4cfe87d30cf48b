/**
 * The documented queries, in the form in which Pinot runs them. Pure.
 *
 * What differs from the document: `timestamp` is a reserved word of Pinot's SQL, so as a column it stands in double quotes; and a query that the document
 * ends without LIMIT has one here, because Pinot returns ten rows otherwise.
 */
import type { TradeNames } from "../../trades/types";

/** Which query. */
export type DocumentedQuery = "counts" | "prices" | "lastHour" | "exchanges" | "minutes" | "percentiles" | "latest";

type Columns = Readonly<Record<"S" | "x" | "p" | "s", string>>;

const NAMES: Readonly<Record<TradeNames, Columns>> = { documented: { S: "S", x: "x", p: "p", s: "s" }, readable: { S: "symbol", x: "exchange", p: "price", s: "size" } };

const QUERIES: Readonly<Record<DocumentedQuery, (c: Columns, table: string) => string>> = {
  counts: ({ S }, table) => `SELECT
  ${S} as symbol,
  COUNT(*) as trade_count
FROM ${table}
GROUP BY ${S}
ORDER BY trade_count DESC
LIMIT 10;`,
  prices: ({ S, p }, table) => `SELECT
  ${S} as symbol,
  AVG(${p}) as avg_price,
  MIN(${p}) as min_price,
  MAX(${p}) as max_price
FROM ${table}
GROUP BY ${S}
LIMIT 1000;`,
  lastHour: ({ S }, table) => `SELECT
  ${S} as symbol,
  COUNT(*) as recent_trades
FROM ${table}
WHERE "timestamp" > now() - 3600000  -- 1 hour in ms
GROUP BY ${S}
LIMIT 1000;`,
  exchanges: ({ x, s }, table) => `SELECT
  ${x} as exchange,
  SUM(${s}) as total_volume,
  COUNT(*) as trade_count
FROM ${table}
GROUP BY ${x}
ORDER BY total_volume DESC
LIMIT 100;`,
  minutes: ({ S, p, s }, table) => `SELECT
  ${S} as symbol,
  DATETIMECONVERT("timestamp", '1:MILLISECONDS:EPOCH', '1:MINUTES:EPOCH', '1:MINUTES') as time_bucket,
  AVG(${p}) as avg_price,
  SUM(${s}) as volume
FROM ${table}
WHERE ${S} = 'AAPL'
GROUP BY ${S}, time_bucket
ORDER BY time_bucket DESC
LIMIT 60;`,
  percentiles: ({ S, p }, table) => `SELECT
  ${S} as symbol,
  PERCENTILE50(${p}) as median_price,
  PERCENTILE90(${p}) as p90_price,
  PERCENTILE99(${p}) as p99_price
FROM ${table}
GROUP BY ${S}
LIMIT 1000;`,
  latest: (_, table) => `SELECT * FROM ${table}
ORDER BY "timestamp" DESC
LIMIT 10;`,
};

/** Every documented query by its key, for a table with these names of columns. */
export function documentedQueries(names: TradeNames = "documented", table = "flattened_stocks"): Record<DocumentedQuery, string> {
  return Object.fromEntries(Object.entries(QUERIES).map(([key, write]) => [key, write(NAMES[names], table)])) as Record<DocumentedQuery, string>;
}
