import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { startCommand, type RunningCommand } from "../../support/command";
import { days } from "../../support/days";
import { endOffsets, readCommitted, startKafka, type RunningKafka } from "../../support/kafka";
import { sharedPinot, uniqueTable } from "../../support/pinot";
import { startS3, type RunningS3 } from "../../support/s3";
import { temporaryFolder, until } from "../../support/start";

/** All of it with TICKLAKE_WHOLE_DAY=1. */
const ROWS = process.env["TICKLAKE_WHOLE_DAY"] ? Infinity : 40_000;
/** Trades a second: the replay lasts as long as the kills take, about. */
const RATE = ROWS === Infinity ? 10_000 : 2_500;

interface Key { readonly S: string; readonly i: number }

/** One command runs the documented pipeline on recorded trades; whatever is killed meanwhile, all places hold what the file holds. */
describe("ticklake pipeline, with SIGKILL for everybody", function () {
  this.timeout(600_000);
  let kafka: RunningKafka, s3: RunningS3, file: string, keys: string[], shares: number;
  const table = uniqueTable("killed");
  const commands: RunningCommand[] = [];
  before(async () => {
    [kafka, s3] = await Promise.all([startKafka(), startS3(), sharedPinot()]);
    const folder = temporaryFolder("pipeline-kill");
    const [header, ...lines] = gunzipSync(readFileSync(days(folder).files[0]!)).toString().trimEnd().split("\n");
    const part = lines.slice(0, ROWS);
    file = join(folder, "day.csv");
    writeFileSync(file, `${[header, ...part].join("\n")}\n`);
    const [symbol, size, id] = ["symbol", "size", "id"].map((name) => header!.split(",").indexOf(name)) as [number, number, number];
    keys = part.map((line) => { const fields = line.split(","); return `${fields[symbol]} ${fields[id]}`; }).sort();
    shares = part.reduce((sum, line) => sum + Number(line.split(",")[size]), 0);
  });
  after(async () => {
    for (const command of commands) command.signal("SIGKILL");
    await Promise.all([kafka?.stop(), s3?.stop()]);
  });

  async function start(): Promise<RunningCommand> {
    const { controllerUrl, brokerUrl } = await sharedPinot();
    const command = startCommand(["pipeline", file, "--kafka-brokers", kafka.brokers, "--s3-endpoint", s3.endpoint, "--controller", controllerUrl, "--broker", brokerUrl, "--pinot-table", table, "--rate", String(RATE), "--processing-time", "2 seconds", "--patience", "120 seconds"]);
    commands.push(command);
    return command;
  }
  /** The newest process of a part, another one than `before`. */
  const processOf = async (command: RunningCommand, part: string, before = 0): Promise<number> => until(`${part} to run`, () => {
    const last = [...command.stderr().matchAll(new RegExp(`^${part}: process (\\d+)$`, "gm"))].at(-1)?.[1];
    return last === undefined ? 0 : Number(last);
  }, (pid) => pid !== 0 && pid !== before, 120_000).catch((error: Error) => { throw new Error(`${error.message}\n${command.stderr()}`); });
  const written = (topic: string): Promise<number> => endOffsets(kafka.brokers, topic).then((ends) => ends.reduce((a, b) => a + b, 0), () => 0);
  /** Until a topic has grown by so many records, more or less. */
  async function grown(command: RunningCommand, topic: string, by: number): Promise<void> {
    const wanted = await written(topic) + Math.ceil(by * (0.5 + Math.random()));
    const over = command.ended.then(({ stderr }) => { throw new Error(`the command ended:\n${stderr}`); });
    await Promise.race([over, until(`${topic} to grow`, () => written(topic), (now) => now >= wanted, 150_000)]).catch((error: Error) => { throw new Error(`${error.message}\n${command.stderr()}`); });
    over.catch(() => undefined);
  }

  it("source topic, destination topic, Iceberg and Pinot are equal to the file, trade by trade", async () => {
    let command = await start();
    await grown(command, "iex_data", 20);
    const replay = await processOf(command, "replay");
    process.kill(replay, "SIGKILL");
    await grown(command, "flattened_stocks", 500);
    const flatten = await processOf(command, "flatten");
    process.kill(flatten, "SIGKILL");
    // Once more before it is a member of its group.
    process.kill(await processOf(command, "flatten", flatten), "SIGKILL");
    await processOf(command, "replay", replay);
    await grown(command, "iex_data", 30);
    await Promise.all([kafka.restart("SIGKILL"), s3.restart("SIGKILL")]);
    await grown(command, "iex_data", 30);
    // What started them goes as well, and the same command goes on.
    command.signal("SIGKILL");
    const { code } = await command.ended;
    assert.equal(code, null);
    command = await start();
    process.kill(await processOf(command, "replay"), "SIGKILL");

    const { code: last, stdout, stderr } = await command.ended;
    assert.equal(last, 0, `${stdout}\n${stderr}`);
    assert.match(stdout, new RegExp(`EQUAL: ${keys.length.toLocaleString("en-US")} trades equal in 5 places`));
    for (const place of ["Kafka iex_data", "Kafka flattened_stocks", "Iceberg local.db.flattened_stocks", `Pinot ${table}`]) assert.match(stdout, new RegExp(`^${place} +${keys.length.toLocaleString("en-US")} +${shares.toLocaleString("en-US")}$`, "m"));

    // By other eyes: Kafka's own consumer, and Pinot's own sums.
    const found = await until("Kafka's own consumer to read all", async () => {
      const read: string[] = [];
      await readCommitted(kafka.brokers, "flattened_stocks", ({ value }) => { const { S, i } = JSON.parse(value) as Key; read.push(`${S} ${i}`); });
      return read;
    }, ({ length }) => length >= keys.length, 120_000);
    assert.deepEqual(found.sort(), keys);
    const answer = await fetch(`${(await sharedPinot()).brokerUrl}/query/sql`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ sql: `SELECT COUNT(*), SUM(s) FROM ${table}` }) });
    assert.deepEqual((await answer.json() as { resultTable: { rows: unknown } }).resultTable.rows, [[keys.length, shares]]);
  });

  it("run once more, it finds all there, writes nothing and says that all is equal; reconcile says what is missing when something is", async () => {
    const before = await written("iex_data");
    const command = await start();
    const { code, stdout, stderr } = await command.ended;
    assert.equal(code, 0, stderr);
    assert.match(stdout, /EQUAL: /);
    assert.equal(await written("iex_data"), before);

    const { controllerUrl, brokerUrl } = await sharedPinot();
    const smaller = join(temporaryFolder("pipeline-smaller"), "day.csv");
    writeFileSync(smaller, readFileSync(file, "utf8").trimEnd().split("\n").slice(0, -1).join("\n"));
    const compared = await startCommand(["reconcile", "--file", smaller, "--to", "2030-01-01", "--kafka-brokers", kafka.brokers, "--s3-endpoint", s3.endpoint, "--controller", controllerUrl, "--broker", brokerUrl, "--pinot-table", table, "--format", "json"]).ended;
    assert.equal(compared.code, 3, compared.stderr);
    const { equal, different, differences, places } = JSON.parse(compared.stdout) as { equal: boolean; different: number; differences: { text: string }[]; places: unknown[] };
    assert.deepEqual([equal, different, places.length], [false, 1, 5]);
    assert.match(differences[0]!.text, /Kafka iex_data has 1 more than file day\.csv .*Pinot killed_\w+ has 1 more/);
  });
});
