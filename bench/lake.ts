/** Commits on a local folder, in S3 and behind a REST catalog: latency, growth with the history, metadata. --commits 1000 --rows 1000 --on local,s3,rest. `--commits 50000 --maintenance`: on a folder with maintenance on. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCatalog } from "../lib/iceberg/catalog/open";
import type { Catalog, Table } from "../lib/iceberg/catalog/types";
import { ColumnAccumulator } from "../lib/iceberg/columns";
import { append, type Watermark } from "../lib/iceberg/commit";
import { writeDataFiles } from "../lib/iceberg/data-files";
import { currentSchema, defaultSpec } from "../lib/iceberg/metadata";
import { encodeBatch } from "../lib/iceberg/parquet";
import { TRADES_PARTITION_BY, TRADES_SCHEMA } from "../lib/iceberg/schema";
import { parsePartitionBy } from "../lib/iceberg/transforms";
import { startRest } from "../test/support/rest";
import { startS3 } from "../test/support/s3";
import { maintained } from "./lib/maintained";
import { type BenchTrade, benchTrades, median, quantile, table as markdown } from "./lib/support";

const option = (name: string, fallback: string): string => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : process.argv[at + 1] ?? fallback;
};
const COMMITS = Number(option("commits", "1000"));
const ROWS = Number(option("rows", "1000"));
const ON = option("on", "local,s3,rest").split(",");
const WIDTH = Math.max(1, Math.min(100, Math.floor(COMMITS / 4)));

/** A place for tables, and what one durable file costs there: the floor of every commit. */
interface Place { readonly name: string; readonly catalog: Catalog; stop(): Promise<void> }

async function place(name: string, folder: string): Promise<Place> {
  if (name === "local") return { name: "local folder", catalog: openCatalog({ warehouse: join(folder, "local") }, folder), stop: () => Promise.resolve() };
  if (name === "s3") {
    const s3 = await startS3({ dataDir: join(folder, "s3") });
    const credentials = { accessKeyId: s3.accessKey, secretAccessKey: s3.secretKey };
    return { name: "S3 (versitygw)", catalog: openCatalog({ warehouse: "s3a://warehouse/", s3Endpoint: s3.endpoint }, folder, { credentials }), stop: () => s3.stop() };
  }
  if (name === "rest") {
    const rest = await startRest({ dataDir: join(folder, "rest") });
    return { name: "REST catalog (Iceberg's own, files on disk)", catalog: openCatalog({ catalogType: "rest", uri: rest.uri }, folder), stop: () => rest.stop() };
  }
  throw new Error(`--on takes local, s3 and rest, not ${name}`);
}

/** A commit as a sink makes it: encoded already, then data files, manifest, list, metadata, with three watermarks. */
async function commitRows(table: Table, rows: readonly BenchTrade[], n: number): Promise<{ ms: number; cpuMs: number; allMs: number }> {
  const begun = performance.now();
  const { metadata } = table.state;
  const [schema, spec] = [currentSchema(metadata), defaultSpec(metadata)];
  const columns = new ColumnAccumulator(schema);
  const { from, to } = columns.append(rows, (_row, index, reason) => { throw new Error(`row ${index}: ${reason}`); });
  const files = encodeBatch({ batch: columns.take([[from, to]]), schema, spec, codec: "snappy" });
  const watermarks = Array.from({ length: 3 }, (_, partition): Watermark => ({
    writer: "a1b2c3d4e5f6", cluster: "4L6g3nShT-eMCtK--X86sw", group: "ticklake", topic: "stock-trades", partition, nextOffset: BigInt(n + 1) * 1000n, lastOffset: BigInt(n + 1) * 1000n - 1n, lastTimestamp: 1_730_419_200_000 + n,
  }));
  const [started, used] = [performance.now(), process.cpuUsage()];
  await append(table, { files: await writeDataFiles(table, files, spec["spec-id"]), watermarks });
  const { user, system } = process.cpuUsage(used);
  return { ms: performance.now() - started, cpuMs: (user + system) / 1000, allMs: performance.now() - begun };
}

/** Time to write one new file of 1 kB, ms. */
async function floor(table: Table): Promise<number> {
  const ms: number[] = [];
  for (let n = 0; n < 50; n++) {
    const started = performance.now();
    await table.io.write(`${table.location}/data/floor-${n}`, new Uint8Array(1000));
    ms.push(performance.now() - started);
    await table.io.delete(`${table.location}/data/floor-${n}`);
  }
  return median(ms);
}

async function metadataSize(table: Table): Promise<{ files: number; bytes: number }> {
  let files = 0, bytes = 0;
  for await (const { size } of table.io.listAll(`${table.location}/metadata`)) {
    files++;
    bytes += size;
  }
  return { files, bytes };
}

async function measure({ name, catalog }: Place, batches: readonly BenchTrade[][]): Promise<void> {
  const table = await catalog.createTable({ namespace: ["db"], name: "flattened_stocks" }, { schema: TRADES_SCHEMA, spec: parsePartitionBy(TRADES_PARTITION_BY, TRADES_SCHEMA) });
  const write = await floor(table);
  const runs: Awaited<ReturnType<typeof commitRows>>[] = [];
  const started = performance.now();
  for (let n = 0; n < COMMITS; n++) runs.push(await commitRows(table, batches[n % batches.length]!, n));
  const seconds = (performance.now() - started) / 1000;
  const row = (label: string, from: number, to: number): string[] => {
    const part = runs.slice(from, to);
    const of = (key: "ms" | "cpuMs"): number[] => part.map((run) => run[key]);
    return [label, String(part.length), quantile(of("ms"), 0.5).toFixed(1), quantile(of("ms"), 0.99).toFixed(1), Math.max(...of("ms")).toFixed(1), median(of("cpuMs")).toFixed(1)];
  };
  console.log(`\n## ${name}: ${COMMITS} commits of ${ROWS} rows in ${seconds.toFixed(1)} s; one new file of 1 kB takes ${write.toFixed(1)} ms\n`);
  const steps = [10, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000].filter((step) => step > 10 && step < COMMITS - WIDTH);
  console.log(markdown(["commits", "count", "p50 ms", "p99 ms", "longest ms", "CPU p50 ms"], [
    row("all after the 10th", 10, COMMITS), row(`10 to ${10 + WIDTH}`, 10, 10 + WIDTH), ...steps.map((step) => row(`${step} to ${step + WIDTH}`, step, step + WIDTH)), row(`last ${WIDTH}`, COMMITS - WIDTH, COMMITS),
  ]));
  const growth = (key: "ms" | "cpuMs"): string => (median(runs.slice(-WIDTH).map((run) => run[key])) / median(runs.slice(10, 10 + WIDTH).map((run) => run[key]))).toFixed(2);
  const size = await metadataSize(table);
  const current = (await table.io.stat(table.state.metadataLocation))?.size ?? NaN;
  console.log(`\nGrowth of the median from commit 10 to ${COMMITS}: ${growth("ms")} x (CPU ${growth("cpuMs")} x). Metadata: ${size.files} files, ${(size.bytes / 1e6).toFixed(1)} MB; the current metadata.json ${(current / 1e6).toFixed(2)} MB.`);
}

async function main(): Promise<void> {
  const batches: BenchTrade[][] = [];
  let rest: BenchTrade[] = [];
  for await (const batch of benchTrades(ROWS * Math.min(COMMITS, 1000))) {
    rest = rest.concat(batch);
    while (rest.length >= ROWS) batches.push(rest.splice(0, ROWS));
  }
  const folder = mkdtempSync(join(tmpdir(), "ticklake-lake-"));
  try {
    for (const name of ON) {
      const where = await place(name, folder);
      try {
        await measure(where, batches);
      } finally {
        await where.stop();
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

if (process.argv.includes("--maintenance")) void maintained(COMMITS).then((text) => { console.log(text); });
else void main();
