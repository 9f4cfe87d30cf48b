/** Queries of a table on S3 and on a disk, beside DuckDB's own iceberg_scan on that disk: time, and bytes that travel from S3. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { HadoopCatalog } from "../lib/iceberg/catalog/hadoop";
import { parseIdentifier } from "../lib/iceberg/catalog/identifier";
import { ColumnAccumulator } from "../lib/iceberg/columns";
import { append } from "../lib/iceberg/commit";
import { writeDataFiles } from "../lib/iceberg/data-files";
import { LocalFileIO } from "../lib/iceberg/io/local";
import { openFileIO } from "../lib/iceberg/io/open";
import type { FileIO } from "../lib/iceberg/io/types";
import { currentSchema, defaultSpec } from "../lib/iceberg/metadata";
import { encodeBatch } from "../lib/iceberg/parquet";
import { TRADES_SCHEMA } from "../lib/iceberg/schema";
import { parsePartitionBy } from "../lib/iceberg/transforms";
import { CatalogTables, type QueryCatalog } from "../lib/sql/catalog-tables";
import { type QueryResult, SqlEngine } from "../lib/sql/engine";
import { benchTrades, median, table } from "./lib/support";
import { s3Properties, startS3 } from "../test/support/s3";

const root = join(__dirname, "..");
const python = join(resolve(root, process.env["TICKLAKE_STACK"] ?? ".stack"), "py/bin/python");
const rows = Number(process.argv[2] ?? 2_000_000);
const rounds = Number(process.argv[3] ?? 5);
/** Rows of a commit. */
const COMMIT = 100_000;

/** `{s}` stands for the size's name (DuckDB calls `s` `s_1`), `{t}` for the table, `{from}` for the last day. */
const QUERIES = [
  ["count(*)", "SELECT count(*) AS n FROM {t}"],
  ["one column", "SELECT max(p) AS p FROM {t}"],
  ["documented aggregate", "SELECT S as symbol, COUNT(*) as trade_count, AVG(p) as avg_price, SUM({s}) as total_volume FROM {t} GROUP BY S ORDER BY trade_count DESC"],
  ["aggregate of the last day", "SELECT S as symbol, SUM({s}) as total_volume FROM {t} WHERE timestamp >= {from} GROUP BY S"],
  ["every column of the last minute", "SELECT * FROM {t} WHERE timestamp >= {minute}"],
] as const;

async function fill(io: FileIO, warehouse: string): Promise<{ catalog: QueryCatalog; location: string; last: number; files: number; bytes: number }> {
  const catalog = Object.assign(new HadoopCatalog({ name: "lake", warehouse, io }), { root: warehouse });
  const made = await catalog.createTable(parseIdentifier("db.trades", "lake"), { schema: TRADES_SCHEMA, spec: parsePartitionBy("truncate[86400000](timestamp)", TRADES_SCHEMA) });
  let columns = new ColumnAccumulator(TRADES_SCHEMA);
  let last = 0, held = 0, files = 0, bytes = 0;
  const commit = async (): Promise<void> => {
    const { metadata } = made.state;
    const batch = columns.take([[0, held]]);
    const written = await writeDataFiles(made, encodeBatch({ batch, schema: currentSchema(metadata), spec: defaultSpec(metadata), codec: "snappy" }), 0);
    await append(made, { files: written });
    files += written.length;
    bytes += written.reduce((sum, file) => sum + file.fileSizeInBytes, 0);
    columns = new ColumnAccumulator(TRADES_SCHEMA);
    held = 0;
  };
  for await (const batch of benchTrades(rows)) {
    columns.append(batch, (_row, _index, reason) => { throw new Error(String(reason)); });
    held += batch.length;
    for (const { timestamp } of batch) last = Math.max(last, timestamp);
    if (held >= COMMIT) await commit();
  }
  if (held > 0) await commit();
  return { catalog, location: made.location, last, files, bytes };
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ticklake-bench-"));
  const s3 = await startS3({ dataDir: join(folder, "s3") });
  try {
    const disk = await fill(new LocalFileIO(), join(folder, "warehouse"));
    const stored = await fill(openFileIO(s3Properties(s3)), `s3://${s3.bucket("warehouse")}/lake`);
    const values = { from: String(Math.floor(disk.last / 86_400_000) * 86_400_000), minute: String(disk.last - 60_000) };
    const text = (sql: string, t: string, s: string): string => sql.replaceAll("{t}", t).replaceAll("{s}", s).replaceAll("{from}", values.from).replaceAll("{minute}", values.minute);
    console.log(`${rows.toLocaleString("en")} trades, ${disk.files} data files, ${(disk.bytes / 1e6).toFixed(1)} MB; median of ${rounds} runs. "First" is an engine that has seen nothing.`);
    const theirs = existsSync(python) ? duckdb(QUERIES.map(([, sql]) => text(sql, `iceberg_scan('${disk.location}')`, "s_1"))) : undefined;
    if (!theirs) console.log("DuckDB is left out: run `npm test -- --setup` first (it needs Python 3).");
    const out: string[][] = [];
    for (const [index, [name, template]] of QUERIES.entries()) {
      const sql = text(template, "lake.db.trades", "s");
      const cold = await measure(() => new SqlEngine(), stored.catalog, sql, true);
      const warm = await measure(() => new SqlEngine(), stored.catalog, sql, false);
      const local = await measure(() => new SqlEngine(), disk.catalog, sql, false);
      out.push([name, `${cold.result.filesScanned} of ${disk.files}`, ms(cold.ms), `${(cold.result.bytesFetched / 1e6).toFixed(2)} MB`, `${((100 * cold.result.bytesFetched) / disk.bytes).toFixed(1)} %`, ms(warm.ms), ms(local.ms), theirs ? ms(theirs[index]!) : ""]);
    }
    console.log(table(["query", "files", "S3, first", "travelled", "of all", "S3, again", "disk", "iceberg_scan, disk"], out));
  } finally {
    await s3.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Median time: of the first query of fresh engines, or of one engine's later ones. */
async function measure(make: () => SqlEngine, catalog: QueryCatalog, sql: string, first: boolean): Promise<{ ms: number; result: QueryResult }> {
  const times: number[] = [];
  let result: QueryResult | undefined;
  let engine = make();
  let tables = new CatalogTables();
  for (let round = first ? 0 : -1; round < rounds; round++) {
    if (first && round > 0) {
      await engine.close();
      [engine, tables] = [make(), new CatalogTables()];
    }
    const started = performance.now();
    result = await engine.query({ sql, tables: tables.resolver(catalog, [catalog]) });
    if (round >= 0) times.push(performance.now() - started);
  }
  await engine.close();
  return { ms: median(times), result: result! };
}

/** Median milliseconds of each query in DuckDB with its own extension, in one process. */
function duckdb(queries: readonly string[]): number[] {
  const run = spawnSync(python, [join(root, "bench/py/duckdb_scan.py"), String(rounds), ...queries], { encoding: "utf8", cwd: root });
  if (run.status !== 0) throw new Error(run.stderr);
  return JSON.parse(run.stdout) as number[];
}

const ms = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)} ms`;

void main();
