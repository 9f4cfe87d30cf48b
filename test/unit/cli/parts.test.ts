import assert from "node:assert/strict";
import { distance, nearest } from "../../../lib/cli/nearest";
import { parseFlow, prepareFlow, type FlowNode } from "../../../lib/cli/prepare-flow";
import { rowsAsCsv, rowsAsJson, rowsAsTable } from "../../../lib/cli/rows";
import { Statistics } from "../../../lib/cli/statistics";

describe("the nearest word", () => {
  it("is one with a letter wrong, missing, doubled or swapped; not just any", () => {
    for (const typed of ["topik", "topc", "ttopic", "tpoic"]) assert.equal(nearest(typed, ["symbols", "topic"]), "topic", typed);
    assert.equal(nearest("banana", ["symbols", "topic"]), undefined);
    assert.equal(distance("ab", "ba"), 1);
  });
});

describe("a flow that is made ready", () => {
  const node = (id: string, type: string, more = {}): FlowNode => ({ id, type, x: 1, y: 1, ...more });
  const flow: FlowNode[] = [
    { id: "t", type: "tab" }, node("g1", "group", { name: "1  Producer", nodes: ["a", "g2"] }), node("g2", "group", { name: "inner", nodes: ["b"] }), node("g3", "group", { name: "2  Rest", nodes: ["c"] }),
    node("a", "inject"), node("b", "kafka-out"), node("c", "kafka-in"), node("d", "ui-chart"), { id: "k", type: "kafka-broker" }, { id: "p", type: "ui-page" },
  ];
  const running = (options: Parameters<typeof prepareFlow>[1]): string[] => prepareFlow(flow, options).filter((one) => one["d"] !== true).map(({ id }) => id);

  it("keeps the nodes of the groups that are asked for, nested ones and config nodes", () => {
    assert.deepEqual(running({ only: ["1"], dashboard: false }), ["t", "g1", "g2", "g3", "a", "b", "k"]);
    assert.deepEqual(running({ dashboard: true }), flow.map(({ id }) => id));
    assert.deepEqual(running({ dashboard: false }).filter((id) => id === "d" || id === "p"), []);
  });

  it("says which groups there are, and what is no flow", () => {
    assert.throws(() => prepareFlow(flow, { only: ["3"], dashboard: false }), /no group "3".*1 {2}Producer, inner, 2 {2}Rest/);
    for (const text of ["{", "{}", "[]", "[1]"]) assert.throws(() => parseFlow(text, "x.json"), /x\.json is no/);
  });
});

describe("statistics of a command", () => {
  it("counts what Kafka and tables acknowledged, not what was tried", () => {
    let now = 0;
    const s = new Statistics(() => now);
    s.take({ type: "synthetic-gen", port: 0, msg: {} }, 50);
    s.take({ type: "synthetic-gen", port: 0, msg: {} }, 50);
    s.take({ type: "kafka-out", port: 0, msg: { trades: 50, payload: { topic: "iex_data", count: 1 } } }, 1);
    s.take({ type: "kafka-out", port: 0, msg: { payload: { topic: "flattened_stocks", count: 70 } } }, 1);
    s.take({ type: "iceberg-out", port: 0, msg: { payload: { rows: 70, duplicates: 3 } } }, 1);
    s.take({ type: "explode-trades", port: 1, msg: {} }, 1);
    now = 2000;
    const report = s.report();
    for (const said of [/Trades sent +100 in 2 batches/, /acknowledged +50 in 1 messages/, /Success rate +50\.00 %/, /into the topic +70/, /table +70 in 1 commit$/m, /already +3/, /Set aside +1/, /Throughput +35\.0 trades\/s/, /Duration +2\.0 s/]) assert.match(report, said);
    assert.match(s.progress(), /50 of 100 trades acknowledged, 70 flattened, 70 in the table/);
  });

  it("tells nothing of what there was not", () => {
    assert.equal(new Statistics(() => 0).report(), "Statistics\n  Throughput  0.0 trades/s\n  Duration    0.0 s");
  });
});

describe("rows as text", () => {
  const columns = ["symbol", "n", "c"], rows = [{ symbol: "AAPL", n: 5, c: ["@", "T"] }, { symbol: 'a "b",\nc', n: 12, c: null }];
  it("as a table, numbers to the right, nothing that steers a terminal", () => {
    assert.equal(rowsAsTable(columns, [rows[0]!, { symbol: "\x1b[2J", n: 12, c: null }]), 'symbol   n  c\n------  --  ---------\nAAPL     5  ["@","T"]\n [2J    12  NULL');
    assert.equal(rowsAsTable(["a"], []), "a\n-");
  });
  it("as CSV and as JSON, one object per line", () => {
    assert.equal(rowsAsCsv(columns, rows), 'symbol,n,c\nAAPL,5,"[""@"",""T""]"\n"a ""b"",\nc",12,');
    assert.deepEqual(rowsAsJson(rows).split("\n").map((line) => JSON.parse(line) as unknown), rows);
  });
});
