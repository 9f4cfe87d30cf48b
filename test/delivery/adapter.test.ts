import { strict as assert } from "node:assert";
import { createRequire } from "node:module";
import type { Node, NodeAPI } from "node-red";
import { followFlows, openSource, sourceOptions, withToken, type NodeSource } from "../../nodes/shared/delivery";
import { load, settle, unload, useHelper, type Message, type NodeModule } from "../support/helper";

// The test helper hands nodes an API without hooks; these are the runtime's.
const { hooks } = createRequire(__filename)("@node-red/util") as { hooks: { has(hook: string): boolean } };
let RED: NodeAPI;
let node: Node;
let source: NodeSource<number>;
const seen: string[] = [];
const held: ((error?: Error) => void)[] = [];

/** A source whose batches the test sends, and a node whose completions it decides. */
const module: NodeModule = (api) => {
  RED = api;
  followFlows(RED);
  RED.nodes.registerType("adapter-source", function (this: Node, config: Record<string, unknown>) {
    RED.nodes.createNode(this, config as never);
    // eslint-disable-next-line @typescript-eslint/no-this-alias
    node = this;
    source = openSource<number>(RED, node, sourceOptions(config), {
      start: () => seen.push("start"), suspend: () => seen.push("suspend"),
      delivered: (d) => seen.push(`delivered ${d.context}`), failed: (f) => seen.push(`failed ${f.failed.context}: ${f.error.message}`),
    });
  } as never);
  RED.nodes.registerType("adapter-holder", function (this: Node, config: never) {
    RED.nodes.createNode(this, config);
    this.on("input", (_msg, _send, done) => { held.push(done); });
  } as never);
};
const spec = (context: number, records = 1) => ({ partition: "0", records, bytes: 1, context });
const start = (config: object = {}) => load(module, "adapter-source", config, { wires: [["holder"], ["out1"]], nodes: [{ id: "holder", type: "adapter-holder" }] });

describe("delivery adapter", () => {
  useHelper();
  beforeEach(() => { seen.length = 0; held.length = 0; });
  afterEach(() => { source?.close(); });

  it("reads the shared properties with their defaults, durations in words too", () => {
    assert.deepEqual(sourceOptions({}), { maxInFlight: 500_000, maxInFlightBytes: 67_108_864, onFailure: "retry", maxAttempts: 5, deliveryTimeoutMs: 300_000, caughtIsDone: false });
    assert.deepEqual(
      sourceOptions({ maxInFlight: "10", maxInFlightBytes: "", onFailure: "stop", maxAttempts: 1, deliveryTimeout: "2 minutes", caughtIsDone: "true", name: "x" }),
      { maxInFlight: 10, maxInFlightBytes: 67_108_864, onFailure: "stop", maxAttempts: 1, deliveryTimeoutMs: 120_000, caughtIsDone: true },
    );
    assert.equal(sourceOptions({ deliveryTimeout: 0 }).deliveryTimeoutMs, 0);
  });

  for (const [property, value, reason] of [
    ["maxInFlight", "many", /maxInFlight must be a number/], ["maxInFlight", 0, /maxInFlight must be at least 1/], ["maxAttempts", 1.5, /maxAttempts must be a whole number/],
    ["onFailure", "panic", /onFailure must be retry, stop or dead-letter/], ["deliveryTimeout", "soon", /deliveryTimeout: "soon" is no duration/], ["caughtIsDone", "perhaps", /caughtIsDone must be true or false/],
  ] as const) {
    it(`refuses ${property} ${JSON.stringify(value)} with the reason`, () => {
      assert.throws(() => sourceOptions({ [property]: value }), (error: Error & { code?: string }) => error.code === "CONFIG_INVALID" && reason.test(error.message));
    });
  }

  it("installs hooks only while a source is open, and a source opened while flows run starts at once", async () => {
    await start();
    assert.deepEqual(seen, ["start"]);
    assert.ok(["preDeliver", "onReceive", "postReceive", "onComplete"].every((hook) => hooks.has(`${hook}.ticklake`)));
    source.close();
    assert.ok(!hooks.has("preDeliver.ticklake"));
    const late: string[] = [];
    const second = openSource(RED, node, sourceOptions({}), { start: () => late.push("start"), suspend() {}, delivered() {}, failed() {} });
    assert.ok(!second.sending);
    await settle();
    assert.deepEqual(late, ["start"]);
    second.close();
    assert.ok(!hooks.has("onComplete.ticklake"));
  });

  it("sends one message, or one entry per output, as parts of one delivery", async () => {
    const { outputs } = await start();
    const delivery = source.send(spec(1), [{ payload: "batch" } as never, [{ payload: "reject 1" } as never, { payload: "reject 2" } as never]]);
    await settle();
    assert.deepEqual(outputs[1]!.map((m) => [m.payload, m.delivery]), [["reject 1", delivery.token], ["reject 2", delivery.token]]);
    assert.deepEqual(seen, ["start"]);
    held.shift()!();
    await settle();
    assert.deepEqual(seen, ["start", "delivered 1"]);
    source.send(spec(2), { payload: "aside" } as never, 1);
    await settle();
    assert.deepEqual(seen.slice(2), ["delivered 2"]);
    assert.equal(held.length, 0);
  });

  it("waits for room, and for flows to run", async () => {
    await start({ maxInFlight: 2 });
    await source.whenRoom();
    source.send(spec(1, 2), { payload: 1 } as never);
    let room = false;
    const waiting = source.whenRoom().then(() => { room = true; });
    await settle();
    assert.ok(!room && !source.hasRoom());
    const control = new AbortController();
    const aborted = assert.rejects(source.whenRoom(control.signal), /enough/);
    control.abort(new Error("enough"));
    await aborted;
    held.shift()!();
    await waiting;
    source.send(spec(2, 2), { payload: 2 } as never);
    const closed = assert.rejects(source.whenRoom(), { code: "STOPPED" });
    source.close();
    await closed;
    assert.throws(() => source.send(spec(3), { payload: 3 } as never), { code: "STOPPED" });
  });

  it("a stop suspends the source; what is under way fails with STOPPED", async () => {
    await start();
    source.send(spec(1), { payload: 1 } as never);
    await settle();
    await unload();
    await settle();
    assert.equal(seen[1], "suspend");
    assert.match(seen[2]!, /^failed 1: Flows were stopped while a batch was in node .*\. It is read again\.$/);
    assert.ok(!source.sending);
    assert.throws(() => source.send(spec(2), { payload: 2 } as never), { code: "STOPPED" });
    source.close();
  });

  it("drains at once when nothing is settled, whatever a foreign node still holds", async () => {
    await start();
    source.send(spec(1), { payload: 1 } as never);
    await settle();
    const begun = Date.now();
    await source.drain(5000);
    assert.ok(Date.now() - begun < 1000);
    source.close();
  });

  it("withToken makes a reject part of the batch it came from, and takes nothing else along", () => {
    const from = { _msgid: "a", delivery: "ticklake|x", topic: "t" } as unknown as Message;
    assert.deepEqual(withToken({ payload: 1 } as never, from), { payload: 1, delivery: "ticklake|x", _msgid: "a" });
    assert.deepEqual(withToken({ payload: 1 } as never, { delivery: { street: "Wall" } } as never), { payload: 1 });
  });
});
