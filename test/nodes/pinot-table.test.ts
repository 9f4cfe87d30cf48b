import assert from "node:assert/strict";
import pinotCluster from "../../nodes/pinot-cluster/pinot-cluster";
import pinotTable from "../../nodes/pinot-table/pinot-table";
import { load, type Message, type Rig, until, useHelper } from "../support/helper";
import { startStandIn, type StandIn } from "../support/pinot/stand-in";

describe("node pinot-table", () => {
  useHelper();
  let pinot: StandIn;
  beforeEach(async () => { pinot = await startStandIn({ phase: "case-sensitive" }); });
  afterEach(() => pinot.close());
  const start = (config: object = {}): Promise<Rig> => load(pinotTable, "pinot-table", { cluster: "c1", operation: "create", kafkaBrokers: "k:9092", ...config }, {
    outputs: 1, modules: [pinotCluster], configs: [{ id: "c1", type: "pinot-cluster", controllerUrl: pinot.controllerUrl, brokerUrl: pinot.brokerUrl }],
  });
  /** Sends a message and waits for its result or its error. */
  async function ask(rig: Rig, msg: object): Promise<Message> {
    const before = rig.outputs[0]!.length + rig.caught.length;
    await rig.send(msg);
    await until(() => rig.outputs[0]!.length + rig.caught.length > before, "an answer");
    return rig.outputs[0]!.at(-1) ?? rig.caught.at(-1)!;
  }
  const codeOf = (msg: Message): unknown => (msg["error"] as { code?: string }).code;

  it("creates the documented table and says so; the message's other properties stay", async () => {
    const rig = await start();
    const answer = await ask(rig, { topic: "mine", payload: 1 });
    const { created, table } = answer.payload as { created: boolean; table: string };
    assert.deepEqual([created, table, answer.topic], [true, "flattened_stocks", "mine"]);
    // At most two statuses a second leave a node.
    await until(() => rig.statuses().at(-1)!.text === "created flattened_stocks");
    assert.equal(rig.completed.length, 1);
  });

  it("takes operation, table, overrides and confirmation from the message", async () => {
    const rig = await start();
    await ask(rig, { table: "other", overrides: { segmentsConfig: { retentionTimeValue: "3" } } });
    assert.ok(pinot.tables.has("other"));
    assert.equal((pinot.tables.get("other") as { segmentsConfig: { retentionTimeValue: string } }).segmentsConfig.retentionTimeValue, "3");
    await ask(rig, { table: "other" });
    assert.match(rig.warnings().join(), /there with another configuration: segmentsConfig.retentionTimeValue is "3", wanted "7".*update makes it so/);
    await ask(rig, { operation: "delete", table: "other", confirm: "other" });
    assert.ok(!pinot.tables.has("other"));
  });

  it("does not delete without a confirmation of message or node", async () => {
    const rig = await start({ operation: "delete" });
    pinot.tables.set("flattened_stocks", { tableName: "flattened_stocks_REALTIME" });
    await rig.send({});
    await until(() => rig.caught.length === 1);
    assert.equal(codeOf(rig.caught[0]!), "CONFIG_INVALID");
    assert.ok(pinot.tables.has("flattened_stocks"));
    await until(() => rig.statuses().at(-1)!.fill === "red");
  });

  it("that may delete without asking does", async () => {
    const rig = await start({ operation: "delete", confirm: true });
    pinot.tables.set("flattened_stocks", { tableName: "flattened_stocks_REALTIME" });
    await ask(rig, {});
    assert.ok(!pinot.tables.has("flattened_stocks"));
  });

  it("says in words and with a code why something failed", async () => {
    const rig = await start({ operation: "status", table: "gone" });
    await rig.send({}, { operation: "explode" }, { table: "a b" });
    await until(() => rig.caught.length === 3);
    assert.deepEqual(rig.caught.map(codeOf).sort(), ["CONFIG_INVALID", "TABLE_NAME_INVALID", "TABLE_NOT_FOUND"]);
    assert.equal(rig.outputs[0]!.length, 0);
  });

  it("reads typed settings of the message, and gives a request up when it is closed", async () => {
    const rig = await start({ topic: "payload.from", topicType: "msg", retentionDays: "5" });
    await ask(rig, { payload: { from: "my-topic" } });
    const { ingestionConfig, segmentsConfig } = pinot.tables.get("flattened_stocks") as { ingestionConfig: { streamIngestionConfig: { streamConfigMaps: Record<string, string>[] } }; segmentsConfig: { retentionTimeValue: string } };
    assert.deepEqual([ingestionConfig.streamIngestionConfig.streamConfigMaps[0]!["stream.kafka.topic.name"], segmentsConfig.retentionTimeValue], ["my-topic", "5"]);
    pinot.script((seen) => seen.path.startsWith("/tables/"), "hang");
    await rig.send({ operation: "status" });
    await until(() => pinot.seen.some((seen) => seen.path.includes("type=realtime")));
    await rig.node.close();
  });
});
