import assert from "node:assert/strict";
import { AlpacaServer } from "../../support/alpaca-server";
import { keyOf, someTrades } from "../../support/alpaca-trades";
import { startNodeRed, type RunningNodeRed } from "../../support/node-red";
import { root } from "../../support/start";

/** alpaca-in, and a function node that prints what comes. `func` makes a deploy of it a change. */
const flow = (server: AlpacaServer, func = ""): object[] => [
  { id: "a000000000000001", type: "tab", label: "feed" },
  { id: "a000000000000002", type: "alpaca-account", feed: "custom", url: server.url, restUrl: server.restUrl, restPerMinute: 10_000 },
  { id: "a000000000000003", type: "alpaca-in", z: "a000000000000001", account: "a000000000000002", symbols: "AAPL MSFT", batchSize: 10, batchMaxWaitMs: 20, wires: [["a000000000000004"], []], x: 100, y: 100 },
  { id: "a000000000000004", type: "function", z: "a000000000000001", outputs: 0, wires: [], x: 300, y: 100, func: `console.log("@@" + JSON.stringify({ ev: "batch", keys: msg.payload.map((t) => [t.S, t.x, t.i, t.t].join("|")) }));${func}` },
];

describe("alpaca-in in a real Node-RED", function () {
  this.timeout(90_000);
  let server: AlpacaServer, red: RunningNodeRed | undefined;
  const begin = async (): Promise<RunningNodeRed> => {
    server = await AlpacaServer.start();
    red = await startNodeRed({ flow: flow(server), nodesDir: root, env: { APCA_API_KEY_ID: "test-key", APCA_API_SECRET_KEY: "test-secret" } });
    await red.until("a subscription", () => server.clients.size === 1 && [...server.clients][0]!.subscriptions["trades"]?.size === 2);
    return red;
  };
  afterEach(async () => { await red?.stop(); await server.stop(); });

  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it(`${signal}: unsubscribes, says goodbye, and is gone within 15 s with what was settled`, async () => {
      const running = await begin();
      server.publish(someTrades(100, { symbols: ["AAPL", "MSFT"] }));
      await running.until("trades", () => running.events.length >= 10);
      const begun = Date.now();
      assert.equal(await running.stop(signal), 0);
      assert.ok(Date.now() - begun < 15_000);
      assert.deepEqual(server.history[0]!.said.map(({ action }) => action), ["auth", "subscribe", "unsubscribe"]);
      assert.equal(server.clients.size, 0);
      assert.doesNotMatch(running.logs(), /test-secret/);
    });
  }

  it("deploys, whole and in part, while trades pour in: every trade comes, no login is refused", async () => {
    const running = await begin();
    const sent = someTrades(6000, { symbols: ["AAPL", "MSFT"] });
    let next = 0;
    const publishing = setInterval(() => { if (next < sent.length) server.publish(sent.slice(next, next += 10)); }, 10);
    try {
      const got = (): Set<string> => new Set(running.events.flatMap((e) => e["keys"] as string[]));
      await running.until("trades", () => got().size > 500);
      await running.deploy(flow(server, " // 1"), "full");
      await running.until("trades after a full deploy", () => running.events.length > 0 && next > 2500);
      await running.deploy(flow(server, " // 2"), "nodes");
      await running.until("the last trade was published", () => next >= sent.length, 30_000);
      await running.until("every trade", () => got().size >= sent.length, 30_000);
      assert.deepEqual(sent.map(keyOf).filter((key) => !got().has(key)), []);
    } finally {
      clearInterval(publishing);
    }
    assert.equal(server.history.length, 2, "the deploy of the changed node alone left the feed as it was");
    assert.ok(server.history.every(({ said }) => said.filter(({ action }) => action === "auth").length === 1), "406 never came");
  });
});
