// npm run faults -- --minutes 30 --seed 7: the fault suite of the pipeline through Kafka for as long as you like. Each round has a seed, which is printed; the seed of a
// round that failed repeats it. --suite scale-out: that of several processes in one group, on one table and one topic.
import { spawnSync } from "node:child_process";
import { SetupError, checkNode, ensureBuilt, ensureInstalled, root } from "./setup.mjs";
import { ensureStack } from "./stack.mjs";

const args = process.argv.slice(2);
/** Test file and what it needs beside Kafka. */
const SUITES = { kafka: [], "scale-out": ["versitygw"] };
const options = { minutes: "30", seed: undefined, suite: "kafka" };
for (let k = 0; k < args.length; k++) {
  const name = args[k].replace(/^--/, "");
  if (!args[k].startsWith("--") || !(name in options) || !(name === "suite" ? args[k + 1] in SUITES : Number(args[k + 1]) >= 0)) {
    console.error(`${args[k]}? Usage: npm run faults -- [--minutes 30] [--seed 7] [--suite ${Object.keys(SUITES).join("|")}]`);
    process.exit(1);
  }
  options[name] = args[++k];
}
try {
  checkNode();
  ensureInstalled();
  ensureBuilt();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(error.message);
  process.exit(1);
}
const lacking = (await ensureStack(["python", "kafka", "java-17", ...SUITES[options.suite]])).filter((part) => !part.ok);
for (const part of lacking) console.error(`${part.name}: ${part.text}`);
if (lacking.length) process.exit(1);
const { status } = spawnSync(process.execPath, ["node_modules/mocha/bin/mocha.js", "--config", "test/mocharc.cjs", "--exit", `test/faults/${options.suite}.test.ts`], {
  cwd: root, stdio: "inherit", env: { ...process.env, TICKLAKE_VERBOSE: "1", TICKLAKE_FAULT_MINUTES: options.minutes, ...(options.seed ? { TICKLAKE_FAULT_SEED: options.seed } : {}) },
});
process.exitCode = status ?? 1;
