import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseJson } from "../../lib/trades/explode-json";
import type { RawTrade } from "../../lib/trades/types";
import { AlpacaServer, type ServerTrade } from "../support/alpaca-server";
import { keyOf, someTrades } from "../support/alpaca-trades";
import { shippedFlows, type FlowNode } from "../support/flows";
import { deleteTopics, startKafka, valuesOf, type RunningKafka } from "../support/kafka";
import { startNodeRed } from "../support/node-red";
import { killAll, root, start, temporaryFolder, until } from "../support/start";

const SYMBOLS = ["AAPL", "GOOGL", "MSFT", "AMZN", "TSLA"];
const ENV = { APCA_API_KEY_ID: "test-key", APCA_API_SECRET_KEY: "test-secret" };

/** A shipped flow whose account is that of the test server. */
function flowFor(name: string, server: AlpacaServer): FlowNode[] {
  return shippedFlows().find((flow) => flow.name.endsWith(name))!.nodes
    .map((node) => (node.type === "alpaca-account" ? { ...node, feed: "custom", url: server.url, restUrl: server.restUrl } : node));
}

describe("the shipped flow of the live feed into Kafka", function () {
  this.timeout(180_000);
  let kafka: RunningKafka, server: AlpacaServer;
  let publishing: NodeJS.Timeout | undefined;
  // A broker of its own: the flow's topic has the name of the documentation.
  before(async () => { kafka = await startKafka(); });
  after(() => kafka?.stop());
  beforeEach(async () => { server = await AlpacaServer.start(); });
  afterEach(async () => {
    clearInterval(publishing);
    killAll();
    await server.stop();
    await deleteTopics(kafka.brokers, "iex_data");
  });

  /** 1,000 trades a second, once somebody has subscribed. */
  function publish(): void {
    const trades = someTrades(100_000, { symbols: SYMBOLS });
    let next = 0;
    publishing = setInterval(() => { if (server.clients.size > 0 && next < trades.length) server.publish(trades.slice(next, next += 10)); }, 10);
  }

  const sent = (): ServerTrade[] => server.history.flatMap(({ trades }) => trades);

  /** What stands in iex_data: each value a JSON array, each trade as the server sent it (its time in Unix ms), once. */
  async function assertEachOnce(): Promise<void> {
    clearInterval(publishing);
    const values = await valuesOf(kafka.brokers, "iex_data");
    const found = values.flatMap((value) => {
      const batch = parseJson(value!);
      assert.ok(Array.isArray(batch) && batch.length > 0, `a JSON array: ${value!.slice(0, 80)}`);
      return batch as RawTrade[];
    });
    const byKey = (a: { t: number; S: string; i: unknown }, b: { t: number; S: string; i: unknown }): number => a.t - b.t || a.S.localeCompare(b.S) || Number(a.i) - Number(b.i);
    assert.deepEqual(found.sort(byKey), sent().map((trade) => ({ ...trade, t: Date.parse(trade.t) })).sort(byKey));
    assert.equal(new Set(found.map(keyOf)).size, found.length);
  }

  it("as npm start runs it, ended by SIGTERM in the middle of the stream: every trade that was sent is in iex_data once, as JSON arrays; no secret is printed", async () => {
    const userDir = join(temporaryFolder("live-flow"), "user");
    mkdirSync(userDir);
    writeFileSync(join(userDir, "flows.json"), JSON.stringify(flowFor("Live trades into Kafka.json", server)));
    writeFileSync(join(userDir, ".ticklake.json"), "{}");
    const run = await start({ userDir, env: { ...ENV, KAFKA_BROKERS: kafka.brokers } });
    publish();
    await until("2,000 trades", () => Promise.resolve(sent().length), (count) => count >= 2000, 60_000);
    assert.equal((await fetch(`${run.url}/dashboard/alpaca`)).status, 200);
    assert.equal(await run.stop(), 0);
    assert.deepEqual(server.history.map(({ said }) => said.map(({ action }) => action)), [["auth", "subscribe", "unsubscribe"]]);
    await assertEachOnce();
    assert.doesNotMatch(run.output(), /test-key|test-secret/);
    // The topic does not exist at the very first start: what is waited for is said, and mends itself.
    assert.deepEqual(run.output().split("\n").filter((line) => /\[(warn|error|fatal)\]/.test(line) && !/\[warn\].*(It is waited for|It is tried again)/.test(line)), []);
  });

  it("in Node-RED 5, ended by SIGINT in the middle of the stream", async () => {
    // Without its dashboard, which this Node-RED has not got.
    const flow = flowFor("Live trades into Kafka.json", server).filter(({ type }) => !type.startsWith("ui-") && type !== "function" && type !== "global-config");
    const ids = new Set(flow.map(({ id }) => id));
    const red = await startNodeRed({
      version: "5", nodesDir: root, env: { ...ENV, KAFKA_BROKERS: kafka.brokers },
      flow: flow.map((node) => ({ ...node, ...(node.wires && { wires: node.wires.map((to) => to.filter((id) => ids.has(id))) }) })),
    });
    try {
      publish();
      await red.until("2,000 trades", () => sent().length >= 2000, 60_000);
    } finally {
      assert.equal(await red.stop("SIGINT"), 0);
    }
    assert.deepEqual(server.history.map(({ said }) => said.map(({ action }) => action)), [["auth", "subscribe", "unsubscribe"]]);
    await assertEachOnce();
  });
});
