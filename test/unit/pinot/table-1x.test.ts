import assert from "node:assert/strict";
import type { TicklakeError } from "../../../lib/errors";
import { PinotCluster } from "../../../lib/pinot/cluster";
import { parsePinot } from "../../../lib/pinot/settings";
import { parseTable, runTableOperation, summaryText, type TableOperation } from "../../../lib/pinot/table";
import { recorded, startStandIn, type StandIn } from "../../support/pinot/stand-in";

/** Against what a real 1.5.1 was recorded to say. */
describe("a table of Pinot 1.5", () => {
  let pinot: StandIn;
  let warnings: string[];
  beforeEach(() => { warnings = []; });
  afterEach(() => pinot?.close());
  // A result is looked at by many names.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  const run = (operation: TableOperation, settings: Record<string, unknown> = {}, confirm?: unknown): Promise<any> =>
    runTableOperation({ cluster: new PinotCluster(parsePinot(pinot, {}, () => undefined)), operation, settings: parseTable({ kafkaBrokers: "127.0.0.1:19092", ...settings }), confirm }, { warn: (text) => warnings.push(text) });
  const fails = (work: Promise<unknown>, code: string, text: RegExp) => assert.rejects(work, (error: TicklakeError) => {
    assert.equal(error.code, code, error.message);
    assert.match(error.message, text);
    return true;
  });
  const changes = () => pinot.seen.filter((seen) => seen.method !== "GET" && seen.server === "controller").map((seen) => `${seen.method} ${seen.path}`);

  it("is validated by the controller before it is created, schema first, and found again as it is wanted", async () => {
    pinot = await startStandIn({ phase: "case-sensitive" });
    const result = await run("create");
    assert.deepEqual([result.created, result.version, result.queryable], [true, "1.5.1", true]);
    assert.deepEqual(changes(), ["POST /schemas/validate", "POST /schemas", "POST /tables/validate", "POST /tables"]);
    assert.equal(summaryText(result), "created flattened_stocks");
    const again = await run("create");
    assert.deepEqual([again.created, again.differences, summaryText(again)], [false, [], "flattened_stocks is there, no change"]);
    assert.deepEqual((await run("describe")).differences, []);
    assert.equal(changes().length, 4);
  });

  it("updates by what differs only, and reloads", async () => {
    pinot = await startStandIn({ phase: "case-sensitive" });
    await run("create");
    assert.equal((await run("update")).changed, false);
    const { differences, reloaded } = await run("update", { retentionDays: 30 });
    assert.deepEqual([differences, reloaded], [[{ path: "segmentsConfig.retentionTimeValue", is: "7", wanted: "30" }], true]);
    assert.deepEqual(changes().slice(4), ["POST /tables/validate", "PUT /tables/flattened_stocks", "POST /segments/flattened_stocks/reload?type=REALTIME"]);
    assert.deepEqual((await run("describe", { retentionDays: 30 })).differences, []);
  });

  it("of documented names is refused by a cluster that folds case before anything is sent, with both ways out", async () => {
    pinot = await startStandIn({ phase: "default" });
    await fails(run("create"), "PINOT_CASE_FOLDED", /S and s would be one column of flattened_stocks.*operation case-sensitive.*restart controller and broker.*names: readable/);
    assert.deepEqual(changes(), []);
    assert.equal((await run("create", { names: "readable" })).created, true);
    const { changed, message } = await run("case-sensitive");
    assert.deepEqual([changed, /restart of controller and broker/.test(message)], [true, true]);
    assert.deepEqual(pinot.seen.at(-1)!.body, { "enable.case.insensitive": "false" });
  });

  it("of documented names is refused with the way out when the setting is off and nobody has restarted", async () => {
    pinot = await startStandIn({ phase: "case-sensitive" });
    const { status, response } = recorded("schema with S and s refused");
    pinot.script((seen) => seen.path === "/schemas/validate", { status, body: response });
    await fails(run("create"), "PINOT_CASE_FOLDED", /is off, but its controller still folds case\. Restart controller and broker/);
    assert.equal((await run("case-sensitive")).changed, false);
  });

  it("that somebody else makes at the same moment is theirs, and what differs is told", async () => {
    pinot = await startStandIn({ phase: "case-sensitive" });
    await run("create");
    const theirs = pinot.tables.get("flattened_stocks")!;
    pinot.tables.clear();
    pinot.script((seen) => {
      if (seen.method !== "POST" || seen.path !== "/tables") return false;
      pinot.tables.set("flattened_stocks", theirs);
      return true;
    }, { status: 409, body: recorded("create table again").response });
    const { created, differences } = await run("create", { retentionDays: 8 });
    assert.deepEqual([created, differences.length], [false, 1]);
  });

  it("that the controller refuses leaves no schema of ours behind, but one that was there", async () => {
    pinot = await startStandIn({ phase: "case-sensitive" });
    const refuse = () => pinot.script((seen) => seen.path === "/tables/validate", { status: 400, body: { code: 400, error: "Invalid table config: x" } });
    refuse();
    await fails(run("create"), "PINOT_REFUSED", /Invalid table config: x/);
    assert.equal(pinot.schemas.size, 0);
    await run("create");
    pinot.tables.clear();
    refuse();
    await fails(run("create"), "PINOT_REFUSED", /Invalid table config: x/);
    assert.equal(pinot.schemas.size, 1);
  });

  it("whose Kafka Pinot cannot reach says so in words", async () => {
    pinot = await startStandIn({ phase: "case-sensitive" });
    // As a real 0.11.0 has it.
    pinot.script((seen) => seen.path === "/tables", { status: 500, body: { code: 500, error: "org.apache.pinot.spi.stream.TransientConsumerException: org.apache.kafka.common.errors.TimeoutException: Timeout expired while fetching topic metadata" } });
    await fails(run("create"), "KAFKA_UNREACHABLE", /Pinot cannot reach Kafka at 127\.0\.0\.1:19092\. Give the addresses as Pinot's servers see them/);
    assert.equal(pinot.schemas.size, 0);
  });

  it("whose configuration holds a password for Kafka never shows it, not even in the controller's own words", async () => {
    pinot = await startStandIn({ phase: "case-sensitive" });
    const overrides = { ingestionConfig: { streamIngestionConfig: { streamConfigMaps: [{ "sasl.jaas.config": 'Login required username="me" password="pass-word-1";' }] } } };
    pinot.script((seen) => seen.path === "/tables", { status: 500, body: { code: 500, error: "cannot log in with pass-word-1" } });
    await fails(run("create", { overrides }), "PINOT_FAILED", /cannot log in with \*\*\*/);
    await run("create", { overrides });
    assert.doesNotMatch(JSON.stringify(await run("describe")), /pass-word-1/);
  });

  it("has a status with the lag that Pinot tells", async () => {
    pinot = await startStandIn({ phase: "case-sensitive" });
    await run("create");
    pinot.script((seen) => seen.path.includes("/pauseStatus"), { status: 200, body: { pauseFlag: false, consumingSegments: [] } });
    pinot.script((seen) => seen.path.includes("/consumingSegmentsInfo"), { status: 200, body: recorded("consuming segments").response });
    pinot.script((seen) => seen.path.startsWith("/segments/"), { status: 200, body: recorded("segments").response });
    const status = await run("status");
    assert.deepEqual([status.state, status.lag, status.lagFrom, status.segments, status.sizeBytes], ["consuming", { records: 46_697, ms: 4_813_758 }, "pinot", { consuming: 3, sealed: 7 }, 4_990_379]);
    assert.equal(status.ingestion.state, "UNHEALTHY");
    assert.match(status.ingestion.errors[0], /Did not get any response from servers for segment/);
    assert.equal(summaryText(status), "consuming, lag 46697 (80 min), 7 sealed, 5.0 MB");
  });

  it("whose status cannot be told whole tells the rest, and what is missing", async () => {
    pinot = await startStandIn({ phase: "case-sensitive" });
    await run("create");
    pinot.script((seen) => seen.path.includes("/size"), { status: 500, body: { code: 500, error: "no sizes today" } });
    const { sizeBytes, unknown, partitions } = await run("status");
    assert.deepEqual([sizeBytes, partitions.length], [undefined, 3]);
    assert.match(unknown.join(), /no sizes today/);
    pinot.script((seen) => seen.path.includes("/size"), "cut");
    await fails(run("status"), "PINOT_UNREACHABLE", /No Pinot controller answers/);
  });

  it("pauses until every segment is sealed, and is deleted with its schema when that is confirmed", async () => {
    pinot = await startStandIn({ phase: "case-sensitive" });
    await run("create");
    pinot.script((seen) => seen.path.includes("/pauseStatus"), { status: 200, body: { pauseFlag: true, consumingSegments: ["flattened_stocks__0__4__20261123T0708Z"] } });
    const { paused, settled, consumingSegments } = await run("pause");
    assert.deepEqual([paused, settled, consumingSegments, pinot.seen.filter((seen) => seen.path.includes("/pauseStatus")).length], [true, true, [], 2]);
    await fails(run("delete"), "CONFIG_INVALID", /msg\.confirm = true/);
    assert.equal(pinot.tables.size, 1);
    assert.deepEqual(await run("delete", {}, true), { operation: "delete", table: "flattened_stocks", deleted: true, schemaDeleted: true });
    assert.deepEqual([pinot.tables.size, pinot.schemas.size], [0, 0]);
    for (const operation of ["update", "status", "describe", "pause", "resume", "delete"] as const) await fails(run(operation, {}, true), "TABLE_NOT_FOUND", /no real-time table flattened_stocks/);
  });

  it("keeps the schema that the controller says is in use", async () => {
    pinot = await startStandIn({ phase: "case-sensitive" });
    await run("create");
    pinot.script((seen) => seen.method === "DELETE" && seen.path.startsWith("/schemas"), { status: 409, body: recorded("delete schema in use").response });
    const result = await run("delete", {}, true);
    assert.equal(result.schemaDeleted, false);
    assert.match(result.schemaKept, /associated with table/);
    assert.equal(summaryText(result), "deleted flattened_stocks, schema kept");
  });
});
