import assert from "node:assert/strict";
import icebergCatalog from "../../nodes/iceberg-catalog/iceberg-catalog";
import icebergTable from "../../nodes/iceberg-table/iceberg-table";
import pipelineMetrics from "../../nodes/pipeline-metrics/pipeline-metrics";
import type { NodeFigures, Sample } from "../../lib/metrics/sample";
import { load as loadNode, type Message, type NodeModule, type Rig, testNode, until, useHelper } from "../support/helper";
import { appendRows, createTable, dayOfTrades, temporaryCatalog, type TestCatalog } from "../support/tables";

describe("node iceberg-table", () => {
  let catalog: TestCatalog;
  let folder: string;
  let remove: () => Promise<void>;
  beforeEach(async () => {
    ({ catalog, folder, remove } = await temporaryCatalog());
    const table = await createTable(catalog, "db.flattened_stocks");
    for (let day = 0; day < 2; day++) await appendRows(table, dayOfTrades(day));
  });
  afterEach(() => remove());
  useHelper();

  const load = (config: object = {}): Promise<Rig> => loadNode(icebergTable as unknown as NodeModule, "iceberg-table",
    { catalog: "cat0", table: "db.flattened_stocks", tableType: "str", operation: "describe", options: "{}", optionsType: "json", ...config }, {
      outputs: 1, modules: [icebergCatalog as unknown as NodeModule],
      configs: [{ id: "cat0", type: "iceberg-catalog", catalogName: "local", catalogType: "hadoop", warehouse: folder }],
    });
  const one = async (rig: Rig, msg: object = {}): Promise<Message & { payload: Record<string, unknown> }> => {
    const { length } = rig.outputs[0]!;
    await rig.send(msg);
    await until(() => rig.outputs[0]!.length > length || rig.caught.length > 0, "the result");
    assert.deepEqual(rig.caught.map((caught) => (caught["error"] as { message: string }).message), []);
    return rig.outputs[0]!.at(-1) as never;
  };

  it("describes the table: columns, rows, ids as text; the message's own properties stay", async () => {
    const rig = await load();
    const { topic, payload } = await one(rig, { topic: "ask" });
    assert.equal(topic, "ask");
    assert.deepEqual([payload["operation"], payload["table"], payload["dryRun"], payload["rows"], payload["partitionBy"]], ["describe", "local.db.flattened_stocks", false, 20, "truncate[86400000](timestamp)"]);
    assert.match((payload["currentSnapshot"] as { snapshotId: string }).snapshotId, /^\d+$/);
    assert.equal(typeof payload["ms"], "number");
    JSON.stringify(payload);
    await until(() => rig.completed.length === 1, "Complete");
    await until(() => /^describe: 9 columns, 2 snapshots, \d+ ms$/.test(rig.statuses().at(-1)?.text ?? ""), "the status");
  });

  it("takes operation, table and options from the message; the dialog's options belong to its own operation", async () => {
    const rig = await load({ operation: "expire-snapshots", options: '{"olderThan":"2100-01-01","dryRun":true}' });
    const dry = await one(rig);
    assert.deepEqual([dry.payload["expired_snapshots_count"], dry.payload["dryRun"]], [1, true]);
    const added = await one(rig, { operation: "add-column", options: { column: "note", type: "string" } });
    assert.equal((added.payload["columns"] as { name: string }[]).at(-1)!.name, "note");
    const done = await one(rig, { options: { dryRun: false } });
    assert.deepEqual([done.payload["expired_snapshots_count"], done.payload["deleted_manifest_lists_count"]], [1, 1]);
    assert.equal((await one(rig, { operation: "describe", table: "db.flattened_stocks" })).payload["snapshots"], 1);
  });

  it("warns of names that other engines cannot tell apart", async () => {
    const rig = await load({ operation: "add-column", options: '{"column":"Timestamp","type":"long"}' });
    await one(rig);
    assert.match(rig.warnings()[0]!, /differ only by case/);
  });

  for (const [what, config, msg, code, message] of [
    ["an unknown operation", {}, { operation: "explode" }, "CONFIG_INVALID", /no operation "explode"/],
    ["an option that is misspelt", { operation: "drop", options: '{"dryrun":true}' }, {}, "CONFIG_INVALID", /no option dryrun/],
    ["options that are no object", { operation: "drop", options: "[1]" }, {}, "CONFIG_INVALID", /an array/],
    ["no table", { table: "" }, {}, "TABLE_NAME_INVALID", /No table is named/],
    ["a table that is not there", { table: "db.nothing" }, {}, "TABLE_NOT_FOUND", /db\.nothing/],
    ["a rollback to nowhere", { operation: "rollback", options: '{"snapshotId":"1"}' }, {}, "SNAPSHOT_NOT_FOUND", /no snapshot 1/],
    ["a column that partitions", { operation: "drop-column", options: '{"column":"timestamp"}' }, {}, "SCHEMA_INVALID", /partitioned by/],
  ] as [string, object, object, string, RegExp][]) {
    it(`${what}: an error that says what to do, for Catch and in the status`, async () => {
      const rig = await load(config);
      await rig.send(msg);
      await until(() => rig.caught.length > 0, "the error");
      const error = rig.caught[0]!["error"] as { message: string; code?: string };
      assert.match(error.message, message);
      assert.equal(error.code, code);
      assert.equal(rig.outputs[0]!.length, 0);
      await until(() => rig.statuses().at(-1)?.fill === "red", "the status");
      assert.ok(await catalog.tableExists({ namespace: ["db"], name: "flattened_stocks" }), "nothing was dropped");
    });
  }

  it("is counted as other nodes are: messages in, results out, how long the last one took, errors", async () => {
    const rig = await loadNode(pipelineMetrics as unknown as NodeModule, "pipeline-metrics", { interval: "0.1" }, {
      outputs: 1, modules: [icebergCatalog, icebergTable] as unknown as NodeModule[],
      configs: [{ id: "cat0", type: "iceberg-catalog", catalogName: "local", catalogType: "hadoop", warehouse: folder }],
      nodes: [{ id: "asked", type: "iceberg-table", catalog: "cat0", table: "db.flattened_stocks", tableType: "str", operation: "describe", options: "{}", optionsType: "json", wires: [[]] }],
    });
    for (const msg of [{}, {}, { table: "db.nowhere" }]) testNode("asked").receive(msg);
    const counted = (): NodeFigures | undefined => (rig.outputs[0]!.at(-1)?.payload as Sample | undefined)?.nodes.find(({ id }) => id === "asked");
    await until(() => counted()?.recordsOut === 2 && counted()?.errors === 1, "its figures");
    assert.equal(counted()!.recordsIn, 3);
    assert.ok(counted()!.batchDurationMs! > 0);
  });

  it("stops in close without a trace", async () => {
    const rig = await load({ operation: "expire-snapshots", options: '{"olderThan":"2100-01-01"}' });
    rig.node.receive({});
    await rig.node.close();
    const table = await catalog.loadTable({ namespace: ["db"], name: "flattened_stocks" });
    assert.ok(table.state.metadata.snapshots.length >= 1);
  });
});
