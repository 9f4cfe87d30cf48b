import assert from "node:assert/strict";
import { Alpaca } from "@alpacahq/alpaca-trade-api";
import { AlpacaServer } from "../../support/alpaca-server";
import { someTrades, keyOf } from "../../support/alpaca-trades";
import { until } from "../../support/helper";

interface SdkTrade { symbol: string; idRaw: string; exchange: string; price: number; size: number; timestampRaw: string; conditions: string[]; tape: string }

/** What the tests take for Alpaca is what Alpaca's own SDK takes for it. */
type SdkStream = ReturnType<Alpaca["marketData"]["stockStream"]>;
const streamOf = ({ url }: AlpacaServer, credentials: { keyId: string; secret: string }): SdkStream => new Alpaca(credentials).marketData.stockStream({ url, initialReconnectMs: 20, maxReconnectMs: 50 });

describe("the test server, with Alpaca's official SDK as its client", function () {
  this.timeout(30_000);
  let server: AlpacaServer;
  let stream: SdkStream | undefined;
  afterEach(async () => { stream?.disconnect(); await server.stop(); });

  const connect = (credentials = { keyId: "test-key", secret: "test-secret" }): SdkStream => {
    stream = streamOf(server, credentials);
    stream.connect();
    return stream;
  };

  it("lets it log in and subscribe, and it receives the same trades, to the last digit", async () => {
    server = await AlpacaServer.start();
    const sdk = connect();
    const got: SdkTrade[] = [];
    sdk.onTrade((trade) => got.push(trade as unknown as SdkTrade));
    assert.equal(await sdk.waitForAuthentication(5000), true);
    const sent = [...someTrades(500), { ...someTrades(1)[0]!, i: 9_007_199_254_740_993n, t: "2024-01-02T21:00:00.123456789Z" }];
    sdk.subscribeForTrades(["SPY", "BAC", "AIG", "IBM"]);
    await until(() => (server.history[0]!.subscriptions["trades"]?.size ?? 0) === 4, "the subscription");
    server.publish(sent, 37);
    await until(() => got.length === sent.length, "the trades");
    assert.deepEqual(got.map(({ symbol, idRaw, exchange, price, size, conditions, tape }) => [symbol, idRaw, exchange, price, size, conditions, tape]), sent.map(({ S, i, x, p, s, c, z }) => [S, String(i), x, p, s, c, z]));
    assert.deepEqual(got.map(({ symbol, exchange, idRaw, timestampRaw }) => keyOf({ S: symbol, x: exchange, i: idRaw, t: Date.parse(timestampRaw) })), sent.map(keyOf));
    assert.equal(got.at(-1)!.timestampRaw, "2024-01-02T21:00:00.123456789Z");
  });

  it("refuses a wrong key as Alpaca does", async () => {
    server = await AlpacaServer.start();
    const result = await connect({ keyId: "test-key", secret: "wrong" }).waitForAuthenticationResult(5000);
    assert.deepEqual([result.authenticated, (result as { code?: number }).code], [false, 402]);
  });

  it("says more symbols than allowed, unknown channels and a second connection are wrong, in words that it understands", async () => {
    server = await AlpacaServer.start({ maxSymbols: 2, missingChannels: ["quotes"] });
    const sdk = connect();
    const errors: string[] = [];
    sdk.onError((message: string) => errors.push(message));
    await sdk.waitForAuthentication(5000);
    sdk.subscribeForTrades(["A", "B", "C"]);
    sdk.subscribeForQuotes(["A"]);
    await until(() => errors.length === 2);
    assert.match(errors.join(" "), /symbol limit.*(channel|subscribe)/i);
    const second = streamOf(server, { keyId: "test-key", secret: "test-secret" });
    const refused: string[] = [];
    second.onError((message: string) => refused.push(message));
    second.connect();
    await until(() => refused.length > 0);
    assert.match(refused[0]!, /connection limit/i);
    second.disconnect();
  });

  it("comes back to it after a disconnect", async () => {
    server = await AlpacaServer.start();
    const sdk = connect();
    await sdk.waitForAuthentication(5000);
    sdk.subscribeForTrades(["SPY"]);
    await until(() => (server.history[0]!.subscriptions["trades"]?.size ?? 0) === 1);
    server.disconnect();
    await until(() => (server.history[1]?.subscriptions["trades"]?.size ?? 0) === 1, "a second subscription");
  });
});
