import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { COMMANDS } from "../../../lib/cli/parameters";
import { readConfig, SECTIONS, SETTINGS } from "../../../lib/config";
import { PAGE, SCHEMA_FILE, schemaText, withTable } from "../../../scripts/config-reference";
import { shippedFlows } from "../../support/flows";
import { root } from "../../support/start";

const example = readFileSync(join(root, "config.example.yaml"), "utf8");
const read = (text: string, environment = {}): Readonly<Record<string, string>> => readConfig(text, { file: "config.example.yaml", folder: root, environment }).variables;
/** The example with every key that is off switched on. */
const whole = example.replace(/^( *)# ([a-z_0-9]+:(?: |$))/gm, "$1$2");

describe("the keys of config.yaml", () => {
  it("stand in the example, each once and none else, and the example is right as it stands and with all of them", () => {
    const keys: string[] = [];
    let section = "";
    for (const [, indent, name] of whole.matchAll(/^( *)([a-z_0-9]+):(?: |$)/gm)) {
      if (indent !== "") keys.push(`${section}.${name}`);
      else if (name! in SECTIONS) section = name!;
      else keys.push(name!);
    }
    assert.deepEqual(keys.sort(), SETTINGS.map(({ path }) => path).sort());
    const set = read(example, { ALPACA_KEY: "k", ALPACA_SECRET: "s" });
    assert.deepEqual(Object.keys(set).sort(), ["ALPACA_FEED", "ALPACA_URL", "BATCH_SIZE", "KAFKA_BROKERS", "SOURCE_TOPIC", "SYMBOLS"]);
    read(whole);
  });

  it("that are off in the example say there what holds without them", () => {
    const set = read(whole.replace(/^ {2}batch_size: .*$/m, "  batch_size: 50").replace(/^symbols:\n(?: {2}- .*\n)+/m, "symbols: AAPL GOOGL MSFT\n").replace(/^ {2}ws_url:.*$/m, ""));
    for (const { path, variable, default: standard } of SETTINGS) if (standard !== undefined) assert.equal(set[variable], standard, path);
  });

  it("have the defaults of the flow and of the command, and are all that the flow and the command take", () => {
    const tab = shippedFlows().find(({ name }) => name.startsWith("6 "))!.nodes.find((node) => node.type === "tab")!;
    const flow = new Map((tab.env as { name: string; value: string }[]).map(({ name, value }) => [name, /\? "([^"]*)" :/.exec(value)?.[1]]));
    const known = new Map(SETTINGS.map((one) => [one.variable, one]));
    for (const [name, standard] of flow) {
      // Made by the flow from BATCH_SIZE, SYMBOLS and CSV_RESUME.
      if (["LIVE_SYMBOLS", "FEED_BATCH_SIZE", "CSV_SYMBOLS", "CSV_RESUME_TOPIC"].includes(name)) continue;
      assert.ok(known.has(name), name);
      if (name !== "ICEBERG_CATALOG") assert.equal(known.get(name)!.default ?? "", standard, name);
    }
    for (const { name, env, secret, default: standard } of COMMANDS.flatMap(({ parameters }) => parameters)) {
      if (env === undefined || ["TICKLAKE_CONFIG", "TICKLAKE_USER_DIR"].includes(env)) continue;
      assert.ok(known.has(env), `--${name}: ${env}`);
      assert.equal(known.get(env)!.secret, secret === true, env);
      if (!["SYMBOLS", "BATCH_SIZE"].includes(env) && !secret && standard !== undefined && known.get(env)!.default !== undefined) assert.equal(known.get(env)!.default, standard, `--${name}`);
    }
    for (const { path, secret } of SETTINGS) if (/secret|password|token|access_key|\.key$/.test(path)) assert.equal(secret, true, path);
  });

  it("are in docs/configuration.md and in the JSON Schema as npm run docs writes them", () => {
    const page = readFileSync(PAGE, "utf8");
    assert.equal(page, withTable(page));
    assert.equal(readFileSync(SCHEMA_FILE, "utf8"), schemaText());
    const schema = JSON.parse(schemaText()) as { properties: Record<string, { properties?: object }> };
    for (const { path } of SETTINGS) {
      const [first, second] = path.split(".");
      assert.ok(second === undefined ? schema.properties[first!] : Object.hasOwn(schema.properties[first!]!.properties!, second), path);
    }
  });

  it("the example names a JSON Schema that is there", () => {
    assert.ok(existsSync(join(root, /\$schema=(\S+)/.exec(example)![1]!)));
  });
});
