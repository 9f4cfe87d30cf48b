// `npm run screenshots`: the pictures of the README and the docs (docs/images), taken of the quick start while it runs: a Node-RED of its own with a user
// directory of its own, synthetic and recorded trades, headless Chromium (TICKLAKE_CHROMIUM, /usr/bin/chromium). Look at them before they are committed.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, "docs", "images");
/** A picture in a repository stays for ever. */
const MOST_BYTES = 150_000;

/** Starts the quick start in `userDir` and resolves with its address as soon as it runs. */
function startQuickStart(userDir) {
  const child = spawn(process.execPath, [join(root, "scripts", "start.mjs")], { cwd: root, env: { ...process.env, PORT: "0", TICKLAKE_USER_DIR: userDir }, stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((done) => child.on("close", done));
  const url = new Promise((done, fail) => {
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (data) => {
      text += data;
      if (text.includes("Ctrl-C stops it")) done(/http:\/\/[^/\s]+/.exec(text)[0]);
    });
    void ended.then(() => fail(new Error(`Node-RED ended:\n${text}`)));
  });
  return { url, stop: () => { child.kill("SIGTERM"); return ended; } };
}

async function openPage(browser, url, width, height) {
  const page = await browser.newPage({ viewport: { width, height } });
  page.setDefaultTimeout(60_000);
  // Nothing outside this machine is looked up.
  await page.route((to) => !["127.0.0.1", "localhost"].includes(to.hostname), (route) => route.abort());
  await page.goto(url);
  return page;
}

/** @param target a page or an element */
async function take(target, name) {
  const path = join(folder, `${name}.png`);
  await target.screenshot({ path });
  const { size } = statSync(path);
  if (size > MOST_BYTES) throw new Error(`${name}.png has ${size} bytes, more than ${MOST_BYTES}: make it smaller.`);
  console.log(`${relative(root, path)}  ${Math.ceil(size / 1000)} kB`);
}

/** The first node of a type: its id. */
const nodeOf = (page, type) => page.evaluate((t) => window.RED.nodes.filterNodes({ type: t })[0].id, type);

async function openDialog(page, type) {
  const id = await nodeOf(page, type);
  await page.evaluate((node) => window.RED.view.reveal(node), id);
  await page.waitForTimeout(500);
  await page.dblclick(`[id="${id}"] rect.red-ui-flow-node`);
  await page.waitForSelector("#node-dialog-ok:visible");
  await page.waitForTimeout(1500);
}

async function closeDialog(page) {
  await page.click("#node-dialog-cancel:visible");
  await page.waitForSelector("#node-dialog-cancel", { state: "detached" });
}

async function editor(browser, url) {
  const page = await openPage(browser, url, 1280, 720);
  await page.waitForSelector(".red-ui-palette-node:visible");
  await page.waitForFunction(() => window.RED.nodes.filterNodes({ type: "iceberg-out" }).length > 0);
  const sink = await nodeOf(page, "iceberg-out");
  // The whole flow, without the sidebar.
  await page.evaluate(() => {
    for (const action of ["core:toggle-sidebar", "core:zoom-out", "core:zoom-out", "core:zoom-out"]) window.RED.actions.invoke(action);
  });
  await page.waitForFunction((id) => /last commit/.test(document.getElementById(id)?.textContent ?? ""), sink);
  await page.waitForTimeout(1500);
  await take(page, "editor");

  await page.setViewportSize({ width: 1280, height: 900 });
  await openDialog(page, "iceberg-out");
  await page.click("#node-input-table-lookup");
  await page.waitForSelector("#node-input-table-choices button");
  await take(page.locator(".red-ui-tray").last(), "iceberg-out");
  await closeDialog(page);

  await openDialog(page, "iceberg-query");
  await page.click("#iceberg-query-run");
  await page.waitForFunction(() => /^[✔✘]/.test(document.querySelector("#iceberg-query-run-status")?.textContent ?? ""));
  await take(page.locator(".red-ui-tray").last(), "iceberg-query");
  await page.close();
}

async function dashboard(browser, url) {
  const page = await openPage(browser, `${url}/dashboard/trades`, 1280, 760);
  await page.waitForSelector(".nrdb-ui-table td:has-text('TSLA')");
  // A chart needs some history.
  await page.waitForTimeout(20_000);
  await take(page, "dashboard");
  await page.close();
}

const userDir = join(mkdtempSync(join(tmpdir(), "ticklake-screenshots-")), "user");
mkdirSync(folder, { recursive: true });
const red = startQuickStart(userDir);
const browser = await chromium.launch({ executablePath: process.env.TICKLAKE_CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
try {
  const url = await red.url;
  await editor(browser, url);
  await dashboard(browser, url);
} finally {
  await browser.close();
  await red.stop();
  rmSync(dirname(userDir), { recursive: true, force: true });
}
