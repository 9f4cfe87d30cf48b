import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseIdentifier } from "../../../lib/iceberg/catalog/identifier";
import { openCatalog } from "../../../lib/iceberg/catalog/open";
import { Places } from "../../../lib/iceberg/io/places";
import { Stage } from "../../../lib/iceberg/rewrite/stage";
import { SqlEngine } from "../../../lib/sql/engine";
import { appendRows, createTable, dayOfTrades } from "../../support/tables";

const REFUSED = { code: "FILE_NOT_ALLOWED", message: /warehouseDirs/ };

describe("places where tables may lie", () => {
  let folder: string;
  before(async () => {
    folder = await realpath(await mkdtemp(join(tmpdir(), "ticklake-places-")));
    for (const name of ["lake", "lake2", "outside"]) await mkdir(join(folder, name));
    await symlink(join(folder, "outside"), join(folder, "lake", "way-out"));
    await symlink(join(folder, "lake"), join(folder, "alias"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("hold folders and everything below, by where files really lie", async () => {
    const places = new Places(["lake"], folder);
    for (const inside of ["lake", "lake/db/t/metadata/v1.metadata.json", "lake/not/there/yet", "alias/db", "lake2/../lake/x"]) await places.check(join(folder, inside));
    await places.check(`file:${folder}/lake/db`);
    for (const outside of ["lake2", "lakeside", "outside/x", "lake/way-out/x", "lake/../outside", "lake/way-out/new/folder", ""]) await assert.rejects(places.check(join(folder, outside)), REFUSED, outside);
    await assert.rejects(places.check("/etc/passwd"), REFUSED);
  });

  it("hold prefixes of object stores, whatever engine's scheme they are written with", async () => {
    const places = new Places(["s3://lake/team/", "s3a://whole"], folder);
    for (const inside of ["s3://lake/team", "s3a://lake/team/db/t", "s3n://whole", "s3://whole/any/thing"]) await places.check(inside);
    for (const outside of ["s3://lake", "s3://lake/teams/x", "s3://lake/", "s3://other/team/x", join(folder, "lake")]) await assert.rejects(places.check(outside), REFUSED, outside);
  });

  it("refuse a catalog elsewhere when it is opened, and let one within work as ever", async () => {
    const allowed = ["lake"];
    for (const warehouse of ["outside", "/", "s3://bucket", "lake/../outside"]) assert.throws(() => openCatalog({ warehouse }, folder, { allowed }), REFUSED, warehouse);
    await assert.rejects(openCatalog({ warehouse: "lake/way-out" }, folder, { allowed }).tableExists(parseIdentifier("db.t", "local")), REFUSED);
    const table = await createTable(openCatalog({ warehouse: "lake/tables" }, folder, { allowed }), "db.t");
    assert.equal((await appendRows(table, dayOfTrades(0))).snapshot.summary["added-records"], "10");
  });

  describe("a table within whose files lie elsewhere", () => {
    const name = "db.astray";
    let engine: SqlEngine;
    before(async () => {
      engine = new SqlEngine();
      // Written by somebody who is not confined.
      const table = await createTable(openCatalog({ warehouse: "lake/tables" }, folder), name, { properties: { "write.data.path": join(folder, "outside", "data") } });
      await appendRows(table, dayOfTrades(0));
    });
    after(() => engine.close());
    const confined = () => openCatalog({ warehouse: "lake/tables" }, folder, { allowed: ["lake"] }).loadTable(parseIdentifier(name, "local"));

    it("takes no rows: they would be written there", async () => {
      const before = await readdir(join(folder, "outside", "data"), { recursive: true });
      await assert.rejects(appendRows(await confined(), dayOfTrades(1)), REFUSED);
      assert.deepEqual(await readdir(join(folder, "outside", "data"), { recursive: true }), before);
    });

    it("is not read by a query, which opens files by itself", async () => {
      const { state: { metadata }, io } = await confined();
      const query = (sql: string) => engine.query({ sql, tables: () => Promise.resolve({ name, io, metadata }) });
      await assert.rejects(query(`SELECT p FROM ${name}`), REFUSED);
      // Its metadata lies within.
      assert.equal((await query(`SELECT count(*) AS n FROM ${name}.snapshots`)).rows[0]!["n"], 1);
    });

    it("is not read by a compaction either", async () => {
      const { io } = await confined();
      const secret = join(folder, "outside", "secret.parquet");
      await writeFile(secret, "PAR1");
      const stage = await Stage.open(io);
      try {
        await assert.rejects(stage.take([{ filePath: secret, fileSizeInBytes: 4n as never }]), REFUSED);
      } finally {
        await stage.clear();
      }
    });
  });
});
