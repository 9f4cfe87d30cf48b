// Builds dist/ (compiled TypeScript with each node's html, locales and icons beside it) and examples/ (the shipped flows).
// Skips silently where the sources are not there: `prepare` also runs in an unpacked package.
// Everything is built beside the old folders and swapped in at the end, so that a failed build leaves what worked.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { catalogue, languages, nodeHtml } from "./node-html.mjs";
import { isBuilt } from "./setup.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const at = (...p) => join(root, ...p);
const fresh = (name) => at(`.${name}-${process.pid}`);

/** Two renames: whoever reads the folder meanwhile finds the old or the new one, and two builds at once do not trip over each other. */
function swapIn(name) {
  const old = at(`.${name}-old-${process.pid}`);
  if (existsSync(at(name))) renameSync(at(name), old);
  if (existsSync(fresh(name))) renameSync(fresh(name), at(name));
  rmSync(old, { recursive: true, force: true });
}

function build() {
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  const compiled = spawnSync(process.execPath, [tsc, "-p", at("tsconfig.build.json"), "--outDir", fresh("dist"), "--noEmitOnError"], { stdio: "inherit" });
  if (compiled.status !== 0) return false;

  for (const type of readdirSync(at("nodes"))) {
    const html = at("nodes", type, `${type}.html`);
    if (!existsSync(html)) continue;
    const out = join(fresh("dist"), "nodes", type);
    mkdirSync(out, { recursive: true });
    writeFileSync(join(out, `${type}.html`), nodeHtml(type));
    cpSync(at("nodes", type, "locales"), join(out, "locales"), { recursive: true });
    for (const language of languages(type)) writeFileSync(join(out, "locales", language, `${type}.json`), `${JSON.stringify(catalogue(type, language), null, 2)}\n`);
    // Node-RED looks icons up in the folder of the node's entry file.
    const icon = at("icons", `${type}.svg`);
    if (existsSync(icon)) {
      mkdirSync(join(out, "icons"), { recursive: true });
      cpSync(icon, join(out, "icons", `${type}.svg`));
    }
  }
  // Only flows: sample data lies in resources/, and a folder without flows would be an empty entry of the Import menu.
  if (existsSync(at("flows"))) cpSync(at("flows"), fresh("examples"), { recursive: true, filter: (p) => !/\.[a-z]+$/i.test(p) || p.endsWith(".json") });
  swapIn("dist");
  swapIn("examples");
  return true;
}

// --stale (npm's `prepare`): only when a source is newer than what was built.
if (existsSync(at("tsconfig.build.json")) && !(process.argv.includes("--stale") && isBuilt())) {
  let ok = false;
  try { ok = build(); } finally { for (const name of ["dist", "examples"]) rmSync(fresh(name), { recursive: true, force: true }); }
  if (!ok) process.exit(1);
}
