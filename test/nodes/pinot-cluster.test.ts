import assert from "node:assert/strict";
import type { TicklakeError } from "../../lib/errors";
import { clusterOf } from "../../nodes/pinot-cluster/clusters";
import pinotCluster from "../../nodes/pinot-cluster/pinot-cluster";
import { loadFlow, testNode, useHelper } from "../support/helper";
import { request } from "../support/helper-request";
import { startStandIn, type StandIn } from "../support/pinot/stand-in";

describe("node pinot-cluster", () => {
  useHelper();
  let pinot: StandIn;
  before(async () => { pinot = await startStandIn({ authorization: "Bearer s3cret-token" }); });
  after(() => pinot.close());
  const config = (more: object = {}) => ({ id: "c1", type: "pinot-cluster", name: "here", controllerUrl: pinot.controllerUrl, brokerUrl: pinot.brokerUrl, ...more });
  const test = async (dialog: object) => (await request("post", "/ticklake/pinot-cluster/test", dialog)).body as { ok: boolean; message: string };

  it("tests what is deployed with its own token, and says version and case", async () => {
    await loadFlow([pinotCluster], [config()], { c1: { token: "s3cret-token" } });
    const { ok, message } = await test({ ...config(), username: "", password: "", token: "__PWRD__" });
    assert.ok(ok, message);
    assert.match(message, /^Connected to controller 1\.5\.1 at .* and broker at .* tables need readable names\.$/);
  });

  it("sends a saved token only to the addresses for which it was deployed", async () => {
    await loadFlow([pinotCluster], [config()], { c1: { token: "s3cret-token" } });
    const before = pinot.seen.length;
    const { ok, message } = await test({ ...config({ brokerUrl: "http://localhost:5" }), username: "", password: "", token: "__PWRD__" });
    assert.equal(ok, false);
    assert.match(message, /saved password or token is not sent to other addresses/);
    assert.equal(pinot.seen.length, before);
  });

  it("neither tells what variables hold nor sends them anywhere", async () => {
    process.env["PINOT_TOKEN"] = "from-the-environment";
    try {
      await loadFlow([pinotCluster], [config()]);
      assert.match((await test({ ...config(), token: "${PINOT_TOKEN}" })).message, /\$\{PINOT_TOKEN\} is filled in at the deploy/);
      const before = pinot.seen.length;
      assert.match((await test({ ...config(), id: "new", token: "" })).message, /does not let this user/);
      assert.ok(pinot.seen.slice(before).every((seen) => seen.authorization === undefined));
    } finally { delete process.env["PINOT_TOKEN"]; }
  });

  it("whose settings are wrong tells its users why", async () => {
    await loadFlow([pinotCluster], [config({ controllerUrl: "nowhere" })]);
    assert.match(testNode("c1").error.args[0]![0], /controller is no URL/);
    const RED = { nodes: { getNode: (id: string) => (id === "c1" ? testNode("c1") : null) } } as never;
    for (const [id, reason] of [["c1", /controller is no URL/], ["", /No Pinot cluster is chosen/], ["x", /missing or disabled/]] as const) {
      assert.throws(() => clusterOf(RED, id), (error: TicklakeError) => error.code === "CONFIG_INVALID" && reason.test(error.message));
    }
  });
});
