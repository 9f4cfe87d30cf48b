/**
 * The way of a trade from Kafka's bytes to a table's columns and back to Kafka's bytes, each step alone, in ns of CPU time a trade on one core, beside
 * JSON.parse, JSON.stringify and objects. Real trades where the data folder is beside the repository.
 *
 *   npm run bench -- trade-path [trades]
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { benchTrades, table } from "./lib/support";

const count = Number(process.argv[2] ?? 200_000);

async function main(): Promise<void> {
  const arrays: string[] = [], flat: string[] = [];
  for await (const batch of benchTrades(count)) {
    for (let at = 0; at < batch.length; at += 100) arrays.push(JSON.stringify(batch.slice(at, at + 100).map(({ timestamp: t, c, z, ...rest }) => ({ ...rest, t, c, z }))));
    for (const trade of batch) flat.push(JSON.stringify(trade));
  }
  const folder = mkdtempSync(join(tmpdir(), "ticklake-bench-"));
  try {
    const files = [["arrays", arrays], ["flat", flat]].map(([name, lines]) => {
      const file = join(folder, name as string);
      writeFileSync(file, (lines as string[]).join("\n"));
      return file;
    });
    const child = spawnSync(process.execPath, [join(__dirname, "children/trade-path.cjs"), ...files, ...process.argv.slice(3)], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
    if (child.status !== 0) throw new Error("The measured process failed (see above).");
    const steps = JSON.parse(child.stdout) as [string, number][];
    console.log(table(["step", "ns a trade", "M trades/s"], steps.map(([name, ns]) => [name, ns.toFixed(0), (1000 / ns).toFixed(1)])));
    console.log(`${count.toLocaleString("en-US")} trades, Node ${process.version}; CPU time of one core, median of 9.`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

void main();
