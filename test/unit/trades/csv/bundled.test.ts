import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findFile } from "../../../../lib/trades/csv/file";

const bundledDir = join(__dirname, "..", "..", "..", "..", "resources");

describe("files of the package, ticklake:<name>", () => {
  const baseDir = mkdtempSync(join(tmpdir(), "ticklake-bundled-"));
  after(() => rmSync(baseDir, { recursive: true, force: true }));

  it("are found from any user directory, even where files are confined to folders", async () => {
    const file = await findFile("ticklake:sample-trades.csv", { baseDir, bundledDir, allowedDirs: ["data"] });
    assert.equal(file.name, "sample-trades.csv");
    assert.equal(file.path, join(bundledDir, "sample-trades.csv"));
  });

  it("are no way out of the package", async () => {
    for (const name of ["ticklake:../package.json", `ticklake:${join(bundledDir, "..", "package.json")}`]) {
      await assert.rejects(findFile(name, { baseDir, bundledDir }), { code: "FILE_NOT_ALLOWED" });
    }
    await assert.rejects(findFile("ticklake:nothing.csv", { baseDir, bundledDir }), { code: "FILE_NOT_FOUND" });
  });
});
