// Loaded before node-red-dev (node --require): answers what it looks up in the network from what is installed here, so that the scorecard
// judges this package and nothing else. The public catalogue of nodes is empty then, Node-RED's current release is the newest
// that the tests use, dependencies are those in node_modules, and how new they are is left to `npm outdated`.
const { readFileSync } = require("node:fs");
const Module = require("node:module");
const { dirname, join, resolve } = require("node:path");

/** The newest Node-RED that the tests use (scripts/stack.mjs). */
const redFile = process.env.TICKLAKE_NODE_RED_5 ?? resolve(__dirname, "../..", process.env.TICKLAKE_STACK || ".stack", "node-red-5/node_modules/node-red/red.js");
const modules = join(__dirname, "../../node_modules");
const manifest = (name) => JSON.parse(readFileSync(join(modules, name, "package.json"), "utf8"));

/** Name and version of a package and all that it needs, as npm installed them. */
function tree(name, seen = new Map()) {
  if (seen.has(name)) return seen;
  let found;
  try { found = manifest(name); } catch { return seen; } // optional, for another platform
  seen.set(name, `${name}@${found.version}`);
  for (const next of Object.keys({ ...found.dependencies, ...found.optionalDependencies })) tree(next, seen);
  return seen;
}

const stand = {
  axios: (loaded) => Object.assign(loaded, {
    get(url) {
      if (new URL(url).pathname === "/catalogue.json") return Promise.resolve({ data: { modules: [] } });
      if (new URL(url).pathname === "/node-red") {
        const red = JSON.parse(readFileSync(join(dirname(redFile), "package.json"), "utf8"));
        return Promise.resolve({ data: { "dist-tags": { latest: red.version }, versions: { [red.version]: red } } });
      }
      return Promise.reject(new Error(`The scorecard asks for ${url}, which test/support/scorecard-offline.cjs does not know.`));
    },
  }),
  "npm-remote-ls": (loaded) => ({ ...loaded, ls: (name, _version, _flatten, done) => done([...tree(name).values()]) }),
  "npm-check": () => () => Promise.resolve({ get: () => [] }),
};

const load = Module._load;
const replaced = new Map();
Module._load = function (request, parent, isMain) {
  const loaded = load.call(this, request, parent, isMain);
  if (!Object.hasOwn(stand, request)) return loaded;
  if (!replaced.has(request)) replaced.set(request, stand[request](loaded));
  return replaced.get(request);
};
