import { strict as assert } from "node:assert";
import { join } from "node:path";
import { Tab } from "../support/delivery-flow";
import { nodeRedCommand, startNodeRed, type NodeRedVersion, type RunningNodeRed } from "../support/node-red";

const raw = (i: number) => ({ T: "t", S: "AAPL", i, x: "V", p: 150.25, s: 100, t: 1_699_564_800_000, c: ["@"], z: "C" });
const trade = (i: number, more: object = {}) => { const { t, c, z, ...rest } = raw(i); return { ...rest, timestamp: t, c, z, ...more }; };
/** Two arrays of raw trades, as they stand in a topic. */
const values = [JSON.stringify([raw(1), raw(2)]), JSON.stringify([raw(3)])];
const record = (k: number) => ({ key: "k", value: JSON.parse(values[k]!) as unknown, headers: {}, offset: 41 + k, timestamp: 1_700_000_000_000 + k });
const records = [record(0), record(1)];
const trades = [trade(1), trade(2), trade(3)];

class UnreadTab extends Tab {
  constructor(name: string, wires: string) { super(name); this.add("source", "test-unread-source", wires, { values }); }
  explode(wires: string): this { return this.add("explode", "explode-trades", [wires.split(" "), []], { names: "documented", dedupe: 0, other: "reject" }); }
  look(id = "look"): this { return this.add(id, "test-unread-look", [[]]); }
  pass(id: string, wires: string): this { return this.add(id, "test-unread-look", wires, { pass: true }); }
}

const each = { mode: "auto" };
const NAMES = ["topic", "payload", "kafka", "last", "delivery"];

/** Tab, what its look node sees, and whether the payload came to it unread. */
const cases: { tab: Tab; what: string; sees: unknown; unread?: boolean; also?: [id: string, sees: unknown, unread: boolean][] }[] = [
  { what: "our own nodes in a row make no objects", tab: new UnreadTab("straight", "explode").explode("look").look(), sees: trades, unread: true },
  { what: "without explode-trades records of Kafka are seen", tab: new UnreadTab("records", "look").look(), sees: records, unread: true },
  { what: "nor do several wires, and each sees objects of its own", tab: new UnreadTab("wires", "explode look3").explode("look look2").look().look("look2").look("look3"), sees: trades, unread: true, also: [["look2", trades, true], ["look3", records, true]] },
  { what: "what a function node on one wire changes is not seen on the other", tab: new UnreadTab("alone", "explode").explode("f look2").fn("f", "msg.payload.forEach((t) => { t.p = 1; t.c.push('X'); }); return msg;", "look").look().look("look2"), sees: trades.map((t) => ({ ...t, p: 1, c: ["@", "X"] })), also: [["look2", trades, true]] },
  { what: "a function node between kafka-in and explode-trades sees records, and its change counts", tab: new UnreadTab("before", "f").fn("f", "msg.payload = msg.payload.filter((r) => r.offset === 42 && r.key === 'k'); msg.payload[0].value[0].s = 7; return msg;", "explode").explode("look").look(), sees: [trade(3, { s: 7 })] },
  { what: "a function node behind explode-trades sees trades, and its change counts", tab: new UnreadTab("behind", "explode").explode("f").fn("f", "for (const t of msg.payload) t.notional = t.p * t.s; return msg;", "look").look(), sees: trades.map((t) => ({ ...t, notional: 15025 })) },
  { what: "a function node that looks at other properties leaves it unread", tab: new UnreadTab("other", "explode").explode("f").fn("f", "msg.mine = msg.topic + msg.kafka.partition; return msg;", "look").look(), sees: trades, unread: true },
  { what: "a function node that makes a new message", tab: new UnreadTab("fresh", "explode").explode("f").fn("f", "return {payload: msg.payload};", "look").look(), sees: trades },
  ...["{...msg}", "Object.assign({}, msg)", "JSON.parse(JSON.stringify(msg))", "RED.util.cloneMessage(msg)", "Object.fromEntries(Object.entries(msg))"].map((copy, k) => (
    { what: `a message that was never read before it is copied: ${copy}`, tab: new UnreadTab(`copy${k}`, "explode").explode("f").fn("f", `return ${copy};`, "look").look(), sees: trades })),
  { what: "a change node", tab: new UnreadTab("change", "explode").explode("ch").add("ch", "change", "look", { rules: [{ t: "set", p: "payload[1].S", pt: "msg", to: "MSFT", tot: "str" }, { t: "set", p: "count", pt: "msg", to: "$count(payload)", tot: "jsonata" }, { t: "set", p: "payload[0].s", pt: "msg", to: "count", tot: "msg" }] }).look(), sees: [trade(1, { s: 3 }), trade(2, { S: "MSFT" }), trade(3)] },
  { what: "a change node that moves the payload", tab: new UnreadTab("move", "explode").explode("ch").add("ch", "change", "f", { rules: [{ t: "move", p: "payload", pt: "msg", to: "trades", tot: "msg" }] }).fn("f", "return {payload: [{moved: msg.trades.length, left: 'payload' in msg}]};", "look").look(), sees: [{ moved: 3, left: false }] },
  { what: "a change node that deletes the payload", tab: new UnreadTab("delete", "explode").explode("ch").add("ch", "change", "f", { rules: [{ t: "delete", p: "payload", pt: "msg" }] }).fn("f", "msg.payload = [{left: Object.keys(msg).includes('payload')}]; return msg;", "look").look(), sees: [{ left: false }] },
  { what: "a switch node", tab: new UnreadTab("switch", "explode").explode("sw").add("sw", "switch", [["look"], []], { property: "payload[2].i", propertyType: "msg", rules: [{ t: "eq", v: "3", vt: "num" }, { t: "else" }], checkall: "false", outputs: 2 }).look(), sees: trades },
  { what: "split and join", tab: new UnreadTab("split", "explode").explode("split").add("split", "split", "join", { splt: "\\n", spltType: "str", arraySplt: 1, arraySpltType: "len", stream: false, addname: "" }).add("join", "join", "look", each).look(), sees: trades },
  { what: "sort", tab: new UnreadTab("sort", "explode").explode("sort").add("sort", "sort", "look", { order: "descending", as_num: true, target: "payload", targetType: "msg", msgKey: "i", msgKeyType: "jsonata", seqKey: "payload", seqKeyType: "msg" }).look(), sees: [...trades].reverse() },
  { what: "a JSON node", tab: new UnreadTab("json", "explode").explode("j").add("j", "json", "j2", { property: "payload", action: "str", pretty: false }).add("j2", "json", "look", { property: "payload", action: "obj", pretty: false }).look(), sees: trades },
  { what: "a delay node", tab: new UnreadTab("delay", "explode").explode("d").add("d", "delay", "look", { pauseType: "delay", timeout: "20", timeoutUnits: "milliseconds" }).look(), sees: trades, unread: true },
  { what: "link nodes, and nodes that pass it on", tab: new UnreadTab("link", "explode").explode("out").add("out", "link out", [], { mode: "link", links: ["link-in"], wires: [] }).add("in", "link in", "p", { links: ["link-out"] }).pass("p", "look").look(), sees: trades, unread: true },
  { what: "a link call", tab: new UnreadTab("call", "explode").explode("c").add("c", "link call", "look", { links: ["call-in"], linkType: "static", timeout: "30" }).add("in", "link in", "r", { links: [] }).add("r", "link out", [], { mode: "return", links: [] }).look(), sees: trades },
  { what: "a debug node beside it", tab: new UnreadTab("debug", "explode").explode("dbg look").add("dbg", "debug", [], { active: true, tosidebar: true, console: true, complete: "true", targetType: "full" }).look(), sees: trades, unread: true },
  { what: "a Complete node of explode-trades", tab: new UnreadTab("complete", "explode").explode("f").fn("f", "return msg;", []).add("done", "complete", "look", { scope: ["complete-explode"] }).look(), sees: trades },
];
const tabs = cases.map(({ tab }) => tab);

for (const version of ["4", "5"] as NodeRedVersion[]) {
  const available = nodeRedCommand(version) !== undefined;
  (available ? describe : describe.skip)(`trades that nobody has read, in Node-RED ${version}`, function () {
    this.timeout(40_000);
    let red: RunningNodeRed;
    before(async () => { red = await startNodeRed({ version, flow: tabs.flatMap((tab) => tab.nodes), nodesDir: join(__dirname, "..", "support", "unread-nodes"), typescript: true }); });
    after(() => red?.stop());

    const seen = (tab: Tab, id: string) => red.until(`${tab.name}: ${id} sees a message`, () => red.events.find((event) => event.ev === "seen" && event.node === tab.id(id)));

    for (const { what, tab, sees, unread = false, also = [] } of cases) {
      it(what, async () => {
        for (const [id, expected, still] of [["look", sees, unread] as const, ...also]) {
          const event = await seen(tab, id);
          assert.deepEqual(event.payload, expected);
          assert.deepEqual([event.unread, event.plain], [still, true]);
        }
        await red.until("the batch is delivered", () => red.events.some((event) => event.ev === "delivered" && event.node === tab.id("source")));
        assert.equal(red.events.some((event) => event.ev === "failed" && event.node === tab.id("source")), false);
      });
    }

    it("its properties keep their order on every wire", async () => {
      const tab = tabs.find(({ name }) => name === "wires")!;
      for (const id of ["look", "look2", "look3"]) assert.deepEqual((await seen(tab, id)).names, NAMES);
    });
  });
}
