/**
 * Reconciliation: whether several places hold the same trades of a time range. Nothing is written anywhere.
 */
import { asTicklakeError, TicklakeError } from "../errors";
import { parseRfc3339Ms } from "../trades/time";
import { compare, type Comparison, type Counted } from "./compare";
import { HOUR_MS, type TimeRange } from "./tally";

/** A place that can count what it holds. */
export interface Place {
  readonly name: string;
  count(range: TimeRange, signal?: AbortSignal): Promise<Counted>;
}

/** The answer, as nodes and commands give it. */
export interface Reconciliation extends Comparison {
  /** ISO 8601 (UTC); the range is up to and without `to`. */
  readonly from: string;
  readonly to: string;
  readonly ms: number;
  /** One line: `388,417 trades equal in 4 places`. */
  readonly summary: string;
}

export interface ReconcileOptions {
  readonly signal?: AbortSignal;
  /** Told before each place is counted. */
  readonly progress?: (text: string) => void;
  readonly maxDifferences?: number;
  /** Only these; all without it. */
  readonly symbols?: ReadonlySet<string>;
}

/**
 * Counts the places one after another, in their order, and compares them.
 *
 * @throws TicklakeError CONFIG_INVALID for fewer than two places; what a place throws, with its name in front; STOPPED
 */
export async function reconcile(places: readonly Place[], range: TimeRange, { signal, progress, maxDifferences, symbols }: ReconcileOptions = {}): Promise<Reconciliation> {
  if (places.length < 2) throw new TicklakeError("CONFIG_INVALID", "There is nothing to compare: name at least two places (source topic, destination topic, Iceberg table, Pinot table).");
  const began = performance.now();
  const counted: Counted[] = [];
  for (const place of places) {
    if (signal?.aborted) throw new TicklakeError("STOPPED", "The reconciliation was stopped.");
    progress?.(`counting ${place.name}`);
    const found = await place.count(range, signal).catch((caught: unknown) => {
      const error = asTicklakeError(caught);
      throw new TicklakeError(error.code, `${place.name} could not be counted: ${error.message}`, { cause: error });
    });
    if (symbols) found.tally.keepOnly(symbols);
    counted.push(found);
  }
  const result = compare(counted, maxDifferences);
  return { ...result, from: iso(range.from), to: iso(range.to), ms: Math.round(performance.now() - began), summary: summaryOf(result) };
}

function summaryOf({ equal, places, compared, different }: Comparison): string {
  const number = (value: number): string => value.toLocaleString("en-US");
  if (!equal) return `${number(different)} of ${number(compared)} symbol-hours differ: ${places.map(({ name, trades }) => `${name} ${number(trades)}`).join(", ")}`;
  const trades = places[0]!.trades;
  // Equal emptiness proves nothing: it must not look like success.
  return trades === 0 ? `no trades in any of ${places.length} places` : `${number(trades)} trades equal in ${places.length} places`;
}

/**
 * The range that is meant. Empty: from the beginning, up to the start of the hour that runs now (an hour that is still written to would differ by what is
 * under way).
 *
 * @param from, to Unix ms as number or digits, ISO 8601 with a zone (`2013-10-07T13:30:00Z`), or a day (`2013-10-07`: its start, UTC)
 * @throws TicklakeError CONFIG_INVALID
 */
export function parseRange(from: unknown, to: unknown, now: number = Date.now()): TimeRange {
  const range = { from: parseTime("from", from) ?? 0, to: parseTime("to", to) ?? Math.floor(now / HOUR_MS) * HOUR_MS };
  if (range.from >= range.to) throw new TicklakeError("CONFIG_INVALID", `The range is empty: from ${iso(range.from)} up to ${iso(range.to)}. Give a "to" that is later than "from".`);
  return range;
}

function parseTime(name: string, value: unknown): number | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  const text = typeof value === "number" ? String(value) : value instanceof Date ? value.toISOString() : value;
  if (typeof text === "string") {
    const trimmed = text.trim();
    const ms = /^\d{1,15}$/.test(trimmed) ? Number(trimmed) : parseRfc3339Ms(/^\d{4}-\d\d-\d\d$/.test(trimmed) ? `${trimmed}T00:00:00Z` : trimmed);
    if (ms !== undefined) return ms;
  }
  throw new TicklakeError("CONFIG_INVALID", `${name}: ${JSON.stringify(value)} is no time. Write 2013-10-07, 2013-10-07T13:30:00Z or Unix milliseconds.`);
}

function iso(ms: number): string { return new Date(ms).toISOString(); }
