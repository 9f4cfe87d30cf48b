import assert from "node:assert/strict";
import { append, beginAppend } from "../../lib/iceberg/commit";
import type { Catalog, TableState } from "../../lib/iceberg/catalog/types";
import { readManifestList } from "../../lib/iceberg/manifests";
import { ancestors, currentSnapshot } from "../../lib/iceberg/metadata";
import { readWatermarks, resetWatermarks, type Watermark, WATERMARKS } from "../../lib/iceberg/watermarks";
import { assertSound, dataFile, liveEntries, SCHEMA, SPEC } from "./iceberg";

const ID = { namespace: ["db"], name: "trades" };
const mark = (nextOffset: bigint, more: Partial<Watermark> = {}): Watermark => ({ writer: "w", cluster: "c", group: "g", topic: "t", partition: 0, nextOffset, lastOffset: nextOffset - 1n, lastTimestamp: 5, ...more });

export interface CatalogUnderTest {
  /** A catalog on an empty warehouse. Called again for a second client of the same warehouse when `same` is given. */
  open(same?: Catalog): Promise<Catalog>;
  /** Removes a table behind the catalog's back, as a user who deletes the folder does. */
  drop(catalog: Catalog): Promise<void>;
}

/** What every catalog must do, whatever it keeps its tables in. */
export function catalogConformance(name: string, under: CatalogUnderTest): void {
  describe(`${name}: what every catalog does`, () => {
    let catalog: Catalog;
    beforeEach(async () => { catalog = await under.open(); });

    it("creates a table, finds it by name, lists it", async () => {
      assert.equal(await catalog.tableExists(ID), false);
      const created = await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC, properties: { owner: "me" } });
      assert.equal(created.fullName, `${catalog.name}.db.trades`);
      assert.equal(created.location, catalog.tableLocation(ID));
      const { metadata } = (await catalog.loadTable(ID)).state;
      assert.deepEqual([metadata.schemas, metadata["partition-specs"], metadata.properties["owner"], metadata.location], [[SCHEMA], [SPEC], "me", created.location]);
      assert.equal(metadata["table-uuid"], created.state.metadata["table-uuid"]);
      assert.equal(await catalog.tableExists(ID), true);
      assert.deepEqual(await catalog.listTables(["db"]), [ID]);
      assert.deepEqual(await catalog.listNamespaces(), [["db"]]);
    });

    it("lists by namespace, nested ones too, and only tables", async () => {
      for (const [namespace, table] of [[["db"], "b"], [["db"], "a"], [["db", "deep"], "c"], [["other"], "d"]] as const) await catalog.createTable({ namespace: [...namespace], name: table }, { schema: SCHEMA, spec: SPEC });
      assert.deepEqual((await catalog.listTables(["db"])).map((one) => one.name), ["a", "b"]);
      assert.deepEqual((await catalog.listTables(["db", "deep"])).map((one) => one.name), ["c"]);
      assert.deepEqual(await catalog.listNamespaces(), [["db"], ["other"]]);
      assert.deepEqual(await catalog.listNamespaces(["db"]), [["db", "deep"]]);
      assert.deepEqual(await catalog.listTables(["none"]), []);
    });

    it("says that a table is not there, or there already", async () => {
      await assert.rejects(catalog.loadTable(ID), { code: "TABLE_NOT_FOUND", message: /db\.trades/ });
      await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC });
      await assert.rejects(catalog.createTable(ID, { schema: SCHEMA, spec: SPEC }), { code: "TABLE_EXISTS" });
    });

    it("of many that create one table at once, one does, and all end up with the same", async () => {
      const results = await Promise.allSettled(Array.from({ length: 8 }, () => catalog.createTable(ID, { schema: SCHEMA, spec: SPEC })));
      assert.equal(results.filter((result) => result.status === "fulfilled").length, 1);
      for (const result of results) if (result.status === "rejected") assert.equal(result.reason.code, "TABLE_EXISTS");
      const winner = results.find((result) => result.status === "fulfilled")!;
      assert.equal((await catalog.loadTable(ID)).state.metadata["table-uuid"], winner.value.state.metadata["table-uuid"]);
    });

    it("drops a table: its name is free, and another table may have it", async () => {
      const table = await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC });
      const uuid = table.state.metadata["table-uuid"];
      await append(table, { files: [dataFile("/d/1")] });
      await assert.rejects(catalog.dropTable(ID, { uuid: "another" }), { code: "TABLE_REPLACED" });
      assert.equal(await catalog.tableExists(ID), true);
      await catalog.dropTable(ID, { uuid });
      assert.equal(await catalog.tableExists(ID), false);
      await assert.rejects(catalog.loadTable(ID), { code: "TABLE_NOT_FOUND" });
      await assert.rejects(table.refresh(), { code: "TABLE_NOT_FOUND" });
      await assert.rejects(catalog.dropTable(ID), { code: "TABLE_NOT_FOUND" });
      const next = await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC });
      assert.notEqual(next.state.metadata["table-uuid"], uuid);
      await assert.rejects(append(table, { files: [dataFile("/d/2")] }), { code: "TABLE_REPLACED" });
      await assertSound(next, []);
    });

    it("refuses names that lead elsewhere", async () => {
      for (const bad of ["..", "a/b", "", "a\\b"]) {
        await assert.rejects(async () => catalog.loadTable({ namespace: ["db"], name: bad }), { code: "TABLE_NAME_INVALID" });
        await assert.rejects(async () => catalog.createTable({ namespace: [bad], name: "t" }, { schema: SCHEMA, spec: SPEC }), { code: "TABLE_NAME_INVALID" });
      }
    });

    it("appends: rows, totals, history", async () => {
      const table = await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC });
      const first = await append(table, { files: [dataFile("/d/1", [1n, 2n]), dataFile("/d/2", [150n])], summary: { "my-key": "x" } });
      const second = await append(table, { files: [dataFile("/d/3")] });
      await assertSound(await catalog.loadTable(ID), ["/d/1", "/d/2", "/d/3"]);
      assert.deepEqual([first.sequenceNumber, second.sequenceNumber, first.conflicts], [1, 2, 0]);
      assert.deepEqual([first.snapshot.summary["my-key"], first.snapshot.summary["added-records"], first.snapshot.summary["changed-partition-count"], first.snapshot.summary["engine-name"]], ["x", "3", "2", "ticklake"]);
      assert.equal(second.snapshot["parent-snapshot-id"], first.snapshotId);
      assert.equal(currentSnapshot(table.state.metadata)!["snapshot-id"], second.snapshotId);
    });

    it("a stale client rebases: nothing is lost", async () => {
      const mine = await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC });
      const theirs = await (await under.open(catalog)).loadTable(ID);
      let rival: Promise<unknown> | undefined;
      const result = await append(mine, { files: [dataFile("/d/mine")], at: (point) => (point === "before-metadata" ? (rival ??= append(theirs, { files: [dataFile("/d/theirs")] })).then(() => undefined) : undefined) });
      assert.deepEqual([result.conflicts, result.sequenceNumber], [1, 2]);
      await assertSound(mine, ["/d/mine", "/d/theirs"]);
    });

    it("writers of one table that never stop colliding all get through", async () => {
      const table = await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC });
      const files: string[] = [];
      await Promise.all(Array.from({ length: 4 }, async (_, writer) => {
        const mine = await (await under.open(catalog)).loadTable(ID);
        for (let i = 0; i < 8; i++) {
          const file = `/d/${writer}-${i}`;
          files.push(file);
          await append(mine, { files: [dataFile(file)] });
        }
      }));
      await assertSound(table, files);
    });

    it("watermarks go with the rows, merged over those of others", async () => {
      const table = await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC });
      await append(table, { files: [dataFile("/d/1")], watermarks: [mark(10n), mark(20n, { partition: 1 })] });
      const theirs = await (await under.open(catalog)).loadTable(ID);
      await append(theirs, { files: [], watermarks: [mark(7n, { writer: "other" })] });
      const { state } = await append(table, { files: [dataFile("/d/2")], watermarks: [mark(11n)] });
      const { watermarks, from } = readWatermarks(state.metadata);
      assert.equal(from, "properties");
      assert.deepEqual(watermarks.map((one) => [one.writer, one.partition, one.nextOffset]).sort(), [["other", 0, 7n], ["w", 0, 11n], ["w", 1, 20n]]);
      assert.deepEqual(JSON.parse(currentSnapshot(state.metadata)!.summary[WATERMARKS]!), { v: 1, w: [["other", "c", "g", "t", { 0: [7, 6, 5] }], ["w", "c", "g", "t", { 0: [11, 10, 5], 1: [20, 19, 5] }]] });
      await assertSound(table, ["/d/1", "/d/2"]);
    });

    it("a reset of offsets is not undone by an append that was on its way", async () => {
      const table = await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC });
      await append(table, { files: [dataFile("/d/1")], watermarks: [mark(10n), mark(20n, { partition: 1 })] });
      const theirs = await (await under.open(catalog)).loadTable(ID);
      const reset = async (): Promise<void> => {
        const base = await theirs.refresh();
        await theirs.commit(base, resetWatermarks(base.metadata, (one) => one.partition === 1)!.updates);
      };
      let once: Promise<void> | undefined;
      const result = await append(table, { files: [dataFile("/d/2")], watermarks: [mark(11n)], at: (point) => (point === "before-metadata" ? (once ??= reset()) : undefined) });
      assert.equal(result.conflicts, 1);
      const { watermarks, reset: forgotten } = readWatermarks((await table.refresh()).metadata);
      assert.deepEqual([watermarks, forgotten].map((list) => list.map((one) => [one.partition, one.nextOffset])), [[[0, 11n]], [[1, 20n]]]);
      await assertSound(table, ["/d/1", "/d/2"]);
    });

    it("a reset of offsets on a stale base is a conflict", async () => {
      const table = await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC });
      const { state: base } = await append(table, { files: [dataFile("/d/1")], watermarks: [mark(10n)] });
      const { updates } = resetWatermarks(base.metadata, () => true)!;
      await append(await (await under.open(catalog)).loadTable(ID), { files: [dataFile("/d/2")], watermarks: [mark(11n)] });
      await assert.rejects(table.commit(base, updates), { code: "COMMIT_CONFLICT" });
      assert.deepEqual(readWatermarks((await table.refresh()).metadata).watermarks.map((one) => one.nextOffset), [11n]);
      assert.deepEqual(await orphans(catalog), []);
      await table.commit(await table.refresh(), resetWatermarks(table.state.metadata, () => true)!.updates);
      assert.deepEqual(readWatermarks((await table.refresh()).metadata).watermarks, []);
    });

    it("a commit never takes a watermark back: its rows are in the table already", async () => {
      const table = await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC });
      await append(table, { files: [dataFile("/d/1")], watermarks: [mark(10n)] });
      await assert.rejects(append(table, { files: [dataFile("/d/2")], watermarks: [mark(9n)] }), { code: "WATERMARK_MOVED", message: /t-0 up to offset 10/ });
      await assertSound(table, ["/d/1"]);
    });

    it("every attempt shows its base; what the check throws stops it before anything is written", async () => {
      const table = await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC });
      const theirs = await (await under.open(catalog)).loadTable(ID);
      const bases: number[] = [];
      const check = (base: TableState): void => {
        bases.push(base.metadata["last-sequence-number"]);
        if (bases.length === 2) throw Object.assign(new Error("enough"), { code: "X" });
      };
      const rival = async (point: string): Promise<void> => { if (point === "before-metadata") await append(theirs, { files: [dataFile("/d/theirs")] }); };
      await assert.rejects(append(table, { files: [dataFile("/d/mine")], checkBase: check, at: rival }), /enough/);
      assert.deepEqual(bases, [0, 1]);
      await assertSound(table, ["/d/theirs"]);
      assert.deepEqual(await orphans(catalog), []);
    });

    it("a table that was dropped and created anew is another table", async () => {
      const table = await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC });
      await append(table, { files: [dataFile("/d/1")] });
      await under.drop(catalog);
      await assert.rejects(append(table, { files: [dataFile("/d/2")] }), { code: "TABLE_NOT_FOUND" });
      const next = await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC });
      await append(next, { files: [dataFile("/d/new")] });
      await assert.rejects(append(table, { files: [dataFile("/d/2")] }), { code: "TABLE_REPLACED", message: /another table now/ });
      await assertSound(next, ["/d/new"]);
    });

    it("an append that is stopped leaves nothing", async () => {
      const table = await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC });
      const theirs = await (await under.open(catalog)).loadTable(ID);
      const stop = new AbortController();
      let n = 0;
      const at = async (point: string): Promise<void> => {
        if (point !== "before-metadata") return;
        await append(theirs, { files: [dataFile(`/d/${n++}`)] });
        if (n === 3) stop.abort();
      };
      await assert.rejects(append(table, { files: [dataFile("/d/mine")], at, signal: stop.signal }), { code: "STOPPED" });
      await assertSound(table, ["/d/0", "/d/1", "/d/2"]);
      assert.deepEqual(await orphans(catalog), []);
    });

    it("gives up at maxWaitMs with the conflict, and leaves nothing", async () => {
      const table = await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC });
      const theirs = await (await under.open(catalog)).loadTable(ID);
      let now = 1000;
      const files: string[] = [];
      const at = async (point: string): Promise<void> => {
        if (point !== "before-metadata") return;
        now += 400;
        files.push(`/d/${now}`);
        await append(theirs, { files: [dataFile(`/d/${now}`)] });
      };
      await assert.rejects(append(table, { files: [dataFile("/d/mine")], at, maxWaitMs: 1000 }, { now: () => now }), { code: "COMMIT_CONFLICT" });
      assert.equal(files.length, 3);
      await assertSound(table, files);
      assert.deepEqual(await orphans(catalog), []);
    });

    it("after a lost race nothing of the loser's lists is left", async () => {
      const table = await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC });
      const theirs = await (await under.open(catalog)).loadTable(ID);
      let rounds = 0;
      await append(table, { files: [dataFile("/d/mine")], at: async (point) => { if (point === "before-metadata" && rounds++ < 3) await append(theirs, { files: [dataFile(`/d/${rounds}`)] }); } });
      await assertSound(table, ["/d/mine", "/d/1", "/d/2", "/d/3"]);
      assert.deepEqual(await orphans(catalog), []);
    });

    it("merges manifests when there are many; rows, ids and sequence numbers stay", async () => {
      const table = await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC, properties: { "commit.manifest.min-count-to-merge": "5" } });
      const files: string[] = [];
      for (let i = 0; i < 23; i++) {
        files.push(`/d/${i}`);
        await append(table, { files: [dataFile(`/d/${i}`, [BigInt(i * 10)])] });
      }
      await assertSound(table, files);
      const manifests = new Set((await liveEntries(table)).map((entry) => entry.sequenceNumber));
      assert.equal(manifests.size, 23);
      assert.deepEqual(await orphans(catalog), []);
    });

    it("an append after a rollback builds on the snapshot that is current", async () => {
      const table = await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC });
      const first = await append(table, { files: [dataFile("/d/1")] });
      const second = await append(table, { files: [dataFile("/d/2")] });
      await table.commit(second.state, [{ action: "set-snapshot-ref", "ref-name": "main", type: "branch", "snapshot-id": first.snapshotId }]);
      const third = await append(table, { files: [dataFile("/d/3")] });
      assert.deepEqual((await liveEntries(table)).map((entry) => entry.file.filePath).sort(), ["/d/1", "/d/3"]);
      assert.equal(third.snapshot["parent-snapshot-id"], first.snapshotId);
      assert.equal(third.sequenceNumber, 3);
      assert.equal([...ancestors(table.state.metadata)].length, 2);
    });

    it("a properties-only commit on a stale base is a conflict", async () => {
      const table = await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC });
      const base = table.state;
      await append(table, { files: [dataFile("/d/1")] });
      await assert.rejects(table.commit(base, [{ action: "set-properties", updates: { a: "b" } }]), { code: "COMMIT_CONFLICT" });
      await table.commit(await table.refresh(), [{ action: "set-properties", updates: { a: "b" } }]);
      assert.equal((await catalog.loadTable(ID)).state.metadata.properties["a"], "b");
    });

    it("an append can be begun before its table moves on, and run later", async () => {
      const table = await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC });
      const pending = beginAppend(table, { files: [dataFile("/d/late")] });
      await append(table, { files: [dataFile("/d/first")] });
      assert.equal((await pending.run()).sequenceNumber, 2);
      await assertSound(table, ["/d/first", "/d/late"]);
    });

    /** Files in the metadata folder that no snapshot refers to. */
    async function orphans(of: Catalog): Promise<string[]> {
      const table = await of.loadTable(ID);
      const referenced = new Set<string>();
      for (const snapshot of table.state.metadata.snapshots) {
        referenced.add(snapshot["manifest-list"]);
        for (const manifest of await readManifestList(of.io, snapshot)) referenced.add(manifest.path);
      }
      const found: string[] = [];
      for await (const { location } of of.io.listAll(`${table.location}/metadata`)) {
        if (location.endsWith(".tmp") || (location.endsWith(".avro") && !referenced.has(location))) found.push(location);
      }
      return found;
    }
  });
}
