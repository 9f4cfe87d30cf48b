import { strict as assert } from "node:assert";
import { ids, Look, NODES, Tab } from "../support/delivery-flow";
import { nodeRedCommand, startNodeRed, type NodeRedVersion, type RunningNodeRed } from "../support/node-red";

/** The first pass of the batch with row 4 fails, every later one goes. */
const FAIL_ONCE = `if (msg.payload.some((r) => r.n === 4) && !flow.get("failed")) { flow.set("failed", true); throw new Error("no luck"); } return msg;`;
const group = { mode: "custom", build: "array", property: "payload", propertyType: "msg", count: "2", joiner: "", timeout: "" };

const tabs: Tab[] = [
  new Tab("straight").source("fresh")
    .fn("fresh", "return {payload: msg.payload};", "change")
    .add("change", "change", "switch", { rules: [{ t: "set", p: "seen", pt: "msg", to: "yes", tot: "str" }] })
    .add("switch", "switch", [["sink"], ["async"]], { property: "payload[0].n", propertyType: "msg", rules: [{ t: "lt", v: "4", vt: "num" }, { t: "gte", v: "4", vt: "num" }], checkall: "false", outputs: 2 })
    .fn("async", "await new Promise((r) => setTimeout(r, 20)); node.send({payload: msg.payload}); node.done();", "sink")
    .sink(),
  new Tab("burst").source("switch", { batches: 100 })
    .add("switch", "switch", [["sink"], ["copy"], []], { property: "payload[0].n", propertyType: "msg", rules: [{ t: "gte", v: "20", vt: "num" }, { t: "gte", v: "40", vt: "num" }, { t: "else" }], checkall: "true", outputs: 3 })
    .sink("sink", { intervalMs: 20 }).sink("copy", { intervalMs: 50 }),
  new Tab("own").source("f", { props: { orders: 1 } }).fn("f", "msg.delivery = {street: 'Wall'}; return msg;", "g").fn("g", "return {payload: msg.payload, delivery: msg.delivery};", "look").odd("look", "count", "sink").sink(),
  new Tab("filter").source("f").fn("f", "return msg.payload[0].n % 4 === 0 ? msg : null;", "sink").sink(),
  new Tab("nowhere").source("f").fn("f", "return msg;", [[]]),
  new Tab("fan").source("f k2").fn("f", "return [msg, msg];", [["k1", "debug"], ["k3"]]).sink("k1", { intervalMs: 10 }).sink("k2", { intervalMs: 200 }).sink("k3", { intervalMs: 90 }).add("debug", "debug", [], { active: false, complete: "payload", tosidebar: false }),
  new Tab("poison").source("k1 k2").sink("k1", { failId: "0:4", failTimes: 2 }).sink("k2"),
  new Tab("catch").source("f").fn("f", FAIL_ONCE, "sink").sink().add("catch", "catch", "seen", { scope: null, uncaught: false }).odd("seen", "count", [[]]),
  new Tab("handled").source("f", { caughtIsDone: true }).fn("f", FAIL_ONCE, "sink").sink().add("catch", "catch", "dead", { scope: null, uncaught: false }).sink("dead"),
  new Tab("complete").source("f").fn("f", "return {payload: msg.payload};", "sink").sink()
    .add("afterF", "complete", "copy", { scope: ["complete-f"] }).sink("copy")
    .add("afterSink", "complete", "seen", { scope: ["complete-sink"] }).odd("seen", "count", [[]]),
  new Tab("never").source("f", { deliveryTimeout: "2 seconds" }).odd("f", "never-done", "sink", { times: 1, name: "the lazy one" }).sink(),
  new Tab("throws").source("f").odd("f", "throws", "sink", { times: 1 }).sink(),
  new Tab("thrownAndCaught").source("f", { caughtIsDone: true }).odd("f", "throws", "sink", { times: 1 }).sink().add("catch", "catch", "dead", { scope: null }).sink("dead"),
  new Tab("twice").source("f").odd("f", "twice", "sink").sink(),
  new Tab("splitjoin").source("split").add("split", "split", "f", { splt: "\\n", spltType: "str", arraySplt: 1, arraySpltType: "len", stream: false, addname: "" })
    .fn("f", "return {...msg, payload: {...msg.payload}};", "join").add("join", "join", "sink", { mode: "auto" }).sink(),
  new Tab("join").source("join").add("join", "join", "sink", group).sink(),
  new Tab("joinfail").source("join").add("join", "join", "sink", group).sink("sink", { failId: "0:4", failTimes: 1 }),
  new Tab("delay").source("d").add("d", "delay", "r", { pauseType: "delay", timeout: "60", timeoutUnits: "milliseconds" })
    .add("r", "delay", "sink", { pauseType: "rate", rate: "50", nbRateUnits: "1", rateUnits: "second", drop: false, outputs: 1 }).sink(),
  new Tab("batch").source("b").add("b", "batch", "sink", { mode: "count", count: "3", overlap: "0" }).sink(),
  new Tab("batchjoin").source("b").add("b", "batch", "j", { mode: "count", count: "3", overlap: "0" }).add("j", "join", "sink", { ...group, count: "" }).sink(),
  new Tab("link").source("out").add("out", "link out", [], { mode: "link", links: ["link-in"], wires: [] }).add("in", "link in", "sink", { links: ["link-out"] }).sink(),
  new Tab("call").source("call").add("call", "link call", "sink", { links: ["call-in"], linkType: "static", timeout: "30" })
    .add("in", "link in", "f", { links: [] }).fn("f", "return {...msg, payload: msg.payload};", "return").add("return", "link out", [], { mode: "return", links: [] }).sink(),
  // The sink inside the called flow answers when it has committed: the waiting call must not keep its delivery from settling.
  new Tab("callsink").source("call").add("call", "link call", "seen", { links: ["callsink-in"], linkType: "static", timeout: "30" }).odd("seen", "count", [[]])
    .add("in", "link in", "sink", { links: [] }).sink("sink", {}, "return").add("return", "link out", [], { mode: "return", links: [] }),
  new Tab("sub").source("inst").add("inst", "subflow:sf1", "sink", { env: [] }).sink(),
  new Tab("nodone").source("a").odd("a", "no-done", "b").odd("b", "no-done-new", "sink").sink(),
  new Tab("late").source("f").odd("f", "late", "sink", { ms: 300 }).sink(),
  // Parts park for a minute; the source is at its bound long before.
  new Tab("pressure").source("sink", { maxInFlight: 4 }).sink("sink", { intervalMs: 60_000 }),
  new Tab("heldup").source("f", { maxInFlight: 4, deliveryTimeout: 0 }).odd("f", "never-done", "sink").sink(),
  new Tab("rejects").source("sink").sink("sink", { rejectId: "0:4" }, [["result"], ["reject"]]).odd("result", "count", [[]]).odd("reject", "count", [[]]),
  new Tab("rejectheld").source("sink").sink("sink", { rejectId: "0:4" }, [[], ["stuck"]]).odd("stuck", "never-done", [[]]),
];
const subflow = [
  { id: "sf1", type: "subflow", name: "inner", in: [{ x: 1, y: 1, wires: [{ id: "sf1-f" }] }], out: [{ x: 1, y: 1, wires: [{ id: "sf1-g", port: 0 }] }], env: [] },
  { id: "sf1-f", type: "function", z: "sf1", func: "return {payload: msg.payload};", outputs: 1, wires: [["sf1-g"]], libs: [] },
  { id: "sf1-g", type: "function", z: "sf1", func: "setTimeout(() => { node.send(msg); node.done(); }, 5);", outputs: 1, wires: [[]], libs: [] },
];

for (const version of ["4", "5"] as NodeRedVersion[]) {
  describe(`delivery through flows, Node-RED ${version}`, function () {
    this.timeout(60_000);
    let red: RunningNodeRed;
    const look = (tab: string): Look => new Look(red, tab);
    /** All rows are in the table once, all are delivered, nothing failed. */
    const clean = async (tab: string, sinks = ["sink"], expected = ids()): Promise<void> => {
      await look(tab).delivered();
      for (const sink of sinks) assert.deepEqual(look(tab).rows(sink).sort(), expected, sink);
      assert.deepEqual(look(tab).events("failed"), []);
    };

    before(async function () {
      if (!nodeRedCommand(version)) this.skip();
      red = await startNodeRed({ version, typescript: true, nodesDir: NODES, flow: [...tabs.flatMap((tab) => tab.nodes), ...subflow] });
    });
    after(async () => { await red?.stop(); });

    it("function with a new object, change, switch, asynchronous function", () => clean("straight"));
    it("a switch queues what it gets in a burst and never says when it is done with it: nothing counts as delivered before it has gone on", async () => {
      await look("burst").delivered(200);
      assert.deepEqual(look("burst").rows("sink").sort(), ids(200, (n) => n >= 20));
      assert.deepEqual(look("burst").rows("copy").sort(), ids(200, (n) => n >= 40));
      assert.deepEqual(look("burst").events("failed"), []);
      assert.doesNotMatch(red.logs(), /burst-switch \(switch\) is not protected/);
    });
    it("a property msg.delivery of the user's own", async () => {
      await clean("own");
      assert.equal(look("own").events("seen").length, 6);
    });
    it("a filter: what it drops is delivered", () => clean("filter", ["sink"], ids(12, (n) => n % 4 < 2)));
    it("a flow that ends nowhere", () => clean("nowhere", []));
    it("fan-out to several sinks of different pace", () => clean("fan", ["k1", "k2", "k3"]));
    it("a sink that fails: the batch and all later ones come again, no sink has a row twice", async () => {
      await look("poison").delivered();
      assert.deepEqual(look("poison").rows("k1").sort(), ids());
      assert.deepEqual(look("poison").rows("k2").sort(), ids());
      const failed = look("poison").events("failed");
      assert.deepEqual(failed.map((f) => [f.offset, f.in, f.message]), [[4, "poison-k1", "cannot write 0:4"], [4, "poison-k1", "cannot write 0:4"]]);
      assert.equal(failed[0]!.aborted, 4);
    });
    it("an error that a Catch node sees fails the delivery all the same", async () => {
      await look("catch").delivered();
      assert.deepEqual(look("catch").rows().sort(), ids());
      assert.equal(look("catch").events("failed").length, 1);
      assert.equal(look("catch").events("seen").length, 1);
      assert.match(String(look("catch").events("seen")[0]!.error), /no luck/);
    });
    it("with caughtIsDone what the Catch branch writes belongs to the delivery", async () => {
      await clean("handled", ["dead"], ["0:4", "0:5"]);
      assert.deepEqual(look("handled").rows().sort(), ids(12, (n) => n !== 4 && n !== 5));
    });
    it("a Complete branch belongs to the delivery; one behind a sink does not", async () => {
      await clean("complete", ["sink", "copy"]);
      await red.until("Complete nodes of the sink", () => look("complete").events("seen").length === 6);
      for (const seen of look("complete").events("seen")) assert.deepEqual([seen.complete, seen.token], ["complete-sink", false]);
    });
    it("a node that never calls done is named, and the batch comes again", async () => {
      await look("never").delivered();
      assert.deepEqual(look("never").rows().sort(), ids());
      const [failed] = look("never").events("failed");
      assert.deepEqual([failed!.code, failed!.in], ["DELIVERY_HELD_UP", "never-f"]);
      assert.match(String(failed!.message), /"the lazy one" \(test-odd\).*done/);
    });
    it("a handler that throws fails its delivery after 5 s", async () => {
      await look("throws").delivered();
      assert.deepEqual(look("throws").rows().sort(), ids());
      const [failed] = look("throws").events("failed");
      assert.equal(failed!.in, "throws-f");
      assert.match(String(failed!.message), /called done: thrown by the handler$/);
    });
    it("a handler that throws into a Catch node is done with caughtIsDone", async () => {
      await clean("thrownAndCaught", ["dead"], ["0:0", "0:1"]);
      assert.deepEqual(look("thrownAndCaught").rows().sort(), ids(12, (n) => n > 1));
    });
    it("a node that sends the same object twice", () => clean("twice", ["sink"], ids(12, () => true, 2)));
    it("split and join", async () => {
      await clean("splitjoin");
      assert.ok(look("splitjoin").events("parked").every((p) => p.ties === 1), "a batch that is split and joined again is no tie");
    });
    it("a join across batches ties them", async () => {
      await clean("join");
      assert.deepEqual(look("join").events("parked").map((p) => p.ties), [2, 2, 2]);
    });
    it("if one of the joined batches fails, all fail", async () => {
      await look("joinfail").delivered();
      const rows = look("joinfail").rows();
      assert.deepEqual([...new Set(rows)].sort(), ids());
      assert.equal(look("joinfail").events("failed")[0]!.offset, 4);
    });
    it("delay and rate limit", () => clean("delay"));
    it("batch", () => clean("batch"));
    it("batch and join make one message of three batches", async () => {
      await clean("batchjoin");
      assert.deepEqual(look("batchjoin").events("parked").map((p) => p.ties), [3, 3]);
    });
    it("link out and link in", () => clean("link"));
    it("link call", () => clean("call"));
    it("link call around a sink", async () => {
      await clean("callsink");
      await red.until("results", () => look("callsink").events("seen").length === 6);
    });
    it("subflow", () => clean("sub"));
    it("nodes whose handler takes no done", () => clean("nodone"));
    it("a node that sends after done is reported, its rows are written as they come", async () => {
      await look("late").delivered();
      await red.until("late rows", () => look("late").rows().length === 12);
      assert.match(red.logs(), /\[test-odd:late-f\] Delivery across node late-f \(test-odd\) is not protected/);
      assert.equal(red.logs().match(/late-f \(test-odd\) is not protected/g)!.length, 1);
    });
    it("a source at its bound makes the sink commit at once", async () => {
      await clean("pressure");
      assert.ok(look("pressure").events("pressure").length >= 2);
    });
    it("a source at its bound names the node in the way", async () => {
      const heldUp = await red.until("hold-up", () => look("heldup").events("heldUp").find((h) => h.by !== undefined));
      assert.deepEqual([heldUp.by, heldUp.parts], ["heldup-f", 2]);
      assert.equal(look("heldup").offset(), 0);
    });
    it("results carry no token, rejects do", async () => {
      await clean("rejects");
      assert.ok(look("rejects").events("seen", "result").every((s) => s.token === false));
      assert.deepEqual(look("rejects").events("seen", "reject").map((s) => s.token), [true]);
    });
    it("a batch is delivered only when its rejects are", async () => {
      await red.until("rows before the reject", () => look("rejectheld").offset() === 4);
      assert.equal(look("rejectheld").rows().length, 4);
    });
    it("stops cleanly, with everything settled committed", async () => {
      assert.equal(await red.stop(), 0);
      assert.doesNotMatch(red.logs(), /ticklake delivery:|Unhandled|TypeError/);
    });
  });
}
