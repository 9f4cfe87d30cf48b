#!/usr/bin/env node
/** `ticklake`: the documented pipeline's commands, run in Node-RED without an editor. Data goes to standard output, everything else to standard error. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { type Asked, parseCommandLine, UsageError } from "../lib/cli/arguments";
import { commandHelp, familyHelp, overview } from "../lib/cli/help";
import { familyOf } from "../lib/cli/parameters";
import { parseFlow, prepareFlow } from "../lib/cli/prepare-flow";
import { flowVariables, partsOf } from "../lib/cli/settings";
import { CONFIG_FILE, useConfig } from "../lib/config";
import { parseAccount } from "../lib/alpaca/account";
import { TicklakeError } from "../lib/errors";
import { findNodeRed } from "./find-node-red";
import { runFlow, type RunningFlow } from "./run-flow";
import { createPinot, queryPinot } from "./pinot";
import { runPipeline } from "./pipeline";
import { runReconcile } from "./reconcile";
import { say } from "./servers";
import { runSql } from "./sql";

/** dist/bin -> the package. */
const packageRoot = dirname(dirname(__dirname));
const DOCUMENTED = join("6 Documented pipeline", "Documented pipeline.json");
/** Exit codes. */
const OK = 0, FAILED = 1, USAGE = 2, ENDED_AT_ONCE = 130;

/** Commands that run no flow, and need no Node-RED. */
const ALONE: Readonly<Record<string, (asked: Asked, environment: NodeJS.ProcessEnv) => Promise<number>>> = { sql: runSql, reconcile: runReconcile, pipeline: runPipeline, "pinot create": createPinot, "pinot query": queryPinot };

async function main(argv: readonly string[]): Promise<number> {
  const { version } = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as { version: string };
  const first = argv[0];
  if (first === "--version" || first === "-v") { process.stdout.write(`${version}\n`); return OK; }
  if (first === "--help" || first === "-h" || first === "help") { process.stdout.write(overview(version)); return OK; }
  const family = first === undefined ? [] : familyOf(first);
  if (family.length > 0 && /^(-h|--help|help)$/.test(argv[1] ?? "")) { process.stdout.write(familyHelp(family)); return OK; }
  const asked = parseCommandLine(argv);
  if (asked.help) { process.stdout.write(commandHelp(asked.command)); return OK; }
  for (const { name, replacedBy } of asked.command.parameters) if (replacedBy && asked.values.has(name)) say(`--${name} ${asked.values.get(name)!} is not needed. ${replacedBy}`);
  configure(asked);
  return (ALONE[asked.command.name] ?? runPart)(asked, process.env);
}

/** From here on the environment holds what the command line, it, and config.yaml say, in this order. */
function configure(asked: Asked): void {
  const { command, values, lists } = asked, runsFlow = command.name === "run" || partsOf(command.name) !== undefined;
  for (const pair of lists.get("set") ?? []) if (!/^[A-Za-z_][A-Za-z0-9_]*=/.test(pair)) throw new UsageError(`--set takes KEY=VALUE, not "${pair.split("=")[0]!}".`, command.name);
  Object.assign(process.env, flowVariables(asked, process.env, process.cwd()));
  useConfig({ file: values.get("config"), standard: CONFIG_FILE, folder: process.cwd(), environment: process.env, say, ...(runsFlow ? {} : { source: "none" }) });
}

/** Runs a flow, or a part of the documented one, until its end or a signal. */
async function runPart(asked: Asked): Promise<number> {
  const { command, values, lists, positionals } = asked;
  // Known before anything starts.
  if (command.name === "live") parseAccount({ feed: process.env["ALPACA_FEED"], url: process.env["ALPACA_URL"] }, {}, (name) => process.env[name]);
  const file = command.name === "run" ? resolve(positionals[0]!) : shippedFlow();
  if (!existsSync(file)) throw new TicklakeError("FILE_NOT_FOUND", `No flow at ${file}.`);
  const listen = values.has("port") ? { port: Number(values.get("port")), host: process.env["HOST"] || "127.0.0.1" } : undefined;
  const flow = prepareFlow(parseFlow(readFileSync(file, "utf8"), file), { only: partsOf(command.name) ?? lists.get("only") ?? [], dashboard: listen !== undefined });
  const secrets = `${file.replace(/\.json$/, "")}_cred.json`;
  const folder = userFolder(command.name === "run" ? values.get("user-dir") ?? process.env["TICKLAKE_USER_DIR"] ?? ".ticklake" : undefined);
  const stopped = signalled();
  try {
    const running = await runFlow({
      red: findNodeRed(packageRoot).red, flow, packageRoot, userDir: folder.path, say: progress.say,
      ...(existsSync(secrets) ? { credentials: JSON.parse(readFileSync(secrets, "utf8")) as object } : {}),
      ...(process.env["NODE_RED_CREDENTIAL_SECRET"] ? { credentialSecret: process.env["NODE_RED_CREDENTIAL_SECRET"] } : {}),
      ...(listen ? { listen } : {}),
    });
    say(`${command.name} runs; Ctrl-C stops it with everything written.${running.url ? ` ${running.url}` : ""}`);
    return await untilEnd(running, stopped, values.has("quiet"));
  } finally {
    folder.remove();
  }
}

async function untilEnd(running: RunningFlow, stopped: Promise<void>, quiet: boolean): Promise<number> {
  if (!quiet) progress.begin(() => running.statistics.progress());
  const failed = await Promise.race([running.complete, stopped]).then(() => false, () => true);
  progress.end();
  await running.stop();
  if (failed) return FAILED;
  const { statistics } = running;
  say(statistics.report());
  const { sent, produced } = statistics.totals;
  // What is read from Kafka is read again; what a source has made or was told is lost when nobody has it.
  if (produced < sent) say(`${sent - produced} trades were not acknowledged by Kafka; the warnings above say why.`);
  return produced < sent ? FAILED : OK;
}

/** Resolves with the first SIGINT, SIGTERM or SIGHUP. A second one does not wait. */
function signalled(): Promise<void> {
  return new Promise((done) => {
    let asked = false;
    const stop = (): void => {
      if (asked) process.exit(ENDED_AT_ONCE);
      asked = true;
      progress.end();
      say("Stopping; writing what is under way ... (once more ends it at once)");
      done();
    };
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stop);
    // A process that was started by `ticklake pipeline` does not outlive it.
    if (process.channel) process.once("disconnect", stop);
  });
}

/** A line that is written over on a terminal, and one a minute elsewhere. */
const progress = {
  timer: undefined as NodeJS.Timeout | undefined,
  shown: false,
  begin(text: () => string): void {
    const terminal = process.stderr.isTTY;
    this.timer = setInterval(() => {
      process.stderr.write(terminal ? `\r\x1b[K${text().slice(0, (process.stderr.columns || 80) - 1)}` : `${text()}\n`);
      this.shown = Boolean(terminal);
    }, terminal ? 500 : 60_000);
    this.timer.unref();
  },
  clear(): void {
    if (this.shown) process.stderr.write("\r\x1b[K");
    this.shown = false;
  },
  say(this: void, text: string): void { progress.clear(); say(text); },
  end(): void { clearInterval(this.timer); this.clear(); },
};

function shippedFlow(): string {
  return ["flows", "examples"].map((folder) => join(packageRoot, folder, DOCUMENTED)).find((file) => existsSync(file)) ?? join(packageRoot, "examples", DOCUMENTED);
}

/** The folder that Node-RED calls its user directory: the one asked for, or one that is removed at the end. */
function userFolder(asked: string | undefined): { path: string; remove(): void } {
  const path = asked === undefined ? mkdtempSync(join(tmpdir(), "ticklake-")) : resolve(asked);
  mkdirSync(path, { recursive: true });
  // Node-RED looks here for the packages of its user.
  const packages = join(path, "package.json");
  if (!existsSync(packages)) writeFileSync(packages, `${JSON.stringify({ name: "node-red-project", description: "A Node-RED Project", version: "0.0.1", private: true }, null, 2)}\n`);
  return { path, remove: () => { if (asked === undefined) rmSync(path, { recursive: true, force: true }); } };
}

for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
main(process.argv.slice(2)).then((code) => process.exit(code), (error: unknown) => {
  progress.end();
  if (error instanceof UsageError) {
    say(`${error.message}\n${error.command ? `ticklake ${error.command} --help` : "ticklake --help"} tells what there is.`);
    process.exit(USAGE);
  }
  say(error instanceof TicklakeError ? error.message : error instanceof Error ? error.stack ?? error.message : String(error));
  process.exit(FAILED);
});
