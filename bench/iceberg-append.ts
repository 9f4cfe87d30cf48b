/** Objects -> Iceberg commit, beside PyIceberg appending the same rows: time, CPU, memory, event-loop delay. */
import { spawnSync } from "node:child_process";
import { createWriteStream, existsSync, mkdtempSync, rmSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { benchTrades, median, table } from "./lib/support";

const root = join(__dirname, "..");
const python = join(root, process.env["TICKLAKE_STACK"] ?? ".stack", "py/bin/python");
const sizes = (process.argv[2] ?? "1000,50000,1000000").split(",").map(Number);
const rounds = Number(process.argv[3] ?? 3);

interface Measure { ms: number; cpuMs: number; peakRssMb: number; rssBeforeMb: number; delayP99Ms?: number; delayMaxMs?: number; commits?: number }

function run(command: string, args: string[]): Measure {
  const result = spawnSync(command, args, { encoding: "utf8", cwd: root, maxBuffer: 1 << 26 });
  if (result.status !== 0) throw new Error(`${command} ${args.join(" ")}\n${result.stderr}`);
  return JSON.parse(result.stdout.trim().split("\n").pop()!) as Measure;
}

async function writeLines(file: string, n: number): Promise<void> {
  const out = createWriteStream(file);
  for await (const batch of benchTrades(n)) if (!out.write(batch.map((row) => JSON.stringify(row)).join("\n") + "\n")) await once(out, "drain");
  out.end();
  await once(out, "finish");
}

const middle = (runs: Measure[], key: keyof Measure): number => median(runs.map((r) => r[key] ?? NaN));

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ticklake-bench-"));
  const lines = join(folder, "trades.jsonl");
  await writeLines(lines, Math.max(...sizes));
  const foreign = existsSync(python);
  if (!foreign) console.log("PyIceberg is left out: run `npm test -- --setup` first (it needs Python 3).");
  const out: string[][] = [];
  for (const n of sizes) {
    const ours: Measure[] = [], streamed: Measure[] = [], theirs: Measure[] = [];
    // Alternating, so that a noisy neighbour hits both.
    for (let round = 0; round < rounds; round++) {
      ours.push(run(process.execPath, ["--expose-gc", "bench/children/iceberg-append.cjs", lines, String(n)]));
      streamed.push(run(process.execPath, ["--expose-gc", "bench/children/iceberg-append.cjs", lines, String(n), "streamed"]));
      if (foreign) {
        const warehouse = mkdtempSync(join(folder, "py-"));
        theirs.push(run(python, ["bench/py/pyiceberg_append.py", lines, String(n), warehouse]));
        rmSync(warehouse, { recursive: true });
      }
    }
    for (const [name, runs] of [["ticklake, objects in memory", ours], ["ticklake, streamed (with JSON.parse)", streamed], ["PyIceberg, dicts in memory", theirs]] as const) {
      if (runs.length === 0) continue;
      const f = (key: keyof Measure, digits = 0): string => (Number.isNaN(middle(runs, key)) ? "" : middle(runs, key).toFixed(digits));
      out.push([n.toLocaleString("en-US"), name, f("ms"), f("cpuMs"), f("peakRssMb"), f("delayP99Ms", 1), f("delayMaxMs", 1), theirs.length ? (middle(runs, "cpuMs") / middle(theirs, "cpuMs")).toFixed(2) : ""]);
    }
  }
  console.log(table(["rows", "writer", "ms", "CPU ms", "peak RSS MB", "loop delay p99 ms", "longest ms", "CPU / PyIceberg's"], out));
  console.log(`Medians of ${rounds} alternating runs, each in a process of its own; the clock starts when the writer is loaded.`);
  rmSync(folder, { recursive: true, force: true });
}

void main();
