import assert from "node:assert/strict";
import { documentedQueries } from "../../lib/pinot/query/documented";
import pinotCluster from "../../nodes/pinot-cluster/pinot-cluster";
import pinotQuery from "../../nodes/pinot-query/pinot-query";
import { load as loadNode, type Message, type NodeModule, type Rig, unload, until, useHelper } from "../support/helper";
import { request } from "../support/helper-request";
import { recorded, type Seen, startStandIn, type StandIn } from "../support/pinot/stand-in";

const COUNTS = documentedQueries().counts;
/** As the recording has it. */
const recordedSql = (name: string): string => (recorded(name, "case-sensitive").request as { sql: string }).sql;
const table = (names: string[], types: string[], rows: unknown[][], more: object = {}): { status: number; body: unknown } =>
  ({ status: 200, body: { resultTable: { dataSchema: { columnNames: names, columnDataTypes: types }, rows }, exceptions: [], numServersQueried: 1, numServersResponded: 1, ...more } });

describe("node pinot-query", () => {
  let pinot: StandIn;
  beforeEach(async () => { pinot = await startStandIn({ phase: "case-sensitive" }); });
  afterEach(() => pinot.close());
  useHelper();

  const load = (config: object = {}): Promise<Rig> => loadNode(pinotQuery as unknown as NodeModule, "pinot-query",
    { cluster: "pinot0", sql: COUNTS, sqlType: "str", params: "", timeoutMs: "10000", timeoutMsType: "num", maxRows: "10000", maxRowsType: "num", addLimit: false, allowPartial: false, ...config }, {
      outputs: 1, modules: [pinotCluster as unknown as NodeModule],
      configs: [{ id: "pinot0", type: "pinot-cluster", name: "test", controllerUrl: pinot.controllerUrl, brokerUrl: pinot.brokerUrl }],
    });
  const anyQuery = ({ path }: Seen): boolean => path === "/query/sql";
  const sent = (): { sql: string; queryOptions: string } => pinot.seen.filter(anyQuery).at(-1)!.body as { sql: string; queryOptions: string };
  const one = async (rig: Rig, msg: object = {}): Promise<Message> => {
    const { length } = rig.outputs[0]!;
    await rig.send(msg);
    await until(() => rig.outputs[0]!.length > length || rig.caught.length > 0, "the answer");
    assert.deepEqual(rig.caught.map((caught) => (caught["error"] as { message: string }).message), []);
    return rig.outputs[0]!.at(-1)!;
  };
  const refused = async (rig: Rig, msg: object = {}): Promise<{ message: string; code?: string }> => {
    await rig.send(msg);
    await until(() => rig.caught.length > 0, "the error");
    return rig.caught[0]!["error"] as { message: string; code?: string };
  };

  it("answers a documented query: rows, columns, statistics, and the message's own properties", async () => {
    const rig = await load({ sql: recordedSql("counts") });
    const msg = await one(rig, { _msgid: "m", topic: "ask", req: { my: 1 } });
    assert.deepEqual([msg.topic, msg._msgid, msg["req"]], ["ask", "m", { my: 1 }]);
    assert.deepEqual((msg.payload as object[])[0], { symbol: "AMD", trade_count: 20000 });
    assert.deepEqual(msg["columns"], [{ name: "symbol", type: "STRING" }, { name: "trade_count", type: "LONG" }]);
    const facts = msg["pinot"] as Record<string, unknown>;
    assert.deepEqual([facts["totalDocs"], facts["truncated"], facts["partial"], facts["limitMissing"], facts["warnings"], typeof facts["ms"]], [160157, false, false, false, [], "number"]);
    await until(() => rig.completed.length === 1, "Complete");
    await until(() => /^\d+ rows, \d+ ms$/.test(rig.statuses().at(-1)?.text ?? ""), "the status");
    assert.deepEqual(rig.warnings(), []);
  });

  it("takes SQL, parameters, time-out and number of rows from the message", async () => {
    const rig = await load({ sql: "sql", sqlType: "msg", timeoutMs: "wait", timeoutMsType: "msg", maxRows: "rows", maxRowsType: "msg", params: '{"x": "V", "s": ["A"]}' });
    pinot.script(anyQuery, table(["S"], ["STRING"], [["A"], ["B"], ["C"]]));
    const msg = await one(rig, { sql: "SELECT S FROM t WHERE S IN (:s) AND x = :x LIMIT 99", params: { s: ["AAPL", "it's"] }, wait: "3 seconds", rows: 2 });
    assert.deepEqual(sent(), { sql: "SELECT S FROM t WHERE S IN ('AAPL', 'it''s') AND x = 'V' LIMIT 3", queryOptions: "timeoutMs=3000" });
    assert.deepEqual([msg.payload, (msg["pinot"] as { truncated: boolean }).truncated], [[{ S: "A" }, { S: "B" }], true]);
    await until(() => rig.statuses().some(({ text }) => /^2\+ rows/.test(text ?? "")), "the status says that there were more");
  });

  it("without a LIMIT: warns once when Pinot may have cut at ten, says so in status and message; with Add LIMIT there is one", async () => {
    const ten = table(["S"], ["STRING"], Array.from({ length: 10 }, (_, n) => [`S${n}`]));
    const rig = await load({ sql: "SELECT S FROM t GROUP BY S" });
    for (let n = 0; n < 2; n++) {
      pinot.script(anyQuery, ten);
      const msg = await one(rig);
      assert.equal((msg["pinot"] as { limitMissing: boolean }).limitMissing, true);
    }
    assert.deepEqual(rig.warnings().filter((text) => /no LIMIT/.test(text)).length, 1);
    await until(() => rig.statuses().some(({ fill, text }) => fill === "yellow" && /no LIMIT: cut at 10/.test(text ?? "")), "the status");
    await unload();
    const mended = await load({ sql: "SELECT S FROM t GROUP BY S", addLimit: true });
    pinot.script(anyQuery, ten);
    assert.equal(((await one(mended))["pinot"] as { limitMissing: boolean }).limitMissing, false);
    assert.equal(sent().sql, "SELECT S FROM t GROUP BY S\nLIMIT 10001");
    assert.deepEqual(mended.warnings(), []);
  });

  it("flags a partial answer in message and status, and takes one with exceptions only where that is allowed", async () => {
    const partial = table(["S"], ["STRING"], [["A"]], { exceptions: [{ errorCode: 427, message: "1 servers [a] not responded" }], numServersQueried: 2 });
    const rig = await load({ allowPartial: true });
    pinot.script(anyQuery, partial);
    const { partial: flag, warnings } = (await one(rig))["pinot"] as { partial: boolean; warnings: string[] };
    assert.deepEqual([flag, warnings.length], [true, 2]);
    await until(() => rig.statuses().some(({ fill, text }) => fill === "yellow" && /partial/.test(text ?? "")), "the status");
    await unload();
    const strict = await load();
    pinot.script(anyQuery, partial);
    assert.equal((await refused(strict)).code, "PINOT_TIMEOUT");
  });

  for (const [what, config, msg, code, message] of [
    ["an unknown table", { sql: recordedSql("unknown table") }, {}, "TABLE_NOT_FOUND", /no table nope/],
    ["timestamp without quotes", { sql: recordedSql("last hour unquoted") }, {}, "SQL_INVALID", /timestamp is a reserved word/],
    ["a time-out", { sql: recordedSql("tiny timeout"), timeoutMs: "1" }, {}, "PINOT_TIMEOUT", /Raise the time-out/],
    ["a parameter that is missing", { sql: "SELECT :symbol" }, {}, "SQL_INVALID", /msg\.params has no symbol/],
    ["parameters that are no object", { sql: "SELECT :symbol" }, { params: "AAPL" }, "SQL_INVALID", /msg\.params has no symbol/],
    ["no SQL", { sql: "sql", sqlType: "msg" }, {}, "SQL_INVALID", /There is no SQL to run/],
    ["a time-out that is none", { timeoutMs: "-1" }, {}, "CONFIG_INVALID", /timeoutMs: "-1"/],
    ["values of parameters that are no JSON", { params: "{x" }, {}, "CONFIG_INVALID", /object of JSON/],
    ["no cluster", { cluster: "" }, {}, "CONFIG_INVALID", /No Pinot cluster is chosen/],
  ] as [string, object, object, string, RegExp][]) {
    it(`${what}: an error that says what to do, for Catch and in the status`, async () => {
      const rig = await load(config);
      const error = await refused(rig, msg);
      assert.match(error.message, message);
      assert.equal(error.code, code);
      await until(() => rig.statuses().some(({ fill, text }) => fill === "red" && text && error.message.replace(/\s+/g, " ").includes(text.replace(/…$/, ""))), "the status, in words");
      assert.equal(rig.outputs[0]!.length, 0);
    });
  }

  it("says when no broker answers, and answers again when one does", async () => {
    const rig = await load({ sql: recordedSql("counts") });
    pinot.script(anyQuery, "cut");
    assert.equal((await refused(rig)).code, "PINOT_UNREACHABLE");
    assert.equal(((await one({ ...rig, caught: [] })).payload as object[]).length > 0, true);
  });

  it("bounds what waits: the 105th question is refused while four hang, and close ends them all", async () => {
    const rig = await load({ sql: recordedSql("counts") });
    for (let n = 0; n < 4; n++) pinot.script(anyQuery, "hang");
    await rig.send(...Array.from({ length: 105 }, () => ({})));
    await until(() => rig.caught.length === 1, "one refusal");
    assert.equal((rig.caught[0]!["error"] as { code: string }).code, "SQL_BUSY");
    await until(() => pinot.seen.filter(anyQuery).length === 4, "four at a time");
    await unload();
    assert.equal(pinot.seen.filter(anyQuery).length, 4);
  });

  describe("endpoints for dialogs", () => {
    it("run the query of the dialog with its values, first rows only", async () => {
      await load();
      pinot.script(anyQuery, table(["S"], ["STRING"], Array.from({ length: 300 }, (_, n) => [`S${n}`])));
      const { status, body } = await request("post", "/ticklake/pinot-query/run", { cluster: "pinot0", sql: "SELECT S FROM t WHERE x = :x LIMIT 5000", params: '{"x": "V"}', timeoutMs: "2000", maxRows: "10000" });
      const { rows, truncated } = body as { rows: unknown[]; truncated: boolean };
      assert.deepEqual([status, rows.length, truncated, sent()], [200, 200, true, { sql: "SELECT S FROM t WHERE x = 'V' LIMIT 201", queryOptions: "timeoutMs=2000" }]);
      const wrong = await request("post", "/ticklake/pinot-query/run", { cluster: "pinot0", sql: recordedSql("unknown column") });
      assert.deepEqual([wrong.status, (wrong.body as { code: string }).code], [400, "SQL_INVALID"]);
    });

    it("check a query, give the documented ones, list tables", async () => {
      await load();
      pinot.tables.set("flattened_stocks", {});
      assert.deepEqual((await request("post", "/ticklake/pinot-query/check", { sql: "SELECT S FROM t WHERE S = :s" })).body, { limitMissing: true, unset: ["s"], withLimit: "SELECT S FROM t WHERE S = :s\nLIMIT 1000" });
      const templates = (await request("get", "/ticklake/pinot-query/templates")).body as Record<string, Record<string, string>>;
      assert.match(templates["readable"]!["counts"]!, /symbol as symbol[\s\S]*FROM \{table\}/);
      assert.deepEqual((await request("get", "/ticklake/pinot-query/pinot0/tables")).body, { tables: ["flattened_stocks"] });
      assert.equal((await request("get", "/ticklake/pinot-query/pinot0/columns?table=nope")).status, 404);
      assert.deepEqual((await request("get", "/ticklake/pinot-cluster/pinot0/look-up/tables")).body, { choices: [{ value: "flattened_stocks" }] });
      assert.match(JSON.stringify((await request("get", "/ticklake/pinot-cluster/other/look-up/tables")).body), /Deploy the cluster first/);
    });
  });
});
