// Mocha's reporter for `npm test`: one line per test file, failures in full at the end, and the counts as JSON for the runner.
// With TICKLAKE_VERBOSE every test is named.
const { writeFileSync } = require("node:fs");
const { relative } = require("node:path");
const { reporters } = require("mocha");
const { Base, Spec } = reporters;

class Files extends Base {
  constructor(runner, options) {
    super(runner, options);
    const files = new Map();
    const seen = (test) => {
      const file = test.file ?? test.parent?.file ?? "?";
      if (!files.has(file)) files.set(file, { passes: 0, failures: 0, pending: 0, ms: 0 });
      return files.get(file);
    };
    const flush = (except) => {
      for (const [file, n] of files) {
        if (file === except) continue;
        files.delete(file);
        const parts = [`${n.passes} passed`, n.failures && `${n.failures} FAILED`, n.pending && `${n.pending} skipped`].filter(Boolean);
        console.log(`  ${n.failures ? "✘" : "✔"} ${relative(process.cwd(), file)}  ${parts.join(", ")}  ${(n.ms / 1000).toFixed(1)} s`);
      }
    };
    const count = (what) => (test) => { flush(test.file); const n = seen(test); n[what]++; n.ms += test.duration ?? 0; };
    runner.on("pass", count("passes"));
    runner.on("fail", (test, error) => { count("failures")(test); console.log(`    ✘ ${test.fullTitle()}: ${String(error.message).split("\n")[0]}`); });
    runner.on("pending", count("pending"));
    runner.once("end", () => { flush(); if (this.stats.failures) this.epilogue(); });
  }
}

module.exports = function Reporter(runner, options) {
  const reporter = process.env.TICKLAKE_VERBOSE ? new Spec(runner, options) : new Files(runner, options);
  const skipped = [];
  const failed = [];
  const passesOf = {};
  const fileOf = (test) => test.file ?? test.parent?.file ?? "?";
  runner.on("pending", (test) => skipped.push(test.fullTitle()));
  runner.on("pass", (test) => { passesOf[fileOf(test)] = (passesOf[fileOf(test)] ?? 0) + 1; });
  runner.on("fail", (test) => failed.push({ title: test.fullTitle(), file: fileOf(test) }));
  runner.once("end", () => {
    const { passes, failures } = reporter.stats;
    if (process.env.TICKLAKE_REPORT) writeFileSync(process.env.TICKLAKE_REPORT, JSON.stringify({ passes, failures, failed, skipped, passesOf }));
  });
  return reporter;
};
