import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { nodeFacts, type PropertyRow } from "../../../scripts/node-docs";
import { catalogue, languages, nodeHtml, nodeTypes } from "../../support/flows";

const root = join(__dirname, "..", "..", "..");

/** Names and terms that German data engineers use as they are. A text that consists of them may read the same in both languages. */
const TERMS = `AAPL Alpaca API Batch Batches Broker Bytes Client Cluster Consumer Controller Dead Endpoint Feed Format Frames Group Iceberg ID in Input JSON Kafka Key Lag Letters Name
  Node Offset Offsets Operation Overrides Partition Pinot Properties Property Prometheus Record Records Region SASL Schema Scope Secret Seed Server Session Snapshot Snapshots SQL Status TLS
  Token Topic Topics Trades Warehouse Writer optional s start stop pause resume seek subscribe backfill`.split(/\s+/);
const isTerm = (text: string): boolean => text.split(/[\s,/]+/).every((word) => TERMS.includes(word));

/** A catalogue as pairs of key and text. */
function texts(branch: object, path = ""): [string, string][] {
  return Object.entries(branch).flatMap(([key, value]) => (typeof value === "string" ? [[path + key, value] as [string, string]] : texts(value as object, `${path}${key}.`)));
}

const placeholders = (text: string): string[] => [...text.matchAll(/__\w+?__|\{\{\w+\}\}|<\/?\w+>/g)].map((m) => m[0]).sort();

interface Entry { readonly names: readonly string[]; readonly name: string; readonly kind: string; readonly text: string; readonly section: number }

/** A help text as its parts: what must be the same in every language, and the entries `: name (type) : text`. */
function help(type: string, language: string) {
  const text = readFileSync(join(root, "nodes", type, "locales", language, `${type}.html`), "utf8");
  let section = 0;
  const entries: Entry[] = [];
  const outline: string[] = [];
  for (const line of text.split("\n")) {
    const entry = /^: ([^:()]+) \(([^:()]+)\) : ([^:]+)$/.exec(line);
    if (line.startsWith("### ")) { section++; outline.push("###"); }
    else if (/^\d+\. /.test(line)) outline.push(line.slice(0, 2));
    else if (entry) {
      const [, name, kind, said] = entry as unknown as [string, string, string, string];
      entries.push({ names: name.split(", "), name, kind, text: said, section });
      // What a dialog calls a property is translated, a property of a message is not.
      outline.push(section === 1 ? `property (${kind})` : `${name} (${kind})`);
    } else if (line.startsWith(":")) assert.fail(`${type}, ${language}: the editor would not show this as a property: ${line}`);
    else if (line !== "") outline.push("text");
  }
  return { text, entries, outline, code: [...text.matchAll(/`[^`\n]+`|^(?:```)$|\]\(https?:[^)]+\)/gm)].map((m) => m[0]).sort(), properties: entries.filter((e) => e.section === 1) };
}

/** The row of a property whose label in the dialog is, or begins with, what the help calls it. */
const rowOf = (rows: readonly PropertyRow[], name: string): PropertyRow[] => rows.filter(({ label }) => label.toLowerCase().startsWith(name.toLowerCase()));

const WORDS: Record<string, { standard: RegExp; and: RegExp; on: string; off: string }> = {
  "en-US": { standard: /(?:^|.*\. )Default (.+)\.$/, and: / and |, /, on: "on", off: "off" },
  de: { standard: /(?:^|.*\. )Vorgabe (?!ist )(.+)\.$/, and: / und |, /, on: "an", off: "aus" },
};

describe("texts of the editor", () => {
  for (const type of nodeTypes()) {
    const english = new Map(texts(catalogue(type, "en-US")));

    it(`${type}: every key of its dialog has a text`, () => {
      const html = nodeHtml(type);
      const keys = [...html.matchAll(/data-i18n="([^"]+)"/g)].flatMap(([, list]) => list!.split(";").map((key) => key.replace(/^\[[\w-]+\]/, "")));
      // Those of scripts, except for keys that are put together.
      keys.push(...[...html.matchAll(new RegExp(`"(${type}\\.[\\w-]+(?:\\.[\\w-]+)+|ticklake\\.(?:reason|choose)\\.\\w+)"`, "g"))].map((m) => m[1]!));
      for (const key of keys) if (!key.startsWith("node-red:")) assert.ok(english.has(key), key);
    });

    it(`${type}: says the same in English and German`, () => {
      assert.deepEqual(languages(type).sort(), ["de", "en-US"]);
      const german = new Map(texts(catalogue(type, "de")));
      assert.deepEqual([...german.keys()].sort(), [...english.keys()].sort(), "the same keys: a text that is added, renamed or dropped changes both catalogues");
      for (const [key, text] of english) {
        const other = german.get(key)!;
        assert.notEqual(other.trim(), "", key);
        assert.deepEqual(placeholders(other), placeholders(text), `${key}: the same values in both`);
        if (other === text && !key.endsWith(".paletteLabel")) assert.ok(isTerm(text), `${key} is not translated: ${text}`);
        assert.doesNotMatch(other, /“[^“”„]*”/, `${key}: German quotation marks are „…“`);
      }
    });

    it(`${type}: its help has the same parts in English and German`, () => {
      const [en, de] = [help(type, "en-US"), help(type, "de")];
      assert.deepEqual(de.outline, en.outline, "headings, properties and paragraphs");
      assert.deepEqual(de.code, en.code, "code, values and links are not translated");
      assert.doesNotMatch(de.text, /“[^“”„]*”/);
    });

    for (const [language, words] of Object.entries(WORDS)) {
      it(`${type}: its help explains every property of the dialog, by its label and with its default (${language})`, () => {
        const { rows } = nodeFacts(type, language);
        const { properties } = help(type, language);
        const called = (entry: Entry): string[] => (rowOf(rows, entry.name).length > 0 ? [entry.name] : [...entry.names]);
        const said = properties.flatMap(called);
        for (const { label, property } of rows) {
          if (label !== "") assert.ok(said.some((name) => label.toLowerCase().startsWith(name.toLowerCase())), `${property} (${label}) is not explained`);
        }
        for (const entry of properties) {
          const told = words.standard.exec(entry.text)?.[1];
          if (told === undefined) continue;
          const defaults = (told.startsWith("`") ? [told] : told.split(words.and)).map((word) => word.replace(/`/g, ""));
          const names = called(entry);
          assert.equal(defaults.length, names.length, `${entry.name}: ${told}`);
          names.forEach((name, i) => {
            const value = defaults[i] === words.on ? "on" : defaults[i] === words.off ? "off" : defaults[i];
            const candidates = rowOf(rows, name).map((row) => row.standard.replace(/`/g, ""));
            assert.ok(candidates.includes(value!), `${entry.name}: the default is ${candidates.join(" or ")}, not ${value}`);
          });
        }
      });
    }
  }
});
