import { TicklakeError } from "../../../errors";
import { codeColumn, conditionsColumn, idColumn, lineAsId, numberColumn, symbolColumn } from "../decoder";
import { TimeReader, ZoneClock, dayOf } from "../time";
import { correctionRecord } from "./corrections";
import type { Dialect } from "./types";

/** Four positions, one letter each, blanks where nothing is to be said: `@ TI`. */
const positions = (text: string): string[] => [...text].filter((c) => c !== " ");

/**
 * Daily TAQ of the NYSE: bars between columns, times of day in New York without a date (the file name has it, or the
 * option), symbols with a blank before the suffix (`BRK B` = `BRK.B`), a footer `END|date|count`. Tape C is known from
 * the source of the trade (N = UTP); tapes A and B are not told apart, so the tape is then left out.
 */
export const taq: Dialect = {
  name: "taq",
  title: "NYSE TAQ",
  required: ["Time", "Exchange", "Symbol", "Trade Volume", "Trade Price"],
  plan: (header, options) => {
    const day = options.day ?? dayOf(options.fileName);
    if (day === undefined) {
      throw new TicklakeError("CONFIG_INVALID", `TAQ files have times of day only, and "${options.fileName}" names no date. Set the date of the trades (YYYY-MM-DD) in the node, or put it into the file name.`);
    }
    const ids = ["Trade Id", "Sequence Number"].filter((n) => header.has(n)).map((n) => header.at(n));
    const source = header.at("Source of Trade"), correction = header.at("Trade Correction Indicator");
    return {
      symbol: symbolColumn(header.at("Symbol"), "."),
      time: [{ index: header.at("Time"), reader: new TimeReader("clock", new ZoneClock(options.timeZone ?? "America/New_York"), day) }],
      price: numberColumn(header.at("Trade Price"), "price"),
      size: numberColumn(header.at("Trade Volume"), "size"),
      id: ids.length > 0 ? idColumn(ids) : lineAsId,
      exchange: codeColumn(header.at("Exchange")),
      ...(header.has("Sale Condition") && { conditions: conditionsColumn(header.at("Sale Condition"), positions) }),
      ...(source >= 0 && { tape: codeColumn(source, (s) => (s === "N" ? "C" : null)) }),
      ...(correction >= 0 && { notATrade: correctionRecord(correction) }),
    };
  },
  footer: (fields) => (fields[0] === "END" && /^\d{8}$/.test(fields[1] ?? "") && /^\d+$/.test(fields[2] ?? "") ? Number(fields[2]) : undefined),
};
