import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { join } from "node:path";
import { openRestCatalog } from "../../../lib/iceberg/catalog/rest/open";
import type { Catalog, Table } from "../../../lib/iceberg/catalog/types";
import { currentSchema } from "../../../lib/iceberg/metadata";
import { typeText } from "../../../lib/iceberg/schema";
import type { EvolveJob } from "../../support/evolve-child";
import { runPython } from "../../support/python";
import { readById } from "../../support/read-by-id";
import { sharedRest } from "../../support/rest";
import { sharedSpark } from "../../support/spark";
import { temporaryCatalog, type TestCatalog } from "../../support/tables";

/** A process that writes rows whose fields drift. */
function writer(job: EvolveJob): Promise<number> {
  return new Promise((done, fail) => {
    const child = fork(join(__dirname, "..", "..", "support", "evolve-child.ts"), [JSON.stringify(job)], { execArgv: ["--require", "tsx/cjs"] });
    child.on("error", fail);
    child.on("exit", (code) => { if (code === 0) done(code); else fail(new Error(`the writer ended with code ${code}`)); });
  });
}

describe("tables that evolve while they are written", function () {
  this.timeout(240_000);
  let catalog: TestCatalog;
  let folder: string;
  let remove: () => Promise<void>;
  before(async () => { ({ catalog, folder, remove } = await temporaryCatalog()); });
  after(() => remove());

  const ROWS = 60;
  const ids = (rows: readonly Record<string, unknown>[]): string[] => rows.map((row) => `${String(row["w"])}${String(row["i"])}`).sort();
  const allIds = ["a", "b"].flatMap((w) => Array.from({ length: ROWS }, (_, i) => `${w}${i}`)).sort();
  const columnsOf = (table: Table): string[] => currentSchema(table.state.metadata).fields.map((f) => `${f.name} ${typeText(f.type)}`).sort();
  const EXPECTED = [...Array.from({ length: 6 }, (_, k) => `f${k} double`), "i long", "only_a string", "only_b string", "q struct<x: long, y: string>", "w string"];

  async function twoProcesses(where: EvolveJob["where"], open: Catalog, namespace = "db"): Promise<Table> {
    await Promise.all(["a", "b"].map((id) => writer({ where, id, rows: ROWS, table: `${namespace}.drift` })));
    return open.loadTable({ namespace: [namespace], name: "drift" });
  }

  it("two processes add the same columns at once: each column is there once, each row once; PyIceberg reads all of it", async () => {
    const table = await twoProcesses({ warehouse: folder }, catalog);
    assert.deepEqual(columnsOf(table).map((c) => c.replace("y: string, x: long", "x: long, y: string")), EXPECTED);
    const ours = await readById(table);
    assert.deepEqual(ids(ours), allIds);
    for (const row of ours) for (let k = 0; k < 6; k++) assert.equal(row[`f${k}`], Number(row["i"]) % 6 === k ? Number(row["i"]) + 0.5 : null);

    const { rows } = JSON.parse(await runPython("read_pyiceberg.py", [table.state.metadataLocation])) as { rows: Record<string, unknown>[] };
    assert.deepEqual(ids(rows), allIds);
  });

  it("Spark reads it, null where a row is older than its column, and goes on with it", async () => {
    const table = await catalog.loadTable({ namespace: ["db"], name: "drift" });
    const spark = await sharedSpark();
    await spark.catalog("evolving", folder);
    const answer = await spark.sql("SELECT w, count(*), sum(f0), sum(f5), count(only_a), count(only_b), sum(q.x), count(q.y) FROM evolving.db.drift GROUP BY w ORDER BY w");
    const sum = (k: number): number => Array.from({ length: ROWS }, (_, i) => (i % 6 === k ? i + 0.5 : 0)).reduce((x, y) => x + y, 0);
    const xs = Array.from({ length: ROWS }, (_, i) => i).reduce((x, y) => x + y, 0);
    assert.deepEqual(answer.rows.map((row) => row.map(String)), [["a", ROWS, sum(0), sum(5), ROWS / 2, 0, xs, ROWS / 2], ["b", ROWS, sum(0), sum(5), 0, ROWS / 2, xs, ROWS / 2]].map((row) => row.map(String)));
    await spark.sql("ALTER TABLE evolving.db.drift ADD COLUMN later int");
    await spark.sql("UPDATE evolving.db.drift SET later = 7 WHERE i = 1");
    const after = await readById(table);
    assert.deepEqual(ids(after), allIds);
    assert.deepEqual(after.filter((row) => row["later"] !== null).map((row) => [row["w"], row["i"], row["f1"], row["later"]]).sort(), [["a", 1n, 1.5, 7], ["b", 1n, 1.5, 7]]);
  });

  it("and so on a REST catalog", async () => {
    const { uri } = await sharedRest();
    const rest = openRestCatalog({ uri });
    await rest.dropTable({ namespace: ["evolving"], name: "drift" }).catch(() => undefined);
    try {
      const table = await twoProcesses({ uri }, rest, "evolving");
      assert.deepEqual(columnsOf(table).map((c) => c.replace("y: string, x: long", "x: long, y: string")), EXPECTED);
      assert.deepEqual(ids(await readById(table)), allIds);
    } finally {
      await rest.dropTable({ namespace: ["evolving"], name: "drift" }).catch(() => undefined);
    }
  });
});
