import assert from "node:assert/strict";
import { EncoderPool } from "../../../../lib/iceberg/parquet/pool";
import { currentSnapshot, currentSchema } from "../../../../lib/iceberg/metadata";
import { dataFiles, readRows } from "../../../support/read-table";
import { range, ScriptedSource, tick, trade, trades, until, World } from "./harness";

describe("iceberg sink", () => {
  const encoder = new EncoderPool();
  let world: World;
  beforeEach(async () => { world = await World.create(encoder); });
  afterEach(() => world.end());
  after(() => encoder.close());

  it("creates the documented table and completes a message only when its rows are committed", async () => {
    const source = new ScriptedSource(world.ledger);
    const sink = world.sink("sink");
    source.send(trades(0, 10), [sink]);
    await until("the rows are parked", () => sink.parts[0]!.state === "parked");
    assert.deepEqual(sink.ended, [], "not done before the commit");
    assert.equal(source.delivered.length, 0);

    await sink.sink.flush();
    await until("the delivery is over", () => source.delivered.length === 1);
    assert.deepEqual(sink.ended, [undefined]);
    assert.deepEqual(await world.ids(), range(0, 10));
    const { metadata } = (await world.table()).state;
    assert.deepEqual(currentSchema(metadata).fields.map((f) => f.name), ["T", "S", "i", "x", "p", "s", "timestamp", "c", "z"]);
    assert.deepEqual(metadata["partition-specs"][0]!.fields.map((f) => [f.name, f.transform]), [["timestamp_trunc", "truncate[86400000]"]]);
    const [result] = sink.results;
    assert.equal(result!.rows, 10);
    assert.equal(result!.snapshotId, String(currentSnapshot(metadata)!["snapshot-id"]));
    assert.deepEqual([result!.table, result!.sequenceNumber, result!.files, result!.conflicts, result!.duplicates], ["db.trades", 1, 1, 0, 0]);
    assert.ok(result!.bytes > 0 && result!.ms >= 0);
  });

  it("commits after the interval, without being told", async () => {
    const sink = world.sink("sink", { commitInterval: "30 ms" });
    new ScriptedSource(world.ledger).send(trades(0, 3), [sink]);
    await until("the interval has passed", () => sink.results.length === 1);
    assert.deepEqual(await world.ids(), [0, 1, 2]);
  });

  it("commits when enough rows wait", async () => {
    const sink = world.sink("sink", { maxRows: 100 });
    const source = new ScriptedSource(world.ledger);
    for (let i = 0; i < 100; i += 10) source.send(trades(i, i + 10), [sink]);
    await until("the bound is reached", () => sink.results.length === 1);
    assert.equal(sink.results[0]!.rows, 100);
  });

  it("commits when enough bytes wait", async () => {
    const sink = world.sink("sink", { maxBytes: 2000 });
    new ScriptedSource(world.ledger).send(trades(0, 1000), [sink]);
    await until("the bound is reached", () => sink.results.length === 1);
  });

  it("commits at once when a source is at its bound", async () => {
    const sink = world.sink("sink");
    const source = new ScriptedSource(world.ledger, "source", { maxInFlight: 50 });
    source.send(trades(0, 50), [sink]);
    await until("pressure flushes", () => source.delivered.length === 1);
    assert.equal(sink.results.length, 1);
  });

  it("leaves a delivery that is not settled out of the commit, and takes it later", async () => {
    const sink = world.sink("sink");
    const source = new ScriptedSource(world.ledger);
    source.send(trades(0, 5), [sink]);
    const open = source.send(trades(5, 10), [sink], { hold: true });
    await tick();
    await sink.sink.flush();
    assert.deepEqual(await world.ids(), range(0, 5));
    source.handle.release(open);
    await tick(); await tick();
    await sink.sink.flush();
    assert.deepEqual(await world.ids(), range(0, 10));
    assert.equal(source.delivered.length, 2);
  });

  it("sends rows that do not fit to the rejects one by one, and writes all others", async () => {
    const sink = world.sink("sink");
    new ScriptedSource(world.ledger).send([trade(1), { ...trade(2), s: 1.5 }, "no row", trade(3), {}, { ...trade(4), i: "9223372036854775807" }], [sink]);
    await until("the message is taken", () => sink.parts[0]!.state === "parked");
    await sink.sink.flush();
    assert.equal(sink.rejects.length, 3);
    assert.match(sink.rejects.map((r) => r.reason).join("\n"), /s: .*1\.5/);
    assert.match(sink.rejects.map((r) => r.reason).join("\n"), /none of its fields is a column/);
    const rows = await readRows(await world.table());
    assert.deepEqual(rows.map((r) => r["i"]).sort(), [1n, 3n, 9223372036854775807n]);
  });

  it("refuses trades in the feed's own form with the way out, instead of writing them without a time", async () => {
    const sink = world.sink("sink");
    const { timestamp, ...raw } = trade(1);
    new ScriptedSource(world.ledger).send([{ ...raw, t: timestamp }], [sink]);
    await until("it is rejected", () => sink.rejects.length === 1);
    assert.match(sink.rejects[0]!.reason, /explode-trades/);
  });

  it("names a field that has no column, once", async () => {
    const sink = world.sink("sink");
    const source = new ScriptedSource(world.ledger);
    source.send([{ ...trade(1), venue: "X" }], [sink]);
    source.send([{ ...trade(2), venue: "X" }], [sink]);
    await until("both are taken", () => sink.parts.every((p) => p.state === "parked"));
    assert.equal(sink.warnings.length, 1);
    assert.match(sink.warnings[0]!, /"venue" is not written/);
  });

  it("completes a message of which every row was rejected", async () => {
    const sink = world.sink("sink");
    const source = new ScriptedSource(world.ledger);
    source.send(["bad"], [sink]);
    await until("taken", () => sink.parts[0]!.state === "parked");
    await sink.sink.flush();
    await until("delivered", () => source.delivered.length === 1);
    assert.equal(sink.results.length, 0, "no empty commit");
  });

  it("does not write rows of a delivery that was aborted while it waited", async () => {
    const sink = world.sink("sink");
    const source = new ScriptedSource(world.ledger);
    source.send(trades(0, 5), [sink]);
    const second = source.send(trades(5, 10), [sink], { hold: true });
    const third = source.send(trades(10, 15), [sink]);
    await until("taken", () => sink.parts.every((p) => p.state === "parked"));
    sink.parts[1]!.fail(new Error("poison"));
    await until("the failure is known", () => source.failures.length === 1);
    assert.deepEqual(source.failures[0]!.aborted, [second, third]);
    await sink.sink.flush();
    assert.deepEqual(await world.ids(), range(0, 5));
    source.send(trades(5, 15), [sink]);
    await tick(); await tick();
    await sink.sink.flush();
    assert.deepEqual(await world.ids(), range(0, 15));
  });

  it("writes rows without delivery, and refuses more when too many wait", async () => {
    const sink = world.sink("sink", { maxRows: 10 });
    for (let i = 0; i < 6; i++) sink.receive(trades(i * 10, i * 10 + 10));
    await until("what was taken is committed", () => sink.ended.length === 6);
    const refused = sink.ended.filter((e) => e !== undefined);
    assert.equal(refused.length, 2, "four commits' worth may wait");
    assert.match(refused[0]!.message, /wait for db\.trades already/);
    assert.equal((await world.ids()).length, 40);
  });

  it("spreads days over partitions", async () => {
    const sink = world.sink("sink");
    const day = 86_400_000;
    new ScriptedSource(world.ledger).send([trade(1, { timestamp: 5 * day }), trade(2, { timestamp: 6 * day }), trade(3, { timestamp: 5 * day + 1 })], [sink]);
    await until("taken", () => sink.parts[0]!.state === "parked");
    await sink.sink.flush();
    const files = await dataFiles(await world.table());
    assert.deepEqual(files.map((f) => [f.partition[0], f.recordCount]).sort(), [[BigInt(5 * day), 2], [BigInt(6 * day), 1]]);
  });

  it("infers the columns from the first batch and takes the table's own after a restart", async () => {
    const first = world.sink("sink", { schema: "infer", partitionBy: "" });
    new ScriptedSource(world.ledger).send([{ id: 1, name: "ä", ok: true, tags: ["x"] }], [first]);
    await until("taken", () => first.parts[0]!.state === "parked");
    await first.close();
    world.restart();
    const second = world.sink("sink2", { schema: "infer", partitionBy: "" });
    new ScriptedSource(world.ledger).send([{ name: "z", id: 2 }], [second]);
    await until("taken", () => second.parts[0]!.state === "parked");
    await second.sink.flush();
    const rows = (await readRows(await world.table())).sort((a, b) => Number(a["id"]) - Number(b["id"]));
    assert.deepEqual(rows, [{ id: 1n, name: "ä", ok: true, tags: ["x"] }, { id: 2n, name: "z", ok: null, tags: null }].map((r) => ({ ...r, ...(r.tags ? {} : { tags: rows[1]!["tags"] }) })));
  });

  it("says at once when the table has other columns than the dialog", async () => {
    const first = world.sink("a", { schema: "trades-readable" });
    first.receive([{ symbol: "AAPL", id: 1, price: 1, size: 1, timestamp: 1 }]);
    await until("taken", () => first.parts[0]!.state === "parked");
    await first.sink.flush();
    const second = world.sink("b", { schema: "trades" });
    second.receive([trade(1)]);
    await until("it fails", () => second.failed.length === 1);
    assert.equal(second.failed[0]!.code, "SCHEMA_MISMATCH");
    assert.match(second.ended[0]!.message, /exists with other columns/);
  });

  it("says what to do when the table is missing and creating is off", async () => {
    const sink = world.sink("sink", { createTable: false });
    sink.receive([trade(1)]);
    await until("it fails", () => sink.failed.length === 1);
    assert.equal(sink.failed[0]!.code, "TABLE_NOT_FOUND");
    assert.match(sink.failed[0]!.message, /allow iceberg-out to create it/);
  });

  it("commits what is settled when it closes, and fails the rest", async () => {
    const sink = world.sink("sink");
    const source = new ScriptedSource(world.ledger);
    source.send(trades(0, 5), [sink]);
    source.send(trades(5, 10), [sink], { hold: true });
    await until("taken", () => sink.parts.every((p) => p.state === "parked"));
    await sink.close();
    await until("the rest failed", () => source.failures.length === 1);
    assert.deepEqual(await world.ids(), range(0, 5));
  });
});
