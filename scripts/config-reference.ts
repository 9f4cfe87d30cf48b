// Writes what comes from the table of keys in lib/config/keys.ts: resources/config.schema.json, for editors, and the table in docs/configuration.md.
//   npm run docs
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { jsonSchema, SETTINGS } from "../lib/config";
import { COMMANDS } from "../lib/cli/parameters";

const root = join(__dirname, "..");
export const SCHEMA_FILE = join(root, "resources", "config.schema.json");
export const PAGE = join(root, "docs", "configuration.md");

export const schemaText = (): string => `${JSON.stringify(jsonSchema(), undefined, 2)}\n`;

/** Rows of keys, variables, options of the command, defaults. */
export function tableText(): string {
  const cell = (text: string): string => text.replaceAll("|", "\\|");
  const rows = SETTINGS.map(({ path, variable, also, help, default: standard, secret }) => {
    const options = [...new Set(COMMANDS.flatMap(({ parameters }) => parameters).filter(({ env }) => env === variable).map(({ name }) => `\`--${name}\``))];
    return `| \`${path}\` | ${[variable, ...also].map((name) => `\`${name}\``).join(", ")} | ${options.join(", ")} | ${standard === undefined ? "" : `\`${standard}\``} | ${cell(help)}${secret ? "; secret" : ""} |`;
  });
  return ["| key | variable | option | default | |", "|---|---|---|---|---|", ...rows].join("\n");
}

/** The page with this table in the place of its own. */
export const withTable = (page: string): string => page.replace(/\| key \| variable[\s\S]*?(?=\n\n)/, () => tableText());

if (require.main === module) {
  writeFileSync(SCHEMA_FILE, schemaText());
  writeFileSync(PAGE, withTable(readFileSync(PAGE, "utf8")));
}
