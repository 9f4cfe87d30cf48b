import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { NodeAPI } from "node-red";
import csvReplay from "../../nodes/csv-replay/csv-replay";
import { rawTradeSchema } from "../../lib/trades/schema";
import type { RawTrade } from "../../lib/trades/types";
import { definition, nodeHtml } from "../support/flows";
import { load as loadNode, settle, unload, until, useHelper, type Message, type NodeModule } from "../support/helper";
import { ALPACA, alpacaFile, folder, gz } from "../unit/trades/csv/support";

const replay = csvReplay as unknown as NodeModule;
const files = folder();

/** A foreign node whose completion the test decides. */
const held: { msg: Message; done: (error?: Error) => void }[] = [];
let hold = true;
function holder(RED: NodeAPI): void {
  RED.nodes.registerType("test-holder", function (this: never, config: never) {
    const node = this as unknown as { on(event: string, callback: (msg: Message, send: unknown, done: (error?: Error) => void) => void): void };
    RED.nodes.createNode(this, config);
    node.on("input", (msg, _send, done) => { if (hold) held.push({ msg, done }); else { held.push({ msg, done }); done(); } });
  } as never);
}

async function load(config: object = {}, options: Parameters<typeof loadNode>[3] = {}) {
  const rig = await loadNode(replay, "csv-replay", { pace: "max", ...config }, options);
  const [out, rejects] = rig.outputs as [Message[], Message[]];
  return { ...rig, out, rejects, trades: () => out.flatMap((msg) => msg.payload as RawTrade[]), complete: () => out.at(-1)?.complete === true };
}
const toHolder = { wires: [["hold"], ["out1"]], nodes: [{ id: "hold", type: "test-holder" }], modules: [holder] };
const errorOf = (msg: Message) => (msg.error as { message: string; source: { id: string } }).message;

describe("node csv-replay", () => {
  useHelper({ userDir: files.dir, ticklake: { sortDir: join(files.dir, "sort") } });
  after(() => files.clean());
  beforeEach(() => { held.length = 0; hold = true; });

  it("replays the file that is set when told to start: batches, the last marked, rejects on output 2, done at the end", async () => {
    files.write("day.csv", alpacaFile(250).replace("\n", "\noops\n"));
    const { out, rejects, trades, complete, completed, send, statuses, node } = await load({ file: "day.csv" });
    await settle();
    assert.equal(out.length, 0, "not by itself");
    await send({ payload: "start" });
    await until(() => completed.length === 1, "the end");
    assert.ok(complete());
    assert.deepEqual(out.map((msg) => [msg.topic, (msg.payload as object[]).length, msg.complete, msg.filename]), [["trades", 99, undefined, "day.csv"], ["trades", 100, undefined, "day.csv"], ["trades", 51, true, "day.csv"]]);
    assert.deepEqual(rejects.map((msg) => [msg.topic, msg.payload]), [["rejects", { line: 2, text: "oops", reason: "1 columns instead of 8" }]]);
    assert.ok(out.every((msg) => typeof msg.delivery === "string"));
    assert.equal(rejects[0]!.delivery, out[0]!.delivery, "a reject belongs to the delivery of its batch");
    assert.ok(trades().every((trade) => rawTradeSchema.safeParse(trade).success));
    await node.close();
    assert.deepEqual(statuses().at(-1), { fill: "grey", shape: "ring", text: "complete: 250 trades, 1 rejected" });
  });

  it("starts by itself when set to", async () => {
    files.write("auto.csv", alpacaFile(10));
    const { trades, complete } = await load({ file: "auto.csv", autoStart: true });
    await until(complete);
    assert.equal(trades().length, 10);
  });

  it("takes file names by message, one after the other, in order", async () => {
    files.write("one.csv", alpacaFile(1500, ["ONE"]));
    files.write("two.csv.gz", gz(alpacaFile(1500, ["TWO"])));
    const { out, trades, completed, send } = await load();
    await send({ payload: "one.csv" }, { payload: join(files.dir, "two.csv.gz") }, { payload: "one.csv" });
    await until(() => completed.length === 3);
    assert.deepEqual(trades().map((t) => t.S), [...Array(1500).fill("ONE"), ...Array(1500).fill("TWO"), ...Array(1500).fill("ONE")]);
    assert.deepEqual(out.filter((msg) => msg.complete).map((msg) => msg.filename), ["one.csv", "two.csv.gz", "one.csv"]);
  });

  it("reads typed properties from the message", async () => {
    files.write("typed.csv", alpacaFile(100, ["A", "B"]));
    const { trades, completed, send } = await load({ file: "path", fileType: "msg", symbols: "only", symbolsType: "msg", from: "since", fromType: "msg" });
    await send({ path: "typed.csv", only: ["B"], since: Date.UTC(2024, 0, 2, 14, 30) + 50 });
    await until(() => completed.length === 1);
    assert.deepEqual([trades().length, new Set(trades().map((t) => t.S))], [25, new Set(["B"])]);
  });

  it("reads the file name from the environment", async () => {
    files.write("env.csv", alpacaFile(3));
    process.env.TEST_REPLAY_FILE = "env.csv";
    const { complete, send } = await load({ file: "TEST_REPLAY_FILE", fileType: "env" });
    await send({ payload: "start" });
    await until(complete);
    delete process.env.TEST_REPLAY_FILE;
  });

  it("answers what is no file with an error that a Catch node gets, and goes on", async () => {
    files.write("good.csv", alpacaFile(5));
    files.write("unknown.csv", "a,b\n1,2\n");
    const { caught, trades, completed, send, statuses } = await load();
    const wrong: [object, string, RegExp][] = [
      [{ payload: "missing.csv" }, "FILE_NOT_FOUND", /no file missing.csv/], [{ payload: "/dev/zero" }, "FILE_NOT_ALLOWED", /regular files/], [{ payload: "unknown.csv" }, "CSV_DIALECT_UNKNOWN", /"a, b"/],
      [{ payload: 1700000000000 }, "CONTROL_INVALID", /neither a file name nor/], [{ payload: "" }, "CONTROL_INVALID", /neither/], [{}, "CONTROL_INVALID", /neither/], [{ payload: "start" }, "CONFIG_INVALID", /No file is set/],
    ];
    for (const [msg, code, message] of wrong) {
      const before = caught.length;
      await send(msg);
      await until(() => caught.length > before, JSON.stringify(msg));
      assert.match(errorOf(caught.at(-1)!), message);
      assert.equal((caught.at(-1)!.error as { code?: string }).code, code);
    }
    await until(() => statuses().some((s) => s.fill === "red" && /No file is set/.test(s.text!)), "the status");
    await send({ payload: "good.csv" });
    await until(() => completed.length === 1);
    assert.equal(trades().length, 5);
  });

  it("a file that is missing costs itself only, not those that wait behind it", async () => {
    files.write("behind.csv", alpacaFile(5));
    const { caught, trades, send, completed, statuses } = await load();
    await send({ payload: "missing.csv" }, { payload: "behind.csv" });
    await until(() => completed.length === 1);
    assert.deepEqual([caught.length, trades().length], [1, 5]);
    await until(() => statuses().at(-1)!.fill !== "red", "a status of the file that was replayed");
  });

  it("shows a wrong setting and answers every message with it", async () => {
    for (const [config, message] of [[{ pace: "warp" }, /pace: choose/], [{ dialect: "custom", columns: "{" }, /columns: not valid JSON/], [{ onFailure: "dead-letter" }, /retry or stop/], [{ maxInFlight: 0 }, /maxInFlight/]] as const) {
      const { statuses, caught, send } = await load({ file: "day.csv", ...config });
      assert.equal(statuses()[0]!.fill, "red");
      await send({ payload: "start" });
      assert.match(errorOf(caught.at(-1)!), message);
      await unload();
    }
  });

  it("keeps no more than maxInFlight undelivered, and names the node in the way", async () => {
    files.write("bound.csv", alpacaFile(1000));
    const { send, statuses, node } = await load({ file: "bound.csv", batchSize: 10, maxInFlight: 50 }, toHolder);
    await send({ payload: "start" });
    await until(() => held.length === 5);
    await settle(50);
    assert.equal(held.length, 5);
    await until(() => statuses().some((s) => /held up by test-holder/.test(s.text ?? "")), "the status");
    hold = false;
    for (const { done } of held.splice(0)) done();
    await until(() => held.length === 95);
    assert.deepEqual(held.at(-1)!.msg.complete, true);
    await node.close();
  });

  it("reads a batch again when its delivery failed, in order and with what came after it", async () => {
    files.write("again.csv", alpacaFile(60));
    const { send, completed } = await load({ file: "again.csv", batchSize: 20 }, toHolder);
    await send({ payload: "start" });
    await until(() => held.length === 3);
    held[0]!.done();
    held[1]!.done(new Error("sink is gone"));
    held[2]!.done();
    held.length = 0;
    hold = false;
    await until(() => completed.length === 1, "the end");
    assert.deepEqual(held.map(({ msg }) => (msg.payload as RawTrade[])[0]!.i), [21, 41]);
    assert.deepEqual(held.map(({ msg }) => msg.complete), [undefined, true]);
  });

  it("stops after the attempts, says so, and goes on when told to resume", async () => {
    files.write("stop.csv", alpacaFile(10));
    const { send, caught, completed, statuses } = await load({ file: "stop.csv", onFailure: "stop", maxAttempts: 1 }, toHolder);
    await send({ payload: "start" });
    await until(() => held.length === 1);
    held.pop()!.done(new Error("sink is gone"));
    await until(() => caught.some((msg) => /Stopped after 1 failed deliveries: sink is gone.*resume/.test(errorOf(msg))));
    await until(() => statuses().some((s) => s.fill === "red" && /stopped after failures/.test(s.text!)));
    hold = false;
    await send({ payload: "resume" });
    await until(() => completed.length >= 2, "both messages");
    assert.equal(held.length, 1);
  });

  it("pauses, resumes and stops; stop drops the files that wait", async () => {
    files.write("slow.csv", alpacaFile(3000));
    const { send, trades, completed, statuses, out } = await load({ pace: "rate", rate: 100 });
    await send({ payload: "slow.csv" }, { payload: "slow.csv" }, { payload: " Pause " });
    await until(() => statuses().some((s) => /^paused/.test(s.text!)));
    const paused = trades().length;
    await settle(100);
    assert.equal(trades().length, paused);
    await send({ payload: "resume" });
    await until(() => trades().length > paused, "trades after resume");
    await send({ payload: "stop" });
    // The two files and the three words are done.
    await until(() => completed.length === 5);
    assert.ok(trades().length < 3000);
    assert.ok(!out.some((msg) => msg.complete));
    await until(() => statuses().some((s) => /^stopped: \d+ trades$/.test(s.text!)));
  });

  it("replays by market time a file that is sorted by symbol", async () => {
    const [header, ...rows] = alpacaFile(500, ["A", "B", "C"]).trim().split("\n");
    files.write("bysymbol.csv", [header, ...rows.sort()].join("\n"));
    const { trades, complete, send } = await load({ file: "bysymbol.csv" });
    await send({ payload: "start" });
    await until(complete);
    const times = trades().map((t) => t.t);
    assert.deepEqual(times, [...times].sort((a, b) => a - b));
    assert.equal(times.length, 500);
  });

  it("closes in the middle of a wait without hanging", async () => {
    files.write("gap.csv", [ALPACA, "A,2024-01-02T14:30:00Z,V,1,1,1,[],C", "A,2024-01-03T14:30:00Z,V,1,1,2,[],C"].join("\n"));
    const { out, statuses, send, node } = await load({ file: "gap.csv", pace: "original" });
    await send({ payload: "start" });
    await until(() => out.length === 1);
    await until(() => statuses().some((s) => /next trade in 24 h, 2024-01-02 14:30:00Z/.test(s.text!)));
    const begin = Date.now();
    await node.close();
    assert.ok(Date.now() - begin < 2000);
  });
});

describe("dialog of csv-replay", () => {
  const root = join(__dirname, "../../nodes/csv-replay");
  const html = nodeHtml("csv-replay");
  const labels = JSON.parse(readFileSync(join(root, "locales/en-US/csv-replay.json"), "utf8")) as Record<string, unknown>;

  it("has a label for every input and a text for every key", () => {
    for (const [, id] of html.matchAll(/<(?:input|select|textarea)(?![^>]*type="hidden")[^>]*id="([^"]+)"/g)) assert.ok(html.includes(`for="${id}"`), id);
    for (const [, key] of html.matchAll(/data-i18n="(?:\[\w+\])?(csv-replay\.[^"]+)"/g)) {
      assert.equal(typeof key!.split(".").reduce<unknown>((at, part) => (at as Record<string, unknown> | undefined)?.[part], labels), "string", key);
    }
  });

  it("has the documented defaults", () => {
    for (const [name, value] of Object.entries({ dialect: "auto", pace: "original", speed: 1, batchSize: 100, timeShift: "none", loop: false, autoStart: false, maxInFlight: 500000, maxInFlightBytes: 67108864, onFailure: "retry", maxAttempts: 5, deliveryTimeout: 300, caughtIsDone: false })) {
      assert.equal(definition("csv-replay").defaults[name]?.value, value, name);
    }
  });
});
