import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ids, Look, NODES, Tab } from "../support/delivery-flow";
import { nodeRedCommand, startNodeRed, type NodeRedVersion, type RunningNodeRed } from "../support/node-red";

const ROWS = 60;
const slow = { batches: ROWS / 2, perBatch: 2, everyMs: 15 };
const pause = { pauseType: "delay", timeout: "300", timeoutUnits: "milliseconds" };
const group = { mode: "custom", build: "array", property: "payload", propertyType: "msg", count: "3", joiner: "", timeout: "0.3" };

/** Flows that always have messages inside something when a deploy or a signal comes. */
const flow = (change: { sinkName?: string; fnCode?: string; sourceName?: string; extra?: object[] } = {}): object[] => {
  const { sinkName = "", fnCode = "return {payload: msg.payload};", sourceName = "", extra = [] } = change;
  return [
    ...new Tab("plain").source("f", { ...slow, name: sourceName }).fn("f", fnCode, "k1 k2").sink("k1", { intervalMs: 120, name: sinkName }).sink("k2", { intervalMs: 40 }).nodes,
    ...new Tab("delay").source("d", slow).add("d", "delay", "sink", pause).sink("sink", { name: sinkName }).nodes,
    ...new Tab("batch").source("b", slow).add("b", "batch", "sink", { mode: "interval", interval: "0.15", allowEmptySequence: false }).sink("sink", { name: sinkName }).nodes,
    ...new Tab("join").source("j", slow).add("j", "join", "sink", group).sink("sink", { name: sinkName }).nodes,
    ...extra as never[],
  ];
};
const tabs = ["plain", "delay", "batch", "join"];

for (const version of ["4", "5"] as NodeRedVersion[]) {
  describe(`delivery across deploys and stops, Node-RED ${version}`, function () {
    this.timeout(60_000);
    let red: RunningNodeRed | undefined;
    let userDir: string;
    const start = async (nodes = flow()): Promise<RunningNodeRed> => red = await startNodeRed({ version, typescript: true, nodesDir: NODES, userDir, flow: nodes });
    const look = (tab: string): Look => new Look(red!, tab);
    const some = (rows: number): Promise<unknown> => red!.until(`${rows} rows delivered`, () => look("plain").offset() >= rows && look("delay").offset() >= 2);

    beforeEach(function () {
      if (!nodeRedCommand(version)) this.skip();
      userDir = mkdtempSync(join(tmpdir(), "ticklake-deploy-"));
    });
    afterEach(async function () {
      if (this.currentTest?.state === "failed") console.log(red?.logs());
      await red?.stop();
      red = undefined;
      rmSync(userDir, { recursive: true, force: true });
    });

    /** Everything is delivered; every row is in every table, once unless a join across batches met a failure. */
    const complete = async (): Promise<void> => {
      for (const tab of tabs) await look(tab).delivered(ROWS);
      for (const [tab, sink] of [["plain", "k1"], ["plain", "k2"], ["delay", "sink"], ["batch", "sink"]] as const) {
        assert.deepEqual(look(tab).rows(sink).sort(), ids(ROWS), `${tab} ${sink}`);
      }
      assert.deepEqual([...new Set(look("join").rows())].sort(), ids(ROWS), "join");
      assert.doesNotMatch(red!.logs(), /ticklake delivery:|Unhandled|TypeError/);
    };

    it("sinks, a function, a source and whole flows replaced while messages are inside delay, batch and join", async () => {
      await start();
      await some(6);
      // Sinks are replaced under sources that live on.
      await red!.deploy(flow({ sinkName: "another" }), "nodes");
      assert.equal(look("plain").events("closed").length, 0);
      await some(16);
      await red!.deploy(flow({ sinkName: "another", fnCode: "return {payload: [...msg.payload]};" }), "nodes");
      await some(24);
      await red!.deploy(flow({ sinkName: "another", sourceName: "again" }), "nodes");
      assert.equal(look("plain").events("closed").length, 1);
      await some(32);
      await red!.deploy(flow({ sinkName: "third" }), "flows");
      await some(40);
      await red!.deploy(flow({ sinkName: "fourth" }), "full");
      await complete();
      assert.ok(look("delay").events("failed").some((f) => f.code === "STOPPED"), "what was inside the delay was read again");
    });

    it("SIGTERM with messages inside delay, batch and join: a restart goes on where it was", async () => {
      await start();
      await some(10);
      assert.equal(await red!.stop("SIGTERM"), 0);
      const first = red!.logs();
      assert.ok(!first.includes("Close timed out") && !first.includes("Error stopping"), "every close is in time");
      for (const tab of tabs) assert.ok(look(tab).offset() < ROWS, `${tab} was not over`);
      // What was settled when the signal came is committed, and the source waited for it.
      const last = look("plain").events("closed")[0]!;
      assert.ok(Number((last.committed as Record<string, number>)["0"]) >= 10);
      await start();
      await complete();
    });

    it("SIGKILL at any time: a restart neither loses nor doubles a row", async () => {
      await start();
      for (const rows of [8, 20]) {
        await some(rows);
        await red!.stop("SIGKILL");
        await start();
      }
      await complete();
    });

    it("a deploy with a missing node type: sources that live on say so and go on after the next one", async () => {
      await start();
      await some(4);
      const before = look("plain").events("start").length;
      const missing = new Tab("broken").add("x", "no-such-node", []).nodes;
      await red!.adminPost("/flows", flow({ extra: missing }), { "Node-RED-Deployment-Type": "nodes", "Node-RED-API-Version": "v1" });
      await red!.until("Node-RED waits for the type", () => red!.logs().includes("Waiting for missing types"));
      await red!.until("status of the source", () => red!.events.some((e) => e.ev === "status" && e.node === "plain-source" && /flows did not start \(missing-types\)/.test(String(e.text))));
      assert.equal(look("plain").events("suspend").length, 1);
      await red!.deploy(flow(), "nodes");
      assert.equal(look("plain").events("start").length, before + 1);
      await complete();
    });
  });
}
