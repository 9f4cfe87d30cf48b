import assert from "node:assert/strict";
import fc from "fast-check";
import { TicklakeError } from "../../../../lib/errors";
import { HadoopCatalog } from "../../../../lib/iceberg/catalog/hadoop";
import type { Table } from "../../../../lib/iceberg/catalog/types";
import { append } from "../../../../lib/iceberg/commit";
import { commitChange } from "../../../../lib/iceberg/commit-change";
import { CommitFiles } from "../../../../lib/iceberg/commit-files";
import type { FileIO } from "../../../../lib/iceberg/io/types";
import { readManifest, readManifestList, writeManifest } from "../../../../lib/iceberg/manifests";
import { currentSchema, currentSnapshot, snapshotUpdates } from "../../../../lib/iceberg/metadata";
import { type OperationResult, runOperation } from "../../../../lib/iceberg/operations";
import { DELETED, type Snapshot } from "../../../../lib/iceberg/types";
import { readWatermarks, type Watermark } from "../../../../lib/iceberg/watermarks";
import { dataFile, liveEntries, SCHEMA, SPEC } from "../../../support/iceberg";
import { MemoryIO } from "../../../support/memory-io";
import { type Fault, ScriptedIO, turns } from "../../../support/scripted-io";

const ID = { namespace: ["db"], name: "t" };
const NOW = 1_800_000_000_000;
const mark = (nextOffset: bigint, more: Partial<Watermark> = {}): Watermark => ({ writer: "w", cluster: "c", group: "g", topic: "t", partition: 0, nextOffset, lastOffset: nextOffset - 1n, lastTimestamp: 5, ...more });

class World {
  readonly memory = new MemoryIO();
  now = NOW;

  constructor(readonly io: FileIO = new MemoryIO()) { if (io instanceof MemoryIO) this.memory = io; }

  catalog(io: FileIO = this.memory): HadoopCatalog {
    return new HadoopCatalog({ warehouse: "mem:/wh", io, now: () => this.now });
  }

  create(properties: Record<string, string> = {}): Promise<Table> {
    return this.catalog().createTable(ID, { schema: SCHEMA, spec: SPEC, properties });
  }

  /** A data file that is there, in the table's folder. */
  async file(name: string, ts: readonly bigint[] = [0n]): Promise<ReturnType<typeof dataFile>> {
    const path = `mem:/wh/db/t/data/${name}`;
    await this.memory.write(path, Buffer.from(name));
    return dataFile(path, ts);
  }

  async append(table: Table, name: string, ts?: readonly bigint[], watermarks: readonly Watermark[] = []): Promise<bigint> {
    const { snapshotId } = await append(table, { files: [await this.file(name, ts)], watermarks }, { now: () => this.now });
    this.now += 1000;
    return snapshotId;
  }

  run(operation: string, options: Record<string, unknown> = {}, io?: FileIO, signal?: AbortSignal): Promise<OperationResult> {
    return runOperation({ catalog: this.catalog(io), table: "db.t", operation, options }, { tools: { now: () => this.now, sleep: () => turns(2) }, ...(signal ? { signal } : {}) });
  }

  has(name: string): boolean { return this.memory.files.has(`mem:/wh/db/t/data/${name}`); }
}

/** Files that a snapshot reads, by name; every one of them must be there. */
async function read(memory: MemoryIO, table: Table, snapshot: Snapshot): Promise<string[]> {
  const names: string[] = [];
  for (const manifest of await readManifestList(memory, snapshot)) {
    for (const { status, file } of await readManifest(memory, manifest, table.state.metadata)) {
      if (status === DELETED) continue;
      assert.ok(memory.files.has(file.filePath), `${file.filePath} is gone, but snapshot ${snapshot["snapshot-id"]} reads it`);
      names.push(file.filePath.slice("mem:/wh/db/t/data/".length));
    }
  }
  return names.sort();
}

/** A snapshot that drops one file by a manifest of its own, as another engine's delete does. */
async function remove(world: World, table: Table, name: string): Promise<void> {
  const files = new CommitFiles(table);
  await commitChange(table, {
    build: async (base, { snapshotId, number }) => {
      const { metadata } = base;
      const sequenceNumber = metadata["last-sequence-number"] + 1;
      const manifests = [];
      for (const manifest of await files.inherited(base)) {
        const entries = (await readManifest(table.io, manifest, metadata)).filter((entry) => entry.status !== DELETED);
        if (!entries.some((entry) => entry.file.filePath.endsWith(`/${name}`))) { manifests.push(manifest); continue; }
        manifests.push(await writeManifest(table.io, files.newManifest(base), entries.map((entry) => ({ ...entry, status: entry.file.filePath.endsWith(`/${name}`) ? DELETED as 2 : 0 as const, snapshotId })), { metadata, schema: currentSchema(metadata), spec: SPEC }, snapshotId));
      }
      const list = await files.writeList(base, { snapshotId, sequenceNumber, attempt: number }, manifests);
      const snapshot: Snapshot = { "snapshot-id": snapshotId, "sequence-number": sequenceNumber, "parent-snapshot-id": metadata["current-snapshot-id"]!, "timestamp-ms": Math.max(world.now, metadata["last-updated-ms"]), "manifest-list": list, summary: { operation: "delete" }, "schema-id": metadata["current-schema-id"] };
      return { updates: snapshotUpdates(metadata, snapshot), snapshot, value: undefined };
    },
  });
  world.now += 1000;
}

describe("operations on tables", () => {
  it("describes, creates, drops", async () => {
    const world = new World();
    const created = await world.run("create", { schema: "trades", properties: { owner: "me" } });
    assert.equal(created["created"], true);
    await assert.rejects(world.run("create"), { code: "TABLE_EXISTS" });
    assert.equal((await world.run("create", { ifNotExists: true }))["created"], false);
    const described = await world.run("describe");
    assert.deepEqual([described["partitionBy"], described["name"], (described["columns"] as unknown[]).length, described["snapshots"]], ["truncate[86400000](timestamp)", "local.db.t", 9, 0]);
    const table = await world.catalog().loadTable(ID);
    const inner = await world.catalog().createTable({ namespace: ["db", "t"], name: "inner" }, { schema: SCHEMA, spec: SPEC });
    await world.file("x");
    const dry = await world.run("drop", { purge: true, dryRun: true });
    assert.equal(dry["dropped"], false);
    assert.ok((dry["files"] as string[]).includes("mem:/wh/db/t/data/x"));
    assert.ok((await table.refresh()).metadata);
    const dropped = await world.run("drop", { purge: true });
    assert.equal(dropped["files_count"], dry["files_count"]);
    assert.deepEqual([...world.memory.files.keys()].filter((name) => !name.startsWith(inner.location)), [], "nothing of the table is left");
    assert.ok((await inner.refresh()).metadata, "a table inside its folder stays");
  });

  it("refuses options that it does not know: a misspelt dryRun must not delete", async () => {
    const world = new World();
    await world.create();
    await assert.rejects(world.run("drop", { dryrun: true, purge: true }), { code: "CONFIG_INVALID", message: /no option dryrun/ });
    await assert.rejects(world.run("expire-snapshots", { snapshotIds: [2 ** 60] }), { code: "CONFIG_INVALID", message: /snapshot id/ });
    await assert.rejects(world.run("expire-snapshots", { olderThan: "yesterday" }), { code: "CONFIG_INVALID", message: /must be a time/ });
    await assert.rejects(world.run("explode"), { code: "CONFIG_INVALID", message: /describe, create/ });
    assert.ok(await world.catalog().tableExists(ID));
  });

  it("expires by age, keeps what branches and tags need, and deletes what nobody reads", async () => {
    const world = new World();
    const table = await world.create();
    const ids: bigint[] = [];
    for (const name of ["a", "b", "c"]) ids.push(await world.append(table, name));
    await remove(world, table, "a");
    const rewritten = [...(await read(world.memory, table, currentSnapshot((await table.refresh()).metadata)!))];
    assert.deepEqual(rewritten, ["b", "c"]);
    const dry = await world.run("expire-snapshots", { olderThan: world.now, dryRun: true });
    assert.equal(world.has("a"), true);
    const result = await world.run("expire-snapshots", { olderThan: world.now });
    const counts = (one: OperationResult): unknown[] => ["deleted_data_files_count", "deleted_manifest_files_count", "deleted_manifest_lists_count", "expired_snapshots_count", "bytes"].map((key) => one[key]);
    assert.deepEqual(counts(result), counts(dry));
    assert.deepEqual(counts(result).slice(0, 4), [1, 1, 3, 3]);
    assert.deepEqual([world.has("a"), world.has("b"), world.has("c")], [false, true, true]);
    assert.deepEqual(await read(world.memory, table, currentSnapshot((await table.refresh()).metadata)!), ["b", "c"]);
    assert.equal((await world.run("expire-snapshots", { olderThan: world.now }))["expired_snapshots_count"], 0);
  });

  it("expires single snapshots, and never one that a branch, a tag or the table itself stands on", async () => {
    const world = new World();
    const table = await world.create();
    const ids: bigint[] = [];
    for (const name of ["a", "b", "c"]) ids.push(await world.append(table, name));
    await table.commit(await table.refresh(), [{ action: "set-snapshot-ref", "ref-name": "v1", type: "tag", "snapshot-id": ids[0]! }]);
    await assert.rejects(world.run("expire-snapshots", { snapshotIds: [String(ids[2])] }), { message: /is the current one/ });
    await assert.rejects(world.run("expire-snapshots", { snapshotIds: [String(ids[0])] }), { message: /v1 names it/ });
    assert.equal((await world.run("expire-snapshots", { snapshotIds: String(ids[1]) }))["expired_snapshots_count"], 1);
    await world.run("expire-snapshots", { olderThan: world.now + 1e6 });
    assert.deepEqual((await table.refresh()).metadata.snapshots.map((snapshot) => snapshot["snapshot-id"]), [ids[0], ids[2]]);
  });

  it("keeps offsets when their snapshots expire, and voids none", async () => {
    const world = new World();
    const table = await world.create();
    await world.append(table, "a", [0n], [mark(10n)]);
    await append(table, { files: [await world.file("b")] });
    await world.run("rewrite-manifests");
    await world.run("expire-snapshots", { olderThan: world.now + 1e6 });
    assert.deepEqual(readWatermarks((await table.refresh()).metadata).watermarks.map((one) => one.nextOffset), [10n]);
    const { offsets } = await world.run("offsets") as unknown as { offsets: { nextOffset: string }[] };
    assert.deepEqual(offsets.map((one) => one.nextOffset), ["10"]);
    assert.equal(((await world.run("reset-offsets", { topic: "other" }))["forgotten"] as unknown[]).length, 0);
    assert.equal(((await world.run("reset-offsets", { topic: "t", partition: "0" }))["forgotten"] as unknown[]).length, 1);
    assert.deepEqual((await world.run("offsets"))["offsets"], []);
  });

  it("rolls back, with the offsets or without, and says that it has to be told", async () => {
    for (const offsets of ["keep", "rewind"] as const) {
      const world = new World();
      const table = await world.create();
      const first = await world.append(table, "a", [0n], [mark(10n)]);
      await world.append(table, "b", [0n], [mark(20n)]);
      await assert.rejects(world.run("rollback", { snapshotId: String(first) }), { code: "CONFIG_INVALID", message: /offsets/ });
      assert.equal(((await world.run("rollback", { snapshotId: String(first), offsets, dryRun: true }))["snapshots"] as unknown[]).length, 1);
      assert.equal((await liveEntries(table)).length, 2);
      await world.run("rollback", { snapshotId: String(first), offsets });
      assert.deepEqual((await liveEntries(table)).map((entry) => entry.file.filePath), ["mem:/wh/db/t/data/a"]);
      const { watermarks, reversed } = readWatermarks(table.state.metadata);
      assert.deepEqual([watermarks.map((one) => one.nextOffset), reversed.map((one) => one.nextOffset)], offsets === "keep" ? [[20n], []] : [[10n], [20n]]);
      assert.equal((await world.run("rollback", { snapshotId: String(first), offsets }))["changed"], false);
    }
    const world = new World();
    const table = await world.create();
    const first = await world.append(table, "a");
    const at = world.now;
    await world.append(table, "b");
    assert.equal((await world.run("rollback", { timestamp: new Date(at).toISOString() }))["current_snapshot_id"], first);
    await assert.rejects(world.run("rollback", { timestamp: "2001-01-01" }), { code: "SNAPSHOT_NOT_FOUND" });
  });

  it("rewrites manifests sorted by partition: same files, same sequence numbers, fewer manifests", async () => {
    const world = new World();
    const table = await world.create({ "commit.manifest-merge.enabled": "false" });
    for (let i = 0; i < 12; i++) await world.append(table, `f${i}`, [BigInt((i % 3) * 100)]);
    const entriesOf = async (): Promise<unknown[]> => (await liveEntries(table)).map((entry) => [entry.file.filePath, entry.sequenceNumber, entry.fileSequenceNumber, String(entry.snapshotId)]).sort();
    const before = await entriesOf();
    const dry = await world.run("rewrite-manifests", { dryRun: true });
    const result = await world.run("rewrite-manifests");
    assert.deepEqual([result["rewritten_manifests_count"], result["added_manifests_count"], dry["added_manifests_count"]], [12, 1, 1]);
    assert.deepEqual(await entriesOf(), before);
    const snapshot = currentSnapshot(table.state.metadata)!;
    assert.deepEqual([snapshot.summary["operation"], snapshot.summary["total-data-files"], snapshot.summary["manifests-replaced"]], ["replace", "12", "12"]);
    assert.equal((await world.run("rewrite-manifests"))["rewritten_manifests_count"], 0, "what is well stays");
    const [manifest] = await readManifestList(world.memory, snapshot);
    const small = await world.run("rewrite-manifests", { targetSizeBytes: Math.ceil(manifest!.length / 3) });
    assert.ok((small["added_manifests_count"] as number) >= 1);
    await world.append(table, "more");
    assert.equal((await liveEntries(table)).length, 13);
  });

  it("removes orphans and nothing else", async () => {
    const world = new World();
    const table = await world.create();
    await world.append(table, "a b");
    for (let i = 0; i < 3; i++) await world.append(table, `n${i}`);
    await world.file("orphan");
    await world.file("_hidden");
    const inner = await world.catalog().createTable({ namespace: ["db", "t"], name: "inner" }, { schema: SCHEMA, spec: SPEC });
    await append(inner, { files: [] });
    await world.memory.write("mem:/wh/db/t/inner/data/theirs", Buffer.from("x"));
    const before = new Set(world.memory.files.keys());
    assert.deepEqual((await world.run("remove-orphan-files", { dryRun: true }))["orphan_file_location"], ["mem:/wh/db/t/data/orphan"]);
    assert.deepEqual(new Set(world.memory.files.keys()), before);
    const result = await world.run("remove-orphan-files");
    assert.deepEqual([result["orphan_files_count"], result["nested_tables"]], [1, [inner.location]]);
    assert.deepEqual([...before].filter((name) => !world.memory.files.has(name)), ["mem:/wh/db/t/data/orphan"]);
    await assert.rejects(world.run("remove-orphan-files", { olderThan: world.now }), { code: "CONFIG_INVALID", message: /24 hours/ });
    await assert.rejects(world.run("remove-orphan-files", { location: "mem:/wh/db" }), { code: "CONFIG_INVALID", message: /does not lie in/ });
    await assert.rejects(world.run("remove-orphan-files", { location: "mem:/wh/db/t/../other" }), { code: "CONFIG_INVALID" });
  });

  it("deletes no orphan where the table cannot be read whole", async () => {
    const world = new World();
    const table = await world.create();
    await world.append(table, "a");
    await world.file("orphan");
    const manifest = [...world.memory.files.keys()].find((name) => name.endsWith("-m0.avro"))!;
    world.memory.files.delete(manifest);
    await assert.rejects(world.run("remove-orphan-files"), { code: "TABLE_CORRUPT" });
    assert.equal(world.has("orphan"), true);
  });

  it("refuses a second destructive operation on a table while one runs", async () => {
    const world = new World();
    await world.append(await world.create(), "a");
    const results = await Promise.allSettled([world.run("expire-snapshots"), world.run("remove-orphan-files"), world.run("describe"), world.run("expire-snapshots", { dryRun: true })]);
    assert.deepEqual(results.map((result) => (result.status === "fulfilled" ? "done" : (result.reason as TicklakeError).code)), ["done", "TABLE_BUSY", "done", "done"]);
    await world.run("remove-orphan-files");
  });

  it("evolves columns by id, and commits nothing where nothing changes", async () => {
    const world = new World();
    const table = await world.create();
    const added = await world.run("add-column", { column: "price", type: "float", doc: "in USD", after: "id" });
    assert.equal(added["fieldId"], 3);
    await world.run("rename-column", { column: "price", name: "p" });
    await world.run("widen-column", { column: "p", type: "double" });
    await world.run("add-column", { column: "quote", type: '{"type":"struct","fields":[{"name":"bid","type":"int"}]}' });
    await world.run("add-column", { column: "quote.ask", type: "decimal(9,2)", position: "first" });
    await world.run("widen-column", { column: "quote.ask", type: "decimal(12, 2)" });
    await world.run("move-column", { column: "p", position: "first" });
    const schema = currentSchema((await table.refresh()).metadata);
    assert.deepEqual(schema.fields.map((field) => [field.id, field.name, field.type]), [
      [3, "p", "double"], [1, "id", "long"], [2, "ts", "long"],
      [4, "quote", { type: "struct", fields: [{ id: 6, name: "ask", required: false, type: "decimal(12, 2)" }, { id: 5, name: "bid", required: false, type: "int" }] }],
    ]);
    const { version } = table.state;
    assert.equal((await world.run("move-column", { column: "p", position: "first" }))["changed"], false);
    assert.equal((await table.refresh()).version, version);
    await world.run("drop-column", { column: "p" });
    await world.run("add-column", { column: "p", type: "string" });
    assert.equal(currentSchema((await table.refresh()).metadata).fields.at(-1)!.id, 7, "an id is never used again");
    assert.equal(table.state.metadata["last-column-id"], 7);
  });

  it("protects columns that others need, and says what stands in the way", async () => {
    const world = new World();
    await world.create();
    for (const [operation, options, message] of [
      ["drop-column", { column: "ts" }, /partitioned by "ts_trunc"/], ["add-column", { column: "id", type: "int" }, /already/], ["add-column", { column: "ts_trunc", type: "int" }, /partition field/],
      ["widen-column", { column: "id", type: "int" }, /cannot become/], ["rename-column", { column: "id", name: "ts" }, /beside it/], ["rename-column", { column: "ID", name: "x" }, /there is "id"/],
      ["add-column", { column: "a.b", type: "int" }, /no column "a"/], ["add-column", { column: "id.b", type: "int" }, /no struct/], ["move-column", { column: "id", after: "id" }, /itself/],
      ["add-column", { column: " ", type: "int" }, /./], ["add-column", { column: "v", type: "variant" }, /version 3/],
    ] as const) await assert.rejects(world.run(operation, options), (error: TicklakeError) => message.test(error.message), `${operation} ${JSON.stringify(options)}`);
    assert.deepEqual((await world.run("add-column", { column: "Id", type: "int" }))["warnings"], ['"Id" and "id" differ only by case: DuckDB cannot tell them apart, and Spark only with spark.sql.caseSensitive=true.']);
  });

  it("sets and removes properties, and leaves our own bookkeeping alone", async () => {
    const world = new World();
    const table = await world.create({ a: "1", b: "2" });
    const result = await world.run("set-properties", { set: { a: 3, c: true }, remove: ["b", "none"] });
    assert.deepEqual([result["set"], result["removed"]], [["a", "c"], ["b"]]);
    const { properties } = (await table.refresh()).metadata;
    assert.deepEqual([properties["a"], properties["b"], properties["c"]], ["3", undefined, "true"]);
    await assert.rejects(world.run("set-properties", { set: { "ticklake.watermarks": "x" } }), { message: /reset-offsets/ });
    await assert.rejects(world.run("set-properties", { set: { uuid: "x" } }), { code: "CONFIG_INVALID" });
  });

  it("two writers that add columns at once get both", async () => {
    const world = new World();
    const table = await world.create();
    await Promise.all(Array.from({ length: 6 }, (_, i) => world.run("add-column", { column: `c${i}`, type: "int" })));
    const { fields } = currentSchema((await table.refresh()).metadata);
    assert.deepEqual(fields.map((field) => field.name).sort(), ["c0", "c1", "c2", "c3", "c4", "c5", "id", "ts"]);
    assert.equal(new Set(fields.map((field) => field.id)).size, 8);
  });

  it("any history of appends, deletes, rewrites, rollbacks and expiries: every kept snapshot reads what it read, and what was deleted was unreachable", async function () {
    this.timeout(120_000);
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.constant("append") }, fc.constant("remove"), fc.constant("rewrite-manifests"), fc.constant("expire"), fc.constant("rollback"), fc.constant("tag"), fc.constant("orphans"),
    );
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(step, fc.nat(1000)), { minLength: 5, maxLength: 30 }), async (steps) => {
      const world = new World();
      const table = await world.create({ "commit.manifest.min-count-to-merge": "3" });
      const model = new Map<bigint, string[]>();
      let count = 0;
      for (const [what, n] of steps) {
        const { metadata } = await table.refresh();
        const current = currentSnapshot(metadata);
        if (what === "append") await world.append(table, `f${count++}`, [BigInt((n % 4) * 100)]);
        else if (what === "remove" && current) {
          const names = model.get(current["snapshot-id"])!;
          if (names.length > 0) await remove(world, table, names[n % names.length]!);
        } else if (what === "rewrite-manifests") await world.run("rewrite-manifests", n % 2 ? { targetSizeBytes: 6000 } : {});
        else if (what === "expire") await world.run("expire-snapshots", { olderThan: world.now - (n % 5) * 1000, ...(n % 3 ? { retainLast: n % 3 } : {}) });
        else if (what === "rollback" && current) {
          const line = metadata.snapshots.filter((snapshot) => snapshot["sequence-number"] <= current["sequence-number"]);
          await world.run("rollback", { snapshotId: String(line[n % line.length]!["snapshot-id"]), anySnapshot: true });
        } else if (what === "tag" && current) await table.commit(metadata === table.state.metadata ? table.state : await table.refresh(), [{ action: "set-snapshot-ref", "ref-name": `t${n % 3}`, type: "tag", "snapshot-id": current["snapshot-id"] }]);
        else if (what === "orphans") await world.run("remove-orphan-files");
        const after = (await table.refresh()).metadata;
        for (const snapshot of after.snapshots) {
          const names = await read(world.memory, table, snapshot);
          const known = model.get(snapshot["snapshot-id"]);
          if (known) assert.deepEqual(names, known, what);
          else model.set(snapshot["snapshot-id"], names);
        }
      }
      // In the end nothing is left behind that no snapshot reads.
      await world.run("expire-snapshots", { olderThan: world.now + 1 });
      const kept = new Set((await Promise.all((await table.refresh()).metadata.snapshots.map((snapshot) => read(world.memory, table, snapshot)))).flat());
      const orphans = (await world.run("remove-orphan-files", { dryRun: true }))["orphan_file_location"] as string[];
      for (const name of [...world.memory.files.keys()].filter((key) => key.includes("/data/"))) assert.ok(kept.has(name.slice("mem:/wh/db/t/data/".length)) || orphans.includes(name), `${name} is not needed and was not deleted`);
      assert.deepEqual(orphans.filter((name) => kept.has(name)), []);
    }), { numRuns: Number(process.env["TICKLAKE_FAULT_RUNS"] ?? 15) });
  });

  it("an error at any call: the table reads the same, no file that it needs is gone, and the operation can be run again", async function () {
    this.timeout(120_000);
    const template = new World();
    const made = await template.create({ "commit.manifest-merge.enabled": "false" });
    for (let i = 0; i < 4; i++) await template.append(made, `f${i}`, [BigInt(i * 100)]);
    await remove(template, made, "f0");
    await template.file("orphan");
    for (const [operation, options] of [["expire-snapshots", { olderThan: template.now + 1 }], ["rewrite-manifests", {}], ["remove-orphan-files", {}], ["add-column", { column: "x", type: "int" }], ["rollback", { timestamp: NOW + 2500 }]] as const) {
      const recorded = new ScriptedIO(template.memory.clone());
      const dry = new World(recorded);
      dry.now = template.now;
      await dry.run(operation, options, recorded);
      for (let n = 0; n < recorded.log.length; n++) {
        for (const fault of ["before", "landed", "lost", "late"] as Fault[]) {
          const world = new World(template.memory.clone());
          world.now = template.now;
          const io = new ScriptedIO(world.memory, (call) => (call.n === n ? fault : undefined));
          const where = `${operation}: call ${n} (${recorded.log[n]!.operation} ${recorded.log[n]!.location}) ${fault}`;
          await world.run(operation, options, io).catch((error: unknown) => { if (!(error instanceof TicklakeError) || error.code === "INTERNAL") throw new Error(where, { cause: error }); });
          await io.settled();
          const table = await world.catalog().loadTable(ID);
          for (const snapshot of table.state.metadata.snapshots) await read(world.memory, table, snapshot).catch((error: unknown) => { throw new Error(where, { cause: error }); });
          await world.run(operation, options).catch((error: unknown) => { if (!(error instanceof TicklakeError) || !/already/.test(error.message)) throw new Error(where, { cause: error }); });
          const names = await read(world.memory, table, currentSnapshot((await table.refresh()).metadata)!);
          assert.deepEqual(names, operation === "rollback" ? ["f0", "f1", "f2"] : ["f1", "f2", "f3"], where);
          await world.append(table, "next");
        }
      }
    }
  });

  it("beside appends that never stop, nothing is lost or doubled", async function () {
    this.timeout(60_000);
    const world = new World();
    await world.create({ "commit.manifest.min-count-to-merge": "4" });
    const names: string[] = [];
    let done = 0;
    const writers = Array.from({ length: 3 }, async (_, writer) => {
      const table = await world.catalog().loadTable(ID);
      for (let i = 0; i < 15; i++) {
        const name = `w${writer}-${i}`;
        names.push(name);
        await world.append(table, name, [BigInt((i % 3) * 100)]);
        await turns(3);
      }
      done++;
    });
    const keeper = (async () => {
      while (done < 3) {
        await world.run("rewrite-manifests");
        await world.run("expire-snapshots", { olderThan: world.now + 1e6 });
        await world.run("remove-orphan-files", { olderThan: 0 });
        await turns(5);
      }
    })();
    await Promise.all([...writers, keeper]);
    const table = await world.catalog().loadTable(ID);
    assert.deepEqual(await read(world.memory, table, currentSnapshot(table.state.metadata)!), [...names].sort());
  });
});
