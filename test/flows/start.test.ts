import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { killAll, root, runStart, start, temporaryFolder, until } from "../support/start";

const SHIPPED = join(root, "flows", "1 Quick start", "Trades into an Iceberg table.json");
/** A flow that starts at once: what is tested here is the start script. */
const TINY = JSON.stringify([{ id: "0000000000000001", type: "tab", label: "Mine", disabled: false, info: "" }]);

describe("npm start", function () {
  this.timeout(60_000);
  afterEach(killAll);

  /** A user directory as an earlier start left it, with a flow that its user edited. */
  function usedFolder(flow = TINY): string {
    const userDir = join(temporaryFolder("start"), "user");
    mkdirSync(userDir);
    writeFileSync(join(userDir, "flows.json"), flow);
    writeFileSync(join(userDir, ".ticklake.json"), JSON.stringify({ shipped: "an older one" }));
    return userDir;
  }

  it("prints the address of the editor, which answers, and ends with 0 on SIGINT", async () => {
    const run = await start({ userDir: usedFolder() });
    assert.match(run.output(), /Editor +http:\/\/127\.0\.0\.1:\d+\//);
    const page = await fetch(`${run.url}/`);
    assert.equal(page.status, 200);
    assert.match(await page.text(), /<title>ticklake<\/title>/);
    assert.equal(await run.stop("SIGINT"), 0);
    assert.match(run.output(), /Stopped\./);
  });

  it("a signal to npm itself reaches Node-RED: npm waits for it and ends with 0", async () => {
    const run = await start({ userDir: usedFolder(), npm: true });
    assert.equal(await run.stop("SIGTERM"), 0);
    assert.match(run.output(), /Stopping.*Stopped\./s);
  });

  it("ends when npm is killed, instead of living on unseen with the port", async () => {
    const run = await start({ userDir: usedFolder(), npm: true });
    void run.stop("SIGKILL");
    await until("the port to be free", () => fetch(run.url).then(() => "served", () => "free"), (state) => state === "free");
  });

  it("keeps an edited flow when the shipped one has changed, and says so", async () => {
    const userDir = usedFolder();
    const run = await start({ userDir });
    assert.match(run.output(), /your edited copy was kept/);
    assert.equal(await run.stop(), 0);
    assert.equal(readFileSync(join(userDir, "flows.json"), "utf8"), TINY);
  });

  it("serves neither editor nor admin API when headless", async () => {
    const run = await start({ userDir: usedFolder(), args: ["--headless"] });
    assert.doesNotMatch(run.output(), /Editor/);
    for (const path of ["/", "/flows", "/settings"]) assert.equal((await fetch(run.url + path)).status, 404, path);
    assert.equal(await run.stop(), 0);
  });

  it("names a port that is taken", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((done) => server.once("listening", done));
    const { port } = server.address() as AddressInfo;
    const { code, output } = await runStart({ userDir: usedFolder(), env: { PORT: String(port) } });
    server.close();
    assert.equal(code, 1);
    assert.match(output, new RegExp(`Port ${port} is taken .*PORT=${port + 1} npm start`));
  });

  it("refuses a second process on the same user directory, and says how to stop the first", async () => {
    const userDir = usedFolder();
    const run = await start({ userDir });
    const second = await runStart({ userDir });
    assert.equal(second.code, 1);
    assert.match(second.output, /runs already .*\(process \d+, http.*kill \d+/s);
    assert.equal(await run.stop(), 0);
  });

  it("--reset removes what an earlier start left, and nothing that it did not make", async () => {
    const userDir = usedFolder();
    const leftover = join(userDir, "warehouse", "leftover");
    mkdirSync(leftover, { recursive: true });
    const run = await start({ userDir, args: ["--reset"] });
    assert.equal(existsSync(leftover), false);
    assert.equal(readFileSync(join(userDir, "flows.json"), "utf8"), readFileSync(SHIPPED, "utf8"));
    await run.stop();

    const foreign = temporaryFolder("foreign");
    writeFileSync(join(foreign, "thesis.txt"), "years of work");
    const refused = await runStart({ userDir: foreign, args: ["--reset"] });
    assert.equal(refused.code, 1);
    assert.match(refused.output, /leaves it alone/);
    assert.ok(existsSync(join(foreign, "thesis.txt")));
  });

  it("warns when the editor is opened to the network without a password", async () => {
    const run = await start({ userDir: usedFolder(), env: { HOST: "0.0.0.0" } });
    assert.match(run.output(), /whoever reaches it can run programs/);
    await run.stop();
  });

  it("names an option that it does not know", async () => {
    const { code, output } = await runStart({ userDir: usedFolder(), args: ["--rest"] });
    assert.equal(code, 1);
    assert.match(output, /--rest.*--reset/s);
  });

  it("takes settings for flows from config.yaml, and starts nothing with one that is wrong", async () => {
    const folder = temporaryFolder("start-config");
    const file = join(folder, "settings.yaml");
    const flow = [
      { id: "tab", type: "tab", label: "Settings" },
      { id: "once", type: "inject", z: "tab", name: "", props: [{ p: "payload" }], payload: "SOURCE_TOPIC", payloadType: "env", once: true, onceDelay: 0.1, repeat: "", crontab: "", topic: "", wires: [["print"]], x: 1, y: 1 },
      { id: "print", type: "function", z: "tab", name: "", outputs: 0, wires: [], libs: [], x: 1, y: 1, func: "console.log(`topic ${msg.payload}, brokers ${env.get('KAFKA_BROKERS')}`);" },
    ];
    writeFileSync(file, "kafka:\n  topic: from_file\n  bootstrap_servers: [file:1]\n");
    const run = await start({ userDir: usedFolder(JSON.stringify(flow)), args: ["--config", file], env: { KAFKA_BROKERS: "env:1" } });
    assert.match(run.output(), /^Settings from .*settings\.yaml; the environment or the command line says otherwise of KAFKA_BROKERS\.$/m);
    await until("the flow's variables", run.output, (output) => output.includes("topic from_file, brokers env:1"));
    assert.equal(await run.stop(), 0);

    writeFileSync(file, "kafka:\n  topik: t\n");
    const { code, output } = await runStart({ userDir: usedFolder(), args: [`--config=${file}`] });
    assert.equal(code, 1);
    assert.match(output, /settings\.yaml:2:3: kafka\.topik is no setting\. Did you mean kafka\.topic\?\n$/);
    assert.doesNotMatch(output, / {4}at /);
    assert.match((await runStart({ userDir: usedFolder(), args: ["--config"] })).output, /--config takes the name of a file/);
  });
});
