// Builds dist/ (compiled TypeScript with each node's html, locales and icons beside it) and examples/ (the shipped flows).
// Skips silently where the sources are not there: `prepare` also runs in an unpacked package.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const at = (...p) => join(root, ...p);

if (existsSync(at("tsconfig.build.json"))) {
  rmSync(at("dist"), { recursive: true, force: true });
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  execFileSync(process.execPath, [tsc, "-p", at("tsconfig.build.json")], { stdio: "inherit" });

  for (const type of readdirSync(at("nodes"))) {
    const html = at("nodes", type, `${type}.html`);
    if (!existsSync(html)) continue;
    const out = at("dist", "nodes", type);
    mkdirSync(out, { recursive: true });
    cpSync(html, join(out, `${type}.html`));
    const locales = at("nodes", type, "locales");
    if (existsSync(locales)) cpSync(locales, join(out, "locales"), { recursive: true });
    // Node-RED looks icons up in the folder of the node's entry file.
    const icon = at("icons", `${type}.svg`);
    if (existsSync(icon)) {
      mkdirSync(join(out, "icons"), { recursive: true });
      cpSync(icon, join(out, "icons", `${type}.svg`));
    }
  }
  rmSync(at("examples"), { recursive: true, force: true });
  if (existsSync(at("flows"))) cpSync(at("flows"), at("examples"), { recursive: true, filter: (p) => !/\.(md|csv|gz)$/.test(p) });
}
