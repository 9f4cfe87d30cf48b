import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { Editor, complaints, darken, faint, launch, openPage, reasonAt, shot } from "../support/browser";
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
  "pinot-query": { field: "maxRows", value: "0", reason: /least is/ },
  "pinot-table": { field: "retentionDays", value: "0", reason: /least is 1/ },
  "pipeline-metrics": { field: "interval", value: "soon", reason: /no duration|not a number/ },
  "iceberg-query": { field: "maxRows", value: "-1", reason: /least is/ },
  "pipeline-reconcile": { field: "from", value: "yesterday", reason: /A time as 2013-10-07/ },
  "iceberg-table": { field: "options", value: "{\"dryrun\": true}", reason: /describe has no option dryrun/ },
};

describe("in the browser", function () {
  this.timeout(240_000);
  let browser: Browser;
  before(async () => { browser = await launch(); });
  after(() => browser?.close());
  afterEach(killAll);

  const withDialog = nodeTypes().filter((type) => definition(type).category !== "config");

  /** Every dialog opens, is labelled throughout, says why a wrong value is wrong, and takes it back. */
  async function walkDialogs(editor: Editor, version: string, types: readonly string[] = withDialog): Promise<void> {
    const { page } = editor;
    for (const type of types) {
      const [id] = await editor.idsOf(type);
      if (!id) continue;
      assert.equal(await editor.isInvalid(id), false, `${type}: the example has no red triangle`);
      await editor.openDialog(id);
      await shot(page, `${version}-dialog-${type}`);
      assert.deepEqual(await complaints(page, type), [], type);
      assert.deepEqual(await faint(page), [], `${type}: easily read`);
      await darken(page);
      assert.deepEqual(await faint(page), [], `${type}: easily read on a dark theme`);
      await shot(page, `${version}-dark-${type}`);
      await darken(page, false);

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

  /** An editor of its own with nothing but a shipped flow, imported from the menu and not deployed yet. */
  async function openExample(name: string, folder: string, flow: string, env: Record<string, string> = {}) {
    const userDir = join(temporaryFolder(name), "user");
    mkdirSync(userDir);
    writeFileSync(join(userDir, "flows.json"), EMPTY);
    writeFileSync(join(userDir, ".ticklake.json"), "{}");
    const run = await start({ userDir, env });
    const { page, problems } = await openPage(browser, run.url);
    const editor = new Editor(page);
    await editor.ready();
    await editor.importExample(MODULE, folder, flow);
    await page.waitForTimeout(1000);
    return { run, page, problems, editor };
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

    // What a button beside the field looks up, is taken with a click: symbols that other nodes name, those of a file, and a catalog that nobody has deployed yet.
    const [sample] = await editor.idsOf("csv-replay");
    await editor.openDialog(sample!);
    await page.click("#node-input-symbols-lookup");
    await page.click("#node-input-symbols-choices button:has-text('IBM (257)')");
    assert.equal(await page.inputValue("#node-input-symbols"), "IBM");
    assert.deepEqual(await faint(page), []);
    await editor.closeDialog("cancel");
    const [reader] = await editor.idsOf("iceberg-out");
    await editor.openDialog(reader!);
    await page.click("#node-input-table-lookup");
    await page.waitForFunction(() => /nothing to choose from yet|is filled in at the deploy: deploy first/.test(document.querySelector("#node-input-table-choices")?.textContent ?? ""));
    await page.click("#node-input-partitionBy-lookup");
    await page.waitForFunction(() => /bucket\[16\]\(S\)|deploy first/.test(document.querySelector("#node-input-partitionBy-choices")?.textContent ?? ""));
    await shot(page, "4-looked-up");
    await editor.closeDialog("cancel");

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

  it("pipeline-reconcile: its dialog, and the button beside the node", async () => {
    const { run, page, problems, editor } = await openExample("browser-reconcile", "3 Kafka", "Trades through Kafka", { KAFKA_BROKERS: "127.0.0.1:1" });
    await walkDialogs(editor, "4", ["pipeline-reconcile"]);
    const [id] = await editor.idsOf("pipeline-reconcile");
    await editor.deploy();
    await page.locator(`[id="${id}"] .red-ui-flow-node-button-button`).click();
    // There is no broker: what the button started says so in its status.
    await until("the status", () => editor.status(id!), (text) => /counting Kafka iex_data|could not be counted/.test(text));
    await shot(page, "4-reconcile");
    assert.deepEqual(problems, []);
    await page.close();
    await run.stop();
  });

  it("pipeline-metrics: its dialog, and the figures of every node on the dashboard of its flow", async () => {
    const { run, page, problems, editor } = await openExample("browser-metrics", "7 Observability", "Rates, lag and readiness");
    await shot(page, "4-metrics-flow");
    await walkDialogs(editor, "4", ["pipeline-metrics"]);
    await editor.deploy();
    const [id] = await editor.idsOf("pipeline-metrics");
    await until("the status", () => editor.status(id!), (text) => text === "3 nodes, all ready");
    await page.goto(`${run.url}/dashboard/observability`);
    // A commit later, the sink's row has a process rate.
    await page.waitForFunction(() => [...document.querySelectorAll("tr")].some((row) => /iceberg-out/.test(row.textContent ?? "") && /ready/.test(row.textContent ?? "") && /\d/.test(row.children[4]?.textContent ?? "")), undefined, { timeout: 60_000 });
    await shot(page, "4-metrics-dashboard");
    assert.deepEqual(problems, []);
    await page.close();
    await run.stop();
  });

  it("iceberg-table: the fields of every operation are in line, say what is wrong with a value, and become options", async function () {
    this.timeout(300_000);
    const { run, page, problems, editor } = await openExample("browser-table", "4 Iceberg", "Maintenance and evolution");
    await walkDialogs(editor, "4", ["iceberg-table"]);

    const [id] = await editor.idsOf("iceberg-table");
    const field = (name: string): string => `#iceberg-table-field-${name}`;
    const choose = (operation: string): Promise<unknown> => page.selectOption("#node-input-operation", operation);
    const enter = async (name: string, value: string): Promise<void> => { await page.fill(field(name), value); await page.locator(field(name)).dispatchEvent("change"); };
    const isWrong = (name: string): Promise<boolean> => page.locator(field(name)).evaluate((e) => e.classList.contains("input-error"));
    const options = (): Promise<unknown> => page.locator("#node-input-options").inputValue().then((text) => JSON.parse(text) as unknown);

    // The reason of the value before fades away slowly.
    const told = (what: string, why: RegExp): Promise<unknown> => until(what, () => reasonAt(page, "options"), (text) => why.test(text));

    await editor.openDialog(id!);
    const operations = await page.locator("#node-input-operation option").allInnerTexts();
    assert.equal(operations.length, 16);
    for (const operation of operations) {
      await choose(operation);
      assert.deepEqual(await complaints(page, "iceberg-table"), [], operation);
      const lefts = await page.evaluate(() => [...document.querySelectorAll("#dialog-form .form-row")].flatMap((row) => {
        const control = row.querySelector(".red-ui-typedInput-container") ?? row.querySelector("input:not([type=hidden]):not([style*='display: none']), select");
        return control && (row as HTMLElement).offsetParent ? [control.getBoundingClientRect().left] : [];
      }));
      assert.ok(Math.max(...lefts) - Math.min(...lefts) < 1.5, `${operation}: ${lefts.join(" ")}`);
    }

    // For each kind of field what cannot be right, the reason beside Options, and a value that is.
    const cases: [operation: string, field: string, bad: string, reason: RegExp, good: string, options: object][] = [
      ["add-column", "column", "", /column is needed .*type is needed/, "note", { column: "note" }],
      ["create", "properties", "a b", /properties must be a JSON object/, "{\"a\":\"b\"}", { properties: { a: "b" } }],
      ["create", "schema", "{\"type\":", /schema is not valid JSON/, "trades", { schema: "trades" }],
      ["expire-snapshots", "olderThan", "soon", /olderThan must be a time such as/, "5 days", { olderThan: "5 days" }],
      ["expire-snapshots", "retainLast", "0", /retainLast must be at least 1/, "3", { retainLast: 3 }],
      ["expire-snapshots", "snapshotIds", "12, x", /snapshotIds must be snapshot ids/, "12, 13", { snapshotIds: ["12", "13"] }],
      ["rewrite-manifests", "specId", "1.5", /specId must be a whole number/, "0", { specId: 0 }],
      ["compact", "options", "128 MB", /options must be a JSON object/, "{\"min-input-files\":2}", { options: { "min-input-files": 2 } }],
      ["rollback", "snapshotId", "the first", /snapshotId must be a snapshot id/, "8887776665554443332", { snapshotId: "8887776665554443332" }],
    ];
    for (const [operation, name, bad, why, good, wanted] of cases) {
      await choose("describe");
      await choose(operation);
      await enter(name, bad);
      assert.equal(await isWrong(name), true, `${operation}: ${name} = ${bad}`);
      await told(`${operation}: ${name} = ${bad}`, why);
      await enter(name, good);
      assert.equal(await isWrong(name), false, `${operation}: ${name} = ${good}`);
      assert.deepEqual(await options(), wanted);
    }
    await choose("add-column");
    await enter("column", "note");
    await enter("type", "string");
    await page.selectOption(field("position"), "first");
    await enter("after", "price");
    await told("two places", /only one of position, after and before/);
    await shot(page, "4-wrong-iceberg-table-add-column");
    await enter("after", "");
    await page.check(field("dryRun"));
    assert.deepEqual(await options(), { column: "note", type: "string", position: "first", dryRun: true });
    await editor.closeDialog("ok");
    assert.equal(await editor.isInvalid(id!), false);
    await editor.openDialog(id!);
    assert.deepEqual([await page.inputValue(field("column")), await page.inputValue(field("position")), await page.isChecked(field("dryRun"))], ["note", "first", true]);
    await editor.closeDialog("cancel");
    assert.deepEqual(problems, []);
    await page.close();
    assert.equal(await run.stop(), 0);
  });
});
