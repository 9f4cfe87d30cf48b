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

/** Commits in one process: the first one, and the median of those after it (what a running Node-RED does). */
interface Measures { first: Measure; warm: Measure }

function run(command: string, args: string[]): Measures {
  const result = spawnSync(command, args, { encoding: "utf8", cwd: root, maxBuffer: 1 << 26 });
  if (result.status !== 0) throw new Error(`${command} ${args.join(" ")}\n${result.stderr}`);
  const [first, ...later] = JSON.parse(result.stdout.trim().split("\n").pop()!) as Measure[];
  const warm = Object.fromEntries(Object.keys(first!).map((key) => [key, middle(later.length > 0 ? later : [first!], key as keyof Measure)])) as unknown as Measure;
  return { first: first!, warm };
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
    const repeat = String(n <= 100_000 ? 8 : 2);
    const writers: { name: string; runs: Measures[]; run: () => Measures }[] = [
      { name: "ticklake, objects in memory", runs: [], run: () => run(process.execPath, ["--expose-gc", "bench/children/iceberg-append.cjs", lines, String(n), repeat]) },
      { name: "ticklake, streamed with JSON.parse", runs: [], run: () => run(process.execPath, ["--expose-gc", "bench/children/iceberg-append.cjs", lines, String(n), repeat, "streamed"]) },
    ];
    if (foreign) {
      writers.push({ name: "PyIceberg, dicts in memory", runs: [], run: () => {
        const warehouse = mkdtempSync(join(folder, "py-"));
        try { return run(python, ["bench/py/pyiceberg_append.py", lines, String(n), repeat, warehouse]); } finally { rmSync(warehouse, { recursive: true }); }
      } });
    }
    // Alternating, so that a noisy neighbour hits all.
    for (let round = 0; round < rounds; round++) for (const writer of writers) writer.runs.push(writer.run());
    const theirs = foreign ? writers.at(-1)!.runs : [];
    for (const kind of ["first", "warm"] as const) {
      for (const { name, runs } of writers) {
        const of = (key: keyof Measure): number => middle(runs.map((r) => r[kind]), key);
        const f = (key: keyof Measure, digits = 0): string => (Number.isNaN(of(key)) ? "" : of(key).toFixed(digits));
        out.push([n.toLocaleString("en-US"), `${name}, ${kind === "first" ? "first commit" : "later ones"}`, f("ms"), f("cpuMs"), f("peakRssMb"), f("delayP99Ms", 1), f("delayMaxMs", 1),
          theirs.length ? (of("cpuMs") / middle(theirs.map((r) => r[kind]), "cpuMs")).toFixed(2) : ""]);
      }
    }
  }
  console.log(table(["rows", "writer", "ms", "CPU ms", "peak RSS MB", "loop delay p99 ms", "longest ms", "CPU / PyIceberg's"], out));
  console.log(`Medians of ${rounds} alternating runs, each in a process of its own; the clock starts when writer, table and rows are there.`);
  rmSync(folder, { recursive: true, force: true });
}

void main();
