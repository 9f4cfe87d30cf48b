// Writes the table of properties in docs/nodes/<type>.md from what the code knows of a node: the defaults, validators and credentials that its
// dialog registers, the dialog's fields, the English labels. The last column is written by hand and kept; a new property gets an empty cell, which
// the test of the documentation refuses.
//   npm run docs            writes what has changed
//   npm run docs -- --check names the pages that differ, and fails
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { runInNewContext } from "node:vm";

const root = dirname(__dirname);
const nodeHtml = (createRequire(__filename)("./node-html.mjs") as { nodeHtml(type: string): string }).nodeHtml;

export const BEGIN = "<!-- properties: written by `npm run docs`, except for the last column -->";
export const END = "<!-- end of properties -->";

/** What a shared validator of resources/editor.js was asked for. */
interface Rule { readonly rule: string; readonly min?: number; readonly max?: number; readonly integer?: boolean; readonly optional?: boolean }
interface Default { readonly value: unknown; readonly type?: string; readonly required?: boolean; readonly validate?: unknown }
interface Definition {
  readonly category: string;
  readonly defaults: Record<string, Default>;
  readonly credentials?: Record<string, { readonly type: string }>;
  readonly inputs?: number;
  readonly outputs?: number;
  readonly outputLabels?: (this: { _: (key: string) => string }, index: number) => string;
}

export interface PropertyRow {
  readonly property: string;
  /** As the dialog names it; empty where it shows no field of that name. */
  readonly label: string;
  readonly takes: string;
  readonly standard: string;
}
export interface NodeFacts { readonly ports: string; readonly rows: readonly PropertyRow[] }

/** Types of nodes that have a page. */
export function documentedTypes(): string[] {
  return readdirSync(join(root, "nodes")).filter((type) => existsSync(join(root, "nodes", type, `${type}.html`))).sort();
}

/** What the code says of a node type, with labels in a language: its ports, and a row for each property except `name` and the `<name>Type` beside typed ones. */
export function nodeFacts(type: string, language = "en-US"): NodeFacts {
  const html = nodeHtml(type);
  const definition = registered(html, type);
  const texts = catalogue(type, language);
  const typed = typedInputs(html);

  const rows = Object.entries(definition.defaults)
    .filter(([name]) => name !== "name" && !(name.endsWith("Type") && name.slice(0, -4) in definition.defaults))
    .map(([name, def]): PropertyRow => {
      const types = `${name}Type` in definition.defaults ? typed.get(name) : undefined;
      if (`${name}Type` in definition.defaults && !types) throw new Error(`${type}: the dialog does not say which types ${name} takes (ticklake.typed).`);
      return { property: name, label: labelOf(html, name, texts.of), takes: takes(def, choices(html, name, texts.about), isCheckbox(html, name), types ?? (isJson(html, name) ? ["json"] : undefined)), standard: standard(def) };
    });
  for (const [name, { type: kind }] of Object.entries(definition.credentials ?? {})) {
    rows.push({ property: name, label: labelOf(html, name, texts.of), takes: kind === "password" ? "secret" : "credential", standard: "" });
  }
  return { ports: ports(definition, texts.of), rows };
}

/** A page with its table of properties as the code has it now. */
export function withTable(type: string, page: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`docs/nodes/${type}.md has no place for the properties. Put in these two lines:\n${BEGIN}\n${END}`);
  return page.slice(0, begin) + table(nodeFacts(type), meanings(page.slice(begin, end))) + page.slice(end);
}

/** The meaning of each property, as the last column of a page's table has it. */
export function meanings(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of text.split("\n")) {
    const name = /^\| `(\w+)` \|/.exec(line)?.[1];
    if (name !== undefined) found.set(name, cells(line).at(-1)!);
  }
  return found;
}

/** The cells of a row; a pipe that is written as `\|` belongs to its cell. */
const cells = (line: string): string[] => line.trim().slice(1, -1).split(/(?<!\\)\|/).map((cell) => cell.trim());

function table({ ports, rows }: NodeFacts, said: Map<string, string>): string {
  const lines = rows.map((row) => `| \`${row.property}\` | ${row.label} | ${row.takes} | ${row.standard} | ${said.get(row.property) ?? ""} |`.replace(/ {2,}/g, " "));
  return [BEGIN, "", ports, "", "| property | in the dialog | takes | default | meaning |", "|---|---|---|---|---|", ...lines, "", ""].join("\n");
}

function ports({ category, inputs = 0, outputs = 0, outputLabels }: Definition, texts: (key: string) => string): string {
  if (category === "config") return "A configuration node: it has no wires, other nodes name it.";
  const labels = outputLabels ? Array.from({ length: outputs }, (_, i) => outputLabels.call({ _: texts }, i)) : [];
  const named = labels.map((label, i) => (outputs > 1 ? `${i + 1} ${label}` : label)).join(", ");
  const count = (n: number, one: string): string => (n === 0 ? `no ${one}` : n === 1 ? `1 ${one}` : `${n} ${one}s`);
  const text = `${count(inputs, "input")}, ${count(outputs, "output")}${named === "" ? "" : ` (${named})`}.`;
  return text[0]!.toUpperCase() + text.slice(1);
}

/** Runs the script of a node's html with nothing of the editor but what registers. */
function registered(html: string, type: string): Definition {
  let definition: Definition | undefined;
  const rule = (name: string) => (o: object | string = {}): Rule => ({ ...(typeof o === "object" ? o : {}), rule: name });
  const validate = new Proxy({}, { get: (_, name) => rule(String(name)) });
  const RED = { nodes: { registerType: (name: string, def: Definition) => { if (name === type) definition = def; } } };
  const window: { ticklake?: Record<string, unknown> } = {};
  runInNewContext(readFileSync(join(root, "resources", "editor.js"), "utf8"), { RED, window });
  const ticklake = Object.assign(window.ticklake!, { validate });
  for (const [, attributes, script] of html.matchAll(/<script([^>]*)>([\s\S]*?)<\/script>/g)) {
    if (/text\/(html|markdown)|src=/.test(attributes!)) continue;
    runInNewContext(script!, { RED, ticklake, window, $: () => ({}) });
  }
  if (!definition) throw new Error(`nodes/${type}/${type}.html registers no node ${type}.`);
  return definition;
}

/** The types of each typed input. */
function typedInputs(html: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  const add = (names: string, types: string): void => {
    for (const [, name] of names.matchAll(/"(\w+)"/g)) found.set(name!, [...types.matchAll(/"(\w+)"/g)].map((m) => m[1]!));
  };
  for (const [, name, types] of html.matchAll(/ticklake\.typed\(("\w+"), \[([^\]]*)\]/g)) add(name!, types!);
  for (const [, names, types] of html.matchAll(/\[([^\]]*)\]\.forEach\(function \(name\) \{ ticklake\.typed\(name, \[([^\]]*)\]/g)) add(names!, types!);
  // SQL has a select of its own beside the editor (nodes/shared/sql-section.html).
  const sources = options(html, "sqlSource");
  if (sources.length > 0) found.set("sql", sources);
  return found;
}

/** The values of a select in the html, and those that the dialog appends to it. */
function options(html: string, name: string): string[] {
  const select = new RegExp(`<select id="node-(?:config-)?input-${name}"[^>]*>([\\s\\S]*?)</select>`).exec(html)?.[1];
  if (select === undefined) return [];
  const appended = [...html.matchAll(new RegExp(`#node-input-${name}"\\)\\.append\\(\\$\\("<option>"\\)\\.val\\("([^"]+)"`, "g"))];
  return [...select.matchAll(/<option value="([^"]*)"/g), ...appended].map((m) => m[1]!);
}

/** What may be chosen: of a select that a script fills, what the catalogue explains (`about`); of a text with a select of kinds beside it, those kinds. */
function choices(html: string, name: string, about: readonly string[]): string[] {
  const own = options(html, name);
  if (own.length === 0 && new RegExp(`<select id="node-input-${name}"`).test(html)) return [...about];
  return own.length > 0 ? own : options(html, `${name}Kind`).filter((kind) => kind !== "custom");
}

const isJson = (html: string, name: string): boolean => new RegExp(`(#node-input-|field\\(")${name}"\\)\\.typedInput\\(\\{ (default|type): "json"`).test(html);
const isCheckbox = (html: string, name: string): boolean => new RegExp(`<input type="checkbox" id="node-(?:config-)?input-${name}"`).test(html);

function labelOf(html: string, name: string, texts: (key: string) => string): string {
  const label = new RegExp(`<label for="node-(?:config-)?input-${name}(?:Kind|Source)?"[^>]*>([\\s\\S]*?)</label>`).exec(html)?.[1] ?? "";
  const key = /data-i18n="([\w.-]+)"/.exec(label)?.[1];
  return key === undefined ? "" : texts(key).split(": ")[0]!;
}

/** The texts of a node in a language: by their key, and the names of what `about` explains. */
function catalogue(type: string, language: string): { of: (key: string) => string; about: string[] } {
  const texts = JSON.parse(readFileSync(join(root, "nodes", type, "locales", language, `${type}.json`), "utf8")) as Record<string, { about?: Record<string, string> }>;
  const of = (key: string): string => {
    const text = key.split(".").reduce<unknown>((at, part) => (at as Record<string, unknown> | undefined)?.[part], texts);
    if (typeof text !== "string") throw new Error(`${type}: no text ${key} in the catalogue of ${language}.`);
    return text;
  };
  return { of, about: Object.keys(texts[type]?.about ?? {}) };
}

const TYPES: Record<string, string> = { str: "text", num: "number", json: "JSON", env: "`env`", msg: "`msg`", flow: "`flow`", global: "`global`", jsonata: "JSONata" };

function takes(def: Default, options: readonly string[], checkbox: boolean, types?: readonly string[]): string {
  if (def.type !== undefined) return def.type === "tls-config" ? "a `tls-config`" : `${/^[aeiou]/.test(def.type) ? "an" : "a"} [${def.type}](${def.type}.md)`;
  const rule: Partial<Rule> = typeof def.validate === "object" && def.validate !== null ? def.validate : {};
  if (options.length > 0) return options.map((option) => `\`${option}\``).join(", ") + (rule.rule === undefined && def.validate ? ", JSON" : "");
  if (checkbox || typeof def.value === "boolean") return "on, off";
  if (types) return types.map((type) => TYPES[type] ?? `\`${type}\``).join(", ");
  if (rule.rule === "duration") return "seconds, or a duration in words";
  if (rule.rule === "json") return "JSON";
  if (rule.rule === "number" || typeof def.value === "number") return `${rule.integer ? "whole number" : "number"}${bounds(rule)}`;
  return "text";
}

function bounds({ min, max }: Partial<Rule>): string {
  if (min !== undefined && max !== undefined) return `, ${min} to ${max}`;
  if (min !== undefined) return `, from ${min}`;
  return max === undefined ? "" : `, up to ${max}`;
}

function standard({ value, required, validate }: Default): string {
  const rule: Partial<Rule> = typeof validate === "object" && validate !== null ? validate : {};
  if (value === "" || value === undefined) return required === true || rule.rule === "config" || (rule.rule === "text" && rule.optional !== true) ? "*required*" : "";
  if (typeof value === "boolean") return value ? "on" : "off";
  return String(value).includes("\n") ? "the documented query" : `\`${String(value)}\``;
}

if (require.main === module) {
  const check = process.argv.includes("--check");
  const differing = documentedTypes().filter((type) => {
    const file = join(root, "docs", "nodes", `${type}.md`);
    const page = readFileSync(file, "utf8");
    const wanted = withTable(type, page);
    if (wanted !== page && !check) writeFileSync(file, wanted);
    return wanted !== page;
  });
  const list = differing.join(", ");
  console.log(differing.length === 0 ? "The pages of all nodes are as the code has it." : check ? `These pages differ from the code; run npm run docs: ${list}` : `Written: ${list}`);
  if (check && differing.length > 0) process.exitCode = 1;
}
