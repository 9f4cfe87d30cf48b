/** Compaction of 500 small files of real trades, beside Spark's rewrite_data_files: MB/s, memory. `--commits N`: file count and commit time over N commits with maintenance on. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { fork, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HadoopCatalog } from "../lib/iceberg/catalog/hadoop";
import { LocalFileIO } from "../lib/iceberg/io/local";
import { compactTable } from "../lib/iceberg/operations/compact";
import { TRADES_PARTITION_BY, TRADES_SCHEMA } from "../lib/iceberg/schema";
import { parsePartitionBy } from "../lib/iceberg/transforms";
import { pythonPath, stackDir } from "../test/support/python";
import { appendRows } from "../test/support/tables";
import { maintained } from "./lib/maintained";
import { benchTrades, median, table as markdown } from "./lib/support";

const ID = { namespace: ["db"], name: "t" };
const option = (name: string): number | undefined => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? undefined : Number(process.argv[at + 1]);
};
const files = option("files") ?? 500, rowsOfFile = option("rows") ?? 5000, rounds = option("rounds") ?? 3;

interface Measure { readonly seconds: number; readonly inputBytes: number; readonly outputBytes: number; readonly peakMb: number; readonly startSeconds: number }

const catalogOf = (warehouse: string): HadoopCatalog => new HadoopCatalog({ warehouse, io: new LocalFileIO() });

/** Peak resident memory of a process, MB. */
function peakOf(pid: number): number {
  return Number(/VmHWM:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? NaN) / 1024;
}

async function template(warehouse: string): Promise<void> {
  const table = await catalogOf(warehouse).createTable(ID, { schema: TRADES_SCHEMA, spec: parsePartitionBy(TRADES_PARTITION_BY, TRADES_SCHEMA) });
  let rows: unknown[] = [];
  for await (const batch of benchTrades(files * rowsOfFile)) {
    rows.push(...batch);
    while (rows.length >= rowsOfFile) {
      await appendRows(table, rows.slice(0, rowsOfFile));
      rows = rows.slice(rowsOfFile);
    }
  }
}

/** In a process of its own: what it measures is printed as JSON. */
async function child(warehouse: string): Promise<void> {
  const began = performance.now();
  const table = await catalogOf(warehouse).loadTable(ID);
  const result = await compactTable(table);
  const seconds = (performance.now() - began) / 1000;
  process.send!({ seconds, inputBytes: result.rewritten_bytes_count, outputBytes: result.added_bytes_count, peakMb: peakOf(process.pid), startSeconds: 0 } satisfies Measure);
}

const ours = (warehouse: string): Promise<Measure> => new Promise((resolve, reject) => {
  const running = fork(__filename, ["--child", warehouse], { execArgv: ["--require", "tsx/cjs"] });
  running.once("message", (measure) => { resolve(measure as Measure); });
  running.once("exit", (code) => { if (code !== 0) reject(new Error(`ended with ${code}`)); });
});

/** A session of its own for every round; the clock starts when it is warm (one query has run). */
async function spark(warehouse: string): Promise<Measure> {
  const jars = readdirSync(join(stackDir, "jars")).filter((name) => name.startsWith("iceberg-spark-runtime")).map((name) => join(stackDir, "jars", name));
  const began = performance.now();
  const running = spawn(pythonPath, [join(__dirname, "py/spark_compact.py"), jars.join(","), warehouse], { stdio: ["ignore", "pipe", "ignore"], env: { ...process.env, SPARK_LOCAL_IP: "127.0.0.1" } });
  for await (const line of createInterface({ input: running.stdout })) {
    if (!line.startsWith("{")) continue;
    const { seconds, bytes, added, pid } = JSON.parse(line) as { seconds: number; bytes: number; added: number; pid: number };
    const measure = { seconds, inputBytes: bytes, outputBytes: added, peakMb: peakOf(pid), startSeconds: (performance.now() - began) / 1000 - seconds };
    running.kill();
    return measure;
  }
  throw new Error("Spark said nothing");
}

async function compare(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ticklake-bench-compact-"));
  try {
    // Locations in metadata are absolute: every run gets the same files at the same place.
    const warehouse = join(folder, "warehouse"), kept = join(folder, "kept");
    await template(warehouse);
    cpSync(warehouse, kept, { recursive: true });
    const runs: Record<string, Measure[]> = { ticklake: [], "Spark rewrite_data_files": [] };
    for (let round = 0; round < rounds; round++) {
      for (const [name, run] of [["ticklake", ours], ["Spark rewrite_data_files", spark]] as const) {
        rmSync(warehouse, { recursive: true, force: true });
        cpSync(kept, warehouse, { recursive: true });
        runs[name]!.push(await run(warehouse));
      }
    }
    const rate = (list: readonly Measure[]): number => median(list.map((run) => run.inputBytes / 1e6 / run.seconds));
    console.log(markdown(["compaction", "files", "MB in", "MB out", "seconds", "MB/s", "peak MB", "start-up s (not counted)"], Object.entries(runs).map(([name, list]) => [
      name, String(files), (list[0]!.inputBytes / 1e6).toFixed(1), (list[0]!.outputBytes / 1e6).toFixed(1), median(list.map((run) => run.seconds)).toFixed(2), rate(list).toFixed(1),
      median(list.map((run) => run.peakMb)).toFixed(0), median(list.map((run) => run.startSeconds)).toFixed(1),
    ])));
    console.log(`\n${(rate(runs["ticklake"]!) / rate(runs["Spark rewrite_data_files"]!)).toFixed(2)} x Spark's throughput, ${(median(runs["ticklake"]!.map((run) => run.peakMb)) / median(runs["Spark rewrite_data_files"]!.map((run) => run.peakMb))).toFixed(2)} x its memory; medians of ${rounds} alternating runs.`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const commits = option("commits"), childOf = process.argv.indexOf("--child");
void (childOf > 0 ? child(process.argv[childOf + 1]!) : commits ? maintained(commits).then((text) => { console.log(text); }) : compare());
