import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand, startCommand, type Ended } from "../support/command";
import { endOffsets, startKafka, untilCommitted, valuesOf, type RunningKafka } from "../support/kafka";
import { startS3, type RunningS3 } from "../support/s3";
import { temporaryFolder, until } from "../support/start";

interface Trade { T: string; S: string; i: number; p: number; s: number; t?: number; timestamp?: number }
const idsOf = (trades: readonly Trade[]): string[] => trades.map(({ S, i }) => `${S} ${i}`).sort();

/** The documented commands, as users type them, on a real broker and a real S3 store. The files below run in one go: each goes on where the former stopped. */
describe("the ticklake command, on real servers", function () {
  this.timeout(180_000);
  let kafka: RunningKafka, s3: RunningS3;
  let env: Record<string, string>;
  let sent: Trade[] = [];
  before(async () => {
    [kafka, s3] = await Promise.all([startKafka(), startS3()]);
    env = { KAFKA_BROKERS: kafka.brokers, S3_ENDPOINT: s3.endpoint };
  });
  after(() => Promise.all([kafka?.stop(), s3?.stop()]));

  const trades = async (topic: string): Promise<Trade[]> => (await valuesOf(kafka.brokers, topic)).flatMap((value) => JSON.parse(value!) as Trade | Trade[]);
  /** Flattens what is in iex_data until the group has all of it, then Ctrl-C. */
  async function flatten(group: string, ...more: string[]): Promise<Ended> {
    const command = startCommand(["flatten", "--group-id", group, "--starting-offsets", "earliest", "--processing-time", "1 second", ...more], env);
    const over = command.ended.then(({ code, stderr }) => { throw new Error(`flatten ended by itself with code ${code}:\n${stderr}`); });
    await Promise.race([until("flatten to run", () => command.stderr(), (text) => text.includes("flatten runs"), 60_000), over]);
    await Promise.race([untilCommitted(kafka.brokers, "iex_data", [group], 90_000, command.stderr), over]);
    command.signal("SIGINT");
    over.catch(() => undefined);
    return command.ended;
  }
  const sql = (query: string, ...more: string[]): Promise<Ended> => runCommand(["sql", query, ...more], env);

  it("generate: the documented parameters make batches of the documented form in a topic that it makes, then it ends and tells its statistics", async () => {
    const { code, stdout, stderr } = await runCommand(["generate", "--kafka-brokers", kafka.brokers, "--topic", "iex_data", "--symbols", "AAPL", "IBM", "--batch-size", "40", "--interval", "0.01", "--batch-count", "50", "--partitions", "2", "--replication-factor", "1"]);
    assert.equal(code, 0, stderr);
    assert.equal(stdout, "", "standard output is for data");
    assert.match(stderr, /Trades acknowledged +2,000 in 50 messages/);
    assert.match(stderr, /Success rate +100\.00 %/);
    assert.match(stderr, /Throughput +[\d,.]+ trades\/s/);
    assert.equal((await endOffsets(kafka.brokers, "iex_data")).length, 2);
    const values = await valuesOf(kafka.brokers, "iex_data");
    assert.equal(values.length, 50);
    const batches = values.map((value) => JSON.parse(value!) as Trade[]);
    assert.ok(batches.every((batch) => batch.length === 40));
    sent = batches.flat();
    assert.deepEqual(Object.keys(sent[0]!), ["T", "S", "i", "x", "p", "s", "t", "c", "z"]);
    assert.deepEqual([...new Set(sent.map(({ S }) => S))].sort(), ["AAPL", "IBM"]);
    assert.ok(sent.every(({ p, s }) => p >= 100 && p <= 200 && s >= 1 && s <= 1000));
  });

  it("flatten --output-mode both, stopped by Ctrl-C: every trade once in flattened_stocks and once in the table on S3", async () => {
    const { code, stderr } = await flatten("both", "--output-mode", "both", "--checkpoint-kafka", "/tmp/checkpoints/kafka", "--checkpoint-iceberg", "/tmp/checkpoints/iceberg");
    assert.equal(code, 0, stderr);
    assert.match(stderr, /--checkpoint-kafka \/tmp\/checkpoints\/kafka is not needed.*--group-id/);
    assert.match(stderr, /--checkpoint-iceberg .* is not needed.*watermarks/);
    assert.match(stderr, /Trades into the topic +2,000/);
    assert.match(stderr, /Rows into the table +2,000 in \d+ commit/);
    const flattened = await trades("flattened_stocks");
    assert.deepEqual(idsOf(flattened), idsOf(sent));
    assert.deepEqual(Object.keys(flattened[0]!), ["T", "S", "i", "x", "p", "s", "timestamp", "c", "z"]);
    const table = await sql("SELECT S, i, p, s, timestamp FROM local.db.flattened_stocks ORDER BY S, i", "--format", "json");
    assert.equal(table.code, 0, table.stderr);
    const rows = table.stdout.trim().split("\n").map((line) => JSON.parse(line) as Trade);
    assert.deepEqual(idsOf(rows), idsOf(sent));
    assert.equal(rows.reduce((sum, { s }) => sum + s, 0), sent.reduce((sum, { s }) => sum + s, 0));
  });

  it("flatten again in the same group: nothing comes twice", async () => {
    const { code, stderr } = await flatten("both", "--output-mode", "both");
    assert.equal(code, 0, stderr);
    assert.equal((await trades("flattened_stocks")).length, sent.length);
    assert.match((await sql("SELECT COUNT(*) AS n FROM local.db.flattened_stocks", "--format", "csv")).stdout, /^n\n2000\n$/);
  });

  it("flatten --output-mode iceberg-only writes the table and makes no topic", async () => {
    const { code, stderr } = await flatten("lake", "--output-mode", "iceberg-only", "--iceberg-table", "local.db.only", "--dest-topic", "not_made");
    assert.equal(code, 0, stderr);
    assert.match((await sql("SELECT COUNT(*) AS n FROM local.db.only", "--format", "csv")).stdout, /^n\n2000\n$/);
    await assert.rejects(endOffsets(kafka.brokers, "not_made"));
  });

  it("flatten --output-mode kafka-only writes the topic and makes no table", async () => {
    const { code, stderr } = await flatten("topic", "--output-mode", "kafka-only", "--iceberg-table", "local.db.not_made", "--dest-topic", "only");
    assert.equal(code, 0, stderr);
    assert.deepEqual(idsOf(await trades("only")), idsOf(sent));
    assert.deepEqual(readdirSync(join(s3.dataDir, "warehouse", "db")).filter((name) => name === "not_made"), []);
  });

  it("flatten --output-mode console-debug prints a line per trade and writes nothing", async () => {
    const { code, stdout, stderr } = await flatten("console", "--output-mode", "console-debug", "--iceberg-table", "local.db.not_made", "--dest-topic", "not_made");
    assert.equal(code, 0, stderr);
    assert.deepEqual(idsOf(stdout.trim().split("\n").map((line) => JSON.parse(line) as Trade)), idsOf(sent));
    assert.match(stderr, /Trades printed +2,000/);
    await assert.rejects(endOffsets(kafka.brokers, "not_made"));
    assert.deepEqual(readdirSync(join(s3.dataDir, "warehouse", "db")).filter((name) => name === "not_made"), []);
  });

  it("generate without an end is stopped by SIGTERM: all that it made is acknowledged, and the code is 0", async () => {
    const command = startCommand(["generate", "--topic", "endless", "--interval", "10 ms"], env);
    await until("some batches", () => endOffsets(kafka.brokers, "endless").catch(() => [0]), (ends) => ends.reduce((a, b) => a + b, 0) > 20, 60_000);
    command.signal("SIGTERM");
    const { code, stderr } = await command.ended;
    assert.equal(code, 0, stderr);
    const acknowledged = Number(/Trades acknowledged +([\d,]+)/.exec(stderr)![1]!.replaceAll(",", ""));
    assert.equal((await trades("endless")).length, acknowledged);
    assert.match(stderr, /Success rate +100\.00 %/);
  });

  it("replay, set by config.yaml: a recorded file goes into the topic and the command ends", async () => {
    const folder = temporaryFolder("command-replay");
    writeFileSync(join(folder, "config.yaml"), 'kafka:\n  bootstrap_servers: ["${BROKERS}"]\n  topic: elsewhere\nsymbols: [IBM]\ncsv:\n  pace: max\n');
    const { code, stderr } = await runCommand(["replay", "ticklake:sample-trades.csv", "--topic", "recorded"], { BROKERS: kafka.brokers }, folder);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /^Settings from config\.yaml; the environment or the command line says otherwise of SOURCE_TOPIC\.$/m);
    const recorded = await trades("recorded");
    assert.ok(recorded.length > 0);
    assert.deepEqual([...new Set(recorded.map(({ S }) => S))], ["IBM"]);
    assert.match(stderr, new RegExp(`Trades acknowledged +${recorded.length.toLocaleString("en-US")} `));
  });

  it("sql: a documented aggregate as a table; what is wrong is said with exit code 1", async () => {
    const { code, stdout } = await sql("SELECT S as symbol, COUNT(*) as trade_count, SUM(s) as total_volume FROM local.db.flattened_stocks GROUP BY S ORDER BY symbol", "--iceberg-catalog", "spark_catalog");
    assert.equal(code, 0);
    const lines = stdout.trim().split("\n");
    assert.match(lines[0]!, /^symbol +trade_count +total_volume$/);
    assert.deepEqual(lines.slice(2).map((line) => line.split(/ +/)[0]), ["AAPL", "IBM"]);
    const history = await sql("SELECT snapshot_id FROM local.db.flattened_stocks.history", "--format", "json");
    assert.ok(history.stdout.trim().split("\n").length >= 1 && history.code === 0, history.stderr);
    const wrong = await sql("SELECT * FROM local.db.nothing");
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /No table db\.nothing.*flattened_stocks/);
    const call = await sql("CALL local.system.rewrite_manifests('local.db.flattened_stocks')");
    assert.equal(call.code, 1);
    assert.match(call.stderr, /--allow-calls/);
  });

  it("live without keys ends with 1 and says which variables are missing", async () => {
    const { code, stderr } = await runCommand(["live"], env);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /APCA_API_KEY_ID/);
  });

  it("run: a flow file with --set; a folder for what it writes", async () => {
    const folder = temporaryFolder("command-run");
    const command = startCommand(["run", join(__dirname, "..", "..", "flows", "6 Documented pipeline", "Documented pipeline.json"), "--set", "SOURCE=synthetic", "--set", "OUTPUT_MODE=kafka-only", "--set", "SOURCE_TOPIC=whole", "--set", "DEST_TOPIC=whole_flat", "--set", "INTERVAL=0.05", "--set", "STARTING_OFFSETS=earliest", "--set", "GROUP_ID=whole"], env, folder);
    await until("trades at the other end", () => endOffsets(kafka.brokers, "whole_flat").catch(() => [0]), (ends) => ends.reduce((a, b) => a + b, 0) > 200, 60_000).catch((error: Error) => { throw new Error(`${error.message}\n${command.stderr()}`); });
    command.signal("SIGINT");
    const { code, stderr } = await command.ended;
    assert.equal(code, 0, stderr);
    assert.deepEqual(readdirSync(folder), [".ticklake"]);
  });
});
