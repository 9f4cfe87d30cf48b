import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { TicklakeError } from "../../../lib/errors";
import { withTrace } from "../../../nodes/shared/trace";

interface Event { level: number; msg: unknown; timestamp?: number; id?: string; type?: string; name?: string; z?: string }
interface LogModule {
  logFormat(env: Record<string, string | undefined>): string;
  lineOf(event: Event, as: string): string;
  logHandler(as: string, write: (line: string) => void): (event: Event) => void;
}
const { logFormat, lineOf, logHandler } = createRequire(__filename)("../../../runtime/log.js") as LogModule;

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736", SPAN = "00f067aa0ba902b7", PARENT = `00-${TRACE}-${SPAN}-01`;
const at = Date.parse("2024-11-01T13:30:00.123Z");
const event = (msg: unknown, level = 20): Event => ({ level, msg, timestamp: at, id: "a1b2", type: "iceberg-out", name: "Lake", z: "f00d" });
const gcp = (one: Event): Record<string, unknown> => JSON.parse(lineOf(one, "gcp")) as Record<string, unknown>;

describe("log formats", () => {
  it("text is Node-RED's: time, level, node, message", () => {
    assert.equal(lineOf(event("disk full"), "text"), "2024-11-01T13:30:00.123Z [error] [iceberg-out:Lake] disk full");
    assert.equal(lineOf({ level: 40, msg: "Started flows", timestamp: at }, "text"), "2024-11-01T13:30:00.123Z [info] Started flows");
  });

  it("gcp has severity, message, time, labels, and trace and span of the message", () => {
    const error = new TicklakeError("STORAGE_FULL", "The disk is full.\nFree some space.");
    const entry = withTrace({ traceparent: PARENT }, () => gcp(event(error)));
    assert.equal(typeof entry["stack_trace"], "string");
    delete entry["stack_trace"];
    assert.deepEqual(entry, {
      severity: "ERROR", message: "The disk is full.\nFree some space.", time: "2024-11-01T13:30:00.123Z",
      "logging.googleapis.com/labels": { node: "a1b2", type: "iceberg-out", name: "Lake", flow: "f00d", code: "STORAGE_FULL" },
      "logging.googleapis.com/trace": TRACE, "logging.googleapis.com/spanId": SPAN, "logging.googleapis.com/trace_sampled": true,
    });
    assert.equal("logging.googleapis.com/trace" in gcp(event(error)), false, "a trace ends with what it was logged for");
  });

  it("gcp names every level as Google does", () => {
    assert.deepEqual([10, 20, 30, 40, 50, 60, 98, 77].map((level) => gcp(event("x", level))["severity"]), ["CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "DEBUG", "NOTICE", "DEFAULT"]);
  });

  it("json has level, node and trace under plain names", () => {
    const entry = JSON.parse(withTrace({ req: { headers: { traceparent: PARENT } } }, () => lineOf(event("slow", 30), "json"))) as object;
    assert.deepEqual(entry, { time: "2024-11-01T13:30:00.123Z", level: "warn", message: "slow", type: "iceberg-out", node: "a1b2", name: "Lake", flow: "f00d", traceId: TRACE, spanId: SPAN });
  });

  for (const [what, given] of [["no traceparent", "abc"], ["zeros", `00-${"0".repeat(32)}-${SPAN}-01`], ["no text", 7]] as const) {
    it(`${what} is no trace`, () => { assert.doesNotMatch(lineOf(event({ message: "m", traceparent: given }), "gcp"), /trace/); });
  }

  it("an entry is one line, whatever is logged", () => {
    const circular: Record<string, unknown> = { a: 1n };
    circular["self"] = circular;
    for (const msg of ["two\nlines\r\nthree", new Error("a\nb"), circular, { message: "x\ny" }, null, undefined, 5, ["a"], "\u2028", "x".repeat(1_000_000)]) {
      for (const as of ["gcp", "json"]) {
        const line = lineOf(event(msg), as);
        assert.equal(line.includes("\n"), false);
        assert.equal(typeof (JSON.parse(line) as { message: unknown }).message, "string");
        assert.ok(line.length < 250_000);
      }
    }
  });

  it("reads an error that the debug sidebar has encoded", () => {
    assert.equal(gcp(event('{"__enc__":true,"type":"error","data":{"name":"Error","message":"no broker"}}'))["message"], "no broker");
  });

  it("leaves out that a fresh folder holds no credentials", () => {
    const lines: string[] = [];
    const handle = logHandler("json", (line) => { lines.push(line); });
    for (const msg of ["Encrypted credentials not found", "other"]) handle({ level: 30, msg, timestamp: at });
    assert.equal(lines.length, 1);
  });

  it("LOG_FORMAT is text by default, and one of three", () => {
    assert.deepEqual([{}, { LOG_FORMAT: "" }, { LOG_FORMAT: " GCP " }, { LOG_FORMAT: "json" }].map((env) => logFormat(env)), ["text", "text", "gcp", "json"]);
    assert.throws(() => logFormat({ LOG_FORMAT: "xml" }), /LOG_FORMAT=xml.*text, json or gcp/);
  });
});
