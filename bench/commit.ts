/** Iceberg commits on a local disk: latency, and how it grows with the history of the table. */
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HadoopCatalog } from "../lib/iceberg/catalog/hadoop";
import { append } from "../lib/iceberg/commit";
import { LocalFileIO } from "../lib/iceberg/io/local";
import { TRADES_PARTITION_BY, TRADES_SCHEMA } from "../lib/iceberg/schema";
import { parsePartitionBy } from "../lib/iceberg/transforms";
import type { DataFile } from "../lib/iceberg/types";
import { median, table as markdown } from "./lib/support";

const commits = Number(process.argv[2] ?? 1000);
const DAY = 86_400_000;

/** A data file of nine columns as a sink makes one every ten seconds (only its metrics matter here). */
function file(n: number): DataFile {
  const ids = Array.from({ length: 9 }, (_, i) => i + 1);
  const counts = (value: number): Map<number, number> => new Map(ids.map((id) => [id, value]));
  const bound = Buffer.alloc(8, n);
  return {
    content: 0, filePath: `/warehouse/db/flattened_stocks/data/timestamp_trunc=1730419200000/${n}.parquet`, fileFormat: "PARQUET", specId: 0,
    partition: [BigInt(Math.floor((1_730_419_200_000 + n * 10_000) / DAY) * DAY)], recordCount: 5000, fileSizeInBytes: 90_000, columnSizes: counts(9000), valueCounts: counts(5000),
    nullValueCounts: counts(0), nanValueCounts: new Map([[5, 0]]), lowerBounds: new Map(ids.map((id) => [id, bound])), upperBounds: new Map(ids.map((id) => [id, bound])), splitOffsets: [4],
  };
}

function bytesOf(folder: string, pattern: RegExp): { files: number; bytes: number } {
  const names = readdirSync(folder).filter((name) => pattern.test(name));
  return { files: names.length, bytes: names.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0) };
}

function quantile(values: readonly number[], q: number): number {
  return [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))]!;
}

async function main(): Promise<void> {
  const warehouse = mkdtempSync(join(tmpdir(), "ticklake-commit-"));
  try {
    const catalog = new HadoopCatalog({ warehouse, io: new LocalFileIO() });
    const table = await catalog.createTable({ namespace: ["db"], name: "t" }, { schema: TRADES_SCHEMA, spec: parsePartitionBy(TRADES_PARTITION_BY, TRADES_SCHEMA) });
    const ms: number[] = [], cpu: number[] = [];
    for (let n = 0; n < commits; n++) {
      const watermarks = Array.from({ length: 3 }, (_, partition) => ({
        writer: "a1b2c3d4e5f6", cluster: "4L6g3nShT-eMCtK--X86sw", group: "ticklake", topic: "stock-trades", partition, nextOffset: BigInt(n + 1) * 5000n, lastOffset: BigInt(n + 1) * 5000n - 1n, lastTimestamp: 1_730_419_200_000 + n,
      }));
      const begun = performance.now(), used = process.cpuUsage();
      await append(table, { files: [file(n)], watermarks });
      const { user, system } = process.cpuUsage(used);
      ms.push(performance.now() - begun);
      cpu.push((user + system) / 1000);
    }
    const width = Math.min(100, Math.floor(commits / 4));
    const row = (name: string, from: number, to: number): string[] => [
      name, String(to - from), quantile(ms.slice(from, to), 0.5).toFixed(1), quantile(ms.slice(from, to), 0.99).toFixed(1), Math.max(...ms.slice(from, to)).toFixed(1), median(cpu.slice(from, to)).toFixed(1),
    ];
    console.log(markdown(["commits", "count", "p50 ms", "p99 ms", "longest ms", "CPU p50 ms"], [row("all after the 10th", 10, commits), row(`10 to ${10 + width}`, 10, 10 + width), row(`last ${width}`, commits - width, commits)]));
    const growth = (values: readonly number[]): string => (median(values.slice(-width)) / median(values.slice(10, 10 + width))).toFixed(2);
    const folder = join(table.location, "metadata");
    const sizes = ([["metadata versions", /\.json$/], ["manifests", /-m\d+\.avro$/], ["manifest lists", /^snap-/]] as const).map(([name, pattern]) => [name, bytesOf(folder, pattern)] as const);
    console.log(`\nGrowth of the median from commit 10 to ${commits}: ${growth(ms)} x (CPU ${growth(cpu)} x; the clock's depends on what else the disk does)`);
    for (const [name, { files, bytes }] of sizes) console.log(`${name}: ${files} files, ${(bytes / 1e6).toFixed(1)} MB`);
  } finally {
    rmSync(warehouse, { recursive: true, force: true });
  }
}

void main();
