import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadTableFromMetadata } from "../../lib/iceberg/catalog/static";
import type { Table } from "../../lib/iceberg/catalog/types";
import { LocalFileIO } from "../../lib/iceberg/io/local";
import { type QueryResult, SqlEngine } from "../../lib/sql/engine";
import { CODECS, EVERY_TYPE, EVERY_TYPE_PLAIN, EVERY_TYPE_ROWS } from "../support/every-type";
import { runPython } from "../support/python";
import { appendRows, createTable, DAY_MS, dayOfTrades, FIRST_DAY, temporaryCatalog, type TestCatalog } from "../support/tables";

interface Read { schema: string[]; spec: string[]; files: number; rows: Record<string, unknown>[]; snapshots: { id: string; summary: Record<string, string> }[] }

const sorted = <T>(rows: T[]): T[] => [...rows].sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)));

describe("PyIceberg", function () {
  this.timeout(120_000);
  const engine = new SqlEngine();
  after(() => engine.close());

  describe("reads what we wrote:", () => {
    let catalog: TestCatalog;
    let remove: () => Promise<void>;
    let trades: Table;
    const read = async (table: Table, ...args: string[]): Promise<Read> => JSON.parse(await runPython("read_pyiceberg.py", [(await table.refresh(), table.state.metadataLocation), ...args])) as Read;

    before(async () => {
      ({ catalog, remove } = await temporaryCatalog());
      trades = await createTable(catalog, "db.flattened_stocks");
      for (let day = 0; day < 3; day++) await appendRows(trades, dayOfTrades(day));
    });
    after(() => remove());

    it("every row, with types, nulls, unicode and ids beyond 2^53", async () => {
      const { schema, spec, rows, files } = await read(trades);
      assert.deepEqual(schema, ["1: T: string", "2: S: string", "3: i: long", "4: x: string", "5: p: double", "6: s: long", "7: timestamp: long", "8: c: list<string>", "9: z: string"]);
      assert.deepEqual(spec, ["timestamp_trunc: truncate[86400000]"]);
      assert.equal(files, 3);
      assert.deepEqual(sorted(rows), sorted([0, 1, 2].flatMap((day) => dayOfTrades(day))));
    });

    it("skips files by partition and by statistics", async () => {
      const day = await read(trades, `timestamp >= ${FIRST_DAY + DAY_MS} and timestamp < ${FIRST_DAY + 2 * DAY_MS}`);
      assert.deepEqual([day.files, day.rows.length], [1, 10]);
      const price = await read(trades, "p < 105");
      assert.deepEqual([price.files, price.rows.length], [1, 5]);
      const id = await read(trades, "i = 9007199254740995");
      assert.deepEqual([id.files, id.rows.map((row) => row["i"])], [1, ["9007199254740995"]]);
      assert.equal((await read(trades, "S < 'A'")).files, 0);
    });

    it("a snapshot of before, and summaries that add up", async () => {
      const first = trades.state.metadata.snapshots[0]!["snapshot-id"];
      const then = await read(trades, "", String(first));
      assert.equal(then.rows.length, 10);
      assert.deepEqual(then.snapshots.map(({ summary }) => [summary["added-records"], summary["total-records"], summary["total-data-files"]]), [["10", "10", "1"], ["10", "20", "2"], ["10", "30", "3"]]);
    });

    it("every type in every codec", async () => {
      for (const codec of CODECS) {
        const table = await createTable(catalog, `db.types_${codec}`, { schema: EVERY_TYPE });
        await appendRows(table, EVERY_TYPE_ROWS, codec);
        const { rows } = await read(table);
        const { map, ...plain } = EVERY_TYPE_PLAIN;
        assert.deepEqual(rows[0], { ...plain, map: Object.entries(map as object), tz: "2024-11-01T10:00:00.001000+00:00" });
        // PyIceberg gives a null list of structs as an empty one, its own too.
        assert.ok(Object.entries(rows[1]!).every(([name, value]) => value === null || name === "list"), JSON.stringify(rows[1]));
      }
    });
  });

  describe("and we read what it wrote:", () => {
    let folder: string;
    let locations: Record<string, string>;
    const io = new LocalFileIO();
    const query = (sql: string, more: object = {}): Promise<QueryResult> => engine.query({
      sql, ...more,
      tables: async (parts) => {
        const name = parts.at(-1)!;
        return { name: `py.db.${name}`, io, metadata: (await loadTableFromMetadata(io, locations[name]!)).state.metadata };
      },
    });
    const rows = async (sql: string): Promise<Record<string, unknown>[]> => (await query(sql)).rows;

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "ticklake-py-"));
      locations = JSON.parse(await runPython("write_pyiceberg.py", [folder])) as Record<string, string>;
    });
    after(() => rm(folder, { recursive: true, force: true }));

    it("trades: every row of every day", async () => {
      assert.deepEqual(sorted(await rows("SELECT * FROM db.trades")), sorted([0, 1, 2].flatMap((day) => dayOfTrades(day))));
      const day = await query(`SELECT count(*) AS n, sum(s) AS s FROM db.trades WHERE timestamp >= ${FIRST_DAY + 2 * DAY_MS}`);
      assert.deepEqual([day.rows, day.filesScanned, day.filesSkipped], [[{ n: 10, s: 5500 }], 1, 2]);
    });

    it("every type", async () => {
      const [row, none] = await rows("SELECT * FROM db.types ORDER BY int NULLS LAST");
      assert.deepEqual(row, {
        ...EVERY_TYPE_PLAIN, string: "a\u0000b 'quoted' \"double\" ✓😀", struct: { Bid: 1.5, ask: null }, list: [{ Level: 1, size: 100 }, null],
      });
      // PyIceberg writes a null list of structs as an empty one.
      assert.ok(Object.entries(none!).every(([name, value]) => value === null || name === "list"));
    });

    it("files from before renames, added, widened and re-added columns", async () => {
      assert.deepEqual(await rows("SELECT * FROM db.evolved ORDER BY id"), [
        { id: 1, New: "first", ratio: 0.5, quote: { Bid: 1, ask: null, venue: null }, legs: [{ Side: "buy" }], gone: null },
        { id: "9007199254740993", New: "second", ratio: 0.25, quote: { Bid: 2, ask: 3, venue: "N" }, legs: [{ Side: "sell" }], gone: 7 },
      ]);
      assert.deepEqual(await rows("SELECT New FROM db.evolved WHERE quote.Bid > 1.5 AND ratio = 0.25"), [{ New: "second" }]);
    });

    for (const name of ["day_bucket", "month", "year_hour", "identity_truncate", "bucket_id", "flat"]) {
      it(`partitioned ${name}: filters give the same rows with and without skipping`, async () => {
        let skipped = 0;
        for (const where of [
          "ts < TIMESTAMP '2024-11-01'", "ts >= '2024-11-03 06:00:00'", "tz BETWEEN TIMESTAMPTZ '2024-11-01 00:00:00+00' AND TIMESTAMPTZ '2024-11-02 00:00:00+01'", "day = DATE '2024-11-02'", "day > '2024-11-30'",
          "symbol = 'AAPL'", "symbol IN ('MSFT', 'Ünï')", "symbol LIKE 'A%'", "symbol IS NULL", "symbol IS NOT NULL AND venue = 'Q'", "NOT (venue = 'V')", "venue IS NULL OR id > 20000060",
          "id = 5000015", "id IN (1000003, 23000069, 4)", "price < 0.75", "price >= 5.5 AND symbol <> 'AAPL'", "p > 30 AND NOT isnan(p)", "p <= 1.5",
        ]) {
          // A condition that scan planning does not understand reads every file. (NaN is left out: DuckDB itself skips row groups by Parquet's
          // statistics, which do not know it.)
          const blind = await query(`SELECT id FROM db.${name} WHERE CASE WHEN ${where} THEN true ELSE false END ORDER BY id`);
          const result = await query(`SELECT id FROM db.${name} WHERE ${where} ORDER BY id`);
          assert.deepEqual(result.rows, blind.rows, where);
          assert.equal(blind.filesSkipped, 0);
          skipped += result.filesSkipped;
        }
        assert.ok(skipped > 5, `files are skipped (${skipped})`);
      });
    }

    it("rows that were deleted by rewriting files are gone, and back in the snapshot of before", async () => {
      assert.deepEqual(await rows("SELECT count(*) AS n, sum(id) AS s FROM db.deleted"), [{ n: 7, s: 42 }]);
      const [first] = await rows("SELECT snapshot_id FROM db.deleted.snapshots ORDER BY committed_at LIMIT 1");
      assert.deepEqual((await query("SELECT count(*) AS n FROM db.deleted", { snapshotId: BigInt(String(first!["snapshot_id"])) })).rows, [{ n: 10 }]);
    });

    it("an empty table", async () => {
      assert.deepEqual(await rows("SELECT S, s FROM db.empty"), []);
    });
  });
});
