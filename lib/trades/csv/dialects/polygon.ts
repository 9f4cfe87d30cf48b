import { codeColumn, conditionsColumn, idColumn, lineAsId, numberColumn, symbolColumn } from "../decoder";
import type { RecordScanner } from "../scanner";
import { TimeReader } from "../time";
import { correctionRecord } from "./corrections";
import type { Dialect } from "./types";

/** Polygon's exchange ids -> the tapes' letters. Ids that are not here stay as they are. */
const EXCHANGES: Readonly<Record<string, string>> = {
  1: "A", 2: "B", 3: "C", 4: "D", 5: "E", 6: "I", 7: "J", 8: "K", 9: "M", 10: "N", 11: "P", 12: "T", 13: "S", 14: "L", 15: "V",
  16: "W", 17: "X", 18: "Y", 19: "Z", 20: "H", 21: "U",
};
const NASDAQ = "12";
const TAPES: Readonly<Record<string, string>> = { 1: "A", 2: "B", 3: "C" };

/** Polygon's condition ids -> the tapes' letters; two where CTA (tapes A, B) and UTP (C) differ: [CTA, UTP]. */
const CONDITIONS: Readonly<Record<string, string | readonly [string, string]>> = {
  0: "@", 1: "A", 2: ["B", "W"], 3: "E", 4: "B", 5: "G", 7: "C", 8: "6", 9: "X", 10: "4", 11: "D", 12: "T", 13: "U", 14: "F", 15: "M", 16: "Q",
  17: "O", 18: "5", 19: "6", 20: "N", 21: "H", 22: "P", 23: "K", 24: "K", 25: "O", 27: "1", 28: "5", 29: "R", 30: "L", 33: "Z", 34: "S", 36: "Y",
  37: "I", 38: "9", 52: "V", 53: "7", 59: "8",
};

const letters = (utp: boolean) => (text: string): string[] => text.split(/[\s,]+/).filter((id) => id !== "").map((id) => {
  const letter = CONDITIONS[id];
  return letter === undefined ? id : typeof letter === "string" ? letter : letter[utp ? 1 : 0];
});

/**
 * Flat files of Polygon (Massive): nanosecond epochs, numeric exchanges, tapes and conditions, sorted by ticker. The
 * time is the SIP's, as in Alpaca's feed; the participant's where the SIP's is missing.
 */
export const polygon: Dialect = {
  name: "polygon",
  title: "Polygon / Massive flat file",
  required: ["ticker", "conditions", "exchange", "price", "sip_timestamp", "size"],
  plan: (header) => {
    const tapeAt = header.at("tape"), exchangeAt = header.at("exchange"), conditionsAt = header.at("conditions");
    const tape = codeColumn(tapeAt, (t) => TAPES[t] ?? t);
    const onC = (r: RecordScanner) => tapeAt >= 0 && tape(r) === "C";
    // Nasdaq is T on tapes A and B, Q on its own tape.
    const ctaExchange = codeColumn(exchangeAt, (id) => EXCHANGES[id] ?? id);
    const utpExchange = codeColumn(exchangeAt, (id) => (id === NASDAQ ? "Q" : EXCHANGES[id] ?? id));
    const cta = conditionsColumn(conditionsAt, letters(false)), utp = conditionsColumn(conditionsAt, letters(true));
    const correctionAt = header.at("correction");
    return {
      symbol: symbolColumn(header.at("ticker")),
      time: ["sip_timestamp", "participant_timestamp"].filter((n) => header.has(n)).map((n) => ({ index: header.at(n), reader: new TimeReader("ns") })),
      price: numberColumn(header.at("price"), "price"),
      size: numberColumn(header.at("size"), "size"),
      id: header.has("id") ? idColumn(header.has("sequence_number") ? [header.at("id"), header.at("sequence_number")] : [header.at("id")]) : lineAsId,
      exchange: (r) => (onC(r) ? utpExchange(r) : ctaExchange(r)),
      conditions: (r) => (onC(r) ? utp(r) : cta(r)),
      ...(tapeAt >= 0 && { tape }),
      ...(correctionAt >= 0 && { notATrade: correctionRecord(correctionAt) }),
    };
  },
};
