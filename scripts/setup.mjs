// What `npm start` and `npm test` do first on a fresh clone: install the packages of the lock file and build, each only when needed.
// Plain Node without dependencies, because none are there yet.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const at = (...p) => join(root, ...p);

/** Something that the user has to mend; `message` says how. */
export class SetupError extends Error {}

/** Throws on a Node that is too old. */
export function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  throw new SetupError(`ticklake needs Node 20.19 or newer; this is ${process.version}. Get a current one at https://nodejs.org`);
}

/** The packages that the lock file wants and node_modules does not hold. */
export function missingPackages() {
  const installed = at("node_modules", ".package-lock.json");
  if (!existsSync(installed)) return ["everything"];
  const wanted = JSON.parse(readFileSync(at("package-lock.json"), "utf8")).packages;
  const have = JSON.parse(readFileSync(installed, "utf8")).packages;
  return Object.entries(wanted)
    // Optional ones are binaries of other platforms.
    .filter(([path, p]) => path !== "" && !p.optional && !p.devOptional && !p.extraneous && have[path]?.version !== p.version)
    .map(([path]) => path.replace(/^.*node_modules\//, ""));
}

/** Runs `npm ci` when something of the lock file is not installed. */
export function ensureInstalled(log = console.log) {
  const missing = missingPackages();
  if (!missing.length) return;
  log(missing[0] === "everything" ? "Installing packages (once, one to several minutes) ..." : `Installing packages (${missing.length} changed) ...`);
  // --include=dev: Node-RED itself is one, whatever NODE_ENV says. --ignore-scripts: we build ourselves, below.
  const result = npm(["ci", "--include=dev", "--no-fund", "--no-audit", "--loglevel=error", "--ignore-scripts"]);
  if (result.status !== 0) throw new SetupError("npm ci failed; the reason stands above. `npm start` and `npm test` need the npm registry once.");
}

function npm(args) {
  const windows = process.platform === "win32";
  return spawnSync(windows ? "npm.cmd" : "npm", args, { cwd: root, stdio: ["ignore", "inherit", "inherit"], shell: windows });
}

function newest(path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) return 0;
  return stat.isDirectory() ? Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name)))) : stat.mtimeMs;
}

/** Whether dist/ is newer than every source. */
export function isBuilt() {
  const built = statSync(at("dist"), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const sources = ["bin", "lib", "nodes", "icons", "flows", "tsconfig.json", "tsconfig.build.json", "scripts/build.mjs", "scripts/node-html.mjs"];
  return built > Math.max(...sources.map((s) => newest(at(s))));
}

/** Builds when a source is newer than dist/. */
export function ensureBuilt(log = console.log) {
  if (isBuilt()) return;
  log("Building ...");
  const result = spawnSync(process.execPath, [at("scripts", "build.mjs")], { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  if (result.status !== 0) throw new SetupError("The build failed; the reason stands above.");
}
