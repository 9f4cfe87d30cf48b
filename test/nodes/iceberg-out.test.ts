import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import type { Node, NodeDef } from "node-red";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HadoopCatalog } from "../../lib/iceberg/catalog/hadoop";
import { LocalFileIO } from "../../lib/iceberg/io/local";
import icebergCatalog from "../../nodes/iceberg-catalog/iceberg-catalog";
import icebergOut from "../../nodes/iceberg-out/iceberg-out";
import explodeTrades from "../../nodes/explode-trades/explode-trades";
import syntheticGen from "../../nodes/synthetic-gen/synthetic-gen";
import type { Failure, Rewind } from "../../lib/delivery/types";
import type { TicklakeError } from "../../lib/errors";
import { followFlows, openSource, sourceOptions, type NodeSource } from "../../nodes/shared/delivery";
import { load as loadNode, settle, testNode, until, unload, useHelper, type Message, type NodeModule } from "../support/helper";
import { dataFiles, readRows } from "../support/read-table";

const links = createRequire(__filename)("@node-red/nodes/core/common/60-link.js") as NodeModule;
const trade = (i: number, more: object = {}) => ({ T: "t", S: "AAPL", i, x: "V", p: 150.25, s: 100, timestamp: 1_699_564_800_000 + i, c: ["@"], z: "C", ...more });

/** Sends one object twice, as some nodes do. */
const twice: NodeModule = (RED) => {
  RED.nodes.registerType("test-twice", function (this: Node, config: NodeDef) {
    RED.nodes.createNode(this, config);
    this.on("input", (msg, send, done) => { send(msg); send(msg); done(); });
  } as never);
};

describe("node iceberg-out", () => {
  let warehouse: string;
  beforeEach(async () => { warehouse = await mkdtemp(join(tmpdir(), "ticklake-out-")); });
  afterEach(async () => { await unload(); await rm(warehouse, { recursive: true, force: true }); });
  useHelper();

  const load = (config: object = {}, more: { nodes?: object[]; modules?: NodeModule[]; wires?: string[][] } = {}) =>
    loadNode(icebergOut as unknown as NodeModule, "iceberg-out", { catalog: "cat0", commitInterval: "3600", ...config }, {
      ...more,
      configs: [{ id: "cat0", type: "iceberg-catalog", catalogName: "local", catalogType: "hadoop", warehouse }],
      modules: [icebergCatalog as unknown as NodeModule, ...(more.modules ?? [])],
    });
  const rows = async (name = "flattened_stocks") => {
    const catalog = new HadoopCatalog({ warehouse, io: new LocalFileIO() });
    return (await readRows(await catalog.loadTable({ namespace: ["db"], name }))).sort((a, b) => Number(a["i"]) - Number(b["i"]));
  };

  it("writes an array, one object, JSON text and a Buffer, and completes each when it is committed", async () => {
    const { send, outputs, completed, statuses } = await load();
    await send({ payload: [trade(1), trade(2)] }, { payload: trade(3) }, { payload: JSON.stringify([trade(4, { i: "9007199254740993" })]) }, { payload: Buffer.from(`${JSON.stringify(trade(5))}\n${JSON.stringify(trade(6))}\n`) });
    assert.equal(completed.length, 0, "nothing is done before the commit");
    await send({ payload: "flush" });
    await until(() => completed.length === 5, "every message and the flush are done");
    const [result] = outputs[0]!;
    assert.equal(outputs[0]!.length, 1, "one result per commit");
    assert.deepEqual(Object.keys(result!.payload as object), ["table", "snapshotId", "sequenceNumber", "rows", "files", "bytes", "ms", "conflicts", "duplicates"]);
    assert.equal((result!.payload as { rows: number }).rows, 6);
    assert.equal(typeof (result!.payload as { snapshotId: unknown }).snapshotId, "string");
    assert.equal(result!.delivery, undefined, "results carry no token");
    assert.deepEqual((await rows()).map((r) => r["i"]), [1n, 2n, 3n, 5n, 6n, 9007199254740993n]);
    await until(() => /last commit 6 in [\d,]+ ms/.test(statuses().at(-1)?.text ?? ""), "the status tells of the commit");
  });

  it("looks after its table by itself: few files, every row once, told in log and status", async function () {
    this.timeout(60_000);
    const { send, outputs, statuses } = await load({ maintenance: true });
    for (let n = 0; n < 8; n++) {
      await send({ payload: [trade(n * 2), trade(n * 2 + 1)] }, { payload: "flush" });
      await until(() => outputs[0]!.length === n + 1, "the commit");
    }
    const table = await new HadoopCatalog({ warehouse, io: new LocalFileIO() }).loadTable({ namespace: ["db"], name: "flattened_stocks" });
    for (const end = Date.now() + 40_000; (await dataFiles(table)).length > 4 && Date.now() < end;) await new Promise((resolve) => setTimeout(resolve, 100));
    assert.ok((await dataFiles(table)).length <= 4, "small files are merged");
    assert.deepEqual((await rows()).map((row) => row["i"]), Array.from({ length: 16 }, (_, i) => BigInt(i)));
    await until(() => statuses().some(({ text }) => /compacted \d files into 1/.test(text ?? "")), "the status tells of it");
    assert.equal(outputs[0]!.length, 8, "results are of commits of rows alone");
  });

  it("rejects rows one by one on output 2, with reason and source", async () => {
    const { send, outputs } = await load();
    await send({ topic: "iex", payload: [trade(1), trade(2, { s: "many" }), trade(3)] });
    await until(() => outputs[1]!.length === 1, "the reject");
    const { payload } = outputs[1]![0]!;
    assert.deepEqual(payload, { reason: (payload as { reason: string }).reason, row: trade(2, { s: "many" }), source: { topic: "iex" } });
    assert.match((payload as { reason: string }).reason, /^s: /);
    await send({ payload: "flush" });
    await until(() => outputs[0]!.length === 1, "the commit");
    assert.deepEqual((await rows()).map((r) => r["i"]), [1n, 3n]);
  });

  it("warns once that rejects are lost while output 2 is not wired", async () => {
    const { send, warnings } = await load({}, { wires: [["out0"], []] });
    await send({ payload: [trade(1, { s: 1.5 }), trade(2, { s: 2.5 })] });
    await until(() => warnings().length > 0, "the warning");
    assert.equal(warnings().length, 1);
    assert.match(warnings()[0]!, /^s: .*lost while output 2 is not wired/);
  });

  it("routes by msg.table, one commit per table", async () => {
    const { send, outputs } = await load();
    await send({ payload: [trade(1)] }, { table: "db.other", payload: [trade(2)] }, { table: "local.db.other", payload: [trade(3)] }, { payload: "flush" });
    await until(() => outputs[0]!.length === 2, "two commits");
    assert.deepEqual((await rows()).length, 1);
    assert.deepEqual((await rows("other")).length, 2, "with and without the catalog's name is one table");
  });

  it("fails a message that names no table, or a path", async () => {
    const { send, caught } = await load({ table: "" });
    await send({ payload: [trade(1)] }, { table: "../../etc.passwd", payload: [trade(1)] }, { table: "onlyname", payload: [trade(1)] });
    await until(() => caught.length === 3, "three errors");
    assert.deepEqual(caught.map((msg) => (msg.error as { code?: string }).code), Array(3).fill("TABLE_NAME_INVALID"));
  });

  it("fails a payload that holds no rows, and goes on", async () => {
    const { send, caught, outputs } = await load();
    await send({ payload: 42 }, { payload: null }, { payload: "not json" }, { payload: "" }, { payload: [trade(1)] }, { payload: "flush" });
    await until(() => outputs[0]!.length === 1, "the commit");
    assert.deepEqual(caught.map((msg) => (msg.error as { code?: string }).code), Array(4).fill("RECORD_INVALID"));
  });

  it("takes the table from an environment variable or a message property", async () => {
    process.env["TICKLAKE_TEST_TABLE"] = "db.from_env";
    const first = await load({ table: "TICKLAKE_TEST_TABLE", tableType: "env" });
    await first.send({ payload: [trade(1)] }, { payload: "flush" });
    await until(() => first.outputs[0]!.length === 1, "the commit");
    assert.equal((await rows("from_env")).length, 1);
    await unload();
    const second = await load({ table: "where", tableType: "msg" });
    await second.send({ where: "db.from_msg", payload: [trade(1)] }, { payload: "flush" });
    await until(() => second.outputs[0]!.length === 1, "the commit");
    assert.equal((await rows("from_msg")).length, 1);
  });

  it("answers each link call with a result of its own", async () => {
    const { send, outputs } = await load({}, {
      modules: [links],
      wires: [["ret"], ["out1"]],
      nodes: [
        { id: "in", type: "link in", links: [], wires: [["under-test"]] },
        { id: "ret", type: "link out", mode: "return", links: [] },
        { id: "call", type: "link call", links: ["in"], linkType: "static", timeout: "10", wires: [["out0"]] },
      ],
    });
    const helper = createRequire(__filename)("node-red-node-test-helper") as { getNode(id: string): { receive(msg: object): void } };
    helper.getNode("call").receive({ tag: "a", payload: [trade(1)] });
    helper.getNode("call").receive({ tag: "b", payload: [trade(2)] });
    await settle();
    await send({ payload: "flush" });
    await until(() => outputs[0]!.length === 2, "both calls return");
    assert.deepEqual(outputs[0]!.map((msg) => msg.tag), ["a", "b"]);
    for (const msg of outputs[0]!) assert.equal((msg.payload as { rows: number }).rows, 2);
  });

  it("commits what waits when it is closed", async () => {
    const { send, node } = await load();
    await send({ payload: [trade(1), trade(2)] });
    await node.close();
    assert.equal((await rows()).length, 2);
  });

  it("shows a setting that is wrong, and answers messages with it", async () => {
    const { send, caught, statuses } = await load({ commitInterval: "soon" });
    assert.match(statuses().at(-1)!.text!, /commitInterval: "soon" is no duration/);
    await send({ payload: [trade(1)] });
    await until(() => caught.length === 1, "the error");
    assert.equal((caught[0]!.error as { code?: string }).code, "CONFIG_INVALID");
  });

  it("says that a catalog is missing", async () => {
    const { statuses } = await load({ catalog: "" });
    assert.match(statuses().at(-1)!.text!, /No catalog is chosen/);
  });

  describe("behind a source", () => {
    /** synthetic-gen -> explode-trades -> (between) -> iceberg-out: 3 batches of 10. */
    const pipeline = (config: object = {}, source: object = {}, between: object[] = []) =>
      loadNode(syntheticGen as unknown as NodeModule, "synthetic-gen", { batchSize: 10, batchCount: 3, interval: 0, seed: "s", ...source }, {
        wires: [["explode"], []],
        nodes: [
          { id: "explode", type: "explode-trades", wires: [[between.length > 0 ? "between" : "ice"], []] }, ...between,
          { id: "ice", type: "iceberg-out", catalog: "cat0", commitInterval: "50 ms", wires: [["out0"], ["out1"]], ...config },
        ],
        configs: [{ id: "cat0", type: "iceberg-catalog", catalogName: "local", catalogType: "hadoop", warehouse }],
        modules: [icebergCatalog, icebergOut, explodeTrades, twice] as unknown as NodeModule[],
      });
    const committed = (messages: { payload?: unknown }[]): number => messages.reduce((sum, msg) => sum + (msg.payload as { rows: number }).rows, 0);

    it("writes both of two messages that are one object", async () => {
      const { outputs, caught } = await pipeline({}, {}, [{ id: "between", type: "test-twice", wires: [["ice"]] }]);
      await until(() => committed(outputs[0]!) === 60, "30 rows twice");
      assert.equal((await rows()).length, 60);
      assert.deepEqual(caught, []);
    });

    it("leaves the rows in a message that failed where the flow behind a Catch node is what keeps them", async () => {
      const { caught } = await pipeline({ createTable: false }, { caughtIsDone: true });
      await until(() => caught.length === 3, "three errors");
      assert.deepEqual(caught.map((msg) => (msg.payload as unknown[]).length), [10, 10, 10]);
      assert.equal((caught[0]!.error as { code?: string }).code, "TABLE_NOT_FOUND");
    });
  });

  describe("behind a source of Kafka", () => {
    interface Place { readonly from: number; readonly to: number }
    let source: NodeSource<Place>;
    let seen: { delivered: number[]; failures: Failure<Place>[]; rewinds: Rewind[] };
    /** What the log looks like to the table. */
    let log: { end: number; time: number };
    const at = { cluster: "c", group: "g", topic: "iex", partition: 0 };

    const logNode: NodeModule = (RED) => {
      followFlows(RED);
      RED.nodes.registerType("test-log", function (this: Node, config: Record<string, unknown>) {
        RED.nodes.createNode(this, config as never);
        source = openSource<Place>(RED, this, sourceOptions(config), {
          start: () => { source.assigned("iex-0", at); }, suspend: () => undefined,
          delivered: ({ context }) => { seen.delivered.push(context.to); },
          failed: (failure) => { seen.failures.push(failure); },
          rewind: (rewind) => { seen.rewinds.push(rewind); },
        });
        this.on("close", () => source.close());
      } as never);
    };
    const start = async (out: object = {}) => {
      seen = { delivered: [], failures: [], rewinds: [] };
      const rig = await loadNode(logNode, "test-log", {}, {
        wires: [["ice"]], nodes: [{ id: "ice", type: "iceberg-out", catalog: "cat0", commitInterval: "20 ms", wires: [["out0"], ["out1"]], writerId: "w", ...out }],
        configs: [{ id: "cat0", type: "iceberg-catalog", catalogName: "local", catalogType: "hadoop", warehouse }],
        modules: [icebergCatalog, icebergOut] as unknown as NodeModule[],
      });
      await until(() => source.sending, "flows run");
      return { ...rig, out: testNode("ice") };
    };
    const send = (from: number, to: number): void => {
      const lineage = { ...at, firstOffset: BigInt(from), lastOffset: BigInt(to - 1), lastTimestamp: log.time + to - 1, nextOffset: BigInt(to) };
      source.send({
        partition: "iex-0", records: to - from, bytes: 100, context: { from, to },
        lineage: { ...lineage, log: { end: () => Promise.resolve(BigInt(log.end)), timestampAt: (offset) => Promise.resolve(log.time + Number(offset)) } },
      }, { payload: Array.from({ length: to - from }, (_, k) => trade(from + k)) } as Message);
    };
    beforeEach(() => { log = { end: 100, time: 1000 }; });

    it("tells how far its table is, forgets it, and knows again after a deploy what it has", async () => {
      await start();
      assert.deepEqual(await source.positions(at), [], "there is no table yet");
      send(0, 10);
      await until(() => seen.delivered.length === 1, "the commit");
      assert.deepEqual(await source.positions(at), [{ ...at, target: "db.flattened_stocks", node: "ice", nextOffset: 10n }]);
      await unload();
      await start();
      assert.equal((await source.positions(at))[0]!.nextOffset, 10n, "before anything came");
      send(0, 10);
      await until(() => seen.delivered.length === 1, "the double is done");
      assert.equal((await rows()).length, 10);
      source.abort();
      assert.deepEqual(await source.forget(at), ["db.flattened_stocks"]);
      send(0, 10);
      await until(() => seen.delivered.length === 2, "it is written again");
      assert.equal((await rows()).length, 20);
    });

    it("stops at a topic that was made anew, with the way out in error, status and Catch", async () => {
      const before = await start();
      send(0, 10);
      await until(() => seen.delivered.length === 1, "the commit");
      assert.deepEqual(before.caught, []);
      await unload();
      log = { end: 100, time: 5000 };
      const { caught, out } = await start();
      send(0, 10);
      await until(() => seen.failures.length === 1, "it failed");
      assert.equal((seen.failures[0]!.error as TicklakeError).code, "TOPIC_REPLACED");
      assert.match(seen.failures[0]!.error.message, /Topic iex was made anew.*Nothing was written and nothing skipped.*forget: true/);
      assert.equal((caught[0]!.error as { code?: string }).code, "TOPIC_REPLACED");
      await until(() => out.status.args.at(-1)![0].text === "iex/0 was made anew: seek with forget", "the status says what to do");
      assert.equal((await rows()).length, 10);
    });

    it("sends the source back when the table was rolled back, with a warning", async () => {
      const { out } = await start();
      for (const from of [0, 10]) {
        send(from, from + 10);
        await until(() => seen.delivered.length === 1 + from / 10, "a commit");
      }
      const table = await new HadoopCatalog({ warehouse, io: new LocalFileIO() }).loadTable({ namespace: ["db"], name: "flattened_stocks" });
      await table.commit(table.state, [{ action: "set-snapshot-ref", "ref-name": "main", type: "branch", "snapshot-id": table.state.metadata.snapshots[0]!["snapshot-id"] }]);
      send(20, 30);
      await until(() => seen.rewinds.length === 1, "the source is sent back");
      assert.deepEqual(seen.rewinds.map(({ partition, to, from, node }) => [partition, to, from, node]), [["iex-0", 10n, 20n, "ice"]]);
      assert.match(out.warn.args[0]![0], /db\.flattened_stocks was rolled back .* Records 10 to 19 are read again/);
      for (const from of [10, 20]) send(from, from + 10);
      await until(() => seen.delivered.length === 4, "both are written");
      assert.deepEqual((await rows()).map((row) => Number(row["i"])), Array.from({ length: 30 }, (_, i) => i));
    });

    it("says who holds a batch, for the panel", async () => {
      await start({ commitInterval: "3600" });
      const before = Date.now();
      send(0, 10);
      await until(() => source.openPartitions()[0]?.holders[0]?.parked === true, "it waits in the sink");
      const [open] = source.openPartitions();
      assert.deepEqual([open!.partition, open!.deliveries, open!.records, open!.holders.map(({ node, parts }) => [node, parts]), open!.lineage?.nextOffset], ["iex-0", 1, 10, [["ice", 1]], 10n]);
      assert.ok(open!.openedAt >= before - 1000 && open!.holders[0]!.since <= Date.now() + 1000, "as times of day");
    });
  });

  it("writes to many tables by turns without keeping them all open", async () => {
    const { send, outputs, caught } = await load({ commitInterval: "20 ms", schema: "infer", partitionBy: "" });
    for (let round = 0; round < 2; round++) {
      for (let from = 0; from < 90; from += 30) {
        const before = outputs[0]!.length;
        await send(...Array.from({ length: 30 }, (_, k) => ({ table: `db.t${from + k}`, payload: [{ i: round }] })));
        await until(() => outputs[0]!.length === before + 30, "a commit for each");
      }
    }
    assert.deepEqual(caught, []);
    assert.deepEqual((await rows("t0")).map((row) => Number(row["i"])), [0, 1]);
    assert.deepEqual((await rows("t89")).map((row) => Number(row["i"])), [0, 1]);
  });

  it("with new fields becoming columns: adds them in the commit of their rows, says which, and rejects what does not fit", async () => {
    const { send, outputs, completed, statuses } = await load({ evolve: "add-columns", wires: [["out0"], ["out1"]] });
    await send({ payload: [trade(1)] }, { payload: "flush" });
    await until(() => completed.length === 2, "the first commit");
    assert.equal("columns" in (outputs[0]![0]!.payload as object), false);
    await send({ payload: [trade(2, { venue: "N", quote: { bid: 1.5 } }), trade(3, { venue: 5 })] }, { payload: JSON.stringify([trade(4, { quote: { bid: 2.5, ask: "3" } })]) }, { payload: "flush" });
    await until(() => completed.length === 5, "the second commit");
    assert.deepEqual((outputs[0]![1]!.payload as { columns: unknown }).columns, [{ name: "venue", type: "string" }, { name: "quote", type: "struct<bid: double, ask: string>" }]);
    assert.deepEqual(outputs[1]!.map(({ payload }) => (payload as { reason: string }).reason), ["venue: expected text, got 5"]);
    assert.deepEqual((await rows()).map((r) => [r["i"], r["venue"] ?? null, r["quote"] ?? null]), [[1n, null, null], [2n, "N", { bid: 1.5, ask: null }], [4n, null, { bid: 2.5, ask: "3" }]]);
    await until(() => /new: venue \(string\), quote \(struct<bid: double, ask: string>\)/.test(statuses().at(-1)?.text ?? ""), "the status names them");
  });
});
