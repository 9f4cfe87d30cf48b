import assert from "node:assert/strict";
import type { Table } from "../../lib/iceberg/catalog/types";
import { CODECS, EVERY_TYPE, EVERY_TYPE_PLAIN, EVERY_TYPE_ROWS } from "../support/every-type";
import { runPython } from "../support/python";
import { appendRows, createTable, DAY_MS, dayOfTrades, FIRST_DAY, temporaryCatalog, type TestCatalog } from "../support/tables";

interface Answer { columns: string[]; rows: unknown[][]; plan: string }

describe("DuckDB with its iceberg extension", function () {
  this.timeout(60_000);
  let catalog: TestCatalog;
  let remove: () => Promise<void>;
  let trades: Table;
  const run = async (...sql: string[]): Promise<Answer[]> => JSON.parse(await runPython("read_duckdb.py", sql)) as Answer[];
  const scan = (table: Table): string => `iceberg_scan('${table.location}')`;
  const filesRead = (answer: Answer): number => Number(/Total Files Read: (\d+)/.exec(answer.plan)?.[1] ?? NaN);

  before(async () => {
    ({ catalog, remove } = await temporaryCatalog());
    trades = await createTable(catalog, "db.flattened_stocks");
    for (let day = 0; day < 3; day++) await appendRows(trades, dayOfTrades(day));
  });
  after(() => remove());

  it("reads every row: types, nulls, unicode, ids beyond 2^53; s is called s_1", async () => {
    const [all] = await run(`SELECT * FROM ${scan(trades)} ORDER BY timestamp`);
    assert.deepEqual(all!.columns, ["T", "S", "i", "x", "p", "s_1", "timestamp", "c", "z"]);
    assert.deepEqual(all!.rows, [0, 1, 2].flatMap((day) => dayOfTrades(day)).map((trade) => Object.values(trade)));
  });

  it("runs the documented aggregate, with s_1 for s", async () => {
    const [answer] = await run(`SELECT S AS symbol, COUNT(*) AS trade_count, AVG(p) AS avg_price, SUM(s_1) AS total_volume FROM ${scan(trades)} GROUP BY S ORDER BY trade_count DESC, symbol`);
    assert.deepEqual(answer!.rows, [["AAPL", 9, 114, 4500], ["BRK.B", 9, 115, 5400], ["Ünïcödé ✓ 😀", 6, 114, 3000], [null, 6, 115, 3600]]);
  });

  it("skips files by our partitions and statistics", async () => {
    const [day, price] = await run(
      `SELECT count(p) FROM ${scan(trades)} WHERE timestamp >= ${FIRST_DAY + 2 * DAY_MS}`,
      `SELECT count(p) FROM ${scan(trades)} WHERE p < 105`,
    );
    assert.deepEqual([day!.rows, filesRead(day!)], [[[10]], 1]);
    assert.deepEqual([price!.rows, filesRead(price!)], [[[5]], 1]);
  });

  it("reads each snapshot, and finds the current one by the version hint", async () => {
    const ids = trades.state.metadata.snapshots.map((snapshot) => snapshot["snapshot-id"]);
    const [snapshots, first, current] = await run(
      `SELECT snapshot_id, manifest_list FROM iceberg_snapshots('${trades.location}') ORDER BY sequence_number`,
      `SELECT count(*) FROM iceberg_scan('${trades.location}', snapshot_from_id = ${ids[0]})`,
      `SELECT count(*) FROM ${scan(trades)}`,
    );
    assert.deepEqual(snapshots!.rows.map(([id]) => BigInt(id as string)), ids);
    assert.deepEqual([first!.rows, current!.rows], [[[10]], [[30]]]);
  });

  it("reads every type in every codec", async () => {
    for (const codec of CODECS) {
      const table = await createTable(catalog, `db.types_${codec}`, { schema: EVERY_TYPE });
      await appendRows(table, EVERY_TYPE_ROWS, codec);
      const [answer] = await run(`SELECT * REPLACE (base64("binary") AS "binary", base64("fixed") AS "fixed", tz::VARCHAR AS tz, ts::VARCHAR AS ts) FROM ${scan(table)} ORDER BY int NULLS LAST`);
      const row = Object.fromEntries(answer!.columns.map((name, i) => [name, answer!.rows[0]![i]]));
      assert.deepEqual(row, { ...EVERY_TYPE_PLAIN, ts: "2024-11-01 10:00:00.123456", tz: "2024-11-01 10:00:00.001+00" });
      assert.ok(answer!.rows[1]!.every((value) => value === null), JSON.stringify(answer!.rows[1]));
    }
  });
});
