import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { Editor, complaints, launch, openPage, reasonAt, shot } from "../support/browser";
import { definition, nodeTypes } from "../support/flows";
import { nodeRedCommand, startNodeRed } from "../support/node-red";
import { killAll, root, start, temporaryFolder, until } from "../support/start";

const MODULE = "@ticklake/node-red-ticklake";
const EMPTY = JSON.stringify([{ id: "0000000000000001", type: "tab", label: "Empty", disabled: false, info: "" }]);

/** For each node a value that cannot be right, and the words of the reason that its user must see. */
const WRONG: Record<string, { field: string; value: string; reason: RegExp }> = {
  "synthetic-gen": { field: "batchSize", value: "-3", reason: /least is 1/ },
  "csv-replay": { field: "batchSize", value: "many", reason: /not a number/ },
  "alpaca-in": { field: "channels", value: "prices", reason: /no channel/ },
  "kafka-in": { field: "topics", value: "two words?", reason: /no name of a topic/ },
  "explode-trades": { field: "dedupe", value: "soon", reason: /no duration|not a number/ },
  "iceberg-out": { field: "table", value: "my table", reason: /namespace and table/ },
  "iceberg-query": { field: "maxRows", value: "-1", reason: /least is/ },
};

describe("in the browser", function () {
  this.timeout(180_000);
  let browser: Browser;
  before(async () => { browser = await launch(); });
  after(() => browser?.close());
  afterEach(killAll);

  const withDialog = nodeTypes().filter((type) => definition(type).category !== "config");

  /** Every dialog opens, is labelled throughout, says why a wrong value is wrong, and takes it back. */
  async function walkDialogs(editor: Editor, version: string): Promise<void> {
    const { page } = editor;
    for (const type of withDialog) {
      const [id] = await editor.idsOf(type);
      if (!id) continue;
      assert.equal(await editor.isInvalid(id), false, `${type}: the example has no red triangle`);
      await editor.openDialog(id);
      await shot(page, `${version}-dialog-${type}`);
      assert.deepEqual(await complaints(page, type), [], type);

      const { field, value, reason } = WRONG[type]!;
      const before = await page.locator(`#node-input-${field}`).inputValue();
      const enter = (text: string): Promise<void> => page.evaluate(([name, v]) => {
        const input = (window as unknown as { $: (s: string) => { typedInput?: (m: string, v?: string) => unknown; trigger(e: string): void; val(v: string): { trigger(e: string): void } } }).$(`#node-input-${name}`);
        if (document.querySelector(`#node-input-${name} + .red-ui-typedInput-container, .red-ui-typedInput-container > #node-input-${name}`)) { input.typedInput!("value", v); input.trigger("change"); }
        else input.val(v!).trigger("change");
      }, [field, text] as const);
      await enter(value);
      await page.waitForTimeout(400);
      assert.match(await reasonAt(page, field), reason, `${type}: ${field} = ${value}`);
      await shot(page, `${version}-wrong-${type}`);
      await editor.closeDialog("ok");
      assert.equal(await editor.isInvalid(id), true, `${type}: a red triangle on the canvas`);
      await editor.openDialog(id);
      await enter(before);
      await editor.closeDialog("ok");
      assert.equal(await editor.isInvalid(id), false, `${type}: the triangle is gone`);
    }
  }

  it("imports the quick start from the menu, opens every dialog, deploys, sees statuses and a living dashboard", async () => {
    const userDir = join(temporaryFolder("browser"), "user");
    mkdirSync(userDir);
    writeFileSync(join(userDir, "flows.json"), EMPTY);
    writeFileSync(join(userDir, ".ticklake.json"), "{}");
    const run = await start({ userDir });
    const { page, problems } = await openPage(browser, run.url);
    const editor = new Editor(page);
    await editor.ready();

    const palette = await page.locator("#red-ui-palette-ticklake .red-ui-palette-label").allInnerTexts();
    assert.equal(palette.length, withDialog.length, palette.join(", "));

    await editor.importExample(MODULE, "1 Quick start", "Trades into an Iceberg table");
    await page.waitForSelector(".red-ui-workspace-tabs, #red-ui-workspace-tabs");
    await page.waitForTimeout(1000);
    await shot(page, "4-imported");
    await walkDialogs(editor, "4");

    // The catalog, from within the sink's dialog: the test button says in words that the folder can be used.
    const [sink] = await editor.idsOf("iceberg-out");
    await editor.openDialog(sink!);
    await page.click("#node-input-btn-catalog-edit, #node-input-lookup-catalog");
    await page.waitForSelector("#node-config-dialog-ok:visible");
    await page.waitForTimeout(500);
    assert.deepEqual(await complaints(page, "iceberg-catalog"), []);
    await page.click("#iceberg-catalog-test");
    await page.waitForFunction(() => /^[✔✘]/.test(document.querySelector("#iceberg-catalog-test-result")?.textContent ?? ""));
    await shot(page, "4-dialog-iceberg-catalog");
    assert.match(await page.innerText("#iceberg-catalog-test-result"), /^✔ .*warehouse/);
    await page.click("#node-config-dialog-ok");
    await page.waitForSelector("#node-config-dialog-ok", { state: "detached" });
    await editor.closeDialog("ok");

    await editor.deploy();
    const [generator] = await editor.idsOf("synthetic-gen");
    await until("the generator's status", () => editor.status(generator!), (text) => /\/s, .*trades/.test(text));
    await until("the sink's status", () => editor.status(sink!), (text) => /last commit/.test(text));
    await shot(page, "4-running");

    // Ask the table from the query's dialog.
    const [query] = await editor.idsOf("iceberg-query");
    await editor.openDialog(query!);
    await page.click("#iceberg-query-run");
    await page.waitForFunction(() => /^[✔✘]/.test(document.querySelector("#iceberg-query-run-status")?.textContent ?? ""));
    assert.match(await page.innerText("#iceberg-query-run-status"), /^✔ .*rows/);
    assert.match(await page.innerText("#iceberg-query-result"), /AAPL/);
    await shot(page, "4-query-run");

    // Maintenance from the examples: refused until the dialog allows it.
    await page.selectOption("#iceberg-query-template", { label: "CALL: rewrite manifests" });
    const answer = async (): Promise<string> => {
      await page.click("#iceberg-query-run");
      await page.waitForFunction(() => /^[✔✘]/.test(document.querySelector("#iceberg-query-run-status")?.textContent ?? ""));
      return page.innerText("#iceberg-query-run-status");
    };
    assert.match(await answer(), /^✘ CALL changes tables .* Tick "Allow CALL"/);
    await page.check("#node-input-allowCalls");
    assert.equal(await page.isVisible("#iceberg-query-calls-hint"), true);
    assert.match(await answer(), /^✔ rewrite-manifests: \d+ into \d+ manifests?, \d+ ms$/);
    assert.match(await page.innerText("#iceberg-query-result"), /rewritten_manifests_count\s+added_manifests_count/);
    await shot(page, "4-query-call");
    await editor.closeDialog("cancel");
    assert.deepEqual(problems, []);
    await page.close();

    const { page: board, problems: boardProblems } = await openPage(browser, `${run.url}/dashboard/trades`);
    await board.waitForSelector(".tl-price");
    const prices = async (): Promise<string> => (await board.locator(".tl-price").allInnerTexts()).join(" ");
    const first = await prices();
    await until("prices that move", prices, (text) => text !== first && text.split(" ").length === 7);
    await board.waitForSelector(".nrdb-ui-table td:has-text('TSLA')");
    const rows = async (): Promise<number> => Number((await board.locator("tr:has(td:has-text('TSLA')) td").nth(1).innerText()).replace(/\D/g, ""));
    const count = await rows();
    await until("the table to grow", rows, (n) => n > count);
    await board.waitForTimeout(1000);
    await shot(board, "dashboard");
    assert.deepEqual(boardProblems, []);
    await board.close();
    assert.equal(await run.stop(), 0);
  });

  it("Node-RED 5: imports the replay flow from the menu, opens its dialogs, deploys, and the file lands in the table", async () => {
    assert.ok(nodeRedCommand("5"), "Node-RED 5 is not there: node scripts/stack.mjs node22 node-red-5");
    const red = await startNodeRed({ version: "5", flow: JSON.parse(EMPTY) as object[], nodesDir: root, settings: { disableEditor: false } });
    const { page, problems } = await openPage(browser, red.url);
    const editor = new Editor(page);
    await editor.ready();
    await editor.importExample(MODULE, "1 Quick start", "Replay a CSV file");
    await page.waitForTimeout(1000);
    await walkDialogs(editor, "5");
    await editor.deploy();
    const [button] = await editor.idsOf("inject");
    await page.evaluate((id) => (window as unknown as { RED: { view: { reveal(id: string): void } } }).RED.view.reveal(id), button!);
    await page.click(`[id="${button}"] .red-ui-flow-node-button-button`);
    const hint = join(red.userDir, "warehouse", "db", "replayed", "metadata", "version-hint.text");
    await until("a commit", () => readFileSync(hint, "utf8"), (v) => Number(v) >= 2, 40_000);
    const [sink] = await editor.idsOf("iceberg-out");
    await until("the sink's status", () => editor.status(sink!), (text) => /last commit/.test(text));
    await shot(page, "5-running");
    assert.deepEqual(problems, []);
    await page.close();
    assert.equal(await red.stop(), 0);
  });
});
