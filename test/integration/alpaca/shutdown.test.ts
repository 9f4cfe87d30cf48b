import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCatalog } from "../../../lib/iceberg/catalog/open";
import type { RawTrade } from "../../../lib/trades/types";
import { AlpacaServer, type Client, type ServerTrade } from "../../support/alpaca-server";
import { keyOf, someTrades } from "../../support/alpaca-trades";
import { startNodeRed, type NodeRedOptions, type RunningNodeRed } from "../../support/node-red";
import { readRows } from "../../support/read-table";
import { root } from "../../support/start";

/** alpaca-in, and a function node that prints what comes. `func` makes a deploy of it a change. */
const flow = (server: AlpacaServer, func = ""): object[] => [
  { id: "a000000000000001", type: "tab", label: "feed" },
  { id: "a000000000000002", type: "alpaca-account", feed: "custom", url: server.url, restUrl: server.restUrl, restPerMinute: 10_000 },
  { id: "a000000000000003", type: "alpaca-in", z: "a000000000000001", account: "a000000000000002", symbols: "AAPL MSFT", batchSize: 10, batchMaxWaitMs: 20, wires: [["a000000000000004"], []], x: 100, y: 100 },
  { id: "a000000000000004", type: "function", z: "a000000000000001", outputs: 0, wires: [], x: 300, y: 100, func: `console.log("@@" + JSON.stringify({ ev: "batch", keys: msg.payload.map((t) => [t.S, t.x, t.i, t.t].join("|")) }));${func}` },
];

/** The same feed into a table on disk, through nodes that Node-RED takes away at once when it stops. */
const intoTable = (nodes: object[]): object[] => [
  ...nodes.map((node) => ((node as { type: string }).type === "function" ? { ...node, outputs: 1, wires: [["a000000000000005"]], func: 'console.log("@@" + JSON.stringify({ ev: "batch" })); return new Promise((resolve) => setTimeout(() => resolve(msg), 20));' } : node)),
  { id: "a000000000000005", type: "explode-trades", z: "a000000000000001", wires: [["a000000000000006"], []], x: 500, y: 100 },
  { id: "a000000000000006", type: "iceberg-out", z: "a000000000000001", catalog: "a000000000000007", table: "db.live", wires: [[], []], x: 700, y: 100 },
  { id: "a000000000000007", type: "iceberg-catalog", catalogName: "local", catalogType: "hadoop", warehouse: "./warehouse" },
];

/** Publishes without a pause: 1,000 trades a second. */
function steadily(server: AlpacaServer, trades: readonly ServerTrade[]): NodeJS.Timeout {
  let next = 0;
  return setInterval(() => { if (next < trades.length) server.publish(trades.slice(next, next += 10)); }, 10);
}

describe("alpaca-in in a real Node-RED", function () {
  this.timeout(180_000);
  let server: AlpacaServer, red: RunningNodeRed | undefined;
  const begin = async (options: Partial<NodeRedOptions> = {}, change: (nodes: object[]) => object[] = (nodes) => nodes): Promise<RunningNodeRed> => {
    server = await AlpacaServer.start();
    red = await startNodeRed({ flow: change(flow(server)), nodesDir: root, ...options, env: { APCA_API_KEY_ID: "test-key", APCA_API_SECRET_KEY: "test-secret" } });
    await red.until("a subscription", () => server.clients.size === 1 && [...server.clients][0]!.subscriptions["trades"]?.size === 2);
    return red;
  };
  afterEach(async () => { await red?.stop(); await server.stop(); });

  for (const [version, signal] of [["4", "SIGTERM"], ["4", "SIGINT"], ["5", "SIGTERM"], ["5", "SIGINT"]] as const) {
    it(`Node-RED ${version}, ${signal} in the middle of a stream into a table: unsubscribes, and every trade that the server sent is in the table, within 15 s`, async () => {
      const userDir = mkdtempSync(join(tmpdir(), "ticklake-live-"));
      try {
        const running = await begin({ version, userDir }, intoTable);
        const publishing = steadily(server, someTrades(60_000, { symbols: ["AAPL", "MSFT"] }));
        try {
          await running.until("a few batches in the table's node", () => running.events.length >= 20, 60_000);
          const begun = Date.now();
          assert.equal(await running.stop(signal), 0);
          assert.ok(Date.now() - begun < 15_000, `it took ${Date.now() - begun} ms`);
        } finally {
          clearInterval(publishing);
        }
        assert.deepEqual(server.history.map(({ said }) => said.map(({ action }) => action)), [["auth", "subscribe", "unsubscribe"]]);
        const [{ trades }] = server.history as [Client];
        const table = await openCatalog({ catalogName: "local", warehouse: join(userDir, "warehouse") }, userDir).loadTable({ namespace: ["db"], name: "live" });
        const rows = (await readRows(table)).map((row) => keyOf({ S: row["S"], x: row["x"], i: String(row["i"]), t: Number(row["timestamp"]) } as RawTrade));
        assert.ok(trades.length >= 20);
        assert.deepEqual(rows.sort(), trades.map(keyOf).sort());
        assert.match(running.logs(), /Unsubscribed; everything that came is delivered/);
        assert.doesNotMatch(running.logs(), /test-secret|had not been delivered/);
      } finally {
        await red?.stop("SIGKILL");
        rmSync(userDir, { recursive: true, force: true });
      }
    });
  }

  it("SIGTERM while the flow holds on to what it gets: it ends within 15 s all the same, and says what was not delivered, from when to when", async () => {
    const running = await begin({}, (nodes) => nodes.map((node) => ((node as { type: string }).type === "function" ? { ...node, func: 'console.log("@@" + JSON.stringify({ ev: "held" })); return new Promise(() => undefined);' } : node)));
    server.publish(someTrades(100, { symbols: ["AAPL", "MSFT"] }));
    await running.until("all batches", () => running.events.length >= 10);
    const begun = Date.now();
    assert.equal(await running.stop(), 0);
    assert.ok(Date.now() - begun < 15_000, `it took ${Date.now() - begun} ms`);
    assert.match(running.logs(), /100 trades \(from 2024-01-02T14:3.*Z to 2024-01-02T.*Z\) had not been delivered/);
    assert.equal(server.clients.size, 0);
  });

  it("a second signal ends at once what the first one waits for", async () => {
    const running = await begin({}, (nodes) => nodes.map((node) => ((node as { type: string }).type === "function" ? { ...node, func: 'console.log("@@" + JSON.stringify({ ev: "held" })); return new Promise(() => undefined);' } : node)));
    server.publish(someTrades(10, { symbols: ["AAPL", "MSFT"] }));
    await running.until("a batch", () => running.events.length >= 1);
    process.kill(running.pid, "SIGINT");
    await running.until("the goodbye", () => server.clients.size === 0);
    assert.doesNotMatch(running.logs(), /Stopping flows/);
    const begun = Date.now();
    assert.equal(await running.stop("SIGINT"), 0);
    assert.ok(Date.now() - begun < 7000, `it took ${Date.now() - begun} ms`);
  });

  it("deploys, whole and in part, while trades pour in: every trade comes, no login is refused", async () => {
    const running = await begin();
    const sent = someTrades(6000, { symbols: ["AAPL", "MSFT"] });
    const publishing = steadily(server, sent);
    try {
      const got = (): Set<string> => new Set(running.events.flatMap((e) => e["keys"] as string[]));
      await running.until("trades", () => got().size > 500);
      await running.deploy(flow(server, " // 1"), "full");
      await running.until("trades after a full deploy", () => server.published.length > 2500);
      await running.deploy(flow(server, " // 2"), "nodes");
      await running.until("the last trade was published", () => server.published.length >= sent.length, 90_000);
      await running.until("every trade", () => got().size >= sent.length, 90_000);
      assert.deepEqual(sent.map(keyOf).filter((key) => !got().has(key)), []);
    } finally {
      clearInterval(publishing);
    }
    assert.equal(server.history.length, 2, "the deploy of the changed node alone left the feed as it was");
    assert.ok(server.history.every(({ said }) => said.filter(({ action }) => action === "auth").length === 1), "406 never came");
  });
});
