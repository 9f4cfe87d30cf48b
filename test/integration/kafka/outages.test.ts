import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  committedOffsets, consumeAll, createTopic, deleteRecords, deleteTopics, describeGroup, endOffsets, produce, startKafka, uniqueTopic, untilCommitted, valuesOf, type RunningKafka,
} from "../../support/kafka";
import { KafkaFlow, Watch, Workplace } from "../../support/kafka-flow";
import { TradeWriter, tradesOf } from "../../support/kafka-trades";
import type { RunningNodeRed } from "../../support/node-red";
import { API, startProxy, type Proxy } from "../../support/proxy";

/** Trades in topic -> table and topic -> topic, as the documented job has them: two branches, two groups. */
const twoBranches = (topic: string, flat: string, out: Record<string, unknown> = {}): KafkaFlow => new KafkaFlow()
  .kafkaIn("lake-in", ["lake-explode", "dead"], { topics: topic, groupId: `${topic}-lake` })
  .explode("lake-explode", ["lake", "rejects"])
  .icebergOut("lake", ["committed", "rejects"], { commitInterval: "500ms" })
  .kafkaIn("flat-in", ["flat-explode", "dead"], { topics: topic, groupId: `${topic}-flat` })
  .explode("flat-explode", ["flat", "rejects"])
  .kafkaOut("flat", "sent", { topic: flat, send: "each", key: "S", ...out })
  .tell("committed", "committed", "rows: msg.payload.rows")
  .tell("sent", "sent", "count: msg.payload.count, topic: msg.payload.topic")
  .tell("dead", "dead", "reason: msg.reason, offset: msg.kafka && msg.kafka.firstOffset")
  .tell("rejects", "reject", "reason: msg.payload.reason");

const idsOf = (values: readonly (string | null)[]): number[] => values.map((value) => (JSON.parse(value!) as { i: number }).i).sort((a, b) => a - b);
const range = (end: number): number[] => Array.from({ length: end }, (_, k) => k);

describe("Kafka in trouble", function () {
  this.timeout(120_000);
  let kafka: RunningKafka;
  let proxy: Proxy;
  let place: Workplace;
  const brokers = (): string => kafka.brokers;
  before(async () => {
    proxy = await startProxy();
    kafka = await startKafka({ proxyPort: proxy.port });
    proxy.target(kafka.addresses.proxied);
  });
  after(async () => { await kafka?.stop(); await proxy?.stop(); });
  beforeEach(() => { place = new Workplace(); proxy.mode("pass"); proxy.judge = () => "pass"; });
  afterEach(() => place.remove());

  /** Writes arrays of trades; ids 0 to trades - 1. */
  async function write(topic: string, trades: number, partitions = 1): Promise<TradeWriter> {
    const writer = new TradeWriter(brokers(), topic, partitions, topic);
    while (writer.trades < trades) await writer.write(Math.min(50, trades - writer.trades));
    await writer.close();
    return writer;
  }

  async function assertBothBranches(red: RunningNodeRed, flat: string, trades: number, exactly = true): Promise<void> {
    const watch = new Watch(red);
    await watch.reach("committed", "rows", trades);
    await red.until(`${trades} trades to be sent`, () => watch.sum("sent", "count") >= trades, 60_000);
    await place.assertEachOnce(trades);
    const ids = idsOf(await valuesOf(brokers(), flat));
    assert.deepEqual(exactly ? ids : [...new Set(ids)], range(trades));
    assert.deepEqual(watch.events("dead"), [], "an outage is never taken for poison");
    assert.deepEqual(watch.events("reject"), []);
  }

  it("not there at start: says so, keeps trying without noise, and begins by itself when it comes", async () => {
    const [topic, flat] = [await createTopic(brokers(), uniqueTopic("h-late"), { partitions: 3 }), uniqueTopic("h-late-flat")];
    await write(topic, 300, 3);
    await kafka.kill("SIGTERM");
    const red = await place.start(twoBranches(topic, flat), brokers());
    const watch = new Watch(red);
    try {
      assert.match(await watch.status("lake-in", /broker|reach|connect/i), /./);
      await new Promise((done) => { setTimeout(done, 4000); });
      const lines = red.logs().split("\n").filter((line) => /\[(warn|error)\]|KafkaJS/.test(line));
      assert.ok(lines.length <= 12, `quiet while waiting, but:\n${lines.join("\n")}`);
    } finally { await kafka.restart(); }
    await assertBothBranches(red, flat, 300);
    assert.equal(await red.stop(), 0);
  });

  it("killed in the middle and back: nothing lost, nothing doubled, nothing in the dead letters", async () => {
    const [topic, flat] = [await createTopic(brokers(), uniqueTopic("h-kill"), { partitions: 3 }), uniqueTopic("h-kill-flat")];
    const red = await place.start(twoBranches(topic, flat), brokers());
    const watch = new Watch(red);
    const writer = new TradeWriter(brokers(), topic, 3, "kill");
    let enough = false;
    const writing = writer.run(() => enough, () => 5);
    for (let kill = 0; kill < 2; kill++) {
      const before = watch.sum("sent", "count");
      await watch.reach("sent", "count", before + 1000);
      await kafka.kill("SIGKILL");
      await new Promise((done) => { setTimeout(done, 1500); });
      await kafka.restart();
    }
    const before = watch.sum("sent", "count");
    await watch.reach("sent", "count", before + 1000);
    enough = true;
    await writing;
    await writer.close();
    assert.ok(watch.statuses("flat").concat(watch.statuses("flat-in")).some((text) => /broker|reach|again|connect|retry/i.test(text)), "a status told of the outage");
    await assertBothBranches(red, flat, writer.trades);
    assert.equal(await red.stop(), 0);
  });

  it("a leader goes and another takes over: reading and writing go on", async () => {
    const pair = await startKafka({ nodes: 2 });
    try {
      // Led by the second broker, which can be killed; the first is the controller.
      const assignment = range(2).map((partition) => ({ partition, replicas: [2, 1] }));
      const topic = await createTopic(pair.brokers, uniqueTopic("h-leader"), { replicaAssignment: assignment });
      const flat = await createTopic(pair.brokers, uniqueTopic("h-leader-flat"), { replicaAssignment: assignment });
      const red = await place.start(twoBranches(topic, flat), pair.brokers);
      const watch = new Watch(red);
      const writer = new TradeWriter(pair.brokers, topic, 2, "leader");
      while (writer.trades < 500) await writer.write(50);
      await watch.reach("sent", "count", 500);
      await pair.nodes[1]!.stop();
      while (writer.trades < 1000) await writer.write(50);
      await writer.close();
      await watch.reach("sent", "count", 1000);
      await watch.reach("committed", "rows", 1000);
      await place.assertEachOnce(1000);
      assert.deepEqual(idsOf(await valuesOf(pair.nodes[0]!.addresses.plaintext, flat)), range(1000));
      assert.deepEqual(watch.events("dead"), []);
      assert.equal(await red.stop(), 0);
    } finally { await pair.stop(); }
  });

  it("five sends of equal size are queued and the connection is cut after the broker has appended: each is there once, in order", async () => {
    const topic = await createTopic(brokers(), uniqueTopic("h-cut"));
    const flow = new KafkaFlow()
      .add("go", "inject", "five", { props: [], repeat: "", crontab: "", once: true, onceDelay: 0.1 })
      .fn("five", `for (let k = 0; k < 5; k++) node.send({ payload: [{ n: String(msg.from || 0).padStart(3, "0") + k, filler: "x".repeat(100) }] });`, "out")
      .kafkaOut("out", "sent", { topic, send: "each", idempotent: true })
      .tell("sent", "sent", "count: msg.payload.count");
    let cuts = 0;
    // Cut on the first sends and on repetitions, before and after the append.
    const verdicts = ["swallow-answer", "swallow-answer", "cut", "half-answer", "cut-half", "swallow-answer"] as const;
    proxy.judge = ({ apiKey }) => (apiKey === API.produce && cuts < verdicts.length ? verdicts[cuts++]! : "pass");
    const red = await place.start(flow, proxy.address);
    const watch = new Watch(red);
    await watch.reach("sent", "count", 5);
    assert.equal(cuts, verdicts.length, "the connection was cut as planned");
    const values = (await valuesOf(brokers(), topic)).map((value) => (JSON.parse(value!) as { n: string }).n);
    assert.deepEqual(values, range(5).map((k) => `000${k}`));
    assert.deepEqual(watch.errors(), []);
    assert.equal(await red.stop(), 0);
  });

  it("a broker that takes connections and says nothing: status, then everything goes on", async () => {
    const topic = await createTopic(brokers(), uniqueTopic("h-silent"), { partitions: 3 });
    const flat = uniqueTopic("h-silent-flat");
    const red = await place.start(twoBranches(topic, flat), proxy.address);
    const watch = new Watch(red);
    await write(topic, 200, 3);
    await watch.reach("sent", "count", 200);
    proxy.mode("silent");
    const more = new TradeWriter(brokers(), topic, 3, "more");
    await more.catchUp();
    await more.write(60);
    await more.close();
    await red.until("the user to be told", () => /did not answer|does not answer/.test(red.logs()), 60_000);
    proxy.mode("pass");
    await watch.reach("sent", "count", 260);
    assert.deepEqual(watch.events("dead"), []);
    assert.equal(await red.stop(), 0);
  });

  it("a message too large for its topic: Catch tells, its neighbours get through, only it becomes a dead letter", async () => {
    const topic = await createTopic(brokers(), uniqueTopic("h-large"));
    const small = await createTopic(brokers(), uniqueTopic("h-large-out"), { config: { "max.message.bytes": "2000" } });
    await produce(brokers(), topic, range(20).map((n) => JSON.stringify({ n, filler: "x".repeat(n === 7 ? 5000 : 10) })));
    const flow = new KafkaFlow()
      .kafkaIn("in", ["values", "dead"], { topics: topic, groupId: uniqueTopic("h-large"), onFailure: "dead-letter", maxAttempts: 2 })
      .fn("values", "return { ...msg, payload: msg.payload.map((record) => record.value) };", "out")
      .kafkaOut("out", "sent", { topic: small, send: "each" })
      .tell("sent", "sent", "count: msg.payload.count").complete("out")
      .tell("dead", "dead", "payload: msg.payload, reason: msg.reason");
    const red = await place.start(flow, brokers());
    const watch = new Watch(red);
    await red.until("a dead letter", () => watch.events("dead").length > 0, 60_000);
    await red.until("the offset to pass", () => watch.sum("sent", "count") >= 19, 60_000);
    const [dead, ...others] = watch.events("dead");
    assert.deepEqual(others, []);
    assert.equal((dead!["payload"] as { value: { n: number } }).value.n ?? JSON.parse((dead!["payload"] as { value: string }).value).n, 7, "the record itself");
    assert.match(String(dead!["reason"]), /max\.message\.bytes/);
    const written = (await valuesOf(brokers(), small)).map((value) => (JSON.parse(value!) as { n: number }).n);
    assert.deepEqual([...new Set(written)].sort((a, b) => a - b), range(20).filter((n) => n !== 7));
    assert.ok(watch.events("complete").length > 0, "a Complete node hears of what was written");
    assert.ok(watch.errors("out").some((error) => error.code === "KAFKA_RECORD_TOO_LARGE" && /max\.message\.bytes/.test(error.text)), JSON.stringify(watch.errors()));
    assert.equal(await red.stop(), 0);
  });

  it("records that retention took before they were read: goes on at the earliest, and an error names what is lost", async () => {
    const topic = await createTopic(brokers(), uniqueTopic("h-range"));
    const group = uniqueTopic("h-range");
    const flow = new KafkaFlow().kafkaIn("in", ["read", ""], { topics: topic, groupId: group }).tell("read", "read", "records: msg.payload.length, first: msg.payload[0].offset");
    await produce(brokers(), topic, range(10).map(String));
    const first = await place.start(flow, brokers());
    await new Watch(first).reach("read", "records", 10);
    assert.equal(await first.stop(), 0);
    assert.deepEqual(await committedOffsets(brokers(), group, topic), [10], "committed when it stopped");
    await produce(brokers(), topic, range(20).map(String));
    await deleteRecords(brokers(), topic, 0, "25");
    const second = await place.start(flow, brokers());
    const watch = new Watch(second);
    await watch.reach("read", "records", 5);
    assert.equal(watch.events("read")[0]!["first"], 25);
    const told = watch.errors("in").find((error) => error.code === "KAFKA_OFFSETS_LOST");
    assert.ok(told, JSON.stringify(watch.errors()));
    assert.match(told.text, /10/);
    assert.match(told.text, /2[45]/);
    assert.match(told.text, new RegExp(topic));
    assert.equal(await second.stop(), 0);
  });

  it("a topic that is deleted, and made anew: it stops and says how to go on, and after a seek that forgets the table takes the new records", async () => {
    const topic = await createTopic(brokers(), uniqueTopic("h-gone"));
    const flow = new KafkaFlow()
      .kafkaIn("in", ["explode", ""], { topics: topic, groupId: uniqueTopic("h-gone") })
      .explode("explode", ["lake", ""]).icebergOut("lake", ["committed", ""], { commitInterval: "300ms" })
      .add("seek", "inject", "seek-now", { props: [], repeat: "", crontab: "", once: false })
      .fn("seek-now", `return { payload: { command: "seek", topic: ${JSON.stringify(topic)}, partition: 0, offset: "earliest", forget: true } };`, "in")
      .tell("committed", "committed", "rows: msg.payload.rows");
    await write(topic, 100);
    const red = await place.start(flow, brokers());
    const watch = new Watch(red);
    await watch.reach("committed", "rows", 100);
    await deleteTopics(brokers(), topic);
    await watch.status("in", /topic/i, 60_000);
    await createTopic(brokers(), topic);
    // Offset 0 once more, below what the table has: never skipped silently.
    await produce(brokers(), topic, [JSON.stringify(tradesOf("new", 100, 10))]);
    const replaced = await red.until("TOPIC_REPLACED", () => watch.errors().find((error) => error.code === "TOPIC_REPLACED"), 60_000);
    assert.match(replaced.text, new RegExp(topic));
    assert.match(replaced.text, /forget|reset/i, "says how to go on");
    assert.equal(watch.sum("committed", "rows"), 100);
    await red.adminPost("/inject/seek", {});
    await watch.reach("committed", "rows", 110);
    await place.assertEachOnce(110);
    assert.equal(await red.stop(), 0);
  });

  it("poison: each bad record goes its way with a reason, and no neighbour is lost", async () => {
    const topic = await createTopic(brokers(), uniqueTopic("h-poison"), { config: { "max.message.bytes": "30000000" } });
    const trade = (i: number): string => JSON.stringify([tradesOf("poison", i, 1)[0]]);
    const deep = "[".repeat(100_000) + "]".repeat(100_000);
    const bad: Record<string, string | Buffer | null> = {
      "invalid JSON": "{\"T\":\"t\",", "a tombstone": null, "binary": Buffer.from([0, 255, 254, 1, 2, 3, 0x80]), "20 MB": JSON.stringify({ T: "t", blob: "x".repeat(20_000_000) }), "deep nesting": deep,
      "__proto__": "[{\"__proto__\":{\"polluted\":true},\"T\":\"t\"}]", "nothing": "", "no trade": "[1,2,3]", "half a character": Buffer.from([0x22, 0xc3, 0x22]),
    };
    let next = 0;
    const values: (string | Buffer | null)[] = [];
    for (const value of Object.values(bad)) values.push(trade(next++), value);
    values.push(trade(next++));
    const big = values.findIndex((value) => typeof value === "string" && value.length > 1e6);
    await produce(brokers(), topic, values.slice(0, big));
    await produce(brokers(), topic, [values[big]!]);
    await produce(brokers(), topic, values.slice(big + 1));
    const group = uniqueTopic("h-poison");
    const flow = new KafkaFlow()
      .kafkaIn("in", ["explode", "dead"], { topics: topic, groupId: group, onFailure: "dead-letter", maxAttempts: 2 })
      .explode("explode", ["lake", "rejects"]).icebergOut("lake", ["committed", "rejects"], { commitInterval: "300ms" })
      .tell("committed", "committed", "rows: msg.payload.rows, polluted: ({}).polluted === true")
      .tell("dead", "dead", "reason: msg.reason, offset: msg.kafka.offset")
      .tell("rejects", "reject", "reason: String(msg.payload.reason), offset: Number(msg.payload.source.offset)");
    const red = await place.start(flow, brokers());
    const watch = new Watch(red);
    await watch.reach("committed", "rows", next);
    const told = (): number[] => [...new Set([...watch.events("dead"), ...watch.events("reject")].map((event) => Number(event["offset"])))].sort((a, b) => a - b);
    await red.until("every bad record to be told", () => told().length >= Object.keys(bad).length, 60_000);
    assert.deepEqual(told(), Object.keys(bad).map((_, k) => 2 * k + 1), "each bad record by its offset, and no other");
    await place.assertEachOnce(next);
    assert.ok(watch.events("committed").every((event) => event["polluted"] === false), "no prototype was touched");
    assert.ok([...watch.events("dead"), ...watch.events("reject")].every((event) => String(event["reason"]).length > 5 && event["reason"] !== "undefined"), "a reason for each");
    assert.equal(await red.stop(), 0);
    assert.deepEqual(await committedOffsets(brokers(), group, topic), await endOffsets(brokers(), topic), "the offset has passed them all");
  });

  it("a rebalance in the middle of a batch: a second process joins and leaves while batches wait in a delay", async () => {
    const [topic, flat] = [await createTopic(brokers(), uniqueTopic("h-join"), { partitions: 4 }), uniqueTopic("h-join-flat")];
    const flow = new KafkaFlow()
      .kafkaIn("in", ["wait", "dead"], { topics: topic, groupId: `${topic}-group`, maxRecords: 5 })
      .add("wait", "delay", "explode", { pauseType: "delay", timeout: "300", timeoutUnits: "milliseconds", rate: "1", nbRateUnits: "1", rateUnits: "second", drop: false, outputs: 1 })
      .explode("explode", ["lake", "rejects"]).icebergOut("lake", ["committed", "rejects"], { commitInterval: "300ms" })
      .tell("committed", "committed", "rows: msg.payload.rows").tell("dead", "dead", "").tell("rejects", "reject", "");
    const one = await place.start(flow, brokers(), { name: "one" });
    const writer = new TradeWriter(brokers(), topic, 4, "join");
    let enough = false;
    const writing = writer.run(() => enough, () => 10);
    await new Watch(one).reach("committed", "rows", 200);
    const two = await place.start(flow, brokers(), { name: "two" });
    await new Watch(two).reach("committed", "rows", 200);
    assert.equal((await describeGroup(brokers(), `${topic}-group`)).members, 2);
    assert.equal(await two.stop(), 0);
    const sofar = new Watch(one).sum("committed", "rows");
    await new Watch(one).reach("committed", "rows", sofar + 300);
    enough = true;
    await writing;
    await writer.close();
    await untilCommitted(brokers(), topic, [`${topic}-group`], 60_000, () => one.logs().slice(-4000));
    await place.assertEachOnce(writer.trades);
    assert.deepEqual([one, two].flatMap((red) => [...new Watch(red).events("dead"), ...new Watch(red).events("reject"), ...new Watch(red).errors()]), []);
    assert.ok(existsSync(join(place.warehouse, "db", "flattened_stocks")) && flat);
    assert.equal(await one.stop(), 0);
  });

  for (const type of ["full", "nodes", "flows"] as const) {
    it(`a redeploy (${type}) with batches in flight: nothing lost, nothing doubled in the table`, async () => {
      const [topic, flat] = [await createTopic(brokers(), uniqueTopic("h-deploy"), { partitions: 3 }), uniqueTopic("h-deploy-flat")];
      const flow = twoBranches(topic, flat);
      const red = await place.start(flow, brokers());
      const watch = new Watch(red);
      const writer = new TradeWriter(brokers(), topic, 3, `deploy ${type}`);
      let enough = false;
      const writing = writer.run(() => enough, () => 2);
      for (let deploy = 1; deploy <= 3; deploy++) {
        const before = watch.sum("committed", "rows");
        await watch.reach("committed", "rows", before + 500);
        // Source, transform and sinks are replaced in turn, as somebody who edits would.
        const edited = flow.nodes.map((node) => (["lake", "lake-explode", "lake-in"][deploy - 1] === node["id"] || (deploy === 2 && node["id"] === "flat") ? { ...node, name: `edited ${deploy}` } : node));
        await red.deploy(edited, type);
      }
      const before = watch.sum("committed", "rows");
      await watch.reach("committed", "rows", before + 500);
      enough = true;
      await writing;
      await writer.close();
      const { trades } = writer;
      await untilCommitted(brokers(), topic, [`${topic}-lake`, `${topic}-flat`], 60_000, () => red.logs().slice(-4000));
      await place.assertEachOnce(trades);
      assert.deepEqual([...new Set(idsOf((await consumeAll(brokers(), flat)).map((record) => record.value)))], range(trades), "at least once into the topic");
      assert.deepEqual(watch.events("dead"), []);
      assert.equal(await red.stop(), 0);
    });
  }
});
