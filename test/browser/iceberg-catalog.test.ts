import assert from "node:assert/strict";
import type { Browser } from "playwright-core";
import { Editor, complaints, launch, openPage, shot } from "../support/browser";
import { startNodeRed } from "../support/node-red";
import { ScriptedS3 } from "../support/scripted-s3";
import { root } from "../support/start";

describe("the catalog's dialog in the browser", function () {
  this.timeout(120_000);
  let browser: Browser;
  let store: ScriptedS3;
  before(async () => { browser = await launch(); store = await ScriptedS3.start(); });
  after(async () => { await browser?.close(); await store?.stop(); });

  it("shows what belongs to a folder, to S3 and to a server; tests typed and saved keys; keeps secrets out of the flow", async () => {
    const red = await startNodeRed({
      nodesDir: root, settings: { disableEditor: false },
      flow: [
        { id: "tab", type: "tab", label: "Lake" },
        { id: "cat", type: "iceberg-catalog", name: "", catalogName: "local", catalogType: "hadoop", warehouse: "./warehouse" },
        { id: "out", type: "iceberg-out", z: "tab", x: 300, y: 100, catalog: "cat", table: "db.t", createTable: true, schema: "trades", partitionBy: "", commitInterval: "10", maxRows: "250000", maxBytes: "134217728", codec: "snappy", exactlyOnce: true, writerId: "", evolve: "no", maintenance: false, wires: [[], []] },
      ],
    });
    try {
      const { page, problems } = await openPage(browser, red.url);
      const editor = new Editor(page);
      await editor.ready();
      const open = async (): Promise<void> => { await editor.openDialog("out"); await editor.openConfig("catalog"); };
      const field = (name: string): string => `#node-config-input-${name}`;
      const shown = async (...names: string[]): Promise<boolean[]> => Promise.all(names.map((name) => page.isVisible(field(name))));
      const result = async (): Promise<string> => {
        await page.click("#iceberg-catalog-test");
        await page.waitForFunction(() => /^[✔✘]/.test(document.querySelector("#iceberg-catalog-test-result")?.textContent ?? ""));
        return page.innerText("#iceberg-catalog-test-result");
      };

      await open();
      assert.deepEqual(await shown("s3Endpoint", "accessKeyId", "uri", "token"), [false, false, false, false]);
      await shot(page, "catalog-folder");
      assert.match(await result(), /✔ .*not there yet|✔ .*no table yet/);

      await page.fill(field("warehouse"), "s3a://b/");
      assert.deepEqual(await shown("s3Endpoint", "accessKeyId", "secretAccessKey", "uri"), [true, true, true, false]);
      // A catalog that was saved before there was S3.
      assert.equal(await page.isChecked(field("s3PathStyle")), true);
      await page.fill(field("s3Endpoint"), store.endpoint);
      await page.fill(field("accessKeyId"), "mine");
      await page.fill(field("secretAccessKey"), "hush");
      assert.match(await result(), /✔ s3a:\/\/b: no table yet/);
      assert.match(String(store.requests.at(-1)!.headers.authorization), /Credential=mine\//);
      assert.deepEqual(await complaints(page, "iceberg-catalog"), []);
      await shot(page, "catalog-s3");
      store.plan = () => ({ status: 403, code: "SignatureDoesNotMatch" });
      assert.match(await result(), /✘ .*secret key does not belong to the access key/);
      await shot(page, "catalog-s3-refused");
      store.plan = () => undefined;

      await page.selectOption(field("catalogType"), "rest");
      assert.deepEqual(await shown("uri", "s3Endpoint", "token", "clientCredential"), [true, true, false, false]);
      for (const [auth, names] of [["token", [true, false]], ["oauth2", [false, true]], ["sigv4", [false, false]]] as const) {
        await page.selectOption("#iceberg-catalog-auth", auth);
        assert.deepEqual(await shown("token", "clientCredential"), [...names], auth);
        if (auth === "oauth2") { assert.deepEqual(await complaints(page, "iceberg-catalog"), []); await shot(page, "catalog-rest"); }
      }
      await page.selectOption(field("catalogType"), "hadoop");
      await editor.closeConfig();
      await editor.closeDialog();
      await editor.deploy();

      const flow = JSON.stringify(await red.adminGet("/flows"));
      assert.ok(flow.includes('"warehouse":"s3a://b/"') && !flow.includes("hush"));
      await open();
      await shot(page, "catalog-saved");
      assert.equal(await page.inputValue(field("secretAccessKey")), "__PWRD__");
      assert.match(await result(), /✔ s3a:\/\/b: no table yet/);
      await page.fill(field("s3Endpoint"), "http://127.0.0.1:1");
      assert.match(await result(), /✘ .*saved secrets are not sent to other addresses/);
      await editor.closeConfig("cancel");
      await editor.closeDialog("cancel");
      assert.deepEqual(problems, []);
    } finally {
      await red.stop();
    }
  });
});
