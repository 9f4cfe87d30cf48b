// What a node's folder becomes in dist/: its html and its catalogues.
//
// Dialogs share sections and rows: `<!-- include delivery-section.html -->` stands for nodes/shared/delivery-section.html, in which {{type}} is the node's type
// (each has its texts in a catalogue of its own) and {{input}} what ids of its fields begin with. A section may include others.
// A row takes parameters: `<!-- include row-number.html field=batchSize icon=cubes -->`. What may be left out: `icon`, `id` and `class` of the row,
// `placeholder` (alone: the text is in the catalogue, below "placeholder"), `hint` below the field (text in the catalogue, below "hint") and `describedby`.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const nodes = join(dirname(dirname(fileURLToPath(import.meta.url))), "nodes");

const INCLUDE = /^([ \t]*)<!-- include ([\w.-]+)((?: [\w-]+(?:="[^"]*"|=\S+)?)*) -->\n/gm;

/** How what may be left out stands in a row. */
const OPTIONAL = {
  icon: (name) => `<i class="fa fa-${name}"></i> `,
  id: (id) => ` id="${id}"`,
  class: (name) => ` ${name}`,
  placeholder: (text, { type, field }) => (text === true ? ` data-i18n="[placeholder]${type}.placeholder.${field}"` : ` placeholder="${text}"`),
  hint: (_, { type, field }) => `\n  <div style="margin:4px 0 0 105px; max-width:545px" data-i18n="${type}.hint.${field}"></div>`,
  describedby: (id) => ` aria-describedby="${id}"`,
};

/** @param {string} text @returns {Record<string, string | true>} */
function parameters(text) {
  return Object.fromEntries([...text.matchAll(/([\w-]+)(?:="([^"]*)"|=(\S+))?/g)].map(([, name, quoted, bare]) => [name, quoted ?? bare ?? true]));
}

/** @param {string} type @returns {string} */
export function nodeHtml(type) {
  const source = readFileSync(join(nodes, type, `${type}.html`), "utf8");
  const input = /category: "config"/.test(source) ? "node-config-input" : "node-input";
  const filled = (html) => html.replace(INCLUDE, (_, indent, file, text) => {
    const given = { type, input, ...parameters(text) };
    const included = readFileSync(join(nodes, "shared", file), "utf8").replace(/\{\{([\w-]+)\}\}/g, (whole, name) => {
      if (name in OPTIONAL) return given[name] === undefined ? "" : OPTIONAL[name](given[name], given);
      if (given[name] === undefined) throw new Error(`${type}.html: ${file} needs ${name}=…`);
      return given[name];
    });
    // Rows stand where they are included, sections are indented already.
    return filled(file.startsWith("row-") ? included.replace(/^(?=.)/gm, indent) : included);
  });
  return filled(source);
}

/** The languages of a node's texts: the folders of its locales. @param {string} type @returns {string[]} */
export function languages(type) {
  const folder = join(nodes, type, "locales");
  return existsSync(folder) ? readdirSync(folder) : [];
}

/** A node's texts in a language, and under "ticklake" those that all nodes share: each node has a catalogue of its own in the editor. @param {string} type @param {string} language */
export function catalogue(type, language) {
  const texts = (folder, name) => JSON.parse(readFileSync(join(nodes, folder, "locales", language, `${name}.json`), "utf8"));
  return { ...texts(type, type), ...texts("shared", "ticklake") };
}
