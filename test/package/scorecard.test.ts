import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root, temporaryFolder } from "../support/start";

describe("node-red-dev validate (the flow library's scorecard)", function () {
  this.timeout(60_000);
  const out = join(temporaryFolder("scorecard"), "scorecard.json");
  let log = "";
  let card: Record<string, { test: boolean; [fact: string]: unknown }>;

  before(() => {
    log = execFileSync(process.execPath, ["--require", join(root, "test", "support", "scorecard-offline.cjs"), join(root, "node_modules", "node-red-dev", "bin", "run"), "validate", "--path", root, "--output", out], { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    card = JSON.parse(readFileSync(out, "utf8")) as typeof card;
  });

  const CHECKS: Record<string, string> = {
    P01: "has a licence", P03: "names its repository and where to report bugs", P04: "has a scoped name", P05: "has the keyword node-red",
    P06: "says which Node-RED it runs on, a current one among them", P07: "says which Node it runs on, the least that Node-RED wants among them",
    N02: "has an example for every node", D01: "has at most six dependencies", D02: "depends on nothing that is known to break Node-RED",
  };
  for (const [code, what] of Object.entries(CHECKS)) it(`${code}: ${what}`, () => assert.equal(card[code]?.test, true, log));

  // D03 (every dependency is the newest) is not asked: it changes with each release of somebody else, not with this package. `npm outdated` tells it.
});
