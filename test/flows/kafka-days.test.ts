import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { days } from "../support/days";
import { createTopic, deleteTopics, endOffsets, readCommitted, sharedKafka, uniqueTopic, untilCommitted } from "../support/kafka";
import { KafkaFlow, Watch, Workplace } from "../support/kafka-flow";
import { runPython } from "../support/python";
import { root } from "../support/start";
import { TradeDigest } from "../support/trade-digest";

describe("whole days through Kafka", () => {
  const place = new Workplace();
  const folder = mkdtempSync(join(tmpdir(), "ticklake-kafka-days-"));
  after(async () => { await place.remove(); rmSync(folder, { recursive: true, force: true }); });

  it("arrive in the table and in flattened_stocks trade for trade, with the process killed three times in between", async function () {
    this.timeout(420_000);
    const began = Date.now();
    const step = (text: string): void => { if (process.env["TICKLAKE_VERBOSE"]) console.log(`      ${((Date.now() - began) / 1000).toFixed(1)} s: ${text}`); };
    const { brokers } = await sharedKafka();
    const { files, trades } = days(folder);
    // An array of 100 trades is one message; the last of a day is shorter. A line more in a file is its header.
    const arrays = files.reduce((sum, file) => sum + Math.ceil((gunzipSync(readFileSync(file)).toString().trimEnd().split("\n").length - 1) / 100), 0);
    const iex = await createTopic(brokers, uniqueTopic("iex_data"), { partitions: 3 });
    const flat = uniqueTopic("flattened_stocks");
    const groups = [`${iex}-lake`, `${iex}-flat`];

    // The producer of the documented pipeline, in a process of its own.
    const replay = new KafkaFlow();
    for (const [k, file] of files.entries()) replay.add(`day${k}`, "csv-replay", ["out", "rejects"], { file, pace: "max", batchSize: 100, autoStart: true });
    replay.kafkaOut("out", "sent", { topic: iex, send: "batch", batchSize: 100 })
      .tell("sent", "sent", "count: msg.payload.count").tell("rejects", "reject", "reason: msg.payload.reason");
    // The two branches of the documented job, each with its own group.
    const pipeline = new KafkaFlow()
      .kafkaIn("lake-in", ["lake-explode", "rejects"], { topics: iex, groupId: groups[0] })
      .explode("lake-explode", ["lake", "rejects"]).icebergOut("lake", ["committed", "rejects"], { commitInterval: "2" })
      .kafkaIn("flat-in", ["flat-explode", "rejects"], { topics: iex, groupId: groups[1] })
      .explode("flat-explode", ["flat", "rejects"])
      .kafkaOut("flat", "", { topic: flat, send: "each", key: "S", transactional: true, transactionalIdPrefix: flat })
      .tell("committed", "committed", "rows: msg.payload.rows").tell("rejects", "reject", "payload: msg.payload");
    const start = (): ReturnType<Workplace["start"]> => place.start(pipeline, brokers, {
      name: "pipeline", env: { NODE_OPTIONS: `--require ${join(__dirname, "../support/fault-preload.cjs")}`, TICKLAKE_TEST_SESSION_MS: "6000" },
    });

    const producer = await place.start(replay, brokers, { name: "replay" });
    const loaded = new Watch(producer).reach("sent", "count", arrays, 240_000);
    loaded.catch(() => undefined);
    let red = await start();
    for (let kill = 0; kill < 3; kill++) {
      const before = new Watch(red).sum("committed", "rows");
      assert.equal(before, 0);
      await new Watch(red).reach("committed", "rows", trades / 8, 120_000);
      await red.stop("SIGKILL");
      step("killed");
      red = await start();
    }
    await loaded;
    step("all arrays are in the topic");
    assert.equal((await endOffsets(brokers, iex)).reduce((sum, end) => sum + end, 0), arrays);
    await untilCommitted(brokers, iex, groups, 240_000, () => red.logs().slice(-5000));
    step("both groups are at the end");
    assert.deepEqual([...new Watch(producer).events("reject"), ...new Watch(red).events("reject"), ...new Watch(red).errors()], []);
    assert.equal(await producer.stop(), 0);
    assert.equal(await red.stop(), 0);

    const metadata = join(place.warehouse, "db", "flattened_stocks", "metadata");
    const latest = readdirSync(metadata).filter((f) => /^v\d+\.metadata\.json$/.test(f)).sort((a, b) => parseInt(a.slice(1)) - parseInt(b.slice(1))).at(-1)!;
    const report = JSON.parse(await runPython(join(root, "test/support/py/compare_days.py"), [join(metadata, latest), ...files])) as { rows: number; csvRows: number; groups: number; different: unknown[] };
    assert.deepEqual({ rows: report.rows, csvRows: report.csvRows, different: report.different, groups: report.groups }, { rows: trades, csvRows: trades, different: [], groups: 16 });

    step("the table is compared");
    const digest = new TradeDigest();
    let keyless = 0;
    await readCommitted(brokers, flat, ({ key, value }) => { digest.add(value); if (!value.includes(`"S":"${key}"`)) keyless++; });
    step("flattened_stocks is read");
    assert.equal(keyless, 0, "the key of each message is its symbol");
    assert.equal(digest.trades, trades);
    assert.deepEqual(digest.groups, JSON.parse(await runPython("digest_days.py", files)));
    await deleteTopics(brokers, iex, flat);
  });
});
