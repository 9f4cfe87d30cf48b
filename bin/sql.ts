import type { Asked } from "../lib/cli/arguments";
import { rowsAsCsv, rowsAsJson, rowsAsTable } from "../lib/cli/rows";
import { flowVariables } from "../lib/cli/settings";
import { TicklakeError } from "../lib/errors";
import { openCatalog } from "../lib/iceberg/catalog/open";
import { runCall } from "../lib/sql/call";
import { isCall } from "../lib/sql/call-parser";
import { CatalogTables } from "../lib/sql/catalog-tables";
import { SqlEngine } from "../lib/sql/engine";
import { parseQuery } from "../lib/sql/options";

/** `ticklake sql`: one query, its rows on standard output. Needs no Node-RED. */
export async function runSql(asked: Asked, environment: NodeJS.ProcessEnv): Promise<number> {
  const { values, positionals, command } = asked;
  Object.assign(environment, flowVariables(asked, environment, {}, process.cwd()));
  const standard = (name: string): string => command.parameters.find((one) => one.name === name)?.default ?? "";
  const setting = (name: string, variable: string): string => values.get(name) ?? (environment[variable] || standard(name));
  const named = setting("iceberg-catalog", "ICEBERG_CATALOG"), uri = setting("rest-uri", "ICEBERG_REST_URI");
  const warehouse = setting("iceberg-warehouse", "ICEBERG_WAREHOUSE");
  const catalog = openCatalog({
    catalogName: named === "spark_catalog" ? "local" : named, catalogType: uri === "" ? "hadoop" : "rest", uri,
    // The default is a place; a REST catalog would take it for its name of a warehouse.
    warehouse: uri !== "" && warehouse === standard("iceberg-warehouse") ? "" : warehouse,
    s3Endpoint: setting("s3-endpoint", "S3_ENDPOINT"), s3Region: environment["AWS_REGION"] || "us-east-1",
  }, process.cwd(), { onWarning: (text) => { process.stderr.write(`warning: ${text}\n`); } });
  const { sql, maxRows } = parseQuery({ sql: positionals[0], maxRows: values.get("max-rows") });
  const engine = new SqlEngine(), tables = new CatalogTables();
  try {
    const { columns, rows, truncated } = isCall(sql) ? await call() : await engine.query({ sql, ...(maxRows === undefined ? {} : { maxRows }), tables: tables.resolver(catalog, [catalog]) });
    const names = columns.map(({ name }) => name), format = values.get("format") ?? "table";
    const text = format === "json" ? rowsAsJson(rows) : format === "csv" ? rowsAsCsv(names, rows) : rowsAsTable(names, rows);
    await new Promise<void>((done) => { process.stdout.write(text === "" ? "" : `${text}\n`, () => done()); });
    if (format === "table" || truncated) process.stderr.write(`${rows.length} row${rows.length === 1 ? "" : "s"}${truncated ? `; there are more: --max-rows` : ""}\n`);
    return 0;
  } finally {
    await engine.close();
  }

  function call(): ReturnType<typeof runCall> {
    if (!values.has("allow-calls")) throw new TicklakeError("CONFIG_INVALID", "CALL changes tables and deletes files. Add --allow-calls if it may.");
    return runCall({ sql, own: catalog, others: [catalog], engine, tables, ...(maxRows === undefined ? {} : { maxRows }) });
  }
}
