import assert from "node:assert/strict";
import { readableTradeSchema, tradeSchema } from "../../../lib/trades/schema";
import { foldedColumns, fieldsOf, tableConfig } from "../../../lib/pinot/table/config";
import { changedSchema, changedTable, differences, masked } from "../../../lib/pinot/table/diff";
import { mergedObject } from "../../../lib/pinot/table/merge";
import { type JsonObject, operationOf, parseTable } from "../../../lib/pinot/table/settings";
import { parseVersion } from "../../../lib/pinot/version";
import { recorded } from "../../support/pinot/stand-in";

const NEW = parseVersion({ "pinot-controller": "1.5.1" }), OLD = parseVersion({ "pinot-controller": "0.11.0" });
const config = (settings: Record<string, unknown> = {}, version = NEW) => tableConfig(parseTable({ kafkaBrokers: "127.0.0.1:19092", ...settings }), version);
const names = (schema: JsonObject) => fieldsOf(schema).map((field) => String(field["name"])).sort();
const stream = (table: JsonObject) => ((table["ingestionConfig"] as { streamIngestionConfig: { streamConfigMaps: Record<string, string>[] } }).streamIngestionConfig.streamConfigMaps)[0]!;

describe("settings of a Pinot table", () => {
  it("have the documented defaults", () => {
    assert.deepEqual(parseTable({}), {
      table: "flattened_stocks", names: "documented", topic: "flattened_stocks", kafkaBrokers: "my-cluster-kafka-bootstrap.kafka.svc.cluster.local:9092",
      retentionDays: 7, flushRows: 50_000, replication: 1, starTree: true, overrides: {},
    });
    const typed = parseTable({ table: "trades_REALTIME", kafkaBrokers: "a, b:1", retentionDays: "30", starTree: "false", overrides: "{\"metadata\":{}}" });
    assert.deepEqual([typed.table, typed.kafkaBrokers, typed.retentionDays, typed.starTree, typed.overrides], ["trades", "a:9092,b:1", 30, false, { metadata: {} }]);
  });

  it("that are wrong name what to change", () => {
    for (const [settings, code, reason] of [
      [{ table: "no table" }, "TABLE_NAME_INVALID", /"no table" cannot be a table's name/], [{ table: "1a" }, "TABLE_NAME_INVALID", /beginning with a letter/],
      [{ names: "short" }, "CONFIG_INVALID", /documented or readable/], [{ topic: "a b" }, "CONFIG_INVALID", /topic/], [{ retentionDays: 0 }, "CONFIG_INVALID", /retentionDays: the least is 1/],
      [{ flushRows: "many" }, "CONFIG_INVALID", /flushRows: enter a number/], [{ replication: 1.5 }, "CONFIG_INVALID", /replication: enter a whole number/], [{ overrides: "{pass" }, "CONFIG_INVALID", /overrides are no JSON/],
      [{ overrides: [] }, "CONFIG_INVALID", /must be a JSON object/], [{ kafkaBrokers: "${KAFKA}" }, "CONFIG_INVALID", /not filled in/],
    ] as const) assert.throws(() => parseTable(settings), (error: { code: string; message: string }) => error.code === code && reason.test(error.message), JSON.stringify(settings));
    assert.throws(() => operationOf("drop"), /"drop" is no operation.*create, update/);
    assert.equal(operationOf(undefined), "status");
  });
});

/** The recording is of a topic without transactions. */
const AS_RECORDED = { overrides: { ingestionConfig: { streamIngestionConfig: { streamConfigMaps: [{ "stream.kafka.isolation.level": null }] } } } };

describe("configuration of a Pinot table", () => {
  it("has class names and formats of the controller's version", () => {
    const [now, then] = [config(), config({}, OLD)];
    assert.equal(stream(now.table)["stream.kafka.consumer.factory.class.name"], "org.apache.pinot.plugin.stream.kafka30.KafkaConsumerFactory");
    assert.equal(stream(then.table)["stream.kafka.consumer.factory.class.name"], "org.apache.pinot.plugin.stream.kafka20.KafkaConsumerFactory");
    assert.deepEqual([now, then].map(({ schema }) => (schema["dateTimeFieldSpecs"] as JsonObject[])[0]!["format"]), ["EPOCH|MILLISECONDS|1", "1:MILLISECONDS:EPOCH"]);
    // 0.11 wants it, and knows neither of the others.
    assert.deepEqual([now, then].map(({ table }) => (table["segmentsConfig"] as JsonObject)["replicasPerPartition"]), [undefined, "1"]);
    assert.deepEqual([now, then].map(({ table }) => (table["ingestionConfig"] as JsonObject)["continueOnError"]), [true, undefined]);
  });

  it("reads committed records only, unless it is told otherwise", () => {
    assert.equal(stream(config().table)["stream.kafka.isolation.level"], "read_committed");
    assert.equal(stream(config({ overrides: { ingestionConfig: { streamIngestionConfig: { streamConfigMaps: [{ "stream.kafka.isolation.level": "read_uncommitted" }] } } } }).table)["stream.kafka.isolation.level"], "read_uncommitted");
  });

  it("says what a real 1.5.1 was told and took", () => {
    const { table, schema } = config({ retentionDays: 36_500, ...AS_RECORDED });
    const told = recorded("create table", "case-sensitive").request as Record<string, JsonObject>;
    assert.deepEqual(stream(table), stream(told));
    for (const name of ["invertedIndexColumns", "rangeIndexColumns", "loadMode"]) assert.deepEqual((table["tableIndexConfig"] as JsonObject)[name], told["tableIndexConfig"]![name]);
    assert.deepEqual(table["segmentsConfig"], told["segmentsConfig"]);
    assert.deepEqual(differences({ table, schema }, { table, schema: recorded("create schema (documented)", "case-sensitive").request as JsonObject }), []);
  });

  it("has the columns of explode-trades' trades under both names, and fills the readable ones from the documented ones", () => {
    assert.deepEqual(names(config().schema), Object.keys(tradeSchema.shape).map((name) => (name === "t" ? "timestamp" : name)).filter((name) => name !== "tns").sort());
    const readable = config({ names: "readable" });
    assert.deepEqual(names(readable.schema), Object.keys(readableTradeSchema.shape).sort());
    const transforms = (readable.table["ingestionConfig"] as { transformConfigs: { columnName: string; transformFunction: string }[] }).transformConfigs;
    assert.deepEqual([...transforms.map((one) => one.columnName), "timestamp"].sort(), names(readable.schema));
    assert.deepEqual([...transforms.map((one) => one.transformFunction), "timestamp"].sort(), names(config().schema));
    assert.deepEqual((readable.table["tableIndexConfig"] as { starTreeIndexConfigs: unknown }).starTreeIndexConfigs, [{ dimensionsSplitOrder: ["symbol", "exchange"], functionColumnPairs: ["COUNT__*", "SUM__size", "MIN__price", "MAX__price", "AVG__price"], maxLeafRecords: 10_000 }]);
    assert.deepEqual([foldedColumns(config().schema), foldedColumns(readable.schema)], [[["S", "s"]], []]);
  });

  it("is merged with overrides last: objects deeply, columns by name, the stream by its place, null takes away", () => {
    const { schema, table } = config({ overrides: {
      schema: { metricFieldSpecs: [{ name: "s", dataType: "INT" }, { name: "fee", dataType: "DOUBLE" }] },
      tableIndexConfig: { rangeIndexColumns: null, invertedIndexColumns: ["x"] }, ingestionConfig: { streamIngestionConfig: { streamConfigMaps: [{ "security.protocol": "SASL_SSL" }] } },
    } });
    assert.deepEqual(schema["metricFieldSpecs"], [{ name: "p", dataType: "DOUBLE" }, { name: "s", dataType: "INT" }, { name: "fee", dataType: "DOUBLE" }]);
    const index = table["tableIndexConfig"] as JsonObject;
    assert.deepEqual([index["rangeIndexColumns"], index["invertedIndexColumns"], index["loadMode"]], [undefined, ["x"], "MMAP"]);
    assert.deepEqual([stream(table)["security.protocol"], stream(table)["stream.kafka.topic.name"]], ["SASL_SSL", "flattened_stocks"]);
    const base = { a: { b: 1 }, c: [1, 2] };
    assert.deepEqual(mergedObject(base, { a: { d: 2 }, c: [3] }), { a: { b: 1, d: 2 }, c: [3] });
    assert.deepEqual(base, { a: { b: 1 }, c: [1, 2] });
  });
});

describe("differences of a Pinot table", () => {
  const paths = (found: readonly { path: string }[]) => found.map((one) => one.path);

  it("are none against what a real 1.5.1 gives back for it, with all its defaults", () => {
    const kept = (recorded("get table", "case-sensitive").response as { REALTIME: JsonObject }).REALTIME;
    const schema = recorded("get schema", "case-sensitive").response as JsonObject;
    assert.deepEqual(differences(config({ retentionDays: 36_500, ...AS_RECORDED }), { table: kept, schema }), []);
    assert.deepEqual(paths(differences(config({ starTree: false, flushRows: 9, ...AS_RECORDED }), { table: kept, schema })).sort(), [
      "ingestionConfig.streamIngestionConfig.streamConfigMaps[0].realtime.segment.flush.threshold.rows", "segmentsConfig.retentionTimeValue", "tableIndexConfig.starTreeIndexConfigs",
    ]);
  });

  it("between a cluster that was upgraded and its tables are the plugin alone: formats are called otherwise, but the same", () => {
    const [wanted, is] = [config(), config({}, OLD)];
    assert.deepEqual(paths(differences(wanted, is)).filter((path) => !/continueOnError|rowTimeValueCheck/.test(path)), ["ingestionConfig.streamIngestionConfig.streamConfigMaps[0].stream.kafka.consumer.factory.class.name"]);
  });

  it("tell S from s, lists from their parts, and nothing from something", () => {
    const is = config();
    const changed = (over: JsonObject) => ({ ...is, table: mergedObject(is.table, over) });
    assert.deepEqual(differences(changed({ tableIndexConfig: { invertedIndexColumns: ["s", "x"] } }), is), [{ path: "tableIndexConfig.invertedIndexColumns", is: ["S", "x"], wanted: ["s", "x"] }]);
    assert.deepEqual(paths(differences(is, changed({ tableIndexConfig: { starTreeIndexConfigs: null } }))), ["tableIndexConfig.starTreeIndexConfigs"]);
    assert.deepEqual(paths(differences(is, changed({ ingestionConfig: { transformConfigs: [{ columnName: "a", transformFunction: "b" }] } }))), ["ingestionConfig.transformConfigs"]);
    assert.deepEqual(differences(is, { ...is, schema: { schemaName: "x" } }).length, 9);
  });

  it("never show a password for Kafka", () => {
    const jaas = (password: string) => ({ ingestionConfig: { streamIngestionConfig: { streamConfigMaps: [{ "sasl.jaas.config": `... password="${password}"` }] } } });
    const [wanted, is] = [config({ overrides: jaas("one-secret") }), config({ overrides: jaas("old-secret") })];
    const found = differences(wanted, is);
    assert.equal(found.length, 1);
    assert.doesNotMatch(JSON.stringify([found, masked(is.table)]), /secret/);
  });

  it("are what an update sends; the rest stays as it is there", () => {
    const is = config({ overrides: { tableIndexConfig: { bloomFilterColumns: ["S"] }, quota: { storage: "1G" } } });
    const table = changedTable(config({ retentionDays: 9, starTree: false }).table, is.table);
    const index = table["tableIndexConfig"] as JsonObject;
    assert.deepEqual([(table["segmentsConfig"] as JsonObject)["retentionTimeValue"], index["bloomFilterColumns"], index["starTreeIndexConfigs"], table["quota"]], ["9", ["S"], undefined, { storage: "1G" }]);
    assert.deepEqual(names(changedSchema(config({ overrides: { schema: { dimensionFieldSpecs: [{ name: "venue", dataType: "STRING" }] } } }).schema, is.schema)), [...names(is.schema), "venue"].sort());
  });

  it("of a table that names its stream in the old place are found and changed there", () => {
    const wanted = config({ flushRows: 9 });
    const old = config();
    const map = stream(old.table);
    const is = { ...old, table: mergedObject(old.table, { ingestionConfig: { streamIngestionConfig: null }, tableIndexConfig: { streamConfigs: map } }) };
    assert.deepEqual(paths(differences(wanted, is)), ["tableIndexConfig.streamConfigs.realtime.segment.flush.threshold.rows"]);
    const table = changedTable(wanted.table, is.table);
    assert.equal(((table["tableIndexConfig"] as JsonObject)["streamConfigs"] as JsonObject)["realtime.segment.flush.threshold.rows"], "9");
    assert.equal((table["ingestionConfig"] as JsonObject)["streamIngestionConfig"], undefined);
  });
});
