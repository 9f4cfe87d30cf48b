import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { killAll, runStart, start, temporaryFolder, until } from "../support/start";

type Entry = Record<string, unknown>;

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736", SPAN = "00f067aa0ba902b7";

/** One message: a function prints and warns in several lines, and iceberg-out refuses what it is given. */
const FLOW = [
  { id: "tab", type: "tab", label: "Log" },
  { id: "once", type: "inject", z: "tab", name: "", props: [], once: true, onceDelay: 0.1, repeat: "", crontab: "", topic: "", wires: [["print"]], x: 1, y: 1 },
  {
    id: "print", type: "function", z: "tab", name: "Printer", outputs: 1, wires: [["sink"]], libs: [], x: 1, y: 1,
    func: `console.log("printed\\nin two lines");\nnode.warn("warned\\nin two lines");\nreturn { payload: 5, traceparent: "00-${TRACE}-${SPAN}-01" };`,
  },
  { id: "sink", type: "iceberg-out", z: "tab", name: "Lake", catalog: "catalog", table: "db.t", wires: [[], []], x: 1, y: 1 },
  { id: "catalog", type: "iceberg-catalog", name: "local", catalogType: "hadoop", warehouse: "./warehouse" },
];

describe("LOG_FORMAT, on a real process", function () {
  this.timeout(180_000);
  afterEach(killAll);

  /** Starts with a format, waits for the sink's error, stops; every line that was printed. */
  async function lines(format: string): Promise<string[]> {
    const userDir = join(temporaryFolder(`log-${format}`), "user");
    mkdirSync(userDir);
    writeFileSync(join(userDir, "flows.json"), JSON.stringify(FLOW));
    writeFileSync(join(userDir, ".ticklake.json"), "{}");
    const run = await start({ userDir, args: ["--headless"], env: { LOG_FORMAT: format, TICKLAKE_LOG: "info" } });
    await until("the error", () => run.output(), (output) => output.includes("msg.payload"));
    assert.equal(await run.stop(), 0);
    return run.output().split("\n").filter((line) => line !== "");
  }

  it("gcp: every line is an entry of Google Cloud Logging, also what others print; an error belongs to the trace of its message", async () => {
    const entries = (await lines("gcp")).map((line) => JSON.parse(line) as Entry);
    for (const entry of entries) {
      assert.match(String(entry["severity"]), /^(INFO|WARNING|ERROR)$/, JSON.stringify(entry));
      assert.equal(typeof entry["message"], "string");
      assert.equal(new Date(entry["time"] as string).toISOString(), entry["time"]);
    }
    const one = (message: RegExp): Entry => {
      const found = entries.filter((entry) => message.test(entry["message"] as string));
      assert.equal(found.length, 1, `${message}: ${JSON.stringify(found)}`);
      return found[0]!;
    };
    assert.equal(one(/^printed\nin two lines$/)["severity"], "INFO");
    const warned = one(/^warned\nin two lines$/);
    assert.equal(warned["severity"], "WARNING");
    assert.deepEqual(warned["logging.googleapis.com/labels"], { node: "print", type: "function", name: "Printer", flow: "tab" });
    const refused = one(/msg\.payload/);
    assert.equal(refused["severity"], "ERROR");
    assert.deepEqual([refused["logging.googleapis.com/trace"], refused["logging.googleapis.com/spanId"]], [TRACE, SPAN]);
    assert.equal((refused["logging.googleapis.com/labels"] as Entry)["node"], "sink");
    one(/Started flows/);
  });

  it("json: every line is an object", async () => {
    const entries = (await lines("json")).map((line) => JSON.parse(line) as Entry);
    const refused = entries.find(({ node }) => node === "sink")!;
    assert.deepEqual([refused["level"], refused["traceId"], refused["spanId"], refused["type"]], ["error", TRACE, SPAN, "iceberg-out"]);
    assert.ok(entries.every(({ time, level, message }) => typeof time === "string" && typeof level === "string" && typeof message === "string"));
  });

  it("a format that is none is told at once", async () => {
    const userDir = join(temporaryFolder("log-none"), "user");
    const { code, output } = await runStart({ userDir, env: { LOG_FORMAT: "xml" } });
    assert.equal(code, 1);
    assert.match(output, /LOG_FORMAT=xml is no format of the log\. Use text, json or gcp\.\n$/);
  });
});
