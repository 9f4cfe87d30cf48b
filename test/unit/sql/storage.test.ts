import assert from "node:assert/strict";
import { HadoopCatalog } from "../../../lib/iceberg/catalog/hadoop";
import { parseIdentifier } from "../../../lib/iceberg/catalog/identifier";
import type { Table } from "../../../lib/iceberg/catalog/types";
import { TRADES_SCHEMA } from "../../../lib/iceberg/schema";
import { parsePartitionBy } from "../../../lib/iceberg/transforms";
import { append } from "../../../lib/iceberg/commit";
import { CatalogTables } from "../../../lib/sql/catalog-tables";
import { type QueryRequest, type QueryResult, SqlEngine } from "../../../lib/sql/engine";
import { MemoryIO } from "../../support/memory-io";
import { dataFiles } from "../../support/read-table";
import { appendRows, createTable, DAY_MS, dayOfTrades, FIRST_DAY, temporaryCatalog } from "../../support/tables";

const AGGREGATE = "SELECT S as symbol, COUNT(*) as trade_count, MAX(p) as high, SUM(s) as total_volume FROM lake.db.trades GROUP BY S ORDER BY trade_count DESC, symbol";

/** An object store whose reads of data files are counted in bytes, and can fail. */
class Storage extends MemoryIO {
  dataBytes = 0;
  fail: ((location: string) => Promise<void> | void) | undefined;

  override async read(location: string): Promise<Uint8Array> {
    if (location.endsWith(".parquet")) await this.fail?.(location);
    const bytes = await super.read(location);
    if (location.endsWith(".parquet")) this.dataBytes += bytes.length;
    return bytes;
  }

  override async readRange(location: string, offset: number, length: number): Promise<Uint8Array> {
    await this.fail?.(location);
    const bytes = this.files.get(location)?.bytes ?? (await super.read(location));
    const part = bytes.subarray(offset, offset + length);
    this.dataBytes += part.length;
    return part;
  }
}

describe("SQL over tables on object storage", () => {
  const storage = new Storage();
  const catalog = new HadoopCatalog({ name: "lake", warehouse: "s3://bucket/ware house/ü%20*", io: storage });
  const tables = new CatalogTables();
  let engine: SqlEngine;
  let trades: Table;
  let total = 0;
  const query = (sql: string, more: Partial<QueryRequest> = {}): Promise<QueryResult> => engine.query({ sql, tables: tables.resolver(catalog, [catalog]), ...more });

  before(async () => {
    trades = await catalog.createTable(parseIdentifier("db.trades", "lake"), { schema: TRADES_SCHEMA, spec: parsePartitionBy("truncate[86400000](timestamp)", TRADES_SCHEMA) });
    // Varied enough that a file is larger than what is fetched at once.
    for (let day = 0; day < 3; day++) {
      await appendRows(trades, dayOfTrades(day, 30_000).map((row, n) => ({ ...row, p: Math.sin(n) * 1000, s: (n * 7919) % 1_000_003, i: String(BigInt(n) * 7_777_777_777n + BigInt(day)), timestamp: FIRST_DAY + day * DAY_MS + n })));
    }
    total = [...storage.files].filter(([location]) => location.endsWith(".parquet")).reduce((sum, [, { bytes }]) => sum + bytes.length, 0);
  });
  beforeEach(() => {
    engine = new SqlEngine();
    storage.dataBytes = 0;
    storage.fail = undefined;
  });
  afterEach(() => engine.close());

  it("gives what the same rows give that are read whole", async () => {
    const result = await query(AGGREGATE);
    assert.deepEqual(result.rows.map((row) => row["trade_count"]), [22_500, 22_500, 22_500, 22_500]);
    const first = dayOfTrades(0, 1)[0]!;
    const [row] = (await query(`SELECT * FROM db.trades WHERE timestamp = ${FIRST_DAY}`)).rows;
    assert.deepEqual(row, { ...first, p: 0, s: 0, i: 0, timestamp: FIRST_DAY });
    const sums = await query("SELECT sum(s)::BIGINT AS s, sum(i)::VARCHAR AS i, count(c) AS c, max(z) AS z FROM db.trades");
    const s = 3 * Array.from({ length: 30_000 }, (_, n) => (n * 7919) % 1_000_003).reduce((a, b) => a + b, 0);
    const i = Array.from({ length: 30_000 }, (_, n) => BigInt(n) * 7_777_777_777n).reduce((a, b) => a + b, 0n) * 3n + 90_000n;
    assert.deepEqual(sums.rows, [{ s, i: String(i), c: 45_000, z: "C" }]);
  });

  it("counts rows without a byte of data, and needs one column only, of the days that are asked for", async () => {
    assert.deepEqual((await query("SELECT count(*) AS n FROM db.trades")).rows, [{ n: 90_000 }]);
    assert.equal(storage.dataBytes, 0);
    const one = await query("SELECT max(p) > 999 AS high FROM db.trades");
    assert.deepEqual(one.rows, [{ high: true }]);
    assert.equal(one.bytesFetched, storage.dataBytes);
    assert.ok(one.bytesFetched < total / 2 && one.bytesFetched > 3 * 30_000 * 4, `${one.bytesFetched} of ${total}`);
    await engine.close();
    engine = new SqlEngine();
    const day = await query(`SELECT max(p) > 999 AS high FROM db.trades WHERE timestamp >= ${FIRST_DAY + 2 * DAY_MS}`);
    assert.deepEqual([day.rows, day.filesScanned, day.filesSkipped], [[{ high: true }], 1, 2]);
    assert.ok(day.bytesFetched < total / 4, `${day.bytesFetched} of ${total}`);
  });

  it("fetches nothing a second time, and of another column only that", async () => {
    const first = await query("SELECT max(p) AS p FROM db.trades");
    const again = await query("SELECT max(p) AS p FROM db.trades");
    assert.deepEqual([again.rows, again.bytesFetched], [first.rows, 0]);
    const more = await query("SELECT avg(s) AS s, max(p) AS p FROM db.trades");
    assert.ok(more.bytesFetched > 0 && more.bytesFetched < first.bytesFetched * 1.5, `${more.bytesFetched} after ${first.bytesFetched}`);
  });

  it("shares copies between queries that overlap", async () => {
    const results = await Promise.all(Array.from({ length: 6 }, () => query(AGGREGATE)));
    for (const { rows } of results) assert.deepEqual(rows, results[0]!.rows);
    assert.ok(storage.dataBytes <= total * 1.01, `${storage.dataBytes} of ${total}`);
  });

  it("plans again when a file is gone, and names one that is gone for good", async () => {
    const location = [...storage.files.keys()].find((name) => name.endsWith(".parquet"))!;
    const { bytes } = storage.files.get(location)!;
    await storage.delete(location);
    let asked = 0;
    const resolver = tables.resolver(catalog, [catalog]);
    const resolve: QueryRequest["tables"] = async (parts) => {
      if (asked++ === 1) await storage.write(location, bytes);
      return resolver(parts);
    };
    assert.deepEqual((await query("SELECT count(p) AS n FROM db.trades", { tables: resolve })).rows, [{ n: 90_000 }]);
    assert.equal(asked, 2);
    await storage.delete(location);
    await assert.rejects(query("SELECT count(s) AS n, sum(i) FROM db.trades"), { code: "STORAGE_FAILED", message: /A data file cannot be read/ });
    await storage.write(location, bytes);
  });

  it("a stopped query stops fetching, and the next one runs", async () => {
    const stop = new AbortController();
    storage.fail = () => { stop.abort(); return new Promise(() => undefined); };
    await assert.rejects(query("SELECT sum(p) FROM db.trades", { signal: stop.signal }), { code: "STOPPED" });
    storage.fail = undefined;
    assert.equal((await query(AGGREGATE)).rows.length, 4);
  });

  it("a table that is larger than the room for copies is queried as far as its parts fit", async () => {
    await engine.close();
    engine = new SqlEngine({ maxBytes: total / 2 });
    for (const day of [0, 1, 2]) {
      const { rows } = await query(`SELECT count(i) AS n FROM db.trades WHERE timestamp >= ${FIRST_DAY + day * DAY_MS} AND timestamp < ${FIRST_DAY + (day + 1) * DAY_MS}`);
      assert.deepEqual(rows, [{ n: 30_000 }]);
    }
    await assert.rejects(query("SELECT * FROM db.trades ORDER BY p LIMIT 1"), { code: "SQL_TOO_LARGE", message: /Filter by a partition/ });
    assert.deepEqual((await query("SELECT count(z) AS n FROM db.trades")).rows, [{ n: 90_000 }]);
  });

  it("local files that such a table names are out of reach", async () => {
    const local = await temporaryCatalog("secret");
    try {
      const secret = await createTable(local.catalog, "db.secret");
      await appendRows(secret, dayOfTrades(0));
      const [file] = await dataFiles(secret);
      const hostile = await catalog.createTable(parseIdentifier("db.hostile", "lake"), { schema: TRADES_SCHEMA, spec: parsePartitionBy("truncate[86400000](timestamp)", TRADES_SCHEMA) });
      await append(hostile, { files: [file!] });
      await assert.rejects(query("SELECT max(S) FROM db.hostile"), { code: "SQL_INVALID", message: /reads Iceberg tables only/ });
    } finally {
      await local.remove();
    }
  });
});
