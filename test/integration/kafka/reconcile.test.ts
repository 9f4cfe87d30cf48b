import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openKafka } from "../../../lib/kafka/client";
import type { KafkaClient } from "../../../lib/kafka/types";
import type { Reconciliation } from "../../../lib/reconcile/run";
import { consumeAll, createTopic, deleteTopics, produce, sharedKafka, uniqueTopic } from "../../support/kafka";
import { KafkaFlow, Watch, Workplace } from "../../support/kafka-flow";

const HOUR = Date.UTC(2013, 9, 7, 14);
/** Raw trades as sources write them: three symbols, two hours, one id beyond 2^53, one time as Alpaca's text. */
const trade = (n: number): string => `{"T":"t","S":"${["AAPL", "MSFT", "BRK.A"][n % 3]}","i":${n === 7 ? "9007199254740993" : n},"x":"V","p":${100 + n / 100},"s":${n % 5 + 1},"t":${n === 11 ? `"${new Date(HOUR + n * 60_000).toISOString()}"` : HOUR + n * 60_000},"c":["@"],"z":"C"}`;
const COUNT = 100;

describe("reconciliation on real Kafka and Iceberg", function () {
  this.timeout(90_000);
  let brokers = "", folder = "";
  const topics = { source: uniqueTopic("rec-raw"), dest: uniqueTopic("rec-flat") };
  before(async () => {
    ({ brokers } = await sharedKafka());
    folder = await mkdtemp(join(tmpdir(), "ticklake-reconcile-"));
    for (const topic of Object.values(topics)) await createTopic(brokers, topic, { partitions: 2 });
  });
  after(async () => {
    await deleteTopics(brokers, ...Object.values(topics));
    await rm(folder, { recursive: true, force: true });
  });

  it("a topic is read once, whole, up to its end, and no group is left behind", async () => {
    const topic = uniqueTopic("once");
    const client: KafkaClient = openKafka({ brokers: brokers.split(","), clientId: "test" });
    try {
      await createTopic(brokers, topic, { partitions: 3 });
      assert.deepEqual((await client.readOnce(topic, () => assert.fail("nothing is there"))).map(({ count }) => count), [0, 0, 0]);
      for (let n = 0; n < 30; n++) await produce(brokers, topic, [{ value: `v${n}`, partition: n % 3 }]);
      const seen: string[] = [];
      const reads = await client.readOnce(topic, (set) => {
        for (let k = 0; k < set.count; k++) seen.push(set.value(k)!.toString());
      });
      assert.deepEqual([...seen].sort(), (await consumeAll(brokers, topic)).map(({ value }) => value!).sort());
      assert.deepEqual(reads.map(({ partition, earliest, end, count }) => [partition, earliest, end, count]), [[0, 0n, 10n, 10], [1, 0n, 10n, 10], [2, 0n, 10n, 10]]);
      await assert.rejects(client.readOnce(`${topic}-not`, () => undefined), { code: "KAFKA_TOPIC_UNKNOWN" });
      await assert.rejects(client.readOnce(topic, () => undefined, AbortSignal.abort()), { code: "STOPPED" });
    } finally {
      await client.close();
      await deleteTopics(brokers, topic);
    }
  });

  it("says in a running flow that nothing is lost; then that one trade is doubled, and where", async () => {
    const place = new Workplace();
    try {
      const flow = new KafkaFlow()
        .kafkaIn("in", "explode", { topics: topics.source, groupId: "rec" })
        .explode("explode", ["out lake", ""])
        .kafkaOut("out", "", { topic: topics.dest, partitions: 2 })
        .icebergOut("lake", "committed", { commitInterval: "1" })
        .tell("committed", "committed", "rows: msg.payload.rows")
        .add("tick", "inject", "rec", { props: [{ p: "payload" }], repeat: "1.5", once: true, onceDelay: "1", payload: "", payloadType: "date" })
        .add("rec", "pipeline-reconcile", "result", { broker: "broker", sourceTopic: topics.source, destTopic: topics.dest, catalog: "catalog", table: "db.flattened_stocks", from: "2013-10-07", fromType: "str", to: "2013-10-08", toType: "str", maxDifferences: "100" })
        .tell("result", "result", "payload: msg.payload");
      const red = await place.start(flow, brokers);
      const results = (): Reconciliation[] => red.events.filter(({ ev }) => ev === "result").map((event) => event["payload"] as Reconciliation);

      for (let from = 0; from < COUNT; from += 20) await produce(brokers, topics.source, [{ value: `[${Array.from({ length: 20 }, (_, k) => trade(from + k)).join(",")}]`, partition: (from / 20) % 2 }]);
      await produce(brokers, topics.source, [{ value: "no trade at all", partition: 0 }]);
      const equal = await red.until("all places to be equal", () => results().find(({ equal, places }) => equal && places[0]!.trades === COUNT), 40_000);
      assert.equal(equal.summary, `${COUNT} trades equal in 3 places`);
      assert.deepEqual(equal.places.map(({ name, trades, unreadable }) => [name, trades, unreadable]), [[`Kafka ${topics.source}`, COUNT, 1], [`Kafka ${topics.dest}`, COUNT, 0], ["Iceberg db.flattened_stocks", COUNT, 0]]);
      assert.equal(equal.places[0]!.size, String(Array.from({ length: COUNT }, (_, n) => n % 5 + 1).reduce((a, b) => a + b)));

      // Somebody writes a trade once more, past the pipeline.
      const [doubled] = await consumeAll(brokers, topics.dest);
      await produce(brokers, topics.dest, [{ value: doubled!.value!, partition: 0 }]);
      const before = results().length;
      const { differences: [difference], different } = await red.until("the difference", () => results().slice(before).find((result) => !result.equal), 20_000);
      const { S, timestamp } = JSON.parse(doubled!.value!) as { S: string; timestamp: number };
      assert.deepEqual([different, difference!.symbol, difference!.hour], [1, S, new Date(Math.floor(timestamp / 3_600_000) * 3_600_000).toISOString()]);
      assert.match(difference!.text, /rec-flat\S* has 1 more than Kafka \S*rec-raw/);
      await new Watch(red).status("rec", /differ/);
    } finally {
      await place.remove();
    }
  });
});
