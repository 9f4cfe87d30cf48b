import assert from "node:assert/strict";
import type { TicklakeError } from "../../../lib/errors";
import type { PinotCluster } from "../../../lib/pinot/cluster";
import { parseTable, runTableOperation, type TableOperation } from "../../../lib/pinot/table";
import { kafkaLag } from "../../../lib/pinot/table/kafka-lag";
import { isAtLeast } from "../../../lib/pinot/version";
import { createTopic, produce, sharedKafka } from "../../support/kafka";
import { clusterFor, sharedPinot, uniqueTable } from "../../support/pinot";

/** Days. The trades are of 2024: a controller drops what is older than the table keeps when it looks, some minutes after its start. */
const OLD = 36_500;

/** On whatever Pinot there is: 0.11.0 of the stack, or that of PINOT_CONTROLLER_URL. */
describe("a real-time table of a real Pinot", function () {
  this.timeout(180_000);
  let cluster: PinotCluster;
  let brokers: string;
  let warnings: string[];
  const made: string[] = [];

  before(async () => {
    const [pinot, kafka] = await Promise.all([sharedPinot(), sharedKafka()]);
    [cluster, brokers] = [clusterFor(pinot), kafka.brokers];
  });
  beforeEach(() => { warnings = []; });
  after(async () => { for (const table of made) await run("delete", { table }, true).catch(() => undefined); });

  // A result is looked at by many names.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  const run = (operation: TableOperation, settings: Record<string, unknown>, confirm?: unknown): Promise<any> =>
    runTableOperation({ cluster, operation, settings: parseTable({ kafkaBrokers: brokers, topic: settings["table"], ...settings }), confirm }, { kafka: kafkaLag, warn: (text) => warnings.push(text) });
  const fails = (work: Promise<unknown>, code: string, text: RegExp) => assert.rejects(work, (error: TicklakeError) => {
    assert.equal(error.code, code, error.message);
    assert.match(error.message, text);
    return true;
  });
  const controller = async (path: string) => (await cluster.http.send("controller", { method: "GET", path })).body as Record<string, Record<string, Record<string, unknown>>>;
  const rows = async (sql: string): Promise<unknown[][]> => {
    const { resultTable, exceptions } = (await cluster.http.send("broker", { method: "POST", path: "/query/sql", body: { sql } })).body as { resultTable?: { rows: unknown[][] }; exceptions: unknown[] };
    assert.deepEqual(exceptions, []);
    return resultTable?.rows ?? [];
  };
  /** Asks until the answer is that; shows the last one otherwise. */
  const becomes = async <T>(ask: () => Promise<T>, wanted: T, seconds = 60): Promise<void> => {
    for (const end = Date.now() + seconds * 1000; ;) {
      const is = await ask();
      if (JSON.stringify(is) === JSON.stringify(wanted)) return;
      if (Date.now() > end) { assert.deepEqual(is, wanted); return; }
      await new Promise((done) => { setTimeout(done, 200); });
    }
  };
  /** A topic, and a name for the table that reads it. */
  const topic = async (partitions = 2): Promise<string> => {
    const table = uniqueTable();
    await createTopic(brokers, table, { partitions });
    made.push(table);
    return table;
  };
  const trade = (k: number, more: object = {}) => ({ T: "t", S: `S${k % 3}`, i: k, x: "V", p: 100 + k, s: 10, timestamp: 1_704_205_800_000 + k, c: ["@", "I"], z: "C", ...more });
  const send = (table: string, from: number, count: number) => produce(brokers, table, Array.from({ length: count }, (_, k) => ({ value: JSON.stringify(trade(from + k)), partition: (from + k) % 2 })));

  it("is created as documented, once", async () => {
    const table = await topic();
    assert.deepEqual(await run("create", { table }), { operation: "create", table, version: (await cluster.version()).text, created: true, differences: [], queryable: true });
    const { segmentsConfig, tableIndexConfig, ingestionConfig } = (await controller(`/tables/${table}`))["REALTIME"]!;
    assert.deepEqual([segmentsConfig!["timeColumnName"], segmentsConfig!["retentionTimeUnit"], segmentsConfig!["retentionTimeValue"], segmentsConfig!["replication"]], ["timestamp", "DAYS", "7", "1"]);
    assert.deepEqual([tableIndexConfig!["invertedIndexColumns"], tableIndexConfig!["rangeIndexColumns"]], [["S", "x"], ["timestamp"]]);
    assert.deepEqual(tableIndexConfig!["starTreeIndexConfigs"], [{ dimensionsSplitOrder: ["S", "x"], functionColumnPairs: ["COUNT__*", "SUM__s", "MIN__p", "MAX__p", "AVG__p"], maxLeafRecords: 10_000 }]);
    const [stream] = (ingestionConfig!["streamIngestionConfig"] as { streamConfigMaps: Record<string, string>[] }).streamConfigMaps;
    assert.deepEqual([stream!["stream.kafka.topic.name"], stream!["stream.kafka.broker.list"], stream!["stream.kafka.consumer.type"]!.toLowerCase(), stream!["realtime.segment.flush.threshold.rows"]], [table, brokers, "lowlevel", "50000"]);
    const { created, differences } = await run("create", { table });
    assert.deepEqual([created, differences], [false, []]);
    assert.deepEqual((await run("update", { table })), { operation: "update", table, version: (await cluster.version()).text, changed: false, differences: [], reloaded: false });
    assert.deepEqual(warnings, []);
  });

  it("tells what differs, changes only that, and keeps what others have set", async () => {
    const table = await topic();
    await run("create", { table, overrides: { tableIndexConfig: { bloomFilterColumns: ["S"] } } });
    const wanted = { table, retentionDays: 30, flushRows: 1000, starTree: false };
    const { created, differences } = await run("create", wanted);
    assert.equal(created, false);
    assert.deepEqual(differences.map((one: { path: string }) => one.path).sort(), [
      "ingestionConfig.streamIngestionConfig.streamConfigMaps[0].realtime.segment.flush.threshold.rows", "segmentsConfig.retentionTimeValue", "tableIndexConfig.starTreeIndexConfigs",
    ]);
    const updated = await run("update", wanted);
    assert.deepEqual([updated.changed, updated.reloaded, updated.differences.length], [true, true, 3]);
    const { segmentsConfig, tableIndexConfig } = (await controller(`/tables/${table}`))["REALTIME"]!;
    assert.deepEqual([segmentsConfig!["retentionTimeValue"], tableIndexConfig!["bloomFilterColumns"], (tableIndexConfig!["starTreeIndexConfigs"] as unknown[] | undefined)?.length ?? 0], ["30", ["S"], 0]);
    assert.deepEqual((await run("describe", wanted)).differences, []);
    assert.equal((await run("update", wanted)).changed, false);
  });

  it("is widened by a column of overrides, and never narrowed", async () => {
    const table = await topic();
    await run("create", { table });
    const overrides = { schema: { dimensionFieldSpecs: [{ name: "venue", dataType: "STRING" }] } };
    const { differences } = await run("update", { table, overrides });
    assert.deepEqual(differences, [{ path: "schema.venue", is: undefined, wanted: "dimension STRING" }]);
    assert.equal((await run("create", { table })).differences.length, 0);
    const names = ((await controller(`/schemas/${table}`)) as unknown as { dimensionFieldSpecs: { name: string }[] }).dimensionFieldSpecs.map((one) => one.name);
    assert.ok(names.includes("venue") && names.includes("S"));
    await fails(run("update", { table, overrides: { schema: { metricFieldSpecs: [{ name: "p", dataType: "LONG" }] } } }), "PINOT_REFUSED", /PUT \/schemas.*400/);
  });

  it("takes rows, seals segments, pauses and goes on; its status tells the lag", async () => {
    const table = await topic();
    await run("create", { table, flushRows: 200, retentionDays: OLD });
    await send(table, 0, 250);
    const count = async () => (await rows(`SELECT COUNT(*), SUM(s), MIN(p), MAX(p) FROM ${table}`))[0];
    await becomes(count, [250, 2500, 100, 349]);
    await becomes(async () => { const { state, lag, segments } = await run("status", { table }); return [state, lag, segments]; }, ["consuming", { records: 0, ms: 0 }, { consuming: 2, sealed: 2 }]);
    const { partitions, lagFrom, sizeBytes, unknown } = await run("status", { table });
    assert.deepEqual(partitions.map((one: { partition: number; state: string; offset: number; recordsLag: number }) => [one.partition, one.state, one.offset, one.recordsLag]), [[0, "CONSUMING", 125, 0], [1, "CONSUMING", 125, 0]]);
    assert.equal(lagFrom, isAtLeast(await cluster.version(), 0, 12) ? "pinot" : "kafka");
    assert.ok(sizeBytes > 1000, String(sizeBytes));
    assert.deepEqual(unknown, []);

    const paused = await run("pause", { table });
    assert.deepEqual([paused.paused, paused.settled, paused.consumingSegments], [true, true, []]);
    assert.equal((await run("status", { table })).state, "paused");
    await send(table, 250, 10);
    const resumed = await run("resume", { table });
    assert.deepEqual([resumed.paused, resumed.settled], [false, true]);
    await becomes(count, [260, 2600, 100, 359]);
    await becomes(async () => (await run("status", { table })).lag, { records: 0, ms: 0 });
  });

  it("with readable names reads a topic of documented ones, and one of readable ones", async () => {
    const table = await topic();
    await run("create", { table, names: "readable", flushRows: 20, retentionDays: OLD });
    await produce(brokers, table, [
      ...Array.from({ length: 12 }, (_, k) => JSON.stringify(trade(k))),
      JSON.stringify({ type: "t", symbol: "R", id: 9_007_199_254_740_993n.toString(), exchange: "Q", price: 5.5, size: 7, timestamp: 1_704_205_900_000, conditions: ["@"], tape: "A" }),
    ]);
    await becomes(() => rows(`SELECT symbol, COUNT(*), SUM(size), MAX(price) FROM ${table} GROUP BY symbol ORDER BY symbol`), [["R", 1, 7, 5.5], ["S0", 4, 40, 109], ["S1", 4, 40, 110], ["S2", 4, 40, 111]]);
    assert.deepEqual(await rows(`SELECT type, id, exchange, conditions, tape, "timestamp" FROM ${table} WHERE symbol = 'S0' ORDER BY "timestamp" LIMIT 1`), [["t", 0, "V", ["@", "I"], "C", 1_704_205_800_000]]);
    assert.deepEqual(await rows(`SELECT type, id, exchange, conditions, tape FROM ${table} WHERE symbol = 'R'`), [["t", "9007199254740993", "Q", ["@"], "A"]]);
  });

  it("skips what it cannot read and fills in what is missing: why nothing bad may reach the topic", async () => {
    const table = await topic();
    await run("create", { table, retentionDays: OLD });
    await produce(brokers, table, ["no JSON", JSON.stringify(trade(1, { p: "cheap" })), JSON.stringify(trade(2, { x: null, s: null })), JSON.stringify(trade(3))]);
    await becomes(() => rows(`SELECT i, x, s, p FROM ${table} ORDER BY i LIMIT 10`), [[2, "null", 0, 102], [3, "V", 10, 103]]);
  });

  it("is deleted when that is confirmed, with its schema, and can be made anew", async () => {
    const table = await topic();
    await run("create", { table });
    await fails(run("delete", { table }), "CONFIG_INVALID", /takes all its rows away for good.*msg\.confirm = true/);
    await fails(run("delete", { table }, "another"), "CONFIG_INVALID", /msg\.confirm/);
    assert.deepEqual(await run("delete", { table }, table), { operation: "delete", table, deleted: true, schemaDeleted: true });
    await fails(controller(`/schemas/${table}`), "PINOT_REFUSED", /404/);
    assert.equal((await run("create", { table })).created, true);
    assert.deepEqual(warnings, []);
  });

  it("keeps a schema that another table uses", async function () {
    // Since 1.0 a table's schema has its name: then nobody else can use it.
    if (isAtLeast(await cluster.version(), 1, 0)) return;
    const [table, other] = [await topic(), await topic()];
    await run("create", { table });
    await run("create", { table: other, overrides: { segmentsConfig: { schemaName: table } } });
    const { schemaDeleted, schemaKept } = await run("delete", { table }, true);
    assert.deepEqual([schemaDeleted, schemaKept], [false, `the table ${other} uses it`]);
    assert.equal(((await controller(`/schemas/${table}`)) as unknown as { schemaName: string }).schemaName, table);
  });

  it("that is refused leaves no schema behind, and says why", async () => {
    const table = await topic();
    await fails(run("create", { table, overrides: { segmentsConfig: { timeColumnName: "nope" } } }), "PINOT_REFUSED", /nope/);
    await fails(controller(`/schemas/${table}`), "PINOT_REFUSED", /404/);
    await fails(run("create", { table, overrides: { schema: { metricFieldSpecs: [{ name: "p", dataType: "NUMBER" }] } } }), "PINOT_REFUSED", /NUMBER/);
  });

  it("whose topic Pinot does not find is not made, and says so", async () => {
    const table = await topic();
    await fails(run("create", { table, topic: `${table}-nope` }), "KAFKA_TOPIC_UNKNOWN", /finds no topic .*-nope at .*kafka-out does so/);
    await fails(controller(`/schemas/${table}`), "PINOT_REFUSED", /404/);
  });

  it("that is not there is told by every operation on it", async () => {
    const table = uniqueTable("nobody");
    for (const operation of ["update", "status", "describe", "pause", "resume", "delete"] as const) await fails(run(operation, { table }, true), "TABLE_NOT_FOUND", /has no real-time table nobody_/);
  });

  it("whose Kafka Node-RED cannot reach has a status all the same, which says so", async function () {
    if (isAtLeast(await cluster.version(), 0, 12)) return;
    const table = await topic();
    await run("create", { table });
    await becomes(async () => (await run("status", { table })).state, "consuming");
    const settings = parseTable({ table, topic: table, kafkaBrokers: brokers });
    const { lag, unknown } = await runTableOperation({ cluster, operation: "status", settings }, { kafka: () => kafkaLag("127.0.0.1:9") }) as { lag: object; unknown: readonly string[] };
    assert.deepEqual(lag, {});
    assert.match(unknown.join(), /does not tell how far it is behind.*does not answer Node-RED/);
  });
});
