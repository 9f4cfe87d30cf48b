/** A reconciliation in words, for a terminal. Pure. */
import type { Reconciliation } from "../reconcile/run";
import { rowsAsTable } from "./rows";

/** The places with what they hold, the verdict, and what differs. */
export function reconciliationText({ from, to, places, compared, different, differences, equal, summary }: Reconciliation): string {
  const number = (value: number | string): string => value.toString().replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  const unreadable = places.some((place) => place.unreadable > 0);
  const rows = places.map(({ name, trades, size, unreadable: bad }) => ({ place: name, trades: number(trades), shares: number(size), ...(unreadable ? { "not trades": number(bad) } : {}) }));
  return [
    `Trades from ${from} up to ${to}, ${number(compared)} symbol-hours compared`, "",
    rowsAsTable(["place", "trades", "shares", ...(unreadable ? ["not trades"] : [])], rows), "",
    equal ? `EQUAL: ${summary}` : `DIFFERENT: ${summary}`,
    ...differences.map(({ text }) => `  ${text}`), ...(different > differences.length ? [`  ... and ${number(different - differences.length)} more (--max-differences)`] : []),
  ].join("\n");
}
