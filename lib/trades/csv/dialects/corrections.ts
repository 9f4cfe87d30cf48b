import type { RecordScanner } from "../scanner";

const RECORDS: Readonly<Record<number, string>> = { 10: "a cancel record", 11: "an error record", 12: "a correction record" };

/**
 * The trade correction indicator of the tapes (TAQ, also in Polygon's files): 00, 01, 07 and 08 are trades as they
 * were reported; 10, 11 and 12 are records about an earlier trade, and no trades.
 */
export function correctionRecord(index: number): (r: RecordScanner) => string | undefined {
  return (r) => {
    const start = r.starts[index]!, end = r.ends[index]!;
    if (end - start < 2 || r.buf[start] !== 49) return undefined;
    const code = Number(r.field(index));
    const what = RECORDS[code];
    return what === undefined ? undefined : `correction ${code}: ${what} about an earlier trade, not a trade`;
  };
}
