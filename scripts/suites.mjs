// Runs test suites, each in processes of its own: in two lanes, with output told apart by the suite's name, and a second try for what failed.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { createInterface } from "node:readline";
import { root } from "./setup.mjs";

/** A suite with more files with failures than this met no slow machine: it fails at once. */
const MOST_TRIED_AGAIN = 3;

/** What runs now, to be ended with this process. @type {Set<(signal: NodeJS.Signals) => void>} */
const running = new Set();
const stop = (signal) => {
  for (const end of running) end("SIGTERM");
  setTimeout(() => { for (const end of running) end("SIGKILL"); process.exit(signal === "SIGINT" ? 130 : 143); }, 2000);
};
process.once("SIGINT", stop).once("SIGTERM", stop);

/**
 * Runs a command in a process group of its own, which ends with it: a test that fails must not leave servers behind.
 *
 * @param {string} [name] written before each line; without it the command writes straight to this process's output
 */
async function runProcess(argv, env, limitMinutes, name) {
  const folder = mkdtempSync(join(tmpdir(), "ticklake-report-"));
  const file = join(folder, "report.json");
  const posix = process.platform !== "win32";
  const child = spawn(process.execPath, argv, { cwd: root, env: { ...env, TICKLAKE_REPORT: file }, stdio: ["ignore", ...(name ? ["pipe", "pipe"] : ["inherit", "inherit"])], detached: posix });
  const end = (signal) => { try { process.kill(posix ? -child.pid : child.pid, signal); } catch { /* gone */ } };
  running.add(end);
  let hung = false;
  const timer = setTimeout(() => { hung = true; end("SIGKILL"); }, limitMinutes * 60_000);
  if (name) for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on("line", (line) => console.log(`${name.padEnd(11)} │ ${line}`));
  const code = await new Promise((done) => {
    child.on("error", () => done(1));
    // "close" would wait for whoever still holds the pipes, such as a server that a killed test left.
    child.on("exit", (c) => { end("SIGKILL"); if (!name) done(c ?? 1); else setTimeout(done, 10_000, c ?? 1).unref(); });
    child.on("close", (c) => done(c ?? 1));
  });
  clearTimeout(timer);
  end("SIGKILL");
  running.delete(end);
  const report = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;
  rmSync(folder, { recursive: true, force: true });
  return { code, hung, report };
}

/** What runs of a suite: a command, or the files of its glob or of `files` in mocha. */
function commandOf(suite, passedOn, files = suite.glob) {
  return suite.command ?? ["node_modules/mocha/bin/mocha.js", "--config", "test/mocharc.cjs", "--exit", "--reporter", "scripts/mocha-reporter.cjs", ...suite.options, ...passedOn, files];
}

/**
 * Runs a suite once.
 *
 * @param suite an entry of SUITES in test.mjs
 * @param {{ env: NodeJS.ProcessEnv, passedOn: string[], named: boolean }} how `named`: lines begin with the suite's name
 */
export async function runSuite(suite, { env, passedOn, named }) {
  const started = Date.now();
  const result = { name: suite.name, ms: 0, passed: 0, failures: [], skipped: [], unsteady: [], again: [] };
  const { code, hung, report } = await runProcess(commandOf(suite, passedOn), env, suite.minutes, named ? suite.name : undefined);
  const hanging = `hung for ${suite.minutes} minutes`;
  if (!suite.glob) {
    if (code === 0) result.passed = 1; else result.failures.push(hung ? hanging : "failed");
  } else if (report) {
    Object.assign(result, { passed: report.passes, failures: report.failed.map((f) => f.title), skipped: report.skipped });
    if (code !== 0 && report.failures === 0) result.failures.push(`mocha ended with code ${code}`);
    const files = [...new Set(report.failed.map((f) => f.file))];
    if (files.length <= MOST_TRIED_AGAIN && !files.includes("?") && !suite.once) {
      result.again = files.map((file) => ({ file, titles: report.failed.filter((f) => f.file === file).map((f) => f.title), passes: report.passesOf[file] ?? 0 }));
    }
  } else result.failures.push(hung ? hanging : `mocha ended with code ${code} before it was done`);
  result.ms = Date.now() - started;
  return result;
}

/** Whole files, as their tests may build on one another. One that passes now has its failures moved to `unsteady`. */
export async function tryAgain(suite, result, { env, passedOn }) {
  for (const { file, titles, passes } of result.again) {
    console.log(`\n  Once more, by itself: ${relative(root, file)}`);
    const { code, report } = await runProcess(commandOf(suite, passedOn, file), env, suite.minutes);
    if (code !== 0 || !report || report.failures > 0 || report.passes === 0) continue;
    result.failures = result.failures.filter((f) => !titles.includes(f));
    result.unsteady.push(...titles);
    result.passed += report.passes - passes;
  }
}

/**
 * Runs all, as many side by side as there are lanes. Those that `exclusive` names are never two at a time, and begin first: their row is the longest.
 *
 * @template T
 * @param {readonly T[]} all
 * @param {number} lanes
 * @param {(one: T) => boolean} exclusive
 * @param {(one: T) => Promise<void>} run
 */
export async function inLanes(all, lanes, exclusive, run) {
  const waiting = lanes > 1 ? [...all].sort((a, b) => Number(exclusive(b)) - Number(exclusive(a))) : [...all];
  const under = new Map();
  while (waiting.length > 0 || under.size > 0) {
    const busy = [...under.keys()].some(exclusive);
    const next = under.size < lanes ? waiting.findIndex((one) => !(busy && exclusive(one))) : -1;
    if (next >= 0) {
      const [one] = waiting.splice(next, 1);
      under.set(one, run(one).finally(() => under.delete(one)));
    } else await Promise.race(under.values());
  }
}
