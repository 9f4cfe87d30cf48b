import assert from "node:assert/strict";
import { EncoderPool } from "../../../../lib/iceberg/parquet/pool";
import { lazyRowsOf, LazyRows } from "../../../../lib/iceberg/sink/lazy-rows";
import { rowsOf } from "../../../../lib/iceberg/sink/payload";
import { decodeBatch } from "../../../../lib/kafka/source/decode";
import { LazyRecords } from "../../../../lib/trades/columnar/lazy-records";
import { LazyTrades } from "../../../../lib/trades/columnar/lazy-trades";
import { explodeRecords } from "../../../../lib/trades/explode-records";
import type { LazyPayload } from "../../../../lib/trades/lazy";
import type { TradeNames } from "../../../../lib/trades/types";
import { readRows } from "../../../support/read-table";
import { recordSet } from "../../../support/record-sets";
import { lineage, ScriptedSource, World, type TestSink } from "./harness";

const trade = (i: number, more: object = {}) => ({ T: "t", S: ["AAPL", "MSFT", "GOOGL"][i % 3]!, i: i % 4 === 0 ? `90071992547409${i}`.padEnd(19, "7") : i, x: i % 5 === 0 ? null : "V", p: 100 + i / 100, s: 100 * i, c: i % 7 === 0 ? null : ["@", "I"].slice(0, i % 3), z: i % 2 === 0 ? "C" : "A", ...more });
const json = (value: unknown): string => JSON.stringify(value).replace(/"i":"(\d+)"/g, '"i":$1');
/** Arrays of raw trades, as a topic holds them. */
const arrays = [0, 1, 2].map((k) => json(Array.from({ length: 10 }, (_, n) => trade(k * 10 + n + 1, { t: 1_381_132_800_000 + n * 3_600_000 * 7 }))));
const singles = Array.from({ length: 12 }, (_, n) => json(trade(n + 1, { timestamp: 1_381_132_800_000 + n })));

const records = (values: (string | null)[]): LazyRecords => {
  const { records: lazy } = decodeBatch([recordSet(values.map((value) => ({ value })))], "json");
  assert.ok(lazy instanceof LazyRecords);
  return lazy;
};
const exploded = (names: TradeNames, values = arrays): LazyTrades => explodeRecords(records(values), { names, other: "reject" }).trades as LazyTrades;

const column = (name: string, type: string, required = false) => ({ name, type, required });
const custom = (...fields: object[]): string => JSON.stringify({ type: "struct", fields });

describe("trades that nobody has read, in a table", () => {
  const encoder = new EncoderPool();
  const worlds: World[] = [];
  afterEach(async () => { for (const world of worlds.splice(0)) await world.end(); });
  after(() => encoder.close());

  async function write(properties: Record<string, unknown>, payloads: readonly (LazyPayload | unknown[])[]): Promise<{ rows: unknown[]; sink: TestSink; quick: number }> {
    const world = await World.create(encoder);
    worlds.push(world);
    const sink = world.sink("sink", { schema: "trades", ...properties });
    let quick = 0;
    for (const payload of payloads) {
      const rows = Array.isArray(payload) ? rowsOf(payload) : lazyRowsOf(payload as LazyPayload) ?? rowsOf((payload as LazyPayload).materialise());
      let made = false;
      const seen = rows instanceof LazyRows ? new LazyRows(rows.columns, () => { made = true; return rows.objects; }) : rows;
      sink.sink.add(seen, sink.handle.accept({ payload: undefined }, (error) => sink.ended.push(error)));
      await sink.sink.flush();
      if (seen instanceof LazyRows && !made) quick++;
    }
    return { rows: await readRows(await world.table()), sink, quick };
  }

  async function same(properties: Record<string, unknown>, payload: () => LazyPayload, expected: { quick: number; rows?: number; rejects?: number; warnings?: number }): Promise<Record<string, unknown>[]> {
    const lazy = await write(properties, [payload(), payload()]);
    const plain = await write(properties, [payload().materialise(), payload().materialise()]);
    assert.deepEqual(lazy.rows, plain.rows);
    assert.deepEqual(lazy.sink.rejects, plain.sink.rejects);
    assert.deepEqual(lazy.sink.warnings, plain.sink.warnings);
    assert.deepEqual(lazy.sink.results.map((r) => [r.rows, r.files]), plain.sink.results.map((r) => [r.rows, r.files]));
    assert.deepEqual([lazy.sink.ended, lazy.sink.failed], [plain.sink.ended, plain.sink.failed]);
    assert.equal(lazy.quick, expected.quick, "messages taken as columns");
    assert.equal(lazy.rows.length, 2 * (expected.rows ?? 30));
    assert.equal(lazy.sink.rejects.length, 2 * (expected.rejects ?? 0));
    assert.equal(lazy.sink.warnings.length, expected.warnings ?? 0);
    return lazy.rows as Record<string, unknown>[];
  }

  it("lands as the same trades would as objects: both presets, partitions, nulls, long ids", async () => {
    const rows = await same({}, () => exploded("documented"), { quick: 2 });
    assert.deepEqual(rows.map((row) => row["i"]).filter((i) => (i as bigint) > 2n ** 53n).length, 14);
    await same({ schema: "trades-readable" }, () => exploded("readable"), { quick: 2 });
    await same({ partitionBy: "S, bucket[4](i), truncate[3600000](timestamp)" }, () => exploded("documented"), { quick: 2 });
  });

  it("and so it does in a table with other columns, in another order, or fewer", async () => {
    await same({ schema: custom(column("note", "string"), column("timestamp", "long"), column("S", "string", true), column("p", "double"), column("at", "timestamptz")), partitionBy: "" }, () => exploded("documented"), { quick: 2, warnings: 6 });
  });

  it("is looked at row by row where a column has another type, or needs a value that is not there", async () => {
    await same({ schema: custom(column("S", "string"), column("s", "int"), column("p", "decimal(10,2)"), column("i", "string")), partitionBy: "" }, () => exploded("documented"), { quick: 0, rows: 7, rejects: 23, warnings: 5 });
    await same({ schema: custom(column("S", "string"), column("x", "string", true), column("timestamp", "timestamptz")), partitionBy: "day(timestamp)" }, () => exploded("documented"), { quick: 0, rows: 24, rejects: 6, warnings: 6 });
    await same({ schema: custom(column("venue", "string")), partitionBy: "" }, () => exploded("documented"), { quick: 0, rows: 0, rejects: 30, warnings: 9 });
  });

  it("draws the columns of a table from the first trades, as objects would", async () => {
    const even = Array.from({ length: 10 }, (_, k) => JSON.stringify(trade(k * 12 + 1, { timestamp: 1_381_132_800_000 + k, x: "V", c: ["@"] })));
    await same({ schema: "infer", partitionBy: "" }, () => records(even), { quick: 1, rows: 10 });
  });

  it("comes straight from Kafka where every record is a flattened trade, or a list of them", async () => {
    await same({}, () => records(singles), { quick: 2, rows: 12 });
    await same({}, () => records([`[${singles.join(",")}]`, "[]", singles[0]!]), { quick: 2, rows: 13 });
  });

  it("straight from Kafka, is refused one by one where it is raw; a tombstone, a list and a foreign value cost no neighbour", async () => {
    const { sink } = await write({}, [records(arrays), records(singles)]);
    assert.deepEqual([sink.rejects.length, sink.results.length], [30, 1]);
    assert.match(sink.rejects[0]!.reason, /put explode-trades before/);
    const mixed = await write({}, [records([singles[0]!, null, '{"venue":1}', "7", singles[1]!, `[${singles[2]!},{"T":"t","s":1.5}]`])]);
    assert.deepEqual(mixed.rows.map((row) => (row as { s: bigint }).s), [100n, 200n, 300n]);
    assert.deepEqual(mixed.sink.rejects.map(({ reason }) => reason.replace(/ of db.trades.*/, "")), [
      "a Kafka record without a value (a tombstone) is no row", "none of its fields is a column", "expected an object with the fields of the table, got 7", "s: expected a whole number, got 1.5",
    ]);
  });

  it("is known again after a restart: what the table has is written no second time", async () => {
    const world = await World.create(encoder);
    worlds.push(world);
    for (let life = 0; life < 2; life++) {
      const source = new ScriptedSource(world.ledger);
      const sink = world.sink("sink", { schema: "trades" });
      const rows = lazyRowsOf(exploded("documented"))!;
      const delivery = source.handle.open({ partition: "0", records: 30, bytes: 3000, context: undefined, lineage: lineage(0, 30) });
      const message = { payload: undefined, delivery: delivery.token, _msgid: "m" };
      world.ledger.sent(message, { id: "wire", type: "test" }, { id: "sink", type: "iceberg-out" });
      world.ledger.received(message, { id: "sink", type: "iceberg-out" });
      sink.sink.add(rows, sink.handle.accept(message, (error) => sink.ended.push(error)));
      source.handle.release(delivery);
      await new Promise((resolve) => setImmediate(resolve));
      await sink.sink.flush();
      for (let k = 0; k < 400 && source.delivered.length === 0; k++) await new Promise((resolve) => setTimeout(resolve, 5));
      assert.equal(source.delivered.length, 1);
      assert.equal(sink.rejects.length, 0);
      await sink.close();
      world.restart();
    }
    assert.equal((await readRows(await world.table())).length, 30);
  });
});
