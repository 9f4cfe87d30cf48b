/** Many small commits with maintenance by itself: nothing may grow. */
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HadoopCatalog } from "../../lib/iceberg/catalog/hadoop";
import { LocalFileIO } from "../../lib/iceberg/io/local";
import { TableCare } from "../../lib/iceberg/maintenance/care";
import { currentSnapshot } from "../../lib/iceberg/metadata";
import { TRADES_PARTITION_BY, TRADES_SCHEMA } from "../../lib/iceberg/schema";
import { parsePartitionBy } from "../../lib/iceberg/transforms";
import { appendRows } from "../../test/support/tables";
import { median, table as markdown } from "./support";

const HEADINGS = ["after commits", "files", "most files", "snapshots", "MB of metadata.json", "files in metadata/", "median commit ms", "runs"];

/** Appends that often, a few rows each, and says what the table looked like on the way. */
export async function maintained(commits: number, rows = 20): Promise<string> {
  const warehouse = mkdtempSync(join(tmpdir(), "ticklake-bench-maintained-"));
  const catalog = new HadoopCatalog({ warehouse, io: new LocalFileIO() }), identifier = { namespace: ["db"], name: "t" };
  // A commit here stands for ten seconds of a real flow: what maintenance does every ten minutes it does every 60 commits or so.
  const table = await catalog.createTable(identifier, { schema: TRADES_SCHEMA, spec: parsePartitionBy(TRADES_PARTITION_BY, TRADES_SCHEMA), properties: { "ticklake.maintenance.interval-ms": "1000" } });
  let runs = 0;
  const care = new TableCare({ catalog, identifier, name: "db.t", maintenance: true, events: { did: () => { runs++; }, warn: (text) => { console.error(text); }, advice: () => undefined } });
  const out: string[][] = [], step = Math.max(1, Math.floor(commits / 10));
  let ms: number[] = [], most = 0;
  try {
    for (let n = 1; n <= commits; n++) {
      const batch = Array.from({ length: rows }, (_, k) => ({ T: "t", S: "AAPL", i: n * rows + k, x: "V", p: 100 + (k % 7), s: 100, timestamp: 1_730_419_200_000 + n * 10_000, c: ["@"], z: "C" }));
      const began = performance.now();
      await appendRows(table, batch);
      ms.push(performance.now() - began);
      care.committed(1);
      const { metadata, metadataLocation } = table.state;
      most = Math.max(most, Number(currentSnapshot(metadata)!.summary["total-data-files"]));
      if (n % step !== 0) continue;
      const folder = join(table.location, "metadata");
      const line = [String(n), currentSnapshot(metadata)!.summary["total-data-files"]!, String(most), String(metadata.snapshots.length), (statSync(metadataLocation).size / 1e6).toFixed(2), String(readdirSync(folder).length), median(ms).toFixed(1), String(runs)];
      out.push(line);
      // The whole of it takes half an hour.
      console.error(HEADINGS.map((heading, k) => `${heading} ${line[k]}`).join(", "));
      ms = [];
      most = 0;
    }
    const total = currentSnapshot((await table.refresh()).metadata)!.summary["total-records"];
    return `${markdown(HEADINGS, out)}\n\n${total} of ${commits * rows} rows are in the table.`;
  } finally {
    await care.close();
    rmSync(warehouse, { recursive: true, force: true });
  }
}
