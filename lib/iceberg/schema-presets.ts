/** The two schemas of trades that the package ships, and their default partitioning. */
import type { NestedField, Schema, Type } from "./types";

/** Daily partitions of a `timestamp` in Unix ms (a long, so `day` does not apply). */
export const TRADES_PARTITION_BY = "truncate[86400000](timestamp)";

const conditions: Type = { type: "list", "element-id": 10, element: "string", "element-required": false };

const trades = (columns: readonly (readonly [name: string, type: Type, doc: string])[]): Schema => ({
  type: "struct",
  "schema-id": 0,
  fields: columns.map(([name, type, doc], index): NestedField => ({ id: index + 1, name, required: false, type, doc })),
});

/** Trades with the letters of the feed: T, S, i, x, p, s, timestamp, c, z. All optional. */
export const TRADES_SCHEMA: Schema = trades([
  ["T", "string", "message type, t for a trade"],
  ["S", "string", "symbol"],
  ["i", "long", "trade id"],
  ["x", "string", "exchange code"],
  ["p", "double", "price"],
  ["s", "long", "size in shares"],
  ["timestamp", "long", "Unix ms"],
  ["c", conditions, "sale conditions"],
  ["z", "string", "tape"],
]);

/** The same columns under names that do not collide in engines that fold case. */
export const TRADES_READABLE_SCHEMA: Schema = trades([
  ["type", "string", "message type, t for a trade"],
  ["symbol", "string", "symbol"],
  ["id", "long", "trade id"],
  ["exchange", "string", "exchange code"],
  ["price", "double", "price"],
  ["size", "long", "size in shares"],
  ["timestamp", "long", "Unix ms"],
  ["conditions", conditions, "sale conditions"],
  ["tape", "string", "tape"],
]);

/** The schema behind a name that the editor offers (`trades`, `trades-readable`), or undefined. */
export function presetSchema(name: string): Schema | undefined {
  if (name === "trades") return TRADES_SCHEMA;
  return name === "trades-readable" ? TRADES_READABLE_SCHEMA : undefined;
}
