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

/** The code editor throws on its own when a text becomes shorter while it still looks at the old one ("Illegal value for lineNumber"): nobody else is in the stack then. */
function isMonacosOwn({ message, stack = "" }: Error): boolean {
  const frames = stack.split("\n").filter((line) => /^\s+at /.test(line));
  return /^Illegal value for lineNumber/.test(message) && frames.length > 0 && frames.every((line) => line.includes("/vendor/monaco/"));
}

/** A page that remembers what went wrong in it, and looks up nothing outside this machine; with a language, as the user settings of the editor have it. */
export async function openPage(browser: Browser, url: string, language?: string): Promise<{ page: Page; problems: string[] }> {
  const page = await browser.newPage({ viewport: { width: 1600, height: 1000 } });
  page.setDefaultTimeout(20_000);
  // tsx names inner functions by a helper that the page does not have.
  await page.addInitScript("globalThis.__name = (f) => f;");
  if (language) await page.addInitScript((l) => localStorage.setItem("editor-language", l), language);
  const problems: string[] = [];
  page.on("pageerror", (error) => { if (!isMonacosOwn(error)) problems.push(error.message); });
  page.on("console", (message) => {
    if (message.type() !== "error" || /ERR_FAILED/.test(message.text())) return;
    // A dialog's look-up in a catalog that is not deployed yet, or of a table that is not there: the dialog says so in words.
    if (/\b40[04]\b/.test(message.text()) && message.location().url.includes("/ticklake/")) return;
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
    // A label of a row stands on one line, in front of its field.
    for (const label of form.querySelectorAll(".form-row > label")) if (visible(label) && (label as HTMLElement).style.width === "" && label.getBoundingClientRect().height > 30) found.push(`label of two lines: ${(label.textContent ?? "").trim()}`);
    for (const input of form.querySelectorAll("input:not([type=hidden]), select, textarea")) {
      const id = input.id;
      if (!visible(input) || id.startsWith("red-ui-trap") || /red-ui-typedInput|monaco|inputarea|red-ui-searchBox/.test(input.className) || input.closest(".monaco-editor, .red-ui-typedInput-container")) continue;
      if (!id || (!form.querySelector(`label[for="${id}"]`) && !input.getAttribute("aria-label"))) found.push(`no label for ${id || input.outerHTML.slice(0, 80)}`);
    }
    return found;
  }, type);
}

/** The editor in the dark, or in the light again: Node-RED 5 brings such a theme, in Node-RED 4 its own variables are set as themes for it do. */
export function darken(page: Page, dark = true): Promise<unknown> {
  return page.evaluate((on) => {
    if (!on) {
      document.documentElement.classList.remove("nr-theme-dark");
      document.getElementById("test-dark-theme")?.remove();
      return;
    }
    const background = (): string => getComputedStyle(document.documentElement).getPropertyValue("--red-ui-primary-background");
    const before = background();
    document.documentElement.classList.add("nr-theme-dark");
    if (background() !== before) return;
    const style = document.createElement("style");
    const colours = { "primary-background": "#15151a", "secondary-background": "#1b1b23", "primary-text-color": "#f0f0f0", "secondary-text-color": "#aaa", "form-background": "#1b1b23", "form-text-color": "#f0f0f0",
      "form-input-background": "#0e0e12", "form-input-border-color": "#2a2a2c", "form-button-background": "#22222c", "form-tips-background": "#120c00", "form-placeholder-color": "#8a8a8a", "text-color-code": "#00d4c8", "text-color-link": "#e84a4a" };
    style.id = "test-dark-theme";
    style.textContent = `:root { color-scheme: dark; ${Object.entries(colours).map(([name, value]) => `--red-ui-${name}: ${value};`).join(" ")} }`;
    document.head.append(style);
  }, dark);
}

/** The texts of the open dialog that are hard to read: their contrast with what lies behind them is below 4.5 (WCAG 2, AA). The editor's own buttons are its own affair. */
export function faint(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    type Colour = [number, number, number, number];
    const parse = (text: string): Colour => { const n = text.match(/[\d.]+/g)?.map(Number) ?? []; return [n[0] ?? 0, n[1] ?? 0, n[2] ?? 0, n[3] ?? 1]; };
    const over = (a: Colour, b: Colour): Colour => [0, 1, 2].map((i) => a[i]! * a[3] + b[i]! * (1 - a[3])).concat(1) as Colour;
    const light = (c: Colour): number => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => { const v = c[i]! / 255; return sum + weight * (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); }, 0);
    const form = [...document.querySelectorAll("#dialog-form, #node-config-dialog-edit-form")].filter((f) => (f as HTMLElement).offsetParent !== null).at(-1)!;
    const found: string[] = [];
    for (const e of form.querySelectorAll("*")) {
      const own = e.matches("input, select, textarea") ? (e as HTMLInputElement).value : [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.textContent).join("").trim();
      if (!own || (e as HTMLElement).offsetParent === null || e.closest(".monaco-editor, .ace_editor, :disabled") || e.matches("option, [type=checkbox], [type=hidden]") || e.closest(".red-ui-button:not(.red-ui-button-small)")) continue;
      let behind: Colour = [255, 255, 255, 1], opacity = 1;
      const chain: Element[] = [];
      for (let up: Element | null = e; up; up = up.parentElement) { chain.unshift(up); opacity *= Number(getComputedStyle(up).opacity); }
      for (const up of chain) behind = over(parse(getComputedStyle(up).backgroundColor), behind);
      const colour = parse(getComputedStyle(e).color);
      const front = over([colour[0], colour[1], colour[2], colour[3] * opacity], behind);
      const [a, b] = [light(front), light(behind)];
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (contrast < 4.5) found.push(`${own.slice(0, 60)}: ${contrast.toFixed(1)}`);
    }
    return found;
  });
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
