import assert from "node:assert/strict";
import { kafkaOptions } from "../../../lib/kafka/broker-settings";
import { parseKafkaSinkOptions, checkedTopic } from "../../../lib/kafka/sink/options";
import { definition, nodeHtml } from "../../support/flows";

const defaultsOf = (type: string) => Object.fromEntries(Object.entries(definition(type).defaults).map(([name, { value }]) => [name, value]));
const reason = (type: string, property: string, value: unknown) => definition(type).defaults[property]!.validate?.call({}, value, {});

describe("dialogs of kafka-out and kafka-broker", () => {
  it("have the defaults of the contract", () => {
    assert.deepEqual(defaultsOf("kafka-out"), {
      name: "", broker: "", topic: "", topicType: "str", send: "each", batchSize: "0", key: "", createTopic: true, partitions: "3", replicationFactor: "1", compression: "none",
      idempotent: true, transactional: false, transactionalIdPrefix: "",
    });
    assert.deepEqual(defaultsOf("kafka-broker"), { name: "", brokers: "localhost:9092", clientId: "ticklake", tls: "", saslMechanism: "none", oauthTokenEndpoint: "", oauthScope: "" });
    assert.deepEqual(parseKafkaSinkOptions(defaultsOf("kafka-out"), "n", ["none"]), parseKafkaSinkOptions({}, "n", ["none"]));
  });

  it("accept what the node accepts and say why not otherwise", () => {
    const out = (property: string, value: string) => () => parseKafkaSinkOptions({ [property]: value }, "n", ["none"]);
    const cases: [string, string, string, boolean, () => unknown][] = [
      ...["iex_data", "a.b-c_D", "x".repeat(249)].map((v): [string, string, string, boolean, () => unknown] => ["kafka-out", "topic", v, true, () => checkedTopic(v)]),
      ...["a b", "..", ".", "a/b", "x".repeat(250), "ä"].map((v): [string, string, string, boolean, () => unknown] => ["kafka-out", "topic", v, false, () => checkedTopic(v)]),
      ...["1", "100000", "-1"].map((v): [string, string, string, boolean, () => unknown] => ["kafka-out", "partitions", v, true, out("partitions", v)]),
      ...["-2", "1.5", "many", "100001"].map((v): [string, string, string, boolean, () => unknown] => ["kafka-out", "partitions", v, false, out("partitions", v)]),
      ...["-3", "x"].map((v): [string, string, string, boolean, () => unknown] => ["kafka-out", "replicationFactor", v, false, out("replicationFactor", v)]),
      ...["0", "100"].map((v): [string, string, string, boolean, () => unknown] => ["kafka-out", "batchSize", v, true, out("batchSize", v)]),
      ...["-1", "half"].map((v): [string, string, string, boolean, () => unknown] => ["kafka-out", "batchSize", v, false, out("batchSize", v)]),
      ...["localhost", "a:1, b:2,c", "SASL_SSL://a:9093,b", "[::1]:9092", "k-1.example.com:19092\nk-2.example.com:19092"].map((v): [string, string, string, boolean, () => unknown] => ["kafka-broker", "brokers", v, true, () => kafkaOptions({ brokers: v }, {}, undefined, { variable: () => undefined })]),
      ...["a:b", "a:1:2", "user@host"].map((v): [string, string, string, boolean, () => unknown] => ["kafka-broker", "brokers", v, false, () => kafkaOptions({ brokers: v }, {}, undefined, { variable: () => undefined })]),
    ];
    for (const [type, property, value, good, take] of cases) {
      const answer = reason(type, property, value);
      if (good) { assert.equal(answer, true, `${property} ${value}`); take(); } else {
        assert.equal(typeof answer, "string", `${property} ${value} gives a reason`);
        assert.throws(take, `${property} ${value}`);
      }
    }
    assert.equal(reason("kafka-out", "topic", "${TOPIC}"), true);
    assert.equal(reason("kafka-broker", "brokers", "${KAFKA_BROKERS}"), true);
    assert.equal(typeof reason("kafka-out", "broker", ""), "string");
    assert.equal(typeof reason("kafka-broker", "oauthTokenEndpoint", "http://idp.example.com/token"), "string");
    assert.equal(reason("kafka-broker", "oauthTokenEndpoint", "https://idp.example.com/token"), true);
  });

  it("label every field", () => {
    for (const type of ["kafka-out", "kafka-broker"]) {
      const html = nodeHtml(type);
      const fields = [...html.matchAll(/<(?:input|select)[^>]*>/g)].map(([tag]) => tag).filter((tag) => !tag.includes('type="hidden"'));
      for (const field of fields) assert.ok(html.includes(`for="${/id="([^"]+)"/.exec(field)![1]!}"`), field);
    }
  });
});
