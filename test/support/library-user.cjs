// What a program without Node-RED does with the package; prints one JSON line. Run in a folder that has it installed.
const { mkdtempSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const lib = require(require.resolve("@ticklake/node-red-ticklake", { paths: [process.cwd()] }));

(async () => {
  const folder = mkdtempSync(join(tmpdir(), "ticklake-library-"));
  const catalog = lib.openCatalog({ catalogName: "local", warehouse: folder }, folder);
  const schema = lib.TRADES_SCHEMA;
  const spec = lib.parsePartitionBy(lib.TRADES_PARTITION_BY, schema);
  const table = await catalog.createTable(lib.parseIdentifier("db.trades", "local"), { schema, spec });
  const raw = new lib.SyntheticTrades({ symbols: ["AAPL", "MSFT"], seed: "library", priceModel: "gbm" }).fill([], 1000, { at: Date.parse("2025-03-12T14:30:00Z"), span: 1000 });
  const { trades } = lib.explode(raw, { names: "documented", other: "reject" });
  const columns = new lib.ColumnAccumulator(schema);
  const { from, to } = columns.append(trades, (row, index, reason) => { throw new Error(`row ${index}: ${reason}`); });
  const files = lib.encodeBatch({ batch: columns.take([[from, to]]), schema, spec, codec: "snappy" });
  await lib.append(table, { files: await lib.writeDataFiles(table, files, spec["spec-id"]) });
  const engine = new lib.SqlEngine();
  const { rows } = await engine.query({ sql: "SELECT count(*) AS n, sum(s) AS shares FROM db.trades", tables: new lib.CatalogTables().resolver(catalog, [catalog]), maxRows: 10 });
  await engine.close();
  const shares = trades.reduce((sum, t) => sum + t.s, 0);
  console.log(JSON.stringify({ folder, rows, expected: [{ n: trades.length, shares }] }));
})();
