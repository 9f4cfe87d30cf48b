import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { complaints, Editor, launch, openPage, shot } from "../support/browser";
import { killAll, start, temporaryFolder } from "../support/start";

/** The text that the export shows, as soon as it matches. */
async function shown(page: Page, what: RegExp): Promise<string> {
  await page.waitForFunction(([source]) => new RegExp(source!).test(document.querySelector("#ticklake-export-text")?.textContent ?? ""), [what.source]);
  return await page.locator("#ticklake-export-text").textContent() ?? "";
}

describe("Export as … in the browser", function () {
  this.timeout(300_000);
  let browser: Browser;
  before(async () => { browser = await launch(); });
  after(() => browser?.close());
  afterEach(killAll);

  it("shows the job of a flow that is not deployed, with what the dialog says now; copies it, saves it, and sends no secret", async () => {
    const userDir = join(temporaryFolder("browser-export"), "user");
    mkdirSync(userDir);
    writeFileSync(join(userDir, "flows.json"), JSON.stringify([{ id: "0000000000000001", type: "tab", label: "Empty", disabled: false, info: "" }]));
    writeFileSync(join(userDir, ".ticklake.json"), "{}");
    const run = await start({ userDir });
    const { page, problems } = await openPage(browser, run.url);
    const editor = new Editor(page);
    await editor.ready();
    await editor.importExample("@ticklake/node-red-ticklake", "3 Kafka", "Trades through Kafka");
    await page.waitForTimeout(1000);
    const sent: string[] = [];
    page.on("request", (request) => { if (request.url().endsWith("/export")) sent.push(request.postData() ?? ""); });
    await page.evaluate(() => {
      const { RED } = window as unknown as { RED: { nodes: { eachConfig(each: (node: { type: string; saslMechanism: string; credentials: object }) => void): void } } };
      RED.nodes.eachConfig((node) => { if (node.type === "kafka-broker") { node.saslMechanism = "plain"; node.credentials = { username: "planted-user", password: "planted-password" }; } });
    });

    const [sink] = await editor.idsOf("iceberg-out");
    await editor.openDialog(sink!);
    await page.fill("#node-input-commitInterval", "30 seconds");
    await page.locator("#iceberg-out-export").scrollIntoViewIfNeeded();
    await shot(page, "export-button");
    assert.deepEqual(await complaints(page, "iceberg-out"), []);
    await page.click("#iceberg-out-export");
    const python = await shown(page, /Structured Streaming/);
    for (const part of ['"30000 milliseconds"', '.option("subscribe", "iex_data")', "os.environ['KAFKA_SASL_PASSWORD']", "CREATE TABLE IF NOT EXISTS"]) assert.ok(python.includes(part), part);
    await shot(page, "export-pyspark");

    await page.click("#ticklake-export-copy");
    await page.waitForSelector(".red-ui-popover:has-text('Copied')");
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("#ticklake-export-save")]);
    assert.equal(download.suggestedFilename(), "flattened_stocks.py");
    assert.equal(readFileSync(await download.path(), "utf8"), python);

    await page.selectOption("#ticklake-export-as", "flink-sql");
    assert.match(await shown(page, /as a streaming job in Flink SQL/), /'execution\.checkpointing\.interval' = '30000 ms'/);
    await page.selectOption("#ticklake-export-as", "spark-sql");
    assert.match(await shown(page, /as a batch in Spark SQL/), /INSERT INTO/);
    await shot(page, "export-spark-sql");
    await page.click("#ticklake-export-close");
    await page.waitForSelector("#ticklake-export", { state: "detached" });
    await editor.closeDialog("cancel");

    // The generator's kafka-out has no kafka-in before it, and says so.
    const texts: string[] = [];
    for (const id of await editor.idsOf("kafka-out")) {
      await editor.openDialog(id);
      await page.click("#kafka-out-export");
      texts.push(await shown(page, /Structured Streaming|✘/));
      await page.click("#ticklake-export-close");
      await editor.closeDialog("cancel");
    }
    assert.equal(texts.filter((text) => /^✘ No kafka-in leads to/.test(text)).length, 1, texts.map((text) => text.slice(0, 300)).join("\n"));
    assert.equal(texts.filter((text) => text.includes('.option("topic", "flattened_stocks")')).length, 1);
    assert.equal(sent.length, 5);
    for (const body of sent) assert.ok(body.includes('"credentialsSet"') && !body.includes("planted"), "which credentials have a value, never the value");
    assert.deepEqual(problems, []);
    await page.close();
    assert.equal(await run.stop(), 0);
  });
});
