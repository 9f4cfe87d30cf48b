import assert from "node:assert/strict";
import { readConfig, type ReadOptions } from "../../../lib/config";
import { loadYaml } from "../../../lib/config/yaml";
import { TicklakeError } from "../../../lib/errors";

const options = (more: Partial<ReadOptions> = {}): ReadOptions => ({ file: "config.yaml", folder: "/conf", environment: {}, ...more });
const variables = (text: string, environment: Record<string, string> = {}, more: Partial<ReadOptions> = {}): Readonly<Record<string, string>> => readConfig(text, options({ environment, ...more })).variables;

/** Every mistake of a file as `line:column: message`. */
function mistakes(text: string, environment: Record<string, string> = {}, more: Partial<ReadOptions> = {}): string[] {
  try { readConfig(text, options({ environment, ...more })); } catch (error) {
    assert.ok(error instanceof TicklakeError, String(error));
    assert.equal(error.code, "CONFIG_INVALID");
    return (error.details!["problems"] as { line: number; column: number; message: string }[]).map(({ line, column, message }) => `${line}:${column}: ${message}`);
  }
  throw new Error(`it was taken: ${text}`);
}
const mistake = (text: string, environment?: Record<string, string>): string => {
  const all = mistakes(text, environment);
  assert.equal(all.length, 1, all.join("\n"));
  return all[0]!;
};

/** As the pipeline's document has it. */
const DOCUMENTED = `alpaca:
  key: "\${ALPACA_KEY}"
  secret: "\${ALPACA_SECRET}"
  ws_url: "wss://stream.data.alpaca.markets/v2/iex"

kafka:
  bootstrap_servers: "localhost:9092"
  topic: "iex_data"
  batch_size: 100

symbols:
  - "AAPL"
  - "GOOGL"
  - "MSFT"
  - "AMZN"
  - "TSLA"
`;

describe("config.yaml", () => {
  it("takes the documented file as it stands", () => {
    assert.deepEqual(variables(DOCUMENTED, { ALPACA_KEY: "k", ALPACA_SECRET: "s", SOURCE: "live" }), {
      ALPACA_URL: "wss://stream.data.alpaca.markets/v2/iex", ALPACA_FEED: "custom", KAFKA_BROKERS: "localhost:9092", SOURCE_TOPIC: "iex_data", BATCH_SIZE: "100", SYMBOLS: "AAPL GOOGL MSFT AMZN TSLA",
    });
    // Variables of other names become those that the account reads.
    const named = variables(DOCUMENTED.replaceAll("ALPACA_", "MY_"), { MY_KEY: "k", MY_SECRET: "s" });
    assert.deepEqual([named["APCA_API_KEY_ID"], named["APCA_API_SECRET_KEY"]], ["k", "s"]);
  });

  it("needs Alpaca's keys for live trades only", () => {
    assert.equal(variables(DOCUMENTED, {}, { source: "none" })["SOURCE_TOPIC"], "iex_data");
    assert.equal(variables(DOCUMENTED, { SOURCE: "csv" })["SOURCE_TOPIC"], "iex_data");
    const both = ["2:8: alpaca.key: ${ALPACA_KEY} is not set in the environment. Set it, or give a default: ${ALPACA_KEY:-...}.", "3:11: alpaca.secret: ${ALPACA_SECRET} is not set in the environment. Set it, or give a default: ${ALPACA_SECRET:-...}."];
    assert.deepEqual(mistakes(DOCUMENTED, { SOURCE: "live" }), both);
    assert.deepEqual(mistakes(`${DOCUMENTED}source: live\n`), both);
    assert.deepEqual(variables(`${DOCUMENTED}source: live\n`, { APCA_API_KEY_ID: "k", ALPACA_SECRET: "s" })["SOURCE"], "live");
  });

  describe("values", () => {
    it("brokers and symbols are a list or text, numbers are numbers or text, and every scalar is what was written", () => {
      for (const text of ["[a:1, b:2]", "'a:1, b:2'", "a:1 b:2", "\n    - a:1\n    - b:2"]) assert.equal(variables(`kafka:\n  bootstrap_servers: ${text}`)["KAFKA_BROKERS"], "a:1,b:2", text);
      for (const text of ["[AAPL, MSFT]", "AAPL MSFT", "AAPL, MSFT", "\n- AAPL\n- MSFT"]) assert.equal(variables(`symbols: ${text}`)["SYMBOLS"], "AAPL MSFT", text);
      for (const text of ["6", '"6"', "'6'"]) assert.equal(variables(`kafka: {partitions: ${text}}`)["PARTITIONS"], "6", text);
      assert.equal(variables("symbols: [TRUE, ON, NO, NULL, 1E5, 007]")["SYMBOLS"], "TRUE ON NO NULL 1E5 007");
      assert.equal(variables("pinot: {password: 0123}")["PINOT_PASSWORD"], "0123");
      for (const [text, value] of [["true", "true"], ["yes", "true"], ["Off", "false"]] as const) assert.equal(variables(`csv: {loop: ${text}}`)["CSV_LOOP"], value);
      for (const text of ["10 seconds", "0.5", '"500 ms"']) assert.equal(variables(`generator:\n  interval: ${text}`)["INTERVAL"], text.replaceAll('"', ""));
      assert.equal(variables("s3:\n  secret_key: |\n    from a block\n")["AWS_SECRET_ACCESS_KEY"], "from a block");
    });

    it('"*" is all of the feed; a recorded file and the simulator have no such symbol', () => {
      assert.equal(variables('symbols: "*"')["SYMBOLS"], "*");
      assert.deepEqual(variables("symbols: ['*']", {}, { source: "csv" }), {});
      assert.deepEqual(variables('symbols: "*"', { SOURCE: "synthetic" }), {});
    });

    it("what is empty is not said", () => {
      assert.deepEqual(variables("kafka:\niceberg: {}\ns3:\n  endpoint:\n  region: ~\npinot:\n  token: ''\n  username: null\n  password: \"${P:-}\"\n"), {});
      for (const text of ["", "\n", "# nothing\n", "---\n", "\uFEFF# nothing"]) assert.deepEqual(variables(text), {});
    });

    it("places are relative to the file's folder", () => {
      assert.equal(variables("csv: {file: day.csv.gz}")["CSV_FILE"], "/conf/day.csv.gz");
      for (const place of ["s3a://b/c", "/abs", "ticklake:sample-trades.csv", "~/lake"]) assert.equal(variables(`iceberg: {warehouse: "${place}"}`)["ICEBERG_WAREHOUSE"], place);
    });

    it("an address of a stream makes the feed custom, and a feed beside it must be the same", () => {
      assert.equal(variables("alpaca: {feed: sip}")["ALPACA_FEED"], "sip");
      assert.equal(variables("alpaca: {feed: iex, ws_url: 'wss://stream.data.alpaca.markets/v2/iex'}")["ALPACA_FEED"], "iex");
      assert.equal(variables("alpaca: {ws_url: 'ws://127.0.0.1:1/'}", { ALPACA_FEED: "sip" })["ALPACA_FEED"], undefined);
      assert.match(mistake("alpaca:\n  feed: sip\n  ws_url: wss://stream.data.alpaca.markets/v2/iex"), /^2:9: alpaca\.feed and alpaca\.ws_url name two streams/);
    });
  });

  describe("the environment", () => {
    it("wins, names what it says otherwise, and counts as silent where it is empty", () => {
      const read = readConfig("kafka: {topic: a, dest_topic: b, group_id: c}\nalpaca: {key: file}", options({ environment: { SOURCE_TOPIC: "env", DEST_TOPIC: "", GROUP_ID: "c", ALPACA_KEY: "env" } }));
      assert.deepEqual(read, { variables: { DEST_TOPIC: "b" }, overridden: ["ALPACA_KEY", "SOURCE_TOPIC"] });
    });

    it("is put in, also within a text and in lists, once", () => {
      const env = { HOST_A: "a", TWO: "X Y", NESTED: "${HOST_A}", EMPTY: "" };
      assert.equal(variables('kafka: {bootstrap_servers: ["${HOST_A}:1", "${HOST_B:-b}:2"]}', env)["KAFKA_BROKERS"], "a:1,b:2");
      assert.equal(variables("symbols: ${TWO}", env)["SYMBOLS"], "X Y");
      assert.equal(variables('pinot: {password: "${NESTED}"}', env)["PINOT_PASSWORD"], "${HOST_A}");
      assert.equal(variables('pinot: {password: "$${HOST_A}$5"}', env)["PINOT_PASSWORD"], "${HOST_A}$5");
      assert.equal(variables('kafka: {topic: "${EMPTY:-t}"}', env)["SOURCE_TOPIC"], "t");
      assert.deepEqual(variables('kafka: {topic: "${EMPTY}"}', env), {});
    });

    it("need not have what the environment says anyway", () => {
      assert.deepEqual(variables("kafka: {topic: '${NOWHERE}'}", { SOURCE_TOPIC: "t" }), {});
    });
  });

  describe("mistakes, each with its line and column", () => {
    for (const [text, said] of [
      ["kafka:\n  topik: a", "2:3: kafka.topik is no setting. Did you mean kafka.topic?"],
      ["kafka:\n  brokers: a", "2:3: kafka.brokers is no setting. Did you mean kafka.bootstrap_servers?"],
      ["kafka:\n  bootstrapServers: a", "2:3: kafka.bootstrapServers is no setting. Did you mean kafka.bootstrap_servers?"],
      ["kafka:\n  source-topic: a", "2:3: kafka.source-topic is no setting. Did you mean kafka.topic?"],
      ["generator:\n  batch_size: 5", "2:3: generator.batch_size is no setting. Did you mean kafka.batch_size?"],
      ["\nS3_ENDPOINT: a", "2:1: S3_ENDPOINT is no setting. Did you mean s3.endpoint?"],
      ["topic: a", "1:1: topic is no setting. Did you mean kafka.topic?"],
      ["kafak: {}", "1:1: kafak is no setting. Did you mean kafka?"],
      ["alpaca:\n  paper: yes", "2:3: alpaca.paper is no setting. alpaca has key, secret, ws_url, feed, rest_url."],
      ["<<: {}", "1:1: << is no setting. There are source, output_mode, symbols, alpaca, kafka, generator, csv, iceberg, s3, pinot."],
      ["__proto__: {a: 1}", "1:1: __proto__ is no setting. There are source, output_mode, symbols, alpaca, kafka, generator, csv, iceberg, s3, pinot."],
      ["constructor: a", "1:1: constructor is no setting. There are source, output_mode, symbols, alpaca, kafka, generator, csv, iceberg, s3, pinot."],
      ["kafka:\n  batch_size: many", '2:15: kafka.batch_size "many" is no whole number.'],
      ["kafka:\n  partitions: 0", '2:15: kafka.partitions "0" is too small: the least is 1.'],
      ["kafka:\n  partitions: 1e99", '2:15: kafka.partitions "1e99" is no whole number.'],
      ["csv:\n  speed: -1", '2:10: csv.speed "-1" is no number above 0.'],
      ["csv:\n  loop: maybe", '2:9: csv.loop "maybe" is neither true nor false.'],
      ["iceberg:\n  processing_time: soon", '2:20: iceberg.processing_time "soon" is no duration. Use seconds, or words such as "10 seconds", "500 ms", "1 minute".'],
      ["output_mode: kafka", '1:14: output_mode "kafka" is none of both, kafka-only, iceberg-only, console-debug. Did you mean kafka-only?'],
      ["output_mode: [both]", "1:14: output_mode takes one of both, kafka-only, iceberg-only, console-debug, not a list."],
      ["kafka:\n  topic: {a: b}", "2:10: kafka.topic takes text, not a section with keys."],
      ["kafka:\n  topic:\n    - a", "3:5: kafka.topic takes text, not a list."],
      ["symbols: []", "1:10: symbols is an empty list. Name a symbol, or leave the line out."],
      ["symbols: {a: b}", '1:10: symbols takes a list, or text with blanks or commas between, or "*" for all, not a section with keys.'],
      ["kafka:\n  bootstrap_servers: [a:1, b:x]", "2:22: kafka.bootstrap_servers has a broker that is no address. Write host:port, such as localhost:9092."],
      ["s3:\n  endpoint: localhost:9000", "2:13: s3.endpoint is no address that begins with https:// or http://."],
      ["s3:\n  endpoint: minio", "2:13: s3.endpoint is no address. Write it as https://host/path."],
      ["kafka: localhost:9092", "1:8: kafka is a section: its keys stand below it, indented, such as bootstrap_servers."],
      ["generator:\n  interval:5", "2:3: generator is a section: its keys stand below it, indented, such as interval. A blank stands after the colon."],
      ["kafka:localhost", "1:1: A configuration is made of keys and values, such as symbols: AAPL MSFT, not of text. A blank stands after the colon."],
      ["- AAPL", "1:1: A configuration is made of keys and values, such as symbols: AAPL MSFT, not of a list."],
      ["kafka:\n  topic: a\n  group_id: b\n  topic: c", "4:3: topic stands here a second time; the first is in line 2. Leave one of them."],
      ["kafka: {topic: a}\n\nkafka: {topic: b}", "3:1: kafka stands here a second time; the first is in line 1. Leave one of them."],
      ["kafka:\n\ttopic: a", "2:1: A tab is used to indent; YAML takes blanks only."],
      ["kafka:\n  topic: a\n group_id: b", "3:1: This line is indented differently from its neighbours, or a bracket before it is not closed. Keys of one section begin in one column."],
      ["kafka:\n  topic: a: b", "2:10: There is a second colon in this line. Put the value in quotes."],
      ["kafka:\n  topic a\n  group_id: b", "2:3: A colon and a blank are missing in this line: write key: value."],
      ["symbols: @all", "1:10: A value cannot begin with this character. Put it in quotes."],
      ["symbols: *", '1:10: An asterisk alone stands in quotes: "*".'],
      ["symbols:\n  - *", '2:5: An asterisk alone stands in quotes: "*".'],
      ["symbols: *all", "1:10: Aliases (*name) are not read here; write the value once more. An asterisk that is meant stands in quotes."],
      ["symbols: &all [A]", "1:15: Anchors (&name) are not read here. An ampersand that is meant stands in quotes."],
      ["symbols: !all A", "1:15: Tags (!name) are not read here. An exclamation mark that is meant stands in quotes."],
      ["symbols: A\n---\nsymbols: B", "2:1: A second document begins here (--- or ...). One is read."],
      ["kafka: {topic: '${NOWHERE}'}", "1:16: kafka.topic: ${NOWHERE} is not set in the environment. Set it, or give a default: ${NOWHERE:-...}."],
      ["kafka: {topic: '${A}-${B}'}", "1:16: kafka.topic: ${A} and ${B} are not set in the environment. Set them, or give a default: ${A:-...}."],
      ["kafka: {topic: '${1A}'}", "1:16: kafka.topic has a ${ that begins no variable. Write ${NAME} or ${NAME:-default}; a plain ${ is written $${."],
    ] as const) it(`${JSON.stringify(text)}`, () => { assert.equal(mistake(text), said); });

    for (const text of ['kafka: {topic: "a}', "symbols: [A, B", "symbols: [${A}]", "kafka: }"]) it(`${JSON.stringify(text)} is no YAML, said in one line`, () => { assert.match(mistakes(text)[0]!, /^1:\d+: .*(missing|YAML|not closed)/); });

    it("all at once, in the order of the file, counted from twenty on", () => {
      assert.deepEqual(mistakes("kafka:\n  topik: a\n  partitions: x\n  topic: a\n  topic: b\nsymbols: &a A\n").map((one) => one.split(":")[0]), ["2", "3", "5", "6"]);
      const text = `kafka:\n${Array.from({ length: 30 }, (_, n) => `  zzz${n}: 1`).join("\n")}\n`;
      assert.throws(() => readConfig(text, options()), (error: Error) => error.message.startsWith("config.yaml has 30 mistakes:\n  config.yaml:2:3: ") && error.message.endsWith("\n  and 10 more.") && error.message.split("\n").length === 22);
    });

    it("a structure that is too deep is refused before anything walks it, and many aliases are none", () => {
      for (const text of ["[".repeat(60_000), "{a: ".repeat(10_000), "- ".repeat(30_000), "? ".repeat(30_000)]) assert.match(mistake(text), /^1:\d+: .*more than 16 deep/);
      const bomb = `a: &a [x, x]\n${Array.from("bcdefghij", (name, k) => `${name}: &${name} [*${"abcdefghi"[k]}, *${"abcdefghi"[k]}]`).join("\n")}\n`;
      assert.ok(mistakes(bomb).some((one) => /Aliases|Anchors|no setting/.test(one)));
    });
  });

  it("never says a value that may be a secret", () => {
    const secret = "pl4nted-secret";
    for (const text of [
      `alpaca:\n  key: [${secret}]`, `alpaca: ${secret}`, `alpaca: {secert: ${secret}}`, `s3: {secret_key: {a: ${secret}}}`, `s3:\n  endpoint: http://user:${secret}@host/\n`, `s3: {endpoint: ${secret}}`,
      `kafka:\n  bootstrap_servers: "user:${secret}@host:1"`, `kafka: {bootstrap_servers: "${secret}:x"}`, `kafka: {topic: [${secret}]}`, `pinot:\n  password: ${secret}: b`, `pinot:\n  password: "${secret}`, `pinot:\n  password: @${secret}`,
      `pinot:\n  password: !x ${secret}`, `pinot:\n  password: *${secret}`, `pinot:\n  password: [${secret}\n`, `pinot:\n  password: \${${secret}`, `pinot: "${secret}" x`, `pinot: ]${secret}`, `- ${secret}`, `${secret}`, `kafka: {partitions: "\${P}"}`, `output_mode: "\${P}"`, `csv: {file: {a: ${secret}}}`,
    ]) assert.doesNotMatch(mistakes(text, { P: secret }).join("\n"), /pl4nted/, text);
  });

  it("without the package yaml says how to install it", () => {
    assert.throws(() => loadYaml(() => { throw Object.assign(new Error("Cannot find module 'yaml'"), { code: "MODULE_NOT_FOUND" }); }), (error: TicklakeError) => error.code === "CONFIG_INVALID" && /npm install yaml/.test(error.message));
  });
});
