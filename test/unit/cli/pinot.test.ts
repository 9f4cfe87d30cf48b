import assert from "node:assert/strict";
import { parseCommandLine, UsageError } from "../../../lib/cli/arguments";
import { pinotOf, pinotParams, pinotTableOf } from "../../../lib/cli/pinot";
import { reconciliationText } from "../../../lib/cli/reconciliation";
import { tableConfig } from "../../../lib/pinot/table/config";
import { streamOf } from "../../../lib/pinot/table/status";
import { parseVersion } from "../../../lib/pinot/version";

const none = (_name: string): string | undefined => undefined;
/** As the documentation has it. */
const DOCUMENTED = {
  tableName: "flattened_stocks", tableType: "REALTIME",
  segmentsConfig: { timeColumnName: "timestamp", timeType: "MILLISECONDS", replication: "1", retentionTimeUnit: "DAYS", retentionTimeValue: "7" },
  ingestionConfig: { streamIngestionConfig: { streamConfigMaps: [{
    "realtime.segment.flush.threshold.rows": "50000", "stream.kafka.broker.list": "my-cluster-kafka-bootstrap.kafka.svc.cluster.local:9092", "stream.kafka.consumer.type": "lowLevel", "stream.kafka.topic.name": "flattened_stocks",
  }] } },
};
const settings = (line: string[], files: Readonly<Record<string, unknown>> = {}, variable = none) => pinotTableOf(parseCommandLine(["pinot", "create", ...line]), variable, (file) => JSON.stringify(files[file]));
const config = (...args: Parameters<typeof settings>) => tableConfig(settings(...args), parseVersion({ "pinot-broker": "1.5.1" }));

describe("ticklake pinot", () => {
  it("is two commands, and says so", () => {
    for (const [line, said] of [[["pinot"], /create, query/], [["pinot", "make"], /create, query, not by "make"/], [["pinot", "query"], /needs "<SQL>"/], [["pinot", "create", "--tabel", "x"], /Did you mean --table\?/]] as const) {
      assert.throws(() => parseCommandLine(line), (error: Error) => error instanceof UsageError && said.test(error.message), line.join(" "));
    }
    assert.equal(parseCommandLine(["pinot", "query", "SELECT 1"]).command.name, "pinot query");
  });

  it("create without anything is the documented table on this machine's Kafka", () => {
    const { table, topic, kafkaBrokers, retentionDays, flushRows, replication, starTree, names } = settings([]);
    assert.deepEqual([table, topic, kafkaBrokers, retentionDays, flushRows, replication, starTree, names], ["flattened_stocks", "flattened_stocks", "localhost:9092", 7, 50_000, 1, true, "documented"]);
    assert.deepEqual(streamOf(config([]).table), { topic: "flattened_stocks", brokers: "localhost:9092" });
    const fromEnvironment = settings([], {}, (name) => ({ PINOT_KAFKA_BROKERS: "kafka:9092", DEST_TOPIC: "flat", PINOT_TABLE: "mine" })[name]);
    assert.deepEqual([fromEnvironment.kafkaBrokers, fromEnvironment.topic, fromEnvironment.table], ["kafka:9092", "flat", "mine"]);
  });

  it("takes the documented configuration from a file; what the command line names goes before it", () => {
    const files = { "table.json": DOCUMENTED, "schema.json": { schemaName: "other", metricFieldSpecs: [{ name: "fee", dataType: "DOUBLE" }] } };
    const asWritten = config(["--table-config", "table.json"], files);
    assert.deepEqual(streamOf(asWritten.table), { topic: "flattened_stocks", brokers: "my-cluster-kafka-bootstrap.kafka.svc.cluster.local:9092" });
    assert.equal((asWritten.table["segmentsConfig"] as Record<string, unknown>)["timeType"], "MILLISECONDS");
    // What the documentation leaves out is there all the same.
    assert.match(JSON.stringify(asWritten.table), /JSONMessageDecoder.*read_committed/);
    const changed = config(["--table-config", "table.json", "--schema", "schema.json", "--kafka-brokers", "localhost:1", "localhost:2", "--topic", "flat", "--retention-days", "30", "--table", "mine", "--star-tree", "off"], files);
    assert.deepEqual(streamOf(changed.table), { topic: "flat", brokers: "localhost:1,localhost:2" });
    assert.equal((changed.table["segmentsConfig"] as Record<string, unknown>)["retentionTimeValue"], "30");
    assert.doesNotMatch(JSON.stringify(changed.table), /starTreeIndexConfigs/);
    assert.deepEqual([changed.table["tableName"], changed.schema["schemaName"]], ["mine", "mine"]);
    assert.match(JSON.stringify(changed.schema), /"fee"/);
  });

  it("a file that is no JSON is named, and nothing of it is shown", () => {
    assert.throws(() => pinotTableOf(parseCommandLine(["pinot", "create", "--table-config", "x.json"]), none, () => "password=secret"), (error: Error) => /x\.json holds no JSON object/.test(error.message) && !/secret/.test(error.message));
  });

  it("addresses come from the command line, then from the environment; user and password from the environment", () => {
    const variable = (name: string): string | undefined => ({ PINOT_CONTROLLER_URL: "http://c:1", PINOT_BROKER_URL: "http://b:2", PINOT_USERNAME: "u", PINOT_PASSWORD: "pppp" })[name];
    const asked = parseCommandLine(["pinot", "query", "SELECT 1", "--broker", "http://other:3"]);
    const { controllerUrl, brokerUrl, authorization } = pinotOf(asked, variable);
    assert.deepEqual([controllerUrl, brokerUrl, authorization?.slice(0, 6)], ["http://c:1", "http://other:3", "Basic "]);
  });

  it("parameters are numbers, true, false and null where they read as such, texts otherwise", () => {
    assert.deepEqual(pinotParams(["a=1", "b=-2.5", "c=true", "d=null", "e=AAPL", "f=007", "g=9007199254740993", "h=", "i=x=y"]), { a: 1, b: -2.5, c: true, d: null, e: "AAPL", f: "007", g: "9007199254740993", h: "", i: "x=y" });
    assert.throws(() => pinotParams(["AAPL"]), /--param takes name=value, not "AAPL"/);
  });
});

describe("ticklake reconcile", () => {
  it("prints the places, the verdict and what differs", () => {
    const place = (name: string, trades: number) => ({ name, trades, size: "1234567", unreadable: 0 });
    const base = { from: "2013-10-07T00:00:00.000Z", to: "2013-10-08T00:00:00.000Z", ms: 1, compared: 16 };
    const equal = reconciliationText({ ...base, equal: true, different: 0, differences: [], places: [place("Kafka a", 388_417), place("Iceberg b", 388_417)], summary: "388,417 trades equal in 2 places" });
    assert.match(equal, /Kafka a +388,417 +1,234,567\nIceberg b +388,417 +1,234,567\n\nEQUAL: 388,417 trades equal in 2 places$/);
    const other = reconciliationText({ ...base, equal: false, different: 2, places: [place("a", 2), place("b", 1)], summary: "2 of 16 symbol-hours differ",
      differences: [{ symbol: "AAPL", hour: "", figures: ["trades"], trades: {}, text: "AAPL, 2013-10-07T13h: b has 1 fewer than a (1 against 2)" }] });
    assert.match(other, /DIFFERENT: 2 of 16.*\n {2}AAPL, 2013-10-07T13h: b has 1 fewer than a \(1 against 2\)\n {2}\.\.\. and 1 more/);
  });

  it("checks what may be given more than once", () => {
    assert.throws(() => parseCommandLine(["reconcile", "--without", "pinto"]), /is none of source, dest, iceberg, pinot.*Did you mean pinot/);
    assert.deepEqual(parseCommandLine(["reconcile", "--without", "pinot", "--without", "source"]).lists.get("without"), ["pinot", "source"]);
  });
});
