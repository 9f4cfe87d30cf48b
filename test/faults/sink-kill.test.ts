import assert from "node:assert/strict";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HadoopCatalog } from "../../lib/iceberg/catalog/hadoop";
import { LocalFileIO } from "../../lib/iceberg/io/local";
import { readWatermarks } from "../../lib/iceberg/watermarks";
import { COMMIT_POINTS } from "../support/append-processes";
import { runPython } from "../support/python";
import { readRows } from "../support/read-table";
import { idsOf, PARTITIONS, startSinks, type SinkJob } from "../support/sink-log";

/** How often every step is hit. More: TICKLAKE_FAULT_ROUNDS=20 npm test -- faults */
const ROUNDS = Number(process.env["TICKLAKE_FAULT_ROUNDS"] ?? 1);
/** TICKLAKE_FAULT_SEED repeats a run that was printed. */
const SEED = Number(process.env["TICKLAKE_FAULT_SEED"] ?? Math.floor(Math.random() * 1_000_000));

const loadTable = (folder: string, name: string) => new HadoopCatalog({ warehouse: join(folder, "warehouse"), io: new LocalFileIO() }).loadTable({ namespace: ["db"], name });

interface Row { S: string; i: number | string }
const ids = (rows: readonly Record<string, unknown>[], sink: string): number[] => rows.filter((row) => row["S"] === sink).map((row) => Number(row["i"])).sort((a, b) => a - b);

/** Every good record once per sink in the table, every bad one once among its rejects, and the watermarks at the ends: by our reader and by PyIceberg. */
async function assertWhole({ folder, sinks, end }: SinkJob): Promise<void> {
  const trades = await loadTable(folder, "trades");
  const rejects = await loadTable(folder, "rejects");
  const [rows, rejected] = [await readRows(trades), await readRows(rejects)];
  const python = JSON.parse(await runPython("read_pyiceberg.py", [trades.state.metadataLocation])) as { rows: (Row & Record<string, unknown>)[] };
  const { watermarks } = readWatermarks(trades.state.metadata);
  for (const sink of sinks) {
    assert.deepEqual(ids(rows, sink), idsOf("good", end), `${sink}: every record once`);
    assert.deepEqual(ids(python.rows, sink), idsOf("good", end), `${sink}: PyIceberg finds every record once`);
    assert.deepEqual(ids(rejected, sink), idsOf("bad", end), `${sink}: every reject once`);
    const reached = PARTITIONS.map((p) => Number(watermarks.find((mark) => mark.writer === sink && mark.partition === p)?.nextOffset ?? -1));
    assert.deepEqual(reached, PARTITIONS.map(() => end), `${sink}: watermarks at the end`);
  }
  assert.equal(rows.length, sinks.length * idsOf("good", end).length);
}

describe("a pipeline with table sinks that is killed and started again", function () {
  this.timeout(60_000 + ROUNDS * 120_000);
  let folder: string;
  beforeEach(async () => { folder = await fs.mkdtemp(join(tmpdir(), "ticklake-sinks-")); });
  afterEach(() => fs.rm(folder, { recursive: true, force: true }));

  for (const sinks of [["a"], ["a", "b"]]) {
    it(`${sinks.length} sink(s) on one table: SIGKILL at every step of a commit and at any moment, no row lost and none twice`, async function () {
      for (let round = 0; round < ROUNDS; round++) {
        const seed = SEED + 1000 * round + sinks.length;
        console.log(`      seed ${seed}`);
        const base = { folder: join(folder, String(round)), sinks, end: 1500 };
        let process = 0;
        const job = (): SinkJob => ({ ...base, seed: seed + 10 * ++process });
        for (const [k, point] of COMMIT_POINTS.entries()) {
          if (ROUNDS === 1 && sinks.length > 1 && (k + seed) % 2 === 0) continue;
          // In the first commit of a process, where there may be something from before that is in the table, and in later ones.
          const end = await startSinks(job(), { kill: { point, count: 1 + ((seed + k) % 4) } }).ended;
          assert.equal(end, "killed", `${point} was reached`);
        }
        for (let kill = 0; kill < 3; kill++) {
          const running = startSinks(job());
          await running.until("started");
          setTimeout(() => running.child.kill("SIGKILL"), (seed * 7919 + kill * 104_729) % 160);
          await running.ended;
        }
        await startSinks(job()).ended;
        await assertWhole(job());
      }
    });
  }

  it("three processes that are one writer, a partition each, all the time in each other's way and killed in turn: no commit loses what the others wrote down", async function () {
    for (let round = 0; round < ROUNDS; round++) {
      const seed = SEED + 1000 * round;
      console.log(`      seed ${seed}`);
      const base = { folder: join(folder, `three-${round}`), sinks: ["a"], end: 1200 };
      const conflicts = await Promise.all(PARTITIONS.map(async (partition) => {
        const job = (attempt: number): SinkJob => ({ ...base, partitions: [partition], seed: seed + 10 * partition + attempt });
        const point = COMMIT_POINTS[(seed + 3 * partition) % COMMIT_POINTS.length]!;
        assert.equal(await startSinks(job(0), { kill: { point, count: 3 } }).ended, "killed", `${point} was reached`);
        const stats = await startSinks(job(1)).ended;
        return typeof stats === "object" ? stats["conflicts"]! : 0;
      }));
      assert.ok(conflicts.some((count) => count > 0), "they met");
      await assertWhole({ ...base, seed });
    }
  });

  it("a process that stands still in its commit, and goes on after others have taken over, adds nothing", async function () {
    const points = COMMIT_POINTS.filter((_, k) => ROUNDS > 1 || k % 3 === SEED % 3);
    for (let round = 0; round < ROUNDS; round++) {
      for (const [k, point] of points.entries()) {
        const seed = SEED + 1000 * round + 100 * k;
        console.log(`      seed ${seed}: ${point}`);
        const base = { folder: join(folder, `${round}-${point}`), sinks: k % 2 === 0 ? ["a"] : ["a", "b"], end: 400 };
        const zombie = startSinks({ ...base, seed }, { stop: { point, count: 1 + (seed % 5) } });
        try {
          await zombie.until("stopped");
          // Its successor gets some way, or to the end; the next one starts beside the zombie.
          await startSinks({ ...base, seed: seed + 1 }, k % 2 === 0 ? {} : { kill: { point: "after-trim", count: 6 } }).ended;
          zombie.child.kill("SIGCONT");
          await Promise.all([zombie.ended, startSinks({ ...base, seed: seed + 2 }).ended]);
        } finally {
          zombie.child.kill("SIGKILL");
        }
        await assertWhole({ ...base, seed });
      }
    }
  });
});
