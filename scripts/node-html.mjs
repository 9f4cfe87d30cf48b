// What a node's folder becomes in dist/: its html and its catalogues.
//
// A node's html as the editor gets it. Dialogs share sections: `<!-- include delivery-section.html -->` stands for
// nodes/shared/delivery-section.html, in which {{type}} is the node's type (each has its texts in a catalogue of its own). A section may include others.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const nodes = join(dirname(dirname(fileURLToPath(import.meta.url))), "nodes");

const INCLUDE = /^[ \t]*<!-- include ([\w.-]+) -->\n/gm;

/** @param {string} type @returns {string} */
export function nodeHtml(type) {
  const filled = (html) => html.replace(INCLUDE, (_, file) => filled(readFileSync(join(nodes, "shared", file), "utf8").replaceAll("{{type}}", type)));
  return filled(readFileSync(join(nodes, type, `${type}.html`), "utf8"));
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
