import { codeColumn, conditionsColumn, idColumn, lineAsId, listOfConditions, numberColumn, symbolColumn } from "../decoder";
import { TimeReader, ZoneClock } from "../time";
import type { Dialect } from "./types";

/**
 * `df.to_csv()` of Alpaca's SDKs. Times are RFC 3339 (pandas writes a blank for the `T`), conditions the text of a
 * Python list. Several symbols come one after the other. Without ids the line number stands in.
 */
export const alpaca: Dialect = {
  name: "alpaca",
  title: "Alpaca SDK",
  required: ["symbol", "timestamp", "price", "size"],
  plan: (header, options) => ({
    symbol: symbolColumn(header.at("symbol")),
    time: [{ index: header.at("timestamp"), reader: new TimeReader("auto", new ZoneClock(options.timeZone ?? "UTC")) }],
    price: numberColumn(header.at("price"), "price"),
    size: numberColumn(header.at("size"), "size"),
    id: header.has("id") ? idColumn([header.at("id")]) : lineAsId,
    ...(header.has("exchange") && { exchange: codeColumn(header.at("exchange")) }),
    ...(header.has("conditions") && { conditions: conditionsColumn(header.at("conditions"), listOfConditions) }),
    ...(header.has("tape") && { tape: codeColumn(header.at("tape")) }),
  }),
};
