import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openCatalog, parseIdentifier, parsePartitionBy, TRADES_SCHEMA } from "../../lib/index";
import { runCommand } from "../support/command";
import { temporaryFolder } from "../support/start";

describe("the ticklake command, called wrongly or for help", function () {
  this.timeout(60_000);
  const cases: [string[], number, RegExp][] = [
    [["--help"], 0, /ticklake \d.*generate/s], [["flatten", "--help"], 0, /--output-mode.*both \| kafka-only/s], [["--version"], 0, /^\d+\.\d+\.\d+\n$/],
    [[], 2, /Say what to do/], [["flatten", "--out-mode", "both"], 2, /Did you mean --output-mode\?/], [["run", "nowhere.json"], 1, /No flow at/], [["run", "package.json"], 1, /is no flow/], [["run", "x.json", "--set", "nothing"], 2, /KEY=VALUE/],
  ];
  for (const [args, code, said] of cases) it(`ticklake ${args.join(" ")} ends with ${code}`, async () => {
    const ended = await runCommand(args);
    assert.equal(ended.code, code, ended.stderr);
    assert.match(ended.stdout + ended.stderr, said);
  });

  it("a Node-RED that is not there is told with how to install it, not with a stack", async () => {
    const { code, stderr } = await runCommand(["generate"], { TICKLAKE_NODE_RED: "/nowhere" });
    assert.equal(code, 1);
    assert.match(stderr, /TICKLAKE_NODE_RED=\/nowhere is no folder of Node-RED/);
    assert.doesNotMatch(stderr, / {4}at /);
  });

  it("a secret on the command line is not repeated", async () => {
    const { stderr, stdout } = await runCommand(["flatten", "--s3-secret-key", "planted-secret", "--output-mode", "nowhere"]);
    assert.doesNotMatch(stdout + stderr, /planted-secret/);
  });

  describe("config.yaml", () => {
    const folder = temporaryFolder("config");
    const write = (name: string, text: string): string => { writeFileSync(join(folder, name), text); return name; };
    const inFolder = (args: string[], env: Record<string, string> = {}) => runCommand(args, env, folder);
    const QUERY = ["sql", "SELECT 1 AS one", "--format", "csv"];

    it("is found in the working folder, said in one line, and says where the tables are", async () => {
      write("config.yaml", "iceberg:\n  warehouse: ./from-file\nkafka:\n  topic: t\n");
      const plain = await inFolder(QUERY);
      assert.deepEqual([plain.code, plain.stdout, plain.stderr], [0, "one\n1\n", "Settings from config.yaml.\n"]);
      // The folder in the message is the one that was asked: file, environment, command line.
      const asks = (env: Record<string, string>, ...args: string[]) => inFolder(["sql", "SELECT * FROM local.db.t", ...args], env);
      for (const name of ["file", "env", "line"]) await openCatalog({ warehouse: `from-${name}` }, folder).createTable(parseIdentifier(`db.of_${name}`, "local"), { schema: TRADES_SCHEMA, spec: parsePartitionBy("", TRADES_SCHEMA) });
      assert.match((await asks({})).stderr, /No table db\.t.*of_file/);
      const byEnvironment = await asks({ ICEBERG_WAREHOUSE: "from-env" });
      assert.match(byEnvironment.stderr, /says otherwise of ICEBERG_WAREHOUSE\.\n[^]*of_env/);
      assert.match((await asks({ ICEBERG_WAREHOUSE: "from-env" }, "--iceberg-warehouse", "from-line")).stderr, /of_line/);
    });

    it("another one is named by --config or TICKLAKE_CONFIG; one that is not there is told", async () => {
      write("other.yaml", "kafka: {topic: t}\n");
      assert.match((await inFolder([...QUERY, "--config", "other.yaml"])).stderr, /^Settings from other\.yaml\.\n$/);
      assert.match((await inFolder(QUERY, { TICKLAKE_CONFIG: join(folder, "other.yaml") })).stderr, /^Settings from \/.*other\.yaml\.\n$/);
      const none = await inFolder([...QUERY, "--config", "nowhere.yaml"]);
      assert.deepEqual([none.code, none.stdout], [1, ""]);
      assert.match(none.stderr, /^No configuration at nowhere\.yaml\..*config\.example\.yaml/);
      assert.match((await inFolder([...QUERY, "--config", folder])).stderr, /is a folder, not a configuration/);
    });

    it("mistakes are all told with file, line and column before anything starts; a secret is not", async () => {
      write("wrong.yaml", "alpaca:\n  key: planted-secret\n  secert: planted-secret\nkafka:\n  batch_size: many\n");
      const { code, stdout, stderr } = await inFolder(["generate", "--config", "wrong.yaml"]);
      assert.deepEqual([code, stdout], [1, ""]);
      assert.equal(stderr, 'wrong.yaml has 2 mistakes:\n  wrong.yaml:3:3: alpaca.secert is no setting. Did you mean alpaca.secret?\n  wrong.yaml:5:15: kafka.batch_size "many" is no whole number.\n');
    });

    it("needs Alpaca's keys for live alone", async () => {
      write("live.yaml", 'alpaca:\n  key: "${ALPACA_KEY}"\n  secret: "${ALPACA_SECRET:-}"\n');
      assert.equal((await inFolder([...QUERY, "--config", "live.yaml"])).code, 0);
      const { code, stderr } = await inFolder(["live", "--config", "live.yaml"]);
      assert.equal(code, 1);
      assert.match(stderr, /^live\.yaml:2:8: alpaca\.key: \$\{ALPACA_KEY\} is not set/);
    });

    it("of another program is left alone, unless it is asked for; a file that is none is refused by its size", async () => {
      write("config.yaml", "homeassistant:\n  name: Home\n  packages: !include x.yaml\n");
      const found = await inFolder(QUERY);
      assert.deepEqual([found.code, found.stderr], [0, "config.yaml holds no setting of ticklake and is left alone.\n"]);
      assert.match((await inFolder([...QUERY, "--config", "config.yaml"])).stderr, /homeassistant is no setting/);
      write("config.yaml", `kafka: {}\n${"#".repeat(70_000)}`);
      assert.match((await inFolder(QUERY)).stderr, /larger than 64 KiB/);
    });
  });
});
