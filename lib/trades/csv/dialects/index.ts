import { TicklakeError } from "../../../errors";
import { alpaca } from "./alpaca";
import { custom } from "./custom";
import { databento } from "./databento";
import { polygon } from "./polygon";
import { tardis } from "./tardis";
import { taq } from "./taq";
import type { Dialect, DialectName, Header } from "./types";

export * from "./types";
export { hasHeader, parseMapping } from "./custom";

/** Those that a header tells; the more demanding ones first. */
const BY_HEADER: readonly Dialect[] = [polygon, databento, tardis, taq, alpaca];
const ALL: Readonly<Record<DialectName, Dialect>> = { alpaca, polygon, databento, tardis, taq, custom };

/**
 * The dialect of a file: the one asked for, or with `auto` the one whose columns the header has.
 *
 * @throws TicklakeError CSV_DIALECT_UNKNOWN with the header that was seen
 */
export function chooseDialect(name: DialectName | "auto", header: Header): Dialect {
  const seen = header.names.join(", ");
  const shown = seen.length > 300 ? `${seen.slice(0, 300)}…` : seen;
  if (name === "auto") {
    const found = BY_HEADER.find((d) => header.has(...d.required));
    if (found) return found;
    throw new TicklakeError("CSV_DIALECT_UNKNOWN",
      `No known dialect has the header "${shown}". Choose the dialect "custom" in the node and map the columns symbol, time, price and size (known: ${BY_HEADER.map((d) => d.title).join(", ")}).`,
      { details: { header: header.names } });
  }
  const dialect = ALL[name];
  const missing = dialect.required.filter((column) => !header.has(column));
  if (missing.length === 0) return dialect;
  throw new TicklakeError("CSV_DIALECT_UNKNOWN",
    `This is no file of ${dialect.title}: the column ${missing.map((m) => `"${m}"`).join(", ")} is missing; the header is "${shown}". Set the dialect to "auto", or to "custom" with a mapping of the columns.`,
    { details: { header: header.names, missing } });
}
