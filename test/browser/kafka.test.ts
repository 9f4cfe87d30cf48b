import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { Editor, complaints, faint, launch, openPage, reasonAt, shot } from "../support/browser";
import { consoleProducer, createTopic, startKafka, uniqueTopic, type RunningKafka } from "../support/kafka";
import { nodeRedCommand, startNodeRed } from "../support/node-red";
import { killAll, root, start, temporaryFolder, until } from "../support/start";

const MODULE = "@ticklake/node-red-ticklake";
const EMPTY = [{ id: "0000000000000001", type: "tab", label: "Empty", disabled: false, info: "" }];

/** The flow's four nodes by the order in which it has them. */
interface Nodes { readonly readers: string[]; readonly writers: string[]; readonly sink: string }

async function importFlow(editor: Editor): Promise<Nodes> {
  await editor.ready();
  await editor.importExample(MODULE, "3 Kafka", "Trades through Kafka");
  await editor.page.waitForTimeout(1000);
  const { page } = editor;
  const [readers, writers, [sink]] = await Promise.all([editor.idsOf("kafka-in"), editor.idsOf("kafka-out"), editor.idsOf("iceberg-out")]);
  // Only the nodes of the tab that is shown are drawn.
  await page.evaluate((id) => (window as unknown as { RED: { view: { reveal(id: string): void } } }).RED.view.reveal(id), sink!);
  await page.waitForSelector(`[id="${sink}"]`);
  for (const id of [...readers, ...writers, sink!]) assert.equal(await editor.isInvalid(id), false, `the example has no red triangle at ${id}`);
  return { readers, writers, sink: sink! };
}

/** Enters what a user would, and leaves the field. */
async function enter(page: Page, selector: string, text: string): Promise<void> {
  await page.fill(selector, text);
  await page.locator(selector).dispatchEvent("change");
  await page.waitForTimeout(200);
}

/** Text of an element as soon as it begins with a tick or a cross. */
async function answer(page: Page, selector: string): Promise<string> {
  await page.waitForFunction((s) => /^[✔✘]/.test(document.querySelector(s)?.textContent ?? ""), selector);
  return page.innerText(selector);
}

/** kafka-broker's dialog, opened from a node's. */
async function walkBroker(page: Page): Promise<void> {
  assert.deepEqual(await complaints(page, "kafka-broker"), []);
  await page.click("#kafka-broker-test");
  assert.match(await answer(page, "#kafka-broker-test-result"), /^✔ Connected to cluster .*: 1 broker, \d+ topics?\.$/);

  for (const [mechanism, labels] of [["plain", /User name.*Password/s], ["scram-sha-512", /User name.*Password/s], ["oauthbearer", /Token from.*Token/s]] as const) {
    await page.selectOption("#node-config-input-saslMechanism", mechanism);
    assert.match(await page.innerText("#kafka-broker-sasl"), labels, mechanism);
    assert.deepEqual(await complaints(page, "kafka-broker"), [], mechanism);
  }
  await page.selectOption("#node-config-input-saslMechanism", "plain");
  assert.match(await page.innerText("#kafka-broker-sasl-tip"), /PLAIN sends the password as it is: choose a TLS configuration/);
  await page.selectOption("#node-config-input-saslMechanism", "none");

  await page.fill("#node-config-input-brokers", "localhost:1");
  await page.click("#kafka-broker-test");
  await page.waitForFunction(() => /^✘/.test(document.querySelector("#kafka-broker-test-result")?.textContent ?? ""));
  assert.match(await page.innerText("#kafka-broker-test-result"), /nothing listens at localhost:1\. Check that the broker runs and that address and port are right\./);
}

/** What the look-up of topics lists. */
async function lookedUp(page: Page): Promise<string[]> {
  await page.click("#node-input-topics-lookup");
  await page.waitForSelector("#node-input-topics-choices button");
  return page.locator("#node-input-topics-choices button").allInnerTexts();
}

/** What of the dialog is beyond the window or beyond its own frame. */
function overflow(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const form = document.querySelector("#dialog-form")!;
    const frame = form.closest(".red-ui-tray-body")!.getBoundingClientRect();
    const right = Math.min(frame.right, window.innerWidth) + 1, left = Math.max(frame.left, 0) - 1;
    return [...form.querySelectorAll("button, select, input, label, span, .form-tips")]
      .filter((e) => (e as HTMLElement).offsetParent !== null && (e.getBoundingClientRect().right > right || e.getBoundingClientRect().left < left)).map((e) => `${e.tagName} ${e.id} ${(e.textContent ?? "").slice(0, 40)}`);
  });
}

describe("Kafka in the browser", function () {
  this.timeout(240_000);
  let browser: Browser;
  let kafka: RunningKafka;
  before(async () => { [browser, kafka] = await Promise.all([launch(), startKafka()]); });
  after(async () => { await Promise.all([browser?.close(), kafka?.stop()]); });
  afterEach(killAll);

  it("imports the flow, tests the connection, looks topics up, is told what is wrong, deploys, sees where the data is, and resets a group", async () => {
    const userDir = join(temporaryFolder("browser-kafka"), "user");
    mkdirSync(userDir);
    writeFileSync(join(userDir, "flows.json"), JSON.stringify(EMPTY));
    writeFileSync(join(userDir, ".ticklake.json"), "{}");
    const run = await start({ userDir, env: { KAFKA_BROKERS: kafka.brokers } });
    const { page, problems } = await openPage(browser, run.url);
    const editor = new Editor(page);
    const { readers, writers, sink } = await importFlow(editor);
    await shot(page, "4-kafka-imported");
    await editor.deploy();
    await until("the group's status", () => editor.status(readers[0]!), (text) => /\/s, lag [\d.]+( k)?, .*in flight/.test(text));
    await until("the table's status", () => editor.status(sink), (text) => /last commit/.test(text));
    await until("the other topic's status", () => editor.status(writers[1]!), (text) => /\/s/.test(text));

    await editor.openDialog(readers[0]!);
    assert.deepEqual(await complaints(page, "kafka-in"), []);
    assert.deepEqual(await overflow(page), []);
    assert.deepEqual((await lookedUp(page)).filter((text) => /iex_data|flattened/.test(text)), ["flattened_stocks (3)", "✔ iex_data (3)"]);
    await page.click("#node-input-topics-choices button:has-text('flattened_stocks')");
    assert.equal(await page.inputValue("#node-input-topics"), "iex_data, flattened_stocks");
    await page.click("#node-input-topics-choices button:has-text('flattened_stocks')");
    assert.equal(await page.inputValue("#node-input-topics"), "iex_data");

    // The group that this node is, among those that the broker knows.
    await page.click("#node-input-groupId-lookup");
    await page.waitForSelector("#node-input-groupId-choices button:has-text('✔ ticklake-lake')");
    assert.deepEqual(await faint(page), []);

    await enter(page, "#node-input-groupId", "");
    assert.match(await reasonAt(page, "groupId"), /Name a consumer group.*The button beside suggests one/);
    await page.click("#node-kafka-in-suggest");
    assert.equal(await page.inputValue("#node-input-groupId"), "trades-through-kafka-group-ticklake-lake");
    await enter(page, "#node-input-groupId", "ticklake-lake");
    await page.selectOption("#node-input-startingOffsets", "timestamp");
    await enter(page, "#node-input-startingTimestamp", "yesterday");
    assert.match(await reasonAt(page, "startingTimestamp"), /2024-11-01T13:30:00Z/);
    await page.selectOption("#node-input-startingOffsets", "earliest");

    // Where is my data: a row per partition in numbers, and the table by name.
    await page.waitForFunction(() => document.querySelectorAll("#node-kafka-in-panel tbody th").length === 3);
    const panel = await page.innerText("#node-kafka-in-panel");
    assert.match(panel, /topic \/ partition\s+committed\s+delivered\s+read\s+end\s+lag/);
    assert.match(panel, /db\.flattened_stocks has everything below [\d,.]+ \(Iceberg table\)/);
    await until("what is under way", () => page.innerText("#node-kafka-in-panel"), (text) => /oldest batch under way.*in Iceberg table for \d+ s, waiting to be made durable/s.test(text));
    assert.ok(await page.getAttribute("#node-kafka-in-panel thead th:nth-child(2)", "title"), "columns explain themselves");
    await shot(page, "4-kafka-panel");

    // A reset says what it leads to and asks before.
    assert.match(await page.innerText("#node-kafka-in-reset-hint"), /All that Kafka still has is read again\. Tables recognise/);
    await page.check("#node-kafka-in-reset-forget");
    assert.match(await page.innerText("#node-kafka-in-reset-hint"), /rows that are still there are doubled/);
    await page.uncheck("#node-kafka-in-reset-forget");
    const ask = page.locator(".red-ui-notification:has-text('Move the group “ticklake-lake” now?')");
    await page.click("#node-kafka-in-reset");
    await page.waitForTimeout(500);
    await shot(page, "4-kafka-reset");
    await ask.locator("button:has-text('Cancel')").click();
    await ask.waitFor({ state: "detached" });
    assert.equal(await page.innerText("#node-kafka-in-reset-result"), "");
    await page.click("#node-kafka-in-reset");
    await ask.locator("button:has-text('reset')").click();
    assert.match(await answer(page, "#node-kafka-in-reset-result"), /^✔ Done: reading goes on there, and the group has committed it\.$/);
    await editor.closeDialog("cancel");

    await editor.openDialog(readers[0]!);
    await editor.openConfig("broker");
    await walkBroker(page);
    await shot(page, "4-dialog-kafka-broker");
    await editor.closeConfig("cancel");
    await page.waitForTimeout(500);
    await editor.closeDialog("cancel");

    await editor.openDialog(writers[1]!);
    assert.deepEqual(await complaints(page, "kafka-out"), []);
    assert.deepEqual(await overflow(page), []);
    await page.click("#node-input-topic-lookup");
    await page.waitForFunction(() => [...document.querySelectorAll("#node-input-topic-known option")].some((o) => (o as HTMLOptionElement).value === "iex_data"));
    await page.check("#node-input-transactional");
    assert.equal(await page.isVisible("#node-input-idempotent"), false, "transactions are idempotent");
    assert.match(await page.innerText("#node-kafka-out-transactions"), /become visible together/);
    await page.selectOption("#node-input-send", "batch");
    assert.deepEqual([await page.isVisible("#node-input-key"), await page.isVisible("#node-input-batchSize")], [false, true]);
    await enter(page, "#node-input-partitions", "none");
    assert.match(await reasonAt(page, "partitions"), /not a number/);
    await shot(page, "4-dialog-kafka-out");
    await editor.closeDialog("cancel");

    // The table has seen all of it: what was read again is counted, not written.
    await until("reading goes on", () => editor.status(readers[0]!), (text) => /lag [0-9],/.test(text));
    assert.deepEqual(problems, []);
    await page.close();

    const { page: board, problems: boardProblems } = await openPage(browser, `${run.url}/dashboard/kafka`);
    await board.waitForSelector(".tl-word:has-text('group ticklake-lake'):has-text('lag')");
    await board.waitForSelector(".nrdb-ui-table td");
    const doubles = async (): Promise<number> => (await board.locator(".nrdb-ui-table tr td:nth-child(5)").allInnerTexts()).reduce((sum, text) => sum + Number(text.replace(/\D/g, "")), 0);
    await until("doubles that were left out", doubles, (n) => n > 0);
    await shot(board, "kafka-dashboard");
    assert.deepEqual(boardProblems, []);
    await board.close();
    assert.equal(await run.stop(), 0);
  });

  it("a broker that is not there, wrong settings and bad records: the canvas says what is wrong, and what to do", async () => {
    const topic = await createTopic(kafka.brokers, uniqueTopic("bad"));
    await consoleProducer(kafka.brokers, topic, ["{\"a\":1}", "{oops", "{\"a\":2}"]);
    const reader = { type: "kafka-in", z: "t", broker: "b", topics: topic, startingOffsets: "earliest", format: "json", onFailure: "retry", wires: [["debug"], []] };
    const nodes = [
      { id: "t", type: "tab", label: "Trouble" },
      { id: "b", type: "kafka-broker", name: "here", brokers: kafka.brokers, saslMechanism: "none" }, { id: "gone", type: "kafka-broker", name: "not there", brokers: "localhost:1", saslMechanism: "none" },
      { ...reader, id: "no-broker", broker: "gone", groupId: uniqueTopic("g"), x: 150, y: 80 },
      { ...reader, id: "no-topic", topics: `${topic}-not`, groupId: uniqueTopic("g"), x: 150, y: 160 },
      { ...reader, id: "no-group", groupId: "", x: 150, y: 240 },
      { ...reader, id: "unwired", onFailure: "dead-letter", groupId: uniqueTopic("g"), x: 150, y: 320 },
      { ...reader, id: "bad-records", groupId: uniqueTopic("g"), x: 150, y: 400 },
      { ...reader, id: "dead-letters", groupId: uniqueTopic("g"), wires: [["debug"], ["dead"]], x: 150, y: 480 },
      { id: "dead", type: "kafka-out", z: "t", broker: "b", topic: `${topic}.dead`, topicType: "str", send: "each", createTopic: true, partitions: "1", replicationFactor: "1", compression: "none", idempotent: true, x: 450, y: 500, wires: [[]] },
      { id: "debug", type: "debug", z: "t", name: "", active: false, tosidebar: true, complete: "payload", targetType: "msg", x: 450, y: 80, wires: [] },
    ];
    const red = await startNodeRed({ version: "4", flow: nodes, nodesDir: root, settings: { disableEditor: false } });
    const { page, problems } = await openPage(browser, red.url);
    const editor = new Editor(page);
    await editor.ready();
    for (const [id, text] of [
      ["no-broker", /^broker down: nothing listens at localhost:1$/], ["no-topic", new RegExp(`^waiting for topic ${topic}-not$`)], ["no-group", /^groupId: name a consumer group/],
      ["unwired", /^onFailure is dead-letter, but output 2 is not wired/], ["bad-records", /lag 0, 0 in flight, 1 undecodable$/], ["dead-letters", /lag 0, 0 in flight, 1 dead letter$/], ["dead", /^1 sent$/],
    ] as const) await until(`what ${id} says`, () => editor.status(id), (said) => text.test(said), 30_000);
    for (const id of ["no-group"]) assert.equal(await editor.isInvalid(id), true, `${id} has a red triangle`);
    await shot(page, "4-kafka-trouble");

    await editor.openDialog("unwired");
    assert.equal(await page.innerText("#node-kafka-in-unwired"), "Wire output 2 before the deploy: dead letters go there.");
    // The node does not run: the panel says so in words.
    await until("the panel", () => page.innerText("#node-kafka-in-panel"), (text) => /does not run: deploy it first/.test(text));
    await editor.closeDialog("cancel");
    assert.deepEqual(problems, []);
    await page.close();
    assert.equal(await red.stop(), 0);
  });

  it("Node-RED 5 in a narrow window: the dialogs fit, are labelled, and find the broker", async () => {
    assert.ok(nodeRedCommand("5"), "Node-RED 5 is not there: node scripts/stack.mjs node22 node-red-5");
    const red = await startNodeRed({ version: "5", flow: EMPTY, nodesDir: root, settings: { disableEditor: false }, env: { KAFKA_BROKERS: kafka.brokers } });
    const { page, problems } = await openPage(browser, red.url);
    const editor = new Editor(page);
    const { readers, writers } = await importFlow(editor);
    await editor.deploy();
    await page.setViewportSize({ width: 900, height: 900 });
    for (const [type, id] of [["kafka-in", readers[0]!], ["kafka-out", writers[0]!]] as const) {
      await editor.openDialog(id);
      assert.deepEqual(await complaints(page, type), [], type);
      assert.deepEqual(await overflow(page), [], type);
      if (type === "kafka-in") {
        assert.ok((await lookedUp(page)).length > 0);
        await page.waitForFunction(() => document.querySelectorAll("#node-kafka-in-panel tbody th").length === 3);
      }
      await shot(page, `5-narrow-${type}`);
      await editor.closeDialog("cancel");
    }
    assert.deepEqual(problems, []);
    await page.close();
    assert.equal(await red.stop(), 0);
  });
});
