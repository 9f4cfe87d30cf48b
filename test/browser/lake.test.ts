import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { openCatalog } from "../../lib/iceberg/catalog/open";
import { Editor, launch, openPage, shot } from "../support/browser";
import { type FlowNode, shippedFlows } from "../support/flows";
import { startS3 } from "../support/s3";
import { killAll, type Started, start, temporaryFolder, until } from "../support/start";
import { appendRows, createTable, dayOfTrades } from "../support/tables";

const shipped = (name: string): FlowNode[] => shippedFlows().find((flow) => flow.name.endsWith(`${name}.json`))!.nodes;

/** Node-RED with a shipped flow in a user directory, whose `warehouse` the test may have filled. */
async function run(userDir: string, nodes: readonly FlowNode[]): Promise<Started> {
  mkdirSync(userDir, { recursive: true });
  writeFileSync(join(userDir, "flows.json"), JSON.stringify(nodes));
  writeFileSync(join(userDir, ".ticklake.json"), "{}");
  return start({ userDir });
}

function assertQuiet(run: Started): void {
  assert.doesNotMatch(run.output(), /\[(warn|error|fatal)\]/);
}

/** The nodes of the flow as the editor shows them: none is wrong. */
async function lookAtCanvas(browser: Browser, url: string, name: string, types: readonly string[]): Promise<void> {
  const { page, problems } = await openPage(browser, url);
  const editor = new Editor(page);
  await editor.ready();
  await page.waitForTimeout(500);
  await shot(page, `lake-${name}-canvas`);
  for (const type of types) {
    const ids = await editor.idsOf(type);
    assert.ok(ids.length > 0, type);
    for (const id of ids) assert.equal(await editor.isInvalid(id), false, `${type}: no red triangle`);
  }
  assert.deepEqual(problems, []);
  await page.close();
}

describe("the flows of the lake in the browser", function () {
  this.timeout(180_000);
  let browser: Browser;
  before(async () => { browser = await launch(); });
  after(() => browser?.close());
  afterEach(killAll);

  it("Query and time travel: a click on a snapshot shows the table as it was then", async () => {
    const userDir = join(temporaryFolder("travel"), "user");
    const table = await createTable(openCatalog({ warehouse: "./warehouse" }, userDir), "db.flattened_stocks");
    for (let day = 0; day < 3; day++) await appendRows(table, dayOfTrades(day));
    const flow = shipped("Query and time travel");
    const red = await run(userDir, flow);
    await lookAtCanvas(browser, red.url, "travel", ["iceberg-query"]);

    const { page, problems } = await openPage(browser, `${red.url}/dashboard/time-travel`);
    const second = String(table.state.metadata.snapshots[1]!["snapshot-id"]);
    // Its three tables in their order: snapshots, now, then.
    const tradesOf = async (nth: 1 | 2): Promise<string> => (await page.locator(".nrdb-ui-table").nth(nth).locator("tr:has(td:has-text('AAPL')) td").nth(1).innerText({ timeout: 1000 })).trim();
    await until("trades of AAPL now", () => tradesOf(1), (count) => count === "9");
    await page.click(`td:has-text("${second}")`);
    await until("trades of AAPL then", () => tradesOf(2), (count) => count === "6");
    await page.waitForSelector(`text=Snapshot ${second} of`);
    await page.waitForTimeout(500);
    await shot(page, "lake-travel-dashboard");
    assert.deepEqual(problems, []);
    await page.close();

    // A minute ago there was no table: said in words, caught by the flow.
    const button = flow.find((node) => node.name === "A minute ago")!.id;
    assert.equal((await fetch(`${red.url}/inject/${button}`, { method: "POST" })).status, 200);
    assert.equal(await red.stop(), 0);
    assertQuiet(red);
  });

  it("Maintenance and evolution: files become fewer and rows stay; new fields become columns, which move and go", async () => {
    const userDir = join(temporaryFolder("upkeep"), "user");
    const table = await createTable(openCatalog({ warehouse: "./warehouse" }, userDir), "db.flattened_stocks");
    for (let n = 0; n < 6; n++) await appendRows(table, dayOfTrades(0, 5));
    const flow = shipped("Maintenance and evolution");
    const red = await run(userDir, flow);
    await lookAtCanvas(browser, red.url, "upkeep", ["iceberg-table", "iceberg-out", "iceberg-query"]);
    const press = async (name: string): Promise<void> => {
      const { id } = flow.find((node) => node.type === "inject" && node.name === name)!;
      assert.equal((await fetch(`${red.url}/inject/${id}`, { method: "POST" })).status, 200);
    };

    const { page, problems } = await openPage(browser, `${red.url}/dashboard/upkeep`);
    const shows = (text: RegExp): Promise<unknown> => page.waitForSelector(`text=${text}`, { timeout: 30_000 });
    await shows(/30 trades in 6 data files/);
    for (const [button, operation] of [["Would compact", "would compact"], ["Compact", "compact"], ["Would expire", "would expire-snapshots"], ["Rewrite manifests", "rewrite-manifests"], ["Would remove orphans", "would remove-orphan-files"]] as const) {
      await press(button);
      await until(`the result of ${operation}`, async () => (await page.locator(".nrdb-ui-table").nth(0).locator("tbody tr td").nth(1).innerText({ timeout: 1000 })).trim(), (text) => text === operation);
    }
    await shows(/would merge 6 files in 1 group/);
    await shows(/30 trades in 1 data file,/);

    const columns = async (): Promise<string> => (await page.locator(".nrdb-ui-table").nth(1).locator("th").allInnerTexts()).map((text) => text.trim().toLowerCase()).filter(Boolean).join(" ");
    await press("A row");
    await until("two columns", columns, (text) => text.includes("price") && !text.includes("quote"));
    await press("A row with more fields");
    await until("its fields as columns", columns, (text) => text.includes("quote") && text.includes("size"));
    await press("Rename price to last");
    await until("the new name", columns, (text) => text.includes("last") && !text.includes("price"));
    await press("Drop size");
    await until("without size", columns, (text) => !text.includes("size"));
    await page.waitForTimeout(500);
    await shot(page, "lake-upkeep-dashboard");
    assert.deepEqual(problems, []);
    await page.close();
    assert.equal(await red.stop(), 0);
    assert.doesNotMatch(red.output(), /\[(error|fatal)\]/);
  });

  it("Trades into S3: trades land in the bucket, the dashboard reads them back, an outage is waited for", async () => {
    const s3 = await startS3();
    try {
      const userDir = join(temporaryFolder("s3-flow"), "user");
      const flow = shipped("Trades into S3");
      const settings = flow.find((node) => node.type === "iceberg-catalog")!;
      assert.deepEqual([settings["warehouse"], settings["s3Endpoint"]], ["s3a://warehouse/", "http://localhost:9000"], "the documented defaults");
      const red = await run(userDir, flow.map((node) => (node === settings ? { ...node, s3Endpoint: s3.endpoint } : node)));
      await lookAtCanvas(browser, red.url, "s3", ["iceberg-out", "iceberg-query", "synthetic-gen"]);

      const { page, problems } = await openPage(browser, `${red.url}/dashboard/s3`);
      const trades = async (): Promise<number> => Number((await page.locator("tr:has(td:has-text('TSLA')) td").nth(1).innerText({ timeout: 1000 })).replace(/\D/g, ""));
      const before = await until("trades of TSLA in the bucket", trades, (count) => count > 0, 60_000);
      await s3.kill();
      await page.waitForSelector("text=/next try in/", { timeout: 60_000 });
      await shot(page, "lake-s3-outage");
      await s3.restart();
      await until("more trades after the outage", trades, (count) => count > before, 90_000);
      await page.waitForSelector("text=/trades in \\d+ data files?/");
      await page.waitForTimeout(500);
      await shot(page, "lake-s3-dashboard");
      assert.deepEqual(problems, []);
      await page.close();
      assert.equal(await red.stop(), 0);
      assert.doesNotMatch(red.output(), /\[(error|fatal)\]/);
    } finally {
      await s3.stop();
    }
  });
});
