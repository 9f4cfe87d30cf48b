import type { Plan } from "../decoder";

/** Dialects that a header tells, and `custom`, which a mapping tells. */
export const DIALECTS = ["alpaca", "polygon", "databento", "tardis", "taq", "custom"] as const;
export type DialectName = (typeof DIALECTS)[number];

/** A custom mapping: what each part of a trade is called in the header, or its position from 1, or `=value` for a constant. */
export interface ColumnMapping {
  symbol: string | number;
  time: string | number;
  /** Where date and time of day stand in two columns. */
  date?: string | number;
  price: string | number;
  size: string | number;
  id?: string | number;
  exchange?: string | number;
  conditions?: string | number;
  tape?: string | number;
  /** Unit of numeric times; by default the number of digits tells. `clock` = time of day (93000.5 s is `093000500`, or `09:30:00.5`). */
  unit?: "auto" | "s" | "ms" | "us" | "ns" | "clock";
  /** Whether the first line is a header; by default it is, unless all columns are positions. */
  header?: boolean;
}

/** What a dialect has to know of the file besides its header. */
export interface DialectOptions {
  /** Name of the file, without its folder: TAQ keeps the date there. */
  fileName: string;
  /** Date of the trades where neither file nor name has one: midnight as if UTC, ms. */
  day?: number;
  /** Time zone of times without an offset; undefined = the dialect's own. */
  timeZone?: string;
  mapping?: ColumnMapping;
}

/** Positions of a header's names. */
export interface Header {
  readonly names: readonly string[];
  /** Position of a column, -1 when there is none. The exact name wins over one that differs in case. */
  at(name: string): number;
  has(...names: string[]): boolean;
}

export interface Dialect {
  readonly name: DialectName;
  /** What the editor and messages call it. */
  readonly title: string;
  /** Columns without which it is not this dialect. */
  readonly required: readonly string[];
  plan(header: Header, options: DialectOptions): Plan;
  /** For a last line that is no row: the number of rows that it claims; undefined when the record is no footer. */
  footer?(fields: readonly string[]): number | undefined;
}

export function headerOf(fields: readonly string[]): Header {
  const names = fields.map((f) => f.trim());
  const exact = new Map<string, number>(), folded = new Map<string, number>();
  names.forEach((name, i) => {
    if (!exact.has(name)) exact.set(name, i);
    if (!folded.has(name.toLowerCase())) folded.set(name.toLowerCase(), i);
  });
  const at = (name: string) => exact.get(name) ?? folded.get(name.toLowerCase()) ?? -1;
  return { names, at, has: (...wanted) => wanted.every((name) => at(name) >= 0) };
}
