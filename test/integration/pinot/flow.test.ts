import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { parseTable, runTableOperation } from "../../../lib/pinot/table";
import { complaints, Editor, launch, openPage, shot } from "../../support/browser";
import { type FlowNode, shippedFlows } from "../../support/flows";
import { createTopic, endOffsets, produce, sharedKafka } from "../../support/kafka";
import { clusterFor, sharedPinot, type SharedPinot, uniqueTable } from "../../support/pinot";
import { killAll, start, temporaryFolder, until } from "../../support/start";

describe("the shipped flow of Pinot, running", function () {
  this.timeout(240_000);
  let browser: Browser;
  let pinot: SharedPinot;
  let brokers: string;
  let table: string;
  before(async () => {
    [browser, pinot, { brokers }] = await Promise.all([launch(), sharedPinot(), sharedKafka()]);
    table = uniqueTable("flow");
  });
  after(async () => {
    await browser?.close();
    await runTableOperation({ cluster: clusterFor(pinot), operation: "delete", settings: parseTable({ table, kafkaBrokers: brokers }), confirm: true }).catch(() => undefined);
  });
  afterEach(killAll);

  it("makes its topics and its table, fills every part of the dashboard, draws the bars of the symbol that is chosen, and its dialogs run queries", async () => {
    const shipped = shippedFlows().find((flow) => flow.name.endsWith("Queries in real time.json"))!.nodes;
    // Names of its own: other tests live on these servers, too.
    const flow = JSON.parse(JSON.stringify(shipped).replaceAll("flattened_stocks", table).replaceAll('"iex_data"', `"raw_${table}"`).replaceAll("ticklake-flatten", `group-${table}`)) as FlowNode[];
    // Half an hour of the past, so that there are bars to draw.
    const now = Date.now();
    await createTopic(brokers, table, { partitions: 3 });
    await produce(brokers, table, Array.from({ length: 1800 }, (_, k) => ({
      key: "k", partition: k % 3,
      value: JSON.stringify({ T: "t", S: k % 2 ? "AAPL" : "TSLA", i: k, x: "VQNZ"[k % 4], p: 150 + 10 * Math.sin(k / 100) + (k % 2 ? 0 : 90), s: 10 + (k % 40), timestamp: now - 1_800_000 + k * 1000, c: ["@"], z: "C" }),
    })));
    const userDir = join(temporaryFolder("pinot-flow"), "user");
    mkdirSync(userDir);
    writeFileSync(join(userDir, "flows.json"), JSON.stringify(flow));
    writeFileSync(join(userDir, ".ticklake.json"), "{}");
    const red = await start({ userDir, env: { KAFKA_BROKERS: brokers, PINOT_CONTROLLER_URL: pinot.controllerUrl, PINOT_BROKER_URL: pinot.brokerUrl } });

    const { page, problems } = await openPage(browser, `${red.url}/dashboard/pinot`);
    const shows = (text: RegExp): Promise<unknown> => page.waitForSelector(`text=${text}`, { timeout: 60_000 });
    await shows(/Pinot: consuming/);
    await shows(/Trades per symbol: [\d,]+ of [\d,]+ records looked at, in \d+ ms/);
    // The tables in their order: counts, prices, percentiles, last hour, exchanges, latest.
    const cells = async (nth: number): Promise<string> => (await page.locator(".nrdb-ui-table").nth(nth).locator("tbody").innerText({ timeout: 2000 })).replace(/\s+/g, " ");
    for (const [nth, what, pattern] of [[0, "counts", /AAPL.*\d/], [1, "prices", /AAPL \d+\.\d\d \d+\.\d\d \d+\.\d\d/], [2, "percentiles", /TSLA \d+\.\d\d \d+\.\d\d \d+\.\d\d/], [3, "last hour", /GOOGL \d/], [4, "exchanges", /V IEX [\d,]+ [\d,]+/], [5, "latest", /\d\d:\d\d:\d\d [A-Z]+ \d+\.\d\d \d+/]] as const) {
      await until(what, () => cells(nth), (text) => pattern.test(text), 60_000);
    }
    const counts = async (): Promise<number> => Number((await page.locator("tr:has(td:has-text('GOOGL')) td").nth(1).innerText({ timeout: 2000 })).replace(/\D/g, ""));
    const first = await until("trades of GOOGL", counts, (n) => n > 0);
    await until("trades that come in now", counts, (n) => n > first);
    await page.waitForSelector("canvas");
    await shot(page, "pinot-dashboard");
    await page.click("button:has-text('TSLA')");
    await page.waitForTimeout(1500);
    await shot(page, "pinot-dashboard-tsla");
    assert.deepEqual(problems, []);
    await page.close();

    const { page: canvas, problems: inEditor } = await openPage(browser, red.url);
    const editor = new Editor(canvas);
    // The editor is heavy, and the machine has three servers to run beside it.
    canvas.setDefaultTimeout(60_000);
    await editor.ready();
    await canvas.waitForTimeout(500);
    await shot(canvas, "pinot-canvas");
    for (const type of ["pinot-query", "pinot-table"]) for (const id of await editor.idsOf(type)) assert.equal(await editor.isInvalid(id), false, `${type}: no red triangle`);
    const bars = flow.find((node) => node.type === "pinot-query" && node.name === "One-minute bars")!.id;
    await editor.openDialog(bars);
    assert.deepEqual(await complaints(canvas, "pinot-query"), []);
    const answer = async (): Promise<string> => {
      await canvas.click("#pinot-query-run");
      await canvas.waitForFunction(() => /^[✔✘]/.test(document.querySelector("#pinot-query-run-status")?.textContent ?? ""));
      return canvas.innerText("#pinot-query-run-status");
    };
    // Its parameter has a value in the dialog.
    assert.match(await answer(), /^✔ \d+ rows in \d+ ms/);
    assert.match(await canvas.innerText("#pinot-query-result"), /AAPL/);
    await shot(canvas, "pinot-query-run");
    // An example without LIMIT is told, and mended by a click.
    await canvas.selectOption("#pinot-query-template", { label: "Prices per symbol" });
    const sql = (): Promise<string> => canvas.evaluate((id) => (window as unknown as { RED: { nodes: { node(id: string): { sqlEditor: { getValue(): string } } } } }).RED.nodes.node(id).sqlEditor.getValue(), bars);
    assert.match(await sql(), /AVG\(p\)[\s\S]*LIMIT 1000;/);
    await canvas.evaluate((id) => { (window as unknown as { RED: { nodes: { node(id: string): { sqlEditor: { setValue(v: string, n: number): void } } } } }).RED.nodes.node(id).sqlEditor.setValue("SELECT S FROM nowhere_at_all WHERE x = :exchange", -1); }, bars);
    await canvas.waitForSelector("#pinot-query-limit-add");
    assert.match(await canvas.innerText("#pinot-query-unset"), /msg\.params\.exchange/);
    await shot(canvas, "pinot-query-hints");
    await canvas.click("#pinot-query-limit-add");
    assert.match(await sql(), /LIMIT 1000$/);
    assert.match(await answer(), /^✘ The query has the parameter :exchange/);
    await editor.closeDialog("cancel");
    assert.deepEqual(inEditor, []);
    await canvas.close();

    assert.equal(await red.stop(), 0);
    const said = red.output().split("\n").filter((line) => /\[(warn|error|fatal)\]/.test(line));
    assert.deepEqual(said.filter((line) => !/\[warn\].*(It is waited for|It is tried again)/.test(line)), []);
  });

  it("the documented pipeline with OLAP=on makes its table when the topic is there, and shows what Pinot answers; without it nothing looks for Pinot", async () => {
    const shipped = shippedFlows().find((flow) => flow.name.startsWith("6 "))!.nodes;
    const serve = async (name: string, more: Record<string, string>) => {
      const userDir = join(temporaryFolder(name), "user");
      mkdirSync(userDir);
      writeFileSync(join(userDir, "flows.json"), JSON.stringify(shipped));
      writeFileSync(join(userDir, ".ticklake.json"), "{}");
      return start({ userDir, env: { KAFKA_BROKERS: brokers, OUTPUT_MODE: "kafka-only", INTERVAL: "0.2", STARTING_OFFSETS: "earliest", SOURCE_TOPIC: `raw_${name}_${table}`, DEST_TOPIC: `${name}_${table}`, GROUP_ID: `${name}_${table}`, ...more } });
    };
    const complained = (output: string): string[] => output.split("\n").filter((line) => /\[(warn|error|fatal)\]/.test(line) && !/\[warn\].*(It is waited for|It is tried again)/.test(line));

    const red = await serve("olap", { OLAP: "on", PINOT_CONTROLLER_URL: pinot.controllerUrl, PINOT_BROKER_URL: pinot.brokerUrl, PINOT_TABLE: `olap_${table}` });
    const { page, problems } = await openPage(browser, `${red.url}/dashboard/pipeline`);
    const cells = async (): Promise<string> => (await page.locator(".nrdb-ui-table").last().locator("tbody").innerText({ timeout: 2000 })).replace(/\s+/g, " ");
    await until("what Pinot answers", cells, (text) => /AAPL [\d,]+ \d+\.\d\d [\d,]+ \d{4}-\d\d-\d\d/.test(text), 90_000).catch((error: Error) => { throw new Error(`${error.message}\n${red.output()}`); });
    await page.waitForSelector("text=/Pinot table/");
    await shot(page, "pipeline-dashboard-olap");
    assert.deepEqual(problems, []);
    await page.close();
    assert.equal(await red.stop(), 0);
    assert.deepEqual(complained(red.output()), []);

    // No variable of Pinot, and nobody at its usual port: nothing is asked, so nothing fails.
    const plain = await serve("plain", { PINOT_CONTROLLER_URL: "", PINOT_BROKER_URL: "" });
    await until("trades in the topic", () => endOffsets(brokers, `plain_${table}`).catch(() => [0]), (ends) => ends.reduce((a, b) => a + b, 0) > 100, 60_000);
    assert.equal(await plain.stop(), 0);
    assert.deepEqual(complained(plain.output()), []);
  });
});
