import assert from "node:assert/strict";
import type { Browser, Page } from "playwright-core";
import { Editor, complaints, launch, openPage, reasonAt, shot } from "../support/browser";
import { definition, nodeTypes } from "../support/flows";
import { startNodeRed } from "../support/node-red";
import { killAll, root } from "../support/start";

const ids = new Map(nodeTypes().map((type, i) => [type, `00000000000000${(i + 16).toString(16)}`]));
const isConfig = (type: string): boolean => definition(type).category === "config";

/** A flow that is switched off, with a node of every type as it is taken from the palette, and each kind of configuration. */
function everyNode(): object[] {
  const tab = "0000000000000001";
  return [
    { id: tab, type: "tab", label: "Alle Nodes", disabled: true, info: "" },
    ...[...ids].map(([type, id], i) => {
      const { defaults, outputs = 0 } = definition(type);
      const settings = Object.fromEntries(Object.entries(defaults).map(([name, { value, type: kind }]) => [name, kind && ids.has(kind) ? ids.get(kind) : value]));
      return isConfig(type) ? { id, type, ...settings } : { id, type, z: tab, x: 200, y: 60 * (i + 1), wires: Array.from({ length: outputs }, () => []), ...settings };
    }),
  ];
}

/** Opens the dialog of a node or configuration, closes it by its Cancel button. */
async function withDialog(page: Page, type: string, look: () => Promise<void>): Promise<void> {
  const cancel = isConfig(type) ? "#node-config-dialog-cancel" : "#node-dialog-cancel";
  await page.evaluate(([id, t, config]) => {
    const { RED } = window as unknown as { RED: { nodes: { node(id: string): object }; editor: { edit(node: object): void; editConfig(name: string, type: string, id: string): void } } };
    if (config) RED.editor.editConfig("", t, id); else RED.editor.edit(RED.nodes.node(id));
  }, [ids.get(type)!, type, isConfig(type)] as const);
  await page.waitForSelector(`${cancel}:visible`);
  // The tray slides in.
  await page.waitForFunction((button) => { const box = document.querySelector(button)!.getBoundingClientRect(); return box.right <= window.innerWidth && box.left > 0; }, cancel);
  await look();
  await page.click(cancel);
  await page.waitForSelector(cancel, { state: "detached" });
}

/** Chooses in turn everything that the dialog's lists have, and says where a text is a key, or longer than its place. */
function misfits(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const { $ } = window as unknown as { $: (e: Element) => { val(v: string): { trigger(e: string): void } } };
    const form = [...document.querySelectorAll<HTMLElement>("#dialog-form, #node-config-dialog-edit-form")].filter((f) => f.offsetParent !== null).at(-1)!;
    const canvas = document.createElement("canvas").getContext("2d")!;
    const width = (text: string, like: Element): number => { canvas.font = getComputedStyle(like).font; return canvas.measureText(text).width; };
    const inner = (e: HTMLElement): number => e.clientWidth - parseFloat(getComputedStyle(e).paddingLeft) - parseFloat(getComputedStyle(e).paddingRight);
    const visible = (e: Element): boolean => (e as HTMLElement).offsetParent !== null && !e.closest(".monaco-editor");
    const found = new Set<string>();
    const look = (): void => {
      for (const e of form.querySelectorAll<HTMLElement>("*")) {
        const own = [...e.childNodes].filter((n) => n.nodeType === Node.TEXT_NODE).map((n) => n.textContent!.trim()).filter(Boolean);
        for (const text of [...own, ...["placeholder", "title", "aria-label"].map((name) => e.getAttribute(name) ?? "")]) {
          if (/(^|[\s:])[a-z]+(-[a-z]+)+\.(label|hint|tip|placeholder|button|about|field|panel|output|reason|forecast)\.|(^|\s)ticklake\.[a-z]+\.[a-z]|__\w+__/i.test(text)) found.add(`a key: ${text}`);
        }
        if (!visible(e)) continue;
        if (e instanceof HTMLInputElement && e.placeholder && width(e.placeholder, e) > inner(e) + 1) found.add(`placeholder too long: ${e.placeholder}`);
        // Node-RED's own texts, and lists of which only the heading is ever shown closed, may be longer.
        if (e instanceof HTMLSelectElement && !e.size && !/-template$/.test(e.id)) for (const o of e.options) if (o.value !== "_ADD_" && width(o.text, e) > e.clientWidth - 28) found.add(`choice too long: ${o.text}`);
        if (e.matches(".form-row > input[type=text] ~ span, .form-row > select ~ span") && own.length > 0 && e.getClientRects().length > 1) found.add(`hint on two lines: ${e.innerText}`);
        if (e.matches("button") && e.scrollWidth > e.clientWidth + 1) found.add(`button too long: ${e.innerText}`);
      }
      if (form.scrollWidth > form.clientWidth + 1) found.add(`the dialog is wider than its place by ${form.scrollWidth - form.clientWidth} px`);
    };
    look();
    for (const select of form.querySelectorAll("select")) {
      if (!visible(select) || select.closest(".red-ui-typedInput-container") || /-template$/.test(select.id)) continue;
      const before = select.value;
      for (const option of [...select.options]) { $(select).val(option.value).trigger("change"); look(); }
      $(select).val(before).trigger("change");
    }
    return [...found];
  });
}

describe("in the browser, in German", function () {
  this.timeout(300_000);
  let browser: Browser;
  before(async () => { browser = await launch(); });
  after(() => browser?.close());
  afterEach(killAll);

  it("every dialog is German throughout and nothing in it is longer than its place; reasons, palette and help are, too", async () => {
    const red = await startNodeRed({ version: "4", flow: everyNode(), nodesDir: root, settings: { disableEditor: false } });
    const { page, problems } = await openPage(browser, red.url, "de");
    const editor = new Editor(page);
    await editor.ready();

    const labels = new Map<string, string>();
    const wrong: Record<string, string[]> = {};
    for (const type of nodeTypes()) {
      await withDialog(page, type, async () => {
        await shot(page, `de-dialog-${type}`);
        labels.set(type, await page.locator("#dialog-form label:visible, #node-config-dialog-edit-form label:visible").allInnerTexts().then((all) => all.join(" | ")));
        const found = [...await complaints(page, type), ...await misfits(page)];
        if (found.length > 0) wrong[type] = found;
      });
    }
    assert.deepEqual(wrong, {});
    assert.match(labels.get("csv-replay")!, /Datei.*Zeitzone.*Abfolge/s);
    assert.match(labels.get("iceberg-out")!, /Tabelle.*Commit alle.*Wartung/s);
    assert.match(labels.get("kafka-broker")!, /Client-ID/);
    assert.match(labels.get("alpaca-in")!, /Symbole.*Bei Fehler.*Zeitlimit/s);

    // A reason of a node's own, and one that all nodes share with the number in it.
    for (const [type, field, value, reason] of [["alpaca-in", "channels", "prices", /„prices“ ist kein Kanal/], ["synthetic-gen", "batchSize", "0", /Der kleinste zulässige Wert ist 1\./]] as const) {
      await withDialog(page, type, async () => {
        await page.fill(`#node-input-${field}`, value);
        await page.locator(`#node-input-${field}`).dispatchEvent("change");
        assert.match(await reasonAt(page, field), reason);
      });
    }
    await withDialog(page, "iceberg-out", async () => {
      await page.fill("#node-iceberg-out-rate", "1000");
      assert.match(await page.innerText("#node-iceberg-out-forecast"), /Ein Commit alle 10 s bei 1\.000 Zeilen\/s ergibt 8\.640 Dateien je Tag/);
    });

    await page.evaluate(() => (window as unknown as { RED: { sidebar: { help: { show(type: string): void } } } }).RED.sidebar.help.show("kafka-in"));
    await page.waitForSelector(".red-ui-help h3:has-text('Eigenschaften')");
    assert.match(await page.locator(".red-ui-help:has(h3:has-text('Eigenschaften'))").first().innerText(), /Liest Kafka-Topics als Mitglied einer Consumer Group/);
    await shot(page, "de-help");
    assert.deepEqual(problems, []);
    await page.close();
    assert.equal(await red.stop(), 0);
  });
});
