import { rowsAsCsv, rowsAsJson, rowsAsTable } from "../lib/cli/rows";
import { print, say } from "./servers";

/** Rows on standard output in a format of the option; their number, and what else is to be known of them, on standard error. */
export async function printRows(format: string | undefined, names: readonly string[], rows: readonly Readonly<Record<string, unknown>>[], note: string): Promise<void> {
  await print(format === "json" || format === "jsonl" ? rowsAsJson(rows) : format === "csv" ? rowsAsCsv(names, rows) : rowsAsTable(names, rows));
  if (format === undefined || format === "table" || note !== "") say(`${rows.length} row${rows.length === 1 ? "" : "s"}${note === "" ? "" : `; ${note}`}`);
}
