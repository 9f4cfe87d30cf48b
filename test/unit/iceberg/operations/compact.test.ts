import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HadoopCatalog } from "../../../../lib/iceberg/catalog/hadoop";
import type { Table } from "../../../../lib/iceberg/catalog/types";
import { append, type Watermark } from "../../../../lib/iceberg/commit";
import { LocalFileIO } from "../../../../lib/iceberg/io/local";
import { readManifest, readManifestList } from "../../../../lib/iceberg/manifests";
import { compactTable, type CompactRun } from "../../../../lib/iceberg/operations/compact";
import { RewriteThread } from "../../../../lib/iceberg/rewrite/thread";
import { TRADES_PARTITION_BY, TRADES_SCHEMA } from "../../../../lib/iceberg/schema";
import { parsePartitionBy } from "../../../../lib/iceberg/transforms";
import { readWatermarks } from "../../../../lib/iceberg/watermarks";
import { liveEntries } from "../../../support/iceberg";
import { dataFiles, readRows } from "../../../support/read-table";
import { appendRows, DAY_MS, dayOfTrades, FIRST_DAY } from "../../../support/tables";

const ID = { namespace: ["db"], name: "t" };
const text = (rows: readonly unknown[]): string[] => rows.map((row) => JSON.stringify(row, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value))).sort();

/** The folders in which compactions stage their files just now: also those that a killed process of this machine left. */
const stages = async (): Promise<string[]> => (await readdir(tmpdir())).filter((name) => name.startsWith("ticklake-compact-") && !name.includes("test"));

describe("compaction", function () {
  this.timeout(60_000);
  let folder: string, table: Table;
  const rewriter = new RewriteThread();
  const compact = (run: CompactRun = {}): ReturnType<typeof compactTable> => compactTable(table, { rewriter, threads: 1, ...run });

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "ticklake-compact-test-"));
    const catalog = new HadoopCatalog({ warehouse: folder, io: new LocalFileIO() });
    table = await catalog.createTable(ID, { schema: TRADES_SCHEMA, spec: parsePartitionBy(TRADES_PARTITION_BY, TRADES_SCHEMA) });
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));
  after(() => rewriter.close());

  it("makes one file of the small ones of each partition, with the same rows", async () => {
    for (let n = 0; n < 6; n++) for (const day of [0, 1]) await appendRows(table, dayOfTrades(day, 10));
    await appendRows(table, dayOfTrades(2, 3));
    const before = text(await readRows(table));
    const stagesBefore = await stages();
    const result = await compact();
    assert.deepEqual(
      [result.rewritten_data_files_count, result.added_data_files_count, result.failed_data_files_count, result.removed_delete_files_count, result.rows], [12, 2, 0, 0, 120]);
    assert.ok(result.rewritten_bytes_count > 0 && result.ms > 0);
    assert.deepEqual(text(await readRows(table)), before);
    assert.equal((await dataFiles(table)).length, 3, "the day of one file is left alone");
    const { metadata } = table.state;
    const summary = metadata.snapshots.at(-1)!.summary;
    assert.deepEqual([summary["operation"], summary["total-data-files"], summary["total-records"], summary["deleted-data-files"]], ["replace", "3", "123", "12"]);
    assert.equal((await compact()).rewritten_data_files_count, 0, "nothing is left to do");
    for (const entry of await liveEntries(table)) if (entry.status === 1) assert.equal(entry.sequenceNumber, 13, "the new files have the sequence number of what was read");
    assert.deepEqual((await stages()).filter((name) => !stagesBefore.includes(name)), [], "nothing is left in the temporary folder");
  });

  it("one thread serves any number of compactions, and nothing piles up at it", async () => {
    const warnings: string[] = [];
    const hear = (warning: Error): void => { warnings.push(warning.message); };
    process.on("warning", hear);
    await appendRows(table, dayOfTrades(0, 3));
    for (let n = 1; n <= 12; n++) assert.equal((await compact({ options: { "rewrite-all": true } })).rewritten_data_files_count, 1);
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", hear);
    assert.deepEqual(warnings, []);
  });

  it("only says what it would do on a dry run", async () => {
    for (let n = 0; n < 5; n++) await appendRows(table, dayOfTrades(0, 10));
    const { version } = await table.refresh();
    const { groups, rewritten_data_files_count } = await compact({ dryRun: true });
    assert.deepEqual([groups.length, groups[0]!.files, groups[0]!.rows, groups[0]!.partition, rewritten_data_files_count], [1, 5, 50, "timestamp_trunc=1730419200000", 0]);
    assert.equal((await table.refresh()).version, version);
  });

  it("goes on top of appends that land meanwhile, and loses neither", async () => {
    for (let n = 0; n < 5; n++) await appendRows(table, dayOfTrades(0, 10));
    const other = await new HadoopCatalog({ warehouse: folder, io: new LocalFileIO() }).loadTable(ID);
    let meanwhile = 0;
    const result = await compact({ at: async (point) => {
      if (point === "before-metadata" && meanwhile++ < 2) await appendRows(other, dayOfTrades(0, 7));
    } });
    assert.deepEqual([result.conflicts, result.rewritten_data_files_count, result.failed_data_files_count], [2, 5, 0]);
    assert.equal((await readRows(table)).length, 64);
    assert.equal((await dataFiles(table)).length, 3);
  });

  it("leaves out what another compaction was first with, and deletes its own files", async () => {
    for (const day of [0, 1]) for (let n = 0; n < 5; n++) await appendRows(table, dayOfTrades(day, 10));
    const other = await new HadoopCatalog({ warehouse: folder, io: new LocalFileIO() }).loadTable(ID);
    const second = new RewriteThread();
    let meanwhile = 0;
    const result = await compact({ at: async (point) => {
      if (point !== "before-metadata" || meanwhile++ > 0) return;
      const where = { op: "<", column: "timestamp", value: BigInt(FIRST_DAY + DAY_MS) } as const;
      assert.equal((await compactTable(other, { rewriter: second, where })).rewritten_data_files_count, 5, "the filter chooses the first day");
    } });
    await second.close();
    assert.deepEqual([result.rewritten_data_files_count, result.failed_data_files_count, result.failures.length], [5, 5, 1]);
    assert.match(result.failures[0]!.reason, /not in the table any more/);
    assert.equal((await readRows(table)).length, 100);
    assert.deepEqual(await onDisk(), [...(await everyFile())].sort(), "nothing lies in the data folder that no snapshot knows");
  });

  it("commits nothing that a rollback took back", async () => {
    await appendRows(table, dayOfTrades(0, 10));
    const first = table.state.metadata["current-snapshot-id"]!;
    for (let n = 0; n < 5; n++) await appendRows(table, dayOfTrades(0, 10));
    const other = await new HadoopCatalog({ warehouse: folder, io: new LocalFileIO() }).loadTable(ID);
    let meanwhile = 0;
    const result = await compact({ at: async (point) => {
      if (point !== "before-metadata" || meanwhile++ > 0) return;
      await other.commit(await other.refresh(), [{ action: "set-snapshot-ref", "ref-name": "main", type: "branch", "snapshot-id": first }]);
    } });
    assert.deepEqual([result.rewritten_data_files_count, result.failed_data_files_count, result.snapshotIds.length], [0, 6, 0]);
    assert.equal((await readRows(table)).length, 10);
    assert.deepEqual(await onDisk(), [...(await everyFile())].sort());
  });

  it("writes the current columns and partitioning: added ones null, renamed ones by id, dropped ones gone, old specs divided anew", async () => {
    for (let n = 0; n < 5; n++) await appendRows(table, [...dayOfTrades(0, 4), ...dayOfTrades(1, 4)]);
    const { metadata } = await table.refresh();
    const fields = TRADES_SCHEMA.fields.filter((field) => field.name !== "z").map((field) => (field.name === "x" ? { ...field, name: "venue" } : field));
    const schema = { ...TRADES_SCHEMA, "schema-id": 1, fields: [{ id: 50, name: "note", required: false, type: "string" as const }, ...fields] };
    await table.commit(table.state, [
      { action: "add-schema", schema, "last-column-id": 50 }, { action: "set-current-schema", "schema-id": 1 },
      { action: "add-spec", spec: { ...parsePartitionBy("bucket[2](S)", schema, 1), "spec-id": 1 } }, { action: "set-default-spec", "spec-id": 1 },
    ]);
    const result = await compact();
    assert.deepEqual([result.rewritten_data_files_count, result.failed_data_files_count, metadata.snapshots.length], [10, 0, 5]);
    const files = await dataFiles(table);
    assert.ok(files.every((file) => file.specId === 1) && files.length <= 3, `${files.length} files`);
    const rows = await readRows(table);
    assert.equal(rows.length, 40);
    assert.deepEqual(Object.keys(rows[0]!), ["note", "T", "S", "i", "venue", "p", "s", "timestamp", "c"]);
    assert.ok(rows.every((row) => row["note"] === null && row["venue"] === "V"));
  });

  it("keeps the watermarks, also when the snapshots that told them are gone", async () => {
    const mark: Watermark = { writer: "w", cluster: "c", group: "g", topic: "t", partition: 0, nextOffset: 50n, lastOffset: 49n, lastTimestamp: 1 };
    for (let n = 0; n < 5; n++) await appendRows(table, dayOfTrades(0, 10));
    await append(table, { files: [], watermarks: [mark] });
    await compact();
    const { metadata } = await table.refresh();
    assert.deepEqual(readWatermarks(metadata).watermarks, [mark]);
    const expired = { ...metadata, snapshots: metadata.snapshots.slice(-1) };
    assert.deepEqual(readWatermarks(expired).watermarks, [mark]);
  });

  it("stops when it is told to; nothing of it is left", async () => {
    for (const day of [0, 1]) for (let n = 0; n < 5; n++) await appendRows(table, dayOfTrades(day, 10));
    const stop = new AbortController();
    await assert.rejects(compact({ signal: stop.signal, progress: () => stop.abort() }), { code: "STOPPED" });
    assert.equal((await dataFiles(table)).length, 10);
    assert.deepEqual(await onDisk(), [...(await everyFile())].sort());
  });

  it("says which option is wrong", async () => {
    for (const [options, message] of [
      [{ "target-size": 1 }, /target-size is no option/], [{ "min-input-files": "many" }, /min-input-files must be a number/], [{ "max-file-size-bytes": 5 }, /must be above target/],
    ] as const) await assert.rejects(compact({ options }), { code: "CONFIG_INVALID", message });
    await assert.rejects(compact({ sortOrder: "nope" }), { code: "CONFIG_INVALID", message: /no plain column "nope"/ });
    await assert.rejects(compact({ strategy: "sort" }), { code: "CONFIG_INVALID", message: /has no sort order/ });
  });

  /** Data files on the disk. */
  async function onDisk(): Promise<string[]> {
    const found: string[] = [];
    for await (const file of table.io.listAll(`${table.location}/data`)) found.push(file.location);
    return found.sort();
  }

  /** Data files that any snapshot knows. */
  async function everyFile(): Promise<Set<string>> {
    const { metadata } = await table.refresh(), found = new Set<string>();
    for (const snapshot of metadata.snapshots) for (const manifest of await readManifestList(table.io, snapshot)) for (const entry of await readManifest(table.io, manifest, metadata)) found.add(entry.file.filePath);
    return found;
  }
});
