import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { until } from "../../support/start";

interface Request { logName: string; resource: object; partialSuccess: boolean; entries: { insertId: string; severity: string; timestamp: { seconds: number; nanos: number }; labels: object; trace?: string; jsonPayload: { fields: Record<string, { stringValue: string }> } }[] }
interface Api { project: string; resource: object; write(request: Request): Promise<unknown> }
interface Exporting { take(fields: object): void; flush(ms?: number): Promise<void> }
interface ExportModule {
  exportSettings(env: Record<string, string | undefined>): { logName: string; project?: string; endpoint: { apiEndpoint?: string; port?: number; insecure?: boolean } } | undefined;
  logExport(tell: () => void, env: Record<string, string>): unknown;
  GcpExport: new (settings: object, how: { open(): Promise<Api>; tell(level: number, text: string): void; env?: Record<string, string> }) => Exporting;
  KEPT: { entries: number; bytes: number };
  BATCH: { entries: number; bytes: number };
}
const { exportSettings, GcpExport, KEPT, BATCH } = createRequire(__filename)("../../../runtime/log-export.js") as ExportModule;

const line = (message: string, more = {}): object => ({ severity: "INFO", message, time: "2024-11-01T13:30:00.123Z", ...more });
const messages = (request: Request): string[] => request.entries.map(({ jsonPayload }) => jsonPayload.fields["message"]!.stringValue);

/** An export whose API answers as `answer` says. */
function exporting(answer: (request: Request, nth: number) => Promise<unknown> | void = () => undefined, env: Record<string, string> = {}): { log: Exporting; requests: Request[]; told: string[] } {
  const requests: Request[] = [], told: string[] = [];
  const log = new GcpExport({ logName: "a/b" }, {
    open: () => Promise.resolve({ project: "p", resource: { type: "global", labels: { project_id: "p" } }, write: async (request) => { requests.push(request); await answer(request, requests.length); } }),
    tell: (level, text) => { told.push(`${level} ${text}`); }, env,
  });
  return { log, requests, told };
}
const failure = (code: number, text: string): Promise<never> => Promise.reject(Object.assign(new Error(text), { code }));

describe("the log's export to Google Cloud Logging", function () {
  this.timeout(30_000);

  it("is asked for by LOG_EXPORT, and refuses settings that cannot be meant", () => {
    for (const LOG_EXPORT of [undefined, "", "none"]) assert.equal(exportSettings({ LOG_EXPORT }), undefined);
    assert.deepEqual(exportSettings({ LOG_EXPORT: "GCP", GOOGLE_CLOUD_PROJECT: "p", LOG_NAME: "n" }), { logName: "n", project: "p", endpoint: {} });
    const endpoint = (LOG_ENDPOINT: string) => exportSettings({ LOG_EXPORT: "gcp", LOG_ENDPOINT })!.endpoint;
    assert.deepEqual(endpoint("127.0.0.1:8085"), { apiEndpoint: "127.0.0.1", port: 8085, insecure: true });
    assert.deepEqual(endpoint("http://localhost:1/"), { apiEndpoint: "localhost", port: 1, insecure: true });
    for (const address of ["relay.example:8443", "https://relay.example:8443"]) assert.deepEqual(endpoint(address), { apiEndpoint: "relay.example", port: 8443, insecure: false });
    assert.deepEqual(endpoint("logging.example.com"), { apiEndpoint: "logging.example.com", port: 443, insecure: false });
    for (const [env, said] of [
      [{ LOG_EXPORT: "aws" }, /LOG_EXPORT=aws is nothing.*gcp/], [{ LOG_EXPORT: "gcp", LOG_NAME: "my log" }, /LOG_NAME/], [{ LOG_EXPORT: "gcp", LOG_ENDPOINT: "http://example.com" }, /not encrypted/],
      [{ LOG_EXPORT: "gcp", LOG_ENDPOINT: "https://u:planted@h/" }, /^Error: LOG_ENDPOINT holds more than a host and a port\. Write host:port, or https:\/\/host:port\.$/], [{ LOG_EXPORT: "gcp", LOG_ENDPOINT: "::" }, /LOG_ENDPOINT is no address/],
    ] as const) assert.throws(() => exportSettings(env), said);
  });

  it("writes entries with severity, time, labels, trace under the log's name, in order", async () => {
    const { log, requests } = exporting();
    log.take({ ...line("one", { severity: "ERROR", stack_trace: "at x" }), "logging.googleapis.com/labels": { node: "a" }, "logging.googleapis.com/trace": "t", "logging.googleapis.com/spanId": "s", "logging.googleapis.com/trace_sampled": true });
    log.take(line("two"));
    await log.flush();
    assert.equal(requests.length, 1);
    const [{ logName, resource, partialSuccess, entries }] = requests as [Request];
    assert.deepEqual([logName, resource, partialSuccess], ["projects/p/logs/a%2Fb", { type: "global", labels: { project_id: "p" } }, true]);
    const [{ insertId: first, ...one }, { insertId: second }] = entries as [Request["entries"][0], Request["entries"][0]];
    assert.deepEqual(one, {
      severity: "ERROR", timestamp: { seconds: 1730467800, nanos: 123e6 }, labels: { node: "a" }, trace: "projects/p/traces/t", spanId: "s", traceSampled: true,
      jsonPayload: { fields: { message: { stringValue: "one" }, stack_trace: { stringValue: "at x" } } },
    });
    assert.ok(first < second);
  });

  it("holds no secret of the environment, as it is when the entry is written", async () => {
    const env: Record<string, string> = {};
    const { log, requests } = exporting(undefined, env);
    log.take({ ...line("key pl4nted/secret", { stack_trace: "pl4nted%2Fsecret" }), "logging.googleapis.com/labels": { name: "pl4nted/secret" } });
    env["KAFKA_SASL_PASSWORD"] = "pl4nted/secret";
    await log.flush();
    assert.doesNotMatch(JSON.stringify(requests), /pl4nted/);
    assert.equal(messages(requests[0]!)[0], "key ***");
  });

  it("writes batches of a bounded number and size, and cuts an entry that the API would refuse", async () => {
    const { log, requests } = exporting();
    for (let n = 0; n < BATCH.entries * 2 + 1; n++) log.take(line(`${n}`));
    await log.flush();
    assert.deepEqual(requests.map(({ entries }) => entries.length), [BATCH.entries, BATCH.entries, 1]);
    assert.deepEqual(requests.flatMap(messages), Array.from({ length: BATCH.entries * 2 + 1 }, (_, n) => `${n}`));
    requests.length = 0;
    for (let n = 0; n < 20; n++) log.take(line("ä".repeat(50_000)));
    await log.flush();
    assert.deepEqual([requests.length > 1, requests.flatMap(messages).length], [true, 20]);
    for (const request of requests) assert.ok(Buffer.byteLength(JSON.stringify(request)) < BATCH.bytes * 1.1);
    requests.length = 0;
    log.take(line("ü".repeat(200_000), { stack_trace: "x".repeat(200_000) }));
    await log.flush();
    assert.ok(Buffer.byteLength(JSON.stringify(requests)) < 256 * 1024);
    assert.match(messages(requests[0]!)[0]!, /^ü+… \(cut\)$/);
  });

  it("tries a batch again with the same insertIds until the API answers; said once at each end", async () => {
    const { log, requests, told } = exporting((_, nth) => (nth < 3 ? failure(14, "14 UNAVAILABLE: down") : undefined));
    log.take(line("one"));
    await until("the third request", () => requests.length, (n) => n === 3, 20_000);
    log.take(line("two"));
    await log.flush();
    assert.deepEqual(requests.map((request) => request.entries[0]!.insertId).slice(0, 3), Array.from({ length: 3 }, () => requests[0]!.entries[0]!.insertId));
    assert.deepEqual(messages(requests.at(-1)!), ["two"]);
    assert.deepEqual(told, [`30 Google Cloud Logging cannot be written to: 14 UNAVAILABLE: down. What is logged waits (at most ${KEPT.entries} entries) and is tried again; standard output has it all.`, "40 Google Cloud Logging answers again."]);
  });

  it("goes on behind a batch that the API refuses for good", async () => {
    const { log, requests, told } = exporting((_, nth) => (nth === 1 ? failure(3, "3 INVALID_ARGUMENT: too old") : undefined));
    log.take(line("bad"));
    await log.flush();
    log.take(line("good"));
    await log.flush();
    assert.deepEqual(requests.map(messages), [["bad"], ["good"]]);
    assert.deepEqual(told, ["20 Google Cloud Logging refused entries of the log: 3 INVALID_ARGUMENT: too old"]);
  });

  it("keeps a bounded number while the API is down: the newest; how many were dropped is told", async () => {
    let down = true;
    const { log, requests, told } = exporting(() => (down ? failure(14, "down") : undefined));
    for (let n = 0; n < KEPT.entries + 250; n++) log.take(line(`${n}`));
    await until("the first failure", () => told.length, (n) => n >= 2);
    down = false;
    requests.length = 0;
    await log.flush(20_000);
    const arrived = requests.flatMap(messages);
    assert.deepEqual([arrived.length, arrived[0], arrived.at(-1)], [KEPT.entries, "250", `${KEPT.entries + 249}`]);
    assert.match(told.join("\n"), /^30 Google Cloud Logging is behind: .* the oldest are dropped, 1 so far/m);
    assert.match(told.join("\n"), /answers again\. 250 entries were dropped/);
  });

  it("a flush ends in time when the API never answers, and says what stayed behind", async () => {
    const { log, told } = exporting(() => new Promise(() => undefined));
    log.take(line("one"));
    log.take(line("two"));
    const began = performance.now();
    await log.flush(100);
    assert.ok(performance.now() - began < 5000);
    assert.deepEqual(told, ["30 2 entries of the log did not reach Google Cloud Logging; they stand on standard output."]);
  });

  it("nobody waits and nothing is thrown when the credentials cannot be had", async () => {
    const told: string[] = [];
    const log = new GcpExport({ logName: "l" }, { open: () => Promise.reject(new Error("Could not load the default credentials. Browse to https://example.com")), tell: (_level, text) => { told.push(text); } });
    log.take(line("one"));
    await log.flush(50);
    assert.match(told[0]!, /cannot be written to: Could not load the default credentials/);
  });
});
