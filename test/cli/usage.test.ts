import assert from "node:assert/strict";
import { runCommand } from "../support/command";

describe("the ticklake command, called wrongly or for help", function () {
  this.timeout(60_000);
  const cases: [string[], number, RegExp][] = [
    [["--help"], 0, /ticklake \d.*generate/s], [["flatten", "--help"], 0, /--output-mode.*both \| kafka-only/s], [["--version"], 0, /^\d+\.\d+\.\d+\n$/],
    [[], 2, /Say what to do/], [["flatten", "--out-mode", "both"], 2, /Did you mean --output-mode\?/], [["run", "nowhere.json"], 1, /No flow at/], [["run", "package.json"], 1, /is no flow/], [["run", "x.json", "--set", "nothing"], 2, /KEY=VALUE/],
  ];
  for (const [args, code, said] of cases) it(`ticklake ${args.join(" ")} ends with ${code}`, async () => {
    const ended = await runCommand(args);
    assert.equal(ended.code, code, ended.stderr);
    assert.match(ended.stdout + ended.stderr, said);
  });

  it("a Node-RED that is not there is told with how to install it, not with a stack", async () => {
    const { code, stderr } = await runCommand(["generate"], { TICKLAKE_NODE_RED: "/nowhere" });
    assert.equal(code, 1);
    assert.match(stderr, /TICKLAKE_NODE_RED=\/nowhere is no folder of Node-RED/);
    assert.doesNotMatch(stderr, / {4}at /);
  });

  it("a secret on the command line is not repeated", async () => {
    const { stderr, stdout } = await runCommand(["flatten", "--s3-secret-key", "planted-secret", "--output-mode", "nowhere"]);
    assert.doesNotMatch(stdout + stderr, /planted-secret/);
  });
});
