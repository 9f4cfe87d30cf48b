/** Many small commits with maintenance by itself: nothing may grow. */
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HadoopCatalog } from "../../lib/iceberg/catalog/hadoop";
import { LocalFileIO } from "../../lib/iceberg/io/local";
import { TableCare } from "../../lib/iceberg/maintenance/care";
import { currentSnapshot } from "../../lib/iceberg/metadata";
import { readManifestList } from "../../lib/iceberg/manifests";
import { TRADES_PARTITION_BY, TRADES_SCHEMA } from "../../lib/iceberg/schema";
import { parsePartitionBy } from "../../lib/iceberg/transforms";
import { appendRows } from "../../test/support/tables";
import { quantile, table as markdown } from "./support";

const HEADINGS = ["after commits", "data files", "most since the row above", "snapshots", "most since the row above", "manifests", "MB of metadata.json", "files in metadata/", "MB in metadata/", "MB of the table", "p50 ms", "p99 ms", "runs"];
/** Rows of the table, as far as there are so many commits; else tenths. */
const STEPS = [1000, 5000, 10_000, 25_000, 50_000];

interface Size { readonly files: number; readonly bytes: number }

/** What lies on the disk below a folder. */
function sizeOf(folder: string): Size {
  let files = 0, bytes = 0;
  for (const name of readdirSync(folder, { recursive: true })) {
    // Files come and go while they are counted.
    const found = statSync(join(folder, String(name)), { throwIfNoEntry: false });
    if (!found?.isFile()) continue;
    files++;
    bytes += found.size;
  }
  return { files, bytes };
}

const megabytes = (bytes: number, digits: number): string => (bytes / 1e6).toFixed(digits);

/** Appends that often, a few rows each, and says what the table looked like on the way. */
export async function maintained(commits: number, rows = 20): Promise<string> {
  const warehouse = mkdtempSync(join(tmpdir(), "ticklake-bench-maintained-"));
  const catalog = new HadoopCatalog({ warehouse, io: new LocalFileIO() }), identifier = { namespace: ["db"], name: "t" };
  // A commit here stands for ten seconds of a real flow: what maintenance does every ten minutes (60 commits) it does every 2.5 s.
  const table = await catalog.createTable(identifier, { schema: TRADES_SCHEMA, spec: parsePartitionBy(TRADES_PARTITION_BY, TRADES_SCHEMA), properties: { "ticklake.maintenance.interval-ms": "2500" } });
  let runs = 0;
  const care = new TableCare({ catalog, identifier, name: "db.t", maintenance: true, events: { did: (text) => { runs++; if (process.argv.includes("--log")) console.error(text); }, warn: (text) => { console.error(text); }, advice: () => undefined } });
  const out: string[][] = [];
  const steps = new Set(STEPS.includes(commits) ? STEPS : Array.from({ length: 10 }, (_, n) => Math.floor((commits * (n + 1)) / 10)));
  let ms: number[] = [], mostFiles = 0, mostSnapshots = 0;
  try {
    for (let n = 1; n <= commits; n++) {
      const batch = Array.from({ length: rows }, (_, k) => ({ T: "t", S: "AAPL", i: n * rows + k, x: "V", p: 100 + (k % 7), s: 100, timestamp: 1_730_419_200_000 + n * 10_000, c: ["@"], z: "C" }));
      const began = performance.now();
      await appendRows(table, batch);
      ms.push(performance.now() - began);
      care.committed(1);
      const { metadata, metadataLocation } = table.state, files = Number(currentSnapshot(metadata)!.summary["total-data-files"]);
      mostFiles = Math.max(mostFiles, files);
      mostSnapshots = Math.max(mostSnapshots, metadata.snapshots.length);
      if (!steps.has(n)) continue;
      const inMetadata = sizeOf(join(table.location, "metadata")), all = sizeOf(table.location);
      const manifests = await readManifestList(table.io, currentSnapshot(metadata)!);
      const line = [
        n, files, mostFiles, metadata.snapshots.length, mostSnapshots, manifests.length, megabytes(statSync(metadataLocation).size, 2), inMetadata.files, megabytes(inMetadata.bytes, 1), megabytes(all.bytes, 1),
        quantile(ms, 0.5).toFixed(1), quantile(ms, 0.99).toFixed(1), runs,
      ].map(String);
      out.push(line);
      // The whole of it takes half an hour.
      console.error(HEADINGS.map((heading, k) => `${heading} ${line[k]}`).join(", "));
      ms = [];
      mostFiles = mostSnapshots = 0;
    }
    const total = currentSnapshot((await table.refresh()).metadata)!.summary["total-records"];
    return `${markdown(HEADINGS, out)}\n\n${total} of ${commits * rows} rows are in the table.`;
  } finally {
    await care.close();
    rmSync(warehouse, { recursive: true, force: true });
  }
}
