import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand, startCommand } from "../support/command";
import { createTopic, deleteTopics, endOffsets, readCommitted, startKafka, uniqueTopic, type RunningKafka } from "../support/kafka";
import { temporaryFolder, until } from "../support/start";

const ROWS = 20_000;
const START = Date.UTC(2024, 0, 2, 14, 30);

/** A recorded file goes into a real topic once, whatever is killed. */
describe("ticklake replay --resume, on a real broker", function () {
  this.timeout(180_000);
  let kafka: RunningKafka, file: string;
  before(async () => {
    kafka = await startKafka();
    file = join(temporaryFolder("replay-kill"), "trades.csv");
    const rows = Array.from({ length: ROWS }, (_, i) => `${["SPY", "IBM", "BAC"][i % 3]},${new Date(START + i).toISOString()},V,${100 + (i % 100) / 100},${1 + (i % 500)},${i + 1},[],C`);
    writeFileSync(file, ["symbol,timestamp,exchange,price,size,id,conditions,tape", ...rows, ""].join("\n"));
  });
  after(() => kafka?.stop());

  const replay = (topic: string, ...more: string[]): string[] => ["replay", file, "--kafka-brokers", kafka.brokers, "--topic", topic, "--resume", "--quiet", ...more];
  const end = (topic: string): Promise<number> => endOffsets(kafka.brokers, topic).then((ends) => ends.reduce((a, b) => a + b, 0), () => 0);
  /** Ids in the topic, as Kafka's own consumer reads it. */
  async function idsIn(topic: string): Promise<number[]> {
    // It stops where nothing comes for a while, which a busy machine may do to it.
    const found = await until("Kafka's own consumer to read all", async () => {
      const ids: number[] = [];
      await readCommitted(kafka.brokers, topic, ({ value }) => { for (const { i } of JSON.parse(value) as { i: number }[]) ids.push(i); });
      return ids;
    }, ({ length }) => length >= ROWS, 90_000);
    return found.sort((a, b) => a - b);
  }
  const all = Array.from({ length: ROWS }, (_, i) => i + 1);

  it("killed again and again with trades under way, it goes on, and every trade is in the topic once", async () => {
    const topic = await createTopic(kafka.brokers, uniqueTopic("killed"), { partitions: 3 });
    let kills = 0, before = 0;
    for (; kills < 4; kills++) {
      const command = startCommand(replay(topic, "--pace", "rate", "--rate", "3000", "--batch-size", String(5 + 13 * kills)));
      // Somewhere in what it writes: after a part of a transaction, before its commit, after it.
      const wanted = before + 5 + Math.floor(Math.random() * 60);
      await until("trades to be under way", () => end(topic), (now) => now >= wanted, 60_000).catch((error: Error) => { throw new Error(`${error.message}\n${command.stderr()}`); });
      command.signal("SIGKILL");
      const { code, stderr } = await command.ended;
      assert.equal(code, null, stderr);
      before = await end(topic);
    }
    const { code, stderr } = await runCommand(replay(topic, "--pace", "max"));
    assert.equal(code, 0, stderr);
    const there = Number(/In the topic already +([\d,]+) rows/.exec(stderr)?.[1]?.replaceAll(",", "") ?? 0), sent = Number(/Trades sent +([\d,]+)/.exec(stderr)?.[1]?.replaceAll(",", "") ?? 0);
    assert.ok(there > 0 && sent > 0 && there + sent === ROWS, `the last one went on: ${there} there, ${sent} sent\n${stderr}`);
    assert.deepEqual(await idsIn(topic), all);
  });

  it("a file that is in the topic is not written again; a topic made anew gets it anew", async () => {
    const topic = await createTopic(kafka.brokers, uniqueTopic("again"));
    for (const said of [/Trades acknowledged +20,000/, /In the topic already +20,000 rows/]) {
      const { code, stderr } = await runCommand(replay(topic, "--pace", "max"));
      assert.equal(code, 0, stderr);
      assert.match(stderr, said);
    }
    assert.deepEqual(await idsIn(topic), all);
    await deleteTopics(kafka.brokers, topic);
    await createTopic(kafka.brokers, topic);
    const { stderr } = await runCommand(replay(topic, "--pace", "max"));
    assert.match(stderr, /Trades acknowledged +20,000/);
    assert.deepEqual(await idsIn(topic), all);
  });

  it("two processes at once shut each other out by turns, and still every trade is there once", async () => {
    const topic = await createTopic(kafka.brokers, uniqueTopic("two"), { partitions: 2 });
    const both = await Promise.all([0, 1].map(() => runCommand(replay(topic, "--pace", "rate", "--rate", "5000"))));
    for (const { code, stderr } of both) assert.equal(code, 0, stderr);
    assert.deepEqual(await idsIn(topic), all);
  });

  it("a file that cannot be read ends the command with code 1", async () => {
    const { code, stderr } = await runCommand(["replay", "nowhere.csv", "--kafka-brokers", kafka.brokers]);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /There is no file .*nowhere\.csv/);
  });
});
