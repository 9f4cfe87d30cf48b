import assert from "node:assert/strict";
import { definition, nodeHtml } from "../support/flows";
import { Holder, loadAlpaca, QUICK } from "../support/alpaca-flow";
import { AlpacaServer, type AlpacaServerOptions, type ServerTrade } from "../support/alpaca-server";
import { keyOf, someTrades } from "../support/alpaca-trades";
import { settle, unload, until, useHelper, type Message } from "../support/helper";
import { rawTradeSchema } from "../../lib/trades/schema";
import type { RawTrade } from "../../lib/trades/types";

const errorOf = (msg: Message) => msg.error as { message: string; code?: string };
const trades = (count: number, seed = "node"): ServerTrade[] => someTrades(count, { symbols: ["AAPL", "MSFT"], seed });

describe("node alpaca-in", () => {
  useHelper({ ticklake: { alpaca: QUICK } });
  let server: AlpacaServer;
  const begin = async (options: AlpacaServerOptions = {}): Promise<void> => { server = await AlpacaServer.start(options); };
  // A removed node leaves nothing to the next one.
  let rig: Awaited<ReturnType<typeof loadAlpaca>> | undefined;
  const load = async (...args: Parameters<typeof loadAlpaca> extends [unknown, ...infer R] ? R : never) => (rig = await loadAlpaca(server, ...args));
  afterEach(async () => {
    await unload();
    rig = undefined;
    await server?.stop();
  });
  const live = (symbols = 2) => until(() => [...server.clients].some((client) => (client.subscriptions["trades"]?.size ?? 0) === symbols), "a subscription");
  const count = (): number => rig!.trades().length;

  for (const encoding of ["json", "msgpack"] as const) {
    it(`${encoding}: trades leave in batches as the pipeline has them, with their delivery`, async () => {
      await begin();
      await load({ encoding, batchSize: 40 });
      await live();
      const sent = trades(100);
      server.publish(sent, 30);
      await until(() => count() === 100);
      assert.ok(rig!.trades().every((trade) => rawTradeSchema.safeParse(trade).success));
      assert.deepEqual(rig!.trades(), sent.map((trade) => ({ ...trade, t: Date.parse(trade.t) })));
      assert.ok(rig!.out.every((msg) => msg.topic === "trades" && typeof msg.delivery === "string" && (msg.payload as unknown[]).length <= 40));
    });
  }

  it("converts exactly: nine digits are cut, ids beyond 2^53 are text, the original time stands in tns when asked for", async () => {
    await begin();
    await load({ keepNanos: true });
    await live();
    const [one] = trades(1);
    server.publish([{ ...one!, i: 9_007_199_254_740_993n, t: "2024-01-02T21:00:00.999999999Z" }, { ...one!, i: 5, t: "2024-01-02T21:00:01Z" }]);
    await until(() => count() === 2);
    assert.deepEqual(rig!.trades().map(({ i, t, tns }) => [i, t, tns]), [["9007199254740993", Date.UTC(2024, 0, 2, 21, 0, 0, 999), "2024-01-02T21:00:00.999999999Z"], [5, Date.UTC(2024, 0, 2, 21, 0, 1), "2024-01-02T21:00:01Z"]]);
  });

  it("corrections, cancels, other channels and unknown types go to output 2 under their channel, never as trades", async () => {
    await begin();
    await load({ channels: "trades quotes bars" });
    await live();
    assert.deepEqual(Object.entries(server.history[0]!.subscriptions).filter(([, set]) => set.size > 0).map(([channel]) => channel), ["trades", "quotes", "bars"]);
    const t = "2024-01-02T21:00:00.123456789Z", ms = Date.UTC(2024, 0, 2, 21, 0, 0, 123);
    server.broadcast([
      { T: "q", S: "AAPL", ax: "V", ap: 1.5, as: 1, bx: "V", bp: 1.4, bs: 2, c: ["R"], t, z: "C" }, trades(1)[0], { T: "c", S: "AAPL", x: "V", oi: 1, op: 1, os: 1, oc: ["@"], ci: 2, cp: 1, cs: 1, cc: ["@"], t, z: "C" },
      { T: "x", S: "AAPL", i: 1, x: "V", p: 1, s: 1, a: "C", t, z: "C" }, { T: "b", S: "AAPL", o: 1, h: 2, l: 1, c: 1.5, v: 10, n: 2, vw: 1.2, t }, { T: "neu", S: "AAPL", c: 3 },
    ]);
    await until(() => count() === 1 && rig!.other.length === 5);
    assert.deepEqual(rig!.other.map((msg) => [msg.topic, (msg.payload as { T: string }[])[0]!.T]).sort(), [["bars", "b"], ["cancelErrors", "x"], ["corrections", "c"], ["quotes", "q"], ["unknown", "neu"]]);
    assert.equal((rig!.records("quotes") as unknown as { t: number }[][])[0]![0]!.t, ms);
    assert.equal((await rig!.statistics()).unknown, 1);
  });

  it("malformed frames, null and broken trades cost themselves only", async () => {
    await begin();
    await load();
    await live();
    const sent = trades(4);
    server.raw("{not json");
    server.raw("null");
    server.broadcast([null, 7, [], {}, sent[0], { ...sent[1]!, p: "high" }, sent[2]]);
    server.raw(Buffer.from([0xff, 0xfe, 0x00]));
    server.raw(JSON.stringify([sent[3]]), { fragments: 5 });
    await until(() => count() === 3);
    assert.deepEqual(rig!.trades().map((trade) => trade.i), [sent[0]!.i, sent[2]!.i, sent[3]!.i]);
    assert.equal((await rig!.statistics()).malformed, 8);
    assert.equal(rig!.warnings().filter((text) => /left out/.test(text)).length, 1, "told once");
    assert.equal(server.history.length, 1, "the connection lives");
  });

  it("subscribes and unsubscribes by message; done comes with the confirmation, a refusal names the symbols", async () => {
    await begin({ maxSymbols: 3 });
    await load();
    await live();
    await rig!.send({ payload: { subscribe: ["TSLA"], unsubscribe: "MSFT" } });
    await until(() => rig!.completed.length === 1);
    assert.deepEqual([...server.history[0]!.subscriptions["trades"]!], ["AAPL", "TSLA"]);
    await rig!.send({ payload: { subscribe: ["A", "B"] } });
    await until(() => rig!.caught.length === 1);
    assert.match(errorOf(rig!.caught[0]!).message, /A, B/);
    assert.equal(errorOf(rig!.caught[0]!).code, "ALPACA_LIMIT");
    assert.deepEqual([...server.history[0]!.subscriptions["trades"]!], ["AAPL", "TSLA"]);
    await rig!.send({ payload: { subscribe: { quotes: ["AAPL"] } } });
    await until(() => rig!.completed.length === 2);
    assert.deepEqual([...server.history[0]!.subscriptions["quotes"]!], ["AAPL"]);
    await rig!.send({ payload: "jump" }, { payload: { backfill: { symbols: ["AAPL"] } } });
    await until(() => rig!.caught.length === 3);
    assert.ok(rig!.caught.slice(1).every((msg) => errorOf(msg).code === "CONTROL_INVALID"));
  });

  it("a slow flow: nothing is lost up to the buffer, a minute's worth at 5,000 a second with the defaults", async function () {
    this.timeout(180_000);
    await begin();
    const holder = new Holder();
    await load({ batchSize: 1000 }, { wires: [["hold"], ["out1"]], nodes: [{ id: "hold", type: "test-holder" }], modules: [holder.module] });
    await live();
    const sent = trades(300_000);
    for (let k = 0; k < sent.length; k += 10_000) { server.publish(sent.slice(k, k + 10_000), 1000); await settle(2); }
    const end = Date.now() + 60_000;
    while ((await rig!.statistics()).received < sent.length && Date.now() < end) await settle(50);
    assert.ok(holder.held.length <= 250, "half of the buffer is under way");
    holder.release();
    const passed = () => holder.held.reduce((sum, { msg }) => sum + (msg.payload as unknown[]).length, 0);
    while (passed() < sent.length && Date.now() < end + 60_000) await settle(50);
    assert.equal(passed(), sent.length);
    assert.deepEqual(new Set(holder.held.flatMap(({ msg }) => (msg.payload as RawTrade[]).map(keyOf))).size, sent.length);
    assert.equal((await rig!.statistics()).dropped, 0);
  });

  for (const [overflow, kept] of [["drop-oldest", [0, 1, 2, 3, 4, 15, 16, 17, 18, 19]], ["drop-newest", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]] as const) {
    it(`beyond the buffer: ${overflow}, counted in the status and told in a gap record that a backfill takes`, async () => {
      await begin();
      const holder = new Holder();
      await load({ batchSize: 1, batchMaxWaitMs: 0, maxBuffered: 10, overflow }, { wires: [["hold"], ["out1"]], nodes: [{ id: "hold", type: "test-holder" }], modules: [holder.module] });
      await live();
      const sent = trades(20);
      server.publish(sent, 20);
      await until(() => rig!.records("gaps").length === 1, "the record");
      const gap = rig!.records("gaps")[0]!;
      assert.deepEqual([gap["kind"], gap["trades"], gap["backfill"]], ["overflow", 10, "off"]);
      await until(() => rig!.statuses().some((s) => /10 dropped/.test(s.text ?? "") && s.fill === "yellow"), "the status");
      holder.release();
      await until(() => holder.held.length === 10);
      assert.deepEqual(holder.held.map(({ msg }) => (msg.payload as RawTrade[])[0]!.i), kept.map((k) => sent[k]!.i));
      await rig!.send({ payload: { backfill: { ...gap, to: (gap["to"] as number) + 1 } } });
      await until(() => holder.held.length === 20, "the dropped trades");
      assert.equal(new Set(holder.held.map(({ msg }) => keyOf((msg.payload as RawTrade[])[0]!))).size, 20);
      assert.ok(holder.held.slice(10).every(({ msg }) => msg.backfill === true));
    });
  }

  it("a delivery that fails is sent again, the same trades, untouched by what the flow did to them", async () => {
    await begin();
    const holder = new Holder();
    await load({ batchSize: 2, batchMaxWaitMs: 0 }, { wires: [["hold"], ["out1"]], nodes: [{ id: "hold", type: "test-holder" }], modules: [holder.module] });
    await live();
    const sent = trades(4);
    server.publish(sent);
    await until(() => holder.held.length === 2);
    (holder.held[0]!.msg.payload as RawTrade[])[0]!.p = -1;
    holder.hold = false;
    const [first, second] = holder.held;
    first!.done(new Error("sink is gone"));
    second!.done();
    await until(() => holder.held.length === 4, "again");
    assert.deepEqual(holder.held.slice(2).flatMap(({ msg }) => (msg.payload as RawTrade[]).map(({ i, p }) => [i, p])), sent.map(({ i, p }) => [i, p]));
  });

  it("a backfill on demand: by time over all pages and symbols, without what was sent before; 429 and 5xx are tried again", async () => {
    await begin({ pageLimit: 70 });
    await load({ batchSize: 50 });
    await live();
    const past = trades(500, "past");
    server.published.push(...past);
    server.restFaults.push(429, 503, "broken");
    server.publish(past.slice(0, 100));
    server.published.splice(-100);
    await until(() => count() === 100);
    await rig!.send({ payload: { backfill: { symbols: "AAPL,MSFT", start: "2024-01-02T00:00:00Z", end: "2024-01-03" } } });
    const end = Date.now() + 10_000;
    while (rig!.completed.length === 0 && Date.now() < end) await settle(50);
    assert.equal(rig!.trades().length, 500);
    assert.equal(new Set(rig!.trades().map(keyOf)).size, 500);
    const filled = rig!.out.filter((msg) => msg.backfill === true).flatMap((msg) => msg.payload as RawTrade[]).map(({ t }) => t);
    assert.deepEqual(filled, [...filled].sort((a, b) => a - b));
    const [record] = rig!.records("backfills");
    assert.deepEqual([record!["trades"], record!["duplicates"]], [400, 100]);
  });

  it("a redeploy loses nothing and never meets 406: goodbye first, what was not delivered and the trades of the meantime follow", async function () {
    this.timeout(60_000);
    await begin();
    const holder = new Holder();
    const flow = { wires: [["hold"], ["out1"]], nodes: [{ id: "hold", type: "test-holder" }], modules: [holder.module] };
    await load({ batchSize: 1, batchMaxWaitMs: 0 }, flow);
    await live();
    const sent = trades(30);
    server.publish(sent.slice(0, 10), 1);
    await until(() => holder.held.length === 10);
    for (const { done } of holder.held.slice(0, 5)) done();
    await settle();
    await unload();
    assert.equal(server.clients.size, 0);
    assert.deepEqual(server.history[0]!.said.map(({ action }) => action), ["auth", "subscribe", "unsubscribe"]);
    server.publish(sent.slice(10, 20));
    const again = new Holder();
    again.hold = false;
    await load({ batchSize: 1, batchMaxWaitMs: 0 }, { ...flow, modules: [again.module] });
    await live();
    server.publish(sent.slice(20), 1);
    const end = Date.now() + 15_000;
    while (again.held.length < 25 && Date.now() < end) await settle(50);
    assert.deepEqual(again.held.map(({ msg }) => keyOf((msg.payload as RawTrade[])[0]!)).sort(), sent.slice(5).map(keyOf).sort());
    assert.equal(server.history.length, 2, "no refused login");
    assert.match(String(rig!.records("gaps")[0]!["reason"]), /deployed anew/);
  });

  for (const [what, fault] of [
    ["its backfill was under way", (s: AlpacaServer) => { s.restFaults.push(...new Array<number>(50).fill(503)); }],
    ["the session had been refused", (s: AlpacaServer) => { s.authErrors.push(402); }],
  ] as const) {
    it(`a redeploy after a gap while ${what}: the successor fetches what is missing`, async function () {
      this.timeout(90_000);
      await begin();
      await load({ batchSize: 1 });
      await live();
      const sent = trades(30);
      server.publish(sent.slice(0, 10), 1);
      await until(() => rig!.trades().length === 10);
      const before = rig!.trades().map(keyOf);
      fault(server);
      server.disconnect();
      server.publish(sent.slice(10, 20));
      await until(() => rig!.records("gaps").some((gap) => gap["backfill"] === "scheduled") || rig!.statuses().some(({ fill }) => fill === "red"), what);
      if (what.startsWith("its")) await until(() => server.restRequests.length > 0, "a request for the history");
      await unload();
      server.restFaults.length = 0;
      await load({ batchSize: 1 });
      await live();
      server.publish(sent.slice(20), 1);
      await until(() => rig!.trades().length >= 20, "all of them");
      assert.deepEqual([...before, ...rig!.trades().map(keyOf)].sort(), sent.map(keyOf).sort());
    });
  }

  for (const [what, config, account, pattern] of [
    ["no account", { account: "" }, {}, /No Alpaca account is chosen/], ["an unknown channel", { channels: "trades prices" }, {}, /"prices" is no channel/], ["dead letters", { onFailure: "dead-letter" }, {}, /retry or stop/],
    ["ws:// to elsewhere", {}, { url: "ws://192.168.1.7/v2/iex" }, /this machine only/],
  ] as const) {
    it(`says what is wrong: ${what}`, async () => {
      await begin();
      await load(config, { account });
      await until(() => rig!.statuses().some((s) => s.fill === "red" && pattern.test(s.text ?? "")) || rig!.node.error.args.some(([text]) => pattern.test(String(text))), what);
      assert.equal(server.history.length, 0);
      await rig!.send({ payload: "start" });
      assert.match(errorOf(rig!.caught.at(-1)!).message, pattern);
    });
  }

  it("a wrong key is red, told once, and no secret appears anywhere", async () => {
    await begin();
    await load({}, { credentials: { account: { key: "test-key", secret: "s3cr3t-s3cr3t" } } });
    await until(() => rig!.statuses().some((s) => s.fill === "red"), "red");
    await settle(100);
    assert.equal(server.history.length, 1);
    assert.equal(errorOf(rig!.caught[0]!).code, "ALPACA_DENIED");
    await rig!.send({ payload: "start" });
    await until(() => rig!.caught.length === 2, "an answer");
    assert.match(errorOf(rig!.caught[1]!).message, /before the next deploy/);
    assert.equal(server.history.length, 1);
    assert.doesNotMatch(JSON.stringify([rig!.statuses(), rig!.warnings(), rig!.node.error.args.map(String), rig!.caught, rig!.other, await rig!.statistics()]), /s3cr3t/);
  });

  it("key and secret appear nowhere, even where the server repeats them", async () => {
    await begin({ key: "another" });
    const [key, secret] = ["planted-k3y", "planted-s3cr3t"];
    server.words = `no such login: ${key} ${secret}`;
    await load({ autoStart: false }, { credentials: { account: { key, secret } } });
    await rig!.send({ payload: { backfill: { symbols: ["AAPL"], start: "2024-01-02T14:30:00Z", end: "2024-01-02T15:00:00Z" } } });
    await until(() => rig!.caught.length === 1, "a refused backfill");
    await rig!.send({ payload: "start" });
    await until(() => rig!.caught.length === 2, "a refused login");
    assert.ok(rig!.caught.every((msg) => /no such login: /.test(errorOf(msg).message)), JSON.stringify(rig!.caught.map((msg) => errorOf(msg).message)));
    assert.equal(server.history[0]!.said[0]!["secret"], secret, "the server has it");
    assert.doesNotMatch(JSON.stringify([rig!.statuses(), rig!.warnings(), rig!.node.error.args.map(String), rig!.caught, rig!.other, await rig!.statistics()]), /planted/);
  });

  it("takes key and secret from the environment", async () => {
    await begin();
    Object.assign(process.env, { APCA_API_KEY_ID: "test-key", APCA_API_SECRET_KEY: "test-secret" });
    try {
      await load({}, { credentials: {} });
      await live();
    } finally {
      delete process.env.APCA_API_KEY_ID;
      delete process.env.APCA_API_SECRET_KEY;
    }
  });

  it("one that does not begin by itself needs no key until it is started, and nothing to stop", async () => {
    await begin();
    await load({ autoStart: false }, { credentials: {} });
    await until(() => rig!.statuses().some((s) => s.fill === "grey" && s.text === "not started; no key yet"), "a status that names what it lacks");
    await rig!.send({ payload: "stop" });
    await rig!.send({ payload: "start" });
    await until(() => rig!.caught.length > 0, "an answer to start");
    assert.equal(rig!.caught.length, 1, "stopping it is no error");
    assert.match(errorOf(rig!.caught[0]!).message, /has no key/);
  });

  it("shows the state, the rate, the totals and the market", async () => {
    await begin();
    await load();
    await live();
    server.publish(trades(50));
    await until(() => rig!.statuses().some((s) => /^live, [\d.]+/.test(s.text ?? "") && /50 in, 50 out/.test(s.text!)), "the status");
    await rig!.send({ payload: "stop" });
    await until(() => rig!.statuses().some((s) => /^stopped: 50 in, 50 out/.test(s.text ?? "") && s.fill === "grey"));
    assert.equal(server.clients.size, 0);
    await rig!.send({ payload: "start" });
    await until(() => server.clients.size === 1);
  });

  it("its dialog has the defaults of its runtime", () => {
    const { defaults } = definition("alpaca-in") as { defaults: Record<string, { value: unknown }> };
    assert.deepEqual(
      ["symbols", "channels", "batchSize", "batchMaxWaitMs", "maxBuffered", "overflow", "autoStart"].map((name) => defaults[name]!.value),
      ["AAPL GOOGL MSFT AMZN TSLA", "trades", 100, 250, 500_000, "drop-oldest", true],
    );
    assert.match(nodeHtml("alpaca-in"), /data-template-name="alpaca-in"/);
  });
});
