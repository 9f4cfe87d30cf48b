import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { shippedFlows } from "../support/flows";
import { endOffsets, startKafka, untilCommitted, valuesOf, type RunningKafka } from "../support/kafka";
import { runPython } from "../support/python";
import { killAll, start, temporaryFolder, until } from "../support/start";

describe("the shipped flow through Kafka, running", function () {
  this.timeout(180_000);
  let kafka: RunningKafka;
  // A broker of its own: the flow's topics and groups have the names of the documentation.
  before(async () => { kafka = await startKafka(); });
  after(() => kafka?.stop());
  afterEach(killAll);

  it("Trades through Kafka: makes its topics, fills the table and flattened_stocks, serves its dashboard, and says nothing that anybody must look into", async () => {
    const flow = shippedFlows().find((f) => f.name.endsWith("Trades through Kafka.json"))!.nodes;
    const userDir = join(temporaryFolder("kafka-flow"), "user");
    mkdirSync(userDir);
    writeFileSync(join(userDir, "flows.json"), JSON.stringify(flow));
    writeFileSync(join(userDir, ".ticklake.json"), "{}");
    const run = await start({ userDir, env: { KAFKA_BROKERS: kafka.brokers } });
    assert.equal((await fetch(`${run.url}/dashboard/kafka`)).status, 200);
    await until("a few hundred trades in flattened_stocks", () => endOffsets(kafka.brokers, "flattened_stocks"), (ends) => ends.reduce((a, b) => a + b, 0) > 1000, 60_000);
    const first = await run.stop();
    assert.equal(first, 0);
    assert.equal((await endOffsets(kafka.brokers, "iex_data")).length, 3, "three partitions");

    // Without its sources it reads what is left and comes to rest.
    const quiet = flow.map((node) => (/synthetic-gen|csv-replay/.test(node.type) ? { ...node, autoStart: false } : node.name === "What differs" ? { ...node, type: "function", func: "console.log(msg.payload.summary);", outputs: 0, libs: [] } : node));
    writeFileSync(join(userDir, "flows.json"), JSON.stringify(quiet));
    const second = await start({ userDir, env: { KAFKA_BROKERS: kafka.brokers } });
    await untilCommitted(kafka.brokers, "iex_data", ["ticklake-lake", "ticklake-flatten"], 60_000, () => second.output());
    // The flow's own proof, with the button's message made to mean all that there is.
    const button = flow.find((node) => node.type === "inject")!.id;
    const pressed = await fetch(`${second.url}/inject/${button}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ __user_inject_props__: [{ p: "to", v: "2100-01-01", vt: "str" }] }) });
    assert.equal(pressed.status, 200);
    await until("the reconciliation", () => second.output().slice(-400), (said) => /[\d,]+ trades equal in 3 places/.test(said), 60_000);
    assert.equal(await second.stop("SIGINT"), 0);
    assert.doesNotMatch(second.output(), /\[(warn|error|fatal)\]/);
    // Its topics do not exist at the very first start, nor do Kafka's internal ones: what is waited for is said, and mends itself.
    const said = run.output().split("\n").filter((line) => /\[(warn|error|fatal)\]/.test(line));
    assert.deepEqual(said.filter((line) => !/\[warn\].*(It is waited for|It is tried again)/.test(line)), []);

    const arrays = (await valuesOf(kafka.brokers, "iex_data")).map((value) => JSON.parse(value!) as { S: string }[]);
    const trades = arrays.flat().length;
    const flattened = (await valuesOf(kafka.brokers, "flattened_stocks")).map((value) => JSON.parse(value!) as Record<string, unknown>);
    assert.equal(flattened.length, trades, "both were stopped cleanly: nothing twice even where at least once is promised");
    assert.deepEqual(Object.keys(flattened[0]!), ["T", "S", "i", "x", "p", "s", "timestamp", "c", "z"]);
    const found = JSON.parse(await runPython("trades.py", [join(userDir, "warehouse", "db", "flattened_stocks")])) as { rows: number };
    assert.equal(found.rows, trades);
    assert.match(second.output(), new RegExp(`${trades.toLocaleString("en-US")} trades equal in 3 places`));
  });
});
