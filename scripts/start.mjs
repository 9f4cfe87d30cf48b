// npm start: sets everything up and runs Node-RED with the quick-start flow.
//
//   npm start                      editor, dashboard, trades landing in an Iceberg table on this disk
//   PORT=1881 npm start            another port
//   npm start -- --headless        no editor; the flow and its dashboard run
//   npm start -- --reset           forget the flow and the data of earlier runs first
//   npm start -- --config FILE     settings for flows that read variables of the environment (config.yaml in this folder, where there is one)
//
// The user directory (.ticklake, or $TICKLAKE_USER_DIR) holds the copy of the flow that the editor works on, the warehouse and
// whatever else Node-RED keeps. The shipped flow is only ever read.
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { join, relative, resolve } from "node:path";
import { STATE, placeFlow, readState, saveState } from "../runtime/place-flow.js";
import { SetupError, checkNode, ensureBuilt, ensureInstalled, root } from "./setup.mjs";

const SHIPPED = join(root, "flows", "1 Quick start", "Trades into an Iceberg table.json");
const TABLE = ["db", "flattened_stocks"];

const userDir = resolve(process.env.TICKLAKE_USER_DIR || join(root, ".ticklake"));
const stateFile = join(userDir, STATE);
const host = process.env.HOST || "127.0.0.1";
const args = process.argv.slice(2);
const headless = args.includes("--headless") || Boolean(process.env.TICKLAKE_HEADLESS);

// With LOG_FORMAT=json or gcp, what is said here is an entry of the log like any other.
try { createRequire(import.meta.url)("../runtime/log.js").takeConsole(); } catch (error) { console.error(error.message); process.exit(1); }
const say = (text = "") => console.log(text);
const isAlive = (pid) => { try { process.kill(pid, 0); return true; } catch (error) { return error.code === "EPERM"; } };

/** Two processes on one user directory would overwrite each other's flows. */
function refuseSecondProcess() {
  const { pid, url } = readState(userDir);
  if (pid && pid !== process.pid && isAlive(pid)) {
    throw new SetupError(`ticklake runs already on ${userDir} (process ${pid}${url ? `, ${url}` : ""}). Stop it with: kill ${pid}\nOr give this one a folder of its own: TICKLAKE_USER_DIR=... PORT=... npm start`);
  }
}

/** Removes the user directory, but only one that this script made. */
function reset() {
  if (!existsSync(userDir)) return;
  if (!existsSync(stateFile) && readdirSync(userDir).length > 0) {
    throw new SetupError(`${userDir} was not made by npm start (it holds no ${relative(userDir, stateFile)}), so --reset leaves it alone. Remove it yourself if that is meant.`);
  }
  rmSync(userDir, { recursive: true, force: true });
  say(`Removed ${userDir}`);
}

/** The editor works on a copy of the shipped flow. */
function placeShippedFlow() {
  const outcome = placeFlow(SHIPPED, userDir);
  if (outcome === "updated") say("The quick-start flow has changed since your last start; the new one is in place.");
  if (outcome === "kept") {
    say(`The shipped quick-start flow has changed; your edited copy was kept. The new one is in the editor's menu under Import > Examples,\nor start afresh, without flow and data: npm start -- --reset`);
  }
}

/** The port asked for, checked before Node-RED loads: its own message comes late. 0 = any free one. */
function choosePort() {
  const asked = process.env.PORT ?? "1880";
  const port = Number(asked);
  if (!Number.isInteger(port) || port < 0 || port > 65535) throw new SetupError(`PORT=${asked} is no port number. Example: PORT=1881 npm start`);
  return new Promise((done, fail) => {
    const probe = createServer();
    probe.once("error", (error) => fail(new SetupError(
      error.code === "EADDRINUSE" ? `Port ${port} is taken by another program. Choose another one: PORT=${port + 1} npm start`
        : error.code === "EACCES" ? `Port ${port} is not allowed for this user. Choose one above 1023: PORT=1880 npm start`
        : `Cannot listen on ${host}:${port}: ${error.message}`)));
    probe.listen(port, host, () => { const free = probe.address().port; probe.close(() => done(free)); });
  });
}

/** The file of --config, taken out of the arguments. */
function takeConfigName() {
  const at = args.findIndex((a) => a === "--config" || a.startsWith("--config="));
  if (at < 0) return undefined;
  const [option, name = option.slice("--config=".length)] = args.splice(at, args[at] === "--config" ? 2 : 1);
  if (!name || name.startsWith("--")) throw new SetupError("--config takes the name of a file: npm start -- --config config.yaml");
  return name;
}

/** What config.yaml says goes into the environment, where it does not say so itself. */
function readConfig(file) {
  const { useConfig } = createRequire(import.meta.url)("../dist/lib/config");
  try {
    useConfig({ file, standard: "config.yaml", folder: process.cwd(), environment: process.env, say });
  } catch (error) {
    throw error.code === "INTERNAL" || !error.kind ? error : new SetupError(error.message);
  }
}

function pageAddress(url) {
  const flow = JSON.parse(readFileSync(join(userDir, "flows.json"), "utf8"));
  const base = flow.find((n) => n.type === "ui-base");
  const page = flow.find((n) => n.type === "ui-page" && n.ui === base?.id);
  return base && page ? `${url}${base.path}${page.path}` : undefined;
}

function welcome(url) {
  const table = join(userDir, "warehouse", ...TABLE);
  const dashboard = pageAddress(url);
  say();
  say("  ticklake is running");
  say();
  say(headless ? `    Server     ${url}   (headless: no editor)` : `    Editor     ${url}/`);
  if (dashboard) say(`    Dashboard  ${dashboard}`);
  say(`    Table      ${table}   (${existsSync(table) ? "goes on growing" : "first commit after a few seconds"})`);
  say();
  say("  Read the table with an engine of your own:");
  say(`    duckdb -c "INSTALL iceberg; LOAD iceberg; SELECT S AS symbol, count(*) AS trades FROM iceberg_scan('${table}') GROUP BY 1"`);
  say(`    python -c "from pyiceberg.table import StaticTable; print(StaticTable.from_metadata('${table}').scan(limit=10).to_pandas())"   (pip install "pyiceberg[pyarrow,pandas]")`);
  say();
  if (!["127.0.0.1", "localhost", "::1"].includes(host) && !headless && !process.env.TICKLAKE_ADMIN_PASSWORD) {
    say(`  ! The editor listens on ${host} without a password: whoever reaches it can run programs on this machine.`);
    say("  ! Use --headless, or set TICKLAKE_ADMIN_PASSWORD.");
    say();
  }
  say("  Ctrl-C stops it; what has been read is written first.");
  say();
}

/** Started by npm: when npm is killed without a chance to pass it on, this process must not live on unseen and hold the port. */
function stopWithParent() {
  if (process.env.npm_lifecycle_event !== "start") return;
  const parent = process.ppid;
  setInterval(() => { if (process.ppid !== parent) process.kill(process.pid, "SIGTERM"); }, 1000).unref();
}

// A terminal or a pipe that is gone must not end the process before it has written its data.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);

async function main() {
  checkNode();
  if (args.includes("--help")) { say(/^(\/\/.*\n)+/.exec(readFileSync(new URL(import.meta.url), "utf8"))[0].replace(/^\/\/ ?/gm, "")); return; }
  const config = takeConfigName();
  const unknown = args.find((a) => !["--headless", "--reset"].includes(a));
  if (unknown) throw new SetupError(`I do not know ${unknown}. There are --headless, --reset, --config and --help.`);
  refuseSecondProcess();
  if (args.includes("--reset")) reset();
  ensureInstalled();
  ensureBuilt();
  readConfig(config);
  const port = await choosePort();
  mkdirSync(userDir, { recursive: true });
  const url = `http://${host.includes(":") ? `[${host}]` : host === "0.0.0.0" ? "127.0.0.1" : host}:${port}`;
  saveState(userDir, { pid: process.pid, url });
  placeShippedFlow();

  Object.assign(process.env, { PORT: String(port), TICKLAKE_USER_DIR: userDir, ...(headless ? { TICKLAKE_HEADLESS: "1" } : {}) });
  // Node-RED's own start script, in this process: signals reach it without a parent in between, and its exit code is ours.
  const require = createRequire(join(root, "package.json"));
  const RED = require("node-red");
  let started = false;
  const begun = () => { if (!started) { started = true; welcome(url); } };
  RED.events.on("flows:started", begun);
  // A flow that names nodes of a package that is not installed waits in the editor for somebody to mend it.
  RED.events.on("runtime-event", (event) => {
    if (event.payload?.error !== "missing-types") return;
    say(`  ! The flow does not run: these nodes are not installed: ${event.payload.types?.map((t) => t.type ?? t).join(", ") ?? "see the editor"}`);
    begun();
  });
  for (const signal of ["SIGINT", "SIGTERM"]) process.prependOnceListener(signal, () => say("\n  Stopping; writing what is under way ..."));
  process.once("exit", (code) => { saveState(userDir, { pid: undefined, url: undefined }); if (started && code === 0) say("  Stopped."); });
  stopWithParent();
  process.argv = [process.argv[0], require.resolve("node-red/red.js"), "--settings", join(root, "runtime", "settings.js"), "--userDir", userDir, "flows.json"];
  require("node-red/red.js");
}

main().catch((error) => {
  console.error(error instanceof SetupError ? error.message : error);
  process.exitCode = 1;
});
