import assert from "node:assert/strict";
import { loadAlpaca, QUICK } from "../../support/alpaca-flow";
import { AlpacaServer, type AlpacaServerOptions } from "../../support/alpaca-server";
import { keyOf, someTrades } from "../../support/alpaca-trades";
import { useHelper } from "../../support/helper";
import type { RawTrade } from "../../../lib/trades/types";

type Rig = Awaited<ReturnType<typeof loadAlpaca>>;

async function eventually(what: string, look: () => boolean | Promise<boolean>, ms = 60_000): Promise<void> {
  for (const end = Date.now() + ms; !await look();) {
    if (Date.now() > end) throw new Error(`${what} did not come true within ${ms / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe("alpaca-in and a server that misbehaves", function () {
  this.timeout(240_000);
  // A machine that is busy is no dead connection: pings have time here.
  useHelper({ ticklake: { alpaca: { ...QUICK, pingMs: 10_000, pongMs: 10_000 } } });
  let server: AlpacaServer;
  let rig: Rig;
  const begin = async (options: AlpacaServerOptions = {}, script?: (s: AlpacaServer) => void): Promise<void> => {
    server = await AlpacaServer.start(options);
    script?.(server);
  };
  const load = async (config: object = {}): Promise<void> => { rig = await loadAlpaca(server, { timeout: "500 ms", silenceTimeout: "500 ms", ...config }); };
  const live = (): boolean => [...server.clients].some((client) => (client.subscriptions["trades"]?.size ?? 0) === 2);
  const count = (): number => rig.out.reduce((sum, msg) => sum + (msg.payload as RawTrade[]).length, 0);
  const trades = (n: number) => someTrades(n, { symbols: ["AAPL", "MSFT"] });
  afterEach(() => server.stop());

  it("TCP without an answer, a connection that ends at once, HTTP 503 and 429, no greeting: it comes through in the end", async () => {
    await begin({ authTimeoutMs: 300 }, (s) => s.upgrades.push("silent", "refuse", { status: 503 }, { status: 429, headers: { "retry-after": "1" } }));
    await load();
    await eventually("live", live);
    const { attempt } = await rig.statistics();
    assert.equal(attempt, 5);
    assert.ok(rig.statuses().some(({ fill, text }) => fill === "yellow" && /^attempt \d in .*: /.test(text ?? "")), "the status says which attempt comes when, and why");
    server.publish(trades(10));
    await eventually("trades", () => count() === 10);
  });

  it("a server that never greets is left, and one that does is found", async () => {
    await begin({}, (s) => { s.greet = false; });
    await load();
    await eventually("a second connection", () => server.history.length >= 2);
    server.greet = true;
    await eventually("live", live);
  });

  it("our own dead connection still counts (406): logs in again on the same socket until it is gone", async () => {
    await begin({ zombieMs: 300 });
    await load();
    await eventually("live", live);
    server.disconnect();
    await eventually("live again", () => server.history.length === 2 && live());
    assert.equal(server.history.length, 2);
    assert.ok(server.history[1]!.said.filter(({ action }) => action === "auth").length > 1);
  });

  it("a client that the server finds too slow is thrown out (407): it is counted, told, and the trades come by backfill", async () => {
    await begin({ slowClientBytes: 200_000 });
    await load({ batchSize: 1000, timeout: 10, silenceTimeout: 60 });
    await eventually("live", live);
    const sent = trades(40_000);
    server.publish(sent.slice(0, 100));
    await eventually("the first ones", () => count() === 100);
    // All at once, while nobody reads: the server's buffer runs over.
    server.publish(sent.slice(100), 5000);
    await eventually("the kick", async () => (await rig.statistics()).slowClient === 1);
    await eventually("live again", live);
    server.publish(trades(40_001).slice(-1));
    await eventually("all of them", () => count() >= 40_000);
    assert.equal(new Set(rig.out.flatMap((msg) => (msg.payload as RawTrade[]).map(keyOf))).size, count());
    assert.ok(rig.warnings().some((text) => /407/.test(text)));
  });

  for (const encoding of ["json", "msgpack"] as const) {
    it(`${encoding}: 100,000 trades in a second, frames of all sizes, one of 10 MB`, async () => {
      await begin({ deflate: true });
      await load({ encoding, compression: encoding === "msgpack", batchSize: 1000, timeout: 10, silenceTimeout: 60 });
      await eventually("live", live);
      assert.equal(server.history[0]!.deflate, encoding === "msgpack");
      const sent = trades(200_000);
      server.publish(sent.slice(0, 100_000), 7000);
      server.publish(sent.slice(100_000, 200_000), 100_000);
      await eventually("all of them", () => count() === sent.length);
      assert.deepEqual(rig.out.flatMap((msg) => (msg.payload as RawTrade[]).map(keyOf)), sent.map(keyOf), "in order");
    });
  }

  it("a login by headers alone is Alpaca's other way in, and the answers of a session that has not logged in are 401 and 404", async () => {
    await begin({ authTimeoutMs: 100 });
    const { default: WebSocket } = await import("ws");
    const said: string[] = [];
    const ended = new Promise((resolve) => {
      const socket = new WebSocket(server.url);
      socket.on("message", (data) => said.push(String(data)));
      socket.on("open", () => socket.send('{"action":"subscribe","trades":["A"]}'));
      socket.on("close", resolve);
    });
    await ended;
    assert.match(said.join(), /connected.*401.*404/);
    const headers = new WebSocket(server.url, { headers: { "APCA-API-KEY-ID": "test-key", "APCA-API-SECRET-KEY": "test-secret" } });
    const greeted: string[] = [];
    headers.on("message", (data) => greeted.push(String(data)));
    await eventually("authenticated", () => /authenticated/.test(greeted.join()));
    headers.terminate();
  });
});
