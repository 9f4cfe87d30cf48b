// npm run bench -- <name> [options]: runs bench/<name>.ts; without a name, says what there is.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { ensureInstalled, root } from "./setup.mjs";

const [name, ...options] = process.argv.slice(2);
const folder = join(root, "bench");
const names = existsSync(folder) ? readdirSync(folder).filter((f) => f.endsWith(".ts")).map((f) => f.slice(0, -3)).sort() : [];

if (!name || !names.includes(name)) {
  if (name) console.error(`There is no benchmark "${name}".`);
  console.log("npm run bench -- <name>, one of:");
  for (const n of names) {
    const first = /^(?:\/\*\*?|\/\/)\s*\*?\s*(.+?)(?:\*\/)?$/m.exec(readFileSync(join(folder, `${n}.ts`), "utf8"))?.[1] ?? "";
    console.log(`  ${n.padEnd(16)} ${first}`);
  }
  process.exit(name ? 1 : 0);
}
ensureInstalled();
const run = spawnSync(process.execPath, ["--expose-gc", "--require", "tsx/cjs", join(folder, `${name}.ts`), ...options], { cwd: root, stdio: "inherit" });
process.exit(run.status ?? 1);
