import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TicklakeError } from "../../../../lib/errors";
import { HadoopCatalog } from "../../../../lib/iceberg/catalog/hadoop";
import { LocalFileIO } from "../../../../lib/iceberg/io/local";
import { type CareDeps, TableCare } from "../../../../lib/iceberg/maintenance/care";
import { COMPACTION } from "../../../../lib/iceberg/maintenance/policy";
import { compactTable, type CompactResult } from "../../../../lib/iceberg/operations/compact";
import { TRADES_PARTITION_BY, TRADES_SCHEMA } from "../../../../lib/iceberg/schema";
import { parsePartitionBy } from "../../../../lib/iceberg/transforms";
import { dataFiles, readRows } from "../../../support/read-table";
import { appendRows, dayOfTrades } from "../../../support/tables";

const ID = { namespace: ["db"], name: "t" };

describe("maintenance by itself", function () {
  this.timeout(60_000);
  let folder: string, catalog: HadoopCatalog, cares: TableCare[];
  const said: { did: string[]; warned: string[]; advice: (string | undefined)[] } = { did: [], warned: [], advice: [] };

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "ticklake-care-test-"));
    catalog = new HadoopCatalog({ warehouse: folder, io: new LocalFileIO() });
    cares = [];
    for (const list of Object.values(said)) list.length = 0;
  });
  afterEach(async () => {
    await Promise.all(cares.map((care) => care.close()));
    await rm(folder, { recursive: true, force: true });
  });

  function careOf(more: Partial<CareDeps> = {}): TableCare {
    const care = new TableCare({
      catalog, identifier: ID, name: "db.t", maintenance: true, random: () => 0,
      events: { did: (text) => { said.did.push(text); }, warn: (text) => { said.warned.push(text); }, advice: (short) => { said.advice.push(short); } }, ...more,
    });
    cares.push(care);
    return care;
  }
  const newTable = (properties: Record<string, string> = {}): ReturnType<HadoopCatalog["createTable"]> =>
    catalog.createTable(ID, { schema: TRADES_SCHEMA, spec: parsePartitionBy(TRADES_PARTITION_BY, TRADES_SCHEMA), properties: { "ticklake.maintenance.interval-ms": "200", ...properties } });
  async function until(what: string, done: () => boolean | Promise<boolean>): Promise<void> {
    for (let n = 0; n < 1500; n++) {
      if (await done()) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.fail(`${what}: ${JSON.stringify(said)}`);
  }

  it("keeps the number of files small while commits go on, loses no row and doubles none", async () => {
    const table = await newTable();
    const care = careOf();
    for (let n = 0; n < 40; n++) {
      await appendRows(table, dayOfTrades(n % 2, 5));
      care.committed(1);
    }
    await until("the files are merged", async () => (await dataFiles(table)).length <= 2 * 5);
    assert.equal((await readRows(table)).length, 200);
    assert.match(said.did[0]!, /^db\.t: compacted \d+ files \([\d.]+ MB\) into \d+ \([\d.]+ MB\) in [\d.]+ s\.$/);
    assert.ok(table.state.metadata.snapshots.some((snapshot) => snapshot.summary[COMPACTION] !== undefined));
    assert.deepEqual(said.warned, []);
  });

  it("merges what is left when no more commits come, and then rests", async () => {
    const table = await newTable();
    const care = careOf();
    for (let n = 0; n < 7; n++) await appendRows(table, dayOfTrades(0, 5));
    care.committed(7);
    await until("the files are merged", async () => (await dataFiles(table)).length === 1);
    assert.equal((await readRows(table)).length, 35);
  });

  it("a run that came too early does not keep later ones from merging", async () => {
    const table = await newTable();
    let runs = 0;
    // The clock stands still: no interval ends.
    const care = careOf({ now: () => 1_700_000_000_000, compact: (one, run) => { runs++; return compactTable(one, run); } });
    for (const [files, wanted] of [[2, 1], [2, 2]] as const) {
      for (let n = 0; n < files; n++) await appendRows(table, dayOfTrades(0, 5));
      care.committed(files);
      await until("they are looked at", () => runs === wanted);
    }
    assert.equal((await dataFiles(table)).length, 4, "too few so far");
    await appendRows(table, dayOfTrades(0, 5));
    care.committed(1);
    await until("they are merged", async () => (await dataFiles(table)).length === 1);
    assert.equal((await readRows(table)).length, 25);
    assert.equal(runs, 3);
  });

  it("what small runs made is merged once more after the last commit", async () => {
    await newTable();
    let now = 1_700_000_000_000;
    const kinds: (string | undefined)[] = [];
    const merged = { rewritten_data_files_count: 10, added_data_files_count: 1, failures: [] } as unknown as CompactResult;
    const care = careOf({ now: () => now, compact: (_table, run) => { kinds.push(run.summary?.[COMPACTION]); return Promise.resolve(merged); } });
    care.committed(10);
    await until("the first run", () => kinds.length === 1);
    now += 250;
    care.committed(10);
    await until("the second run", () => kinds.length === 2);
    now += 1200;
    await until("the third run", () => kinds.length === 3);
    assert.deepEqual(kinds, ["all", "small", "all"]);
  });

  it("snapshots go by their age although no more commits come", async () => {
    const table = await newTable({ "history.expire.max-snapshot-age-ms": "1500" });
    const care = careOf();
    for (let n = 0; n < 3; n++) await appendRows(table, dayOfTrades(0, 5));
    care.committed(3);
    await until("only the last one is left", async () => (await table.refresh()).metadata.snapshots.length === 1);
    assert.equal((await readRows(table)).length, 15);
    assert.deepEqual(said.warned, []);
  });

  it("a table that cannot be expired is compacted all the same", async () => {
    const table = await newTable({ "ticklake.maintenance.max-snapshots": "3", "gc.enabled": "false" });
    for (let n = 0; n < 6; n++) await appendRows(table, dayOfTrades(0, 5));
    careOf().committed(6);
    await until("the files are merged, and the trouble is told", async () => (await dataFiles(table)).length === 1 && said.warned.length === 1);
    assert.match(said.warned[0]!, /gc\.enabled/);
  });

  it("expires what the properties let go, and tells how much", async () => {
    const table = await newTable({ "ticklake.maintenance.max-snapshots": "3" });
    for (let n = 0; n < 6; n++) await appendRows(table, dayOfTrades(0, 5));
    const asked: { olderThanMs: number; retainLast: number }[] = [];
    careOf({ expire: (_table, { olderThanMs, retainLast }) => { asked.push({ olderThanMs, retainLast }); return Promise.resolve({ snapshots: 4, files: 9 }); } }).committed(6);
    await until("expiry was asked for", () => asked.length > 0);
    assert.deepEqual(asked[0], { olderThanMs: table.state.metadata.snapshots[3]!["timestamp-ms"], retainLast: 1 });
    await until("it is told", () => said.did.some((text) => text === "db.t: expired 4 snapshots and deleted 9 files that only they needed."));
  });

  it("keeps the history short and the disk small while commits go on", async () => {
    const table = await newTable({ "ticklake.maintenance.max-snapshots": "10" });
    const care = careOf();
    for (let n = 0; n < 30; n++) {
      await appendRows(table, dayOfTrades(0, 5));
      care.committed(1);
    }
    await until("snapshots expire", async () => (await table.refresh()).metadata.snapshots.length <= 12 && (await dataFiles(table)).length < 10);
    assert.equal((await readRows(table)).length, 150);
    assert.ok(said.did.some((text) => /expired \d+ snapshots and deleted [1-9]\d* files/.test(text)));
  });

  it("runs one at a time in the process, and tells trouble once without ever failing anybody", async () => {
    await newTable();
    let now = 0, runs = 0, together = 0, most = 0;
    const compact = async (): Promise<never> => {
      runs++;
      most = Math.max(most, ++together);
      await new Promise((resolve) => setTimeout(resolve, 5));
      together--;
      throw new TicklakeError("STORAGE_FAILED", `disk ${runs} does not answer`);
    };
    const two = [careOf({ compact, now: () => now += 1000 }), careOf({ compact, now: () => now += 1000 })];
    for (const care of two) care.committed(10);
    await until("both were tried", () => said.warned.length === 2);
    assert.equal(most, 1);
    assert.match(said.warned[0]!, /^db\.t: maintenance failed and is tried again in 1 minutes; rows are written as before\. disk \d does not answer$/);
  });

  it("advises to expire with or without maintenance, once an hour in the log", async () => {
    const table = await newTable();
    for (let n = 0; n < 2; n++) await appendRows(table, dayOfTrades(0, 1));
    const snapshots = Array.from({ length: 5001 }, (_, n) => ({ ...table.state.metadata.snapshots[0]!, "snapshot-id": BigInt(n + 1) }));
    const long = { ...table, location: table.location, io: table.io, state: { ...table.state, metadata: { ...table.state.metadata, snapshots } } };
    let now = 1_000_000_000;
    const care = careOf({ maintenance: false, now: () => now, catalog: { loadTable: () => Promise.resolve(long) } as unknown as CareDeps["catalog"] });
    care.committed(1);
    await until("the advice", () => said.warned.length === 1);
    assert.match(said.advice[0]!, /^5,001 snapshots/);
    assert.match(said.warned[0]!, /expire-snapshots/);
    for (const minutes of [15, 15, 15, 20]) {
      now += minutes * 60_000;
      const looks = said.advice.length;
      care.committed(1);
      await until("another look", () => said.advice.length > looks);
    }
    assert.equal(said.warned.length, 2, "an hour later it is said again");
  });

  it("lets go at once when its node closes", async () => {
    await newTable();
    let stopped = false;
    const care = careOf({ compact: (_table, { signal }) => new Promise((_resolve, reject) => { signal!.addEventListener("abort", () => { stopped = true; reject(new TicklakeError("STOPPED", "stopped")); }); }) });
    care.committed(10);
    await new Promise((resolve) => setTimeout(resolve, 200));
    const began = Date.now();
    await care.close();
    assert.ok(stopped && Date.now() - began < 1500);
    assert.deepEqual(said.warned, []);
  });
});
