import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { METRICS } from "../../lib/metrics/catalogue";
import type { NodeFigures, Sample } from "../../lib/metrics/sample";
import { KafkaFlow, Workplace } from "../support/kafka-flow";
import type { NodeRedVersion, RunningNodeRed } from "../support/node-red";
import { lintMetrics, parseMetrics, type Family } from "../support/prometheus";
import { runPython } from "../support/python";
import { root } from "../support/start";

const BATCHES = 40, SIZE = 250, ROWS = BATCHES * SIZE;

/** bcrypt of "sesame". */
const SESAME = "$2b$04$mM1sUyJmN/cCOBxKaMfzVeDsFxOTbGwLiDxU8lNcIakN5GZcnd916";

/** A bounded pipeline; `pipeline-metrics` prints what it tells. */
const pipeline = (): KafkaFlow => new KafkaFlow()
  .add("gen", "synthetic-gen", ["explode", ""], { name: "Trades", batchCount: BATCHES, batchSize: SIZE, interval: "0.05", seed: "observed" })
  .explode("explode", ["lake", "rejects"]).icebergOut("lake", ["committed", "rejects"], { name: "Lake", commitInterval: "1" })
  .add("metrics", "pipeline-metrics", "sample", { interval: "0.2" })
  .tell("committed", "committed", "rows: msg.payload.rows").tell("rejects", "reject", "payload: msg.payload").tell("sample", "sample", "sample: msg.payload");

async function scrape(red: RunningNodeRed, headers: Record<string, string> = {}): Promise<Map<string, Family>> {
  const response = await fetch(`${red.url}/ticklake/metrics`, { headers });
  assert.equal(response.status, 200);
  assert.match(response.headers.get("content-type")!, /^text\/plain; version=0\.0\.4/);
  return parseMetrics(await response.text());
}

const valueOf = (families: Map<string, Family>, metric: string, labels: Record<string, string>): number | undefined =>
  families.get(metric)?.series.find((series) => Object.entries(labels).every(([key, value]) => series.labels[key] === value))?.value;

describe("observability, on a real Node-RED", () => {
  for (const version of ["4", "5"] as NodeRedVersion[]) {
    it(`Node-RED ${version}: what is scraped equals the rows of the table, and keeps the rules of Prometheus`, async function () {
      this.timeout(240_000);
      const place = new Workplace();
      try {
        const red = await place.start(pipeline(), "127.0.0.1:1", { version, settings: { httpAdminRoot: false } });
        await red.until("all rows to be committed", () => red.events.filter(({ ev }) => ev === "committed").reduce((sum, event) => sum + Number(event["rows"]), 0) === ROWS, 180_000);
        const families = await scrape(red);
        const records = (node: string, direction: string): number | undefined => valueOf(families, "ticklake_records_total", { node, direction });
        assert.deepEqual(["gen", "explode", "lake"].flatMap((node) => [records(node, "in"), records(node, "out")]), new Array<number>(6).fill(ROWS));
        const { rows } = JSON.parse(await runPython("trades.py", [join(place.warehouse, "db", "flattened_stocks")])) as { rows: number };
        assert.equal(rows, ROWS, "PyIceberg counts the same");

        // Ours: three names of the client's own end in _total and are no counters.
        assert.deepEqual(lintMetrics(new Map([...families].filter(([metric]) => metric.startsWith("ticklake_")))), []);
        for (const { name } of METRICS) assert.ok(families.has(name), name);
        assert.equal(valueOf(families, "ticklake_batch_duration_seconds", { node: "lake", le: "+Inf" }), red.events.filter(({ ev }) => ev === "committed").length, "one observation per commit");
        assert.equal(valueOf(families, "ticklake_node_info", { node: "gen", type: "synthetic-gen", name: "Trades", flow: "Kafka" }), 1);
        for (const node of ["gen", "explode", "lake"]) assert.equal(valueOf(families, "ticklake_node_ready", { node }), 1);
        checkDashboard(families);

        const samples = red.events.filter(({ ev }) => ev === "sample").map(({ sample }) => sample as Sample);
        const lake = (sample: Sample): NodeFigures => sample.nodes.find(({ id }) => id === "lake")!;
        assert.ok(samples.some((sample) => lake(sample).inputRate > 0), "the input rate was told while it ran");
        const last = await red.until("a message after the last commit", () => red.events.findLast(({ ev, sample }) => ev === "sample" && lake(sample as Sample).recordsOut === ROWS))
          .then(({ sample }) => lake(sample as Sample));
        assert.ok(last.processRate! > 0 && last.batchDurationMs! > 0 && (last.batches < 2 || last.triggerIntervalMs! > 0), JSON.stringify(last));
        assert.deepEqual([last.recordsIn, last.recordsOut, last.inFlight, last.errors, last.rejected], [ROWS, ROWS, 0, 0, 0]);
        assert.deepEqual([await red.stop(), red.events.filter(({ ev }) => ev === "reject")], [0, []]);
      } finally { await place.remove(); }
    });
  }

  it("totals go on over a deploy; metrics ask for the password of HTTP nodes, probes do not, and then name nobody", async function () {
    this.timeout(240_000);
    const place = new Workplace();
    try {
      const flow = pipeline();
      const red = await place.start(flow, "127.0.0.1:1", { settings: { httpNodeAuth: { user: "prometheus", pass: SESAME } } });
      assert.equal((await fetch(`${red.url}/ticklake/metrics`)).status, 401);
      const login = { authorization: `Basic ${Buffer.from("prometheus:sesame").toString("base64")}` };
      await red.until("all rows to be committed", () => red.events.filter(({ ev }) => ev === "committed").reduce((sum, event) => sum + Number(event["rows"]), 0) === ROWS, 180_000);
      const before = await scrape(red, login);
      assert.equal(valueOf(before, "ticklake_records_total", { node: "lake", direction: "out" }), ROWS);

      // The generator waits, explode-trades is gone, and the sink has a setting that is wrong.
      await red.deploy(flow.nodes.filter((node) => node["id"] !== "explode").map((node) => (
        node["id"] === "gen" ? { ...node, autoStart: false } : node["id"] === "lake" ? { ...node, codec: "lzo" } : node)) as never);
      const after = await scrape(red, login);
      assert.equal(valueOf(after, "ticklake_records_total", { node: "gen", direction: "out" }), ROWS);
      assert.equal(valueOf(after, "ticklake_records_total", { node: "lake", direction: "out" }), ROWS);
      assert.equal(valueOf(after, "ticklake_records_total", { node: "explode", direction: "out" }), undefined);
      assert.equal(valueOf(after, "ticklake_node_ready", { node: "lake" }), 0);
      const probe = await fetch(`${red.url}/readyz`);
      assert.deepEqual([probe.status, await probe.json()], [503, { status: "not ready", flows: "running", nodes: 1 }]);
      assert.equal((await fetch(`${red.url}/healthz`)).status, 200);
      const told = await red.until("the reason in a message", () => red.events.findLast(({ ev, sample }) => ev === "sample" && (sample as Sample).nodes.some(({ reason }) => reason?.includes("codec"))));
      assert.equal((told["sample"] as Sample).ready, false);
      await red.stop();
    } finally { await place.remove(); }
  });
});

/** Every metric that a query of the Grafana dashboard names was scraped, with the labels that it uses. */
function checkDashboard(families: Map<string, Family>): void {
  const names = new Set([...families.values()].flatMap(({ name, series }) => [name, ...series.map((one) => one.name)]));
  // Labels of the scrape itself, of histograms, and of series that this run has not got.
  const labels = new Set(["instance", "le", "topic", "partition", ...[...families.values()].flatMap(({ series }) => series.flatMap((one) => Object.keys(one.labels)))]);
  const folder = join(root, "runtime", "grafana");
  const queries: string[] = [];
  for (const file of readdirSync(folder)) {
    const { panels, templating } = JSON.parse(readFileSync(join(folder, file), "utf8")) as { panels: { targets?: { expr: string }[] }[]; templating: { list: { type: string; query: string }[] } };
    queries.push(...panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)), ...templating.list.filter(({ type }) => type === "query").map(({ query }) => query));
  }
  assert.ok(queries.length > 20);
  for (const query of queries) {
    const used = query.match(/\b(ticklake|process|nodejs)_[a-z0-9_]+/g) ?? [];
    assert.ok(used.length > 0, query);
    for (const metric of used) {
      // A histogram of which nothing was observed has no series yet.
      assert.ok(names.has(metric) || families.get(metric.replace(/_(bucket|sum|count)$/, ""))?.type === "histogram", `${metric} in ${query}`);
    }
    for (const [, list] of query.matchAll(/(?:by|on|group_left) \(([a-z, ]+)\)/g)) for (const label of list!.split(/, */)) assert.ok(labels.has(label), `${label} in ${query}`);
  }
}
