import assert from "node:assert/strict";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HadoopCatalog } from "../../lib/iceberg/catalog/hadoop";
import { LocalFileIO } from "../../lib/iceberg/io/local";
import { currentSnapshot } from "../../lib/iceberg/metadata";
import { readWatermarks } from "../../lib/iceberg/watermarks";
import { COMMIT_POINTS, runWriter } from "../support/append-processes";
import { hintOf, liveEntries } from "../support/iceberg";
import { runPython } from "../support/python";

/** How often every step is hit. More: TICKLAKE_CRASH_ROUNDS=20 npm test -- faults */
const ROUNDS = Number(process.env["TICKLAKE_CRASH_ROUNDS"] ?? 1);
const BATCH = 3;

interface Read { version: number; pyiceberg: number[]; duckdb: number[]; files: number; pruned: number }

/** What is in the table after every crash: a gapless run of offsets as long as the watermark says, readable, and the hint not ahead. */
async function assertWhole(warehouse: string, partitions: number): Promise<number[]> {
  const table = await new HadoopCatalog({ warehouse, io: new LocalFileIO() }).loadTable({ namespace: ["db"], name: "t" });
  const rows = (await liveEntries(table)).reduce((sum, entry) => sum + entry.file.recordCount, 0);
  const { watermarks } = readWatermarks(table.state.metadata);
  const reached = Array.from({ length: partitions }, (_, p) => Number(watermarks.find((mark) => mark.partition === p)?.nextOffset ?? 0n));
  assert.equal(rows, reached.reduce((a, b) => a + b, 0), "as many rows as the watermarks cover");
  assert.equal(currentSnapshot(table.state.metadata)?.summary["total-records"] ?? "0", String(rows));
  const hint = await hintOf(table).catch((error: { code?: string }) => (error.code === "FILE_NOT_FOUND" && table.state.version === 1 ? "1" : Promise.reject(error as Error)));
  assert.match(hint, /^\d+$/);
  assert.ok(Number(hint) <= table.state.version, "the hint is not ahead");
  return reached;
}

const expected = (partitions: number, end: number): number[] => Array.from({ length: partitions }, (_, p) => Array.from({ length: end }, (_, i) => p * 1_000_000 + i)).flat();

describe("SIGKILL at every step of a commit", function () {
  this.timeout(60_000 + ROUNDS * 120_000);
  let warehouse: string;
  beforeEach(async () => { warehouse = await fs.mkdtemp(join(tmpdir(), "ticklake-crash-")); });
  afterEach(() => fs.rm(warehouse, { recursive: true, force: true }));

  it("again and again: no row lost, none twice, never unreadable, and the next writer goes on", async () => {
    const job = { warehouse, writer: "w", partition: 0, batch: BATCH };
    let reached = 0;
    for (let round = 0; round < ROUNDS; round++) {
      for (const point of COMMIT_POINTS) {
        // The first commit of a process, and later ones: with and without what it remembers of its last.
        const count = 1 + (round % 3);
        const { killed } = await runWriter({ ...job, end: reached + 100 * BATCH }, { point, count });
        assert.equal(killed, true, `${point} was reached`);
        const [now] = await assertWhole(warehouse, 1);
        const landed = COMMIT_POINTS.indexOf(point) >= COMMIT_POINTS.indexOf("after-link");
        assert.equal(now! - reached, BATCH * (count - 1 + (landed ? 1 : 0)), `${point}: the commit ${landed ? "is" : "is not"} in the table`);
        reached = now!;
      }
    }
    const end = reached + 7;
    await runWriter({ ...job, end });
    assert.deepEqual(await assertWhole(warehouse, 1), [end]);
    const read = JSON.parse(await runPython("read_table.py", [join(warehouse, "db", "t")])) as Read;
    assert.deepEqual(read.pyiceberg, expected(1, end));
    assert.deepEqual(read.duckdb, expected(1, end));
    const left = (await fs.readdir(join(warehouse, "db", "t", "metadata"))).filter((name) => /^v\d+\.metadata\.json$/.test(name));
    assert.ok(left.length <= 21, "trimming goes on after crashes");
  });

  it("four processes on one table, killed and started again while the others go on", async () => {
    const END = 24;
    await Promise.all([0, 1, 2, 3].map(async (partition) => {
      const job = { warehouse, writer: `w${partition}`, partition, end: END, batch: BATCH };
      for (let kill = 0; kill < 2 * ROUNDS; kill++) await runWriter(job, { point: COMMIT_POINTS[(partition * 3 + kill * 5) % COMMIT_POINTS.length]!, count: 2 });
      await runWriter(job);
    }));
    assert.deepEqual(await assertWhole(warehouse, 4), [END, END, END, END]);
    const read = JSON.parse(await runPython("read_table.py", [join(warehouse, "db", "t")])) as Read;
    assert.deepEqual(read.pyiceberg, expected(4, END));
    assert.deepEqual(read.duckdb, expected(4, END));
  });

  it("four processes append to one table at once: nothing lost, nothing twice, and every reader skips files", async () => {
    const END = 120;
    await Promise.all([0, 1, 2, 3].map((partition) => runWriter({ warehouse, writer: `w${partition}`, partition, end: END, batch: 5 })));
    assert.deepEqual(await assertWhole(warehouse, 4), [END, END, END, END]);
    const read = JSON.parse(await runPython("read_table.py", [join(warehouse, "db", "t")])) as Read;
    assert.equal(read.version, 1 + (4 * END) / 5, "one version per commit, and the hint is at the last");
    assert.deepEqual(read.pyiceberg, expected(4, END));
    assert.deepEqual(read.duckdb, expected(4, END));
    assert.deepEqual([read.files, read.pruned], [(4 * END) / 5, 4 * 4]);
  });
});
