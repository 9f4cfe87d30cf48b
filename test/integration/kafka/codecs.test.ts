import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { SyntheticTrades } from "../../../lib/trades/synthetic";
import { consoleProducer, createTopic, sharedKafka, uniqueTopic } from "../../support/kafka";
import { KafkaFlow, Watch, Workplace } from "../../support/kafka-flow";

const CODECS = ["none", "gzip", "snappy", "lz4", "zstd"] as const;

/** Lines as a producer of trades would write them, and ones that codecs find hard: nothing to compress, nothing but one letter, larger than any block. */
function lines(seed: string): string[] {
  const trades = new SyntheticTrades({ symbols: ["AAPL", "MSFT"], seed, priceModel: "gbm" }).fill([], 2000, { at: Date.UTC(2024, 0, 2, 15), span: 60_000 });
  return [
    ...trades.map((trade) => JSON.stringify(trade)),
    randomBytes(200_000).toString("hex"), "a".repeat(300_000), "Ünïcödé ✓ 😀 ".repeat(500), "x",
    JSON.stringify(trades.slice(0, 1000)),
  ];
}

const digest = (values: readonly string[]): string => { const hash = createHash("sha256"); for (const value of values) hash.update(`${value}\n`); return hash.digest("hex"); };

describe("topics that Kafka's own console producer compressed", function () {
  this.timeout(120_000);
  const place = new Workplace();
  after(() => place.remove());

  it("are read byte for byte in every codec, several codecs in one partition included", async () => {
    const { brokers } = await sharedKafka();
    const topics = new Map<string, string>();
    for (const codec of [...CODECS, "mixed"]) topics.set(codec, await createTopic(brokers, uniqueTopic(`h-codec-${codec}`)));
    const sent = new Map<string, string[]>();
    const properties = { "batch.size": "600000", "linger.ms": "300", "max.request.size": "2000000" };
    for (const codec of CODECS) {
      sent.set(codec, lines(codec));
      await consoleProducer(brokers, topics.get(codec)!, sent.get(codec)!, { compression: codec, properties });
    }
    const mixed = CODECS.map((codec) => Array.from({ length: 500 }, (_, k) => `${codec} ${k}`));
    for (const [k, codec] of CODECS.entries()) await consoleProducer(brokers, topics.get("mixed")!, mixed[k]!, { compression: codec, properties });
    sent.set("mixed", mixed.flat());

    const flow = new KafkaFlow()
      .kafkaIn("in", ["digest", "dead"], { topics: [...topics.values()].join(","), groupId: uniqueTopic("h-codecs"), format: "string" })
      .fn("digest", `
        const seen = context.get("seen") || {};
        const of = seen[msg.topic] = seen[msg.topic] || { hash: crypto.createHash("sha256"), records: 0, next: 0 };
        for (const record of msg.payload) {
          of.hash.update(record.value + "\\n");
          of.records++;
          if (record.offset !== of.next++) node.error("offset " + record.offset + " instead of " + (of.next - 1));
        }
        context.set("seen", seen);
        console.log("@@" + JSON.stringify({ ev: "read", topic: msg.topic, records: msg.payload.length, hash: of.hash.copy().digest("hex") }));`, "", ["crypto"])
      .tell("dead", "dead", "payload: msg.payload");
    const red = await place.start(flow, brokers);
    const watch = new Watch(red);
    const total = [...sent.values()].reduce((sum, values) => sum + values.length, 0);
    await watch.reach("read", "records", total);
    for (const [codec, topic] of topics) {
      const read = watch.events("read").filter((event) => event["topic"] === topic);
      assert.equal(read.reduce((sum, event) => sum + Number(event["records"]), 0), sent.get(codec)!.length, `${codec}: count`);
      assert.equal(read.at(-1)!["hash"], digest(sent.get(codec)!), `${codec}: every byte, in order`);
    }
    assert.deepEqual(watch.events("dead"), []);
    assert.deepEqual(watch.errors(), []);
    assert.equal(await red.stop(), 0);
  });
});
