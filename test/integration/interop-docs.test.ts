import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCall } from "../../lib/sql/call";
import { isCall } from "../../lib/sql/call-parser";
import { CatalogTables } from "../../lib/sql/catalog-tables";
import { SqlEngine } from "../../lib/sql/engine";
import { runPython } from "../support/python";
import { appendRows, createTable, dayOfTrades, temporaryCatalog, type TestCatalog } from "../support/tables";

/** The code blocks of one language, in their order. */
const blocks = (text: string, language: string): string[] => [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].filter((match) => match[1] === language).map((match) => match[2]!.trim());

describe("the examples of docs/query.md", function () {
  this.timeout(60_000);
  let catalog: TestCatalog;
  let remove: () => Promise<void>;
  let text: string;
  const engine = new SqlEngine();
  const tables = new CatalogTables();

  before(async () => {
    text = await readFile(join(__dirname, "../../docs/query.md"), "utf8");
    ({ catalog, remove } = await temporaryCatalog());
    const table = await createTable(catalog, "db.flattened_stocks");
    for (let day = 0; day < 2; day++) await appendRows(table, dayOfTrades(day));
  });
  after(async () => {
    await engine.close();
    await remove();
  });

  it("SQL runs in iceberg-query", async () => {
    const examples = blocks(text, "sql");
    assert.ok(examples.length >= 8, String(examples.length));
    for (const sql of examples) {
      const { rows } = isCall(sql) ? await runCall({ sql, own: catalog, others: [catalog], tables, engine }) : await engine.query({ sql, tables: tables.resolver(catalog, [catalog]) });
      assert.ok(rows.length > 0, sql);
    }
  });

  it("the one-minute bars read one day's file", async () => {
    const sql = blocks(text, "sql").find((example) => example.includes("arg_min"))!;
    const result = await engine.query({ sql, tables: tables.resolver(catalog, [catalog]) });
    assert.deepEqual([result.filesScanned, result.filesSkipped], [1, 1]);
    assert.deepEqual(result.rows.find((row) => row["symbol"] === "AAPL"), { symbol: "AAPL", minute: "2024-11-01T00:00:00.000", open: 100, high: 108, low: 100, close: 108, volume: 1500 });
  });

  it("Python runs", async () => {
    const folder = await mkdtemp(join(tmpdir(), "ticklake-docs-"));
    try {
      for (const code of blocks(text, "python")) {
        const file = join(folder, "example.py");
        await writeFile(file, code.replaceAll('"warehouse/', `"${catalog.root}/`));
        assert.equal((await runPython(file)).trim(), "6");
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("DuckDB's command runs", async () => {
    const command = blocks(text, "sh").find((example) => example.startsWith("duckdb"))!;
    const sql = /LOAD iceberg;\n([\s\S]*)"$/.exec(command)![1]!.replaceAll("'warehouse/", `'${catalog.root}/`);
    const [answer] = JSON.parse(await runPython("read_duckdb.py", [sql])) as { rows: unknown[][] }[];
    assert.deepEqual(answer!.rows.find(([symbol]) => symbol === "AAPL"), ["AAPL", 6, 109, 3000]);
  });
});
