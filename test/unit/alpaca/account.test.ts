import assert from "node:assert/strict";
import { parseAccount } from "../../../lib/alpaca/account";

const keys = { key: "PK1", secret: "s3cr3t" };
const none = () => undefined;

describe("Alpaca account", () => {
  it("knows where each feed is, what the history calls it, and when it rests", () => {
    const of = (settings: object) => { const { url, restUrl, restFeed, hours, delayMs } = parseAccount(settings, keys, none); return [url, restUrl, restFeed, hours, delayMs]; };
    const host = "wss://stream.data.alpaca.markets/v2/", rest = "https://data.alpaca.markets";
    assert.deepEqual(of({}), [`${host}iex`, rest, "iex", "exchange", 0]);
    assert.deepEqual(of({ feed: "sip" }), [`${host}sip`, rest, "sip", "exchange", 0]);
    assert.deepEqual(of({ feed: "delayed_sip" }), [`${host}delayed_sip`, rest, "sip", "exchange", 900_000]);
    assert.deepEqual(of({ feed: "test" }), [`${host}test`, rest, undefined, "always", 0]);
    assert.deepEqual(of({ feed: "custom", url: "wss://stream.data.alpaca.markets/v1beta3/crypto/us" }), ["wss://stream.data.alpaca.markets/v1beta3/crypto/us", rest, undefined, "always", 0]);
    assert.deepEqual(of({ feed: "custom", url: "ws://127.0.0.1:9/v2/iex", restUrl: "http://localhost:9/" }), ["ws://127.0.0.1:9/v2/iex", "http://localhost:9", "iex", "exchange", 0]);
  });

  it("knows which feeds have no history", () => {
    const has = (settings: object) => parseAccount(settings, keys, none).hasHistory;
    assert.deepEqual([has({}), has({ feed: "test" }), has({ feed: "custom", url: "wss://x/v1beta3/crypto/us" }), has({ feed: "custom", url: "wss://x/v2/sip" })], [true, false, false, true]);
  });

  it("takes key and secret from the environment where they are empty or a variable that is not set", () => {
    const env = (variables: Record<string, string>) => (name: string) => variables[name];
    const of = (credentials: object, variables: Record<string, string>) => { const { key, secret } = parseAccount({}, credentials, env(variables)); return [key, secret]; };
    assert.deepEqual(of({}, { APCA_API_KEY_ID: "a", APCA_API_SECRET_KEY: "b", ALPACA_KEY: "c", ALPACA_SECRET: "d" }), ["a", "b"]);
    assert.deepEqual(of({ key: "${APCA_API_KEY_ID}", secret: "" }, { ALPACA_KEY: "c", ALPACA_SECRET: "d" }), ["c", "d"]);
    assert.deepEqual(of(keys, { APCA_API_KEY_ID: "a", APCA_API_SECRET_KEY: "b" }), ["PK1", "s3cr3t"]);
  });

  for (const [settings, credentials, pattern] of [
    [{}, {}, /no key.*APCA_API_KEY_ID/], [{}, { key: "k" }, /no secret/], [{ feed: "nyse" }, keys, /not known/], [{ feed: "custom" }, keys, /missing/], [{ feed: "custom", url: "nonsense" }, keys, /no URL/],
    [{ feed: "custom", url: "ws://10.0.0.1/v2/iex" }, keys, /this machine only/], [{ feed: "custom", url: "ws://127.0.0.1.evil.example/v2/iex" }, keys, /this machine only/], [{ feed: "custom", url: "https://x/" }, keys, /must begin with wss/],
    [{ feed: "custom", url: "wss://user:pass@x/" }, keys, /must not hold/], [{ restUrl: "http://data.example" }, keys, /this machine only/], [{}, { key: "k", secret: "s3cr3t\n" }, /./], [{}, { key: "k", secret: "s3 cr3t" }, /holds a blank/],
  ] as [object, object, RegExp][]) {
    it(`refuses ${JSON.stringify(settings)} ${JSON.stringify(Object.keys(credentials))}: ${String(pattern)}`, () => {
      try {
        parseAccount(settings, credentials, none);
        assert.ok(pattern.source === ".", "accepted");
      } catch (error) {
        assert.equal((error as { code?: string }).code, "CONFIG_INVALID");
        assert.match((error as Error).message, pattern);
        assert.doesNotMatch((error as Error).message, /s3|pass@/);
      }
    });
  }
});
