// What the container runs: puts the flow in place and becomes Node-RED, in this one process, so that signals reach it.
//
//   FLOW    a shipped flow by its name in the Import menu ("3 Kafka/Trades through Kafka"), or the path of a mounted one
//           (/flows/flows.json). It is copied to flows.json in the user directory; a copy that the editor changed is kept.
//           Empty: what lies in the user directory runs.
//   TICKLAKE_CONFIG  the settings file; otherwise /config/config.yaml, where one is mounted. What the environment says wins over it.
// All else: runtime/settings.js
const { existsSync, mkdirSync, readdirSync } = require("node:fs");
const { createRequire } = require("node:module");
const { isAbsolute, join, resolve } = require("node:path");
const { takeConsole } = require("./log.js");
const { placeFlow } = require("./place-flow.js");

/** The image's Node-RED, in the folder that this process is started in. */
const red = createRequire(join(process.cwd(), "package.json")).resolve("node-red/red.js");
const userDir = resolve(process.env.TICKLAKE_USER_DIR || "/data");

function refuse(message) {
  console.error(message);
  process.exit(1);
}

/** The file of a flow that FLOW names. */
function flowFile(flow) {
  if (isAbsolute(flow)) return existsSync(flow) ? flow : refuse(`FLOW=${flow}: there is no such file in the container. Mount it, or name a shipped flow.`);
  const examples = join(__dirname, "..", "examples");
  const file = join(examples, `${flow.replace(/\.json$/, "")}.json`);
  if (existsSync(file)) return file;
  const names = readdirSync(examples, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".json")).map((name) => name.slice(0, -5)).sort();
  return refuse(`FLOW=${flow}: no shipped flow has that name. There are:\n  ${names.join("\n  ")}\nor the absolute path of a mounted file.`);
}

try {
  takeConsole();
  const { useConfig } = require("../dist/lib/config");
  useConfig({ standard: "/config/config.yaml", folder: process.cwd(), environment: process.env, say: (line) => console.log(line) });
} catch (error) {
  refuse(error.message);
}
if (process.env.FLOW) {
  try {
    mkdirSync(userDir, { recursive: true });
    if (placeFlow(flowFile(process.env.FLOW), userDir) === "kept") {
      console.error(`${process.env.FLOW} differs from the flow in ${userDir}, which was edited there and runs on. Remove ${join(userDir, "flows.json")} to begin with the new one.`);
    }
  } catch (error) {
    refuse(`${userDir} cannot be written: ${error.message}. The container runs as user 1000; the volume must belong to it.`);
  }
}
process.argv = [process.argv[0], red, "--settings", join(__dirname, "settings.js"), "--userDir", userDir, "flows.json"];
require(red);
