import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { AlpacaServer } from "../support/alpaca-server";
import { someTrades } from "../support/alpaca-trades";
import { Editor, complaints, launch, openPage, reasonAt, shot } from "../support/browser";
import { killAll, start, temporaryFolder, until } from "../support/start";

const MODULE = "@ticklake/node-red-ticklake";
const EMPTY = [{ id: "0000000000000001", type: "tab", label: "Empty", disabled: false, info: "" }];

describe("Alpaca in the browser", function () {
  this.timeout(180_000);
  let browser: Browser;
  let server: AlpacaServer;
  let publishing: NodeJS.Timeout | undefined;
  before(async () => { [browser, server] = await Promise.all([launch(), AlpacaServer.start()]); });
  after(async () => { clearInterval(publishing); await Promise.all([browser?.close(), server?.stop()]); });
  afterEach(killAll);

  it("imports the test feed's flow, tests the connection, is told what is wrong, deploys, and sees trades on the dashboard; no secret is in the flow file", async () => {
    const userDir = join(temporaryFolder("browser-alpaca"), "user");
    mkdirSync(userDir);
    writeFileSync(join(userDir, "flows.json"), JSON.stringify(EMPTY));
    writeFileSync(join(userDir, ".ticklake.json"), "{}");
    const run = await start({ userDir });
    const { page, problems } = await openPage(browser, run.url);
    const editor = new Editor(page);
    await editor.ready();
    await editor.importExample(MODULE, "2 Alpaca", "Test feed");
    await page.waitForTimeout(1000);
    const [id] = await editor.idsOf("alpaca-in");
    await page.evaluate((node) => (window as unknown as { RED: { view: { reveal(id: string): void } } }).RED.view.reveal(node), id!);
    await page.waitForSelector(`[id="${id}"]`);
    assert.equal(await editor.isInvalid(id!), false);
    await shot(page, "4-alpaca-imported");

    await editor.openDialog(id!);
    assert.deepEqual(await complaints(page, "alpaca-in"), []);
    await shot(page, "4-dialog-alpaca-in");
    assert.match(await page.innerText("#node-alpaca-in-buffer"), /100 s at 5,000 trades/);
    await page.fill("#node-input-channels", "trades prices");
    await page.locator("#node-input-channels").dispatchEvent("change");
    await page.waitForTimeout(300);
    assert.match(await reasonAt(page, "channels"), /“prices” is no channel/);
    await page.fill("#node-input-channels", "trades");
    await page.locator("#node-input-channels").dispatchEvent("change");

    await editor.openConfig("account");
    assert.deepEqual(await complaints(page, "alpaca-account"), []);
    assert.equal(await page.isVisible("#node-config-input-url"), false, "the address is asked for only where it is needed");
    await page.selectOption("#node-config-input-feed", "custom");
    const test = async (): Promise<string> => {
      await page.click("#alpaca-account-test");
      await page.waitForFunction(() => /^[✔✘]/.test(document.querySelector("#alpaca-account-test-result")?.textContent ?? ""));
      return page.innerText("#alpaca-account-test-result");
    };
    await page.fill("#node-config-input-url", "ws://192.168.1.7/v2/iex");
    await page.fill("#node-config-input-key", "test-key");
    await page.fill("#node-config-input-secret", "wrong");
    assert.match(await test(), /✘ .*this machine only/);
    await page.fill("#node-config-input-url", server.url);
    assert.match(await test(), /✘ .*refuses the key/);
    await page.fill("#node-config-input-secret", "test-secret");
    assert.match(await test(), /✔ Logged in/);
    await page.locator("#node-config-input-restUrl").fill(server.restUrl);
    assert.deepEqual(await complaints(page, "alpaca-account"), []);
    await shot(page, "4-dialog-alpaca-account");
    await editor.closeConfig();
    await editor.closeDialog();
    await editor.deploy();

    const trades = someTrades(20_000, { symbols: ["FAKEPACA"], at: Date.now() });
    let next = 0;
    publishing = setInterval(() => { server.publish(trades.slice(next, next += 10)); }, 50);
    await until("the status", () => editor.status(id!), (text) => /^live, \d+\/s, \d+ in, \d+ out$/.test(text));
    await shot(page, "4-alpaca-live");
    const { page: dashboard } = await openPage(browser, `${run.url.replace(/\/$/, "")}/dashboard/alpaca-test`);
    await dashboard.waitForSelector("text=FAKEPACA");
    await dashboard.waitForSelector("canvas");
    await dashboard.waitForTimeout(5000);
    await shot(dashboard, "4-alpaca-dashboard");
    const flows = JSON.stringify(await (await fetch(`${run.url.replace(/\/$/, "")}/flows`)).json());
    assert.doesNotMatch(flows, /test-secret/);
    assert.deepEqual(problems, []);
    assert.doesNotMatch(run.output(), /test-secret/);
  });
});
