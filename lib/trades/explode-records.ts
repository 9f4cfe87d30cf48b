import { TradeColumns } from "./columnar/columns";
import { LazyRecords } from "./columnar/lazy-records";
import { LazyTrades, type LazyRawTrades } from "./columnar/lazy-trades";
import { FORM } from "./columnar/scanner";
import { explode, ExplodeRun, type ExplodeContext, type Exploded, type ExplodeOptions, type Reject } from "./explode";
import type { Trade } from "./types";

/** As Exploded, but the trades are columns where no objects were needed. */
export interface ExplodedRecords {
  readonly trades: LazyTrades | Exploded["trades"];
  readonly rejects: Reject[];
  readonly duplicates: number;
}

/**
 * `explode` of records whose trades are columns already, with the same result: nothing is made of a trade. Records that hold something else are
 * taken apart one by one, and their trades go into the columns at their place.
 */
export function explodeRecords(records: LazyRecords, options: ExplodeOptions, context: ExplodeContext = {}): ExplodedRecords {
  const { whole, columns } = records;
  if (whole && !options.dedupe) return { trades: new LazyTrades(columns, options.names), rejects: [], duplicates: 0 };
  // Messages that are no trades have no place in columns.
  if (!whole && options.other === "pass") return explode(records.materialise(), options, context);
  const out = new TradeColumns(columns.dictionary, columns.count);
  const run = new ExplodeRun({ ...options, names: "documented" }, context);
  let duplicates = 0;
  for (let k = 0; k < records.length; k++) {
    if (records.forms[k] !== 0) {
      if (options.dedupe) duplicates += copyNew(records, k, out, options, context);
      else out.copy(columns, records.starts[k]!, records.starts[k + 1]!);
      continue;
    }
    run.top(records.record(k), k);
    // The dictionary is full: as objects then. The window knows these records again by their offsets.
    for (const trade of run.trades.splice(0)) if (!out.push(trade as Trade)) return explode(records.materialise(), options, context);
  }
  return { trades: new LazyTrades(out.seal(), options.names), rejects: run.rejects, duplicates: duplicates + run.duplicates };
}

/** `explode` of raw trades that are columns already (alpaca-in): another name for a field, and nothing to reject. */
export function explodeColumns(raw: LazyRawTrades, { names }: Pick<ExplodeOptions, "names">): ExplodedRecords {
  return { trades: new LazyTrades(raw.columns, names), rejects: [], duplicates: 0 };
}

/** The trades of record k that did not pass before. Returns how many did. */
function copyNew(records: LazyRecords, k: number, out: TradeColumns, { dedupe }: ExplodeOptions, { origin }: ExplodeContext): number {
  const { columns, starts, forms } = records;
  const { symbols, exchanges } = columns.dictionary;
  const from = starts[k]!, to = starts[k + 1]!;
  const listed = (forms[k]! & FORM.list) !== 0;
  const offset = records.offset(k);
  let duplicates = 0, next = from;
  for (let at = from; at < to; at++) {
    const S = symbols.values[columns.symbol[at]!]!, x = exchanges.values[columns.exchange[at]!]!;
    if (dedupe!.isDuplicate(origin!, S, x, columns.idAt(at), columns.timeAt(at), offset, listed ? at - from : -1)) {
      out.copy(columns, next, at);
      next = at + 1;
      duplicates++;
    }
  }
  out.copy(columns, next, to);
  return duplicates;
}
