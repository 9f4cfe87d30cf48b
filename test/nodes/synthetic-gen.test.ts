import assert from "node:assert/strict";
import type { NodeAPI } from "node-red";
import explodeTrades from "../../nodes/explode-trades/explode-trades";
import syntheticGen from "../../nodes/synthetic-gen/synthetic-gen";
import { rawTradeSchema } from "../../lib/trades/schema";
import type { GeneratorStatistics } from "../../lib/trades/generator-contract";
import type { RawTrade } from "../../lib/trades/types";
import { load as loadNode, settle, unload, until, useHelper, type Message, type NodeModule } from "../support/helper";

const generator = syntheticGen as unknown as NodeModule;

/** A foreign node whose completion the test decides. */
const held: { msg: Message; done: (error?: Error) => void }[] = [];
function holder(RED: NodeAPI): void {
  RED.nodes.registerType("test-holder", function (this: never, config: never) {
    const node = this as unknown as { on(event: string, callback: (msg: Message, send: unknown, done: (error?: Error) => void) => void): void };
    RED.nodes.createNode(this, config);
    node.on("input", (msg, _send, done) => { held.push({ msg, done }); });
  } as never);
}

async function load(config: object = {}, options: Parameters<typeof loadNode>[3] = {}) {
  const rig = await loadNode(generator, "synthetic-gen", { interval: 0, ...config }, options);
  const [out, statistics] = rig.outputs as [Message[], Message[]];
  return { ...rig, out, statistics, trades: () => out.flatMap((msg) => msg.payload as RawTrade[]) };
}
const resultOf = (messages: Message[]) => messages.at(-1)!.payload as GeneratorStatistics;

describe("node synthetic-gen", () => {
  useHelper();
  beforeEach(() => { held.length = 0; });

  it("sends batches of raw trades by itself, marks the last one, and tells the statistics once all is delivered", async () => {
    const { out, statistics, trades, statuses, node } = await load({ batchSize: 20, batchCount: 5, seed: "s" });
    await until(() => statistics.length > 0, "the result");
    assert.deepEqual(out.map((msg) => [msg.topic, (msg.payload as object[]).length, msg.complete]), [...Array(4).fill(["trades", 20, undefined]), ["trades", 20, true]]);
    assert.ok(out.every((msg) => typeof msg.delivery === "string"), "each under a delivery of its own");
    assert.ok(trades().every((trade) => rawTradeSchema.safeParse(trade).success && Math.abs(trade.t - Date.now()) < 10_000));
    const { tradesPerSecond, seconds, ...rest } = resultOf(statistics);
    assert.deepEqual(rest, { outcome: "complete", trades: 100, batches: 5, deliveredTrades: 100, deliveredBatches: 5, failedBatches: 0, successRate: 100, seed: "s" });
    assert.ok(seconds > 0 && Math.abs(tradesPerSecond - 100 / seconds) < 1e-6);
    assert.deepEqual([statistics[0]!.topic, statistics[0]!.complete, statistics[0]!.delivery], ["statistics", true, undefined]);
    await node.close();
    assert.match(statuses().at(-1)!.text!, /^complete: 100 trades, 100 % acked, .*\/s$/);
  });

  it("gives the same bytes for the same seed and start time", async () => {
    const run = async (seed: string) => {
      const { trades, statistics } = await load({ batchCount: 10, seed, startTime: "2024-11-01T13:30:00Z", priceModel: "gbm", symbols: "AAPL SPY IBM" });
      await until(() => statistics.length > 0);
      await unload();
      return JSON.stringify(trades());
    };
    const once = await run("42");
    assert.equal(await run("42"), once);
    assert.notEqual(await run("43"), once);
  });

  it("sends at its interval", async () => {
    const { out } = await load({ interval: "50 ms" });
    await until(() => out.length >= 4, "four batches");
    assert.ok(out.length < 20, "not at full speed");
  });

  it("obeys start, pause, resume and stop; a wrong word goes to Catch, a right one to Complete", async () => {
    const { out, send, node, caught, completed, statuses, statistics } = await load({ autoStart: false, interval: 1 });
    await settle();
    assert.equal(out.length, 0);
    await send({ payload: "start" });
    await until(() => out.length === 1);
    await send({ payload: "pause" }, { payload: "resume" }, { payload: "stop" });
    await until(() => statistics.length === 1, "the result after stop");
    assert.equal(resultOf(statistics).outcome, "stopped");
    assert.equal(completed.length, 4);
    await send({ payload: "faster" }, { payload: 1 }, {});
    assert.equal(caught.length, 3);
    for (const msg of caught) assert.equal((msg.error as { code: string }).code, "CONTROL_INVALID");
    assert.match((caught[0]!.error as { message: string }).message, /"faster".*start, stop, pause or resume/);
    await node.close();
    assert.match(statuses().at(-1)!.text!, /^stopped: /);
  });

  it("waits while its bound is reached, and says which node holds it up", async function () {
    this.timeout(10_000);
    const { statuses } = await load({ batchSize: 10, maxInFlight: 30 }, { wires: [["hold"]], nodes: [{ id: "hold", type: "test-holder", name: "slow one" }], modules: [holder as unknown as NodeModule] });
    await until(() => held.length === 3, "three batches");
    await settle(50);
    assert.equal(held.length, 3);
    await until(() => statuses().some((status) => status.fill === "yellow" && /held up by .*slow one/.test(status.text!)), "the status");
    held[0]!.done();
    await until(() => held.length === 4, "the next batch");
  });

  it("sends the same trades again, in order, when a delivery failed; success rate tells", async () => {
    const { statistics } = await load({ batchSize: 10, batchCount: 3, seed: "again" }, { wires: [["hold"], ["out1"]], nodes: [{ id: "hold", type: "test-holder" }], modules: [holder as unknown as NodeModule] });
    await until(() => held.length === 3);
    const sent = held.map(({ msg }) => JSON.stringify(msg.payload));
    held[0]!.done();
    held[1]!.done(new Error("disk away"));
    held[2]!.done();
    await until(() => held.length === 5, "batches 2 and 3 again");
    assert.deepEqual(held.slice(3).map(({ msg }) => JSON.stringify(msg.payload)), sent.slice(1));
    assert.equal(held[4]!.msg.complete, true);
    held[3]!.done();
    held[4]!.done();
    await until(() => statistics.length === 1);
    const { successRate, deliveredBatches, failedBatches } = resultOf(statistics);
    assert.deepEqual([successRate, deliveredBatches, failedBatches], [60, 3, 2]);
  });

  it("with onFailure stop it stops, raises the error for a Catch node, and goes on when told", async () => {
    const { send, caught, statuses } = await load({ batchSize: 10, onFailure: "stop", maxAttempts: 1, maxInFlight: 10 }, { wires: [["hold"]], nodes: [{ id: "hold", type: "test-holder" }], modules: [holder as unknown as NodeModule] });
    await until(() => held.length === 1);
    held[0]!.done(new Error("disk away"));
    await until(() => statuses().some((status) => status.fill === "red"), "a red status");
    await settle();
    assert.equal(held.length, 1);
    assert.ok(caught.some((msg) => /disk away.*resume/.test((msg.error as { message: string }).message)));
    await send({ payload: "resume" });
    await until(() => held.length === 2);
    assert.deepEqual(held[1]!.msg.payload, held[0]!.msg.payload);
  });

  it("feeds explode-trades; a key of a delivery that failed is forgotten by its dedupe window", async () => {
    const { statistics } = await load({ batchSize: 10, batchCount: 2, seed: "d", startTime: "2024-11-01" }, {
      wires: [["explode"], ["out1"]], modules: [holder as unknown as NodeModule, explodeTrades as unknown as NodeModule],
      nodes: [{ id: "explode", type: "explode-trades", dedupe: 600, wires: [["hold"], []] }, { id: "hold", type: "test-holder" }],
    });
    await until(() => held.length === 2);
    held[0]!.done(new Error("once"));
    await until(() => held.length === 4, "both again");
    assert.deepEqual(held.slice(2).map(({ msg }) => (msg.payload as object[]).length), [10, 10], "not taken for duplicates");
    held.forEach(({ done }) => { done(); });
    await until(() => statistics.length === 1);
    assert.equal(resultOf(statistics).deliveredTrades, 20);
  });

  it("leaves the event loop to others at full speed", async () => {
    const { out } = await load({ batchSize: 1000, maxInFlight: 20_000 });
    let most = 0, turns = 0;
    for (let before = out.length; out.length < 300; before = out.length, turns++) {
      await new Promise((resolve) => setImmediate(resolve));
      most = Math.max(most, out.length - before);
    }
    assert.ok(most <= 2 && turns >= 150, `${most} batches in one turn of the event loop`);
  });

  it("closes within its time, also with batches that nobody finishes", async () => {
    const { node } = await load({ maxInFlight: 100 }, { wires: [["hold"]], nodes: [{ id: "hold", type: "test-holder" }], modules: [holder as unknown as NodeModule] });
    await until(() => held.length > 0);
    const begun = Date.now();
    await node.close();
    assert.ok(Date.now() - begun < 2000);
    const count = held.length;
    await settle(50);
    assert.equal(held.length, count, "nothing is sent afterwards");
  });

  for (const [config, reason] of [
    [{ symbols: "" }, /symbols/], [{ batchSize: 0 }, /batchSize/], [{ interval: "often" }, /interval/], [{ priceModel: "x" }, /priceModel/], [{ startTime: "noon" }, /startTime/],
    [{ onFailure: "dead-letter" }, /onFailure/], [{ maxInFlight: "lots" }, /maxInFlight/],
  ] as const) {
    it(`a wrong setting shows in the status and answers every message (${Object.keys(config)[0]})`, async () => {
      const { send, out, caught, statuses } = await load(config);
      assert.equal(statuses()[0]!.fill, "red");
      await send({ payload: "start" });
      assert.equal(out.length, 0);
      const error = caught.at(-1)!.error as { code: string; message: string };
      assert.equal(error.code, "CONFIG_INVALID");
      assert.match(error.message, reason);
    });
  }
});
