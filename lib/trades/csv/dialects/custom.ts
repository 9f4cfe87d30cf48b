import { z } from "zod";
import { TicklakeError } from "../../../errors";
import type { TimeColumn } from "../decoder";
import { codeColumn, conditionsColumn, idColumn, lineAsId, listOfConditions, numberColumn, symbolColumn } from "../decoder";
import { TimeReader, ZoneClock, dayOf } from "../time";
import type { ColumnMapping, Dialect, DialectOptions, Header } from "./types";

const column = z.union([z.string().trim().min(1), z.number().int().min(1)]);
const mappingSchema = z.strictObject({
  symbol: column, time: column, price: column, size: column,
  date: column.optional(), id: column.optional(), exchange: column.optional(), conditions: column.optional(), tape: column.optional(),
  unit: z.enum(["auto", "s", "ms", "us", "ns", "clock"]).optional(),
  header: z.boolean().optional(),
});
const PARTS = ["symbol", "time", "date", "price", "size", "id", "exchange", "conditions", "tape"] as const;
const EXAMPLE = '{"symbol": "ticker", "time": "ts", "price": "px", "size": "qty"}';

/**
 * Checks a custom mapping (an object or its JSON text).
 *
 * @throws TicklakeError CONFIG_INVALID
 */
export function parseMapping(value: unknown): ColumnMapping {
  let raw = value;
  if (typeof raw === "string") {
    try { raw = JSON.parse(raw); } catch (cause) {
      throw new TicklakeError("CONFIG_INVALID", `columns: not valid JSON. Write the columns of the file like ${EXAMPLE}.`, { cause });
    }
  }
  const result = mappingSchema.safeParse(raw);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw new TicklakeError("CONFIG_INVALID", `columns: ${issue.path.join(".") || "mapping"}: ${issue.message}. Map at least symbol, time, price and size: ${EXAMPLE}; a number is a position from 1, "=AAPL" a constant.`);
}

/** Whether the file's first line is a header: unless said, it is not when every column is given by position. */
export function hasHeader(mapping: ColumnMapping): boolean {
  return mapping.header ?? PARTS.some((part) => typeof mapping[part] === "string" && constant(mapping[part]) === undefined);
}

function constant(value: string | number | undefined): string | undefined {
  return typeof value === "string" && value.startsWith("=") ? value.slice(1).trim() : undefined;
}

function position(header: Header, part: string, value: string | number): number {
  const at = typeof value === "number" ? value - 1 : header.at(value);
  if (at >= 0 && at < header.names.length) return at;
  const what = typeof value === "number" ? `the file has ${header.names.length} columns, none at position ${value}` : `the file has no column ${JSON.stringify(value)}; it has: ${header.names.join(", ")}`;
  throw new TicklakeError("CSV_DIALECT_UNKNOWN", `columns.${part}: ${what}. Correct the mapping in the node.`, { details: { header: header.names } });
}

function timeColumn(header: Header, mapping: ColumnMapping, options: DialectOptions): TimeColumn {
  const index = position(header, "time", mapping.time);
  const zone = new ZoneClock(options.timeZone ?? "UTC");
  if (mapping.date !== undefined) return { index, dateIndex: position(header, "date", mapping.date), reader: new TimeReader("clock", zone) };
  const day = options.day ?? dayOf(options.fileName);
  if (mapping.unit === "clock" && day === undefined) {
    throw new TicklakeError("CONFIG_INVALID", `columns.unit is "clock" (time of day), but there is no date: map a date column, set the date in the node, or put it into the file name ("${options.fileName}").`);
  }
  return { index, reader: new TimeReader(mapping.unit ?? "auto", zone, day) };
}

/** Any other file, by a mapping of its columns. */
export const custom: Dialect = {
  name: "custom",
  title: "Custom columns",
  required: [],
  plan: (header, options) => {
    if (!options.mapping) throw new TicklakeError("CONFIG_INVALID", `The dialect "custom" needs a mapping of the columns, such as ${EXAMPLE}.`);
    const mapping = options.mapping;
    const code = (part: "exchange" | "tape") => {
      const value = mapping[part], fixed = constant(value);
      return value === undefined ? undefined : fixed !== undefined ? () => fixed : codeColumn(position(header, part, value));
    };
    const symbol = constant(mapping.symbol), exchange = code("exchange"), tape = code("tape");
    return {
      symbol: symbol !== undefined ? () => symbol : symbolColumn(position(header, "symbol", mapping.symbol)),
      time: [timeColumn(header, mapping, options)],
      price: numberColumn(position(header, "price", mapping.price), "price"),
      size: numberColumn(position(header, "size", mapping.size), "size"),
      id: mapping.id === undefined ? lineAsId : idColumn([position(header, "id", mapping.id)]),
      ...(exchange && { exchange }),
      ...(tape && { tape }),
      ...(mapping.conditions !== undefined && { conditions: conditionsColumn(position(header, "conditions", mapping.conditions), listOfConditions) }),
    };
  },
};
