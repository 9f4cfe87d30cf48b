import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { days } from "../support/days";
import { runPython } from "../support/python";
import { startNodeRed, type RunningNodeRed } from "../support/node-red";
import { root } from "../support/start";

const DAY = 86_400_000;

/** One csv-replay per day, all at full speed, through explode-trades into one table; commits and rejects are printed. */
function flow(files: string[], warehouse: string): object[] {
  const tab = "a000000000000001";
  const tell = (id: string, ev: string, what: string) => ({ id, type: "function", z: tab, name: ev, func: `console.log("@@" + JSON.stringify({ ev: "${ev}", ${what} }));`, outputs: 0, wires: [], x: 700, y: 100 });
  return [
    { id: tab, type: "tab", label: "days" },
    { id: "a000000000000002", type: "iceberg-catalog", catalogName: "local", catalogType: "hadoop", warehouse },
    ...files.map((file, k) => ({
      id: `b00000000000000${k}`, type: "csv-replay", z: tab, x: 100, y: 100 * k, file, fileType: "str", dialect: "auto", pace: "max", batchSize: 1000, autoStart: true, wires: [["a000000000000003"], ["a000000000000006"]],
    })),
    { id: "a000000000000003", type: "explode-trades", z: tab, x: 300, y: 100, wires: [["a000000000000004"], ["a000000000000006"]] },
    { id: "a000000000000004", type: "iceberg-out", z: tab, x: 500, y: 100, catalog: "a000000000000002", table: "db.flattened_stocks", commitInterval: "10", wires: [["a000000000000005"], ["a000000000000006"]] },
    tell("a000000000000005", "commit", "rows: msg.payload.rows"),
    tell("a000000000000006", "reject", "reject: msg.payload"),
  ];
}

describe("whole days replayed at full speed", () => {
  let red: RunningNodeRed | undefined;
  const folder = mkdtempSync(join(tmpdir(), "ticklake-days-"));
  after(async () => { await red?.stop(); rmSync(folder, { recursive: true, force: true }); });

  it("land in the table row for row: counts and sums per symbol and day as in the CSV, one partition per day, no reject", async function () {
    this.timeout(300_000);
    const { files, trades: expected } = days(folder);
    const warehouse = join(folder, "warehouse");
    red = await startNodeRed({ flow: flow(files, warehouse), nodesDir: root });
    const committed = (): number => red!.events.filter((e) => e.ev === "commit").reduce((sum, e) => sum + (e["rows"] as number), 0);
    await red.until(`${expected} rows to be committed`, () => committed() >= expected, 240_000);
    assert.equal(committed(), expected);
    assert.deepEqual(red.events.filter((e) => e.ev === "reject"), []);
    assert.equal(await red.stop(), 0);

    const metadata = join(warehouse, "db", "flattened_stocks", "metadata");
    const latest = readdirSync(metadata).filter((f) => /^v\d+\.metadata\.json$/.test(f)).sort((a, b) => parseInt(a.slice(1)) - parseInt(b.slice(1))).at(-1)!;
    const report = JSON.parse(await runPython(join(root, "test/support/py/compare_days.py"), [join(metadata, latest), ...files])) as {
      rows: number; csvRows: number; groups: number; different: unknown[]; partitions: Record<string, number>;
    };
    assert.equal(report.rows, expected);
    assert.equal(report.csvRows, expected);
    assert.deepEqual(report.different, []);
    assert.equal(report.groups, 16, "four symbols on four days");
    assert.equal(Object.keys(report.partitions).length, 4, "one partition per day");
    assert.ok(Object.keys(report.partitions).every((start) => Number(start) % DAY === 0));
  });
});
