import type { Asked } from "../lib/cli/arguments";
import { TicklakeError } from "../lib/errors";
import { runCall } from "../lib/sql/call";
import { isCall } from "../lib/sql/call-parser";
import { CatalogTables } from "../lib/sql/catalog-tables";
import { SqlEngine } from "../lib/sql/engine";
import { parseQuery } from "../lib/sql/options";
import { printRows } from "./print-rows";
import { catalogFor, settingsOf } from "./servers";

/** `ticklake sql`: one query, its rows on standard output. Needs no Node-RED. */
export async function runSql(asked: Asked, environment: NodeJS.ProcessEnv): Promise<number> {
  const { values, positionals } = asked;
  const catalog = catalogFor(asked, settingsOf(asked, environment), environment);
  const { sql, maxRows } = parseQuery({ sql: positionals[0], maxRows: values.get("max-rows") });
  const engine = new SqlEngine(), tables = new CatalogTables();
  try {
    const { columns, rows, truncated } = isCall(sql) ? await call() : await engine.query({ sql, ...(maxRows === undefined ? {} : { maxRows }), tables: tables.resolver(catalog, [catalog]) });
    await printRows(values.get("format"), columns.map(({ name }) => name), rows, truncated ? "there are more: --max-rows" : "");
    return 0;
  } finally {
    await engine.close();
  }

  function call(): ReturnType<typeof runCall> {
    if (!values.has("allow-calls")) throw new TicklakeError("CONFIG_INVALID", "CALL changes tables and deletes files. Add --allow-calls if it may.");
    return runCall({ sql, own: catalog, others: [catalog], engine, tables, ...(maxRows === undefined ? {} : { maxRows }) });
  }
}
