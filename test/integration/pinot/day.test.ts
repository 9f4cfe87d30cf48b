import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { days } from "../../support/days";
import { createTopic, deleteTopics, sharedKafka, uniqueTopic } from "../../support/kafka";
import { KafkaFlow, Watch, Workplace } from "../../support/kafka-flow";
import { clusterFor, sharedPinot, uniqueTable } from "../../support/pinot";

/** Symbol, trades, shares, least and greatest price. */
type Row = [string, number, number, number, number];

/** Days: the trades are old, and a controller drops what is older than the table keeps as soon as it looks, some minutes after its start. */
const RETENTION = "36500";

/** What a file of trades adds up to, counted without any of our code. */
function totals(file: string): Row[] {
  const [header, ...lines] = gunzipSync(readFileSync(file)).toString().trimEnd().split("\n");
  const [symbol, price, size] = ["symbol", "price", "size"].map((name) => header!.split(",").indexOf(name)) as [number, number, number];
  const groups = new Map<string, Row>();
  for (const line of lines) {
    const fields = line.split(",", 5);
    const [p, s] = [Number(fields[price]), Number(fields[size])];
    const row = groups.get(fields[symbol]!) ?? [fields[symbol]!, 0, 0, Infinity, -Infinity];
    groups.set(fields[symbol]!, [row[0], row[1] + 1, row[2] + s, Math.min(row[3], p), Math.max(row[4], p)]);
  }
  return [...groups.values()].sort(([a], [b]) => (a < b ? -1 : 1));
}

describe("a day of trades into Pinot", function () {
  const place = new Workplace();
  const folder = mkdtempSync(join(tmpdir(), "ticklake-pinot-day-"));
  after(async () => { await place.remove(); rmSync(folder, { recursive: true, force: true }); });

  it("through csv-replay, Kafka, explode-trades and Kafka: count, shares, least and greatest price of each symbol are those of the file", async function () {
    this.timeout(480_000);
    const [{ brokers }, pinot] = await Promise.all([sharedKafka(), sharedPinot()]);
    const file = days(folder).files[0]!;
    const expected = totals(file);
    const iex = await createTopic(brokers, uniqueTopic("iex_data"), { partitions: 3 });
    const flat = await createTopic(brokers, uniqueTopic("flattened_stocks"), { partitions: 3 });
    const table = uniqueTable("day");

    const flow = new KafkaFlow();
    flow.nodes.push({ id: "pinot", type: "pinot-cluster", name: "", controllerUrl: pinot.controllerUrl, brokerUrl: pinot.brokerUrl });
    flow.add("day", "csv-replay", ["out", "rejects"], { file, pace: "max", batchSize: 100, autoStart: true })
      .kafkaOut("out", "", { topic: iex, send: "batch", batchSize: 100 })
      .kafkaIn("in", ["explode", "rejects"], { topics: iex, groupId: `${iex}-flat` })
      .explode("explode", ["flat", "rejects"])
      .kafkaOut("flat", "", { topic: flat, send: "each", key: "S", transactional: true, transactionalIdPrefix: flat })
      .tell("rejects", "reject", "payload: msg.payload")
      .add("go", "inject", "table", { props: [], repeat: "", crontab: "", once: true, onceDelay: 0.1, topic: "" })
      .add("table", "pinot-table", "made", { cluster: "pinot", operation: "create", table, topic: flat, kafkaBrokers: brokers, retentionDays: RETENTION })
      .tell("made", "made", "created: msg.payload.created, queryable: msg.payload.queryable")
      .add("again", "inject", "status-of", { props: [], repeat: "2", crontab: "", once: false, topic: "" })
      .add("status-of", "pinot-table", "known", { cluster: "pinot", operation: "status", table })
      .tell("known", "known", "lag: msg.payload.lag, state: msg.payload.state, segments: msg.payload.segments");
    const red = await place.start(flow, brokers);
    const watch = new Watch(red);
    const made = await red.until("the table", () => watch.events("made")[0] ?? watch.errors("table")[0], 60_000);
    assert.deepEqual(made, { ev: "made", created: true, queryable: true });

    const cluster = clusterFor(pinot);
    const ask = async (): Promise<Row[]> => {
      const { body } = await cluster.http.send("broker", { method: "POST", path: "/query/sql", body: { sql: `SELECT S, COUNT(*), SUM(s), MIN(p), MAX(p) FROM ${table} GROUP BY S ORDER BY S LIMIT 1000` } });
      return (body as { resultTable?: { rows: Row[] } }).resultTable?.rows ?? [];
    };
    const wanted = expected.reduce((sum, row) => sum + row[1], 0);
    let is: Row[] = [];
    for (const end = Date.now() + 300_000; Date.now() < end && is.reduce((sum, row) => sum + row[1], 0) < wanted;) {
      is = await ask();
      await new Promise((done) => { setTimeout(done, 250); });
    }
    assert.deepEqual(is, expected, red.logs().slice(-3000));
    // The node says so, too: nothing waits in the topic.
    const before = watch.events("known").length;
    const known = await red.until("a status without lag", () => watch.events("known").slice(before).find((event) => (event["lag"] as { records?: number }).records === 0 && event["state"] === "consuming"), 60_000);
    assert.ok((known["segments"] as { sealed: number }).sealed >= 3, JSON.stringify(known));
    assert.deepEqual([...watch.events("reject"), ...watch.errors("in"), ...watch.errors("table")], []);
    assert.equal(await red.stop(), 0);
    await cluster.http.send("controller", { method: "DELETE", path: `/tables/${table}` });
    await cluster.http.send("controller", { method: "DELETE", path: `/schemas/${table}` });
    await deleteTopics(brokers, iex, flat);
  });
});
