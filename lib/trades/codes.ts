/**
 * The codes of US equity trades: exchanges, tapes and sale conditions, as the two consolidated tapes publish them
 * (CTA/CTS for tapes A and B, UTP/UTDF for tape C; Alpaca passes the letters through).
 */

/** Exchange code of one of the tapes' participants -> name. */
export const EXCHANGES: Readonly<Record<string, string>> = {
  A: "NYSE American",
  B: "Nasdaq BX",
  C: "NYSE National",
  D: "FINRA ADF / TRF",
  E: "Market independent (SIP)",
  G: "24X National Exchange",
  H: "MIAX Pearl",
  I: "Nasdaq ISE",
  J: "Cboe EDGA",
  K: "Cboe EDGX",
  L: "Long-Term Stock Exchange",
  M: "NYSE Texas (formerly Chicago)",
  N: "NYSE",
  P: "NYSE Arca",
  Q: "Nasdaq",
  S: "Nasdaq Small Cap",
  T: "Nasdaq Int",
  U: "Members Exchange (MEMX)",
  V: "IEX",
  W: "Cboe (CBSX)",
  X: "Nasdaq PHLX (PSX)",
  Y: "Cboe BYX",
  Z: "Cboe BZX (BATS)",
};

/** The consolidated tapes: which listings they carry. */
export const TAPES = {
  A: "NYSE listings",
  B: "NYSE Arca, NYSE American and the other regional listings",
  C: "Nasdaq listings",
} as const;
export type Tape = keyof typeof TAPES;

/** Exchange code of the listing venue -> its tape. */
const TAPE_BY_LISTING: Readonly<Record<string, Tape>> = { N: "A", Q: "C", S: "C", T: "C", P: "B", A: "B", Z: "B", V: "B", B: "B", M: "B", C: "B", L: "B", U: "B", G: "B" };

/** The tape that carries a security listed at that exchange; undefined for venues that list nothing. */
export function tapeOfListing(exchange: string): Tape | undefined {
  return TAPE_BY_LISTING[exchange];
}

/** Sale conditions of the CTA plan (tapes A and B). A blank means regular sale as `@` does. */
export const CTA_CONDITIONS: Readonly<Record<string, string>> = {
  " ": "Regular sale",
  "@": "Regular sale",
  B: "Average price trade",
  C: "Cash trade (same-day clearing)",
  E: "Automatic execution",
  F: "Intermarket sweep order",
  H: "Price variation trade",
  I: "Odd lot trade",
  K: "Rule 127 / Rule 155 trade",
  L: "Sold last (late reporting)",
  M: "Market center official close",
  N: "Next day trade (next-day clearing)",
  O: "Market center opening trade",
  P: "Prior reference price",
  Q: "Market center official open",
  R: "Seller",
  T: "Extended hours trade (Form T)",
  U: "Extended hours, sold out of sequence",
  V: "Contingent trade",
  X: "Cross trade",
  Z: "Sold, out of sequence",
  "4": "Derivatively priced",
  "5": "Market center reopening trade",
  "6": "Market center closing trade",
  "7": "Qualified contingent trade",
  "9": "Corrected consolidated close",
};

/** Sale conditions of the UTP plan (tape C). */
export const UTP_CONDITIONS: Readonly<Record<string, string>> = {
  "@": "Regular sale",
  A: "Acquisition",
  B: "Bunched trade",
  C: "Cash sale",
  D: "Distribution",
  E: "Placeholder",
  F: "Intermarket sweep",
  G: "Bunched sold trade",
  H: "Price variation trade",
  I: "Odd lot trade",
  K: "Rule 155 trade (AMEX)",
  L: "Sold last",
  M: "Market center official close",
  N: "Next day",
  O: "Opening prints",
  P: "Prior reference price",
  Q: "Market center official open",
  R: "Seller",
  S: "Split trade",
  T: "Form T",
  U: "Extended hours, sold out of sequence",
  V: "Contingent trade",
  W: "Average price trade",
  X: "Cross trade",
  Y: "Yellow flag regular trade",
  Z: "Sold, out of sequence",
  "1": "Stopped stock (regular trade)",
  "2": "Stopped stock (sold last)",
  "3": "Stopped stock (sold)",
  "4": "Derivatively priced",
  "5": "Re-opening prints",
  "6": "Closing prints",
  "7": "Qualified contingent trade",
  "8": "Placeholder for 611 exempt",
  "9": "Corrected consolidated close",
};

/** Name of a sale condition on that tape; undefined for a code that its plan does not have. */
export function conditionName(code: string, tape: string | null | undefined): string | undefined {
  return (tape === "C" ? UTP_CONDITIONS : CTA_CONDITIONS)[code];
}

/** Listing exchange of symbols that everybody knows, so that generated trades carry the exchange and tape that one expects. */
export const KNOWN_LISTINGS: Readonly<Record<string, "N" | "Q" | "P" | "A" | "Z">> = {
  AAPL: "Q", MSFT: "Q", GOOGL: "Q", GOOG: "Q", AMZN: "Q", TSLA: "Q", META: "Q", NVDA: "Q", NFLX: "Q", AMD: "Q", INTC: "Q", CSCO: "Q", ADBE: "Q",
  AVGO: "Q", QCOM: "Q", COST: "Q", PEP: "Q", SBUX: "Q", PYPL: "Q", MU: "Q", TXN: "Q", GILD: "Q", AMGN: "Q", CMCSA: "Q", MRNA: "Q", QQQ: "Q", TLT: "Q",
  IBM: "N", BAC: "N", AIG: "N", JPM: "N", WFC: "N", C: "N", GS: "N", MS: "N", XOM: "N", CVX: "N", KO: "N", PG: "N", JNJ: "N", PFE: "N", MRK: "N", DIS: "N",
  V: "N", MA: "N", UNH: "N", HD: "N", MCD: "N", NKE: "N", BA: "N", CAT: "N", GE: "N", F: "N", GM: "N", T: "N", VZ: "N", WMT: "Q", ORCL: "N", CRM: "N",
  UBER: "N", BRK: "N", "BRK.A": "N", "BRK.B": "N", BABA: "N", TSM: "N",
  SPY: "P", IWM: "P", DIA: "P", GLD: "P", SLV: "P", VTI: "P", VOO: "P", XLF: "P", XLE: "P", XLK: "P", EEM: "P",
  IMO: "A", GORO: "A", UAMY: "A", VXX: "Z", ARKK: "Z", IEFA: "Z",
};
