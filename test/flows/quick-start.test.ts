import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { shippedFlows } from "../support/flows";
import { runPython } from "../support/python";
import { killAll, root, start, temporaryFolder, until, type Started } from "../support/start";

/** What PyIceberg finds in a table of trades. */
interface Found {
  rows: number;
  snapshots: number;
  partitions: number;
  symbols: Record<string, { trades: number; shares: number; value: number; ids: number; last: number }>;
}
const GENERATED = ["AAPL", "AMZN", "GOOGL", "MSFT", "TSLA"];
const REPLAYED = ["IBM", "NVDA"];

const look = async (folder: string): Promise<Found> => JSON.parse(await runPython("trades.py", [folder])) as Found;
/** Version of the table on disk: grows with each commit. */
const version = (folder: string): number => (existsSync(join(folder, "metadata", "version-hint.text")) ? Number(readFileSync(join(folder, "metadata", "version-hint.text"), "utf8")) : 0);
const commits = (folder: string, atLeast: number): Promise<number> => until(`version ${atLeast} of the table`, () => version(folder), (v) => v >= atLeast, 60_000);

/** Nothing that a user would have to look into: no warning, no error. */
function assertQuiet(run: Started): void {
  assert.doesNotMatch(run.output(), /\[(warn|error|fatal)\]/);
}

describe("the shipped flows, running", function () {
  this.timeout(180_000);
  afterEach(killAll);

  it("Trades into an Iceberg table: rows land, a restart goes on with the same table, SIGTERM and SIGINT write everything", async () => {
    const userDir = join(temporaryFolder("quick"), "user");
    const table = join(userDir, "warehouse", "db", "flattened_stocks");

    const first = await start({ userDir });
    assert.match(first.output(), new RegExp(`Table +${table}`));
    await commits(table, 3);
    // Just after a commit: what comes now is in no file yet.
    const before = version(table);
    await commits(table, before + 1);
    await new Promise((r) => setTimeout(r, 1500));
    const stoppedAt = Date.now();
    assert.equal(await first.stop("SIGTERM"), 0);
    assertQuiet(first);

    const found = await look(table);
    assert.deepEqual(Object.keys(found.symbols).sort(), [...GENERATED, ...REPLAYED].sort());
    for (const symbol of GENERATED) assert.equal(found.symbols[symbol]!.ids, found.symbols[symbol]!.trades, `${symbol}: no trade twice`);
    const newest = Math.max(...GENERATED.map((s) => found.symbols[s]!.last));
    assert.ok(newest > stoppedAt - 1000, `the newest trade is ${stoppedAt - newest} ms older than the signal: what was under way is in the table`);
    assert.equal(found.partitions, new Set([new Date(stoppedAt - 60_000).getUTCDate(), new Date(stoppedAt).getUTCDate()]).size, "one partition a day");

    const second = await start({ userDir });
    assert.match(second.output(), /goes on growing/);
    await commits(table, version(table) + 2);
    assert.equal(await second.stop("SIGINT"), 0);
    assertQuiet(second);
    const grown = await look(table);
    assert.ok(grown.snapshots >= found.snapshots + 2, "earlier snapshots are kept");
    for (const symbol of GENERATED) assert.ok(grown.symbols[symbol]!.trades > found.symbols[symbol]!.trades, `${symbol} has more trades than before the restart`);
  });

  it("Trades into an Iceberg table, headless: the dashboard is served, the editor is not, rows land", async () => {
    const userDir = join(temporaryFolder("headless"), "user");
    const run = await start({ userDir, args: ["--headless"] });
    const dashboard = /Dashboard +(\S+)/.exec(run.output())![1]!;
    assert.equal((await fetch(dashboard)).status, 200);
    assert.equal((await fetch(`${run.url}/`)).status, 404);
    await commits(join(userDir, "warehouse", "db", "flattened_stocks"), 2);
    assert.equal(await run.stop(), 0);
    assertQuiet(run);
  });

  it("Replay a CSV file: the file is in the table, row for row, once for each press of the button", async () => {
    const flow = shippedFlows().find((f) => f.name.endsWith("Replay a CSV file.json"))!.nodes;
    const userDir = join(temporaryFolder("replay"), "user");
    mkdirSync(userDir);
    writeFileSync(join(userDir, "flows.json"), JSON.stringify(flow));
    writeFileSync(join(userDir, ".ticklake.json"), "{}");
    const table = join(userDir, "warehouse", "db", "replayed");
    const press = async (url: string): Promise<void> => {
      const response = await fetch(`${url}/inject/${flow.find((n) => n.type === "inject")!.id}`, { method: "POST" });
      assert.equal(response.status, 200);
    };

    const expected: Record<string, { trades: number; shares: number; value: number }> = {};
    for (const line of readFileSync(join(root, "resources", "sample-trades.csv"), "utf8").trim().split("\n").slice(1)) {
      const [symbol, , , price, size] = line.split(",");
      const sums = expected[symbol!] ??= { trades: 0, shares: 0, value: 0 };
      sums.trades++;
      sums.shares += Number(size);
      sums.value += Number(price);
    }
    const assertTable = async (times: number): Promise<void> => {
      const found = await look(table);
      assert.deepEqual(Object.keys(found.symbols), Object.keys(expected).sort());
      for (const [symbol, sums] of Object.entries(expected)) {
        assert.equal(found.symbols[symbol]!.trades, sums.trades * times);
        assert.equal(found.symbols[symbol]!.shares, sums.shares * times);
        assert.ok(Math.abs(found.symbols[symbol]!.value - sums.value * times) < 1e-6 * sums.value);
      }
    };

    const first = await start({ userDir });
    await press(first.url);
    await commits(table, 2);
    await press(first.url);
    await commits(table, 3);
    assert.equal(await first.stop(), 0);
    assertQuiet(first);
    await assertTable(2);
  });
});
