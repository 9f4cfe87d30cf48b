import assert from "node:assert/strict";
import explodeTrades from "../../nodes/explode-trades/explode-trades";
import { load as loadNode, useHelper, type NodeModule } from "../support/helper";

const raw = (more: object = {}) => ({ T: "t", S: "AAPL", i: 12345, x: "V", p: 150.25, s: 100, t: 1_699_564_800_000, c: ["@"], z: "C", ...more });
const flat = (more: object = {}) => ({ T: "t", S: "AAPL", i: 12345, x: "V", p: 150.25, s: 100, timestamp: 1_699_564_800_000, c: ["@"], z: "C", ...more });

async function load(config: object = {}, wires?: string[][]) {
  const rig = await loadNode(explodeTrades as unknown as NodeModule, "explode-trades", config, wires ? { wires } : {});
  return { ...rig, out: rig.outputs[0]!, rejects: rig.outputs[1]! };
}

describe("node explode-trades", () => {
  useHelper();

  it("flattens a batch and passes the message on with its other properties", async () => {
    const { send, out, rejects, completed } = await load();
    const kafka = { topic: "iex_data", partition: 0, firstOffset: "1", lastOffset: "2" };
    await send({ _msgid: "m", topic: "iex_data", payload: [{ offset: "1", value: JSON.stringify([raw({ i: 1 }), raw({ i: 2 })]) }, { offset: "2", value: [raw({ i: 3 })] }], kafka, mine: 7 });
    assert.deepEqual(out, [{ _msgid: "m", topic: "iex_data", payload: [flat({ i: 1 }), flat({ i: 2 }), flat({ i: 3 })], kafka, mine: 7 }]);
    assert.equal(rejects.length, 0);
    assert.equal(completed.length, 1, "a Complete node hears of it");
  });

  it("sends readable names when asked", async () => {
    const { send, out } = await load({ names: "readable" });
    await send({ payload: raw() });
    assert.deepEqual(Object.keys((out[0]!.payload as object[])[0]!), ["type", "symbol", "id", "exchange", "price", "size", "timestamp", "conditions", "tape"]);
  });

  it("sends rejects to output 2 with reason, value, source and the delivery's token; its neighbours go on", async () => {
    const { send, out, rejects, caught } = await load();
    const bad = raw({ p: -1 });
    await send({ _msgid: "m", topic: "iex_data", delivery: "ticklake|p|s|1|0|0|1", kafka: { topic: "iex_data", partition: 3 }, payload: [{ offset: "41", value: [raw({ i: 1 }), bad, raw({ i: 2 })] }, { offset: "42", value: "oops" }] });
    assert.deepEqual((out[0]!.payload as object[]).length, 2);
    assert.equal(out[0]!.delivery, "ticklake|p|s|1|0|0|1");
    assert.deepEqual(rejects.map((msg) => [msg.topic, msg.delivery, msg._msgid]), Array(2).fill(["iex_data", "ticklake|p|s|1|0|0|1", "m"]));
    assert.deepEqual(rejects[0]!.payload, { reason: "p must not be negative (p is -1)", value: bad, source: { index: 0, topic: "iex_data", partition: 3, offset: "41", element: 1 } });
    assert.match((rejects[1]!.payload as { reason: string }).reason, /^not JSON/);
    assert.equal(caught.length, 0, "bad records are no errors of the node");
  });

  it("answers every message with exactly one, an empty batch where nothing is left", async () => {
    const { send, out, rejects, completed } = await load();
    await send({ payload: "no json" }, { payload: [] }, { payload: null }, {}, { payload: Buffer.from("[]") }, { payload: JSON.stringify(raw()) });
    assert.deepEqual(out.map((msg) => (msg.payload as unknown[]).length), [0, 0, 0, 0, 0, 1]);
    assert.equal(rejects.length, 3);
    assert.equal(completed.length, 6);
  });

  it("keeps the order of messages", async () => {
    const { send, out } = await load();
    await send(...Array.from({ length: 50 }, (_, i) => ({ payload: [raw({ i })] })));
    assert.deepEqual(out.map((msg) => (msg.payload as { i: number }[])[0]!.i), Array.from({ length: 50 }, (_, i) => i));
  });

  it("passes other messages of the feed where asked, session messages never", async () => {
    const { send, out, rejects } = await load({ other: "pass" });
    const quote = { T: "q", S: "AAPL", bp: 1 };
    await send({ payload: [{ T: "success", msg: "connected" }, raw(), quote] });
    assert.deepEqual(out[0]!.payload, [flat(), quote]);
    assert.equal(rejects.length, 1);
  });

  it("leaves out duplicates within the window, and shows how many", async () => {
    const { send, out, statuses, node } = await load({ dedupe: "10 minutes" });
    await send({ payload: [raw(), raw({ i: 2 })] }, { payload: [raw(), raw({ i: 3 })] });
    assert.deepEqual(out.map((msg) => (msg.payload as { i: number }[]).map((trade) => trade.i)), [[12345, 2], [3]]);
    await node.close();
    assert.match(statuses().at(-1)!.text!, /^3 trades.*, 1 duplicates/);
  });

  it("a poison message costs nothing: deep, circular, prototype keys, huge text", async () => {
    const { send, out, rejects, caught } = await load();
    const circular: Record<string, unknown> = { T: "t" };
    circular.me = circular;
    await send(
      { payload: "[".repeat(200_000) + "]".repeat(200_000) }, { payload: [circular, raw({ i: 1 })] },
      { payload: `{"__proto__":{"polluted":true},"T":"t"}` }, { payload: [raw({ S: "A".repeat(5_000_000) }), raw({ i: 2 })] },
    );
    assert.deepEqual(out.map((msg) => (msg.payload as unknown[]).length), [0, 1, 0, 1]);
    assert.equal(rejects.length, 4);
    assert.equal(caught.length, 0);
    assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  });

  it("says once that rejects are lost while output 2 is not wired", async () => {
    const { send, warnings } = await load({}, [["out0"], []]);
    await send({ payload: [raw({ s: -1 })] }, { payload: [raw({ s: -1 })] });
    assert.equal(warnings().length, 1);
    assert.match(warnings()[0]!, /s must not be negative.*output 2 is not wired/);
  });

  it("shows what it does at most twice a second", async () => {
    const { send, statuses, node } = await load();
    for (let k = 0; k < 20; k++) await send({ payload: [raw({ i: k })] });
    await node.close();
    assert.ok(statuses().length <= 3, `${statuses().length} statuses`);
    assert.deepEqual([statuses().at(-1)!.fill, statuses().at(-1)!.text!.split(",")[0]], ["green", "20 trades"]);
  });

  for (const [name, config, reason] of [["names", { names: "short" }, /names: choose/], ["dedupe", { dedupe: "a while" }, /dedupe.*duration/], ["other", { other: "drop" }, /other: choose/]] as const) {
    it(`a wrong setting (${name}) shows in the status and answers every message`, async () => {
      const { send, out, caught, statuses } = await load(config);
      assert.equal(statuses()[0]!.fill, "red");
      await send({ payload: raw() });
      assert.equal(out.length, 0);
      assert.equal((caught.at(-1)!.error as { code: string }).code, "CONFIG_INVALID");
      assert.match((caught.at(-1)!.error as { message: string }).message, reason);
    });
  }
});
