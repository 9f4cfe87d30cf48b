import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium, type Browser, type Page } from "playwright-core";
import { root } from "./start";

/** Looked at by people; git-ignored. */
const SCREENSHOTS = join(root, ".screenshots");

/** Chromium of this machine. */
export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: process.env.TICKLAKE_CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
}

/** A page that remembers what went wrong in it, and looks up nothing outside this machine. */
export async function openPage(browser: Browser, url: string): Promise<{ page: Page; problems: string[] }> {
  const page = await browser.newPage({ viewport: { width: 1600, height: 1000 } });
  page.setDefaultTimeout(20_000);
  // tsx names inner functions by a helper that the page does not have.
  await page.addInitScript("globalThis.__name = (f) => f;");
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => {
    if (message.type() !== "error" || /ERR_FAILED/.test(message.text())) return;
    // A dialog's look-up in a catalog that is not deployed yet: the dialog says so in words.
    if (/\b400\b/.test(message.text()) && message.location().url.includes("/ticklake/")) return;
    problems.push(`${message.text()} ${message.location().url}`);
  });
  await page.route((to) => !["127.0.0.1", "localhost"].includes(to.hostname), (route) => route.abort());
  await page.goto(url);
  return { page, problems };
}

export async function shot(page: Page, name: string): Promise<void> {
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
}

/** What is wrong with the open dialog as a form: labels without text, inputs without a label. */
export function complaints(page: Page, type: string): Promise<string[]> {
  return page.evaluate((t) => {
    const found: string[] = [];
    const form = [...document.querySelectorAll("#dialog-form, #node-config-dialog-edit-form")].filter((f) => (f as HTMLElement).offsetParent !== null).at(-1)!;
    const visible = (e: Element): boolean => (e as HTMLElement).offsetParent !== null;
    for (const e of form.querySelectorAll("label, span[data-i18n], option, button, .form-tips")) {
      const text = (e.textContent ?? "").trim();
      if (text.startsWith(`${t}.`)) found.push(`not translated: ${text}`);
    }
    for (const label of form.querySelectorAll("label")) if (visible(label) && (label.textContent ?? "").trim() === "") found.push(`label without text for ${label.htmlFor}`);
    for (const input of form.querySelectorAll("input:not([type=hidden]), select, textarea")) {
      const id = input.id;
      if (!visible(input) || id.startsWith("red-ui-trap") || /red-ui-typedInput|monaco|inputarea|red-ui-searchBox/.test(input.className) || input.closest(".monaco-editor, .red-ui-typedInput-container")) continue;
      if (!id || (!form.querySelector(`label[for="${id}"]`) && !input.getAttribute("aria-label"))) found.push(`no label for ${id || input.outerHTML.slice(0, 80)}`);
    }
    return found;
  }, type);
}

/** The reason that the editor shows beside a field that is wrong. */
export async function reasonAt(page: Page, field: string): Promise<string> {
  const input = page.locator(`#node-input-${field}`);
  const typed = page.locator(`#node-input-${field} + .red-ui-typedInput-container`);
  const shown = await typed.count() > 0 ? typed : input;
  await page.mouse.move(5, 5);
  await shown.hover();
  await page.waitForSelector(".red-ui-popover:visible");
  return (await page.locator(".red-ui-popover:visible").allInnerTexts()).join(" ");
}

/** Node-RED's editor as its user handles it. */
export class Editor {
  constructor(readonly page: Page) {}

  async ready(): Promise<void> {
    await this.page.waitForSelector("#red-ui-header-button-deploy");
    await this.page.waitForSelector("#red-ui-loading-progress", { state: "hidden" });
    await this.page.waitForSelector(".red-ui-palette-node:visible");
  }

  /** Menu > Import > Examples > the package > folder > flow > Import. */
  async importExample(module: string, folder: string, flow: string): Promise<void> {
    const { page } = this;
    await page.click("#red-ui-header-button-sidemenu");
    await page.click("#menu-item-import");
    await page.click(".red-ui-clipboard-dialog-tabs a:has-text('Examples'), .red-ui-clipboard-dialog-tabs-container a:has-text('Examples'), #red-ui-clipboard-dialog-import-tabs a:has-text('Examples')");
    for (const label of [module, folder]) await page.click(`.red-ui-treeList-label:visible:has-text("${label}")`);
    await page.click(`.red-ui-treeList-label:visible:has-text("${flow}")`);
    await page.click("#red-ui-clipboard-dialog-ok");
    await page.waitForSelector("#red-ui-clipboard-dialog-ok", { state: "hidden" });
  }

  /** Ids of the nodes of a type in the workspace. */
  idsOf(type: string): Promise<string[]> {
    return this.page.evaluate((t) => {
      const { RED } = window as unknown as { RED: { nodes: { filterNodes(f: object): { id: string }[]; eachConfig(f: (n: { id: string; type: string }) => void): void } } };
      const ids = RED.nodes.filterNodes({ type: t }).map((n) => n.id);
      RED.nodes.eachConfig((n) => { if (n.type === t) ids.push(n.id); });
      return ids;
    }, type);
  }

  /** Opens the dialog of a node by a double-click on it. */
  async openDialog(id: string): Promise<void> {
    const { page } = this;
    await page.evaluate((node) => (window as unknown as { RED: { view: { reveal(id: string): void } } }).RED.view.reveal(node), id);
    await page.waitForTimeout(300);
    await page.dblclick(`[id="${id}"] rect.red-ui-flow-node`);
    await page.waitForSelector("#node-dialog-ok:visible");
    await page.waitForTimeout(300);
  }

  async closeDialog(how: "ok" | "cancel" = "ok"): Promise<void> {
    await this.page.click(`#node-dialog-${how}:visible`);
    await this.page.waitForSelector(`#node-dialog-${how}`, { state: "detached" });
  }

  async deploy(): Promise<void> {
    await this.page.click("#red-ui-header-button-deploy");
    await this.page.waitForSelector("#red-ui-header-button-deploy.disabled");
  }

  /** Opens the config node of a dialog's field, such as `broker`. */
  async openConfig(field: string): Promise<void> {
    await this.page.click(`#node-input-btn-${field}-edit, #node-input-lookup-${field}`);
    await this.page.waitForSelector("#node-config-dialog-ok:visible");
    await this.page.waitForTimeout(500);
  }

  async closeConfig(how: "ok" | "cancel" = "ok"): Promise<void> {
    await this.page.click(`#node-config-dialog-${how}`);
    await this.page.waitForSelector(`#node-config-dialog-${how}`, { state: "detached" });
  }

  /** Whether a node carries the red triangle of a setting that is wrong. */
  async isInvalid(id: string): Promise<boolean> {
    return await this.page.locator(`[id="${id}"] .red-ui-flow-node-error:visible`).count() > 0;
  }

  async status(id: string): Promise<string> {
    return await this.page.locator(`[id="${id}"] .red-ui-flow-node-status-label`).textContent() ?? "";
  }
}
