/** Rows -> columns -> snappy Parquet in memory, beside hyparquet-writer, parquetjs-lite and pyarrow: CPU, memory, event loop. */
import { spawnSync } from "node:child_process";
import { createWriteStream, existsSync, mkdtempSync, rmSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { benchTrades, median, table } from "./lib/support";

const root = join(__dirname, "..");
const python = join(root, process.env["TICKLAKE_STACK"] ?? ".stack", "py/bin/python");
const sizes = (process.argv[2] ?? "50000,1000000").split(",").map(Number);
const rounds = Number(process.argv[3] ?? 3);

interface Measure { ms: number; cpuMs: number; peakRssMb: number; longestBlockMs?: number; takeMs?: number; bytes: number }

function run(command: string, args: string[]): Measure[] {
  const result = spawnSync(command, args, { encoding: "utf8", cwd: root, maxBuffer: 1 << 26 });
  if (result.status !== 0) throw new Error(`${command} ${args.join(" ")}\n${result.stderr}`);
  return JSON.parse(result.stdout.trim().split("\n").pop()!) as Measure[];
}

async function writeLines(file: string, n: number): Promise<void> {
  const out = createWriteStream(file);
  for await (const batch of benchTrades(n)) if (!out.write(batch.map((row) => JSON.stringify(row)).join("\n") + "\n")) await once(out, "drain");
  out.end();
  await once(out, "finish");
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ticklake-bench-"));
  const lines = join(folder, "trades.jsonl");
  await writeLines(lines, Math.max(...sizes));
  const rows: string[][] = [];
  for (const n of sizes) {
    const repeat = String(n <= 100_000 ? 6 : 2);
    const child = (name: string) => (): Measure[] => run(process.execPath, ["--expose-gc", "bench/children/parquet.cjs", name, lines, String(n), repeat]);
    const writers: { name: string; runs: Measure[][]; run: () => Measure[] }[] = [
      { name: "ticklake", runs: [], run: child("ticklake") },
      { name: "hyparquet-writer", runs: [], run: child("hyparquet-writer") },
    ];
    // A million rows would take it most of a minute.
    if (n <= 100_000) writers.push({ name: "parquetjs-lite", runs: [], run: child("parquetjs-lite") });
    if (existsSync(python)) writers.push({ name: "pyarrow, from dicts", runs: [], run: () => run(python, ["bench/py/pyarrow_write.py", lines, String(n), repeat]) });
    // Alternating, so that a noisy neighbour hits all.
    for (let round = 0; round < rounds; round++) for (const writer of writers) writer.runs.push(writer.run());
    for (const [kind, pick] of [["first", (r: Measure[]) => r.slice(0, 1)], ["later", (r: Measure[]) => r.slice(1)]] as const) {
      for (const { name, runs } of writers) {
        const of = (key: keyof Measure, digits = 0): string => {
          const value = median(runs.flatMap(pick).map((m) => m[key] ?? NaN));
          return Number.isNaN(value) ? "" : value.toFixed(digits);
        };
        rows.push([n.toLocaleString("en-US"), `${name}, ${kind}`, of("ms"), of("cpuMs"), of("peakRssMb"), of("longestBlockMs", 1), of("takeMs", 1), (Number(of("bytes")) / 1e6).toFixed(2)]);
      }
    }
  }
  console.log(table(["rows", "writer, run of the process", "ms", "CPU ms", "peak RSS MB", "longest block ms", "take and hand over ms", "MB written"], rows));
  console.log(`Medians of ${rounds} alternating processes. Rows are objects in memory before the clock starts; the first run includes starting the worker thread.`);
  rmSync(folder, { recursive: true, force: true });
}

void main();
