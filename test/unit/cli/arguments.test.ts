import assert from "node:assert/strict";
import { parseCommandLine, UsageError } from "../../../lib/cli/arguments";
import { commandHelp, overview } from "../../../lib/cli/help";
import { COMMANDS } from "../../../lib/cli/parameters";
import { flowVariables } from "../../../lib/cli/settings";

const words = (line: string): string[] => [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2]!);
const variables = (line: string, environment = {}): Record<string, string> => flowVariables(parseCommandLine(words(line)), environment, "/here");
const refusal = (line: string): string => {
  try { parseCommandLine(words(line)); } catch (error) { assert.ok(error instanceof UsageError); return error.message; }
  throw new Error(`${line} was taken`);
};

describe("ticklake's command line", () => {
  it("takes the documented command of the generator as it stands", () => {
    assert.deepEqual(variables("generate --kafka-brokers localhost:9092 --topic iex_data --symbols AAPL GOOGL MSFT AMZN TSLA --batch-size 100 --interval 2 --batch-count 0 --partitions 3 --replication-factor 1"), {
      KAFKA_BROKERS: "localhost:9092", SOURCE_TOPIC: "iex_data", SYMBOLS: "AAPL GOOGL MSFT AMZN TSLA", BATCH_SIZE: "100", INTERVAL: "2", BATCH_COUNT: "0", PARTITIONS: "3", REPLICATION_FACTOR: "1", SOURCE: "synthetic",
    });
  });

  it("takes the documented command of the flattener as it stands", () => {
    assert.deepEqual(variables('flatten --kafka-brokers localhost:9092 --source-topic iex_data --dest-topic flattened_stocks --checkpoint-kafka /tmp/spark-checkpoints/kafka --checkpoint-iceberg /tmp/spark-checkpoints/iceberg --iceberg-table local.db.flattened_stocks --iceberg-catalog spark_catalog --iceberg-warehouse s3a://warehouse/ --s3-endpoint http://localhost:9000 --s3-access-key minioadmin --s3-secret-key minioadmin --processing-time "10 seconds" --output-mode both --starting-offsets latest'), {
      KAFKA_BROKERS: "localhost:9092", SOURCE_TOPIC: "iex_data", DEST_TOPIC: "flattened_stocks", ICEBERG_TABLE: "local.db.flattened_stocks", ICEBERG_CATALOG: "spark_catalog", ICEBERG_WAREHOUSE: "s3a://warehouse/",
      S3_ENDPOINT: "http://localhost:9000", AWS_ACCESS_KEY_ID: "minioadmin", AWS_SECRET_ACCESS_KEY: "minioadmin", PROCESSING_TIME: "10 seconds", OUTPUT_MODE: "both", STARTING_OFFSETS: "latest", SOURCE: "none",
    });
  });

  it("sets nothing that was not given, so that the environment and the flow's defaults hold", () => {
    assert.deepEqual(variables("generate"), { SOURCE: "synthetic" });
    assert.deepEqual(variables("generate --topic=t", { SYMBOLS: "IBM" }), { SOURCE: "synthetic", SOURCE_TOPIC: "t" });
    assert.deepEqual(variables("run flow.json --set A=1 --set B=x=y"), { A: "1", B: "x=y" });
  });

  it("means places on this machine by the folder that it was called in", () => {
    assert.equal(variables("replay trades.csv.gz").CSV_FILE, "/here/trades.csv.gz");
    assert.equal(variables("replay ticklake:sample-trades.csv").CSV_FILE, "ticklake:sample-trades.csv");
    assert.equal(variables("flatten --iceberg-warehouse ./lake").ICEBERG_WAREHOUSE, "/here/lake");
    assert.equal(variables("flatten --iceberg-warehouse s3a://b/c").ICEBERG_WAREHOUSE, "s3a://b/c");
  });

  it("an address of a stream makes the feed custom", () => {
    assert.equal(variables("live --url ws://127.0.0.1:1/").ALPACA_FEED, "custom");
    assert.equal(variables("live --feed sip").ALPACA_FEED, "sip");
  });

  for (const [line, said] of [
    ["", /Say what to do: generate/], ["genrate", /no command "genrate"\. Did you mean generate\?/], ["flatten --output-mod both", /does not know --output-mod\. Did you mean --output-mode\?/],
    ["generate --symbol A", /Did you mean --symbols\?/], ["generate --output-mode both", /does not know --output-mode\. It belongs to: flatten/], ["flatten --output-mode kafka", /is none of both, kafka-only.*Did you mean kafka-only\?/],
    ["flatten --starting-offsets newest", /is none of latest, earliest/], ["generate --batch-size many", /no whole number/], ["generate --batch-size 0", /the least is 1/], ["generate --interval soon", /no duration/],
    ["generate --topic", /--topic takes a value: --topic <name>/], ["generate --topic --symbols A", /--topic takes a value/], ["generate AAPL", /does not know what to do with "AAPL"/], ["replay", /needs <file/], ["sql SELECT 1", /"1".*text with blanks stands in quotes/],
    ["generate --quiet=yes", /takes no value/],
  ] as const) it(`refuses "${line}" and says how it is written`, () => assert.match(refusal(line), said));

  it("never says a secret again", () => {
    assert.doesNotMatch(refusal('flatten --s3-secret-key ""'), /""/);
    for (const { parameters } of COMMANDS) for (const p of parameters) if (/secret|access-key|password/.test(p.name)) assert.equal(p.secret, true, p.name);
  });

  it("help names every command, every option and every default", () => {
    for (const { name } of COMMANDS) assert.match(overview("1"), new RegExp(`^  ${name} `, "m"));
    for (const one of COMMANDS) for (const { name, default: standard } of one.parameters) {
      const line = commandHelp(one).split("\n").find((text) => new RegExp(`--${name}( |$)`).test(text));
      assert.ok(line, `--${name}`);
      if (standard !== undefined) assert.ok(line.includes(standard), `${line} says ${standard}`);
    }
    assert.ok(parseCommandLine(["flatten", "-h"]).help && parseCommandLine(["replay", "--help"]).help);
  });

});
