// npm test: sets everything up (packages, build, the foreign servers and readers of scripts/stack.mjs) and runs all suites.
//
//   npm test                       everything
//   npm test -- unit nodes         some suites
//   npm test -- unit --grep ledger options go to mocha
//   npm test -- --list             the suites
//   npm test -- --once             no second try: a test that fails once has failed
//   npm test -- --lanes 1          one suite at a time; two on machines with two cores or more otherwise
//
// What has to be left out because a toolchain is missing is said loudly; with CI=true it is a failure, and so is a skipped test.
// Two suites run side by side, as most of them wait for servers or for one core; never two that start a JVM.
// A few files with failed tests are run once more when all suites are done, in a process of their own: on a machine that somebody else slows
// down a test against real servers can miss its time. What passes then is told as UNSTEADY, test by test, for somebody to mend. Suites that
// look for loss and doubling get no second try: there one failure in a hundred is the bug.
// The last line is always `N passed, N failed`.
import { availableParallelism } from "node:os";
import { inLanes, runSuite, tryAgain } from "./suites.mjs";
import { SetupError, checkNode, ensureBuilt, ensureInstalled } from "./setup.mjs";
import { ensureStack, findChromium, paths, stackDir } from "./stack.mjs";

const mocha = (folder, ...options) => ({ glob: `test/${folder}/**/*.test.ts`, options });

/** Name, what runs, what of the stack it needs, whether it loads dist/, whether a failure is final, and after how many minutes it counts as hanging. */
const SUITES = [
  { name: "types", minutes: 5, command: ["node_modules/typescript/bin/tsc", "--noEmit", "-p", "tsconfig.json"] },
  { name: "lint", minutes: 5, command: ["node_modules/eslint/bin/eslint.js", "."] },
  { name: "unit", minutes: 15, ...mocha("unit"), wants: ["python"] },
  { name: "nodes", minutes: 10, ...mocha("nodes") },
  { name: "delivery", minutes: 15, ...mocha("delivery"), built: true, once: true, wants: ["node22", "node-red-5"] },
  { name: "faults", minutes: 15, ...mocha("faults"), built: true, once: true, wants: ["python", "kafka", "java-17", "versitygw"] },
  // Without its folder kafka/, which has one broker for all its files. One process: its files share one Spark session, one S3 server, one REST catalog.
  { name: "integration", minutes: 20, glob: "test/integration/{*,lake/**/*}.test.ts", options: [], built: true, wants: ["python", "jars", "spark-kafka", "httpfs", "java", "versitygw", "rest-catalog", "kafka", "java-17", "node22", "node-red-5"] },
  { name: "alpaca", minutes: 10, ...mocha("integration/alpaca"), built: true, wants: ["node22", "node-red-5"] },
  { name: "kafka", minutes: 20, ...mocha("integration/kafka"), built: true, wants: ["python", "kafka", "java-17"] },
  // One Pinot and one broker for all its files.
  { name: "pinot", minutes: 15, ...mocha("integration/pinot"), built: true, wants: ["pinot", "kafka", "java-17", "versitygw", "chromium"] },
  { name: "flows", minutes: 15, ...mocha("flows"), built: true, wants: ["python", "kafka", "java-17", "node22", "node-red-5"] },
  { name: "cli", minutes: 10, ...mocha("cli"), built: true, wants: ["kafka", "java-17", "versitygw"] },
  { name: "package", minutes: 10, ...mocha("package"), built: true, wants: ["node22", "node-red-5"] },
  { name: "browser", minutes: 20, ...mocha("browser"), built: true, wants: ["chromium"] },
];

const ci = process.env.CI === "true" || process.env.CI === "1";
const args = process.argv.slice(2);
if (args.includes("--list")) {
  for (const s of SUITES) console.log(s.name.padEnd(12) + (s.glob ?? s.command.join(" ")));
  process.exit(0);
}
const firstOption = args.findIndex((a) => a.startsWith("-"));
const names = firstOption < 0 ? args : args.slice(0, firstOption);
const passedOn = firstOption < 0 ? [] : args.slice(firstOption).filter((a) => !["--verbose", "--once"].includes(a));
const once = args.includes("--once");
const laneOption = passedOn.indexOf("--lanes");
const lanes = laneOption >= 0 ? Number(passedOn.splice(laneOption, 2)[1]) : Math.min(2, availableParallelism());
if (!(lanes >= 1)) {
  console.error("--lanes wants a number: how many suites run side by side.");
  process.exit(1);
}
if (args.includes("--verbose")) process.env.TICKLAKE_VERBOSE = "1";
for (const name of names) {
  if (SUITES.some((s) => s.name === name)) continue;
  console.error(`There is no suite "${name}". There are: ${SUITES.map((s) => s.name).join(", ")}`);
  process.exit(1);
}
const suites = SUITES.filter((s) => names.length === 0 || names.includes(s.name));

const minutes = (ms) => `${(ms / 60_000).toFixed(1)} min`;

const began = Date.now();
try {
  checkNode();
  ensureInstalled();
  if (suites.some((s) => s.built)) ensureBuilt();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(error.message);
  console.log("0 passed, 1 failed");
  process.exit(1);
}
const wanted = [...new Set(suites.flatMap((s) => s.wants ?? []))];
const stack = await ensureStack(wanted);
const lacking = stack.filter((r) => !r.ok);
console.log(`Set up in ${minutes(Date.now() - began)}; servers and readers in ${stackDir}`);

const env = {
  ...process.env,
  TICKLAKE_STACK: stackDir,
  TICKLAKE_NODE22: paths.node22,
  TICKLAKE_NODE_RED_5: paths.nodeRed5,
  ...(findChromium() ? { TICKLAKE_CHROMIUM: findChromium() } : {}),
  FORCE_COLOR: process.stdout.isTTY ? "1" : "0",
};
// A run inside a Node-RED or npm of somebody else must not see their settings.
for (const key of Object.keys(env)) if (/^(NODE_RED_|TICKLAKE_(CATALOG|WAREHOUSE)|PORT$|npm_config_prefix$)/i.test(key)) delete env[key];

const startsJvm = (suite) => suite.wants?.some((name) => name.startsWith("java")) ?? false;
const ruler = (name) => console.log(`\n── ${name} ${"─".repeat(Math.max(0, 60 - name.length))}`);
const how = (suite) => ({ env: { ...env, TICKLAKE_LACKING: lackedBy(suite).map((r) => r.name).join(",") }, passedOn, named: lanes > 1 && suites.length > 1 });
const lackedBy = (suite) => lacking.filter((r) => suite.wants?.includes(r.name));

/** @type {Map<typeof SUITES[number], Awaited<ReturnType<typeof runSuite>>>} */
const resultOf = new Map();
await inLanes(suites, lanes, startsJvm, async (suite) => {
  const left = lackedBy(suite);
  ruler(suite.name);
  if (left.length && ci) {
    console.log(left.map((r) => `  ✘ ${r.name}: ${r.text}`).join("\n"));
    resultOf.set(suite, { name: suite.name, ms: 0, passed: 0, failures: left.map((r) => `${r.name} is missing: ${r.text.split("\n")[0]}`), skipped: [], unsteady: [], again: [] });
    return;
  }
  const result = await runSuite(suite, how(suite));
  resultOf.set(suite, result);
  if (ci) result.failures.push(...result.skipped.map((t) => `skipped: ${t}`));
  console.log(`\n  ${suite.name}: ${result.passed} passed, ${result.failures.length} failed${result.skipped.length ? `, ${result.skipped.length} skipped` : ""} in ${minutes(result.ms)}`);
});
if (!once) for (const [suite, result] of resultOf) await tryAgain(suite, result, how(suite));
const results = suites.map((suite) => resultOf.get(suite));
for (const r of results) r.failed = r.failures.length;

const sum = (key) => results.reduce((n, r) => n + r[key], 0);
console.log("\n── summary " + "─".repeat(52));
for (const r of results) console.log(`  ${r.failed ? "✘" : "✔"} ${r.name.padEnd(12)} ${String(r.passed).padStart(5)} passed ${String(r.failed).padStart(4)} failed ${minutes(r.ms).padStart(9)}`);
console.log(`  ${minutes(Date.now() - began)} in all`);
for (const r of results) for (const f of r.failures) console.log(`  ✘ ${r.name}: ${f}`);
for (const r of results) for (const t of r.unsteady) console.log(`  ! UNSTEADY, passed only at the second try: ${r.name}: ${t}`);
const skipped = results.flatMap((r) => r.skipped.map((t) => `${r.name}: ${t}`));
if (!ci && (lacking.length || skipped.length)) {
  console.log("\n" + "!".repeat(72));
  console.log("!! NOT EVERYTHING WAS TESTED");
  for (const r of lacking) console.log(`!! ${r.name}: ${r.text.split("\n")[0]}`);
  if (skipped.length) console.log(`!! ${skipped.length} tests were skipped:`);
  for (const t of skipped) console.log(`!!   ${t}`);
  console.log("!".repeat(72));
}
console.log(`${sum("passed")} passed, ${sum("failed")} failed`);
process.exitCode = sum("failed") ? 1 : 0;
