// A node's html as the editor gets it. Dialogs share sections: `<!-- include delivery-section.html -->` stands for
// nodes/shared/delivery-section.html, in which {{type}} is the node's type (each has its texts in a catalogue of its own). A section may include others.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const nodes = join(dirname(dirname(fileURLToPath(import.meta.url))), "nodes");

const INCLUDE = /^[ \t]*<!-- include ([\w.-]+) -->\n/gm;

/** @param {string} type @returns {string} */
export function nodeHtml(type) {
  const filled = (html) => html.replace(INCLUDE, (_, file) => filled(readFileSync(join(nodes, "shared", file), "utf8").replaceAll("{{type}}", type)));
  return filled(readFileSync(join(nodes, type, `${type}.html`), "utf8"));
}
