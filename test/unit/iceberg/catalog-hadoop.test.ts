import assert from "node:assert/strict";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { HadoopCatalog } from "../../../lib/iceberg/catalog/hadoop";
import { loadTableFromMetadata } from "../../../lib/iceberg/catalog/static";
import type { Catalog, Table } from "../../../lib/iceberg/catalog/types";
import { append } from "../../../lib/iceberg/commit";
import { applyUpdates } from "../../../lib/iceberg/metadata";
import { encodeMetadata } from "../../../lib/iceberg/metadata-json";
import { LocalFileIO } from "../../../lib/iceberg/io/local";
import { catalogConformance } from "../../support/catalog-conformance";
import { assertSound, dataFile, hintOf, SCHEMA, SPEC } from "../../support/iceberg";
import { MemoryIO } from "../../support/memory-io";

const ID = { namespace: ["db"], name: "trades" };
const folders: string[] = [];

async function warehouse(): Promise<string> {
  const folder = await fs.mkdtemp(join(tmpdir(), "ticklake-catalog-"));
  folders.push(folder);
  return folder;
}

after(() => Promise.all(folders.map((folder) => fs.rm(folder, { recursive: true, force: true }))));

catalogConformance("hadoop on a local folder", {
  open: async (same?: Catalog) => new HadoopCatalog({ warehouse: same ? same.tableLocation({ namespace: [], name: "x" }).slice(0, -2) : await warehouse(), io: new LocalFileIO() }),
  drop: (catalog) => fs.rm(catalog.tableLocation(ID), { recursive: true }),
});

catalogConformance("hadoop on an object store in memory", {
  open: async (same?: Catalog) => new HadoopCatalog({ warehouse: "mem:/wh", io: same ? same.io : new MemoryIO() }),
  drop: async (catalog) => { (catalog.io as MemoryIO).files.clear(); },
});

describe("hadoop layout", () => {
  let io: MemoryIO;
  let catalog: HadoopCatalog;
  let table: Table;
  const warnings: string[] = [];
  const text = (location: string): string => Buffer.from(io.files.get(location)!.bytes).toString();
  const put = (name: string, content: string | Uint8Array): void => { io.files.set(`mem:/wh/db/trades/metadata/${name}`, { bytes: Buffer.from(content), version: `put${Math.random()}` }); };
  const names = (): string[] => [...io.files.keys()].map((key) => key.slice(key.lastIndexOf("/") + 1));
  const versions = (): number[] => names().flatMap((name) => /^v(\d+)\.metadata\.json$/.exec(name)?.[1] ?? []).map(Number).sort((a, b) => a - b);
  const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);
  const client = async (): Promise<Table> => new HadoopCatalog({ warehouse: "mem:/wh", io }).loadTable(ID);
  /** Appends `count` files and gives their names. */
  const grow = async (count: number, to = table): Promise<string[]> => {
    const files = Array.from({ length: count }, (_, i) => `/d/${io.calls.length}-${i}`);
    for (const file of files) await append(to, { files: [dataFile(file)] });
    return files;
  };

  beforeEach(async () => {
    io = new MemoryIO();
    warnings.length = 0;
    catalog = new HadoopCatalog({ warehouse: "mem:/wh", io, onWarning: (message) => warnings.push(message) });
    table = await catalog.createTable(ID, { schema: SCHEMA, spec: SPEC });
  });

  it("versions are contiguous from 1 and plain JSON, the hint is digits only", async () => {
    await grow(3);
    assert.deepEqual(versions(), [1, 2, 3, 4]);
    assert.equal(text("mem:/wh/db/trades/metadata/version-hint.text"), "4");
    for (const version of versions()) assert.doesNotThrow(() => JSON.parse(text(`mem:/wh/db/trades/metadata/v${version}.metadata.json`)));
    assert.equal(table.location, "mem:/wh/db/trades");
  });

  it("20 previous versions are kept, the metadata log names just those", async () => {
    const files = await grow(60);
    assert.deepEqual(versions(), range(41, 61));
    assert.deepEqual(table.state.metadata["metadata-log"].map((entry) => entry["metadata-file"]), range(41, 60).map((v) => `mem:/wh/db/trades/metadata/v${v}.metadata.json`));
    await assertSound(await client(), files);
  });

  it("fewer than 20 are never kept, more on request, and all when deleting is off", async () => {
    await table.commit(await table.refresh(), [{ action: "set-properties", updates: { "write.metadata.previous-versions-max": "2" } }]);
    await grow(40);
    assert.deepEqual(versions(), range(22, 42));
    await table.commit(await table.refresh(), [{ action: "set-properties", updates: { "write.metadata.previous-versions-max": "30" } }]);
    await grow(40);
    assert.deepEqual(versions(), range(53, 83));
    await table.commit(await table.refresh(), [{ action: "set-properties", updates: { "write.metadata.delete-after-commit.enabled": "false" } }]);
    await grow(10);
    assert.deepEqual(versions(), range(53, 94));
  });

  it("versions left over from a crash during trimming are deleted by the next commit, oldest first, with their checksums", async () => {
    await table.commit(await table.refresh(), [{ action: "set-properties", updates: { "write.metadata.delete-after-commit.enabled": "false" } }]);
    await grow(30);
    for (const version of range(1, 32)) put(`.v${version}.metadata.json.crc`, "crc");
    await table.commit(await table.refresh(), [{ action: "set-properties", updates: { "write.metadata.delete-after-commit.enabled": "true" } }]);
    assert.deepEqual(versions(), range(13, 33));
    assert.equal(names().filter((name) => name.endsWith(".json.crc")).length, 20);
    const deleted = io.calls.flatMap((call) => /^delete .*\/v(\d+)\.metadata\.json$/.exec(call)?.[1] ?? []).map(Number);
    assert.deepEqual(deleted, range(1, 12));
  });

  for (const [what, hint] of [["lags", "2"], ["is absent", undefined], ["is empty", ""], ["is torn", "x"], ["is ahead of every version", "99"], ["ends with a newline and lags", "3\n"], ["names a version that is gone", "1"]] as const) {
    it(`a hint that ${what}: the current version is found, and the next commit mends it`, async () => {
      const files = await grow(5);
      if (hint === undefined) io.files.delete("mem:/wh/db/trades/metadata/version-hint.text");
      else put("version-hint.text", hint);
      if (hint === "1") for (const version of [1, 2, 3]) io.files.delete(`mem:/wh/db/trades/metadata/v${version}.metadata.json`);
      const found = await client();
      assert.equal(found.state.version, 6);
      assert.equal((await table.refresh()).version, 6);
      files.push(...await grow(1, found));
      assert.equal(await hintOf(found), "7");
      await assertSound(found, files);
    });
  }

  it("the hint never goes lower: a slower writer leaves a faster one's alone", async () => {
    const fast = await client();
    const files: string[] = [];
    files.push("/d/slow");
    await append(table, { files: [dataFile("/d/slow")], at: async (point) => { if (point === "before-hint") files.push(...await grow(3, fast)); } });
    assert.equal(await hintOf(table), "5");
    await assertSound(table, files);
  });

  it("a slower writer that overwrote the hint all the same looks ahead and mends it", async () => {
    const fast = await client();
    const files = ["/d/slow"];
    const replace = io.replace.bind(io);
    let raced = false;
    io.replace = async (location, bytes, options) => {
      if (raced) return replace(location, bytes, options);
      raced = true;
      files.push(...await grow(3, fast));
      // The look at the old hint was before the other's commits, the write comes after.
      return replace(location, bytes);
    };
    await append(table, { files: [dataFile("/d/slow")] });
    assert.equal(await hintOf(table), "5");
    await assertSound(table, files);
  });

  it("a stale checksum of the hint, which would stop Spark, is removed", async () => {
    put(".version-hint.text.crc", "crc");
    await grow(1);
    assert.equal(names().includes(".version-hint.text.crc"), false);
  });

  it("a writer that stalled for longer than versions are kept does not commit into the void", async () => {
    const others = await client();
    const files: string[] = ["/d/stalled"];
    let stalled = false;
    const result = await append(table, {
      files: [dataFile("/d/stalled")],
      at: async (point) => {
        if (point !== "after-temp-metadata" || stalled) return;
        stalled = true;
        files.push(...await grow(30, others));
        assert.equal(versions().includes(2), false, "the slot that the stalled writer is about to take was trimmed");
      },
    });
    assert.deepEqual([result.conflicts, result.version], [1, 32]);
    assert.deepEqual(versions(), range(12, 32), "the file in the trimmed slot is gone again");
    await assertSound(table, files);
  });

  it("a writer that stalled after its commit finds it, however far others went on", async () => {
    const others = await client();
    const files: string[] = ["/d/stalled"];
    const result = await append(table, { files: [dataFile("/d/stalled")], at: async (point) => { if (point === "after-link") files.push(...await grow(30, others)); } });
    assert.equal(result.sequenceNumber, 1);
    await assertSound(table, files);
  });

  for (const point of ["after-link", "after-hint"]) {
    it(`a commit that another engine's rename overwrote (${point}) is noticed and repeated on top of it`, async () => {
      const rival = await client();
      const theirs = applyUpdates(rival.state.metadata, [{ action: "set-properties", updates: { theirs: "yes" } }], 5);
      let overwritten = false;
      const result = await append(table, {
        files: [dataFile("/d/1")],
        at: (now) => {
          if (now !== point || overwritten) return;
          overwritten = true;
          put("v2.metadata.json", encodeMetadata(theirs));
        },
      });
      assert.deepEqual([result.version, (await client()).state.metadata.properties["theirs"]], [3, "yes"]);
      await assertSound(table, ["/d/1"]);
    });
  }

  it("a table that is dropped during a commit is not brought back to life", async () => {
    await grow(3);
    await assert.rejects(append(table, { files: [dataFile("/d/x")], at: (point) => { if (point === "after-temp-metadata") io.files.clear(); } }), { code: "TABLE_NOT_FOUND", message: /dropped during a commit/ });
    assert.equal(await catalog.tableExists(ID), false);
  });

  it("what goes wrong after the commit is a warning, and the next commit mends it", async () => {
    const replace = io.replace.bind(io);
    io.replace = () => Promise.reject(new Error("EIO"));
    const { version } = await append(table, { files: [dataFile("/d/1")] });
    assert.equal(version, 2);
    assert.match(warnings[0]!, /version 2 is committed, but the hint/);
    assert.equal(await hintOf(table), "1");
    io.replace = replace;
    await append(table, { files: [dataFile("/d/2")] });
    assert.equal(await hintOf(table), "3");
    await assertSound(table, ["/d/1", "/d/2"]);
  });

  it("an unchanged table costs three looks, and no reading", async () => {
    await grow(3);
    io.calls.length = 0;
    const before = table.state;
    assert.equal(await table.refresh(), before);
    assert.deepEqual(io.calls.map((call) => call.split(" ")[0]), ["read", "stat", "stat"]);
    assert.match(io.calls[0]!, /version-hint/);
  });

  it("gzipped metadata of other engines is read under both of its names, and never written to", async () => {
    await grow(2);
    const v3 = io.files.get("mem:/wh/db/trades/metadata/v3.metadata.json")!.bytes;
    for (const name of ["v3.gz.metadata.json", "v3.metadata.json.gz"]) {
      io.files.delete("mem:/wh/db/trades/metadata/v3.metadata.json");
      put(name, gzipSync(v3));
      const found = await client();
      assert.deepEqual([found.state.version, found.state.metadata.snapshots.length], [3, 2]);
      io.files.delete(`mem:/wh/db/trades/metadata/${name}`);
    }
    put("v3.metadata.json", v3);
    const found = await client();
    await assert.rejects(found.commit(found.state, [{ action: "set-properties", updates: { "write.metadata.compression-codec": "gzip" } }]), { code: "TABLE_UNSUPPORTED", message: /Set the property to none/ });
  });

  it("format version 1 is read, writing says how to upgrade", async () => {
    const json = JSON.parse(text("mem:/wh/db/trades/metadata/v1.metadata.json")) as Record<string, unknown>;
    put("v2.metadata.json", JSON.stringify({ ...json, "format-version": 1 }));
    assert.equal((await client()).state.formatVersion, 1);
    await assert.rejects(append(table, { files: [dataFile("/d/1")] }), { code: "TABLE_UNSUPPORTED", message: /'format-version' = '2'/ });
    assert.equal(names().filter((name) => name.endsWith(".avro")).length, 0);
  });

  it("a damaged newest version is an error, not an older state", async () => {
    await grow(1);
    put("v2.metadata.json", "{");
    await assert.rejects(client(), { code: "TABLE_CORRUPT", message: /v2\.metadata\.json/ });
    await assert.rejects(table.refresh(), { code: "TABLE_CORRUPT" });
  });

  it("tables of other catalogs in the folder are named for what they are", async () => {
    io.files.set("mem:/wh/db/py/metadata/00003-abc.metadata.json", { bytes: Buffer.from("{}"), version: "1" });
    await assert.rejects(catalog.loadTable({ namespace: ["db"], name: "py" }), { code: "TABLE_NOT_FOUND", message: /another kind of catalog \(00003-abc/ });
  });

  it("a table opens by its metadata file alone, for reading", async () => {
    await grow(2);
    const fixed = await loadTableFromMetadata(io, "mem:/wh/db/trades/metadata/v2.metadata.json");
    assert.deepEqual([fixed.state.version, fixed.state.metadata.snapshots.length, fixed.fullName, fixed.location], [2, 1, "trades", "mem:/wh/db/trades"]);
    assert.equal(await fixed.refresh(), fixed.state);
    await assert.rejects(append(fixed, { files: [dataFile("/d/x")] }), { code: "TABLE_UNSUPPORTED" });
    await assert.rejects(loadTableFromMetadata(io, "mem:/none.metadata.json"), { code: "FILE_NOT_FOUND" });
  });

  it("one commit reads nothing of the table's history", async () => {
    await grow(30);
    io.calls.length = 0;
    await grow(1);
    assert.deepEqual(io.calls.filter((call) => call.startsWith("read ") && !call.includes("version-hint")), []);
  });
});
