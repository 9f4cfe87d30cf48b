import assert from "node:assert/strict";
import { testPinot } from "../../../lib/pinot/cluster";
import { clusterFor, sharedPinot } from "../../support/pinot";

describe("a real Pinot", function () {
  this.timeout(180_000);

  it("is connected to, and told with its version and whether it folds case", async () => {
    const cluster = clusterFor(await sharedPinot());
    const { ok, message } = await testPinot(cluster);
    assert.ok(ok, message);
    const { text } = await cluster.version();
    assert.match(text, /^\d+\.\d+\.\d+/);
    assert.ok(message.includes(`controller ${text} at `), message);
    assert.match(message, (await cluster.foldsCase()) ? /need readable names/ : /may differ by case alone/);
  });
});
