import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { definition, nodeHtml } from "../../support/flows";
import { parseExplodeConfig } from "../../../lib/trades/explode-config";
import { parseGeneratorConfig } from "../../../lib/trades/generator-config";

const root = join(__dirname, "..", "..", "..");
const defaultsOf = (type: string) => Object.fromEntries(Object.entries(definition(type).defaults).map(([name, { value }]) => [name, value]));
const reason = (type: string, property: string, value: unknown) => definition(type).defaults[property]!.validate?.call({}, value, {});

describe("dialogs of synthetic-gen and explode-trades", () => {
  it("have the defaults of the contract", () => {
    assert.deepEqual(defaultsOf("synthetic-gen"), {
      name: "", symbols: "AAPL GOOGL MSFT", batchSize: 50, interval: 1, batchCount: 0, seed: "", priceModel: "uniform", startTime: "", autoStart: true,
      maxInFlight: 500_000, maxInFlightBytes: 67_108_864, onFailure: "retry", maxAttempts: 5, deliveryTimeout: 300, caughtIsDone: false,
    });
    assert.deepEqual(defaultsOf("explode-trades"), { name: "", names: "documented", dedupe: 0, other: "reject" });
  });

  it("accept what the node accepts and say why not otherwise", () => {
    const cases: [string, string, unknown, boolean][] = [
      ...(["", "2024-11-01", "2024-11-01T13:30:00Z", "2024-11-01 13:30", "2024-11-01T13:30:00.5+01:00", "1730419200000"].map((v): [string, string, unknown, boolean] => ["synthetic-gen", "startTime", v, true])),
      ...(["tomorrow", "11/01/2024", "2024-11-01T"].map((v): [string, string, unknown, boolean] => ["synthetic-gen", "startTime", v, false])),
      ["synthetic-gen", "batchSize", "50", true], ["synthetic-gen", "batchSize", "0", false], ["synthetic-gen", "batchSize", "2.5", false], ["synthetic-gen", "batchSize", "1000001", false],
      ["synthetic-gen", "interval", "500 ms", true], ["synthetic-gen", "interval", "often", false],
      ["synthetic-gen", "batchCount", "-1", false], ["synthetic-gen", "symbols", "", false],
    ];
    for (const [type, property, value, good] of cases) {
      const answer = reason(type, property, value);
      if (good) assert.equal(answer, true, `${property} ${String(value)}`);
      else assert.equal(typeof answer, "string", `${property} ${String(value)} gives a reason`);
      const parse = () => parseGeneratorConfig({ [property]: value });
      if (good) parse(); else assert.throws(parse, `${property} ${String(value)}`);
    }
    for (const [value, good] of [["10 minutes", true], [0, true], ["a while", false]] as const) {
      assert.equal(reason("explode-trades", "dedupe", value) === true, good);
      if (good) parseExplodeConfig({ dedupe: value }); else assert.throws(() => parseExplodeConfig({ dedupe: value }));
    }
    assert.equal(reason("synthetic-gen", "batchSize", "${SIZE}"), true, "what the environment fills in is judged at deploy");
  });

  it("csv-replay: what the node refuses has a reason in the dialog, by what the dialog says now", () => {
    const at = (property: string, value: unknown, others: object = {}) => definition("csv-replay").defaults[property]!.validate!.call(others, value, {});
    const cases: [string, unknown, object, boolean][] = [
      ["timeZone", "", {}, true], ["timeZone", "America/New_York", {}, true], ["timeZone", "${ZONE}", {}, true], ["timeZone", "Mars/Phobos", {}, false],
      ["from", "2024-11-01", {}, true], ["from", "2024-11-01T13:30:00Z", {}, true], ["to", "1730419200000", {}, true], ["to", "2024-13-45", {}, false], ["to", "yesterday", {}, false],
      ["rate", "zero", { pace: "rate" }, false], ["rate", "zero", { pace: "max" }, true], ["speed", "0", { pace: "speed" }, false],
      ["columns", "{}", { dialect: "custom" }, false], ["autoStart", true, { file: "" }, false],
    ];
    for (const [property, value, others, good] of cases) {
      const answer = at(property, value, others);
      if (good) assert.equal(answer, true, `${property} ${String(value)}`);
      else assert.equal(typeof answer, "string", `${property} ${String(value)} gives a reason`);
    }
  });

  for (const type of ["synthetic-gen", "explode-trades"]) {
    it(`${type}: every input has a label, every label a text, and there is help and an icon`, () => {
      const folder = join(root, "nodes", type);
      const html = nodeHtml(type);
      const texts = JSON.parse(readFileSync(join(folder, "locales", "en-US", `${type}.json`), "utf8")) as Record<string, unknown>;
      for (const [, id] of html.matchAll(/<(?:input|select|textarea)[^>]* id="(node-input-[^"]+)"/g)) assert.ok(html.includes(`<label for="${id}"`), `label for ${id}`);
      for (const name of Object.keys(definition(type).defaults)) assert.ok(html.includes(`id="node-input-${name}"`), `an input for ${name}`);
      for (const [, key] of html.matchAll(new RegExp(`(?:data-i18n="(?:\\[placeholder\\])?|_\\(")(${type}\\.[\\w.]*\\w)"`, "g"))) {
        const text = key!.split(".").reduce<unknown>((node, part) => (node as Record<string, unknown> | undefined)?.[part], texts);
        assert.equal(typeof text, "string", key);
      }
      // Other texts than our own come from the editor's catalogue, which must be named.
      for (const [, key] of html.matchAll(/data-i18n="(?:\[placeholder\])?([^"]+)"/g)) assert.ok(key!.startsWith(`${type}.`) || key === "node-red:common.label.name", key);
      assert.match(readFileSync(join(folder, "locales", "en-US", `${type}.html`), "utf8"), new RegExp(`<script type="text/markdown" data-help-name="${type}">[\\s\\S]{500}`));
      assert.ok(existsSync(join(root, "icons", `${type}.svg`)));
    });
  }
});
