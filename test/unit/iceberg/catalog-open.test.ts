import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { openCatalog, warehouseFolder } from "../../../lib/iceberg/catalog/open";
import { testCatalog } from "../../../lib/iceberg/catalog/test-connection";

describe("the settings of a catalog", () => {
  it("a warehouse is absolute, relative to the user directory, or below the home folder", () => {
    assert.equal(warehouseFolder({ warehouse: "/data/lake" }, "/user"), "/data/lake");
    assert.equal(warehouseFolder({ warehouse: "./warehouse" }, "/user"), "/user/warehouse");
    assert.equal(warehouseFolder({ warehouse: "" }, "/user"), "/user/warehouse");
    assert.equal(warehouseFolder({ warehouse: "~/lake" }, "/user"), join(homedir(), "lake"));
    assert.throws(() => warehouseFolder({ warehouse: "s3://bucket/lake" }, "/user"), { code: "CATALOG_INVALID", message: /object stores are not supported yet/ });
  });

  it("a variable that was not filled in is an error, never a folder of that name", () => {
    for (const warehouse of ["${LAKE}", "${LAKE}/tables", "/data/${STAGE}/tables"]) {
      assert.throws(() => warehouseFolder({ warehouse }, "/user"), { code: "CATALOG_INVALID", message: /was not filled in.*the whole value/ });
    }
  });

  it("the test button says what it found, and what is in the way", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ticklake-open-"));
    try {
      writeFileSync(join(folder, "file"), "");
      const test = (warehouse: string) => testCatalog(() => openCatalog({ warehouse }, folder));
      assert.deepEqual(await test("."), { ok: true, message: `${folder}: no table yet.` });
      assert.deepEqual(await test("new"), { ok: true, message: `${join(folder, "new")} is not there yet. It is made with the first table.` });
      assert.deepEqual(await test("file"), { ok: false, message: `${join(folder, "file")} is a file. Choose a folder.` });
      assert.match((await test("${LAKE}/tables")).message, /not filled in/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
