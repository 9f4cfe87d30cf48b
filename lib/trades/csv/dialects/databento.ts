import { codeColumn, fixedPointPrice, idColumn, lineAsId, numberColumn, quote, symbolColumn } from "../decoder";
import { TimeReader } from "../time";
import type { Dialect } from "./types";

/** Databento's publisher ids of US equity feeds -> the tapes' letters; others stay numbers. */
const EXCHANGES: Readonly<Record<string, readonly number[]>> = {
  A: [11, 78], B: [3, 75, 86, 88], C: [10, 13, 14, 40, 49, 63, 91], D: [17, 18, 19, 54, 55, 56, 68, 69, 70, 82, 83], H: [16, 42, 51, 65], J: [7, 73], K: [8, 74],
  L: [80], M: [12, 39, 48, 62], N: [9, 44, 45, 53, 67, 92], P: [43, 79], Q: [2, 46, 47, 52, 66, 81], U: [15, 77], V: [38, 41, 50, 64], X: [4, 76, 87, 89],
  Y: [6, 72], Z: [5, 71],
};
const LETTER = new Map(Object.entries(EXCHANGES).flatMap(([letter, ids]) => ids.map((id) => [String(id), letter] as const)));
/** "No price" and "no time" of DBN. */
const NO_PRICE = "9223372036854775807", NO_TIME = "18446744073709551615";

/**
 * The trades schema of Databento as CSV, raw (prices in billionths, nanosecond epochs) or pretty-printed. The time is
 * the venue's (ts_event); where that is missing, when Databento received it. Symbols need `map_symbols`.
 */
export const databento: Dialect = {
  name: "databento",
  title: "Databento trades",
  required: ["ts_event", "publisher_id", "price", "size", "symbol"],
  plan: (header) => ({
    symbol: symbolColumn(header.at("symbol")),
    // Other than `ns`, `auto` would also do: but a raw time is always nanoseconds, however few its digits.
    time: ["ts_event", "ts_recv"].filter((n) => header.has(n)).map((n) => ({ index: header.at(n), reader: new TimeReader("ns"), none: NO_TIME })),
    price: fixedPointPrice(header.at("price"), NO_PRICE),
    size: numberColumn(header.at("size"), "size"),
    id: header.has("sequence") ? idColumn([header.at("sequence")]) : lineAsId,
    exchange: codeColumn(header.at("publisher_id"), (id) => LETTER.get(id) ?? id),
    ...(header.has("action") && {
      notATrade: (r) => {
        const action = r.field(header.at("action"));
        return action === "T" || action === "" ? undefined : `action ${quote(action)} is not a trade`;
      },
    }),
  }),
};
