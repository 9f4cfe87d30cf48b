import assert from "node:assert/strict";
import explodeTrades from "../../nodes/explode-trades/explode-trades";
import pipelineMetrics from "../../nodes/pipeline-metrics/pipeline-metrics";
import syntheticGen from "../../nodes/synthetic-gen/synthetic-gen";
import type { NodeFigures, Sample } from "../../lib/metrics/sample";
import { load, testNode, until, useHelper, type NodeModule, type Rig } from "../support/helper";

const modules = [explodeTrades, syntheticGen] as unknown as NodeModule[];

/** The node with a source and a transform beside it. */
const loadMetrics = (config: object = {}, explode: object = {}): Promise<Rig> => load(pipelineMetrics as unknown as NodeModule, "pipeline-metrics", { interval: "0.1", ...config }, {
  outputs: 1, modules, nodes: [
    { id: "observed-gen", type: "synthetic-gen", name: "Trades", symbols: "AAPL", batchSize: 7, interval: 0, batchCount: 3, autoStart: true, wires: [["observed-flat"], []] },
    { id: "observed-flat", type: "explode-trades", name: "", wires: [[], []], ...explode },
  ],
});

const figures = (rig: Rig, id: string): NodeFigures | undefined => (rig.outputs[0]!.at(-1)?.payload as Sample | undefined)?.nodes.find((node) => node.id === id);

describe("node pipeline-metrics", () => {
  useHelper();

  it("tells totals, flow and readiness of every node but itself, once per interval", async () => {
    const rig = await loadMetrics();
    await until(() => figures(rig, "observed-gen")?.delivered === 21, "everything to be delivered and told");
    const { at, ready, nodes, process } = rig.outputs[0]!.at(-1)!.payload as Sample;
    assert.equal(rig.outputs[0]!.at(-1)!.topic, "metrics");
    assert.ok(ready, JSON.stringify(nodes));
    assert.ok(Math.abs(Date.now() - at) < 5000 && process.rssBytes > 0 && process.heapUsedBytes > 0);
    assert.equal(nodes.some(({ type }) => type === "pipeline-metrics"), false);
    const { recordsIn, recordsOut, inFlight, lag, errors, processRate, flow, name } = figures(rig, "observed-gen")!;
    assert.deepEqual({ recordsIn, recordsOut, inFlight, lag, errors, processRate, flow, name }, { recordsIn: 21, recordsOut: 21, inFlight: 0, lag: null, errors: 0, processRate: null, flow: "test", name: "Trades" });
    assert.deepEqual([figures(rig, "observed-flat")!.recordsIn, figures(rig, "observed-flat")!.recordsOut], [21, 21]);
    const before = rig.outputs[0]!.length;
    await until(() => rig.outputs[0]!.length > before, "the next message");
    assert.ok(rig.statuses().some(({ fill, text }) => fill === "green" && /^\d+ nodes, all ready$/.test(text!)));
  });

  it("names a node whose setting is wrong, and counts the errors that it answers messages with", async () => {
    const rig = await loadMetrics({}, { names: "other" });
    testNode("observed-flat").receive({ payload: [] });
    await until(() => (figures(rig, "observed-flat")?.errors ?? 0) >= 1 && rig.statuses().some(({ fill, text }) => fill === "yellow" && /explode-trades: .*names/.test(text!)), "the error and the status");
    assert.equal((rig.outputs[0]!.at(-1)!.payload as Sample).ready, false);
    assert.match(figures(rig, "observed-flat")!.reason!, /names/);
  });

  for (const interval of ["soon", "0", "2 days"]) {
    it(`a wrong interval (${interval}) shows in the status, and nothing is told`, async () => {
      const rig = await loadMetrics({ interval });
      assert.ok(rig.statuses().some(({ fill, text }) => fill === "red" && /interval/.test(text!)), JSON.stringify(rig.statuses()));
      assert.deepEqual(rig.outputs[0], []);
    });
  }
});
