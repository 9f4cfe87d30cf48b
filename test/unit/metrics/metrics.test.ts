import assert from "node:assert/strict";
import * as Client from "prom-client";
import { TicklakeError } from "../../../lib/errors";
import { METRICS } from "../../../lib/metrics/catalogue";
import { Histogram } from "../../../lib/metrics/histogram";
import { parseMetricsInterval } from "../../../lib/metrics/options";
import { PrometheusText } from "../../../lib/metrics/prometheus";
import type { Reading } from "../../../lib/metrics/reading";
import { MetricsRegistry } from "../../../lib/metrics/registry";
import { Sampler } from "../../../lib/metrics/sample";
import { lintMetrics, parseMetrics } from "../../support/prometheus";

const identity = { id: "a1", type: "iceberg-out", name: "Lake", flow: "Day" };

describe("histogram", () => {
  it("counts a value at a bound below it, and what is above all bounds in the last bucket", () => {
    const histogram = new Histogram([0.1, 1]);
    for (const value of [0.05, 0.1, 0.5, 7]) histogram.observe(value);
    assert.deepEqual(histogram.cumulative(), [{ le: 0.1, count: 2 }, { le: 1, count: 3 }, { le: Infinity, count: 4 }]);
    assert.equal(histogram.sum, 7.65);
  });
});

describe("registry of figures", () => {
  it("a node that is deployed anew goes on counting, with what the old one counted while it closed", () => {
    const registry = new MetricsRegistry();
    const first = registry.open(identity);
    let recordsIn = 10;
    first.read = () => ({ recordsIn });
    first.errors = 2;
    first.batch(5, 100, 1000);
    registry.close(first, false);
    recordsIn = 12;
    const second = registry.open({ ...identity, name: "Lake 2" });
    second.read = () => ({ recordsIn: 3 });
    second.errors = 1;
    assert.deepEqual(second.totals(), { recordsIn: 15, errors: 3 });
    assert.equal(second.durations.count, 1);
    assert.deepEqual(registry.nodes().map(({ identity: { name } }) => name), ["Lake 2"]);
  });

  it("forgets a node that was disabled: closed, and not there when flows run again", () => {
    const registry = new MetricsRegistry();
    const [stays, goes] = [registry.open(identity), registry.open({ ...identity, id: "b2" })];
    for (const meter of [stays, goes]) registry.close(meter, false);
    registry.open(identity);
    registry.started();
    assert.deepEqual(registry.nodes().map((meter) => meter.identity.id), ["a1"]);
  });

  it("forgets a node that was removed, and one of another type starts at 0", () => {
    const registry = new MetricsRegistry();
    const first = registry.open(identity);
    first.errors = 9;
    registry.close(first, false);
    assert.equal(registry.open({ ...identity, type: "kafka-out" }).totals().errors, 0);
    registry.close(registry.nodes()[0]!, true);
    assert.deepEqual(registry.nodes(), []);
  });

  it("a late close of the old node does not remove the new one", () => {
    const registry = new MetricsRegistry();
    const first = registry.open(identity);
    const second = registry.open(identity);
    registry.close(first, true);
    assert.deepEqual(registry.nodes(), [second]);
  });
});

describe("sample", () => {
  it("has the documented figures: input rate, process rate, batch duration, trigger interval", () => {
    const registry = new MetricsRegistry();
    const sampler = new Sampler(registry);
    const meter = registry.open(identity);
    const now = { recordsIn: 0, recordsOut: 0, inFlight: 0 };
    meter.read = (): Reading => ({ ...now });
    sampler.sample(0);
    let sample = sampler.sample(0);
    for (let second = 1; second <= 60; second++) {
      now.recordsIn += 1000;
      if (second % 10 === 0) {
        now.recordsOut += 10_000;
        meter.batch(10_000, 500, second * 1000);
      }
      now.inFlight = now.recordsIn - now.recordsOut;
      sample = sampler.sample(second * 1000);
    }
    const [node] = sample.nodes;
    assert.equal(node!.inputRate, 1000);
    assert.equal(node!.outputRate, 1000, "looked at over two commits, not over five seconds without one");
    assert.equal(node!.processRate, 20_000);
    assert.deepEqual([node!.batchDurationMs, node!.triggerIntervalMs, node!.batches, node!.inFlight, node!.lag], [500, 10_000, 6, 0, null]);
  });

  it("says what is not ready, and that a node that was stopped does not run", () => {
    const registry = new MetricsRegistry();
    const meter = registry.open(identity);
    meter.notReady = () => "disk full";
    assert.deepEqual(new Sampler(registry).sample(0).nodes.map(({ ready, reason }) => [ready, reason]), [[false, "disk full"]]);
    registry.close(meter, false);
    const sample = new Sampler(registry).sample(0);
    assert.equal(sample.ready, false);
    assert.equal(sample.nodes[0]!.reason, "not running");
  });
});

describe("Prometheus text", () => {
  const registry = new MetricsRegistry();
  const name = 'Quote " backslash \\ line\nend';
  const sink = registry.open({ ...identity, name });
  sink.read = () => ({ recordsIn: 12, recordsOut: 10, inFlight: 2, rejected: 1 });
  sink.batch(10, 1500, 10_000);
  sink.batch(10, 20, 20_000);
  const source = registry.open({ id: "b2", type: "kafka-in", name: "", flow: "Day" });
  source.read = () => ({ recordsIn: 5, recordsOut: 5, delivered: 4, lag: 7, partitions: [{ topic: "t", partition: 0, lag: 3 }, { topic: "t", partition: 1, lag: 4 }] });
  source.notReady = () => "broker down";
  const scrape = async (): Promise<ReturnType<typeof parseMetrics>> => parseMetrics(await new PrometheusText(() => Client).text({ sample: new Sampler(registry).sample(0), version: "1.2.3", durations: (id) => registry.node(id)?.durations }));

  it("keeps the rules that promtool checks", async () => {
    const families = await scrape();
    for (const { name: metric } of METRICS) assert.ok(families.has(metric), metric);
    assert.deepEqual(lintMetrics(new Map([...families].filter(([metric]) => metric.startsWith("ticklake_")))), []);
  });

  it("the check of these rules is not blind", () => {
    const bad = lintMetrics(parseMetrics('# TYPE a_ms counter\na_ms{le="1"} -1\n# HELP h_seconds h\n# TYPE h_seconds histogram\nh_seconds_bucket{le="1"} 2\nh_seconds_bucket{le="0.5"} 1\nh_seconds_count 3\n'));
    for (const what of ["a_ms: no help text", "a_ms: a counter's name ends in _total", "a_ms: no base unit", "a_ms: a counter of -1", "a_ms: le is for buckets", "h_seconds: bounds of", "h_seconds: buckets of", "h_seconds: count of"]) {
      assert.ok(bad.some((complaint) => complaint.startsWith(what)), `${what} in ${bad.join("; ")}`);
    }
    assert.throws(() => parseMetrics("a{b=c} 1\n"), /labels/);
  });

  it("has totals by direction, seconds, lag by partition, readiness, and names with everything in them", async () => {
    const families = await scrape();
    const value = (metric: string, labels: Record<string, string>): number | undefined => families.get(metric)!.series.find((series) => Object.entries(labels).every(([k, v]) => series.labels[k] === v))?.value;
    assert.equal(value("ticklake_records_total", { node: "a1", type: "iceberg-out", direction: "in" }), 12);
    assert.equal(value("ticklake_records_total", { node: "a1", direction: "out" }), 10);
    assert.equal(value("ticklake_in_flight_records", { node: "b2" }), undefined, "a figure that a node has not is left out");
    assert.equal(value("ticklake_trigger_interval_seconds", { node: "a1" }), 11.48);
    assert.equal(value("ticklake_partition_lag_records", { topic: "t", partition: "1" }), 4);
    assert.equal(value("ticklake_node_ready", { node: "a1" }), 1);
    assert.equal(value("ticklake_node_ready", { node: "b2" }), 0);
    assert.equal(value("ticklake_node_info", { node: "a1", name, flow: "Day" }), 1);
    assert.equal(value("ticklake_node_info", { name: "kafka-in b2" }), 1);
    const buckets = families.get("ticklake_batch_duration_seconds")!.series;
    assert.equal(buckets.find(({ labels }) => labels["le"] === "0.025")!.value, 1);
    assert.equal(buckets.find(({ name: line }) => line.endsWith("_sum"))!.value, 1.52);
    assert.ok(families.has("process_cpu_seconds_total") && families.has("nodejs_eventloop_lag_seconds"));
  });

  it("says what to install when the client is missing", () => {
    const missing = (): never => { throw new TicklakeError("CONFIG_INVALID", "npm install prom-client"); };
    assert.throws(() => new PrometheusText(missing), /npm install prom-client/);
  });
});

describe("interval", () => {
  it("takes seconds and words, a second by default", () => {
    assert.deepEqual([parseMetricsInterval(undefined), parseMetricsInterval(""), parseMetricsInterval("500 ms"), parseMetricsInterval(10)], [1000, 1000, 500, 10_000]);
  });
  for (const bad of ["soon", 0, "0.01", "2 days", -1]) it(`refuses ${JSON.stringify(bad)}`, () => { assert.throws(() => parseMetricsInterval(bad), { code: "CONFIG_INVALID" }); });
});
