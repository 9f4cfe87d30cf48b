// Puts a shipped or mounted flow into a user directory. Node-RED's editor works on that copy; the original is only ever read.
const { createHash } = require("node:crypto");
const { existsSync, readFileSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");

const STATE = ".ticklake.json";
const sha = (text) => createHash("sha256").update(text).digest("hex");

/** What earlier starts left in the user directory. */
function readState(userDir) {
  try { return JSON.parse(readFileSync(join(userDir, STATE), "utf8")); } catch { return {}; }
}

function saveState(userDir, change) {
  writeFileSync(join(userDir, STATE), `${JSON.stringify({ ...readState(userDir), ...change }, null, 2)}\n`);
}

/**
 * Copies the flow to `flows.json` in the user directory. A copy that nobody edited follows its original; an edited one is kept.
 *
 * @returns {"placed" | "same" | "updated" | "kept"} `kept`: the original has changed, and so has the copy
 */
function placeFlow(original, userDir) {
  const copy = join(userDir, "flows.json");
  const wanted = readFileSync(original, "utf8");
  const before = existsSync(copy) ? readFileSync(copy, "utf8") : undefined;
  const { shipped } = readState(userDir);
  if (before !== undefined && shipped === sha(wanted)) return "same";
  if (before !== undefined && sha(before) !== shipped) return "kept";
  writeFileSync(copy, wanted);
  saveState(userDir, { shipped: sha(wanted) });
  return before === undefined ? "placed" : "updated";
}

module.exports = { STATE, placeFlow, readState, saveState };
